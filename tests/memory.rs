//! Memory against PyTorch's own: peaks of forward passes and what training saves, to the byte (tests/reference/memory.json).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::BTreeMap;

use layerspec::catalog::Catalog;
use layerspec::compile::{Compiled, compile};
use layerspec::diag::Diagnostics;
use layerspec::expr::{Exact, Value};
use layerspec::source::{Source, SourceId};
use layerspec::workload::Request;
use serde_json::Value as Json;

fn facts() -> Json {
    serde_json::from_str(include_str!("reference/memory.json")).unwrap()
}

/// Compiles the model of a fact at its workload.
fn compiled<'c>(catalog: &'c Catalog, fact: &Json) -> Compiled<'c> {
    let model = fact["model"].as_str().unwrap();
    let bytes = std::fs::read(format!("{}/models/{model}.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let source = Source::load(SourceId::MODEL, model, &bytes).unwrap();
    let value = |value: &Json| match value {
        Json::String(text) => Value::text(text),
        number => Value::Number(Exact::parse(&number.to_string()).unwrap()),
    };
    let pairs: Vec<_> = fact["workload"].as_object().unwrap().iter().map(|(name, v)| (name.as_str().into(), value(v))).collect();
    let mut diagnostics = Diagnostics::default();
    let compiled = compile(&source, catalog, &Request::from_pairs(&pairs).unwrap(), &mut diagnostics);
    compiled.unwrap_or_else(|| panic!("{model}: {diagnostics:?}"))
}

#[test]
fn peaks_equal_pytorchs() {
    let catalog = Catalog::new();
    let facts = facts();
    let peaks = facts["peaks"].as_array().unwrap();
    assert_eq!(peaks.len(), 59);
    for fact in peaks {
        let found = compiled(&catalog, fact).flow.peak.unwrap();
        assert_eq!(found.bytes, u128::from(fact["peak_bytes"].as_u64().unwrap()), "{fact} at {}", found.path);
    }
}

/// `model.layers.*.self_attn` for a function in it, as the reference books what no module of its own saves.
fn module_path(path: &str, is_module: bool) -> String {
    let path = if is_module { path } else { path.rsplit_once('.').map_or("", |(outer, _)| outer) };
    let starred = path.split('.').map(|part| if part.parse::<u64>().is_ok() { "*" } else { part });
    starred.collect::<Vec<_>>().join(".")
}

#[test]
fn what_training_saves_equals_pytorchs_in_total_and_per_module() {
    let catalog = Catalog::new();
    let facts = facts();
    let saved = facts["saved"].as_array().unwrap();
    assert_eq!(saved.len(), 14);
    for fact in saved {
        let compiled = compiled(&catalog, fact);
        assert_eq!(compiled.flow.saved_bytes, u128::from(fact["saved_bytes"].as_u64().unwrap()), "{}", fact["quantity"]);
        let mut modules: BTreeMap<String, u128> = BTreeMap::new();
        for (info, flow) in compiled.flat.rows.iter().zip(&compiled.flow.rows) {
            let concrete: String =
                info.path.split('.').map(|p| if p.starts_with('[') { "0" } else { p }).collect::<Vec<_>>().join(".");
            *modules.entry(module_path(&concrete, info.row.kind_word() == "module")).or_default() += flow.saved_total();
        }
        modules.retain(|_, bytes| *bytes > 0);
        let wanted: BTreeMap<String, u128> = fact["by_module"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(path, row)| (path.clone(), u128::from(row[1].as_u64().unwrap())))
            .collect();
        assert_eq!(modules, wanted, "{} {}", fact["model"], fact["quantity"]);
    }
}
