//! What is known of a class, whoever defined it. How it is written and read is `keys` and `parse`.

use std::sync::{Arc, OnceLock};

use super::formula::{Formula, Slot};
use super::parameter::Parameter;
use super::value::{ElementDef, SaveDef, ValueDef, WeightDef};
use crate::catalog::fit::fit;
use crate::catalog::role::{Fact, Role};
use crate::quantity::workload::BUILTINS;
use crate::syntax::expr::Value;
use crate::syntax::source::Span;

/// A layer class.
#[derive(Debug)]
pub struct Class {
    pub name: Arc<str>,
    pub aliases: Vec<Alias>,
    /// Of a layer that says its own name; an alias may be of another kind and another role.
    pub kind: ClassKind,
    /// What its layers are to a reader.
    pub role: Option<Role>,
    /// What is known of them by that role.
    pub facts: Vec<(Fact, Formula)>,
    /// The class from which it starts.
    pub extends: Option<Arc<str>>,
    pub doc: Arc<str>,
    pub source: Arc<str>,
    pub parameters: Vec<Parameter>,
    pub variables: Vec<(Arc<str>, Formula)>,
    /// What must hold, and what to say when it doesn't.
    pub require: Vec<(Formula, Arc<str>)>,
    pub weights: Vec<WeightDef>,
    pub inputs: Vec<ValueDef>,
    pub outputs: Vec<ValueDef>,
    pub flops: FlopFormulas,
    pub backward: Option<FlopFormulas>,
    /// Those of the weights that methods for linear layers quantize.
    pub quantized: Vec<Arc<str>>,
    /// Those of the parameters that tensor parallelism divides, by position: a rank's layer is the same with fewer heads or features.
    pub divided: Vec<u16>,
    /// How many of the weights' elements a token uses; left out: all.
    pub active_params: Option<Formula>,
    pub weights_read: Option<Formula>,
    pub activations_read: Option<Formula>,
    pub cache_read: Option<Formula>,
    pub activations_written: Option<Formula>,
    pub cache_written: Option<Formula>,
    pub cache: Option<Formula>,
    /// Bytes of the cache's storage before the step, which this layer frees.
    pub past: Option<Formula>,
    /// The most bytes it holds at once while it runs, outputs included, inputs not.
    pub workspace: Option<Formula>,
    /// The same where it keeps what it saves; left out: `workspace`.
    pub training_workspace: Option<Formula>,
    /// Bytes that selective checkpointing keeps of products inside; left out or 0: its outputs, if it has products.
    pub cached: Option<Formula>,
    /// The most bytes that it adds when it is computed again with these; left out: nothing.
    pub cached_workspace: Option<Formula>,
    /// Bytes that its backward pass makes before it first asks for what was saved; left out: none.
    pub backward_first: Option<Formula>,
    /// The most bytes that its backward pass adds to what is alive when it starts, the gradients that it leaves included; left out: just these.
    pub backward_workspace: Option<Formula>,
    /// The most bytes that it adds to what is alive then less the gradients that it was given, once it has let go of them.
    pub backward_later: Option<Formula>,
    /// The same with those gradients of weights that exist by then; left out: with all of them.
    pub backward_held: Option<Formula>,
    /// What the backward pass needs kept; `None`: it isn't known.
    pub saves: Option<Vec<SaveDef>>,
    pub derivation: Vec<Arc<str>>,
    pub examples: Vec<Example>,
    /// The slot of `tokens`, the product of leading dimensions, if some shape has any.
    pub tokens: Option<Slot>,
    pub span: Span,
    /// What its formulas read of the workload, found when first asked for.
    pub reads: OnceLock<Box<[Reads]>>,
}

/// A workload variable or convention that a formula reads; of a parameter's default, with the parameter's position.
pub type Reads = (Option<u16>, u16);

/// Another name of a class, or a pattern: what computes the same may be a module by one name and a function by another.
#[derive(Debug)]
pub struct Alias {
    pub name: Arc<str>,
    pub kind: ClassKind,
    pub role: Option<Role>,
}

impl Class {
    /// Where it has a parameter or a variable of this name.
    #[must_use]
    pub fn slot_of(&self, name: &str) -> Option<Slot> {
        let parameters = self.parameters.iter().map(|parameter| &parameter.name);
        let at = parameters.chain(self.variables.iter().map(|(name, _)| name)).position(|known| **known == *name)?;
        u16::try_from(BUILTINS + at).ok().map(Slot)
    }

    /// The position of the parameter that has a slot, if one has.
    #[must_use]
    pub fn parameter_at(&self, slot: Slot) -> Option<usize> {
        usize::from(slot.0).checked_sub(BUILTINS).filter(|at| *at < self.parameters.len())
    }

    /// The input whose storage an output that is a view shares: that of its name, else the first.
    #[must_use]
    pub fn viewed_input(&self, output: usize) -> usize {
        let name = self.outputs.get(output).map(|output| &output.name);
        name.and_then(|name| self.inputs.iter().position(|input| input.name == *name)).unwrap_or(0)
    }

    /// Whether the backward pass lets go of an input early, if nothing else keeps its storage.
    #[must_use]
    pub fn lets_go_early(&self, input: usize) -> bool {
        let Some(input) = self.inputs.get(input) else { return false };
        let is_it = |save: &SaveDef| matches!(save, SaveDef::Value { name, early: true, .. } if *name == input.name);
        self.saves.iter().flatten().any(is_it)
    }

    /// What a layer that calls the class so is: an exact name decides before a pattern, a longer pattern before a shorter one.
    #[must_use]
    pub fn called(&self, name: &str) -> (ClassKind, Option<Role>) {
        let own = (self.kind, self.role);
        if *self.name == *name || self.aliases.iter().all(|alias| (alias.kind, alias.role) == own) {
            return own;
        }
        let fitting = self.aliases.iter().rev().filter_map(|alias| Some((fit(name, &alias.name)?, alias)));
        fitting.max_by_key(|(fit, _)| *fit).map_or(own, |(_, alias)| (alias.kind, alias.role))
    }

    /// The class's full name that an alias without a pattern is short for: the one of its kind that stands before it. A full name that
    /// ends as none before it is short for nothing.
    #[must_use]
    pub fn full_name(&self, alias: &str) -> Option<&Arc<str>> {
        let at = self.position(alias)?;
        let said = self.aliases.get(at)?;
        let before = || self.aliases.iter().take(at).filter(|known| known.kind == said.kind).map(|known| &known.name);
        let is_full = |name: &Arc<str>| name.matches('.').count() > 1;
        let end = |name: &str| name.rsplit('.').next().map(str::to_owned);
        if is_full(&said.name) && !before().chain([&self.name]).any(|name| end(name) == end(alias)) {
            return Some(&said.name);
        }
        let first = if said.kind == self.kind { Some(&self.name) } else { before().next().or(Some(&said.name)) };
        before().rfind(|name| is_full(name)).or(first)
    }

    /// The workload variables and conventions that its formulas read, by slot, each once; they are the first so many slots.
    pub fn reads(&self, builtins: usize) -> &[Reads] {
        self.reads.get_or_init(|| {
            let mut reads: Vec<Reads> = Vec::new();
            self.for_each_formula(&mut |parameter, formula| {
                formula.expr.for_each_variable(&mut |slot| {
                    if usize::from(slot.0) < builtins {
                        reads.push((parameter, slot.0));
                    }
                });
            });
            reads.sort_unstable();
            reads.dedup();
            reads.into()
        })
    }

    /// Every formula that it has, those of facts, examples and requirements aside; a parameter's default with the parameter's position.
    pub fn for_each_formula<'c>(&'c self, visit: &mut dyn FnMut(Option<u16>, &'c Formula)) {
        for (at, parameter) in (0u16..).zip(&self.parameters) {
            parameter.default.iter().for_each(|default| visit(Some(at), default));
        }
        let flops = [Some(&self.flops), self.backward.as_ref()];
        let flops = flops.into_iter().flatten().flat_map(|flops| [&flops.matmul, &flops.vector, &flops.transcendental]);
        let stated = [
            &self.active_params,
            &self.weights_read,
            &self.activations_read,
            &self.cache_read,
            &self.activations_written,
            &self.cache_written,
            &self.cache,
            &self.past,
            &self.workspace,
            &self.training_workspace,
            &self.cached,
            &self.cached_workspace,
            &self.backward_first,
            &self.backward_workspace,
            &self.backward_later,
            &self.backward_held,
        ];
        let stated = stated.into_iter().flatten();
        self.variables.iter().map(|(_, formula)| formula).chain(flops).chain(stated).for_each(|formula| visit(None, formula));
        for weight in &self.weights {
            weight.shape.formulas().chain(&weight.when).chain(&weight.trained).for_each(|formula| visit(None, formula));
        }
        let mut value = |value: &'c ValueDef| {
            let element = if let ElementDef::Formula(formula) = &value.element { Some(formula) } else { None };
            let more = [&value.view, &value.when, &value.persistent].into_iter().flatten();
            value.shape.formulas().chain(more).chain(element).for_each(|formula| visit(None, formula));
        };
        self.inputs.iter().chain(&self.outputs).for_each(&mut value);
        for save in self.saves.iter().flatten() {
            if let SaveDef::Tensor(tensor) = save {
                value(tensor);
            }
        }
        for save in self.saves.iter().flatten() {
            if let SaveDef::Value { when, .. } = save {
                when.iter().for_each(|formula| visit(None, formula));
            }
        }
    }

    fn position(&self, alias: &str) -> Option<usize> {
        self.aliases.iter().position(|known| *known.name == *alias)
    }

    /// What the table of its role calls the class by this name, `silu` of an alias `ACT2FN.silu`: the alias that it is the full name of,
    /// else the last that stands before it, else any.
    #[must_use]
    pub fn table_name(&self, name: &Arc<str>) -> Option<&str> {
        let (kind, role) = self.called(name);
        let table = role?.table()?;
        let alike = self.aliases.iter().enumerate().filter(|(_, alias)| (alias.kind, alias.role) == (kind, role));
        let known = alike.filter_map(|(at, alias)| Some((at, alias, alias.name.strip_prefix(table)?.strip_prefix('.')?)));
        let mut full = known.clone().filter(|(_, alias, _)| self.full_name(&alias.name) == Some(name));
        let place = self.position(name).unwrap_or(0);
        let before = || known.clone().rfind(|(at, ..)| *at < place);
        full.next().or_else(before).or_else(|| known.clone().next()).map(|(.., short)| short)
    }
}

/// Whether PyTorch knows its layers as modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassKind {
    /// It is in `named_modules()`.
    Module,
    /// It is not: attention itself, a residual add.
    Function,
}

impl ClassKind {
    /// As class files spell it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            ClassKind::Module => "module",
            ClassKind::Function => "function",
        }
    }
}

/// FLOPs of one pass, by what they are spent on.
#[derive(Debug)]
pub struct FlopFormulas {
    pub matmul: Formula,
    pub vector: Formula,
    pub transcendental: Formula,
}

/// A worked example: what goes in, what must come out.
#[derive(Debug)]
pub struct Example {
    pub doc: Arc<str>,
    pub parameters: Vec<(Arc<str>, Value)>,
    /// Workload options by name: `phase`, `batch_size`, `dtype`, ...
    pub workload: Vec<(Arc<str>, Value)>,
    pub expect: Vec<(Arc<str>, u128)>,
    pub source: Arc<str>,
}
