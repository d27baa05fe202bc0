//! Who reads what in a tree: by body and node.

use std::collections::HashSet;
use std::sync::Arc;

use crate::flat::{Composite, Indices, Node, Row, Step, ValueRef, ValueTarget};
use crate::language::enclosing;

/// A body of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyId(usize);

impl BodyId {
    /// The model's own.
    pub const ROOT: BodyId = BodyId(0);
}

/// Something that reads a node's value.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// The node of the same body that reads it, or in which that is read; `None`: it is read from outside the body.
    pub at: Option<usize>,
    /// Which output.
    pub output: u16,
}

/// The bodies in a node.
#[derive(Debug, Clone)]
pub enum Children {
    None,
    One(BodyId),
    /// Of each form of a repeat; a repeated layer has none.
    Many(Vec<Option<BodyId>>),
}

#[derive(Debug, Default)]
struct BodyUses {
    readers: Vec<Vec<Reader>>,
    /// By node: the nodes of this body that it reads, or something in it.
    reads: Vec<Vec<usize>>,
    children: Vec<Children>,
}

/// Who reads what in a tree.
#[derive(Debug)]
pub struct Uses {
    bodies: Vec<BodyUses>,
    shared: HashSet<Arc<str>>,
}

/// A body that is being walked, and the node in it.
#[derive(Clone, Copy)]
struct Level<'t> {
    id: usize,
    at: usize,
    nodes: &'t [Node<Box<Row>>],
}

impl Uses {
    /// Those of a tree.
    #[must_use]
    pub fn of(body: &[Node<Box<Row>>]) -> Self {
        let mut uses = Uses { bodies: Vec::new(), shared: HashSet::new() };
        uses.enter(body);
        let mut levels = vec![Level { id: 0, at: 0, nodes: body }];
        uses.body(body, &mut levels);
        uses
    }

    /// The parts of the paths by which weights are shared.
    pub fn shared_names(&self) -> HashSet<Arc<str>> {
        self.shared.clone()
    }

    /// Who reads a node.
    pub fn readers(&self, id: BodyId, at: usize) -> impl Iterator<Item = Reader> + '_ {
        self.bodies.get(id.0).and_then(|body| body.readers.get(at)).into_iter().flatten().copied()
    }

    /// The nodes of its body that a node reads.
    #[must_use]
    pub fn reads(&self, id: BodyId, at: usize) -> &[usize] {
        self.bodies.get(id.0).and_then(|body| body.reads.get(at)).map_or(&[], Vec::as_slice)
    }

    /// The bodies in a node.
    #[must_use]
    pub fn children(&self, id: BodyId, at: usize) -> &Children {
        self.bodies.get(id.0).and_then(|body| body.children.get(at)).unwrap_or(&Children::None)
    }

    /// Gives a body and all in it their numbers.
    fn enter(&mut self, nodes: &[Node<Box<Row>>]) -> usize {
        let id = self.bodies.len();
        self.bodies.push(BodyUses {
            readers: vec![Vec::new(); nodes.len()],
            reads: vec![Vec::new(); nodes.len()],
            children: Vec::new(),
        });
        let children: Vec<Children> = nodes.iter().map(|node| self.enter_node(node)).collect();
        if let Some(body) = self.bodies.get_mut(id) {
            body.children = children;
        }
        id
    }

    fn enter_node(&mut self, node: &Node<Box<Row>>) -> Children {
        match node {
            Node::Layer(row) => {
                for path in row.ties_to() {
                    self.shared.extend(path.split('.').map(Arc::from));
                }
                Children::None
            }
            Node::Composite(composite) => {
                for path in composite.ties_to() {
                    self.shared.extend(path.split('.').map(Arc::from));
                }
                Children::One(BodyId(self.enter(&composite.body)))
            }
            Node::Repeat(repeat) => {
                let ids = repeat.variants.iter().map(|variant| match &variant.instance {
                    Some(Node::Composite(composite)) => Some(BodyId(self.enter(&composite.body))),
                    Some(node) => {
                        self.enter_node(node);
                        None
                    }
                    None => None,
                });
                Children::Many(ids.collect())
            }
        }
    }

    fn body<'t>(&mut self, nodes: &'t [Node<Box<Row>>], levels: &mut Vec<Level<'t>>) {
        for (at, node) in nodes.iter().enumerate() {
            if let Some(level) = levels.last_mut() {
                level.at = at;
            }
            let id = levels.last().map_or(0, |level| level.id);
            let children = self.bodies.get(id).and_then(|body| body.children.get(at)).cloned().unwrap_or(Children::None);
            match (node, children) {
                (Node::Layer(row), _) => self.all(&row.inputs, levels),
                (Node::Composite(composite), Children::One(inner)) => self.composite(composite, inner, levels),
                (Node::Repeat(repeat), Children::Many(ids)) => {
                    self.all(&repeat.inputs, levels);
                    for (variant, inner) in repeat.variants.iter().zip(ids) {
                        match (&variant.instance, inner) {
                            (Some(Node::Composite(composite)), Some(inner)) => self.composite(composite, inner, levels),
                            (Some(Node::Layer(row)), _) => self.all(&row.inputs, levels),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn composite<'t>(&mut self, composite: &'t Composite<Box<Row>>, inner: BodyId, levels: &mut Vec<Level<'t>>) {
        self.all(&composite.inputs, levels);
        levels.push(Level { id: inner.0, at: usize::MAX, nodes: &composite.body });
        match &composite.output {
            Some(output) => self.note(output, levels),
            None => {
                if let Some(last) = composite.body.len().checked_sub(1) {
                    self.read(inner.0, last, 0, None);
                }
            }
        }
        self.body(&composite.body, levels);
        levels.pop();
    }

    fn all(&mut self, values: &[ValueRef], levels: &[Level<'_>]) {
        values.iter().for_each(|value| self.note(value, levels));
    }

    fn note(&mut self, value: &ValueRef, levels: &[Level<'_>]) {
        let ValueTarget::Node(at) = value.target else { return };
        let Some(level) = enclosing(levels, value.up).copied() else { return };
        let at = at as usize;
        // What a composite returns is read from outside.
        let reader = (level.at != usize::MAX).then_some(level.at);
        self.read(level.id, at, output_in(&value.rest), reader);
        self.inside(level.id, level.nodes, at, &value.rest);
    }

    /// Notes what of the inside of a node is read.
    fn inside(&mut self, id: usize, nodes: &[Node<Box<Row>>], at: usize, rest: &[Step]) {
        let children = self.bodies.get(id).and_then(|body| body.children.get(at)).cloned();
        let found = match (nodes.get(at), children, rest) {
            (Some(Node::Composite(composite)), Some(Children::One(inner)), [Step::Child(child), rest @ ..]) => {
                Some((inner, composite.body.as_slice(), *child, rest))
            }
            (Some(Node::Repeat(repeat)), Some(Children::Many(ids)), [Step::Instance(index), Step::Child(child), rest @ ..]) => {
                let has = |indices: &Indices| indices.contains(*index);
                let variant = repeat.variants.iter().zip(ids).find(|(variant, _)| has(&variant.indices));
                variant.and_then(|(variant, inner)| match (&variant.instance, inner) {
                    (Some(Node::Composite(composite)), Some(inner)) => Some((inner, composite.body.as_slice(), *child, rest)),
                    _ => None,
                })
            }
            _ => None,
        };
        if let Some((inner, nodes, child, rest)) = found {
            self.read(inner.0, child as usize, output_in(rest), None);
            self.inside(inner.0, nodes, child as usize, rest);
        }
    }

    fn read(&mut self, id: usize, at: usize, output: u16, reader: Option<usize>) {
        let Some(body) = self.bodies.get_mut(id) else { return };
        if let Some(readers) = body.readers.get_mut(at) {
            readers.push(Reader { at: reader, output });
        }
        if let Some(reads) = reader.and_then(|reader| body.reads.get_mut(reader)) {
            reads.push(at);
        }
    }
}

/// Which output of a node a reference means; the first is the value itself.
pub fn output_in(rest: &[Step]) -> u16 {
    if let [Step::Output(output), ..] = rest { *output } else { 0 }
}
