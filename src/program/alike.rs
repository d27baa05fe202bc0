//! What signatures cost of which there are many alike: layers of one class that differ in numbers have their formulas made once, over these numbers.
//!
//! A [`BoundModel`] comes in, what each of its signatures costs goes out, as `cost::evaluate` has it. Few signatures, and those whose formulas hang
//! on a condition that some of the numbers decide one way and some the other, are evaluated one by one; so are those of which a figure is beyond
//! 64 bits, or anything is wrong. It speaks of no model: a class is asked what it is asked elsewhere, in the domain of polynomials.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use super::code::Program;
use super::columns::{Block, Scratch, Values};
use super::domain::{State, Symbol, Symbols};
use super::poly::Poly;
use super::symbolic::Variable;
use crate::cost::bind::{Arguments, BoundModel, Signature};
use crate::cost::ports::Ports;
use crate::cost::{Evaluated, Problem, Tensor, evaluate, evaluate_in};
use crate::quantity::workload::Phase;
use crate::quantity::{Cost, Figures};
use crate::syntax::expr::{Domain, Value};
use crate::syntax::parallel;

/// A model with fewer signatures is evaluated at once.
const MANY: usize = 4096;
/// Fewer alike aren't worth their formulas.
const ENOUGH: usize = 512;
/// In more kinds nothing is looked for: each signature is compared with one of each.
const MOST_KINDS: usize = 32;
/// How many signatures are evaluated at once: their columns stay near.
const BLOCK: usize = 1024;

/// What each signature of a model costs, or what is wrong with it.
pub fn evaluated(bound: &BoundModel) -> Vec<Result<Evaluated, Problem>> {
    let (signatures, builtins, phase) = (&bound.signatures, &bound.builtins, bound.workload.phase);
    match signatures.len() < MANY {
        true => signatures.iter().map(|signature| evaluate(signature, builtins, phase)).collect(),
        false => by_kinds(signatures, builtins, phase, ENOUGH),
    }
}

/// The same by formulas of what there is so often.
fn by_kinds(signatures: &[Signature], builtins: &[Value], phase: Phase, enough: usize) -> Vec<Result<Evaluated, Problem>> {
    let one = |signature: &Signature| evaluate(signature, builtins, phase);
    let (kinds, of_each) = kinds(signatures);
    let forms: Vec<Option<Forms>> =
        kinds.iter().map(|kind| if kind.members < enough { None } else { kind.forms(builtins, phase) }).collect();
    if forms.iter().all(Option::is_none) {
        return parallel::map(signatures, one);
    }
    // Those of a kind without formulas are of none.
    let has_forms = |kind: &usize| forms.get(*kind).is_some_and(Option::is_some);
    let of_each = of_each.into_iter().map(|kind| kind.filter(has_forms));
    let items: Vec<(&Signature, Option<usize>)> = signatures.iter().zip(of_each).collect();
    parallel::map_parts(&items, |items, made| {
        let mut room: Vec<Columns> = kinds.iter().map(Columns::of).collect();
        let mut scratch = Scratch::default();
        for (items, made) in items.chunks(BLOCK).zip(made.chunks_mut(BLOCK)) {
            room.iter_mut().for_each(Columns::empty);
            for (at, (signature, kind)) in items.iter().enumerate() {
                if let Some(columns) = kind.and_then(|kind| room.get_mut(kind)) {
                    columns.add(at, signature);
                }
            }
            for (columns, forms) in room.iter_mut().zip(&forms) {
                let Some(forms) = forms else { continue };
                forms.program.fill(&columns.numbers, &mut scratch, &mut columns.block);
                columns.each(|at, value| {
                    if let Some(made) = made.get_mut(at) {
                        *made = Some(Ok(forms.at(value)));
                    }
                });
            }
            for ((signature, _), made) in items.iter().zip(made) {
                made.get_or_insert_with(|| one(signature));
            }
        }
    })
}

/// The kinds that there are, and of which of them each signature is. `None`: of none that was looked for.
fn kinds(signatures: &[Signature]) -> (Vec<Kind<'_>>, Vec<Option<usize>>) {
    let mut kinds: Vec<Kind<'_>> = Vec::new();
    let of_each = signatures.iter().map(|signature| {
        let next = kinds.len();
        match kinds.iter_mut().enumerate().find(|(_, kind)| kind.is_of(signature)) {
            Some((at, kind)) => {
                kind.take(signature);
                Some(at)
            }
            None => (next < MOST_KINDS && is_plain(signature)).then(|| {
                kinds.push(Kind::new(signature));
                next
            }),
        }
    });
    let of_each = of_each.collect();
    (kinds, of_each)
}

/// Signatures that differ in whole numbers alone.
struct Kind<'s> {
    first: &'s Signature,
    /// Of each argument's parts, in their order: its number's least and greatest value. `None`: it is no number.
    numbers: Vec<Option<(u64, u64)>>,
    members: usize,
}

impl<'s> Kind<'s> {
    fn new(first: &'s Signature) -> Self {
        let numbers = all_parts(first).map(|part| number(part).map(|n| (n, n))).collect();
        Kind { first, numbers, members: 1 }
    }

    fn is_of(&self, signature: &Signature) -> bool {
        let Signature { class, arguments, overrides, weights: _, quantized: _, all_stored, no_grad } = self.first;
        let is_its_class = class.as_ref().zip(signature.class.as_ref()).is_some_and(|(a, b)| Arc::ptr_eq(a, b));
        is_its_class
            && is_plain(signature)
            && (*all_stored, *no_grad) == (signature.all_stored, signature.no_grad)
            && *overrides == signature.overrides
            && are_alike(arguments, &signature.arguments)
    }

    fn take(&mut self, signature: &Signature) {
        self.members += 1;
        for (range, part) in self.numbers.iter_mut().zip(all_parts(signature)) {
            if let (Some((least, most)), Some(n)) = (range, number(part)) {
                (*least, *most) = ((*least).min(n), (*most).max(n));
            }
        }
    }

    /// Whether the number of a part isn't the same everywhere, by its place among all parts.
    fn varies(&self) -> impl Iterator<Item = bool> {
        self.numbers.iter().map(|range| range.is_some_and(|(least, most)| least < most))
    }

    /// Its formulas. `None`: it has none that are right for all of its members.
    fn forms(&self, builtins: &[Value], phase: Phase) -> Option<Forms> {
        let class = self.first.class.as_ref()?;
        let varying = self.numbers.iter().zip(self.varies()).filter(|(_, varies)| *varies);
        let least: Vec<u64> = varying.filter_map(|(range, _)| range.map(|(least, _)| least)).collect();
        let symbols = Symbols::new(&least.iter().map(|least| i128::from(*least)).collect::<Vec<_>>());
        let (mut variables, mut arguments) = (Vec::new(), Vec::new());
        let mut varies = self.varies();
        for (position, value) in self.first.arguments.iter() {
            let mut symbol = |part: &Value| match varies.next() {
                Some(true) => {
                    let name = class.parameters.get(usize::from(position))?.name.clone();
                    let at = u16::try_from(variables.len()).ok()?;
                    variables.push(Variable { name, least: *least.get(usize::from(at))? });
                    Some(symbols.variable(at))
                }
                _ => Some(symbols.constant(part)),
            };
            let value = match value {
                Value::List(items) => symbols.list(items.iter().map(symbol).collect::<Option<_>>()?),
                value => symbol(value)?,
            };
            arguments.push((position, value));
        }
        let constant = |(slot, value): &(u16, Value)| (*slot, symbols.constant(value));
        let signature = Signature {
            class: Some(class.clone()),
            arguments: Arguments::Bound(arguments.into()),
            overrides: self.first.overrides.iter().map(constant).collect(),
            weights: None,
            quantized: None,
            all_stored: self.first.all_stored,
            no_grad: self.first.no_grad,
        };
        let builtins: Vec<Symbol> = builtins.iter().map(|value| symbols.constant(value)).collect();
        let made = evaluate_in(&symbols, &signature, &builtins, phase).ok()?;
        drop((signature, builtins));
        let State { atoms, guards, without_form, is_open, .. } = symbols.into_state();
        if without_form.is_some() || is_open || !guards.is_empty() {
            return None;
        }
        let outputs = Outputs::default();
        let count = |form: &Poly| outputs.count(form);
        let forms = Forms {
            figures: made.figures.map(count),
            tensors: made.tensors.iter().map(|tensor| tensor.map(&count)).collect(),
            ports: made.ports.map(&count, &|truth| outputs.truth(truth)),
            program: Program::alone(variables, &atoms, &outputs.forms.borrow())?,
        };
        outputs.is_known.get().then_some(forms)
    }
}

/// What a value consists of: a list of its items, any other of itself.
fn parts(value: &Value) -> &[Value] {
    if let Value::List(items) = value { items } else { std::slice::from_ref(value) }
}

/// The parts of all arguments, in their order.
fn all_parts(signature: &Signature) -> impl Iterator<Item = &Value> {
    signature.arguments.iter().flat_map(|(_, value)| parts(value))
}

/// Whether arguments are the same but for whole numbers.
fn are_alike(a: &Arguments, b: &Arguments) -> bool {
    let is_same = |a: &Value, b: &Value| match (number(a), number(b)) {
        (Some(_), Some(_)) => true,
        _ => a == b,
    };
    let is_alike = |a: &Value, b: &Value| match (a, b) {
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| is_same(a, b)),
        _ => is_same(a, b),
    };
    let (mut a, mut b) = (a.iter(), b.iter());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some((at, a)), Some((place, b))) if at == place && is_alike(a, b) => {}
            _ => return false,
        }
    }
}

/// Whether a signature says no more of its weights than its class does.
fn is_plain(signature: &Signature) -> bool {
    signature.weights.is_none() && signature.quantized.is_none()
}

fn number(value: &Value) -> Option<u64> {
    let n = i64::try_from(value.as_number()?.to_integer()?).ok()?;
    u64::try_from(n).ok()
}

/// A count of a signature.
#[derive(Debug, Clone, Copy)]
enum Count {
    Known(u128),
    /// An output of the formulas.
    Output(usize),
}

/// Formulas, each once.
struct Outputs {
    forms: RefCell<Vec<Poly>>,
    known: RefCell<HashMap<Poly, usize>>,
    /// Whether all that must be known is.
    is_known: Cell<bool>,
}

impl Default for Outputs {
    fn default() -> Self {
        Outputs { forms: RefCell::default(), known: RefCell::default(), is_known: Cell::new(true) }
    }
}

impl Outputs {
    fn count(&self, form: &Poly) -> Count {
        if let Some(value) = form.as_constant() {
            let count = value.to_count();
            self.is_known.set(self.is_known.get() && count.is_some());
            return Count::Known(count.unwrap_or(0));
        }
        let mut forms = self.forms.borrow_mut();
        let at = *self.known.borrow_mut().entry(form.clone()).or_insert(forms.len());
        if at == forms.len() {
            forms.push(form.clone());
        }
        Count::Output(at)
    }

    fn truth(&self, truth: &Poly) -> bool {
        let known = truth.as_constant();
        self.is_known.set(self.is_known.get() && known.is_some());
        known.is_some_and(|value| !value.is_zero())
    }
}

/// What the members of a kind cost.
struct Forms {
    figures: Figures<Count>,
    tensors: Vec<Tensor<Count>>,
    ports: Ports<Count>,
    program: Program,
}

impl Forms {
    /// What a member costs whose outputs have these values.
    fn at(&self, value: impl Fn(usize) -> u128) -> Evaluated {
        let count = |count: &Count| match count {
            Count::Known(known) => *known,
            Count::Output(at) => value(*at),
        };
        Evaluated {
            cost: Cost::from(self.figures.map(count)).into(),
            tensors: self.tensors.iter().map(|tensor| tensor.map(&count)).collect(),
            ports: self.ports.map(&count, &|truth| *truth),
        }
    }
}

/// The members of a kind in a block.
struct Columns {
    /// Their places in the block.
    places: Vec<usize>,
    /// Which numbers vary, by their places among the parts of all arguments.
    varies: Vec<bool>,
    /// A column for each of these.
    numbers: Vec<Vec<u64>>,
    block: Block,
}

impl Columns {
    fn of(kind: &Kind<'_>) -> Self {
        let varies: Vec<bool> = kind.varies().collect();
        let numbers = varies.iter().filter(|varies| **varies).map(|_| Vec::with_capacity(BLOCK)).collect();
        Columns { places: Vec::with_capacity(BLOCK), varies, numbers, block: Block::default() }
    }

    fn empty(&mut self) {
        self.places.clear();
        self.numbers.iter_mut().for_each(Vec::clear);
    }

    fn add(&mut self, at: usize, signature: &Signature) {
        self.places.push(at);
        let varying = all_parts(signature).zip(&self.varies).filter(|(_, varies)| **varies);
        for (column, (part, _)) in self.numbers.iter_mut().zip(varying) {
            column.push(number(part).unwrap_or(0));
        }
    }

    /// Each place with the outputs of whoever is there, where all of these are known.
    fn each(&self, mut see: impl FnMut(usize, &dyn Fn(usize) -> u128)) {
        let Values::Small(columns) = &self.block.values else { return };
        for (n, (at, valid)) in self.places.iter().zip(&self.block.valid).enumerate() {
            if *valid {
                see(*at, &|output| columns.get(output).and_then(|column| column.get(n)).map_or(0, |value| u128::from(*value)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::catalog::{Catalog, Class, Example, ParameterKind, check_parameter};
    use crate::cost::workload::{CompleteWorkload, Workload};
    use crate::lower::Execution;

    /// What a class is asked in one of its examples, its sizes multiplied: the first of them, or all, so many times. `None`: it says more than sizes.
    fn scaled(class: &Arc<Class>, example: &Example, only_first: bool, times: u64) -> Option<Signature> {
        let mut arguments = Vec::new();
        for (name, value) in &example.parameters {
            let at = class.parameters.iter().position(|parameter| parameter.name == *name)?;
            let parameter = class.parameters.get(at)?;
            let times = if only_first && !arguments.is_empty() { 1 } else { times };
            let scale = |part: &Value| number(part).map_or_else(|| part.clone(), |n| Value::count(n * times));
            let value = match (parameter.kind, check_parameter(parameter, value)?) {
                (ParameterKind::Shape, Value::List(items)) => Value::List(items.iter().map(scale).collect()),
                (ParameterKind::Count, value) => scale(&value),
                (_, value) => value,
            };
            arguments.push((u16::try_from(at).ok()?, value));
        }
        Some(Signature {
            class: Some(class.clone()),
            arguments: Arguments::Bound(arguments.into()),
            overrides: Vec::new(),
            weights: None,
            quantized: None,
            all_stored: false,
            no_grad: false,
        })
    }

    fn said(found: Result<Evaluated, Problem>) -> Result<String, String> {
        found.map(|found| format!("{found:?}")).map_err(|problem| problem.message().to_owned())
    }

    #[test]
    fn many_alike_cost_by_formulas_what_they_cost_one_by_one() {
        let catalog = Catalog::new();
        let (mut by_formulas, mut all) = (HashSet::new(), HashSet::new());
        let workloads = [Workload::prefill(2, 24), Workload::decode(3, 100), Workload::train(1, 32)].map(|asked| {
            let workload = CompleteWorkload::complete(&asked, Execution::default(), &[], None, None);
            (workload.values(&asked, &[]), workload.phase)
        });
        for class in catalog.whole_classes().map(Result::unwrap) {
            for (example, only_first) in class.examples.iter().flat_map(|example| [(example, true), (example, false)]) {
                // The last is beyond 64 bits in something.
                let times = (1..=11).chain([1 << 40]);
                let Some(alike) = times.map(|times| scaled(&class, example, only_first, times)).collect::<Option<Vec<_>>>()
                else {
                    continue;
                };
                for (builtins, phase) in &workloads {
                    all.insert(class.name.clone());
                    for signatures in [&alike[..11], &alike[..]] {
                        if kinds(signatures).0.iter().any(|kind| kind.members > 1 && kind.forms(builtins, *phase).is_some()) {
                            by_formulas.insert(class.name.clone());
                        }
                        for (signature, found) in signatures.iter().zip(by_kinds(signatures, builtins, *phase, 2)) {
                            let expected = said(evaluate(signature, builtins, *phase));
                            assert_eq!(said(found), expected, "{}: {:?}", class.name, signature.arguments);
                        }
                    }
                }
            }
        }
        let of = |name: &str| by_formulas.iter().any(|class| class.ends_with(name));
        assert!(["Linear", "LayerNorm", "RMSNorm", "GELU", "Embedding", "add"].into_iter().all(of), "{by_formulas:?}");
        assert!(by_formulas.len() * 5 > all.len() * 3, "{} of {}", by_formulas.len(), all.len());
    }

    #[test]
    fn what_is_wrong_with_one_of_many_is_said_of_it_alone() {
        let catalog = Catalog::new();
        let class = catalog.whole_class("torch.nn.modules.linear.Linear").unwrap().unwrap();
        let example = class.examples.first().unwrap();
        let asked = Workload::prefill(1, 8);
        let workload = CompleteWorkload::complete(&asked, Execution::default(), &[], None, None);
        let builtins = workload.values(&asked, &[]);
        let signatures: Vec<Signature> =
            (1..20).chain([1 << 50]).filter_map(|times| scaled(&class, example, false, times)).collect();
        let found = by_kinds(&signatures, &builtins, workload.phase, 2);
        let one_by_one: Vec<_> =
            signatures.iter().map(|signature| said(evaluate(signature, &builtins, workload.phase))).collect();
        assert!(one_by_one.iter().any(Result::is_ok) && one_by_one.iter().any(Result::is_err), "{one_by_one:?}");
        assert_eq!(found.into_iter().map(said).collect::<Vec<_>>(), one_by_one);
    }
}
