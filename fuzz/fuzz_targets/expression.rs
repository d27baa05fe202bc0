//! Any text as an expression: parsed and evaluated, or refused at a place in it.
#![no_main]

use layerspec::syntax::expr::{Name, Syntax, Value, eval, interpolate, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = interpolate(text);
    for syntax in [Syntax::Template, Syntax::Formula] {
        match parse(text, syntax) {
            Ok(expr) => {
                let env = |name: &Name| {
                    Ok(match &*name.text {
                        "h" => Value::count(768),
                        "l" => Value::List([Value::count(3), Value::count(4)].into()),
                        "t" => Value::text("full_attention"),
                        "o" => Value::Object([("a".into(), Value::count(5))].into()),
                        _ => Value::Null,
                    })
                };
                let _ = eval(&expr, &env, 0);
                let _ = expr.render(&|name: &Name| format!("<{}>", name.text));
            }
            Err(error) => assert!(text.get(error.range.clone()).is_some(), "{error:?}"),
        }
    }
});
