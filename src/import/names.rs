//! Names of tensors in files, and where they are in a model.

use std::collections::HashMap;
use std::sync::Arc;

use super::place::Place;
use crate::catalog::{GgufMap, Target};
use crate::syntax::glob;

/// The letters that stand for the numbers of a name, in their order.
pub(super) const NUMBERS: [&str; 3] = ["N", "M", "K"];

/// A name without its numbers, which stand beside it: `blk.7.attn_q` is `blk.N.attn_q` and 7. What is no number of 64 bits stays.
#[must_use]
pub fn pattern(name: &str) -> (String, Vec<u64>) {
    let mut numbers = Vec::new();
    let parts: Vec<&str> = name
        .split('.')
        .map(|part| {
            let number = part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<u64>().ok()).flatten();
            match (number, NUMBERS.get(numbers.len())) {
                (Some(number), Some(letter)) => {
                    numbers.push(number);
                    letter
                }
                _ => part,
            }
        })
        .collect();
    (parts.join("."), numbers)
}

/// A path with its numbers put in; those that it has no letter for are left out.
pub fn filled(path: &str, numbers: &[u64]) -> String {
    let part = |part: &str| {
        let at = NUMBERS.iter().position(|letter| *letter == part);
        at.and_then(|at| numbers.get(at)).map_or_else(|| part.to_owned(), u64::to_string)
    };
    path.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// Where a path of a split tensor stands for modules of which each has its number: `norms.*`.
const EACH: &str = ".*";

/// The weight that a path means of a tensor with this end of its name; `""`: its name is all in the path.
fn at(path: &str, kind: &str, weights: &HashMap<Arc<str>, usize>) -> Option<usize> {
    // A bare model has its modules without the name that it has in a model with a head.
    let get = |name: String| {
        let bare = || name.split_once('.').and_then(|(_, bare)| weights.get(bare));
        weights.get(name.as_str()).or_else(bare).copied()
    };
    match kind {
        // A map that names a module for a whole name means its weight.
        "" => get(path.to_owned()).or_else(|| get(format!("{path}.weight"))),
        // Stacked experts have their biases beside them, as tensors of the same module.
        "bias" => get(format!("{path}.bias")).or_else(|| get(format!("{path}_bias"))),
        _ => get(format!("{path}.{kind}")).or_else(|| get(path.to_owned())),
    }
}

/// Where a tensor of a GGUF file is in a model with these weights. `None`: the map says nothing of it, or the model has nothing there.
#[must_use]
pub fn gguf_places(name: &str, map: &GgufMap, weights: &HashMap<Arc<str>, usize>) -> Option<Place> {
    let (pattern, numbers) = pattern(name);
    let (stem, kind) = pattern.rsplit_once('.').unwrap_or((&pattern, ""));
    // A whole name before one without `weight` or `bias`.
    let (target, kind): (&Target, &str) = match map.tensors.get(pattern.as_str()) {
        Some(target) => (target, ""),
        None => (map.tensors.get(stem)?, kind),
    };
    let find = |path: &str| {
        let path = filled(path, &numbers);
        let here = |path: &str| at(path, kind, weights);
        here(&path).or_else(|| elsewhere(&path, map).iter().find_map(|path| here(path)))
    };
    if target.is_split {
        let mut all = Vec::new();
        for path in &target.paths {
            match path.split_once(EACH) {
                Some((before, after)) => {
                    // As many as the model has: each is another weight, so they end.
                    all.extend((0u64..).map_while(|number| find(&format!("{before}.{number}{after}"))));
                }
                None => all.push(find(path)?),
            }
        }
        return (!all.is_empty()).then_some(Place { weights: all, is_transposed: target.is_transposed, ..Place::default() });
    }
    let first = target.paths.iter().find_map(|path| find(path))?;
    Some(Place { weights: vec![first], is_transposed: target.is_transposed, ..Place::default() })
}

/// A path under the other roots that a map's modules may stand under: a decoder is the whole model, or what of it reads text.
pub(super) fn elsewhere(path: &str, map: &GgufMap) -> Vec<String> {
    let roots = || map.roots.iter().map(|root| &**root);
    let Some(inner) = roots().filter(|root| path.starts_with(root)).max_by_key(|root| root.len()) else { return Vec::new() };
    let rest = path.strip_prefix(inner).unwrap_or(path);
    roots().filter(|root| *root != inner).map(|root| format!("{root}{rest}")).collect()
}

/// What a tensor is that no module has, where the map knows it. `draft_from`: the first block that isn't the model's.
#[must_use]
pub fn left_over(name: &str, map: &GgufMap, draft_from: Option<u64>) -> Option<Arc<str>> {
    let (pattern, numbers) = pattern(name);
    let is_draft = draft_from.zip(numbers.first()).is_some_and(|(from, number)| *number >= from);
    if is_draft {
        return Some(DRAFT.into());
    }
    let fits = |known: &str| glob::matches(known, &pattern) || glob::matches(known, name);
    map.left.iter().find(|(known, _)| fits(known)).map(|(_, what)| what.clone())
}

/// Why no such file has a weight, where the map knows that.
#[must_use]
pub fn is_absent(path: &str, map: &GgufMap) -> Option<Arc<str>> {
    map.absent.iter().find(|(known, _)| glob::matches(known, path)).map(|(_, why)| why.clone())
}

/// What a draft part is called.
const DRAFT: &str = "multi-token prediction";
