//! What every layer costs at a workload.

pub mod bind;
pub mod counting;
mod env;
mod evaluate;
pub mod example;
pub mod ports;
mod problem;
mod rows;
pub mod rules;
mod tensors;
#[cfg(test)]
mod tests;
mod values;
pub mod workload;

pub(crate) use env::LayerEnv;
pub use evaluate::{Evaluated, evaluate, evaluate_in, kept};
pub use problem::Problem;
pub use rows::{CostReport, RowCost, cost, share_of, tied_elsewhere};
pub use tensors::Tensor;
