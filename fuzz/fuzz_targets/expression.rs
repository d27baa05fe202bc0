//! Any text as an expression: parsed and evaluated, or refused at a place in it.
#![no_main]

use std::sync::LazyLock;

use layerspec::{Expression, Session, Value};
use libfuzzer_sys::fuzz_target;

static SESSION: LazyLock<Session> = LazyLock::new(Session::new);

fuzz_target!(|text: &str| {
    for read in [Expression::parse, Expression::formula] {
        match read(text) {
            Ok(expression) => {
                let _ = expression.evaluate(&|name| {
                    Some(match name {
                        "h" => Value::count(768),
                        "l" => Value::List([Value::count(3), Value::count(4)].into()),
                        "t" => Value::text("full_attention"),
                        "o" => Value::Object([("a".into(), Value::count(5))].into()),
                        _ => Value::Null,
                    })
                });
                let _ = expression.to_string();
            }
            Err(error) => assert!(text.get(error.range.clone().unwrap()).is_some(), "{error:?}"),
        }
    }
    // As a name, it is a text with expressions in it.
    let named = serde_json::json!({ "layers": [{ "name": text, "class": "SiLU", "parameters": { "features": 1 } }] });
    let _ = SESSION.read("name.json", named.to_string());
});
