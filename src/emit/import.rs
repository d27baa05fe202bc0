//! A config as a model file of its family: its name, the family, and what the config says of the family's variables.

use serde_json::{Map, Value as Json, json};

use crate::language::checkpoint::{DTYPE_KEYS, QUANTIZATION_KEYS, says_of_weights};
use crate::syntax::expr::{Value, json_of, value_of};
use crate::syntax::spec::{Datum, Family, Given, GivenValue, Model};

/// The model file that means the same as the config from which a model was made by a family; `name` in place of one that the config lacks.
#[must_use]
pub fn import_family(model: &Model, family: Option<&Family>, name: Option<&str>) -> Json {
    let default_head = family.and_then(|family| family.default_head.as_ref()).map(|head| &*head.value);
    let mut out = Map::new();
    if let Some(name) = model.name.as_ref().map(|name| &*name.value).or(name) {
        out.insert("name".to_owned(), json!(name));
    }
    if let Some(family) = &model.family {
        out.insert("family".to_owned(), json!(&*family.value));
    }
    if let Some(head) = model.head.as_ref().filter(|head| Some(&*head.value) != default_head) {
        out.insert("head".to_owned(), json!(&*head.value));
    }
    if model.draft.is_some() {
        out.insert("draft".to_owned(), json!(true));
    }
    let mut variables = given(model);
    // An inner config that is the document itself gets a place of its own.
    for ((_, inner), nested) in model.nested.iter().zip(family.iter().flat_map(|family| &family.nested)) {
        let mut names: Vec<std::sync::Arc<str>> = Vec::new();
        if let Datum::Template(template) = &nested.config.datum {
            template.expr.for_each_variable(&mut |name| names.push(name.text.clone()));
        }
        let place = names.iter().find(|name| model.variables.iter().any(|v| v.name.value == **name));
        if let (true, Some(place)) = (inner.span == model.span, place) {
            let mut values = given(inner);
            if let Some(family) = &inner.family {
                values.insert("model_type".to_owned(), json!(&*family.value));
            }
            variables.insert(place.to_string(), Json::Object(values));
        }
    }
    out.insert("variables".to_owned(), Json::Object(variables));
    let document = model.builtins.iter().find(|(name, _)| *name == "config").map(|(_, value)| value);
    let checkpoint = document.map(checkpoint).unwrap_or_default();
    if !checkpoint.is_empty() {
        out.insert("checkpoint".to_owned(), Json::Object(checkpoint));
    }
    Json::Object(out)
}

/// What a model file says beside its layers, where these are written out: the name, where figures come from, what the checkpoint says.
#[must_use]
pub fn heading(model: &Model, name: Option<&str>) -> Map<String, Json> {
    let mut out = Map::new();
    if let Some(name) = model.name.as_ref().map(|name| &*name.value).or(name) {
        out.insert("name".to_owned(), json!(name));
    }
    if let Some(source) = &model.source {
        out.insert("source".to_owned(), json!(&**source));
    }
    if !model.partial.is_empty() {
        out.insert("partial".to_owned(), json!(model.partial));
    }
    let document = model.builtins.iter().find(|(name, _)| *name == "config").map(|(_, value)| value);
    let said = match &model.checkpoint {
        Some(node) => json_of(&value_of(node)),
        None => Json::Object(document.map(checkpoint).unwrap_or_default()),
    };
    if said.as_object().is_some_and(|said| !said.is_empty()) {
        out.insert("checkpoint".to_owned(), said);
    }
    out
}

/// What a config says of its family's variables.
fn given(model: &Model) -> Map<String, Json> {
    let data = |given: &Given| match &given.value {
        GivenValue::Data(value) => Some((given.name.to_string(), json_of(value))),
        GivenValue::Attr(_) => None,
    };
    model.given.iter().filter_map(data).collect()
}

/// What a config, or one inside it, says of the weights.
fn checkpoint(document: &Value) -> Map<String, Json> {
    let Value::Object(members) = document else { return Map::new() };
    let inner = members.iter().filter_map(|(_, value)| if let Value::Object(inner) = value { Some(inner) } else { None });
    let places: Vec<_> = std::iter::once(members).chain(inner).collect();
    let mut out = Map::new();
    let mut say = |name: &str, keys: &[&str]| {
        let find = |(key, value): &(std::sync::Arc<str>, Value)| {
            (keys.contains(&&**key) && *value != Value::Null).then(|| json_of(value))
        };
        if let Some(value) = places.iter().find_map(|members| members.iter().find_map(find)) {
            out.insert(name.to_owned(), value);
        }
    };
    say("dtype", &DTYPE_KEYS);
    QUANTIZATION_KEYS.iter().for_each(|key| say(key, &[key]));
    let other = |key: &str| says_of_weights(key) && !DTYPE_KEYS.contains(&key) && !QUANTIZATION_KEYS.contains(&key);
    let others = places.iter().flat_map(|members| members.iter()).map(|(key, _)| &**key).filter(|key| other(key));
    others.for_each(|key| say(key, &[key]));
    out
}
