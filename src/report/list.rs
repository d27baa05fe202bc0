//! What there is: models, classes, dtypes, devices.

use std::io::{self, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, Table};

use super::sheet::sheet;
use super::units::{self, Units};
use crate::catalog::{Catalog, Device};

fn table(width: usize) -> Table {
    let mut table = sheet(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    table
}

/// Only the last column is broken over several lines: names are there to be copied.
fn draw(mut table: Table, out: &mut dyn Write) -> io::Result<()> {
    let last = table.column_count().saturating_sub(1);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at == last { 0 } else { 2 }));
        if at != last {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
}

/// The embedded models: the name to call them by, and what they are.
///
/// # Errors
/// Those of `out`.
pub fn list_models(catalog: &Catalog, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut table = table(width);
    table.set_header(["name", "params", "model"]);
    for model in catalog.models() {
        let json: serde_json::Value = serde_json::from_str(model.text).unwrap_or_default();
        let text = |key: &str| json.get(key).and_then(|v| v.as_str()).unwrap_or("").to_owned();
        let params = json.pointer("/expect/params").and_then(serde_json::Value::as_u64).map(|n| units::count(u128::from(n)));
        table.add_row([model.name.to_owned(), params.unwrap_or_default(), text("name")]);
    }
    draw(table, out)
}

/// The classes of the catalog: a line each, or two where the terminal is narrow.
///
/// # Errors
/// Those of `out`.
pub fn list_classes(catalog: &Catalog, width: usize, out: &mut dyn Write) -> io::Result<()> {
    const ROOM_FOR_DOC: usize = 60;
    let classes: Vec<_> = catalog.classes().filter_map(Result::ok).collect();
    let longest = classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0);
    if width < longest + "function".len() + ROOM_FOR_DOC {
        return classes.iter().try_for_each(|class| writeln!(out, "{} ({})\n    {}", class.name, class.kind.word(), class.doc));
    }
    let mut table = table(width);
    table.set_header(["class", "kind", "what it computes"]);
    for class in &classes {
        table.add_row([&*class.name, class.kind.word(), &*class.doc]);
    }
    draw(table, out)
}

/// The families: the name, the model types of their configs, and what they extend.
///
/// # Errors
/// Those of `out`.
pub fn list_families(catalog: &Catalog, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut table = table(width);
    table.set_header(["family", "extends", "model types"]);
    let mut names: Vec<&str> = catalog.family_names().collect();
    names.sort_unstable();
    names.dedup();
    for family in names.into_iter().filter_map(|name| catalog.family(name)?.ok()) {
        let base = family.extends.as_ref().map_or("", |base| &base.value);
        let types = family.model_types.iter().map(|t| &**t);
        let types: Vec<&str> = types.chain(family.is_base().then_some("(a base)")).collect();
        table.add_row([family.name.to_string(), base.to_owned(), types.join(", ")]);
    }
    draw(table, out)
}

/// The blocks that families share: the name to use them by, and what they are.
///
/// # Errors
/// Those of `out`.
pub fn list_blocks(catalog: &Catalog, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut table = table(width);
    table.set_header(["block", "what it is"]);
    let mut names: Vec<&str> = catalog.block_names().collect();
    names.sort_unstable();
    names.dedup();
    for block in names.into_iter().filter_map(|name| catalog.block(name)?.ok()) {
        table.add_row([format!("blocks/{}", block.name.value), block.doc.as_deref().unwrap_or_default().to_owned()]);
    }
    draw(table, out)
}

/// The element types.
///
/// # Errors
/// Those of `out`.
pub fn list_dtypes(catalog: &Catalog, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut table = table(width);
    table.set_header(["dtype", "bits", "also", "what it is"]);
    for dtype in catalog.dtypes() {
        table.add_row([dtype.name.to_string(), dtype.bits.to_string(), dtype.aliases.join(", "), dtype.doc.to_string()]);
    }
    draw(table, out)
}

/// How tools and papers count FLOPs: the name to call a convention by, and what it counts.
///
/// # Errors
/// Those of `out`.
pub fn list_conventions(catalog: &Catalog, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut table = table(width);
    table.set_header(["convention", "also", "what it counts"]);
    for convention in catalog.conventions().filter_map(Result::ok) {
        table.add_row([convention.name.to_string(), convention.aliases.join(", "), convention.doc.to_string()]);
    }
    draw(table, out)
}

/// The devices: the name to call them by, their main figures, and whether those were read from the vendor's own documents.
///
/// # Errors
/// Those of `out`.
pub fn list_devices(catalog: &Catalog, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut table = table(width);
    table.set_header(["name", "memory", "bandwidth", "bf16 peak", "", "device"]);
    for device in catalog.devices().filter_map(Result::ok) {
        table.add_row(device_cells(&device));
    }
    draw(table, out)
}

fn device_cells(device: &Device) -> [String; 6] {
    [
        device.name.to_string(),
        units::bytes(device.memory_capacity, Units::Si),
        units::bytes_per_second(device.memory_bandwidth, Units::Si),
        device.peak("bf16").map(|peak| units::rate(peak, "FLOP/s")).unwrap_or_default(),
        if device.verified { "" } else { "unverified" }.to_owned(),
        device.title.to_string(),
    ]
}
