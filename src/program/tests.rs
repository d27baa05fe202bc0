//! The one evaluator in both domains, on random expressions.

use proptest::prelude::*;

use super::atoms::Atoms;
use super::domain::{Symbol, Symbols};
use crate::syntax::expr::{Exact, Expr, Name, Syntax, Value, eval, eval_in, parse};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// What a symbol is at a point. `None`: wrong.
fn at(symbol: &Symbol, atoms: &Atoms, point: &[u64]) -> Option<Value> {
    Some(match symbol {
        Symbol::Plain(value) => value.clone(),
        Symbol::Number(poly) => Value::Number(atoms.value(poly, point)?),
        Symbol::Truth(poly) => Value::Bool(!atoms.value(poly, point)?.is_zero()),
        Symbol::List(items) => Value::List(items.iter().map(|item| at(item, atoms, point)).collect::<Option<_>>()?),
        Symbol::Choice(choice) => {
            let (test, then, otherwise) = &**choice;
            at(if atoms.value(test, point)?.is_zero() { otherwise } else { then }, atoms, point)?
        }
        Symbol::Fail(_) => return None,
    })
}

/// Numbers over three variables, with everything that makes atoms.
fn numbers() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(&NAMES[..]).prop_map(|name| format!("<{name}>")),
        (0u8..9).prop_map(|n| n.to_string()),
        Just("null".to_owned()),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let two = (inner.clone(), inner.clone());
        let comparison = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
        let condition = (inner.clone(), comparison, inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})"));
        prop_oneof![
            (two.clone(), prop::sample::select(vec!["+", "-", "*"])).prop_map(|((a, b), op)| format!("({a}) {op} ({b})")),
            (inner.clone(), 1u8..9).prop_map(|(a, n)| format!("({a}) / {n}")),
            (inner.clone(), 1u8..9).prop_map(|(a, n)| format!("({a}) % {n}")),
            (inner.clone(), 1u8..9).prop_map(|(a, n)| format!("floor(({a}) / {n})")),
            (inner.clone(), 1u8..9).prop_map(|(a, n)| format!("ceil(({a}) / {n})")),
            two.clone().prop_map(|(a, b)| format!("min({a}, {b})")),
            two.clone().prop_map(|(a, b)| format!("max({a}, {b}, 1)")),
            two.clone().prop_map(|(a, b)| format!("default({a}, {b})")),
            inner.clone().prop_map(|a| format!("abs({a})")),
            (condition.clone(), two.clone()).prop_map(|(test, (a, b))| format!("if({test}, {a}, {b})")),
            (condition.clone(), condition, two.clone())
                .prop_map(|(test, other, (a, b))| format!("if({test} && !({other}) || {test}, {a}, {b})")),
            (inner.clone(), two).prop_map(|(x, (a, b))| format!("choose({x}, 1, {a}, <b>, {b}, 3)")),
            (inner, 1u8..4, 1u8..4).prop_map(|(a, n, m)| format!("conv_out({a}, {n}, {m}, 1)")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// The one evaluator gives the same in both domains: at each point where the symbol is right and within what is computed with.
    #[test]
    fn both_domains_agree(text in numbers(), points in prop::collection::vec([0u64..40, 1u64..12, 0u64..3], 12)) {
        let expr: Expr<Name> = parse(&text, Syntax::Template).unwrap();
        let symbols = Symbols::new(&[0, 1, 0]);
        let position = |name: &Name| NAMES.iter().position(|known| *known == &*name.text).unwrap();
        let env = |name: &Name| Ok(symbols.variable(u16::try_from(position(name)).unwrap()));
        let symbol = eval_in(&symbols, &expr, &env, 0);
        let is_formed = symbols.without_form().is_none();
        let state = symbols.0.borrow();
        for point in points {
            let plain = eval(&expr, &|name: &Name| Ok(Value::count(point[position(name)])), 0);
            let is_right = state.guards.iter().all(|guard| state.atoms.value(guard, &point) == Some(Exact::ONE));
            match &symbol {
                Ok(symbol) if is_right => prop_assert_eq!(at(symbol, &state.atoms, &point), plain.ok(), "{} at {:?}", text, point),
                // All is wrong, wherever.
                Err(_) if is_formed => prop_assert!(plain.is_err(), "{} at {:?} is {:?}", text, point, plain),
                _ => {}
            }
        }
    }

    /// What is proved holds.
    #[test]
    fn what_is_proved_holds(text in numbers(), points in prop::collection::vec([0u64..400, 1u64..120, 0u64..30], 40)) {
        let expr: Expr<Name> = parse(&text, Syntax::Template).unwrap();
        let symbols = Symbols::new(&[0, 1, 0]);
        let position = |name: &Name| NAMES.iter().position(|known| *known == &*name.text).unwrap();
        let env = |name: &Name| Ok(symbols.variable(u16::try_from(position(name)).unwrap()));
        if let Ok(Symbol::Number(poly)) = eval_in(&symbols, &expr, &env, 0) {
            let proved = symbols.with(|atoms| Some(atoms.is_never_negative(&poly))).unwrap();
            let state = symbols.0.borrow();
            for point in points.iter().filter(|_| proved) {
                prop_assert!(state.atoms.value(&poly, point).is_none_or(|value| value >= Exact::ZERO), "{} at {:?}", text, point);
            }
        }
    }
}
