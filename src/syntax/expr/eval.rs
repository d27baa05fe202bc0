//! Evaluates expressions over exact values.

use std::fmt;
use std::sync::Arc;

use super::{BinaryOp, Exact, Expr, Function, UnaryOp, Value};
use crate::quantity::multiply;
use crate::syntax::diag::Code;

/// What an evaluation runs into.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EvalError {
    DivisionByZero,
    Overflow,
    /// What the operation wanted and what it got.
    Type {
        operation: Arc<str>,
        expected: &'static str,
        found: Value,
    },
    /// An index and how many items there are.
    OutOfRange {
        index: Value,
        length: usize,
    },
    TooDeep,
    /// What has grown beyond all measure.
    TooLarge(&'static str),
    /// A name that isn't in scope.
    Unknown(Arc<str>),
    /// It was said already.
    Reported,
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvalError::DivisionByZero => write!(f, "a division by zero"),
            EvalError::Overflow => write!(f, "a number beyond 128 bits"),
            EvalError::Type { operation, expected, found } => {
                let kind = match found {
                    Value::Null | Value::Bool(_) => "",
                    Value::Number(_) => "the number ",
                    Value::Text(_) => "the text ",
                    Value::List(_) => "the list ",
                    Value::Object(_) => "the object ",
                };
                write!(f, "{operation} wants {expected}, found {kind}{found}")
            }
            EvalError::OutOfRange { index: Value::Null, .. } => write!(f, "an empty list has no last item"),
            EvalError::OutOfRange { index, length } => {
                write!(f, "there is no item {index} among {length}, counted from 0")
            }
            EvalError::Unknown(name) => write!(f, "unknown variable `{name}`"),
            EvalError::TooLarge(what) => write!(f, "{what}"),
            EvalError::TooDeep => write!(f, "too long a chain of variables"),
            EvalError::Reported => write!(f, "an error reported elsewhere"),
        }
    }
}

impl EvalError {
    /// The diagnostic that says so.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            EvalError::DivisionByZero => Code::DivisionByZero,
            EvalError::Overflow => Code::Overflow,
            EvalError::OutOfRange { .. } => Code::OutOfRange,
            EvalError::TooDeep => Code::EvaluationTooDeep,
            EvalError::TooLarge(_) => Code::ExpressionTooLarge,
            EvalError::Unknown(_) => Code::UnknownVariable,
            EvalError::Type { .. } | EvalError::Reported => Code::TypeMismatch,
        }
    }
}

fn type_error(operation: impl fmt::Display, expected: &'static str, found: &Value) -> EvalError {
    EvalError::Type { operation: operation.to_string().into(), expected, found: found.clone() }
}

/// What an operation is called in errors, which are rare: no text is made before there is one.
#[derive(Clone, Copy)]
struct Quoted(&'static str);

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// Gives variables their values.
pub trait Env<V> {
    /// `depth` counts the expressions around this one: a variable with a definition of its own evaluates it with that depth.
    ///
    /// # Errors
    /// What the variable's own definition runs into.
    fn value(&self, variable: &V, depth: u16) -> Result<Value, EvalError>;

    /// The variable's value where it is kept: nothing is copied then. `None`: ask for the value, which also says what is wrong.
    fn look(&self, _variable: &V, _depth: u16) -> Option<&Value> {
        None
    }
}

impl<V, F: Fn(&V) -> Result<Value, EvalError>> Env<V> for F {
    fn value(&self, variable: &V, _depth: u16) -> Result<Value, EvalError> {
        self(variable)
    }
}

/// How deep expressions and the definitions of their variables may be nested together: bounds the stack.
pub const MAX_EVAL_DEPTH: u16 = 300;

/// The value of an expression. `if`, `default`, `choose`, `&&` and `||` look only at what they need.
///
/// # Errors
/// The first [`EvalError`] met.
pub fn eval<V>(expr: &Expr<V>, env: &dyn Env<V>, depth: u16) -> Result<Value, EvalError> {
    let depth = depth + 1;
    if depth > MAX_EVAL_DEPTH {
        return Err(EvalError::TooDeep);
    }
    match expr {
        Expr::Const(value) => Ok(value.clone()),
        Expr::Var(variable) => env.value(variable, depth),
        Expr::Member(object, path) => member(eval(object, env, depth)?, path),
        Expr::Unary(op, operand) => apply_unary(*op, &eval(operand, env, depth)?),
        Expr::Binary(op @ (BinaryOp::And | BinaryOp::Or), pair) => {
            let first = condition(quoted(*op), &eval(&pair.0, env, depth)?)?;
            if first == (*op == BinaryOp::Or) {
                return Ok(Value::Bool(first));
            }
            condition(quoted(*op), &eval(&pair.1, env, depth)?).map(Value::Bool)
        }
        Expr::Binary(op, pair) => apply_binary(*op, &eval(&pair.0, env, depth)?, &eval(&pair.1, env, depth)?),
        Expr::Call(Function::If, args) => match args.as_slice() {
            [test, then, otherwise] => {
                let test = condition("`if`", &eval(test, env, depth)?)?;
                eval(if test { then } else { otherwise }, env, depth)
            }
            _ => Err(EvalError::Reported),
        },
        Expr::Call(Function::Default, args) => first_present(args, env, depth),
        Expr::Call(Function::Choose, args) => choose(args, env, depth),
        Expr::Call(function, args) => {
            let values: Vec<Value> = args.iter().map(|arg| eval(arg, env, depth)).collect::<Result<_, _>>()?;
            apply_function(*function, &values)
        }
        Expr::List(items) => items.iter().map(|item| eval(item, env, depth)).collect::<Result<_, _>>().map(Value::List),
        Expr::Fail(error) => Err(error.clone()),
    }
}

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

/// The value of a constant or a variable where it is kept.
fn seen<'e, V>(expr: &'e Expr<V>, env: &'e dyn Env<V>, depth: u16) -> Option<&'e Value> {
    match expr {
        Expr::Const(value) => Some(value),
        Expr::Var(variable) => env.look(variable, depth),
        _ => None,
    }
}

fn first_present<V>(args: &[Expr<V>], env: &dyn Env<V>, depth: u16) -> Result<Value, EvalError> {
    for arg in args {
        let value = eval(arg, env, depth)?;
        if value != Value::Null {
            return Ok(value);
        }
    }
    Ok(Value::Null)
}

fn choose<V>(args: &[Expr<V>], env: &dyn Env<V>, depth: u16) -> Result<Value, EvalError> {
    let Some((subject, rest)) = args.split_first() else {
        return Err(EvalError::Reported);
    };
    let subject = eval(subject, env, depth)?;
    let mut cases = rest.chunks(2);
    for case in &mut cases {
        match case {
            [key, result] if eval(key, env, depth)? == subject => {
                return eval(result, env, depth);
            }
            [otherwise] => return eval(otherwise, env, depth),
            _ => {}
        }
    }
    Err(EvalError::Reported)
}

/// A member of an object; through null or an absent member it is null.
///
/// # Errors
/// `Type` for a member of what is neither an object nor null.
pub fn member(mut value: Value, path: &[Arc<str>]) -> Result<Value, EvalError> {
    for key in path {
        value = match value {
            Value::Null => Value::Null,
            Value::Object(members) => {
                members.iter().find(|(name, _)| name == key).map_or(Value::Null, |(_, value)| value.clone())
            }
            other => return Err(type_error(format_args!("`.{key}`"), "an object", &other)),
        };
    }
    Ok(value)
}

fn quoted(op: BinaryOp) -> Quoted {
    Quoted(op.symbol())
}

fn condition(operation: impl fmt::Display, value: &Value) -> Result<bool, EvalError> {
    value.as_bool().ok_or_else(|| type_error(operation, "true or false", value))
}

fn number(operation: impl fmt::Display, value: &Value) -> Result<Exact, EvalError> {
    value.as_number().ok_or_else(|| type_error(operation, "a number", value))
}

fn checked(number: Option<Exact>) -> Result<Value, EvalError> {
    number.map(Value::Number).ok_or(EvalError::Overflow)
}

/// # Errors
/// `Type`, or `Overflow` for the negative of the least integer.
pub fn apply_unary(op: UnaryOp, value: &Value) -> Result<Value, EvalError> {
    match op {
        UnaryOp::Neg => checked(number("`-`", value)?.checked_neg()),
        UnaryOp::Not => condition("`!`", value).map(|b| Value::Bool(!b)),
    }
}

/// A binary operator on two values, both of which are looked at.
///
/// # Errors
/// `Type`, `Overflow`, `DivisionByZero`.
pub fn apply_binary(op: BinaryOp, a: &Value, b: &Value) -> Result<Value, EvalError> {
    if let (Value::Number(a), Value::Number(b)) = (a, b) {
        return arithmetic(op, *a, *b);
    }
    match op {
        BinaryOp::Eq => Ok(Value::Bool(a == b)),
        BinaryOp::Ne => Ok(Value::Bool(a != b)),
        BinaryOp::And | BinaryOp::Or => {
            let (a, b) = (condition(quoted(op), a)?, condition(quoted(op), b)?);
            Ok(Value::Bool(if op == BinaryOp::And { a && b } else { a || b }))
        }
        _ => {
            let found = if matches!(a, Value::Number(_)) { b } else { a };
            Err(type_error(quoted(op), "numbers", found))
        }
    }
}

fn arithmetic(op: BinaryOp, a: Exact, b: Exact) -> Result<Value, EvalError> {
    match op {
        BinaryOp::Add => checked(a.checked_add(b)),
        BinaryOp::Sub => checked(a.checked_sub(b)),
        BinaryOp::Mul => checked(a.checked_mul(b)),
        BinaryOp::Div | BinaryOp::Rem if b.is_zero() => Err(EvalError::DivisionByZero),
        BinaryOp::Div => checked(a.checked_div(b)),
        BinaryOp::Rem => checked(a.checked_rem(b)),
        BinaryOp::Pow => power(a, b),
        BinaryOp::Eq => Ok(Value::Bool(a == b)),
        BinaryOp::Ne => Ok(Value::Bool(a != b)),
        BinaryOp::Lt => Ok(Value::Bool(a < b)),
        BinaryOp::Le => Ok(Value::Bool(a <= b)),
        BinaryOp::Gt => Ok(Value::Bool(a > b)),
        BinaryOp::Ge => Ok(Value::Bool(a >= b)),
        BinaryOp::And | BinaryOp::Or => Err(type_error(quoted(op), "true or false", &Value::Number(a))),
    }
}

fn power(base: Exact, exponent: Exact) -> Result<Value, EvalError> {
    if !exponent.is_integer() {
        return Err(type_error("`^`", "an integer exponent", &Value::Number(exponent)));
    }
    if base.is_zero() && exponent < Exact::ZERO {
        return Err(EvalError::DivisionByZero);
    }
    checked(base.checked_pow(exponent))
}

/// A function all of whose arguments are looked at.
///
/// # Errors
/// `Type`, `Overflow`, `OutOfRange`, `DivisionByZero`.
pub fn apply_function(function: Function, args: &[Value]) -> Result<Value, EvalError> {
    let label = Quoted(function.name());
    match (function, args) {
        (Function::Min, args) => extreme(label, args, |a, b| a < b),
        (Function::Max, args) => extreme(label, args, |a, b| a > b),
        (Function::Abs, [x]) => checked(number(label, x)?.checked_abs()),
        (Function::Ceil, [x]) => checked(number(label, x)?.ceil()),
        (Function::Floor, [x]) => checked(number(label, x)?.floor()),
        (Function::At, [list, index]) => at(list, index),
        (Function::Len, [x]) => length(x).map(|n| Value::count(n as u64)).ok_or_else(|| type_error(label, "a list", x)),
        (Function::Contains, [list, x]) => contains(list, x),
        (Function::Last, [list]) => match list {
            Value::List(items) => items.last().cloned().ok_or(EvalError::OutOfRange { index: Value::Null, length: 0 }),
            other => Err(type_error(label, "a list", other)),
        },
        (Function::Product, [list]) => product(list),
        (Function::Product, [Value::List(items), n]) => {
            let first = number(label, n)?.to_count().and_then(|n| items.get(..usize::try_from(n).ok()?));
            product(&Value::List(first.ok_or(EvalError::OutOfRange { index: n.clone(), length: items.len() })?.into()))
        }
        (Function::Product, [other, _]) => Err(type_error(label, "a list", other)),
        (Function::Isqrt, [n]) => {
            let count = number(label, n)?.to_count().ok_or_else(|| type_error(label, "a non-negative integer", n))?;
            Exact::from_count(count.isqrt()).map(Value::Number).ok_or(EvalError::Overflow)
        }
        (Function::FloatProduct, [a, b]) => checked(number(label, a)?.double_product(number(label, b)?)),
        (Function::StartsWith, [Value::Text(text), Value::Text(prefix)]) => Ok(Value::Bool(text.starts_with(&**prefix))),
        (Function::StartsWith, [text, prefix]) => {
            Err(type_error(label, "two texts", if matches!(text, Value::Text(_)) { prefix } else { text }))
        }
        (Function::IsList, [x]) => Ok(Value::Bool(matches!(x, Value::List(_)))),
        (Function::IsText, [x]) => Ok(Value::Bool(matches!(x, Value::Text(_)))),
        (Function::FindLast, [list, x, before]) => find_last(list, x, before),
        (Function::ExpectedExperts, [experts, top_k, tokens]) => expected_experts(experts, top_k, tokens),
        (Function::ConvOut, [size, kernel, stride, padding, rest @ ..]) => {
            let dilation = rest.first().map_or(Ok(Exact::ONE), |d| number(label, d))?;
            conv_out(number(label, size)?, number(label, kernel)?, number(label, stride)?, number(label, padding)?, dilation)
        }
        // The lazy ones on evaluated arguments, which `specialise` needs.
        (Function::If, [Value::Bool(test), then, otherwise]) => Ok(if *test { then } else { otherwise }.clone()),
        _ => Err(EvalError::Reported),
    }
}

fn extreme(label: Quoted, args: &[Value], better: fn(Exact, Exact) -> bool) -> Result<Value, EvalError> {
    let mut best: Option<Exact> = None;
    for arg in args {
        let x = number(label, arg)?;
        if best.is_none_or(|b| better(x, b)) {
            best = Some(x);
        }
    }
    best.map(Value::Number).ok_or(EvalError::Reported)
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::List(items) => Some(items.len()),
        Value::Text(text) => Some(text.chars().count()),
        Value::Object(members) => Some(members.len()),
        _ => None,
    }
}

fn find_last(list: &Value, x: &Value, before: &Value) -> Result<Value, EvalError> {
    let before = number("`before` of `find_last`", before)?.to_count().and_then(|n| usize::try_from(n).ok());
    let before = before.unwrap_or(usize::MAX);
    let (found, length) = match (list, x) {
        (Value::List(items), _) => {
            let end = before.min(items.len());
            (items.iter().take(end).rposition(|item| item == x), end)
        }
        (Value::Text(text), _) => {
            let is_x = |c: char| matches!(x, Value::Text(x) if x.chars().eq([c]));
            let first = text.chars().take(before);
            let (mut found, mut length) = (None, 0);
            for (at, c) in first.enumerate() {
                length = at + 1;
                if is_x(c) {
                    found = Some(at);
                }
            }
            (found, length)
        }
        (other, _) => return Err(type_error("`find_last`", "a list or a text", other)),
    };
    found.map(|at| Value::count(at as u64)).ok_or_else(|| EvalError::OutOfRange { index: x.clone(), length })
}

/// E (1 - (1 - k/E)^tokens), rounded to a millionth: in fixed point, so that it is the same on every machine. Some fifty products are each off by
/// 2^-124 at the most, which (1 - k/E)^tokens multiplies by at most E/k: before it is rounded the result is off by less than 50 E^2 2^-124, for
/// 2^32 experts 10^-16.
fn expected_experts(experts: &Value, top_k: &Value, tokens: &Value) -> Result<Value, EvalError> {
    const LABEL: &str = "`expected_experts`";
    const BITS: u32 = 124;
    const MILLION: u128 = 1_000_000;
    let count =
        |value: &Value| number(LABEL, value)?.to_count().ok_or_else(|| type_error(LABEL, "a non-negative integer", value));
    let (all, chosen, mut tokens_left) = (count(experts)?, count(top_k)?, count(tokens)?);
    if all == 0 || all > 1 << 32 || chosen > all {
        return Err(type_error(LABEL, "1 to 2^32 experts, of which no more are chosen", top_k));
    }
    // The probability that none of the tokens is routed to an expert, in units of 2^-124; the quotient in two halves, as 156 bits are no number.
    let (others, half) = ((all - chosen) << (BITS / 2), BITS / 2);
    let (mut missed, mut power) = (1u128 << BITS, ((others / all) << half) + ((others % all) << half) / all);
    while tokens_left > 0 {
        if tokens_left & 1 == 1 {
            missed = wide_product(missed, power, BITS, 0);
        }
        power = wide_product(power, power, BITS, 0);
        tokens_left >>= 1;
    }
    let idle = wide_product(all * MILLION, missed, BITS, 1 << (BITS - 1));
    let expected = (all * MILLION).saturating_sub(idle);
    let expected = Exact::from_count(expected).and_then(|n| n.checked_div(Exact::from_count(MILLION)?));
    expected.map(Value::Number).ok_or(EvalError::Overflow)
}

/// (a b + more) / 2^bits, whole: of factors whose product has 256 bits, and a quotient of no more than 128.
fn wide_product(a: u128, b: u128, bits: u32, more: u128) -> u128 {
    let halves = |n: u128| (n >> 64, n & u128::from(u64::MAX));
    let ((a1, a0), (b1, b0)) = (halves(a), halves(b));
    let (low, middle) = (a0 * b0, halves(a0 * b1));
    let (other, carried) = (halves(a1 * b0), (low >> 64));
    let (carry, mid) = halves(middle.1 + other.1 + carried);
    let (low, over) = ((mid << 64) | (low & u128::from(u64::MAX))).overflowing_add(more);
    let high = a1 * b1 + middle.0 + other.0 + carry + u128::from(over);
    (high << (128 - bits)) | (low >> bits)
}

fn at(list: &Value, index: &Value) -> Result<Value, EvalError> {
    if let (Value::Object(_), Value::Text(key)) = (list, index) {
        return member(list.clone(), std::slice::from_ref(key));
    }
    if let (Value::Object(members), Value::Number(index)) = (list, index) {
        return Ok(numbered(members, *index).unwrap_or(Value::Null));
    }
    let Some(length) = length(list) else {
        return Err(type_error("`at`", "a list, a text or an object", list));
    };
    let position = number("the index of `at`", index)?.to_count().and_then(|n| usize::try_from(n).ok());
    let found = position.and_then(|i| match list {
        Value::List(items) => items.get(i).cloned(),
        Value::Text(text) => text.chars().nth(i).map(|c| Value::text(c.encode_utf8(&mut [0; 4]))),
        _ => None,
    });
    found.ok_or_else(|| EvalError::OutOfRange { index: index.clone(), length })
}

/// The member whose key is this number, zeros before it or not.
fn numbered(members: &[(Arc<str>, Value)], index: Exact) -> Option<Value> {
    let index = index.to_count()?;
    let is_it = |key: &str| key.bytes().all(|c| c.is_ascii_digit()) && key.parse() == Ok(index);
    members.iter().find(|(key, _)| is_it(key)).map(|(_, value)| value.clone())
}

fn contains(list: &Value, x: &Value) -> Result<Value, EvalError> {
    match (list, x) {
        (Value::List(items), x) => Ok(Value::Bool(items.contains(x))),
        (Value::Text(text), Value::Text(part)) => Ok(Value::Bool(text.contains(&**part))),
        (Value::Object(members), Value::Text(key)) => Ok(Value::Bool(members.iter().any(|(name, _)| name == key))),
        (Value::Object(members), Value::Number(x)) => Ok(Value::Bool(numbered(members, *x).is_some())),
        (Value::Text(_) | Value::Object(_), x) => Err(type_error("`contains`", "a text to look for", x)),
        (other, _) => Err(type_error("`contains`", "a list, a text or an object", other)),
    }
}

fn product(list: &Value) -> Result<Value, EvalError> {
    let Value::List(items) = list else {
        return Err(type_error("`product`", "a list", list));
    };
    let mut result = Exact::ONE;
    for item in items.iter() {
        result = result.checked_mul(number("`product`", item)?).ok_or(EvalError::Overflow)?;
    }
    Ok(Value::Number(result))
}

/// floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1, as torch.nn.Conv2d documents its output shape.
fn conv_out(size: Exact, kernel: Exact, stride: Exact, padding: Exact, dilation: Exact) -> Result<Value, EvalError> {
    if stride.is_zero() {
        return Err(EvalError::DivisionByZero);
    }
    let result = || {
        let padded = size.checked_add(padding.checked_mul(Exact::integer(2))?)?;
        let reach = dilation.checked_mul(kernel.checked_sub(Exact::ONE)?)?.checked_add(Exact::ONE)?;
        padded.checked_sub(reach)?.checked_div(stride)?.floor()?.checked_add(Exact::ONE)
    };
    checked(result())
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
    fn the_short_ways_give_what_evaluation_gives() {
        let env = Kept(vec![("h", Value::count(768)), ("n", Value::Null), ("t", Value::text("flash")), ("b", Value::Bool(true))]);
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
