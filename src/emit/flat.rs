//! A model as a list of its basic layers: no composite, no repeat, no variable.
//!
//! A model at a workload comes in, the JSON of a model goes out that has the same layers in the same order and compiles to the same costs, at
//! other workloads too. A layer's name is its path with slashes: `model/layers/0/mlp/up_proj`. How long PyTorch's variables live is said by
//! composites, and so is what runs once more when a composite is called again: the peak is that of values that end with their last reader.

use std::collections::HashSet;

use serde_json::{Map, Value as Json, json};

use super::explicit::tie;
use super::terms::{Terms, Unsaid, weight_json};
use crate::analysis::layers::{Feed, Layer, Maker, visit_layers};
use crate::evaluation::Evaluation;
use crate::language::check::Checked;
use crate::syntax::spec::{DEFAULT_INPUT, MOST_WRITTEN, name_problem};

/// The model file of a model's flat list.
///
/// # Errors
/// What of it a file can't say.
pub fn flat_list(at: &Evaluation) -> Result<Map<String, Json>, Unsaid> {
    if at.layers() > MOST_WRITTEN as u128 {
        return Err(format!("it has {} layers, and a file at most {MOST_WRITTEN}", at.layers()));
    }
    let checked: &Checked = &at.checked;
    let mut list = List { at, terms: Terms::new(checked), names: HashSet::new(), layers: Vec::new() };
    visit_layers(at, &mut |layer| list.layer(&layer))?;
    let mut out = list.terms.head(&at.flat);
    out.insert("layers".to_owned(), Json::Array(list.layers));
    Ok(out)
}

struct List<'a> {
    at: &'a Evaluation,
    terms: Terms<'a>,
    names: HashSet<String>,
    layers: Vec<Json>,
}

impl List<'_> {
    fn layer(&mut self, layer: &Layer<'_>) -> Result<(), Unsaid> {
        let row = &layer.instance.row.info.row;
        let name = named(&layer.instance.path);
        if let Some(problem) = name_problem(&name) {
            return Err(format!("`{}` can't be the name of a layer: {problem}", layer.instance.path));
        }
        if !self.names.insert(name.clone()) {
            return Err(format!("two layers are called `{}`", layer.instance.path));
        }
        let mut out = Map::new();
        out.insert("name".to_owned(), json!(name));
        let calls: Vec<_> = layer.instance.row.info.calls().collect();
        match (&row.class, &row.weights) {
            // A tensor that a composite owns.
            (None, Some(weights)) => {
                let own = weights.iter().map(|weight| (weight.name.to_string(), weight_json(weight)));
                out.insert("weights".to_owned(), Json::Object(own.collect()));
                out.insert("inputs".to_owned(), json!([]));
                out.insert("sub_layers".to_owned(), json!([]));
                if let Some(calls) = self.terms.calls(&calls, false, &mut Map::new()) {
                    out.insert("calls".to_owned(), calls);
                }
            }
            _ => {
                self.terms.layer(row, &calls, &self.inputs(layer)?, &mut out);
                // Calls whose outputs are held stand side by side; others each read what the one before gave.
                if row.hold.is_some() && !calls.is_empty() {
                    out.insert("hold".to_owned(), json!(true));
                }
            }
        }
        if let Some(tie) = tie(&self.at.flat, row, named)? {
            out.insert("tied_to".to_owned(), tie);
        }
        self.layers.push(Json::Object(out));
        Ok(())
    }

    /// The names by which a layer's values are read. Of a parallel repeat the last instance's stands for all: they look the same.
    fn inputs(&self, layer: &Layer<'_>) -> Result<Vec<String>, Unsaid> {
        let last = layer.reads.iter().rposition(|read| !read.is_empty()).map_or(0, |at| at + 1);
        let reads = layer.reads.iter().take(last);
        let name = |feed: Option<&Feed>| feed.map(|feed| self.source(feed));
        let names: Option<Vec<String>> = reads.map(|read| name(read.last())).collect();
        names.ok_or_else(|| format!("`{}` reads what isn't there", layer.instance.path))
    }

    fn source(&self, feed: &Feed) -> String {
        match &feed.from {
            Maker::Input(at) => self.at.flat.input_name(*at as usize).unwrap_or(DEFAULT_INPUT).to_owned(),
            Maker::Layer { row, path, output } => {
                let row = self.at.flat.row(*row).map(|info| &info.row);
                let outputs = row.and_then(|row| row.class.as_ref()).map_or(&[][..], |class| &class.0.outputs);
                let own = row.filter(|row| row.class.is_none()).and_then(|row| row.weights.as_ref()?.first());
                match (outputs.get(usize::from(*output)).filter(|_| *output > 0), own) {
                    (Some(output), _) => format!("{}.{}", named(path), output.name),
                    (None, Some(weight)) => format!("{}.{}", named(path), weight.name),
                    (None, None) => named(path),
                }
            }
        }
    }
}

/// A path as the name of one layer.
fn named(path: &str) -> String {
    path.replace('.', "/")
}
