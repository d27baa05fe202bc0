//! A program: a short list of integer operations that gives all totals of a model at a point.
//!
//! A [`Symbolic`] comes in, a [`Program`] goes out: a slot for 1, one for each variable, one for each atom and each product that is used; sums of slots
//! for the totals and for the guards. At a point it runs in 64-bit integers, checked, else in 128; in columns it runs unchecked where a bound over all
//! points says that nothing can leave its integers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::atoms::{Atom, Atoms, experts_at, item_at};
use super::experts::Experts;
use super::lane::Lane;
use super::poly::{AtomId, Mono, Poly};
use super::symbolic::{Symbolic, Variable};
use crate::quantity::{BYTES_MOVED, Exact, FLOPS, Figures, Quantity, Total};
use crate::syntax::expr::expected_millionths;

/// A slot of a program.
pub(super) type Slot = u32;

/// The slot that is 1.
pub(super) const ONE: Slot = 0;

/// A sum of slots times coefficients, over a number.
#[derive(Debug, Clone)]
pub(super) struct Sum {
    pub(super) terms: Range<usize>,
    pub(super) denominator: i128,
}

/// What gives a slot its value.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Product(Slot, Slot),
    /// Of a quantity that other totals are made of.
    Total(Sum),
    Floor(Sum),
    Quotient(Sum, Sum),
    Min(Sum, Sum),
    AtLeast(Sum, i128),
    Equals(Sum, i128),
    Experts(Arc<Experts>, Sum),
    /// The same where a workload changes how many there are, or are chosen.
    AnyExperts(Box<[Sum; 3]>),
    Isqrt(Sum),
    Power(Sum, Sum),
    Item(Arc<[i128]>, Sum),
}

/// A model's totals as code.
#[derive(Debug, Clone)]
pub struct Program {
    pub(super) variables: Vec<Variable>,
    /// Of the slots behind those of 1 and the variables.
    pub(super) ops: Vec<Op>,
    /// Of all sums: slots and coefficients.
    pub(super) slots: Vec<Slot>,
    pub(super) coefficients: Vec<i128>,
    /// The same where they fit. Empty: they don't.
    pub(super) small: Vec<i64>,
    pub(super) outputs: Vec<(Total, Sum)>,
    pub(super) guards: Vec<Sum>,
}

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

    /// The code of any formulas, right where all guards are 1: they are given in their order, none of them by a name. `None`: a number is beyond what
    /// is computed with.
    pub fn of_forms(symbolic: &Symbolic, guards: &[Poly], forms: &[Poly]) -> Option<Self> {
        let mut compiler = Compiler::new(symbolic);
        for guard in guards {
            let sum = compiler.sum(guard)?;
            compiler.program.guards.push(sum);
        }
        compiler.program(&unnamed(forms))
    }

    /// The code of formulas over variables of their own, right wherever these are no less than they can be: given in their order, none of them by a
    /// name. `None`: a number is beyond what is computed with.
    pub fn alone(variables: Vec<Variable>, atoms: &Atoms, forms: &[Poly]) -> Option<Self> {
        let nothing = Figures::filled(Poly::default());
        Compiler::over(variables, atoms, &[], &nothing).program(&unnamed(forms))
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

    /// The numbers in it besides coefficients.
    fn numbers(&self) -> impl Iterator<Item = i128> {
        let of_op = |op: &Op| match op {
            Op::Floor(sum) => Some(sum.denominator),
            Op::AtLeast(_, value) | Op::Equals(_, value) => Some(*value),
            Op::Product(..) | Op::Total(_) | Op::Quotient(..) | Op::Min(..) => None,
            // Of the items of a list those that are met are seen to fit.
            Op::Experts(..) | Op::AnyExperts(_) | Op::Isqrt(_) | Op::Power(..) | Op::Item(..) => None,
        };
        let sums = self.guards.iter().chain(self.outputs.iter().map(|(_, sum)| sum));
        self.ops.iter().filter_map(of_op).chain(sums.map(|sum| sum.denominator))
    }

    pub(super) fn num_slots(&self) -> usize {
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
                Op::Total(form) => sum(form)?,
                Op::Floor(numerator) => sum(numerator)?.floor_over(N::narrow(numerator.denominator)?)?,
                Op::Quotient(a, b) => quotient_at(sum(a)?, sum(b)?)?,
                Op::Min(a, b) => sum(a)?.min(sum(b)?),
                Op::AtLeast(form, threshold) => N::narrow(i128::from(sum(form)?.into() >= *threshold))?,
                Op::Equals(form, value) => N::narrow(i128::from(sum(form)?.into() == *value))?,
                Op::Experts(experts, tokens) => N::narrow(experts.at(sum(tokens)?.into())?)?,
                Op::AnyExperts(numbers) => {
                    let [experts, chosen, tokens] = &**numbers;
                    N::narrow(any_experts_at(sum(experts)?.into(), sum(chosen)?.into(), sum(tokens)?.into())?)?
                }
                Op::Isqrt(form) => N::narrow(isqrt_at(sum(form)?.into())?)?,
                Op::Power(base, exponent) => N::narrow(power_at(sum(base)?.into(), sum(exponent)?.into())?)?,
                Op::Item(items, at) => N::narrow(item_at(items, sum(at)?.into())?)?,
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
    pub(super) fn bound(&self, most: &[u64]) -> Option<u128> {
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
                Op::Total(sum) => {
                    let value = of(sum, &slots)?;
                    (value, value)
                }
                Op::Floor(sum) => {
                    let inside = of(sum, &slots)?;
                    (inside, inside / sum.denominator.unsigned_abs().max(1) + 1)
                }
                // What is divided by a positive integer is no more.
                Op::Quotient(a, b) => (of(a, &slots)?.max(of(b, &slots)?), of(a, &slots)?),
                Op::Min(a, b) => {
                    let most = of(a, &slots)?.max(of(b, &slots)?);
                    (most, most)
                }
                Op::AtLeast(sum, threshold) | Op::Equals(sum, threshold) => (of(sum, &slots)?.max(threshold.unsigned_abs()), 1),
                Op::Experts(experts, sum) => (of(sum, &slots)?, experts.most()?),
                Op::AnyExperts(numbers) => {
                    let [experts, chosen, tokens] = &**numbers;
                    let experts = of(experts, &slots)?;
                    (experts.max(of(chosen, &slots)?).max(of(tokens, &slots)?), experts.checked_mul(1_000_000)?)
                }
                Op::Isqrt(sum) => (of(sum, &slots)?, of(sum, &slots)?.isqrt()),
                Op::Power(base, exponent) => {
                    let (base, exponent) = (of(base, &slots)?, of(exponent, &slots)?);
                    let most = if base > 1 { base.checked_pow(u32::try_from(exponent).ok()?)? } else { 1 };
                    (base.max(exponent), most)
                }
                Op::Item(items, at) => (of(at, &slots)?, items.iter().map(|item| item.unsigned_abs()).max()?),
            };
            worst = worst.max(inside).max(value);
            slots.push(value);
        }
        let sums = self.guards.iter().chain(self.outputs.iter().map(|(_, sum)| sum));
        sums.into_iter().try_fold(worst, |worst, sum| Some(worst.max(of(sum, &slots)?)))
    }
}

/// Room to run a program at a point.
#[derive(Debug, Default)]
pub struct Room {
    small: Vec<i64>,
    large: Vec<i128>,
}

pub(super) fn isqrt_at(value: i128) -> Option<i128> {
    i128::try_from(u128::try_from(value).ok()?.isqrt()).ok()
}

/// Whether so many of so many experts can be chosen.
fn is_known_layer(experts: u128, chosen: u128) -> bool {
    expected_millionths(experts, chosen, 0).is_some()
}

/// The greatest integer that is no more than a quotient; 0 where the divisor isn't positive.
pub(super) fn quotient_at<N: Lane>(a: N, b: N) -> Option<N> {
    let zero = N::narrow(0)?;
    if b > zero { a.floor_over(b) } else { Some(zero) }
}

pub(super) fn power_at(base: i128, exponent: i128) -> Option<i128> {
    match exponent {
        0.. => Exact::integer(base).checked_pow(Exact::integer(exponent))?.to_integer(),
        _ => Some(0),
    }
}

pub(super) fn any_experts_at(experts: i128, chosen: i128, tokens: i128) -> Option<i128> {
    i128::try_from(experts_at(experts, chosen, tokens)).ok()
}

/// Formulas that are no total with a name.
fn unnamed(forms: &[Poly]) -> Vec<(Total, Poly)> {
    forms.iter().map(|form| (Total::PeakBytes, form.clone())).collect()
}

/// Makes slots for what sums need, each once.
struct Compiler<'s> {
    known: &'s Atoms,
    guards: &'s [Poly],
    /// The sums of all rows.
    sums: &'s Figures<Poly>,
    atoms: HashMap<AtomId, Slot>,
    products: HashMap<Mono, Slot>,
    quantities: HashMap<Quantity, Slot>,
    program: Program,
}

impl<'s> Compiler<'s> {
    fn new(symbolic: &'s Symbolic) -> Self {
        Compiler::over(symbolic.variables.clone(), &symbolic.atoms, &symbolic.guards, &symbolic.sums)
    }

    fn over(variables: Vec<Variable>, known: &'s Atoms, guards: &'s [Poly], sums: &'s Figures<Poly>) -> Self {
        let program = Program {
            variables,
            ops: Vec::new(),
            slots: Vec::new(),
            coefficients: Vec::new(),
            small: Vec::new(),
            outputs: Vec::new(),
            guards: Vec::new(),
        };
        Compiler { known, guards, sums, atoms: HashMap::new(), products: HashMap::new(), quantities: HashMap::new(), program }
    }

    fn program(mut self, totals: &[(Total, Poly)]) -> Option<Program> {
        for guard in self.guards {
            let sum = self.sum(guard)?;
            self.program.guards.push(sum);
        }
        for (total, form) in totals {
            let sum = match self.of_others(*total, totals) {
                Some(sum) => sum,
                None => self.sum(form)?,
            };
            self.program.outputs.push((*total, sum));
        }
        let fits = |value: i128| i64::try_from(value).ok();
        let small: Option<Vec<i64>> = self.program.coefficients.iter().map(|value| fits(*value)).collect();
        let others = self.program.numbers().all(|value| fits(value).is_some());
        self.program.small = small.filter(|_| others).unwrap_or_default();
        Some(self.program)
    }

    /// A total by the quantities that it is made of, where these are wanted too: no term is multiplied out again. `None`: by its own terms.
    fn of_others(&mut self, total: Total, all: &[(Total, Poly)]) -> Option<Sum> {
        let (parts, denominator): (&[Quantity], i128) = match total {
            Total::Of(ref quantity) => (std::slice::from_ref(quantity), 1),
            Total::Flops => (&FLOPS, 1),
            Total::BytesMoved => (&BYTES_MOVED, 1),
            Total::Macs => (&[Quantity::MatmulFlops], 2),
            _ => return None,
        };
        let form = |part: &Quantity| all.iter().find(|(known, _)| *known == Total::Of(*part)).map(|(_, form)| form);
        // Those of the backward pass aren't there without one.
        let parts: Vec<Quantity> = parts.iter().filter(|part| !self.sums.get(**part).is_zero()).copied().collect();
        let whole =
            |part: &Quantity| form(part).is_some_and(|form| form.as_constant().is_none() && form.denominator() == Some(1));
        if parts.is_empty() || !parts.iter().all(whole) {
            return None;
        }
        let slots: Option<Vec<Slot>> = parts.iter().map(|part| self.quantity(*part)).collect();
        let from = self.program.slots.len();
        for slot in slots? {
            self.program.slots.push(slot);
            self.program.coefficients.push(1);
        }
        Some(Sum { terms: from..self.program.slots.len(), denominator })
    }

    /// The slot of a quantity's total.
    fn quantity(&mut self, quantity: Quantity) -> Option<Slot> {
        if let Some(slot) = self.quantities.get(&quantity) {
            return Some(*slot);
        }
        let sums = self.sums;
        let sum = self.sum(sums.get(quantity))?;
        let slot = self.push(Op::Total(sum))?;
        self.quantities.insert(quantity, slot);
        Some(slot)
    }

    fn push(&mut self, op: Op) -> Option<Slot> {
        self.program.ops.push(op);
        Slot::try_from(self.program.num_slots() - 1).ok()
    }

    fn sum(&mut self, form: &Poly) -> Option<Sum> {
        let (form, denominator) = form.whole()?;
        let mut terms = Vec::with_capacity(form.terms().len());
        for (mono, value) in form.terms() {
            terms.push((self.product(mono)?, value.to_integer()?));
        }
        let from = self.program.slots.len();
        self.program.slots.extend(terms.iter().map(|(slot, _)| *slot));
        self.program.coefficients.extend(terms.iter().map(|(_, coefficient)| *coefficient));
        Some(Sum { terms: from..self.program.slots.len(), denominator })
    }

    /// The sum that an integer is, divided already.
    fn integer(&mut self, form: &Poly) -> Option<Sum> {
        let sum = self.sum(form)?;
        if sum.denominator == 1 {
            return Some(sum);
        }
        let slot = self.push(Op::Floor(sum))?;
        let from = self.program.slots.len();
        self.program.slots.push(slot);
        self.program.coefficients.push(1);
        Some(Sum { terms: from..self.program.slots.len(), denominator: 1 })
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
        let slot = match self.known.atom(id)? {
            Atom::Variable(at) => Slot::from(*at) + 1,
            Atom::Floor(numerator, denominator) => {
                let sum = Sum { denominator: *denominator, ..self.sum(numerator)? };
                self.push(Op::Floor(sum))?
            }
            Atom::Quotient(a, b) => {
                let (a, b) = (self.integer(a)?, self.integer(b)?);
                self.push(Op::Quotient(a, b))?
            }
            Atom::Min(a, b) => {
                let (a, b) = (self.integer(a)?, self.integer(b)?);
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
                let known = |form: &Poly| form.as_constant().and_then(|n| n.to_count());
                match known(experts).zip(known(chosen)).filter(|(experts, chosen)| is_known_layer(*experts, *chosen)) {
                    Some((experts, chosen)) => {
                        let tokens = self.integer(tokens)?;
                        self.push(Op::Experts(Arc::new(Experts::new(experts, chosen)), tokens))?
                    }
                    None => {
                        let numbers = [self.integer(experts)?, self.integer(chosen)?, self.integer(tokens)?];
                        self.push(Op::AnyExperts(Box::new(numbers)))?
                    }
                }
            }
            Atom::Isqrt(form) => {
                let form = self.integer(form)?;
                self.push(Op::Isqrt(form))?
            }
            Atom::Power(base, exponent) => {
                let (base, exponent) = (self.integer(base)?, self.integer(exponent)?);
                self.push(Op::Power(base, exponent))?
            }
            Atom::Item(items, at) => {
                let at = self.integer(at)?;
                self.push(Op::Item(items.clone(), at))?
            }
        };
        self.atoms.insert(id, slot);
        Some(slot)
    }
}
