//! The rows of a report: folded, expanded, or grouped. All of them add up to the totals.

use std::borrow::Cow;

use indexmap::IndexMap;

use crate::analysis::convention::{Counted, Passes};
use crate::analysis::layers::{Layer, visit_layers};
use crate::evaluation::{Evaluation, Instance};
use crate::flat::{RowId, RowInfo, Tied};
use crate::flow::RowFlow;
use crate::quantity::Cost;
use crate::quantity::workload::words;

/// How rows are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// One a layer.
    Layer,
    /// One a class.
    Class,
    /// One a composite so many levels down.
    Depth,
}

words!(By, Layer = "layer", Class = "class", Depth = "depth");

/// A row: one layer, or all the instances that share it.
#[derive(Debug, Clone)]
pub struct Line<'c> {
    pub row: RowId,
    pub path: Cow<'c, str>,
    pub class: &'c str,
    /// `module`, `function`, or `parameter` for a tensor that a composite owns.
    pub kind: &'static str,
    /// How many instances it stands for.
    pub repeats: u128,
    /// How often each of them runs.
    pub calls: u128,
    /// The cost of all of them.
    pub cost: Cost,
    pub tied_to: Option<&'c str>,
    /// The shape of its output, the first if there are several.
    pub output_shape: Option<&'c [u128]>,
    /// What it keeps for the backward pass, booked to it as the first to need it.
    pub saved_bytes: u128,
}

/// Rows put together.
#[derive(Debug, Clone)]
pub struct Group {
    pub name: String,
    /// Those that it is of, each with how many instances.
    pub rows: Vec<(RowId, u128)>,
    pub layers: u128,
    pub cost: Cost,
    pub saved_bytes: u128,
}

impl Line<'_> {
    /// Its FLOPs as a convention counts them.
    #[must_use]
    pub fn counted(&self, counted: &Counted) -> Passes {
        counted.of(self.row, self.repeats)
    }
}

impl Group {
    /// Its FLOPs as a convention counts them.
    #[must_use]
    pub fn counted(&self, counted: &Counted) -> Passes {
        // What any rows come to together is within 127 bits: `count` has seen that.
        self.rows.iter().fold(Passes::default(), |sum, (row, instances)| sum.saturating_plus(counted.of(*row, *instances)))
    }
}

/// One line a distinct layer.
pub fn folded<'c>(compiled: &'c Evaluation) -> impl Iterator<Item = Line<'c>> {
    let rows = compiled.flat.rows.iter().zip(compiled.report.rows()).zip(compiled.flow.rows.iter());
    (0u32..).zip(rows).map(|(at, ((info, row), flow))| {
        let (path, total) = (Cow::Borrowed(&*info.path), row.total());
        line((RowId(at), info), path, info.repeats, row.calls, total, flow, flow.saved_total())
    })
}

/// One line an instance, in the order of execution.
pub fn expanded(compiled: &Evaluation) -> impl Iterator<Item = Line<'_>> {
    compiled.instances().filter_map(|mut instance| {
        let path = std::mem::take(&mut instance.path);
        of_instance(&instance, Cow::Owned(path))
    })
}

/// The same with what flows: visited one by one, as what a layer reads is known while it is walked.
///
/// # Errors
/// The first of `visit`.
pub fn wired<'c, E>(compiled: &'c Evaluation, visit: &mut dyn FnMut(&Line<'_>, &Layer<'c>) -> Result<(), E>) -> Result<(), E> {
    visit_layers(compiled, &mut |layer| match of_instance(&layer.instance, Cow::Borrowed(&layer.instance.path)) {
        Some(line) => visit(&line, &layer),
        None => Ok(()),
    })
}

/// The line of an instance; none of one that has no cost.
pub(super) fn of_instance<'c>(instance: &Instance<'c>, path: Cow<'c, str>) -> Option<Line<'c>> {
    let row = instance.row;
    Some(line((row.id, row.info), path, 1, row.calls(), instance.total()?, row.flow?, instance.saved_bytes()))
}

fn line<'c>(
    (row, info): (RowId, &'c RowInfo),
    path: Cow<'c, str>,
    repeats: u128,
    calls: u128,
    cost: Cost,
    flow: &'c RowFlow,
    saved_bytes: u128,
) -> Line<'c> {
    let output_shape = flow.outputs().iter().find_map(|shape| shape.as_deref());
    let tied_to = info.row.tied.first().map(|tied: &Tied| &*tied.path);
    Line {
        row,
        path,
        class: &info.row.class_name,
        kind: info.row.kind_word(),
        repeats,
        calls,
        cost,
        tied_to,
        output_shape,
        saved_bytes,
    }
}

/// Rows put together by class, or by the first `depth` segments of their paths.
#[must_use]
pub fn groups(compiled: &Evaluation, by: By, depth: usize) -> Vec<Group> {
    let mut groups: IndexMap<String, Group> = IndexMap::new();
    for (info, line) in compiled.flat.rows.iter().zip(folded(compiled)) {
        let key = match by {
            By::Class => line.class.to_owned(),
            By::Depth => prefix(info, depth),
            By::Layer => line.path.clone().into_owned(),
        };
        let group = match groups.get_mut(&key) {
            Some(group) => group,
            None => groups.entry(key.clone()).or_insert(Group {
                name: key,
                rows: Vec::new(),
                layers: 0,
                cost: Cost::default(),
                saved_bytes: 0,
            }),
        };
        group.rows.push((line.row, line.repeats));
        group.layers = group.layers.saturating_add(line.repeats);
        // The totals were formed without overflow, and a part of them can't exceed them.
        group.cost = group.cost.plus(&line.cost).unwrap_or(group.cost);
        group.saved_bytes = group.saved_bytes.saturating_add(line.saved_bytes);
    }
    groups.into_values().collect()
}

/// The path of the composite `depth` levels down, or the row's own if it isn't that deep.
fn prefix(info: &RowInfo, depth: usize) -> String {
    let end = depth.checked_sub(1).and_then(|at| info.prefixes().get(at)).map_or(info.path.len(), |end| *end as usize);
    info.path.get(..end).unwrap_or(&info.path).to_owned()
}
