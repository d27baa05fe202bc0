//! Models in a mix of types: each weight has the bytes that a program gives it that makes such files.

use std::sync::Arc;

use serde_json::json;

use super::{Model, Outcome, Session, Settings};
use crate::analysis::origin::origin;
use crate::catalog::{GgufMap, Mix};
use crate::cost::workload::Workload;
use crate::evaluation::Evaluation;
use crate::import::{Reconciled, Weight, Written, give_types, sizes_of, stored_config, weights, written};
use crate::language::check::Checked;
use crate::language::checkpoint::{self, Mixed, Quantization};
use crate::lower::Execution;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::expr::{Exact, Value};
use crate::syntax::json;
use crate::syntax::source::Source;
use crate::syntax::spec::Model as Spec;
use crate::syntax::stack::deep;

/// The most weights of a model that is written as a file: no file has as many.
const MOST_WEIGHTS: usize = 1_000_000;

impl Session {
    /// The same model with its weights in a mix of types. `plain`: as it was read from `source` with `settings`.
    pub(super) fn mixed(&self, plain: Outcome<Model>, source: &Source, settings: &Settings, asked: &str) -> Outcome<Model> {
        let Some(model) = plain.value.as_ref().filter(|_| !plain.diagnostics.has_errors()) else { return plain };
        let Some(mix) = self.catalog.mix(asked) else {
            let kinds = self.catalog.mixes().iter().flat_map(|rules| rules.types.iter().map(|(kind, _)| &**kind));
            let near = nearest(asked, kinds).map(|near| format!("did you mean `{near}`?"));
            let diagnostic = Diagnostic::new(Code::InvalidWorkload, format!("no mix of types is called `{asked}`"));
            return self.failed(diagnostic.help(near.unwrap_or_else(|| "docs/mixes.md lists them".to_owned())));
        };
        let evaluated = model.lowered(&Execution::default()).and_then(|lowered| lowered.sketch(&Workload::default()));
        let Some(evaluation) = evaluated.value.as_ref().filter(|_| !evaluated.diagnostics.has_errors()) else {
            // What is wrong is said; a model without it would be another.
            return evaluated.map(|_| None).flat();
        };
        let Some(list) = weights(evaluation, MOST_WEIGHTS) else {
            return self.failed(Diagnostic::new(Code::ModelTooLarge, "a model of so many weights is no file"));
        };
        let found = deep(|| self.types(model, &list, &mix));
        let (quantization, said) = match found {
            Ok(found) => found,
            Err(diagnostic) => return Outcome { value: None, ..plain.saying(*diagnostic) },
        };
        deep(|| {
            let mut diagnostics = Diagnostics::default();
            let checked = self.checked(source, settings, None, &mut diagnostics).map(|mut checked| {
                checked.checkpoint.quantization = Some(quantization);
                checked
            });
            diagnostics.extend(said);
            let value = checked.map(|checked| Model::new(source.clone(), checked, diagnostics.clone()));
            Outcome { value, diagnostics, source: Some(source.clone()), catalog: self.catalog.clone() }
        })
    }

    /// What a mix makes of a model's weights, and what is to be said of it.
    fn types(&self, model: &Model, list: &[Weight], mix: &Mix<'_>) -> Result<(Quantization, Vec<Diagnostic>), Box<Diagnostic>> {
        let mut why = None;
        let class = model.class().and_then(|class| class.rsplit('.').next()).unwrap_or_default();
        let families = families(&model.checked().model);
        for (prefix, family) in &families {
            for (architecture, map) in self.catalog.gguf_maps_of(family.as_deref(), class) {
                let variables = |name: &str| variable(model.checked(), prefix, name);
                match self.file(list, &map, &architecture, mix, &variables) {
                    Ok(file) => return self.stored(list, file, mix, &architecture),
                    Err(reason) => why = why.or(Some(format!("as `{architecture}`: {reason}"))),
                }
            }
        }
        let what = model.family().unwrap_or(class);
        let message = match why {
            Some(why) => format!("no file of {} is known for this model, {why}", mix.rules.name),
            None => format!("no file of {} is known for models of `{what}`, and so no `{}`", mix.rules.name, mix.kind),
        };
        let diagnostic = Diagnostic::new(Code::UnmappedCheckpoint, message);
        Err(diagnostic.help("one type for all linear layers can be said of any model: `--weight-dtype q4_k`").boxed())
    }

    /// A model as a file, each tensor in its type.
    fn file(
        &self,
        list: &[Weight],
        map: &GgufMap,
        architecture: &str,
        mix: &Mix<'_>,
        variables: &dyn Fn(&str) -> Option<Value>,
    ) -> Result<Written, String> {
        let mut file = written(list, map, &mix.flags, variables)?;
        give_types(&mut file.contents.tensors, mix, architecture, variables, &self.catalog)?;
        Ok(file)
    }

    /// A model's weights as the tensors of a GGUF file: their names, and their bytes as the model has them. `None`: none is known for such models.
    #[must_use]
    pub fn tensors_of_file(&self, model: &Model, at: &Evaluation) -> Option<Vec<(Arc<str>, u128)>> {
        let list = weights(at, MOST_WEIGHTS)?;
        let class = model.class().and_then(|class| class.rsplit('.').next()).unwrap_or_default();
        for (prefix, family) in &families(&model.checked().model) {
            for (_, map) in self.catalog.gguf_maps_of(family.as_deref(), class) {
                let variables = |name: &str| variable(model.checked(), prefix, name);
                let Ok(file) = written(&list, &map, &[], &variables) else { continue };
                let mut bytes = vec![0u128; file.contents.tensors.len()];
                for (weight, held) in list.iter().zip(&file.held).filter(|(weight, _)| !weight.is_tied) {
                    let own = weight
                        .element_bytes
                        .checked_mul(Exact::from_count(u128::from(weight.elements()))?)?
                        .ceil()?
                        .to_count()?;
                    let parts = u128::try_from(held.len()).ok()?.max(1);
                    for at in held {
                        let cell = bytes.get_mut(*at)?;
                        *cell = cell.checked_add(own / parts)?;
                    }
                }
                return Some(file.contents.tensors.into_iter().map(|tensor| tensor.name).zip(bytes).collect());
            }
        }
        None
    }

    /// What a mix is to be asked for by: with its prefix where a dtype has its name, too.
    fn called(&self, mix: &Mix<'_>) -> String {
        let prefix = if self.catalog.dtype(mix.kind).is_ok() { format!("{}:", mix.rules.prefix) } else { String::new() };
        let needs = mix.rules.needs_imatrix.contains(mix.kind);
        let flags: String = mix.flags.iter().map(|flag| format!("+{flag}")).collect();
        format!("{prefix}{}{}{flags}", mix.kind, if mix.imatrix && !needs { "+imatrix" } else { "" })
    }

    /// The same as what a config says of its weights.
    fn stored(
        &self,
        list: &[Weight],
        file: Written,
        mix: &Mix<'_>,
        architecture: &str,
    ) -> Result<(Quantization, Vec<Diagnostic>), Box<Diagnostic>> {
        let broken =
            |what: &str| Diagnostic::new(Code::UnknownQuantization, format!("a mix can't be said of this model: {what}")).boxed();
        let Written { contents, held, beside } = file;
        let (bytes, elements) = sizes_of(&contents.tensors).ok_or_else(|| broken("its bytes are beyond what is counted"))?;
        let reconciled = Reconciled { held, ..Reconciled::default() };
        let stored = stored_config(list, &reconciled, &contents).ok_or_else(|| broken("it has no weights"))?;
        let text = json!({ "quantization_config": stored }).to_string();
        let source = self.source("mix", text.as_bytes())?;
        let mut said = Diagnostics::default();
        let document = json::read(&source, &mut said).ok_or_else(|| broken("its types can't be written"))?;
        let read = checkpoint::read(&document.root, &self.catalog, &mut said).quantization;
        let mut quantization = read.ok_or_else(|| broken("its types can't be read"))?;
        let with = if mix.imatrix { ", with an importance matrix" } else { "" };
        quantization.mixed = Some(Mixed {
            name: self.called(mix).into(),
            by: format!("{} gives them to `{architecture}` (rules of {}{with})", mix.rules.name, mix.rules.revision).into(),
            bytes,
            elements,
        });
        Ok((quantization, beside_said(list, &beside).into_iter().collect()))
    }
}

/// The families of a model, each with what stands before the names of its variables: the model's own, then those of the configs inside it.
/// None: all of its layers are written out.
fn families(model: &Spec) -> Vec<(String, Option<Arc<str>>)> {
    fn collect(model: &Spec, prefix: &str, out: &mut Vec<(String, Option<Arc<str>>)>) {
        out.push((prefix.to_owned(), model.family.as_ref().map(|family| family.value.clone())));
        for (name, inner) in &model.nested {
            collect(inner, &format!("{prefix}{}.", name.value), out);
        }
    }
    let mut out = Vec::new();
    collect(model, "", &mut out);
    out
}

/// The value of a variable of a model, of the inner config first.
fn variable(checked: &Checked, prefix: &str, name: &str) -> Option<Value> {
    let value = |name: &str| origin(checked, name)?.value.filter(|value| *value != Value::Null);
    let inner = if prefix.is_empty() { None } else { value(&format!("{prefix}{name}")) };
    inner.or_else(|| value(name))
}

/// What of a model isn't in the file.
fn beside_said(list: &[Weight], beside: &[usize]) -> Option<Diagnostic> {
    let first = list.get(*beside.first()?)?;
    let elements: u128 = beside.iter().filter_map(|at| list.get(*at)).map(|weight| u128::from(weight.elements())).sum();
    let message = format!(
        "{} weights of another part, {elements} elements, aren't in the file of the mix (`{}`): they are counted as in a file of their own",
        beside.len(),
        first.path()
    );
    Some(
        Diagnostic::new(Code::CheckpointRemark, message)
            .help("matrices in 16 bits, all else in 32: as llama.cpp's mmproj files have them"),
    )
}
