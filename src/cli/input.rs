//! Finds the model that a name on the command line means.

use std::io::Read;
use std::path::Path;

use super::output::Terminal;
use crate::catalog::Catalog;
use crate::syntax::diag::{Code, Diagnostic, nearest};
use crate::syntax::source::{Source, SourceId};

/// Reads a model as [`read`] does; what keeps it from being read goes to the terminal.
pub fn read_or_report(model: &str, catalog: &Catalog, terminal: &Terminal) -> Option<Source> {
    read(model, catalog).map_err(|diagnostic| terminal.report_one(*diagnostic, catalog)).ok()
}

/// Reads a model: a file, `-` for standard input, or an embedded model by its file's or its own name.
///
/// # Errors
/// `CannotRead`, `UnknownModel`, or what [`Source::load`] finds.
pub fn read(model: &str, catalog: &Catalog) -> Result<Source, Box<Diagnostic>> {
    if model == "-" {
        let mut bytes = Vec::new();
        let limit = Source::MAX_BYTES as u64 + 1;
        std::io::stdin().take(limit).read_to_end(&mut bytes).map_err(|error| cannot_read("standard input", &error))?;
        return Source::load(SourceId::MODEL, "<stdin>", &bytes);
    }
    let path = Path::new(model);
    if path.exists() || looks_like_path(model) {
        return read_file(path);
    }
    let embedded = catalog
        .models()
        .iter()
        .find(|file| file.name.eq_ignore_ascii_case(model) || own_name(file.text).is_some_and(|n| n.eq_ignore_ascii_case(model)));
    match embedded {
        Some(file) => Source::load(SourceId::MODEL, file.path, file.text.as_bytes()),
        None => Err(unknown(model, catalog)),
    }
}

/// Reads a file; one beyond the size limit isn't read to its end.
pub fn read_file(path: &Path) -> Result<Source, Box<Diagnostic>> {
    let name = path.display().to_string();
    let open = std::fs::File::open(path).map_err(|error| cannot_read(&name, &error))?;
    let mut bytes = Vec::new();
    let limit = Source::MAX_BYTES as u64 + 1;
    open.take(limit).read_to_end(&mut bytes).map_err(|error| cannot_read(&name, &error))?;
    Source::load(SourceId::MODEL, &name, &bytes)
}

fn looks_like_path(model: &str) -> bool {
    model.starts_with(['.', '/']) || Path::new(model).extension().is_some_and(|e| e.eq_ignore_ascii_case("json"))
}

/// The `name` of an embedded model, without reading the rest.
fn own_name(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("\"name\": \"")?;
    rest.split_once('"').map(|(name, _)| name)
}

fn cannot_read(name: &str, error: &std::io::Error) -> Box<Diagnostic> {
    Diagnostic::new(Code::CannotRead, format!("cannot read `{name}`: {error}")).boxed()
}

fn unknown(model: &str, catalog: &Catalog) -> Box<Diagnostic> {
    let names = catalog.models().iter().map(|file| file.name);
    let diagnostic = Diagnostic::new(Code::UnknownModel, format!("`{model}` is neither a file nor an embedded model"));
    let help = nearest(model, names).map(|near| format!("did you mean `{near}`?"));
    help.into_iter().fold(diagnostic, Diagnostic::help).help("`layerspec list models` shows the embedded ones").boxed()
}
