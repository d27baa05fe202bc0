//! Explanations of layers: every path leads to its row, and every formula with its values put in gives the figure.

use std::sync::Arc;

use layerspec::analyses::Because;
use layerspec::diagnostics::Code;
use layerspec::{Evaluation, Exact, Execution, Expression, Phase, Value, Workload};

use crate::support::{SESSION, codes, evaluate, root};

/// A text in a phase, if it can be had there.
fn in_phase(text: &str, phase: Phase) -> Option<Evaluation> {
    let workload = Workload { phase: Some(phase), ..Workload::default() };
    evaluate(&SESSION, "model.json", text, &(workload, Execution::default())).value
}

/// The embedded models and the cases that compile.
fn models() -> Vec<Arc<str>> {
    let cases = std::fs::read_dir(root("tests/cases/ok"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap().into());
    SESSION.catalog().models().iter().map(|file| file.text.into()).chain(cases).collect()
}

#[test]
fn every_path_leads_to_its_row() {
    let mut checked = 0;
    for text in models() {
        if let Some(at) = in_phase(&text, Phase::Prefill) {
            for instance in at.instances() {
                let found = at.find(&instance.path).map(|row| row.id());
                assert_eq!(found, Some(instance.row.id()), "{}", instance.path);
                checked += 1;
            }
        }
    }
    assert!(checked > 2000, "{checked}");
}

#[test]
fn a_path_into_a_huge_repeat_is_found_at_once() {
    let text = r#"{ "layers": [ { "name": "a", "repeat": 1000000000000, "sub_layers": [ { "repeat": 3, "index": "j", "sub_layers": [
      { "name": "b<j>_<layer>", "class": "torch.nn.SiLU", "parameters": { "features": 1 } } ] } ] } ] }"#;
    let at = in_phase(text, Phase::Prefill).unwrap();
    assert!(at.find("a.987654321012.b2_987654321012").is_some());
    let layer = at.explain("a.987654321012.b2_987654321012").into_result().unwrap();
    assert!(layer.starts_with("a.987654321012.b2_987654321012\n\n  torch.nn.SiLU (module)\n"), "{layer}");
    let nowhere = ["a.987654321012.b2_987654321013", "a.987654321012.b3_987654321012", "a.1000000000000", "a.01"];
    for path in nowhere {
        assert!(at.find(path).is_none(), "{path}");
        assert_eq!(codes(&at.explain(path).diagnostics), [Code::UnknownSubject], "{path}");
    }
    // A composite is no row.
    assert!(at.find("a.7").is_none());
    assert_eq!(at.explain("a.7").into_result().unwrap(), "a.7\n\nlayers\n  a.7.b[0-2]_7  torch.nn.SiLU\n");
}

fn value_of(with_values: &str) -> Option<Exact> {
    Expression::formula(with_values).ok()?.evaluate(&|_| None).ok()?.as_number()
}

fn as_count(value: Exact) -> u128 {
    value.ceil().unwrap().to_count().unwrap()
}

/// What is shown is reckoned anew, by reading it.
#[test]
fn formulas_with_their_values_give_the_figures() {
    let mut checked = 0;
    for (text, phase) in models().iter().flat_map(|text| [Phase::Prefill, Phase::Decode, Phase::Train].map(|phase| (text, phase)))
    {
        if let Some(at) = in_phase(text, phase) {
            for row in at.rows() {
                for reason in row.reasons().unwrap().quantities {
                    let found = match &reason.because {
                        // A list as a value is no expression that could be read again.
                        Because::Formula { with_values, .. } if with_values.contains('[') => continue,
                        Because::Formula { with_values, .. } => value_of(with_values).map(as_count),
                        Because::Sum { terms, .. } => Some(
                            terms
                                .iter()
                                .map(|term| {
                                    let elements: u128 = term.dims.iter().product();
                                    let bytes = term.bytes.unwrap_or(Exact::ONE);
                                    as_count(Exact::from_count(elements).unwrap().checked_mul(bytes).unwrap())
                                })
                                .sum(),
                        ),
                    };
                    let class = row.class_name();
                    assert_eq!(found, Some(reason.result), "{class} {}: {:?}", reason.info.name, reason.because);
                    for step in &reason.steps {
                        if let Some(value) = value_of(&step.with_values) {
                            assert_eq!(Value::from(value).to_string(), step.result, "{class} {}", step.name);
                            checked += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(checked > 100, "{checked}");
}
