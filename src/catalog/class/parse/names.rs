//! The names of a class that its formulas may use, beside those of the workload.

use std::sync::Arc;

use crate::catalog::class::formula::{Slot, builtin_slot};
use crate::quantity::workload::{BUILTINS, CONVENTIONS, VARIABLES};

/// The names that formulas may use.
#[derive(Default)]
pub(super) struct Names {
    pub(super) parameters: Vec<Arc<str>>,
    pub(super) variables: Vec<Arc<str>>,
}

impl Names {
    /// What a name stands for; `outside` is the parameter in whose own default it stands, where it means what it means outside.
    pub(super) fn slot(&self, name: &str, outside: Option<&str>) -> Option<Slot> {
        let parameter = self.parameters.iter().position(|p| &**p == name).filter(|_| outside != Some(name));
        let variable = || self.variables.iter().position(|v| &**v == name).map(|i| BUILTINS + self.parameters.len() + i);
        let index = parameter.map(|i| BUILTINS + i).or_else(variable).or_else(|| builtin_slot(name))?;
        u16::try_from(index).ok().map(Slot)
    }

    /// All of them, for the nearest to one that there isn't.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        let own = self.parameters.iter().chain(&self.variables).map(|n| &**n);
        own.chain(VARIABLES.iter().chain(CONVENTIONS).map(|(n, _)| *n))
    }
}
