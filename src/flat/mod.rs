//! The flat list of a model, folded: one row per distinct layer, in execution order, and the tree that says how often each runs.

mod basic;
mod body;
mod flatten;
mod flattener;
mod indices;
mod inputs;
mod instances;
mod layer;
mod locate;
mod model;
mod node;
mod number;
mod paths;
mod pattern;
mod repeat;
mod resize;
mod root;
mod splice;
mod tie;
mod uses;
mod value;
mod wire;

pub use flatten::{flatten, tree};
pub use indices::Indices;
pub use instances::enter_instance;
pub use locate::{Child, Located, Lost};
pub use model::{FlatModel, InputTensor, RowInfo};
pub use node::{ClassRef, Common, Composite, Merged, Node, OwnWeight, Repeat, Row, RowId, Stood, Tied, Variant};
pub use pattern::{MOST_PATTERNS, Pattern};
pub use value::{Step, ValueRef, ValueTarget};
