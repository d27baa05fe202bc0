//! layerspec: a compiler for hierarchical descriptions of neural networks.
pub mod analysis;
pub mod bind;
pub mod catalog;
pub mod check;
pub mod cli;
pub mod compile;
pub mod cost;
pub mod diag;
pub mod expr;
pub mod flatten;
pub mod json;
pub mod quantity;
pub mod report;
pub mod scope;
pub mod source;
pub mod spec;
pub mod workload;
