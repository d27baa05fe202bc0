//! The table that people look at first: as many columns as the terminal has room for, then the totals and the conventions.

use std::io::{self, Write};

use super::Options;
use super::grid::{Grid, Row, RowKind, grid, summary};
use super::title::title;
use crate::evaluation::Evaluation;
use crate::syntax::words::{shorten, width_of, wrap};

/// Blanks between two columns.
const GAP: usize = 2;
/// The name column isn't cut shorter than this.
const SHORTEST_NAME: usize = 24;

pub fn render(compiled: &Evaluation, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let grid = grid(compiled, options);
    let layout = Layout::of(&grid, options)?;
    for line in wrap(&title(compiled), options.width) {
        writeln!(out, "{}", styled(&line, options.color, "1"))?;
    }
    writeln!(out)?;
    layout.draw(&grid, out)?;
    writeln!(out)?;
    let lines = summary(compiled, options);
    let label_width = lines.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    for (label, text) in lines {
        let wrapped = wrap(&text, options.width.saturating_sub(label_width + GAP).max(30));
        for (at, line) in wrapped.iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            writeln!(out, "{}  {line}", styled(&format!("{label:<label_width$}"), options.color, "2"))?;
        }
    }
    Ok(())
}

fn styled(text: &str, color: bool, code: &str) -> String {
    if color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Which columns there is room for, and how wide they are.
struct Layout {
    /// By the grid's columns; `None`: there is no room.
    widths: Vec<Option<usize>>,
    color: bool,
}

/// A row's name under its composites.
fn name(row: &Row) -> String {
    format!("{}{}", "  ".repeat(row.indent), row.cells.first().map_or("", String::as_str))
}

impl Layout {
    /// Keeps the columns that there is room for, the most important first; then the middle of long names gives way.
    fn of(grid: &Grid<'_>, options: &Options) -> io::Result<Self> {
        let mut widest: Vec<usize> = grid.columns.iter().map(|column| width_of(column.title)).collect();
        grid.each(&mut |row| {
            for (at, (cell, widest)) in row.cells.iter().zip(&mut widest).enumerate() {
                let lead = if at == 0 { 2 * row.indent } else { 0 };
                *widest = (lead + width_of(cell)).max(*widest);
            }
            Ok(())
        })?;
        let mut ranked: Vec<usize> = (0..grid.columns.len()).collect();
        ranked.sort_by_key(|at| grid.columns.get(*at).map_or(0, |column| column.rank));
        let mut widths = vec![None; grid.columns.len()];
        let mut used = 0;
        for at in ranked {
            let own = widest.get(at).copied().unwrap_or(0);
            let needed = own + if used == 0 { 0 } else { GAP };
            let indispensable = grid.columns.get(at).is_some_and(|column| column.rank == 0);
            if indispensable || used + needed <= options.width {
                used += needed;
                if let Some(width) = widths.get_mut(at) {
                    *width = Some(own);
                }
            }
        }
        let over = used.saturating_sub(options.width);
        if let (Some(Some(names)), true) = (widths.first_mut(), over > 0) {
            *names = (*names).min(names.saturating_sub(over).max(SHORTEST_NAME));
        }
        Ok(Layout { widths, color: options.color })
    }

    fn draw(&self, grid: &Grid<'_>, out: &mut dyn Write) -> io::Result<()> {
        let titles: Vec<String> = grid.columns.iter().map(|column| column.title.to_owned()).collect();
        self.line(grid, RowKind::Heading, &titles, out)?;
        grid.each(&mut |mut row| {
            let name = name(&row);
            let room = self.widths.first().copied().flatten().unwrap_or(0);
            if let Some(first) = row.cells.first_mut() {
                *first = shorten(&name, room);
            }
            self.line(grid, row.kind, &row.cells, out)
        })
    }

    fn line(&self, grid: &Grid<'_>, kind: RowKind, cells: &[String], out: &mut dyn Write) -> io::Result<()> {
        let mut line = String::new();
        let mut gap = 0;
        // Blanks are written before what follows them, so that none end a line.
        for (at, ((text, column), width)) in cells.iter().zip(&grid.columns).zip(&self.widths).enumerate() {
            let Some(width) = width else { continue };
            let room = width.saturating_sub(width_of(text));
            let (before, after) = if column.right { (room, 0) } else { (0, room) };
            let code = match kind {
                RowKind::Heading | RowKind::Total => "1",
                RowKind::Layer if at > 0 && matches!(text.as_str(), "0" | "tied") => "2",
                RowKind::Layer => "",
            };
            if !text.is_empty() {
                line.extend(std::iter::repeat_n(' ', gap + before));
                line.push_str(&styled(text, self.color && !code.is_empty(), code));
                gap = 0;
            } else {
                gap += before;
            }
            gap += after + GAP;
        }
        writeln!(out, "{line}")
    }
}
