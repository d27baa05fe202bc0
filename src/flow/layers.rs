//! A layer that runs: what it reads, what it makes, what it leaves behind.

use std::sync::Arc;

use indexmap::IndexMap;

use super::bytes::{Bytes, Slot, Tally};
use super::heap::Kept;
use super::machine::Machine;
use super::slots::NONE;
use super::tape::Ran;
use super::values::{NO_GRADIENT, Value, Values};
use crate::catalog::{Element, Gradient, ValueDef};
use crate::cost::ports::{Port, Ports};
use crate::flat::RowId;
use crate::syntax::diag::{Code, Diagnostic};

/// Layers are run at most so often: repeats within repeats multiply.
const MOST_STEPS: u64 = 3_000_000;

impl<T: Tally> Machine<'_, '_, T> {
    /// Runs a layer, as often as it is called: each call on what the one before gave, where the layer gives what it takes, else on the same.
    /// Those that are held stand side by side.
    pub(super) fn layer(&mut self, id: RowId, inputs: Vec<Value>) -> Values {
        let row = self.flat.row(id).map(|info| &info.row);
        let calls = row.and_then(|row| self.bound.count(row.calls.as_ref()?)).unwrap_or(1);
        if calls <= 1 || row.is_some_and(|row| row.hold.is_some()) {
            return self.run(id, inputs, calls);
        }
        let chains = self.ports(id).is_some_and(Ports::gives_what_it_takes);
        let first = self.run(id, inputs.clone(), 1);
        self.calls(calls, first, |machine, before| {
            let mut next = inputs.clone();
            if let (Some(first), Some(made), true) = (next.first_mut(), before.own.first(), chains) {
                *first = made.clone();
            }
            machine.run(id, next, 1)
        })
    }

    /// Runs it so many times side by side.
    fn run(&mut self, id: RowId, inputs: Vec<Value>, calls: u128) -> Values {
        self.step += 1;
        if self.step > MOST_STEPS {
            if !self.full {
                self.full = true;
                let message = format!("the data flow has more than {MOST_STEPS} layers that have to be run through");
                self.diagnostics.push(Diagnostic::new(Code::ModelTooLarge, message));
            }
            return Values::default();
        }
        let at = id.0 as usize;
        let Some(info) = self.flat.row(id) else { return Values::default() };
        let Some(class) = &info.row.class else {
            // A tensor that a composite owns.
            let shape = info.row.weights.as_ref().and_then(|own| own.first()).map(|weight| Arc::from(weight.shape.as_slice()));
            let trained = self.tape.as_ref().is_some_and(|tape| tape.trains(id));
            let whole = std::iter::once(T::Bytes::known(self.weight_bytes(id)));
            let gradient = self.taped(Ran::new(id, calls, T::Bytes::default()), &[], whole, trained);
            let own = Value { shape, from: Some(info.row.span), gradient, ..Value::unknown() };
            return Values { own: vec![own], ..Values::default() };
        };
        let class = &class.0;
        let Some(ports) = self.ports(id) else {
            let own = class.outputs.iter().map(|_| Value::unknown()).collect();
            return Values { own, inner: IndexMap::default() };
        };
        if self.blocks > 0
            && let Some(row) = self.flow.rows.get_mut(at)
        {
            row.in_block = true;
        }
        let inputs = self.assumed(ports, inputs);
        self.shapes(id, class, ports, &inputs);
        let runs = self.dry == 0 && calls > 0;
        if runs {
            self.moment(id, ports);
            self.block_moment(id, ports);
        }
        let mut own = Vec::with_capacity(ports.outputs().len());
        let mut gradient = NO_GRADIENT;
        if calls == 0 && self.dry == 0 && self.training && !info.row.no_grad {
            // Whoever reads what it gives, which isn't made, reads its weights.
            let trained = self.tape.as_ref().is_some_and(|tape| tape.trains(id));
            let whole = std::iter::once(T::Bytes::known(self.weight_bytes(id)));
            gradient = self.taped(Ran::new(id, calls, T::Bytes::default()), &[], whole, trained);
        }
        if runs && self.training && !info.row.no_grad {
            let trained = self.tape.as_ref().is_some_and(|tape| tape.trains(id));
            let flows = |(value, def): (&Value, &ValueDef)| value.gradient != NO_GRADIENT && def.gradient != Gradient::None;
            let needs = trained || inputs.iter().zip(&class.inputs).any(flows);
            let tally = self.tally;
            let size = |(n, port): (usize, Port<'_>)| tally.bytes(id, Slot::Output(n), port.bytes).times(calls);
            let gives = ports.outputs().enumerate().map(size);
            let read = self.block_reads(id, &inputs);
            gradient = self.taped(Ran::new(id, calls, read), &inputs, gives, needs);
        }
        for (n, port) in ports.outputs().enumerate() {
            let output = class.outputs.get(n);
            let shared = if port.view && !class.inputs.is_empty() { inputs.get(class.viewed_input(n)) } else { None };
            let storage = match shared {
                Some(input) => {
                    self.heap.retain(input.storage);
                    input.storage
                }
                // What shares no input's storage is a buffer or a parameter: not made by the call.
                None if port.view && class.inputs.is_empty() => NONE,
                None if port.exists && runs => self.heap.store(
                    self.tally.bytes(id, Slot::Output(n), port.bytes),
                    calls,
                    self.step,
                    id,
                    u16::try_from(n).unwrap_or(u16::MAX),
                ),
                None => NONE,
            };
            if port.persistent {
                self.heap.keep(storage, Kept::Cache);
            }
            self.hold(storage, output.map_or(0, |output| output.hold));
            let shape = self.flow.rows.get(at).and_then(|row| row.outputs().get(n)).cloned().flatten();
            // A view of a mask is a mask, of the cache a cached value.
            let element = shared.map_or(port.element, |input| input.element);
            let differs =
                output.is_some_and(|output| output.gradient != Gradient::None) && is_differentiable(element) && port.exists;
            let gradient = if gradient == NO_GRADIENT || !differs { NO_GRADIENT } else { gradient.saturating_add(place(n)) };
            own.push(Value {
                storage,
                shape,
                element,
                exists: port.exists,
                from: Some(info.row.span),
                gradient,
                implicit: false,
            });
        }
        if runs && ports.past > 0 {
            let past = self.past_bytes(id);
            self.heap.free_past(id, &past, calls);
        }
        if runs && self.training && !info.row.no_grad {
            self.saves(id, (class, ports), &inputs, &own, calls);
            self.block_keeps(id, class, ports, &own, calls);
        }
        Values { own, inner: IndexMap::default() }
    }

    /// Notes a layer that runs, where that is asked for; the first of its values comes back, if gradients flow to them.
    fn taped(&mut self, ran: Ran<T::Bytes>, inputs: &[Value], gives: impl Iterator<Item = T::Bytes>, needs: bool) -> u32 {
        let Some(tape) = self.tape.as_mut().filter(|_| self.dry == 0) else { return NO_GRADIENT };
        let first = tape.ran(ran, inputs, gives, &self.indices);
        if needs { first } else { NO_GRADIENT }
    }

    /// Bytes of the weights of a layer.
    fn weight_bytes(&self, id: RowId) -> u128 {
        self.report.tensors(id).iter().fold(0u128, |sum, tensor| sum.saturating_add(tensor.bytes))
    }

    /// An output that outlives its readers in so many composites around.
    pub(super) fn hold(&mut self, storage: u32, composites: u16) {
        if composites == 0 || storage == NONE {
            return;
        }
        let frame = self.frames.len().checked_sub(usize::from(composites));
        // The outermost frame is the model itself.
        let frame = frame.filter(|at| *at > 0).unwrap_or(0);
        self.heap.retain(storage);
        if let Some(frame) = self.frames.get_mut(frame) {
            frame.held.push(storage);
        }
    }
}

/// Whether a value of this type can have a gradient.
fn is_differentiable(element: Element) -> bool {
    match element {
        Element::Activation | Element::Cache | Element::Float32 => true,
        Element::Index | Element::Bool => false,
    }
}

fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(0)
}
