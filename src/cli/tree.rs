//! `layerspec tree`.

use super::args::TreeArgs;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::report::render_tree;

pub fn run(args: &TreeArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let workload = args.workload.workload(session.catalog())?;
    let outcome = input::read(&args.model, &args.workload.settings(), &session)
        .and_then(|model| model.lowered(&args.workload.execution()))
        .and_then(|lowered| lowered.sketch(&workload));
    let exit = terminal.report(&outcome);
    let (Some(evaluation), Exit::Fine) = (outcome.value, exit) else { return Ok(Exit::Wrong) };
    write_to(args.output.output.as_deref(), |out| render_tree(&evaluation, out))?;
    Ok(Exit::Fine)
}
