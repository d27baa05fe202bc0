//! Atoms of two numbers that a workload changes: quotients, powers, items of lists.
//!
//! Each has a value at every point, also where what it stands for has none: there it isn't chosen (`domain`).

use std::sync::Arc;

use super::atoms::{Atom, Atoms, item_at};
use super::poly::{Mono, Poly, gcd};
use crate::syntax::expr::Exact;

/// Powers up to this one are multiplied out.
const MOST_FACTORS: u128 = 12;

impl Atoms {
    /// The greatest integer that is no more than one over another; where the other is 0, some integer.
    pub fn quotient(&mut self, a: &Poly, b: &Poly) -> Option<Poly> {
        if let Some(divisor) = b.as_constant() {
            if divisor.is_zero() {
                return Some(Poly::default());
            }
            let whole = a.times(Exact::ONE.checked_div(divisor)?)?;
            return self.floor(&whole);
        }
        if let Some(made) = self.split_all([a, b], &mut |atoms, [a, b]| atoms.quotient(a, b))? {
            return Some(made);
        }
        if let Some(whole) = a.divided(b) {
            return self.floor(&whole);
        }
        let (over_a, over_b) = (a.denominator()?, b.denominator()?);
        let scale = Exact::integer(over_a.checked_div(gcd(over_a, over_b))?.checked_mul(over_b)?);
        let (a, b) = (a.times(scale)?, b.times(scale)?);
        let minus = Exact::integer(-1);
        let (opposite, negative) = (a.times(minus)?, b.times(minus)?);
        match (self.is_never_negative(&b), self.is_never_negative(&negative)) {
            (true, _) => self.quotient_of(&a, &b, true),
            (_, true) => self.quotient_of(&opposite, &negative, true),
            // Of either sign: one of both is 0 everywhere.
            _ => self.quotient_of(&a, &b, true)?.plus(&self.quotient_of(&opposite, &negative, true)?),
        }
    }

    /// The least integer that is no less than one over another; where the other is 0, some integer.
    pub fn quotient_up(&mut self, a: &Poly, b: &Poly) -> Option<Poly> {
        let minus = Exact::integer(-1);
        self.quotient(&a.times(minus)?, b)?.times(minus)
    }

    /// [`Atoms::quotient`] of polynomials with integer coefficients, where the second is positive; else 0.
    fn quotient_of(&mut self, a: &Poly, b: &Poly, may_turn: bool) -> Option<Poly> {
        if may_turn && a.leading() < Exact::ZERO {
            // floor(-a / b) = -floor((a + b - 1) / b)
            let raised = b.minus(a)?.minus(&Poly::integer(1))?;
            return self.quotient_of(&raised, b, false)?.times(Exact::integer(-1));
        }
        // floor((g a + c) / (g b)) = floor((a + floor(c / g)) / b)
        let form = a.without_constant();
        let common = gcd(form.content()?.to_integer()?, b.content()?.to_integer()?).max(1);
        let constant = a.constant_part().to_integer()?.div_euclid(common);
        let part = Exact::ratio(1, common)?;
        let (mut a, mut b) = (form.times(part)?.plus(&Poly::integer(constant))?, b.times(part)?);
        let shared = a.common().common(&b.common());
        if shared != Mono::ONE && self.are_at_least(&shared, 1) {
            (a, b) = (a.over(&shared)?, b.over(&shared)?);
        }
        if b.as_constant().is_some() || a.is_zero() {
            return self.quotient(&a, &b);
        }
        let is_positive = self.least(&b).filter(|least| *least >= 1);
        let is_never_negative = self.is_never_negative(&a);
        if is_never_negative && self.is_never_negative(&b.minus(&a)?.minus(&Poly::integer(1))?) {
            return Some(Poly::default());
        }
        // floor(floor(x / c) / b) = floor(x / (b c)), of what is never negative below.
        let inner = match a.as_atom().and_then(|id| self.atom(id)).cloned() {
            Some(Atom::Floor(inner, by)) => Some((inner, Poly::integer(by))),
            Some(Atom::Quotient(inner, by)) if self.is_never_negative(&by) => Some((inner, by)),
            _ => None,
        };
        if let Some((inner, by)) = inner
            && self.is_never_negative(&b)
        {
            let both = self.product(&by, &b)?;
            return self.quotient_of(&inner, &both, false);
        }
        let least = match is_never_negative {
            true if is_positive.is_some() && self.is_never_negative(&a.minus(&b)?) => Some(1),
            true => Some(0),
            false => None,
        };
        let most = a.times(Exact::ratio(1, is_positive.unwrap_or(1))?)?;
        let above = if is_never_negative { vec![most] } else { Vec::new() };
        self.add(Atom::Quotient(a, b), least, above, Vec::new())
    }

    /// A power of an integer; where the exponent is negative, some integer.
    pub fn raised(&mut self, base: &Poly, exponent: &Poly) -> Option<Poly> {
        if let Some(made) = self.split_all([base, exponent], &mut |atoms, [base, exponent]| atoms.raised(base, exponent))? {
            return Some(made);
        }
        if let Some(known) = exponent.as_constant() {
            let Some(times) = known.to_count() else { return Some(Poly::default()) };
            let constant = base.as_constant().and_then(|base| base.checked_pow(known)).map(Poly::constant);
            let small = constant.or_else(|| if times <= MOST_FACTORS { self.power(base, known) } else { None });
            if small.is_some() {
                return small;
            }
        }
        if base.as_constant() == Some(Exact::ONE) {
            return Some(Poly::integer(1));
        }
        let is_positive = self.least(base).is_some_and(|least| least >= 1) && self.is_never_negative(exponent);
        let least = if is_positive { Some(1) } else { self.is_never_negative(base).then_some(0) };
        self.add(Atom::Power(base.clone(), exponent.clone()), least, Vec::new(), Vec::new())
    }

    /// One of some integers, by its place counted from 0; beyond the ends, the first or the last. `None` also of none.
    pub fn item(&mut self, items: &Arc<[i128]>, at: &Poly) -> Option<Poly> {
        if let Some(made) = self.split_all([at], &mut |atoms, [at]| atoms.item(items, at))? {
            return Some(made);
        }
        let (least, most) = (*items.iter().min()?, *items.iter().max()?);
        if let Some(at) = at.as_constant() {
            return item_at(items, at.floor()?.to_integer()?).map(Poly::integer);
        }
        if least == most {
            return Some(Poly::integer(least));
        }
        self.add(Atom::Item(items.clone(), at.clone()), Some(least), vec![Poly::integer(most)], Vec::new())
    }
}
