//! What changed between two of `compile`'s own outputs, kept and new: for snapshots of models.
//!
//! Two JSON texts of the format `layerspec.compile/1` come in, changes go out. Only rows that differ in their text are looked into.

use std::collections::HashMap;

use indexmap::{IndexMap, IndexSet};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use crate::flat::Indices;
use crate::quantity::total;

/// The format whose texts are compared.
pub const FORMAT: &str = "layerspec.compile/1";

/// A text of `compile --format json`.
struct Saved<'t> {
    layers: Rows<'t>,
    groups: Rows<'t>,
    /// In the order of the text.
    totals: IndexMap<String, Json>,
    /// Name, workload, conventions, catalog, reference.
    rest: Json,
}

/// By what a row is known again.
#[derive(Debug, Deserialize)]
struct Named {
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    class: Option<String>,
}

/// A difference between two outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where: `workload`, `totals`, or the path of layers, those with the same change together: `model.layers.[0-31].mlp.up_proj`.
    pub place: String,
    /// How many layers it is of; 0 of what isn't a layer's.
    pub layers: usize,
    /// What differs.
    pub what: What,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The new output alone has it: a layer of this class.
    Added(String),
    /// The old output alone has it.
    Removed(String),
    /// A value; JSON, `None` where there is none.
    Value {
        /// `in_features`, `inputs.0.from`, `params`.
        name: String,
        /// In the old output.
        before: Option<String>,
        /// In the new one.
        after: Option<String>,
    },
    /// Figures that follow from what is said elsewhere: their names.
    Figures(Vec<String>),
    /// The same layers run in another order.
    Order,
}

/// What changed from an output to another.
///
/// # Errors
/// Which of the two (`old`, `new`) isn't one, and why.
pub fn changes(old: &str, new: &str) -> Result<Vec<Change>, (&'static str, String)> {
    let (old, new) = (saved(old).map_err(|why| ("old", why))?, saved(new).map_err(|why| ("new", why))?);
    let mut out = Vec::new();
    values("", &old.rest, &new.rest, &mut |name, before, after| {
        let (place, name) = name.split_once('.').unwrap_or(("output", name));
        out.push(Change { place: place.to_owned(), layers: 0, what: value(name, before, after) });
    });
    // Of another workload all figures are others: that they are is one change.
    let elsewhere = out.iter().any(|change| change.place == "workload" || change.place == "conventions");
    rows(&old.layers, &new.layers, elsewhere, &mut out)?;
    rows(&old.groups, &new.groups, elsewhere, &mut out)?;
    let gone = old.totals.keys().filter(|key| !new.totals.contains_key(*key));
    for name in new.totals.keys().chain(gone) {
        let (before, after) = (old.totals.get(name), new.totals.get(name));
        if before != after {
            out.push(Change { place: "totals".to_owned(), layers: 0, what: value(name, before, after) });
        }
    }
    Ok(out)
}

fn saved(text: &str) -> Result<Saved<'_>, String> {
    let isnt = |error: serde_json::Error| format!("it isn't what `compile --format json` writes: {error}");
    let mut parts: IndexMap<String, &RawValue> = serde_json::from_str(text).map_err(isnt)?;
    let format: Option<String> = parts.shift_remove("format").and_then(|format| serde_json::from_str(format.get()).ok());
    if format.as_deref() != Some(FORMAT) {
        let found = format.map_or_else(|| "it states no format".to_owned(), |format| format!("its format is `{format}`"));
        return Err(format!("{found}, expected `{FORMAT}`"));
    }
    let mut list =
        |key: &str| parts.shift_remove(key).map_or(Ok(Vec::new()), |list| serde_json::from_str(list.get()).map_err(isnt));
    let (layers, groups) = (index(list("layers")?)?, index(list("groups")?)?);
    let totals = parts.shift_remove("totals").map_or(Ok(IndexMap::new()), |totals| serde_json::from_str(totals.get()));
    let totals = totals.map_err(isnt)?;
    let rest: Result<Map<String, Json>, _> =
        parts.into_iter().map(|(key, value)| Ok((key, serde_json::from_str(value.get())?))).collect();
    Ok(Saved { layers, groups, totals, rest: Json::Object(rest.map_err(isnt)?) })
}

/// Whether a text says of itself that it is one of `compile`'s outputs.
#[must_use]
pub fn is_output(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Format {
        format: String,
    }
    // The first key of what `compile` writes: of another text no more is read than its beginning.
    const BEGINNING: usize = 4096;
    let begins = text.char_indices().nth(BEGINNING).map_or(text, |(at, _)| text.get(..at).unwrap_or(text));
    begins.contains("\"format\"") && serde_json::from_str::<Format>(text).is_ok_and(|found| found.format == FORMAT)
}

fn value(name: &str, before: Option<&Json>, after: Option<&Json>) -> What {
    What::Value { name: name.to_owned(), before: before.map(Json::to_string), after: after.map(Json::to_string) }
}

/// What is done with a value that differs: its path, the old one and the new one.
type Visit<'v> = dyn FnMut(&str, Option<&Json>, Option<&Json>) + 'v;

/// Every value in which two JSON values differ, by its path; lists are compared item by item if they are of objects.
fn values(name: &str, before: &Json, after: &Json, visit: &mut Visit<'_>) {
    let inner = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match (before, after) {
        (Json::Object(a), Json::Object(b)) => {
            for (key, before) in a {
                match b.get(key) {
                    Some(after) => values(&inner(key), before, after, visit),
                    None => visit(&inner(key), Some(before), None),
                }
            }
            b.iter().filter(|(key, _)| !a.contains_key(*key)).for_each(|(key, after)| visit(&inner(key), None, Some(after)));
        }
        (Json::Array(a), Json::Array(b)) if a.iter().chain(b).all(Json::is_object) && a.len() == b.len() => {
            for (at, (before, after)) in a.iter().zip(b).enumerate() {
                // By its own name, where it has one.
                let key = after.get("name").and_then(Json::as_str).map_or_else(|| at.to_string(), str::to_owned);
                values(&inner(&key), before, after, visit);
            }
        }
        _ if before == after || alike(before, after) => {}
        _ => visit(name, Some(before), Some(after)),
    }
}

/// A row's text, and how many of its name were before it.
type Rows<'t> = IndexMap<(String, usize), &'t RawValue>;

fn index<'t>(rows: Vec<&'t RawValue>) -> Result<Rows<'t>, String> {
    let (mut out, mut known) = (IndexMap::with_capacity(rows.len()), HashMap::new());
    for row in rows {
        let named: Named =
            serde_json::from_str(row.get()).map_err(|error| format!("a row has neither a path nor a class: {error}"))?;
        let name = named.path.or(named.class).ok_or("a row has neither a path nor a class")?;
        let nth = known.entry(name.clone()).or_insert(0usize);
        out.insert((name, *nth), row);
        *nth += 1;
    }
    Ok(out)
}

/// Changes of many layers put together: by place with open indices and what it is.
#[derive(Default)]
struct Folded {
    all: IndexMap<(String, String), Alike>,
}

/// A change, and the indices of the layers that have it.
struct Alike {
    what: What,
    indices: Vec<Vec<u64>>,
}

impl Folded {
    fn add(&mut self, path: &str, what: What) {
        let (open, indices) = open(path);
        let alike = self.all.entry((open, format!("{what:?}"))).or_insert_with(|| Alike { what, indices: Vec::new() });
        alike.indices.push(indices);
    }

    fn into_changes(self) -> impl Iterator<Item = Change> {
        let change =
            |open: &str, Alike { what, indices }: Alike| Change { place: place(open, &indices), layers: indices.len(), what };
        self.all.into_iter().map(move |((open, _), alike)| change(&open, alike))
    }
}

fn rows(old: &Rows<'_>, new: &Rows<'_>, elsewhere: bool, out: &mut Vec<Change>) -> Result<(), (&'static str, String)> {
    let mut folded = Folded::default();
    let parsed = |which: &'static str, row: &RawValue| {
        serde_json::from_str::<Map<String, Json>>(row.get()).map_err(|error| (which, error.to_string()))
    };
    // A group has no class.
    let class = |which, row: &RawValue| {
        parsed(which, row).map(|row| row.get("class").and_then(Json::as_str).unwrap_or_default().to_owned())
    };
    for ((path, nth), before) in old {
        let Some(after) = new.get(&(path.clone(), *nth)) else {
            folded.add(path, What::Removed(class("old", before)?));
            continue;
        };
        if before.get() == after.get() {
            continue;
        }
        row(path, parsed("old", before)?, parsed("new", after)?, &mut folded);
    }
    for ((path, nth), after) in new {
        if !old.contains_key(&(path.clone(), *nth)) {
            folded.add(path, What::Added(class("new", after)?));
        }
    }
    let common = |a: &Rows<'_>, b: &Rows<'_>| a.keys().filter(|key| b.contains_key(*key)).cloned().collect::<Vec<_>>();
    let (figures, others): (Vec<Change>, Vec<Change>) =
        folded.into_changes().partition(|change| elsewhere && matches!(change.what, What::Figures(_)));
    out.extend(others);
    if !figures.is_empty() {
        let names: IndexSet<&String> = figures
            .iter()
            .filter_map(|change| if let What::Figures(names) = &change.what { Some(names) } else { None })
            .flatten()
            .collect();
        let what = What::Figures(names.into_iter().cloned().collect());
        out.push(Change { place: "layers".to_owned(), layers: figures.iter().map(|change| change.layers).sum(), what });
    }
    if common(old, new) != common(new, old) {
        out.push(Change { place: "layers".to_owned(), layers: 0, what: What::Order });
    }
    Ok(())
}

/// What a layer is and reads, then what follows from it: the shapes and figures of a layer that is another one are no news.
fn row(path: &str, mut before: Map<String, Json>, mut after: Map<String, Json>, folded: &mut Folded) {
    const IS: [&str; 6] = ["class", "kind", "parameters", "workload", "calls", "tied_to"];
    const PARAMETERS: &str = "parameters.";
    let split = |row: &mut Map<String, Json>| -> Map<String, Json> {
        IS.iter().filter_map(|key| Some(((*key).to_owned(), row.remove(*key)?))).collect()
    };
    let (is, is_now) = (split(&mut before), split(&mut after));
    let mut said = false;
    let mut say = |name: &str, before: Option<&Json>, after: Option<&Json>| {
        said = true;
        folded.add(path, value(name.strip_prefix(PARAMETERS).unwrap_or(name), before, after));
    };
    values("", &Json::Object(is), &Json::Object(is_now), &mut say);
    // Of inputs only whose values they are; their shapes follow.
    let reads = |row: &Map<String, Json>| -> Json {
        let input = |input: &Json| {
            let keep = ["name", "from", "model_input", "output"];
            Json::Object(keep.iter().filter_map(|key| Some(((*key).to_owned(), input.get(*key)?.clone()))).collect())
        };
        Json::Array(row.get("inputs").and_then(Json::as_array).into_iter().flatten().map(input).collect())
    };
    values("inputs", &reads(&before), &reads(&after), &mut say);
    if said {
        return;
    }
    let (mut figures, mut others) = (Vec::new(), Vec::new());
    values("", &Json::Object(before), &Json::Object(after), &mut |name, before, after| {
        let figure = total(name).is_some();
        let shape = ["inputs", "outputs", "output_shape", "arithmetic_intensity", "weights"];
        match figure || shape.iter().any(|part| name.split('.').next() == Some(part)) {
            true => figures.push(name.split('.').next().unwrap_or(name).to_owned()),
            false => others.push((name.to_owned(), value(name, before, after))),
        }
    });
    others.into_iter().for_each(|(_, what)| folded.add(path, what));
    figures.dedup();
    if !figures.is_empty() {
        folded.add(path, What::Figures(figures));
    }
}

/// A path with its indices left open, and these.
fn open(path: &str) -> (String, Vec<u64>) {
    let mut indices = Vec::new();
    let parts = path.split('.').map(|part| match part.parse::<u64>() {
        Ok(index) if part.len() == 1 || !part.starts_with('0') => {
            indices.push(index);
            "*"
        }
        _ => part,
    });
    let open = parts.collect::<Vec<_>>().join(".");
    (open, indices)
}

/// `model.layers.[0-31].mlp.up_proj`: an open path with what stands in each place.
fn place(open: &str, indices: &[Vec<u64>]) -> String {
    let mut nth = 0;
    let parts = open.split('.').map(|part| {
        if part != "*" {
            return part.to_owned();
        }
        let mut here: Vec<u64> = indices.iter().filter_map(|indices| indices.get(nth)).copied().collect();
        nth += 1;
        here.sort_unstable();
        here.dedup();
        let mut set = Indices::default();
        here.into_iter().for_each(|index| set.push(index, index));
        set.pattern()
    });
    parts.collect::<Vec<_>>().join(".")
}

/// Whether two numbers are the same, written differently (`0.0` and `0`): who formats a text anew may shorten them. Integers are as they are.
fn alike(before: &Json, after: &Json) -> bool {
    let number = |json: &Json| json.as_number().map(ToString::to_string);
    let is_decimal = |text: &str| text.contains(['.', 'e', 'E']);
    match (number(before), number(after)) {
        (Some(before), Some(after)) if is_decimal(&before) || is_decimal(&after) => {
            before.parse::<f64>().ok() == after.parse::<f64>().ok()
        }
        _ => false,
    }
}
