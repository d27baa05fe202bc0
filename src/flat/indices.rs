//! Sets of indices: which instances of a repeat have a form.

use std::fmt::Write as _;

/// A set of indices, as ascending ranges.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Indices {
    ranges: Vec<(u64, u64)>,
}

impl Indices {
    /// From `first` to `last`, both included.
    #[must_use]
    pub fn range(first: u64, last: u64) -> Self {
        Indices { ranges: vec![(first, last)] }
    }

    /// Adds a range beyond all there are.
    pub fn push(&mut self, first: u64, last: u64) {
        match self.ranges.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(first) => *end = last,
            _ => {
                // Where all instances differ, each has one range.
                if self.ranges.is_empty() {
                    self.ranges.reserve_exact(1);
                }
                self.ranges.push((first, last));
            }
        }
    }

    #[must_use]
    pub fn count(&self) -> u128 {
        self.ranges.iter().map(|(first, last)| u128::from(last - first) + 1).sum()
    }

    #[must_use]
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    #[must_use]
    pub fn contains(&self, index: u64) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&index))
    }

    /// `5`, `[0-31]`, `[0-4,6-10]`, `[0-22:2]` for every second; long ones are cut.
    #[must_use]
    pub fn pattern(&self) -> String {
        const SHOWN: usize = 6;
        if let [(first, last)] = self.ranges.as_slice() {
            return if first == last { first.to_string() } else { format!("[{first}-{last}]") };
        }
        if let Some((first, last, step)) = self.progression() {
            return format!("[{first}-{last}:{step}]");
        }
        let mut out = String::from("[");
        for (i, (first, last)) in self.ranges.iter().take(SHOWN).enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let _ = if first == last { write!(out, "{comma}{first}") } else { write!(out, "{comma}{first}-{last}") };
        }
        if self.ranges.len() > SHOWN {
            out.push_str(",...");
        }
        out.push(']');
        out
    }

    /// Three or more single indices at equal distances.
    fn progression(&self) -> Option<(u64, u64, u64)> {
        let [(first, _), (second, _), .., (last, _)] = self.ranges.as_slice() else {
            return None;
        };
        let step = second - first;
        let regular = self.ranges.iter().all(|(a, b)| a == b)
            && self.ranges.windows(2).all(|w| matches!(w, [(a, _), (b, _)] if b - a == step));
        (regular && self.ranges.len() > 2).then_some((*first, *last, step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_sets_read_well() {
        let set = |list: &[u64]| {
            let mut indices = Indices::default();
            list.iter().for_each(|i| indices.push(*i, *i));
            indices.pattern()
        };
        assert_eq!(set(&[5]), "5");
        assert_eq!(set(&[0, 1, 2, 3]), "[0-3]");
        assert_eq!(set(&[0, 1, 3, 4, 5]), "[0-1,3-5]");
        assert_eq!(set(&[5, 11, 17]), "[5-17:6]");
        assert_eq!(set(&[0, 3, 4, 6, 9, 12, 20, 22]), "[0,3-4,6,9,12,20,...]");
    }
}
