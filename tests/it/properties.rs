//! What holds for any input: no panic, and expressions that have the value that the test computes.

use std::collections::HashMap;

use layerspec::{Exact, Expression, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::support::{SESSION, evaluate};

/// So many cases, times `PROPTEST_CASES` / 256 for a longer search. A failing input is printed; nothing is written beside the tests.
fn cases(n: u32) -> ProptestConfig {
    let base = ProptestConfig::default();
    ProptestConfig { cases: n * base.cases / 256, failure_persistence: None, ..base }
}

/// Takes bytes as a model; an answer or diagnostics that can be shown, nothing else.
fn survive(bytes: &[u8]) {
    let outcome = evaluate(&SESSION, "any.json", bytes, &Default::default());
    for diagnostic in outcome.diagnostics.sorted() {
        assert!(!outcome.shown(diagnostic, false).is_empty());
        assert!(!outcome.shown_json(diagnostic).is_empty());
    }
    if let Some(at) = outcome.value {
        at.instances().take(1000).for_each(|instance| assert!(!instance.path.is_empty()));
    }
}

// ---------------------------------------------------------------------------------------------------------------- any text

/// Pieces of which expressions are made, in no order.
fn expression_soup() -> impl Strategy<Value = String> {
    #[rustfmt::skip]
    let tokens = prop::sample::select(vec![
        "<h>", "{h}", "<h.a>", "h", "<", ">", "{", "}", "(", ")", ",", "+", "-", "*", "/", "%", "^", "==", "!=", "<=", ">=", "&&", "||", "!",
        "=", ";", "1", "0", "2.5", "1e9", "9223372036854775808", "'a'", "'", "\"", "null", "true", "if(", "default(", "choose(", "min(",
        "at(", "len(", "product(", "conv_out(", "floor(", " ", "\u{e9}", "\u{0}", "//", "[", "]", ".",
    ]);
    vec(tokens, 0..14).prop_map(|pieces| pieces.concat())
}

fn survive_expression(text: &str) {
    for read in [Expression::parse, Expression::formula] {
        match read(text) {
            Ok(expression) => {
                let _ = expression.evaluate(&|name| Some(if name == "h" { Value::count(7) } else { Value::Null }));
                let _ = expression.to_string();
            }
            Err(error) => {
                let range = error.range.clone().unwrap();
                assert!(text.get(range).is_some(), "{text:?}: {error:?}");
                assert!(!error.message.is_empty());
            }
        }
    }
    // As a name, it is a text with expressions in it.
    let named = json!({ "name": text, "class": "SiLU", "parameters": { "features": 1 } });
    survive(json!({ "variables": { "h": 3 }, "layers": [named] }).to_string().as_bytes());
}

/// JSON made of the words that model files are made of.
fn model_soup() -> impl Strategy<Value = Json> {
    #[rustfmt::skip]
    let keys = prop::sample::select(vec![
        "name", "inline", "class", "sub_layers", "use", "repeat", "parallel", "index", "calls", "when", "variables", "parameters", "weights",
        "inputs", "output", "hold", "tied_to", "layers", "workload", "classes", "blocks", "expect", "takes", "shape", "kind", "doc", "flops",
        "matmul", "features", "in_features", "out_features", "x", "layer", "points", "params", "max_position_embeddings", "seq_len",
    ]);
    #[rustfmt::skip]
    let texts = prop::sample::select(vec![
        "a", "b", "a.0", "", "Linear", "add", "mul", "kv_cache", "LayerNorm", "input", "input_ids", "<x>", "<x> + 1", "<layer>", "<layer> % 2 == 0",
        "<seq_len> * 2", "<y> / 0", "module", "function", "features * 2", "a<layer>", "{x}", "<x", "...", "required", "activation", "count", "\u{7}",
    ]);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        (-3i64..40).prop_map(|n| json!(n)),
        Just(json!(1_000_000_000_000_u64)),
        Just(json!(0.5)),
        texts.prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::Array),
            vec((keys.clone(), inner), 0..7).prop_map(|members| members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

/// A layer that is nearly right.
fn layer_soup() -> impl Strategy<Value = Json> {
    let basic = (0u8..4, model_soup()).prop_map(|(kind, any)| match kind {
        0 => json!({ "name": "a", "class": "Linear", "parameters": { "in_features": any, "out_features": 3 } }),
        1 => json!({ "name": "b", "class": "add", "parameters": { "features": 2 }, "inputs": any }),
        2 => json!({ "name": "c", "class": "mul", "parameters": { "features": "<x>" }, "calls": any, "weights": { "w": any } }),
        _ => any,
    });
    let key =
        prop::sample::select(vec!["repeat", "when", "calls", "variables", "tied_to", "inputs", "output", "name", "index", "use"]);
    basic.prop_recursive(3, 12, 4, move |inner| {
        (vec(inner, 0..4), key.clone(), model_soup()).prop_map(|(layers, key, any)| {
            let mut layer = json!({ "name": "d", "sub_layers": layers });
            layer[key] = any;
            layer
        })
    })
}

/// A model file with a few bytes changed.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let file = prop::sample::select(SESSION.catalog().models().iter().map(|f| f.text).collect::<Vec<_>>());
    // Digits only as single ones: a billion layers that use their index is a long wait, if not a wrong answer.
    let splice = prop::sample::select(vec![
        "", "\"", "{", "}", "[", "]", ",", ":", "<", ">", "null", "-", "0", "\\u0041", "(", " / 0", "'", "\u{e9}",
    ]);
    (file, vec((any::<prop::sample::Index>(), 0usize..12, splice), 1..3)).prop_map(|(text, edits)| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, cut, put) in edits {
            let at = at.index(bytes.len());
            let end = (at + cut).min(bytes.len());
            let put = if bytes[at.saturating_sub(1)..end].iter().any(u8::is_ascii_digit) && put == "0" { "" } else { put };
            bytes.splice(at..end, put.bytes());
        }
        bytes
    })
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn any_bytes_give_diagnostics_or_an_answer(bytes in vec(any::<u8>(), 0..200), text in ".{0,60}") {
        survive(&bytes);
        survive(text.as_bytes());
        survive(format!("{{\"layers\": {text}}}").as_bytes());
    }

    #[test]
    fn any_expression_gives_an_error_or_a_value(any in ".{0,60}", soup in expression_soup()) {
        survive_expression(&any);
        survive_expression(&soup);
        let layer = json!({ "name": "a", "class": "Linear", "parameters": { "in_features": soup, "out_features": 1 }, "when": any, "repeat": soup });
        survive(json!({ "variables": { "h": 3 }, "layers": [layer] }).to_string().as_bytes());
    }

    #[test]
    fn json_of_the_right_words_gives_diagnostics_or_an_answer(layers in vec(layer_soup(), 1..4), any in model_soup(), key in prop::sample::select(vec!["variables", "workload", "blocks", "classes", "expect", "inputs"])) {
        let mut model = json!({ "variables": { "x": 3 }, "layers": layers });
        model[key] = any;
        survive(model.to_string().as_bytes());
    }

    #[test]
    fn model_files_with_mistakes_give_diagnostics_or_an_answer(bytes in mutated()) {
        survive(&bytes);
    }
}

// -------------------------------------------------------------------------------------------------------------- expressions

/// An expression that this test evaluates by itself.
#[derive(Debug, Clone)]
enum Node {
    Number(i64),
    Variable(usize),
    Neg(Box<Node>),
    Binary(&'static str, Box<Node>, Box<Node>),
    /// To a small power.
    Power(Box<Node>, u32),
    If(Box<Test>, Box<Node>, Box<Node>),
    Call(&'static str, Vec<Node>),
}

#[derive(Debug, Clone)]
enum Test {
    Compare(&'static str, Node, Node),
    Not(Box<Test>),
    Both(&'static str, Box<Test>, Box<Test>),
}

/// `a / b`, not reduced.
type Fraction = (i128, i128);

const NAMES: [&str; 3] = ["x", "y", "z"];

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![(0i64..12).prop_map(Node::Number), (0usize..3).prop_map(Node::Variable)];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let pair = || (inner.clone(), inner.clone());
        let comparison = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
        let compare = || (comparison(), inner.clone(), inner.clone()).prop_map(|(op, a, b)| Test::Compare(op, a, b));
        let test = prop_oneof![
            compare(),
            compare().prop_map(|t| Test::Not(Box::new(t))),
            (prop::sample::select(vec!["&&", "||"]), compare(), compare()).prop_map(|(op, a, b)| Test::Both(op, Box::new(a), Box::new(b))),
        ];
        prop_oneof![
            6 => (prop::sample::select(vec!["+", "-", "*", "/", "%"]), pair()).prop_map(|(op, (a, b))| Node::Binary(op, Box::new(a), Box::new(b))),
            1 => inner.clone().prop_map(|a| Node::Neg(Box::new(a))),
            2 => (inner.clone(), 0u32..4).prop_map(|(a, n)| Node::Power(Box::new(a), n)),
            1 => (test, pair()).prop_map(|(t, (a, b))| Node::If(Box::new(t), Box::new(a), Box::new(b))),
            1 => (prop::sample::select(vec!["min", "max"]), vec(inner.clone(), 1..4)).prop_map(|(f, args)| Node::Call(f, args)),
            1 => (prop::sample::select(vec!["floor", "ceil", "abs"]), inner).prop_map(|(f, arg)| Node::Call(f, vec![arg])),
        ]
    })
}

impl Node {
    /// How tightly it binds: signs less than powers, more than products.
    fn strength(&self) -> u8 {
        match self {
            Node::Binary("+" | "-", ..) => 1,
            Node::Binary(..) => 2,
            Node::Neg(_) => 3,
            Node::Power(..) => 4,
            _ => 5,
        }
    }

    fn text(&self, out: &mut String) {
        match self {
            Node::Number(n) => out.push_str(&n.to_string()),
            Node::Variable(i) => out.push_str(&format!("<{}>", NAMES[*i])),
            Node::Neg(a) => {
                out.push('-');
                a.at_least(3, out);
            }
            Node::Binary(op, a, b) => {
                a.at_least(self.strength(), out);
                out.push_str(&format!(" {op} "));
                b.at_least(self.strength() + 1, out);
            }
            Node::Power(a, n) => {
                a.at_least(5, out);
                out.push_str(&format!("^{n}"));
            }
            Node::If(test, a, b) => {
                out.push_str("if(");
                test.text(out);
                out.push_str(", ");
                a.text(out);
                out.push_str(", ");
                b.text(out);
                out.push(')');
            }
            Node::Call(name, args) => {
                out.push_str(name);
                out.push('(');
                for (i, arg) in args.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    arg.text(out);
                }
                out.push(')');
            }
        }
    }

    /// In parentheses, if it binds less tightly than this.
    fn at_least(&self, strength: u8, out: &mut String) {
        let parentheses = self.strength() < strength;
        out.push_str(if parentheses { "(" } else { "" });
        self.text(out);
        out.push_str(if parentheses { ")" } else { "" });
    }

    /// `Err` for a division by zero, and beyond 128 bits (second).
    fn value(&self, variables: &[i64; 3]) -> Result<Fraction, bool> {
        let wide = |n: Option<i128>| n.ok_or(true);
        match self {
            Node::Number(n) => Ok((i128::from(*n), 1)),
            Node::Variable(i) => Ok((i128::from(variables[*i]), 1)),
            Node::Neg(a) => a.value(variables).map(|(n, d)| (-n, d)),
            Node::Binary(op, a, b) => {
                let ((a, b), (c, d)) = (a.value(variables)?, b.value(variables)?);
                if matches!(*op, "/" | "%") && c == 0 {
                    return Err(false);
                }
                let times = |x: i128, y: i128| wide(x.checked_mul(y));
                let (n, m) = match *op {
                    "+" => (wide(times(a, d)?.checked_add(times(c, b)?))?, times(b, d)?),
                    "-" => (wide(times(a, d)?.checked_sub(times(c, b)?))?, times(b, d)?),
                    "*" => (times(a, c)?, times(b, d)?),
                    "/" => (times(a, d)?, times(b, c)?),
                    // a / b and c / d over one denominator, then Python's remainder.
                    _ => (floored_remainder(times(a, d)?, times(c, b)?), times(b, d)?),
                };
                Ok(if m < 0 { (-n, -m) } else { (n, m) })
            }
            Node::Power(a, n) => {
                let (a, b) = a.value(variables)?;
                Ok((wide(a.checked_pow(*n))?, wide(b.checked_pow(*n))?))
            }
            Node::If(test, a, b) => if test.holds(variables)? { a } else { b }.value(variables),
            Node::Call("floor", args) => args[0].value(variables).map(|(n, d)| (n.div_euclid(d), 1)),
            Node::Call("ceil", args) => args[0].value(variables).map(|(n, d)| (-(-n).div_euclid(d), 1)),
            Node::Call("abs", args) => args[0].value(variables).map(|(n, d)| (n.abs(), d)),
            Node::Call(name, args) => {
                let mut best = args[0].value(variables)?;
                for arg in &args[1..] {
                    let next = arg.value(variables)?;
                    let less = compare(next, best)?.is_lt();
                    if less == (*name == "min") {
                        best = next;
                    }
                }
                Ok(best)
            }
        }
    }
}

fn floored_remainder(a: i128, b: i128) -> i128 {
    let r = a % b;
    if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
}

fn compare((a, b): Fraction, (c, d): Fraction) -> Result<std::cmp::Ordering, bool> {
    Ok(a.checked_mul(d).ok_or(true)?.cmp(&c.checked_mul(b).ok_or(true)?))
}

impl Test {
    fn text(&self, out: &mut String) {
        match self {
            Test::Compare(op, a, b) => {
                a.at_least(1, out);
                out.push_str(&format!(" {op} "));
                b.at_least(1, out);
            }
            Test::Not(inner) => {
                out.push_str("!(");
                inner.text(out);
                out.push(')');
            }
            Test::Both(op, a, b) => {
                a.text(out);
                out.push_str(&format!(" {op} "));
                b.text(out);
            }
        }
    }

    fn holds(&self, variables: &[i64; 3]) -> Result<bool, bool> {
        match self {
            Test::Compare(op, a, b) => {
                let order = compare(a.value(variables)?, b.value(variables)?)?;
                Ok(match *op {
                    "==" => order.is_eq(),
                    "!=" => order.is_ne(),
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
            Test::Not(inner) => inner.holds(variables).map(|b| !b),
            Test::Both("&&", a, b) => Ok(a.holds(variables)? && b.holds(variables)?),
            Test::Both(_, a, b) => Ok(a.holds(variables)? || b.holds(variables)?),
        }
    }
}

fn value(expression: &Expression, variables: &[i64; 3]) -> Option<Value> {
    let known: HashMap<&str, i64> = NAMES.into_iter().zip(*variables).collect();
    expression.evaluate(&|name| Some(Value::Number(Exact::integer(i128::from(known[name]))))).ok()
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn expressions_have_the_value_that_the_test_computes(node in node(), variables in [-9i64..20, -9i64..20, -9i64..20]) {
        let mut text = String::new();
        node.text(&mut text);
        let expr = Expression::parse(&text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let expected = match node.value(&variables) {
            Ok((n, d)) => Exact::ratio(n, d).map(Value::Number),
            Err(false) => None,
            // The test doesn't reduce its fractions, so it may leave 128 bits earlier.
            Err(true) => return Ok(()),
        };
        prop_assert_eq!(value(&expr, &variables), expected, "{} at {:?}", text, variables);
    }

    #[test]
    fn a_rendered_expression_means_the_same(node in node(), variables in [-9i64..20, -9i64..20, -9i64..20]) {
        let mut text = String::new();
        node.text(&mut text);
        let expr = Expression::parse(&text).unwrap();
        let rendered = expr.to_string();
        let again = Expression::parse(&rendered);
        prop_assert!(again.is_ok(), "{} rendered as {}", text, rendered);
        prop_assert_eq!(value(&again.unwrap(), &variables), value(&expr, &variables), "{} rendered as {}", text, rendered);

        // With the values put in, as `explain` shows it.
        let values: HashMap<&str, String> = NAMES.into_iter().zip(variables).map(|(name, value)| (name, value.to_string())).collect();
        let shown = expr.render(&|name| values[name].clone());
        let again = Expression::parse(&shown);
        prop_assert!(again.is_ok(), "{} shown as {}", text, shown);
        prop_assert_eq!(value(&again.unwrap(), &variables), value(&expr, &variables), "{} shown as {}", text, shown);
    }
}
