//! Memory as formulas: the peak of a pass or of a training step, what is saved and what is cached, at any workload.
//!
//! The memory walk runs at a point, over formulas beside numbers (`forms`). What it decides there (which values exist, which are views, which sizes
//! are the same) holds in a part of all workloads, a region; in it the peak is the largest of a few formulas. A point in another region is walked
//! when it is first met.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::alike::evaluated;
use super::code::{Program, Room};
use super::forms::{Form, Products, Sizes, Walk};
use super::front::{Points, Space};
use super::poly::Poly;
use super::symbolic::{Symbolic, Unformed, Variable, with_ports};
use crate::cost::bind::bind;
use crate::cost::workload::Workload;
use crate::cost::{cost, ports::Save};
use crate::flow::{Bytes, GradientBytes, Moments, Parts, StepOptions, moments};
use crate::lower::Lowered;
use crate::syntax::diag::Diagnostics;
use crate::syntax::expr::{Exact, Value};

/// The most regions that are walked; beyond, the interpreter answers.
const MOST_REGIONS: usize = 64;

/// The most rows, and the most distinct ones among them, of which moments are formed: what is alive is a sum over all of them.
const MOST_ROWS: usize = 20_000;
const MOST_SIGNATURES: usize = 1_000;

/// What memory comes to at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The most that is alive in the pass, or in the training step.
    pub peak_bytes: u128,
    /// Of it, without what persists.
    pub peak_activation_bytes: u128,
    /// What is saved for the backward pass.
    pub saved_bytes: u128,
    /// What stays in caches.
    pub cache_bytes: u128,
}

/// A training step whose memory is asked for.
#[derive(Debug, Clone)]
pub struct Step {
    /// How it is run.
    pub options: StepOptions,
    /// What is trained.
    pub gradients: GradientBytes,
}

/// A model's memory as formulas.
#[derive(Debug)]
pub struct MemoryProgram {
    lowered: Lowered,
    asked: Workload,
    step: Option<Step>,
    variables: Vec<Variable>,
    /// What tells regions apart.
    key: Program,
    state: Mutex<Formed>,
    regions: RwLock<Regions>,
}

/// A model with its ports as formulas, and what all regions have in common.
#[derive(Debug)]
struct Formed {
    symbolic: Symbolic,
    /// Its sizes, and those that walks have met.
    sizes: Sizes,
    /// Moments as points of it; of no sizes before the first walk.
    space: Space,
}

/// Regions, by what tells them apart.
type Regions = HashMap<Box<[u128]>, Vec<Arc<Region>>>;

/// A part of all workloads.
#[derive(Debug)]
struct Region {
    /// What is saved, what is cached, then the moments of the forward pass with what persists at each, then those of a training step.
    program: Program,
    forward: usize,
    /// Of each moment of the step: constants that are divided over ranks.
    gradients: Vec<u128>,
}

/// Room to ask for a model's memory.
#[derive(Debug, Default)]
pub struct MemoryRoom {
    room: Room,
    key: Vec<u128>,
    out: Vec<u128>,
}

impl MemoryProgram {
    /// The memory of a model, and of a training step if one is asked for. What is asked of it besides numbers is as the workload says.
    ///
    /// # Errors
    /// See [`Unformed`].
    pub fn new(lowered: Lowered, asked: &Workload, step: Option<Step>) -> Result<Self, Unformed> {
        let too_many = || Unformed::NoForm("more layers than moments are formed of: 20,000, or 1,000 that are unlike".to_owned());
        if lowered.flat.rows.len() > MOST_ROWS {
            return Err(too_many());
        }
        let mut symbolic = with_ports(&lowered.flat, lowered.execution, asked)?;
        if symbolic.ports.len() > MOST_SIGNATURES {
            return Err(too_many());
        }
        let key = decided(&mut symbolic).and_then(|key| Program::of_forms(&symbolic, &[], &key));
        let key = key.ok_or(Unformed::NoForm("what decides over memory is beyond what formulas are made of".to_owned()))?;
        let (variables, asked) = (symbolic.variables.clone(), asked.clone());
        let formed = Formed { sizes: Sizes::of(&symbolic), space: Space::default(), symbolic };
        Ok(MemoryProgram { lowered, asked, step, variables, key, state: Mutex::new(formed), regions: RwLock::default() })
    }

    /// What it takes, in order.
    #[must_use]
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// A point, of values by name. `None`: one is missing.
    pub fn point(&self, value: impl Fn(&str) -> Option<u64>) -> Option<Vec<u64>> {
        self.key.point(value)
    }

    /// A variable's value where a point doesn't say it: that of the workload it was made for.
    #[must_use]
    pub fn constant(&self, name: &str) -> Option<u64> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).symbolic.workload.count(name)
    }

    /// How many regions were met.
    #[must_use]
    pub fn regions(&self) -> usize {
        self.regions.read().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum()
    }

    /// The memory at a point. `None`: ask the interpreter, which also says what is wrong.
    pub fn at(&self, point: &[u64], room: &mut MemoryRoom) -> Option<Memory> {
        if !self.key.at(point, &mut room.room, &mut room.key) {
            return None;
        }
        if let Some(found) = self.known(point, room) {
            return Some(found);
        }
        self.trace(point, &room.key)?;
        self.known(point, room)
    }

    /// The memory at a point of a region that was met.
    fn known(&self, point: &[u64], room: &mut MemoryRoom) -> Option<Memory> {
        let regions = self.regions.read().unwrap_or_else(PoisonError::into_inner);
        let MemoryRoom { room, key, out } = room;
        regions.get(key.as_slice())?.iter().find_map(|region| region.memory(point, self.ranks(), room, out))
    }

    /// Over how many ranks gradients are divided.
    fn ranks(&self) -> u128 {
        self.step.as_ref().map_or(1, |step| step.options.ranks.max(1))
    }

    /// The workload of a point.
    fn workload(&self, point: &[u64]) -> Workload {
        let mut workload = self.asked.clone();
        for (variable, value) in self.variables.iter().zip(point) {
            match &*variable.name {
                "batch_size" => workload.batch_size = Some(*value),
                "seq_len" => workload.seq_len = Some(*value),
                "past_len" => workload.past_len = Some(*value),
                _ => workload.settings.push((variable.name.clone(), Value::count(*value))),
            }
        }
        workload
    }

    /// Walks the model at a point and keeps what holds in its region. `None`: something is wrong there, or has no form.
    fn trace(&self, point: &[u64], key: &[u128]) -> Option<()> {
        if self.regions() >= MOST_REGIONS {
            return None;
        }
        let mut said = Diagnostics::default();
        let (flat, execution) = (&self.lowered.flat, self.lowered.execution);
        let bound = bind(flat, execution, &self.workload(point), &mut said);
        if said.has_errors() {
            return None;
        }
        let report = cost(flat, &bound, evaluated(&bound), &mut said);
        if said.has_errors() {
            return None;
        }
        let mut formed = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let walk = Walk { sizes: RefCell::new(std::mem::take(&mut formed.sizes)), ..Walk::default() };
        let step = self.step.as_ref().map(|step| (&step.options, &step.gradients));
        let found = moments(&walk, flat, &bound, &report, step);
        let Walk { sizes, compared, is_broken } = walk;
        formed.sizes = sizes.into_inner();
        // Unknown is not zero, and what doesn't fit has no memory.
        if !found.are_saves_known || !found.fits || is_broken.into_inner() {
            return None;
        }
        let region = region(&mut formed, &compared.into_inner(), &found, self.ranks())?;
        // What is right in the region is what the walk found here.
        let here = walked(&found, self.ranks())?;
        if region.memory(point, self.ranks(), &mut Room::default(), &mut Vec::new()) != Some(here) {
            return None;
        }
        let mut regions = self.regions.write().unwrap_or_else(PoisonError::into_inner);
        regions.entry(key.into()).or_default().push(Arc::new(region));
        Some(())
    }
}

impl Region {
    /// The memory at a point. `None`: it isn't in this region.
    fn memory(&self, point: &[u64], ranks: u128, room: &mut Room, out: &mut Vec<u128>) -> Option<Memory> {
        if !self.program.at(point, room, out) {
            return None;
        }
        let (saved, cache) = (*out.first()?, *out.get(1)?);
        let (forward, step) = out.get(2..)?.split_at_checked(self.forward * 2)?;
        let forward = forward.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)));
        let step = step.iter().zip(&self.gradients).map(|(rest, gradients)| rest.saturating_add(gradients.div_ceil(ranks)));
        memory(forward, step, saved, cache)
    }
}

/// The memory of moments: of a pass, what is alive at each with what of it persists; and of a training step. `None`: of a model in which nothing runs
/// there is no peak.
fn memory(
    forward: impl Iterator<Item = (u128, u128)>,
    step: impl Iterator<Item = u128>,
    saved_bytes: u128,
    cache_bytes: u128,
) -> Option<Memory> {
    // The first of the largest says what persists.
    let first = |best: (u128, u128), next: (u128, u128)| if next.0 > best.0 { next } else { best };
    let step = step.map(|all| (all, 0));
    let (peak_bytes, persists) = forward.chain(step).reduce(first)?;
    Some(Memory { peak_bytes, peak_activation_bytes: peak_bytes.saturating_sub(persists), saved_bytes, cache_bytes })
}

/// The memory that a walk found at its point.
fn walked(found: &Moments<Form>, ranks: u128) -> Option<Memory> {
    let is_step = !found.backward.is_empty();
    let forward = found.forward.iter().map(|(all, persists)| (all.value(), if is_step { 0 } else { persists.value() }));
    let step = found.backward.iter().map(|parts| {
        let rest = parts.saved.value().saturating_add(parts.passing.value());
        rest.saturating_add(parts.gradients.value().div_ceil(ranks))
    });
    memory(forward, step, found.saved.value(), found.cache.value())
}

/// What a walk decides by that a workload may change: conditions of values, and how often layers run.
fn decided(symbolic: &mut Symbolic) -> Option<Vec<Poly>> {
    let mut seen: HashSet<Poly> = HashSet::new();
    let mut found: Vec<Poly> = Vec::new();
    let mut add = |poly: Poly| {
        if poly.as_constant().is_none() && seen.insert(poly.clone()) {
            found.push(poly);
        }
    };
    let Symbolic { ports, rows, atoms, .. } = symbolic;
    for ports in ports.iter() {
        ports.output_forms().flat_map(|(_, truths)| truths).for_each(|truth| add(truth.clone()));
        for save in ports.saves.iter().flatten() {
            let (Save::Input(_, truth) | Save::Output(_, truth) | Save::Own(_, _, truth)) = save;
            add(truth.clone());
        }
        // Whether there are caches of earlier steps.
        add(atoms.equals_zero(&ports.past)?);
    }
    rows.iter().for_each(|row| add(row.calls.clone()));
    Some(found)
}

/// What holds where the walk decides as it did: what it compared, with what came of it.
fn region(formed: &mut Formed, compared: &[(Form, Form, bool)], found: &Moments<Form>, ranks: u128) -> Option<Region> {
    let Formed { symbolic, sizes, space } = formed;
    let mut guards: Vec<Poly> = Vec::new();
    for (a, b, is_same) in compared {
        let difference = sizes.poly(a)?.minus(&sizes.poly(b)?)?;
        let equal = symbolic.atoms.equals_zero(&difference)?;
        let guard = if *is_same { equal } else { Poly::integer(1).minus(&equal)? };
        match guard.as_constant() {
            Some(known) if known == Exact::ONE => {}
            // Decided by sizes that are the same only as numbers: not at all.
            Some(_) => return None,
            None if guards.contains(&guard) => {}
            None => guards.push(guard),
        }
    }
    let products = Products::of(sizes);
    let mut forms = vec![products.poly(&found.saved)?, products.poly(&found.cache)?];
    space.grow(&mut symbolic.atoms, sizes)?;
    let forward = if found.backward.is_empty() { forward(space, &found.forward)? } else { Vec::new() };
    for at in &forward {
        let (all, persists) = found.forward.get(*at)?;
        forms.extend([products.poly(all)?, products.poly(persists)?]);
    }
    let mut gradients = Vec::new();
    for (rest, of_weights) in step(space, found, ranks)? {
        forms.push(products.poly(&rest)?);
        gradients.push(of_weights);
    }
    let program = Program::of_forms(symbolic, &guards, &forms)?;
    Some(Region { program, forward: forward.len(), gradients })
}

/// Which neighbours a moment is compared with before all others: those of the same layer are alike.
const NEAR: std::ops::RangeInclusive<isize> = -16..=16;

/// A moment: what is alive, what of it is divided over ranks, and what persists.
struct Candidate<'m> {
    all: Cow<'m, Form>,
    divided: u128,
    persists: Option<&'m Form>,
}

impl Candidate<'_> {
    /// Whether another is more at every workload. What is less here isn't.
    fn is_covered_by(&self, other: &Candidate<'_>) -> bool {
        let may = other.all.value() >= self.all.value() && other.divided >= self.divided;
        may && other.all.covers(&self.all) && other.all != self.all
    }
}

/// A moment that was looked at. Its terms are hundreds: it is told from others by what they come to, which is known, before they are compared.
#[derive(PartialEq, Eq)]
struct Seen<'m> {
    mark: usize,
    divided: u128,
    all: &'m Form,
}

impl Hash for Seen<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.mark, self.divided, self.all.value()).hash(state);
    }
}

/// Those moments that may be the largest, by their places: the first of the largest says what persists.
fn front(space: &Space, moments: &[Candidate<'_>]) -> Option<Vec<usize>> {
    // What persists beside each, by a number.
    let mut known: HashMap<Option<&Form>, usize> = HashMap::new();
    let mut marked: Vec<(usize, &Candidate<'_>)> = Vec::with_capacity(moments.len());
    for moment in moments {
        let next = known.len();
        marked.push((*known.entry(moment.persists).or_insert(next), moment));
    }
    let mut seen: HashSet<Seen<'_>> = HashSet::new();
    let mut points = Points::default();
    for (at, (mark, moment)) in marked.iter().copied().enumerate() {
        let mut near = NEAR.filter_map(|by| marked.get(at.wrapping_add_signed(by)));
        let is_covered = near.any(|(other, more)| *other == mark && moment.is_covered_by(more));
        if !is_covered && seen.insert(Seen { mark, divided: moment.divided, all: &moment.all }) {
            space.add(&moment.all, moment.divided, (at, mark), &mut points)?;
        }
    }
    Some(space.front(&points))
}

/// Those moments of a forward pass that may be the largest, in their order.
fn forward(space: &Space, moments: &[(Form, Form)]) -> Option<Vec<usize>> {
    let of = moments.iter();
    let all: Vec<Candidate<'_>> =
        of.map(|(all, persists)| Candidate { all: Cow::Borrowed(all), divided: 0, persists: Some(persists) }).collect();
    front(space, &all)
}

/// Those moments of a training step that may be the largest: what is alive, what is divided over ranks apart.
fn step(space: &Space, found: &Moments<Form>, ranks: u128) -> Option<Vec<(Form, u128)>> {
    if found.backward.is_empty() {
        return Some(Vec::new());
    }
    let whole = |parts: &Parts<Form>| {
        let rest = parts.saved.plus(&parts.passing);
        let (all, divided) = if ranks > 1 { (rest, parts.gradients.value()) } else { (rest.plus(&parts.gradients), 0) };
        Candidate { all: Cow::Owned(all), divided, persists: None }
    };
    // What has most is in the backward pass, or nearly always: it comes first.
    let forward = found.forward.iter().map(|(all, _)| Candidate { all: Cow::Borrowed(all), divided: 0, persists: None });
    let all: Vec<Candidate<'_>> = found.backward.iter().map(whole).chain(forward).collect();
    let kept = front(space, &all)?;
    Some(kept.iter().filter_map(|at| all.get(*at)).map(|moment| (moment.all.clone().into_owned(), moment.divided)).collect())
}
