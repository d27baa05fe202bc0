//! One class of several: what layers are that an engine runs as one.
//!
//! Parts come in, each a class, and which of their values the others read; a [`Class`] goes out whose formulas are those of the parts, added up. What
//! only parts read is neither written nor read again; what several of them read is read once.

use std::sync::{Arc, OnceLock};

use super::definition::{Class, ClassKind, FlopFormulas};
use super::formula::{Formula, Slot, builtin_slot};
use super::parameter::{Parameter, ParameterKind};
use super::value::{Dim, Element, ElementDef, Gradient, ShapeDef, ValueDef, WeightDef};
use crate::catalog::role::Role;
use crate::quantity::workload::{BUILTINS, builtin};
use crate::syntax::expr::{BinaryOp, Expr, Function, Value};
use crate::syntax::source::Span;

/// A class that becomes a part of another.
#[derive(Debug, Clone, Copy)]
pub struct Part<'c> {
    /// What its parameters and weights are called by, in front.
    pub name: &'c str,
    pub class: &'c Class,
}

/// Where a part has an input from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feed {
    /// The n-th value from outside.
    Outer(u16),
    /// An output of a part before it.
    Inner { part: u16, output: u16 },
}

/// Who reads what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Wires {
    /// Of each part, where each of its inputs comes from; those that are left out may be.
    pub inputs: Vec<Vec<Feed>>,
    /// What is read from outside: parts and their outputs.
    pub outputs: Vec<(u16, u16)>,
}

impl Wires {
    /// Each input of each part, and where it comes from.
    fn feeds(&self) -> impl Iterator<Item = (usize, usize, Feed)> + '_ {
        let parts = self.inputs.iter().enumerate();
        parts.flat_map(|(part, feeds)| feeds.iter().enumerate().map(move |(at, feed)| (part, at, *feed)))
    }

    /// The inputs of parts that read the n-th value from outside.
    fn readers(&self, outer: u16) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.feeds().filter(move |(.., feed)| *feed == Feed::Outer(outer)).map(|(part, at, _)| (part, at))
    }

    fn num_outer(&self) -> u16 {
        let outer = |feed: &Feed| if let Feed::Outer(at) = feed { Some(at + 1) } else { None };
        self.inputs.iter().flatten().filter_map(outer).max().unwrap_or(0)
    }

    fn is_read_outside(&self, part: usize, output: usize) -> bool {
        self.outputs.iter().any(|(p, o)| (usize::from(*p), usize::from(*o)) == (part, output))
    }
}

/// What the whole is called.
#[derive(Debug, Clone)]
pub struct Whole {
    pub name: Arc<str>,
    pub kind: ClassKind,
    pub role: Option<Role>,
    pub doc: Arc<str>,
    pub source: Arc<str>,
}

/// Whether a class can be a part: its values have storage of their own, and it says of its weights nothing but what they are.
#[must_use]
pub fn can_be_part(class: &Class) -> bool {
    let says = |value: &ValueDef| value.view.is_some() || value.persistent.is_some();
    (class.weights_read.is_none() || class.weights.is_empty())
        && class.active_params.is_none()
        && class.past.is_none()
        && !class.outputs.iter().any(says)
}

/// Whether what parts move can be told where these run as one: what goes away of what a part states has a size that can be written down, and so have the
/// values of parts beside it that state nothing.
#[must_use]
pub fn traffic_is_known(parts: &[&Class], wires: &Wires) -> bool {
    let sized = |value: &ValueDef| matches!((&value.shape, &value.element), (ShapeDef::Dims(_), ElementDef::Fixed(_)));
    let [reads, writes] = [
        parts.iter().any(|class| class.activations_read.is_some()),
        parts.iter().any(|class| class.activations_written.is_some()),
    ];
    parts.iter().zip(&wires.inputs).enumerate().all(|(at, (class, feeds))| {
        let shared = |feed: &Feed| if let Feed::Outer(outer) = feed { wires.readers(*outer).count() > 1 } else { true };
        let read = |(feed, value): (&Feed, &ValueDef)| sized(value) || (class.activations_read.is_some() && !shared(feed));
        let written = |(n, value): (usize, &ValueDef)| {
            sized(value) || (class.activations_written.is_some() && wires.is_read_outside(at, n))
        };
        (!reads || feeds.iter().zip(&class.inputs).all(read)) && (!writes || class.outputs.iter().enumerate().all(written))
    })
}

/// Whether the values of parts have the same shapes where these run as one. What stretches to the first value with leading dimensions needs one
/// before it that doesn't; and leading dimensions go through a part only if all that it reads of others has them where theirs do.
#[must_use]
pub fn keeps_shapes(parts: &[&Class], wires: &Wires) -> bool {
    let input = |part: usize, at: usize| parts.get(part).and_then(|class| class.inputs.get(at));
    let mut outer = (0..wires.num_outer()).filter_map(|outer| wires.readers(outer).next());
    let first = outer.find_map(|(part, at)| input(part, at).filter(|input| input.shape.leads()));
    let mut inner = wires.feeds().filter_map(|(part, at, feed)| match feed {
        Feed::Inner { part: from, output } => {
            Some((parts.get(usize::from(from))?.outputs.get(usize::from(output))?, input(part, at)?))
        }
        Feed::Outer(_) => None,
    });
    first.is_none_or(|first| !first.broadcast) && inner.all(|(made, read)| made.shape.leads() == read.shape.leads())
}

/// The class of parts that run as one. `None`: they have more names than a class can.
#[must_use]
pub fn fused(whole: Whole, parts: &[Part<'_>], wires: &Wires) -> Option<Class> {
    let fuser = Fuser::new(parts, wires)?;
    let span = parts.first()?.class.span;
    let all = |of: fn(&Class) -> &[Arc<str>]| -> Vec<Arc<str>> {
        parts.iter().flat_map(|part| of(part.class).iter().map(|name| own(part, name))).collect()
    };
    let tokens = (0..parts.len()).find_map(|at| Some(fuser.slot(at, parts.get(at)?.class.tokens?)));
    let facts = parts.iter().enumerate().filter(|(_, part)| part.class.role == whole.role);
    let facts = facts.take(1).flat_map(|(at, part)| part.class.facts.iter().map(move |(fact, formula)| (at, *fact, formula)));
    let backward: Option<Vec<&FlopFormulas>> = parts.iter().map(|part| part.class.backward.as_ref()).collect();
    let inputs = (0..wires.num_outer()).filter_map(|outer| fuser.input(outer)).collect();
    Some(Class {
        aliases: Vec::new(),
        kind: whole.kind,
        role: whole.role,
        facts: facts.map(|(at, fact, formula)| (fact, fuser.formula(at, formula))).collect(),
        extends: None,
        doc: whole.doc,
        source: whole.source,
        parameters: fuser.parameters(),
        variables: fuser.variables(),
        require: fuser.requirements(),
        weights: fuser.weights(),
        inputs,
        outputs: wires
            .outputs
            .iter()
            .filter_map(|(part, output)| fuser.output(usize::from(*part), usize::from(*output)))
            .collect(),
        flops: fuser.flops(span, &parts.iter().map(|part| &part.class.flops)),
        backward: backward.map(|flops| fuser.flops(span, &flops.into_iter())),
        quantized: all(|class| &class.quantized),
        divided: fuser.divided(),
        active_params: None,
        weights_read: None,
        activations_read: fuser.read(),
        cache_read: fuser.sum(|class| class.cache_read.as_ref()),
        activations_written: fuser.written(),
        cache_written: fuser.sum(|class| class.cache_written.as_ref()),
        cache: fuser.sum(|class| class.cache.as_ref()),
        past: None,
        workspace: None,
        training_workspace: None,
        cached: None,
        cached_workspace: None,
        backward_first: None,
        backward_workspace: None,
        backward_later: None,
        backward_held: None,
        saves: None,
        derivation: Vec::new(),
        examples: Vec::new(),
        tokens,
        span,
        reads: OnceLock::new(),
        name: whole.name,
    })
}

/// What a part calls something, in the whole.
fn own(part: &Part<'_>, name: &str) -> Arc<str> {
    format!("{}.{name}", part.name).into()
}

struct Fuser<'c> {
    parts: &'c [Part<'c>],
    wires: &'c Wires,
    /// Of each part, where its parameters and its variables begin among those of all.
    starts: Vec<(u16, u16)>,
    num_parameters: u16,
    /// By slot after the built-in ones.
    names: Vec<Arc<str>>,
}

impl<'c> Fuser<'c> {
    fn new(parts: &'c [Part<'c>], wires: &'c Wires) -> Option<Self> {
        let (mut starts, mut parameters, mut variables) = (Vec::with_capacity(parts.len()), 0u16, 0u16);
        for part in parts {
            starts.push((parameters, variables));
            parameters = parameters.checked_add(u16::try_from(part.class.parameters.len()).ok()?)?;
            variables = variables.checked_add(u16::try_from(part.class.variables.len()).ok()?)?;
        }
        u16::try_from(BUILTINS).ok()?.checked_add(parameters)?.checked_add(variables)?;
        let given = parts.iter().flat_map(|part| part.class.parameters.iter().map(|parameter| own(part, &parameter.name)));
        let made = parts.iter().flat_map(|part| part.class.variables.iter().map(|(name, _)| own(part, name)));
        let names = given.chain(made).collect();
        Some(Fuser { parts, wires, starts, num_parameters: parameters, names })
    }

    /// Where a name of a part stands in the whole.
    fn slot(&self, part: usize, slot: Slot) -> Slot {
        let (Ok(builtins), Some((parameters, variables)), Some(own)) =
            (u16::try_from(BUILTINS), self.starts.get(part), self.parts.get(part))
        else {
            return slot;
        };
        let Some(at) = slot.0.checked_sub(builtins) else { return slot };
        let num = u16::try_from(own.class.parameters.len()).unwrap_or(u16::MAX);
        Slot(builtins + at.checked_sub(num).map_or(parameters + at, |at| self.num_parameters + variables + at))
    }

    fn expr(&self, part: usize, expr: &Expr<Slot>) -> Expr<Slot> {
        let moved: Result<_, std::convert::Infallible> = expr.try_map(&mut |slot| Ok(self.slot(part, *slot)));
        match moved {
            Ok(expr) => expr,
        }
    }

    /// A formula of a part.
    fn formula(&self, part: usize, formula: &Formula) -> Formula {
        self.written_out(formula.span, self.expr(part, &formula.expr))
    }

    fn written_out(&self, span: Span, expr: Expr<Slot>) -> Formula {
        let text = expr.render(&|slot: &Slot| {
            let at = usize::from(slot.0);
            match at.checked_sub(BUILTINS) {
                Some(own) => self.names.get(own).map_or("?", |name| name).to_owned(),
                None => builtin(at).to_owned(),
            }
        });
        Formula { span, text: text.into(), expr }
    }

    fn maybe(&self, part: usize, formula: &Option<Formula>) -> Option<Formula> {
        formula.as_ref().map(|formula| self.formula(part, formula))
    }

    /// Of each part by its number.
    fn of_each<T: 'c>(&self, list: impl Fn(&'c Class) -> &'c [T]) -> impl Iterator<Item = (usize, &'c Part<'c>, &'c T)> {
        self.parts.iter().enumerate().flat_map(move |(at, part)| list(part.class).iter().map(move |item| (at, part, item)))
    }

    fn parameters(&self) -> Vec<Parameter> {
        let moved = |(at, part, parameter): (usize, &Part<'_>, &Parameter)| Parameter {
            name: own(part, &parameter.name),
            kind: parameter.kind,
            default: self.maybe(at, &parameter.default),
            nullable: parameter.nullable,
            values: parameter.values.clone(),
            doc: parameter.doc.clone(),
            dims: parameter.dims,
            implied: parameter.implied,
        };
        self.of_each(|class| &class.parameters).map(moved).collect()
    }

    fn variables(&self) -> Vec<(Arc<str>, Formula)> {
        self.of_each(|class| &class.variables)
            .map(|(at, part, (name, formula))| (own(part, name), self.formula(at, formula)))
            .collect()
    }

    fn requirements(&self) -> Vec<(Formula, Arc<str>)> {
        self.of_each(|class| &class.require).map(|(at, _, (formula, why))| (self.formula(at, formula), why.clone())).collect()
    }

    fn weights(&self) -> Vec<WeightDef> {
        let moved = |(at, part, weight): (usize, &Part<'_>, &WeightDef)| WeightDef {
            name: own(part, &weight.name),
            shape: self.shape(at, &weight.shape),
            when: self.maybe(at, &weight.when),
            float32: weight.float32,
            trained: self.maybe(at, &weight.trained),
        };
        self.of_each(|class| &class.weights).map(moved).collect()
    }

    fn divided(&self) -> Vec<u16> {
        let starts = |at: usize| self.starts.get(at).map_or(0, |(parameters, _)| *parameters);
        self.of_each(|class| &class.divided).map(|(at, _, position)| starts(at) + position).collect()
    }

    fn shape(&self, part: usize, shape: &ShapeDef) -> ShapeDef {
        match shape {
            ShapeDef::List(formula) => ShapeDef::List(self.formula(part, formula)),
            ShapeDef::Dims(dims) => ShapeDef::Dims(
                dims.iter()
                    .map(|dim| match dim {
                        Dim::Leading => Dim::Leading,
                        Dim::Size(formula) => Dim::Size(self.formula(part, formula)),
                    })
                    .collect(),
            ),
        }
    }

    fn value(&self, part: usize, name: Arc<str>, value: &ValueDef) -> ValueDef {
        ValueDef {
            name,
            shape: self.shape(part, &value.shape),
            element: match &value.element {
                ElementDef::Fixed(element) => ElementDef::Fixed(*element),
                ElementDef::Formula(formula) => ElementDef::Formula(self.formula(part, formula)),
            },
            view: None,
            when: self.maybe(part, &value.when),
            broadcast: value.broadcast,
            optional: value.optional,
            persistent: None,
            hold: 0,
            gradient: Gradient::None,
        }
    }

    /// A value from outside: what its first reader says of it, one that always reads it before others.
    fn input(&self, outer: u16) -> Option<ValueDef> {
        let defs = || {
            self.wires
                .readers(outer)
                .filter_map(|(part, at)| Some((part, self.parts.get(part)?, self.parts.get(part)?.class.inputs.get(at)?)))
        };
        let (at, part, value) = defs().find(|(.., value)| value.when.is_none()).or_else(|| defs().next())?;
        Some(self.value(at, own(part, &value.name), value))
    }

    fn output(&self, part: usize, output: usize) -> Option<ValueDef> {
        let of = self.parts.get(part)?;
        let value = of.class.outputs.get(output)?;
        Some(self.value(part, own(of, &value.name), value))
    }

    /// The sum of what the parts state; `None`: none does.
    fn sum(&self, of: impl Fn(&'c Class) -> Option<&'c Formula>) -> Option<Formula> {
        let stated = self.parts.iter().enumerate().filter_map(|(at, part)| Some((at, of(part.class)?)));
        let span = self.parts.iter().find_map(|part| of(part.class))?.span;
        Some(self.written_out(span, added(stated.map(|(at, formula)| self.expr(at, &formula.expr)))))
    }

    fn flops<'f>(&self, span: Span, of: &(impl Iterator<Item = &'f FlopFormulas> + Clone)) -> FlopFormulas {
        let total = |one: fn(&FlopFormulas) -> &Formula| {
            let exprs = of.clone().enumerate().map(|(at, flops)| self.expr(at, &one(flops).expr));
            self.written_out(span, added(exprs))
        };
        FlopFormulas { matmul: total(|f| &f.matmul), vector: total(|f| &f.vector), transcendental: total(|f| &f.transcendental) }
    }

    /// What is read from outside, where some part states what it reads: that, less what comes from parts and what another part reads, too.
    fn read(&self) -> Option<Formula> {
        let span = self.parts.iter().find_map(|part| part.class.activations_read.as_ref())?.span;
        let mut seen: Vec<u16> = Vec::new();
        let mut terms = Vec::new();
        for (at, (part, feeds)) in self.parts.iter().zip(&self.wires.inputs).enumerate() {
            let mut is_new = |feed: &Feed| match feed {
                Feed::Outer(outer) if !seen.contains(outer) => {
                    seen.push(*outer);
                    true
                }
                Feed::Outer(_) | Feed::Inner { .. } => false,
            };
            let values: Vec<(bool, &ValueDef)> =
                feeds.iter().zip(&part.class.inputs).map(|(feed, value)| (is_new(feed), value)).collect();
            terms.extend(self.moved(at, part.class.activations_read.as_ref(), &values));
        }
        Some(self.written_out(span, added(terms.into_iter())))
    }

    /// What is written for others, where some part states what it writes: that, less what only parts read.
    fn written(&self) -> Option<Formula> {
        let span = self.parts.iter().find_map(|part| part.class.activations_written.as_ref())?.span;
        let mut terms = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            let outputs = part.class.outputs.iter().enumerate();
            let values: Vec<(bool, &ValueDef)> = outputs.map(|(n, value)| (self.wires.is_read_outside(at, n), value)).collect();
            terms.extend(self.moved(at, part.class.activations_written.as_ref(), &values));
        }
        Some(self.written_out(span, added(terms.into_iter())))
    }

    /// What a part still moves of its values, each with whether it is still moved: what it states, less those that aren't; or else those that are.
    fn moved(&self, part: usize, stated: Option<&Formula>, values: &[(bool, &ValueDef)]) -> Vec<Expr<Slot>> {
        let sizes =
            |stays: bool| values.iter().filter(move |(own, _)| *own == stays).filter_map(|(_, value)| self.size(part, value));
        let Some(formula) = stated else { return sizes(true).collect() };
        let all = self.expr(part, &formula.expr);
        vec![at_least_zero(sizes(false).fold(all, |sum, size| binary(BinaryOp::Sub, sum, size)))]
    }

    /// Bytes of a value of a part.
    fn size(&self, part: usize, value: &ValueDef) -> Option<Expr<Slot>> {
        let (ShapeDef::Dims(dims), ElementDef::Fixed(element)) = (&value.shape, &value.element) else { return None };
        let class = self.parts.get(part)?.class;
        let tokens = class.tokens;
        let mut product = match element {
            Element::Activation => named("dtype_bytes")?,
            Element::Cache => named("kv_dtype_bytes")?,
            Element::Index => named("index_dtype_bytes")?,
            Element::Float32 => Expr::Const(Value::count(4)),
            Element::Bool => Expr::Const(Value::count(1)),
        };
        for dim in dims {
            let factor = match dim {
                Dim::Leading => Expr::Var(self.slot(part, tokens?)),
                Dim::Size(formula) => {
                    let expr = self.expr(part, &formula.expr);
                    // A shape is a list of dimensions.
                    let parameter = if let Expr::Var(slot) = &formula.expr { class.parameter_at(*slot) } else { None };
                    let kind = parameter.and_then(|at| class.parameters.get(at)).map(|parameter| parameter.kind);
                    if kind == Some(ParameterKind::Shape) { Expr::Call(Function::Product, vec![expr]) } else { expr }
                }
            };
            product = binary(BinaryOp::Mul, product, factor);
        }
        let bytes = Expr::Call(Function::Ceil, vec![product]);
        Some(match &value.when {
            Some(when) => Expr::Call(Function::If, vec![self.expr(part, &when.expr), bytes, Expr::Const(Value::count(0))]),
            None => bytes,
        })
    }
}

fn named(name: &str) -> Option<Expr<Slot>> {
    u16::try_from(builtin_slot(name)?).ok().map(|at| Expr::Var(Slot(at)))
}

fn binary(op: BinaryOp, a: Expr<Slot>, b: Expr<Slot>) -> Expr<Slot> {
    Expr::Binary(op, Box::new((a, b)))
}

fn at_least_zero(expr: Expr<Slot>) -> Expr<Slot> {
    if matches!(expr, Expr::Binary(BinaryOp::Sub, _)) {
        return Expr::Call(Function::Max, vec![expr, Expr::Const(Value::count(0))]);
    }
    expr
}

/// A sum without terms that are 0.
fn added(terms: impl Iterator<Item = Expr<Slot>>) -> Expr<Slot> {
    let zero = Expr::Const(Value::count(0));
    terms.filter(|term| *term != zero).reduce(|sum, term| binary(BinaryOp::Add, sum, term)).unwrap_or(zero)
}
