//! What is known of a class, whoever defined it. How it is written and read is `keys` and `parse`.

use std::sync::Arc;

use super::formula::{Formula, Slot};
use super::parameter::Parameter;
use super::value::{SaveDef, ValueDef, WeightDef};
use crate::catalog::role::{Fact, Role};
use crate::syntax::expr::Value;
use crate::syntax::source::Span;

/// A layer class.
#[derive(Debug)]
pub struct Class {
    pub name: Arc<str>,
    pub aliases: Vec<Arc<str>>,
    pub kind: ClassKind,
    /// What its layers are to a reader.
    pub role: Option<Role>,
    /// What is known of them by that role.
    pub facts: Vec<(Fact, Formula)>,
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
    /// What the backward pass needs kept; `None`: it isn't known.
    pub saves: Option<Vec<SaveDef>>,
    pub derivation: Vec<Arc<str>>,
    pub examples: Vec<Example>,
    /// The slot of `tokens`, the product of leading dimensions, if some shape has any.
    pub tokens: Option<Slot>,
    pub span: Span,
}

impl Class {
    /// The class's full name that an alias without a pattern is short for: the one that stands before it.
    #[must_use]
    pub fn full_name(&self, alias: &str) -> Option<&Arc<str>> {
        let at = self.aliases.iter().position(|known| &**known == alias)?;
        let full = |name: &&Arc<str>| name.matches('.').count() > 1;
        self.aliases.iter().take(at).rev().find(full).or(Some(&self.name))
    }

    /// What the table of its role calls the class by this full name, else the class by any: `silu` of an alias `ACT2FN.silu`.
    #[must_use]
    pub fn table_name(&self, full_name: &Arc<str>) -> Option<&str> {
        let table = self.role?.table()?;
        let known = self.aliases.iter().filter_map(|alias| Some((alias, alias.strip_prefix(table)?.strip_prefix('.')?)));
        let mut fitting = known.clone().filter(|(alias, _)| self.full_name(alias) == Some(full_name));
        fitting.next().or_else(|| known.into_iter().next()).map(|(_, short)| short)
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
