//! What a model costs as a tool or a paper counts it, and how two counts differ, term by term to the last FLOP.
//!
//! An evaluation and a [`Convention`] come in, [`Counted`] goes out: what each row counts, and what each term adds up to. Nothing here knows a
//! convention.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use super::summary::components;
use crate::catalog::{Catalog, Class, ClassKind, Convention, CountedTerm, Role, RowFormula, Selector, builtin_slot};
use crate::cost::LayerEnv;
use crate::cost::bind::Signature;
use crate::cost::ports::{Port, Ports};
use crate::evaluation::{Evaluation, Row};
use crate::flat::RowId;
use crate::quantity::Quantity;
use crate::quantity::workload::{Attention, Phase};
use crate::syntax::diag::{Code, Diagnostic, nearest};
use crate::syntax::expr::{Env, EvalError, Exact, Name, Value, eval};
use crate::syntax::glob;

/// FLOPs of the forward and of the backward pass; a term that corrects another may be negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passes {
    /// Of the forward pass.
    pub forward: i128,
    /// Of the backward pass: 0 outside training, and where the convention doesn't count it.
    pub backward: i128,
}

impl Passes {
    fn plus(self, other: Self) -> Option<Self> {
        let forward = self.forward.checked_add(other.forward)?;
        Some(Passes { forward, backward: self.backward.checked_add(other.backward)? })
    }

    /// Both added; what leaves 128 bits stays at their end.
    #[must_use]
    pub fn saturating_plus(self, other: Self) -> Self {
        let forward = self.forward.saturating_add(other.forward);
        Passes { forward, backward: self.backward.saturating_add(other.backward) }
    }

    fn times(self, n: u128) -> Option<Self> {
        let n = i128::try_from(n).ok()?;
        Some(Passes { forward: self.forward.checked_mul(n)?, backward: self.backward.checked_mul(n)? })
    }

    /// Both together. `None` beyond 127 bits.
    #[must_use]
    pub fn both(self) -> Option<i128> {
        self.forward.checked_add(self.backward)
    }
}

/// What a term adds up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// As the convention calls it.
    pub term: Arc<str>,
    /// Products with 2 FLOPs a multiply-add, whatever the convention counts it as.
    pub flops: Passes,
}

/// A model's FLOPs as a convention counts them.
#[derive(Debug)]
pub struct Counted {
    /// Which convention.
    pub convention: Arc<Convention>,
    /// Its terms, those that came to something, each name once.
    pub shares: Vec<Share>,
    /// What is taken off again where a multiply-add counts as 1: half of the products.
    pub halved: Passes,
    /// All together: the shares and `halved`.
    pub total: Passes,
    /// Its two passes together.
    pub flops: i128,
    /// Of each row one instance, all calls.
    instances: Vec<Passes>,
}

impl Counted {
    /// What so many instances of a row count together, all calls.
    #[must_use]
    pub fn of(&self, id: RowId, instances: u128) -> Passes {
        // `count` has seen that all of them, whatever their signs, are within 127 bits.
        self.instances.get(id.0 as usize).and_then(|one| one.times(instances)).unwrap_or_default()
    }
}

/// Counts a model as a convention does.
///
/// # Errors
/// Attention that isn't dense, a formula of the convention without a value, a count beyond 127 bits.
pub fn count(evaluation: &Evaluation, convention: &Arc<Convention>) -> Result<Counted, Box<Diagnostic>> {
    if evaluation.bound.workload.attention != Attention::Dense {
        let message = "a convention says by itself which pairs of queries and keys count";
        return Err(Diagnostic::new(Code::InvalidWorkload, message).help("leave `--attention masked` out").boxed());
    }
    let catalog = evaluation.checked.classes.catalog();
    let terms: Vec<Meant> = convention.terms.iter().map(|term| Meant::new(term, catalog)).collect::<Result<_, _>>()?;
    let mut shares: Vec<Share> = Vec::new();
    let (mut halved, mut total) = (Passes::default(), Passes::default());
    // Without signs: within 127 bits, so is what any of the rows come to together.
    let mut size = 0i128;
    let mut instances = Vec::with_capacity(evaluation.flat.rows.len());
    for (row, component) in evaluation.rows().zip(components(evaluation)) {
        let facts = RowFacts::of(evaluation, row, component);
        let mut of_row = Passes::default();
        for meant in &terms {
            let Some(once) = meant.of_row(&facts)? else { continue };
            if once == Passes::default() {
                continue;
            }
            let mut counts = || {
                let flops = once.times(if meant.term.of_all_runs { 1 } else { row.calls() })?;
                let half = meant.half(convention, flops);
                of_row = of_row.plus(flops)?.plus(half)?;
                halved = halved.plus(half.times(row.repeats())?)?;
                add(&mut shares, meant.term, flops.times(row.repeats())?)
            };
            counts().ok_or_else(|| beyond(convention))?;
        }
        let mut sums = || {
            let all = of_row.times(row.repeats())?;
            size = size.checked_add(all.forward.checked_abs()?)?.checked_add(all.backward.checked_abs()?)?;
            total = total.plus(all)?;
            Some(())
        };
        sums().ok_or_else(|| beyond(convention))?;
        instances.push(of_row);
    }
    let flops = total.both().ok_or_else(|| beyond(convention))?;
    Ok(Counted { convention: convention.clone(), shares, halved, total, flops, instances })
}

fn add(shares: &mut Vec<Share>, term: &CountedTerm, flops: Passes) -> Option<()> {
    match shares.iter_mut().find(|share| share.term == term.term) {
        Some(share) => share.flops = share.flops.plus(flops)?,
        None => shares.push(Share { term: term.term.clone(), flops }),
    }
    Some(())
}

fn beyond(convention: &Convention) -> Box<Diagnostic> {
    let message = format!("what `{}` counts is beyond 2^127 - 1", convention.name);
    Diagnostic::new(Code::Overflow, message).boxed()
}

/// A term with its classes found.
struct Meant<'c> {
    term: &'c CountedTerm,
    /// The full names of the classes that it is of, and of those that it leaves out.
    classes: Vec<Arc<str>>,
    except: Vec<Arc<str>>,
}

impl<'c> Meant<'c> {
    fn new(term: &'c CountedTerm, catalog: &Catalog) -> Result<Self, Box<Diagnostic>> {
        let full = |name: &Arc<str>| match catalog.class(name) {
            Some(Ok(class)) => Ok(class.name.clone()),
            // What is wrong with a class is said where a layer is of it.
            Some(Err(_)) => Ok(name.clone()),
            None => {
                let message = format!("the term `{}` is of an unknown class `{name}`", term.term);
                let diagnostic = Diagnostic::new(Code::UnknownClass, message).at(term.forward.span, "in this term");
                let near = nearest(name, catalog.class_names()).map(|near| format!("did you mean `{near}`?"));
                Err(near.into_iter().fold(diagnostic, Diagnostic::help).boxed())
            }
        };
        let all = |names: &[Arc<str>]| names.iter().map(full).collect::<Result<Vec<_>, _>>();
        Ok(Meant { term, classes: all(&term.of.classes)?, except: all(&term.of.except_classes)? })
    }

    fn selects(&self, row: Row<'_>, component: Role) -> bool {
        let (class, role) = (row.class(), row.info.row.role);
        let Selector { classes, roles, components, names, except_roles, except_components, .. } = &self.term.of;
        let is = |names: &[Arc<str>]| class.is_some_and(|class| names.contains(&class.name));
        let has = |roles: &[Role]| role.is_some_and(|role| roles.contains(&role));
        let any = classes.is_empty() && roles.is_empty() && components.is_empty();
        let named = any || is(&self.classes) || has(roles) || components.contains(&component);
        let called = names.is_empty() || names.iter().any(|pattern| glob::matches(pattern, row.class_name()));
        named && called && !is(&self.except) && !has(except_roles) && !except_components.contains(&component)
    }

    /// What it counts of a layer that runs once; `None`: it isn't of that layer.
    fn of_row(&self, facts: &RowFacts<'_>) -> Result<Option<Passes>, Box<Diagnostic>> {
        if !self.selects(facts.row, facts.component) {
            return Ok(None);
        }
        if let Some(when) = &self.term.when
            && !facts.holds(when)?
        {
            return Ok(None);
        }
        let backward = self.term.backward.as_ref().filter(|_| facts.training).map_or(Ok(0), |formula| facts.figure(formula))?;
        let flops = Passes { forward: facts.figure(&self.term.forward)?, backward };
        if self.term.products && (flops.forward % 2 != 0 || backward % 2 != 0) {
            return Err(facts.wrong(&self.term.forward, "is an odd count of FLOPs, so not of products"));
        }
        Ok(Some(flops))
    }

    /// What is taken off again of products where a multiply-add counts as 1.
    fn half(&self, convention: &Convention, flops: Passes) -> Passes {
        match self.term.products && convention.multiply_add == 1 {
            true => Passes { forward: flops.forward / -2, backward: flops.backward / -2 },
            false => Passes::default(),
        }
    }
}

/// What formulas may ask of a layer, found when it is asked.
struct RowFacts<'e> {
    row: Row<'e>,
    component: Role,
    signature: Option<&'e Signature>,
    builtins: Cow<'e, [Value]>,
    ports: Option<&'e Ports>,
    model_tokens: Option<u128>,
    /// A layer that runs without gradients has no backward products of its own; formulas may count some.
    training: bool,
    env: OnceCell<LayerEnv<'e>>,
}

impl<'e> RowFacts<'e> {
    fn of(evaluation: &'e Evaluation, row: Row<'e>, component: Role) -> Self {
        let signature = row.signature();
        let builtins = &evaluation.bound.builtins;
        let workload = &evaluation.bound.workload;
        RowFacts {
            row,
            component,
            signature,
            builtins: signature.map_or(Cow::Borrowed(builtins), |signature| LayerEnv::builtins(signature, builtins)),
            ports: evaluation.report.ports(row.id),
            model_tokens: u128::from(workload.batch_size).checked_mul(u128::from(workload.seq_len)),
            training: workload.phase == Phase::Train,
            env: OnceCell::new(),
        }
    }

    fn class(&self) -> Option<&'e Class> {
        self.row.class().map(|class| &**class)
    }

    fn holds(&self, formula: &RowFormula) -> Result<bool, Box<Diagnostic>> {
        match eval(&formula.expr, self, 0) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(self.wrong(formula, &format!("is {other}, neither true nor false"))),
            Err(error) => Err(self.wrong(formula, &format!("has no value: {error}"))),
        }
    }

    fn figure(&self, formula: &RowFormula) -> Result<i128, Box<Diagnostic>> {
        match eval(&formula.expr, self, 0) {
            Ok(Value::Number(n)) if n.is_integer() => {
                n.to_integer().ok_or_else(|| self.wrong(formula, "is beyond what is computed with"))
            }
            Ok(other) => Err(self.wrong(formula, &format!("is {other}, not an integer"))),
            Err(error) => Err(self.wrong(formula, &format!("has no value: {error}"))),
        }
    }

    fn wrong(&self, formula: &RowFormula, what: &str) -> Box<Diagnostic> {
        let message = format!("`{}` {what}", formula.text);
        let diagnostic = Diagnostic::new(Code::InvalidClass, message).at(formula.span, "a formula of the convention");
        diagnostic.note(format!("in layer `{}`", self.row.path())).boxed()
    }

    /// A fact of [`ROW_NAMES`](crate::catalog::ROW_NAMES); `None`: of no such name.
    fn fact(&self, name: &str) -> Option<Option<u128>> {
        let cost = self.row.cost.cost;
        let port = |port: Option<Port<'_>>| self.elements(port?);
        Some(match name {
            "matmul" => Some(cost.get(Quantity::MatmulFlops)),
            "vector" => Some(cost.get(Quantity::VectorFlops)),
            "transcendental" => Some(cost.get(Quantity::Transcendentals)),
            "backward_matmul" => Some(cost.get(Quantity::BackwardMatmulFlops)),
            "params" => Some(cost.get(Quantity::Params)),
            "active_params" => Some(cost.get(Quantity::ActiveParams)),
            "bias_params" => {
                let counts = |name: &str| name.ends_with("bias") && !self.row.cost.tied.iter().any(|tied| **tied == *name);
                let biases = self.row.weights().iter().filter(|tensor| counts(&tensor.name));
                biases.map(|tensor| tensor.elements).try_fold(0, u128::checked_add)
            }
            "input_elements" => port(self.ports.and_then(|ports| ports.inputs().next())),
            "output_elements" => port(self.ports.and_then(|ports| ports.outputs().next())),
            "calls" => Some(self.row.calls()),
            "model_tokens" => self.model_tokens,
            _ => return None,
        })
    }

    fn elements(&self, port: Port<'_>) -> Option<u128> {
        if !port.exists {
            return Some(0);
        }
        let leading = port.pattern.leading.map_or(Some(1), |_| self.ports?.tokens)?;
        port.pattern.dims.iter().try_fold(leading, |product, dim| product.checked_mul(*dim))
    }

    /// A parameter or a variable of the layer's class.
    fn of_class(&self, name: &str, depth: u16) -> Result<Value, EvalError> {
        let unknown = || EvalError::Unknown(name.into());
        let class = self.class().ok_or_else(unknown)?;
        let signature = self.signature.ok_or_else(unknown)?;
        let slot = class.slot_of(name).ok_or_else(unknown)?;
        self.env.get_or_init(|| LayerEnv::new(class, signature, self.builtins.clone())).value(&slot, depth)
    }
}

impl Env<Name> for RowFacts<'_> {
    fn value(&self, name: &Name, depth: u16) -> Result<Value, EvalError> {
        if &*name.text == "is_module" {
            return Ok(Value::Bool(self.row.kind() == ClassKind::Module.word()));
        }
        if let Some(fact) = self.fact(&name.text) {
            return fact.and_then(Exact::from_count).map(Value::Number).ok_or(EvalError::Overflow);
        }
        if let Some(slot) = builtin_slot(&name.text) {
            return Ok(self.builtins.get(slot).cloned().unwrap_or(Value::Null));
        }
        self.of_class(&name.text, depth)
    }
}

/// A line of a reconciliation: a term of one pass, as each convention counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is; `None`: what is taken off where a multiply-add counts as 1.
    pub term: Option<Arc<str>>,
    /// Whether it is of the backward pass.
    pub backward: bool,
    /// In the order of the conventions; 0 where one doesn't have the term.
    pub flops: Vec<i128>,
}

/// Counts side by side: their lines add up to their totals.
#[must_use]
pub fn lines(counts: &[Counted]) -> Vec<Line> {
    let mut names: Vec<&Arc<str>> = Vec::new();
    for share in counts.iter().flat_map(|counted| &counted.shares) {
        if !names.contains(&&share.term) {
            names.push(&share.term);
        }
    }
    let mut lines = Vec::new();
    for backward in [false, true] {
        let pass = |passes: &Passes| if backward { passes.backward } else { passes.forward };
        for name in &names {
            let of = |counted: &Counted| {
                counted.shares.iter().find(|share| share.term == **name).map_or(0, |share| pass(&share.flops))
            };
            lines.push(Line { term: Some((*name).clone()), backward, flops: counts.iter().map(of).collect() });
        }
        lines.push(Line { term: None, backward, flops: counts.iter().map(|counted| pass(&counted.halved)).collect() });
    }
    lines.retain(|line| line.flops.iter().any(|flops| *flops != 0));
    lines
}
