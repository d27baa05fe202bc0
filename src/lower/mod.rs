//! What an engine makes of a flat list: eager PyTorch is the identity.
//!
//! A checked model and an [`Execution`] come in, a [`Lowered`] goes out.

use std::borrow::Cow;
use std::sync::Arc;

use crate::flat::{FlatModel, MOST_PATTERNS, Pattern, flatten};
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
    let flat = flatten(checked, &Arc::default(), &mut diagnostics);
    // What is wrong with a family's own files alone came of what this one says.
    if let Some(family) = &checked.model.family {
        diagnostics.used_at(0, family.span);
    }
    diagnostics.extend(checked.classes.said());
    Lowered { source, checked: checked.clone(), flat: Arc::new(flat), execution, said: Arc::new(diagnostics) }
}

impl Lowered {
    /// The same model with its layers told apart by these patterns, too: a repeat is split where one means some of its instances. Of more than
    /// [`MOST_PATTERNS`] the first are known.
    #[must_use]
    pub(crate) fn told_apart<'p>(&self, patterns: impl Iterator<Item = &'p str>) -> Cow<'_, Lowered> {
        let mut all = self.flat.patterns.to_vec();
        for text in patterns.take(MOST_PATTERNS) {
            if all.len() < MOST_PATTERNS && all.iter().all(|known| **known.text() != *text) {
                all.push(Pattern::new(text));
            }
        }
        if all.len() == self.flat.patterns.len() {
            return Cow::Borrowed(self);
        }
        // What is wrong with the model was said when it was flattened without them.
        let flat = flatten(&self.checked, &all.into(), &mut Diagnostics::default());
        Cow::Owned(Lowered { flat: Arc::new(flat), ..self.clone() })
    }
}
