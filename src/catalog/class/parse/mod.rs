//! Reads a class definition: a JSON object comes in, a [`Class`] goes out. All that is wrong with its parts is said before it is given up.

mod example;
mod extend;
mod formula;
mod names;
mod reader;
mod tokens;
mod value;

use std::sync::{Arc, OnceLock};

use extend::extended;
pub use extend::{ClassText, ClassTexts};
use names::Names;
use reader::Reader;
use tokens::TOKENS;

use super::definition::{Alias, Class, ClassKind, FlopFormulas};
use super::formula::Formula;
use super::keys::{ALIAS_KEYS, CLASS_KEYS, FLOP_KEYS, PARALLEL_KEYS, PARAMETER_KEYS, READ_KEYS, WRITE_KEYS};
use super::parameter::{Parameter, ParameterKind};
use super::value::ValueDef;
use super::verify::verify;
use crate::catalog::role::{Fact, Role};
use crate::catalog::values;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::expr::{Expr, Value, is_name, is_reserved};
use crate::syntax::json::{Json, Member, Node};
use crate::syntax::source::Spanned;
use crate::syntax::spec::{Fields, fields};

/// More names than any class needs; bounds the search for circles.
const MAX_NAMES: usize = 256;

/// Reads a class definition on top of those that it extends; `name` is its key in a model file. `None` if it is unusable; what is wrong
/// goes to `diagnostics`.
pub fn parse_class<'n>(
    name: Option<&Arc<str>>,
    node: &'n Node,
    texts: &ClassTexts<'n>,
    diagnostics: &mut Diagnostics,
) -> Option<Class> {
    let said = node.get("class").filter(|_| name.is_none());
    let name = name.cloned().or_else(|| values::text(said?, diagnostics)).unwrap_or_default();
    let node = extended(&name, node, texts, diagnostics)?;
    whole_class(name, &node, diagnostics)
}

/// Reads a definition that says all there is to say.
fn whole_class(name: Arc<str>, node: &Node, diagnostics: &mut Diagnostics) -> Option<Class> {
    let f = fields(node, "a class", CLASS_KEYS, &[], diagnostics)?;
    let mut reader = Reader { diagnostics, names: Names::default() };
    let kind = f.get("kind").and_then(|n| reader.kind(n));
    let role = f.get("role").and_then(|n| reader.role(n));
    reader.names.parameters = member_names(f.get("parameters"));
    reader.names.variables = member_names(f.get("variables"));
    let implied = tokens::implied(&f, &mut reader.names);
    if reader.names.parameters.len() + reader.names.variables.len() > MAX_NAMES {
        let message = format!("the class has more than {MAX_NAMES} parameters and variables");
        reader.invalid(node.span.part(0..1), message, "too many");
        return None;
    }
    let mut parameters = reader.members(f.get("parameters"), |r, m| r.parameter(m));
    parameters.extend(implied.and_then(|place| reader.tokens(place)));
    let variables = reader.members(f.get("variables"), |r, m| Some((m.key.clone(), r.formula(&m.value, None)?)));
    let outputs = reader.outputs(&f);
    let reads = f.get("reads").and_then(|n| fields(n, "`reads`", READ_KEYS, &[], reader.diagnostics));
    let writes = f.get("writes").and_then(|n| fields(n, "`writes`", WRITE_KEYS, &[], reader.diagnostics));
    let flops = f.get("flops").and_then(|n| reader.flops(n, "`flops`"));
    let class = Class {
        aliases: reader.aliases(f.get("aliases"), kind.unwrap_or(ClassKind::Module), role),
        facts: reader.facts(f.get("facts"), role),
        role,
        extends: f.get("extends").and_then(Node::text).cloned(),
        doc: f.get("doc").and_then(|n| reader.text(n)).unwrap_or_default(),
        source: f.get("source").and_then(|n| reader.text(n)).unwrap_or_default(),
        require: reader.members(f.get("require"), Reader::requirement),
        weights: reader.members(f.get("weights"), Reader::weight),
        inputs: reader.members(f.get("inputs"), |r, m| r.value(m.key.clone(), &m.value)),
        outputs,
        backward: f.get("backward").and_then(|n| reader.flops(n, "`backward`")),
        quantized: reader.texts(f.get("quantized")),
        divided: f.get("parallel").map_or_else(Vec::new, |n| reader.divided(n, &parameters)),
        active_params: f.get("active_params").and_then(|n| reader.formula(n, None)),
        weights_read: reader.part(reads.as_ref(), "weights"),
        activations_read: reader.part(reads.as_ref(), "activations"),
        cache_read: reader.part(reads.as_ref(), "cache"),
        activations_written: reader.part(writes.as_ref(), "activations"),
        cache_written: reader.part(writes.as_ref(), "cache"),
        cache: f.get("cache").and_then(|n| reader.formula(n, None)),
        past: f.get("past").and_then(|n| reader.formula(n, None)),
        workspace: f.get("workspace").and_then(|n| reader.formula(n, None)),
        training_workspace: f.get("training_workspace").and_then(|n| reader.formula(n, None)),
        cached: f.get("cached").and_then(|n| reader.formula(n, None)),
        cached_workspace: f.get("cached_workspace").and_then(|n| reader.formula(n, None)),
        backward_first: f.get("backward_first").and_then(|n| reader.formula(n, None)),
        backward_workspace: f.get("backward_workspace").and_then(|n| reader.formula(n, None)),
        backward_later: f.get("backward_later").and_then(|n| reader.formula(n, None)),
        backward_held: f.get("backward_held").and_then(|n| reader.formula(n, None)),
        saves: f.get("saves").map(|n| reader.saves(n)),
        derivation: reader.texts(f.get("derivation")),
        examples: reader.examples(f.get("examples")),
        tokens: reader.names.slot(TOKENS, None),
        // Last, so that all that is wrong was said.
        kind: kind?,
        flops: flops?,
        parameters,
        variables,
        name,
        span: node.span.part(0..1),
        reads: OnceLock::new(),
    };
    verify(&class, reader.diagnostics);
    Some(class)
}

fn member_names(node: Option<&Node>) -> Vec<Arc<str>> {
    match node.map(|n| &n.json) {
        Some(Json::Object(members)) => members.iter().map(|m| m.key.clone()).collect(),
        _ => Vec::new(),
    }
}

impl Reader<'_> {
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

    fn aliases(&mut self, node: Option<&Node>, kind: ClassKind, role: Option<Role>) -> Vec<Alias> {
        match node.map(|n| (&n.json, n)) {
            Some((Json::List(items), _)) => items.iter().filter_map(|item| self.alias(item, kind, role)).collect(),
            Some((_, node)) => {
                self.wrong(node, "a list of names");
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn alias(&mut self, node: &Node, kind: ClassKind, role: Option<Role>) -> Option<Alias> {
        match &node.json {
            Json::Text(text) => Some(Alias { name: text.value.clone(), kind, role }),
            Json::Object(_) => {
                let f = fields(node, "an alias", ALIAS_KEYS, &[], self.diagnostics)?;
                let name = f.get("name").and_then(|n| self.text(n));
                let kind = f.get("kind").map_or(Some(kind), |n| self.kind(n));
                let role = f.get("role").map_or(role, |n| self.role(n));
                Some(Alias { name: name?, kind: kind?, role })
            }
            _ => {
                self.wrong(node, "a name, or an object with `name` and `kind`");
                None
            }
        }
    }

    fn role(&mut self, node: &Node) -> Option<Role> {
        let said = Spanned::new(self.text(node)?, node.span);
        Role::read(&said, self.diagnostics)
    }

    fn outputs(&mut self, f: &Fields<'_>) -> Vec<ValueDef> {
        let key = |name: &str| f.iter().find(|member| &*member.key == name);
        if let (Some(one), Some(several)) = (key("output"), key("outputs")) {
            let diagnostic = Diagnostic::new(Code::ConflictingKeys, "a class has either `output` or `outputs`")
                .at(several.key_span, "the values that it gives")
                .also(one.key_span, "the one value that it gives");
            self.diagnostics.push(diagnostic);
        }
        match f.get("output") {
            Some(node) => self.value("output".into(), node).into_iter().collect(),
            None => self.members(f.get("outputs"), |r, m| r.value(m.key.clone(), &m.value)),
        }
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
            dims: f.get("dims").and_then(|n| self.dims(n)).unwrap_or(1),
            implied: false,
        })
    }

    /// How many dimensions one number stands for.
    fn dims(&mut self, node: &Node) -> Option<usize> {
        const MOST: u128 = 8;
        let dims = values::figure(node, self.diagnostics)?;
        if dims > MOST {
            self.invalid(node.span, format!("{dims} dimensions, more than {MOST}"), "more than any tensor has");
            return None;
        }
        usize::try_from(dims).ok()
    }

    /// The counts that tensor parallelism divides, by position.
    fn divided(&mut self, node: &Node, parameters: &[Parameter]) -> Vec<u16> {
        let Some(f) = fields(node, "`parallel`", PARALLEL_KEYS, &[], self.diagnostics) else { return Vec::new() };
        let names = self.texts(f.get("tensor"));
        let mut divided = Vec::with_capacity(names.len());
        for name in names {
            match parameters.iter().position(|known| known.name == name && known.kind == ParameterKind::Count) {
                Some(at) => divided.extend(u16::try_from(at)),
                None => {
                    let counts = parameters.iter().filter(|known| known.kind == ParameterKind::Count).map(|known| &*known.name);
                    let help = nearest(&name, counts).map_or_else(String::new, |near| format!("did you mean `{near}`?"));
                    self.invalid(node.span, format!("`{name}` in `parallel` is no count among the parameters"), help);
                }
            }
        }
        divided
    }

    fn flops(&mut self, node: &Node, what: &str) -> Option<FlopFormulas> {
        let f = fields(node, what, FLOP_KEYS, &[], self.diagnostics)?;
        let [matmul, vector, transcendental] =
            ["matmul", "vector", "transcendental"].map(|name| f.get(name).and_then(|n| self.formula(n, None)));
        Some(FlopFormulas { matmul: matmul?, vector: vector?, transcendental: transcendental? })
    }
}
