//! Gives a flat model its workload: every expression that was left gets its value.
//!
//! A [`FlatModel`] and a [`Workload`] come in, a [`BoundModel`] goes out. Rows that ask their class for the same share one signature, so
//! that `cost` evaluates it once.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::catalog::Class;
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::{EvalError, Value, eval};
use crate::flatten::{Argument, Binding, FlatModel, OwnWeight, Row};
use crate::workload::{Request, VARIABLES, Workload, WorkloadVar, value_problem};

/// A model at a workload: no expression left.
#[derive(Debug)]
pub struct BoundModel {
    pub workload: Workload,
    /// Workload variables and conventions, as class formulas see them.
    pub builtins: Vec<Value>,
    /// What is asked of a class, each only once.
    pub signatures: Vec<Signature>,
    /// One a row of the flat model.
    pub rows: Vec<BoundRow>,
}

/// A class with the values of its parameters.
pub struct Signature {
    pub class: Option<Arc<Class>>,
    /// Given parameters, by position.
    pub arguments: Vec<(u16, Value)>,
    /// Workload values replaced, by slot.
    pub overrides: Vec<(u16, Value)>,
    pub weights: Option<Vec<OwnWeight>>,
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Signature");
        out.field("class", &self.class.as_ref().map(|class| &class.name));
        out.field("arguments", &self.arguments).field("overrides", &self.overrides).field("weights", &self.weights).finish()
    }
}

#[derive(Debug, Clone, Copy)]
pub struct BoundRow {
    /// `None`: a value couldn't be had, which was reported.
    pub signature: Option<u32>,
    /// How often each instance runs.
    pub calls: u128,
}

/// Binds a model to the workload that a request asks for. What is wrong goes to `diagnostics`.
pub fn bind(flat: &FlatModel, request: &Request, diagnostics: &mut Diagnostics) -> BoundModel {
    let defaults = defaults(flat, diagnostics);
    for (name, value) in &request.settings {
        if let Some(expected) = value_problem(name, value) {
            let message = format!("`{name}` can't be {value}: it is {expected}");
            diagnostics.push(Diagnostic::new(Code::InvalidWorkload, message));
        }
    }
    let mut workload = Workload::complete(request, &defaults, flat.positions.map(|(n, _)| n));
    let builtins = workload.values(request, &defaults);
    let mut binder = Binder { flat, values: builtins.iter().take(VARIABLES.len()).cloned().collect(), diagnostics };
    workload.more = binder.own_variables(request);
    check_workload(&workload, binder.diagnostics);
    let (signatures, rows) = binder.rows();
    BoundModel { workload, builtins, signatures, rows }
}

/// The model's defaults for built-in workload variables, which must be known without a workload.
fn defaults(flat: &FlatModel, diagnostics: &mut Diagnostics) -> Vec<(Arc<str>, Value)> {
    let mut defaults = Vec::new();
    for (name, argument) in flat.workload.iter().filter(|(name, _)| VARIABLES.iter().any(|(n, _)| *n == &**name)) {
        let problem = match &argument.binding {
            Binding::Known(value) => {
                value_problem(name, value).map(|expected| format!("`{name}` can't be {value}: it is {expected}"))
            }
            Binding::Workload(_) => Some(format!("the default of `{name}` depends on the workload itself")),
        };
        match (&argument.binding, problem) {
            (_, Some(message)) => {
                diagnostics.push(Diagnostic::new(Code::InvalidWorkload, message).at(argument.span, "no default for it"));
            }
            (Binding::Known(value), None) => defaults.push((name.clone(), value.clone())),
            (Binding::Workload(_), None) => {}
        }
    }
    defaults
}

fn check_workload(workload: &Workload, diagnostics: &mut Diagnostics) {
    for (name, value) in [("batch_size", workload.batch_size), ("seq_len", workload.seq_len)] {
        if value == 0 {
            diagnostics.push(Diagnostic::new(Code::InvalidWorkload, format!("`{name}` is 0, it must be at least 1")));
        }
    }
    if workload.logit_len > workload.seq_len {
        let message =
            format!("`logit_len` is {}, more than the {} positions of the sequence", workload.logit_len, workload.seq_len);
        diagnostics.push(Diagnostic::new(Code::InvalidWorkload, message));
    }
}

struct Binder<'f, 'd> {
    flat: &'f FlatModel,
    /// The workload variables' values, built-in ones first.
    values: Vec<Value>,
    diagnostics: &'d mut Diagnostics,
}

/// What a row asks its class for, wherever it was written.
struct Question<'f>(&'f Row);

impl<'f> Question<'f> {
    /// Arguments, then overrides.
    fn bindings(&self) -> impl Iterator<Item = (bool, u16, &'f Binding)> + use<'f> {
        let arguments = self.0.arguments.iter().map(|(at, argument)| (false, *at, &argument.binding));
        arguments.chain(self.0.overrides.iter().map(|(at, argument)| (true, *at, &argument.binding)))
    }
}

impl PartialEq for Question<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.class == other.0.class && self.0.weights == other.0.weights && self.bindings().eq(other.bindings())
    }
}

impl Eq for Question<'_> {}

impl Hash for Question<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.class.hash(state);
        self.0.weights.hash(state);
        self.bindings().for_each(|binding| binding.hash(state));
    }
}

impl<'f> Binder<'f, '_> {
    /// The model's own workload variables: what was set, else their defaults, in the order of the file.
    fn own_variables(&mut self, request: &Request) -> Vec<(Arc<str>, Value)> {
        let flat = self.flat;
        let mut own = Vec::new();
        for (name, argument) in flat.workload.iter().filter(|(name, _)| VARIABLES.iter().all(|(n, _)| *n != &**name)) {
            let setting = request.settings.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.clone());
            let value = setting.or_else(|| self.argument(argument)).unwrap_or(Value::Null);
            self.values.push(value.clone());
            own.push((name.clone(), value));
        }
        own
    }

    fn rows(&mut self) -> (Vec<Signature>, Vec<BoundRow>) {
        let flat = self.flat;
        let mut known: HashMap<Question<'f>, Option<u32>, RandomState> =
            HashMap::with_capacity_and_hasher(flat.rows.len(), RandomState::default());
        let mut signatures = Vec::new();
        let mut rows = Vec::with_capacity(flat.rows.len());
        for info in &flat.rows {
            let signature = *known.entry(Question(&info.row)).or_insert_with_key(|Question(row)| {
                signatures.push(self.signature(row)?);
                u32::try_from(signatures.len() - 1).ok()
            });
            rows.push(BoundRow { signature, calls: self.calls(&info.calls) });
        }
        (signatures, rows)
    }

    fn signature(&mut self, row: &Row) -> Option<Signature> {
        let mut values = |list: &[(u16, Argument)]| -> Option<Vec<(u16, Value)>> {
            list.iter().map(|(at, argument)| Some((*at, self.argument(argument)?))).collect()
        };
        Some(Signature {
            arguments: values(&row.arguments)?,
            overrides: values(&row.overrides)?,
            class: row.class.as_ref().map(|class| class.0.clone()),
            weights: row.weights.clone(),
        })
    }

    fn calls(&mut self, calls: &[Argument]) -> u128 {
        let mut product = 1u128;
        for argument in calls {
            let Some(value) = self.argument(argument) else {
                return 0;
            };
            let Some(count) = value.as_number().and_then(|n| n.to_count()) else {
                let diagnostic = Diagnostic::new(Code::NotACount, format!("`calls` is {}", self.shown(argument, &value)))
                    .at(argument.span, "expected a non-negative integer");
                self.diagnostics.push(diagnostic);
                return 0;
            };
            match product.checked_mul(count) {
                Some(more) => product = more,
                None => {
                    let diagnostic = Diagnostic::new(Code::Overflow, "calls of calls exceed 2^128").at(argument.span, "too many");
                    self.diagnostics.push(diagnostic);
                    return 0;
                }
            }
        }
        product
    }

    fn argument(&mut self, argument: &Argument) -> Option<Value> {
        let residual = match &argument.binding {
            Binding::Known(value) => return Some(value.clone()),
            Binding::Workload(residual) => residual,
        };
        let values = &self.values;
        let later = Cell::new(false);
        let env = |variable: &WorkloadVar| {
            values.get(usize::from(variable.0)).cloned().ok_or_else(|| {
                later.set(true);
                EvalError::Reported
            })
        };
        match eval(&residual.expr, &env, 0) {
            Ok(value) => Some(value),
            Err(EvalError::Reported) if later.get() => {
                let message =
                    "workload variables get their values in the order of the file, and this one uses itself or a later one";
                self.diagnostics.push(Diagnostic::new(Code::CyclicVariables, message).at(argument.span, "not known yet"));
                None
            }
            Err(EvalError::Reported) => None,
            Err(error) => {
                let code = match error {
                    EvalError::DivisionByZero => Code::DivisionByZero,
                    EvalError::Overflow => Code::Overflow,
                    EvalError::OutOfRange { .. } => Code::OutOfRange,
                    EvalError::TooDeep => Code::EvaluationTooDeep,
                    EvalError::Type { .. } | EvalError::Unknown(_) | EvalError::Reported => Code::TypeMismatch,
                };
                let seen = residual
                    .expr
                    .render(&|v: &WorkloadVar| values.get(usize::from(v.0)).map_or("?".to_owned(), Value::to_string));
                self.diagnostics.push(Diagnostic::new(code, format!("{error}: {seen}")).at(argument.span, "at this workload"));
                None
            }
        }
    }

    /// `7 / 2 = 3.5`: an argument with the workload's values put in.
    fn shown(&self, argument: &Argument, value: &Value) -> String {
        match &argument.binding {
            Binding::Known(value) => value.to_string(),
            Binding::Workload(residual) => {
                let show = |v: &WorkloadVar| self.values.get(usize::from(v.0)).map_or("?".to_owned(), Value::to_string);
                format!("{} = {value}", residual.expr.render(&show))
            }
        }
    }
}
