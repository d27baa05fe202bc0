//! What expressions compute with.

use std::fmt;
use std::sync::Arc;

use super::Exact;
use crate::syntax::json::{Json, Node};

/// A value: data, never a template.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// No value, which is a value.
    Null,
    /// True or false.
    Bool(bool),
    /// An exact number.
    Number(Exact),
    /// A text.
    Text(Arc<str>),
    /// Values in an order.
    List(Arc<[Value]>),
    /// Members in the order in which they were written.
    Object(Arc<[(Arc<str>, Value)]>),
}

/// The most values in one list or object, those inside it included.
pub const MOST_VALUES: u64 = 1_000_000;

impl Value {
    /// How many values this is, itself and those inside it; no more than `limit` are counted.
    #[must_use]
    pub fn size(&self, limit: u64) -> u64 {
        let inside: &mut dyn Iterator<Item = &Value> = match self {
            Value::List(items) => &mut items.iter(),
            Value::Object(members) => &mut members.iter().map(|(_, value)| value),
            _ => return 1,
        };
        let mut count = 1u64;
        for value in inside {
            if count >= limit {
                return limit;
            }
            count = count.saturating_add(value.size(limit - count));
        }
        count
    }

    /// A count as a value.
    #[must_use]
    pub fn count(n: u64) -> Self {
        Value::Number(Exact::integer(i128::from(n)))
    }

    /// A text as a value.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Value::Text(text.into())
    }

    /// The number that it is, if it is one.
    #[must_use]
    pub fn as_number(&self) -> Option<Exact> {
        match self {
            Value::Number(n) => Some(*n),
            _ => None,
        }
    }

    /// The truth value that it is, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// "a number", "true or false", ...: for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }

    /// As it is shown, a number never cut.
    #[must_use]
    pub fn uncut(&self) -> String {
        self.as_number().map_or_else(|| self.to_string(), Exact::uncut)
    }

    /// The whole number of 64 bits that it is, if it is one.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        u64::try_from(self.as_number()?.to_count()?).ok()
    }

    /// A value as it is written on a command line: JSON where it reads as such, else a text. `None` if a number leaves 128 bits.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(json) => Value::from_json(&json),
            Err(_) => Some(Value::text(text)),
        }
    }

    /// The value of JSON data, as `--set` and configs give it: texts stay texts. `None` if a number leaves 128 bits.
    #[must_use]
    pub fn from_json(json: &serde_json::Value) -> Option<Self> {
        Some(match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(b) => Value::Bool(*b),
            serde_json::Value::Number(n) => Value::Number(Exact::parse(&n.to_string())?),
            serde_json::Value::String(s) => Value::text(s),
            serde_json::Value::Array(items) => Value::List(items.iter().map(Value::from_json).collect::<Option<_>>()?),
            serde_json::Value::Object(members) => Value::Object(
                members.iter().map(|(k, v)| Some((k.as_str().into(), Value::from_json(v)?))).collect::<Option<_>>()?,
            ),
        })
    }
}

impl From<Exact> for Value {
    fn from(n: Exact) -> Self {
        Value::Number(n)
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Value::count(n)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::text(text)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}

impl fmt::Display for Value {
    /// As one would write it in an expression; long lists, objects and texts are cut, and so are those deep inside others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl Value {
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        const SHOWN: usize = 6;
        const DEEPEST: usize = 3;
        match self {
            Value::Null => write!(f, "null"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Number(n) => write!(f, "{n}"),
            Value::Text(t) if t.chars().nth(60).is_some() => {
                write!(f, "'{}...'", t.chars().take(60).collect::<String>())
            }
            Value::Text(t) => write!(f, "'{t}'"),
            Value::List(_) if depth == DEEPEST => write!(f, "[...]"),
            Value::Object(_) if depth == DEEPEST => write!(f, "{{...}}"),
            Value::List(items) => {
                write!(f, "[")?;
                for (i, item) in items.iter().take(SHOWN).enumerate() {
                    write!(f, "{}", if i > 0 { ", " } else { "" })?;
                    item.write(f, depth + 1)?;
                }
                write!(f, "{}]", if items.len() > SHOWN { ", ..." } else { "" })
            }
            Value::Object(members) => {
                write!(f, "{{")?;
                for (i, (key, value)) in members.iter().take(SHOWN).enumerate() {
                    write!(f, "{}{key}: ", if i > 0 { ", " } else { "" })?;
                    value.write(f, depth + 1)?;
                }
                write!(f, "{}}}", if members.len() > SHOWN { ", ..." } else { "" })
            }
        }
    }
}

/// The value of a JSON node as data: texts stay texts. A number beyond 128 bits stays the text that it is: nothing computes with it.
#[must_use]
pub fn value_of(node: &Node) -> Value {
    match &node.json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(text) => Exact::parse(text).map_or_else(|| Value::Text(text.clone()), Value::Number),
        Json::Text(text) => Value::Text(text.value.clone()),
        Json::List(items) => Value::List(items.iter().map(value_of).collect()),
        Json::Object(members) => Value::Object(members.iter().map(|m| (m.key.clone(), value_of(&m.value))).collect()),
    }
}

/// A value as JSON; numbers keep their digits.
#[must_use]
pub fn json_of(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(flag) => serde_json::json!(flag),
        Value::Number(n) => match n.to_integer() {
            Some(integer) => serde_json::json!(integer),
            // The shortest decimal of a double is the one that the config had.
            None => serde_json::json!(n.to_f64()),
        },
        Value::Text(text) => serde_json::json!(&**text),
        Value::List(items) => serde_json::Value::Array(items.iter().map(json_of).collect()),
        Value::Object(members) => {
            serde_json::Value::Object(members.iter().map(|(key, value)| (key.to_string(), json_of(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_keep_their_digits_in_json() {
        for text in ["0", "-3", "40000000000000000000000000", "-170141183460469231731687303715884105728", "9007199254740993"] {
            let value = Value::Number(Exact::parse(text).unwrap());
            assert_eq!(json_of(&value).to_string(), text);
            assert_eq!(Value::from_json(&json_of(&value)), Some(value));
        }
        assert_eq!(json_of(&Value::Number(Exact::ratio(1, 2).unwrap())).to_string(), "0.5");
    }
}
