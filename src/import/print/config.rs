//! The config of a model whose modules are known, printed or by their tensors: what sizes say, as `catalog/formats/print_keys.json` has it.
//!
//! Expressions see modules by their names (`<q_proj.out_features>`: of the first of that name), with what is printed of them, `class`,
//! `count` (how many are in it) and the modules in it; `root` is the whole, `config` what was found so far, `family` its defaults. Those of
//! lists with an item for each layer see it as `layer`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::read::Module;
use crate::catalog::{Catalog, KeyFormula, KeyValue, PrintedKey};
use crate::syntax::expr::{Name, Value, eval, json_of};
use crate::syntax::glob;
use crate::syntax::spec::{Datum, Family, Variable};

/// Modules in modules that an expression reaches.
pub(super) const REACH: usize = 4;

/// And so many of them.
const MOST_REACHED: usize = 2000;

/// Layers of a list that says something of each.
const MOST_LAYERS: u64 = 4096;

/// What begins the name of a key that others stand on and no config has.
const ASIDE: char = '_';

/// A config that a text says, and what it doesn't.
#[derive(Debug)]
pub struct Config {
    /// What the text says.
    pub said: Map<String, Json>,
    /// What it may be where the text doesn't say it: guesses to be tried in their order, each for all keys. Of an inner config a guess has
    /// what is said of it, too.
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

/// The modules of a model as expressions see them.
pub struct Modules<'m> {
    root: &'m Module,
    /// The first of each name.
    first: HashMap<&'m str, &'m Module>,
    /// Those that were asked for, and the layers of lists.
    known: RefCell<HashMap<String, Value>>,
    layers: RefCell<HashMap<&'m str, Vec<Value>>>,
}

impl<'m> Modules<'m> {
    /// Those in a model.
    #[must_use]
    pub fn of(root: &'m Module) -> Self {
        fn add<'m>(module: &'m Module, modules: &mut HashMap<&'m str, &'m Module>) {
            for child in &module.children {
                if !child.key.is_empty() {
                    modules.entry(&child.key).or_insert(child);
                }
                add(child, modules);
            }
        }
        let mut first = HashMap::new();
        add(root, &mut first);
        Modules { root, first, known: RefCell::default(), layers: RefCell::default() }
    }

    /// The config of the model as one of a family.
    #[must_use]
    pub fn config(&self, family: &Family, catalog: &Catalog) -> Config {
        let mut out = self.of_part(Some(family), catalog);
        if !self.root.class.is_empty() {
            out.said.insert("architectures".to_owned(), json!([&*self.root.class]));
        }
        out.said.retain(|key, _| !key.starts_with(ASIDE));
        out
    }

    fn of_part(&self, family: Option<&Family>, catalog: &Catalog) -> Config {
        let env = Env::of(self, family);
        let mut said = Map::new();
        let mut guesses: Vec<Map<String, Json>> = Vec::new();
        let mut open = Vec::new();
        let mut inner_guesses = Vec::new();
        if let Some(model_type) = family.and_then(|family| family.model_types.first()) {
            said.insert("model_type".to_owned(), json!(&**model_type));
        }
        for key in catalog.print_keys() {
            if let Some((inner, class)) = part(self, &key.part) {
                // Whose part is of a family that its class doesn't name knows the family itself.
                let mut inner = Modules::of(inner).of_part(family_of(class, catalog).into_iter().next(), catalog);
                inner.said.retain(|key, _| !key.starts_with(ASIDE));
                said.insert(key.name.to_string(), Json::Object(inner.said));
                inner_guesses.push((&*key.name, inner.guesses));
                continue;
            }
            match key.from.iter().find_map(|formula| env.value(formula, &said)).or_else(|| env.list(key, &said)) {
                Some(value) => {
                    said.insert(key.name.to_string(), value);
                }
                None => open.extend((!key.guess.is_empty()).then_some(key)),
            }
        }
        let of_keys = open.iter().map(|key| key.guess.len());
        let most = of_keys.chain(inner_guesses.iter().map(|(_, guesses)| guesses.len())).max().unwrap_or(0);
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
            // Heads are whole, so what makes parts of them is no guess.
            if own.values().any(|value| value.is_f64()) {
                continue;
            }
            own.retain(|key, _| !key.starts_with(ASIDE));
            for (name, inner) in &inner_guesses {
                let Some(inner) = inner.get(guesses.len()).or(inner.first()).filter(|inner| !inner.is_empty()) else { continue };
                let mut whole = said.get(*name).and_then(Json::as_object).cloned().unwrap_or_default();
                whole.extend(inner.clone());
                own.insert((*name).to_owned(), Json::Object(whole));
            }
            if !guesses.contains(&own) {
                guesses.push(own);
            }
        }
        Config { said, guesses }
    }

    /// A module by its name.
    fn seen(&self, name: &str) -> Value {
        if let Some(value) = self.known.borrow().get(name) {
            return value.clone();
        }
        let module = if name == "root" { Some(self.root) } else { self.first.get(name).copied() };
        let value = module.map_or(Value::Null, |module| seen(module, REACH, &mut 0));
        self.known.borrow_mut().insert(name.to_owned(), value.clone());
        value
    }

    /// The layers of a list, each as often as it is there. `None`: there is no such list, or it is longer than any model's.
    fn layers(&self, name: &str) -> Option<Vec<Value>> {
        let (name, module) = self.first.get_key_value(name)?;
        if let Some(known) = self.layers.borrow().get(name) {
            return Some(known.clone());
        }
        let count = module.children.iter().fold(0u64, |sum, child| sum.saturating_add(child.count));
        if module.children.is_empty() || count > MOST_LAYERS {
            return None;
        }
        let each = |child: &Module| std::iter::repeat_n(seen(child, REACH, &mut 0), usize::try_from(child.count).unwrap_or(1));
        let layers: Vec<Value> = module.children.iter().flat_map(each).collect();
        self.layers.borrow_mut().insert(name, layers.clone());
        Some(layers)
    }
}

/// The module that an inner config is for, and its class.
fn part<'m>(modules: &Modules<'m>, names: &[Arc<str>]) -> Option<(&'m Module, &'m str)> {
    let found = names.iter().find_map(|name| {
        let (name, class) = name.split_once(':').unwrap_or((name, "*"));
        modules.first.get(name).filter(|module| glob::matches(class, module.short_class()))
    })?;
    Some((found, &found.class))
}

/// What expressions see.
struct Env<'e, 'm> {
    modules: &'e Modules<'m>,
    /// The defaults of the family's variables, those that are constants.
    defaults: Value,
}

impl<'e, 'm> Env<'e, 'm> {
    fn of(modules: &'e Modules<'m>, family: Option<&Family>) -> Self {
        let constant = |variable: &Variable| match &variable.value.datum {
            Datum::Number(number) => Some((variable.name.value.clone(), Value::Number(*number))),
            Datum::Bool(flag) => Some((variable.name.value.clone(), Value::Bool(*flag))),
            _ => None,
        };
        let defaults = family.iter().flat_map(|family| &family.variables).filter_map(constant).collect();
        Env { modules, defaults: Value::Object(defaults) }
    }

    fn get(&self, name: &str, config: &Map<String, Json>) -> Value {
        match name {
            "family" => self.defaults.clone(),
            "config" => Value::from_json(&Json::Object(config.clone())).unwrap_or(Value::Null),
            name => self.modules.seen(name),
        }
    }

    /// The value of an expression; `None`: it has none, or it is null.
    fn value(&self, value: &KeyValue, config: &Map<String, Json>) -> Option<Json> {
        let formula = match value {
            KeyValue::Data(value) => return Some(json_of(value)),
            KeyValue::Formula(formula) => formula,
        };
        let value = eval(&formula.expr, &|name: &Name| Ok(self.get(&name.text, config)), 0).ok()?;
        let value = json_of(&value);
        (!value.is_null()).then_some(value)
    }

    /// A list that says something of each layer. `None`: of some nothing is known.
    fn list(&self, key: &PrintedKey, config: &Map<String, Json>) -> Option<Json> {
        let of_layer = |formula: &KeyFormula, layer: &Value| {
            let get = |name: &Name| Ok(if &*name.text == "layer" { layer.clone() } else { self.get(&name.text, config) });
            eval(&formula.expr, &get, 0).ok().filter(|value| *value != Value::Null)
        };
        let layers = || key.over.iter().find_map(|name| self.modules.layers(name));
        if let Some(item) = &key.each {
            let items: Option<Vec<Json>> = layers()?.iter().map(|layer| Some(json_of(&of_layer(item, layer)?))).collect();
            return items.map(Json::Array);
        }
        let holds = key.those.as_ref()?;
        let held: Option<Vec<Value>> = layers()?.iter().map(|layer| of_layer(holds, layer)).collect();
        let numbers = held?.into_iter().enumerate().filter(|(_, value)| *value == Value::Bool(true)).map(|(at, _)| json!(at));
        Some(Json::Array(numbers.collect()))
    }
}

/// A module as expressions see it.
pub(super) fn seen(module: &Module, reach: usize, reached: &mut usize) -> Value {
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
