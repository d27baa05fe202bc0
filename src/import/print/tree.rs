//! A model file of what is printed, as it stands: modules in the order of the text, each reading the nearest value before it that fits.
//!
//! What runs between modules isn't in a text. Where nothing fits, a layer reads a tensor that the model is called with.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::flow::{Demand, Flow, Rows, Way};
use super::leaf::{Layer, Unsaid, added, demand, known, rule};
use super::read::Module;
use super::wrap::Adapter;
use crate::catalog::Catalog;
use crate::syntax::expr::json_of;

/// Height and width of an image where a text has no other: the crop of ImageNet (torchvision/transforms/_presets.py, crop_size).
const IMAGE: u64 = 224;
/// Modules of ranges that are written one by one: of several in a list only one can be a repeat.
const MOST_WRITTEN: u64 = 20_000;
/// Steps of what has one dimension, and frames of what has three: any number would do as well.
const STEPS: u64 = 1024;
const FRAMES: u64 = 16;

/// Layers of which nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Their class.
    pub class: Arc<str>,
    /// Why.
    pub why: String,
    /// How many, in all ranges around them.
    pub count: u64,
    /// Whether it may have weights: of what has none only its work is unknown.
    pub has_weights: bool,
    /// Where the first stands in the text.
    pub at: std::ops::Range<usize>,
}

/// A model file, and what of the text isn't in it.
#[derive(Debug)]
pub struct Made {
    /// As `layerspec import` writes it.
    pub model: Map<String, Json>,
    /// Layers that it lacks.
    pub unknown: Vec<Unknown>,
    /// How many layers it has.
    pub layers: usize,
    /// What a config says of weights that are stored as these are.
    pub quantization: Option<Json>,
    /// Whether the size of what it reads is a guess: an image, steps, frames.
    pub guessed_size: Option<u64>,
}

/// The model of a text. `image_size`: of what its first convolution reads.
#[must_use]
pub fn model_of(root: &Module, catalog: &Catalog, image_size: Option<u64>) -> Made {
    let mut tree = Tree::new(catalog, image_size);
    let mut body = Body::within(None);
    if root.children.is_empty() {
        tree.module(&Module { key: root.short_class().into(), ..root.clone() }, &mut body, 1);
    } else {
        tree.adds(root, &mut body, 1);
        tree.children(&root.children, &mut body, 1);
    }
    tree.made(root.short_class(), body)
}

/// The parts of adapters as a model of their own, of which only the parameters count.
#[must_use]
pub fn model_of_adapters(adapters: &[Adapter], catalog: &Catalog) -> Made {
    let mut tree = Tree::new(catalog, None);
    let mut body = Body::within(None);
    for adapter in adapters {
        let times = adapter.times;
        let module =
            Module { is_range: times > 1, from: 0, count: adapter.module.count.saturating_mul(times), ..adapter.module.clone() };
        let mut one = Body::within(None);
        tree.module(&module, &mut one, 1);
        for mut layer in one.layers {
            if let Json::Object(layer) = &mut layer {
                let name = body.free(&adapter.module.key);
                layer.insert("name".to_owned(), json!(name));
            }
            body.layers.push(layer);
        }
    }
    tree.made("adapters", body)
}

/// How many modules a module is, ranges counted once.
fn size(module: &Module) -> u64 {
    module.children.iter().fold(1, |sum, child| sum.saturating_add(size(child)))
}

/// The modules of a composite, as far as they are written.
struct Body {
    /// What the composite is given.
    input: Option<Flow>,
    /// What the module before gave, and its name where the next can't read it without.
    prev: Option<Flow>,
    prev_name: Option<String>,
    /// What modules before gave, by their names.
    values: Vec<(String, Flow)>,
    /// Names that are taken, and how often.
    names: HashMap<String, u32>,
    layers: Vec<Json>,
    /// Tensors that the composite owns itself.
    weights: Map<String, Json>,
}

impl Body {
    fn within(input: Option<Flow>) -> Self {
        Body {
            prev: input.clone(),
            input,
            prev_name: None,
            values: Vec::new(),
            names: HashMap::new(),
            layers: Vec::new(),
            weights: Map::new(),
        }
    }

    /// A name that no other module here has.
    fn free(&mut self, key: &str) -> String {
        let plain: String = key.chars().map(|c| if c.is_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' }).collect();
        let plain = if plain.is_empty() { "_".to_owned() } else { plain };
        let taken = self.names.entry(plain.clone()).or_default();
        *taken += 1;
        match *taken {
            1 => plain,
            times => self.free(&format!("{plain}_{times}")),
        }
    }
}

/// Writes a view of what is read by other dimensions; its name is made of the module's.
fn view(what: &str, module: &Module, flow: &Flow, inputs: Option<String>, body: &mut Body) -> String {
    let name = body.free(&format!("{}_{what}", module.key));
    let mut reshape = Map::new();
    reshape.insert("name".to_owned(), json!(name));
    reshape.insert("class".to_owned(), json!("reshape"));
    reshape.insert("parameters".to_owned(), json!({ "shape": flow.shape() }));
    if let Some(inputs) = inputs {
        reshape.insert("inputs".to_owned(), json!([inputs]));
    }
    body.layers.push(Json::Object(reshape));
    name
}

/// Where a layer reads, and what.
struct Reading {
    inputs: Option<String>,
    flow: Flow,
    way: Way,
}

struct Tree<'c> {
    catalog: &'c Catalog,
    image_size: Option<u64>,
    unknown: Vec<Unknown>,
    layers: usize,
    /// Tensors that the model is called with.
    given: Vec<(String, Flow)>,
    has_ids: bool,
    guessed_size: Option<u64>,
    quantization: Option<Json>,
    /// Modules that were written one by one.
    written: u64,
    /// The size of the last grid, by its dimensions.
    grids: HashMap<usize, Vec<u64>>,
    /// And of the first of so many channels.
    first_grids: HashMap<(usize, u64), Vec<u64>>,
}

impl<'c> Tree<'c> {
    fn new(catalog: &'c Catalog, image_size: Option<u64>) -> Self {
        Tree {
            catalog,
            image_size,
            unknown: Vec::new(),
            layers: 0,
            given: Vec::new(),
            has_ids: false,
            guessed_size: None,
            quantization: None,
            written: 0,
            grids: HashMap::new(),
            first_grids: HashMap::new(),
        }
    }

    fn made(self, class: &str, body: Body) -> Made {
        let mut model = Map::new();
        model.insert("class".to_owned(), json!(class));
        if let Some(quantization) = &self.quantization {
            model.insert("checkpoint".to_owned(), json!({ "quantization_config": quantization }));
        }
        let mut inputs = Map::new();
        if self.has_ids || self.given.is_empty() {
            inputs.insert("input_ids".to_owned(), json!({ "shape": Flow::Ids.shape(), "dtype": "int64" }));
        }
        for (name, flow) in &self.given {
            inputs.insert(name.clone(), json!({ "shape": flow.shape(), "dtype": "activation" }));
        }
        if !self.has_ids {
            // Nothing says that there are sequences.
            model.insert("workload".to_owned(), json!({ "seq_len": 1 }));
        }
        if let Some(size) = self.guessed_size {
            model.insert("variables".to_owned(), json!({ "image_size": size }));
        }
        model.insert("inputs".to_owned(), Json::Object(inputs));
        model.insert("layers".to_owned(), Json::Array(body.layers));
        Made {
            model,
            unknown: self.unknown,
            layers: self.layers,
            quantization: self.quantization,
            guessed_size: self.guessed_size,
        }
    }

    fn unknown(&mut self, module: &Module, why: Unsaid, has_weights: bool, times: u64) {
        let times = times.saturating_mul(module.count);
        match self.unknown.iter_mut().find(|known| known.class == module.class && known.why == why) {
            Some(known) => known.count = known.count.saturating_add(times),
            None => {
                self.unknown.push(Unknown { class: module.class.clone(), why, count: times, has_weights, at: module.at.clone() })
            }
        }
    }

    /// The modules of a composite. The numbers of a list are names of which only one may stand for several.
    fn children(&mut self, children: &[Module], body: &mut Body, times: u64) {
        let largest = children.iter().filter(|child| child.is_range).max_by_key(|child| child.count).map(|child| child.from);
        for child in children {
            if !child.is_range || Some(child.from) == largest {
                self.module(child, body, times);
                continue;
            }
            self.written = self.written.saturating_add(size(child).saturating_mul(child.count));
            if self.written > MOST_WRITTEN {
                self.unknown(child, "there are too many of them beside others".to_owned(), true, times);
                continue;
            }
            for number in child.from..child.from.saturating_add(child.count) {
                let one = Module { key: number.to_string().into(), from: 0, count: 1, is_range: false, ..child.clone() };
                self.module(&one, body, times);
            }
        }
    }

    /// A module of a composite. `times`: how often the composite is there.
    fn module(&mut self, module: &Module, body: &mut Body, times: u64) {
        // A tensor that the module around owns.
        if let Some(shape) = module.arg("shape").filter(|_| &*module.class == "Parameter" && module.children.is_empty()) {
            self.parameter(module, &json_of(shape), body);
        } else if module.children.is_empty() {
            self.leaf(module, body, times);
        } else if self.is_layer(module) {
            // A layer with an activation in it, as timm has them.
            self.leaf(module, body, times);
            for child in &module.children {
                let key = format!("{}_{}", module.key, child.key).into();
                self.module(&Module { key, ..child.clone() }, body, times);
            }
        } else {
            self.composite(module, body, times);
        }
    }

    /// Whether a module with others in it is a layer all the same.
    fn is_layer(&self, module: &Module) -> bool {
        let rule = rule(&module.class, self.catalog).filter(|rule| rule.size.is_some() && !module.args.is_empty());
        rule.is_some_and(|rule| demand(rule, module).is_ok())
    }

    fn parameter(&mut self, module: &Module, shape: &Json, body: &mut Body) {
        let name = body.free(&module.key);
        self.layers += 1;
        body.weights.insert(name, shape.clone());
    }

    fn leaf(&mut self, module: &Module, body: &mut Body, times: u64) {
        let known = match known(module, self.catalog) {
            Ok(Some(known)) => known,
            Ok(None) => return,
            Err(why) => return self.unknown(module, why, true, times),
        };
        if self.quantization.is_none() {
            self.quantization = known.quantization();
        }
        let Some(reading) = self.read(&known.demand, body) else {
            return self.unknown(module, "nothing says how large what it reads is".to_owned(), known.has_weights, times);
        };
        let flow = match &reading.way {
            Way::Plain => reading.flow.clone(),
            Way::Reshaped(flow) => flow.clone(),
        };
        let mut made = known.layer(module, &flow);
        let mut reading = reading;
        // A window that is larger than what is there was meant for another grid: the first of so many channels.
        // If those are too small, too, for one of which nothing is known.
        if made.is_err()
            && let Demand::Grid(Some(channels), dims) = known.demand
        {
            let of_channels = self.first_grids.get(&(dims, channels)).cloned();
            let sizes = of_channels.into_iter().chain(self.grids.get(&dims).cloned()).chain([self.first_grid(dims)]);
            let fitting =
                sizes.map(|sizes| Flow::Grid(channels, sizes)).find_map(|flow| Some((known.layer(module, &flow).ok()?, flow)));
            if let Some((layer, flow)) = fitting {
                made = Ok(layer);
                reading = self.given_as(flow);
            }
        }
        match made {
            Ok(layer) => self.write(module, layer, &reading, body),
            Err(why) => self.unknown(module, why, known.has_weights, times),
        }
    }

    /// Writes a layer, and the view before it if what it reads has other dimensions.
    fn write(&mut self, module: &Module, layer: Layer, reading: &Reading, body: &mut Body) {
        let mut inputs = reading.inputs.clone();
        if let Way::Reshaped(flow) = &reading.way {
            view("input", module, flow, inputs.take(), body);
        }
        if let Some(lines) = &layer.lines {
            view("lines", module, lines, inputs.take(), body);
        }
        let mut out = Map::new();
        let name = self.named(module, body, &mut out);
        out.insert("class".to_owned(), json!(layer.class));
        out.insert("parameters".to_owned(), Json::Object(layer.parameters));
        if let Some(inputs) = inputs {
            out.insert("inputs".to_owned(), json!([inputs]));
        }
        let read = match &reading.way {
            Way::Plain => &reading.flow,
            Way::Reshaped(flow) => flow,
        };
        let is_parallel = module.count > 1 && *read != layer.gives;
        if is_parallel {
            out.insert("parallel".to_owned(), json!(true));
        }
        self.layers += 1;
        body.layers.push(Json::Object(out));
        let name = match &layer.lines {
            Some(_) => view("grid", module, &layer.gives, None, body),
            None => name,
        };
        self.gave(name, module.from, module.count, is_parallel, layer.gives, body);
    }

    /// The name of a module, and how often it is there.
    fn named(&mut self, module: &Module, body: &mut Body, out: &mut Map<String, Json>) -> String {
        if !module.is_range {
            let name = body.free(&module.key);
            out.insert("name".to_owned(), json!(name));
            return name;
        }
        if module.key.is_empty() {
            // Its numbers are its names.
            out.insert("name".to_owned(), json!("<i>"));
            out.insert("index".to_owned(), json!("i"));
            if module.from > 0 {
                out.insert("when".to_owned(), json!(format!("<i> >= {}", module.from)));
            }
            out.insert("repeat".to_owned(), json!(module.from.saturating_add(module.count)));
            return "<i>".to_owned();
        }
        let name = body.free(&module.key);
        out.insert("name".to_owned(), json!(name));
        out.insert("repeat".to_owned(), json!(module.count));
        name
    }

    /// What a module gives. Of several that stand side by side it is the last one's that is read further on.
    fn gave(&mut self, name: String, from: u64, count: u64, is_parallel: bool, flow: Flow, body: &mut Body) {
        if let Flow::Grid(channels, sizes) = &flow {
            self.grids.insert(sizes.len(), sizes.clone());
            self.first_grids.entry((sizes.len(), *channels)).or_insert_with(|| sizes.clone());
        }
        let last = from.saturating_add(count).saturating_sub(1);
        let is_numbered = name == "<i>";
        let name = match (is_numbered, is_parallel) {
            (true, _) => last.to_string(),
            (false, true) => format!("{name}.{last}"),
            (false, false) => name,
        };
        body.prev_name = is_parallel.then(|| name.clone());
        if !is_numbered {
            body.values.push((name, flow.clone()));
        }
        body.prev = Some(flow);
    }

    /// Where a layer reads: what the module before gave, what the composite was given, what another module before gave, or a tensor of the
    /// model's own. `None`: nothing says how large that is.
    fn read(&mut self, demand: &Demand, body: &Body) -> Option<Reading> {
        const LOOKED_AT: usize = 64;
        if let Some(prev) = &body.prev
            && let Some(way) = prev.way(demand)
            && !(*demand == Demand::Any && *prev == Flow::Ids)
        {
            return Some(Reading { inputs: body.prev_name.clone(), flow: prev.clone(), way });
        }
        if let Some(input) = &body.input
            && let Some(way) = input.way(demand)
            && *demand != Demand::Any
        {
            return Some(Reading { inputs: Some("input".to_owned()), flow: input.clone(), way });
        }
        // One that fits as it is before one that has to be seen otherwise.
        let earlier =
            || body.values.iter().rev().take(LOOKED_AT).filter_map(|(name, flow)| Some((name, flow, flow.way(demand)?)));
        let found = earlier().find(|(_, _, way)| *way == Way::Plain).or_else(|| earlier().next());
        if let Some((name, flow, way)) = found.filter(|_| *demand != Demand::Any) {
            return Some(Reading { inputs: Some(name.clone()), flow: flow.clone(), way });
        }
        self.given(demand)
    }

    /// A tensor that the model is called with.
    fn given(&mut self, demand: &Demand) -> Option<Reading> {
        let flow = match demand {
            Demand::Any => return None,
            Demand::Ids => {
                self.has_ids = true;
                return Some(Reading { inputs: Some("input_ids".to_owned()), flow: Flow::Ids, way: Way::Plain });
            }
            Demand::Rows(features) => Flow::Rows(Rows::Tokens, *features),
            Demand::Grid(channels, dims) => {
                let known = self.first_grids.get(&(*dims, (*channels)?)).or_else(|| self.grids.get(dims));
                let sizes = known.cloned().unwrap_or_else(|| self.first_grid(*dims));
                Flow::Grid((*channels)?, sizes)
            }
        };
        Some(self.given_as(flow))
    }

    /// A tensor that the model is called with, of this shape.
    fn given_as(&mut self, flow: Flow) -> Reading {
        let name = match self.given.iter().find(|(_, known)| *known == flow) {
            Some((name, _)) => name.clone(),
            None => {
                let dims = match &flow {
                    Flow::Grid(channels, sizes) => sizes.iter().fold(channels.to_string(), |text, size| format!("{text}x{size}")),
                    flow => flow.features().unwrap_or(0).to_string(),
                };
                let name = format!("input_of_{dims}");
                self.given.push((name.clone(), flow.clone()));
                name
            }
        };
        Reading { inputs: Some(name), flow, way: Way::Plain }
    }

    fn first_grid(&mut self, dims: usize) -> Vec<u64> {
        let size = match dims {
            1 => self.image_size.unwrap_or(STEPS),
            _ => self.image_size.unwrap_or(IMAGE),
        };
        self.guessed_size.get_or_insert(size);
        let frames = (dims == 3).then_some(FRAMES);
        frames.into_iter().chain(std::iter::repeat_n(size, dims - frames.iter().count())).collect()
    }

    /// What the first layer in a module needs.
    fn first_demand(&self, module: &Module) -> Option<Demand> {
        if module.children.is_empty() {
            let known = known(module, self.catalog).ok()??;
            return (known.demand != Demand::Any).then_some(known.demand);
        }
        if let Some(rule) = rule(&module.class, self.catalog) {
            let of_added = rule.adds.first().and_then(|added| demand(added, module).ok());
            if of_added.is_some() {
                return of_added;
            }
        }
        module.children.iter().find_map(|child| self.first_demand(child))
    }

    fn composite(&mut self, module: &Module, body: &mut Body, times: u64) {
        let demand = self.first_demand(module);
        let reading = match &demand {
            Some(demand) => self.read(demand, body),
            None => None,
        };
        // What only says where its input is from isn't seen otherwise here, but by the layer that needs it.
        let (inputs, flow) = match reading {
            Some(reading) => (reading.inputs, Some(reading.flow)),
            None => (None, body.prev.clone()),
        };
        let mut inner = Body::within(flow.clone());
        let inside = times.saturating_mul(module.count);
        self.adds(module, &mut inner, inside);
        // A list of like modules is one that is repeated.
        let (children, repeated) = match module.children.as_slice() {
            [only] if only.is_range && only.from == 0 && !module.is_range && !only.children.is_empty() => {
                (only.children.as_slice(), Some(only))
            }
            children => (children, None),
        };
        let times = repeated.map_or(inside, |only| inside.saturating_mul(only.count));
        if let Some(only) = repeated {
            self.adds(only, &mut inner, times);
        }
        self.children(children, &mut inner, times);
        if inner.layers.is_empty() && inner.weights.is_empty() {
            return;
        }
        let mut out = Map::new();
        let name = self.named(module, body, &mut out);
        out.insert("class".to_owned(), json!(repeated.unwrap_or(module).class));
        let (from, count) = repeated.map_or((module.from, module.count), |only| (0, only.count));
        if repeated.is_some() {
            out.insert("repeat".to_owned(), json!(count));
        }
        if let Some(inputs) = inputs {
            out.insert("inputs".to_owned(), json!([inputs]));
        }
        let is_parallel = count > 1 && inner.prev != flow;
        if is_parallel {
            out.insert("parallel".to_owned(), json!(true));
        }
        if !inner.weights.is_empty() {
            out.insert("weights".to_owned(), Json::Object(inner.weights));
        }
        out.insert("sub_layers".to_owned(), Json::Array(inner.layers));
        body.layers.push(Json::Object(out));
        if let Some(flow) = inner.prev {
            self.gave(name, from, count, is_parallel, flow, body);
        }
    }

    /// What a composite of a known class computes itself.
    fn adds(&mut self, module: &Module, body: &mut Body, times: u64) {
        let Some(rule) = rule(&module.class, self.catalog) else { return };
        for added_rule in &rule.adds {
            let why = match demand(added_rule, module) {
                Ok(demand) => match self.read(&demand, body) {
                    Some(reading) => match added(added_rule, module, &reading.flow) {
                        Ok(layer) => {
                            let named = Module {
                                key: added_rule.name.clone(),
                                children: Vec::new(),
                                is_range: false,
                                count: 1,
                                from: 0,
                                ..module.clone()
                            };
                            self.write(&named, layer, &reading, body);
                            continue;
                        }
                        Err(why) => why,
                    },
                    None => "nothing says how large what it reads is".to_owned(),
                },
                Err(why) => why,
            };
            self.unknown(module, why, true, times);
        }
    }
}
