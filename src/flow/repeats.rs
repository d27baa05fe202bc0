//! Repetition: instances are run until one leaves behind what the one before did; the rest are added up, and the last is run again.

use std::rc::Rc;

use super::bytes::{Bytes, Slot, Tally};
use super::checkpoint::first_layer;
use super::heap::HeapMark;
use super::lifetime::{Export, Inside, NodePlan, by_index};
use super::machine::Machine;
use super::result::Block;
use super::values::{NO_GRADIENT, Value, Values, pick};
use crate::flat::{Node, Repeat, RowId, Step};

/// Where the logs were.
pub(super) struct Mark<B> {
    heap: HeapMark,
    booked: usize,
    saved: B,
    tape: usize,
}

impl<'f, T: Tally> Machine<'f, '_, T> {
    pub(super) fn repeat(
        &mut self,
        repeat: &'f Repeat<RowId>,
        plans: &[Rc<NodePlan>],
        exports: &[Export],
        first_only: &[u32],
    ) -> Values {
        let inputs: Vec<Value> = repeat.inputs.iter().map(|input| self.value(input)).collect();
        let given = inputs.first().cloned().unwrap_or_else(Value::unknown);
        let indexed = by_index(exports);
        let mut values = Values::default();
        let mut started = false;
        let mut gradients: Vec<u32> = Vec::new();
        self.indices.push(0);
        for (first, last, variant) in repeat.order() {
            // Beyond the limit all that is around has to come to its end, too.
            if self.full {
                break;
            }
            let Some(node) = repeat.variants.get(variant).and_then(|v| v.instance.as_ref()) else { continue };
            let Some(plan) = plans.get(variant) else { continue };
            let mut index = first;
            loop {
                if let Some(here) = self.indices.last_mut() {
                    *here = index;
                }
                let mut input = given.clone();
                let mut others = inputs.clone();
                if started && !repeat.parallel {
                    input = values.own.first().cloned().unwrap_or_else(Value::unknown);
                    if let Some(first) = others.first_mut() {
                        *first = input.clone();
                    }
                }
                let mark = self.mark();
                let input_bytes = self.heap.bytes(input.storage);
                self.block_begins(node, &inputs);
                self.blocks += 1;
                let mut made = match (node, &plan.inside) {
                    (Node::Layer(id), _) => self.layer(*id, others),
                    (Node::Composite(composite), Inside::Composite(body)) => {
                        let mut kept = Values::default();
                        let before = if repeat.parallel { &mut kept } else { &mut values };
                        self.composite(composite, body, plan, input, if started { &[] } else { first_only }, before)
                    }
                    _ => Values::default(),
                };
                self.blocks -= 1;
                self.block_ends(node);
                if self.blocks == 0 && matches!(node, Node::Composite(_)) {
                    let saved_bytes = self.saved.less(&mark.saved).value();
                    self.flow.blocks.push(Block { first: first_layer(node), count: 1, input_bytes, saved_bytes });
                }
                self.publish(index, indexed.get(&index).map_or(&[], Vec::as_slice), &mut made);
                if repeat.parallel {
                    gradients.extend(made.own.first().map(|value| value.gradient).filter(|value| *value != NO_GRADIENT));
                }
                let earlier = std::mem::replace(&mut values, made);
                self.release_values(&earlier);
                if !started {
                    first_only.iter().for_each(|node| self.end(*node));
                    started = true;
                }
                if index == last || self.full {
                    break;
                }
                // The second of a range leaves behind what all that follow do.
                let stop = indexed.range(index + 1..).next().map_or(last, |(stop, _)| (*stop).min(last));
                index += 1;
                if index > first + 1 && stop > index {
                    self.again(&mark, u128::from(stop - index));
                    if let Some(block) = self.flow.blocks.last_mut().filter(|_| self.blocks == 0) {
                        block.count = block.count.saturating_add(u128::from(stop - index));
                    }
                    index = stop;
                }
            }
        }
        self.indices.pop();
        // What reads a parallel repeat reads all of its instances.
        if let (Some(first), Some(tape), [_, _, ..]) = (values.own.first_mut(), &mut self.tape, gradients.as_slice()) {
            first.gradient = tape.joined(&gradients, u128::from(repeat.count));
        }
        // What was published stays with the node.
        if let Some(slot) = self.frames.last_mut().and_then(|frame| frame.values.last_mut()) {
            values.inner.extend(std::mem::take(&mut slot.inner));
        }
        values
    }

    /// Makes an instance's values known to what reads them by its index.
    pub(super) fn publish(&mut self, index: u64, exports: &[Export], made: &mut Values) {
        for rest in exports {
            let Some(value) = pick(made, rest) else { continue };
            self.heap.retain(value.storage);
            if let Some(slot) = self.frames.last_mut().and_then(|frame| frame.values.last_mut()) {
                let name = std::iter::once(Step::Instance(index)).chain(rest.iter().copied()).collect();
                slot.inner.insert(name, value);
            }
        }
        for value in std::mem::take(&mut made.inner).into_values() {
            self.heap.release(value.storage);
        }
    }

    pub(super) fn mark(&self) -> Mark<T::Bytes> {
        Mark {
            heap: self.heap.mark(),
            booked: self.booked.len(),
            saved: self.saved.clone(),
            tape: self.tape.as_ref().map_or(0, |tape| tape.items.len()),
        }
    }

    /// What was left behind since a mark, so many times more.
    pub(super) fn again(&mut self, mark: &Mark<T::Bytes>, times: u128) {
        if let Some(tape) = &mut self.tape {
            tape.again(mark.tape, times);
        }
        let (report, tally) = (self.report, self.tally);
        let past = |row| report.ports(row).map_or_else(T::Bytes::default, |ports| tally.bytes(row, Slot::Past, ports.past));
        self.heap.again(mark.heap, times, past);
        let saved = self.saved.less(&mark.saved);
        self.saved = self.saved.plus_times(&saved, times);
        let booked: Vec<(RowId, u128, u128)> = self.booked.get(mark.booked..).unwrap_or_default().to_vec();
        for (row, bytes, count) in booked {
            self.book(row, bytes, count.saturating_mul(times));
        }
    }
}
