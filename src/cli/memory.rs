//! `layerspec memory`.

use std::sync::Arc;

use super::args::MemoryArgs;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::analysis::cache::cache;
use crate::analysis::fit::{Question, fit};
use crate::analysis::memory::{Parts, plan};
use crate::catalog::{Catalog, Device};
use crate::evaluation::compile;
use crate::flow::alive_at;
use crate::report::MemoryReport;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};

pub fn run(args: &MemoryArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(catalog) = terminal.catalog() else { return Ok(Exit::Wrong) };
    let request = args.workload.request(&catalog)?;
    let training = args.training(&catalog)?;
    let device = match args.device.as_deref().map(|name| device(name, &catalog)).transpose() {
        Ok(device) => device,
        Err(diagnostics) => {
            terminal.report(&diagnostics, None, &catalog);
            return Ok(Exit::Wrong);
        }
    };
    let Some(source) = input::read_or_report(&args.model, &catalog, terminal) else {
        return Ok(Exit::Wrong);
    };
    let mut diagnostics = Diagnostics::default();
    let compiled = compile(&source, &catalog, &request, &mut diagnostics);
    let count = args.count;
    let planned = compiled.as_ref().map(|compiled| {
        let parts = Parts { flat: &compiled.flat, bound: &compiled.bound, report: &compiled.report, flow: &compiled.flow };
        plan(parts, count, &training)
    });
    let plan = match planned {
        Some(Err(diagnostic)) => {
            diagnostics.push(*diagnostic);
            None
        }
        Some(Ok(plan)) => Some(plan),
        None => None,
    };
    let (Some(compiled), Some(plan), false) = (compiled, plan, diagnostics.has_errors()) else {
        terminal.report(&diagnostics, Some(&source), &catalog);
        return Ok(Exit::of(&diagnostics));
    };
    let (flat, bound) = (&compiled.flat, &compiled.bound);
    let fitted = device.map(|device| {
        let workload = &bound.workload;
        let question =
            Question { flat, request: &request, workload, device: &device, count, reserve: args.reserve, training: &training };
        let fit = fit(question, &plan);
        (device, fit)
    });
    if let Some((device, fit)) = fitted.as_ref().filter(|(_, fit)| args.require_fit && !fit.fits()) {
        let message =
            format!("it doesn't fit on {count} x {}: {} bytes are needed, {} may be used", device.name, fit.needed, fit.room());
        diagnostics.push(Diagnostic::new(Code::DoesNotFit, message));
    }
    terminal.report(&diagnostics, Some(&source), &catalog);
    let peak = compiled.flow.peak.as_ref();
    let report = MemoryReport {
        alive: peak.map(|peak| alive_at(flat, bound, &compiled.report, peak)).unwrap_or_default(),
        cache: cache(flat, bound, &compiled.report, &request),
        compiled: &compiled,
        plan,
        training: &training,
        fit: fitted,
        units: args.units,
    };
    write_to(args.output.output.as_deref(), |out| (args.format.render)(&report, out))?;
    Ok(Exit::of(&diagnostics))
}

fn device(name: &str, catalog: &Catalog) -> Result<Arc<Device>, Diagnostics> {
    catalog.device(name).unwrap_or_else(|| {
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(catalog.unknown_device(name));
        Err(diagnostics)
    })
}
