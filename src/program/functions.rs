//! Functions of the expression language where a workload changes their arguments.

use std::borrow::Cow;
use std::sync::Arc;

use super::domain::{Found, Symbol, Symbols, type_error};
use super::numbers::Fraction;
use super::poly::{Poly, gcd};
use crate::cost::counting::Counting;
use crate::syntax::expr::{BinaryOp, Domain, EvalError, Exact, Function, Value, apply_function};

/// Among how many things that are no constant numbers a number chooses.
const MOST_PICKED: usize = 64;

/// The most experts that `expected_experts` has a value for.
const MOST_EXPERTS: i128 = 1 << 32;

impl Symbols {
    /// A function of values none of which is a choice, all looked at.
    pub(super) fn apply(&self, function: Function, args: &[Symbol]) -> Found {
        let plain: Option<Vec<Value>> = args.iter().map(|arg| self.plain(arg).cloned()).collect();
        if let Some(plain) = plain {
            return apply_function(function, &plain).map(Symbol::Plain);
        }
        let number = |at: usize| {
            let value = args.get(at).and_then(Self::fraction_of);
            value.ok_or_else(|| type_error(function.name(), "a number"))
        };
        match (function, args) {
            (Function::Min | Function::Max, [first, rest @ ..]) => {
                number(0)?;
                rest.iter().try_fold(first.clone(), |best, next| self.extreme(function, &best, next))
            }
            (Function::Abs, [value]) => {
                let negative = self.binary(BinaryOp::Mul, value, &Symbol::Plain(Value::Number(Exact::integer(-1))))?;
                self.extreme(Function::Max, value, &negative)
            }
            (Function::Ceil, [value]) => self.ceil(value),
            (Function::Floor, [value]) => self.floor(value),
            (Function::Isqrt, [_]) => {
                let (count, is_count) = self.count_in(&number(0)?);
                let root = self.number("a root", |atoms| atoms.isqrt(&count));
                self.only_where(&is_count, root?, type_error("isqrt", "a non-negative integer"))
            }
            (Function::ConvOut, [size, kernel, stride, padding, rest @ ..]) => {
                let one = Symbol::Plain(Value::count(1));
                self.conv_out([size, kernel, stride, padding, rest.first().unwrap_or(&one)])
            }
            (Function::ExpectedExperts, [_, _, _]) => self.experts([&number(0)?, &number(1)?, &number(2)?]),
            (Function::Len, [Symbol::List(items)]) => Ok(Symbol::Plain(Value::count(items.len() as u64))),
            (Function::At, [list, at]) => self.at(list, at),
            (Function::Contains, [list, x]) => self.contains(list, x),
            (Function::Last, [Symbol::List(items)]) => {
                items.last().cloned().ok_or(EvalError::OutOfRange { index: Value::Null, length: 0 })
            }
            (Function::Product, [list]) => self.product_of(&self.list_of(list)?),
            (Function::Product, [list, _]) => {
                let (items, n) = (self.list_of(list)?, number(1)?);
                let mut products = vec![Symbol::Plain(Value::count(1))];
                for item in items.iter() {
                    let product = match products.last() {
                        Some(last) => self.binary(BinaryOp::Mul, last, item),
                        None => Ok(item.clone()),
                    };
                    // One that is wrong is so where as many are asked for.
                    products.push(product.unwrap_or_else(Symbol::Fail));
                }
                self.item_of(&products, &n)
            }
            (Function::FindLast, [list, x, before]) => self.find_last(list, x, before),
            (Function::IsList, [value]) => Ok(Symbol::Plain(Value::Bool(self.items(value).is_some()))),
            (Function::IsText, [_]) => Ok(Symbol::Plain(Value::Bool(false))),
            (Function::FloatProduct, [_, _]) => {
                number(0)?;
                number(1)?;
                Err(self.no_form("`float_product` of what a workload changes, which rounds as floats do"))
            }
            _ => Err(type_error(function.name(), "another kind of value")),
        }
    }

    /// The lesser or the greater of two numbers.
    fn extreme(&self, function: Function, a: &Symbol, b: &Symbol) -> Found {
        if let (Some(a), Some(b)) = (Self::poly_of(a), Self::poly_of(b)) {
            return self.number("an extreme", |atoms| match function {
                Function::Min => atoms.min(&a, &b),
                _ => atoms.max(&a, &b),
            });
        }
        let is_less = self.truth("an extreme", &self.binary(BinaryOp::Lt, a, b)?)?;
        let (then, otherwise) = if function == Function::Min { (a, b) } else { (b, a) };
        self.select(&is_less, Ok(then.clone()), Ok(otherwise.clone()))
    }

    /// floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1
    fn conv_out(&self, [size, kernel, stride, padding, dilation]: [&Symbol; 5]) -> Found {
        let number = |n: u64| Symbol::Plain(Value::count(n));
        let reach = self.binary(BinaryOp::Mul, dilation, &self.binary(BinaryOp::Sub, kernel, &number(1))?)?;
        let padded = self.binary(BinaryOp::Add, size, &self.binary(BinaryOp::Mul, &number(2), padding)?)?;
        let padded = self.binary(BinaryOp::Sub, &self.binary(BinaryOp::Sub, &padded, &reach)?, &number(1))?;
        let steps = self.lifted(&self.binary(BinaryOp::Div, &padded, stride)?, &|steps| self.floor(steps))?;
        self.binary(BinaryOp::Add, &steps, &number(1))
    }

    fn experts(&self, numbers: [&Fraction<'_>; 3]) -> Found {
        let [(experts, a), (chosen, b), (tokens, c)] = numbers.map(|number| self.count_in(number));
        let holds = self.poly("experts", |atoms| {
            let some = atoms.at_least_zero(&experts.minus(&Poly::integer(1))?)?;
            let enough = atoms.at_least_zero(&experts.minus(&chosen)?)?;
            let few = atoms.at_least_zero(&Poly::integer(MOST_EXPERTS).minus(&experts)?)?;
            [a, b, c, some, enough].iter().try_fold(few, |all, next| atoms.product(&all, next))
        });
        let expected = self.number("experts", |atoms| atoms.experts(&experts, &chosen, &tokens));
        self.only_where(&holds, expected?, type_error("expected_experts", "experts, of which no more are chosen"))
    }

    /// The items of a list, for a function of lists.
    fn list_of<'v>(&self, list: &'v Symbol) -> Result<Cow<'v, [Symbol]>, EvalError> {
        self.items(list).ok_or_else(|| type_error("a function", "a list"))
    }

    fn product_of(&self, items: &[Symbol]) -> Found {
        items.iter().try_fold(Symbol::Plain(Value::count(1)), |product, item| self.binary(BinaryOp::Mul, &product, item))
    }

    fn at(&self, list: &Symbol, at: &Symbol) -> Found {
        let place = || Self::fraction_of(at).ok_or_else(|| type_error("the index of `at`", "a number"));
        match list {
            Symbol::Plain(Value::Object(members)) => {
                let mut found = Ok(Symbol::Plain(Value::Null));
                let place = place()?;
                // The first whose key it is.
                let numbered: Vec<(i128, &Value)> =
                    members.iter().filter_map(|(key, value)| Some((key_of(key)?, value))).collect();
                for (key, value) in self.few(&numbered)?.iter().rev() {
                    found = self.select(&self.is_at(&place, *key), Ok(Symbol::Plain((*value).clone())), found);
                }
                found
            }
            Symbol::Plain(Value::Text(text)) => {
                let place = place()?;
                self.item_of(&letters(text), &place)
            }
            list => self.item_of(&self.list_of(list)?, &place()?),
        }
    }

    /// The item at a place.
    fn item_of(&self, items: &[Symbol], place: &Fraction<'_>) -> Found {
        let error = || EvalError::OutOfRange { index: Value::Null, length: items.len() };
        let (place, is_count) = self.count_in(place);
        let length = Poly::integer(i128::try_from(items.len()).unwrap_or(i128::MAX));
        let is_inside = self.poly("a condition", |atoms| {
            let inside = atoms.at_least_zero(&length.minus(&place)?.minus(&Poly::integer(1))?)?;
            atoms.product(&is_count, &inside)
        });
        if self.decided(&is_inside) == Some(false) {
            return Err(error());
        }
        let picked = match self.integers(items) {
            Some((integers, denominator)) => {
                self.number("an item of a list", |atoms| atoms.item(&integers, &place)?.times(Exact::ratio(1, denominator)?))
            }
            None => self.picked(items, &place),
        };
        self.select(&is_inside, picked, Err(error()))
    }

    /// Items that are constant numbers, as integers over one number. `None`: some aren't.
    fn integers(&self, items: &[Symbol]) -> Option<(Arc<[i128]>, i128)> {
        let numbers: Option<Vec<Exact>> = items.iter().map(|item| self.plain(item)?.as_number()).collect();
        let numbers = numbers?;
        let denominator = numbers.iter().try_fold(1i128, |all, number| {
            let (_, denominator) = number.parts();
            all.checked_div(gcd(all, denominator))?.checked_mul(denominator)
        })?;
        let whole = |number: Exact| number.checked_mul(Exact::integer(denominator))?.to_integer();
        Some((numbers.into_iter().map(whole).collect::<Option<_>>()?, denominator))
    }

    /// The item at a place that is within the list.
    fn picked(&self, items: &[Symbol], place: &Poly) -> Found {
        let place = Fraction::whole(Cow::Borrowed(place));
        let Some((last, rest)) = self.few(items)?.split_last() else { return Err(EvalError::Reported) };
        let found = |item: &Symbol| if let Symbol::Fail(error) = item { Err(error.clone()) } else { Ok(item.clone()) };
        rest.iter().enumerate().rev().fold(found(last), |others, (at, item)| {
            let is_it = self.is_at(&place, i128::try_from(at).unwrap_or(i128::MAX));
            self.select(&is_it, found(item), others)
        })
    }

    /// Things among which a number chooses, one by one.
    fn few<'i, T>(&self, items: &'i [T]) -> Result<&'i [T], EvalError> {
        if items.len() <= MOST_PICKED {
            Ok(items)
        } else {
            Err(self.no_form("a choice among more than 64 things by a number that a workload changes"))
        }
    }

    /// Whether a number is this one.
    fn is_at(&self, number: &Fraction<'_>, known: i128) -> Poly {
        self.equals(number, &Fraction::whole(Cow::Owned(Poly::integer(known))))
    }

    fn contains(&self, list: &Symbol, x: &Symbol) -> Found {
        let among = |truths: Vec<Poly>| {
            let any = |any: Poly, next: &Poly| self.poly("a condition", |atoms| atoms.either(&any, next));
            Ok(self.of_truth(truths.iter().fold(Poly::default(), any)))
        };
        match list {
            Symbol::Plain(Value::Object(members)) => {
                let number = Self::fraction_of(x).ok_or_else(|| type_error("contains", "a text to look for"))?;
                let keys: Vec<i128> = members.iter().filter_map(|(key, _)| key_of(key)).collect();
                among(self.few(&keys)?.iter().map(|key| self.is_at(&number, *key)).collect())
            }
            Symbol::Plain(Value::Text(_)) => Err(type_error("contains", "a text to look for")),
            list => {
                let items = self.list_of(list)?;
                among(self.few(&items)?.iter().map(|item| self.equal(item, x)).collect())
            }
        }
    }

    fn find_last(&self, list: &Symbol, x: &Symbol, before: &Symbol) -> Found {
        let before = Self::fraction_of(before).ok_or_else(|| type_error("find_last", "a number"))?;
        let items = match list {
            Symbol::Plain(Value::Text(text)) => Cow::Owned(letters(text)),
            list => self.list_of(list)?,
        };
        let (end, is_count) = self.count_in(&before);
        let mut found = Err(EvalError::OutOfRange { index: Value::Null, length: items.len() });
        for (at, item) in self.few(&items)?.iter().enumerate() {
            let place = Poly::integer(i128::try_from(at).unwrap_or(i128::MAX));
            let is_it = self.equal(item, x);
            // Before what is no count is everything.
            let is_here = self.poly("a condition", |atoms| {
                let is_before = atoms.at_least_zero(&end.minus(&place)?.minus(&Poly::integer(1))?)?;
                let is_before = atoms.select(&is_count, &is_before, &Poly::integer(1))?;
                atoms.product(&is_it, &is_before)
            });
            found = match self.decided(&is_here) {
                Some(true) => Ok(Symbol::Plain(Value::count(at as u64))),
                Some(false) => found,
                None => self.select(&is_here, Ok(Symbol::Plain(Value::count(at as u64))), found),
            };
        }
        found
    }
}

/// The letters of a text as a list.
fn letters(text: &str) -> Vec<Symbol> {
    text.chars().map(|c| Symbol::Plain(Value::text(c.encode_utf8(&mut [0; 4])))).collect()
}

/// The number that a member's key is.
fn key_of(key: &str) -> Option<i128> {
    if key.bytes().all(|c| c.is_ascii_digit()) { key.parse().ok() } else { None }
}
