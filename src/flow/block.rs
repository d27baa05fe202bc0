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
#[derive(Debug, Clone)]
pub(super) struct Running<B> {
    /// The first step in it.
    pub(super) step: u64,
    /// What was alive before it.
    pub(super) live: B,
    /// How much more than that is alive at the layers of it, what selective checkpointing has of them left out.
    pub(super) moments: Vec<B>,
    /// How many of them come before the last layer that saves something.
    pub(super) cut: usize,
    /// And how much more is alive until that layer has saved what it makes.
    pub(super) last: Option<B>,
    /// What selective checkpointing has of it so far.
    pub(super) cached: B,
    /// Where its first item stands in the tape.
    pub(super) from: usize,
    /// Where in the tape what isn't computed again begins.
    pub(super) stop: usize,
    /// Bytes of indices that it is handed.
    pub(super) indices: B,
}
