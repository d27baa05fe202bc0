//! The moment at which most bytes are alive, and what is alive then.

use std::fmt::Write as _;
use std::sync::Arc;

use indexmap::IndexMap;

use super::bytes::{Bytes, Numbers, Slot, Tally};
use super::lifetime;
use super::machine::Machine;
use crate::cost::CostReport;
use crate::cost::bind::BoundModel;
use crate::cost::ports::Ports;
use crate::flat::{FlatModel, Node, RowId};
use crate::language::Segment;
use crate::syntax::diag::Diagnostics;

/// The moment at which most bytes are alive.
#[derive(Debug, Clone)]
pub struct Peak {
    /// Bytes that are alive, caches included.
    pub bytes: u128,
    /// Of these, caches and states that persist.
    pub cache_bytes: u128,
    /// The layer that runs.
    pub row: RowId,
    /// `model.layers.1.mlp.product`.
    pub path: String,
    /// What the layer itself needs while it runs, its outputs included.
    pub workspace: u128,
    pub(super) step: u64,
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
    /// The layer that made them.
    pub row: RowId,
    /// The output's name; empty for what existed before.
    pub output: Arc<str>,
    /// The shape of each, where it is known.
    pub shape: Option<Vec<u128>>,
    /// Bytes of one.
    pub bytes: u128,
    /// How many there are.
    pub count: u128,
    /// Whether they stay when the model has returned.
    pub persistent: bool,
}

/// What is alive at a peak, largest first. The workspace of the layer that runs is not in it.
pub fn alive_at(flat: &FlatModel, bound: &BoundModel, report: &CostReport, peak: &Peak) -> Vec<Alive> {
    let mut ignored = Diagnostics::default();
    let plan = lifetime::plan(flat, &mut ignored);
    let mut machine = Machine::new(&Numbers, flat, bound, report, &mut ignored);
    machine.capture = Some(peak.step);
    machine.model(&plan);
    let mut alive = machine.captured;
    alive.sort_by(|a, b| {
        b.bytes
            .saturating_mul(b.count)
            .cmp(&a.bytes.saturating_mul(a.count))
            .then(a.row.cmp(&b.row))
            .then_with(|| a.output.cmp(&b.output))
    });
    alive
}

/// Of each row, what its instances hold of a peak: what they made, and what the layer that runs needs.
#[must_use]
pub fn alive_by_row(flat: &FlatModel, bound: &BoundModel, report: &CostReport, peak: &Peak) -> Vec<u128> {
    let mut by_row = vec![0u128; flat.rows.len()];
    let made = alive_at(flat, bound, report, peak).into_iter().map(|alive| (alive.row, alive.bytes.saturating_mul(alive.count)));
    for (row, bytes) in made.chain([(peak.row, peak.workspace)]) {
        if let Some(cell) = by_row.get_mut(row.0 as usize) {
            *cell = cell.saturating_add(bytes);
        }
    }
    by_row
}

/// The concrete path of a row where the repeats around it have these indices, the innermost last; empty if the model has no such row.
pub(super) fn path_of(flat: &FlatModel, row: RowId, indices: &[u64]) -> String {
    let mut segments = Vec::new();
    if !is_found(&flat.body, row, 0, &mut segments) {
        return String::new();
    }
    let own = flat.row(row).and_then(|info| info.row.segment.as_ref()).map(|segment| (segment, indices.len()));
    let mut path = String::new();
    for (segment, depth) in segments.into_iter().chain(own) {
        if !path.is_empty() {
            path.push('.');
        }
        segment.write(&mut path, &|level, out| {
            let index = depth.checked_sub(1 + usize::from(level)).and_then(|at| indices.get(at));
            let _ = write!(out, "{}", index.copied().unwrap_or_default());
        });
    }
    path
}

/// Whether a row is in a body that so many repeats are around: then what its path begins with is in the list, with the number of repeats around each.
fn is_found<'f>(body: &'f [Node<RowId>], row: RowId, depth: usize, segments: &mut Vec<(&'f Segment, usize)>) -> bool {
    body.iter().any(|node| is_in(node, row, depth, segments))
}

fn is_in<'f>(node: &'f Node<RowId>, row: RowId, depth: usize, segments: &mut Vec<(&'f Segment, usize)>) -> bool {
    match node {
        Node::Layer(id) => *id == row,
        Node::Composite(composite) => {
            let before = segments.len();
            segments.extend(composite.path_segment().map(|segment| (segment, depth)));
            let found = is_found(&composite.body, row, depth, segments);
            if !found {
                segments.truncate(before);
            }
            found
        }
        Node::Repeat(repeat) => repeat.instances().any(|node| is_in(node, row, depth + 1, segments)),
    }
}

impl<T: Tally> Machine<'_, '_, T> {
    /// The moment at which a layer runs: is it the peak?
    pub(super) fn moment(&mut self, id: RowId, ports: &Ports) {
        let workspace = self.workspace(id, ports);
        let bytes = if self.tally.wants_all() {
            let all = self.heap.live.plus(&workspace);
            self.front.push((all.clone(), self.heap.cache.clone()));
            all.value()
        } else {
            self.heap.live.value().saturating_add(workspace.value())
        };
        if self.flow.peak.as_ref().is_none_or(|peak| bytes > peak.bytes) {
            let (cache_bytes, workspace, step) = (self.heap.cache.value(), workspace.value(), self.step);
            // Where that is, is written when all have been seen: mostly more is alive at each than at those before.
            self.peak_indices.clone_from(&self.indices);
            self.flow.peak = Some(Peak { bytes, cache_bytes, row: id, path: String::new(), workspace, step });
        }
        if self.capture == Some(self.step) {
            self.captured = self.snapshot();
        }
    }

    /// What a layer needs while it runs, where it keeps what it saves with that.
    pub(super) fn workspace(&self, id: RowId, ports: &Ports) -> T::Bytes {
        let keeps = self.keeps_own() && self.flat.row(id).is_some_and(|info| !info.row.no_grad);
        match ports.backward.as_deref().and_then(|stated| stated.training).filter(|_| keeps) {
            Some(bytes) => self.tally.bytes(id, Slot::Training, bytes),
            None => self.tally.bytes(id, Slot::Workspace, ports.workspace),
        }
    }

    pub(super) fn snapshot(&self) -> Vec<Alive> {
        let mut alive: IndexMap<(RowId, Arc<str>, u128, bool), Alive> = IndexMap::new();
        for (row, count) in self.heap.past_left() {
            let bytes = self.past_bytes(row).value();
            let old = Alive { row, output: "".into(), shape: None, bytes, count, persistent: true };
            alive.insert((row, "".into(), bytes, true), old);
        }
        for storage in self.heap.alive() {
            let class = self.flat.row(storage.row).and_then(|info| info.row.class.as_ref());
            let def = class.and_then(|class| class.0.outputs.get(usize::from(storage.output)));
            let output = def.map_or_else(|| "saved".into(), |def| def.name.clone());
            let row = self.flow.rows.get(storage.row.0 as usize);
            let shape = row.and_then(|row| row.outputs().get(usize::from(storage.output))?.as_deref()).map(<[u128]>::to_vec);
            let persistent = storage.persistent;
            let key = (storage.row, output.clone(), storage.bytes.value(), persistent);
            let same = alive.entry(key).or_insert(Alive {
                row: storage.row,
                output,
                shape,
                bytes: storage.bytes.value(),
                count: 0,
                persistent,
            });
            same.count = same.count.saturating_add(storage.count);
        }
        alive.into_values().collect()
    }
}
