//! What training keeps for the backward pass: each storage once, booked to the layer that is the first to need it.

use super::heap::Kept;
use super::machine::Machine;
use super::values::Value;
use crate::cost::ports::{Ports, Save};
use crate::flat::RowId;

impl Machine<'_, '_> {
    pub(super) fn saves(&mut self, id: RowId, ports: &Ports, inputs: &[Value], outputs: &[Value], calls: u128) {
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
        let (mut booked, mut before) = (0u128, 0u128);
        for save in saves {
            booked = booked.saturating_add(match save {
                Save::Input(at, _) => inputs.get(*at).map_or(0, |value| {
                    let bytes = self.heap.keep(value.storage, Kept::Saved);
                    before = before.saturating_add(if self.is_of_block(value.storage) { 0 } else { bytes });
                    bytes
                }),
                Save::Output(at, _) => outputs.get(*at).map_or(0, |value| self.heap.keep(value.storage, Kept::Saved)),
                Save::Own(_, bytes, _) => {
                    let storage = self.heap.store(*bytes, calls, self.step, id, u16::MAX);
                    let bytes = self.heap.keep(storage, Kept::Saved);
                    // The share that it came with.
                    self.heap.release(storage);
                    bytes
                }
            });
        }
        if let Some(tape) = &mut self.tape {
            tape.saves(booked, before);
        }
        self.flow.saved_bytes = self.flow.saved_bytes.saturating_add(booked);
        // What several calls keep together stands with the first.
        self.book(id, booked, 1);
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
