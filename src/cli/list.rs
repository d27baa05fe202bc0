//! `layerspec list`.

use super::args::{ListArgs, Listed};
use super::output::{Exit, Stop, Terminal, write_to};
use crate::report::{list_blocks, list_classes, list_conventions, list_devices, list_dtypes, list_families, list_models};

pub fn run(args: &ListArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let (catalog, width) = (session.catalog(), terminal.width());
    write_to(args.output.output.as_deref(), |out| match args.what {
        Listed::Models => list_models(catalog, width, out),
        Listed::Families => list_families(catalog, width, out),
        Listed::Blocks => list_blocks(catalog, width, out),
        Listed::Classes => list_classes(catalog, width, out),
        Listed::Dtypes => list_dtypes(catalog, width, out),
        Listed::Hardware => list_devices(catalog, width, out),
        Listed::Conventions => list_conventions(catalog, width, out),
    })?;
    Ok(Exit::Fine)
}
