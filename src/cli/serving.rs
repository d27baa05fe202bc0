//! `layerspec serving`.

use std::sync::Arc;

use super::args::{ServingArgs, WorkloadArgs, refused};
use super::asked::{device, run as run_with};
use super::input::{self, Given};
use super::output::{Exit, Stop, Terminal, write_to};
use crate::analysis::serving::{Log, Place, Question, Ranks, ServingAsked};
use crate::catalog::{Catalog, Device, Runtime};
use crate::evaluation::Evaluation;
use crate::report::{ServingReport, Solved, render_served};
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::expr::Value;

/// A prompt of so many tokens shows what a model keeps of each; its other figures don't depend on it.
const TOKENS: u64 = 16;

pub fn run(args: &ServingArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let catalog = session.catalog();
    let device = match device(&args.device, catalog) {
        Ok(device) => device,
        Err(said) => return Ok(terminal.report(&session.said::<()>(said))),
    };
    let name = match &args.runtime {
        Some(name) => name.clone(),
        None => match usual(catalog) {
            Some(runtime) => runtime.name.clone(),
            None => return Err(refused::<ServingArgs>("runtime", "", "no engine of the catalog serves").into()),
        },
    };
    let workload = WorkloadArgs {
        batch: Some(1),
        seq: Some(TOKENS),
        dtype: args.dtype.clone(),
        weight_dtype: args.weight_dtype.clone(),
        kv_dtype: args.kv_dtype.clone(),
        runtime: Some(name.clone()),
        settings: args.settings.clone(),
        family: args.family.clone(),
        head: args.head.clone(),
        with_mtp: args.with_mtp,
        ..WorkloadArgs::default()
    };
    let (engine, version) = name.split_once('@').map_or((&*name, None), |(name, version)| (name, Some(version)));
    let (asked, execution) = run_with(workload.workload(catalog)?, &workload.options(), &session, terminal)?;
    let runtime = match catalog.runtime(engine) {
        Ok((_, runtime)) => runtime,
        Err(said) => return Ok(terminal.report(&session.said::<()>(said))),
    };
    let Some(serving) = &runtime.serving else {
        let message = format!("nothing is known of how `{}` serves models", runtime.name);
        let help = format!("`--runtime` is one of {}", serves(catalog).join(", "));
        return Ok(terminal.report(&session.failed::<()>(Diagnostic::new(Code::NotOfRuntime, message).help(help))));
    };
    let text = match &args.log {
        Some(path) => match input::log_text(path) {
            Ok(text) => Some(text),
            Err(why) => return Ok(terminal.report(&session.failed::<()>(*why))),
        },
        None => None,
    };
    let log = text.map(|text| Log::read(&text, &serving.log));
    if let Some(log) = log.as_ref().filter(|log| log.is_empty()) {
        let _ = log;
        let message = format!("no line of the log is one of `{}`", runtime.name);
        let help = format!("its lines are like `{}`", serving.log.first().map_or("", |line| &line.text));
        return Ok(terminal.report(&session.failed::<()>(Diagnostic::new(Code::CannotRead, message).help(help))));
    }
    let said: Vec<(Arc<str>, Value)> = log.iter().flat_map(Log::options).map(|(name, value)| (name.into(), value)).collect();
    let options = args.options();
    let options: Vec<(Arc<str>, Value)> = said.into_iter().chain(options).collect();
    let version = version.or_else(|| log.as_ref().and_then(Log::version));
    let given = Given::new(&args.model, &session);
    let read = given.read(&workload.settings(catalog));
    let source = read.value.clone();
    let mut outcome = read.and_then(|model| model.lowered(&execution)).and_then(|lowered| lowered.sketch(&asked));
    let Some(model) = outcome.value.take().filter(|_| !outcome.diagnostics.has_errors()) else {
        return Ok(terminal.report(&outcome));
    };
    let device = match log.as_ref().and_then(|log| log.amount("device")) {
        Some(bytes) => Arc::new(device.that_reports(bytes)),
        None => device,
    };
    let place = place(args, &device);
    let place = log.as_ref().map_or(place, |log| log.place(place));
    let names = serving.weights.places.is_some();
    let tensors = source.as_ref().filter(|_| names).and_then(|source| session.tensors_of_file(source, &model));
    let asked = ServingAsked {
        runtime: &runtime,
        serving,
        version,
        options: &options,
        tensors: tensors.as_deref(),
        moved: &args.offload,
    };
    let question = Question::new(&model, asked);
    let plan = match question.plan(&place) {
        Ok(plan) => plan,
        Err(why) => {
            outcome.diagnostics.push(*why);
            return Ok(terminal.report(&outcome));
        }
    };
    let known = called(args, &model);
    let command = question.command(&place, &plan, &known).unwrap_or_default();
    if args.require_fit && !plan.fits() {
        let missing = plan.left().err().unwrap_or_default();
        let message = format!("it doesn't fit on {} x {}: {missing} bytes are missing", plan.ranks.devices(), device.name);
        outcome.diagnostics.push(Diagnostic::new(Code::DoesNotFit, message));
    }
    let exit = terminal.report(&outcome);
    if args.emit {
        write_to(args.output.output.as_deref(), |out| writeln!(out, "{command}"))?;
        return Ok(exit);
    }
    let devices: Vec<Arc<Device>> = catalog.devices().filter_map(Result::ok).filter(|device| device.is_gpu()).collect();
    let solved = Solved {
        longest_context: question.longest_context(&place),
        fewest_ranks: question.fewest_ranks(&place),
        smallest_device: question.smallest_device(&place, &devices).map(|device| &**device),
    };
    let rows = log.as_ref().map_or_else(|| question.would_log(&plan), |log| log.compared(&question, &plan));
    let differs = rows.iter().flat_map(|row| &row.figures).find(|figure| !figure.agrees);
    let differs = differs.map(|figure| (figure.name.clone(), question.rests_on(&figure.name, &plan)));
    let report = ServingReport {
        model: &known,
        runtime: &runtime,
        version,
        device: &device,
        plan: &plan,
        solved,
        command,
        log: rows,
        has_log: log.is_some(),
        differs,
        units: args.units,
    };
    write_to(args.output.output.as_deref(), |out| render_served(&report, args.format, terminal.width(), out))?;
    Ok(exit)
}

/// Where and how much.
fn place<'d>(args: &ServingArgs, device: &'d Device) -> Place<'d> {
    let ranks = Ranks { tensor: u128::from(args.tp), pipeline: u128::from(args.pp), expert: u128::from(args.ep) };
    Place { device, ranks, context: args.context, concurrency: args.concurrency }
}

/// What the model is called: by itself, else as it was given.
fn called(args: &ServingArgs, model: &Evaluation) -> String {
    model.name().map_or_else(|| args.model.clone(), str::to_owned)
}

/// The engine where none is asked for.
fn usual(catalog: &Catalog) -> Option<Arc<Runtime>> {
    catalog.runtimes().filter_map(Result::ok).find(|runtime| runtime.serving.as_ref().is_some_and(|serving| serving.is_default))
}

/// The engines of which it is known how they serve.
fn serves(catalog: &Catalog) -> Vec<String> {
    catalog
        .runtimes()
        .filter_map(Result::ok)
        .filter(|runtime| runtime.serving.is_some())
        .map(|runtime| runtime.name.to_string())
        .collect()
}
