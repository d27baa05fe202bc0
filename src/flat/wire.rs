//! Which value a name in `inputs` means: bodies under construction, and the names in them.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::indices::Indices;
use super::node::{Node, Row, Variant};
use super::value::{Step, ValueRef, ValueTarget};
use crate::language::{PathPiece, Segment, enclosing};
use crate::syntax::diag::{Code, Diagnostic, nearest};
use crate::syntax::source::Span;
use crate::syntax::spec::list_member;

/// A body that is being built.
#[derive(Default)]
pub struct Body {
    pub nodes: Vec<Node<Box<Row>>>,
    names: HashMap<Arc<str>, Found, RandomState>,
    /// Path segments in use, those of groups' children too.
    taken: HashMap<Arc<str>, Span, RandomState>,
    /// Repeated layers with the index in the midst of their names, by what stands before and after it.
    patterns: HashMap<(String, String), u32>,
    /// The lists of which some layers say their place: `blocks.3`.
    lists: HashMap<Arc<str>, Places>,
    /// What the next sibling reads if it doesn't say.
    previous: Option<ValueRef>,
    /// The repeated layer whose instances are being made right now.
    pending: Option<Pending>,
    faults: Faults,
    /// Nodes with faults inside.
    faulty: HashSet<u32>,
}

/// The places of a list that are taken.
struct Places {
    /// Ranges that don't touch each other's, by their beginnings.
    taken: BTreeMap<u64, u64>,
    /// Where the first of them is.
    first: Span,
}

impl Places {
    /// Takes places; whether one of them was taken before.
    fn take(&mut self, indices: &Indices) -> bool {
        let mut again = false;
        for (first, last) in indices.ranges() {
            let before = self.taken.range(..=*last).next_back();
            if before.is_some_and(|(_, end)| end >= first) {
                again = true;
            } else {
                self.taken.insert(*first, *last);
            }
        }
        again
    }
}

/// A repeated layer in the making: its distinct instances so far, with the indices that have them.
#[derive(Default)]
pub struct Pending {
    name: Option<Arc<str>>,
    pub distinct: IndexMap<Node<Box<Row>>, Indices, RandomState>,
}

/// Layers that couldn't be made, which was reported: names that may mean them are not unknown.
#[derive(Default)]
struct Faults {
    names: HashSet<Arc<str>>,
    /// One of them has no name that is known.
    nameless: bool,
}

impl Faults {
    fn any(&self) -> bool {
        self.nameless || !self.names.is_empty()
    }

    fn merge(&mut self, other: Faults) {
        self.names.extend(other.names);
        self.nameless |= other.nameless;
    }
}

/// Why a name stands for nothing.
pub enum Unknown {
    /// What it may mean couldn't be made, which was reported.
    Reported,
    /// There is no such name.
    Nothing,
}

enum Found {
    Node(u32),
    /// A child of a group.
    InGroup(u32),
    /// An absent layer's first input.
    StandIn(ValueRef),
}

/// The bodies from the outermost to the one that is being built.
pub struct Wiring {
    bodies: Vec<Body>,
    model_inputs: Vec<Arc<str>>,
    /// How many nodes were looked at below earlier siblings.
    looked: Cell<u64>,
    /// Of the bodies that were closed since the last node was placed: those that the next node has in it.
    closed: Closed,
}

#[derive(Default)]
struct Closed {
    faults: Faults,
    /// Where the names are written that a group gives its siblings.
    taken: HashMap<Arc<str>, Span, RandomState>,
}

impl Wiring {
    pub fn new(model_inputs: Vec<Arc<str>>) -> Self {
        Wiring { bodies: Vec::new(), model_inputs, looked: Cell::new(0), closed: Closed::default() }
    }

    pub fn open(&mut self, body: Body) {
        self.bodies.push(body);
    }

    /// Finishes a body. Two siblings of one path that only an index makes equal are an error.
    pub fn close(&mut self) -> (Vec<Node<Box<Row>>>, Vec<Diagnostic>) {
        let body = self.bodies.pop().unwrap_or_default();
        let clashes = clashes(&body);
        self.closed.faults.merge(body.faults);
        if !body.faulty.is_empty() {
            self.closed.faults.nameless = true;
        }
        match self.closed.taken.is_empty() {
            true => self.closed.taken = body.taken,
            false => self.closed.taken.extend(body.taken),
        }
        (body.nodes, clashes)
    }

    /// A layer that couldn't be made, which was reported. Its name is taken all the same.
    pub fn fault(&mut self, name: Option<Arc<str>>, span: Span) -> Option<Diagnostic> {
        self.closed = Closed::default();
        let body = self.bodies.last_mut()?;
        let Some(name) = name else {
            body.faults.nameless = true;
            return None;
        };
        let first = body.taken.insert(name.clone(), span);
        let duplicate = first.map(|first| duplicate(&name, first, span));
        body.faults.names.insert(name);
        duplicate
    }

    /// Whether names have led through more nodes than any model needs.
    pub fn exhausted(&self) -> bool {
        const MOST: u64 = 20_000_000;
        self.looked.get() > MOST
    }

    pub fn depth(&self) -> usize {
        self.bodies.len()
    }

    /// The previous sibling's output; for the first, what the composite was given.
    pub fn previous(&self) -> ValueRef {
        self.bodies.last().and_then(|body| body.previous.clone()).unwrap_or_else(|| ValueRef::input(0))
    }

    /// A repeated layer whose instances are about to be made; a layer in one of them may read an earlier one.
    pub fn begin_repeat(&mut self, name: Option<Arc<str>>) {
        if let Some(body) = self.bodies.last_mut() {
            // Its hasher remembers hashes, which are much of the work of a repeat whose instances all differ.
            body.pending = Some(Pending { name, distinct: IndexMap::default() });
        }
    }

    /// An instance of it, made; `first` to `last` are the indices that it stands for.
    /// The number of its form comes back.
    pub fn instance(&mut self, node: Node<Box<Row>>, first: u64, last: u64) -> Option<usize> {
        let pending = self.bodies.last_mut()?.pending.as_mut()?;
        let entry = pending.distinct.entry(node);
        let form = entry.index();
        entry.or_default().push(first, last);
        Some(form)
    }

    /// An instance that needs not be made: it looks like one that was; none: it doesn't exist.
    pub fn instance_like(&mut self, form: Option<usize>, index: u64) {
        let pending = self.bodies.last_mut().and_then(|body| body.pending.as_mut());
        let known = pending.zip(form).and_then(|(pending, form)| pending.distinct.get_index_mut(form));
        if let Some((_, indices)) = known {
            indices.push(index, index);
        }
    }

    /// The form of this number among those of the repeat that is being made.
    pub fn form(&self, form: usize) -> Option<&Node<Box<Row>>> {
        let pending = self.bodies.last()?.pending.as_ref()?;
        pending.distinct.get_index(form).map(|(node, _)| node)
    }

    /// Its distinct instances, in the order in which they first run.
    pub fn end_repeat(&mut self) -> Vec<Variant<Box<Row>>> {
        let pending = self.bodies.last_mut().and_then(|body| body.pending.take()).unwrap_or_default();
        let variant = |(node, indices)| Variant { indices, instance: Some(node) };
        pending.distinct.into_iter().map(variant).collect()
    }

    /// Appends a node. Two siblings of one path are an error.
    pub fn place(&mut self, node: Node<Box<Row>>, span: Span) -> Vec<Diagnostic> {
        let at = self.append(node, span);
        if let (Some(body), Ok(at)) = (self.bodies.last_mut(), &at) {
            body.previous = Some(ValueRef::node(*at));
        }
        at.err().unwrap_or_default()
    }

    /// Appends a tensor of the composite itself: it is nobody's previous sibling.
    pub fn place_weight(&mut self, row: Row) -> Vec<Diagnostic> {
        let span = row.span;
        self.append(Node::Layer(Box::new(row)), span).err().unwrap_or_default()
    }

    fn append(&mut self, node: Node<Box<Row>>, span: Span) -> Result<u32, Vec<Diagnostic>> {
        let is_root = self.bodies.len() == 1;
        let closed = std::mem::take(&mut self.closed);
        let Some(body) = self.bodies.last_mut() else {
            return Err(Vec::new());
        };
        let mut paths = Vec::new();
        path_names(&node, 0, &mut paths);
        let mut errors = Vec::new();
        let is_group = is_group(&node);
        for path in paths {
            if path.is_empty() && is_root {
                let message = "a layer has no name, and nothing around it has one: its path would be empty";
                errors.push(Diagnostic::new(Code::MissingKey, message).at(span, "give it a `name`"));
                continue;
            }
            let place = closed.taken.get(&path).filter(|_| is_group).copied().unwrap_or(span);
            if let Some(first) = body.taken.insert(path.clone(), place) {
                errors.push(duplicate(&path, first, place));
            }
        }
        let at = u32::try_from(body.nodes.len()).unwrap_or(u32::MAX);
        if closed.faults.any() {
            if segment_of(&node).is_none() && is_group {
                body.faults.merge(closed.faults);
            } else {
                body.faulty.insert(at);
            }
        }
        errors.extend(body.places_in_lists(&node, span));
        register(&node, at, &mut body.names);
        if let Node::Repeat(repeat) = &node
            && let Some(name) = &repeat.name
            && let Some(affixes) = name.affixes()
        {
            body.patterns.insert(affixes, at);
        }
        body.nodes.push(node);
        if errors.is_empty() { Ok(at) } else { Err(errors) }
    }

    /// A layer that doesn't exist: its name stands for its first input, and so it does for the next sibling.
    pub fn absent(&mut self, name: Option<&Arc<str>>, stand_in: Option<ValueRef>) {
        if let (Some(body), Some(value)) = (self.bodies.last_mut(), stand_in) {
            if let Some(name) = name {
                body.names.entry(name.clone()).or_insert_with(|| Found::StandIn(value.clone()));
            }
            body.previous = Some(value);
        }
    }

    /// The value that a name means here: an earlier sibling's, then outward; `input`; a model input.
    ///
    /// # Errors
    /// Why it has none.
    pub fn find(&self, text: &str) -> Result<ValueRef, Unknown> {
        let parts: Vec<&str> = text.split('.').collect();
        let Some((head, rest)) = parts.split_first() else {
            return Err(Unknown::Nothing);
        };
        for (up, body) in self.bodies.iter().rev().enumerate() {
            let up = u16::try_from(up).unwrap_or(u16::MAX);
            if let Some(value) = find_in(body, head, rest, up, &self.looked) {
                return Ok(value);
            }
            if body.may_be_faulty(head) || body.faults.names.contains(text) {
                return Err(Unknown::Reported);
            }
            if up == 0 && *head == "input" && rest.is_empty() {
                return Ok(ValueRef::input(0));
            }
        }
        let model_input = self.model_inputs.iter().position(|input| **input == **head).filter(|_| rest.is_empty());
        if let Some(at) = model_input.and_then(|at| u32::try_from(at).ok()) {
            return Ok(ValueRef { up: 0, target: ValueTarget::ModelInput(at), rest: Vec::new() });
        }
        if self.bodies.iter().any(|body| body.faults.nameless) {
            return Err(Unknown::Reported);
        }
        Err(Unknown::Nothing)
    }

    /// The name nearest to an unknown one, among those that a layer here sees.
    pub fn nearest(&self, text: &str) -> Option<String> {
        let names = self.bodies.iter().flat_map(|body| body.names.keys()).map(|name| &**name);
        nearest_of(text, names.chain(self.model_inputs.iter().map(|name| &**name)))
    }

    /// The child of the body that is being built whose name is nearest.
    pub fn nearest_child(&self, text: &str) -> Option<String> {
        nearest_of(text, self.bodies.last()?.names.keys().map(|name| &**name))
    }

    /// A child of the body that is being built.
    ///
    /// # Errors
    /// Why there is none.
    pub fn find_child(&self, text: &str) -> Result<ValueRef, Unknown> {
        let parts: Vec<&str> = text.split('.').collect();
        let (Some((head, rest)), Some(body)) = (parts.split_first(), self.bodies.last()) else {
            return Err(Unknown::Nothing);
        };
        if let Some(value) = find_in(body, head, rest, 0, &self.looked) {
            return Ok(value);
        }
        if body.may_be_faulty(head) || body.faults.nameless {
            return Err(Unknown::Reported);
        }
        Err(Unknown::Nothing)
    }
}

impl Body {
    /// Whether a name means a layer that couldn't be made, or something in a layer that lacks one.
    fn may_be_faulty(&self, head: &str) -> bool {
        let node = match self.names.get(head) {
            Some(Found::Node(at) | Found::InGroup(at)) => Some(*at),
            _ => self.patterned(head).map(|(at, _)| at),
        };
        self.faults.names.contains(head) || node.is_some_and(|at| self.faulty.contains(&at))
    }

    /// Notes which places in lists a node takes; those that are taken already come back as errors.
    fn places_in_lists(&mut self, node: &Node<Box<Row>>, span: Span) -> Vec<Diagnostic> {
        let mut places = Vec::new();
        list_places(node, &mut Vec::new(), &mut places);
        let mut errors = Vec::new();
        for (list, indices) in places {
            let whole = list.split('.').next().unwrap_or_default();
            let (named, around) = (self.taken.get(&list).copied(), self.taken.get(whole).copied());
            let beside = self.list(&list);
            let is_whole = match beside {
                Some(Node::Repeat(_)) => false,
                // One whose modules are written out.
                Some(Node::Composite(list)) if named.is_none() => has_number(&list.body, &indices),
                beside => named.is_some() || beside.is_some(),
            };
            let is_inside = self.is_inside(&list, &indices);
            // A repeated layer of this name has its places.
            let repeated = match beside {
                Some(Node::Repeat(repeat)) if !self.lists.contains_key(&list) => {
                    repeat.variants.iter().map(|variant| variant.indices.clone()).collect()
                }
                _ => Vec::new(),
            };
            let first = || Places { taken: BTreeMap::new(), first: named.or(around).unwrap_or(span) };
            let known = self.lists.entry(list.clone()).or_insert_with(first);
            for indices in &repeated {
                known.take(indices);
            }
            if known.take(&indices) || is_whole || is_inside {
                errors.push(duplicate(&format!("{list}.{}", indices.pattern()), known.first, span));
            }
        }
        if let Some(list) = segment_of(node).and_then(Segment::lookup_name)
            && let Some(known) = self.lists.get_mut(list)
        {
            let clashes = match node {
                // Each of them is to be taken.
                Node::Repeat(repeat) => repeat.variants.iter().filter(|variant| known.take(&variant.indices)).count() > 0,
                _ => true,
            };
            errors.extend(clashes.then(|| duplicate(list, known.first, span)));
        }
        errors
    }

    /// The layer that a list is, or what it is in, by its path from here on: `blocks`, `model.layers`.
    fn list(&self, path: &str) -> Option<&Node<Box<Row>>> {
        let mut parts = path.split('.');
        let Some(Found::Node(at)) = self.names.get(parts.next()?) else { return None };
        parts.try_fold(self.nodes.get(*at as usize)?, |node, part| {
            let Node::Composite(composite) = node else { return None };
            child(&composite.body, part, &Cell::new(0)).map(|(_, node)| node)
        })
    }

    /// Whether a composite that a list's path leads into has one of these places said in it.
    fn is_inside(&self, list: &str, indices: &Indices) -> bool {
        let Some((around, list)) = list.rsplit_once('.') else { return false };
        let Some(Node::Composite(composite)) = self.list(around) else { return false };
        let mut places = Vec::new();
        composite.body.iter().for_each(|child| list_places(child, &mut Vec::new(), &mut places));
        let shared = |other: &Indices| indices.ranges().iter().any(|(first, last)| meets(other, *first, *last));
        places.iter().any(|(name, other)| **name == *list && shared(other))
    }

    /// The repeated layer an instance of which has this name, and its index: `layer12` of `layer<i>`.
    fn patterned(&self, name: &str) -> Option<(u32, u64)> {
        if self.patterns.is_empty() {
            return None;
        }
        splits(name).find_map(|(before, index, after)| {
            let at = self.patterns.get(&(before.to_owned(), after.to_owned()))?;
            Some((*at, index))
        })
    }
}

/// Whether a child has one of these numbers as its name.
fn has_number(body: &[Node<Box<Row>>], indices: &Indices) -> bool {
    body.iter().filter_map(|node| segment_of(node)?.lookup_name()?.parse::<u64>().ok()).any(|number| indices.contains(number))
}

/// Whether some of the indices are in a range.
fn meets(indices: &Indices, first: u64, last: u64) -> bool {
    indices.ranges().iter().any(|(from, to)| *from <= last && first <= *to)
}

/// Names in an order of their own, so that the nearest of them doesn't depend on a hash.
fn nearest_of<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    nearest(text, names.iter().copied()).map(str::to_owned)
}

/// All ways to read a name as a text, an index and a text.
pub fn splits(name: &str) -> impl Iterator<Item = (&str, u64, &str)> {
    const MOST_DIGITS: usize = 20;
    let digits = move |at: usize| name.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    (0..name.len()).filter(move |at| digits(*at)).flat_map(move |from| {
        let ends = (from + 1..=name.len().min(from + MOST_DIGITS)).take_while(move |to| digits(to - 1));
        ends.filter_map(move |to| {
            let number = name.get(from..to)?;
            if number.len() > 1 && number.starts_with('0') {
                return None;
            }
            Some((name.get(..from)?, number.parse().ok()?, name.get(to..)?))
        })
    })
}

fn duplicate(path: &str, first: Span, again: Span) -> Diagnostic {
    let shown = if path.is_empty() { "(none)".to_owned() } else { starred(path) };
    if first == again {
        let message = format!("the instances of a repeated layer have the name `{shown}` in common");
        return Diagnostic::new(Code::DuplicateName, message)
            .at(again, "the same in every instance")
            .help("give the group a name, or put the index into this one: `<layer>`");
    }
    Diagnostic::new(Code::DuplicateName, format!("two layers side by side have the name `{shown}`"))
        .at(again, "again here")
        .also(first, "first here")
}

/// `layer1` beside three `layer<i>`.
fn clashes(body: &Body) -> Vec<Diagnostic> {
    if body.patterns.is_empty() {
        return Vec::new();
    }
    let mut clashes: Vec<Diagnostic> = Vec::new();
    for (path, span) in &body.taken {
        let Some((at, index)) = body.patterned(path) else {
            continue;
        };
        let Some(Node::Repeat(repeat)) = body.nodes.get(at as usize) else {
            continue;
        };
        let first = repeat.name.as_ref().and_then(|name| body.taken.get(&*shown(name, 1)));
        if let Some(first) = first.filter(|_| repeat.variants.iter().any(|variant| variant.indices.contains(index))) {
            clashes.push(duplicate(path, *first.min(span), *first.max(span)));
        }
    }
    clashes.sort_by_key(|diagnostic| diagnostic.primary.as_ref().map(|label| label.span));
    clashes
}

fn is_group(node: &Node<Box<Row>>) -> bool {
    match node {
        Node::Layer(_) => false,
        Node::Composite(composite) => composite.path_segment().is_none(),
        Node::Repeat(repeat) => repeat.instances().all(is_group),
    }
}

fn find_in(body: &Body, head: &str, rest: &[&str], up: u16, looked: &Cell<u64>) -> Option<ValueRef> {
    let node = |at: u32| body.nodes.get(at as usize);
    let reference = |at: u32, steps: Vec<Step>| ValueRef { up, target: ValueTarget::Node(at), rest: steps };
    // A list may be said by its path: `model.layers.61`.
    for parts in 0..if body.lists.is_empty() { 0 } else { rest.len() } {
        let (path, rest) = rest.split_at_checked(parts)?;
        let list = path.iter().fold(head.to_owned(), |list, part| format!("{list}.{part}"));
        let Some((number, inside)) = rest.split_first().filter(|_| body.lists.contains_key(&*list)) else { continue };
        if let Some(Found::Node(at)) = body.names.get(&*format!("{list}.{number}")) {
            return Some(reference(*at, steps(node(*at)?, inside, looked)?));
        }
        if let Some(steps) = member_steps(&body.nodes, &list, rest, looked)
            && let Some((Step::Child(at), steps)) = steps.split_first()
        {
            return Some(reference(*at, steps.to_vec()));
        }
    }
    match body.names.get(head) {
        Some(Found::Node(at)) => Some(reference(*at, steps(node(*at)?, rest, looked)?)),
        Some(Found::InGroup(at)) => {
            let Node::Composite(group) = node(*at)? else { return None };
            Some(reference(*at, child_steps(&group.body, head, rest, looked)?))
        }
        Some(Found::StandIn(value)) if rest.is_empty() => Some(ValueRef { up: value.up.saturating_add(up), ..value.clone() }),
        Some(Found::StandIn(_)) => None,
        None => match body.patterned(head) {
            Some((at, index)) => Some(reference(at, instance_steps(node(at)?, index, rest, looked)?)),
            None => earlier_instance(body, head, rest, up, looked),
        },
    }
}

/// `layers.3.x` inside a later instance of `layers`.
fn earlier_instance(body: &Body, head: &str, rest: &[&str], up: u16, looked: &Cell<u64>) -> Option<ValueRef> {
    let pending = body.pending.as_ref().filter(|pending| pending.name.as_deref() == Some(head))?;
    let (index, inside) = rest.split_first()?;
    let index: u64 = index.parse().ok()?;
    let has = |indices: &Indices| {
        looked.set(looked.get() + 1);
        indices.contains(index)
    };
    // The instance before is read most often, and it came last.
    let (node, _) = pending.distinct.iter().rev().find(|(_, indices)| has(indices))?;
    let at = u32::try_from(body.nodes.len()).ok()?;
    let rest = then(Step::Instance(index), steps(node, inside, looked)?);
    Some(ValueRef { up, target: ValueTarget::Node(at), rest })
}

/// The names under which values of a node are found.
fn register(node: &Node<Box<Row>>, at: u32, names: &mut HashMap<Arc<str>, Found, RandomState>) {
    let segment = segment_of(node);
    if let Some(name) = segment.and_then(Segment::lookup_name) {
        names.insert(name.clone(), Found::Node(at));
    }
    if let Node::Composite(group) = node
        && group.segment.is_none()
    {
        let mut inner = HashMap::default();
        group.body.iter().for_each(|child| register(child, at, &mut inner));
        for name in inner.into_keys() {
            names.insert(name, Found::InGroup(at));
        }
    }
}

pub fn segment_of<L: HasSegment>(node: &Node<L>) -> Option<&Segment> {
    match node {
        Node::Layer(layer) => layer.segment(),
        Node::Composite(composite) => composite.segment.as_ref(),
        Node::Repeat(repeat) => repeat.name.as_ref(),
    }
}

/// What a leaf says of its name.
pub trait HasSegment {
    fn segment(&self) -> Option<&Segment>;
}

impl HasSegment for Box<Row> {
    fn segment(&self) -> Option<&Segment> {
        self.segment.as_ref()
    }
}

/// Where `rest`, the names of children, indices and an output, leads in a node; `None` if nothing there is called so.
fn steps(node: &Node<Box<Row>>, rest: &[&str], looked: &Cell<u64>) -> Option<Vec<Step>> {
    let Some((head, tail)) = rest.split_first() else {
        return Some(Vec::new());
    };
    match node {
        Node::Layer(row) => {
            let at = row.class.as_ref()?.0.outputs.iter().position(|output| *output.name == **head)?;
            Some(vec![Step::Output(u16::try_from(at).ok()?)]).filter(|_| tail.is_empty())
        }
        Node::Composite(composite) => child_steps(&composite.body, head, tail, looked),
        Node::Repeat(_) => instance_steps(node, head.parse().ok()?, tail, looked),
    }
}

fn then(first: Step, mut rest: Vec<Step>) -> Vec<Step> {
    rest.insert(0, first);
    rest
}

/// The way to the instance of a repeat, and on from there.
fn instance_steps(node: &Node<Box<Row>>, index: u64, rest: &[&str], looked: &Cell<u64>) -> Option<Vec<Step>> {
    let Node::Repeat(repeat) = node else { return None };
    let variant = repeat.variants.iter().find(|variant| variant.indices.contains(index))?;
    Some(then(Step::Instance(index), steps(variant.instance.as_ref()?, rest, looked)?))
}

/// The way to the first child of this name, in groups too, and on from there.
fn child_steps(body: &[Node<Box<Row>>], name: &str, rest: &[&str], looked: &Cell<u64>) -> Option<Vec<Step>> {
    let direct = child(body, name, looked).and_then(|(way, node)| {
        let inside = steps(node, rest, looked)?;
        Some(way.into_iter().rev().chain(inside).collect())
    });
    direct.or_else(|| member_steps(body, name, rest, looked))
}

/// The way to the layer that has the place in a list which `rest` begins with, in groups and repeated groups too, and on from there.
fn member_steps(body: &[Node<Box<Row>>], list: &str, rest: &[&str], looked: &Cell<u64>) -> Option<Vec<Step>> {
    let (number, rest) = rest.split_first()?;
    let number: u64 = number.parse().ok()?;
    let (way, node) = member(body, list, number, &mut Vec::new(), looked)?;
    let inside = steps(node, rest, looked)?;
    Some(way.into_iter().rev().chain(inside).collect())
}

/// The layer at a place of a list, and the way to it, its last step first; `around` are the repeated groups on the way, their indices
/// known where one instance has them.
fn member<'n>(
    body: &'n [Node<Box<Row>>],
    list: &str,
    number: u64,
    around: &mut Vec<&'n Indices>,
    looked: &Cell<u64>,
) -> Option<(Vec<Step>, &'n Node<Box<Row>>)> {
    (0u32..).zip(body).find_map(|(at, node)| {
        looked.set(looked.get() + 1);
        let (mut way, found) = match node {
            Node::Repeat(repeat) if repeat.name.is_none() => repeat.variants.iter().find_map(|variant| {
                let Some(Node::Composite(group)) = &variant.instance else { return None };
                around.push(&variant.indices);
                let found = member(&group.body, list, number, around, looked);
                around.pop();
                let (mut way, found) = found?;
                // The number is this group's index, or the layer stands in one of its instances alone.
                let passed = way.iter().filter(|step| matches!(step, Step::Instance(_))).count();
                let own = segment_of(found).and_then(place_in_list).and_then(|(_, place)| place.err());
                let is_own = own.is_some_and(|level| usize::from(level) == passed);
                let index = if is_own { number } else { variant.indices.ranges().first()?.0 };
                way.push(Step::Instance(index));
                Some((way, found))
            })?,
            Node::Composite(group) if group.path_segment().is_none() => member(&group.body, list, number, around, looked)?,
            Node::Repeat(_) => return None,
            node => {
                let (name, place) = segment_of(node).and_then(place_in_list)?;
                let is_here = match place {
                    Ok(own) => own == number,
                    Err(level) => enclosing(around, level).is_some_and(|indices| indices.contains(number)),
                };
                (name == list && is_here).then_some((Vec::new(), node))?
            }
        };
        way.push(Step::Child(at));
        Some((way, found))
    })
}

/// A child by name, in groups too, and the way to it, its last step first.
fn child<'n>(body: &'n [Node<Box<Row>>], name: &str, looked: &Cell<u64>) -> Option<(Vec<Step>, &'n Node<Box<Row>>)> {
    (0u32..).zip(body).find_map(|(at, node)| {
        looked.set(looked.get() + 1);
        if segment_of(node).and_then(Segment::lookup_name).is_some_and(|n| **n == *name) {
            return Some((vec![Step::Child(at)], node));
        }
        let Node::Composite(group) = node else { return None };
        let body = group.segment.is_none().then_some(&group.body)?;
        let (mut way, found) = child(body, name, looked)?;
        way.push(Step::Child(at));
        Some((way, found))
    })
}

/// The path segments that a node takes beside its siblings; `depth` repeats have been entered on the way to it.
fn path_names(node: &Node<Box<Row>>, depth: u16, out: &mut Vec<Arc<str>>) {
    match node {
        Node::Layer(row) => match &row.segment {
            Some(segment) if has_place(segment, depth) => {}
            segment => out.push(segment.as_ref().map_or_else(|| "".into(), |segment| shown(segment, depth))),
        },
        Node::Composite(composite) => match composite.path_segment() {
            Some(segment) if has_place(segment, depth) => {}
            Some(segment) => out.push(shown(segment, depth)),
            None => composite.body.iter().for_each(|child| path_names(child, depth, out)),
        },
        Node::Repeat(repeat) => {
            // `layers.0` and `layers.1` are children of a `layers`.
            if let Some(name) = repeat.name.as_ref().and_then(Segment::lookup_name).filter(|_| !is_group(node)) {
                return out.push(name.clone());
            }
            let inside = depth.saturating_add(1);
            let mut instances: BTreeMap<Arc<str>, u128> = BTreeMap::new();
            for variant in &repeat.variants {
                let mut names = Vec::new();
                variant.instance.iter().for_each(|instance| path_names(instance, inside, &mut names));
                for name in names {
                    *instances.entry(name).or_default() += variant.indices.count();
                }
            }
            // Several instances of a group have their children's names in common, unless those contain this repeat's index.
            let own = index_mark(inside);
            let clashing = |(name, instances): &(&Arc<str>, &u128)| **instances > 1 && !name.contains(&own);
            let clashes: Vec<Arc<str>> = instances.iter().filter(clashing).map(|(name, _)| name.clone()).collect();
            let names = instances.into_keys();
            out.extend(names);
            out.extend(clashes);
        }
    }
}

/// The list and the place in it that a name says: a number, or an index.
fn place_in_list(segment: &Segment) -> Option<(&str, Result<u64, u16>)> {
    match &*segment.pieces {
        [PathPiece::Text(text)] => list_member(text).map(|(list, number)| (list, Ok(number))),
        [PathPiece::Text(list), PathPiece::Dot, PathPiece::Index(level)] => Some((list, Err(*level))),
        _ => None,
    }
}

/// Whether a name says a place in a list, as a number or as the index of one of the `depth` repeated groups that were entered.
fn has_place(segment: &Segment, depth: u16) -> bool {
    place_in_list(segment).is_some_and(|(_, place)| place.map_or_else(|level| level < depth, |_| true))
}

/// The places in lists that a node and the groups in it take; `around` are the indices of the groups that are repeated. One that several
/// instances take comes several times.
fn list_places(node: &Node<Box<Row>>, around: &mut Vec<Indices>, out: &mut Vec<(Arc<str>, Indices)>) {
    let group = match node {
        Node::Repeat(repeat) if repeat.name.is_none() => {
            for variant in &repeat.variants {
                around.push(variant.indices.clone());
                variant.instance.iter().for_each(|instance| list_places(instance, around, out));
                around.pop();
            }
            return;
        }
        Node::Composite(composite) if composite.path_segment().is_none() => Some(composite),
        _ => None,
    };
    if let Some(group) = group {
        return group.body.iter().for_each(|child| list_places(child, around, out));
    }
    if matches!(node, Node::Repeat(_)) {
        return;
    }
    let Some((list, place)) = segment_of(node).and_then(place_in_list) else { return };
    let level = place.err().map(|level| around.len().checked_sub(1 + usize::from(level)));
    let indices = match (place, level) {
        (Ok(number), _) => Some(Indices::range(number, number)),
        // One of a repeat outside of the node is the same number for all that are looked at.
        (_, at) => at.flatten().and_then(|at| around.get(at)).cloned(),
    };
    let Some(indices) = indices else { return };
    let several = around.iter().enumerate().any(|(at, group)| level != Some(Some(at)) && group.count() > 1);
    out.extend(std::iter::repeat_n((list.into(), indices), if several { 2 } else { 1 }));
}

// Around the number of a repeat, where its index stands in a name: names have no control characters.
const MARK: (char, char) = ('\u{1}', '\u{2}');

/// What stands in a name for the index of the repeat entered as the `depth`-th.
fn index_mark(depth: u16) -> String {
    format!("{}{depth}{}", MARK.0, MARK.1)
}

/// A segment with its indices told apart: a mark for the `depth` repeats that were entered, `<k>` for those further out.
fn shown(segment: &Segment, depth: u16) -> Arc<str> {
    if let [PathPiece::Text(text)] = &*segment.pieces {
        return text.clone();
    }
    let mut out = String::new();
    for piece in segment.pieces.iter() {
        match piece {
            PathPiece::Text(text) => out.push_str(text),
            PathPiece::Dot => out.push('.'),
            PathPiece::Index(level) if *level < depth => out.push_str(&index_mark(depth - level)),
            PathPiece::Index(level) => out.push_str(&format!("<{}>", level - depth)),
        }
    }
    out.into()
}

/// A name as a person reads it, with `*` for the marks.
fn starred(name: &str) -> String {
    let mut pieces = name.split(MARK.0);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push('*');
        out.push_str(piece.split_once(MARK.1).map_or(piece, |(_, rest)| rest));
    }
    out
}
