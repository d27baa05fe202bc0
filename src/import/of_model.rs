//! A model's own tensors, in the form that files have.

use std::sync::Arc;

use super::contents::{Contents, Held};
use crate::cost::Tensor;
use crate::evaluation::Evaluation;
use crate::quantity::Exact;

/// The tensors of a model at a workload, tied ones once: as many elements as it has parameters. Of more than `most` the first are listed, which
/// a remark says.
#[must_use]
pub fn contents_of(evaluation: &Evaluation, most: usize) -> Contents {
    let mut contents = Contents { format: "model".into(), ..Contents::default() };
    for instance in evaluation.instances() {
        for tensor in instance.row.weights().iter().filter(|tensor| !instance.row.is_tied(tensor)) {
            if contents.tensors.len() >= most {
                contents.remarks.push(format!("the first {most} tensors are listed"));
                return contents;
            }
            let own = instance.row.class().is_none();
            let name = if own { instance.path.as_str().into() } else { format!("{}.{}", instance.path, tensor.name).into() };
            let shape = tensor.shape.iter().map(|dim| u64::try_from(*dim).ok()).collect();
            let bytes = u64::try_from(tensor.bytes).ok();
            contents.tensors.push(Held { name, shape, kind: kind(evaluation, tensor), bytes, file: None });
        }
    }
    contents
}

/// The dtype of a weight, or its bits: `4.5 bits`.
fn kind(evaluation: &Evaluation, tensor: &Tensor) -> Arc<str> {
    let bits = || tensor.element_bytes.checked_mul(Exact::integer(8)).map(|bits| format!("{bits} bits"));
    match evaluation.weight_dtype(tensor) {
        Some(dtype) => dtype.into(),
        None => bits().unwrap_or_else(|| "?".to_owned()).into(),
    }
}
