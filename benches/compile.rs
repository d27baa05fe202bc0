//! How long an answer takes: `cargo bench`. Aims: a model in under 1 ms, another workload in under 20 us, 46,000 distinct layers in under
//! 100 ms, the peak of 100 layers well under 1 ms and of 46,000 distinct ones under 50 ms, a fit in well under 10 ms, a body repeated 10^12 times no slower than the same body once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark that fails should stop")]

use divan::{Bencher, black_box};
use layerspec::analysis::fit::{Question, fit};
use layerspec::analysis::memory::{Checkpointing, Parts, Training, plan};
use layerspec::catalog::Catalog;
use layerspec::cost::workload::Request;
use layerspec::evaluation::{Compiled, compile, evaluate, front};
use layerspec::flow;
use layerspec::report::units::Units;
use layerspec::report::{By, FORMATS, Options};
use layerspec::syntax::diag::Diagnostics;
use layerspec::syntax::source::{Source, SourceId};
use serde_json::json;
use std::sync::Arc;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

const LLAMA: &str = include_str!("../models/llama-2-7b-hf.json");

fn source(text: &str) -> Source {
    Source::load(SourceId::MODEL, "bench.json", text.as_bytes()).unwrap()
}

fn costs(source: &Source, catalog: &Arc<Catalog>) -> Compiled {
    compile(source, catalog, &Request::default(), &mut Diagnostics::default()).expect("the model compiles")
}

/// Source text to costs; the classes are already parsed.
#[divan::bench]
fn llama_2_7b_warm(bencher: Bencher) {
    let (source, catalog) = (source(LLAMA), Arc::new(Catalog::new()));
    costs(&source, &catalog);
    bencher.bench_local(|| costs(black_box(&source), &catalog).report.totals);
}

/// The same in a new process: every class that is used is parsed.
#[divan::bench]
fn llama_2_7b_cold(bencher: Bencher) {
    let source = source(LLAMA);
    bencher.bench_local(|| costs(black_box(&source), &Arc::new(Catalog::new())).report.totals);
}

const CONFIG: &str = include_str!("../docs/examples/config.json");

/// A config of a family that extends two others, text to costs; the files of the catalog are already parsed.
#[divan::bench]
fn qwen3_config_warm(bencher: Bencher) {
    let (source, catalog) = (source(CONFIG), Arc::new(Catalog::new()));
    costs(&source, &catalog);
    bencher.bench_local(|| costs(black_box(&source), &catalog).report.totals);
}

/// The same in a new process.
#[divan::bench]
fn qwen3_config_cold(bencher: Bencher) {
    let source = source(CONFIG);
    bencher.bench_local(|| costs(black_box(&source), &Arc::new(Catalog::new())).report.totals);
}

/// An already flattened model at another workload.
#[divan::bench]
fn llama_2_7b_another_workload(bencher: Bencher) {
    let (source, catalog) = (source(LLAMA), Arc::new(Catalog::new()));
    let flattened = front(&source, &catalog, &Request::default(), &mut Diagnostics::default()).unwrap();
    let mut batch_size = 0;
    bencher.bench_local(|| {
        batch_size = batch_size % 64 + 1;
        let request = Request { batch_size: Some(batch_size), seq_len: Some(1024), ..Request::default() };
        evaluate(&flattened.flat, &request, &mut Diagnostics::default()).1.totals
    });
}

/// A body that doesn't use its index is compiled once, however often it is repeated.
#[divan::bench(args = [1, 1_000_000_000_000])]
fn llama_2_7b_layers(bencher: Bencher, layers: u64) {
    let text = LLAMA.replacen("\"num_hidden_layers\": 32", &format!("\"num_hidden_layers\": {layers}"), 1);
    let (text, _) = text.split_once("\"expect\"").unwrap();
    let (source, catalog) = (source(&format!("{text} \"expect\": {{}} }}")), Arc::new(Catalog::new()));
    bencher.bench_local(|| costs(black_box(&source), &catalog).report.totals);
}

/// 11,500 bodies of four layers, each of another size.
fn distinct_rows() -> Source {
    let linear = |name: &str, i: &str, o: &str| json!({ "name": name, "class": "torch.nn.modules.linear.Linear", "parameters": { "in_features": i, "out_features": o, "bias": false } });
    let model = json!({
        "variables": { "hidden_size": 512 },
        "layers": [{
            "name": "layers", "repeat": 11_500, "variables": { "width": "4 * <hidden_size> + <layer>" },
            "sub_layers": [
                linear("gate", "<hidden_size>", "<width>"),
                { "name": "act", "class": "torch.nn.modules.activation.GELU", "parameters": { "features": "<width>" } },
                { "name": "norm", "class": "torch.nn.modules.normalization.LayerNorm", "parameters": { "normalized_shape": "<width>" } },
                linear("down", "<width>", "<hidden_size>"),
            ]
        }]
    });
    source(&model.to_string())
}

/// Source text to costs. What was made is dropped outside of the measurement.
#[divan::bench(sample_count = 20)]
fn distinct_rows_46000(bencher: Bencher) {
    let (source, catalog) = (distinct_rows(), Arc::new(Catalog::new()));
    assert_eq!(costs(&source, &catalog).flat.rows.len(), 46_000);
    bencher.bench_local(|| costs(black_box(&source), &catalog));
}

/// Source text to the public JSON of all rows.
#[divan::bench(sample_count = 20)]
fn distinct_rows_46000_to_json(bencher: Bencher) {
    let (source, catalog) = (distinct_rows(), Arc::new(Catalog::new()));
    let json = FORMATS.iter().find(|format| format.name == "json").unwrap();
    let options = Options { by: By::Layer, depth: 1, expand: true, exact: true, units: Units::Si, color: false, width: 100 };
    bencher.bench_local(|| {
        let compiled = costs(black_box(&source), &catalog);
        let mut out = Vec::new();
        (json.render)(&compiled, &options, &mut out).unwrap();
        (compiled, out.len())
    });
}

/// The peak of a forward pass of 100 layers: shapes, lifetimes, all of them.
#[divan::bench]
fn peak_of_100_layers(bencher: Bencher) {
    let text = LLAMA.replacen("\"num_hidden_layers\": 32", "\"num_hidden_layers\": 100", 1);
    let (text, _) = text.split_once("\"expect\"").unwrap();
    let (source, catalog) = (source(&format!("{text} \"expect\": {{}} }}")), Arc::new(Catalog::new()));
    let compiled = costs(&source, &catalog);
    bencher.bench_local(|| {
        flow::run(black_box(&compiled.flat), &compiled.bound, &compiled.report, &mut Diagnostics::default()).peak.unwrap().bytes
    });
}

/// The same of 46,000 distinct layers.
#[divan::bench(sample_count = 20)]
fn peak_of_46000_distinct_rows(bencher: Bencher) {
    let (source, catalog) = (distinct_rows(), Arc::new(Catalog::new()));
    let compiled = costs(&source, &catalog);
    bencher.bench_local(|| flow::run(black_box(&compiled.flat), &compiled.bound, &compiled.report, &mut Diagnostics::default()));
}

/// The largest batch and the longest context on a device.
#[divan::bench]
fn fit_solver(bencher: Bencher) {
    let (source, catalog) = (source(LLAMA), Arc::new(Catalog::new()));
    let compiled = costs(&source, &catalog);
    let device = catalog.device("h100-sxm").unwrap().unwrap();
    let (flat, workload, request) = (&compiled.flat, &compiled.bound.workload, &Request::default());
    let training = Training {
        optimizer: catalog.optimizer("adamw").unwrap(),
        master_weights: false,
        checkpointing: Checkpointing::None,
        zero: 0,
        ranks: 1,
        lora: None,
    };
    let parts = Parts { flat, bound: &compiled.bound, report: &compiled.report, flow: &compiled.flow };
    let now = plan(parts, 1, &training).unwrap();
    let question = Question { flat, request, workload, device: &device, count: 1, reserve: 10, training: &training };
    bencher.bench_local(|| fit(black_box(question), &now).longest_context.unwrap());
}
