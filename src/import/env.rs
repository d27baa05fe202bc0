//! What a map makes of a file's metadata: a config, as JSON.
//!
//! Expressions see each key of the file without the architecture before its name (`<attention.head_count>`); `greatest.` before it is the
//! greatest of a list, `tensors.NAME` a tensor's shape, `rows.NAME` its rows, `tokens` how many the tokenizer has. What isn't there is null.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::contents::{Contents, Datum, Metadatum};
use crate::catalog::{GgufMap, HubRules, KeyFormula, KeyValue};
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::expr::{EvalError, Exact, Name, Value, eval, json_of};

/// The key under which a file says what it is.
const ARCHITECTURE: &str = "general.architecture";

/// A tree of values by the parts of their names.
#[derive(Default)]
struct Tree {
    value: Option<Value>,
    children: Vec<(Arc<str>, Tree)>,
}

impl Tree {
    fn put(&mut self, path: &str, value: Value) {
        let mut here = self;
        for part in path.split('.') {
            let at = here.children.iter().position(|(name, _)| **name == *part).unwrap_or_else(|| {
                here.children.push((part.into(), Tree::default()));
                here.children.len() - 1
            });
            let Some((_, child)) = here.children.get_mut(at) else { return };
            here = child;
        }
        // Of two of a name the first counts.
        here.value.get_or_insert(value);
    }

    /// What has both a value and others below it is the others: no key of a map asks for such a value.
    fn value(self) -> Value {
        if self.children.is_empty() {
            return self.value.unwrap_or(Value::Null);
        }
        Value::Object(self.children.into_iter().map(|(name, child)| (name, child.value())).collect())
    }
}

fn value(datum: &Datum) -> Value {
    match datum {
        Datum::Bool(flag) => Value::Bool(*flag),
        Datum::Integer(n) => Value::Number(Exact::integer(*n)),
        Datum::Float(x) => Exact::parse(&x.to_string()).map_or(Value::Null, Value::Number),
        Datum::Text(text) => Value::Text(text.clone()),
        Datum::List { items, .. } => Value::List(items.iter().map(value).collect()),
    }
}

/// A list as its greatest number.
fn greatest(datum: &Datum) -> Value {
    match datum {
        Datum::List { items, .. } => {
            let numbers = items.iter().filter_map(|item| value(item).as_number());
            numbers.reduce(|a, b| if b > a { b } else { a }).map_or(Value::Null, Value::Number)
        }
        other => value(other),
    }
}

/// The values that expressions see.
struct Env {
    keys: Value,
    greatest: Value,
    tensors: Value,
    rows: Value,
    tokens: Value,
}

impl Env {
    fn of(contents: &Contents, architecture: &str) -> Self {
        let prefix = format!("{architecture}.");
        let (mut keys, mut most) = (Tree::default(), Tree::default());
        for Metadatum { key, value: datum } in &contents.metadata {
            if let Some(name) = key.strip_prefix(&prefix) {
                keys.put(name, value(datum));
                most.put(name, greatest(datum));
            }
        }
        let (mut tensors, mut rows) = (Tree::default(), Tree::default());
        // Of a block one is enough: expressions ask for the first.
        let first = |name: &str| super::names::pattern(name).1.iter().all(|n| *n == 0);
        for tensor in contents.tensors.iter().filter(|tensor| first(&tensor.name)) {
            let Some(shape) = &tensor.shape else { continue };
            tensors.put(&tensor.name, Value::List(shape.iter().map(|dim| Value::count(*dim)).collect()));
            rows.put(&tensor.name, shape.first().map_or(Value::Null, |n| Value::count(*n)));
        }
        let tokens = match contents.get("tokenizer.ggml.tokens") {
            Some(Datum::List { len, .. }) => Value::count(*len),
            _ => Value::Null,
        };
        Env { keys: keys.value(), greatest: most.value(), tensors: tensors.value(), rows: rows.value(), tokens }
    }

    fn get(&self, name: &Name) -> Value {
        match &*name.text {
            "greatest" => self.greatest.clone(),
            "tensors" => self.tensors.clone(),
            "rows" => self.rows.clone(),
            "tokens" => self.tokens.clone(),
            key => match &self.keys {
                Value::Object(members) => {
                    members.iter().find(|(known, _)| **known == *key).map_or(Value::Null, |(_, value)| value.clone())
                }
                _ => Value::Null,
            },
        }
    }

    fn eval(&self, formula: &KeyFormula) -> Result<Value, EvalError> {
        eval(&formula.expr, &|name: &Name| Ok(self.get(name)), 0)
    }
}

/// The config that a map makes of a file: its `model_type`, its keys, its name.
///
/// # Errors
/// An expression that has no value of this file: something that it needs isn't there, or of another kind.
pub fn mapped_config(contents: &Contents, map: &GgufMap) -> Result<Map<String, Json>, Box<Diagnostic>> {
    let architecture = contents.text(ARCHITECTURE).cloned().unwrap_or_default();
    let env = Env::of(contents, &architecture);
    let mut config = Map::new();
    let said = |key: &str, formula: &KeyFormula| {
        env.eval(formula).map_err(|error| {
            let message = format!("the file doesn't say `{key}` of a model: {error}, in `{}`", formula.text);
            Diagnostic::new(Code::UnmappedCheckpoint, message).boxed()
        })
    };
    if let Some(formula) = &map.model_type {
        config.insert("model_type".to_owned(), json_of(&said("model_type", formula)?));
    }
    if let Some(formula) = &map.class {
        config.insert("architectures".to_owned(), Json::Array(vec![json_of(&said("architectures", formula)?)]));
    }
    if let Some(name) = contents.text("general.name") {
        config.insert("_name_or_path".to_owned(), json!(&**name));
    }
    for (key, value) in &map.config {
        let value = match value {
            KeyValue::Formula(formula) => said(key, formula)?,
            KeyValue::Data(value) => value.clone(),
        };
        config.insert(key.to_string(), json_of(&value));
    }
    Ok(config)
}

/// The config that the shapes of a file's tensors mean: what they say, null left out; and the keys among those that were guessed.
#[must_use]
pub fn sized_config(contents: &Contents, rules: &[HubRules]) -> (Map<String, Json>, Vec<Arc<str>>) {
    let (mut rows, mut cols) = (Tree::default(), Tree::default());
    let (mut blocks, mut experts) = (0u64, 0u64);
    for tensor in &contents.tensors {
        let numbers = super::names::pattern(&tensor.name).1;
        blocks = blocks.max(numbers.first().map_or(0, |n| n.saturating_add(1)));
        experts = experts.max(numbers.get(1).map_or(0, |n| n.saturating_add(1)));
        if let (Some(shape), true) = (&tensor.shape, numbers.iter().all(|n| *n == 0)) {
            rows.put(&tensor.name, shape.first().map_or(Value::Null, |n| Value::count(*n)));
            cols.put(&tensor.name, shape.get(1).map_or(Value::Null, |n| Value::count(*n)));
        }
    }
    let (rows, cols) = (rows.value(), cols.value());
    let mut known: Vec<(Arc<str>, Value)> = Vec::new();
    for (key, formula) in rules.iter().flat_map(|rules| &rules.sizes) {
        let env = |name: &Name| {
            Ok(match &*name.text {
                "rows" => rows.clone(),
                "cols" => cols.clone(),
                "blocks" => Value::count(blocks),
                "experts" => Value::count(experts),
                key => known.iter().find(|(known, _)| **known == *key).map_or(Value::Null, |(_, value)| value.clone()),
            })
        };
        // What can't be had is what the file doesn't say.
        let value = eval(&formula.expr, &env, 0).unwrap_or(Value::Null);
        known.push((key.clone(), value));
    }
    let config: Map<String, Json> =
        known.iter().filter(|(_, value)| *value != Value::Null).map(|(key, value)| (key.to_string(), json_of(value))).collect();
    let guessed = rules.iter().flat_map(|rules| &rules.guessed).filter(|key| config.contains_key(&***key)).cloned().collect();
    (config, guessed)
}

/// The number of the first block of a file that is a draft part's and not the model's. `None`: there is none.
#[must_use]
pub fn draft_from(contents: &Contents, map: &GgufMap) -> Option<u64> {
    let architecture = contents.text(ARCHITECTURE)?;
    Env::of(contents, architecture).eval(map.draft_from.as_ref()?).ok()?.as_u64()
}
