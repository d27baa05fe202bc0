//! The pipeline from a source to its costs, and what a model expects of itself.
//!
//! Each phase reports into the same [`Diagnostics`] and the next goes on with what could be made, so that independent errors come out in
//! one run. A [`Compiled`] exists only if there was no error.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::cost::bind::{BoundModel, bind};
use crate::cost::workload::{Request, Workload};
use crate::cost::{CostReport, cost};
use crate::flat::{FlatModel, flatten};
use crate::flow::{self, Flow, Peak};
use crate::language::check::{Checked, check};
use crate::language::family;
use crate::quantity::workload::Phase;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::Value;
use crate::syntax::json::{self, Document};
use crate::syntax::source::{Source, Spanned};
use crate::syntax::spec::{self, Datum, Fact, Model, Point};

/// A model, flattened: ready for any number of workloads.
#[derive(Debug)]
pub struct Flattened {
    pub checked: Checked,
    pub flat: FlatModel,
}

/// A model at a workload, with its costs.
#[derive(Debug)]
pub struct Compiled {
    pub checked: Checked,
    pub flat: FlatModel,
    pub bound: BoundModel,
    pub report: CostReport,
    pub flow: Flow,
}

/// Reads, checks and flattens a source. What is wrong goes to `diagnostics`; `None` if there is nothing that could be gone on with.
///
/// An unoptimised build runs it on a stack of its own: within the limits that are stated (layers 128 deep, variables through 128 steps,
/// expressions nested 128 levels) it takes some megabytes, which a test's thread doesn't have. Optimised, it stays under two.
pub fn front(source: &Source, catalog: &Arc<Catalog>, request: &Request, diagnostics: &mut Diagnostics) -> Option<Flattened> {
    const STACK: usize = 32 << 20;
    if !cfg!(debug_assertions) {
        return phases(source, catalog, request, diagnostics);
    }
    let mut work = Some(diagnostics);
    let mut run = || phases(source, catalog, request, work.take()?);
    std::thread::scope(|scope| {
        let spawned = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, &mut run);
        spawned.ok().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
    // Where no thread can be had, the stack of this one has to do.
    .unwrap_or_else(run)
}

fn phases(source: &Source, catalog: &Arc<Catalog>, request: &Request, diagnostics: &mut Diagnostics) -> Option<Flattened> {
    let document = json::read(source, diagnostics)?;
    let model = model(&document, catalog, request.family.as_deref(), diagnostics)?;
    let checked = check(model, catalog, request.settings.clone(), diagnostics);
    let flat = flatten(&checked, diagnostics);
    diagnostics.extend(checked.classes.said());
    Some(Flattened { checked, flat })
}

/// The model of a document: one that is written out, that of a family's file, or what a config's family makes of it.
pub fn model(document: &Document, catalog: &Catalog, family: Option<&str>, diagnostics: &mut Diagnostics) -> Option<Model> {
    if family.is_some() || family::is_config(&document.root) {
        return family::of_config(&document.root, family::Wanted { family }, catalog, diagnostics);
    }
    if let Some(diagnostic) = document.non_finite_number() {
        diagnostics.push(diagnostic);
        return None;
    }
    family::of_file(spec::parse(document, diagnostics)?, catalog, diagnostics)
}

/// Compiles a source at the workload that a request asks for, and checks what the model expects.
///
/// # Errors
/// None as such: everything wrong is in `diagnostics`, and then there is no result.
pub fn compile(source: &Source, catalog: &Arc<Catalog>, request: &Request, diagnostics: &mut Diagnostics) -> Option<Compiled> {
    let Flattened { checked, flat } = front(source, catalog, request, diagnostics)?;
    let (bound, report) = evaluate(&flat, request, diagnostics);
    // Without all of the layers, what one gives says nothing of what the next takes.
    let flow = if diagnostics.has_errors() { Flow::default() } else { flow::run(&flat, &bound, &report, diagnostics) };
    if bound.workload.phase == Phase::Train {
        saves_are_known(&flat, &flow, diagnostics);
    }
    warn_beyond_positions(&flat, &bound.workload, diagnostics);
    nothing_is_skipped(&flat, &bound, diagnostics);
    if !diagnostics.has_errors() {
        expectations(&checked, &flat, &report, diagnostics);
    }
    (!diagnostics.has_errors()).then_some(Compiled { checked, flat, bound, report, flow })
}

/// Binds and costs a flat model. What is wrong goes to `diagnostics`.
pub fn evaluate(flat: &FlatModel, request: &Request, diagnostics: &mut Diagnostics) -> (BoundModel, CostReport) {
    let bound = bind(flat, request, diagnostics);
    let report = cost(flat, &bound, diagnostics);
    (bound, report)
}

/// Unknown is not zero: a layer without a cost and without an error would be missing from the totals.
fn nothing_is_skipped(flat: &FlatModel, bound: &BoundModel, diagnostics: &mut Diagnostics) {
    let skipped = flat.rows.iter().zip(&bound.rows).find(|(_, row)| row.signature.is_none());
    if let Some((info, _)) = skipped.filter(|_| !diagnostics.has_errors()) {
        let message = format!("`{}` has no cost, and nothing says why: a defect of layerspec", info.path);
        diagnostics.push(Diagnostic::new(Code::InvalidClass, message).at(info.row.span, "this layer"));
    }
}

/// Unknown is not zero: what a class doesn't say that it keeps would be missing from the memory of training.
fn saves_are_known(flat: &FlatModel, flow: &Flow, diagnostics: &mut Diagnostics) {
    for info in flow.unknown_saves.iter().filter_map(|id| flat.row(*id)) {
        let message = format!("`{}` doesn't say what its backward pass needs kept, which training needs", info.row.class_name);
        let diagnostic = Diagnostic::new(Code::UnknownSaves, message).at(info.row.span, "a class without `saves`");
        diagnostics.push(diagnostic.note(format!("in layer `{}`", info.path)));
    }
}

fn warn_beyond_positions(flat: &FlatModel, workload: &Workload, diagnostics: &mut Diagnostics) {
    let Some((positions, span)) = flat.positions else {
        return;
    };
    if workload.kv_len() <= u128::from(positions) {
        return;
    }
    let message = format!("the workload has {} tokens a sequence, the model {positions} positions", workload.kv_len());
    diagnostics.push(Diagnostic::new(Code::BeyondPositions, message).at(span, "as many positions as the model has"));
}

/// Checks `expect` against the report and, for its points, against reports of their own.
fn expectations(checked: &Checked, flat: &FlatModel, report: &CostReport, diagnostics: &mut Diagnostics) {
    let Some(expect) = &checked.model.expect else {
        return;
    };
    if checked.structure_was_set() {
        let message = "`expect` was not checked: with `--set` it is another model";
        diagnostics.push(Diagnostic::new(Code::ExpectationsSkipped, message));
        return;
    }
    compare(&expect.facts, report, None, "", diagnostics);
    for point in &expect.points {
        let Some(request) = point_request(point, checked.classes.catalog(), diagnostics) else {
            continue;
        };
        let (bound, report) = evaluate(flat, &request, diagnostics);
        let flow = (!diagnostics.has_errors()).then(|| flow::run(flat, &bound, &report, diagnostics));
        if let Some(flow) = flow.as_ref().filter(|_| point.facts.iter().any(|fact| &*fact.quantity.value == "saved_bytes")) {
            saves_are_known(flat, flow, diagnostics);
        }
        let workload = &bound.workload;
        let place =
            format!(" at {} {}x{}, {} cached", workload.phase.word(), workload.batch_size, workload.seq_len, workload.past_len);
        compare(&point.facts, &report, flow.as_ref(), &place, diagnostics);
    }
}

fn point_request(point: &Point, catalog: &Catalog, diagnostics: &mut Diagnostics) -> Option<Request> {
    let mut request = Vec::new();
    for variable in &point.workload {
        let value = match &variable.value.datum {
            Datum::Number(n) => Value::Number(*n),
            Datum::Text(text) => Value::Text(text.clone()),
            Datum::Bool(b) => Value::Bool(*b),
            _ => {
                let diagnostic = Diagnostic::new(
                    Code::WrongType,
                    format!("`{}` of an expectation's workload is a constant", variable.name.value),
                );
                diagnostics.push(diagnostic.at(variable.value.span, "expected a number or a text"));
                return None;
            }
        };
        request.push((variable.name.value.clone(), value));
    }
    let request = Request::from_pairs(&request, catalog).and_then(|request| match (request.batch_size, request.seq_len) {
        (Some(0), _) => Err(("batch_size".into(), "at least 1".to_owned())),
        (_, Some(0)) => Err(("seq_len".into(), "at least 1".to_owned())),
        _ => Ok(request),
    });
    match request {
        Ok(request) => Some(request),
        Err((name, expected)) => {
            let span = point.workload.iter().find(|v| v.name.value == name).map(|v| v.value.span)?;
            let diagnostic =
                Diagnostic::new(Code::WrongType, format!("`{name}` makes no workload")).at(span, format!("expected {expected}"));
            diagnostics.push(diagnostic);
            None
        }
    }
}

fn compare(facts: &[Fact], report: &CostReport, flow: Option<&Flow>, place: &str, diagnostics: &mut Diagnostics) {
    for Fact { quantity, value } in facts {
        let found = match &*quantity.value {
            "layers" => Some(report.layers),
            "modules" => Some(report.modules),
            "peak_bytes" => flow.and_then(|flow| flow.peak.as_ref()).map(|peak| peak.bytes),
            "peak_activation_bytes" => flow.and_then(|flow| flow.peak.as_ref()).map(Peak::activation_bytes),
            "saved_bytes" => flow.map(|flow| flow.saved_bytes),
            name => report.totals.named(name),
        };
        if let Some(found) = found.filter(|found| *found != value.value) {
            diagnostics.push(unexpected(quantity, value, found, place));
        }
    }
}

fn unexpected(quantity: &Spanned<Arc<str>>, value: &Spanned<u128>, found: u128, place: &str) -> Diagnostic {
    let name = &quantity.value;
    let difference = if found > value.value { format!("+{}", found - value.value) } else { format!("-{}", value.value - found) };
    let message = format!("expected {} {name}{place}, found {found} ({difference})", value.value);
    Diagnostic::new(Code::ExpectationFailed, message).at(value.span, format!("found {found}"))
}
