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
    let (mut checked, mut sums) = (0, 0);
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
            sums += check_sums(&at);
        }
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

/// Every sum on the page of every row, read as a person reads it; how many there were.
fn check_sums(at: &Evaluation) -> usize {
    let mut checked = 0;
    for row in at.rows() {
        let reasons = row.reasons().unwrap();
        let page = at.explain(row.path()).into_result().unwrap();
        let summed = |because: &Because<'_>| matches!(because, Because::Sum { terms, .. } if !terms.is_empty());
        for reason in reasons.quantities.iter().filter(|reason| summed(&reason.because)) {
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

/// A variable that a formula asks for is a step on the way to it, after those that it is made from, and one that isn't asked for is none.
#[test]
fn the_variables_of_a_class_are_steps() {
    let class = |variables: &str, matmul: &str| {
        format!(
            r#"{{ "classes": {{ "x.Own": {{ "kind": "function", "doc": "a test", "source": "here", "parameters": {{ "n": {{ "kind": "count", "doc": "n" }} }},
            "variables": {variables}, "flops": {{ "matmul": "{matmul}", "vector": 0, "transcendental": 0 }} }} }},
            "layers": [ {{ "name": "own", "class": "x.Own", "parameters": {{ "n": 3 }} }} ] }}"#
        )
    };
    let steps = |text: &str| -> Vec<(String, String, String)> {
        let at = in_phase(text, Phase::Prefill).unwrap();
        let reasons = at.find("own").unwrap().reasons().unwrap();
        let matmul = reasons.quantities.into_iter().find(|reason| reason.info.name == "matmul_flops").unwrap();
        matmul.steps.iter().map(|step| (step.name.to_owned(), step.with_values.clone(), step.result.clone())).collect()
    };
    let step = |name: &str, with_values: &str, result: &str| (name.to_owned(), with_values.to_owned(), result.to_owned());
    assert_eq!(steps(&class(r#"{ "twice": "2 * n" }"#, "twice + 1")), [step("twice", "2 * 3", "6")]);
    let several = class(r#"{ "idle": "n", "twice": "2 * n", "more": "twice + 1" }"#, "if(n > 5, idle, more * twice)");
    assert_eq!(steps(&several), [step("twice", "2 * 3", "6"), step("more", "6 + 1", "7")]);
}

/// A bias of a layer whose weight is quantized keeps the checkpoint's dtype, and each is shown with its own bytes.
#[test]
fn a_quantized_layer_with_a_bias_is_explained_truthfully() {
    let config = r#"{
      "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "torch_dtype": "bfloat16", "vocab_size": 100, "hidden_size": 64,
      "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": true,
      "quantization_config": { "quant_method": "gptq", "bits": 4, "group_size": 32 } }"#;
    let at = in_phase(config, Phase::Prefill).unwrap();
    assert!(check_sums(&at) > 10);
    let path = "model.layers.0.self_attn.q_proj";
    let reasons = at.find(path).unwrap().reasons().unwrap();
    let bytes = reasons.quantities.iter().find(|reason| reason.info.name == "weight_bytes").unwrap();
    // 4 bits, and for each group of 32 a scale of 16 bits and a zero point of 4.
    assert_eq!(bytes.result, 64 * 64 * (4 * 32 + 16 + 4) / 32 / 8 + 64 * 2);
    let page = at.explain(path).into_result().unwrap();
    assert_eq!(equations(&page, "weight_bytes"), ["64 * 64 * 37/64 + 64 * 2", "2496"], "{page}");
}
