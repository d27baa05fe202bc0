//! Checks a model without evaluating it: every name is in scope, every class known, every parameter one that its class has.
//!
//! A [`Model`] comes in, a [`Checked`] goes out, the proof that flattening may start. Errors that depend on values (a fraction where a
//! count belongs, two layers of one name) are found later, by `flatten` and `cost`.

mod names;
mod parameters;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

pub use names::unknown_variable;
use names::{Found, Names};
pub use parameters::{
    COMMON_PARAMETERS, check_parameters, expected, mistyped, text_like_an_expression, unknown_class, wrong_kind,
};

use crate::catalog::{Catalog, ClassText, Classes, Role, parse_class};
use crate::language::checkpoint::{self, Checkpoint};
use crate::language::resolve::{Resolution, Target};
use crate::language::scope::{Definition, Entry, Scope};
use crate::quantity::workload::{
    Backend, Cache, DERIVED, EAGER, EXECUTION, EXECUTION_NAME, Kernel, Mla, OPTIONS, VARIABLES, WorkloadVar,
};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::expr::Value;
use crate::syntax::source::{Span, Spanned};
use crate::syntax::spec::{Attr, Block, Body, Datum, GivenValue, Layer, Model, REQUIRED, TextField, TieTarget, UNREAD, Variable};

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
pub struct Checked {
    pub model: Model,
    pub classes: Classes,
    /// Values that replace those of the model's variables.
    pub settings: Vec<(Arc<str>, Value)>,
    /// Which use means which definition.
    pub resolution: Resolution,
    /// What is said of the weights' dtypes.
    pub checkpoint: Checkpoint,
}

/// What a `use` names.
#[derive(Debug, Clone, Copy)]
pub enum Used<'m> {
    /// A block of the file itself: it sees the file's names.
    Local(&'m Block),
    /// A block of the catalog: it sees what it takes.
    Catalog(&'m Block),
    /// An inner config's family.
    Family(&'m Model),
}

impl<'m> Used<'m> {
    fn of(target: &'m Target, file: Option<&'m Model>) -> Option<Self> {
        match target {
            Target::Local(at) => file?.blocks.get(*at).map(Used::Local),
            Target::Catalog(block) => Some(Used::Catalog(block)),
            Target::Family(at) => file?.nested.get(*at).map(|(_, model)| Used::Family(model)),
        }
    }
}

/// The catalog's blocks are named so.
pub const CATALOG_BLOCKS: &str = "blocks/";

impl Checked {
    /// What the `use` at a place means where its name is written out; `file`: the model whose layers these are, none inside a block of the
    /// catalog.
    #[must_use]
    pub fn used_at<'m>(&'m self, place: Span, file: Option<&'m Model>) -> Option<Used<'m>> {
        Used::of(self.resolution.target(file.map(|file| file.number), place)?, file)
    }

    /// What a name that variables make means in a layer's `use`.
    ///
    /// # Errors
    /// What is wrong with a file of the catalog.
    pub fn used<'m>(&'m self, name: &str, file: Option<&'m Model>) -> Result<Option<Used<'m>>, &'m Diagnostics> {
        if let Some(name) = name.strip_prefix(CATALOG_BLOCKS) {
            return self.classes.catalog().block(name).transpose().map(|block| block.map(|block| Used::Catalog(block)));
        }
        let Some(file) = file else { return Ok(None) };
        let nested = file.nested.iter().find(|(known, _)| &*known.value == name).map(|(_, model)| Used::Family(model));
        Ok(nested.or_else(|| file.block(name).map(Used::Local)))
    }

    /// The name of a workload variable, built in or the model's own.
    #[must_use]
    pub fn workload_name(&self, variable: WorkloadVar) -> &str {
        let index = usize::from(variable.0);
        match VARIABLES.get(index) {
            Some((name, _)) => name,
            None => own_workload(&self.model).get(index - VARIABLES.len()).map_or("?", |v| &v.name.value),
        }
    }

    /// Whether a structural variable was given another value: then it is another model than the one that `expect` speaks of.
    #[must_use]
    pub fn structure_was_set(&self) -> bool {
        let named = |name: &str| self.model.variables.iter().any(|v| &*v.name.value == name);
        self.settings.iter().any(|(name, _)| named(self.model.canonical(name)))
    }
}

/// The workload variables of a model's own, and of the families in it: those of `workload` that aren't built in, the first of a name.
pub fn own_workload(model: &Model) -> Vec<&Variable> {
    fn collect<'m>(model: &'m Model, out: &mut Vec<&'m Variable>, seen: &mut HashSet<&'m str>) {
        for variable in &model.workload {
            if VARIABLES.iter().all(|(name, _)| *name != &*variable.name.value) && seen.insert(&variable.name.value) {
                out.push(variable);
            }
        }
        model.nested.iter().for_each(|(_, inner)| collect(inner, out, seen));
    }
    let (mut out, mut seen) = (Vec::new(), HashSet::new());
    collect(model, &mut out, &mut seen);
    out
}

/// The entries of the three outermost scopes: the workload's names, the model's variables with settings and a config's values in place,
/// and what is derived from them.
pub fn root_entries<'m, T>(model: &'m Model, settings: &[(Arc<str>, Value)], run: &Run) -> [Vec<Entry<'m, T>>; 3] {
    let builtin = VARIABLES.iter().map(|(name, _)| (*name, None));
    let own = own_workload(model).into_iter().map(|v| (&*v.name.value, Some(v.name.span)));
    let workload = builtin.chain(own).enumerate().map(|(index, (name, span))| {
        let variable = WorkloadVar(u16::try_from(index).unwrap_or(u16::MAX));
        Entry::new(name, span, Definition::Workload(variable))
    });
    let is_free = own_workload(model).iter().all(|v| *v.name.value != *EXECUTION_NAME);
    let run = is_free.then(|| Entry::new(EXECUTION_NAME, None, Definition::Builtin(run.0.clone())));
    [workload.chain(run).collect(), variable_entries(model, settings, &[]), derived_entries(model, &[])]
}

/// What `<execution>` stands for, an object of [`EXECUTION`]: how a model is run, known before it is flattened.
#[derive(Debug, Clone)]
pub struct Run(Value);

impl Default for Run {
    /// As everything is run unless something else is asked for.
    fn default() -> Self {
        Run::of(Kernel::default(), Cache::default(), Backend::default(), Mla::default(), EAGER)
    }
}

impl Run {
    /// The values of these choices.
    #[must_use]
    pub fn of(kernel: Kernel, cache: Cache, backend: Backend, mla: Mla, runtime: &str) -> Self {
        let values = [kernel.word(), cache.word(), backend.word(), mla.word(), runtime].map(Value::text);
        Run(Value::Object(EXECUTION.iter().map(|(name, _)| Arc::from(*name)).zip(values).collect()))
    }
}

/// A model's variables: what `--set` says of them, else where it is used (`bound`), else a config, else their defaults.
pub fn variable_entries<'m, T>(model: &'m Model, settings: &[(Arc<str>, Value)], bound: &[Variable]) -> Vec<Entry<'m, T>> {
    let variables = model.variables.iter().map(|v| {
        let name = &v.name.value;
        let given = model.given.iter().find(|given| given.name == *name);
        let span = given.map_or(v.name.span, |given| given.span);
        let setting = settings.iter().rev().find(|(key, _)| model.canonical(key) == &**name);
        let definition = match (setting, given) {
            (Some((_, value)), _) => Definition::Value(value.clone()),
            _ if bound.iter().any(|bound| bound.name.value == *name) => Definition::Around,
            (None, Some(given)) => match &given.value {
                GivenValue::Data(value) => Definition::Value(value.clone()),
                GivenValue::Attr(attr) => Definition::Attr(attr),
            },
            (None, None) if model.family.is_some() && is_required(&v.value) => Definition::Reported,
            (None, None) => Definition::Attr(&v.value),
        };
        Entry::new(name, Some(span), definition)
    });
    let builtins = model.builtins.iter().map(|(name, value)| Entry::new(name, None, Definition::Builtin(value.clone())));
    // What is bound to a derived value is looked up through this scope.
    let known = |bound: &&Variable| model.variables.iter().all(|v| v.name.value != bound.name.value);
    let derived = |bound: &&Variable| model.derived.iter().find(|v| v.name.value == bound.name.value);
    let bound = bound.iter().filter(known).filter_map(|b| Some(Entry::new(&derived(&b)?.name.value, None, Definition::Around)));
    variables.chain(builtins).chain(bound).collect()
}

/// Whether there is no default, so that what is missing was reported.
fn is_required(attr: &Attr) -> bool {
    matches!(&attr.datum, Datum::Text(text) if &**text == REQUIRED)
}

/// What follows from a model's variables, unless it is said where the model is used (`bound`), and its inner configs.
pub fn derived_entries<'m, T>(model: &'m Model, bound: &[Variable]) -> Vec<Entry<'m, T>> {
    let derived = model.derived.iter().map(|v| {
        let is_bound = bound.iter().any(|bound| bound.name.value == v.name.value);
        let definition = if is_bound { Definition::Around } else { Definition::Attr(&v.value) };
        Entry::new(&v.name.value, Some(v.name.span), definition)
    });
    let nested = model.nested.iter().map(|(name, inner)| Entry::new(&name.value, Some(name.span), Definition::Nested(inner)));
    derived.chain(nested).collect()
}

/// Checks a model. What is wrong goes to `diagnostics`; a [`Checked`] comes back all the same, in which what was reported fails silently.
pub fn check(model: Model, catalog: &Arc<Catalog>, settings: Vec<(Arc<str>, Value)>, diagnostics: &mut Diagnostics) -> Checked {
    let mut model = model;
    number(&mut model, &mut 0);
    let (own, faulty) = own_classes(&model, catalog, diagnostics);
    let checkpoint = model.checkpoint.as_ref().map(|node| checkpoint::read(node, catalog, diagnostics)).unwrap_or_default();
    let classes = Classes::new(catalog.clone(), own, faulty);
    let mut checked = Checked { classes, settings, checkpoint, model, resolution: Resolution::default() };
    check_settings(&checked, diagnostics);
    check_workload_names(&checked.model, diagnostics);
    let [workload, variables, derived] = root_entries(&checked.model, &checked.settings, &Run::default());
    let outer = Scope::new(None, workload);
    let inner = Scope::new(Some(&outer), variables);
    let root = Scope::new(Some(&inner), derived);
    let mut checker = Checker {
        checked: &checked,
        file: Some(&checked.model),
        names: Names::new(diagnostics),
        uses: Vec::new(),
        used: HashSet::new(),
        visited: 0,
    };
    checker.names.scope(&inner);
    checker.names.scope(&root);
    for require in &checked.model.require {
        checker.names.structural(&require.condition, &root, "a requirement");
    }
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
        // A family's blocks were tested with the catalog.
        if checked.model.family.is_none() && !checker.used.contains(&std::ptr::from_ref(block)) {
            checker.role(block.role.as_ref());
            checker.unused(&block.layers);
        }
    }
    let resolution = std::mem::take(&mut checker.names.resolution);
    drop(root);
    drop(inner);
    drop(outer);
    checked.resolution = resolution;
    checked
}

/// Numbers a model and those of its inner configs.
fn number(model: &mut Model, next: &mut u32) {
    model.number = *next;
    *next = next.saturating_add(1);
    model.nested.iter_mut().for_each(|(_, inner)| number(inner, next));
}

/// The file's own classes, and the names of those that something is wrong with: layers of these say nothing more.
fn own_classes(
    model: &Model,
    catalog: &Catalog,
    diagnostics: &mut Diagnostics,
) -> (Vec<Arc<crate::catalog::Class>>, Vec<Arc<str>>) {
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
        match parse_class(Some(&name.value), node, &|name| class_text(name, model, catalog), &mut found) {
            Some(class) if !found.has_errors() => own.push(Arc::new(class)),
            class => {
                faulty.extend(class.into_iter().flat_map(|class| class.aliases).map(|alias| alias.name));
                faulty.push(name.value.clone());
            }
        }
        diagnostics.extend(found.iter().cloned());
    }
    (own, faulty)
}

/// The definition that a name in a model's `classes` leads to: the model's own, else the catalog's.
fn class_text<'m>(name: &str, model: &'m Model, catalog: &Catalog) -> Result<ClassText<'m>, Option<String>> {
    let own = model.classes.iter().take(MAX_CLASSES).find(|(known, _)| *known.value == *name);
    match own {
        Some((known, node)) => Ok(ClassText { name: known.value.clone(), node: Cow::Borrowed(node) }),
        None => catalog.class_text(name).map_err(|near| {
            let own = nearest(name, model.classes.iter().map(|(known, _)| &*known.value)).map(str::to_owned);
            own.or(near)
        }),
    }
}

fn check_settings(checked: &Checked, diagnostics: &mut Diagnostics) {
    let model = &checked.model;
    let names = || {
        let own = model.variables.iter().chain(own_workload(model)).map(|v| &*v.name.value);
        own.chain(VARIABLES.iter().map(|(name, _)| *name))
    };
    for (name, _) in &checked.settings {
        if model.configs.iter().any(|config| **config == *model.canonical(name)) {
            let message = format!("`--set {name}=...`: `{name}` is a config of its own, which is read from the file");
            let diagnostic = Diagnostic::new(Code::UnknownSetting, message);
            diagnostics.push(diagnostic.help("change it in the file: `--set` is for the outermost config's values"));
            continue;
        }
        if names().any(|n| n == model.canonical(name)) {
            continue;
        }
        diagnostics.push(no_variable(&format!("--set {name}=..."), name, names));
    }
}

/// A name that is asked for, in an option, and that no variable of the model has.
pub fn no_variable<'n, N: Iterator<Item = &'n str>>(option: &str, name: &str, names: impl Fn() -> N) -> Diagnostic {
    let diagnostic = Diagnostic::new(Code::UnknownSetting, format!("`{option}`: the model has no variable `{name}`"));
    diagnostic.help(match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("its variables are {}", names().take(40).collect::<Vec<_>>().join(", ")),
    })
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
    if let Some(variable) = own_workload(model).get(MAX_WORKLOAD_VARIABLES) {
        let message = format!("the model has more than {MAX_WORKLOAD_VARIABLES} workload variables of its own");
        diagnostics.push(Diagnostic::new(Code::ModelTooLarge, message).at(variable.name.span, "too many from here on"));
    }
    let known = || {
        let own = own_workload(model).into_iter().map(|v| &*v.name.value);
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
    checked: &'m Checked,
    /// Whose blocks a `use` means; none in a block of the catalog.
    file: Option<&'m Model>,
    names: Names<'d>,
    /// The blocks being written out right now.
    uses: Vec<&'m Block>,
    /// The blocks that are used anywhere.
    used: HashSet<*const Block>,
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
                let found = parameters::check_layer(layer, &self.checked.classes, &in_scope, self.names.diagnostics());
                if let (Some(class), Some(field)) = (found, &layer.class) {
                    self.names.resolution.note_class(field.span, &class);
                }
            }
            Body::Composite(layers) => self.layers(layers, &inner, depth + 1),
            Body::Use(field) => self.block(field, layer, &inner, depth),
        }
    }

    /// Whether a role is one of the vocabulary.
    fn role(&mut self, said: Option<&Spanned<Arc<str>>>) {
        if let Some(said) = said {
            Role::read(said, self.names.diagnostics());
        }
    }

    fn attributes(&mut self, layer: &'m Layer, scope: &KindScope<'m, '_>) {
        self.role(layer.role.as_deref());
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
        let fields = [layer.name.as_ref(), layer.class.as_ref(), layer.output.as_deref()].into_iter().flatten();
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
        let target = match self.target(name) {
            Ok(Some(target)) => target,
            Ok(None) => {
                let suggest = !self.names.diagnostics().crowded();
                self.names.push(unknown_block(self.checked, self.file, name, field.span, suggest));
                return;
            }
            Err(said) => return self.names.diagnostics().extend(said.iter().cloned()),
        };
        let (block, local) = match self.checked.used(name, self.file) {
            Ok(Some(Used::Local(block))) => (block, true),
            Ok(Some(Used::Catalog(block))) => (block, false),
            Ok(Some(Used::Family(model))) => {
                self.names.resolution.note_use(self.file.map(|file| file.number), field.span, target, model.span);
                return self.nested(model, layer, scope, depth);
            }
            _ => return,
        };
        self.names.resolution.note_use(self.file.map(|file| file.number), field.span, target, block.name.span);
        if self.uses.iter().any(|used| std::ptr::eq(*used, block)) {
            self.names.push(recursive_block(block, &self.uses, field.span));
            return;
        }
        if let Some(diagnostic) = missing_binding(block, layer, scope) {
            self.names.push(diagnostic);
        }
        self.role(block.role.as_ref());
        let taken = taken_scope(block, local, scope);
        let inner = Scope::of_variables(&taken, &block.variables);
        self.names.scope(&taken);
        self.names.scope(&inner);
        let said = self.names.diagnostics().count();
        self.uses.push(block);
        self.used.insert(std::ptr::from_ref(block));
        let file = if local { self.file } else { None };
        let around = std::mem::replace(&mut self.file, file);
        self.layers(&block.layers, &inner, depth + 1);
        self.file = around;
        self.uses.pop();
        self.names.diagnostics().used_at(said, field.span);
    }

    /// What a name in a `use` means here, as `flatten` is told.
    fn target(&self, name: &str) -> Result<Option<Target>, &'m Diagnostics> {
        if let Some(name) = name.strip_prefix(CATALOG_BLOCKS) {
            let block = self.checked.classes.catalog().block(name).transpose()?;
            return Ok(block.map(|block| Target::Catalog(block.clone())));
        }
        let Some(file) = self.file else { return Ok(None) };
        let nested = file.nested.iter().position(|(known, _)| &*known.value == name).map(Target::Family);
        Ok(nested.or_else(|| file.block_index.get(name).map(|at| Target::Local(*at))))
    }

    /// The layers of an inner config's family.
    fn nested(&mut self, model: &'m Model, layer: &'m Layer, scope: &KindScope<'m, '_>, depth: usize) {
        let variables = Scope::boundary(scope, variable_entries(model, &[], &layer.variables));
        let derived = Scope::new(Some(&variables), derived_entries(model, &layer.variables));
        self.names.scope(&variables);
        self.names.scope(&derived);
        for require in &model.require {
            self.names.structural(&require.condition, &derived, "a requirement");
        }
        let around = self.file.replace(model);
        self.layers(&model.layers, &derived, depth + 1);
        self.file = around;
    }

    /// The names in a block that nothing uses may come from any use site, but its classes and parameters can be checked.
    fn unused(&mut self, layers: &'m [Layer]) {
        for layer in layers {
            self.role(layer.role.as_deref());
            match &layer.body {
                Body::Basic => {
                    parameters::check_layer(layer, &self.checked.classes, &|_| true, self.names.diagnostics());
                }
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

/// The scope of what a block takes. One of the file itself sees all that its use sees; one of the catalog sees what is bound to it.
#[must_use]
pub fn taken_scope<'m, 'p, T>(block: &'m Block, local: bool, scope: &'p Scope<'m, 'p, T>) -> Scope<'m, 'p, T> {
    let entries = block.takes.iter().filter_map(|take| {
        let name = &*take.name.value;
        let definition = match (scope.find(name), &take.default) {
            (Some(_), _) if local => return None,
            (Some(_), _) => Definition::Around,
            (None, Some(default)) => Definition::Attr(default),
            (None, None) => Definition::Reported,
        };
        Some(Entry::new(name, Some(take.name.span), definition))
    });
    if local { Scope::new(Some(scope), entries.collect()) } else { Scope::boundary(scope, entries.collect()) }
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
pub fn recursive_block(block: &Block, chain: &[&Block], span: Span) -> Diagnostic {
    let name = &block.name.value;
    let start = chain.iter().position(|step| std::ptr::eq(*step, block)).unwrap_or(0);
    let steps: Vec<&str> = chain.iter().skip(start).chain([&block]).map(|block| &*block.name.value).collect();
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
pub fn unknown_block(checked: &Checked, file: Option<&Model>, name: &str, span: Span, suggest: bool) -> Diagnostic {
    let own =
        || file.into_iter().flat_map(|file| file.blocks.iter().map(|b| &b.name).chain(file.nested.iter().map(|(name, _)| name)));
    let catalog = || checked.classes.catalog().block_names().map(|name| format!("{CATALOG_BLOCKS}{name}"));
    let names: Vec<String> = own().map(|name| name.value.to_string()).chain(catalog()).collect();
    let inner = span.inside();
    let near = if suggest { nearest(name, names.iter().map(String::as_str)) } else { None };
    let diagnostic = Diagnostic::new(Code::UnknownBlock, format!("unknown block `{name}`"))
        .at(span, "not among this file's `blocks`")
        .did_you_mean(inner, near);
    if own().next().is_none() {
        return diagnostic.help("the file has no `blocks`; the catalog's are called `blocks/NAME`");
    }
    diagnostic
}
