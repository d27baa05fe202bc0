//! Layers, one after the other: does it exist, what does it read, what is in it.

use super::flattener::{Flattener, ValueScope, said_role};
use super::node::{Composite, Node, Row};
use super::value::ValueRef;
use super::wire::{Body, Unknown};
use crate::catalog::Role;
use crate::language::Segment;
use crate::language::check::index_entry;
use crate::language::scope::Scope;
use crate::syntax::spec::{self, Layer};

impl<'m> Flattener<'m, '_> {
    pub(super) fn layers(&mut self, layers: &'m [Layer], scope: &ValueScope<'m, '_>) {
        for layer in layers {
            self.layer(layer, scope);
        }
    }

    fn layer(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>) {
        if layer.repeat.is_some() {
            return self.repeat(layer, scope);
        }
        let inner = Scope::of_variables(scope, &layer.variables);
        if !self.visit(layer) {
            return self.fault(layer, &inner);
        }
        match self.exists(layer, &inner) {
            Some(true) => {
                let inputs = self.inputs(layer, &inner);
                match self.instance(layer, &inner, inputs, false) {
                    Some(node) => self.place(layer, node),
                    None => self.fault(layer, &inner),
                }
            }
            Some(false) => self.absent(layer, &inner),
            None => self.fault(layer, &inner),
        }
    }

    pub(super) fn exists(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) -> Option<bool> {
        let Some(when) = &layer.when else {
            return Some(true);
        };
        self.condition(when, scope)
    }

    pub(super) fn absent(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>) {
        let stand_in = match self.counts.is_empty() {
            _ if layer.inputs.as_ref().is_some_and(Vec::is_empty) => Err(Unknown::Nothing),
            true => self.first_inputs(layer, scope, 1).into_iter().next().ok_or(Unknown::Reported),
            // In other instances it may exist, and then read what isn't there yet in this one.
            false => self.first_known_input(layer, scope),
        };
        let indexed = Scope::new(Some(scope), index_entry(layer, 0).into_iter().collect());
        let name = layer.name.as_ref().and_then(|field| self.values.segment(field, &indexed));
        let name = name.as_ref().and_then(Segment::lookup_name);
        self.absent.extend(name.cloned());
        match stand_in {
            Ok(value) => self.wiring.absent(name, Some(value)),
            Err(Unknown::Nothing) => self.wiring.absent(name, None),
            // Who reads it reads what is missing, which was reported.
            Err(Unknown::Reported) => {
                self.wiring.fault(name.cloned(), layer.place());
            }
        }
    }

    /// One layer, or one instance of a repeated one, without its place among the siblings.
    pub(super) fn instance(
        &mut self,
        layer: &'m Layer,
        scope: &ValueScope<'m, '_>,
        inputs: Vec<ValueRef>,
        repeated: bool,
    ) -> Option<Node<Box<Row>>> {
        let segment = match &layer.name {
            Some(field) => Some(self.segment(field, scope, repeated)?),
            None => None,
        };
        let here = segment.clone().filter(|_| !layer.inline).map(|segment| (segment, self.counts.len()));
        self.trail.extend(here);
        let is_asked = self.checked.checkpoint.quantization.is_some() || !self.patterns.is_empty();
        let concrete = segment.as_ref().filter(|_| !layer.inline && is_asked);
        let concrete = concrete.map(|segment| self.concrete_segment(segment));
        let depth = self.concrete.len();
        self.concrete.extend(concrete);
        self.no_grad += usize::from(layer.no_grad);
        let node = self.instance_named(layer, scope, segment.clone(), inputs);
        self.no_grad -= usize::from(layer.no_grad);
        self.concrete.truncate(depth);
        if segment.is_some() && !layer.inline {
            self.trail.pop();
        }
        node
    }

    fn instance_named(
        &mut self,
        layer: &'m Layer,
        scope: &ValueScope<'m, '_>,
        segment: Option<Segment>,
        inputs: Vec<ValueRef>,
    ) -> Option<Node<Box<Row>>> {
        let calls = match &layer.calls {
            Some(attr) => Some(self.calls(attr, scope)?),
            None => None,
        };
        if matches!(layer.body, spec::Body::Basic) {
            return self.basic(layer, scope, segment, inputs, calls).map(|row| Node::Layer(Box::new(row)));
        }
        let of_head = layer.of_head || self.head_group;
        let around = std::mem::replace(&mut self.head_group, of_head && (segment.is_none() || layer.inline));
        self.wiring.open(Body::default());
        self.own_weights(layer, scope);
        self.body(layer, scope);
        self.head_group = around;
        let output = layer.output.as_ref().and_then(|field| self.output(field, scope));
        let body = self.close();
        let class = match &layer.class {
            Some(field) => self.plain_text(field, scope),
            None => self.family_class(layer),
        };
        Some(Node::Composite(Box::new(Composite {
            segment,
            inline: layer.inline,
            class,
            role: said_role(layer.role.as_deref()).or_else(|| self.block_role(layer, scope)).or(of_head.then_some(Role::Head)),
            calls: calls.map(Box::new),
            inputs,
            output: output.map(Box::new),
            hold: layer.hold.clone(),
            tie: self.tie(layer, scope).filter(|tie| tie.all.is_some()).map(Box::new),
            body,
            span: layer.place(),
        })))
    }
}
