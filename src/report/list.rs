//! What there is: models, classes, dtypes, devices, ... as tables, JSON or Markdown.

use std::io::{self, Write};

use comfy_table::{ColumnConstraint, ContentArrangement};
use serde_json::{Map, Value as Json, json};

use super::page::{self, PageFormat, Section};
use super::sheet::sheet;
use super::units::{self, Units};
use crate::catalog::{Catalog, Device};
use crate::syntax::escape::escape_terminal;
use crate::syntax::json::write::write_pretty;
use crate::syntax::words::{shorten, wrap};

/// Entries of one kind, each with the same facts.
#[derive(Debug)]
pub struct Listing {
    /// Of which kind they are: `models`.
    what: &'static str,
    /// What a fact is called in JSON, and in the table.
    columns: Vec<(&'static str, &'static str)>,
    rows: Vec<Vec<Cell>>,
    /// Whether the last column is given up before the others are.
    last_says_little: bool,
}

/// A fact as programs and as people have it.
#[derive(Debug)]
struct Cell {
    value: Json,
    shown: String,
}

fn text(text: &str) -> Cell {
    Cell { value: json!(text), shown: escape_terminal(text).into_owned() }
}

fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Cell {
    let texts: Vec<String> = texts.into_iter().map(|text| text.as_ref().to_owned()).collect();
    Cell { shown: escape_terminal(&texts.join(", ")).into_owned(), value: json!(texts) }
}

fn figure(n: Option<u128>, shown: impl Fn(u128) -> String) -> Cell {
    Cell { value: json!(n), shown: n.map(shown).unwrap_or_default() }
}

/// Writes a listing; a narrow terminal has the facts below the names.
///
/// # Errors
/// Those of `out`.
pub fn render_list(listing: &Listing, format: PageFormat, width: usize, out: &mut dyn Write) -> io::Result<()> {
    match format {
        PageFormat::Table => listing.table(width, out),
        PageFormat::Json => {
            write_pretty(out, &listing.json())?;
            writeln!(out)
        }
        PageFormat::Markdown => page::markdown(listing.what, &[listing.section()], out),
    }
}

impl Listing {
    fn json(&self) -> Json {
        let row = |row: &Vec<Cell>| {
            let facts = self.columns.iter().zip(row).map(|((key, _), cell)| ((*key).to_owned(), cell.value.clone()));
            Json::Object(facts.collect::<Map<String, Json>>())
        };
        let rows: Vec<Json> = self.rows.iter().map(row).collect();
        json!({ "format": "layerspec.list/1", self.what: rows })
    }

    fn section(&self) -> Section {
        let columns = self.columns.iter().map(|(_, title)| ((*title).to_owned(), false)).collect();
        let rows = self.rows.iter().map(|row| row.iter().map(|cell| cell.shown.clone()).collect()).collect();
        Section { title: String::new(), columns, rows }
    }

    fn table(&self, width: usize, out: &mut dyn Write) -> io::Result<()> {
        /// What the last column needs to be read.
        const ROOM: usize = 24;
        const GAP: usize = 2;
        let last = self.columns.len().saturating_sub(1);
        let longest = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.shown.chars().count());
            cells.chain(self.columns.get(at).map(|(_, title)| title.len())).max().unwrap_or(0)
        };
        let before: usize = (0..last).map(|at| longest(at) + GAP).sum();
        let fits = before + longest(last).min(ROOM) <= width;
        let fits_without_last = self.last_says_little && before <= width;
        if !(fits || fits_without_last) {
            return self.one_below_another(width, out);
        }
        let shown = if fits { self.columns.len() } else { last };
        let mut table = sheet(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        table.set_header(self.columns.iter().take(shown).map(|(_, title)| *title));
        for row in &self.rows {
            table.add_row(row.iter().take(shown).map(|cell| cell.shown.as_str()));
        }
        // Only the last column is broken over several lines: names are there to be copied.
        for (at, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if at == last { 0 } else { 2 }));
            if at != last {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        table.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
    }

    fn one_below_another(&self, width: usize, out: &mut dyn Write) -> io::Result<()> {
        const INDENT: &str = "    ";
        for row in &self.rows {
            let mut cells = row.iter().map(|cell| cell.shown.as_str()).filter(|shown| !shown.is_empty());
            let name = cells.next().unwrap_or_default();
            let facts = cells.collect::<Vec<_>>().join("; ");
            if name.chars().count() + facts.chars().count() + 2 <= width {
                writeln!(out, "{name}: {facts}")?;
                continue;
            }
            writeln!(out, "{}", shorten(name, width))?;
            for line in wrap(&facts, width.saturating_sub(INDENT.len())).iter().filter(|line| !line.is_empty()) {
                writeln!(out, "{INDENT}{line}")?;
            }
        }
        Ok(())
    }
}

/// The embedded models: the name to call them by, and what they are.
#[must_use]
pub fn list_models(catalog: &Catalog) -> Listing {
    let rows = catalog.models().iter().map(|model| {
        let json: Json = serde_json::from_str(model.text).unwrap_or_default();
        let said = |key: &str| json.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
        let params = json.pointer("/expect/params").and_then(Json::as_u64).map(u128::from);
        vec![text(model.name), figure(params, units::count), text(&said("name"))]
    });
    Listing {
        what: "models",
        columns: vec![("name", "name"), ("params", "params"), ("model", "model")],
        rows: rows.collect(),
        last_says_little: false,
    }
}

/// The classes of the catalog.
#[must_use]
pub fn list_classes(catalog: &Catalog) -> Listing {
    let classes = catalog.classes().filter_map(Result::ok);
    let rows = classes.map(|class| vec![text(&class.name), text(class.kind.word()), text(&class.doc)]);
    Listing {
        what: "classes",
        columns: vec![("class", "class"), ("kind", "kind"), ("doc", "what it computes")],
        rows: rows.collect(),
        last_says_little: false,
    }
}

/// The families: the name, the model types of their configs, and what they extend.
#[must_use]
pub fn list_families(catalog: &Catalog) -> Listing {
    let mut names: Vec<&str> = catalog.family_names().collect();
    names.sort_unstable();
    names.dedup();
    let rows = names.into_iter().filter_map(|name| catalog.family(name)?.ok()).map(|family| {
        let base = family.extends.as_ref().map_or("", |base| &base.value);
        let mut types = texts(&family.model_types);
        if family.is_base() {
            types.shown = "(a base)".to_owned();
        }
        vec![text(&family.name), text(base), types]
    });
    let columns = vec![("family", "family"), ("extends", "extends"), ("model_types", "model types")];
    Listing { what: "families", columns, rows: rows.collect(), last_says_little: false }
}

/// The blocks that families share: the name to use them by, and what they are.
#[must_use]
pub fn list_blocks(catalog: &Catalog) -> Listing {
    let mut names: Vec<&str> = catalog.block_names().collect();
    names.sort_unstable();
    names.dedup();
    let blocks = names.into_iter().filter_map(|name| catalog.block(name)?.ok());
    let rows =
        blocks.map(|block| vec![text(&format!("blocks/{}", block.name.value)), text(block.doc.as_deref().unwrap_or_default())]);
    Listing {
        what: "blocks",
        columns: vec![("block", "block"), ("doc", "what it is")],
        rows: rows.collect(),
        last_says_little: false,
    }
}

/// The element types.
#[must_use]
pub fn list_dtypes(catalog: &Catalog) -> Listing {
    let rows = catalog.dtypes().iter().map(|dtype| {
        let bits = Cell { value: units::number(dtype.bits), shown: dtype.bits.to_string() };
        vec![text(&dtype.name), bits, texts(dtype.aliases.iter()), text(&dtype.doc)]
    });
    let columns = vec![("dtype", "dtype"), ("bits", "bits"), ("aliases", "also"), ("doc", "what it is")];
    Listing { what: "dtypes", columns, rows: rows.collect(), last_says_little: false }
}

/// How tools and papers count FLOPs: the name to call a convention by, and what it counts.
#[must_use]
pub fn list_conventions(catalog: &Catalog) -> Listing {
    let conventions = catalog.conventions().filter_map(Result::ok);
    let rows = conventions.map(|convention| vec![text(&convention.name), texts(&convention.aliases), text(&convention.doc)]);
    let columns = vec![("convention", "convention"), ("aliases", "also"), ("doc", "what it counts")];
    Listing { what: "conventions", columns, rows: rows.collect(), last_says_little: false }
}

/// The engines: the name to call one by, the versions of which something is known, and what it does to a model.
#[must_use]
pub fn list_runtimes(catalog: &Catalog) -> Listing {
    let rows = catalog.runtimes().filter_map(Result::ok).map(|runtime| {
        let versions = runtime.versions.as_ref().map_or_else(String::new, |known| format!("{} to {}", known.from, known.to));
        vec![text(&runtime.name), texts(&runtime.aliases), text(&versions), text(&runtime.doc)]
    });
    let columns = vec![("runtime", "runtime"), ("aliases", "also"), ("versions", "versions"), ("doc", "what it does")];
    Listing { what: "runtimes", columns, rows: rows.collect(), last_says_little: false }
}

/// The devices: the name to call them by, their main figures, and whether those were read from the vendor's own documents.
#[must_use]
pub fn list_devices(catalog: &Catalog) -> Listing {
    let columns = vec![
        ("name", "name"),
        ("memory_capacity", "memory"),
        ("memory_bandwidth", "bandwidth"),
        ("peak_bf16", "bf16 peak"),
        ("verified", ""),
        ("title", "device"),
    ];
    Listing {
        what: "hardware",
        columns,
        rows: catalog.devices().filter_map(Result::ok).map(|device| device_cells(&device)).collect(),
        last_says_little: true,
    }
}

fn device_cells(device: &Device) -> Vec<Cell> {
    let verified = if device.verified { "" } else { "unverified" };
    vec![
        text(&device.name),
        figure(Some(device.memory_capacity), |n| units::bytes(n, Units::Si)),
        figure(device.memory_bandwidth, |n| units::bytes_per_second(n, Units::Si)),
        figure(device.peak("bf16"), |peak| units::rate(peak, "FLOP/s")),
        Cell { value: json!(device.verified), shown: verified.to_owned() },
        text(&device.title),
    ]
}
