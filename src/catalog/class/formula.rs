//! A formula, and the slots that its names are resolved to. Nothing here knows which names a class has.

use std::sync::Arc;

use crate::quantity::workload::{CONVENTIONS, VARIABLES};
use crate::syntax::expr::Expr;
use crate::syntax::source::Span;

/// A text whose names are resolved.
#[derive(Debug, Clone)]
pub struct Formula {
    pub span: Span,
    /// As it is written.
    pub text: Arc<str>,
    pub expr: Expr<Slot>,
}

/// What a name in a formula stands for: an index into workload variables and conventions, then parameters, then variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(pub u16);

/// The slot of a workload variable or convention.
#[must_use]
pub fn builtin_slot(name: &str) -> Option<usize> {
    VARIABLES.iter().chain(CONVENTIONS).position(|(n, _)| *n == name)
}
