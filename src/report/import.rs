//! A config as a model file of its family: its name, the family, and what the config says of the family's variables.

use serde_json::{Map, Value as Json, json};

use crate::expr::Value;
use crate::spec::{GivenValue, Model};

/// The model file that means the same as the config from which a model was made; `name` in place of one that the config lacks.
#[must_use]
pub fn import_family(model: &Model, name: Option<&str>, default_head: Option<&str>) -> Json {
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
    let variables: Map<String, Json> = model
        .given
        .iter()
        .filter_map(|given| match &given.value {
            GivenValue::Data(value) => Some((given.name.to_string(), json_of(value))),
            GivenValue::Attr(_) => None,
        })
        .collect();
    out.insert("variables".to_owned(), Json::Object(variables));
    Json::Object(out)
}

/// A value as JSON; numbers keep their digits.
#[must_use]
pub fn json_of(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(flag) => json!(flag),
        Value::Number(n) => match n.to_count().and_then(|n| u64::try_from(n).ok()) {
            Some(count) => json!(count),
            // The shortest decimal of a double is the one that the config had.
            None => json!(n.to_f64()),
        },
        Value::Text(text) => json!(&**text),
        Value::List(items) => Json::Array(items.iter().map(json_of).collect()),
        Value::Object(members) => Json::Object(members.iter().map(|(key, value)| (key.to_string(), json_of(value))).collect()),
    }
}
