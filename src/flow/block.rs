//! A block of layers that training may compute again rather than keep what it saves.

use crate::quantity::workload::words;

/// How much of what is saved for the backward pass is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checkpointing {
    /// All of it.
    #[default]
    None,
    /// Of each block its input and the outputs of matrix products; the rest is computed again.
    Selective,
    /// Of each block its input.
    Full,
}

words!(Checkpointing, None = "none", Selective = "selective", Full = "full");

/// A block that runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    /// The first step in it.
    pub(super) step: u64,
    /// What was alive before it.
    pub(super) live: u128,
    /// The most so far above that, at layers that have saved something or had something saved after them.
    pub(super) most: u128,
    /// The most so far, whether anything is saved after it or not.
    pub(super) reached: u128,
    /// With selective checkpointing: the same less what came out of the cache until then, as far as it was more.
    pub(super) cached: u128,
    /// Where its first item stands in the tape.
    pub(super) from: usize,
    /// Where in the tape what isn't computed again begins.
    pub(super) stop: usize,
    /// Bytes of indices that it is handed.
    pub(super) indices: u128,
}
