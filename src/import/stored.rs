//! What a file says of its weights' bytes, as a config says it: bits of each weight of each module.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::contents::Contents;
use super::reconcile::{Reconciled, Weight};
use crate::syntax::expr::Exact;

/// Bits of an element of the weights of a module, by their names.
type Bits = Vec<(Arc<str>, Exact)>;

/// The name of the method in `catalog/quantization.json` that takes bits weight by weight.
const METHOD: &str = "stored";

/// The `quantization_config` of a model whose weights are as a file has them. What most modules of a name have stands once, those that differ
/// before it. `None`: of no weight the bytes are known.
#[must_use]
pub fn stored_config(weights: &[Weight], reconciled: &Reconciled, contents: &Contents) -> Option<Json> {
    let mut modules: Vec<(Arc<str>, Bits)> = Vec::new();
    let mut known: HashMap<Arc<str>, usize> = HashMap::new();
    for (at, weight) in weights.iter().enumerate() {
        let Some(bits) = reconciled.held.get(at).and_then(|held| bits(weight, held, reconciled, contents)) else { continue };
        // A tensor that a composite owns is a layer of its own, called as itself.
        let own = || weight.module.rsplit('.').next().unwrap_or_default().into();
        let name: Arc<str> = if weight.name.is_empty() { own() } else { weight.name.clone() };
        let slot = *known.entry(weight.module.clone()).or_insert_with(|| {
            modules.push((weight.module.clone(), Vec::new()));
            modules.len() - 1
        });
        if let Some((_, own)) = modules.get_mut(slot)
            && !own.iter().any(|(known, _)| *known == name)
        {
            own.push((name, bits));
        }
    }
    if modules.is_empty() {
        return None;
    }
    let mut usual: Vec<(&str, HashMap<&Bits, usize>)> = Vec::new();
    let mut at: HashMap<&str, usize> = HashMap::new();
    for (path, own) in &modules {
        let stem = stem(path);
        let slot = *at.entry(stem).or_insert_with(|| {
            usual.push((stem, HashMap::new()));
            usual.len() - 1
        });
        if let Some((_, counts)) = usual.get_mut(slot) {
            *counts.entry(own).or_default() += 1;
        }
    }
    let most: HashMap<&str, &Bits> = usual
        .iter()
        .filter_map(|(stem, counts)| {
            // Of several that are as common the one that was first: counts have no order.
            let greatest = counts.values().max()?;
            let first = modules.iter().find(|(path, own)| self::stem(path) == *stem && counts.get(own) == Some(greatest))?;
            Some((*stem, &first.1))
        })
        .collect();
    let object =
        |own: &Bits| -> Json { Json::Object(own.iter().map(|(name, bits)| (name.to_string(), number(*bits))).collect()) };
    let mut out = Map::new();
    for (path, own) in modules.iter().filter(|(path, own)| most.get(stem(path)) != Some(&own)) {
        out.insert(path.to_string(), object(own));
    }
    for (stem, _) in &usual {
        if let Some(own) = most.get(stem) {
            out.insert((*stem).to_owned(), object(own));
        }
    }
    Some(json!({ "quant_method": METHOD, "weights": out }))
}

/// Bits of an element of a weight, scales included. `None`: it isn't there, or the bytes of a tensor aren't known.
fn bits(weight: &Weight, held: &[usize], reconciled: &Reconciled, contents: &Contents) -> Option<Exact> {
    if held.is_empty() {
        return None;
    }
    let mut bytes = 0u128;
    for at in held {
        let tensor = contents.tensors.get(*at)?;
        if reconciled.split.contains(at) {
            // It holds other weights, too, of the same type.
            return Exact::from_count(u128::from(tensor.bytes?) * 8)?.checked_div(Exact::from_count(tensor.elements()?.into())?);
        }
        bytes = bytes.checked_add(u128::from(tensor.bytes?))?;
    }
    Exact::from_count(bytes.checked_mul(8)?)?.checked_div(Exact::from_count(weight.elements().into())?)
}

/// What modules of all layers have in common: the path behind its last number, with the point before it; all of one without numbers.
fn stem(path: &str) -> &str {
    let mut ends = path.match_indices('.').map(|(at, _)| at).rev().filter(|at| {
        let before = path.get(..*at).and_then(|before| before.rsplit('.').next()).unwrap_or_default();
        !before.is_empty() && before.bytes().all(|b| b.is_ascii_digit())
    });
    ends.next().and_then(|at| path.get(at..)).unwrap_or(path)
}

/// A decimal where there is one, else a division.
fn number(bits: Exact) -> Json {
    if let Some(integer) = bits.to_integer() {
        return json!(integer);
    }
    let double = bits.to_f64();
    if Exact::parse(&double.to_string()) == Some(bits) {
        json!(double)
    } else {
        let (n, d) = bits.parts();
        json!(format!("{n} / {d}"))
    }
}
