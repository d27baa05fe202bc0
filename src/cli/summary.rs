//! `layerspec summary` and `layerspec compare`.

use std::sync::Arc;

use super::args::{CompareArgs, SummaryArgs};
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::analysis::compare::difference;
use crate::analysis::summary::{Summary, summary};
use crate::catalog::Catalog;
use crate::cost::workload::Request;
use crate::evaluation::{Compiled, compile};
use crate::report::{render_compare, render_summary};
use crate::syntax::diag::Diagnostics;

pub fn run(args: &SummaryArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(catalog) = terminal.catalog() else { return Ok(Exit::Wrong) };
    let request = args.page.workload.request(&catalog)?;
    let (compiled, exit) = compiled(&args.model, &request, &catalog, terminal);
    let Some(compiled) = compiled else { return Ok(exit) };
    let page = summary(&compiled, &request);
    write_to(args.page.output.output.as_deref(), |out| render_summary(&page, args.page.format, terminal.width(), out))?;
    Ok(exit)
}

pub fn compare(args: &CompareArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(catalog) = terminal.catalog() else { return Ok(Exit::Wrong) };
    let request = args.page.workload.request(&catalog)?;
    let (mut models, mut worst) = (Vec::new(), Exit::Fine);
    for model in &args.models {
        let (compiled, exit) = compiled(model, &request, &catalog, terminal);
        worst = worst.max(exit);
        models.extend(compiled);
    }
    if models.len() != args.models.len() {
        return Ok(if worst == Exit::Fine { Exit::Wrong } else { worst });
    }
    let pages: Vec<Summary> = models.iter().map(|model| summary(model, &request)).collect();
    let differences =
        models.split_first().map(|(first, rest)| rest.iter().map(|second| difference(first, second)).collect::<Vec<_>>());
    let differences = differences.unwrap_or_default();
    write_to(args.page.output.output.as_deref(), |out| {
        render_compare(&pages, &differences, args.page.format, terminal.width(), out)
    })?;
    Ok(worst)
}

/// A model compiled, what is wrong with it reported.
fn compiled(model: &str, request: &Request, catalog: &Arc<Catalog>, terminal: &Terminal) -> (Option<Compiled>, Exit) {
    let Some(source) = input::read_or_report(model, catalog, terminal) else { return (None, Exit::Wrong) };
    let mut diagnostics = Diagnostics::default();
    let compiled = compile(&source, catalog, request, &mut diagnostics);
    terminal.report(&diagnostics, Some(&source), catalog);
    compiled.iter().for_each(|compiled| terminal.unused(&compiled.checked.model));
    (compiled, Exit::of(&diagnostics))
}
