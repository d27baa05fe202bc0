//! Pages of labelled facts and tables: `summary` and `compare` write them as text, Markdown or JSON.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement};

use super::sheet::sheet;
use super::words::wrap;
use super::{escape_markdown, escape_terminal};
use crate::quantity::workload::words;

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
            // Figures are no text: they are not broken over lines.
            if section.columns.get(at).is_some_and(|(_, right)| *right) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        for line in table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(())
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
