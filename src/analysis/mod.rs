//! What can be said of a model beyond its rows: how values flow and how long they live, who reads whom, and how a cost comes about.
//!
//! A flat model comes in, plain data goes out; how it is shown is `report`'s business.

pub mod axis;
pub mod cache;
pub mod changes;
pub mod compare;
pub mod convention;
mod facts;
pub mod find;
pub mod fit;
pub mod formula;
mod graph;
pub mod layers;
pub mod memory;
pub mod origin;
mod reasons;
pub mod serving;
pub mod solve;
pub mod split;
pub mod summary;
pub mod sweep;

pub use graph::{Cluster, Edge, Graph, Next, Part, Producer, TooManyEdges, graph};
pub use reasons::{Because, Given, Reason, Reasons, Step, Term, reasons};
