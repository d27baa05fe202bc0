//! What a model needs of a device's memory, by kind: for inference at the worst moment of a pass, for a training step at its end of the
//! forward pass.
//!
//! A compiled model comes in, a list of kinds with their bytes goes out. How inference is split over devices is `split`'s; what ZeRO splits over ranks
//! is divided and rounded up.

use std::borrow::Cow;
use std::sync::Arc;

use super::split::Split;
use super::summary::CountedBy;
use crate::catalog::{Element, Optimizer, Role};
use crate::cost::Tensor;
use crate::evaluation::{Checks, Evaluation, evaluate};
use crate::flat::{Node, RowId, RowInfo};
use crate::quantity::Quantity;
use crate::quantity::workload::{Phase, words};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::Exact;

/// A kind of memory and its bytes on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: &'static str,
    /// Bytes of it on one device.
    pub bytes: u128,
    /// How it comes about, in words.
    pub note: &'static str,
}

/// How much of what is saved for the backward pass is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checkpointing {
    /// All of it.
    #[default]
    None,
    /// Of each block its input and the outputs of matrix products; the rest is computed again.
    Selective,
    /// Of each block its input.
    Full,
}

words!(Checkpointing, None = "none", Selective = "selective", Full = "full");

/// Adapters in place of trained weights: W + B A with A `[rank, in]` and B `[out, rank]`.
#[derive(Debug, Clone)]
pub struct Lora {
    /// The inner dimension of A and B.
    pub rank: u64,
    /// Patterns of paths or classes whose matrices get adapters.
    pub targets: Vec<String>,
}

/// How a training step is done.
#[derive(Debug, Clone)]
pub struct Training {
    /// Whose states are kept.
    pub optimizer: Arc<Optimizer>,
    /// Float32 copies of what is trained, and float32 states.
    pub master_weights: bool,
    /// What is computed again.
    pub checkpointing: Checkpointing,
    /// ZeRO or FSDP: 1 splits states, 2 gradients too, 3 weights too.
    pub zero: u8,
    /// Data-parallel ranks.
    pub ranks: u64,
    /// Adapters, if those alone are trained.
    pub lora: Option<Lora>,
}

impl Training {
    /// A step of one rank that keeps all that it saves, without adapters and master weights.
    #[must_use]
    pub fn new(optimizer: Arc<Optimizer>) -> Self {
        Training { optimizer, master_weights: false, checkpointing: Checkpointing::None, zero: 0, ranks: 1, lora: None }
    }
}

/// What one device has to hold.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// By kind.
    pub items: Vec<Item>,
    /// Scalars that are trained; 0 in inference.
    pub trained_params: u128,
    /// What checkpointing computes a second time.
    pub recomputed_flops: u128,
    /// With checkpointing: what is kept for the backward pass, largest first.
    pub kept: Vec<Kept>,
    /// How inference is split, on several devices.
    pub split: Option<Split>,
}

impl Plan {
    /// `None` beyond 128 bits.
    #[must_use]
    pub fn total(&self) -> Option<u128> {
        self.items.iter().try_fold(0u128, |sum, item| sum.checked_add(item.bytes))
    }
}

/// The memory of inference on one of `devices` devices, split by tensor parallelism: weights and caches as their classes say, activations
/// whole on each.
///
/// # Errors
/// A size beyond 128 bits.
pub fn inference(model: &Evaluation, devices: u64) -> Result<Plan, Box<Diagnostic>> {
    let beyond = || Box::new(Diagnostic::new(Code::Overflow, "a size of the plan is beyond 128 bits"));
    let peak = model.flow.peak.as_ref();
    let split = if devices > 1 { Some(Split::of(model, devices).ok_or_else(beyond)?) } else { None };
    let (weights, cache) = match &split {
        Some(split) => (split.weight_bytes, split.cache_bytes),
        None => (model.report.totals.get(Quantity::WeightBytes), peak.map_or(0, |peak| peak.cache_bytes)),
    };
    let items = vec![
        Item { kind: "weights", bytes: weights, note: "in the weight dtype, tied ones once" },
        Item { kind: "cache", bytes: cache, note: "its storage at the peak" },
        Item { kind: "activations", bytes: peak.map_or(0, |peak| peak.activation_bytes()), note: "at their peak" },
    ];
    Ok(Plan { items, split, ..Plan::default() })
}

/// The memory of a training step on one rank.
///
/// # Errors
/// `lora` targets nothing, or a size is beyond 128 bits.
pub fn training(model: &Evaluation, options: &Training) -> Result<Plan, Box<Diagnostic>> {
    let beyond = || Box::new(Diagnostic::new(Code::Overflow, "a size of the training plan is beyond 128 bits"));
    let trained = Trained::of(model, options)?;
    let weights = model.report.totals.get(Quantity::WeightBytes);
    let ranks = u128::from(options.ranks.max(1));
    let split = |bytes: u128, stage: u8| if options.zero >= stage { bytes.div_ceil(ranks) } else { bytes };
    let (saved, recomputed_flops, kept) = checkpointed(model, options.checkpointing).ok_or_else(beyond)?;
    let adapters = if options.lora.is_some() { trained.weight_bytes } else { 0 };
    let weights = weights.checked_add(adapters).ok_or_else(beyond)?;
    let mut items = vec![
        Item { kind: "weights", bytes: split(weights, 3), note: "in the weight dtype, tied ones once, adapters included" },
        Item { kind: "gradients", bytes: split(trained.gradient_bytes, 2), note: "of what is trained" },
    ];
    if options.master_weights {
        items.push(Item {
            kind: "master weights",
            bytes: split(trained.master_bytes, 1),
            note: "float32 copies of what is trained",
        });
    }
    items.push(Item { kind: "optimizer", bytes: split(trained.state_bytes, 1), note: "its states" });
    items.push(Item { kind: "saved activations", bytes: saved, note: "for the backward pass" });
    if gives_logits_of_tokens(model) {
        items.push(Item {
            kind: "logits and loss",
            bytes: loss_bytes(model).ok_or_else(beyond)?,
            note: "the logits, their float32 copy and its log-softmax",
        });
    }
    Ok(Plan { items, trained_params: trained.params, recomputed_flops, kept, split: None })
}

/// What a cross-entropy loss on the model's output keeps for the backward pass: the float32 log-softmax of all logits, the targets
/// shifted by one (int64), and 12 bytes of scalars (transformers 5.23 loss_utils.py ForCausalLMLoss, measured).
#[must_use]
pub fn loss_saved_bytes(output: &[u128]) -> Option<u128> {
    let (_, tokens) = output.split_last()?;
    let tokens = tokens.iter().try_fold(1u128, |product, dim| product.checked_mul(*dim))?;
    let logits = output.iter().try_fold(1u128, |product, dim| product.checked_mul(*dim))?;
    logits.checked_mul(4)?.checked_add(tokens.checked_mul(8)?)?.checked_add(12)
}

/// Whether what a model gives are logits of a text's tokens, over which a cross-entropy goes: a head makes them, and their positions are tokens.
#[must_use]
pub fn gives_logits_of_tokens(model: &Evaluation) -> bool {
    let of_tokens =
        CountedBy::of(model) == CountedBy::Token && model.bound.inputs.iter().any(|input| input.element == Element::Index);
    let has_positions = model.flow.output.as_ref().is_some_and(|shape| shape.len() > 2);
    of_tokens && has_positions && ends_in_head(model, &model.flat.body)
}

/// Whether the last layer of a body is a head, or a part of one.
fn ends_in_head(model: &Evaluation, body: &[Node<RowId>]) -> bool {
    match body.last() {
        // A model that is written out may not say what its last layer is: a matrix that makes something of the hidden states.
        Some(Node::Layer(id)) => model.flat.row(*id).is_some_and(|info| {
            let multiplies = model.report.row(*id).is_some_and(|row| row.of(Quantity::MatmulFlops) > 0);
            info.row.role.map_or(multiplies, |role| role == Role::Head)
        }),
        Some(Node::Composite(composite)) => composite.role == Some(Role::Head) || ends_in_head(model, &composite.body),
        Some(Node::Repeat(_)) | None => false,
    }
}

fn loss_bytes(model: &Evaluation) -> Option<u128> {
    let Some(output) = &model.flow.output else { return Some(0) };
    let logits = output.iter().try_fold(1u128, |product, dim| product.checked_mul(*dim))?;
    let own = Exact::from_count(logits)?.checked_mul(model.bound.workload.dtype.bytes())?.ceil()?.to_count()?;
    own.checked_add(logits.checked_mul(4)?)?.checked_add(loss_saved_bytes(output)?)
}

/// What is kept for the backward pass of one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The path of a layer, or of a block.
    pub path: String,
    /// What of it: `input`, `saved`, `output`, or `computed again`.
    pub what: &'static str,
    /// How many there are.
    pub count: u128,
    /// Bytes of all of them.
    pub bytes: u128,
}

/// What is kept for the backward pass where blocks are computed again, the one that is being computed included, and the FLOPs of doing so. The list
/// is empty where nothing is computed again, or where that keeps no less.
fn checkpointed(model: &Evaluation, checkpointing: Checkpointing) -> Option<(u128, u128, Vec<Kept>)> {
    let flow = &model.flow;
    if checkpointing == Checkpointing::None {
        return Some((flow.saved_bytes, 0, Vec::new()));
    }
    let mut list: Vec<Kept> = Vec::new();
    let path_of = |row: Option<RowId>| row.and_then(|row| model.flat.row(row)).map_or_else(String::new, block_path);
    for block in &flow.blocks {
        let bytes = block.input_bytes.checked_mul(block.count)?;
        let path = path_of(block.first);
        match list.iter_mut().find(|known| known.path == path) {
            Some(known) => {
                known.count = known.count.checked_add(block.count)?;
                known.bytes = known.bytes.checked_add(bytes)?;
            }
            None => list.push(Kept { path, what: "input", count: block.count, bytes }),
        }
    }
    if let Some(largest) = flow.blocks.iter().max_by_key(|block| block.saved_bytes) {
        let path = path_of(largest.first);
        list.push(Kept { path, what: "computed again", count: 1, bytes: largest.saved_bytes });
    }
    let mut again = 0u128;
    for (info, (row, own)) in model.flat.rows.iter().zip(model.report.rows().zip(&flow.rows)) {
        let path = || info.path.to_string();
        if !own.in_block {
            list.push(Kept { path: path(), what: "saved", count: info.repeats, bytes: own.saved_total() });
            continue;
        }
        let matmul = row.of(Quantity::MatmulFlops);
        if checkpointing == Checkpointing::Selective && matmul > 0 {
            let bytes = row.of(Quantity::ActivationBytes);
            list.push(Kept { path: path(), what: "output", count: info.repeats, bytes });
            continue;
        }
        again = again.checked_add(matmul)?.checked_add(row.of(Quantity::VectorFlops))?;
    }
    list.retain(|kept| kept.bytes > 0);
    let all = list.iter().try_fold(0u128, |sum, kept| sum.checked_add(kept.bytes))?;
    if all >= flow.saved_bytes {
        return Some((flow.saved_bytes, again, Vec::new()));
    }
    list.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    Some((all, again, list))
}

/// The path of the outermost repeated composite around a layer.
fn block_path(info: &RowInfo) -> String {
    let is_index = |path: &&str| {
        let last = path.rsplit('.').next().unwrap_or_default();
        last.starts_with('[') || last.bytes().all(|b| b.is_ascii_digit())
    };
    let prefixes = info.prefixes().iter().filter_map(|length| info.path.get(..usize::try_from(*length).ok()?));
    prefixes.filter(|path| !path.is_empty()).find(is_index).unwrap_or(&info.path).to_owned()
}

/// What has gradients, and what they bring along.
#[derive(Default)]
struct Trained {
    params: u128,
    weight_bytes: u128,
    gradient_bytes: u128,
    master_bytes: u128,
    state_bytes: u128,
}

impl Trained {
    fn of(model: &Evaluation, options: &Training) -> Result<Trained, Box<Diagnostic>> {
        let beyond = || Box::new(Diagnostic::new(Code::Overflow, "a size of the training plan is beyond 128 bits"));
        let mut trained = Trained::default();
        let targets = options.lora.as_ref().map_or(&[][..], |lora| &lora.targets);
        let mut matched = vec![false; targets.len()];
        let bits = model.flat.bits(targets.iter().map(String::as_str))?;
        for (at, info) in (0u32..).zip(&model.flat.rows) {
            let Some(row) = model.report.row(RowId(at)) else { continue };
            for tensor in model.report.tensors(RowId(at)) {
                match &options.lora {
                    None if row.tied.contains(&tensor.name) => {}
                    None => trained.add(&tensor.shape, tensor.bytes, info.repeats, model, options).ok_or_else(beyond)?,
                    Some(lora) => {
                        let Some(shapes) = adapters(lora, info, tensor, &bits, &mut matched) else { continue };
                        for shape in shapes {
                            let bytes = bytes_of(&shape, model.bound.workload.dtype.bytes()).ok_or_else(beyond)?;
                            trained.add(&shape, bytes, info.repeats, model, options).ok_or_else(beyond)?;
                        }
                    }
                }
            }
        }
        let idle = options.lora.iter().flat_map(|lora| &lora.targets).zip(&matched).find(|(_, matched)| !**matched);
        match idle {
            Some((target, _)) => {
                let message = format!("no matrix belongs to the LoRA target `{target}`");
                let help = "a target is a class or a path, `*` standing for anything: '*.q_proj', 'model.layers.[0-5].mlp.*'";
                Err(Box::new(Diagnostic::new(Code::InvalidWorkload, message).help(help)))
            }
            None => Ok(trained),
        }
    }

    fn add(&mut self, shape: &[u128], bytes: u128, repeats: u128, model: &Evaluation, options: &Training) -> Option<()> {
        let workload = &model.bound.workload;
        let elements = shape.iter().try_fold(1u128, |product, dim| product.checked_mul(*dim))?;
        // A weight of fewer than 16 bits has its gradient in the dtype of the activations.
        let weight_bytes = workload.weight_dtype.bytes();
        let gradient = if bytes < elements.checked_mul(2)? { bytes_of(shape, workload.dtype.bytes())? } else { bytes };
        let stays_float32 = bytes == elements.checked_mul(4)?;
        let state_dtype = match options.master_weights || stays_float32 {
            true => Exact::integer(4),
            false => workload.dtype.bytes().max(weight_bytes),
        };
        let all = |one: u128| one.checked_mul(repeats);
        self.params = self.params.checked_add(all(elements)?)?;
        self.weight_bytes = self.weight_bytes.checked_add(all(bytes)?)?;
        self.gradient_bytes = self.gradient_bytes.checked_add(all(gradient)?)?;
        self.master_bytes = self.master_bytes.checked_add(all(elements.checked_mul(4)?)?)?;
        self.state_bytes = self.state_bytes.checked_add(all(options.optimizer.state_bytes(shape, state_dtype)?)?)?;
        Some(())
    }
}

fn bytes_of(shape: &[u128], element: Exact) -> Option<u128> {
    let elements = shape.iter().try_fold(1u128, |product, dim| product.checked_mul(*dim))?;
    Exact::from_count(elements)?.checked_mul(element)?.ceil()?.to_count()
}

/// The shapes of A and B beside a targeted matrix. Of stacked experts, as peft has it, one A and one B for all: their ranks are as many as there are
/// experts.
fn adapters(lora: &Lora, info: &RowInfo, tensor: &Tensor, bits: &[u32], matched: &mut [bool]) -> Option<[Vec<u128>; 2]> {
    // Of a class that says which of its weights are matrices for quantizers, those: a stacked bias has two dimensions, too.
    let matrices = info.row.class.as_ref().map_or(&[][..], |class| &class.0.quantized);
    if !matrices.is_empty() && !matrices.contains(&tensor.name) {
        return None;
    }
    let (stacked, out, inner) = match tensor.shape.as_slice() {
        [out, inner] => (1, out, inner),
        [stacked, out, inner] if !matrices.is_empty() => (*stacked, out, inner),
        _ => return None,
    };
    let mut hit = false;
    for (bit, matched) in bits.iter().zip(matched) {
        if info.row.marks & bit != 0 {
            (hit, *matched) = (true, true);
        }
    }
    let rank = u128::from(lora.rank).checked_mul(stacked)?;
    hit.then(|| [vec![rank, *inner], vec![*out, rank]])
}

/// The plan of the phase that a model is bound to.
///
/// # Errors
/// Those of [`training`].
pub fn plan(model: &Evaluation, devices: u64, options: &Training) -> Result<Plan, Box<Diagnostic>> {
    let plan = match model.bound.workload.phase {
        Phase::Train => match targeted(model, options) {
            Some(model) => training(&model?, options)?,
            None => training(model, options)?,
        },
        Phase::Prefill | Phase::Decode => inference(model, devices)?,
    };
    match plan.total() {
        Some(_) => Ok(plan),
        None => Err(Diagnostic::new(Code::Overflow, "what a device has to hold is beyond 2^128 - 1 bytes").boxed()),
    }
}

/// The model with the layers told apart that adapters are for; `None`: they are, or there are no adapters.
///
/// # Errors
/// What is wrong with the model so: there is no such thing that wasn't wrong before.
pub(super) fn targeted(model: &Evaluation, options: &Training) -> Option<Result<Evaluation, Box<Diagnostic>>> {
    let lora = options.lora.as_ref()?;
    let lowered = model.lowered();
    let Cow::Owned(told_apart) = lowered.told_apart(lora.targets.iter().map(String::as_str)) else { return None };
    let mut said = Diagnostics::default();
    let found = evaluate(&told_apart, &model.asked, Checks::Figures, &mut said);
    let why = || said.first_error().cloned().unwrap_or_else(|| Diagnostic::new(Code::InvalidWorkload, "no plan"));
    Some(found.ok_or_else(|| why().boxed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_keeps_its_log_softmax_and_targets() {
        // transformers 5.23: 65,540,108 bytes more for Llama-2-7B at 1 x 512.
        assert_eq!(loss_saved_bytes(&[1, 512, 32000]), Some(65_540_108));
    }
}
