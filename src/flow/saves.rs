//! What training keeps for the backward pass: each storage once, booked to the layer that is the first to need it.

use super::block::Checkpointing;
use super::bytes::{Bytes, Slot, Tally};
use super::heap::Kept;
use super::machine::Machine;
use super::values::Value;
use crate::catalog::Class;
use crate::cost::ports::{Ports, Save};
use crate::flat::RowId;

impl<T: Tally> Machine<'_, '_, T> {
    pub(super) fn saves(
        &mut self,
        id: RowId,
        (class, ports): (&Class, &Ports),
        inputs: &[Value],
        outputs: &[Value],
        calls: u128,
    ) {
        let Some(saves) = &ports.saves else {
            let row = self.flow.rows.get_mut(id.0 as usize);
            if row.is_some_and(|row| !std::mem::replace(&mut row.unknown_saves, true)) {
                self.flow.unknown_saves.push(id);
            }
            return;
        };
        // What is computed again is not kept.
        if !self.keeps_own() {
            return self.book(id, 0, calls);
        }
        let [mut booked, mut before, mut early] = std::array::from_fn(|_| T::Bytes::default());
        for save in saves {
            let bytes = match save {
                Save::Input(at, _) => inputs.get(*at).map(|value| {
                    let bytes = self.heap.keep(value.storage, Kept::Saved);
                    let is_older = self.block.is_some() && !self.is_of_block(value.storage);
                    if is_older {
                        before = before.plus(&bytes);
                    } else if class.lets_go_early(*at) {
                        early = early.plus(&bytes);
                    }
                    bytes
                }),
                Save::Output(at, _) => outputs.get(*at).map(|value| self.heap.keep(value.storage, Kept::Saved)),
                Save::Own(at, bytes, _) => {
                    let bytes = self.tally.bytes(id, Slot::Own(*at), *bytes);
                    let storage = self.heap.store(bytes, calls, self.step, id, u16::MAX);
                    let bytes = self.heap.keep(storage, Kept::Saved);
                    // The share that it came with.
                    self.heap.release(storage);
                    Some(bytes)
                }
            };
            if let Some(storage) = storage_of(save, inputs, outputs).filter(|_| self.block.is_none()) {
                // What is there for a block goes with that.
                if self.checkpointing != Checkpointing::None && self.heap.is_kept_for_blocks(storage) {
                    continue;
                }
                self.heap.saved_outside(storage);
            }
            booked = bytes.iter().fold(booked, |sum, bytes| sum.plus(bytes));
        }
        self.saved = self.saved.plus(&booked);
        let number = booked.value();
        if let Some(tape) = &mut self.tape {
            tape.saves(booked, before, early);
        }
        // What several calls keep together stands with the first.
        self.book(id, number, 1);
        if calls > 1 {
            self.book(id, 0, calls - 1);
        }
    }

    pub(super) fn book(&mut self, row: RowId, bytes: u128, count: u128) {
        if let Some(flow) = self.flow.rows.get_mut(row.0 as usize) {
            match flow.saved.last_mut() {
                Some((last, times)) if *last == bytes => *times = times.saturating_add(count),
                _ => {
                    // Most rows book once, and a growing list would hold room for four.
                    if flow.saved.is_empty() {
                        flow.saved.reserve_exact(1);
                    }
                    flow.saved.push((bytes, count));
                }
            }
        }
        self.booked.push((row, bytes, count));
    }
}

/// The storage of an input or output that is saved.
fn storage_of(save: &Save, inputs: &[Value], outputs: &[Value]) -> Option<u32> {
    match save {
        Save::Input(at, _) => inputs.get(*at).map(|value| value.storage),
        Save::Output(at, _) => outputs.get(*at).map(|value| value.storage),
        Save::Own(..) => None,
    }
}
