//! A class's names and their values in one layer, and what its formulas are with them.
//!
//! A class and what a layer says come in; counts, bytes, conditions and shapes go out, or the [`Problem`] that keeps a formula from having
//! one. This module knows no quantity.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::counting::Counting;
use super::problem::Problem;
use super::rules::Reading;
use crate::catalog::{Class, Dim, Formula, ShapeDef, Slot};
use crate::cost::bind::Signature;
use crate::quantity::workload::BUILTINS;
use crate::syntax::diag::Code;
use crate::syntax::expr::{Domain, Env, EvalError, Exact, Plain, Value, eval_in};

type Found<D> = Result<<D as Domain>::Value, EvalError>;

/// A class's names and their values in one layer. Defaults and variables are evaluated when first asked for.
pub(crate) struct LayerEnv<'c, D: Counting = Plain> {
    pub(super) domain: &'c D,
    pub(super) class: &'c Class,
    pub(super) builtins: Cow<'c, [D::Value]>,
    cells: Vec<OnceCell<Result<D::Value, Box<EvalError>>>>,
}

impl<D: Counting> Env<Slot, D> for LayerEnv<'_, D> {
    fn value(&self, slot: &Slot, depth: u16) -> Result<D::Value, EvalError> {
        let at = usize::from(slot.0);
        let Some(at) = at.checked_sub(BUILTINS) else {
            return Ok(self.builtins.get(at).cloned().unwrap_or_else(|| self.domain.constant(&Value::Null)));
        };
        let Some(cell) = self.cells.get(at) else {
            return Err(EvalError::Reported);
        };
        if let Some(known) = cell.get() {
            return known.clone().map_err(|error| *error);
        }
        let parameter = self.class.parameters.get(at);
        // A required parameter that is missing was reported by `check`.
        let evaluated = |formula: &Formula| match self.domain.short(&formula.expr, self, depth) {
            Some(value) => Ok(value),
            None => eval_in(self.domain, &formula.expr, self, depth),
        };
        let fitting = |value| match parameter {
            Some(parameter) => self.domain.fitting(parameter, &value).ok_or_else(|| EvalError::Type {
                operation: format!("the default of `{}`", parameter.name).into(),
                expected: parameter.kind.expected(),
                found: self.domain.sample(&value),
            }),
            None => Ok(value),
        };
        let made = || self.definition(*slot).map_or(Err(EvalError::Reported), evaluated).and_then(fitting);
        let value = self.domain.kept(made);
        let _ = cell.set(value.clone().map_err(Box::new));
        value
    }

    fn look(&self, slot: &Slot, depth: u16) -> Option<&D::Value> {
        let at = usize::from(slot.0);
        let Some(own) = at.checked_sub(BUILTINS) else { return self.builtins.get(at) };
        let cell = self.cells.get(own)?;
        if cell.get().is_none() {
            // What is wrong with it is said by who asks for the value itself.
            let _ = self.value(slot, depth);
        }
        cell.get()?.as_ref().ok()
    }
}

impl<'c> LayerEnv<'c> {
    /// The names of a class where a layer gives these parameters.
    pub(crate) fn new(class: &'c Class, signature: &Signature, builtins: Cow<'c, [Value]>) -> Self {
        LayerEnv::within(&Plain, class, signature, builtins)
    }
}

impl<'c, D: Counting> LayerEnv<'c, D> {
    /// What class formulas see of the workload in a layer.
    pub(crate) fn builtins<'b>(signature: &Signature<D>, builtins: &'b [D::Value]) -> Cow<'b, [D::Value]> {
        let mut builtins = Cow::Borrowed(builtins);
        for (slot, value) in &signature.overrides {
            if let Some(cell) = builtins.to_mut().get_mut(usize::from(*slot)) {
                *cell = value.clone();
            }
        }
        builtins
    }

    /// The names of a class where a layer gives these parameters.
    pub(crate) fn within(domain: &'c D, class: &'c Class, signature: &Signature<D>, builtins: Cow<'c, [D::Value]>) -> Self {
        let cells = (0..class.parameters.len() + class.variables.len()).map(|_| OnceCell::new()).collect();
        let layer = LayerEnv { domain, class, builtins, cells };
        signature.arguments.for_each(domain, &mut |position, value| {
            if let Some(cell) = layer.cells.get(usize::from(position)) {
                let _ = cell.set(Ok(value));
            }
        });
        layer
    }
}

impl<D: Counting> LayerEnv<'_, D> {
    /// Whether anything has asked for a parameter or a variable of the class.
    pub(crate) fn is_known(&self, slot: Slot) -> bool {
        let at = usize::from(slot.0).checked_sub(BUILTINS);
        at.and_then(|at| self.cells.get(at)).is_some_and(|cell| cell.get().is_some())
    }

    pub(super) fn require(&self) -> Result<(), Problem> {
        for (condition, message) in &self.class.require {
            if self.domain.condition(&condition.expr, self, 0) == Some(true) {
                continue;
            }
            let value = self.value_of(condition)?;
            let Ok(truth) = self.domain.truth("a requirement", &value) else {
                let other = self.domain.sample(&value);
                let message = format!("a requirement of the class is {other}, neither true nor false");
                return Err(Problem::new(Code::InvalidClass, message).in_formula(condition, "not a condition"));
            };
            if !self.domain.holds(&truth) {
                let seen = self.render(condition);
                return Err(Problem::new(Code::RequirementNotMet, format!("{message}: {seen} doesn't hold"))
                    .in_formula(condition, "required here"));
            }
        }
        Ok(())
    }

    /// A formula with the values put in.
    pub(crate) fn render(&self, formula: &Formula) -> String {
        let shown = |value: D::Value| self.domain.plain(&value).map_or_else(|| "?".to_owned(), Value::uncut);
        formula.expr.render(&|slot: &Slot| self.value(slot, 0).map_or_else(|_| "?".to_owned(), shown))
    }

    /// The definition of a parameter's default or of a variable.
    fn definition(&self, slot: Slot) -> Option<&Formula> {
        let at = usize::from(slot.0).checked_sub(BUILTINS)?;
        match self.class.parameters.get(at) {
            Some(parameter) => parameter.default.as_ref(),
            None => self.class.variables.get(at - self.class.parameters.len()).map(|(_, formula)| formula),
        }
    }

    /// The formula whose own value is wrong, if that of another is only made from it.
    fn culprit<'f>(&'f self, formula: &'f Formula, wrong: &dyn Fn(&Found<D>) -> bool) -> &'f Formula {
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

    pub(crate) fn value_of(&self, formula: &Formula) -> Result<D::Value, Problem> {
        eval_in(self.domain, &formula.expr, self, 0).map_err(|error| {
            let formula = self.culprit(formula, &|value| value.as_ref().is_err_and(|e| *e == error));
            let follows = error == EvalError::Reported;
            let seen = self.render(formula);
            let message = match *seen == *formula.text {
                true => format!("{error}: `{seen}`"),
                false => format!("{error}: `{}` is {seen}", formula.text),
            };
            Problem::new(error.code(), message).in_formula(formula, "in this formula").following(follows)
        })
    }

    pub(crate) fn flag(&self, formula: Option<&Formula>, absent: bool) -> Result<D::Truth, Problem> {
        let Some(formula) = formula else {
            return Ok(self.domain.truth_of(absent));
        };
        if let Some(holds) = self.domain.condition(&formula.expr, self, 0) {
            return Ok(self.domain.truth_of(holds));
        }
        self.domain.truth("a condition", &self.value_of(formula)?).map_err(|_| {
            Problem::new(Code::InvalidClass, format!("`{}` is neither true nor false", formula.text))
                .in_formula(formula, "not a condition")
        })
    }

    /// The figure that a formula gives.
    pub(super) fn figure(&self, formula: &Formula, reading: Reading) -> Result<D::Count, Problem> {
        if let Some(count) = self.count(formula) {
            return Ok(count);
        }
        let value = self.value_of(formula)?;
        let count = match reading {
            Reading::Count => self.domain.count(&value),
            Reading::Bytes => self.domain.rounded_up(&value),
        };
        count.ok_or_else(|| self.not_a_count(formula, &value))
    }

    /// The figure of a formula that gives bytes.
    pub(super) fn bytes(&self, formula: &Formula) -> Result<D::Count, Problem> {
        self.figure(formula, Reading::Bytes)
    }

    /// The count that a formula gives by integers alone, as nearly all do.
    fn count(&self, formula: &Formula) -> Option<D::Count> {
        self.domain.integer(&formula.expr, self, 0).and_then(|n| u128::try_from(n).ok()).map(|n| self.domain.of(n))
    }

    fn not_a_count(&self, formula: &Formula, value: &D::Value) -> Problem {
        let number = |v: &D::Value| self.domain.plain(v).and_then(Value::as_number);
        let negative = |v: &D::Value| number(v).is_some_and(|n| n < Exact::ZERO);
        let broken = |v: &D::Value| number(v).is_some_and(|n| !n.is_integer());
        let formula = match value {
            value if broken(value) => self.culprit(formula, &|v| v.as_ref().is_ok_and(broken)),
            value if negative(value) => self.culprit(formula, &|v| v.as_ref().is_ok_and(negative)),
            _ => formula,
        };
        let value = eval_in(self.domain, &formula.expr, self, 0).map_or(Value::Null, |value| self.domain.sample(&value));
        let seen = self.render(formula);
        let message = if seen == value.to_string() {
            format!("`{}` is {value}, not a non-negative integer", formula.text)
        } else {
            format!("`{}` is {seen} = {value}, not a non-negative integer", formula.text)
        };
        Problem::new(Code::NotACount, message).in_formula(formula, "a count is needed")
    }

    pub(crate) fn shape(&self, shape: &ShapeDef) -> Result<Vec<D::Count>, Problem> {
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
    pub(super) fn dims(&self, formula: &Formula, out: &mut Vec<D::Count>) -> Result<(), Problem> {
        if let Some(count) = self.count(formula) {
            out.push(count);
            return Ok(());
        }
        let value = self.value_of(formula)?;
        let items = self.domain.items(&value);
        for item in items.as_deref().unwrap_or(std::slice::from_ref(&value)) {
            out.push(self.domain.count(item).ok_or_else(|| self.not_a_count(formula, &value))?);
        }
        Ok(())
    }

    /// The product of the leading dimensions.
    pub(super) fn tokens(&self) -> Result<D::Count, Problem> {
        let known = self.class.tokens.and_then(|slot| self.domain.count(self.look(&slot, 0)?));
        if let Some(known) = known {
            return Ok(known);
        }
        let value = match self.class.tokens.map(|slot| self.value(&slot, 0)) {
            Some(Err(EvalError::Reported)) => {
                return Err(Problem::new(Code::NotACount, "`tokens` has no value").following(true));
            }
            value => value.and_then(Result::ok),
        };
        let count = value.and_then(|value| self.domain.count(&value));
        count.ok_or_else(|| Problem::new(Code::NotACount, "`tokens` is not a non-negative integer"))
    }
}
