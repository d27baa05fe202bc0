//! What is counted, in which unit, and how it folds over repetition: one table, and the costs that it describes.
//!
//! Counts are `u128`, checked: a large training step exceeds `u64`, and a wrapped number would be worse than none.

mod double;
mod exact;
mod table;
pub mod workload;

use std::fmt;

pub use exact::Exact;
pub(crate) use exact::multiply;
use table::COUNT;
pub use table::{Fold, QUANTITIES, Quantity, QuantityInfo, Stated, TOTALS, Total, TotalInfo, Unit, facts, total};

/// Number of learned scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Params(pub u128);

/// Number of floating-point operations; a multiply-add is two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Flops(pub u128);

/// Number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub u128);

/// The product of some numbers, 1 of none. `None`: beyond 64 bits.
pub(crate) fn product<'n>(numbers: impl IntoIterator<Item = &'n u64>) -> Option<u64> {
    numbers.into_iter().try_fold(1, |product: u64, number| product.checked_mul(*number))
}

/// What `flops` is the sum of.
pub const FLOPS: [Quantity; 4] =
    [Quantity::MatmulFlops, Quantity::VectorFlops, Quantity::BackwardMatmulFlops, Quantity::BackwardVectorFlops];

/// What `bytes_moved` is the sum of.
pub const BYTES_MOVED: [Quantity; 5] =
    [Quantity::WeightsRead, Quantity::ActivationsRead, Quantity::ActivationsWritten, Quantity::CacheRead, Quantity::CacheWritten];

macro_rules! checked_sum {
    ($($name:ident),*) => {$(
        impl $name {
            /// The sum, or `None` beyond 128 bits.
            #[must_use]
            pub fn plus(self, other: Self) -> Option<Self> {
                self.0.checked_add(other.0).map($name)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}
checked_sum!(Params, Flops, Bytes);

/// A figure for each quantity that a row has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures<N>([N; COUNT]);

impl<N: Clone> Figures<N> {
    /// The same figure for each.
    #[must_use]
    pub fn filled(figure: N) -> Self {
        Figures(std::array::from_fn(|_| figure.clone()))
    }
}

impl<N> Figures<N> {
    /// The same of other figures.
    pub fn map<M>(&self, figure: impl FnMut(&N) -> M) -> Figures<M> {
        Figures(self.0.each_ref().map(figure))
    }

    /// That of a quantity.
    #[must_use]
    pub fn get(&self, quantity: Quantity) -> &N {
        let [first, ..] = &self.0;
        self.0.get(quantity as usize).unwrap_or(first)
    }

    /// Replaces that of a quantity.
    pub fn set(&mut self, quantity: Quantity, figure: N) {
        if let Some(cell) = self.0.get_mut(quantity as usize) {
            *cell = figure;
        }
    }

    /// Each quantity with its figure.
    pub fn iter(&self) -> impl Iterator<Item = (&'static QuantityInfo, &N)> {
        QUANTITIES.iter().zip(&self.0)
    }
}

/// The cost of a layer, or of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost([u128; COUNT]);

impl From<Figures<u128>> for Cost {
    fn from(figures: Figures<u128>) -> Self {
        Cost(figures.0)
    }
}

impl Cost {
    /// Nothing of anything.
    pub const ZERO: Cost = Cost([0; COUNT]);

    /// A quantity.
    #[must_use]
    pub fn get(&self, quantity: Quantity) -> u128 {
        self.0.get(quantity as usize).copied().unwrap_or(0)
    }

    /// Replaces a quantity.
    pub fn set(&mut self, quantity: Quantity, value: u128) {
        if let Some(cell) = self.0.get_mut(quantity as usize) {
            *cell = value;
        }
    }

    /// A quantity by its name, with the sums that have one: `flops`, `macs`, `bytes_moved`.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<u128> {
        self.total(total(name)?.quantity)
    }

    /// A quantity, or a sum of some. `None` beyond 128 bits, and for what isn't a sum of costs.
    #[must_use]
    pub fn total(&self, total: Total) -> Option<u128> {
        match total {
            Total::Of(quantity) => Some(self.get(quantity)),
            Total::Flops => self.flops().map(|flops| flops.0),
            Total::Macs => Some(self.macs()),
            Total::BytesMoved => self.bytes_moved().map(|bytes| bytes.0),
            Total::Layers | Total::Modules | Total::SavedBytes | Total::PeakBytes | Total::PeakActivationBytes => None,
        }
    }

    /// Learned scalars.
    #[must_use]
    pub fn params(&self) -> Params {
        Params(self.get(Quantity::Params))
    }

    /// Matrix products of the forward pass.
    #[must_use]
    pub fn matmul_flops(&self) -> Flops {
        Flops(self.get(Quantity::MatmulFlops))
    }

    /// `matmul_flops + vector_flops`, forward and (in training) backward.
    #[must_use]
    pub fn flops(&self) -> Option<Flops> {
        FLOPS.into_iter().try_fold(Flops(0), |sum, part| sum.plus(Flops(self.get(part))))
    }

    /// Multiply-adds: `matmul_flops / 2`.
    #[must_use]
    pub fn macs(&self) -> u128 {
        self.get(Quantity::MatmulFlops) / 2
    }

    /// All bytes read and written.
    #[must_use]
    pub fn bytes_moved(&self) -> Option<Bytes> {
        BYTES_MOVED.into_iter().try_fold(Bytes(0), |sum, part| sum.plus(Bytes(self.get(part))))
    }

    /// Forward FLOPs a byte moved, `None` where nothing is.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people, not a count")]
    pub fn arithmetic_intensity(&self) -> Option<f64> {
        let forward = self.get(Quantity::MatmulFlops).checked_add(self.get(Quantity::VectorFlops))?;
        let moved = self.bytes_moved()?.0;
        (moved > 0).then(|| forward as f64 / moved as f64)
    }

    /// A quantity of [`Cost::times`].
    #[must_use]
    pub fn share(&self, quantity: Quantity, repeats: u128, calls: u128) -> Option<u128> {
        let factor = QUANTITIES.get(quantity as usize)?.fold.factor(repeats, calls)?;
        self.get(quantity).checked_mul(factor)
    }

    /// The cost of `repeats` such layers, each run `calls` times. `None` beyond 128 bits.
    #[must_use]
    pub fn times(&self, repeats: u128, calls: u128) -> Option<Cost> {
        if (repeats, calls) == (1, 1) {
            return Some(*self);
        }
        let mut out = Cost::ZERO;
        out.add(self, repeats, calls)?;
        Some(out)
    }

    /// Adds [`Cost::times`] of another. `None`: it is beyond 128 bits, and not all of it was added.
    pub(crate) fn add(&mut self, other: &Cost, repeats: u128, calls: u128) -> Option<()> {
        for ((cell, figure), info) in self.0.iter_mut().zip(other.0).zip(QUANTITIES) {
            // Of most quantities a layer has nothing.
            if figure != 0 {
                *cell = cell.checked_add(figure.checked_mul(info.fold.factor(repeats, calls)?)?)?;
            }
        }
        Some(())
    }

    /// The sum. `None` beyond 128 bits.
    #[must_use]
    pub fn plus(&self, other: &Cost) -> Option<Cost> {
        let mut out = *self;
        for (cell, more) in out.0.iter_mut().zip(other.0) {
            *cell = cell.checked_add(more)?;
        }
        Some(out)
    }
}

/// A cost in half the room, where its figures allow: most do.
#[derive(Debug, Clone)]
pub(crate) enum Packed {
    Small([u64; COUNT]),
    Large(Box<Cost>),
}

impl From<Cost> for Packed {
    fn from(cost: Cost) -> Self {
        let mut small = [0; COUNT];
        for (cell, figure) in small.iter_mut().zip(cost.0) {
            match u64::try_from(figure) {
                Ok(figure) => *cell = figure,
                Err(_) => return Packed::Large(Box::new(cost)),
            }
        }
        Packed::Small(small)
    }
}

impl Packed {
    pub(crate) fn cost(&self) -> Cost {
        match self {
            Packed::Small(small) => Cost(small.map(u128::from)),
            Packed::Large(cost) => **cost,
        }
    }
}

/// Digits in threes.
#[must_use]
pub fn grouped(n: u128, separator: &str) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 * separator.len());
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push_str(separator);
        }
        out.push(digit);
    }
    out
}

/// `1x2048x4096`; `scalar` without dimensions.
#[must_use]
pub fn shape(shape: &[u128]) -> String {
    let dims: Vec<String> = shape.iter().map(u128::to_string).collect();
    if dims.is_empty() { "scalar".to_owned() } else { dims.join("x") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_multiply_work_but_not_parameters() {
        let mut cost = Cost::default();
        cost.set(Quantity::Params, 10);
        cost.set(Quantity::MatmulFlops, 7);
        let all = cost.times(3, 2).unwrap();
        assert_eq!((all.get(Quantity::Params), all.get(Quantity::MatmulFlops)), (30, 42));
        assert_eq!(cost.times(u128::MAX, 2), None);
    }
}
