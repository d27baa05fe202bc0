//! How long an answer takes: `cargo bench`. Aims: a model in under 1 ms, another workload in under 20 us, 46,000 distinct layers in under
//! 100 ms, the peak of 100 layers well under 1 ms and of 46,000 distinct ones under 50 ms, a fit in well under 10 ms, a body repeated 10^12 times no slower than the same body once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark that fails should stop")]

use divan::{Bencher, black_box};
use layerspec::analyses::{Checkpointing, Training};
use layerspec::reports::{By, FORMATS, Options, Units};
use layerspec::{Evaluation, Execution, Lowered, Session, Workload};
use serde_json::json;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

const LLAMA: &str = include_str!("../models/llama-2-7b-hf.json");

fn lowered(text: &str, session: &Session) -> Lowered {
    let model = session.read("bench.json", text).into_result().expect("the model reads");
    model.lowered(&Execution::default()).into_result().expect("the model flattens")
}

fn costs(text: &str, session: &Session) -> Evaluation {
    lowered(text, session).at(&Workload::default()).into_result().expect("the model compiles")
}

/// Source text to costs; the classes are already parsed.
#[divan::bench]
fn llama_2_7b_warm(bencher: Bencher) {
    let session = Session::new();
    costs(LLAMA, &session);
    bencher.bench_local(|| *costs(black_box(LLAMA), &session).totals());
}

/// The same in a new process: every class that is used is parsed.
#[divan::bench]
fn llama_2_7b_cold(bencher: Bencher) {
    bencher.bench_local(|| *costs(black_box(LLAMA), &Session::new()).totals());
}

const CONFIG: &str = include_str!("../docs/examples/config.json");

/// A config of a family that extends two others, text to costs; the files of the catalog are already parsed.
#[divan::bench]
fn qwen3_config_warm(bencher: Bencher) {
    let session = Session::new();
    costs(CONFIG, &session);
    bencher.bench_local(|| *costs(black_box(CONFIG), &session).totals());
}

/// The same in a new process.
#[divan::bench]
fn qwen3_config_cold(bencher: Bencher) {
    bencher.bench_local(|| *costs(black_box(CONFIG), &Session::new()).totals());
}

/// An already flattened model at another workload: its totals, without the data flow.
#[divan::bench]
fn llama_2_7b_another_workload(bencher: Bencher) {
    let lowered = lowered(LLAMA, &Session::new());
    let mut batch_size = 0;
    bencher.bench_local(|| {
        batch_size = batch_size % 64 + 1;
        lowered.totals(&Workload::prefill(batch_size, 1024)).value.unwrap()
    });
}

/// Llama-2-7B with so many layers, without its expectations.
fn llama(layers: u64) -> String {
    let text = LLAMA.replacen("\"num_hidden_layers\": 32", &format!("\"num_hidden_layers\": {layers}"), 1);
    let (text, _) = text.split_once("\"expect\"").unwrap();
    format!("{text} \"expect\": {{}} }}")
}

/// A body that doesn't use its index is compiled once, however often it is repeated.
#[divan::bench(args = [1, 1_000_000_000_000])]
fn llama_2_7b_layers(bencher: Bencher, layers: u64) {
    let (text, session) = (llama(layers), Session::new());
    bencher.bench_local(|| *costs(black_box(&text), &session).totals());
}

/// 11,500 bodies of four layers, each of another size.
fn distinct_rows() -> String {
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
    model.to_string()
}

/// Source text to costs. What was made is dropped outside of the measurement.
#[divan::bench(sample_count = 20)]
fn distinct_rows_46000(bencher: Bencher) {
    let (text, session) = (distinct_rows(), Session::new());
    assert_eq!(costs(&text, &session).rows().count(), 46_000);
    bencher.bench_local(|| costs(black_box(&text), &session));
}

/// Source text to the public JSON of all rows.
#[divan::bench(sample_count = 20)]
fn distinct_rows_46000_to_json(bencher: Bencher) {
    let (text, session) = (distinct_rows(), Session::new());
    let json = FORMATS.iter().find(|format| format.name == "json").unwrap();
    let options = Options { by: By::Layer, depth: 1, expand: true, exact: true, units: Units::Si, color: false, width: 100 };
    bencher.bench_local(|| {
        let evaluation = costs(black_box(&text), &session);
        let mut out = Vec::new();
        (json.render)(&evaluation, &options, &mut out).unwrap();
        (evaluation, out.len())
    });
}

/// 100 layers, flattened before, at a workload: costs, shapes, lifetimes, the peak.
#[divan::bench]
fn peak_of_100_layers(bencher: Bencher) {
    let lowered = lowered(&llama(100), &Session::new());
    bencher.bench_local(|| black_box(&lowered).sketch(&Workload::default()).value.unwrap().peak().unwrap().bytes);
}

/// The same of 46,000 distinct layers.
#[divan::bench(sample_count = 20)]
fn peak_of_46000_distinct_rows(bencher: Bencher) {
    let lowered = lowered(&distinct_rows(), &Session::new());
    bencher.bench_local(|| black_box(&lowered).sketch(&Workload::default()).value.unwrap());
}

/// The largest batch and the longest context on a device.
#[divan::bench]
fn fit_solver(bencher: Bencher) {
    let session = Session::new();
    let evaluation = costs(LLAMA, &session);
    let device = session.catalog().device("h100-sxm").unwrap().unwrap();
    let training = Training {
        optimizer: layerspec::catalog::optimizers::find("adamw").unwrap(),
        master_weights: false,
        checkpointing: Checkpointing::None,
        zero: 0,
        ranks: 1,
        lora: None,
    };
    let now = evaluation.memory_plan(1, &training).unwrap();
    bencher.bench_local(|| black_box(&evaluation).fit(&now, &device, 1, 10, &training).longest_context.unwrap());
}
