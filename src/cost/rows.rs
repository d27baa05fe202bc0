//! What every row of a flat model costs, and all of them: totals are the fold of the rows.
//!
//! A [`BoundModel`] comes in, a [`CostReport`] goes out. Tied weights count where they are defined.

use std::sync::Arc;

use super::evaluate::{Evaluated, evaluate};
use super::ports::Ports;
use super::problem::Problem;
use super::tensors::Tensor;
use crate::cost::bind::BoundModel;
use crate::flat::{FlatModel, RowInfo, Tied};
use crate::quantity::{Cost, Quantity};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};

/// The cost of every row, and of all.
#[derive(Debug)]
pub struct CostReport {
    /// One a row of the flat model: one instance, run once.
    pub rows: Vec<RowCost>,
    /// The fold of the rows.
    pub totals: Cost,
    /// Basic layers, and how many of them are modules.
    pub layers: u128,
    pub modules: u128,
    /// What layers take, give, need and keep: one a signature; `None` where something was wrong.
    pub ports: Vec<Option<Ports>>,
    /// The tensors that layers own: one list a signature.
    pub tensors: Vec<Vec<Tensor>>,
}

#[derive(Debug, Clone)]
pub struct RowCost {
    pub cost: Cost,
    /// How often each instance runs.
    pub calls: u128,
    /// The cost of all instances and calls.
    pub total: Cost,
    /// The names of its weights that count where they are defined, elsewhere.
    pub tied: Vec<Arc<str>>,
}

/// Evaluates every row. What is wrong goes to `diagnostics`; with errors among them the report is incomplete.
pub fn cost(flat: &FlatModel, bound: &BoundModel, diagnostics: &mut Diagnostics) -> CostReport {
    let evaluated: Vec<Result<Evaluated, Problem>> =
        bound.signatures.iter().map(|signature| evaluate(signature, &bound.builtins, bound.workload.phase)).collect();
    let find = |row: usize| {
        let signature = bound.rows.get(row)?.signature?;
        evaluated.get(signature as usize)
    };
    let mut report = CostReport {
        rows: Vec::with_capacity(flat.rows.len()),
        totals: Cost::default(),
        layers: 0,
        modules: 0,
        ports: Vec::new(),
        tensors: Vec::new(),
    };
    for (at, info) in flat.rows.iter().enumerate() {
        let mut away = Vec::new();
        let (mut cost, calls) = (Cost::default(), bound.rows.get(at).map_or(0, |row| row.calls));
        match find(at) {
            Some(Ok(found)) => {
                cost = found.cost;
                let mut gone: Vec<&Arc<str>> = Vec::new();
                for tied in &info.row.tied {
                    let target = find(tied.target.0 as usize).and_then(|t| t.as_ref().ok());
                    if let Some(target) = target {
                        untie(&mut cost, found, target, tied, info, &mut gone, diagnostics);
                    }
                }
                away = gone.into_iter().cloned().collect();
            }
            // What a missing value is the consequence of was reported where it went missing.
            Some(Err(problem)) if problem.follows => {}
            Some(Err(problem)) => diagnostics.push(problem.diagnostic(info)),
            None => {}
        }
        let total = cost.times(info.repeats, calls);
        let sum = total.and_then(|total| report.totals.plus(&total));
        match (total, sum) {
            (Some(total), Some(sum)) => {
                report.totals = sum;
                report.rows.push(RowCost { cost, calls, total, tied: away });
            }
            _ => {
                let message = "the total is beyond 2^128 - 1";
                diagnostics
                    .push(Diagnostic::new(Code::Overflow, message).at(info.row.span, "this layer's share leaves 128 bits"));
                report.rows.push(RowCost { cost, calls, total: Cost::default(), tied: away });
            }
        }
    }
    if let Some(span) = flat.overflow {
        diagnostics
            .push(Diagnostic::new(Code::Overflow, "the model has more than 2^128 - 1 layers").at(span, "too many instances"));
    }
    (report.layers, report.modules) = flat.counts().unwrap_or_default();
    for result in evaluated {
        let (ports, tensors) = result.map_or((None, Vec::new()), |found| (Some(found.ports), found.tensors));
        report.ports.push(ports);
        report.tensors.push(tensors);
    }
    report
}

/// Takes tied weights out of a row's cost: they count where they are defined.
fn untie<'e>(
    cost: &mut Cost,
    own: &'e Evaluated,
    target: &Evaluated,
    tied: &Tied,
    info: &RowInfo,
    gone: &mut Vec<&'e Arc<str>>,
    diagnostics: &mut Diagnostics,
) {
    for tensor in own.tensors.iter().filter(|t| tied.weight.as_ref().is_none_or(|name| *name == t.name)) {
        let wanted = tied.target_weight.as_ref().unwrap_or(&tensor.name);
        // A bias that the target lacks isn't tied.
        let Some(other) = target.tensors.iter().find(|t| t.name == *wanted) else {
            continue;
        };
        if other.shape != tensor.shape {
            let message = format!(
                "`{}` of `{}` is {}, and what it is tied to is {}",
                tensor.name,
                info.path,
                shown(&tensor.shape),
                shown(&other.shape)
            );
            let diagnostic = Diagnostic::new(Code::TiedShapesDiffer, message)
                .at(tied.span, format!("tied to `{}` of `{}`", other.name, tied.path))
                .also(info.row.span, format!("`{}` is {}", tensor.name, shown(&tensor.shape)));
            diagnostics.push(diagnostic);
            continue;
        }
        // A layer may be tied itself and as a part of its composite.
        if gone.contains(&&tensor.name) {
            continue;
        }
        gone.push(&tensor.name);
        cost.set(Quantity::Params, cost.get(Quantity::Params).saturating_sub(tensor.elements));
        cost.set(Quantity::ActiveParams, cost.get(Quantity::ActiveParams).saturating_sub(tensor.elements));
        cost.set(Quantity::WeightBytes, cost.get(Quantity::WeightBytes).saturating_sub(tensor.bytes));
    }
}

fn shown(shape: &[u128]) -> String {
    let dims: Vec<String> = shape.iter().map(u128::to_string).collect();
    format!("[{}]", dims.join(", "))
}
