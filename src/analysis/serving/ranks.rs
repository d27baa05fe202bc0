//! How a model is divided.

/// Over how many devices a model is divided, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranks {
    /// Over which layers are divided.
    pub tensor: u128,
    /// Over which layers are dealt out.
    pub pipeline: u128,
    /// Over which experts are dealt out; 1: they are divided as other layers are.
    pub expert: u128,
}

impl Ranks {
    /// How many devices that are.
    #[must_use]
    pub fn devices(&self) -> u128 {
        self.tensor.saturating_mul(self.pipeline)
    }

    /// Of what all of so many layers have, what those of the fullest stage have.
    pub(super) fn of_stage(&self, all: u128, layers: u128) -> u128 {
        if self.pipeline <= 1 || layers == 0 {
            return all;
        }
        all.saturating_mul(layers.div_ceil(self.pipeline)).div_ceil(layers)
    }
}
