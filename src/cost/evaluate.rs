//! What a layer costs: the rules of its class, evaluated.
//!
//! A [`Signature`] comes in, its figures, weights and values go out. This module knows no class.

use super::env::LayerEnv;
use super::ports::Ports;
use super::problem::{Problem, beyond};
use super::rules::{Over, Rule, rule};
use super::tensors::{Tensor, tensors, weight_dtype_bytes};
use crate::cost::bind::Signature;
use crate::quantity::workload::Phase;
use crate::quantity::{Cost, QUANTITIES};
use crate::syntax::diag::Code;
use crate::syntax::expr::Value;

/// What a signature costs.
#[derive(Debug, Clone, Default)]
pub struct Evaluated {
    pub cost: Cost,
    pub tensors: Vec<Tensor>,
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
    let env = signature.class.as_deref().map(|class| LayerEnv::new(class, signature, builtins)).transpose()?;
    env.as_ref().map_or(Ok(()), LayerEnv::require)?;
    let tensors = tensors(signature, env.as_ref(), weight_bytes)?;
    let cost = figures(env.as_ref(), &tensors, train)?;
    let ports = env.as_ref().map_or(Ok(Ports::default()), |env| env.ports(train))?;
    Ok(Evaluated { cost, tensors, ports })
}

fn figures(env: Option<&LayerEnv<'_>>, tensors: &[Tensor], train: bool) -> Result<Cost, Problem> {
    let mut cost = Cost::default();
    for info in QUANTITIES.iter().filter(|info| train || !info.train_only) {
        let figure = figure(env, tensors, rule(env.map(|env| env.class), info.quantity), &cost)?;
        cost.set(info.quantity, figure);
    }
    Ok(cost)
}

/// What a rule comes to, after the quantities before it.
fn figure(env: Option<&LayerEnv<'_>>, tensors: &[Tensor], rule: Rule<'_>, so_far: &Cost) -> Result<u128, Problem> {
    match (rule, env) {
        (Rule::Formula(formula, reading), Some(env)) => env.figure(formula, reading),
        (Rule::Sum(sum), env) => total(env, tensors, sum.over),
        (Rule::Same(quantity), _) => Ok(so_far.get(quantity)),
        (Rule::Unstated, Some(env)) => {
            let message = format!("`{}` has no formulas for the backward pass, which training needs", env.class.name);
            Err(Problem::new(Code::NoBackwardFormula, message))
        }
        // Without a class there are no formulas.
        (Rule::Nothing, _) | (_, None) => Ok(0),
    }
}

fn total(env: Option<&LayerEnv<'_>>, tensors: &[Tensor], over: Over<'_>) -> Result<u128, Problem> {
    let values = || env.map_or(Ok(Vec::new()), |env| env.summed(over));
    match over {
        Over::WeightElements => add(tensors.iter().map(|tensor| tensor.elements), "weights", "elements"),
        Over::WeightBytes => add(tensors.iter().map(|tensor| tensor.bytes), "weights", "elements"),
        Over::Inputs(_) => add(values()?.iter().map(|value| value.bytes), "inputs", "bytes"),
        Over::Outputs(_) => add(values()?.iter().map(|value| value.bytes), "outputs", "bytes"),
    }
}

fn add(mut figures: impl Iterator<Item = u128>, what: &str, of: &str) -> Result<u128, Problem> {
    figures.try_fold(0, u128::checked_add).ok_or_else(|| beyond(what, of))
}
