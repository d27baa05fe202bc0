//! Explanations of layers: every path leads to its row, and every formula with its values put in gives the figure.

use std::sync::Arc;

use layerspec::analysis::{Because, reasons};
use layerspec::catalog::Catalog;
use layerspec::cost::workload::Request;
use layerspec::evaluation::{Compiled, compile};
use layerspec::flat::Located;
use layerspec::quantity::workload::Phase;
use layerspec::syntax::diag::Diagnostics;
use layerspec::syntax::expr::{EvalError, Exact, Name, Syntax, Value, eval, parse};
use layerspec::syntax::source::{Source, SourceId};

fn with_model(text: &str, phase: Phase, look: impl FnOnce(&Compiled)) {
    let (catalog, mut diagnostics) = (Arc::new(Catalog::new()), Diagnostics::default());
    let source = Source::load(SourceId::MODEL, "model.json", text.as_bytes()).unwrap();
    let request = Request { phase: Some(phase), ..Request::default() };
    if let Some(compiled) = compile(&source, &catalog, &request, &mut diagnostics) {
        look(&compiled);
    }
}

/// The embedded models and the cases that compile.
fn models() -> Vec<Arc<str>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/ok");
    let cases = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap().into());
    Arc::new(Catalog::new()).models().iter().map(|file| file.text.into()).chain(cases).collect()
}

#[test]
fn every_path_leads_to_its_row() {
    let mut checked = 0;
    for text in models() {
        with_model(&text, Phase::Prefill, |compiled| {
            for instance in compiled.flat.instances() {
                let located = compiled.flat.locate(&instance.path);
                assert_eq!(located, Ok(Located::Layer(instance.row)), "{}", instance.path);
                checked += 1;
            }
        });
    }
    assert!(checked > 2000, "{checked}");
}

#[test]
fn a_path_into_a_huge_repeat_is_found_at_once() {
    let text = r#"{ "layers": [ { "name": "a", "repeat": 1000000000000, "sub_layers": [ { "repeat": 3, "index": "j", "sub_layers": [
      { "name": "b<j>_<layer>", "class": "torch.nn.SiLU", "parameters": { "features": 1 } } ] } ] } ] }"#;
    let mut looked = false;
    with_model(text, Phase::Prefill, |compiled| {
        assert!(matches!(compiled.flat.locate("a.987654321012.b2_987654321012"), Ok(Located::Layer(_))));
        assert!(compiled.flat.locate("a.987654321012.b2_987654321013").is_err());
        assert!(compiled.flat.locate("a.987654321012.b3_987654321012").is_err());
        assert!(compiled.flat.locate("a.1000000000000").is_err());
        assert!(compiled.flat.locate("a.01").is_err());
        let Ok(Located::Children { children, .. }) = compiled.flat.locate("a.7") else { panic!() };
        let names: Vec<&str> = children.iter().map(|child| &*child.name).collect();
        assert_eq!(names, ["b[0-2]_7"]);
        looked = true;
    });
    assert!(looked);
}

fn value_of(with_values: &str) -> Option<Exact> {
    let expr = parse(with_values, Syntax::Formula).ok()?;
    eval(&expr, &|_: &Name| Err(EvalError::Reported), 0).ok()?.as_number()
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
        with_model(text, phase, |compiled| {
            for signature in &compiled.bound.signatures {
                for reason in reasons(signature, &compiled.bound.builtins, phase).unwrap().quantities {
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
                    let class = signature.class.as_ref().map_or("", |class| &class.name);
                    assert_eq!(found, Some(reason.result), "{class} {}: {:?}", reason.info.name, reason.because);
                    for step in &reason.steps {
                        if let Some(value) = value_of(&step.with_values) {
                            assert_eq!(Value::from(value).to_string(), step.result, "{class} {}", step.name);
                            checked += 1;
                        }
                    }
                }
            }
        });
    }
    assert!(checked > 100, "{checked}");
}
