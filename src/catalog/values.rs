//! The plain values of catalog files: texts, lists of texts, figures. What is of another type is said and left out.

use std::sync::Arc;

use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::{Exact, Expr, Name, Syntax, parse};
use crate::syntax::json::{Json, Node};
use crate::syntax::source::Span;
use crate::syntax::spec::{Key, KeyKind, name_part, syntax_error};

/// An expression over the keys of a config.
#[derive(Debug, Clone)]
pub struct KeyFormula {
    /// As it is written.
    pub text: Arc<str>,
    /// The same, parsed.
    pub expr: Expr<Name>,
}

/// A row of a table of keys.
pub const fn key(name: &'static str, kind: KeyKind, required: bool, doc: &'static str) -> Key {
    Key { name, required, kind, doc }
}

pub fn wrong(node: &Node, expected: &str, diagnostics: &mut Diagnostics) {
    let message = match &node.json {
        Json::Number(number) => format!("expected {expected}, found {number}"),
        other => format!("expected {expected}, found {}", other.kind()),
    };
    diagnostics.push(Diagnostic::new(Code::WrongType, message).at(node.span, format!("expected {expected}")));
}

pub fn text(node: &Node, diagnostics: &mut Diagnostics) -> Option<Arc<str>> {
    if let Json::Text(text) = &node.json {
        return Some(text.value.clone());
    }
    wrong(node, "a text", diagnostics);
    None
}

pub fn texts(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Vec<Arc<str>> {
    match node.map(|n| (&n.json, n)) {
        Some((Json::List(items), _)) => items.iter().filter_map(|item| text(item, diagnostics)).collect(),
        Some((_, node)) => {
            wrong(node, "a list of texts", diagnostics);
            Vec::new()
        }
        None => Vec::new(),
    }
}

pub fn flag(node: &Node, diagnostics: &mut Diagnostics) -> Option<bool> {
    if let Json::Bool(flag) = node.json {
        return Some(flag);
    }
    wrong(node, "true or false", diagnostics);
    None
}

/// A number greater than zero.
pub fn positive(node: &Node, diagnostics: &mut Diagnostics) -> Option<Exact> {
    let number = if let Json::Number(text) = &node.json { Exact::parse(text) } else { None };
    let positive = number.filter(|n| *n > Exact::ZERO);
    if positive.is_none() {
        wrong(node, "a positive number", diagnostics);
    }
    positive
}

/// An integer greater than zero: a figure that isn't known is left out, not 0.
pub fn figure(node: &Node, diagnostics: &mut Diagnostics) -> Option<u128> {
    let number = if let Json::Number(text) = &node.json { Exact::parse(text) } else { None };
    let figure = number.and_then(|n| n.to_count()).filter(|n| *n > 0);
    if figure.is_none() {
        wrong(node, "a positive integer", diagnostics);
    }
    figure
}

/// A formula in a text, as it is written and parsed. `unknown` has what to say of a name at its place; `None`: it is known.
pub fn formula(
    node: &Node,
    unknown: impl Fn(&str, Span) -> Option<Diagnostic>,
    diagnostics: &mut Diagnostics,
) -> Option<(Arc<str>, Expr<Name>)> {
    let Json::Text(text) = &node.json else {
        wrong(node, "a formula in a text", diagnostics);
        return None;
    };
    let expr = match parse(&text.value, Syntax::Formula) {
        Ok(expr) => expr,
        Err(error) => {
            diagnostics.push(syntax_error(error, node.span, text.plain));
            return None;
        }
    };
    let mut said = Vec::new();
    expr.for_each_variable(&mut |name: &Name| said.extend(unknown(&name.text, name_part(node.span, text.plain, name))));
    let known = said.is_empty();
    diagnostics.extend(said);
    known.then(|| (text.value.clone(), expr))
}

/// A list of which each is read; one that can't be leaves none, as the list without it would be another.
pub fn list<T>(
    node: &Node,
    expected: &str,
    read: impl Fn(&Node, &mut Diagnostics) -> Option<T>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<T>> {
    let Json::List(items) = &node.json else {
        wrong(node, expected, diagnostics);
        return None;
    };
    // All are read before any is missed, so that all that is wrong is said.
    let all: Vec<Option<T>> = items.iter().map(|item| read(item, diagnostics)).collect();
    all.into_iter().collect()
}

/// An expression over keys of a config, as it is written and parsed.
pub fn key_formula(node: &Node, diagnostics: &mut Diagnostics) -> Option<KeyFormula> {
    let Json::Text(text) = &node.json else {
        wrong(node, "an expression in a text", diagnostics);
        return None;
    };
    match parse(&text.value, Syntax::Template) {
        Ok(expr) => Some(KeyFormula { text: text.value.clone(), expr }),
        Err(error) => {
            diagnostics.push(syntax_error(error, node.span, text.plain));
            None
        }
    }
}
