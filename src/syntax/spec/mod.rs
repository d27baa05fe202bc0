//! The model description as it is written: known keys, every attribute a place and a value or an expression.
//!
//! A [`Document`](crate::syntax::json::Document) comes in, a [`Model`] goes out. Names are not looked up here: that is `check`'s business.

mod family;
mod keys;
mod parse;

pub use family::{Draft, Family, Head, Nested, REQUIRED, Require};
pub use keys::{
    BLOCK_KEYS, DRAFT_KEYS, EXPECT_KEYS, FAMILY_KEYS, HEAD_KEYS, INPUT_KEYS, KEPT_DTYPE, Key, KeyKind, LAYER_KEYS, MODEL_KEYS,
    NESTED_KEYS, POINT_KEYS, TIE_KEYS, WEIGHT_KEYS,
};
pub use parse::{
    Fields, MOST_WRITTEN, UNREAD, fields, list_member, name_part, name_problem, parse, parse_block, parse_family, syntax_error,
};

use std::collections::HashMap;
use std::sync::Arc;

use crate::quantity::Total;
use crate::syntax::expr::{Exact, Expr, Interpolated, Name, Value};
use crate::syntax::json;
use crate::syntax::source::{Span, Spanned};
use crate::syntax::words::few;

/// A model: that of a file, or a family with what a config says.
#[derive(Debug, Clone)]
pub struct Model {
    pub span: Span,
    /// By which the models of one text are told apart: a model's inner configs follow it. `check` gives it.
    pub number: u32,
    pub name: Option<Spanned<Arc<str>>>,
    pub class: Option<Arc<str>>,
    pub source: Option<Arc<str>>,
    /// The family whose layers these are.
    pub family: Option<Spanned<Arc<str>>>,
    /// The head of that family.
    pub head: Option<Spanned<Arc<str>>>,
    /// Where it is said that the family's draft part is built; `None`: it isn't.
    pub draft: Option<Span>,
    pub variables: Vec<Variable>,
    /// What a config, or a file of a family, says of the variables.
    pub given: Vec<Given>,
    /// Other names that a config may have for a variable.
    pub aliases: Vec<(Arc<str>, Arc<str>)>,
    /// Follows from the variables; in its own definition a name means the variable.
    pub derived: Vec<Variable>,
    pub require: Vec<Require>,
    /// Names that the file itself brings, such as `prefix`.
    pub builtins: Vec<(&'static str, Value)>,
    /// Inner configs, each bound to its family.
    pub nested: Vec<(Spanned<Arc<str>>, Model)>,
    /// The variables that inner configs are: these were read when the model was, and can't be set afterwards.
    pub configs: Vec<Arc<str>>,
    /// What is said of the weights' dtypes, with the keys that a config has for that.
    pub checkpoint: Option<json::Node>,
    /// Keys of a config that mean nothing to the family.
    pub unused: Vec<Spanned<Arc<str>>>,
    /// Defaults for workload variables, and further ones.
    pub workload: Vec<Variable>,
    /// The tensors that the model is called with.
    pub inputs: Vec<ModelInput>,
    /// Class definitions for this file alone, by name; `catalog` reads them.
    pub classes: Vec<(Spanned<Arc<str>>, json::Node)>,
    pub blocks: Vec<Block>,
    /// Position of each block in `blocks`.
    pub block_index: HashMap<Arc<str>, usize>,
    pub layers: Vec<Layer>,
    pub expect: Option<Expect>,
    /// What the model has and this description of it doesn't: totals are of the rest.
    pub partial: Vec<Arc<str>>,
}

/// What a model that declares no inputs reads: token ids, by the name that PyTorch's models have for them.
pub const DEFAULT_INPUT: &str = "input_ids";

impl Model {
    /// The names of the tensors that it is called with.
    #[must_use]
    pub fn input_names(&self) -> Vec<Arc<str>> {
        match self.inputs.as_slice() {
            [] => vec![DEFAULT_INPUT.into()],
            inputs => inputs.iter().map(|input| input.name.value.clone()).collect(),
        }
    }

    /// What it lacks, in words; of much the first few.
    #[must_use]
    pub fn without(&self) -> String {
        const SHOWN: usize = 6;
        few(self.partial.iter(), SHOWN)
    }

    /// A block of the file itself.
    #[must_use]
    pub fn block(&self, name: &str) -> Option<&Block> {
        self.blocks.get(*self.block_index.get(name)?)
    }

    /// Whether it was made of a config, rather than written as a model.
    #[must_use]
    pub fn is_of_config(&self) -> bool {
        let document = self.builtins.iter().find(|(name, _)| *name == "config").map(|(_, value)| value);
        matches!(document, Some(Value::Object(members)) if !members.is_empty())
    }

    /// The variable that a config's key, or a setting's name, means.
    #[must_use]
    pub fn canonical<'a>(&'a self, key: &'a str) -> &'a str {
        self.aliases.iter().find(|(alias, _)| &**alias == key).map_or(key, |(_, name)| name)
    }
}

/// The positions of blocks by their names.
#[must_use]
pub fn index_of(blocks: &[Block]) -> HashMap<Arc<str>, usize> {
    blocks.iter().enumerate().map(|(at, block)| (block.name.value.clone(), at)).collect()
}

/// A value that replaces a variable's default.
#[derive(Debug, Clone)]
pub struct Given {
    /// The variable.
    pub name: Arc<str>,
    /// The key, as it is written: the variable's name, or an alias.
    pub key: Spanned<Arc<str>>,
    pub span: Span,
    pub value: GivenValue,
}

#[derive(Debug, Clone)]
pub enum GivenValue {
    /// A config's: data, never a template.
    Data(Value),
    /// A model file's.
    Attr(Attr),
}

/// A name and what it stands for.
#[derive(Debug, Clone)]
pub struct Variable {
    pub name: Spanned<Arc<str>>,
    pub value: Attr,
}

/// A value or an expression, and where it stands.
#[derive(Debug, Clone)]
pub struct Attr {
    pub span: Span,
    pub datum: Datum,
}

impl Attr {
    /// As it is written, for people.
    #[must_use]
    pub fn written(&self) -> String {
        match &self.datum {
            Datum::Null => "null".to_owned(),
            Datum::Bool(value) => value.to_string(),
            Datum::Number(number) => number.to_string(),
            Datum::Text(text) => format!("'{text}'"),
            Datum::Template(template) => template.text.to_string(),
            Datum::List(items) => format!("[{}]", items.iter().map(Attr::written).collect::<Vec<_>>().join(", ")),
            Datum::Object(members) => {
                let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}: {}", value.written())).collect();
                format!("{{ {} }}", members.join(", "))
            }
            Datum::Invalid => "?".to_owned(),
        }
    }
}

#[derive(Debug, Clone)]
pub enum Datum {
    Null,
    Bool(bool),
    Number(Exact),
    Text(Arc<str>),
    Template(Template),
    List(Vec<Attr>),
    Object(Vec<(Arc<str>, Attr)>),
    /// What was wrong with it was said already.
    Invalid,
}

impl Datum {
    /// The value that it is without a look at any name: none of expressions, lists and objects.
    #[must_use]
    pub fn plain(&self) -> Option<Value> {
        match self {
            Datum::Null => Some(Value::Null),
            Datum::Bool(flag) => Some(Value::Bool(*flag)),
            Datum::Number(number) => Some(Value::Number(*number)),
            Datum::Text(text) => Some(Value::Text(text.clone())),
            Datum::Template(_) | Datum::List(_) | Datum::Object(_) | Datum::Invalid => None,
        }
    }
}

/// An expression in a string.
#[derive(Debug, Clone)]
pub struct Template {
    pub text: Arc<str>,
    /// Whether offsets in `text` are offsets in the source.
    pub plain: bool,
    pub expr: Arc<Expr<Name>>,
}

/// A text in which placeholders are filled in.
#[derive(Debug, Clone)]
pub struct TextField {
    pub span: Span,
    pub text: Arc<str>,
    pub plain: bool,
    pub pieces: Interpolated,
}

/// A layer, as it is written. What few layers say stands apart: a file may have very many of them.
#[derive(Debug, Clone)]
pub struct Layer {
    pub span: Span,
    pub name: Option<TextField>,
    pub inline: bool,
    pub class: Option<TextField>,
    /// What it says that it is to a reader.
    pub role: Option<Box<Spanned<Arc<str>>>>,
    /// Whether it follows the bare model of a family: where nothing else is said of it, it is a part of the head.
    pub of_head: bool,
    pub body: Body,
    pub repeat: Option<Box<Attr>>,
    pub parallel: bool,
    pub index: Option<Box<Spanned<Arc<str>>>>,
    pub calls: Option<Box<Attr>>,
    pub when: Option<Box<Attr>>,
    pub variables: Vec<Variable>,
    pub parameters: Vec<Variable>,
    pub weights: Option<Vec<Weight>>,
    pub inputs: Option<Vec<TextField>>,
    pub output: Option<Box<TextField>>,
    pub hold: Option<Box<Hold>>,
    /// It runs without gradients in training.
    pub no_grad: bool,
    pub tied_to: Option<Box<Tie>>,
}

/// How long a layer's output lives beyond its last reader, because the source code has a name for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hold {
    /// Until the enclosing composite returns.
    Composite,
    /// Until the first of these later siblings that exists has run; if none does, until the composite returns.
    Until { siblings: Vec<Arc<str>>, span: Span },
}

impl Layer {
    /// Where to point at the layer as a whole: its name, or its opening bracket.
    #[must_use]
    pub fn place(&self) -> Span {
        self.name.as_ref().map_or_else(|| self.span.part(0..1), |name| name.span)
    }
}

#[derive(Debug, Clone)]
pub enum Body {
    /// A basic layer: its class has the formulas.
    Basic,
    Composite(Vec<Layer>),
    /// The layers of a block.
    Use(Box<TextField>),
}

/// A tensor that a layer owns.
#[derive(Debug, Clone)]
pub struct Weight {
    pub name: Spanned<Arc<str>>,
    pub shape: Vec<Attr>,
    pub when: Option<Attr>,
    /// It stays in float32, whatever the dtype of the others.
    pub float32: bool,
}

/// Weights that are another layer's.
#[derive(Debug, Clone)]
pub struct Tie {
    pub span: Span,
    pub target: TieTarget,
    pub when: Option<Attr>,
}

#[derive(Debug, Clone)]
pub enum TieTarget {
    /// All weights of a layer, by their names.
    Layer(TextField),
    /// Single weights: the layer's own name, and the path of the other.
    Weights(Vec<(Spanned<Arc<str>>, TextField)>),
}

#[derive(Debug, Clone)]
pub struct Block {
    pub name: Spanned<Arc<str>>,
    pub doc: Option<Arc<str>>,
    /// What a composite of these layers is to a reader.
    pub role: Option<Spanned<Arc<str>>>,
    pub takes: Vec<Take>,
    pub variables: Vec<Variable>,
    /// Values of layers around that it reads.
    pub reads: Vec<Spanned<Arc<str>>>,
    pub layers: Vec<Layer>,
}

/// A name that a block expects from where it is used.
#[derive(Debug, Clone)]
pub struct Take {
    pub name: Spanned<Arc<str>>,
    /// `None`: required.
    pub default: Option<Attr>,
}

#[derive(Debug, Clone)]
pub struct ModelInput {
    pub name: Spanned<Arc<str>>,
    pub shape: Vec<Attr>,
    pub dtype: Spanned<Arc<str>>,
}

/// Facts that must hold.
#[derive(Debug, Clone)]
pub struct Expect {
    pub facts: Vec<Fact>,
    pub points: Vec<Point>,
}

/// A quantity of the totals and its value.
#[derive(Debug, Clone)]
pub struct Fact {
    pub quantity: Spanned<Total>,
    pub value: Spanned<u128>,
}

/// Facts at a stated workload.
#[derive(Debug, Clone)]
pub struct Point {
    pub workload: Vec<Variable>,
    pub facts: Vec<Fact>,
}
