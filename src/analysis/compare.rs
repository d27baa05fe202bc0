//! How the flat lists of two models differ: what was added, what was removed, what changed from what to what.
//!
//! Two compiled models come in, a [`Difference`] goes out. Layers are matched by their path with indices left open.

use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use crate::evaluation::Evaluation;
use crate::quantity::Quantity;
use crate::syntax::expr::Value;

/// A layer that both have, and what of it differs: a name, the first's value, the second's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its path, repeats folded.
    pub path: String,
    /// What differs, the first's and the second's.
    pub facts: Vec<(Arc<str>, String, String)>,
}

/// A layer that one of them has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Single {
    /// Its path, repeats folded.
    pub path: String,
    /// Its class.
    pub class: Arc<str>,
    /// How many instances it stands for.
    pub instances: u128,
    /// Their learned scalars.
    pub params: u128,
    /// Of a layer that an engine runs in the place of others: these, and why.
    pub stands_for: Option<(String, Arc<str>)>,
}

/// The structural difference of two models.
#[derive(Debug, Default)]
pub struct Difference {
    /// Layers of the second alone.
    pub added: Vec<Single>,
    /// Layers of the first alone.
    pub removed: Vec<Single>,
    /// Layers of both that differ.
    pub changed: Vec<Changed>,
    /// Paths that don't differ.
    pub equal: usize,
}

/// All rows of one open path: how many there are, and the distinct values of what they are given.
#[derive(Debug, Default)]
struct Entry {
    class: Arc<str>,
    instances: u128,
    params: u128,
    stands_for: Option<(String, Arc<str>)>,
    facts: IndexMap<Arc<str>, IndexSet<String>>,
}

/// Compares a first model with a second one.
#[must_use]
pub fn difference(first: &Evaluation, second: &Evaluation) -> Difference {
    let b = entries(second);
    let (a, removed): (IndexMap<_, _>, IndexMap<_, _>) = entries(first).into_iter().partition(|(path, _)| b.contains_key(path));
    let mut out =
        Difference { removed: removed.into_iter().map(|(path, entry)| single(path, entry)).collect(), ..Difference::default() };
    for (path, theirs) in b {
        let Some(ours) = a.get(&path) else {
            out.added.push(single(path, theirs));
            continue;
        };
        let facts = changes(ours, &theirs);
        if facts.is_empty() { out.equal += 1 } else { out.changed.push(Changed { path, facts }) }
    }
    out
}

fn single(path: String, entry: Entry) -> Single {
    Single { path, class: entry.class, instances: entry.instances, params: entry.params, stands_for: entry.stands_for }
}

fn changes(ours: &Entry, theirs: &Entry) -> Vec<(Arc<str>, String, String)> {
    let mut facts = Vec::new();
    let mut note = |name: &str, a: String, b: String| {
        if a != b {
            facts.push((name.into(), a, b));
        }
    };
    let last = |class: &str| class.rsplit('.').next().unwrap_or(class).to_owned();
    note("class", last(&ours.class), last(&theirs.class));
    note("layers", ours.instances.to_string(), theirs.instances.to_string());
    let names = ours.facts.keys().chain(theirs.facts.keys().filter(|name| !ours.facts.contains_key(*name)));
    for name in names {
        let (a, b) = (ours.facts.get(name), theirs.facts.get(name));
        let [a_values, b_values] = [a, b].map(|values| values.into_iter().flatten().map(String::as_str).collect::<Vec<_>>());
        if a_values != b_values || a.is_some() != b.is_some() {
            let same = a_values.iter().zip(&b_values).take_while(|(a, b)| a == b).count();
            facts.push((name.clone(), shown(a.is_some(), &a_values, same), shown(b.is_some(), &b_values, same)));
        }
    }
    facts
}

/// The values of a parameter, of many only those from where they differ.
fn shown(given: bool, values: &[&str], same: usize) -> String {
    const MOST: usize = 12;
    if !given {
        return "(default)".to_owned();
    }
    if values.len() <= MOST {
        return values.join(" | ");
    }
    let from = same.saturating_sub(1).min(values.len() - MOST);
    let part = values.get(from..from + MOST).unwrap_or_default().join(" | ");
    let before = if from > 0 { "... | " } else { "" };
    let after = if from + MOST < values.len() { " | ..." } else { "" };
    format!("{before}{part}{after} ({} values)", values.len())
}

/// The rows by their paths with `*` for indices, in the order of execution.
fn entries(compiled: &Evaluation) -> IndexMap<String, Entry> {
    let mut out: IndexMap<String, Entry> = IndexMap::new();
    for ((info, row), cost) in compiled.flat.rows.iter().zip(compiled.bound.rows.iter()).zip(compiled.report.rows()) {
        let entry = out.entry(open(&info.path)).or_default();
        entry.class = info.row.class_name.clone();
        entry.stands_for = info.row.merged.as_ref().map(|merged| (merged.names(), merged.doc.clone()));
        entry.instances = entry.instances.saturating_add(info.repeats);
        entry.params = entry.params.saturating_add(cost.of(Quantity::Params));
        let mut add = |name: Arc<str>, value: String| {
            entry.facts.entry(name).or_default().insert(value);
        };
        let Some(signature) = row.signature.and_then(|at| compiled.bound.signatures.get(at as usize)) else { continue };
        for (at, value) in signature.arguments.iter() {
            let class = info.row.class.as_ref().map(|class| &class.0);
            if let Some(parameter) = class.and_then(|class| class.parameters.get(usize::from(at))) {
                add(parameter.name.clone(), plain(value));
            }
        }
        for weight in signature.weights.iter().flat_map(|own| own.iter()) {
            add(weight.name.clone(), crate::quantity::shape(&weight.shape));
        }
        for tied in &info.row.tied {
            add("tied_to".into(), open(&tied.path));
        }
    }
    out
}

fn plain(value: &Value) -> String {
    if let Value::Text(text) = value { text.to_string() } else { value.to_string() }
}

/// `model.layers.*.mlp.up_proj` for `model.layers.[0-31].mlp.up_proj`.
fn open(path: &str) -> String {
    let index = |part: &str| part.starts_with('[') || (!part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    path.split('.').map(|part| if index(part) { "*" } else { part }).collect::<Vec<_>>().join(".")
}
