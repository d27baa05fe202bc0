//! A program at many points at once, in integers that a bound over all of them shows to be wide enough.

use super::atoms::item_at;
use super::code::{ONE, Op, Program, Room, Sum, any_experts_at, isqrt_at, power_at, quotient_at};
use super::lane::Lane;

/// How many points are computed at once.
const LANES: usize = 128;

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

/// Room to run programs at many points at once, used again for the next.
#[derive(Debug, Default)]
pub struct Scratch {
    small: Vec<[i64; LANES]>,
    large: Vec<[i128; LANES]>,
    room: Room,
    figures: Vec<u128>,
}

/// The totals at some points.
#[derive(Debug, Default)]
pub struct Block {
    /// A column for each output of the program.
    pub values: Values,
    /// Whether the program is right at each point; where it isn't, the interpreter is to be asked.
    pub valid: Vec<bool>,
}

/// Columns of one width.
#[derive(Debug)]
pub enum Values {
    /// All of them are below 2^63.
    Small(Vec<Vec<u64>>),
    /// They may be more.
    Large(Vec<Vec<u128>>),
}

impl Default for Values {
    fn default() -> Self {
        Values::Small(Vec::new())
    }
}

impl Block {
    /// An output at a point; 0 where the program isn't right.
    #[must_use]
    pub fn value(&self, output: usize, point: usize) -> Option<u128> {
        match &self.values {
            Values::Small(columns) => columns.get(output)?.get(point).map(|value| u128::from(*value)),
            Values::Large(columns) => columns.get(output)?.get(point).copied(),
        }
    }
}

impl Program {
    /// The totals at the points whose variables these columns have, one column a variable, all of one length.
    pub fn fill(&self, columns: &[Vec<u64>], scratch: &mut Scratch, out: &mut Block) {
        let points = columns.first().map_or(0, Vec::len);
        let most: Vec<u64> = columns.iter().map(|column| column.iter().copied().max().unwrap_or(0)).collect();
        let width = self.width(&most);
        out.valid.clear();
        match (width == Width::Small, &mut out.values) {
            (true, Values::Small(values)) => empty(values, self.outputs.len()),
            (false, Values::Large(values)) => empty(values, self.outputs.len()),
            (true, values) => *values = Values::Small(vec![Vec::new(); self.outputs.len()]),
            (false, values) => *values = Values::Large(vec![Vec::new(); self.outputs.len()]),
        }
        let mut from = 0;
        while from < points {
            let to = (from + LANES).min(points);
            let part: Vec<&[u64]> = columns.iter().map(|column| column.get(from..to).unwrap_or_default()).collect();
            let valid = &mut out.valid;
            let done = match (width, &mut out.values) {
                (Width::Small, Values::Small(values)) => lanes(self, &self.small, &part, &mut scratch.small, values, valid),
                (Width::Large, Values::Large(values)) => {
                    lanes(self, &self.coefficients, &part, &mut scratch.large, values, valid)
                }
                _ => None,
            };
            if done.is_none() {
                self.one_by_one(&part, to - from, scratch, out);
            }
            from = to;
        }
    }

    /// The integers that nothing leaves where no variable is more than so much.
    fn width(&self, most: &[u64]) -> Width {
        let bound = self.bound(most).and_then(|bound| i128::try_from(bound).ok());
        match bound {
            Some(bound) if !self.small.is_empty() && bound <= i128::from(i64::MAX) => Width::Small,
            Some(_) => Width::Large,
            None => Width::Checked,
        }
    }

    fn one_by_one(&self, columns: &[&[u64]], points: usize, scratch: &mut Scratch, out: &mut Block) {
        let mut point = Vec::with_capacity(columns.len());
        for at in 0..points {
            point.clear();
            point.extend(columns.iter().filter_map(|column| column.get(at)));
            let valid = self.at(&point, &mut scratch.room, &mut scratch.figures);
            out.valid.push(valid);
            let figure = |n: usize| if valid { scratch.figures.get(n).copied().unwrap_or(0) } else { 0 };
            match &mut out.values {
                // Of points that are within the bound.
                Values::Small(values) => {
                    values.iter_mut().enumerate().for_each(|(n, column)| column.push(u64::try_from(figure(n)).unwrap_or(0)));
                }
                Values::Large(values) => values.iter_mut().enumerate().for_each(|(n, column)| column.push(figure(n))),
            }
        }
    }
}

/// So many columns with nothing in them.
fn empty<T>(columns: &mut Vec<Vec<T>>, outputs: usize) {
    columns.resize_with(outputs, Vec::new);
    columns.iter_mut().for_each(Vec::clear);
}

/// Some points at once, in integers that nothing leaves. `None`, with nothing put out: a function has no value at one of them.
fn lanes<N: Lane>(
    program: &Program,
    coefficients: &[N],
    columns: &[&[u64]],
    slots: &mut Vec<[N; LANES]>,
    out: &mut [Vec<N::Unsigned>],
    valid: &mut Vec<bool>,
) -> Option<()> {
    let (zero, one) = (N::narrow(0)?, N::narrow(1)?);
    let points = columns.first().map_or(0, |column| column.len());
    slots.resize(program.num_slots(), [zero; LANES]);
    let mut inside = [true; LANES];
    for ((slot, column), variable) in slots.iter_mut().skip(1).zip(columns).zip(&program.variables) {
        for ((cell, value), inside) in slot.iter_mut().zip(*column).zip(&mut inside) {
            *cell = N::of(*value);
            *inside &= *value >= variable.least;
        }
    }
    for (at, op) in (1 + program.variables.len()..).zip(&program.ops) {
        let (known, open) = slots.split_at_mut_checked(at)?;
        compute(program, op, coefficients, known, open.first_mut()?, points)?;
    }
    let sum = |sum: &Sum, slots: &[[N; LANES]], out: &mut [N; LANES]| lane_sum(program, sum, coefficients, slots, out);
    let (mut scratch, mut signs) = ([zero; LANES], [zero; LANES]);
    for guard in &program.guards {
        let right = N::narrow(guard.denominator)?;
        sum(guard, slots, &mut scratch)?;
        inside.iter_mut().zip(&scratch).for_each(|(inside, value)| *inside &= *value == right);
    }
    for ((_, form), column) in program.outputs.iter().zip(out) {
        if let Some(constant) = constant(program, form, coefficients).filter(|value| *value >= zero) {
            column.extend(std::iter::repeat_n(constant.unsigned(), points));
            continue;
        }
        if let ([slot], [coefficient], 1) =
            (program.slots.get(form.terms.clone())?, coefficients.get(form.terms.clone())?, form.denominator)
            && *coefficient == one
        {
            let values = slots.get(*slot as usize)?;
            signs.iter_mut().zip(values).for_each(|(signs, value)| *signs = signs.either(*value));
            column.extend(values.iter().take(points).map(|cell| cell.unsigned()));
            continue;
        }
        sum(form, slots, &mut scratch)?;
        signs.iter_mut().zip(&scratch).for_each(|(signs, value)| *signs = signs.either(*value));
        floors(&mut scratch, form.denominator)?;
        column.extend(scratch.iter().take(points).map(|cell| cell.unsigned()));
    }
    // A total below 0 is none.
    valid.extend(inside.iter().zip(&signs).take(points).map(|(inside, signs)| *inside && *signs >= zero));
    Some(())
}

/// What an operation gives at some points, from the slots before its own.
fn compute<N: Lane>(
    program: &Program,
    op: &Op,
    coefficients: &[N],
    known: &[[N; LANES]],
    target: &mut [N; LANES],
    points: usize,
) -> Option<()> {
    let (zero, one) = (N::narrow(0)?, N::narrow(1)?);
    let sum = |sum: &Sum, slots: &[[N; LANES]], out: &mut [N; LANES]| lane_sum(program, sum, coefficients, slots, out);
    match op {
        Op::Product(a, b) => {
            let (a, b) = (known.get(*a as usize)?, known.get(*b as usize)?);
            target.iter_mut().zip(a).zip(b).for_each(|((cell, a), b)| *cell = a.wrapping_times(*b));
        }
        Op::Total(form) => sum(form, known, target)?,
        Op::Floor(numerator) => {
            sum(numerator, known, target)?;
            floors(target, numerator.denominator)?;
        }
        Op::Quotient(a, b) => {
            sum(a, known, target)?;
            let mut other = [zero; LANES];
            sum(b, known, &mut other)?;
            for (cell, other) in target.iter_mut().zip(&other).take(points) {
                *cell = quotient_at(*cell, *other)?;
            }
        }
        Op::Min(a, b) => {
            sum(a, known, target)?;
            let mut other = [zero; LANES];
            sum(b, known, &mut other)?;
            target.iter_mut().zip(&other).for_each(|(cell, other)| *cell = (*cell).min(*other));
        }
        Op::AtLeast(form, threshold) => {
            let threshold = N::narrow(*threshold)?;
            sum(form, known, target)?;
            target.iter_mut().for_each(|cell| *cell = if *cell >= threshold { one } else { zero });
        }
        Op::Equals(form, wanted) => {
            let wanted = N::narrow(*wanted)?;
            sum(form, known, target)?;
            target.iter_mut().for_each(|cell| *cell = if *cell == wanted { one } else { zero });
        }
        Op::Experts(experts, tokens) => {
            sum(tokens, known, target)?;
            for cell in target.iter_mut().take(points) {
                *cell = N::narrow(experts.at((*cell).into())?)?;
            }
        }
        Op::Isqrt(form) => {
            sum(form, known, target)?;
            for cell in target.iter_mut().take(points) {
                *cell = N::narrow(isqrt_at((*cell).into())?)?;
            }
        }
        Op::AnyExperts(numbers) => {
            let [experts, chosen, tokens] = &**numbers;
            sum(experts, known, target)?;
            let (mut second, mut third) = ([zero; LANES], [zero; LANES]);
            sum(chosen, known, &mut second)?;
            sum(tokens, known, &mut third)?;
            for ((cell, chosen), tokens) in target.iter_mut().zip(&second).zip(&third).take(points) {
                *cell = N::narrow(any_experts_at((*cell).into(), (*chosen).into(), (*tokens).into())?)?;
            }
        }
        Op::Power(base, exponent) => {
            sum(base, known, target)?;
            let mut other = [zero; LANES];
            sum(exponent, known, &mut other)?;
            for (cell, other) in target.iter_mut().zip(&other).take(points) {
                *cell = N::narrow(power_at((*cell).into(), (*other).into())?)?;
            }
        }
        Op::Item(items, at) => {
            sum(at, known, target)?;
            for cell in target.iter_mut().take(points) {
                *cell = N::narrow(item_at(items, (*cell).into())?)?;
            }
        }
    }
    Some(())
}

/// The greatest integers that are no more than each over a positive number.
fn floors<N: Lane>(cells: &mut [N; LANES], denominator: i128) -> Option<()> {
    if denominator == 1 {
        return Some(());
    }
    if denominator.unsigned_abs().is_power_of_two() {
        let bits = denominator.trailing_zeros();
        cells.iter_mut().for_each(|cell| *cell = cell.shifted(bits));
        return Some(());
    }
    let denominator = N::narrow(denominator)?;
    for cell in cells {
        *cell = cell.floor_over(denominator)?;
    }
    Some(())
}

/// What a sum is at every point, if it is the same.
fn constant<N: Lane>(program: &Program, sum: &Sum, coefficients: &[N]) -> Option<N> {
    match (program.slots.get(sum.terms.clone())?, coefficients.get(sum.terms.clone())?) {
        ([ONE], [value]) if sum.denominator == 1 => Some(*value),
        ([], []) => N::narrow(0),
        _ => None,
    }
}

/// A sum before it is divided, at all points.
fn lane_sum<N: Lane>(program: &Program, sum: &Sum, coefficients: &[N], slots: &[[N; LANES]], out: &mut [N; LANES]) -> Option<()> {
    let (zero, one) = (N::narrow(0)?, N::narrow(1)?);
    let terms = program.slots.get(sum.terms.clone())?.iter().zip(coefficients.get(sum.terms.clone())?);
    let mut is_first = true;
    for (slot, coefficient) in terms {
        let values = slots.get(*slot as usize)?;
        let coefficient = *coefficient;
        let pairs = out.iter_mut().zip(values);
        match (*slot == ONE, is_first) {
            (true, true) => *out = [coefficient; LANES],
            (true, false) => out.iter_mut().for_each(|total| *total = total.wrapping_plus(coefficient)),
            (false, true) if coefficient == one => *out = *values,
            (false, true) => pairs.for_each(|(total, value)| *total = value.wrapping_times(coefficient)),
            (false, false) if coefficient == one => pairs.for_each(|(total, value)| *total = total.wrapping_plus(*value)),
            (false, false) => pairs.for_each(|(total, value)| *total = total.wrapping_plus(value.wrapping_times(coefficient))),
        }
        is_first = false;
    }
    if is_first {
        *out = [zero; LANES];
    }
    Some(())
}
