//! A model with every layer written out: what a family makes of a config, as a model file of its own.
//!
//! The folded flat list comes in, the JSON of a model goes out that compiles to the same. Structural values are numbers in it; what
//! depends on the workload stays an expression.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::terms::{Terms, Unsaid, insert_inputs, weight_json};
use crate::flat::{Composite, FlatModel, Node, Repeat, RowId, Step, ValueRef, ValueTarget};
use crate::language::check::Checked;
use crate::language::{Argument, PathPiece, Segment};
use crate::syntax::spec::Hold;

/// The model file of a flat model.
///
/// # Errors
/// What of it a file can't say: a value whose name means another one where it is read.
pub fn explicit(checked: &Checked, flat: &FlatModel) -> Result<Map<String, Json>, Unsaid> {
    let mut writer = Writer {
        terms: Terms::new(checked),
        flat,
        frames: vec![Frame::new(&flat.body, 0)],
        aliases: Vec::new(),
        indices: Vec::new(),
    };
    let layers = writer.body(&flat.body)?;
    let mut out = writer.terms.head(flat);
    out.insert("layers".to_owned(), Json::Array(layers));
    Ok(out)
}

struct Frame<'a> {
    nodes: &'a [Node<RowId>],
    /// The names of the nodes that were written, by which they are read.
    names: Vec<Option<String>>,
    /// Whether a layer further in reads what this composite was given: then that has a name of its own.
    named_input: bool,
    /// How many repeats are around it.
    repeats: usize,
}

impl<'a> Frame<'a> {
    fn new(nodes: &'a [Node<RowId>], repeats: usize) -> Self {
        Frame { nodes, names: Vec::new(), named_input: false, repeats }
    }
}

struct Writer<'a> {
    terms: Terms<'a>,
    flat: &'a FlatModel,
    frames: Vec<Frame<'a>>,
    /// Names for values of earlier instances of the repeat that is being written, and what they mean.
    aliases: Vec<(String, String)>,
    /// The instances that are being written of the repeats around; `None`: all in one.
    indices: Vec<Option<u64>>,
}

/// A name for a value: an absent layer stands for what it reads.
fn alias(name: &str, value: &str) -> Json {
    json!({ "name": name, "when": false, "inputs": [value], "sub_layers": [] })
}

impl<'a> Writer<'a> {
    fn body(&mut self, nodes: &'a [Node<RowId>]) -> Result<Vec<Json>, Unsaid> {
        let mut out = Vec::with_capacity(nodes.len());
        for node in nodes {
            let (name, mut written) = self.node(node)?;
            if let Some(frame) = self.frames.last_mut() {
                frame.names.push(name);
            }
            out.append(&mut written);
        }
        Ok(out)
    }

    /// A node's layers (none for a tensor, which its composite states), and the name by which it is read.
    fn node(&mut self, node: &'a Node<RowId>) -> Result<(Option<String>, Vec<Json>), Unsaid> {
        match node {
            Node::Layer(id) => match self.flat.row(*id) {
                Some(info) if info.row.class.is_none() => {
                    // That of a composite is said there. The model itself has none: it is a group's.
                    let own = self.own_weight(node).filter(|_| self.frames.len() == 1);
                    let group = own.map(|(name, shape)| json!({ "inputs": [], "weights": { name: shape }, "sub_layers": [] }));
                    Ok((info.row.segment.as_ref().map(|name| self.name_of(name)), group.into_iter().collect()))
                }
                Some(info) => {
                    let name = info.row.segment.as_ref().map(|name| self.name_of(name));
                    let layer = self.layer(*id, name.as_deref())?;
                    Ok((name, vec![Json::Object(layer)]))
                }
                None => Ok((None, Vec::new())),
            },
            Node::Composite(composite) => {
                let inputs = self.inputs(&composite.inputs)?;
                let group = || group_name(self.frames.last().map_or(0, |frame| frame.names.len()));
                let name = composite.segment.as_ref().map_or_else(group, |name| self.name_of(name));
                let mut layer = self.composite(composite, &name)?;
                if composite.inline || composite.segment.is_none() {
                    layer.insert("inline".to_owned(), json!(true));
                }
                insert_inputs(&mut layer, &inputs);
                Ok((Some(name), vec![Json::Object(layer)]))
            }
            Node::Repeat(repeat) => self.repeat(repeat),
        }
    }

    fn repeat(&mut self, repeat: &'a Repeat<RowId>) -> Result<(Option<String>, Vec<Json>), Unsaid> {
        let inputs = self.inputs(&repeat.inputs)?;
        let Some(segment) = &repeat.name else {
            let name = group_name(self.frames.last().map_or(0, |frame| frame.names.len()));
            let mut layer = self.one_by_one(repeat, &name, &inputs)?;
            layer.insert("inline".to_owned(), json!(true));
            return Ok((Some(name), vec![Json::Object(layer)]));
        };
        let (name, indexed) = repeated_name(segment)?;
        if let ([variant], true) = (repeat.variants.as_slice(), repeat.order().len() == 1) {
            let whole = variant.indices.ranges() == [(0, repeat.count.saturating_sub(1))];
            if let (true, Some(instance)) = (whole, variant.instance.as_ref()) {
                let written = if indexed { format!("{name}<layer>") } else { name.clone() };
                self.indices.push(None);
                let layer = self.instance(instance, &written);
                self.indices.pop();
                let mut layer = layer?;
                layer.insert("repeat".to_owned(), json!(repeat.count));
                if repeat.parallel {
                    layer.insert("parallel".to_owned(), json!(true));
                }
                self.hold(&mut layer, repeat.hold.as_deref(), &name);
                insert_inputs(&mut layer, &inputs);
                return Ok((Some(name), vec![Json::Object(layer)]));
            }
        }
        if indexed {
            return Err(format!("the instances of `{name}<i>` differ, and their names have the index in them"));
        }
        let layer = self.one_by_one(repeat, &name, &inputs)?;
        Ok((Some(name), vec![Json::Object(layer)]))
    }

    /// Instances that differ stand one by one in a composite of the repeat's name.
    fn one_by_one(&mut self, repeat: &'a Repeat<RowId>, name: &str, inputs: &[String]) -> Result<Map<String, Json>, Unsaid> {
        let children = self.instances(repeat)?;
        let mut layer = Map::new();
        layer.insert("name".to_owned(), json!(name));
        self.hold(&mut layer, repeat.hold.as_deref(), name);
        insert_inputs(&mut layer, inputs);
        layer.insert("sub_layers".to_owned(), Json::Array(children));
        Ok(layer)
    }

    /// The instances of a repeat, each under its index.
    fn instances(&mut self, repeat: &'a Repeat<RowId>) -> Result<Vec<Json>, Unsaid> {
        const MOST: u64 = 10_000;
        if repeat.count > MOST {
            return Err(format!("a layer is repeated {} times in different forms", repeat.count));
        }
        let others = repeat.inputs.iter().skip(1).map(|value| self.reference(value)).collect::<Result<Vec<_>, _>>()?;
        let mut children: Vec<Json> = Vec::new();
        for (first, last, variant) in repeat.order() {
            let Some(instance) = repeat.variants.get(variant).and_then(|v| v.instance.as_ref()) else { continue };
            for index in first..=last {
                let name = index.to_string();
                let real = |child: &&Json| child.get("when").is_none();
                let before = children
                    .iter()
                    .rev()
                    .find(real)
                    .and_then(|child| child.get("name"))
                    .and_then(Json::as_str)
                    .map(str::to_owned);
                self.indices.push(Some(index));
                let layer = self.instance(instance, &name);
                self.indices.pop();
                let mut layer = layer?;
                if matches!(instance, Node::Composite(group) if group.path_segment().is_none()) {
                    layer.insert("inline".to_owned(), json!(true));
                }
                children.extend(std::mem::take(&mut self.aliases).iter().map(|(name, value)| alias(name, value)));
                let chained = before.filter(|_| !repeat.parallel).unwrap_or_else(|| "input".to_owned());
                let reads: Vec<String> = std::iter::once(chained).chain(others.iter().cloned()).collect();
                insert_inputs(&mut layer, &reads);
                children.push(Json::Object(layer));
            }
        }
        Ok(children)
    }

    /// One instance of a repeat; what it reads first is told from outside.
    fn instance(&mut self, node: &'a Node<RowId>, name: &str) -> Result<Map<String, Json>, Unsaid> {
        match node {
            Node::Layer(id) => {
                let mut layer = self.layer(*id, Some(name))?;
                layer.remove("inputs");
                Ok(layer)
            }
            Node::Composite(composite) => self.composite(composite, name),
            Node::Repeat(_) => Err("a repeat right inside a repeat".to_owned()),
        }
    }

    fn composite(&mut self, composite: &'a Composite<RowId>, name: &str) -> Result<Map<String, Json>, Unsaid> {
        let mut layer = Map::new();
        layer.insert("name".to_owned(), json!(name));
        if let Some(class) = &composite.class {
            layer.insert("class".to_owned(), json!(&**class));
        }
        if let Some(calls) = &composite.calls {
            layer.insert("calls".to_owned(), self.terms.argument(calls, false, &mut Map::new()));
        }
        self.hold(&mut layer, composite.hold.as_deref(), name);
        let weights = composite.body.iter().filter_map(|node| self.own_weight(node));
        let weights: Map<String, Json> = weights.collect();
        if !weights.is_empty() {
            layer.insert("weights".to_owned(), Json::Object(weights));
        }
        self.frames.push(Frame::new(&composite.body, self.indices.len()));
        let body = self.body(&composite.body);
        // What the last layer gives is what the composite gives unless it says otherwise.
        let last = |value: &&ValueRef| {
            let last = u32::try_from(composite.body.len().saturating_sub(1)).unwrap_or(u32::MAX);
            value.up == 0 && value.rest.is_empty() && value.target == ValueTarget::Node(last)
        };
        let output = composite.output.as_deref().filter(|value| !last(value)).map(|output| self.reference(output)).transpose();
        let depth = self.frames.len() - 1;
        let frame = self.frames.pop();
        let mut body = body?;
        if frame.is_some_and(|frame| frame.named_input) {
            body.insert(0, alias(&format!("_input_{depth}"), "input"));
        }
        layer.insert("sub_layers".to_owned(), Json::Array(body));
        if let Some(output) = output? {
            layer.insert("output".to_owned(), json!(output));
        }
        Ok(layer)
    }

    /// A tensor that a composite owns: its name and shape.
    fn own_weight(&self, node: &Node<RowId>) -> Option<(String, Json)> {
        let Node::Layer(id) = node else { return None };
        let row = &self.flat.row(*id)?.row;
        let weight = row.weights.as_ref()?.first().filter(|_| row.class.is_none())?;
        Some((weight.name.to_string(), weight_json(weight)))
    }

    fn layer(&mut self, id: RowId, name: Option<&str>) -> Result<Map<String, Json>, Unsaid> {
        let flat = self.flat;
        let Some(row) = flat.row(id).map(|info| &info.row) else { return Err("a layer that isn't there".to_owned()) };
        let mut layer = Map::new();
        if let Some(name) = name {
            layer.insert("name".to_owned(), json!(name));
        }
        let inputs = self.inputs(&row.inputs)?;
        let calls: Vec<&Argument> = row.calls.as_deref().into_iter().collect();
        self.terms.layer(row, &calls, &inputs, &mut layer);
        self.hold(&mut layer, row.hold.as_deref(), name.unwrap_or_default());
        if let Some(tie) = tie(flat, row, str::to_owned)? {
            layer.insert("tied_to".to_owned(), tie);
        }
        Ok(layer)
    }

    fn hold(&self, layer: &mut Map<String, Json>, hold: Option<&Hold>, own: &str) {
        let value = match hold {
            None => return,
            Some(Hold::Composite) => json!(true),
            // What would have ended it may not exist here: then it lives as long as the composite runs.
            Some(Hold::Until { siblings, .. }) => {
                let nodes = self.frames.last().map_or(&[][..], |frame| frame.nodes);
                let names: Vec<String> = nodes.iter().filter_map(|node| node_name(self.flat, node, &self.indices)).collect();
                let here = names.iter().position(|name| name == own).unwrap_or(0);
                let exists = |wanted: &&Arc<str>| names.iter().skip(here + 1).any(|name| **name == ***wanted);
                siblings.iter().find(exists).map_or_else(|| json!(true), |name| json!(&**name))
            }
        };
        layer.insert("hold".to_owned(), value);
    }

    fn inputs(&mut self, inputs: &[ValueRef]) -> Result<Vec<String>, Unsaid> {
        inputs.iter().map(|value| self.reference(value)).collect()
    }

    /// The name by which a value is read here.
    fn reference(&mut self, value: &ValueRef) -> Result<String, Unsaid> {
        let here = self.frames.len().saturating_sub(1);
        let at = here.saturating_sub(usize::from(value.up));
        let node = match &value.target {
            ValueTarget::ModelInput(at) => return self.model_input(*at as usize),
            ValueTarget::Input if at == 0 => return self.model_input(0),
            ValueTarget::Input if at == here => return Ok("input".to_owned()),
            ValueTarget::Input => {
                if let Some(frame) = self.frames.get_mut(at) {
                    frame.named_input = true;
                }
                return Ok(format!("_input_{at}"));
            }
            ValueTarget::Node(node) => *node as usize,
        };
        let Some(frame) = self.frames.get(at) else { return Err("a layer that isn't there is read".to_owned()) };
        let mut around = self.indices.get(..frame.repeats).unwrap_or_default().to_vec();
        let head = frame.nodes.get(node).and_then(|node| node_name(self.flat, node, &around));
        let rest = frame.nodes.get(node).map_or(Ok(Vec::new()), |node| names(self.flat, node, &value.rest, &mut around))?;
        // Of the repeat that is being written an earlier instance is read: by a name beside it.
        if node == frame.names.len() && !rest.is_empty() {
            let text = rest.join(".");
            let name = format!("_of_{}", rest.join("_"));
            if self.aliases.iter().all(|(known, _)| *known != name) {
                self.aliases.push((name.clone(), text));
            }
            return Ok(name);
        }
        let head = frame.names.get(node).cloned().flatten().or(head);
        let head = head.ok_or("a layer without a name is read")?;
        let hides = |frame: &Frame<'_>| frame.names.iter().flatten().any(|name| *name == head);
        if self.frames.iter().skip(at + 1).any(hides) {
            return Err(format!("`{head}` is read where a nearer layer has the same name"));
        }
        Ok(std::iter::once(head).chain(rest).collect::<Vec<_>>().join("."))
    }

    fn name_of(&self, segment: &Segment) -> String {
        segment.within(&self.indices)
    }

    /// The name of one of the model's inputs.
    fn model_input(&self, at: usize) -> Result<String, Unsaid> {
        self.flat.input_name(at).map(str::to_owned).ok_or_else(|| "an input that isn't there is read".to_owned())
    }
}

/// A repeated layer's name, and whether the index stands at its end without a dot.
fn repeated_name(segment: &Segment) -> Result<(String, bool), Unsaid> {
    match &*segment.pieces {
        [PathPiece::Text(name), PathPiece::Dot, PathPiece::Index(0)] => Ok((name.to_string(), false)),
        [PathPiece::Text(name), PathPiece::Index(0)] => Ok((name.to_string(), true)),
        _ => Err(format!("a repeated layer is called `{}`", segment.pattern())),
    }
}

/// The names of a way from a node to something in it: children, an instance's index, an output.
fn names(flat: &FlatModel, node: &Node<RowId>, way: &[Step], around: &mut Vec<Option<u64>>) -> Result<Vec<String>, Unsaid> {
    let Some((step, rest)) = way.split_first() else { return Ok(Vec::new()) };
    let nothing = || "a value that isn't there is read".to_owned();
    let (name, inside) = match (node, step) {
        (Node::Layer(id), Step::Output(at)) => {
            let class = flat.row(*id).and_then(|info| info.row.class.as_ref());
            let output = class.and_then(|class| class.0.outputs.get(usize::from(*at))).ok_or_else(nothing)?;
            return Ok(vec![output.name.to_string()]);
        }
        (Node::Composite(composite), Step::Child(at)) => {
            let child = composite.body.get(*at as usize).ok_or_else(nothing)?;
            (node_name(flat, child, around).unwrap_or_else(|| group_name(*at as usize)), child)
        }
        (Node::Repeat(repeat), Step::Instance(index)) => {
            let variant = repeat.variants.iter().find(|variant| variant.indices.contains(*index));
            around.push(Some(*index));
            (index.to_string(), variant.and_then(|variant| variant.instance.as_ref()).ok_or_else(nothing)?)
        }
        _ => return Err(nothing()),
    };
    Ok(std::iter::once(name).chain(names(flat, inside, rest, around)?).collect())
}

/// A group that stays one is read by a name that adds nothing to paths.
fn group_name(at: usize) -> String {
    format!("_group_{at}")
}

fn node_name(flat: &FlatModel, node: &Node<RowId>, around: &[Option<u64>]) -> Option<String> {
    let segment = match node {
        Node::Layer(id) => flat.row(*id)?.row.segment.as_ref(),
        Node::Composite(composite) => composite.segment.as_ref(),
        Node::Repeat(repeat) => return Some(repeated_name(repeat.name.as_ref()?).ok()?.0),
    };
    segment.map(|segment| segment.within(around))
}

/// What a layer's weights are tied to; `name` is what the layer at a path is called.
pub(super) fn tie(flat: &FlatModel, row: &crate::flat::Row, name: fn(&str) -> String) -> Result<Option<Json>, Unsaid> {
    let path = |tied: &crate::flat::Tied| {
        let path = flat.row(tied.target).map_or("", |info| &*info.path);
        if path.contains('[') { Err(format!("weights are tied to `{path}`, of which there are several")) } else { Ok(name(path)) }
    };
    let mut weights = Map::new();
    for tied in &row.tied {
        let path = path(tied)?;
        match &tied.weight {
            None => return Ok(Some(json!(path))),
            Some(weight) => {
                let theirs: &Arc<str> = tied.target_weight.as_ref().unwrap_or(weight);
                weights.insert(weight.to_string(), json!(format!("{path}.{theirs}")));
            }
        }
    }
    Ok((!weights.is_empty()).then(|| json!({ "weights": weights })))
}
