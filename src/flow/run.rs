//! Runs the data flow of a model at a workload: which shape every value has, what is alive when, what training keeps.
//!
//! A flat model, bound and costed, comes in; a [`Flow`] goes out. The rules are those of eager PyTorch (docs/memory.md). A repeat's
//! instances are run until one leaves behind what the one before did; the rest are added up, and the last is run again.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::lifetime::{self, BodyPlan, Export, Inside, NodePlan, by_index};
use super::shape::{elements, fill, fit, shown, shown_pattern, stretches};
use crate::catalog::{Class, ClassKind, Element, ValueDef};
use crate::cost::CostReport;
use crate::cost::bind::BoundModel;
use crate::cost::ports::{Port, Ports, Save};
use crate::flat::{Composite, FlatModel, Node, Repeat, RowId, Step, ValueRef, ValueTarget};
use crate::language::Segment;
use crate::quantity::workload::Phase;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::source::Span;

/// Shapes and memory of a model.
#[derive(Debug, Default)]
pub struct Flow {
    /// One a row of the flat model.
    pub rows: Vec<RowFlow>,
    /// `None`: the model has no layer that runs.
    pub peak: Option<Peak>,
    /// Bytes kept for the backward pass, each storage once; 0 unless training.
    pub saved_bytes: u128,
    /// Bytes that stay when the model has returned, its outputs aside: caches.
    pub cache_storage: u128,
    /// Classes that don't say what they save.
    pub unknown_saves: Vec<RowId>,
    /// The instances of the outermost repeated composites: what activation checkpointing recomputes.
    pub blocks: Vec<Block>,
    /// The shape of what the model returns.
    pub output: Option<Vec<u128>>,
}

/// Instances of a repeated composite that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    pub count: u128,
    /// What one of them is given.
    pub input_bytes: u128,
    /// What is booked to one of them for the backward pass.
    pub saved_bytes: u128,
}

/// What flows out of a layer.
#[derive(Debug, Clone, Default)]
pub struct RowFlow {
    /// Its outputs in the order of the class; `None`: not known, or there is none.
    pub outputs: Vec<Option<Arc<[u128]>>>,
    /// Bytes booked to its instances, in the order in which they run: so many bytes, so many times.
    pub saved: Vec<(u128, u128)>,
    /// Whether it stands in one of the blocks that checkpointing recomputes.
    pub in_block: bool,
    unknown_saves: bool,
    inputs: Vec<Option<Arc<[u128]>>>,
    seen: bool,
}

impl RowFlow {
    /// Bytes booked to its n-th instance, in the order in which they run.
    #[must_use]
    pub fn saved_by(&self, n: u128) -> u128 {
        let mut before = 0u128;
        let run = self.saved.iter().find(|(_, times)| {
            before = before.saturating_add(*times);
            n < before
        });
        run.map_or(0, |(bytes, _)| *bytes)
    }

    /// Bytes booked to all its instances.
    #[must_use]
    pub fn saved_total(&self) -> u128 {
        self.saved.iter().fold(0u128, |sum, (bytes, times)| sum.saturating_add(bytes.saturating_mul(*times)))
    }
}

/// The moment at which most bytes are alive.
#[derive(Debug, Clone)]
pub struct Peak {
    pub bytes: u128,
    /// Of these, caches and states that persist.
    pub cache_bytes: u128,
    pub row: RowId,
    /// `model.layers.1.mlp.product`.
    pub path: String,
    /// What the layer itself needs while it runs, its outputs included.
    pub workspace: u128,
    step: u64,
}

impl Peak {
    /// Without what persists.
    #[must_use]
    pub fn activation_bytes(&self) -> u128 {
        self.bytes.saturating_sub(self.cache_bytes)
    }
}

/// Storages that are alive, of one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alive {
    pub row: RowId,
    /// The output's name; empty for what existed before.
    pub output: Arc<str>,
    pub shape: Option<Vec<u128>>,
    pub bytes: u128,
    pub count: u128,
    pub persistent: bool,
}

/// Runs a model. What doesn't fit together goes to `diagnostics`.
pub fn run(flat: &FlatModel, bound: &BoundModel, report: &CostReport, diagnostics: &mut Diagnostics) -> Flow {
    let plan = lifetime::plan(flat, diagnostics);
    let mut machine = Machine::new(flat, bound, report, diagnostics);
    machine.model(&plan);
    machine.finish()
}

/// What is alive at a peak, largest first. The workspace of the layer that runs is not in it.
pub fn alive_at(flat: &FlatModel, bound: &BoundModel, report: &CostReport, peak: &Peak) -> Vec<Alive> {
    let mut ignored = Diagnostics::default();
    let plan = lifetime::plan(flat, &mut ignored);
    let mut machine = Machine::new(flat, bound, report, &mut ignored);
    machine.capture = Some(peak.step);
    machine.model(&plan);
    let mut alive = machine.captured;
    alive.sort_by(|a, b| b.bytes.saturating_mul(b.count).cmp(&a.bytes.saturating_mul(a.count)).then(a.row.cmp(&b.row)));
    alive
}

/// Layers are run at most so often: repeats within repeats multiply.
const MOST_STEPS: u64 = 3_000_000;

const NONE: u32 = u32::MAX;

/// A value: where it is stored and how it looks.
#[derive(Debug, Clone)]
struct Value {
    /// `NONE`: nowhere that counts (a model input, a parameter, something that never ran).
    storage: u32,
    /// `None`: not known, which was reported.
    shape: Option<Arc<[u128]>>,
    element: Element,
    exists: bool,
    /// Who made it, for a label.
    from: Option<Span>,
    /// The model's input where the file doesn't say which: token ids to what takes indices, else whatever is taken.
    implicit: bool,
}

impl Value {
    fn unknown() -> Self {
        Value { storage: NONE, shape: None, element: Element::Activation, exists: true, from: None, implicit: false }
    }
}

/// What a node gives: its own values, and those inside that are read from outside.
#[derive(Debug, Default)]
struct Values {
    own: Vec<Value>,
    inner: HashMap<Export, Value, RandomState>,
}

#[derive(Debug, Clone, Copy)]
struct Storage {
    bytes: u128,
    count: u128,
    refs: u32,
    persistent: bool,
    saved: bool,
    row: RowId,
    output: u16,
}

/// A composite that runs.
struct Frame {
    input: Value,
    values: Vec<Values>,
    /// Outputs that it holds until it returns though a layer inside made them.
    held: Vec<u32>,
}

struct Machine<'f, 'd> {
    flat: &'f FlatModel,
    bound: &'f BoundModel,
    report: &'f CostReport,
    diagnostics: &'d mut Diagnostics,
    flow: Flow,
    storages: Vec<Storage>,
    free: Vec<u32>,
    live: u128,
    /// Of it, what persists.
    cache: u128,
    /// By row, caches of earlier steps that are still there.
    past_left: Vec<u128>,
    frames: Vec<Frame>,
    /// Segments of the path here, with the number of repeats around each.
    segments: Vec<(&'f Segment, usize)>,
    indices: Vec<u64>,
    step: u64,
    capture: Option<u64>,
    captured: Vec<Alive>,
    /// Not zero: what is called no times.
    dry: u32,
    training: bool,
    /// What became permanent, in order.
    permanent: Vec<u32>,
    /// Caches of earlier steps that were freed.
    freed_past: Vec<(RowId, u128)>,
    /// What was booked to rows.
    booked: Vec<(RowId, u128, u128)>,
    full: bool,
    /// How many repeats of composites are around.
    blocks: u32,
}

impl<'f, 'd> Machine<'f, 'd> {
    fn new(flat: &'f FlatModel, bound: &'f BoundModel, report: &'f CostReport, diagnostics: &'d mut Diagnostics) -> Self {
        let mut machine = Machine {
            flat,
            bound,
            report,
            diagnostics,
            flow: Flow { rows: vec![RowFlow::default(); flat.rows.len()], ..Flow::default() },
            storages: Vec::new(),
            free: Vec::new(),
            live: 0,
            cache: 0,
            past_left: vec![0; flat.rows.len()],
            frames: Vec::new(),
            segments: Vec::new(),
            indices: Vec::new(),
            step: 0,
            capture: None,
            captured: Vec::new(),
            dry: 0,
            training: bound.workload.phase == Phase::Train,
            permanent: Vec::new(),
            freed_past: Vec::new(),
            booked: Vec::new(),
            full: false,
            blocks: 0,
        };
        machine.earlier_steps();
        machine
    }

    /// Caches that exist before the step.
    fn earlier_steps(&mut self) {
        for (at, info) in self.flat.rows.iter().enumerate() {
            let Some(ports) = self.ports(at) else { continue };
            let runs = self.bound.rows.get(at).is_some_and(|row| row.calls > 0);
            if ports.past > 0 && runs {
                let bytes = ports.past.saturating_mul(info.repeats);
                self.live = self.live.saturating_add(bytes);
                self.cache = self.cache.saturating_add(bytes);
                if let Some(left) = self.past_left.get_mut(at) {
                    *left = info.repeats;
                }
            }
        }
    }

    fn ports(&self, row: usize) -> Option<&'f Ports> {
        let signature = self.bound.rows.get(row)?.signature?;
        self.report.ports.get(signature as usize)?.as_ref()
    }

    fn model(&mut self, plan: &BodyPlan) {
        let input = self.model_input(0);
        self.frames.push(Frame { input, values: Vec::new(), held: Vec::new() });
        self.body(&self.flat.body, plan);
        let last = self.frames.last().and_then(|frame| frame.values.last()).and_then(|values| values.own.first());
        self.flow.output = last.and_then(|value| value.shape.as_deref()).map(<[u128]>::to_vec);
    }

    fn finish(mut self) -> Flow {
        self.flow.cache_storage = self.cache;
        self.flow
    }

    fn model_input(&self, at: u32) -> Value {
        let Some(input) = self.bound.inputs.get(at as usize) else { return Value::unknown() };
        Value {
            storage: NONE,
            shape: input.shape.as_deref().map(Arc::from),
            element: input.element,
            exists: true,
            from: None,
            implicit: self.flat.inputs.is_none(),
        }
    }

    // Storages.

    fn store(&mut self, bytes: u128, count: u128, row: RowId, output: u16) -> u32 {
        self.live = self.live.saturating_add(bytes.saturating_mul(count));
        let storage = Storage { bytes, count, refs: 1, persistent: false, saved: false, row, output };
        if let Some(at) = self.free.pop() {
            if let Some(cell) = self.storages.get_mut(at as usize) {
                *cell = storage;
            }
            return at;
        }
        self.storages.push(storage);
        u32::try_from(self.storages.len() - 1).unwrap_or(NONE)
    }

    fn retain(&mut self, storage: u32) {
        if let Some(cell) = self.storages.get_mut(storage as usize) {
            cell.refs += 1;
        }
    }

    fn release(&mut self, storage: u32) {
        let Some(cell) = self.storages.get_mut(storage as usize) else { return };
        cell.refs = cell.refs.saturating_sub(1);
        if cell.refs == 0 {
            self.live = self.live.saturating_sub(cell.bytes.saturating_mul(cell.count));
            // A storage that was added up stays in the log of what became permanent, but those never end.
            cell.count = 0;
            self.free.push(storage);
        }
    }

    /// A storage that stays beyond the model's end, or until the backward pass.
    fn keep(&mut self, storage: u32, cache: bool) -> u128 {
        let Some(cell) = self.storages.get_mut(storage as usize) else { return 0 };
        let new = if cache { !std::mem::replace(&mut cell.persistent, true) } else { !std::mem::replace(&mut cell.saved, true) };
        if !new {
            return 0;
        }
        let bytes = cell.bytes.saturating_mul(cell.count);
        if cache {
            self.cache = self.cache.saturating_add(bytes);
        }
        cell.refs += 1;
        self.permanent.push(storage);
        bytes
    }

    fn release_values(&mut self, values: &Values) {
        for value in values.own.iter().chain(values.inner.values()) {
            self.release(value.storage);
        }
    }

    /// The bytes of a value, by its storage or by its shape.
    fn size(&self, value: &Value) -> u128 {
        match self.storages.get(value.storage as usize) {
            Some(storage) => storage.bytes,
            None => 0,
        }
    }

    // Values.

    /// What a reference means here. No share in its storage comes with it.
    fn value(&self, reference: &ValueRef) -> Value {
        let frame = self.frames.len().checked_sub(1 + usize::from(reference.up)).and_then(|at| self.frames.get(at));
        let Some(frame) = frame else { return Value::unknown() };
        match &reference.target {
            ValueTarget::Input => frame.input.clone(),
            ValueTarget::ModelInput(at) => self.model_input(*at),
            ValueTarget::Node(at) => {
                frame.values.get(*at as usize).and_then(|values| pick(values, &reference.rest)).unwrap_or_else(Value::unknown)
            }
        }
    }

    fn body(&mut self, nodes: &'f [Node<RowId>], plan: &BodyPlan) {
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
        }
    }

    /// Ends the life of a value of the composite that runs.
    fn end(&mut self, node: u32) {
        let slot = self.frames.last_mut().and_then(|frame| frame.values.get_mut(node as usize));
        if let Some(values) = slot.map(std::mem::take) {
            self.release_values(&values);
        }
    }

    fn node(&mut self, node: &'f Node<RowId>, plan: &NodePlan, first_only: &[u32]) -> Values {
        match (node, &plan.inside) {
            (Node::Layer(id), _) => {
                let Some(info) = self.flat.row(**id) else { return Values::default() };
                let inputs = info.row.inputs.iter().map(|input| self.value(input)).collect();
                self.layer(**id, inputs)
            }
            (Node::Composite(composite), Inside::Composite(body)) => {
                let input = composite.inputs.first().map_or_else(Value::unknown, |input| self.value(input));
                self.composite(composite, body, &plan.exports, input)
            }
            (Node::Repeat(repeat), Inside::Repeat(variants)) => self.repeat(repeat, variants, &plan.exports, first_only),
            _ => Values::default(),
        }
    }

    /// Runs a composite, as often as it is called, each call on what the one before gave.
    fn composite(&mut self, composite: &'f Composite<RowId>, plan: &BodyPlan, exports: &[Export], input: Value) -> Values {
        let calls = composite.calls.as_ref().map_or(Some(1), |calls| self.bound.count(calls)).unwrap_or(1);
        if calls == 1 {
            return self.call(composite, plan, exports, input);
        }
        if calls == 0 {
            self.dry += 1;
            let values = self.call(composite, plan, exports, input);
            self.dry -= 1;
            return values;
        }
        let mut values = self.call(composite, plan, exports, input);
        let mut done = 1;
        while done < calls && !self.full {
            let next = values.own.first().cloned().unwrap_or_else(Value::unknown);
            let mark = self.mark();
            let made = self.call(composite, plan, exports, next);
            let earlier = std::mem::replace(&mut values, made);
            self.release_values(&earlier);
            done += 1;
            if done >= 2 && calls - done > 1 {
                self.again(&mark, calls - done - 1);
                done = calls - 1;
            }
        }
        values
    }

    fn call(&mut self, composite: &'f Composite<RowId>, plan: &BodyPlan, exports: &[Export], input: Value) -> Values {
        let segment = composite.path_segment();
        if let Some(segment) = segment {
            self.segments.push((segment, self.indices.len()));
        }
        self.retain(input.storage);
        self.frames.push(Frame { input, values: Vec::with_capacity(composite.body.len()), held: Vec::new() });
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
            self.retain(value.storage);
        }
        if let Some(frame) = self.frames.pop() {
            for values in frame.values {
                self.release_values(&values);
            }
            for held in frame.held {
                self.release(held);
            }
            self.release(frame.input.storage);
        }
        if segment.is_some() {
            self.segments.pop();
        }
        values
    }

    /// A value inside the composite that runs.
    fn exported(&self, export: &Export) -> Option<Value> {
        let (Step::Child(at), rest) = export.split_first()? else { return None };
        pick(self.frames.last()?.values.get(*at as usize)?, rest)
    }

    fn repeat(&mut self, repeat: &'f Repeat<RowId>, plans: &[NodePlan], exports: &[Export], first_only: &[u32]) -> Values {
        let inputs: Vec<Value> = repeat.inputs.iter().map(|input| self.value(input)).collect();
        let given = inputs.first().cloned().unwrap_or_else(Value::unknown);
        let indexed = by_index(exports);
        let mut values = Values::default();
        let mut started = false;
        self.indices.push(0);
        for (first, last, variant) in repeat.order() {
            // Beyond the limit all that is around has to come to its end, too.
            if self.full {
                break;
            }
            let Some(node) = repeat.variants.get(variant).and_then(|v| v.instance.as_deref()) else { continue };
            let Some(plan) = plans.get(variant) else { continue };
            let mut index = first;
            loop {
                if let Some(here) = self.indices.last_mut() {
                    *here = index;
                }
                let mut input = given.clone();
                let mut others = inputs.clone();
                if started && !repeat.parallel {
                    input = values.own.first().cloned().unwrap_or_else(Value::unknown);
                    if let Some(first) = others.first_mut() {
                        *first = input.clone();
                    }
                }
                let mark = self.mark();
                let input_bytes = self.size(&input);
                self.blocks += 1;
                let mut made = match (node, &plan.inside) {
                    (Node::Layer(id), _) => self.layer(**id, others),
                    (Node::Composite(composite), Inside::Composite(body)) => {
                        self.composite(composite, body, &plan.exports, input)
                    }
                    _ => Values::default(),
                };
                self.blocks -= 1;
                if self.blocks == 0 && matches!(node, Node::Composite(_)) {
                    let saved_bytes = self.flow.saved_bytes.saturating_sub(mark.saved);
                    self.flow.blocks.push(Block { count: 1, input_bytes, saved_bytes });
                }
                self.publish(index, indexed.get(&index).map_or(&[], Vec::as_slice), &mut made);
                let earlier = std::mem::replace(&mut values, made);
                self.release_values(&earlier);
                if !started {
                    first_only.iter().for_each(|node| self.end(*node));
                    started = true;
                }
                if index == last || self.full {
                    break;
                }
                // The second of a range leaves behind what all that follow do.
                let stop = indexed.range(index + 1..).next().map_or(last, |(stop, _)| (*stop).min(last));
                index += 1;
                if index > first + 1 && stop > index {
                    self.again(&mark, u128::from(stop - index));
                    if let Some(block) = self.flow.blocks.last_mut().filter(|_| self.blocks == 0) {
                        block.count = block.count.saturating_add(u128::from(stop - index));
                    }
                    index = stop;
                }
            }
        }
        self.indices.pop();
        // What was published stays with the node.
        if let Some(slot) = self.frames.last_mut().and_then(|frame| frame.values.last_mut()) {
            values.inner.extend(std::mem::take(&mut slot.inner));
        }
        values
    }

    /// Makes an instance's values known to what reads them by its index.
    fn publish(&mut self, index: u64, exports: &[Export], made: &mut Values) {
        for rest in exports {
            let Some(value) = pick(made, rest) else { continue };
            self.retain(value.storage);
            if let Some(slot) = self.frames.last_mut().and_then(|frame| frame.values.last_mut()) {
                let name = std::iter::once(Step::Instance(index)).chain(rest.iter().copied()).collect();
                slot.inner.insert(name, value);
            }
        }
        for value in std::mem::take(&mut made.inner).into_values() {
            self.release(value.storage);
        }
    }

    // Repetition.

    fn mark(&self) -> Mark {
        Mark {
            permanent: self.permanent.len(),
            past: self.freed_past.len(),
            booked: self.booked.len(),
            saved: self.flow.saved_bytes,
        }
    }

    /// What was left behind since a mark, so many times more.
    fn again(&mut self, mark: &Mark, times: u128) {
        for at in mark.permanent..self.permanent.len() {
            let Some(storage) = self.permanent.get(at).and_then(|id| self.storages.get_mut(*id as usize)) else { continue };
            let more = storage.count.saturating_mul(times);
            storage.count = storage.count.saturating_add(more);
            let bytes = storage.bytes.saturating_mul(more);
            self.live = self.live.saturating_add(bytes);
            if storage.persistent {
                self.cache = self.cache.saturating_add(bytes);
            }
        }
        for at in mark.past..self.freed_past.len() {
            let Some((row, count)) = self.freed_past.get(at).copied() else { continue };
            self.free_past(row, count.saturating_mul(times));
        }
        let saved = self.flow.saved_bytes.saturating_sub(mark.saved);
        self.flow.saved_bytes = self.flow.saved_bytes.saturating_add(saved.saturating_mul(times));
        let booked: Vec<(RowId, u128, u128)> = self.booked.get(mark.booked..).unwrap_or_default().to_vec();
        for (row, bytes, count) in booked {
            self.book(row, bytes, count.saturating_mul(times));
        }
    }

    fn book(&mut self, row: RowId, bytes: u128, count: u128) {
        if let Some(flow) = self.flow.rows.get_mut(row.0 as usize) {
            match flow.saved.last_mut() {
                Some((last, times)) if *last == bytes => *times = times.saturating_add(count),
                _ => flow.saved.push((bytes, count)),
            }
        }
        self.booked.push((row, bytes, count));
    }

    fn free_past(&mut self, row: RowId, count: u128) {
        let Some(left) = self.past_left.get_mut(row.0 as usize) else { return };
        let count = count.min(*left);
        *left -= count;
        let Some(ports) = self.ports(row.0 as usize) else { return };
        let bytes = ports.past.saturating_mul(count);
        self.live = self.live.saturating_sub(bytes);
        self.cache = self.cache.saturating_sub(bytes);
        self.freed_past.push((row, count));
    }

    // Layers.

    fn layer(&mut self, id: RowId, inputs: Vec<Value>) -> Values {
        self.step += 1;
        if self.step > MOST_STEPS {
            if !self.full {
                self.full = true;
                let message = format!("the data flow has more than {MOST_STEPS} layers that have to be run through");
                self.diagnostics.push(Diagnostic::new(Code::ModelTooLarge, message));
            }
            return Values::default();
        }
        let at = id.0 as usize;
        let Some(info) = self.flat.row(id) else { return Values::default() };
        let Some(class) = &info.row.class else {
            // A tensor that a composite owns.
            let shape = info.row.weights.iter().flatten().next().map(|weight| Arc::from(weight.shape.as_slice()));
            return Values { own: vec![Value { shape, from: Some(info.row.span), ..Value::unknown() }], ..Values::default() };
        };
        let class = &class.0;
        let Some(ports) = self.ports(at) else {
            let own = class.outputs.iter().map(|_| Value::unknown()).collect();
            return Values { own, inner: HashMap::default() };
        };
        if self.blocks > 0
            && let Some(row) = self.flow.rows.get_mut(at)
        {
            row.in_block = true;
        }
        let inputs = self.assumed(ports, inputs);
        self.shapes(id, class, ports, &inputs);
        let calls = info.row.calls.as_ref().map_or(Some(1), |calls| self.bound.count(calls)).unwrap_or(1);
        let runs = self.dry == 0 && calls > 0;
        if runs {
            self.moment(id, ports);
        }
        let held = if info.row.hold.is_some() { calls } else { 1 };
        let mut own = Vec::with_capacity(ports.outputs.len());
        for (n, port) in ports.outputs.iter().enumerate() {
            let output = class.outputs.get(n);
            let shared = if port.view && !class.inputs.is_empty() {
                let source = output.and_then(|output| class.inputs.iter().position(|input| input.name == output.name));
                inputs.get(source.unwrap_or(0))
            } else {
                None
            };
            let storage = match shared {
                Some(input) => {
                    self.retain(input.storage);
                    input.storage
                }
                // What shares no input's storage is a buffer or a parameter: not made by the call.
                None if port.view && class.inputs.is_empty() => NONE,
                None if port.exists && runs => self.store(port.bytes, held.max(1), id, u16::try_from(n).unwrap_or(u16::MAX)),
                None => NONE,
            };
            if port.persistent {
                self.keep(storage, true);
            }
            self.hold(storage, output.map_or(0, |output| output.hold));
            let shape = self.flow.rows.get(at).and_then(|row| row.outputs.get(n)).cloned().flatten();
            // A view of a mask is a mask, of the cache a cached value.
            let element = shared.map_or(port.element, |input| input.element);
            own.push(Value { storage, shape, element, exists: port.exists, from: Some(info.row.span), implicit: false });
        }
        if runs && ports.past > 0 {
            self.free_past(id, 1);
        }
        if runs && self.training && !info.row.no_grad {
            self.saves(id, ports, &inputs, &own);
        }
        Values { own, inner: HashMap::default() }
    }

    /// An output that outlives its readers in so many composites around.
    fn hold(&mut self, storage: u32, composites: u16) {
        if composites == 0 || storage == NONE {
            return;
        }
        let frame = self.frames.len().checked_sub(usize::from(composites));
        // The outermost frame is the model itself.
        let frame = frame.filter(|at| *at > 0).unwrap_or(0);
        self.retain(storage);
        if let Some(frame) = self.frames.get_mut(frame) {
            frame.held.push(storage);
        }
    }

    /// The moment at which a layer runs: is it the peak?
    fn moment(&mut self, id: RowId, ports: &Ports) {
        let bytes = self.live.saturating_add(ports.workspace);
        if self.flow.peak.as_ref().is_none_or(|peak| bytes > peak.bytes) {
            let path = self.flow.peak.take().map_or_else(String::new, |peak| peak.path);
            let path = self.path(id, path);
            let (cache_bytes, workspace, step) = (self.cache, ports.workspace, self.step);
            self.flow.peak = Some(Peak { bytes, cache_bytes, row: id, path, workspace, step });
        }
        if self.capture == Some(self.step) {
            self.captured = self.snapshot();
        }
    }

    /// The concrete path of a layer that runs, in a string that is at hand.
    fn path(&self, id: RowId, mut path: String) -> String {
        use std::fmt::Write as _;
        path.clear();
        let own = self.flat.row(id).and_then(|info| info.row.segment.as_ref()).map(|segment| (segment, self.indices.len()));
        for (segment, depth) in self.segments.iter().copied().chain(own) {
            if !path.is_empty() {
                path.push('.');
            }
            segment.write(&mut path, &|level, out| {
                let index = depth.checked_sub(1 + usize::from(level)).and_then(|at| self.indices.get(at));
                let _ = write!(out, "{}", index.copied().unwrap_or_default());
            });
        }
        path
    }

    fn snapshot(&self) -> Vec<Alive> {
        let mut alive: IndexMap<(RowId, Arc<str>, u128, bool), Alive> = IndexMap::new();
        for (at, left) in self.past_left.iter().enumerate().filter(|(_, left)| **left > 0) {
            let bytes = self.ports(at).map_or(0, |ports| ports.past);
            let row = RowId(u32::try_from(at).unwrap_or(u32::MAX));
            let old = Alive { row, output: "".into(), shape: None, bytes, count: *left, persistent: true };
            alive.insert((row, "".into(), bytes, true), old);
        }
        for storage in self.storages.iter().filter(|storage| storage.refs > 0 && storage.bytes > 0) {
            let class = self.flat.row(storage.row).and_then(|info| info.row.class.as_ref());
            let def = class.and_then(|class| class.0.outputs.get(usize::from(storage.output)));
            let output = def.map_or_else(|| "saved".into(), |def| def.name.clone());
            let row = self.flow.rows.get(storage.row.0 as usize);
            let shape = row.and_then(|row| row.outputs.get(usize::from(storage.output))?.as_deref()).map(<[u128]>::to_vec);
            let persistent = storage.persistent;
            let key = (storage.row, output.clone(), storage.bytes, persistent);
            let same =
                alive.entry(key).or_insert(Alive { row: storage.row, output, shape, bytes: storage.bytes, count: 0, persistent });
            same.count = same.count.saturating_add(storage.count);
        }
        alive.into_values().collect()
    }

    fn saves(&mut self, id: RowId, ports: &Ports, inputs: &[Value], outputs: &[Value]) {
        let Some(saves) = &ports.saves else {
            let row = self.flow.rows.get_mut(id.0 as usize);
            if row.is_some_and(|row| !std::mem::replace(&mut row.unknown_saves, true)) {
                self.flow.unknown_saves.push(id);
            }
            return;
        };
        let mut booked = 0u128;
        for save in saves {
            booked = booked.saturating_add(match save {
                Save::Input(at) => inputs.get(*at).map_or(0, |value| self.keep(value.storage, false)),
                Save::Output(at) => outputs.get(*at).map_or(0, |value| self.keep(value.storage, false)),
                Save::Own(_, bytes) => {
                    let storage = self.store(*bytes, 1, id, u16::MAX);
                    let bytes = self.keep(storage, false);
                    // The share that it came with.
                    self.release(storage);
                    bytes
                }
            });
        }
        self.flow.saved_bytes = self.flow.saved_bytes.saturating_add(booked);
        self.book(id, booked, 1);
    }

    // Shapes.

    /// What an unstated model input is for a layer that takes no indices: just what it takes.
    fn assumed(&self, ports: &Ports, mut inputs: Vec<Value>) -> Vec<Value> {
        let workload = &self.bound.workload;
        let usual = [u128::from(workload.batch_size), u128::from(workload.seq_len)];
        for (value, port) in inputs.iter_mut().zip(&ports.inputs) {
            if !value.implicit || !port.exists || is_index(port) {
                continue;
            }
            let tokens = ports.tokens.unwrap_or(1);
            let leading = if elements(&usual) == Some(tokens) { usual.to_vec() } else { vec![tokens] };
            value.shape = Some(fill(&port.pattern, &leading));
            value.element = port.element;
        }
        inputs
    }

    /// Checks what arrives and finds what goes out, once for each shape of the inputs.
    fn shapes(&mut self, id: RowId, class: &Class, ports: &Ports, inputs: &[Value]) {
        let at = id.0 as usize;
        let Some(row) = self.flow.rows.get(at) else { return };
        let same = row.inputs.len() == inputs.len() && row.inputs.iter().zip(inputs).all(|(a, b)| *a == b.shape);
        if row.seen && same {
            return;
        }
        let leading = self.check(id, class, ports, inputs);
        let outputs = ports.outputs.iter().map(|port| {
            let open = port.pattern.leading.is_some();
            let leading = match (&leading, open) {
                (Ok(Some(leading)), _) => leading.as_slice(),
                // Nothing says how the tokens are arranged.
                (Ok(None), true) => return ports.tokens.map(|tokens| fill(&port.pattern, &[tokens])),
                (Ok(None), false) => &[],
                (Err(()), true) => return None,
                (Err(()), false) => &[],
            };
            port.exists.then(|| fill(&port.pattern, leading))
        });
        let outputs = outputs.collect();
        if let Some(row) = self.flow.rows.get_mut(at) {
            row.outputs = outputs;
            row.inputs = inputs.iter().map(|value| value.shape.clone()).collect();
            row.seen = true;
        }
    }

    /// The leading dimensions of a value that has the right number of elements in another order: heads before positions.
    fn regrouped(&self, ports: &Ports, port: &Port, shape: &[u128]) -> Option<Vec<u128>> {
        let tokens = ports.tokens.filter(|_| port.pattern.leading.is_some())?;
        let workload = &self.bound.workload;
        let usual = [u128::from(workload.batch_size), u128::from(workload.seq_len)];
        let same = elements(&port.pattern.dims)?.checked_mul(tokens) == elements(shape);
        same.then(|| if elements(&usual) == Some(tokens) { usual.to_vec() } else { vec![tokens] })
    }

    /// The leading dimensions that the inputs share.
    fn check(&mut self, id: RowId, class: &Class, ports: &Ports, inputs: &[Value]) -> Result<Option<Vec<u128>>, ()> {
        let Some(info) = self.flat.row(id) else { return Err(()) };
        let report = |machine: &mut Self, diagnostic: Diagnostic| {
            machine.diagnostics.push(diagnostic.note(format!("in layer `{}`", info.path)))
        };
        let required = |(port, def): (&Port, &ValueDef)| port.exists && !def.optional;
        let needed = ports.inputs.iter().zip(&class.inputs).rposition(required).map_or(0, |last| last + 1);
        // What reads nothing may still stand behind something.
        let most = class.inputs.len().max(1);
        if inputs.len() < needed || inputs.len() > most {
            let names: Vec<&str> = class.inputs.iter().map(|input| &*input.name).collect();
            let message = format!(
                "`{}` takes {} value{}{}, and is given {}",
                info.row.class_name,
                needed,
                if needed == 1 { "" } else { "s" },
                if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) },
                inputs.len()
            );
            let diagnostic = Diagnostic::new(Code::WrongNumberOfInputs, message).at(info.row.span, "in this layer");
            report(self, diagnostic.help(format!("say which with `inputs`, in the order {}", names.join(", "))));
            return Err(());
        }
        let mut leading: Option<Vec<u128>> = None;
        let mut broken = false;
        for (n, (port, value)) in ports.inputs.iter().zip(inputs).enumerate() {
            let Some(def) = class.inputs.get(n) else { continue };
            if !port.exists || broken {
                continue;
            }
            if !value.exists {
                let message = format!(
                    "`{}` needs its `{}` at this workload, and what it reads there doesn't exist",
                    info.row.class_name, def.name
                );
                report(self, Diagnostic::new(Code::ShapeMismatch, message).at(info.row.span, "in this layer"));
                broken = true;
                continue;
            }
            let Some(shape) = &value.shape else {
                broken = true;
                continue;
            };
            let regroups = class.kind == ClassKind::Function;
            let found = fit(&port.pattern, shape, regroups).or_else(|| self.regrouped(ports, port, shape).filter(|_| regroups));
            let problem = match (&found, &leading) {
                _ if is_index(port) != is_index_value(value) => Some(format!(
                    "`{}` takes {} as `{}`, and is given {}",
                    info.row.class_name,
                    kind(port.element),
                    def.name,
                    kind(value.element)
                )),
                (None, _) => Some(format!(
                    "`{}` takes {}{} as `{}`, and is given {}",
                    info.row.class_name,
                    shown_pattern(&port.pattern),
                    formulas(def, &port.pattern),
                    def.name,
                    shown(shape)
                )),
                (Some(here), Some(first)) if port.pattern.leading.is_some() => {
                    let fits =
                        if def.broadcast { stretches(here, first) } else { here == first || elements(here) == elements(first) };
                    (!fits).then(|| {
                        format!(
                            "`{}` takes `{}` with the same leading dimensions as its first input, {}, and is given {}",
                            info.row.class_name,
                            def.name,
                            shown(first),
                            shown(shape)
                        )
                    })
                }
                (Some(here), None) if port.pattern.leading.is_some() => {
                    let tokens = elements(here);
                    (tokens != ports.tokens).then(|| {
                        format!(
                            "`{}` has {} `tokens`, and is given {}: {} of them",
                            info.row.class_name,
                            ports.tokens.unwrap_or_default(),
                            shown(shape),
                            tokens.unwrap_or_default()
                        )
                    })
                }
                _ => None,
            };
            if let Some(message) = problem {
                let mut diagnostic = Diagnostic::new(Code::ShapeMismatch, message).at(info.row.span, "in this layer");
                if found.is_some() && is_index(port) == is_index_value(value) && leading.is_none() {
                    diagnostic =
                        diagnostic.help("`tokens` is the product of the leading dimensions: say how many there are here");
                }
                if let Some(from) = value.from {
                    diagnostic = diagnostic.also(from, format!("this gives {}", shown(shape)));
                }
                report(self, diagnostic);
                broken = true;
                continue;
            }
            if port.pattern.leading.is_some() && leading.is_none() {
                leading = found;
            }
        }
        if broken { Err(()) } else { Ok(leading) }
    }
}

/// `, in_features = 4000`, where a dimension has a name.
fn formulas(def: &ValueDef, pattern: &crate::cost::ports::Pattern) -> String {
    use crate::catalog::{Dim, ShapeDef};
    let ShapeDef::Dims(dims) = &def.shape else { return String::new() };
    let sizes: Vec<&Arc<str>> =
        dims.iter().filter_map(|dim| if let Dim::Size(formula) = dim { Some(&formula.text) } else { None }).collect();
    if sizes.len() != pattern.dims.len() {
        return String::new();
    }
    let named = sizes.iter().zip(&pattern.dims).filter(|(text, value)| text.as_ref() != value.to_string().as_str());
    let named: Vec<String> = named.map(|(text, value)| format!("{text} = {value}")).collect();
    if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) }
}

fn is_index(port: &Port) -> bool {
    port.element == Element::Index
}

fn is_index_value(value: &Value) -> bool {
    value.element == Element::Index
}

fn kind(element: Element) -> &'static str {
    match element {
        Element::Index => "indices (int64)",
        Element::Bool => "a mask (bool)",
        Element::Activation | Element::Cache | Element::Float32 => "activations",
    }
}

/// A value of a node, by the way from the node to it.
fn pick(values: &Values, rest: &[Step]) -> Option<Value> {
    match rest {
        [] => values.own.first().cloned(),
        [Step::Output(at)] => values.own.get(usize::from(*at)).cloned(),
        _ => values.inner.get(rest).cloned(),
    }
}

/// Where the logs were.
struct Mark {
    permanent: usize,
    past: usize,
    booked: usize,
    saved: u128,
}
