//! Memory plans side by side, one for each of the values of options that are varied.

use std::io::{self, Write};

use serde_json::{Map, Value as Json, json};

use super::page::{self, PageFormat, Section};
use super::units::{self, Units};
use crate::analysis::fit::{Fit, Largest};
use crate::analysis::memory::Plan;
use crate::syntax::json::write::write_pretty;

/// A plan, and what of its options is its own.
#[derive(Debug)]
pub struct VariedPlan {
    /// Options and their values.
    pub labels: Vec<(String, String)>,
    /// The model and the rest of its workload.
    pub title: String,
    /// What a device has to hold.
    pub plan: Plan,
    /// Bytes of the cache after the step.
    pub cache_bytes: u128,
    /// Whether it fits, where a device is said.
    pub fit: Option<Fit>,
    /// The device.
    pub device: Option<String>,
}

/// Writes plans side by side.
///
/// # Errors
/// Those of `out`.
pub fn render_varied(
    plans: &[VariedPlan],
    format: PageFormat,
    units: Units,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    if format == PageFormat::Json {
        let plans: Vec<Json> = plans.iter().map(json_of).collect();
        write_pretty(out, &json!({ "format": "layerspec.varied/1", "plans": plans }))?;
        return writeln!(out);
    }
    // In the order in which they come up first: all plans of a phase have the same.
    let mut kinds: Vec<&str> = Vec::new();
    for item in plans.iter().flat_map(|plan| &plan.plan.items) {
        if !kinds.contains(&item.kind) {
            kinds.push(item.kind);
        }
    }
    let has_device = plans.iter().any(|plan| plan.fit.is_some());
    let labels = plans.first().map_or(&[][..], |plan| plan.labels.as_slice());
    let mut columns: Vec<(String, bool)> = labels.iter().map(|(name, _)| (name.clone(), false)).collect();
    columns.extend(kinds.iter().map(|kind| ((*kind).to_owned(), true)));
    columns.push(("together".to_owned(), true));
    if has_device {
        columns.extend([("left".to_owned(), true), ("largest batch".to_owned(), true)]);
    }
    let row = |plan: &VariedPlan| {
        let mut cells: Vec<String> = plan.labels.iter().map(|(_, value)| value.clone()).collect();
        let of = |kind: &str| plan.plan.items.iter().find(|item| item.kind == kind).map(|item| units::bytes(item.bytes, units));
        cells.extend(kinds.iter().map(|kind| of(kind).unwrap_or_default()));
        cells.push(plan.plan.total().map_or_else(String::new, |total| units::bytes(total, units)));
        if has_device {
            cells
                .extend(plan.fit.as_ref().map_or_else(|| [String::new(), String::new()], |fit| [left(fit, units), largest(fit)]));
        }
        cells
    };
    let section = Section { title: String::new(), columns, rows: plans.iter().map(row).collect() };
    let mut titles: Vec<&str> = plans.iter().map(|plan| plan.title.as_str()).collect();
    titles.dedup();
    let title = match titles.as_slice() {
        [one] => (*one).to_owned(),
        several => several.first().and_then(|title| title.split(':').next()).unwrap_or_default().to_owned(),
    };
    let sections = [section];
    if format == PageFormat::Table { page::text(&title, &sections, width, out) } else { page::markdown(&title, &sections, out) }
}

/// What is left of a device's room, or what it lacks.
fn left(fit: &Fit, units: Units) -> String {
    match fit.room().checked_sub(fit.needed) {
        Some(left) => units::bytes(left, units),
        None => format!("-{}", units::bytes(fit.needed.saturating_sub(fit.room()), units)),
    }
}

fn largest(fit: &Fit) -> String {
    match &fit.largest_batch {
        Largest::Never => "none".to_owned(),
        Largest::AtMost(n) => units::exact(u128::from(*n)),
        Largest::Failed { fit, .. } => units::exact(u128::from(*fit)),
        Largest::Unbounded => "no limit".to_owned(),
    }
}

fn json_of(plan: &VariedPlan) -> Json {
    let options: Map<String, Json> = plan.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let items: Map<String, Json> = plan.plan.items.iter().map(|item| (item.kind.to_owned(), json!(item.bytes))).collect();
    let mut own = json!({ "options": options, "title": plan.title, "items": items, "bytes": plan.plan.total(), "cache_bytes": plan.cache_bytes });
    if let (Some(fit), Some(own)) = (&plan.fit, own.as_object_mut()) {
        let largest = fit.largest_batch.number();
        let fit = json!({ "device": plan.device, "count": fit.count, "fits": fit.fits(), "needed": fit.needed, "room": fit.room(), "largest_batch": largest });
        own.insert("fit".to_owned(), fit);
    }
    own
}
