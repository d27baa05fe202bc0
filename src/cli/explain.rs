//! `layerspec explain`.

use std::sync::Arc;

use super::args::ExplainArgs;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::catalog::{Catalog, Classes};
use crate::report::{explain_class, explain_code, explain_device, explain_dtype, explain_family};
use crate::syntax::diag::{CODES, Code, Diagnostic, nearest};

pub fn run(args: &ExplainArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    if let Some(path) = &args.path {
        return explain_path(path, args, terminal);
    }
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let Some(text) = explanation(&args.what, session.catalog()) else {
        return Ok(terminal.report(&session.failed::<()>(unknown(&args.what, session.catalog()))));
    };
    write_to(args.output.output.as_deref(), |out| out.write_all(text.as_bytes()))?;
    Ok(Exit::Fine)
}

/// A code, a class, a dtype, a device, or a family, in this order: their names don't meet, which a test asserts.
fn explanation(what: &str, catalog: &Arc<Catalog>) -> Option<String> {
    if let Some(info) = Code::find(what) {
        return Some(explain_code(info));
    }
    if let Some(class) = Classes::new(catalog.clone(), Vec::new(), Vec::new()).find(what) {
        return Some(explain_class(&class));
    }
    let device = || catalog.device(what)?.ok().map(|device| explain_device(&device));
    let family = || catalog.family(what)?.ok().map(explain_family);
    catalog.dtype(what).ok().map(|dtype| explain_dtype(&dtype)).or_else(device).or_else(family)
}

fn unknown(what: &str, catalog: &Arc<Catalog>) -> Diagnostic {
    let classes = Classes::new(catalog.clone(), Vec::new(), Vec::new());
    let codes = CODES.iter().flat_map(|info| [info.id, info.name]);
    let others = codes.chain(catalog.dtypes().iter().map(|dtype| &*dtype.name)).chain(catalog.family_names());
    let near = classes.nearest(what).or_else(|| nearest(what, others));
    let diagnostic = Diagnostic::new(Code::UnknownSubject, format!("nothing to explain is called `{what}`"));
    let help = near.map(|near| format!("did you mean `{near}`?")).or_else(|| catalog.device_hint(what));
    help.into_iter()
        .fold(diagnostic, Diagnostic::help)
        .help("`layerspec list classes`, `layerspec list dtypes` and `layerspec list hardware` show what there is")
}

/// The layer, the composite or the variable at a path of a model.
fn explain_path(path: &str, args: &ExplainArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let workload = args.workload.workload(session.catalog())?;
    let model = input::read(&args.what, &args.workload.settings(), &session);
    let loaded = model.value.clone();
    let mut outcome = model.and_then(|model| model.lowered(&args.workload.execution())).and_then(|lowered| lowered.at(&workload));
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
    write_to(args.output.output.as_deref(), |out| out.write_all(text.as_bytes()))?;
    Ok(Exit::Fine)
}
