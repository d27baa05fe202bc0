//! `layerspec solve`.

use super::args::{SolveArgs, refused};
use super::asked::asked;
use super::input::Given;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::analysis::solve::Question;
use crate::cost::workload::{Workload, value_problem};
use crate::lower::Execution;
use crate::quantity::workload::{DERIVED, Phase};
use crate::report::{SolveReport, render_solved};
use crate::session::{Model, Session, Settings, Solve, Variable};
use crate::syntax::diag::Diagnostic;
use crate::syntax::expr::Value;

/// What is taken for no limit.
const MOST: u64 = 1 << 40;

pub fn run(args: &SolveArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let (workload, execution) = asked(&args.workload, &session, terminal)?;
    let quantity = args.target.quantity;
    if quantity.train_only && workload.phase != Some(Phase::Train) {
        let why = format!("`{}` is of training; `--phase train` has it", quantity.name);
        return Err(refused::<SolveArgs>("variable", &args.variable, &why).into());
    }
    let given = Given::new(&args.model, &session);
    let settings = args.workload.settings(session.catalog());
    let outcome = given.read(&settings);
    let exit = match &outcome.value {
        Some(model) if !outcome.diagnostics.has_errors() => {
            return found(args, model, (workload, execution), (&given, &session, terminal));
        }
        _ => terminal.report(&outcome),
    };
    Ok(exit)
}

fn found(
    args: &SolveArgs,
    model: &Model,
    (workload, execution): (Workload, Execution),
    (given, session, terminal): (&Given<'_>, &Session, &Terminal),
) -> Result<Exit, Stop> {
    let variable = match variable(args, model)? {
        Ok(variable) => variable,
        Err(diagnostic) => return Ok(terminal.report(&session.failed::<()>(*diagnostic))),
    };
    let question = question(args, &variable)?;
    let load = |settings: &Settings| given.read(settings);
    let settings = args.workload.settings(session.catalog());
    let solve = Solve { load: &load, settings, workload, execution, variable, quantity: args.target.quantity };
    let outcome = solve.run(question);
    let exit = terminal.report(&outcome);
    let (Some(solved), Exit::Fine) = (&outcome.value, exit) else { return Ok(exit) };
    let report = SolveReport {
        variable: solved.variable.name(),
        quantity: solved.quantity,
        question: solved.question,
        solution: &solved.solution,
        evaluation: solved.evaluation.as_ref(),
    };
    write_to(args.output.output.as_deref(), |out| render_solved(&report, args.format, terminal.width(), out))?;
    Ok(exit)
}

/// Whose value is looked for.
fn variable(args: &SolveArgs, model: &Model) -> Result<Result<Variable, Box<Diagnostic>>, clap::Error> {
    let wrong = |why: &str| refused::<SolveArgs>("variable", &args.variable, why);
    let variable = match model.variable(&args.variable, "--for") {
        Ok(variable) => variable,
        Err(diagnostic) => return Ok(Err(diagnostic)),
    };
    let name = variable.name();
    if let Some(expected) = DERIVED.contains(&&**name).then(|| value_problem(name, &Value::count(1))).flatten() {
        return Err(wrong(&format!("it is {expected}")));
    }
    let workload = &args.workload;
    let options =
        [("batch_size", workload.batch, "--batch"), ("seq_len", workload.seq, "--seq"), ("past_len", workload.past, "--past")];
    let option = options.into_iter().find(|(known, given, _)| **known == **name && given.is_some()).map(|(_, _, option)| option);
    let set = workload.settings.iter().filter_map(|(set, _)| model.variable(set, "--set").ok()).any(|set| set.name() == name);
    match option.or(set.then_some("--set")) {
        Some(option) => Err(wrong(&format!("`{option}` gives it a value, so there is nothing to look for"))),
        None => Ok(Ok(variable)),
    }
}

fn question(args: &SolveArgs, variable: &Variable) -> Result<Question, clap::Error> {
    // Nothing may be cached; of all else there is something.
    let least = u64::from(&**variable.name() != "past_len");
    let (least, most) = (args.min.unwrap_or(least), args.max.unwrap_or_else(|| MOST.max(args.min.unwrap_or(0))));
    let wrong = |why: &str| refused::<SolveArgs>("max", &most.to_string(), why);
    if least > most {
        return Err(wrong(&format!("it is less than the smallest value, {least}")));
    }
    if least.div_ceil(args.multiple_of) > most / args.multiple_of {
        return Err(wrong(&format!("there is no multiple of {} from {least} on", args.multiple_of)));
    }
    Ok(Question { target: args.target.value, least, most, multiple_of: args.multiple_of, start: None })
}
