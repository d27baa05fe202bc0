//! `layerspec tree`.

use std::io::{self, Write};

use super::args::TreeArgs;
use super::asked::asked;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::report::{fit, render_tree};

pub fn run(args: &TreeArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let (workload, execution) = asked(&args.workload, &session, terminal)?;
    let outcome = input::read(&args.model, &args.workload.settings(session.catalog()), &session)
        .and_then(|model| model.lowered(&execution))
        .and_then(|lowered| lowered.sketch(&workload));
    let exit = terminal.report(&outcome);
    let (Some(evaluation), Exit::Fine) = (outcome.value, exit) else { return Ok(Exit::Wrong) };
    write_to(args.output.output.as_deref(), |out| match terminal.known_width() {
        Some(width) => {
            let mut lines = Lines { out, width, held: Vec::new() };
            render_tree(&evaluation, &mut lines)?;
            lines.flush()
        }
        None => render_tree(&evaluation, out),
    })?;
    Ok(Exit::Fine)
}

/// Writes whole lines, each on as many of a terminal's as it needs.
struct Lines<'w> {
    out: &'w mut dyn Write,
    width: usize,
    held: Vec<u8>,
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.held.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.held);
                self.out.write_all(fit(&line, self.width).as_bytes())?;
                self.held.clear();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.held)?;
        self.held.clear();
        self.out.flush()
    }
}
