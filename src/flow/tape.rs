//! What ran in a forward pass, in order: the list that its backward pass goes through in reverse.

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use super::bytes::Bytes;
use super::slots::NONE;
use super::trained::GradientBytes;
use super::values::{NO_GRADIENT, Value};
use crate::flat::RowId;

/// All that ran and that gradients flow through.
#[derive(Debug)]
pub(super) struct Tape<'g, B> {
    /// What is trained.
    gradients: &'g GradientBytes,
    pub(super) items: Vec<Item<B>>,
    /// The values that were read, run after run.
    reads: Vec<u32>,
    /// Bytes of each value that needs a gradient.
    sizes: Vec<B>,
    /// Indices of instances: those of a run are one of them.
    places: IndexSet<Box<[u64]>, RandomState>,
    /// The last of them.
    place: usize,
    /// The value that the model gives.
    pub(super) output: u32,
}

/// A part of the list.
#[derive(Debug, Clone)]
pub(super) enum Item<B> {
    Ran(Ran<B>),
    /// What ran since a place in the list, so many times more.
    Again {
        from: usize,
        times: u128,
    },
    /// What ran since a place in the list is a block, which checkpointing computes again.
    Block(Block<B>),
    /// A value that stands for others.
    Joined(Joined),
}

/// A value that stands for those of all instances of a parallel repeat: its gradient is seen by them in parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joined {
    pub(super) value: u32,
    /// Where in the list of reads they stand, and how many there are.
    of: (u32, u16),
}

/// A block of layers that may be computed again.
#[derive(Debug, Clone)]
pub(super) struct Block<B> {
    pub(super) from: usize,
    pub(super) first: Option<RowId>,
    /// Bytes of positions and other indices that it is handed, if no block before it was.
    pub(super) indices: B,
    /// Where in the list what isn't computed again begins.
    pub(super) stop: usize,
    /// How much more than before is alive while it is computed again.
    pub(super) extra: Vec<B>,
}

/// A layer that ran.
#[derive(Debug, Clone)]
pub(super) struct Ran<B> {
    pub(super) row: RowId,
    /// How often, side by side.
    pub(super) calls: u128,
    /// Bytes that it was the first to save: what it frees when its backward pass has run.
    pub(super) saved: B,
    /// Of them, those of what was made before the block around.
    pub(super) before: B,
    /// Of them, those that go before the later moments of its backward pass.
    pub(super) early: B,
    /// Bytes that selective checkpointing has of what it made.
    pub(super) cached: B,
    /// With checkpointing: bytes that it was the first to read of what was made before the block around.
    pub(super) read: B,
    /// Where in the list of reads its inputs begin, and how many there are.
    reads: (u32, u16),
    /// The first of the values that it gave; the others follow.
    gives: u32,
    /// Which instance it was, of the repeats around.
    pub(super) place: u32,
}

impl<B: Bytes> Ran<B> {
    /// A layer that runs so often side by side. `read`: what it is the first to read of what was made before the block around.
    pub(super) fn new(row: RowId, calls: u128, read: B) -> Self {
        let [saved, before, early, cached] = std::array::from_fn(|_| B::default());
        Ran { row, calls, saved, before, early, cached, read, reads: (0, 0), gives: 0, place: 0 }
    }
}

impl<'g, B: Bytes> Tape<'g, B> {
    /// An empty list, of a model of so many rows of which this is trained.
    pub(super) fn for_gradients(gradients: &'g GradientBytes, rows: usize) -> Self {
        Tape {
            gradients,
            items: Vec::with_capacity(rows),
            reads: Vec::with_capacity(rows),
            sizes: Vec::with_capacity(rows),
            places: IndexSet::default(),
            place: 0,
            output: NO_GRADIENT,
        }
    }

    /// Whether a weight of a layer is trained.
    pub(super) fn trains(&self, row: RowId) -> bool {
        self.gradients.of(row).iter().any(|bytes| *bytes > 0)
    }

    /// Notes a layer that runs, with values of these sizes that it gives; the first of them comes back.
    pub(super) fn ran(&mut self, ran: Ran<B>, inputs: &[Value], gives: impl Iterator<Item = B>, indices: &[u64]) -> u32 {
        let first = place(self.sizes.len());
        self.sizes.extend(gives);
        let reads = (place(self.reads.len()), u16::try_from(inputs.len()).unwrap_or(u16::MAX));
        self.reads.extend(inputs.iter().map(|value| value.gradient));
        // Most run where the one before did.
        if self.places.get_index(self.place).is_none_or(|here| **here != *indices) {
            self.place = self.places.insert_full(indices.into()).0;
        }
        self.items.push(Item::Ran(Ran { reads, gives: first, place: place(self.place), ..ran }));
        first
    }

    /// Books what the last layer that ran saves, what of it was made before the block around, and what goes early.
    pub(super) fn saves(&mut self, bytes: B, before: B, early: B) {
        if let Some(Item::Ran(ran)) = self.items.last_mut() {
            (ran.saved, ran.before, ran.early) = (bytes, before, early);
        }
    }

    /// Books what selective checkpointing keeps of what the last layer that ran made.
    pub(super) fn caches(&mut self, bytes: B) {
        if let Some(Item::Ran(ran)) = self.items.last_mut() {
            ran.cached = bytes;
        }
    }

    /// Notes a value that stands for these, all of them of one size and so many together.
    pub(super) fn joined(&mut self, values: &[u32], count: u128) -> u32 {
        let value = place(self.sizes.len());
        let size = values.first().map_or_else(B::default, |first| self.size(*first as usize).times(count));
        self.sizes.push(size);
        let of = (place(self.reads.len()), u16::try_from(values.len()).unwrap_or(u16::MAX));
        self.reads.extend(values);
        self.items.push(Item::Joined(Joined { value, of }));
        value
    }

    /// What ran since a place in the list runs so many times more.
    pub(super) fn again(&mut self, from: usize, times: u128) {
        if from < self.items.len() && times > 0 {
            self.items.push(Item::Again { from, times });
        }
    }

    /// The indices of the repeats around a layer that ran, the innermost last.
    pub(super) fn indices(&self, ran: &Ran<B>) -> &[u64] {
        self.places.get_index(ran.place as usize).map(|indices| &**indices).unwrap_or_default()
    }

    /// The values that a layer read.
    pub(super) fn reads(&self, ran: &Ran<B>) -> &[u32] {
        let from = ran.reads.0 as usize;
        self.reads.get(from..from + usize::from(ran.reads.1)).unwrap_or_default()
    }

    /// The values that a joined one stands for.
    pub(super) fn parts(&self, joined: Joined) -> &[u32] {
        let from = joined.of.0 as usize;
        self.reads.get(from..from + usize::from(joined.of.1)).unwrap_or_default()
    }

    /// Its n-th value.
    pub(super) fn gives(ran: &Ran<B>, n: usize) -> usize {
        ran.gives as usize + n
    }

    /// Bytes of a value.
    pub(super) fn size(&self, value: usize) -> B {
        self.sizes.get(value).cloned().unwrap_or_default()
    }

    /// How many values need a gradient.
    pub(super) fn num_values(&self) -> usize {
        self.sizes.len()
    }
}

/// No model runs as many layers.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NONE)
}
