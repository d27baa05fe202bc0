//! How files on the hub name tensors, where modules have other names: `catalog/formats/hub.json`. Groups of rules, each with its source.

use std::sync::Arc;

use super::CatalogFile;
use super::table::Entry;
use super::values::{key, text, texts, wrong};
use crate::syntax::diag::Diagnostics;
use crate::syntax::json::{Json, Member, Node};
use crate::syntax::spec::{Key, KeyKind, fields};

/// A group of rules.
#[derive(Debug)]
pub struct HubRules {
    /// What the rules are about.
    pub name: Arc<str>,
    /// Where they are written down.
    pub source: Arc<str>,
    /// Parts of names and what modules have in their place; `^` before a part: it begins the name, `N` a number that goes away.
    pub renames: Vec<(Arc<str>, Arc<str>)>,
    /// Ends of names of tensors that hold a weight packed, and the end that the weight has.
    pub packed: Vec<(Arc<str>, Arc<str>)>,
    /// Ends of names of what stands beside a stored weight: scales, zero points; and the end that the weight has.
    pub beside: Vec<(Arc<str>, Arc<str>)>,
    /// Patterns of tensors that no module has, and what they are.
    pub left: Vec<(Arc<str>, Arc<str>)>,
    /// Of several families that fit the one that is meant, the first before the others.
    pub families: Vec<Arc<str>>,
}

const HUB_KEYS: &[Key] = &[
    key("source", KeyKind::Text, true, "where the rules are written down"),
    key("doc", KeyKind::Text, false, "a remark for readers"),
    key("renames", KeyKind::Variables, false, "parts of names, and what modules have in their place"),
    key("packed", KeyKind::Variables, false, "ends of names of packed weights, and the end that the weight has"),
    key("beside", KeyKind::Variables, false, "ends of names of scales and zero points, and the end that the weight has"),
    key("left", KeyKind::Variables, false, "patterns of tensors that no module has, and what they are"),
    key("families", KeyKind::Texts, false, "which of several families is meant, the first before the others"),
];

pub(super) const FILE: CatalogFile = CatalogFile {
    path: "catalog/formats/hub.json",
    name: "hub",
    aliases: &[],
    computed: None,
    text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/catalog/formats/hub.json")),
};

impl Entry for HubRules {
    fn read(member: &Member, diagnostics: &mut Diagnostics) -> Option<Self> {
        let f = fields(&member.value, "a group of rules", HUB_KEYS, &[], diagnostics)?;
        let source = f.get("source").and_then(|node| text(node, diagnostics));
        let [renames, packed, beside, left] = ["renames", "packed", "beside", "left"]
            .map(|key| f.get(key).map(|node| pairs(node, diagnostics)).unwrap_or_default());
        let families = texts(f.get("families"), diagnostics);
        Some(HubRules { name: member.key.clone(), source: source?, renames, packed, beside, left, families })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn aliases(&self) -> &[Arc<str>] {
        &[]
    }
}

/// Texts by name; a list stands for several rules of one name.
fn pairs(node: &Node, diagnostics: &mut Diagnostics) -> Vec<(Arc<str>, Arc<str>)> {
    if !matches!(node.json, Json::Object(_)) {
        wrong(node, "an object with a text for each name", diagnostics);
    }
    let mut out = Vec::new();
    for member in node.members() {
        let texts: Vec<&Node> = match &member.value.json {
            Json::List(items) => items.iter().collect(),
            _ => vec![&member.value],
        };
        for node in texts {
            out.extend(text(node, diagnostics).map(|text| (member.key.clone(), text)));
        }
    }
    out
}
