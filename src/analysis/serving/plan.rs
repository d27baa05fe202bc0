//! What an engine makes of a device for a model.

use std::sync::Arc;

use super::load::Loaded;
use super::place::Placed;
use super::pool::{Pool, Room};
use super::ranks::Ranks;
use crate::catalog::{Certainty, Layout};
use crate::syntax::expr::{Exact, Value};

/// A figure with what it is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// The least.
    pub low: u128,
    /// As it usually is.
    pub usual: u128,
    /// The most.
    pub high: u128,
    /// How far it can be trusted.
    pub certainty: Certainty,
}

/// What an engine takes beside weights and cache.
#[derive(Debug, Clone)]
pub struct Taken {
    /// What it is.
    pub name: Arc<str>,
    /// Bytes.
    pub figure: Figure,
    /// What of it decides, where it is the largest of several.
    pub decides: Option<Arc<str>>,
    /// What its band rests on.
    pub doc: Arc<str>,
}

/// An option as it is.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// As it is typed.
    pub typed: Arc<str>,
    /// Its value.
    pub value: Value,
    /// Whether it was given; else it is the engine's default.
    pub is_given: bool,
}

/// What an engine makes of a device for a model.
#[derive(Debug, Clone)]
pub struct ServingPlan {
    /// Its options.
    pub options: Vec<Chosen>,
    /// Bytes that the device says it has.
    pub device_bytes: u128,
    /// Whether that was read off such a device.
    pub device_certainty: Certainty,
    /// Bytes that the engine may take of it.
    pub may_take: u128,
    /// Weights on the fullest rank.
    pub loaded: Loaded,
    /// What of them is left to the processor; `None`: the engine has them all on the device.
    pub placed: Option<Placed>,
    /// What it takes beside weights and cache.
    pub beside: Vec<Taken>,
    /// The cache's shape.
    pub pool: Pool,
    /// Bytes for the cache: at the most that is taken beside it, as usual, at the least.
    pub available: [u128; 3],
    /// Bytes that are missing before any cache, as usual.
    pub missing: u128,
    /// What finds room in each.
    pub room: [Option<Room>; 3],
    /// Tokens of a request at most.
    pub length: u64,
    /// Requests at once that were asked for.
    pub concurrency: u64,
    /// How the model is divided.
    pub ranks: Ranks,
    /// Whether requests share blocks.
    pub layout: Layout,
}

impl ServingPlan {
    /// Bytes that all requests of the longest length need.
    #[must_use]
    pub fn needed(&self) -> u128 {
        self.pool.of_request.saturating_mul(u128::from(self.concurrency))
    }

    /// Whether all requests find room, as usual.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.fits_in(1)
    }

    /// Whether they do at the most that is taken beside, and at the least.
    #[must_use]
    pub fn surely(&self) -> [bool; 2] {
        [self.fits_in(0), self.fits_in(2)]
    }

    fn fits_in(&self, at: usize) -> bool {
        let Some(available) = self.available.get(at) else { return false };
        if self.pool.groups.is_empty() {
            return self.missing == 0;
        }
        let room = self.room.get(at).copied().flatten();
        *available > 0 && room.is_some_and(|room| room.concurrency >= Exact::integer(i128::from(self.concurrency)))
    }

    /// Bytes that are left, as usual.
    ///
    /// # Errors
    /// Bytes that are missing.
    pub fn left(&self) -> Result<u128, u128> {
        let available = self.available.get(1).copied().unwrap_or_default();
        match self.missing {
            0 => available.checked_sub(self.needed()).ok_or_else(|| self.needed() - available),
            missing => Err(missing.saturating_add(self.needed())),
        }
    }
}
