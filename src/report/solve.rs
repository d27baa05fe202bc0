//! What `solve` found: the answer in a line, the two values with their figures, and what there is to know of it.

use std::io::{self, Write};

use serde_json::{Value as Json, json};

use super::page::{self, PageFormat, Section};
use super::title::title;
use super::units::{self, Units};
use crate::analysis::solve::{Question, Reading, Solution, Trend};
use crate::evaluation::Evaluation;
use crate::quantity::{Fold, Quantity, Stated, Total, TotalInfo, Unit};
use crate::syntax::escape::escape_terminal;
use crate::syntax::json::write::write_pretty;
use crate::syntax::words::wrap;

/// All that `solve` found out.
#[derive(Debug)]
pub struct SolveReport<'a> {
    /// The variable whose value was looked for.
    pub variable: &'a str,
    /// What was to reach the target.
    pub quantity: &'static TotalInfo,
    /// What was asked.
    pub question: Question,
    /// What was found.
    pub solution: &'a Solution,
    /// The model at the value that was found.
    pub evaluation: Option<&'a Evaluation>,
}

/// Writes an answer.
///
/// # Errors
/// Those of `out`.
pub fn render_solved(report: &SolveReport<'_>, format: PageFormat, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let answer = format!("{}: {}", report.name().unwrap_or("(no name)"), report.answer());
    let sections = [report.two()];
    match format {
        PageFormat::Json => {
            write_pretty(out, &report.json())?;
            return writeln!(out);
        }
        PageFormat::Table => page::text(&answer, &sections, width, out)?,
        PageFormat::Markdown => page::markdown(&answer, &sections, out)?,
    }
    for (at, remark) in report.remarks().iter().enumerate() {
        if at == 0 {
            writeln!(out)?;
        }
        wrap(&escape_terminal(remark), width).iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    Ok(())
}

impl SolveReport<'_> {
    fn name(&self) -> Option<&str> {
        self.evaluation.and_then(Evaluation::name)
    }

    /// A figure with every digit, and as people read it where that is shorter.
    fn figure(&self, figure: u128) -> [String; 2] {
        let short = match self.quantity.unit {
            Unit::Bytes => units::bytes(figure, Units::Si),
            _ => units::count(figure),
        };
        match figure {
            // A sum that left 128 bits.
            u128::MAX => ["2^128 or more".to_owned(), String::new()],
            0..1000 => [units::exact(figure), String::new()],
            _ => [units::exact(figure), short],
        }
    }

    fn answer(&self) -> String {
        let (variable, quantity) = (self.variable, self.quantity.name);
        let target = units::exact(self.question.target);
        let exact = |reading: &Reading| [units::exact(u128::from(reading.value)), self.figure(reading.figure)[0].clone()];
        let tried = self.solution.readings.len();
        match (&self.solution.below, &self.solution.reached) {
            (Some(one), None) | (None, Some(one)) if self.solution.trend() == Trend::Constant && tried > 1 => {
                let [_, figure] = exact(one);
                format!("{quantity} doesn't depend on {variable}: it is {figure} at all {tried} values that were tried")
            }
            (Some(below), Some(reached)) if below.value < reached.value => {
                let ([below, _], [reached, _]) = (exact(below), exact(reached));
                format!("{quantity} reaches {target} at {variable} {reached}; {below} is the last below")
            }
            (Some(below), Some(reached)) => {
                let ([below, _], [reached, _]) = (exact(below), exact(reached));
                format!("{quantity} falls below {target} at {variable} {below}; {reached} is the last at or above it")
            }
            (Some(below), None) => {
                let [value, figure] = exact(below);
                format!("no {variable} that was tried reaches {target}: the most is {figure} {quantity}, at {value}")
            }
            (None, Some(reached)) => {
                let [value, figure] = exact(reached);
                format!("no {variable} that was tried is below {target}: the least is {figure} {quantity}, at {value}")
            }
            (None, None) => format!("{quantity} has no figure at any {variable} that was tried"),
        }
    }

    /// The two values with their figures.
    fn two(&self) -> Section {
        let row = |label: &str, reading: &Reading| {
            let [exact, short] = self.figure(reading.figure);
            let value = units::exact(u128::from(reading.value));
            vec![label.to_owned(), value, exact, short, signed_percent(reading.figure, self.question.target)]
        };
        let Solution { below, reached, .. } = self.solution;
        let falls = below.zip(*reached).is_some_and(|(below, reached)| below.value > reached.value);
        let labels = match (below.is_some() && reached.is_some(), falls) {
            (false, _) => ["the most", "the least"],
            (true, false) => ["last below", "first at or above"],
            (true, true) => ["first below", "last at or above"],
        };
        let [label_below, label_reached] = labels;
        let mut rows: Vec<Vec<String>> = Vec::new();
        rows.extend(below.as_ref().map(|reading| row(label_below, reading)));
        rows.extend(reached.as_ref().map(|reading| row(label_reached, reading)));
        if falls {
            rows.reverse();
        }
        let [_, short] = self.figure(self.question.target);
        rows.push(vec!["target".to_owned(), String::new(), units::exact(self.question.target), short, String::new()]);
        let columns = [("", false), (self.variable, true), (self.quantity.name, true), ("", true), ("of it", true)];
        Section { title: String::new(), columns: columns.map(|(name, right)| (name.to_owned(), right)).into(), rows }
    }

    /// What there is to know of the answer.
    fn remarks(&self) -> Vec<String> {
        let Question { least, most, multiple_of, .. } = self.question;
        let Solution { below, reached, adjacent, .. } = self.solution;
        let mut remarks = Vec::new();
        let several =
            if multiple_of > 1 { format!("multiple of {}", units::exact(u128::from(multiple_of))) } else { "value".to_owned() };
        let [tried, invalid] = [self.solution.readings.len() as u128, u128::from(self.solution.invalid)].map(units::exact);
        match (below, reached, adjacent) {
            (Some(_), Some(_), true) => remarks.push(format!("no valid {several} lies between them")),
            (Some(_), Some(_), false) => remarks.push(format!(
                "whether a valid {several} lies between them isn't known: those that were tried there are invalid; \
                 `--multiple-of`, `--min` and `--max` say where to look"
            )),
            _ => remarks.push(format!(
                "looked at {tried} values from {} to {}",
                units::exact(u128::from(least)),
                units::exact(u128::from(most))
            )),
        }
        if self.solution.trend() == Trend::Both {
            remarks.push(format!(
                "{} goes up and down as {} grows: other values may be on either side, too",
                self.quantity.name, self.variable
            ));
        }
        remarks.extend(self.evaluation.and_then(super::title::partial));
        if let Some((value, why)) = &self.solution.first_invalid {
            let (plural, was) = if self.solution.invalid == 1 { ("", "was") } else { ("s", "were") };
            let first = units::exact(u128::from(*value));
            remarks.push(format!(
                "{invalid} value{plural} at which the model is invalid {was} skipped; the first that was tried, {first}: {}",
                why.message
            ));
        }
        if self.quantity.fold == Fold::Peak {
            let weights = self.evaluation.map_or_else(String::new, |evaluation| {
                format!(" ({})", units::bytes(evaluation.total(Quantity::WeightBytes), Units::Si))
            });
            remarks.push(format!(
                "{} is activations{}, without the weights{weights}: `memory --device` says what fits",
                self.quantity.name,
                if self.quantity.quantity == Total::PeakBytes { " and cache" } else { "" }
            ));
        }
        let crossed = below.is_some() && reached.is_some();
        if let Some(evaluation) = self.evaluation.filter(|_| crossed && self.quantity.stated != Stated::Anywhere) {
            remarks.push(format!("at {}", title(evaluation)));
        }
        remarks
    }

    fn json(&self) -> Json {
        let reading = |reading: &Option<Reading>| {
            reading.map(|Reading { value, figure }| {
                let known = (figure != u128::MAX).then_some(figure);
                json!({ "value": value, "figure": known, "percent": known.map(|figure| percent(figure, self.question.target)) })
            })
        };
        let invalid = self.solution.first_invalid.as_ref();
        let trend = match self.solution.trend() {
            Trend::Constant => "constant",
            Trend::Rising => "rising",
            Trend::Falling => "falling",
            Trend::Both => "both",
        };
        let page = json!({
            "format": "layerspec.solve/1",
            "model": self.name(),
            "variable": self.variable,
            "quantity": self.quantity.name,
            "target": self.question.target,
            "least": self.question.least,
            "most": self.question.most,
            "multiple_of": self.question.multiple_of,
            "below": reading(&self.solution.below),
            "reached": reading(&self.solution.reached),
            "adjacent": self.solution.adjacent,
            "trend": trend,
            "tried": self.solution.readings.len(),
            "invalid": self.solution.invalid,
            "first_invalid": invalid.map(|(value, why)| json!({ "value": value, "message": why.message })),
        });
        super::title::marked(page, self.evaluation.map_or(&[], |evaluation| &evaluation.checked.model.partial))
    }
}

/// By how many per cent a figure differs from the target.
#[expect(clippy::cast_precision_loss, reason = "a ratio for people, not a count")]
fn percent(figure: u128, target: u128) -> f64 {
    let share = figure.abs_diff(target) as f64 / target as f64 * 100.0;
    if figure < target { -share } else { share }
}

fn signed_percent(figure: u128, target: u128) -> String {
    match percent(figure, target) {
        _ if figure == target => "0%".to_owned(),
        _ if figure == u128::MAX => String::new(),
        share if share.abs() < 0.005 => if share < 0.0 { "-<0.01%" } else { "+<0.01%" }.to_owned(),
        share if share >= 1e6 => format!("{share:+.1e}%"),
        share => format!("{share:+.2}%"),
    }
}
