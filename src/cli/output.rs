//! Where output goes: the terminal's width and colours, files written all or nothing, exit codes.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, Once};

use super::args::{Args, ColorChoice, MessageFormat};
use super::input;
use crate::catalog::Catalog;
use crate::session::{Model, Outcome, Session};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, Severity, Sources, render_json, render_within};
use crate::syntax::escape::escape_terminal;
use crate::syntax::source::{Source, SourceId};

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    Fine,
    /// The model or the input is wrong.
    Wrong,
    Usage,
    /// An expectation fails.
    Unexpected,
}

impl Exit {
    #[must_use]
    pub fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }

    /// What diagnostics make of a run: 3 if nothing but expectations failed.
    #[must_use]
    pub fn of(diagnostics: &Diagnostics) -> Self {
        match diagnostics.has_errors() {
            false => Exit::Fine,
            true if diagnostics.only(&[Code::ExpectationFailed, Code::DoesNotFit]) => Exit::Unexpected,
            true => Exit::Wrong,
        }
    }
}

/// What ends a run before its end.
#[derive(Debug)]
pub enum Stop {
    /// The system's.
    System(io::Error),
    /// An option names what the catalog doesn't have.
    Usage(clap::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::System(error)
    }
}

impl From<clap::Error> for Stop {
    fn from(error: clap::Error) -> Self {
        Stop::Usage(error)
    }
}

/// At most this many diagnostics are printed, the rest is counted.
const MOST: usize = 20;
/// The width where there is no terminal to ask.
const PIPED_WIDTH: usize = 100;
/// The same of diagnostics.
const DIAGNOSTIC_WIDTH: usize = 140;

pub struct Terminal {
    color: ColorChoice,
    messages: MessageFormat,
    /// A folder that lies over the embedded catalog.
    catalog: Option<PathBuf>,
    pub verbose: bool,
}

impl Terminal {
    #[must_use]
    pub fn new(args: &Args) -> Self {
        Terminal { color: args.color, messages: args.message_format, catalog: args.catalog.clone(), verbose: args.verbose }
    }

    /// A session over the catalog, under the folder that `--catalog` names; `None` if that can't be read, which was reported.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        let Some(folder) = &self.catalog else { return Some(Session::new()) };
        let read = Overlay::read(folder).map_err(|diagnostic| (diagnostic, Overlay::default()));
        let laid = read.and_then(|overlay| overlay.catalog().map_err(|diagnostic| (diagnostic, overlay)));
        match laid {
            Ok(catalog) => Some(Session::over(catalog)),
            Err((diagnostic, overlay)) => {
                self.report_in(&(*diagnostic).into(), &overlay);
                None
            }
        }
    }

    fn wants_color(&self, is_terminal: bool) -> bool {
        match self.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    /// Whether the data is to be coloured; a file never is.
    #[must_use]
    pub fn color(&self, file: Option<&Path>) -> bool {
        file.is_none() && self.wants_color(io::stdout().is_terminal())
    }

    /// Columns to write in: `COLUMNS`, else the terminal's, else 100.
    #[must_use]
    pub fn width(&self) -> usize {
        self.known_width().unwrap_or(PIPED_WIDTH)
    }

    /// Columns to write in: `COLUMNS`, else the terminal's; `None`: a program reads it.
    #[must_use]
    pub fn known_width(&self) -> Option<usize> {
        let variable = std::env::var("COLUMNS").ok().and_then(|text| text.trim().parse::<usize>().ok());
        let terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        variable.or_else(terminal).filter(|width| *width > 0)
    }

    /// Writes what was said to standard error; how the run ends comes back.
    pub fn report<T>(&self, outcome: &Outcome<T>) -> Exit {
        self.report_in(&outcome.diagnostics, &outcome.texts())
    }

    fn report_in(&self, diagnostics: &Diagnostics, texts: &dyn Sources) -> Exit {
        let list = diagnostics.sorted();
        let color = self.wants_color(io::stderr().is_terminal());
        let width = self.known_width().unwrap_or(DIAGNOSTIC_WIDTH);
        let mut out = String::new();
        for diagnostic in list.iter().take(if self.messages == MessageFormat::Json { usize::MAX } else { MOST }) {
            out.push_str(&match self.messages {
                MessageFormat::Json => render_json(diagnostic, texts),
                MessageFormat::Human => render_within(diagnostic, texts, color, width),
            });
            out.push('\n');
        }
        if self.messages == MessageFormat::Human {
            out.push_str(&counted(diagnostics, &list));
        }
        // If standard error is gone there is nobody left to tell.
        let _ = io::stderr().write_all(out.as_bytes());
        Exit::of(diagnostics)
    }

    /// A remark that isn't about a single place.
    pub fn note(&self, message: &str) {
        if self.messages == MessageFormat::Human {
            let _ = writeln!(io::stderr(), "{message}");
        }
    }

    /// With `--verbose`: the keys of a config that nothing used.
    pub fn unused(&self, model: &Model) {
        if !self.verbose {
            return;
        }
        for (place, keys) in model.unused_keys() {
            let place = place.map_or_else(String::new, |name| format!(" in `{name}`"));
            let names: Vec<String> = keys.into_iter().map(|key| escape_terminal(key).into_owned()).collect();
            self.note(&format!("keys of the config{place} that nothing used: {}", names.join(", ")));
        }
    }

    /// A failure of the system, not of the model.
    pub fn failure(&self, message: &str) {
        let _ = writeln!(io::stderr(), "error: {message}");
    }
}

/// How many there are beyond those that are shown, and where to read more.
fn counted(diagnostics: &Diagnostics, list: &[&Diagnostic]) -> String {
    let more = if list.len() > MOST { format!("... and {} more\n\n", list.len() - MOST) } else { String::new() };
    let errors = diagnostics.errors();
    if errors == 0 {
        return more;
    }
    let first = list.iter().find(|d| d.severity == Severity::Error).map_or("", |d| d.code.id());
    let plural = if errors == 1 { "" } else { "s" };
    format!("{more}{errors} error{plural}; `layerspec explain {first}` says more\n")
}

/// The files of a folder that lies over the catalog.
#[derive(Debug, Default)]
struct Overlay {
    files: Vec<OverlayFile>,
}

#[derive(Debug)]
struct OverlayFile {
    /// As diagnostics show it.
    name: String,
    /// Its place in a catalog.
    path: String,
    bytes: Vec<u8>,
}

impl Overlay {
    /// The files of the catalog's folders, in the order of their names, and those beside them.
    fn read(folder: &Path) -> Result<Self, Box<Diagnostic>> {
        folder.read_dir().map_err(|error| input::cannot_read(&folder.display().to_string(), &error))?;
        let mut files = Vec::new();
        for inner in Catalog::FOLDERS {
            let Ok(entries) = folder.join(inner).read_dir() else { continue };
            let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            paths.retain(|path| path.extension().is_some_and(|e| e == "json"));
            paths.sort();
            for path in paths {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                files.push(OverlayFile::read(&path, format!("{inner}/{name}"))?);
            }
        }
        for list in Catalog::LISTS.iter().filter(|list| folder.join(list).exists()) {
            files.push(OverlayFile::read(&folder.join(list), (*list).to_owned())?);
        }
        if files.is_empty() {
            let message = format!("`{}` has no file of a catalog", folder.display());
            let help = format!("a catalog has the folders {}, and {}", Catalog::FOLDERS.join(", "), Catalog::LISTS.join(", "));
            return Err(Diagnostic::new(Code::CannotRead, message).help(help).boxed());
        }
        Ok(Overlay { files })
    }

    fn catalog(&self) -> Result<Catalog, Box<Diagnostic>> {
        Catalog::overlaid_as(self.files.iter().map(|file| (file.name.clone(), &*file.path, &*file.bytes)))
    }
}

/// For what is wrong with a file before there is a catalog that has it.
impl Sources for Overlay {
    fn source(&self, id: SourceId) -> Option<Source> {
        let (_, file) = self.files.iter().enumerate().find(|(at, _)| Catalog::overlay_id(*at) == id)?;
        Source::load(id, &file.name, &file.bytes).ok()
    }
}

impl OverlayFile {
    fn read(file: &Path, path: String) -> Result<Self, Box<Diagnostic>> {
        let (name, bytes) = input::file_of_folder(file)?;
        Ok(OverlayFile { name, path, bytes })
    }
}

/// What a path means, links followed, one too that leads to where nothing is yet.
fn followed(path: &Path) -> PathBuf {
    const MOST_LINKS: usize = 40;
    if let Ok(target) = path.canonicalize() {
        return target;
    }
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(next) = target.read_link() else { break };
        target = target.parent().map_or_else(|| next.clone(), |folder| folder.join(&next));
    }
    target
}

/// The temporary file that is being written: it goes, too, where the program is told to stop.
struct LeftBehind;

static TEMPORARY: Mutex<Option<PathBuf>> = Mutex::new(None);

impl LeftBehind {
    fn watch(path: &Path) -> Self {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(|| {
            // Where signals can't be had the file stays, as it would without this.
            let _ = ctrlc::set_handler(|| {
                if let Some(path) = TEMPORARY.lock().ok().and_then(|path| path.clone()) {
                    let _ = std::fs::remove_file(path);
                }
                std::process::exit(INTERRUPTED);
            });
        });
        Self::remember(Some(path.to_owned()));
        LeftBehind
    }

    fn remember(path: Option<PathBuf>) {
        if let Ok(mut known) = TEMPORARY.lock() {
            *known = path;
        }
    }
}

impl Drop for LeftBehind {
    fn drop(&mut self) {
        Self::remember(None);
    }
}

/// As shells report a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Writes to standard output, or to a file: that appears whole or not at all.
///
/// # Errors
/// Those of `write` and of the system.
pub fn write_to(file: Option<&Path>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let Some(path) = file else {
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        write(&mut out)?;
        return out.flush();
    };
    // A pipe or device is written to; a link is followed to what it means.
    let target = followed(path);
    if target.metadata().is_ok_and(|meta| !meta.is_file()) {
        let mut out = BufWriter::new(std::fs::OpenOptions::new().write(true).open(&target)?);
        write(&mut out)?;
        return out.flush();
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".layerspec-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A new file gets what the umask leaves; one that is replaced keeps its own.
        let mode = target.metadata().map_or(0o666, |meta| meta.permissions().mode());
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    let mut temporary = builder.tempfile_in(folder)?;
    let _left_behind = LeftBehind::watch(temporary.path());
    let mut out = BufWriter::with_capacity(1 << 16, temporary.as_file_mut());
    write(&mut out)?;
    out.flush()?;
    drop(out);
    temporary.persist(&target).map_err(|error| error.error)?;
    Ok(())
}
