//! What an attribute is once structural variables have their values: a value, or an expression over the workload alone.

use std::sync::Arc;

use crate::quantity::workload::WorkloadVar;
use crate::syntax::expr::{Expr, Value};
use crate::syntax::source::Span;

/// A value, or an expression over workload variables alone: the two kinds of variables are two types.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Binding {
    /// Known before any workload.
    Known(Value),
    Workload(Residual),
}

/// What is left of an expression once all structural variables have their values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Residual {
    pub expr: Arc<Expr<WorkloadVar>>,
    /// Its number of nodes.
    pub size: usize,
}

/// A binding and where it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Argument {
    pub binding: Binding,
    pub span: Span,
}
