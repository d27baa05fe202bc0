//! The weights that a layer owns, with their sizes.
//!
//! A signature comes in, its [`Tensor`]s go out: what the layer says itself, else what its class has. A checkpoint may quantize some of
//! them, so each keeps the bytes of its own elements.

use std::sync::Arc;

use super::counting::{Counting, bytes_of};
use super::env::LayerEnv;
use super::problem::Problem;
use crate::cost::bind::Signature;
use crate::flat::OwnWeight;
use crate::quantity::workload::WEIGHT_DTYPE_BYTES;
use crate::syntax::diag::Code;
use crate::syntax::expr::Exact;

/// Bytes of an element of a weight that stays in float32.
const FLOAT32: Exact = Exact::integer(4);

/// A weight with its size.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Its name in its layer.
    pub name: Arc<str>,
    /// Its shape.
    pub shape: Vec<u128>,
    /// How many scalars it has.
    pub elements: u128,
    /// Of one element.
    pub element_bytes: Exact,
    /// Of all of them, rounded up once.
    pub bytes: u128,
    /// Whether training changes it.
    pub is_trained: bool,
}

impl Tensor {
    fn new(name: &Arc<str>, shape: Vec<u128>, element_bytes: Exact) -> Result<Self, Problem> {
        let beyond = || Problem::new(Code::Overflow, format!("the weight `{name}` has more elements than are computed with"));
        let elements = shape.iter().try_fold(1u128, |product, dim| product.checked_mul(*dim)).ok_or_else(beyond)?;
        let bytes = bytes_of(elements, element_bytes).ok_or_else(beyond)?;
        Ok(Tensor { name: name.clone(), shape, elements, element_bytes, bytes, is_trained: true })
    }
}

impl Tensor {
    /// Bytes besides those of its elements: codebooks.
    #[must_use]
    pub fn besides(&self) -> u128 {
        self.bytes.saturating_sub(bytes_of(self.elements, self.element_bytes).unwrap_or(self.bytes))
    }

    /// Its bytes with so many more for each matrix in it.
    fn with_codebooks(&self, each: Exact) -> Result<u128, Problem> {
        let matrices = self.shape.iter().rev().skip(2).try_fold(1u128, |product, dim| product.checked_mul(*dim));
        let more = matrices.and_then(|n| bytes_of(n, each));
        let beyond = || Problem::new(Code::Overflow, format!("the weight `{}` has more bytes than are computed with", self.name));
        more.and_then(|more| self.bytes.checked_add(more)).ok_or_else(beyond)
    }
}

/// The bytes of a weight's element, as class formulas see them.
pub(super) fn weight_dtype_bytes<D: Counting>(domain: &D, builtins: &[D::Value]) -> Result<Exact, Problem> {
    let value = builtins.get(WEIGHT_DTYPE_BYTES).and_then(|value| domain.plain(value)?.as_number());
    value.ok_or_else(|| Problem::new(Code::ParameterType, "`weight_dtype_bytes` is not a number"))
}

/// The tensors that a layer owns. `env` has the names of its class; `None`: it has none.
pub(super) fn tensors<D: Counting>(
    signature: &Signature<D>,
    env: Option<&LayerEnv<'_, D>>,
    bytes: Exact,
) -> Result<Vec<Tensor>, Problem> {
    match (&signature.weights, env) {
        (None, Some(env)) => env.tensors(bytes, signature),
        (own, _) => {
            let tensor = |weight: &OwnWeight| {
                let stored = signature.quantized.as_ref().and_then(|quantized| quantized.own(&weight.name));
                let bytes = stored.unwrap_or(if weight.float32 && !signature.all_stored { FLOAT32 } else { bytes });
                Tensor::new(&weight.name, weight.shape.clone(), bytes)
            };
            own.iter().flat_map(|own| own.iter()).map(tensor).collect()
        }
    }
}

impl<D: Counting> LayerEnv<'_, D> {
    /// The weights, of which some may be quantized: then the others have bytes of their own. Which there are, and how large, no workload
    /// changes: where it does, there is no answer for many at once.
    fn tensors(&self, bytes: Exact, signature: &Signature<D>) -> Result<Vec<Tensor>, Problem> {
        let open = |name: &str| Problem::new(Code::NotACount, format!("the weight `{name}` depends on the workload"));
        let quantized = signature.quantized.as_deref();
        let mut tensors = Vec::with_capacity(self.class.weights.len());
        for weight in &self.class.weights {
            let exists = self.flag(weight.when.as_ref(), true)?;
            if self.domain.decided(&exists).ok_or_else(|| open(&weight.name))? {
                // Of a class that says nothing of its own, all weights are: a method says so (embeddings).
                let is_kept = !self.class.quantized.is_empty() && !self.class.quantized.contains(&weight.name);
                let own = match quantized.filter(|_| is_kept) {
                    _ if quantized.is_some_and(|quantized| quantized.own(&weight.name).is_some()) => {
                        quantized.and_then(|quantized| quantized.own(&weight.name)).unwrap_or(bytes)
                    }
                    _ if weight.float32 && !signature.all_stored => FLOAT32,
                    Some(quantized) => quantized.others,
                    None => bytes,
                };
                let shape = self.shape(&weight.shape)?;
                let shape: Option<Vec<u128>> = shape.iter().map(|dim| self.domain.known(dim)).collect();
                let mut tensor = Tensor::new(&weight.name, shape.ok_or_else(|| open(&weight.name))?, own)?;
                let trained = self.flag(weight.trained.as_ref(), true)?;
                tensor.is_trained = self.domain.decided(&trained).ok_or_else(|| open(&weight.name))?;
                if let Some(quantized) = quantized.filter(|_| !is_kept) {
                    tensor.bytes = tensor.with_codebooks(quantized.matrix_bytes)?;
                }
                tensors.push(tensor);
            }
        }
        // Without a bias, say: these stay for as long as the report.
        tensors.shrink_to_fit();
        Ok(tensors)
    }
}
