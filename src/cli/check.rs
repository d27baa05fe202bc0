//! `layerspec check`.

use std::io;
use std::path::{Path, PathBuf};

use super::args::CheckArgs;
use super::input;
use super::output::{Exit, Stop, Terminal};
use crate::session::{Model, Outcome, Session, Settings};
use crate::syntax::diag::{Code, Diagnostic};

pub fn run(args: &CheckArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let (settings, execution, workload) =
        (args.workload.settings(), args.workload.execution(), args.workload.workload(session.catalog())?);
    let (mut exit, mut files, mut failed) = (Exit::Fine, 0usize, 0usize);
    for model in models(&args.models, &settings, &session) {
        files += 1;
        let loaded = model.value.clone();
        let outcome = model.and_then(|model| model.lowered(&execution)).and_then(|lowered| lowered.at(&workload));
        let this = terminal.report(&outcome);
        if let (Some(model), Some(_)) = (&loaded, &outcome.value) {
            terminal.unused(model);
        }
        failed += usize::from(this != Exit::Fine);
        // A wrong model outweighs a failed expectation.
        exit = if exit == Exit::Wrong || this == Exit::Wrong { Exit::Wrong } else { exit.max(this) };
    }
    if files != 1 {
        terminal.note(&format!("{files} files checked, {failed} with errors"));
    }
    Ok(exit)
}

/// The models that the arguments mean; a folder stands for the JSON files in it.
fn models<'a>(models: &'a [String], settings: &'a Settings, session: &'a Session) -> impl Iterator<Item = Outcome<Model>> + 'a {
    models.iter().flat_map(move |model| -> Box<dyn Iterator<Item = Outcome<Model>>> {
        let path = Path::new(model);
        if model == "-" || !path.is_dir() {
            return Box::new(std::iter::once_with(move || input::read(model, settings, session)));
        }
        let mut files = Vec::new();
        match json_files(path, 0, &mut files) {
            Ok(()) => {
                files.sort();
                Box::new(files.into_iter().map(move |file| match input::file_of_folder(&file) {
                    Ok((name, bytes)) => session.read_with(&name, bytes, settings),
                    Err(diagnostic) => session.failed(*diagnostic),
                }))
            }
            Err(error) => {
                let diagnostic = Diagnostic::new(Code::CannotRead, format!("cannot read `{model}`: {error}"));
                Box::new(std::iter::once(session.failed(diagnostic)))
            }
        }
    })
}

/// The JSON files of a folder and the folders in it; links to folders are not followed.
fn json_files(folder: &Path, depth: usize, out: &mut Vec<PathBuf>) -> io::Result<()> {
    const DEEPEST: usize = 32;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if depth < DEEPEST {
                json_files(&path, depth + 1, out)?;
            }
        } else if path.extension().is_some_and(|e| e == "json") {
            out.push(path);
        }
    }
    Ok(())
}
