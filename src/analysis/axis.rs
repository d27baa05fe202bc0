//! Axes of a grid of points: values and ranges as they are written on a command line, counted and looked up without being written out.
//!
//! A text comes in (`512,1024,2048..131072:*2`), [`Numbers`] or [`Values`] go out, and [`Shard`]s of a count. What an axis means to a model
//! is not known here.

use std::ops::Range;
use std::sync::Arc;

use crate::syntax::expr::{Value, is_name};

/// Whole numbers in an order: single ones and ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers {
    /// Each part, and how many numbers stand before it.
    parts: Vec<(u128, Part)>,
    count: u128,
}

/// A range with both ends included; a single number is one of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// `first`, `first + step`, ...
    Steps { first: u64, last: u64, step: u64 },
    /// `first`, `first * factor`, ...
    Factors { first: u64, last: u64, factor: u64 },
}

impl Part {
    fn count(self) -> u128 {
        match self {
            Part::Steps { first, last, step } => u128::from((last - first) / step) + 1,
            Part::Factors { last, .. } => {
                let more = std::iter::successors(Some(self.first()), |n| n.checked_mul(self.stride()).filter(|n| *n <= last));
                more.fold(0, |count, _| count + 1)
            }
        }
    }

    fn first(self) -> u64 {
        match self {
            Part::Steps { first, .. } | Part::Factors { first, .. } => first,
        }
    }

    fn stride(self) -> u64 {
        match self {
            Part::Steps { step, .. } => step,
            Part::Factors { factor, .. } => factor,
        }
    }

    /// The number at a place, which is before its count.
    fn at(self, place: u128) -> u64 {
        let place = u64::try_from(place).unwrap_or(u64::MAX);
        match self {
            Part::Steps { first, step, .. } => step.saturating_mul(place).saturating_add(first),
            Part::Factors { first, factor, .. } => {
                factor.saturating_pow(u32::try_from(place).unwrap_or(u32::MAX)).saturating_mul(first)
            }
        }
    }
}

/// How one number is read: `4096`, or `32k` as lengths are written.
pub type ReadNumber = fn(&str) -> Result<u64, String>;

impl Numbers {
    /// Reads `512`, `1..64`, `1..64:8`, `2048..131072:*2`, and several of them between commas; each number is at least `least`.
    ///
    /// # Errors
    /// What is wrong with which item.
    pub fn parse(text: &str, least: u64, read: ReadNumber) -> Result<Self, String> {
        let mut numbers = Numbers { parts: Vec::new(), count: 0 };
        for item in text.split(',').map(str::trim) {
            let part = part(item, read)?;
            if part.first() < least {
                return Err(format!("{} is not in {least}..", part.first()));
            }
            numbers.push(part)?;
        }
        Ok(numbers)
    }

    fn push(&mut self, part: Part) -> Result<(), String> {
        self.parts.push((self.count, part));
        self.count = self.count.checked_add(part.count()).ok_or("more values than can be counted")?;
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u128 {
        self.count
    }

    /// The number at a place; `None` behind the last.
    #[must_use]
    pub fn at(&self, place: u128) -> Option<u64> {
        let behind = self.parts.partition_point(|(before, _)| *before <= place);
        let (before, part) = self.parts.get(behind.checked_sub(1)?)?;
        (place < self.count).then(|| part.at(place - before))
    }

    /// The smallest of them.
    #[must_use]
    pub fn least(&self) -> u64 {
        self.parts.iter().map(|(_, part)| part.first()).min().unwrap_or(0)
    }

    /// The largest of them.
    #[must_use]
    pub fn largest(&self) -> u64 {
        self.parts.iter().map(|(_, part)| part.at(part.count() - 1)).max().unwrap_or(0)
    }
}

/// One item of a list.
fn part(item: &str, read: ReadNumber) -> Result<Part, String> {
    if item.is_empty() {
        return Err("nothing stands between two commas".to_owned());
    }
    let number = |text: &str| read(text.trim()).map_err(|why| format!("`{item}`: {why}"));
    let Some((first, rest)) = item.split_once("..") else {
        let first = number(item)?;
        return Ok(Part::Steps { first, last: first, step: 1 });
    };
    let (last, stride) = rest.split_once(':').map_or((rest, None), |(last, stride)| (last, Some(stride.trim())));
    if first.trim().is_empty() || last.trim().is_empty() {
        return Err(format!("`{item}`: a range has both ends, `1..64`"));
    }
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(format!("`{item}` is empty: a range goes up, `{last}..{first}`"));
    }
    match stride.map(|stride| stride.strip_prefix('*').map_or((stride, false), |factor| (factor, true))) {
        None => Ok(Part::Steps { first, last, step: 1 }),
        Some((factor, true)) => {
            let factor = factor.trim().parse().ok().filter(|factor: &u64| *factor > 1);
            let factor = factor.ok_or_else(|| format!("`{item}`: a factor is a whole number from 2 on, `1..64:*2`"))?;
            if first == 0 {
                return Err(format!("`{item}`: 0 stays 0 whatever it is multiplied by; begin at 1, `0,1..{last}:*{factor}`"));
            }
            Ok(Part::Factors { first, last, factor })
        }
        Some((step, false)) => match number(step)? {
            0 => Err(format!("`{item}`: with a step of 0 it never ends")),
            step => Ok(Part::Steps { first, last, step }),
        },
    }
}

/// The values of an axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// Whole numbers alone.
    Numbers(Numbers),
    /// Others, or several kinds.
    Listed(Vec<Value>),
}

/// A mixed list is written out, so it isn't long.
const MOST_LISTED: u128 = 1_000_000;

impl Values {
    /// Reads what stands behind `NAME=`: whole numbers and ranges of them, JSON, or text; several between commas. What stands in brackets,
    /// braces or quotes is one value.
    ///
    /// # Errors
    /// What is wrong with which item.
    pub fn parse(text: &str, read: ReadNumber) -> Result<Self, String> {
        let items = between_commas(text);
        let whole = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
        let mut numbers = Numbers { parts: Vec::new(), count: 0 };
        let mut listed: Option<Vec<Value>> = None;
        for item in &items {
            let item = item.trim();
            if item.is_empty() && items.len() > 1 {
                return Err("nothing stands between two commas".to_owned());
            }
            let part = match is_range(item) {
                true => Some(part(item, read)?),
                false => whole(item).ok().map(|first| Part::Steps { first, last: first, step: 1 }),
            };
            match (part, &mut listed) {
                (Some(part), None) => numbers.push(part)?,
                (Some(part), Some(listed)) => write_out(part, listed)?,
                (None, listed) => {
                    let value = value(item)?;
                    let list = listed.get_or_insert_default();
                    for (_, part) in numbers.parts.drain(..) {
                        write_out(part, list)?;
                    }
                    list.push(value);
                }
            }
        }
        Ok(listed.map_or(Values::Numbers(numbers), Values::Listed))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u128 {
        match self {
            Values::Numbers(numbers) => numbers.count(),
            Values::Listed(list) => list.len() as u128,
        }
    }

    /// The value at a place; `None` behind the last.
    #[must_use]
    pub fn at(&self, place: u128) -> Option<Value> {
        match self {
            Values::Numbers(numbers) => numbers.at(place).map(Value::count),
            Values::Listed(list) => list.get(usize::try_from(place).ok()?).cloned(),
        }
    }
}

fn write_out(part: Part, list: &mut Vec<Value>) -> Result<(), String> {
    if part.count() + list.len() as u128 > MOST_LISTED {
        return Err(format!("more than {MOST_LISTED} values in a list that isn't of numbers alone"));
    }
    list.extend((0..part.count()).map(|place| Value::count(part.at(place))));
    Ok(())
}

/// A single value.
fn value(item: &str) -> Result<Value, String> {
    Value::read(item).ok_or_else(|| format!("`{item}`: the number is beyond what is computed with"))
}

/// Whether an item is meant as a range: one of its ends is a number, or nothing (`../data` is a text).
fn is_range(item: &str) -> bool {
    let Some((first, rest)) = item.split_once("..") else { return false };
    let last = rest.split(':').next().unwrap_or_default();
    let [first, last] = [first, last].map(|end| end.trim().starts_with(|c: char| c.is_ascii_digit()));
    (first || last) || item == ".."
}

/// What stands between commas outside of brackets, braces and quotes.
fn between_commas(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut escaped, mut from) = (0usize, false, false, 0);
    let mut parts = Vec::new();
    for (at, c) in text.char_indices() {
        let plain = !std::mem::take(&mut escaped);
        match c {
            '\\' if quoted && plain => escaped = true,
            '"' if plain => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                parts.push(text.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(from..).unwrap_or_default());
    parts
}

/// `NAME=VALUES`.
///
/// # Errors
/// No name, or what is wrong with the values.
pub fn parse_setting(text: &str, read: ReadNumber) -> Result<(Arc<str>, Values), String> {
    let (name, values) = text.split_once('=').ok_or("expected NAME=VALUE,...")?;
    if !is_name(name) {
        return Err(format!("`{name}` is no variable's name"));
    }
    Ok((name.into(), Values::parse(values, read)?))
}

/// A part of a sweep: the `index`th of `of`, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    of: u64,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Shard = Shard { index: 1, of: 1 };

    /// Reads `I/N`.
    ///
    /// # Errors
    /// No two numbers, or I is none of 1 to N.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (index, of) = text.split_once('/').ok_or("expected I/N: the Ith of N parts, from 1")?;
        let number = |text: &str| text.trim().parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
        let (index, of) = (number(index)?, number(of)?);
        if of == 0 {
            return Err("there are no 0 parts".to_owned());
        }
        if index == 0 || index > of {
            return Err(format!("the parts are 1 to {of}"));
        }
        Ok(Shard { index, of })
    }

    /// Its places of so many, in order: the parts are next to each other, and differ by one at the most.
    #[must_use]
    pub fn range(self, count: u128) -> Range<u128> {
        let of = u128::from(self.of);
        let (each, more) = (count / of, count % of);
        let start = |index: u128| index * each + index.min(more);
        let index = u128::from(self.index);
        start(index - 1)..start(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Result<u64, String> {
        text.parse().map_err(|error: std::num::ParseIntError| error.to_string())
    }

    fn numbers(text: &str) -> Vec<u64> {
        let numbers = Numbers::parse(text, 0, whole).unwrap_or_else(|why| panic!("{text}: {why}"));
        let all: Vec<u64> = (0..numbers.count()).map(|place| numbers.at(place).unwrap()).collect();
        assert_eq!(numbers.at(numbers.count()), None);
        assert_eq!(numbers.largest(), all.iter().copied().max().unwrap());
        all
    }

    fn wrong(text: &str) -> String {
        Numbers::parse(text, 1, whole).unwrap_err()
    }

    #[test]
    fn lists_and_ranges() {
        assert_eq!(numbers("512"), [512]);
        assert_eq!(numbers("3,1,2,1"), [3, 1, 2, 1]);
        assert_eq!(numbers("1..5"), [1, 2, 3, 4, 5]);
        assert_eq!(numbers("7..7"), [7]);
        assert_eq!(numbers("1..64:9"), [1, 10, 19, 28, 37, 46, 55, 64]);
        assert_eq!(numbers("1..63:9"), [1, 10, 19, 28, 37, 46, 55]);
        assert_eq!(numbers("512,1024,2048..16384:*2"), [512, 1024, 2048, 4096, 8192, 16384]);
        assert_eq!(numbers("3..100:*5"), [3, 15, 75]);
        assert_eq!(numbers(" 1 .. 3 , 8 "), [1, 2, 3, 8]);
    }

    #[test]
    fn the_largest_ranges_are_counted_and_not_written_out() {
        let all = Numbers::parse("0..18446744073709551615", 0, whole).unwrap();
        assert_eq!((all.count(), all.at(u128::from(u64::MAX))), (1 << 64, Some(u64::MAX)));
        let twice = Numbers::parse("0..18446744073709551615,0..18446744073709551615:2", 0, whole).unwrap();
        assert_eq!(twice.count(), (1 << 64) + (1 << 63));
        assert_eq!((twice.at(1 << 64), twice.at(twice.count() - 1)), (Some(0), Some(u64::MAX - 1)));
        assert_eq!(numbers("1..18446744073709551615:*2").len(), 64);
        assert_eq!(numbers("18446744073709551615..18446744073709551615:*2"), [u64::MAX]);
        assert_eq!(numbers("0..18446744073709551615:18446744073709551615"), [0, u64::MAX]);
    }

    #[test]
    fn what_is_no_list_is_explained() {
        assert!(wrong("5..2").contains("is empty: a range goes up, `2..5`"));
        assert!(wrong("1..8:0").contains("never ends"));
        for text in ["1..8:*1", "1..8:*0", "1..8:*1.5", "1..8:*-2", "1..8:*"] {
            assert!(wrong(text).contains("a factor is a whole number from 2 on"), "{text}");
        }
        assert_eq!(wrong("0"), "0 is not in 1..");
        assert_eq!(wrong("2,0..3"), "0 is not in 1..");
        assert!(Numbers::parse("0..8:*2", 0, whole).unwrap_err().contains("0 stays 0"));
        for text in ["1..", "..", "..8", "1..:2"] {
            assert!(wrong(text).contains("both ends"), "{text}");
        }
        for text in ["", ",", "1,,2", "1,"] {
            assert!(wrong(text).contains("between two commas"), "{text}");
        }
        for text in ["x", "-1", "1..2..3", "1...3", "1..8:2:3", "1.5", "１", "18446744073709551616", "1..8:-1", "NaN", "0x10"] {
            assert!(wrong(text).contains(text), "{text}: {}", wrong(text));
        }
    }

    #[test]
    fn settings_are_numbers_json_or_texts() {
        let parsed = |text: &str| Values::parse(text, whole).unwrap();
        assert_eq!(parsed("1..3,8"), Values::Numbers(Numbers::parse("1..3,8", 0, whole).unwrap()));
        let text = |text: &str| Value::text(text);
        assert_eq!(parsed("silu,gelu"), Values::Listed(vec![text("silu"), text("gelu")]));
        assert_eq!(parsed("../data"), Values::Listed(vec![text("../data")]));
        assert_eq!(parsed("a..b"), Values::Listed(vec![text("a..b")]));
        assert_eq!(parsed(""), Values::Listed(vec![text("")]));
        assert_eq!(parsed("true,null"), Values::Listed(vec![Value::Bool(true), Value::Null]));
        let list = |items: &[u64]| Value::List(items.iter().map(|n| Value::count(*n)).collect());
        assert_eq!(parsed("[1,2]"), Values::Listed(vec![list(&[1, 2])]));
        assert_eq!(parsed("[1,2],[3]"), Values::Listed(vec![list(&[1, 2]), list(&[3])]));
        assert_eq!(parsed(r#""a,b",1..2"#), Values::Listed(vec![text("a,b"), Value::count(1), Value::count(2)]));
        assert_eq!(parsed(r#"1..2,"a\",b""#), Values::Listed(vec![Value::count(1), Value::count(2), text("a\",b")]));
        assert_eq!(parsed(r#"{"a":1,"b":[2,3]}"#).count(), 1);
        assert_eq!(parsed("-1,2").at(1), Some(Value::count(2)));
        assert!(Values::parse("1..", whole).unwrap_err().contains("both ends"));
        assert!(Values::parse("..", whole).unwrap_err().contains("both ends"));
        assert!(Values::parse("true,1..2000000", whole).unwrap_err().contains("of numbers alone"));
        assert!(parse_setting("a b=1", whole).is_err() && parse_setting("a", whole).is_err());
    }

    #[test]
    fn shards_are_parts_from_one_on() {
        assert_eq!(Shard::parse("1/1").map(|shard| shard.range(7)), Ok(0..7));
        for text in ["", "1", "0/3", "4/3", "1/0", "a/b", "-1/3", "1/2/3", "1/18446744073709551616"] {
            assert!(Shard::parse(text).is_err(), "{text}");
        }
        assert_eq!(Shard::parse("18446744073709551615/18446744073709551615").unwrap().range(u128::MAX).end, u128::MAX);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9.,:*k \\[\\]\"a-]{0,24}") {
            if let Ok(numbers) = Numbers::parse(&text, 0, whole) {
                prop_assert!(numbers.at(0).is_some() && numbers.at(numbers.count()).is_none());
                prop_assert!(numbers.at(numbers.count() - 1).is_some_and(|last| last <= numbers.largest()));
            }
            if let Ok(values) = Values::parse(&text, whole) {
                prop_assert!(values.count() > 0 && values.at(values.count() - 1).is_some());
            }
        }

        #[test]
        fn a_range_has_what_a_loop_has(first in 0u64..300, more in 0u64..300, step in 1u64..40) {
            let last = first + more;
            let expected: Vec<u64> = (first..=last).step_by(usize::try_from(step).unwrap()).collect();
            prop_assert_eq!(numbers(&format!("{first}..{last}:{step}")), expected);
        }

        #[test]
        fn shards_are_a_partition(count in 0u128..5000, of in 1u64..60) {
            let parts: Vec<_> = (1..=of).map(|index| Shard { index, of }.range(count)).collect();
            prop_assert_eq!((parts[0].start, parts[parts.len() - 1].end), (0, count));
            prop_assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            let sizes = || parts.iter().map(|part| part.end - part.start);
            prop_assert!(sizes().max().unwrap() - sizes().min().unwrap() <= 1);
        }
    }
}
