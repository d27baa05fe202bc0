//! A layer class: parameters, weights, formulas (docs/classes.md says what each key means).
//!
//! JSON comes in, a [`Class`] goes out whose formulas have their names resolved to [`Slot`]s; `cost` evaluates them. A catalog file and a
//! model's own `classes` go through the same door, [`parse_class`]. What a class is made of knows nothing of how it is read.

mod definition;
mod formula;
mod fuse;
mod keys;
mod parameter;
mod parse;
#[cfg(test)]
mod tests;
mod value;
mod verify;

pub use definition::{Alias, Class, ClassKind, Example, FlopFormulas};
pub use formula::{Formula, Slot, builtin_slot};
pub use fuse::{Feed, Part, Whole, Wires, can_be_part, fused, keeps_shapes, traffic_is_known};
pub use parameter::{MAX_DIMS, Parameter, ParameterKind, check_parameter};
pub use parse::{ClassText, parse_class};
pub use value::{Dim, Element, ElementDef, Gradient, SaveDef, ShapeDef, ValueDef};
