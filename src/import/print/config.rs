//! The config of a printed model of a known class: what sizes say, as `catalog/formats/print_keys.json` has it.
//!
//! Expressions see modules by their names (`<q_proj.out_features>`: of the first of that name), with what is printed of them, `class`,
//! `count` (how many are in it) and the modules in it; `root` is the whole, `config` what was found so far, `family` its defaults.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::read::Module;
use crate::catalog::{Catalog, KeyValue};
use crate::syntax::expr::{Name, Value, eval, json_of};
use crate::syntax::spec::{Datum, Family, Variable};

/// Modules in modules that an expression reaches.
const REACH: usize = 4;

/// And so many of them.
const MOST_REACHED: usize = 2000;

/// A config that a text says, and what it doesn't.
#[derive(Debug)]
pub struct Config {
    /// What the text says.
    pub said: Map<String, Json>,
    /// What it may be where the text doesn't say it: guesses to be tried in their order, each for all keys.
    pub guesses: Vec<Map<String, Json>>,
}

/// The families that have a class as one of their heads; the one that says most of its name first.
#[must_use]
pub fn family_of<'c>(class: &str, catalog: &'c Catalog) -> Vec<&'c Family> {
    let families = catalog.family_names().filter_map(|name| catalog.family(name)?.ok()).filter(|family| !family.is_base());
    let is_of = |family: &&Family| {
        let head = class.strip_prefix(family.stem()).filter(|_| !family.stem().is_empty());
        head.is_some_and(|head| head == "Model" || family.heads.iter().any(|known| *known.name.value == *head))
    };
    let mut found: Vec<&Family> = families.filter(is_of).collect();
    // Look-alikes are written in the other's file: the one of that name is meant.
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let is_of_its_name = |family: &&Family| plain(family.stem()) == plain(&family.name);
    found.sort_by_key(|family| (std::cmp::Reverse(family.stem().len()), !is_of_its_name(family)));
    found
}

/// The config of a model as one of a family.
#[must_use]
pub fn config(root: &Module, family: &Family, catalog: &Catalog) -> Config {
    let mut out = of_part(root, Some(family), catalog);
    out.said.insert("architectures".to_owned(), json!([&*root.class]));
    out
}

fn of_part(root: &Module, family: Option<&Family>, catalog: &Catalog) -> Config {
    let env = Env::of(root, family);
    let mut said = Map::new();
    let mut guesses: Vec<Map<String, Json>> = Vec::new();
    let mut open = Vec::new();
    if let Some(model_type) = family.and_then(|family| family.model_types.first()) {
        said.insert("model_type".to_owned(), json!(&**model_type));
    }
    for key in catalog.print_keys() {
        if let Some((inner, class)) = part(&env, &key.part) {
            // Whose part is of a family that its class doesn't name knows the family itself.
            let inner = of_part(inner, family_of(class, catalog).into_iter().next(), catalog);
            let mut value = inner.said;
            value.extend(inner.guesses.into_iter().next().unwrap_or_default());
            said.insert(key.name.to_string(), Json::Object(value));
            continue;
        }
        match key.from.iter().find_map(|formula| env.value(formula, &said)) {
            Some(value) => {
                said.insert(key.name.to_string(), value);
            }
            None => open.extend((!key.guess.is_empty()).then_some(key)),
        }
    }
    let most = open.iter().map(|key| key.guess.len()).max().unwrap_or(0);
    for at in 0..most {
        let mut guess = said.clone();
        let mut own = Map::new();
        for key in &open {
            let formula = key.guess.get(at).or(key.guess.last());
            if let Some(value) = formula.and_then(|formula| env.value(formula, &guess)) {
                guess.insert(key.name.to_string(), value.clone());
                own.insert(key.name.to_string(), value);
            }
        }
        if !guesses.contains(&own) {
            guesses.push(own);
        }
    }
    Config { said, guesses }
}

/// The module that an inner config is for, and its class.
fn part<'m>(env: &Env<'m>, names: &[Arc<str>]) -> Option<(&'m Module, &'m str)> {
    let found = names.iter().find_map(|name| env.modules.get(&**name))?;
    Some((found, &found.class))
}

/// The modules that expressions see.
struct Env<'m> {
    root: &'m Module,
    /// The first of each name.
    modules: HashMap<&'m str, &'m Module>,
    /// The defaults of the family's variables, those that are constants.
    defaults: Value,
}

impl<'m> Env<'m> {
    fn of(root: &'m Module, family: Option<&Family>) -> Self {
        fn add<'m>(module: &'m Module, modules: &mut HashMap<&'m str, &'m Module>) {
            for child in &module.children {
                if !child.key.is_empty() {
                    modules.entry(&child.key).or_insert(child);
                }
                add(child, modules);
            }
        }
        let mut modules = HashMap::new();
        add(root, &mut modules);
        let constant = |variable: &Variable| match &variable.value.datum {
            Datum::Number(number) => Some((variable.name.value.clone(), Value::Number(*number))),
            _ => None,
        };
        let defaults = family.iter().flat_map(|family| &family.variables).filter_map(constant).collect();
        Env { root, modules, defaults: Value::Object(defaults) }
    }

    /// The value of an expression; `None`: it has none, or it is null.
    fn value(&self, value: &KeyValue, config: &Map<String, Json>) -> Option<Json> {
        let formula = match value {
            KeyValue::Data(value) => return Some(json_of(value)),
            KeyValue::Formula(formula) => formula,
        };
        let get = |name: &Name| match &*name.text {
            "family" => self.defaults.clone(),
            "root" => seen(self.root, REACH, &mut 0),
            "config" => Value::from_json(&Json::Object(config.clone())).unwrap_or(Value::Null),
            name => self.modules.get(name).map_or(Value::Null, |module| seen(module, REACH, &mut 0)),
        };
        let value = eval(&formula.expr, &|name: &Name| Ok(get(name)), 0).ok()?;
        let value = json_of(&value);
        (!value.is_null()).then_some(value)
    }
}

/// A module as expressions see it.
fn seen(module: &Module, reach: usize, reached: &mut usize) -> Value {
    *reached += 1;
    let count = module.children.iter().fold(0u64, |sum, child| sum.saturating_add(child.count));
    let mut members: Vec<(Arc<str>, Value)> =
        vec![("class".into(), Value::text(module.short_class())), ("count".into(), Value::count(count))];
    let mut placed = 0usize;
    for arg in &module.args {
        let name = match &arg.name {
            Some(name) => name.clone(),
            None => {
                placed += 1;
                format!("a{}", placed - 1).into()
            }
        };
        members.push((name, arg.value.clone()));
    }
    if reach > 0 {
        // Of a long list the first few are enough.
        const LOOKED_AT: usize = 64;
        for child in module.children.iter().take(LOOKED_AT) {
            if *reached > MOST_REACHED {
                break;
            }
            let name = if child.is_range { child.from.to_string().into() } else { child.key.clone() };
            members.push((name, seen(child, reach - 1, reached)));
        }
    }
    Value::Object(members.into())
}
