//! Worked examples of classes: what must come out, against what does.

use std::collections::HashSet;
use std::sync::Arc;

use super::bind::{Arguments, Signature};
use super::workload::{CompleteWorkload, Workload};
use super::{Evaluated, evaluate};
use crate::catalog::{Catalog, Class, Example, builtin_slot, check_parameter};

/// Where an example doesn't come out as it says, in words; nothing if it does.
#[must_use]
pub fn differences(class: &Arc<Class>, example: &Example, catalog: &Catalog) -> Vec<String> {
    let found = match run(class, example, catalog) {
        Ok(found) => found.cost.cost(),
        Err(message) => return vec![message],
    };
    let difference = |(quantity, expected): &(Arc<str>, u128)| match found.named(quantity) {
        Some(value) if value == *expected => None,
        Some(value) => Some(format!("{quantity} is {value}, expected {expected}")),
        None => Some(format!("`{quantity}` is no quantity")),
    };
    example.expect.iter().filter_map(difference).collect()
}

fn run(class: &Arc<Class>, example: &Example, catalog: &Catalog) -> Result<Evaluated, String> {
    let (asked, execution) =
        Workload::from_pairs(&example.workload, catalog).map_err(|(name, expected)| format!("`{name}`: {expected}"))?;
    if let Some((name, _)) = asked.settings.iter().find(|(name, _)| builtin_slot(name).is_none()) {
        return Err(format!("`{name}` is no workload option"));
    }
    let workload = CompleteWorkload::complete(&asked, execution, &[], None, None);
    let (mut arguments, mut overrides) = (Vec::new(), Vec::new());
    for (name, value) in &example.parameters {
        match class.parameters.iter().position(|p| p.name == *name) {
            Some(index) => {
                let value = class.parameters.get(index).and_then(|parameter| check_parameter(parameter, value));
                let value = value.ok_or_else(|| format!("`{name}` has no such value"))?;
                arguments.push((u16::try_from(index).map_err(|_| "too many parameters".to_owned())?, value));
            }
            None => {
                let slot = builtin_slot(name).filter(|_| name.ends_with("_bytes"));
                let slot = slot.and_then(|slot| u16::try_from(slot).ok()).ok_or_else(|| format!("no parameter `{name}`"))?;
                overrides.push((slot, value.clone()));
            }
        }
    }
    let given: HashSet<&str> = example.parameters.iter().map(|(name, _)| &**name).collect();
    if let Some(missing) = class.parameters.iter().find(|p| p.default.is_none() && !given.contains(&*p.name)) {
        return Err(format!("`{}` is missing", missing.name));
    }
    let signature = Signature {
        class: Some(class.clone()),
        arguments: Arguments::Bound(arguments.into()),
        overrides,
        weights: None,
        quantized: None,
        all_stored: false,
        no_grad: false,
    };
    evaluate(&signature, &workload.values(&asked, &[]), workload.phase).map_err(|problem| problem.message().to_owned())
}
