//! `print(model)` as a model: a text is read by its parentheses, wrappers are taken off, layers and sizes are found by lists that are data.
//!
//! What classes mean is the catalog's knowledge (`catalog/formats/print_*.json`), whether a family's model is the one that was printed the
//! session's business. Nothing is known here but how PyTorch writes modules.

mod clean;
mod compare;
mod config;
mod flow;
mod leaf;
mod read;
mod tensors;
mod tree;
mod unsaid;
mod wrap;

pub use clean::cleaned;
pub use compare::{Printed, differences, shared};
pub use config::{Config, Modules, family_of};
pub use read::{Module, is_print, read_print, table_of};
pub use tensors::modules_of;
pub use tree::{Made, Unknown, model_of, model_of_adapters};
pub use unsaid::completed;
pub use wrap::{Adapter, unwrapped};
