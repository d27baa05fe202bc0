//! `layerspec show`: any stage of the pipeline, for those who work on it.

use super::args::ShowArgs;
use super::asked::asked;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};

pub fn run(args: &ShowArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let (workload, execution) = asked(&args.workload, &session, terminal)?;
    let settings = args.workload.settings(session.catalog());
    let stage = |name: &str, text: &[u8]| session.stage(name, text, &settings, (&execution, &workload), args.stage.into());
    let outcome = match input::text(&args.model) {
        Some(Ok((name, bytes))) => stage(&name, &bytes),
        Some(Err(diagnostic)) => session.failed(*diagnostic),
        None => match session.embedded(&args.model) {
            Some((path, text)) => stage(path, text.as_bytes()),
            None => session.failed(session.unknown_model(&args.model)),
        },
    };
    let exit = terminal.report(&outcome);
    if let Some(text) = &outcome.value {
        write_to(args.output.output.as_deref(), |out| writeln!(out, "{text}"))?;
    }
    Ok(exit)
}
