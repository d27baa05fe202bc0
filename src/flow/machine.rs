//! Runs the data flow of a model at a workload: which shape every value has, what is alive when, what training keeps.
//!
//! A flat model, bound and costed, comes in; a [`Flow`] goes out. The rules are those of eager PyTorch (docs/memory.md). A repeat's
//! instances are run until one leaves behind what the one before did; the rest are added up, and the last is run again.

use std::sync::Arc;

use super::block::{Checkpointing, Running};
use super::bytes::{Bytes, Numbers, Slot, Tally};
use super::heap::Heap;
use super::lifetime::{self, BodyPlan, Export, Inside, NodePlan};
use super::peak::{Alive, path_of};
use super::result::{Flow, RowFlow};
use super::slots::NONE;
use super::tape::Tape;
use super::values::{NO_GRADIENT, Value, Values, pick};
use crate::cost::CostReport;
use crate::cost::bind::BoundModel;
use crate::cost::ports::Ports;
use crate::flat::{Composite, FlatModel, Node, RowId, Step, ValueRef, ValueTarget};
use crate::language::enclosing;
use crate::quantity::workload::Phase;
use crate::syntax::diag::Diagnostics;

/// Runs a model. What doesn't fit together goes to `diagnostics`.
pub fn run(flat: &FlatModel, bound: &BoundModel, report: &CostReport, diagnostics: &mut Diagnostics) -> Flow {
    let plan = lifetime::plan(flat, diagnostics);
    let mut machine = Machine::new(&Numbers, flat, bound, report, diagnostics);
    machine.model(&plan);
    machine.finish()
}

/// A composite that runs.
pub(super) struct Frame {
    pub(super) input: Value,
    pub(super) values: Vec<Values>,
    /// Outputs that it holds until it returns though a layer inside made them.
    pub(super) held: Vec<u32>,
    /// Of an instance of a repeated group: what it was given, which goes once no layer inside reads it any more.
    pub(super) given: Given,
}

/// What holds the input of a group from outside.
#[derive(Default)]
pub(super) struct Given {
    /// What the instance before gave.
    before: Values,
    /// Nodes of the body around that nothing else reads.
    nodes: Vec<u32>,
}

pub(super) struct Machine<'f, 'd, T: Tally> {
    pub(super) tally: &'f T,
    pub(super) flat: &'f FlatModel,
    pub(super) bound: &'f BoundModel,
    pub(super) report: &'f CostReport,
    pub(super) diagnostics: &'d mut Diagnostics,
    pub(super) flow: Flow,
    pub(super) heap: Heap<T::Bytes>,
    pub(super) frames: Vec<Frame>,
    pub(super) indices: Vec<u64>,
    pub(super) step: u64,
    pub(super) capture: Option<u64>,
    pub(super) captured: Vec<Alive>,
    /// The indices of the repeats around the layer at which most is alive so far.
    pub(super) peak_indices: Vec<u64>,
    /// Not zero: what is called no times.
    pub(super) dry: u32,
    pub(super) training: bool,
    /// What was booked to rows.
    pub(super) booked: Vec<(RowId, u128, u128)>,
    pub(super) full: bool,
    /// How many repeats of composites are around.
    pub(super) blocks: u32,
    /// What ran, where that is asked for.
    pub(super) tape: Option<Tape<'f, T::Bytes>>,
    /// The block that runs, in training.
    pub(super) block: Option<Running<T::Bytes>>,
    /// What the step keeps of blocks.
    pub(super) checkpointing: Checkpointing,
    /// Whether this walk leaves out what blocks save that are computed again: the one that keeps all is for when they are.
    pub(super) is_sparse: bool,
    /// What is saved for the backward pass.
    pub(super) saved: T::Bytes,
    /// Where all moments are wanted: what is alive at each, and what of it persists.
    pub(super) front: Vec<(T::Bytes, T::Bytes)>,
}

impl<'f, 'd, T: Tally> Machine<'f, 'd, T> {
    pub(super) fn new(
        tally: &'f T,
        flat: &'f FlatModel,
        bound: &'f BoundModel,
        report: &'f CostReport,
        diagnostics: &'d mut Diagnostics,
    ) -> Self {
        let mut machine = Machine {
            tally,
            flat,
            bound,
            report,
            diagnostics,
            flow: Flow { rows: vec![RowFlow::default(); flat.rows.len()], ..Flow::default() },
            heap: Heap::new(flat.rows.len()),
            frames: Vec::new(),
            indices: Vec::new(),
            step: 0,
            capture: None,
            captured: Vec::new(),
            peak_indices: Vec::new(),
            dry: 0,
            training: bound.workload.phase == Phase::Train,
            booked: Vec::new(),
            full: false,
            blocks: 0,
            tape: None,
            block: None,
            checkpointing: Checkpointing::None,
            is_sparse: false,
            saved: T::Bytes::default(),
            front: Vec::new(),
        };
        machine.earlier_steps();
        machine
    }

    /// Caches that exist before the step: one for each call of each instance.
    pub(super) fn earlier_steps(&mut self) {
        for (id, info) in (0u32..).map(RowId).zip(&self.flat.rows) {
            let Some(ports) = self.ports(id) else { continue };
            let calls = self.bound.rows.get(id.0 as usize).map_or(0, |row| row.calls);
            if ports.past > 0 && calls > 0 {
                let past = self.past_bytes(id);
                self.heap.earlier(id, &past, info.repeats.saturating_mul(calls));
            }
        }
    }

    pub(super) fn ports(&self, row: RowId) -> Option<&'f Ports> {
        self.report.ports(row)
    }

    /// Bytes of storage from earlier steps that each call of a row frees.
    pub(super) fn past_bytes(&self, row: RowId) -> T::Bytes {
        self.ports(row).map_or_else(T::Bytes::default, |ports| self.tally.bytes(row, Slot::Past, ports.past))
    }

    pub(super) fn model(&mut self, plan: &BodyPlan) {
        let input = self.model_input(0);
        self.frames.push(Frame { input, values: Vec::new(), held: Vec::new(), given: Given::default() });
        self.body(&self.flat.body, plan);
        let last = self.frames.last().and_then(|frame| frame.values.last()).and_then(|values| values.own.first());
        let gradient = last.map_or(NO_GRADIENT, |value| value.gradient);
        self.flow.output = last.and_then(|value| value.shape.as_deref()).map(<[u128]>::to_vec);
        if let Some(tape) = &mut self.tape {
            tape.output = gradient;
        }
    }

    pub(super) fn finish(mut self) -> Flow {
        if let Some(peak) = &mut self.flow.peak {
            peak.path = path_of(self.flat, peak.row, &self.peak_indices);
        }
        self.flow.cache_storage = self.heap.cache.value();
        self.flow.saved_bytes = self.saved.value();
        self.flow
    }

    pub(super) fn model_input(&self, at: u32) -> Value {
        let Some(input) = self.bound.inputs.get(at as usize) else { return Value::unknown() };
        Value {
            storage: NONE,
            shape: input.shape.as_deref().map(Arc::from),
            element: input.element,
            exists: true,
            from: None,
            gradient: NO_GRADIENT,
            implicit: self.flat.inputs.is_none(),
        }
    }

    pub(super) fn release_values(&mut self, values: &Values) {
        for value in values.own.iter().chain(values.inner.values()) {
            self.heap.release(value.storage);
        }
    }

    // Values.

    /// What a reference means here. No share in its storage comes with it.
    pub(super) fn value(&self, reference: &ValueRef) -> Value {
        let frame = enclosing(&self.frames, reference.up);
        let Some(frame) = frame else { return Value::unknown() };
        match &reference.target {
            ValueTarget::Input => frame.input.clone(),
            ValueTarget::ModelInput(at) => self.model_input(*at),
            ValueTarget::Node(at) => {
                frame.values.get(*at as usize).and_then(|values| pick(values, &reference.rest)).unwrap_or_else(Value::unknown)
            }
        }
    }

    pub(super) fn body(&mut self, nodes: &'f [Node<RowId>], plan: &BodyPlan) {
        for (at, (node, node_plan)) in nodes.iter().zip(&plan.nodes).enumerate() {
            if let Some(frame) = self.frames.last_mut() {
                frame.values.push(Values::default());
            }
            let first_only = plan.first_only.get(at).map_or(&[][..], Vec::as_slice);
            let values = self.node(node, node_plan, first_only);
            if let Some(slot) = self.frames.last_mut().and_then(|frame| frame.values.get_mut(at)) {
                let progress = std::mem::replace(slot, values);
                self.release_values(&progress);
            }
            for end in plan.ends.get(at).into_iter().flatten() {
                self.end(*end);
            }
            if plan.input_end.is_some_and(|end| end as usize == at) {
                self.input_ends();
            }
        }
    }

    /// No layer of the group that runs reads any more what it was given.
    fn input_ends(&mut self) {
        let Some(frame) = self.frames.last_mut() else { return };
        let (input, given) = (std::mem::replace(&mut frame.input.storage, NONE), std::mem::take(&mut frame.given));
        self.heap.release(input);
        self.release_values(&given.before);
        let around = self.frames.len().checked_sub(2);
        for node in given.nodes {
            let slot = around.and_then(|at| self.frames.get_mut(at)?.values.get_mut(node as usize)).map(std::mem::take);
            slot.iter().for_each(|values| self.release_values(values));
        }
    }

    /// Ends the life of a value of the composite that runs.
    pub(super) fn end(&mut self, node: u32) {
        let slot = self.frames.last_mut().and_then(|frame| frame.values.get_mut(node as usize));
        if let Some(values) = slot.map(std::mem::take) {
            self.release_values(&values);
        }
    }

    pub(super) fn node(&mut self, node: &'f Node<RowId>, plan: &NodePlan, first_only: &[u32]) -> Values {
        match (node, &plan.inside) {
            (Node::Layer(id), _) => {
                let Some(info) = self.flat.row(*id) else { return Values::default() };
                let inputs = info.row.inputs.iter().map(|input| self.value(input)).collect();
                self.layer(*id, inputs)
            }
            (Node::Composite(composite), Inside::Composite(body)) => {
                let input = composite.inputs.first().map_or_else(Value::unknown, |input| self.value(input));
                self.composite(composite, body, plan, input, first_only, &mut Values::default())
            }
            (Node::Repeat(repeat), Inside::Repeat(variants)) => self.repeat(repeat, variants, &plan.exports, first_only),
            _ => Values::default(),
        }
    }

    /// Runs a composite, as often as it is called, each call on what the one before gave: what only the first reads ends then, as does what the
    /// instance before gave.
    pub(super) fn composite(
        &mut self,
        composite: &'f Composite<RowId>,
        body: &BodyPlan,
        plan: &NodePlan,
        input: Value,
        first_only: &[u32],
        before: &mut Values,
    ) -> Values {
        let exports = &plan.exports;
        let calls = composite.calls.as_ref().map_or(Some(1), |calls| self.bound.count(calls)).unwrap_or(1);
        if calls == 1 {
            let mut given = Given::default();
            if body.input_end.is_some() {
                given = Given { before: std::mem::take(before), nodes: first_only.to_vec() };
            }
            return self.call(composite, body, exports, input, given);
        }
        if calls == 0 {
            self.dry += 1;
            let values = self.call(composite, body, exports, input, Given::default());
            self.dry -= 1;
            return values;
        }
        let first = self.call(composite, body, exports, input, Given::default());
        first_only.iter().for_each(|node| self.end(*node));
        let earlier = std::mem::take(before);
        self.release_values(&earlier);
        self.calls(calls, first, |machine, before| {
            let next = before.own.first().cloned().unwrap_or_else(Value::unknown);
            machine.call(composite, body, exports, next, Given::default())
        })
    }

    /// What follows the first of several calls: each is made with what the one before gave. The second leaves behind what all that follow do, so
    /// these are added up, and the last is made again.
    pub(super) fn calls(&mut self, calls: u128, first: Values, call: impl Fn(&mut Self, &Values) -> Values) -> Values {
        let mut values = first;
        let mut done = 1;
        while done < calls && !self.full {
            let mark = self.mark();
            let made = call(self, &values);
            let earlier = std::mem::replace(&mut values, made);
            self.release_values(&earlier);
            done += 1;
            if calls - done > 1 {
                self.again(&mark, calls - done - 1);
                done = calls - 1;
            }
        }
        values
    }

    pub(super) fn call(
        &mut self,
        composite: &'f Composite<RowId>,
        plan: &BodyPlan,
        exports: &[Export],
        input: Value,
        given: Given,
    ) -> Values {
        self.heap.retain(input.storage);
        self.frames.push(Frame { input, values: Vec::with_capacity(composite.body.len()), held: Vec::new(), given });
        self.body(&composite.body, plan);
        let mut values = Values::default();
        match &composite.output {
            Some(output) => values.own.push(self.value(output)),
            None => {
                let last = self.frames.last().and_then(|frame| frame.values.last());
                match last {
                    Some(last) => values.own.clone_from(&last.own),
                    None => values.own.extend(self.frames.last().map(|frame| frame.input.clone())),
                }
            }
        }
        for export in exports {
            values.inner.extend(self.exported(export).map(|value| (export.clone(), value)));
        }
        for value in values.own.iter().chain(values.inner.values()) {
            self.heap.retain(value.storage);
        }
        if let Some(frame) = self.frames.pop() {
            for values in frame.values {
                self.release_values(&values);
            }
            for held in frame.held {
                self.heap.release(held);
            }
            self.heap.release(frame.input.storage);
            // Where no node ran that reads the input.
            self.release_values(&frame.given.before);
        }
        values
    }

    /// A value inside the composite that runs.
    pub(super) fn exported(&self, export: &Export) -> Option<Value> {
        let (Step::Child(at), rest) = export.split_first()? else { return None };
        pick(self.frames.last()?.values.get(*at as usize)?, rest)
    }
}
