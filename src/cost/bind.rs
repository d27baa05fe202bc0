//! Gives a flat model its workload: every expression that was left gets its value.
//!
//! A [`FlatModel`] and a [`Workload`] come in, a [`BoundModel`] goes out. Rows that ask their class for the same share one signature, so
//! that `cost` evaluates it once.

use std::collections::HashMap;
use std::sync::Arc;

use super::counting::Counting;
use crate::catalog::{Class, Element, Parameter};
use crate::cost::workload::{CompleteWorkload, Workload, value_problem};
use crate::flat::{FlatModel, InputTensor, OwnWeight, Row, RowInfo};
use crate::language::check::expected;
use crate::language::{Argument, Binding, Residual};
use crate::lower::Execution;
use crate::quantity::workload::{Cache, DERIVED, OTHER_WEIGHT_DTYPE_BYTES, Phase, VARIABLES, WEIGHT_DTYPE_BYTES, WorkloadVar};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::{Domain, EvalError, Exact, MOST_VALUES, Plain, Value, eval, eval_in};

/// A model at a workload: no expression left.
#[derive(Debug)]
pub struct BoundModel {
    pub workload: CompleteWorkload,
    /// Workload variables and conventions, as class formulas see them.
    pub builtins: Vec<Value>,
    /// What is asked of a class, each only once.
    pub signatures: Vec<Signature>,
    /// One a row of the flat model.
    pub rows: Arc<[BoundRow]>,
    /// The tensors that the model is called with.
    pub inputs: Vec<BoundInput>,
    /// The workload variables' values; `None`: it has none, which was reported.
    values: Vec<Option<Value>>,
}

/// A tensor that the model is called with.
#[derive(Debug)]
pub struct BoundInput {
    /// `None`: it couldn't be had, which was reported.
    pub shape: Option<Vec<u128>>,
    pub element: Element,
}

impl BoundModel {
    /// The count that an argument is at this workload; what is wrong with it was reported when its row was bound.
    #[must_use]
    pub fn count(&self, argument: &Argument) -> Option<u128> {
        let value = match &argument.binding {
            Binding::Known(value) => value.clone(),
            Binding::Workload(residual) => {
                let env = |variable: &WorkloadVar| match self.values.get(usize::from(variable.0)) {
                    Some(Some(value)) => Ok(value.clone()),
                    _ => Err(EvalError::Reported),
                };
                eval(&residual.expr, &env, 0).ok()?
            }
        };
        value.as_number().and_then(|n| n.to_count())
    }
}

/// A class with the values of its parameters.
#[derive(Debug, Clone)]
pub struct Signature<D: Counting = Plain> {
    pub class: Option<Arc<Class>>,
    pub arguments: Arguments<D>,
    /// Workload values replaced, by slot.
    pub overrides: Vec<(u16, D::Value)>,
    pub weights: Option<Arc<[OwnWeight]>>,
    /// Where some of the weights are quantized: what the others have.
    pub quantized: Option<Box<Quantized>>,
    /// All of its weights are stored as `weight_dtype_bytes` says, those too that stay in float32 by themselves.
    pub all_stored: bool,
    /// It runs without gradients in training.
    pub no_grad: bool,
}

/// What a layer's weights have beside the bits of those that are quantized.
#[derive(Debug, Clone)]
pub struct Quantized {
    /// Bytes of an element that isn't quantized.
    pub others: Exact,
    /// Bytes of each quantized matrix besides those of its elements.
    pub matrix_bytes: Exact,
    /// Whether a checkpoint says so.
    pub published: bool,
    /// Bits of an element of single weights.
    pub weights: Arc<[(Arc<str>, Exact)]>,
}

impl Quantized {
    /// Bytes of an element of a weight that the checkpoint speaks of by its name.
    #[must_use]
    pub fn own(&self, weight: &str) -> Option<Exact> {
        let (_, bits) = self.weights.iter().find(|(name, _)| **name == *weight)?;
        bits.checked_div(Exact::integer(8))
    }
}

/// The parameters that a layer gives its class, each of its kind.
#[derive(Debug, Clone)]
pub enum Arguments<D: Domain = Plain> {
    /// None depends on the workload: as the flat row has them.
    Known(Arc<[(u16, Argument)]>),
    Bound(Box<[(u16, D::Value)]>),
}

impl Arguments {
    /// Each by its position in the class.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Value)> {
        let bound = if let Arguments::Bound(bound) = self { &bound[..] } else { &[] };
        self.known().chain(bound.iter().map(|(at, value)| (*at, value)))
    }
}

impl<D: Domain> Arguments<D> {
    /// Those that were known without a workload, if all were.
    fn known(&self) -> impl Iterator<Item = (u16, &Value)> {
        let known = if let Arguments::Known(known) = self { &known[..] } else { &[] };
        known.iter().filter_map(|(at, argument)| match &argument.binding {
            Binding::Known(value) => Some((*at, value)),
            Binding::Workload(_) => None,
        })
    }

    /// Each by its position in the class, as values of the domain.
    pub(super) fn for_each(&self, domain: &D, visit: &mut dyn FnMut(u16, D::Value)) {
        self.known().for_each(|(at, value)| visit(at, domain.constant(value)));
        if let Arguments::Bound(bound) = self {
            bound.iter().for_each(|(at, value)| visit(*at, value.clone()));
        }
    }
}

impl<D: Counting> Signature<D> {
    /// Some of its weights have so many bytes an element, the others what `quantized` says. What was said of them before is forgotten.
    fn quantize(&mut self, domain: &D, bytes: Exact, quantized: Quantized) {
        self.store_weights(domain, bytes, quantized.others);
        self.quantized = Some(Box::new(quantized));
    }

    /// All of its weights have so many bytes an element. What was said of them before is forgotten.
    fn store_all_weights(&mut self, domain: &D, bytes: Exact) {
        self.store_weights(domain, bytes, bytes);
        self.quantized = None;
        self.all_stored = true;
    }

    fn store_weights(&mut self, domain: &D, bytes: Exact, others: Exact) {
        let slots = [(WEIGHT_DTYPE_BYTES, bytes), (OTHER_WEIGHT_DTYPE_BYTES, others)];
        for (slot, bytes) in slots.into_iter().filter_map(|(slot, bytes)| Some((u16::try_from(slot).ok()?, bytes))) {
            self.overrides.retain(|(own, _)| *own != slot);
            self.overrides.push((slot, domain.constant(&Value::Number(bytes))));
        }
    }

    /// The phase in which it runs: without gradients there is no backward pass.
    #[must_use]
    pub fn phase(&self, phase: Phase) -> Phase {
        if self.no_grad { Phase::Prefill } else { phase }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct BoundRow<C = u128> {
    /// `None`: a value couldn't be had, which was reported.
    pub signature: Option<u32>,
    /// How many instances share it.
    pub repeats: u128,
    /// How often each instance runs.
    pub calls: C,
}

/// Binds a model to the workload that a request asks for. What is wrong goes to `diagnostics`.
pub fn bind(flat: &FlatModel, execution: Execution, asked: &Workload, diagnostics: &mut Diagnostics) -> BoundModel {
    let defaults = defaults(flat, diagnostics);
    for (name, value) in &asked.settings {
        if let Some(expected) = value_problem(name, value) {
            let message = format!("`{name}` can't be {value}: it is {expected}");
            diagnostics.push(Diagnostic::new(Code::InvalidWorkload, message));
        }
    }
    let mut workload = CompleteWorkload::complete(
        asked,
        execution,
        &defaults,
        flat.positions.map(|(n, _)| n),
        flat.checkpoint.dtype.as_ref().map(|(dtype, _)| dtype),
    );
    let builtins = workload.values(asked, &defaults);
    let values = builtins.iter().take(VARIABLES.len()).cloned().map(Some).collect();
    let mut binder = Binder { domain: &Plain, flat, values, diagnostics };
    workload.more = binder.own_variables(asked);
    check_workload(&workload, binder.diagnostics);
    let (mut signatures, mut rows) = binder.rows();
    binder.quantized(asked, &workload, &mut signatures, &mut rows);
    binder.weight_dtypes(asked, &mut signatures, &mut rows);
    let inputs = binder.inputs(&workload);
    let values = binder.values;
    BoundModel { workload, builtins, signatures, rows: rows.into(), inputs, values }
}

/// The model's own defaults for the built-in variables.
fn defaults(flat: &FlatModel, diagnostics: &mut Diagnostics) -> Vec<(Arc<str>, Value)> {
    let mut defaults = Vec::new();
    for (name, argument) in flat.workload.iter().filter(|(name, _)| is_builtin(name)) {
        let problem = match &argument.binding {
            Binding::Workload(_) => Some("known without a workload, whose default it is"),
            Binding::Known(Value::Number(n)) if n.is_zero() && matches!(&**name, "batch_size" | "seq_len") => Some("at least 1"),
            Binding::Known(value) => value_problem(name, value),
        };
        match (problem, &argument.binding) {
            // `check` has said why these have no default.
            _ if DERIVED.contains(&&**name) => {}
            (None, Binding::Known(value)) => defaults.push((name.clone(), value.clone())),
            (problem, binding) => {
                let found = if let Binding::Known(value) = binding { format!(" {value}") } else { String::new() };
                let message = format!("the default{found} of `{name}` makes no workload");
                let label = format!("must be {}", problem.unwrap_or_default());
                diagnostics.push(Diagnostic::new(Code::InvalidWorkload, message).at(argument.span, label));
            }
        }
    }
    defaults
}

fn is_builtin(name: &str) -> bool {
    VARIABLES.iter().any(|(builtin, _)| *builtin == name)
}

fn check_workload(workload: &CompleteWorkload, diagnostics: &mut Diagnostics) {
    for (name, value) in [("batch_size", workload.batch_size), ("seq_len", workload.seq_len)] {
        if value == 0 {
            diagnostics.push(Diagnostic::new(Code::InvalidWorkload, format!("`{name}` is 0, it must be at least 1")));
        }
    }
    if workload.past_len > 0 && workload.cache == Cache::Off && workload.phase != Phase::Train {
        let message = format!("without a cache there are no {} cached tokens", workload.past_len);
        let help = "leave out `--cache off`, or set `--past 0`";
        diagnostics.push(Diagnostic::new(Code::InvalidWorkload, message).help(help));
    }
    if workload.logit_len > workload.seq_len {
        let message =
            format!("`logit_len` is {}, more than the {} positions of the sequence", workload.logit_len, workload.seq_len);
        diagnostics.push(Diagnostic::new(Code::InvalidWorkload, message));
    }
}

/// What the signatures and rows of a model are where its workload variables have values of a domain, built-in ones first. `None`: something was
/// wrong, which goes to `diagnostics`.
pub fn bind_in<D: Counting>(
    domain: &D,
    flat: &FlatModel,
    asked: &Workload,
    workload: &CompleteWorkload,
    values: Vec<D::Value>,
    diagnostics: &mut Diagnostics,
) -> (Vec<Signature<D>>, Vec<BoundRow<D::Count>>) {
    let mut binder = Binder { domain, flat, values: values.into_iter().map(Some).collect(), diagnostics };
    let (mut signatures, mut rows) = binder.rows();
    binder.quantized(asked, workload, &mut signatures, &mut rows);
    binder.weight_dtypes(asked, &mut signatures, &mut rows);
    // A dimension of what the model is called with is none of its rows', and may be wrong, too.
    for argument in flat.inputs.iter().flatten().filter_map(|input| input.shape.as_ref()).flatten() {
        let _ = binder.dimension(argument);
    }
    (signatures, rows)
}

struct Binder<'f, 'd, D: Counting> {
    domain: &'f D,
    flat: &'f FlatModel,
    /// The workload variables' values, built-in ones first; `None`: it has none, which was reported.
    values: Vec<Option<D::Value>>,
    diagnostics: &'d mut Diagnostics,
}

/// Workload variables may depend on others through this many steps: bounds the stack.
const MAX_CHAIN: usize = 128;

/// How far the evaluation of a variable is.
#[derive(Clone, Copy)]
enum State {
    Open,
    Busy,
    Done,
}

impl<'f> Binder<'f, '_, Plain> {
    /// The model's own workload variables: what was set, else their defaults, in the order of the file.
    fn own_variables(&mut self, request: &Workload) -> Vec<(Arc<str>, Value)> {
        let own: Vec<&'f (Arc<str>, Argument)> = self.flat.workload.iter().filter(|(name, _)| !is_builtin(name)).collect();
        let first = self.values.len();
        self.values.resize(first + own.len(), None);
        let mut state = vec![State::Open; own.len()];
        for at in 0..own.len() {
            self.own_variable(at, first, &own, &mut state, request, 0);
        }
        let value = |at: usize| self.values.get(first + at).cloned().flatten().unwrap_or(Value::Null);
        own.iter().enumerate().map(|(at, (name, _))| (name.clone(), value(at))).collect()
    }

    /// The value of one of them, after those that it depends on.
    fn own_variable(
        &mut self,
        at: usize,
        first: usize,
        own: &[&'f (Arc<str>, Argument)],
        state: &mut [State],
        request: &Workload,
        depth: usize,
    ) {
        let (Some((name, argument)), Some(own_state)) = (own.get(at), state.get_mut(at)) else {
            return;
        };
        match own_state {
            State::Done => return,
            State::Busy => {
                let message = format!("the workload variable `{name}` depends on itself");
                let diagnostic = Diagnostic::new(Code::CyclicVariables, message).at(argument.span, "comes back to itself");
                if !self.diagnostics.has(Code::CyclicVariables) {
                    self.diagnostics.push(diagnostic);
                }
                return;
            }
            State::Open if depth > MAX_CHAIN => {
                let message = format!("the workload variable `{name}` stands behind more than {MAX_CHAIN} others");
                self.diagnostics.push(Diagnostic::new(Code::EvaluationTooDeep, message).at(argument.span, "too long a chain"));
                *own_state = State::Done;
                return;
            }
            State::Open => *own_state = State::Busy,
        }
        let setting = request.settings.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        if let (None, Binding::Workload(residual)) = (&setting, &argument.binding) {
            let mut uses = Vec::new();
            residual.expr.for_each_variable(&mut |v: &WorkloadVar| uses.extend(usize::from(v.0).checked_sub(first)));
            uses.into_iter().for_each(|next| self.own_variable(next, first, own, state, request, depth + 1));
        }
        let value = setting.or_else(|| self.argument(argument));
        let too_large = value.as_ref().is_some_and(|value| value.size(MOST_VALUES + 1) > MOST_VALUES);
        if too_large {
            let message = format!("`{name}` has more than {MOST_VALUES} values");
            self.diagnostics.push(Diagnostic::new(Code::ExpressionTooLarge, message).at(argument.span, "too large"));
        }
        let value = value.filter(|_| !too_large);
        if let (Some(cell), Some(own_state)) = (self.values.get_mut(first + at), state.get_mut(at)) {
            *cell = value;
            *own_state = State::Done;
        }
    }

    fn inputs(&mut self, workload: &CompleteWorkload) -> Vec<BoundInput> {
        let flat = self.flat;
        let Some(inputs) = &flat.inputs else {
            let shape = Some(vec![u128::from(workload.batch_size), u128::from(workload.seq_len)]);
            return vec![BoundInput { shape, element: Element::Index }];
        };
        let bound = |binder: &mut Self, input: &InputTensor| BoundInput {
            shape: input.shape.as_ref().and_then(|dims| dims.iter().map(|dim| binder.dimension(dim)).collect()),
            element: Element::from_word(&input.dtype).unwrap_or(Element::Activation),
        };
        inputs.iter().map(|input| bound(self, input)).collect()
    }
}

impl<D: Counting> Binder<'_, '_, D> {
    fn dimension(&mut self, argument: &Argument) -> Option<D::Count> {
        let value = self.argument(argument)?;
        let count = self.domain.count(&value);
        if count.is_none() {
            let message = format!("a dimension is {} at this workload", self.shown(argument, &value));
            let diagnostic = Diagnostic::new(Code::NotACount, message).at(argument.span, "expected a non-negative integer");
            self.diagnostics.push(diagnostic);
        }
        count
    }

    fn rows(&mut self) -> (Vec<Signature<D>>, Vec<BoundRow<D::Count>>) {
        let flat = self.flat;
        let mut signatures = Vec::with_capacity(flat.signatures.len());
        let mut bound: Vec<Option<u32>> = Vec::with_capacity(flat.signatures.len());
        for row in flat.signatures.iter().map(|id| flat.row(*id)) {
            let signature = row.and_then(|info| self.signature(&info.row));
            bound.push(signature.is_some().then(|| u32::try_from(signatures.len()).unwrap_or(u32::MAX)));
            signatures.extend(signature);
        }
        let row = |info: &RowInfo| BoundRow {
            signature: bound.get(info.signature as usize).copied().flatten(),
            repeats: info.repeats,
            calls: self.calls(info),
        };
        (signatures, flat.rows.iter().map(row).collect())
    }

    /// Gives rows that are quantized their bits a weight: in the dtype that was asked for, else as the checkpoint says.
    fn quantized(
        &mut self,
        request: &Workload,
        workload: &CompleteWorkload,
        signatures: &mut Vec<Signature<D>>,
        rows: &mut [BoundRow<D::Count>],
    ) {
        let Ok(slot) = u16::try_from(WEIGHT_DTYPE_BYTES) else { return };
        let asked = request.weight_dtype.as_ref();
        let checkpoint = self.flat.checkpoint.quantization.as_ref().filter(|_| asked.is_none());
        let asked = asked.filter(|dtype| dtype.is_quantized());
        if asked.is_none() && checkpoint.is_none() {
            return;
        }
        let others = workload.other_weight_dtype.bytes();
        // The group of a row, its bytes a weight, and what its weights have besides.
        let of_row = |info: &RowInfo| match (asked, checkpoint) {
            (Some(dtype), _) => {
                let class = &info.row.class.as_ref()?.0;
                let quantized = Quantized { others, matrix_bytes: Exact::ZERO, published: false, weights: [].into() };
                (!class.quantized.is_empty()).then(|| (u16::MAX, dtype.bytes(), quantized))
            }
            (None, checkpoint) => {
                let at = info.row.quantized?;
                let group = checkpoint?.groups.get(usize::from(at))?;
                let quantized =
                    Quantized { others, matrix_bytes: group.matrix_bytes, published: true, weights: group.weights.clone() };
                Some((at, group.bits.checked_div(Exact::integer(8))?, quantized))
            }
        };
        let mut made: HashMap<(u32, u16), u32> = HashMap::new();
        for (info, row) in self.flat.rows.iter().zip(rows) {
            let (Some((group, bytes, quantized)), Some(signature)) = (of_row(info), row.signature) else { continue };
            let Some(known) = signatures.get(signature as usize) else { continue };
            // What a model says of a layer itself stays, unless a file has said what it holds.
            if quantized.weights.is_empty() && known.overrides.iter().any(|(own, _)| *own == slot) {
                continue;
            }
            let next = u32::try_from(signatures.len()).unwrap_or(u32::MAX);
            let own = *made.entry((signature, group)).or_insert(next);
            if own == next {
                let mut other = known.clone();
                other.quantize(self.domain, bytes, quantized);
                signatures.push(other);
            }
            row.signature = Some(own);
        }
    }

    /// Gives rows that a pattern means a weight dtype of their own. What a model file says of a layer itself stays.
    fn weight_dtypes(&mut self, request: &Workload, signatures: &mut Vec<Signature<D>>, rows: &mut [BoundRow<D::Count>]) {
        let slot = u16::try_from(WEIGHT_DTYPE_BYTES).ok();
        let (Some(slot), false) = (slot, request.weight_dtypes.is_empty()) else { return };
        let bits = match self.flat.bits(request.weight_dtypes.iter().map(|(pattern, _)| &**pattern)) {
            Ok(bits) => bits,
            Err(why) => {
                self.diagnostics.push(*why);
                return;
            }
        };
        let mut matched = vec![false; request.weight_dtypes.len()];
        let mut made: HashMap<(u32, usize), u32> = HashMap::new();
        for (info, row) in self.flat.rows.iter().zip(rows) {
            let mut last = None;
            for (at, (bit, matched)) in bits.iter().zip(&mut matched).enumerate() {
                if info.row.marks & bit != 0 {
                    (last, *matched) = (Some(at), true);
                }
            }
            let (Some(at), Some(signature)) = (last, row.signature) else { continue };
            let Some((_, dtype)) = request.weight_dtypes.get(at) else { continue };
            let Some(known) = signatures.get(signature as usize) else { continue };
            let said = known.overrides.iter().any(|(own, _)| *own == slot) && known.quantized.is_none();
            if said {
                continue;
            }
            let next = u32::try_from(signatures.len()).unwrap_or(u32::MAX);
            let own = *made.entry((signature, at)).or_insert(next);
            if own == next {
                let mut other = known.clone();
                other.store_all_weights(self.domain, dtype.bytes());
                signatures.push(other);
            }
            row.signature = Some(own);
        }
        for ((pattern, _), _) in request.weight_dtypes.iter().zip(&matched).filter(|(_, matched)| !**matched) {
            let message = format!("no layer has a path or class like `{pattern}`");
            let help = "`*` stands for anything, `[0-5]` for one of these layers: '*.mlp.*', 'model.layers.[0-5].*'";
            self.diagnostics.push(Diagnostic::new(Code::InvalidWorkload, message).help(help));
        }
    }

    fn signature(&mut self, row: &Row) -> Option<Signature<D>> {
        let class = row.class.as_ref().map(|class| class.0.clone());
        let parameters = class.as_ref().map_or(&[][..], |class| &class.parameters);
        // All of them are looked at, so that all that is wrong is said.
        let arguments = if row.arguments.iter().all(|(_, argument)| matches!(argument.binding, Binding::Known(_))) {
            Some(Arguments::Known(row.arguments.clone()))
        } else {
            let bound = row
                .arguments
                .iter()
                .filter_map(|(at, argument)| Some((*at, self.parameter(parameters.get(usize::from(*at))?, argument)?)));
            let bound: Vec<(u16, D::Value)> = bound.collect();
            (bound.len() == row.arguments.len()).then(|| Arguments::Bound(bound.into()))
        };
        let mut overrides = Vec::with_capacity(row.overrides.len());
        for (slot, argument) in &row.overrides {
            overrides.extend(self.bytes(argument).map(|value| (*slot, value)));
        }
        let complete = overrides.len() == row.overrides.len();
        Some(Signature {
            arguments: arguments.filter(|_| complete)?,
            overrides,
            weights: row.weights.clone(),
            class,
            quantized: None,
            all_stored: false,
            no_grad: row.no_grad,
        })
    }

    /// A parameter's value, of its kind.
    fn parameter(&mut self, parameter: &Parameter, argument: &Argument) -> Option<D::Value> {
        let value = self.argument(argument)?;
        let fitting = self.domain.fitting(parameter, &value);
        if fitting.is_none() {
            let is_number = matches!(self.domain.sample(&value), Value::Number(_));
            let code = if is_number { Code::NotACount } else { Code::ParameterType };
            let message = format!("`{}` is {} at this workload", parameter.name, self.shown(argument, &value));
            self.diagnostics.push(Diagnostic::new(code, message).at(argument.span, expected(parameter)));
        }
        fitting
    }

    /// A workload's value replaced for one layer.
    fn bytes(&mut self, argument: &Argument) -> Option<D::Value> {
        let value = self.argument(argument)?;
        if self.domain.is_size(&value) {
            return Some(value);
        }
        let message = format!("a number of bytes is {} at this workload", self.shown(argument, &value));
        self.diagnostics.push(Diagnostic::new(Code::ParameterType, message).at(argument.span, "expected a non-negative number"));
        None
    }

    fn calls(&mut self, info: &RowInfo) -> D::Count {
        let mut product = self.domain.of(1);
        for argument in info.calls() {
            let Some(value) = self.argument(argument) else {
                return self.domain.of(0);
            };
            let Some(count) = self.domain.count(&value) else {
                let diagnostic = Diagnostic::new(Code::NotACount, format!("`calls` is {}", self.shown(argument, &value)))
                    .at(argument.span, "expected a non-negative integer");
                self.diagnostics.push(diagnostic);
                return self.domain.of(0);
            };
            match self.domain.product(&product, &count) {
                Some(more) => product = more,
                None => {
                    let diagnostic = Diagnostic::new(Code::Overflow, "calls of calls exceed 2^128").at(argument.span, "too many");
                    self.diagnostics.push(diagnostic);
                    return self.domain.of(0);
                }
            }
        }
        product
    }

    fn argument(&mut self, argument: &Argument) -> Option<D::Value> {
        let residual = match &argument.binding {
            Binding::Known(value) => return Some(self.domain.constant(value)),
            Binding::Workload(residual) => residual,
        };
        let values = &self.values;
        let env = |variable: &WorkloadVar| match values.get(usize::from(variable.0)) {
            Some(Some(value)) => Ok(value.clone()),
            _ => Err(EvalError::Reported),
        };
        match eval_in(self.domain, &residual.expr, &env, 0) {
            Ok(value) => Some(value),
            Err(EvalError::Reported) => None,
            // `check` has reported it, unless it stands in a block that a variable chooses.
            Err(EvalError::Unknown(_)) if self.diagnostics.has(Code::UnknownVariable) => None,
            Err(error) => {
                let seen = self.render(residual);
                self.diagnostics
                    .push(Diagnostic::new(error.code(), format!("{error}: {seen}")).at(argument.span, "at this workload"));
                None
            }
        }
    }

    /// An expression with the workload's values put in.
    fn render(&self, residual: &Residual) -> String {
        let value = |v: &WorkloadVar| self.domain.plain(self.values.get(usize::from(v.0))?.as_ref()?);
        residual.expr.render(&|v: &WorkloadVar| value(v).map_or("?".to_owned(), Value::to_string))
    }

    /// `7 / 2 = 3.5`: an argument with the workload's values put in.
    fn shown(&self, argument: &Argument, value: &D::Value) -> String {
        let value = self.domain.sample(value).to_string();
        let Binding::Workload(residual) = &argument.binding else {
            return value;
        };
        let seen = self.render(residual);
        if seen == value { value } else { format!("{seen} = {value}") }
    }
}
