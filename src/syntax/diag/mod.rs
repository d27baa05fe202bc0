//! Diagnostics: what is wrong, where, and what to do about it.
//!
//! Every phase pushes into [`Diagnostics`]; nothing here prints. `codes` is the one table from which `explain`, `docs/errors.md` and a
//! coverage test come; `render` is the only file that knows the renderer.

mod codes;
mod nearest;
mod render;

pub use crate::syntax::source::{Position, position};
pub use codes::{CODES, Code, CodeInfo};
pub use nearest::nearest;
#[cfg(feature = "cli")]
pub use render::render_within;
pub use render::{Sources, render, render_json};

use std::collections::HashSet;

use crate::syntax::source::Span;

/// The label of a `use` in a model's file whose block has what is wrong.
pub const USED_HERE: &str = "used here";

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// There is no result.
    Error,
    /// There is a result, and a doubt.
    Warning,
}

/// A place and what to say about it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is said there.
    pub text: String,
}

/// A replacement of a place's text that would fix the error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What is replaced.
    pub span: Span,
    /// By what.
    pub replacement: String,
}

/// What is said of a place: an error or a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of mistake it is.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// One line: what was found, what was expected.
    pub message: String,
    /// The smallest place to change.
    pub primary: Option<Label>,
    /// Places that explain the first.
    pub secondary: Vec<Label>,
    /// What to do about it.
    pub help: Vec<String>,
    /// What an editor can do about it.
    pub fix: Option<Fix>,
    /// What else there is to know.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// A diagnostic of a code, as severe as the code is.
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

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Adds what else there is to know.
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

    /// The same, boxed: results stay small.
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

    /// Adds several, each unless it was said.
    pub fn extend(&mut self, other: impl IntoIterator<Item = Diagnostic>) {
        for diagnostic in other {
            self.push(diagnostic);
        }
    }

    /// How many there are: those that come are behind them.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// What has come since there were so many, and points into the catalog alone, points at a use of it in a model, too.
    pub fn used_at(&mut self, since: usize, place: Span) {
        if !place.source.is_model() {
            return;
        }
        for diagnostic in self.list.iter_mut().skip(since) {
            let mut labels = diagnostic.primary.iter().chain(&diagnostic.secondary);
            if labels.clone().count() > 0 && labels.all(|label| !label.span.source.is_model()) {
                diagnostic.secondary.push(Label { span: place, text: USED_HERE.to_owned() });
            }
        }
    }

    /// Whether any of them is an error.
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

    /// How many of them are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// Whether nothing was said.
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

    /// All, in the order in which they were said.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// The error that comes first by place.
    #[must_use]
    pub fn first_error(&self) -> Option<&Diagnostic> {
        self.sorted().into_iter().find(|said| said.severity == Severity::Error)
    }

    /// All diagnostics, by place; those without a place last.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut list: Vec<&Diagnostic> = self.list.iter().collect();
        list.sort_by_key(|d| d.primary.as_ref().map_or((1, None), |label| (0, Some(label.span))));
        list
    }
}
