//! What GGUF files of an architecture hold: `catalog/formats/gguf/`. Metadata as keys of a config, tensors as weights of a family's modules.
//!
//! A file comes in, a [`GgufMap`] goes out. What a real file makes of it is `import`'s business.

use std::collections::HashMap;
use std::sync::Arc;

use super::values::{KeyFormula, key, key_formula, list, text, texts, wrong};
use crate::syntax::diag::Diagnostics;
use crate::syntax::expr::{Expr, Name, Value, value_of};
use crate::syntax::json::{Json, Node};
use crate::syntax::source::Spanned;
use crate::syntax::spec::{Key, KeyKind, fields};

/// What files of some architectures hold.
#[derive(Debug, Clone)]
pub struct GgufMap {
    /// The map that it stands on.
    pub extends: Option<Spanned<Arc<str>>>,
    /// Where the keys and the names are written down.
    pub source: Option<Arc<str>>,
    /// The config's `model_type`.
    pub model_type: Option<KeyFormula>,
    /// The class of the whole model, for the config's `architectures`.
    pub class: Option<KeyFormula>,
    /// The config's keys, in order; one with a point is in the object before it.
    pub config: Vec<(Arc<str>, ConfigValue)>,
    /// Where the tensors of the file are in the model, by the names without numbers: `blk.N.attn_q`.
    pub tensors: HashMap<Arc<str>, Target>,
    /// The number of the first block that isn't the model's but a draft part's; null: there is none.
    pub draft_from: Option<KeyFormula>,
    /// Patterns of tensors that no module has, each with what it is.
    pub left: Vec<(Arc<str>, Arc<str>)>,
    /// Model types besides that of the config whose models are written as such files.
    pub model_types: Vec<Arc<str>>,
    /// Tensors that are written as parts of one weight, each with the dimensions that it then has, over the weight's `shape` and the model's
    /// variables: of several that are in one weight these are written.
    pub parts: HashMap<Arc<str>, Vec<KeyFormula>>,
    /// Tensors that are written besides the parts of their weight where a flag of the file is said.
    pub again: Vec<(Arc<str>, Arc<str>)>,
    /// Tensors whose names have neither `weight` nor `bias` at their end.
    pub bare: Vec<Arc<str>>,
    /// What the paths of modules may begin with: what stands under one may stand under another.
    pub roots: Vec<Arc<str>>,
    /// Weights that such files have as metadata.
    pub metadata: Vec<Arc<str>>,
    /// Patterns of a model's weights that no such file has, each with why.
    pub absent: Vec<(Arc<str>, Arc<str>)>,
    /// Whether models like this one usually have one table for the embedding and the output, even where the file holds two.
    pub tied_if: Option<KeyFormula>,
    /// Why such files aren't models that are built here: what they are instead.
    pub unbuilt: Option<Arc<str>>,
}

/// What a key of a config is.
#[derive(Debug, Clone)]
pub enum ConfigValue {
    Formula(KeyFormula),
    /// A list with an item for each layer.
    Each(Each),
    /// Whether something holds of some layer: `{ "any": condition }`, with what an item of a list sees.
    Any(Each),
    Data(Value),
}

/// A list of a config with an item for each layer: `{ "each": formula, "of": how many, "when": condition }`.
#[derive(Debug, Clone)]
pub struct Each {
    /// The item of the layer `<layer>`, which also sees the tensors of its block: `<block.attn_q.weight>` is a shape.
    pub item: KeyFormula,
    /// How many there are; left out: as many as the config's `num_hidden_layers`.
    pub of: Option<KeyFormula>,
    /// Where it doesn't hold the key is null.
    pub when: Option<KeyFormula>,
}

/// Where a tensor of a file is in a model.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Modules or weights. The first that the model has; of a split tensor all, in the order of its rows.
    pub paths: Vec<Arc<str>>,
    /// Whether it holds several weights, one after the other.
    pub is_split: bool,
    /// Whether rows and columns are exchanged.
    pub is_transposed: bool,
}

const GGUF_KEYS: &[Key] = &[
    key("architectures", KeyKind::Texts, false, "the values of `general.architecture` that it is for; none: a base of others"),
    key("source", KeyKind::Text, false, "where the keys and the names are written down"),
    key("doc", KeyKind::Text, false, "a remark for readers"),
    key(
        "extends",
        KeyKind::Text,
        false,
        "the map that this one stands on: what is said here takes the place of what is said there",
    ),
    key("model_type", KeyKind::Template, false, "the model type of the config"),
    key("class", KeyKind::Template, false, "the class of the whole model; left out: that of the family's default head"),
    key(
        "config",
        KeyKind::Variables,
        false,
        "the keys of the config: expressions over the file's metadata, without the architecture before the name",
    ),
    key("tensors", KeyKind::Variables, false, "where each tensor is in the model, numbers as N (and M)"),
    key(
        "draft_from",
        KeyKind::Template,
        false,
        "the number of the first block that is a draft part's (multi-token prediction); null: none is",
    ),
    key("left", KeyKind::Variables, false, "patterns of tensors that no module has, and what they are"),
    key("model_types", KeyKind::Texts, false, "further model types whose models are written as such files"),
    key(
        "parts",
        KeyKind::Variables,
        false,
        "tensors that are written as parts of one weight, with their dimensions over its `shape` and the model's variables",
    ),
    key(
        "roots",
        KeyKind::Texts,
        false,
        "what the paths of modules may begin with: what stands under one may stand under another",
    ),
    key(
        "again",
        KeyKind::Variables,
        false,
        "tensors that are written besides the parts of their weight, each with the flag that says so",
    ),
    key("metadata", KeyKind::Texts, false, "weights that such files have as metadata"),
    key("bare", KeyKind::Texts, false, "tensors whose names have neither `weight` nor `bias` at their end"),
    key("absent", KeyKind::Variables, false, "patterns of a model's weights that no such file has, and why"),
    key(
        "tied_if",
        KeyKind::Template,
        false,
        "whether such a model usually has one table for the embedding and the output: a file with both is remarked on",
    ),
    key("unbuilt", KeyKind::Text, false, "what such files are, where no family is for them"),
];

/// Reads a map. What is wrong goes to `diagnostics`.
pub(super) fn parse_gguf_map(node: &Node, diagnostics: &mut Diagnostics) -> Option<GgufMap> {
    let f = fields(node, "a map of GGUF files", GGUF_KEYS, &[], diagnostics)?;
    texts(f.get("architectures"), diagnostics);
    let extends = f.get("extends").and_then(|node| Some(Spanned::new(text(node, diagnostics)?, node.span)));
    let source = f.get("source").and_then(|node| text(node, diagnostics));
    let [model_type, class, draft_from] =
        ["model_type", "class", "draft_from"].map(|key| f.get(key).and_then(|node| key_formula(node, diagnostics)));
    let mut config = Vec::new();
    for member in f.get("config").map(Node::members).unwrap_or_default() {
        let value = match &member.value.json {
            Json::Text(_) => key_formula(&member.value, diagnostics).map(ConfigValue::Formula),
            Json::Object(_) if member.value.get("each").is_some() => {
                each(&member.value, "each", diagnostics).map(ConfigValue::Each)
            }
            Json::Object(_) if member.value.get("any").is_some() => each(&member.value, "any", diagnostics).map(ConfigValue::Any),
            _ => Some(ConfigValue::Data(value_of(&member.value))),
        };
        config.extend(value.map(|value| (member.key.clone(), value)));
    }
    let mut tensors = HashMap::new();
    for member in f.get("tensors").map(Node::members).unwrap_or_default() {
        tensors.insert(member.key.clone(), target(&member.value, diagnostics));
    }
    let mut pairs = |key: &str| {
        let mut pairs = Vec::new();
        for member in f.get(key).map(Node::members).unwrap_or_default() {
            pairs.extend(text(&member.value, diagnostics).map(|what| (member.key.clone(), what)));
        }
        pairs
    };
    let (left, absent, again) = (pairs("left"), pairs("absent"), pairs("again"));
    let tied_if = f.get("tied_if").and_then(|node| key_formula(node, diagnostics));
    let unbuilt = f.get("unbuilt").and_then(|node| text(node, diagnostics));
    let mut parts = HashMap::new();
    for member in f.get("parts").map(Node::members).unwrap_or_default() {
        let dims = list(&member.value, "a list of dimensions", key_formula, diagnostics);
        parts.extend(dims.map(|dims| (member.key.clone(), dims)));
    }
    let [model_types, bare, roots, metadata] =
        ["model_types", "bare", "roots", "metadata"].map(|key| texts(f.get(key), diagnostics));
    let map = GgufMap {
        extends,
        source,
        model_type,
        class,
        config,
        tensors,
        draft_from,
        left,
        model_types,
        parts,
        again,
        bare,
        roots,
        metadata,
        absent,
        tied_if,
        unbuilt,
    };
    Some(map)
}

fn each(node: &Node, item: &str, diagnostics: &mut Diagnostics) -> Option<Each> {
    const KEYS: &[Key] = &[
        key("each", KeyKind::Template, false, "the item of the layer `<layer>`"),
        key("any", KeyKind::Template, false, "what holds of some layer or of none"),
        key("of", KeyKind::Template, false, "how many items there are; left out: as many as `num_hidden_layers`"),
        key("when", KeyKind::Template, false, "where it doesn't hold the key is null"),
    ];
    let f = fields(node, "a list of a config", KEYS, &[], diagnostics)?;
    let [item, of, when] = [item, "of", "when"].map(|key| f.get(key).and_then(|node| key_formula(node, diagnostics)));
    Some(Each { item: item?, of, when })
}

/// `"path"`, a list of paths of which the first is meant that the model has, `{ "split": [paths] }` of which one that ends in `.*` stands for as
/// many modules as there are, or `{ "transposed": path }`.
fn target(node: &Node, diagnostics: &mut Diagnostics) -> Target {
    match &node.json {
        Json::Null => Target::default(),
        Json::Text(path) => Target { paths: vec![path.value.clone()], ..Target::default() },
        Json::List(_) => Target { paths: texts(Some(node), diagnostics), ..Target::default() },
        Json::Object(_) if node.get("split").is_some() => {
            Target { paths: texts(node.get("split"), diagnostics), is_split: true, ..Target::default() }
        }
        Json::Object(_) if node.get("transposed").is_some() => {
            let inner = node.get("transposed").map(|inner| target(inner, diagnostics)).unwrap_or_default();
            Target { is_transposed: true, ..inner }
        }
        _ => {
            wrong(node, "a path, a list of paths, `split` or `transposed`", diagnostics);
            Target::default()
        }
    }
}

/// The texts that an expression may give, and those that it compares with.
fn literals(expr: &Expr<Name>, out: &mut Vec<Arc<str>>) {
    match expr {
        Expr::Const(Value::Text(text)) => out.push(text.clone()),
        Expr::Unary(_, inner) | Expr::Member(inner, _) => literals(inner, out),
        Expr::Binary(_, both) => {
            literals(&both.0, out);
            literals(&both.1, out);
        }
        Expr::Call(_, list) | Expr::List(list) => list.iter().for_each(|inner| literals(inner, out)),
        Expr::Const(_) | Expr::Var(_) | Expr::Fail(_) => {}
    }
}

impl GgufMap {
    /// The model types whose models may be written as such files: those that it makes of one, and those that it names besides.
    #[must_use]
    pub fn model_types(&self) -> Vec<Arc<str>> {
        let mut types = self.model_types.clone();
        self.model_type.iter().for_each(|formula| literals(&formula.expr, &mut types));
        types
    }

    /// The classes of whole models that it makes of such files.
    #[must_use]
    pub fn classes(&self) -> Vec<Arc<str>> {
        let mut classes = Vec::new();
        self.class.iter().for_each(|formula| literals(&formula.expr, &mut classes));
        classes
    }

    /// This map on top of the one that it extends.
    #[must_use]
    pub fn over(self, base: &GgufMap) -> Self {
        let own = |key: &str| self.config.iter().any(|(known, _)| **known == *key);
        let mut config: Vec<_> = base.config.iter().filter(|(key, _)| !own(key)).cloned().collect();
        config.extend(self.config.iter().cloned());
        let mut tensors = base.tensors.clone();
        tensors.extend(self.tensors.iter().map(|(name, target)| (name.clone(), target.clone())));
        let mut parts = base.parts.clone();
        parts.extend(self.parts);
        GgufMap {
            extends: self.extends,
            source: self.source.or_else(|| base.source.clone()),
            model_type: self.model_type.or_else(|| base.model_type.clone()),
            class: self.class.or_else(|| base.class.clone()),
            config,
            tensors,
            draft_from: self.draft_from.or_else(|| base.draft_from.clone()),
            left: self.left.into_iter().chain(base.left.iter().cloned()).collect(),
            // A base is for no model types of its own.
            model_types: self.model_types,
            parts,
            again: self.again.into_iter().chain(base.again.iter().cloned()).collect(),
            bare: self.bare.into_iter().chain(base.bare.iter().cloned()).collect(),
            roots: self.roots.into_iter().chain(base.roots.iter().cloned()).collect(),
            metadata: self.metadata.into_iter().chain(base.metadata.iter().cloned()).collect(),
            absent: self.absent.into_iter().chain(base.absent.iter().cloned()).collect(),
            tied_if: self.tied_if.or_else(|| base.tied_if.clone()),
            unbuilt: self.unbuilt,
        }
    }
}
