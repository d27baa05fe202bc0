//! A device: how much its memory holds, how fast it moves and computes.
//!
//! A file of `catalog/hardware/` comes in, a [`Device`] goes out. What a model makes of a device is not known here.

use std::sync::Arc;

use super::values::{figure, flag, key, text, texts};
use crate::quantity::Exact;
use crate::syntax::diag::Diagnostics;
use crate::syntax::json::Node;
use crate::syntax::source::{SourceId, Span};
use crate::syntax::spec::{Key, KeyKind, fields};

/// A device, as its vendor states it.
#[derive(Debug, Clone)]
pub struct Device {
    /// The name to call it by.
    pub name: Arc<str>,
    /// As its vendor writes it.
    pub title: Arc<str>,
    /// Other names.
    pub aliases: Vec<Arc<str>>,
    /// Who makes it.
    pub vendor: Arc<str>,
    /// GPU, TPU, CPU, ...
    pub kind: Arc<str>,
    /// Bytes.
    pub memory_capacity: u128,
    /// Bytes that its driver says it has, less than what its vendor says; `None`: nobody has read it off one.
    pub memory_reported: Option<u128>,
    /// Bytes per second; `None`: it isn't known.
    pub memory_bandwidth: Option<u128>,
    /// Dense peaks by dtype, as `DEVICE_KEYS` explains them; a dtype that isn't there is not known, or not supported.
    pub peak_flops_per_second: Vec<(&'static str, u128)>,
    /// What connects it with its peers.
    pub interconnect: Option<Interconnect>,
    /// Thermal design power, W.
    pub tdp_watts: Option<u128>,
    /// Where the figures are from.
    pub sources: Vec<Arc<str>>,
    /// Whether the figures were read from the vendor's own documents.
    pub verified: bool,
    /// What else a reader should know.
    pub note: Option<Arc<str>>,
    /// Where its file begins.
    pub span: Span,
}

/// What connects a device with its peers.
#[derive(Debug, Clone)]
pub struct Interconnect {
    /// Its name.
    pub name: Arc<str>,
    /// In one direction, all links of the device together.
    pub bytes_per_second: u128,
}

impl Device {
    /// Whether it is a GPU on a card or a board of its own, which PyTorch calls `cuda`.
    #[must_use]
    pub fn is_gpu(&self) -> bool {
        *self.kind == *"GPU"
    }

    /// The device that a text states by its memory, and perhaps its bandwidth: `24GB`, `24 GiB`, `24GB@900GB/s`. Its peaks aren't known.
    #[must_use]
    pub fn stated(text: &str) -> Option<Self> {
        let (capacity, bandwidth) =
            text.split_once('@').map_or((text, None), |(capacity, bandwidth)| (capacity, Some(bandwidth)));
        let capacity = bytes(capacity)?;
        let bandwidth = match bandwidth {
            Some(text) => Some(bytes(text.trim().strip_suffix("/s")?)?),
            None => None,
        };
        let name: Arc<str> = text.split_whitespace().collect::<String>().into();
        Some(Device {
            title: name.clone(),
            name,
            aliases: Vec::new(),
            vendor: "".into(),
            kind: "device".into(),
            memory_capacity: capacity,
            memory_reported: Some(capacity),
            memory_bandwidth: bandwidth,
            peak_flops_per_second: Vec::new(),
            interconnect: None,
            tdp_watts: None,
            sources: vec!["stated".into()],
            verified: true,
            note: None,
            span: Span::new(SourceId::catalog(0), 0..0),
        })
    }

    /// The same device, saying that it has so many bytes.
    #[must_use]
    pub fn that_reports(&self, bytes: u128) -> Self {
        Device { memory_reported: Some(bytes), ..self.clone() }
    }

    /// The dense peak of a dtype (or `vector_fp32`), in FLOP/s; for `int8` in integer operations per second.
    #[must_use]
    pub fn peak(&self, dtype: &str) -> Option<u128> {
        self.peak_flops_per_second.iter().find(|(name, _)| *name == dtype).map(|(_, peak)| *peak)
    }
}

/// Bytes as people write them: a number and a unit of thousands or of 1,024.
fn bytes(text: &str) -> Option<u128> {
    const UNITS: [(&str, u128); 6] = [
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("TiB", 1 << 40),
        ("TB", 1_000_000_000_000),
    ];
    let text = text.trim();
    let with = |(unit, scale): &(&str, u128)| {
        let at = text.len().checked_sub(unit.len())?;
        let is_unit = text.get(at..)?.eq_ignore_ascii_case(unit);
        let number = Exact::parse(text.get(..at)?.trim()).filter(|_| is_unit)?;
        number.checked_mul(Exact::from_count(*scale)?)?.floor()?.to_count().filter(|bytes| *bytes > 0)
    };
    UNITS.iter().find_map(with)
}

pub const DEVICE_KEYS: &[Key] = &[
    key("name", KeyKind::Text, true, "the name to call it by: lower case, words joined by hyphens"),
    key("title", KeyKind::Text, true, "its name for people"),
    key("aliases", KeyKind::Text, false, "other names"),
    key("vendor", KeyKind::Text, true, "who makes it"),
    key("kind", KeyKind::Text, true, "GPU, TPU, CPU, accelerator, ..."),
    key("memory_capacity", KeyKind::Count, true, "bytes"),
    key("memory_reported", KeyKind::Count, false, "bytes that its driver says it has, read off one"),
    key("memory_bandwidth", KeyKind::Count, true, "bytes per second"),
    key("peak_flops_per_second", KeyKind::Variables, true, "dense peaks by dtype, FLOP/s of the whole device"),
    key("interconnect", KeyKind::Variables, false, "what connects it with its peers: name, bytes_per_second"),
    key("tdp_watts", KeyKind::Count, false, "thermal design power, W"),
    key("sources", KeyKind::Text, true, "where the figures are from"),
    key("verified", KeyKind::Flag, true, "whether the figures were read from the vendor's own documents"),
    key("note", KeyKind::Text, false, "what else a reader should know: disagreements between sources"),
];

const PEAK_KEYS: &[Key] = &[
    key("fp64", KeyKind::Count, false, "the best dense unit, a matrix unit where there is one"),
    key("fp32", KeyKind::Count, false, "the same; on NVIDIA's devices the vector unit"),
    key("tf32", KeyKind::Count, false, "the best dense unit"),
    key("fp16", KeyKind::Count, false, "the best dense unit"),
    key("bf16", KeyKind::Count, false, "the best dense unit"),
    key("fp8", KeyKind::Count, false, "the best dense unit"),
    key("int8", KeyKind::Count, false, "the best dense unit, integer operations per second"),
    key("fp4", KeyKind::Count, false, "the best dense unit"),
    key("vector_fp32", KeyKind::Count, false, "fp32 without matrix units"),
];

const INTERCONNECT_KEYS: &[Key] = &[
    key("name", KeyKind::Text, true, "its name"),
    key("bytes_per_second", KeyKind::Count, true, "in one direction, all links of the device together"),
];

/// Reads a device; `None` if it is unusable. What is wrong goes to `diagnostics`.
pub fn parse_device(node: &Node, diagnostics: &mut Diagnostics) -> Option<Device> {
    let f = fields(node, "a device", DEVICE_KEYS, &[], diagnostics)?;
    // All are read before any is missed, so that all that is wrong is said.
    let [name, title, vendor, kind, note] =
        ["name", "title", "vendor", "kind", "note"].map(|key| f.get(key).and_then(|n| text(n, diagnostics)));
    let [memory_capacity, memory_reported, memory_bandwidth, tdp_watts] =
        ["memory_capacity", "memory_reported", "memory_bandwidth", "tdp_watts"]
            .map(|key| f.get(key).and_then(|n| figure(n, diagnostics)));
    let [aliases, sources] = ["aliases", "sources"].map(|key| texts(f.get(key), diagnostics));
    let peaks = f.get("peak_flops_per_second").map(|n| peaks(n, diagnostics));
    let interconnect = f.get("interconnect").and_then(|n| interconnect(n, diagnostics));
    let verified = f.get("verified").and_then(|n| flag(n, diagnostics));
    Some(Device {
        name: name?,
        title: title?,
        aliases,
        vendor: vendor?,
        kind: kind?,
        memory_capacity: memory_capacity?,
        memory_reported,
        memory_bandwidth: Some(memory_bandwidth?),
        peak_flops_per_second: peaks?,
        interconnect,
        tdp_watts,
        sources,
        verified: verified?,
        note,
        span: node.span.part(0..1),
    })
}

fn peaks(node: &Node, diagnostics: &mut Diagnostics) -> Vec<(&'static str, u128)> {
    let Some(f) = fields(node, "`peak_flops_per_second`", PEAK_KEYS, &[], diagnostics) else {
        return Vec::new();
    };
    PEAK_KEYS.iter().filter_map(|key| Some((key.name, figure(f.get(key.name)?, diagnostics)?))).collect()
}

fn interconnect(node: &Node, diagnostics: &mut Diagnostics) -> Option<Interconnect> {
    let f = fields(node, "`interconnect`", INTERCONNECT_KEYS, &[], diagnostics)?;
    let name = f.get("name").and_then(|n| text(n, diagnostics));
    let bytes_per_second = f.get("bytes_per_second").and_then(|n| figure(n, diagnostics));
    Some(Interconnect { name: name?, bytes_per_second: bytes_per_second? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::diag::Code;
    use crate::syntax::json;
    use crate::syntax::source::{Source, SourceId};

    const GOOD: &str = r#"{ "name": "x1", "title": "X1", "vendor": "X", "kind": "GPU", "memory_capacity": 80, "memory_bandwidth": 3,
        "peak_flops_per_second": { "bf16": 989400000000000 }, "sources": ["a page"], "verified": true }"#;

    fn parsed(text: &str) -> (Option<Device>, Vec<(Code, String)>) {
        let source = Source::of(SourceId::catalog(0), "x1.json", text);
        let mut diagnostics = Diagnostics::default();
        let document = json::read(&source, &mut diagnostics).unwrap();
        let device = parse_device(&document.root, &mut diagnostics);
        (device, diagnostics.sorted().into_iter().map(|d| (d.code, d.message.clone())).collect())
    }

    #[test]
    fn figures_are_exact() {
        let (device, said) = parsed(GOOD);
        let device = device.unwrap();
        assert_eq!(said, []);
        assert_eq!(device.peak("bf16"), Some(989_400_000_000_000));
        assert_eq!((device.peak("fp8"), device.tdp_watts), (None, None));
    }

    #[test]
    fn a_device_is_stated_by_its_memory() {
        let stated = |text: &str| Device::stated(text).map(|device| (device.memory_capacity, device.memory_bandwidth));
        assert_eq!(stated("24GB"), Some((24_000_000_000, None)));
        assert_eq!(stated("24 gib"), Some((24 << 30, None)));
        assert_eq!(stated("1.5TB@3.35TB/s"), Some((1_500_000_000_000, Some(3_350_000_000_000))));
        for wrong in ["24", "GB", "24GB@900", "24GB@900GB", "-1GB", "0GB", "24GBs", "rtx-4090", "1e400GB"] {
            assert_eq!(stated(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_mistake_is_said_at_once() {
        let text =
            GOOD.replace("\"memory_capacity\": 80", "\"memory_capacity\": 0").replace("bf16", "bf17").replace("\"GPU\"", "1");
        let (device, said) = parsed(&text.replace("\"verified\": true", "\"verified\": \"yes\", \"sram\": 1"));
        assert!(device.is_none());
        let expected = [
            (Code::WrongType, "expected a text, found 1"),
            (Code::WrongType, "expected a positive integer, found 0"),
            (Code::UnknownKey, "unknown key `bf17` in `peak_flops_per_second`"),
            (Code::WrongType, "expected true or false, found a text"),
            (Code::UnknownKey, "unknown key `sram` in a device"),
        ];
        assert_eq!(said, expected.map(|(code, message)| (code, message.to_owned())));
    }
}
