//! Puts the layers of groups into the body around them.
//!
//! A group adds no segment to paths and is no call in PyTorch: its values live as if its layers stood beside its siblings. A tree comes in,
//! the same without groups goes out, its references led to where their values are now. A group that runs several times stays.

use std::collections::HashMap;
use std::sync::Arc;

use super::node::{Composite, Node, Repeat, Row, ValueRef, ValueTarget, Variant};
use super::wire::segment_of;
use crate::language::Segment;
use crate::syntax::spec::Hold;

/// A body without groups.
pub fn groups(body: Vec<Node<Row>>) -> Vec<Node<Row>> {
    if !body.iter().any(any_group) {
        return body;
    }
    let mut splicer = Splicer { levels: vec![Level::new(0, Absolute::input(0))] };
    let mut out = Vec::with_capacity(body.len());
    splicer.body(body, &mut out);
    if let Some(level) = splicer.levels.pop() {
        level.rename(&mut out);
    }
    out
}

fn is_group(composite: &Composite<Row>) -> bool {
    composite.path_segment().is_none() && composite.calls.is_none() && composite.tie.is_none()
}

fn any_group(node: &Node<Row>) -> bool {
    match node {
        Node::Layer(_) => false,
        Node::Composite(composite) => is_group(composite) || composite.body.iter().any(any_group),
        Node::Repeat(repeat) => repeat.instances().any(|instance| match instance {
            Node::Composite(composite) => composite.body.iter().any(any_group),
            _ => false,
        }),
    }
}

/// A value by the depth of the body that has it, in the tree that is being made.
#[derive(Debug, Clone)]
struct Absolute {
    depth: usize,
    target: ValueTarget,
    rest: Vec<Arc<str>>,
}

impl Absolute {
    fn input(depth: usize) -> Self {
        Absolute { depth, target: ValueTarget::Input, rest: Vec::new() }
    }

    fn then(mut self, rest: &[Arc<str>]) -> Self {
        self.rest.extend(rest.iter().cloned());
        self
    }
}

/// Where a node of the old tree is in the new one.
#[derive(Debug, Clone)]
enum Place {
    Node(Absolute),
    /// It was a group: its value, and its children by name.
    Group {
        output: Absolute,
        children: HashMap<Arc<str>, Place>,
    },
}

impl Place {
    fn find(&self, rest: &[Arc<str>]) -> Absolute {
        match (self, rest.split_first()) {
            (Place::Node(node), _) => node.clone().then(rest),
            (Place::Group { output, .. }, None) => output.clone(),
            (Place::Group { output, children }, Some((name, inside))) => match children.get(name) {
                Some(child) => child.find(inside),
                None => output.clone().then(rest),
            },
        }
    }
}

/// A body of the old tree that is being walked.
struct Level {
    /// The depth of the new body that its nodes go into.
    depth: usize,
    input: Absolute,
    places: Vec<Place>,
    /// Groups that had a name, each with the name of the layer whose value theirs is.
    renamed: HashMap<Arc<str>, Arc<str>>,
}

impl Level {
    fn new(depth: usize, input: Absolute) -> Self {
        Level { depth, input, places: Vec::new(), renamed: HashMap::new() }
    }

    /// What is held until a group has run is held until its last layer has.
    fn rename(&self, body: &mut [Node<Row>]) {
        if self.renamed.is_empty() {
            return;
        }
        for node in body {
            if let Some(Hold::Until { siblings, .. }) = hold_of(node) {
                siblings.iter_mut().for_each(|name| {
                    if let Some(now) = self.renamed.get(name) {
                        *name = now.clone();
                    }
                });
            }
        }
    }
}

fn hold_of(node: &mut Node<Row>) -> &mut Option<Hold> {
    match node {
        Node::Layer(row) => &mut row.hold,
        Node::Composite(composite) => &mut composite.hold,
        Node::Repeat(repeat) => &mut repeat.hold,
    }
}

struct Splicer {
    levels: Vec<Level>,
}

impl Splicer {
    fn depth(&self) -> usize {
        self.levels.last().map_or(0, |level| level.depth)
    }

    fn absolute(&self, value: &ValueRef) -> Absolute {
        let level = self.levels.len().checked_sub(1 + usize::from(value.up)).and_then(|at| self.levels.get(at));
        match (&value.target, level) {
            (ValueTarget::Input, Some(level)) => level.input.clone().then(&value.rest),
            (ValueTarget::Node(at), Some(level)) if let Some(place) = level.places.get(*at as usize) => place.find(&value.rest),
            (target, level) => {
                Absolute { depth: level.map_or(0, |level| level.depth), target: target.clone(), rest: value.rest.clone() }
            }
        }
    }

    fn moved(&self, value: &ValueRef) -> ValueRef {
        if matches!(value.target, ValueTarget::ModelInput(_)) {
            return value.clone();
        }
        let Absolute { depth, target, rest } = self.absolute(value);
        let up = match target {
            ValueTarget::ModelInput(_) => 0,
            _ => u16::try_from(self.depth().saturating_sub(depth)).unwrap_or(u16::MAX),
        };
        ValueRef { up, target, rest }
    }

    fn all_moved(&self, values: &mut [ValueRef]) {
        values.iter_mut().for_each(|value| *value = self.moved(value));
    }

    fn settle(&mut self, place: Place) {
        if let Some(level) = self.levels.last_mut() {
            level.places.push(place);
        }
    }

    fn next(&self, out: &[Node<Row>]) -> Place {
        let at = u32::try_from(out.len()).unwrap_or(u32::MAX);
        Place::Node(Absolute { depth: self.depth(), target: ValueTarget::Node(at), rest: Vec::new() })
    }

    fn body(&mut self, nodes: Vec<Node<Row>>, out: &mut Vec<Node<Row>>) {
        for node in nodes {
            match node {
                Node::Composite(composite) if is_group(&composite) => self.group(composite, out),
                Node::Layer(mut row) => {
                    self.all_moved(&mut row.inputs);
                    self.settle(self.next(out));
                    out.push(Node::Layer(row));
                }
                Node::Composite(mut composite) => {
                    self.all_moved(&mut composite.inputs);
                    let place = self.next(out);
                    let composite = self.inside(composite);
                    self.settle(place);
                    out.push(Node::Composite(composite));
                }
                Node::Repeat(repeat) => {
                    // Its instances may read earlier ones, so it has its place before they are walked.
                    self.settle(self.next(out));
                    let repeat = self.repeat(repeat);
                    out.push(Node::Repeat(repeat));
                }
            }
        }
    }

    /// A composite that stays one.
    fn inside(&mut self, mut composite: Composite<Row>) -> Composite<Row> {
        let depth = self.depth() + 1;
        self.levels.push(Level::new(depth, Absolute::input(depth)));
        let mut body = Vec::with_capacity(composite.body.len());
        self.body(std::mem::take(&mut composite.body), &mut body);
        if let Some(output) = &mut composite.output {
            *output = self.moved(output);
        } else if let Some(Place::Group { output, .. }) = self.levels.last().and_then(|level| level.places.last()) {
            // The last layer is no longer the group, whose value may be another layer's.
            let last = ValueTarget::Node(u32::try_from(body.len().saturating_sub(1)).unwrap_or(u32::MAX));
            if output.target != last || output.depth != depth || !output.rest.is_empty() {
                let up = u16::try_from(depth.saturating_sub(output.depth)).unwrap_or(u16::MAX);
                composite.output = Some(ValueRef { up, target: output.target.clone(), rest: output.rest.clone() });
            }
        }
        if let Some(level) = self.levels.pop() {
            level.rename(&mut body);
        }
        composite.body = body;
        composite
    }

    fn repeat(&mut self, mut repeat: Repeat<Row>) -> Repeat<Row> {
        self.all_moved(&mut repeat.inputs);
        let variants = std::mem::take(&mut repeat.variants);
        repeat.variants = variants
            .into_iter()
            .map(|variant| {
                let instance = variant.instance.map(|instance| match *instance {
                    Node::Layer(mut row) => {
                        self.all_moved(&mut row.inputs);
                        Box::new(Node::Layer(row))
                    }
                    Node::Composite(mut composite) => {
                        self.all_moved(&mut composite.inputs);
                        Box::new(Node::Composite(self.inside(composite)))
                    }
                    node @ Node::Repeat(_) => Box::new(node),
                });
                Variant { instance, ..variant }
            })
            .collect();
        repeat
    }

    fn group(&mut self, group: Composite<Row>, out: &mut Vec<Node<Row>>) {
        let depth = self.depth();
        let input = group.inputs.first().map_or_else(|| Absolute::input(depth), |input| self.absolute(input));
        let names: Vec<Option<Arc<str>>> =
            group.body.iter().map(|node| segment_of(node).and_then(Segment::lookup_name).cloned()).collect();
        self.levels.push(Level::new(depth, input.clone()));
        self.body(group.body, out);
        let output = group.output.as_ref().map(|output| self.absolute(output));
        let Some(Level { places, mut renamed, .. }) = self.levels.pop() else { return };
        let output = output.or_else(|| Some(places.last()?.find(&[]))).unwrap_or(input);
        if let (Some(hold), ValueTarget::Node(at), true) = (group.hold, &output.target, output.depth == depth)
            && let Some(node) = out.get_mut(*at as usize)
        {
            hold_of(node).get_or_insert(hold);
        }
        if let (Some(name), Some(last)) = (group.segment.as_ref().and_then(Segment::lookup_name), out.last())
            && let Some(now) = segment_of(last).and_then(Segment::lookup_name)
        {
            renamed.insert(name.clone(), now.clone());
        }
        if let Some(level) = self.levels.last_mut() {
            level.renamed.extend(renamed);
        }
        let mut children = HashMap::new();
        for (name, place) in names.into_iter().zip(places) {
            match (name, place) {
                (Some(name), place) => {
                    children.insert(name, place);
                }
                // The names in a nameless group count as its siblings'.
                (None, Place::Group { children: inner, .. }) => children.extend(inner),
                (None, Place::Node(_)) => {}
            }
        }
        self.settle(Place::Group { output, children });
    }
}
