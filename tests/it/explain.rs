//! Explanations of layers: every path leads to its row, and every formula with its values put in gives the figure.

use std::sync::Arc;

use layerspec::analysis::{Because, reasons};
use layerspec::catalog::Catalog;
use layerspec::cost::workload::Request;
use layerspec::evaluation::{Compiled, compile};
use layerspec::flat::{Located, RowId};
use layerspec::quantity::Quantity;
use layerspec::quantity::workload::Phase;
use layerspec::report::explain_layer;
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
    let (mut checked, mut sums) = (0, 0);
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
            sums += check_sums(compiled, phase);
        });
    }
    assert!(checked > 100 && sums > 1000, "{checked} {sums}");
}

/// What a sum is said to be, reckoned anew: its terms, each rounded up to whole bytes.
fn reckoned(equation: &str) -> Option<u128> {
    equation.split(" + ").map(|term| value_of(term).map(as_count)).sum()
}

/// The lines of a page that say what a quantity is equal to.
fn equations(page: &str, quantity: &str) -> Vec<String> {
    let section = page.lines().skip_while(|line| *line != quantity).skip(1).take_while(|line| !line.is_empty());
    section.filter_map(|line| line.strip_prefix("  = ")).map(|line| line.replace(',', "")).collect()
}

/// Every sum on the page of every distinct layer, read as a person reads it; how many there were.
fn check_sums(compiled: &Compiled, phase: Phase) -> usize {
    let mut checked = 0;
    for (at, signature) in compiled.bound.signatures.iter().enumerate() {
        let Some(row) = compiled.bound.rows.iter().position(|row| row.signature == u32::try_from(at).ok()) else { continue };
        let row = RowId(u32::try_from(row).unwrap());
        let found = reasons(signature, &compiled.bound.builtins, phase).unwrap();
        let page = explain_layer("layer", row, compiled, &found);
        let summed = |because: &Because<'_>| matches!(because, Because::Sum { terms, .. } if !terms.is_empty());
        for reason in found.quantities.iter().filter(|reason| summed(&reason.because)) {
            let equations = equations(&page, reason.info.name);
            assert!(!equations.is_empty(), "{} is said nowhere:\n{page}", reason.info.name);
            for equation in equations {
                assert_eq!(reckoned(&equation), Some(reason.result), "{}: {equation}\n{page}", reason.info.name);
                checked += 1;
            }
        }
    }
    checked
}

/// A bias of a layer whose weight is quantized keeps the checkpoint's dtype, and each is shown with its own bytes.
#[test]
fn a_quantized_layer_with_a_bias_is_explained_truthfully() {
    let config = r#"{
      "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "torch_dtype": "bfloat16", "vocab_size": 100, "hidden_size": 64,
      "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": true,
      "quantization_config": { "quant_method": "gptq", "bits": 4, "group_size": 32 } }"#;
    let mut looked = false;
    with_model(config, Phase::Prefill, |compiled| {
        assert!(check_sums(compiled, Phase::Prefill) > 10);
        let Ok(Located::Layer(row)) = compiled.flat.locate("model.layers.0.self_attn.q_proj") else { panic!() };
        let signature = &compiled.bound.signatures[compiled.bound.rows[row.0 as usize].signature.unwrap() as usize];
        let found = reasons(signature, &compiled.bound.builtins, Phase::Prefill).unwrap();
        let bytes = found.quantities.iter().find(|reason| reason.info.quantity == Quantity::WeightBytes).unwrap();
        // 4 bits, and for each group of 32 a scale of 16 bits and a zero point of 4.
        assert_eq!(bytes.result, 64 * 64 * (4 * 32 + 16 + 4) / 32 / 8 + 64 * 2);
        let page = explain_layer("q_proj", row, compiled, &found);
        assert_eq!(equations(&page, "weight_bytes"), ["64 * 64 * 37/64 + 64 * 2", "2496"], "{page}");
        looked = true;
    });
    assert!(looked);
}
