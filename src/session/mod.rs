//! The facade: load a model, lower it, evaluate it at a workload, walk its rows, ask for totals, peaks and plans.
//!
//! Everything that comes out is owned, and `Send + Sync`. What needs room for recursion takes it here, whatever thread it runs on.

mod bless;
mod checkpoint;
mod evaluation;
mod expression;
mod guess;
mod layout;
mod lowered;
mod mix;
mod model;
mod names;
mod outcome;
mod print;
mod settings;
mod solve;
mod stage;
mod subject;
mod sweep;
#[cfg(test)]
mod tests;
mod variable;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Map, Value as Json};

pub use bless::Blessed;
pub use expression::{Expression, ExpressionError};
pub use lowered::FlatRow;
pub use model::{Model, Place};
pub use outcome::{Failure, Outcome};
pub use settings::Settings;
pub use solve::{Solve, Solved};
pub use stage::{Shown, Stage};
pub use sweep::{Axes, Load, Problem, Room, Sweep};
pub use variable::{SHORT_NAMES, Variable};

use crate::catalog::{Catalog, Convention};
use crate::language;
use crate::language::check::check;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::json::{self, Document};
use crate::syntax::source::{Source, SourceId};
use crate::syntax::stack::deep;

/// Where models are loaded: a catalog, and as many models over it as one likes.
///
/// ```
/// use layerspec::{Execution, Session, Workload};
///
/// let session = Session::new();
/// let model = session.load("llama-2-7b-hf").into_result()?;
/// let at = model.lowered(&Execution::default()).into_result()?.at(&Workload::prefill(1, 2048)).into_result()?;
/// assert_eq!(at.params(), 6_738_415_616);
/// assert_eq!(at.matmul_flops(), 29_261_612_187_648);
/// # Ok::<(), layerspec::Failure>(())
/// ```
#[derive(Debug)]
pub struct Session {
    catalog: Arc<Catalog>,
    /// How many models were read: each has a number of its own, by which diagnostics point into it.
    models: AtomicU32,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A session over the embedded catalog.
    #[must_use]
    pub fn new() -> Self {
        Self::over(Catalog::new())
    }

    /// A session over another catalog: the embedded one with files laid over it.
    #[must_use]
    pub fn over(catalog: Catalog) -> Self {
        Session { catalog: Arc::new(catalog), models: AtomicU32::new(0) }
    }

    /// What there is: classes, families, devices, dtypes.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Conventions by name, or if none is named all: first the one that others are compared with.
    ///
    /// # Errors
    /// A name that no convention has, or what is wrong with a file.
    pub fn conventions<N: AsRef<str>>(&self, names: &[N]) -> Result<Vec<Arc<Convention>>, Diagnostics> {
        if names.is_empty() {
            let mut all: Vec<Arc<Convention>> = self.catalog.conventions().collect::<Result<_, _>>()?;
            all.sort_by_key(|convention| !convention.reference);
            return Ok(all);
        }
        let named = names.iter().map(AsRef::as_ref).filter(|name: &&str| !name.is_empty());
        let mut all: Vec<Arc<Convention>> = named.map(|name| self.catalog.convention(name)).collect::<Result<_, _>>()?;
        // Twice the same is compared with nothing.
        let mut seen: HashSet<Arc<str>> = HashSet::new();
        all.retain(|convention| seen.insert(convention.name.clone()));
        Ok(all)
    }

    /// Loads an embedded model by its file's name or its own (`meta-llama/Llama-2-7b-hf`), in any spelling.
    #[must_use]
    pub fn load(&self, name: &str) -> Outcome<Model> {
        self.load_with(name, &Settings::default())
    }

    /// The same with settings.
    #[must_use]
    pub fn load_with(&self, name: &str, settings: &Settings) -> Outcome<Model> {
        match self.embedded(name) {
            Some((path, text)) => self.read_with(path, text, settings),
            None => self.failed(self.unknown_model(name)),
        }
    }

    /// Reads a model file or a config from its text; `name` is what diagnostics call it, mostly its path.
    ///
    /// ```
    /// use layerspec::Session;
    ///
    /// let text = r#"{ "layers": [ { "name": "up", "class": "Linaer" } ] }"#;
    /// let failure = Session::new().read("tiny.json", text).into_result().unwrap_err();
    /// assert!(failure.to_string().contains("unknown class `Linaer`"));
    /// ```
    #[must_use]
    pub fn read(&self, name: &str, text: impl AsRef<[u8]>) -> Outcome<Model> {
        self.read_with(name, text, &Settings::default())
    }

    /// The same with settings.
    #[must_use]
    pub fn read_with(&self, name: &str, text: impl AsRef<[u8]>, settings: &Settings) -> Outcome<Model> {
        self.read_stored(name, text, settings, None)
    }

    /// The same with what a file of weights says of how they are stored, in place of what the text says.
    fn read_stored(
        &self,
        name: &str,
        text: impl AsRef<[u8]>,
        settings: &Settings,
        stored: Option<&serde_json::Value>,
    ) -> Outcome<Model> {
        let source = match self.source(name, text.as_ref()) {
            Ok(source) => source,
            Err(diagnostic) => return self.failed(*diagnostic),
        };
        let read = deep(|| {
            let mut diagnostics = Diagnostics::default();
            let model = self.checked(&source, settings, stored, &mut diagnostics);
            let value = model.map(|checked| Model::new(source.clone(), checked, diagnostics.clone()));
            Outcome { value, diagnostics, source: Some(source.clone()), catalog: self.catalog.clone() }
        });
        match &settings.mix {
            Some(asked) => self.mixed(read, &source, settings, asked),
            None => read,
        }
    }

    /// Whether a text could be meant as a model: a model file, or a config that says of which type it is. Tokenizers, indices of checkpoints and
    /// what this program wrote are none; a text that is no JSON may have been one.
    #[must_use]
    pub fn may_be_model(&self, name: &str, text: impl AsRef<[u8]>) -> bool {
        let Ok(source) = self.source(name, text.as_ref()) else { return true };
        let read = deep(|| json::read(&source, &mut Diagnostics::default()));
        read.is_none_or(|document| language::says_that_it_is_a_model(&document.root))
    }

    /// The tree of a JSON text, what could be read of it if it is broken: for editors.
    #[must_use]
    pub fn syntax_tree(&self, name: &str, text: impl AsRef<[u8]>) -> Outcome<Document> {
        let source = match self.source(name, text.as_ref()) {
            Ok(source) => source,
            Err(diagnostic) => return self.failed(*diagnostic),
        };
        let mut diagnostics = Diagnostics::default();
        let value = json::read(&source, &mut diagnostics).or_else(|| Some(json::recover(&source)));
        Outcome { value, diagnostics, source: Some(source), catalog: self.catalog.clone() }
    }

    /// The text of an embedded model and the path that diagnostics call it by.
    pub(crate) fn embedded(&self, name: &str) -> Option<(&'static str, &'static str)> {
        names::embedded(name, &self.catalog)
    }

    /// What to say of a name that no embedded model has.
    pub(crate) fn unknown_model(&self, name: &str) -> Diagnostic {
        names::unknown(name, &self.catalog)
    }

    fn source(&self, name: &str, bytes: &[u8]) -> Result<Source, Box<Diagnostic>> {
        Source::load(SourceId::model(self.models.fetch_add(1, Ordering::Relaxed)), name, bytes)
    }

    fn checked(
        &self,
        source: &Source,
        settings: &Settings,
        stored: Option<&serde_json::Value>,
        diagnostics: &mut Diagnostics,
    ) -> Option<language::check::Checked> {
        let document = json::read(source, diagnostics)?;
        let mut model = language::model(&document, &self.catalog, settings.wanted(), diagnostics)?;
        if settings.partial {
            language::leave_out(&mut model, &self.catalog, &settings.variables);
        }
        if !model.partial.is_empty() {
            diagnostics.push(Diagnostic::new(Code::PartialModel, format!("totals are partial: without {}", model.without())));
        }
        if let Some(stored) = stored {
            model.checkpoint = Some(language::checkpoint::stored(model.checkpoint.take(), stored, document.root.span));
        }
        // As large as the model.
        drop(document);
        let family = model.family.as_ref().map(|family| family.span);
        let checked = check(model, &self.catalog, settings.variables.clone(), diagnostics);
        family.into_iter().for_each(|place| diagnostics.used_at(0, place));
        Some(checked)
    }

    /// Nothing but what was said.
    pub(crate) fn said<T>(&self, diagnostics: Diagnostics) -> Outcome<T> {
        Outcome { value: None, diagnostics, source: None, catalog: self.catalog.clone() }
    }

    /// Nothing but a diagnostic without a place.
    pub(crate) fn failed<T>(&self, diagnostic: Diagnostic) -> Outcome<T> {
        self.said(diagnostic.into())
    }
}

/// A model or a config that was made, as text.
fn pretty(made: &Map<String, Json>) -> String {
    // Maps of strings and numbers are always written.
    serde_json::to_string_pretty(made).unwrap_or_default()
}
