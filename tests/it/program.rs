//! Compiled programs against the interpreter, which is the oracle.

use std::sync::atomic::{AtomicUsize, Ordering};

use layerspec::programs::{Block, Program, Scratch, Total};
use layerspec::{After, Attention, Backend, Cache, Execution, Kernel, Logits, Lowered, Phase, Value, Workload};

use crate::support::SESSION;

/// How many points of each model and phase are compared.
const POINTS: usize = 120;

/// Numbers as random as a test needs: of SplitMix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// A length: small, near a power of two where windows and tiles end, or any.
    pub fn length(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(5),
            1 => (1 << self.below(14)) + self.below(3),
            2 => ((1 << self.below(14)) - 1u64) * (1 + self.below(3)),
            _ => self.below(20_000),
        }
    }
}

pub fn model(name: &str) -> Lowered {
    SESSION.load(name).and_then(|model| model.lowered(&Execution::default())).into_result().unwrap()
}

pub fn base(phase: Phase) -> Workload {
    Workload { phase: Some(phase), ..Workload::default() }
}

/// A workload with these values of the program's variables.
pub fn at_point(base: &Workload, program: &Program, point: &[u64]) -> Workload {
    let mut workload = base.clone();
    for (variable, value) in program.variables().iter().zip(point) {
        match &*variable.name {
            "batch_size" => workload.batch_size = Some(*value),
            "seq_len" => workload.seq_len = Some(*value),
            "past_len" => workload.past_len = Some(*value),
            name => workload.settings.push((name.into(), Value::count(*value))),
        }
    }
    workload
}

/// A value of a variable, of those that a phase has and of some more.
fn value(name: &str, least: u64, phase: Phase, random: &mut Random) -> u64 {
    match name {
        "batch_size" => 1 + random.below(70),
        "past_len" if phase == Phase::Train || random.below(3) == 0 => 0,
        "seq_len" if phase == Phase::Decode && random.below(3) > 0 => 1,
        _ => random.length().max(least),
    }
}

/// Compares a model's program with the interpreter at so many points; how many were compared, and how many refused.
pub fn compare(name: &str, lowered: &Lowered, base: &Workload, points: usize, random: &mut Random) -> (usize, usize) {
    let phase = base.phase.unwrap();
    let program = lowered.program(base).unwrap_or_else(|why| panic!("{name} {phase:?} has no program: {why:?}"));
    let layers = lowered.paths().count() as u128;
    let (mut compared, mut refused) = (0, 0);
    let (mut room, mut out) = (program.room(), Vec::new());
    let mut columns: Vec<Vec<u64>> = vec![Vec::new(); program.variables().len()];
    let mut found: Vec<Option<Vec<u128>>> = Vec::new();
    for _ in 0..points {
        let point: Vec<u64> =
            program.variables().iter().map(|variable| value(&variable.name, variable.least, phase, random)).collect();
        let costs = lowered.totals(&at_point(base, &program, &point)).into_result();
        let valid = program.at(&point, &mut room, &mut out);
        columns.iter_mut().zip(&point).for_each(|(column, value)| column.push(*value));
        found.push(valid.then(|| out.clone()));
        let Ok(costs) = costs else {
            assert!(!valid, "{name} {phase:?} {point:?}: the interpreter has an error there");
            refused += 1;
            continue;
        };
        assert!(valid, "{name} {phase:?} {point:?}: refused, and the interpreter has an answer");
        for (total, found) in program.outputs().zip(&out) {
            let expected = match total {
                Total::Layers => layers,
                Total::Modules => continue,
                total => costs.total(total).unwrap(),
            };
            assert_eq!(*found, expected, "{name} {phase:?} {point:?}: {}", total.name());
        }
        compared += 1;
    }
    // All at once: what one by one gave.
    let mut block = Block::default();
    program.fill(&columns, &mut Scratch::default(), &mut block);
    for (at, expected) in found.iter().enumerate() {
        let row: Vec<u128> = (0..program.outputs().len()).map(|output| block.value(output, at).unwrap()).collect();
        assert_eq!(block.valid[at].then_some(row), *expected, "{name} {phase:?}, point {at} in columns");
    }
    (compared, refused)
}

/// The program at points of all kinds, own workload variables included: what the interpreter gives, and where that refuses, refused.
#[test]
fn every_model_is_the_program_that_it_becomes() {
    let models = SESSION.catalog().models();
    let next = AtomicUsize::new(0);
    let (compared, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(file) = models.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut random = Random(file.name.len() as u64);
                    let lowered = model(file.name);
                    for phase in [Phase::Prefill, Phase::Decode, Phase::Train] {
                        let (same, refusals) = compare(file.name, &lowered, &base(phase), POINTS, &mut random);
                        compared.fetch_add(same, Ordering::Relaxed);
                        refused.fetch_add(refusals, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (compared, refused) = (compared.into_inner(), refused.into_inner());
    assert!(compared > 100 * 3 * POINTS / 2 && refused < compared / 10, "{compared} compared, {refused} refused");
}

/// Conventions and dtypes are folded in: whatever is asked, the program answers it.
#[test]
fn conventions_are_folded_in() {
    let dtype = |name: &str| Some(SESSION.catalog().dtype(name).unwrap());
    let mut random = Random(11);
    for name in [
        "llama-3.2-1b",
        "gemma-3-270m",
        "deepseek-v3",
        "gpt2",
        "whisper-small",
        "mamba2-130m-hf",
        "bert-base-uncased",
        "gpt-oss-20b",
    ] {
        for phase in [Phase::Prefill, Phase::Decode, Phase::Train] {
            let asked = [
                Workload { attention: Some(Attention::Masked), logits: Some(Logits::Last), ..base(phase) },
                Workload { dtype: dtype("fp32"), kv_dtype: dtype("int8"), after: Some(After::Prompt), ..base(phase) },
                Workload { weight_dtype: dtype("int4"), ..base(phase) },
                // Without a cache there is no past.
                Workload { settings: vec![("logit_len".into(), Value::count(1))], past_len: Some(0), ..base(phase) },
            ];
            let executions = [
                Execution::default(),
                Execution { kernel: Kernel::Eager, ..Execution::default() },
                Execution { kernel: Kernel::Math, backend: Backend::Cuda, ..Execution::default() },
                Execution { cache: Cache::Off, ..Execution::default() },
            ];
            for (asked, execution) in asked.iter().zip(&executions) {
                let lowered = SESSION.load(name).and_then(|model| model.lowered(execution)).into_result().unwrap();
                compare(name, &lowered, asked, 12, &mut random);
            }
        }
    }
}

/// A figure beyond 128 bits, a point that isn't one, and one below the least: the interpreter's business.
#[test]
fn what_a_program_cannot_answer_it_refuses() {
    let lowered = model("llama-2-7b-hf");
    let program = lowered.program(&base(Phase::Prefill)).unwrap();
    let (mut room, mut out) = (program.room(), Vec::new());
    assert!(program.at(&[1, 2048, 0], &mut room, &mut out));
    assert_eq!(out.len(), program.outputs().len());
    for point in [&[0, 1, 0][..], &[1, 0, 0], &[u64::MAX, u64::MAX, u64::MAX], &[1, 1], &[1, 1, 1, 1]] {
        assert!(!program.at(point, &mut room, &mut out), "{point:?}");
    }
    // Beyond 64 bits, and right.
    let (batch, seq) = (1 << 40, 1 << 20);
    assert!(program.at(&[batch, seq, 0], &mut room, &mut out));
    let totals = lowered.totals(&Workload::prefill(batch, seq)).into_result().unwrap();
    let flops = program.outputs().position(|total| total == Total::Flops).unwrap();
    assert_eq!(Some(out[flops]), totals.flops().map(|flops| flops.0));
    assert!(out[flops] > u128::from(u64::MAX));
    let columns = vec![vec![1, batch, u64::MAX], vec![1, seq, u64::MAX], vec![0, 0, 0]];
    let mut block = Block::default();
    program.fill(&columns, &mut Scratch::default(), &mut block);
    assert_eq!((block.value(flops, 1), block.valid), (Some(out[flops]), vec![true, true, false]));
}
