//! Bytes as functions of a workload: sums of the sizes that a model's classes say, each so many times.

use std::cell::RefCell;
use std::collections::HashMap;

use super::poly::{Mono, Poly};
use super::symbolic::Symbolic;
use crate::cost::ports::Save;
use crate::flat::RowId;
use crate::flow::{Bytes, Slot, Tally};
use crate::syntax::expr::Exact;

/// A number of bytes, and which sizes it is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Form {
    value: u128,
    /// By size, in ascending order, none of them 0. Size 0 is one byte.
    terms: Vec<(u32, i128)>,
}

impl Form {
    /// Which sizes, how often.
    pub fn terms(&self) -> &[(u32, i128)] {
        &self.terms
    }

    /// Whether it is as much as another or more whatever the sizes are, none of which is negative.
    pub fn covers(&self, other: &Form) -> bool {
        let mut own = self.terms.iter().peekable();
        for (size, wanted) in &other.terms {
            while let Some((_, more)) = own.next_if(|(known, _)| known < size) {
                if *more < 0 {
                    return false;
                }
            }
            let has = own.next_if(|(known, _)| known == size).map_or(0, |(_, has)| *has);
            if has < *wanted {
                return false;
            }
        }
        own.all(|(_, more)| *more >= 0)
    }

    fn combined(&self, other: &Form, sign: i128, value: u128) -> Form {
        let mut terms = Vec::with_capacity(self.terms.len() + other.terms.len());
        let (mut a, mut b) = (self.terms.iter().peekable(), other.terms.iter().peekable());
        loop {
            let next = match (a.peek(), b.peek()) {
                (Some((left, _)), Some((right, _))) => *left.min(right),
                (Some((size, _)), None) | (None, Some((size, _))) => *size,
                (None, None) => break,
            };
            let own = a.next_if(|(size, _)| *size == next).map_or(0, |(_, count)| *count);
            let more = b.next_if(|(size, _)| *size == next).map_or(0, |(_, count)| count.saturating_mul(sign));
            let count = own.saturating_add(more);
            if count != 0 {
                terms.push((next, count));
            }
        }
        Form { value, terms }
    }
}

impl Bytes for Form {
    fn known(value: u128) -> Self {
        let terms = if value == 0 { Vec::new() } else { vec![(0, i128::try_from(value).unwrap_or(i128::MAX))] };
        Form { value, terms }
    }

    fn value(&self) -> u128 {
        self.value
    }

    fn plus(&self, other: &Self) -> Self {
        self.combined(other, 1, self.value.saturating_add(other.value))
    }

    fn less(&self, other: &Self) -> Self {
        self.combined(other, -1, self.value.saturating_sub(other.value))
    }

    fn times(&self, times: u128) -> Self {
        let by = i128::try_from(times).unwrap_or(i128::MAX);
        let terms = self.terms.iter().map(|(size, count)| (*size, count.saturating_mul(by)));
        Form { value: self.value.saturating_mul(times), terms: terms.filter(|(_, count)| *count != 0).collect() }
    }
}

/// The sizes of a model's layers as formulas, each once.
#[derive(Debug, Default)]
pub struct Sizes {
    polys: Vec<Poly>,
    known: HashMap<Poly, u32>,
    /// By signature.
    slots: Vec<HashMap<Slot, u32>>,
    /// By row.
    signatures: Vec<usize>,
}

impl Sizes {
    /// Those of a model that was formed with its ports.
    pub fn of(symbolic: &Symbolic) -> Self {
        let one = Poly::integer(1);
        let mut sizes = Sizes {
            known: HashMap::from([(one.clone(), 0)]),
            polys: vec![one],
            slots: Vec::with_capacity(symbolic.ports.len()),
            signatures: symbolic.rows.iter().map(|row| row.signature).collect(),
        };
        for ports in &symbolic.ports {
            let mut slots = HashMap::new();
            let mut add = |slot: Slot, poly: &Poly| {
                slots.insert(slot, sizes.intern(poly));
            };
            ports.output_forms().enumerate().for_each(|(n, (bytes, _))| add(Slot::Output(n), bytes));
            add(Slot::Workspace, &ports.workspace);
            add(Slot::Past, &ports.past);
            if let Some(backward) = &ports.backward {
                backward.training.iter().for_each(|bytes| add(Slot::Training, bytes));
                backward.cached.iter().for_each(|bytes| add(Slot::Cached, bytes));
                backward.cached_workspace.iter().for_each(|bytes| add(Slot::CachedWorkspace, bytes));
                backward.first.iter().for_each(|bytes| add(Slot::BackwardFirst, bytes));
                backward.workspace.iter().for_each(|bytes| add(Slot::Backward, bytes));
                backward.later.iter().for_each(|bytes| add(Slot::BackwardLater, bytes));
                backward.held.iter().for_each(|bytes| add(Slot::BackwardHeld, bytes));
            }
            for save in ports.saves.iter().flatten() {
                if let Save::Own(at, bytes, _) = save {
                    add(Slot::Own(*at), bytes);
                }
            }
            sizes.slots.push(slots);
        }
        sizes
    }

    /// All of them.
    pub fn polys(&self) -> &[Poly] {
        &self.polys
    }

    fn intern(&mut self, poly: &Poly) -> u32 {
        if let Some(known) = self.known.get(poly) {
            return *known;
        }
        let at = u32::try_from(self.polys.len()).unwrap_or(u32::MAX);
        self.polys.push(poly.clone());
        self.known.insert(poly.clone(), at);
        at
    }

    /// A sum of sizes. `None`: beyond what is computed with.
    pub fn poly(&self, form: &Form) -> Option<Poly> {
        let mut terms: Vec<(Mono, Exact)> = Vec::new();
        for (size, count) in &form.terms {
            terms.extend(self.polys.get(*size as usize)?.times(Exact::integer(*count))?.terms());
        }
        Poly::sum(terms)
    }
}

/// The products that sizes are sums of, in their order, and each size by them: to add up many sums.
#[derive(Debug)]
pub struct Products {
    monos: Vec<Mono>,
    sizes: Vec<Vec<(usize, Exact)>>,
}

impl Products {
    /// Those of these sizes.
    pub fn of(sizes: &Sizes) -> Self {
        let mut monos: Vec<Mono> = sizes.polys.iter().flat_map(|poly| poly.terms().iter().map(|(mono, _)| *mono)).collect();
        monos.sort_unstable();
        monos.dedup();
        let term = |(mono, value): &(Mono, Exact)| Some((monos.binary_search(mono).ok()?, *value));
        let sizes = sizes.polys.iter().map(|poly| poly.terms().iter().filter_map(term).collect()).collect();
        Products { monos, sizes }
    }

    /// A sum of sizes. `None`: beyond what is computed with.
    pub fn poly(&self, form: &Form) -> Option<Poly> {
        let mut sums = vec![Exact::ZERO; self.monos.len()];
        for (size, count) in &form.terms {
            let count = Exact::integer(*count);
            for (at, value) in self.sizes.get(*size as usize)? {
                let sum = sums.get_mut(*at)?;
                *sum = sum.checked_add(value.checked_mul(count)?)?;
            }
        }
        Poly::sum(self.monos.iter().copied().zip(sums).filter(|(_, sum)| !sum.is_zero()).collect())
    }
}

/// What is walked with: the sizes, and what was decided by comparing them.
#[derive(Debug, Default)]
pub struct Walk {
    pub sizes: RefCell<Sizes>,
    /// Pairs of sizes that were compared and aren't the same formula, with whether they are the same number here.
    pub compared: RefCell<Vec<(Form, Form, bool)>>,
    /// Whether something has no form.
    pub is_broken: RefCell<bool>,
}

impl Tally for Walk {
    type Bytes = Form;

    fn bytes(&self, row: RowId, slot: Slot, value: u128) -> Form {
        let sizes = self.sizes.borrow();
        let slots = sizes.signatures.get(row.0 as usize).and_then(|at| sizes.slots.get(*at));
        let Some(size) = slots.and_then(|slots| slots.get(&slot)) else {
            if value > 0 {
                self.is_broken.replace(true);
            }
            return Form::known(value);
        };
        match sizes.polys.get(*size as usize).and_then(Poly::as_constant) {
            Some(_) => Form::known(value),
            None => Form { value, terms: vec![(*size, 1)] },
        }
    }

    fn share(&self, of: &Form, value: u128) -> Form {
        let factor = Exact::from_count(value).zip(Exact::from_count(of.value)).and_then(|(value, all)| value.checked_div(all));
        let poly = self.sizes.borrow().poly(of);
        let Some(poly) = poly.zip(factor).and_then(|(poly, factor)| poly.times(factor)) else {
            self.is_broken.replace(true);
            return Form::known(value);
        };
        match poly.as_constant() {
            Some(constant) => {
                if constant.to_count() != Some(value) {
                    self.is_broken.replace(true);
                }
                Form::known(value)
            }
            None => Form { value, terms: vec![(self.sizes.borrow_mut().intern(&poly), 1)] },
        }
    }

    fn same(&self, a: &Form, b: &Form) -> bool {
        if a.terms == b.terms {
            return true;
        }
        let is_same = a.value == b.value;
        self.compared.borrow_mut().push((a.clone(), b.clone(), is_same));
        is_same
    }

    fn wants_all(&self) -> bool {
        true
    }
}
