//! `layerspec import`.

use std::io;

use super::args::ImportArgs;
use super::input;
use super::output::{Exit, Terminal, write_to};
use crate::compile::compile;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::report::import_family;
use crate::workload::Request;

pub fn run(args: &ImportArgs, terminal: &Terminal) -> io::Result<Exit> {
    let Some(catalog) = terminal.catalog() else { return Ok(Exit::Wrong) };
    let Some(source) = input::read_or_report(&args.file, &catalog, terminal) else {
        return Ok(Exit::Wrong);
    };
    let request = Request { family: args.family.clone(), ..Request::default() };
    let mut diagnostics = Diagnostics::default();
    // What is written is a model that compiles.
    let compiled = compile(&source, &catalog, &request, &mut diagnostics);
    let model = compiled.as_ref().map(|compiled| &compiled.checked.model);
    if let Some(model) = model.filter(|model| model.builtins.is_empty() || model.family.is_none()) {
        let place = model.span.part(0..1);
        let diagnostic = Diagnostic::new(Code::WrongType, "this is a model file already").at(place, "not a config");
        diagnostics.push(diagnostic.help("`layerspec compile` takes it as it is"));
    }
    terminal.report(&diagnostics, Some(&source), &catalog);
    let exit = Exit::of(&diagnostics);
    let (Some(model), Exit::Fine) = (model, exit) else { return Ok(exit) };
    let family = model.family.as_ref().and_then(|family| catalog.family(&family.value)?.ok());
    let default = family.and_then(|family| family.default_head.as_ref()).map(|head| &*head.value);
    let json = import_family(model, args.name.as_deref(), default);
    write_to(args.output.output.as_deref(), |out| {
        serde_json::to_writer_pretty(&mut *out, &json)?;
        writeln!(out)
    })?;
    Ok(Exit::Fine)
}
