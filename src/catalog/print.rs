//! What `print(model)` writes of modules: `catalog/formats/print_*.json`. Wrappers, layers by their class as printed, keys of configs, old names.
//!
//! Lists come in, rules go out. What a real text makes of them is `import`'s business.

use std::sync::Arc;

use super::CatalogFile;
use super::table::Entry;
use super::values::{KeyFormula, flag, key, key_formula, text, texts, wrong};
use crate::syntax::diag::Diagnostics;
use crate::syntax::expr::{Value, value_of};
use crate::syntax::json::{Json, Member, Node};
use crate::syntax::spec::{Key, KeyKind, fields};

/// A value of an entry: an expression, or data.
#[derive(Debug, Clone)]
pub enum KeyValue {
    Formula(KeyFormula),
    Data(Value),
}

/// A module that is there for another one's sake.
#[derive(Debug)]
pub struct PrintedWrapper {
    /// A pattern of class names.
    pub name: Arc<str>,
    /// Other such patterns.
    pub also: Vec<Arc<str>>,
    /// The child that is meant; the first that is there.
    pub inner: Vec<Arc<str>>,
    /// Children, as patterns, that say again what others say.
    pub again: Vec<Arc<str>>,
    /// Children, as patterns, that are an adapter's; of a wrapper with an inner child all others are, if nothing is said.
    pub adapter: Vec<Arc<str>>,
}

/// What a layer of a text takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Rows of so many features.
    Rows,
    /// So many channels of a grid of this many dimensions.
    Grid(usize),
    /// Indices.
    Ids,
    /// Whatever comes.
    Any,
}

/// A layer as it is printed.
#[derive(Debug)]
pub struct PrintedLayer {
    /// A pattern of class names.
    pub name: Arc<str>,
    /// Other such patterns.
    pub also: Vec<Arc<str>>,
    /// The class of the catalog; `None`: that of its name.
    pub class: Option<Arc<str>>,
    /// The class's parameters.
    pub parameters: Vec<(Arc<str>, KeyValue)>,
    /// What it takes.
    pub takes: Takes,
    /// Of how many features, or channels.
    pub size: Option<KeyFormula>,
    /// How many it gives; `None`: as many.
    pub gives: Option<KeyFormula>,
    /// A dimension of the grid that it gives, by `in`; `None`: that of its input.
    pub out: Option<KeyFormula>,
    /// Whether it does nothing that counts: a container that is empty, what only says something.
    pub is_nothing: bool,
    /// Whether all of a sample becomes one row.
    pub is_flat: bool,
    /// Whether its class takes the dimensions of a grid as one.
    pub is_of_lines: bool,
    /// What a config says of weights that are stored so.
    pub quantization: Option<Value>,
    /// What it is said with where the text says nothing of it: expressions over `around`, the module that it is in.
    pub unsaid: Vec<(Arc<str>, KeyValue)>,
    /// What a composite computes itself: layers before its children, each with its class, parameters, size and what it gives.
    pub adds: Vec<PrintedLayer>,
}

/// A key of a config.
#[derive(Debug)]
pub struct PrintedKey {
    /// As the config has it.
    pub name: Arc<str>,
    /// What it is, the first that has a value; expressions over the modules by their names.
    pub from: Vec<KeyValue>,
    /// What it is if nothing of the text says it, each a guess to be tried.
    pub guess: Vec<KeyValue>,
    /// An inner config: the modules that it is for, the first that is there.
    pub part: Vec<Arc<str>>,
    /// A list with an item for each layer of `over`: what it is of one, `<layer>`.
    pub each: Option<KeyFormula>,
    /// The numbers of the layers of which this holds.
    pub those: Option<KeyFormula>,
    /// The modules that have the layers in them, the first that is there.
    pub over: Vec<Arc<str>>,
}

/// A path that was another one in older versions.
#[derive(Debug)]
pub struct PrintedName {
    /// The older one, as whole segments; behind a `^` only where a path begins.
    pub name: Arc<str>,
    /// Today's.
    pub now: Arc<str>,
    /// Classes of the whole model, as patterns, for which that is so; none: for all.
    pub of: Vec<Arc<str>>,
}

const WRAPPER_KEYS: &[Key] = &[
    key("also", KeyKind::Texts, false, "other classes, as patterns"),
    key("inner", KeyKind::Texts, false, "the child that is meant: the first that is there"),
    key("again", KeyKind::Texts, false, "children that say again what others say"),
    key("adapter", KeyKind::Texts, false, "children that are an adapter's; left out: all but the inner one"),
    key("doc", KeyKind::Text, false, "a remark for readers"),
    key("source", KeyKind::Text, false, "where that is written down"),
];

const LAYER_KEYS: &[Key] = &[
    key("also", KeyKind::Texts, false, "other classes, as patterns"),
    key("class", KeyKind::Text, false, "the class of the catalog; left out: that of the printed name"),
    key("parameters", KeyKind::Variables, false, "its parameters: expressions over what is printed (a0, a1, ... without a name)"),
    key("takes", KeyKind::Text, false, "rows, grid1, grid2, grid3, ids; left out: whatever comes"),
    key("size", KeyKind::Template, false, "features or channels that it takes"),
    key("gives", KeyKind::Template, false, "features or channels that it gives; left out: as many"),
    key("out", KeyKind::Template, false, "a dimension of the grid that it gives, by `in`; lists are at that dimension"),
    key("nothing", KeyKind::Flag, false, "whether it does nothing that counts"),
    key("flat", KeyKind::Flag, false, "whether all of a sample becomes one row"),
    key("lines", KeyKind::Flag, false, "whether its class takes the dimensions of a grid as one"),
    key("quantization", KeyKind::Variables, false, "what a config says of weights that are stored so"),
    key(
        "unsaid",
        KeyKind::Variables,
        false,
        "what it is said with if nothing is printed of it: expressions over `<around>`, the module that it is in",
    ),
    key("adds", KeyKind::Variables, false, "layers that a composite of this class computes itself, by name"),
    key("doc", KeyKind::Text, false, "a remark for readers"),
    key("source", KeyKind::Text, false, "where that is written down"),
];

const KEY_KEYS: &[Key] = &[
    key("from", KeyKind::Texts, false, "what it is, the first that has a value: expressions over modules by their names"),
    key("guess", KeyKind::Texts, false, "what it may be if the text doesn't say it"),
    key(
        "part",
        KeyKind::Texts,
        false,
        "an inner config: the modules that it is for, the first that is there; behind a colon a pattern of their class",
    ),
    key("each", KeyKind::Template, false, "a list of the layers of `over`: what it says of `<layer>`; of one null, no list"),
    key("those", KeyKind::Template, false, "the numbers of the layers of `over` of which this holds; of one null, no list"),
    key("over", KeyKind::Texts, false, "modules whose modules are the layers, the first that is there"),
    key("doc", KeyKind::Text, false, "a remark for readers"),
];

const NAME_KEYS: &[Key] = &[
    key("now", KeyKind::Text, true, "what that is called now"),
    key("of", KeyKind::Texts, false, "classes of the whole model for which that is so"),
    key("source", KeyKind::Text, false, "where that is written down"),
];

macro_rules! file {
    ($name:literal) => {
        CatalogFile {
            path: concat!("catalog/formats/", $name, ".json"),
            name: $name,
            aliases: &[],
            computed: None,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/catalog/formats/", $name, ".json")),
        }
    };
}

pub(super) const WRAPPERS: CatalogFile = file!("print_wrappers");
pub(super) const LAYERS: CatalogFile = file!("print_layers");
pub(super) const KEYS: CatalogFile = file!("print_keys");
pub(super) const NAMES: CatalogFile = file!("print_names");

impl Entry for PrintedWrapper {
    const ANY_CASE: bool = false;

    fn read(member: &Member, diagnostics: &mut Diagnostics) -> Option<Self> {
        let f = fields(&member.value, "a wrapper", WRAPPER_KEYS, &[], diagnostics)?;
        let mut all = |key: &str| texts(f.get(key), diagnostics);
        let [also, inner, again, adapter] = ["also", "inner", "again", "adapter"].map(&mut all);
        Some(PrintedWrapper { name: member.key.clone(), also, inner, again, adapter })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn aliases(&self) -> &[Arc<str>] {
        &self.also
    }
}

fn takes(node: &Node, diagnostics: &mut Diagnostics) -> Option<Takes> {
    let known = [
        ("rows", Takes::Rows),
        ("grid1", Takes::Grid(1)),
        ("grid2", Takes::Grid(2)),
        ("grid3", Takes::Grid(3)),
        ("ids", Takes::Ids),
        ("any", Takes::Any),
    ];
    let word = text(node, diagnostics)?;
    let found = known.iter().find(|(name, _)| **name == *word).map(|(_, takes)| *takes);
    if found.is_none() {
        wrong(node, "rows, grid1, grid2, grid3, ids or any", diagnostics);
    }
    found
}

fn parameters(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Vec<(Arc<str>, KeyValue)> {
    let members = node.map(Node::members).unwrap_or_default();
    members.iter().filter_map(|member| Some((member.key.clone(), key_value(&member.value, diagnostics)?))).collect()
}

/// A text is an expression, everything else what it is.
fn key_value(node: &Node, diagnostics: &mut Diagnostics) -> Option<KeyValue> {
    match &node.json {
        Json::Text(_) => key_formula(node, diagnostics).map(KeyValue::Formula),
        _ => Some(KeyValue::Data(value_of(node))),
    }
}

impl Entry for PrintedLayer {
    const ANY_CASE: bool = false;

    fn read(member: &Member, diagnostics: &mut Diagnostics) -> Option<Self> {
        let f = fields(&member.value, "a layer as it is printed", LAYER_KEYS, &[], diagnostics)?;
        let also = texts(f.get("also"), diagnostics);
        let class = f.get("class").and_then(|node| text(node, diagnostics));
        let [parameters, unsaid] = ["parameters", "unsaid"].map(|key| parameters(f.get(key), diagnostics));
        let [size, gives, out] = ["size", "gives", "out"].map(|key| f.get(key).and_then(|node| key_formula(node, diagnostics)));
        let takes = f.get("takes").and_then(|node| takes(node, diagnostics)).unwrap_or(Takes::Any);
        let [is_nothing, is_flat, is_of_lines] =
            ["nothing", "flat", "lines"].map(|key| f.get(key).and_then(|node| flag(node, diagnostics)).unwrap_or(false));
        let quantization = f.get("quantization").map(value_of);
        let adds = f.get("adds").map(Node::members).unwrap_or_default();
        let adds = adds.iter().filter_map(|member| PrintedLayer::read(member, diagnostics)).collect();
        let name = member.key.clone();
        Some(PrintedLayer {
            name,
            also,
            class,
            parameters,
            takes,
            size,
            gives,
            out,
            is_nothing,
            is_flat,
            is_of_lines,
            quantization,
            unsaid,
            adds,
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn aliases(&self) -> &[Arc<str>] {
        &self.also
    }
}

fn alternatives(node: Option<&Node>, diagnostics: &mut Diagnostics) -> Vec<KeyValue> {
    match node.map(|node| (&node.json, node)) {
        Some((Json::List(items), _)) => items.iter().filter_map(|item| key_value(item, diagnostics)).collect(),
        Some((_, node)) => key_value(node, diagnostics).into_iter().collect(),
        None => Vec::new(),
    }
}

impl Entry for PrintedKey {
    const ANY_CASE: bool = false;

    fn read(member: &Member, diagnostics: &mut Diagnostics) -> Option<Self> {
        let f = fields(&member.value, "a key of a config", KEY_KEYS, &[], diagnostics)?;
        let from = alternatives(f.get("from"), diagnostics);
        let guess = alternatives(f.get("guess"), diagnostics);
        let [part, over] = ["part", "over"].map(|key| texts(f.get(key), diagnostics));
        let [each, those] = ["each", "those"].map(|key| f.get(key).and_then(|node| key_formula(node, diagnostics)));
        Some(PrintedKey { name: member.key.clone(), from, guess, part, each, those, over })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn aliases(&self) -> &[Arc<str>] {
        &[]
    }
}

impl Entry for PrintedName {
    const ANY_CASE: bool = false;

    fn read(member: &Member, diagnostics: &mut Diagnostics) -> Option<Self> {
        let f = fields(&member.value, "an older name", NAME_KEYS, &[], diagnostics)?;
        let now = f.get("now").and_then(|node| text(node, diagnostics))?;
        let of = texts(f.get("of"), diagnostics);
        Some(PrintedName { name: member.key.clone(), now, of })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn aliases(&self) -> &[Arc<str>] {
        &[]
    }
}
