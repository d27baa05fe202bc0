//! How a model is taken.

use std::sync::Arc;

use crate::language;
use crate::syntax::expr::Value;

/// How a model is taken: as one of which family, with which of its variables changed.
///
/// ```
/// use layerspec::{Execution, Session, Settings, Workload};
///
/// let settings = Settings::default().set("num_hidden_layers", 16u64);
/// let model = Session::new().load_with("llama-2-7b-hf", &settings).into_result()?;
/// let at = model.lowered(&Execution::default()).into_result()?.at(&Workload::prefill(1, 128)).into_result()?;
/// assert_eq!(at.params(), 3_500_281_856);
/// # Ok::<(), layerspec::Failure>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// A config is taken as one of this family, whatever its model type.
    pub family: Option<Arc<str>>,
    /// A family's model is taken with this head (`LMHeadModel`, or a class as `GPT2LMHeadModel`), whatever its file or config names; `none`: the
    /// bare model, as `AutoModel` gives it.
    pub head: Option<Arc<str>>,
    /// With the part for multi-token prediction that its checkpoint holds and PyTorch's model doesn't build.
    pub draft: bool,
    /// Its weights are in this mix of types, as a program makes files of it: `q4_k_m`, `gguf:q4_0+imatrix` (docs/mixes.md).
    pub mix: Option<Arc<str>>,
    /// Other values for variables of the model; of two for one name the last wins.
    pub variables: Vec<(Arc<str>, Value)>,
    /// Whether what isn't known of it is left out: layers of unknown classes, or without a parameter. Totals are then partial, and say so.
    pub partial: bool,
}

impl Settings {
    pub(super) fn wanted(&self) -> language::Wanted<'_> {
        language::Wanted {
            family: self.family.as_deref(),
            head: self.head.as_deref(),
            draft: self.draft,
            variables: &self.variables,
        }
    }

    /// Gives a variable of the model another value.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }
}
