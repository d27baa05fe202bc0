//! The rows of a report: folded, expanded, or grouped. All of them add up to the totals.

use std::borrow::Cow;

use indexmap::IndexMap;

use crate::analysis::layers::{Layer, visit_layers};
use crate::evaluation::{Evaluation, Instance};
use crate::flat::{RowInfo, Tied};
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
    pub layers: u128,
    pub cost: Cost,
    pub saved_bytes: u128,
}

/// One line a distinct layer.
pub fn folded<'c>(compiled: &'c Evaluation) -> impl Iterator<Item = Line<'c>> {
    let rows = compiled.flat.rows.iter().zip(compiled.report.rows()).zip(compiled.flow.rows.iter());
    rows.map(|((info, row), flow)| {
        line(info, Cow::Borrowed(&*info.path), info.repeats, row.calls, row.total(), flow, flow.saved_total())
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

fn of_instance<'c>(instance: &Instance<'c>, path: Cow<'c, str>) -> Option<Line<'c>> {
    let row = instance.row;
    Some(line(row.info, path, 1, row.calls(), instance.total()?, row.flow?, instance.saved_bytes()))
}

fn line<'c>(
    info: &'c RowInfo,
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
    let mut groups: IndexMap<String, (u128, Cost, u128)> = IndexMap::new();
    for (info, line) in compiled.flat.rows.iter().zip(folded(compiled)) {
        let key = match by {
            By::Class => line.class.to_owned(),
            By::Depth => prefix(info, depth),
            By::Layer => line.path.clone().into_owned(),
        };
        let entry = groups.entry(key).or_default();
        entry.0 = entry.0.saturating_add(line.repeats);
        // The totals were formed without overflow, and a part of them can't exceed them.
        entry.1 = entry.1.plus(&line.cost).unwrap_or(entry.1);
        entry.2 = entry.2.saturating_add(line.saved_bytes);
    }
    groups.into_iter().map(|(name, (layers, cost, saved_bytes))| Group { name, layers, cost, saved_bytes }).collect()
}

/// The path of the composite `depth` levels down, or the row's own if it isn't that deep.
fn prefix(info: &RowInfo, depth: usize) -> String {
    let end = depth.checked_sub(1).and_then(|at| info.prefixes().get(at)).map_or(info.path.len(), |end| *end as usize);
    info.path.get(..end).unwrap_or(&info.path).to_owned()
}
