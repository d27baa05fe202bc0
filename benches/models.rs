//! How long every model of `models/` takes in each phase, and the median of them: `cargo bench --bench models`.
//!
//! A conversion, the walk of a training step, the first point of a region of its memory program, which is walked and traced, and a point of a region
//! that was met. Each is the fastest of a few runs, but for the regions of memory programs, which are traced once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark that fails should stop")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use layerspec::analyses::Training;
use layerspec::programs::{MemoryProgram, MemoryRoom};
use layerspec::{Evaluation, Execution, Phase, RunOptions, Session, Workload};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Batches, lengths and pasts, the same in every run: what follows stands in regions of its own, or not.
const POINTS: [[u64; 3]; 6] = [[1, 512, 0], [2, 1024, 512], [3, 77, 4000], [8, 33, 129], [1, 1, 1], [5, 2000, 1999]];

#[derive(Default)]
struct Times {
    what: &'static str,
    of: Vec<(Duration, String)>,
}

impl Times {
    fn show(&mut self) {
        self.of.sort();
        let at = |share: usize| self.of.get(self.of.len().saturating_sub(1) * share / 100).unwrap();
        let (median, slowest) = (at(50), at(100));
        println!("{:<58} {:>5} {:>10.1?} {:>10.1?}  {}", self.what, self.of.len(), median.0, slowest.0, slowest.1);
    }
}

fn fastest(times: u32, mut run: impl FnMut()) -> Duration {
    (0..times)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .min()
        .unwrap()
}

/// What the first point of a plan's formulas takes, which is that of a region: the fastest of three programs.
fn traced(at: &Evaluation, training: &Training, own: &MemoryProgram, [batch, seq, _]: &[u64; 3]) -> Option<Duration> {
    let value = |name: &str| match name {
        "batch_size" => Some(*batch),
        "seq_len" => Some(*seq),
        "past_len" => Some(0),
        other => own.constant(other),
    };
    let first = || {
        let program = at.plan_program(1, training)?;
        let (point, mut room) = (program.point(value)?, MemoryRoom::default());
        let start = Instant::now();
        black_box(program.total(&point, &mut room))?;
        Some(start.elapsed())
    };
    (0..3).map(|_| first()).min()?
}

fn main() {
    let session = Session::new();
    let training = Training::new(session.catalog().optimizer("adamw").unwrap());
    let times = |what| Times { what, of: Vec::new() };
    let (mut conversions, mut walks) = (times("a conversion to a program"), times("the peak of a training step by the walk"));
    let mut plans = times("the first point of a region of a training plan");
    let mut engines = times("what an engine's list takes beyond the eager one");
    let (mut regions, mut points) = (times("the first point of a region of memory"), times("a point of a region that was met"));
    for file in session.catalog().models() {
        let lowered = session.load(file.name).and_then(|model| model.lowered(&Execution::default())).into_result().unwrap();
        for runtime in ["vllm", "llama.cpp", "ideal"] {
            let options = RunOptions { runtime: Some(runtime.into()), ..RunOptions::default() };
            let (execution, _) = options.execution(&mut Workload::default(), session.catalog()).unwrap();
            // A model keeps the first list that it is asked for.
            let lower = |execution: Execution| {
                let model = session.load(file.name).into_result().unwrap();
                let start = Instant::now();
                black_box(model.lowered(&execution));
                start.elapsed()
            };
            // By turns: a difference of two that were measured at other times is the machine's.
            let (mut engine, mut eager) = (Duration::MAX, Duration::MAX);
            for _ in 0..15 {
                engine = engine.min(lower(execution));
                eager = eager.min(lower(Execution { runtime: None, ..execution }));
            }
            let more = engine.saturating_sub(eager);
            engines.of.push((more, format!("{}, {runtime}", file.name)));
        }
        for phase in [Phase::Prefill, Phase::Decode, Phase::Train] {
            let name = || format!("{}, {}", file.name, phase.word());
            let base = Workload { phase: Some(phase), ..Workload::default() };
            conversions.of.push((fastest(3, || drop(black_box(lowered.program(&base).unwrap()))), name()));
            let program = lowered.memory_program(&base).unwrap();
            if phase == Phase::Train {
                let at = lowered.at(&Workload::train(1, 512)).value;
                if let Some(at) = at {
                    walks.of.push((fastest(5, || drop(black_box(at.memory_plan(1, &training)))), name()));
                    plans.of.extend(
                        POINTS.iter().filter_map(|point| traced(&at, &training, &program, point)).map(|took| (took, name())),
                    );
                }
            }
            let mut room = MemoryRoom::default();
            for [batch, seq, past] in POINTS {
                let value = |name: &str| match name {
                    "batch_size" => Some(batch),
                    "seq_len" => Some(seq),
                    "past_len" => Some(if phase == Phase::Decode { past } else { 0 }),
                    other => program.constant(other),
                };
                let point = program.point(value).unwrap();
                let (start, before) = (Instant::now(), program.regions());
                let found = program.at(&point, &mut room);
                let took = start.elapsed();
                // A model may refuse such lengths.
                if found.is_none() {
                    continue;
                }
                if program.regions() > before {
                    regions.of.push((took, name()));
                }
                let often = fastest(3, || {
                    for _ in 0..100 {
                        black_box(program.at(black_box(&point), &mut room));
                    }
                });
                points.of.push((often / 100, name()));
            }
        }
    }
    println!("{:<58} {:>5} {:>10} {:>10}", "of every model in models/", "how many", "median", "slowest");
    [&mut engines, &mut conversions, &mut walks, &mut regions, &mut plans, &mut points].into_iter().for_each(Times::show);
}
