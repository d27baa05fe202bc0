//! `layerspec explain`.

use std::borrow::Cow;

use super::args::ExplainArgs;
use super::asked::asked;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::report::fit;

pub fn run(args: &ExplainArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    if let Some(path) = &args.path {
        return explain_path(path, args, terminal);
    }
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let outcome = session.explain(&args.what);
    let Some(text) = &outcome.value else { return Ok(terminal.report(&outcome)) };
    write_page(text, args, terminal)?;
    Ok(Exit::Fine)
}

/// The layer, the composite or the variable at a path of a model.
fn explain_path(path: &str, args: &ExplainArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let (workload, execution) = asked(&args.workload, &session, terminal)?;
    let model = input::read(&args.what, &args.workload.settings(session.catalog()), &session);
    let loaded = model.value.clone();
    let mut outcome = model.and_then(|model| model.lowered(&execution)).and_then(|lowered| lowered.at(&workload));
    let mut text = None;
    if let Some(evaluation) = &outcome.value {
        let explained = evaluation.explain(path);
        text = explained.value.or_else(|| loaded.as_ref()?.explain_variable(path));
        if text.is_none() {
            outcome.diagnostics.extend(explained.diagnostics.iter().cloned());
        }
    }
    let exit = terminal.report(&outcome);
    let (Some(text), Exit::Fine) = (text, exit) else { return Ok(exit) };
    write_page(&text, args, terminal)?;
    Ok(Exit::Fine)
}

/// Where the width is known, on lines of it.
fn write_page(text: &str, args: &ExplainArgs, terminal: &Terminal) -> std::io::Result<()> {
    let page = terminal.known_width().map_or(Cow::Borrowed(text), |width| Cow::Owned(fit(text, width)));
    write_to(args.output.output.as_deref(), |out| out.write_all(page.as_bytes()))
}
