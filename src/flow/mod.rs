//! How values flow through a model: their shapes, who is alive when, what training keeps.

mod lifetime;
mod run;
mod shape;

pub use run::{Alive, Block, Flow, Peak, RowFlow, alive_at, run};
