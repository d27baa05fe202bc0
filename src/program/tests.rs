//! The one evaluator in both domains, on random expressions.

use proptest::prelude::*;

use super::atoms::Atoms;
use super::domain::{Symbol, Symbols};
use crate::syntax::expr::{Domain, EvalError, Exact, Expr, Name, Syntax, Value, eval, eval_in, parse};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What a symbol is at a point. `Err`: beyond what is computed with. `None`: wrong.
fn at(symbol: &Symbol, atoms: &Atoms, point: &[u64]) -> Result<Option<Value>, ()> {
    let value = |poly| atoms.value(poly, point).ok_or(());
    Ok(Some(match symbol {
        Symbol::Plain(value) => value.clone(),
        Symbol::Number(poly) => Value::Number(value(poly)?),
        Symbol::Ratio(parts) => Value::Number(value(&parts.0)?.checked_div(value(&parts.1)?).ok_or(())?),
        Symbol::Truth(poly) => Value::Bool(!value(poly)?.is_zero()),
        Symbol::List(items) => {
            let items: Option<Vec<Value>> = items.iter().map(|item| at(item, atoms, point)).collect::<Result<_, _>>()?;
            match items {
                Some(items) => Value::List(items.into()),
                None => return Ok(None),
            }
        }
        Symbol::Choice(choice) => {
            let (test, then, otherwise) = &**choice;
            return at(if value(test)?.is_zero() { otherwise } else { then }, atoms, point);
        }
        Symbol::Fail(_) => return Ok(None),
    }))
}

fn number(n: u64) -> Value {
    Value::count(n)
}

/// Lists, texts and objects of which expressions take items: constant numbers, numbers and others, a text, keys that are numbers.
fn constant(name: &str) -> Option<Value> {
    let fraction = Value::Number(Exact::ratio(5, 2).unwrap());
    Some(match name {
        "l" => Value::List([number(3), number(1), number(4), fraction, number(9)].into()),
        "mixed" => Value::List([number(2), Value::Null, number(7)].into()),
        "text" => Value::text("0110"),
        "keys" => Value::Object([("1".into(), number(8)), ("x".into(), number(1)), ("03".into(), Value::Null)].into()),
        _ => return None,
    })
}

fn position(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| *known == name)
}

/// A name's value at a point: `m` is a list of variables.
fn plain_value(name: &str, point: &[u64]) -> Value {
    let variable = |name: &str| number(point[position(name).unwrap()]);
    match name {
        "m" => Value::List([variable("a"), number(5), variable("b")].into()),
        name => constant(name).unwrap_or_else(|| variable(name)),
    }
}

/// The same over all points.
fn symbolic_value(symbols: &Symbols, name: &str) -> Symbol {
    let variable = |name: &str| symbols.variable(u16::try_from(position(name).unwrap()).unwrap());
    match name {
        "m" => symbols.list(vec![variable("a"), Symbol::Plain(number(5)), variable("b")]),
        name => constant(name).map_or_else(|| variable(name), Symbol::Plain),
    }
}

/// Numbers over three variables, with everything that makes atoms.
fn numbers() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => prop::sample::select(&NAMES[..]).prop_map(|name| format!("<{name}>")),
        3 => (0u8..9).prop_map(|n| n.to_string()),
        1 => Just("null".to_owned()),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let two = (inner.clone(), inner.clone());
        let comparison = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
        let list = prop::sample::select(vec!["<l>", "<m>", "<mixed>", "<keys>", "<text>"]);
        let condition = prop_oneof![
            4 => (inner.clone(), comparison, inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            1 => (list.clone(), inner.clone()).prop_map(|(list, x)| format!("contains({list}, {x})")),
        ];
        prop_oneof![
            4 => (two.clone(), prop::sample::select(vec!["+", "-", "*"])).prop_map(|((a, b), op)| format!("({a}) {op} ({b})")),
            1 => (inner.clone(), 1u8..9).prop_map(|(a, n)| format!("({a}) / {n}")),
            1 => (inner.clone(), 1u8..9).prop_map(|(a, n)| format!("({a}) % {n}")),
            1 => (inner.clone(), 1u8..9).prop_map(|(a, n)| format!("floor(({a}) / {n})")),
            1 => (inner.clone(), 1u8..9).prop_map(|(a, n)| format!("ceil(({a}) / {n})")),
            2 => two.clone().prop_map(|(a, b)| format!("({a}) / ({b})")),
            1 => two.clone().prop_map(|(a, b)| format!("({a}) % ({b})")),
            1 => two.clone().prop_map(|(a, b)| format!("floor(({a}) / ({b}))")),
            1 => two.clone().prop_map(|(a, b)| format!("ceil(({a}) / ({b}))")),
            1 => two.clone().prop_map(|(a, b)| format!("min({a}, {b})")),
            1 => two.clone().prop_map(|(a, b)| format!("max({a}, {b}, 1)")),
            1 => two.clone().prop_map(|(a, b)| format!("default({a}, {b})")),
            1 => inner.clone().prop_map(|a| format!("abs({a})")),
            1 => inner.clone().prop_map(|a| format!("isqrt({a})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) ^ (({b}) % 5 - 1)")),
            1 => (2u8..4, inner.clone()).prop_map(|(n, a)| format!("{n} ^ ({a})")),
            1 => (list, inner.clone()).prop_map(|(list, x)| format!("at({list}, {x})")),
            1 => (prop::sample::select(vec!["<l>", "<m>", "<mixed>"]), inner.clone())
                .prop_map(|(list, n)| format!("product({list}, {n})")),
            1 => (prop::sample::select(vec!["<l>", "<m>", "<text>"]), two.clone())
                .prop_map(|(list, (x, n))| format!("find_last({list}, {x}, {n})")),
            1 => (inner.clone(), two.clone()).prop_map(|(a, (b, c))| format!("expected_experts({a}, {b}, {c})")),
            2 => (condition.clone(), two.clone()).prop_map(|(test, (a, b))| format!("if({test}, {a}, {b})")),
            1 => (condition.clone(), condition, two.clone())
                .prop_map(|(test, other, (a, b))| format!("if({test} && !({other}) || {test}, {a}, {b})")),
            1 => (inner.clone(), two.clone()).prop_map(|(x, (a, b))| format!("choose({x}, 1, {a}, <b>, {b}, 3)")),
            1 => (inner.clone(), 1u8..4, 1u8..4).prop_map(|(a, n, m)| format!("conv_out({a}, {n}, {m}, 1)")),
            1 => (inner, two).prop_map(|(a, (n, m))| format!("conv_out({a}, {n}, {m}, 1)")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// The one evaluator gives the same in both domains: at each point where it is within what is computed with. Where a guard fails, the other is
    /// wrong.
    #[test]
    fn both_domains_agree(text in numbers(), points in prop::collection::vec([0u64..40, 1u64..12, 0u64..3], 12)) {
        let expr: Expr<Name> = parse(&text, Syntax::Template).unwrap();
        let symbols = Symbols::new(&[0, 1, 0]);
        let symbol = eval_in(&symbols, &expr, &|name: &Name| Ok(symbolic_value(&symbols, &name.text)), 0);
        let is_formed = symbols.without_form().is_none();
        let state = symbols.0.borrow();
        for point in points {
            let plain = eval(&expr, &|name: &Name| Ok(plain_value(&name.text, &point)), 0);
            if plain == Err(EvalError::Overflow) {
                continue;
            }
            let guards: Option<Vec<Exact>> = state.guards.iter().map(|guard| state.atoms.value(guard, &point)).collect();
            let is_right = guards.map(|guards| guards.iter().all(|guard| *guard == Exact::ONE));
            match (&symbol, is_right) {
                (Ok(_), _) | (Err(_), _) if !is_formed => {}
                (Ok(symbol), Some(true)) => {
                    if let Ok(found) = at(symbol, &state.atoms, &point) {
                        prop_assert_eq!(found, plain.ok(), "{} at {:?}", text, point);
                    }
                }
                // All is wrong, wherever; or it is here.
                (Err(_), _) | (_, Some(false)) => prop_assert!(plain.is_err(), "{} at {:?} is {:?}", text, point, plain),
                (Ok(_), None) => {}
            }
        }
    }

    /// What is proved holds.
    #[test]
    fn what_is_proved_holds(text in numbers(), points in prop::collection::vec([0u64..400, 1u64..120, 0u64..30], 40)) {
        let expr: Expr<Name> = parse(&text, Syntax::Template).unwrap();
        let symbols = Symbols::new(&[0, 1, 0]);
        if let Ok(Symbol::Number(poly)) = eval_in(&symbols, &expr, &|name: &Name| Ok(symbolic_value(&symbols, &name.text)), 0) {
            let proved = symbols.with(|atoms| Some(atoms.is_never_negative(&poly))).unwrap();
            let state = symbols.0.borrow();
            for point in points.iter().filter(|_| proved) {
                prop_assert!(state.atoms.value(&poly, point).is_none_or(|value| value >= Exact::ZERO), "{} at {:?}", text, point);
            }
        }
    }
}

/// How many of the random expressions have a form: what has none isn't compared above.
#[test]
fn nearly_everything_has_a_form() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut without = Vec::new();
    for _ in 0..1000 {
        let text = numbers().new_tree(&mut runner).unwrap().current();
        let expr: Expr<Name> = parse(&text, Syntax::Template).unwrap();
        let symbols = Symbols::new(&[0, 1, 0]);
        let _ = eval_in(&symbols, &expr, &|name: &Name| Ok(symbolic_value(&symbols, &name.text)), 0);
        without.extend(symbols.without_form().map(|why| format!("{why}: {text}")));
    }
    assert!(without.len() < 20, "{}: {:#?}", without.len(), without.get(..5));
}
