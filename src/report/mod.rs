//! Reports: what people and programs see of a compiled model.
//!
//! A [`Evaluation`] comes in, bytes go out. Rounding and human units happen here (`units`) and nowhere else; names
//! from a file are data and are escaped in every format.

mod changes;
mod conventions;
mod csv;
mod dot;
mod drawing;
mod explain;
mod families;
mod family;
mod formula;
mod found;
mod grid;
mod json;
mod layer;
mod lines;
mod list;
mod markdown;
mod memory;
mod mermaid;
mod origin;
mod output;
mod page;
#[cfg(feature = "parquet")]
mod parquet;
mod parts;
mod reconcile;
mod roles;
mod rows;
mod schema;
mod serving;
mod sheet;
mod solve;
mod summary;
mod table;
mod tensors;
mod title;
mod tree;
pub mod units;
mod varied;
mod why;

use std::io::{self, Write};
use std::sync::Arc;

pub use crate::syntax::escape::{escape_csv, escape_dot, escape_markdown, escape_mermaid, escape_terminal};
pub use crate::syntax::words::fit;
pub use changes::render_changes;
pub use dot::render_dot;
pub use explain::{errors_page, explain_class, explain_code, explain_convention, explain_device, explain_dtype, explain_runtime};
pub use families::families_page;
pub use family::{explain_block, explain_family};
pub use formula::{FormulaFormat, render_formulas};
pub use found::render_found;
pub use grid::{Sort, column_keys};
pub use lines::{By, Group, Line, expanded, folded, groups};
pub use list::{
    Listing, list_blocks, list_classes, list_conventions, list_devices, list_dtypes, list_families, list_models, list_runtimes,
    render_list,
};
pub use memory::{MEMORY_FORMATS, MemoryFormat, MemoryReport};
pub use mermaid::render_mermaid;
pub use origin::explain_variable;
pub use output::{OUTPUT_FORMATS, OutputFormat, output_page};
pub use page::PageFormat;
#[cfg(feature = "parquet")]
pub use parquet::{CellKind, ParquetRows};
pub use reconcile::render_reconciled;
pub use roles::roles_page;
pub use rows::{RowFormat, Rows};
pub use schema::model_schema;
pub use serving::{ServingReport, Solved, render_served};
pub use solve::{SolveReport, render_solved};
pub use summary::{render_compare, render_summary};
pub use tensors::{TensorFormat, TensorOptions, TensorsBy, render_tensors};
pub use tree::render_tree;

pub use title::title;
pub use varied::{VariedPlan, render_varied};
pub use why::{explain_composite, explain_layer};

use crate::analysis::convention::Counted;
use crate::evaluation::Evaluation;
use units::Units;

/// How a report is to look.
#[derive(Debug, Clone)]
pub struct Options {
    /// How rows are put together.
    pub by: By,
    /// How many segments of a path make a group, with `By::Depth`.
    pub depth: usize,
    /// A row for each instance, where repeats would be folded.
    pub expand: bool,
    /// Every digit, in place of human units.
    pub exact: bool,
    /// Decimal or binary multiples of bytes.
    pub units: Units,
    /// FLOPs as a convention counts them, in place of our own.
    pub convention: Option<Arc<Counted>>,
    /// The order of a table's rows; `None`: that of execution.
    pub sort: Option<Sort>,
    /// How many rows a table has at most, besides the total.
    pub top: Option<usize>,
    /// The columns of a table by their names; empty: those that there is room for.
    pub columns: Vec<String>,
    /// Whether to colour.
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
}

impl Default for Options {
    /// What `compile` takes where nothing is asked, without colour, on 100 columns.
    fn default() -> Self {
        Options {
            by: By::Layer,
            depth: 1,
            expand: false,
            exact: false,
            units: Units::Si,
            convention: None,
            sort: None,
            top: None,
            columns: Vec::new(),
            color: false,
            width: 100,
        }
    }
}

impl Options {
    /// Whether rows stand for themselves, and not under their composites.
    fn sorted(&self) -> bool {
        self.sort.is_some() || self.top.is_some()
    }
}

/// An output format: one file, one line here.
#[derive(Debug)]
pub struct Format {
    /// Its name in options.
    pub name: &'static str,
    /// What it is, in a line.
    pub doc: &'static str,
    /// Whether it has a row for each instance even without `--expand`.
    pub expands: bool,
    /// Writes an evaluation in it.
    pub render: fn(&Evaluation, &Options, &mut dyn Write) -> io::Result<()>,
}

/// All formats of `compile`.
pub const FORMATS: &[Format] = &[
    Format { name: "table", doc: "aligned columns for people, repeats folded", expands: false, render: table::render },
    Format {
        name: "json",
        doc: "one document: workload, conventions, the full flat list, totals",
        expands: true,
        render: json::render,
    },
    Format { name: "jsonl", doc: "the full flat list, one JSON object a line", expands: true, render: json::render_lines },
    Format { name: "csv", doc: "the full flat list, one row a line", expands: true, render: csv::render },
    Format { name: "markdown", doc: "the table as Markdown, repeats folded", expands: false, render: markdown::render },
];

#[cfg(test)]
mod tests {
    use super::FORMATS;

    #[test]
    fn every_format_has_a_file() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/report");
        for format in FORMATS {
            // `jsonl` is the rows of `json`.
            let file = format!("{folder}/{}.rs", if format.name == "jsonl" { "json" } else { format.name });
            assert!(std::path::Path::new(&file).exists(), "{file}");
        }
    }
}
