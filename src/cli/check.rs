//! `layerspec check`.

use std::io;
use std::path::{Path, PathBuf};

use super::args::CheckArgs;
use super::input;
use super::output::{Exit, Stop, Terminal};
use crate::catalog::Catalog;
use crate::evaluation::compile;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::source::Source;

pub fn run(args: &CheckArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(catalog) = terminal.catalog() else { return Ok(Exit::Wrong) };
    let request = args.workload.request(&catalog)?;
    let (mut exit, mut files, mut failed) = (Exit::Fine, 0usize, 0usize);
    for source in sources(&args.models, &catalog) {
        files += 1;
        let this = match source {
            Ok(source) => {
                let mut diagnostics = Diagnostics::default();
                let compiled = compile(&source, &catalog, &request, &mut diagnostics);
                terminal.report(&diagnostics, Some(&source), &catalog);
                compiled.iter().for_each(|compiled| terminal.unused(&compiled.checked.model));
                Exit::of(&diagnostics)
            }
            Err(diagnostic) => {
                terminal.report_one(*diagnostic, &catalog);
                Exit::Wrong
            }
        };
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
fn sources<'a>(models: &'a [String], catalog: &'a Catalog) -> impl Iterator<Item = Result<Source, Box<Diagnostic>>> + 'a {
    models.iter().flat_map(move |model| -> Box<dyn Iterator<Item = Result<Source, Box<Diagnostic>>>> {
        let path = Path::new(model);
        if model == "-" || !path.is_dir() {
            return Box::new(std::iter::once_with(move || input::read(model, catalog)));
        }
        let mut files = Vec::new();
        match json_files(path, 0, &mut files) {
            Ok(()) => {
                files.sort();
                Box::new(files.into_iter().map(|file| input::read_file(&file)))
            }
            Err(error) => {
                let diagnostic = Diagnostic::new(Code::CannotRead, format!("cannot read `{model}`: {error}"));
                Box::new(std::iter::once(Err(diagnostic.boxed())))
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
