//! The cache that a model keeps between steps: which kind of attention makes it, how large it is at which length.

use std::collections::HashMap;

use super::facts::Facts;
use crate::catalog::{Fact, Role};
use crate::cost::bind::BoundModel;
use crate::cost::workload::Workload;
use crate::evaluation::{Evaluation, costs};
use crate::flat::FlatModel;
use crate::lower::Execution;
use crate::program::{Program, Regime, symbolic};
use crate::quantity::workload::{Cache, LENGTHS as LENGTHS_BY_NAME, Phase};
use crate::quantity::{Quantity, Total};
use crate::syntax::diag::Diagnostics;
use crate::syntax::expr::Exact;

/// The lengths that a report shows.
pub const LENGTHS: &[u64] = &[512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131_072];

/// A length at which every window is full, and a multiple of every usual number of tokens that are cached as one.
const FAR: u64 = 1 << 30;

/// A model's cache.
#[derive(Debug, Clone, Default)]
pub struct CacheReport {
    /// Rows that keep something, with the bytes of all their instances at the workload.
    pub rows: Vec<CacheRow>,
    /// How it grows with a sequence; `None`: the model has no answer at one or two tokens.
    pub growth: Option<CacheGrowth>,
    /// Bytes at these lengths, at the workload's batch size.
    pub at: Vec<(u64, u128)>,
    /// Why the lengths end before those that a report shows: what is wrong with the model at the next.
    pub ends: Option<String>,
    /// Attention by its heads and reach.
    pub attention: Vec<AttentionKind>,
    /// What as many key and value heads as query heads and no window would keep at the workload; 0 without attention.
    pub mha_bytes: u128,
    /// What is kept at the workload.
    pub bytes: u128,
}

/// How the cache of one sequence grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheGrowth {
    /// Bytes that one more token adds once all windows are full: not an integer where every few tokens make one entry.
    pub bytes_per_token: Exact,
    /// Bytes that one more token adds before any window is full.
    pub at_first: u128,
    /// Bytes that don't grow.
    pub constant_bytes: u128,
}

/// What one row keeps in its cache.
#[derive(Debug, Clone)]
pub struct CacheRow {
    /// Its path, repeats folded.
    pub path: String,
    /// How many layers it stands for.
    pub layers: u128,
    /// Bytes of all of them after the step.
    pub bytes: u128,
}

/// Layers whose attention is of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttentionKind {
    /// How many there are.
    pub layers: u128,
    /// Query heads.
    pub num_heads: u128,
    /// Key and value heads.
    pub num_kv_heads: u128,
    /// Tokens that a query sees at most; `None`: there is no window.
    pub window: Option<u128>,
    /// Tokens of a chunk, where queries see their own chunk's only.
    pub chunk: Option<u128>,
    /// Elements a token of the latent that is cached, where that is fewer than those of the keys and values.
    pub latent: Option<u128>,
}

impl AttentionKind {
    /// `MHA`, `GQA 4:1`, `MQA`, `MLA`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.num_kv_heads {
            _ if self.latent.is_some() => "MLA".to_owned(),
            n if n == self.num_heads => "MHA".to_owned(),
            1 => "MQA".to_owned(),
            n if self.num_heads.is_multiple_of(n) => format!("GQA {}:1", self.num_heads / n),
            n => format!("{}:{n} heads", self.num_heads),
        }
    }
}

/// Looks at a model's cache.
#[must_use]
pub fn cache(model: &Evaluation) -> CacheReport {
    let (flat, bound, report) = (&model.flat, &model.bound, &model.report);
    // Lengths that were set by name are those of the workload, not of the lengths that are looked at here.
    let settings = model.asked.settings.iter().filter(|(name, _)| !LENGTHS_BY_NAME.contains(&&**name)).cloned();
    let asked = Workload { settings: settings.collect(), ..model.asked.clone() };
    // Without a layer that keeps anything there is nothing to ask at other lengths.
    let keeps = flat.signatures.iter().filter_map(|id| flat.row(*id)?.row.class.as_ref()).any(|class| class.0.cache.is_some());
    let decode = Workload { phase: Some(Phase::Decode), ..asked };
    let execution = Execution { cache: Cache::On, ..model.execution };
    let program = keeps.then(|| symbolic(flat, execution, &decode, &Regime::default()).ok()).flatten();
    let program = program.and_then(|mut symbolic| Program::only(&mut symbolic, &[Total::Of(Quantity::CacheBytes)]));
    let at = |length: u64, batch: u64| {
        if !keeps {
            return Ok(0);
        }
        let workload = Workload { batch_size: Some(batch), seq_len: Some(1), past_len: Some(length - 1), ..decode.clone() };
        if let Some(bytes) = program.as_ref().and_then(|program| at_length(program, bound, length, batch)) {
            return Ok(bytes);
        }
        let mut said = Diagnostics::default();
        let costs = costs(flat, execution, &workload, &mut said);
        match said.first_error() {
            Some(error) => Err(error.message.clone()),
            None => Ok(costs.report.totals.get(Quantity::CacheBytes)),
        }
    };
    let growth = || {
        let (one, two) = (at(1, 1).ok()?, at(2, 1).ok()?);
        let at_first = two.saturating_sub(one);
        // A model that has no answer so far away ends before: what its first tokens add is what each does.
        let far = at(FAR, 1).ok().zip(at(2 * FAR, 1).ok());
        let bytes_per_token = match far {
            Some((near, far)) => Exact::from_count(far.saturating_sub(near))?.checked_div(Exact::from_count(u128::from(FAR))?)?,
            None => Exact::from_count(at_first)?,
        };
        Some(CacheGrowth { bytes_per_token, at_first, constant_bytes: one.saturating_sub(at_first) })
    };
    let rows = flat.rows.iter().zip(report.rows()).filter_map(|(info, row)| {
        let bytes = row.of(Quantity::CacheBytes);
        (bytes > 0).then(|| CacheRow { path: info.path.to_string(), layers: info.repeats, bytes })
    });
    let (attention, mha_bytes) = attention(flat, bound);
    let lengths: Vec<(u64, Result<u128, String>)> =
        LENGTHS.iter().map(|length| (*length, at(*length, bound.workload.batch_size))).collect();
    let ends = lengths.iter().find_map(|(_, found)| found.as_ref().err().cloned());
    CacheReport {
        rows: rows.collect(),
        growth: growth(),
        at: lengths.into_iter().filter_map(|(length, found)| Some((length, found.ok()?))).collect(),
        ends,
        attention,
        mha_bytes,
        bytes: report.totals.get(Quantity::CacheBytes),
    }
}

/// The cache of a step that comes to a length. `None`: the interpreter is to be asked.
fn at_length(program: &Program, bound: &BoundModel, length: u64, batch: u64) -> Option<u128> {
    let point = program.point(|name| match name {
        "batch_size" => Some(batch),
        "seq_len" => Some(1),
        "past_len" => length.checked_sub(1),
        name => bound.workload.count(name),
    })?;
    let (mut room, mut out) = (program.room(), Vec::new());
    if program.at(&point, &mut room, &mut out) { out.first().copied() } else { None }
}

/// The path of the composite around a layer.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(parent, _)| parent)
}

/// How many elements of a token are cached, by the composite in which that happens.
fn cached_elements<'f>(flat: &'f FlatModel, bound: &BoundModel) -> HashMap<&'f str, u128> {
    let caches = flat.rows.iter().enumerate().filter(|(_, info)| info.row.role == Some(Role::KvCache));
    let elements = caches.filter_map(|(at, info)| {
        let facts = Facts::of(bound, at)?;
        let width = facts.count(Fact::HeadDim)?.saturating_add(facts.count(Fact::ValueHeadDim)?);
        Some((parent(&info.path), facts.count(Fact::KvHeads)?.saturating_mul(width)))
    });
    elements.collect()
}

/// What attention says of its heads.
struct Heads {
    query: u128,
    kv: u128,
    /// Channels of a key head and a value head together.
    width: u128,
}

impl Heads {
    /// `None`: the class doesn't say all of it.
    fn of(facts: &Facts<'_>) -> Option<Self> {
        let width = facts.count(Fact::HeadDim)?.saturating_add(facts.count(Fact::ValueHeadDim)?);
        Some(Heads { query: facts.count(Fact::QueryHeads)?, kv: facts.count(Fact::KvHeads)?, width })
    }
}

/// The kinds of attention, by what layers say of their heads, and what MHA would keep in their place.
fn attention(flat: &FlatModel, bound: &BoundModel) -> (Vec<AttentionKind>, u128) {
    let mut kinds: Vec<AttentionKind> = Vec::new();
    let mut mha = 0u128;
    let cached = cached_elements(flat, bound);
    for (at, (info, row)) in flat.rows.iter().zip(bound.rows.iter()).enumerate() {
        if row.calls == 0 || info.row.role != Some(Role::Attention) {
            continue;
        }
        let Some(facts) = Facts::of(bound, at) else { continue };
        let Some(heads) = Heads::of(&facts) else { continue };
        mha = mha.saturating_add(mha_bytes(bound, &heads, info.repeats));
        let latent = cached.get(parent(&info.path)).copied().filter(|kept| *kept < heads.kv.saturating_mul(heads.width));
        let kind = AttentionKind {
            layers: info.repeats,
            num_heads: heads.query,
            num_kv_heads: heads.kv,
            window: facts.count(Fact::Window),
            chunk: facts.count(Fact::Chunk),
            latent,
        };
        match kinds.iter_mut().find(|k| AttentionKind { layers: kind.layers, ..**k } == kind) {
            Some(known) => known.layers = known.layers.saturating_add(kind.layers),
            None => kinds.push(kind),
        }
    }
    (kinds, mha)
}

/// What so many layers would keep at the workload with a key and a value head for each query head.
fn mha_bytes(bound: &BoundModel, heads: &Heads, layers: u128) -> u128 {
    let elements = [u128::from(bound.workload.batch_size), bound.workload.kv_len(), heads.query, heads.width, layers];
    let elements = elements.into_iter().fold(1u128, u128::saturating_mul);
    let bytes = Exact::from_count(elements).and_then(|n| n.checked_mul(bound.workload.kv_dtype.bytes())?.ceil()?.to_count());
    bytes.unwrap_or(u128::MAX)
}
