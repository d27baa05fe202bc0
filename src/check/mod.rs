//! Checks a model without evaluating it: every name is in scope, every class known, every parameter one that its class has.
//!
//! A [`Model`] comes in, a [`Checked`] goes out, the proof that flattening may start. Errors that depend on values (a fraction where a
//! count belongs, two layers of one name) are found later, by `flatten` and `cost`.

mod names;
mod parameters;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub use names::unknown_variable;
use names::{Found, Names};
pub use parameters::{
    COMMON_PARAMETERS, check_parameters, expected, mistyped, text_like_an_expression, unknown_class, wrong_kind,
};

use crate::catalog::{Catalog, Classes, parse_class};
use crate::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::expr::Value;
use crate::scope::{Definition, Entry, Scope};
use crate::source::Span;
use crate::spec::{Block, Body, Layer, Model, TextField, TieTarget, UNREAD};
use crate::workload::{DERIVED, OPTIONS, VARIABLES, WorkloadVar};

/// How deep layers may be nested, blocks included.
pub const MAX_LAYER_DEPTH: usize = 128;

/// How many workload variables a model may add.
const MAX_WORKLOAD_VARIABLES: usize = 1000;

/// How many layers are looked at, blocks written out at each use: bounds time and memory.
pub const MAX_LAYERS: usize = 250_000;

/// How many classes a model may define.
const MAX_CLASSES: usize = 1000;

/// A checked model: names resolve, classes are known.
#[derive(Debug)]
pub struct Checked<'c> {
    pub model: Model,
    pub classes: Classes<'c>,
    /// Values that replace those of the model's variables.
    pub settings: Vec<(Arc<str>, Value)>,
    /// Position of each block in `model.blocks`.
    pub block_index: HashMap<Arc<str>, usize>,
}

impl Checked<'_> {
    #[must_use]
    pub fn block(&self, name: &str) -> Option<&Block> {
        self.model.blocks.get(*self.block_index.get(name)?)
    }

    /// The name of a workload variable, built in or the model's own.
    #[must_use]
    pub fn workload_name(&self, variable: WorkloadVar) -> &str {
        let index = usize::from(variable.0);
        match VARIABLES.get(index) {
            Some((name, _)) => name,
            None => own_workload(&self.model).nth(index - VARIABLES.len()).map_or("?", |v| &v.name.value),
        }
    }

    /// Whether a structural variable was given another value: then it is another model than the one that `expect` speaks of.
    #[must_use]
    pub fn structure_was_set(&self) -> bool {
        self.settings.iter().any(|(name, _)| self.model.variables.iter().any(|v| v.name.value == *name))
    }
}

/// The model's own workload variables: those of `workload` that aren't built in.
pub fn own_workload(model: &Model) -> impl Iterator<Item = &crate::spec::Variable> {
    model.workload.iter().filter(|v| VARIABLES.iter().all(|(name, _)| *name != &*v.name.value))
}

/// The two outermost scopes' entries: the workload's names, and the model's variables with settings in place.
pub fn root_entries<'m, T>(model: &'m Model, settings: &[(Arc<str>, Value)]) -> (Vec<Entry<'m, T>>, Vec<Entry<'m, T>>) {
    let builtin = VARIABLES.iter().map(|(name, _)| (*name, None));
    let own = own_workload(model).map(|v| (&*v.name.value, Some(v.name.span)));
    let workload = builtin.chain(own).enumerate().map(|(index, (name, span))| {
        let variable = WorkloadVar(u16::try_from(index).unwrap_or(u16::MAX));
        Entry::new(name, span, Definition::Workload(variable))
    });
    let variables = model.variables.iter().map(|v| {
        let setting = settings.iter().rev().find(|(name, _)| *name == v.name.value);
        let definition = match setting {
            Some((_, value)) => Definition::Value(value.clone()),
            None => Definition::Attr(&v.value),
        };
        Entry::new(&v.name.value, Some(v.name.span), definition)
    });
    (workload.collect(), variables.collect())
}

/// Checks a model. What is wrong goes to `diagnostics`; a [`Checked`] comes back all the same, in which what was reported fails silently.
pub fn check<'c>(
    model: Model,
    catalog: &'c Catalog,
    settings: Vec<(Arc<str>, Value)>,
    diagnostics: &mut Diagnostics,
) -> Checked<'c> {
    let (own, faulty) = own_classes(&model, diagnostics);
    let block_index = model.blocks.iter().enumerate().map(|(i, b)| (b.name.value.clone(), i)).collect();
    let checked = Checked { classes: Classes::new(catalog, own, faulty), settings, block_index, model };
    check_settings(&checked, diagnostics);
    check_workload_names(&checked.model, diagnostics);
    let (workload, variables) = root_entries(&checked.model, &checked.settings);
    let outer = Scope::new(None, workload);
    let root = Scope::new(Some(&outer), variables);
    let mut checker =
        Checker { checked: &checked, names: Names::new(diagnostics), uses: Vec::new(), used: HashSet::new(), visited: 0 };
    checker.names.scope(&root);
    for variable in &checked.model.workload {
        checker.names.attr(&variable.value, &root);
    }
    for input in &checked.model.inputs {
        input.shape.iter().for_each(|dim| checker.names.attr(dim, &root));
    }
    for point in checked.model.expect.iter().flat_map(|e| &e.points) {
        point.workload.iter().for_each(|v| checker.names.attr(&v.value, &root));
    }
    checker.layers(&checked.model.layers, &root, 0);
    for block in &checked.model.blocks {
        if !checker.used.contains(&*block.name.value) {
            checker.unused(&block.layers);
        }
    }
    checked
}

/// The file's own classes, and the names of those that something is wrong with: layers of these say nothing more.
fn own_classes(model: &Model, diagnostics: &mut Diagnostics) -> (Vec<Arc<crate::catalog::Class>>, Vec<Arc<str>>) {
    let (mut own, mut faulty) = (Vec::new(), Vec::new());
    if let Some((name, _)) = model.classes.get(MAX_CLASSES) {
        let message = format!("the model defines more than {MAX_CLASSES} classes");
        diagnostics.push(Diagnostic::new(Code::ModelTooLarge, message).at(name.span, "too many from here on"));
    }
    for (at, (name, node)) in model.classes.iter().enumerate() {
        if at >= MAX_CLASSES {
            faulty.push(name.value.clone());
            continue;
        }
        let mut found = Diagnostics::default();
        match parse_class(Some(&name.value), node, &mut found) {
            Some(class) if !found.has_errors() => own.push(Arc::new(class)),
            class => {
                faulty.extend(class.into_iter().flat_map(|class| class.aliases));
                faulty.push(name.value.clone());
            }
        }
        diagnostics.extend(found.iter().cloned());
    }
    (own, faulty)
}

fn check_settings(checked: &Checked<'_>, diagnostics: &mut Diagnostics) {
    let model = &checked.model;
    let names = || {
        let own = model.variables.iter().chain(&model.workload).map(|v| &*v.name.value);
        own.chain(VARIABLES.iter().map(|(name, _)| *name))
    };
    for (name, _) in &checked.settings {
        if names().any(|n| n == &**name) {
            continue;
        }
        let mut diagnostic =
            Diagnostic::new(Code::UnknownSetting, format!("`--set {name}=...`: the model has no variable `{name}`"));
        diagnostic = match nearest(name, names()) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(format!("its variables are {}", names().take(40).collect::<Vec<_>>().join(", "))),
        };
        diagnostics.push(diagnostic);
    }
}

/// A variable named like a workload variable would hide it, and `--batch` would do nothing.
fn check_workload_names(model: &Model, diagnostics: &mut Diagnostics) {
    for variable in model.workload.iter().filter(|v| DERIVED.contains(&&*v.name.value)) {
        let name = &variable.name.value;
        let doc = VARIABLES.iter().find(|(n, _)| *n == &**name).map_or("", |(_, doc)| doc);
        let diagnostic = Diagnostic::new(Code::InvalidName, format!("`{name}` can't have a default: it follows from the rest"))
            .at(variable.name.span, "not decided here")
            .note(format!("`{name}`: {doc}"));
        diagnostics.push(diagnostic);
    }
    if let Some(variable) = own_workload(model).nth(MAX_WORKLOAD_VARIABLES) {
        let message = format!("the model has more than {MAX_WORKLOAD_VARIABLES} workload variables of its own");
        diagnostics.push(Diagnostic::new(Code::ModelTooLarge, message).at(variable.name.span, "too many from here on"));
    }
    let known = || {
        let own = own_workload(model).map(|v| &*v.name.value);
        own.chain(VARIABLES.iter().map(|(name, _)| *name)).chain(OPTIONS.iter().copied())
    };
    for variable in model.expect.iter().flat_map(|e| &e.points).flat_map(|point| &point.workload) {
        let name = &*variable.name.value;
        if name != UNREAD && !known().any(|known| known == name) {
            let diagnostic = Diagnostic::new(Code::UnknownKey, format!("unknown key `{name}` in a workload"))
                .at(variable.name.span, "neither a workload variable nor an option")
                .did_you_mean(variable.name.span.inside(), nearest(name, known()));
            diagnostics.push(diagnostic);
        }
    }
    for variable in &model.variables {
        if VARIABLES.iter().any(|(name, _)| *name == &*variable.name.value) {
            let name = &variable.name.value;
            let diagnostic =
                Diagnostic::new(Code::InvalidName, format!("`{name}` is a workload variable, it can't be a structural one too"))
                    .at(variable.name.span, "hides the workload's")
                    .help(format!("put its default under `workload`: \"workload\": {{ \"{name}\": ... }}"));
            diagnostics.push(diagnostic);
        }
    }
}

type KindScope<'m, 'p> = Scope<'m, 'p, Found>;

struct Checker<'m, 'd> {
    checked: &'m Checked<'m>,
    names: Names<'d>,
    /// The blocks being written out right now.
    uses: Vec<&'m str>,
    /// The blocks that are used anywhere.
    used: HashSet<&'m str>,
    visited: usize,
}

impl<'m> Checker<'m, '_> {
    fn layers(&mut self, layers: &'m [Layer], scope: &KindScope<'m, '_>, depth: usize) {
        for layer in layers {
            self.visited += 1;
            if self.visited > MAX_LAYERS {
                if self.visited == MAX_LAYERS + 1 {
                    let message = format!("the model has more than {MAX_LAYERS} layers, blocks written out");
                    self.names.push(Diagnostic::new(Code::ModelTooLarge, message).at(layer.place(), "too many from here on"));
                }
                return;
            }
            self.layer(layer, scope, depth);
        }
    }

    fn layer(&mut self, layer: &'m Layer, scope: &KindScope<'m, '_>, depth: usize) {
        if depth >= MAX_LAYER_DEPTH {
            self.names.push(too_deep(layer.place()));
            return;
        }
        if let Some(repeat) = &layer.repeat {
            // The index doesn't exist yet where the number of instances is decided.
            let around = Scope::of_variables(scope, &layer.variables);
            self.names.structural(repeat, &around, "`repeat`");
            layer.inputs.iter().flatten().for_each(|field| self.names.text(field, &around));
        }
        let index = index_entry(layer, 0);
        let indexed = Scope::new(Some(scope), index.into_iter().collect());
        let inner = Scope::of_variables(&indexed, &layer.variables);
        self.names.scope(&inner);
        self.attributes(layer, &inner);
        match &layer.body {
            Body::Basic => {
                let in_scope = |name: &str| inner.find(name).is_some();
                parameters::check_layer(layer, &self.checked.classes, &in_scope, self.names.diagnostics());
            }
            Body::Composite(layers) => self.layers(layers, &inner, depth + 1),
            Body::Use(field) => self.block(field, layer, &inner, depth),
        }
    }

    fn attributes(&mut self, layer: &'m Layer, scope: &KindScope<'m, '_>) {
        if let Some(when) = &layer.when {
            self.names.structural(when, scope, "`when`");
        }
        if let Some(calls) = &layer.calls {
            self.names.attr(calls, scope);
        }
        for parameter in &layer.parameters {
            self.names.attr(&parameter.value, scope);
        }
        for weight in layer.weights.iter().flatten() {
            weight.shape.iter().for_each(|dim| self.names.structural(dim, scope, "a weight's shape"));
            if let Some(when) = &weight.when {
                self.names.structural(when, scope, "a weight's `when`");
            }
        }
        let fields = [&layer.name, &layer.class, &layer.output].into_iter().flatten();
        // A repeat's inputs are its first instance's, so they don't see the index: checked around it.
        let inputs = layer.inputs.iter().flatten().filter(|_| layer.repeat.is_none());
        for field in fields.chain(inputs) {
            self.names.text(field, scope);
        }
        if let Some(tie) = &layer.tied_to {
            match &tie.target {
                TieTarget::Layer(field) => self.names.text(field, scope),
                TieTarget::Weights(weights) => weights.iter().for_each(|(_, field)| self.names.text(field, scope)),
            }
            if let Some(when) = &tie.when {
                self.names.structural(when, scope, "a tie's `when`");
            }
        }
    }

    fn block(&mut self, field: &'m TextField, layer: &'m Layer, scope: &KindScope<'m, '_>, depth: usize) {
        self.names.text(field, scope);
        let Some(name) = field.pieces.literal() else {
            return;
        };
        let Some(block) = self.checked.block(name) else {
            let suggest = !self.names.diagnostics().crowded();
            self.names.push(unknown_block(self.checked, name, field.span, suggest));
            return;
        };
        if self.uses.contains(&&*block.name.value) {
            let chain: Vec<&str> = self.uses.iter().copied().chain([&**name]).collect();
            self.names.push(recursive_block(block, &chain, field.span));
            return;
        }
        if let Some(diagnostic) = missing_binding(block, layer, scope) {
            self.names.push(diagnostic);
        }
        let taken = Scope::new(Some(scope), taken_entries(block, scope));
        let inner = Scope::of_variables(&taken, &block.variables);
        self.names.scope(&taken);
        self.names.scope(&inner);
        self.uses.push(&block.name.value);
        self.used.insert(&block.name.value);
        self.layers(&block.layers, &inner, depth + 1);
        self.uses.pop();
    }

    /// The names in a block that nothing uses may come from any use site, but its classes and parameters can be checked.
    fn unused(&mut self, layers: &'m [Layer]) {
        for layer in layers {
            match &layer.body {
                Body::Basic => parameters::check_layer(layer, &self.checked.classes, &|_| true, self.names.diagnostics()),
                Body::Composite(layers) => self.unused(layers),
                Body::Use(_) => {}
            }
        }
    }
}

/// The index of a repeat's instance.
pub fn index_entry<'m, T>(layer: &'m Layer, index: u64) -> Option<Entry<'m, T>> {
    layer.repeat.as_ref()?;
    let (name, span) = layer.index.as_ref().map_or(("layer", None), |i| (&*i.value, Some(i.span)));
    Some(Entry::new(name, span, Definition::Index(index)))
}

/// The entries of what a block takes and the use site doesn't have: its defaults.
pub fn taken_entries<'m, T>(block: &'m Block, scope: &Scope<'m, '_, T>) -> Vec<Entry<'m, T>> {
    let absent = block.takes.iter().filter(|take| scope.find(&take.name.value).is_none());
    absent
        .map(|take| {
            let definition = take.default.as_ref().map_or(Definition::Reported, Definition::Attr);
            Entry::new(&take.name.value, Some(take.name.span), definition)
        })
        .collect()
}

/// What a block requires and nothing binds where it is used.
pub fn missing_binding<T>(block: &Block, layer: &Layer, scope: &Scope<'_, '_, T>) -> Option<Diagnostic> {
    let required = block.takes.iter().filter(|take| take.default.is_none() && scope.find(&take.name.value).is_none());
    let missing: Vec<_> = required.collect();
    if missing.is_empty() || scope.find(UNREAD).is_some() {
        return None;
    }
    let Body::Use(field) = &layer.body else {
        return None;
    };
    const SHOWN: usize = 8;
    let list = |left: &str, right: &str| {
        let shown = missing.iter().take(SHOWN).map(|take| format!("{left}{}{right}", take.name.value));
        let more = (missing.len() > SHOWN).then(|| format!("{} more", missing.len() - SHOWN));
        shown.chain(more).collect::<Vec<String>>().join(", ")
    };
    let names = list("`", "`");
    let it = if missing.len() == 1 { "it" } else { "them" };
    let message = format!("the block `{}` needs {names}, and nothing binds {it}", block.name.value);
    let diagnostic = Diagnostic::new(Code::MissingBinding, message).at(field.span, format!("used here, without {names}"));
    let diagnostic = missing.iter().take(SHOWN).fold(diagnostic, |d, take| d.also(take.name.span, "required here"));
    Some(diagnostic.help(format!("bind {it}: \"variables\": {{ {} }}", list("\"", "\": ..."))))
}

/// A block that comes back to itself, through the blocks of `chain`.
#[must_use]
pub fn recursive_block(block: &Block, chain: &[&str], span: Span) -> Diagnostic {
    let name = &block.name.value;
    let start = chain.iter().position(|step| **step == **name).unwrap_or(0);
    let steps: Vec<&str> = chain.iter().skip(start).copied().collect();
    Diagnostic::new(Code::RecursiveBlock, format!("the block `{name}` uses itself: {}", steps.join(" -> ")))
        .at(span, "comes back here")
        .also(block.name.span, "defined here")
}

/// One level of layers too many.
#[must_use]
pub fn too_deep(span: Span) -> Diagnostic {
    let message = format!("layers are nested deeper than {MAX_LAYER_DEPTH} levels");
    Diagnostic::new(Code::LayersTooDeep, message).at(span, "one level too many")
}

/// `use` of a block that doesn't exist.
#[must_use]
pub fn unknown_block(checked: &Checked<'_>, name: &str, span: Span, suggest: bool) -> Diagnostic {
    let names = || checked.model.blocks.iter().map(|b| &*b.name.value);
    let inner = span.inside();
    let diagnostic = Diagnostic::new(Code::UnknownBlock, format!("unknown block `{name}`"))
        .at(span, "not among this file's `blocks`")
        .did_you_mean(inner, if suggest { nearest(name, names()) } else { None });
    if checked.model.blocks.is_empty() {
        return diagnostic.help("the file has no `blocks`");
    }
    diagnostic
}
