//! `layerspec explain`.

use std::sync::Arc;

use super::args::ExplainArgs;
use super::input;
use super::output::{Exit, Stop, Terminal, Texts, write_to};
use crate::analysis::{origin, reasons};
use crate::catalog::{Catalog, Classes};
use crate::evaluation::{Compiled, compile};
use crate::flat::{FlatModel, Located, Lost, RowId};
use crate::report::{
    explain_class, explain_code, explain_composite, explain_device, explain_dtype, explain_family, explain_layer,
    explain_variable,
};
use crate::syntax::diag::{CODES, Code, Diagnostic, Diagnostics, nearest};

pub fn run(args: &ExplainArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    if let Some(path) = &args.path {
        return explain_path(path, args, terminal);
    }
    let Some(catalog) = terminal.catalog() else { return Ok(Exit::Wrong) };
    let Some(text) = explanation(&args.what, &catalog) else {
        terminal.report_one(unknown(&args.what, &catalog), &catalog);
        return Ok(Exit::Wrong);
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

/// The layer, or the composite, at a path of a model.
fn explain_path(path: &str, args: &ExplainArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(catalog) = terminal.catalog() else { return Ok(Exit::Wrong) };
    let request = args.workload.request(&catalog)?;
    let Some(source) = input::read_or_report(&args.what, &catalog, terminal) else {
        return Ok(Exit::Wrong);
    };
    let mut diagnostics = Diagnostics::default();
    let compiled = compile(&source, &catalog, &request, &mut diagnostics);
    let text = compiled.as_ref().and_then(|compiled| match text_of(path, compiled) {
        Ok(text) => Some(text),
        Err(_) if let Some(origin) = origin::origin(&compiled.checked, path) => {
            Some(explain_variable(&origin, &Texts { model: Some(&source), catalog: &catalog }))
        }
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            None
        }
    });
    terminal.report(&diagnostics, Some(&source), &catalog);
    let exit = Exit::of(&diagnostics);
    let (Some(text), Exit::Fine) = (text, exit) else { return Ok(exit) };
    write_to(args.output.output.as_deref(), |out| out.write_all(text.as_bytes()))?;
    Ok(Exit::Fine)
}

fn text_of(path: &str, compiled: &Compiled) -> Result<String, Box<Diagnostic>> {
    let located = compiled.flat.locate(path).or_else(|lost| {
        // As tables show it: `model.layers.[0-31].mlp.up_proj`.
        let folded = (0u32..).zip(&compiled.flat.rows).find(|(_, info)| info.path == path);
        folded.map(|(at, _)| Located::Layer(RowId(at))).ok_or_else(|| no_layer(path, &lost, &compiled.flat).boxed())
    })?;
    let row = match located {
        Located::Children { class, children } => return Ok(explain_composite(path, class.as_deref(), &children)),
        Located::Layer(row) => row,
    };
    let bound = &compiled.bound;
    let signature = bound.rows.get(row.0 as usize).and_then(|row| bound.signatures.get(row.signature? as usize));
    let reasons = signature.map(|signature| reasons(signature, &bound.builtins, bound.workload.phase));
    match reasons {
        Some(Ok(reasons)) => Ok(explain_layer(path, row, compiled, &reasons)),
        // A model that compiles has a cost for every layer.
        Some(Err(problem)) => Err(Diagnostic::new(Code::InvalidClass, problem.message()).boxed()),
        None => Err(Diagnostic::new(Code::InvalidClass, format!("`{path}` has no cost")).boxed()),
    }
}

fn no_layer(path: &str, lost: &Lost, flat: &FlatModel) -> Diagnostic {
    let diagnostic = Diagnostic::new(Code::UnknownSubject, format!("the model has no layer `{path}`"));
    let rest = path.get(lost.prefix.len()..).unwrap_or_default();
    let (head, tail) = rest.split_once('.').map_or((rest, ""), |(head, _)| (head, rest.get(head.len()..).unwrap_or_default()));
    let prefix = &lost.prefix;
    // The name is right, so it is the index that isn't, or what is below.
    if lost.names.iter().any(|name| name == head) {
        let instances: Vec<&str> =
            lost.names.iter().filter_map(|name| name.strip_prefix(head)?.strip_prefix('.')).take(MOST_NAMES).collect();
        if instances.is_empty() {
            return diagnostic.help(format!("`{prefix}{head}` is a basic layer: nothing is below it"));
        }
        return diagnostic.help(format!("`{prefix}{head}` has the instances {}", instances.join(", ")));
    }
    if let Some(near) = nearest(head, lost.names.iter().map(String::as_str)) {
        let whole = format!("{prefix}{near}{tail}");
        let found = if flat.locate(&whole).is_ok() { whole } else { format!("{prefix}{near}") };
        return diagnostic.help(format!("did you mean `{found}`?"));
    }
    let names: Vec<&str> = lost.names.iter().map(String::as_str).take(MOST_NAMES).collect();
    let place = prefix.strip_suffix('.').map_or_else(|| "the model".to_owned(), |prefix| format!("`{prefix}`"));
    diagnostic.help(format!("{place} has {}", names.join(", ")))
}

/// Of the names in a help line.
const MOST_NAMES: usize = 10;
