//! Compares a config with what PyTorch made of it: a row of census.jsonl, as `../shared/reference/census.py` writes it.

use std::collections::BTreeMap;

use layerspec::diagnostics::{Code, Severity};
use layerspec::{Cache, Evaluation, Execution, Model, Outcome, Workload};
use serde_json::Value as Json;

/// A parameter's path with `*` for layer numbers: how many there are, and their shapes.
type Parameters = BTreeMap<String, (u128, Vec<Vec<u128>>)>;

/// How a config differs from its row; empty if it doesn't.
pub fn differences(model: &Outcome<Model>, row: &Json) -> Vec<String> {
    let mut out = Vec::new();
    let without_cache = Execution { cache: Cache::Off, ..Execution::default() };
    let Some(prefill) = at(model, &without_cache, &Workload::prefill(1, 512), &mut out) else { return out };
    let wanted = count(&row["params"]).expect("a row has params");
    if prefill.params() != wanted {
        out.push(format!("params {}, PyTorch {wanted}", prefill.params()));
    }
    parameters(&prefill, row, &mut out);
    if let Some(wanted) = count(&row["prefill_1x512"]) {
        flops("prefill 1x512", &prefill, wanted, &mut out);
    }
    if let Some(wanted) = count(&row["decode_1_past511"])
        && let Some(decode) = at(model, &Execution::default(), &Workload::decode(1, 511), &mut out)
    {
        flops("decode 1 after 511", &decode, wanted, &mut out);
    }
    out
}

fn at(model: &Outcome<Model>, execution: &Execution, workload: &Workload, out: &mut Vec<String>) -> Option<Evaluation> {
    let outcome = model.clone().and_then(|model| model.lowered(execution)).and_then(|lowered| lowered.at(workload));
    // A stranger's model may have fewer positions than the workload that all are compared at, or none.
    let told = outcome.diagnostics.iter().filter(|d| {
        d.severity == Severity::Error
            || !matches!(d.code, Code::BeyondPositions | Code::UnknownArchitecture | Code::WithoutEffect)
    });
    out.extend(told.take(4).map(|d| format!("{} {}", d.code.id(), d.message)));
    outcome.value
}

fn flops(point: &str, at: &Evaluation, wanted: u128, out: &mut Vec<String>) {
    let found = at.matmul_flops();
    if found != wanted {
        let difference = i128::try_from(found).unwrap() - i128::try_from(wanted).unwrap();
        out.push(format!("matmul_flops at {point}: {found}, PyTorch {wanted} ({difference:+})"));
    }
}

fn parameters(at: &Evaluation, row: &Json, out: &mut Vec<String>) {
    const SHOWN: usize = 12;
    let found = found(at);
    let wanted: Parameters = row["parameters"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, row)| {
            let row = row.as_array().unwrap();
            let shapes =
                row[1..].iter().map(|shape| shape.as_array().unwrap().iter().map(|n| count(n).unwrap()).collect()).collect();
            (path.clone(), (count(&row[0]).unwrap(), shapes))
        })
        .collect();
    let mut differ = Vec::new();
    for (path, (count, shapes)) in &wanted {
        match found.get(path) {
            None => differ.push(format!("lacks {path} x{count} {shapes:?}")),
            Some((n, _)) if n != count => differ.push(format!("{path}: {n} of them, PyTorch {count}")),
            // A row has at most six shapes.
            Some((_, own)) if own.iter().take(6).ne(shapes.iter()) => differ.push(format!("{path}: {own:?}, PyTorch {shapes:?}")),
            _ => {}
        }
    }
    differ.extend(found.keys().filter(|path| !wanted.contains_key(*path)).map(|path| format!("has {path}, PyTorch doesn't")));
    let more = differ.len().saturating_sub(SHOWN);
    out.extend(differ.into_iter().take(SHOWN));
    if more > 0 {
        out.push(format!("... and {more} more parameters differ"));
    }
}

/// Every parameter with its concrete path, starred, as `named_parameters(remove_duplicate=False)` lists them.
fn found(at: &Evaluation) -> Parameters {
    let mut found = Parameters::new();
    for instance in at.instances() {
        for tensor in instance.row.weights() {
            // A tensor that a composite owns is a layer of its name.
            let path = match instance.row.kind() {
                "parameter" => instance.path.clone(),
                _ => format!("{}.{}", instance.path, tensor.name),
            };
            let entry = found.entry(starred(&path)).or_default();
            entry.0 += 1;
            if !entry.1.contains(&tensor.shape) {
                entry.1.push(tensor.shape.clone());
            }
        }
    }
    found
}

fn starred(path: &str) -> String {
    let star =
        |part: &str| if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) { "*".to_owned() } else { part.to_owned() };
    path.split('.').map(star).collect::<Vec<_>>().join(".")
}

/// Exact, whatever the size.
fn count(json: &Json) -> Option<u128> {
    if json.is_number() { json.to_string().parse().ok() } else { None }
}
