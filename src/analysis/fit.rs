//! Does it fit on a device, how much is left, and how far could batch and context grow.
//!
//! Memory never shrinks as batch or context grow, so the largest that fits is found by bisection over whole evaluations: solved, not guessed.

use super::memory::{Plan, Training, plan};
use crate::catalog::Device;
use crate::cost::workload::Workload;
use crate::evaluation::Evaluation;
use crate::quantity::workload::Phase;
use crate::syntax::diag::Diagnostics;

/// The answer for a number of equal devices.
#[derive(Debug, Clone)]
pub struct Fit {
    /// How many devices there are.
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
    /// Whether what is needed finds room.
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
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The model at the workload that is varied.
    pub model: &'a Evaluation,
    /// The device.
    pub device: &'a Device,
    /// How many of them.
    pub count: u64,
    /// Per cent of a device's memory that are kept free.
    pub reserve: u32,
    /// How a training step is done.
    pub training: &'a Training,
}

/// Asks whether a plan fits, and for the largest workloads that do.
#[must_use]
pub fn fit(question: Question<'_>, now: &Plan) -> Fit {
    let Question { model, device, count, reserve, training } = question;
    let (workload, asked) = (model.workload(), &model.asked);
    let capacity = device.memory_capacity;
    let reserve = capacity.saturating_mul(u128::from(reserve)) / 100;
    let room = capacity.saturating_sub(reserve);
    let needs = |workload: &Workload| {
        let other = model.elsewhere(workload, &mut Diagnostics::default())?;
        plan(&other, count, training).ok()?.total()
    };
    let fits = |workload: &Workload| needs(workload).is_some_and(|bytes| bytes <= room);
    let fixed = Workload { seq_len: Some(workload.seq_len), past_len: Some(workload.past_len), ..asked.clone() };
    let largest_batch = largest(|batch| fits(&Workload { batch_size: Some(batch), ..fixed.clone() }));
    let fixed = Workload { batch_size: Some(workload.batch_size), ..fixed };
    let longest_context = largest(|tokens| match workload.phase {
        Phase::Decode => match tokens.checked_sub(workload.seq_len) {
            Some(past) => fits(&Workload { past_len: Some(past), ..fixed.clone() }),
            None => true,
        },
        _ => fits(&Workload { seq_len: Some(tokens), ..fixed.clone() }),
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
