//! A model as formulas: compiled once, evaluated at any workload in nanoseconds, printed, solved, swept.

mod alike;
mod atoms;
mod code;
mod columns;
mod counts;
mod domain;
mod experts;
mod forms;
mod front;
mod functions;
mod lane;
mod memory;
mod numbers;
mod poly;
mod proof;
mod quotient;
mod symbolic;
#[cfg(test)]
mod tests;
mod text;

pub use alike::evaluated;
pub use atoms::Atom;
pub use code::{Program, Room};
pub use columns::{Block, Scratch, Values};
pub use memory::{Memory, MemoryProgram, MemoryRoom, Step};
pub use poly::{AtomId, Mono, Poly};
pub use symbolic::{Regime, Symbolic, Unformed, Variable, symbolic};
pub use text::{Group, Style, Writer};
