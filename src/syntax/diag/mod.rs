//! Diagnostics: what is wrong, where, and what to do about it.
//!
//! Every phase pushes into [`Diagnostics`]; nothing here prints. `codes` is the one table from which `explain`, `docs/errors.md` and a
//! coverage test come; `render` is the only file that knows the renderer.

mod codes;
mod nearest;
mod render;

pub use codes::{CODES, Code, CodeInfo};
pub use nearest::nearest;
pub use render::{Position, Sources, position, render, render_json};

use std::collections::HashSet;

use crate::syntax::source::Span;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// A place and what to say about it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

/// A replacement of a place's text that would fix the error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    pub span: Span,
    pub replacement: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub code: Code,
    pub severity: Severity,
    pub message: String,
    pub primary: Option<Label>,
    pub secondary: Vec<Label>,
    pub help: Vec<String>,
    pub fix: Option<Fix>,
    pub notes: Vec<String>,
}

impl Diagnostic {
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            severity: code.severity(),
            message: message.into(),
            primary: None,
            secondary: Vec::new(),
            help: Vec::new(),
            fix: None,
            notes: Vec::new(),
        }
    }

    /// The smallest place to change, and what is said there.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.primary = Some(Label { span, text: text.into() });
        self
    }

    /// Another place that explains the first.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// "did you mean `name`?", with the replacement for editors. Nothing without a name.
    #[must_use]
    pub fn did_you_mean(mut self, span: Span, name: Option<&str>) -> Self {
        if let Some(name) = name {
            self.help.push(format!("did you mean `{name}`?"));
            self.fix = Some(Fix { span, replacement: name.to_owned() });
        }
        self
    }

    #[must_use]
    pub fn boxed(self) -> Box<Self> {
        Box::new(self)
    }
}

/// The diagnostics of one run, in the order in which they are shown: by place, without repetitions.
#[derive(Debug, Default, Clone)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    seen: HashSet<(Code, Option<Span>, String)>,
    codes: HashSet<Code>,
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(diagnostic);
        diagnostics
    }
}

impl Diagnostics {
    /// Adds a diagnostic unless the same code was already said of the same place: a body that is checked for each of its instances
    /// says its errors once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let place = diagnostic.primary.as_ref().map(|label| label.span);
        let text = if place.is_some() { String::new() } else { diagnostic.message.clone() };
        if self.seen.insert((diagnostic.code, place, text)) {
            self.codes.insert(diagnostic.code);
            self.list.push(diagnostic);
        }
    }

    pub fn extend(&mut self, other: impl IntoIterator<Item = Diagnostic>) {
        for diagnostic in other {
            self.push(diagnostic);
        }
    }

    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.codes.iter().any(|code| code.severity() == Severity::Error)
    }

    /// Whether more was said than anyone reads: then looking for the nearest of thousands of names is no help to anyone.
    #[must_use]
    pub fn crowded(&self) -> bool {
        self.list.len() >= 50
    }

    /// Whether this was said of this place.
    #[must_use]
    pub fn said(&self, code: Code, span: Span) -> bool {
        self.seen.contains(&(code, Some(span), String::new()))
    }

    /// Whether this was said of any place.
    #[must_use]
    pub fn has(&self, code: Code) -> bool {
        self.codes.contains(&code)
    }

    #[must_use]
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|d| d.severity == Severity::Error).count()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether every error is one of these codes (false without errors).
    #[must_use]
    pub fn only(&self, codes: &[Code]) -> bool {
        let mut errors = self.list.iter().filter(|d| d.severity == Severity::Error).peekable();
        errors.peek().is_some() && errors.all(|d| codes.contains(&d.code))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// All diagnostics, by place; those without a place last.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut list: Vec<&Diagnostic> = self.list.iter().collect();
        list.sort_by_key(|d| d.primary.as_ref().map_or((1, None), |label| (0, Some(label.span))));
        list
    }
}
