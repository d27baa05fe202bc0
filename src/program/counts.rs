//! Counts in the domain of polynomials: what must be one is proved, or becomes a guard.

use std::borrow::Cow;

use super::domain::{Symbol, Symbols, number};
use super::numbers::Fraction;
use super::poly::Poly;
use crate::catalog::{MAX_DIMS, Parameter, ParameterKind, check_parameter};
use crate::cost::counting::Counting;
use crate::syntax::expr::{Domain, EvalError, Exact, Value};

impl Counting for Symbols {
    type Count = Poly;

    fn of(&self, count: u128) -> Poly {
        self.poly("a count beyond 2^127", |_| Exact::from_count(count).map(Poly::constant))
    }

    fn known(&self, count: &Poly) -> Option<u128> {
        count.as_constant()?.to_count()
    }

    fn count(&self, value: &Symbol) -> Option<Poly> {
        self.count_of(&self.settled_number(value)?)
    }

    fn rounded_up(&self, value: &Symbol) -> Option<Poly> {
        let number = self.settled_number(value)?;
        let rounded = self.poly("a rounded number", |atoms| atoms.quotient_up(&number.over, &number.under));
        self.count_of(&Fraction::whole(Cow::Owned(rounded)))
    }

    fn is_size(&self, value: &Symbol) -> bool {
        let Some(number) = self.settled_number(value) else { return false };
        let zero = Fraction::whole(Cow::Owned(Poly::default()));
        self.holds(&self.at_least(&number, &zero))
    }

    fn sum(&self, a: &Poly, b: &Poly) -> Option<Poly> {
        Some(self.poly("a sum", |_| a.plus(b)))
    }

    fn difference(&self, a: &Poly, b: &Poly) -> Poly {
        let rest = self.poly("a difference", |_| a.minus(b));
        self.poly("a difference", |atoms| atoms.max(&rest, &Poly::default()))
    }

    fn product(&self, a: &Poly, b: &Poly) -> Option<Poly> {
        Some(self.poly("a product", |atoms| atoms.product(a, b)))
    }

    fn times(&self, count: &Poly, factor: &Symbol) -> Option<Poly> {
        let factor = self.settled_number(factor)?;
        Some(self.poly("a number of bytes", |atoms| {
            let bytes = atoms.product(count, &factor.over)?;
            atoms.quotient_up(&bytes, &factor.under)
        }))
    }

    fn is_less(&self, a: &Poly, b: &Poly) -> Poly {
        self.poly("a condition", |atoms| atoms.at_least_zero(&b.minus(a)?.minus(&Poly::integer(1))?))
    }

    fn truth_of(&self, known: bool) -> Poly {
        Poly::integer(i128::from(known))
    }

    fn both(&self, a: &Poly, b: &Poly) -> Poly {
        self.poly("a condition", |atoms| atoms.product(a, b))
    }

    fn not(&self, truth: &Poly) -> Poly {
        self.poly("a condition", |_| Poly::integer(1).minus(truth))
    }

    fn only_if(&self, truth: &Poly, count: &Poly) -> Poly {
        self.poly("a condition", |atoms| atoms.product(truth, count))
    }

    fn holds(&self, truth: &Poly) -> bool {
        match self.decided(truth) {
            Some(known) => known,
            None => {
                self.guard(truth);
                true
            }
        }
    }

    fn fitting(&self, parameter: &Parameter, value: &Symbol) -> Option<Symbol> {
        match value {
            Symbol::Plain(value) => check_parameter(parameter, value).map(Symbol::Plain),
            Symbol::Choice(choice) => {
                let (test, then, otherwise) = &**choice;
                let side = |value, holds| self.within(test, holds, || self.fitting(parameter, value).ok_or(EvalError::Reported));
                self.select(test, side(then, true), side(otherwise, false)).ok()
            }
            Symbol::Fail(_) => None,
            Symbol::Number(_) | Symbol::Ratio(_) => match parameter.kind {
                ParameterKind::Count => self.count(value).map(number),
                ParameterKind::Ratio => Some(value.clone()),
                ParameterKind::Shape => self.count(value).map(|poly| self.list(vec![number(poly)])),
                ParameterKind::Flag | ParameterKind::Text => None,
            },
            Symbol::Truth(_) => (parameter.kind == ParameterKind::Flag).then(|| value.clone()),
            Symbol::List(items) => {
                let dims: Option<Vec<Symbol>> = items.iter().map(|item| self.count(item).map(number)).collect();
                let dims = dims.filter(|_| parameter.kind == ParameterKind::Shape && items.len() <= MAX_DIMS)?;
                Some(self.list(dims))
            }
        }
    }

    fn cases(&self, value: &Symbol) -> Vec<(Poly, Value)> {
        let Some(value) = self.settled(value, &|_| true) else { return vec![(self.truth_of(true), Value::Null)] };
        match &*value {
            Symbol::Plain(value) => vec![(self.truth_of(true), value.clone())],
            Symbol::Choice(choice) => {
                let (test, then, otherwise) = &**choice;
                let opposite = self.not(test);
                let within = |when: &Poly, value| {
                    self.cases(value).into_iter().map(|(inner, value)| (self.both(when, &inner), value)).collect::<Vec<_>>()
                };
                [within(test, then), within(&opposite, otherwise)].concat()
            }
            // What is wrong where it is chosen, and what is no constant.
            Symbol::Fail(_) | Symbol::Number(_) | Symbol::Ratio(_) | Symbol::Truth(_) | Symbol::List(_) => {
                vec![(self.truth_of(true), Value::Null)]
            }
        }
    }

    fn items<'v>(&self, value: &'v Symbol) -> Option<Cow<'v, [Symbol]>> {
        match value {
            Symbol::List(items) => Some(Cow::Borrowed(items)),
            Symbol::Plain(Value::List(items)) => Some(items.iter().cloned().map(Symbol::Plain).collect()),
            _ => None,
        }
    }
}
