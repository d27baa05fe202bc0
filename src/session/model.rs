//! A model that was checked.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value as Json};

use super::Outcome;
use crate::analysis::origin::{self, Origin};
use crate::catalog::Catalog;
use crate::cost::example::differences;
use crate::emit::{heading, import_family};
use crate::language::check::Checked;
use crate::lower::{Execution, Lowered, lower};
use crate::report::explain_variable;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, Position, Sources};
use crate::syntax::source::{Source, Span};
use crate::syntax::spec::Model as Spec;
use crate::syntax::stack::deep;

/// A place in a text: the model's own, or a file's of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What diagnostics call the text.
    pub file: Arc<str>,
    /// Byte offsets in it.
    pub range: Range<usize>,
    /// The line and column where it begins, counted from 1.
    pub position: Position,
}

impl Place {
    fn of(span: Span, sources: &dyn Sources) -> Option<Self> {
        let source = sources.source(span.source)?;
        let position = source.position(span.range().start);
        Some(Place { file: source.name, range: span.range(), position })
    }
}

/// A model description whose names are resolved and whose layers' parameters are those that their classes take. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Model(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    checked: Arc<Checked>,
    /// What was said up to here.
    said: Diagnostics,
    /// Whether the text is what was made of something else, and is what an import writes.
    is_made: bool,
    /// Flattened when first asked for. No `when` speaks of an execution yet, so one list serves all.
    lowered: OnceLock<Lowered>,
}

impl Model {
    pub(super) fn new(source: Source, checked: Checked, said: Diagnostics) -> Self {
        Model(Arc::new(Inner { source, checked: Arc::new(checked), said, is_made: false, lowered: OnceLock::new() }))
    }

    /// The same, known to be made of something else: an import writes its text.
    pub(super) fn into_made(mut self) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.is_made = true;
        }
        self
    }

    pub(super) fn checked(&self) -> &Checked {
        &self.0.checked
    }

    pub(super) fn catalog(&self) -> &Catalog {
        self.0.checked.classes.catalog()
    }

    /// Something made of this model, and what was said on the way.
    pub(super) fn outcome<T>(&self, value: Option<T>, diagnostics: Diagnostics) -> Outcome<T> {
        let catalog = self.0.checked.classes.catalog().clone();
        Outcome { value, diagnostics, source: Some(self.0.source.clone()), catalog }
    }

    /// Its name, as the file has it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.checked.model.name.as_ref().map(|name| &*name.value)
    }

    /// Whether it states facts of itself, which are checked at every evaluation.
    #[must_use]
    pub fn states_facts(&self) -> bool {
        self.0.checked.model.expect.as_ref().is_some_and(|expect| !expect.facts.is_empty() || !expect.points.is_empty())
    }

    /// Whether the part for multi-token prediction is built, of which there is some.
    #[must_use]
    pub fn has_draft(&self) -> bool {
        self.0.checked.model.draft.is_some()
    }

    /// The class of the whole model.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        self.0.checked.model.class.as_deref()
    }

    /// The family whose layers these are.
    #[must_use]
    pub fn family(&self) -> Option<&str> {
        self.0.checked.model.family.as_ref().map(|family| &*family.value)
    }

    /// The families whose layers these are: its own, then those of the configs inside it.
    #[must_use]
    pub fn families(&self) -> Vec<&str> {
        fn collect<'m>(model: &'m Spec, out: &mut Vec<&'m str>) {
            out.extend(model.family.as_ref().map(|family| &*family.value));
            model.nested.iter().for_each(|(_, inner)| collect(inner, out));
        }
        let mut families = Vec::new();
        collect(&self.0.checked.model, &mut families);
        families
    }

    /// Where its figures come from.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.0.checked.model.source.as_deref()
    }

    /// Whether it was made of a config rather than written as a model.
    #[must_use]
    pub fn is_of_config(&self) -> bool {
        self.0.checked.model.is_of_config()
    }

    /// The keys of its config that nothing used, by the inner config that they stand in (`None`: the outer one).
    #[must_use]
    pub fn unused_keys(&self) -> Vec<(Option<&str>, Vec<&str>)> {
        let model = &self.0.checked.model;
        let inner = model.nested.iter().map(|(name, inner)| (Some(&*name.value), inner));
        std::iter::once((None, model))
            .chain(inner)
            .map(|(place, model)| (place, model.unused.iter().map(|key| &*key.value).collect()))
            .filter(|(_, keys): &(_, Vec<&str>)| !keys.is_empty())
            .collect()
    }

    /// What is wrong with the worked examples of the classes that the model defines itself: each that doesn't come out as it says.
    #[must_use]
    pub fn check_examples(&self) -> Diagnostics {
        let classes = &self.0.checked.classes;
        let mut said = Diagnostics::default();
        for class in classes.own() {
            for (at, example) in class.examples.iter().enumerate() {
                let doc =
                    if example.doc.is_empty() { format!("example {at}") } else { format!("example {at} ({})", example.doc) };
                for difference in deep(|| differences(class, example, classes.catalog())) {
                    let diagnostic = Diagnostic::new(Code::ExpectationFailed, format!("{doc} of `{}`: {difference}", class.name));
                    said.push(diagnostic.at(class.span, "this class"));
                }
            }
        }
        said
    }

    /// The flat list as it is run under an execution: made when first asked for, then shared by all that run the same list.
    #[must_use]
    pub fn lowered(&self, execution: &Execution) -> Outcome<Lowered> {
        let made = || deep(|| lower(self.0.source.clone(), &self.0.checked, *execution, self.0.said.clone()));
        let first = self.0.lowered.get_or_init(made);
        let lowered = if first.is_list_of(*execution) { Lowered { execution: *execution, ..first.clone() } } else { made() };
        let said = Diagnostics::clone(&lowered.said);
        self.outcome(Some(lowered), said)
    }

    /// Where a variable's value comes from; `text.hidden_size` is one of an inner config. `None`: there is none of this name.
    #[must_use]
    pub fn origin(&self, variable: &str) -> Option<Origin> {
        deep(|| origin::origin(&self.0.checked, variable))
    }

    /// The same for people: the value, its definitions, the winning one first, and where they stand.
    #[must_use]
    pub fn explain_variable(&self, variable: &str) -> Option<String> {
        let origin = self.origin(variable)?;
        let texts = self.outcome(Some(()), Diagnostics::default());
        Some(explain_variable(&origin, &texts.sources()))
    }

    /// Where what stands at a byte offset of its text is defined: a variable, a class, a block, an inner config. Several places where a block
    /// means other things at its uses; none where nothing is used.
    ///
    /// ```
    /// use layerspec::Session;
    ///
    /// let text = r#"{ "variables": { "h": 8 }, "layers": [
    ///   { "name": "up", "class": "torch.nn.SiLU", "parameters": { "features": "4 * <h>" } } ] }"#;
    /// let model = Session::new().read("tiny.json", text).into_result()?;
    /// let places = model.definitions_at(text.find("<h>").unwrap() + 1);
    /// assert_eq!(places[0].range, text.find("\"h\"").unwrap()..text.find("\"h\"").unwrap() + 3);
    /// # Ok::<(), layerspec::Failure>(())
    /// ```
    #[must_use]
    pub fn definitions_at(&self, offset: usize) -> Vec<Place> {
        let texts = self.outcome(Some(()), Diagnostics::default());
        let found = self.0.checked.resolution.definitions_at(self.0.source.id, offset);
        found.into_iter().filter_map(|span| Place::of(span, &texts.sources())).collect()
    }

    /// The names of its variables, those of inner configs with their config's name before them.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        origin::names(&self.0.checked.model)
    }

    /// What a model file says beside its layers, where these are written out; `name` in place of one that it lacks.
    #[must_use]
    pub fn heading(&self, name: Option<&str>) -> Map<String, Json> {
        heading(&self.0.checked.model, name)
    }

    /// A config as a model file of its family; `name` in place of one that the config lacks. An error for a model that is a file already.
    #[must_use]
    pub fn import(&self, name: Option<&str>) -> Outcome<Json> {
        let model = &self.0.checked.model;
        let mut said = self.0.said.clone();
        if self.0.is_made
            && let Ok(Json::Object(mut file)) = serde_json::from_str(&self.0.source.text)
        {
            if let Some(name) = name {
                file.insert("name".to_owned(), Json::String(name.to_owned()));
            }
            return self.outcome(Some(Json::Object(file)), said);
        }
        if !model.is_of_config() {
            let place = model.span.part(0..1);
            let diagnostic = Diagnostic::new(Code::WrongType, "this is a model file already").at(place, "not a config");
            said.push(diagnostic.help("`layerspec compile` takes it as it is"));
            return self.outcome(None, said);
        }
        let catalog = self.0.checked.classes.catalog();
        let family = model.family.as_ref().and_then(|family| catalog.family(&family.value)?.ok());
        self.outcome(Some(import_family(model, family, name)), said)
    }
}
