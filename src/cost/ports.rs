//! What a layer takes, gives, needs while it runs and keeps for the backward pass: its class's values, evaluated.
//!
//! Leading dimensions (`...`) stay open here: `analysis::flow` fills them in from what really arrives.

use super::counting::Counting;
use super::env::LayerEnv;
use super::problem::{Problem, beyond};
use crate::catalog::{Class, Dim, Element, Formula, SaveDef, ShapeDef, ValueDef};
use crate::syntax::diag::Code;
use crate::syntax::expr::Domain;

/// A shape whose leading dimensions may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern<'p> {
    /// Where `...` stands among the dimensions.
    pub leading: Option<usize>,
    pub dims: &'p [u128],
}

/// An input or output of a layer.
#[derive(Debug, Clone, Copy)]
pub struct Port<'p> {
    pub pattern: Pattern<'p>,
    pub element: Element,
    /// Its size, with `tokens` for the leading dimensions.
    pub bytes: u128,
    pub exists: bool,
    pub view: bool,
    pub persistent: bool,
}

/// What is kept for the backward pass, and whether it is: of a workload that is known, nothing stands here that isn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Save<C = u128, T = bool> {
    Input(usize, T),
    Output(usize, T),
    /// A tensor of its own: the position in the class's `saves`, and its bytes.
    Own(usize, C, T),
}

/// What a layer keeps for the backward pass.
type Saves<D> = Box<[Save<<D as Counting>::Count, <D as Domain>::Truth>]>;

/// A layer's values in a domain.
pub type PortsIn<D> = Ports<<D as Counting>::Count, <D as Domain>::Truth>;

/// What training needs.
#[derive(Debug, Clone)]
pub struct BackwardBytes<C> {
    /// The most bytes that the forward pass holds at once where it keeps what it saves; `None`: as elsewhere.
    pub training: Option<C>,
    /// What selective checkpointing keeps of products inside; `None` or 0: its outputs.
    pub cached: Option<C>,
    /// The most bytes that computing it again with these adds; `None`: nothing.
    pub cached_workspace: Option<C>,
    /// What it makes before it first asks for what was saved; `None`: nothing.
    pub first: Option<C>,
    /// The most bytes that it adds; `None`: the gradients that it leaves.
    pub workspace: Option<C>,
    /// The same once the gradients that it was given are let go, these left out.
    pub later: Option<C>,
    /// The same where gradients of weights are held.
    pub held: Option<C>,
}

impl<C> BackwardBytes<C> {
    fn map<C2>(&self, count: &impl Fn(&C) -> C2) -> BackwardBytes<C2> {
        let of = |bytes: &Option<C>| bytes.as_ref().map(count);
        BackwardBytes {
            training: of(&self.training),
            cached: of(&self.cached),
            cached_workspace: of(&self.cached_workspace),
            first: of(&self.first),
            workspace: of(&self.workspace),
            later: of(&self.later),
            held: of(&self.held),
        }
    }
}

/// A port as it is kept.
#[derive(Debug, Clone, Copy)]
struct Packed<C, T> {
    bytes: C,
    /// Where its dimensions end among those of all ports.
    end: u32,
    leading: Option<u16>,
    element: Element,
    exists: T,
    view: T,
    persistent: T,
}

/// A layer's values at a workload, or as they depend on it.
#[derive(Debug, Clone)]
pub struct Ports<C = u128, T = bool> {
    /// Inputs, then outputs.
    ports: Box<[Packed<C, T>]>,
    num_inputs: usize,
    /// The dimensions of all ports, one after the other.
    dims: Box<[C]>,
    /// The product of the leading dimensions; `None`: there are none.
    pub tokens: Option<C>,
    /// The most bytes held at once while the layer runs: its outputs included, its inputs not.
    pub workspace: C,
    /// Bytes of storage from earlier steps, which the layer frees.
    pub past: C,
    /// What it needs in training, where its class says so. `None` unless training.
    pub backward: Option<Box<BackwardBytes<C>>>,
    /// `None`: the class doesn't say. Empty unless training.
    pub saves: Option<Box<[Save<C, T>]>>,
}

impl<C: Clone, T: Clone> Ports<C, T> {
    /// Those of a layer that takes and gives nothing.
    pub(super) fn none(zero: &C) -> Self {
        Ports {
            ports: Box::default(),
            num_inputs: 0,
            dims: Box::default(),
            tokens: None,
            workspace: zero.clone(),
            past: zero.clone(),
            backward: None,
            saves: Some(Box::default()),
        }
    }

    /// The same with other counts and conditions.
    pub fn map<C2, T2>(&self, count: &impl Fn(&C) -> C2, truth: &impl Fn(&T) -> T2) -> Ports<C2, T2> {
        let port = |port: &Packed<C, T>| Packed {
            bytes: count(&port.bytes),
            end: port.end,
            leading: port.leading,
            element: port.element,
            exists: truth(&port.exists),
            view: truth(&port.view),
            persistent: truth(&port.persistent),
        };
        let save = |save: &Save<C, T>| match save {
            Save::Input(at, kept) => Save::Input(*at, truth(kept)),
            Save::Output(at, kept) => Save::Output(*at, truth(kept)),
            Save::Own(at, bytes, kept) => Save::Own(*at, count(bytes), truth(kept)),
        };
        Ports {
            ports: self.ports.iter().map(port).collect(),
            num_inputs: self.num_inputs,
            dims: self.dims.iter().map(count).collect(),
            tokens: self.tokens.as_ref().map(count),
            workspace: count(&self.workspace),
            past: count(&self.past),
            backward: self.backward.as_ref().map(|backward| Box::new(backward.map(count))),
            saves: self.saves.as_ref().map(|saves| saves.iter().map(save).collect()),
        }
    }

    /// Of each input.
    pub(super) fn input_bytes(&self) -> impl Iterator<Item = C> {
        self.ports.iter().take(self.num_inputs).map(|port| port.bytes.clone())
    }

    /// Of each output: its bytes, and what it depends on whether it exists, is a view, persists.
    pub fn output_forms(&self) -> impl Iterator<Item = (&C, [&T; 3])> {
        let outputs = self.ports.iter().skip(self.num_inputs);
        outputs.map(|port| (&port.bytes, [&port.exists, &port.view, &port.persistent]))
    }

    /// Of each output that is storage of its own: a view is its origin's, and what persists is cache.
    pub(super) fn stored_bytes<D: Counting<Count = C, Truth = T>>(&self, domain: &D) -> impl Iterator<Item = C> {
        let outputs = self.ports.iter().skip(self.num_inputs);
        outputs.map(|port| domain.only_if(&domain.not(&port.persistent), &domain.only_if(&domain.not(&port.view), &port.bytes)))
    }
}

impl Ports {
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = Port<'_>> + DoubleEndedIterator {
        (0..self.num_inputs).map(|at| self.port(at))
    }

    pub fn outputs(&self) -> impl ExactSizeIterator<Item = Port<'_>> {
        (self.num_inputs..self.ports.len()).map(|at| self.port(at))
    }

    /// Whether its first output is of the form of its first input, so that it can run on what it gave.
    #[must_use]
    pub fn gives_what_it_takes(&self) -> bool {
        match (self.inputs().next(), self.outputs().next()) {
            (Some(taken), Some(given)) => {
                let exist = taken.exists && given.exists;
                exist && (taken.pattern, taken.element) == (given.pattern, given.element)
            }
            _ => false,
        }
    }

    fn port(&self, at: usize) -> Port<'_> {
        let end = |at: usize| self.ports.get(at).map_or(0, |port| port.end as usize);
        let from = at.checked_sub(1).map_or(0, end);
        let dims = self.dims.get(from..end(at)).unwrap_or_default();
        let nothing = Packed {
            bytes: 0,
            end: 0,
            leading: None,
            element: Element::Activation,
            exists: false,
            view: false,
            persistent: false,
        };
        let Packed { bytes, leading, element, exists, view, persistent, .. } = self.ports.get(at).copied().unwrap_or(nothing);
        Port { pattern: Pattern { leading: leading.map(usize::from), dims }, bytes, element, exists, view, persistent }
    }
}

impl<D: Counting> LayerEnv<'_, D> {
    pub(super) fn ports(&self, training: bool) -> Result<PortsIn<D>, Problem> {
        let (class, domain) = (self.class, self.domain);
        let values = class.inputs.iter().chain(&class.outputs);
        let (mut ports, mut dims) = (Vec::with_capacity(class.inputs.len() + class.outputs.len()), Vec::with_capacity(8));
        for value in values {
            ports.push(self.port(value, &mut dims)?);
        }
        // One that doesn't exist has no bytes.
        let mut own = ports.iter().skip(class.inputs.len()).map(|port| domain.only_if(&domain.not(&port.view), &port.bytes));
        let held = own.try_fold(domain.of(0), |sum, bytes| domain.sum(&sum, &bytes)).ok_or_else(|| beyond("outputs", "bytes"))?;
        let workspace = match &class.workspace {
            Some(formula) => self.bytes(formula)?,
            None => held.clone(),
        };
        if class.past.is_none() && !domain.holds(&domain.not(&domain.is_less(&workspace, &held))) {
            let shown = |count: &D::Count| domain.known(count).map_or_else(|| "?".to_owned(), |count| count.to_string());
            let message = format!("`workspace` is {} bytes, less than the outputs' {}", shown(&workspace), shown(&held));
            let problem = Problem::new(Code::InvalidClass, message);
            return Err(match &class.workspace {
                Some(formula) => problem.in_formula(formula, "outputs are part of it"),
                None => problem,
            });
        }
        let open = class.inputs.iter().chain(&class.outputs).any(|value| value.shape.leads());
        Ok(Ports {
            tokens: if open { Some(self.tokens()?) } else { None },
            workspace,
            past: class.past.as_ref().map_or(Ok(domain.of(0)), |formula| self.bytes(formula))?,
            backward: if training { self.backward(class)? } else { None },
            saves: if training { self.saves(class)? } else { Some(Box::default()) },
            num_inputs: class.inputs.len(),
            ports: ports.into(),
            dims: dims.into(),
        })
    }

    fn backward(&self, class: &Class) -> Result<Option<Box<BackwardBytes<D::Count>>>, Problem> {
        let forward = [&class.training_workspace, &class.cached, &class.cached_workspace];
        let stated = [&class.backward_first, &class.backward_workspace, &class.backward_later, &class.backward_held];
        if forward.iter().chain(&stated).all(|formula| formula.is_none()) {
            return Ok(None);
        }
        let bytes = |formula: &Option<Formula>| formula.as_ref().map(|formula| self.bytes(formula)).transpose();
        let ([training, cached, cached_workspace], [first, workspace, later, held]) = (forward, stated);
        Ok(Some(Box::new(BackwardBytes {
            training: bytes(training)?,
            cached: bytes(cached)?,
            cached_workspace: bytes(cached_workspace)?,
            first: bytes(first)?,
            workspace: bytes(workspace)?,
            later: bytes(later)?,
            held: bytes(held)?,
        })))
    }

    fn saves(&self, class: &Class) -> Result<Option<Saves<D>>, Problem> {
        let Some(saves) = &class.saves else {
            return Ok(None);
        };
        let mut kept = Vec::with_capacity(saves.len());
        for (at, save) in saves.iter().enumerate() {
            let when = match save {
                SaveDef::Value { when, .. } => when,
                SaveDef::Tensor(value) => &value.when,
            };
            let is_kept = self.flag(when.as_ref(), true)?;
            if self.domain.decided(&is_kept) == Some(false) {
                continue;
            }
            match save {
                SaveDef::Value { name, .. } => {
                    let named = |values: &[ValueDef]| values.iter().position(|value| value.name == *name);
                    kept.extend(match named(&class.inputs) {
                        Some(at) => Some(Save::Input(at, is_kept)),
                        None => named(&class.outputs).map(|at| Save::Output(at, is_kept)),
                    });
                }
                SaveDef::Tensor(value) => {
                    let bytes = match self.domain.decided(&is_kept) {
                        None => self.domain.within(&is_kept, true, || self.value_bytes(value)),
                        Some(_) => self.value_bytes(value),
                    };
                    kept.push(Save::Own(at, bytes?, is_kept));
                }
            }
        }
        Ok(Some(kept.into()))
    }

    /// A port whose dimensions are put behind those of the ports before it.
    fn port(&self, value: &ValueDef, dims: &mut Vec<D::Count>) -> Result<Packed<D::Count, D::Truth>, Problem> {
        let (from, domain) = (dims.len(), self.domain);
        let exists = self.flag(value.when.as_ref(), true)?;
        if domain.decided(&exists) == Some(false) {
            let (bytes, end, element, no) = (domain.of(0), place(from), Element::Activation, domain.truth_of(false));
            return Ok(Packed { bytes, end, leading: None, element, exists, view: no.clone(), persistent: no });
        }
        match domain.decided(&exists) {
            None => domain.within(&exists.clone(), true, || self.existing(value, exists, dims)),
            Some(_) => self.existing(value, exists, dims),
        }
    }

    /// The same of one that exists where this holds.
    fn existing(
        &self,
        value: &ValueDef,
        exists: D::Truth,
        dims: &mut Vec<D::Count>,
    ) -> Result<Packed<D::Count, D::Truth>, Problem> {
        let (from, domain) = (dims.len(), self.domain);
        let leading = self.pattern(&value.shape, dims)?;
        let element = self.element(&value.element)?;
        let tokens = if leading.is_some() { self.tokens()? } else { domain.of(1) };
        let bytes = domain.only_if(&exists, &self.size(value, dims.get(from..).unwrap_or_default(), &tokens, &element)?);
        let view = self.flag(value.view.as_ref(), false)?;
        let persistent = self.flag(value.persistent.as_ref(), false)?;
        Ok(Packed { bytes, end: place(dims.len()), leading, element: element.usual(), exists, view, persistent })
    }

    /// Adds the dimensions of a shape; where `...` stands among them comes back.
    fn pattern(&self, shape: &ShapeDef, out: &mut Vec<D::Count>) -> Result<Option<u16>, Problem> {
        let from = out.len();
        let mut leading = None;
        match shape {
            ShapeDef::List(formula) => self.dims(formula, out)?,
            ShapeDef::Dims(dims) => {
                for dim in dims {
                    match dim {
                        Dim::Leading => leading = u16::try_from(out.len() - from).ok(),
                        Dim::Size(formula) => self.dims(formula, out)?,
                    }
                }
            }
        }
        Ok(leading)
    }
}

/// No class has as many dimensions.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
