//! "Why did it run out of memory?": what in a model is of a given size, and which options avoid it.
//!
//! A size comes in, or the text of an error; the tensors of that size go out, the sums at the peak, and what each of a few options makes of them.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use crate::cost::ports::Save;
use crate::cost::workload::Workload;
use crate::evaluation::{Checks, Evaluation, evaluate};
use crate::flow::Shape;
use crate::lower::Execution;
use crate::quantity::Quantity;
use crate::quantity::workload::{Kernel, Logits, Phase};
use crate::syntax::diag::Diagnostics;

/// A tensor, or a sum of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `output`, `cache`, `weight`, `kept for the backward pass`, `held while it runs`; of a sum what it is of.
    pub what: &'static str,
    /// The layer, as its row is called; empty of a sum.
    pub path: String,
    /// The tensor's name in its layer.
    pub name: String,
    /// Its shape, where it is known.
    pub shape: Option<Vec<u128>>,
    /// How many there are.
    pub count: u128,
    /// Bytes of one.
    pub bytes: u128,
}

/// What an option makes of what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// `--kernel flash`.
    pub option: String,
    /// The largest of what was found, now; `None`: none of it is there any more.
    pub bytes: Option<u128>,
}

/// Bytes that are asked about: what a text says, up to what its last digit leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// The bytes that it may mean.
    pub bytes: RangeInclusive<u128>,
    /// As it was written.
    pub text: String,
}

/// What an error says that it tried to get, in the words of allocators: their units are powers of 1024, however they are spelt
/// (c10/cuda/CUDACachingAllocator.cpp and aten/src/ATen/mps/MPSAllocator.mm `format_size`, torch 2.15; XLA `HumanReadableNumBytes`).
const TRIED: [&str; 4] = ["to allocate", "to reserve", "allocating", "allocation of"];

impl Size {
    /// `2097152000`, `1.95GiB`, `2.1 GB`; or the text of an error that says what could not be allocated. `None`: it says no size.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if let Some((bytes, length)) = number_with_unit(text.trim(), 1000)
            && length == text.trim().len()
        {
            return Some(Size { bytes, text: text.trim().to_owned() });
        }
        let lower = text.to_ascii_lowercase();
        let found = TRIED.iter().filter_map(|words| Some((lower.find(words)?, words.len()))).min()?;
        let behind = lower.get(found.0 + found.1..)?;
        let start = behind.find(|c: char| c.is_ascii_digit()).filter(|start| *start < 40)?;
        let (bytes, length) = number_with_unit(behind.get(start..)?, 1024)?;
        let from = found.0 + found.1 + start;
        Some(Size { bytes, text: text.get(from..from + length)?.trim().to_owned() })
    }

    /// Whether so many bytes may be meant: themselves, or what an allocator takes for them.
    fn is(&self, bytes: u128) -> bool {
        bytes > 0 && (self.bytes.contains(&bytes) || self.bytes.contains(&allocated(bytes)))
    }
}

/// What CUDA's caching allocator asks the device for (`get_allocation_size`, torch 2.15): 2 MiB for up to 1 MiB, 20 MiB below 10 MiB, else multiples of
/// 2 MiB.
fn allocated(bytes: u128) -> u128 {
    const MIB: u128 = 1 << 20;
    match bytes {
        0..=MIB => 2 * MIB,
        _ if bytes < 10 * MIB => 20 * MIB,
        _ => bytes.div_ceil(2 * MIB).saturating_mul(2 * MIB),
    }
}

/// A number and its unit at the beginning of a text: the bytes that it may mean, and how long they stand there. `thousand`: what `k` and `KB` are.
fn number_with_unit(text: &str, thousand: u128) -> Option<(RangeInclusive<u128>, usize)> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ','))).unwrap_or(text.len());
    // A full stop may end the sentence.
    let digits = text.get(..digits)?.trim_end_matches(['.', ',']).len();
    let plain = text.get(..digits)?.replace(',', "");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let value: u128 = format!("{whole}{fraction}").parse().ok()?;
    let rest = text.get(digits..)?;
    let blanks = rest.len() - rest.trim_start().len();
    let word = rest.trim_start();
    let word = word.get(..word.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(word.len()))?;
    let lower = word.to_ascii_lowercase();
    let letter = lower.chars().next();
    let power = match letter {
        Some('k') => 1,
        Some('m') => 2,
        Some('g') => 3,
        Some('t') => 4,
        _ => 0,
    };
    let (unit, length) = match (power, lower.as_str()) {
        (0, "b" | "byte" | "bytes") => (1, digits + blanks + word.len()),
        (0, _) => (1, digits),
        (_, unit) if unit.get(1..) == Some("ib") => (1024u128.pow(power), digits + blanks + word.len()),
        (_, unit) if matches!(unit.get(1..), Some("" | "b")) => (thousand.pow(power), digits + blanks + word.len()),
        _ => (1, digits),
    };
    // 1.95 GiB is anything that is rounded to it, 2 GiB what is that to half a per cent, a number of bytes itself.
    let middle = value.checked_mul(unit)?;
    let half = match (unit, fraction) {
        (1, _) => 0,
        (_, "") => middle / 200,
        _ => unit.div_ceil(2),
    };
    let low = middle.saturating_sub(half).div_ceil(scale);
    Some((low..=middle.checked_add(half)? / scale, length))
}

/// What of a model is of a size, largest counts first, then the sums.
#[must_use]
pub fn find(at: &Evaluation, size: &Size) -> Vec<Found> {
    let mut found: Vec<Found> = things(at).filter(|thing| size.is(thing.bytes)).collect();
    found.extend(sums(at).into_iter().filter(|sum| size.is(sum.bytes)));
    found
}

/// Every tensor of a model's rows.
fn things(at: &Evaluation) -> impl Iterator<Item = Found> + '_ {
    at.rows().flat_map(move |row| {
        let mut of_row = Vec::new();
        let mut add = |what, name: &str, shape: Option<&[u128]>, bytes| {
            let count = row.repeats().saturating_mul(row.calls().max(1));
            let (path, name, shape) = (row.path().to_owned(), name.to_owned(), shape.map(<[u128]>::to_vec));
            of_row.push(Found { what, path, name, shape, count, bytes });
        };
        for tensor in row.weights() {
            add("weight", &tensor.name, Some(&tensor.shape), tensor.bytes);
        }
        if let (Some(class), Some(ports)) = (row.class(), at.report.ports(row.id())) {
            let shapes = row.flow.map_or(&[][..], |flow| flow.outputs());
            let mut held = 0u128;
            for (nth, (port, output)) in ports.outputs().zip(&class.outputs).enumerate() {
                if port.exists && !port.view {
                    held = held.saturating_add(port.bytes);
                    let what = if port.persistent { "cache" } else { "output" };
                    add(what, &output.name, shapes.get(nth).and_then(Shape::as_deref), port.bytes);
                }
            }
            if ports.workspace > held {
                add("held while it runs", "", None, ports.workspace);
            }
            for save in ports.saves.iter().flat_map(|saves| saves.iter()) {
                if let Save::Own(_, bytes, _) = save {
                    add("kept for the backward pass", "", None, *bytes);
                }
            }
        }
        of_row
    })
}

fn sums(at: &Evaluation) -> Vec<Found> {
    let peak = at.peak();
    let all = [
        ("all weights", at.total(Quantity::WeightBytes)),
        ("all caches after the step", at.total(Quantity::CacheBytes)),
        ("all that is kept for the backward pass", at.saved_bytes()),
        ("activations at the peak", peak.map_or(0, |peak| peak.activation_bytes())),
        ("activations and caches at the peak", peak.map_or(0, |peak| peak.bytes)),
        (
            "weights, activations and caches at the peak",
            at.total(Quantity::WeightBytes).saturating_add(peak.map_or(0, |peak| peak.bytes)),
        ),
    ];
    let sum = |(what, bytes)| Found { what, path: String::new(), name: String::new(), shape: None, count: 1, bytes };
    all.into_iter().map(sum).collect()
}

/// What options make of what was found: those that make it smaller, the smallest first.
#[must_use]
pub fn remedies(at: &Evaluation, found: &[Found]) -> Vec<Remedy> {
    fn key(thing: &Found) -> (&'static str, &str, &str) {
        (thing.what, &thing.path, &thing.name)
    }
    let largest = found.iter().map(|thing| thing.bytes).max().unwrap_or(0);
    let mut out: Vec<Remedy> = Vec::new();
    for (option, execution, workload) in alternatives(at) {
        let lowered = at.lowered();
        let lowered = lowered.under(execution);
        let mut ignored = Diagnostics::default();
        let Some(other) = evaluate(&lowered, &workload, Checks::Figures, &mut ignored) else { continue };
        let all: Vec<Found> = things(&other).chain(sums(&other)).collect();
        let mut bytes: HashMap<_, u128> = HashMap::with_capacity(all.len());
        for thing in &all {
            // Of several that go by one name the first.
            bytes.entry(key(thing)).or_insert(thing.bytes);
        }
        let now = found.iter().filter_map(|thing| bytes.get(&key(thing)).copied()).max();
        if now.is_none_or(|now| now < largest) {
            out.push(Remedy { option, bytes: now.filter(|bytes| *bytes > 0) });
        }
    }
    out.sort_by_key(|remedy| remedy.bytes);
    out
}

/// What else the model could be asked to do, an option each.
fn alternatives(at: &Evaluation) -> Vec<(String, Execution, Workload)> {
    let (own, usual) = (&at.bound.workload, at.execution);
    let mut out: Vec<(String, Execution, Workload)> = Vec::new();
    let mut other = |option: String, change: &dyn Fn(&mut Execution, &mut Workload)| {
        let (mut execution, mut workload) = (usual, at.asked.clone());
        change(&mut execution, &mut workload);
        out.push((option, execution, workload));
    };
    if usual.kernel != Kernel::Flash {
        other("--kernel flash".to_owned(), &|execution, _| execution.kernel = Kernel::Flash);
    }
    if own.logits == Logits::All && own.phase != Phase::Train && own.seq_len > 1 {
        other("--logits last".to_owned(), &|_, workload| workload.logits = Some(Logits::Last));
    }
    let catalog = at.checked.classes.catalog();
    for name in ["bf16", "fp8", "int8", "int4"] {
        let Ok(dtype) = catalog.dtype(name) else { continue };
        if name == "bf16" && dtype.bytes() < own.dtype.bytes() {
            other(format!("--dtype {name}"), &|_, workload| workload.dtype = Some(dtype.clone()));
        }
        if name == "fp8" && dtype.bytes() < own.kv_dtype.bytes() {
            other(format!("--kv-dtype {name}"), &|_, workload| workload.kv_dtype = Some(dtype.clone()));
        }
        if name.starts_with("int") && dtype.bytes() < own.weight_dtype.bytes() && own.phase != Phase::Train {
            other(format!("--weight-dtype {name}"), &|_, workload| workload.weight_dtype = Some(dtype.clone()));
        }
    }
    if own.batch_size > 1 {
        let half = own.batch_size.div_ceil(2);
        other(format!("--batch {half}"), &|_, workload| workload.batch_size = Some(half));
    }
    if own.seq_len > 1 {
        let half = own.seq_len.div_ceil(2);
        let option =
            if own.phase == Phase::Prefill { format!("--seq {half} (a prompt in chunks)") } else { format!("--seq {half}") };
        other(option, &|_, workload| workload.seq_len = Some(half));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(u128, u128)> {
        Size::read(text).map(|size| (*size.bytes.start(), *size.bytes.end()))
    }

    #[test]
    fn sizes_mean_what_is_rounded_to_them() {
        assert_eq!(read("2097152000"), Some((2_097_152_000, 2_097_152_000)));
        assert_eq!(read("2,097,152,000 bytes"), Some((2_097_152_000, 2_097_152_000)));
        assert_eq!(read("2GB"), Some((1_990_000_000, 2_010_000_000)));
        assert_eq!(read("2.1 GB"), Some((2_050_000_000, 2_150_000_000)));
        let (low, high) = read("1.95GiB").unwrap();
        assert!(low > 1_945 * 1_073_741 && high < 1_956 * 1_073_741 && (low..=high).contains(&2_097_152_000));
        assert_eq!(read("nothing"), None);
        assert_eq!(read("12 apples"), None);
        assert_eq!(read("9999999999999999999999999999999999999999"), None);
    }

    /// Texts as PyTorch 2.15 (CUDA, MPS) and XLA print them.
    #[test]
    fn errors_say_what_they_tried() {
        let cuda = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.95 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.21 GiB is free.";
        assert_eq!(read(cuda), read("1.95GiB"));
        let mps = "RuntimeError: MPS backend out of memory (MPS allocated: 17.00 GB, other allocations: 1.00 GB, max allowed: 18.13 GB). Tried to allocate 256.00 MB on private pool.";
        assert_eq!(read(mps), read("256.00MiB"));
        assert_eq!(read("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 2097152000 bytes."), read("2097152000"));
        assert_eq!(read("Attempting to reserve 3.91G at the bottom of memory. That was not possible."), read("3.91GiB"));
        assert_eq!(read("out of memory"), None);
    }

    #[test]
    fn allocators_take_whole_blocks() {
        assert_eq!(allocated(1), 2 << 20);
        assert_eq!(allocated(5 << 20), 20 << 20);
        assert_eq!(allocated(2_097_152_000), 2_097_152_000);
        assert_eq!(allocated(2_097_152_001), 2_097_152_000 + (2 << 20));
    }
}
