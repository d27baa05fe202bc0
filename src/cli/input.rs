//! Finds the model that a name on the command line means.

use std::io::{BufRead as _, Read as _};
use std::path::{Path, PathBuf};

use crate::import::{Contents, ShardName};
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
    /// A file of weights, or a folder of some.
    Checkpoint(Box<Checkpoint>),
    /// A text of `print(model)`, with its name.
    Print(String, Vec<u8>),
    /// Nothing that can be read, and why.
    Unread(Box<Diagnostic>),
    /// It can only be an embedded model.
    Embedded,
}

/// Weights as they are found.
pub struct Checkpoint {
    /// The file, or the folder.
    pub name: String,
    /// What is in it.
    pub contents: Outcome<Contents>,
    /// The config beside it, with its name.
    config: Option<(String, Vec<u8>)>,
}

impl Found {
    /// Reads it as a model; `name`: as it was given.
    pub fn read(&self, name: &str, settings: &Settings, session: &Session) -> Outcome<Model> {
        match self {
            Found::Text(name, bytes) => session.read_with(name, bytes, settings),
            Found::Checkpoint(checkpoint) => checkpoint.contents.clone().and_then(|contents| {
                let config = checkpoint.config.as_ref().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
                session.open(&checkpoint.name, &contents, config, settings)
            }),
            Found::Print(name, bytes) => session.printed(name, bytes, settings),
            Found::Unread(diagnostic) => session.failed(Diagnostic::clone(diagnostic)),
            Found::Embedded => session.load_with(name, settings),
        }
    }
}

/// Finds out what a name means, by the content of what it names.
pub fn find(model: &str, session: &Session) -> Found {
    let path = Path::new(model);
    let found = |contents: Option<Outcome<Contents>>, config: Option<PathBuf>| -> Option<Found> {
        let config = config.and_then(|path| file_of_folder(&path).ok());
        contents.map(|contents| Found::Checkpoint(Box::new(Checkpoint { name: model.to_owned(), contents, config })))
    };
    if model != "-" && path.is_dir() {
        return match folder(path, session) {
            Ok(contents) => found(contents, Some(path.join(CONFIG)).filter(|config| config.is_file())),
            Err(error) => Some(Found::Unread(cannot_read(model, &error))),
        }
        .unwrap_or_else(|| of_text(model, session));
    }
    if model != "-" && path.is_file() {
        match checkpoint(path, session) {
            Ok(Some(contents)) => {
                return match shards(path, contents, session) {
                    Ok((contents, config)) => found(Some(contents), config).unwrap_or(Found::Embedded),
                    Err(error) => Found::Unread(cannot_read(model, &error)),
                };
            }
            Ok(None) => {}
            Err(error) => return Found::Unread(cannot_read(model, &error)),
        }
    }
    of_text(model, session)
}

fn of_text(model: &str, session: &Session) -> Found {
    match text(model) {
        Some(Ok((name, bytes))) if Session::is_print(&bytes) => Found::Print(name, bytes),
        Some(Ok((name, bytes))) if Session::may_be_header(&bytes) => {
            let header = session.header(&name, &bytes, None, None);
            match header.value.is_some() || header.diagnostics.has(Code::MalformedCheckpoint) {
                true => Found::Checkpoint(Box::new(Checkpoint { name, contents: header, config: None })),
                false => Found::Text(name, bytes),
            }
        }
        Some(Ok((name, bytes))) => Found::Text(name, bytes),
        Some(Err(diagnostic)) => Found::Unread(diagnostic),
        None => Found::Embedded,
    }
}

/// What a folder's files of weights hold together; `None`: it has none.
fn folder(path: &Path, session: &Session) -> std::io::Result<Option<Outcome<Contents>>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let ends =
        |ending: &'static str| files.iter().filter(move |path| path.extension().is_some_and(|e| e == ending) && path.is_file());
    // Of an index of safetensors and one of older files the first counts; of several variants the one without a name in between.
    let index = ends("json")
        .filter(|path| name(path).ends_with(INDEX))
        .min_by_key(|path| (name(path).contains(".bin."), name(path).len()));
    let indexed = index.map(|path| {
        let read = file_of_folder(path);
        read.map_or_else(|why| session.failed(*why), |(name, bytes)| session.header(&name, &bytes, None, None))
    });
    let mut parts = Vec::new();
    for kind in ["safetensors", "gguf"] {
        if !parts.is_empty() {
            break;
        }
        for path in ends(kind) {
            if let Some(contents) = checkpoint(path, session)? {
                parts.push((name(path), contents));
            }
        }
    }
    Ok(match (indexed, parts.is_empty()) {
        (None, true) => None,
        (Some(index), _) => Some(session.with_files(index, parts)),
        (None, false) => Some(session.together(parts)),
    })
}

/// What a file holds with those beside it of which it is a shard by its name, and the config of the model that they are; another file stands
/// alone.
fn shards(path: &Path, own: Outcome<Contents>, session: &Session) -> std::io::Result<(Outcome<Contents>, Option<PathBuf>)> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(shard) = ShardName::of(name) else { return Ok((own, None)) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let other = entry?.file_name();
        let other = other.to_str().and_then(ShardName::of);
        let is_one = |other: &ShardName<'_>| (other.stem, other.count, other.ending) == (shard.stem, shard.count, shard.ending);
        numbers.extend(other.filter(is_one).map(|other| other.number));
    }
    numbers.sort_unstable();
    let mut own = Some(own);
    let mut parts = Vec::new();
    for number in numbers {
        let name = shard.sibling(number);
        let contents = if number == shard.number { own.take() } else { checkpoint(&folder.join(&name), session)? };
        // What is called so and is none is as good as missing.
        parts.extend(contents.map(|contents| (name, contents)));
    }
    let config = Some(folder.join(CONFIG)).filter(|config| shard.ending == "safetensors" && config.is_file());
    Ok((session.together(parts), config))
}

/// What a file of weights holds; `None`: it is none.
fn checkpoint(path: &Path, session: &Session) -> std::io::Result<Option<Outcome<Contents>>> {
    let file = std::fs::File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut from = std::io::BufReader::with_capacity(1 << 16, file);
    let is_one = Session::is_checkpoint(from.fill_buf()?, Some(bytes));
    Ok(is_one.then(|| session.contents(&path.display().to_string(), &mut from, Some(bytes))))
}

/// A folder's config.
const CONFIG: &str = "config.json";
/// How the name of an index ends.
const INDEX: &str = ".index.json";

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
        self.found.read(self.model, settings, self.session)
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
    let config = folder.join(CONFIG);
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

/// The beginning of a log; of a long one that is enough.
pub fn log_text(path: &Path) -> Result<String, Box<Diagnostic>> {
    const MOST: u64 = 16 << 20;
    let cannot =
        |error: std::io::Error| Box::new(Diagnostic::new(Code::CannotRead, format!("cannot read `{}`: {error}", path.display())));
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(cannot)?.take(MOST).read_to_end(&mut bytes).map_err(cannot)?;
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
