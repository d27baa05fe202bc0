//! Layers of which a text says nothing but their class, as older versions print them: what the modules beside them say of their sizes.
//!
//! Which do is the catalog's knowledge (`unsaid` of `catalog/formats/print_layers.json`).

use std::sync::Arc;

use super::config::{REACH, seen};
use super::leaf::rule;
use super::read::{Arg, Module};
use crate::catalog::{Catalog, KeyValue, PrintedLayer};
use crate::syntax::expr::{Name, Value, eval};

/// A text's modules, with what others say of those of which it says nothing.
#[must_use]
pub fn completed(mut root: Module, catalog: &Catalog) -> Module {
    complete(&mut root, catalog);
    root
}

fn complete(module: &mut Module, catalog: &Catalog) {
    let rules: Vec<Option<&PrintedLayer>> = module.children.iter().map(|child| unsaid(child, catalog)).collect();
    let around = rules.iter().any(Option::is_some).then(|| seen(module, REACH, &mut 0));
    for (child, rule) in module.children.iter_mut().zip(rules) {
        if let (Some(rule), Some(around)) = (rule, &around) {
            child.args.extend(rule.unsaid.iter().filter_map(|(name, value)| said(name, value, around)));
        }
        complete(child, catalog);
    }
}

/// The rule for a module of which nothing is said but its class.
fn unsaid<'c>(module: &Module, catalog: &'c Catalog) -> Option<&'c PrintedLayer> {
    let is_bare = module.args.is_empty() && module.children.is_empty();
    is_bare.then(|| rule(&module.class, catalog)).flatten().filter(|rule| !rule.unsaid.is_empty())
}

fn said(name: &Arc<str>, value: &KeyValue, around: &Value) -> Option<Arg> {
    let value = match value {
        KeyValue::Data(value) => value.clone(),
        KeyValue::Formula(formula) => {
            let get = |name: &Name| Ok(if &*name.text == "around" { around.clone() } else { Value::Null });
            eval(&formula.expr, &get, 0).ok().filter(|value| *value != Value::Null)?
        }
    };
    let is_placed = name.strip_prefix('a').is_some_and(|place| place.parse::<usize>().is_ok());
    Some(Arg { name: (!is_placed).then(|| name.clone()), value })
}
