//! Ways to quantize a checkpoint's weights: `catalog/quantization.json` (docs/families.md says what each key means).
//!
//! What a method says is here; what a checkpoint makes of it is `language`'s business.

use std::sync::Arc;

use super::CatalogFile;
use super::table::Entry;
use super::values::{KeyFormula, flag, key, key_formula, text, texts, wrong};
use crate::syntax::diag::Diagnostics;
use crate::syntax::expr::{Value, value_of};
use crate::syntax::json::{Json, Member, Node};
use crate::syntax::spec::{Key, KeyKind, fields};

/// A method as its entry has it.
#[derive(Debug)]
pub struct Method {
    /// As checkpoints call it.
    pub name: Arc<str>,
    /// What is stored, in a line.
    pub doc: Arc<str>,
    /// Where that is written down.
    pub source: Arc<str>,
    /// Other names that checkpoints give it.
    pub aliases: Vec<Arc<str>>,
    /// Keys that tell the method where a config doesn't name it: it has all of them.
    pub told_by: Vec<Arc<str>>,
    /// The key of its groups of layers, if it has any.
    pub groups: Option<Arc<str>>,
    /// What a group's targets call all linear layers.
    pub all_linear: Vec<Arc<str>>,
    /// Keys of objects that give modules figures of their own; an empty one: the config itself is one.
    pub rules: Vec<Arc<str>>,
    /// Whether the names in `rules` are regular expressions.
    pub rules_are_regular: bool,
    /// Whether each of the `rules` says the bits of a module's weights by their names.
    pub by_weight: bool,
    /// Defaults of the names in `bits`.
    pub variables: Vec<(Arc<str>, Value)>,
    /// Keys of the config around that say the same as those of their names in it.
    pub beside: Vec<Arc<str>>,
    /// Names for parts of its formulas.
    pub parts: Vec<(Arc<str>, KeyFormula)>,
    /// Bits a weight.
    pub bits: KeyFormula,
    /// Bytes of each matrix besides: a codebook.
    pub matrix_bytes: Option<KeyFormula>,
    /// Modules that have other bits.
    pub own_bits: Vec<(Arc<str>, KeyFormula)>,
    /// Patterns of further classes whose weights it quantizes, each with its condition.
    pub also: Vec<(Arc<str>, KeyFormula)>,
    /// Keys whose lists name what is left as it is.
    pub kept: Vec<Arc<str>>,
    /// Modules that are left as they are whatever those lists say.
    pub always_kept: Vec<Arc<str>>,
    /// Modules that are left as they are, each on a condition.
    pub kept_if: Vec<(Arc<str>, KeyFormula)>,
    /// Modules that merely hold the model: in paths they are passed over.
    pub containers: Arc<[Arc<str>]>,
    /// Keys that say nothing about sizes.
    pub ignored: Vec<Arc<str>>,
}

const METHOD_KEYS: &[Key] = &[
    key("doc", KeyKind::Text, true, "what is stored"),
    key("source", KeyKind::Text, true, "where that is written down"),
    key("aliases", KeyKind::Texts, false, "other names that checkpoints give it"),
    key("told_by", KeyKind::Texts, false, "keys that tell the method where a config doesn't name it: it has all of them"),
    key(
        "bits",
        KeyKind::Count,
        true,
        "bits a weight, scales and zero points included; null: only what `rules` name is quantized",
    ),
    key("variables", KeyKind::Variables, false, "the names in the formulas, with the defaults of keys that a config leaves out"),
    key("beside", KeyKind::Texts, false, "names that the config around may say in its place: they end in `_dtype`"),
    key("parts", KeyKind::Variables, false, "names for parts of the formulas"),
    key("kept", KeyKind::Texts, false, "keys that list modules left as they are"),
    key("always_kept", KeyKind::Texts, false, "modules left as they are whatever the lists say"),
    key("kept_if", KeyKind::Variables, false, "modules left as they are, each on a condition"),
    key("matrix_bytes", KeyKind::Count, false, "bytes of each matrix besides those of its weights: a codebook"),
    key("own_bits", KeyKind::Variables, false, "modules that have other bits, each with its formula; null: those of all"),
    key("also", KeyKind::Variables, false, "patterns of further classes whose weights are quantized, each with its condition"),
    key("containers", KeyKind::Texts, false, "modules that merely hold the model: paths are compared without them"),
    key("groups", KeyKind::Text, false, "the key with groups of layers, each with its own figures and `targets`"),
    key("all_linear", KeyKind::Texts, false, "with `groups`: targets that mean all linear layers"),
    key("rules", KeyKind::Texts, false, "keys of objects that give modules figures of their own, by name; '': the config itself"),
    key("rules_are_regular", KeyKind::Flag, false, "whether the names in `rules` are regular expressions"),
    key("by_weight", KeyKind::Flag, false, "whether each of the `rules` says the bits of a module's weights by their names"),
    key("ignored", KeyKind::Texts, false, "keys of a config that say nothing about sizes"),
];

pub(super) const FILE: CatalogFile = CatalogFile {
    path: "catalog/quantization.json",
    name: "quantization",
    aliases: &[],
    computed: None,
    text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/catalog/quantization.json")),
};

impl Entry for Method {
    const ANY_CASE: bool = false;

    fn read(member: &Member, diagnostics: &mut Diagnostics) -> Option<Self> {
        let f = fields(&member.value, "a method of quantization", METHOD_KEYS, &[], diagnostics)?;
        // All are read before any is missed, so that all that is wrong is said.
        let [doc, source, groups] = ["doc", "source", "groups"].map(|key| f.get(key).and_then(|n| text(n, diagnostics)));
        let [kept, always_kept, containers, all_linear] =
            ["kept", "always_kept", "containers", "all_linear"].map(|key| texts(f.get(key), diagnostics));
        let [aliases, told_by, rules, ignored, beside] =
            ["aliases", "told_by", "rules", "ignored", "beside"].map(|key| texts(f.get(key), diagnostics));
        let [parts, own_bits, also, kept_if] =
            ["parts", "own_bits", "also", "kept_if"].map(|key| f.get(key).map(|n| formulas(n, diagnostics)).unwrap_or_default());
        let variables = f.get("variables").map(|n| variables(n, diagnostics)).unwrap_or_default();
        let rules_are_regular = f.get("rules_are_regular").and_then(|n| flag(n, diagnostics)).unwrap_or(false);
        let by_weight = f.get("by_weight").and_then(|n| flag(n, diagnostics)).unwrap_or(false);
        let matrix_bytes = f.get("matrix_bytes").and_then(|n| key_formula(n, diagnostics));
        let bits = f.get("bits").and_then(|n| key_formula(n, diagnostics));
        Some(Method {
            name: member.key.clone(),
            doc: doc?,
            source: source?,
            aliases,
            told_by,
            groups,
            all_linear,
            rules,
            rules_are_regular,
            by_weight,
            variables,
            beside,
            parts,
            bits: bits?,
            matrix_bytes,
            own_bits,
            also,
            kept,
            always_kept,
            kept_if,
            containers: containers.into(),
            ignored,
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn aliases(&self) -> &[Arc<str>] {
        &self.aliases
    }
}

fn variables(node: &Node, diagnostics: &mut Diagnostics) -> Vec<(Arc<str>, Value)> {
    if !matches!(node.json, Json::Object(_)) {
        wrong(node, "an object with a default for each name", diagnostics);
    }
    node.members().iter().map(|member| (member.key.clone(), value_of(&member.value))).collect()
}

/// Formulas by name.
fn formulas(node: &Node, diagnostics: &mut Diagnostics) -> Vec<(Arc<str>, KeyFormula)> {
    if !matches!(node.json, Json::Object(_)) {
        wrong(node, "an object with a formula for each name", diagnostics);
    }
    node.members().iter().filter_map(|member| Some((member.key.clone(), key_formula(&member.value, diagnostics)?))).collect()
}
