//! Which of many moments may be the largest: those that no others are never less than.
//!
//! A moment is a polynomial, which is here a point: a coordinate for each product of atoms counted from their least values, none of them negative
//! at any workload. One that is nowhere above a mean of two others is never above both. So the layers between the first and the last of a repeat,
//! of which each has as much more as the one before, go.

use std::collections::HashMap;

use super::atoms::Atoms;
use super::forms::{Form, Sizes};
use super::poly::{Mono, Poly, gcd};
use crate::syntax::expr::Exact;

/// How many of those that are kept are tried in pairs.
const MOST_PAIRED: usize = 48;

/// How many comparisons of a moment with a pair are made: what isn't compared stays.
const MOST_COMPARED: usize = 400_000;

/// After how many that were tried it is seen whether trying is worth it.
const ENOUGH: usize = 48;

/// How many of those that are kept a moment is compared with one by one.
const MOST_SINGLE: usize = 16;

/// How many weights of coordinates are tried for moments that are the largest somewhere: single coordinates, and mixtures.
const TRIED: (usize, u64) = (8, 10);

/// A moment.
#[derive(Debug, Clone, Copy)]
struct Point<'p> {
    /// Its place among the moments.
    at: usize,
    /// What decides between equals: of one that comes later and differs in it, a moment must be less.
    mark: usize,
    coordinates: &'p [i128],
    /// The same, to tell most of what isn't so quickly.
    rounded: &'p [f64],
}

impl Point<'_> {
    /// Whether an equal takes its place.
    fn yields_to(&self, other: &Point<'_>) -> bool {
        other.at < self.at || other.mark == self.mark
    }
}

/// Moments as points of a space.
#[derive(Debug, Default)]
pub struct Points {
    /// Of each: its place among the moments, and its mark.
    names: Vec<(usize, usize)>,
    /// Of one after the other.
    coordinates: Vec<i128>,
}

/// The products of a model's sizes, and each size by them.
#[derive(Debug, Default)]
pub struct Space {
    /// Of each size that is known: itself, counted from the least values of its atoms.
    shifted: Vec<Poly>,
    /// By size: coordinates and coefficients, whole numbers over one denominator.
    sizes: Vec<Vec<(usize, i128)>>,
    denominator: i128,
    /// By coordinate: whether it is never negative.
    is_positive: Vec<bool>,
}

impl Space {
    /// Makes it that of these sizes, of which it may know the first already. `None`: beyond what is computed with.
    pub fn grow(&mut self, atoms: &mut Atoms, sizes: &Sizes) -> Option<()> {
        let new = sizes.polys().get(self.shifted.len()..)?;
        if new.is_empty() && !self.sizes.is_empty() {
            return Some(());
        }
        for poly in new {
            self.shifted.push(atoms.counted_from_least(poly)?);
        }
        let mut denominator = 1i128;
        for poly in &self.shifted {
            denominator = lcm(denominator, poly.denominator()?)?;
        }
        let mut monos: HashMap<Mono, usize> = HashMap::from([(Mono::ONE, 0)]);
        let mut is_positive = vec![true];
        let mut found = Vec::with_capacity(self.shifted.len());
        for poly in &self.shifted {
            let mut size = Vec::with_capacity(poly.terms().len());
            for (mono, value) in poly.terms() {
                let next = monos.len();
                let at = *monos.entry(*mono).or_insert(next);
                if at == next {
                    // Counted from its least value, a factor is never negative if it has one.
                    is_positive.push(mono.factors().all(|atom| atoms.has_least(atom)));
                }
                size.push((at, value.checked_mul(Exact::integer(denominator))?.to_integer()?));
            }
            found.push(size);
        }
        let kept = independent(&found, &is_positive);
        let place = |at: usize| kept.binary_search(&at).ok();
        let narrowed = found.iter().map(|size| size.iter().filter_map(|(at, value)| Some((place(*at)?, *value))).collect());
        self.sizes = narrowed.collect();
        self.is_positive = kept.iter().filter_map(|at| is_positive.get(*at).copied()).collect();
        self.denominator = denominator;
        Some(())
    }

    /// How many coordinates a point has.
    fn width(&self) -> usize {
        self.is_positive.len() + 1
    }

    /// Adds a moment to some points. `extra`: a coordinate of its own. `None`: beyond what is computed with.
    pub fn add(&self, form: &Form, extra: u128, (at, mark): (usize, usize), points: &mut Points) -> Option<()> {
        let from = points.coordinates.len();
        points.coordinates.resize(from + self.width(), 0);
        let coordinates = points.coordinates.get_mut(from..)?;
        for (size, count) in form.terms() {
            for (coordinate, value) in self.sizes.get(*size as usize)? {
                let cell = coordinates.get_mut(*coordinate)?;
                *cell = cell.checked_add(product(*value, *count)?)?;
            }
        }
        if let Some(last) = coordinates.last_mut() {
            *last = i128::try_from(extra).ok()?.checked_mul(self.denominator)?;
        }
        points.names.push((at, mark));
        Some(())
    }

    /// Those that may be the largest, in their order.
    pub fn front(&self, points: &Points) -> Vec<usize> {
        // What tells most apart first; what all have alike tells nothing.
        let spread = spread(points, self.width());
        let mut order: Vec<usize> = (0..spread.len()).filter(|at| spread.get(*at).is_some_and(|spread| *spread > 0)).collect();
        order.sort_by_key(|at| std::cmp::Reverse(spread.get(*at).copied()));
        let mut coordinates = Vec::with_capacity(points.names.len() * order.len());
        for row in points.coordinates.chunks_exact(self.width()) {
            coordinates.extend(order.iter().filter_map(|at| row.get(*at).copied()));
        }
        #[expect(clippy::cast_precision_loss, reason = "what it decides is decided again in whole numbers")]
        let round = |own: &i128| i64::try_from(*own).map_or(*own as f64, |small| small as f64);
        let rounded: Vec<f64> = coordinates.iter().map(round).collect();
        let row = |n: usize| n * order.len()..(n + 1) * order.len();
        let point = |(n, (at, mark)): (usize, &(usize, usize))| {
            let (coordinates, rounded) = (coordinates.get(row(n)).unwrap_or_default(), rounded.get(row(n)).unwrap_or_default());
            Point { at: *at, mark: *mark, coordinates, rounded }
        };
        let points: Vec<Point<'_>> = points.names.iter().enumerate().map(point).collect();
        let is_positive = order.iter().map(|at| self.is_positive.get(*at).copied().unwrap_or(true)).collect();
        Compared { is_positive, constant: order.iter().position(|at| *at == 0) }.front(&points)
    }
}

/// Coordinates of which none is a positive multiple of another whatever a sum of sizes is: products that the same sizes have in the same proportions
/// tell the same apart. The constant stays, and of what may be negative that which may. In ascending order.
fn independent(sizes: &[Vec<(usize, i128)>], is_positive: &[bool]) -> Vec<usize> {
    let mut columns: Vec<Vec<(usize, i128)>> = vec![Vec::new(); is_positive.len()];
    for (size, terms) in sizes.iter().enumerate() {
        for (at, value) in terms {
            if let Some(column) = columns.get_mut(*at) {
                column.push((size, *value));
            }
        }
    }
    // Of each proportion the coordinate with the largest numbers, as what differs most is compared first.
    let mut best: HashMap<Vec<(usize, i128)>, (bool, i128, usize)> = HashMap::new();
    for (at, (mut column, positive)) in columns.into_iter().zip(is_positive).enumerate().skip(1) {
        let common = column.iter().fold(0, |all, (_, value)| gcd(all, *value)).max(1);
        column.iter_mut().for_each(|(_, value)| *value /= common);
        let own = (!positive, common, at);
        let kept = best.entry(column).or_insert(own);
        *kept = own.max(*kept);
    }
    let mut kept: Vec<usize> = best.into_values().map(|(_, _, at)| at).chain([0]).collect();
    kept.sort_unstable();
    kept
}

/// How much points differ in each of so many coordinates.
fn spread(points: &Points, width: usize) -> Vec<i128> {
    let mut ends = vec![(i128::MAX, i128::MIN); width];
    for row in points.coordinates.chunks_exact(width) {
        for ((least, most), own) in ends.iter_mut().zip(row) {
            *least = (*least).min(*own);
            *most = (*most).max(*own);
        }
    }
    ends.into_iter().map(|(least, most)| most.saturating_sub(least)).collect()
}

/// What points are compared by: the coordinates in which they differ.
struct Compared {
    /// Whether a coordinate is never negative.
    is_positive: Vec<bool>,
    /// That of the constant, if they differ in it.
    constant: Option<usize>,
}

impl Compared {
    fn front(&self, points: &[Point<'_>]) -> Vec<usize> {
        let singles = self.without_covered(points);
        let mut best: Vec<&Point<'_>> = Vec::new();
        for weights in self.weights() {
            let weigh = |point: &&Point<'_>| {
                let products = point.rounded.iter().zip(&weights).map(|(own, weight)| own * weight);
                products.fold(0.0, |sum: f64, product| sum + product)
            };
            let weighed = singles.iter().copied().map(|point| (weigh(&point), point));
            let largest = weighed.reduce(|a, b| if b.0 > a.0 { b } else { a }).map(|(_, point)| point);
            best.extend(largest.filter(|point| best.iter().all(|known| known.at != point.at)));
        }
        let mut left = MOST_COMPARED;
        let mut kept = best.clone();
        let (mut tried, mut gone) = (0usize, 0usize);
        for point in singles {
            if best.iter().any(|known| known.at == point.at) {
                continue;
            }
            // Where few go, little is lost when the others stay.
            if tried < ENOUGH || gone * 8 > tried {
                tried += 1;
                if self.is_between(point, &best, &mut left) {
                    gone += 1;
                    continue;
                }
            }
            kept.push(point);
            if best.len() < MOST_PAIRED {
                best.push(point);
            }
        }
        // What was kept before others that cover it were.
        if kept.len() <= MOST_PAIRED {
            for point in kept.clone() {
                let others: Vec<&Point<'_>> = kept.iter().copied().filter(|other| other.at != point.at).collect();
                if self.is_covered(point, &others) || self.is_between(point, &others, &mut left) {
                    kept = others;
                }
            }
        }
        let mut places: Vec<usize> = kept.iter().map(|point| point.at).collect();
        places.sort_unstable();
        places
    }

    /// Those that no single one is never less than, as far as is looked.
    fn without_covered<'p>(&self, points: &'p [Point<'p>]) -> Vec<&'p Point<'p>> {
        let weight = |point: &Point<'_>| point.rounded.iter().fold(0.0, |sum: f64, own| sum + own);
        let mut order: Vec<(f64, &Point<'_>)> = points.iter().map(|point| (weight(point), point)).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.at.cmp(&b.1.at)));
        let mut kept: Vec<&Point<'_>> = Vec::new();
        for (_, point) in order {
            // Neighbours are alike.
            let near = kept.get(kept.len().saturating_sub(MOST_SINGLE)..).unwrap_or_default();
            if !self.is_covered(point, near) {
                kept.push(point);
            }
        }
        kept
    }

    /// Weights of coordinates: those alone in which points differ most, and mixtures.
    fn weights(&self) -> Vec<Vec<f64>> {
        // Those that tell most apart come first.
        let length = self.is_positive.len();
        let apart = 0..length.min(TRIED.0);
        let alone = apart.into_iter().map(|at| (0..length).map(|own| if own == at { f64::from(1 << 20) } else { 1.0 }).collect());
        let mixed = (0..TRIED.1).map(|seed| {
            let mut state = 0x9E37_79B9_7F4A_7C15u64.wrapping_mul(seed + 1) | 1;
            let weight = |_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                f64::from(1u32 << (state % 24))
            };
            (0..length).map(weight).collect()
        });
        alone.chain(mixed).collect()
    }

    /// Whether one of the others is never less than a point.
    fn is_covered(&self, point: &Point<'_>, others: &[&Point<'_>]) -> bool {
        others.iter().rev().any(|other| self.mean_covers(point, other, other, !point.yields_to(other)))
    }

    /// Whether of two of the others a mean is never less than a point.
    fn is_between(&self, point: &Point<'_>, others: &[&Point<'_>], left: &mut usize) -> bool {
        let paired = others.get(..others.len().min(MOST_PAIRED)).unwrap_or_default();
        for (n, a) in paired.iter().enumerate() {
            for b in paired.get(n + 1..).unwrap_or_default() {
                match left.checked_sub(1) {
                    Some(rest) => *left = rest,
                    None => return false,
                }
                if self.mean_covers(point, a, b, !(point.yields_to(a) && point.yields_to(b))) {
                    return true;
                }
            }
        }
        false
    }

    /// Whether no mean of two points is nowhere below a third, by rounded numbers: by more than what rounding can change.
    fn is_clearly_below(&self, point: &Point<'_>, a: &Point<'_>, b: &Point<'_>) -> bool {
        const SLACK: f64 = 1e-9;
        let (mut low, mut high) = (0.0f64, 1.0f64);
        for (((own, a), b), positive) in point.rounded.iter().zip(a.rounded).zip(b.rounded).zip(&self.is_positive) {
            let (slope, wanted) = (a - b, own - b);
            let size = own.abs().max(a.abs()).max(b.abs());
            if slope.abs() <= size * SLACK {
                if *positive && wanted > size * SLACK {
                    return true;
                }
            } else if slope > 0.0 {
                low = low.max((wanted - size * SLACK) / slope);
            } else {
                high = high.min((wanted - size * SLACK) / slope);
            }
            if high + SLACK < low {
                return true;
            }
        }
        false
    }

    /// Whether a mean of two points is nowhere below a third: whether there is a share of the first that does for every coordinate.
    fn mean_covers(&self, point: &Point<'_>, a: &Point<'_>, b: &Point<'_>, strictly: bool) -> bool {
        if self.is_clearly_below(point, a, b) {
            return false;
        }
        if strictly && self.constant.is_none() {
            return false;
        }
        let (mut low, mut high) = ((0i128, 1i128), (1i128, 1i128));
        for (at, ((own, a), b)) in point.coordinates.iter().zip(a.coordinates).zip(b.coordinates).enumerate() {
            // Where a coordinate may be negative both must have as much of it.
            if self.is_positive.get(at) == Some(&false) {
                if own != a || own != b {
                    return false;
                }
                continue;
            }
            // share * (a - b) >= own - b; the constant is what makes it more.
            let own = own.saturating_add(i128::from(strictly && self.constant == Some(at)));
            let (slope, wanted) = (a.saturating_sub(*b), own.saturating_sub(*b));
            match slope.signum() {
                0 if wanted > 0 => return false,
                0 => {}
                1 => low = larger(low, (wanted, slope)),
                _ => high = smaller(high, (wanted.saturating_neg(), slope.saturating_neg())),
            }
            if is_less(high, low) {
                return false;
            }
        }
        true
    }
}

/// A product; most factors are small, of which it can't leave 128 bits.
fn product(a: i128, b: i128) -> Option<i128> {
    match (i64::try_from(a), i64::try_from(b)) {
        (Ok(a), Ok(b)) => Some(i128::from(a).wrapping_mul(i128::from(b))),
        _ => a.checked_mul(b),
    }
}

/// The least common multiple of two positive numbers. `None`: beyond 127 bits.
fn lcm(a: i128, b: i128) -> Option<i128> {
    a.checked_div(gcd(a, b))?.checked_mul(b)
}

/// Whether a fraction is less than another; their denominators are positive. Beyond what is computed with: it is, so that nothing is taken for
/// proved.
fn is_less((a, over_a): (i128, i128), (b, over_b): (i128, i128)) -> bool {
    match (a.checked_mul(over_b), b.checked_mul(over_a)) {
        (Some(left), Some(right)) => left < right,
        _ => true,
    }
}

fn larger(a: (i128, i128), b: (i128, i128)) -> (i128, i128) {
    let fits = a.0.checked_mul(b.1).is_some() && b.0.checked_mul(a.1).is_some();
    // What can't be compared makes the interval empty.
    if !fits {
        (2, 1)
    } else if is_less(a, b) {
        b
    } else {
        a
    }
}

fn smaller(a: (i128, i128), b: (i128, i128)) -> (i128, i128) {
    let fits = a.0.checked_mul(b.1).is_some() && b.0.checked_mul(a.1).is_some();
    if !fits {
        (-1, 1)
    } else if is_less(b, a) {
        b
    } else {
        a
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of moments, each with its place, its mark and its coordinates.
    fn front(moments: &[(usize, usize, &[i128])]) -> Vec<usize> {
        let space = Space { denominator: 1, is_positive: vec![true, true], ..Space::default() };
        let names = moments.iter().map(|(at, mark, _)| (*at, *mark)).collect();
        let coordinates = moments.iter().flat_map(|(_, _, coordinates)| coordinates.iter().copied()).collect();
        space.front(&Points { names, coordinates })
    }

    /// Layers of a repeat have ever more of one thing and ever less of another: the first and the last are left.
    #[test]
    fn what_lies_between_two_is_never_the_largest() {
        let layers = |more: i128| {
            let layer = |n: i128| [1000 * n, 10 * (40 - n) + if n == 20 { more } else { 0 }, 0];
            let layers: Vec<[i128; 3]> = (0..40).map(layer).collect();
            front(&layers.iter().enumerate().map(|(n, layer)| (n, 0, &layer[..])).collect::<Vec<_>>())
        };
        assert_eq!(layers(0), [0, 39]);
        // One that is above the line between them stays.
        assert_eq!(layers(1), [0, 20, 39]);
    }

    /// Of equals the first says what persists: a later one that differs in that takes its place only if it is more.
    #[test]
    fn an_earlier_one_is_not_covered_by_its_equal() {
        assert_eq!(front(&[(0, 1, &[5, 5, 0]), (1, 2, &[5, 6, 0])]), [0, 1]);
        assert_eq!(front(&[(0, 1, &[5, 5, 0]), (1, 2, &[6, 6, 0])]), [1]);
        assert_eq!(front(&[(0, 1, &[5, 5, 0]), (1, 1, &[5, 6, 0])]), [1]);
        assert_eq!(front(&[(0, 1, &[5, 6, 0]), (1, 2, &[5, 5, 0])]), [0]);
    }

    /// Products in the same proportions tell the same apart; the constant, opposite proportions and what may be negative are told from others.
    #[test]
    fn coordinates_in_the_same_proportions_are_one() {
        let sizes = [vec![(0, 2), (1, 3), (2, 6), (3, -3), (4, 3)], vec![(1, 1), (2, 2), (3, -1), (4, 1)], vec![(5, 7)]];
        assert_eq!(independent(&sizes, &[true; 6]), [0, 2, 3, 5]);
        assert_eq!(independent(&sizes, &[true, true, true, true, false, true]), [0, 3, 4, 5]);
    }
}
