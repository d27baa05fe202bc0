//! `layerspec tree`.

use super::args::TreeArgs;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::evaluation::{evaluate, front};
use crate::flow::{self, Flow};
use crate::report::render_tree;
use crate::syntax::diag::Diagnostics;

pub fn run(args: &TreeArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(catalog) = terminal.catalog() else { return Ok(Exit::Wrong) };
    let request = args.workload.request(&catalog)?;
    let Some(source) = input::read_or_report(&args.model, &catalog, terminal) else {
        return Ok(Exit::Wrong);
    };
    let mut diagnostics = Diagnostics::default();
    let model = front(&source, &catalog, &request, &mut diagnostics);
    let flow = model.as_ref().filter(|_| !diagnostics.has_errors()).map(|model| {
        let (bound, report) = evaluate(&model.flat, &request, &mut diagnostics);
        if diagnostics.has_errors() { Flow::default() } else { flow::run(&model.flat, &bound, &report, &mut diagnostics) }
    });
    terminal.report(&diagnostics, Some(&source), &catalog);
    let (Some(model), Some(flow), false) = (model, flow, diagnostics.has_errors()) else { return Ok(Exit::Wrong) };
    write_to(args.output.output.as_deref(), |out| render_tree(&model, &flow, out))?;
    Ok(Exit::Fine)
}
