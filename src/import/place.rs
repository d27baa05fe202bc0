//! Where a tensor of a file is in a model, and what it is there.

/// Where a tensor of a file is in a model: one weight, of which it may be a part, or several that it holds one after the other.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Positions in the list of weights.
    pub weights: Vec<usize>,
    /// Whether rows and columns are exchanged.
    pub is_transposed: bool,
    /// What the tensor is to its weight.
    pub part: Part,
}

impl Place {
    /// Whether it holds several weights.
    #[must_use]
    pub fn is_split(&self) -> bool {
        self.weights.len() > 1
    }
}

/// What a tensor is to the weight that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Part {
    /// It, or a part of it.
    #[default]
    Values,
    /// Its values, packed.
    Packed,
    /// Scales or zero points.
    Beside,
}
