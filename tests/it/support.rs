//! Compares a config with what PyTorch made of it: a row of census.jsonl, as `../shared/reference/census.py` writes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use layerspec::catalog::Catalog;
use layerspec::cost::workload::Request;
use layerspec::evaluation::{Compiled, compile};
use layerspec::quantity::workload::{Cache, Phase};
use layerspec::syntax::diag::{Code, Diagnostics, Severity};
use layerspec::syntax::source::Source;
use serde_json::Value as Json;

/// A parameter's path with `*` for layer numbers: how many there are, and their shapes.
type Parameters = BTreeMap<String, (u128, Vec<Vec<u128>>)>;

/// How a config differs from its row; empty if it doesn't.
pub fn differences(source: &Source, row: &Json, catalog: &Arc<Catalog>) -> Vec<String> {
    let mut out = Vec::new();
    let prefill = Request {
        phase: Some(Phase::Prefill),
        batch_size: Some(1),
        seq_len: Some(512),
        cache: Some(Cache::Off),
        ..Request::default()
    };
    let Some(compiled) = at(source, &prefill, catalog, &mut out) else { return out };
    let found = compiled.report.totals.named("params").unwrap_or_default();
    let wanted = count(&row["params"]).expect("a row has params");
    if found != wanted {
        out.push(format!("params {found}, PyTorch {wanted}"));
    }
    parameters(&compiled, row, &mut out);
    if let Some(wanted) = count(&row["prefill_1x512"]) {
        flops("prefill 1x512", &compiled, wanted, &mut out);
    }
    if let Some(wanted) = count(&row["decode_1_past511"]) {
        let decode = Request {
            phase: Some(Phase::Decode),
            batch_size: Some(1),
            seq_len: Some(1),
            past_len: Some(511),
            ..Request::default()
        };
        if let Some(compiled) = at(source, &decode, catalog, &mut out) {
            flops("decode 1 after 511", &compiled, wanted, &mut out);
        }
    }
    out
}

fn at(source: &Source, request: &Request, catalog: &Arc<Catalog>, out: &mut Vec<String>) -> Option<Compiled> {
    let mut diagnostics = Diagnostics::default();
    let compiled = compile(source, catalog, request, &mut diagnostics);
    // A stranger's model may have fewer positions than the workload that all are compared at.
    let told = diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error || !matches!(d.code, Code::BeyondPositions | Code::UnknownArchitecture));
    out.extend(told.take(4).map(|d| format!("{} {}", d.code.id(), d.message)));
    compiled
}

fn flops(point: &str, compiled: &Compiled, wanted: u128, out: &mut Vec<String>) {
    let found = compiled.report.totals.named("matmul_flops").unwrap_or_default();
    if found != wanted {
        let difference = i128::try_from(found).unwrap() - i128::try_from(wanted).unwrap();
        out.push(format!("matmul_flops at {point}: {found}, PyTorch {wanted} ({difference:+})"));
    }
}

fn parameters(compiled: &Compiled, row: &Json, out: &mut Vec<String>) {
    const SHOWN: usize = 12;
    let found = found(compiled);
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
fn found(compiled: &Compiled) -> Parameters {
    let mut found = Parameters::new();
    for instance in compiled.flat.instances() {
        let info = compiled.flat.row(instance.row).unwrap();
        let Some(signature) = compiled.bound.rows[instance.row.0 as usize].signature else { continue };
        for tensor in &compiled.report.tensors[signature as usize] {
            // A tensor that a composite owns is a layer of its name.
            let path = match info.row.class {
                None => instance.path.clone(),
                Some(_) => format!("{}.{}", instance.path, tensor.name),
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
