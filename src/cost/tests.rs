//! The worked examples of the catalog's classes come out exactly.

use std::collections::HashSet;
use std::sync::Arc;

use super::bind::{Arguments, Signature};
use super::workload::{CompleteWorkload, Workload};
use super::{Evaluated, evaluate};
use crate::catalog::{CLASS_FILES, Catalog, Class, Example, builtin_slot, check_parameter};

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
                let parameter = &class.parameters[index];
                let value = check_parameter(parameter, value).ok_or_else(|| format!("`{name}` can't be {value}"))?;
                arguments.push((u16::try_from(index).unwrap(), value));
            }
            None => {
                let slot = builtin_slot(name).filter(|_| name.ends_with("_bytes"));
                overrides.push((slot.ok_or_else(|| format!("no parameter `{name}`"))?.try_into().unwrap(), value.clone()));
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

#[test]
fn every_example_is_exact() {
    let catalog = Catalog::new();
    let mut wrong = Vec::new();
    let mut figures = 0;
    for (file, class) in CLASS_FILES.iter().zip(catalog.whole_classes()) {
        let (path, class) = (file.path, class.unwrap());
        for (index, example) in class.examples.iter().enumerate() {
            let place = format!("{path}, example {index} ({})", example.doc);
            let found = match run(&class, example, &catalog) {
                Ok(found) => found,
                Err(message) => {
                    wrong.push(format!("{place}: {message}"));
                    continue;
                }
            };
            for (quantity, expected) in &example.expect {
                figures += 1;
                match found.cost.cost().named(quantity) {
                    Some(value) if value == *expected => {}
                    Some(value) => wrong.push(format!("{place}: {quantity} is {value}, expected {expected}")),
                    None => wrong.push(format!("{place}: `{quantity}` is no quantity")),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {figures}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(figures > 0);
}
