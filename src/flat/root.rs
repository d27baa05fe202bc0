//! What is said of the model as a whole: defaults of its workload, its inputs, its positions.

use std::collections::HashSet;
use std::sync::Arc;

use super::flattener::{Flattener, ValueScope};
use super::model::InputTensor;
use crate::language::check::{derived_entries, own_workload, variable_entries};
use crate::language::scope::Scope;
use crate::language::{Argument, Binding};
use crate::syntax::expr::Value;
use crate::syntax::source::Span;
use crate::syntax::spec::{Model, ModelInput, Variable};

impl<'m> Flattener<'m, '_> {
    /// The defaults of workload variables: the model's for any of them, then those of the families in it for their own.
    pub(super) fn workload_defaults(&mut self, root: &ValueScope<'m, '_>) -> Vec<(Arc<str>, Argument)> {
        let model = &self.checked.model;
        let mut defaults: Vec<(Arc<str>, Argument)> =
            model.workload.iter().filter_map(|v| Some((v.name.value.clone(), self.argument(&v.value, root)?))).collect();
        let wanted: HashSet<*const Variable> = own_workload(model).into_iter().map(std::ptr::from_ref).collect();
        for (_, inner) in &model.nested {
            self.nested_defaults(inner, root, &wanted, &mut defaults);
        }
        defaults
    }

    fn nested_defaults(
        &mut self,
        model: &'m Model,
        scope: &ValueScope<'m, '_>,
        wanted: &HashSet<*const Variable>,
        defaults: &mut Vec<(Arc<str>, Argument)>,
    ) {
        let variables = Scope::boundary(scope, variable_entries(model, &[], &[]));
        let derived = Scope::new(Some(&variables), derived_entries(model, &[]));
        for variable in model.workload.iter().filter(|v| wanted.contains(&std::ptr::from_ref(*v))) {
            defaults.extend(self.argument(&variable.value, &derived).map(|argument| (variable.name.value.clone(), argument)));
        }
        for (_, inner) in &model.nested {
            self.nested_defaults(inner, &derived, wanted, defaults);
        }
    }

    /// The tensors that the model is called with; `None`: token ids.
    pub(super) fn model_inputs(&mut self, root: &ValueScope<'m, '_>) -> Option<Vec<InputTensor>> {
        let inputs = self.checked.model.inputs.as_slice();
        let tensor = |flattener: &mut Self, input: &'m ModelInput| InputTensor {
            name: input.name.value.clone(),
            shape: input.shape.iter().map(|dim| flattener.argument(dim, root)).collect(),
            dtype: input.dtype.value.clone(),
        };
        (!inputs.is_empty()).then(|| inputs.iter().map(|input| tensor(self, input)).collect())
    }

    /// How many positions the model has, if it says so.
    pub(super) fn positions(&mut self, root: &ValueScope<'m, '_>) -> Option<(u64, Span)> {
        let (scope, entry) = root.find("max_position_embeddings")?;
        let value = self.values.entry(scope, entry, 0).ok()?;
        let Binding::Known(Value::Number(n)) = value else {
            return None;
        };
        let count = n.to_count().and_then(|n| u64::try_from(n).ok())?;
        Some((count, entry.span?))
    }
}
