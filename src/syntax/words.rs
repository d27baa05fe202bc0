//! Texts for people: lists of names, lines of a terminal.

use std::fmt::Display;

use unicode_width::UnicodeWidthStr;

/// How wide a text is in a terminal.
pub fn width_of(text: &str) -> usize {
    text.width()
}

/// The first few of some things, and how many more there are: `a, b and 3 more`.
pub fn few(all: impl ExactSizeIterator<Item = impl Display>, most: usize) -> String {
    let more = all.len().saturating_sub(most);
    let shown = all.take(most).map(|one| one.to_string()).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// The same of names, each between backticks.
pub fn few_quoted(all: &[impl Display], most: usize) -> String {
    few(all.iter().map(|name| format!("`{name}`")), most)
}

/// Breaks a text at blanks; a word that is wider than a line after the signs of products in it.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        if width_of(word) > width && word.contains('·') {
            wrap_product(word, width, &mut lines);
            continue;
        }
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

/// Puts the factors of a product on lines, as many as there is room for.
fn wrap_product(product: &str, width: usize, lines: &mut Vec<String>) {
    for (at, factor) in product.split_inclusive('·').enumerate() {
        let blank = usize::from(at == 0);
        match lines.last_mut() {
            Some(line) if line.is_empty() || width_of(line) + blank + width_of(factor) <= width => {
                if at == 0 && !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(factor);
            }
            _ => lines.push(factor.to_owned()),
        }
    }
}

/// Leaves out the middle of a text that is too long.
pub fn shorten(text: &str, room: usize) -> String {
    let length = width_of(text);
    if length <= room {
        return text.to_owned();
    }
    let tail = (room.saturating_sub(3)) / 2;
    let head = room.saturating_sub(3 + tail);
    let start = text
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| width_of(text.get(..*end).unwrap_or("")) <= head)
        .last();
    let mut ends = text.char_indices().rev().map(|(at, _)| at).take_while(|at| width_of(text.get(*at..).unwrap_or("")) <= tail);
    let end = ends.by_ref().last();
    format!("{}...{}", text.get(..start.unwrap_or(0)).unwrap_or(""), text.get(end.unwrap_or(text.len())..).unwrap_or(""))
}

/// A page on lines of this width: a line that is too long goes on below, under its last column where that leaves room.
pub fn fit(page: &str, width: usize) -> String {
    let mut out = String::with_capacity(page.len());
    for line in page.lines() {
        if width_of(line) <= width {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        let lead = line.len() - line.trim_start().len();
        // Columns stand at least two blanks apart.
        let last = line.trim_end().rfind("  ").map_or(0, |at| at + 2);
        let indent = if last > lead && last <= width / 2 { last } else { lead + 4 };
        let (head, tail) = line.split_at(if indent == last { last } else { lead });
        for (at, part) in wrap(tail, width.saturating_sub(indent).max(16)).iter().enumerate() {
            let before = if at == 0 { head.to_owned() } else { " ".repeat(indent) };
            out.push_str(format!("{before}{part}").trim_end());
            out.push('\n');
        }
    }
    out
}
