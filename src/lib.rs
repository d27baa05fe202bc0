//! layerspec: a compiler for hierarchical descriptions of neural networks.
pub mod analysis;
pub mod catalog;
pub mod cli;
pub mod cost;
pub mod emit;
pub mod evaluation;
pub mod flat;
pub mod flow;
pub mod language;
pub mod quantity;
pub mod report;
pub mod syntax;
