//! Tables without lines. Colours are the program's: the library alone has no terminal.

use comfy_table::{Cell, ContentArrangement, Table, presets};

/// A table that looks at no terminal.
pub fn sheet(arrangement: ContentArrangement) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(arrangement);
    plain(&mut table);
    table
}

#[cfg(feature = "cli")]
fn plain(table: &mut Table) {
    table.force_no_tty();
}

#[cfg(not(feature = "cli"))]
fn plain(_: &mut Table) {}

/// A table whose cells may be bold or dim.
#[cfg(feature = "cli")]
pub fn colored(mut table: Table) -> Table {
    // `force_no_tty` has no way back but a setting of its own.
    table.enforce_styling();
    table
}

#[cfg(not(feature = "cli"))]
pub fn colored(table: Table) -> Table {
    table
}

#[cfg(feature = "cli")]
pub fn bold(cell: Cell) -> Cell {
    cell.add_attribute(comfy_table::Attribute::Bold)
}

#[cfg(not(feature = "cli"))]
pub fn bold(cell: Cell) -> Cell {
    cell
}

#[cfg(feature = "cli")]
pub fn dim(cell: Cell) -> Cell {
    cell.add_attribute(comfy_table::Attribute::Dim)
}

#[cfg(not(feature = "cli"))]
pub fn dim(cell: Cell) -> Cell {
    cell
}
