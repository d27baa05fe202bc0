//! What layers read and composites give, by name.

use super::flattener::{Flattener, ValueScope};
use super::value::ValueRef;
use super::wire::Unknown;
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::spec::{Layer, TextField};

impl<'m> Flattener<'m, '_> {
    /// What a layer reads: what it names, else the previous layer's output.
    pub(super) fn inputs(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) -> Vec<ValueRef> {
        self.first_inputs(layer, scope, usize::MAX)
    }

    pub(super) fn first_inputs(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>, most: usize) -> Vec<ValueRef> {
        let Some(fields) = &layer.inputs else {
            return vec![self.wiring.previous()];
        };
        let mut inputs = Vec::with_capacity(fields.len());
        for field in fields.iter().take(most) {
            let Some(text) = self.plain_text(field, scope) else {
                continue;
            };
            let found = self.wiring.find(&text);
            if self.wiring.exhausted() && !self.full {
                self.full = true;
                let message = "the model's inputs lead through more layers than are looked through";
                self.report(Diagnostic::new(Code::ModelTooLarge, message).at(field.span, "too many from here on"));
            }
            match found {
                Ok(value) => inputs.push(value),
                Err(Unknown::Reported) => {}
                Err(Unknown::Nothing) => {
                    let near = self.near(|wiring| wiring.nearest(&text));
                    let diagnostic = Diagnostic::new(Code::UnknownInput, format!("unknown input `{text}`"))
                        .at(field.span, "neither an earlier layer's value, nor `input`, nor a model input");
                    let inner = field.span.inside();
                    let diagnostic = diagnostic.did_you_mean(inner, near.as_deref());
                    let wanted = self.uses.last().filter(|block| block.reads.iter().any(|value| *value.value == *text));
                    let note = wanted.map(|block| format!("the block `{}` expects `{text}` where it is used", block.name.value));
                    self.report(note.into_iter().fold(diagnostic, Diagnostic::note));
                }
            }
        }
        inputs
    }

    /// The first input of a layer that doesn't exist, if there is such a value.
    pub(super) fn first_known_input(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) -> Result<ValueRef, Unknown> {
        let Some(fields) = &layer.inputs else {
            return Ok(self.wiring.previous());
        };
        let text = fields.first().and_then(|field| self.plain_text(field, scope)).ok_or(Unknown::Nothing)?;
        self.wiring.find(&text)
    }

    pub(super) fn output(&mut self, field: &TextField, scope: &ValueScope<'_, '_>) -> Option<ValueRef> {
        let text = self.plain_text(field, scope)?;
        match self.wiring.find_child(&text) {
            Ok(value) => Some(value),
            Err(Unknown::Reported) => None,
            Err(Unknown::Nothing) => {
                let near = self.near(|wiring| wiring.nearest_child(&text));
                let inner = field.span.inside();
                let diagnostic =
                    Diagnostic::new(Code::UnknownInput, format!("`output` names `{text}`, and there is no such child"))
                        .at(field.span, "not a layer of this composite");
                self.report(diagnostic.did_you_mean(inner, near.as_deref()));
                None
            }
        }
    }
}
