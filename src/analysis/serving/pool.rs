//! The cache as an engine keeps it: blocks that requests share, by groups of layers, or cells for each request.

use super::ranks::Ranks;
use super::served::{Kept, Reach, Served};
use crate::catalog::{CacheRules, Layout, Reported, ServingFormula, in_version};
use crate::syntax::expr::{Exact, Value};

/// What layers of a kind take in the cache of a rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// How far back they keep what they have seen.
    pub reach: Reach,
    /// How many layers, on the fullest stage.
    pub layers: u128,
    /// Bytes of a token in one of them, or of a state.
    pub bytes: u128,
    /// Tokens of a block; 1: a state.
    pub block: u128,
    /// In how many groups of equal size they are.
    pub groups: u128,
    /// Blocks, or cells, of one request of the longest length, in one group.
    pub of_request: u128,
}

/// The cache of a rank.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    /// By kind of layer.
    pub groups: Vec<Group>,
    /// Bytes of a block in one layer: that of the largest kind, to which the others are filled up.
    pub page: u128,
    /// Layers of a group.
    pub depth: u128,
    /// Bytes of one request of the longest length.
    pub of_request: u128,
    /// Bytes of one request that are left to the processor, with the layers that are.
    pub of_request_on_host: u128,
    /// Whether a block of tokens was lengthened to hold a state.
    pub is_lengthened: bool,
    /// Part of a state's page that is filled up, in hundredths of a per cent.
    pub state_padding: Option<Exact>,
}

/// What finds room in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Blocks of all groups.
    pub blocks: u128,
    /// As the log reports them.
    pub tokens: u128,
    /// Requests of the longest length at once.
    pub concurrency: Exact,
}

/// Of names in formulas, their values.
type Of<'v> = &'v dyn Fn(&str) -> Option<Value>;

impl Pool {
    /// That of a model under rules. `None`: a formula has no value, or a size is beyond 128 bits.
    pub fn of(served: &Served, rules: &CacheRules, ranks: &Ranks, length: u128, of: Of<'_>) -> Option<Self> {
        let mut pool = Pool::default();
        let kv_bytes = of("kv_dtype_bytes")?.as_number()?;
        let extra = rules.token_extra.as_ref().map_or(Some(0), |formula| formula.count(of))?;
        for kept in &served.kept {
            let bytes = match kept.reach {
                Reach::State { channels, elements, .. } => state_bytes(rules, ranks, channels, elements, of)?,
                _ if let Some(formula) = own_formula(rules, kept, served) => {
                    let width = Exact::from_count(kept.width.checked_mul(kept.kv_heads)?)?;
                    formula.count(&|name: &str| if name == "width" { Some(Value::Number(width)) } else { of(name) })?
                }
                _ => {
                    // Fewer heads than ranks are copied.
                    let elements = kept.kv_heads.div_ceil(ranks.tensor).checked_mul(kept.width)?;
                    let bytes = Exact::from_count(elements)?.checked_mul(kv_bytes)?.ceil()?.to_count()?;
                    bytes.checked_add(extra.checked_mul(kept.kv_heads.div_ceil(ranks.tensor))?)?
                }
            };
            let layers = ranks.of_stage(kept.layers, served.layers());
            pool.groups.push(Group { reach: kept.reach, layers, bytes, block: 1, groups: 1, of_request: 0 });
        }
        match rules.layout {
            Layout::Blocks => pool.blocks(rules, length, of)?,
            Layout::Cells => pool.cells(rules, length, of)?,
        }
        Some(pool)
    }

    /// Layers of several kinds share one pool: their pages are made equally large, and they are put in groups of as many layers.
    fn blocks(&mut self, rules: &CacheRules, length: u128, of: Of<'_>) -> Option<()> {
        if self.groups.is_empty() {
            return Some(());
        }
        let asked = rules.block.count(of)?.max(1);
        let is_state = |group: &Group| matches!(group.reach, Reach::State { .. });
        let state = self.groups.iter().filter(|group| is_state(group)).map(|group| group.bytes).max();
        let mut block = asked;
        if let (Some(state), Some(token)) = (state, self.groups.iter().filter(|g| !is_state(g)).map(|g| g.bytes).max()) {
            // A block has to hold a state.
            let least = state.div_ceil(token.checked_mul(asked)?.max(1)).checked_mul(asked)?;
            self.is_lengthened = least > block;
            block = block.max(least);
        }
        self.groups.iter_mut().filter(|group| !is_state(group)).for_each(|group| group.block = block);
        self.page = self.groups.iter().filter_map(|group| group.bytes.checked_mul(group.block)).max()?;
        if let Some(state) = state.filter(|state| *state > 0) {
            let padded = Exact::from_count(self.page)?.checked_div(Exact::from_count(state)?)?;
            self.state_padding = Some(padded.checked_sub(Exact::integer(1))?);
        }
        for group in self.groups.iter_mut().filter(|group| !is_state(group) && group.bytes > 0) {
            // A smaller page takes more tokens, where whole ones fill it.
            let own = group.bytes.checked_mul(group.block)?;
            if own < self.page && self.page.is_multiple_of(own) {
                group.block = group.block.checked_mul(self.page / own)?;
            }
        }
        let fewest = self.groups.iter().map(|group| group.layers).min()?.max(1);
        let most = self.groups.iter().map(|group| group.layers).max()?;
        let limit = rules.group_ratio.and_then(|ratio| ratio.checked_mul(Exact::from_count(fewest)?));
        self.depth =
            if limit.is_some_and(|limit| Exact::from_count(most).is_some_and(|most| most < limit)) { most } else { fewest };
        let in_flight = rules.in_flight.count(of)?;
        let states = rules.states.as_ref().map_or(Some(1), |formula| formula.count(of))?;
        let mut needed = 0u128;
        for group in &mut self.groups {
            group.groups = group.layers.div_ceil(self.depth);
            let within = |tokens: u128| tokens.saturating_add(in_flight).min(length).div_ceil(group.block).saturating_add(1);
            group.of_request = match group.reach {
                Reach::All => length.div_ceil(group.block),
                Reach::Window(tokens) => within(tokens.saturating_sub(1)),
                Reach::Chunk(tokens) => within(tokens),
                Reach::State { .. } => states,
            };
            needed = needed.checked_add(group.of_request.checked_mul(group.groups)?)?;
        }
        self.of_request = needed.checked_mul(self.page)?.checked_mul(self.depth)?;
        Some(())
    }

    /// Each request has as many cells as it may have tokens, or its window.
    fn cells(&mut self, rules: &CacheRules, length: u128, of: Of<'_>) -> Option<()> {
        let multiple = rules.block.count(of)?.max(1);
        let in_flight = rules.in_flight.count(of)?;
        let states = rules.states.as_ref().map_or(Some(1), |formula| formula.count(of))?;
        for group in &mut self.groups {
            let all = length.next_multiple_of(multiple);
            let within = |tokens: u128| tokens.saturating_add(in_flight).next_multiple_of(multiple).min(all);
            group.of_request = match group.reach {
                Reach::All => all,
                Reach::Window(tokens) | Reach::Chunk(tokens) => within(tokens),
                Reach::State { .. } => states,
            };
            let bytes = group.of_request.checked_mul(group.bytes)?.checked_mul(group.layers)?;
            self.of_request = self.of_request.checked_add(bytes)?;
        }
        Some(())
    }

    /// Leaves what layers keep to the processor that are there: of each kind as large a part as of all.
    pub(super) fn leave(&mut self, on_device: u128, layers: u128) {
        let all = self.of_request;
        self.of_request = all.saturating_mul(on_device).checked_div(layers).unwrap_or(all);
        self.of_request_on_host = all - self.of_request;
    }

    /// Blocks that requests of a length take together, in all groups.
    fn blocks_of_request(&self) -> u128 {
        self.groups.iter().fold(0u128, |sum, group| sum.saturating_add(group.of_request.saturating_mul(group.groups)))
    }

    /// What finds room in so many bytes. `None`: the model keeps nothing.
    pub fn room(&self, bytes: u128, rules: &CacheRules, version: Option<&str>, length: u128) -> Option<Room> {
        if rules.layout == Layout::Cells {
            let concurrency = Exact::from_count(bytes)?.checked_div(Exact::from_count(self.of_request)?)?;
            let tokens = concurrency.checked_mul(Exact::from_count(length)?)?.floor()?.to_count()?;
            return Some(Room { blocks: 0, tokens, concurrency });
        }
        let blocks = bytes.checked_div(self.page)?.checked_div(self.depth)?;
        let concurrency = Exact::from_count(blocks)?.checked_div(Exact::from_count(self.blocks_of_request())?)?;
        let groups = self.groups.iter().fold(0u128, |sum, group| sum.saturating_add(group.groups));
        let tokens = match (self.groups.as_slice(), in_version(&rules.reported, version)) {
            ([only], _) if only.groups == 1 => blocks.checked_mul(only.block)?,
            (_, Some(Reported::Requests)) => concurrency.checked_mul(Exact::from_count(length)?)?.floor()?.to_count()?,
            (several, _) => {
                blocks.checked_div(groups)?.checked_mul(several.iter().map(|group| group.block).filter(|b| *b > 1).min()?)?
            }
        };
        Some(Room { blocks, tokens, concurrency })
    }
}

/// What says how many bytes a token of a kind of layers takes, where that isn't what its dtype makes of its elements.
fn own_formula<'r>(rules: &'r CacheRules, kept: &Kept, served: &Served) -> Option<&'r ServingFormula> {
    let has_index = || served.kept.iter().any(|kept| kept.keys_alone);
    match kept.keys_alone {
        true => rules.keys_alone.as_ref(),
        false if kept.kv_heads == 1 && has_index() => rules.indexed_latents.as_ref(),
        false => None,
    }
}

/// What a layer keeps instead of tokens.
fn state_bytes(rules: &CacheRules, ranks: &Ranks, channels: u128, elements: u128, of: Of<'_>) -> Option<u128> {
    let part = |formula: &Option<ServingFormula>| formula.as_ref().and_then(|f| f.value(of).ok()?.as_number());
    let tokens = part(&rules.convolution_tokens).unwrap_or(Exact::ZERO);
    let conv = Exact::from_count(channels.div_ceil(ranks.tensor))?.checked_mul(tokens)?;
    let conv = conv.checked_mul(part(&rules.convolution_bytes).unwrap_or(Exact::integer(2)))?.ceil()?.to_count()?;
    let state = Exact::from_count(elements.div_ceil(ranks.tensor))?;
    let state = state.checked_mul(part(&rules.state_bytes).unwrap_or(Exact::integer(4)))?.ceil()?.to_count()?;
    conv.checked_add(state)
}
