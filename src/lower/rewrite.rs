//! What an engine runs as one layer, put together in the tree of a model.
//!
//! A tree and a runtime come in; the tree goes out with layers in it that stand for several. Which layers these are is the runtime's to say; here is
//! whether they can be: what all of them read is there before, and what others read of them comes after.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::moved::{BodyMap, Inside, NodeMap, lead, unwrap};
use super::uses::{BodyId, Children, Uses, output_in};
use crate::catalog::{
    Class, ClassKind, Feed, Layers, Part, Rewrite, Rewritten, Runtime, Whole, Wires, can_be_part, fused, keeps_shapes,
    traffic_is_known,
};
use crate::flat::{ClassRef, Common, Composite, Merged, Node, Repeat, Row, Stood, ValueRef, ValueTarget, Variant};
use crate::language::{Argument, Binding, Segment};
use crate::syntax::expr::{Expr, Value};

type Body = Vec<Node<Box<Row>>>;

/// How many layers run as one at most: no kernel is longer, and what a group reads is looked at whenever it grows.
const MOST: usize = 64;

/// With how many of those beside it a layer without products is tried.
const MOST_TRIED: usize = 16;

/// Puts together what a runtime runs as one. How often each of its rules was followed comes back.
pub fn rewrite(body: &mut Body, runtime: &Runtime) -> Vec<usize> {
    if runtime.rewrites.is_empty() {
        return Vec::new();
    }
    unwrap(body);
    let maps = BodyMap::as_it_is(body);
    lead(body, &maps, &mut Vec::new());
    let uses = Uses::of(body);
    let followed = vec![0; runtime.rewrites.len()];
    let mut rewriter = Rewriter { runtime, shared: uses.shared_names(), uses, classes: HashMap::new(), followed };
    let nodes = std::mem::take(body);
    let last = nodes.len().checked_sub(1);
    let (mut nodes, maps) = rewriter.body(nodes, Some(BodyId::ROOT), last);
    lead(&mut nodes, &maps, &mut Vec::new());
    *body = nodes;
    rewriter.followed
}

/// What layers are put together, and where they stand then.
#[derive(Debug, Clone)]
struct Group {
    /// Their places, in order.
    members: Vec<usize>,
    /// Of one of them: there the layer runs that stands for them.
    at: usize,
    rule: usize,
}

/// A layer that stands for a group.
struct Made {
    group: Group,
    row: Row,
    /// Of each member, which of the layer's outputs its own are.
    outputs: Vec<Vec<u16>>,
}

/// What a class of several is made from.
type Recipe = (usize, Vec<*const Class>, Vec<Arc<str>>, Wires);

struct Rewriter<'r> {
    runtime: &'r Runtime,
    uses: Uses,
    /// What others share the weights of: it is found by its path.
    shared: HashSet<Arc<str>>,
    /// Layers that are put together alike have the same class.
    classes: HashMap<Recipe, Option<Arc<Class>>>,
    /// How often each rule was followed.
    followed: Vec<usize>,
}

impl Rewriter<'_> {
    /// A body and all in it. `kept`: a node that stays what it is.
    fn body(&mut self, nodes: Body, id: Option<BodyId>, kept: Option<usize>) -> (Body, BodyMap) {
        let wholes = id.map(|id| self.wholes(&nodes, id, kept)).unwrap_or_default();
        // By node: the whole that it goes into, and as which member.
        let mut member_of: Vec<Option<(usize, usize)>> = vec![None; nodes.len()];
        for (n, whole) in wholes.iter().enumerate() {
            for (member, at) in whole.group.members.iter().enumerate() {
                if let Some(cell) = member_of.get_mut(*at) {
                    *cell = Some((n, member));
                }
            }
        }
        // Where each whole will stand, for its members before that.
        let mut places: Vec<u32> = vec![0; wholes.len()];
        let mut next = 0u32;
        for (at, member) in member_of.iter().enumerate() {
            if let Some((n, _)) = member {
                if wholes.get(*n).is_none_or(|whole| whole.group.at != at) {
                    continue;
                }
                if let Some(place) = places.get_mut(*n) {
                    *place = next;
                }
            }
            next += 1;
        }
        let mut out = Body::with_capacity(nodes.len());
        let mut maps = BodyMap { nodes: Vec::with_capacity(nodes.len()) };
        for ((at, node), member) in nodes.into_iter().enumerate().zip(member_of) {
            let of = member.and_then(|(n, member)| Some((wholes.get(n)?, *places.get(n)?, member)));
            let Some((whole, place, member)) = of else {
                let place = u32::try_from(out.len()).unwrap_or(u32::MAX);
                let (node, inside) = self.node(node, id.map(|id| self.uses.children(id, at).clone()));
                out.push(node);
                maps.nodes.push(NodeMap { at: place, outputs: None, inside });
                continue;
            };
            if whole.group.at == at {
                out.push(Node::Layer(Box::new(whole.row.clone())));
            }
            let outputs = whole.outputs.get(member).cloned().unwrap_or_default();
            maps.nodes.push(NodeMap { at: place, outputs: Some(outputs), inside: Inside::Layer });
        }
        (out, maps)
    }

    /// The layers of a body that stand for several of it.
    fn wholes(&mut self, nodes: &Body, id: BodyId, kept: Option<usize>) -> Vec<Made> {
        let groups = self.groups(nodes, id, kept);
        let mut times = vec![0usize; self.runtime.rewrites.len()];
        for group in &groups {
            if let Some(times) = times.get_mut(group.rule) {
                *times += 1;
            }
        }
        let mut wholes = Vec::with_capacity(groups.len());
        for group in groups {
            let is_alone = times.get(group.rule) == Some(&1);
            let Some((row, outputs)) = self.one(nodes, &group, id, is_alone) else { continue };
            if let Some(count) = self.followed.get_mut(group.rule) {
                *count += 1;
            }
            wholes.push(Made { group, row, outputs });
        }
        wholes
    }

    fn node(&mut self, node: Node<Box<Row>>, children: Option<Children>) -> (Node<Box<Row>>, Inside) {
        match node {
            Node::Layer(mut row) => {
                row.let_go();
                (Node::Layer(row), Inside::Layer)
            }
            Node::Composite(composite) => {
                let id = if let Some(Children::One(id)) = children { Some(id) } else { None };
                let (composite, maps) = self.composite(*composite, id);
                (Node::Composite(Box::new(composite)), Inside::Composite(maps))
            }
            Node::Repeat(repeat) => {
                let ids = if let Some(Children::Many(ids)) = children { ids } else { Vec::new() };
                let Repeat { name, count, parallel, inputs, variants, .. } = *repeat;
                let (mut out, mut inside) = (Vec::with_capacity(variants.len()), Vec::with_capacity(variants.len()));
                for (at, Variant { indices, instance }) in variants.into_iter().enumerate() {
                    let (instance, maps) = match instance {
                        Some(Node::Composite(composite)) => {
                            let (composite, maps) = self.composite(*composite, ids.get(at).copied().flatten());
                            (Some(Node::Composite(Box::new(composite))), maps)
                        }
                        other => (other, BodyMap::default()),
                    };
                    inside.push((indices.clone(), maps));
                    out.push(Variant { indices, instance });
                }
                let repeat = Repeat { name, count, parallel, inputs, hold: None, variants: out };
                (Node::Repeat(Box::new(repeat)), Inside::Repeat(inside))
            }
        }
    }

    fn composite(&mut self, mut composite: Composite<Box<Row>>, id: Option<BodyId>) -> (Composite<Box<Row>>, BodyMap) {
        let before = composite.body.len();
        let (body, maps) = self.body(std::mem::take(&mut composite.body), id, None);
        if body.len() != before
            && composite.output.is_none()
            && let Some(last) = before.checked_sub(1).and_then(|last| u32::try_from(last).ok())
        {
            // The last node of before; it is led to where that is now.
            composite.output = Some(Box::new(ValueRef::node(last)));
        }
        composite.body = body;
        composite.hold = None;
        (composite, maps)
    }

    // Which layers.

    fn groups(&self, nodes: &Body, id: BodyId, kept: Option<usize>) -> Vec<Group> {
        let free = |at: usize| kept != Some(at) && layer(nodes, at).is_some_and(|row| self.can_be_part(row));
        let mut found = Found::new(nodes, &self.uses, id, (0..nodes.len()).map(free).collect());
        for (rule, rewrite) in self.runtime.rewrites.iter().enumerate() {
            match &rewrite.layers {
                Layers::Siblings(layer) => found.siblings(rule, layer),
                Layers::Chain(layers) => found.chains(rule, layers),
                Layers::Absorbed => found.absorbed(rule),
            }
        }
        found.groups.into_iter().flatten().collect()
    }

    /// Whether a layer is what its class says, and nobody looks for it by its path.
    fn can_be_part(&self, row: &Row) -> bool {
        let name = row.segment.as_ref().and_then(Segment::lookup_name);
        row.class.as_ref().is_some_and(|class| can_be_part(&class.0))
            && row.weights.is_none()
            && row.calls.is_none()
            && !row.is_tied()
            && row.merged.is_none()
            && !name.is_some_and(|name| self.shared.contains(name))
    }

    // What stands for them.

    /// The layer that stands for a group, and of each member which of its outputs its own are.
    fn one(&mut self, nodes: &Body, group: &Group, id: BodyId, is_alone: bool) -> Option<(Row, Vec<Vec<u16>>)> {
        let rule = self.runtime.rewrites.get(group.rule)?;
        let rows: Vec<&Row> = group.members.iter().filter_map(|at| layer(nodes, *at)).collect();
        let (wires, inputs, outputs) = wires(&self.uses, id, group, &rows);
        let names = names(&rows);
        let first = *rows.first()?;
        let shown: Arc<str> = match &rule.name {
            Some(name) if is_alone => name.clone(),
            _ => names.join("+").into(),
        };
        let class = self.class(group.rule, rule, &rows, &names, wires)?;
        let mut start = 0u16;
        let mut arguments: Vec<(u16, Argument)> = Vec::new();
        for row in &rows {
            arguments.extend(row.arguments.iter().map(|(at, argument)| (start + at, argument.clone())));
            start += u16::try_from(row.class.as_ref()?.0.parameters.len()).ok()?;
        }
        let weighty = rows.iter().find(|row| row.class.as_ref().is_some_and(|class| !class.0.weights.is_empty()));
        let layers = rows.iter().zip(&names).filter_map(|(row, name)| {
            let (class_name, role, class) = (row.class_name.clone(), row.role, row.class.clone()?);
            Some(Stood { name: name.clone(), class_name, role, class })
        });
        let merged = Merged { runtime: self.runtime.name.clone(), doc: rule.doc.clone(), layers: layers.collect() };
        let mut common = Common::at(first.span, first.used);
        common.segment = Some(Segment::text(&shown));
        common.class_name = class.name.clone();
        (common.kind, common.role) = (Some(class.kind), class.role);
        common.class = Some(ClassRef(class));
        common.overrides.clone_from(&first.overrides);
        common.inputs = inputs;
        common.no_grad = first.no_grad;
        common.merged = Some(Box::new(merged));
        let quantized = weighty.and_then(|row| row.quantized);
        Some((Row::standing_for(common, arguments.into(), quantized, first.marks), outputs))
    }

    fn class(&mut self, at: usize, rule: &Rewrite, rows: &[&Row], names: &[Arc<str>], wires: Wires) -> Option<Arc<Class>> {
        let classes: Vec<Arc<Class>> = rows.iter().filter_map(|row| Some(row.class.as_ref()?.0.clone())).collect();
        let key = (at, classes.iter().map(Arc::as_ptr).collect(), names.to_vec(), wires);
        if let Some(known) = self.classes.get(&key) {
            return known.clone();
        }
        let parts: Vec<Part<'_>> = classes.iter().zip(names).map(|(class, name)| Part { name, class }).collect();
        let roles = || rows.iter().filter_map(|row| row.role);
        let product = rows.iter().find(|row| !has_no_products(row)).and_then(|row| row.role);
        let whole = Whole {
            name: rule.class.clone(),
            kind: if rows.iter().all(|row| row.kind == Some(ClassKind::Module)) {
                ClassKind::Module
            } else {
                ClassKind::Function
            },
            role: rule.role.or(product).or_else(|| roles().next_back()),
            doc: rule.doc.clone(),
            source: rule.source.clone(),
        };
        let made = fused(whole, &parts, &key.3).map(Arc::new);
        self.classes.insert(key, made.clone());
        made
    }
}

/// What is found in a body.
struct Found<'n> {
    nodes: &'n Body,
    uses: &'n Uses,
    id: BodyId,
    /// Those that became parts of others are gone.
    groups: Vec<Option<Group>>,
    /// By node: the group that it is in.
    group_of: Vec<Option<usize>>,
    /// Whether a node may be put together with others.
    free: Vec<bool>,
    /// By value, the layers that read it.
    readers_of: HashMap<&'n ValueRef, Vec<usize>>,
}

impl<'n> Found<'n> {
    fn new(nodes: &'n Body, uses: &'n Uses, id: BodyId, free: Vec<bool>) -> Self {
        let mut readers_of: HashMap<&ValueRef, Vec<usize>> = HashMap::new();
        for (at, node) in nodes.iter().enumerate() {
            if let Node::Layer(row) = node {
                row.inputs.iter().for_each(|value| readers_of.entry(value).or_default().push(at));
            }
        }
        Found { nodes, uses, id, groups: Vec::new(), group_of: vec![None; nodes.len()], free, readers_of }
    }

    fn row(&self, at: usize) -> Option<&'n Row> {
        layer(self.nodes, at)
    }

    /// The group that a node is in.
    fn group_of(&self, at: usize) -> Option<usize> {
        self.group_of.get(at).copied().flatten()
    }

    fn group(&self, at: usize) -> Option<&Group> {
        self.groups.get(self.group_of(at)?)?.as_ref()
    }

    /// Where a node runs.
    fn place(&self, at: usize) -> usize {
        self.group(at).map_or(at, |group| group.at)
    }

    fn is_free(&self, at: usize) -> bool {
        self.free.get(at) == Some(&true)
    }

    fn add(&mut self, group: Group) {
        for member in &group.members {
            if let Some(cell) = self.group_of.get_mut(*member) {
                *cell = Some(self.groups.len());
            }
        }
        self.groups.push(Some(group));
    }

    /// The nodes of this body whose values a node reads.
    fn producers(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.uses.reads(self.id, at).iter().copied()
    }

    /// The nodes of this body that read a node, those aside that are read from outside.
    fn readers(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.uses.readers(self.id, at).filter_map(|reader| reader.at)
    }

    /// A group of these nodes, if it can run as one: where.
    fn grouped(&self, mut members: Vec<usize>, rule: usize) -> Option<Group> {
        members.sort_unstable();
        members.dedup();
        if members.len() > MOST {
            return None;
        }
        let rows: Option<Vec<&Row>> = members.iter().map(|at| self.row(*at)).collect();
        let rows = rows?;
        let (first, others) = rows.split_first()?;
        if !others.iter().all(|row| is_alike(first, row)) {
            return None;
        }
        let [least, most] = [*members.first()?, *members.last()?];
        let is_outside = |at: &usize| members.binary_search(at).is_err();
        let fits = |place: &usize| {
            members.iter().all(|member| {
                let before = self.producers(*member).filter(is_outside).all(|at| self.place(at) < *place);
                let after = self.readers(*member).filter(is_outside).all(|at| self.place(at) > *place);
                before && after
            })
        };
        let at = [most, least].into_iter().find(fits)?;
        let classes: Vec<&Class> = rows.iter().filter_map(|row| Some(&*row.class.as_ref()?.0)).collect();
        let group = Group { members, at, rule };
        let (wires, ..) = wires(self.uses, self.id, &group, &rows);
        (keeps_shapes(&classes, &wires) && traffic_is_known(&classes, &wires)).then_some(group)
    }

    fn siblings(&mut self, rule: usize, layer: &Rewritten) {
        let mut seen = vec![false; self.nodes.len()];
        for at in 0..self.nodes.len() {
            let is_open = |found: &Self, at: usize| found.is_free(at) && found.group_of(at).is_none();
            let Some(row) = self.row(at).filter(|row| is_open(self, at) && means(layer, row)) else { continue };
            if seen.get(at) == Some(&true) {
                continue;
            }
            let is_sibling = |other: &usize| {
                let is_new = *other > at && seen.get(*other) == Some(&false) && is_open(self, *other);
                is_new && self.row(*other).is_some_and(|other| other.class == row.class && means(layer, other))
            };
            let beside = row.inputs.iter().filter_map(|value| self.readers_of.get(value)).flatten().copied();
            let mut members: Vec<usize> = std::iter::once(at).chain(beside.filter(is_sibling).take(MOST)).collect();
            members.sort_unstable();
            members.dedup();
            members.truncate(MOST);
            for member in &members {
                if let Some(seen) = seen.get_mut(*member) {
                    *seen = true;
                }
            }
            if members.len() > 1
                && let Some(group) = self.grouped(members, rule)
            {
                self.add(group);
            }
        }
    }

    fn chains(&mut self, rule: usize, layers: &[Rewritten]) {
        for at in 0..self.nodes.len() {
            let mut members: Vec<usize> = Vec::with_capacity(layers.len());
            for layer in layers {
                let is_next = |at: &usize| {
                    self.is_free(*at)
                        && self.group_of(*at).is_none()
                        && !members.contains(at)
                        && self.row(*at).is_some_and(|row| means(layer, row))
                };
                let next = match members.last() {
                    None => Some(at).filter(is_next),
                    Some(last) => self.readers(*last).find(is_next),
                };
                members.extend(next);
            }
            if members.len() == layers.len()
                && let Some(group) = self.grouped(members, rule)
            {
                self.add(group);
            }
        }
    }

    fn absorbed(&mut self, rule: usize) {
        for at in 0..self.nodes.len() {
            if !self.is_free(at) || !self.row(at).is_some_and(has_no_products) {
                continue;
            }
            let beside = self.producers(at).chain(self.readers(at)).filter(|at| self.is_free(*at));
            for other in beside.take(MOST_TRIED).collect::<Vec<usize>>() {
                let [own, others] = [at, other].map(|at| self.group_of(at));
                if own.is_some() && own == others {
                    continue;
                }
                let of = |at: usize| self.group(at).map_or_else(|| vec![at], |group| group.members.clone());
                let [mine, theirs] = [of(at), of(other)];
                // Two products are two kernels.
                let has_product = |members: &[usize]| members.iter().any(|at| !self.row(*at).is_some_and(has_no_products));
                if has_product(&mine) && has_product(&theirs) {
                    continue;
                }
                if let Some(group) = self.grouped(mine.into_iter().chain(theirs).collect(), rule) {
                    for gone in [own, others].into_iter().flatten() {
                        if let Some(group) = self.groups.get_mut(gone) {
                            *group = None;
                        }
                    }
                    self.add(group);
                }
            }
        }
    }
}

/// The layer that a node is.
fn layer(nodes: &Body, at: usize) -> Option<&Row> {
    if let Node::Layer(row) = nodes.get(at)? { Some(row) } else { None }
}

/// Whether a rewrite means a layer.
fn means(layer: &Rewritten, row: &Row) -> bool {
    let name = row.segment.as_ref().and_then(Segment::lookup_name);
    row.class.as_ref().is_some_and(|class| layer.means(row.role, (&class.0.name, &row.class_name), name.map(|name| &**name)))
}

fn has_no_products(row: &Row) -> bool {
    row.class.as_ref().is_some_and(|class| class.0.flops.matmul.expr == Expr::Const(Value::count(0)))
}

/// Whether two layers run under the same names: lengths, gradients, patterns, and so many tokens.
fn is_alike(a: &Row, b: &Row) -> bool {
    let overrides = |row: &Row| row.overrides.iter().map(|(at, argument)| (*at, argument.binding.clone())).collect::<Vec<_>>();
    let has_weights = |row: &Row| row.class.as_ref().is_some_and(|class| !class.0.weights.is_empty());
    let stored = !has_weights(a) || !has_weights(b) || a.quantized == b.quantized;
    a.no_grad == b.no_grad
        && a.marks == b.marks
        && stored
        && overrides(a) == overrides(b)
        && tokens(a).zip(tokens(b)).is_none_or(|(a, b)| a == b)
}

/// How many tokens a layer says that it has, or how its class counts them. `None`: it has none.
fn tokens(row: &Row) -> Option<Result<&Binding, &str>> {
    let class = &row.class.as_ref()?.0;
    let at = class.parameter_at(class.tokens?)?;
    match row.arguments.iter().find(|(position, _)| usize::from(*position) == at) {
        Some((_, argument)) => Some(Ok(&argument.binding)),
        None => Some(Err(class.parameters.get(at)?.default.as_ref().map_or("", |formula| &formula.text))),
    }
}

/// What the layers are called, each otherwise.
fn names(rows: &[&Row]) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::with_capacity(rows.len());
    for row in rows {
        let own = row.segment.as_ref().and_then(Segment::lookup_name).cloned();
        let own = own.unwrap_or_else(|| row.class_name.rsplit('.').next().unwrap_or_default().into());
        let taken = names
            .iter()
            .filter(|name| **name == own || name.strip_prefix(&*own).is_some_and(|rest| rest.starts_with('#')))
            .count();
        names.push(if taken == 0 { own } else { format!("{own}#{}", taken + 1).into() });
    }
    names
}

/// Who reads what in a group; what it reads of others; and of each member, which of the outputs of the whole its own are.
fn wires(uses: &Uses, id: BodyId, group: &Group, rows: &[&Row]) -> (Wires, Vec<ValueRef>, Vec<Vec<u16>>) {
    let clip = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let part_of = |at: u32| group.members.iter().position(|member| *member == at as usize);
    let mut outer: Vec<ValueRef> = Vec::new();
    let mut wires = Wires::default();
    for row in rows {
        // What takes nothing may still stand behind something.
        let num = row.class.as_ref().map_or(0, |class| class.0.inputs.len());
        let feeds = row.inputs.iter().take(num).map(|value| {
            if let (ValueTarget::Node(at), 0) = (&value.target, value.up)
                && let Some(part) = part_of(*at)
            {
                return Feed::Inner { part: clip(part), output: output_in(&value.rest) };
            }
            let at = outer.iter().position(|known| known == value).unwrap_or_else(|| {
                outer.push(value.clone());
                outer.len() - 1
            });
            Feed::Outer(clip(at))
        });
        wires.inputs.push(feeds.collect());
    }
    let mut outputs = Vec::with_capacity(rows.len());
    for (part, (member, row)) in group.members.iter().zip(rows).enumerate() {
        let num = row.class.as_ref().map_or(1, |class| class.0.outputs.len());
        let mut of: Vec<u16> = Vec::with_capacity(num);
        for output in 0..num {
            let is_read = uses.readers(id, *member).any(|reader| {
                let inside = reader.at.is_some_and(|at| group.members.contains(&at));
                !inside && usize::from(reader.output) == output
            });
            if is_read {
                wires.outputs.push((clip(part), clip(output)));
            }
            of.push(clip(wires.outputs.len().saturating_sub(1)));
        }
        outputs.push(of);
    }
    (wires, outer, outputs)
}
