//! What the flat list is built in: the body that is open, the path and the indices here, and what was reported.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::indices::Indices;
use super::node::{Common, Node, Row};
use super::pattern::Pattern;
use super::wire::Wiring;
use crate::catalog::Role;
use crate::language::check::{Checked, MAX_LAYERS};
use crate::language::scope::Scope;
use crate::language::{Binding, PathPiece, Segment, Values, enclosing};
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::expr::{EvalError, Value};
use crate::syntax::source::{Span, Spanned};
use crate::syntax::spec::{self, Attr, Block, Layer, Model, TextField, list_member, name_problem};

pub(super) type ValueScope<'m, 'p> = Scope<'m, 'p, Result<Binding, EvalError>>;

/// The layers that couldn't be made, which was reported: what is tied to them is not tied to nothing.
#[derive(Debug, Default)]
pub struct Dropped {
    names: HashSet<Arc<str>>,
    nameless: bool,
}

impl Dropped {
    /// Whether a path may lead to one of them.
    #[must_use]
    pub fn may_be(&self, path: &str) -> bool {
        self.nameless || path.split('.').any(|part| self.names.contains(part))
    }
}

pub(super) struct Flattener<'m, 'd> {
    pub(super) checked: &'m Checked,
    /// By which layers are told apart.
    pub(super) patterns: &'m [Pattern],
    /// Whose blocks a `use` means; none in a block of the catalog.
    pub(super) file: Option<&'m Model>,
    pub(super) values: Values<'d>,
    pub(super) wiring: Wiring,
    /// The path here, for notes: segments, and how many repeats are around each.
    pub(super) trail: Vec<(Segment, usize)>,
    /// The counts of the repeats around, and where each is.
    pub(super) counts: Vec<u64>,
    pub(super) indices: Vec<u64>,
    /// The concrete path here, where a pattern or the checkpoint's quantization may ask for it.
    pub(super) concrete: Vec<String>,
    /// The blocks being written out right now.
    pub(super) uses: Vec<&'m Block>,
    /// The innermost `use` of those that is written in the model's file.
    pub(super) use_in_model: Option<Span>,
    pub(super) dropped: Dropped,
    /// By the place in the file, what the layer written there was last.
    pub(super) common: HashMap<Span, Arc<Common>, RandomState>,
    /// A repeated layer whose instance is being made, the body of which is a block, and the number that the block's first variable has among
    /// what may differ between its instances.
    pub(super) block_of: Option<(&'m Layer, usize)>,
    /// Whether this is the body of a group that follows a family's bare model: its layers are parts of the head, too.
    pub(super) head_group: bool,
    /// How many of the layers around run without gradients.
    pub(super) no_grad: usize,
    /// The names of layers that don't exist.
    pub(super) absent: HashSet<Arc<str>>,
    pub(super) visited: usize,
    /// How many patterns of a quantization config were tried.
    pub(super) compared: u64,
    /// The limit was reached and reported.
    pub(super) full: bool,
}

impl<'m> Flattener<'m, '_> {
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        let diagnostic = match self.trail.is_empty() {
            true => diagnostic,
            false => {
                let path: Vec<String> = self.trail.iter().map(|(segment, depth)| self.shown(segment, *depth)).collect();
                diagnostic.note(format!("in layer `{}`", path.join(".")))
            }
        };
        self.values.push(diagnostic);
    }

    /// What in the model's file brought a layer that is written here. `None`: the file has the layer itself.
    pub(super) fn used_for(&self, place: Span) -> Option<Span> {
        self.use_in_model.filter(|_| !place.source.is_model())
    }

    /// A segment for people: `layers.[0-31]`.
    fn shown(&self, segment: &Segment, depth: usize) -> String {
        let mut out = String::new();
        segment.write(&mut out, &|level, out| {
            let count = depth.checked_sub(1 + usize::from(level)).and_then(|at| self.counts.get(at));
            out.push_str(&count.map_or_else(|| "*".to_owned(), |n| Indices::range(0, n.saturating_sub(1)).pattern()));
        });
        out
    }

    /// A segment with the indices of the instances that are being made.
    pub(super) fn concrete_segment(&self, segment: &Segment) -> String {
        let mut out = String::new();
        segment.write(&mut out, &|level, out| {
            let index = enclosing(&self.indices, level);
            out.push_str(&index.copied().unwrap_or_default().to_string());
        });
        // A flat list's layers have their paths as names, with slashes: what names layers means them as the modules they were.
        if out.contains('/') { out.replace('/', ".") } else { out }
    }

    /// Whether instances are to be looked at one by one, whether or not their bodies ask for the index: a pattern or a checkpoint names some.
    pub(super) fn names_instances(&self) -> bool {
        let checkpoint = self.checked.checkpoint.quantization.as_ref();
        checkpoint.is_some_and(|said| said.names_layers) || self.patterns.iter().any(Pattern::tells_instances_apart)
    }

    /// Which of the patterns mean the layer that is being made, or a tensor that the composite here owns.
    pub(super) fn marks(&self, class: &str, tensor: Option<&str>) -> u32 {
        if self.patterns.is_empty() {
            return 0;
        }
        let path: Vec<&str> = self.concrete.iter().map(String::as_str).chain(tensor).collect();
        let path = path.join(".");
        let mut marks = 0;
        for (at, pattern) in self.patterns.iter().enumerate() {
            marks |= u32::from(pattern.means(&path, class)).checked_shl(u32::try_from(at).unwrap_or(u32::MAX)).unwrap_or(0);
        }
        marks
    }

    /// Counts a layer, or an instance of one; false beyond the limit.
    pub(super) fn visit(&mut self, layer: &Layer) -> bool {
        self.visited += 1;
        if self.visited > MAX_LAYERS && !self.full {
            self.full = true;
            let message = format!("the model has more than {MAX_LAYERS} layers that have to be looked at");
            let diagnostic = Diagnostic::new(Code::ModelTooLarge, message).at(layer.place(), "too many from here on");
            self.report(diagnostic.help("a repeat whose body doesn't use its index is looked at once, however large it is"));
        }
        !self.full
    }

    /// Remembers that a layer couldn't be made, which was reported.
    pub(super) fn fault(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>) {
        let name = layer.name.as_ref().and_then(|field| self.values.segment(field, scope));
        let name = name.and_then(|segment| segment.lookup_name().cloned());
        match &name {
            Some(name) => {
                self.dropped.names.insert(name.clone());
            }
            None => self.dropped.nameless = true,
        }
        let group = layer.inline && !matches!(layer.body, spec::Body::Basic);
        if let Some(diagnostic) = self.wiring.fault(name, layer.place()).filter(|_| !group) {
            self.report(diagnostic);
        }
    }

    /// Remembers that something without a name couldn't be made.
    pub(super) fn fault_inside(&mut self, layer: &Layer) {
        self.dropped.nameless = true;
        self.wiring.fault(None, layer.place());
    }

    /// Puts a finished node into the body that is being built.
    pub(super) fn place(&mut self, layer: &Layer, node: Node<Box<Row>>) {
        for diagnostic in self.wiring.place(node, layer.place()) {
            self.report(diagnostic);
        }
    }

    pub(super) fn close(&mut self) -> Vec<Node<Box<Row>>> {
        let (nodes, clashes) = self.wiring.close();
        clashes.into_iter().for_each(|diagnostic| self.report(diagnostic));
        nodes
    }

    pub(super) fn near(&mut self, find: impl Fn(&Wiring) -> Option<String>) -> Option<String> {
        if self.values.diagnostics().crowded() { None } else { find(&self.wiring) }
    }

    /// A text with its placeholders filled in.
    pub(super) fn plain_text(&mut self, field: &TextField, scope: &ValueScope<'_, '_>) -> Option<Arc<str>> {
        match field.pieces.literal() {
            Some(text) => Some(text.clone()),
            None => self.values.text(field, scope),
        }
    }

    /// A layer's name as a path segment: indices stay symbolic, so that instances can share it.
    pub(super) fn segment(&mut self, field: &TextField, scope: &ValueScope<'_, '_>, repeated: bool) -> Option<Segment> {
        let mut segment = self.values.segment(field, scope)?;
        let is_whole = segment.pieces.len() == 1;
        let problem = segment.pieces.iter().find_map(|piece| match piece {
            PathPiece::Text(text) if is_whole && repeated && list_member(text).is_some() => {
                Some("it is one place in a list, and the layer is repeated")
            }
            PathPiece::Text(text) if !is_whole && text.contains('.') => {
                Some("it has a dot, which separates the segments of a path")
            }
            PathPiece::Text(text) if is_whole || !text.is_empty() => name_problem(text),
            _ => None,
        });
        if let Some(problem) = problem {
            let shown = segment.pattern();
            let message = format!("`{shown}` can't be a layer's name: {problem}");
            self.report(Diagnostic::new(Code::InvalidName, message).at(field.span, "a path segment"));
            return None;
        }
        if repeated && !segment.pieces.contains(&PathPiece::Index(0)) {
            segment.pieces = segment.pieces.iter().cloned().chain([PathPiece::Dot, PathPiece::Index(0)]).collect();
        }
        Some(segment)
    }

    pub(super) fn condition(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>) -> Option<bool> {
        match self.values.structural(attr, scope)? {
            Value::Bool(value) => Some(value),
            other => {
                let diagnostic = self.values.text_for_a_number(attr, &other, scope, "a condition").unwrap_or_else(|| {
                    let message = format!("a condition is true or false, found {}", described(&other));
                    Diagnostic::new(Code::TypeMismatch, message).at(attr.span, "not a condition")
                });
                let diagnostic = self.values.blamed(diagnostic, attr, scope);
                self.report(diagnostic);
                None
            }
        }
    }
}

/// The role of a layer or block that says one; that there is no such role was reported by `check`.
pub(super) fn said_role(said: Option<&Spanned<Arc<str>>>) -> Option<Role> {
    said.and_then(|said| Role::from_word(&said.value))
}

/// "a number: 7", "null".
fn described(value: &Value) -> String {
    if *value == Value::Null { "null".to_owned() } else { format!("{}: {value}", value.kind()) }
}
