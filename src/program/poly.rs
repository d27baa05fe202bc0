//! Polynomials with exact coefficients: the numbers of a program before it has a workload.
//!
//! What a factor stands for (a variable, a `floor`, a `min`, ...) is known to [`Atoms`](super::atoms::Atoms); here it is a number. All factors are
//! integers at every point, so fractions are in coefficients alone.

use crate::syntax::expr::Exact;

/// What a factor stands for: a position in a table of atoms, counted from 1.
pub type AtomId = u16;

/// The most factors of a product.
const MOST_FACTORS: usize = 12;

/// The most terms of a polynomial: beyond, nobody reads it, and the interpreter is faster.
const MOST_TERMS: usize = 4_000;

/// The most terms of a quotient of two polynomials that is looked for.
const MOST_DIVIDED: usize = 64;

/// A product of atoms: their ids in ascending order, then zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Mono([AtomId; MOST_FACTORS]);

impl Mono {
    /// The empty product.
    pub const ONE: Mono = Mono([0; MOST_FACTORS]);

    /// A single factor.
    pub fn of(atom: AtomId) -> Self {
        let mut factors = [0; MOST_FACTORS];
        if let Some(first) = factors.first_mut() {
            *first = atom;
        }
        Mono(factors)
    }

    /// The product of some factors, in any order. `None`: there are too many.
    pub fn product(mut factors: Vec<AtomId>) -> Option<Self> {
        if factors.len() > MOST_FACTORS {
            return None;
        }
        factors.sort_unstable();
        factors.resize(MOST_FACTORS, 0);
        factors.try_into().ok().map(Mono)
    }

    /// Its factors, each as often as it stands there.
    pub fn factors(&self) -> impl Iterator<Item = AtomId> + Clone + '_ {
        self.0.iter().copied().take_while(|atom| *atom != 0)
    }

    /// How many factors it has.
    pub fn degree(&self) -> usize {
        self.factors().count()
    }

    /// How often a factor stands in it.
    pub fn count(&self, atom: AtomId) -> usize {
        self.factors().filter(|factor| *factor == atom).count()
    }

    /// The product with another. `None`: it has too many factors.
    pub fn times(&self, other: &Mono) -> Option<Mono> {
        if *other == Mono::ONE {
            return Some(*self);
        }
        if *self == Mono::ONE {
            return Some(*other);
        }
        Mono::product(self.factors().chain(other.factors()).collect())
    }

    /// What is left when one factor is taken out once.
    pub fn without(&self, atom: AtomId) -> Mono {
        let mut gone = false;
        let left = self.factors().filter(|factor| gone || *factor != atom || std::mem::replace(&mut gone, true));
        Mono::product(left.collect()).unwrap_or(*self)
    }

    /// What is left when all factors of another are taken out. `None`: it hasn't all of them.
    pub fn over(&self, other: &Mono) -> Option<Mono> {
        other.factors().try_fold(*self, |left, atom| (left.count(atom) > 0).then(|| left.without(atom)))
    }

    /// The factors that it has in common with another.
    pub fn common(&self, other: &Mono) -> Mono {
        let mut left = *other;
        let mut both = Vec::new();
        for atom in self.factors() {
            if left.count(atom) > 0 {
                left = left.without(atom);
                both.push(atom);
            }
        }
        Mono::product(both).unwrap_or_default()
    }
}

/// A sum of products with exact coefficients, none of them 0, in ascending order of the products.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Poly(Vec<(Mono, Exact)>);

impl Poly {
    /// A number.
    pub fn constant(value: Exact) -> Self {
        if value.is_zero() { Poly::default() } else { Poly(vec![(Mono::ONE, value)]) }
    }

    /// An integer.
    pub fn integer(value: i128) -> Self {
        Poly::constant(Exact::integer(value))
    }

    /// An atom.
    pub fn atom(atom: AtomId) -> Self {
        Poly(vec![(Mono::of(atom), Exact::ONE)])
    }

    /// One term.
    pub fn term(mono: Mono, coefficient: Exact) -> Self {
        if coefficient.is_zero() { Poly::default() } else { Poly(vec![(mono, coefficient)]) }
    }

    /// The sum of some terms, in any order. `None` beyond what is computed with.
    pub fn sum(mut terms: Vec<(Mono, Exact)>) -> Option<Self> {
        terms.sort_unstable_by_key(|(mono, _)| *mono);
        let mut sum: Vec<(Mono, Exact)> = Vec::with_capacity(terms.len());
        for (mono, coefficient) in terms {
            match sum.last_mut() {
                Some((last, total)) if *last == mono => *total = total.checked_add(coefficient)?,
                _ => sum.push((mono, coefficient)),
            }
        }
        sum.retain(|(_, coefficient)| !coefficient.is_zero());
        (sum.len() <= MOST_TERMS).then_some(Poly(sum))
    }

    pub fn terms(&self) -> &[(Mono, Exact)] {
        &self.0
    }

    pub fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// The number that it is. `None`: it has factors.
    pub fn as_constant(&self) -> Option<Exact> {
        match self.0.as_slice() {
            [] => Some(Exact::ZERO),
            [(Mono::ONE, value)] => Some(*value),
            _ => None,
        }
    }

    /// The atom that it is, and nothing else.
    pub fn as_atom(&self) -> Option<AtomId> {
        match self.0.as_slice() {
            [(mono, value)] if *value == Exact::ONE && mono.degree() == 1 => mono.factors().next(),
            _ => None,
        }
    }

    /// The term without factors.
    pub fn constant_part(&self) -> Exact {
        self.0.first().filter(|(mono, _)| *mono == Mono::ONE).map_or(Exact::ZERO, |(_, value)| *value)
    }

    /// All but the term without factors.
    pub fn without_constant(&self) -> Poly {
        Poly(self.0.iter().filter(|(mono, _)| *mono != Mono::ONE).copied().collect())
    }

    /// The coefficient of the last product.
    pub fn leading(&self) -> Exact {
        self.0.last().map_or(Exact::ZERO, |(_, value)| *value)
    }

    /// `None` beyond what is computed with.
    pub fn plus(&self, other: &Poly) -> Option<Poly> {
        if other.is_zero() {
            return Some(self.clone());
        }
        Poly::sum(self.0.iter().chain(&other.0).copied().collect())
    }

    /// `None` beyond what is computed with.
    pub fn minus(&self, other: &Poly) -> Option<Poly> {
        self.plus(&other.times(Exact::integer(-1))?)
    }

    /// Times a number. `None` beyond what is computed with.
    pub fn times(&self, factor: Exact) -> Option<Poly> {
        if factor.is_zero() {
            return Some(Poly::default());
        }
        let terms = self.0.iter().map(|(mono, value)| Some((*mono, value.checked_mul(factor)?)));
        terms.collect::<Option<_>>().map(Poly)
    }

    /// Every atom in it, each once.
    pub fn atoms(&self) -> Vec<AtomId> {
        let mut atoms: Vec<AtomId> = self.0.iter().flat_map(|(mono, _)| mono.factors()).collect();
        atoms.sort_unstable();
        atoms.dedup();
        atoms
    }

    /// The least number that makes all coefficients integers.
    pub fn denominator(&self) -> Option<i128> {
        self.0.iter().try_fold(1i128, |all, (_, value)| {
            let (_, denominator) = value.parts();
            (all / gcd(all, denominator)).checked_mul(denominator)
        })
    }

    /// The polynomial over a number, of integer coefficients. `None` beyond what is computed with.
    pub fn whole(&self) -> Option<(Poly, i128)> {
        let denominator = self.denominator()?;
        Some((self.times(Exact::integer(denominator))?, denominator))
    }

    /// The greatest number by which all coefficients are integer multiples; 0 of nothing.
    pub fn content(&self) -> Option<Exact> {
        let denominator = self.denominator()?;
        let numerators = self.0.iter().map(|(_, value)| value.checked_mul(Exact::integer(denominator))?.to_integer());
        let numerator = numerators.into_iter().try_fold(0i128, |all, numerator| Some(gcd(all, numerator?)))?;
        Exact::ratio(numerator, denominator)
    }

    /// The factors that all terms have in common.
    pub fn common(&self) -> Mono {
        let mut monos = self.0.iter().map(|(mono, _)| *mono);
        let first = monos.next().unwrap_or_default();
        monos.fold(first, |common, mono| common.common(&mono))
    }

    /// The polynomial of which this one is the product with another. `None`: there is none, or none was found within what is computed with.
    pub fn divided(&self, by: &Poly) -> Option<Poly> {
        // Of the largest products, by an order that multiplying both sides keeps.
        let leading = |poly: &Poly| poly.0.iter().max_by_key(|(mono, _)| (mono.degree(), *mono)).copied();
        let (lead, scale) = leading(by).filter(|_| self.0.len() <= MOST_DIVIDED * MOST_DIVIDED)?;
        let (mut rest, mut quotient) = (self.clone(), Vec::new());
        while let Some((mono, value)) = leading(&rest) {
            if quotient.len() >= MOST_DIVIDED {
                return None;
            }
            let (mono, value) = (mono.over(&lead)?, value.checked_div(scale)?);
            let part: Option<Vec<(Mono, Exact)>> =
                by.0.iter().map(|(of, times)| Some((of.times(&mono)?, times.checked_mul(value)?))).collect();
            rest = rest.minus(&Poly::sum(part?)?)?;
            quotient.push((mono, value));
        }
        Poly::sum(quotient)
    }

    /// Without factors that all terms have. `None`: one hasn't.
    pub fn over(&self, divisor: &Mono) -> Option<Poly> {
        Poly::sum(self.0.iter().map(|(mono, value)| Some((mono.over(divisor)?, *value))).collect::<Option<_>>()?)
    }
}

/// The greatest common divisor, positive.
pub fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i128::try_from(a).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_sorted_and_divisible() {
        let ab = Mono::of(2).times(&Mono::of(1)).unwrap();
        assert_eq!(ab.factors().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(ab.over(&Mono::of(2)), Some(Mono::of(1)));
        assert_eq!(ab.over(&Mono::of(3)), None);
        assert_eq!(ab.times(&Mono::of(2)).unwrap().without(2), ab);
        assert_eq!(Mono::product(vec![1; MOST_FACTORS + 1]), None);
    }

    #[test]
    fn products_are_divided_by_their_factors() {
        let (x, y) = (Poly::atom(1), Poly::atom(2));
        let times = |a: &Poly, b: &Poly| {
            let term = |(m, x): &(Mono, Exact)| {
                b.terms().iter().map(|(n, y)| (m.times(n).unwrap(), x.checked_mul(*y).unwrap())).collect::<Vec<_>>()
            };
            Poly::sum(a.terms().iter().flat_map(term).collect()).unwrap()
        };
        let sum = x.plus(&y).unwrap();
        let other = x.minus(&times(&y, &y)).unwrap().plus(&Poly::integer(3)).unwrap();
        let product = times(&sum, &other);
        assert_eq!(product.divided(&sum), Some(other.clone()));
        assert_eq!(product.divided(&other), Some(sum.clone()));
        assert_eq!(product.plus(&Poly::integer(1)).unwrap().divided(&sum), None);
        assert_eq!(x.divided(&Poly::default()), None);
        assert_eq!(Poly::default().divided(&x), Some(Poly::default()));
    }

    #[test]
    fn sums_cancel() {
        let p = Poly::atom(1).plus(&Poly::integer(3)).unwrap();
        assert!(p.minus(&p).unwrap().is_zero());
        assert_eq!(p.minus(&Poly::atom(1)).unwrap().as_constant(), Some(Exact::integer(3)));
        let half = p.times(Exact::ratio(6, 4).unwrap()).unwrap();
        assert_eq!((half.denominator(), half.content()), (Some(2), Exact::ratio(3, 2)));
    }
}
