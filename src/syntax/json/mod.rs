//! JSON with a place for every key and value.
//!
//! A [`Source`](crate::syntax::source::Source) comes in, a [`Document`] goes out: from `read` well-formed, no key twice, numbers as they
//! were written; from `recover` what can be read of any text. What the keys mean is `spec`'s business.

mod read;
mod recover;
#[cfg(test)]
mod tests;
mod tree;
pub mod write;

pub use read::read;
pub use recover::recover;
pub use tree::{Document, Json, Member, Node, Text};
