//! Totals of one model at many points.
//!
//! [`Points`] is the seam: whoever implements it is asked for blocks of points, column by column. [`Interpreter`] does so by evaluating the
//! classes' formulas at each point, [`Compiled`] by a program, which asks the interpreter where it has no answer.

use std::sync::{Arc, Mutex, PoisonError};

use crate::cost::bind::bind;
use crate::cost::workload::Workload;
use crate::evaluation::{Checks, costs, evaluate, figure, saves_are_known};
use crate::lower::Lowered;
use crate::program::{self, MemoryProgram, MemoryRoom, Program, Regime, Scratch, Variable, symbolic};
use crate::quantity::Total;
use crate::quantity::workload::{Phase, VARIABLES};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::Value;
use crate::syntax::stack::deep;

/// The variables of a workload that every point has a value of, in the order of the columns; others come behind them.
pub const POINT_VARIABLES: [&str; 3] = ["batch_size", "seq_len", "past_len"];

/// Totals of one model at fixed conventions, at many points.
pub trait Points: Send + Sync {
    /// Fills `out` with a column for each quantity that is wanted, in that order. `columns` are the values of the workload's variables: first
    /// those of [`POINT_VARIABLES`], then those of the model's own that are varied, one value a point.
    fn fill(&self, wanted: &[Total], columns: &[Vec<u64>], out: &mut Block);
}

/// The figures of a block of points.
#[derive(Debug, Default)]
pub struct Block {
    /// A column for each quantity that was wanted.
    pub columns: Vec<Figures>,
    /// The first point at which something is wrong, and what.
    pub problem: Option<(usize, Box<Diagnostic>)>,
}

/// The figures of a quantity, a point after the other.
#[derive(Debug, Default)]
pub struct Figures {
    /// What they are; where there is none, 0.
    pub values: Vec<u128>,
    /// Where there is one.
    pub known: Vec<bool>,
}

impl Figures {
    fn push(&mut self, figure: Option<u128>) {
        self.values.push(figure.unwrap_or(0));
        self.known.push(figure.is_some());
    }
}

impl Block {
    /// Empties it for other points, with a column for each of so many quantities.
    pub fn clear(&mut self, quantities: usize) {
        self.columns.resize_with(quantities, Figures::default);
        for column in &mut self.columns {
            column.values.clear();
            column.known.clear();
        }
        self.problem = None;
    }

    /// So many points, at none of which there is a figure, and why.
    pub fn without_figures(&mut self, quantities: usize, points: usize, why: &Diagnostic) {
        self.clear(quantities);
        for column in &mut self.columns {
            column.values.resize(points, 0);
            column.known.resize(points, false);
        }
        self.problem = Some((0, why.clone().boxed()));
    }

    /// Takes the figures away of the points that are so, and says why.
    pub fn take_away(&mut self, is_so: impl Fn(usize) -> bool, why: &Diagnostic) {
        let points = self.columns.first().map_or(0, |column| column.known.len());
        let mut first = None;
        for at in (0..points).filter(|at| is_so(*at)) {
            first.get_or_insert(at);
            for column in &mut self.columns {
                column.known.get_mut(at).into_iter().for_each(|known| *known = false);
                column.values.get_mut(at).into_iter().for_each(|value| *value = 0);
            }
        }
        let before = self.problem.as_ref().map_or(usize::MAX, |(at, _)| *at);
        if let Some(at) = first.filter(|at| *at < before) {
            self.problem = Some((at, why.clone().boxed()));
        }
    }

    /// At how many points a figure is missing.
    #[must_use]
    pub fn incomplete(&self) -> usize {
        let points = self.columns.first().map_or(0, |column| column.known.len());
        if self.problem.is_none() && self.columns.iter().all(|column| !column.known.contains(&false)) {
            return 0;
        }
        let missing = |at: &usize| self.columns.iter().any(|column| column.known.get(*at) == Some(&false));
        (0..points).filter(missing).count()
    }
}

/// Points next to each other that share all but the workload's variables.
#[derive(Debug)]
pub struct Piece<'p> {
    /// The values of the structural variables and of the conventions.
    pub outer: &'p [Value],
    /// The values of the workload's variables, a column each; `None`: the model that would say which isn't valid.
    pub columns: &'p [Option<Vec<u64>>],
    /// The figures, a column each.
    pub block: &'p Block,
    /// How many points these are.
    pub points: usize,
}

/// Evaluates the classes' formulas at each point.
#[derive(Debug)]
pub struct Interpreter {
    lowered: Lowered,
    workload: Workload,
    /// What the columns behind the first three are called.
    own: Vec<Arc<str>>,
}

impl Interpreter {
    /// Asks a model at this workload, whose variables of these names are varied besides batch, length and past.
    #[must_use]
    pub fn new(lowered: &Lowered, workload: &Workload, own: &[Arc<str>]) -> Self {
        // Once for all points.
        let lowered = lowered.told_apart(workload.weight_dtypes.iter().map(|(pattern, _)| &**pattern)).into_owned();
        Interpreter { lowered, workload: workload.clone(), own: own.to_vec() }
    }

    /// The figures at a workload.
    ///
    /// # Errors
    /// Something is wrong there.
    pub fn at(&self, wanted: &[Total], workload: &Workload, mut each: impl FnMut(Option<u128>)) -> Result<(), Box<Diagnostic>> {
        let mut said = Diagnostics::default();
        if wanted.iter().all(|total| total.is_sum()) {
            let costs = costs(&self.lowered.flat, self.lowered.execution, workload, &mut said);
            first_error(&said)?;
            wanted.iter().for_each(|total| each(figure(*total, &costs.report, None)));
            return Ok(());
        }
        let found = evaluate(&self.lowered, workload, Checks::Figures, &mut said);
        if let Some(found) = found.as_ref().filter(|found| found.workload().phase == Phase::Train) {
            saves_are_known(&found.flat, &found.flow, &mut said);
        }
        first_error(&said)?;
        let found = found.as_ref();
        wanted.iter().for_each(|total| each(found.and_then(|found| figure(*total, &found.report, Some(&found.flow)))));
        Ok(())
    }
}

impl Interpreter {
    /// What is wrong with the data flow at a point, though every layer has its cost there: totals alone don't show it. A shape that doesn't fit
    /// doesn't fit at any other point of the same kind, with something in the cache or without.
    #[must_use]
    pub fn misfit(&self, values: &[u64]) -> Option<Box<Diagnostic>> {
        let mut workload = self.workload.clone();
        self.set(&mut workload, values.iter().copied());
        deep(|| {
            self.at(&[], &workload, drop).ok()?;
            // A size beyond 128 bits is this point's alone.
            self.at(&[Total::PeakBytes], &workload, drop).err().filter(|why| why.code != Code::Overflow)
        })
    }

    /// The figures at a point, of `workload`, which gets its values; none where something is wrong, which goes to `problem`.
    fn figures(
        &self,
        wanted: &[Total],
        (columns, at): (&[Vec<u64>], usize),
        workload: &mut Workload,
        problem: &mut Option<(usize, Box<Diagnostic>)>,
    ) -> Vec<Option<u128>> {
        self.set(workload, columns.iter().filter_map(|column| column.get(at).copied()));
        let mut found = Vec::with_capacity(wanted.len());
        if let Err(why) = self.at(wanted, workload, |figure| found.push(figure)) {
            problem.get_or_insert((at, why));
            found = vec![None; wanted.len()];
        }
        found
    }

    /// Where the values of a program's variables come from. `None`: not all that is varied is a variable of it.
    fn sources(&self, variables: &[Variable], constant: impl Fn(&str) -> Option<u64>) -> Option<Vec<Source>> {
        let source = |name: &str| {
            if let Some(at) = POINT_VARIABLES.iter().position(|known| *known == name) {
                return Some(Source::Column(at));
            }
            if let Some(at) = self.own.iter().position(|known| **known == *name) {
                return Some(Source::Column(POINT_VARIABLES.len() + at));
            }
            constant(name).map(Source::Constant)
        };
        let sources: Option<Vec<Source>> = variables.iter().map(|variable| source(&variable.name)).collect();
        let sources = sources?;
        let is_taken = |at: usize| sources.iter().any(|source| matches!(source, Source::Column(column) if *column == at));
        let all = (POINT_VARIABLES.len()..POINT_VARIABLES.len() + self.own.len()).all(is_taken);
        all.then_some(sources)
    }

    /// Gives a workload the values of a point.
    fn set(&self, workload: &mut Workload, mut values: impl Iterator<Item = u64>) {
        let mut next = || values.next();
        (workload.batch_size, workload.seq_len, workload.past_len) = (next(), next(), next());
        let own = self.own.iter().zip(values).map(|(name, value)| (name.clone(), Value::count(value)));
        workload.settings.truncate(self.workload.settings.len());
        workload.settings.extend(own);
    }
}

fn first_error(said: &Diagnostics) -> Result<(), Box<Diagnostic>> {
    said.first_error().map_or(Ok(()), |why| Err(why.clone().boxed()))
}

impl Points for Interpreter {
    fn fill(&self, wanted: &[Total], columns: &[Vec<u64>], out: &mut Block) {
        out.clear(wanted.len());
        let points = columns.first().map_or(0, Vec::len);
        let mut workload = self.workload.clone();
        deep(|| {
            for at in 0..points {
                let found = self.figures(wanted, (columns, at), &mut workload, &mut out.problem);
                out.columns.iter_mut().zip(found).for_each(|(column, figure)| column.push(figure));
            }
        });
    }
}

/// A program, and the interpreter for the points that it has no answer for.
pub struct Compiled {
    program: Program,
    /// Where the values of its variables come from.
    sources: Vec<Source>,
    interpreter: Interpreter,
    /// Room that threads use in turn.
    rooms: Mutex<Vec<Scratched>>,
}

/// Where a variable's values come from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Column(usize),
    Constant(u64),
}

/// What a thread needs to run a program.
#[derive(Default)]
struct Scratched {
    columns: Vec<Vec<u64>>,
    scratch: Scratch,
    block: program::Block,
}

impl Compiled {
    /// What evaluates the quantities that are wanted: their program, or where the model has none for them the interpreter itself.
    #[must_use]
    pub fn or_interpreter(interpreter: Interpreter, wanted: &[Total]) -> Box<dyn Points> {
        let Interpreter { lowered, workload, .. } = &interpreter;
        let made = deep(|| {
            let mut symbolic = symbolic(&lowered.flat, lowered.execution, workload, &Regime::default()).ok()?;
            let program = Program::only(&mut symbolic, wanted)?;
            let sources = interpreter.sources(program.variables(), |name| symbolic.workload.count(name))?;
            Some((program, sources))
        });
        match made {
            Some((program, sources)) => Box::new(Compiled { program, sources, interpreter, rooms: Mutex::default() }),
            None => Box::new(interpreter),
        }
    }
}

/// Programs of memory and of totals, and the interpreter for the points that they have no answer for.
pub struct WithMemory {
    memory: MemoryProgram,
    /// Those quantities that are sums, and what evaluates them.
    sums: (Vec<Total>, Box<dyn Points>),
    sources: Vec<Source>,
    interpreter: Interpreter,
    rooms: Mutex<Vec<(MemoryRoom, Block)>>,
}

impl WithMemory {
    /// What evaluates the quantities that are wanted, peaks among them: programs, or where the model has none the interpreter itself.
    #[must_use]
    pub fn or_interpreter(interpreter: Interpreter, wanted: &[Total]) -> Box<dyn Points> {
        let made = deep(|| {
            let memory = MemoryProgram::new(interpreter.lowered.clone(), &interpreter.workload, None).ok()?;
            let sources = interpreter.sources(memory.variables(), |name| memory.constant(name))?;
            Some((memory, sources))
        });
        let Some((memory, sources)) = made else { return Box::new(interpreter) };
        let totals: Vec<Total> = wanted.iter().copied().filter(|total| total.is_sum()).collect();
        let again = Interpreter::new(&interpreter.lowered, &interpreter.workload, &interpreter.own);
        let sums = (totals.clone(), Compiled::or_interpreter(again, &totals));
        Box::new(WithMemory { memory, sums, sources, interpreter, rooms: Mutex::default() })
    }
}

impl Points for WithMemory {
    fn fill(&self, wanted: &[Total], columns: &[Vec<u64>], out: &mut Block) {
        out.clear(wanted.len());
        let rooms = || self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut room, mut sums) = rooms().pop().unwrap_or_default();
        self.sums.1.fill(&self.sums.0, columns, &mut sums);
        let points = columns.first().map_or(0, Vec::len);
        let mut point = Vec::with_capacity(self.sources.len());
        let mut workload = self.interpreter.workload.clone();
        deep(|| {
            for at in 0..points {
                point.clear();
                // A point without one of its values has no answer.
                point.extend(self.sources.iter().filter_map(|source| match source {
                    Source::Column(column) => columns.get(*column)?.get(at).copied(),
                    Source::Constant(value) => Some(*value),
                }));
                let memory = self.memory.at(&point, &mut room);
                let sum = |nth: usize| {
                    let column = sums.columns.get(nth)?;
                    column.values.get(at).copied().filter(|_| column.known.get(at) == Some(&true))
                };
                let are_known = (0..self.sums.0.len()).all(|nth| sum(nth).is_some());
                let found: Vec<Option<u128>> = match memory.filter(|_| are_known) {
                    Some(memory) => {
                        let mut next = 0usize..;
                        let figure = |total: &Total| match total {
                            Total::PeakBytes => Some(memory.peak_bytes),
                            Total::PeakActivationBytes => Some(memory.peak_activation_bytes),
                            Total::SavedBytes => Some(memory.saved_bytes),
                            _ => next.next().and_then(sum),
                        };
                        wanted.iter().map(figure).collect()
                    }
                    None => self.interpreter.figures(wanted, (columns, at), &mut workload, &mut out.problem),
                };
                out.columns.iter_mut().zip(found).for_each(|(column, figure)| column.push(figure));
            }
        });
        rooms().push((room, sums));
    }
}

impl Points for Compiled {
    fn fill(&self, wanted: &[Total], columns: &[Vec<u64>], out: &mut Block) {
        out.clear(wanted.len());
        let points = columns.first().map_or(0, Vec::len);
        let rooms = || self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = rooms().pop().unwrap_or_default();
        room.columns.resize_with(self.sources.len(), Vec::new);
        for (column, source) in room.columns.iter_mut().zip(&self.sources) {
            column.clear();
            match source {
                Source::Column(at) => column.extend(columns.get(*at).into_iter().flatten()),
                Source::Constant(value) => column.resize(points, *value),
            }
        }
        self.program.fill(&room.columns, &mut room.scratch, &mut room.block);
        for (at, figures) in out.columns.iter_mut().enumerate() {
            match &room.block.values {
                program::Values::Small(values) => {
                    figures.values.extend(values.get(at).into_iter().flatten().map(|value| u128::from(*value)));
                }
                program::Values::Large(values) => figures.values.extend(values.get(at).into_iter().flatten()),
            }
            figures.known.extend(&room.block.valid);
        }
        if room.block.valid.contains(&false) {
            self.interpreted(wanted, columns, &room.block.valid, out);
        }
        rooms().push(room);
    }
}

impl Compiled {
    /// Asks the interpreter where the program has no answer.
    fn interpreted(&self, wanted: &[Total], columns: &[Vec<u64>], valid: &[bool], out: &mut Block) {
        let mut workload = self.interpreter.workload.clone();
        deep(|| {
            for (at, _) in valid.iter().enumerate().filter(|(_, valid)| !**valid) {
                let found = self.interpreter.figures(wanted, (columns, at), &mut workload, &mut out.problem);
                for (column, figure) in out.columns.iter_mut().zip(found) {
                    column.values.get_mut(at).into_iter().for_each(|value| *value = figure.unwrap_or(0));
                    column.known.get_mut(at).into_iter().for_each(|known| *known = figure.is_some());
                }
            }
        });
    }
}

/// What a workload has that isn't said of it: the values of [`POINT_VARIABLES`] that `compile` would take.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    batch_size: u64,
    seq_len: u64,
    past_len: u64,
    /// Of a prompt of so many tokens those are cached that aren't new: while decoding.
    prompt: Option<u64>,
}

impl Defaults {
    /// Those of a model at a workload.
    #[must_use]
    pub fn of(lowered: &Lowered, workload: &Workload) -> Self {
        let bound =
            |workload: &Workload| deep(|| bind(&lowered.flat, lowered.execution, workload, &mut Diagnostics::default())).workload;
        let now = bound(workload);
        // One new token leaves all others of the prompt to the past.
        let prompt = (now.phase == Phase::Decode && workload.past_len.is_none())
            .then(|| bound(&Workload { seq_len: Some(1), ..workload.clone() }).past_len.saturating_add(1));
        Defaults { batch_size: now.batch_size, seq_len: now.seq_len, past_len: now.past_len, prompt }
    }

    /// Their values at a point, of which some are given.
    #[must_use]
    pub fn at(&self, [batch_size, seq_len, past_len]: [Option<u64>; 3]) -> [u64; 3] {
        let seq_len = seq_len.unwrap_or(self.seq_len);
        let past = || self.prompt.map_or(self.past_len, |prompt| prompt.saturating_sub(seq_len));
        [batch_size.unwrap_or(self.batch_size), seq_len, past_len.unwrap_or_else(past)]
    }
}

/// Whether a workload variable is a number that a sweep's inner loops run over: sizes of dtypes are conventions.
#[must_use]
pub fn is_varied(name: &str) -> bool {
    name == "logit_len" || VARIABLES.iter().all(|(known, _)| *known != name)
}

/// What to say of a figure that is missing though nothing is wrong: of a model in which nothing runs.
#[must_use]
pub fn nothing_runs() -> Diagnostic {
    Diagnostic::new(Code::InvalidWorkload, "no layer runs, so there is no peak")
}
