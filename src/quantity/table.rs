//! The table of what is counted: names, units, how each folds over repetition, and what `expect` may state of it.
//!
//! [`TOTALS`] is the one list; the quantities that every row has ([`QUANTITIES`]) and the facts of `expect` are parts of it.

/// A quantity of a layer's cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// Learned scalars.
    Params,
    /// Those that a token uses.
    ActiveParams,
    /// Bytes of the weights.
    WeightBytes,
    /// FLOPs of matrix products, forward.
    MatmulFlops,
    /// Elementwise FLOPs, forward.
    VectorFlops,
    /// Evaluations of exp, sqrt, ..., forward.
    Transcendentals,
    /// FLOPs of matrix products, backward.
    BackwardMatmulFlops,
    /// Elementwise FLOPs, backward.
    BackwardVectorFlops,
    /// Evaluations of exp, sqrt, ..., backward.
    BackwardTranscendentals,
    /// Bytes of weights read.
    WeightsRead,
    /// Bytes of inputs read.
    ActivationsRead,
    /// Bytes of outputs written.
    ActivationsWritten,
    /// Bytes of cache read.
    CacheRead,
    /// Bytes of cache written.
    CacheWritten,
    /// Bytes of the outputs.
    ActivationBytes,
    /// Bytes of cache after the step.
    CacheBytes,
}

impl Quantity {
    /// As every output, `expect` and the class files spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        QUANTITIES.get(self as usize).map_or("", |info| info.name)
    }
}

/// What a model's totals have: every quantity, and what a single row's cost hasn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Total {
    /// What every row has, summed up.
    Of(Quantity),
    /// Basic layers.
    Layers,
    /// Those that PyTorch lists in `named_modules()`.
    Modules,
    /// FLOPs of matrix products and of elementwise operations.
    Flops,
    /// Multiply-adds.
    Macs,
    /// All bytes read and written.
    BytesMoved,
    /// Bytes kept for the backward pass.
    SavedBytes,
    /// The most bytes that are alive at once.
    PeakBytes,
    /// Of those, all but the cache.
    PeakActivationBytes,
}

impl Total {
    /// As every output and `expect` spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        TOTALS.iter().find(|info| info.quantity == self).map_or("", |info| info.name)
    }
}

/// What a count counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Layers.
    Layers,
    /// Scalars.
    Scalars,
    /// Floating-point operations.
    Flops,
    /// Multiply-adds.
    Macs,
    /// Evaluations of exp, sqrt, ...
    Evaluations,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// As outputs spell it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Unit::Layers => "layers",
            Unit::Scalars => "scalars",
            Unit::Flops => "flops",
            Unit::Macs => "macs",
            Unit::Evaluations => "evaluations",
            Unit::Bytes => "bytes",
        }
    }
}

/// How a quantity of one layer becomes that of all its instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Belongs to the module: times the repeats, however often it is called; tied weights count where they are defined.
    Module,
    /// Belongs to a run: times the repeats and times the calls.
    Run,
    /// Doesn't add up: the most at any moment of a pass.
    Peak,
}

impl Fold {
    /// By what a quantity of one layer multiplies. `None` beyond 128 bits.
    pub(super) fn factor(self, repeats: u128, calls: u128) -> Option<u128> {
        match self {
            Fold::Module => Some(repeats),
            Fold::Run => repeats.checked_mul(calls),
            Fold::Peak => Some(1),
        }
    }
}

/// Where `expect` may state it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stated {
    /// Of the model as such: no workload changes it.
    Anywhere,
    /// At a workload.
    AtWorkload,
    Nowhere,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Info<Of> {
    /// Which it is.
    pub quantity: Of,
    /// Its name in every output.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// How one layer's becomes that of all.
    pub fold: Fold,
    /// Whether it exists in the train phase only.
    pub train_only: bool,
    pub stated: Stated,
    /// What it is, in a line.
    pub doc: &'static str,
}

/// A quantity that every row has.
pub type QuantityInfo = Info<Quantity>;

/// A quantity that totals have.
pub type TotalInfo = Info<Total>;

/// All that totals have. Quantities stand in the order of [`Quantity`] and of every output.
pub const TOTALS: &[TotalInfo] = &[
    anywhere(t(Total::Layers, "layers", Unit::Layers, Fold::Module, "basic layers")),
    anywhere(t(
        Total::Modules,
        "modules",
        Unit::Layers,
        Fold::Module,
        "those of the layers that PyTorch lists in named_modules()",
    )),
    t(Total::Flops, "flops", Unit::Flops, Fold::Run, "matmul_flops and vector_flops, forward and (in training) backward"),
    nowhere(t(Total::Macs, "macs", Unit::Macs, Fold::Run, "multiply-adds: matmul_flops / 2")),
    nowhere(t(Total::BytesMoved, "bytes_moved", Unit::Bytes, Fold::Run, "all bytes read and written")),
    anywhere(q(Quantity::Params, "params", Unit::Scalars, Fold::Module, "learned scalars, tied ones once")),
    anywhere(q(
        Quantity::ActiveParams,
        "active_params",
        Unit::Scalars,
        Fold::Module,
        "of those, the ones that a token uses: not the experts it isn't routed to",
    )),
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
    t(Total::PeakBytes, "peak_bytes", Unit::Bytes, Fold::Peak, "activations and cache: the most that is alive at once"),
    t(Total::PeakActivationBytes, "peak_activation_bytes", Unit::Bytes, Fold::Peak, "of the peak, all but the cache"),
    train(t(Total::SavedBytes, "saved_bytes", Unit::Bytes, Fold::Run, "kept for the backward pass")),
];

const fn t(quantity: Total, name: &'static str, unit: Unit, fold: Fold, doc: &'static str) -> TotalInfo {
    Info { quantity, name, unit, fold, train_only: false, stated: Stated::AtWorkload, doc }
}

const fn q(quantity: Quantity, name: &'static str, unit: Unit, fold: Fold, doc: &'static str) -> TotalInfo {
    t(Total::Of(quantity), name, unit, fold, doc)
}

const fn train(info: TotalInfo) -> TotalInfo {
    Info { train_only: true, ..info }
}

const fn anywhere(info: TotalInfo) -> TotalInfo {
    Info { stated: Stated::Anywhere, ..info }
}

const fn nowhere(info: TotalInfo) -> TotalInfo {
    Info { stated: Stated::Nowhere, ..info }
}

/// How many quantities a row has.
pub(super) const COUNT: usize = Quantity::CacheBytes as usize + 1;

/// The quantities that every row has, in the order of [`Quantity`] and of every output.
pub const QUANTITIES: &[QuantityInfo] = &rows();

const fn rows() -> [QuantityInfo; COUNT] {
    let blank = t(Total::Layers, "", Unit::Layers, Fold::Run, "");
    let mut rows = [row(&blank, Quantity::Params); COUNT];
    let (mut from, mut to): (&[TotalInfo], &mut [QuantityInfo]) = (TOTALS, &mut rows);
    while let Some((info, rest)) = from.split_first() {
        if let Total::Of(quantity) = info.quantity {
            let Some((next, others)) = to.split_first_mut() else { break };
            *next = row(info, quantity);
            to = others;
        }
        from = rest;
    }
    rows
}

const fn row(info: &TotalInfo, quantity: Quantity) -> QuantityInfo {
    let Info { name, unit, fold, train_only, stated, doc, .. } = *info;
    Info { quantity, name, unit, fold, train_only, stated, doc }
}

/// What `expect` may state: of the model as such, or also at a workload.
pub fn facts(at_workload: bool) -> impl Iterator<Item = &'static TotalInfo> {
    TOTALS.iter().filter(move |info| info.stated == Stated::Anywhere || at_workload && info.stated == Stated::AtWorkload)
}

impl Total {
    /// Whether it is a sum of what rows have, so that a formula of theirs is one of it; the others take the data flow.
    #[must_use]
    pub fn is_sum(self) -> bool {
        !matches!(self, Total::PeakBytes | Total::PeakActivationBytes | Total::SavedBytes)
    }
}

/// What totals have under a name.
#[must_use]
pub fn total(name: &str) -> Option<&'static TotalInfo> {
    TOTALS.iter().find(|info| info.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_order_of_the_enum() {
        for (index, info) in QUANTITIES.iter().enumerate() {
            assert_eq!(info.quantity as usize, index, "{}", info.name);
            assert_eq!(Total::Of(info.quantity).name(), info.name);
        }
    }

    #[test]
    fn a_name_means_one_thing_and_peaks_are_of_totals_only() {
        for (index, info) in TOTALS.iter().enumerate() {
            let found = total(info.name).unwrap();
            assert_eq!((found.quantity, TOTALS[index].quantity), (info.quantity, info.quantity));
        }
        assert!(QUANTITIES.iter().all(|info| info.fold != Fold::Peak && info.stated != Stated::Nowhere));
        let names: Vec<&str> = facts(false).map(|info| info.name).collect();
        assert_eq!(names, ["layers", "modules", "params", "active_params"]);
        assert_eq!(facts(true).count(), QUANTITIES.len() + 6);
    }
}
