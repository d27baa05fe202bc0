//! What every part of a class is read with: where diagnostics go, which names formulas know, and the plain values of JSON.

use std::sync::Arc;

use super::names::Names;
use crate::catalog::values;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::{Exact, Value};
use crate::syntax::json::{Json, Member, Node};
use crate::syntax::source::Span;

/// Reads the parts of one class.
pub(super) struct Reader<'d> {
    pub(super) diagnostics: &'d mut Diagnostics,
    pub(super) names: Names,
}

impl Reader<'_> {
    pub(super) fn wrong(&mut self, node: &Node, expected: &str) {
        values::wrong(node, expected, self.diagnostics);
    }

    pub(super) fn invalid(&mut self, span: Span, message: impl Into<String>, label: impl Into<String>) {
        self.diagnostics.push(Diagnostic::new(Code::InvalidClass, message).at(span, label));
    }

    pub(super) fn text(&mut self, node: &Node) -> Option<Arc<str>> {
        values::text(node, self.diagnostics)
    }

    pub(super) fn texts(&mut self, node: Option<&Node>) -> Vec<Arc<str>> {
        values::texts(node, self.diagnostics)
    }

    pub(super) fn flag(&mut self, node: &Node) -> Option<bool> {
        values::flag(node, self.diagnostics)
    }

    pub(super) fn members<T>(&mut self, node: Option<&Node>, mut read: impl FnMut(&mut Self, &Member) -> Option<T>) -> Vec<T> {
        match node.map(|n| (&n.json, n)) {
            Some((Json::Object(members), _)) => members.iter().filter_map(|m| read(self, m)).collect(),
            Some((_, node)) => {
                self.wrong(node, "an object");
                Vec::new()
            }
            None => Vec::new(),
        }
    }
}

/// A JSON value as data.
pub(super) fn plain_value(node: &Node) -> Option<Value> {
    Some(match &node.json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(text) => Value::Number(Exact::parse(text)?),
        Json::Text(text) => Value::Text(text.value.clone()),
        Json::List(items) => Value::List(items.iter().map(plain_value).collect::<Option<_>>()?),
        Json::Object(members) => {
            Value::Object(members.iter().map(|m| Some((m.key.clone(), plain_value(&m.value)?))).collect::<Option<_>>()?)
        }
    })
}
