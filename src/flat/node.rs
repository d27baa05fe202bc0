//! The flat list, folded: rows, and the tree that says how often and in which order they run.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::catalog::{Class, ClassKind, Role};
use crate::language::checkpoint::Checkpoint;
use crate::language::{Argument, Binding, Segment};
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

/// A set of indices, as ascending ranges.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Indices {
    ranges: Vec<(u64, u64)>,
}

impl Indices {
    /// From `first` to `last`, both included.
    #[must_use]
    pub fn range(first: u64, last: u64) -> Self {
        Indices { ranges: vec![(first, last)] }
    }

    /// Adds a range beyond all there are.
    pub fn push(&mut self, first: u64, last: u64) {
        match self.ranges.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(first) => *end = last,
            _ => self.ranges.push((first, last)),
        }
    }

    #[must_use]
    pub fn count(&self) -> u128 {
        self.ranges.iter().map(|(first, last)| u128::from(last - first) + 1).sum()
    }

    #[must_use]
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    #[must_use]
    pub fn contains(&self, index: u64) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&index))
    }

    /// `5`, `[0-31]`, `[0-4,6-10]`, `[0-22:2]` for every second; long ones are cut.
    #[must_use]
    pub fn pattern(&self) -> String {
        const SHOWN: usize = 6;
        if let [(first, last)] = self.ranges.as_slice() {
            return if first == last { first.to_string() } else { format!("[{first}-{last}]") };
        }
        if let Some((first, last, step)) = self.progression() {
            return format!("[{first}-{last}:{step}]");
        }
        let mut out = String::from("[");
        for (i, (first, last)) in self.ranges.iter().take(SHOWN).enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let _ = if first == last { write!(out, "{comma}{first}") } else { write!(out, "{comma}{first}-{last}") };
        }
        if self.ranges.len() > SHOWN {
            out.push_str(",...");
        }
        out.push(']');
        out
    }

    /// Three or more single indices at equal distances.
    fn progression(&self) -> Option<(u64, u64, u64)> {
        let [(first, _), (second, _), .., (last, _)] = self.ranges.as_slice() else {
            return None;
        };
        let step = second - first;
        let regular = self.ranges.iter().all(|(a, b)| a == b)
            && self.ranges.windows(2).all(|w| matches!(w, [(a, _), (b, _)] if b - a == step));
        (regular && self.ranges.len() > 2).then_some((*first, *last, step))
    }
}

/// A value that a layer reads, addressed from where the layer stands: the same for all instances that share a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ValueRef {
    /// How many composites outward.
    pub up: u16,
    pub target: ValueTarget,
    /// What follows: children, an instance's index, an output's name.
    pub rest: Vec<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ValueTarget {
    /// What the composite there was given.
    Input,
    /// The n-th node of the composite there.
    Node(u32),
    /// One of the model's inputs.
    ModelInput(Arc<str>),
}

/// A tensor that a layer owns by its own `weights`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnWeight {
    pub name: Arc<str>,
    pub shape: Vec<u128>,
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

/// A distinct basic layer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Row {
    pub segment: Option<Segment>,
    /// The class as the file has it.
    pub class_name: Arc<str>,
    /// The definition; `None`: a tensor that a composite owns.
    pub class: Option<ClassRef>,
    /// What it is to a reader: what the layer says, else its class.
    pub role: Option<Role>,
    /// Parameters that are given, by their position in the class.
    pub arguments: Vec<(u16, Argument)>,
    /// Workload values replaced for this layer, by slot.
    pub overrides: Vec<(u16, Argument)>,
    /// Tensors that replace the class's.
    pub weights: Option<Vec<OwnWeight>>,
    pub calls: Option<Argument>,
    pub inputs: Vec<ValueRef>,
    pub hold: Option<Hold>,
    /// It runs without gradients in training.
    pub no_grad: bool,
    /// The group of the checkpoint's quantization that it is in.
    pub quantized: Option<u16>,
    pub(super) tie: Option<TieSpec>,
    pub tied: Vec<Tied>,
    pub span: Span,
}

impl Row {
    /// `module`, `function`, or `parameter` for a tensor that a composite owns.
    #[must_use]
    pub fn kind_word(&self) -> &'static str {
        self.class.as_ref().map_or("parameter", |class| class.0.kind.word())
    }
}

/// The position of a row in [`FlatModel::rows`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(pub u32);

/// A node of the folded tree; `L` is what its leaves are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node<L> {
    Layer(Box<L>),
    Composite(Composite<L>),
    Repeat(Repeat<L>),
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
    pub calls: Option<Argument>,
    pub inputs: Vec<ValueRef>,
    /// The child whose value it returns; `None`: the last one.
    pub output: Option<ValueRef>,
    pub hold: Option<Hold>,
    /// All its layers' weights are those of another composite.
    pub(super) tie: Option<TieSpec>,
    pub body: Vec<Node<L>>,
    pub span: Span,
}

impl<L> Composite<L> {
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
    pub hold: Option<Hold>,
    pub variants: Vec<Variant<L>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Variant<L> {
    pub indices: Indices,
    /// A layer or a composite. `None` only while it is being built.
    pub instance: Option<Box<Node<L>>>,
}

impl<L> Repeat<L> {
    /// One instance of each variant that has layers.
    pub fn instances(&self) -> impl Iterator<Item = &Node<L>> {
        self.variants.iter().filter_map(|variant| variant.instance.as_deref())
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

/// A row and what it is in the model.
#[derive(Debug)]
pub struct RowInfo {
    pub row: Row,
    /// Rows with the same cost, tied weights aside, have the same.
    pub signature: u32,
    /// `model.layers.[0-31].mlp.up_proj`.
    pub path: String,
    /// How many instances share it.
    pub repeats: u128,
    /// How often each instance runs: the product of these.
    pub calls: Vec<Argument>,
    /// The composites around it that have names, outermost first: the lengths of their paths in `path`.
    pub prefixes: Vec<u32>,
}

/// A tensor that the model is called with.
#[derive(Debug)]
pub struct InputTensor {
    pub name: Arc<str>,
    /// `None`: a dimension has no value, which was reported.
    pub shape: Option<Vec<Argument>>,
    pub dtype: Arc<str>,
}

/// The flat list of a model, folded.
#[derive(Debug, Default)]
pub struct FlatModel {
    pub name: Option<Arc<str>>,
    pub class: Option<Arc<str>>,
    pub source: Option<Arc<str>>,
    /// The tensors that the model is called with; `None`: `input_ids`, `[batch_size, seq_len]`, int64.
    pub inputs: Option<Vec<InputTensor>>,
    /// The distinct layers, in order of first execution.
    pub rows: Vec<RowInfo>,
    /// A row for each distinct question that rows ask their classes: `RowInfo::signature` is a position here.
    pub signatures: Vec<RowId>,
    pub body: Vec<Node<RowId>>,
    /// The model's own workload: defaults, and further variables.
    pub workload: Vec<(Arc<str>, Argument)>,
    /// How many positions the model has, and where it says so.
    pub positions: Option<(u64, Span)>,
    /// What the checkpoint says of the weights.
    pub checkpoint: Checkpoint,
    /// The names of layers that don't exist (`when`), in some place or other.
    pub absent: HashSet<Arc<str>>,
    /// Instances beyond 128 bits: the totals can't be formed.
    pub overflow: Option<Span>,
}

impl FlatModel {
    /// Gives every distinct layer its number.
    pub(super) fn number(body: Vec<Node<Row>>, workload: Vec<(Arc<str>, Argument)>, positions: Option<(u64, Span)>) -> Self {
        let mut numbering = Numbering::default();
        let body = numbering.nodes(body);
        let mut rows = numbering.rows;
        let signatures = sign(&mut rows);
        FlatModel { rows, signatures, body, workload, positions, overflow: numbering.overflow, ..FlatModel::default() }
    }

    #[must_use]
    pub fn row(&self, id: RowId) -> Option<&RowInfo> {
        self.rows.get(id.0 as usize)
    }

    /// All layers with concrete paths, in the order of execution, made one by one.
    #[must_use]
    pub fn instances(&self) -> Instances<'_> {
        Instances::within(self, &self.body)
    }

    /// How many entries the full flat list has, and how many of them are modules.
    #[must_use]
    pub fn counts(&self) -> Option<(u128, u128)> {
        let (mut layers, mut modules) = (0u128, 0u128);
        for info in &self.rows {
            layers = layers.checked_add(info.repeats)?;
            if info.row.kind_word() == ClassKind::Module.word() {
                modules = modules.checked_add(info.repeats)?;
            }
        }
        Some((layers, modules))
    }
}

/// Gives rows that ask their class for the same the same signature; a row for each comes back.
fn sign(rows: &mut [RowInfo]) -> Vec<RowId> {
    let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut known: HashMap<Question<'_>, u32, RandomState> =
        HashMap::with_capacity_and_hasher(rows.len(), RandomState::default());
    let mut first = Vec::new();
    let mut found = Vec::with_capacity(rows.len());
    for (at, info) in rows.iter().enumerate() {
        found.push(*known.entry(Question(&info.row)).or_insert_with(|| {
            first.push(RowId(clip(at)));
            clip(first.len() - 1)
        }));
    }
    drop(known);
    for (info, signature) in rows.iter_mut().zip(found) {
        info.signature = signature;
    }
    first
}

/// Adds a segment to a path; gives the length to cut it back to. `index` writes that of the n-th of `depth` enclosing repeats.
fn enter(path: &mut String, segment: Option<&Segment>, depth: usize, index: &dyn Fn(usize, &mut String)) -> usize {
    let length = path.len();
    if let Some(segment) = segment {
        if length > 0 {
            path.push('.');
        }
        segment.write(path, &|level, out| {
            if let Some(at) = depth.checked_sub(1 + usize::from(level)) {
                index(at, out);
            }
        });
    }
    length
}

/// What a row asks its class for, wherever it was written.
struct Question<'f>(&'f Row);

impl<'f> Question<'f> {
    /// Arguments, then overrides.
    fn bindings(&self) -> impl Iterator<Item = (bool, u16, &'f Binding)> + use<'f> {
        let arguments = self.0.arguments.iter().map(|(at, argument)| (false, *at, &argument.binding));
        arguments.chain(self.0.overrides.iter().map(|(at, argument)| (true, *at, &argument.binding)))
    }
}

impl PartialEq for Question<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.class == other.0.class
            && self.0.no_grad == other.0.no_grad
            && self.0.weights == other.0.weights
            && self.bindings().eq(other.bindings())
    }
}

impl Eq for Question<'_> {}

impl Hash for Question<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.class.hash(state);
        self.0.weights.hash(state);
        self.bindings().for_each(|binding| binding.hash(state));
    }
}

#[derive(Default)]
struct Numbering {
    rows: Vec<RowInfo>,
    path: String,
    prefixes: Vec<u32>,
    /// The index sets of the enclosing repeats' current variants, as shown.
    indices: Vec<String>,
    repeats: Vec<u128>,
    calls: Vec<Argument>,
    overflow: Option<Span>,
}

impl Numbering {
    fn nodes(&mut self, nodes: Vec<Node<Row>>) -> Vec<Node<RowId>> {
        nodes.into_iter().map(|node| self.node(node)).collect()
    }

    fn node(&mut self, node: Node<Row>) -> Node<RowId> {
        match node {
            Node::Layer(row) => Node::Layer(Box::new(self.row(*row))),
            Node::Composite(composite) => Node::Composite(self.composite(composite)),
            Node::Repeat(repeat) => {
                let variants = repeat.variants.into_iter().map(|variant| self.variant(variant)).collect();
                let Repeat { name, count, parallel, inputs, hold, .. } = repeat;
                Node::Repeat(Repeat { name, count, parallel, inputs, hold, variants })
            }
        }
    }

    fn variant(&mut self, variant: Variant<Row>) -> Variant<RowId> {
        self.indices.push(variant.indices.pattern());
        self.repeats.push(variant.indices.count());
        let instance = variant.instance.map(|node| Box::new(self.node(*node)));
        self.repeats.pop();
        self.indices.pop();
        Variant { indices: variant.indices, instance }
    }

    fn enter(&mut self, segment: Option<&Segment>) -> usize {
        let indices = &self.indices;
        enter(&mut self.path, segment, indices.len(), &|at, out| out.push_str(indices.get(at).map_or("?", String::as_str)))
    }

    fn composite(&mut self, composite: Composite<Row>) -> Composite<RowId> {
        let length = self.enter(composite.path_segment());
        let named = composite.path_segment().is_some();
        if named {
            self.prefixes.push(u32::try_from(self.path.len()).unwrap_or(u32::MAX));
        }
        self.calls.extend(composite.calls.clone());
        let Composite { segment, inline, class, role, calls, inputs, output, hold, tie, body, span } = composite;
        let body = self.nodes(body);
        if calls.is_some() {
            self.calls.pop();
        }
        if named {
            self.prefixes.pop();
        }
        self.path.truncate(length);
        Composite { segment, inline, class, role, calls, inputs, output, hold, tie, body, span }
    }

    fn row(&mut self, row: Row) -> RowId {
        let length = self.enter(row.segment.as_ref());
        let repeats = self.repeats.iter().try_fold(1u128, |product, n| product.checked_mul(*n));
        if repeats.is_none() {
            self.overflow.get_or_insert(row.span);
        }
        let mut calls = self.calls.clone();
        calls.extend(row.calls.clone());
        let id = RowId(u32::try_from(self.rows.len()).unwrap_or(u32::MAX));
        let info = RowInfo {
            signature: 0,
            path: self.path.clone(),
            repeats: repeats.unwrap_or(0),
            calls,
            prefixes: self.prefixes.clone(),
            row,
        };
        self.rows.push(info);
        self.path.truncate(length);
        id
    }
}

/// A layer of the full flat list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub row: RowId,
    /// `model.layers.7.mlp.up_proj`.
    pub path: String,
}

/// Yields the full flat list without ever holding it.
pub struct Instances<'f> {
    model: &'f FlatModel,
    stack: Vec<Step<'f>>,
    path: String,
    indices: Vec<u64>,
}

enum Step<'f> {
    Nodes { nodes: &'f [Node<RowId>], at: usize, path: usize },
    Repeat { repeat: &'f Repeat<RowId>, order: Vec<(u64, u64, usize)>, at: usize, next: u64 },
}

impl<'f> Instances<'f> {
    /// The instances of a part of a model, with paths from there on.
    pub(super) fn within(model: &'f FlatModel, nodes: &'f [Node<RowId>]) -> Self {
        Instances { model, stack: vec![Step::Nodes { nodes, at: 0, path: 0 }], path: String::new(), indices: Vec::new() }
    }

    fn enter(&mut self, segment: Option<&Segment>) -> usize {
        let indices = &self.indices;
        enter(&mut self.path, segment, indices.len(), &|at, out| {
            let _ = write!(out, "{}", indices.get(at).copied().unwrap_or_default());
        })
    }

    /// Goes into a node; a layer comes back.
    fn visit(&mut self, node: &'f Node<RowId>) -> Option<Instance> {
        match node {
            Node::Layer(id) => {
                let segment = self.model.row(**id).and_then(|info| info.row.segment.as_ref());
                let length = self.enter(segment);
                let instance = Instance { row: **id, path: self.path.clone() };
                self.path.truncate(length);
                Some(instance)
            }
            Node::Composite(composite) => {
                let path = self.enter(composite.path_segment());
                self.stack.push(Step::Nodes { nodes: &composite.body, at: 0, path });
                None
            }
            Node::Repeat(repeat) => {
                let order = repeat.order();
                let next = order.first().map_or(0, |(first, ..)| *first);
                self.indices.push(next);
                self.stack.push(Step::Repeat { repeat, order, at: 0, next });
                None
            }
        }
    }
}

impl Iterator for Instances<'_> {
    type Item = Instance;

    fn next(&mut self) -> Option<Instance> {
        loop {
            let node = match self.stack.last_mut()? {
                Step::Nodes { nodes, at, path } => match nodes.get(*at) {
                    Some(node) => {
                        *at += 1;
                        node
                    }
                    None => {
                        let path = *path;
                        self.path.truncate(path);
                        self.stack.pop();
                        continue;
                    }
                },
                Step::Repeat { repeat, order, at, next } => match order.get(*at) {
                    Some(&(_, last, variant)) => {
                        let current = *next;
                        if current < last {
                            *next = current + 1;
                        } else {
                            *at += 1;
                            *next = order.get(*at).map_or(0, |(first, ..)| *first);
                        }
                        if let Some(index) = self.indices.last_mut() {
                            *index = current;
                        }
                        match repeat.variants.get(variant).and_then(|v| v.instance.as_deref()) {
                            Some(node) => node,
                            None => continue,
                        }
                    }
                    None => {
                        self.indices.pop();
                        self.stack.pop();
                        continue;
                    }
                },
            };
            if let Some(instance) = self.visit(node) {
                return Some(instance);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_sets_read_well() {
        let set = |list: &[u64]| {
            let mut indices = Indices::default();
            list.iter().for_each(|i| indices.push(*i, *i));
            indices.pattern()
        };
        assert_eq!(set(&[5]), "5");
        assert_eq!(set(&[0, 1, 2, 3]), "[0-3]");
        assert_eq!(set(&[0, 1, 3, 4, 5]), "[0-1,3-5]");
        assert_eq!(set(&[5, 11, 17]), "[5-17:6]");
        assert_eq!(set(&[0, 3, 4, 6, 9, 12, 20, 22]), "[0,3-4,6,9,12,20,...]");
    }
}
