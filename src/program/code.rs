//! A program: a short list of integer operations that gives all totals of a model at a point.
//!
//! A [`Symbolic`] comes in, a [`Program`] goes out: a slot for 1, one for each variable, one for each atom and each product that is used; sums of slots
//! for the totals and for the guards. At a point it runs in 64-bit integers, checked, else in 128; in columns it runs unchecked where a bound over all
//! points says that nothing can leave its integers.

use std::collections::HashMap;
use std::ops::Range;

use super::atoms::Atom;
use super::lane::Lane;
use super::poly::{AtomId, Mono, Poly};
use super::symbolic::{Symbolic, Variable};
use crate::quantity::Total;
use crate::syntax::expr::Exact;

/// A slot of a program.
type Slot = u32;

/// The slot that is 1.
const ONE: Slot = 0;

/// A sum of slots times coefficients, over a number.
#[derive(Debug, Clone)]
struct Sum {
    terms: Range<usize>,
    denominator: i128,
}

/// What gives a slot its value.
#[derive(Debug, Clone)]
enum Op {
    Product(Slot, Slot),
    Floor(Sum),
    Min(Sum, Sum),
    AtLeast(Sum, i128),
    Equals(Sum, i128),
    Experts(u128, u128, Sum),
    Isqrt(Sum),
}

/// A model's totals as code.
#[derive(Debug, Clone)]
pub struct Program {
    variables: Vec<Variable>,
    /// Of the slots behind those of 1 and the variables.
    ops: Vec<Op>,
    /// Of all sums: slots and coefficients.
    slots: Vec<Slot>,
    coefficients: Vec<i128>,
    /// The same where they fit. Empty: they don't.
    small: Vec<i64>,
    outputs: Vec<(Total, Sum)>,
    guards: Vec<Sum>,
}

/// How many points a column is computed at once.
pub const LANES: usize = 128;

impl Program {
    /// The code of all totals that are sums of rows. `None`: a number is beyond what is computed with.
    pub fn of(symbolic: &mut Symbolic) -> Option<Self> {
        let wanted = symbolic.summed();
        Program::only(symbolic, &wanted)
    }

    /// The code of some totals, and of nothing else. `None`: a number is beyond what is computed with, or one is no sum of rows.
    pub fn only(symbolic: &mut Symbolic, wanted: &[Total]) -> Option<Self> {
        let totals: Option<Vec<(Total, Poly)>> = wanted.iter().map(|total| Some((*total, symbolic.total(*total)?))).collect();
        Compiler::new(symbolic).program(&totals?)
    }

    /// What it takes, in order.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// A point, of values by name. `None`: one is missing.
    pub fn point(&self, value: impl Fn(&str) -> Option<u64>) -> Option<Vec<u64>> {
        self.variables.iter().map(|variable| value(&variable.name)).collect()
    }

    /// What it gives, in order.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = Total> + Clone + '_ {
        self.outputs.iter().map(|(total, _)| *total)
    }

    /// Room to run it.
    pub fn room(&self) -> Room {
        Room { small: Vec::with_capacity(self.num_slots()), large: Vec::with_capacity(self.num_slots()) }
    }

    fn num_slots(&self) -> usize {
        1 + self.variables.len() + self.ops.len()
    }

    /// The totals at a point, in the order of [`Program::outputs`]. `false`: ask the interpreter, which also says what is wrong.
    pub fn at(&self, point: &[u64], room: &mut Room, out: &mut Vec<u128>) -> bool {
        let is_inside = point.len() == self.variables.len()
            && point.iter().zip(&self.variables).all(|(value, variable)| *value >= variable.least);
        if !is_inside {
            return false;
        }
        out.clear();
        let small = (!self.small.is_empty()).then(|| self.run(&self.small, point, &mut room.small, out)).flatten();
        small.is_some() || {
            out.clear();
            self.run(&self.coefficients, point, &mut room.large, out).is_some()
        }
    }

    fn run<N: Lane>(&self, coefficients: &[N], point: &[u64], slots: &mut Vec<N>, out: &mut Vec<u128>) -> Option<()> {
        slots.clear();
        slots.push(N::narrow(1)?);
        for value in point {
            slots.push(N::narrow(i128::from(*value))?);
        }
        for op in &self.ops {
            let sum = |sum: &Sum| self.sum(sum, coefficients, slots);
            let value = match op {
                Op::Product(a, b) => slots.get(*a as usize)?.times(*slots.get(*b as usize)?)?,
                Op::Floor(numerator) => sum(numerator)?.floor_over(N::narrow(numerator.denominator)?)?,
                Op::Min(a, b) => sum(a)?.min(sum(b)?),
                Op::AtLeast(form, threshold) => N::narrow(i128::from(sum(form)?.into() >= *threshold))?,
                Op::Equals(form, value) => N::narrow(i128::from(sum(form)?.into() == *value))?,
                Op::Experts(experts, chosen, tokens) => N::narrow(experts_at(*experts, *chosen, sum(tokens)?.into())?)?,
                Op::Isqrt(form) => N::narrow(isqrt_at(sum(form)?.into())?)?,
            };
            slots.push(value);
        }
        for guard in &self.guards {
            let value: i128 = self.sum(guard, coefficients, slots)?.into();
            if value != guard.denominator {
                return None;
            }
        }
        for (_, form) in &self.outputs {
            let value: i128 = self.sum(form, coefficients, slots)?.into();
            let value = if form.denominator == 1 { value } else { value.checked_div(form.denominator)? };
            out.push(u128::try_from(value).ok()?);
        }
        Some(())
    }

    /// A sum before it is divided.
    fn sum<N: Lane>(&self, sum: &Sum, coefficients: &[N], slots: &[N]) -> Option<N> {
        let terms = self.slots.get(sum.terms.clone())?.iter().zip(coefficients.get(sum.terms.clone())?);
        let mut total = N::narrow(0)?;
        for (slot, coefficient) in terms {
            total = total.plus(slots.get(*slot as usize)?.times(*coefficient)?)?;
        }
        Some(total)
    }

    /// The most that any number in it comes to where no variable is more than so much. `None`: beyond 128 bits.
    fn bound(&self, most: &[u64]) -> Option<u128> {
        let mut slots: Vec<u128> = Vec::with_capacity(self.num_slots());
        let mut worst = 1u128;
        slots.push(1);
        slots.extend(most.iter().map(|value| u128::from(*value)));
        let of = |sum: &Sum, slots: &[u128]| -> Option<u128> {
            let terms = self.slots.get(sum.terms.clone())?.iter().zip(self.coefficients.get(sum.terms.clone())?);
            terms.into_iter().try_fold(0u128, |total, (slot, coefficient)| {
                total.checked_add(slots.get(*slot as usize)?.checked_mul(coefficient.unsigned_abs())?)
            })
        };
        for op in &self.ops {
            let (inside, value) = match op {
                Op::Product(a, b) => {
                    let value = slots.get(*a as usize)?.checked_mul(*slots.get(*b as usize)?)?;
                    (value, value)
                }
                Op::Floor(sum) => {
                    let inside = of(sum, &slots)?;
                    (inside, inside / sum.denominator.unsigned_abs().max(1) + 1)
                }
                Op::Min(a, b) => {
                    let most = of(a, &slots)?.max(of(b, &slots)?);
                    (most, most)
                }
                Op::AtLeast(sum, threshold) | Op::Equals(sum, threshold) => (of(sum, &slots)?.max(threshold.unsigned_abs()), 1),
                Op::Experts(experts, _, sum) => (of(sum, &slots)?, experts.checked_mul(1_000_000)?),
                Op::Isqrt(sum) => (of(sum, &slots)?, of(sum, &slots)?.isqrt()),
            };
            worst = worst.max(inside).max(value);
            slots.push(value);
        }
        let sums = self.guards.iter().chain(self.outputs.iter().map(|(_, sum)| sum));
        sums.into_iter().try_fold(worst, |worst, sum| Some(worst.max(of(sum, &slots)?)))
    }

    /// Ready for points at which no variable is more than so much.
    pub fn columns(&self, most: &[u64]) -> Columns<'_> {
        let bound = self.bound(most);
        let fits = |most: i128| bound.is_some_and(|bound| i128::try_from(bound).is_ok_and(|bound| bound <= most));
        let width = if !self.small.is_empty() && fits(i64::MAX.into()) {
            Width::Small
        } else if fits(i128::MAX) {
            Width::Large
        } else {
            Width::Checked
        };
        Columns {
            program: self,
            most: most.to_vec(),
            width,
            small: Vec::new(),
            large: Vec::new(),
            room: self.room(),
            figures: Vec::new(),
        }
    }
}

/// In which integers columns are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    /// 64 bits, unchecked.
    Small,
    /// 128 bits, unchecked.
    Large,
    /// Point by point.
    Checked,
}

/// Room to run a program at a point.
#[derive(Debug, Default)]
pub struct Room {
    small: Vec<i64>,
    large: Vec<i128>,
}

/// A program that runs at many points at once.
#[derive(Debug)]
pub struct Columns<'p> {
    program: &'p Program,
    /// No variable was said to be more.
    most: Vec<u64>,
    width: Width,
    small: Vec<[i64; LANES]>,
    large: Vec<[i128; LANES]>,
    room: Room,
    figures: Vec<u128>,
}

/// The totals at some points.
#[derive(Debug, Default)]
pub struct Block {
    /// A column for each output of the program.
    pub values: Vec<Vec<u128>>,
    /// Whether the program is right at each point; where it isn't, the interpreter is to be asked.
    pub valid: Vec<bool>,
}

impl Columns<'_> {
    /// The totals at the points whose variables these columns have, all of one length.
    pub fn fill(&mut self, columns: &[Vec<u64>], out: &mut Block) {
        let points = columns.first().map_or(0, Vec::len);
        out.values.resize_with(self.program.outputs.len(), Vec::new);
        out.values.iter_mut().for_each(Vec::clear);
        out.valid.clear();
        let mut from = 0;
        while from < points {
            let to = (from + LANES).min(points);
            let part: Vec<&[u64]> = columns.iter().map(|column| column.get(from..to).unwrap_or_default()).collect();
            // Nothing was shown of points beyond.
            let is_within = part.iter().zip(&self.most).all(|(column, most)| column.iter().all(|value| value <= most));
            let done = match self.width {
                _ if !is_within => None,
                Width::Small => self.program.lanes(&self.program.small, &part, &mut self.small, out),
                Width::Large => self.program.lanes(&self.program.coefficients, &part, &mut self.large, out),
                Width::Checked => None,
            };
            if done.is_none() {
                self.one_by_one(&part, to - from, out);
            }
            from = to;
        }
    }

    fn one_by_one(&mut self, columns: &[&[u64]], points: usize, out: &mut Block) {
        let mut point = Vec::with_capacity(columns.len());
        for at in 0..points {
            point.clear();
            point.extend(columns.iter().filter_map(|column| column.get(at)));
            let valid = self.program.at(&point, &mut self.room, &mut self.figures);
            out.valid.push(valid);
            for (n, column) in out.values.iter_mut().enumerate() {
                column.push(if valid { self.figures.get(n).copied().unwrap_or(0) } else { 0 });
            }
        }
    }
}

impl Program {
    /// Some points at once, in integers that nothing leaves. `None`, with nothing put out: a function has no value at one of them.
    fn lanes<N: Lane>(&self, coefficients: &[N], columns: &[&[u64]], slots: &mut Vec<[N; LANES]>, out: &mut Block) -> Option<()> {
        let zero = N::narrow(0)?;
        let points = columns.first().map_or(0, |column| column.len());
        slots.resize(self.num_slots(), [zero; LANES]);
        let (first, rest) = slots.split_first_mut()?;
        *first = [N::narrow(1)?; LANES];
        let mut inside = [true; LANES];
        for ((slot, column), variable) in rest.iter_mut().zip(columns).zip(&self.variables) {
            for ((cell, value), inside) in slot.iter_mut().zip(*column).zip(&mut inside) {
                *cell = N::narrow(i128::from(*value))?;
                *inside &= *value >= variable.least;
            }
        }
        let (mut scratch, mut other) = ([zero; LANES], [zero; LANES]);
        for (at, op) in (1 + self.variables.len()..).zip(&self.ops) {
            let (known, open) = slots.split_at_mut_checked(at)?;
            let target = open.first_mut()?;
            match op {
                Op::Product(a, b) => {
                    let (a, b) = (known.get(*a as usize)?, known.get(*b as usize)?);
                    target.iter_mut().zip(a).zip(b).for_each(|((cell, a), b)| *cell = a.wrapping_times(*b));
                }
                Op::Floor(sum) => {
                    let denominator = N::narrow(sum.denominator)?;
                    self.lane_sum(sum, coefficients, known, target)?;
                    for cell in &mut *target {
                        *cell = cell.floor_over(denominator)?;
                    }
                }
                Op::Min(a, b) => {
                    self.lane_sum(a, coefficients, known, target)?;
                    self.lane_sum(b, coefficients, known, &mut other)?;
                    target.iter_mut().zip(&other).for_each(|(cell, other)| *cell = (*cell).min(*other));
                }
                Op::AtLeast(sum, threshold) => {
                    let (threshold, one) = (N::narrow(*threshold)?, N::narrow(1)?);
                    self.lane_sum(sum, coefficients, known, &mut scratch)?;
                    let holds = |value: &N| if *value >= threshold { one } else { zero };
                    target.iter_mut().zip(&scratch).for_each(|(cell, value)| *cell = holds(value));
                }
                Op::Equals(sum, wanted) => {
                    let (wanted, one) = (N::narrow(*wanted)?, N::narrow(1)?);
                    self.lane_sum(sum, coefficients, known, &mut scratch)?;
                    let holds = |value: &N| if *value == wanted { one } else { zero };
                    target.iter_mut().zip(&scratch).for_each(|(cell, value)| *cell = holds(value));
                }
                Op::Experts(experts, chosen, sum) => {
                    self.lane_sum(sum, coefficients, known, &mut scratch)?;
                    for (cell, tokens) in target.iter_mut().zip(&scratch).take(points) {
                        *cell = N::narrow(experts_at(*experts, *chosen, (*tokens).into())?)?;
                    }
                }
                Op::Isqrt(sum) => {
                    self.lane_sum(sum, coefficients, known, &mut scratch)?;
                    for (cell, value) in target.iter_mut().zip(&scratch).take(points) {
                        *cell = N::narrow(isqrt_at((*value).into())?)?;
                    }
                }
            }
        }
        for guard in &self.guards {
            let right = N::narrow(guard.denominator)?;
            self.lane_sum(guard, coefficients, slots, &mut scratch)?;
            inside.iter_mut().zip(&scratch).for_each(|(inside, value)| *inside &= *value == right);
        }
        // A total below 0 is none.
        for (_, form) in &self.outputs {
            self.lane_sum(form, coefficients, slots, &mut scratch)?;
            inside.iter_mut().zip(&scratch).for_each(|(inside, value)| *inside &= *value >= zero);
        }
        for ((_, form), column) in self.outputs.iter().zip(&mut out.values) {
            self.lane_sum(form, coefficients, slots, &mut scratch)?;
            let whole = form.denominator == 1;
            let denominator = N::narrow(form.denominator)?;
            let value = |value: &N| if whole { *value } else { value.floor_over(denominator).unwrap_or(zero) };
            column.extend(scratch.iter().take(points).map(|cell| value(cell).magnitude()));
        }
        out.valid.extend(inside.iter().take(points));
        Some(())
    }

    fn lane_sum<N: Lane>(&self, sum: &Sum, coefficients: &[N], slots: &[[N; LANES]], out: &mut [N; LANES]) -> Option<()> {
        *out = [N::narrow(0)?; LANES];
        let terms = self.slots.get(sum.terms.clone())?.iter().zip(coefficients.get(sum.terms.clone())?);
        for (slot, coefficient) in terms {
            let slot = slots.get(*slot as usize)?;
            out.iter_mut().zip(slot).for_each(|(total, value)| *total = total.wrapping_plus(value.wrapping_times(*coefficient)));
        }
        Some(())
    }
}

/// `expected_experts` in millionths: as the interpreter has it.
fn experts_at(experts: u128, chosen: u128, tokens: i128) -> Option<i128> {
    let tokens = u128::try_from(tokens).ok()?;
    i128::try_from(crate::syntax::expr::expected_millionths(experts, chosen, tokens)?).ok()
}

fn isqrt_at(value: i128) -> Option<i128> {
    i128::try_from(u128::try_from(value).ok()?.isqrt()).ok()
}

/// Makes slots for what sums need, each once.
struct Compiler<'s> {
    symbolic: &'s Symbolic,
    atoms: HashMap<AtomId, Slot>,
    products: HashMap<Mono, Slot>,
    program: Program,
}

impl<'s> Compiler<'s> {
    fn new(symbolic: &'s Symbolic) -> Self {
        let program = Program {
            variables: symbolic.variables.clone(),
            ops: Vec::new(),
            slots: Vec::new(),
            coefficients: Vec::new(),
            small: Vec::new(),
            outputs: Vec::new(),
            guards: Vec::new(),
        };
        Compiler { symbolic, atoms: HashMap::new(), products: HashMap::new(), program }
    }

    fn program(mut self, totals: &[(Total, Poly)]) -> Option<Program> {
        for guard in &self.symbolic.guards {
            let sum = self.sum(guard)?;
            self.program.guards.push(sum);
        }
        for (total, form) in totals {
            let sum = self.sum(form)?;
            self.program.outputs.push((*total, sum));
        }
        let small: Option<Vec<i64>> = self.program.coefficients.iter().map(|value| i64::try_from(*value).ok()).collect();
        self.program.small = small.unwrap_or_default();
        Some(self.program)
    }

    fn push(&mut self, op: Op) -> Option<Slot> {
        self.program.ops.push(op);
        Slot::try_from(self.program.num_slots() - 1).ok()
    }

    fn sum(&mut self, form: &Poly) -> Option<Sum> {
        let denominator = form.denominator()?;
        let mut terms = Vec::with_capacity(form.terms().len());
        for (mono, value) in form.terms() {
            let coefficient = value.checked_mul(Exact::integer(denominator))?.to_integer()?;
            terms.push((self.product(mono)?, coefficient));
        }
        let from = self.program.slots.len();
        self.program.slots.extend(terms.iter().map(|(slot, _)| *slot));
        self.program.coefficients.extend(terms.iter().map(|(_, coefficient)| *coefficient));
        Some(Sum { terms: from..self.program.slots.len(), denominator })
    }

    /// The slot of a product: of its last factor and of the product before it.
    fn product(&mut self, mono: &Mono) -> Option<Slot> {
        let Some(last) = mono.factors().last() else { return Some(ONE) };
        if let Some(slot) = self.products.get(mono) {
            return Some(*slot);
        }
        let (rest, factor) = (self.product(&mono.without(last))?, self.atom(last)?);
        let slot = if rest == ONE { factor } else { self.push(Op::Product(rest, factor))? };
        self.products.insert(*mono, slot);
        Some(slot)
    }

    fn atom(&mut self, id: AtomId) -> Option<Slot> {
        if let Some(slot) = self.atoms.get(&id) {
            return Some(*slot);
        }
        let slot = match self.symbolic.atoms.atom(id)? {
            Atom::Variable(at) => Slot::from(*at) + 1,
            Atom::Floor(numerator, denominator) => {
                let sum = Sum { denominator: *denominator, ..self.sum(numerator)? };
                self.push(Op::Floor(sum))?
            }
            Atom::Min(a, b) => {
                let (a, b) = (self.sum(a)?, self.sum(b)?);
                self.push(Op::Min(a, b))?
            }
            Atom::AtLeast(form, threshold) => {
                let form = self.sum(form)?;
                self.push(Op::AtLeast(form, *threshold))?
            }
            Atom::Equals(form, value) => {
                let form = self.sum(form)?;
                self.push(Op::Equals(form, *value))?
            }
            Atom::Experts(experts, chosen, tokens) => {
                let tokens = self.sum(tokens)?;
                self.push(Op::Experts(*experts, *chosen, tokens))?
            }
            Atom::Isqrt(form) => {
                let form = self.sum(form)?;
                self.push(Op::Isqrt(form))?
            }
        };
        self.atoms.insert(id, slot);
        Some(slot)
    }
}
