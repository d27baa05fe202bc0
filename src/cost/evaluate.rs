//! What every layer costs: its class's formulas, evaluated.
//!
//! A [`BoundModel`] comes in, a [`CostReport`] goes out. Totals are the fold of the rows. This module knows no class.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use super::ports::Ports;

use crate::catalog::{Class, Dim, Formula, ShapeDef, Slot, builtin_slot, check_parameter};
use crate::cost::bind::{BoundModel, Signature};
use crate::flat::{FlatModel, RowInfo, Tied};
use crate::quantity::workload::{CONVENTIONS, Phase, VARIABLES};
use crate::quantity::{Cost, Quantity};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::{Env, EvalError, Exact, Value, eval};

/// The cost of every row, and of all.
#[derive(Debug)]
pub struct CostReport {
    /// One a row of the flat model: one instance, run once.
    pub rows: Vec<RowCost>,
    /// The fold of the rows.
    pub totals: Cost,
    /// Basic layers, and how many of them are modules.
    pub layers: u128,
    pub modules: u128,
    /// What layers take, give, need and keep: one a signature; `None` where something was wrong.
    pub ports: Vec<Option<Ports>>,
    /// The tensors that layers own: one list a signature.
    pub tensors: Vec<Vec<Tensor>>,
}

#[derive(Debug, Clone)]
pub struct RowCost {
    pub cost: Cost,
    /// How often each instance runs.
    pub calls: u128,
    /// The cost of all instances and calls.
    pub total: Cost,
    /// The names of its weights that count where they are defined, elsewhere.
    pub tied: Vec<Arc<str>>,
}

/// What a signature costs.
#[derive(Debug, Clone, Default)]
pub struct Evaluated {
    pub cost: Cost,
    pub tensors: Vec<Tensor>,
    pub ports: Ports,
}

/// A weight with its size.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Its name in its layer.
    pub name: Arc<str>,
    /// Its shape.
    pub shape: Vec<u128>,
    /// How many scalars it has.
    pub elements: u128,
    /// Its bytes, rounded up once.
    pub bytes: u128,
}

/// Evaluates every row. What is wrong goes to `diagnostics`; with errors among them the report is incomplete.
pub fn cost(flat: &FlatModel, bound: &BoundModel, diagnostics: &mut Diagnostics) -> CostReport {
    let evaluated: Vec<Result<Evaluated, Problem>> =
        bound.signatures.iter().map(|signature| evaluate(signature, &bound.builtins, bound.workload.phase)).collect();
    let find = |row: usize| {
        let signature = bound.rows.get(row)?.signature?;
        evaluated.get(signature as usize)
    };
    let mut report = CostReport {
        rows: Vec::with_capacity(flat.rows.len()),
        totals: Cost::default(),
        layers: 0,
        modules: 0,
        ports: Vec::new(),
        tensors: Vec::new(),
    };
    for (at, info) in flat.rows.iter().enumerate() {
        let mut away = Vec::new();
        let (mut cost, calls) = (Cost::default(), bound.rows.get(at).map_or(0, |row| row.calls));
        match find(at) {
            Some(Ok(found)) => {
                cost = found.cost;
                let mut gone: Vec<&Arc<str>> = Vec::new();
                for tied in &info.row.tied {
                    let target = find(tied.target.0 as usize).and_then(|t| t.as_ref().ok());
                    if let Some(target) = target {
                        untie(&mut cost, found, target, tied, info, &mut gone, diagnostics);
                    }
                }
                away = gone.into_iter().cloned().collect();
            }
            // What a missing value is the consequence of was reported where it went missing.
            Some(Err(problem)) if problem.follows => {}
            Some(Err(problem)) => diagnostics.push(problem.diagnostic(info)),
            None => {}
        }
        let total = cost.times(info.repeats, calls);
        let sum = total.and_then(|total| report.totals.plus(&total));
        match (total, sum) {
            (Some(total), Some(sum)) => {
                report.totals = sum;
                report.rows.push(RowCost { cost, calls, total, tied: away });
            }
            _ => {
                let message = "the total is beyond 2^128 - 1";
                diagnostics
                    .push(Diagnostic::new(Code::Overflow, message).at(info.row.span, "this layer's share leaves 128 bits"));
                report.rows.push(RowCost { cost, calls, total: Cost::default(), tied: away });
            }
        }
    }
    if let Some(span) = flat.overflow {
        diagnostics
            .push(Diagnostic::new(Code::Overflow, "the model has more than 2^128 - 1 layers").at(span, "too many instances"));
    }
    (report.layers, report.modules) = flat.counts().unwrap_or_default();
    for result in evaluated {
        let (ports, tensors) = result.map_or((None, Vec::new()), |found| (Some(found.ports), found.tensors));
        report.ports.push(ports);
        report.tensors.push(tensors);
    }
    report
}

/// Takes tied weights out of a row's cost: they count where they are defined.
fn untie<'e>(
    cost: &mut Cost,
    own: &'e Evaluated,
    target: &Evaluated,
    tied: &Tied,
    info: &RowInfo,
    gone: &mut Vec<&'e Arc<str>>,
    diagnostics: &mut Diagnostics,
) {
    for tensor in own.tensors.iter().filter(|t| tied.weight.as_ref().is_none_or(|name| *name == t.name)) {
        let wanted = tied.target_weight.as_ref().unwrap_or(&tensor.name);
        // A bias that the target lacks isn't tied.
        let Some(other) = target.tensors.iter().find(|t| t.name == *wanted) else {
            continue;
        };
        if other.shape != tensor.shape {
            let message = format!(
                "`{}` of `{}` is {}, and what it is tied to is {}",
                tensor.name,
                info.path,
                shown(&tensor.shape),
                shown(&other.shape)
            );
            let diagnostic = Diagnostic::new(Code::TiedShapesDiffer, message)
                .at(tied.span, format!("tied to `{}` of `{}`", other.name, tied.path))
                .also(info.row.span, format!("`{}` is {}", tensor.name, shown(&tensor.shape)));
            diagnostics.push(diagnostic);
            continue;
        }
        // A layer may be tied itself and as a part of its composite.
        if gone.contains(&&tensor.name) {
            continue;
        }
        gone.push(&tensor.name);
        cost.set(Quantity::Params, cost.get(Quantity::Params).saturating_sub(tensor.elements));
        cost.set(Quantity::ActiveParams, cost.get(Quantity::ActiveParams).saturating_sub(tensor.elements));
        cost.set(Quantity::WeightBytes, cost.get(Quantity::WeightBytes).saturating_sub(tensor.bytes));
    }
}

fn shown(shape: &[u128]) -> String {
    let dims: Vec<String> = shape.iter().map(u128::to_string).collect();
    format!("[{}]", dims.join(", "))
}

/// Why a class's formula gives nothing for a layer.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    message: String,
    /// The formula, in the class's own file.
    formula: Option<(crate::syntax::source::Span, String)>,
    /// It is the consequence of something that was reported.
    pub(super) follows: bool,
}

impl Problem {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Problem { code, message: message.into(), formula: None, follows: false }
    }

    pub(super) fn in_formula(mut self, formula: &Formula, label: impl Into<String>) -> Self {
        self.formula = Some((formula.span, label.into()));
        self
    }

    fn diagnostic(&self, info: &RowInfo) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(self.code, self.message.clone()).at(info.row.span, "in this layer");
        if let Some((span, label)) = &self.formula {
            diagnostic = diagnostic.also(*span, label.clone());
        }
        diagnostic.note(format!("in layer `{}`", info.path))
    }

    /// The message alone, for a test of examples.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Evaluates a class's formulas for given parameters: the cost of one layer, run once, with all of its weights its own.
///
/// # Errors
/// What keeps a formula from having a value.
pub fn evaluate(signature: &Signature, builtins: &[Value], phase: Phase) -> Result<Evaluated, Problem> {
    // What runs without gradients has no backward pass.
    let phase = if signature.no_grad { Phase::Prefill } else { phase };
    let builtins = LayerEnv::builtins(signature, builtins);
    let weight_bytes = builtin_slot("weight_dtype_bytes").and_then(|slot| builtins.get(slot)).and_then(Value::as_number);
    let Some(weight_bytes) = weight_bytes else {
        return Err(Problem::new(Code::ParameterType, "`weight_dtype_bytes` is not a number"));
    };
    let Some(class) = &signature.class else {
        let tensors = own_tensors(signature, weight_bytes)?;
        return Ok(Evaluated { cost: weights_alone(&tensors)?, tensors, ports: Ports::default() });
    };
    let layer = LayerEnv::new(class, signature, builtins)?;
    layer.require()?;
    let tensors = match &signature.weights {
        Some(_) => own_tensors(signature, weight_bytes)?,
        None => layer.tensors(weight_bytes, signature.unquantized)?,
    };
    let cost = layer.cost(&tensors, phase)?;
    let ports = layer.ports(phase == Phase::Train)?;
    Ok(Evaluated { cost, tensors, ports })
}

fn own_tensors(signature: &Signature, bytes: Exact) -> Result<Vec<Tensor>, Problem> {
    let own = signature.weights.iter().flatten();
    own.map(|weight| tensor(&weight.name, weight.shape.clone(), bytes)).collect()
}

fn tensor(name: &Arc<str>, shape: Vec<u128>, element: Exact) -> Result<Tensor, Problem> {
    let beyond = || Problem::new(Code::Overflow, format!("the weight `{name}` has more elements than are computed with"));
    let elements = shape.iter().try_fold(1u128, |product, dim| product.checked_mul(*dim)).ok_or_else(beyond)?;
    let bytes = bytes_of(elements, element).ok_or_else(beyond)?;
    Ok(Tensor { name: name.clone(), shape, elements, bytes })
}

/// Rounded up once.
pub(super) fn bytes_of(elements: u128, element: Exact) -> Option<u128> {
    Exact::from_count(elements)?.checked_mul(element)?.ceil()?.to_count()
}

fn weights_alone(tensors: &[Tensor]) -> Result<Cost, Problem> {
    let mut cost = Cost::default();
    let sum = |of: fn(&Tensor) -> u128| {
        let total = tensors.iter().try_fold(0u128, |sum, tensor| sum.checked_add(of(tensor)));
        total.ok_or_else(|| Problem::new(Code::Overflow, "the weights have more elements than are computed with"))
    };
    cost.set(Quantity::Params, sum(|t| t.elements)?);
    cost.set(Quantity::ActiveParams, cost.get(Quantity::Params));
    cost.set(Quantity::WeightBytes, sum(|t| t.bytes)?);
    cost.set(Quantity::WeightsRead, cost.get(Quantity::WeightBytes));
    Ok(cost)
}

pub(super) fn beyond(what: &str) -> Problem {
    Problem::new(Code::Overflow, format!("the {what} have more bytes than are computed with"))
}

/// A class's names and their values in one layer. Defaults and variables are evaluated when first asked for.
pub(crate) struct LayerEnv<'c> {
    pub(super) class: &'c Class,
    pub(super) builtins: Cow<'c, [Value]>,
    cells: Vec<OnceCell<Result<Value, EvalError>>>,
}

impl Env<Slot> for LayerEnv<'_> {
    fn value(&self, slot: &Slot, depth: u16) -> Result<Value, EvalError> {
        let at = usize::from(slot.0);
        let builtins = VARIABLES.len() + CONVENTIONS.len();
        if at < builtins {
            return Ok(self.builtins.get(at).cloned().unwrap_or(Value::Null));
        }
        let at = at - builtins;
        let Some(cell) = self.cells.get(at) else {
            return Err(EvalError::Reported);
        };
        if let Some(known) = cell.get() {
            return known.clone();
        }
        let parameter = self.class.parameters.get(at);
        let definition = match parameter {
            Some(parameter) => parameter.default.as_ref(),
            None => self.class.variables.get(at - self.class.parameters.len()).map(|(_, formula)| formula),
        };
        // A required parameter that is missing was reported by `check`.
        let value = definition.map_or(Err(EvalError::Reported), |formula| eval(&formula.expr, self, depth)).and_then(|value| {
            match parameter {
                Some(parameter) => check_parameter(parameter, &value).ok_or_else(|| EvalError::Type {
                    operation: format!("the default of `{}`", parameter.name).into(),
                    expected: parameter.kind.expected(),
                    found: value,
                }),
                None => Ok(value),
            }
        });
        let _ = cell.set(value.clone());
        value
    }
}

impl<'c> LayerEnv<'c> {
    /// What class formulas see of the workload in a layer.
    pub(crate) fn builtins<'b>(signature: &Signature, builtins: &'b [Value]) -> Cow<'b, [Value]> {
        let mut builtins = Cow::Borrowed(builtins);
        for (slot, value) in &signature.overrides {
            if let Some(cell) = builtins.to_mut().get_mut(usize::from(*slot)) {
                *cell = value.clone();
            }
        }
        builtins
    }

    /// The names of a class where a layer gives these parameters.
    pub(crate) fn new(class: &'c Class, signature: &Signature, builtins: Cow<'c, [Value]>) -> Result<Self, Problem> {
        let cells = (0..class.parameters.len() + class.variables.len()).map(|_| OnceCell::new()).collect();
        let layer = LayerEnv { class, builtins, cells };
        for (position, value) in &signature.arguments {
            let Some(parameter) = class.parameters.get(usize::from(*position)) else {
                continue;
            };
            let Some(value) = check_parameter(parameter, value) else {
                let problem = Problem::new(
                    if matches!(value, Value::Number(_)) { Code::NotACount } else { Code::ParameterType },
                    format!("`{}` is a {}, found {value} at this workload", parameter.name, parameter.kind.word()),
                );
                return Err(problem);
            };
            if let Some(cell) = layer.cells.get(usize::from(*position)) {
                let _ = cell.set(Ok(value));
            }
        }
        Ok(layer)
    }
}

impl LayerEnv<'_> {
    /// Whether anything has asked for a parameter or a variable of the class.
    pub(crate) fn is_known(&self, slot: Slot) -> bool {
        let at = usize::from(slot.0).checked_sub(VARIABLES.len() + CONVENTIONS.len());
        at.and_then(|at| self.cells.get(at)).is_some_and(|cell| cell.get().is_some())
    }

    fn require(&self) -> Result<(), Problem> {
        for (condition, message) in &self.class.require {
            match self.value_of(condition)? {
                Value::Bool(true) => {}
                Value::Bool(false) => {
                    let seen = self.render(condition);
                    return Err(Problem::new(Code::RequirementNotMet, format!("{message}: {seen} doesn't hold"))
                        .in_formula(condition, "required here"));
                }
                other => {
                    let message = format!("a requirement of the class is {other}, neither true nor false");
                    return Err(Problem::new(Code::InvalidClass, message).in_formula(condition, "not a condition"));
                }
            }
        }
        Ok(())
    }

    /// A formula with the values put in.
    pub(crate) fn render(&self, formula: &Formula) -> String {
        formula.expr.render(&|slot: &Slot| self.value(slot, 0).map_or_else(|_| "?".to_owned(), |value| value.to_string()))
    }

    /// The definition of a parameter's default or of a variable.
    fn definition(&self, slot: Slot) -> Option<&Formula> {
        let at = usize::from(slot.0).checked_sub(VARIABLES.len() + CONVENTIONS.len())?;
        match self.class.parameters.get(at) {
            Some(parameter) => parameter.default.as_ref(),
            None => self.class.variables.get(at - self.class.parameters.len()).map(|(_, formula)| formula),
        }
    }

    /// The formula whose own value is wrong, if that of another is only made from it.
    fn culprit<'f>(&'f self, formula: &'f Formula, wrong: &dyn Fn(&Result<Value, EvalError>) -> bool) -> &'f Formula {
        let mut at = formula;
        for _ in 0..self.cells.len() {
            let mut deeper = None;
            at.expr.for_each_variable(&mut |slot: &Slot| {
                if deeper.is_none() && wrong(&self.value(slot, 0)) {
                    deeper = self.definition(*slot);
                }
            });
            let Some(next) = deeper else { break };
            at = next;
        }
        at
    }

    pub(crate) fn value_of(&self, formula: &Formula) -> Result<Value, Problem> {
        eval(&formula.expr, self, 0).map_err(|error| {
            let formula = self.culprit(formula, &|value| value.as_ref().is_err_and(|e| *e == error));
            let follows = error == EvalError::Reported;
            let seen = self.render(formula);
            let message = match *seen == *formula.text {
                true => format!("{error}: `{seen}`"),
                false => format!("{error}: `{}` is {seen}", formula.text),
            };
            Problem { follows, ..Problem::new(error.code(), message).in_formula(formula, "in this formula") }
        })
    }

    pub(crate) fn flag(&self, formula: Option<&Formula>, absent: bool) -> Result<bool, Problem> {
        let Some(formula) = formula else {
            return Ok(absent);
        };
        self.value_of(formula)?.as_bool().ok_or_else(|| {
            Problem::new(Code::InvalidClass, format!("`{}` is neither true nor false", formula.text))
                .in_formula(formula, "not a condition")
        })
    }

    fn count(&self, formula: &Formula) -> Result<u128, Problem> {
        let value = self.value_of(formula)?;
        value.as_number().and_then(|n| n.to_count()).ok_or_else(|| self.not_a_count(formula, &value))
    }

    /// A byte formula: a fraction of a byte (4-bit types) is rounded up.
    pub(super) fn bytes(&self, formula: &Formula) -> Result<u128, Problem> {
        let value = self.value_of(formula)?;
        let count = value.as_number().and_then(Exact::ceil).and_then(|n| n.to_count());
        count.ok_or_else(|| self.not_a_count(formula, &value))
    }

    fn not_a_count(&self, formula: &Formula, value: &Value) -> Problem {
        let negative = |v: &Value| v.as_number().is_some_and(|n| n < Exact::ZERO);
        let formula = match value {
            Value::Number(n) if !n.is_integer() => {
                self.culprit(formula, &|v| matches!(v, Ok(Value::Number(n)) if !n.is_integer()))
            }
            value if negative(value) => self.culprit(formula, &|v| v.as_ref().is_ok_and(negative)),
            _ => formula,
        };
        let value = eval(&formula.expr, self, 0).unwrap_or(Value::Null);
        let seen = self.render(formula);
        let message = if seen == value.to_string() {
            format!("`{}` is {value}, not a non-negative integer", formula.text)
        } else {
            format!("`{}` is {seen} = {value}, not a non-negative integer", formula.text)
        };
        Problem::new(Code::NotACount, message).in_formula(formula, "a count is needed")
    }

    pub(crate) fn shape(&self, shape: &ShapeDef) -> Result<Vec<u128>, Problem> {
        match shape {
            ShapeDef::Dims(dims) => {
                let mut out = Vec::with_capacity(dims.len());
                for dim in dims {
                    match dim {
                        Dim::Size(formula) => self.dims(formula, &mut out)?,
                        Dim::Leading => out.push(self.tokens()?),
                    }
                }
                Ok(out)
            }
            ShapeDef::List(formula) => {
                let mut out = Vec::new();
                self.dims(formula, &mut out)?;
                Ok(out)
            }
        }
    }

    /// The dimensions that a formula gives: a count is one, a list several.
    pub(super) fn dims(&self, formula: &Formula, out: &mut Vec<u128>) -> Result<(), Problem> {
        let value = self.value_of(formula)?;
        let count = |item: &Value| item.as_number().and_then(|n| n.to_count()).ok_or_else(|| self.not_a_count(formula, &value));
        match &value {
            Value::List(items) => items.iter().try_for_each(|item| {
                out.push(count(item)?);
                Ok(())
            }),
            single => {
                out.push(count(single)?);
                Ok(())
            }
        }
    }

    /// The product of the leading dimensions.
    pub(super) fn tokens(&self) -> Result<u128, Problem> {
        let value = match self.class.tokens.map(|slot| self.value(&slot, 0)) {
            Some(Err(EvalError::Reported)) => {
                return Err(Problem { follows: true, ..Problem::new(Code::NotACount, "`tokens` has no value") });
            }
            value => value.and_then(Result::ok),
        };
        let count = value.and_then(|v| v.as_number()).and_then(|n| n.to_count());
        count.ok_or_else(|| Problem::new(Code::NotACount, "`tokens` is not a non-negative integer"))
    }

    /// The weights, of which some may be quantized: then the others have bytes of their own.
    fn tensors(&self, bytes: Exact, unquantized: Option<Exact>) -> Result<Vec<Tensor>, Problem> {
        let mut tensors = Vec::with_capacity(self.class.weights.len());
        for weight in &self.class.weights {
            if self.flag(weight.when.as_ref(), true)? {
                let own = unquantized.filter(|_| !self.class.quantized.contains(&weight.name));
                tensors.push(tensor(&weight.name, self.shape(&weight.shape)?, own.unwrap_or(bytes))?);
            }
        }
        Ok(tensors)
    }

    fn inputs_bytes(&self) -> Result<u128, Problem> {
        let mut sum = 0u128;
        for input in &self.class.inputs {
            if self.flag(input.when.as_ref(), true)? {
                sum = sum.checked_add(self.value_bytes(input)?).ok_or_else(|| beyond("inputs"))?;
            }
        }
        Ok(sum)
    }

    /// The outputs' own storage: views have none, and what persists is cache.
    fn outputs_bytes(&self) -> Result<u128, Problem> {
        let mut sum = 0u128;
        for output in &self.class.outputs {
            let own = !self.flag(output.view.as_ref(), false)? && !self.flag(output.persistent.as_ref(), false)?;
            if self.flag(output.when.as_ref(), true)? && own {
                sum = sum.checked_add(self.value_bytes(output)?).ok_or_else(|| beyond("outputs"))?;
            }
        }
        Ok(sum)
    }

    fn cost(&self, tensors: &[Tensor], phase: Phase) -> Result<Cost, Problem> {
        let class = self.class;
        let mut cost = weights_alone(tensors)?;
        cost.set(Quantity::MatmulFlops, self.count(&class.flops.matmul)?);
        cost.set(Quantity::VectorFlops, self.count(&class.flops.vector)?);
        cost.set(Quantity::Transcendentals, self.count(&class.flops.transcendental)?);
        if phase == Phase::Train {
            let Some(backward) = &class.backward else {
                let message = format!("`{}` has no formulas for the backward pass, which training needs", class.name);
                return Err(Problem::new(Code::NoBackwardFormula, message));
            };
            cost.set(Quantity::BackwardMatmulFlops, self.count(&backward.matmul)?);
            cost.set(Quantity::BackwardVectorFlops, self.count(&backward.vector)?);
            cost.set(Quantity::BackwardTranscendentals, self.count(&backward.transcendental)?);
        }
        if let Some(formula) = &class.active_params {
            cost.set(Quantity::ActiveParams, self.count(formula)?);
        }
        if let Some(formula) = &class.weights_read {
            cost.set(Quantity::WeightsRead, self.bytes(formula)?);
        }
        let outputs = self.outputs_bytes()?;
        let or = |formula: &Option<Formula>, default: &dyn Fn() -> Result<u128, Problem>| match formula {
            Some(formula) => self.bytes(formula),
            None => default(),
        };
        cost.set(Quantity::ActivationsRead, or(&class.activations_read, &|| self.inputs_bytes())?);
        cost.set(Quantity::ActivationsWritten, or(&class.activations_written, &|| Ok(outputs))?);
        cost.set(Quantity::CacheRead, or(&class.cache_read, &|| Ok(0))?);
        cost.set(Quantity::CacheWritten, or(&class.cache_written, &|| Ok(0))?);
        cost.set(Quantity::CacheBytes, or(&class.cache, &|| Ok(0))?);
        cost.set(Quantity::ActivationBytes, outputs);
        Ok(cost)
    }
}
