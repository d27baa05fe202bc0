//! Which value a name in `inputs` means: bodies under construction, and the names in them.

use std::collections::HashMap;
use std::sync::Arc;

use super::node::{Composite, Node, PathPiece, Row, Segment, ValueRef, ValueTarget};
use crate::diag::{Code, Diagnostic, nearest};
use crate::source::Span;

/// A body that is being built.
#[derive(Default)]
pub struct Body {
    pub nodes: Vec<Node<Row>>,
    names: HashMap<Arc<str>, Found>,
    /// Path segments in use, those of groups' children too.
    taken: HashMap<String, Span>,
    previous: Option<u32>,
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
}

impl Wiring {
    pub fn new(model_inputs: Vec<Arc<str>>) -> Self {
        Wiring { bodies: Vec::new(), model_inputs }
    }

    pub fn open(&mut self, body: Body) {
        self.bodies.push(body);
    }

    pub fn close(&mut self) -> Body {
        self.bodies.pop().unwrap_or_default()
    }

    pub fn depth(&self) -> usize {
        self.bodies.len()
    }

    /// The previous sibling's output; for the first, what the composite was given.
    pub fn previous(&self) -> ValueRef {
        let target = match self.bodies.last().and_then(|body| body.previous) {
            Some(at) => ValueTarget::Node(at),
            None => ValueTarget::Input,
        };
        ValueRef { up: 0, target, rest: Vec::new() }
    }

    /// Appends a node. Two siblings of one path are an error.
    pub fn place(&mut self, node: Node<Row>, span: Span) -> Vec<Diagnostic> {
        let at = self.append(node, span);
        if let (Some(body), Ok(at)) = (self.bodies.last_mut(), &at) {
            body.previous = Some(*at);
        }
        at.err().unwrap_or_default()
    }

    /// Appends a tensor of the composite itself: it is nobody's previous sibling.
    pub fn place_weight(&mut self, row: Row) -> Vec<Diagnostic> {
        let span = row.span;
        self.append(Node::Layer(Box::new(row)), span).err().unwrap_or_default()
    }

    fn append(&mut self, node: Node<Row>, span: Span) -> Result<u32, Vec<Diagnostic>> {
        let is_root = self.bodies.len() == 1;
        let Some(body) = self.bodies.last_mut() else {
            return Err(Vec::new());
        };
        let mut paths = Vec::new();
        path_names(&node, &mut paths);
        let mut errors = Vec::new();
        for path in paths {
            if path.is_empty() && is_root {
                let message = "a layer has no name, and nothing around it has one: its path would be empty";
                errors.push(Diagnostic::new(Code::MissingKey, message).at(span, "give it a `name`"));
                continue;
            }
            if let Some(first) = body.taken.insert(path.clone(), span) {
                let shown = if path.is_empty() { "(none)" } else { &path };
                let diagnostic = Diagnostic::new(Code::DuplicateName, format!("two layers side by side have the name `{shown}`"))
                    .at(span, "again here");
                errors.push(if first == span { diagnostic } else { diagnostic.also(first, "first here") });
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let at = u32::try_from(body.nodes.len()).unwrap_or(u32::MAX);
        register(&node, at, &mut body.names);
        body.nodes.push(node);
        Ok(at)
    }

    /// A layer that doesn't exist: its name stands for its first input.
    pub fn absent(&mut self, name: &Arc<str>, stand_in: Option<ValueRef>) {
        if let (Some(body), Some(value)) = (self.bodies.last_mut(), stand_in) {
            body.names.entry(name.clone()).or_insert(Found::StandIn(value));
        }
    }

    /// The value that a name means here: an earlier sibling's, then outward; `input`; a model input.
    ///
    /// # Errors
    /// The nearest name, if any is near.
    pub fn find(&self, text: &str) -> Result<ValueRef, Option<String>> {
        let parts: Vec<Arc<str>> = text.split('.').map(Arc::from).collect();
        let Some((head, rest)) = parts.split_first() else {
            return Err(None);
        };
        for (up, body) in self.bodies.iter().rev().enumerate() {
            let up = u16::try_from(up).unwrap_or(u16::MAX);
            if let Some(value) = find_in(body, head, rest, up) {
                return Ok(value);
            }
            if up == 0 && &**head == "input" && rest.is_empty() {
                return Ok(ValueRef { up: 0, target: ValueTarget::Input, rest: Vec::new() });
            }
        }
        if rest.is_empty() && self.model_inputs.contains(head) {
            return Ok(ValueRef { up: 0, target: ValueTarget::ModelInput(head.clone()), rest: Vec::new() });
        }
        let names = self.bodies.iter().rev().flat_map(|body| body.names.keys()).map(|name| &**name);
        let mut names: Vec<&str> = names.chain(self.model_inputs.iter().map(|name| &**name)).collect();
        names.sort_unstable();
        Err(nearest(text, names.iter().copied()).map(str::to_owned))
    }

    /// A child of the body that is being built.
    ///
    /// # Errors
    /// The nearest name, if any is near.
    pub fn find_child(&self, text: &str) -> Result<ValueRef, Option<String>> {
        let parts: Vec<Arc<str>> = text.split('.').map(Arc::from).collect();
        let (Some((head, rest)), Some(body)) = (parts.split_first(), self.bodies.last()) else {
            return Err(None);
        };
        find_in(body, head, rest, 0).ok_or_else(|| {
            let mut names: Vec<&str> = body.names.keys().map(|name| &**name).collect();
            names.sort_unstable();
            nearest(text, names.iter().copied()).map(str::to_owned)
        })
    }
}

fn find_in(body: &Body, head: &Arc<str>, rest: &[Arc<str>], up: u16) -> Option<ValueRef> {
    let reference = |at: u32, rest: Vec<Arc<str>>| {
        let exists = body.nodes.get(at as usize).is_some_and(|node| leads_somewhere(node, &rest));
        exists.then_some(ValueRef { up, target: ValueTarget::Node(at), rest })
    };
    match body.names.get(head) {
        Some(Found::Node(at)) => reference(*at, rest.to_vec()),
        Some(Found::InGroup(at)) => reference(*at, std::iter::once(head.clone()).chain(rest.iter().cloned()).collect()),
        Some(Found::StandIn(value)) if rest.is_empty() => Some(ValueRef { up: value.up.saturating_add(up), ..value.clone() }),
        Some(Found::StandIn(_)) => None,
        None => body.nodes.iter().enumerate().find_map(|(at, node)| {
            let Node::Repeat(repeat) = node else {
                return None;
            };
            let index = repeat.name.as_ref()?.index_in(head)?;
            let rest = std::iter::once(index.to_string().into()).chain(rest.iter().cloned()).collect();
            reference(u32::try_from(at).ok()?, rest)
        }),
    }
}

/// The names under which values of a node are found.
fn register(node: &Node<Row>, at: u32, names: &mut HashMap<Arc<str>, Found>) {
    let segment = segment_of(node);
    if let Some(name) = segment.and_then(Segment::lookup_name) {
        names.insert(name.clone(), Found::Node(at));
    }
    if let Node::Composite(Composite { segment: None, body, .. }) = node {
        let mut inner = HashMap::new();
        body.iter().for_each(|child| register(child, at, &mut inner));
        for name in inner.into_keys() {
            names.insert(name, Found::InGroup(at));
        }
    }
}

fn segment_of<L: HasSegment>(node: &Node<L>) -> Option<&Segment> {
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

impl HasSegment for Row {
    fn segment(&self) -> Option<&Segment> {
        self.segment.as_ref()
    }
}

/// Whether children, indices and outputs named by `rest` exist.
fn leads_somewhere(node: &Node<Row>, rest: &[Arc<str>]) -> bool {
    let Some((head, tail)) = rest.split_first() else {
        return true;
    };
    match node {
        Node::Layer(row) => {
            let outputs = row.class.iter().flat_map(|class| class.0.outputs.iter());
            tail.is_empty() && outputs.into_iter().any(|output| output.name == *head)
        }
        Node::Composite(composite) => child(&composite.body, head).is_some_and(|node| leads_somewhere(node, tail)),
        Node::Repeat(repeat) => {
            let Ok(index) = head.parse::<u64>() else {
                return false;
            };
            let variant = repeat.variants.iter().find(|variant| variant.indices.contains(index));
            variant.and_then(|v| v.instance.as_deref()).is_some_and(|node| leads_somewhere(node, tail))
        }
    }
}

/// A child by name, in groups too.
fn child<'n>(body: &'n [Node<Row>], name: &str) -> Option<&'n Node<Row>> {
    body.iter().find_map(|node| {
        if segment_of(node).and_then(Segment::lookup_name).is_some_and(|n| &**n == name) {
            return Some(node);
        }
        match node {
            Node::Composite(Composite { segment: None, body, .. }) => child(body, name),
            _ => None,
        }
    })
}

/// The path segments that a node takes beside its siblings.
fn path_names(node: &Node<Row>, out: &mut Vec<String>) {
    match node {
        Node::Layer(row) => out.push(row.segment.as_ref().map_or_else(String::new, |segment| shown(segment, 0))),
        Node::Composite(composite) => match composite.path_segment() {
            Some(segment) => out.push(shown(segment, 0)),
            None => composite.body.iter().for_each(|child| path_names(child, out)),
        },
        Node::Repeat(repeat) => {
            let mut names = Vec::new();
            for instance in repeat.variants.iter().filter_map(|variant| variant.instance.as_deref()) {
                instance_names(instance, &mut names);
            }
            names.sort_unstable();
            names.dedup();
            // Several instances of a group have their children's names in common, unless those contain the index.
            let clashing = |name: &&String| repeat.count > 1 && !name.contains('#');
            let clashes: Vec<String> = names.iter().filter(clashing).cloned().collect();
            out.extend(names);
            out.extend(clashes);
        }
    }
}

fn instance_names(node: &Node<Row>, out: &mut Vec<String>) {
    match node {
        Node::Layer(row) => out.push(row.segment.as_ref().map_or_else(String::new, |segment| shown(segment, 1))),
        Node::Composite(composite) => match composite.path_segment() {
            Some(segment) => out.push(shown(segment, 1)),
            None => composite.body.iter().for_each(|child| instance_names(child, out)),
        },
        Node::Repeat(_) => path_names(node, out),
    }
}

/// A segment with its indices told apart: `#` for the repeat's own, `<k>` for those further out.
fn shown(segment: &Segment, inside: u16) -> String {
    let mut out = String::new();
    for piece in &segment.pieces {
        match piece {
            PathPiece::Text(text) => out.push_str(text),
            PathPiece::Dot => out.push('.'),
            PathPiece::Index(level) if *level < inside => out.push('#'),
            PathPiece::Index(level) => out.push_str(&format!("<{}>", level - inside)),
        }
    }
    out
}
