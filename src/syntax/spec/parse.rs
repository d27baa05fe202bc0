//! From a [`Document`] to a [`Model`], collecting everything that is wrong with its shape.

use std::collections::HashMap;
use std::sync::Arc;

use super::{
    Attr, BLOCK_KEYS, Block, Body, DRAFT_KEYS, Datum, Draft, EXPECT_KEYS, Expect, FAMILY_KEYS, Fact, Family, HEAD_KEYS, Head,
    Hold, INPUT_KEYS, KEPT_DTYPE, Key, LAYER_KEYS, Layer, MODEL_KEYS, Model, ModelInput, NESTED_KEYS, Nested, POINT_KEYS, Point,
    REQUIRED, Require, TIE_KEYS, Take, Template, TextField, Tie, TieTarget, Variable, WEIGHT_KEYS, Weight, index_of,
};
use crate::quantity::{Stated, facts, total};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::expr::{
    Exact, Expr, Interpolated, Name, ParseError, Syntax, interpolate, is_name, is_reserved, looks_like_template,
};
use crate::syntax::json::{Document, Json, Member, Node, Text};
use crate::syntax::source::{Span, Spanned};

/// The name of a variable that stands for all that couldn't be read: no name is unknown beside it.
pub const UNREAD: &str = "*";

/// Parses a document as a model. What is wrong goes to `diagnostics`; what could be read comes back all the same, so that the next
/// phase finds its own errors. `None` if it isn't an object.
pub fn parse(document: &Document, diagnostics: &mut Diagnostics) -> Option<Model> {
    Parser::new(diagnostics).model(&document.root)
}

/// Parses a family's file; `name` is the file's. What it extends is not looked at.
pub fn parse_family(node: &Node, name: &str, diagnostics: &mut Diagnostics) -> Option<Family> {
    Parser::new(diagnostics).family(node, name)
}

/// Parses a block's file; `name` is the file's.
pub fn parse_block(node: &Node, name: &str, diagnostics: &mut Diagnostics) -> Option<Block> {
    let name = Spanned::new(name.into(), node.span.part(0..1));
    Parser::new(diagnostics).block_of(name, node)
}

/// The place of `range` in a string: exact where the string has no escapes, else the whole string.
fn unescaped_part(span: Span, plain: bool, range: std::ops::Range<usize>) -> Span {
    // The quote before the text.
    if plain { span.part(range.start + 1..range.end + 1) } else { span }
}

/// The place of a name in the string at `span`; `plain`: the string has no escapes.
#[must_use]
pub fn name_part(span: Span, plain: bool, name: &Name) -> Span {
    unescaped_part(span, plain, name.start as usize..name.end as usize)
}

/// What is wrong with the expression in the string at `span`; `plain`: the string has no escapes.
#[must_use]
pub fn syntax_error(error: ParseError, span: Span, plain: bool) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(error.code, error.message).at(unescaped_part(span, plain, error.range), "here");
    diagnostic.help = error.help;
    diagnostic
}

/// The members of an object whose keys are known.
pub struct Fields<'a> {
    members: &'a [Member],
    /// Misspelt keys, by the key that was meant: what they hold is read all the same.
    meant: Vec<(&'static str, &'a Node)>,
}

impl<'a> Fields<'a> {
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        let meant = || self.meant.iter().find(|(name, _)| *name == key).map(|(_, node)| *node);
        self.members.iter().find(|m| &*m.key == key).map(|m| &m.value).or_else(meant)
    }

    pub fn iter(&self) -> impl Iterator<Item = &'a Member> {
        self.members.iter()
    }
}

/// Takes a node as an object with some of these keys; `more` are names that may stand there too.
pub fn fields<'a>(node: &'a Node, what: &str, keys: &[Key], more: &[&str], diagnostics: &mut Diagnostics) -> Option<Fields<'a>> {
    let Json::Object(members) = &node.json else {
        diagnostics.push(wrong_type(node, what, "an object"));
        return None;
    };
    let mut meant = Vec::new();
    for member in members {
        if keys.iter().any(|key| key.name == &*member.key) || more.contains(&&*member.key) {
            continue;
        }
        let names = keys.iter().map(|key| key.name).chain(more.iter().copied());
        let near = if diagnostics.crowded() { None } else { nearest(&member.key, names.clone()) };
        if let Some(key) = near.and_then(|near| keys.iter().find(|key| key.name == near)) {
            meant.push((key.name, &member.value));
        }
        let mut diagnostic = Diagnostic::new(Code::UnknownKey, format!("unknown key `{}` in {what}", member.key))
            .at(member.key_span, "not a key here")
            .did_you_mean(member.key_span.inside(), near);
        if near.is_none() {
            let names: Vec<&str> = names.filter(|name| *name != "$schema").collect();
            diagnostic = diagnostic.help(format!("the keys of {what} are {}", names.join(", ")));
        }
        diagnostics.push(diagnostic);
    }
    let found = Fields { members, meant };
    let missing: Vec<&Key> = keys.iter().filter(|key| key.required && found.get(key.name).is_none()).collect();
    if !missing.is_empty() {
        let names: Vec<String> = missing.iter().map(|key| format!("`{}`", key.name)).collect();
        let names = names.join(", ");
        let diagnostic = Diagnostic::new(Code::MissingKey, format!("{what} has no {names}"))
            .at(node.span.part(0..1), format!("this object lacks {names}"));
        diagnostics.push(missing.iter().fold(diagnostic, |d, key| d.note(format!("`{}`: {}", key.name, key.doc))));
    }
    Some(found)
}

fn wrong_type(node: &Node, what: &str, expected: &str) -> Diagnostic {
    Diagnostic::new(Code::WrongType, format!("{what} is {}, expected {expected}", node.json.kind()))
        .at(node.span, format!("expected {expected}"))
}

struct Parser<'d> {
    diagnostics: &'d mut Diagnostics,
    /// The same few expressions stand in many places.
    templates: HashMap<Arc<str>, Arc<Expr<Name>>>,
    /// How many layers were read.
    layers: usize,
}

/// So many layers may be written out in a file: each takes a kilobyte, and its row two more.
pub const MOST_WRITTEN: usize = 150_000;

impl<'d> Parser<'d> {
    fn new(diagnostics: &'d mut Diagnostics) -> Self {
        Parser { diagnostics, templates: HashMap::new(), layers: 0 }
    }

    fn model(&mut self, node: &Node) -> Option<Model> {
        let f = fields(node, "a model", MODEL_KEYS, &[], self.diagnostics)?;
        let layers = f.get("layers").map(|n| self.layers(n, true)).unwrap_or_default();
        let blocks = f.get("blocks").map(|n| self.blocks(n)).unwrap_or_default();
        self.layers_or_family(node, &f);
        Some(Model {
            number: 0,
            span: node.span,
            name: f.get("name").and_then(|n| self.text(n, "the model's `name`")),
            class: f.get("class").and_then(|n| self.text(n, "the model's `class`")).map(|t| t.value),
            source: f.get("source").and_then(|n| self.text(n, "`source`")).map(|t| t.value),
            family: f.get("family").and_then(|n| self.text(n, "`family`")),
            head: f.get("head").and_then(|n| self.text(n, "`head`")),
            draft: f.get("draft").filter(|n| self.flag(n, "`draft`")).map(|n| n.span),
            given: Vec::new(),
            aliases: Vec::new(),
            derived: Vec::new(),
            require: Vec::new(),
            builtins: Vec::new(),
            nested: Vec::new(),
            configs: Vec::new(),
            unused: Vec::new(),
            checkpoint: f.get("checkpoint").cloned(),
            variables: f.get("variables").map(|n| self.variables(n, "`variables`", true)).unwrap_or_default(),
            workload: f.get("workload").map(|n| self.variables(n, "`workload`", true)).unwrap_or_default(),
            inputs: f.get("inputs").map(|n| self.model_inputs(n)).unwrap_or_default(),
            classes: f.get("classes").map(|n| self.classes(n)).unwrap_or_default(),
            block_index: index_of(&blocks),
            blocks,
            layers,
            expect: f.get("expect").and_then(|n| self.expect(n)),
            partial: f.get("partial").map(|n| self.partial(n)).unwrap_or_default(),
        })
    }

    /// What isn't in the file, in words.
    fn partial(&mut self, node: &Node) -> Vec<Arc<str>> {
        let items = match &node.json {
            Json::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        items.iter().filter_map(|item| self.text(item, "an entry of `partial`")).map(|text| text.value).collect()
    }

    /// A model has layers, or a family that has them.
    fn layers_or_family(&mut self, node: &Node, f: &Fields<'_>) {
        if f.get("layers").is_none() && f.get("family").is_none() {
            let doc = MODEL_KEYS.iter().find(|key| key.name == "layers").map_or("", |key| key.doc);
            let diagnostic = Diagnostic::new(Code::MissingKey, "a model has no `layers`")
                .at(node.span.part(0..1), "this object lacks `layers`")
                .note(format!("`layers`: {doc}"));
            return self.diagnostics.push(diagnostic);
        }
        let family = f.iter().find(|member| &*member.key == "family");
        let misplaced: &[(&str, bool, &str)] = &[
            ("layers", family.is_some(), "the family has the layers"),
            ("blocks", family.is_some(), "only layers of the file itself use them"),
            ("inputs", family.is_some(), "the family says what its models are called with"),
            ("head", family.is_none(), "there are no heads without `family`"),
            ("draft", family.is_none(), "a draft part is a family's"),
        ];
        for (key, wrong, why) in misplaced {
            if let (true, Some(member)) = (*wrong, f.iter().find(|member| &*member.key == *key)) {
                let diagnostic = Diagnostic::new(Code::ConflictingKeys, format!("`{key}` doesn't belong into this model"))
                    .at(member.key_span, *why);
                let diagnostic = family.into_iter().fold(diagnostic, |d, family| d.also(family.key_span, "of a family"));
                self.diagnostics.push(diagnostic);
            }
        }
    }

    fn family(&mut self, node: &Node, name: &str) -> Option<Family> {
        let f = fields(node, "a family", FAMILY_KEYS, &[], self.diagnostics)?;
        let text = |parser: &mut Self, key: &str| f.get(key).and_then(|n| parser.text(n, &format!("`{key}`")));
        let nested = f.get("nested").map(|n| self.members(n, "`nested`")).unwrap_or_default();
        let heads = f.get("heads").map(|n| self.members(n, "`heads`")).unwrap_or_default();
        self.prefix_of_configs(node, &f);
        Some(Family {
            span: node.span,
            name: name.into(),
            model_types: f.get("model_types").map(|n| self.texts(n, "`model_types`")).unwrap_or_default(),
            prefix: text(self, "prefix").map(|prefix| prefix.value),
            class: f.get("class").and_then(|n| self.text_field(n, "`class`")),
            source: text(self, "source")?.value,
            doc: text(self, "doc").map(|t| t.value),
            extends: text(self, "extends"),
            aliases: f.get("aliases").map(|n| self.texts_by_name(n, "`aliases`")).unwrap_or_default(),
            variables: f.get("variables").map(|n| self.variables(n, "`variables`", true)).unwrap_or_default(),
            derived: f.get("derived").map(|n| self.variables(n, "`derived`", true)).unwrap_or_default(),
            require: f.get("require").map(|n| self.require(n)).unwrap_or_default(),
            foreign: f.get("foreign").map(|n| self.texts_by_name(n, "`foreign`")).unwrap_or_default(),
            workload: f.get("workload").map(|n| self.variables(n, "`workload`", true)).unwrap_or_default(),
            inputs: f.get("inputs").map(|n| self.model_inputs(n)).unwrap_or_default(),
            nested: nested.iter().filter_map(|member| self.nested(member)).collect(),
            blocks: f.get("blocks").map(|n| self.blocks(n)).unwrap_or_default(),
            layers: f.get("layers").map(|n| self.layers(n, true)).unwrap_or_default(),
            heads: heads.iter().filter_map(|member| self.head(member)).collect(),
            default_head: text(self, "default_head"),
            draft: f.get("draft").and_then(|n| self.draft(n)),
        })
    }

    /// A family that configs can be of has names for its classes.
    fn prefix_of_configs(&mut self, node: &Node, f: &Fields<'_>) {
        if let (Some(types), None) = (f.iter().find(|member| &*member.key == "model_types"), f.get("prefix")) {
            let diagnostic = Diagnostic::new(Code::MissingKey, "a family with `model_types` has no `prefix`")
                .at(node.span.part(0..1), "this object lacks `prefix`")
                .also(types.key_span, "configs can be of it")
                .note("`prefix`: the stem of its class names; only a base, which no config is of, has none");
            self.diagnostics.push(diagnostic);
        }
    }

    fn texts(&mut self, node: &Node, what: &str) -> Vec<Arc<str>> {
        let items = self.list(node, what);
        items.iter().filter_map(|item| self.text(item, "an item").map(|text| text.value)).collect()
    }

    fn texts_by_name(&mut self, node: &Node, what: &str) -> Vec<(Spanned<Arc<str>>, Arc<str>)> {
        let members = self.members(node, what);
        let text = |m: &Member| Some((Spanned::new(m.key.clone(), m.key_span), self.text(&m.value, "a member")?.value));
        members.iter().filter_map(text).collect()
    }

    /// `{ "<a> % <b> == 0": "`a` must be a multiple of `b`" }`.
    fn require(&mut self, node: &Node) -> Vec<Require> {
        let members = self.members(node, "`require`");
        let require = |m: &Member| {
            let plain = m.key_span.range().len() == m.key.len() + 2;
            let condition = Node { span: m.key_span, json: Json::Text(Text { value: m.key.clone(), plain }) };
            Some(Require { condition: self.attr(&condition), message: self.text(&m.value, "a requirement's message")?.value })
        };
        members.iter().filter_map(require).collect()
    }

    fn nested(&mut self, member: &Member) -> Option<Nested> {
        self.variable_name(&member.key, member.key_span)?;
        let f = fields(&member.value, "a nested config", NESTED_KEYS, &[], self.diagnostics)?;
        Some(Nested {
            name: Spanned::new(member.key.clone(), member.key_span),
            family: f.get("family").and_then(|n| self.text_field(n, "`family`"))?,
            config: f.get("config").map(|n| self.attr(n))?,
            head: f.get("head").and_then(|n| self.text_field(n, "`head`")),
            is_draft: f.get("draft").is_some_and(|n| self.flag(n, "`draft`")),
        })
    }

    fn draft(&mut self, node: &Node) -> Option<Draft> {
        let f = fields(node, "a draft part", DRAFT_KEYS, &[], self.diagnostics)?;
        Some(Draft {
            count: f.get("count").map(|n| self.attr(n))?,
            layers: f.get("layers").map(|n| self.layers(n, true))?,
            heads: f.get("heads").map(|n| self.texts(n, "`heads`")).unwrap_or_default(),
            otherwise: f.get("otherwise").map(|n| self.variables(n, "`otherwise`", true)).unwrap_or_default(),
        })
    }

    fn head(&mut self, member: &Member) -> Option<Head> {
        let f = fields(&member.value, "a head", HEAD_KEYS, &[], self.diagnostics)?;
        Some(Head {
            name: Spanned::new(member.key.clone(), member.key_span),
            base: f.get("base").and_then(|n| self.text(n, "`base`")),
            variables: f.get("variables").map(|n| self.variables(n, "`variables`", true)).unwrap_or_default(),
            layers: f.get("layers").map(|n| self.layers(n, true)).unwrap_or_default(),
        })
    }

    fn members<'a>(&mut self, node: &'a Node, what: &str) -> &'a [Member] {
        if let Json::Object(members) = &node.json {
            members
        } else {
            self.diagnostics.push(wrong_type(node, what, "an object"));
            &[]
        }
    }

    fn list<'a>(&mut self, node: &'a Node, what: &str) -> &'a [Node] {
        if let Json::List(items) = &node.json {
            items
        } else {
            self.diagnostics.push(wrong_type(node, what, "a list"));
            &[]
        }
    }

    fn text(&mut self, node: &Node, what: &str) -> Option<Spanned<Arc<str>>> {
        if let Json::Text(text) = &node.json {
            return Some(Spanned::new(text.value.clone(), node.span));
        }
        self.diagnostics.push(wrong_type(node, what, "a text"));
        None
    }

    fn flag(&mut self, node: &Node, what: &str) -> bool {
        if let Json::Bool(value) = node.json {
            return value;
        }
        self.diagnostics.push(wrong_type(node, what, "true or false"));
        false
    }

    fn hold(&mut self, node: &Node) -> Option<Hold> {
        match &node.json {
            Json::Bool(value) => value.then_some(Hold::Composite),
            Json::Text(text) => Some(Hold::Until { siblings: vec![text.value.clone()], span: node.span }),
            Json::List(_) => Some(Hold::Until { siblings: self.texts(node, "`hold`"), span: node.span }),
            _ => {
                self.diagnostics.push(wrong_type(node, "`hold`", "true, false, or the names of later siblings"));
                None
            }
        }
    }

    fn syntax_error(&mut self, error: ParseError, span: Span, plain: bool) {
        self.diagnostics.push(syntax_error(error, span, plain));
    }

    fn text_field(&mut self, node: &Node, what: &str) -> Option<TextField> {
        let Json::Text(text) = &node.json else {
            self.diagnostics.push(wrong_type(node, what, "a text"));
            return None;
        };
        match interpolate(&text.value) {
            Ok(pieces) => Some(TextField { span: node.span, text: text.value.clone(), plain: text.plain, pieces }),
            Err(error) => {
                self.syntax_error(error, node.span, text.plain);
                None
            }
        }
    }

    fn attr(&mut self, node: &Node) -> Attr {
        let datum = match &node.json {
            Json::Null => Datum::Null,
            Json::Bool(value) => Datum::Bool(*value),
            Json::Number(text) => self.number(node, text),
            Json::Text(text) => self.template(node, text),
            Json::List(items) => Datum::List(items.iter().map(|item| self.attr(item)).collect()),
            Json::Object(members) => Datum::Object(members.iter().map(|m| (m.key.clone(), self.attr(&m.value))).collect()),
        };
        Attr { span: node.span, datum }
    }

    fn number(&mut self, node: &Node, text: &str) -> Datum {
        if let Some(number) = Exact::parse(text) {
            return Datum::Number(number);
        }
        let shown: String = text.chars().take(40).collect();
        let diagnostic = Diagnostic::new(Code::Overflow, format!("the number {shown} is beyond what is computed with"))
            .at(node.span, "exact fractions of 128-bit integers");
        self.diagnostics.push(diagnostic);
        Datum::Invalid
    }

    fn template(&mut self, node: &Node, text: &Text) -> Datum {
        if !looks_like_template(&text.value) {
            return Datum::Text(text.value.clone());
        }
        let parsed = match self.templates.get(&text.value) {
            Some(expr) => expr.clone(),
            None => match crate::syntax::expr::parse(&text.value, Syntax::Template) {
                Ok(expr) => {
                    let expr = Arc::new(expr);
                    self.templates.insert(text.value.clone(), expr.clone());
                    expr
                }
                Err(error) => {
                    self.syntax_error(error, node.span, text.plain);
                    return Datum::Invalid;
                }
            },
        };
        Datum::Template(Template { text: text.value.clone(), plain: text.plain, expr: parsed })
    }

    fn variables(&mut self, node: &Node, what: &str, names: bool) -> Vec<Variable> {
        let members = self.members(node, what);
        if !matches!(node.json, Json::Object(_)) {
            let unread = Attr { span: node.span, datum: Datum::Invalid };
            return vec![Variable { name: Spanned::new(UNREAD.into(), node.span), value: unread }];
        }
        let mut variables = Vec::with_capacity(members.len());
        variables.extend(members.iter().filter_map(|member| {
            if names {
                self.variable_name(&member.key, member.key_span)?;
            }
            Some(Variable { name: Spanned::new(member.key.clone(), member.key_span), value: self.attr(&member.value) })
        }));
        variables
    }

    fn variable_name(&mut self, name: &str, span: Span) -> Option<()> {
        if is_name(name) && !is_reserved(name) {
            return Some(());
        }
        let diagnostic = Diagnostic::new(Code::InvalidName, format!("`{name}` can't be a variable's name"))
            .at(span, "a letter or `_`, then letters, digits and `_`");
        self.diagnostics.push(diagnostic);
        None
    }

    fn layers(&mut self, node: &Node, top: bool) -> Vec<Layer> {
        let items = self.list(node, "a list of layers");
        let alone = items.len() == 1 && !top;
        let before = self.layers;
        self.layers += items.len();
        if self.layers > MOST_WRITTEN {
            if let (true, Some(first)) = (before <= MOST_WRITTEN, items.get(MOST_WRITTEN - before)) {
                let message = format!("more than {MOST_WRITTEN} layers are written out");
                let diagnostic = Diagnostic::new(Code::ModelTooLarge, message).at(first.span.part(0..1), "one too many");
                self.diagnostics.push(diagnostic.help("layers that repeat are said once, with `repeat`"));
            }
            return Vec::new();
        }
        // As many as there are, where all can be read: they are large, and may be very many.
        let mut layers = Vec::with_capacity(items.len());
        layers.extend(items.iter().filter_map(|item| self.layer(item, alone)));
        layers
    }

    fn layer(&mut self, node: &Node, alone: bool) -> Option<Layer> {
        let f = fields(node, "a layer", LAYER_KEYS, &[], self.diagnostics)?;
        let body = self.body(&f);
        let layer = Layer {
            span: node.span,
            name: f.get("name").map(|n| self.layer_name(n)),
            inline: f.get("inline").is_some_and(|n| self.flag(n, "`inline`")),
            class: f.get("class").and_then(|n| self.text_field(n, "`class`")),
            role: f.get("role").and_then(|n| self.text(n, "`role`")).map(Box::new),
            of_head: false,
            body,
            repeat: f.get("repeat").map(|n| Box::new(self.attr(n))),
            parallel: f.get("parallel").is_some_and(|n| self.flag(n, "`parallel`")),
            index: f.get("index").and_then(|n| self.index(n)).map(Box::new),
            calls: f.get("calls").map(|n| Box::new(self.attr(n))),
            when: f.get("when").map(|n| Box::new(self.attr(n))),
            variables: f.get("variables").map(|n| self.variables(n, "`variables`", true)).unwrap_or_default(),
            parameters: f.get("parameters").map(|n| self.variables(n, "`parameters`", false)).unwrap_or_default(),
            weights: f.get("weights").map(|n| self.weights(n)),
            inputs: f.get("inputs").map(|n| self.inputs(n)),
            output: f.get("output").and_then(|n| self.text_field(n, "`output`")).map(Box::new),
            hold: f.get("hold").and_then(|n| self.hold(n)).map(Box::new),
            no_grad: f.get("no_grad").is_some_and(|n| self.flag(n, "`no_grad`")),
            tied_to: f.get("tied_to").and_then(|n| self.tie(n)).map(Box::new),
        };
        self.complete(node, &f, &layer, alone);
        Some(layer)
    }

    fn body(&mut self, f: &Fields<'_>) -> Body {
        match (f.get("sub_layers"), f.get("use")) {
            (Some(layers), None) => Body::Composite(self.layers(layers, false)),
            (None, Some(block)) => {
                self.text_field(block, "`use`").map_or(Body::Composite(Vec::new()), |name| Body::Use(Box::new(name)))
            }
            (None, None) => Body::Basic,
            (Some(layers), Some(block)) => {
                let key = |name: &str, node: &Node| f.iter().find(|m| &*m.key == name).map_or(node.span, |m| m.key_span);
                let diagnostic = Diagnostic::new(Code::ConflictingKeys, "a layer has both `sub_layers` and `use`")
                    .at(key("use", block), "a block's layers")
                    .also(key("sub_layers", layers), "layers of its own")
                    .help("leave out one of the two");
                self.diagnostics.push(diagnostic);
                Body::Composite(self.layers(layers, false))
            }
        }
    }

    /// What a layer's keys ask of each other.
    fn complete(&mut self, node: &Node, f: &Fields<'_>, layer: &Layer, alone: bool) {
        let place = node.span.part(0..1);
        let basic = matches!(layer.body, Body::Basic);
        if basic && f.get("class").is_none() && f.get("name").is_none() && !alone {
            let diagnostic = Diagnostic::new(Code::MissingKey, "a basic layer has neither `name` nor `class`")
                .at(place, "this object lacks `name`, `class`")
                .help("a basic layer's class has its formulas; a composite has `sub_layers` or `use` instead");
            self.diagnostics.push(diagnostic);
        } else if basic && f.get("class").is_none() {
            let diagnostic = Diagnostic::new(Code::MissingKey, "a basic layer has no `class`")
                .at(place, "this object lacks `class`")
                .help("a basic layer's class has its formulas; a composite has `sub_layers` or `use` instead");
            self.diagnostics.push(diagnostic);
        } else if basic && f.get("name").is_none() && !alone {
            let diagnostic = Diagnostic::new(Code::MissingKey, "a basic layer has no `name`")
                .at(place, "this object lacks `name`")
                .help("only a layer that is alone in its composite may go without: it takes the composite's path");
            self.diagnostics.push(diagnostic);
        }
        let misplaced: &[(&str, bool, &str)] = &[
            ("parameters", !basic, "a composite has no parameters; pass values down as `variables`"),
            ("inline", basic, "only a composite can be inline"),
            ("output", basic, "only a composite says which child's value it returns"),
            ("index", layer.repeat.is_none(), "there is no index without `repeat`"),
            ("parallel", layer.repeat.is_none(), "there is nothing to run in parallel without `repeat`"),
        ];
        for (key, wrong, why) in misplaced {
            if let (true, Some(member)) = (*wrong, f.iter().find(|member| &*member.key == *key)) {
                let diagnostic = Diagnostic::new(Code::ConflictingKeys, format!("`{key}` doesn't belong into this layer"))
                    .at(member.key_span, *why);
                self.diagnostics.push(diagnostic);
            }
        }
    }

    fn layer_name(&mut self, node: &Node) -> TextField {
        let Some(field) = self.text_field(node, "a layer's `name`") else {
            // It has a name, though not one that can be read: a name of its own keeps others from stumbling over that.
            let stand_in: Arc<str> = format!("?{}", node.span.start).into();
            let pieces = Interpolated::of_literal(stand_in.clone());
            return TextField { span: node.span, text: stand_in, plain: false, pieces };
        };
        if let Some(problem) = field.pieces.literal().and_then(|name| name_problem(name)) {
            let diagnostic = Diagnostic::new(Code::InvalidName, format!("`{}` can't be a layer's name: {problem}", field.text))
                .at(node.span, "a path segment");
            self.diagnostics.push(diagnostic);
        }
        field
    }

    fn index(&mut self, node: &Node) -> Option<Spanned<Arc<str>>> {
        let name = self.text(node, "`index`")?;
        self.variable_name(&name.value, name.span)?;
        Some(name)
    }

    fn weights(&mut self, node: &Node) -> Vec<Weight> {
        let members = self.members(node, "`weights`");
        members.iter().filter_map(|member| self.weight(member)).collect()
    }

    fn weight(&mut self, member: &Member) -> Option<Weight> {
        let name = Spanned::new(member.key.clone(), member.key_span);
        if let Json::List(_) = member.value.json {
            return Some(Weight { name, shape: self.shape(&member.value), when: None, float32: false });
        }
        if !matches!(member.value.json, Json::Object(_)) {
            let diagnostic = wrong_type(&member.value, "a weight", "a shape (a list), or an object with `shape` and `when`");
            self.diagnostics.push(diagnostic);
            return None;
        }
        let f = fields(&member.value, "a weight", WEIGHT_KEYS, &[], self.diagnostics)?;
        Some(Weight {
            name,
            shape: f.get("shape").map(|n| self.shape(n)).unwrap_or_default(),
            when: f.get("when").map(|n| self.attr(n)),
            float32: f.get("dtype").is_some_and(|n| self.kept_dtype(n)),
        })
    }

    /// Whether a weight says that it stays in float32; it can't say more of its dtype.
    fn kept_dtype(&mut self, node: &Node) -> bool {
        let Some(dtype) = self.text(node, "a weight's `dtype`") else { return false };
        let known = *dtype.value == *KEPT_DTYPE;
        if !known {
            let message = format!("a weight's `dtype` can't be `{}`", dtype.value);
            let help = format!("`{KEPT_DTYPE}` keeps it so; the dtype of all others is the checkpoint's, or --weight-dtype's");
            self.diagnostics.push(Diagnostic::new(Code::WrongType, message).at(node.span, "only `float32`").help(help));
        }
        known
    }

    /// The dimensions of a tensor: PyTorch has as many at most.
    fn shape(&mut self, node: &Node) -> Vec<Attr> {
        const MOST_DIMS: usize = 64;
        let items = self.list(node, "a shape");
        if items.len() > MOST_DIMS {
            let message = format!("a tensor has at most {MOST_DIMS} dimensions, not {}", items.len());
            self.diagnostics.push(Diagnostic::new(Code::ExpressionTooLarge, message).at(node.span.part(0..1), "too many"));
            return Vec::new();
        }
        items.iter().map(|item| self.attr(item)).collect()
    }

    fn inputs(&mut self, node: &Node) -> Vec<TextField> {
        let items = self.list(node, "`inputs`");
        items.iter().filter_map(|item| self.text_field(item, "an input")).collect()
    }

    fn tie(&mut self, node: &Node) -> Option<Tie> {
        if let Json::Text(_) = node.json {
            let field = self.text_field(node, "`tied_to`")?;
            return Some(Tie { span: node.span, target: TieTarget::Layer(field), when: None });
        }
        if !matches!(node.json, Json::Object(_)) {
            self.diagnostics.push(wrong_type(node, "`tied_to`", "a path, or an object with `layer` or `weights`"));
            return None;
        }
        let f = fields(node, "`tied_to`", TIE_KEYS, &[], self.diagnostics)?;
        let when = f.get("when").map(|n| self.attr(n));
        let target = match (f.get("layer"), f.get("weights")) {
            (Some(layer), None) => TieTarget::Layer(self.text_field(layer, "the tied layer")?),
            (None, Some(weights)) => {
                let members = self.members(weights, "tied `weights`");
                let ties = members.iter().filter_map(|m| {
                    let path = self.text_field(&m.value, "a tied weight")?;
                    Some((Spanned::new(m.key.clone(), m.key_span), path))
                });
                TieTarget::Weights(ties.collect())
            }
            (None, None) => {
                let diagnostic = Diagnostic::new(Code::MissingKey, "`tied_to` names neither a `layer` nor `weights`")
                    .at(node.span, "tied to what?");
                self.diagnostics.push(diagnostic);
                return None;
            }
            (Some(_), Some(_)) => {
                let diagnostic = Diagnostic::new(Code::ConflictingKeys, "`tied_to` has both `layer` and `weights`")
                    .at(node.span, "leave out one of the two");
                self.diagnostics.push(diagnostic);
                return None;
            }
        };
        Some(Tie { span: node.span, target, when })
    }

    fn model_inputs(&mut self, node: &Node) -> Vec<ModelInput> {
        let members = self.members(node, "the model's `inputs`");
        members.iter().filter_map(|member| self.model_input(member)).collect()
    }

    fn model_input(&mut self, member: &Member) -> Option<ModelInput> {
        self.variable_name(&member.key, member.key_span)?;
        let f = fields(&member.value, "a model input", INPUT_KEYS, &[], self.diagnostics)?;
        let dtype = match f.get("dtype") {
            None => Spanned::new("activation".into(), member.key_span),
            Some(node) => self.text(node, "`dtype`")?,
        };
        const DTYPES: [&str; 5] = ["activation", "index", "int64", "float32", "bool"];
        if !DTYPES.contains(&&*dtype.value) {
            let diagnostic = Diagnostic::new(Code::WrongType, format!("`{}` is no dtype of an input", dtype.value))
                .at(dtype.span, format!("expected one of {}", DTYPES.join(", ")));
            self.diagnostics.push(diagnostic);
        }
        Some(ModelInput {
            name: Spanned::new(member.key.clone(), member.key_span),
            shape: f.get("shape").map(|n| self.shape(n)).unwrap_or_default(),
            dtype,
        })
    }

    fn classes(&mut self, node: &Node) -> Vec<(Spanned<Arc<str>>, Node)> {
        let members = self.members(node, "`classes`");
        members.iter().map(|m| (Spanned::new(m.key.clone(), m.key_span), m.value.clone())).collect()
    }

    fn blocks(&mut self, node: &Node) -> Vec<Block> {
        let members = self.members(node, "`blocks`");
        members.iter().filter_map(|member| self.block(member)).collect()
    }

    fn block(&mut self, member: &Member) -> Option<Block> {
        self.block_of(Spanned::new(member.key.clone(), member.key_span), &member.value)
    }

    fn block_of(&mut self, name: Spanned<Arc<str>>, node: &Node) -> Option<Block> {
        let f = fields(node, "a block", BLOCK_KEYS, &[], self.diagnostics)?;
        let reads = f.get("reads").map(|n| self.list(n, "`reads`")).unwrap_or_default();
        Some(Block {
            name,
            doc: f.get("doc").and_then(|n| self.text(n, "`doc`")).map(|t| t.value),
            role: f.get("role").and_then(|n| self.text(n, "`role`")),
            takes: f.get("takes").map(|n| self.takes(n)).unwrap_or_default(),
            variables: f.get("variables").map(|n| self.variables(n, "`variables`", true)).unwrap_or_default(),
            reads: reads.iter().filter_map(|n| self.text(n, "a value that is read")).collect(),
            layers: f.get("layers").map(|n| self.layers(n, false)).unwrap_or_default(),
        })
    }

    fn takes(&mut self, node: &Node) -> Vec<Take> {
        self.variables(node, "`takes`", true)
            .into_iter()
            .map(|variable| {
                let required = matches!(&variable.value.datum, Datum::Text(text) if &**text == REQUIRED);
                Take { name: variable.name, default: (!required).then_some(variable.value) }
            })
            .collect()
    }

    fn expect(&mut self, node: &Node) -> Option<Expect> {
        let stated = if let Json::Object(members) = &node.json { members.as_slice() } else { &[] };
        let needs_workload = |member: &&Member| total(&member.key).is_some_and(|info| info.stated == Stated::AtWorkload);
        for member in stated.iter().filter(needs_workload) {
            let diagnostic = Diagnostic::new(Code::UnknownKey, format!("`{}` depends on the workload", member.key))
                .at(member.key_span, "true at which workload?")
                .help(format!("\"points\": [ {{ \"workload\": {{ \"seq_len\": ... }}, \"{}\": ... }} ]", member.key));
            self.diagnostics.push(diagnostic);
        }
        let [free, all] = [false, true].map(|at_workload| facts(at_workload).map(|info| info.name).collect::<Vec<_>>());
        let f = fields(node, "`expect`", EXPECT_KEYS, &free, self.diagnostics)?;
        let mut points = Vec::new();
        for item in f.get("points").map(|n| self.list(n, "`points`")).unwrap_or_default() {
            if let Some(p) = fields(item, "a point of `expect`", POINT_KEYS, &all, self.diagnostics) {
                let workload = p.get("workload").map(|n| self.variables(n, "`workload`", true)).unwrap_or_default();
                points.push(Point { workload, facts: self.facts(&p) });
            }
        }
        Some(Expect { facts: self.facts(&f), points })
    }

    fn facts(&mut self, f: &Fields<'_>) -> Vec<Fact> {
        let stated = |member: &'_ Member| total(&member.key).filter(|info| info.stated != Stated::Nowhere);
        f.iter()
            .filter_map(|member| Some((member, stated(member)?)))
            .filter_map(|(member, info)| {
                let count = match &member.value.json {
                    Json::Number(text) => text.parse::<u128>().ok(),
                    _ => None,
                };
                if count.is_none() {
                    self.diagnostics.push(wrong_type(
                        &member.value,
                        &format!("the expected `{}`", member.key),
                        "a non-negative integer",
                    ));
                }
                let quantity = Spanned::new(info.quantity, member.key_span);
                Some(Fact { quantity, value: Spanned::new(count?, member.value.span) })
            })
            .collect()
    }
}

/// Why a text can't be a path segment, if it can't.
#[must_use]
pub fn name_problem(name: &str) -> Option<&'static str> {
    const LONGEST: usize = 200;
    let member = list_member(name);
    // A list may be said by its path.
    let is_path = member.is_some_and(|(list, _)| list.split('.').all(|part| !part.is_empty()));
    let segment = member.map_or(name, |(list, _)| list);
    if segment.is_empty() {
        Some("it is empty")
    } else if segment.contains('.') && !is_path {
        Some("it has a dot, which separates the segments of a path")
    } else if name.chars().any(char::is_control) {
        Some("it has a control character")
    } else if name.chars().count() > LONGEST {
        Some("it has more than 200 characters")
    } else {
        None
    }
}

/// The list and the number of a name that says its place in a list of modules: `blocks` and 3 of `blocks.3`, `model.layers` and 61 of
/// `model.layers.61`.
#[must_use]
pub fn list_member(name: &str) -> Option<(&str, u64)> {
    let (list, number) = name.rsplit_once('.')?;
    let canonical = number.bytes().all(|byte| byte.is_ascii_digit()) && (number.len() == 1 || !number.starts_with('0'));
    Some((list, number.parse().ok().filter(|_| canonical)?))
}
