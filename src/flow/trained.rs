//! What of a model is trained: the gradient of each weight.

use crate::flat::RowId;

/// Bytes of the gradient of each weight of each row; 0: it isn't trained.
#[derive(Debug, Clone, Default)]
pub struct GradientBytes {
    bytes: Vec<u128>,
    /// Where the weights of each row end.
    ends: Vec<usize>,
}

impl GradientBytes {
    /// Adds a weight of the row that is being added.
    pub fn push(&mut self, bytes: u128) {
        self.bytes.push(bytes);
    }

    /// The row has no more weights.
    pub fn ends_row(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// Those of a row.
    #[must_use]
    pub fn of(&self, row: RowId) -> &[u128] {
        let at = row.0 as usize;
        let from = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(at).and_then(|end| self.bytes.get(from..*end)).unwrap_or_default()
    }
}
