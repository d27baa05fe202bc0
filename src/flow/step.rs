//! A training step: the forward pass with what it saves, the loss, the backward pass.

use std::sync::Arc;

use super::backward::{Backward, How, Loss, LossBytes, Model, Most};
use super::block::Checkpointing;
use super::bytes::{Bytes, Numbers, Tally};
use super::ledger::{Kind, Parts};
use super::lifetime::{self, BodyPlan};
use super::machine::Machine;
use super::peak::{Peak, path_of};
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
    /// Over how many ranks gradients of weights are divided; at least 1.
    pub ranks: u128,
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
    let mut said = Diagnostics::default();
    let plan = lifetime::plan(flat, &mut said);
    let run = Run { tally: &Numbers, flat, bound, report, gradients, options, plan: &plan };
    let (walked, tape) = run.walked();
    let model = run.model();
    let output = walked.flow.output.as_deref();
    let kept = options.loss.kept(&Numbers, output.unwrap_or_default(), tape.size(tape.output as usize));
    let mut backward = Backward::new(&model, &tape, walked.saved, run.how());
    let saved = backward.ledger.parts.saved.plus(&kept.saved).plus(&kept.targets);
    let after_forward = saved.saturating_add(kept.scalars / 2);
    let most = backward.run(options.loss, &kept);
    let (mut alive, mut backward_path): (Vec<AliveThen>, Arc<str>) = (Vec::new(), "loss".into());
    if let Some(most) = most.as_ref().filter(|_| options.looks) {
        if let Some((row, indices)) = layer_of(&tape, most) {
            backward_path = path_of(flat, row, indices).into();
        }
        let booked = (walked.saved, walked.flow.rows.as_slice());
        let mut backward = Backward::looking(&model, &tape, booked, run.how(), most);
        backward.run(options.loss, &kept);
        let found = backward.found.take().unwrap_or_default();
        alive = found.rows().map(|(kind, row, bytes)| AliveThen { kind, row, bytes }).collect();
        alive.sort_unstable_by(|a, b| b.bytes.cmp(&a.bytes).then(a.row.cmp(&b.row)).then(a.kind.cmp(&b.kind)));
    }
    TrainingStep { forward: forward(&walked.flow, saved, &kept), after_forward, backward: most, backward_path, alive }
}

/// All moments of a pass or of a training step, and what it leaves behind.
#[derive(Debug)]
pub struct Moments<B> {
    /// What is saved for the backward pass.
    pub saved: B,
    /// What stays in caches.
    pub cache: B,
    /// Of the forward pass: what is alive at each, and what of it persists.
    pub forward: Vec<(B, B)>,
    /// At the loss, and of the backward pass.
    pub backward: Vec<Parts<B>>,
    /// Whether all classes say what they save.
    pub are_saves_known: bool,
    /// Whether all shapes fit together.
    pub fits: bool,
}

/// All moments of a pass, or of a training step with these options.
#[must_use]
pub fn moments<T: Tally>(
    tally: &T,
    flat: &FlatModel,
    bound: &BoundModel,
    report: &CostReport,
    step: Option<(&StepOptions, &GradientBytes)>,
) -> Moments<T::Bytes> {
    let nothing = GradientBytes::default();
    let usual =
        StepOptions { loss: Loss::Sum, drops_gradients: false, checkpointing: Checkpointing::None, ranks: 1, looks: false };
    let (options, gradients) = step.unwrap_or((&usual, &nothing));
    let mut said = Diagnostics::default();
    let plan = lifetime::plan(flat, &mut said);
    let run = Run { tally, flat, bound, report, gradients, options, plan: &plan };
    let (walked, tape) = if step.is_some() { run.walked() } else { run.walk(false, false) };
    let mut backward = Vec::new();
    if step.is_some() {
        let model = run.model();
        let output = walked.flow.output.as_deref().unwrap_or_default();
        let kept = options.loss.kept(tally, output, tape.size(tape.output as usize));
        let mut pass = Backward::new(&model, &tape, walked.saved.clone(), run.how());
        let saved = pass.ledger.parts.saved.plus(&kept.saved).plus(&kept.targets);
        let passing = kept.beside();
        pass.run(options.loss, &kept);
        backward = std::mem::take(&mut pass.front);
        backward.insert(0, Parts { saved, gradients: T::Bytes::default(), passing });
    }
    let are_saves_known = walked.flow.unknown_saves.is_empty();
    Moments {
        saved: walked.saved,
        cache: walked.cache,
        forward: walked.front,
        backward,
        are_saves_known,
        fits: walked.fits && !said.has_errors(),
    }
}

/// What is run, and how.
struct Run<'f, T> {
    tally: &'f T,
    flat: &'f FlatModel,
    bound: &'f BoundModel,
    report: &'f CostReport,
    gradients: &'f GradientBytes,
    options: &'f StepOptions,
    plan: &'f BodyPlan,
}

/// A forward pass that was run.
struct Walked<B> {
    flow: Flow,
    /// What it saves.
    saved: B,
    /// What stays in caches.
    cache: B,
    /// Where all moments are wanted: what is alive at each, and what of it persists.
    front: Vec<(B, B)>,
    /// Whether all shapes fit together.
    fits: bool,
}

impl<'f, T: Tally> Run<'f, T> {
    fn model(&self) -> Model<'f, T> {
        Model { tally: self.tally, flat: self.flat, bound: self.bound, report: self.report, gradients: self.gradients }
    }

    fn how(&self) -> How {
        let StepOptions { drops_gradients: drops, checkpointing, ranks, .. } = *self.options;
        How { drops, checkpointing, ranks }
    }

    /// The forward pass, and the list of what the backward pass goes through.
    fn walked(&self) -> (Walked<T::Bytes>, Tape<'f, T::Bytes>) {
        let (walked, tape) = self.walk(true, false);
        match self.options.checkpointing {
            Checkpointing::None => (walked, tape),
            Checkpointing::Selective | Checkpointing::Full => (self.walk(false, true).0, tape),
        }
    }

    /// A forward pass. `is_sparse`: without what blocks save that are computed again.
    fn walk(&self, taped: bool, is_sparse: bool) -> (Walked<T::Bytes>, Tape<'f, T::Bytes>) {
        let mut ignored = Diagnostics::default();
        let mut machine = Machine::new(self.tally, self.flat, self.bound, self.report, &mut ignored);
        machine.tape = taped.then(|| Tape::for_gradients(self.gradients, self.flat.rows.len()));
        machine.checkpointing = self.options.checkpointing;
        machine.is_sparse = is_sparse;
        machine.model(self.plan);
        let tape = machine.tape.take().unwrap_or_else(|| Tape::for_gradients(self.gradients, 0));
        let front = std::mem::take(&mut machine.front);
        let (saved, cache) = (machine.saved.clone(), machine.heap.cache.clone());
        let flow = machine.finish();
        (Walked { flow, saved, cache, front, fits: !ignored.has_errors() }, tape)
    }
}

/// The most before the backward pass: in the forward pass, or at the loss with what the model gave and, of cross-entropy, its float32 copy beside the
/// log-softmax.
fn forward(flow: &Flow, saved: u128, loss: &LossBytes<u128>) -> Forward {
    let at_loss = saved.saturating_add(loss.beside());
    match flow.peak.as_ref().filter(|peak: &&Peak| peak.bytes > at_loss) {
        Some(peak) => Forward { bytes: peak.bytes, saved, path: (*peak.path).into() },
        None => Forward { bytes: at_loss, saved, path: "loss".into() },
    }
}

/// The layer at which most is alive, and the indices of the repeats around it; `None`: the loss.
fn layer_of<'t>(tape: &'t Tape<'_, u128>, most: &Most) -> Option<(RowId, &'t [u64])> {
    match tape.items.get(most.item)? {
        Item::Ran(ran) => Some((ran.row, tape.indices(ran))),
        Item::Block(block) => {
            // Its first layer may have no gradients; all of it has the same repeats around.
            let ran =
                tape.items.get(block.from..)?.iter().find_map(|item| if let Item::Ran(ran) = item { Some(ran) } else { None })?;
            Some((block.first?, tape.indices(ran)))
        }
        Item::Again { .. } | Item::Joined(_) => None,
    }
}
