//! A parameter of a class, and whether a value is one that it takes. Where the value comes from is no matter here.

use std::sync::Arc;

use super::formula::Formula;
use crate::syntax::expr::{Exact, Value};

/// What a layer of the class says.
#[derive(Debug)]
pub struct Parameter {
    pub name: Arc<str>,
    pub kind: ParameterKind,
    pub default: Option<Formula>,
    /// Whether null is a value: the default is.
    pub nullable: bool,
    /// The texts allowed, all if empty.
    pub values: Vec<Arc<str>>,
    pub doc: Arc<str>,
    /// Of a shape: how many dimensions one number stands for, to people; 1 unless the class says more.
    pub dims: usize,
    /// It isn't written in the file: `...` in a shape brings it.
    pub implied: bool,
}

/// What values a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    Count,
    Ratio,
    Flag,
    Text,
    Shape,
}

impl ParameterKind {
    /// Each kind, its word in class files, and what is expected, in words.
    pub(super) const ALL: [(ParameterKind, &'static str, &'static str); 5] = [
        (ParameterKind::Count, "count", "a non-negative integer"),
        (ParameterKind::Ratio, "ratio", "a number"),
        (ParameterKind::Flag, "flag", "true or false"),
        (ParameterKind::Text, "text", "a text"),
        (ParameterKind::Shape, "shape", "a list of non-negative integers"),
    ];

    /// As class files spell it.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, word, _)| word)
    }

    /// What is expected, in words.
    #[must_use]
    pub fn expected(self) -> &'static str {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(.., words)| words)
    }
}

/// More dimensions than any tensor has.
pub const MAX_DIMS: usize = 1000;

/// A value as a parameter of this kind takes it: 0 and 1 are flags, a count is a shape of one dimension. `None` if it doesn't fit.
#[must_use]
pub fn check_parameter(parameter: &Parameter, value: &Value) -> Option<Value> {
    let is_count = |v: &Value| v.as_number().is_some_and(|n| n.to_count().is_some());
    match (parameter.kind, value) {
        (_, Value::Null) if parameter.nullable => Some(Value::Null),
        (ParameterKind::Count, v) if is_count(v) => Some(v.clone()),
        (ParameterKind::Ratio, Value::Number(_)) | (ParameterKind::Flag, Value::Bool(_)) => Some(value.clone()),
        (ParameterKind::Flag, Value::Number(n)) if *n == Exact::ZERO || *n == Exact::ONE => Some(Value::Bool(*n == Exact::ONE)),
        (ParameterKind::Text, Value::Text(text)) => {
            (parameter.values.is_empty() || parameter.values.contains(text)).then(|| value.clone())
        }
        (ParameterKind::Shape, Value::List(items)) if items.len() <= MAX_DIMS && items.iter().all(is_count) => {
            Some(value.clone())
        }
        (ParameterKind::Shape, v) if is_count(v) => Some(Value::List([v.clone()].into())),
        _ => None,
    }
}
