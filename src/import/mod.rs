//! Files of weights as models: readers that know bytes, maps that are data, and one reconciler.
//!
//! A file's header comes in, [`Contents`] go out: tensors, metadata, names of classes, and nothing about architectures. What the catalog's maps
//! make of it is a config; the family's model is then held against the tensors, one by one, and what is left over on both sides is said.

mod contents;
mod dump;
mod env;
mod gguf;
mod hub;
mod merge;
mod mixes;
mod names;
mod of_model;
mod place;
pub mod print;
mod reconcile;
mod safetensors;
mod stored;
mod written;

pub use contents::{Contents, Datum, Held, Metadatum};
pub use dump::{is_dump, read_dump};
pub use env::{ARCHITECTURE as GGUF_ARCHITECTURE, mapped};
pub use gguf::{MAGIC as GGUF_MAGIC, read_gguf};

pub use hub::{HubNames, hub_left_over, hub_variants};
#[cfg(feature = "cli")]
pub use merge::ShardName;
pub use merge::{merged, missing_shards};
pub use mixes::{give_types, sizes_of};
pub use names::{filled, gguf_places, is_absent, left_over, pattern};
pub use of_model::contents_of;
pub use reconcile::{Reconciled, Weight, by_path, reconcile, weights};
pub use safetensors::{is_header, read_header, read_index};
pub use stored::stored_config;
pub use written::{Written, written};
