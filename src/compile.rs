//! The pipeline from a source to its costs, and what a model expects of itself.
//!
//! Each phase reports into the same [`Diagnostics`] and the next goes on with what could be made, so that independent errors come out in
//! one run. A [`Compiled`] exists only if there was no error.

use std::sync::Arc;

use crate::bind::{BoundModel, bind};
use crate::catalog::Catalog;
use crate::check::{Checked, check, own_workload};
use crate::cost::{CostReport, cost};
use crate::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::expr::Value;
use crate::flatten::{FlatModel, flatten};
use crate::json;
use crate::source::{Source, Spanned};
use crate::spec::{self, Datum, Fact, Point};
use crate::workload::{Request, VARIABLES, Workload};

/// A model, flattened: ready for any number of workloads.
#[derive(Debug)]
pub struct Flattened<'c> {
    pub checked: Checked<'c>,
    pub flat: FlatModel,
}

/// A model at a workload, with its costs.
#[derive(Debug)]
pub struct Compiled<'c> {
    pub checked: Checked<'c>,
    pub flat: FlatModel,
    pub bound: BoundModel,
    pub report: CostReport,
}

/// Reads, checks and flattens a source. What is wrong goes to `diagnostics`; `None` if there is nothing that could be gone on with.
pub fn front<'c>(
    source: &Source,
    catalog: &'c Catalog,
    settings: Vec<(Arc<str>, Value)>,
    diagnostics: &mut Diagnostics,
) -> Option<Flattened<'c>> {
    let document = match json::read(source) {
        Ok(document) => document,
        Err(errors) => {
            diagnostics.extend(errors.iter().cloned());
            return None;
        }
    };
    let model = spec::parse(&document, diagnostics)?;
    let checked = check(model, catalog, settings, diagnostics);
    let flat = flatten(&checked, diagnostics);
    Some(Flattened { checked, flat })
}

/// Compiles a source at the workload that a request asks for, and checks what the model expects.
///
/// # Errors
/// None as such: everything wrong is in `diagnostics`, and then there is no result.
pub fn compile<'c>(
    source: &Source,
    catalog: &'c Catalog,
    request: &Request,
    diagnostics: &mut Diagnostics,
) -> Option<Compiled<'c>> {
    let Flattened { checked, flat } = front(source, catalog, request.settings.clone(), diagnostics)?;
    let (bound, report) = evaluate(&flat, request, diagnostics);
    warn_beyond_positions(&flat, &bound.workload, diagnostics);
    if !diagnostics.has_errors() {
        expectations(&checked, &flat, &report, diagnostics);
    }
    (!diagnostics.has_errors()).then_some(Compiled { checked, flat, bound, report })
}

/// Binds and costs a flat model. What is wrong goes to `diagnostics`.
pub fn evaluate(flat: &FlatModel, request: &Request, diagnostics: &mut Diagnostics) -> (BoundModel, CostReport) {
    let bound = bind(flat, request, diagnostics);
    let report = cost(flat, &bound, diagnostics);
    (bound, report)
}

/// What an expectation's workload may say besides workload variables.
const POINT_OPTIONS: &[&str] = &["phase", "attention", "kernel", "logits", "dtype", "weight_dtype", "kv_dtype"];

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
fn expectations(checked: &Checked<'_>, flat: &FlatModel, report: &CostReport, diagnostics: &mut Diagnostics) {
    let Some(expect) = &checked.model.expect else {
        return;
    };
    if checked.structure_was_set() {
        let message = "`expect` was not checked: with `--set` it is another model";
        diagnostics.push(Diagnostic::new(Code::ExpectationsSkipped, message));
        return;
    }
    compare(&expect.facts, report, "", diagnostics);
    for point in &expect.points {
        let Some(request) = point_request(point, checked, diagnostics) else {
            continue;
        };
        let (bound, report) = evaluate(flat, &request, diagnostics);
        let workload = &bound.workload;
        let place =
            format!(" at {} {}x{}, {} cached", workload.phase.word(), workload.batch_size, workload.seq_len, workload.past_len);
        compare(&point.facts, &report, &place, diagnostics);
    }
}

fn point_request(point: &Point, checked: &Checked<'_>, diagnostics: &mut Diagnostics) -> Option<Request> {
    let own: Vec<&str> = own_workload(&checked.model).map(|v| &*v.name.value).collect();
    let names = || POINT_OPTIONS.iter().copied().chain(VARIABLES.iter().map(|(name, _)| *name)).chain(own.iter().copied());
    let mut request = Vec::new();
    for variable in &point.workload {
        let name = &variable.name;
        if !names().any(|n| n == &*name.value) {
            let near = nearest(&name.value, names());
            let diagnostic = Diagnostic::new(Code::UnknownKey, format!("`{}` is no part of a workload", name.value))
                .at(name.span, "not a workload variable");
            diagnostics.push(near.into_iter().fold(diagnostic, |d, near| d.help(format!("did you mean `{near}`?"))));
            return None;
        }
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
    match Request::from_pairs(&request) {
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

fn compare(facts: &[Fact], report: &CostReport, place: &str, diagnostics: &mut Diagnostics) {
    for Fact { quantity, value } in facts {
        let found = match &*quantity.value {
            "layers" => Some(report.layers),
            "modules" => Some(report.modules),
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
