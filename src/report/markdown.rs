//! The table as Markdown.

use std::io::{self, Write};

use super::grid::{grid, summary};
use super::title::title;
use super::{Options, escape_markdown};
use crate::evaluation::Evaluation;

pub fn render(compiled: &Evaluation, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let grid = grid(compiled, options);
    writeln!(out, "**{}**\n", escape_markdown(&title(compiled)))?;
    let titles: Vec<String> = grid.columns.iter().map(|column| escape_markdown(column.title)).collect();
    writeln!(out, "| {} |", titles.join(" | "))?;
    let rules: Vec<&str> = grid.columns.iter().map(|column| if column.right { "---:" } else { "---" }).collect();
    writeln!(out, "| {} |", rules.join(" | "))?;
    grid.each(&mut |row| {
        let cells: Vec<String> = row
            .cells
            .iter()
            .enumerate()
            .map(|(at, text)| {
                // Markdown drops leading blanks, so the tree is drawn with hard ones.
                let lead = if at == 0 { "&nbsp;&nbsp;".repeat(row.indent) } else { String::new() };
                format!("{lead}{}", escape_markdown(text))
            })
            .collect();
        writeln!(out, "| {} |", cells.join(" | "))
    })?;
    writeln!(out)?;
    for (label, text) in summary(compiled, options) {
        writeln!(out, "- {label}: {}", escape_markdown(&text))?;
    }
    Ok(())
}
