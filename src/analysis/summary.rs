//! One page on a model: what it is made of, and what that costs. All of it follows from the flat list and the variables.
//!
//! A compiled model comes in, a [`Summary`] goes out. No model family is known here: what a layer is for is said by its class
//! (`component`), and by the composite in which it stands.

use std::sync::Arc;

use super::cache::{CacheReport, cache};
use super::origin;
use crate::cost::workload::Workload;
use crate::evaluation::{Evaluation, costs};
use crate::flat::{FlatModel, Node, RowId, RowInfo, ValueTarget};
use crate::lower::Execution;
use crate::quantity::Quantity;
use crate::quantity::workload::{Cache, Phase};
use crate::syntax::diag::Diagnostics;
use crate::syntax::expr::Value;

/// What a part of a model has and takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// What a reader calls it.
    pub name: Arc<str>,
    /// Learned scalars.
    pub params: u128,
    /// Of those, the ones that a token uses.
    pub active_params: u128,
    /// FLOPs of its matrix products.
    pub matmul_flops: u128,
}

/// A page on a model.
#[derive(Debug)]
pub struct Summary {
    /// The model's name.
    pub name: Option<Arc<str>>,
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
    pub positions: Vec<String>,
    /// Whether any weights are tied.
    pub tied: bool,
    /// The names of layers with a bias.
    pub biases: Vec<String>,
    /// By component, the largest first.
    pub components: Vec<Component>,
    /// Learned scalars.
    pub params: u128,
    /// Those that a token uses.
    pub active_params: u128,
    /// Layers of the flat list that keep a recurrent state.
    pub recurrent_layers: u128,
    /// All experts and those that a token is routed to.
    pub experts: Option<(u128, u128)>,
    /// Matmul FLOPs of the workload, and of how many tokens.
    pub prefill: (u128, u128),
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
    let mut walk = Walk { flat, places: vec![Place::default(); flat.rows.len()], repeated: false, bodies: Vec::new() };
    walk.body(&flat.body, &Around::default());
    let mut components: Vec<Component> = Vec::new();
    let mut norms: Vec<(Arc<str>, u128)> = Vec::new();
    let (mut activations, mut positions): (Vec<Arc<str>>, Vec<String>) = Default::default();
    let (mut gated, mut recurrent_layers, mut experts, mut biases) = (false, 0u128, None, Vec::new());
    for (at, (info, row)) in flat.rows.iter().zip(&report.rows).enumerate() {
        let place = walk.places.get(at).cloned().unwrap_or_default();
        let class = info.row.class.as_ref().map(|class| &class.0);
        let component = class.and_then(|class| class.component.as_deref());
        let in_mlp = place.part.is_none() && place.repeated;
        let name: Arc<str> = match component {
            Some("norm" | "embedding" | "experts" | "router") => component.unwrap_or_default().into(),
            Some("state space") => "state space".into(),
            _ => place.name(),
        };
        let total = |quantity: Quantity| row.total.get(quantity);
        let (params, active, flops) = (total(Quantity::Params), total(Quantity::ActiveParams), total(Quantity::MatmulFlops));
        if params > 0 || flops > 0 {
            match components.iter_mut().find(|known| known.name == name) {
                Some(known) => {
                    known.params = known.params.saturating_add(params);
                    known.active_params = known.active_params.saturating_add(active);
                    known.matmul_flops = known.matmul_flops.saturating_add(flops);
                }
                None => components.push(Component { name, params, active_params: active, matmul_flops: flops }),
            }
        }
        match component {
            Some("norm") => match norms.iter_mut().find(|(known, _)| *known == info.row.class_name) {
                Some((_, count)) => *count = count.saturating_add(info.repeats),
                None => norms.push((info.row.class_name.clone(), info.repeats)),
            },
            Some("activation") if in_mlp => push_new(&mut activations, activation(info)),
            Some("gate product") if in_mlp => gated = true,
            Some("state space") if class.is_some_and(|class| class.cache.is_some()) => {
                recurrent_layers = recurrent_layers.saturating_add(info.repeats);
            }
            Some("experts") => {
                let given = |name: &str| argument(compiled, at, name);
                let count = |name: &str| given(name).and_then(|v| v.as_number()?.to_count());
                experts = experts.or(count("num_experts").zip(count("top_k")));
                if let Some(Value::Text(text)) = given("hidden_act") {
                    push_new(&mut activations, text);
                }
                gated |= given("gated").is_none_or(|gated| gated == Value::Bool(true));
            }
            Some("rotary positions" | "alibi positions" | "relative positions") => {
                push_new(&mut positions, component.unwrap_or_default().trim_end_matches(" positions").to_owned());
            }
            Some("embedding") if place.reads_positions => push_new(&mut positions, "learned".to_owned()),
            _ => {}
        }
        let has_bias = bound.rows.get(at).and_then(|row| report.tensors.get(row.signature? as usize));
        if component != Some("norm") && has_bias.is_some_and(|tensors| tensors.iter().any(|t| &*t.name == "bias")) {
            push_new(&mut biases, info.path.rsplit('.').next().unwrap_or_default().to_owned());
        }
    }
    components.sort_by(|a, b| b.params.cmp(&a.params).then_with(|| a.name.cmp(&b.name)));
    let workload = &bound.workload;
    let tokens = u128::from(workload.batch_size).saturating_mul(u128::from(workload.seq_len));
    let model = &compiled.checked.model;
    Summary {
        name: flat.name.clone(),
        class: flat.class.clone(),
        family: model.family.as_ref().map(|family| family.value.clone()),
        source: flat.source.clone(),
        sizes: SIZES.iter().filter_map(|name| Some((*name, size(compiled, name)?))).collect(),
        cache: cache(compiled),
        norms,
        activations,
        gated,
        positions,
        tied: flat.rows.iter().any(|info| !info.row.tied.is_empty()),
        biases,
        components,
        params: report.totals.get(Quantity::Params),
        active_params: report.totals.get(Quantity::ActiveParams),
        recurrent_layers,
        experts,
        prefill: (report.totals.get(Quantity::MatmulFlops), tokens),
        decode: decode(compiled),
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
        logits: None,
        ..compiled.asked.clone()
    };
    let mut ignored = Diagnostics::default();
    let execution = Execution { cache: Cache::On, ..compiled.execution };
    let report = costs(&compiled.flat, execution, &one, &mut ignored).report;
    (!ignored.has_errors()).then(|| (report.totals.get(Quantity::MatmulFlops), u128::from(past)))
}

/// The model's own variable of this name, else that of an inner config.
fn size(compiled: &Evaluation, name: &str) -> Option<Value> {
    let checked = &compiled.checked;
    let inner = checked.model.nested.iter().map(|(nested, _)| format!("{}.{name}", nested.value));
    let candidates = std::iter::once(name.to_owned()).chain(inner);
    candidates.into_iter().find_map(|name| origin::origin(checked, &name)?.value).filter(|value| *value != Value::Null)
}

/// What a layer gives its class for a parameter, at the workload.
fn argument(compiled: &Evaluation, at: usize, name: &str) -> Option<Value> {
    let class = &compiled.flat.rows.get(at)?.row.class.as_ref()?.0;
    let position = class.parameters.iter().position(|p| *p.name == *name)?;
    let signature = compiled.bound.signatures.get(compiled.bound.rows.get(at)?.signature? as usize)?;
    signature.arguments.iter().find(|(known, _)| usize::from(*known) == position).map(|(_, value)| value.clone())
}

/// An activation by its name in transformers' table, else its class's.
fn activation(info: &RowInfo) -> Arc<str> {
    let class = info.row.class.as_ref().map(|class| &class.0);
    let short = class.and_then(|class| {
        let known = class.aliases.iter().filter_map(|alias| Some((alias, alias.strip_prefix("ACT2FN.")?)));
        let mut fitting = known.clone().filter(|(alias, _)| class.full_name(alias) == Some(&info.row.class_name));
        fitting.next().or_else(|| known.into_iter().next()).map(|(_, short)| Arc::from(short))
    });
    short.unwrap_or_else(|| info.row.class_name.rsplit('.').next().unwrap_or_default().into())
}

fn component(flat: &FlatModel, id: RowId) -> Option<&str> {
    flat.row(id)?.row.class.as_ref()?.0.component.as_deref()
}

/// Where a row stands.
#[derive(Debug, Clone, Default)]
struct Place {
    /// Attention or a state-space layer around it.
    part: Option<&'static str>,
    /// Whether it is in a repeated layer, and else whether one came before it.
    repeated: bool,
    after: bool,
    /// Whether one of its inputs is made of positions.
    reads_positions: bool,
}

impl Place {
    fn name(&self) -> Arc<str> {
        match (self.part, self.repeated, self.after) {
            (Some(part), ..) => part.into(),
            (None, true, _) => "MLP".into(),
            (None, false, true) => "head".into(),
            (None, false, false) => "embedding".into(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Around {
    part: Option<&'static str>,
    repeated: bool,
}

struct Walk<'f> {
    flat: &'f FlatModel,
    places: Vec<Place>,
    /// Whether a repeated layer was met.
    repeated: bool,
    /// The bodies of the composites around, the innermost last.
    bodies: Vec<&'f [Node<RowId>]>,
}

impl<'f> Walk<'f> {
    fn body(&mut self, body: &'f [Node<RowId>], around: &Around) {
        self.bodies.push(body);
        self.nodes(body, around);
        self.bodies.pop();
    }

    fn nodes(&mut self, nodes: &'f [Node<RowId>], around: &Around) {
        for node in nodes {
            match node {
                Node::Layer(id) => {
                    let place = Place {
                        part: around.part,
                        repeated: around.repeated,
                        after: self.repeated,
                        reads_positions: self.reads_positions(**id),
                    };
                    if let Some(cell) = self.places.get_mut(id.0 as usize) {
                        *cell = place;
                    }
                }
                Node::Composite(composite) => {
                    let part = around.part.or_else(|| if around.repeated { self.part(&composite.body) } else { None });
                    self.body(&composite.body, &Around { part, ..*around });
                }
                Node::Repeat(repeat) => {
                    self.repeated = true;
                    let inside = Around { repeated: true, ..*around };
                    for instance in repeat.instances() {
                        match instance {
                            // The block itself holds attention and all the rest.
                            Node::Composite(composite) => self.body(&composite.body, &inside),
                            node => self.nodes(std::slice::from_ref(node), &inside),
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
            let body = self.bodies.len().checked_sub(1 + usize::from(input.up)).and_then(|n| self.bodies.get(n));
            let node = body.and_then(|body| body.get(at as usize));
            matches!(node, Some(Node::Layer(id)) if component(self.flat, **id) == Some("positions"))
        })
    }

    /// What a composite is: attention, a state-space layer, or neither.
    fn part(&self, body: &[Node<RowId>]) -> Option<&'static str> {
        let direct =
            |wanted: &str| body.iter().any(|node| matches!(node, Node::Layer(id) if component(self.flat, **id) == Some(wanted)));
        if direct("state space") {
            return Some("state space");
        }
        // With an activation deeper inside it is a block that holds more than attention.
        let attends = direct("attention") || (self.holds(body, "attention") && !self.holds(body, "activation"));
        attends.then_some("attention")
    }

    fn holds(&self, body: &[Node<RowId>], wanted: &str) -> bool {
        body.iter().any(|node| match node {
            Node::Layer(id) => component(self.flat, **id) == Some(wanted),
            Node::Composite(composite) => self.holds(&composite.body, wanted),
            Node::Repeat(repeat) => repeat.instances().any(|node| match node {
                Node::Composite(composite) => self.holds(&composite.body, wanted),
                node => self.holds(std::slice::from_ref(node), wanted),
            }),
        })
    }
}
