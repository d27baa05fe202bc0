//! Optimizers: `catalog/optimizers.json`. What each keeps for a tensor is a formula over the tensor's sizes.

use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use crate::syntax::diag::nearest;
use crate::syntax::expr::{EvalError, Exact, Expr, Name, Syntax, Value, eval, parse};

/// An optimizer and the bytes of its states.
#[derive(Debug)]
pub struct Optimizer {
    /// The name to call it by.
    pub name: Arc<str>,
    /// Other names.
    pub aliases: Vec<String>,
    /// What it keeps, in a line.
    pub doc: Arc<str>,
    /// Where that is written down.
    pub source: Arc<str>,
    /// As it is written, over [`NAMES`].
    pub formula: Arc<str>,
    expr: Expr<Name>,
}

/// What a formula may use.
pub const NAMES: &[(&str, &str)] = &[
    ("n", "elements of the tensor"),
    ("dims", "its dimensions"),
    ("last", "size of the last dimension"),
    ("second_last", "size of the one before; 1 for vectors"),
    ("state_dtype_bytes", "4 with float32 master weights, else bytes of a weight"),
];

impl Optimizer {
    /// Bytes of the states for one tensor of this shape, `state_dtype_bytes` for each of their elements. `None` beyond what is computed with.
    #[must_use]
    pub fn state_bytes(&self, shape: &[u128], state_dtype_bytes: Exact) -> Option<u128> {
        let n = shape.iter().try_fold(1u128, |product, dim| product.checked_mul(*dim))?;
        if n == 0 {
            return Some(0);
        }
        let count = |n: u128| Exact::from_count(n).map(Value::Number).ok_or(EvalError::Reported);
        let env = |name: &Name| match &*name.text {
            "n" => count(n),
            "dims" => count(shape.len() as u128),
            "last" => count(shape.last().copied().unwrap_or(1)),
            "second_last" => count(shape.iter().rev().nth(1).copied().unwrap_or(1)),
            _ => Ok(Value::Number(state_dtype_bytes)),
        };
        eval(&self.expr, &env, 0).ok()?.as_number()?.ceil()?.to_count()
    }
}

#[derive(Deserialize)]
struct Entry {
    aliases: Vec<String>,
    state_bytes: String,
    doc: String,
    source: String,
}

const TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/catalog/optimizers.json"));

/// All optimizers, in the catalog's order. One whose formula doesn't parse is left out, which a test excludes.
pub fn all() -> &'static [Optimizer] {
    static ALL: OnceLock<Vec<Optimizer>> = OnceLock::new();
    ALL.get_or_init(|| {
        let entries: indexmap::IndexMap<String, Entry> = serde_json::from_str(TEXT).unwrap_or_default();
        let optimizer = |(name, entry): (String, Entry)| {
            Some(Optimizer {
                name: name.into(),
                aliases: entry.aliases,
                doc: entry.doc.into(),
                source: entry.source.into(),
                expr: parse(&entry.state_bytes, Syntax::Formula).ok()?,
                formula: entry.state_bytes.into(),
            })
        };
        entries.into_iter().filter_map(optimizer).collect()
    })
}

/// The optimizer of this name or alias, in any case.
///
/// # Errors
/// The nearest name, if any is near.
pub fn find(name: &str) -> Result<&'static Optimizer, Option<&'static str>> {
    let matches = |o: &&Optimizer| o.name.eq_ignore_ascii_case(name) || o.aliases.iter().any(|a| a.eq_ignore_ascii_case(name));
    all().iter().find(matches).ok_or_else(|| nearest(name, all().iter().map(|o| &*o.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_optimizer_of_the_file_is_there_and_uses_known_names() {
        let entries: indexmap::IndexMap<String, serde_json::Value> = serde_json::from_str(TEXT).unwrap();
        assert_eq!(entries.len(), all().len());
        for optimizer in all() {
            optimizer.expr.for_each_variable(&mut |name: &Name| {
                assert!(NAMES.iter().any(|(known, _)| *known == &*name.text), "{}: {}", optimizer.name, name.text);
            });
        }
    }

    #[test]
    fn states_of_a_matrix_and_a_vector() {
        let bytes = |name: &str, shape: &[u128]| find(name).unwrap().state_bytes(shape, Exact::integer(4)).unwrap();
        assert_eq!(bytes("sgd", &[10, 20]), 0);
        assert_eq!(bytes("momentum", &[10, 20]), 800);
        assert_eq!(bytes("adamw", &[10, 20]), 1604);
        assert_eq!(bytes("adafactor", &[10, 20]), 124);
        assert_eq!(bytes("adafactor", &[20]), 84);
        assert_eq!(bytes("adam8bit", &[10, 20]), 1600);
        assert_eq!(bytes("adam8bit", &[64, 128]), 2 * 8192 + 2 * 4 * 32 + 2048);
    }
}
