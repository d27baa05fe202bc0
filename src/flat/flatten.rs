//! From a checked model to its flat list, folded: one row per distinct layer, in execution order.
//!
//! A [`Checked`] comes in, a [`FlatModel`] goes out. Structural variables get their values here; what depends on the workload stays an
//! expression over workload variables alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::flattener::{Dropped, Flattener};
use super::model::FlatModel;
use super::number::number;
use super::pattern::Pattern;
use super::wire::{Body, Wiring};
use super::{splice, tie};
use crate::language::Values;
use crate::language::check::{Checked, root_entries};
use crate::language::scope::Scope;
use crate::syntax::diag::{Code, Diagnostics};

/// Flattens a model, its layers told apart by patterns, of which there are at most [`MOST_PATTERNS`]. What is wrong goes to `diagnostics`; with errors
/// among them the result is incomplete.
pub fn flatten(checked: &Checked, patterns: &Arc<[Pattern]>, diagnostics: &mut Diagnostics) -> FlatModel {
    let [workload, variables, derived] = root_entries(&checked.model, &checked.settings);
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
    let mut model = number(splice::groups(body));
    model.workload = defaults;
    model.positions = positions;
    model.inputs = inputs;
    model.patterns = patterns.clone();
    model.checkpoint = checked.checkpoint.clone();
    model.absent = std::mem::take(&mut flattener.absent);
    model.name = checked.model.name.as_ref().map(|n| n.value.clone());
    model.class = checked.model.class.clone();
    model.source = checked.model.source.clone();
    tie::resolve(&mut model, &dropped, diagnostics);
    model
}
