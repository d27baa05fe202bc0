//! What a map makes of a file's metadata: a config, as JSON.
//!
//! Expressions see each key of the file without the architecture before its name (`<attention.head_count>`); `greatest.` before it is the
//! greatest of a list, `tensors.NAME` a tensor's shape, `rows.NAME` its rows, `tokens` how many the tokenizer has. Items of lists with one for each
//! layer see `layer` and, as `block.NAME`, the tensors of its block. What isn't there is null.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::contents::{Contents, Datum, Metadatum};
use crate::catalog::{ConfigValue, Each, GgufMap, KeyFormula};
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::expr::{EvalError, Exact, Name, Value, eval, json_of};

/// The key under which a file says what it is.
pub const ARCHITECTURE: &str = "general.architecture";

/// A name has so many parts at the most that are looked at one by one: those that maps ask for have six.
const MOST_PARTS: usize = 8;

/// A tree of values by the parts of their names.
#[derive(Default)]
struct Tree {
    value: Option<Value>,
    children: BTreeMap<Arc<str>, Tree>,
}

impl Tree {
    fn put(&mut self, path: &str, value: Value) {
        let here = path.splitn(MOST_PARTS, '.').fold(self, |here, part| here.children.entry(part.into()).or_default());
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
struct Env<'c> {
    contents: &'c Contents,
    keys: Value,
    greatest: Value,
    tensors: Value,
    rows: Value,
    tokens: Value,
    /// The tensors of each block by its number; made when they are first asked for.
    blocks: OnceCell<BTreeMap<u64, Value>>,
    /// The number of a layer and the tensors of its block, where there is one.
    layer: Option<(u64, Value)>,
}

/// The tensors of each block by its number. `blk` is what llama.cpp calls it in decoders, and no other name is asked for by layers.
fn blocks(contents: &Contents) -> BTreeMap<u64, Value> {
    let mut blocks: BTreeMap<u64, Tree> = BTreeMap::new();
    for tensor in &contents.tensors {
        let place = tensor.name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
        let Some((Ok(number), name)) = place.map(|(number, name)| (number.parse::<u64>(), name)) else { continue };
        let Some(shape) = &tensor.shape else { continue };
        let shape = Value::List(shape.iter().map(|dim| Value::count(*dim)).collect());
        blocks.entry(number).or_default().put(name, shape);
    }
    blocks.into_iter().map(|(number, block)| (number, block.value())).collect()
}

impl<'c> Env<'c> {
    fn of(contents: &'c Contents) -> Self {
        let architecture = contents.text(ARCHITECTURE).map_or("", |text| text);
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
        let (keys, greatest, tensors, rows) = (keys.value(), most.value(), tensors.value(), rows.value());
        Env { contents, keys, greatest, tensors, rows, tokens, blocks: OnceCell::new(), layer: None }
    }

    /// What expressions see in a layer.
    fn at_layer(&mut self, number: u64) {
        let blocks = self.blocks.get_or_init(|| blocks(self.contents));
        self.layer = Some((number, blocks.get(&number).cloned().unwrap_or(Value::Null)));
    }

    fn get(&self, name: &Name) -> Value {
        match &*name.text {
            "greatest" => self.greatest.clone(),
            "tensors" => self.tensors.clone(),
            "rows" => self.rows.clone(),
            "tokens" => self.tokens.clone(),
            "layer" if self.layer.is_some() => self.layer.as_ref().map_or(Value::Null, |(number, _)| Value::count(*number)),
            "block" => self.layer.as_ref().map_or(Value::Null, |(_, block)| block.clone()),
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

/// A list with an item for each layer. `None`: how many there are isn't known, or more than any model has.
fn list(each: &Each, layers: Option<u64>, env: &mut Env<'_>) -> Result<Option<Value>, (EvalError, Arc<str>)> {
    let eval = |formula: &KeyFormula, env: &Env<'_>| env.eval(formula).map_err(|error| (error, formula.text.clone()));
    let holds = each.when.as_ref().map(|when| eval(when, env)).transpose()?;
    if holds.is_some_and(|holds| holds != Value::Bool(true)) {
        return Ok(Some(Value::Null));
    }
    let own = each.of.as_ref().map(|of| eval(of, env)).transpose()?;
    let count = own.map_or(layers, |own| own.as_u64());
    let Some(count) = count.filter(|count| *count <= Datum::MOST_ITEMS as u64) else { return Ok(None) };
    let mut items = Vec::new();
    for number in 0..count {
        env.at_layer(number);
        let item = eval(&each.item, env);
        env.layer = None;
        items.push(item?);
    }
    Ok(Some(Value::List(items.into())))
}

/// Puts a value under a key, in the object before its point if it has one: configs have few that are nested, and none deeper.
fn put(config: &mut Map<String, Json>, key: &str, value: Json) {
    let Some((object, key)) = key.split_once('.') else {
        config.insert(key.to_owned(), value);
        return;
    };
    let inner = config.entry(object).or_insert_with(|| Json::Object(Map::new()));
    if let Json::Object(inner) = inner {
        inner.insert(key.to_owned(), value);
    }
}

/// What a map makes of a file.
#[derive(Debug)]
pub struct Mapped {
    /// Its config.
    pub config: Map<String, Json>,
    /// The number of the first block that is a draft part's and not the model's. `None`: there is none.
    pub draft_from: Option<u64>,
    /// How many elements an output table has that is of the size of the embedding, of a model that usually has one for both. `None`: there is none.
    pub output_again: Option<u64>,
}

/// What a map makes of a file.
///
/// # Errors
/// An expression of the config has no value of this file: something that it needs isn't there, or of another kind.
pub fn mapped(contents: &Contents, map: &GgufMap) -> Result<Mapped, Box<Diagnostic>> {
    let mut env = Env::of(contents);
    let config = config(&mut env, map)?;
    let holds = |formula: &Option<KeyFormula>| env.eval(formula.as_ref()?).ok();
    let draft_from = holds(&map.draft_from).and_then(|number| number.as_u64());
    let is_usual = holds(&map.tied_if) == Some(Value::Bool(true));
    let output_again = if is_usual { output_again(contents) } else { None };
    Ok(Mapped { config, draft_from, output_again })
}

/// How many elements an output table has that is of the size of the embedding.
fn output_again(contents: &Contents) -> Option<u64> {
    let shape = |name: &str| contents.tensors.iter().find(|tensor| *tensor.name == *name);
    let (embedding, output) = (shape("token_embd.weight")?, shape("output.weight")?);
    if embedding.shape == output.shape { output.elements() } else { None }
}

/// The config that a map makes of a file: its `model_type`, its keys, its name.
fn config(env: &mut Env<'_>, map: &GgufMap) -> Result<Map<String, Json>, Box<Diagnostic>> {
    let mut config = Map::new();
    let unsaid = |key: &str, error: EvalError, text: &str| {
        let message = format!("the file doesn't say `{key}` of a model: {error}, in `{text}`");
        Diagnostic::new(Code::UnmappedCheckpoint, message).boxed()
    };
    let said =
        |key: &str, formula: &KeyFormula, env: &Env<'_>| env.eval(formula).map_err(|error| unsaid(key, error, &formula.text));
    if let Some(formula) = &map.model_type {
        config.insert("model_type".to_owned(), json_of(&said("model_type", formula, env)?));
    }
    if let Some(formula) = &map.class {
        config.insert("architectures".to_owned(), Json::Array(vec![json_of(&said("architectures", formula, env)?)]));
    }
    if let Some(name) = env.contents.text("general.name") {
        config.insert("_name_or_path".to_owned(), json!(&**name));
    }
    for (key, value) in &map.config {
        let value = match value {
            ConfigValue::Formula(formula) => said(key, formula, env)?,
            ConfigValue::Each(each) | ConfigValue::Any(each) => {
                let layers = config.get("num_hidden_layers").and_then(Json::as_u64);
                let list = list(each, layers, env).map_err(|(error, text)| unsaid(key, error, &text))?;
                let Some(list) = list else {
                    let message = format!("the file doesn't say how many layers `{key}` is of");
                    return Err(Diagnostic::new(Code::UnmappedCheckpoint, message).boxed());
                };
                match (value, list) {
                    (ConfigValue::Any(_), Value::List(items)) => Value::Bool(items.contains(&Value::Bool(true))),
                    (_, list) => list,
                }
            }
            ConfigValue::Data(value) => value.clone(),
        };
        put(&mut config, key, json_of(&value));
    }
    Ok(config)
}
