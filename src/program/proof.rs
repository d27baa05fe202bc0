//! What is known of polynomials at every point: that they are never negative, that they are integers.
//!
//! Each atom has a least value and is bounded by other polynomials. A proof counts every atom from its least value: if no coefficient is negative,
//! neither is the polynomial. Else atoms are replaced by their bounds, one after the other, within a budget. It proves little, and nothing that is
//! wrong.

use std::collections::HashMap;

use super::atoms::Atoms;
use super::poly::{AtomId, Mono, Poly};
use crate::syntax::expr::Exact;

/// How many substitutions deep a proof goes.
const PROOF_DEPTH: u8 = 12;

/// How many substitutions a proof makes: many a polynomial isn't proved whatever is tried.
const PROOF_STEPS: u32 = 60;

/// How a proof is looked for.
struct Search {
    /// Only the last atom that has bounds is replaced, then the next.
    in_order: bool,
    /// How many substitutions may follow.
    steps: u32,
}

impl Atoms {
    /// Whether it is at least 0 at every point. `false`: it may be less.
    pub fn is_never_negative(&mut self, p: &Poly) -> bool {
        if let Some(value) = p.as_constant() {
            return value >= Exact::ZERO;
        }
        if let Some(known) = self.proved.get(p) {
            return *known;
        }
        // First one thing after the other, as chains of extremes need it; then in any order.
        let proved = [true, false].into_iter().any(|in_order| {
            let mut search = Search { in_order, steps: PROOF_STEPS };
            self.prove(p, PROOF_DEPTH, &mut search)
        });
        self.proved.insert(p.clone(), proved);
        proved
    }

    fn prove(&mut self, p: &Poly, depth: u8, search: &mut Search) -> bool {
        let atoms = p.atoms();
        let least = |id: &AtomId| self.known(*id).and_then(|known| known.least);
        if !atoms.iter().all(|id| least(id).is_some_and(|least| least >= 0)) {
            return false;
        }
        if self.shifted(p).is_some_and(|shifted| shifted.terms().iter().all(|(_, value)| *value >= Exact::ZERO)) {
            return true;
        }
        let Some(depth) = depth.checked_sub(1) else { return false };
        for atom in atoms.into_iter().rev() {
            let mut signs = p.terms().iter().filter(|(mono, _)| mono.count(atom) > 0).map(|(_, value)| *value > Exact::ZERO);
            let first = signs.next();
            if signs.any(|sign| Some(sign) != first) {
                continue;
            }
            let Some(known) = self.known(atom) else { continue };
            let bounds = if first == Some(true) { known.below.clone() } else { known.above.clone() };
            if bounds.is_empty() {
                continue;
            }
            for bound in bounds {
                match search.steps.checked_sub(1) {
                    Some(left) => search.steps = left,
                    None => return false,
                }
                if let Some(less) = self.substituted(p, atom, &bound)
                    && (less.as_constant().is_some_and(|value| value >= Exact::ZERO) || self.prove(&less, depth, search))
                {
                    return true;
                }
            }
            if search.in_order {
                return false;
            }
        }
        false
    }

    /// The same with each atom that has a least value counted from it. `None`: beyond what is computed with.
    pub(super) fn counted_from_least(&mut self, p: &Poly) -> Option<Poly> {
        let mut shifted = p.clone();
        for atom in p.atoms() {
            if let Some(least) = self.known(atom)?.least.filter(|least| *least != 0) {
                let by = Poly::atom(atom).plus(&Poly::integer(least))?;
                shifted = self.substituted(&shifted, atom, &by)?;
            }
        }
        Some(shifted)
    }

    /// The same with each atom counted from its least value.
    fn shifted(&mut self, p: &Poly) -> Option<Poly> {
        let mut shifted = p.clone();
        for atom in p.atoms() {
            let least = self.known(atom)?.least?;
            if least != 0 {
                let by = Poly::atom(atom).plus(&Poly::integer(least))?;
                shifted = self.substituted(&shifted, atom, &by)?;
            }
        }
        Some(shifted)
    }

    /// A number that it is never less than. `None`: none was found.
    pub(super) fn least(&mut self, p: &Poly) -> Option<i128> {
        let all_known =
            p.atoms().iter().all(|id| self.known(*id).is_some_and(|known| known.least.is_some_and(|least| least >= 0)));
        let shifted = self.shifted(p).filter(|_| all_known)?;
        let grows = shifted.without_constant().terms().iter().all(|(_, value)| *value >= Exact::ZERO);
        grows.then(|| shifted.constant_part().floor()?.to_integer()).flatten()
    }

    /// Whether an atom has a least value.
    pub(super) fn has_least(&self, id: AtomId) -> bool {
        self.known(id).is_some_and(|known| known.least.is_some())
    }

    /// Whether all factors are at least so much at every point.
    pub(super) fn are_at_least(&self, mono: &Mono, least: i128) -> bool {
        mono.factors().all(|id| self.known(id).and_then(|known| known.least).is_some_and(|known| known >= least))
    }

    /// Whether it is an integer at every point, atoms being integers: it is if it is one at the first points of a grid, as many in each direction
    /// as its degree has (finite differences).
    pub fn is_integer(&self, p: &Poly) -> bool {
        const MOST_POINTS: usize = 512;
        if p.terms().iter().all(|(_, value)| value.is_integer()) {
            return true;
        }
        // What has integer coefficients adds integers.
        let broken: Vec<(Mono, Exact)> = p.terms().iter().filter(|(_, value)| !value.is_integer()).copied().collect();
        let Some(broken) = Poly::sum(broken) else { return false };
        let atoms = broken.atoms();
        let degree = |atom: &AtomId| broken.terms().iter().map(|(mono, _)| mono.count(*atom)).max().unwrap_or(0);
        let sizes: Vec<usize> = atoms.iter().map(|atom| degree(atom) + 1).collect();
        let points = sizes.iter().try_fold(1usize, |all, size| all.checked_mul(*size)).filter(|all| *all <= MOST_POINTS);
        let is_integer_at = |point: usize| {
            let mut left = point;
            let values: HashMap<AtomId, i128> = atoms
                .iter()
                .zip(&sizes)
                .map(|(atom, size)| {
                    let value = left % size;
                    left /= size;
                    (*atom, i128::try_from(value).unwrap_or(0))
                })
                .collect();
            let term = |(mono, value): &(Mono, Exact)| {
                let product = mono.factors().try_fold(1i128, |product, atom| product.checked_mul(*values.get(&atom)?))?;
                value.checked_mul(Exact::integer(product))
            };
            let sum = broken.terms().iter().try_fold(Exact::ZERO, |sum, each| sum.checked_add(term(each)?));
            sum.is_some_and(|sum| sum.is_integer())
        };
        points.is_some_and(|points| (0..points).all(is_integer_at))
    }
}
