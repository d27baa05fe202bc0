//! What a class owns, reads, gives and keeps: weights and values, with shapes and element types that are formulas.

use std::sync::Arc;

use super::formula::Formula;

/// A tensor that it owns.
#[derive(Debug)]
pub struct WeightDef {
    pub name: Arc<str>,
    pub shape: ShapeDef,
    pub when: Option<Formula>,
    /// It stays in float32, whatever the dtype of the others.
    pub float32: bool,
    /// Whether training changes it; left out: it does.
    pub trained: Option<Formula>,
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
    /// What gradient it gets.
    pub gradient: Gradient,
}

/// The gradient of an input that needs one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gradient {
    /// A tensor of its size.
    #[default]
    Own,
    /// The first output's, passed on as it is, if that is of its size.
    Output,
    /// None: nothing flows back. Of an output: nothing flows back through it.
    None,
}

impl Gradient {
    const WORDS: [(Gradient, &'static str); 3] = [(Gradient::Own, "own"), (Gradient::Output, "output"), (Gradient::None, "none")];

    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(gradient, _)| *gradient)
    }
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
    /// An input or output, by name. `early`: let go of before the moments of `backward_later`, if nothing else keeps its storage.
    Value { name: Arc<str>, when: Option<Formula>, early: bool },
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

/// The dimensions of a tensor.
#[derive(Debug)]
pub enum ShapeDef {
    Dims(Vec<Dim>),
    /// A formula that gives a list.
    List(Formula),
}

impl ShapeDef {
    /// Whether it has leading dimensions.
    #[must_use]
    pub fn leads(&self) -> bool {
        matches!(self, ShapeDef::Dims(dims) if dims.iter().any(|dim| matches!(dim, Dim::Leading)))
    }

    /// The formulas of its dimensions.
    pub fn formulas(&self) -> impl Iterator<Item = &Formula> {
        let (dims, list) = match self {
            ShapeDef::Dims(dims) => (dims.as_slice(), None),
            ShapeDef::List(formula) => (&[][..], Some(formula)),
        };
        dims.iter().filter_map(|dim| if let Dim::Size(formula) = dim { Some(formula) } else { None }).chain(list)
    }
}

/// A part of a shape.
#[derive(Debug)]
pub enum Dim {
    /// `...`: any leading dimensions, whose product is `tokens`.
    Leading,
    Size(Formula),
}
