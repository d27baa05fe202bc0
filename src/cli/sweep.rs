//! `layerspec sweep`.

use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::{AxesArgs, SweepArgs, SweepFormat, refused};
use super::input::Given;
use super::output::{Exit, Stop, Terminal, write_to};
use crate::analysis::axis::{Shard, Values};
use crate::analysis::sweep::{POINT_VARIABLES, Piece, is_varied};
use crate::cost::workload::{RunOptions, value_problem};
use crate::lower::{Execution, Lowered};
use crate::quantity::workload::DERIVED;
use crate::report::{RowFormat, Rows, units};
use crate::session::{Axes, Model, Outcome, Problem, Session, Settings, Sweep, Variable};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::Value;

pub fn run(args: &SweepArgs, terminal: &Terminal) -> Result<Exit, Stop> {
    let Some(session) = terminal.session() else { return Ok(Exit::Wrong) };
    let catalog = session.catalog();
    let (workload, conventions) = (args.axes.workload(catalog)?, args.axes.conventions(catalog)?);
    let wanted = args.quantities()?;
    suits_output(args)?;
    let given = Given::new(&args.model, &session);
    let model = match taken(&given, &args.axes) {
        Ok(model) => model,
        Err(outcome) => return Ok(terminal.report(&outcome)),
    };
    let axes = match axes(&args.axes, conventions, &model)? {
        Ok(axes) => axes,
        Err(diagnostic) => return Ok(terminal.report(&session.failed::<()>(*diagnostic))),
    };
    let range = match range(&axes, args) {
        Ok(range) => range,
        Err(diagnostic) => return Ok(terminal.report(&session.failed::<()>(*diagnostic))),
    };
    let load = |settings: &Settings| given.read(settings);
    let sweep = Sweep::new(&load, args.axes.taken(), (workload, RunOptions::default()), axes, wanted);
    columns_differ(&sweep)?;
    let exit = terminal.report(&sweep.remarks());
    if exit != Exit::Fine {
        return Ok(exit);
    }
    let found = written(&sweep, range.clone(), args)?;
    Ok(said(found, range.end - range.start, &session, terminal))
}

/// A binary format isn't for eyes, and this program may have been built without it.
fn suits_output(args: &SweepArgs) -> Result<(), Stop> {
    let refuse = |why: &str| Err(Stop::Usage(refused::<SweepArgs>("format", "parquet", why)));
    match args.format() {
        SweepFormat::Parquet if !cfg!(feature = "parquet") => {
            refuse("this layerspec was built without it: `cargo install --path . --features parquet`")
        }
        SweepFormat::Parquet if args.output.output.is_none() && io::stdout().is_terminal() => {
            refuse("it isn't for a terminal; `-o FILE` writes a file")
        }
        _ => Ok(()),
    }
}

/// The model by which variables are told apart: with the first value of each that is set, or else as it is.
fn taken(given: &Given<'_>, args: &AxesArgs) -> Result<Model, Box<Outcome<Lowered>>> {
    let read = |variables: Vec<(Arc<str>, Value)>| {
        let loaded = given.read(&Settings { variables, ..args.taken() });
        let model = loaded.value.clone();
        let outcome = loaded.and_then(|model| model.lowered(&Execution::default()));
        model.filter(|_| !outcome.diagnostics.has_errors()).ok_or_else(|| Box::new(outcome))
    };
    let first = args.settings.iter().filter_map(|(name, values)| Some((name.clone(), values.at(0)?)));
    read(first.collect()).or_else(|with_values| match with_values.diagnostics.has(Code::UnknownSetting) {
        true => Err(with_values),
        // The first value may be one at which the model isn't valid.
        false => read(Vec::new()),
    })
}

/// What is varied, each in its place.
fn axes(
    args: &AxesArgs,
    conventions: Vec<(Arc<str>, Values)>,
    model: &Model,
) -> Result<Result<Axes, Box<Diagnostic>>, clap::Error> {
    let mut axes = Axes { conventions, ..Axes::default() };
    let options = [&args.batch, &args.seq, &args.past];
    let mut given: Vec<Arc<str>> = Vec::new();
    for (name, numbers) in POINT_VARIABLES.iter().zip(options) {
        if let Some(numbers) = numbers {
            given.push((*name).into());
            axes.numbers.push(((*name).into(), numbers.clone()));
        }
    }
    for (name, values) in &args.settings {
        let wrong = |why: &str| refused::<AxesArgs>("settings", name, why);
        let variable = match model.variable(name, "--set") {
            Ok(variable) => variable,
            Err(diagnostic) => return Ok(Err(diagnostic)),
        };
        let known = variable.name().clone();
        if given.contains(&known) {
            return Err(wrong(&format!("`{known}` is given twice; a list has commas")));
        }
        given.push(known.clone());
        match variable {
            // The column is called as it was asked for.
            Variable::Structure(_) => axes.structure.push((name.clone(), values.clone())),
            Variable::Workload(known) => {
                if let Some(expected) = derived(&known, values) {
                    return Err(wrong(&format!("it is {expected}")));
                }
                of_workload(&known, values, &mut axes).map_err(|why| wrong(&why))?;
            }
        }
    }
    let place = |name: &str| POINT_VARIABLES.iter().position(|known| *known == name).unwrap_or(POINT_VARIABLES.len());
    axes.numbers.sort_by_key(|(name, _)| place(name));
    Ok(Ok(axes))
}

/// What a variable is that follows from others.
fn derived(name: &str, values: &Values) -> Option<&'static str> {
    DERIVED.contains(&name).then(|| value_problem(name, &values.at(0)?)).flatten()
}

/// An axis of the workload: whole numbers are innermost, other values beside the conventions.
fn of_workload(name: &Arc<str>, values: &Values, axes: &mut Axes) -> Result<(), String> {
    let is_point = POINT_VARIABLES.contains(&&**name);
    match values {
        Values::Numbers(numbers) if is_point || is_varied(name) => {
            let least = u64::from(matches!(&**name, "batch_size" | "seq_len"));
            if numbers.least() < least {
                return Err(format!("{} is not in {least}..", numbers.least()));
            }
            axes.numbers.push((name.clone(), numbers.clone()));
        }
        Values::Listed(_) if is_point => return Err("expected whole numbers, as 1..64 or 512,1024".to_owned()),
        values => axes.conventions.push((name.clone(), values.clone())),
    }
    Ok(())
}

/// The places of the rows that are to be written, if they aren't too many.
fn range(axes: &Axes, args: &SweepArgs) -> Result<Range<u128>, Box<Diagnostic>> {
    let most = u128::from(args.max_rows);
    let too_many = |rows: &str| {
        let help = "list fewer values, take a part with `--shard I/N`, or raise `--max-rows`";
        Diagnostic::new(Code::TooManyRows, format!("the sweep has {rows} rows, more than {}", units::exact(most)))
            .help(help)
            .boxed()
    };
    let count = axes.count().ok_or_else(|| too_many("more than 2^128"))?;
    let range = args.shard.unwrap_or(Shard::WHOLE).range(count);
    let rows = range.end - range.start;
    if rows > most { Err(too_many(&units::exact(rows))) } else { Ok(range) }
}

/// A name is one column's: a variable may be called as a quantity is.
fn columns_differ(sweep: &Sweep<'_>) -> Result<(), clap::Error> {
    let names = names(sweep);
    let twice = names.iter().enumerate().find(|(at, name)| names.iter().take(*at).any(|before| before == *name));
    let Some((_, name)) = twice else { return Ok(()) };
    let why = "a variable and a quantity are called so, and a column can't be both: choose others with `--quantity`";
    Err(refused::<SweepArgs>("quantity", name, why))
}

/// The column that says what a partial model lacks.
const PARTIAL: &str = "partial";

fn names(sweep: &Sweep<'_>) -> Vec<String> {
    let outer = sweep.outer().map(|(name, _)| name.to_string());
    let partial = sweep.marks_partial().then(|| PARTIAL.to_owned());
    let inner = sweep.variables().iter().map(|name| name.to_string());
    outer.chain(partial).chain(inner).chain(sweep.wanted().iter().map(|total| total.name().to_owned())).collect()
}

/// Rows that are on their way to where they are written.
#[derive(Default)]
struct Block {
    text: Vec<u8>,
    #[cfg(feature = "parquet")]
    pieces: Vec<Kept>,
    found: Found,
}

/// What was found at points.
#[derive(Default)]
struct Found {
    points: u64,
    without: u64,
    first: Option<Problem>,
}

impl Found {
    fn add(&mut self, sweep: &Sweep<'_>, piece: &Piece<'_>) {
        self.points += piece.points as u64;
        let without = piece.block.incomplete() as u64;
        if without > 0 && self.first.is_none() {
            self.first = sweep.problem(piece);
        }
        self.without += without;
    }

    fn and(&mut self, other: &mut Found) {
        self.points += other.points;
        self.without += other.without;
        self.first = self.first.take().or_else(|| other.first.take());
    }
}

/// Writes the rows of a range.
fn written(sweep: &Sweep<'_>, range: Range<u128>, args: &SweepArgs) -> Result<Found, Stop> {
    let file = args.output.output.as_deref();
    let bar = progress(&range, file.is_some());
    let mut found = Found::default();
    let format = match args.format() {
        SweepFormat::Csv => RowFormat::Csv,
        SweepFormat::Json => RowFormat::Json,
        SweepFormat::Jsonl => RowFormat::JsonLines,
        SweepFormat::Parquet => {
            write_to(file, |out| write_parquet(sweep, range, &bar, &mut found, out))?;
            bar.finish_and_clear();
            return Ok(found);
        }
    };
    let rows = Rows::new(format, names(sweep))?;
    write_to(file, |out| write_text(sweep, range, &rows, &bar, &mut found, out))?;
    bar.finish_and_clear();
    Ok(found)
}

fn write_text(
    sweep: &Sweep<'_>,
    range: Range<u128>,
    rows: &Rows,
    bar: &ProgressBar,
    found: &mut Found,
    out: &mut dyn Write,
) -> io::Result<()> {
    out.write_all(&rows.head())?;
    let begin = |block: &mut Block| {
        block.text.clear();
        block.found = Found::default();
    };
    let add = |block: &mut Block, piece: &Piece<'_>| {
        rows.add(piece, &mut block.text);
        block.found.add(sweep, piece);
    };
    sweep.blocks(range, begin, add, |block| {
        if found.points > 0 {
            out.write_all(rows.between())?;
        }
        out.write_all(&block.text)?;
        out.flush()?;
        found.and(&mut block.found);
        bar.set_position(found.points);
        io::Result::Ok(())
    })?;
    out.write_all(rows.foot(found.points > 0))
}

/// A bar on standard error, where a person looks and the rows go elsewhere.
fn progress(range: &Range<u128>, to_file: bool) -> ProgressBar {
    const STYLE: &str = "{bar:30} {percent:>3}%  {human_pos} of {human_len} points, {eta} left";
    const TIMES_A_SECOND: u8 = 10;
    if !io::stderr().is_terminal() || (!to_file && io::stdout().is_terminal()) {
        return ProgressBar::hidden();
    }
    let points = u64::try_from(range.end - range.start).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(points), ProgressDrawTarget::stderr_with_hz(TIMES_A_SECOND));
    match ProgressStyle::with_template(STYLE) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Says at how many points there are no figures, and why at the first.
fn said(found: Found, points: u128, session: &Session, terminal: &Terminal) -> Exit {
    let Some(first) = found.first else { return Exit::Fine };
    let [without, all] = [u128::from(found.without), points].map(units::exact);
    let (of, verb) = if points == 1 { ("point", "has") } else { ("points", if found.without == 1 { "has" } else { "have" }) };
    if u128::from(found.without) == points {
        let help = format!("no point has figures; this is at the first: {}", first.point);
        return terminal
            .report(&session.failed::<()>(Diagnostic { primary: None, secondary: Vec::new(), ..*first.why }.help(help)));
    }
    let message = format!("{without} of {all} {of} {verb} no figures");
    let diagnostic =
        Diagnostic::new(Code::WithoutFigures, message).note(format!("the first is at {}: {}", first.point, first.why.message));
    let diagnostic = first.why.help.iter().fold(diagnostic, |diagnostic, help| diagnostic.help(help));
    terminal.report(&session.said::<()>(Diagnostics::from(diagnostic)))
}

#[cfg(feature = "parquet")]
use parquet::{Kept, write_parquet};

#[cfg(not(feature = "parquet"))]
fn write_parquet(_: &Sweep<'_>, _: Range<u128>, _: &ProgressBar, _: &mut Found, _: &mut dyn Write) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(feature = "parquet")]
mod parquet {
    //! Columns are gathered where the file is written, so blocks go there as they are.

    use std::mem::take;

    use super::*;
    use crate::analysis::sweep;
    use crate::report::{CellKind, ParquetRows};

    /// A piece that outlives its block.
    pub struct Kept {
        outer: Vec<Value>,
        columns: Vec<Option<Vec<u64>>>,
        block: sweep::Block,
        points: usize,
    }

    pub fn write_parquet(
        sweep: &Sweep<'_>,
        range: Range<u128>,
        bar: &ProgressBar,
        found: &mut Found,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut file = ParquetRows::new(columns(sweep))?;
        let begin = |block: &mut Block| *block = Block::default();
        let add = |block: &mut Block, piece: &Piece<'_>| {
            block.found.add(sweep, piece);
            let figures = |column: &sweep::Figures| sweep::Figures { values: column.values.clone(), known: column.known.clone() };
            let kept = sweep::Block { columns: piece.block.columns.iter().map(figures).collect(), problem: None };
            let (outer, columns) = (piece.outer.to_vec(), piece.columns.to_vec());
            block.pieces.push(Kept { outer, columns, block: kept, points: piece.points });
        };
        sweep.blocks(range, begin, add, |block| {
            for Kept { outer, columns, block, points } in take(&mut block.pieces) {
                file.add(&Piece { outer: &outer, columns: &columns, block: &block, points }, out)?;
            }
            found.and(&mut block.found);
            bar.set_position(found.points);
            io::Result::Ok(())
        })?;
        file.finish(out)
    }

    /// The columns, and what holds their values: of the whole sweep, so that its shards are alike.
    fn columns(sweep: &Sweep<'_>) -> Vec<(String, CellKind)> {
        let outer = sweep.outer().map(|(_, values)| match values {
            Values::Numbers(numbers) => of_numbers(Some(numbers.largest())),
            Values::Listed(_) => CellKind::Text,
        });
        let partial = sweep.marks_partial().then_some(CellKind::Text);
        let inner = sweep.variables().iter().map(|name| of_numbers(sweep.largest(name)));
        let corner = sweep.corner();
        let figures = (0..sweep.wanted().len()).map(|at| {
            let largest = corner.as_ref().and_then(|corner| corner.get(at));
            CellKind::of_counts(largest.and_then(|largest| largest.checked_mul(MARGIN)))
        });
        names(sweep).into_iter().zip(outer.chain(partial).chain(inner).chain(figures)).collect()
    }

    /// What is largest in a corner is so for nearly every model; where it is near the limit the wider column is the safe one.
    const MARGIN: u128 = 1 << 10;

    fn of_numbers(largest: Option<u64>) -> CellKind {
        match i64::try_from(largest.unwrap_or(0)) {
            Ok(_) => CellKind::Integer,
            Err(_) => CellKind::Unsigned,
        }
    }
}
