//! `layerspec compile`.

use std::sync::Arc;

use super::args::CompileArgs;
use super::asked::asked;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::evaluation::Evaluation;
use crate::report::{By, Format, Options};
use crate::syntax::diag::{Code, Diagnostic};

pub fn run(args: &CompileArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let (workload, execution) = asked(&args.workload, &session, terminal)?;
    let convention = match args.report.convention.as_deref().map(|name| session.catalog().convention(name)).transpose() {
        Ok(convention) => convention,
        Err(said) => return Ok(terminal.report(&session.said::<()>(said))),
    };
    let (format, by) = (args.report.format, args.report.by);
    args.report.of_tables()?;
    let model = input::read(&args.model, &args.workload.settings(session.catalog()), &session);
    let keys = model.value.clone();
    let mut outcome = model.and_then(|model| model.lowered(&execution)).and_then(|lowered| lowered.at(&workload));
    let too_many = outcome.value.as_ref().and_then(|evaluation| too_many_rows(evaluation, format, by, args));
    outcome.diagnostics.extend(too_many);
    let counted = convention.and_then(|convention| Some(outcome.value.as_ref()?.counted(&convention)));
    let counted = match counted.transpose() {
        Ok(counted) => counted.map(Arc::new),
        Err(diagnostic) => {
            outcome.diagnostics.push(*diagnostic);
            None
        }
    };
    let exit = terminal.report(&outcome);
    let (Some(evaluation), Some(model)) = (outcome.value, keys) else { return Ok(exit) };
    terminal.unused(&model);
    if exit != Exit::Fine {
        return Ok(exit);
    }
    let file = args.output.output.as_deref();
    let options = Options {
        by,
        depth: usize::from(args.report.depth),
        expand: args.report.expand,
        exact: args.report.exact,
        units: args.report.units,
        convention: counted,
        sort: args.report.sort,
        top: args.report.top.map(usize::from),
        columns: args.report.columns.clone(),
        color: terminal.color(file),
        width: terminal.width(),
    };
    write_to(file, |out| (format.render)(&evaluation, &options, out))?;
    // The process ends here: giving back a large model's memory piece by piece would only take time.
    std::mem::forget((evaluation, model, session));
    Ok(Exit::Fine)
}

fn too_many_rows(evaluation: &Evaluation, format: &Format, by: By, args: &CompileArgs) -> Option<Diagnostic> {
    let full = by == By::Layer && (format.expands || args.report.expand);
    let rows = if full { evaluation.layers() } else { evaluation.rows().count() as u128 };
    let most = u128::from(args.report.max_rows);
    (rows > most).then(|| {
        Diagnostic::new(Code::TooManyRows, format!("the flat list has {rows} rows, more than {most}"))
            .help("fold it (`--format table` without `--expand`), group it (`--by class`), or raise `--max-rows`")
    })
}
