//! What the data flow adds up: numbers of bytes, or what they are as functions of a workload.
//!
//! The walk decides by numbers alone, and says here which of its decisions another workload might change.

use std::fmt::Debug;

use crate::flat::RowId;

/// A number of bytes, with whatever else is known of it. Beyond what is computed with it saturates, or says so itself.
pub trait Bytes: Clone + Default + Debug {
    /// A number that no workload changes.
    fn known(value: u128) -> Self;

    /// The number.
    fn value(&self) -> u128;

    /// The sum with another.
    #[must_use]
    fn plus(&self, other: &Self) -> Self;

    /// What is left of it; 0 where the other is more.
    #[must_use]
    fn less(&self, other: &Self) -> Self;

    /// So many times as much.
    #[must_use]
    fn times(&self, times: u128) -> Self;

    /// The sum with so many times another.
    #[must_use]
    fn plus_times(&self, other: &Self, times: u128) -> Self {
        if times == 1 { self.plus(other) } else { self.plus(&other.times(times)) }
    }
}

impl Bytes for u128 {
    #[inline]
    fn known(value: u128) -> Self {
        value
    }

    #[inline]
    fn value(&self) -> u128 {
        *self
    }

    #[inline]
    fn plus(&self, other: &Self) -> Self {
        self.saturating_add(*other)
    }

    #[inline]
    fn less(&self, other: &Self) -> Self {
        self.saturating_sub(*other)
    }

    #[inline]
    fn times(&self, times: u128) -> Self {
        self.saturating_mul(times)
    }
}

/// A size that a layer's class says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Of an output, by position.
    Output(usize),
    /// Of a tensor of its own that it saves, by position in its class.
    Own(usize),
    /// Of what it needs while it runs.
    Workspace,
    /// Of what it needs while it runs and keeps what it saves.
    Training,
    /// Of what selective checkpointing keeps of products inside.
    Cached,
    /// Of what it needs when it is computed again with these.
    CachedWorkspace,
    /// Of caches of earlier steps.
    Past,
    /// Of what its backward pass makes before it asks for what was saved.
    BackwardFirst,
    /// Of what its backward pass needs.
    Backward,
    /// Of what it needs later on.
    BackwardLater,
    /// Of what it needs then where gradients of weights are held.
    BackwardHeld,
}

/// What gives the sizes that are added up.
pub trait Tally {
    /// What they are.
    type Bytes: Bytes;

    /// A size of a row that is this number.
    fn bytes(&self, row: RowId, slot: Slot, value: u128) -> Self::Bytes;

    /// A size that is proportional to another.
    fn share(&self, of: &Self::Bytes, value: u128) -> Self::Bytes;

    /// Whether two sizes are the same: a decision of the walk.
    fn same(&self, a: &Self::Bytes, b: &Self::Bytes) -> bool;

    /// Whether all moments are wanted, and not the largest alone.
    fn wants_all(&self) -> bool {
        false
    }
}

/// Numbers.
#[derive(Debug, Clone, Copy)]
pub struct Numbers;

impl Tally for Numbers {
    type Bytes = u128;

    #[inline]
    fn bytes(&self, _: RowId, _: Slot, value: u128) -> u128 {
        value
    }

    #[inline]
    fn share(&self, _: &u128, value: u128) -> u128 {
        value
    }

    #[inline]
    fn same(&self, a: &u128, b: &u128) -> bool {
        a == b
    }
}
