//! `layerspec import`.

use std::path::Path;

use serde_json::{Map, Value as Json};

use super::args::ImportArgs;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::cost::workload::Workload;
use crate::lower::{Execution, Lowered};
use crate::session::Settings;
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::json::write::write_pretty;

pub fn run(args: &ImportArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let settings = Settings { family: args.family.clone(), variables: Vec::new() };
    let model = input::read(&args.file, &settings, &session);
    let loaded = model.value.clone();
    // What is written is a model that compiles.
    let mut outcome =
        model.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(&Workload::default()));
    // A file's name says more than nothing.
    let stem = Path::new(&args.file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = args.name.clone().or_else(|| stem.filter(|stem| !matches!(stem.as_str(), "-" | "config")));
    let imported = loaded.filter(|_| outcome.value.is_some()).map(|model| model.import(name.as_deref()));
    let json = imported.and_then(|imported| {
        outcome.diagnostics.extend(imported.diagnostics.iter().cloned());
        imported.value
    });
    let exit = terminal.report(&outcome);
    let (Some(mut json), Some(evaluation), Exit::Fine) = (json, outcome.value, exit) else { return Ok(exit) };
    if let (true, Json::Object(family)) = (args.explicit, &mut json)
        && let Err(unsaid) = write_out(family, &evaluation.lowered())
    {
        let message = format!("this model can't be written out: {unsaid}");
        let diagnostic =
            Diagnostic::new(Code::CannotWriteOut, message).help("without `--explicit` it is written as of its family");
        return Ok(terminal.report(&session.failed::<()>(diagnostic)));
    }
    write_to(args.output.output.as_deref(), |out| {
        write_pretty(out, &json)?;
        writeln!(out)
    })?;
    Ok(Exit::Fine)
}

/// Every layer in place of the family's name.
fn write_out(family: &mut Map<String, Json>, lowered: &Lowered) -> Result<(), String> {
    let written = lowered.explicit()?;
    family.retain(|key, _| matches!(key.as_str(), "name" | "checkpoint"));
    family.extend(written);
    Ok(())
}
