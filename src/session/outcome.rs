//! What came of a phase: a value as far as it could be made, and what was said on the way.

use std::fmt;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::syntax::diag::{Diagnostic, Diagnostics, Sources, render, render_json};
use crate::syntax::source::{Source, SourceId};

/// A value and what was said while it was made.
///
/// A value may be there though something is wrong: an editor goes on with what could be read. Who counts takes [`Outcome::into_result`].
#[derive(Debug, Clone)]
pub struct Outcome<T> {
    /// As far as it could be made; `None`: not at all.
    pub value: Option<T>,
    /// Everything that was said of the model up to here, errors and warnings.
    pub diagnostics: Diagnostics,
    pub(super) source: Option<Source>,
    pub(super) catalog: Arc<Catalog>,
}

/// Why there is no value: at least one error, shown as the command line shows it.
#[derive(Clone)]
pub struct Failure {
    /// The errors, and the warnings beside them.
    pub diagnostics: Box<Diagnostics>,
    source: Option<Source>,
    catalog: Arc<Catalog>,
}

/// The texts that diagnostics point into: a model's and the catalog's.
struct Texts<'a> {
    model: Option<&'a Source>,
    catalog: &'a Catalog,
}

impl Sources for Texts<'_> {
    fn source(&self, id: SourceId) -> Option<Source> {
        match self.model.filter(|model| model.id == id) {
            Some(model) => Some(model.clone()),
            None => self.catalog.source(id),
        }
    }
}

impl<T> Outcome<T> {
    /// The value, if there was no error.
    ///
    /// # Errors
    /// What is wrong.
    pub fn into_result(self) -> Result<T, Failure> {
        let Outcome { value, diagnostics, source, catalog } = self;
        match value {
            Some(value) if !diagnostics.has_errors() => Ok(value),
            _ => Err(Failure { diagnostics: Box::new(diagnostics), source, catalog }),
        }
    }

    /// Goes on with what could be made; what was said stays.
    #[must_use]
    pub fn and_then<U>(self, next: impl FnOnce(T) -> Outcome<U>) -> Outcome<U> {
        let Outcome { value, mut diagnostics, source, catalog } = self;
        let Some(value) = value else { return Outcome { value: None, diagnostics, source, catalog } };
        let next = next(value);
        // The next step says again what its model already had said of it; that counts once.
        diagnostics.extend(next.diagnostics.iter().cloned());
        Outcome { diagnostics, source: next.source.or(source), ..next }
    }

    /// The same with another value.
    #[must_use]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        let Outcome { value, diagnostics, source, catalog } = self;
        Outcome { value: value.map(change), diagnostics, source, catalog }
    }

    /// Goes on with what could be made, where that may fail; why it did is said.
    #[must_use]
    pub fn try_map<U>(self, next: impl FnOnce(T) -> Result<U, Box<Diagnostic>>) -> Outcome<U> {
        let Outcome { value, mut diagnostics, source, catalog } = self;
        let value = value.and_then(|value| next(value).map_err(|why| diagnostics.push(*why)).ok());
        Outcome { value, diagnostics, source, catalog }
    }

    /// Says one thing more.
    #[must_use]
    pub fn saying(mut self, diagnostic: Diagnostic) -> Self {
        self.diagnostics.push(diagnostic);
        self
    }

    /// A diagnostic as it is shown to people, with the lines that it points at.
    #[must_use]
    pub fn shown(&self, diagnostic: &Diagnostic, color: bool) -> String {
        render(diagnostic, &self.texts(), color)
    }

    /// A diagnostic as one line of JSON, for editors.
    #[must_use]
    pub fn shown_json(&self, diagnostic: &Diagnostic) -> String {
        render_json(diagnostic, &self.texts())
    }

    pub(crate) fn texts(&self) -> impl Sources {
        Texts { model: self.source.as_ref(), catalog: &self.catalog }
    }

    /// Where a text is found that a place points into.
    pub(crate) fn sources(&self) -> impl Sources + '_ {
        self.texts()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = Texts { model: self.source.as_ref(), catalog: &self.catalog };
        self.diagnostics.sorted().into_iter().try_for_each(|diagnostic| f.write_str(&render(diagnostic, &texts, false)))
    }
}

/// As it is displayed: this is what `unwrap` and `main` show.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}

impl std::error::Error for Failure {}
