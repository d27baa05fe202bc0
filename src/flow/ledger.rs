//! What is alive in a backward pass: by kind, and where that is asked for by row.

use std::collections::HashMap;

use crate::flat::RowId;

/// What is alive, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// Saved by the forward pass.
    pub saved: u128,
    /// Gradients of parameters.
    pub gradients: u128,
    /// Gradients of values, and what layers need while they run.
    pub passing: u128,
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

    fn of(&mut self, kind: Kind) -> &mut u128 {
        match kind {
            Kind::Saved => &mut self.saved,
            Kind::Gradient => &mut self.gradients,
            Kind::Passing => &mut self.passing,
        }
    }

    /// What becomes of it when what happened between two moments happens so many times more.
    pub(super) fn drifted(self, before: Parts, after: Parts, times: u128) -> Parts {
        Parts {
            saved: drifted(self.saved, before.saved, after.saved, times),
            gradients: drifted(self.gradients, before.gradients, after.gradients, times),
            passing: drifted(self.passing, before.passing, after.passing, times),
        }
    }
}

/// A number that changed from one to another, and does so many times more.
fn drifted(own: u128, before: u128, after: u128, times: u128) -> u128 {
    let grows = after.saturating_sub(before).saturating_mul(times);
    own.saturating_add(grows).saturating_sub(before.saturating_sub(after).saturating_mul(times))
}

/// What is alive. Bytes saturate.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    pub(super) parts: Parts,
    /// By kind and row; `None`: nobody asked.
    rows: Option<HashMap<(Kind, Option<RowId>), u128>>,
}

impl Ledger {
    /// One that keeps books by row, too.
    pub(super) fn by_row() -> Self {
        Ledger { rows: Some(HashMap::new()), ..Ledger::default() }
    }

    pub(super) fn add(&mut self, kind: Kind, row: Option<RowId>, bytes: u128) {
        let part = self.parts.of(kind);
        *part = part.saturating_add(bytes);
        if let Some(rows) = &mut self.rows {
            let cell = rows.entry((kind, row)).or_default();
            *cell = cell.saturating_add(bytes);
        }
    }

    pub(super) fn take(&mut self, kind: Kind, row: Option<RowId>, bytes: u128) {
        let part = self.parts.of(kind);
        *part = part.saturating_sub(bytes);
        if let Some(cell) = self.rows.as_mut().and_then(|rows| rows.get_mut(&(kind, row))) {
            *cell = cell.saturating_sub(bytes);
        }
    }

    /// What changed between two moments changes so many times more.
    pub(super) fn drift(&mut self, before: &Ledger, after: &Ledger, times: u128) {
        self.parts = self.parts.drifted(before.parts, after.parts, times);
        if let (Some(rows), Some(before), Some(after)) = (&mut self.rows, &before.rows, &after.rows) {
            for key in after.keys() {
                let of = |rows: &HashMap<_, u128>| rows.get(key).copied().unwrap_or(0);
                let cell = rows.entry(*key).or_default();
                *cell = drifted(*cell, of(before), of(after), times);
            }
        }
    }

    /// What is alive of each kind and row.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Kind, Option<RowId>, u128)> + '_ {
        self.rows.iter().flatten().filter(|(_, bytes)| **bytes > 0).map(|((kind, row), bytes)| (*kind, *row, *bytes))
    }
}
