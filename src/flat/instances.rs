//! The full flat list with concrete paths, made one by one.

use std::fmt::Write as _;

use super::model::FlatModel;
use super::node::{Node, Repeat, RowId};
use crate::language::Segment;

/// Adds a segment to a path; gives the length to cut it back to. `index` writes that of the n-th of `depth` enclosing repeats.
pub(super) fn enter(path: &mut String, segment: Option<&Segment>, depth: usize, index: &dyn Fn(usize, &mut String)) -> usize {
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

/// The same where the indices of the enclosing repeats are known.
pub fn enter_instance(path: &mut String, segment: Option<&Segment>, indices: &[u64]) -> usize {
    enter(path, segment, indices.len(), &|at, out| {
        let _ = write!(out, "{}", indices.get(at).copied().unwrap_or_default());
    })
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
    stack: Vec<Walk<'f>>,
    path: String,
    indices: Vec<u64>,
}

enum Walk<'f> {
    Nodes { nodes: &'f [Node<RowId>], at: usize, path: usize },
    Repeat { repeat: &'f Repeat<RowId>, order: Vec<(u64, u64, usize)>, at: usize, next: u64 },
}

impl<'f> Instances<'f> {
    /// The instances of a part of a model, with paths from there on.
    pub(super) fn within(model: &'f FlatModel, nodes: &'f [Node<RowId>]) -> Self {
        Instances { model, stack: vec![Walk::Nodes { nodes, at: 0, path: 0 }], path: String::new(), indices: Vec::new() }
    }

    fn enter(&mut self, segment: Option<&Segment>) -> usize {
        enter_instance(&mut self.path, segment, &self.indices)
    }

    /// Goes into a node; a layer comes back.
    fn visit(&mut self, node: &'f Node<RowId>) -> Option<Instance> {
        match node {
            Node::Layer(id) => {
                let segment = self.model.row(*id).and_then(|info| info.row.segment.as_ref());
                let length = self.enter(segment);
                let instance = Instance { row: *id, path: self.path.clone() };
                self.path.truncate(length);
                Some(instance)
            }
            Node::Composite(composite) => {
                let path = self.enter(composite.path_segment());
                self.stack.push(Walk::Nodes { nodes: &composite.body, at: 0, path });
                None
            }
            Node::Repeat(repeat) => {
                let order = repeat.order();
                let next = order.first().map_or(0, |(first, ..)| *first);
                self.indices.push(next);
                self.stack.push(Walk::Repeat { repeat, order, at: 0, next });
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
                Walk::Nodes { nodes, at, path } => match nodes.get(*at) {
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
                Walk::Repeat { repeat, order, at, next } => match order.get(*at) {
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
                        match repeat.variants.get(variant).and_then(|v| v.instance.as_ref()) {
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
