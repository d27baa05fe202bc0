//! The hierarchy, as `print(model)` shows it, with the functional layers that `print` doesn't have and repeats folded.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Arc;

use crate::catalog::{Class, ClassKind, Parameter};
use crate::evaluation::Evaluation;
use crate::flat::{Composite, FlatModel, Node, Repeat, RowId, Variant};
use crate::language::{PathPiece, Segment};
use crate::syntax::expr::{Expr, Value};

use super::escape_terminal;

/// Draws the tree of a flat model. Modules have round brackets around their names, functional layers square ones.
///
/// # Errors
/// Those of `out`.
pub fn render_tree(model: &Evaluation, out: &mut dyn Write) -> io::Result<()> {
    let tree = Tree { evaluation: model, flat: &model.flat, around: RefCell::default() };
    let name = model.flat.name.as_deref().unwrap_or("model");
    let class = model.flat.class.as_deref().map_or(name, last_segment);
    writeln!(out, "{}(", escape_terminal(class))?;
    tree.nodes(&model.flat.body, 1, out)?;
    writeln!(out, ")")?;
    writeln!(out, "\n(name): a module of PyTorch; [name]: a functional layer; ->: the shape of its output")
}

struct Tree<'a> {
    evaluation: &'a Evaluation,
    flat: &'a FlatModel,
    /// The indices of the repeats around, the innermost last; `None`: a heading says them.
    around: RefCell<Vec<Option<String>>>,
}

impl Tree<'_> {
    fn nodes(&self, nodes: &[Node<RowId>], depth: usize, out: &mut dyn Write) -> io::Result<()> {
        nodes.iter().try_for_each(|node| self.node(node, None, depth, out))
    }

    /// A node; `label` replaces its name where it is an instance of a repeat.
    fn node(&self, node: &Node<RowId>, label: Option<&str>, depth: usize, out: &mut dyn Write) -> io::Result<()> {
        match node {
            Node::Layer(id) => self.layer(*id, label, depth, out),
            Node::Composite(composite) => self.composite(composite, label, depth, out),
            Node::Repeat(repeat) => self.repeat(repeat, depth, out),
        }
    }

    fn layer(&self, id: RowId, label: Option<&str>, depth: usize, out: &mut dyn Write) -> io::Result<()> {
        let Some(info) = self.flat.row(id) else { return Ok(()) };
        let row = &info.row;
        let name = label.map_or_else(|| self.name_of(row.segment.as_ref()), str::to_owned);
        let module = row.kind == Some(ClassKind::Module);
        let (open, close) = if module { ('(', ')') } else { ('[', ']') };
        let parameters = self.evaluation.row(id).map(|row| row.parameters().collect::<Vec<_>>()).unwrap_or_default();
        let defaults = |name: &str| row.class.as_ref().and_then(|class| default(&class.0, name));
        let dims =
            |name: &str| row.class.as_ref().and_then(|class| parameter(&class.0, name)).map_or(1, |parameter| parameter.dims);
        let told =
            parameters.iter().filter(|parameter| !defaults(parameter.name).is_some_and(|value| same(value, parameter.value)));
        let mut facts: Vec<String> =
            told.map(|parameter| format!("{}={}", parameter.name, shown(parameter.value, dims(parameter.name)))).collect();
        for weight in row.weights.iter().flat_map(|own| own.iter()) {
            let dims: Vec<String> = weight.shape.iter().map(u128::to_string).collect();
            facts.push(format!("{}=({})", weight.name, dims.join(", ")));
        }
        let calls = self.evaluation.row(id).map(|row| row.calls()).filter(|calls| row.calls.is_some() && *calls != 1);
        let calls = calls.map(|calls| format!(", {calls} calls")).unwrap_or_default();
        let merged = row.merged.as_ref().map(|merged| format!(", for {}", merged.names())).unwrap_or_default();
        let tied = row.tied.first().map(|tied| format!(", tied to {}", tied.path)).unwrap_or_default();
        let outputs = self.evaluation.flow.rows.get(id.0 as usize).map_or(&[][..], |row| row.outputs());
        let shapes: Vec<String> = outputs.iter().flatten().map(|shape| tuple(shape)).collect();
        let output = if shapes.is_empty() { String::new() } else { format!(" -> {}", shapes.join(", ")) };
        let text =
            format!("{open}{name}{close}: {}({}){calls}{merged}{tied}{output}", last_segment(&row.class_name), facts.join(", "));
        writeln!(out, "{}{}", "  ".repeat(depth), escape_terminal(&text))
    }

    fn composite(&self, composite: &Composite<RowId>, label: Option<&str>, depth: usize, out: &mut dyn Write) -> io::Result<()> {
        // A group adds no level: its layers stand beside its siblings.
        if composite.path_segment().is_none() && label.is_none() {
            return self.nodes(&composite.body, depth, out);
        }
        let name = label.map_or_else(|| self.name_of(composite.segment.as_ref()), str::to_owned);
        let class = composite.class.as_deref().map_or("", last_segment);
        let calls = composite.calls.as_ref().and_then(|calls| self.evaluation.bound.count(calls)).filter(|calls| *calls != 1);
        let calls = calls.map(|calls| format!("{calls} calls of ")).unwrap_or_default();
        let pad = "  ".repeat(depth);
        // A layer that has its composite's path is that module.
        if let [Node::Layer(id)] = composite.body.as_slice()
            && self.flat.row(*id).is_some_and(|info| info.row.segment.is_none())
        {
            return self.layer(*id, Some(&name), depth, out);
        }
        writeln!(out, "{pad}{}", escape_terminal(&format!("({name}): {calls}{class}(")))?;
        self.nodes(&composite.body, depth + 1, out)?;
        writeln!(out, "{pad})")
    }

    fn repeat(&self, repeat: &Repeat<RowId>, depth: usize, out: &mut dyn Write) -> io::Result<()> {
        let named = repeat.name.as_ref().and_then(Segment::lookup_name).filter(|_| !indexed_name(repeat));
        let Some(list) = named.or_else(|| self.only_list(repeat)) else {
            return repeat.variants.iter().try_for_each(|variant| self.variant(variant, repeat.name.as_ref(), false, depth, out));
        };
        let pad = "  ".repeat(depth);
        writeln!(out, "{pad}{}", escape_terminal(&format!("({list}): ModuleList(")))?;
        repeat.variants.iter().try_for_each(|variant| self.variant(variant, None, true, depth + 1, out))?;
        writeln!(out, "{pad})")
    }

    /// The list of which the only layer of each instance of a group says its place: `blocks` of `blocks.<i>`.
    fn only_list<'r>(&self, repeat: &'r Repeat<RowId>) -> Option<&'r Arc<str>> {
        let list = |instance: &'r Node<RowId>| match instance {
            Node::Composite(group) if group.segment.is_none() => match group.body.as_slice() {
                [Node::Composite(only)] => only.segment.as_ref().filter(|name| !is_indexed(name)).and_then(Segment::lookup_name),
                _ => None,
            },
            _ => None,
        };
        let mut lists = repeat.instances().map(list);
        let first = lists.next()??;
        lists.all(|other| other == Some(first)).then_some(first)
    }

    /// The instances of a form; `in_list`: under the heading of the list that they make.
    fn variant(
        &self,
        variant: &Variant<RowId>,
        name: Option<&Segment>,
        in_list: bool,
        depth: usize,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let Some(instance) = variant.instance.as_ref() else { return Ok(()) };
        let indices = variant.indices.pattern();
        let label = match name {
            Some(segment) => {
                let mut text = String::new();
                segment.write(&mut text, &|_, out| out.push_str(&indices));
                text
            }
            None => indices.trim_matches(['[', ']']).to_owned(),
        };
        let many = variant.indices.count();
        let times = |node: &Node<RowId>, label: Option<&str>, out: &mut dyn Write| {
            if many == 1 {
                return self.node(node, label, depth, out);
            }
            let mut text = Vec::new();
            self.node(node, label, depth, &mut text)?;
            let text = String::from_utf8_lossy(&text).replacen(": ", &format!(": {many} x "), 1);
            write!(out, "{text}")
        };
        // A group adds no level: its layers have the index in their names.
        let group = match instance {
            Node::Composite(group) if group.segment.is_none() => Some(group),
            _ => None,
        };
        self.around.borrow_mut().push(group.map(|_| label.clone()));
        let written = match group {
            Some(group) => group.body.iter().try_for_each(|node| times(node, Some(&*label).filter(|_| in_list), out)),
            None => times(instance, Some(&label), out),
        };
        self.around.borrow_mut().pop();
        written
    }

    fn name_of(&self, segment: Option<&Segment>) -> String {
        segment.map(|segment| segment.within(&self.around.borrow())).unwrap_or_default()
    }
}

/// `layer<i>` rather than `layers.<i>`.
fn indexed_name(repeat: &Repeat<RowId>) -> bool {
    repeat.name.as_ref().is_none_or(is_indexed)
}

fn is_indexed(name: &Segment) -> bool {
    !name.pieces.contains(&PathPiece::Dot)
}

/// The value that a class gives a parameter where nothing is said, if it depends on nothing.
fn default<'c>(class: &'c Class, name: &str) -> Option<&'c Value> {
    if let Expr::Const(value) = &parameter(class, name)?.default.as_ref()?.expr { Some(value) } else { None }
}

fn parameter<'c>(class: &'c Class, name: &str) -> Option<&'c Parameter> {
    class.parameters.iter().find(|parameter| *parameter.name == *name)
}

/// Whether a default is a value: one number is a shape of one dimension.
fn same(default: &Value, value: &Value) -> bool {
    default == value || matches!(value, Value::List(items) if matches!(items.as_ref(), [only] if only == default))
}

/// A value of a parameter for which one number may stand for several dimensions.
fn shown(value: &Value, dims: usize) -> String {
    match value {
        Value::List(items) if dims > 1 && items.len() == 1 => {
            let all: Vec<String> = items.iter().cycle().take(dims).map(python).collect();
            format!("({})", all.join(", "))
        }
        value => python(value),
    }
}

/// A value as Python writes it: `True`, `None`, `(7, 7)`, `'none'`.
fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::List(items) => match items.as_ref() {
            [only] => format!("({},)", python(only)),
            items => format!("({})", items.iter().map(python).collect::<Vec<_>>().join(", ")),
        },
        other => other.to_string(),
    }
}

/// `(1, 2048, 4096)`, as PyTorch writes a shape.
fn tuple(shape: &[u128]) -> String {
    let dims: Vec<String> = shape.iter().map(u128::to_string).collect();
    format!("({})", dims.join(", "))
}

pub(super) fn last_segment(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}
