//! What of a workload a model depends on, as far as its formulas tell: what nothing reads has no effect.

use std::collections::HashSet;

use super::model::FlatModel;
use super::node::RowId;
use crate::catalog::{Class, builtin_slot};
use crate::language::{Argument, Binding};
use crate::quantity::workload::{BUILTINS, CONVENTIONS, VARIABLES};

/// What class formulas call what a model may ask of how it is run.
const OF_EXECUTION: &[&str] = &["kernel", "use_cache", "backend"];

/// The workload variables, then the conventions, that something reads.
#[derive(Debug, Clone, Default)]
pub struct Uses(Vec<bool>);

impl Uses {
    /// Whether anything reads a built-in workload variable or a convention of this name.
    #[must_use]
    pub fn reads(&self, name: &str) -> bool {
        builtin_slot(name).and_then(|at| self.0.get(at)).copied().unwrap_or(false)
    }

    /// Looks at every formula that a row's cost may ask. A branch that isn't taken counts, too.
    pub(super) fn of(flat: &FlatModel) -> Self {
        let mut found = Finder { flat, read: vec![false; BUILTINS], own: HashSet::new() };
        for row in flat.signatures.iter().filter_map(|id: &RowId| flat.row(*id)).map(|info| &info.row) {
            row.arguments.iter().map(|(_, argument)| argument).for_each(|argument| found.argument(argument));
            row.overrides.iter().map(|(_, argument)| argument).for_each(|argument| found.argument(argument));
            if let Some(class) = &row.class {
                let replaced: Vec<u16> = row.overrides.iter().map(|(slot, _)| *slot).collect();
                let given: Vec<u16> = row.arguments.iter().map(|(at, _)| *at).collect();
                found.class(&class.0, &given, &replaced);
            }
        }
        flat.rows.iter().flat_map(|info| info.calls()).for_each(|calls| found.argument(calls));
        for input in flat.inputs.iter().flatten() {
            input.shape.iter().flatten().for_each(|dim| found.argument(dim));
        }
        // What of it a model asks for isn't noted.
        if flat.asks_for_execution {
            let asked = |(_, (name, _)): &(usize, &(&str, &str))| OF_EXECUTION.contains(name);
            (VARIABLES.len()..).zip(CONVENTIONS).filter(asked).for_each(|(at, _)| found.mark(at));
        }
        // One follows from the two others.
        let position = |name: &str| VARIABLES.iter().position(|(known, _)| *known == name);
        if let (Some(sum), Some(past), Some(new)) = (position("kv_len"), position("past_len"), position("seq_len"))
            && found.read.get(sum) == Some(&true)
        {
            [past, new].into_iter().for_each(|at| found.mark(at));
        }
        Uses(found.read)
    }
}

struct Finder<'f> {
    flat: &'f FlatModel,
    read: Vec<bool>,
    /// The model's own variables that were followed.
    own: HashSet<usize>,
}

impl Finder<'_> {
    fn mark(&mut self, at: usize) {
        if let Some(read) = self.read.get_mut(at) {
            *read = true;
        }
    }

    /// A value that may depend on workload variables, the model's own ones by what they are made of.
    fn argument(&mut self, argument: &Argument) {
        let mut open = vec![argument];
        while let Some(argument) = open.pop() {
            let Binding::Workload(residual) = &argument.binding else { continue };
            let mut variables = Vec::new();
            residual.expr.for_each_variable(&mut |variable| variables.push(usize::from(variable.0)));
            for at in variables {
                match at.checked_sub(VARIABLES.len()) {
                    None => self.mark(at),
                    Some(own) if self.own.insert(own) => {
                        let names =
                            self.flat.workload.iter().filter(|(name, _)| !VARIABLES.iter().any(|(known, _)| *known == &**name));
                        open.extend(names.map(|(_, argument)| argument).nth(own));
                    }
                    Some(_) => {}
                }
            }
        }
    }

    /// The formulas of a class, but defaults of what a layer gives, and variables that the layer replaces.
    fn class(&mut self, class: &Class, given: &[u16], replaced: &[u16]) {
        for (parameter, slot) in class.reads(BUILTINS) {
            if parameter.is_none_or(|at| !given.contains(&at)) && !replaced.contains(slot) {
                self.mark(usize::from(*slot));
            }
        }
    }
}
