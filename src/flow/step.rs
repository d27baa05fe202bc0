//! A training step: the forward pass with what it saves, the loss, the backward pass.

use std::sync::Arc;

use super::backward::{Backward, How, Loss, LossBytes, Model, Most};
use super::block::Checkpointing;
use super::ledger::Kind;
use super::lifetime;
use super::machine::Machine;
use super::peak::Peak;
use super::result::Flow;
use super::tape::{Item, Tape};
use super::trained::GradientBytes;
use crate::cost::CostReport;
use crate::cost::bind::BoundModel;
use crate::flat::{FlatModel, RowId};
use crate::syntax::diag::Diagnostics;

/// How a training step is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepOptions {
    /// What the backward pass starts from.
    pub loss: Loss,
    /// Whether a parameter's gradient is let go once it is whole, as where the optimizer's step is taken in the backward pass.
    pub drops_gradients: bool,
    /// What is kept of blocks, the rest of which is computed again.
    pub checkpointing: Checkpointing,
    /// Whether what is alive at the peak is listed.
    pub looks: bool,
}

/// What a training step has alive, weights and what it is called with left out.
#[derive(Debug, Clone)]
pub struct TrainingStep {
    /// The most in the forward pass and in the loss.
    pub forward: Forward,
    /// What is left for the backward pass, the loss included.
    pub after_forward: u128,
    /// The most in the backward pass; `None`: no gradient flows.
    pub backward: Option<Most>,
    /// Where that is: `model.layers.31.mlp.down_proj`, or `loss`.
    pub backward_path: Arc<str>,
    /// What is alive then, of what runs aside, largest first.
    pub alive: Vec<AliveThen>,
}

/// Where most is alive before the backward pass.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Bytes that are alive.
    pub bytes: u128,
    /// Of them, what is saved for the backward pass.
    pub saved: u128,
    /// Where: a layer, or `loss`.
    pub path: Arc<str>,
}

/// What is alive at the peak of a backward pass, of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AliveThen {
    /// What it is.
    pub kind: Kind,
    /// Of which layer; `None`: of the loss.
    pub row: Option<RowId>,
    /// Bytes of all its instances.
    pub bytes: u128,
}

/// Runs a training step of a model.
#[must_use]
pub fn step(
    flat: &FlatModel,
    bound: &BoundModel,
    report: &CostReport,
    options: &StepOptions,
    gradients: &GradientBytes,
) -> TrainingStep {
    let mut ignored = Diagnostics::default();
    let plan = lifetime::plan(flat, &mut ignored);
    let mut walk = |taped: bool, checkpointing: Checkpointing, capture: Option<u64>| {
        let mut machine = Machine::new(flat, bound, report, &mut ignored);
        machine.tape = taped.then(|| Tape::for_gradients(gradients));
        machine.capture = capture;
        machine.checkpointing = checkpointing;
        machine.selects = options.checkpointing == Checkpointing::Selective;
        machine.model(&plan);
        let tape = machine.tape.take().unwrap_or_else(|| Tape::for_gradients(gradients));
        let path = std::mem::take(&mut machine.captured_path);
        (machine.finish(), tape, path)
    };
    let (flow, tape, _) = walk(true, Checkpointing::None, None);
    let checkpointing = options.checkpointing;
    let flow = if checkpointing == Checkpointing::None { flow } else { walk(false, checkpointing, None).0 };
    let model = Model { flat, bound, report, gradients };
    let how = How { drops: options.drops_gradients, checkpointing };
    let output = flow.output.as_deref();
    let mut backward = Backward::new(model, &tape, &flow.rows, how);
    let kept = options.loss.kept(output.unwrap_or_default(), bound.workload.dtype.bytes());
    let saved = backward.ledger.parts.saved.saturating_add(kept.saved).saturating_add(kept.targets);
    let after_forward = saved.saturating_add(kept.scalars / 2);
    let most = backward.run(options.loss, output);
    let (mut alive, mut backward_path): (Vec<AliveThen>, Arc<str>) = (Vec::new(), "loss".into());
    if let Some(most) = most.as_ref().filter(|_| options.looks) {
        if let Some(step) = step_of(&tape, most) {
            backward_path = walk(false, Checkpointing::None, Some(step)).2.into();
        }
        let mut backward = Backward::looking(model, &tape, &flow.rows, how, most);
        backward.run(options.loss, output);
        let found = backward.found.take().unwrap_or_default();
        alive = found.rows().map(|(kind, row, bytes)| AliveThen { kind, row, bytes }).collect();
        alive.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.row.cmp(&b.row)).then(a.kind.cmp(&b.kind)));
    }
    TrainingStep { forward: forward(&flow, saved, kept), after_forward, backward: most, backward_path, alive }
}

/// The most before the backward pass: in the forward pass, or at the loss with what the model gave and, of cross-entropy, its float32 copy beside the
/// log-softmax.
fn forward(flow: &Flow, saved: u128, loss: LossBytes) -> Forward {
    let copy = if loss.output < loss.saved { loss.saved } else { 0 };
    let at_loss = saved.saturating_add(loss.output).saturating_add(copy).saturating_add(loss.scalars / 2);
    match flow.peak.as_ref().filter(|peak: &&Peak| peak.bytes > at_loss) {
        Some(peak) => Forward { bytes: peak.bytes, saved: saved.min(peak.bytes), path: (*peak.path).into() },
        None => Forward { bytes: at_loss, saved, path: "loss".into() },
    }
}

/// The step of the forward pass that ran the layer at which most is alive; `None`: the loss.
fn step_of(tape: &Tape<'_>, most: &Most) -> Option<u64> {
    match tape.items.get(most.item)? {
        Item::Ran(ran) => Some(ran.step),
        Item::Block(block) => Some(block.step),
        Item::Again { .. } => None,
    }
}
