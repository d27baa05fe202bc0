//! A layer class: parameters, weights, formulas (docs/classes.md says what each key means).
//!
//! JSON comes in, a [`Class`] goes out whose formulas have their names resolved to [`Slot`]s; `cost` evaluates them. A catalog file and a
//! model's own `classes` go through the same door.

use std::sync::Arc;

use super::role::{Fact, Role};
use super::values;
use crate::quantity::workload::{CONVENTIONS, VARIABLES};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::expr::{EvalError, Exact, Expr, Name, Syntax, Value, is_name, is_reserved};
use crate::syntax::json::{Json, Member, Node};
use crate::syntax::source::{Span, Spanned};
use crate::syntax::spec::{Fields, Key, KeyKind, fields, name_part, syntax_error};

/// What a name in a formula stands for: an index into workload variables and conventions, then parameters, then variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(pub u16);

/// The slot of a workload variable or convention.
#[must_use]
pub fn builtin_slot(name: &str) -> Option<usize> {
    VARIABLES.iter().chain(CONVENTIONS).position(|(n, _)| *n == name)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassKind {
    /// It is in `named_modules()`.
    Module,
    /// It is not: attention itself, a residual add.
    Function,
}

impl ClassKind {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            ClassKind::Module => "module",
            ClassKind::Function => "function",
        }
    }
}

#[derive(Debug)]
pub struct Class {
    pub name: Arc<str>,
    pub aliases: Vec<Arc<str>>,
    pub kind: ClassKind,
    /// What its layers are to a reader.
    pub role: Option<Role>,
    /// What is known of them by that role.
    pub facts: Vec<(Fact, Formula)>,
    pub doc: Arc<str>,
    pub source: Arc<str>,
    pub parameters: Vec<Parameter>,
    pub variables: Vec<(Arc<str>, Formula)>,
    /// What must hold, and what to say when it doesn't.
    pub require: Vec<(Formula, Arc<str>)>,
    pub weights: Vec<WeightDef>,
    pub inputs: Vec<ValueDef>,
    pub outputs: Vec<ValueDef>,
    pub flops: FlopFormulas,
    pub backward: Option<FlopFormulas>,
    /// Those of the weights that methods for linear layers quantize.
    pub quantized: Vec<Arc<str>>,
    /// How many of the weights' elements a token uses; left out: all.
    pub active_params: Option<Formula>,
    pub weights_read: Option<Formula>,
    pub activations_read: Option<Formula>,
    pub cache_read: Option<Formula>,
    pub activations_written: Option<Formula>,
    pub cache_written: Option<Formula>,
    pub cache: Option<Formula>,
    /// Bytes of the cache's storage before the step, which this layer frees.
    pub past: Option<Formula>,
    /// The most bytes it holds at once while it runs, outputs included, inputs not.
    pub workspace: Option<Formula>,
    /// What the backward pass needs kept; `None`: it isn't known.
    pub saves: Option<Vec<SaveDef>>,
    pub derivation: Vec<Arc<str>>,
    pub examples: Vec<Example>,
    /// The slot of `tokens`, the product of leading dimensions, if some shape has any.
    pub tokens: Option<Slot>,
    pub span: Span,
}

impl Class {
    /// The class's full name that an alias without a pattern is short for: the one that stands before it.
    #[must_use]
    pub fn full_name(&self, alias: &str) -> Option<&Arc<str>> {
        let at = self.aliases.iter().position(|known| &**known == alias)?;
        let full = |name: &&Arc<str>| name.matches('.').count() > 1;
        self.aliases.iter().take(at).rev().find(full).or(Some(&self.name))
    }

    /// What the table of its role calls the class by this full name, else the class by any: `silu` of an alias `ACT2FN.silu`.
    #[must_use]
    pub fn table_name(&self, full_name: &Arc<str>) -> Option<&str> {
        let table = self.role?.table()?;
        let known = self.aliases.iter().filter_map(|alias| Some((alias, alias.strip_prefix(table)?.strip_prefix('.')?)));
        let mut fitting = known.clone().filter(|(alias, _)| self.full_name(alias) == Some(full_name));
        fitting.next().or_else(|| known.into_iter().next()).map(|(_, short)| short)
    }
}

/// A text whose names are resolved.
#[derive(Debug, Clone)]
pub struct Formula {
    pub span: Span,
    /// As it is written.
    pub text: Arc<str>,
    pub expr: Expr<Slot>,
}

#[derive(Debug)]
pub struct Parameter {
    pub name: Arc<str>,
    pub kind: ParameterKind,
    pub default: Option<Formula>,
    /// Whether null is a value: the default is.
    pub nullable: bool,
    /// The texts allowed, all if empty.
    pub values: Vec<Arc<str>>,
    pub doc: Arc<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    Count,
    Ratio,
    Flag,
    Text,
    Shape,
}

impl ParameterKind {
    const ALL: [(ParameterKind, &'static str, &'static str); 5] = [
        (ParameterKind::Count, "count", "a non-negative integer"),
        (ParameterKind::Ratio, "ratio", "a number"),
        (ParameterKind::Flag, "flag", "true or false"),
        (ParameterKind::Text, "text", "a text"),
        (ParameterKind::Shape, "shape", "a list of non-negative integers"),
    ];

    /// As class files spell it.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, word, _)| word)
    }

    /// What is expected, in words.
    #[must_use]
    pub fn expected(self) -> &'static str {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(.., words)| words)
    }
}

#[derive(Debug)]
pub struct WeightDef {
    pub name: Arc<str>,
    pub shape: ShapeDef,
    pub when: Option<Formula>,
}

/// An input or an output.
#[derive(Debug)]
pub struct ValueDef {
    pub name: Arc<str>,
    pub shape: ShapeDef,
    pub element: ElementDef,
    /// Whether it shares the storage of the input of its name, else of the first.
    pub view: Option<Formula>,
    pub when: Option<Formula>,
    /// Whether an input's dimensions of size 1 stretch to those of the first input.
    pub broadcast: bool,
    /// Whether an input may be left out though it would exist.
    pub optional: bool,
    /// Whether an output stays when the model has returned, as a cache does.
    pub persistent: Option<Formula>,
    /// How many enclosing composites an output outlives its readers in.
    pub hold: u16,
}

/// An element type, or the formula that gives its word.
#[derive(Debug)]
pub enum ElementDef {
    Fixed(Element),
    Formula(Formula),
}

/// What the backward pass needs kept.
#[derive(Debug)]
pub enum SaveDef {
    /// An input or output, by name.
    Value { name: Arc<str>, when: Option<Formula> },
    /// A tensor of its own.
    Tensor(Box<ValueDef>),
}

/// The element type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    Activation,
    /// A cached key or value.
    Cache,
    Index,
    Float32,
    Bool,
}

impl Element {
    const WORDS: [(Element, &'static str); 6] = [
        (Element::Activation, "activation"),
        (Element::Cache, "cache"),
        (Element::Index, "index"),
        (Element::Index, "int64"),
        (Element::Float32, "float32"),
        (Element::Bool, "bool"),
    ];

    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, w)| *w == word).map(|(element, _)| *element)
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(element, _)| *element == self).map_or("", |(_, word)| word)
    }
}

#[derive(Debug)]
pub enum ShapeDef {
    Dims(Vec<Dim>),
    /// A formula that gives a list.
    List(Formula),
}

#[derive(Debug)]
pub enum Dim {
    /// `...`: any leading dimensions, whose product is `tokens`.
    Leading,
    Size(Formula),
}

#[derive(Debug)]
pub struct FlopFormulas {
    pub matmul: Formula,
    pub vector: Formula,
    pub transcendental: Formula,
}

/// A worked example: what goes in, what must come out.
#[derive(Debug)]
pub struct Example {
    pub doc: Arc<str>,
    pub parameters: Vec<(Arc<str>, Value)>,
    /// Workload options by name: `phase`, `batch_size`, `dtype`, ...
    pub workload: Vec<(Arc<str>, Value)>,
    pub expect: Vec<(Arc<str>, u128)>,
    pub source: Arc<str>,
}

const fn key(name: &'static str, kind: KeyKind, required: bool, doc: &'static str) -> Key {
    Key { name, required, kind, doc }
}

pub const CLASS_KEYS: &[Key] = &[
    key("class", KeyKind::Text, false, "the full name (in a model file: the key)"),
    key("aliases", KeyKind::Text, false, "other names, and patterns over the last segment"),
    key("kind", KeyKind::Text, true, "module (PyTorch lists it in named_modules()) or function"),
    key("role", KeyKind::Role, false, "what its layers are to a reader: norm, attention, experts, ... (docs/roles.md)"),
    key("facts", KeyKind::Variables, false, "what is known of them by that role: heads, experts, ..., each a formula"),
    key("doc", KeyKind::Text, true, "what it computes"),
    key("source", KeyKind::Text, true, "where that is written down"),
    key("parameters", KeyKind::Variables, false, "what a layer of this class says"),
    key("variables", KeyKind::Variables, false, "names for parts of formulas"),
    key("require", KeyKind::Variables, false, "what must hold of the parameters, each with its message"),
    key("weights", KeyKind::Weights, false, "the tensors that it owns"),
    key("quantized", KeyKind::Texts, false, "those of its weights that methods for linear layers quantize"),
    key("active_params", KeyKind::Count, false, "how many of their elements a token uses, where that isn't all"),
    key("inputs", KeyKind::Variables, false, "the values that it reads"),
    key("output", KeyKind::Variables, false, "the value that it gives"),
    key("outputs", KeyKind::Variables, false, "the values that it gives, if there are several"),
    key("flops", KeyKind::Variables, true, "forward: matmul, vector, transcendental"),
    key("backward", KeyKind::Variables, false, "the same for the backward pass"),
    key("reads", KeyKind::Variables, false, "bytes read: weights, activations, cache"),
    key("writes", KeyKind::Variables, false, "bytes written: activations, cache"),
    key("cache", KeyKind::Count, false, "bytes that stay between steps"),
    key("past", KeyKind::Count, false, "bytes of the cache's storage before the step, which this layer frees"),
    key("workspace", KeyKind::Count, false, "the most bytes held at once while it runs, outputs included, inputs not"),
    key("saves", KeyKind::Variables, false, "what the backward pass needs kept: names of inputs and outputs, and tensors"),
    key("derivation", KeyKind::Text, false, "how the formulas come about"),
    key("examples", KeyKind::Text, false, "worked examples, checked exactly"),
];

const PARAMETER_KEYS: &[Key] = &[
    key("kind", KeyKind::Text, true, "count, ratio, flag, text or shape"),
    key("doc", KeyKind::Text, true, "what it is, with its unit"),
    key("default", KeyKind::Count, false, "a formula; left out: the parameter is required"),
    key("values", KeyKind::Text, false, "the texts allowed"),
];

const VALUE_KEYS: &[Key] = &[
    key("shape", KeyKind::Shape, false, "its shape"),
    key("name", KeyKind::Text, false, "of a tensor in `saves`: what it is"),
    key("value", KeyKind::Text, false, "in `saves`: the input or output that is kept"),
    key("dtype", KeyKind::Text, false, "activation, cache, index, float32 or bool, or a formula that gives one of them"),
    key("broadcast", KeyKind::Flag, false, "of an input: dimensions of size 1 stretch to those of the first input"),
    key("optional", KeyKind::Flag, false, "of an input: whether it may be left out though it would exist"),
    key("persistent", KeyKind::Condition, false, "of an output: whether it stays when the model has returned, as a cache does"),
    key("hold", KeyKind::Count, false, "of an output: how many enclosing composites hold it until they return"),
    key("view", KeyKind::Condition, false, "whether it shares its input's storage"),
    key("when", KeyKind::Condition, false, "whether it exists"),
];

const FLOP_KEYS: &[Key] = &[
    key("matmul", KeyKind::Count, true, "2 m n k a matrix product"),
    key("vector", KeyKind::Count, true, "1 an elementwise operation"),
    key("transcendental", KeyKind::Count, true, "1 an exp, sqrt, ..."),
];

const READ_KEYS: &[Key] = &[
    key("weights", KeyKind::Count, false, "bytes of weights"),
    key("activations", KeyKind::Count, false, "bytes of inputs"),
    key("cache", KeyKind::Count, false, "bytes of cache"),
];

const WRITE_KEYS: &[Key] =
    &[key("activations", KeyKind::Count, false, "bytes of outputs"), key("cache", KeyKind::Count, false, "bytes of cache")];

const EXAMPLE_KEYS: &[Key] = &[
    key("doc", KeyKind::Text, false, "what it is an example of"),
    key("parameters", KeyKind::Variables, true, "the parameters"),
    key("workload", KeyKind::Workload, false, "the workload"),
    key("expect", KeyKind::Variables, true, "what must come out"),
    key("source", KeyKind::Text, true, "who says so"),
];

/// More names than any class needs; bounds the search for circles.
const MAX_NAMES: usize = 256;

/// Reads a class definition; `name` is its key in a model file. `None` if it is unusable; what is wrong goes to `diagnostics`.
pub fn parse_class(name: Option<&Arc<str>>, node: &Node, diagnostics: &mut Diagnostics) -> Option<Class> {
    let f = fields(node, "a class", CLASS_KEYS, &[], diagnostics)?;
    let mut reader = Reader { diagnostics, names: Names::default() };
    let name = name.cloned().or_else(|| f.get("class").and_then(|n| reader.text(n)))?;
    let kind = f.get("kind").and_then(|n| reader.kind(n));
    let role = f.get("role").and_then(|n| reader.role(n));
    reader.names.parameters = member_names(f.get("parameters"));
    reader.names.variables = member_names(f.get("variables"));
    if reader.names.parameters.len() + reader.names.variables.len() > MAX_NAMES {
        let message = format!("the class has more than {MAX_NAMES} parameters and variables");
        reader.invalid(node.span.part(0..1), message, "too many");
        return None;
    }
    let parameters = reader.members(f.get("parameters"), |r, m| r.parameter(m));
    let variables = reader.members(f.get("variables"), |r, m| Some((m.key.clone(), r.formula(&m.value, None)?)));
    let outputs = match f.get("output") {
        Some(node) => reader.value("output".into(), node).into_iter().collect(),
        None => reader.members(f.get("outputs"), |r, m| r.value(m.key.clone(), &m.value)),
    };
    let reads = f.get("reads").and_then(|n| fields(n, "`reads`", READ_KEYS, &[], reader.diagnostics));
    let writes = f.get("writes").and_then(|n| fields(n, "`writes`", WRITE_KEYS, &[], reader.diagnostics));
    let flops = f.get("flops").and_then(|n| reader.flops(n, "`flops`"));
    let class = Class {
        aliases: reader.texts(f.get("aliases")),
        facts: reader.facts(f.get("facts"), role),
        role,
        doc: f.get("doc").and_then(|n| reader.text(n)).unwrap_or_default(),
        source: f.get("source").and_then(|n| reader.text(n)).unwrap_or_default(),
        require: reader.members(f.get("require"), Reader::requirement),
        weights: reader.members(f.get("weights"), Reader::weight),
        inputs: reader.members(f.get("inputs"), |r, m| r.value(m.key.clone(), &m.value)),
        outputs,
        backward: f.get("backward").and_then(|n| reader.flops(n, "`backward`")),
        quantized: reader.texts(f.get("quantized")),
        active_params: f.get("active_params").and_then(|n| reader.formula(n, None)),
        weights_read: reader.part(reads.as_ref(), "weights"),
        activations_read: reader.part(reads.as_ref(), "activations"),
        cache_read: reader.part(reads.as_ref(), "cache"),
        activations_written: reader.part(writes.as_ref(), "activations"),
        cache_written: reader.part(writes.as_ref(), "cache"),
        cache: f.get("cache").and_then(|n| reader.formula(n, None)),
        past: f.get("past").and_then(|n| reader.formula(n, None)),
        workspace: f.get("workspace").and_then(|n| reader.formula(n, None)),
        saves: f.get("saves").map(|n| reader.saves(n)),
        derivation: reader.texts(f.get("derivation")),
        examples: reader.examples(f.get("examples")),
        tokens: reader.names.slot("tokens", None),
        // Last, so that all that is wrong was said.
        kind: kind?,
        flops: flops?,
        parameters,
        variables,
        name,
        span: node.span.part(0..1),
    };
    reader.check_tokens(&class);
    reader.check_saves(&class);
    reader.check_cycles(&class);
    Some(class)
}

/// The names that formulas may use.
#[derive(Default)]
struct Names {
    parameters: Vec<Arc<str>>,
    variables: Vec<Arc<str>>,
}

impl Names {
    /// What a name stands for; `outside` is the parameter in whose own default it stands, where it means what it means outside.
    fn slot(&self, name: &str, outside: Option<&str>) -> Option<Slot> {
        let builtins = VARIABLES.len() + CONVENTIONS.len();
        let parameter = self.parameters.iter().position(|p| &**p == name).filter(|_| outside != Some(name));
        let variable = || self.variables.iter().position(|v| &**v == name).map(|i| builtins + self.parameters.len() + i);
        let index = parameter.map(|i| builtins + i).or_else(variable).or_else(|| builtin_slot(name))?;
        u16::try_from(index).ok().map(Slot)
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        let own = self.parameters.iter().chain(&self.variables).map(|n| &**n);
        own.chain(VARIABLES.iter().chain(CONVENTIONS).map(|(n, _)| *n))
    }
}

fn member_names(node: Option<&Node>) -> Vec<Arc<str>> {
    match node.map(|n| &n.json) {
        Some(Json::Object(members)) => members.iter().map(|m| m.key.clone()).collect(),
        _ => Vec::new(),
    }
}

struct Reader<'d> {
    diagnostics: &'d mut Diagnostics,
    names: Names,
}

impl Reader<'_> {
    fn wrong(&mut self, node: &Node, expected: &str) {
        values::wrong(node, expected, self.diagnostics);
    }

    fn invalid(&mut self, span: Span, message: impl Into<String>, label: impl Into<String>) {
        self.diagnostics.push(Diagnostic::new(Code::InvalidClass, message).at(span, label));
    }

    fn text(&mut self, node: &Node) -> Option<Arc<str>> {
        values::text(node, self.diagnostics)
    }

    fn texts(&mut self, node: Option<&Node>) -> Vec<Arc<str>> {
        values::texts(node, self.diagnostics)
    }

    fn members<T>(&mut self, node: Option<&Node>, mut read: impl FnMut(&mut Self, &Member) -> Option<T>) -> Vec<T> {
        match node.map(|n| (&n.json, n)) {
            Some((Json::Object(members), _)) => members.iter().filter_map(|m| read(self, m)).collect(),
            Some((_, node)) => {
                self.wrong(node, "an object");
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn kind(&mut self, node: &Node) -> Option<ClassKind> {
        match &*self.text(node)? {
            "module" => Some(ClassKind::Module),
            "function" => Some(ClassKind::Function),
            other => {
                self.invalid(node.span, format!("`{other}` is no kind of class"), "`module` or `function`");
                None
            }
        }
    }

    fn role(&mut self, node: &Node) -> Option<Role> {
        let said = Spanned::new(self.text(node)?, node.span);
        Role::read(&said, self.diagnostics)
    }

    /// Each of them one that the role has; of an unknown role any.
    fn facts(&mut self, node: Option<&Node>, role: Option<Role>) -> Vec<(Fact, Formula)> {
        let known = role.map_or(Fact::ALL, Role::facts);
        self.members(node, |r, m| match Fact::from_word(&m.key).filter(|fact| known.contains(fact)) {
            Some(fact) => Some((fact, r.formula(&m.value, None)?)),
            None => {
                r.unknown_fact(m, role, known);
                None
            }
        })
    }

    fn unknown_fact(&mut self, member: &Member, role: Option<Role>, known: &[Fact]) {
        let of = role.map_or_else(|| "a class".to_owned(), |role| format!("`{}`", role.word()));
        let words: Vec<&str> = known.iter().map(|fact| fact.word()).collect();
        let label = if words.is_empty() { "it has none".to_owned() } else { format!("one of {}", words.join(", ")) };
        let diagnostic = Diagnostic::new(Code::InvalidClass, format!("`{}` is no fact of {of}", member.key))
            .at(member.key_span, label)
            .did_you_mean(member.key_span.inside(), nearest(&member.key, words.iter().copied()));
        self.diagnostics.push(diagnostic);
    }

    fn parameter(&mut self, member: &Member) -> Option<Parameter> {
        if !is_name(&member.key) || is_reserved(&member.key) {
            self.invalid(member.key_span, format!("`{}` can't be a parameter's name", member.key), "not a name");
            return None;
        }
        let f = fields(&member.value, "a parameter", PARAMETER_KEYS, &[], self.diagnostics)?;
        let kind_node = f.get("kind")?;
        let word = self.text(kind_node)?;
        let kind = ParameterKind::ALL.iter().find(|(_, w, _)| **w == *word).map(|(kind, ..)| *kind);
        if kind.is_none() {
            let words: Vec<&str> = ParameterKind::ALL.iter().map(|(_, w, _)| *w).collect();
            self.invalid(kind_node.span, format!("`{word}` is no kind of parameter"), format!("one of {}", words.join(", ")));
        }
        let default = f.get("default").and_then(|n| self.formula(n, Some(&member.key)));
        Some(Parameter {
            name: member.key.clone(),
            kind: kind?,
            nullable: default.as_ref().is_some_and(|d| d.expr == Expr::Const(Value::Null)),
            default,
            values: self.texts(f.get("values")),
            doc: f.get("doc").and_then(|n| self.text(n)).unwrap_or_default(),
        })
    }

    fn part(&mut self, fields: Option<&Fields<'_>>, name: &str) -> Option<Formula> {
        fields.and_then(|f| f.get(name)).and_then(|n| self.formula(n, None))
    }

    fn formula(&mut self, node: &Node, outside: Option<&str>) -> Option<Formula> {
        let constant = |value: Value| Some(Formula { span: node.span, text: value.to_string().into(), expr: Expr::Const(value) });
        match &node.json {
            Json::Null => constant(Value::Null),
            Json::Bool(value) => constant(Value::Bool(*value)),
            Json::Number(text) => match Exact::parse(text) {
                Some(number) => constant(Value::Number(number)),
                None => {
                    self.invalid(node.span, format!("the number {text} is beyond what is computed with"), "beyond 128 bits");
                    None
                }
            },
            Json::Text(text) => self.formula_text(&text.value, text.plain, node.span, outside),
            Json::List(items) => {
                let formulas: Vec<Formula> = items.iter().filter_map(|item| self.formula(item, outside)).collect();
                let values = formulas.into_iter().map(|f| if let Expr::Const(v) = f.expr { Some(v) } else { None });
                match values.collect::<Option<Vec<Value>>>() {
                    Some(values) if values.len() == items.len() => constant(Value::List(values.into())),
                    _ => {
                        self.wrong(node, "a formula, or a list of constants");
                        None
                    }
                }
            }
            Json::Object(_) => {
                self.wrong(node, "a formula");
                None
            }
        }
    }

    fn formula_text(&mut self, text: &Arc<str>, plain: bool, span: Span, outside: Option<&str>) -> Option<Formula> {
        let parsed = match crate::syntax::expr::parse(text, Syntax::Formula) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.diagnostics.push(syntax_error(error, span, plain));
                return None;
            }
        };
        let names = &self.names;
        let mut unknown: Vec<Name> = Vec::new();
        let resolved: Result<Expr<Slot>, EvalError> = parsed.try_map(&mut |name: &Name| {
            Ok(names.slot(&name.text, outside).unwrap_or_else(|| {
                unknown.push(name.clone());
                Slot(u16::MAX)
            }))
        });
        for name in &unknown {
            let span = name_part(span, plain, name);
            let near = nearest(&name.text, self.names.all());
            let diagnostic = Diagnostic::new(Code::UnknownVariable, format!("unknown name `{}` in a formula", name.text))
                .at(span, "neither a parameter, nor a variable of the class, nor of the workload")
                .did_you_mean(span, near);
            self.diagnostics.push(diagnostic);
        }
        if !unknown.is_empty() {
            return None;
        }
        Some(Formula { span, text: text.clone(), expr: resolved.ok()? })
    }

    fn requirement(&mut self, member: &Member) -> Option<(Formula, Arc<str>)> {
        let message = self.text(&member.value)?;
        Some((self.formula_text(&member.key, false, member.key_span, None)?, message))
    }

    fn shape(&mut self, node: &Node) -> Option<ShapeDef> {
        let Json::List(items) = &node.json else {
            return self.formula(node, None).map(ShapeDef::List);
        };
        let mut dims = Vec::with_capacity(items.len());
        for item in items {
            match &item.json {
                Json::Text(text) if &*text.value == "..." => dims.push(Dim::Leading),
                _ => dims.push(Dim::Size(self.formula(item, None)?)),
            }
        }
        Some(ShapeDef::Dims(dims))
    }

    fn weight(&mut self, member: &Member) -> Option<WeightDef> {
        let name = member.key.clone();
        if !matches!(member.value.json, Json::Object(_)) {
            return Some(WeightDef { name, shape: self.shape(&member.value)?, when: None });
        }
        let f = fields(&member.value, "a weight", crate::syntax::spec::WEIGHT_KEYS, &[], self.diagnostics)?;
        Some(WeightDef { name, shape: self.shape(f.get("shape")?)?, when: f.get("when").and_then(|n| self.formula(n, None)) })
    }

    fn value(&mut self, name: Arc<str>, node: &Node) -> Option<ValueDef> {
        if !matches!(node.json, Json::Object(_)) {
            return Some(ValueDef {
                name,
                shape: self.shape(node)?,
                element: ElementDef::Fixed(Element::Activation),
                view: None,
                when: None,
                broadcast: false,
                optional: false,
                persistent: None,
                hold: 0,
            });
        }
        let f = fields(node, "a value", VALUE_KEYS, &[], self.diagnostics)?;
        let Some(shape) = f.get("shape") else {
            self.invalid(node.span.part(0..1), format!("`{name}` has no `shape`"), "a value needs one");
            return None;
        };
        let element = match f.get("dtype") {
            None => ElementDef::Fixed(Element::Activation),
            Some(node) => self.element(node)?,
        };
        let hold = f.get("hold").and_then(plain_value).and_then(|v| v.as_number()).and_then(|n| n.to_count());
        Some(ValueDef {
            name,
            shape: self.shape(shape)?,
            element,
            view: f.get("view").and_then(|n| self.formula(n, None)),
            when: f.get("when").and_then(|n| self.formula(n, None)),
            broadcast: f.get("broadcast").is_some_and(|n| matches!(n.json, Json::Bool(true))),
            optional: f.get("optional").is_some_and(|n| matches!(n.json, Json::Bool(true))),
            persistent: f.get("persistent").and_then(|n| self.formula(n, None)),
            hold: hold.and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
        })
    }

    fn element(&mut self, node: &Node) -> Option<ElementDef> {
        let word = self.text(node)?;
        if let Some(element) = Element::from_word(&word) {
            return Some(ElementDef::Fixed(element));
        }
        if word.contains('(') {
            return self.formula(node, None).map(ElementDef::Formula);
        }
        self.invalid(node.span, format!("`{word}` is no dtype of a value"), "activation, cache, index, float32 or bool");
        None
    }

    fn saves(&mut self, node: &Node) -> Vec<SaveDef> {
        match &node.json {
            Json::List(items) => items.iter().filter_map(|item| self.save(item)).collect(),
            _ => {
                self.wrong(node, "a list of names and tensors");
                Vec::new()
            }
        }
    }

    fn save(&mut self, node: &Node) -> Option<SaveDef> {
        if let Json::Text(text) = &node.json {
            return Some(SaveDef::Value { name: text.value.clone(), when: None });
        }
        let f = fields(node, "what is saved", VALUE_KEYS, &[], self.diagnostics)?;
        if let Some(value) = f.get("value") {
            return Some(SaveDef::Value { name: self.text(value)?, when: f.get("when").and_then(|n| self.formula(n, None)) });
        }
        let name = f.get("name").and_then(|n| self.text(n)).unwrap_or_else(|| "tensor".into());
        self.value(name, node).map(Box::new).map(SaveDef::Tensor)
    }

    fn check_saves(&mut self, class: &Class) {
        for save in class.saves.iter().flatten() {
            if let SaveDef::Value { name, .. } = save
                && !class.inputs.iter().chain(&class.outputs).any(|value| value.name == *name)
            {
                self.invalid(class.span, format!("`{name}` in `saves` is neither an input nor an output"), "in this class");
            }
        }
    }

    fn flops(&mut self, node: &Node, what: &str) -> Option<FlopFormulas> {
        let f = fields(node, what, FLOP_KEYS, &[], self.diagnostics)?;
        let [matmul, vector, transcendental] =
            ["matmul", "vector", "transcendental"].map(|name| f.get(name).and_then(|n| self.formula(n, None)));
        Some(FlopFormulas { matmul: matmul?, vector: vector?, transcendental: transcendental? })
    }

    fn examples(&mut self, node: Option<&Node>) -> Vec<Example> {
        match node.map(|n| (&n.json, n)) {
            Some((Json::List(items), _)) => items.iter().filter_map(|item| self.example(item)).collect(),
            Some((_, node)) => {
                self.wrong(node, "a list");
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn example(&mut self, node: &Node) -> Option<Example> {
        let f = fields(node, "an example", EXAMPLE_KEYS, &[], self.diagnostics)?;
        let values = |r: &mut Self, node| r.members(node, |_, m| Some((m.key.clone(), plain_value(&m.value)?)));
        let expect = self.members(f.get("expect"), |r, m| {
            let count = plain_value(&m.value).and_then(|v| v.as_number()).and_then(|n| n.to_count());
            if count.is_none() {
                r.wrong(&m.value, "a non-negative integer");
            }
            Some((m.key.clone(), count?))
        });
        Some(Example {
            doc: f.get("doc").and_then(|n| self.text(n)).unwrap_or_default(),
            parameters: values(self, f.get("parameters")),
            workload: values(self, f.get("workload")),
            expect,
            source: f.get("source").and_then(|n| self.text(n)).unwrap_or_default(),
        })
    }

    /// `...` needs `tokens`, without which its size is unknown.
    fn check_tokens(&mut self, class: &Class) {
        let shapes = class.inputs.iter().chain(&class.outputs).map(|value| &value.shape);
        let leading = shapes.filter_map(|s| if let ShapeDef::Dims(dims) = s { Some(dims) } else { None }).flatten();
        if class.tokens.is_none() && leading.into_iter().any(|dim| matches!(dim, Dim::Leading)) {
            self.invalid(
                class.span,
                "a shape has `...`, but the class has no `tokens`",
                "`tokens` is the product of the leading dimensions",
            );
        }
    }

    /// Defaults and variables must not depend on each other in a circle.
    fn check_cycles(&mut self, class: &Class) {
        let first = VARIABLES.len() + CONVENTIONS.len();
        let defaults = class.parameters.iter().map(|p| p.default.as_ref());
        let definitions: Vec<Option<&Formula>> = defaults.chain(class.variables.iter().map(|(_, f)| Some(f))).collect();
        let mut state = vec![0u8; definitions.len()];
        for start in 0..definitions.len() {
            if let Some(span) = cycle(start, &definitions, first, &mut state) {
                let message = "parameters' defaults and variables depend on each other in a circle";
                self.diagnostics.push(Diagnostic::new(Code::CyclicVariables, message).at(span, "comes back to itself"));
                return;
            }
        }
    }
}

/// Depth-first search: 1 is on the way, 2 is done.
fn cycle(at: usize, definitions: &[Option<&Formula>], first: usize, state: &mut [u8]) -> Option<Span> {
    match state.get_mut(at) {
        Some(s @ 0) => *s = 1,
        Some(1) => return definitions.get(at).copied().flatten().map(|f| f.span),
        _ => return None,
    }
    // Collected first: the search must not stand on the stack of a walk through a formula.
    let mut uses: Vec<usize> = Vec::new();
    if let Some(formula) = definitions.get(at).copied().flatten() {
        formula.expr.for_each_variable(&mut |slot| uses.extend(usize::from(slot.0).checked_sub(first)));
    }
    let found = uses.into_iter().find_map(|next| cycle(next, definitions, first, state));
    if let Some(s) = state.get_mut(at) {
        *s = 2;
    }
    found
}

/// A JSON value as data.
fn plain_value(node: &Node) -> Option<Value> {
    Some(match &node.json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(text) => Value::Number(Exact::parse(text)?),
        Json::Text(text) => Value::Text(text.value.clone()),
        Json::List(items) => Value::List(items.iter().map(plain_value).collect::<Option<_>>()?),
        Json::Object(members) => {
            Value::Object(members.iter().map(|m| Some((m.key.clone(), plain_value(&m.value)?))).collect::<Option<_>>()?)
        }
    })
}

/// More dimensions than any tensor has.
const MAX_DIMS: usize = 1000;

/// A value as a parameter of this kind takes it: 0 and 1 are flags, a count is a shape of one dimension. `None` if it doesn't fit.
#[must_use]
pub fn check_parameter(parameter: &Parameter, value: &Value) -> Option<Value> {
    let is_count = |v: &Value| v.as_number().is_some_and(|n| n.to_count().is_some());
    match (parameter.kind, value) {
        (_, Value::Null) if parameter.nullable => Some(Value::Null),
        (ParameterKind::Count, v) if is_count(v) => Some(v.clone()),
        (ParameterKind::Ratio, Value::Number(_)) | (ParameterKind::Flag, Value::Bool(_)) => Some(value.clone()),
        (ParameterKind::Flag, Value::Number(n)) if *n == Exact::ZERO || *n == Exact::ONE => Some(Value::Bool(*n == Exact::ONE)),
        (ParameterKind::Text, Value::Text(text)) => {
            (parameter.values.is_empty() || parameter.values.contains(text)).then(|| value.clone())
        }
        (ParameterKind::Shape, Value::List(items)) if items.len() <= MAX_DIMS && items.iter().all(is_count) => {
            Some(value.clone())
        }
        (ParameterKind::Shape, v) if is_count(v) => Some(Value::List([v.clone()].into())),
        _ => None,
    }
}
