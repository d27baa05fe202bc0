//! What an engine makes of a flat list: eager PyTorch is the identity.
//!
//! A checked model and an [`Execution`] come in, a [`Lowered`] goes out.

mod moved;
mod rewrite;
mod uses;

use rewrite::rewrite;

use std::borrow::Cow;
use std::sync::Arc;

use crate::catalog::{Catalog, Rewrite, Runtime, RuntimeId};
use crate::flat::{FlatModel, MOST_PATTERNS, Pattern, flatten, tree};
use crate::language::check::{Checked, Run};
use crate::quantity::workload::{Backend, Cache, EAGER, Kernel, Mla};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::source::Source;

/// How a model is run, known before it is flattened: by which kernels, with a cache or without, by which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Execution {
    /// How attention is computed.
    pub kernel: Kernel,
    /// Whether keys, values and states are kept for later steps; training keeps none.
    pub cache: Cache,
    /// Whose kernels decide what is kept for the backward pass.
    pub backend: Backend,
    /// What multi-head latent attention attends to.
    pub mla: Mla,
    /// Which engine's layers run; `None`: those of eager PyTorch.
    pub runtime: Option<RuntimeId>,
}

impl Execution {
    /// What models may ask of it.
    fn run(&self, catalog: &Catalog) -> Run {
        let runtime = self.runtime.and_then(|id| catalog.runtime_at(id)).and_then(Result::ok);
        Run::of(self.kernel, self.cache, self.backend, self.mla, runtime.as_ref().map_or(EAGER, |runtime| &runtime.name))
    }
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
    let flat = flattened(checked, execution, &Arc::default(), &mut diagnostics);
    // What is wrong with a family's own files alone came of what this one says.
    if let Some(family) = &checked.model.family {
        diagnostics.used_at(0, family.span);
    }
    diagnostics.extend(checked.classes.said());
    Lowered { source, checked: checked.clone(), flat: Arc::new(flat), execution, said: Arc::new(diagnostics) }
}

/// The flat list under an execution, its layers told apart by patterns.
pub fn flattened(checked: &Checked, execution: Execution, patterns: &Arc<[Pattern]>, diagnostics: &mut Diagnostics) -> FlatModel {
    let catalog = checked.classes.catalog();
    let mut tree = tree(checked, &execution.run(catalog), patterns, diagnostics);
    match execution.runtime.and_then(|id| catalog.runtime_at(id)) {
        Some(Ok(runtime)) => {
            let followed = rewrite(&mut tree.body, &runtime);
            diagnostics.extend(idle(&runtime, &followed, catalog));
        }
        Some(Err(said)) => diagnostics.extend(said.iter().cloned()),
        None => {}
    }
    flatten(tree, diagnostics)
}

/// What to say of rules that no layer was meant by: of the catalog's own, if that is so of all.
fn idle(runtime: &Runtime, followed: &[usize], catalog: &Catalog) -> Vec<Diagnostic> {
    let rules = runtime.rewrites.iter().zip(followed).filter(|(_, count)| **count == 0).map(|(rule, _)| rule);
    if followed.iter().all(|count| *count == 0) && !followed.is_empty() {
        let message = format!("`{}` runs no layers of this model as one", runtime.name);
        let rules: Vec<String> = rules.map(|rule| format!("`{}`", rule.class)).collect();
        return vec![Diagnostic::new(Code::NothingToMerge, message).help(format!("it looks for {}", rules.join(", ")))];
    }
    let own = |rule: &&Rewrite| catalog.is_laid(rule.span.source);
    let said = |rule: &Rewrite| {
        let message = format!("no layers of this model run as `{}`", rule.class);
        Diagnostic::new(Code::NothingToMerge, message).at(rule.span, "nothing is meant by this rule")
    };
    rules.filter(own).map(said).collect()
}

impl Lowered {
    /// Whether what an execution runs is the same list: nothing in the model asks how it is run, and no engine makes something else of it.
    #[must_use]
    pub(crate) fn is_list_of(&self, execution: Execution) -> bool {
        execution == self.execution
            || (execution.runtime, self.execution.runtime, self.flat.asks_for_execution) == (None, None, false)
    }

    /// The same model run otherwise: what was wrong with it was said.
    #[must_use]
    pub(crate) fn under(&self, execution: Execution) -> Cow<'_, Lowered> {
        if execution == self.execution {
            return Cow::Borrowed(self);
        }
        let flat = match self.is_list_of(execution) {
            true => self.flat.clone(),
            false => Arc::new(flattened(&self.checked, execution, &self.flat.patterns, &mut Diagnostics::default())),
        };
        Cow::Owned(Lowered { flat, execution, ..self.clone() })
    }

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
        let flat = flattened(&self.checked, self.execution, &all.into(), &mut Diagnostics::default());
        Cow::Owned(Lowered { flat: Arc::new(flat), ..self.clone() })
    }
}
