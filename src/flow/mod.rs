//! How values flow through a model: their shapes, who is alive when, what training keeps.

mod backward;
mod block;
mod bytes;
mod checkpoint;
mod heap;
mod layers;
mod ledger;
mod lifetime;
mod machine;
mod pattern;
mod peak;
mod repeats;
mod result;
mod saves;
mod shapes;
mod slots;
mod step;
mod tape;
mod trained;
mod values;

pub use backward::{Loss, Most};
pub use block::Checkpointing;
pub use bytes::{Bytes, Slot, Tally};
pub use ledger::{Kind, Parts};
pub use machine::run;
pub use peak::{Alive, Peak, alive_at, alive_by_row};
pub use result::{Flow, RowFlow, Shape};
pub use step::{AliveThen, Forward, Moments, StepOptions, TrainingStep, moments, step};
pub use trained::GradientBytes;
