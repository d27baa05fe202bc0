//! What each quantity is of a class: one table.
//!
//! A class (or none: a tensor that a composite owns) and a [`Quantity`] come in, a [`Rule`] goes out. Nothing is evaluated here: `cost` gives
//! rules their figures, and an explanation shows the same rules, so neither can say what the other doesn't.

use crate::catalog::{Class, FlopFormulas, Formula, ValueDef};
use crate::quantity::Quantity;

/// What a quantity is of a class.
#[derive(Debug, Clone, Copy)]
pub enum Rule<'c> {
    /// A formula of the class.
    Formula(&'c Formula, Reading),
    /// A sum over tensors.
    Sum(Sum<'c>),
    /// What another quantity, which stands before it, is.
    Same(Quantity),
    /// The class doesn't say, and it isn't zero: whoever asks gets an error.
    Unstated,
    /// None: such a class has nothing to do with it.
    Nothing,
}

/// How a formula's value becomes a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// It must be a non-negative integer.
    Count,
    /// A fraction of a byte (4-bit types) is rounded up.
    Bytes,
}

/// A sum, one term a tensor.
#[derive(Debug, Clone, Copy)]
pub struct Sum<'c> {
    pub over: Over<'c>,
    /// What it is over, in words.
    pub words: &'static str,
}

/// What a sum is over. Bytes are rounded up a tensor.
#[derive(Debug, Clone, Copy)]
pub enum Over<'c> {
    /// The elements of the weights that a layer has.
    WeightElements,
    /// Their bytes, each in its own element type.
    WeightBytes,
    /// The bytes of the inputs that exist.
    Inputs(&'c [ValueDef]),
    /// The bytes of the outputs that exist and have storage of their own: views have none, and what persists is cache.
    Outputs(&'c [ValueDef]),
}

/// What a quantity is of a class; `None`: of weights without one.
#[must_use]
pub fn rule(class: Option<&Class>, quantity: Quantity) -> Rule<'_> {
    use Reading::{Bytes, Count};
    let stated = |formula: fn(&Class) -> Option<&Formula>, reading, otherwise| {
        class.and_then(formula).map_or(otherwise, |formula| Rule::Formula(formula, reading))
    };
    let forward = |of: fn(&FlopFormulas) -> &Formula| class.map_or(Rule::Nothing, |class| Rule::Formula(of(&class.flops), Count));
    let backward = |of: fn(&FlopFormulas) -> &Formula| match class.map(|class| &class.backward) {
        Some(Some(flops)) => Rule::Formula(of(flops), Count),
        Some(None) => Rule::Unstated,
        None => Rule::Nothing,
    };
    let inputs = |words| class.map_or(Rule::Nothing, |class| sum(Over::Inputs(&class.inputs), words));
    let outputs = |words| class.map_or(Rule::Nothing, |class| sum(Over::Outputs(&class.outputs), words));
    match quantity {
        Quantity::Params => sum(Over::WeightElements, "the weights' elements"),
        Quantity::ActiveParams => stated(|class| class.active_params.as_ref(), Count, Rule::Same(Quantity::Params)),
        Quantity::WeightBytes => sum(Over::WeightBytes, "the weights"),
        Quantity::MatmulFlops => forward(|flops| &flops.matmul),
        Quantity::VectorFlops => forward(|flops| &flops.vector),
        Quantity::Transcendentals => forward(|flops| &flops.transcendental),
        Quantity::BackwardMatmulFlops => backward(|flops| &flops.matmul),
        Quantity::BackwardVectorFlops => backward(|flops| &flops.vector),
        Quantity::BackwardTranscendentals => backward(|flops| &flops.transcendental),
        Quantity::WeightsRead => stated(|class| class.weights_read.as_ref(), Bytes, sum(Over::WeightBytes, "the weights, once")),
        Quantity::ActivationsRead => stated(|class| class.activations_read.as_ref(), Bytes, inputs("the inputs, once")),
        Quantity::ActivationsWritten => stated(|class| class.activations_written.as_ref(), Bytes, outputs("the outputs, once")),
        Quantity::CacheRead => stated(|class| class.cache_read.as_ref(), Bytes, Rule::Nothing),
        Quantity::CacheWritten => stated(|class| class.cache_written.as_ref(), Bytes, Rule::Nothing),
        Quantity::ActivationBytes => outputs("the outputs"),
        Quantity::CacheBytes => stated(|class| class.cache.as_ref(), Bytes, Rule::Nothing),
    }
}

fn sum<'c>(over: Over<'c>, words: &'static str) -> Rule<'c> {
    Rule::Sum(Sum { over, words })
}
