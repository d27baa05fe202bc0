//! A compiler for hierarchical descriptions of neural networks: a model as JSON, or a Hugging Face `config.json`, becomes the flat list of its
//! basic layers with parameters, FLOPs and bytes, exact integers that agree with PyTorch's own counts.
//!
//! ```
//! use layerspec::{Execution, Quantity, Session, Workload};
//!
//! let session = Session::new();
//! let model = session.load("llama-2-7b-hf").into_result()?;
//! let lowered = model.lowered(&Execution::default()).into_result()?;
//! let at = lowered.at(&Workload::prefill(1, 2048)).into_result()?;
//!
//! assert_eq!(at.params(), 6_738_415_616);
//! assert_eq!(at.matmul_flops(), 29_261_612_187_648);
//! assert_eq!(at.peak().map(|peak| peak.bytes), Some(1_277_181_952));
//! let widest = at.rows().max_by_key(|row| row.matmul_flops()).unwrap();
//! assert_eq!((widest.path(), widest.repeats()), ("model.layers.[0-31].mlp.down_proj", 32));
//! assert_eq!(widest.cost().get(Quantity::MatmulFlops), 2 * 2048 * 4096 * 11008);
//! # Ok::<(), layerspec::Failure>(())
//! ```
//!
//! # The steps
//!
//! | step | gives | what it promises |
//! |---|---|---|
//! | [`Session::load`], [`Session::read`] | [`Model`] | names are resolved, layers' parameters are those that their classes take |
//! | [`Model::lowered`] | [`Lowered`] | flat, under an [`Execution`]: kernel, cache, backend; made once |
//! | [`Lowered::at`] | [`Evaluation`] | every layer's cost at a [`Workload`], shapes and memory; exists only if nothing was wrong |
//! | [`Evaluation::rows`], [`Evaluation::instances`] | [`Row`], [`Instance`] | the layers, repeats folded or one by one |
//!
//! Each step gives an [`Outcome`]: a value as far as it could be made, and what was said on the way. [`Outcome::into_result`] is the door for
//! who counts: no value with an error among the diagnostics gets through. A [`Failure`] shows itself as the command line would.
//!
//! What comes out is owned, `Send` and `Sync`. A session holds any number of models; what it looks up in its catalog is parsed once.
//!
//! # Asking
//!
//! ```
//! use layerspec::{Execution, Session, Workload};
//!
//! let model = Session::new().load("qwen3-0.6b").into_result()?;
//! let at = model.lowered(&Execution::default()).into_result()?.at(&Workload::decode(8, 4095)).into_result()?;
//! assert_eq!(at.summary().params, 596_049_920);
//! // 28 layers x 2 x 8 heads x 128 channels x 2 bytes.
//! assert_eq!(at.cache().growth.map(|growth| growth.at_first), Some(114_688));
//!
//! // Why does this layer cost what it does?
//! let text = at.explain("model.layers.0.mlp.up_proj").into_result()?;
//! assert!(text.contains("2 * tokens * in_features * out_features"));
//! # Ok::<(), layerspec::Failure>(())
//! ```
//!
//! What is behind the facade is private: it changes without notice.
//!
//! # Features
//!
//! `cli` (on by default) is the program: command line, files, terminal, its allocator. Without it the library does no I/O and builds for
//! `wasm32-unknown-unknown`. `parquet` (on by default) writes sweeps as Parquet.

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
mod import;
mod language;
mod lower;
mod program;
mod quantity;
mod report;
mod session;
mod syntax;

pub use analysis::layers::{Feed, Layer, Maker, Read};
pub use catalog::{
    Catalog, Convention, CountedTerm, Device, Dtype, Fact, Interconnect, Method, Optimizer, Role, Runtime, RuntimeId,
};
pub use cost::Tensor;
pub use cost::workload::{CompleteWorkload, RunOptions, Workload};
pub use evaluation::{Evaluation, Instance, Parameter, Row};
pub use flat::RowId;
pub use flow::{Alive, Peak};
pub use import::{Contents, Datum, Held, Metadatum};
pub use lower::{Execution, Lowered};
pub use quantity::workload::{After, Attention, Backend, Cache, Kernel, Logits, Mla, Phase};
pub use quantity::{Bytes, Cost, Exact, Flops, Fold, Params, QUANTITIES, Quantity, QuantityInfo, Unit};
pub use session::{
    Blessed, Expression, ExpressionError, Failure, FlatRow, Model, Outcome, Place, Session, Settings, Shown, Stage,
};
pub use syntax::expr::Value;

/// What is said of a model: errors and warnings, and the places that they point at.
pub mod diagnostics {
    pub use crate::syntax::diag::{CODES, Code, CodeInfo, Diagnostic, Diagnostics, Fix, Label, Position, Severity, position};
    pub use crate::syntax::source::{SourceId, Span};
}

/// What can be said of a model beyond its rows.
pub mod analyses {
    pub use crate::analysis::cache::{AttentionKind, CacheGrowth, CacheReport, CacheRow};
    pub use crate::analysis::changes::{Change, What, changes, is_output};
    pub use crate::analysis::compare::{Changed, Difference, Single};
    pub use crate::analysis::convention::{Counted, Line, Passes, Share, lines};
    pub use crate::analysis::find::{Found, Remedy, Size};
    pub use crate::analysis::fit::{Fit, Largest};
    pub use crate::analysis::formula::{Formulas, formed};
    pub use crate::analysis::memory::{Gradients, Item, Lora, Moment, Plan, Training, loss_saved_bytes};
    pub use crate::analysis::origin::{Origin, Step as OriginStep};
    pub use crate::analysis::split::Split;
    pub use crate::analysis::summary::{Component, CountedBy, Summary};
    pub use crate::analysis::{
        Because, Cluster, Edge, Given, Graph, Next, Part, Producer, Reason, Reasons, Step, Term, TooManyEdges,
    };
    pub use crate::flow::{AliveThen, Checkpointing, Forward, Kind, Loss, Most, Parts, TrainingStep};
}

/// What engines make of devices: does a model fit, and for how many requests.
pub mod serving {
    pub use crate::analysis::serving::{
        Chosen, Compared, Figure, Group, Kept, Loaded, Log, LogRow, Moved, Place, Placed, Pool, Question, Ranks, Reach, Room,
        Served, ServingAsked, ServingPlan, Taken,
    };
    pub use crate::catalog::{
        AllocatorRules, Beside, CacheRules, Certainty, CommandWord, Dated, EngineOption, Layout, LoadRules, LogLine, OptionKind,
        PlaceRules, Reported, Serving, ServingFormula,
    };
}

/// A model as formulas, compiled: its totals at any workload in nanoseconds.
pub mod programs {
    pub use crate::analysis::memory::PlanProgram;
    pub use crate::program::{
        Block, Memory, MemoryProgram, MemoryRoom, Program, Regime, Room, Scratch, Unformed, Values, Variable,
    };
    pub use crate::quantity::{TOTALS, Total, TotalInfo};
}

/// A model at many points: every point of a grid, or the one at which a quantity reaches a value.
pub mod sweeps {
    pub use crate::analysis::axis::{Numbers, ReadNumber, Shard, Values, parse_setting};
    pub use crate::analysis::solve::{Question, Reading, Solution, Trend};
    pub use crate::analysis::sweep::{Block, Figures, POINT_VARIABLES, Piece, Points, is_varied};
    pub use crate::session::{Axes, Load, Problem, Room, SHORT_NAMES, Solve, Solved, Sweep, Variable};
}

/// How a model is shown to people and to programs.
pub mod reports {
    pub use crate::report::units::{self, Units};
    pub use crate::report::{
        By, FORMATS, Format, FormulaFormat, Listing, MEMORY_FORMATS, MemoryFormat, MemoryReport, OUTPUT_FORMATS, Options,
        OutputFormat, PageFormat, RowFormat, Rows, ServingReport, SolveReport, Solved as SolvedServing, Sort, TensorFormat,
        TensorOptions, TensorsBy, VariedPlan, column_keys, errors_page, families_page, fit, list_blocks, list_classes,
        list_conventions, list_devices, list_dtypes, list_families, list_models, list_runtimes, model_schema, output_page,
        render_changes, render_compare, render_dot, render_formulas, render_found, render_list, render_mermaid,
        render_reconciled, render_served, render_solved, render_summary, render_tensors, render_tree, render_varied, roles_page,
        title,
    };
}

/// A sweep's rows as Parquet.
#[cfg(feature = "parquet")]
pub mod parquet_rows {
    pub use crate::report::{CellKind, ParquetRows};
}

/// The tree of a JSON text, every key and value with its place.
pub mod json {
    pub use crate::syntax::json::{Document, Json, Member, Node, Text};
}
