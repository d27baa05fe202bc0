//! Files of weights as models: what a header says, the config that a map makes of it, and whether the family's model is what the file holds.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Read;
use std::sync::Arc;

use serde_json::Value as Json;

use super::{Model, Outcome, Session, Settings, pretty};
use crate::catalog::{GgufMap, HubRules};
use crate::cost::workload::Workload;
use crate::evaluation::Evaluation;
use crate::import::print::{Modules, modules_of};
use crate::import::{
    Contents, GGUF_ARCHITECTURE, GGUF_MAGIC, Held, HubNames, Reconciled, Weight, by_path, contents_of, filled, gguf_places,
    hub_left_over, hub_variants, is_absent, is_dump, is_header, left_over, mapped, merged, missing_shards, pattern, read_dump,
    read_gguf, read_header, read_index, reconcile, stored_config, weights,
};
use crate::lower::Execution;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::expr::Value;
use crate::syntax::json::{self, Document};
use crate::syntax::stack::deep;
use crate::syntax::words::few_quoted;

/// So many names are said of a kind of what doesn't fit.
const MOST_NAMED: usize = 4;

/// A family that a file may be of has so much of what the one has that is most like the file.
const RESEMBLANCE: (usize, usize) = (2, 3);

/// So many guesses are tried of a family.
const MOST_ATTEMPTS: usize = 48;

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

    /// Whether a text may be one that [`Session::header`] reads: all such have one of these words in them, and nearly no model has.
    #[must_use]
    pub fn may_be_header(text: &[u8]) -> bool {
        let has_words = |text: &str| text.contains("weight_map") || text.contains("data_offsets");
        is_dump(text) || std::str::from_utf8(text).is_ok_and(has_words)
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

    /// What a text holds that is the header of a safetensors file, an index of some, or what `gguf-dump` printed; nothing is said of another.
    /// `header_bytes`: with the eight before the text, if it was in a file.
    #[must_use]
    pub fn header(&self, name: &str, text: &[u8], header_bytes: Option<u64>, file_bytes: Option<u64>) -> Outcome<Contents> {
        let source = match self.source(name, text) {
            Ok(source) => source,
            Err(diagnostic) => return self.failed(*diagnostic),
        };
        if is_dump(text) {
            let contents = read_dump(&source.text, &self.catalog);
            return Outcome {
                value: Some(contents),
                diagnostics: Diagnostics::default(),
                source: Some(source),
                catalog: self.catalog.clone(),
            };
        }
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

    /// What an index and the files hold that were found beside it, with their names.
    #[must_use]
    pub fn with_files(&self, index: Outcome<Contents>, files: Vec<(String, Outcome<Contents>)>) -> Outcome<Contents> {
        let mut said = index.diagnostics.clone();
        let parts = self.parts(files, &mut said);
        let joined = index.map(|index| index.with_files(parts));
        Outcome { diagnostics: said, ..joined }
    }

    /// What several files hold together: shards of one model. Those that say that they are of another, or another shard than they are called,
    /// are an error; those that aren't there are in [`Contents::missing`].
    #[must_use]
    pub fn together(&self, files: Vec<(String, Outcome<Contents>)>) -> Outcome<Contents> {
        let mut said = Diagnostics::default();
        let parts = self.parts(files, &mut said);
        let missing = match missing_shards(&parts) {
            Ok(missing) => missing,
            Err(diagnostic) => {
                said.push(*diagnostic);
                return self.said(said);
            }
        };
        if !missing.is_empty() {
            let named = few_quoted(&missing, MOST_NAMED);
            said.push(Diagnostic::new(Code::CheckpointRemark, format!("{} shards aren't there: {named}", missing.len())));
        }
        let is_any = !parts.is_empty();
        Outcome { value: is_any.then(|| Contents { missing, ..merged(parts) }), ..self.said(said) }
    }

    fn parts(&self, files: Vec<(String, Outcome<Contents>)>, said: &mut Diagnostics) -> Vec<(Arc<str>, Contents)> {
        let mut parts = Vec::new();
        for (name, outcome) in files {
            // Places in a header are of no use without it.
            said.extend(outcome.diagnostics.iter().map(|diagnostic| Diagnostic {
                primary: None,
                secondary: Vec::new(),
                ..diagnostic.clone()
            }));
            parts.extend(outcome.value.map(|contents| (name.into(), contents)));
        }
        parts
    }

    /// The model that a file of weights is: what a map of its metadata or the config beside it makes, held against its tensors, with the bytes
    /// that each weight has there. `config`: its name and text.
    ///
    /// Without a config, what doesn't fit is an error: a weight that the file doesn't have, or in another size, a tensor that no layer is for and
    /// no rule knows. With one it is a warning, and the weights are what the config says.
    #[must_use]
    pub fn open(&self, name: &str, contents: &Contents, config: Option<(&str, &[u8])>, settings: &Settings) -> Outcome<Model> {
        if config.is_none() && !contents.missing.is_empty() {
            let message = format!("`{name}` is a part of a model, of which {} files aren't there", contents.missing.len());
            let help = format!("put {} beside it", few_quoted(&contents.missing, MOST_NAMED));
            return self.failed(tensors_hint(Diagnostic::new(Code::UnmappedCheckpoint, message).help(help)));
        }
        match config {
            Some(config) => self.open_with(name, contents, config, settings),
            None if contents.get(GGUF_ARCHITECTURE).is_some() => self.open_mapped(name, contents, settings),
            None => self.open_inferred(name, contents, settings),
        }
    }

    fn open_mapped(&self, name: &str, contents: &Contents, settings: &Settings) -> Outcome<Model> {
        let map = match self.map_of(name, contents) {
            Ok(map) => map,
            Err(outcome) => return *outcome,
        };
        let mut mapped = match mapped(contents, &map) {
            Ok(mapped) => mapped,
            Err(diagnostic) => return self.failed(tensors_hint(in_file(*diagnostic, name))),
        };
        // What is asked for may be another model than the file's.
        let own = Settings { variables: Vec::new(), mix: None, ..settings.clone() };
        let text = pretty(&mapped.config);
        let mut held = match self.held(name, contents, self.read_with(name, &text, &own), Naming::Mapped(&map)) {
            Ok(held) => held,
            Err(outcome) => return *outcome,
        };
        let mut besides = lacking(name, &held.weights, &mut held.reconciled, &map);
        let mut settings = settings.clone();
        // A draft part may be stored without what it has in common with the model.
        if let Some(other) = self.otherwise((name, text.as_bytes()), &own).filter(|_| !held.reconciled.missing.is_empty())
            && let Ok(mut again) = self.held(name, contents, self.read_with(name, &text, &other), Naming::Mapped(&map))
        {
            let said = lacking(name, &again.weights, &mut again.reconciled, &map);
            if again.reconciled.missing.is_empty() {
                (held, besides) = (again, said);
                settings.variables = [other.variables, settings.variables].concat();
            }
        }
        besides.extend(mapped.output_again.and_then(|again| twice(name, contents, again)));
        let drafted = self.drafted(contents, &held, (name, text.as_bytes()), &own, Naming::Mapped(&map));
        let draft_from = mapped.draft_from.filter(|_| !settings.draft);
        let known = left(contents, &held.reconciled, &drafted, &|tensor| left_over(&tensor.name, &map, draft_from));
        if let Some(why) = misfit(&held.weights, contents, &held.reconciled, &known) {
            return self.failed(unmapped(format!("`{name}` is no {}: {why}", held.class)));
        }
        if let Some(stored) = stored_config(&held.weights, &held.reconciled, contents) {
            mapped.config.insert("quantization_config".to_owned(), stored);
        }
        let mut opened = self.read_with(name, pretty(&mapped.config), &settings);
        opened.diagnostics.extend(leftovers(name, contents, &known));
        opened.diagnostics.extend(besides);
        opened
    }

    fn open_with(&self, name: &str, contents: &Contents, config: (&str, &[u8]), settings: &Settings) -> Outcome<Model> {
        let plain = || self.read_with(config.0, config.1, settings);
        let fitting = match self.fitting(name, contents, config, settings) {
            Ok(fitting) => fitting,
            Err(misfit) => {
                let mut read = plain();
                // The config's own faults are said by itself.
                if read.value.is_some() {
                    read.diagnostics.push(unfit(name, &misfit.why));
                    read.diagnostics.extend(absent(name, contents));
                }
                return read;
            }
        };
        let variables = [fitting.variables, settings.variables.clone()].concat();
        let settings = Settings { head: settings.head.clone().or(fitting.head), variables, ..settings.clone() };
        let mut opened = self.read_stored(config.0, config.1, &settings, fitting.stored.as_ref());
        opened.diagnostics.extend(fitting.said);
        opened.diagnostics.extend(absent(name, contents));
        opened
    }

    /// The model of a file that has no config beside it: the families are tried with the sizes that the shapes say.
    fn open_inferred(&self, name: &str, contents: &Contents, settings: &Settings) -> Outcome<Model> {
        if contents.tensors.is_empty() {
            return self.failed(unmapped(format!("`{name}` holds no tensors")));
        }
        let beside = "put the model's `config.json` beside it";
        if contents.tensors.iter().all(|tensor| tensor.shape.is_none()) {
            let message = format!("`{name}` has names and no shapes: which sizes its layers have isn't known");
            return self.failed(tensors_hint(Diagnostic::new(Code::UnmappedCheckpoint, message).help(beside)));
        }
        let ends = ends(contents, self.catalog.hub_rules());
        if ends.is_empty() {
            let message = format!("the tensors of `{name}` are of no modules, by their names: which layers it has isn't known");
            return self.failed(tensors_hint(Diagnostic::new(Code::UnmappedCheckpoint, message).help(beside)));
        }
        let root = modules_of(contents);
        let modules = Modules::of(&root);
        let preferred: Vec<&str> =
            self.catalog.hub_rules().iter().flat_map(|rules| &rules.families).map(|name| &**name).collect();
        let rank = |family: &str| preferred.iter().position(|known| *known == family).unwrap_or(preferred.len());
        let mut families: Vec<&str> = match &settings.family {
            Some(family) => vec![family],
            None => self.catalog.model_types().filter_map(|kind| self.catalog.family_of(kind)).collect(),
        };
        families.sort_by_key(|family| (rank(family), *family));
        families.dedup();
        let families = self.alike(&ends, families);
        let mut fits: Vec<(&str, Inferred)> = Vec::new();
        let mut nearest: Option<(&str, Misfit)> = None;
        for family in families {
            match self.inferred(name, contents, &modules, (family, settings)) {
                Ok(inferred) => fits.push((family, inferred)),
                Err(Some(misfit)) if nearest.as_ref().is_none_or(|(_, known)| misfit.is_nearer(known)) => {
                    nearest = Some((family, misfit))
                }
                Err(_) => {}
            }
        }
        let others: Vec<String> = fits.iter().skip(1).map(|(family, ..)| format!("`{family}`")).collect();
        let Some((family, Inferred { text, fitting, guessed })) = fits.into_iter().next() else {
            let diagnostic = Diagnostic::new(Code::UnmappedCheckpoint, format!("no family has the layers that `{name}` holds"));
            let diagnostic = nearest
                .into_iter()
                .fold(diagnostic, |d, (family, misfit)| d.note(format!("it is no `{family}`: {}", misfit.why)));
            return self.failed(tensors_hint(diagnostic.help(beside)));
        };
        let head = settings.head.clone().or(fitting.head);
        let settings = Settings { family: Some(family.into()), head, ..settings.clone() };
        let mut opened = self.read_stored(name, text, &settings, fitting.stored.as_ref());
        opened.diagnostics.extend(fitting.said);
        let mut message = format!("`{name}` has no config beside it: it is taken as of the family `{family}`");
        if !others.is_empty() {
            message += &format!(" ({} fit as well)", others.join(", "));
        }
        opened.diagnostics.push(Diagnostic::new(Code::CheckpointRemark, message));
        opened.diagnostics.extend(guessed);
        opened
    }

    /// The model of a family that a file without a config holds, with the first guess that fits of what shapes don't say.
    ///
    /// # Errors
    /// What the nearest one lacks; `None`: the family makes no model.
    fn inferred(
        &self,
        name: &str,
        contents: &Contents,
        modules: &Modules<'_>,
        (family, settings): (&str, &Settings),
    ) -> Result<Inferred, Option<Misfit>> {
        let settings = Settings { family: Some(family.into()), draft: false, ..settings.clone() };
        let Some(Ok(family)) = self.catalog.family(family) else { return Err(None) };
        let config = modules.config(family, &self.catalog);
        let mut nearest: Option<Misfit> = None;
        for attempt in self.attempts(family, &config).into_iter().take(MOST_ATTEMPTS) {
            let mut whole = config.said.clone();
            whole.extend(attempt.0.clone());
            whole.insert("model_type".to_owned(), Json::String(family.name.to_string()));
            let text = pretty(&whole);
            match self.fitting(name, contents, (name, text.as_bytes()), &settings) {
                Ok(fitting) => {
                    let guessed = Self::guessed("the shapes don't say", family, &config.said, &attempt);
                    return Ok(Inferred { text, fitting, guessed });
                }
                Err(misfit) => {
                    // Another guess is of other sizes: what has other tensors has them still.
                    let is_other = !misfit.is_unmade() && (misfit.is_far() || !misfit.is_of_sizes);
                    if nearest.as_ref().is_none_or(|known| misfit.is_nearer(known)) {
                        nearest = Some(misfit);
                    }
                    if is_other {
                        break;
                    }
                }
            }
        }
        Err(nearest)
    }

    /// How a config's model is in a file: with the head that its config says, else with another of the family's.
    fn fitting(&self, name: &str, contents: &Contents, config: (&str, &[u8]), settings: &Settings) -> Result<Fitting, Misfit> {
        let own = Settings { family: settings.family.clone(), draft: settings.draft, ..Settings::default() };
        let first = match self.fitting_head(name, contents, config, &own) {
            Ok(fitting) => return Ok(fitting),
            Err(misfit) => misfit,
        };
        // A draft part may be stored without what it has in common with the model.
        let other = self.otherwise(config, &own);
        if let Some(fitting) = other.and_then(|other| self.fitting_head(name, contents, config, &other).ok()) {
            return Ok(fitting);
        }
        // What has little in common with the file has as little with another head, weights of another size are of it, too, and a draft part
        // stands behind one head alone.
        if settings.draft || first.is_far() || first.is_of_sizes {
            return Err(first);
        }
        let model = self.read_with(config.0, config.1, &own).value;
        let heads = model.and_then(|model| self.heads(&model)).unwrap_or_default();
        let with = |head: Arc<str>| self.fitting_head(name, contents, config, &Settings { head: Some(head), ..own.clone() }).ok();
        heads.into_iter().find_map(with).ok_or(first)
    }

    /// Another way in which a config's draft part may be stored: `settings` with other values of the variables that say so. `None`: it isn't
    /// built, or there is no other way.
    fn otherwise(&self, config: (&str, &[u8]), settings: &Settings) -> Option<Settings> {
        if !settings.draft {
            return None;
        }
        let model = self.read_with(config.0, config.1, settings).value?;
        let family = self.catalog.family(model.family()?)?.ok()?;
        let other = &family.draft.as_ref().filter(|draft| !draft.otherwise.is_empty())?.otherwise;
        let values = other.iter().filter_map(|variable| Some((variable.name.value.clone(), variable.value.datum.plain()?)));
        Some(Settings { variables: values.collect(), ..settings.clone() })
    }

    /// Of the tensors that no layer is for, those that are of a draft part which could be built.
    fn drafted(
        &self,
        contents: &Contents,
        plain: &HeldModel,
        config: (&str, &[u8]),
        settings: &Settings,
        naming: Naming<'_>,
    ) -> HashSet<usize> {
        let reconciled = &plain.reconciled;
        let family = plain.family.as_deref().and_then(|name| self.catalog.family(name)?.ok());
        let has_draft = family.is_some_and(|family| family.draft.is_some());
        if settings.draft || !has_draft || reconciled.unused.is_empty() {
            return HashSet::new();
        }
        let read = self.read_with(config.0, config.1, &Settings { draft: true, ..settings.clone() });
        let built = read.value.as_ref().is_some_and(Model::has_draft);
        let Some(with) = built.then(|| self.held(config.0, contents, read, naming).ok()).flatten() else {
            return HashSet::new();
        };
        let still: HashSet<&usize> = with.reconciled.unused.iter().collect();
        reconciled.unused.iter().filter(|at| !still.contains(at)).copied().collect()
    }

    /// How a config's model is in a file, taken so.
    fn fitting_head(
        &self,
        name: &str,
        contents: &Contents,
        config: (&str, &[u8]),
        settings: &Settings,
    ) -> Result<Fitting, Misfit> {
        let rules = self.catalog.hub_rules();
        let read = self.read_with(config.0, config.1, settings);
        let held = match self.held(name, contents, read, Naming::Hub(rules)) {
            Ok(held) => held,
            Err(outcome) => {
                let why = outcome.diagnostics.first_error().map_or_else(String::new, |said| said.message.clone());
                return Err(Misfit { why, found: 0, weights: usize::MAX, is_of_sizes: false });
            }
        };
        let drafted = self.drafted(contents, &held, config, settings, Naming::Hub(rules));
        let known = left(contents, &held.reconciled, &drafted, &|tensor| hub_left_over(&tensor.name, rules));
        if let Some(why) = misfit(&held.weights, contents, &held.reconciled, &known) {
            let weights = held.weights.len();
            let wrong = held.reconciled.missing.len() + held.reconciled.differing.len();
            let is_of_sizes = !held.reconciled.differing.is_empty();
            return Err(Misfit { why, found: weights.saturating_sub(wrong), weights, is_of_sizes });
        }
        let mut said = leftovers(name, contents, &known);
        if let Some(head) = &settings.head {
            let message = format!("the tensors of `{name}` are those of {}: it is taken with the head `{head}`", held.class);
            said.push(Diagnostic::new(Code::CheckpointRemark, message));
        }
        let stored = match self.plain_dtype(contents, &held.weights) {
            Some(dtype) => Some(serde_json::json!({ "torch_dtype": dtype })),
            None => match stored_config(&held.weights, &held.reconciled, contents) {
                Some(stored) => Some(serde_json::json!({ "quantization_config": stored })),
                None => stated(name, &held.weights, contents, &mut said),
            },
        };
        Ok(Fitting { head: settings.head.clone(), variables: settings.variables.clone(), stored, said })
    }

    /// The families whose models, of whatever size, have most of the modules that a file's tensors are of, by the ends of their names: what is
    /// cheap to ask. One that makes no model by itself may be of them.
    fn alike<'f>(&self, ends: &[HashSet<String>], families: Vec<&'f str>) -> Vec<&'f str> {
        let alike = |family: &str| {
            let config = format!("{{ \"model_type\": \"{family}\" }}");
            let settings = Settings { family: Some(family.into()), ..Settings::default() };
            let lowered = self.read_with("config.json", config, &settings).and_then(|model| model.lowered(&Execution::default()));
            let lowered = lowered.value.as_ref().filter(|_| !lowered.diagnostics.has_errors())?;
            let own: HashSet<String> = lowered.rows().map(|row| end(row.path())).collect();
            Some(ends.iter().filter(|ends| !ends.is_disjoint(&own)).count())
        };
        let counted: Vec<(&str, Option<usize>)> = families.into_iter().map(|family| (family, alike(family))).collect();
        let most = counted.iter().filter_map(|(_, alike)| *alike).max().unwrap_or(0);
        let is_alike = |alike: usize| alike > 0 && alike.saturating_mul(RESEMBLANCE.1) >= most.saturating_mul(RESEMBLANCE.0);
        counted.into_iter().filter(|(_, alike)| alike.is_none_or(is_alike)).map(|(family, _)| family).collect()
    }

    /// The dtype of all of a file's tensors, where it is one that nothing is quantized to.
    fn plain_dtype(&self, contents: &Contents, weights: &[Weight]) -> Option<Arc<str>> {
        // A class that keeps a weight in float32 would keep it, whatever the file has.
        let first = weights.first()?.element_bytes;
        if weights.iter().any(|weight| weight.element_bytes != first) {
            return None;
        }
        let kind = &contents.tensors.first()?.kind;
        let is_one = contents.tensors.iter().all(|tensor| tensor.kind == *kind);
        let dtype = self.catalog.dtype(kind).ok().filter(|dtype| is_one && !dtype.is_quantized())?;
        Some(dtype.name)
    }

    /// The heads of a model's family by name; the bare model has a name of its own.
    fn heads(&self, model: &Model) -> Option<Vec<Arc<str>>> {
        let family = self.catalog.family(model.family()?)?.ok()?;
        Some(family.heads.iter().map(|head| head.name.value.clone()).collect())
    }

    /// The model that a config is, as it was read, held against a file's tensors.
    fn held(
        &self,
        name: &str,
        contents: &Contents,
        read: Outcome<Model>,
        naming: Naming<'_>,
    ) -> Result<HeldModel, Box<Outcome<Model>>> {
        let lowered = read.and_then(|model| model.lowered(&Execution::default()));
        let evaluated = lowered.and_then(|lowered| lowered.at(&Workload::default()));
        let Some(evaluation) = evaluated.value.as_ref().filter(|_| !evaluated.diagnostics.has_errors()) else {
            let said = unmapped(format!("the config that `{name}` means is no model of its family"));
            return Err(Box::new(evaluated.map(|_| None).saying(said).flat()));
        };
        // Each weight is in some tensor, and a tensor holds a few at the most.
        let Some(list) = weights(evaluation, contents.tensors.len().saturating_mul(MOST_SPLIT)) else {
            let message = format!("`{name}` has {} tensors, its config means more layers", contents.tensors.len());
            return Err(Box::new(self.failed(unmapped(message))));
        };
        let paths = by_path(&list);
        let reconciled = match naming {
            Naming::Mapped(map) => reconcile(&list, contents, &|tensor| gguf_places(&tensor.name, map, &paths)),
            Naming::Hub(rules) => {
                let names = HubNames::new(rules, &paths);
                reconcile(&list, contents, &|tensor| names.place(&tensor.name))
            }
        };
        let model = &evaluation.checked.model;
        let class = model.class.as_deref().unwrap_or("model that is known").into();
        let family = model.family.as_ref().map(|family| family.value.clone());
        Ok(HeldModel { weights: list, reconciled, class, family })
    }

    fn map_of(&self, name: &str, contents: &Contents) -> Result<Arc<GgufMap>, Box<Outcome<Model>>> {
        let failed = |message: String| Err(Box::new(self.failed(unmapped(message))));
        let Some(architecture) = contents.text(GGUF_ARCHITECTURE) else {
            return failed(format!("`{name}` doesn't say of which architecture it is"));
        };
        if contents.tensors.is_empty() {
            return failed(format!("`{name}` holds no tensors: a vocabulary, or metadata alone"));
        }
        match self.catalog.gguf_map(architecture) {
            Some(Ok(map)) => match &map.unbuilt {
                None => Ok(map),
                Some(what) => failed(format!("`{name}` holds {what}: no family is for it")),
            },
            Some(Err(said)) => Err(Box::new(self.said(said))),
            None => {
                let message = format!("no map is for the architecture `{architecture}` of `{name}`");
                let diagnostic = Diagnostic::new(Code::UnmappedCheckpoint, message);
                let near = nearest(architecture, self.catalog.gguf_architectures());
                let diagnostic = near.into_iter().fold(diagnostic, |d, near| d.note(format!("there is one for `{near}`")));
                Err(Box::new(self.failed(tensors_hint(diagnostic))))
            }
        }
    }
}

/// How a file names its tensors.
#[derive(Clone, Copy)]
enum Naming<'a> {
    /// As a map says.
    Mapped(&'a GgufMap),
    /// As modules are called, or have been.
    Hub(&'a [HubRules]),
}

/// A model that a file holds.
struct Fitting {
    /// Not the head that its config says, but this one.
    head: Option<Arc<str>>,
    /// With these values of variables, by which draft parts are stored in one way or another.
    variables: Vec<(Arc<str>, Value)>,
    /// How its weights are stored, where that is known.
    stored: Option<Json>,
    said: Vec<Diagnostic>,
}

/// The last two parts of a path, of which the first is left out if it is a number.
fn end(path: &str) -> String {
    let mut parts = path.rsplit('.');
    let last = parts.next().unwrap_or_default();
    let before = parts.next().filter(|part| !part.starts_with(|c: char| c.is_ascii_digit() || c == '['));
    before.map_or_else(|| last.to_owned(), |before| format!("{before}.{last}"))
}

/// The ends of the names of a file's modules, each with what the rules make of it.
fn ends(contents: &Contents, rules: &[HubRules]) -> Vec<HashSet<String>> {
    let modules = contents.tensors.iter().filter_map(|tensor| tensor.name.rsplit_once('.'));
    let zeros = |module: &str| filled(&pattern(module).0, &[0, 0, 0]);
    let patterns: BTreeSet<String> = modules.map(|(module, _)| zeros(module)).collect();
    let mut ends: BTreeMap<String, HashSet<String>> = BTreeMap::new();
    for module in patterns {
        let variants = hub_variants(&module, rules);
        ends.entry(end(&module)).or_default().extend(variants.iter().map(|name| end(name)));
    }
    ends.into_values().collect()
}

/// A model of a file that has no config beside it.
struct Inferred {
    /// A config that says what the shapes do.
    text: String,
    fitting: Fitting,
    /// What was guessed.
    guessed: Option<Diagnostic>,
}

/// Why a model isn't what a file holds, and how many of its weights the file has.
struct Misfit {
    why: String,
    found: usize,
    weights: usize,
    /// Whether some weights are there in another size.
    is_of_sizes: bool,
}

impl Misfit {
    /// Whether the config makes no model at all.
    fn is_unmade(&self) -> bool {
        self.weights == usize::MAX
    }

    /// Whether less than half of this model is in the file.
    fn is_far(&self) -> bool {
        self.found.saturating_mul(2) < self.weights
    }

    /// Whether more of this model is in the file.
    fn is_nearer(&self, other: &Misfit) -> bool {
        // The share of its weights: found / weights, without a division.
        (self.found as u128) * (other.weights as u128) > (other.found as u128) * (self.weights as u128)
    }
}

/// A model's weights and where a file has them.
struct HeldModel {
    weights: Vec<Weight>,
    reconciled: Reconciled,
    class: Arc<str>,
    family: Option<Arc<str>>,
}

impl Evaluation {
    /// The model's own tensors in the form that files have, tied ones once; of more than `most` the first.
    #[must_use]
    pub fn tensors(&self, most: usize) -> Contents {
        contents_of(self, most)
    }
}

impl<T> Outcome<Option<T>> {
    /// Nothing is no value.
    pub(super) fn flat(self) -> Outcome<T> {
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

fn in_file(diagnostic: Diagnostic, name: &str) -> Diagnostic {
    let message = format!("`{name}`: {}", diagnostic.message);
    Diagnostic { message, ..diagnostic }
}

/// That no family's model is what a file holds.
fn unmapped(message: String) -> Diagnostic {
    tensors_hint(Diagnostic::new(Code::UnmappedCheckpoint, message))
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

/// What a draft part is that could be built.
const BUILT_IF_ASKED: &str = "multi-token prediction, which `--with-mtp` builds";

/// `drafted`: those of them that are a draft part's.
fn left(
    contents: &Contents,
    reconciled: &Reconciled,
    drafted: &HashSet<usize>,
    what: &dyn Fn(&Held) -> Option<Arc<str>>,
) -> Known {
    let mut known = Known::new();
    for at in &reconciled.unused {
        let Some(tensor) = contents.tensors.get(*at) else { continue };
        let what = if drafted.contains(at) { BUILT_IF_ASKED.into() } else { what(tensor).unwrap_or_default() };
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
    if !reconciled.missing.is_empty() {
        let all: Vec<String> = reconciled.missing.iter().filter_map(|at| list.get(*at)).map(Weight::path).collect();
        why.push(format!("the file lacks {}", few_quoted(&all, MOST_NAMED)));
    }
    if let [(at, first), rest @ ..] = reconciled.differing.as_slice() {
        let path = list.get(*at).map(Weight::path).unwrap_or_default();
        let more = if rest.is_empty() { String::new() } else { format!(", and {} others differ", rest.len()) };
        why.push(format!("of `{path}` {first}{more}"));
    }
    if let Some(unknown) = known.get("") {
        let all: Vec<&str> = unknown.iter().filter_map(|at| contents.tensors.get(*at)).map(|tensor| &*tensor.name).collect();
        why.push(format!("no layer is for {}", few_quoted(&all, MOST_NAMED)));
    }
    (!why.is_empty()).then(|| why.join("; "))
}

/// What a file's own total says of the bytes of a weight, where shapes and types aren't known: 2 or 4 whole bytes each, not what a scale adds.
fn stated(name: &str, weights: &[Weight], contents: &Contents, said: &mut Vec<Diagnostic>) -> Option<Json> {
    let bytes = u128::from(contents.stated_bytes?);
    let elements: u128 = weights.iter().filter(|weight| !weight.is_tied).map(|weight| u128::from(weight.elements())).sum();
    let message = if bytes == elements.checked_mul(4)? {
        return Some(serde_json::json!({ "torch_dtype": "float32" }));
    } else if bytes == elements.checked_mul(2)? {
        return None;
    } else {
        format!("the index of `{name}` says {bytes} bytes in all, the model has {elements} weights: {}", per(bytes, elements))
    };
    said.push(Diagnostic::new(Code::CheckpointRemark, message));
    None
}

/// `2.0003 bytes each`.
fn per(bytes: u128, elements: u128) -> String {
    let scaled = bytes.checked_mul(10_000).and_then(|scaled| scaled.checked_div(elements)).unwrap_or(0);
    format!("{}.{:04} bytes each", scaled / 10_000, scaled % 10_000)
}

/// That a file isn't what the config beside it says.
fn unfit(name: &str, why: &str) -> Diagnostic {
    let message = format!("the tensors of `{name}` aren't those of its config: {why}");
    Diagnostic::new(Code::CheckpointRemark, message).note("the figures are the config's, its weights in the dtype that it says")
}

/// Which files of an index aren't there; of shards without one that is said when they are put together.
fn absent(name: &str, contents: &Contents) -> Option<Diagnostic> {
    let first = contents.missing.first().filter(|_| *contents.format == *"index")?;
    let message = format!("{} files that the index of `{name}` names aren't there (`{first}`)", contents.missing.len());
    Some(Diagnostic::new(Code::CheckpointRemark, message))
}

/// Weights that no such file has, which are then no longer missing.
fn lacking(name: &str, list: &[Weight], reconciled: &mut Reconciled, map: &GgufMap) -> Vec<Diagnostic> {
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
fn twice(name: &str, contents: &Contents, again: u64) -> Option<Diagnostic> {
    let all = contents.elements()?;
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
        let known: Vec<u64> = held.iter().filter_map(|tensor| tensor.elements()).collect();
        // An index has names alone.
        let elements = if known.is_empty() {
            String::new()
        } else {
            format!("{} elements, ", known.iter().map(|n| u128::from(*n)).sum::<u128>())
        };
        let first = held.first().map(|tensor| &*tensor.name).unwrap_or_default();
        let message =
            format!("`{name}` holds what the model doesn't build: {what} ({} tensors, {elements}`{first}`)", held.len());
        Diagnostic::new(Code::CheckpointRemark, message)
    };
    known.iter().map(said).collect()
}
