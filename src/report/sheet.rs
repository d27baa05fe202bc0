//! Tables without lines.

use comfy_table::{ContentArrangement, Table, presets};

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
