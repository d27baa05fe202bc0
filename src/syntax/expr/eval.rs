//! Evaluates expressions: which operation comes when, and which operand isn't looked at.

use super::apply::quoted;
use super::domain::{Domain, Env, MAX_EVAL_DEPTH, Plain};
use super::error::EvalError;
use super::{BinaryOp, Expr, Function, Value};

/// The value of an expression. `if`, `default`, `choose`, `&&` and `||` look only at what they need.
///
/// # Errors
/// The first [`EvalError`] met.
pub fn eval<V>(expr: &Expr<V>, env: &dyn Env<V>, depth: u16) -> Result<Value, EvalError> {
    eval_in(&Plain, expr, env, depth)
}

/// The value of an expression in a domain. Where a condition is undecided, both of what it chooses from are looked at.
///
/// # Errors
/// The first [`EvalError`] met.
pub fn eval_in<V, D: Domain>(domain: &D, expr: &Expr<V>, env: &dyn Env<V, D>, depth: u16) -> Result<D::Value, EvalError> {
    let depth = depth + 1;
    if depth > MAX_EVAL_DEPTH {
        return Err(EvalError::TooDeep);
    }
    let value = |expr: &Expr<V>| eval_in(domain, expr, env, depth);
    match expr {
        Expr::Const(value) => Ok(domain.constant(value)),
        Expr::Var(variable) => env.value(variable, depth),
        Expr::Member(object, path) => domain.member(value(object)?, path),
        Expr::Unary(op, operand) => domain.unary(*op, &value(operand)?),
        Expr::Binary(op @ (BinaryOp::And | BinaryOp::Or), pair) => {
            let first = domain.truth(quoted(*op), &value(&pair.0)?)?;
            let decides = *op == BinaryOp::Or;
            let second = || Ok(domain.of_truth(domain.truth(quoted(*op), &value(&pair.1)?)?));
            let short = || Ok(domain.constant(&Value::Bool(decides)));
            match domain.decided(&first) {
                Some(known) if known == decides => short(),
                Some(_) => second(),
                None if decides => domain.select(&first, short(), domain.within(&first, false, second)),
                None => domain.select(&first, domain.within(&first, true, second), short()),
            }
        }
        Expr::Binary(op, pair) => domain.binary(*op, &value(&pair.0)?, &value(&pair.1)?),
        Expr::Call(Function::If, args) => match args.as_slice() {
            [test, then, otherwise] => {
                let test = domain.truth("`if`", &value(test)?)?;
                match domain.decided(&test) {
                    Some(true) => value(then),
                    Some(false) => value(otherwise),
                    None => {
                        let then = domain.within(&test, true, || value(then));
                        domain.select(&test, then, domain.within(&test, false, || value(otherwise)))
                    }
                }
            }
            _ => Err(EvalError::Reported),
        },
        Expr::Call(Function::Default, args) => first_present(domain, args, &value),
        Expr::Call(Function::Choose, args) => choose(domain, args, &value),
        Expr::Call(function, args) => {
            let values: Vec<D::Value> = args.iter().map(value).collect::<Result<_, _>>()?;
            domain.call(*function, &values)
        }
        Expr::List(items) => items.iter().map(value).collect::<Result<_, _>>().map(|items| domain.list(items)),
        Expr::Fail(error) => Err(error.clone()),
    }
}

type Found<D> = Result<<D as Domain>::Value, EvalError>;

fn first_present<V, D: Domain>(domain: &D, args: &[Expr<V>], value: &dyn Fn(&Expr<V>) -> Found<D>) -> Found<D> {
    let Some((first, rest)) = args.split_first() else { return Ok(domain.constant(&Value::Null)) };
    let first = value(first)?;
    let is_present = domain.is_present(&first);
    match domain.decided(&is_present) {
        Some(true) => Ok(first),
        Some(false) => first_present(domain, rest, value),
        None => {
            let rest = domain.within(&is_present, false, || first_present(domain, rest, value));
            domain.select(&is_present, Ok(first), rest)
        }
    }
}

fn choose<V, D: Domain>(domain: &D, args: &[Expr<V>], value: &dyn Fn(&Expr<V>) -> Found<D>) -> Found<D> {
    let Some((subject, cases)) = args.split_first() else {
        return Err(EvalError::Reported);
    };
    chosen(domain, &value(subject)?, cases, value)
}

/// Of pairs of a key and a result, and one more that no key has, the result of the first key that is the subject.
fn chosen<V, D: Domain>(domain: &D, subject: &D::Value, cases: &[Expr<V>], value: &dyn Fn(&Expr<V>) -> Found<D>) -> Found<D> {
    match cases {
        [] => Err(EvalError::Reported),
        [otherwise] => value(otherwise),
        [key, result, rest @ ..] => {
            let is_it = domain.equal(&value(key)?, subject);
            match domain.decided(&is_it) {
                Some(true) => value(result),
                Some(false) => chosen(domain, subject, rest, value),
                None => {
                    let result = domain.within(&is_it, true, || value(result));
                    let rest = domain.within(&is_it, false, || chosen(domain, subject, rest, value));
                    domain.select(&is_it, result, rest)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::expr::{Name, Syntax, parse};

    fn value(text: &str) -> Result<Value, EvalError> {
        let expr = parse(text, Syntax::Template).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let env = |name: &Name| {
            Ok(match &*name.text {
                "h" => Value::count(768),
                "n" => Value::Null,
                "l" => Value::List([Value::count(3), Value::count(4)].into()),
                "t" => Value::text("full_attention"),
                "o" => Value::Object([("a".into(), Value::count(5)), ("07".into(), Value::count(6))].into()),
                "p" => Value::Object(
                    [("a".into(), Value::count(5)), ("05".into(), Value::count(7)), ("11".into(), Value::count(9))].into(),
                ),
                other => panic!("{other}"),
            })
        };
        eval(&expr, &env, 0)
    }

    fn shown(text: &str) -> String {
        value(text).map_or_else(|e| format!("{e}"), |v| v.to_string())
    }

    #[test]
    fn precedence_is_the_usual() {
        for (text, expected) in [
            ("1 + 2 * 3", "7"),
            ("(1 + 2) * 3", "9"),
            ("-2 ^ 2", "-4"),
            ("2 ^ -1 * 4", "2"),
            ("2 * -3", "-6"),
            ("7 - 2 - 1", "4"),
            ("8 / 2 / 2", "2"),
            ("7 % 4 * 2", "6"),
            ("1 + 1 == 2 && 3 > 2", "true"),
            ("true || false && false", "true"),
            ("!(1 > 2)", "true"),
            ("!false && true", "true"),
            ("1 - -1", "2"),
            ("--3", "3"),
            ("2 ^ 3 * 2", "16"),
            ("2 * 2 ^ 3", "16"),
            ("-3 + 5", "2"),
            ("- 3 * 2 + 1", "-5"),
            ("{h} - <h>", "0"),
            ("<h> <1000", "true"),
            ("1 <<h>", "true"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn functions_and_laziness() {
        for (text, expected) in [
            ("if(<n> == null, 1, <n> + 1)", "1"),
            ("<n> == null || <n> > 3", "true"),
            ("default(<n>, <o.b>, <o.a>, 1 / 0)", "5"),
            ("choose(<t>, 'full_attention', 1, 'sliding_attention', 1 / 0, 3)", "1"),
            ("choose('x', 'y', 1, 2)", "2"),
            ("at(<l>, 1)", "4"),
            ("at(<t>, 0)", "'f'"),
            ("at(<o>, 'a') + at(<o>, 7)", "11"),
            ("at(<o>, 0) == null && at(<o>, 'b') == null", "true"),
            ("at(<l>, 2)", "there is no item 2 among 2, counted from 0"),
            ("at(<l>, 0.5)", "there is no item 0.5 among 2, counted from 0"),
            ("len(<t>) + len(<l>)", "16"),
            ("contains(<t>, 'full') && contains(<l>, 3)", "true"),
            ("at(<p>, 5) + at(<p>, 11)", "16"),
            ("contains(<p>, 5) && !contains(<p>, 1)", "true"),
            ("last(<l>) * product(<l>)", "48"),
            ("starts_with(<t>, 'full')", "true"),
            ("is_list(<l>)", "true"),
            ("is_text('a')", "true"),
            ("is_text(<l>)", "false"),
            ("conv_out(224, 7, 2, 3)", "112"),
            ("conv_out(224, 3, 2, 1, 2)", "111"),
            ("min(3, 1, 2) + max(3, 1, 2) + abs(-4)", "8"),
            ("ceil(7 / 2) + floor(-7 / 2)", "0"),
            ("floor(float_product(1536, 5.833333333333333))", "8960"),
            ("floor(1536 * 5.833333333333333)", "8959"),
            ("floor(float_product(100, 0.29))", "28"),
            ("float_product(<h>, 0.5)", "384"),
            ("float_product(<n>, 2)", "`float_product` wants a number, found null"),
            ("1 / (1 - 1)", "a division by zero"),
            ("<n> + 1", "`+` wants numbers, found null"),
            ("<t> * 2", "`*` wants numbers, found the text 'full_attention'"),
            ("if(1, 2, 3)", "`if` wants true or false, found the number 1"),
            ("2 ^ 0.5", "`^` wants an integer exponent, found the number 0.5"),
            ("2 ^ 127", "a number beyond 128 bits"),
            ("0 ^ -1", "a division by zero"),
            ("<n.a.b>", "null"),
            ("<t.a>", "`.a` wants an object, found the text 'full_attention'"),
            ("9223372036854775808 - 9223372036854775807", "1"),
            ("7 / 2", "3.5"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_refused_says_why() {
        use crate::syntax::diag::Code;
        for (text, code) in [
            ("hidden_size * 2", Code::BareName),
            ("<h> * h", Code::BareName),
            ("<h * 2", Code::UnbalancedPlaceholder),
            ("h> * 2", Code::UnbalancedPlaceholder),
            ("{h * 2", Code::UnbalancedPlaceholder),
            ("<h> h2>", Code::UnbalancedPlaceholder),
            ("<h> <h>", Code::MalformedExpression),
            ("2 <h>", Code::MalformedExpression),
            ("<h> // 2", Code::MalformedExpression),
            ("<h> /* c */", Code::MalformedExpression),
            ("<h> = 2", Code::MalformedExpression),
            ("<h> += 2", Code::MalformedExpression),
            ("<h>; 2", Code::MalformedExpression),
            ("[1, 2]", Code::MalformedExpression),
            ("(1, 2)", Code::MalformedExpression),
            ("f(1)", Code::UnknownFunction),
            ("mix(1, 2)", Code::UnknownFunction),
            ("if(1, 2)", Code::WrongNumberOfArguments),
            ("floor()", Code::WrongNumberOfArguments),
            ("choose(1, 2, 3, 4, 5)", Code::WrongNumberOfArguments),
            ("2 ^ 3 ^ 2", Code::MalformedExpression),
            ("2 *", Code::MalformedExpression),
            ("* 2", Code::MalformedExpression),
            ("2 * * 2", Code::MalformedExpression),
            ("(2", Code::MalformedExpression),
            ("2)", Code::MalformedExpression),
            ("()", Code::MalformedExpression),
            ("max(1,)", Code::MalformedExpression),
            ("", Code::MalformedExpression),
            ("'a", Code::MalformedExpression),
            ("\"a\"", Code::MalformedExpression),
            ("1 & 2", Code::MalformedExpression),
            (".5", Code::MalformedExpression),
            ("1e99", Code::Overflow),
        ] {
            match parse(text, Syntax::Template) {
                Err(error) => assert_eq!(error.code, code, "{text}: {error:?}"),
                Ok(expr) => panic!("{text} parsed: {expr:?}"),
            }
        }
        assert_eq!(parse(&"(".repeat(4000), Syntax::Template).unwrap_err().code, Code::ExpressionTooLarge);
        assert_eq!(parse(&"-".repeat(4000), Syntax::Template).unwrap_err().code, Code::ExpressionTooLarge);
        assert_eq!(parse(&format!("1{}", "+1".repeat(300)), Syntax::Template).unwrap_err().code, Code::ExpressionTooLarge);
        assert_eq!(parse(&"1".repeat(5000), Syntax::Template).unwrap_err().code, Code::ExpressionTooLarge);
    }
}
