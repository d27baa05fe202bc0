//! From a config, or a model file that names a family, to the model that the family makes of it.
//!
//! A JSON document comes in, a [`Model`] goes out, the same as one that is written out. Which families there are is the catalog's knowledge.
//! Values of a config are data: nothing in them is ever read as a template.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::language::Values;
use crate::language::check::{Run, root_entries};
use crate::language::checkpoint::{DTYPE_KEYS, QUANTIZATION_KEYS, excerpt};
use crate::language::scope::Scope;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::expr::{Interpolated, Name, Value, value_of};
use crate::syntax::json::{Json, Node};
use crate::syntax::source::{Span, Spanned};
use crate::syntax::spec::{
    Attr, Body, Datum, Family, Given, GivenValue, Head, Hold, Layer, MODEL_KEYS, Model, Nested, REQUIRED, TextField, Variable,
    index_of,
};

/// Inner configs may hold others so deep.
const MOST_NESTED: usize = 8;

/// What a config says of the model as a whole, which is read before its family's variables are.
const READ_ELSEWHERE: &[&str] = &["model_type", "architectures", "_name_or_path"];

fn is_of_checkpoint(key: &str) -> bool {
    DTYPE_KEYS.contains(&key) || QUANTIZATION_KEYS.contains(&key)
}

/// Whether a document is a config rather than a model description: it says of which type it is, or it has little that a description has.
#[must_use]
pub fn is_config(root: &Node) -> bool {
    const FEW: usize = 3;
    let has = |key: &str| root.get(key).is_some();
    let has_layers = root.get("layers").is_some_and(|node| matches!(node.json, Json::List(_)));
    if !matches!(root.json, Json::Object(_)) || has_layers || has("family") {
        return false;
    }
    let known = root.members().iter().filter(|member| MODEL_KEYS.iter().any(|key| key.name == &*member.key)).count();
    let unknown = root.members().len() - known;
    has("model_type") || has("architectures") || (unknown >= FEW && unknown > known)
}

/// What is asked of a config besides what it says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// In place of the config's own model type.
    pub family: Option<&'a str>,
    /// In place of the head that the config or the file names; [`NO_HEAD`]: the bare model.
    pub head: Option<&'a str>,
    /// With its draft part, whatever the file says.
    pub draft: bool,
    /// Other values for its variables: of a config's count of draft layers.
    pub variables: &'a [(Arc<str>, Value)],
}

/// What is asked for where a family's bare model is meant, as `AutoModel` gives it.
pub const NO_HEAD: &str = "none";

/// The model that a config's family makes of it. What is wrong goes to `diagnostics`.
pub fn of_config(root: &Node, wanted: Wanted<'_>, catalog: &Catalog, diagnostics: &mut Diagnostics) -> Option<Model> {
    let family = match wanted.family {
        Some(name) => find(name, None, catalog, diagnostics)?,
        None => by_model_type(root, catalog, diagnostics)?,
    };
    let mut maker = Maker { catalog, diagnostics, drafts: wanted.draft };
    let head = match wanted.head {
        Some(name) => maker.wanted_head(family, name)?,
        None => maker.head_of_architecture(family, root),
    };
    let mut model = maker.make(family, head, Origin::Config(root), 0)?;
    if wanted.draft {
        maker.draft(family, head, root.span.part(0..1), wanted.variables, &mut model);
    }
    let named = root.get("_name_or_path").and_then(Node::text).filter(|name| !name.is_empty());
    let span = root.get("_name_or_path").map_or(root.span, |node| node.span);
    // Errors that are in the catalog alone point here, too.
    let place = root.get("model_type").map_or(root.span.part(0..1), |node| node.span);
    model.family = model.family.take().map(|family| Spanned::new(family.value, place));
    model.checkpoint = Some(excerpt(root));
    model.name = named.map(|name| Spanned::new(name.clone(), span));
    Some(model)
}

/// The model that a file of a family describes: its `variables` take the place of the family's. What is wrong goes to `diagnostics`.
pub fn of_file(file: Model, wanted: Wanted<'_>, catalog: &Catalog, diagnostics: &mut Diagnostics) -> Option<Model> {
    let Some(name) = file.family.clone() else {
        if let Some(head) = wanted.head {
            let message = format!("there is no head `{head}`: the model is of no family");
            diagnostics.push(Diagnostic::new(Code::UnknownHead, message).help("its layers are what its file says"));
            return None;
        }
        if wanted.draft {
            let diagnostic = Diagnostic::new(Code::NoDraftPart, "there is no draft part to build: the model is of no family");
            diagnostics.push(diagnostic.help("its layers are what its file says"));
            return None;
        }
        return Some(file);
    };
    let family = find(&name.value, Some(name.span), catalog, diagnostics)?;
    let mut maker = Maker { catalog, diagnostics, drafts: wanted.draft || file.draft.is_some() };
    let head = match (wanted.head, &file.head) {
        (Some(name), _) => maker.wanted_head(family, name)?,
        (None, Some(head)) => Some(maker.named_head(family, head)?),
        (None, None) => maker.default_head(family),
    };
    let mut made = maker.make(family, head, Origin::File(&file), 0)?;
    if let Some(place) = file.draft.or(wanted.draft.then(|| file.span.part(0..1))) {
        maker.draft(family, head, place, wanted.variables, &mut made);
    }
    let option = match (wanted.head.is_some(), made.draft.is_some() && file.draft.is_none()) {
        (true, _) => Some("--head"),
        (false, true) => Some("--with-mtp"),
        (false, false) => None,
    };
    let other = option.is_some();
    if let Some(option) = option.filter(|_| file.expect.is_some()) {
        let message = format!("`expect` was not checked: with `{option}` it is another model");
        diagnostics.push(Diagnostic::new(Code::ExpectationsSkipped, message));
    }
    Some(Model {
        name: file.name,
        source: file.source,
        checkpoint: file.checkpoint,
        partial: file.partial,
        workload: [file.workload, made.workload].concat(),
        classes: file.classes,
        expect: file.expect.filter(|_| !other),
        head: file.head.filter(|_| wanted.head.is_none()).or(made.head),
        family: Some(name),
        ..made
    })
}

fn find<'c>(name: &str, span: Option<Span>, catalog: &'c Catalog, diagnostics: &mut Diagnostics) -> Option<&'c Family> {
    match catalog.family(name) {
        Some(Ok(family)) if family.is_base() => {
            let diagnostic = Diagnostic::new(Code::UnknownFamily, format!("`{name}` is a base of families: no model is of it"));
            let diagnostic = span.into_iter().fold(diagnostic, |d, span| d.at(span, "a base, which has no classes of its own"));
            diagnostics.push(diagnostic.help("`layerspec list families` shows those that extend it"));
            None
        }
        Some(Ok(family)) => Some(family),
        Some(Err(said)) => {
            diagnostics.extend(said.iter().cloned());
            None
        }
        None => {
            let mut diagnostic = Diagnostic::new(Code::UnknownFamily, format!("unknown family `{name}`"));
            let near = nearest(name, catalog.family_names());
            diagnostic = match span {
                Some(span) => diagnostic.at(span, "not in the catalog").did_you_mean(span.inside(), near),
                None => near.into_iter().fold(diagnostic, |d, near| d.help(format!("did you mean `{near}`?"))),
            };
            diagnostics.push(diagnostic.help("`layerspec list families` shows them; docs/families.md says how to write one"));
            None
        }
    }
}

fn by_model_type<'c>(root: &Node, catalog: &'c Catalog, diagnostics: &mut Diagnostics) -> Option<&'c Family> {
    let Some(node) = root.get("model_type") else {
        let diagnostic =
            Diagnostic::new(Code::UnknownModelType, "this is a config without a `model_type`, or a model without `layers`")
                .at(root.span.part(0..1), "this object lacks them")
                .help("if it is a config and you know of what, say so: `--family NAME` (`layerspec list families`)");
        // What libraries beside transformers write in its place.
        let class = root.get("_class_name").and_then(Node::text);
        let note = class.map(|class| format!("it says that it is of the class `{class}`, for which there is no family"));
        let diagnostic = note.into_iter().fold(diagnostic, Diagnostic::note);
        diagnostics.push(diagnostic);
        return None;
    };
    let Some(model_type) = node.text() else {
        let message = format!("`model_type` is {}, expected a text", node.json.kind());
        diagnostics.push(Diagnostic::new(Code::WrongType, message).at(node.span, "expected a text"));
        return None;
    };
    match catalog.family_of(model_type) {
        Some(name) => find(name, Some(node.span), catalog, diagnostics),
        None => {
            diagnostics.push(unknown_model_type(model_type, node.span, catalog));
            None
        }
    }
}

fn unknown_model_type(model_type: &str, span: Span, catalog: &Catalog) -> Diagnostic {
    let near = nearest(model_type, catalog.model_types());
    let alike: Vec<&str> = catalog.model_types().filter(|known| shares_stem(known, model_type)).take(6).collect();
    let diagnostic = Diagnostic::new(Code::UnknownModelType, format!("no family is for the model type `{model_type}`"))
        .at(span, "not among those of the catalog")
        .did_you_mean(span.inside(), near);
    let diagnostic = match (near, alike.as_slice()) {
        (None, [_, ..]) => diagnostic.help(format!("of a like name: {}", alike.join(", "))),
        _ => diagnostic,
    };
    diagnostic
        .help("if it is built like another, take that: `--family NAME` (`layerspec list families`)")
        .help("docs/families.md says how to write a family: one JSON file, tried with `--catalog FOLDER`")
}

/// Whether two model types begin alike: `qwen` and `qwen2`.
fn shares_stem(a: &str, b: &str) -> bool {
    const SHORTEST: usize = 3;
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a.eq_ignore_ascii_case(b) && a.is_ascii_alphabetic()).count();
    same >= SHORTEST
}

/// Where a model's values come from.
#[derive(Clone, Copy)]
enum Origin<'a> {
    Config(&'a Node),
    File(&'a Model),
    /// An inner config that isn't written out as an object of the file.
    Inner(&'a Value, Span),
}

impl Origin<'_> {
    fn given(self) -> Vec<(Spanned<Arc<str>>, Span, GivenValue)> {
        match self {
            Origin::Config(node) => {
                let entry = |m: &crate::syntax::json::Member| {
                    (Spanned::new(m.key.clone(), m.key_span), m.value.span, GivenValue::Data(value_of(&m.value)))
                };
                node.members().iter().map(entry).collect()
            }
            Origin::File(file) => {
                let entry = |v: &Variable| (v.name.clone(), v.value.span, GivenValue::Attr(v.value.clone()));
                file.variables.iter().map(entry).collect()
            }
            Origin::Inner(Value::Object(members), span) => {
                let entry =
                    |(key, value): &(Arc<str>, Value)| (Spanned::new(key.clone(), span), span, GivenValue::Data(value.clone()));
                members.iter().map(entry).collect()
            }
            Origin::Inner(..) => Vec::new(),
        }
    }

    fn span(self) -> Span {
        match self {
            Origin::Config(node) => node.span,
            Origin::File(file) => file.span,
            Origin::Inner(_, span) => span,
        }
    }

    fn document(self) -> Value {
        match self {
            Origin::Config(node) => value_of(node),
            Origin::File(_) => Value::Object(Arc::from([])),
            Origin::Inner(value, _) => value.clone(),
        }
    }

    /// The node of one of its keys.
    fn node(&self, key: &str) -> Option<&Node> {
        if let Origin::Config(node) = self { node.get(key) } else { None }
    }
}

struct Maker<'c, 'd> {
    catalog: &'c Catalog,
    diagnostics: &'d mut Diagnostics,
    /// Whether draft parts are built.
    drafts: bool,
}

impl<'c> Maker<'c, '_> {
    fn default_head(&mut self, family: &'c Family) -> Option<&'c Head> {
        let name = family.default_head.as_ref()?;
        self.named_head(family, name)
    }

    fn named_head(&mut self, family: &'c Family, name: &Spanned<Arc<str>>) -> Option<&'c Head> {
        let found = family.heads.iter().find(|head| head.name.value == name.value);
        if found.is_none() {
            let names = || family.heads.iter().map(|head| &*head.name.value);
            let message = format!("the family `{}` has no head `{}`", family.name, name.value);
            let near = nearest(&name.value, names());
            let diagnostic = Diagnostic::new(Code::UnknownHead, message).at(name.span, "not one of its heads");
            let diagnostic = diagnostic.did_you_mean(name.span.inside(), near);
            self.diagnostics.push(diagnostic.help(format!("its heads are {}", names().collect::<Vec<_>>().join(", "))));
        }
        found
    }

    /// The head that is asked for by its name or by the class that it makes; `Some(None)`: the bare model, of a family that has no name for it.
    fn wanted_head(&mut self, family: &'c Family, name: &str) -> Option<Option<&'c Head>> {
        if name == NO_HEAD {
            return Some(bare(family));
        }
        let end = name.strip_prefix(family.stem()).unwrap_or(name);
        let found = family.heads.iter().find(|head| *head.name.value == *name || *head.name.value == *end);
        if found.is_none() {
            let names = family.heads.iter().map(|head| &*head.name.value).chain([NO_HEAD]);
            let message = format!("the family `{}` has no head `{name}`", family.name);
            let diagnostic = Diagnostic::new(Code::UnknownHead, message);
            let hint = nearest(name, names.clone()).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            let all = names.collect::<Vec<_>>().join(", ");
            self.diagnostics.push(diagnostic.help(format!("{hint}its heads are {all}")));
        }
        found.map(Some)
    }

    /// The head that a config's `architectures` names, else the family's default.
    fn head_of_architecture(&mut self, family: &'c Family, root: &Node) -> Option<&'c Head> {
        let first =
            root.get("architectures").and_then(|node| if let Json::List(items) = &node.json { items.first() } else { None });
        let Some((node, asked)) = first.and_then(|node| Some((node, node.text()?))) else {
            return self.default_head(family);
        };
        let end = asked.strip_prefix(family.stem());
        if let Some(head) = family.heads.iter().find(|head| Some(&*head.name.value) == end) {
            return Some(head);
        }
        let default = self.default_head(family);
        let message = format!("the family `{}` knows no architecture `{asked}`", family.name);
        let taken = default.map_or("Model", |head| &*head.name.value);
        let names: Vec<String> = family.heads.iter().map(|head| format!("{}{}", family.stem(), head.name.value)).collect();
        let diagnostic = Diagnostic::new(Code::UnknownArchitecture, message)
            .at(node.span, format!("taken as {}{taken}", family.stem()))
            .note(format!("it knows {}", names.join(", ")));
        self.diagnostics.push(diagnostic);
        default
    }

    /// A family with what is given, and inside it the families of its inner configs.
    fn make(&mut self, family: &'c Family, head: Option<&'c Head>, origin: Origin<'_>, depth: usize) -> Option<Model> {
        let (given, unused) = self.given(family, origin);
        let missing = family.variables.iter().filter(|v| matches!(&v.value.datum, Datum::Text(text) if &**text == REQUIRED));
        for variable in missing.filter(|v| !given.iter().any(|given| given.name == v.name.value)) {
            let name = &variable.name.value;
            let diagnostic = Diagnostic::new(Code::MissingKey, format!("the config has no `{name}`, and it has no default"))
                .at(origin.span().part(0..1), format!("this object lacks `{name}`"))
                .also(variable.name.span, "required here");
            self.diagnostics.push(diagnostic);
        }
        let builtins = vec![
            ("prefix", Value::Text(family.prefix().into())),
            (
                "model_type",
                origin
                    .node("model_type")
                    .and_then(Node::text)
                    .map_or_else(|| Value::Text(family.name.clone()), |t| Value::Text(t.clone())),
            ),
            ("config", origin.document()),
        ];
        let mut model = Model {
            span: origin.span(),
            number: 0,
            name: None,
            class: head
                .filter(|head| &*head.name.value != "Model")
                .map(|head| format!("{}{}", family.prefix(), head.name.value).into()),
            source: None,
            family: Some(Spanned::new(family.name.clone(), family.span.part(0..1))),
            head: head.map(|head| head.name.clone()),
            draft: None,
            variables: family.variables.clone(),
            given,
            aliases: family.aliases.iter().map(|(key, name)| (key.value.clone(), name.clone())).collect(),
            derived: derived(family, head),
            require: family.require.clone(),
            builtins,
            nested: Vec::new(),
            configs: Vec::new(),
            unused,
            checkpoint: None,
            workload: family.workload.clone(),
            inputs: family.inputs.clone(),
            classes: Vec::new(),
            block_index: index_of(&family.blocks),
            blocks: family.blocks.clone(),
            layers: layers(family, head),
            expect: None,
            partial: Vec::new(),
        };
        if model.class.is_none() {
            model.class = Some(class_of(family));
        }
        let drafts = self.drafts;
        for nested in family.nested.iter().filter(|nested| drafts || !nested.is_draft) {
            // Without it nothing that the outer family says of it has a value.
            let inner = self.nested(nested, &model, origin, depth)?;
            model.nested.push((nested.name.clone(), inner));
            model.configs.extend(names(&nested.config));
        }
        Some(model)
    }

    /// Puts the family's draft part behind a model's layers. `place`: where it is asked for.
    fn draft(&mut self, family: &'c Family, head: Option<&Head>, place: Span, settings: &[(Arc<str>, Value)], model: &mut Model) {
        let Some(draft) = &family.draft else {
            let with = |name: &&str| self.catalog.family(name).and_then(Result::ok).is_some_and(|family| family.draft.is_some());
            let all: Vec<&str> = self.catalog.family_names().filter(with).collect();
            let message = format!("the family `{}` has no draft part (multi-token prediction)", family.name);
            let diagnostic = Diagnostic::new(Code::NoDraftPart, message).at(place, "asked for here");
            return self.diagnostics.push(diagnostic.help(format!("families that have one: {}", all.join(", "))));
        };
        let default: Vec<Arc<str>> = family.default_head.iter().map(|name| name.value.clone()).collect();
        let behind = if draft.heads.is_empty() { &default } else { &draft.heads };
        if head.is_none_or(|head| !behind.contains(&head.name.value)) {
            let behind = behind.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
            let message = format!("the draft part of the family `{}` stands behind the head {behind}", family.name);
            let diagnostic = Diagnostic::new(Code::NoDraftPart, message).at(place, "asked for here");
            return self
                .diagnostics
                .push(diagnostic.help("with another head the model predicts no tokens that could be drafted"));
        }
        let [workload, variables, derived] = root_entries(model, settings, &Run::default());
        let outer = Scope::new(None, workload);
        let scope = Scope::new(Some(&outer), variables);
        let scope = Scope::new(Some(&scope), derived);
        let Some(count) = Values::new(self.diagnostics).structural(&draft.count, &scope) else { return };
        let is_none = count.as_number().is_none_or(|count| count.is_zero());
        if is_none {
            let message = format!("there is no draft part to build: `{}` is {count}", draft.count.written());
            let diagnostic = Diagnostic::new(Code::NoDraftLayers, message).at(place, "asked for here");
            return self.diagnostics.push(diagnostic.help("where the checkpoint has such layers, `--set` says how many"));
        }
        model.draft = Some(place);
        model.layers.extend(draft.layers.iter().cloned());
    }

    /// What a config says of the family's variables, and the keys that say nothing of them.
    fn given(&mut self, family: &Family, origin: Origin<'_>) -> (Vec<Given>, Vec<Spanned<Arc<str>>>) {
        let (mut given, mut unused): (Vec<Given>, Vec<Spanned<Arc<str>>>) = (Vec::new(), Vec::new());
        for (key, span, value) in origin.given() {
            let alias = family.aliased(&key.value);
            let name = alias.unwrap_or(&key.value).clone();
            if !family.variables.iter().any(|v| v.name.value == name) {
                if let Origin::File(_) = origin {
                    self.unknown_variable(family, &key);
                } else {
                    self.foreign(family, &key, &value);
                }
                if !READ_ELSEWHERE.contains(&&*key.value) && !is_of_checkpoint(&key.value) {
                    unused.push(key);
                }
                continue;
            }
            let known = given.iter_mut().find(|known: &&mut Given| known.name == name);
            match (known, &value) {
                (None, _) => given.push(Given { name, key, span, value }),
                (Some(known), value) => {
                    let same = match (&known.value, value) {
                        (GivenValue::Data(a), GivenValue::Data(b)) => a == b,
                        _ => false,
                    };
                    // A null beside a value is how a config leaves one of two names open.
                    let is_null = |value: &GivenValue| matches!(value, GivenValue::Data(Value::Null));
                    if is_null(&known.value) && !same {
                        *known = Given { name, key, span, value: value.clone() };
                    } else if !same && !is_null(value) && !matches!(origin, Origin::File(_)) {
                        // As transformers has it (56 of the 57 pairs that could be asked, in both orders): the common name sets the attribute that it stands for.
                        let (wins, loses) = if alias.is_some() { (&key, &known.key) } else { (&known.key, &key) };
                        let (wins, loses) = (wins.clone(), loses.clone());
                        let message = format!(
                            "`{}` and `{}` mean the same, and say different things: `{}` is taken",
                            known.key.value, key.value, wins.value
                        );
                        let diagnostic = Diagnostic::new(Code::TwoNames, message)
                            .at(wins.span, "taken, as transformers does")
                            .also(loses.span, "not taken");
                        self.diagnostics.push(diagnostic);
                        if alias.is_some() {
                            *known = Given { name, key, span, value: value.clone() };
                        }
                    } else if !same && !is_null(value) {
                        let message =
                            format!("`{}` and `{}` mean the same, and say different things", known.key.value, key.value);
                        let diagnostic = Diagnostic::new(Code::ConflictingKeys, message)
                            .at(span, "this value")
                            .also(known.span, "and this one")
                            .help("leave out one of the two");
                        self.diagnostics.push(diagnostic);
                    }
                }
            }
        }
        (given, unused)
    }

    /// A key that nothing reads may still change the model; one that says nothing or no doesn't.
    fn foreign(&mut self, family: &Family, key: &Spanned<Arc<str>>, value: &GivenValue) {
        let says_nothing = match value {
            GivenValue::Data(Value::Null | Value::Bool(false)) => true,
            GivenValue::Data(Value::Number(number)) => number.is_zero(),
            GivenValue::Data(Value::List(items)) => items.is_empty(),
            GivenValue::Data(Value::Object(members)) => members.is_empty(),
            _ => false,
        };
        if let (false, Some((_, what))) = (says_nothing, family.foreign.iter().find(|(name, _)| name.value == key.value)) {
            let message = format!("nothing in the family `{}` reads `{}` of a config: {what}", family.name, key.value);
            self.diagnostics.push(Diagnostic::new(Code::ForeignKey, message).at(key.span, "counted as if it weren't there"));
        }
    }

    /// A misspelt variable of a file would silently leave the default in place.
    fn unknown_variable(&mut self, family: &Family, key: &Spanned<Arc<str>>) {
        let names = || family.variables.iter().map(|v| &*v.name.value).chain(family.aliases.iter().map(|(key, _)| &*key.value));
        let message = format!("the family `{}` has no variable `{}`", family.name, key.value);
        let diagnostic = Diagnostic::new(Code::UnknownVariable, message)
            .at(key.span, "not a variable of this family")
            .did_you_mean(key.span.inside(), nearest(&key.value, names()));
        self.diagnostics.push(diagnostic.help(format!("`layerspec explain {}` shows its variables", family.name)));
    }

    /// An inner config, with the family that it is of.
    fn nested(&mut self, nested: &Nested, model: &Model, origin: Origin<'_>, depth: usize) -> Option<Model> {
        if depth >= MOST_NESTED {
            let message = format!("configs are nested deeper than {MOST_NESTED} levels");
            self.diagnostics.push(Diagnostic::new(Code::UnknownFamily, message).at(nested.name.span, "one level too many"));
            return None;
        }
        let [workload, variables, derived] = root_entries(model, &[], &Run::default());
        let outer = Scope::new(None, workload);
        let scope = Scope::new(Some(&outer), variables);
        let scope = Scope::new(Some(&scope), derived);
        let mut values = Values::new(self.diagnostics);
        let config = values.structural(&nested.config, &scope)?;
        let name = match nested.family.pieces.literal() {
            Some(name) => name.clone(),
            None => values.text(&nested.family, &scope)?,
        };
        let head = match &nested.head {
            Some(head) => Some(Spanned::new(values.text(head, &scope)?, head.span)),
            None => None,
        };
        // The place in the file of what the expression gave, for diagnostics that point into it.
        let node = inner_node(&nested.config, origin, &config);
        let span = node.map_or_else(|| origin.span(), |node| node.span);
        let direct = self.catalog.family(&name).is_some();
        let found = if direct { Some(&*name) } else { self.catalog.family_of(&name) };
        let Some(found) = found else {
            let place = node.and_then(|node| node.get("model_type")).map_or(span, |node| node.span);
            self.diagnostics.push(unknown_model_type(&name, place, self.catalog));
            return None;
        };
        let family = find(found, Some(nested.family.span), self.catalog, self.diagnostics)?;
        let head = match &head {
            Some(head) => Some(self.named_head(family, head)?),
            None => bare(family),
        };
        let made = match (node, &config) {
            (Some(node), _) => self.make(family, head, Origin::Config(node), depth + 1),
            (None, Value::Object(_) | Value::Null) => self.make(family, head, Origin::Inner(&config, span), depth + 1),
            (None, other) => {
                let message = format!("the config `{}` is {}, expected an object", nested.name.value, other.kind());
                self.diagnostics.push(Diagnostic::new(Code::WrongType, message).at(span, "expected an object"));
                None
            }
        };
        match (&family.draft, nested.is_draft) {
            (_, false) => made,
            (Some(draft), true) => made.map(|made| Model { layers: draft.layers.clone(), ..made }),
            (None, true) => {
                let message = format!("the family `{}` has no draft part (multi-token prediction)", family.name);
                self.diagnostics.push(Diagnostic::new(Code::NoDraftPart, message).at(nested.name.span, "asked for here"));
                None
            }
        }
    }
}

/// The names in an attribute.
fn names(attr: &Attr) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    if let Datum::Template(template) = &attr.datum {
        template.expr.for_each_variable(&mut |name: &Name| names.push(name.text.clone()));
    }
    names
}

/// The node of a file that an expression's value is: that of one of its names, or the whole document.
fn inner_node<'a>(attr: &Attr, origin: Origin<'a>, config: &Value) -> Option<&'a Node> {
    let Origin::Config(root) = origin else { return None };
    let names = names(attr);
    let named = names.iter().filter_map(|name| root.get(name));
    named.chain([root]).find(|node| matches!(node.json, Json::Object(_)) && value_of(node) == *config)
}

/// The family's derived values, those that the head says otherwise replaced.
fn derived(family: &Family, head: Option<&Head>) -> Vec<Variable> {
    let mut out = family.derived.clone();
    for variable in head.iter().flat_map(|head| &head.variables) {
        match out.iter_mut().find(|known| known.name.value == variable.name.value) {
            Some(known) => *known = variable.clone(),
            None => out.push(variable.clone()),
        }
    }
    out
}

/// The head that is the bare model.
fn bare(family: &Family) -> Option<&Head> {
    family.heads.iter().find(|head| &*head.name.value == "Model")
}

/// The bare model's class.
fn class_of(family: &Family) -> Arc<str> {
    match &family.class {
        Some(class) => class.text.replace("<prefix>", family.prefix()).into(),
        None => format!("{}Model", family.prefix()).into(),
    }
}

/// The bare model's layers, under the head's name for them if it has one, and the head's.
fn layers(family: &Family, head: Option<&Head>) -> Vec<Layer> {
    let Some(head) = head else { return family.layers.clone() };
    let mut layers = match &head.base {
        None => family.layers.clone(),
        Some(base) => {
            let text =
                |text: Arc<str>| TextField { span: base.span, pieces: Interpolated::of_literal(text.clone()), text, plain: true };
            vec![Layer {
                span: base.span,
                name: Some(text(base.value.clone())),
                inline: false,
                class: Some(text(class_of(family))),
                role: None,
                of_head: false,
                body: Body::Composite(family.layers.clone()),
                repeat: None,
                parallel: false,
                index: None,
                calls: None,
                when: None,
                variables: Vec::new(),
                parameters: Vec::new(),
                weights: None,
                inputs: None,
                output: None,
                // The head's forward has it in a variable of its own.
                hold: Some(Box::new(Hold::Composite)),
                no_grad: false,
                tied_to: None,
            }]
        }
    };
    layers.extend(head.layers.iter().cloned().map(|layer| Layer { of_head: true, ..layer }));
    layers
}
