//! `layerspec graph`.

use super::args::{GraphArgs, GraphFormat};
use super::asked::run as run_with;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::analysis::TooManyEdges;
use crate::cost::workload::{RunOptions, Workload};
use crate::report::{render_dot, render_mermaid};
use crate::session::Settings;
use crate::syntax::diag::{Code, Diagnostic};

pub fn run(args: &GraphArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let settings = Settings {
        family: args.family.clone(),
        head: args.head.clone(),
        draft: args.with_mtp,
        variables: args.settings.clone(),
        partial: args.partial,
        ..Settings::default()
    };
    let options = RunOptions { runtime: args.runtime.clone(), ..RunOptions::default() };
    let (_, execution) = run_with(Workload::default(), &options, &session, terminal)?;
    let outcome = input::read(&args.model, &settings, &session).and_then(|model| model.lowered(&execution));
    let exit = terminal.report(&outcome);
    let (Some(lowered), Exit::Fine) = (outcome.value, exit) else { return Ok(Exit::Wrong) };
    let Ok(graph) = lowered.graph() else {
        return Ok(terminal.report(&session.failed::<()>(too_many_edges())));
    };
    write_to(args.output.output.as_deref(), |out| match args.format {
        GraphFormat::Dot => render_dot(&lowered, &graph, out),
        GraphFormat::Mermaid => render_mermaid(&lowered, &graph, out),
    })?;
    Ok(Exit::Fine)
}

fn too_many_edges() -> Diagnostic {
    let message = format!("the model's layers read more than {} values of each other", TooManyEdges::MOST);
    Diagnostic::new(Code::ModelTooLarge, message)
}
