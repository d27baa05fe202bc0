//! Element types: `catalog/dtypes.json`.

use std::sync::{Arc, LazyLock};

use super::CatalogFile;
use super::table::Entry;
use super::values::{key, positive, text, texts};
use crate::syntax::diag::Diagnostics;
use crate::syntax::expr::Exact;
use crate::syntax::json::Member;
use crate::syntax::spec::{Key, KeyKind, fields};

/// An element type with its true size, block scales included.
#[derive(Debug, Clone, PartialEq)]
pub struct Dtype {
    /// The name to call it by.
    pub name: Arc<str>,
    /// Bits per element, exactly: 4.5 for q4_0.
    pub bits: Exact,
    /// Other names.
    pub aliases: Arc<[Arc<str>]>,
    /// What it is, in a line.
    pub doc: Arc<str>,
    /// Where its size is written down.
    pub source: Arc<str>,
}

impl Dtype {
    /// Bytes per element, a fraction for most quantized types.
    #[must_use]
    pub fn bytes(&self) -> Exact {
        self.bits.checked_div(Exact::integer(8)).unwrap_or(Exact::ZERO)
    }

    /// Whether it is one that quantizers make: fewer than 16 bits. They leave biases, norms and embeddings in another.
    #[must_use]
    pub fn is_quantized(&self) -> bool {
        self.bits < Exact::integer(16)
    }
}

impl Default for Dtype {
    /// What a model is computed in when nobody says: bf16, as the embedded catalog has it, whatever lies over that.
    fn default() -> Self {
        static BF16: LazyLock<Dtype> = LazyLock::new(|| Dtype {
            name: "bf16".into(),
            bits: Exact::integer(16),
            aliases: ["bfloat16".into()].into(),
            doc: "8 exponent bits, 7 mantissa bits".into(),
            source: "torch 2.15.0 torch.bfloat16".into(),
        });
        BF16.clone()
    }
}

const DTYPE_KEYS: &[Key] = &[
    key("bits", KeyKind::Count, true, "bits per element, block scales included"),
    key("aliases", KeyKind::Texts, false, "other names"),
    key("doc", KeyKind::Text, true, "what it is"),
    key("source", KeyKind::Text, true, "where that is written down"),
];

pub(super) const FILE: CatalogFile = CatalogFile {
    path: "catalog/dtypes.json",
    name: "dtypes",
    aliases: &[],
    computed: None,
    text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/catalog/dtypes.json")),
};

impl Entry for Dtype {
    fn read(member: &Member, diagnostics: &mut Diagnostics) -> Option<Self> {
        let f = fields(&member.value, "a dtype", DTYPE_KEYS, &[], diagnostics)?;
        // All are read before any is missed, so that all that is wrong is said.
        let bits = f.get("bits").and_then(|n| positive(n, diagnostics));
        let aliases = texts(f.get("aliases"), diagnostics);
        let [doc, source] = ["doc", "source"].map(|key| f.get(key).and_then(|n| text(n, diagnostics)));
        Some(Dtype { name: member.key.clone(), bits: bits?, aliases: aliases.into(), doc: doc?, source: source? })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn aliases(&self) -> &[Arc<str>] {
        &self.aliases
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn the_default_is_the_catalogs_bf16() {
        assert_eq!(Ok(Dtype::default()), Catalog::new().dtype("bf16"));
    }
}
