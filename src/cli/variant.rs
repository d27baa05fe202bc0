//! A model as `compare` takes it: its name, and behind a question mark what is to be different.

use std::path::Path;
use std::sync::Arc;

use super::args::{CompareArgs, Weights, WorkloadArgs, parse_length, parse_setting, refused, weights};
use super::output::Stop;
use crate::catalog::Catalog;
use crate::cost::workload::{RunOptions, Workload};
use crate::session::Settings;
use crate::syntax::expr::Value;

/// A model, and how it is taken.
pub struct Variant<'a> {
    /// A file, `-`, or the name of an embedded model.
    pub model: &'a str,
    pub settings: Settings,
    pub workload: Workload,
    pub options: RunOptions,
    /// What to call it, where the model's own name isn't enough.
    pub label: Option<&'a str>,
}

/// What options are called on the command line and in a workload.
const SHORT: [(&str, &str); 3] = [("batch", "batch_size"), ("seq", "seq_len"), ("past", "past_len")];

impl<'a> Variant<'a> {
    /// A model as the options say.
    ///
    /// # Errors
    /// A dtype that the catalog doesn't have.
    pub fn plain(model: &'a str, usual: &WorkloadArgs, catalog: &Catalog) -> Result<Self, Stop> {
        let (settings, workload, options) = (usual.settings(catalog), usual.workload(catalog)?, usual.options());
        Ok(Variant { model, settings, workload, options, label: None })
    }

    /// Reads `llama-2-7b-hf?num_hidden_layers=12&kernel=eager`: the names are those of `--set` and of options. A file of such a name is that file.
    ///
    /// # Errors
    /// What stands behind the question mark is no list of `NAME=VALUE`, or an option can't have the value.
    pub fn read(text: &'a str, usual: &WorkloadArgs, catalog: &Catalog) -> Result<Self, Stop> {
        let Some((model, pairs)) = text.split_once('?').filter(|_| !Path::new(text).exists()) else {
            return Self::plain(text, usual, catalog);
        };
        let wrong = |what: &str| refused::<CompareArgs>("models", text, what);
        let mut variant = Variant { label: Some(text), ..Self::plain(model, usual, catalog)? };
        let mut options: Vec<(Arc<str>, Value)> = Vec::new();
        for pair in pairs.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| wrong("expected NAME=VALUE&NAME=VALUE..."))?;
            let name = name.trim_start_matches("--").replace('-', "_");
            let name = SHORT.iter().find(|(short, _)| *short == name).map_or(name.as_str(), |(_, long)| long);
            match name {
                "family" => variant.settings.family = Some(value.into()),
                "head" => variant.settings.head = Some(value.into()),
                "with_mtp" => variant.settings.draft = value.parse().map_err(|_| wrong("`with_mtp` is true or false"))?,
                "weight_dtype" | "quant" => match weights(value, catalog).map_err(|why| wrong(&why))? {
                    Weights::Dtype(dtype) => (variant.settings.mix, variant.workload.weight_dtype) = (None, Some(dtype)),
                    Weights::Mix(mix) => (variant.settings.mix, variant.workload.weight_dtype) = (Some(mix), None),
                },
                "seq_len" | "past_len" => {
                    let length = parse_length(value).map_err(|why| wrong(&why))?;
                    options.push((name.into(), Value::count(length)));
                }
                _ => options.push(parse_setting(&format!("{name}={value}")).map_err(|why| wrong(&why))?),
            }
        }
        let before = variant.workload.settings.len();
        (variant.workload, variant.options) = variant
            .workload
            .with_pairs(variant.options, &options, catalog)
            .map_err(|(name, expected)| wrong(&format!("`{name}` is {expected}")))?;
        // What is no option is a variable.
        variant.settings.variables.extend(variant.workload.settings.iter().skip(before).cloned());
        Ok(variant)
    }
}
