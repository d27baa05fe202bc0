//! The six models against what PyTorch and transformers say of them (`tests/reference/`), to the last digit.

use std::collections::BTreeMap;

use layerspec::diagnostics::Code;
use layerspec::{Evaluation, Quantity};
use serde_json::Value as Json;

use crate::support::{SESSION, codes, evaluate, model_file, root, workload as asked};

/// A model and the attention that the test's own formulas speak of.
struct Model {
    name: &'static str,
    heads: u128,
    head_dim: u128,
    /// How many layers see how many tokens, the newest included.
    windows: &'static [(u128, u128)],
    attention: &'static str,
}

const ALL: u128 = u128::MAX;
const LLAMA_ATTENTION: &str = "model.layers.*.self_attn";

#[rustfmt::skip]
const MODELS: &[Model] = &[
    Model { name: "distilgpt2",          heads: 12, head_dim: 64,  windows: &[(6, ALL)],            attention: "transformer.h.*.attn" },
    Model { name: "gemma-3-270m",        heads: 4,  head_dim: 256, windows: &[(3, ALL), (15, 512)], attention: LLAMA_ATTENTION },
    Model { name: "llama-2-7b-hf",       heads: 32, head_dim: 128, windows: &[(32, ALL)],           attention: LLAMA_ATTENTION },
    Model { name: "llama-3.2-1b",        heads: 32, head_dim: 64,  windows: &[(16, ALL)],           attention: LLAMA_ATTENTION },
    // Its window of 262144 is longer than its positions.
    Model { name: "phi-4-mini-instruct", heads: 24, head_dim: 128, windows: &[(32, ALL)],           attention: LLAMA_ATTENTION },
    Model { name: "qwen3-0.6b",          heads: 16, head_dim: 128, windows: &[(28, ALL)],           attention: LLAMA_ATTENTION },
];

fn reference(model: &Model) -> Json {
    let path = root("tests/reference").join(format!("{}.json", model.name));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Evaluates at a workload given as JSON; the only diagnostics may be these.
fn at(model: &Model, workload: &Json, expected: &[Code]) -> Evaluation {
    let outcome = evaluate(&SESSION, model.name, model_file(model.name), &asked(workload));
    assert_eq!(codes(&outcome.diagnostics), expected, "{} at {workload}", model.name);
    outcome.into_result().unwrap()
}

/// Exact, whatever the size: a JSON number's digits.
fn count(json: &Json) -> u128 {
    json.to_string().parse().unwrap_or_else(|_| panic!("{json} is not a count"))
}

/// `model.layers.7.mlp` as PyTorch's figures are grouped: `model.layers.*.mlp`.
fn starred(path: &str) -> String {
    let star = |segment: &str| if segment.bytes().all(|b| b.is_ascii_digit()) { "*".to_owned() } else { segment.to_owned() };
    path.split('.').map(star).collect::<Vec<_>>().join(".")
}

/// What PyTorch calls the place of a layer: a function's work is its parent's.
fn booked(path: &str, kind: &str) -> String {
    match kind {
        "module" => starred(path),
        _ => starred(path.rsplit_once('.').map_or("", |(parent, _)| parent)),
    }
}

/// A quantity by place, summed over the full flat list; zeros left out.
fn by_path(at: &Evaluation, quantity: Quantity) -> BTreeMap<String, u128> {
    let mut sums = BTreeMap::new();
    for instance in at.instances() {
        let value = instance.total().unwrap().get(quantity);
        if value > 0 {
            *sums.entry(booked(&instance.path, instance.row.kind())).or_insert(0) += value;
        }
    }
    sums
}

fn map(json: &Json) -> BTreeMap<String, u128> {
    json.as_object().unwrap().iter().map(|(path, n)| (path.clone(), count(n))).collect()
}

/// The workload of a point, with more options.
fn workload(point: &Json, more: &[(&str, &str)]) -> Json {
    const KEYS: [&str; 5] = ["phase", "batch_size", "seq_len", "past_len", "kernel"];
    let given = point.as_object().unwrap().iter().filter(|(key, _)| KEYS.contains(&key.as_str()));
    let more = more.iter().map(|(key, value)| ((*key).to_owned(), Json::from(*value)));
    Json::Object(given.map(|(k, v)| (k.clone(), v.clone())).chain(more).collect())
}

/// Only what is beyond the positions is warned of.
fn expected_codes(point: &Json) -> &'static [Code] {
    if point["beyond_positions"] == true { &[Code::BeyondPositions] } else { &[] }
}

fn points<'j>(reference: &'j Json, phases: &'static [&'static str]) -> impl Iterator<Item = &'j Json> {
    let points = reference["points"].as_array().unwrap().iter();
    points.filter(|point| phases.contains(&point["phase"].as_str().unwrap()))
}

#[test]
fn the_table_has_every_reference() {
    let entries = std::fs::read_dir(root("tests/reference")).unwrap().map(|entry| entry.unwrap().path());
    let json = entries.filter(|path| path.extension().is_some_and(|e| e == "json"));
    let mut stems: Vec<String> = json.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    stems.sort();
    // tests/it/memory.rs, small.rs, conventions.rs, training.rs and checkpoints.rs read these.
    stems.retain(|stem| !["memory", "small", "conventions", "training", "hub"].contains(&stem.as_str()));
    assert_eq!(stems, MODELS.iter().map(|m| m.name).collect::<Vec<_>>());
}

#[test]
fn parameters_in_total_and_by_path() {
    for model in MODELS {
        let reference = reference(model);
        let evaluation = at(model, &serde_json::json!({}), &[]);
        assert_eq!(evaluation.params(), count(&reference["params"]), "{}", model.name);

        let mut found: BTreeMap<String, (u128, u128)> = BTreeMap::new();
        for instance in evaluation.instances() {
            // Without regard to ties: PyTorch lists a tied tensor under every name that it has.
            let params: u128 = instance.row.weights().iter().map(|tensor| tensor.elements).sum();
            if params > 0 {
                let entry = found.entry(starred(&instance.path)).or_insert((0, params));
                assert_eq!(entry.1, params, "{}: {} differs from its siblings", model.name, instance.path);
                entry.0 += 1;
            }
        }
        let listed = reference["params_by_path"].as_object().unwrap();
        let listed: BTreeMap<String, (u128, u128)> =
            listed.iter().map(|(path, n)| (path.clone(), (count(&n[0]), count(&n[1])))).collect();
        assert_eq!(found, listed, "{}", model.name);
        let ignoring: u128 = found.values().map(|(modules, params)| modules * params).sum();
        assert_eq!(ignoring, count(&reference["params_ignoring_tying"]), "{}", model.name);
    }
}

/// The reference's starred leaves written out, layer by layer: `(path, class)`.
fn leaf_modules(reference: &Json) -> Vec<(String, String)> {
    let text = |json: &Json| json.as_str().unwrap().to_owned();
    let leaves: Vec<(String, String, u128)> = reference["leaf_modules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|leaf| (text(&leaf[0]), text(&leaf[1]), count(&leaf[2])))
        .collect();
    let mut list = Vec::new();
    for run in leaves.chunk_by(|a, b| a.2 == b.2 && a.0.contains('*') == b.0.contains('*')) {
        let layers = if run[0].0.contains('*') { run[0].2 } else { 1 };
        for layer in 0..layers {
            list.extend(run.iter().map(|(path, class, _)| (path.replace('*', &layer.to_string()), class.clone())));
        }
    }
    list
}

#[test]
fn the_modules_of_the_flat_list_are_pytorchs_leaves_in_order_of_execution() {
    for model in MODELS {
        let reference = reference(model);
        let evaluation = at(model, &serde_json::json!({}), &[]);
        let mut found = Vec::new();
        for instance in evaluation.instances() {
            if instance.row.kind() == "module" {
                found.push((instance.path, instance.row.class_name().to_owned()));
            }
        }
        let expected = leaf_modules(&reference);
        assert_eq!(expected.len() as u128, count(&reference["modules"]), "{}", model.name);
        assert_eq!(evaluation.modules(), count(&reference["modules"]), "{}", model.name);
        for (index, pair) in found.iter().zip(&expected).enumerate() {
            assert_eq!(pair.0, pair.1, "{}, module {index}", model.name);
        }
        assert_eq!(found.len(), expected.len(), "{}", model.name);
    }
}

#[test]
fn matmul_flops_of_prefill_and_decode() {
    let mut warned = 0;
    for model in MODELS {
        let reference = reference(model);
        for point in points(&reference, &["prefill", "decode"]) {
            let evaluation = at(model, &workload(point, &[]), expected_codes(point));
            warned += usize::from(!expected_codes(point).is_empty());
            assert_eq!(evaluation.matmul_flops(), count(&point["matmul_flops"]), "{} {point}", model.name);
            assert_eq!(by_path(&evaluation, Quantity::MatmulFlops), map(&point["by_path"]), "{} {point}", model.name);
        }
    }
    assert!(warned > 0, "no point tests the warning");
}

#[test]
fn matmul_flops_with_the_last_positions_logits() {
    for model in MODELS {
        let reference = reference(model);
        for point in points(&reference, &["prefill", "decode"]) {
            let evaluation = at(model, &workload(point, &[("logits", "last")]), expected_codes(point));
            // In a decode step of one token the last position is all of them.
            let expected = if point["phase"] == "decode" { &point["matmul_flops"] } else { &point["matmul_flops_last_logits"] };
            assert_eq!(evaluation.matmul_flops(), count(expected), "{} {point}", model.name);
            let mut paths = map(&point["by_path"]);
            *paths.get_mut("lm_head").unwrap() /= count(&point["seq_len"]);
            assert_eq!(by_path(&evaluation, Quantity::MatmulFlops), paths, "{} {point}", model.name);
        }
    }
}

#[test]
fn training_forward_and_backward_with_both_kernels() {
    for model in MODELS {
        let reference = reference(model);
        let mut kernels = Vec::new();
        for point in points(&reference, &["train"]) {
            kernels.push(point["kernel"].as_str().unwrap());
            let evaluation = at(model, &workload(point, &[]), &[]);
            let (forward, backward) = (evaluation.matmul_flops(), evaluation.total(Quantity::BackwardMatmulFlops));
            assert_eq!(forward, count(&point["forward"]), "{} {point}", model.name);
            assert_eq!(backward, count(&point["backward"]), "{} {point}", model.name);
            assert_eq!(forward + backward, count(&point["total"]), "{} {point}", model.name);
            assert_eq!(by_path(&evaluation, Quantity::MatmulFlops), map(&point["by_path"]), "{} {point}", model.name);
            let backward = by_path(&evaluation, Quantity::BackwardMatmulFlops);
            assert_eq!(backward, map(&point["backward_by_path"]), "{} {point}", model.name);
        }
        assert_eq!(kernels, ["math", "flash"], "{}", model.name);
    }
}

#[test]
fn cache_bytes_after_prefill_and_decode() {
    for model in MODELS {
        let reference = reference(model);
        let mut seen = Vec::new();
        for point in points(&reference, &["prefill", "decode"]) {
            let (batch, seq) = (count(&point["batch_size"]), count(&point["seq_len"]));
            let (table, key) = match point["phase"].as_str().unwrap() {
                "prefill" => ("cache_bytes", format!("{batch}x{seq}")),
                _ => ("cache_bytes_after_decode", format!("{batch}x{seq}@{}", count(&point["past_len"]))),
            };
            let evaluation = at(model, &workload(point, &[]), expected_codes(point));
            assert_eq!(evaluation.total(Quantity::CacheBytes), count(&reference[table][&key]), "{} {key}", model.name);
            seen.push(key);
        }
        let listed = ["cache_bytes", "cache_bytes_after_decode"].map(|table| reference[table].as_object().unwrap().len());
        assert_eq!(seen.len(), listed.iter().sum::<usize>(), "{}: a cache figure has no point", model.name);
    }
}

/// Pairs of a query and a key among the first `n` tokens, with a window of `w` (the newest token included).
fn pairs(n: u128, w: u128) -> u128 {
    if n <= w { n * (n + 1) / 2 } else { n * w - w * (w - 1) / 2 }
}

#[test]
fn masked_attention_counts_the_pairs_that_the_mask_keeps() {
    for model in MODELS {
        let reference = reference(model);
        for point in points(&reference, &["prefill", "decode", "train"]) {
            let number = |key: &str| point.get(key).map_or(0, count);
            let (batch, seq, past) = (number("batch_size"), number("seq_len"), number("past_len"));
            let evaluation = at(model, &workload(point, &[("attention", "masked")]), expected_codes(point));

            let new_pairs = |window| pairs(past + seq, window) - pairs(past, window);
            let all_layers: u128 = model.windows.iter().map(|(layers, window)| layers * new_pairs(*window)).sum();
            // Two products, of queries with keys and of scores with values: 2 head_dim FLOPs a pair each.
            let expected = 4 * batch * model.heads * model.head_dim * all_layers;

            let mut paths = map(&point["by_path"]);
            paths.insert(model.attention.to_owned(), expected);
            assert_eq!(by_path(&evaluation, Quantity::MatmulFlops), paths, "{} {point}", model.name);
            assert_eq!(evaluation.matmul_flops(), paths.values().sum::<u128>(), "{} {point}", model.name);
        }
    }
}
