//! The index of the embedded files that `build.rs` makes: which file defines which names. It knows paths and texts, not what they mean.

use super::shelf::CatalogFile;

/// A model file.
#[derive(Debug)]
pub struct ModelFile {
    pub name: &'static str,
    pub path: &'static str,
    pub text: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/catalog_index.rs"));
