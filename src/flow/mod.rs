//! How values flow through a model: their shapes, who is alive when, what training keeps.

mod heap;
mod layers;
mod lifetime;
mod machine;
mod pattern;
mod peak;
mod repeats;
mod result;
mod saves;
mod shapes;
mod values;

pub use machine::run;
pub use peak::{Alive, Peak, alive_at, alive_by_row};
pub use result::{Flow, RowFlow, Shape};
