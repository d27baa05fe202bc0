//! The embedded catalog: classes, devices, dtypes and models, as data.
//!
//! A folder may lie over it, whose files come first: so classes, blocks and families are tried without building anything. `build.rs` makes the index (which file defines which names), so a run parses only what it uses. Nothing here knows a class, a
//! device or a model by name.

mod class;
mod classes;
pub mod dtypes;
mod hardware;
mod lookup;
pub mod optimizers;
mod overlay;
mod role;
#[cfg(test)]
mod tests;
mod values;

pub use class::{
    Class, ClassKind, Dim, Element, ElementDef, Example, FlopFormulas, Formula, Parameter, ParameterKind, SaveDef, ShapeDef,
    Slot, ValueDef, WeightDef, builtin_slot, check_parameter, parse_class,
};
pub use classes::Classes;
pub use hardware::{DEVICE_KEYS, Device, Interconnect, parse_device};
pub use lookup::Catalog;
pub use overlay::{Kind, OverlayFile};
pub use role::{Fact, Role};

/// A class file of the catalog and the names under which it is found.
#[derive(Debug)]
pub struct ClassFile {
    pub path: &'static str,
    pub class: &'static str,
    pub aliases: &'static [&'static str],
    pub text: &'static str,
}

/// A device file of the catalog and the names under which it is found.
#[derive(Debug)]
pub struct DeviceFile {
    pub path: &'static str,
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub text: &'static str,
}

/// A block of layers, found by its file's name.
#[derive(Debug)]
pub struct BlockFile {
    pub path: &'static str,
    pub name: &'static str,
    pub text: &'static str,
}

/// A family, and the configs that are of it.
#[derive(Debug)]
pub struct FamilyFile {
    pub path: &'static str,
    pub name: &'static str,
    pub model_types: &'static [&'static str],
    pub text: &'static str,
}

/// A model file.
#[derive(Debug)]
pub struct ModelFile {
    pub name: &'static str,
    pub path: &'static str,
    pub text: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/catalog_index.rs"));
