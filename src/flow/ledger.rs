//! What is alive in a backward pass: by kind, and where that is asked for by row.

use std::collections::HashMap;

use super::bytes::Bytes;
use crate::flat::RowId;

/// What is alive, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts<B = u128> {
    /// Saved by the forward pass.
    pub saved: B,
    /// Gradients of parameters.
    pub gradients: B,
    /// Gradients of values, and what layers need while they run.
    pub passing: B,
}

/// A kind of what is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Saved by the forward pass.
    Saved,
    /// The gradient of a parameter.
    Gradient,
    /// The gradient of a value.
    Passing,
}

impl Parts {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u128 {
        self.saved.saturating_add(self.gradients).saturating_add(self.passing)
    }
}

impl<B: Bytes> Parts<B> {
    fn of(&mut self, kind: Kind) -> &mut B {
        match kind {
            Kind::Saved => &mut self.saved,
            Kind::Gradient => &mut self.gradients,
            Kind::Passing => &mut self.passing,
        }
    }

    /// The numbers.
    pub(super) fn values(&self) -> Parts {
        Parts { saved: self.saved.value(), gradients: self.gradients.value(), passing: self.passing.value() }
    }

    /// What becomes of it when what happened between two moments happens so many times more.
    pub(super) fn drifted(&self, before: &Self, after: &Self, times: u128) -> Self {
        Parts {
            saved: drifted(&self.saved, &before.saved, &after.saved, times),
            gradients: drifted(&self.gradients, &before.gradients, &after.gradients, times),
            passing: drifted(&self.passing, &before.passing, &after.passing, times),
        }
    }
}

/// A number that changed from one to another, and does so many times more.
fn drifted<B: Bytes>(own: &B, before: &B, after: &B, times: u128) -> B {
    own.plus_times(after, times).less(&before.times(times))
}

/// What is alive. Bytes saturate.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger<B> {
    pub(super) parts: Parts<B>,
    /// By kind and row; `None`: nobody asked.
    rows: Option<HashMap<(Kind, Option<RowId>), u128>>,
}

impl<B: Bytes> Ledger<B> {
    /// One in which so much is saved.
    pub(super) fn of(saved: B) -> Self {
        Ledger { parts: Parts { saved, ..Parts::default() }, rows: None }
    }

    /// One that keeps books by row, too, with what rows have saved.
    pub(super) fn by_row(saved: B, rows: impl Iterator<Item = (RowId, u128)>) -> Self {
        let rows = rows.map(|(row, bytes)| ((Kind::Saved, Some(row)), bytes)).collect();
        Ledger { rows: Some(rows), ..Ledger::of(saved) }
    }

    pub(super) fn add(&mut self, kind: Kind, row: Option<RowId>, bytes: &B) {
        let part = self.parts.of(kind);
        *part = part.plus(bytes);
        if let Some(rows) = &mut self.rows {
            let cell = rows.entry((kind, row)).or_default();
            *cell = cell.saturating_add(bytes.value());
        }
    }

    pub(super) fn take(&mut self, kind: Kind, row: Option<RowId>, bytes: &B) {
        let part = self.parts.of(kind);
        *part = part.less(bytes);
        if let Some(cell) = self.rows.as_mut().and_then(|rows| rows.get_mut(&(kind, row))) {
            *cell = cell.saturating_sub(bytes.value());
        }
    }

    /// What changed between two moments changes so many times more.
    pub(super) fn drift(&mut self, before: &Self, after: &Self, times: u128) {
        self.parts = self.parts.drifted(&before.parts, &after.parts, times);
        if let (Some(rows), Some(before), Some(after)) = (&mut self.rows, &before.rows, &after.rows) {
            for key in after.keys() {
                let of = |rows: &HashMap<_, u128>| rows.get(key).copied().unwrap_or(0);
                let cell = rows.entry(*key).or_default();
                *cell = drifted(cell, &of(before), &of(after), times);
            }
        }
    }

    /// What is alive of each kind and row.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Kind, Option<RowId>, u128)> + '_ {
        self.rows.iter().flatten().filter(|(_, bytes)| **bytes > 0).map(|((kind, row), bytes)| (*kind, *row, *bytes))
    }
}
