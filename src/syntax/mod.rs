//! Texts and what is written in them: sources and places, diagnostics, JSON, expressions, and the model description as it is written.

pub mod diag;
pub mod escape;
pub mod expr;
pub mod glob;
pub mod json;
pub mod ordered;
pub mod parallel;
pub mod source;
pub mod spec;
pub mod stack;
pub mod words;
