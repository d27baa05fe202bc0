//! What a file of weights holds, as its header says it.

use std::sync::Arc;

use crate::quantity::product;

/// A file's tensors and metadata; of several files of one model those of all.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// What the file is: `GGUF v3`, `safetensors`, `index of safetensors`.
    pub format: Arc<str>,
    /// In the order of the file.
    pub tensors: Vec<Held>,
    /// In the order of the file; of a key that stands twice the first counts.
    pub metadata: Vec<Metadatum>,
    /// Bytes of the header: what was read.
    pub header_bytes: u64,
    /// Bytes that the tensors take in the file, padding included, as the header places them. `None`: it doesn't say.
    pub data_bytes: Option<u64>,
    /// Bytes of all tensors as the file's own total says, where it has one and that isn't 0.
    pub stated_bytes: Option<u64>,
    /// What is odd about the file and doesn't keep it from being read.
    pub remarks: Vec<String>,
    /// Files that aren't there and that an index names, or others of the same model.
    pub missing: Vec<Arc<str>>,
}

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// As the file has it.
    pub name: Arc<str>,
    /// Its dimensions, the rows first, as PyTorch has them; `None`: the file doesn't say.
    pub shape: Option<Vec<u64>>,
    /// The type of its elements as the format calls it; `?` where the file doesn't say.
    pub kind: Arc<str>,
    /// Bytes that it takes, scales of blocks included; `None`: the file doesn't say.
    pub bytes: Option<u64>,
    /// The file that it is in, where there are several.
    pub file: Option<Arc<str>>,
}

impl Held {
    /// How many elements it has. `None`: it isn't known, or beyond 64 bits.
    #[must_use]
    pub fn elements(&self) -> Option<u64> {
        product(self.shape.as_ref()?)
    }
}

/// A key of a file and what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadatum {
    /// As the file has it: `llama.attention.head_count`.
    pub key: Arc<str>,
    /// What it says.
    pub value: Datum,
}

/// What a key of a file says.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction.
    Float(f64),
    /// A text; of a long one the beginning.
    Text(Arc<str>),
    /// A list: what its items are, how many, and the first of them; of numbers and truth values all up to [`Datum::MOST_ITEMS`].
    List {
        /// What the items are.
        of: &'static str,
        /// How many there are.
        len: u64,
        /// The first of them.
        items: Vec<Datum>,
    },
}

impl Datum {
    /// So many numbers of a list are kept: one a layer, and more layers than any model has.
    pub const MOST_ITEMS: usize = 4096;
    /// So many texts of a list are kept: a tokenizer has hundreds of thousands.
    pub const MOST_TEXTS: usize = 8;
    /// So many bytes of a text are kept.
    pub const MOST_TEXT: usize = 1 << 16;
}

impl Contents {
    /// What the file says under a key; of two of a name the first.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Datum> {
        self.metadata.iter().find(|datum| *datum.key == *key).map(|datum| &datum.value)
    }

    /// The same, if it is a text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&Arc<str>> {
        match self.get(key)? {
            Datum::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Elements of all tensors. `None`: of some they aren't known.
    #[must_use]
    pub fn elements(&self) -> Option<u128> {
        self.tensors.iter().try_fold(0u128, |sum, tensor| sum.checked_add(u128::from(tensor.elements()?)))
    }

    /// Bytes of all tensors, padding between them aside. `None`: of some they aren't known.
    #[must_use]
    pub fn bytes(&self) -> Option<u128> {
        self.tensors.iter().try_fold(0u128, |sum, tensor| sum.checked_add(u128::from(tensor.bytes?)))
    }
}
