//! `layerspec import`.

use std::path::Path;

use serde_json::Value as Json;

use super::args::ImportArgs;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::cost::workload::Workload;
use crate::lower::Execution;
use crate::session::Settings;
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::json::write::write_pretty;

pub fn run(args: &ImportArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let settings = Settings { family: args.family.clone(), draft: args.with_mtp, partial: args.partial, ..Settings::default() };
    let model = input::read(&args.file, &settings, &session);
    let loaded = model.value.clone();
    // What is written is a model that compiles.
    let mut outcome =
        model.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(&Workload::default()));
    // A file's name says more than nothing.
    let stem = Path::new(&args.file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = args.name.clone().or_else(|| stem.filter(|stem| !matches!(stem.as_str(), "-" | "config")));
    let json = match (loaded, &outcome.value) {
        (Some(model), Some(evaluation)) if args.explicit || args.flat => {
            let written = if args.flat { evaluation.flat_list() } else { evaluation.lowered().explicit() };
            match written {
                Ok(layers) => {
                    let mut file = model.heading(name.as_deref());
                    file.extend(layers);
                    Some(Json::Object(file))
                }
                Err(unsaid) => {
                    let message = format!("this model can't be written out: {unsaid}");
                    let help = "without `--explicit` or `--flat` a config is written as of its family";
                    outcome.diagnostics.push(Diagnostic::new(Code::CannotWriteOut, message).help(help));
                    None
                }
            }
        }
        (Some(model), Some(_)) => {
            let imported = model.import(name.as_deref());
            outcome.diagnostics.extend(imported.diagnostics.iter().cloned());
            imported.value
        }
        _ => None,
    };
    let exit = terminal.report(&outcome);
    let Some(json) = json else { return Ok(exit) };
    write_to(args.output.output.as_deref(), |out| {
        write_pretty(out, &json)?;
        writeln!(out)
    })?;
    Ok(exit)
}
