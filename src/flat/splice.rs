//! Puts the layers of groups into the body around them.
//!
//! A group adds no segment to paths and is no call in PyTorch: its values live as if its layers stood beside its siblings. A tree comes in,
//! the same without groups goes out, its references led to where their values are now. A group that runs several times stays.

use std::collections::HashMap;
use std::sync::Arc;

use super::indices::Indices;
use super::node::{Composite, Node, Repeat, Row, Variant};
use super::value::{Step, ValueRef, ValueTarget};
use super::wire::segment_of;
use crate::language::{Segment, enclosing};
use crate::syntax::spec::Hold;

/// A body without groups.
pub fn groups(body: Vec<Node<Box<Row>>>) -> Vec<Node<Box<Row>>> {
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

fn is_group(composite: &Composite<Box<Row>>) -> bool {
    composite.path_segment().is_none() && composite.calls.is_none() && composite.tie.is_none()
}

fn any_group(node: &Node<Box<Row>>) -> bool {
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
    rest: Vec<Step>,
}

impl Absolute {
    fn input(depth: usize) -> Self {
        Absolute { depth, target: ValueTarget::Input, rest: Vec::new() }
    }

    fn node(depth: usize, at: usize) -> Self {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        Absolute { depth, target: ValueTarget::Node(at), rest: Vec::new() }
    }

    fn then(mut self, rest: &[Step]) -> Self {
        self.rest.extend(rest.iter().copied());
        self
    }
}

/// Where a node of the old tree is in the new one.
#[derive(Debug, Clone)]
enum Place {
    /// It stays one.
    Node { at: Absolute, inside: Inside },
    /// It was a group: its value, and where its children are.
    Group { output: Absolute, children: Vec<Place> },
}

/// What became of what is in a node, seen from there.
#[derive(Debug, Clone)]
enum Inside {
    Layer,
    Composite {
        /// What the composite is given, seen from around it.
        input: Absolute,
        children: Vec<Place>,
    },
    /// By the indices that have each form; a chained one reads the instance before.
    Repeat {
        input: Absolute,
        chained: bool,
        variants: Vec<(Indices, Vec<Place>)>,
    },
}

impl Place {
    /// The value that steps from a node of the old tree lead to.
    fn find(&self, steps: &[Step]) -> Absolute {
        match (self, steps) {
            (Place::Node { at, .. }, []) => at.clone(),
            (Place::Node { at, inside }, [step, rest @ ..]) => inside.find(at, *step, rest),
            (Place::Group { output, .. }, []) => output.clone(),
            (Place::Group { output, children }, [Step::Child(child), rest @ ..]) => {
                children.get(*child as usize).map_or_else(|| output.clone(), |child| child.find(rest))
            }
            (Place::Group { output, .. }, steps) => output.clone().then(steps),
        }
    }
}

impl Inside {
    /// `at`: the node in which this is.
    fn find(&self, at: &Absolute, step: Step, rest: &[Step]) -> Absolute {
        match (self, step, rest) {
            (Inside::Composite { input, children }, Step::Child(child), _) => from_outside(at, children, child, rest, input),
            (Inside::Repeat { .. }, Step::Instance(_), []) => at.clone().then(&[step]),
            (Inside::Repeat { input, chained, variants }, Step::Instance(index), [Step::Child(child), rest @ ..]) => {
                let given = match index.checked_sub(1).filter(|_| *chained) {
                    Some(before) => at.clone().then(&[Step::Instance(before)]),
                    None => input.clone(),
                };
                let children = variants.iter().find(|(indices, _)| indices.contains(index)).map_or(&[][..], |(_, places)| places);
                from_outside(&at.clone().then(&[step]), children, *child, rest, &given)
            }
            _ => at.clone().then(&[step]).then(rest),
        }
    }
}

/// A child's value as the body around the composite at `at` reads it, where the composite is given `input`.
fn from_outside(at: &Absolute, children: &[Place], child: u32, rest: &[Step], input: &Absolute) -> Absolute {
    let inside = at.depth + 1;
    let Some(found) = children.get(child as usize).map(|child| child.find(rest)) else { return at.clone() };
    match found.target {
        ValueTarget::Node(child) if found.depth == inside => at.clone().then(&[Step::Child(child)]).then(&found.rest),
        ValueTarget::Input if found.depth == inside => input.clone().then(&found.rest),
        // What a group inside was given by the bodies around.
        _ => found,
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
    fn rename(&self, body: &mut [Node<Box<Row>>]) {
        if self.renamed.is_empty() {
            return;
        }
        for node in body {
            if let Some(Hold::Until { siblings, .. }) = hold_of(node).as_deref_mut() {
                siblings.iter_mut().for_each(|name| {
                    if let Some(now) = self.renamed.get(name) {
                        *name = now.clone();
                    }
                });
            }
        }
    }
}

fn hold_of(node: &mut Node<Box<Row>>) -> &mut Option<Box<Hold>> {
    match node {
        Node::Layer(row) => &mut row.common_mut().hold,
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
        let level = enclosing(&self.levels, value.up);
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

    fn move_inputs(&self, row: &mut Row) {
        let moved: Vec<ValueRef> = row.inputs.iter().map(|value| self.moved(value)).collect();
        if moved != row.inputs {
            row.common_mut().inputs = moved;
        }
    }

    fn settle(&mut self, place: Place) {
        if let Some(level) = self.levels.last_mut() {
            level.places.push(place);
        }
    }

    fn next(&self, out: &[Node<Box<Row>>]) -> Absolute {
        Absolute::node(self.depth(), out.len())
    }

    /// What a node whose inputs are moved reads first.
    fn given(&self, inputs: &[ValueRef]) -> Absolute {
        let input = inputs.first().cloned().unwrap_or_else(|| ValueRef::input(0));
        let depth = self.depth().saturating_sub(usize::from(input.up));
        Absolute { depth, target: input.target, rest: input.rest }
    }

    fn body(&mut self, nodes: Vec<Node<Box<Row>>>, out: &mut Vec<Node<Box<Row>>>) {
        for node in nodes {
            match node {
                Node::Composite(composite) if is_group(&composite) => self.group(*composite, out),
                Node::Layer(mut row) => {
                    self.move_inputs(&mut row);
                    self.settle(Place::Node { at: self.next(out), inside: Inside::Layer });
                    out.push(Node::Layer(row));
                }
                Node::Composite(mut composite) => {
                    self.all_moved(&mut composite.inputs);
                    let (at, input) = (self.next(out), self.given(&composite.inputs));
                    let (composite, children) = self.inside(composite);
                    self.settle(Place::Node { at, inside: Inside::Composite { input, children } });
                    out.push(Node::Composite(composite));
                }
                Node::Repeat(repeat) => {
                    let repeat = self.repeat(repeat, self.next(out));
                    out.push(Node::Repeat(repeat));
                }
            }
        }
    }

    /// A composite that stays one, and where its children are now.
    fn inside(&mut self, mut composite: Box<Composite<Box<Row>>>) -> (Box<Composite<Box<Row>>>, Vec<Place>) {
        let depth = self.depth() + 1;
        self.levels.push(Level::new(depth, Absolute::input(depth)));
        let mut body = Vec::with_capacity(composite.body.len());
        self.body(std::mem::take(&mut composite.body), &mut body);
        if let Some(output) = composite.output.as_deref_mut() {
            *output = self.moved(output);
        } else if let Some(Place::Group { output, .. }) = self.levels.last().and_then(|level| level.places.last()) {
            // The last layer is no longer the group, whose value may be another layer's.
            let last = Absolute::node(depth, body.len().saturating_sub(1)).target;
            if output.target != last || output.depth != depth || !output.rest.is_empty() {
                let up = u16::try_from(depth.saturating_sub(output.depth)).unwrap_or(u16::MAX);
                composite.output = Some(Box::new(ValueRef { up, target: output.target.clone(), rest: output.rest.clone() }));
            }
        }
        let level = self.levels.pop();
        level.iter().for_each(|level| level.rename(&mut body));
        composite.body = body;
        (composite, level.map(|level| level.places).unwrap_or_default())
    }

    fn repeat(&mut self, mut repeat: Box<Repeat<Box<Row>>>, at: Absolute) -> Box<Repeat<Box<Row>>> {
        self.all_moved(&mut repeat.inputs);
        // Its instances may read earlier ones, so it has its place before they are walked.
        let (input, chained) = (self.given(&repeat.inputs), !repeat.parallel);
        self.settle(Place::Node { at, inside: Inside::Repeat { input, chained, variants: Vec::new() } });
        let variants = std::mem::take(&mut repeat.variants);
        repeat.variants = variants.into_iter().map(|variant| self.variant(variant)).collect();
        repeat
    }

    fn variant(&mut self, variant: Variant<Box<Row>>) -> Variant<Box<Row>> {
        let Variant { indices, instance } = variant;
        let (instance, children) = match instance {
            Some(Node::Composite(mut composite)) => {
                self.all_moved(&mut composite.inputs);
                let (composite, children) = self.inside(composite);
                (Some(Node::Composite(composite)), children)
            }
            Some(Node::Layer(mut row)) => {
                self.move_inputs(&mut row);
                (Some(Node::Layer(row)), Vec::new())
            }
            other => (other, Vec::new()),
        };
        let place = self.levels.last_mut().and_then(|level| level.places.last_mut());
        if let Some(Place::Node { inside: Inside::Repeat { variants, .. }, .. }) = place {
            variants.push((indices.clone(), children));
        }
        Variant { indices, instance }
    }

    fn group(&mut self, group: Composite<Box<Row>>, out: &mut Vec<Node<Box<Row>>>) {
        let depth = self.depth();
        let input = group.inputs.first().map_or_else(|| Absolute::input(depth), |input| self.absolute(input));
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
        self.settle(Place::Group { output, children: places });
    }
}
