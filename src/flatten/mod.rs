//! From a checked model to its flat list, folded: one row per distinct layer, in execution order.
//!
//! A [`Checked`] comes in, a [`FlatModel`] goes out. Structural variables get their values here; what depends on the workload stays an
//! expression over workload variables alone. A repeat whose body doesn't mention its index is walked once; else its instances share
//! a variant when nothing in them differs.

mod node;
mod specialise;
mod tie;
mod wire;

use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

pub use node::{
    Argument, Binding, ClassRef, Composite, FlatModel, Indices, Instance, Node, OwnWeight, PathPiece, Repeat, Residual, Row,
    RowId, RowInfo, Segment, Tied, ValueRef, ValueTarget, Variant,
};
use specialise::{Values, text_for_a_number};
use wire::{Body, Wiring};

use crate::catalog::{Class, ParameterKind, builtin_slot, check_parameter};
use crate::check::{
    Checked, MAX_LAYERS, check_parameters, index_entry, missing_bindings, root_entries, taken_entries, unknown_block,
    unknown_class,
};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::{EvalError, Value};
use crate::scope::Scope;
use crate::source::Span;
use crate::spec::{Attr, Datum, Layer, TextField, TieTarget, name_problem};
use node::TieSpec;

/// Flattens a model. What is wrong goes to `diagnostics`; with errors among them the result is incomplete.
pub fn flatten(checked: &Checked<'_>, diagnostics: &mut Diagnostics) -> FlatModel {
    let (workload, variables) = root_entries(&checked.model, &checked.settings);
    let outer = Scope::new(None, workload);
    let root = Scope::new(Some(&outer), variables);
    let model_inputs: Vec<Arc<str>> = match checked.model.inputs.as_slice() {
        [] => vec!["input_ids".into()],
        inputs => inputs.iter().map(|input| input.name.value.clone()).collect(),
    };
    let mut flattener = Flattener {
        checked,
        values: Values::new(diagnostics),
        wiring: Wiring::new(model_inputs),
        trail: Vec::new(),
        counts: Vec::new(),
        visited: 0,
        full: false,
        unchecked: 0,
    };
    flattener.wiring.open(Body::default());
    flattener.layers(&checked.model.layers, &root);
    let body = flattener.wiring.close();
    let defaults = flattener.workload_defaults(&root);
    let positions = flattener.positions(&root);
    let mut model = FlatModel::number(body.nodes, defaults, positions);
    model.name = checked.model.name.as_ref().map(|n| n.value.clone());
    model.class = checked.model.class.clone();
    model.source = checked.model.source.clone();
    tie::resolve(&mut model, diagnostics);
    model
}

type ValueScope<'m, 'p> = Scope<'m, 'p, Result<Binding, EvalError>>;

struct Flattener<'m, 'd> {
    checked: &'m Checked<'m>,
    values: Values<'d>,
    wiring: Wiring,
    /// The path here, for notes.
    trail: Vec<String>,
    /// The counts of the repeats around.
    counts: Vec<u64>,
    visited: usize,
    /// The limit was reached and reported.
    full: bool,
    /// How many blocks around were chosen by a variable, so that `check` hasn't seen what is in them.
    unchecked: usize,
}

impl<'m> Flattener<'m, '_> {
    fn layers(&mut self, layers: &'m [Layer], scope: &ValueScope<'m, '_>) {
        for layer in layers {
            self.layer(layer, scope);
        }
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        let diagnostic = match self.trail.is_empty() {
            true => diagnostic,
            false => diagnostic.note(format!("in layer `{}`", self.trail.join("."))),
        };
        self.values.push(diagnostic);
    }

    /// A segment for people: `layers.[0-31]`.
    fn shown(&self, segment: &Segment) -> String {
        let mut out = String::new();
        segment.write(&mut out, &|level, out| {
            let count = self.counts.len().checked_sub(1 + usize::from(level)).and_then(|at| self.counts.get(at));
            out.push_str(&count.map_or_else(|| "*".to_owned(), |n| Indices::range(0, n.saturating_sub(1)).pattern()));
        });
        out
    }

    fn layer(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>) {
        if layer.repeat.is_some() {
            return self.repeat(layer, scope);
        }
        let inner = Scope::of_variables(scope, &layer.variables);
        match self.exists(layer, &inner) {
            Some(true) => {
                let inputs = self.inputs(layer, &inner);
                if let Some(node) = self.instance(layer, &inner, inputs, false) {
                    self.place(layer, node);
                }
            }
            Some(false) => self.absent(layer, &inner),
            None => {}
        }
    }

    /// Puts a finished node into the body that is being built.
    fn place(&mut self, layer: &Layer, node: Node<Row>) {
        for diagnostic in self.wiring.place(node, layer.span.part(0..1)) {
            self.report(diagnostic);
        }
    }

    fn absent(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>) {
        let stand_in = self.inputs(layer, scope).into_iter().next();
        if let Some(name) = layer.name.as_ref().and_then(|field| self.plain_text(field, scope)) {
            self.wiring.absent(&name, stand_in);
        }
    }

    fn exists(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) -> Option<bool> {
        let Some(when) = &layer.when else {
            return Some(true);
        };
        self.condition(when, scope, "`when`")
    }

    fn condition(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>, what: &str) -> Option<bool> {
        match self.values.structural(attr, scope, what)? {
            Value::Bool(value) => Some(value),
            Value::Text(text) if matches!(attr.datum, Datum::Text(_)) => {
                self.report(text_for_a_number(&text, attr.span, what));
                None
            }
            other => {
                let message = format!("a condition is true or false, found {}: {other}", other.kind());
                self.report(Diagnostic::new(Code::TypeMismatch, message).at(attr.span, "not a condition"));
                None
            }
        }
    }

    fn repeat(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>) {
        let Some(repeat) = &layer.repeat else { return };
        let around = Scope::of_variables(scope, &layer.variables);
        let Some(count) = self.repeats(repeat, &around) else {
            return;
        };
        let inputs = self.inputs(layer, &around);
        // It remembers hashes, which are much of the work of a repeat whose instances all differ.
        let mut distinct: IndexMap<Node<Row>, Indices, RandomState> = IndexMap::default();
        self.counts.push(count);
        let mut index = 0;
        while index < count && !self.full {
            let indexed = Scope::new(Some(scope), index_entry(layer, index).into_iter().collect());
            let inner = Scope::of_variables(&indexed, &layer.variables);
            let node = match self.exists(layer, &inner) {
                Some(true) => self.instance(layer, &inner, inputs.clone(), true),
                _ => None,
            };
            let depends = indexed.entries.iter().any(|entry| entry.used.get());
            let last = if depends { index } else { count - 1 };
            if let Some(node) = node {
                distinct.entry(node).or_default().push(index, last);
            }
            index = last + 1;
        }
        self.counts.pop();
        let variant = |(node, indices)| Variant { indices, instance: Some(Box::new(node)) };
        let variants: Vec<Variant<Row>> = distinct.into_iter().map(variant).collect();
        if variants.is_empty() {
            return self.absent(layer, &around);
        }
        let name = variants.first().and_then(|variant| variant.instance.as_deref()).and_then(instance_name);
        self.place(layer, Node::Repeat(Repeat { name, count, parallel: layer.parallel, inputs, variants, hold: layer.hold }));
    }

    fn repeats(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>) -> Option<u64> {
        let value = self.values.structural(attr, scope, "`repeat`")?;
        let count = value.as_number().and_then(|n| n.to_count());
        let Some(count) = count else {
            let diagnostic = self.values.not_a_count(attr, &value, scope, "`repeat`");
            self.report(diagnostic);
            return None;
        };
        if let Ok(count) = u64::try_from(count) {
            return Some(count);
        }
        let message = format!("`repeat` is {count}, more than 2^64 - 1");
        self.report(Diagnostic::new(Code::Overflow, message).at(attr.span, "too many"));
        None
    }

    /// One layer, or one instance of a repeated one, without its place among the siblings.
    fn instance(
        &mut self,
        layer: &'m Layer,
        scope: &ValueScope<'m, '_>,
        inputs: Vec<ValueRef>,
        repeated: bool,
    ) -> Option<Node<Row>> {
        self.visited += 1;
        if self.visited > MAX_LAYERS {
            if !self.full {
                self.full = true;
                let message = format!("the model has more than {MAX_LAYERS} layers that have to be looked at");
                let diagnostic = Diagnostic::new(Code::ModelTooLarge, message).at(layer.span.part(0..1), "too many from here on");
                self.report(diagnostic.help("a repeat whose body doesn't use its index is looked at once, however large it is"));
            }
            return None;
        }
        let segment = match &layer.name {
            Some(field) => Some(self.segment(field, scope, repeated)?),
            None => None,
        };
        let shown = segment.as_ref().filter(|_| !layer.inline).map(|s| self.shown(s));
        self.trail.extend(shown);
        let node = self.instance_named(layer, scope, segment.clone(), inputs);
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
    ) -> Option<Node<Row>> {
        let calls = match &layer.calls {
            Some(attr) => Some(self.argument(attr, scope)?),
            None => None,
        };
        if matches!(layer.body, crate::spec::Body::Basic) {
            return self.basic(layer, scope, segment, inputs, calls).map(|row| Node::Layer(Box::new(row)));
        }
        self.wiring.open(Body::default());
        self.own_weights(layer, scope);
        self.body(layer, scope);
        let output = layer.output.as_ref().and_then(|field| self.output(field, scope));
        let body = self.wiring.close();
        let class = layer.class.as_ref().and_then(|field| self.plain_text(field, scope));
        Some(Node::Composite(Composite {
            segment,
            inline: layer.inline,
            class,
            calls,
            inputs,
            output,
            hold: layer.hold,
            tie: self.tie(layer, scope).filter(|tie| tie.all.is_some()),
            body: body.nodes,
            span: layer.span.part(0..1),
        }))
    }

    fn body(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>) {
        match &layer.body {
            crate::spec::Body::Basic => {}
            crate::spec::Body::Composite(layers) => self.layers(layers, scope),
            crate::spec::Body::Use(field) => {
                let Some(name) = self.plain_text(field, scope) else {
                    return;
                };
                let checked = self.checked;
                let Some(block) = checked.block(&name) else {
                    self.report(unknown_block(checked, &name, field.span));
                    return;
                };
                // A block chosen by a variable may lead back to itself, which `check` can't see.
                if self.wiring.depth() > crate::check::MAX_LAYER_DEPTH {
                    let message = format!("the block `{name}` is used inside itself, or layers are nested too deeply");
                    self.report(Diagnostic::new(Code::LayersTooDeep, message).at(field.span, "one level too many"));
                    return;
                }
                // What `check` can't see: a block that a variable chooses.
                let chosen = field.pieces.literal().is_none();
                if chosen {
                    missing_bindings(block, layer, scope).into_iter().for_each(|diagnostic| self.report(diagnostic));
                }
                let taken = Scope::new(Some(scope), taken_entries(block, scope));
                let inner = Scope::of_variables(&taken, &block.variables);
                self.unchecked += usize::from(chosen);
                self.layers(&block.layers, &inner);
                self.unchecked -= usize::from(chosen);
            }
        }
    }

    /// The tensors that a composite owns itself: rows of their own, at its start.
    fn own_weights(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) {
        let tie = self.tie(layer, scope).filter(|tie| tie.all.is_none());
        for weight in self.weights(layer, scope).into_iter().flatten() {
            let mut tie = tie.clone();
            if let Some(tie) = &mut tie {
                tie.single.retain(|(name, _)| *name == weight.name);
            }
            let row = Row {
                segment: Some(Segment::text(&weight.name)),
                class_name: "Parameter".into(),
                class: None,
                arguments: Vec::new(),
                overrides: Vec::new(),
                weights: Some(vec![weight]),
                calls: None,
                inputs: Vec::new(),
                hold: false,
                tie,
                tied: Vec::new(),
                span: layer.span.part(0..1),
            };
            for diagnostic in self.wiring.place_weight(row) {
                self.report(diagnostic);
            }
        }
    }

    fn weights(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) -> Option<Vec<OwnWeight>> {
        let weights = layer.weights.as_ref()?;
        let mut own = Vec::with_capacity(weights.len());
        for weight in weights {
            if let Some(when) = &weight.when {
                if self.condition(when, scope, "a weight's `when`") != Some(true) {
                    continue;
                }
            }
            let shape: Option<Vec<u128>> = weight.shape.iter().map(|dim| self.dimension(dim, scope)).collect();
            own.push(OwnWeight { name: weight.name.value.clone(), shape: shape? });
        }
        Some(own)
    }

    fn dimension(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>) -> Option<u128> {
        let value = self.values.structural(attr, scope, "a weight's shape")?;
        let count = value.as_number().and_then(|n| n.to_count());
        if count.is_none() {
            let diagnostic = self.values.not_a_count(attr, &value, scope, "a dimension");
            self.report(diagnostic);
        }
        count
    }

    fn basic(
        &mut self,
        layer: &'m Layer,
        scope: &ValueScope<'m, '_>,
        segment: Option<Segment>,
        inputs: Vec<ValueRef>,
        calls: Option<Argument>,
    ) -> Option<Row> {
        let field = layer.class.as_ref()?;
        let class_name = self.plain_text(field, scope)?;
        let Some(class) = self.checked.classes.find(&class_name) else {
            // A class that is written out was checked already, at the same place.
            self.report(unknown_class(&class_name, field.span, &self.checked.classes));
            return None;
        };
        if field.pieces.literal().is_none() || self.unchecked > 0 {
            check_parameters(layer, &class, self.values.diagnostics());
        }
        let (arguments, overrides) = self.arguments(layer, &class, scope);
        Some(Row {
            segment,
            class_name,
            arguments,
            overrides,
            weights: self.weights(layer, scope),
            calls,
            inputs,
            hold: layer.hold,
            tie: self.tie(layer, scope),
            tied: Vec::new(),
            span: field.span,
            class: Some(ClassRef(class)),
        })
    }

    #[expect(clippy::type_complexity, reason = "two lists of one kind, named where they are used")]
    fn arguments(
        &mut self,
        layer: &'m Layer,
        class: &Arc<Class>,
        scope: &ValueScope<'m, '_>,
    ) -> (Vec<(u16, Argument)>, Vec<(u16, Argument)>) {
        let (mut arguments, mut overrides) = (Vec::with_capacity(layer.parameters.len()), Vec::new());
        for given in &layer.parameters {
            let name = &given.name.value;
            let index = class.parameters.iter().position(|p| p.name == *name);
            let clip = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
            match index.and_then(|i| class.parameters.get(i).map(|p| (i, p))) {
                Some((index, parameter)) => {
                    let Some(mut argument) = self.argument(&given.value, scope) else {
                        continue;
                    };
                    if let Binding::Known(value) = &argument.binding {
                        let Some(value) = check_parameter(parameter, value) else {
                            let diagnostic = self.wrong_argument(parameter, &given.value, value.clone(), scope, class);
                            self.report(diagnostic);
                            continue;
                        };
                        argument.binding = Binding::Known(value);
                    }
                    arguments.push((clip(index), argument));
                }
                None => {
                    let Some(slot) = builtin_slot(name) else {
                        continue;
                    };
                    overrides.extend(self.argument(&given.value, scope).map(|argument| (clip(slot), argument)));
                }
            }
        }
        arguments.sort_by_key(|(index, _)| *index);
        (arguments, overrides)
    }

    fn wrong_argument(
        &mut self,
        parameter: &crate::catalog::Parameter,
        attr: &Attr,
        value: Value,
        scope: &ValueScope<'_, '_>,
        class: &Class,
    ) -> Diagnostic {
        if parameter.kind == ParameterKind::Count && matches!(value, Value::Number(_)) {
            return self.values.not_a_count(attr, &value, scope, &format!("`{}`", parameter.name));
        }
        let diagnostic = crate::check::wrong_kind(parameter, &value, class).at(attr.span, crate::check::expected(parameter));
        self.values.with_values(diagnostic, attr, scope)
    }

    fn argument(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>) -> Option<Argument> {
        let binding = self.values.binding(attr, scope)?;
        Some(Argument { binding, span: attr.span })
    }

    fn tie(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) -> Option<TieSpec> {
        let tie = layer.tied_to.as_ref()?;
        if let Some(when) = &tie.when {
            if !self.condition(when, scope, "a tie's `when`")? {
                return None;
            }
        }
        Some(match &tie.target {
            TieTarget::Layer(field) => TieSpec { all: Some(self.plain_text(field, scope)?), single: Vec::new(), span: tie.span },
            TieTarget::Weights(weights) => {
                let single = weights.iter().filter_map(|(name, field)| {
                    let path = self.plain_text(field, scope)?;
                    Some((name.value.clone(), path))
                });
                TieSpec { all: None, single: single.collect(), span: tie.span }
            }
        })
    }

    /// What a layer reads: what it names, else the previous layer's output.
    fn inputs(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) -> Vec<ValueRef> {
        let Some(fields) = &layer.inputs else {
            return vec![self.wiring.previous()];
        };
        let mut inputs = Vec::with_capacity(fields.len());
        for field in fields {
            let Some(text) = self.plain_text(field, scope) else {
                continue;
            };
            match self.wiring.find(&text) {
                Ok(value) => inputs.push(value),
                Err(near) => {
                    let diagnostic = Diagnostic::new(Code::UnknownInput, format!("unknown input `{text}`"))
                        .at(field.span, "neither an earlier layer's value, nor `input`, nor a model input");
                    let inner = field.span.part(1..field.span.range().len().saturating_sub(1).max(1));
                    self.report(diagnostic.did_you_mean(inner, near.as_deref()));
                }
            }
        }
        inputs
    }

    fn output(&mut self, field: &TextField, scope: &ValueScope<'_, '_>) -> Option<ValueRef> {
        let text = self.plain_text(field, scope)?;
        match self.wiring.find_child(&text) {
            Ok(value) => Some(value),
            Err(near) => {
                let inner = field.span.part(1..field.span.range().len().saturating_sub(1).max(1));
                let diagnostic =
                    Diagnostic::new(Code::UnknownInput, format!("`output` names `{text}`, and there is no such child"))
                        .at(field.span, "not a layer of this composite");
                self.report(diagnostic.did_you_mean(inner, near.as_deref()));
                None
            }
        }
    }

    /// A text with its placeholders filled in.
    fn plain_text(&mut self, field: &TextField, scope: &ValueScope<'_, '_>) -> Option<Arc<str>> {
        match field.pieces.literal() {
            Some(text) => Some(text.clone()),
            None => self.values.text(field, scope),
        }
    }

    /// A layer's name as a path segment: indices stay symbolic, so that instances can share it.
    fn segment(&mut self, field: &TextField, scope: &ValueScope<'_, '_>, repeated: bool) -> Option<Segment> {
        let mut segment = self.values.segment(field, scope)?;
        let problem = segment.pieces.iter().find_map(|piece| match piece {
            PathPiece::Text(text) if segment.pieces.len() == 1 || !text.is_empty() => name_problem(text),
            _ => None,
        });
        if let Some(problem) = problem {
            let shown = segment.pattern();
            let message = format!("`{shown}` can't be a layer's name: {problem}");
            self.report(Diagnostic::new(Code::InvalidName, message).at(field.span, "a path segment"));
            return None;
        }
        if repeated && !segment.pieces.contains(&PathPiece::Index(0)) {
            segment.pieces.push(PathPiece::Dot);
            segment.pieces.push(PathPiece::Index(0));
        }
        Some(segment)
    }

    fn workload_defaults(&mut self, root: &ValueScope<'m, '_>) -> Vec<(Arc<str>, Argument)> {
        let variables = &self.checked.model.workload;
        variables.iter().filter_map(|v| Some((v.name.value.clone(), self.argument(&v.value, root)?))).collect()
    }

    /// How many positions the model has, if it says so.
    fn positions(&mut self, root: &ValueScope<'m, '_>) -> Option<(u64, Span)> {
        let (scope, entry) = root.find("max_position_embeddings")?;
        let value = self.values.entry(scope, entry, 0).ok()?;
        let Binding::Known(Value::Number(n)) = value else {
            return None;
        };
        let count = n.to_count().and_then(|n| u64::try_from(n).ok())?;
        Some((count, entry.span?))
    }
}

/// A repeated layer's name, its index symbolic.
fn instance_name(node: &Node<Row>) -> Option<Segment> {
    match node {
        Node::Layer(row) => row.segment.clone(),
        Node::Composite(composite) => composite.segment.clone(),
        Node::Repeat(_) => None,
    }
}
