//! What a model description means: its names resolved, its families filled in, its structural variables known.

mod binding;
pub mod check;
pub mod checkpoint;
pub mod family;
pub mod scope;
mod segment;
mod values;

pub use binding::{Argument, Binding, Residual};
pub use segment::{PathPiece, Segment};
pub use values::Values;
