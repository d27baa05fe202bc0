//! Why a class's formula gives nothing for a layer.

use crate::catalog::Formula;
use crate::flat::RowInfo;
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::source::Span;

/// Why a class's formula gives nothing for a layer.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    message: String,
    /// The formula, in the class's own file.
    formula: Option<(Span, String)>,
    /// It is the consequence of something that was reported.
    pub(super) follows: bool,
}

impl Problem {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Problem { code, message: message.into(), formula: None, follows: false }
    }

    /// The consequence of something that was reported, or not.
    pub(super) fn following(mut self, follows: bool) -> Self {
        self.follows = follows;
        self
    }

    pub(super) fn in_formula(mut self, formula: &Formula, label: impl Into<String>) -> Self {
        self.formula = Some((formula.span, label.into()));
        self
    }

    pub(super) fn diagnostic(&self, info: &RowInfo) -> Diagnostic {
        let mut diagnostic = info.row.point(Diagnostic::new(self.code, self.message.clone()), "in this layer");
        if let Some((span, label)) = &self.formula {
            diagnostic = diagnostic.also(*span, label.clone());
        }
        diagnostic.note(format!("in layer `{}`", info.path))
    }

    /// The message alone, for a test of examples.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

pub(super) fn beyond(what: &str, of: &str) -> Problem {
    Problem::new(Code::Overflow, format!("the {what} have more {of} than are computed with"))
}
