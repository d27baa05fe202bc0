//! Explains a variable: its value, and who has a say in it.

use std::fmt::Write as _;

use super::escape_terminal;
use super::explain::section;
use crate::analysis::origin::Origin;
use crate::syntax::diag::Sources;
use crate::syntax::source::Span;

/// A variable's value, its definitions, the winning one first, and where they stand.
#[must_use]
pub fn explain_variable(origin: &Origin, sources: &dyn Sources) -> String {
    let value = origin.value.as_ref().map_or_else(|| "depends on the workload".to_owned(), ToString::to_string);
    let mut out = format!("{} = {}\n", escape_terminal(&origin.name), escape_terminal(&value));
    let rows = origin.steps.iter().enumerate().map(|(at, step)| {
        let place = step.span.and_then(|span| place(span, sources)).unwrap_or_default();
        // What is derived is made of what stands below it; of the rest the first wins.
        let wins = at == 0 || (at == 1 && origin.steps.first().is_some_and(|first| first.kind == "derived"));
        vec![
            step.kind.to_owned(),
            escape_terminal(&step.text).into_owned(),
            place,
            if wins { "" } else { "(not used)" }.to_owned(),
        ]
    });
    section(&mut out, "comes from", rows);
    if !origin.from.is_empty() {
        let _ = writeln!(out, "\nmade of {}", origin.from.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "));
    }
    if let Some(family) = &origin.family {
        let _ = writeln!(out, "family  {family}");
    }
    out
}

/// `config.json:17:3`.
fn place(span: Span, sources: &dyn Sources) -> Option<String> {
    let source = sources.source(span.source)?;
    let at = source.position(span.range().start);
    Some(format!("{}:{}:{}", source.name, at.line, at.column))
}
