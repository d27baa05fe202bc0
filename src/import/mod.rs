//! Files of weights as models: readers that know bytes, maps that are data, and one reconciler.
//!
//! A file's header comes in, [`Contents`] go out: tensors, metadata, names of classes, and nothing about architectures. What the catalog's maps
//! make of it is a config; the family's model is then held against the tensors, one by one, and what is left over on both sides is said.

mod contents;
mod env;
mod gguf;
mod merge;
mod names;
mod reconcile;
mod safetensors;
mod stored;

pub use contents::{Contents, Datum, Held, Metadatum};
pub use env::{draft_from, mapped_config, output_again};
pub use gguf::{MAGIC as GGUF_MAGIC, read_gguf};

pub use merge::merged;
pub use names::{gguf_places, is_absent, left_over};
pub use reconcile::{Reconciled, Weight, by_path, reconcile, weights};
pub use safetensors::{is_header, read_header, read_index};
pub use stored::stored_config;
