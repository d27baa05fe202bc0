//! The command line: the only place with files, terminals and exit codes.
//!
//! One file a subcommand. Data goes to standard output, diagnostics to standard error.

mod args;
mod asked;
mod check;
mod compile;
mod explain;
mod formula;
mod graph;
mod import;
mod input;
mod list;
mod memory;
mod output;
mod plan;
mod reconcile;
mod schema;
mod serving;
mod shell;
mod show;
mod solve;
mod summary;
mod sweep;
mod target;
mod tensors;
mod tree;
mod variant;
mod vary;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Args, Command};
use output::{Exit, Stop, Terminal};

use crate::session::Session;

pub use args::command;

/// The command line; of a model alone it is `summary`.
fn parse() -> Args {
    let given: Vec<OsString> = std::env::args_os().collect();
    let args = Args::try_parse_from(&given);
    if args.as_ref().is_err_and(|error| error.kind() == ErrorKind::InvalidSubcommand) {
        let model = given.iter().skip(1).position(|arg| arg.to_str().is_some_and(is_model));
        if let Some(at) = model {
            let mut summary = given;
            summary.insert(at + 1, "summary".into());
            return Args::parse_from(summary);
        }
    }
    args.unwrap_or_else(|error| error.exit())
}

/// Whether a word is a model: a file, or the name of an embedded one.
fn is_model(word: &str) -> bool {
    // What has a digit, a dot or a slash is no misspelt command.
    let looks_so =
        word == "-" || (!word.starts_with('-') && word.contains(|c: char| c.is_ascii_digit() || matches!(c, '.' | '/' | ':')));
    looks_so || Path::new(word).exists() || Session::new().embedded(word).is_some()
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    let args = parse();
    let terminal = Terminal::new(&args);
    let exit = match &args.command {
        Command::Compile(options) => compile::run(options, &terminal),
        Command::Check(options) => check::run(options, &terminal),
        Command::Tree(options) => tree::run(options, &terminal),
        Command::Graph(options) => graph::run(options, &terminal),
        Command::Summary(options) => summary::run(options, &terminal),
        Command::Compare(options) => summary::compare(options, &terminal),
        Command::Reconcile(options) => reconcile::run(options, &terminal),
        Command::Formula(options) => formula::run(options, &terminal),
        Command::Sweep(options) => sweep::run(options, &terminal),
        Command::Solve(options) => solve::run(options, &terminal),
        Command::Tensors(options) => tensors::run(options, &terminal),
        Command::Import(options) => import::run(options, &terminal),
        Command::Explain(options) => explain::run(options, &terminal),
        Command::Memory(options) => memory::run(options, &terminal),
        Command::Serving(options) => serving::run(options, &terminal),
        Command::List(options) => list::run(options, &terminal),
        Command::Show(options) => show::run(options, &terminal),
        Command::Schema(options) => schema::run(options, &terminal),
        Command::Completions(options) => shell::completions(options, &terminal),
        Command::Man(options) => shell::man(options, &terminal),
    };
    match exit {
        Ok(exit) => exit.code(),
        // Whoever read our output has seen enough.
        Err(Stop::System(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Fine.code(),
        Err(Stop::System(error)) => {
            terminal.failure(&format!("cannot write: {error}"));
            Exit::Wrong.code()
        }
        Err(Stop::Usage(error)) => {
            // If standard error is gone there is nobody left to tell.
            let _ = error.print();
            Exit::Usage.code()
        }
    }
}
