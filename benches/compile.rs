//! How long an answer takes: `cargo bench`. Aims: a model in under 1 ms, another workload in under 20 us, 46,000 distinct layers in under
//! 100 ms, the peak of 100 layers well under 1 ms and of 46,000 distinct ones under 50 ms, a fit in well under 10 ms, a body repeated 10^12 times no slower than the same body once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark that fails should stop")]

use divan::{Bencher, black_box};
use layerspec::analyses::Training;
use layerspec::programs::{Block, MemoryRoom, Scratch, Values};
use layerspec::reports::{FORMATS, Options};
use layerspec::{Session, Workload};

#[path = "support/models.rs"]
mod models;

use models::{LLAMA, distinct_rows, evaluated, lowered};

/// Of four layers: 46,000 rows.
const BODIES: u64 = 11_500;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// Source text to costs and memory; the classes are already parsed.
#[divan::bench]
fn llama_2_7b_warm(bencher: Bencher) {
    let session = Session::new();
    evaluated(&session, LLAMA);
    bencher.bench_local(|| *evaluated(&session, black_box(LLAMA)).totals());
}

/// The same in a new process: every class that is used is parsed.
#[divan::bench]
fn llama_2_7b_cold(bencher: Bencher) {
    bencher.bench_local(|| *evaluated(&Session::new(), black_box(LLAMA)).totals());
}

const CONFIG: &str = include_str!("../docs/examples/config.json");

/// A config of a family that extends two others, text to costs and memory; the files of the catalog are already parsed.
#[divan::bench]
fn qwen3_config_warm(bencher: Bencher) {
    let session = Session::new();
    evaluated(&session, CONFIG);
    bencher.bench_local(|| *evaluated(&session, black_box(CONFIG)).totals());
}

/// The same in a new process.
#[divan::bench]
fn qwen3_config_cold(bencher: Bencher) {
    bencher.bench_local(|| *evaluated(&Session::new(), black_box(CONFIG)).totals());
}

const DEEPSEEK: &str = include_str!("../models/deepseek-v3.json");

/// DeepSeek-V3, a family and the keys of its config, text to costs and memory, in a new process: all that is used of the catalog is parsed.
#[divan::bench]
fn deepseek_v3_cold(bencher: Bencher) {
    bencher.bench_local(|| *evaluated(&Session::new(), black_box(DEEPSEEK)).totals());
}

/// The same with the catalog's files parsed before.
#[divan::bench]
fn deepseek_v3_warm(bencher: Bencher) {
    let session = Session::new();
    evaluated(&session, DEEPSEEK);
    bencher.bench_local(|| *evaluated(&session, black_box(DEEPSEEK)).totals());
}

/// An already flattened model at another workload, its costs alone.
#[divan::bench]
fn llama_2_7b_another_workload(bencher: Bencher) {
    let model = lowered(&Session::new(), LLAMA);
    let mut batch_size = 0;
    bencher.bench_local(|| {
        batch_size = batch_size % 64 + 1;
        model.totals(&Workload::prefill(batch_size, 1024)).into_result().unwrap()
    });
}

/// The model with so many layers, which it doesn't expect of itself.
fn llama_of(layers: u64) -> String {
    let text = LLAMA.replacen("\"num_hidden_layers\": 32", &format!("\"num_hidden_layers\": {layers}"), 1);
    let (text, _) = text.split_once("\"expect\"").unwrap();
    format!("{text} \"expect\": {{}} }}")
}

/// A body that doesn't use its index is compiled once, however often it is repeated.
#[divan::bench(args = [1, 1_000_000_000_000])]
fn llama_2_7b_layers(bencher: Bencher, layers: u64) {
    let (text, session) = (llama_of(layers), Session::new());
    bencher.bench_local(|| *evaluated(&session, black_box(&text)).totals());
}

/// Source text to costs and memory. What was made is dropped outside of the measurement.
#[divan::bench(sample_count = 20)]
fn distinct_rows_46000(bencher: Bencher) {
    let (text, session) = (distinct_rows(BODIES), Session::new());
    assert_eq!(evaluated(&session, &text).rows().count(), 46_000);
    bencher.bench_local(|| evaluated(&session, black_box(&text)));
}

/// Bytes that go out, and aren't held.
#[derive(Default)]
struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += black_box(bytes).len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Source text to the public JSON of all rows, written as the program does.
#[divan::bench(sample_count = 20)]
fn distinct_rows_46000_to_json(bencher: Bencher) {
    let (text, session) = (distinct_rows(BODIES), Session::new());
    let json = FORMATS.iter().find(|format| format.name == "json").unwrap();
    let options = Options { expand: true, exact: true, ..Options::default() };
    bencher.bench_local(|| {
        let at = evaluated(&session, black_box(&text));
        let mut out = Counted::default();
        (json.render)(&at, &options, &mut out).unwrap();
        (at, out.0)
    });
}

/// The peak of a forward pass of 100 layers: shapes, lifetimes, all of them. The costs that these follow from are reckoned, too: what they
/// take alone is [`llama_2_7b_another_workload`].
#[divan::bench]
fn peak_of_100_layers(bencher: Bencher) {
    let model = lowered(&Session::new(), &llama_of(100));
    bencher.bench_local(|| black_box(&model).at(&Workload::default()).into_result().unwrap().peak().unwrap().bytes);
}

/// The same of 46,000 distinct layers.
#[divan::bench(sample_count = 20)]
fn peak_of_46000_distinct_rows(bencher: Bencher) {
    let model = lowered(&Session::new(), &distinct_rows(BODIES));
    bencher.bench_local(|| black_box(&model).at(&Workload::default()));
}

/// The peak of a training step by the walk, of a model that is evaluated already.
#[divan::bench(args = ["llama-2-7b-hf", "deepseek-v3", "gemma-3-4b-it", "deepseek-v4-flash", "t5-base"])]
fn training_step(bencher: Bencher, name: &str) {
    let model = named(name);
    let at = model.at(&Workload::train(1, 512)).into_result().unwrap();
    let training = Training::new(Session::new().catalog().optimizer("adamw").unwrap());
    bencher.bench_local(|| black_box(&at).memory_plan(1, &training).unwrap().total());
}

/// The same of 46,000 distinct layers.
#[divan::bench(sample_count = 20)]
fn training_step_of_46000_distinct_rows(bencher: Bencher) {
    let model = lowered(&Session::new(), &distinct_rows(BODIES));
    let at = model.at(&Workload::train(1, 512)).into_result().unwrap();
    let training = Training::new(Session::new().catalog().optimizer("adamw").unwrap());
    bencher.bench_local(|| black_box(&at).memory_plan(1, &training).unwrap().total());
}

/// A plan's formulas at a point of a region that was met.
#[divan::bench(args = ["llama-2-7b-hf", "deepseek-v3", "gemma-3-4b-it", "deepseek-v4-flash", "t5-base"])]
fn plan_at_a_point(bencher: Bencher, name: &str) {
    let model = named(name);
    let at = model.at(&Workload::train(1, 512)).into_result().unwrap();
    let training = Training::new(Session::new().catalog().optimizer("adamw").unwrap());
    let program = at.plan_program(1, &training).unwrap();
    let mut room = MemoryRoom::default();
    let mut batch = 0;
    bencher.bench_local(|| {
        batch = batch % 64 + 1;
        let value = |name: &str| match name {
            "batch_size" => Some(batch),
            "seq_len" => Some(1024),
            "past_len" => Some(0),
            _ => None,
        };
        program.total(&program.point(value).unwrap(), &mut room).unwrap()
    });
}

/// The largest batch and the longest context on a device.
#[divan::bench]
fn fit_solver(bencher: Bencher) {
    let session = Session::new();
    let at = evaluated(&session, LLAMA);
    let device = session.catalog().device("h100-sxm").unwrap().unwrap();
    let training = Training::new(session.catalog().optimizer("adamw").unwrap());
    let now = at.memory_plan(1, &training).unwrap();
    bencher.bench_local(|| black_box(&at).fit(&now, &device, 1, 10, &training).longest_context.number().unwrap());
}

/// The program of a model that is flattened already: what one conversion takes.
#[divan::bench(args = ["llama-2-7b-hf", "deepseek-v3", "gemma-3-4b-it", "falcon-h1-0.5b-base", "deepseek-v4-flash", "qwen2.5-omni-7b"])]
fn conversion(bencher: Bencher, name: &str) {
    let model = named(name);
    bencher.bench_local(|| black_box(&model).program(&Workload::default()).unwrap());
}

/// All totals of a program at a point.
#[divan::bench(args = ["llama-2-7b-hf", "deepseek-v3"])]
fn program_at_a_point(bencher: Bencher, name: &str) {
    let program = named(name).program(&Workload::default()).unwrap();
    let (mut room, mut out) = (program.room(), Vec::new());
    let mut batch = 0;
    bencher.bench_local(|| {
        batch = batch % 64 + 1;
        assert!(program.at(&[batch, 1024, 0], &mut room, &mut out));
        out.last().copied()
    });
}

/// How many points a column bench has.
const POINTS: u64 = 4096;

/// All totals of a program in columns: the time is that of one point.
#[divan::bench(args = ["llama-2-7b-hf", "deepseek-v3"])]
fn program_in_columns(bencher: Bencher, name: &str) {
    let program = named(name).program(&Workload::default()).unwrap();
    let columns: Vec<Vec<u64>> = vec![
        (0..POINTS).map(|n| 1 + n % 64).collect(),
        (0..POINTS).map(|n| 128 * (1 + n / 64)).collect(),
        vec![0; usize::try_from(POINTS).unwrap()],
    ];
    let (mut scratch, mut block) = (Scratch::default(), Block::default());
    bencher.counter(divan::counter::ItemsCount::new(POINTS)).bench_local(|| {
        program.fill(black_box(&columns), &mut scratch, &mut block);
        block.valid.len()
    });
}

/// Ten million points, evaluated and reduced to the most FLOPs, on all cores.
#[divan::bench(sample_count = 5)]
fn ten_million_points_reduced(bencher: Bencher) {
    const BATCHES: u64 = 1000;
    let program = named("llama-2-7b-hf").program(&Workload::default()).unwrap();
    let flops = program.outputs().position(|total| total == layerspec::programs::Total::Flops).unwrap();
    let cores = std::thread::available_parallelism().map_or(1, |cores| u64::try_from(cores.get()).unwrap());
    bencher.bench_local(|| {
        std::thread::scope(|scope| {
            let part = |core: u64| {
                let program = &program;
                move || {
                    let (mut scratch, mut block, mut most) = (Scratch::default(), Block::default(), 0);
                    for batch in (1..=BATCHES).filter(|batch| batch % cores == core) {
                        let columns: Vec<Vec<u64>> = vec![vec![batch; 10_000], (1..=10_000).collect(), vec![0; 10_000]];
                        program.fill(&columns, &mut scratch, &mut block);
                        let Values::Small(values) = &block.values else { panic!() };
                        most = values.get(flops).unwrap().iter().copied().max().unwrap().max(most);
                    }
                    most
                }
            };
            let parts: Vec<_> = (0..cores).map(|core| scope.spawn(part(core))).collect();
            parts.into_iter().map(|part| part.join().unwrap()).max()
        })
    });
}

fn named(name: &str) -> layerspec::Lowered {
    Session::new().load(name).and_then(|model| model.lowered(&layerspec::Execution::default())).into_result().unwrap()
}
