//! What comes of a run: shapes and memory, a row each and in all.

use std::sync::Arc;

use super::peak::Peak;
use crate::flat::RowId;

/// Shapes and memory of a model.
#[derive(Debug, Default)]
pub struct Flow {
    /// One a row of the flat model.
    pub rows: Vec<RowFlow>,
    /// `None`: the model has no layer that runs.
    pub peak: Option<Peak>,
    /// Bytes kept for the backward pass, each storage once; 0 unless training.
    pub saved_bytes: u128,
    /// Bytes that stay when the model has returned, its outputs aside: caches.
    pub cache_storage: u128,
    /// Classes that don't say what they save.
    pub unknown_saves: Vec<RowId>,
    /// The instances of the outermost repeated composites: what activation checkpointing recomputes.
    pub blocks: Vec<Block>,
    /// The shape of what the model returns.
    pub output: Option<Vec<u128>>,
}

/// Instances of a repeated composite that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its first layer.
    pub first: Option<RowId>,
    pub count: u128,
    /// What one of them is given.
    pub input_bytes: u128,
    /// What is booked to one of them for the backward pass.
    pub saved_bytes: u128,
}

/// What flows out of a layer.
#[derive(Debug, Clone, Default)]
pub struct RowFlow {
    /// Bytes booked to the calls of its instances, in the order in which they run: so many bytes, so many times.
    pub saved: Vec<(u128, u128)>,
    /// Whether it stands in one of the blocks that checkpointing recomputes.
    pub in_block: bool,
    pub(super) unknown_saves: bool,
    /// Of what it was given last and of what it gave then; `None`: before it has run.
    pub(super) shapes: Option<Box<[Shape]>>,
    pub(super) num_inputs: u32,
}

/// The shape of a value; `None`: not known, or there is none.
pub type Shape = Option<Arc<[u128]>>;

impl RowFlow {
    /// Of what it was given last, in the order of the class.
    #[must_use]
    pub fn inputs(&self) -> &[Shape] {
        self.shapes.as_deref().and_then(|shapes| shapes.get(..self.num_inputs as usize)).unwrap_or_default()
    }

    /// Of its outputs, in the order of the class.
    #[must_use]
    pub fn outputs(&self) -> &[Shape] {
        self.shapes.as_deref().and_then(|shapes| shapes.get(self.num_inputs as usize..)).unwrap_or_default()
    }

    /// Whether it was given values of these shapes when it last ran.
    pub(super) fn was_given<'s>(&self, mut shapes: impl ExactSizeIterator<Item = &'s Shape>) -> bool {
        let last = self.shapes.as_deref().and_then(|last| last.get(..self.num_inputs as usize));
        last.is_some_and(|last| last.len() == shapes.len() && last.iter().all(|shape| shapes.next() == Some(shape)))
    }

    /// Bytes booked to its n-th instance, in the order in which they run, each so many times.
    #[must_use]
    pub fn saved_by(&self, n: u128, calls: u128) -> u128 {
        let (first, end) = (n.saturating_mul(calls), n.saturating_add(1).saturating_mul(calls));
        let (mut before, mut sum) = (0u128, 0u128);
        for (bytes, times) in &self.saved {
            let after = before.saturating_add(*times);
            let own = after.min(end).saturating_sub(before.max(first));
            sum = sum.saturating_add(bytes.saturating_mul(own));
            if after >= end {
                break;
            }
            before = after;
        }
        sum
    }

    /// Bytes booked to all its instances.
    #[must_use]
    pub fn saved_total(&self) -> u128 {
        self.saved.iter().fold(0u128, |sum, (bytes, times)| sum.saturating_add(bytes.saturating_mul(*times)))
    }
}
