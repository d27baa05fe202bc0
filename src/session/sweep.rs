//! A model at every point of a grid: structural variables, conventions and the workload's variables, each over a list of values.
//!
//! What is asked comes in, blocks of points go out, any range of them, on any number of threads. A structural value makes another model, which
//! is read and flattened when its points are come to.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{Model, Outcome, Settings};
use crate::analysis::axis::{Numbers, Values};
use crate::analysis::sweep::{Block, Compiled, Defaults, Interpreter, POINT_VARIABLES, Piece, Points, WithMemory, nothing_runs};
use crate::catalog::Catalog;
use crate::cost::workload::{RunOptions, Workload};
use crate::lower::{Execution, Lowered};
use crate::quantity::Total;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, Severity};
use crate::syntax::expr::Value;
use crate::syntax::ordered::in_order;

/// How a model is read with settings.
pub type Load<'l> = &'l (dyn Fn(&Settings) -> Outcome<Model> + Sync);

/// What is varied, the outermost first.
#[derive(Debug, Default)]
pub struct Axes {
    /// Variables that make other models.
    pub structure: Vec<(Arc<str>, Values)>,
    /// Options by their names in a workload (`phase`, `kernel`, ...), and variables of the workload that aren't whole numbers.
    pub conventions: Vec<(Arc<str>, Values)>,
    /// Variables of the workload: those of [`POINT_VARIABLES`] first, then others.
    pub numbers: Vec<(Arc<str>, Numbers)>,
}

impl Axes {
    /// How many points there are; `None`: more than 128 bits can count.
    #[must_use]
    pub fn count(&self) -> Option<u128> {
        let outer = self.structure.iter().chain(&self.conventions).map(|(_, values)| values.count());
        let inner = self.numbers.iter().map(|(_, numbers)| numbers.count());
        outer.chain(inner).try_fold(1u128, u128::checked_mul)
    }
}

/// A sweep: what is asked of which model.
pub struct Sweep<'l> {
    load: Load<'l>,
    settings: Settings,
    workload: Workload,
    options: RunOptions,
    axes: Axes,
    wanted: Vec<Total>,
    /// The variables of the workload that have a column, in order.
    variables: Vec<Arc<str>>,
    models: Recent<Result<Model, Box<Diagnostic>>>,
    groups: Recent<Result<Group, Box<Diagnostic>>>,
}

/// Beyond so many points of a sweep the data flow isn't run at each: it takes a thousand times what the totals take.
const MOST_FLOWS: u128 = 4096;

/// A model at fixed conventions.
struct Group {
    points: Box<dyn Points>,
    defaults: Defaults,
    /// What the model lacks, in words; of a whole one nothing.
    lacks: Value,
    /// Who runs the data flow at each point, whose totals alone don't say whether shapes fit. `None`: there are too many, or `points` does.
    flow: Option<Interpreter>,
}

impl Group {
    fn fill(&self, wanted: &[Total], columns: &[Vec<u64>], block: &mut Block) {
        self.points.fill(wanted, columns, block);
        let Some(flow) = &self.flow else { return };
        let points = columns.first().map_or(0, Vec::len);
        for at in 0..points {
            let values: Vec<u64> = columns.iter().filter_map(|column| column.get(at).copied()).collect();
            if let Some(why) = flow.misfit(&values) {
                block.take_away(|point| point == at, &why);
            }
        }
    }
}

/// The first point at which something was wrong.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Its values: `hidden_size 4097, batch_size 1`.
    pub point: String,
    /// What is wrong there.
    pub why: Box<Diagnostic>,
}

/// Room for a block, used again for the next.
#[derive(Debug, Default)]
pub struct Room {
    columns: Vec<Vec<u64>>,
    block: Block,
}

impl<'l> Sweep<'l> {
    /// A sweep of these quantities, in this order.
    #[must_use]
    pub fn new(load: Load<'l>, settings: Settings, asked: (Workload, RunOptions), axes: Axes, wanted: Vec<Total>) -> Self {
        let more = axes.numbers.iter().map(|(name, _)| name).filter(|name| !POINT_VARIABLES.contains(&&***name));
        let variables = POINT_VARIABLES.iter().map(|name| Arc::from(*name)).chain(more.cloned()).collect();
        let (workload, options) = asked;
        let (models, groups) = (Recent::new(), Recent::new());
        Sweep { load, settings, workload, options, axes, wanted, variables, models, groups }
    }

    /// The quantities.
    #[must_use]
    pub fn wanted(&self) -> &[Total] {
        &self.wanted
    }

    /// The structural variables and conventions that have a column, in order, with their values.
    pub fn outer(&self) -> impl Iterator<Item = (&Arc<str>, &Values)> {
        self.axes.structure.iter().chain(&self.axes.conventions).map(|(name, values)| (name, values))
    }

    /// The variables of the workload that have a column, in order.
    #[must_use]
    pub fn variables(&self) -> &[Arc<str>] {
        &self.variables
    }

    /// How many points share all but the workload's variables.
    #[must_use]
    pub fn inner_count(&self) -> u128 {
        self.axes.numbers.iter().map(|(_, numbers)| numbers.count()).fold(1, u128::saturating_mul)
    }

    /// Has a range of the points made, on all cores, block by block: `begin` gets a result ready, which may have been used before, `add` adds a
    /// piece of the block to it, and `take` gets the results in the order of the points. However many there are, few are held at once.
    ///
    /// # Errors
    /// The first of `take`, which ends it.
    pub fn blocks<R: Default + Send, E>(
        &self,
        range: Range<u128>,
        begin: impl Fn(&mut R) + Sync,
        add: impl Fn(&mut R, &Piece<'_>) + Sync,
        take: impl FnMut(&mut R) -> Result<(), E>,
    ) -> Result<(), E> {
        let size = self.block_size();
        let blocks = u64::try_from((range.end - range.start).div_ceil(size)).unwrap_or(u64::MAX);
        let make = |block: u64, room: &mut Room, result: &mut R| {
            begin(result);
            let from = range.start + u128::from(block) * size;
            self.visit(from..(from + size).min(range.end), room, &mut |piece| add(result, piece));
        };
        in_order(blocks, make, take)
    }

    /// How many points are made at once: enough to be worth it, few enough to be seen coming.
    fn block_size(&self) -> u128 {
        const POINTS: u128 = 2048;
        const POINTS_OF_FLOWS: u128 = 256;
        const MODELS: u128 = 16;
        let points = if self.are_sums() { POINTS } else { POINTS_OF_FLOWS };
        self.inner_count().saturating_mul(MODELS).min(points).max(1)
    }

    /// Visits a range of the points, in pieces that share all but the workload's variables; they are in order, the last axis varies fastest.
    pub fn visit(&self, range: Range<u128>, room: &mut Room, visit: &mut dyn FnMut(&Piece<'_>)) {
        let inner = self.inner_count().max(1);
        let mut from = range.start;
        while from < range.end {
            let group = from / inner;
            let to = (group + 1).saturating_mul(inner).min(range.end);
            let outer = self.outer_at(group);
            let start = from % inner;
            self.piece(group, &outer, start..start + (to - from), room, visit);
            from = to;
        }
    }

    /// What is to be said of the sweep as such, before its rows: warnings at the last point of the first model, whose numbers are the largest, and what
    /// the model states of itself and isn't so. What is wrong at a point is the point's.
    #[must_use]
    pub fn remarks(&self) -> Outcome<()> {
        let per_model = self.axes.conventions.iter().map(|(_, values)| values.count()).fold(1, u128::saturating_mul);
        let outer = self.outer_at(0);
        let (structure, _) = outer.split_at_checked(self.axes.structure.len()).unwrap_or((&[], &[]));
        let mut settings = self.settings.clone();
        settings.variables.extend(self.axes.structure.iter().map(|(name, _)| name.clone()).zip(structure.iter().cloned()));
        let last = self.outer_at(per_model.saturating_sub(1));
        let conventions = last.split_at_checked(self.axes.structure.len()).map_or(&[][..], |(_, conventions)| conventions);
        let number = |name: &str| self.numbers(name).and_then(|numbers| numbers.at(numbers.count() - 1));
        let outcome = (self.load)(&settings).and_then(|model| {
            let nothing = |model: &Model| model.outcome(None, Diagnostics::default());
            let Ok((mut workload, execution)) = self.asked(conventions, model.catalog()) else { return nothing(&model) };
            (workload.batch_size, workload.seq_len, workload.past_len) =
                (number("batch_size"), number("seq_len"), number("past_len"));
            let more = self.variables.iter().skip(POINT_VARIABLES.len());
            workload.settings.extend(more.filter_map(|name| Some((name.clone(), Value::count(number(name)?)))));
            model.lowered(&execution).and_then(|lowered| lowered.at(&workload))
        });
        let of_sweep = |said: &&Diagnostic| said.severity == Severity::Warning || said.code == Code::ExpectationFailed;
        // That another model isn't held against what is stated of the published one was asked for.
        let wanted = |said: &&Diagnostic| of_sweep(said) && said.code != Code::ExpectationsSkipped;
        let mut kept = Diagnostics::default();
        kept.extend(outcome.diagnostics.iter().filter(wanted).cloned());
        let checked = self.runs_flows();
        if let Some(why) = outcome.diagnostics.iter().find(|said| said.code == Code::ShapeMismatch).filter(|_| !checked) {
            let message = "of so many points only the last was looked at for shapes that don't fit, and there is one";
            let help = format!("{}: `compile` refuses such a workload, whose totals are written here", why.message);
            kept.push(Diagnostic::new(Code::WithoutFigures, message).help(help));
        }
        Outcome { value: Some(()), diagnostics: kept, source: outcome.source, catalog: outcome.catalog }
    }

    /// The first point of a range at which something is wrong, and what; every figure that is missing has a reason.
    #[must_use]
    pub fn problem(&self, piece: &Piece<'_>) -> Option<Problem> {
        let unknown = || piece.block.columns.iter().filter_map(|column| column.known.iter().position(|known| !known)).min();
        let (at, why) = match &piece.block.problem {
            Some((at, why)) => (*at, why.clone()),
            None => (unknown()?, nothing_runs().boxed()),
        };
        let outer = self.outer().zip(piece.outer).map(|((name, _), value)| format!("{name} {value}"));
        let inner = self.variables.iter().zip(piece.columns).filter_map(|(name, column)| {
            let value = column.as_ref()?.get(at)?;
            Some(format!("{name} {value}"))
        });
        Some(Problem { point: outer.chain(inner).collect::<Vec<_>>().join(", "), why })
    }

    /// Each quantity where every number is largest, the most of all outer values, if those are few: what is likely its largest figure. `None`: it
    /// couldn't be had.
    #[must_use]
    pub fn corner(&self) -> Option<Vec<u128>> {
        const MOST_GROUPS: u128 = 256;
        let groups = self.outer().map(|(_, values)| values.count()).fold(1, u128::saturating_mul);
        if groups > MOST_GROUPS {
            return None;
        }
        let mut largest: Vec<u128> = vec![0; self.wanted.len()];
        for group in 0..groups {
            let group = self.group(group);
            // A model that isn't valid has no figures.
            let Some(Ok(group)) = group.get() else { continue };
            let at = |name: &str| self.numbers(name).map(Numbers::largest);
            let first = group.defaults.at(POINT_VARIABLES.map(at));
            let more = self.variables.iter().skip(POINT_VARIABLES.len()).map(|name| at(name).unwrap_or(0));
            let columns: Vec<Vec<u64>> = first.into_iter().chain(more).map(|value| vec![value]).collect();
            let mut block = Block::default();
            group.fill(&self.wanted, &columns, &mut block);
            if block.incomplete() > 0 {
                return None;
            }
            for (largest, column) in largest.iter_mut().zip(&block.columns) {
                *largest = column.values.first().copied().unwrap_or(0).max(*largest);
            }
        }
        Some(largest)
    }

    /// The largest value of a variable of the workload's column.
    #[must_use]
    pub fn largest(&self, variable: &str) -> Option<u64> {
        self.numbers(variable).map(Numbers::largest)
    }

    fn numbers(&self, variable: &str) -> Option<&Numbers> {
        self.axes.numbers.iter().find(|(name, _)| &**name == variable).map(|(_, numbers)| numbers)
    }

    /// Whether each row says what its model lacks, behind the outer values: models that lack something are taken.
    #[must_use]
    pub fn marks_partial(&self) -> bool {
        self.settings.partial
    }

    /// The outer values of a group, by its number.
    fn outer_at(&self, group: u128) -> Vec<Value> {
        let mut rest = group;
        let all: Vec<&Values> = self.outer().map(|(_, values)| values).collect();
        let mut values: Vec<Value> = all
            .iter()
            .rev()
            .map(|values| {
                let count = values.count().max(1);
                let value = values.at(rest % count).unwrap_or(Value::Null);
                rest /= count;
                value
            })
            .collect();
        values.reverse();
        values
    }

    /// Points of one group.
    fn piece(&self, group: u128, outer: &[Value], range: Range<u128>, room: &mut Room, visit: &mut dyn FnMut(&Piece<'_>)) {
        let points = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let group = self.group(group);
        let group = group.get().map(Result::as_ref);
        let known = self.fill_columns(group.and_then(Result::ok), range.start, points, &mut room.columns);
        match group {
            Some(Ok(group)) => group.fill(&self.wanted, &room.columns, &mut room.block),
            Some(Err(why)) => room.block.without_figures(self.wanted.len(), points, why),
            None => {}
        }
        let columns: Vec<Option<Vec<u64>>> =
            room.columns.iter_mut().zip(known).map(|(column, known)| known.then(|| std::mem::take(column))).collect();
        let mut marked = outer.to_vec();
        if self.marks_partial() {
            marked.push(group.and_then(Result::ok).map_or(Value::Null, |group| group.lacks.clone()));
        }
        visit(&Piece { outer: &marked, columns: &columns, block: &room.block, points });
        for (room, column) in room.columns.iter_mut().zip(columns) {
            *room = column.unwrap_or_default();
        }
    }

    /// The workload's variables at so many points from a place on; whether each is known comes back.
    fn fill_columns(&self, group: Option<&Group>, start: u128, points: usize, columns: &mut Vec<Vec<u64>>) -> Vec<bool> {
        columns.resize_with(self.variables.len(), Vec::new);
        columns.iter_mut().for_each(|column| {
            column.clear();
            column.reserve(points);
        });
        let mut odometer = Odometer::new(self.axes.numbers.iter().map(|(_, numbers)| numbers).collect(), start);
        let places: Vec<Option<usize>> =
            self.variables.iter().map(|variable| self.axes.numbers.iter().position(|(name, _)| name == variable)).collect();
        for _ in 0..points {
            let value = |place: &Option<usize>| place.and_then(|place| odometer.values.get(place).copied());
            let mut given = [None; POINT_VARIABLES.len()];
            given.iter_mut().zip(&places).for_each(|(given, place)| *given = value(place));
            let first = match group {
                Some(group) => group.defaults.at(given),
                None => given.map(Option::unwrap_or_default),
            };
            let more = places.iter().skip(POINT_VARIABLES.len()).map(|place| value(place).unwrap_or(0));
            columns.iter_mut().zip(first.into_iter().chain(more)).for_each(|(column, value)| column.push(value));
            odometer.step();
        }
        places.iter().map(|place| place.is_some() || group.is_some()).collect()
    }

    /// A model at fixed conventions: made once, and kept while its points are come to.
    fn group(&self, number: u128) -> Made<Result<Group, Box<Diagnostic>>> {
        self.groups.get(number, || {
            let outer = self.outer_at(number);
            let (structure, conventions) = outer.split_at_checked(self.axes.structure.len()).unwrap_or((&[], &[]));
            let per_model = self.axes.conventions.iter().map(|(_, values)| values.count()).fold(1, u128::saturating_mul).max(1);
            let model = self.models.get(number / per_model, || self.model(structure, None));
            let model = match model.get() {
                Some(Ok(model)) => model,
                Some(Err(why)) => return Err(why.clone()),
                None => return Err(nothing_runs().boxed()),
            };
            let (workload, execution) = self.asked(conventions, model.catalog())?;
            let outcome = match self.mix(conventions, model.catalog()) {
                // A mix of types makes another model, though it is asked for as a dtype is.
                Some(mix) => self.model(structure, Some(mix))?.lowered(&execution),
                None => model.lowered(&execution),
            };
            let lowered = checked(outcome)?;
            Ok(self.at_conventions(&lowered, &workload))
        })
    }

    fn model(&self, structure: &[Value], mix: Option<Arc<str>>) -> Result<Model, Box<Diagnostic>> {
        let mut settings = self.settings.clone();
        settings.mix = mix.or(settings.mix);
        settings.variables.extend(self.axes.structure.iter().map(|(name, _)| name.clone()).zip(structure.iter().cloned()));
        checked((self.load)(&settings))
    }

    /// The workload at conventions.
    fn asked(&self, conventions: &[Value], catalog: &Catalog) -> Result<(Workload, Execution), Box<Diagnostic>> {
        let names = self.axes.conventions.iter().map(|(name, _)| name.clone());
        let pairs = names.zip(conventions.iter().cloned()).filter(|(name, value)| mix_in(name, value, catalog).is_none());
        let pairs: Vec<(Arc<str>, Value)> = pairs.collect();
        let asked = self.workload.clone().with_pairs(self.options.clone(), &pairs, catalog);
        let (mut workload, options) = asked.map_err(|(name, expected)| {
            Diagnostic::new(Code::InvalidWorkload, format!("`{name}` makes no workload: expected {expected}")).boxed()
        })?;
        let (execution, _) = options.execution(&mut workload, catalog)?;
        Ok((workload, execution))
    }

    /// The mix of types that conventions ask for.
    fn mix(&self, conventions: &[Value], catalog: &Catalog) -> Option<Arc<str>> {
        self.axes.conventions.iter().zip(conventions).find_map(|((name, _), value)| mix_in(name, value, catalog))
    }

    /// What evaluates a model at many points.
    fn at_conventions(&self, lowered: &Lowered, workload: &Workload) -> Group {
        let own = self.variables.get(POINT_VARIABLES.len()..).unwrap_or_default();
        let interpreter = Interpreter::new(lowered, workload, own);
        let defaults = Defaults::of(lowered, workload);
        let model = &lowered.checked.model;
        let lacks = if model.partial.is_empty() { Value::text("") } else { Value::text(&model.without()) };
        if !self.are_sums() {
            // The data flow is run at every point, where these are few.
            let points: Box<dyn Points> = match self.runs_flows() {
                true => Box::new(interpreter),
                false => WithMemory::or_interpreter(interpreter, &self.wanted),
            };
            return Group { defaults, lacks, flow: None, points };
        }
        let flow = self.runs_flows().then(|| Interpreter::new(lowered, workload, own));
        Group { defaults, lacks, flow, points: Compiled::or_interpreter(interpreter, &self.wanted) }
    }

    /// Whether no quantity takes the data flow.
    fn are_sums(&self) -> bool {
        self.wanted.iter().all(|total| total.is_sum())
    }

    /// Whether the data flow is run at every point: of the whole sweep, so that its shards are alike.
    fn runs_flows(&self) -> bool {
        self.axes.count().is_some_and(|points| points <= MOST_FLOWS)
    }
}

/// The mix of types that a weight dtype is; `None`: it is a dtype.
fn mix_in(name: &str, value: &Value, catalog: &Catalog) -> Option<Arc<str>> {
    let Value::Text(text) = value else { return None };
    (name == "weight_dtype" && catalog.dtype(text).is_err() && catalog.mix(text).is_some()).then(|| text.clone())
}

/// The value of an outcome, or the first thing that is wrong.
pub(super) fn checked<T>(outcome: Outcome<T>) -> Result<T, Box<Diagnostic>> {
    match (outcome.diagnostics.first_error(), outcome.value) {
        (None, Some(value)) => Ok(value),
        (Some(why), _) => Err(why.clone().boxed()),
        (None, None) => Err(Diagnostic::new(Code::CannotRead, "the model can't be read").boxed()),
    }
}

/// The values of several axes at a place, and at those behind it.
struct Odometer<'n> {
    axes: Vec<&'n Numbers>,
    places: Vec<u128>,
    values: Vec<u64>,
}

impl<'n> Odometer<'n> {
    fn new(axes: Vec<&'n Numbers>, start: u128) -> Self {
        let mut rest = start;
        let mut places: Vec<u128> = axes
            .iter()
            .rev()
            .map(|axis| {
                let count = axis.count().max(1);
                let place = rest % count;
                rest /= count;
                place
            })
            .collect();
        places.reverse();
        let values = axes.iter().zip(&places).map(|(axis, place)| axis.at(*place).unwrap_or(0)).collect();
        Odometer { axes, places, values }
    }

    /// Goes on to the next point: the last axis varies fastest.
    fn step(&mut self) {
        for ((axis, place), value) in self.axes.iter().zip(&mut self.places).zip(&mut self.values).rev() {
            *place += 1;
            match axis.at(*place) {
                Some(next) => {
                    *value = next;
                    return;
                }
                None => {
                    *place = 0;
                    *value = axis.at(0).unwrap_or(0);
                }
            }
        }
    }
}

/// Something that one thread makes and others wait for.
type Made<T> = Arc<OnceLock<T>>;

/// What was made of late, by number.
struct Recent<T>(Mutex<VecDeque<(u128, Made<T>)>>);

impl<T> Recent<T> {
    /// Threads are at points near each other, so few are asked for at once.
    const MOST: usize = 16;

    fn new() -> Self {
        Recent(Mutex::new(VecDeque::new()))
    }

    fn get(&self, number: u128, make: impl FnOnce() -> T) -> Made<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().find(|(known, _)| *known == number).map(|(_, made)| made.clone());
        let made = known.unwrap_or_else(|| {
            let made = Made::default();
            all.push_back((number, Arc::clone(&made)));
            if all.len() > Self::MOST {
                all.pop_front();
            }
            made
        });
        drop(all);
        made.get_or_init(make);
        made
    }
}
