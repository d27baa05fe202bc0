//! What is of a size, and what avoids it.

use std::io::{self, Write};

use serde_json::{Value as Json, json};

use super::page::{self, PageFormat, Section};
use super::units::{self, Units};
use crate::analysis::find::{Found, Remedy, Size};
use crate::syntax::json::write::write_pretty;

/// How many tensors a person is shown.
const MOST: usize = 40;

/// Writes what is of a size.
///
/// # Errors
/// Those of `out`.
pub fn render_found(
    size: &Size,
    found: &[Found],
    remedies: &[Remedy],
    (format, units, width): (PageFormat, Units, usize),
    out: &mut dyn Write,
) -> io::Result<()> {
    if format == PageFormat::Json {
        let found: Vec<Json> = found
            .iter()
            .map(|f| json!({ "what": f.what, "path": f.path, "name": f.name, "shape": f.shape, "count": f.count, "bytes": f.bytes }))
            .collect();
        let remedies: Vec<Json> = remedies.iter().map(|r| json!({ "option": r.option, "bytes": r.bytes })).collect();
        let asked = json!({ "text": size.text, "from": size.bytes.start(), "to": size.bytes.end() });
        let all = json!({ "format": "layerspec.found/1", "size": asked, "found": found, "avoided_by": remedies });
        write_pretty(out, &all)?;
        return writeln!(out);
    }
    let bytes = |n: u128| vec![units::exact(n), units::bytes(n, units)];
    let mut rows: Vec<Vec<String>> = found.iter().take(MOST).map(|found| row(found, &bytes)).collect();
    if found.len() > MOST {
        rows.push(vec![format!("... and {} more", found.len() - MOST)]);
    }
    let column = |name: &str, right: bool| (name.to_owned(), right);
    let tensors = Section {
        title: String::new(),
        columns: vec![
            column("what", false),
            column("where", false),
            column("shape", false),
            column("x", true),
            column("bytes", true),
            column("", true),
        ],
        rows,
    };
    let avoided: Vec<Vec<String>> = remedies
        .iter()
        .map(|remedy| {
            let now = remedy.bytes.map_or_else(|| vec!["nothing of it".to_owned(), String::new()], &bytes);
            std::iter::once(remedy.option.clone()).chain(now).collect()
        })
        .collect();
    let avoided = Section {
        title: String::new(),
        columns: vec![column("avoided by", false), column("the largest is then", true), column("", true)],
        rows: avoided,
    };
    let title = match found.len() {
        0 => format!("nothing in the model is of {} at this workload", size.text),
        _ => format!("what is of {} at this workload", size.text),
    };
    let sections = [tensors, avoided];
    if format == PageFormat::Table { page::text(&title, &sections, width, out) } else { page::markdown(&title, &sections, out) }
}

fn row(found: &Found, bytes: &dyn Fn(u128) -> Vec<String>) -> Vec<String> {
    let place = match (found.path.as_str(), found.name.as_str()) {
        (path, "") => path.to_owned(),
        (path, name) => format!("{path} {name}"),
    };
    let shape = found.shape.as_deref().map(units::shape).unwrap_or_default();
    [found.what.to_owned(), place, shape, units::exact(found.count)].into_iter().chain(bytes(found.bytes)).collect()
}
