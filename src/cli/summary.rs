//! `layerspec summary` and `layerspec compare`.

use std::io;
use std::sync::Arc;

use super::args::{CompareArgs, SummaryArgs, WorkloadArgs};
use super::input;
use super::output::{Exit, Terminal, write_to};
use crate::analysis::compare::difference;
use crate::analysis::summary::{Summary, summary};
use crate::catalog::Catalog;
use crate::evaluation::{Compiled, compile};
use crate::report::{render_compare, render_summary};
use crate::syntax::diag::Diagnostics;

pub fn run(args: &SummaryArgs, terminal: &Terminal) -> io::Result<Exit> {
    let Some(catalog) = terminal.catalog() else { return Ok(Exit::Wrong) };
    let (compiled, exit) = compiled(&args.model, &args.page.workload, &catalog, terminal);
    let Some(compiled) = compiled else { return Ok(exit) };
    let page = summary(&compiled, &args.page.workload.request());
    write_to(args.page.output.output.as_deref(), |out| render_summary(&page, &args.page.format, terminal.width(), out))?;
    Ok(exit)
}

pub fn compare(args: &CompareArgs, terminal: &Terminal) -> io::Result<Exit> {
    let Some(catalog) = terminal.catalog() else { return Ok(Exit::Wrong) };
    let (mut models, mut worst) = (Vec::new(), Exit::Fine);
    for model in &args.models {
        let (compiled, exit) = compiled(model, &args.page.workload, &catalog, terminal);
        worst = worst.max(exit);
        models.extend(compiled);
    }
    if models.len() != args.models.len() {
        return Ok(if worst == Exit::Fine { Exit::Wrong } else { worst });
    }
    let request = args.page.workload.request();
    let pages: Vec<Summary> = models.iter().map(|model| summary(model, &request)).collect();
    let differences =
        models.split_first().map(|(first, rest)| rest.iter().map(|second| difference(first, second)).collect::<Vec<_>>());
    let differences = differences.unwrap_or_default();
    write_to(args.page.output.output.as_deref(), |out| {
        render_compare(&pages, &differences, &args.page.format, terminal.width(), out)
    })?;
    Ok(worst)
}

/// A model compiled, what is wrong with it reported.
fn compiled(model: &str, workload: &WorkloadArgs, catalog: &Arc<Catalog>, terminal: &Terminal) -> (Option<Compiled>, Exit) {
    let Some(source) = input::read_or_report(model, catalog, terminal) else { return (None, Exit::Wrong) };
    let mut diagnostics = Diagnostics::default();
    let compiled = compile(&source, catalog, &workload.request(), &mut diagnostics);
    terminal.report(&diagnostics, Some(&source), catalog);
    compiled.iter().for_each(|compiled| terminal.unused(&compiled.checked.model));
    (compiled, Exit::of(&diagnostics))
}
