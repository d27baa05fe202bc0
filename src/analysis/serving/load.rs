//! Weights as an engine loads them: joined, divided over ranks, padded, rounded by its allocator.

use std::collections::HashMap;
use std::sync::Arc;

use super::place::Placed;
use super::ranks::Ranks;
use super::served::Served;
use crate::analysis::cache::parent;
use crate::analysis::facts::Facts;
use crate::catalog::{AllocatorRules, Class, Fact, LoadRules, Role, Serving};
use crate::cost::Tensor;
use crate::evaluation::Evaluation;
use crate::flat::{RowId, RowInfo};
use crate::syntax::expr::{Exact, Value};

/// Weights on a rank, the fullest.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// All bytes, with what follows.
    pub bytes: u128,
    /// Of the tensors themselves, divided and joined.
    pub tensors: u128,
    /// Rows by which tables of the vocabulary are filled up, in bytes.
    pub padding: u128,
    /// What the allocator adds.
    pub rounding: u128,
    /// Of the tensors, what every rank has whole though there are several.
    pub copied: u128,
    /// What is loaded beside them.
    pub tables: Vec<(Arc<str>, u128)>,
    /// Whether the bytes were held against logs only: of types narrower than a byte, which kernels store in their own way, and where layers are
    /// dealt out, of which the fullest stage is reckoned from their mean.
    pub is_modelled: bool,
    /// The largest, by the role of their layers: bytes on the rank.
    pub by_role: Vec<(&'static str, u128)>,
}

/// A storage that an engine makes of one or several tensors.
struct Storage {
    role: Option<Role>,
    bytes: u128,
    padding: u128,
    /// Every rank has all of it.
    is_whole: bool,
}

/// Where in the model a layer is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    First,
    Layers,
    Last,
}

impl Loaded {
    /// What of a model a rank holds. `None` beyond 128 bits.
    pub fn of(
        model: &Evaluation,
        served: &Served,
        serving: &Serving,
        ranks: &Ranks,
        of: &dyn Fn(&str) -> Option<Value>,
    ) -> Option<Self> {
        let rules = &serving.weights;
        let heads = heads(model);
        let is_layered = |info: &RowInfo| info.repeats > 1 || info.path.split('.').any(|part| part.parse::<u64>().is_ok());
        let layered: Vec<bool> = model.flat.rows.iter().map(is_layered).collect();
        let first = layered.iter().position(|is| *is).unwrap_or(layered.len());
        let is_narrow = |tensor: &Tensor| tensor.element_bytes < Exact::integer(1);
        let mut rows = 0..u32::try_from(model.flat.rows.len()).ok()?;
        let mut loaded = Loaded {
            is_modelled: ranks.pipeline > 1 || rows.any(|at| model.report.tensors(RowId(at)).iter().any(is_narrow)),
            ..Loaded::default()
        };
        let mut parts = [0u128; 3];
        let mut by_role: HashMap<&'static str, u128> = HashMap::new();
        for (at, (info, layered)) in model.flat.rows.iter().zip(&layered).enumerate() {
            let part = match layered {
                true => Part::Layers,
                false if at < first => Part::First,
                false => Part::Last,
            };
            // Of all layers, those of the fullest stage.
            let share = |bytes: u128| match part {
                Part::Layers => ranks.of_stage(bytes, served.layers()),
                Part::First | Part::Last => bytes,
            };
            for storage in storages(model, at, info, rules, ranks, &heads) {
                let times = |bytes: u128| bytes.checked_mul(info.repeats).map(share);
                let rounded = rules.blocks.as_ref().map_or(storage.bytes, |blocks| blocks.rounded(storage.bytes));
                let bytes = times(rounded)?;
                let sum = parts.get_mut(part as usize)?;
                *sum = sum.checked_add(bytes)?;
                loaded.rounding = loaded.rounding.checked_add(times(rounded - storage.bytes)?)?;
                loaded.padding = loaded.padding.checked_add(times(storage.padding)?)?;
                if storage.is_whole && ranks.tensor > 1 {
                    loaded.copied = loaded.copied.checked_add(times(storage.bytes)?)?;
                }
                let role = storage.role.map_or("other", Role::shown);
                let sum = by_role.entry(role).or_default();
                *sum = sum.checked_add(bytes)?;
            }
        }
        let [first, layers, last] = parts;
        // Embedding and head stand on other stages where there are several.
        let ends = if ranks.pipeline > 1 { first.max(last) } else { first.checked_add(last)? };
        for (name, formula) in &rules.tables {
            let bytes = formula.count(of)?;
            loaded.tables.push((name.clone(), bytes));
        }
        let tables = loaded.tables.iter().try_fold(0u128, |sum, (_, bytes)| sum.checked_add(*bytes))?;
        loaded.bytes = layers.checked_add(ends)?.checked_add(tables)?;
        loaded.tensors = loaded.bytes.saturating_sub(tables).saturating_sub(loaded.rounding).saturating_sub(loaded.padding);
        loaded.by_role = by_role.into_iter().collect();
        loaded.by_role.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        Some(loaded)
    }
}

impl Loaded {
    /// Takes away what is left to the processor, where the bytes of the tensors that are loaded are these.
    pub(super) fn place(&mut self, placed: &Placed, ranks: &Ranks) {
        // A file's tensors are taken as they are.
        self.is_modelled = ranks.devices() > 1;
        self.tensors = placed.device.div_ceil(ranks.tensor.saturating_mul(ranks.pipeline));
        self.padding = 0;
        self.bytes = self.tables.iter().fold(self.tensors, |sum, (_, bytes)| sum.saturating_add(*bytes));
    }
}

impl AllocatorRules {
    /// What a storage of so many bytes takes.
    fn rounded(&self, bytes: u128) -> u128 {
        if bytes < self.large {
            return bytes.next_multiple_of(self.round);
        }
        let whole = bytes.next_multiple_of(self.segment);
        // A rest that is large enough is given to others.
        if whole - bytes > self.rest { bytes.next_multiple_of(self.round) } else { whole }
    }
}

/// By how much a tensor of experts grows whose inner and hidden dimensions are filled up; gate and up stand beside each other.
fn filled(shape: &[u128], inner: u128, [inner_multiple, hidden_multiple]: [u128; 2]) -> Exact {
    let dims = shape.get(1..).unwrap_or_default();
    let at = |parts: u128| dims.iter().position(|dim| *dim == inner.saturating_mul(parts)).map(|at| (at, parts));
    let of_inner = at(2).or_else(|| at(1));
    dims.iter().enumerate().fold(Exact::integer(1), |factor, (n, dim)| {
        let multiple = match of_inner {
            Some((at, parts)) if at == n => inner_multiple.saturating_mul(parts),
            _ => hidden_multiple,
        };
        let grown = Exact::from_count(dim.next_multiple_of(multiple.max(1)))
            .and_then(|n| n.checked_div(Exact::from_count((*dim).max(1))?));
        grown.and_then(|grown| factor.checked_mul(grown)).unwrap_or(factor)
    })
}

/// The heads of attention by the composite in which it is: of queries, of keys and values, channels of both.
struct Heads {
    query: u128,
    kv: u128,
    query_width: u128,
    kv_width: u128,
}

fn heads(model: &Evaluation) -> HashMap<&str, Heads> {
    let mut found: HashMap<&str, Heads> = HashMap::new();
    for (at, info) in model.flat.rows.iter().enumerate().filter(|(_, info)| info.row.role == Some(Role::Attention)) {
        let Some(facts) = Facts::of(&model.bound, at) else { continue };
        let count = |fact: Fact| facts.count(fact);
        let (Some(query), Some(kv), Some(width)) = (count(Fact::QueryHeads), count(Fact::KvHeads), count(Fact::HeadDim)) else {
            continue;
        };
        let kv_width = width.saturating_add(count(Fact::ValueHeadDim).unwrap_or(width));
        found.insert(parent(&info.path), Heads { query, kv, query_width: width, kv_width });
    }
    // Latents are kept as one head, whatever attention makes of them.
    for (at, info) in model.flat.rows.iter().enumerate().filter(|(_, info)| info.row.role == Some(Role::KvCache)) {
        let kept = Facts::of(&model.bound, at).and_then(|facts| facts.count(Fact::KvHeads));
        if let (Some(kept), Some(heads)) = (kept, found.get_mut(parent(&info.path))) {
            heads.kv = heads.kv.min(kept.max(1));
        }
    }
    found
}

/// What an engine makes of a layer's tensors: those of layers that run as one are joined, by their last names.
fn storages(
    model: &Evaluation,
    at: usize,
    info: &RowInfo,
    rules: &LoadRules,
    ranks: &Ranks,
    heads: &HashMap<&str, Heads>,
) -> Vec<Storage> {
    let Ok(id) = u32::try_from(at).map(RowId) else { return Vec::new() };
    let tied = model.report.tied(id);
    let inner = Facts::of(&model.bound, at).and_then(|facts| facts.count(Fact::Intermediate)).unwrap_or_default();
    let mut joined: Vec<(&str, Storage)> = Vec::new();
    for tensor in model.report.tensors(id).iter().filter(|tensor| !tied.contains(&tensor.name)) {
        let (part, last) = tensor.name.rsplit_once('.').unwrap_or(("", &tensor.name));
        let stood = info.row.merged.as_ref().and_then(|merged| merged.layers.iter().find(|layer| *layer.name == *part));
        let (class, role) = match stood {
            Some(stood) => (Some(&*stood.class.0), stood.role.or(info.row.role)),
            None => (info.row.class.as_ref().map(|class| &*class.0), info.row.role),
        };
        let last = if stood.is_some() { last } else { &*tensor.name };
        let mut storage = divided(tensor, class, role, rules, (ranks, inner), heads.get(parent(&info.path)));
        storage.role = info.row.role.or(storage.role);
        match joined.iter_mut().find(|(name, _)| *name == last) {
            Some((_, known)) => {
                known.bytes = known.bytes.saturating_add(storage.bytes);
                known.padding = known.padding.saturating_add(storage.padding);
                known.is_whole &= storage.is_whole;
            }
            None => joined.push((last, storage)),
        }
    }
    joined.into_iter().map(|(_, storage)| storage).collect()
}

/// What a rank has of a tensor. `inner`: the inner elements of an expert.
fn divided(
    tensor: &Tensor,
    class: Option<&Class>,
    role: Option<Role>,
    rules: &LoadRules,
    (ranks, inner): (&Ranks, u128),
    heads: Option<&Heads>,
) -> Storage {
    let whole = |bytes: u128, padding: u128| Storage { role, bytes, padding, is_whole: true };
    let part = |bytes: u128, padding: u128| Storage { role, bytes, padding, is_whole: false };
    // A table with a row for each token is filled up before it is divided.
    if matches!(role, Some(Role::Embedding | Role::Head)) && tensor.shape.len() == 2 {
        let rows = tensor.shape.first().copied().unwrap_or(1).max(1);
        let row = tensor.bytes / rows;
        // Most often a multiple of that can be divided.
        let multiple = rules.rows_multiple.max(1);
        let multiple = if multiple.is_multiple_of(ranks.tensor) { multiple } else { multiple.saturating_mul(ranks.tensor) };
        let filled = rows.next_multiple_of(multiple).saturating_sub(rows);
        let padding = filled.saturating_mul(row) / ranks.tensor;
        return part((tensor.bytes / ranks.tensor).saturating_add(padding), padding);
    }
    if role == Some(Role::Experts) {
        // Kernels for narrow types want multiples.
        let is_narrow = tensor.element_bytes < Exact::integer(1) && tensor.shape.len() > 2;
        let filled = if is_narrow { filled(&tensor.shape, inner, rules.expert_multiples) } else { Exact::integer(1) };
        let bytes = Exact::from_count(tensor.bytes)
            .and_then(|bytes| bytes.checked_mul(filled)?.ceil()?.to_count())
            .unwrap_or(tensor.bytes);
        let by = if ranks.expert > 1 { ranks.expert } else { ranks.tensor };
        let padding = (bytes - tensor.bytes).div_ceil(by);
        return if by > 1 { part(bytes.div_ceil(by), padding) } else { whole(bytes, padding) };
    }
    let is_divided = class.is_some_and(|class| !class.divided.is_empty()) && role.is_none_or(|role| !rules.whole.contains(&role));
    let is_whole_bias = tensor.shape.len() == 1 && role.is_some_and(|role| rules.whole_biases.contains(&role));
    if !is_divided || is_whole_bias || ranks.tensor == 1 {
        return whole(tensor.bytes, 0);
    }
    let bytes = match (role, heads) {
        // Fewer heads than ranks are copied.
        (Some(Role::KeyProjection | Role::ValueProjection), Some(heads)) => {
            tensor.bytes.div_ceil(ranks.tensor.min(heads.kv.max(1)))
        }
        (Some(Role::QkvProjection), Some(heads)) => {
            let all = heads.query.saturating_mul(heads.query_width).saturating_add(heads.kv.saturating_mul(heads.kv_width));
            let own = heads.query.div_ceil(ranks.tensor).saturating_mul(heads.query_width);
            let own = own.saturating_add(heads.kv.div_ceil(ranks.tensor).saturating_mul(heads.kv_width));
            tensor.bytes.saturating_mul(own).checked_div(all).unwrap_or(tensor.bytes)
        }
        _ => tensor.bytes.div_ceil(ranks.tensor),
    };
    part(bytes, 0)
}
