//! What tensor parallelism leaves on one of several devices: the weights and the cache of each layer, with what its class says is divided.
//!
//! A rank's layer is the same layer with fewer heads or features, each at least 1: a key and value head is whole on a rank, and where there are
//! fewer heads than ranks several hold the same, with the projections that make it. What a class doesn't divide is whole on each.

use std::collections::HashMap;
use std::sync::Arc;

use super::cache::parent;
use super::facts::Facts;
use crate::catalog::{Fact, Role};
use crate::cost::bind::{Arguments, Signature};
use crate::cost::{Tensor, kept};
use crate::evaluation::Evaluation;
use crate::flat::RowId;
use crate::quantity::Quantity;
use crate::syntax::expr::{Exact, Value};

/// What one of several devices holds of a model.
#[derive(Debug, Clone, Default)]
pub struct Split {
    /// How many devices there are.
    pub devices: u64,
    /// Bytes of weights on a device.
    pub weight_bytes: u128,
    /// Of these, what each of the devices holds alike.
    pub copied_weight_bytes: u128,
    /// The classes whose weights are divided, in the order in which they come.
    pub divided: Vec<Arc<str>>,
    /// The classes whose weights are copied.
    pub copied: Vec<Arc<str>>,
    /// Bytes of caches on a device at the peak.
    pub cache_bytes: u128,
    /// Of these, what each of the devices holds alike.
    pub copied_cache_bytes: u128,
    /// On how many devices each of the divided caches' parts is, at most: 2 where 8 devices share 4 heads.
    pub cache_copies: u64,
}

impl Split {
    /// Splits a model over so many devices; `None` beyond 128 bits.
    #[must_use]
    pub fn of(model: &Evaluation, devices: u64) -> Option<Self> {
        let (bound, report) = (&model.bound, &model.report);
        let of_devices = |whole: u128| whole.div_ceil(u128::from(devices.max(1)));
        let rank = |signature: &Signature| kept(&divided(signature, &of_devices)?, &bound.builtins).ok();
        let ranks: Vec<Option<(Vec<Tensor>, u128)>> = bound.signatures.iter().map(rank).collect();
        let heads = kv_heads(model);
        // A projection to keys or values makes the heads that the rank caches.
        let of_heads = |at: usize| {
            let (row, heads) = (bound.rows.get(at)?, *heads.get(&RowId(u32::try_from(at).ok()?))?);
            let signature = bound.signatures.get(row.signature? as usize)?;
            let share = |whole: u128| (whole / heads).saturating_mul(of_devices(heads));
            kept(&divided(signature, &share)?, &bound.builtins).ok()
        };
        let of_heads: HashMap<RowId, (Vec<Tensor>, u128)> =
            heads.keys().filter_map(|row| Some((*row, of_heads(row.0 as usize)?))).collect();
        let rank_of = |at: RowId| match of_heads.get(&at) {
            Some(own) => Some(own),
            None => ranks.get(bound.rows.get(at.0 as usize)?.signature? as usize)?.as_ref(),
        };
        let mut split = Split { devices, cache_copies: 1, ..Split::default() };
        for (at, info) in (0u32..).map(RowId).zip(&model.flat.rows) {
            let tied = report.row(at)?.tied;
            let own = |tensors: &[Tensor]| {
                let mut own = tensors.iter().filter(|tensor| !tied.contains(&tensor.name));
                own.try_fold(0u128, |sum, tensor| sum.checked_add(tensor.bytes))?.checked_mul(info.repeats)
            };
            let whole = own(report.tensors(at))?;
            let held = rank_of(at).map_or(Some(whole), |(tensors, _)| own(tensors))?;
            split.weight_bytes = split.weight_bytes.checked_add(held)?;
            if held == whole {
                split.copied_weight_bytes = split.copied_weight_bytes.checked_add(whole)?;
            }
            let list = if held == whole { &mut split.copied } else { &mut split.divided };
            if whole > 0 && !list.contains(&info.row.class_name) {
                list.push(info.row.class_name.clone());
            }
        }
        for alive in model.alive_at_peak().iter().filter(|alive| alive.persistent) {
            let whole = report.row(alive.row)?.cost.get(Quantity::CacheBytes);
            let part = rank_of(alive.row).map_or(whole, |(_, part)| *part);
            // Storages are in proportion to the tokens that are kept in them.
            let share = if whole == 0 { Exact::ONE } else { Exact::from_count(part)?.checked_div(Exact::from_count(whole)?)? };
            let held = Exact::from_count(alive.bytes)?.checked_mul(share)?.ceil()?.to_count()?.checked_mul(alive.count)?;
            split.cache_bytes = split.cache_bytes.checked_add(held)?;
            if part == whole {
                split.copied_cache_bytes = split.copied_cache_bytes.checked_add(held)?;
            } else {
                let copies = share.checked_mul(Exact::from_count(u128::from(devices))?)?.floor()?.to_count()?;
                split.cache_copies = split.cache_copies.max(u64::try_from(copies).ok()?);
            }
        }
        Some(split)
    }
}

/// The layers that make keys or values, each with how many heads of them: those that stand beside a cache.
fn kv_heads(model: &Evaluation) -> HashMap<RowId, u128> {
    let rows = || (0u32..).map(RowId).zip(&model.flat.rows);
    let cached = rows().filter(|(_, info)| info.row.role == Some(Role::KvCache)).filter_map(|(at, info)| {
        let heads = Facts::of(&model.bound, at.0 as usize)?.count(Fact::KvHeads).filter(|heads| *heads > 0)?;
        Some((parent(&info.path), heads))
    });
    let cached: HashMap<&str, u128> = cached.collect();
    let makes = |role: Option<Role>| matches!(role, Some(Role::KeyProjection | Role::ValueProjection));
    rows()
        .filter(|(_, info)| makes(info.row.role))
        .filter_map(|(at, info)| Some((at, *cached.get(parent(&info.path))?)))
        .collect()
}

/// A layer as one rank has it, of each count that is divided as much as `part` says. `None`: its class divides nothing.
fn divided(signature: &Signature, part_of: &dyn Fn(u128) -> u128) -> Option<Signature> {
    let class = signature.class.as_ref().filter(|class| !class.divided.is_empty() && signature.weights.is_none())?;
    let part = |at: u16, value: &Value| {
        let whole = value.as_number().filter(|_| class.divided.contains(&at)).and_then(|n| n.to_count());
        let part = whole.and_then(|whole| Exact::from_count(part_of(whole)));
        part.map_or_else(|| value.clone(), Value::Number)
    };
    let arguments = signature.arguments.iter().map(|(at, value)| (at, part(at, value))).collect();
    Some(Signature { arguments: Arguments::Bound(arguments), ..signature.clone() })
}
