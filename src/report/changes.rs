//! What changed between two outputs of `compile`, in words.

use std::io::{self, Write};

use serde_json::{Value as Json, json};

use super::page::{self, PageFormat, Section};
use super::tree::last_segment;
use super::units;
use crate::analysis::changes::{Change, What};
use crate::syntax::escape::escape_terminal;
use crate::syntax::json::write::write_pretty;

/// How many changes a person is shown.
const MOST: usize = 200;

/// Writes the changes from an output to another. Nothing is no change.
///
/// # Errors
/// Those of `out`.
pub fn render_changes(
    [old, new]: [&str; 2],
    changes: &[Change],
    format: PageFormat,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    if format == PageFormat::Json {
        let changes: Vec<Json> = changes.iter().map(change_json).collect();
        write_pretty(out, &json!({ "format": "layerspec.changes/1", "changed": !changes.is_empty(), "changes": changes }))?;
        return writeln!(out);
    }
    let mut rows: Vec<Vec<String>> = changes.iter().take(MOST).map(|change| vec![place(change), words(change)]).collect();
    if changes.len() > MOST {
        rows.push(vec![format!("... and {} more", changes.len() - MOST), String::new()]);
    }
    let count = match changes.len() {
        0 => "nothing changed".to_owned(),
        1 => "1 change".to_owned(),
        count => format!("{count} changes"),
    };
    let title = format!("from {old} to {new}: {count}");
    if rows.is_empty() {
        return writeln!(out, "{}", escape_terminal(&title));
    }
    let section = Section { title: String::new(), columns: vec![(String::new(), false), (String::new(), false)], rows };
    if format == PageFormat::Table { page::text(&title, &[section], width, out) } else { page::markdown(&title, &[section], out) }
}

fn place(change: &Change) -> String {
    let mark = match change.what {
        What::Added(_) => "+ ",
        What::Removed(_) => "- ",
        _ if change.layers > 0 => "~ ",
        _ => "",
    };
    let count = if change.layers > 1 { format!(" ({})", change.layers) } else { String::new() };
    format!("{mark}{}{count}", change.place)
}

fn words(change: &Change) -> String {
    match &change.what {
        What::Added(class) => format!("added: {}", last_segment(class)),
        What::Removed(class) => format!("removed: {}", last_segment(class)),
        What::Order => "the layers run in another order".to_owned(),
        What::Figures(names) => format!("other figures: {}", names.join(", ")),
        What::Value { name, before: None, after: Some(after) } => format!("{name} is new: {}", shown(after)),
        What::Value { name, before: Some(before), after: None } => format!("{name} is gone: {}", shown(before)),
        What::Value { name, before, after } => {
            let (before, after) = (before.as_deref().unwrap_or("null"), after.as_deref().unwrap_or("null"));
            format!("{name} {} -> {}{}", shown(before), shown(after), by(before, after))
        }
    }
}

/// A JSON value for people: texts without quotes, counts with commas, long ones cut.
fn shown(value: &str) -> String {
    const LONGEST: usize = 80;
    let text = match serde_json::from_str::<Json>(value) {
        Ok(Json::String(text)) => text,
        _ => value.parse::<u128>().map_or_else(|_| value.to_owned(), units::exact),
    };
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// By how much a count changed.
fn by(before: &str, after: &str) -> String {
    let (Ok(before), Ok(after)) = (before.parse::<u128>(), after.parse::<u128>()) else { return String::new() };
    let (sign, difference) = if after > before { ('+', after - before) } else { ('-', before - after) };
    match before {
        0 => format!(" ({sign}{})", units::exact(difference)),
        _ => format!(" ({sign}{}, {sign}{})", units::exact(difference), units::percent(difference, before)),
    }
}

fn change_json(change: &Change) -> Json {
    let value = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str::<Json>(text).ok());
    let mut out = json!({ "place": change.place, "layers": change.layers });
    let what = match &change.what {
        What::Added(class) => json!({ "change": "added", "class": class }),
        What::Removed(class) => json!({ "change": "removed", "class": class }),
        What::Order => json!({ "change": "order" }),
        What::Figures(names) => json!({ "change": "figures", "names": names }),
        What::Value { name, before, after } => {
            json!({ "change": "value", "name": name, "from": value(before), "to": value(after) })
        }
    };
    if let (Json::Object(out), Json::Object(what)) = (&mut out, what) {
        out.extend(what);
    }
    out
}
