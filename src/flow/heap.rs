//! The storages of a model that runs: how many bytes are alive, who holds them, what stays.
//!
//! Numbers saturate: a model beyond 128 bits was refused before it runs.

use super::bytes::Bytes;
use super::slots::Slots;
use crate::flat::RowId;

/// Why a storage stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Beyond the model's end, as a cache does.
    Cache,
    /// Until the backward pass.
    Saved,
}

#[derive(Debug, Clone)]
pub(super) struct Storage<B> {
    pub(super) bytes: B,
    pub(super) count: u128,
    pub(super) refs: u32,
    pub(super) persistent: bool,
    pub(super) saved: bool,
    /// The step at which it was made.
    pub(super) born: u64,
    /// Whether it is kept for blocks that may be computed again: one of them reads it from outside, or a layer outside saves it.
    pub(super) is_read_by_block: bool,
    pub(super) row: RowId,
    pub(super) output: u16,
}

/// All storages, those that ended and may be taken again too.
#[derive(Debug, Default)]
pub(super) struct Heap<B> {
    storages: Slots<Storage<B>>,
    /// Bytes that are alive.
    pub(super) live: B,
    /// Of them, those that persist.
    pub(super) cache: B,
    /// What became permanent, in order.
    permanent: Vec<u32>,
    /// By row, caches of earlier steps that are still there.
    past_left: Vec<u128>,
    /// Those that were freed, in order.
    freed_past: Vec<(RowId, u128)>,
}

/// How long the heap's logs were.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeapMark {
    permanent: usize,
    past: usize,
}

impl<B: Bytes> Heap<B> {
    /// A heap for so many rows.
    pub(super) fn new(rows: usize) -> Self {
        Heap { past_left: vec![0; rows], ..Heap::default() }
    }

    pub(super) fn store(&mut self, bytes: B, count: u128, born: u64, row: RowId, output: u16) -> u32 {
        self.live = self.live.plus_times(&bytes, count);
        let storage =
            Storage { bytes, count, refs: 1, persistent: false, saved: false, born, is_read_by_block: false, row, output };
        self.storages.put(storage)
    }

    pub(super) fn retain(&mut self, storage: u32) {
        if let Some(cell) = self.storages.get_mut(storage) {
            cell.refs += 1;
        }
    }

    pub(super) fn release(&mut self, storage: u32) {
        let Some(cell) = self.storages.get_mut(storage) else { return };
        cell.refs = cell.refs.saturating_sub(1);
        if cell.refs == 0 {
            self.live = self.live.less(&cell.bytes.times(cell.count));
            // A storage that was added up stays in the log of what became permanent, but those never end.
            cell.count = 0;
            self.storages.free(storage);
        }
    }

    /// A storage that is kept, with the bytes that this keeps which weren't kept for the same reason before.
    pub(super) fn keep(&mut self, storage: u32, why: Kept) -> B {
        let Some(cell) = self.storages.get_mut(storage) else { return B::default() };
        let flag = if why == Kept::Cache { &mut cell.persistent } else { &mut cell.saved };
        if std::mem::replace(flag, true) {
            return B::default();
        }
        let bytes = cell.bytes.times(cell.count);
        if why == Kept::Cache {
            self.cache = self.cache.plus(&bytes);
        }
        cell.refs += 1;
        self.permanent.push(storage);
        bytes
    }

    /// The bytes of a storage.
    pub(super) fn bytes(&self, storage: u32) -> u128 {
        self.storages.get(storage).map_or(0, |storage| storage.bytes.value())
    }

    /// Whether a storage was made by this step or later.
    pub(super) fn is_born_since(&self, storage: u32, step: u64) -> bool {
        self.storages.get(storage).is_some_and(|storage| storage.born >= step)
    }

    /// Whether a storage is kept for blocks that may be computed again.
    pub(super) fn is_kept_for_blocks(&self, storage: u32) -> bool {
        self.storages.get(storage).is_some_and(|storage| storage.is_read_by_block)
    }

    /// Notes that a layer outside of blocks saves a storage: no block need keep it.
    pub(super) fn saved_outside(&mut self, storage: u32) {
        if let Some(cell) = self.storages.get_mut(storage) {
            cell.is_read_by_block = true;
        }
    }

    /// Notes that a block reads a storage that was made before this step; the bytes, if none did before.
    pub(super) fn read_by_block(&mut self, storage: u32, step: u64) -> B {
        let Some(cell) = self.storages.get_mut(storage).filter(|cell| cell.born < step) else { return B::default() };
        if std::mem::replace(&mut cell.is_read_by_block, true) { B::default() } else { cell.bytes.times(cell.count) }
    }

    /// The storages that hold something right now.
    pub(super) fn alive(&self) -> impl Iterator<Item = &Storage<B>> {
        self.storages.iter().filter(|storage| storage.refs > 0 && storage.bytes.value() > 0)
    }

    // Caches of earlier steps.

    /// A cache that exists before the step: `count` of them, so many bytes each.
    pub(super) fn earlier(&mut self, row: RowId, bytes: &B, count: u128) {
        self.live = self.live.plus_times(bytes, count);
        self.cache = self.cache.plus_times(bytes, count);
        if let Some(left) = self.past_left.get_mut(row.0 as usize) {
            *left = count;
        }
    }

    /// Frees caches of earlier steps, as many as are left.
    pub(super) fn free_past(&mut self, row: RowId, bytes: &B, count: u128) {
        let Some(left) = self.past_left.get_mut(row.0 as usize) else { return };
        let count = count.min(*left);
        *left -= count;
        let all = bytes.times(count);
        self.live = self.live.less(&all);
        self.cache = self.cache.less(&all);
        self.freed_past.push((row, count));
    }

    /// The rows with caches of earlier steps that are still there, and how many.
    pub(super) fn past_left(&self) -> impl Iterator<Item = (RowId, u128)> + '_ {
        (0u32..).map(RowId).zip(self.past_left.iter().copied()).filter(|(_, left)| *left > 0)
    }

    // Repetition.

    pub(super) fn mark(&self) -> HeapMark {
        HeapMark { permanent: self.permanent.len(), past: self.freed_past.len() }
    }

    /// What stayed and was freed since a mark, so many times more. `past`: the bytes of a row's cache of earlier steps.
    pub(super) fn again(&mut self, mark: HeapMark, times: u128, past: impl Fn(RowId) -> B) {
        for at in mark.permanent..self.permanent.len() {
            let Some(storage) = self.permanent.get(at).and_then(|id| self.storages.get_mut(*id)) else { continue };
            let more = storage.count.saturating_mul(times);
            storage.count = storage.count.saturating_add(more);
            let bytes = storage.bytes.times(more);
            self.live = self.live.plus(&bytes);
            if storage.persistent {
                self.cache = self.cache.plus(&bytes);
            }
        }
        for at in mark.past..self.freed_past.len() {
            let Some((row, count)) = self.freed_past.get(at).copied() else { continue };
            self.free_past(row, &past(row), count.saturating_mul(times));
        }
    }
}
