//! `layerspec summary` and `layerspec compare`.

use super::args::{CompareArgs, SummaryArgs, WorkloadArgs};
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::evaluation::Evaluation;
use crate::report::{render_compare, render_summary};
use crate::session::Session;

pub fn run(args: &SummaryArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let (model, exit) = evaluated(&args.model, &args.page.workload, &session, terminal)?;
    let Some(model) = model else { return Ok(exit) };
    let page = model.summary();
    write_to(args.page.output.output.as_deref(), |out| render_summary(&page, args.page.format, terminal.width(), out))?;
    Ok(exit)
}

pub fn compare(args: &CompareArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let (mut models, mut worst) = (Vec::new(), Exit::Fine);
    for model in &args.models {
        let (model, exit) = evaluated(model, &args.page.workload, &session, terminal)?;
        worst = worst.max(exit);
        models.extend(model);
    }
    if models.len() != args.models.len() {
        return Ok(if worst == Exit::Fine { Exit::Wrong } else { worst });
    }
    let pages: Vec<_> = models.iter().map(Evaluation::summary).collect();
    let (first, rest) = models.split_first().map_or((None, &[][..]), |(first, rest)| (Some(first), rest));
    let differences: Vec<_> = first.map(|first| rest.iter().map(|second| first.difference(second)).collect()).unwrap_or_default();
    write_to(args.page.output.output.as_deref(), |out| {
        render_compare(&pages, &differences, args.page.format, terminal.width(), out)
    })?;
    Ok(worst)
}

/// A model at the workload, what is wrong with it reported.
fn evaluated(
    model: &str,
    args: &WorkloadArgs,
    session: &Session,
    terminal: &Terminal,
) -> Result<(Option<Evaluation>, Exit), Stop> {
    let workload = args.workload(session.catalog())?;
    let loaded = input::read(model, &args.settings(), session);
    let model = loaded.value.clone();
    let outcome = loaded.and_then(|model| model.lowered(&args.execution())).and_then(|lowered| lowered.at(&workload));
    let exit = terminal.report(&outcome);
    if let (Some(model), Some(_)) = (&model, &outcome.value) {
        terminal.unused(model);
    }
    Ok((outcome.value, exit))
}
