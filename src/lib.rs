//! layerspec: a compiler for hierarchical descriptions of neural networks.

#[doc(hidden)]
#[cfg(feature = "cli")]
pub mod cli;

mod analysis;
mod catalog;
mod cost;
mod emit;
mod evaluation;
mod flat;
mod flow;
mod language;
mod lower;
mod quantity;
mod report;
mod session;
mod syntax;

pub use catalog::dtypes::Dtype;
pub use catalog::optimizers::Optimizer;
pub use catalog::{Catalog, Device, Interconnect};
pub use cost::Tensor;
pub use cost::workload::{CompleteWorkload, Workload};
pub use evaluation::{Evaluation, Instance, Parameter, Row};
pub use flat::RowId;
pub use flow::{Alive, Peak};
pub use lower::{Execution, Lowered};
pub use quantity::workload::{Attention, Backend, Cache, Kernel, Logits, Phase};
pub use quantity::{Bytes, Cost, Exact, Flops, Fold, Params, QUANTITIES, Quantity, QuantityInfo, Unit};
pub use session::{Expression, ExpressionError, Failure, FlatRow, Model, Outcome, Session, Settings, Stage};
pub use syntax::expr::Value;

/// What is said of a model: errors and warnings, and the places that they point at.
pub mod diagnostics {
    pub use crate::syntax::diag::{CODES, Code, CodeInfo, Diagnostic, Diagnostics, Fix, Label, Position, Severity, position};
    pub use crate::syntax::source::{SourceId, Span};
}

/// What can be said of a model beyond its rows.
pub mod analyses {
    pub use crate::analysis::cache::{AttentionKind, CacheReport, CacheRow};
    pub use crate::analysis::compare::{Changed, Difference, Single};
    pub use crate::analysis::fit::Fit;
    pub use crate::analysis::memory::{Checkpointing, Item, Lora, Plan, Training, loss_saved_bytes};
    pub use crate::analysis::origin::{Origin, Step as OriginStep};
    pub use crate::analysis::summary::{Component, Summary};
    pub use crate::analysis::{
        Because, Cluster, Edge, Given, Graph, Next, Part, Producer, Reason, Reasons, Step, Term, TooManyEdges,
    };
}

/// How a model is shown to people and to programs.
pub mod reports {
    pub use crate::report::units::{self, Units};
    pub use crate::report::{
        By, FORMATS, Format, Options, errors_page, families_page, model_schema, render_compare, render_dot, render_mermaid,
        render_summary, render_tree,
    };
}

/// The tree of a JSON text, every key and value with its place.
pub mod json {
    pub use crate::syntax::json::{Document, Json, Member, Node, Text};
}
