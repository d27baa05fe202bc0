//! A class on top of the one that it extends: JSON over JSON, before any of it is read. Each part keeps its place, in whichever file.

use std::borrow::Cow;
use std::sync::Arc;

use crate::catalog::values;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::json::{Json, Member, Node};

/// What a class says of itself alone.
const OWN: &[&str] = &["class", "aliases", "doc", "source", "derivation", "examples", "extends"];
/// Keys whose members merge name by name; the others replace.
const BY_NAME: &[&str] =
    &["parameters", "variables", "facts", "require", "weights", "inputs", "outputs", "flops", "backward", "reads", "writes"];
/// Classes extend each other through so many steps.
const MOST_EXTENSIONS: usize = 16;
/// No class of use says more; bounds what many classes of a stranger's file can take over.
const MOST_VALUES: usize = 2000;

/// A class's definition as it is written.
pub struct ClassText<'n> {
    /// The class's own name.
    pub name: Arc<str>,
    pub node: Cow<'n, Node>,
}

/// Finds texts by name; if there is none, the nearest name.
pub type ClassTexts<'d> = dyn Fn(&str) -> Result<ClassText<'d>, Option<String>> + 'd;

/// A definition with all that it takes over; `None` if that can't be had, which was reported.
pub(super) fn extended<'n>(
    name: &Arc<str>,
    node: &'n Node,
    texts: &ClassTexts<'n>,
    diagnostics: &mut Diagnostics,
) -> Option<Cow<'n, Node>> {
    let mut chain = vec![ClassText { name: name.clone(), node: Cow::Borrowed(node) }];
    while let Some(said) = chain.last().and_then(|last| last.node.get("extends")) {
        let base = values::text(said, diagnostics)?;
        match next(&base, said, &chain, texts) {
            Ok(found) => chain.push(found),
            Err(problem) => {
                diagnostics.push(*problem);
                return None;
            }
        }
    }
    let bases = chain.drain(1..).rev().map(|text| text.node);
    let Some(base) = bases.reduce(|base, own| Cow::Owned(over(&base, &own))) else { return Some(Cow::Borrowed(node)) };
    Some(Cow::Owned(over(&base, node)))
}

/// What the last of a chain extends.
fn next<'n>(base: &str, said: &Node, chain: &[ClassText<'n>], texts: &ClassTexts<'n>) -> Result<ClassText<'n>, Box<Diagnostic>> {
    let problem = |code, message: String, label: &str| Diagnostic::new(code, message).at(said.span, label);
    let found = texts(base).map_err(|near| {
        let diagnostic = problem(Code::UnknownClass, format!("unknown class `{base}`"), "no definition to start from");
        diagnostic.did_you_mean(said.span.inside(), near.as_deref()).boxed()
    })?;
    let names: Vec<&str> = chain.iter().map(|text| &*text.name).collect();
    if names.contains(&&*found.name) {
        let message = format!("classes extend each other in a circle: {} -> {}", names.join(" -> "), found.name);
        return Err(problem(Code::InvalidClass, message, "comes back here").boxed());
    }
    if chain.len() > MOST_EXTENSIONS {
        let message = format!("classes extend each other through more than {MOST_EXTENSIONS} steps");
        return Err(problem(Code::InvalidClass, message, "one step too many").boxed());
    }
    if size(&found.node) > MOST_VALUES {
        let message = format!("`{base}` says more than {MOST_VALUES} values, too many to be taken over");
        return Err(problem(Code::InvalidClass, message, "too large to extend").boxed());
    }
    Ok(found)
}

/// How many values there are to take over.
fn size(node: &Node) -> usize {
    fn values(node: &Node) -> usize {
        let inner = node.items().iter().chain(node.members().iter().map(|member| &member.value));
        inner.fold(1, |sum, node| sum.saturating_add(values(node)))
    }
    let taken = node.members().iter().filter(|member| !OWN.contains(&&*member.key));
    taken.map(|member| values(&member.value)).fold(0, usize::saturating_add)
}

/// The base's members, each replaced by the own one of its name or merged with it, then the own ones that are new.
fn over(base: &Node, own: &Node) -> Node {
    let taken = base.members().iter().filter(|member| !OWN.contains(&&*member.key));
    // A class has one output or several: what is said of it here is all of it.
    let one = own.get("output").is_some();
    let several = own.get("outputs").is_some();
    let taken = taken.filter(|member| !(one && *member.key == *"outputs" || several && *member.key == *"output"));
    let merge = |base: &Member, own: &Member| match (&base.value.json, &own.value.json) {
        (Json::Object(_), Json::Object(_)) if BY_NAME.contains(&&*own.key) => {
            let members = merged(base.value.members().iter(), own.value.members(), |_, own| own.clone());
            Member { value: Node { span: own.value.span, json: Json::Object(members) }, ..own.clone() }
        }
        _ => own.clone(),
    };
    Node { span: own.span, json: Json::Object(merged(taken, own.members(), merge)) }
}

fn merged<'n>(base: impl Iterator<Item = &'n Member>, own: &[Member], both: impl Fn(&Member, &Member) -> Member) -> Vec<Member> {
    let named = |key: &str| own.iter().find(|member| *member.key == *key);
    let mut out: Vec<Member> = base.map(|old| named(&old.key).map_or_else(|| old.clone(), |new| both(old, new))).collect();
    let new: Vec<Member> = own.iter().filter(|member| out.iter().all(|known| known.key != member.key)).cloned().collect();
    out.extend(new);
    out
}
