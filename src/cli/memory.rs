//! `layerspec memory`.

use super::args::{MemoryArgs, refused};
use super::input::{self, Given};
use super::output::{Exit, Stop, Terminal, write_to};
use super::plan::PlanAsked;
use super::vary;
use crate::analysis::cache::CacheReport;
use crate::analysis::find::Size;
use crate::evaluation::Evaluation;
use crate::quantity::workload::Cache;
use crate::report::{MemoryReport, PageFormat, render_found};
use crate::session::Outcome;
use crate::syntax::diag::{Code, Diagnostic};

pub fn run(args: &MemoryArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    if !args.vary.is_empty() {
        return vary::run(args, &session, terminal);
    }
    let (workload, implied) = args.workload(session.catalog())?;
    implied.iter().for_each(|implied| terminal.note(implied));
    let asked = match PlanAsked::of(args, workload, &session, terminal)? {
        Ok(asked) => asked,
        Err(exit) => return Ok(exit),
    };
    let mut outcome = asked.evaluated(&Given::new(&args.model, &session), &session);
    if let Some(size) = &args.find {
        return find(args, size, &mut outcome, terminal);
    }
    let mut outcome = asked.planned(outcome);
    let Some((model, plan)) = outcome.value.take().filter(|_| !outcome.diagnostics.has_errors()) else {
        return Ok(terminal.report(&outcome));
    };
    let fitted = asked.fit(&model, &plan);
    if let Some((device, fit)) = fitted.as_ref().filter(|(_, fit)| args.require_fit && !fit.fits()) {
        let message = format!(
            "it doesn't fit on {} x {}: {} bytes are needed, {} may be used",
            args.count,
            device.name,
            fit.needed,
            fit.room()
        );
        outcome.diagnostics.push(Diagnostic::new(Code::DoesNotFit, message));
    }
    let exit = terminal.report(&outcome);
    let report = MemoryReport {
        alive: model.alive_at_peak(),
        // Where nothing is kept there is nothing to show.
        cache: if model.workload().cache == Cache::On { model.cache() } else { CacheReport::default() },
        evaluation: &model,
        plan,
        training: &asked.training,
        fit: fitted,
        units: args.units,
        width: terminal.width(),
    };
    write_to(args.output.output.as_deref(), |out| (args.format.render)(&report, out))?;
    Ok(exit)
}

/// What is of a size. That nothing is, is an answer, too.
fn find(args: &MemoryArgs, text: &str, outcome: &mut Outcome<Evaluation>, terminal: &Terminal) -> Result<Exit, Stop> {
    let text = match text {
        "-" => input::error_text()?,
        text => text.to_owned(),
    };
    let Some(size) = Size::read(&text) else {
        let message = "no size is said of what could not be allocated";
        let help = "`--find 2097152000`, `--find 1.95GiB`, or `--find -` with the text of the error on standard input";
        outcome.diagnostics.push(Diagnostic::new(Code::CannotRead, message).help(help));
        return Ok(terminal.report(outcome));
    };
    let exit = terminal.report(outcome);
    let (Some(model), Exit::Fine) = (&outcome.value, exit) else { return Ok(exit) };
    let found = model.of_size(&size);
    let remedies = if found.is_empty() { Vec::new() } else { model.remedies(&found) };
    let format = PageFormat::from_word(args.format.name)
        .ok_or_else(|| refused::<MemoryArgs>("format", args.format.name, "what `--find` finds is a table, JSON or Markdown"))?;
    let how = (format, args.units, terminal.width());
    write_to(args.output.output.as_deref(), |out| render_found(&size, &found, &remedies, how, out))?;
    Ok(exit)
}
