//! What isn't polynomial in a workload's variables, as factors of polynomials; and what is known of their size.
//!
//! Atoms are integers at every point. Equal ones are one: each operation brings its operands into a normal form first. A small prover decides most
//! of `min`, `max`, `ceil` and conditions from the least values of the variables, so that few atoms are made.

use std::collections::HashMap;
use std::sync::Arc;

use super::poly::{AtomId, Mono, Poly};
use crate::syntax::expr::{Exact, expected_millionths};

/// How many atoms a program may have: beyond, the interpreter is faster.
const MOST_ATOMS: usize = 4_000;

/// How many products of terms are made for a program. The models that there are take some ten thousands; a file that takes more is left to the
/// interpreter.
const MOST_WORK: u64 = 2_000_000;

/// How many terms a condition has at the most that is taken apart at a `min` in it.
const SHORT: usize = 4;

/// `expected_experts` is a number of millionths.
const MILLION: i128 = 1_000_000;

/// A factor of a polynomial.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Atom {
    /// A workload variable, by its position among those of the program.
    Variable(u16),
    /// The greatest integer that is no more than a polynomial over a number.
    Floor(Poly, i128),
    /// The greatest integer that is no more than a polynomial over another, where that is positive; else 0.
    Quotient(Poly, Poly),
    /// The lesser of two.
    Min(Poly, Poly),
    /// 1 where a polynomial without a constant is at least so much, else 0.
    AtLeast(Poly, i128),
    /// 1 where a polynomial without a constant is so much, else 0.
    Equals(Poly, i128),
    /// How many of the first so many experts some of the tokens, the third, are routed to, each to the second so many, in millionths; 0 where these
    /// are no such numbers.
    Experts(Poly, Poly, Poly),
    /// The greatest integer whose square is no more.
    Isqrt(Poly),
    /// A power, where the exponent isn't negative; else 0.
    Power(Poly, Poly),
    /// One of some integers by its place, counted from 0; beyond the ends, the first or the last.
    Item(Arc<[i128]>, Poly),
}

/// An atom and what is known of its size.
#[derive(Debug)]
pub(super) struct Known {
    atom: Atom,
    /// It is never less. `None`: unknown.
    pub(super) least: Option<i128>,
    /// It is never more than each of these.
    pub(super) above: Vec<Poly>,
    /// It is never less than each of these.
    pub(super) below: Vec<Poly>,
}

/// The atoms of a program. Operations give `None` where a number, a product or a sum is beyond what is computed with.
#[derive(Debug, Default)]
pub struct Atoms {
    known: Vec<Known>,
    ids: HashMap<Atom, AtomId>,
    /// What was found to be never negative, or not.
    pub(super) proved: HashMap<Poly, bool>,
    /// How many products of terms were made.
    work: u64,
}

impl Atoms {
    /// A table of variables, each with its least value.
    pub fn new(variables: &[i128]) -> Self {
        let mut atoms = Atoms::default();
        for (at, least) in (0u16..).zip(variables) {
            atoms.add(Atom::Variable(at), Some(*least), Vec::new(), Vec::new());
        }
        atoms
    }

    /// The variable at a position.
    pub fn variable(&self, at: u16) -> Option<Poly> {
        self.ids.get(&Atom::Variable(at)).map(|id| Poly::atom(*id))
    }

    /// An atom by its id.
    pub fn atom(&self, id: AtomId) -> Option<&Atom> {
        self.known(id).map(|known| &known.atom)
    }

    /// All atoms with their ids, what one is made of before it.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (AtomId, &Atom)> + ExactSizeIterator {
        self.known.iter().enumerate().map(|(at, known)| (AtomId::try_from(at + 1).unwrap_or(AtomId::MAX), &known.atom))
    }

    pub(super) fn known(&self, id: AtomId) -> Option<&Known> {
        self.known.get(usize::from(id).checked_sub(1)?)
    }

    pub(super) fn add(&mut self, atom: Atom, least: Option<i128>, above: Vec<Poly>, below: Vec<Poly>) -> Option<Poly> {
        if let Some(id) = self.ids.get(&atom) {
            return Some(Poly::atom(*id));
        }
        if self.known.len() >= MOST_ATOMS {
            return None;
        }
        let id = AtomId::try_from(self.known.len() + 1).ok()?;
        self.ids.insert(atom.clone(), id);
        self.known.push(Known { atom, least, above, below });
        Some(Poly::atom(id))
    }

    /// Which limit was met by what could no longer be computed.
    pub(super) fn limit(&self) -> &'static str {
        if self.work > MOST_WORK {
            "more than 2,000,000 products of terms"
        } else if self.known.len() >= MOST_ATOMS {
            "more than 4,000 roundings, extremes and conditions"
        } else {
            "more than 4,000 terms, products of more than 12 factors, or coefficients beyond 128 bits"
        }
    }

    /// What a polynomial comes to where the variables have these values. `None` beyond what is computed with.
    pub fn value(&self, p: &Poly, point: &[u64]) -> Option<Exact> {
        p.terms().iter().try_fold(Exact::ZERO, |sum, (mono, value)| {
            let mut factors = mono.factors();
            let term = factors.try_fold(*value, |product, id| product.checked_mul(self.value_of(id, point)?))?;
            sum.checked_add(term)
        })
    }

    fn value_of(&self, id: AtomId, point: &[u64]) -> Option<Exact> {
        let flag = |holds: bool| Some(if holds { Exact::ONE } else { Exact::ZERO });
        match self.atom(id)? {
            Atom::Variable(at) => point.get(usize::from(*at)).map(|value| Exact::integer(i128::from(*value))),
            Atom::Floor(numerator, by) => self.value(numerator, point)?.checked_div(Exact::integer(*by))?.floor(),
            Atom::Quotient(a, b) => match self.value(b, point)? {
                b if b > Exact::ZERO => self.value(a, point)?.checked_div(b)?.floor(),
                _ => Some(Exact::ZERO),
            },
            Atom::Min(a, b) => Some(self.value(a, point)?.min(self.value(b, point)?)),
            Atom::AtLeast(form, threshold) => flag(self.value(form, point)? >= Exact::integer(*threshold)),
            Atom::Equals(form, value) => flag(self.value(form, point)? == Exact::integer(*value)),
            Atom::Experts(experts, chosen, tokens) => {
                let [experts, chosen, tokens] = [experts, chosen, tokens].map(|form| self.value(form, point));
                Exact::from_count(experts_at(experts?.to_integer()?, chosen?.to_integer()?, tokens?.to_integer()?))
            }
            Atom::Isqrt(form) => Exact::from_count(self.value(form, point)?.to_count()?.isqrt()),
            Atom::Power(base, exponent) => match self.value(exponent, point)? {
                exponent if exponent >= Exact::ZERO => self.value(base, point)?.checked_pow(exponent),
                _ => Some(Exact::ZERO),
            },
            Atom::Item(items, at) => item_at(items, self.value(at, point)?.to_integer()?).map(Exact::integer),
        }
    }

    // Arithmetic.

    /// The product. Conditions are idempotent, and one that follows from another is left out.
    pub fn product(&mut self, a: &Poly, b: &Poly) -> Option<Poly> {
        if let Some(factor) = b.as_constant() {
            return a.times(factor);
        }
        if let Some(factor) = a.as_constant() {
            return b.times(factor);
        }
        self.work += (a.terms().len() * b.terms().len()) as u64;
        if self.work > MOST_WORK {
            return None;
        }
        let mut terms = Vec::with_capacity(a.terms().len() * b.terms().len());
        for (left, x) in a.terms() {
            for (right, y) in b.terms() {
                let product = left.times(right)?;
                if let Some(mono) = self.reduced(product)? {
                    terms.push((mono, x.checked_mul(*y)?));
                }
            }
        }
        Poly::sum(terms)
    }

    /// A power. `None` also for exponents that are no small counts.
    pub fn power(&mut self, base: &Poly, exponent: Exact) -> Option<Poly> {
        let exponent = exponent.to_count().filter(|n| *n <= 12)?;
        (0..exponent).try_fold(Poly::integer(1), |power, _| self.product(&power, base))
    }

    /// A product without the conditions that follow from others in it. `Some(None)`: it is 0.
    #[expect(clippy::option_option, reason = "beyond what is computed with, and nothing, are different")]
    fn reduced(&mut self, mono: Mono) -> Option<Option<Mono>> {
        let mut left = mono;
        // What is at least 1 or 0 is 0 where it isn't at least 1.
        for id in mono.factors() {
            let Some(Atom::AtLeast(form, 1)) = self.atom(id) else { continue };
            if form.as_atom().is_some_and(|of| left.count(of) > 0 && self.are_at_least(&Mono::of(of), 0)) {
                left = left.without(id);
            }
        }
        let conditions: Vec<AtomId> = left.factors().filter(|id| self.condition(*id).is_some()).collect();
        if conditions.len() < 2 {
            return Some(Some(left));
        }
        for (at, id) in conditions.iter().enumerate() {
            for other in conditions.iter().skip(at + 1) {
                if left.count(*id) == 0 || left.count(*other) == 0 {
                    continue;
                }
                if id == other {
                    left = left.without(*id);
                    continue;
                }
                let (Some((a, a_exact)), Some((b, b_exact))) = (self.condition(*id), self.condition(*other)) else { continue };
                // Both are polynomials of which it is asked whether they are at least 0, or 0.
                let (forward, backward) = (b.minus(&a)?, a.minus(&b)?);
                match (a_exact, b_exact) {
                    (false, false) if self.is_never_negative(&forward) => left = left.without(*other),
                    (false, false) if self.is_never_negative(&backward) => left = left.without(*id),
                    (true, _) if forward.as_constant().is_some() => {
                        let holds = forward.as_constant().is_some_and(|more| more >= Exact::ZERO) && !b_exact;
                        if !holds {
                            return Some(None);
                        }
                        left = left.without(*other);
                    }
                    (false, true) if backward.as_constant().is_some() => {
                        if backward.as_constant().is_some_and(|more| more < Exact::ZERO) {
                            return Some(None);
                        }
                        left = left.without(*id);
                    }
                    _ => {}
                }
            }
        }
        Some(Some(left))
    }

    /// The polynomial of which a condition asks whether it is at least 0, or (`true`) whether it is 0.
    fn condition(&self, id: AtomId) -> Option<(Poly, bool)> {
        match self.atom(id)? {
            Atom::AtLeast(form, threshold) => Some((form.minus(&Poly::integer(*threshold))?, false)),
            Atom::Equals(form, value) => Some((form.minus(&Poly::integer(*value))?, true)),
            _ => None,
        }
    }

    /// A function of a polynomial in which conditions stand, made of the function where one holds and where it doesn't: so no condition stands
    /// inside of an atom. `None`, inside: there is none.
    fn split(&mut self, p: &Poly, make: &mut dyn FnMut(&mut Self, &Poly) -> Option<Poly>) -> Option<Option<Poly>> {
        self.split_all([p], &mut |atoms, [p]| make(atoms, p))
    }

    /// The same of a function of several.
    pub(super) fn split_all<const N: usize>(
        &mut self,
        polys: [&Poly; N],
        make: &mut dyn FnMut(&mut Self, [&Poly; N]) -> Option<Poly>,
    ) -> Option<Option<Poly>> {
        let conditions = polys.iter().flat_map(|p| p.atoms()).filter(|id| self.condition(*id).is_some());
        let Some(condition) = conditions.max() else { return Some(None) };
        let mut side = |atoms: &mut Self, holds: bool| {
            let mut found: [Poly; N] = std::array::from_fn(|_| Poly::default());
            for (cell, poly) in found.iter_mut().zip(polys) {
                *cell = atoms.where_it(holds, condition, poly)?;
            }
            make(atoms, found.each_ref())
        };
        let (holds, fails) = (side(self, true)?, side(self, false)?);
        self.select(&Poly::atom(condition), &holds, &fails).map(Some)
    }

    /// What it is where a condition holds, or doesn't: which decides others on the same number.
    fn where_it(&mut self, holds: bool, condition: AtomId, p: &Poly) -> Option<Poly> {
        let flag = |holds: bool| Poly::integer(i128::from(holds));
        let mut p = self.substituted(p, condition, &flag(holds))?;
        for other in p.atoms() {
            if let Some(known) = self.follows(holds, condition, other) {
                p = self.substituted(&p, other, &flag(known))?;
            }
        }
        Some(p)
    }

    /// Whether a condition holds where another does, or doesn't. `None`: that doesn't say it.
    fn follows(&self, holds: bool, condition: AtomId, other: AtomId) -> Option<bool> {
        match (self.atom(condition)?, self.atom(other)?) {
            (Atom::Equals(form, value), Atom::Equals(same, wanted)) if form == same && holds => Some(value == wanted),
            (Atom::Equals(form, value), Atom::AtLeast(same, least)) if form == same && holds => Some(value >= least),
            (Atom::AtLeast(form, least), Atom::AtLeast(same, wanted)) if form == same => match holds {
                true => (wanted <= least).then_some(true),
                false => (wanted >= least).then_some(false),
            },
            (Atom::AtLeast(form, least), Atom::Equals(same, wanted)) if form == same => {
                ((wanted < least) == holds).then_some(false)
            }
            _ => None,
        }
    }

    /// What it is when an atom is something else.
    pub(super) fn substituted(&mut self, p: &Poly, atom: AtomId, by: &Poly) -> Option<Poly> {
        let mut sum = Vec::with_capacity(p.terms().len());
        self.work += p.terms().len() as u64;
        if self.work > MOST_WORK {
            return None;
        }
        for (mono, value) in p.terms() {
            let times = mono.count(atom);
            if times == 0 {
                sum.push((*mono, *value));
                continue;
            }
            let rest = (0..times).fold(*mono, |rest, _| rest.without(atom));
            let mut product = Poly::term(rest, *value);
            for _ in 0..times {
                product = self.product(&product, by)?;
            }
            sum.extend(product.terms().iter().copied());
        }
        Poly::sum(sum)
    }

    // Atoms.

    /// The lesser of two.
    pub fn min(&mut self, a: &Poly, b: &Poly) -> Option<Poly> {
        let (more, less) = (b.minus(a)?, a.minus(b)?);
        if self.is_never_negative(&more) {
            return Some(a.clone());
        }
        if self.is_never_negative(&less) {
            return Some(b.clone());
        }
        // min(a, b) = b + min(a - b, 0)
        if let Some(made) = self.split(&less, &mut |atoms, less| atoms.min(less, &Poly::default()))? {
            return b.plus(&made);
        }
        // What both have in common stands outside, and so does what all that is left is a multiple of.
        let shared: Vec<(Mono, Exact)> = a.terms().iter().filter(|term| b.terms().contains(term)).copied().collect();
        let shared = Poly::sum(shared)?;
        let (mut a, mut b) = (a.minus(&shared)?, b.minus(&shared)?);
        let content = gcd_of(&a, &b)?;
        let inverse = Exact::ONE.checked_div(content)?;
        (a, b) = (a.times(inverse)?, b.times(inverse)?);
        let mut common = match (a.is_zero(), b.is_zero()) {
            (false, false) => a.common().common(&b.common()),
            (false, true) => a.common(),
            (true, _) => b.common(),
        };
        if !self.are_at_least(&common, 0) {
            common = Mono::ONE;
        }
        (a, b) = (a.over(&common)?, b.over(&common)?);
        if a > b {
            (a, b) = (b, a);
        }
        // Of 1 and an integer that isn't negative.
        if a.as_constant() == Some(Exact::ONE) && self.is_never_negative(&b) {
            let any = self.at_least_zero(&b.minus(&Poly::integer(1))?)?;
            let scaled = self.product(&any, &Poly::term(common, content))?;
            return shared.plus(&scaled);
        }
        let (first, second) = (self.least(&a), self.least(&b));
        let least = first.zip(second).map(|(a, b)| a.min(b));
        let atom = self.add(Atom::Min(a.clone(), b.clone()), least, vec![a, b], Vec::new())?;
        let scaled = self.product(&atom, &Poly::term(common, content))?;
        shared.plus(&scaled)
    }

    /// The greater of two.
    pub fn max(&mut self, a: &Poly, b: &Poly) -> Option<Poly> {
        let less = self.min(a, b)?;
        a.plus(b)?.minus(&less)
    }

    /// The greatest integer that is no more.
    pub fn floor(&mut self, p: &Poly) -> Option<Poly> {
        if self.is_integer(p) {
            return Some(p.clone());
        }
        if let Some(made) = self.split(p, &mut |atoms, p| atoms.floor(p))? {
            return Some(made);
        }
        // Whole multiples stand outside: what is left of each coefficient is between -1/2 and 1/2. Experts come in millionths: a whole number of these
        // reads as nothing.
        let is_expected = |mono: &Mono| mono.factors().any(|id| matches!(self.atom(id), Some(Atom::Experts(..))));
        let whole = |mono: &Mono, value: Exact| {
            if is_expected(mono) { Some(Exact::ZERO) } else { nearest(value).map(Exact::integer) }
        };
        let whole: Option<Vec<(Mono, Exact)>> =
            p.terms().iter().map(|(mono, value)| Some((*mono, whole(mono, *value)?))).collect();
        let whole = Poly::sum(whole?)?;
        let broken = p.minus(&whole)?;
        let denominator = broken.denominator()?;
        let numerator = broken.times(Exact::integer(denominator))?;
        let floor = self.floor_of(&numerator, denominator)?;
        whole.plus(&floor)
    }

    /// The floor of integers over a positive number.
    fn floor_of(&mut self, numerator: &Poly, denominator: i128) -> Option<Poly> {
        if numerator.leading() < Exact::ZERO && numerator.as_constant().is_none() {
            // floor(-n / d) = -floor((n + d - 1) / d)
            let raised = numerator.times(Exact::integer(-1))?.plus(&Poly::integer(denominator - 1))?;
            return self.floor_of(&raised, denominator)?.times(Exact::integer(-1));
        }
        let form = numerator.without_constant();
        let content = form.content()?.to_integer().unwrap_or(1);
        let common = super::poly::gcd(content, denominator).max(1);
        let constant = numerator.constant_part().to_integer()?;
        let (form, constant, denominator) =
            (form.times(Exact::ratio(1, common)?)?, constant.div_euclid(common), denominator / common);
        let (whole, constant) = (constant.div_euclid(denominator), constant.rem_euclid(denominator));
        let whole = Poly::integer(whole);
        if denominator == 1 {
            return whole.plus(&form);
        }
        // floor((floor(x / a) + k) / b) = floor((x + k a) / (a b))
        if let Some(Atom::Floor(inner, by)) = form.as_atom().and_then(|id| self.atom(id)).cloned() {
            let raised = inner.plus(&Poly::integer(constant.checked_mul(by)?))?;
            let composed = self.floor_of(&raised, by.checked_mul(denominator)?)?;
            return whole.plus(&composed);
        }
        let part = Exact::ratio(1, denominator)?;
        let multiple = form.times(part)?;
        if self.is_integer(&multiple) {
            return whole.plus(&multiple);
        }
        let numerator = form.plus(&Poly::integer(constant))?;
        let below = Poly::integer(denominator - 1).minus(&numerator)?;
        let is_never_negative = self.is_never_negative(&numerator);
        if is_never_negative && self.is_never_negative(&below) {
            return Some(whole);
        }
        let least = self.least(&numerator).map(|least| least.div_euclid(denominator)).or(is_never_negative.then_some(0));
        let above = numerator.times(part)?;
        let lower = numerator.minus(&Poly::integer(denominator - 1))?.times(part)?;
        let atom = self.floor_atom(&numerator, denominator, least, [above, lower])?;
        whole.plus(&atom)
    }

    /// A floor, which grows as what it is of: compared with the floors that there are.
    fn floor_atom(&mut self, of: &Poly, by: i128, least: Option<i128>, [above, below]: [Poly; 2]) -> Option<Poly> {
        let atom = Atom::Floor(of.clone(), by);
        if self.ids.contains_key(&atom) {
            return self.add(atom, least, Vec::new(), Vec::new());
        }
        let (mut above, mut below) = (vec![above], vec![below]);
        let others: Vec<(AtomId, Poly)> = self
            .iter()
            .filter_map(|(id, known)| match known {
                Atom::Floor(other, same) if *same == by && other != of => Some((id, other.clone())),
                _ => None,
            })
            .collect();
        let (mut greater, mut lesser) = (Vec::new(), Vec::new());
        for (id, other) in others {
            if self.is_never_negative(&of.minus(&other)?) {
                lesser.push(id);
                below.push(Poly::atom(id));
            } else if self.is_never_negative(&other.minus(of)?) {
                greater.push(id);
                above.push(Poly::atom(id));
            }
        }
        let new = self.add(atom, least, above, below)?;
        for (ids, is_less) in [(lesser, true), (greater, false)] {
            for id in ids {
                let Some(known) = usize::from(id).checked_sub(1).and_then(|at| self.known.get_mut(at)) else { continue };
                if is_less { known.above.push(new.clone()) } else { known.below.push(new.clone()) }
            }
        }
        Some(new)
    }

    /// The least integer that is no less.
    pub fn ceil(&mut self, p: &Poly) -> Option<Poly> {
        let negative = p.times(Exact::integer(-1))?;
        self.floor(&negative)?.times(Exact::integer(-1))
    }

    /// 1 where it is at least 0, else 0.
    pub fn at_least_zero(&mut self, p: &Poly) -> Option<Poly> {
        if let Some(value) = p.as_constant() {
            return Some(Poly::integer(i128::from(value >= Exact::ZERO)));
        }
        if let Some(made) = self.split(p, &mut |atoms, p| atoms.at_least_zero(p))? {
            return Some(made);
        }
        let common = p.common();
        if common != Mono::ONE && self.are_at_least(&common, 1) {
            let less = p.over(&common)?;
            return self.at_least_zero(&less);
        }
        // form >= threshold, of integers without a common divisor.
        let form = p.without_constant();
        let content = form.content()?;
        let form = form.times(Exact::ONE.checked_div(content)?)?;
        let threshold = Exact::ZERO.checked_sub(p.constant_part())?.checked_div(content)?.ceil()?.to_integer()?;
        // m q >= 1 where q >= 1, of integers and m >= 1.
        let common = form.common();
        if threshold == 1 && common != Mono::ONE && self.are_at_least(&common, 1) {
            let less = form.over(&common)?.minus(&Poly::integer(1))?;
            return self.at_least_zero(&less);
        }
        let difference = form.minus(&Poly::integer(threshold))?;
        if self.is_never_negative(&difference) {
            return Some(Poly::integer(1));
        }
        let opposite = Poly::integer(threshold.checked_sub(1)?).minus(&form)?;
        if self.is_never_negative(&opposite) {
            return Some(Poly::default());
        }
        // Of a lesser one both are as large; of a greater one, one of them.
        for (mono, value) in form.terms().iter().filter(|_| form.terms().len() <= SHORT) {
            let Some(Atom::Min(a, b)) = (mono.degree() == 1).then(|| self.atom(mono.factors().next()?).cloned()).flatten() else {
                continue;
            };
            let rest = difference.minus(&Poly::term(*mono, *value))?;
            let (a, b) = (rest.plus(&a.times(*value)?)?, rest.plus(&b.times(*value)?)?);
            let (a, b) = (self.at_least_zero(&a)?, self.at_least_zero(&b)?);
            return if *value > Exact::ZERO { self.product(&a, &b) } else { self.either(&a, &b) };
        }
        if form.leading() < Exact::ZERO {
            // form >= t unless -form >= 1 - t.
            let other = self.at_least_zero(&opposite)?;
            return Poly::integer(1).minus(&other);
        }
        self.add(Atom::AtLeast(form, threshold), Some(0), vec![Poly::integer(1)], Vec::new())
    }

    /// 1 where it is 0, else 0.
    pub fn equals_zero(&mut self, p: &Poly) -> Option<Poly> {
        if let Some(value) = p.as_constant() {
            return Some(Poly::integer(i128::from(value.is_zero())));
        }
        if let Some(made) = self.split(p, &mut |atoms, p| atoms.equals_zero(p))? {
            return Some(made);
        }
        // Of integers: then what is more than 0 is at least 1.
        let p = &p.times(Exact::integer(p.denominator()?))?;
        let negative = p.times(Exact::integer(-1))?;
        for p in [p, &negative] {
            // 0 is the least that it can be.
            if self.is_never_negative(p) {
                let positive = self.at_least_zero(&p.minus(&Poly::integer(1))?)?;
                return Poly::integer(1).minus(&positive);
            }
            let below = p.times(Exact::integer(-1))?.minus(&Poly::integer(1))?;
            if self.is_never_negative(&below) {
                return Some(Poly::default());
            }
        }
        let form = p.without_constant();
        let content = form.content()?;
        let content = if form.leading() < Exact::ZERO { Exact::ZERO.checked_sub(content)? } else { content };
        let form = form.times(Exact::ONE.checked_div(content)?)?;
        match Exact::ZERO.checked_sub(p.constant_part())?.checked_div(content)?.to_integer() {
            None => Some(Poly::default()),
            Some(value) => self.add(Atom::Equals(form, value), Some(0), vec![Poly::integer(1)], Vec::new()),
        }
    }

    /// 1 where one of two conditions holds.
    pub fn either(&mut self, a: &Poly, b: &Poly) -> Option<Poly> {
        let both = self.product(a, b)?;
        a.plus(b)?.minus(&both)
    }

    /// `b + test (a - b)`.
    pub fn select(&mut self, test: &Poly, a: &Poly, b: &Poly) -> Option<Poly> {
        let difference = a.minus(b)?;
        self.product(test, &difference)?.plus(b)
    }

    /// `expected_experts(experts, chosen, tokens)`.
    pub fn experts(&mut self, experts: &Poly, chosen: &Poly, tokens: &Poly) -> Option<Poly> {
        let numbers = [experts, chosen, tokens];
        if let Some(made) = self.split_all(numbers, &mut |atoms, [a, b, c]| atoms.experts(a, b, c))? {
            return Some(made);
        }
        let millionth = Exact::ratio(1, MILLION)?;
        let known = |poly: &Poly| poly.as_constant().and_then(|n| n.to_integer());
        if let [Some(experts), Some(chosen), Some(tokens)] = numbers.map(known) {
            return Poly::constant(Exact::from_count(experts_at(experts, chosen, tokens))?).times(millionth);
        }
        let is_some = self.least(tokens).is_some_and(|least| least >= 1);
        let least = match known(chosen).filter(|_| is_some && known(experts).is_some()) {
            Some(chosen) => chosen.checked_mul(MILLION)?,
            None => 0,
        };
        let most = experts.times(Exact::integer(MILLION))?;
        let above = if self.is_never_negative(&most) { vec![most] } else { Vec::new() };
        let atom = Atom::Experts(experts.clone(), chosen.clone(), tokens.clone());
        self.add(atom, Some(least), above, Vec::new())?.times(millionth)
    }

    /// The greatest integer whose square is no more; of what is never negative.
    pub fn isqrt(&mut self, p: &Poly) -> Option<Poly> {
        if let Some(made) = self.split(p, &mut |atoms, p| atoms.isqrt(p))? {
            return Some(made);
        }
        if let Some(value) = p.as_constant() {
            return Poly::constant(Exact::from_count(value.to_count()?.isqrt())?).into();
        }
        self.add(Atom::Isqrt(p.clone()), Some(0), vec![p.clone()], Vec::new())
    }
}

/// [`expected_millionths`], 0 of what it has no value for.
pub(super) fn experts_at(experts: i128, chosen: i128, tokens: i128) -> u128 {
    let count = |n: i128| u128::try_from(n).ok();
    let expected = || expected_millionths(count(experts)?, count(chosen)?, count(tokens)?);
    expected().unwrap_or(0)
}

/// The item at a place, or the one at the end that it is beyond. `None`: there are none.
pub(super) fn item_at(items: &[i128], at: i128) -> Option<i128> {
    let last = items.len().checked_sub(1)?;
    let at = if at < 0 { 0 } else { usize::try_from(at).unwrap_or(last).min(last) };
    items.get(at).copied()
}

/// The nearest integer, of two the one nearer to 0.
fn nearest(value: Exact) -> Option<i128> {
    let half = Exact::ratio(1, 2)?;
    let (up, down) = (value.checked_sub(half)?.ceil()?, value.checked_add(half)?.floor()?);
    if value >= Exact::ZERO { up.to_integer() } else { down.to_integer() }
}

/// What all coefficients of two polynomials are multiples of; 1 of nothing.
fn gcd_of(a: &Poly, b: &Poly) -> Option<Exact> {
    let terms = a.terms().iter().chain(b.terms()).enumerate();
    // As if each stood with a product of its own, so that none cancels.
    let apart = terms.map(|(at, (_, value))| Some((Mono::of(AtomId::try_from(at + 1).ok()?), *value)));
    let content = Poly::sum(apart.collect::<Option<_>>()?)?.content()?;
    Some(if content.is_zero() { Exact::ONE } else { content })
}
