//! Patterns that mean layers, by the path that people see or by class: `model.layers.0.mlp.down_proj`, `model.layers.[0-5].*`, `*.down_proj`.
//!
//! They are given before a model is flattened, so that a repeat is split where a pattern tells its instances apart.

use std::sync::Arc;

/// The most patterns of a flat model: a bit of a row is for each.
pub const MOST_PATTERNS: usize = 32;

/// A pattern of layers: `*` stands for anything, `[0-5]`, `[0,3]` and `[0-22:2]` for one of these numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Arc<str>,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Anything,
    /// Ranges with their steps.
    Numbers(Vec<(u64, u64, u64)>),
}

impl Pattern {
    /// Reads a pattern; what is no set of numbers in brackets is text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let numbers = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
            let numbers = numbers.and_then(|(inside, after)| Some((numbers_of(inside)?, after)));
            if let Some((numbers, after)) = numbers {
                pieces.push(Piece::Numbers(numbers));
                rest = after;
                continue;
            }
            match (c, pieces.last_mut()) {
                ('*', Some(Piece::Anything)) => {}
                ('*', _) => pieces.push(Piece::Anything),
                (_, Some(Piece::Text(text))) => text.push(c),
                _ => pieces.push(Piece::Text(c.into())),
            }
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        }
        Pattern { text: text.into(), pieces }
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Whether it may mean some instances of a repeat and not others.
    #[must_use]
    pub fn tells_instances_apart(&self) -> bool {
        let has_digit = |text: &String| text.bytes().any(|b| b.is_ascii_digit());
        self.pieces.iter().any(|piece| match piece {
            Piece::Text(text) => has_digit(text),
            Piece::Numbers(_) => true,
            Piece::Anything => false,
        })
    }

    /// Whether it means a layer: its path, its class, or the last part of that.
    #[must_use]
    pub fn means(&self, path: &str, class: &str) -> bool {
        let last = class.rsplit('.').next().unwrap_or(class);
        [path, class, last].into_iter().any(|text| self.matches(text))
    }

    /// Whether the whole text is as the pattern says. Pieces are taken one by one, with all places where each may end: the time is that of the
    /// text times the pieces.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut ends: Vec<usize> = vec![0];
        for piece in &self.pieces {
            ends = match piece {
                Piece::Anything => {
                    let first = ends.first().copied().unwrap_or(text.len());
                    (first..=text.len()).filter(|at| text.is_char_boundary(*at)).collect()
                }
                Piece::Text(own) => {
                    let fits = |at: &usize| text.get(*at..).is_some_and(|rest| rest.starts_with(own.as_str()));
                    ends.into_iter().filter(fits).map(|at| at + own.len()).collect()
                }
                Piece::Numbers(numbers) => ends.into_iter().filter_map(|at| number_at(text, at, numbers)).collect(),
            };
            if ends.is_empty() {
                return false;
            }
        }
        ends.last() == Some(&text.len())
    }
}

/// Where a whole number ends that begins here and is one of these.
fn number_at(text: &str, at: usize, numbers: &[(u64, u64, u64)]) -> Option<usize> {
    let is_digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let begins = at.checked_sub(1).is_none_or(|before| !is_digit(before));
    let digits = (at..text.len()).take_while(|at| is_digit(*at)).count();
    let number: u64 = text.get(at..at + digits).filter(|_| begins)?.parse().ok()?;
    let is_one =
        numbers.iter().any(|(first, last, step)| (*first..=*last).contains(&number) && (number - first).is_multiple_of(*step));
    is_one.then_some(at + digits)
}

/// `0-5`, `0,3`, `0-22:2`: what is in the brackets of a path that people see.
fn numbers_of(text: &str) -> Option<Vec<(u64, u64, u64)>> {
    let range = |text: &str| {
        let (range, step) = text.split_once(':').map_or((text, Some(1)), |(range, step)| (range, step.parse().ok()));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last, step) = (first.parse().ok()?, last.parse().ok()?, step.filter(|step| *step > 0)?);
        Some((first, last, step))
    };
    text.split(',').map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn patterns_mean_paths_as_people_see_them() {
        let means = |pattern: &str, path: &str| Pattern::new(pattern).means(path, "torch.nn.modules.linear.Linear");
        let path = "model.layers.12.mlp.experts.3.up_proj";
        for pattern in [
            path,
            "*",
            "*.up_proj",
            "model.layers.[0-31].mlp.experts.[0-7].up_proj",
            "model.layers.[3,12,20].*",
            "model.layers.[0-22:2].*",
            "*.[3].up_proj",
            "*[12]*",
            "*Linear",
            "Linear",
        ] {
            assert!(means(pattern, path), "{pattern}");
        }
        for pattern in [
            "",
            "model",
            "model.layers.1*2.mlp",
            "*.[2].*",
            "model.layers.[0-22:5].*",
            "model.layers.1[2].*",
            "up_proj",
            "*.12",
            "model.layers.[12",
        ] {
            assert!(!means(pattern, path), "{pattern}");
        }
        // Numbers are whole, and brackets with anything else in them are text.
        assert!(!means("*[2].mlp*", path) && means("a[b].c", "a[b].c") && means("[0-1]a", "1a") && !means("[5-1]", "3"));
        assert!(Pattern::new("x.[0-5].y").tells_instances_apart() && !Pattern::new("*.mlp.*").tells_instances_apart());
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_another() {
        let (pattern, text) = ("*a".repeat(2_000) + "b", "a".repeat(6_000));
        assert!(!Pattern::new(&pattern).matches(&text));
    }
}
