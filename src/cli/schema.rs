//! `layerspec schema`.

use super::args::SchemaArgs;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::catalog::Catalog;
use crate::report::model_schema;
use crate::syntax::json::write::write_pretty;

pub fn run(args: &SchemaArgs, _terminal: &Terminal) -> Result<Exit, Stop> {
    let schema = args.of.map_or_else(|| model_schema(&Catalog::new()), |format| format.schema(false));
    write_to(args.output.output.as_deref(), |out| {
        write_pretty(out, &schema)?;
        writeln!(out)
    })?;
    Ok(Exit::Fine)
}
