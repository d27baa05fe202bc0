//! What the flat list is made of: distinct layers, and the tree in which composites and repeats stand around them.

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use super::indices::Indices;
use super::value::{ValueRef, ValueTarget};
use crate::catalog::{Class, ClassKind, Role};
use crate::language::{Argument, Segment};
use crate::syntax::diag::{Diagnostic, USED_HERE};
use crate::syntax::source::Span;
use crate::syntax::spec::Hold;

/// A class, equal only to itself.
#[derive(Clone)]
pub struct ClassRef(pub Arc<Class>);

impl std::fmt::Debug for ClassRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ClassRef").field(&self.0.name).finish()
    }
}

impl PartialEq for ClassRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ClassRef {}

impl Hash for ClassRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// A tensor that a layer owns by its own `weights`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnWeight {
    pub name: Arc<str>,
    pub shape: Vec<u128>,
    /// It stays in float32, whatever the dtype of the others.
    pub float32: bool,
}

/// What a layer says of ties, before its target is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TieSpec {
    pub all: Option<Arc<str>>,
    pub single: Vec<SingleTie>,
    pub span: Span,
}

/// One weight that is another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SingleTie {
    pub weight: Arc<str>,
    pub weight_span: Span,
    /// The path of the other.
    pub path: Arc<str>,
    pub span: Span,
}

/// Weights that are another row's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tied {
    /// The own weight's name; `None`: all that the target has by the same name.
    pub weight: Option<Arc<str>>,
    pub target: RowId,
    /// The target's weight.
    pub target_weight: Option<Arc<str>>,
    /// The target as it is shown.
    pub path: Arc<str>,
    pub span: Span,
}

/// A distinct basic layer: what it has in common with others, and what it hasn't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub(super) common: Arc<Common>,
    /// Parameters that are given, by their position in the class.
    pub arguments: Arc<[(u16, Argument)]>,
    /// The group of the checkpoint's quantization that it is in.
    pub quantized: Option<u16>,
    /// Which of the patterns that the model was flattened with mean it, a bit for each.
    pub marks: u32,
    pub tied: Box<[Tied]>,
}

/// What the instances of a layer mostly agree in: those that do share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    pub segment: Option<Segment>,
    /// The class as the file has it.
    pub class_name: Arc<str>,
    /// The definition; `None`: a tensor that a composite owns.
    pub class: Option<ClassRef>,
    /// What it is by the name that it says of its class.
    pub kind: Option<ClassKind>,
    /// What it is to a reader: what the layer says, else its class.
    pub role: Option<Role>,
    /// Workload values replaced for this layer, by slot.
    pub overrides: Vec<(u16, Argument)>,
    /// Tensors that replace the class's.
    pub weights: Option<Arc<[OwnWeight]>>,
    pub calls: Option<Box<Argument>>,
    pub inputs: Vec<ValueRef>,
    pub hold: Option<Box<Hold>>,
    /// It runs without gradients in training.
    pub no_grad: bool,
    pub(super) tie: Option<Box<TieSpec>>,
    pub span: Span,
    /// Of a layer that the catalog has written: the `use` in the model's file that brought it.
    pub used: Option<Span>,
    /// The layers that it stands for, where an engine runs them as one.
    pub merged: Option<Box<Merged>>,
}

/// Layers that run as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Merged {
    /// The engine that runs them so.
    pub runtime: Arc<str>,
    /// What is done, in a line.
    pub doc: Arc<str>,
    /// In the order in which they ran.
    pub layers: Vec<Stood>,
}

impl Merged {
    /// What it stands for, in words: `q_proj, k_proj, v_proj`.
    #[must_use]
    pub fn names(&self) -> String {
        self.layers.iter().map(|layer| &*layer.name).collect::<Vec<_>>().join(", ")
    }
}

/// A layer that another stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stood {
    /// Its name beside the other; empty: it has none.
    pub name: Arc<str>,
    /// The class as the file has it.
    pub class_name: Arc<str>,
    /// What it is to a reader.
    pub role: Option<Role>,
    /// The definition.
    pub class: ClassRef,
}

impl Deref for Row {
    type Target = Common;

    fn deref(&self) -> &Common {
        &self.common
    }
}

/// What may differ between layers that are written in one place tells them apart.
impl Hash for Row {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Common { segment, class, overrides, weights, calls, inputs, tie, span, .. } = &*self.common;
        (span, segment, class, inputs, calls).hash(state);
        (overrides, weights, tie).hash(state);
        (&self.arguments, self.quantized, self.marks).hash(state);
    }
}

impl Row {
    /// What an engine runs in the place of layers that stand beside each other.
    #[must_use]
    pub fn standing_for(common: Common, arguments: Arc<[(u16, Argument)]>, quantized: Option<u16>, marks: u32) -> Self {
        Row { arguments, quantized, marks, ..Row::new(Arc::new(common)) }
    }

    /// Whether some of its weights are another layer's.
    #[must_use]
    pub fn is_tied(&self) -> bool {
        self.tie.is_some()
    }

    /// The ends of the paths of layers whose weights it shares.
    pub fn ties_to(&self) -> impl Iterator<Item = &str> {
        self.tie.iter().flat_map(|tie| tie.paths())
    }

    /// Its value lives until it was read: no frame holds it longer.
    pub fn let_go(&mut self) {
        if self.hold.is_some() {
            self.common_mut().hold = None;
        }
    }

    /// What it reads, where that is somewhere else now.
    pub fn moves(&mut self, moved: &dyn Fn(&ValueRef) -> ValueRef) {
        let inputs: Vec<ValueRef> = self.inputs.iter().map(moved).collect();
        if inputs != self.inputs {
            self.common_mut().inputs = inputs;
        }
    }

    /// A layer of which nothing more is said.
    pub(super) fn new(common: Arc<Common>) -> Self {
        Row { common, arguments: Arc::default(), quantized: None, marks: 0, tied: Box::default() }
    }

    /// A diagnostic that points at it, and at what brought it into the model's file.
    #[must_use]
    pub fn point(&self, diagnostic: Diagnostic, label: impl Into<String>) -> Diagnostic {
        self.with_use(diagnostic.at(self.span, label))
    }

    /// A diagnostic of this layer that points at what brought it into the model's file, too.
    #[must_use]
    pub fn with_use(&self, diagnostic: Diagnostic) -> Diagnostic {
        match self.used {
            Some(used) => diagnostic.also(used, USED_HERE),
            None => diagnostic,
        }
    }

    /// What it has in common with others, to be changed for it alone.
    pub(super) fn common_mut(&mut self) -> &mut Common {
        Arc::make_mut(&mut self.common)
    }

    /// Whether it reads and holds the same as another, and has the same name.
    #[must_use]
    pub fn is_wired_as(&self, other: &Row) -> bool {
        let (a, b) = (&self.common, &other.common);
        Arc::ptr_eq(a, b) || (a.inputs == b.inputs && a.hold == b.hold && a.segment == b.segment)
    }

    /// `module`, `function`, or `parameter` for a tensor that a composite owns.
    #[must_use]
    pub fn kind_word(&self) -> &'static str {
        self.kind.map_or("parameter", ClassKind::word)
    }
}

/// The position of a row in a flat model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(pub u32);

/// A node of the folded tree; `L` is what its leaves are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node<L> {
    Layer(L),
    Composite(Box<Composite<L>>),
    Repeat(Box<Repeat<L>>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Composite<L> {
    /// `None`: a group.
    pub segment: Option<Segment>,
    /// The name is for values only.
    pub inline: bool,
    pub class: Option<Arc<str>>,
    /// What it is to a reader: what the layer says, else its block.
    pub role: Option<Role>,
    pub calls: Option<Box<Argument>>,
    pub inputs: Vec<ValueRef>,
    /// The child whose value it returns; `None`: the last one.
    pub output: Option<Box<ValueRef>>,
    pub hold: Option<Box<Hold>>,
    /// All its layers' weights are those of another composite.
    pub(super) tie: Option<Box<TieSpec>>,
    pub body: Vec<Node<L>>,
    pub span: Span,
}

impl Common {
    /// What is known of a layer of which nothing is said but where it stands.
    #[must_use]
    pub fn at(span: Span, used: Option<Span>) -> Self {
        Common {
            segment: None,
            class_name: Arc::default(),
            class: None,
            kind: None,
            role: None,
            overrides: Vec::new(),
            weights: None,
            calls: None,
            inputs: Vec::new(),
            hold: None,
            no_grad: false,
            tie: None,
            span,
            used,
            merged: None,
        }
    }
}

impl TieSpec {
    /// The paths of what shares its weights.
    fn paths(&self) -> impl Iterator<Item = &str> {
        self.all.iter().chain(self.single.iter().map(|single| &single.path)).map(|path| &**path)
    }
}

impl Composite<Box<Row>> {
    /// Its only layer, if it is one without a name, in its place and by its name. `None`: it is more than that.
    #[must_use]
    pub fn only_layer(&self) -> Option<Box<Row>> {
        let [Node::Layer(row)] = self.body.as_slice() else { return None };
        let is_plain = self.calls.is_none() && self.tie.is_none() && self.output.is_none() && !self.inline;
        if !is_plain || row.segment.is_some() || self.segment.is_none() {
            return None;
        }
        let outward = |value: &ValueRef| match (&value.target, value.up) {
            (ValueTarget::Input, 0) => {
                let given = self.inputs.first().cloned().unwrap_or_else(|| ValueRef::input(0));
                Some(ValueRef { rest: given.rest.iter().chain(&value.rest).copied().collect(), ..given })
            }
            (ValueTarget::ModelInput(_), _) => Some(value.clone()),
            (_, up) => Some(ValueRef { up: up.checked_sub(1)?, ..value.clone() }),
        };
        let inputs: Option<Vec<ValueRef>> = row.inputs.iter().map(outward).collect();
        let mut row = row.clone();
        let own = row.common_mut();
        own.inputs = inputs?;
        own.segment.clone_from(&self.segment);
        own.role = own.role.or(self.role);
        Some(row)
    }
}

impl<L> Composite<L> {
    /// The paths of what shares its weights.
    pub fn ties_to(&self) -> impl Iterator<Item = &str> {
        self.tie.iter().flat_map(|tie| tie.paths())
    }

    /// The part of the path that this composite adds.
    #[must_use]
    pub fn path_segment(&self) -> Option<&Segment> {
        self.segment.as_ref().filter(|_| !self.inline)
    }
}

/// A repeated layer: its distinct forms, each with the indices that have it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Repeat<L> {
    pub name: Option<Segment>,
    pub count: u64,
    pub parallel: bool,
    /// What the first instance reads (all, if parallel).
    pub inputs: Vec<ValueRef>,
    pub hold: Option<Box<Hold>>,
    pub variants: Vec<Variant<L>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Variant<L> {
    pub indices: Indices,
    /// A layer or a composite. `None` only while it is being built.
    pub instance: Option<Node<L>>,
}

impl<L> Repeat<L> {
    /// One instance of each variant that has layers.
    pub fn instances(&self) -> impl Iterator<Item = &Node<L>> {
        self.variants.iter().filter_map(|variant| variant.instance.as_ref())
    }

    /// Which variant runs when: ascending ranges of indices.
    #[must_use]
    pub fn order(&self) -> Vec<(u64, u64, usize)> {
        let ranges =
            self.variants.iter().enumerate().flat_map(|(at, v)| v.indices.ranges().iter().map(move |(a, b)| (*a, *b, at)));
        let mut order: Vec<(u64, u64, usize)> = ranges.collect();
        order.sort_unstable();
        order
    }
}
