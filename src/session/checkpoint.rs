//! Files of weights as models: what a header says, the config that a map makes of it, and whether the family's model is what the file holds.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{Model, Outcome, Session, Settings};
use crate::catalog::GgufMap;
use crate::cost::workload::Workload;
use crate::import::{
    Contents, GGUF_MAGIC, Held, Reconciled, Weight, by_path, draft_from, gguf_places, is_absent, is_header, left_over,
    mapped_config, output_again, read_gguf, read_header, read_index, reconcile, stored_config, weights,
};
use crate::lower::Execution;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::json::{self, Document};
use crate::syntax::stack::deep;

/// So many names are said of a kind of what doesn't fit.
const MOST_NAMED: usize = 4;

/// A tensor holds so many weights at the most.
const MOST_SPLIT: usize = 8;

/// The most bytes of a safetensors header: as the library has it.
const MOST_HEADER: u64 = 100_000_000;

impl Session {
    /// Whether a file is one of weights, by its first bytes, of which twelve are enough.
    #[must_use]
    pub fn is_checkpoint(start: &[u8], file_bytes: Option<u64>) -> bool {
        start.starts_with(&GGUF_MAGIC) || safetensors_header(start, file_bytes).is_some()
    }

    /// What a file of weights holds, by its header, which is all that is read of it. `file_bytes`: of the whole file, if it is known.
    pub fn contents(&self, name: &str, from: &mut dyn Read, file_bytes: Option<u64>) -> Outcome<Contents> {
        let mut start = Vec::new();
        if let Err(error) = from.take(9).read_to_end(&mut start) {
            return self.failed(Diagnostic::new(Code::CannotRead, format!("cannot read `{name}`: {error}")));
        }
        let mut whole = start.as_slice().chain(from);
        if start.starts_with(&GGUF_MAGIC) {
            return match read_gguf(&mut whole, file_bytes, &self.catalog) {
                Ok(contents) => {
                    let said = remarks(name, &contents);
                    Outcome { value: Some(contents), ..self.said(said) }
                }
                Err(diagnostic) => self.failed(in_file(*diagnostic, name)),
            };
        }
        let Some(length) = safetensors_header(&start, file_bytes) else {
            let message = format!("`{name}` is neither a GGUF file nor one of safetensors");
            return self.failed(Diagnostic::new(Code::MalformedCheckpoint, message));
        };
        let mut text = Vec::new();
        if let Err(error) = whole.take(8 + length).read_to_end(&mut text) {
            return self.failed(Diagnostic::new(Code::CannotRead, format!("cannot read `{name}`: {error}")));
        }
        let header = text.get(8..).unwrap_or_default();
        if (header.len() as u64) < length {
            let message = format!("`{name}` ends in its header: {} of {length} bytes are there", header.len());
            return self.failed(
                Diagnostic::new(Code::MalformedCheckpoint, message).help("it may have been cut short: download it again"),
            );
        }
        self.header(name, header, Some(8 + length), file_bytes)
    }

    /// What a text holds that is the header of a safetensors file, or an index of some; nothing is said of another. `header_bytes`: with the
    /// eight before the text, if it was in a file.
    #[must_use]
    pub fn header(&self, name: &str, text: &[u8], header_bytes: Option<u64>, file_bytes: Option<u64>) -> Outcome<Contents> {
        let source = match self.source(name, text) {
            Ok(source) => source,
            Err(diagnostic) => return self.failed(*diagnostic),
        };
        let mut said = Diagnostics::default();
        let read = |said: &mut Diagnostics| {
            let document: Document = json::read(&source, said)?;
            let bytes = header_bytes.unwrap_or(text.len() as u64);
            if document.root.get("weight_map").is_some() {
                return read_index(&document.root, bytes, said);
            }
            // A header in a file of its own is one if it looks so.
            if header_bytes.is_none() && !is_header(&document.root) {
                return None;
            }
            read_header(&document.root, bytes, file_bytes, &self.catalog, said)
        };
        let contents = deep(|| read(&mut said));
        if let Some(contents) = &contents {
            said.extend(remarks(name, contents).iter().cloned());
        }
        Outcome { value: contents, diagnostics: said, source: Some(source), catalog: self.catalog.clone() }
    }

    /// The model that a file of weights is: the family's that a map or a config makes of it, held against its tensors.
    ///
    /// What doesn't fit is an error: a weight that the file doesn't have, or in another size, a tensor that no layer is for and no map knows.
    #[must_use]
    pub fn open(&self, name: &str, contents: &Contents, settings: &Settings) -> Outcome<Model> {
        let map = match self.map_of(name, contents) {
            Ok(map) => map,
            Err(outcome) => return outcome,
        };
        let config = match mapped_config(contents, &map) {
            Ok(config) => config,
            Err(diagnostic) => return self.failed(tensors_hint(in_file(*diagnostic, name))),
        };
        // What is asked for may be another model than the file's.
        let own = Settings { family: settings.family.clone(), ..Settings::default() };
        let plain = self.read_with(name, pretty(&config), &own);
        let evaluated =
            plain.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(&Workload::default()));
        let Some(evaluation) = evaluated.value.as_ref().filter(|_| !evaluated.diagnostics.has_errors()) else {
            let message = format!("the config that `{name}` means is no model of its family");
            return evaluated.map(|_| None).saying(tensors_hint(Diagnostic::new(Code::UnmappedCheckpoint, message))).flat();
        };
        // Each weight is in some tensor, and a tensor holds a few at the most.
        let Some(list) = weights(evaluation, contents.tensors.len().saturating_mul(MOST_SPLIT)) else {
            let message = format!("`{name}` has {} tensors, its config means more layers", contents.tensors.len());
            return self.failed(tensors_hint(Diagnostic::new(Code::UnmappedCheckpoint, message)));
        };
        let paths = by_path(&list);
        let mut reconciled = reconcile(&list, contents, &|tensor: &Held| gguf_places(&tensor.name, &map, &paths));
        let mut besides = absent(name, &list, &mut reconciled, &map);
        besides.extend(twice(name, contents, &map));
        let known = left(contents, &reconciled, &map);
        if let Some(why) = misfit(&list, contents, &reconciled, &known) {
            let message =
                format!("`{name}` is no {}: {why}", evaluation.checked.model.class.as_deref().unwrap_or("model that is known"));
            return self.failed(tensors_hint(Diagnostic::new(Code::UnmappedCheckpoint, message)));
        }
        let mut config = config;
        if let Some(stored) = stored_config(&list, &reconciled, contents) {
            config.insert("quantization_config".to_owned(), stored);
        }
        let mut opened = self.read_with(name, pretty(&config), settings);
        opened.diagnostics.extend(leftovers(name, contents, &known));
        opened.diagnostics.extend(besides);
        opened
    }

    fn map_of(&self, name: &str, contents: &Contents) -> Result<Arc<GgufMap>, Outcome<Model>> {
        let Some(architecture) = contents.text("general.architecture") else {
            let message = format!("`{name}` doesn't say of which architecture it is");
            return Err(self.failed(tensors_hint(Diagnostic::new(Code::UnmappedCheckpoint, message))));
        };
        if contents.tensors.is_empty() {
            let message = format!("`{name}` holds no tensors: a vocabulary, or metadata alone");
            return Err(self.failed(tensors_hint(Diagnostic::new(Code::UnmappedCheckpoint, message))));
        }
        match self.catalog.gguf_map(architecture) {
            Some(Ok(map)) => match &map.unbuilt {
                None => Ok(map),
                Some(what) => {
                    let message = format!("`{name}` holds {what}: no family is for it");
                    Err(self.failed(tensors_hint(Diagnostic::new(Code::UnmappedCheckpoint, message))))
                }
            },
            Some(Err(said)) => Err(self.said(said)),
            None => {
                let message = format!("no map is for the architecture `{architecture}` of `{name}`");
                let diagnostic = Diagnostic::new(Code::UnmappedCheckpoint, message);
                let near = nearest(architecture, self.catalog.gguf_architectures());
                let diagnostic = near.into_iter().fold(diagnostic, |d, near| d.note(format!("there is one for `{near}`")));
                Err(self.failed(tensors_hint(diagnostic)))
            }
        }
    }
}

impl<T> Outcome<Option<T>> {
    /// Nothing is no value.
    fn flat(self) -> Outcome<T> {
        let Outcome { value, diagnostics, source, catalog } = self;
        Outcome { value: value.flatten(), diagnostics, source, catalog }
    }
}

/// The length of the header of a safetensors file, by its first bytes.
fn safetensors_header(start: &[u8], file_bytes: Option<u64>) -> Option<u64> {
    let length = u64::from_le_bytes(start.get(..8)?.try_into().ok()?);
    let fits = file_bytes.is_none_or(|bytes| length <= bytes.saturating_sub(8));
    (start.get(8) == Some(&b'{') && (2..=MOST_HEADER).contains(&length) && fits).then_some(length)
}

fn pretty(config: &Map<String, Json>) -> String {
    // Maps of strings and numbers are always written.
    serde_json::to_string_pretty(config).unwrap_or_default()
}

fn in_file(diagnostic: Diagnostic, name: &str) -> Diagnostic {
    let message = format!("`{name}`: {}", diagnostic.message);
    Diagnostic { message, ..diagnostic }
}

fn tensors_hint(diagnostic: Diagnostic) -> Diagnostic {
    diagnostic.help("`layerspec tensors FILE` lists what it holds all the same")
}

/// What is odd about a file, as warnings.
fn remarks(name: &str, contents: &Contents) -> Diagnostics {
    let mut said = Diagnostics::default();
    said.extend(contents.remarks.iter().map(|remark| Diagnostic::new(Code::CheckpointRemark, format!("`{name}`: {remark}"))));
    said
}

/// What tensors are that no layer is for: by what they are, where that is known (else `""`), those tensors.
type Known = BTreeMap<Arc<str>, Vec<usize>>;

fn left(contents: &Contents, reconciled: &Reconciled, map: &GgufMap) -> Known {
    let from = draft_from(contents, map);
    let mut known = Known::new();
    for at in &reconciled.unused {
        let Some(tensor) = contents.tensors.get(*at) else { continue };
        let what = left_over(&tensor.name, map, from).unwrap_or_default();
        known.entry(what).or_default().push(*at);
    }
    if !reconciled.again.is_empty() {
        known.insert("weights that stand in another form, too".into(), reconciled.again.clone());
    }
    known
}

/// Why a model isn't what a file holds. `None`: it is.
fn misfit(list: &[Weight], contents: &Contents, reconciled: &Reconciled, known: &Known) -> Option<String> {
    let mut why = Vec::new();
    let names = |all: Vec<String>| {
        let more = all.len().saturating_sub(MOST_NAMED);
        let shown = all.iter().take(MOST_NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        if more > 0 { format!("{shown} and {more} more") } else { shown }
    };
    if !reconciled.missing.is_empty() {
        let all = reconciled.missing.iter().filter_map(|at| list.get(*at)).map(Weight::path).collect();
        why.push(format!("the file lacks {}", names(all)));
    }
    if let [(at, first), rest @ ..] = reconciled.differing.as_slice() {
        let path = list.get(*at).map(Weight::path).unwrap_or_default();
        let more = if rest.is_empty() { String::new() } else { format!(", and {} others differ", rest.len()) };
        why.push(format!("of `{path}` {first}{more}"));
    }
    if let Some(unknown) = known.get("") {
        let all = unknown.iter().filter_map(|at| contents.tensors.get(*at)).map(|tensor| tensor.name.to_string()).collect();
        why.push(format!("no layer is for {}", names(all)));
    }
    (!why.is_empty()).then(|| why.join("; "))
}

/// Weights that no such file has, which are then no longer missing.
fn absent(name: &str, list: &[Weight], reconciled: &mut Reconciled, map: &GgufMap) -> Vec<Diagnostic> {
    let mut why: BTreeMap<Arc<str>, (usize, u128, String)> = BTreeMap::new();
    reconciled.missing.retain(|at| {
        let Some(weight) = list.get(*at) else { return true };
        let path = weight.path();
        let Some(reason) = is_absent(&path, map) else { return true };
        let (weights, elements, _) = why.entry(reason).or_insert((0, 0, path));
        (*weights, *elements) = (*weights + 1, elements.saturating_add(u128::from(weight.elements())));
        false
    });
    let said = |(reason, (weights, elements, first)): (Arc<str>, (usize, u128, String))| {
        let message = format!("`{name}` lacks what the model has: {reason} ({weights} weights, {elements} elements, `{first}`)");
        Diagnostic::new(Code::CheckpointRemark, message)
    };
    why.into_iter().map(said).collect()
}

/// That a file holds the embedding a second time, as the output, with both totals.
fn twice(name: &str, contents: &Contents, map: &GgufMap) -> Option<Diagnostic> {
    let (again, all) = (output_again(contents, map)?, contents.elements()?);
    let once = all.checked_sub(u128::from(again))?;
    let message = format!(
        "`{name}` holds `output.weight` beside `token_embd.weight`, of the same size; such models usually have one table for both: \
         {all} elements with it, {once} without"
    );
    Some(Diagnostic::new(Code::CheckpointRemark, message))
}

/// What a file holds besides the model.
fn leftovers(name: &str, contents: &Contents, known: &Known) -> Vec<Diagnostic> {
    let said = |(what, tensors): (&Arc<str>, &Vec<usize>)| {
        let held: Vec<&Held> = tensors.iter().filter_map(|at| contents.tensors.get(*at)).collect();
        let elements: u128 = held.iter().filter_map(|tensor| tensor.elements()).map(u128::from).sum();
        let first = held.first().map(|tensor| &*tensor.name).unwrap_or_default();
        let message = format!(
            "`{name}` holds what the model doesn't build: {what} ({} tensors, {elements} elements, `{first}`)",
            held.len()
        );
        Diagnostic::new(Code::CheckpointRemark, message)
    };
    known.iter().map(said).collect()
}
