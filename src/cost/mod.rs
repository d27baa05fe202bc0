//! What every layer costs at a workload.

pub mod bind;
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
pub use evaluate::{Evaluated, evaluate, kept};
pub use problem::Problem;
pub use rows::{CostReport, RowCost, cost};
pub use tensors::Tensor;
