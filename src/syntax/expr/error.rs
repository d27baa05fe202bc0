//! What an evaluation runs into.

use std::fmt;
use std::sync::Arc;

use super::value::Value;
use crate::syntax::diag::Code;

/// What an evaluation runs into.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EvalError {
    DivisionByZero,
    Overflow,
    /// What the operation wanted and what it got.
    Type {
        operation: Arc<str>,
        expected: &'static str,
        found: Value,
    },
    /// An index and how many items there are.
    OutOfRange {
        index: Value,
        length: usize,
    },
    TooDeep,
    /// What has grown beyond all measure.
    TooLarge(&'static str),
    /// A name that isn't in scope.
    Unknown(Arc<str>),
    /// It was said already.
    Reported,
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvalError::DivisionByZero => write!(f, "a division by zero"),
            EvalError::Overflow => write!(f, "a number beyond 128 bits"),
            EvalError::Type { operation, expected, found } => {
                let kind = match found {
                    Value::Null | Value::Bool(_) => "",
                    Value::Number(_) => "the number ",
                    Value::Text(_) => "the text ",
                    Value::List(_) => "the list ",
                    Value::Object(_) => "the object ",
                };
                write!(f, "{operation} wants {expected}, found {kind}{found}")
            }
            EvalError::OutOfRange { index: Value::Null, .. } => write!(f, "an empty list has no last item"),
            EvalError::OutOfRange { index, length } => {
                write!(f, "there is no item {index} among {length}, counted from 0")
            }
            EvalError::Unknown(name) => write!(f, "unknown variable `{name}`"),
            EvalError::TooLarge(what) => write!(f, "{what}"),
            EvalError::TooDeep => write!(f, "too long a chain of variables"),
            EvalError::Reported => write!(f, "an error reported elsewhere"),
        }
    }
}

impl EvalError {
    /// The diagnostic that says so.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            EvalError::DivisionByZero => Code::DivisionByZero,
            EvalError::Overflow => Code::Overflow,
            EvalError::OutOfRange { .. } => Code::OutOfRange,
            EvalError::TooDeep => Code::EvaluationTooDeep,
            EvalError::TooLarge(_) => Code::ExpressionTooLarge,
            EvalError::Unknown(_) => Code::UnknownVariable,
            EvalError::Type { .. } | EvalError::Reported => Code::TypeMismatch,
        }
    }
}

/// What an operation is called in errors, which are rare: no text is made before there is one.
#[derive(Clone, Copy)]
pub(super) struct Quoted(pub(super) &'static str);

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}
