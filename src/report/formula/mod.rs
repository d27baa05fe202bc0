//! A model's totals as formulas: for people, in LaTeX, as data, and as modules of programming languages.

mod code;
mod json;
mod page;

use std::io::{self, Write};

use crate::analysis::formula::Formulas;
use crate::evaluation::Evaluation;
use crate::program::Style;

/// How formulas are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormulaFormat {
    /// For people, as wide as the terminal.
    Text,
    /// For papers.
    Latex,
    /// For programs.
    Json,
    /// A module with a function a quantity.
    Python,
    /// A module with a function a quantity, of BigInts.
    JavaScript,
}

impl FormulaFormat {
    /// All of them, in the order of the help.
    pub const ALL: &'static [Self] = &[Self::Text, Self::Latex, Self::Json, Self::Python, Self::JavaScript];

    /// As the option spells it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            FormulaFormat::Text => "text",
            FormulaFormat::Latex => "latex",
            FormulaFormat::Json => "json",
            FormulaFormat::Python => "python",
            FormulaFormat::JavaScript => "javascript",
        }
    }
}

/// Writes the formulas of a model; `evaluation` is that of the workload that was asked for.
///
/// # Errors
/// Those of `out`.
pub fn render_formulas(
    evaluation: &Evaluation,
    pages: &[Formulas],
    format: FormulaFormat,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        FormulaFormat::Text => page::text(evaluation, pages, width, out),
        FormulaFormat::Latex => page::latex(evaluation, pages, out),
        FormulaFormat::Json => json::json(evaluation, pages, out),
        FormulaFormat::Python => code::module(evaluation, pages, Style::Python, out),
        FormulaFormat::JavaScript => code::module(evaluation, pages, Style::JavaScript, out),
    }
}
