//! The flat list of a model, folded: one row per distinct layer, in execution order, and the tree that says how often each runs.

mod basic;
mod flatten;
mod locate;
mod node;
mod pattern;
mod splice;
mod tie;
mod wire;

pub use flatten::flatten;
pub use locate::{Child, Located, Lost};
pub use node::{
    ClassRef, Composite, FlatModel, Indices, InputTensor, Instance, Node, OwnWeight, Repeat, Row, RowId, RowInfo, Tied, ValueRef,
    ValueTarget, Variant,
};
pub use pattern::matches_layer;
