//! Pages of labelled facts and tables: `summary` and `compare` write them as text, Markdown or JSON.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Width};

use super::sheet::sheet;
use super::{escape_markdown, escape_terminal};
use crate::quantity::workload::words;
use crate::syntax::words::{width_of, wrap};

/// How `summary` and `compare` are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFormat {
    /// For people, as wide as the terminal.
    Table,
    /// For programs.
    Json,
    /// For pages.
    Markdown,
}

words!(PageFormat, Table = "table", Json = "json", Markdown = "markdown");

/// A titled table; the columns that stand to the right are marked.
#[derive(Debug, Default)]
pub struct Section {
    pub title: String,
    pub columns: Vec<(String, bool)>,
    pub rows: Vec<Vec<String>>,
}

/// Writes sections for a terminal of this width.
pub fn text(title: &str, sections: &[Section], width: usize, out: &mut dyn Write) -> io::Result<()> {
    for line in wrap(&escape_terminal(title), width) {
        writeln!(out, "{line}")?;
    }
    for section in sections.iter().filter(|section| !section.rows.is_empty()) {
        writeln!(out)?;
        if !section.title.is_empty() {
            wrap(&section.title, width).iter().try_for_each(|line| writeln!(out, "{line}"))?;
        }
        if section.least_width() > width {
            section.one_below_another(width, out)?;
            continue;
        }
        let mut table = sheet(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        if section.columns.iter().any(|(name, _)| !name.is_empty()) {
            table.set_header(section.columns.iter().map(|(name, right)| cell(name, *right)));
        }
        for row in &section.rows {
            table.add_row(
                row.iter().enumerate().map(|(at, text)| cell(text, section.columns.get(at).is_some_and(|(_, right)| *right))),
            );
        }
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((if at == 0 { 2 } else { 0 }, 2));
            // Figures are no text: they are not broken over lines. Nor are words, where there is room for the longest of each column.
            if section.columns.get(at).is_some_and(|(_, right)| *right) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            } else if section.columns.len() > 2 {
                let padding = if at == 0 { 4 } else { 2 };
                let least = u16::try_from(section.longest_word(at) + padding).unwrap_or(u16::MAX);
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
            }
        }
        for line in table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(())
}

impl Section {
    /// The longest word of a column.
    fn longest_word(&self, at: usize) -> usize {
        let longest = |text: &str| text.split(' ').map(width_of).max().unwrap_or(0);
        let title = self.columns.get(at).map(|(title, _)| title);
        self.rows.iter().filter_map(|row| row.get(at)).chain(title).map(|cell| longest(cell)).max().unwrap_or(0)
    }

    /// The width without which a figure, or a word, would be broken.
    fn least_width(&self) -> usize {
        const GAP: usize = 2;
        let longest_word = |text: &str| text.split(' ').map(width_of).max().unwrap_or(0);
        let column = |(at, (title, right)): (usize, &(String, bool))| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).chain([title]);
            cells.map(|cell| if *right { width_of(cell) } else { longest_word(cell) }).max().unwrap_or(0) + GAP
        };
        // A path is one word, and may be broken where nothing else helps.
        if self.columns.len() > 2 { self.columns.iter().enumerate().map(column).sum() } else { 0 }
    }

    /// Each row's cells on lines of their own, under its first.
    fn one_below_another(&self, width: usize, out: &mut dyn Write) -> io::Result<()> {
        for row in &self.rows {
            let (Some(label), cells) = (row.first(), row.get(1..).unwrap_or_default()) else { continue };
            for (at, line) in wrap(&escape_terminal(label), width.saturating_sub(4).max(16)).iter().enumerate() {
                writeln!(out, "  {}{line}", if at > 0 { "  " } else { "" })?;
            }
            for (cell, (title, _)) in cells.iter().zip(self.columns.iter().skip(1)).filter(|(cell, _)| !cell.is_empty()) {
                let text = if title.is_empty() { cell.clone() } else { format!("{title}: {cell}") };
                for line in wrap(&escape_terminal(&text), width.saturating_sub(4).max(16)) {
                    writeln!(out, "    {line}")?;
                }
            }
        }
        Ok(())
    }
}

fn cell(text: &str, right: bool) -> Cell {
    let alignment = if right { CellAlignment::Right } else { CellAlignment::Left };
    Cell::new(escape_terminal(text)).set_alignment(alignment)
}

/// Writes sections as Markdown.
pub fn markdown(title: &str, sections: &[Section], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "**{}**", escape_markdown(title))?;
    for section in sections.iter().filter(|section| !section.rows.is_empty()) {
        if section.title.is_empty() {
            writeln!(out)?;
        } else {
            writeln!(out, "\n{}\n", escape_markdown(&section.title))?;
        }
        let titles: Vec<String> = section.columns.iter().map(|(name, _)| escape_markdown(name)).collect();
        writeln!(out, "| {} |", titles.join(" | "))?;
        let rules: Vec<&str> = section.columns.iter().map(|(_, right)| if *right { "---:" } else { "---" }).collect();
        writeln!(out, "| {} |", rules.join(" | "))?;
        for row in &section.rows {
            let cells: Vec<String> = row.iter().map(|text| escape_markdown(text)).collect();
            writeln!(out, "| {} |", cells.join(" | "))?;
        }
    }
    Ok(())
}
