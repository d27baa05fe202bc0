//! The integration tests, one binary: a change is linked once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod catalog;
mod census;
mod checkpoints;
mod cli;
mod comparison;
mod conventions;
mod diagnostics;
mod draft;
mod explain;
mod facade;
mod families;
mod flat_list;
mod floors;
mod formula;
mod fresh;
mod gguf_facts;
mod gguf_maps;
mod graph;
mod limits;
mod memory;
mod mixes;
mod prints;
mod program;
mod properties;
mod reference;
mod resized;
mod runtimes;
mod serving;
mod small;
mod solve;
mod summary;
mod support;
mod sweep;
mod training;
mod workload;
