//! Activation checkpointing: what a block leaves behind in the forward pass, and what is alive while it is computed again.
//!
//! A block is an instance of an outermost repeated composite, a decoder layer. In the forward pass it keeps what it was given and what it read from
//! outside, with selective checkpointing also what its matrix products and fused attention made (torch.utils.checkpoint
//! `create_selective_checkpoint_contexts`). In the backward pass it runs again up to the last layer that saves something (torch 2.15.0
//! torch/utils/checkpoint.py `set_checkpoint_early_stop`).

use super::block::{Checkpointing, Running};
use super::bytes::{Bytes, Slot, Tally};
use super::heap::Kept;
use super::machine::Machine;
use super::tape::{Block, Item};
use super::values::Value;
use crate::catalog::{Class, Element, ElementDef, Role, SaveDef};
use crate::cost::ports::{Ports, Save};
use crate::flat::{Node, RowId};
use crate::quantity::Quantity;
use crate::quantity::workload::Kernel;

impl<'f, T: Tally> Machine<'f, '_, T> {
    /// Whether this walk keeps what a layer makes: all walks do, but those in which blocks are computed again.
    pub(super) fn keeps_own(&self) -> bool {
        self.block.is_none() || !self.is_sparse
    }

    /// Whether a storage was made in the block that runs.
    pub(super) fn is_of_block(&self, storage: u32) -> bool {
        self.block.as_ref().is_some_and(|block| self.heap.is_born_since(storage, block.step))
    }

    /// A block begins. It is handed what its repeat says beside its first input, whether it reads that or not; where that says nothing, positions and other
    /// indices that are alive, as transformers does.
    pub(super) fn block_begins(&mut self, node: &'f Node<RowId>, inputs: &[Value]) {
        let is_block = self.training && self.blocks == 0 && self.dry == 0 && matches!(node, Node::Composite(_));
        // Nobody asks in a forward pass alone.
        if !is_block || (self.tape.is_none() && !self.is_sparse) {
            return;
        }
        let around = self.frames.iter().flat_map(|frame| &frame.values).flat_map(|values| &values.own);
        let handed: Vec<u32> = match inputs {
            [_, others @ ..] if !others.is_empty() => others.iter().map(|value| value.storage).collect(),
            _ => around.filter(|value| value.element == Element::Index).map(|value| value.storage).collect(),
        };
        let mut indices = T::Bytes::default();
        for storage in handed {
            indices = indices.plus(&self.keep_of_block(storage, self.step + 1));
        }
        if self.is_sparse {
            self.saved = self.saved.plus(&indices);
            if let Some(first) = first_layer(node) {
                self.book(first, indices.value(), 1);
            }
        }
        let from = self.tape.as_ref().map_or(0, |tape| tape.items.len());
        let live = self.heap.live.clone();
        let cached = T::Bytes::default();
        self.block = Some(Running {
            step: self.step + 1,
            live,
            moments: Vec::new(),
            cut: 0,
            last: None,
            cached,
            from,
            stop: from,
            indices,
        });
    }

    /// Notes that a block needs a storage that was made before it; the bytes, if none did before.
    fn keep_of_block(&mut self, storage: u32, step: u64) -> T::Bytes {
        let bytes = self.heap.read_by_block(storage, step);
        if bytes.value() > 0 && self.is_sparse {
            return self.heap.keep(storage, Kept::Saved);
        }
        bytes
    }

    /// A layer of a block reads: what was made before the block stays until it has been computed again.
    pub(super) fn block_reads(&mut self, id: RowId, inputs: &[Value]) -> T::Bytes {
        let mut bytes = T::Bytes::default();
        let Some(step) = self.block.as_ref().map(|block| block.step) else { return bytes };
        for value in inputs {
            bytes = bytes.plus(&self.keep_of_block(value.storage, step));
        }
        if self.is_sparse {
            self.saved = self.saved.plus(&bytes);
            self.book(id, bytes.value(), 1);
        }
        bytes
    }

    /// A layer of a block runs: how much more than before it is alive then. What comes out of the cache isn't made again.
    pub(super) fn block_moment(&mut self, id: RowId, ports: &Ports) {
        let Some(tape) = &self.tape else { return };
        let (at, is_cached) = (tape.items.len(), self.is_cached(id));
        let workspace = if is_cached { self.cached_workspace(id, ports) } else { self.workspace(id, ports) };
        let last = self.until_saved(id, ports, &workspace);
        let Some(block) = &mut self.block else { return };
        let before = block.live.plus(&block.cached);
        let live = self.heap.live.less(&before);
        let more = |workspace: &T::Bytes| self.heap.live.plus(workspace).less(&before);
        block.moments.push(live);
        if ports.saves.as_ref().is_some_and(|saves| !saves.is_empty()) {
            let makes = ports.saves.iter().flatten().any(|save| matches!(save, Save::Own(..) | Save::Output(..)));
            block.stop = if makes { at + 1 } else { at };
            block.cut = block.moments.len();
            block.last = makes.then(|| more(&last));
        }
        block.moments.push(more(&workspace));
    }

    /// Of a layer that a block's second run may stop at, what it needs until it has saved all that it saves: where that is tensors of its own, and it
    /// needs no more than these and its outputs, the outputs aren't made any more.
    fn until_saved(&self, id: RowId, ports: &Ports, workspace: &T::Bytes) -> T::Bytes {
        let mut own = T::Bytes::default();
        for save in ports.saves.iter().flatten() {
            match save {
                Save::Own(at, bytes, _) => own = own.plus(&self.tally.bytes(id, Slot::Own(*at), *bytes)),
                Save::Output(..) => return workspace.clone(),
                Save::Input(..) => {}
            }
        }
        let outputs = ports.outputs().enumerate().filter(|(_, port)| port.exists && !port.view);
        let all = outputs.fold(own.clone(), |sum, (n, port)| sum.plus(&self.tally.bytes(id, Slot::Output(n), port.bytes)));
        if self.tally.same(workspace, &all) { own } else { workspace.clone() }
    }

    /// What a layer needs when it is computed again with what selective checkpointing has of it.
    fn cached_workspace(&self, id: RowId, ports: &Ports) -> T::Bytes {
        let stated = ports.backward.as_deref().and_then(|stated| stated.cached_workspace);
        stated.map_or_else(T::Bytes::default, |bytes| self.tally.bytes(id, Slot::CachedWorkspace, bytes))
    }

    /// Whether selective checkpointing is asked for and keeps what a layer makes.
    fn is_cached(&self, id: RowId) -> bool {
        self.checkpointing == Checkpointing::Selective
            && self.report.row(id).is_some_and(|row| row.cost.get(Quantity::MatmulFlops) > 0)
    }

    /// A layer of a block has run: what selective checkpointing keeps of it.
    pub(super) fn block_keeps(&mut self, id: RowId, class: &Class, ports: &Ports, outputs: &[Value], calls: u128) {
        if self.block.is_none() || !self.is_cached(id) {
            return;
        }
        // Fused attention gives a sum in float32 for each query besides.
        let is_fused = self.bound.workload.kernel == Kernel::Flash && class.role == Some(Role::Attention);
        let is_wide = |at: usize| {
            let def = class.saves.as_ref().and_then(|saves| saves.get(at));
            matches!(def, Some(SaveDef::Tensor(value)) if matches!(value.element, ElementDef::Fixed(Element::Float32)))
        };
        let mut more = T::Bytes::default();
        for save in ports.saves.iter().flatten() {
            if let Save::Own(at, bytes, _) = save
                && is_fused
                && is_wide(*at)
            {
                more = more.plus_times(&self.tally.bytes(id, Slot::Own(*at), *bytes), calls);
            }
        }
        let inside = ports.backward.as_deref().and_then(|stated| stated.cached).filter(|bytes| *bytes > 0);
        if let Some(bytes) = inside {
            more = self.tally.bytes(id, Slot::Cached, bytes).times(calls);
        }
        let mut bytes = more.clone();
        for value in outputs.iter().filter(|value| value.exists && inside.is_none()) {
            let own = match self.is_sparse {
                true => self.heap.keep(value.storage, Kept::Saved),
                false => self.heap.read_by_block(value.storage, u64::MAX),
            };
            bytes = bytes.plus(&own);
        }
        if !self.is_sparse {
            if let Some(block) = &mut self.block {
                block.cached = block.cached.plus(&bytes);
            }
            if let Some(tape) = &mut self.tape {
                tape.caches(bytes);
            }
            return;
        }
        if more.value() > 0 {
            let storage = self.heap.store(more, 1, self.step, id, u16::MAX);
            self.heap.keep(storage, Kept::Saved);
            self.heap.release(storage);
        }
        self.saved = self.saved.plus(&bytes);
        self.book(id, bytes.value(), 1);
    }

    /// A block has run.
    pub(super) fn block_ends(&mut self, node: &Node<RowId>) {
        if self.blocks != 0 {
            return;
        }
        let Some(block) = self.block.take() else { return };
        let Some(tape) = &mut self.tape else { return };
        let Running { from, stop, indices, moments: mut extra, cut, last, .. } = block;
        extra.truncate(cut);
        extra.extend(last);
        if !self.tally.wants_all() {
            extra = extra.into_iter().max_by_key(Bytes::value).into_iter().collect();
        }
        tape.items.push(Item::Block(Block { from, stop, indices, extra, first: first_layer(node) }));
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
