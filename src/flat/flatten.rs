//! From a checked model to its flat list, folded: one row per distinct layer, in execution order.
//!
//! A [`Checked`] comes in, a [`FlatModel`] goes out. Structural variables get their values here; what depends on the workload stays an
//! expression over workload variables alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::flattener::{Dropped, Flattener};
use super::model::FlatModel;
use super::node::{Node, Row};
use super::number::number;
use super::pattern::Pattern;
use super::wire::{Body, Wiring};
use super::{splice, tie};
use crate::language::Values;
use crate::language::check::{Checked, Run, root_entries};
use crate::language::scope::Scope;
use crate::quantity::workload::EXECUTION_NAME;
use crate::syntax::diag::{Code, Diagnostics};

/// A model written out: its layers as a tree, before they have numbers.
#[derive(Debug)]
pub struct Tree {
    /// The layers. What runs as one may be put together here.
    pub body: Vec<Node<Box<Row>>>,
    /// What else is known of the model.
    model: FlatModel,
    dropped: Dropped,
}

/// Writes a model out, its layers told apart by patterns, of which there are at most [`MOST_PATTERNS`]. What is wrong goes to `diagnostics`; with
/// errors among them the result is incomplete.
pub fn tree(checked: &Checked, run: &Run, patterns: &Arc<[Pattern]>, diagnostics: &mut Diagnostics) -> Tree {
    let [workload, variables, derived] = root_entries(&checked.model, &checked.settings, run);
    let outer = Scope::new(None, workload);
    let inner = Scope::new(Some(&outer), variables);
    let root = Scope::new(Some(&inner), derived);
    let diagnostics_full = diagnostics.has(Code::ModelTooLarge);
    let mut flattener = Flattener {
        checked,
        patterns,
        file: Some(&checked.model),
        values: Values::new(diagnostics),
        wiring: Wiring::new(checked.model.input_names()),
        trail: Vec::new(),
        counts: Vec::new(),
        indices: Vec::new(),
        concrete: Vec::new(),
        uses: Vec::new(),
        use_in_model: None,
        dropped: Dropped::default(),
        common: HashMap::default(),
        block_of: None,
        head_group: false,
        no_grad: 0,
        absent: HashSet::new(),
        visited: 0,
        compared: 0,
        full: diagnostics_full,
    };
    flattener.wiring.open(Body::default());
    if flattener.requirements(&checked.model, &root) {
        flattener.layers(&checked.model.layers, &root);
    }
    let body = flattener.close();
    let dropped = std::mem::take(&mut flattener.dropped);
    let defaults = flattener.workload_defaults(&root);
    let positions = flattener.positions(&root);
    let inputs = flattener.model_inputs(&root);
    let asks_for_execution = outer.own(EXECUTION_NAME).is_some_and(|entry| entry.used.get());
    let model = FlatModel {
        asks_for_execution,
        workload: defaults,
        positions,
        inputs,
        patterns: patterns.clone(),
        checkpoint: checked.checkpoint.clone(),
        absent: std::mem::take(&mut flattener.absent),
        name: checked.model.name.as_ref().map(|n| n.value.clone()),
        class: checked.model.class.clone(),
        source: checked.model.source.clone(),
        ..FlatModel::default()
    };
    Tree { body: splice::groups(body), model, dropped }
}

/// The flat list of a tree.
pub fn flatten(tree: Tree, diagnostics: &mut Diagnostics) -> FlatModel {
    let Tree { body, model, dropped } = tree;
    let mut model = number(body, model);
    tie::resolve(&mut model, &dropped, diagnostics);
    model
}
