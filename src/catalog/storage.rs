//! How files of weights store numbers: `catalog/storage_types.json`. A type is so many bytes for a block of so many elements of a row.

use std::sync::Arc;

use super::CatalogFile;
use super::table::Entry;
use super::values::{figure, key, text, texts, wrong};
use crate::quantity::{Exact, product};
use crate::syntax::diag::Diagnostics;
use crate::syntax::json::{Json, Member};
use crate::syntax::spec::{Key, KeyKind, fields};

/// A type of stored elements.
#[derive(Debug)]
pub struct StorageType {
    /// As files and tools write it.
    pub name: Arc<str>,
    /// Other spellings.
    pub aliases: Vec<Arc<str>>,
    /// Elements of a block: a row is whole blocks.
    pub block: u64,
    /// Bytes of a block, scales and minima included.
    pub bytes: u64,
    /// Bytes of each row besides: a scale of the whole row.
    pub row_bytes: u64,
    /// Its number in GGUF files; `None`: it stands in none.
    pub ggml: Option<u32>,
    /// Where that is written down.
    pub source: Arc<str>,
}

impl StorageType {
    /// Bits of an element, scales included, what is of whole rows aside.
    #[must_use]
    pub fn bits(&self) -> Option<Exact> {
        Exact::from_count(u128::from(self.bytes) * 8)?.checked_div(Exact::from_count(u128::from(self.block))?)
    }

    /// Bytes of a tensor of this shape. `None`: its rows aren't whole blocks, or it is beyond what is computed with.
    #[must_use]
    pub fn tensor_bytes(&self, shape: &[u64]) -> Option<u64> {
        let row = shape.last().copied().unwrap_or(1);
        let rows = product(shape.iter().rev().skip(1))?;
        if !row.is_multiple_of(self.block) {
            return None;
        }
        rows.checked_mul((row / self.block).checked_mul(self.bytes)?.checked_add(self.row_bytes)?)
    }
}

const STORAGE_KEYS: &[Key] = &[
    key("block", KeyKind::Count, true, "elements of a block: a row is whole blocks"),
    key("bytes", KeyKind::Count, true, "bytes of a block, scales and minima included"),
    key("row_bytes", KeyKind::Count, false, "bytes of each row besides"),
    key("ggml", KeyKind::Count, false, "its number in GGUF files"),
    key("aliases", KeyKind::Texts, false, "other spellings"),
    key("source", KeyKind::Text, true, "where that is written down"),
];

pub(super) const FILE: CatalogFile = CatalogFile {
    path: "catalog/storage_types.json",
    name: "storage_types",
    aliases: &[],
    computed: None,
    text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/catalog/storage_types.json")),
};

impl Entry for StorageType {
    fn read(member: &Member, diagnostics: &mut Diagnostics) -> Option<Self> {
        let f = fields(&member.value, "a storage type", STORAGE_KEYS, &[], diagnostics)?;
        let mut count = |key: &str| {
            let node = f.get(key)?;
            figure(node, diagnostics).and_then(|figure| u64::try_from(figure).ok())
        };
        let [block, bytes] = ["block", "bytes"].map(&mut count);
        let row_bytes = count("row_bytes").unwrap_or(0);
        // The first number is 0, which a figure can't be.
        let ggml = f.get("ggml").and_then(|node| match &node.json {
            Json::Number(number) => number.parse::<u32>().ok(),
            _ => {
                wrong(node, "a number", diagnostics);
                None
            }
        });
        let aliases = texts(f.get("aliases"), diagnostics);
        let source = f.get("source").and_then(|node| text(node, diagnostics));
        Some(StorageType { name: member.key.clone(), aliases, block: block?, bytes: bytes?, row_bytes, ggml, source: source? })
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
    use crate::catalog::Catalog;

    #[test]
    fn bytes_are_whole_blocks_and_what_a_row_has_besides() {
        let catalog = Catalog::new();
        let bytes = |name: &str, shape: &[u64]| catalog.storage_type(name).unwrap().tensor_bytes(shape);
        // ggml-common.h: block_q4_K is 144 bytes for 256 weights.
        assert_eq!(bytes("q4_K", &[2, 512]), Some(2 * 2 * 144));
        assert_eq!(bytes("Q4_K", &[2, 100]), None);
        assert_eq!(bytes("F32", &[]), Some(4));
        assert_eq!(bytes("iq4_ks", &[3, 256]), Some(3 * 140));
        assert_eq!(bytes("F32", &[u64::MAX, 2]), None);
        assert_eq!(bytes("float16", &[0, 5]), Some(0));
        // ik_llama.cpp's ggml.h: those of interleaved rows have no rule that all follow.
        let number = |name: &str| catalog.storage_type(name).unwrap().ggml;
        for (name, known) in
            [("Q6_0", 133), ("Q6_0_R4", 233), ("IQ2_BN_R4", 335), ("IQ4_KS_R4", 344), ("Q8_K_R8", 399), ("Q4_0_8_8", 33)]
        {
            assert_eq!(number(name), Some(known), "{name}");
        }
        assert_eq!(bytes("iq1_bn", &[2, 64]), Some(2 * (13 + 2)));
        let numbers: Vec<u32> = catalog.storage_types().iter().filter_map(|known| known.ggml).collect();
        let distinct: std::collections::HashSet<&u32> = numbers.iter().collect();
        assert_eq!(distinct.len(), numbers.len());
    }
}
