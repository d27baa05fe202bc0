//! `layerspec formula`.

use super::args::FormulaArgs;
use super::asked::asked;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::analysis::formula::formed;
use crate::program::Unformed;
use crate::quantity::Total;
use crate::report::{FormulaFormat, render_formulas};
use crate::syntax::diag::{Code, Diagnostic};

pub fn run(args: &FormulaArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let (workload, execution) = asked(&args.workload, &session, terminal)?;
    let model = input::read(&args.model, &args.workload.settings(session.catalog()), &session);
    let keys = model.value.clone();
    let lowered = model.and_then(|model| model.lowered(&execution));
    let flat = lowered.value.clone();
    let outcome = lowered.and_then(|lowered| lowered.at(&workload));
    let exit = terminal.report(&outcome);
    let (Some(evaluation), Some(model), Some(lowered)) = (outcome.value, keys, flat) else { return Ok(exit) };
    terminal.unused(&model);
    let wanted: Vec<Total> = match args.quantity.is_empty() {
        true => formed(evaluation.workload().phase).map(|info| info.quantity).collect(),
        false => args.quantity.clone(),
    };
    let is_module = matches!(args.form, FormulaFormat::Python | FormulaFormat::JavaScript);
    let pages = if is_module { lowered.open_formulas(&workload, &wanted) } else { lowered.formulas(&workload, &wanted) };
    match pages {
        Ok(pages) => {
            let width = terminal.width();
            write_to(args.output.output.as_deref(), |out| render_formulas(&evaluation, &pages, args.form, width, out))?;
            Ok(exit)
        }
        Err(Unformed::Wrong(said)) => Ok(terminal.report(&session.said::<()>(said))),
        Err(Unformed::NoForm(what)) => {
            let message = format!("this model has no formulas: {what}");
            let help = "`compile` gives its figures at a workload, `sweep` at many";
            Ok(terminal.report(&session.failed::<()>(Diagnostic::new(Code::NoFormula, message).help(help))))
        }
    }
}
