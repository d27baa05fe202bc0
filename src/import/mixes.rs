//! Gives each tensor of a file the type that a mix has for it.
//!
//! Rules are data (`catalog/formats/quant-mixes.json`): expressions over what a tensor is called, its sizes, which of its kind it is, and what is
//! so of the whole file. No program and no architecture is known here.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use super::contents::Held;
use super::written::Variables;
use crate::catalog::{Catalog, KeyFormula, Mix, MixSection, StorageType, TypeRule};
use crate::syntax::expr::{EvalError, Name, Value, eval};

/// How deep names may stand on each other.
const MOST_NAMES: u16 = 16;

/// Gives tensors their types and bytes. `architecture`: what the file says that it is; `variables`: the model's.
///
/// # Errors
/// A rule has no value, or a tensor can have none of the types: why, in words.
pub fn give_types(
    tensors: &mut [Held],
    mix: &Mix<'_>,
    architecture: &str,
    variables: Variables<'_>,
    catalog: &Catalog,
) -> Result<(), String> {
    let file = File::of(tensors, mix, architecture, variables, catalog)?;
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by(|a, b| tensors.get(*a).zip(tensors.get(*b)).map_or(Ordering::Equal, |(a, b)| place(a).cmp(&place(b))));
    let mut counts: HashMap<usize, u64> = HashMap::new();
    for at in order {
        let Some(held) = tensors.get(at) else { continue };
        let kind = file.kind(held, &mut counts)?;
        let shape = held.shape.as_deref().unwrap_or_default();
        let bytes = kind.tensor_bytes(shape).ok_or_else(|| {
            format!("`{}` can't be {}: its rows of {} elements aren't whole blocks", held.name, kind.name, last(shape))
        })?;
        if let Some(held) = tensors.get_mut(at) {
            (held.kind, held.bytes) = (kind.name.clone(), Some(bytes));
        }
    }
    Ok(())
}

fn last(shape: &[u64]) -> u64 {
    shape.last().copied().unwrap_or(1)
}

/// The number of a tensor's block.
fn layer(name: &str) -> Option<u64> {
    name.split('.').find_map(|part| part.parse().ok())
}

/// Where a tensor stands when they are gone through: by its block, those of none first, then by its name.
fn place(held: &Held) -> (Option<u64>, &str) {
    (layer(&held.name), &held.name)
}

/// What is so of a whole file.
struct File<'a> {
    mix: &'a Mix<'a>,
    catalog: &'a Catalog,
    values: HashMap<Arc<str>, Value>,
    /// How many tensors there are of the categories that are counted together, by the group's place.
    totals: HashMap<usize, u64>,
}

/// What is so of a tensor.
type Facts = [(&'static str, Value)];

impl<'a> File<'a> {
    fn of(
        tensors: &[Held],
        mix: &'a Mix<'a>,
        architecture: &str,
        variables: Variables<'_>,
        catalog: &'a Catalog,
    ) -> Result<Self, String> {
        let own = || tensors.iter().filter(|held| held.file.is_none());
        let blocks = own().filter_map(|held| layer(&held.name)).max().map_or(0, |last| last.saturating_add(1));
        let mut first: Vec<(Arc<str>, Value)> = Vec::new();
        for held in own() {
            // `blk.7.attn_q.weight` is `attn_q`.
            let mut parts = held.name.split('.').rev().skip(1);
            let stem: Arc<str> = parts.next().unwrap_or_default().into();
            if held.name.ends_with(".weight") && !first.iter().any(|(known, _)| *known == stem) {
                let dims = held.shape.iter().flatten().map(|dim| Value::count(*dim));
                first.push((stem, Value::List(dims.collect())));
            }
        }
        let mut values: HashMap<Arc<str>, Value> = HashMap::new();
        values.extend(mix.rules.lists.iter().cloned());
        let said = |flag: &Arc<str>| Value::Bool(mix.flags.contains(&flag));
        values.extend(mix.rules.flags.iter().map(|(flag, _)| (flag.clone(), said(flag))));
        let has_output = own().any(|held| &*held.name == "output.weight");
        let facts = [
            ("ftype", Value::text(mix.kind)),
            ("default", Value::text(mix.default)),
            ("imatrix", Value::Bool(mix.imatrix)),
            ("arch", Value::text(architecture)),
            ("blocks", Value::count(blocks)),
            ("first", Value::Object(first.into())),
            ("has_output", Value::Bool(has_output)),
        ];
        values.extend(facts.map(|(name, value)| (name.into(), value)));
        for (name, formula) in &mix.rules.file {
            let env = |name: &Name| {
                let known = values.get(&name.text).cloned();
                Ok(known.or_else(|| variables(&name.text)).unwrap_or(Value::Null))
            };
            let value = eval(&formula.expr, &env, 0).map_err(|error| wrong(formula, &error))?;
            values.insert(name.clone(), value);
        }
        let default = storage(catalog, mix.default)?;
        values.insert("block".into(), Value::count(default.block));
        let mut file = File { mix, catalog, values, totals: HashMap::new() };
        for held in own() {
            let facts = [("name", Value::text(&held.name))];
            if let Some(group) = file.category(&facts)?.and_then(|category| file.group(&category)) {
                *file.totals.entry(group).or_default() += 1;
            }
        }
        Ok(file)
    }

    /// The type of a tensor. `counts`: how many of each group were before it that have one by the mix.
    fn kind(&self, held: &Held, counts: &mut HashMap<usize, u64>) -> Result<&'a StorageType, String> {
        let shape = held.shape.as_deref().unwrap_or_default();
        // Those of other files are none of the categories.
        let is_beside = held.file.is_some();
        let name = [("name", Value::text(&held.name))];
        let category = if is_beside { None } else { self.category(&name)? };
        let group = category.as_ref().and_then(|category| self.group(category));
        let of_group = |counts: &HashMap<usize, u64>| group.and_then(|group| counts.get(&group)).copied().unwrap_or(0);
        // A stack of one, too, is a matrix.
        let dims = shape.iter().rev().enumerate().filter(|(_, dim)| **dim > 1).map(|(at, _)| at + 1).max().unwrap_or(1);
        let stack = shape.len().checked_sub(3).and_then(|at| shape.get(at)).copied().unwrap_or(1);
        let facts = [
            ("name", Value::text(&held.name)),
            ("is_weight", Value::Bool(held.name.ends_with("weight"))),
            ("is_beside", Value::Bool(is_beside)),
            ("cat", category.as_ref().map_or(Value::Null, |category| Value::text(category))),
            ("layer", layer(&held.name).map_or(Value::Null, Value::count)),
            ("count", Value::count(of_group(counts))),
            ("counted", Value::count(group.and_then(|group| self.totals.get(&group)).copied().unwrap_or(0))),
            ("dims", Value::count(dims as u64)),
            ("ncols", Value::count(last(shape))),
            ("n_stack", Value::count(stack)),
            ("type", Value::text(self.mix.default)),
        ];
        if let Some(kept) = self.first(&self.mix.rules.kept, &facts)? {
            return storage(self.catalog, &kept.is);
        }
        let mut kind = self.mix.default;
        for section in &self.mix.rules.sections {
            if self.holds(&section.when, &facts)? {
                kind = self.of_section(section, &facts)?;
                break;
            }
        }
        if let Some(group) = group {
            *counts.entry(group).or_default() += 1;
        }
        self.fitting(kind, last(shape))
    }

    fn of_section(&self, section: &'a MixSection, facts: &Facts) -> Result<&'a Arc<str>, String> {
        let mut kind = self.first(&section.rules, facts)?.map_or(self.mix.default, |rule| &rule.is);
        for rule in &section.then {
            let facts: Vec<(&'static str, Value)> = facts
                .iter()
                .map(|(name, value)| (*name, if *name == "type" { Value::text(kind) } else { value.clone() }))
                .collect();
            if self.holds(&rule.when, &facts)? {
                kind = &rule.is;
            }
        }
        Ok(kind)
    }

    /// A type, or what takes its place where rows aren't whole blocks of it. Without anything in its place it stays, which is an error later.
    fn fitting(&self, kind: &Arc<str>, columns: u64) -> Result<&'a StorageType, String> {
        let wanted = storage(self.catalog, kind)?;
        let fits = |kind: &StorageType| columns.is_multiple_of(kind.block);
        let other = self.mix.rules.fallback.iter().find(|(from, _)| *from == *kind).map(|(_, to)| to);
        let Some(other) = other.filter(|_| !fits(wanted)) else { return Ok(wanted) };
        let other = storage(self.catalog, other)?;
        if fits(other) { Ok(other) } else { storage(self.catalog, &self.mix.rules.last_fallback) }
    }

    fn category(&self, facts: &Facts) -> Result<Option<Arc<str>>, String> {
        Ok(self.first(&self.mix.rules.categories, facts)?.map(|rule| rule.is.clone()))
    }

    fn group(&self, category: &str) -> Option<usize> {
        self.mix.rules.counted.iter().position(|group| group.iter().any(|known| **known == *category))
    }

    /// The first rule that holds.
    fn first(&self, rules: &'a [TypeRule], facts: &Facts) -> Result<Option<&'a TypeRule>, String> {
        for rule in rules {
            if self.holds(&rule.when, facts)? {
                return Ok(Some(rule));
            }
        }
        Ok(None)
    }

    fn holds(&self, condition: &KeyFormula, facts: &Facts) -> Result<bool, String> {
        let value = self.value(condition, facts, 0).map_err(|error| wrong(condition, &error))?;
        value.as_bool().ok_or_else(|| format!("`{}` is {value}, neither true nor false", condition.text))
    }

    fn value(&self, formula: &KeyFormula, facts: &Facts, depth: u16) -> Result<Value, EvalError> {
        let env = |name: &Name| {
            if let Some((_, value)) = facts.iter().find(|(known, _)| **known == *name.text) {
                return Ok(value.clone());
            }
            match self.mix.rules.tensor.iter().find(|(known, _)| *known == name.text) {
                Some(_) if depth > MOST_NAMES => Err(EvalError::TooDeep),
                Some((_, inner)) => self.value(inner, facts, depth + 1),
                None => Ok(self.values.get(&name.text).cloned().unwrap_or(Value::Null)),
            }
        };
        eval(&formula.expr, &env, 0)
    }
}

fn wrong(formula: &KeyFormula, error: &EvalError) -> String {
    format!("a rule has no value: {error}, in `{}`", formula.text)
}

fn storage<'c>(catalog: &'c Catalog, name: &str) -> Result<&'c StorageType, String> {
    catalog.storage_type(name).map_err(|_| format!("no storage type is called `{name}`"))
}

/// Bytes and elements of all tensors of the file together. `None`: of some they aren't known.
#[must_use]
pub fn sizes_of(tensors: &[Held]) -> Option<(u128, u128)> {
    let own = || tensors.iter().filter(|held| held.file.is_none());
    let bytes = own().try_fold(0u128, |sum, held| sum.checked_add(u128::from(held.bytes?)))?;
    let elements = own().try_fold(0u128, |sum, held| sum.checked_add(u128::from(held.elements()?)))?;
    Some((bytes, elements))
}
