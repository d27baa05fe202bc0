//! What can be said of a model beyond its rows: which layer reads whose value.
//!
//! A flat model comes in, plain data goes out; how it is shown is `report`'s business.

mod graph;

pub use graph::{Cluster, Edge, Graph, Next, Part, Producer, TooManyEdges, graph};
