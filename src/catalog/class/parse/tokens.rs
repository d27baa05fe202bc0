//! `tokens`, the product of leading dimensions: a class with `...` in a shape has the parameter without saying so.

use std::sync::Arc;

use super::names::Names;
use super::reader::Reader;
use crate::catalog::class::parameter::{Parameter, ParameterKind};
use crate::syntax::json::Node;
use crate::syntax::source::Span;
use crate::syntax::spec::Fields;

/// What stands for leading dimensions in a shape.
pub(super) const LEADING: &str = "...";
/// The parameter that is their product.
pub(super) const TOKENS: &str = "tokens";
/// What to say where there is none.
pub(super) const TOKENS_HELP: &str = "a class with `...` in the shape of an input or output has `tokens`; any other declares it";
const DEFAULT: &str = "batch_size * seq_len";
const DOC: &str = "rows: the product of the leading dimensions";

/// Gives formulas the name where some shape has leading dimensions and the class says nothing of it itself; the first place that does.
pub(super) fn implied(f: &Fields<'_>, names: &mut Names) -> Option<Span> {
    if names.parameters.iter().chain(&names.variables).any(|name| &**name == TOKENS) {
        return None;
    }
    let values = ["inputs", "outputs"].into_iter().filter_map(|key| f.get(key)).flat_map(Node::members).map(|m| &m.value);
    let saves = f.get("saves").into_iter().flat_map(Node::items);
    let place = values.chain(f.get("output")).chain(saves).find_map(leading)?;
    names.parameters.push(TOKENS.into());
    Some(place)
}

/// Where the leading dimensions of a value stand.
pub(super) fn leading(value: &Node) -> Option<Span> {
    let shape = value.get("shape").unwrap_or(value);
    shape.items().iter().find(|dim| dim.text().is_some_and(|text| &**text == LEADING)).map(|dim| dim.span)
}

impl Reader<'_> {
    /// The parameter that is implied at a place.
    pub(super) fn tokens(&mut self, place: Span) -> Option<Parameter> {
        Some(Parameter {
            name: TOKENS.into(),
            kind: ParameterKind::Count,
            default: Some(self.formula_text(&Arc::from(DEFAULT), false, place, Some(TOKENS))?),
            nullable: false,
            values: Vec::new(),
            doc: DOC.into(),
            dims: 1,
            implied: true,
        })
    }
}
