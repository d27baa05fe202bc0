//! The full flat list with what flows: every layer under its concrete path, and whose values it reads.
//!
//! The folded tree is walked instance by instance; a value is known by the layer, or the model input, that makes it. Nothing of an instance is
//! kept once the composite around it has run, but what is read from outside.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use crate::catalog::Element;
use crate::evaluation::{Evaluation, Instance};
use crate::flat::{Composite, Node, Repeat, RowId, Step, ValueRef, ValueTarget, enter_instance};
use crate::language::enclosing;
use crate::syntax::stack::deep;

/// A value that a layer reads: who makes it, and of which element type it is.
#[derive(Debug, Clone)]
pub struct Feed {
    /// Who makes it.
    pub from: Maker,
    pub(crate) element: Element,
}

/// Who makes a value.
#[derive(Debug, Clone)]
pub enum Maker {
    /// A tensor that the model is called with, by its position.
    Input(u32),
    /// The n-th output of a layer, by the layer's path.
    Layer {
        /// What the layer shares with its like.
        row: RowId,
        /// `model.layers.7.mlp.up_proj`.
        path: Arc<str>,
        /// Which of its outputs.
        output: u16,
    },
}

/// What is read in one place: one value, of a `parallel` repeat one of each instance, none where nothing is there.
pub type Read = Rc<[Feed]>;

/// A layer of the full flat list, and what it reads.
#[derive(Debug)]
pub struct Layer<'e> {
    /// Where it stands and what it costs.
    pub instance: Instance<'e>,
    /// In the order of its class; where it is called several times, what the first call reads.
    pub reads: Vec<Read>,
    /// What it gives, by output.
    pub gives: Vec<Read>,
}

/// What a node gives, by output; and what is in it, as far as others read that.
#[derive(Debug, Clone, Default)]
struct Given {
    own: Vec<Read>,
    inside: Inside,
}

#[derive(Debug, Clone, Default)]
enum Inside {
    #[default]
    Nothing,
    Children(Vec<Given>),
    Instances(BTreeMap<u64, Given>),
}

/// A composite that is being walked.
struct Frame {
    input: Read,
    /// What its nodes give, those that have been; the last may be under way.
    given: Vec<Given>,
}

struct Walk<'e, 'v, E> {
    evaluation: &'e Evaluation,
    /// How many layers have been.
    count: u64,
    /// Which of them are visited: the n-th, from 0.
    wanted: &'v dyn Fn(u64) -> bool,
    visit: &'v mut dyn FnMut(Layer<'e>) -> Result<(), E>,
    /// Nodes in which something is read from outside.
    open: HashSet<*const Node<RowId>>,
    /// How many of those are around.
    kept: usize,
    frames: Vec<Frame>,
    path: String,
    indices: Vec<u64>,
    /// How many instances of each row have been: fewer than anyone waits for.
    before: Vec<u64>,
}

/// Visits every layer in the order of execution: its concrete path, its row, whose values it reads. Layers that are read from afar apart,
/// it takes memory for one path from the model to a layer.
///
/// # Errors
/// The first of `visit`, which ends it.
pub fn visit_layers<'e, E>(evaluation: &'e Evaluation, visit: &mut dyn FnMut(Layer<'e>) -> Result<(), E>) -> Result<(), E> {
    visit_some_layers(evaluation, &|_| true, visit)
}

/// The same of some of them: those of which `wanted` says so, who is asked for the n-th of all, from 0.
///
/// # Errors
/// As [`visit_layers`].
pub fn visit_some_layers<'e, E>(
    evaluation: &'e Evaluation,
    wanted: &dyn Fn(u64) -> bool,
    visit: &mut dyn FnMut(Layer<'e>) -> Result<(), E>,
) -> Result<(), E> {
    let body = evaluation.flat.body.as_slice();
    let input = model_input(evaluation, 0);
    let mut walk = Walk {
        evaluation,
        count: 0,
        wanted,
        visit,
        open: opened(evaluation),
        kept: 0,
        frames: vec![Frame { input, given: Vec::with_capacity(body.len()) }],
        path: String::new(),
        indices: Vec::new(),
        before: vec![0; evaluation.flat.rows.len()],
    };
    deep(|| walk.body(body))
}

/// A tensor that the model is called with.
fn model_input(evaluation: &Evaluation, at: u32) -> Read {
    let element = evaluation.bound.inputs.get(at as usize).map_or(Element::Index, |input| input.element);
    [Feed { from: Maker::Input(at), element }].into()
}

/// The nodes in which something is read from outside.
fn opened(evaluation: &Evaluation) -> HashSet<*const Node<RowId>> {
    fn note(reference: &ValueRef, bodies: &[&[Node<RowId>]], open: &mut HashSet<*const Node<RowId>>) {
        if let (ValueTarget::Node(at), Some(Step::Child(_) | Step::Instance(_))) = (&reference.target, reference.rest.first())
            && let Some(node) = enclosing(bodies, reference.up).and_then(|nodes| nodes.get(*at as usize))
        {
            open.insert(std::ptr::from_ref(node));
        }
    }
    fn node<'e>(
        of: &'e Node<RowId>,
        evaluation: &'e Evaluation,
        bodies: &mut Vec<&'e [Node<RowId>]>,
        open: &mut HashSet<*const Node<RowId>>,
    ) {
        let reads = match of {
            Node::Layer(id) => evaluation.flat.row(*id).map_or(&[][..], |info| &info.row.inputs),
            Node::Composite(composite) => &composite.inputs,
            Node::Repeat(repeat) => &repeat.inputs,
        };
        reads.iter().for_each(|reference| note(reference, bodies, open));
        match of {
            Node::Layer(_) => {}
            Node::Composite(composite) => {
                bodies.push(&composite.body);
                composite.output.iter().for_each(|reference| note(reference, bodies, open));
                composite.body.iter().for_each(|child| node(child, evaluation, bodies, open));
                bodies.pop();
            }
            Node::Repeat(repeat) => repeat.instances().for_each(|instance| node(instance, evaluation, bodies, open)),
        }
    }
    let (mut open, mut bodies) = (HashSet::new(), vec![evaluation.flat.body.as_slice()]);
    evaluation.flat.body.iter().for_each(|child| node(child, evaluation, &mut bodies, &mut open));
    open
}

impl<'e, E> Walk<'e, '_, E> {
    fn body(&mut self, nodes: &'e [Node<RowId>]) -> Result<(), E> {
        for (at, node) in nodes.iter().enumerate() {
            if let Some(frame) = self.frames.last_mut() {
                frame.given.push(Given::default());
            }
            let open = usize::from(self.open.contains(&std::ptr::from_ref(node)));
            self.kept += open;
            let given = self.node(node);
            self.kept -= open;
            let given = given?;
            if let Some(slot) = self.frames.last_mut().and_then(|frame| frame.given.get_mut(at)) {
                *slot = given;
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &'e Node<RowId>) -> Result<Given, E> {
        match node {
            Node::Layer(id) => {
                let reads = self.evaluation.flat.row(*id).map_or(&[][..], |info| &info.row.inputs);
                let reads = reads.iter().map(|reference| self.value(reference)).collect();
                self.layer(*id, reads)
            }
            Node::Composite(composite) => {
                let input = composite.inputs.first().map(|reference| self.value(reference)).unwrap_or_default();
                self.composite(composite, input)
            }
            Node::Repeat(repeat) => self.repeat(repeat),
        }
    }

    fn layer(&mut self, id: RowId, reads: Vec<Read>) -> Result<Given, E> {
        let Some(info) = self.evaluation.flat.row(id) else { return Ok(Given::default()) };
        let length = enter_instance(&mut self.path, info.row.segment.as_ref(), &self.indices);
        let path: Arc<str> = self.path.as_str().into();
        self.path.truncate(length);
        let made = |output: usize, element| {
            let output = u16::try_from(output).unwrap_or(u16::MAX);
            [Feed { from: Maker::Layer { row: id, path: path.clone(), output }, element }].into()
        };
        let own: Vec<Read> = match (info.row.class.as_ref().map(|class| &class.0), self.evaluation.report.ports(id)) {
            (Some(class), Some(ports)) => {
                let outputs = ports.outputs().enumerate().map(|(at, port)| {
                    // A view of a mask is a mask, of the cache a cached value.
                    let viewed = reads.get(class.viewed_input(at)).filter(|_| port.view);
                    let source = viewed.and_then(|read| read.first());
                    made(at, source.map_or(port.element, |source| source.element))
                });
                outputs.collect()
            }
            // A tensor that a composite owns.
            _ => vec![made(0, Element::Activation)],
        };
        let nth = self.before.get_mut(id.0 as usize);
        let before = nth.map_or(0, |nth| {
            *nth += 1;
            u128::from(*nth - 1)
        });
        let is_wanted = (self.wanted)(self.count);
        self.count += 1;
        if let Some(row) = self.evaluation.row(id).filter(|_| is_wanted) {
            (self.visit)(Layer { instance: Instance { row, path: path.to_string(), before }, reads, gives: own.clone() })?;
        }
        Ok(Given { own, inside: Inside::Nothing })
    }

    fn composite(&mut self, composite: &'e Composite<RowId>, input: Read) -> Result<Given, E> {
        let length = enter_instance(&mut self.path, composite.path_segment(), &self.indices);
        let given = Vec::with_capacity(composite.body.len());
        self.frames.push(Frame { input, given });
        let walked = self.body(&composite.body);
        let own = match &composite.output {
            Some(output) => vec![self.value(output)],
            None => match self.frames.last() {
                Some(Frame { given, input, .. }) => given.last().map_or_else(|| vec![input.clone()], |last| last.own.clone()),
                None => Vec::new(),
            },
        };
        let frame = self.frames.pop();
        self.path.truncate(length);
        walked?;
        let inside = frame.filter(|_| self.kept > 0).map_or(Inside::Nothing, |frame| Inside::Children(frame.given));
        Ok(Given { own, inside })
    }

    fn repeat(&mut self, repeat: &'e Repeat<RowId>) -> Result<Given, E> {
        let reads: Vec<Read> = repeat.inputs.iter().map(|reference| self.value(reference)).collect();
        let mut own: Option<Vec<Read>> = None;
        let mut parallel: Vec<Vec<Feed>> = Vec::new();
        self.indices.push(0);
        for (first, last, variant) in repeat.order() {
            let Some(node) = repeat.variants.get(variant).and_then(|variant| variant.instance.as_ref()) else { continue };
            for index in first..=last {
                if let Some(here) = self.indices.last_mut() {
                    *here = index;
                }
                let mut reads = reads.clone();
                if let (Some(before), Some(read), false) =
                    (own.as_ref().and_then(|own| own.first()), reads.first_mut(), repeat.parallel)
                {
                    *read = before.clone();
                }
                let made = match node {
                    Node::Layer(id) => self.layer(*id, reads)?,
                    Node::Composite(composite) => self.composite(composite, reads.into_iter().next().unwrap_or_default())?,
                    Node::Repeat(_) => Given::default(),
                };
                if repeat.parallel {
                    parallel.resize(parallel.len().max(made.own.len()), Vec::new());
                    made.own.iter().zip(&mut parallel).for_each(|(read, all)| all.extend(read.iter().cloned()));
                }
                own = Some(made.own.clone());
                // One that is under way may be read by the instances after it.
                if let (true, Some(under_way)) = (self.kept > 0, self.frames.last_mut().and_then(|frame| frame.given.last_mut()))
                {
                    match &mut under_way.inside {
                        Inside::Instances(instances) => drop(instances.insert(index, made)),
                        inside => *inside = Inside::Instances(BTreeMap::from([(index, made)])),
                    }
                }
            }
        }
        self.indices.pop();
        let inside =
            self.frames.last_mut().and_then(|frame| frame.given.last_mut()).map(|given| std::mem::take(&mut given.inside));
        let own = if repeat.parallel { parallel.into_iter().map(Rc::from).collect() } else { own.unwrap_or_default() };
        Ok(Given { own, inside: inside.unwrap_or_default() })
    }

    fn value(&self, reference: &ValueRef) -> Read {
        let Some(frame) = enclosing(&self.frames, reference.up) else { return Read::default() };
        match &reference.target {
            ValueTarget::Input => frame.input.clone(),
            ValueTarget::ModelInput(at) => model_input(self.evaluation, *at),
            ValueTarget::Node(at) => {
                let given = frame.given.get(*at as usize);
                given.and_then(|given| pick(given, &reference.rest)).unwrap_or_default()
            }
        }
    }
}

/// A value of a node, by the way from the node to it.
fn pick(given: &Given, rest: &[Step]) -> Option<Read> {
    match (rest.split_first(), &given.inside) {
        (None, _) => given.own.first().cloned(),
        (Some((Step::Output(at), _)), _) => given.own.get(usize::from(*at)).cloned(),
        (Some((Step::Child(at), rest)), Inside::Children(children)) => pick(children.get(*at as usize)?, rest),
        (Some((Step::Instance(index), rest)), Inside::Instances(instances)) => pick(instances.get(index)?, rest),
        _ => None,
    }
}
