//! The same models as the target `structure`, by plain chance and at full speed: no coverage, no instrumentation, so a million take minutes.
//!
//!     cargo run --release --manifest-path fuzz/Cargo.toml --bin strange -- 1000000 1
//!
//! The arguments are how many, and the first seed. What takes more than 2 s, or the process beyond 500 MB, is shown with its seed; a panic ends the
//! process and shows it, too. `SHOW=1 ... -- 1 SEED` prints the model of a seed.

use std::time::{Duration, Instant};

#[path = "structure.rs"]
mod structure;

/// As in the program.
const MOST: Duration = Duration::from_secs(2);
const MOST_KB: u64 = 500_000;

/// SplitMix64: a byte string a seed.
fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..50).flat_map(|_| next().to_le_bytes()).collect()
}

/// The most memory that this process has held, where the system says it.
fn most_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// How long this thread has run, where the system says it, else how long it is since `begun`: other work must not make an input slow.
fn ran(begun: Instant) -> Duration {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = said.split_whitespace().next().and_then(|text| text.parse().ok());
    nanoseconds.map_or_else(|| begun.elapsed(), Duration::from_nanos)
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let (runs, first) = (arguments.next().unwrap_or(10_000), arguments.next().unwrap_or(1));
    // The panic's own message says where, this whose.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        eprintln!("seed {}", SEED.load(std::sync::atomic::Ordering::Relaxed));
    }));
    let (mut slow, mut held, mut longest, begun) = (0, most_kb(), Duration::ZERO, Instant::now());
    for seed in first..first + runs {
        SEED.store(seed, std::sync::atomic::Ordering::Relaxed);
        let before = ran(begun);
        let _ = structure::run(&bytes(seed));
        let took = ran(begun) - before;
        longest = longest.max(took);
        if took > MOST {
            slow += 1;
            println!("seed {seed}: {:.1} s", took.as_secs_f64());
        }
        let most = most_kb();
        if most > MOST_KB && most > held {
            println!("seed {seed}: {} MB", most / 1000);
        }
        held = held.max(most);
    }
    println!(
        "{runs} from {first}: {slow} beyond 2 s, the longest {:.2} s, at most {} MB, in {:.0} s",
        longest.as_secs_f64(),
        held / 1000,
        begun.elapsed().as_secs_f64()
    );
}

static SEED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
