//! Optimizers: `catalog/optimizers.json`. What each keeps for a tensor is a formula over the tensor's sizes.

use std::sync::Arc;

use super::CatalogFile;
use super::table::Entry;
use super::values::{formula, key, text, texts};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::expr::{EvalError, Exact, Expr, Name, Value, eval};
use crate::syntax::json::Member;
use crate::syntax::source::Span;
use crate::syntax::spec::{Key, KeyKind, fields};

/// An optimizer and the bytes of its states.
#[derive(Debug)]
pub struct Optimizer {
    /// The name to call it by.
    pub name: Arc<str>,
    /// Other names.
    pub aliases: Vec<Arc<str>>,
    /// What it keeps, in a line.
    pub doc: Arc<str>,
    /// Where that is written down.
    pub source: Arc<str>,
    /// As it is written, over a tensor's sizes: `n`, `dims`, `last`, `second_last`, `state_dtype_bytes`.
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

const OPTIMIZER_KEYS: &[Key] = &[
    key("aliases", KeyKind::Texts, false, "other names"),
    key("state_bytes", KeyKind::Count, true, "bytes of the states for one tensor: a formula over its sizes"),
    key("doc", KeyKind::Text, true, "what it keeps"),
    key("source", KeyKind::Text, true, "where that is written down"),
];

pub(super) const FILE: CatalogFile = CatalogFile {
    path: "catalog/optimizers.json",
    name: "optimizers",
    aliases: &[],
    computed: None,
    text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/catalog/optimizers.json")),
};

impl Entry for Arc<Optimizer> {
    fn read(member: &Member, diagnostics: &mut Diagnostics) -> Option<Self> {
        let f = fields(&member.value, "an optimizer", OPTIMIZER_KEYS, &[], diagnostics)?;
        // All are read before any is missed, so that all that is wrong is said.
        let aliases = texts(f.get("aliases"), diagnostics);
        let formula = f.get("state_bytes").and_then(|n| formula(n, unknown, diagnostics));
        let [doc, source] = ["doc", "source"].map(|key| f.get(key).and_then(|n| text(n, diagnostics)));
        let (formula, expr) = formula?;
        Some(Arc::new(Optimizer { name: member.key.clone(), aliases, doc: doc?, source: source?, formula, expr }))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn aliases(&self) -> &[Arc<str>] {
        &self.aliases
    }
}

/// What to say of a name that isn't of [`NAMES`].
fn unknown(name: &str, span: Span) -> Option<Diagnostic> {
    let names = || NAMES.iter().map(|(name, _)| *name);
    (!names().any(|known| known == name)).then(|| {
        Diagnostic::new(Code::UnknownVariable, format!("unknown name `{name}` in a formula"))
            .at(span, "not a size of a tensor")
            .did_you_mean(span, nearest(name, names()))
            .help(format!("there are {}", names().collect::<Vec<_>>().join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn states_of_a_matrix_and_a_vector() {
        let catalog = Catalog::new();
        let bytes = |name: &str, shape: &[u128]| catalog.optimizer(name).unwrap().state_bytes(shape, Exact::integer(4)).unwrap();
        assert_eq!(bytes("sgd", &[10, 20]), 0);
        assert_eq!(bytes("momentum", &[10, 20]), 800);
        assert_eq!(bytes("adamw", &[10, 20]), 1604);
        assert_eq!(bytes("adafactor", &[10, 20]), 124);
        assert_eq!(bytes("adafactor", &[20]), 84);
        assert_eq!(bytes("adam8bit", &[10, 20]), 1600);
        assert_eq!(bytes("adam8bit", &[64, 128]), 2 * 8192 + 2 * 4 * 32 + 2048);
    }
}
