//! What an engine's log says: what it was told, and what it found, beside what is predicted of that.

use super::plan::{Figure, ServingPlan};
use super::question::{Place, Question};
use super::ranks::Ranks;
use crate::catalog::{Certainty, LogLine};
use crate::syntax::expr::{Exact, Value};

/// What a log states, by the names of its figures: `weights`, `tokens`, `option max_num_seqs`.
#[derive(Debug, Default)]
pub struct Log {
    lines: Vec<Stated>,
}

/// A line of a log that is known.
#[derive(Debug)]
struct Stated {
    text: String,
    figures: Vec<(String, String, Unit)>,
}

/// A line of a log, as it is or would be.
#[derive(Debug, Clone)]
pub struct LogRow {
    /// The line, without what stands before.
    pub text: String,
    /// Its figures, but for what the engine was told.
    pub figures: Vec<Compared>,
}

/// A figure of a log.
#[derive(Debug, Clone)]
pub struct Compared {
    /// What it is.
    pub name: String,
    /// As the log has it, in its unit; `None`: no log was read.
    pub stated: Option<Exact>,
    /// As it is predicted, in the same unit.
    pub predicted: Exact,
    /// How well that is known.
    pub certainty: Certainty,
    /// Whether both are the same as far as was printed, or the log's is within the band.
    pub agrees: bool,
}

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    One,
    Mebi,
    /// Where a log says GB it means GiB, too.
    Gibi,
}

impl Unit {
    /// That of a figure before a text.
    fn before(text: &str) -> Self {
        let text = text.trim_start();
        if text.starts_with("GiB") || text.starts_with("GB") {
            Unit::Gibi
        } else if text.starts_with("MiB") {
            Unit::Mebi
        } else {
            Unit::One
        }
    }

    fn of(self) -> Exact {
        match self {
            Unit::One => Exact::integer(1),
            Unit::Mebi => Exact::integer(1 << 20),
            Unit::Gibi => Exact::integer(1 << 30),
        }
    }
}

/// A pattern's texts, and the names between them: one text more than names.
fn parts(pattern: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut texts, mut names, mut rest) = (Vec::new(), Vec::new(), pattern);
    while let Some((text, (name, more))) = rest.split_once('{').and_then(|(text, more)| Some((text, more.split_once('}')?))) {
        texts.push(text);
        names.push(name);
        rest = more;
    }
    texts.push(rest);
    (texts, names)
}

/// A number at the beginning of a text, with commas or without.
fn leading_number(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(text.len());
    text.get(..end).unwrap_or_default().trim_end_matches(['.', ','])
}

/// The line if it is of a pattern.
fn matched(line: &str, pattern: &str) -> Option<Stated> {
    let (texts, names) = parts(pattern);
    let first = texts.first()?;
    let at = line.find(first)?;
    let mut rest = line.get(at + first.len()..)?;
    let mut figures = Vec::with_capacity(names.len());
    for (name, text) in names.iter().zip(texts.iter().skip(1)) {
        let number = leading_number(rest);
        let after = rest.get(number.len()..)?;
        if number.is_empty() || !after.starts_with(text) {
            return None;
        }
        figures.push(((*name).to_owned(), number.replace(',', ""), Unit::before(text)));
        rest = after.get(text.len()..)?;
    }
    let end = line.len() - rest.len();
    Some(Stated { text: line.get(at..end)?.to_owned(), figures })
}

impl Log {
    /// What of a log's lines is known, in order; of a line that several patterns mean, the figures of all.
    #[must_use]
    pub fn read(text: &str, known: &[LogLine]) -> Self {
        let lines = text.lines().flat_map(|line| known.iter().filter_map(move |known| matched(line, &known.text)));
        let mut log = Log::default();
        for stated in lines {
            // Every rank says the same.
            if log.lines.iter().all(|line| line.text != stated.text) {
                log.lines.push(stated);
            }
        }
        log
    }

    /// Whether nothing of it is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn figure(&self, name: &str) -> Option<(&str, Unit)> {
        let mut all = self.lines.iter().flat_map(|line| &line.figures);
        all.find(|(known, ..)| known == name).map(|(_, number, unit)| (number.as_str(), *unit))
    }

    /// The version that it says.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.figure("version").map(|(number, _)| number)
    }

    /// A figure in bytes, or as it is.
    #[must_use]
    pub fn amount(&self, name: &str) -> Option<u128> {
        let (number, unit) = self.figure(name)?;
        Exact::parse(number)?.checked_mul(unit.of())?.floor()?.to_count()
    }

    /// The options that it says: their names in formulas, their values.
    pub fn options(&self) -> impl Iterator<Item = (&str, Value)> {
        let all = self.lines.iter().flat_map(|line| &line.figures);
        all.filter_map(|(name, number, _)| Some((name.strip_prefix("option ")?, Value::Number(Exact::parse(number)?))))
    }

    /// A place as it says that it is.
    #[must_use]
    pub fn place<'a>(&self, place: Place<'a>) -> Place<'a> {
        let ranks = place.ranks;
        let ranks = Ranks {
            tensor: self.amount("tensor").filter(|n| *n > 0).unwrap_or(ranks.tensor),
            pipeline: self.amount("pipeline").filter(|n| *n > 0).unwrap_or(ranks.pipeline),
            ..ranks
        };
        let context = self.amount("length").and_then(|length| u64::try_from(length).ok()).filter(|length| *length > 0);
        Place { ranks, context: context.or(place.context), ..place }
    }

    /// A figure, the least and the most that are printed so: in bytes, or as it is.
    fn range(&self, name: &str) -> Option<[u128; 3]> {
        let (number, unit) = self.figure(name)?;
        let n = Exact::parse(number)?;
        let half = half_of_last(number)?;
        let bytes = |n: Option<Exact>| n?.checked_mul(unit.of())?.floor()?.to_count();
        Some([bytes(n.checked_sub(half))?, bytes(Some(n))?, bytes(n.checked_add(half))?])
    }

    /// Its lines beside what is predicted. What the cache has is predicted from what the log says is there for it.
    #[must_use]
    pub fn compared(&self, question: &Question<'_>, plan: &ServingPlan) -> Vec<LogRow> {
        let [_, usual, _] = plan.available;
        let available = self.range("available").unwrap_or([usual; 3]);
        let row = |line: &Stated| {
            let figures = line.figures.iter().filter_map(|(name, number, unit)| {
                let (certainty, of_figure) = question.predicted(name, plan, available)?;
                let [low, predicted, high] = of_figure.map(|n| n.checked_div(unit.of()));
                let (low, predicted, high) = (low?, predicted?, high?);
                let stated = Exact::parse(number)?;
                let half = half_of_last(number)?;
                let agrees = low.checked_sub(half)? <= stated && stated <= high.checked_add(half)?;
                let name = name.strip_prefix("beside ").unwrap_or(name).to_owned();
                Some(Compared { name, stated: Some(stated), predicted, certainty, agrees })
            });
            LogRow { text: line.text.clone(), figures: figures.collect() }
        };
        self.lines.iter().map(row).filter(|row| !row.figures.is_empty()).collect()
    }
}

/// Half of the last digit that is printed behind the point; of an integer nothing: what is counted is exact.
fn half_of_last(number: &str) -> Option<Exact> {
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    if decimals == 0 {
        return Some(Exact::ZERO);
    }
    let scale = Exact::integer(10).checked_pow(Exact::integer(i128::try_from(decimals).ok()?))?;
    Exact::integer(1).checked_div(scale.checked_mul(Exact::integer(2))?)
}

impl Question<'_> {
    /// A figure of a log: how well it is known; at the least, as usual, at the most, in bytes or as it is. `available`: bytes for the cache.
    fn predicted(&self, name: &str, plan: &ServingPlan, available: [u128; 3]) -> Option<(Certainty, [Exact; 3])> {
        let counts = |certainty: Certainty, all: [u128; 3]| {
            let [low, usual, high] = all.map(Exact::from_count);
            Some((certainty, [low?, usual?, high?]))
        };
        let room = |bytes: u128| plan.pool.room(bytes, &self.asked.serving.cache, self.asked.version, u128::from(plan.length));
        let rooms = || {
            let [low, usual, high] = available.map(room);
            Some([low?, usual?, high?])
        };
        match name {
            "weights" => {
                // As near as logs were met.
                let bytes = plan.loaded.bytes;
                let (certainty, off) = match plan.loaded.is_modelled {
                    true => (Certainty::Modelled, bytes / 100),
                    false => (Certainty::Exact, bytes / 5000),
                };
                counts(certainty, [bytes - off, bytes, bytes.saturating_add(off)])
            }
            "available" => counts(Certainty::Assumed, plan.available),
            "tokens" => counts(Certainty::Exact, rooms()?.map(|room| room.tokens)),
            "blocks" => counts(Certainty::Exact, rooms()?.map(|room| room.blocks)),
            "concurrency" => Some((Certainty::Exact, rooms()?.map(|room| room.concurrency))),
            "cache" => counts(Certainty::Exact, [plan.needed(); 3]),
            name => {
                let name = name.strip_prefix("beside ")?;
                let Figure { low, usual, high, certainty } = plan.beside.iter().find(|taken| *taken.name == *name)?.figure;
                counts(certainty, [low, usual, high])
            }
        }
    }

    /// What a figure of a log rests on, in words.
    #[must_use]
    pub fn rests_on(&self, name: &str, plan: &ServingPlan) -> String {
        match name {
            "weights" => "the model's tensors as the engine joins, fills up and rounds them: another dtype, quantization, version of the model or number of ranks has others".to_owned(),
            "available" => format!("`{}`, less weights and what is beside them", self.asked.serving.may_take.text),
            "tokens" | "blocks" | "concurrency" => {
                let groups: Vec<String> =
                    plan.pool.groups.iter().map(|group| format!("{} layers of {} bytes a token", group.layers, group.bytes)).collect();
                format!("the bytes that the log has for the cache, over {}, for requests of {} tokens: another dtype of the cache, length, draft or option changes it", groups.join(" and "), plan.length)
            }
            name => plan.beside.iter().find(|taken| *taken.name == *name).map_or_else(String::new, |taken| taken.doc.to_string()),
        }
    }

    /// The log as it would be, as usual.
    #[must_use]
    pub fn would_log(&self, plan: &ServingPlan) -> Vec<LogRow> {
        let [_, usual, _] = plan.available;
        let row = |line: &LogLine| {
            let (texts, names) = parts(&line.text);
            let (mut text, mut figures) = ((*texts.first()?).to_owned(), Vec::new());
            for (name, after) in names.iter().zip(texts.iter().skip(1)) {
                let unit = Unit::before(after);
                let n = match *name {
                    "length" => Exact::from_count(u128::from(plan.length))?,
                    "device" => Exact::from_count(plan.device_bytes)?.checked_div(unit.of())?,
                    name => {
                        let (certainty, [_, n, _]) = self.predicted(name, plan, [usual; 3])?;
                        let predicted = n.checked_div(unit.of())?;
                        figures.push(Compared { name: name.to_owned(), stated: None, predicted, certainty, agrees: true });
                        predicted
                    }
                };
                text.push_str(&printed(n, unit));
                text.push_str(after);
            }
            Some(LogRow { text, figures })
        };
        let mut rows: Vec<LogRow> = Vec::new();
        for row in self.asked.serving.log.iter().filter(|line| line.is_new).filter_map(row) {
            rows.push(row);
        }
        rows
    }
}

/// What is counted with commas; bytes, and what has a fraction, with two digits behind the point.
fn printed(n: Exact, unit: Unit) -> String {
    match (n.to_count(), unit) {
        (Some(count), Unit::One) => crate::quantity::grouped(count, ","),
        _ => format!("{:.2}", n.to_f64()),
    }
}
