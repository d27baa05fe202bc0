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
use crate::syntax::expr::{Exact, Value};

/// Bytes of an element of a weight that stays in float32.
const FLOAT32: Exact = Exact::integer(4);

/// A weight with its size.
#[derive(Debug, Clone)]
pub struct Tensor<C = u128> {
    /// Its name in its layer.
    pub name: Arc<str>,
    /// Its shape.
    pub shape: Vec<C>,
    /// How many scalars it has.
    pub elements: C,
    /// Of one element; 0 where a workload changes it.
    pub element_bytes: Exact,
    /// Of all of them, rounded up once.
    pub bytes: C,
    /// Whether training changes it.
    pub is_trained: bool,
}

impl<C: Clone> Tensor<C> {
    fn new<D: Counting<Count = C>>(domain: &D, name: &Arc<str>, shape: Vec<C>, element: &D::Value) -> Result<Self, Problem> {
        let beyond = || Problem::new(Code::Overflow, format!("the weight `{name}` has more elements than are computed with"));
        let elements = shape.iter().try_fold(domain.of(1), |product, dim| domain.product(&product, dim)).ok_or_else(beyond)?;
        let bytes = domain.times(&elements, element).ok_or_else(beyond)?;
        let element_bytes = domain.plain(element).and_then(Value::as_number).unwrap_or_default();
        Ok(Tensor { name: name.clone(), shape, elements, element_bytes, bytes, is_trained: true })
    }

    /// Its bytes with so many more for each matrix in it.
    fn with_codebooks<D: Counting<Count = C>>(&self, domain: &D, each: Exact) -> Result<C, Problem> {
        let matrices = self.shape.iter().rev().skip(2).try_fold(domain.of(1), |product, dim| domain.product(&product, dim));
        let more = matrices.and_then(|n| domain.times(&n, &domain.constant(&Value::Number(each))));
        let beyond = || Problem::new(Code::Overflow, format!("the weight `{}` has more bytes than are computed with", self.name));
        more.and_then(|more| domain.sum(&self.bytes, &more)).ok_or_else(beyond)
    }
}

impl<C> Tensor<C> {
    /// The same with other counts.
    pub fn map<C2>(&self, count: &impl Fn(&C) -> C2) -> Tensor<C2> {
        Tensor {
            name: self.name.clone(),
            shape: self.shape.iter().map(count).collect(),
            elements: count(&self.elements),
            element_bytes: self.element_bytes,
            bytes: count(&self.bytes),
            is_trained: self.is_trained,
        }
    }
}

impl Tensor {
    /// Bytes besides those of its elements: codebooks.
    #[must_use]
    pub fn besides(&self) -> u128 {
        self.bytes.saturating_sub(bytes_of(self.elements, self.element_bytes).unwrap_or(self.bytes))
    }
}

/// The bytes of a weight's element, as class formulas see them.
pub(super) fn weight_dtype_bytes<D: Counting>(domain: &D, builtins: &[D::Value]) -> Result<D::Value, Problem> {
    let is_number = |value: &&D::Value| domain.plain(value).is_none_or(|value| value.as_number().is_some());
    let value = builtins.get(WEIGHT_DTYPE_BYTES).filter(is_number);
    value.cloned().ok_or_else(|| Problem::new(Code::ParameterType, "`weight_dtype_bytes` is not a number"))
}

/// The tensors that a layer owns. `env` has the names of its class; `None`: it has none.
pub(super) fn tensors<D: Counting>(
    domain: &D,
    signature: &Signature<D>,
    env: Option<&LayerEnv<'_, D>>,
    bytes: &D::Value,
) -> Result<Vec<Tensor<D::Count>>, Problem> {
    match (&signature.weights, env) {
        (None, Some(env)) => env.tensors(bytes, signature),
        (own, _) => {
            let float32 = domain.constant(&Value::Number(FLOAT32));
            let tensor = |weight: &OwnWeight| {
                let stored = signature.quantized.as_ref().and_then(|quantized| quantized.own(&weight.name));
                let stored = stored.map(|bytes| domain.constant(&Value::Number(bytes)));
                let usual = if weight.float32 && !signature.all_stored { &float32 } else { bytes };
                let shape = weight.shape.iter().map(|dim| domain.of(*dim)).collect();
                Tensor::new(domain, &weight.name, shape, stored.as_ref().unwrap_or(usual))
            };
            own.iter().flat_map(|own| own.iter()).map(tensor).collect()
        }
    }
}

impl<D: Counting> LayerEnv<'_, D> {
    /// The weights, of which some may be quantized: then the others have bytes of their own. One that only some workloads have is nothing in the
    /// others.
    fn tensors(&self, bytes: &D::Value, signature: &Signature<D>) -> Result<Vec<Tensor<D::Count>>, Problem> {
        let domain = self.domain;
        let constant = |bytes: Exact| domain.constant(&Value::Number(bytes));
        let quantized = signature.quantized.as_deref();
        let mut tensors = Vec::with_capacity(self.class.weights.len());
        for weight in &self.class.weights {
            let exists = self.flag(weight.when.as_ref(), true)?;
            let decided = domain.decided(&exists);
            if decided != Some(false) {
                // Of a class that says nothing of its own, all weights are: a method says so (embeddings).
                let is_kept = !self.class.quantized.is_empty() && !self.class.quantized.contains(&weight.name);
                let stored = quantized.and_then(|quantized| quantized.own(&weight.name)).map(constant);
                let own = match quantized.filter(|_| is_kept) {
                    _ if stored.is_some() => stored.as_ref().unwrap_or(bytes),
                    _ if weight.float32 && !signature.all_stored => &constant(FLOAT32),
                    Some(quantized) => &constant(quantized.others),
                    None => bytes,
                };
                let made = || {
                    let mut tensor = Tensor::new(domain, &weight.name, self.shape(&weight.shape)?, own)?;
                    if let Some(quantized) = quantized.filter(|_| !is_kept) {
                        tensor.bytes = tensor.with_codebooks(domain, quantized.matrix_bytes)?;
                    }
                    let trained = self.flag(weight.trained.as_ref(), true)?;
                    // What a workload decides is trained at some.
                    tensor.is_trained = domain.decided(&trained).unwrap_or(true);
                    Ok(tensor)
                };
                let mut tensor = if decided.is_none() { domain.within(&exists, true, made) } else { made() }?;
                if decided.is_none() {
                    tensor.elements = domain.only_if(&exists, &tensor.elements);
                    tensor.bytes = domain.only_if(&exists, &tensor.bytes);
                }
                tensors.push(tensor);
            }
        }
        // Without a bias, say: these stay for as long as the report.
        tensors.shrink_to_fit();
        Ok(tensors)
    }
}
