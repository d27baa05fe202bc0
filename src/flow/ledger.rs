//! What is alive in a backward pass: by kind, and where that is asked for by row.

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
    /// In the order of kinds.
    fn in_order(&self) -> [u128; 3] {
        [self.saved, self.gradients, self.passing]
    }

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
    /// By row, too; `None`: nobody asked.
    books: Option<Books>,
}

/// How long the books' list of changes was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(usize);

/// What is alive by row and kind, and what changed in it where that may happen again.
#[derive(Debug, Clone, Default)]
struct Books {
    /// Three a row, one a kind; those of the loss come first.
    cells: Vec<u128>,
    /// Which cell changed by how much: what goes is added as its complement, so that so many times a change is its product.
    changes: Vec<(u32, u128)>,
    /// How many repeats are around, whose changes happen again.
    depth: u32,
}

impl Books {
    fn at(kind: Kind, row: Option<RowId>) -> usize {
        let row = row.map_or(0, |row| row.0 as usize + 1);
        row * 3 + kind as usize
    }

    fn change(&mut self, at: usize, change: impl Fn(u128) -> u128) {
        let Some(cell) = self.cells.get_mut(at) else { return };
        let before = std::mem::replace(cell, change(*cell));
        if self.depth > 0
            && let Ok(at) = u32::try_from(at)
        {
            self.changes.push((at, cell.wrapping_sub(before)));
        }
    }

    /// What changed since a mark changes so many times more.
    fn again(&mut self, since: &[(u32, u128)], times: u128) {
        for (at, change) in since {
            self.change(*at as usize, |cell| cell.wrapping_add(change.wrapping_mul(times)));
        }
    }
}

impl<B: Bytes> Ledger<B> {
    /// One in which so much is saved.
    pub(super) fn of(saved: B) -> Self {
        Ledger { parts: Parts { saved, ..Parts::default() }, books: None }
    }

    /// One that keeps books by row, too, with what rows have saved.
    pub(super) fn by_row(saved: B, rows: impl Iterator<Item = u128>) -> Self {
        let cells = [0; 3].into_iter().chain(rows.flat_map(|bytes| Parts { saved: bytes, ..Parts::default() }.in_order()));
        Ledger { books: Some(Books { cells: cells.collect(), ..Books::default() }), ..Ledger::of(saved) }
    }

    /// What is alive now, for a look at it later.
    pub(super) fn snapshot(&self) -> Self {
        let books = self.books.as_ref().map(|books| Books { cells: books.cells.clone(), ..Books::default() });
        Ledger { parts: self.parts.clone(), books }
    }

    /// Whether nothing that was changed may change again.
    pub(super) fn is_settled(&self) -> bool {
        self.books.as_ref().is_none_or(|books| books.depth == 0)
    }

    pub(super) fn add(&mut self, kind: Kind, row: Option<RowId>, bytes: &B) {
        let part = self.parts.of(kind);
        *part = part.plus(bytes);
        if let Some(books) = &mut self.books {
            books.change(Books::at(kind, row), |cell| cell.saturating_add(bytes.value()));
        }
    }

    pub(super) fn take(&mut self, kind: Kind, row: Option<RowId>, bytes: &B) {
        let part = self.parts.of(kind);
        *part = part.less(bytes);
        if let Some(books) = &mut self.books {
            books.change(Books::at(kind, row), |cell| cell.saturating_sub(bytes.value()));
        }
    }

    /// Before what may happen again.
    pub(super) fn mark(&mut self) -> Mark {
        let Some(books) = &mut self.books else { return Mark(0) };
        books.depth += 1;
        Mark(books.changes.len())
    }

    /// What changed since a mark changes so many times more, as it does in what was found in between, which drifts along.
    pub(super) fn again(&mut self, mark: Mark, before: &Parts<B>, times: u128, found: Option<&mut Self>) {
        let after = self.parts.clone();
        self.parts = self.parts.drifted(before, &after, times);
        if let Some(found) = found {
            found.parts = found.parts.drifted(before, &after, times);
            if let (Some(found), Some(books)) = (&mut found.books, &self.books) {
                found.again(books.changes.get(mark.0..).unwrap_or_default(), times);
            }
        }
        if let Some(books) = &mut self.books {
            let since = books.changes.get(mark.0..).unwrap_or_default().to_vec();
            books.again(&since, times);
            books.depth = books.depth.saturating_sub(1);
            if books.depth == 0 {
                books.changes.clear();
            }
        }
    }

    /// What is alive of each kind and row.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Kind, Option<RowId>, u128)> + '_ {
        let cells = self.books.iter().flat_map(|books| books.cells.chunks_exact(3));
        let row = |at: u32| at.checked_sub(1).map(RowId);
        let kinds = [Kind::Saved, Kind::Gradient, Kind::Passing];
        let all = (0u32..)
            .map(row)
            .zip(cells)
            .flat_map(move |(row, cells)| kinds.into_iter().zip(cells).map(move |(kind, bytes)| (kind, row, *bytes)));
        // A complement is of what went more often than it came.
        all.filter(|(_, _, bytes)| *bytes > 0 && *bytes <= u128::MAX / 2)
    }
}
