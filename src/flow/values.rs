//! Values that flow: where they are stored and how they look.

use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::lifetime::Export;
use super::slots::NONE;
use crate::catalog::Element;
use crate::flat::Step;
use crate::syntax::source::Span;

/// No value that needs a gradient.
pub(super) const NO_GRADIENT: u32 = u32::MAX;

/// A value: where it is stored and how it looks.
#[derive(Debug, Clone)]
pub(super) struct Value {
    /// `NONE`: nowhere that counts (a model input, a parameter, something that never ran).
    pub(super) storage: u32,
    /// `None`: not known, which was reported.
    pub(super) shape: Option<Arc<[u128]>>,
    pub(super) element: Element,
    pub(super) exists: bool,
    /// Who made it, for a label.
    pub(super) from: Option<Span>,
    /// The value of the tape that its gradient is of; `NO_GRADIENT`: it needs none.
    pub(super) gradient: u32,
    /// The model's input where the file doesn't say which: token ids to what takes indices, else whatever is taken.
    pub(super) implicit: bool,
}

impl Value {
    pub(super) fn unknown() -> Self {
        Value {
            storage: NONE,
            shape: None,
            element: Element::Activation,
            exists: true,
            from: None,
            gradient: NO_GRADIENT,
            implicit: false,
        }
    }
}

/// What a node gives: its own values, and those inside that are read from outside.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) own: Vec<Value>,
    pub(super) inner: IndexMap<Export, Value, RandomState>,
}

/// A value of a node, by the way from the node to it.
pub(super) fn pick(values: &Values, rest: &[Step]) -> Option<Value> {
    match rest {
        [] => values.own.first().cloned(),
        [Step::Output(at)] => values.own.get(usize::from(*at)).cloned(),
        _ => values.inner.get(rest).cloned(),
    }
}
