//! Activation checkpointing: what a block leaves behind in the forward pass, and what is alive while it is computed again.
//!
//! A block is an instance of an outermost repeated composite, a decoder layer. In the forward pass it keeps what it was given and what it read from
//! outside, with selective checkpointing also what its matrix products and fused attention made (torch.utils.checkpoint
//! `create_selective_checkpoint_contexts`). In the backward pass it runs again up to the last layer that saves something (torch 2.15.0
//! torch/utils/checkpoint.py `set_checkpoint_early_stop`).

use super::block::{Checkpointing, Running};
use super::heap::Kept;
use super::machine::Machine;
use super::tape::{Block, Item};
use super::values::Value;
use crate::catalog::{Class, Element, ElementDef, Role, SaveDef};
use crate::cost::ports::{Ports, Save};
use crate::flat::{Node, RowId};
use crate::quantity::Quantity;
use crate::quantity::workload::Kernel;

impl<'f> Machine<'f, '_> {
    /// Whether this walk keeps what a layer makes: all walks do, but those in which blocks are computed again.
    pub(super) fn keeps_own(&self) -> bool {
        self.block.is_none() || self.checkpointing == Checkpointing::None
    }

    /// Whether a storage was made in the block that runs.
    pub(super) fn is_of_block(&self, storage: u32) -> bool {
        self.block.as_ref().is_some_and(|block| self.heap.is_born_since(storage, block.step))
    }

    /// A block begins. Positions and other indices that are alive are handed to it, as transformers does, whether it reads them or not.
    pub(super) fn block_begins(&mut self, node: &'f Node<RowId>) {
        if self.blocks != 0 || !self.training || !matches!(node, Node::Composite(_)) || self.dry > 0 {
            return;
        }
        let around = self.frames.iter().flat_map(|frame| &frame.values).flat_map(|values| &values.own);
        let handed: Vec<u32> = around.filter(|value| value.element == Element::Index).map(|value| value.storage).collect();
        let indices =
            handed.into_iter().map(|storage| self.keep_of_block(storage, self.step + 1)).fold(0u128, u128::saturating_add);
        let from = self.tape.as_ref().map_or(0, |tape| tape.items.len());
        self.block = Some(Running {
            step: self.step + 1,
            live: self.heap.live,
            most: 0,
            reached: 0,
            cached: 0,
            from,
            stop: from,
            indices,
        });
        if self.checkpointing != Checkpointing::None {
            self.flow.saved_bytes = self.flow.saved_bytes.saturating_add(indices);
            if let Some(first) = first_layer(node) {
                self.book(first, indices, 1);
            }
        }
    }

    /// Notes that a block needs a storage that was made before it; the bytes, if none did before.
    fn keep_of_block(&mut self, storage: u32, step: u64) -> u128 {
        let bytes = self.heap.read_by_block(storage, step);
        if bytes > 0 && self.checkpointing != Checkpointing::None {
            return self.heap.keep(storage, Kept::Saved);
        }
        bytes
    }

    /// A layer of a block reads: what was made before the block stays until it has been computed again.
    pub(super) fn block_reads(&mut self, id: RowId, inputs: &[Value]) -> u128 {
        let Some(step) = self.block.as_ref().map(|block| block.step) else { return 0 };
        let bytes = inputs.iter().map(|value| self.keep_of_block(value.storage, step)).fold(0u128, u128::saturating_add);
        if self.checkpointing != Checkpointing::None {
            self.flow.saved_bytes = self.flow.saved_bytes.saturating_add(bytes);
            self.book(id, bytes, 1);
        }
        bytes
    }

    /// A layer of a block runs: how much more than before it is alive then.
    pub(super) fn block_moment(&mut self, id: RowId, ports: &Ports) {
        let is_cached = self.is_cached(id);
        let at = self.tape.as_ref().map_or(0, |tape| tape.items.len());
        let Some(block) = &mut self.block else { return };
        let live = self.heap.live.saturating_sub(block.live);
        // What comes out of the cache isn't made again.
        let own = if is_cached && self.selects { 0 } else { ports.workspace };
        let here = live.saturating_add(own).saturating_sub(if self.selects { block.cached } else { 0 });
        let makes = ports.saves.iter().flatten().any(|save| matches!(save, Save::Own(..) | Save::Output(..)));
        let saves = ports.saves.as_ref().is_some_and(|saves| !saves.is_empty());
        if saves {
            let before = live.saturating_sub(if self.selects { block.cached } else { 0 });
            block.stop = if makes { at + 1 } else { at };
            block.most = block.most.max(block.reached).max(if makes { here } else { before });
        }
        block.reached = block.reached.max(here);
    }

    /// Whether selective checkpointing keeps what a layer makes.
    pub(super) fn is_cached(&self, id: RowId) -> bool {
        self.report.row(id).is_some_and(|row| row.cost.get(Quantity::MatmulFlops) > 0)
    }

    /// A layer of a block has run: what selective checkpointing keeps of it.
    pub(super) fn block_keeps(&mut self, id: RowId, class: &Class, ports: &Ports, outputs: &[Value], calls: u128) {
        if self.block.is_none() || !self.selects || !self.is_cached(id) {
            return;
        }
        // Fused attention gives a sum in float32 for each query besides.
        let is_fused = self.bound.workload.kernel == Kernel::Flash && class.role == Some(Role::Attention);
        let is_wide = |at: usize| {
            let def = class.saves.as_ref().and_then(|saves| saves.get(at));
            matches!(def, Some(SaveDef::Tensor(value)) if matches!(value.element, ElementDef::Fixed(Element::Float32)))
        };
        let own = |save: &Save| if let Save::Own(at, bytes, _) = save { if is_wide(*at) { *bytes } else { 0 } } else { 0 };
        let more = ports.saves.iter().flatten().map(own).fold(0u128, u128::saturating_add).saturating_mul(calls);
        let more = if is_fused { more } else { 0 };
        let mut bytes = more;
        for value in outputs.iter().filter(|value| value.exists) {
            if self.checkpointing == Checkpointing::None {
                bytes = bytes.saturating_add(self.heap.read_by_block(value.storage, u64::MAX));
            } else {
                bytes = bytes.saturating_add(self.heap.keep(value.storage, Kept::Saved));
            }
        }
        if self.checkpointing == Checkpointing::None {
            if let Some(block) = &mut self.block {
                block.cached = block.cached.saturating_add(bytes);
            }
            if let Some(tape) = &mut self.tape {
                tape.caches(bytes);
            }
            return;
        }
        if more > 0 {
            let storage = self.heap.store(more, 1, self.step, id, u16::MAX);
            self.heap.keep(storage, Kept::Saved);
            self.heap.release(storage);
        }
        self.flow.saved_bytes = self.flow.saved_bytes.saturating_add(bytes);
        self.book(id, bytes, 1);
    }

    /// A block has run.
    pub(super) fn block_ends(&mut self, node: &Node<RowId>) {
        if self.blocks != 0 {
            return;
        }
        let Some(block) = self.block.take() else { return };
        let Some(tape) = &mut self.tape else { return };
        let Running { step, from, stop, indices, most: extra, .. } = block;
        tape.items.push(Item::Block(Block { from, stop, indices, extra, first: first_layer(node), step }));
    }
}

/// The first layer of a node.
pub(super) fn first_layer(node: &Node<RowId>) -> Option<RowId> {
    match node {
        Node::Layer(id) => Some(*id),
        Node::Composite(composite) => composite.body.iter().find_map(first_layer),
        Node::Repeat(repeat) => repeat.instances().find_map(first_layer),
    }
}
