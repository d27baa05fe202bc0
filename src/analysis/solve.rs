//! At which value of one variable a quantity reaches a target.
//!
//! A question and a way to ask comes in ([`Question`], a probe), two values go out between which it happens ([`Solution`]): found by doubling and
//! halving from where the model is known to be right, then by bisection. Where the model isn't valid, neighbours are looked at. Nothing is
//! assumed of the quantity but that it was seen below and at or above the target: the two values are the ones that were asked.

use std::collections::BTreeMap;

use num_integer::Integer;

use crate::syntax::diag::{Code, Diagnostic};

/// What is looked for, and where.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// What is to be reached.
    pub target: u128,
    /// No smaller value.
    pub least: u64,
    /// No larger one.
    pub most: u64,
    /// Only multiples of this, which isn't 0.
    pub multiple_of: u64,
    /// Where the model is thought to be right.
    pub start: Option<u64>,
}

/// A value and the figure there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Of the variable.
    pub value: u64,
    /// The quantity.
    pub figure: u128,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Solution {
    /// The value on the side below the target, next to the other one. `None`: no value that was tried is below.
    pub below: Option<Reading>,
    /// The value at which the target is reached. `None`: none that was tried reaches it.
    pub reached: Option<Reading>,
    /// Whether no valid value lies between the two.
    pub adjacent: bool,
    /// What was read, in the order of the values.
    pub readings: Vec<Reading>,
    /// Values at which the model isn't valid.
    pub invalid: u64,
    /// The first of those that was tried, and why.
    pub first_invalid: Option<(u64, Box<Diagnostic>)>,
}

impl Solution {
    /// How the readings go as the value grows.
    #[must_use]
    pub fn trend(&self) -> Trend {
        let mut trend = Trend::Constant;
        for pair in self.readings.windows(2) {
            let [a, b] = pair else { continue };
            let step = match a.figure.cmp(&b.figure) {
                std::cmp::Ordering::Less => Trend::Rising,
                std::cmp::Ordering::Greater => Trend::Falling,
                std::cmp::Ordering::Equal => continue,
            };
            if trend == Trend::Constant {
                trend = step;
            } else if trend != step {
                return Trend::Both;
            }
        }
        trend
    }
}

/// How a quantity goes with a variable, as far as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trend {
    /// It never changes.
    Constant,
    /// It grows or stays.
    Rising,
    /// It shrinks or stays.
    Falling,
    /// It does both.
    Both,
}

/// Neighbours that are looked at on each side of a value where the model isn't valid.
const REACH: u64 = 256;
/// The same while looking for where to begin.
const FIRST_REACH: u64 = 64;
/// The same where the models end.
const EDGE_REACH: u64 = 16;
/// Values that are tried in all: each may be another model.
const MOST_TRIED: usize = 4096;

/// Looks for the values between which a quantity reaches the target. A probe reads it at a value, or says why it can't be had there.
pub fn solve(question: Question, probe: &mut dyn FnMut(u64) -> Result<u128, Box<Diagnostic>>) -> Solution {
    let Question { least, most, multiple_of, start, .. } = question;
    let step = multiple_of.max(1);
    let (first, last) = (least.div_ceil(step), most / step);
    let mut search = Search { question, step, probe, tried: BTreeMap::new(), invalid: 0, first_invalid: None, enough: false };
    if first > last {
        return search.solution(None);
    }
    let begin = (start.unwrap_or(least) / step).clamp(first, last);
    let found = search.near(begin, first, last, FIRST_REACH).or_else(|| search.anywhere(first, last));
    let bracket = found.and_then(|found| search.bracket(found, first, last));
    let pair = bracket.map(|(a, b)| search.bisect(a.min(b), a.max(b)));
    search.solution(pair)
}

/// A search over the multiples, each known by how many times the step it is.
struct Search<'p> {
    question: Question,
    step: u64,
    probe: &'p mut dyn FnMut(u64) -> Result<u128, Box<Diagnostic>>,
    /// What was read; `None`: the model isn't valid there.
    tried: BTreeMap<u64, Option<u128>>,
    invalid: u64,
    first_invalid: Option<(u64, Box<Diagnostic>)>,
    /// The model has become too large, so that larger values needn't be tried.
    enough: bool,
}

impl Search<'_> {
    fn read(&mut self, at: u64) -> Option<u128> {
        if let Some(known) = self.tried.get(&at) {
            return *known;
        }
        if self.tried.len() >= MOST_TRIED {
            return None;
        }
        let value = at.saturating_mul(self.step);
        let figure = match (self.probe)(value) {
            Ok(figure) => Some(figure),
            // Beyond 128 bits is beyond any target.
            Err(why) if why.code == Code::Overflow => Some(u128::MAX),
            Err(why) => {
                self.invalid += 1;
                self.enough |= why.code == Code::ModelTooLarge;
                self.first_invalid.get_or_insert((value, why));
                None
            }
        };
        self.tried.insert(at, figure);
        figure
    }

    /// Whether the target is reached there; it was read.
    fn is_reached(&self, at: u64) -> bool {
        self.tried.get(&at).copied().flatten().is_some_and(|figure| figure >= self.question.target)
    }

    /// The nearest place from `low` to `high` at which the model is valid, among some neighbours of a place.
    fn near(&mut self, at: u64, low: u64, high: u64, reach: u64) -> Option<u64> {
        if self.read(at).is_some() {
            return Some(at);
        }
        // Of a model that is too large no neighbour is small enough.
        if self.enough {
            return None;
        }
        let likely = self.likely(at).into_iter().flatten();
        let around = (1..=reach).flat_map(|by| [at.checked_add(by), at.checked_sub(by)]).flatten();
        likely.chain(around).filter(|at| (low..=high).contains(at)).find(|at| self.read(*at).is_some())
    }

    /// The places before and behind one that differ from valid ones by as much as those differ from each other.
    fn likely(&self, at: u64) -> [Option<u64>; 2] {
        let mut valid = self.tried.iter().filter(|(_, figure)| figure.is_some()).map(|(at, _)| *at);
        let Some(first) = valid.next() else { return [None, None] };
        let apart = valid.fold(0u64, |apart, at| apart.gcd(&(at - first)));
        if apart < 2 {
            return [None, None];
        }
        let behind = at % apart;
        let offset = (behind + apart - first % apart) % apart;
        [at.checked_sub(offset), at.checked_add(apart - offset)]
    }

    /// A valid place at a power of two: where the model's own value is none, or isn't known.
    fn anywhere(&mut self, first: u64, last: u64) -> Option<u64> {
        let places = std::iter::successors(Some(first.max(1)), |at| at.checked_mul(2)).take_while(|at| *at <= last);
        places.collect::<Vec<_>>().into_iter().find_map(|at| self.near(at, first, last, FIRST_REACH))
    }

    /// Two valid places, the target reached at one of them.
    fn bracket(&mut self, begin: u64, first: u64, last: u64) -> Option<(u64, u64)> {
        let up = |at: u64| Some(at.saturating_mul(2).max(at.saturating_add(1)).min(last)).filter(|next| *next > at);
        let down = |at: u64| Some((at / 2).max(first)).filter(|next| *next < at);
        // Most quantities grow.
        match self.is_reached(begin) {
            false => self.walk(begin, (first, last), &up).or_else(|| self.walk(begin, (first, last), &down)),
            true => self.walk(begin, (first, last), &down).or_else(|| self.walk(begin, (first, last), &up)),
        }
    }

    /// Goes on from a place until the target is crossed.
    fn walk(&mut self, begin: u64, (first, last): (u64, u64), next: &dyn Fn(u64) -> Option<u64>) -> Option<(u64, u64)> {
        let (mut valid, mut at, mut misses) = (begin, begin, 0);
        self.enough = false;
        // What lies beyond a place, as one goes.
        let beyond = |valid: u64, at: u64| if at > valid { (valid + 1, last) } else { (first, valid.saturating_sub(1)) };
        while let Some(wanted) = next(at).filter(|_| !self.enough) {
            at = wanted;
            // Between the last and this one, or a little beyond.
            let (low, high) = beyond(valid, at);
            // Where nothing was valid, little is to be hoped of what lies further out.
            let reach = if misses < 2 { FIRST_REACH } else { EDGE_REACH };
            let Some(found) = self.near(wanted, low, high, reach) else {
                misses += 1;
                continue;
            };
            if self.is_reached(found) != self.is_reached(begin) {
                return Some((valid, found));
            }
            (valid, misses) = (found, 0);
        }
        // Where the models end, or what may be asked for does: by ever smaller steps from the last that is valid.
        self.enough = false;
        let mut gap = at.abs_diff(valid);
        while gap > 1 {
            gap /= 2;
            let wanted = if at > valid { valid + gap } else { valid - gap };
            let (low, high) = if at > valid { (valid + 1, at) } else { (at, valid.saturating_sub(1)) };
            let Some(found) = self.near(wanted, low, high, EDGE_REACH) else { continue };
            if self.is_reached(found) != self.is_reached(begin) {
                return Some((valid, found));
            }
            valid = found;
        }
        None
    }

    /// The same two as near as they come: a valid place between them is on one side or the other.
    fn bisect(&mut self, mut low: u64, mut high: u64) -> Pair {
        self.enough = false;
        while high - low > 1 {
            let width = high - low;
            let places = [low + width / 2, low + width / 4, high - width / 4];
            let inside = |at: &u64| low < *at && *at < high;
            let found = places.into_iter().filter(inside).find_map(|at| self.near(at, low + 1, high - 1, REACH));
            match found {
                Some(found) if self.is_reached(found) == self.is_reached(low) => low = found,
                Some(found) => high = found,
                None => break,
            }
        }
        let between = self.tried.range(low..=high).count() as u64;
        Pair { low, high, adjacent: between == (high - low).saturating_add(1) }
    }

    fn reading(&self, at: u64) -> Option<Reading> {
        let figure = self.tried.get(&at).copied().flatten()?;
        Some(Reading { value: at.saturating_mul(self.step), figure })
    }

    fn solution(self, pair: Option<Pair>) -> Solution {
        let readings: Vec<Reading> = self.tried.keys().filter_map(|at| self.reading(*at)).collect();
        let target = self.question.target;
        let (below, reached, adjacent) = match pair {
            Some(pair) => {
                let (low, high) = (self.reading(pair.low), self.reading(pair.high));
                if self.is_reached(pair.low) { (high, low, pair.adjacent) } else { (low, high, pair.adjacent) }
            }
            // All are on one side: the one that comes nearest.
            None => {
                let below = readings.iter().filter(|reading| reading.figure < target).max_by_key(|reading| reading.figure);
                let reached = readings.iter().filter(|reading| reading.figure >= target).min_by_key(|reading| reading.figure);
                (below.copied(), reached.copied(), false)
            }
        };
        Solution { below, reached, adjacent, readings, invalid: self.invalid, first_invalid: self.first_invalid }
    }
}

/// Two places next to each other on the two sides of the target.
#[derive(Debug, Clone, Copy)]
struct Pair {
    low: u64,
    high: u64,
    adjacent: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Question = Question { target: 0, least: 1, most: 1 << 40, multiple_of: 1, start: None };

    fn wrong() -> Box<Diagnostic> {
        Diagnostic::new(Code::InvalidWorkload, "no such model").boxed()
    }

    /// The two values that are found, and whether they are known to be next to each other.
    fn found(question: Question, figure: &dyn Fn(u64) -> Option<u128>) -> (Option<u64>, Option<u64>, bool) {
        let solution = solve(question, &mut |value| figure(value).ok_or_else(wrong));
        if let (Some(below), Some(reached)) = (solution.below, solution.reached) {
            assert!(below.figure < question.target && reached.figure >= question.target);
            assert_eq!((figure(below.value), figure(reached.value)), (Some(below.figure), Some(reached.figure)));
        }
        (solution.below.map(|r| r.value), solution.reached.map(|r| r.value), solution.adjacent)
    }

    #[test]
    fn a_target_is_bracketed_from_wherever_one_begins() {
        let figure = |n: u64| Some(u128::from(n) * 10);
        for start in [None, Some(0), Some(1), Some(99), Some(100), Some(101), Some(5000), Some(u64::MAX)] {
            let question = Question { target: 1000, start, ..ALL };
            assert_eq!(found(question, &figure), (Some(99), Some(100), true), "{start:?}");
            assert_eq!(found(Question { multiple_of: 7, ..question }, &figure), (Some(98), Some(105), true), "{start:?}");
            assert_eq!(found(Question { target: 10, ..question }, &figure).1, Some(1), "{start:?}");
            assert_eq!(found(Question { most: 64, ..question }, &figure), (Some(64), None, false), "{start:?}");
            assert_eq!(found(Question { least: 100, ..question }, &figure), (None, Some(100), false), "{start:?}");
        }
    }

    #[test]
    fn what_lies_before_an_end_is_found() {
        // Models end at 130, and the quantity falls.
        let falls = |n: u64| 130u64.checked_sub(n).map(u128::from);
        for most in [200, 1 << 40] {
            assert_eq!(found(Question { target: 10, start: Some(100), most, ..ALL }, &falls), (Some(121), Some(120), true));
        }
        // The limit is no valid value, and nor is any near it.
        let even = |n: u64| n.is_multiple_of(2).then_some(u128::from(n) / 2);
        assert_eq!(found(Question { target: 13, start: Some(2), most: 61, ..ALL }, &even), (Some(24), Some(26), true));
        let eights = |n: u64| n.is_multiple_of(8).then_some(u128::from(n));
        assert_eq!(found(Question { target: 50, start: Some(8), most: 60, ..ALL }, &eights), (Some(48), Some(56), true));
        let heads = |n: u64| n.is_multiple_of(64).then_some(u128::from(n) * u128::from(n));
        let question = Question { target: 1792 * 1792, start: Some(4096), least: 1365, most: 4096, multiple_of: 16 };
        assert_eq!(found(question, &heads), (Some(1728), Some(1792), true));
    }

    #[test]
    fn invalid_values_are_passed_over() {
        // Divisible by the heads.
        let figure = |n: u64| n.is_multiple_of(32).then(|| u128::from(n) * u128::from(n));
        for start in [None, Some(4096), Some(4100), Some(32)] {
            let question = Question { target: 5000 * 5000, start, ..ALL };
            assert_eq!(found(question, &figure), (Some(4992), Some(5024), true), "{start:?}");
        }
        // At least 576.
        let figure = |n: u64| (n >= 576).then(|| u128::from(n));
        assert_eq!(found(Question { target: 600, ..ALL }, &figure), (Some(599), Some(600), true));
        assert_eq!(found(Question { target: 5, ..ALL }, &figure).0, None);
        // A hole at the crossing, narrow and wide.
        let figure = |n: u64| (!(900..1100).contains(&n)).then(|| u128::from(n));
        assert_eq!(found(Question { target: 1000, ..ALL }, &figure), (Some(899), Some(1100), true));
        let figure = |n: u64| (!(10_000..100_000).contains(&n)).then(|| u128::from(n));
        let (below, reached, adjacent) = found(Question { target: 50_000, ..ALL }, &figure);
        assert!(below.is_some() && reached.is_some() && !adjacent, "{below:?} {reached:?}");
        assert_eq!(found(Question { target: 5, ..ALL }, &|_| None), (None, None, false));
    }

    #[test]
    fn falling_and_constant_quantities_have_answers_too() {
        let figure = |n: u64| Some(1_000_000 / u128::from(n));
        assert_eq!(found(Question { target: 1000, ..ALL }, &figure), (Some(1001), Some(1000), true));
        assert_eq!(found(Question { target: 1000, start: Some(1 << 20), ..ALL }, &figure), (Some(1001), Some(1000), true));
        let trend = |figure: &dyn Fn(u64) -> u128| solve(Question { target: 50, ..ALL }, &mut |n| Ok(figure(n))).trend();
        assert_eq!(trend(&|_| 7), Trend::Constant);
        assert_eq!(trend(&|n| u128::from(n.min(4096))), Trend::Rising);
        assert_eq!(trend(&|n| 100 / u128::from(n)), Trend::Falling);
        assert_eq!(trend(&|n| u128::from(n % 3) * 20), Trend::Both);
        // Beyond 128 bits is beyond the target.
        let overflow = |n: u64| if n < 90 { Ok(1) } else { Err(Diagnostic::new(Code::Overflow, "too much").boxed()) };
        let solution = solve(Question { target: 50, ..ALL }, &mut { overflow });
        assert_eq!((solution.below.map(|r| r.value), solution.reached.map(|r| r.value)), (Some(89), Some(90)));
        assert!(solution.adjacent && solution.invalid == 0);
    }

    #[test]
    fn ranges_may_be_empty_or_the_largest() {
        let figure = |n: u64| Some(u128::from(n));
        assert_eq!(found(Question { target: 5, least: 8, most: 7, ..ALL }, &figure), (None, None, false));
        assert_eq!(found(Question { target: 5, least: 65, most: 127, multiple_of: 64, ..ALL }, &figure), (None, None, false));
        let all = Question { target: u128::from(u64::MAX), least: 0, most: u64::MAX, ..ALL };
        assert_eq!(found(all, &figure), (Some(u64::MAX - 1), Some(u64::MAX), true));
        assert_eq!(found(Question { target: 1, ..all }, &figure), (Some(0), Some(1), true));
        assert_eq!(found(Question { multiple_of: u64::MAX, ..all }, &figure), (Some(0), Some(u64::MAX), true));
        // Too large a model isn't asked for its neighbours.
        let mut asked = 0;
        let large = |n: u64| {
            asked += 1;
            if n <= 1000 { Ok(1) } else { Err(Diagnostic::new(Code::ModelTooLarge, "too large").boxed()) }
        };
        let solution = solve(Question { target: 50, ..ALL }, &mut { large });
        assert!(solution.reached.is_none() && asked < 30, "{asked}");
    }

    proptest! {
        /// The pair has the target between it, and nothing valid; for whatever is valid and whatever the figures.
        #[test]
        fn a_pair_is_what_it_says(
            cells in proptest::collection::vec(proptest::option::weighted(0.6, 0u128..40), 1..200),
            target in 1u128..40, start in proptest::option::of(0u64..220), multiple_of in 1u64..5,
        ) {
            let figure = |n: u64| usize::try_from(n).ok().and_then(|n| cells.get(n).copied().flatten());
            let most = cells.len() as u64 - 1;
            let question = Question { target, least: 0, most, multiple_of, start };
            let (below, reached, adjacent) = found(question, &figure);
            let valid = || (0..=most).filter(|n| n % multiple_of == 0).filter_map(figure);
            if let (Some(a), Some(b)) = (below, reached) {
                prop_assert!(adjacent, "in so small a range everything is looked at");
                let between = a.min(b) + 1..a.max(b);
                prop_assert!(between.filter(|n| n % multiple_of == 0).all(|n| figure(n).is_none()));
            } else if let Some(one) = below.or(reached) {
                prop_assert!(figure(one).is_some());
            } else {
                prop_assert_eq!(valid().count(), 0);
            }
        }
    }
}
