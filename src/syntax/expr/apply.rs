//! Operations on exact values.

use std::fmt;
use std::sync::Arc;

use super::error::{EvalError, Quoted};
use super::{BinaryOp, Exact, Function, UnaryOp, Value};

fn type_error(operation: impl fmt::Display, expected: &'static str, found: &Value) -> EvalError {
    EvalError::Type { operation: operation.to_string().into(), expected, found: found.clone() }
}

/// An operator in an error.
pub(super) fn quoted(op: BinaryOp) -> Quoted {
    Quoted(op.symbol())
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

pub(super) fn condition(operation: impl fmt::Display, value: &Value) -> Result<bool, EvalError> {
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

/// [`expected_millionths`] as a number.
fn expected_experts(experts: &Value, top_k: &Value, tokens: &Value) -> Result<Value, EvalError> {
    const LABEL: &str = "`expected_experts`";
    let count =
        |value: &Value| number(LABEL, value)?.to_count().ok_or_else(|| type_error(LABEL, "a non-negative integer", value));
    let (all, chosen, tokens) = (count(experts)?, count(top_k)?, count(tokens)?);
    let Some(expected) = expected_millionths(all, chosen, tokens) else {
        return Err(type_error(LABEL, "1 to 2^32 experts, of which no more are chosen", top_k));
    };
    let expected = Exact::from_count(expected).and_then(|n| n.checked_div(Exact::from_count(MILLION)?));
    expected.map(Value::Number).ok_or(EvalError::Overflow)
}

const MILLION: u128 = 1_000_000;

/// E (1 - (1 - k/E)^tokens) in millionths, rounded: in fixed point, so that it is the same on every machine. Some fifty products are each off by
/// 2^-124 at the most, which (1 - k/E)^tokens multiplies by at most E/k: before it is rounded the result is off by less than 50 E^2 2^-124, for
/// 2^32 experts 10^-16. `None`: there are no experts, or more than 2^32, or more are chosen than there are.
#[must_use]
pub fn expected_millionths(all: u128, chosen: u128, tokens: u128) -> Option<u128> {
    const BITS: u32 = 124;
    if all == 0 || all > 1 << 32 || chosen > all {
        return None;
    }
    let mut tokens_left = tokens;
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
    Some((all * MILLION).saturating_sub(idle))
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
