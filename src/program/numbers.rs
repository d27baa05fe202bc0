//! Numbers as they depend on the variables: polynomials, and one over another.
//!
//! Whether the lower one is 0 was asked when they were divided: where it is, the quotient isn't chosen.

use std::borrow::Cow;
use std::sync::Arc;

use super::atoms::Atoms;
use super::domain::{Found, Symbol, Symbols, number, type_error};
use super::poly::{Mono, Poly};
use crate::syntax::expr::{BinaryOp, Domain, EvalError, Exact, Value};

/// A number: a polynomial over another.
#[derive(Debug, Clone)]
pub(super) struct Fraction<'v> {
    pub(super) over: Cow<'v, Poly>,
    pub(super) under: Cow<'v, Poly>,
}

impl<'v> Fraction<'v> {
    /// A polynomial as one.
    pub(super) fn whole(poly: Cow<'v, Poly>) -> Self {
        Fraction { over: poly, under: Cow::Owned(Poly::integer(1)) }
    }

    fn is_whole(&self) -> bool {
        self.under.as_constant() == Some(Exact::ONE)
    }

    /// The number less another, over something that isn't negative.
    fn above(&self, other: &Fraction<'_>, atoms: &mut Atoms) -> Option<Fraction<'static>> {
        let less = other.over.times(Exact::integer(-1))?;
        let difference = self.plus(&Fraction { over: Cow::Owned(less), under: other.under.clone() }, atoms)?;
        if atoms.is_never_negative(&difference.under) {
            return Some(difference);
        }
        let over = atoms.product(&difference.over, &difference.under)?;
        let under = atoms.product(&difference.under, &difference.under)?;
        Some(Fraction { over: Cow::Owned(over), under: Cow::Owned(under) })
    }

    fn plus(&self, other: &Fraction<'_>, atoms: &mut Atoms) -> Option<Fraction<'static>> {
        let (over, under) = if self.under == other.under {
            (self.over.plus(&other.over)?, self.under.clone().into_owned())
        } else {
            let (a, b) = (atoms.product(&self.over, &other.under)?, atoms.product(&other.over, &self.under)?);
            (a.plus(&b)?, atoms.product(&self.under, &other.under)?)
        };
        Some(Fraction { over: Cow::Owned(over), under: Cow::Owned(under) })
    }
}

impl Symbols {
    /// A number as a fraction. `None`: it is none.
    pub(super) fn fraction_of(value: &Symbol) -> Option<Fraction<'_>> {
        match value {
            Symbol::Number(poly) => Some(Fraction::whole(Cow::Borrowed(poly))),
            Symbol::Ratio(parts) => Some(Fraction { over: Cow::Borrowed(&parts.0), under: Cow::Borrowed(&parts.1) }),
            Symbol::Plain(value) => Some(Fraction::whole(Cow::Owned(Poly::constant(value.as_number()?)))),
            Symbol::Truth(_) | Symbol::List(_) | Symbol::Choice(_) | Symbol::Fail(_) => None,
        }
    }

    /// One over another that isn't 0 where this is chosen.
    pub(super) fn ratio(&self, over: &Poly, under: &Poly) -> Found {
        if let Some(known) = under.as_constant() {
            return self.number("a quotient", |_| over.times(Exact::ONE.checked_div(known)?));
        }
        if let Some(quotient) = over.divided(under) {
            return Ok(number(quotient));
        }
        let parts = self.with(|_| {
            let shared = over.common().common(&under.common());
            let (over, under) =
                if shared == Mono::ONE { (over.clone(), under.clone()) } else { (over.over(&shared)?, under.over(&shared)?) };
            // The lower one in integers without a common divisor.
            let content = under.content()?;
            let content = if under.leading() < Exact::ZERO { content.checked_neg()? } else { content };
            let part = Exact::ONE.checked_div(content)?;
            Some((over.times(part)?, under.times(part)?))
        });
        match parts {
            Some((over, under)) if under.as_constant() == Some(Exact::ONE) => Ok(number(over)),
            Some(parts) => Ok(Symbol::Ratio(Arc::new(parts))),
            None => Err(self.beyond("a quotient")),
        }
    }

    /// A number by an operation on fractions.
    fn fraction(&self, what: &'static str, make: impl FnOnce(&mut Atoms) -> Option<Fraction<'static>>) -> Found {
        match self.with(make) {
            Some(Fraction { over, under }) => self.ratio(&over, &under),
            None => Err(self.beyond(what)),
        }
    }

    /// An operator on two polynomials, as nearly all numbers are. `None`: it is asked of fractions.
    pub(super) fn polynomial(&self, op: BinaryOp, a: &Poly, b: &Poly) -> Option<Found> {
        let at_least = |a: &Poly, b: &Poly| self.poly("a condition", |atoms| atoms.at_least_zero(&a.minus(b)?));
        let equal = |a: &Poly, b: &Poly| self.poly("a condition", |atoms| atoms.equals_zero(&a.minus(b)?));
        Some(match op {
            BinaryOp::Add => self.number("a sum", |_| a.plus(b)),
            BinaryOp::Sub => self.number("a difference", |_| a.minus(b)),
            BinaryOp::Mul => self.number("a product", |atoms| atoms.product(a, b)),
            BinaryOp::Div => {
                let divisor = b.as_constant().filter(|divisor| !divisor.is_zero())?;
                self.number("a quotient", |_| a.times(Exact::ONE.checked_div(divisor)?))
            }
            _ => return self.compared(op, a, b, at_least, equal),
        })
    }

    /// A comparison of two numbers, by whether one is at least the other and whether they are equal. `None`: the operator is none.
    fn compared<N>(
        &self,
        op: BinaryOp,
        a: &N,
        b: &N,
        at_least: impl Fn(&N, &N) -> Poly,
        equal: impl Fn(&N, &N) -> Poly,
    ) -> Option<Found> {
        match op {
            BinaryOp::Ge => Some(Ok(self.of_truth(at_least(a, b)))),
            BinaryOp::Le => Some(Ok(self.of_truth(at_least(b, a)))),
            BinaryOp::Lt => Some(self.opposite(&at_least(a, b))),
            BinaryOp::Gt => Some(self.opposite(&at_least(b, a))),
            BinaryOp::Eq => Some(Ok(self.of_truth(equal(a, b)))),
            BinaryOp::Ne => Some(self.opposite(&equal(a, b))),
            _ => None,
        }
    }

    /// Whether a number is at least another.
    pub(super) fn at_least(&self, a: &Fraction<'_>, b: &Fraction<'_>) -> Poly {
        self.poly("a condition", |atoms| {
            let difference = a.above(b, atoms)?;
            atoms.at_least_zero(&difference.over)
        })
    }

    /// Whether two numbers are equal.
    pub(super) fn equals(&self, a: &Fraction<'_>, b: &Fraction<'_>) -> Poly {
        self.poly("a condition", |atoms| {
            let difference = a.above(b, atoms)?;
            atoms.equals_zero(&difference.over)
        })
    }

    /// An operator on numbers.
    pub(super) fn arithmetic(&self, op: BinaryOp, a: &Fraction<'_>, b: &Fraction<'_>) -> Found {
        let minus = Exact::integer(-1);
        match op {
            BinaryOp::Add => self.fraction("a sum", |atoms| a.plus(b, atoms)),
            BinaryOp::Sub => self.fraction("a difference", |atoms| {
                let less = Fraction { over: Cow::Owned(b.over.times(minus)?), under: b.under.clone() };
                a.plus(&less, atoms)
            }),
            BinaryOp::Mul => self.fraction("a product", |atoms| {
                let (over, under) = (atoms.product(&a.over, &b.over)?, atoms.product(&a.under, &b.under)?);
                Some(Fraction { over: Cow::Owned(over), under: Cow::Owned(under) })
            }),
            BinaryOp::Div => self.quotient(a, b),
            BinaryOp::Rem => {
                // a - b floor(a / b)
                let (dividend, divisor) = (symbol(a), symbol(b));
                let whole = self.lifted(&self.quotient(a, b)?, &|quotient| self.floor(quotient))?;
                let multiple = self.binary(BinaryOp::Mul, &divisor, &whole)?;
                self.binary(BinaryOp::Sub, &dividend, &multiple)
            }
            BinaryOp::Pow => self.power(a, b),
            _ => {
                let found = self.compared(op, a, b, |a, b| self.at_least(a, b), |a, b| self.equals(a, b));
                found.unwrap_or_else(|| Err(type_error(op.symbol(), "true or false")))
            }
        }
    }

    fn opposite(&self, truth: &Poly) -> Found {
        self.condition(|_| Poly::integer(1).minus(truth))
    }

    /// Whether a number isn't 0.
    fn is_not_zero(&self, over: &Poly) -> Poly {
        self.poly("a divisor", |atoms| Poly::integer(1).minus(&atoms.equals_zero(over)?))
    }

    fn quotient(&self, a: &Fraction<'_>, b: &Fraction<'_>) -> Found {
        let is_not_zero = self.is_not_zero(&b.over);
        if self.decided(&is_not_zero) == Some(false) {
            return Err(EvalError::DivisionByZero);
        }
        let quotient = self.fraction("a quotient", |atoms| {
            let (over, under) = (atoms.product(&a.over, &b.under)?, atoms.product(&a.under, &b.over)?);
            Some(Fraction { over: Cow::Owned(over), under: Cow::Owned(under) })
        })?;
        self.only_where(&is_not_zero, quotient, EvalError::DivisionByZero)
    }

    /// The greatest integer that is no more than a number.
    pub(super) fn floor(&self, value: &Symbol) -> Found {
        let value = Self::fraction_of(value).ok_or_else(|| type_error("floor", "a number"))?;
        self.number("a rounded number", |atoms| atoms.quotient(&value.over, &value.under))
    }

    /// The least integer that is no less than a number.
    pub(super) fn ceil(&self, value: &Symbol) -> Found {
        let value = Self::fraction_of(value).ok_or_else(|| type_error("ceil", "a number"))?;
        self.number("a rounded number", |atoms| atoms.quotient_up(&value.over, &value.under))
    }

    /// A number as an integer: the greatest that is no more, and where they are the same.
    pub(super) fn integer_of(&self, value: &Fraction<'_>) -> (Poly, Poly) {
        let whole = self.poly("a rounded number", |atoms| atoms.quotient(&value.over, &value.under));
        let is_whole = self.poly("a condition", |atoms| {
            let multiple = atoms.product(&whole, &value.under)?;
            atoms.equals_zero(&value.over.minus(&multiple)?)
        });
        (whole, is_whole)
    }

    /// A number as a non-negative integer, and where it is one; elsewhere it is something that isn't negative either.
    pub(super) fn count_in(&self, value: &Fraction<'_>) -> (Poly, Poly) {
        let (whole, is_whole) = self.integer_of(value);
        let is_positive = self.poly("a condition", |atoms| atoms.at_least_zero(&whole));
        let holds = self.poly("a condition", |atoms| atoms.product(&is_whole, &is_positive));
        let whole = match self.decided(&is_positive) {
            Some(true) => whole,
            _ => self.poly("a count", |atoms| atoms.max(&whole, &Poly::default())),
        };
        (whole, holds)
    }

    /// A power: of what is no integer, both parts are raised.
    fn power(&self, base: &Fraction<'_>, exponent: &Fraction<'_>) -> Found {
        let what = "a power";
        let (exponent, is_integer) = self.integer_of(exponent);
        let Some((over, under)) = self.in_integers(base) else { return Err(self.beyond(what)) };
        let minus = self.poly(what, |_| exponent.times(Exact::integer(-1)));
        let raised = |over: &Poly, under: &Poly, exponent: &Poly| {
            let [over, under] = [over, under].map(|poly| self.poly(what, |atoms| atoms.raised(poly, exponent)));
            self.ratio(&over, &under)
        };
        let is_positive = self.poly("a condition", |atoms| atoms.at_least_zero(&exponent));
        let found = match self.decided(&is_positive) {
            Some(true) => raised(&over, &under, &exponent),
            decided => {
                let is_not_zero = self.is_not_zero(&over);
                let inverse = match self.decided(&is_not_zero) {
                    Some(false) => Err(EvalError::DivisionByZero),
                    _ => self.only_where(&is_not_zero, raised(&under, &over, &minus)?, EvalError::DivisionByZero),
                };
                match decided {
                    Some(_) => inverse,
                    None => self.select(&is_positive, raised(&over, &under, &exponent), inverse),
                }
            }
        };
        let error = || type_error("^", "an integer exponent");
        match self.decided(&is_integer) {
            Some(true) => found,
            Some(false) => Err(error()),
            None => self.select(&is_integer, found, Err(error())),
        }
    }

    /// Both parts of a fraction in integers.
    fn in_integers(&self, value: &Fraction<'_>) -> Option<(Poly, Poly)> {
        let ((over, a), (under, b)) = (value.over.whole()?, value.under.whole()?);
        // (over / a) / (under / b)
        let part = Exact::ratio(b, a)?;
        let (b, a) = part.parts();
        Some((over.times(Exact::integer(b))?, under.times(Exact::integer(a))?))
    }

    /// The number that a value is, where it is one.
    pub(super) fn settled_number(&self, value: &Symbol) -> Option<Fraction<'static>> {
        let value = self.settled(value, &|side| Self::fraction_of(side).is_some())?;
        let Fraction { over, under } = Self::fraction_of(&value)?;
        Some(Fraction { over: Cow::Owned(over.into_owned()), under: Cow::Owned(under.into_owned()) })
    }

    /// A number as a count, under the guard that it is one: then what else is made of it is made of an integer that isn't negative.
    pub(super) fn count_of(&self, value: &Fraction<'_>) -> Option<Poly> {
        if let Some(known) = value.over.as_constant().filter(|_| value.is_whole()) {
            return known.to_count().map(|_| value.over.clone().into_owned());
        }
        let (whole, is_whole) = self.integer_of(value);
        self.guard(&is_whole);
        let is_positive = self.poly("a condition", |atoms| atoms.at_least_zero(&whole));
        self.guard(&is_positive);
        Some(whole)
    }
}

/// A fraction as a value.
fn symbol(value: &Fraction<'_>) -> Symbol {
    if value.is_whole() {
        return match value.over.as_constant() {
            Some(known) => Symbol::Plain(Value::Number(known)),
            None => Symbol::Number(value.over.clone().into_owned()),
        };
    }
    Symbol::Ratio(Arc::new((value.over.clone().into_owned(), value.under.clone().into_owned())))
}
