//! `layerspec graph`.

use super::args::{GraphArgs, GraphFormat};
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::analysis::{TooManyEdges, graph};
use crate::cost::workload::Request;
use crate::evaluation::front;
use crate::report::{render_dot, render_mermaid};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};

pub fn run(args: &GraphArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(catalog) = terminal.catalog() else { return Ok(Exit::Wrong) };
    let Some(source) = input::read_or_report(&args.model, &catalog, terminal) else {
        return Ok(Exit::Wrong);
    };
    let mut diagnostics = Diagnostics::default();
    let request = Request { settings: args.settings.clone(), family: args.family.clone(), ..Request::default() };
    let model = front(&source, &catalog, &request, &mut diagnostics);
    terminal.report(&diagnostics, Some(&source), &catalog);
    let (Some(model), false) = (model, diagnostics.has_errors()) else { return Ok(Exit::Wrong) };
    let Ok(graph) = graph(&model) else {
        terminal.report_one(too_many_edges(), &catalog);
        return Ok(Exit::Wrong);
    };
    write_to(args.output.output.as_deref(), |out| match args.format {
        GraphFormat::Dot => render_dot(&model, &graph, out),
        GraphFormat::Mermaid => render_mermaid(&model, &graph, out),
    })?;
    Ok(Exit::Fine)
}

fn too_many_edges() -> Diagnostic {
    let message = format!("the model's layers read more than {} values of each other", TooManyEdges::MOST);
    Diagnostic::new(Code::ModelTooLarge, message)
}
