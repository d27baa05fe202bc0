//! Ways to quantize a checkpoint's weights: `catalog/quantization.json` (docs/families.md says what each key means).
//!
//! What a method says is here; what a checkpoint makes of it is `language`'s business.

use std::sync::Arc;

use super::CatalogFile;
use super::table::Entry;
use super::values::{key, text, texts, wrong};
use crate::syntax::diag::Diagnostics;
use crate::syntax::expr::{Expr, Name, Syntax, Value, parse, value_of};
use crate::syntax::json::{Json, Member, Node};
use crate::syntax::spec::{Key, KeyKind, fields, syntax_error};

/// A method as its entry has it.
#[derive(Debug)]
pub struct Method {
    /// As checkpoints call it.
    pub name: Arc<str>,
    /// What is stored, in a line.
    pub doc: Arc<str>,
    /// Where that is written down.
    pub source: Arc<str>,
    /// The key of its groups of layers, if it has any.
    pub groups: Option<Arc<str>>,
    /// What a group's targets call all linear layers.
    pub all_linear: Vec<Arc<str>>,
    /// Defaults of the names in `bits`.
    pub variables: Vec<(Arc<str>, Value)>,
    /// Bits a weight, as it is written.
    pub bits: Arc<str>,
    /// The same, parsed.
    pub bits_expr: Expr<Name>,
    /// Keys whose lists name what is left as it is.
    pub kept: Vec<Arc<str>>,
    /// Modules that are left as they are whatever those lists say.
    pub always_kept: Vec<Arc<str>>,
    /// Modules that merely hold the model: in paths they are passed over.
    pub containers: Arc<[Arc<str>]>,
}

const METHOD_KEYS: &[Key] = &[
    key("doc", KeyKind::Text, true, "what is stored"),
    key("source", KeyKind::Text, true, "where that is written down"),
    key("bits", KeyKind::Count, true, "bits a weight, scales and zero points included"),
    key("variables", KeyKind::Variables, false, "the names in `bits`, with the defaults of keys that a config leaves out"),
    key("kept", KeyKind::Texts, false, "keys that list modules left as they are"),
    key("always_kept", KeyKind::Texts, false, "modules left as they are whatever the lists say"),
    key("containers", KeyKind::Texts, false, "modules that merely hold the model: paths are compared without them"),
    key("groups", KeyKind::Text, false, "the key with groups of layers, each with its own figures and `targets`"),
    key("all_linear", KeyKind::Texts, false, "with `groups`: targets that mean all linear layers"),
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
        let variables = f.get("variables").map(|n| variables(n, diagnostics)).unwrap_or_default();
        let bits = f.get("bits").and_then(|n| bits(n, diagnostics));
        let (bits, bits_expr) = bits?;
        Some(Method {
            name: member.key.clone(),
            doc: doc?,
            source: source?,
            groups,
            all_linear,
            variables,
            bits,
            bits_expr,
            kept,
            always_kept,
            containers: containers.into(),
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn aliases(&self) -> &[Arc<str>] {
        &[]
    }
}

fn variables(node: &Node, diagnostics: &mut Diagnostics) -> Vec<(Arc<str>, Value)> {
    if !matches!(node.json, Json::Object(_)) {
        wrong(node, "an object with a default for each name", diagnostics);
    }
    node.members().iter().map(|member| (member.key.clone(), value_of(&member.value))).collect()
}

/// An expression over keys of a config, as it is written and parsed.
fn bits(node: &Node, diagnostics: &mut Diagnostics) -> Option<(Arc<str>, Expr<Name>)> {
    let Json::Text(text) = &node.json else {
        wrong(node, "an expression in a text", diagnostics);
        return None;
    };
    match parse(&text.value, Syntax::Template) {
        Ok(expr) => Some((text.value.clone(), expr)),
        Err(error) => {
            diagnostics.push(syntax_error(error, node.span, text.plain));
            None
        }
    }
}
