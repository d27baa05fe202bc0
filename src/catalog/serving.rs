//! How an engine serves a model: what it loads, reserves and keeps. The part `serving` of a runtime's file.
//!
//! A file's part comes in, a [`Serving`] goes out: rules with their formulas parsed. What a model makes of them is not known here.

use std::sync::Arc;

use super::role::{Role, role};
use super::values::{flag, formula, key, list, text, texts, wrong};
use super::version::is_before;
use crate::quantity::workload::words;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::expr::{EvalError, Exact, Expr, Name, Value, eval};
use crate::syntax::json::{Json, Member, Node};
use crate::syntax::source::Span;
use crate::syntax::spec::{Fields, Key, KeyKind, fields};

/// How an engine serves a model.
#[derive(Debug)]
pub struct Serving {
    /// Whether it is the one where none is asked for.
    pub is_default: bool,
    /// Where the rules were read.
    pub source: Arc<str>,
    /// What it can be told.
    pub options: Vec<EngineOption>,
    /// How weights are loaded.
    pub weights: LoadRules,
    /// How keys, values and states are kept.
    pub cache: CacheRules,
    /// What it takes beside weights and cache.
    pub beside: Vec<Beside>,
    /// Bytes of a device that it may take.
    pub may_take: ServingFormula,
    /// Lines of its log.
    pub log: Vec<LogLine>,
    /// The words of its command line.
    pub command: Vec<CommandWord>,
}

/// A formula over names of the model, the device and the workload, and the engine's options.
#[derive(Debug)]
pub struct ServingFormula {
    /// As it is written.
    pub text: Arc<str>,
    expr: Expr<Name>,
}

/// What an engine can be told.
#[derive(Debug)]
pub struct EngineOption {
    /// Its name in formulas: `max_num_seqs`.
    pub name: Arc<str>,
    /// As it is typed: `--max-num-seqs`.
    pub typed: Arc<str>,
    /// What it is.
    pub doc: Arc<str>,
    /// Where its default was read.
    pub source: Arc<str>,
    /// What its values are.
    pub kind: OptionKind,
    /// The words that it can be, if it is one.
    pub choices: Vec<Arc<str>>,
    /// Its values by version, the oldest first; the last has no end.
    pub defaults: Vec<Dated<ServingFormula>>,
}

/// What holds until a version.
#[derive(Debug)]
pub struct Dated<T> {
    /// The first version for which it doesn't hold any more.
    pub until: Option<Arc<str>>,
    /// What holds.
    pub value: T,
}

/// What an option's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// More than 0, at most 1.
    Share,
    /// An integer, 0 or more.
    Count,
    /// Given or not.
    Flag,
    /// One of a few words.
    Word,
}

words!(OptionKind, Share = "share", Count = "count", Flag = "flag", Word = "word");

/// How weights are loaded.
#[derive(Debug)]
pub struct LoadRules {
    /// Tables with a row for each token of the vocabulary have a multiple of so many rows.
    pub rows_multiple: u128,
    /// What each rank has whole, whatever its class could divide.
    pub whole: Vec<Role>,
    /// Layers whose bias each rank has whole, as its products are added up.
    pub whole_biases: Vec<Role>,
    /// How an allocator rounds; `None`: it doesn't.
    pub blocks: Option<AllocatorRules>,
    /// What is loaded beside the weights: a name, bytes.
    pub tables: Vec<(Arc<str>, ServingFormula)>,
    /// To whose multiple the inner elements of experts are filled up, and the hidden ones, where they are stored in fewer than 8 bits.
    pub expert_multiples: [u128; 2],
    /// Where tensors are kept, for an engine that can leave some of them to the processor; `None`: all are on the device.
    pub places: Option<PlaceRules>,
}

/// Which tensors stay with the processor.
#[derive(Debug)]
pub struct PlaceRules {
    /// What begins the names of a layer's tensors, its number behind it: `blk.`.
    pub layer: Arc<str>,
    /// The option that says how many layers are on the device, counted from the last; what comes behind all layers counts as one.
    pub layers_on_device: Arc<str>,
    /// What begins the names of tensors that never are.
    pub host: Vec<Arc<str>>,
    /// The tensor of a head: where there is none, those that never are on the device are there as well.
    pub head: Option<Arc<str>>,
}

/// PyTorch's caching allocator: a small storage up to a multiple of `round` bytes, one of at least `large` up to whole segments, of which a rest of
/// more than `rest` bytes is given to others.
#[derive(Debug, Clone, Copy)]
pub struct AllocatorRules {
    /// Bytes.
    pub round: u128,
    /// Bytes from which a storage has segments of its own.
    pub large: u128,
    /// Bytes of a segment.
    pub segment: u128,
    /// Bytes up to which a rest stays with its storage.
    pub rest: u128,
}

/// How keys, values and states are kept.
#[derive(Debug)]
pub struct CacheRules {
    /// In blocks that requests share, or in cells for each.
    pub layout: Layout,
    /// Tokens of a block, or to whose multiple cells are rounded up.
    pub block: ServingFormula,
    /// Bytes of a token in a layer that keeps keys alone, in place of those of its dtype: `width` elements.
    pub keys_alone: Option<ServingFormula>,
    /// Bytes of a token in a layer of latents beside which keys alone are kept, in place of those of its dtype: `width` elements.
    pub indexed_latents: Option<ServingFormula>,
    /// What a layer keeps of a token beside its keys and values: scales, bytes.
    pub token_extra: Option<ServingFormula>,
    /// Tokens that a window keeps of a request beyond itself, as they are being computed.
    pub in_flight: ServingFormula,
    /// Up to how many times as many layers as the fewest of a kind a group takes the most of them.
    pub group_ratio: Option<Exact>,
    /// Tokens of what a convolution keeps.
    pub convolution_tokens: Option<ServingFormula>,
    /// Bytes of an element of what a convolution keeps.
    pub convolution_bytes: Option<ServingFormula>,
    /// Bytes of an element of a state.
    pub state_bytes: Option<ServingFormula>,
    /// How many states a request has.
    pub states: Option<ServingFormula>,
    /// Which tokens the log reports where layers are of several kinds.
    pub reported: Vec<Dated<Reported>>,
}

/// Where keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// In blocks that all requests share: as many as there is room for.
    Blocks,
    /// In cells, as many as are asked for.
    Cells,
}

words!(Layout, Blocks = "blocks", Cells = "cells");

/// Which tokens a log reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    /// Those of all blocks, over the kinds of layers.
    Pool,
    /// As many as requests of the longest length have together.
    Requests,
}

words!(Reported, Pool = "pool", Requests = "requests");

/// What an engine takes beside weights and cache.
#[derive(Debug)]
pub struct Beside {
    /// What it is.
    pub name: Arc<str>,
    /// Whether it was derived and measured, or only seen.
    pub certainty: Certainty,
    /// The largest of these counts: what it is, bytes.
    pub largest_of: Vec<(Arc<str>, ServingFormula)>,
    /// The least and the most that was seen, over `usual` too.
    pub band: [ServingFormula; 2],
    /// When it is taken; `None`: always.
    pub when: Option<ServingFormula>,
    /// From which version on.
    pub from: Option<Arc<str>>,
    /// What the band rests on.
    pub doc: Arc<str>,
    /// Where that was read or seen.
    pub source: Arc<str>,
}

/// How far a figure can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// Follows from the engine's own code.
    Exact,
    /// A formula that was held against logs.
    Modelled,
    /// What logs show, without a rule.
    Assumed,
}

words!(Certainty, Exact = "exact", Modelled = "modelled", Assumed = "assumed");

/// A line of an engine's log.
#[derive(Debug)]
pub struct LogLine {
    /// Its text, `{name}` standing for a figure: `Available KV cache memory: {available} GiB`.
    pub text: Arc<str>,
    /// Whether the newest version writes it; else it is only read.
    pub is_new: bool,
}

/// A part of a command line.
#[derive(Debug)]
pub struct CommandWord {
    /// The text, `{name}` standing for a value.
    pub text: Arc<str>,
    /// When it is written; `None`: always.
    pub when: Option<ServingFormula>,
}

/// What formulas may use beside the engine's options.
pub const NAMES: &[(&str, &str)] = &[
    ("device", "name of the device"),
    ("device_kind", "GPU, SoC, ...: what kind of device it is"),
    ("device_bytes", "bytes that a device says it has"),
    ("tensor", "ranks over which layers are divided"),
    ("pipeline", "ranks over which the layers are dealt out"),
    ("expert", "ranks over which experts are dealt out"),
    ("context", "tokens of a request at most, its answer included"),
    ("concurrency", "requests at once"),
    ("hidden", "elements of a token between the layers"),
    ("intermediate", "inner elements of a token in its MLP, those of all experts that it is sent to together"),
    ("vocabulary", "logits of a token"),
    ("query_heads", "query heads of a layer, the most"),
    ("layers", "layers with attention or a state"),
    ("positions", "positions that the model says it has"),
    ("rotary", "elements of the angles of a position, over all tables"),
    ("dtype_bytes", "bytes of an activation"),
    ("kv_dtype_bytes", "bytes of a cached key or value"),
    ("conv_kernel", "inputs that a convolution sees"),
    ("weights", "bytes of weights on a rank, the fullest"),
    ("window", "tokens of a sliding window"),
    ("width", "elements of a token in a layer that keeps keys alone, or latents"),
    ("usual", "the figure itself, in its band"),
];

const SERVING_KEYS: &[Key] = &[
    key("default", KeyKind::Flag, false, "whether it is the engine where none is asked for"),
    key("source", KeyKind::Text, true, "where the rules were read, with their version"),
    key("options", KeyKind::Variables, true, "what the engine can be told, with its defaults by version"),
    key("weights", KeyKind::Variables, true, "how weights are loaded"),
    key("cache", KeyKind::Variables, true, "how keys, values and states are kept"),
    key("beside", KeyKind::Variables, true, "what it takes beside weights and cache"),
    key("may_take", KeyKind::Text, true, "bytes of a device that it may take"),
    key("log", KeyKind::Texts, false, "lines of its log, `{name}` standing for a figure"),
    key(
        "log_before",
        KeyKind::Texts,
        false,
        "lines that older versions write, and lines that say what it was told: they are read",
    ),
    key("command", KeyKind::Variables, false, "the words of its command line, `{name}` standing for a value"),
];

const OPTION_KEYS: &[Key] = &[
    key("name", KeyKind::Text, true, "its name in formulas"),
    key("typed", KeyKind::Text, false, "as it is typed; left out: the name with hyphens"),
    key("kind", KeyKind::Text, true, "share, count, flag or word"),
    key("choices", KeyKind::Texts, false, "the words that it can be"),
    key("doc", KeyKind::Text, true, "what it is"),
    key(
        "default",
        KeyKind::Variables,
        true,
        "a formula, or a list of `value` with `until`, the first version in which it isn't so",
    ),
    key("source", KeyKind::Text, true, "where its default was read"),
];

const DATED_KEYS: &[Key] = &[
    key("value", KeyKind::Text, true, "what holds"),
    key("until", KeyKind::Text, false, "the first version for which it doesn't hold any more"),
];

const LOAD_KEYS: &[Key] = &[
    key("rows_multiple", KeyKind::Count, false, "tables with a row for each token have a multiple of so many"),
    key("whole", KeyKind::Texts, false, "roles of layers that each rank has whole"),
    key("whole_biases", KeyKind::Texts, false, "roles of layers whose bias each rank has whole"),
    key("blocks", KeyKind::Variables, false, "how the allocator rounds: `round`, `large`, `segment`, `rest`, in bytes"),
    key("tables", KeyKind::Variables, false, "what is loaded beside the weights: names, and formulas of their bytes"),
    key(
        "expert_inner_multiple",
        KeyKind::Count,
        false,
        "to whose multiple the inner elements of experts in fewer than 8 bits are filled up",
    ),
    key("expert_hidden_multiple", KeyKind::Count, false, "to whose multiple their hidden elements are"),
    key("places", KeyKind::Variables, false, "which tensors stay with the processor, by their names in a GGUF file"),
];

const PLACE_KEYS: &[Key] = &[
    key("layer", KeyKind::Text, true, "what begins the names of a layer's tensors, its number behind it"),
    key("layers_on_device", KeyKind::Text, true, "the option that says how many layers are on the device"),
    key("host", KeyKind::Texts, false, "what begins the names of tensors that never are"),
    key("head", KeyKind::Text, false, "the tensor of a head: where there is none, those are on the device as well"),
];

const BLOCK_KEYS: &[Key] = &[
    key("round", KeyKind::Count, true, "bytes to whose multiple a storage is rounded"),
    key("large", KeyKind::Count, true, "bytes from which it has segments of its own"),
    key("segment", KeyKind::Count, true, "bytes of a segment"),
    key("rest", KeyKind::Count, true, "bytes up to which a rest stays with its storage"),
];

const CACHE_KEYS: &[Key] = &[
    key("layout", KeyKind::Text, true, "blocks, which requests share, or cells, which each has"),
    key("block", KeyKind::Text, true, "tokens of a block, or to whose multiple cells are rounded up"),
    key("keys_alone", KeyKind::Text, false, "bytes of a token in a layer that keeps keys alone, of `width` elements"),
    key(
        "indexed_latents",
        KeyKind::Text,
        false,
        "bytes of a token in a layer of latents beside which keys alone are kept, of `width` elements",
    ),
    key("token_extra", KeyKind::Text, false, "bytes that a layer keeps of a token beside its keys and values"),
    key("in_flight", KeyKind::Text, true, "tokens that a window keeps of a request beyond itself"),
    key("group_ratio", KeyKind::Text, false, "up to how many times the fewest layers of a kind a group takes the most of them"),
    key("convolution_tokens", KeyKind::Text, false, "tokens of what a convolution keeps"),
    key("convolution_bytes", KeyKind::Text, false, "bytes of an element of that"),
    key("state_bytes", KeyKind::Text, false, "bytes of an element of a state"),
    key("states", KeyKind::Text, false, "how many states a request has"),
    key(
        "reported",
        KeyKind::Variables,
        false,
        "which tokens the log reports where layers are of several kinds: pool or requests, by version",
    ),
];

const BESIDE_KEYS: &[Key] = &[
    key("name", KeyKind::Text, true, "what it is"),
    key("certainty", KeyKind::Text, true, "exact, modelled or assumed"),
    key("largest_of", KeyKind::Variables, true, "what it is made of, of which the largest counts: names, and formulas of bytes"),
    key("low", KeyKind::Text, true, "the least that was seen, over `usual`"),
    key("high", KeyKind::Text, true, "the most that was seen, over `usual`"),
    key("when", KeyKind::Text, false, "when it is taken; left out: always"),
    key("from", KeyKind::Text, false, "from which version on it is"),
    key("doc", KeyKind::Text, true, "what the band rests on"),
    key("source", KeyKind::Text, true, "where that was read or seen"),
];

const WORD_KEYS: &[Key] = &[
    key("text", KeyKind::Text, true, "words, `{name}` standing for a value"),
    key("when", KeyKind::Text, false, "when they are written; left out: always"),
];

/// Reads the part of a runtime's file; `None` if it is unusable. What is wrong goes to `diagnostics`.
pub fn parse_serving(node: &Node, diagnostics: &mut Diagnostics) -> Option<Serving> {
    let f = fields(node, "`serving`", SERVING_KEYS, &[], diagnostics)?;
    // Formulas speak of the options by their names.
    let known = f.get("options").map(option_names).unwrap_or_default();
    let mut reader = Reader { known, diagnostics };
    // All are read before any is missed, so that all that is wrong is said.
    let is_default = f.get("default").and_then(|n| flag(n, reader.diagnostics)).unwrap_or(false);
    let source = reader.text(&f, "source");
    let options = reader.items(f.get("options"), "a list of options", Reader::option);
    let weights = f.get("weights").and_then(|n| reader.weights(n));
    let cache = f.get("cache").and_then(|n| reader.cache(n));
    let beside = reader.items(f.get("beside"), "a list of what is taken", Reader::beside);
    let may_take = reader.formula(&f, "may_take");
    let line = |is_new: bool| move |text: Arc<str>| LogLine { text, is_new };
    let log: Vec<LogLine> = texts(f.get("log"), reader.diagnostics).into_iter().map(line(true)).collect();
    let before = texts(f.get("log_before"), reader.diagnostics).into_iter().map(line(false));
    let command = match f.get("command") {
        Some(node) => reader.items(Some(node), "a list of words", Reader::word),
        None => Some(Vec::new()),
    };
    Some(Serving {
        is_default,
        source: source?,
        options: options?,
        weights: weights?,
        cache: cache?,
        beside: beside?,
        may_take: may_take?,
        log: log.into_iter().chain(before).collect(),
        command: command?,
    })
}

fn option_names(node: &Node) -> Vec<Arc<str>> {
    let Json::List(items) = &node.json else { return Vec::new() };
    let name = |item: &Node| match &item.json {
        Json::Object(members) => members.iter().find(|m| &*m.key == "name").and_then(|m| match &m.value.json {
            Json::Text(text) => Some(text.value.clone()),
            _ => None,
        }),
        _ => None,
    };
    items.iter().filter_map(name).collect()
}

struct Reader<'d> {
    /// Names of the engine's options.
    known: Vec<Arc<str>>,
    diagnostics: &'d mut Diagnostics,
}

impl Reader<'_> {
    fn text(&mut self, f: &Fields<'_>, key: &str) -> Option<Arc<str>> {
        text(f.get(key)?, self.diagnostics)
    }

    fn items<T>(&mut self, node: Option<&Node>, expected: &str, read: impl Fn(&mut Self, &Node) -> Option<T>) -> Option<Vec<T>> {
        let node = node?;
        let Json::List(items) = &node.json else {
            wrong(node, expected, self.diagnostics);
            return None;
        };
        let all: Vec<Option<T>> = items.iter().map(|item| read(self, item)).collect();
        all.into_iter().collect()
    }

    fn formula(&mut self, f: &Fields<'_>, key: &str) -> Option<ServingFormula> {
        self.formula_of(f.get(key)?)
    }

    /// One that may be left out; `None`: it is wrong, which was said.
    fn perhaps(&mut self, f: &Fields<'_>, key: &str) -> Option<Option<ServingFormula>> {
        match f.get(key) {
            Some(node) => self.formula_of(node).map(Some),
            None => Some(None),
        }
    }

    fn formula_of(&mut self, node: &Node) -> Option<ServingFormula> {
        let known = &self.known;
        let (text, expr) = formula(node, |name, span| unknown(name, span, known), self.diagnostics)?;
        Some(ServingFormula { text, expr })
    }

    /// Names with formulas.
    fn named(&mut self, node: &Node) -> Option<Vec<(Arc<str>, ServingFormula)>> {
        let Json::Object(members) = &node.json else {
            wrong(node, "an object of formulas", self.diagnostics);
            return None;
        };
        let all: Vec<_> = members.iter().map(|Member { key, value, .. }| Some((key.clone(), self.formula_of(value)?))).collect();
        all.into_iter().collect()
    }

    fn word_of<T>(&mut self, node: &Node, words: &[&str], read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let said = text(node, self.diagnostics)?;
        let found = read(&said);
        if found.is_none() {
            wrong(node, &format!("one of {}", words.join(", ")), self.diagnostics);
        }
        found
    }

    fn option(&mut self, node: &Node) -> Option<EngineOption> {
        let f = fields(node, "an option of an engine", OPTION_KEYS, &[], self.diagnostics)?;
        let [name, doc, source] = ["name", "doc", "source"].map(|key| self.text(&f, key));
        let kind = f.get("kind").and_then(|n| self.word_of(n, OptionKind::WORDS, OptionKind::from_word));
        let defaults = f.get("default").and_then(|n| self.dated(n, Self::formula_of));
        let name = name?;
        let typed = match f.get("typed") {
            Some(node) => text(node, self.diagnostics)?,
            None => format!("--{}", name.replace('_', "-")).into(),
        };
        let choices = texts(f.get("choices"), self.diagnostics);
        Some(EngineOption { name, typed, choices, doc: doc?, source: source?, kind: kind?, defaults: defaults? })
    }

    /// A value, or values by version.
    fn dated<T>(&mut self, node: &Node, read: impl Fn(&mut Self, &Node) -> Option<T>) -> Option<Vec<Dated<T>>> {
        if !matches!(node.json, Json::List(_)) {
            return Some(vec![Dated { until: None, value: read(self, node)? }]);
        }
        let all = self.items(Some(node), "a list of values by version", |reader, node| {
            let f = fields(node, "a value by version", DATED_KEYS, &[], reader.diagnostics)?;
            let until = f.get("until").map(|n| text(n, reader.diagnostics));
            let value = f.get("value").and_then(|n| read(reader, n));
            Some(Dated { until: until.map_or(Some(None), |until| until.map(Some))?, value: value? })
        })?;
        let ends = all.last().is_some_and(|last| last.until.is_none());
        if !ends {
            wrong(node, "a last value without `until`", self.diagnostics);
        }
        ends.then_some(all)
    }

    fn roles(&mut self, node: Option<&Node>) -> Option<Vec<Role>> {
        match node {
            Some(node) => list(node, "a list of roles", role, self.diagnostics),
            None => Some(Vec::new()),
        }
    }

    fn weights(&mut self, node: &Node) -> Option<LoadRules> {
        let f = fields(node, "how weights are loaded", LOAD_KEYS, &[], self.diagnostics)?;
        let rows_multiple = f.get("rows_multiple").map_or(Some(1), |n| self.bytes(n));
        let [whole, whole_biases] = ["whole", "whole_biases"].map(|key| self.roles(f.get(key)));
        let blocks = f.get("blocks").map(|n| {
            let f = fields(n, "how an allocator rounds", BLOCK_KEYS, &[], self.diagnostics)?;
            let [round, large, segment, rest] =
                ["round", "large", "segment", "rest"].map(|key| f.get(key).and_then(|n| self.bytes(n)));
            Some(AllocatorRules { round: round?, large: large?, segment: segment?, rest: rest? })
        });
        let tables = f.get("tables").map_or(Some(Vec::new()), |n| self.named(n));
        let [inner, hidden] =
            ["expert_inner_multiple", "expert_hidden_multiple"].map(|key| f.get(key).map_or(Some(1), |n| self.bytes(n)));
        let places = f.get("places").map(|n| {
            let f = fields(n, "where tensors are kept", PLACE_KEYS, &[], self.diagnostics)?;
            let [layer, layers_on_device] = ["layer", "layers_on_device"].map(|key| self.text(&f, key));
            let host = texts(f.get("host"), self.diagnostics);
            let head = f.get("head").map(|n| text(n, self.diagnostics));
            let head = head.map_or(Some(None), |head| head.map(Some))?;
            Some(PlaceRules { layer: layer?, layers_on_device: layers_on_device?, host, head })
        });
        Some(LoadRules {
            expert_multiples: [inner?, hidden?],
            places: places.map_or(Some(None), |places| places.map(Some))?,
            rows_multiple: rows_multiple?,
            whole: whole?,
            whole_biases: whole_biases?,
            blocks: blocks.map_or(Some(None), |blocks| blocks.map(Some))?,
            tables: tables?,
        })
    }

    fn bytes(&mut self, node: &Node) -> Option<u128> {
        super::values::figure(node, self.diagnostics)
    }

    fn cache(&mut self, node: &Node) -> Option<CacheRules> {
        let f = fields(node, "how a cache is kept", CACHE_KEYS, &[], self.diagnostics)?;
        let layout = f.get("layout").and_then(|n| self.word_of(n, Layout::WORDS, Layout::from_word));
        let [block, in_flight] = ["block", "in_flight"].map(|key| self.formula(&f, key));
        let [keys, latents, extra, tokens, bytes, state, states] =
            ["keys_alone", "indexed_latents", "token_extra", "convolution_tokens", "convolution_bytes", "state_bytes", "states"]
                .map(|key| self.perhaps(&f, key));
        let ratio = f.get("group_ratio").map(|n| {
            let said = text(n, self.diagnostics)?;
            let ratio = Exact::parse(&said).filter(|ratio| *ratio >= Exact::integer(1));
            if ratio.is_none() {
                wrong(n, "a number of at least 1, in a text", self.diagnostics);
            }
            ratio
        });
        let reported = f
            .get("reported")
            .map_or(Some(Vec::new()), |n| self.dated(n, |reader, n| reader.word_of(n, Reported::WORDS, Reported::from_word)));
        Some(CacheRules {
            layout: layout?,
            block: block?,
            keys_alone: keys?,
            indexed_latents: latents?,
            token_extra: extra?,
            in_flight: in_flight?,
            group_ratio: ratio.map_or(Some(None), |ratio| ratio.map(Some))?,
            convolution_tokens: tokens?,
            convolution_bytes: bytes?,
            state_bytes: state?,
            states: states?,
            reported: reported?,
        })
    }

    fn beside(&mut self, node: &Node) -> Option<Beside> {
        let f = fields(node, "what an engine takes", BESIDE_KEYS, &[], self.diagnostics)?;
        let [name, doc, source] = ["name", "doc", "source"].map(|key| self.text(&f, key));
        let certainty = f.get("certainty").and_then(|n| self.word_of(n, Certainty::WORDS, Certainty::from_word));
        let largest_of = f.get("largest_of").and_then(|n| self.named(n));
        let [low, high] = ["low", "high"].map(|key| self.formula(&f, key));
        let when = self.perhaps(&f, "when");
        let from = f.get("from").map(|n| text(n, self.diagnostics));
        Some(Beside {
            name: name?,
            certainty: certainty?,
            largest_of: largest_of?,
            band: [low?, high?],
            when: when?,
            from: from.map_or(Some(None), |from| from.map(Some))?,
            doc: doc?,
            source: source?,
        })
    }

    fn word(&mut self, node: &Node) -> Option<CommandWord> {
        if let Json::Text(text) = &node.json {
            return Some(CommandWord { text: text.value.clone(), when: None });
        }
        let f = fields(node, "words of a command", WORD_KEYS, &[], self.diagnostics)?;
        let (text, when) = (self.text(&f, "text"), self.perhaps(&f, "when"));
        Some(CommandWord { text: text?, when: when? })
    }
}

/// What to say of a name that is neither of [`NAMES`] nor an option.
fn unknown(name: &str, span: Span, options: &[Arc<str>]) -> Option<Diagnostic> {
    let names = || NAMES.iter().map(|(name, _)| *name).chain(options.iter().map(|name| &**name));
    (!names().any(|known| known == name)).then(|| {
        Diagnostic::new(Code::UnknownVariable, format!("unknown name `{name}` in a formula"))
            .at(span, "neither known of a model that is served, nor an option of the engine")
            .did_you_mean(span, nearest(name, names()))
            .help(format!("there are {}", names().collect::<Vec<_>>().join(", ")))
    })
}

impl ServingFormula {
    /// Its value, names having these values.
    ///
    /// # Errors
    /// A name without a value, or a value that isn't computed with.
    pub fn value(&self, of: &dyn Fn(&str) -> Option<Value>) -> Result<Value, EvalError> {
        eval(&self.expr, &|name: &Name| of(&name.text).ok_or(EvalError::Reported), 0)
    }

    /// Its value as a count, rounded up.
    #[must_use]
    pub fn count(&self, of: &dyn Fn(&str) -> Option<Value>) -> Option<u128> {
        let value = self.value(of).ok()?.as_number()?;
        if value < Exact::ZERO { Some(0) } else { value.ceil()?.to_count() }
    }
}

/// What holds in a version; `None`: in the newest.
pub fn in_version<'d, T>(values: &'d [Dated<T>], version: Option<&str>) -> Option<&'d T> {
    let holds = |dated: &&Dated<T>| match (&dated.until, version) {
        (Some(until), Some(version)) => is_before(version, until),
        (Some(_), None) => false,
        (None, _) => true,
    };
    values.iter().find(holds).map(|dated| &dated.value)
}

impl Beside {
    /// Whether a version has it; `None`: the newest.
    #[must_use]
    pub fn is_in(&self, version: Option<&str>) -> bool {
        !self.from.as_deref().zip(version).is_some_and(|(from, version)| is_before(version, from))
    }
}
