//! Writes model files.

mod bless;
mod explicit;
mod flat;
mod import;
mod terms;

pub use bless::{Edit, Facts, PointFacts, edited, insert};
pub use explicit::explicit;
pub use flat::flat_list;
pub use import::{heading, import_family};
