//! What an engine makes of a flat list: eager PyTorch is the identity.
//!
//! A checked model and an [`Execution`] come in, a [`Lowered`] goes out.

use std::sync::Arc;

use crate::flat::{FlatModel, flatten};
use crate::language::check::Checked;
use crate::quantity::workload::{Backend, Cache, Kernel};
use crate::syntax::diag::Diagnostics;
use crate::syntax::source::Source;

/// How a model is run, known before it is flattened: by which kernels, with a cache or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Execution {
    /// How attention is computed.
    pub kernel: Kernel,
    /// Whether keys, values and states are kept for later steps; training keeps none.
    pub cache: Cache,
    /// Whose kernels decide what is kept for the backward pass.
    pub backend: Backend,
}

/// A model as it is run under an execution: its flat list, ready for any number of workloads.
#[derive(Debug, Clone)]
pub struct Lowered {
    /// The text that spans of the model point into.
    pub(crate) source: Source,
    pub(crate) checked: Arc<Checked>,
    pub(crate) flat: Arc<FlatModel>,
    pub(crate) execution: Execution,
    /// What was said of it up to here: later phases don't say it again.
    pub(crate) said: Arc<Diagnostics>,
}

/// Flattens a model. What is wrong is said in it; with errors among that the list is incomplete.
pub fn lower(source: Source, checked: &Arc<Checked>, execution: Execution, mut diagnostics: Diagnostics) -> Lowered {
    let flat = flatten(checked, &mut diagnostics);
    diagnostics.extend(checked.classes.said());
    Lowered { source, checked: checked.clone(), flat: Arc::new(flat), execution, said: Arc::new(diagnostics) }
}
