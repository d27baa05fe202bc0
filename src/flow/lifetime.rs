//! How long values live in each body: until their last reader has run, or as `hold` and `output` say.
//!
//! The folded tree comes in, a plan of the same form goes out. Shapes and sizes play no part here.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use crate::flat::{Composite, FlatModel, Node, Repeat, RowId, Step, ValueRef, ValueTarget};
use crate::language::Segment;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::source::Span;
use crate::syntax::spec::Hold;

/// What is read of a node beyond its own value: the way from the node to it.
pub type Export = Vec<Step>;

/// A body's plan.
#[derive(Debug, Default)]
pub struct BodyPlan {
    /// By node: which nodes' values end once it has run.
    pub ends: Vec<Vec<u32>>,
    /// By node, a chained repeat or a composite of several calls: which of those values only its first instance or call reads.
    pub first_only: Vec<Vec<u32>>,
    /// Of a group, which is no call and so has no argument to keep: the last node that reads what it was given.
    pub input_end: Option<u32>,
    pub nodes: Vec<NodePlan>,
}

/// A node's plan.
#[derive(Debug)]
pub struct NodePlan {
    /// What of its inside is read from outside.
    pub exports: Vec<Export>,
    pub inside: Inside,
}

#[derive(Debug)]
pub enum Inside {
    Layer,
    Composite(BodyPlan),
    /// One a variant; those that are alike share it.
    Repeat(Vec<Rc<NodePlan>>),
}

/// Plans a model. A `hold` that names no later sibling goes to `diagnostics`.
pub fn plan(flat: &FlatModel, diagnostics: &mut Diagnostics) -> BodyPlan {
    let reads: Vec<Rc<Reads>> = flat.body.iter().map(|node| Rc::new(reads(flat, node))).collect();
    let mut planner = Planner { flat, diagnostics };
    planner.body(&flat.body, &reads, None, &[])
}

/// A value that is read: `up` bodies out, the node there, and what of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Read {
    up: u16,
    node: u32,
    rest: Export,
    /// By the first instance of a chained repeat, or the first of several calls, only.
    first_only: bool,
}

/// What a node and all in it read.
struct Reads {
    /// From the body in which the node stands.
    list: Vec<Read>,
    children: Vec<Rc<Reads>>,
}

fn read(value: &ValueRef, first_only: bool) -> Option<Read> {
    match &value.target {
        ValueTarget::Node(node) => Some(Read { up: value.up, node: *node, rest: value.rest.clone(), first_only }),
        ValueTarget::Input | ValueTarget::ModelInput(_) => None,
    }
}

fn reads(flat: &FlatModel, node: &Node<RowId>) -> Reads {
    match node {
        Node::Layer(id) => {
            let inputs = flat.row(*id).map_or(&[][..], |info| &info.row.inputs);
            Reads { list: inputs.iter().filter_map(|input| read(input, false)).collect(), children: Vec::new() }
        }
        Node::Composite(composite) => {
            let mut reads = inside(flat, composite);
            // Of several calls, those after the first take what the one before gave.
            let chained = |at: usize| at == 0 && composite.calls.is_some();
            reads.list.extend(composite.inputs.iter().enumerate().filter_map(|(at, input)| read(input, chained(at))));
            reads.list.sort_unstable();
            reads.list.dedup();
            reads
        }
        Node::Repeat(repeat) => {
            let mut children: Vec<Rc<Reads>> = Vec::with_capacity(repeat.variants.len());
            let mut list: Vec<Read> = Vec::new();
            let mut before: Option<&Node<RowId>> = None;
            for instance in repeat.instances() {
                let known = before.filter(|before| alike(flat, before, instance)).and_then(|_| children.last()).cloned();
                let reads = known.unwrap_or_else(|| {
                    Rc::new(match instance {
                        Node::Composite(composite) => inside(flat, composite),
                        // Its inputs are the repeat's.
                        _ => Reads { list: Vec::new(), children: Vec::new() },
                    })
                });
                if children.last().is_none_or(|last| !Rc::ptr_eq(last, &reads)) {
                    list.extend(reads.list.iter().cloned());
                }
                children.push(reads);
                before = Some(instance);
            }
            let chained = |at: usize| at == 0 && !repeat.parallel;
            list.extend(repeat.inputs.iter().enumerate().filter_map(|(at, input)| read(input, chained(at))));
            list.sort_unstable();
            list.dedup();
            Reads { list, children }
        }
    }
}

/// What the children of a composite read from outside of it.
fn inside(flat: &FlatModel, composite: &Composite<RowId>) -> Reads {
    let children: Vec<Rc<Reads>> = composite.body.iter().map(|node| Rc::new(reads(flat, node))).collect();
    let outward = children.iter().flat_map(|child| &child.list).filter(|read| read.up > 0);
    let mut list: Vec<Read> = outward.map(|read| Read { up: read.up - 1, first_only: false, ..read.clone() }).collect();
    list.sort_unstable();
    list.dedup();
    Reads { list, children }
}

/// The last child of a composite that reads what that was given, if it doesn't return it.
fn last_reader(flat: &FlatModel, composite: &Composite<RowId>) -> Option<u32> {
    let returned = composite.output.as_ref().is_some_and(|output| output.up == 0 && output.target == ValueTarget::Input);
    let last = composite.body.iter().rposition(|node| reads_input(flat, node, 0)).filter(|_| !returned)?;
    u32::try_from(last).ok()
}

/// Whether a node or something in it reads what the body `up` bodies out was given.
fn reads_input(flat: &FlatModel, node: &Node<RowId>, up: u16) -> bool {
    let reads = |inputs: &[ValueRef]| inputs.iter().any(|input| input.up == up && input.target == ValueTarget::Input);
    let inside = |composite: &Composite<RowId>| composite.body.iter().any(|node| reads_input(flat, node, up.saturating_add(1)));
    match node {
        Node::Layer(id) => flat.row(*id).is_some_and(|info| reads(&info.row.inputs)),
        Node::Composite(composite) => reads(&composite.inputs) || inside(composite),
        Node::Repeat(repeat) => {
            let instances = || repeat.instances().any(|node| if let Node::Composite(c) = node { inside(c) } else { false });
            reads(&repeat.inputs) || instances()
        }
    }
}

/// Whether two nodes read and hold the same in the same places: the instances of a repeat mostly do.
fn alike(flat: &FlatModel, a: &Node<RowId>, b: &Node<RowId>) -> bool {
    match (a, b) {
        (Node::Layer(a), Node::Layer(b)) => match (flat.row(*a), flat.row(*b)) {
            (Some(a), Some(b)) => a.row.is_wired_as(&b.row),
            _ => false,
        },
        (Node::Composite(a), Node::Composite(b)) => {
            let own = a.segment == b.segment && a.inputs == b.inputs && a.output == b.output && a.hold == b.hold;
            own && a.body.len() == b.body.len() && a.body.iter().zip(&b.body).all(|(a, b)| alike(flat, a, b))
        }
        (Node::Repeat(a), Node::Repeat(b)) => {
            let own = a.name == b.name && a.parallel == b.parallel && a.inputs == b.inputs && a.hold == b.hold;
            let indices = || a.variants.iter().zip(&b.variants).all(|(a, b)| a.indices == b.indices);
            let inside = || a.instances().zip(b.instances()).all(|(a, b)| alike(flat, a, b));
            own && a.variants.len() == b.variants.len() && indices() && inside()
        }
        _ => false,
    }
}

/// The positions of siblings, or of the groups that they stand in, by their names: what `hold` says.
fn siblings<'f>(flat: &'f FlatModel, body: &'f [Node<RowId>]) -> HashMap<&'f str, usize> {
    let mut names = HashMap::with_capacity(body.len());
    for (at, node) in body.iter().enumerate() {
        name_all(flat, node, at, &mut names);
    }
    names
}

fn name_all<'f>(flat: &'f FlatModel, node: &'f Node<RowId>, at: usize, names: &mut HashMap<&'f str, usize>) {
    if let Some(name) = segment(flat, node).and_then(Segment::lookup_name) {
        names.entry(name).or_insert(at);
    }
    if let Node::Composite(group) = node
        && group.segment.is_none()
    {
        group.body.iter().for_each(|node| name_all(flat, node, at, names));
    }
}

/// What is read of each instance of a repeat.
pub fn by_index(exports: &[Export]) -> BTreeMap<u64, Vec<Export>> {
    let mut indexed: BTreeMap<u64, Vec<Export>> = BTreeMap::new();
    for export in exports {
        if let Some((Step::Instance(index), rest)) = export.split_first() {
            indexed.entry(*index).or_default().push(rest.to_vec());
        }
    }
    indexed
}

fn segment<'f>(flat: &'f FlatModel, node: &'f Node<RowId>) -> Option<&'f Segment> {
    match node {
        Node::Layer(id) => flat.row(*id).and_then(|info| info.row.segment.as_ref()),
        Node::Composite(composite) => composite.segment.as_ref(),
        Node::Repeat(repeat) => repeat.name.as_ref(),
    }
}

struct Planner<'f, 'd> {
    flat: &'f FlatModel,
    diagnostics: &'d mut Diagnostics,
}

impl Planner<'_, '_> {
    fn body(&mut self, nodes: &[Node<RowId>], reads: &[Rc<Reads>], output: Option<&ValueRef>, exports: &[Export]) -> BodyPlan {
        let count = nodes.len();
        let mut last: Vec<usize> = (0..count).collect();
        let mut first_only = vec![Vec::new(); count];
        let mut exported: Vec<Vec<Export>> = vec![Vec::new(); count];
        for (reader, node) in reads.iter().enumerate() {
            for read in node.list.iter().filter(|read| read.up == 0) {
                let at = read.node as usize;
                let chain = read.first_only && last.get(at).is_some_and(|last| *last < reader);
                if chain && let Some(list) = first_only.get_mut(reader) {
                    list.push(read.node);
                }
                if !read.first_only
                    && let Some(list) = first_only.get_mut(reader)
                {
                    list.retain(|node| *node != read.node);
                }
                if let Some(last) = last.get_mut(at) {
                    *last = reader.max(*last);
                }
                self.export(nodes, at, &read.rest, &mut exported);
            }
        }
        // Most bodies name no sibling.
        let names = OnceCell::new();
        let flat = self.flat;
        for (at, node) in nodes.iter().enumerate() {
            self.hold(&|name| names.get_or_init(|| siblings(flat, nodes)).get(name).copied(), at, node, &mut last);
        }
        let returned = match output {
            Some(ValueRef { target: ValueTarget::Node(at), rest, .. }) => {
                self.export(nodes, *at as usize, rest, &mut exported);
                Some(*at as usize)
            }
            Some(_) => None,
            None => count.checked_sub(1),
        };
        let mut to_end: Vec<usize> = returned.into_iter().collect();
        for export in exports {
            let Some((Step::Child(at), rest)) = export.split_first() else { continue };
            to_end.push(*at as usize);
            self.export(nodes, *at as usize, rest, &mut exported);
        }
        for at in to_end {
            if let Some(last) = last.get_mut(at) {
                *last = usize::MAX;
            }
        }
        let mut ends = vec![Vec::new(); count];
        for (at, last) in last.iter().enumerate() {
            if let Some(list) = ends.get_mut(*last) {
                list.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
        for (list, ends) in first_only.iter_mut().zip(&ends) {
            list.retain(|node| ends.contains(node));
        }
        for list in &mut exported {
            list.sort_unstable();
            list.dedup();
        }
        let plans = nodes.iter().zip(reads).zip(exported).map(|((node, reads), exports)| self.node(node, reads, exports));
        BodyPlan { nodes: plans.collect(), ends, first_only, input_end: None }
    }

    /// Notes that something in a node is read from outside. A layer's outputs aren't in it.
    fn export(&self, nodes: &[Node<RowId>], at: usize, rest: &[Step], exported: &mut [Vec<Export>]) {
        if rest.is_empty() || matches!(nodes.get(at), Some(Node::Layer(_)) | None) {
            return;
        }
        if let Some(list) = exported.get_mut(at) {
            list.push(rest.to_vec());
        }
    }

    fn hold(&mut self, sibling: &dyn Fn(&str) -> Option<usize>, at: usize, node: &Node<RowId>, last: &mut [usize]) {
        let hold = match node {
            Node::Layer(id) => self.flat.row(*id).and_then(|info| info.row.hold.as_deref()),
            Node::Composite(composite) => composite.hold.as_deref(),
            Node::Repeat(repeat) => repeat.hold.as_deref(),
        };
        let until = match hold {
            None => return,
            Some(Hold::Composite) => usize::MAX,
            Some(Hold::Until { siblings, span }) => {
                let later = |name: &Arc<str>| sibling(name).filter(|later| *later > at);
                match siblings.iter().find_map(later) {
                    Some(later) => later,
                    // What would end it doesn't exist here.
                    None if siblings.iter().any(|name| self.flat.absent.contains(name)) => usize::MAX,
                    None => return self.no_later_sibling(siblings, *span),
                }
            }
        };
        if let Some(last) = last.get_mut(at) {
            *last = until.max(*last);
        }
    }

    fn no_later_sibling(&mut self, siblings: &[Arc<str>], span: Span) {
        let message = format!("`hold` names `{}`, which is no later sibling", siblings.join("`, `"));
        let diagnostic = Diagnostic::new(Code::UnknownInput, message).at(span, "not among the layers that follow");
        self.diagnostics.push(diagnostic.help("`true` holds the output until the enclosing composite returns"));
    }

    fn node(&mut self, node: &Node<RowId>, reads: &Reads, exports: Vec<Export>) -> NodePlan {
        let inside = match node {
            Node::Layer(_) => Inside::Layer,
            Node::Composite(composite) => {
                let mut body = self.body(&composite.body, &reads.children, composite.output.as_deref(), &exports);
                body.input_end = if composite.path_segment().is_none() { last_reader(self.flat, composite) } else { None };
                Inside::Composite(body)
            }
            Node::Repeat(repeat) => Inside::Repeat(self.variants(repeat, &reads.children, &exports)),
        };
        NodePlan { exports, inside }
    }

    fn variants(&mut self, repeat: &Repeat<RowId>, reads: &[Rc<Reads>], exports: &[Export]) -> Vec<Rc<NodePlan>> {
        let mut plans: Vec<Rc<NodePlan>> = Vec::with_capacity(repeat.variants.len());
        let mut before: Option<&Rc<Reads>> = None;
        let indexed = by_index(exports);
        for (variant, reads) in repeat.variants.iter().zip(reads) {
            let Some(node) = variant.instance.as_ref() else { continue };
            let ranges = variant.indices.ranges().iter();
            let own = ranges.flat_map(|(first, last)| indexed.range(*first..=*last)).flat_map(|(_, rests)| rests);
            let mut inner: Vec<Export> = own.filter(|rest| !rest.is_empty()).cloned().collect();
            inner.sort_unstable();
            inner.dedup();
            let same = before.replace(reads).is_some_and(|before| Rc::ptr_eq(before, reads));
            match plans.last().filter(|plan| same && plan.exports == inner).cloned() {
                Some(plan) => plans.push(plan),
                None => plans.push(Rc::new(self.node(node, reads, inner))),
            }
        }
        plans
    }
}
