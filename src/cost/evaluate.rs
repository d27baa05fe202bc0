//! What a layer costs: the rules of its class, evaluated.
//!
//! A [`Signature`] comes in, its figures, weights and values go out. This module knows no class.

use std::cell::OnceCell;

use super::counting::Counting;
use super::env::LayerEnv;
use super::ports::{Ports, PortsIn};
use super::problem::{Problem, beyond};
use super::rules::{Over, Rule, rule};
use super::tensors::{Tensor, tensors, weight_dtype_bytes};
use crate::cost::bind::Signature;
use crate::quantity::workload::Phase;
use crate::quantity::{Cost, Figures, Packed, QUANTITIES, Quantity};
use crate::syntax::diag::Code;
use crate::syntax::expr::{Plain, Value};

/// What a signature costs.
#[derive(Debug, Clone)]
pub struct Evaluated {
    pub(crate) cost: Packed,
    pub tensors: Box<[Tensor]>,
    pub ports: Ports,
}

/// Evaluates a class's formulas for given parameters: the cost of one layer, run once, with all of its weights its own.
///
/// # Errors
/// What keeps a formula from having a value.
pub fn evaluate(signature: &Signature, builtins: &[Value], phase: Phase) -> Result<Evaluated, Problem> {
    let Costed { figures, tensors, ports } = evaluate_in(&Plain, signature, builtins, phase)?;
    Ok(Evaluated { cost: Cost::from(figures).into(), tensors: tensors.into(), ports })
}

/// What a signature costs, in a domain.
pub struct Costed<D: Counting> {
    pub figures: Figures<D::Count>,
    pub tensors: Vec<Tensor<D::Count>>,
    pub ports: PortsIn<D>,
}

/// Evaluates a class's formulas in a domain: as [`evaluate`].
///
/// # Errors
/// What keeps a formula from having a value.
pub fn evaluate_in<D: Counting>(
    domain: &D,
    signature: &Signature<D>,
    builtins: &[D::Value],
    phase: Phase,
) -> Result<Costed<D>, Problem> {
    let train = signature.phase(phase) == Phase::Train;
    let builtins = LayerEnv::builtins(signature, builtins);
    let weight_bytes = weight_dtype_bytes(domain, &builtins)?;
    let env = signature.class.as_deref().map(|class| LayerEnv::within(domain, class, signature, builtins));
    env.as_ref().map_or(Ok(()), LayerEnv::require)?;
    let tensors = tensors(domain, signature, env.as_ref(), &weight_bytes)?;
    let layer = Layer { domain, env: env.as_ref(), tensors: &tensors, train, ports: OnceCell::new() };
    let figures = layer.figures()?;
    layer.ports()?;
    let ports = layer.ports.into_inner().unwrap_or_else(|| Ports::none(&domain.of(0)));
    Ok(Costed { figures, tensors, ports })
}

/// The weights of a layer and the bytes that it caches. What its class requires of a whole layer is not asked: it may be a part of one.
///
/// # Errors
/// What keeps a formula from having a value.
pub fn kept(signature: &Signature, builtins: &[Value]) -> Result<(Vec<Tensor>, u128), Problem> {
    let builtins = LayerEnv::builtins(signature, builtins);
    let weight_bytes = weight_dtype_bytes(&Plain, &builtins)?;
    let env = signature.class.as_deref().map(|class| LayerEnv::new(class, signature, builtins));
    let tensors = tensors(&Plain, signature, env.as_ref(), &weight_bytes)?;
    let layer = Layer { domain: &Plain, env: env.as_ref(), tensors: &tensors, train: false, ports: OnceCell::new() };
    let cache = layer.figure(rule(env.as_ref().map(|env| env.class), Quantity::CacheBytes), &Figures::filled(0))?;
    Ok((tensors, cache))
}

/// What figures are made of: each shape and each formula is evaluated once.
struct Layer<'e, D: Counting> {
    domain: &'e D,
    env: Option<&'e LayerEnv<'e, D>>,
    tensors: &'e [Tensor<D::Count>],
    train: bool,
    ports: OnceCell<PortsIn<D>>,
}

impl<D: Counting> Layer<'_, D> {
    fn ports(&self) -> Result<&PortsIn<D>, Problem> {
        if let Some(known) = self.ports.get() {
            return Ok(known);
        }
        let made = self.env.map_or_else(|| Ok(Ports::none(&self.domain.of(0))), |env| env.ports(self.train))?;
        Ok(self.ports.get_or_init(|| made))
    }

    fn figures(&self) -> Result<Figures<D::Count>, Problem> {
        let mut figures = Figures::filled(self.domain.of(0));
        for info in QUANTITIES.iter().filter(|info| self.train || !info.train_only) {
            let figure = self.figure(rule(self.env.map(|env| env.class), info.quantity), &figures)?;
            figures.set(info.quantity, figure);
        }
        Ok(figures)
    }

    /// What a rule comes to, after the quantities before it.
    fn figure(&self, rule: Rule<'_>, so_far: &Figures<D::Count>) -> Result<D::Count, Problem> {
        match (rule, self.env) {
            (Rule::Formula(formula, reading), Some(env)) => env.figure(formula, reading),
            (Rule::Sum(sum), _) => self.total(sum.over),
            (Rule::Same(quantity), _) => Ok(so_far.get(quantity).clone()),
            (Rule::Unstated, Some(env)) => {
                let message = format!("`{}` has no formulas for the backward pass, which training needs", env.class.name);
                Err(Problem::new(Code::NoBackwardFormula, message))
            }
            // Without a class there are no formulas.
            (Rule::Nothing, _) | (_, None) => Ok(self.domain.of(0)),
        }
    }

    fn total(&self, over: Over<'_>) -> Result<D::Count, Problem> {
        match over {
            Over::WeightElements => self.add(self.tensors.iter().map(|tensor| tensor.elements.clone()), "weights", "elements"),
            Over::WeightBytes => self.add(self.tensors.iter().map(|tensor| tensor.bytes.clone()), "weights", "elements"),
            Over::Inputs(_) => self.add(self.ports()?.input_bytes(), "inputs", "bytes"),
            Over::Outputs(_) => self.add(self.ports()?.stored_bytes(self.domain), "outputs", "bytes"),
        }
    }

    fn add(&self, mut figures: impl Iterator<Item = D::Count>, what: &str, of: &str) -> Result<D::Count, Problem> {
        figures.try_fold(self.domain.of(0), |sum, figure| self.domain.sum(&sum, &figure)).ok_or_else(|| beyond(what, of))
    }
}
