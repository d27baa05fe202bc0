//! Finds the model that a name on the command line means.

use std::io::{BufRead as _, Read as _};
use std::path::Path;

use crate::import::Contents;
use crate::session::{Model, Outcome, Session, Settings};
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::source::Source;

/// A name and a text, or why they can't be had.
pub type Read = Result<(String, Vec<u8>), Box<Diagnostic>>;

/// Reads a model: a file, `-` for standard input, or an embedded model by its file's or its own name.
pub fn read(model: &str, settings: &Settings, session: &Session) -> Outcome<Model> {
    Given::new(model, session).read(settings)
}

/// What a name on the command line means.
pub enum Found {
    /// A text, with its name.
    Text(String, Vec<u8>),
    /// A file of weights, with its name.
    Checkpoint(String, Outcome<Contents>),
    /// A text of `print(model)`, with its name.
    Print(String, Vec<u8>),
    /// Nothing that can be read, and why.
    Unread(Box<Diagnostic>),
    /// It can only be an embedded model.
    Embedded,
}

/// Finds out what a name means, by the content of what it names.
pub fn find(model: &str, session: &Session) -> Found {
    let path = Path::new(model);
    if model != "-" && path.is_file() {
        match checkpoint(path, session) {
            Ok(Some(contents)) => return Found::Checkpoint(model.to_owned(), contents),
            Ok(None) => {}
            Err(error) => return Found::Unread(cannot_read(model, &error)),
        }
    }
    match text(model) {
        Some(Ok((name, bytes))) if Session::is_print(&bytes) => Found::Print(name, bytes),
        Some(Ok((name, bytes))) => {
            let header = session.header(&name, &bytes, None, None);
            if header.value.is_some() { Found::Checkpoint(name, header) } else { Found::Text(name, bytes) }
        }
        Some(Err(diagnostic)) => Found::Unread(diagnostic),
        None => Found::Embedded,
    }
}

/// What a file of weights holds; `None`: it is none.
fn checkpoint(path: &Path, session: &Session) -> std::io::Result<Option<Outcome<Contents>>> {
    let file = std::fs::File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut from = std::io::BufReader::with_capacity(1 << 16, file);
    let is_one = Session::is_checkpoint(from.fill_buf()?, Some(bytes));
    Ok(is_one.then(|| session.contents(&path.display().to_string(), &mut from, Some(bytes))))
}

/// A model as it is named, which is had once, however often it is read.
pub struct Given<'s> {
    model: &'s str,
    session: &'s Session,
    found: Found,
}

impl<'s> Given<'s> {
    /// Gets its content.
    #[must_use]
    pub fn new(model: &'s str, session: &'s Session) -> Self {
        Given { model, session, found: find(model, session) }
    }

    /// Reads it with settings.
    #[must_use]
    pub fn read(&self, settings: &Settings) -> Outcome<Model> {
        match &self.found {
            Found::Text(name, bytes) => self.session.read_with(name, bytes, settings),
            Found::Checkpoint(name, contents) => {
                contents.clone().and_then(|contents| self.session.open(name, &contents, settings))
            }
            Found::Print(name, bytes) => self.session.printed(name, bytes, settings),
            Found::Unread(diagnostic) => self.session.failed(Diagnostic::clone(diagnostic)),
            Found::Embedded => self.session.load_with(self.model, settings),
        }
    }
}

/// The name and text of a file or of standard input; `None`: it can only be an embedded model.
pub fn text(model: &str) -> Option<Read> {
    if model == "-" {
        let bytes = limited(std::io::stdin()).map_err(|error| cannot_read("standard input", &error));
        return Some(bytes.map(|bytes| ("<stdin>".to_owned(), bytes)));
    }
    let path = Path::new(model);
    if path.is_dir() {
        return Some(of_folder(path));
    }
    (path.exists() || looks_like_path(model)).then(|| file(path))
}

/// The model of a folder as it is downloaded: its `config.json`.
fn of_folder(folder: &Path) -> Read {
    let config = folder.join("config.json");
    if config.exists() {
        return file_of_folder(&config);
    }
    let message = format!("`{}` is a folder without a `config.json`", folder.display());
    Err(Diagnostic::new(Code::CannotRead, message).help("`layerspec check` takes a folder of models").boxed())
}

/// A file's name and text; one beyond the size limit isn't read to its end.
pub fn file(path: &Path) -> Read {
    let name = path.display().to_string();
    let bytes = std::fs::File::open(path).and_then(limited).map_err(|error| cannot_read(&name, &error))?;
    Ok((name, bytes))
}

/// As [`file`], of what a folder has: a pipe or a device in there isn't waited for.
pub fn file_of_folder(path: &Path) -> Read {
    let name = path.display().to_string();
    let kind = std::fs::metadata(path).map_err(|error| cannot_read(&name, &error))?;
    if !kind.is_file() {
        return Err(Diagnostic::new(Code::CannotRead, format!("`{name}` is no file")).boxed());
    }
    file(path)
}

/// The text of an error on standard input; of a long one the beginning is enough.
pub fn error_text() -> std::io::Result<String> {
    const MOST: u64 = 1 << 20;
    let mut bytes = Vec::new();
    std::io::stdin().take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn limited(from: impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(Source::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn looks_like_path(model: &str) -> bool {
    // An address isn't one.
    !model.contains("://")
        && (model.starts_with(['.', '/']) || Path::new(model).extension().is_some_and(|e| e.eq_ignore_ascii_case("json")))
}

pub fn cannot_read(name: &str, error: &std::io::Error) -> Box<Diagnostic> {
    Diagnostic::new(Code::CannotRead, format!("cannot read `{name}`: {error}")).boxed()
}
