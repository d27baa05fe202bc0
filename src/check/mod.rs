//! Checks a model without evaluating it: every name is in scope, every class known, every parameter one that its class has.
//!
//! A [`Model`] comes in, a [`Checked`] goes out, the proof that flattening may start. Errors that depend on values (a fraction where a
//! count belongs, two layers of one name) are found later, by `flatten` and `cost`.

mod names;
mod parameters;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use names::{Kind, Names};
pub use names::{attr_span, depends_on_workload, for_each_template, text_depends_on_workload, unknown_variable};
pub use parameters::{COMMON_PARAMETERS, check_parameters, expected, unknown_class, wrong_kind};

use crate::catalog::{Catalog, Classes, parse_class};
use crate::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::expr::Value;
use crate::scope::{Definition, Entry, Scope};
use crate::source::{Span, Spanned};
use crate::spec::{Attr, Block, Body, Layer, Model, TextField, TieTarget};
use crate::workload::{VARIABLES, WorkloadVar};

/// How deep layers may be nested, blocks included.
pub const MAX_LAYER_DEPTH: usize = 128;

/// How many layers are looked at, blocks written out at each use: bounds time and memory.
pub const MAX_LAYERS: usize = 2_000_000;

/// A checked model: names resolve, classes are known.
#[derive(Debug)]
pub struct Checked<'c> {
    pub model: Model,
    pub classes: Classes<'c>,
    /// Values that replace those of the model's variables.
    pub settings: Vec<(Arc<str>, Value)>,
    /// Position of each block in `model.blocks`.
    pub block_index: BTreeMap<Arc<str>, usize>,
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
    let own = own_classes(&model, diagnostics);
    let block_index = model.blocks.iter().enumerate().map(|(i, b)| (b.name.value.clone(), i)).collect();
    let checked = Checked { classes: Classes::new(catalog, own), settings, block_index, model };
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

fn own_classes(model: &Model, diagnostics: &mut Diagnostics) -> Vec<Arc<crate::catalog::Class>> {
    let parse = |(name, node): &(Spanned<Arc<str>>, crate::json::Node)| parse_class(Some(&name.value), node, diagnostics);
    model.classes.iter().filter_map(parse).map(Arc::new).collect()
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

type KindScope<'m, 'p> = Scope<'m, 'p, Kind>;

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
                let message = format!("the model has more than {MAX_LAYERS} layers, blocks written out");
                self.names.push(Diagnostic::new(Code::ModelTooLarge, message).at(layer.span.part(0..1), "too many from here on"));
                return;
            }
            self.layer(layer, scope, depth);
        }
    }

    fn layer(&mut self, layer: &'m Layer, scope: &KindScope<'m, '_>, depth: usize) {
        if depth >= MAX_LAYER_DEPTH {
            let message = format!("layers are nested deeper than {MAX_LAYER_DEPTH} levels");
            self.names.push(Diagnostic::new(Code::LayersTooDeep, message).at(layer.span.part(0..1), "one level too many"));
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
            Body::Basic => parameters::check_layer(layer, &self.checked.classes, self.names.diagnostics()),
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
            self.names.push(unknown_block(self.checked, name, field.span));
            return;
        };
        if self.uses.contains(&&*block.name.value) {
            let chain: Vec<&str> = self.uses.iter().copied().chain([&**name]).collect();
            let diagnostic =
                Diagnostic::new(Code::RecursiveBlock, format!("the block `{name}` uses itself: {}", chain.join(" -> ")))
                    .at(field.span, "comes back here")
                    .also(block.name.span, "defined here");
            self.names.push(diagnostic);
            return;
        }
        for diagnostic in missing_bindings(block, layer, scope) {
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
                Body::Basic => parameters::check_layer(layer, &self.checked.classes, self.names.diagnostics()),
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
        .filter_map(|take| {
            let default: &Attr = take.default.as_ref()?;
            Some(Entry::new(&*take.name.value, Some(take.name.span), Definition::Attr(default)))
        })
        .collect()
}

/// What a block requires and the use site doesn't have.
pub fn missing_bindings<T>(block: &Block, layer: &Layer, scope: &Scope<'_, '_, T>) -> Vec<Diagnostic> {
    let missing = block.takes.iter().filter(|take| take.default.is_none() && scope.find(&take.name.value).is_none());
    missing
        .map(|take| {
            let name = &take.name.value;
            Diagnostic::new(
                Code::MissingBinding,
                format!("the block `{}` needs `{name}`, and nothing binds it", block.name.value),
            )
            .at(layer.span.part(0..1), format!("used here, without `{name}`"))
            .also(take.name.span, "required here")
            .help(format!("bind it: \"variables\": {{ \"{name}\": ... }}"))
        })
        .collect()
}

/// `use` of a block that doesn't exist.
#[must_use]
pub fn unknown_block(checked: &Checked<'_>, name: &str, span: Span) -> Diagnostic {
    let names = || checked.model.blocks.iter().map(|b| &*b.name.value);
    let inner = span.part(1..span.range().len().saturating_sub(1).max(1));
    let diagnostic = Diagnostic::new(Code::UnknownBlock, format!("unknown block `{name}`"))
        .at(span, "not among this file's `blocks`")
        .did_you_mean(inner, nearest(name, names()));
    if checked.model.blocks.is_empty() {
        return diagnostic.help("the file has no `blocks`");
    }
    diagnostic
}
