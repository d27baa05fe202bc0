//! `layerspec memory --vary`: plans side by side.

use super::args::{MemoryArgs, refused};
use super::input::Given;
use super::output::{Exit, Stop, Terminal, write_to};
use super::plan::PlanAsked;
use crate::quantity::Quantity;
use crate::report::{PageFormat, VariedPlan, render_varied, title};
use crate::session::Session;

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
    let given = Given::new(&args.model, session);
    let (mut plans, mut worst) = (Vec::with_capacity(variants.len()), Exit::Fine);
    for (labels, own) in variants {
        let (workload, _) = own.workload(session.catalog())?;
        let asked = match PlanAsked::of(&own, workload, session, terminal)? {
            Ok(asked) => asked,
            Err(exit) => return Ok(exit),
        };
        let mut outcome = asked.planned(asked.evaluated(&given, session));
        let Some((model, plan)) = outcome.value.take().filter(|_| !outcome.diagnostics.has_errors()) else {
            return Ok(terminal.report(&outcome));
        };
        let fitted = asked.fit(&model, &plan);
        if args.require_fit && fitted.as_ref().is_some_and(|(_, fit)| !fit.fits()) {
            worst = worst.max(Exit::Unexpected);
        }
        let (device, fit) = fitted.map(|(device, fit)| (device.name.to_string(), fit)).unzip();
        let cache_bytes = model.totals().get(Quantity::CacheBytes);
        plans.push(VariedPlan { labels, title: title(&model), plan, cache_bytes, fit, device });
    }
    write_to(args.output.output.as_deref(), |out| render_varied(&plans, format, args.units, terminal.width(), out))?;
    Ok(worst)
}
