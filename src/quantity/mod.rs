//! What is counted, in which unit, and how it folds over repetition: one table.
//!
//! Counts are `u128`, checked: a large training step exceeds `u64`, and a wrapped number would be worse than none.

mod exact;
pub mod workload;

use std::fmt;

pub use exact::Exact;

/// Number of learned scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Params(pub u128);

/// Number of floating-point operations; a multiply-add is two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Flops(pub u128);

/// Number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub u128);

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

/// A quantity of a layer's cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantity {
    Params,
    ActiveParams,
    WeightBytes,
    MatmulFlops,
    VectorFlops,
    Transcendentals,
    BackwardMatmulFlops,
    BackwardVectorFlops,
    BackwardTranscendentals,
    WeightsRead,
    ActivationsRead,
    ActivationsWritten,
    CacheRead,
    CacheWritten,
    ActivationBytes,
    CacheBytes,
}

impl Quantity {
    /// As every output, `expect` and the class files spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        QUANTITIES.get(self as usize).map_or("", |info| info.name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Scalars,
    Flops,
    /// Evaluations of exp, sqrt, ...
    Evaluations,
    Bytes,
}

/// How a quantity of one layer becomes that of all its instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Belongs to the module: times the repeats, however often it is called; tied weights count where they are defined.
    Module,
    /// Belongs to a run: times the repeats and times the calls.
    Run,
}

/// A row of the table.
#[derive(Debug)]
pub struct QuantityInfo {
    pub quantity: Quantity,
    pub name: &'static str,
    pub unit: Unit,
    pub fold: Fold,
    /// Whether it exists in the train phase only.
    pub train_only: bool,
    pub doc: &'static str,
}

/// The quantities, in the order of [`Quantity`] and of every output.
pub const QUANTITIES: &[QuantityInfo] = &[
    q(Quantity::Params, "params", Unit::Scalars, Fold::Module, "learned scalars, tied ones once"),
    q(
        Quantity::ActiveParams,
        "active_params",
        Unit::Scalars,
        Fold::Module,
        "of those, the ones that a token uses: not the experts it isn't routed to",
    ),
    q(Quantity::WeightBytes, "weight_bytes", Unit::Bytes, Fold::Module, "the weights in the weight dtype, rounded up a tensor"),
    q(Quantity::MatmulFlops, "matmul_flops", Unit::Flops, Fold::Run, "2 m n k a matrix product, as FlopCounterMode counts"),
    q(Quantity::VectorFlops, "vector_flops", Unit::Flops, Fold::Run, "1 an elementwise operation or element of a reduction"),
    q(Quantity::Transcendentals, "transcendentals", Unit::Evaluations, Fold::Run, "exp, log, sqrt, rsqrt, tanh, erf, sin, cos"),
    train(q(Quantity::BackwardMatmulFlops, "backward_matmul_flops", Unit::Flops, Fold::Run, "matmul_flops of the backward pass")),
    train(q(Quantity::BackwardVectorFlops, "backward_vector_flops", Unit::Flops, Fold::Run, "vector_flops of the backward pass")),
    train(q(
        Quantity::BackwardTranscendentals,
        "backward_transcendentals",
        Unit::Evaluations,
        Fold::Run,
        "transcendentals of the backward pass",
    )),
    q(Quantity::WeightsRead, "weights_read", Unit::Bytes, Fold::Run, "bytes of weights read"),
    q(Quantity::ActivationsRead, "activations_read", Unit::Bytes, Fold::Run, "bytes of inputs read"),
    q(Quantity::ActivationsWritten, "activations_written", Unit::Bytes, Fold::Run, "bytes of outputs written"),
    q(Quantity::CacheRead, "cache_read", Unit::Bytes, Fold::Run, "bytes of earlier steps' cache read"),
    q(Quantity::CacheWritten, "cache_written", Unit::Bytes, Fold::Run, "bytes of cache written"),
    q(Quantity::ActivationBytes, "activation_bytes", Unit::Bytes, Fold::Run, "bytes of the outputs; 0 for a view"),
    q(Quantity::CacheBytes, "cache_bytes", Unit::Bytes, Fold::Run, "bytes of cache after the step"),
];

/// What `expect` may state of a model as such, whatever the workload.
pub const WORKLOAD_FREE_FACTS: &[&str] = &["layers", "modules", "params", "active_params"];

/// What `expect` may state at a workload: the quantities, and the numbers of layers.
pub const FACTS: &[&str] = &[
    "layers",
    "modules",
    "flops",
    "params",
    "active_params",
    "weight_bytes",
    "matmul_flops",
    "vector_flops",
    "transcendentals",
    "backward_matmul_flops",
    "backward_vector_flops",
    "backward_transcendentals",
    "weights_read",
    "activations_read",
    "activations_written",
    "cache_read",
    "cache_written",
    "activation_bytes",
    "cache_bytes",
    "peak_bytes",
    "peak_activation_bytes",
    "saved_bytes",
];

const fn q(quantity: Quantity, name: &'static str, unit: Unit, fold: Fold, doc: &'static str) -> QuantityInfo {
    QuantityInfo { quantity, name, unit, fold, train_only: false, doc }
}

const fn train(mut info: QuantityInfo) -> QuantityInfo {
    info.train_only = true;
    info
}

/// How many quantities there are.
const COUNT: usize = QUANTITIES.len();

/// The cost of a layer, or of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost([u128; COUNT]);

impl Cost {
    #[must_use]
    pub fn get(&self, quantity: Quantity) -> u128 {
        self.0.get(quantity as usize).copied().unwrap_or(0)
    }

    pub fn set(&mut self, quantity: Quantity, value: u128) {
        if let Some(cell) = self.0.get_mut(quantity as usize) {
            *cell = value;
        }
    }

    /// A quantity by its name, with the sums that have one: `flops`, `macs`, `bytes_moved`.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<u128> {
        match name {
            "flops" => self.flops().map(|f| f.0),
            "macs" => Some(self.macs()),
            "bytes_moved" => self.bytes_moved().map(|b| b.0),
            _ => QUANTITIES.iter().find(|info| info.name == name).map(|info| self.get(info.quantity)),
        }
    }

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
        let parts = [Quantity::MatmulFlops, Quantity::VectorFlops, Quantity::BackwardMatmulFlops, Quantity::BackwardVectorFlops];
        parts.into_iter().try_fold(Flops(0), |sum, part| sum.plus(Flops(self.get(part))))
    }

    /// Multiply-adds: `matmul_flops / 2`.
    #[must_use]
    pub fn macs(&self) -> u128 {
        self.get(Quantity::MatmulFlops) / 2
    }

    /// All bytes read and written.
    #[must_use]
    pub fn bytes_moved(&self) -> Option<Bytes> {
        let parts = [
            Quantity::WeightsRead,
            Quantity::ActivationsRead,
            Quantity::ActivationsWritten,
            Quantity::CacheRead,
            Quantity::CacheWritten,
        ];
        parts.into_iter().try_fold(Bytes(0), |sum, part| sum.plus(Bytes(self.get(part))))
    }

    /// Forward FLOPs a byte moved, `None` where nothing is.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people, not a count")]
    pub fn arithmetic_intensity(&self) -> Option<f64> {
        let forward = self.get(Quantity::MatmulFlops).checked_add(self.get(Quantity::VectorFlops))?;
        let moved = self.bytes_moved()?.0;
        (moved > 0).then(|| forward as f64 / moved as f64)
    }

    /// The cost of `repeats` such layers, each run `calls` times. `None` beyond 128 bits.
    #[must_use]
    pub fn times(&self, repeats: u128, calls: u128) -> Option<Cost> {
        let runs = repeats.checked_mul(calls)?;
        let mut out = *self;
        for (cell, info) in out.0.iter_mut().zip(QUANTITIES) {
            let factor = match info.fold {
                Fold::Module => repeats,
                Fold::Run => runs,
            };
            *cell = cell.checked_mul(factor)?;
        }
        Some(out)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_order_of_the_enum_and_facts_name_it() {
        for (index, info) in QUANTITIES.iter().enumerate() {
            assert_eq!(info.quantity as usize, index, "{}", info.name);
            assert!(FACTS.contains(&info.name), "{}", info.name);
        }
        assert_eq!(FACTS.len(), QUANTITIES.len() + 6);
    }

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
