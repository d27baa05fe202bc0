//! Whether a family's model is the one that was printed: its weights against the text's, by path and by shape.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::read::Module;
use crate::catalog::Catalog;
use crate::import::Weight;
use crate::import::reconcile::{path_of, without_ones};
use crate::syntax::glob;
use crate::syntax::words::few_quoted;

/// So many names are said.
const MOST_NAMED: usize = 3;

/// The modules of a text by their paths, and whether others are in them.
#[derive(Debug)]
pub struct Printed {
    modules: HashMap<String, bool>,
    /// Older names, and today's.
    names: Vec<(String, String)>,
}

impl Printed {
    /// All modules of a text, ranges written out. `None`: more than `most`.
    #[must_use]
    pub fn of(root: &Module, catalog: &Catalog, most: usize) -> Option<Self> {
        let is_for = |of: &[Arc<str>]| of.is_empty() || of.iter().any(|class| glob::matches(class, &root.class));
        let names = catalog.print_names().iter().filter(|name| is_for(&name.of));
        let names = names.map(|name| (format!(".{}.", name.name), format!(".{}.", name.now).replace("..", "."))).collect();
        let mut printed = Printed { modules: HashMap::new(), names };
        let mut path = String::new();
        printed.add(root, &mut path, most)?;
        Some(printed)
    }

    fn add(&mut self, module: &Module, path: &mut String, most: usize) -> Option<()> {
        for child in &module.children {
            let numbers = if child.is_range { child.from..child.from.checked_add(child.count)? } else { 0..1 };
            for number in numbers {
                let length = path.len();
                if !path.is_empty() {
                    path.push('.');
                }
                if child.is_range {
                    path.push_str(&number.to_string());
                } else {
                    path.push_str(&child.key);
                }
                if self.modules.len() >= most {
                    return None;
                }
                let now = self.now(path);
                self.modules.insert(now, !child.children.is_empty());
                self.add(child, path, most)?;
                path.truncate(length);
            }
        }
        Some(())
    }

    /// A path as it is called now.
    fn now(&self, path: &str) -> String {
        if self.names.is_empty() {
            return path.to_owned();
        }
        let whole = format!(".{path}.");
        let now = self.names.iter().fold(whole, |path, (old, now)| match old.strip_prefix(".^") {
            Some(first) => match path.strip_prefix('.').and_then(|path| path.strip_prefix(first)) {
                Some(rest) => format!("{now}{rest}"),
                None => path,
            },
            None if path.contains(old) => path.replace(old, now),
            None => path,
        });
        now.trim_matches('.').to_owned()
    }
}

/// How a family's weights differ from those of the text. `None`: they don't, as far as the text says them.
#[must_use]
pub fn differences(printed: &Printed, of_text: &[Weight], of_family: &[Weight]) -> Option<String> {
    let family: HashMap<String, &Weight> = of_family.iter().rev().map(|weight| (weight.path(), weight)).collect();
    let mut text: HashMap<String, &Weight> = HashMap::new();
    let mut modules_lacking: BTreeMap<String, u128> = BTreeMap::new();
    let mut lacking: Vec<String> = Vec::new();
    for weight in of_text {
        let module = printed.now(&weight.module);
        let path = path_of(&module, &weight.name);
        match family.get(&path) {
            Some(own) if without_ones(&own.shape) != without_ones(&weight.shape) => {
                return Some(format!("of `{path}` the text has {:?}, the family {:?}", weight.shape, own.shape));
            }
            Some(_) => {
                text.insert(path, weight);
            }
            None => {
                *modules_lacking.entry(module).or_default() += u128::from(weight.elements());
                lacking.push(path);
            }
        }
    }
    // Modules that the family has and the text doesn't say: their sizes aren't printed, or they hold what the text has in several modules.
    let mut unprinted: BTreeMap<&str, u128> = BTreeMap::new();
    for (at, weight) in of_family.iter().enumerate() {
        let path = weight.path();
        if text.contains_key(&path) || weight.is_tied && at > 0 && family.get(&path).is_some_and(|first| first.is_tied) {
            continue;
        }
        // A tensor that a module owns has its owner's path before its own.
        let owner =
            if weight.name.is_empty() { weight.module.rsplit_once('.').map_or("", |(owner, _)| owner) } else { &weight.module };
        *unprinted.entry(owner).or_default() += u128::from(weight.elements());
    }
    let mut missing: Vec<String> = Vec::new();
    for (module, elements) in &unprinted {
        let inside = format!("{module}.");
        let held = || modules_lacking.range(inside.clone()..).take_while(|(path, _)| path.starts_with(&inside));
        let sum: u128 = held().map(|(_, elements)| *elements).sum();
        if sum > 0 && sum == *elements {
            lacking.retain(|path| !path.starts_with(&inside));
            continue;
        }
        if !module.is_empty() && !printed.modules.contains_key(*module) {
            missing.push((*module).to_owned());
        }
    }
    let mut why = Vec::new();
    if !lacking.is_empty() {
        why.push(format!("the family has no {}", few_quoted(&lacking, MOST_NAMED)));
    }
    if !missing.is_empty() {
        why.push(format!("the text has no {}", few_quoted(&missing, MOST_NAMED)));
    }
    (!why.is_empty()).then(|| why.join("; "))
}

/// The weights of a text that a family has as another layer's and counts there, by their paths, and their elements. A text shows them as it
/// shows any other.
#[must_use]
pub fn shared(printed: &Printed, of_text: &[Weight], of_family: &[Weight]) -> (Vec<String>, u128) {
    let tied: HashSet<String> = of_family.iter().filter(|weight| weight.is_tied).map(Weight::path).collect();
    let mut paths = Vec::new();
    let mut elements = 0u128;
    for weight in of_text {
        let path = path_of(&printed.now(&weight.module), &weight.name);
        if tied.contains(&path) {
            elements = elements.saturating_add(u128::from(weight.elements()));
            paths.push(path);
        }
    }
    (paths, elements)
}
