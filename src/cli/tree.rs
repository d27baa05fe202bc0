//! `layerspec tree`.

use std::io;

use super::args::TreeArgs;
use super::input;
use super::output::{Exit, Terminal, write_to};
use crate::catalog::Catalog;
use crate::compile::front;
use crate::diag::Diagnostics;
use crate::report::render_tree;

pub fn run(args: &TreeArgs, terminal: &Terminal) -> io::Result<Exit> {
    let catalog = Catalog::new();
    let Some(source) = input::read_or_report(&args.model, &catalog, terminal) else {
        return Ok(Exit::Wrong);
    };
    let mut diagnostics = Diagnostics::default();
    let model = front(&source, &catalog, args.settings.clone(), &mut diagnostics);
    terminal.report(&diagnostics, Some(&source), &catalog);
    let (Some(model), false) = (model, diagnostics.has_errors()) else { return Ok(Exit::Wrong) };
    write_to(args.output.output.as_deref(), |out| render_tree(&model, out))?;
    Ok(Exit::Fine)
}
