//! What must hold of a class as a whole, once each part of it was read. It looks at the class alone, never at JSON.

use super::definition::Class;
use super::formula::Formula;
use super::value::SaveDef;
use crate::quantity::workload::BUILTINS;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::source::Span;

/// Says what is wrong with a class that has all its parts.
pub(super) fn verify(class: &Class, diagnostics: &mut Diagnostics) {
    check_saves(class, diagnostics);
    check_cycles(class, diagnostics);
}

/// A name in `saves` is that of an input or an output.
fn check_saves(class: &Class, diagnostics: &mut Diagnostics) {
    for save in class.saves.iter().flatten() {
        if let SaveDef::Value { name, .. } = save
            && !class.inputs.iter().chain(&class.outputs).any(|value| value.name == *name)
        {
            let message = format!("`{name}` in `saves` is neither an input nor an output");
            diagnostics.push(Diagnostic::new(Code::InvalidClass, message).at(class.span, "in this class"));
        }
    }
}

/// Defaults and variables must not depend on each other in a circle.
fn check_cycles(class: &Class, diagnostics: &mut Diagnostics) {
    let defaults = class.parameters.iter().map(|p| p.default.as_ref());
    let definitions: Vec<Option<&Formula>> = defaults.chain(class.variables.iter().map(|(_, f)| Some(f))).collect();
    let mut state = vec![0u8; definitions.len()];
    for start in 0..definitions.len() {
        if let Some(span) = cycle(start, &definitions, &mut state) {
            let message = "parameters' defaults and variables depend on each other in a circle";
            diagnostics.push(Diagnostic::new(Code::CyclicVariables, message).at(span, "comes back to itself"));
            return;
        }
    }
}

/// Depth-first search: 1 is on the way, 2 is done.
fn cycle(at: usize, definitions: &[Option<&Formula>], state: &mut [u8]) -> Option<Span> {
    match state.get_mut(at) {
        Some(s @ 0) => *s = 1,
        Some(1) => return definitions.get(at).copied().flatten().map(|f| f.span),
        _ => return None,
    }
    // Collected first: the search must not stand on the stack of a walk through a formula.
    let mut uses: Vec<usize> = Vec::new();
    if let Some(formula) = definitions.get(at).copied().flatten() {
        formula.expr.for_each_variable(&mut |slot| uses.extend(usize::from(slot.0).checked_sub(BUILTINS)));
    }
    let found = uses.into_iter().find_map(|next| cycle(next, definitions, state));
    if let Some(s) = state.get_mut(at) {
        *s = 2;
    }
    found
}
