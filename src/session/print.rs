//! Texts of `print(model)` as models: the family's whose class is printed, if its modules are those of the text; else the text as it stands.

use serde_json::{Map, Value as Json};

use super::{Model, Outcome, Session, Settings, pretty};
use crate::cost::workload::Workload;
use crate::evaluation::Evaluation;
use crate::import::print::{
    self, Adapter, Made, Module, Printed, Unknown, cleaned, completed, differences, family_of, is_print, model_of,
    model_of_adapters, read_print, shared, table_of, unwrapped,
};
use crate::import::{Weight, weights};
use crate::lower::Execution;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::source::{Source, Span};
use crate::syntax::stack::deep;
use crate::syntax::words::few_quoted;

/// Weights of a model that are compared.
const MOST_WEIGHTS: usize = 250_000;
/// So many names are said.
const MOST_NAMED: usize = 12;

impl Session {
    /// Whether a text is one of `print(model)`, or a table of layers that another program makes, of which an answer says what it is.
    #[must_use]
    pub fn is_print(bytes: &[u8]) -> bool {
        // A model file, a config, an index begin so.
        if bytes.trim_ascii_start().starts_with(b"{") {
            return false;
        }
        cleaned(bytes).is_some_and(|text| is_print(&text) || table_of(&text).is_some())
    }

    /// The model of a text of `print(model)`.
    ///
    /// ```
    /// use layerspec::{Execution, Session, Workload};
    ///
    /// let text = "Net(\n  (0): Linear(in_features=50, out_features=30, bias=True)\n  (1): ReLU()\n)";
    /// let model = Session::new().printed("net.txt", text, &Default::default()).into_result()?;
    /// let at = model.lowered(&Execution::default()).into_result()?.at(&Workload::prefill(1, 1)).into_result()?;
    /// assert_eq!(at.params(), 50 * 30 + 30);
    /// # Ok::<(), layerspec::Failure>(())
    /// ```
    #[must_use]
    pub fn printed(&self, name: &str, text: impl AsRef<[u8]>, settings: &Settings) -> Outcome<Model> {
        if let Err(diagnostic) = Source::fits(name, text.as_ref().len()) {
            return self.failed(*diagnostic);
        }
        let Some(text) = cleaned(text.as_ref()) else {
            return self.failed(Diagnostic::new(Code::NotUtf8, format!("`{name}` is not UTF-8 text")));
        };
        let source = match self.source(name, text.as_bytes()) {
            Ok(source) => source,
            Err(diagnostic) => return self.failed(*diagnostic),
        };
        let reading = Reading { session: self, source: &source, settings };
        let mut outcome = deep(|| reading.model());
        // What is said points into the text that was printed.
        outcome.source = Some(source);
        outcome
    }
}

/// A text that is being read.
struct Reading<'s> {
    session: &'s Session,
    source: &'s Source,
    settings: &'s Settings,
}

impl Reading<'_> {
    fn remark(&self, message: String) -> Diagnostic {
        Diagnostic::new(Code::CheckpointRemark, message)
    }

    fn model(&self) -> Outcome<Model> {
        let name = &self.source.name;
        if let Some(program) = table_of(&self.source.text) {
            let message = format!("`{name}` is a table of layers as {program} prints it, not `print(model)`");
            let diagnostic = Diagnostic::new(Code::MalformedCheckpoint, message);
            let help = "such a table doesn't say what each layer is; give what `print(model)` shows, or the config.json";
            return self.session.failed(diagnostic.help(help));
        }
        let text = match read_print(self.source) {
            Ok(text) => text,
            Err(diagnostic) => {
                let said: Diagnostics = (*diagnostic).into();
                return self.session.said(said);
            }
        };
        let mut said = Diagnostics::default();
        said.extend(self.session.catalog.print_said().cloned());
        if text.more > 0 {
            let models = if text.more == 1 { "another model".to_owned() } else { format!("{} other models", text.more) };
            said.push(self.remark(format!("`{name}` holds {models}: the first is taken")));
        }
        let unwrapped = unwrapped(text.root, &self.session.catalog);
        if !unwrapped.wrappers.is_empty() {
            said.push(self.remark(format!("taken off: {}", few_quoted(&unwrapped.wrappers, MOST_NAMED))));
        }
        let root = completed(unwrapped.root, &self.session.catalog);
        let mut outcome = self.of_root(&root, &text.cuts, &mut said);
        if outcome.value.is_some() && !unwrapped.adapters.is_empty() {
            said.push(self.adapters(&unwrapped.adapters));
        }
        outcome.diagnostics.extend(said.iter().cloned());
        outcome
    }

    fn of_root(&self, root: &Module, cuts: &[usize], said: &mut Diagnostics) -> Outcome<Model> {
        let size = self.settings.variables.iter().rev().find(|(name, _)| &**name == "image_size");
        let made = model_of(root, &self.session.catalog, size.and_then(|(_, value)| value.as_u64()));
        let mut why_not = None;
        // What lacks its last parentheses may be whole: the family's modules say it.
        let is_closed_late = cuts.iter().all(|cut| *cut >= self.source.text.trim_end().len());
        if is_closed_late {
            match self.of_family(root, &made, said) {
                Ok(Some(outcome)) => return outcome,
                Ok(None) => {}
                Err(why) => why_not = Some(why),
            }
        }
        if let Some(why) = &why_not {
            said.push(self.remark(format!("it isn't taken as a `{}` of the catalog: {why}", root.class)));
        }
        self.as_it_stands(root, made, cuts, said)
    }

    /// The model that a family makes of what is printed. `None`: no family is for the class.
    ///
    /// # Errors
    /// Why none of those that are makes it.
    fn of_family(&self, root: &Module, made: &Made, said: &mut Diagnostics) -> Result<Option<Outcome<Model>>, String> {
        let families = family_of(&root.class, &self.session.catalog);
        if families.is_empty() {
            return Ok(None);
        }
        let printed = Printed::of(root, &self.session.catalog, MOST_WEIGHTS).ok_or("it has too many modules")?;
        let of_text = self.weights(&made.model, "the text").unwrap_or_default();
        let (mut differs, mut why) = (None, None);
        let modules = print::Modules::of(root);
        for family in families {
            let mut config = modules.config(family, &self.session.catalog);
            if let Some(quantization) = &made.quantization {
                config.said.insert("quantization_config".to_owned(), quantization.clone());
            }
            for attempt in self.session.attempts(family, &config) {
                let mut whole = config.said.clone();
                whole.extend(attempt.0.clone());
                let own = match self.weights(&whole, "the config") {
                    Ok(own) => own,
                    Err(unmade) => {
                        why = why.or(Some(unmade));
                        continue;
                    }
                };
                match differences(&printed, &of_text, &own) {
                    None => {
                        let (paths, elements) = shared(&printed, &of_text, &own);
                        said.extend((!paths.is_empty()).then(|| self.remark(once(&paths, elements))));
                        said.extend(Session::guessed("the text doesn't say", family, &config.said, &attempt));
                        let model = self.session.read_with(&self.source.name, pretty(&whole), self.settings);
                        return Ok(Some(model));
                    }
                    Some(different) => differs = differs.or(Some(different)),
                }
            }
        }
        Err(differs.or(why).unwrap_or_default())
    }

    /// The weights of a model that is written out, or of a config.
    ///
    /// # Errors
    /// What is wrong with it.
    fn weights(&self, model: &Map<String, Json>, what: &str) -> Result<Vec<Weight>, String> {
        let evaluated = self.evaluated(model);
        let evaluation: Option<&Evaluation> = evaluated.value.as_ref().filter(|_| !evaluated.diagnostics.has_errors());
        let Some(evaluation) = evaluation else {
            let first = evaluated.diagnostics.first_error().map(|error| error.message.clone());
            return Err(first.unwrap_or_else(|| format!("{what} makes no model")));
        };
        weights(evaluation, MOST_WEIGHTS).ok_or_else(|| format!("{what} has too many weights"))
    }

    fn evaluated(&self, model: &Map<String, Json>) -> Outcome<Evaluation> {
        let read = self.session.read(&self.source.name, pretty(model));
        read.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(&Workload::default()))
    }

    fn as_it_stands(&self, root: &Module, mut made: Made, cuts: &[usize], said: &mut Diagnostics) -> Outcome<Model> {
        if self.settings.partial && made.layers > 0 {
            let cut = (!cuts.is_empty()).then(|| "what the text leaves out".to_owned());
            let without: Vec<Json> = made.unknown.iter().map(one_unknown).chain(cut).map(Json::String).collect();
            if !without.is_empty() {
                made.model.insert("partial".to_owned(), Json::Array(without));
            }
        } else if let Some(diagnostic) = self.unsaid(&made, cuts) {
            let mut all = said.clone();
            all.push(diagnostic);
            *said = Diagnostics::default();
            return self.session.said(all);
        }
        let message = format!(
            "`{}` is taken as its text has it, {} layers: what runs between them (sums, attention itself) isn't in it, nor are tensors that modules own, nor whether two share one",
            root.class, made.layers
        );
        said.push(self.remark(message));
        if let Some(size) = made.guessed_size {
            said.push(self.remark(format!("guessed: what it reads is {size} wide, which `--set image_size=N` changes")));
        }
        let model = self.session.read_with(&self.source.name, pretty(&made.model), self.settings);
        model.map(Model::into_made)
    }

    /// What of the text can't be known.
    fn unsaid(&self, made: &Made, cuts: &[usize]) -> Option<Diagnostic> {
        let name = &self.source.name;
        let span = |at: std::ops::Range<usize>| Span::new(self.source.id, at);
        let diagnostic = match (cuts.first(), made.unknown.first()) {
            (Some(cut), _) => {
                let places = if cuts.len() == 1 { String::new() } else { format!(", in {} places", cuts.len()) };
                let message = format!("`{name}` is cut{places}: modules are missing");
                let diagnostic = Diagnostic::new(Code::MalformedCheckpoint, message).at(span(*cut..*cut), "left out here");
                diagnostic.help("`--partial` takes what is there, and marks totals as partial")
            }
            (None, Some(first)) => {
                let message = format!("of {} nothing is known", unknown(&made.unknown));
                let diagnostic = Diagnostic::new(Code::UnmappedCheckpoint, message).at(span(first.at.clone()), first.why.clone());
                let diagnostic = diagnostic.help("`--partial` leaves them out, and marks totals as partial");
                diagnostic.help("a class of your own can be in a catalog: `--catalog FOLDER` (docs/classes.md)")
            }
            (None, None) if made.layers == 0 => {
                let message = format!("`{name}` has no layer of which anything is known");
                Diagnostic::new(Code::UnmappedCheckpoint, message)
            }
            (None, None) => return None,
        };
        Some(diagnostic)
    }

    /// What adapters add, which isn't in the model.
    fn adapters(&self, adapters: &[Adapter]) -> Diagnostic {
        let mut made = model_of_adapters(adapters, &self.session.catalog);
        made.unknown.retain(|unknown| unknown.has_weights);
        let params = self.evaluated(&made.model).value.map(|evaluation| evaluation.params());
        let more = if made.unknown.is_empty() {
            String::new()
        } else {
            format!(", and {}, whose sizes aren't said", unknown(&made.unknown))
        };
        let count = match params {
            Some(params) => format!("{params} parameters"),
            None => "parameters that can't be counted".to_owned(),
        };
        self.remark(format!("the adapter is apart from the model: {count} beside its own{more}, which are what is trained"))
    }
}

/// That tensors are counted once that a text shows twice.
fn once(paths: &[String], elements: u128) -> String {
    let (are, they) =
        if paths.len() == 1 { ("is", "it has a tensor of its own") } else { ("are", "they have tensors of their own") };
    format!(
        "{} {are} shared with another layer, as the family has it, and counted there: {elements} parameters more if {they}",
        few_quoted(paths, MOST_NAMED)
    )
}

fn one_unknown(unknown: &Unknown) -> String {
    match unknown.count {
        1 => format!("`{}` ({})", unknown.class, unknown.why),
        count => format!("{count} `{}` ({})", unknown.class, unknown.why),
    }
}

/// Layers of which nothing is known, by their classes.
fn unknown(all: &[Unknown]) -> String {
    let more = all.len().saturating_sub(MOST_NAMED);
    let shown = all.iter().take(MOST_NAMED).map(one_unknown).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} other classes") } else { shown }
}
