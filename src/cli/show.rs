//! `layerspec show`: any stage of the pipeline, for those who work on it.

use std::sync::Arc;

use super::args::{ShowArgs, Stage};
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::catalog::Catalog;
use crate::cost::bind::bind;
use crate::cost::workload::Request;
use crate::evaluation::model;
use crate::flat::flatten;
use crate::language::check::check;
use crate::syntax::diag::Diagnostics;
use crate::syntax::json;
use crate::syntax::source::Source;

pub fn run(args: &ShowArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(catalog) = terminal.catalog() else { return Ok(Exit::Wrong) };
    let request = args.workload.request(&catalog)?;
    let Some(source) = input::read_or_report(&args.model, &catalog, terminal) else {
        return Ok(Exit::Wrong);
    };
    let mut diagnostics = Diagnostics::default();
    let text = stage(&source, &catalog, args, &request, &mut diagnostics);
    terminal.report(&diagnostics, Some(&source), &catalog);
    if let Some(text) = text {
        write_to(args.output.output.as_deref(), |out| writeln!(out, "{text}"))?;
    }
    Ok(Exit::of(&diagnostics))
}

/// The stage as Rust has it. It is shown even if something is wrong, as far as it could be made.
fn stage(
    source: &Source,
    catalog: &Arc<Catalog>,
    args: &ShowArgs,
    request: &Request,
    diagnostics: &mut Diagnostics,
) -> Option<String> {
    let document = json::read(source, diagnostics)?;
    if args.stage == Stage::Document {
        return Some(format!("{document:#?}"));
    }
    let model = model(&document, catalog, args.workload.family.as_deref(), diagnostics)?;
    if args.stage == Stage::Spec {
        return Some(format!("{model:#?}"));
    }
    let checked = check(model, catalog, args.workload.settings.clone(), diagnostics);
    if args.stage == Stage::Checked {
        return Some(format!("{checked:#?}"));
    }
    let flat = flatten(&checked, diagnostics);
    if args.stage == Stage::Flat {
        return Some(format!("{flat:#?}"));
    }
    Some(format!("{:#?}", bind(&flat, request, diagnostics)))
}
