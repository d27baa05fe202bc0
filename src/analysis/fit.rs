//! Does it fit on a device, how much is left, and how far could batch and context grow.
//!
//! Memory never shrinks as batch or context grow, so the largest that fits is found by bisection over whole evaluations, from the workload
//! that is asked about: solved, not guessed.

use std::cell::RefCell;

use super::memory::{Plan, PlanProgram, Training, plan, targeted};
use crate::catalog::Device;
use crate::cost::workload::Workload;
use crate::evaluation::Evaluation;
use crate::program::MemoryRoom;
use crate::quantity::workload::Phase;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};

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
#[derive(Debug, Clone)]
pub enum Largest {
    /// Not even one fits.
    Never,
    /// So many fit, and one more doesn't.
    AtMost(u64),
    /// What is needed doesn't depend on it, as far as anyone looks: 2^40.
    Unbounded,
    /// With one more than fit here the model itself has no answer, so no memory ends it.
    Failed {
        /// So many fit; 0: nothing smaller has an answer either.
        fit: u64,
        /// What is wrong with one more.
        why: Box<Diagnostic>,
    },
}

impl Largest {
    /// The number that is known to fit, where there is a largest one.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match self {
            Largest::AtMost(number) => Some(*number),
            Largest::Failed { fit, .. } => Some(*fit).filter(|fit| *fit > 0),
            Largest::Never | Largest::Unbounded => None,
        }
    }

    /// What ends it: `memory`, the `model`, or `nothing`.
    #[must_use]
    pub fn ended_by(&self) -> &'static str {
        match self {
            Largest::Never | Largest::AtMost(_) => "memory",
            Largest::Failed { .. } => "model",
            Largest::Unbounded => "nothing",
        }
    }

    /// Why the model has no answer for one more.
    #[must_use]
    pub fn why(&self) -> Option<&Diagnostic> {
        if let Largest::Failed { why, .. } = self { Some(why) } else { None }
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
    // Once for all workloads.
    let told_apart = targeted(model, training).and_then(Result::ok);
    let model = told_apart.as_ref().unwrap_or(model);
    let (workload, asked) = (model.workload(), &model.asked);
    let capacity = device.memory_capacity;
    let reserve = capacity.saturating_mul(u128::from(reserve)) / 100;
    let room = capacity.saturating_sub(reserve);
    let at = |workload: &Workload| {
        let mut said = Diagnostics::default();
        if let Some(other) = model.elsewhere(workload, &mut said) {
            match plan(&other, count, training, false) {
                Ok(plan) if plan.total().is_some_and(|bytes| bytes <= room) => return At::Fits,
                Ok(_) => return At::TooMuch,
                Err(why) => said.push(*why),
            }
        }
        // Beyond 128 bits is beyond any device.
        match said.first_error() {
            Some(why) if !said.has(Code::Overflow) => At::Wrong(why.clone().boxed()),
            _ => At::TooMuch,
        }
    };
    let program = PlanProgram::of(model, count, training);
    let memory = RefCell::new(MemoryRoom::default());
    // By formulas; where these have no answer, by the model itself.
    let quickly = |workload: &Workload| {
        let value = |name: &str| match name {
            "batch_size" => workload.batch_size,
            "seq_len" => workload.seq_len,
            "past_len" => workload.past_len,
            _ => None,
        };
        let found = program.as_ref().and_then(|program| program.total(&program.point(value)?, &mut memory.borrow_mut()));
        match found {
            Some(bytes) if bytes <= room => At::Fits,
            Some(_) => At::TooMuch,
            None => at(workload),
        }
    };
    let solve = |now: u64, make: &dyn Fn(u64) -> Workload| {
        let found = largest(now, |number| quickly(&make(number)));
        // Formulas know no shapes: the model is asked about both sides of what they say.
        let fits = |number: u64| matches!(at(&make(number)), At::Fits);
        let is_so = match &found {
            Largest::AtMost(most) => fits(*most) && matches!(at(&make(most.saturating_add(1))), At::TooMuch),
            Largest::Never => matches!(at(&make(1)), At::TooMuch),
            Largest::Unbounded => fits(now.max(MOST)),
            Largest::Failed { .. } => false,
        };
        if is_so { found } else { largest(now, |number| at(&make(number))) }
    };
    let fixed = Workload { seq_len: Some(workload.seq_len), past_len: Some(workload.past_len), ..asked.clone() };
    let largest_batch = solve(workload.batch_size, &|batch| Workload { batch_size: Some(batch), ..fixed.clone() });
    let fixed = Workload { batch_size: Some(workload.batch_size), ..fixed };
    let longest_context = match workload.phase {
        Phase::Decode => solve(workload.seq_len.saturating_add(workload.past_len), &|tokens| {
            // The new tokens are some of them. Fewer than those are asked of the step without cached ones, which then bounds the answer.
            let past_len = tokens.saturating_sub(workload.seq_len);
            Workload { past_len: Some(past_len), ..fixed.clone() }
        }),
        _ => solve(workload.seq_len, &|tokens| Workload { seq_len: Some(tokens), ..fixed.clone() }),
    };
    Fit { count, capacity, reserve, needed: now.total().unwrap_or(u128::MAX), largest_batch, longest_context }
}

/// What is found at a number.
#[derive(Debug, Clone)]
enum At {
    Fits,
    TooMuch,
    /// Something other than memory: too few tokens for what the model reads, or too many for what it has.
    Wrong(Box<Diagnostic>),
}

/// The largest number that fits, from `now` up or down: there the model is known to be right.
fn largest(now: u64, at: impl Fn(u64) -> At) -> Largest {
    let fits = |number: u64| matches!(at(number), At::Fits);
    let (mut good, mut bad) = (now, now);
    let grows = fits(now);
    while grows && bad == good {
        let next = good.checked_mul(2).filter(|_| good < MOST || good == now);
        let Some(next) = next else { return Largest::Unbounded };
        bad = next;
        if fits(next) {
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
            At::Wrong(_) if !grows => good = middle,
            _ => bad = middle,
        }
    }
    match (good, at(bad)) {
        (0, At::Wrong(why)) => Largest::Failed { fit: 0, why },
        (0, _) => Largest::Never,
        _ if !fits(good) => Largest::Never,
        (fit, At::Wrong(why)) => Largest::Failed { fit, why },
        (fit, _) => Largest::AtMost(fit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong() -> At {
        At::Wrong(Diagnostic::new(Code::InvalidWorkload, "no such position").boxed())
    }

    /// As a word and a number, to compare.
    fn found(now: u64, at: impl Fn(u64) -> At) -> (&'static str, Option<u64>) {
        let largest = largest(now, at);
        (largest.ended_by(), largest.number())
    }

    #[test]
    fn the_largest_is_found_from_wherever_one_begins() {
        for limit in [1, 2, 3, 7, 8, 1000, 4097] {
            for now in [1, 2, 5, 1000, 5000] {
                let at = |n| if n <= limit { At::Fits } else { At::TooMuch };
                assert_eq!(found(now, at), ("memory", Some(limit)), "{limit} from {now}");
            }
        }
        assert_eq!(found(7, |_| At::TooMuch), ("memory", None));
        assert_eq!(found(7, |_| At::Fits), ("nothing", None));
        // Beyond 2^40 nobody looks, unless one begins there.
        let at = |limit: u64| move |n| if n <= limit { At::Fits } else { At::TooMuch };
        assert_eq!(found(7, at(1 << 50)), ("nothing", None));
        assert_eq!(found(1, at(3 << 39)), ("nothing", None));
        assert_eq!(found(1 << 41, at(3 << 40)), ("memory", Some(3 << 40)));
    }

    #[test]
    fn what_is_wrong_is_not_taken_for_too_much() {
        // A model of at least 576 tokens.
        let at = |room: u64| {
            move |n: u64| {
                if n < 576 {
                    wrong()
                } else if n <= room {
                    At::Fits
                } else {
                    At::TooMuch
                }
            }
        };
        assert_eq!(found(600, at(10_000)), ("memory", Some(10_000)));
        assert_eq!(found(2048, at(700)), ("memory", Some(700)));
        assert_eq!(found(2048, at(500)), ("memory", None));
        // One of at most 1024: why is said.
        let most = largest(512, |n| if n <= 1024 { At::Fits } else { wrong() });
        assert_eq!((most.ended_by(), most.number()), ("model", Some(1024)));
        assert_eq!(most.why().unwrap().message, "no such position");
        // One without any answer.
        let none = largest(1, |_| wrong());
        assert_eq!((none.ended_by(), none.number(), none.why().is_some()), ("model", None, true));
    }
}
