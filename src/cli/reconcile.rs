//! `layerspec reconcile`.

use super::args::ReconcileArgs;
use super::asked::asked;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::analysis::convention::Counted;
use crate::report::render_reconciled;

pub fn run(args: &ReconcileArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let conventions = match session.conventions(&args.conventions) {
        Ok(conventions) => conventions,
        Err(said) => return Ok(terminal.report(&session.said::<()>(said))),
    };
    let (workload, execution) = asked(&args.page.workload, &session, terminal)?;
    let model = input::read(&args.model, &args.page.workload.settings(session.catalog()), &session);
    let keys = model.value.clone();
    let outcome = model.and_then(|model| model.lowered(&execution)).and_then(|lowered| lowered.at(&workload));
    let exit = terminal.report(&outcome);
    let (Some(evaluation), Some(model)) = (outcome.value, keys) else { return Ok(exit) };
    terminal.unused(&model);
    let counts: Result<Vec<Counted>, _> = conventions.iter().map(|convention| evaluation.counted(convention)).collect();
    match counts {
        Ok(counts) => {
            let (format, width) = (args.page.format, terminal.width());
            write_to(args.page.output.output.as_deref(), |out| render_reconciled(&evaluation, &counts, format, width, out))?;
            Ok(exit)
        }
        Err(diagnostic) => Ok(terminal.report(&session.failed::<()>(*diagnostic))),
    }
}
