//! The shorter ways to what nearly all formulas are: integers made of integers, and conditions on them.

use super::domain::{Env, MAX_EVAL_DEPTH};
use super::{BinaryOp, Exact, Expr, Function, UnaryOp, Value};
use crate::quantity::multiply;

/// The value of an expression if it is an integer and so is every part of it that is looked at: what [`eval`] gives, sooner. `None`: ask
/// `eval`, which also says what is wrong.
pub fn eval_integer<V>(expr: &Expr<V>, env: &dyn Env<V>, depth: u16) -> Option<i128> {
    let depth = depth + 1;
    if depth > MAX_EVAL_DEPTH {
        return None;
    }
    match expr {
        Expr::Const(_) | Expr::Var(_) => seen(expr, env, depth)?.as_number()?.to_integer(),
        Expr::Unary(UnaryOp::Neg, operand) => eval_integer(operand, env, depth)?.checked_neg(),
        Expr::Binary(BinaryOp::Add, pair) => eval_integer(&pair.0, env, depth)?.checked_add(eval_integer(&pair.1, env, depth)?),
        Expr::Binary(BinaryOp::Sub, pair) => eval_integer(&pair.0, env, depth)?.checked_sub(eval_integer(&pair.1, env, depth)?),
        Expr::Binary(BinaryOp::Mul, pair) => multiply(eval_integer(&pair.0, env, depth)?, eval_integer(&pair.1, env, depth)?),
        Expr::Binary(BinaryOp::Div, pair) => {
            let (a, b) = (eval_integer(&pair.0, env, depth)?, eval_integer(&pair.1, env, depth)?);
            (a.checked_rem(b)? == 0).then(|| a.checked_div(b)).flatten()
        }
        Expr::Binary(BinaryOp::Rem, pair) => {
            let (a, b) = (eval_integer(&pair.0, env, depth)?, eval_integer(&pair.1, env, depth)?);
            (b > 0).then(|| a.checked_rem_euclid(b)).flatten()
        }
        Expr::Call(Function::Min, args) => {
            args.iter().map(|arg| eval_integer(arg, env, depth)).reduce(|a, b| Some(a?.min(b?)))?
        }
        Expr::Call(Function::Max, args) => {
            args.iter().map(|arg| eval_integer(arg, env, depth)).reduce(|a, b| Some(a?.max(b?)))?
        }
        Expr::Call(Function::Product, args) => match args.as_slice() {
            [list] => match seen(list, env, depth)? {
                Value::List(items) => {
                    items.iter().try_fold(1, |product, item| multiply(product, item.as_number()?.to_integer()?))
                }
                _ => None,
            },
            _ => None,
        },
        Expr::Call(Function::If, args) => match args.as_slice() {
            [test, then, otherwise] => {
                let test = eval_condition(test, env, depth)?;
                eval_integer(if test { then } else { otherwise }, env, depth)
            }
            _ => None,
        },
        Expr::Call(Function::Default, args) => {
            for arg in args {
                match seen(arg, env, depth) {
                    Some(Value::Null) => {}
                    Some(value) => return value.as_number()?.to_integer(),
                    // An integer is not null.
                    None => return eval_integer(arg, env, depth),
                }
            }
            None
        }
        Expr::Call(function @ (Function::Floor | Function::Ceil), args) => match args.as_slice() {
            [Expr::Binary(BinaryOp::Div, pair)] => {
                let (a, b) = (eval_integer(&pair.0, env, depth)?, eval_integer(&pair.1, env, depth)?);
                let below = |a: i128| (b > 0).then(|| a.checked_div_euclid(b)).flatten();
                if *function == Function::Floor { below(a) } else { below(a.checked_neg()?)?.checked_neg() }
            }
            [arg] => eval_integer(arg, env, depth),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a condition holds, if all that it looks at is kept somewhere or an integer: what [`eval`] gives, sooner. `None`: ask `eval`.
pub fn eval_condition<V>(expr: &Expr<V>, env: &dyn Env<V>, depth: u16) -> Option<bool> {
    let depth = depth + 1;
    if depth > MAX_EVAL_DEPTH {
        return None;
    }
    let (op, pair) = match expr {
        Expr::Const(_) | Expr::Var(_) => return seen(expr, env, depth)?.as_bool(),
        Expr::Unary(UnaryOp::Not, operand) => return eval_condition(operand, env, depth).map(|holds| !holds),
        Expr::Binary(op, pair) => (op, pair),
        _ => return None,
    };
    let integers = || Some((eval_integer(&pair.0, env, depth)?, eval_integer(&pair.1, env, depth)?));
    let equal = || match (seen(&pair.0, env, depth), seen(&pair.1, env, depth)) {
        (Some(a), Some(b)) => Some(a == b),
        _ => integers().map(|(a, b)| a == b),
    };
    match op {
        BinaryOp::And => Some(eval_condition(&pair.0, env, depth)? && eval_condition(&pair.1, env, depth)?),
        BinaryOp::Or => Some(eval_condition(&pair.0, env, depth)? || eval_condition(&pair.1, env, depth)?),
        BinaryOp::Eq => equal(),
        BinaryOp::Ne => equal().map(|equal| !equal),
        BinaryOp::Lt => integers().map(|(a, b)| a < b),
        BinaryOp::Le => integers().map(|(a, b)| a <= b),
        BinaryOp::Gt => integers().map(|(a, b)| a > b),
        BinaryOp::Ge => integers().map(|(a, b)| a >= b),
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem | BinaryOp::Pow => None,
    }
}

/// The value of an expression that is a constant, a condition or made of integers: what [`eval`] gives, sooner. `None`: ask `eval`.
pub fn eval_short<V>(expr: &Expr<V>, env: &dyn Env<V>, depth: u16) -> Option<Value> {
    match expr {
        Expr::Const(value) => Some(value.clone()),
        Expr::Unary(UnaryOp::Not, _) => eval_condition(expr, env, depth).map(Value::Bool),
        Expr::Binary(op, _) if op.is_condition() => eval_condition(expr, env, depth).map(Value::Bool),
        _ => eval_integer(expr, env, depth).map(|n| Value::Number(Exact::integer(n))),
    }
}

/// The value of a constant or a variable where it is kept.
fn seen<'e, V>(expr: &'e Expr<V>, env: &'e dyn Env<V>, depth: u16) -> Option<&'e Value> {
    match expr {
        Expr::Const(value) => Some(value),
        Expr::Var(variable) => env.look(variable, depth),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::expr::{EvalError, Name, Syntax, eval, parse};

    /// An environment that keeps its values.
    struct Kept(Vec<(&'static str, Value)>);

    impl Env<Name> for Kept {
        fn value(&self, name: &Name, depth: u16) -> Result<Value, EvalError> {
            self.look(name, depth).cloned().ok_or(EvalError::Reported)
        }

        fn look(&self, name: &Name, _depth: u16) -> Option<&Value> {
            self.0.iter().find(|(known, _)| *known == &*name.text).map(|(_, value)| value)
        }
    }

    #[test]
    fn a_short_value_is_the_value() {
        let env = Kept(vec![("h", Value::count(768)), ("n", Value::Null), ("b", Value::Bool(true))]);
        for (text, is_short) in [
            ("null", true),
            ("'flash'", true),
            ("<h> > 5 && !<b>", true),
            ("!<b>", true),
            ("<h> * 2", true),
            ("<h>", true),
            ("<b>", false),
            ("<n>", false),
            ("<h> / 5", false),
            ("if(<b>, 'a', 'b')", false),
        ] {
            let expr = parse(text, Syntax::Template).unwrap();
            let short = eval_short(&expr, &env, 0);
            assert_eq!(short.is_some(), is_short, "{text}");
            assert!(short.is_none_or(|value| Ok(value) == eval(&expr, &env, 0)), "{text}");
        }
    }

    #[test]
    fn the_short_ways_give_what_evaluation_gives() {
        let env = Kept(vec![
            ("h", Value::count(768)),
            ("n", Value::Null),
            ("t", Value::text("flash")),
            ("b", Value::Bool(true)),
            ("l", Value::List([Value::count(3), Value::count(5)].into())),
        ]);
        let parsed = |text: &str| parse(text, Syntax::Template).unwrap();
        for (text, expected) in [
            ("2 * <h> - 1", Some(1535)),
            ("-<h> / 256", Some(-3)),
            ("<h> / 5", None),
            ("<h> / 5 * 5", None),
            ("<h> / 0", None),
            ("if(<h> > 700 && <b>, max(<h>, 2, 3), 1 / 0)", Some(768)),
            ("min(7, <h>, 9 - 4)", Some(5)),
            ("default(<n>, <h>) + 1", Some(769)),
            ("default(<n>, 1 + 1)", Some(2)),
            ("-<h> % 5", Some(2)),
            ("<h> % -5", None),
            ("floor(-<h> / 5)", Some(-154)),
            ("ceil(-<h> / 5)", Some(-153)),
            ("ceil(<h>) + floor(<h> / 5) + ceil(<h> / 256)", Some(924)),
            ("floor(<h> / 0)", None),
            ("floor(1.5)", None),
            ("<n> + 1", None),
            ("max(1, <n>)", None),
            ("170141183460469231731687303715884105727 + 1", None),
            ("product(<l>) * 2", Some(30)),
            ("product(<h>)", None),
            ("3", Some(3)),
            ("1.5 * 2", None),
        ] {
            let plain = eval(&parsed(text), &env, 0).ok().and_then(|value| value.as_number()).and_then(|n| n.to_integer());
            let found = eval_integer(&parsed(text), &env, 0);
            assert_eq!(found, expected, "{text}");
            assert!(found.is_none() || found == plain, "{text}: {found:?}, {plain:?}");
        }
        for (text, expected) in [
            ("<t> == 'flash' && <h> != 4", Some(true)),
            ("<h> / 2 >= 385 || !<b>", Some(false)),
            ("<n> == null", Some(true)),
            ("<h> == 1536 / 2", Some(true)),
            ("<h> == 1 / 3", None),
            ("<h> < <n>", None),
            ("<b> || 1 / 0 == 1", Some(true)),
            ("<t>", None),
        ] {
            let plain = eval(&parsed(text), &env, 0).ok().and_then(|value| value.as_bool());
            let found = eval_condition(&parsed(text), &env, 0);
            assert_eq!(found, expected, "{text}");
            assert!(found.is_none() || found == plain, "{text}: {found:?}, {plain:?}");
        }
    }
}
