//! Element types: `catalog/dtypes.json`.

use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use crate::syntax::diag::nearest;
use crate::syntax::expr::Exact;

/// An element type with its true size, block scales included.
#[derive(Debug, Clone, PartialEq)]
pub struct Dtype {
    /// The name to call it by.
    pub name: Arc<str>,
    /// Bits per element, exactly: 4.5 for q4_0.
    pub bits: Exact,
    /// Other names.
    pub aliases: Arc<[String]>,
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
}

impl Default for Dtype {
    /// What a model is computed in when nobody says: bf16.
    fn default() -> Self {
        let bf16 = all().iter().find(|dtype| &*dtype.name == "bf16").cloned();
        bf16.unwrap_or_else(|| Dtype {
            name: "bf16".into(),
            bits: Exact::integer(16),
            aliases: Arc::new([]),
            doc: Arc::default(),
            source: Arc::default(),
        })
    }
}

#[derive(Deserialize)]
struct Entry {
    bits: serde_json::Number,
    #[serde(default)]
    aliases: Vec<String>,
    doc: String,
    source: String,
}

const TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/catalog/dtypes.json"));

/// All element types, in the catalog's order. Empty if the embedded file doesn't parse, which a test excludes.
pub fn all() -> &'static [Dtype] {
    static ALL: OnceLock<Vec<Dtype>> = OnceLock::new();
    ALL.get_or_init(|| {
        let entries: indexmap::IndexMap<String, Entry> = serde_json::from_str(TEXT).unwrap_or_default();
        let dtype = |(name, entry): (String, Entry)| {
            Some(Dtype {
                name: name.into(),
                bits: Exact::parse(&entry.bits.to_string())?,
                aliases: entry.aliases.into(),
                doc: entry.doc.into(),
                source: entry.source.into(),
            })
        };
        entries.into_iter().filter_map(dtype).collect()
    })
}

/// The dtype of this name or alias, in any case.
///
/// # Errors
/// The nearest name, if any is near.
pub fn find(name: &str) -> Result<Dtype, Option<&'static str>> {
    let matches = |d: &&Dtype| d.name.eq_ignore_ascii_case(name) || d.aliases.iter().any(|a| a.eq_ignore_ascii_case(name));
    all().iter().find(matches).cloned().ok_or_else(|| nearest(name, all().iter().map(|d| &*d.name)))
}
