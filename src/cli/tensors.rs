//! `layerspec tensors`.

use super::args::TensorsArgs;
use super::input::{self, Found};
use super::output::{Exit, Stop, Terminal, write_to};
use crate::cost::workload::Workload;
use crate::lower::Execution;
use crate::report::{TensorOptions, render_tensors};
use crate::session::Settings;

pub fn run(args: &TensorsArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let (name, outcome) = match input::find(&args.model, &session) {
        Found::Checkpoint(checkpoint) => (checkpoint.name, checkpoint.contents),
        other => {
            let model = other.read(&args.model, &Settings { draft: args.with_mtp, ..Settings::default() }, &session);
            let name = model.value.as_ref().and_then(|model| model.name()).unwrap_or(&args.model).to_owned();
            let evaluated =
                model.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(&Workload::default()));
            (name, evaluated.map(|evaluation| evaluation.tensors(args.max_rows)))
        }
    };
    let exit = terminal.report(&outcome);
    let Some(contents) = &outcome.value else { return Ok(exit) };
    let options = TensorOptions {
        format: args.format,
        by: args.by,
        expand: args.expand,
        metadata: args.metadata,
        units: args.units,
        width: terminal.width(),
    };
    write_to(args.output.output.as_deref(), |out| render_tensors(&name, contents, options, out))?;
    Ok(exit)
}
