//! The tensors that a converter writes of a model: a map read the other way.
//!
//! A model's weights come in, [`Contents`] without types go out, and which weight is in which tensor. What a map says nothing of may be a part
//! of the model that such files don't have: an encoder of images stands in a file of its own.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::contents::{Contents, Held};
use super::names::{NUMBERS, elsewhere, filled, pattern};
use super::reconcile::{Weight, elements_of};
use crate::catalog::{GgufMap, KeyFormula, Target};
use crate::syntax::expr::{Name, Value, eval};

/// The values of a model's variables.
pub(super) type Variables<'v> = &'v dyn Fn(&str) -> Option<Value>;

/// A model as tensors of a file.
#[derive(Debug, Default)]
pub struct Written {
    /// Its tensors; those that other files have say so in `file`. Types and bytes aren't given yet.
    pub contents: Contents,
    /// For each weight the tensors that hold it.
    pub held: Vec<Vec<usize>>,
    /// Weights that other files have.
    pub beside: Vec<usize>,
}

/// What says of a tensor that another file has it.
const BESIDE: &str = "beside";

/// How the weights of modules are written: by the path of a module or a weight without its numbers, the stems of the tensors.
type Stems<'m> = HashMap<&'m str, Vec<(&'m Arc<str>, &'m Target)>>;

/// The tensors of a model's weights.
///
/// # Errors
/// Weights of the part that the map is for have no tensors, or parts of one aren't all of it: why, in words.
pub fn written(list: &[Weight], map: &GgufMap, flags: &[&Arc<str>], variables: Variables<'_>) -> Result<Written, String> {
    let mut stems: Stems<'_> = HashMap::new();
    for (stem, target) in &map.tensors {
        for path in &target.paths {
            stems.entry(&**path).or_default().push((stem, target));
        }
    }
    // Of several the first by name: a map has no order.
    stems.values_mut().for_each(|list| list.sort_by(|a, b| a.0.cmp(b.0)));
    let mut writer = Writer { map, stems, flags, variables, out: Written::default(), known: HashMap::new(), last_block: None };
    let mut seen: HashMap<String, usize> = HashMap::new();
    let (mut unwritten, mut metadata) = (Vec::new(), Vec::new());
    for (at, weight) in list.iter().enumerate() {
        // One that is called several times is written once.
        let known = seen.get(&weight.path()).copied();
        let held = match known {
            Some(first) => writer.out.held.get(first).cloned().unwrap_or_default(),
            None if weight.is_tied => Vec::new(),
            None => writer.tensors(weight)?,
        };
        if held.is_empty() && !weight.is_tied && known.is_none() {
            let (path, _) = pattern(&weight.path());
            let is_metadata = map.metadata.iter().any(|known| **known == *path);
            if is_metadata { metadata.push(at) } else { unwritten.push(at) }
        }
        seen.entry(weight.path()).or_insert(at);
        writer.out.held.push(held);
    }
    let mut out = writer.out;
    beside(list, &unwritten, &out.held)?;
    elsewhere_held(list, &unwritten, &mut out);
    out.beside = unwritten;
    elsewhere_held(list, &metadata, &mut out);
    tied(list, &mut out);
    Ok(out)
}

struct Writer<'m> {
    map: &'m GgufMap,
    stems: Stems<'m>,
    flags: &'m [&'m Arc<str>],
    variables: Variables<'m>,
    out: Written,
    /// Tensors that are there, by name.
    known: HashMap<String, usize>,
    /// The greatest number of a path that the map has a place for.
    last_block: Option<u64>,
}

impl Writer<'_> {
    /// The tensors that a weight is written as; none: the map has no place for it.
    fn tensors(&mut self, weight: &Weight) -> Result<Vec<usize>, String> {
        let (path, numbers) = pattern(&weight.path());
        let (module, _) = pattern(&weight.module);
        let at = |path: &str| {
            let others = || elsewhere(path, self.map).iter().find_map(|path| self.stems.get(path.as_str()));
            self.stems.get(path).or_else(others)
        };
        let of = |path: &str, module: &str| {
            let whole = at(path).map(|stems| (stems, ""));
            whole.or_else(|| at(module).map(|stems| (stems, &*weight.name)))
        };
        // A path that a map has with its numbers, or without any, may be of a block all the same: the one after the model's.
        let named = || of(&weight.path(), &weight.module).map(|found| (found, vec![self.next_block()]));
        let numbered = of(&path, &module).filter(|_| !numbers.is_empty()).map(|found| (found, numbers));
        let is_numbered = numbered.is_some();
        let Some(((stems, kind), numbers)) = numbered.or_else(named) else { return Ok(Vec::new()) };
        let block = numbers.first().copied().filter(|_| is_numbered);
        // A stem with a number that the path doesn't have is of another form: each expert in tensors of its own.
        let usable: Vec<(Arc<str>, bool, bool)> = stems
            .iter()
            .map(|(stem, target)| ((*stem).clone(), target.is_transposed, target.is_split))
            .filter(|(stem, ..)| !filled(stem, &numbers).split('.').any(|part| NUMBERS.contains(&part)))
            .collect();
        self.last_block = self.last_block.max(block);
        let parts: Vec<&(Arc<str>, bool, bool)> = usable.iter().filter(|(stem, ..)| self.map.parts.contains_key(stem)).collect();
        if parts.is_empty() || kind == "bias" {
            let Some((stem, is_transposed, is_split)) = usable.first() else { return Ok(Vec::new()) };
            let name = self.name(stem, kind, &numbers);
            let shape = shape_of(weight, *is_transposed);
            return Ok(self.one(name, shape, *is_split).into_iter().collect());
        }
        let mut held = Vec::new();
        let mut elements = 0u64;
        for (stem, ..) in parts {
            let dims = self.map.parts.get(stem).map(Vec::as_slice).unwrap_or_default();
            let shape = self.dims(dims, weight).map_err(|why| format!("of `{}` the tensor `{stem}` {why}", weight.path()))?;
            elements = elements.saturating_add(elements_of(&shape));
            held.extend(self.one(self.name(stem, kind, &numbers), shape, false));
        }
        if elements != weight.elements() {
            return Err(format!("`{}` has {} elements, its parts {elements}", weight.path(), weight.elements()));
        }
        for (stem, is_transposed, _) in &usable {
            // What says the same again is in the file and no weight's own.
            if self.map.again.iter().any(|(known, flag)| known == stem && self.flags.contains(&flag)) {
                self.one(self.name(stem, kind, &numbers), shape_of(weight, *is_transposed), false);
            }
        }
        Ok(held)
    }

    /// The block after all those that the weights of numbered paths are in, where a draft part's stands.
    fn next_block(&self) -> u64 {
        self.last_block.map_or(0, |last| last.saturating_add(1))
    }

    /// `blk.7.attn_q.weight`
    fn name(&self, stem: &Arc<str>, kind: &str, numbers: &[u64]) -> String {
        let name = filled(stem, numbers);
        let is_whole = stem.ends_with(".weight") || stem.ends_with(".bias") || self.map.bare.contains(stem);
        match kind {
            _ if is_whole => name,
            // A weight that is its own layer, or one of several of a layer: what its path says.
            "" => format!("{name}.weight"),
            kind => format!("{name}.{kind}"),
        }
    }

    /// Adds a tensor; one that several weights are in grows.
    fn one(&mut self, name: String, shape: Vec<u64>, is_split: bool) -> Option<usize> {
        if let Some(at) = self.known.get(&name).copied() {
            let held = self.out.contents.tensors.get_mut(at)?;
            let (rows, more) = (held.shape.as_mut()?.first_mut()?, shape.first()?);
            *rows = rows.checked_add(*more).filter(|_| is_split)?;
            return Some(at);
        }
        let at = self.out.contents.tensors.len();
        let held = Held { name: name.as_str().into(), shape: Some(shape), kind: "?".into(), bytes: None, file: None };
        self.out.contents.tensors.push(held);
        self.known.insert(name, at);
        Some(at)
    }

    fn dims(&self, dims: &[KeyFormula], weight: &Weight) -> Result<Vec<u64>, String> {
        let env = |name: &Name| {
            Ok(match &*name.text {
                "shape" => Value::List(weight.shape.iter().map(|dim| Value::count(*dim)).collect()),
                name => (self.variables)(name).unwrap_or(Value::Null),
            })
        };
        let dim = |formula: &KeyFormula| {
            let value = eval(&formula.expr, &env, 0).map_err(|error| format!("has no size: {error}, in `{}`", formula.text))?;
            value.as_u64().ok_or_else(|| format!("would have {value} in `{}`", formula.text))
        };
        dims.iter().map(dim).collect()
    }
}

/// The dimensions of a tensor that is a weight: axes of length 1 are dropped, but for the last.
fn shape_of(weight: &Weight, is_transposed: bool) -> Vec<u64> {
    let mut shape = weight.shape.clone();
    let last = shape.len();
    if is_transposed && last >= 2 {
        shape.swap(last - 2, last - 1);
    }
    let ncols = shape.pop().unwrap_or(1);
    shape.retain(|dim| *dim != 1);
    shape.push(ncols);
    shape
}

/// What the map has no place for is in another file, if it is none of the part that the map is for.
fn beside(list: &[Weight], unwritten: &[usize], held: &[Vec<usize>]) -> Result<(), String> {
    // What stands before the first number of a path: `model.language_model.layers`.
    let blocks = |weight: &Weight| {
        let parts: Vec<&str> = weight.module.split('.').take_while(|part| !part.bytes().all(|b| b.is_ascii_digit())).collect();
        parts.join(".")
    };
    // `model.vision_tower` is in `model`, where the part that the map is for is `model.language_model`.
    let mut roots: BTreeSet<String> = BTreeSet::new();
    for (weight, _) in list.iter().zip(held).filter(|(_, held)| !held.is_empty()) {
        let blocks = blocks(weight);
        if blocks != *weight.module
            && let Some((root, _)) = blocks.rsplit_once('.')
        {
            roots.insert(format!("{root}."));
        }
    }
    let is_own = |weight: &Weight| roots.is_empty() || roots.iter().any(|root| weight.module.starts_with(root.as_str()));
    let missing: Vec<String> =
        unwritten.iter().filter_map(|at| list.get(*at)).filter(|weight| is_own(weight)).map(Weight::path).collect();
    let [first, rest @ ..] = missing.as_slice() else { return Ok(()) };
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    Err(format!("no tensor is for `{first}`{more}"))
}

/// Weights that aren't tensors of the file have sizes all the same.
fn elsewhere_held(list: &[Weight], which: &[usize], out: &mut Written) {
    for at in which {
        let (Some(weight), Some(held)) = (list.get(*at), out.held.get_mut(*at)) else { continue };
        held.push(out.contents.tensors.len());
        let (name, shape) = (weight.path().into(), Some(shape_of(weight, false)));
        out.contents.tensors.push(Held { name, shape, kind: "?".into(), bytes: None, file: Some(BESIDE.into()) });
    }
}

/// A tied weight is in the tensors of the one that it is.
fn tied(list: &[Weight], out: &mut Written) {
    let mut by_module: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, weight) in list.iter().enumerate() {
        by_module.entry(&weight.module).or_default().push(at);
    }
    for (at, weight) in list.iter().enumerate() {
        let Some(target) = weight.tied_to.as_deref() else { continue };
        let of_module = by_module.get(target).into_iter().flatten();
        let same = |other: &&usize| list.get(**other).is_some_and(|other| other.elements() == weight.elements());
        let held = of_module.copied().collect::<Vec<_>>().iter().find(same).and_then(|other| out.held.get(*other)).cloned();
        if let (Some(held), Some(own)) = (held, out.held.get_mut(at))
            && own.is_empty()
        {
            *own = held;
        }
    }
}
