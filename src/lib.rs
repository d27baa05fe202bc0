//! layerspec: a compiler for hierarchical descriptions of neural networks.
pub mod source;
pub mod json;
pub mod expr;
pub mod diag;
pub mod report;
