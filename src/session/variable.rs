//! Which variable of a model a name means, as `--set` and `--for` take it.

use std::sync::Arc;

use super::Model;
use crate::language::check::{no_variable, own_workload};
use crate::quantity::workload::{DERIVED, VARIABLES};
use crate::syntax::diag::Diagnostic;

/// A variable of a model, by its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// It decides the structure: with another value it is another model.
    Structure(Arc<str>),
    /// It is of the workload: of every model's, or this one's own.
    Workload(Arc<str>),
}

impl Variable {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        match self {
            Variable::Structure(name) | Variable::Workload(name) => name,
        }
    }
}

/// What options are called, and the variables that they set.
pub const SHORT_NAMES: [(&str, &str); 3] = [("batch", "batch_size"), ("seq", "seq_len"), ("past", "past_len")];

impl Model {
    /// The variable that a name means: the model's own, a config's key for it, or one of the workload (`batch` and `batch_size` are one).
    ///
    /// # Errors
    /// There is none of that name; `option` is what asks for it.
    pub fn variable(&self, name: &str, option: &str) -> Result<Variable, Box<Diagnostic>> {
        let model = &self.checked().model;
        let canonical = model.canonical(name);
        if let Some(own) = model.variables.iter().find(|v| &*v.name.value == canonical) {
            return Ok(Variable::Structure(own.name.value.clone()));
        }
        let own = own_workload(model);
        let long = SHORT_NAMES.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| long);
        let of_workload = || own.iter().map(|v| &*v.name.value).chain(VARIABLES.iter().map(|(known, _)| *known));
        if of_workload().any(|known| known == long) {
            return Ok(Variable::Workload(long.into()));
        }
        let names = || model.variables.iter().map(|v| &*v.name.value).chain(of_workload().filter(|name| !DERIVED.contains(name)));
        Err(no_variable(&format!("{option} {name}"), name, names).boxed())
    }

    /// The whole number that a structural variable is, where it is one.
    #[must_use]
    pub fn count_of(&self, variable: &str) -> Option<u64> {
        self.origin(variable)?.value?.as_u64()
    }
}
