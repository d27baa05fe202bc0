//! Gives every distinct layer of a tree its number, its path, and how often it occurs.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::instances::enter;
use super::model::{Around, FlatModel, RowInfo};
use super::node::{Composite, Node, Repeat, Row, RowId, Variant};
use crate::language::{Binding, Segment};
use crate::syntax::source::Span;

/// The flat list of a tree, with what else is known of the model.
pub fn number(body: Vec<Node<Box<Row>>>, model: FlatModel) -> FlatModel {
    let rows = Vec::with_capacity(body.iter().map(layers).sum());
    let mut numbering = Numbering { rows, ..Numbering::default() };
    let body = numbering.nodes(body);
    let mut rows = numbering.rows;
    let signatures = sign(&mut rows);
    FlatModel { rows, signatures, body, overflow: numbering.overflow, ..model }
}

fn layers(node: &Node<Box<Row>>) -> usize {
    match node {
        Node::Layer(_) => 1,
        Node::Composite(composite) => composite.body.iter().map(layers).sum(),
        Node::Repeat(repeat) => repeat.instances().map(layers).sum(),
    }
}

/// Gives rows that ask their class for the same the same signature; a row for each comes back.
#[expect(clippy::mutable_key_type, reason = "a class is told by its place in memory, not by what it remembers")]
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
    around: Arc<Around>,
    /// The index sets of the enclosing repeats' current variants, as shown.
    indices: Vec<String>,
    repeats: Vec<u128>,
    overflow: Option<Span>,
}

impl Numbering {
    fn nodes(&mut self, nodes: Vec<Node<Box<Row>>>) -> Vec<Node<RowId>> {
        nodes.into_iter().map(|node| self.node(node)).collect()
    }

    fn node(&mut self, node: Node<Box<Row>>) -> Node<RowId> {
        match node {
            Node::Layer(row) => Node::Layer(self.row(*row)),
            Node::Composite(composite) => Node::Composite(Box::new(self.composite(*composite))),
            Node::Repeat(repeat) => {
                let Repeat { name, count, parallel, inputs, hold, variants } = *repeat;
                let variants = variants.into_iter().map(|variant| self.variant(variant)).collect();
                Node::Repeat(Box::new(Repeat { name, count, parallel, inputs, hold, variants }))
            }
        }
    }

    fn variant(&mut self, variant: Variant<Box<Row>>) -> Variant<RowId> {
        self.indices.push(variant.indices.pattern());
        self.repeats.push(variant.indices.count());
        let instance = variant.instance.map(|node| self.node(node));
        self.repeats.pop();
        self.indices.pop();
        Variant { indices: variant.indices, instance }
    }

    fn enter(&mut self, segment: Option<&Segment>) -> usize {
        let indices = &self.indices;
        enter(&mut self.path, segment, indices.len(), &|at, out| out.push_str(indices.get(at).map_or("?", String::as_str)))
    }

    fn composite(&mut self, composite: Composite<Box<Row>>) -> Composite<RowId> {
        let length = self.enter(composite.path_segment());
        let around = self.around.clone();
        if composite.path_segment().is_some() || composite.calls.is_some() {
            let here = Arc::make_mut(&mut self.around);
            if composite.path_segment().is_some() {
                here.prefixes.push(u32::try_from(self.path.len()).unwrap_or(u32::MAX));
            }
            here.calls.extend(composite.calls.as_deref().cloned());
        }
        let Composite { segment, inline, class, role, calls, inputs, output, hold, tie, body, span } = composite;
        let body = self.nodes(body);
        self.around = around;
        self.path.truncate(length);
        Composite { segment, inline, class, role, calls, inputs, output, hold, tie, body, span }
    }

    fn row(&mut self, row: Row) -> RowId {
        let length = self.enter(row.segment.as_ref());
        let repeats = self.repeats.iter().try_fold(1u128, |product, n| product.checked_mul(*n));
        if repeats.is_none() {
            self.overflow.get_or_insert(row.span);
        }
        let id = RowId(u32::try_from(self.rows.len()).unwrap_or(u32::MAX));
        let (path, around) = (self.path.as_str().into(), self.around.clone());
        self.rows.push(RowInfo { signature: 0, path, repeats: repeats.unwrap_or(0), around, row });
        self.path.truncate(length);
        id
    }
}
