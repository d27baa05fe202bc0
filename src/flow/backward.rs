//! The backward pass, gone through in memory: when gradients come to be, when saved tensors die, and where most is alive.
//!
//! A [`Tape`] comes in, what ran in the forward pass; the moment at which most bytes are alive goes out. The rules are those of PyTorch's autograd
//! (docs/memory.md): nodes run in the reverse order of the forward pass; a storage dies with the last layer that saved it, which is the one that it
//! is booked to; a value that is read twice gets the sum of two gradients, a third tensor for a moment; a parameter's gradient stays.

use std::collections::HashMap;

use super::block::Checkpointing;
use super::bytes::{Bytes, Slot, Tally};
use super::ledger::{Kind, Ledger, Parts};
use super::result::RowFlow;
use super::slots::{NONE, Slots};
use super::tape::{Block, Item, Joined, Ran, Tape};
use super::trained::GradientBytes;
use super::values::NO_GRADIENT;
use crate::catalog::{Class, Gradient};
use crate::cost::CostReport;
use crate::cost::bind::BoundModel;
use crate::cost::ports::Ports;
use crate::flat::{FlatModel, RowId};
use crate::quantity::workload::words;

/// What a backward pass starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The sum of what the model gives.
    Sum,
    /// The cross-entropy of logits over tokens, in float32, as transformers has it.
    CrossEntropy,
    /// The cross-entropy of logits in their own dtype, as transformers has it of heads that aren't causal.
    CrossEntropyAsIs,
}

words!(Loss, Sum = "sum", CrossEntropy = "cross-entropy", CrossEntropyAsIs = "cross-entropy-as-is");

/// The moment at which most bytes are alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// What is alive, what runs included.
    pub parts: Parts,
    /// Of it, what the layer that runs needs for a moment.
    pub workspace: u128,
    /// The layer whose backward pass runs; `None`: the loss.
    pub row: Option<RowId>,
    /// Whether it is being computed again.
    pub again: bool,
    /// The how many-th moment it is.
    nth: u64,
    /// Where in the tape.
    pub(super) item: usize,
}

/// What ran, and what is known of it.
pub(super) struct Model<'f, T> {
    pub(super) tally: &'f T,
    pub(super) flat: &'f FlatModel,
    pub(super) bound: &'f BoundModel,
    pub(super) report: &'f CostReport,
    /// Of each weight.
    pub(super) gradients: &'f GradientBytes,
}

/// A gradient: several values may have the same.
struct Held<B> {
    bytes: B,
    refs: u32,
    row: Option<RowId>,
}

/// The gradient of a parameter that is used several times.
struct Shared<B> {
    /// How many of those uses are still to come.
    uses: u32,
    /// What there is of it.
    bytes: B,
}

/// A tensor of a row, and an instance where each has its own.
type Key = (RowId, usize, u32);

/// How a backward pass is run.
#[derive(Clone, Copy)]
pub(super) struct How {
    /// Whether a parameter's gradient is let go once it is whole.
    pub(super) drops: bool,
    /// What is kept of blocks.
    pub(super) checkpointing: Checkpointing,
    /// Over how many ranks gradients of weights are divided.
    pub(super) ranks: u128,
}

impl How {
    /// What one rank has alive.
    fn on_a_rank(&self, parts: &Parts) -> u128 {
        parts.saved.saturating_add(parts.passing).saturating_add(parts.gradients.div_ceil(self.ranks.max(1)))
    }
}

pub(super) struct Backward<'f, 't, T: Tally> {
    model: &'t Model<'f, T>,
    tape: &'t Tape<'f, T::Bytes>,
    how: How,
    /// Rows whose tensors are used several times, by calls or by ties: by row and tensor, whose they are.
    owners: HashMap<(RowId, usize), (RowId, usize)>,
    /// Whether gradients flow to a value.
    needed: Vec<bool>,
    /// By value: its gradient so far.
    pending: Vec<u32>,
    held: Slots<Held<T::Bytes>>,
    shared: HashMap<Key, Shared<T::Bytes>>,
    pub(super) ledger: Ledger<T::Bytes>,
    most: Option<Most>,
    nth: u64,
    at: usize,
    row: Option<RowId>,
    is_again: bool,
    in_block: bool,
    lists: Lists<T::Bytes>,
    /// The moment whose entries are asked for, and they.
    wanted: Option<u64>,
    pub(super) found: Option<Ledger<T::Bytes>>,
    /// Where all moments are wanted: what is alive at each.
    pub(super) front: Vec<Parts<T::Bytes>>,
}

impl<'f, 't, T: Tally> Backward<'f, 't, T> {
    /// Before the pass: of what is saved by the forward pass, what died with it is gone.
    pub(super) fn new(model: &'t Model<'f, T>, tape: &'t Tape<'f, T::Bytes>, saved: T::Bytes, how: How) -> Self {
        Backward::before(model, tape, Ledger::of(saved), how)
    }

    /// The same with what the rows have booked, for a look at what is alive at a moment that a run before came to.
    pub(super) fn looking(
        model: &'t Model<'f, T>,
        tape: &'t Tape<'f, T::Bytes>,
        (saved, rows): (T::Bytes, &[RowFlow]),
        how: How,
        most: &Most,
    ) -> Self {
        let booked = rows.iter().map(RowFlow::saved_total);
        Backward { wanted: Some(most.nth), ..Backward::before(model, tape, Ledger::by_row(saved, booked), how) }
    }

    fn before(model: &'t Model<'f, T>, tape: &'t Tape<'f, T::Bytes>, ledger: Ledger<T::Bytes>, how: How) -> Self {
        let mut backward = Backward {
            model,
            tape,
            how,
            owners: owners(model),
            needed: vec![false; tape.num_values()],
            pending: vec![NONE; tape.num_values()],
            held: Slots::default(),
            shared: HashMap::new(),
            ledger,
            most: None,
            nth: 0,
            at: tape.items.len(),
            row: None,
            is_again: false,
            in_block: false,
            lists: Lists::default(),
            wanted: None,
            found: None,
            front: Vec::new(),
        };
        if let Some(output) = backward.needed.get_mut(tape.output as usize) {
            *output = true;
        }
        backward.reach(0, tape.items.len(), 1, false);
        backward
    }

    /// Goes through the pass from the gradient of the loss on.
    pub(super) fn run(&mut self, loss: Loss, kept: &LossBytes<T::Bytes>) -> Option<Most> {
        self.start(loss, kept);
        self.back(0, self.tape.items.len());
        self.most
    }

    // Before it starts.

    /// Finds the values that gradients flow to, and the uses of what is shared. What is saved by layers that none flow to died with the forward pass.
    fn reach(&mut self, from: usize, to: usize, times: u128, in_block: bool) {
        let mut at = to;
        while at > from {
            at -= 1;
            match self.tape.items.get(at) {
                Some(Item::Ran(ran)) => self.reach_layer(ran, times, in_block),
                Some(Item::Again { from: start, times: more }) => {
                    self.reach(*start, at, times.saturating_mul(more.saturating_add(1)), in_block);
                    at = *start;
                }
                Some(Item::Block(block)) => {
                    self.reach(block.from, at, times, self.how.checkpointing != Checkpointing::None);
                    at = block.from;
                }
                Some(Item::Joined(joined)) if self.needed.get(joined.value as usize) == Some(&true) => {
                    for part in self.tape.parts(*joined) {
                        if let Some(needed) = self.needed.get_mut(*part as usize) {
                            *needed = true;
                        }
                    }
                }
                Some(Item::Joined(_)) => {}
                None => {}
            }
        }
    }

    fn reach_layer(&mut self, ran: &Ran<T::Bytes>, times: u128, in_block: bool) {
        let class = self.class(ran);
        if !self.is_needed(ran) {
            // What a block is handed stays until that is computed again, whoever reads it.
            if !in_block {
                self.ledger.take(Kind::Saved, Some(ran.row), &ran.saved.times(times));
            }
            return;
        }
        for (at, value) in self.tape.reads(ran).iter().enumerate() {
            let flows = class.and_then(|class| class.inputs.get(at)).is_some_and(|def| def.gradient != Gradient::None);
            if let Some(needed) = self.needed.get_mut(*value as usize).filter(|_| flows) {
                *needed = true;
            }
        }
        for at in 0..self.model.report.tensors(ran.row).len() {
            if let Some(key) = self.shared_key(ran, at) {
                self.shared.entry(key).or_insert_with(|| Shared { uses: 0, bytes: T::Bytes::default() }).uses += 1;
            }
        }
    }

    /// Whether gradients flow to something that a layer gives.
    fn is_needed(&self, ran: &Ran<T::Bytes>) -> bool {
        let gives = self.class(ran).map_or(1, |class| class.outputs.len());
        (0..gives).any(|n| self.needed.get(Tape::gives(ran, n)).is_some_and(|needed| *needed))
    }

    fn class(&self, ran: &Ran<T::Bytes>) -> Option<&'f Class> {
        self.model.flat.row(ran.row)?.row.class.as_ref().map(|class| &*class.0)
    }

    /// Of a weight that is used several times: what it is known by.
    fn shared_key(&self, ran: &Ran<T::Bytes>, at: usize) -> Option<Key> {
        let (row, tensor) = *self.owners.get(&(ran.row, at))?;
        let instances = self.model.flat.row(row).map_or(1, |info| info.repeats);
        Some((row, tensor, if instances > 1 { ran.place } else { 0 }))
    }

    // Moments.

    /// A moment at which so much more is alive.
    fn moment(&mut self, more: &T::Bytes) {
        self.nth += 1;
        if self.wanted == Some(self.nth) {
            self.found = Some(self.ledger.snapshot());
        }
        if self.model.tally.wants_all() {
            let mut parts = self.ledger.parts.clone();
            parts.passing = parts.passing.plus(more);
            self.front.push(parts);
        }
        let mut parts = self.ledger.parts.values();
        parts.passing = parts.passing.saturating_add(more.value());
        let how = self.how;
        if self.most.as_ref().is_none_or(|most| how.on_a_rank(&parts) > how.on_a_rank(&most.parts)) {
            let (row, item, nth, again) = (self.row, self.at, self.nth, self.is_again);
            self.most = Some(Most { parts, workspace: more.value(), row, again, nth, item });
        }
    }

    // Gradients of values.

    fn make(&mut self, bytes: T::Bytes) -> u32 {
        self.ledger.add(Kind::Passing, self.row, &bytes);
        self.held.put(Held { bytes, refs: 1, row: self.row })
    }

    fn retain(&mut self, gradient: u32) {
        if let Some(held) = self.held.get_mut(gradient) {
            held.refs += 1;
        }
    }

    fn release(&mut self, gradient: u32) {
        let Some(held) = self.held.get_mut(gradient) else { return };
        held.refs = held.refs.saturating_sub(1);
        if held.refs == 0 {
            let (row, bytes) = (held.row, std::mem::take(&mut held.bytes));
            self.ledger.take(Kind::Passing, row, &bytes);
            self.held.free(gradient);
        }
    }

    /// Passes a gradient on to a value: where that has one already, the sum is a third tensor for a moment.
    fn pass(&mut self, value: usize, gradient: u32) {
        let Some(slot) = self.pending.get_mut(value) else { return self.release(gradient) };
        let before = std::mem::replace(slot, gradient);
        if before != NONE {
            let sum = self.make(self.tape.size(value));
            self.moment(&T::Bytes::default());
            self.release(before);
            self.release(gradient);
            if let Some(slot) = self.pending.get_mut(value) {
                *slot = sum;
            }
        }
    }

    /// The gradient of a value that stands for others is theirs: each sees a part of it.
    fn part(&mut self, joined: Joined) {
        let gradient = self.pending.get_mut(joined.value as usize).map_or(NONE, |slot| std::mem::replace(slot, NONE));
        if gradient == NONE {
            return;
        }
        for value in self.tape.parts(joined) {
            self.retain(gradient);
            self.pass(*value as usize, gradient);
        }
        self.release(gradient);
    }

    // The pass.

    /// The loss: what it keeps, and the gradient that it passes to the model's output.
    fn start(&mut self, loss: Loss, kept: &LossBytes<T::Bytes>) {
        let nothing = T::Bytes::default();
        self.ledger.add(Kind::Passing, None, &T::Bytes::known(kept.scalars));
        let given = if loss == Loss::Sum {
            // A view of the gradient of the loss.
            self.make(nothing.clone())
        } else {
            self.ledger.add(Kind::Saved, None, &kept.saved.plus(&kept.targets));
            // The gradient of the log-softmax, from the targets; then that of its input, beside both.
            self.moment(&kept.saved);
            self.ledger.take(Kind::Saved, None, &kept.targets);
            self.moment(&kept.saved.times(2));
            self.ledger.take(Kind::Saved, None, &kept.saved);
            let given = self.make(kept.output.clone());
            if kept.casts {
                self.moment(&kept.saved);
            }
            given
        };
        self.moment(&nothing);
        self.pass(self.tape.output as usize, given);
    }

    /// Goes through a part of the list from its end.
    fn back(&mut self, from: usize, to: usize) {
        let mut at = to;
        while at > from {
            // What was asked for is there, and nothing comes after that changes it.
            if self.found.is_some() && self.ledger.is_settled() {
                return;
            }
            at -= 1;
            match self.tape.items.get(at) {
                Some(Item::Ran(ran)) => {
                    (self.at, self.row) = (at, Some(ran.row));
                    self.layer(ran);
                }
                Some(Item::Again { from: start, times }) => {
                    self.back_again(*start, at, *times);
                    at = *start;
                }
                Some(Item::Block(block)) => {
                    (self.at, self.row) = (at, block.first);
                    self.back_block(block, at);
                    at = block.from;
                }
                Some(Item::Joined(joined)) => self.part(*joined),
                None => {}
            }
        }
    }

    /// What runs several times: once, and what that changes so many times more. Where most is alive in it drifts along.
    fn back_again(&mut self, from: usize, to: usize, times: u128) {
        let (before, mark) = (self.ledger.parts.clone(), self.ledger.mark());
        let outside = self.most.take();
        let seen = self.front.len();
        self.back(from, to);
        let after = self.ledger.parts.clone();
        let drift = |parts: &Parts<T::Bytes>| parts.drifted(&before, &after, times);
        let drifted: Vec<Parts<T::Bytes>> = self.front.iter().skip(seen).map(drift).collect();
        self.front.extend(drifted);
        let how = self.how;
        let mut found = None;
        let inside = self.most.take().map(|most| {
            let drifted = most.parts.drifted(&before.values(), &after.values(), times);
            let drifts = how.on_a_rank(&drifted) > how.on_a_rank(&most.parts);
            found = self.found.as_mut().filter(|_| drifts && self.wanted == Some(most.nth));
            if drifts { Most { parts: drifted, ..most } } else { most }
        });
        self.ledger.again(mark, &before, times, found);
        self.most = match (outside, inside) {
            (Some(a), Some(b)) => Some(if how.on_a_rank(&b.parts) > how.on_a_rank(&a.parts) { b } else { a }),
            (a, b) => a.or(b),
        };
    }

    /// A block: computed again first, if it is checkpointed.
    fn back_block(&mut self, block: &Block<T::Bytes>, to: usize) {
        if self.how.checkpointing == Checkpointing::None {
            return self.back(block.from, to);
        }
        let items = self.tape.items.get(block.from..to).unwrap_or_default();
        if !items.iter().any(|item| matches!(item, Item::Ran(ran) if self.is_needed(ran))) {
            return;
        }
        // It is computed again when a layer first asks for what it saved: those behind that save nothing go backwards before.
        let (here, mut to) = (self.at, to);
        self.in_block = true;
        while let Some(Item::Ran(ran)) = to.checked_sub(1).filter(|at| *at >= block.from).and_then(|at| self.tape.items.get(at))
            && self.saves_nothing(ran)
        {
            to -= 1;
            (self.at, self.row) = (to, Some(ran.row));
            self.layer(ran);
        }
        self.in_block = false;
        (self.at, self.row) = (here, block.first);
        self.is_again = true;
        let first = self.before_it_asks(to);
        for extra in &block.extra {
            self.moment(&extra.plus(&first));
        }
        self.is_again = false;
        self.runs_again(block.from, to, block.stop, 1);
        self.in_block = true;
        self.back(block.from, to);
        self.in_block = false;
        // What it was handed goes with it, and what of the cache nobody asked for.
        for (at, item) in (block.from..).zip(items) {
            if let Item::Ran(ran) = item {
                self.ledger.take(Kind::Saved, Some(ran.row), &ran.read);
                if at >= block.stop {
                    self.ledger.take(Kind::Saved, Some(ran.row), &ran.cached);
                }
            }
        }
        self.ledger.take(Kind::Saved, block.first, &block.indices);
    }

    /// What the layer before a place in the list makes of its gradients before it asks for what it saved.
    fn before_it_asks(&self, to: usize) -> T::Bytes {
        let Some(Item::Ran(ran)) = to.checked_sub(1).and_then(|at| self.tape.items.get(at)) else { return T::Bytes::default() };
        let stated = self.model.report.ports(ran.row).and_then(|ports| ports.backward.as_deref()?.first);
        stated.map_or_else(T::Bytes::default, |bytes| self.model.tally.bytes(ran.row, Slot::BackwardFirst, bytes))
    }

    /// Whether the backward pass of a layer needs nothing that the forward pass made.
    fn saves_nothing(&self, ran: &Ran<T::Bytes>) -> bool {
        let saves = self.model.report.ports(ran.row).and_then(|ports| ports.saves.as_deref());
        self.class(ran).is_some() && saves.is_some_and(<[_]>::is_empty)
    }

    /// The layers of a block up to a place run again: what they save of what they made comes to be, what was cached of it is taken.
    fn runs_again(&mut self, from: usize, to: usize, stop: usize, times: u128) {
        let mut at = to;
        while at > from {
            at -= 1;
            match self.tape.items.get(at) {
                Some(Item::Ran(ran)) => {
                    if at < stop {
                        self.ledger.take(Kind::Saved, Some(ran.row), &ran.cached.times(times));
                    }
                    self.ledger.add(Kind::Saved, Some(ran.row), &ran.saved.less(&ran.before).times(times));
                }
                Some(Item::Again { from: start, times: more }) => {
                    self.runs_again(*start, at, stop, times.saturating_mul(more.saturating_add(1)));
                    at = *start;
                }
                Some(Item::Block(_) | Item::Joined(_)) | None => {}
            }
        }
    }

    /// What a layer saved that dies with its backward pass: in a block that was computed again only what it made then.
    fn saved_of(&self, ran: &Ran<T::Bytes>) -> T::Bytes {
        if self.in_block { ran.saved.less(&ran.before) } else { ran.saved.clone() }
    }

    /// The backward pass of a layer: the gradients of what it gave come in, those of what it took and of its weights go out.
    fn layer(&mut self, ran: &Ran<T::Bytes>) {
        let class = self.class(ran);
        let ports = self.model.report.ports(ran.row);
        let gives = class.map_or(1, |class| class.outputs.len());
        let take = |slot: &mut u32| std::mem::replace(slot, NONE);
        let Lists { mut given, mut flows, mut passed } = std::mem::take(&mut self.lists);
        given.extend((0..gives).map(|n| self.pending.get_mut(Tape::gives(ran, n)).map_or(NONE, take)));
        if given.iter().all(|gradient| *gradient == NONE) {
            // What it saved when its block was computed again dies with that.
            if self.in_block {
                self.ledger.take(Kind::Saved, Some(ran.row), &self.saved_of(ran));
            }
            self.lists = Lists { given, flows, passed }.cleared();
            return;
        }
        self.flows(ran, (class, ports), &given, &mut flows);
        // A parameter that is itself what the layer gives has its gradient as it comes, as have those of a layer that isn't called.
        let is_itself = |class: &Class| class.inputs.is_empty() && ports.is_some_and(|ports| ports.outputs().all(|out| out.view));
        let is_passed = ran.calls == 0 || class.is_none_or(is_itself);
        let own_gradients = self.model.gradients.of(ran.row);
        let weights = T::Bytes::known(own_gradients.iter().copied().fold(0u128, u128::saturating_add));
        let mut leaves = if is_passed { T::Bytes::default() } else { weights.clone() };
        for flow in &flows {
            if let Flows::Own(_, bytes) = flow {
                leaves = leaves.plus(bytes);
            }
        }
        let stated = |slot: Slot, bytes: u128| self.model.tally.bytes(ran.row, slot, bytes).times(ran.calls);
        let backward = ports.and_then(|ports| ports.backward.as_deref()).filter(|_| ran.calls > 0);
        let first = backward.and_then(|bytes| bytes.workspace).map_or(leaves, |bytes| stated(Slot::Backward, bytes));
        self.moment(&first);
        let held = backward.and_then(|bytes| bytes.held).filter(|_| !self.how.drops);
        let later = backward.and_then(|bytes| bytes.later);
        match (held, later) {
            (Some(bytes), _) => self.later(ran, &stated(Slot::BackwardHeld, bytes), &given),
            (None, Some(bytes)) if self.how.drops => self.later(ran, &stated(Slot::BackwardLater, bytes), &given),
            (None, Some(bytes)) => self.later(ran, &stated(Slot::BackwardLater, bytes).plus(&weights), &given),
            (None, None) => {}
        }
        self.ledger.take(Kind::Saved, Some(ran.row), &self.saved_of(ran));
        passed.extend(flows.drain(..).map(|flow| self.flow(flow, &given)));
        given.iter().for_each(|gradient| self.release(*gradient));
        for (at, bytes) in own_gradients.iter().enumerate().filter(|(_, bytes)| **bytes > 0) {
            self.parameter(ran, at, *bytes);
        }
        for (value, gradient) in passed.drain(..) {
            self.pass(value, gradient);
        }
        self.lists = Lists { given, flows, passed }.cleared();
    }

    /// A moment at which the gradients that were given are gone, those that something else holds aside, and what it lets go of early.
    fn later(&mut self, ran: &Ran<T::Bytes>, more: &T::Bytes, given: &[u32]) {
        let alone = given.iter().filter_map(|at| self.held.get(*at)).filter(|held| held.refs == 1);
        let mut gone: Vec<(Kind, Option<RowId>, T::Bytes)> =
            alone.map(|held| (Kind::Passing, held.row, held.bytes.clone())).collect();
        gone.push((Kind::Saved, Some(ran.row), ran.early.clone()));
        gone.iter().for_each(|(kind, row, bytes)| self.ledger.take(*kind, *row, bytes));
        self.moment(more);
        gone.iter().for_each(|(kind, row, bytes)| self.ledger.add(*kind, *row, bytes));
    }

    /// How the gradient of each input comes about.
    fn flows(
        &self,
        ran: &Ran<T::Bytes>,
        (class, ports): (Option<&Class>, Option<&Ports>),
        given: &[u32],
        flows: &mut Vec<Flows<T::Bytes>>,
    ) {
        let (Some(class), Some(ports)) = (class, ports) else { return };
        for (at, (value, def)) in self.tape.reads(ran).iter().zip(&class.inputs).enumerate() {
            let needed = *value != NO_GRADIENT && self.needed.get(*value as usize).is_some_and(|needed| *needed);
            if def.gradient == Gradient::None || !needed {
                continue;
            }
            let value = *value as usize;
            let size = self.tape.size(value);
            let same = |n: usize| self.model.tally.same(&self.tape.size(Tape::gives(ran, n)), &size);
            let come = |n: &usize| given.get(*n).is_some_and(|gradient| *gradient != NONE);
            let is_view = |n: &usize| class.viewed_input(*n) == at && ports.outputs().nth(*n).is_some_and(|port| port.view);
            let mut come_in = (0..class.outputs.len()).filter(come).peekable();
            // What only views see, of which none has a gradient.
            if come_in.peek().is_none() && def.gradient == Gradient::Own {
                continue;
            }
            let mut views = come_in.filter(is_view);
            let passed = match (views.next(), views.next(), def.gradient) {
                (Some(one), None, _) if same(one) => Some(one),
                (None, _, Gradient::Output) => Some(0).filter(|first| come(first) && same(*first)),
                _ => None,
            };
            flows.push(match passed {
                Some(output) => Flows::Passed(value, output),
                None => Flows::Own(value, size),
            });
        }
    }

    fn flow(&mut self, flow: Flows<T::Bytes>, given: &[u32]) -> (usize, u32) {
        match flow {
            Flows::Own(value, bytes) => (value, self.make(bytes)),
            Flows::Passed(value, output) => {
                let gradient = given.get(output).copied().unwrap_or(NONE);
                self.retain(gradient);
                (value, gradient)
            }
        }
    }

    /// The gradient of a weight: it stays, or is let go once it is whole.
    fn parameter(&mut self, ran: &Ran<T::Bytes>, at: usize, bytes: u128) {
        let bytes = T::Bytes::known(bytes);
        let Some(key) = self.shared_key(ran, at) else {
            if !self.how.drops {
                self.ledger.add(Kind::Gradient, Some(ran.row), &bytes);
            }
            return;
        };
        let Some(shared) = self.shared.get_mut(&key) else { return };
        let before = std::mem::replace(&mut shared.bytes, bytes.clone());
        shared.uses = shared.uses.saturating_sub(1);
        let is_whole = shared.uses == 0;
        let owner = Some(key.0);
        self.ledger.add(Kind::Gradient, owner, &bytes);
        if before.value() > 0 {
            self.moment(&bytes);
            self.ledger.take(Kind::Gradient, owner, &before);
        }
        if is_whole && self.how.drops {
            self.ledger.take(Kind::Gradient, owner, &bytes);
        }
    }
}

/// Of weights that are used several times, by calls or by ties: by row and tensor, whose they are.
fn owners<T>(model: &Model<'_, T>) -> HashMap<(RowId, usize), (RowId, usize)> {
    let mut owners = HashMap::new();
    for (row, info) in (0u32..).map(RowId).zip(&model.flat.rows) {
        let calls = model.bound.rows.get(row.0 as usize).map_or(0, |row| row.calls);
        if calls <= 1 && info.row.tied.is_empty() {
            continue;
        }
        for at in 0..model.report.tensors(row).len() {
            let owner = owner(model, row, at);
            if calls > 1 || owner != (row, at) {
                owners.insert((row, at), owner);
                owners.insert(owner, owner);
            }
        }
    }
    owners
}

/// Whose a weight is, by the ties from row to row: they have no circles.
fn owner<T>(model: &Model<'_, T>, row: RowId, at: usize) -> (RowId, usize) {
    let (mut row, mut at) = (row, at);
    while let Some(next) = target(model, row, at) {
        (row, at) = next;
    }
    (row, at)
}

/// What a weight is tied to. A bias that the target lacks isn't tied.
fn target<T>(model: &Model<'_, T>, row: RowId, at: usize) -> Option<(RowId, usize)> {
    let name = &model.report.tensors(row).get(at)?.name;
    let info = model.flat.row(row)?;
    info.row.tied.iter().filter(|tie| tie.weight.as_ref().is_none_or(|own| own == name)).find_map(|tie| {
        let wanted = tie.target_weight.as_ref().unwrap_or(name);
        let at = model.report.tensors(tie.target).iter().position(|tensor| tensor.name == *wanted)?;
        Some((tie.target, at))
    })
}

/// What a loss keeps, in bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct LossBytes<B> {
    /// The model's output, and its gradient.
    pub(super) output: B,
    /// The log-softmax in float32.
    pub(super) saved: B,
    /// Targets, and scalars beside them.
    pub(super) targets: B,
    /// The loss and its gradient, which stay to the end.
    pub(super) scalars: u128,
    /// Whether there is a copy of the output in float32.
    pub(super) casts: bool,
}

impl<B: Bytes> LossBytes<B> {
    /// What is there beside all that is saved when the loss has been reckoned: what the model gave, its copy, the loss.
    pub(super) fn beside(&self) -> B {
        let own = self.output.plus(&B::known(self.scalars / 2));
        if self.casts { own.plus(&self.saved) } else { own }
    }
}

impl Loss {
    /// What a loss over a model's output of these dimensions and of this size keeps. Cross-entropy is that of transformers (5.24.0
    /// loss/loss_utils.py ForCausalLMLoss): logits in float32, the log-softmax, targets shifted by one (int64), 12 bytes of scalars.
    pub(super) fn kept<T: Tally>(self, tally: &T, output: &[u128], size: T::Bytes) -> LossBytes<T::Bytes> {
        let elements = output.iter().fold(1u128, |product, dim| product.saturating_mul(*dim)).max(1);
        let element = size.value().div_ceil(elements);
        match self {
            // It has the dtype of what it adds up.
            Loss::Sum => LossBytes { scalars: element.saturating_mul(2), output: size, ..LossBytes::default() },
            Loss::CrossEntropy => {
                let wide = elements.saturating_mul(4);
                let rows = elements / output.last().copied().unwrap_or(1).max(1);
                let targets = tally.share(&size, rows.saturating_mul(8)).plus(&T::Bytes::known(12));
                let (saved, casts) = (tally.share(&size, wide), size.value() < wide);
                LossBytes { output: size, saved, targets, scalars: 8, casts }
            }
            // Labels are the caller's; the sum of their weights is a scalar.
            Loss::CrossEntropyAsIs => {
                let (saved, targets, scalars) = (size.clone(), T::Bytes::known(element), element.saturating_mul(2));
                LossBytes { output: size, saved, targets, scalars, casts: false }
            }
        }
    }
}

/// Room for the lists that each layer's backward pass needs.
struct Lists<B> {
    /// The gradients of what it gave.
    given: Vec<u32>,
    flows: Vec<Flows<B>>,
    /// Values, and the gradients that are passed to them.
    passed: Vec<(usize, u32)>,
}

impl<B> Default for Lists<B> {
    fn default() -> Self {
        Lists { given: Vec::new(), flows: Vec::new(), passed: Vec::new() }
    }
}

impl<B> Lists<B> {
    fn cleared(mut self) -> Self {
        self.given.clear();
        self.flows.clear();
        self.passed.clear();
        self
    }
}

/// How the gradient of an input comes about.
enum Flows<B> {
    /// As a tensor of its own: of which value, and its bytes.
    Own(usize, B),
    /// As that of an output.
    Passed(usize, usize),
}
