//! `layerspec list`.

use clap::ValueEnum;

use super::args::{ListArgs, Listed};
use super::output::{Exit, Stop, Terminal, write_to};
use crate::catalog::Catalog;
use crate::report::{
    Listing, list_blocks, list_classes, list_conventions, list_devices, list_dtypes, list_families, list_models, list_runtimes,
    render_list,
};

pub fn run(args: &ListArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let (file, width) = (args.output.output.as_deref(), terminal.width());
    match args.what {
        Some(what) => {
            let listing = listing(what, session.catalog());
            write_to(file, |out| render_list(&listing, args.format, width, out))?;
        }
        None => write_to(file, |out| {
            Listed::value_variants().iter().filter_map(ValueEnum::to_possible_value).try_for_each(|what| {
                writeln!(
                    out,
                    "layerspec list {:<12}  {}",
                    what.get_name(),
                    what.get_help().map(ToString::to_string).unwrap_or_default()
                )
            })
        })?,
    }
    Ok(Exit::Fine)
}

fn listing(what: Listed, catalog: &Catalog) -> Listing {
    match what {
        Listed::Models => list_models(catalog),
        Listed::Families => list_families(catalog),
        Listed::Blocks => list_blocks(catalog),
        Listed::Classes => list_classes(catalog),
        Listed::Dtypes => list_dtypes(catalog),
        Listed::Hardware => list_devices(catalog),
        Listed::Conventions => list_conventions(catalog),
        Listed::Runtimes => list_runtimes(catalog),
    }
}
