//! What `gguf-dump` (of the `gguf` package) prints of a file, as the file's own header.
//!
//! Lines of keys are `n: TYPE | count | key = value`, those of tensors `n: elements | dims | TYPE | name`; dims are ggml's, filled up to four with
//! ones. Of lists the first items are there.

use std::sync::Arc;

use super::contents::{Contents, Datum, Held, Metadatum};
use crate::catalog::Catalog;
use crate::quantity::product;

/// What such a text has near its beginning.
const MARK: &str = "key/value pair(s)";
/// So far it is looked for.
const NEAR: usize = 4096;
/// The most lines that are read of it.
const MOST_LINES: usize = 2_000_000;

/// Whether a text is one that `gguf-dump` printed.
#[must_use]
pub fn is_dump(text: &[u8]) -> bool {
    let start = text.get(..NEAR).unwrap_or(text);
    start.windows(MARK.len()).any(|part| part == MARK.as_bytes())
}

/// Reads such a text; lines that are neither a key nor a tensor are passed over.
#[must_use]
pub fn read_dump(text: &str, catalog: &Catalog) -> Contents {
    let mut contents = Contents { format: "gguf-dump".into(), header_bytes: text.len() as u64, ..Contents::default() };
    for line in text.lines().take(MOST_LINES) {
        let Some((number, rest)) = line.split_once(':') else { continue };
        let number = number.trim();
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let parts: Vec<&str> = rest.splitn(4, '|').map(str::trim).collect();
        match parts.as_slice() {
            [kind, count, said] => contents.metadata.extend(key(kind, count, said)),
            // A value may have a bar in it.
            [kind, count, said, more] if said.contains(" = ") => {
                contents.metadata.extend(key(kind, count, &format!("{said}|{more}")));
            }
            [elements, dims, kind, name] => contents.tensors.extend(tensor([elements, dims, kind, name], catalog)),
            _ => {}
        }
    }
    contents
}

fn key(kind: &str, count: &str, said: &str) -> Option<Metadatum> {
    let (name, value) = said.split_once(" = ")?;
    // What it says of the file itself is no key of it.
    if name.starts_with("GGUF.") {
        return None;
    }
    let value = match kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')) {
        Some(of) => {
            let inner = value.trim().trim_start_matches('[').trim_end_matches(']');
            let items = inner.split(',').map(str::trim).filter(|item| !item.is_empty() && *item != "...");
            let items = items.take(Datum::MOST_ITEMS).filter_map(scalar).collect();
            Datum::List { of: word(of), len: count.parse().ok()?, items }
        }
        None => scalar(value)?,
    };
    Some(Metadatum { key: name.into(), value })
}

/// What items of a list are called.
fn word(kind: &str) -> &'static str {
    const WORDS: [&str; 12] =
        ["UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "FLOAT32", "BOOL", "STRING", "UINT64", "INT64", "FLOAT64"];
    WORDS.into_iter().find(|word| *word == kind).unwrap_or("ARRAY")
}

/// A value as Python prints it.
fn scalar(text: &str) -> Option<Datum> {
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    Some(match text {
        "True" => Datum::Bool(true),
        "False" => Datum::Bool(false),
        text => match quoted('\'').or_else(|| quoted('"')) {
            Some(text) => Datum::Text(text.into()),
            None => match text.parse::<i128>() {
                Ok(n) => Datum::Integer(n),
                Err(_) => Datum::Float(text.parse().ok()?),
            },
        },
    })
}

fn tensor([elements, dims, kind, name]: [&str; 4], catalog: &Catalog) -> Option<Held> {
    let elements: u64 = elements.parse().ok()?;
    let mut shape: Vec<u64> = dims.split(',').map(|dim| dim.trim().parse().ok()).collect::<Option<_>>()?;
    // Ones fill it up; a tensor has at least one dimension.
    while shape.len() > 1 && shape.last() == Some(&1) {
        shape.pop();
    }
    shape.reverse();
    let product = product(&shape)?;
    let known = catalog.storage_type(kind).ok();
    let bytes = known.and_then(|known| known.tensor_bytes(&shape));
    let name: Arc<str> = name.into();
    (product == elements).then(|| Held { name, shape: Some(shape), kind: kind.into(), bytes, file: None })
}
