//! A flat model as formulas: what each of its layers costs, and all of them, as polynomials over the workload's variables.
//!
//! A [`FlatModel`] and what is asked of it come in, a [`Symbolic`] goes out: bound and costed by the same code as a single workload is
//! (`cost::bind`, `cost::evaluate`), in the domain of polynomials. Conventions and dtypes are folded in.

use std::borrow::Cow;
use std::sync::Arc;

use super::atoms::Atoms;
use super::domain::{State, Symbol, Symbols};
use super::poly::{Mono, Poly};
use crate::cost::bind::{BoundModel, BoundRow, bind, bind_in};
use crate::cost::counting::Counting;
use crate::cost::ports::PortsIn;
use crate::cost::workload::{CompleteWorkload, Workload};
use crate::cost::{Tensor, evaluate_in, share_of, tied_elsewhere};
use crate::flat::FlatModel;
use crate::language::{Argument, Binding};
use crate::lower::Execution;
use crate::quantity::workload::{Cache, Logits, Phase, VARIABLES, WorkloadVar};
use crate::quantity::{BYTES_MOVED, FLOPS, Figures, Fold, QUANTITIES, Quantity, TOTALS, Total, TotalInfo};
use crate::syntax::diag::Diagnostics;
use crate::syntax::expr::{BinaryOp, Domain, EvalError, Exact, Value, eval_in};

/// The workload variables that a program takes besides the model's own, each with its least value.
const TAKEN: [(&str, u64); 3] = [("batch_size", 1), ("seq_len", 1), ("past_len", 0)];

/// A variable of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// As the workload has it.
    pub name: Arc<str>,
    /// The least value for which the program is right.
    pub least: u64,
}

/// A part of all workloads: variables that have one value there, and variables that are at least so much.
#[derive(Debug, Clone, Default)]
pub struct Regime {
    /// The names of variables, and their values.
    pub fixed: Vec<(Arc<str>, u64)>,
    /// The names of variables, and their least values.
    pub least: Vec<(Arc<str>, u64)>,
}

/// A row, as often as it runs.
#[derive(Debug)]
pub struct SymbolicRow {
    pub signature: usize,
    pub repeats: u128,
    /// How often each instance runs.
    pub calls: Poly,
    /// Its own figures, where weights of it count elsewhere.
    pub own: Option<Box<Sparse>>,
}

/// A model as formulas.
#[derive(Debug)]
pub struct Symbolic {
    pub variables: Vec<Variable>,
    pub workload: CompleteWorkload,
    pub atoms: Atoms,
    /// Each is 1 where the formulas are right.
    pub guards: Vec<Poly>,
    /// Of one layer, run once.
    pub signatures: Vec<Sparse>,
    /// What layers take, give, need and keep; empty where that wasn't asked for.
    pub ports: Vec<PortsIn<Symbols>>,
    pub rows: Vec<SymbolicRow>,
    pub sums: Figures<Poly>,
    /// Basic layers, and how many of them are modules.
    pub layers: u128,
    pub modules: u128,
}

/// Figures of which most are nothing.
#[derive(Debug, Clone, Default)]
pub struct Sparse(Box<[(Quantity, Poly)]>);

impl From<Figures<Poly>> for Sparse {
    fn from(figures: Figures<Poly>) -> Self {
        let something = figures.iter().filter(|(_, figure)| !figure.is_zero());
        Sparse(something.map(|(info, figure)| (info.quantity, figure.clone())).collect())
    }
}

impl Sparse {
    /// That of a quantity. `None`: nothing.
    pub fn get(&self, quantity: Quantity) -> Option<&Poly> {
        self.0.iter().find(|(known, _)| *known == quantity).map(|(_, figure)| figure)
    }
}

/// What a signature costs, as far as totals ask.
struct Costs {
    figures: Sparse,
    /// Its weights, where some rows of the model share theirs.
    tensors: Vec<Tensor<Poly>>,
}

/// Why a model has no formulas.
#[derive(Debug)]
pub enum Unformed {
    /// Something is wrong with it, or with what is asked.
    Wrong(Diagnostics),
    /// Something of it is beyond what formulas are made of, which this says: the interpreter answers for it.
    NoForm(String),
}

/// The formulas of a model.
///
/// # Errors
/// See [`Unformed`].
pub fn symbolic(flat: &FlatModel, execution: Execution, asked: &Workload, regime: &Regime) -> Result<Symbolic, Unformed> {
    formed(flat, execution, asked, regime, false)
}

/// The same with what its layers take, give, need and keep.
///
/// # Errors
/// See [`Unformed`].
pub fn with_ports(flat: &FlatModel, execution: Execution, asked: &Workload) -> Result<Symbolic, Unformed> {
    formed(flat, execution, asked, &Regime::default(), true)
}

fn formed(
    flat: &FlatModel,
    execution: Execution,
    asked: &Workload,
    regime: &Regime,
    keeps_ports: bool,
) -> Result<Symbolic, Unformed> {
    let mut diagnostics = Diagnostics::default();
    // Of a single workload only what isn't a variable is asked for.
    let BoundModel { workload: complete, builtins: plain, .. } = bind(flat, execution, asked, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(Unformed::Wrong(diagnostics));
    }
    let space = Space::new(flat, asked, &complete, regime);
    let symbols = Symbols::new(&space.variables.iter().map(|variable| i128::from(variable.least)).collect::<Vec<_>>());
    let no_form = |otherwise: &str| Unformed::NoForm(symbols.without_form().unwrap_or_else(|| otherwise.to_owned()));
    let values =
        space.values(&symbols, flat, asked, &plain).ok_or_else(|| no_form("a workload variable is wrong at every workload"))?;
    space.guards(&symbols, &values, &complete);
    let conventions = plain.iter().skip(VARIABLES.len()).map(|value| symbols.constant(value));
    let builtins: Vec<Symbol> = values.iter().take(VARIABLES.len()).cloned().chain(conventions).collect();
    let (signatures, bound) = bind_in(&symbols, flat, asked, &complete, values, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(no_form("a parameter is wrong at every workload"));
    }
    let phase = complete.phase;
    let any_tied = flat.rows.iter().any(|info| !info.row.tied.is_empty());
    let mut costed: Vec<Costs> = Vec::with_capacity(signatures.len());
    let mut ports = Vec::new();
    for signature in &signatures {
        let made = evaluate_in(&symbols, signature, &builtins, phase).map_err(|problem| no_form(problem.message()))?;
        // Their shapes aren't asked for, and there may be many.
        let tensors = if any_tied { made.tensors } else { Vec::new() };
        if keeps_ports {
            ports.push(made.ports);
        }
        costed.push(Costs { figures: Sparse::from(made.figures), tensors });
    }
    drop(signatures);
    let rows =
        rows(&symbols, flat, &bound, &costed, &mut diagnostics).ok_or_else(|| no_form("tied weights whose shapes differ"))?;
    let signatures: Vec<Sparse> = costed.into_iter().map(|costed| costed.figures).collect();
    let sums = sums(&symbols, &rows, &signatures).ok_or_else(|| no_form("a total is beyond 128 bits, or has too many terms"))?;
    let (layers, modules) = flat.counts().ok_or(Unformed::NoForm("layers beyond 2^128".to_owned()))?;
    drop(builtins);
    if let Some(what) = symbols.without_form() {
        return Err(Unformed::NoForm(what));
    }
    let State { atoms, guards, .. } = symbols.into_state();
    if guards.iter().any(Poly::is_zero) {
        return Err(Unformed::NoForm("something that is wrong at every workload".to_owned()));
    }
    let (variables, workload) = (space.variables, complete);
    Ok(Symbolic { variables, workload, atoms, guards, signatures, ports, rows, sums, layers, modules })
}

impl Symbolic {
    /// All totals that are sums of rows, in the order of every output.
    pub fn summed(&self) -> Vec<Total> {
        let trains = self.workload.phase == Phase::Train;
        let is_here = |info: &&TotalInfo| info.quantity.is_sum() && (trains || !info.train_only);
        TOTALS.iter().filter(is_here).map(|info| info.quantity).collect()
    }

    /// A total. `None`: it is no sum of rows, or beyond what is computed with.
    pub fn total(&mut self, total: Total) -> Option<Poly> {
        let known = |count: u128| Exact::from_count(count).map(Poly::constant);
        let sum = |parts: &[Quantity]| parts.iter().try_fold(Poly::default(), |sum, part| sum.plus(self.sums.get(*part)));
        match total {
            Total::Of(quantity) => Some(self.sums.get(quantity).clone()),
            Total::Layers => known(self.layers),
            Total::Modules => known(self.modules),
            Total::Flops => sum(&FLOPS),
            Total::BytesMoved => sum(&BYTES_MOVED),
            Total::Macs => {
                let half = self.sums.get(Quantity::MatmulFlops).times(Exact::ratio(1, 2)?)?;
                self.atoms.floor(&half)
            }
            Total::SavedBytes | Total::PeakBytes | Total::PeakActivationBytes => None,
        }
    }

    /// What an instance of a row has of a quantity, all of its calls. `None`: there is no such row, or it is beyond what is computed with.
    pub fn of_instance(&mut self, row: usize, quantity: Quantity) -> Option<Poly> {
        let row = self.rows.get(row)?;
        let figures = row.own.as_deref().or_else(|| self.signatures.get(row.signature))?;
        let Some(figure) = figures.get(quantity) else { return Some(Poly::default()) };
        match fold(quantity) {
            Fold::Run => self.atoms.product(figure, &row.calls),
            Fold::Module | Fold::Peak => Some(figure.clone()),
        }
    }
}

fn fold(quantity: Quantity) -> Fold {
    QUANTITIES.get(quantity as usize).map_or(Fold::Peak, |info| info.fold)
}

/// Which variables a program has, and which values the others.
struct Space<'r> {
    variables: Vec<Variable>,
    regime: &'r Regime,
    /// How many positions' logits are computed, where that isn't their number in the sequence.
    logit_len: Option<u64>,
}

impl<'r> Space<'r> {
    fn new(flat: &FlatModel, asked: &Workload, workload: &CompleteWorkload, regime: &'r Regime) -> Self {
        let is_fixed = |name: &str| regime.fixed.iter().any(|(fixed, _)| **fixed == *name);
        let least = |name: &str, least: u64| {
            regime.least.iter().find(|(known, _)| **known == *name).map_or(least, |(_, more)| least.max(*more))
        };
        let own = flat.workload.iter().filter(|(name, argument)| is_free(name, argument, asked)).map(|(name, _)| (&**name, 0));
        let names = TAKEN.into_iter().chain(own).filter(|(name, _)| !is_fixed(name));
        let variables = names.map(|(name, from)| Variable { name: name.into(), least: least(name, from) }).collect();
        let stated = asked.settings.iter().any(|(name, _)| &**name == "logit_len")
            || asked.logits.is_none() && flat.workload.iter().any(|(name, _)| &**name == "logit_len");
        let logit_len = if stated { Some(workload.logit_len) } else { (workload.logits == Logits::Last).then_some(1) };
        Space { variables, regime, logit_len }
    }

    /// A variable's value: itself, or the one that it has in this regime. `None`: it isn't taken.
    fn taken(&self, symbols: &Symbols, name: &str) -> Option<Symbol> {
        if let Some((_, value)) = self.regime.fixed.iter().find(|(fixed, _)| **fixed == *name) {
            return Some(Symbol::Plain(Value::count(*value)));
        }
        let at = self.variables.iter().position(|variable| *variable.name == *name)?;
        u16::try_from(at).ok().map(|at| symbols.variable(at))
    }

    /// The values of all workload variables, built-in ones first. `None`: one has no form.
    fn values(&self, symbols: &Symbols, flat: &FlatModel, asked: &Workload, builtins: &[Value]) -> Option<Vec<Symbol>> {
        let [batch, seq, past] = TAKEN.map(|(name, _)| self.taken(symbols, name));
        let (batch, seq, past) = (batch?, seq?, past?);
        let kv_len = symbols.binary(BinaryOp::Add, &past, &seq).ok()?;
        let logits = self.logit_len.map_or_else(|| seq.clone(), |length| Symbol::Plain(Value::count(length)));
        let lengths = [batch, seq, past, kv_len, logits];
        let sizes = builtins.iter().take(VARIABLES.len()).skip(lengths.len()).map(|value| symbols.constant(value));
        let mut values: Vec<Option<Symbol>> = lengths.into_iter().chain(sizes).map(Some).collect();
        let first = values.len();
        let own: Vec<&(Arc<str>, Argument)> =
            flat.workload.iter().filter(|(name, _)| VARIABLES.iter().all(|(known, _)| **name != **known)).collect();
        values.resize(first + own.len(), None);
        // Each after those that it depends on; that none depends on itself was seen when the model was bound.
        for _ in 0..own.len() {
            for (at, (name, argument)) in own.iter().enumerate() {
                if values.get(first + at).is_some_and(Option::is_some) {
                    continue;
                }
                let value = self.own(symbols, name, argument, asked, &values);
                if let Some(cell) = values.get_mut(first + at) {
                    *cell = value;
                }
            }
        }
        values.into_iter().collect()
    }

    /// The value of one of the model's own variables. `None`: not yet.
    fn own(
        &self,
        symbols: &Symbols,
        name: &str,
        argument: &Argument,
        asked: &Workload,
        values: &[Option<Symbol>],
    ) -> Option<Symbol> {
        if let Some(taken) = self.taken(symbols, name) {
            return Some(taken);
        }
        if let Some((_, value)) = asked.settings.iter().rev().find(|(known, _)| **known == *name) {
            return Some(symbols.constant(value));
        }
        match &argument.binding {
            Binding::Known(value) => Some(symbols.constant(value)),
            Binding::Workload(residual) => {
                let env =
                    |variable: &WorkloadVar| values.get(usize::from(variable.0)).cloned().flatten().ok_or(EvalError::Reported);
                let value = eval_in(symbols, &residual.expr, &env, 0).ok()?;
                // One that is wrong is an error, whoever asks for it.
                symbols.settled(&value, &|_| true).map(Cow::into_owned)
            }
        }
    }

    /// What of a workload is refused before anything is computed.
    fn guards(&self, symbols: &Symbols, values: &[Symbol], workload: &CompleteWorkload) {
        let [_, seq, past, _, logits, ..] = values else { return };
        if let (Some(logits), Some(seq)) = (symbols.count(logits), symbols.count(seq)) {
            symbols.guard(&symbols.not(&symbols.is_less(&seq, &logits)));
        }
        if workload.cache == Cache::Off && workload.phase != Phase::Train {
            symbols.guard(&symbols.equal(past, &Symbol::Plain(Value::count(0))));
        }
    }
}

/// Whether one of the model's own variables is a number that may be any other.
fn is_free(name: &str, argument: &Argument, asked: &Workload) -> bool {
    let is_count = |value: &Value| value.as_number().is_some_and(|n| n.to_count().is_some());
    if VARIABLES.iter().any(|(known, _)| **known == *name) {
        return false;
    }
    match asked.settings.iter().rev().find(|(known, _)| **known == *name) {
        Some((_, value)) => is_count(value),
        None => matches!(&argument.binding, Binding::Known(value) if is_count(value)),
    }
}

fn rows(
    symbols: &Symbols,
    flat: &FlatModel,
    bound: &[BoundRow<Poly>],
    costed: &[Costs],
    diagnostics: &mut Diagnostics,
) -> Option<Vec<SymbolicRow>> {
    let of_row = |row: usize| costed.get(bound.get(row)?.signature? as usize);
    let mut rows = Vec::with_capacity(bound.len());
    for (info, row) in flat.rows.iter().zip(bound) {
        let signature = row.signature? as usize;
        let found = costed.get(signature)?;
        let find = |row: usize| of_row(row).map(|found| found.tensors.as_slice());
        let gone = tied_elsewhere(symbols, info, &found.tensors, &find, diagnostics);
        let own = (!gone.is_empty()).then(|| {
            let mut figures = Figures::filled(Poly::default());
            found.figures.0.iter().for_each(|(quantity, figure)| figures.set(*quantity, figure.clone()));
            for (tensor, when) in &gone {
                for (quantity, share) in share_of(tensor) {
                    let left = symbols.difference(figures.get(quantity), &symbols.only_if(when, &share));
                    figures.set(quantity, left);
                }
            }
            Box::new(Sparse::from(figures))
        });
        rows.push(SymbolicRow { signature, repeats: info.repeats, calls: row.calls.clone(), own });
    }
    (!diagnostics.has_errors()).then_some(rows)
}

/// The sum of all rows.
fn sums(symbols: &Symbols, rows: &[SymbolicRow], signatures: &[Sparse]) -> Option<Figures<Poly>> {
    let mut totals = Figures::filled(Poly::default());
    // Rows with the same figures are added up before they are multiplied out.
    let mut often: Vec<(Vec<(Mono, Exact)>, Exact)> = vec![(Vec::new(), Exact::ZERO); signatures.len()];
    let mut own: Vec<(&Sparse, Poly, Exact)> = Vec::new();
    for row in rows {
        let repeats = Exact::from_count(row.repeats)?;
        let runs = row.calls.times(repeats)?;
        match &row.own {
            Some(figures) => own.push((figures, runs, repeats)),
            None => {
                let (all, instances) = often.get_mut(row.signature)?;
                all.extend(runs.terms());
                *instances = instances.checked_add(repeats)?;
            }
        }
    }
    for ((all, instances), figures) in often.into_iter().zip(signatures) {
        own.push((figures, Poly::sum(all)?, instances));
    }
    for info in QUANTITIES {
        let mut terms: Vec<(Mono, Exact)> = Vec::new();
        for (figures, runs, instances) in &own {
            let Some(figure) = figures.get(info.quantity) else { continue };
            let all = match info.fold {
                Fold::Run => symbols.product(figure, runs)?,
                Fold::Module | Fold::Peak => figure.times(*instances)?,
            };
            terms.extend(all.terms());
        }
        totals.set(info.quantity, Poly::sum(terms)?);
    }
    Some(totals)
}
