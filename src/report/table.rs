//! The table that people look at first: as many columns as the terminal has room for, then the totals and the conventions.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, ContentArrangement};

use super::Options;
use super::grid::{Column, Grid, RowKind, grid, summary, title};
use super::sheet::{bold, colored, dim, sheet};
use crate::evaluation::Evaluation;

/// Blanks between two columns.
const GAP: usize = 2;
/// The name column isn't cut shorter than this.
const SHORTEST_NAME: usize = 24;

pub fn render(compiled: &Evaluation, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let mut grid = grid(compiled, options);
    indent(&mut grid);
    fit(&mut grid, options.width);
    writeln!(out, "{}\n", styled(&title(compiled), options.color, "1"))?;
    draw(&grid, options, out)?;
    writeln!(out)?;
    let lines = summary(compiled, options.units);
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

/// Names stand under their composites.
fn indent(grid: &mut Grid) {
    for row in &mut grid.rows {
        if let Some(name) = row.cells.first_mut() {
            *name = format!("{}{name}", "  ".repeat(row.indent));
        }
    }
}

fn width_of(text: &str) -> usize {
    text.chars().count()
}

/// The widest cell of a column.
fn column_width(grid: &Grid, at: usize) -> usize {
    let title = grid.columns.get(at).map_or(0, |column| width_of(column.title));
    grid.rows.iter().filter_map(|row| row.cells.get(at)).map(|cell| width_of(cell)).max().unwrap_or(0).max(title)
}

/// Keeps the columns that there is room for, the most important first, then cuts the middle out of long names.
fn fit(grid: &mut Grid, width: usize) {
    let widths: Vec<usize> = (0..grid.columns.len()).map(|at| column_width(grid, at)).collect();
    let mut ranked: Vec<usize> = (0..grid.columns.len()).collect();
    ranked.sort_by_key(|at| grid.columns.get(*at).map_or(0, |column| column.rank));
    let mut keep = vec![false; grid.columns.len()];
    let mut used = 0;
    for at in ranked {
        let needed = widths.get(at).copied().unwrap_or(0) + if used == 0 { 0 } else { GAP };
        let indispensable = grid.columns.get(at).is_some_and(|column| column.rank == 0);
        if indispensable || used + needed <= width {
            used += needed;
            if let Some(flag) = keep.get_mut(at) {
                *flag = true;
            }
        }
    }
    retain(&mut grid.columns, &keep);
    for row in &mut grid.rows {
        retain(&mut row.cells, &keep);
    }
    let over = used.saturating_sub(width);
    if over == 0 {
        return;
    }
    let room = widths.first().map_or(0, |name| name.saturating_sub(over)).max(SHORTEST_NAME);
    for row in &mut grid.rows {
        if let Some(name) = row.cells.first_mut() {
            *name = shorten(name, room);
        }
    }
}

fn retain<T>(list: &mut Vec<T>, keep: &[bool]) {
    let mut flags = keep.iter();
    list.retain(|_| flags.next().copied().unwrap_or(false));
}

/// Leaves out the middle of a text that is too long.
fn shorten(text: &str, room: usize) -> String {
    let length = width_of(text);
    if length <= room {
        return text.to_owned();
    }
    let tail = (room - 3) / 2;
    let head = room - 3 - tail;
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(length - tail).collect();
    format!("{start}...{end}")
}

fn draw(grid: &Grid, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let table = sheet(ContentArrangement::Disabled);
    let mut table = if options.color { colored(table) } else { table };
    table.set_header(grid.columns.iter().map(|column| bold(cell(column.title, column))));
    for row in &grid.rows {
        let cells = row.cells.iter().zip(&grid.columns).enumerate().map(|(at, (text, column))| {
            let cell = cell(text, column);
            match row.kind {
                RowKind::Heading | RowKind::Total => bold(cell),
                RowKind::Layer if at > 0 && matches!(text.as_str(), "0" | "tied") => dim(cell),
                RowKind::Layer => cell,
            }
        });
        table.add_row(cells.collect::<Vec<_>>());
    }
    let last = grid.columns.len().saturating_sub(1);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at == last { 0 } else { u16::try_from(GAP).unwrap_or(2) }));
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn cell(text: &str, column: &Column) -> Cell {
    Cell::new(text).set_alignment(if column.right { CellAlignment::Right } else { CellAlignment::Left })
}

/// Breaks a text at blanks.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        if let Some(line) = lines.last_mut()
            && (line.is_empty() || width_of(line) + 1 + width_of(word) <= width)
        {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            continue;
        }
        lines.push(word.to_owned());
    }
    lines
}
