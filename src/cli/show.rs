//! `layerspec show`: any stage of the pipeline, for those who work on it.

use std::io;

use super::args::ShowArgs;
use super::input;
use super::output::{Exit, Terminal, write_to};

pub fn run(args: &ShowArgs, terminal: &Terminal) -> io::Result<Exit> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let (settings, execution, workload) = (args.workload.settings(), args.workload.execution(), args.workload.workload());
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
