//! What a model expects of itself, checked: facts of the model as such, and facts at stated workloads.

use std::sync::Arc;

use super::{Costs, costs, saves_are_known};
use crate::cost::CostReport;
use crate::cost::workload::Workload;
use crate::flow::{self, Flow, Peak};
use crate::lower::{Execution, Lowered};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::Value;
use crate::syntax::source::Spanned;
use crate::syntax::spec::{Datum, Fact, Point};

/// Checks `expect` against the report and, for its points, against reports of their own.
pub(super) fn expectations(lowered: &Lowered, report: &CostReport, diagnostics: &mut Diagnostics) {
    let Lowered { checked, flat, .. } = lowered;
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
        let Some((workload, execution)) = stated(point, diagnostics) else {
            continue;
        };
        let Costs { bound, report } = costs(flat, execution, &workload, diagnostics);
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

/// The workload and execution that a point states; what is wrong with them goes to `diagnostics`.
fn stated(point: &Point, diagnostics: &mut Diagnostics) -> Option<(Workload, Execution)> {
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
    let stated = Workload::from_pairs(&pairs).and_then(|stated| match (stated.0.batch_size, stated.0.seq_len) {
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
