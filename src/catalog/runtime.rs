//! What an engine makes of a model: a file of `catalog/runtimes/`.
//!
//! A file comes in, a [`Runtime`] goes out: with which options it runs, and which layers it runs as one. What becomes of a flat list by that is
//! `lower`'s business.

use std::sync::Arc;

use super::fit::fit;
use super::role::{Role, role};
use super::serving::{Serving, parse_serving};
use super::values::{flag, key, list, text, texts, wrong};
use super::version::numbers;
use crate::quantity::workload::{CHOICES, Phase};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::json::{Json, Member, Node};
use crate::syntax::source::{Span, Spanned};
use crate::syntax::spec::{Key, KeyKind, fields};

/// A runtime by its place in a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RuntimeId(pub(super) u16);

/// An engine, as far as it runs a model otherwise than eager PyTorch.
#[derive(Debug)]
pub struct Runtime {
    /// The name to call it by.
    pub name: Arc<str>,
    /// Other names.
    pub aliases: Vec<Arc<str>>,
    /// What it is, in a line.
    pub doc: Arc<str>,
    /// Where what stands here was read, with its version.
    pub source: Arc<str>,
    /// The versions for which it was; `None`: it has none.
    pub versions: Option<Versions>,
    /// Whether models are trained with it.
    pub trains: bool,
    /// What it leaves no choice of, or other choices than eager PyTorch.
    pub options: Vec<RuntimeOption>,
    /// The layers that it runs as one, in the order in which they are looked for.
    pub rewrites: Vec<Rewrite>,
    /// How it serves models; `None`: it doesn't, or nothing is known of that.
    pub serving: Option<Serving>,
    /// What it does that isn't followed here.
    pub left_alone: Vec<Arc<str>>,
    /// Where its file begins.
    pub span: Span,
}

/// From one version to another, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub from: Arc<str>,
    /// The newest.
    pub to: Arc<str>,
}

/// How a runtime sets an option.
#[derive(Debug, Clone)]
pub struct RuntimeOption {
    /// One of the options of a workload: `kernel`, `logits`, ...
    pub name: Arc<str>,
    /// The phase in which it is so; `None`: all.
    pub phase: Option<Phase>,
    /// The choices that there are; the first is taken.
    pub values: Vec<Arc<str>>,
}

/// Layers that run as one.
#[derive(Debug)]
pub struct Rewrite {
    /// What the layer is called that stands for them, if it is the only one of its body; `None`: by the names of all of them.
    pub name: Option<Arc<str>>,
    /// The engine's name of what runs.
    pub class: Arc<str>,
    /// What is done, and why nothing else changes by that.
    pub doc: Arc<str>,
    /// Where that was read.
    pub source: Arc<str>,
    /// What it is to a reader.
    pub role: Option<Role>,
    /// Which layers these are.
    pub layers: Layers,
    /// Where it stands.
    pub span: Span,
}

/// Which layers run as one.
#[derive(Debug)]
pub enum Layers {
    /// Two and more of one class that read the same value.
    Siblings(Rewritten),
    /// Each reads what the one before gives.
    Chain(Vec<Rewritten>),
    /// A layer without matrix products, with the one that made what it reads or one that reads what it makes.
    Absorbed,
}

/// A layer of a rewrite: of one of these roles, classes or names.
#[derive(Debug, Default)]
pub struct Rewritten {
    /// What layers are.
    pub roles: Vec<Role>,
    /// Names of the catalog's classes, `*` for any text.
    pub classes: Vec<Arc<str>>,
    /// Names of layers that say nothing of their role, `*` for any text.
    pub names: Vec<Arc<str>>,
}

const RUNTIME_KEYS: &[Key] = &[
    key("name", KeyKind::Text, true, "the name to call it by: lower case"),
    key("aliases", KeyKind::Texts, false, "other names"),
    key("doc", KeyKind::Text, true, "what it is, in a line"),
    key("source", KeyKind::Text, true, "where what stands here was read, with its version"),
    key("versions", KeyKind::Variables, false, "`from` and `to`: the versions for which that holds"),
    key("trains", KeyKind::Flag, false, "whether models are trained with it"),
    key("options", KeyKind::Variables, false, "options of a workload, each with the choices that there are; the first is taken"),
    key("rewrites", KeyKind::Variables, false, "the layers that it runs as one"),
    key("serving", KeyKind::Variables, false, "how it serves models: what it loads, reserves and keeps"),
    key("left_alone", KeyKind::Texts, false, "what it does that isn't followed"),
];

const VERSION_KEYS: &[Key] =
    &[key("from", KeyKind::Text, true, "the oldest version"), key("to", KeyKind::Text, true, "the newest version")];

const REWRITE_KEYS: &[Key] = &[
    key("name", KeyKind::Text, false, "what the layer is called that stands for them; left out: the names of all of them"),
    key("class", KeyKind::Text, true, "the engine's name of what runs"),
    key("doc", KeyKind::Text, true, "what is done"),
    key("source", KeyKind::Text, true, "where that was read"),
    key("role", KeyKind::Text, false, "what it is to a reader"),
    key(
        "siblings",
        KeyKind::Texts,
        false,
        "two and more layers of these roles or classes, all of one class, that read the same value",
    ),
    key(
        "chain",
        KeyKind::Variables,
        false,
        "layers of which each reads what the one before gives: a list of lists of roles or classes",
    ),
    key("absorbed", KeyKind::Flag, false, "layers without matrix products, with those beside them"),
];

/// Reads a runtime; `None` if it is unusable. What is wrong goes to `diagnostics`.
pub fn parse_runtime(node: &Node, diagnostics: &mut Diagnostics) -> Option<Runtime> {
    let f = fields(node, "a runtime", RUNTIME_KEYS, &[], diagnostics)?;
    // All are read before any is missed, so that all that is wrong is said.
    let [name, doc, source] = ["name", "doc", "source"].map(|key| f.get(key).and_then(|n| text(n, diagnostics)));
    let aliases = texts(f.get("aliases"), diagnostics);
    let left_alone = texts(f.get("left_alone"), diagnostics);
    let trains = f.get("trains").and_then(|n| flag(n, diagnostics)).unwrap_or(false);
    let versions = f.get("versions").map(|n| versions(n, diagnostics));
    let options = f.get("options").map_or(Some(Vec::new()), |n| options(n, diagnostics));
    let rewrites = f.get("rewrites").map_or(Some(Vec::new()), |n| list(n, "a list of rewrites", rewrite, diagnostics));
    let serving = f.get("serving").map(|n| parse_serving(n, diagnostics));
    Some(Runtime {
        name: name?,
        aliases,
        doc: doc?,
        source: source?,
        versions: versions.map_or(Some(None), |versions| versions.map(Some))?,
        trains,
        options: options?,
        rewrites: rewrites?,
        serving: serving.map_or(Some(None), |serving| serving.map(Some))?,
        left_alone,
        span: node.span.part(0..1),
    })
}

fn versions(node: &Node, diagnostics: &mut Diagnostics) -> Option<Versions> {
    let f = fields(node, "a range of versions", VERSION_KEYS, &[], diagnostics)?;
    let [from, to] = ["from", "to"].map(|key| f.get(key).and_then(|n| text(n, diagnostics)));
    Some(Versions { from: from?, to: to? })
}

/// Options by name: choices, or choices by phase.
fn options(node: &Node, diagnostics: &mut Diagnostics) -> Option<Vec<RuntimeOption>> {
    let Json::Object(entries) = &node.json else {
        wrong(node, "an object of options", diagnostics);
        return None;
    };
    let mut options = Vec::new();
    for Member { key: name, key_span, value: node } in entries {
        let Some((_, words)) = CHOICES.iter().find(|(known, _)| **known == **name) else {
            let names = || CHOICES.iter().map(|(known, _)| *known);
            let message = format!("`{name}` is no option that a runtime can set");
            let diagnostic = Diagnostic::new(Code::UnknownKey, message).at(*key_span, "not one of them");
            let near = nearest(name, names());
            let there = format!("there are {}", names().collect::<Vec<_>>().join(", "));
            diagnostics.push(diagnostic.did_you_mean(key_span.inside(), near).help(there));
            return None;
        };
        let mut add = |phase: Option<Phase>, node: &Node, diagnostics: &mut Diagnostics| {
            let values = list(node, "a list of choices", |node, said| choice(node, words, said), diagnostics)?;
            if values.is_empty() {
                wrong(node, "at least one choice", diagnostics);
                return None;
            }
            options.push(RuntimeOption { name: name.clone(), phase, values });
            Some(())
        };
        match &node.json {
            Json::Object(phases) => {
                for Member { key: phase, key_span, value: node } in phases {
                    let Some(known) = Phase::from_word(phase) else {
                        let message = format!("`{phase}` is no phase");
                        let diagnostic = Diagnostic::new(Code::UnknownKey, message).at(*key_span, "not one of them");
                        diagnostics.push(diagnostic.help(format!("there are {}", Phase::WORDS.join(", "))));
                        return None;
                    };
                    add(Some(known), node, diagnostics)?;
                }
            }
            _ => add(None, node, diagnostics)?,
        }
    }
    Some(options)
}

fn choice(node: &Node, words: &[&str], diagnostics: &mut Diagnostics) -> Option<Arc<str>> {
    let said = text(node, diagnostics)?;
    if !words.contains(&&*said) {
        wrong(node, &format!("one of {}", words.join(", ")), diagnostics);
        return None;
    }
    Some(said)
}

fn rewrite(node: &Node, diagnostics: &mut Diagnostics) -> Option<Rewrite> {
    let f = fields(node, "a rewrite", REWRITE_KEYS, &[], diagnostics)?;
    let [class, doc, source] = ["class", "doc", "source"].map(|key| f.get(key).and_then(|n| text(n, diagnostics)));
    let name = f.get("name").map(|n| text(n, diagnostics));
    let said_role = f.get("role").map(|n| role(n, diagnostics));
    let siblings = f.get("siblings").map(|n| part(n, diagnostics));
    let chain = f.get("chain").map(|n| list(n, "a list of lists of roles or classes", part, diagnostics));
    let absorbed = f.get("absorbed").and_then(|n| flag(n, diagnostics)).unwrap_or(false);
    let layers = match (siblings, chain, absorbed) {
        (Some(siblings), None, false) => Layers::Siblings(siblings?),
        (None, Some(chain), false) => {
            let chain = chain?;
            if chain.len() < 2 {
                wrong(f.get("chain")?, "at least two layers", diagnostics);
                return None;
            }
            Layers::Chain(chain)
        }
        (None, None, true) => Layers::Absorbed,
        _ => {
            let diagnostic = Diagnostic::new(Code::MissingKey, "a rewrite has one of `siblings`, `chain` and `absorbed`");
            diagnostics.push(diagnostic.at(node.span.part(0..1), "it says which layers run as one"));
            return None;
        }
    };
    let role = said_role.map_or(Some(None), |role| role.map(Some))?;
    let name = name.map_or(Some(None), |name| name.map(Some))?;
    Some(Rewrite { name, class: class?, doc: doc?, source: source?, role, layers, span: node.span.part(0..1) })
}

/// A layer of a rewrite: roles, behind `class:` names of classes, behind `name:` names of layers.
fn part(node: &Node, diagnostics: &mut Diagnostics) -> Option<Rewritten> {
    let mut part = Rewritten::default();
    let Json::List(items) = &node.json else {
        wrong(node, "a list of roles or classes", diagnostics);
        return None;
    };
    for item in items {
        let said = text(item, diagnostics)?;
        match said.split_once(':').map(|(kind, name)| (kind, name.trim())) {
            Some(("class", class)) => part.classes.push(class.into()),
            Some(("name", name)) => part.names.push(name.into()),
            _ => part.roles.push(Role::read(&Spanned { value: said, span: item.span }, diagnostics)?),
        }
    }
    Some(part)
}

impl Rewritten {
    /// Whether it means a layer of a role, a class, which its file calls so, and a name.
    #[must_use]
    pub fn means(&self, role: Option<Role>, (class, called): (&str, &str), name: Option<&str>) -> bool {
        let is_class = |known: &Arc<str>| fit(class, known).is_some() || fit(called, known).is_some();
        let is_name = |known: &Arc<str>| name.is_some_and(|name| fit(name, known).is_some());
        match role {
            Some(role) if self.roles.contains(&role) => true,
            None if self.names.iter().any(is_name) => true,
            _ => self.classes.iter().any(is_class),
        }
    }
}

impl Runtime {
    /// How an option is set in a phase.
    #[must_use]
    pub fn option(&self, name: &str, phase: Phase) -> Option<&RuntimeOption> {
        let of = |wanted: Option<Phase>| self.options.iter().find(|option| *option.name == *name && option.phase == wanted);
        of(Some(phase)).or_else(|| of(None))
    }

    /// Whether what stands here is known of a version; `None`: the runtime has none, or this is none.
    #[must_use]
    pub fn knows(&self, version: &str) -> Option<bool> {
        let versions = self.versions.as_ref()?;
        let (asked, from, to) = (numbers(version)?, numbers(&versions.from)?, numbers(&versions.to)?);
        // 0.30 is all of 0.30.x.
        let upto = asked.get(..to.len().min(asked.len())).unwrap_or_default();
        Some(asked >= from && upto <= to.as_slice())
    }
}
