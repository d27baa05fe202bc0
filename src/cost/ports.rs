//! What a layer takes, gives, needs while it runs and keeps for the backward pass: its class's values, evaluated.
//!
//! Leading dimensions (`...`) stay open here: `analysis::flow` fills them in from what really arrives.

use super::env::LayerEnv;
use super::problem::{Problem, beyond};
use crate::catalog::{Class, Dim, Element, SaveDef, ShapeDef, ValueDef};
use crate::syntax::diag::Code;

/// A shape whose leading dimensions may be open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Where `...` stands among the dimensions.
    pub leading: Option<usize>,
    pub dims: Vec<u128>,
}

/// An input or output of a layer.
#[derive(Debug, Clone)]
pub struct Port {
    pub pattern: Pattern,
    pub element: Element,
    /// Its size, with `tokens` for the leading dimensions.
    pub bytes: u128,
    pub exists: bool,
    pub view: bool,
    pub persistent: bool,
}

/// What is kept for the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Save {
    Input(usize),
    Output(usize),
    /// A tensor of its own: the position in the class's `saves`, and its bytes.
    Own(usize, u128),
}

/// A layer's values at a workload.
#[derive(Debug, Clone, Default)]
pub struct Ports {
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    /// The product of the leading dimensions; `None`: there are none.
    pub tokens: Option<u128>,
    /// The most bytes held at once while the layer runs: its outputs included, its inputs not.
    pub workspace: u128,
    /// Bytes of storage from earlier steps, which the layer frees.
    pub past: u128,
    /// `None`: the class doesn't say. Empty unless training.
    pub saves: Option<Vec<Save>>,
}

impl Port {
    /// Whether it is storage of its own: a view is its origin's, and what persists is cache.
    pub(super) fn is_stored(&self) -> bool {
        self.exists && !self.view && !self.persistent
    }
}

impl LayerEnv<'_> {
    pub(super) fn ports(&self, training: bool) -> Result<Ports, Problem> {
        let class = self.class;
        let ports = |values: &[ValueDef]| values.iter().map(|value| self.port(value)).collect::<Result<Vec<Port>, Problem>>();
        let (inputs, outputs) = (ports(&class.inputs)?, ports(&class.outputs)?);
        let own = outputs.iter().filter(|port| port.exists && !port.view);
        let held = own.map(|port| port.bytes).try_fold(0u128, u128::checked_add).ok_or_else(|| beyond("outputs", "bytes"))?;
        let workspace = match &class.workspace {
            Some(formula) => self.bytes(formula)?,
            None => held,
        };
        if workspace < held && class.past.is_none() {
            let message = format!("`workspace` is {workspace} bytes, less than the outputs' {held}");
            let problem = Problem::new(Code::InvalidClass, message);
            return Err(match &class.workspace {
                Some(formula) => problem.in_formula(formula, "outputs are part of it"),
                None => problem,
            });
        }
        let leads =
            |value: &ValueDef| matches!(&value.shape, ShapeDef::Dims(dims) if dims.iter().any(|d| matches!(d, Dim::Leading)));
        let open = class.inputs.iter().chain(&class.outputs).any(leads);
        Ok(Ports {
            tokens: if open { Some(self.tokens()?) } else { None },
            workspace,
            past: class.past.as_ref().map_or(Ok(0), |formula| self.bytes(formula))?,
            saves: if training { self.saves(class)? } else { Some(Vec::new()) },
            inputs,
            outputs,
        })
    }

    fn saves(&self, class: &Class) -> Result<Option<Vec<Save>>, Problem> {
        let Some(saves) = &class.saves else {
            return Ok(None);
        };
        let mut kept = Vec::with_capacity(saves.len());
        for (at, save) in saves.iter().enumerate() {
            match save {
                SaveDef::Value { name, when } => {
                    if !self.flag(when.as_ref(), true)? {
                        continue;
                    }
                    let input = class.inputs.iter().position(|value| value.name == *name).map(Save::Input);
                    kept.extend(input.or_else(|| class.outputs.iter().position(|value| value.name == *name).map(Save::Output)));
                }
                SaveDef::Tensor(value) => {
                    if self.flag(value.when.as_ref(), true)? {
                        kept.push(Save::Own(at, self.value_bytes(value)?));
                    }
                }
            }
        }
        Ok(Some(kept))
    }

    fn port(&self, value: &ValueDef) -> Result<Port, Problem> {
        if !self.flag(value.when.as_ref(), true)? {
            let pattern = Pattern { leading: None, dims: Vec::new() };
            return Ok(Port { pattern, element: Element::Activation, bytes: 0, exists: false, view: false, persistent: false });
        }
        let pattern = self.pattern(&value.shape)?;
        let element = self.element(&value.element)?;
        let leading = if pattern.leading.is_some() { self.tokens()? } else { 1 };
        let bytes = self.size(value, &pattern.dims, leading, element)?;
        let view = self.flag(value.view.as_ref(), false)?;
        let persistent = self.flag(value.persistent.as_ref(), false)?;
        Ok(Port { pattern, element, bytes, exists: true, view, persistent })
    }

    fn pattern(&self, shape: &ShapeDef) -> Result<Pattern, Problem> {
        let ShapeDef::Dims(dims) = shape else {
            return Ok(Pattern { leading: None, dims: self.shape(shape)? });
        };
        let mut pattern = Pattern { leading: None, dims: Vec::with_capacity(dims.len()) };
        for dim in dims {
            match dim {
                Dim::Leading => pattern.leading = Some(pattern.dims.len()),
                Dim::Size(formula) => self.dims(formula, &mut pattern.dims)?,
            }
        }
        Ok(pattern)
    }
}
