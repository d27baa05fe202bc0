//! What every layer costs at a workload.

pub mod bind;
mod evaluate;
pub mod ports;
#[cfg(test)]
mod tests;
pub mod workload;

pub use evaluate::*;
