//! What can be said of a model beyond its rows: which layer reads whose value, and how a cost comes about.
//!
//! A flat model comes in, plain data goes out; how it is shown is `report`'s business.

mod graph;
mod reasons;

pub use graph::{Cluster, Edge, Graph, Next, Part, Producer, TooManyEdges, graph};
pub use reasons::{Because, Given, Reason, Reasons, Step, Term, reasons};
