//! Does it fit on a device, how much is left, and how far could batch and context grow.
//!
//! Memory never shrinks as batch or context grow, so the largest that fits is found by bisection over whole evaluations, from the workload
//! that is asked about: solved, not guessed.

use super::memory::{Plan, Training, plan};
use crate::catalog::Device;
use crate::cost::workload::Workload;
use crate::evaluation::Evaluation;
use crate::quantity::workload::Phase;
use crate::syntax::diag::{Code, Diagnostics};

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
    /// The largest batch at this context.
    pub largest_batch: Largest,
    /// The longest context at this batch: tokens in training and prefill, cached ones and new ones in decoding.
    pub longest_context: Largest,
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

/// How far a number of sequences or tokens can grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Largest {
    /// Not even one fits.
    None,
    /// So many fit, and one more doesn't.
    Fits(u64),
    /// So many fit, and with one more the model itself is wrong.
    Defined(u64),
    /// What is needed doesn't depend on it.
    Unlimited,
}

impl Largest {
    /// The number, where there is one.
    #[must_use]
    pub fn number(self) -> Option<u64> {
        match self {
            Largest::Fits(number) | Largest::Defined(number) => Some(number),
            Largest::None | Largest::Unlimited => None,
        }
    }

    /// What ends it: `memory`, the `model`, or `nothing`.
    #[must_use]
    pub fn ended_by(self) -> &'static str {
        match self {
            Largest::None | Largest::Fits(_) => "memory",
            Largest::Defined(_) => "model",
            Largest::Unlimited => "nothing",
        }
    }
}

/// What is taken for no limit.
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
    let at = |workload: &Workload| {
        let mut said = Diagnostics::default();
        match model.elsewhere(workload, &mut said) {
            Some(other) => match plan(&other, count, training).ok().and_then(|plan| plan.total()) {
                Some(bytes) if bytes <= room => At::Fits,
                _ => At::TooMuch,
            },
            // Beyond 128 bits is beyond any device.
            None if said.has(Code::Overflow) => At::TooMuch,
            None => At::Wrong,
        }
    };
    let fixed = Workload { seq_len: Some(workload.seq_len), past_len: Some(workload.past_len), ..asked.clone() };
    let largest_batch = largest(workload.batch_size, |batch| at(&Workload { batch_size: Some(batch), ..fixed.clone() }));
    let fixed = Workload { batch_size: Some(workload.batch_size), ..fixed };
    let longest_context = match workload.phase {
        Phase::Decode => largest(workload.seq_len.saturating_add(workload.past_len), |tokens| {
            let past_len = tokens.checked_sub(workload.seq_len);
            past_len.map_or(At::Wrong, |past| at(&Workload { past_len: Some(past), ..fixed.clone() }))
        }),
        _ => largest(workload.seq_len, |tokens| at(&Workload { seq_len: Some(tokens), ..fixed.clone() })),
    };
    Fit { count, capacity, reserve, needed: now.total().unwrap_or(u128::MAX), largest_batch, longest_context }
}

/// What is found at a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Fits,
    TooMuch,
    /// Something other than memory: too few tokens for what the model reads, or too many for what it has.
    Wrong,
}

/// The largest number that fits, from `now` up or down: there the model is known to be right.
fn largest(now: u64, at: impl Fn(u64) -> At) -> Largest {
    let (mut good, mut bad) = (now, now);
    let grows = at(now) == At::Fits;
    while grows && bad == good {
        let next = good.checked_mul(2).filter(|_| good < MOST || good == now);
        let Some(next) = next else { return Largest::Unlimited };
        bad = next;
        if at(next) == At::Fits {
            good = next;
        }
    }
    if !grows {
        good = 0;
    }
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        match at(middle) {
            At::Fits => good = middle,
            // On the way down what is wrong is too little.
            At::Wrong if !grows => good = middle,
            _ => bad = middle,
        }
    }
    match good {
        0 => Largest::None,
        _ if at(good) != At::Fits => Largest::None,
        _ if at(bad) == At::Wrong => Largest::Defined(good),
        _ => Largest::Fits(good),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_found_from_wherever_one_begins() {
        for limit in [1, 2, 3, 7, 8, 1000, 4097] {
            for now in [1, 2, 5, 1000, 5000] {
                let at = |n| if n <= limit { At::Fits } else { At::TooMuch };
                assert_eq!(largest(now, at), Largest::Fits(limit), "{limit} from {now}");
            }
        }
        assert_eq!(largest(7, |_| At::TooMuch), Largest::None);
        assert_eq!(largest(7, |_| At::Fits), Largest::Unlimited);
        // Beyond 2^40 nobody looks, unless one begins there.
        let at = |limit: u64| move |n| if n <= limit { At::Fits } else { At::TooMuch };
        assert_eq!(largest(7, at(1 << 50)), Largest::Unlimited);
        assert_eq!(largest(1, at(3 << 39)), Largest::Unlimited);
        assert_eq!(largest(1 << 41, at(3 << 40)), Largest::Fits(3 << 40));
    }

    #[test]
    fn what_is_wrong_is_not_taken_for_too_much() {
        // A model of at least 576 tokens.
        let at = |room: u64| {
            move |n: u64| {
                if n < 576 {
                    At::Wrong
                } else if n <= room {
                    At::Fits
                } else {
                    At::TooMuch
                }
            }
        };
        assert_eq!(largest(600, at(10_000)), Largest::Fits(10_000));
        assert_eq!(largest(2048, at(700)), Largest::Fits(700));
        assert_eq!(largest(2048, at(500)), Largest::None);
        // One of at most 1024.
        assert_eq!(largest(512, |n| if n <= 1024 { At::Fits } else { At::Wrong }), Largest::Defined(1024));
    }
}
