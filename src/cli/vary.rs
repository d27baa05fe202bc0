//! `layerspec memory --vary`: plans side by side.

use super::args::{MemoryArgs, refused};
use super::asked::{device, run as run_with};
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::quantity::Quantity;
use crate::quantity::workload::Backend;
use crate::report::{PageFormat, VariedPlan, render_varied, title};
use crate::session::{Outcome, Session};
use crate::syntax::diag::Diagnostic;

/// How many plans are put side by side.
const MOST: usize = 200;

/// Plans of one model that differ in the options that are varied, each with each.
pub fn run(args: &MemoryArgs, session: &Session, terminal: &Terminal) -> Result<Exit, Stop> {
    let wrong = |text: &str, why: &str| refused::<MemoryArgs>("vary", text, why);
    let format = PageFormat::from_word(args.format.name)
        .ok_or_else(|| refused::<MemoryArgs>("format", args.format.name, "plans side by side are a table, JSON or Markdown"))?;
    let mut variants: Vec<(Vec<(String, String)>, MemoryArgs)> = vec![(Vec::new(), args.clone())];
    for text in &args.vary {
        let (name, values) = text.split_once('=').ok_or_else(|| wrong(text, "expected OPTION=VALUE,VALUE,..."))?;
        let name = name.trim_start_matches("--");
        let values: Vec<&str> = values.split(',').map(str::trim).filter(|value| !value.is_empty()).collect();
        if values.is_empty() {
            return Err(wrong(text, "there is no value").into());
        }
        if variants.len().saturating_mul(values.len()) > MOST {
            return Err(wrong(text, &format!("more than {MOST} plans; `sweep` is for many")).into());
        }
        let mut next = Vec::with_capacity(variants.len() * values.len());
        for (labels, variant) in &variants {
            for value in &values {
                let mut own = variant.clone();
                own.set(name, value, session.catalog()).map_err(|why| wrong(text, &why))?;
                let label = (name.to_owned(), (*value).to_owned());
                next.push((labels.iter().cloned().chain([label]).collect(), own));
            }
        }
        variants = next;
    }
    let (mut plans, mut worst) = (Vec::with_capacity(variants.len()), Exit::Fine);
    for (labels, own) in &variants {
        match planned(own, session, terminal)? {
            Ok((mut plan, fits)) => {
                labels.clone_into(&mut plan.labels);
                if args.require_fit && !fits {
                    worst = worst.max(Exit::Unexpected);
                }
                plans.push(plan);
            }
            Err(exit) => return Ok(exit),
        }
    }
    write_to(args.output.output.as_deref(), |out| render_varied(&plans, format, args.units, terminal.width(), out))?;
    Ok(worst)
}

/// A plan as one set of options has it, and whether it fits where a device is said. What is wrong is reported.
fn planned(args: &MemoryArgs, session: &Session, terminal: &Terminal) -> Result<Result<(VariedPlan, bool), Exit>, Stop> {
    let (workload, _) = args.workload(session.catalog())?;
    let device = match args.device.as_deref().map(|name| device(name, session.catalog())).transpose() {
        Ok(device) => device,
        Err(said) => return Ok(Err(terminal.report(&session.said::<()>(said)))),
    };
    let mut options = args.workload.options();
    if device.as_ref().is_some_and(|device| device.is_gpu()) {
        options.backend.get_or_insert(Backend::Cuda);
    }
    let (workload, execution) = run_with(workload, &options, session, terminal)?;
    let training = args.training(session.catalog())?;
    let mut outcome = input::read(&args.model, &args.workload.settings(session.catalog()), session)
        .and_then(|model| model.lowered(&execution))
        .and_then(|lowered| lowered.at(&workload));
    let plan = outcome.value.as_ref().map(|model| model.memory_plan(args.count, &training)).transpose();
    let failed = |outcome: &mut Outcome<_>, diagnostic: Diagnostic| {
        outcome.diagnostics.push(diagnostic);
        terminal.report(outcome)
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err(diagnostic) => return Ok(Err(failed(&mut outcome, *diagnostic))),
    };
    let (Some(model), Some(plan), false) = (&outcome.value, plan, outcome.diagnostics.has_errors()) else {
        return Ok(Err(terminal.report(&outcome)));
    };
    let fit = device.as_ref().map(|device| model.fit(&plan, device, args.count, args.reserve, &training));
    let fits = fit.as_ref().is_none_or(|fit| fit.fits());
    let device = device.map(|device| device.name.to_string());
    let cache_bytes = model.totals().get(Quantity::CacheBytes);
    Ok(Ok((VariedPlan { labels: Vec::new(), title: title(model), plan, cache_bytes, fit, device }, fits)))
}
