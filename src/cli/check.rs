//! `layerspec check`.

use std::io;
use std::path::{Path, PathBuf};

use super::args::CheckArgs;
use super::asked::asked;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::session::{Model, Outcome, Session, Settings};
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::escape::escape_terminal;

pub fn run(args: &CheckArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let settings = args.workload.settings(session.catalog());
    let (workload, execution) = asked(&args.workload, &session, terminal)?;
    let (mut exit, mut files, mut failed) = (Exit::Fine, 0usize, 0usize);
    if args.bless {
        return bless(args, terminal, &session);
    }
    for model in models(&args.models, &settings, (&session, terminal)) {
        files += 1;
        let loaded = model.value.clone();
        let mut outcome = model.and_then(|model| model.lowered(&execution)).and_then(|lowered| lowered.at(&workload));
        if let Some(model) = &loaded {
            outcome.diagnostics.extend(model.check_examples().iter().cloned());
        }
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

/// Writes the facts that hold into the files that state some, or into which some are to be put.
fn bless(args: &CheckArgs, terminal: &Terminal, session: &Session) -> Result<Exit, Stop> {
    let settings = args.workload.settings(session.catalog());
    let (workload, execution) = asked(&args.workload, session, terminal)?;
    let facts: Vec<&str> = args.facts.iter().map(String::as_str).collect();
    let mut exit = Exit::Fine;
    for name in &args.models {
        let path = Path::new(name);
        let folder = path.is_dir();
        let no_file =
            || Diagnostic::new(Code::CannotRead, format!("`{name}` is no file that facts could be written into")).boxed();
        let files = match (folder, path.is_file()) {
            (true, _) => files_of(path),
            (false, true) => Ok(vec![path.to_owned()]),
            (false, false) => Err(no_file()),
        };
        let files = match files {
            Ok(files) => files,
            Err(diagnostic) => {
                exit = exit.max(terminal.report(&session.failed::<()>(*diagnostic)));
                continue;
            }
        };
        for file in files {
            let read = read_file(&file, &settings, session);
            // In a folder those that state nothing are left alone.
            if folder && facts.is_empty() && read.value.as_ref().is_some_and(|model| !model.states_facts()) {
                continue;
            }
            let outcome = read.and_then(|model| model.lowered(&execution)).and_then(|lowered| lowered.blessed(&facts, &workload));
            exit = exit.max(terminal.report(&outcome));
            let Some(blessed) = &outcome.value else { continue };
            let shown = escape_terminal(&file.display().to_string()).into_owned();
            if blessed.changed.is_empty() {
                terminal.note(&format!("{shown}: all of its {} facts hold", blessed.facts));
                continue;
            }
            write_to(Some(&file), |out| out.write_all(blessed.text.as_bytes()))?;
            for (fact, before, now) in &blessed.changed {
                let before = before.map_or_else(|| "new".to_owned(), |before| before.to_string());
                terminal.note(&format!("{shown}: {fact} {before} -> {now}"));
            }
        }
    }
    Ok(exit)
}

/// The models that the arguments mean; a folder stands for the JSON files in it.
fn models<'a>(
    models: &'a [String],
    settings: &'a Settings,
    (session, terminal): (&'a Session, &'a Terminal),
) -> impl Iterator<Item = Outcome<Model>> + 'a {
    models.iter().flat_map(move |model| -> Box<dyn Iterator<Item = Outcome<Model>>> {
        let path = Path::new(model);
        if model == "-" || !path.is_dir() {
            return Box::new(std::iter::once_with(move || input::read(model, settings, session)));
        }
        match files_of(path) {
            Ok(files) => Box::new(files.into_iter().filter_map(move |file| {
                let read = input::file_of_folder(&file);
                if let Ok((name, bytes)) = &read
                    && !session.may_be_model(name, bytes)
                {
                    terminal.note(&format!("{}: no model, left out", escape_terminal(name)));
                    return None;
                }
                Some(taken(read, settings, session))
            })),
            Err(diagnostic) => Box::new(std::iter::once(session.failed(*diagnostic))),
        }
    })
}

fn read_file(file: &Path, settings: &Settings, session: &Session) -> Outcome<Model> {
    taken(input::file_of_folder(file), settings, session)
}

fn taken(read: input::Read, settings: &Settings, session: &Session) -> Outcome<Model> {
    match read {
        Ok((name, bytes)) => session.read_with(&name, bytes, settings),
        Err(diagnostic) => session.failed(*diagnostic),
    }
}

/// The JSON files of a folder and the folders in it, in the order of their names.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Box<Diagnostic>> {
    let mut files = Vec::new();
    json_files(folder, 0, &mut files).map_err(|error| input::cannot_read(&folder.display().to_string(), &error))?;
    files.sort();
    Ok(files)
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
