//! Mixes of types: `catalog/formats/quant-mixes.json`. Which type a program gives each tensor of a file, by the kind of file that it is asked for.
//!
//! An entry is a program's rules at a revision (docs/mixes.md says what each key means); what they make of a model's tensors is `import`'s
//! business.

use std::sync::Arc;

use super::CatalogFile;
use super::table::Entry;
use super::values::{KeyFormula, key, key_formula, list, text, texts, wrong};
use crate::syntax::diag::Diagnostics;
use crate::syntax::expr::{Value, value_of};
use crate::syntax::json::{Json, Member, Node};
use crate::syntax::spec::{Key, KeyKind, fields};

/// The rules by which a program chooses types.
#[derive(Debug)]
pub struct MixRules {
    /// The program.
    pub name: Arc<str>,
    /// What its mixes are, in a line.
    pub doc: Arc<str>,
    /// Where the rules are written down.
    pub source: Arc<str>,
    /// The revision of that.
    pub revision: Arc<str>,
    /// What stands before a name to say that it is a mix of these rules: `gguf` in `gguf:q4_0`.
    pub prefix: Arc<str>,
    /// The kinds of files, and the type that most tensors of each get.
    pub types: Vec<(Arc<str>, Arc<str>)>,
    /// Other names of kinds.
    pub aliases: Vec<(Arc<str>, Arc<str>)>,
    /// Kinds that aren't made without an importance matrix.
    pub needs_imatrix: Vec<Arc<str>>,
    /// What else may be said of a file behind a `+`, and what it means.
    pub flags: Vec<(Arc<str>, Arc<str>)>,
    /// Values by name.
    pub lists: Vec<(Arc<str>, Value)>,
    /// Names for what is so of a whole file, over the model's variables and what is known of the file; each may use those before it.
    pub file: Vec<(Arc<str>, KeyFormula)>,
    /// Names for what is so of a tensor.
    pub tensor: Vec<(Arc<str>, KeyFormula)>,
    /// What a tensor is: the first whose condition holds.
    pub categories: Vec<TypeRule>,
    /// Categories whose tensors are counted together.
    pub counted: Vec<Vec<Arc<str>>>,
    /// Types of tensors that no mix changes: the first whose condition holds.
    pub kept: Vec<TypeRule>,
    /// Of which the first that a tensor is of decides.
    pub sections: Vec<MixSection>,
    /// What takes a type's place where a row isn't whole blocks of it.
    pub fallback: Vec<(Arc<str>, Arc<str>)>,
    /// What takes the place of that where a row isn't whole blocks of that either.
    pub last_fallback: Arc<str>,
}

/// A type, or a category, and when.
#[derive(Debug)]
pub struct TypeRule {
    /// What it is.
    pub is: Arc<str>,
    /// If this holds.
    pub when: KeyFormula,
}

/// Rules for some tensors.
#[derive(Debug)]
pub struct MixSection {
    /// For which.
    pub when: KeyFormula,
    /// The first that holds gives the type; if none does, it is the default of the kind of file.
    pub rules: Vec<TypeRule>,
    /// Each that holds after that gives another.
    pub then: Vec<TypeRule>,
}

/// A mix that is asked for by name.
#[derive(Debug, Clone)]
pub struct Mix<'c> {
    /// By whose rules.
    pub rules: &'c MixRules,
    /// The kind of file.
    pub kind: &'c Arc<str>,
    /// The type that most tensors get.
    pub default: &'c Arc<str>,
    /// Whether there is an importance matrix.
    pub imatrix: bool,
    /// What else is said of the file.
    pub flags: Vec<&'c Arc<str>>,
}

/// What stands behind a name and a `+` to say that there is an importance matrix.
const IMATRIX: &str = "imatrix";

impl MixRules {
    /// The mix of this name, in any case, perhaps with the prefix, `+imatrix` and flags.
    #[must_use]
    pub fn mix(&self, asked: &str) -> Option<Mix<'_>> {
        let lower = asked.to_ascii_lowercase();
        let mut parts = lower.split('+');
        let lower = parts.next().unwrap_or_default();
        let (mut imatrix, mut flags) = (false, Vec::new());
        for part in parts {
            match self.flags.iter().find(|(flag, _)| **flag == *part) {
                Some((flag, _)) => flags.push(flag),
                None if part == IMATRIX => imatrix = true,
                None => return None,
            }
        }
        let own = |rest: &str| rest.strip_prefix(&*self.prefix)?.strip_prefix(':').map(str::to_owned);
        let name = own(lower).unwrap_or_else(|| lower.to_owned());
        let meant = self.aliases.iter().find(|(alias, _)| **alias == *name).map_or(name.as_str(), |(_, kind)| &**kind);
        let (kind, default) = self.types.iter().find(|(kind, _)| **kind == *meant)?;
        Some(Mix { rules: self, kind, default, imatrix: imatrix || self.needs_imatrix.contains(kind), flags })
    }
}

const MIX_KEYS: &[Key] = &[
    key("doc", KeyKind::Text, true, "what the mixes are"),
    key("source", KeyKind::Text, true, "where the rules are written down"),
    key("revision", KeyKind::Text, true, "the revision of that"),
    key("prefix", KeyKind::Text, true, "what stands before a name to say that it is a mix of these rules"),
    key("types", KeyKind::Variables, true, "the kinds of files, and the type that most tensors of each get"),
    key("aliases", KeyKind::Variables, false, "other names of kinds"),
    key("needs_imatrix", KeyKind::Texts, false, "kinds that aren't made without an importance matrix"),
    key("flags", KeyKind::Variables, false, "what else may be said of a file behind a `+`, and what it means"),
    key("lists", KeyKind::Variables, false, "values by name"),
    key("file", KeyKind::Variables, false, "names for what is so of a whole file"),
    key("tensor", KeyKind::Variables, false, "names for what is so of a tensor"),
    key("categories", KeyKind::Variables, true, "what a tensor is: the first whose condition holds"),
    key("counted", KeyKind::Variables, false, "categories whose tensors are counted together"),
    key("kept", KeyKind::Variables, true, "types of tensors that no mix changes: the first whose condition holds"),
    key("sections", KeyKind::Variables, true, "of which the first that a tensor is of decides"),
    key("fallback", KeyKind::Variables, true, "what takes a type's place where a row isn't whole blocks of it"),
    key("last_fallback", KeyKind::Text, true, "what takes the place of that, for the same reason"),
];

const SECTION_KEYS: &[Key] = &[
    key("of", KeyKind::Text, true, "a remark for readers"),
    key("when", KeyKind::Condition, true, "for which tensors"),
    key("rules", KeyKind::Variables, true, "the first whose condition holds gives the type"),
    key("then", KeyKind::Variables, false, "each whose condition holds after that gives another"),
];

pub(super) const FILE: CatalogFile = CatalogFile {
    path: "catalog/formats/quant-mixes.json",
    name: "quant-mixes",
    aliases: &[],
    computed: None,
    text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/catalog/formats/quant-mixes.json")),
};

impl Entry for MixRules {
    fn read(member: &Member, diagnostics: &mut Diagnostics) -> Option<Self> {
        let f = fields(&member.value, "rules of mixes", MIX_KEYS, &[], diagnostics)?;
        // All are read before any is missed, so that all that is wrong is said.
        let [doc, source, revision, prefix, last_fallback] =
            ["doc", "source", "revision", "prefix", "last_fallback"].map(|key| f.get(key).and_then(|n| text(n, diagnostics)));
        let [types, aliases, fallback, flags] = ["types", "aliases", "fallback", "flags"]
            .map(|key| f.get(key).map(|n| named(n, diagnostics, text)).unwrap_or_default());
        let [file, tensor] =
            ["file", "tensor"].map(|key| f.get(key).map(|n| named(n, diagnostics, key_formula)).unwrap_or_default());
        let lists = f.get("lists").map(|n| named(n, diagnostics, |n, _| Some(value_of(n)))).unwrap_or_default();
        let [categories, kept] = ["categories", "kept"].map(|key| f.get(key).and_then(|n| rules(n, diagnostics)));
        let sections = f.get("sections").and_then(|n| list(n, "a list of sections", section, diagnostics));
        let counted = f.get("counted").and_then(|n| {
            let group = |n: &Node, diagnostics: &mut Diagnostics| Some(texts(Some(n), diagnostics));
            list(n, "a list of lists of categories", group, diagnostics)
        });
        Some(MixRules {
            name: member.key.clone(),
            doc: doc?,
            source: source?,
            revision: revision?,
            prefix: prefix?,
            types,
            aliases,
            needs_imatrix: f.get("needs_imatrix").map(|n| texts(Some(n), diagnostics)).unwrap_or_default(),
            flags,
            lists,
            file,
            tensor,
            categories: categories?,
            counted: counted.unwrap_or_default(),
            kept: kept?,
            sections: sections?,
            fallback,
            last_fallback: last_fallback?,
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn aliases(&self) -> &[Arc<str>] {
        &[]
    }
}

/// Members of an object, each read in the same way.
fn named<T>(
    node: &Node,
    diagnostics: &mut Diagnostics,
    read: impl Fn(&Node, &mut Diagnostics) -> Option<T>,
) -> Vec<(Arc<str>, T)> {
    if !matches!(node.json, Json::Object(_)) {
        wrong(node, "an object", diagnostics);
    }
    let member = |member: &Member| Some((member.key.clone(), read(&member.value, diagnostics)?));
    node.members().iter().filter_map(member).collect()
}

fn rules(node: &Node, diagnostics: &mut Diagnostics) -> Option<Vec<TypeRule>> {
    list(node, "a list of rules", rule, diagnostics)
}

/// `["Q6_K", "<cat> == 'output'"]`
fn rule(node: &Node, diagnostics: &mut Diagnostics) -> Option<TypeRule> {
    let Json::List(items) = &node.json else {
        wrong(node, "a name and a condition in a list", diagnostics);
        return None;
    };
    let [is, when] = items.as_slice() else {
        wrong(node, "a name and a condition", diagnostics);
        return None;
    };
    let (is, when) = (text(is, diagnostics), key_formula(when, diagnostics));
    Some(TypeRule { is: is?, when: when? })
}

fn section(node: &Node, diagnostics: &mut Diagnostics) -> Option<MixSection> {
    let f = fields(node, "a section of rules", SECTION_KEYS, &[], diagnostics)?;
    let when = f.get("when").and_then(|n| key_formula(n, diagnostics));
    let [first, then] = ["rules", "then"].map(|key| f.get(key).and_then(|n| rules(n, diagnostics)));
    Some(MixSection { when: when?, rules: first?, then: then.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use crate::catalog::Catalog;

    #[test]
    fn every_type_that_rules_name_is_a_storage_type() {
        let catalog = Catalog::new();
        assert!(!catalog.mixes().is_empty());
        for rules in catalog.mixes() {
            let sections = rules.sections.iter().flat_map(|section| section.rules.iter().chain(&section.then));
            let given = sections.chain(&rules.kept).map(|rule| &rule.is).chain([&rules.last_fallback]);
            let pairs = rules.fallback.iter().flat_map(|(from, to)| [from, to]);
            for name in given.chain(pairs).chain(rules.types.iter().map(|(_, default)| default)) {
                assert!(catalog.storage_type(name).is_ok(), "{name}");
            }
            let kind = |name: &str| rules.types.iter().any(|(kind, _)| **kind == *name);
            assert!(rules.needs_imatrix.iter().chain(rules.aliases.iter().map(|(_, kind)| kind)).all(|name| kind(name)));
            let category = |name: &str| rules.categories.iter().any(|rule| *rule.is == *name);
            assert!(rules.counted.iter().flatten().all(|name| category(name)));
        }
    }

    #[test]
    fn a_mix_is_asked_for_by_name() {
        let catalog = Catalog::new();
        let mix = |name: &str| catalog.mix(name).map(|mix| (mix.kind.to_string(), mix.default.to_string(), mix.imatrix));
        assert_eq!(mix("Q4_K_M"), Some(("q4_k_m".to_owned(), "Q4_K".to_owned(), false)));
        assert_eq!(mix("gguf:q4_0+imatrix"), Some(("q4_0".to_owned(), "Q4_0".to_owned(), true)));
        assert_eq!(mix("gguf:q4_k"), Some(("q4_k_m".to_owned(), "Q4_K".to_owned(), false)));
        assert_eq!(mix("iq2_xxs"), Some(("iq2_xxs".to_owned(), "IQ2_XXS".to_owned(), true)));
        assert_eq!(mix("q4_k_x"), None);
        assert_eq!(mix("gguf:"), None);
        assert_eq!(mix("q4_k_m+"), None);
        assert_eq!(mix("q4_k_m+imatrix+kv_b").map(|(.., imatrix)| imatrix), Some(true));
    }
}
