//! Which tensors an engine leaves to the processor.

use std::sync::Arc;

use regex_lite::Regex;

use crate::catalog::PlaceRules;

/// Tensors that are to be somewhere else than by themselves.
#[derive(Debug, Clone)]
pub struct Moved {
    /// What finds their names.
    pub pattern: Regex,
    /// Whether they are on the device, else with the processor.
    pub on_device: bool,
}

/// Where tensors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Placed {
    /// Bytes on the device.
    pub device: u128,
    /// Bytes with the processor.
    pub host: u128,
    /// Of them, what is on the device too.
    pub copied: u128,
    /// Layers on the device.
    pub layers_on_device: u128,
    /// All layers.
    pub layers: u128,
}

impl Placed {
    /// Where the tensors of a file are. `None` beyond 128 bits.
    pub fn of(tensors: &[(Arc<str>, u128)], rules: &PlaceRules, on_device: u128, moved: &[Moved]) -> Option<Self> {
        let layer = |name: &str| {
            let rest = name.strip_prefix(&*rules.layer)?;
            rest.split('.').next()?.parse::<u128>().ok()
        };
        let layers = tensors.iter().filter_map(|(name, _)| layer(name)).max().map_or(0, |last| last + 1);
        let mut placed = Placed { layers, layers_on_device: on_device.min(layers), ..Placed::default() };
        let has_head = rules.head.as_ref().is_none_or(|head| tensors.iter().any(|(name, _)| name == head));
        for (name, bytes) in tensors {
            let is_host = rules.host.iter().any(|host| name.starts_with(&**host));
            let by_itself = match layer(name) {
                Some(layer) => layer >= layers.saturating_sub(on_device),
                None => !is_host && on_device > layers,
            };
            let asked = moved.iter().find(|moved| moved.pattern.is_match(name)).map(|moved| moved.on_device);
            if asked.unwrap_or(by_itself) {
                placed.device = placed.device.checked_add(*bytes)?;
            } else {
                placed.host = placed.host.checked_add(*bytes)?;
                // A head that is the embedding is needed on the device as well.
                if is_host && !has_head && on_device > layers {
                    placed.copied = placed.copied.checked_add(*bytes)?;
                    placed.device = placed.device.checked_add(*bytes)?;
                }
            }
        }
        Some(placed)
    }
}
