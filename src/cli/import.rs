//! `layerspec import`.

use serde_json::Value as Json;

use super::args::ImportArgs;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::cost::workload::Request;
use crate::emit::{explicit, import_family};
use crate::evaluation::compile;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};

pub fn run(args: &ImportArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(catalog) = terminal.catalog() else { return Ok(Exit::Wrong) };
    let Some(source) = input::read_or_report(&args.file, &catalog, terminal) else {
        return Ok(Exit::Wrong);
    };
    let request = Request { family: args.family.clone(), ..Request::default() };
    let mut diagnostics = Diagnostics::default();
    // What is written is a model that compiles.
    let compiled = compile(&source, &catalog, &request, &mut diagnostics);
    let model = compiled.as_ref().map(|compiled| &compiled.checked.model);
    if let Some(model) = model.filter(|model| !model.is_of_config()) {
        let place = model.span.part(0..1);
        let diagnostic = Diagnostic::new(Code::WrongType, "this is a model file already").at(place, "not a config");
        diagnostics.push(diagnostic.help("`layerspec compile` takes it as it is"));
    }
    terminal.report(&diagnostics, Some(&source), &catalog);
    let exit = Exit::of(&diagnostics);
    let (Some(model), Exit::Fine) = (model, exit) else { return Ok(exit) };
    let family = model.family.as_ref().and_then(|family| catalog.family(&family.value)?.ok());
    // A file's name says more than nothing.
    let stem = std::path::Path::new(&args.file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = args.name.clone().or_else(|| stem.filter(|stem| !matches!(stem.as_str(), "-" | "config")));
    let mut json = import_family(model, family, name.as_deref());
    if let (true, Some(compiled), Json::Object(family)) = (args.explicit, &compiled, &mut json) {
        match explicit(&compiled.checked, &compiled.flat) {
            Ok(written) => {
                family.retain(|key, _| matches!(key.as_str(), "name" | "checkpoint"));
                family.extend(written);
            }
            Err(unsaid) => {
                let message = format!("this model can't be written out: {unsaid}");
                let diagnostic =
                    Diagnostic::new(Code::CannotWriteOut, message).help("without `--explicit` it is written as of its family");
                terminal.report_one(diagnostic, &catalog);
                return Ok(Exit::Wrong);
            }
        }
    }
    write_to(args.output.output.as_deref(), |out| {
        serde_json::to_writer_pretty(&mut *out, &json)?;
        writeln!(out)
    })?;
    Ok(Exit::Fine)
}
