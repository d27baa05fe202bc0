//! The sizes of a class's inputs and outputs in one layer.

use super::counting::Counting;
use super::env::LayerEnv;
use super::problem::Problem;
use super::rules::Over;
use crate::catalog::{Element, ElementDef, ValueDef};
use crate::quantity::workload::{DTYPE_BYTES, INDEX_DTYPE_BYTES, KV_DTYPE_BYTES, VARIABLES};
use crate::syntax::diag::Code;
use crate::syntax::expr::{Exact, Value};

/// An input or output with its size.
#[derive(Debug)]
pub(crate) struct Stored<'c, C = u128> {
    pub def: &'c ValueDef,
    pub dims: Vec<C>,
    /// Of one element.
    pub element_bytes: Exact,
    /// Of all of them, rounded up once.
    pub bytes: C,
}

/// The type of a value's elements.
#[derive(Debug)]
pub(super) enum Elements<T> {
    One(Element),
    /// Where the workload decides: each where its condition holds.
    Several(Vec<(T, Element)>),
}

impl<T> Elements<T> {
    /// The type, if it is decided; else the first that it may be.
    pub(super) fn usual(&self) -> Element {
        match self {
            Elements::One(element) => *element,
            Elements::Several(cases) => cases.first().map_or(Element::Activation, |(_, element)| *element),
        }
    }
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
}

impl<D: Counting> LayerEnv<'_, D> {
    fn stored<'v>(&self, def: &'v ValueDef) -> Result<Stored<'v, D::Count>, Problem> {
        let dims = self.shape(&def.shape)?;
        let element = self.element(&def.element)?;
        let bytes = self.size(def, &dims, &self.domain.of(1), &element)?;
        let element_bytes = match self.element_bytes(element.usual())? {
            Each::Fixed(bytes) => Exact::integer(bytes.into()),
            Each::Stated(bytes) => self.domain.plain(bytes).and_then(Value::as_number).unwrap_or_default(),
        };
        Ok(Stored { def, dims, element_bytes, bytes })
    }

    /// The bytes of a value of these dimensions, `leading` being the product of those that are open; rounded up once.
    pub(super) fn size(
        &self,
        def: &ValueDef,
        dims: &[D::Count],
        leading: &D::Count,
        element: &Elements<D::Truth>,
    ) -> Result<D::Count, Problem> {
        let elements = dims.iter().try_fold(leading.clone(), |product, dim| self.domain.product(&product, dim));
        let beyond = || Problem::new(Code::Overflow, format!("the value `{}` is larger than what is computed with", def.name));
        let bytes = |element: Element| {
            let each = self.element_bytes(element)?;
            let bytes = elements.as_ref().and_then(|n| match each {
                Each::Fixed(bytes) => self.domain.product(n, &self.domain.of(bytes.into())),
                Each::Stated(bytes) => self.domain.times(n, bytes),
            });
            bytes.ok_or_else(beyond)
        };
        match element {
            Elements::One(element) => bytes(*element),
            Elements::Several(cases) => {
                let mut sum = self.domain.of(0);
                for (when, element) in cases {
                    let share = self.domain.only_if(when, &bytes(*element)?);
                    sum = self.domain.sum(&sum, &share).ok_or_else(beyond)?;
                }
                Ok(sum)
            }
        }
    }

    pub(super) fn value_bytes(&self, value: &ValueDef) -> Result<D::Count, Problem> {
        Ok(self.stored(value)?.bytes)
    }

    pub(super) fn element(&self, element: &ElementDef) -> Result<Elements<D::Truth>, Problem> {
        let formula = match element {
            ElementDef::Fixed(element) => return Ok(Elements::One(*element)),
            ElementDef::Formula(formula) => formula,
        };
        let value = self.value_of(formula)?;
        let named = |value: &Value| {
            let element = if let Value::Text(word) = value { Element::from_word(word) } else { None };
            element.ok_or_else(|| {
                Problem::new(Code::InvalidClass, format!("{value} is no dtype of a value")).in_formula(formula, "here")
            })
        };
        if let Some(value) = self.domain.plain(&value) {
            return named(value).map(Elements::One);
        }
        let cases = self.domain.cases(&value);
        let cases: Vec<_> =
            cases.iter().map(|(when, value)| Ok((when.clone(), named(value)?))).collect::<Result<_, Problem>>()?;
        Ok(Elements::Several(cases))
    }

    fn element_bytes(&self, element: Element) -> Result<Each<'_, D::Value>, Problem> {
        let slot = match element {
            Element::Activation => DTYPE_BYTES,
            Element::Cache => KV_DTYPE_BYTES,
            Element::Index => INDEX_DTYPE_BYTES,
            Element::Float32 => return Ok(Each::Fixed(4)),
            Element::Bool => return Ok(Each::Fixed(1)),
        };
        self.builtins.get(slot).map(Each::Stated).ok_or_else(|| {
            let name = VARIABLES.get(slot).map_or("", |(name, _)| name);
            Problem::new(Code::ParameterType, format!("`{name}` is not a number"))
        })
    }
}

/// Bytes of an element.
enum Each<'v, V> {
    Fixed(u8),
    /// As the workload says.
    Stated(&'v V),
}
