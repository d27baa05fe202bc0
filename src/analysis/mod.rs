//! Analyses of a model at a workload: what follows from its data flow.

pub mod flow;
mod lifetime;
mod shape;
