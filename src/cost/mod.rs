//! What every layer costs at a workload.

pub mod bind;
mod evaluate;
pub mod ports;
pub mod workload;

pub use evaluate::*;
