//! `layerspec compile`.

use super::args::CompileArgs;
use super::input;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::evaluation::{Compiled, compile};
use crate::report::{By, Format, Options};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};

pub fn run(args: &CompileArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(catalog) = terminal.catalog() else { return Ok(Exit::Wrong) };
    let request = args.workload.request(&catalog)?;
    let Some(source) = input::read_or_report(&args.model, &catalog, terminal) else {
        return Ok(Exit::Wrong);
    };
    let (format, by) = (args.report.format, args.report.by);
    let mut diagnostics = Diagnostics::default();
    let compiled = compile(&source, &catalog, &request, &mut diagnostics);
    if let Some(compiled) = &compiled {
        diagnostics.extend(too_many_rows(compiled, format, by, args));
    }
    terminal.report(&diagnostics, Some(&source), &catalog);
    compiled.iter().for_each(|compiled| terminal.unused(&compiled.checked.model));
    let exit = Exit::of(&diagnostics);
    let (Some(compiled), Exit::Fine) = (compiled, exit) else { return Ok(exit) };
    let file = args.output.output.as_deref();
    let options = Options {
        by,
        depth: usize::from(args.report.depth),
        expand: args.report.expand,
        exact: args.report.exact,
        units: args.report.units,
        color: terminal.color(file),
        width: terminal.width(),
    };
    write_to(file, |out| (format.render)(&compiled, &options, out))?;
    // The process ends here: giving back a large model's memory piece by piece would only take time.
    std::mem::forget(compiled);
    Ok(Exit::Fine)
}

fn too_many_rows(compiled: &Compiled, format: &Format, by: By, args: &CompileArgs) -> Option<Diagnostic> {
    let full = by == By::Layer && (format.expands || args.report.expand);
    let rows = if full { compiled.report.layers } else { compiled.flat.rows.len() as u128 };
    let most = u128::from(args.report.max_rows);
    (rows > most).then(|| {
        Diagnostic::new(Code::TooManyRows, format!("the flat list has {rows} rows, more than {most}"))
            .help("fold it (`--format table` without `--expand`), group it (`--by class`), or raise `--max-rows`")
    })
}
