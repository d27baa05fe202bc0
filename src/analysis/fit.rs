//! Does it fit on a device, how much is left, and how far could batch and context grow.
//!
//! Memory never shrinks as batch or context grow, so the largest that fits is found by bisection over whole evaluations: solved, not guessed.

use super::memory::{Parts, Plan, Training, plan};
use crate::catalog::Device;
use crate::cost::workload::{Request, Workload};
use crate::evaluation::evaluate;
use crate::flat::FlatModel;
use crate::flow;
use crate::quantity::workload::Phase;
use crate::syntax::diag::Diagnostics;

/// The answer for a number of equal devices.
#[derive(Debug, Clone)]
pub struct Fit {
    pub count: u64,
    /// Bytes of one device.
    pub capacity: u128,
    /// Bytes of one device that are kept free for what is not counted: the allocator's rounding, kernels' scratch, the context.
    pub reserve: u128,
    /// Bytes that one device has to hold.
    pub needed: u128,
    /// The largest batch at this context; `None`: not even one.
    pub largest_batch: Option<u64>,
    /// The longest context at this batch: tokens in training and prefill, cached ones and new ones in decoding. `None`: not even one.
    pub longest_context: Option<u64>,
}

impl Fit {
    #[must_use]
    pub fn fits(&self) -> bool {
        self.needed <= self.room()
    }

    /// What may be used of one device.
    #[must_use]
    pub fn room(&self) -> u128 {
        self.capacity.saturating_sub(self.reserve)
    }
}

/// What nothing larger is asked for than.
const MOST: u64 = 1 << 40;

/// What is asked of which devices.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub flat: &'a FlatModel,
    pub request: &'a Request,
    /// The workload that the request made.
    pub workload: &'a Workload,
    pub device: &'a Device,
    pub count: u64,
    /// Per cent of a device's memory that are kept free.
    pub reserve: u32,
    pub training: &'a Training,
}

/// Asks whether a plan fits, and for the largest workloads that do.
#[must_use]
pub fn fit(question: Question<'_>, now: &Plan) -> Fit {
    let Question { flat, request, workload, device, count, reserve, training } = question;
    let capacity = device.memory_capacity;
    let reserve = capacity.saturating_mul(u128::from(reserve)) / 100;
    let room = capacity.saturating_sub(reserve);
    let needs = |request: &Request| {
        let mut wrong = Diagnostics::default();
        let (bound, report) = evaluate(flat, request, &mut wrong);
        let flow = flow::run(flat, &bound, &report, &mut wrong);
        let parts = Parts { flat, bound: &bound, report: &report, flow: &flow };
        if wrong.has_errors() { None } else { plan(parts, count, training).ok()?.total() }
    };
    let fits = |request: &Request| needs(request).is_some_and(|bytes| bytes <= room);
    let fixed = Request { seq_len: Some(workload.seq_len), past_len: Some(workload.past_len), ..request.clone() };
    let largest_batch = largest(|batch| fits(&Request { batch_size: Some(batch), ..fixed.clone() }));
    let fixed = Request { batch_size: Some(workload.batch_size), ..fixed };
    let longest_context = largest(|tokens| match workload.phase {
        Phase::Decode => match tokens.checked_sub(workload.seq_len) {
            Some(past) => fits(&Request { past_len: Some(past), ..fixed.clone() }),
            None => true,
        },
        _ => fits(&Request { seq_len: Some(tokens), ..fixed.clone() }),
    });
    Fit { count, capacity, reserve, needed: now.total().unwrap_or(u128::MAX), largest_batch, longest_context }
}

/// The largest number from 1 on that something holds for, if it holds for all smaller ones.
fn largest(holds: impl Fn(u64) -> bool) -> Option<u64> {
    if !holds(1) {
        return None;
    }
    let mut good = 1;
    while good < MOST && holds(good * 2) {
        good *= 2;
    }
    let mut bad = good.saturating_mul(2);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if holds(middle) { good = middle } else { bad = middle }
    }
    Some(good)
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn the_largest_is_found_by_bisection() {
        for limit in [1, 2, 3, 7, 8, 1000, 4097] {
            assert_eq!(largest(|n| n <= limit), Some(limit));
        }
        assert_eq!(largest(|_| false), None);
    }
}
