//! Rows of an evaluation, as views: what a layer is, what it costs, what flows out of it.

use std::sync::Arc;

use super::Evaluation;
use crate::catalog::Class;
use crate::cost::bind::{BoundModel, Signature};
use crate::cost::{RowCost, Tensor};
use crate::flat::{RowId, RowInfo, Tied};
use crate::flow::RowFlow;
use crate::quantity::{Cost, Quantity};
use crate::syntax::expr::Value;

/// A distinct basic layer of a model at a workload: one, or all the instances that share it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'e> {
    pub(crate) id: RowId,
    pub(crate) info: &'e RowInfo,
    pub(crate) cost: RowCost<'e>,
    pub(crate) flow: Option<&'e RowFlow>,
    evaluation: &'e Evaluation,
}

/// A parameter of a layer and its value.
#[derive(Debug, Clone, Copy)]
pub struct Parameter<'e> {
    /// Its name in the class.
    pub name: &'e str,
    /// What the layer gives it at the workload.
    pub value: &'e Value,
}

impl<'e> Row<'e> {
    /// By which it is found again: `Evaluation::row`.
    #[must_use]
    pub fn id(&self) -> RowId {
        self.id
    }

    /// `model.layers.[0-31].mlp.up_proj`.
    #[must_use]
    pub fn path(&self) -> &'e str {
        &self.info.path
    }

    /// The class as the file has it, in full.
    #[must_use]
    pub fn class_name(&self) -> &'e str {
        &self.info.row.class_name
    }

    /// `module`, `function`, or `parameter` for a tensor that a composite owns.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.info.row.kind_word()
    }

    /// How many instances share it.
    #[must_use]
    pub fn repeats(&self) -> u128 {
        self.info.repeats
    }

    /// How often each instance runs in one pass.
    #[must_use]
    pub fn calls(&self) -> u128 {
        self.cost.calls
    }

    /// The cost of one instance, run once; weights that are tied count where they are defined.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost.cost
    }

    /// The cost of all instances and calls.
    #[must_use]
    pub fn total(&self) -> Cost {
        self.cost.total()
    }

    /// Learned scalars of all instances.
    #[must_use]
    pub fn params(&self) -> u128 {
        self.cost.of(Quantity::Params)
    }

    /// FLOPs of the matrix products of all instances and calls.
    #[must_use]
    pub fn matmul_flops(&self) -> u128 {
        self.cost.of(Quantity::MatmulFlops)
    }

    /// The shapes of its outputs, in the order of the class; `None` where it isn't known or there is none.
    pub fn output_shapes(&self) -> impl Iterator<Item = Option<&'e [u128]>> {
        self.flow.into_iter().flat_map(|flow| flow.outputs().iter().map(Option::as_deref))
    }

    /// The shape of its first output that has one.
    #[must_use]
    pub fn output_shape(&self) -> Option<&'e [u128]> {
        self.output_shapes().flatten().next()
    }

    /// Bytes that all instances keep for the backward pass, booked to the first layer that needs a tensor kept.
    #[must_use]
    pub fn saved_bytes(&self) -> u128 {
        self.flow.map_or(0, RowFlow::saved_total)
    }

    /// The tensors that one instance owns, tied ones too.
    #[must_use]
    pub fn weights(&self) -> &'e [Tensor] {
        self.evaluation.report.tensors(self.id)
    }

    /// The path of the layer whose weights it shares, the first if there are several.
    #[must_use]
    pub fn tied_to(&self) -> Option<&'e str> {
        self.info.row.tied.first().map(|tied: &Tied| &*tied.path)
    }

    /// The parameters that the layer gives its class; defaults are the class's.
    pub fn parameters(&self) -> impl Iterator<Item = Parameter<'e>> {
        let class = self.class();
        let arguments = self.signature().into_iter().flat_map(|signature| signature.arguments.iter());
        arguments.filter_map(move |(at, value)| {
            let parameter = class?.parameters.get(usize::from(at))?;
            Some(Parameter { name: &parameter.name, value })
        })
    }

    /// Whether a tensor that it owns is another layer's, too, and counted there.
    #[must_use]
    pub fn is_tied(&self, tensor: &Tensor) -> bool {
        self.cost.tied.contains(&tensor.name)
    }

    pub(crate) fn class(&self) -> Option<&'e Arc<Class>> {
        self.info.row.class.as_ref().map(|class| &class.0)
    }

    pub(crate) fn bound(&self) -> &'e BoundModel {
        &self.evaluation.bound
    }

    pub(crate) fn signature(&self) -> Option<&'e Signature> {
        self.evaluation.signature(self.id)
    }
}

/// A layer of the full flat list.
#[derive(Debug, Clone)]
pub struct Instance<'e> {
    /// What it shares with its like.
    pub row: Row<'e>,
    /// `model.layers.7.mlp.up_proj`.
    pub path: String,
    /// How many of its row ran before it.
    pub(crate) before: u128,
}

impl Instance<'_> {
    /// Its cost, all calls. `None` beyond 128 bits, which an evaluation excludes.
    #[must_use]
    pub fn total(&self) -> Option<Cost> {
        if self.row.calls() == 1 { Some(self.row.cost()) } else { self.row.cost().times(1, self.row.calls()) }
    }

    /// Bytes that it keeps for the backward pass, all calls.
    #[must_use]
    pub fn saved_bytes(&self) -> u128 {
        self.row.flow.map_or(0, |flow| flow.saved_by(self.before, self.row.calls()))
    }
}

/// All instances, one by one.
pub(super) fn instances(evaluation: &Evaluation) -> impl Iterator<Item = Instance<'_>> {
    let mut before = vec![0u128; evaluation.flat.rows.len()];
    evaluation.flat.instances().filter_map(move |instance| {
        let row = evaluation.row(instance.row)?;
        let nth = before.get_mut(instance.row.0 as usize)?;
        let before = *nth;
        *nth += 1;
        Some(Instance { row, path: instance.path, before })
    })
}

impl Evaluation {
    /// A row by its id.
    #[must_use]
    pub fn row(&self, id: RowId) -> Option<Row<'_>> {
        let at = id.0 as usize;
        let (info, cost, flow) = (self.flat.rows.get(at)?, self.report.row(id)?, self.flow.rows.get(at));
        Some(Row { id, info, cost, flow, evaluation: self })
    }

    /// The dtype of a weight, if it is one of the workload's or float32; a checkpoint may quantize to others.
    #[must_use]
    pub fn weight_dtype(&self, tensor: &Tensor) -> Option<&str> {
        let workload = &self.bound.workload;
        let known = [&workload.weight_dtype, &workload.other_weight_dtype];
        let dtype = known.into_iter().find(|dtype| dtype.bytes() == tensor.element_bytes).map(|dtype| &*dtype.name);
        // What four bytes are that no dtype of the workload has.
        dtype.or_else(|| (tensor.element_bytes.to_count() == Some(4)).then_some("fp32"))
    }

    pub(super) fn row_at(&self, at: usize) -> Option<Row<'_>> {
        self.row(RowId(u32::try_from(at).ok()?))
    }

    pub(crate) fn signature(&self, id: RowId) -> Option<&Signature> {
        self.bound.signatures.get(self.bound.rows.get(id.0 as usize)?.signature? as usize)
    }
}
