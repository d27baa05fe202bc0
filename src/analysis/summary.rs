//! One page on a model: what it is made of, and what that costs. All of it follows from the flat list and the variables.
//!
//! A compiled model comes in, a [`Summary`] goes out. No model family and no class is known here: what a layer is for is said by its
//! role, and by the roles of the composites around it; only where none of them says anything, by what stands beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};

use super::cache::{CacheReport, cache, parent};
use super::facts::Facts;
use super::origin;
use crate::catalog::{Class, Element, Fact, Role};
use crate::cost::bind::BoundInput;
use crate::cost::workload::Workload;
use crate::evaluation::{Evaluation, costs};
use crate::flat::{Composite, FlatModel, Node, RowId, RowInfo, ValueTarget};
use crate::language::checkpoint::Mixed;
use crate::language::enclosing;
use crate::quantity::workload::{Logits, Phase, words};
use crate::quantity::{Cost, Quantity};
use crate::syntax::diag::Diagnostics;
use crate::syntax::expr::Value;

/// What a part of a model has and takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// What it is to a reader.
    pub role: Role,
    /// Learned scalars.
    pub params: u128,
    /// Of those, the ones that a token uses.
    pub active_params: u128,
    /// FLOPs of its matrix products.
    pub matmul_flops: u128,
}

/// By what people count what a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountedBy {
    /// Its costs depend on how many tokens there are.
    Token,
    /// They don't, and it is called with planes of channels.
    Image,
    /// They don't, and it is called with something else.
    Input,
}

words!(CountedBy, Token = "token", Image = "image", Input = "input");

impl CountedBy {
    /// By what the costs of a model are counted.
    #[must_use]
    pub fn of(model: &Evaluation) -> Self {
        let is_plane =
            |input: &BoundInput| input.element == Element::Activation && input.shape.as_ref().is_some_and(|dims| dims.len() == 4);
        match () {
            () if model.flat.uses().reads("seq_len") => CountedBy::Token,
            () if model.bound.inputs.iter().any(is_plane) => CountedBy::Image,
            () => CountedBy::Input,
        }
    }
}

/// A page on a model.
#[derive(Debug)]
pub struct Summary {
    /// The model's name.
    pub name: Option<Arc<str>>,
    /// What the model has and its description lacks.
    pub partial: Vec<Arc<str>>,
    /// Its class.
    pub class: Option<Arc<str>>,
    /// Its family.
    pub family: Option<Arc<str>>,
    /// Where its figures come from.
    pub source: Option<Arc<str>>,
    /// The sizes that configs have names for, those of an inner text model if the outer has none.
    pub sizes: Vec<(&'static str, Value)>,
    /// What it keeps between steps.
    pub cache: CacheReport,
    /// The classes of its norms, and how many of each.
    pub norms: Vec<(Arc<str>, u128)>,
    /// Activation functions of the layers that aren't attention.
    pub activations: Vec<Arc<str>>,
    /// Whether its MLPs have a gate.
    pub gated: bool,
    /// How positions come in.
    pub positions: Vec<Role>,
    /// Whether any weights are tied.
    pub tied: bool,
    /// The names of layers with a bias.
    pub biases: Vec<String>,
    /// By component, the largest first.
    pub components: Vec<Component>,
    /// Learned scalars.
    pub params: u128,
    /// The mix of types that its weights are in, where one was asked for.
    pub mixed: Option<Mixed>,
    /// Those that a token uses.
    pub active_params: u128,
    /// Layers with a recurrent state, of whatever it is made.
    pub recurrent_layers: u128,
    /// All experts and those that a token is routed to.
    pub experts: Option<(u128, u128)>,
    /// By what its costs are counted.
    pub counted_by: CountedBy,
    /// Matmul FLOPs of the workload, and of how many tokens, images or other inputs.
    pub prefill: (u128, u128),
    /// Bytes alive at most in a pass at the workload, caches included.
    pub peak_bytes: Option<u128>,
    /// Matmul FLOPs of one more token after as many as the workload has, and how many those are.
    pub decode: Option<(u128, u128)>,
}

/// The sizes that are shown, by the names that configs have for them.
const SIZES: &[&str] = &[
    "hidden_size",
    "intermediate_size",
    "moe_intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
];

/// Summarizes a model.
#[must_use]
pub fn summary(compiled: &Evaluation) -> Summary {
    let (flat, bound, report) = (&compiled.flat, &compiled.bound, &compiled.report);
    let workload = &bound.workload;
    let counted_by = CountedBy::of(compiled);
    let each = if counted_by == CountedBy::Token { workload.seq_len } else { 1 };
    let tokens = u128::from(workload.batch_size).saturating_mul(u128::from(each));
    let model = &compiled.checked.model;
    let found = Found::of(compiled);
    Summary {
        name: compiled.name().map(Into::into),
        partial: compiled.checked.model.partial.clone(),
        class: flat.class.clone(),
        family: model.family.as_ref().map(|family| family.value.clone()),
        source: flat.source.clone(),
        sizes: SIZES.iter().filter_map(|name| Some((*name, size(compiled, name)?))).collect(),
        cache: cache(compiled),
        norms: found.norms.into_iter().collect(),
        activations: found.activations.into_iter().collect(),
        gated: found.gated,
        positions: found.positions,
        tied: flat.rows.iter().any(|info| !info.row.tied.is_empty()),
        biases: found.biases.into_iter().collect(),
        components: found.components,
        mixed: compiled.mix().cloned(),
        params: report.totals.get(Quantity::Params),
        active_params: report.totals.get(Quantity::ActiveParams),
        recurrent_layers: found.recurrent.values().fold(0, |sum, layers| sum.saturating_add(*layers)),
        experts: found.experts,
        counted_by,
        prefill: (report.totals.get(Quantity::MatmulFlops), tokens),
        peak_bytes: compiled.flow.peak.as_ref().map(|peak| peak.bytes),
        decode: decode(compiled),
    }
}

/// The component that each row is counted to, as the page shows them.
#[must_use]
pub fn components(compiled: &Evaluation) -> Vec<Role> {
    let rows = compiled.flat.rows.iter().zip(places(&compiled.flat));
    rows.map(|(info, place)| place.component(info.row.role)).collect()
}

/// Where each row stands.
fn places(flat: &FlatModel) -> Vec<Place> {
    let mut walk = Walk { flat, places: vec![Place::default(); flat.rows.len()], bodies: Vec::new() };
    walk.body(&flat.body, Place { last: true, ..Place::default() });
    walk.places
}

/// What the rows have, gathered one after the other.
#[derive(Default)]
struct Found {
    components: Vec<Component>,
    norms: IndexMap<Arc<str>, u128>,
    activations: IndexSet<Arc<str>>,
    positions: Vec<Role>,
    gated: bool,
    /// Where layers have a recurrent state, and how many they are.
    recurrent: BTreeMap<String, u128>,
    experts: Option<(u128, u128)>,
    biases: IndexSet<String>,
}

impl Found {
    fn of(compiled: &Evaluation) -> Self {
        let mut found = Found::default();
        for (row, place) in compiled.rows().zip(places(&compiled.flat)) {
            let (at, info) = (row.id().0 as usize, row.info);
            found.component(place.component(info.row.role), &row.total());
            let facts = || Facts::of(&compiled.bound, at);
            let layer = |class_name, class| Shown { class_name, class, path: &info.path, layers: info.repeats };
            // What an engine runs as one is what it stands for.
            for stood in info.row.merged.iter().flat_map(|merged| &merged.layers) {
                if let Some(role) = stood.role {
                    found.role(role, layer(&stood.class_name, Some(&*stood.class.0)), &place, facts);
                }
            }
            if let Some(role) = info.row.role.filter(|_| info.row.merged.is_none()) {
                let class = info.row.class.as_ref().map(|class| &*class.0);
                found.role(role, layer(&info.row.class_name, class), &place, facts);
            }
            if info.row.role != Some(Role::Norm) && row.weights().iter().any(|tensor| &*tensor.name == "bias") {
                found.biases.insert(name(info));
            }
        }
        found.components.sort_by(|a, b| b.params.cmp(&a.params).then_with(|| a.role.shown().cmp(b.role.shown())));
        found
    }

    fn component(&mut self, role: Role, total: &Cost) {
        let [params, active_params, matmul_flops] =
            [Quantity::Params, Quantity::ActiveParams, Quantity::MatmulFlops].map(|quantity| total.get(quantity));
        if params == 0 && matmul_flops == 0 {
            return;
        }
        match self.components.iter_mut().find(|known| known.role == role) {
            Some(known) => {
                known.params = known.params.saturating_add(params);
                known.active_params = known.active_params.saturating_add(active_params);
                known.matmul_flops = known.matmul_flops.saturating_add(matmul_flops);
            }
            None => self.components.push(Component { role, params, active_params, matmul_flops }),
        }
    }

    /// What a row tells of the model by its role.
    fn role<'b>(&mut self, role: Role, layer: Shown<'_>, place: &Place, facts: impl Fn() -> Option<Facts<'b>>) {
        let in_mlp = place.repeated && matches!(place.part, None | Some(Role::Mlp | Role::Moe | Role::SharedExpert));
        match role {
            Role::Norm => self.norm(layer.class_name, layer.layers),
            Role::Activation if in_mlp => drop(self.activations.insert(layer.activation())),
            Role::GateProduct if in_mlp => self.gated = true,
            // A layer may keep a convolution's state and a scan's.
            Role::RecurrentState => drop(self.recurrent.insert(parent(layer.path).to_owned(), layer.layers)),
            Role::Experts => facts().iter().for_each(|facts| self.experts(facts)),
            Role::RotaryPositions | Role::AlibiPositions | Role::RelativePositions => push_new(&mut self.positions, role),
            Role::Embedding | Role::PositionEmbedding if place.reads_positions => {
                push_new(&mut self.positions, Role::PositionEmbedding);
            }
            _ => {}
        }
    }

    fn norm(&mut self, class: &Arc<str>, layers: u128) {
        let count = self.norms.entry(class.clone()).or_default();
        *count = count.saturating_add(layers);
    }

    fn experts(&mut self, facts: &Facts<'_>) {
        self.experts = self.experts.or_else(|| facts.count(Fact::Experts).zip(facts.count(Fact::ExpertsPerToken)));
        if let Some(Value::Text(text)) = facts.value(Fact::Activation) {
            self.activations.insert(text);
        }
        self.gated |= facts.value(Fact::Gated) == Some(Value::Bool(true));
    }
}

/// The component that a layer of this role is counted to wherever it stands.
fn own_component(role: Role) -> Option<Role> {
    match role {
        Role::Norm | Role::Embedding | Role::Experts | Role::Router | Role::StateSpace => Some(role),
        Role::PositionEmbedding => Some(Role::Embedding),
        Role::RecurrentState => Some(Role::StateSpace),
        _ => None,
    }
}

/// The component that a layer of this role is counted to where nothing around it says more.
fn usual_component(role: Role) -> Option<Role> {
    match role {
        Role::Convolution | Role::Pooling | Role::Projector | Role::Head | Role::Moe | Role::SharedExpert | Role::Mlp => {
            Some(role)
        }
        Role::GateProjection | Role::UpProjection | Role::GateUpProjection | Role::DownProjection => Some(Role::Mlp),
        Role::Attention
        | Role::QueryProjection
        | Role::KeyProjection
        | Role::ValueProjection
        | Role::QkvProjection
        | Role::KvProjection
        | Role::LatentProjection
        | Role::OutputProjection
        | Role::RelativePositions => Some(Role::Attention),
        Role::InputProjection => Some(Role::StateSpace),
        _ => None,
    }
}

/// What a composite of this role makes of the layers in it.
fn part_of(role: Role) -> Option<Role> {
    match role {
        Role::Attention
        | Role::StateSpace
        | Role::Mlp
        | Role::Moe
        | Role::SharedExpert
        | Role::Projector
        | Role::Head
        | Role::Convolution => Some(role),
        Role::Embedding | Role::PositionEmbedding => Some(Role::Embedding),
        _ => None,
    }
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// One more token after those of the workload, of a model that keeps a cache.
fn decode(compiled: &Evaluation) -> Option<(u128, u128)> {
    if compiled.report.totals.get(Quantity::CacheBytes) == 0 {
        return None;
    }
    let past = u64::try_from(compiled.bound.workload.kv_len().saturating_sub(1)).ok()?;
    let one = Workload {
        phase: Some(Phase::Decode),
        batch_size: Some(1),
        seq_len: Some(1),
        past_len: Some(past),
        logits: Some(Logits::All),
        // Other lengths give way to those above.
        settings: compiled.asked.settings.iter().filter(|(name, _)| &**name != "logit_len").cloned().collect(),
        ..compiled.asked.clone()
    };
    let mut ignored = Diagnostics::default();
    let report = costs(&compiled.flat, compiled.execution, &one, &mut ignored).report;
    (!ignored.has_errors()).then(|| (report.totals.get(Quantity::MatmulFlops), u128::from(past)))
}

/// The model's own variable of this name, else that of an inner config.
fn size(compiled: &Evaluation, name: &str) -> Option<Value> {
    let checked = &compiled.checked;
    let inner = checked.model.nested.iter().map(|(nested, _)| format!("{}.{name}", nested.value));
    let candidates = std::iter::once(name.to_owned()).chain(inner);
    candidates.into_iter().find_map(|name| origin::origin(checked, &name)?.value).filter(|value| *value != Value::Null)
}

/// A layer's own name, without the index where it is repeated.
fn name(info: &RowInfo) -> String {
    match &info.row.segment {
        Some(segment) => segment.lookup_name().map_or_else(|| segment.pattern(), |name| name.to_string()),
        // It has its composite's.
        None => info.path.rsplit('.').next().unwrap_or_default().to_owned(),
    }
}

/// A layer, or one that another stands for.
#[derive(Clone, Copy)]
struct Shown<'l> {
    /// The class as the file has it.
    class_name: &'l Arc<str>,
    class: Option<&'l Class>,
    /// Where it stands, repeats folded.
    path: &'l str,
    /// How many there are.
    layers: u128,
}

impl Shown<'_> {
    /// An activation by the name that people have for it.
    fn activation(&self) -> Arc<str> {
        let short = self.class.and_then(|class| class.table_name(self.class_name));
        short.unwrap_or_else(|| self.class_name.rsplit('.').next().unwrap_or_default()).into()
    }
}

/// Where a row stands.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// What a composite around it is.
    part: Option<Role>,
    /// Whether it is in a repeated layer.
    repeated: bool,
    /// Whether that layer, or the body in which it stands, has an activation: then what nothing more is said of is a part of an MLP.
    activates: bool,
    /// Whether it is what the model gives, behind everything else.
    last: bool,
    /// Whether one of its inputs is made of positions.
    reads_positions: bool,
}

impl Place {
    /// The component that a layer here is counted to.
    fn component(&self, role: Option<Role>) -> Role {
        let inferred = || match (self.last, self.activates) {
            (true, _) => Role::Head,
            (false, true) => Role::Mlp,
            (false, false) => Role::Other,
        };
        role.and_then(own_component).or(self.part).or_else(|| role.and_then(usual_component)).unwrap_or_else(inferred)
    }
}

struct Walk<'f> {
    flat: &'f FlatModel,
    places: Vec<Place>,
    /// The bodies of the composites around, the innermost last.
    bodies: Vec<&'f [Node<RowId>]>,
}

impl<'f> Walk<'f> {
    fn body(&mut self, body: &'f [Node<RowId>], around: Place) {
        let activates = around.activates || body.iter().any(|node| self.is(node, &[Role::Activation]));
        self.bodies.push(body);
        self.nodes(body, Place { activates, ..around });
        self.bodies.pop();
    }

    fn nodes(&mut self, nodes: &'f [Node<RowId>], around: Place) {
        for (at, node) in nodes.iter().enumerate() {
            let around = Place { last: around.last && at + 1 == nodes.len(), ..around };
            match node {
                Node::Layer(id) => {
                    let place = Place { reads_positions: self.reads_positions(*id), ..around };
                    if let Some(cell) = self.places.get_mut(id.0 as usize) {
                        *cell = place;
                    }
                }
                Node::Composite(composite) => {
                    let part = self.part(composite, &around);
                    self.body(&composite.body, Place { part, ..around });
                }
                Node::Repeat(repeat) => {
                    for instance in repeat.instances() {
                        let inside = Place { repeated: true, last: false, ..around };
                        match instance {
                            // The block itself holds attention and all the rest.
                            Node::Composite(composite) => {
                                let activates = inside.activates || self.holds(&composite.body, Role::Activation);
                                let part = inside.part.or_else(|| composite.role.and_then(part_of));
                                self.body(&composite.body, Place { activates, part, ..inside });
                            }
                            node => self.nodes(std::slice::from_ref(node), inside),
                        }
                    }
                }
            }
        }
    }

    fn reads_positions(&self, id: RowId) -> bool {
        let Some(info) = self.flat.row(id) else { return false };
        info.row.inputs.iter().any(|input| {
            let ValueTarget::Node(at) = input.target else { return false };
            let body = enclosing(&self.bodies, input.up);
            let node = body.and_then(|body| body.get(at as usize));
            node.is_some_and(|node| self.is(node, &[Role::Positions]))
        })
    }

    /// Whether a node is a layer of one of these roles.
    fn is(&self, node: &Node<RowId>, roles: &[Role]) -> bool {
        let Node::Layer(id) = node else { return false };
        self.flat.row(*id).and_then(|info| info.row.role).is_some_and(|role| roles.contains(&role))
    }

    /// What a composite is, by its own role or that of its block. Where neither says so, its layers do: attention, or a state-space layer.
    fn part(&self, composite: &Composite<RowId>, around: &Place) -> Option<Role> {
        let said = composite.role.and_then(part_of);
        match around.part {
            // A mixture of experts has parts of its own.
            Some(Role::Moe) => return said.or(Some(Role::Moe)),
            Some(part) => return Some(part),
            None if composite.role.is_some() || !around.repeated => return said,
            None => {}
        }
        let body = &composite.body;
        let direct = |roles: &[Role]| body.iter().any(|node| self.is(node, roles));
        if direct(&[Role::StateSpace, Role::RecurrentState]) {
            return Some(Role::StateSpace);
        }
        // With an activation deeper inside it is a block that holds more than attention.
        let attends = direct(&[Role::Attention]) || (self.holds(body, Role::Attention) && !self.holds(body, Role::Activation));
        attends.then_some(Role::Attention)
    }

    fn holds(&self, body: &[Node<RowId>], wanted: Role) -> bool {
        body.iter().any(|node| match node {
            Node::Layer(_) => self.is(node, &[wanted]),
            Node::Composite(composite) => self.holds(&composite.body, wanted),
            Node::Repeat(repeat) => repeat.instances().any(|node| match node {
                Node::Composite(composite) => self.holds(&composite.body, wanted),
                node => self.holds(std::slice::from_ref(node), wanted),
            }),
        })
    }
}
