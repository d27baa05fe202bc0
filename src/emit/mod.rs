//! Writes model files.

mod explicit;
mod import;

pub use explicit::explicit;
pub use import::import_family;
