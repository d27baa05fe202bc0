//! The catalog: classes, blocks, families, devices, conventions, dtypes, optimizers, ways to quantize, and models, as data.
//!
//! A [`Catalog`] is the embedded files, and perhaps others that lie over them: so entries are tried without building anything. `build.rs`
//! makes the index (which file defines which names), so a run parses only what it uses. Nothing here knows a class, a device or a model by
//! name.

mod class;
mod classes;
mod convention;
mod dtypes;
mod fit;
mod gguf;
mod hardware;
mod hub;
mod index;
mod lookup;
mod mixes;
mod optimizers;
mod print;
mod quantization;
mod role;
mod runtime;
mod serving;
mod shelf;
mod storage;
mod table;
#[cfg(test)]
mod tests;
mod values;
mod version;

pub use class::{
    Alias, Class, ClassKind, ClassText, Dim, Element, ElementDef, Example, FlopFormulas, Formula, Gradient, MAX_DIMS, Parameter,
    ParameterKind, SaveDef, ShapeDef, Slot, ValueDef, builtin_slot, check_parameter, parse_class,
};
pub use class::{Feed, Part, Whole, Wires, can_be_part, fused, keeps_shapes, traffic_is_known};
pub use classes::Classes;
pub use convention::{Convention, CountedTerm, RowFormula, Selector, parse_convention};
pub use dtypes::Dtype;
pub use gguf::{ConfigValue, Each, GgufMap, Target};
pub use hardware::{Device, Interconnect, parse_device};
pub use hub::HubRules;
#[cfg(test)]
pub use index::CLASS_FILES;
pub use lookup::Catalog;
pub use mixes::{Mix, MixRules, MixSection, TypeRule};
pub use optimizers::Optimizer;
pub use print::{KeyValue, PrintedKey, PrintedLayer, PrintedName, PrintedWrapper, Takes};
pub use quantization::Method;
pub use role::{Fact, Role};
pub use runtime::{Layers, Rewrite, Rewritten, Runtime, RuntimeId, parse_runtime};
pub use serving::{
    AllocatorRules, Beside, CacheRules, Certainty, CommandWord, Dated, EngineOption, Layout, LoadRules, LogLine, OptionKind,
    PlaceRules, Reported, Serving, ServingFormula, in_version,
};
pub use shelf::CatalogFile;
pub use storage::StorageType;
pub use values::KeyFormula;
