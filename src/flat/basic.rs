//! Basic layers: their class, parameters, weights and ties, as far as they are known without a workload.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::flattener::{Flattener, ValueScope, said_role};
use super::node::{ClassRef, Common, OwnWeight, Row, SingleTie, TieSpec};
use super::value::ValueRef;
use crate::catalog::{Class, Parameter, ParameterKind, Role, builtin_slot, check_parameter};
use crate::language::check::{COMMON_PARAMETERS, check_parameters, mistyped, unknown_class};
use crate::language::checkpoint::Quantization;
use crate::language::scope::Definition;
use crate::language::{Argument, Binding, Segment};
use crate::quantity::workload::LENGTHS;
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::expr::{Exact, Value};
use crate::syntax::source::{SourceId, Span};
use crate::syntax::spec::{Attr, Layer, TieTarget, Weight};

/// How much is tried at most: a second or two.
const MOST_COMPARED: u64 = 10_000_000;

impl<'m> Flattener<'m, '_> {
    /// The tensors that a composite owns itself: rows of their own, at its start.
    pub(super) fn own_weights(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) {
        let Some(weights) = &layer.weights else { return };
        let tie = self.tie(layer, scope).filter(|tie| tie.all.is_none());
        let Some(own) = self.weights(weights, scope) else {
            return self.fault_inside(layer);
        };
        for weight in own {
            let marks = self.marks("Parameter", Some(&*weight.name));
            let mut tie = tie.clone();
            if let Some(tie) = &mut tie {
                tie.single.retain(|single| single.weight == weight.name);
            }
            let common = Common {
                segment: Some(Segment::text(&weight.name)),
                class_name: "Parameter".into(),
                class: None,
                kind: None,
                role: None,
                overrides: Vec::new(),
                weights: Some([weight].into()),
                calls: None,
                inputs: Vec::new(),
                hold: None,
                no_grad: false,
                tie: tie.map(Box::new),
                span: layer.place(),
                used: self.used_for(layer.place()),
                merged: None,
            };
            let quantization =
                self.checked.checkpoint.quantization.as_ref().filter(|said| said.concerns(&common.class_name, false));
            let own = common.segment.as_ref().map(|segment| self.concrete_segment(segment));
            let quantized = quantization.and_then(|said| {
                self.concrete.extend(own);
                let quantized = self.quantized(said, common.span);
                self.concrete.pop();
                quantized
            });
            for diagnostic in self.wiring.place_weight(Row { marks, quantized, ..Row::new(Arc::new(common)) }) {
                self.report(diagnostic);
            }
        }
    }

    /// The tensors of `weights` that exist. `None` if one of them has no value, which was reported.
    pub(super) fn weights(&mut self, weights: &[Weight], scope: &ValueScope<'_, '_>) -> Option<Vec<OwnWeight>> {
        let mut own = Some(Vec::with_capacity(weights.len()));
        for weight in weights {
            let exists = weight.when.as_ref().map_or(Some(true), |when| self.condition(when, scope));
            if exists == Some(false) {
                continue;
            }
            let dims: Vec<Option<u128>> = weight.shape.iter().map(|dim| self.dimension(dim, scope)).collect();
            let shape: Option<Vec<u128>> = dims.into_iter().collect();
            own = match (own, exists, shape) {
                (Some(mut own), Some(_), Some(shape)) => {
                    own.push(OwnWeight { name: weight.name.value.clone(), shape, float32: weight.float32 });
                    Some(own)
                }
                _ => None,
            };
        }
        own
    }

    fn dimension(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>) -> Option<u128> {
        let value = self.values.structural(attr, scope)?;
        let count = value.as_number().and_then(|n| n.to_count());
        if count.is_none() {
            let diagnostic = self.values.not_a_count(attr, &value, scope, "a dimension");
            self.report(diagnostic);
        }
        count
    }

    pub(super) fn basic(
        &mut self,
        layer: &'m Layer,
        scope: &ValueScope<'m, '_>,
        segment: Option<Segment>,
        inputs: Vec<ValueRef>,
        calls: Option<Argument>,
    ) -> Option<Row> {
        let field = layer.class.as_ref()?;
        let class_name = self.plain_text(field, scope)?;
        let known = self.checked.resolution.class(field.span).cloned();
        let Some(class) = known.or_else(|| self.checked.classes.find(&class_name)) else {
            // A class that is written out was checked already, at the same place.
            let said = self.values.diagnostics().said(Code::UnknownClass, field.span);
            if !said && !self.checked.classes.is_faulty(&class_name) {
                let suggest = !self.values.diagnostics().crowded();
                self.report(unknown_class(&class_name, field.span, &self.checked.classes, suggest));
            }
            return None;
        };
        if field.pieces.literal().is_none() {
            check_parameters(layer, &class, &|name| scope.find(name).is_some(), self.values.diagnostics());
        }
        // All that may be wrong is said before the layer is given up.
        self.values.traces.arguments(true);
        let arguments = self.arguments(layer, &class, scope);
        self.values.traces.arguments(false);
        let weights = match &layer.weights {
            Some(weights) => self.weights(weights, scope).map(|own| Some(own.into())),
            None => Some(None),
        };
        let tie = self.tie(layer, scope);
        let (arguments, overrides) = arguments?;
        let quantization = self
            .checked
            .checkpoint
            .quantization
            .as_ref()
            .filter(|quantization| quantization.concerns(&class.name, !class.quantized.is_empty()));
        let quantized = quantization.and_then(|quantization| self.quantized(quantization, field.span));
        // The name in a table (`ACT2FN.silu`) is not what a person knows the class by.
        let full_name = if field.pieces.literal().is_none() { class.full_name(&class_name).cloned() } else { None };
        let (kind, role) = class.called(&class_name);
        let marks = self.marks(&class_name, None);
        let common = self.shared(Common {
            segment,
            class_name: full_name.unwrap_or(class_name),
            kind: Some(kind),
            role: said_role(layer.role.as_deref()).or(role).or((layer.of_head || self.head_group).then_some(Role::Head)),
            overrides,
            weights: weights?,
            calls: calls.map(Box::new),
            inputs,
            hold: layer.hold.clone(),
            no_grad: self.no_grad > 0,
            tie: tie.map(Box::new),
            span: field.span,
            used: self.used_for(field.span),
            merged: None,
            class: Some(ClassRef(class)),
        });
        Some(Row { arguments: arguments.into(), quantized, marks, ..Row::new(common) })
    }

    /// The group of the layer that is being made in the checkpoint's quantization, as long as looking is no effort beyond all measure.
    fn quantized(&mut self, quantization: &Quantization, place: Span) -> Option<u16> {
        let before = self.compared;
        self.compared = before.saturating_add(quantization.effort());
        if self.compared > MOST_COMPARED {
            if before <= MOST_COMPARED {
                let message = "the layers and the names in the quantization config are too many to compare all with all";
                self.report(Diagnostic::new(Code::ModelTooLarge, message).at(place, "not looked at from here on"));
            }
            return None;
        }
        quantization.group(&self.concrete.join("."))
    }

    /// The same as in the instance before, if it is the same.
    fn shared(&mut self, common: Common) -> Arc<Common> {
        // Written out for itself, it is made once.
        if self.counts.is_empty() && self.uses.is_empty() {
            return Arc::new(common);
        }
        match self.common.entry(common.span) {
            Entry::Occupied(known) if **known.get() == common => known.get().clone(),
            entry => entry.insert_entry(Arc::new(common)).get().clone(),
        }
    }

    /// Parameters by position, and workload values replaced by slot. `None` if one is missing or has no value, which was reported.
    #[expect(clippy::type_complexity, reason = "two lists of one kind, named where they are used")]
    pub(super) fn arguments(
        &mut self,
        layer: &'m Layer,
        class: &Arc<Class>,
        scope: &ValueScope<'m, '_>,
    ) -> Option<(Vec<(u16, Argument)>, Vec<(u16, Argument)>)> {
        let (mut arguments, mut overrides) = (Vec::with_capacity(layer.parameters.len()), Vec::new());
        let given = |name: &Arc<str>| layer.parameters.iter().any(|given| given.name.value == *name);
        let mut complete = class.parameters.iter().all(|parameter| parameter.default.is_some() || given(&parameter.name));
        for given in &layer.parameters {
            let name = &given.name.value;
            let clip = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
            let found = class.parameters.iter().enumerate().find(|(_, p)| p.name == *name);
            let argument = match found {
                Some((_, parameter)) => self.checked_argument(parameter, &given.value, scope, class),
                None if COMMON_PARAMETERS.contains(&&**name) => self.override_of(name, &given.value, scope),
                // `check` has said so.
                None => None,
            };
            match (argument, found) {
                (None, _) => complete = false,
                (Some(argument), Some((index, _))) => arguments.push((clip(index), argument)),
                (Some(argument), None) => match builtin_slot(name) {
                    Some(slot) => overrides.push((clip(slot), argument)),
                    // Not a parameter, which `check` has reported.
                    None => complete = false,
                },
            }
        }
        if scope.rebinds {
            self.rebound(scope, &mut overrides);
        }
        arguments.sort_by_key(|(index, _)| *index);
        complete.then_some((arguments, overrides))
    }

    /// Lengths that mean others in the composites around: what the class computes with, unless the layer says so itself.
    fn rebound(&mut self, scope: &ValueScope<'m, '_>, overrides: &mut Vec<(u16, Argument)>) {
        for name in LENGTHS {
            let Some((at, entry)) = scope.find(name).filter(|(_, e)| !matches!(e.definition, Definition::Workload(_))) else {
                continue;
            };
            let slot = builtin_slot(name).and_then(|slot| u16::try_from(slot).ok());
            let Some(slot) = slot.filter(|slot| overrides.iter().all(|(known, _)| known != slot)) else { continue };
            if let Ok(binding) = self.values.entry(at, entry, 0) {
                let span = entry.span.unwrap_or(Span::new(SourceId::COMMAND_LINE, 0..0));
                overrides.push((slot, Argument { binding, span }));
            }
        }
    }

    fn checked_argument(
        &mut self,
        parameter: &Parameter,
        attr: &Attr,
        scope: &ValueScope<'m, '_>,
        class: &Class,
    ) -> Option<Argument> {
        let mut argument = self.argument(attr, scope)?;
        if let Binding::Known(value) = &argument.binding {
            let Some(value) = check_parameter(parameter, value) else {
                // A constant was checked already.
                if mistyped(parameter, &attr.datum, attr.span, class, &|_| true).is_none() {
                    let diagnostic = self.wrong_argument(parameter, attr, value, scope, class);
                    self.report(diagnostic);
                }
                return None;
            };
            argument.binding = Binding::Known(value);
        }
        Some(argument)
    }

    /// A workload's value replaced for one layer: a number of bytes.
    fn override_of(&mut self, name: &str, attr: &Attr, scope: &ValueScope<'m, '_>) -> Option<Argument> {
        let argument = self.argument(attr, scope)?;
        match &argument.binding {
            Binding::Known(Value::Number(n)) if *n >= Exact::ZERO => Some(argument),
            Binding::Known(value) => {
                let message = format!("`{name}` is a number of bytes, found {value}");
                let diagnostic = Diagnostic::new(Code::ParameterType, message).at(attr.span, "expected a non-negative number");
                self.report(diagnostic);
                None
            }
            Binding::Workload(_) => Some(argument),
        }
    }

    fn wrong_argument(
        &mut self,
        parameter: &Parameter,
        attr: &Attr,
        value: &Value,
        scope: &ValueScope<'_, '_>,
        class: &Class,
    ) -> Diagnostic {
        if let Some(diagnostic) = self.values.text_for_a_number(attr, value, scope, &format!("`{}`", parameter.name))
            && parameter.kind != ParameterKind::Text
        {
            return diagnostic;
        }
        if matches!(parameter.kind, ParameterKind::Count | ParameterKind::Shape) && matches!(value, Value::Number(_)) {
            return self.values.not_a_count(attr, value, scope, &format!("`{}`", parameter.name));
        }
        let diagnostic = crate::language::check::wrong_kind(parameter, value, class)
            .at(attr.span, crate::language::check::expected(parameter));
        let diagnostic = self.values.with_values(diagnostic, attr, scope);
        self.values.blamed(diagnostic, attr, scope)
    }

    pub(super) fn argument(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>) -> Option<Argument> {
        let binding = self.values.binding(attr, scope)?;
        Some(Argument { binding, span: attr.span })
    }

    pub(super) fn tie(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) -> Option<TieSpec> {
        let tie = layer.tied_to.as_ref()?;
        if let Some(when) = &tie.when
            && !self.condition(when, scope)?
        {
            return None;
        }
        Some(match &tie.target {
            TieTarget::Layer(field) => {
                TieSpec { all: Some(self.plain_text(field, scope)?), single: Vec::new(), span: field.span }
            }
            TieTarget::Weights(weights) => {
                let single = weights.iter().filter_map(|(name, field)| {
                    let path = self.plain_text(field, scope)?;
                    Some(SingleTie { weight: name.value.clone(), path, weight_span: name.span, span: field.span })
                });
                TieSpec { all: None, single: single.collect(), span: tie.span }
            }
        })
    }
}
