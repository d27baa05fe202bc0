//! Where values are once layers of a body were put together: references are led to them.

use super::uses::output_in;
use crate::flat::{Composite, Indices, Node, Repeat, Row, Step, ValueRef, ValueTarget, Variant};
use crate::language::enclosing;

/// A body, before and after.
#[derive(Debug, Default)]
pub struct BodyMap {
    pub nodes: Vec<NodeMap>,
}

/// A node of a body, before and after.
#[derive(Debug)]
pub struct NodeMap {
    /// Where it is now, or what stands for it.
    pub at: u32,
    /// Of a layer that another stands for: which of that one's outputs each of its own is; `None`: it stayed what it was.
    pub outputs: Option<Vec<u16>>,
    /// What is in it.
    pub inside: Inside,
}

/// What is in a node.
#[derive(Debug)]
pub enum Inside {
    Layer,
    Composite(BodyMap),
    /// By the indices that have each form.
    Repeat(Vec<(Indices, BodyMap)>),
}

impl BodyMap {
    /// That of a body in which everything is where it was.
    #[must_use]
    pub fn as_it_is(nodes: &[Node<Box<Row>>]) -> Self {
        let node = |(at, node): (u32, &Node<Box<Row>>)| NodeMap { at, outputs: None, inside: Inside::as_it_is(node) };
        BodyMap { nodes: (0u32..).zip(nodes).map(node).collect() }
    }

    /// A value of this body, seen from it.
    fn moved(&self, at: u32, rest: &[Step]) -> (u32, Vec<Step>) {
        match self.nodes.get(at as usize) {
            Some(node) => (node.at, node.moved(rest)),
            None => (at, rest.to_vec()),
        }
    }
}

impl Inside {
    fn as_it_is(node: &Node<Box<Row>>) -> Self {
        match node {
            Node::Layer(_) => Inside::Layer,
            Node::Composite(composite) => Inside::Composite(BodyMap::as_it_is(&composite.body)),
            Node::Repeat(repeat) => {
                let variant = |variant: &Variant<Box<Row>>| {
                    let body = if let Some(Node::Composite(composite)) = &variant.instance { &composite.body[..] } else { &[] };
                    (variant.indices.clone(), BodyMap::as_it_is(body))
                };
                Inside::Repeat(repeat.variants.iter().map(variant).collect())
            }
        }
    }
}

impl NodeMap {
    fn moved(&self, rest: &[Step]) -> Vec<Step> {
        match (&self.outputs, rest, &self.inside) {
            // It was a composite of one layer.
            (_, [Step::Child(_), rest @ ..], Inside::Layer) => self.moved(rest),
            (Some(outputs), [] | [Step::Output(_), ..], _) => output_of(outputs, output_in(rest)),
            (None, [Step::Child(child), rest @ ..], Inside::Composite(body)) => {
                let (child, rest) = body.moved(*child, rest);
                [Step::Child(child)].into_iter().chain(rest).collect()
            }
            (None, [Step::Instance(index), Step::Child(child), rest @ ..], Inside::Repeat(variants)) => {
                let body = variants.iter().find(|(indices, _)| indices.contains(*index)).map(|(_, body)| body);
                let (child, rest) = body.map_or_else(|| (*child, rest.to_vec()), |body| body.moved(*child, rest));
                [Step::Instance(*index), Step::Child(child)].into_iter().chain(rest).collect()
            }
            (_, rest, _) => rest.to_vec(),
        }
    }
}

/// The first output is the value itself.
fn output_of(outputs: &[u16], own: u16) -> Vec<Step> {
    match outputs.get(usize::from(own)) {
        Some(0) | None => Vec::new(),
        Some(output) => vec![Step::Output(*output)],
    }
}

/// Takes the only layer out of composites that have no other: it has their names.
pub fn unwrap(nodes: &mut [Node<Box<Row>>]) {
    for node in nodes.iter_mut() {
        match node {
            Node::Layer(_) => {}
            Node::Composite(composite) => {
                unwrap(&mut composite.body);
                if let Some(row) = composite.only_layer() {
                    *node = Node::Layer(row);
                }
            }
            Node::Repeat(repeat) => {
                for variant in &mut repeat.variants {
                    if let Some(Node::Composite(composite)) = &mut variant.instance {
                        unwrap(&mut composite.body);
                    }
                }
            }
        }
    }
}

/// Leads every reference in a body, and in all bodies in it, to where its value is now. `levels`: the bodies around, the outermost first.
pub fn lead<'m>(body: &mut [Node<Box<Row>>], maps: &'m BodyMap, levels: &mut Vec<&'m BodyMap>) {
    levels.push(maps);
    let order = order_of(maps, body.len());
    for (node, old) in body.iter_mut().zip(order) {
        let inside = maps.nodes.get(old).map(|node| &node.inside);
        lead_node(node, inside, levels);
    }
    levels.pop();
}

fn lead_node<'m>(node: &mut Node<Box<Row>>, inside: Option<&'m Inside>, levels: &mut Vec<&'m BodyMap>) {
    match (node, inside) {
        (Node::Layer(row), _) => row.moves(&|value| moved(value, levels)),
        (Node::Composite(composite), Some(Inside::Composite(maps))) => lead_composite(composite, maps, levels),
        (Node::Repeat(repeat), Some(Inside::Repeat(variants))) => lead_repeat(repeat, variants, levels),
        (Node::Composite(_) | Node::Repeat(_), _) => {}
    }
}

fn lead_composite<'m>(composite: &mut Composite<Box<Row>>, maps: &'m BodyMap, levels: &mut Vec<&'m BodyMap>) {
    composite.inputs.iter_mut().for_each(|value| *value = moved(value, levels));
    levels.push(maps);
    if let Some(output) = composite.output.as_deref_mut() {
        *output = moved(output, levels);
    }
    levels.pop();
    lead(&mut composite.body, maps, levels);
}

fn lead_repeat<'m>(repeat: &mut Repeat<Box<Row>>, variants: &'m [(Indices, BodyMap)], levels: &mut Vec<&'m BodyMap>) {
    repeat.inputs.iter_mut().for_each(|value| *value = moved(value, levels));
    for (variant, (_, maps)) in repeat.variants.iter_mut().zip(variants) {
        match &mut variant.instance {
            Some(Node::Composite(composite)) => lead_composite(composite, maps, levels),
            Some(Node::Layer(row)) => row.moves(&|value| moved(value, levels)),
            _ => {}
        }
    }
}

/// By the new place of each node, its old one; of layers that stand for others, the place of the last of these.
fn order_of(maps: &BodyMap, len: usize) -> Vec<usize> {
    let mut order = vec![usize::MAX; len];
    for (old, node) in maps.nodes.iter().enumerate() {
        if let Some(place) = order.get_mut(node.at as usize) {
            *place = old;
        }
    }
    order
}

fn moved(value: &ValueRef, levels: &[&BodyMap]) -> ValueRef {
    match (&value.target, enclosing(levels, value.up)) {
        (ValueTarget::Node(at), Some(maps)) => {
            let (at, rest) = maps.moved(*at, &value.rest);
            ValueRef { up: value.up, target: ValueTarget::Node(at), rest }
        }
        _ => value.clone(),
    }
}
