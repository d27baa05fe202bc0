//! Names of tensors as the hub has them, and where they are in a model.
//!
//! Rules say what modules have in place of a part of a name. They are tried until the model has a weight of the name that comes of it: a rule that
//! fits no model does no harm, so rules need not say of which families they are.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::names::{NUMBERS, filled, pattern};
use super::place::{Part, Place};
use crate::catalog::HubRules;
use crate::syntax::glob;

/// So many rules may be used one after the other.
const MOST_STEPS: usize = 4;
/// So many names are tried for one.
const MOST_TRIED: usize = 400;

/// Finds tensors of the hub in a model.
pub struct HubNames<'a> {
    rules: &'a [HubRules],
    weights: &'a HashMap<Arc<str>, usize>,
    /// The weights' names without their numbers.
    patterns: HashSet<String>,
    /// What came of a name without its numbers: the name that a weight has, with the numbers that it keeps, and what the tensor is to it.
    known: RefCell<HashMap<String, Option<(String, Part)>>>,
}

impl<'a> HubNames<'a> {
    /// For a model with these weights.
    #[must_use]
    pub fn new(rules: &'a [HubRules], weights: &'a HashMap<Arc<str>, usize>) -> Self {
        let patterns = weights.keys().map(|path| pattern(path).0).collect();
        HubNames { rules, weights, patterns, known: RefCell::new(HashMap::new()) }
    }

    /// Where a tensor is. `None`: no rule leads to a weight of the model.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<Place> {
        if let Some(at) = self.weights.get(name) {
            return Some(Place { weights: vec![*at], ..Place::default() });
        }
        let (pattern, numbers) = pattern(name);
        if !self.known.borrow().contains_key(&pattern) {
            let found = self.search(&pattern);
            self.known.borrow_mut().insert(pattern.clone(), found);
        }
        let known = self.known.borrow();
        let (path, part) = known.get(&pattern)?.as_ref()?;
        let at = *self.weights.get(filled(path, &numbers).as_str())?;
        Some(Place { weights: vec![at], part: *part, ..Place::default() })
    }

    /// The first name of a weight that the rules lead to, the shortest way first.
    fn search(&self, name: &str) -> Option<(String, Part)> {
        let mut starts = vec![(name.to_owned(), Part::Values)];
        for rules in self.rules {
            for (list, part) in [(&rules.packed, Part::Packed), (&rules.beside, Part::Beside)] {
                let cut = |(from, to): &(Arc<str>, Arc<str>)| Some((format!("{}{to}", name.strip_suffix(&**from)?), part));
                starts.extend(list.iter().filter_map(cut));
            }
        }
        let mut seen: HashSet<String> = HashSet::new();
        let mut open: VecDeque<(String, Part, usize)> = starts.into_iter().map(|(name, part)| (name, part, 0)).collect();
        while let Some((name, part, steps)) = open.pop_front() {
            if self.has(&name) {
                return Some((name, part));
            }
            if steps >= MOST_STEPS || seen.len() > MOST_TRIED {
                continue;
            }
            for (from, to) in self.rules.iter().flat_map(|rules| &rules.renames) {
                let renamed = renamed(&name, from, to);
                open.extend(renamed.filter(|next| seen.insert(next.clone())).map(|next| (next, part, steps + 1)));
            }
        }
        None
    }

    /// Whether some weight has this name, whatever its numbers.
    fn has(&self, name: &str) -> bool {
        // A number that went away leaves the letters of the others as they were.
        let plain: Vec<u64> = vec![0; 3];
        self.patterns.contains(name) || self.patterns.contains(&pattern(&filled(name, &plain)).0)
    }
}

/// A name, and those that one of the rules makes of it.
#[must_use]
pub fn hub_variants(name: &str, rules: &[HubRules]) -> Vec<String> {
    let renames = rules.iter().flat_map(|rules| &rules.renames);
    let others = renames.filter_map(|(from, to)| renamed(name, from, to));
    std::iter::once(name.to_owned()).chain(others).collect()
}

/// What a tensor is that no module has, where the rules know it.
#[must_use]
pub fn hub_left_over(name: &str, rules: &[HubRules]) -> Option<Arc<str>> {
    let mut all = rules.iter().flat_map(|rules| &rules.left);
    all.find(|(known, _)| glob::matches(known, name)).map(|(_, what)| what.clone())
}

/// A name with a rule used on it; `N` in the rule stands for any number of the name.
fn renamed(name: &str, from: &str, to: &str) -> Option<String> {
    if let Some(from) = from.strip_prefix('^') {
        return name.strip_prefix(from).map(|rest| format!("{to}{rest}"));
    }
    let put = |at: usize, length: usize| {
        let (before, after) = (name.get(..at)?, name.get(at + length..)?);
        Some(format!("{before}{to}{after}"))
    };
    if !from.contains(".N.") {
        return put(name.find(from)?, from.len());
    }
    let candidates = NUMBERS.map(|letter| from.replace(".N.", &format!(".{letter}.")));
    // The innermost number is the expert's.
    let found = candidates.iter().rev().find_map(|from| Some((name.find(from.as_str())?, from.len())));
    let (at, length) = found?;
    put(at, length)
}
