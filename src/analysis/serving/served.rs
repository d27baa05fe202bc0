//! What serving asks of a model: how wide it is, what a layer keeps of a token.

use std::collections::HashMap;

use crate::analysis::cache::parent;
use crate::analysis::facts::Facts;
use crate::catalog::{Fact, Role};
use crate::evaluation::Evaluation;
use crate::flat::RowId;

/// What serving asks of a model.
#[derive(Debug, Clone, Default)]
pub struct Served {
    /// Elements of a token between the layers.
    pub hidden: u128,
    /// Inner elements of a token in its MLP, of all experts that it is sent to together; the most.
    pub intermediate: u128,
    /// Logits of a token.
    pub vocabulary: u128,
    /// Query heads of a layer, the most.
    pub query_heads: u128,
    /// Experts of a layer, the most; 0: none.
    pub experts: u128,
    /// Positions that the model says it has; 0: it doesn't say.
    pub positions: u128,
    /// Elements of the angles of a position, over all tables.
    pub rotary: u128,
    /// What layers keep, by kind.
    pub kept: Vec<Kept>,
}

/// What layers of a kind keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Of which tokens, or what instead.
    pub reach: Reach,
    /// How many layers.
    pub layers: u128,
    /// Key and value heads.
    pub kv_heads: u128,
    /// Elements of a token's key and value in one head.
    pub width: u128,
    /// Whether there are keys alone, by which others are picked.
    pub keys_alone: bool,
}

/// How far back a layer keeps what it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// All tokens.
    All,
    /// The last ones: so many.
    Window(u128),
    /// Those of its own chunk: so many.
    Chunk(u128),
    /// A state, and what a convolution has seen.
    State {
        /// Channels of the convolution.
        channels: u128,
        /// Inputs that each of them sees.
        kernel: u128,
        /// Elements of the state.
        elements: u128,
    },
}

impl Served {
    /// What serving asks of this one.
    #[must_use]
    pub fn of(model: &Evaluation) -> Self {
        let mut served =
            Served { positions: model.flat.positions.map_or(0, |(positions, _)| u128::from(positions)), ..Served::default() };
        let chunks = chunks(model);
        // A convolution and the state behind it stand beside each other.
        let mut states: Vec<(&str, u128, [u128; 3])> = Vec::new();
        let mut rows = 0u128;
        for (at, info) in model.flat.rows.iter().enumerate() {
            let Some(role) = info.row.role else { continue };
            let facts = Facts::of(&model.bound, at);
            let fact = |fact: Fact| facts.as_ref().and_then(|facts| facts.count(fact));
            let last_dim = || {
                let tensors = u32::try_from(at).map(|at| model.report.tensors(RowId(at))).unwrap_or_default();
                tensors
                    .iter()
                    .find(|tensor| tensor.shape.len() == 2)
                    .map(|tensor| (tensor.shape.first().copied(), tensor.shape.last().copied()))
            };
            match role {
                Role::Embedding => {
                    if let (Some((_, Some(width))), Some(own)) = (last_dim(), fact(Fact::Rows))
                        && own > rows
                    {
                        (rows, served.hidden) = (own, width);
                    }
                }
                Role::Head => served.vocabulary = last_dim().and_then(|(out, _)| out).unwrap_or_default().max(served.vocabulary),
                Role::DownProjection => {
                    let inner = last_dim().and_then(|(_, inner)| inner).unwrap_or_default();
                    served.intermediate = served.intermediate.max(inner);
                }
                Role::Experts => {
                    let inner = fact(Fact::Intermediate).unwrap_or_default();
                    let all = inner.saturating_mul(fact(Fact::ExpertsPerToken).unwrap_or(1));
                    served.intermediate = served.intermediate.max(all);
                    served.experts = served.experts.max(fact(Fact::Experts).unwrap_or_default());
                }
                Role::Attention => served.query_heads = served.query_heads.max(fact(Fact::QueryHeads).unwrap_or_default()),
                Role::RotaryPositions => served.rotary = served.rotary.saturating_add(fact(Fact::RotaryDim).unwrap_or_default()),
                Role::KvCache => {
                    let (Some(kv_heads), Some(head_dim)) = (fact(Fact::KvHeads), fact(Fact::HeadDim)) else { continue };
                    let values = fact(Fact::ValueHeadDim).unwrap_or_default();
                    let (width, keys_alone) = (head_dim.saturating_add(values), values == 0);
                    let chunk = chunks.get(parent(&info.path)).copied();
                    let reach = chunk.map(Reach::Chunk).or_else(|| fact(Fact::Window).map(Reach::Window)).unwrap_or(Reach::All);
                    served.keeps(Kept { reach, layers: info.repeats, kv_heads, width, keys_alone });
                }
                Role::RecurrentState => {
                    let own = [Fact::ConvChannels, Fact::ConvKernel, Fact::StateElements]
                        .map(|wanted| fact(wanted).unwrap_or_default());
                    match states.iter_mut().find(|(place, ..)| *place == parent(&info.path)) {
                        Some((_, _, known)) => known.iter_mut().zip(own).for_each(|(known, own)| *known = (*known).max(own)),
                        None => states.push((parent(&info.path), info.repeats, own)),
                    }
                }
                _ => {}
            }
        }
        for (_, layers, [channels, kernel, elements]) in states {
            served.keeps(Kept {
                reach: Reach::State { channels, kernel, elements },
                layers,
                kv_heads: 1,
                width: 0,
                keys_alone: false,
            });
        }
        if served.vocabulary == 0 {
            served.vocabulary = rows;
        }
        served
    }

    fn keeps(&mut self, kept: Kept) {
        match self.kept.iter_mut().find(|known| Kept { layers: kept.layers, ..**known } == kept) {
            Some(known) => known.layers = known.layers.saturating_add(kept.layers),
            None => self.kept.push(kept),
        }
    }

    /// Layers that keep something.
    #[must_use]
    pub fn layers(&self) -> u128 {
        self.kept.iter().fold(0, |sum, kept| sum.saturating_add(kept.layers))
    }

    /// The largest kernel of a convolution.
    #[must_use]
    pub fn conv_kernel(&self) -> u128 {
        let kernels = self.kept.iter().map(|kept| if let Reach::State { kernel, .. } = kept.reach { kernel } else { 0 });
        kernels.max().unwrap_or_default()
    }
}

/// Chunks of attention, by the composite in which it is: the cache there keeps that chunk alone.
fn chunks(model: &Evaluation) -> HashMap<&str, u128> {
    let attention = model.flat.rows.iter().enumerate().filter(|(_, info)| info.row.role == Some(Role::Attention));
    let chunk = attention.filter_map(|(at, info)| Some((parent(&info.path), Facts::of(&model.bound, at)?.count(Fact::Chunk)?)));
    chunk.collect()
}
