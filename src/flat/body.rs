//! What a composite holds: its layers, those of a block, or those of an inner config's family.

use std::sync::Arc;

use super::flattener::{Flattener, ValueScope, said_role};
use crate::catalog::Role;
use crate::language::check::{
    MAX_LAYER_DEPTH, Used, derived_entries, missing_binding, recursive_block, taken_scope, too_deep, unknown_block,
    variable_entries,
};
use crate::language::scope::Scope;
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::source::Span;
use crate::syntax::spec::{self, Block, Layer, Model, TextField};

impl<'m> Flattener<'m, '_> {
    pub(super) fn body(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>) {
        match &layer.body {
            spec::Body::Basic => {}
            spec::Body::Composite(layers) => self.layers(layers, scope),
            spec::Body::Use(field) => {
                let Some(used) = self.used(field, scope) else {
                    return self.fault_inside(layer);
                };
                // Not in `check` alone: a name of a variable's may be any.
                if self.wiring.depth() > MAX_LAYER_DEPTH {
                    if !self.values.diagnostics().has(Code::LayersTooDeep) {
                        self.report(too_deep(field.span));
                    }
                    return self.fault_inside(layer);
                }
                match used {
                    Used::Local(block) => self.block((block, true), layer, field, scope),
                    Used::Catalog(block) => self.block((block, false), layer, field, scope),
                    Used::Family(model) => self.nested(model, layer, field, scope),
                }
            }
        }
    }

    /// What a `use` means: as `check` found, or by the name that variables make here. What is wrong is reported.
    pub(super) fn used(&mut self, field: &'m TextField, scope: &ValueScope<'m, '_>) -> Option<Used<'m>> {
        let checked = self.checked;
        if let Some(used) = checked.used_at(field.span, self.file) {
            return Some(used);
        }
        let name = self.plain_text(field, scope)?;
        match checked.used(&name, self.file) {
            Ok(Some(used)) => Some(used),
            Ok(None) => {
                let suggest = !self.values.diagnostics().crowded();
                self.report(unknown_block(checked, self.file, &name, field.span, suggest));
                None
            }
            Err(said) => {
                self.values.diagnostics().extend(said.iter().cloned());
                None
            }
        }
    }

    /// The layers of a block, and whether it is the file's own.
    fn block(&mut self, (block, local): (&'m Block, bool), layer: &'m Layer, field: &TextField, scope: &ValueScope<'m, '_>) {
        // A block chosen by a variable may lead back to itself, which `check` can't see.
        if self.uses.iter().any(|used| std::ptr::eq(*used, block)) {
            self.report(recursive_block(block, &self.uses, field.span));
            return self.fault_inside(layer);
        }
        missing_binding(block, layer, scope).into_iter().for_each(|diagnostic| self.report(diagnostic));
        self.within_block((block, local), field.span, scope, |flattener, inner| {
            if let Some((_, first)) = flattener.block_of.take_if(|(repeated, _)| std::ptr::eq(*repeated, layer)) {
                flattener.values.traces.more(first, inner.entries.iter());
            }
            flattener.layers(&block.layers, inner);
        });
    }

    /// Makes something where the names of a block stand for what is bound to them.
    pub(super) fn within_block<R>(
        &mut self,
        (block, local): (&'m Block, bool),
        place: Span,
        scope: &ValueScope<'m, '_>,
        make: impl FnOnce(&mut Self, &ValueScope<'m, '_>) -> R,
    ) -> R {
        let taken = taken_scope(block, local, scope);
        let inner = Scope::of_variables(&taken, &block.variables);
        let said = self.values.diagnostics().count();
        self.uses.push(block);
        let file = if local { self.file } else { None };
        let around = std::mem::replace(&mut self.file, file);
        let made = self.within_use(place, |flattener| make(flattener, &inner));
        self.file = around;
        self.uses.pop();
        self.values.diagnostics().used_at(said, place);
        made
    }

    /// The layers of an inner config's family.
    fn nested(&mut self, model: &'m Model, layer: &'m Layer, field: &TextField, scope: &ValueScope<'m, '_>) {
        // What a family requires and derives isn't arguments alone.
        self.values.traces.mix();
        let variables = Scope::boundary(scope, variable_entries(model, &[], &layer.variables));
        let derived = Scope::new(Some(&variables), derived_entries(model, &layer.variables));
        let around = self.file.replace(model);
        if self.requirements(model, &derived) {
            self.within_use(field.span, |flattener| flattener.layers(&model.layers, &derived));
        } else {
            self.wiring.fault(None, layer.place());
        }
        self.file = around;
    }

    /// Makes the layers that a `use` brings.
    fn within_use<R>(&mut self, place: Span, make: impl FnOnce(&mut Self) -> R) -> R {
        let around = self.use_in_model;
        self.use_in_model = Some(place).filter(|place| place.source.is_model()).or(around);
        let made = make(self);
        self.use_in_model = around;
        made
    }

    /// Whether what a family asks of its configs holds; where it doesn't, its layers would only say so again.
    pub(super) fn requirements(&mut self, model: &Model, scope: &ValueScope<'m, '_>) -> bool {
        let mut all = true;
        for require in &model.require {
            let condition = &require.condition;
            // One that can't be evaluated says so itself, unless another has failed.
            let holds =
                if all { self.condition(condition, scope).unwrap_or(true) } else { self.values.quietly(condition, scope) };
            if !holds {
                all = false;
                let diagnostic = Diagnostic::new(Code::RequirementNotMet, &*require.message).at(condition.span, "doesn't hold");
                let diagnostic = self.values.with_values(diagnostic, condition, scope);
                let mut diagnostic = self.values.blamed(diagnostic, condition, scope);
                if diagnostic.primary.as_ref().is_some_and(|label| label.span.source != model.span.source) {
                    diagnostic.secondary.extend(diagnostic.primary.take());
                    diagnostic = diagnostic.at(model.span.part(0..1), "in this config");
                }
                self.report(diagnostic);
            }
        }
        all
    }

    /// What a composite is to a reader by the block that it uses.
    pub(super) fn block_role(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) -> Option<Role> {
        let spec::Body::Use(field) = &layer.body else { return None };
        let name = self.plain_text(field, scope)?;
        match self.checked.used(&name, self.file) {
            Ok(Some(Used::Local(block) | Used::Catalog(block))) => said_role(block.role.as_ref()),
            _ => None,
        }
    }

    /// The class of the family that a layer uses.
    pub(super) fn family_class(&self, layer: &Layer) -> Option<Arc<str>> {
        let spec::Body::Use(field) = &layer.body else { return None };
        match self.checked.used_at(field.span, self.file) {
            Some(Used::Family(model)) => model.class.clone(),
            _ => None,
        }
    }
}
