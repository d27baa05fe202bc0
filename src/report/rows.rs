//! Rows of a sweep as text: CSV, one JSON array, or a JSON object a line.
//!
//! Millions are written, so what stands before each cell is made once, and figures go straight into a buffer.

use std::io;

use super::escape_csv;
use crate::analysis::sweep::Piece;
use crate::syntax::expr::{Value, json_of};
use crate::syntax::json::write;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// A line of names, then a line a row.
    Csv,
    /// An array of objects.
    Json,
    /// An object a line.
    JsonLines,
}

/// By how many digits a row may be longer than the first.
const SLACK: usize = 16;

/// What a sweep's rows look like in a format.
#[derive(Debug)]
pub struct Rows {
    format: RowFormat,
    /// What stands before each cell.
    before: Vec<Vec<u8>>,
    names: Vec<String>,
}

impl Rows {
    /// Rows of these columns.
    ///
    /// # Errors
    /// A name that can't be JSON.
    pub fn new(format: RowFormat, names: Vec<String>) -> io::Result<Self> {
        let mut before = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            let mut text = match (format, at) {
                (RowFormat::Csv, 0) => Vec::new(),
                (RowFormat::Csv, _) => b",".to_vec(),
                (_, 0) => b"{".to_vec(),
                (_, _) => b",".to_vec(),
            };
            if format != RowFormat::Csv {
                write::write(&mut text, name)?;
                text.push(b':');
            }
            before.push(text);
        }
        Ok(Rows { format, before, names })
    }

    /// What stands before all rows.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        match self.format {
            RowFormat::Csv => {
                let names: Vec<String> = self.names.iter().map(|name| csv_cell(name)).collect();
                format!("{}\n", names.join(",")).into_bytes()
            }
            RowFormat::Json => b"[\n".to_vec(),
            RowFormat::JsonLines => Vec::new(),
        }
    }

    /// What stands between two rows.
    #[must_use]
    pub fn between(&self) -> &'static [u8] {
        if self.format == RowFormat::Json { b",\n" } else { b"\n" }
    }

    /// What stands behind all rows, if there are any.
    #[must_use]
    pub fn foot(&self, any: bool) -> &'static [u8] {
        match (self.format, any) {
            (RowFormat::Json, true) => b"\n]\n",
            (RowFormat::Json, false) => b"]\n",
            (_, true) => b"\n",
            (_, false) => b"",
        }
    }

    /// Adds the rows of a piece behind those that are there, with what stands between rows.
    pub fn add(&self, piece: &Piece<'_>, out: &mut Vec<u8>) {
        let mut before = self.before.iter();
        let mut head = Vec::new();
        for (value, before) in piece.outer.iter().zip(before.by_ref()) {
            head.extend_from_slice(before);
            self.value(value, &mut head);
        }
        let before: Vec<&[u8]> = before.map(Vec::as_slice).collect();
        let (of_columns, of_figures) = before.split_at_checked(piece.columns.len()).unwrap_or_default();
        let (unknown, end): (&[u8], &[u8]) = if self.format == RowFormat::Csv { (b"", b"") } else { (b"null", b"}") };
        let mut digits = itoa::Buffer::new();
        let start = out.len();
        // All columns are walked at once, a row after the other.
        let mut columns: Vec<_> = piece.columns.iter().map(|column| column.iter().flatten()).collect();
        let mut figures: Vec<_> = piece.block.columns.iter().map(|column| column.values.iter().zip(&column.known)).collect();
        for row in 0..piece.points {
            // The first says how long they are.
            if row == 1 {
                out.reserve(out.len().saturating_sub(start).saturating_add(SLACK).saturating_mul(piece.points));
            }
            if !out.is_empty() {
                out.extend_from_slice(self.between());
            }
            out.extend_from_slice(&head);
            for (before, column) in of_columns.iter().zip(&mut columns) {
                out.extend_from_slice(before);
                out.extend_from_slice(column.next().map_or(unknown, |value| digits.format(*value).as_bytes()));
            }
            for (before, column) in of_figures.iter().zip(&mut figures) {
                out.extend_from_slice(before);
                match column.next() {
                    // Nearly all fit into 64 bits, which are written several times as fast.
                    Some((value, true)) => out.extend_from_slice(match u64::try_from(*value) {
                        Ok(value) => digits.format(value).as_bytes(),
                        Err(_) => digits.format(*value).as_bytes(),
                    }),
                    _ => out.extend_from_slice(unknown),
                }
            }
            out.extend_from_slice(end);
        }
    }

    fn value(&self, value: &Value, out: &mut Vec<u8>) {
        // What a model computes with is JSON.
        let json = || write::text(&json_of(value)).unwrap_or_default();
        let text = match (self.format, value) {
            (RowFormat::Csv, Value::Text(text)) => csv_cell(&escape_csv(text)),
            (RowFormat::Csv, _) => csv_cell(&json()),
            _ => json(),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// A text as a cell: in quotes where it needs them.
fn csv_cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
