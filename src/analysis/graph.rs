//! The data flow: which basic layer, or model input, produces each value that a basic layer reads.
//!
//! A flattened model comes in, a [`Graph`] goes out: rows in clusters, repeats folded, and edges between rows. Composites produce nothing
//! themselves: what reads one reads the layer whose value it returns. Bodies are walked once, in the order of execution, so that every
//! value's producers are known when it is read; only an instance that reads the one before it is resolved at the end.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexSet;

use crate::flat::{FlatModel, Node, Repeat, RowId, Step, ValueRef, ValueTarget, Variant};
use crate::language::Segment;
use crate::lower::Lowered;

/// Rows in clusters, and what flows between them.
#[derive(Debug)]
pub struct Graph {
    /// The tensors that the model is called with.
    pub inputs: Vec<Arc<str>>,
    /// What is drawn, in the order of execution.
    pub parts: Vec<Part>,
    /// By the layer that reads, in the order of execution.
    pub edges: Vec<Edge>,
}

/// What is drawn: a layer, or a cluster of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A basic layer.
    Layer {
        /// Which.
        row: RowId,
        /// Its part of the path.
        name: String,
    },
    /// Layers in a frame.
    Cluster(Cluster),
}

/// A composite, or the instances of a repeated layer that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// `self_attn`, `layers.[0-31]`.
    pub name: String,
    /// Its class.
    pub class: Option<Arc<str>>,
    /// How many instances it stands for.
    pub count: u128,
    /// What is in it.
    pub parts: Vec<Part>,
}

/// A value that a layer reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Edge {
    /// Who makes it.
    pub from: Producer,
    /// The layer that reads it.
    pub to: RowId,
    /// The one of several outputs that is read.
    pub output: Option<Arc<str>>,
    /// From an instance of a repeat to the one after it.
    pub next: Option<Next>,
}

/// Who makes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Producer {
    /// A layer.
    Layer(RowId),
    /// A position in [`Graph::inputs`].
    Input(u32),
}

/// The step from an instance to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Next {
    /// The same for all edges from one variant of a repeat to another.
    pub step: u32,
    /// It leads to the same variant, or to an earlier one.
    pub back: bool,
}

impl Graph {
    /// The edges as one draws them: a step back to a variant is one edge, to the first layer that reads what the variant is given.
    pub fn drawn(&self) -> impl Iterator<Item = &Edge> {
        let mut steps = HashSet::new();
        self.edges.iter().filter(move |edge| edge.next.is_none_or(|next| !next.back || steps.insert(next.step)))
    }
}

/// More edges than anybody looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyEdges;

impl TooManyEdges {
    /// The most values that are followed from layer to layer.
    pub const MOST: usize = 1_000_000;
}

/// Finds the data flow of a model.
///
/// # Errors
/// [`TooManyEdges`]: each of a great many layers may read each of as many others.
pub fn graph(model: &Lowered) -> Result<Graph, TooManyEdges> {
    let inputs = model.checked.model.input_names();
    let mut flow = Flow {
        flat: &model.flat,
        bodies: Vec::new(),
        instances: Vec::new(),
        steps: Vec::new(),
        reads: Vec::new(),
        left: TooManyEdges::MOST,
    };
    // The first of them is what the first layer reads; the others are read by name.
    let given = inputs.first().map(|_| Value { from: Origin::Producer(Producer::Input(0)), output: None, step: None });
    flow.body(&model.flat.body, given.into_iter().collect(), None)?;
    let edges = flow.edges()?;
    let read: HashSet<Producer> = edges.iter().map(|edge| edge.from).collect();
    let mut layout = Layout { flat: &model.flat, read: &read, indices: Vec::new() };
    let parts = layout.nodes(&model.flat.body);
    Ok(Graph { inputs, parts, edges })
}

/// A value on its way to who reads it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Value {
    from: Origin,
    output: Option<Arc<str>>,
    /// It came by a step from an instance to the next: a position in [`Flow::steps`].
    step: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    Producer(Producer),
    /// What a variant of a repeat gives, perhaps not known yet: a position in [`Flow::instances`].
    Instance(u32),
}

type Values = Rc<[Value]>;

/// What a node gives, and what the nodes in it do.
#[derive(Debug, Clone, Default)]
struct Given {
    values: Values,
    /// One for each node of a composite's body, or for each variant of a repeat.
    inside: Vec<Given>,
}

/// A body that is being walked.
struct Body<'f> {
    nodes: &'f [Node<RowId>],
    /// What its composite was given.
    input: Values,
    done: Vec<Given>,
    /// The variants of the repeat that comes next, as far as they were walked.
    variants: Vec<Given>,
}

struct Flow<'f> {
    flat: &'f FlatModel,
    /// From the outermost inwards.
    bodies: Vec<Body<'f>>,
    instances: Vec<Values>,
    /// Whether each step leads back.
    steps: Vec<bool>,
    reads: Vec<(RowId, Values)>,
    /// How many values may still be followed.
    left: usize,
}

impl<'f> Flow<'f> {
    /// Walks a body; what it gives is that of the child it names, else of its last.
    fn body(&mut self, nodes: &'f [Node<RowId>], input: Values, output: Option<&ValueRef>) -> Result<Given, TooManyEdges> {
        self.bodies.push(Body { nodes, input: input.clone(), done: Vec::with_capacity(nodes.len()), variants: Vec::new() });
        for node in nodes {
            let given = self.node(node, None)?;
            if let Some(body) = self.bodies.last_mut() {
                body.done.push(given);
            }
        }
        let named = output.map(|output| self.value(output));
        let inside = self.bodies.pop().map(|body| body.done).unwrap_or_default();
        let last =
            || nodes.iter().zip(&inside).rev().find(|(node, _)| !self.is_tensor(node)).map(|(_, given)| given.values.clone());
        Ok(Given { values: named.or_else(last).unwrap_or(input), inside })
    }

    /// A tensor that a composite owns is nobody's previous sibling.
    fn is_tensor(&self, node: &Node<RowId>) -> bool {
        matches!(node, Node::Layer(id) if self.flat.row(*id).is_some_and(|info| info.row.class.is_none()))
    }

    /// Walks a node; an instance of a repeat says what it reads.
    fn node(&mut self, node: &'f Node<RowId>, input: Option<Values>) -> Result<Given, TooManyEdges> {
        match node {
            Node::Layer(id) => {
                let inputs = self.flat.row(*id).map_or(&[][..], |info| &info.row.inputs);
                let values = input.map_or_else(|| self.values(inputs), Ok)?;
                self.reads.push((*id, values));
                let from = Origin::Producer(Producer::Layer(*id));
                Ok(Given { values: [Value { from, output: None, step: None }].into(), inside: Vec::new() })
            }
            Node::Composite(composite) => {
                // Its layers know the first as `input`; the others only live as long as it runs.
                let first = composite.inputs.get(..1).unwrap_or_default();
                let input = input.map_or_else(|| self.values(first), Ok)?;
                self.body(&composite.body, input, composite.output.as_deref())
            }
            Node::Repeat(repeat) => self.repeat(repeat),
        }
    }

    fn repeat(&mut self, repeat: &'f Repeat<RowId>) -> Result<Given, TooManyEdges> {
        // As of any composite: its layers know the first, instances are handed the others.
        let is_layer = repeat.variants.iter().any(|variant| matches!(variant.instance, Some(Node::Layer(_))));
        let inputs = if is_layer { repeat.inputs.as_slice() } else { repeat.inputs.get(..1).unwrap_or_default() };
        let input = self.values(inputs)?;
        let order = repeat.order();
        let first = self.instances.len();
        self.instances.resize(first + repeat.variants.len(), Values::default());
        let steps = if repeat.parallel { BTreeSet::new() } else { steps(&order) };
        let starts = order.first().map(|(.., variant)| *variant);
        for (at, variant) in repeat.variants.iter().enumerate() {
            let mut reads: Vec<Value> = Vec::new();
            if repeat.parallel || starts == Some(at) {
                reads.extend(input.iter().cloned());
            }
            for (_, before) in steps.range((at, 0)..=(at, usize::MAX)) {
                self.steps.push(*before >= at);
                let step = Some(number(self.steps.len() - 1));
                reads.push(Value { from: Origin::Instance(number(first + before)), output: None, step });
            }
            self.follow(reads.len())?;
            let given = match variant.instance.as_ref() {
                Some(node) => self.node(node, Some(reads.into()))?,
                None => Given::default(),
            };
            if let Some(instance) = self.instances.get_mut(first + at) {
                *instance = given.values.clone();
            }
            if let Some(body) = self.bodies.last_mut() {
                body.variants.push(given);
            }
        }
        let inside = self.bodies.last_mut().map(|body| std::mem::take(&mut body.variants)).unwrap_or_default();
        let values = match (repeat.parallel, order.last().and_then(|(.., variant)| inside.get(*variant))) {
            (false, Some(last)) => last.values.clone(),
            _ => self.union(inside.iter().map(|given| given.values.clone()))?,
        };
        // To those outside it is no step to a next instance.
        let values = self.produced(values, first)?;
        Ok(Given { values, inside })
    }

    /// Counts values that are followed.
    fn follow(&mut self, values: usize) -> Result<(), TooManyEdges> {
        self.left = self.left.checked_sub(values).ok_or(TooManyEdges)?;
        Ok(())
    }

    fn values(&mut self, references: &[ValueRef]) -> Result<Values, TooManyEdges> {
        if let [reference] = references {
            return Ok(self.value(reference));
        }
        let values: Vec<Values> = references.iter().map(|reference| self.value(reference)).collect();
        self.union(values.into_iter())
    }

    fn union(&mut self, values: impl Iterator<Item = Values>) -> Result<Values, TooManyEdges> {
        let mut all: IndexSet<Value> = IndexSet::new();
        for values in values {
            self.follow(values.len())?;
            all.extend(values.iter().cloned());
        }
        Ok(all.into_iter().collect())
    }

    fn value(&self, reference: &ValueRef) -> Values {
        let depth = self.bodies.len().checked_sub(1 + usize::from(reference.up));
        let body = depth.and_then(|at| self.bodies.get(at));
        match &reference.target {
            ValueTarget::Input => body.map(|body| body.input.clone()).unwrap_or_default(),
            ValueTarget::ModelInput(at) => {
                [Value { from: Origin::Producer(Producer::Input(*at)), output: None, step: None }].into()
            }
            ValueTarget::Node(at) => body.and_then(|body| self.of_node(body, *at as usize, &reference.rest)).unwrap_or_default(),
        }
    }

    fn of_node(&self, body: &Body<'_>, at: usize, rest: &[Step]) -> Option<Values> {
        let node = body.nodes.get(at)?;
        match (body.done.get(at), node) {
            (Some(given), _) => self.descend(node, &given.values, &given.inside, rest),
            // An earlier instance of the repeat that is being walked.
            (None, Node::Repeat(_)) => self.descend(node, &Values::default(), &body.variants, rest),
            (None, _) => None,
        }
    }

    /// What a node gives, or something in it.
    fn descend(&self, node: &Node<RowId>, values: &Values, inside: &[Given], rest: &[Step]) -> Option<Values> {
        let Some((step, tail)) = rest.split_first() else {
            return Some(values.clone());
        };
        match (node, step) {
            (Node::Layer(id), Step::Output(at)) => {
                let class = &self.flat.row(*id)?.row.class.as_ref()?.0;
                let name = &class.outputs.get(usize::from(*at))?.name;
                Some(values.iter().map(|value| Value { output: Some(name.clone()), ..value.clone() }).collect())
            }
            (Node::Composite(composite), Step::Child(at)) => {
                let (node, given) = (composite.body.get(*at as usize)?, inside.get(*at as usize)?);
                self.descend(node, &given.values, &given.inside, tail)
            }
            (Node::Repeat(repeat), Step::Instance(index)) => {
                let at = repeat.variants.iter().position(|variant| variant.indices.contains(*index))?;
                let (variant, given) = (repeat.variants.get(at)?, inside.get(at)?);
                self.descend(variant.instance.as_ref()?, &given.values, &given.inside, tail)
            }
            _ => None,
        }
    }

    /// What was read, with what instances give put in.
    fn edges(&mut self) -> Result<Vec<Edge>, TooManyEdges> {
        let mut edges: IndexSet<Edge> = IndexSet::new();
        let mut known: HashMap<u32, Values> = HashMap::new();
        for (to, values) in std::mem::take(&mut self.reads) {
            self.follow(values.len())?;
            for value in values.iter() {
                let next = value.step.map(|step| Next { step, back: self.steps.get(step as usize).copied().unwrap_or(false) });
                match value.from {
                    Origin::Producer(from) => {
                        edges.insert(Edge { from, to, output: value.output.clone(), next });
                    }
                    Origin::Instance(at) => {
                        let given = match known.get(&at) {
                            Some(given) => given.clone(),
                            None => {
                                let instance = self.instances.get(at as usize).cloned().unwrap_or_default();
                                known.entry(at).or_insert(self.produced(instance, 0)?).clone()
                            }
                        };
                        self.follow(given.len())?;
                        for value in given.iter() {
                            if let Origin::Producer(from) = value.from {
                                edges.insert(Edge { from, to, output: value.output.clone(), next });
                            }
                        }
                    }
                }
            }
        }
        Ok(edges.into_iter().collect())
    }

    /// Values with what instances give put in place of these, from the instance `first` on. One that returns its input gives what those
    /// before it give.
    fn produced(&mut self, values: Values, first: usize) -> Result<Values, TooManyEdges> {
        let instance = |value: &Value| match value.from {
            Origin::Instance(at) if at as usize >= first => Some(at),
            _ => None,
        };
        if values.iter().all(|value| instance(value).is_none()) {
            return Ok(values);
        }
        let mut seen: HashSet<u32> = HashSet::new();
        let mut found: IndexSet<Value> = IndexSet::new();
        let mut open = vec![values];
        while let Some(values) = open.pop() {
            self.follow(values.len())?;
            for value in values.iter() {
                match instance(value) {
                    Some(at) if seen.insert(at) => open.extend(self.instances.get(at as usize).cloned()),
                    Some(_) => {}
                    None => {
                        found.insert(value.clone());
                    }
                }
            }
        }
        Ok(found.into_iter().collect())
    }
}

/// Which variant runs right after which, as (after, before).
fn steps(order: &[(u64, u64, usize)]) -> BTreeSet<(usize, usize)> {
    let within = order.iter().filter(|(first, last, _)| first < last).map(|(.., variant)| (*variant, *variant));
    let between = order.iter().zip(order.iter().skip(1)).map(|((.., before), (.., after))| (*after, *before));
    within.chain(between).collect()
}

/// A position; there are at most [`crate::language::check::MAX_LAYERS`] nodes.
fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Puts rows into clusters.
struct Layout<'f, 'r> {
    flat: &'f FlatModel,
    read: &'r HashSet<Producer>,
    /// The index sets of the repeats around, outermost first, as shown.
    indices: Vec<String>,
}

impl Layout<'_, '_> {
    fn nodes(&mut self, nodes: &[Node<RowId>]) -> Vec<Part> {
        let mut parts = Vec::new();
        for node in nodes {
            match node {
                Node::Layer(id) => parts.extend(self.layer(*id)),
                Node::Composite(composite) => match composite.path_segment() {
                    Some(segment) => {
                        let name = self.shown(segment);
                        let inside = self.nodes(&composite.body);
                        parts.extend(cluster(name, composite.class.clone(), 1, inside));
                    }
                    // A group's layers stand beside its siblings.
                    None => parts.extend(self.nodes(&composite.body)),
                },
                Node::Repeat(repeat) => repeat.variants.iter().for_each(|variant| parts.extend(self.variant(variant))),
            }
        }
        parts
    }

    fn layer(&self, id: RowId) -> Option<Part> {
        let row = &self.flat.row(id)?.row;
        // A tensor that nobody reads is no part of the data flow.
        let flows = row.class.is_some() || self.read.contains(&Producer::Layer(id));
        let name = row.segment.as_ref().map(|segment| self.shown(segment)).unwrap_or_default();
        flows.then_some(Part::Layer { row: id, name })
    }

    fn variant(&mut self, variant: &Variant<RowId>) -> Option<Part> {
        let pattern = variant.indices.pattern();
        self.indices.push(pattern.clone());
        let part = match variant.instance.as_ref() {
            Some(Node::Composite(composite)) => {
                let name = composite.path_segment().map_or(pattern, |segment| self.shown(segment));
                let inside = self.nodes(&composite.body);
                cluster(name, composite.class.clone(), variant.indices.count(), inside)
            }
            Some(Node::Layer(id)) => self.layer(*id).and_then(|layer| {
                let name = if let Part::Layer { name, .. } = &layer { name.clone() } else { pattern };
                cluster(name, None, variant.indices.count(), vec![layer])
            }),
            Some(Node::Repeat(_)) | None => None,
        };
        self.indices.pop();
        part
    }

    fn shown(&self, segment: &Segment) -> String {
        let mut out = String::new();
        segment.write(&mut out, &|level, out| {
            let at = self.indices.len().checked_sub(1 + usize::from(level));
            out.push_str(at.and_then(|at| self.indices.get(at)).map_or("*", String::as_str));
        });
        out
    }
}

/// Nothing to see is no cluster.
fn cluster(name: String, class: Option<Arc<str>>, count: u128, parts: Vec<Part>) -> Option<Part> {
    (!parts.is_empty()).then_some(Part::Cluster(Cluster { name, class, count, parts }))
}
