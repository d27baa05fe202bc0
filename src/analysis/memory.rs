//! What a model needs of a device's memory, by kind: at the worst moment of a pass, and of a training step at the worse of two, that of the forward
//! pass and that of the backward pass.
//!
//! A compiled model comes in, a list of kinds with their bytes goes out. How inference is split over devices is `split`'s; what ZeRO splits over
//! ranks is divided and rounded up.

use std::borrow::Cow;
use std::sync::Arc;

use super::split::Split;
use super::summary::CountedBy;
use crate::catalog::{Element, Optimizer, Role};
use crate::cost::Tensor;
use crate::evaluation::{Checks, Evaluation, evaluate};
use crate::flat::{Node, RowId, RowInfo};
use crate::flow::{Checkpointing, GradientBytes, Kind, Loss, Parts, StepOptions, TrainingStep, step};
use crate::program::{MemoryProgram, MemoryRoom, Step};
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

/// Adapters in place of trained weights: W + B A with A `[rank, in]` and B `[out, rank]`.
#[derive(Debug, Clone)]
pub struct Lora {
    /// The inner dimension of A and B.
    pub rank: u64,
    /// Patterns of paths or classes whose matrices get adapters.
    pub targets: Vec<String>,
}

/// How long the gradients of weights stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gradients {
    /// To the end of the step, where the optimizer takes them.
    #[default]
    Held,
    /// Each is let go once it is whole: the optimizer takes it within the backward pass.
    Dropped,
}

words!(Gradients, Held = "held", Dropped = "dropped");

/// How a training step is done.
#[derive(Debug, Clone)]
pub struct Training {
    /// Whose states are kept.
    pub optimizer: Arc<Optimizer>,
    /// Float32 copies of what is trained, and float32 states.
    pub master_weights: bool,
    /// What is computed again.
    pub checkpointing: Checkpointing,
    /// What the backward pass starts from; `None`: cross-entropy for logits of tokens, else the sum of what the model gives.
    pub loss: Option<Loss>,
    /// How long gradients of weights stay.
    pub gradients: Gradients,
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
        Training {
            optimizer,
            master_weights: false,
            checkpointing: Checkpointing::None,
            loss: None,
            gradients: Gradients::Held,
            zero: 0,
            ranks: 1,
            lora: None,
        }
    }

    /// What one rank has of bytes that are divided from a stage of ZeRO on.
    fn on_a_rank(&self, bytes: u128, stage: u8) -> u128 {
        if self.zero >= stage { bytes.div_ceil(u128::from(self.ranks.max(1))) } else { bytes }
    }
}

/// A moment of a training step.
#[derive(Debug, Clone)]
pub struct Moment {
    /// `forward` or `backward`.
    pub pass: &'static str,
    /// The layer that runs, or `loss`.
    pub path: Arc<str>,
    /// What one rank has to hold then, by kind.
    pub items: Vec<Item>,
}

impl Moment {
    /// `None` beyond 128 bits.
    #[must_use]
    pub fn total(&self) -> Option<u128> {
        total(&self.items)
    }
}

/// `None` beyond 128 bits.
fn total(items: &[Item]) -> Option<u128> {
    items.iter().try_fold(0u128, |sum, item| sum.checked_add(item.bytes))
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
    /// Of a training step: the gradients of all that is trained, as one rank has them.
    pub gradient_bytes: u128,
    /// Of a training step: its two moments, the forward pass's first.
    pub moments: Vec<Moment>,
    /// Of a training step: where most is alive in it, weights and states aside.
    pub step: Option<TrainingStep>,
    /// How inference is split, on several devices.
    pub split: Option<Split>,
}

impl Plan {
    /// `None` beyond 128 bits.
    #[must_use]
    pub fn total(&self) -> Option<u128> {
        total(&self.items)
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

/// The memory of a training step on one rank, at the worse of its two moments. `looks`: whether what is alive then is listed.
///
/// # Errors
/// `lora` targets nothing, or a size is beyond 128 bits.
pub fn training(model: &Evaluation, options: &Training, looks: bool) -> Result<Plan, Box<Diagnostic>> {
    let beyond = || Box::new(Diagnostic::new(Code::Overflow, "a size of the training plan is beyond 128 bits"));
    let trained = Trained::of(model, options)?;
    let standing = trained.standing(model, options).ok_or_else(beyond)?;
    let mut step = step(&model.flat, &model.bound, &model.report, &step_options(model, options, looks), &trained.gradients);
    for alive in step.alive.iter_mut().filter(|alive| alive.kind == Kind::Gradient) {
        alive.bytes = options.on_a_rank(alive.bytes, 2);
    }
    let moment = |pass: &'static str, path: &Arc<str>, parts: Parts| {
        let mut items = standing.clone();
        items.push(Item {
            kind: "gradients",
            bytes: options.on_a_rank(parts.gradients, 2),
            note: "of weights, those that are there then",
        });
        items.push(Item { kind: "saved activations", bytes: parts.saved, note: "for the backward pass, the loss's included" });
        items.push(Item { kind: "passing", bytes: parts.passing, note: "values or their gradients, and what runs" });
        Moment { pass, path: path.clone(), items }
    };
    let forward = &step.forward;
    // What is saved is a part of what is alive.
    let passing = forward.bytes.saturating_sub(forward.saved);
    let mut moments = vec![moment("forward", &forward.path, Parts { saved: forward.saved, gradients: 0, passing })];
    moments.extend(step.backward.map(|most| moment("backward", &step.backward_path, most.parts)));
    for moment in &moments {
        moment.total().ok_or_else(beyond)?;
    }
    // There is the forward pass's at least.
    let worst = moments.iter().max_by_key(|moment| moment.total());
    let items = worst.map(|moment| moment.items.clone()).unwrap_or_default();
    let recomputed_flops = recomputed(model, options.checkpointing).ok_or_else(beyond)?;
    let gradient_bytes = options.on_a_rank(trained.gradient_bytes, 2);
    Ok(Plan { items, trained_params: trained.params, recomputed_flops, gradient_bytes, moments, step: Some(step), split: None })
}

/// A plan's total as formulas.
#[derive(Debug)]
pub struct PlanProgram {
    memory: MemoryProgram,
    /// Weights and states, which no workload changes.
    constant: u128,
}

impl PlanProgram {
    /// The formulas of what a plan adds up, for a model at whatever workload. `None`: it has none, or is split over several devices.
    #[must_use]
    pub fn of(model: &Evaluation, devices: u64, options: &Training) -> Option<Self> {
        if model.bound.workload.phase != Phase::Train {
            let constant = model.report.totals.get(Quantity::WeightBytes);
            let memory = MemoryProgram::new(model.lowered(), &model.asked, None).ok().filter(|_| devices == 1)?;
            return Some(PlanProgram { memory, constant });
        }
        let told_apart = targeted(model, options).transpose().ok()?;
        let model = told_apart.as_ref().unwrap_or(model);
        let trained = Trained::of(model, options).ok()?;
        let constant = total(&trained.standing(model, options)?)?;
        let step = Step { options: step_options(model, options, false), gradients: trained.gradients };
        let memory = MemoryProgram::new(model.lowered(), &model.asked, Some(step)).ok()?;
        Some(PlanProgram { memory, constant })
    }

    /// A point: the values of the variables that it takes, by name.
    pub fn point(&self, value: impl Fn(&str) -> Option<u64>) -> Option<Vec<u64>> {
        self.memory.point(|name| value(name).or_else(|| self.memory.constant(name)))
    }

    /// The total at a point. `None`: ask the interpreter, which also says what is wrong.
    pub fn total(&self, point: &[u64], room: &mut MemoryRoom) -> Option<u128> {
        let memory = self.memory.at(point, room)?;
        self.constant.checked_add(memory.peak_bytes)
    }

    /// How many parts of all workloads were met.
    #[must_use]
    pub fn regions(&self) -> usize {
        self.memory.regions()
    }
}

fn step_options(model: &Evaluation, options: &Training, looks: bool) -> StepOptions {
    StepOptions {
        loss: loss_of(model, options),
        drops_gradients: options.gradients == Gradients::Dropped,
        checkpointing: options.checkpointing,
        ranks: if options.zero >= 2 { u128::from(options.ranks.max(1)) } else { 1 },
        looks,
    }
}

/// What a training step starts its backward pass from.
fn loss_of(model: &Evaluation, options: &Training) -> Loss {
    let usual = || if gives_logits_of_tokens(model) { Loss::CrossEntropy } else { Loss::Sum };
    options.loss.unwrap_or_else(usual)
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

/// The FLOPs of computing blocks again.
fn recomputed(model: &Evaluation, checkpointing: Checkpointing) -> Option<u128> {
    let mut again = 0u128;
    if checkpointing == Checkpointing::None {
        return Some(again);
    }
    for (row, _) in model.report.rows().zip(&model.flow.rows).filter(|(_, flow)| flow.in_block) {
        let matmul = row.of(Quantity::MatmulFlops);
        if checkpointing == Checkpointing::Full || matmul == 0 {
            again = again.checked_add(matmul)?.checked_add(row.of(Quantity::VectorFlops))?;
        }
    }
    Some(again)
}

/// What has gradients, and what they bring along.
#[derive(Default)]
struct Trained {
    params: u128,
    weight_bytes: u128,
    gradient_bytes: u128,
    master_bytes: u128,
    state_bytes: u128,
    /// By row and tensor.
    gradients: GradientBytes,
}

impl Trained {
    /// What is there at every moment on one rank: weights, masters, states. `None` beyond 128 bits.
    fn standing(&self, model: &Evaluation, options: &Training) -> Option<Vec<Item>> {
        let adapters = if options.lora.is_some() { self.weight_bytes } else { 0 };
        let weights = options.on_a_rank(model.report.totals.get(Quantity::WeightBytes).checked_add(adapters)?, 3);
        let mut items =
            vec![Item { kind: "weights", bytes: weights, note: "in the weight dtype, tied ones once, adapters included" }];
        if options.master_weights {
            let bytes = options.on_a_rank(self.master_bytes, 1);
            items.push(Item { kind: "master weights", bytes, note: "float32 copies of what is trained" });
        }
        items.push(Item { kind: "optimizer", bytes: options.on_a_rank(self.state_bytes, 1), note: "its states" });
        Some(items)
    }

    fn of(model: &Evaluation, options: &Training) -> Result<Trained, Box<Diagnostic>> {
        let beyond = || Box::new(Diagnostic::new(Code::Overflow, "a size of the training plan is beyond 128 bits"));
        let mut trained = Trained::default();
        let targets = options.lora.as_ref().map_or(&[][..], |lora| &lora.targets);
        let mut matched = vec![false; targets.len()];
        let bits = model.flat.bits(targets.iter().map(String::as_str))?;
        let widths = Widths::of(model, options);
        for (at, info) in (0u32..).zip(&model.flat.rows) {
            let tied = model.report.tied(RowId(at));
            for tensor in model.report.tensors(RowId(at)) {
                let gradient = match &options.lora {
                    None if !tensor.is_trained => Some(0),
                    None if tied.contains(&tensor.name) => {
                        elements(&tensor.shape).and_then(|n| widths.gradient_bytes(n, tensor.bytes))
                    }
                    None => trained.add(&tensor.shape, tensor.bytes, info.repeats, &widths, options),
                    Some(lora) => {
                        let shapes = adapters(lora, info, tensor, &bits, &mut matched);
                        shapes.into_iter().flatten().try_fold(0u128, |sum, shape| {
                            let bytes = bytes_of(elements(&shape)?, widths.activation)?;
                            sum.checked_add(trained.add(&shape, bytes, info.repeats, &widths, options)?)
                        })
                    }
                };
                trained.gradients.push(gradient.ok_or_else(beyond)?);
            }
            trained.gradients.ends_row();
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

    /// Adds a tensor that is trained; the bytes of one gradient of it come back.
    fn add(&mut self, shape: &[u128], bytes: u128, repeats: u128, widths: &Widths, options: &Training) -> Option<u128> {
        let elements = elements(shape)?;
        let float32 = elements.checked_mul(4)?;
        let gradient = widths.gradient_bytes(elements, bytes)?;
        let state = if bytes == float32 { Exact::integer(4) } else { widths.state };
        let all = |one: u128| one.checked_mul(repeats);
        self.params = self.params.checked_add(all(elements)?)?;
        self.weight_bytes = self.weight_bytes.checked_add(all(bytes)?)?;
        self.gradient_bytes = self.gradient_bytes.checked_add(all(gradient)?)?;
        self.master_bytes = self.master_bytes.checked_add(all(float32)?)?;
        self.state_bytes = self.state_bytes.checked_add(all(options.optimizer.state_bytes(shape, state)?)?)?;
        Some(gradient)
    }
}

/// How many bytes one number takes.
struct Widths {
    activation: Exact,
    /// Of an optimizer's states, of a tensor that isn't float32.
    state: Exact,
}

impl Widths {
    fn of(model: &Evaluation, options: &Training) -> Self {
        let workload = &model.bound.workload;
        let activation = workload.dtype.bytes();
        let state = if options.master_weights { Exact::integer(4) } else { activation.max(workload.weight_dtype.bytes()) };
        Widths { activation, state }
    }

    /// The gradient of a weight is in its dtype, of one of fewer than 16 bits in that of the activations.
    fn gradient_bytes(&self, elements: u128, bytes: u128) -> Option<u128> {
        if bytes < elements.checked_mul(2)? { bytes_of(elements, self.activation) } else { Some(bytes) }
    }
}

/// `None` beyond 128 bits.
fn elements(shape: &[u128]) -> Option<u128> {
    shape.iter().try_fold(1u128, |product, dim| product.checked_mul(*dim))
}

fn bytes_of(elements: u128, element: Exact) -> Option<u128> {
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
pub fn plan(model: &Evaluation, devices: u64, options: &Training, looks: bool) -> Result<Plan, Box<Diagnostic>> {
    let plan = match model.bound.workload.phase {
        Phase::Train => match targeted(model, options) {
            Some(model) => training(&model?, options, looks)?,
            None => training(model, options, looks)?,
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
