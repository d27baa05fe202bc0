//! A class's names and their values in one layer, and what its formulas are with them.
//!
//! A class and what a layer says come in; counts, bytes, conditions and shapes go out, or the [`Problem`] that keeps a formula from having
//! one. This module knows no quantity.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::problem::Problem;
use super::rules::Reading;
use crate::catalog::{Class, Dim, Formula, ShapeDef, Slot, check_parameter};
use crate::cost::bind::Signature;
use crate::quantity::workload::BUILTINS;
use crate::syntax::diag::Code;
use crate::syntax::expr::{Env, EvalError, Exact, Value, eval, eval_condition, eval_integer};

/// A class's names and their values in one layer. Defaults and variables are evaluated when first asked for.
pub(crate) struct LayerEnv<'c> {
    pub(super) class: &'c Class,
    pub(super) builtins: Cow<'c, [Value]>,
    cells: Vec<OnceCell<Result<Value, Box<EvalError>>>>,
}

impl Env<Slot> for LayerEnv<'_> {
    fn value(&self, slot: &Slot, depth: u16) -> Result<Value, EvalError> {
        let at = usize::from(slot.0);
        let Some(at) = at.checked_sub(BUILTINS) else { return Ok(self.builtins.get(at).cloned().unwrap_or(Value::Null)) };
        let Some(cell) = self.cells.get(at) else {
            return Err(EvalError::Reported);
        };
        if let Some(known) = cell.get() {
            return known.clone().map_err(|error| *error);
        }
        let parameter = self.class.parameters.get(at);
        // A required parameter that is missing was reported by `check`.
        let evaluated = |formula: &Formula| match eval_integer(&formula.expr, self, depth) {
            Some(n) => Ok(Value::Number(Exact::integer(n))),
            None => eval(&formula.expr, self, depth),
        };
        let value = self.definition(*slot).map_or(Err(EvalError::Reported), evaluated).and_then(|value| match parameter {
            Some(parameter) => check_parameter(parameter, &value).ok_or_else(|| EvalError::Type {
                operation: format!("the default of `{}`", parameter.name).into(),
                expected: parameter.kind.expected(),
                found: value,
            }),
            None => Ok(value),
        });
        let _ = cell.set(value.clone().map_err(Box::new));
        value
    }

    fn look(&self, slot: &Slot, depth: u16) -> Option<&Value> {
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
    pub(crate) fn new(class: &'c Class, signature: &Signature, builtins: Cow<'c, [Value]>) -> Self {
        let cells = (0..class.parameters.len() + class.variables.len()).map(|_| OnceCell::new()).collect();
        let layer = LayerEnv { class, builtins, cells };
        for (position, value) in signature.arguments.iter() {
            if let Some(cell) = layer.cells.get(usize::from(position)) {
                let _ = cell.set(Ok(value.clone()));
            }
        }
        layer
    }
}

impl LayerEnv<'_> {
    /// Whether anything has asked for a parameter or a variable of the class.
    pub(crate) fn is_known(&self, slot: Slot) -> bool {
        let at = usize::from(slot.0).checked_sub(BUILTINS);
        at.and_then(|at| self.cells.get(at)).is_some_and(|cell| cell.get().is_some())
    }

    pub(super) fn require(&self) -> Result<(), Problem> {
        for (condition, message) in &self.class.require {
            if eval_condition(&condition.expr, self, 0) == Some(true) {
                continue;
            }
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
        formula.expr.render(&|slot: &Slot| self.value(slot, 0).map_or_else(|_| "?".to_owned(), |value| value.uncut()))
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
            Problem::new(error.code(), message).in_formula(formula, "in this formula").following(follows)
        })
    }

    pub(crate) fn flag(&self, formula: Option<&Formula>, absent: bool) -> Result<bool, Problem> {
        let Some(formula) = formula else {
            return Ok(absent);
        };
        if let Some(holds) = eval_condition(&formula.expr, self, 0) {
            return Ok(holds);
        }
        self.value_of(formula)?.as_bool().ok_or_else(|| {
            Problem::new(Code::InvalidClass, format!("`{}` is neither true nor false", formula.text))
                .in_formula(formula, "not a condition")
        })
    }

    /// The figure that a formula gives.
    pub(super) fn figure(&self, formula: &Formula, reading: Reading) -> Result<u128, Problem> {
        if let Some(count) = self.count(formula) {
            return Ok(count);
        }
        let value = self.value_of(formula)?;
        let number = match reading {
            Reading::Count => value.as_number(),
            Reading::Bytes => value.as_number().and_then(Exact::ceil),
        };
        number.and_then(|n| n.to_count()).ok_or_else(|| self.not_a_count(formula, &value))
    }

    /// The figure of a formula that gives bytes.
    pub(super) fn bytes(&self, formula: &Formula) -> Result<u128, Problem> {
        self.figure(formula, Reading::Bytes)
    }

    /// The count that a formula gives by integers alone, as nearly all do.
    fn count(&self, formula: &Formula) -> Option<u128> {
        eval_integer(&formula.expr, self, 0).and_then(|n| u128::try_from(n).ok())
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
        if let Some(count) = self.count(formula) {
            out.push(count);
            return Ok(());
        }
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
        let known = self.class.tokens.and_then(|slot| self.look(&slot, 0)?.as_number()?.to_count());
        if let Some(known) = known {
            return Ok(known);
        }
        let value = match self.class.tokens.map(|slot| self.value(&slot, 0)) {
            Some(Err(EvalError::Reported)) => {
                return Err(Problem::new(Code::NotACount, "`tokens` has no value").following(true));
            }
            value => value.and_then(Result::ok),
        };
        let count = value.and_then(|v| v.as_number()).and_then(|n| n.to_count());
        count.ok_or_else(|| Problem::new(Code::NotACount, "`tokens` is not a non-negative integer"))
    }
}
