//! What a model expects of itself, checked: facts of the model as such, and facts at stated workloads.

use std::sync::Arc;

use super::{Costs, costs, saves_are_known};
use crate::catalog::Catalog;
use crate::cost::CostReport;
use crate::cost::bind::bind;
use crate::cost::workload::{CompleteWorkload, Workload};
use crate::flat::FlatModel;
use crate::flow::{self, Flow, Peak};
use crate::lower::{Execution, Lowered};
use crate::quantity::Total;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::Value;
use crate::syntax::source::Spanned;
use crate::syntax::spec::{Datum, Fact, Point};

/// The most layers that are evaluated for all points together.
const MOST_EVALUATED: usize = 1_000_000;

/// A model's lists by how it is run, each made once: points are many, ways to run it few.
struct Lists<'l> {
    lowered: &'l Lowered,
    made: Vec<(Execution, Arc<FlatModel>)>,
}

impl<'l> Lists<'l> {
    fn new(lowered: &'l Lowered) -> Self {
        Lists { lowered, made: Vec::new() }
    }

    fn under(&mut self, execution: Execution) -> Arc<FlatModel> {
        if let Some((_, flat)) = self.made.iter().find(|(known, _)| *known == execution) {
            return flat.clone();
        }
        let flat = self.lowered.under(execution).flat.clone();
        self.made.push((execution, flat.clone()));
        flat
    }
}

/// Checks `expect` against the report and, for its points, against reports of their own.
pub(super) fn expectations(lowered: &Lowered, report: &CostReport, workload: &Workload, diagnostics: &mut Diagnostics) {
    let Lowered { checked, flat, .. } = lowered;
    let Some(expect) = &checked.model.expect else {
        return;
    };
    if checked.structure_was_set() {
        let message = "`expect` was not checked: with `--set` it is another model";
        diagnostics.push(Diagnostic::new(Code::ExpectationsSkipped, message));
        return;
    }
    // What a model states of itself as such it states of what its file says, not of what an engine makes of it.
    let mut lists = Lists::new(lowered);
    let plain = lists.under(Execution::default());
    if Arc::ptr_eq(&plain, flat) {
        compare(&expect.facts, report, None, "", diagnostics);
    } else if !expect.facts.is_empty() {
        let Costs { report, .. } = costs(&plain, Execution::default(), workload, &mut Diagnostics::default());
        compare(&expect.facts, &report, None, "", diagnostics);
    }
    let evaluated = expect.points.len().saturating_mul(flat.rows.len());
    let first = expect.points.iter().find_map(|point| point.facts.first());
    if let Some(fact) = first.filter(|_| evaluated > MOST_EVALUATED) {
        let message = format!(
            "{} points of {} layers are more than the {MOST_EVALUATED} layers that expectations are computed for",
            expect.points.len(),
            flat.rows.len()
        );
        diagnostics.push(Diagnostic::new(Code::ModelTooLarge, message).at(fact.value.span, "in the first of them"));
        return;
    }
    for point in &expect.points {
        let Some((Costs { bound, report }, flow)) = at_point(&mut lists, point, diagnostics) else { continue };
        let workload = &bound.workload;
        let place =
            format!(" at {} {}x{}, {} cached", workload.phase.word(), workload.batch_size, workload.seq_len, workload.past_len);
        compare(&point.facts, &report, flow.as_ref(), &place, diagnostics);
    }
}

/// A model at the workload of a point; `None`: something is wrong there, which goes to `diagnostics`.
fn at_point(lists: &mut Lists<'_>, point: &Point, diagnostics: &mut Diagnostics) -> Option<(Costs, Option<Flow>)> {
    let (workload, execution) = stated(point, lists.lowered.checked.classes.catalog(), diagnostics)?;
    let flat = &*lists.under(execution);
    // Its own: what was wrong elsewhere doesn't keep this point from being computed.
    let mut wrong = Diagnostics::default();
    let costs = costs(flat, execution, &workload, &mut wrong);
    let flow = (!wrong.has_errors()).then(|| flow::run(flat, &costs.bound, &costs.report, &mut wrong));
    let complete = !wrong.has_errors();
    // What has no place of its own is said where it was asked for.
    let placed = wrong.iter().any(|said| said.primary.is_some());
    diagnostics.extend(wrong.iter().cloned());
    if !complete {
        if let (false, Some(fact)) = (placed, point.facts.first()) {
            diagnostics.push(not_computed(fact.quantity.value, &fact.value, ""));
        }
        return None;
    }
    if let Some(flow) = flow.as_ref().filter(|_| point.facts.iter().any(|fact| fact.quantity.value == Total::SavedBytes)) {
        saves_are_known(flat, flow, diagnostics);
    }
    Some((costs, flow))
}

/// The workload of a point, complete, and how it runs. `None`: something is wrong with it.
pub fn workload_of_point(lowered: &Lowered, point: &Point) -> Option<(CompleteWorkload, Execution)> {
    let (workload, execution) = stated(point, lowered.checked.classes.catalog(), &mut Diagnostics::default())?;
    let bound = bind(&lowered.under(execution).flat, execution, &workload, &mut Diagnostics::default());
    Some((bound.workload, execution))
}

/// What the facts really are that a model states of itself, each at the place of the value that the file has. What can't be computed goes to
/// `diagnostics`.
pub fn figures_of_facts(lowered: &Lowered, diagnostics: &mut Diagnostics) -> Vec<(Fact, u128)> {
    let Some(expect) = &lowered.checked.model.expect else { return Vec::new() };
    let mut lists = Lists::new(lowered);
    let mut found = Vec::new();
    let mut add = |facts: &[Fact], report: &CostReport, flow: Option<&Flow>, diagnostics: &mut Diagnostics| {
        for fact in facts {
            match figure(fact.quantity.value, report, flow) {
                Some(value) => found.push((fact.clone(), value)),
                None => diagnostics.push(not_computed(fact.quantity.value, &fact.value, "")),
            }
        }
    };
    if !expect.facts.is_empty() {
        let Costs { report, .. } =
            costs(&lists.under(Execution::default()), Execution::default(), &Workload::default(), diagnostics);
        add(&expect.facts, &report, None, diagnostics);
    }
    for point in &expect.points {
        if let Some((Costs { report, .. }, flow)) = at_point(&mut lists, point, diagnostics) {
            add(&point.facts, &report, flow.as_ref(), diagnostics);
        }
    }
    found
}

/// The workload and execution that a point states; what is wrong with them goes to `diagnostics`.
fn stated(point: &Point, catalog: &Catalog, diagnostics: &mut Diagnostics) -> Option<(Workload, Execution)> {
    let mut pairs = Vec::new();
    for variable in &point.workload {
        let value = match &variable.value.datum {
            Datum::Number(n) => Value::Number(*n),
            Datum::Text(text) => Value::Text(text.clone()),
            Datum::Bool(b) => Value::Bool(*b),
            _ => {
                let message = format!("`{}` of an expectation's workload is a constant", variable.name.value);
                let diagnostic = Diagnostic::new(Code::WrongType, message);
                diagnostics.push(diagnostic.at(variable.value.span, "expected a number or a text"));
                return None;
            }
        };
        pairs.push((variable.name.value.clone(), value));
    }
    let stated = Workload::from_pairs(&pairs, catalog).and_then(|stated| match (stated.0.batch_size, stated.0.seq_len) {
        (Some(0), _) => Err(("batch_size".into(), "at least 1".to_owned())),
        (_, Some(0)) => Err(("seq_len".into(), "at least 1".to_owned())),
        _ => Ok(stated),
    });
    match stated {
        Ok(stated) => Some(stated),
        Err((name, expected)) => {
            let span = point.workload.iter().find(|v| v.name.value == name).map(|v| v.value.span)?;
            let diagnostic = Diagnostic::new(Code::WrongType, format!("`{name}` makes no workload"));
            diagnostics.push(diagnostic.at(span, format!("expected {expected}")));
            None
        }
    }
}

fn compare(facts: &[Fact], report: &CostReport, flow: Option<&Flow>, place: &str, diagnostics: &mut Diagnostics) {
    for Fact { quantity, value } in facts {
        match figure(quantity.value, report, flow) {
            Some(found) if found == value.value => {}
            Some(found) => diagnostics.push(unexpected(quantity.value, value, found, place)),
            None => diagnostics.push(not_computed(quantity.value, value, place)),
        }
    }
}

/// `None`: it couldn't be computed.
pub fn figure(total: Total, report: &CostReport, flow: Option<&Flow>) -> Option<u128> {
    match total {
        Total::Layers => Some(report.layers),
        Total::Modules => Some(report.modules),
        Total::PeakBytes => flow?.peak.as_ref().map(|peak| peak.bytes),
        Total::PeakActivationBytes => flow?.peak.as_ref().map(Peak::activation_bytes),
        Total::SavedBytes => flow.map(|flow| flow.saved_bytes),
        Total::Of(_) | Total::Flops | Total::Macs | Total::BytesMoved => report.totals.total(total),
    }
}

fn unexpected(total: Total, value: &Spanned<u128>, found: u128, place: &str) -> Diagnostic {
    let name = total.name();
    let difference = if found > value.value { format!("+{}", found - value.value) } else { format!("-{}", value.value - found) };
    let message = format!("expected {} {name}{place}, found {found} ({difference})", value.value);
    Diagnostic::new(Code::ExpectationFailed, message).at(value.span, format!("found {found}"))
}

/// Unknown is not what was expected.
fn not_computed(total: Total, value: &Spanned<u128>, place: &str) -> Diagnostic {
    let message = format!("expected {} {}{place}, which couldn't be computed", value.value, total.name());
    Diagnostic::new(Code::ExpectationFailed, message).at(value.span, "there is no figure to compare this with")
}
