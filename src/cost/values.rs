//! The sizes of a class's inputs and outputs in one layer.

use super::env::LayerEnv;
use super::problem::Problem;
use super::rules::Over;
use super::tensors::bytes_of;
use crate::catalog::{Element, ElementDef, ValueDef};
use crate::quantity::workload::{DTYPE_BYTES, INDEX_DTYPE_BYTES, KV_DTYPE_BYTES, VARIABLES};
use crate::syntax::diag::Code;
use crate::syntax::expr::{Exact, Value};

/// An input or output with its size.
#[derive(Debug)]
pub(crate) struct Stored<'c> {
    pub def: &'c ValueDef,
    pub dims: Vec<u128>,
    /// Of one element.
    pub element_bytes: Exact,
    /// Of all of them, rounded up once.
    pub bytes: u128,
}

impl LayerEnv<'_> {
    /// The values that a sum is over; none if it is over weights.
    pub(crate) fn summed<'v>(&self, over: Over<'v>) -> Result<Vec<Stored<'v>>, Problem> {
        let values = match over {
            Over::Inputs(values) | Over::Outputs(values) => values,
            Over::WeightElements | Over::WeightBytes => &[],
        };
        let mut stored = Vec::with_capacity(values.len());
        for value in values {
            let borrowed = matches!(over, Over::Outputs(_)) && !self.owns_storage(value)?;
            if self.flag(value.when.as_ref(), true)? && !borrowed {
                stored.push(self.stored(value)?);
            }
        }
        Ok(stored)
    }

    /// Views have no storage, and what persists is cache.
    fn owns_storage(&self, output: &ValueDef) -> Result<bool, Problem> {
        Ok(!self.flag(output.view.as_ref(), false)? && !self.flag(output.persistent.as_ref(), false)?)
    }

    fn stored<'v>(&self, def: &'v ValueDef) -> Result<Stored<'v>, Problem> {
        let dims = self.shape(&def.shape)?;
        let element = self.element(&def.element)?;
        let bytes = self.size(def, &dims, 1, element)?;
        Ok(Stored { def, dims, element_bytes: self.element_bytes(element)?, bytes })
    }

    /// The bytes of a value of these dimensions, `leading` being the product of those that are open; rounded up once.
    pub(super) fn size(&self, def: &ValueDef, dims: &[u128], leading: u128, element: Element) -> Result<u128, Problem> {
        let elements = dims.iter().try_fold(leading, |product, dim| product.checked_mul(*dim));
        let element_bytes = self.element_bytes(element)?;
        elements
            .and_then(|n| bytes_of(n, element_bytes))
            .ok_or_else(|| Problem::new(Code::Overflow, format!("the value `{}` is larger than what is computed with", def.name)))
    }

    pub(super) fn value_bytes(&self, value: &ValueDef) -> Result<u128, Problem> {
        Ok(self.stored(value)?.bytes)
    }

    pub(super) fn element(&self, element: &ElementDef) -> Result<Element, Problem> {
        let formula = match element {
            ElementDef::Fixed(element) => return Ok(*element),
            ElementDef::Formula(formula) => formula,
        };
        let value = self.value_of(formula)?;
        let element = if let Value::Text(word) = &value { Element::from_word(word) } else { None };
        element.ok_or_else(|| {
            Problem::new(Code::InvalidClass, format!("{value} is no dtype of a value")).in_formula(formula, "here")
        })
    }

    fn element_bytes(&self, element: Element) -> Result<Exact, Problem> {
        let slot = match element {
            Element::Activation => DTYPE_BYTES,
            Element::Cache => KV_DTYPE_BYTES,
            Element::Index => INDEX_DTYPE_BYTES,
            Element::Float32 => return Ok(Exact::integer(4)),
            Element::Bool => return Ok(Exact::ONE),
        };
        self.builtins.get(slot).and_then(Value::as_number).ok_or_else(|| {
            let name = VARIABLES.get(slot).map_or("", |(name, _)| name);
            Problem::new(Code::ParameterType, format!("`{name}` is not a number"))
        })
    }
}
