//! What a layer costs: the rules of its class, evaluated.
//!
//! A [`Signature`] comes in, its figures, weights and values go out. This module knows no class.

use std::cell::OnceCell;

use super::env::LayerEnv;
use super::ports::Ports;
use super::problem::{Problem, beyond};
use super::rules::{Over, Rule, rule};
use super::tensors::{Tensor, tensors, weight_dtype_bytes};
use crate::cost::bind::Signature;
use crate::quantity::workload::Phase;
use crate::quantity::{Cost, Packed, QUANTITIES, Quantity};
use crate::syntax::diag::Code;
use crate::syntax::expr::Value;

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
    let train = signature.phase(phase) == Phase::Train;
    let builtins = LayerEnv::builtins(signature, builtins);
    let weight_bytes = weight_dtype_bytes(&builtins)?;
    let env = signature.class.as_deref().map(|class| LayerEnv::new(class, signature, builtins));
    env.as_ref().map_or(Ok(()), LayerEnv::require)?;
    let tensors = tensors(signature, env.as_ref(), weight_bytes)?;
    let layer = Layer { env: env.as_ref(), tensors: &tensors, train, ports: OnceCell::new() };
    let cost = layer.figures()?.into();
    layer.ports()?;
    let ports = layer.ports.into_inner().unwrap_or_default();
    Ok(Evaluated { cost, tensors: tensors.into(), ports })
}

/// The weights of a layer and the bytes that it caches. What its class requires of a whole layer is not asked: it may be a part of one.
///
/// # Errors
/// What keeps a formula from having a value.
pub fn kept(signature: &Signature, builtins: &[Value]) -> Result<(Vec<Tensor>, u128), Problem> {
    let builtins = LayerEnv::builtins(signature, builtins);
    let weight_bytes = weight_dtype_bytes(&builtins)?;
    let env = signature.class.as_deref().map(|class| LayerEnv::new(class, signature, builtins));
    let tensors = tensors(signature, env.as_ref(), weight_bytes)?;
    let layer = Layer { env: env.as_ref(), tensors: &tensors, train: false, ports: OnceCell::new() };
    let cache = layer.figure(rule(env.as_ref().map(|env| env.class), Quantity::CacheBytes), &Cost::default())?;
    Ok((tensors, cache))
}

/// What figures are made of: each shape and each formula is evaluated once.
struct Layer<'e> {
    env: Option<&'e LayerEnv<'e>>,
    tensors: &'e [Tensor],
    train: bool,
    ports: OnceCell<Ports>,
}

impl Layer<'_> {
    fn ports(&self) -> Result<&Ports, Problem> {
        if let Some(known) = self.ports.get() {
            return Ok(known);
        }
        let made = self.env.map_or(Ok(Ports::default()), |env| env.ports(self.train))?;
        Ok(self.ports.get_or_init(|| made))
    }

    fn figures(&self) -> Result<Cost, Problem> {
        let mut cost = Cost::default();
        for info in QUANTITIES.iter().filter(|info| self.train || !info.train_only) {
            let figure = self.figure(rule(self.env.map(|env| env.class), info.quantity), &cost)?;
            cost.set(info.quantity, figure);
        }
        Ok(cost)
    }

    /// What a rule comes to, after the quantities before it.
    fn figure(&self, rule: Rule<'_>, so_far: &Cost) -> Result<u128, Problem> {
        match (rule, self.env) {
            (Rule::Formula(formula, reading), Some(env)) => env.figure(formula, reading),
            (Rule::Sum(sum), _) => self.total(sum.over),
            (Rule::Same(quantity), _) => Ok(so_far.get(quantity)),
            (Rule::Unstated, Some(env)) => {
                let message = format!("`{}` has no formulas for the backward pass, which training needs", env.class.name);
                Err(Problem::new(Code::NoBackwardFormula, message))
            }
            // Without a class there are no formulas.
            (Rule::Nothing, _) | (_, None) => Ok(0),
        }
    }

    fn total(&self, over: Over<'_>) -> Result<u128, Problem> {
        match over {
            Over::WeightElements => add(self.tensors.iter().map(|tensor| tensor.elements), "weights", "elements"),
            Over::WeightBytes => add(self.tensors.iter().map(|tensor| tensor.bytes), "weights", "elements"),
            Over::Inputs(_) => add(self.ports()?.input_bytes(), "inputs", "bytes"),
            Over::Outputs(_) => add(self.ports()?.stored_bytes(), "outputs", "bytes"),
        }
    }
}

fn add(mut figures: impl Iterator<Item = u128>, what: &str, of: &str) -> Result<u128, Problem> {
    figures.try_fold(0, u128::checked_add).ok_or_else(|| beyond(what, of))
}
