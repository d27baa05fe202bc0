//! From a checked model to its flat list, folded: one row per distinct layer, in execution order.
//!
//! A [`Checked`] comes in, a [`FlatModel`] goes out. Structural variables get their values here; what depends on the workload stays an
//! expression over workload variables alone. A repeat whose body doesn't mention its index is walked once; else its instances share
//! a variant when nothing in them differs.

use std::collections::HashSet;
use std::sync::Arc;

use super::indices::Indices;
use super::model::{FlatModel, InputTensor};
use super::node::{Composite, Node, Repeat, Row};
use super::number::number;
use super::value::ValueRef;
use super::wire::{Body, Unknown, Wiring};
use super::{splice, tie};
use crate::catalog::Role;
use crate::language::{Argument, Binding, PathPiece, Segment, Values};

use crate::language::check::{
    Checked, MAX_LAYERS, Used, derived_entries, index_entry, missing_binding, own_workload, recursive_block, root_entries,
    taken_scope, too_deep, unknown_block, variable_entries,
};
use crate::language::scope::Scope;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::{EvalError, Value};
use crate::syntax::source::{Span, Spanned};
use crate::syntax::spec::{Attr, Block, Layer, Model, ModelInput, TextField, name_problem};

/// Flattens a model. What is wrong goes to `diagnostics`; with errors among them the result is incomplete.
pub fn flatten(checked: &Checked, diagnostics: &mut Diagnostics) -> FlatModel {
    let [workload, variables, derived] = root_entries(&checked.model, &checked.settings);
    let outer = Scope::new(None, workload);
    let inner = Scope::new(Some(&outer), variables);
    let root = Scope::new(Some(&inner), derived);
    let model_inputs: Vec<Arc<str>> = match checked.model.inputs.as_slice() {
        [] => vec!["input_ids".into()],
        inputs => inputs.iter().map(|input| input.name.value.clone()).collect(),
    };
    let diagnostics_full = diagnostics.has(Code::ModelTooLarge);
    let mut flattener = Flattener {
        checked,
        file: Some(&checked.model),
        values: Values::new(diagnostics),
        wiring: Wiring::new(model_inputs),
        trail: Vec::new(),
        counts: Vec::new(),
        indices: Vec::new(),
        concrete: Vec::new(),
        uses: Vec::new(),
        dropped: Dropped::default(),
        no_grad: 0,
        absent: HashSet::new(),
        visited: 0,
        full: diagnostics_full,
    };
    flattener.wiring.open(Body::default());
    if flattener.requirements(&checked.model, &root) {
        flattener.layers(&checked.model.layers, &root);
    }
    let body = flattener.close();
    let dropped = std::mem::take(&mut flattener.dropped);
    let defaults = flattener.workload_defaults(&root);
    let positions = flattener.positions(&root);
    let inputs = flattener.model_inputs(&root);
    let mut model = number(splice::groups(body));
    model.workload = defaults;
    model.positions = positions;
    model.inputs = inputs;
    model.checkpoint = checked.checkpoint.clone();
    model.absent = std::mem::take(&mut flattener.absent);
    model.name = checked.model.name.as_ref().map(|n| n.value.clone());
    model.class = checked.model.class.clone();
    model.source = checked.model.source.clone();
    tie::resolve(&mut model, &dropped, diagnostics);
    model
}

pub(super) type ValueScope<'m, 'p> = Scope<'m, 'p, Result<Binding, EvalError>>;

/// The layers that couldn't be made, which was reported: what is tied to them is not tied to nothing.
#[derive(Default)]
pub struct Dropped {
    names: HashSet<Arc<str>>,
    nameless: bool,
}

impl Dropped {
    /// Whether a path may lead to one of them.
    #[must_use]
    pub fn may_be(&self, path: &str) -> bool {
        self.nameless || path.split('.').any(|part| self.names.contains(part))
    }
}

pub(super) struct Flattener<'m, 'd> {
    pub(super) checked: &'m Checked,
    /// Whose blocks a `use` means; none in a block of the catalog.
    pub(super) file: Option<&'m Model>,
    pub(super) values: Values<'d>,
    pub(super) wiring: Wiring,
    /// The path here, for notes.
    pub(super) trail: Vec<String>,
    /// The counts of the repeats around, and where each is.
    pub(super) counts: Vec<u64>,
    pub(super) indices: Vec<u64>,
    /// The concrete path here, where the checkpoint's quantization may ask for it.
    pub(super) concrete: Vec<String>,
    /// The blocks being written out right now.
    pub(super) uses: Vec<&'m Block>,
    pub(super) dropped: Dropped,
    /// How many of the layers around run without gradients.
    pub(super) no_grad: usize,
    /// The names of layers that don't exist.
    pub(super) absent: HashSet<Arc<str>>,
    pub(super) visited: usize,
    /// The limit was reached and reported.
    pub(super) full: bool,
}

impl<'m> Flattener<'m, '_> {
    fn layers(&mut self, layers: &'m [Layer], scope: &ValueScope<'m, '_>) {
        for layer in layers {
            self.layer(layer, scope);
        }
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
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

    /// Counts a layer, or an instance of one; false beyond the limit.
    fn visit(&mut self, layer: &Layer) -> bool {
        self.visited += 1;
        if self.visited > MAX_LAYERS && !self.full {
            self.full = true;
            let message = format!("the model has more than {MAX_LAYERS} layers that have to be looked at");
            let diagnostic = Diagnostic::new(Code::ModelTooLarge, message).at(layer.place(), "too many from here on");
            self.report(diagnostic.help("a repeat whose body doesn't use its index is looked at once, however large it is"));
        }
        !self.full
    }

    /// Remembers that a layer couldn't be made, which was reported.
    fn fault(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>) {
        let name = layer.name.as_ref().and_then(|field| self.values.segment(field, scope));
        let name = name.and_then(|segment| segment.lookup_name().cloned());
        match &name {
            Some(name) => {
                self.dropped.names.insert(name.clone());
            }
            None => self.dropped.nameless = true,
        }
        let group = layer.inline && !matches!(layer.body, crate::syntax::spec::Body::Basic);
        if let Some(diagnostic) = self.wiring.fault(name, layer.place()).filter(|_| !group) {
            self.report(diagnostic);
        }
    }

    /// Remembers that something without a name couldn't be made.
    fn fault_inside(&mut self, layer: &Layer) {
        self.dropped.nameless = true;
        self.wiring.fault(None, layer.place());
    }

    /// Puts a finished node into the body that is being built.
    fn place(&mut self, layer: &Layer, node: Node<Row>) {
        for diagnostic in self.wiring.place(node, layer.place()) {
            self.report(diagnostic);
        }
    }

    fn close(&mut self) -> Vec<Node<Row>> {
        let (nodes, clashes) = self.wiring.close();
        clashes.into_iter().for_each(|diagnostic| self.report(diagnostic));
        nodes
    }

    fn absent(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>) {
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

    fn exists(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) -> Option<bool> {
        let Some(when) = &layer.when else {
            return Some(true);
        };
        self.condition(when, scope)
    }

    pub(super) fn condition(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>) -> Option<bool> {
        match self.values.structural(attr, scope)? {
            Value::Bool(value) => Some(value),
            other => {
                let diagnostic = self.values.text_for_a_number(attr, &other, scope, "a condition").unwrap_or_else(|| {
                    let message = format!("a condition is true or false, found {}", described(&other));
                    Diagnostic::new(Code::TypeMismatch, message).at(attr.span, "not a condition")
                });
                let diagnostic = self.values.blamed(diagnostic, attr, scope);
                self.report(diagnostic);
                None
            }
        }
    }

    fn repeat(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>) {
        /// What is wrong with so many instances is wrong with the rest.
        const MOST_FAULTY: usize = 1000;
        let Some(repeat) = &layer.repeat else { return };
        let around = Scope::of_variables(scope, &layer.variables);
        let Some(count) = self.repeats(repeat, &around) else {
            return self.fault_repeated(layer, &around);
        };
        let inputs = self.inputs(layer, &around);
        let name = layer.name.as_ref().and_then(|field| field.pieces.literal()).cloned();
        self.wiring.begin_repeat(name);
        let mut faulty = 0;
        self.counts.push(count);
        self.indices.push(0);
        // Whether a config names single instances whose weights it leaves as they are.
        let named_singly = self.checked.checkpoint.quantization.as_ref().is_some_and(|q| q.names_layers);
        let mut index = 0;
        while index < count {
            if let Some(here) = self.indices.last_mut() {
                *here = index;
            }
            let indexed = Scope::new(Some(scope), index_entry(layer, index).into_iter().collect());
            let inner = Scope::of_variables(&indexed, &layer.variables);
            if faulty > MOST_FAULTY || !self.visit(layer) {
                faulty += 1;
                break;
            }
            let exists = self.exists(layer, &inner);
            let node = if exists == Some(true) { self.instance(layer, &inner, inputs.clone(), true) } else { None };
            if node.is_none() && exists != Some(false) {
                faulty += 1;
            }
            let depends = named_singly || indexed.entries.iter().any(|entry| entry.used.get());
            let last = if depends { index } else { count - 1 };
            if let Some(node) = node {
                self.wiring.instance(node, index, last);
            }
            index = last + 1;
        }
        self.counts.pop();
        self.indices.pop();
        let variants = self.wiring.end_repeat();
        if faulty > 0 {
            return self.fault_repeated(layer, &around);
        }
        if variants.is_empty() {
            return self.absent(layer, &around);
        }
        let name = variants.first().and_then(|variant| variant.instance.as_deref()).and_then(instance_name);
        self.place(
            layer,
            Node::Repeat(Repeat { name, count, parallel: layer.parallel, inputs, variants, hold: layer.hold.clone() }),
        );
    }

    fn fault_repeated(&mut self, layer: &'m Layer, around: &ValueScope<'m, '_>) {
        let indexed = Scope::new(Some(around), index_entry(layer, 0).into_iter().collect());
        self.fault(layer, &indexed);
    }

    fn calls(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>) -> Option<Argument> {
        let argument = self.argument(attr, scope)?;
        match &argument.binding {
            Binding::Known(value) if value.as_number().and_then(|n| n.to_count()).is_none() => {
                let diagnostic = self.values.not_a_count(attr, value, scope, "`calls`");
                self.report(diagnostic);
                None
            }
            _ => Some(argument),
        }
    }

    fn repeats(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>) -> Option<u64> {
        let value = self.values.structural(attr, scope)?;
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
        let segment = match &layer.name {
            Some(field) => Some(self.segment(field, scope, repeated)?),
            None => None,
        };
        let shown = segment.as_ref().filter(|_| !layer.inline).map(|s| self.shown(s));
        self.trail.extend(shown);
        let concrete = segment.as_ref().filter(|_| !layer.inline && self.checked.checkpoint.quantization.is_some());
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

    /// A segment with the indices of the instances that are being made.
    fn concrete_segment(&self, segment: &Segment) -> String {
        let mut out = String::new();
        segment.write(&mut out, &|level, out| {
            let index = self.indices.len().checked_sub(1 + usize::from(level)).and_then(|at| self.indices.get(at));
            out.push_str(&index.copied().unwrap_or_default().to_string());
        });
        out
    }

    fn instance_named(
        &mut self,
        layer: &'m Layer,
        scope: &ValueScope<'m, '_>,
        segment: Option<Segment>,
        inputs: Vec<ValueRef>,
    ) -> Option<Node<Row>> {
        let calls = match &layer.calls {
            Some(attr) => Some(self.calls(attr, scope)?),
            None => None,
        };
        if matches!(layer.body, crate::syntax::spec::Body::Basic) {
            return self.basic(layer, scope, segment, inputs, calls).map(|row| Node::Layer(Box::new(row)));
        }
        self.wiring.open(Body::default());
        self.own_weights(layer, scope);
        self.body(layer, scope);
        let output = layer.output.as_ref().and_then(|field| self.output(field, scope));
        let body = self.close();
        let class = match &layer.class {
            Some(field) => self.plain_text(field, scope),
            None => self.family_class(layer),
        };
        Some(Node::Composite(Composite {
            segment,
            inline: layer.inline,
            class,
            role: said_role(layer.role.as_ref()).or_else(|| self.block_role(layer, scope)),
            calls,
            inputs,
            output,
            hold: layer.hold.clone(),
            tie: self.tie(layer, scope).filter(|tie| tie.all.is_some()),
            body,
            span: layer.place(),
        }))
    }

    /// What a composite is to a reader by the block that it uses.
    fn block_role(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) -> Option<Role> {
        let crate::syntax::spec::Body::Use(field) = &layer.body else { return None };
        let name = self.plain_text(field, scope)?;
        match self.checked.used(&name, self.file) {
            Ok(Some(Used::Local(block) | Used::Catalog(block))) => said_role(block.role.as_ref()),
            _ => None,
        }
    }

    /// The class of the family that a layer uses.
    fn family_class(&self, layer: &Layer) -> Option<Arc<str>> {
        let crate::syntax::spec::Body::Use(field) = &layer.body else { return None };
        match self.checked.used_at(field.span, self.file) {
            Some(Used::Family(model)) => model.class.clone(),
            _ => None,
        }
    }

    fn body(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>) {
        match &layer.body {
            crate::syntax::spec::Body::Basic => {}
            crate::syntax::spec::Body::Composite(layers) => self.layers(layers, scope),
            crate::syntax::spec::Body::Use(field) => {
                let Some(used) = self.used(field, scope) else {
                    return self.fault_inside(layer);
                };
                // Not in `check` alone: a name of a variable's may be any.
                if self.wiring.depth() > crate::language::check::MAX_LAYER_DEPTH {
                    if !self.values.diagnostics().has(Code::LayersTooDeep) {
                        self.report(too_deep(field.span));
                    }
                    return self.fault_inside(layer);
                }
                match used {
                    Used::Local(block) => self.block(block, true, layer, field, scope),
                    Used::Catalog(block) => self.block(block, false, layer, field, scope),
                    Used::Family(model) => self.nested(model, layer, scope),
                }
            }
        }
    }

    /// What a `use` means: as `check` found, or by the name that variables make here. What is wrong is reported.
    fn used(&mut self, field: &'m TextField, scope: &ValueScope<'m, '_>) -> Option<Used<'m>> {
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

    /// The layers of a block.
    fn block(&mut self, block: &'m Block, local: bool, layer: &'m Layer, field: &TextField, scope: &ValueScope<'m, '_>) {
        // A block chosen by a variable may lead back to itself, which `check` can't see.
        if self.uses.iter().any(|used| std::ptr::eq(*used, block)) {
            self.report(recursive_block(block, &self.uses, field.span));
            return self.fault_inside(layer);
        }
        missing_binding(block, layer, scope).into_iter().for_each(|diagnostic| self.report(diagnostic));
        let taken = taken_scope(block, local, scope);
        let inner = Scope::of_variables(&taken, &block.variables);
        self.uses.push(block);
        let file = if local { self.file } else { None };
        let around = std::mem::replace(&mut self.file, file);
        self.layers(&block.layers, &inner);
        self.file = around;
        self.uses.pop();
    }

    /// The layers of an inner config's family.
    fn nested(&mut self, model: &'m Model, layer: &'m Layer, scope: &ValueScope<'m, '_>) {
        let variables = Scope::boundary(scope, variable_entries(model, &[], &layer.variables));
        let derived = Scope::new(Some(&variables), derived_entries(model, &layer.variables));
        let around = self.file.replace(model);
        if self.requirements(model, &derived) {
            self.layers(&model.layers, &derived);
        } else {
            self.wiring.fault(None, layer.place());
        }
        self.file = around;
    }

    /// Whether what a family asks of its configs holds; where it doesn't, its layers would only say so again.
    fn requirements(&mut self, model: &Model, scope: &ValueScope<'m, '_>) -> bool {
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

    /// The tensors that a composite owns itself: rows of their own, at its start.
    fn own_weights(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) {
        let Some(weights) = &layer.weights else { return };
        let tie = self.tie(layer, scope).filter(|tie| tie.all.is_none());
        let Some(own) = self.weights(weights, scope) else {
            return self.fault_inside(layer);
        };
        for weight in own {
            let mut tie = tie.clone();
            if let Some(tie) = &mut tie {
                tie.single.retain(|single| single.weight == weight.name);
            }
            let row = Row {
                segment: Some(Segment::text(&weight.name)),
                class_name: "Parameter".into(),
                class: None,
                role: None,
                arguments: Vec::new(),
                overrides: Vec::new(),
                weights: Some(vec![weight]),
                calls: None,
                inputs: Vec::new(),
                hold: None,
                no_grad: false,
                quantized: None,
                tie,
                tied: Vec::new(),
                span: layer.place(),
            };
            for diagnostic in self.wiring.place_weight(row) {
                self.report(diagnostic);
            }
        }
    }

    /// What a layer reads: what it names, else the previous layer's output.
    pub(super) fn inputs(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) -> Vec<ValueRef> {
        self.first_inputs(layer, scope, usize::MAX)
    }

    fn first_inputs(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>, most: usize) -> Vec<ValueRef> {
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
    fn first_known_input(&mut self, layer: &Layer, scope: &ValueScope<'_, '_>) -> Result<ValueRef, Unknown> {
        let Some(fields) = &layer.inputs else {
            return Ok(self.wiring.previous());
        };
        let text = fields.first().and_then(|field| self.plain_text(field, scope)).ok_or(Unknown::Nothing)?;
        self.wiring.find(&text)
    }

    fn near(&mut self, find: impl Fn(&Wiring) -> Option<String>) -> Option<String> {
        if self.values.diagnostics().crowded() { None } else { find(&self.wiring) }
    }

    fn output(&mut self, field: &TextField, scope: &ValueScope<'_, '_>) -> Option<ValueRef> {
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

    /// A text with its placeholders filled in.
    pub(super) fn plain_text(&mut self, field: &TextField, scope: &ValueScope<'_, '_>) -> Option<Arc<str>> {
        match field.pieces.literal() {
            Some(text) => Some(text.clone()),
            None => self.values.text(field, scope),
        }
    }

    /// A layer's name as a path segment: indices stay symbolic, so that instances can share it.
    pub(super) fn segment(&mut self, field: &TextField, scope: &ValueScope<'_, '_>, repeated: bool) -> Option<Segment> {
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

    /// The defaults of workload variables: the model's for any of them, then those of the families in it for their own.
    fn workload_defaults(&mut self, root: &ValueScope<'m, '_>) -> Vec<(Arc<str>, Argument)> {
        let model = &self.checked.model;
        let mut defaults: Vec<(Arc<str>, Argument)> =
            model.workload.iter().filter_map(|v| Some((v.name.value.clone(), self.argument(&v.value, root)?))).collect();
        let wanted: HashSet<*const crate::syntax::spec::Variable> =
            own_workload(model).into_iter().map(std::ptr::from_ref).collect();
        for (_, inner) in &model.nested {
            self.nested_defaults(inner, root, &wanted, &mut defaults);
        }
        defaults
    }

    fn nested_defaults(
        &mut self,
        model: &'m Model,
        scope: &ValueScope<'m, '_>,
        wanted: &HashSet<*const crate::syntax::spec::Variable>,
        defaults: &mut Vec<(Arc<str>, Argument)>,
    ) {
        let variables = Scope::boundary(scope, variable_entries(model, &[], &[]));
        let derived = Scope::new(Some(&variables), derived_entries(model, &[]));
        for variable in model.workload.iter().filter(|v| wanted.contains(&std::ptr::from_ref(*v))) {
            defaults.extend(self.argument(&variable.value, &derived).map(|argument| (variable.name.value.clone(), argument)));
        }
        for (_, inner) in &model.nested {
            self.nested_defaults(inner, &derived, wanted, defaults);
        }
    }

    /// The tensors that the model is called with; `None`: token ids.
    fn model_inputs(&mut self, root: &ValueScope<'m, '_>) -> Option<Vec<InputTensor>> {
        let inputs = self.checked.model.inputs.as_slice();
        let tensor = |flattener: &mut Self, input: &'m ModelInput| InputTensor {
            name: input.name.value.clone(),
            shape: input.shape.iter().map(|dim| flattener.argument(dim, root)).collect(),
            dtype: input.dtype.value.clone(),
        };
        (!inputs.is_empty()).then(|| inputs.iter().map(|input| tensor(self, input)).collect())
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

/// The role of a layer or block that says one; that there is no such role was reported by `check`.
pub(super) fn said_role(said: Option<&Spanned<Arc<str>>>) -> Option<Role> {
    said.and_then(|said| Role::from_word(&said.value))
}

/// "a number: 7", "null".
fn described(value: &Value) -> String {
    if *value == Value::Null { "null".to_owned() } else { format!("{}: {value}", value.kind()) }
}

/// A repeated layer's name, its index symbolic.
fn instance_name(node: &Node<Row>) -> Option<Segment> {
    match node {
        Node::Layer(row) => row.segment.clone(),
        Node::Composite(composite) => composite.segment.clone(),
        Node::Repeat(_) => None,
    }
}
