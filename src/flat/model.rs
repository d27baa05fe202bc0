//! The flat list of a model: its distinct rows, and the tree that says how often and in which order they run.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use super::instances::Instances;
use super::node::{Node, Row, RowId};
use super::pattern::{MOST_PATTERNS, Pattern};
use super::uses::Uses;
use crate::catalog::ClassKind;
use crate::language::Argument;
use crate::language::checkpoint::Checkpoint;
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::source::Span;
use crate::syntax::spec::DEFAULT_INPUT;

/// A row and what it is in the model.
#[derive(Debug)]
pub struct RowInfo {
    pub row: Row,
    /// Rows with the same cost, tied weights aside, have the same.
    pub signature: u32,
    /// `model.layers.[0-31].mlp.up_proj`.
    pub path: Box<str>,
    /// How many instances share it.
    pub repeats: u128,
    pub(super) around: Arc<Around>,
}

/// The composites around a layer.
#[derive(Debug, Clone, Default)]
pub(super) struct Around {
    pub(super) prefixes: Vec<u32>,
    pub(super) calls: Vec<Argument>,
}

impl RowInfo {
    /// The composites around it that have names, outermost first: the lengths of their paths in `path`.
    #[must_use]
    pub fn prefixes(&self) -> &[u32] {
        &self.around.prefixes
    }

    /// The layers that it stands for, by the path of one of its instances: `model.layers.0.self_attn.q_proj`, and their classes.
    pub fn stands_for<'r>(&'r self, path: &'r str) -> impl Iterator<Item = (String, &'r str)> {
        let own = self.row.segment.as_ref().map_or(0, |segment| segment.pattern().len());
        let around = path.len().checked_sub(own).and_then(|at| path.get(..at)).unwrap_or_default();
        let layers = self.row.merged.iter().flat_map(|merged| &merged.layers);
        layers.map(move |layer| (format!("{around}{}", layer.name), &*layer.class_name))
    }

    /// How often each instance runs: the product of these.
    pub fn calls(&self) -> impl Iterator<Item = &Argument> {
        self.around.calls.iter().chain(self.row.calls.as_deref())
    }
}

/// A tensor that the model is called with.
#[derive(Debug)]
pub struct InputTensor {
    pub name: Arc<str>,
    /// `None`: a dimension has no value, which was reported.
    pub shape: Option<Vec<Argument>>,
    pub dtype: Arc<str>,
}

/// The flat list of a model, folded.
#[derive(Debug, Default)]
pub struct FlatModel {
    pub name: Option<Arc<str>>,
    pub class: Option<Arc<str>>,
    pub source: Option<Arc<str>>,
    /// The tensors that the model is called with; `None`: `input_ids`, `[batch_size, seq_len]`, int64.
    pub inputs: Option<Vec<InputTensor>>,
    /// The distinct layers, in order of first execution.
    pub rows: Vec<RowInfo>,
    /// A row for each distinct question that rows ask their classes: `RowInfo::signature` is a position here.
    pub signatures: Vec<RowId>,
    pub body: Vec<Node<RowId>>,
    /// The model's own workload: defaults, and further variables.
    pub workload: Vec<(Arc<str>, Argument)>,
    /// How many positions the model has, and where it says so.
    pub positions: Option<(u64, Span)>,
    /// What the checkpoint says of the weights.
    pub checkpoint: Checkpoint,
    /// The patterns by which its rows are told apart.
    pub patterns: Arc<[Pattern]>,
    pub(super) uses: OnceLock<Uses>,
    /// The names of layers that don't exist (`when`), in some place or other.
    pub absent: HashSet<Arc<str>>,
    /// Whether anything that was decided asked how the model is run.
    pub asks_for_execution: bool,
    /// Instances beyond 128 bits: the totals can't be formed.
    pub overflow: Option<Span>,
}

impl FlatModel {
    /// What of a workload it depends on; found when first asked for.
    pub fn uses(&self) -> &Uses {
        self.uses.get_or_init(|| Uses::of(self))
    }

    /// The name of the `at`th tensor that the model is called with. `None`: there are not so many.
    #[must_use]
    pub fn input_name(&self, at: usize) -> Option<&str> {
        match &self.inputs {
            None => Some(DEFAULT_INPUT),
            Some(inputs) => inputs.get(at).map(|input| &*input.name),
        }
    }

    #[must_use]
    pub fn row(&self, id: RowId) -> Option<&RowInfo> {
        self.rows.get(id.0 as usize)
    }

    /// The bits that these patterns have in the marks of a row.
    ///
    /// # Errors
    /// The model's layers aren't told apart by one of them: there are more than [`MOST_PATTERNS`].
    pub fn bits<'p>(&self, patterns: impl Iterator<Item = &'p str>) -> Result<Vec<u32>, Box<Diagnostic>> {
        let bit = |pattern: &str| {
            let at = self.patterns.iter().position(|known| **known.text() == *pattern)?;
            1u32.checked_shl(u32::try_from(at).ok()?)
        };
        let bits: Option<Vec<u32>> = patterns.map(bit).collect();
        let beyond = || Diagnostic::new(Code::InvalidWorkload, format!("more than {MOST_PATTERNS} patterns of layers"));
        bits.ok_or_else(|| beyond().boxed())
    }

    /// All layers with concrete paths, in the order of execution, made one by one.
    #[must_use]
    pub fn instances(&self) -> Instances<'_> {
        Instances::within(self, &self.body)
    }

    /// How many entries the full flat list has, and how many of them are modules.
    #[must_use]
    pub fn counts(&self) -> Option<(u128, u128)> {
        let (mut layers, mut modules) = (0u128, 0u128);
        for info in &self.rows {
            layers = layers.checked_add(info.repeats)?;
            if info.row.kind_word() == ClassKind::Module.word() {
                modules = modules.checked_add(info.repeats)?;
            }
        }
        Some((layers, modules))
    }
}
