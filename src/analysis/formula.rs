//! A model's totals as formulas, term by term: what each term comes to, its share, the layers that it comes from.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cost::workload::Workload;
use crate::flat::FlatModel;
use crate::lower::Execution;
use crate::program::{Atom, AtomId, Group, Mono, Poly, Regime, Style, Symbolic, Unformed, Writer, symbolic};
use crate::quantity::workload::{Cache, Phase};
use crate::quantity::{BYTES_MOVED, Exact, FLOPS, Quantity, TOTALS, Total, TotalInfo};

/// The formulas of a model in a part of all workloads.
#[derive(Debug)]
pub struct Formulas {
    /// Which part, in words. `None`: all that the phase has.
    pub part: Option<&'static str>,
    /// Variables that have one value in this part.
    pub fixed: Vec<(Arc<str>, u64)>,
    pub(crate) symbolic: Symbolic,
    /// The values of the variables at the workload that was asked for. `None`: it isn't in this part.
    pub(crate) point: Option<Vec<u64>>,
    pub(crate) formulas: Vec<Formula>,
    /// Where each of these in integers is the number behind it, the formulas are right.
    pub(crate) guards: Vec<(Poly, i128)>,
    /// The order of the quantities that were asked for, those of other parts too.
    pub(crate) order: Vec<Total>,
}

/// A total as a formula.
#[derive(Debug)]
pub struct Formula {
    pub info: &'static TotalInfo,
    pub form: Poly,
    /// The same in integers, and by what it is to be divided.
    pub whole: (Poly, i128),
    /// At the workload that was asked for.
    pub value: Option<Exact>,
    pub terms: Vec<Term>,
}

/// Terms that read as one.
#[derive(Debug)]
pub struct Term {
    pub group: Group,
    /// At the workload that was asked for.
    pub value: Option<Exact>,
    /// The positions of the rows that it comes from, the largest first.
    pub rows: Vec<usize>,
}

/// Beyond so many terms a formula with conditions on lengths is written part by part.
const CROWDED: usize = 6;

/// The formulas of some totals. Where conditions on the lengths crowd them, they are told apart: a new prompt, a part of one, a step of decoding.
///
/// # Errors
/// See [`Unformed`].
pub fn formulas(flat: &FlatModel, execution: Execution, asked: &Workload, wanted: &[Total]) -> Result<Vec<Formulas>, Unformed> {
    let past = "past_len".into();
    let bare = symbolic(flat, execution, asked, &Regime::default())?;
    let workload = &bare.workload;
    let without_past = workload.past_len == 0 && (workload.phase == Phase::Train || workload.cache == Cache::Off);
    let whole = if without_past {
        let regime = Regime { fixed: vec![(past, 0)], least: Vec::new() };
        Formulas::new(None, regime.clone(), symbolic(flat, execution, asked, &regime)?, wanted)
    } else {
        Formulas::new(None, Regime::default(), bare, wanted)
    };
    let Some(mut whole) = whole else {
        return Err(Unformed::NoForm("a total is beyond 128 bits, or has more than 4,000 terms".to_owned()));
    };
    let crowded: Vec<Total> = whole
        .formulas
        .iter()
        .filter(|formula| !without_past && whole.is_crowded(formula))
        .map(|formula| formula.info.quantity)
        .collect();
    if crowded.is_empty() {
        return Ok(vec![whole]);
    }
    whole.formulas.retain(|formula| !crowded.contains(&formula.info.quantity));
    let length = |name: &str, value: u64| (Arc::from(name), value);
    let parts = [
        ("a new prompt", vec![length("past_len", 0)], Vec::new()),
        ("a part of a prompt, after others", Vec::new(), vec![length("seq_len", 2), length("past_len", 1)]),
        ("one more token", vec![length("seq_len", 1)], vec![length("past_len", 1)]),
    ];
    let mut pages = vec![whole];
    for (name, fixed, least) in parts {
        let regime = Regime { fixed, least };
        let made = symbolic(flat, execution, asked, &regime)?;
        pages.extend(Formulas::new(Some(name), regime, made, &crowded));
    }
    pages.retain(|page| !page.formulas.is_empty());
    Ok(pages)
}

/// The formulas of some totals over all variables that a program takes.
///
/// # Errors
/// See [`Unformed`].
pub fn open_formulas(flat: &FlatModel, execution: Execution, asked: &Workload, wanted: &[Total]) -> Result<Formulas, Unformed> {
    let whole = symbolic(flat, execution, asked, &Regime::default())?;
    Formulas::new(None, Regime::default(), whole, wanted)
        .ok_or_else(|| Unformed::NoForm("a total is beyond 128 bits, or has more than 4,000 terms".to_owned()))
}

/// The totals that have formulas in a phase: all that are sums of rows.
pub fn formed(phase: Phase) -> impl Iterator<Item = &'static TotalInfo> {
    TOTALS.iter().filter(move |info| info.quantity.is_sum() && (phase == Phase::Train || !info.train_only))
}

impl Formulas {
    fn new(part: Option<&'static str>, regime: Regime, mut symbolic: Symbolic, wanted: &[Total]) -> Option<Self> {
        let point = point(&symbolic, &regime);
        let mut formulas = Vec::with_capacity(wanted.len());
        for info in wanted.iter().filter_map(|total| TOTALS.iter().find(|info| info.quantity == *total)) {
            let form = symbolic.total(info.quantity)?;
            let terms = terms(&mut symbolic, info.quantity, &form, point.as_deref());
            let value = point.as_deref().and_then(|point| symbolic.atoms.value(&form, point));
            formulas.push(Formula { info, whole: form.whole()?, form, value, terms });
        }
        let guards = symbolic.guards.iter().map(Poly::whole).collect::<Option<_>>()?;
        Some(Formulas { guards, part, fixed: regime.fixed, symbolic, point, formulas, order: wanted.to_vec() })
    }

    /// How its formulas are written.
    pub(crate) fn writer(&self, style: Style) -> Writer<'_> {
        Writer { atoms: &self.symbolic.atoms, variables: &self.symbolic.variables, style }
    }

    /// Whether conditions on the lengths make a formula long.
    fn is_crowded(&self, formula: &Formula) -> bool {
        let lengths: Vec<AtomId> = ["seq_len", "past_len"].into_iter().filter_map(|name| self.variable(name)).collect();
        let is_of_lengths = |id: AtomId| match self.symbolic.atoms.atom(id) {
            Some(Atom::AtLeast(form, _) | Atom::Equals(form, _)) => form.atoms().iter().all(|atom| lengths.contains(atom)),
            _ => false,
        };
        let conditions = |term: &Term| term.group.mono.factors().chain(term.group.denied).any(is_of_lengths);
        formula.terms.len() > CROWDED && formula.terms.iter().any(conditions)
    }

    fn variable(&self, name: &str) -> Option<AtomId> {
        let at = self.symbolic.variables.iter().position(|variable| *variable.name == *name)?;
        self.symbolic.atoms.variable(u16::try_from(at).ok()?)?.as_atom()
    }

    /// Whether a formula has a variable.
    pub(crate) fn uses(&self, name: &str) -> bool {
        let forms = self.formulas.iter().map(|formula| &formula.form);
        let mut met = Vec::new();
        forms.flat_map(Poly::atoms).for_each(|id| self.meet(id, &mut met));
        self.variable(name).is_some_and(|variable| met.contains(&variable))
    }

    /// The conditions that stand in its formulas where they hold, and those that stand there where they don't.
    pub(crate) fn conditions(&self) -> [Vec<AtomId>; 2] {
        let groups = || self.formulas.iter().flat_map(|formula| &formula.terms).map(|term| &term.group);
        [groups().flat_map(|group| group.mono.factors()).collect(), groups().filter_map(|group| group.denied).collect()]
    }

    /// The atoms that its formulas have besides variables, those inside of others too, in the order in which they are met.
    pub(crate) fn atoms(&self) -> Vec<AtomId> {
        let mut met = Vec::new();
        for term in self.formulas.iter().flat_map(|formula| &formula.terms) {
            let lengths = term.group.lengths.iter().flatten().copied();
            term.group.mono.factors().chain(term.group.denied).chain(lengths).for_each(|id| self.meet(id, &mut met));
        }
        self.without_variables(met)
    }

    /// The same with those of the conditions under which it is right.
    pub(crate) fn atoms_with_conditions(&self) -> Vec<AtomId> {
        let mut met = self.atoms();
        self.symbolic.guards.iter().flat_map(Poly::atoms).for_each(|id| self.meet(id, &mut met));
        self.without_variables(met)
    }

    fn without_variables(&self, mut atoms: Vec<AtomId>) -> Vec<AtomId> {
        atoms.retain(|id| !matches!(self.symbolic.atoms.atom(*id), Some(Atom::Variable(_))));
        atoms
    }

    fn meet(&self, id: AtomId, met: &mut Vec<AtomId>) {
        let Some(atom) = self.symbolic.atoms.atom(id) else { return };
        if met.contains(&id) {
            return;
        }
        met.push(id);
        let inner: Vec<&Poly> = match atom {
            Atom::Variable(_) => Vec::new(),
            Atom::Min(a, b) | Atom::Quotient(a, b) | Atom::Power(a, b) => vec![a, b],
            Atom::Experts(experts, chosen, tokens) => vec![experts, chosen, tokens],
            Atom::Floor(form, _) | Atom::AtLeast(form, _) | Atom::Equals(form, _) | Atom::Isqrt(form) | Atom::Item(_, form) => {
                vec![form]
            }
        };
        inner.into_iter().flat_map(Poly::atoms).for_each(|id| self.meet(id, met));
    }
}

/// The values of a program's variables at the workload that was asked for. `None`: it is in another part.
fn point(symbolic: &Symbolic, regime: &Regime) -> Option<Vec<u64>> {
    let workload = &symbolic.workload;
    let value = |name: &str| workload.count(name);
    let is_here = regime.fixed.iter().all(|(name, fixed)| value(name) == Some(*fixed));
    let values = symbolic.variables.iter().map(|variable| value(&variable.name).filter(|value| *value >= variable.least));
    values.collect::<Option<Vec<u64>>>().filter(|_| is_here)
}

/// The quantities that a total is the sum of.
fn parts(total: Total) -> Vec<Quantity> {
    match total {
        Total::Of(quantity) => vec![quantity],
        Total::Flops => FLOPS.to_vec(),
        Total::BytesMoved => BYTES_MOVED.to_vec(),
        Total::Macs => vec![Quantity::MatmulFlops],
        Total::Layers | Total::Modules | Total::SavedBytes | Total::PeakBytes | Total::PeakActivationBytes => Vec::new(),
    }
}

fn terms(symbolic: &mut Symbolic, total: Total, form: &Poly, point: Option<&[u64]>) -> Vec<Term> {
    let parts = parts(total);
    // Rows of one signature, called as often, have one form.
    let mut forms: HashMap<(usize, Poly), Option<Poly>> = HashMap::new();
    let mut rows: Vec<(usize, Poly, u128)> = Vec::new();
    for at in 0..symbolic.rows.len() {
        let Some(row) = symbolic.rows.get(at) else { continue };
        let (repeats, signature, is_own) = (row.repeats, row.signature, row.own.is_some());
        let key = (signature, row.calls.clone());
        let known = if is_own { None } else { forms.get(&key).cloned() };
        let form = match known {
            Some(form) => form,
            None => {
                let sum = |symbolic: &mut Symbolic| {
                    parts.iter().try_fold(Poly::default(), |sum, part| sum.plus(&symbolic.of_instance(at, *part)?))
                };
                let made = sum(symbolic);
                if !is_own {
                    forms.insert(key, made.clone());
                }
                made
            }
        };
        rows.extend(form.filter(|form| !form.is_zero()).map(|form| (at, form, repeats)));
    }
    let writer = Writer { atoms: &symbolic.atoms, variables: &symbolic.variables, style: Style::Text };
    // What a term is called: by its factors, whatever its coefficient.
    type Key = (Mono, Option<AtomId>, Option<Vec<AtomId>>);
    let key = |group: &Group| -> Key { (group.mono, group.denied, group.lengths.clone()) };
    let mut by_key: HashMap<Key, Vec<(usize, Exact)>> = HashMap::new();
    let mut by_mono: HashMap<Mono, Vec<(usize, Exact)>> = HashMap::new();
    let mut grouped: HashMap<&Poly, Vec<Group>> = HashMap::new();
    for (at, form, repeats) in &rows {
        let times = |scale: Exact| Exact::from_count(*repeats).and_then(|n| scale.checked_mul(n)).unwrap_or(scale);
        for group in grouped.entry(form).or_insert_with(|| writer.groups(form)).iter() {
            by_key.entry(key(group)).or_default().push((*at, times(group.scale)));
        }
        for (mono, scale) in form.terms() {
            by_mono.entry(*mono).or_default().push((*at, times(*scale)));
        }
    }
    let term = |group: Group| {
        let found = by_key.get(&key(&group)).or_else(|| {
            let last = group.lengths.as_ref().and_then(|lengths| lengths.last().copied()).or(group.denied);
            by_mono.get(&last.map_or(Some(group.mono), |atom| group.mono.times(&Mono::of(atom)))?)
        });
        let mut rows: Vec<(usize, Exact)> = found.cloned().unwrap_or_default();
        rows.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));
        let value = point.and_then(|point| symbolic.atoms.value(&group.poly()?, point));
        Term { group, value, rows: rows.into_iter().map(|(at, _)| at).collect() }
    };
    writer.groups(form).into_iter().map(term).collect()
}
