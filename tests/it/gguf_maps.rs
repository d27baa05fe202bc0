//! The maps of GGUF files: headers as llama.cpp's converter writes them, of small models of many architectures, are the models that they were
//! made of.
//!
//! `tests/reference/gguf/*.json`: a config of transformers, what convert_hf_to_gguf.py made of that model's weights (names, sizes, keys; no data), and
//! how many parameters PyTorch counted.

use std::io::Cursor;

use layerspec::{Evaluation, Execution, Model, Outcome, Settings, Workload};
use serde_json::Value as Json;

use crate::support::gguf::{Gguf, Meta, Tensor};
use crate::support::{SESSION, root};

const Q8_0: u32 = 8;
const F32: u32 = 0;

/// Each case by its name.
fn cases() -> Vec<(String, Json)> {
    let mut files: Vec<_> = std::fs::read_dir(root("tests/reference/gguf")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    };
    files.iter().map(read).collect()
}

fn meta(json: &Json) -> Meta {
    match json {
        Json::Bool(flag) => Meta::Flag(*flag),
        Json::Number(n) if n.is_u64() => Meta::Count(u32::try_from(n.as_u64().unwrap()).unwrap()),
        Json::Number(n) => Meta::Float(n.to_string().parse().unwrap()),
        Json::String(text) => Meta::Text(text.clone()),
        Json::Array(items) => Meta::List(items.iter().map(meta).collect()),
        other => panic!("{other} is no metadata"),
    }
}

/// A tensor, rows first in the case. Matrices of whole blocks are quantized, as the converter does with `--outtype q8_0`.
fn tensor(name: &str, shape: &Json) -> Tensor {
    let mut dims: Vec<u64> = shape.as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap()).collect();
    let elements: u64 = dims.iter().product();
    dims.reverse();
    let is_quantized = dims.len() > 1 && dims[0].is_multiple_of(32);
    let (kind, bytes) = if is_quantized { (Q8_0, elements / 32 * 34) } else { (F32, elements * 4) };
    (name.to_owned(), dims, kind, bytes)
}

fn tensors(case: &Json) -> Vec<Tensor> {
    case["tensors"].as_object().unwrap().iter().map(|(name, shape)| tensor(name, shape)).collect()
}

fn header(case: &Json, tensors: &[Tensor]) -> Vec<u8> {
    let mut metadata: Vec<(&str, Meta)> =
        case["metadata"].as_object().unwrap().iter().map(|(key, value)| (key.as_str(), meta(value))).collect();
    metadata.push(("tokenizer.ggml.tokens", Meta::Texts(case["tokens"].as_u64().unwrap())));
    Gguf::written(false, &metadata, tensors)
}

fn opened(bytes: &[u8]) -> Outcome<Model> {
    let contents = SESSION.contents("case.gguf", &mut Cursor::new(bytes), None);
    contents.and_then(|contents| SESSION.open("case.gguf", &contents, None, &Settings::default()))
}

fn evaluated(model: Outcome<Model>) -> Outcome<Evaluation> {
    let workload = Workload { past_len: Some(48), ..Workload::prefill(2, 16) };
    model.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(&workload))
}

#[test]
fn what_the_converter_writes_is_the_model_that_it_read() {
    let mut wrong = Vec::new();
    for (name, case) in cases() {
        let tensors = tensors(&case);
        let outcome = evaluated(opened(&header(&case, &tensors)));
        let Some(found) = outcome.value else {
            wrong.push(format!("{name}: {:?}", outcome.diagnostics));
            continue;
        };
        // PyTorch's own count, and the bytes of the tensors that are the model's.
        let aside = |name: &str| case["aside"].as_array().unwrap().iter().any(|known| known == name);
        let bytes: u64 = tensors.iter().filter(|(name, ..)| !aside(name)).map(|(.., bytes)| bytes).sum();
        // What the file lacks is as the workload has it: two bytes each.
        let bytes = bytes + 2 * case["lacks"].as_u64().unwrap();
        let counted = (Some(u128::from(case["params"].as_u64().unwrap())), Some(u128::from(bytes)));
        let ours = (Some(found.params()), found.named("weight_bytes"));
        if ours != counted {
            wrong.push(format!("{name}: {ours:?} parameters and bytes, not {counted:?}"));
        }
        // The same figures as of the config that it was made from: layers that slide, heads, experts.
        let config = SESSION.read_with("config.json", case["config"].to_string(), &Settings::default());
        // A file without a head is the bare model, whatever the config's class adds to it.
        let class = |model: &Outcome<Model>| model.value.as_ref().and_then(|model| model.class().map(str::to_owned));
        let is_same = class(&config) == class(&opened(&header(&case, &tensors)));
        let config = evaluated(config);
        let Some(config) = config.value else {
            wrong.push(format!("{name}: its config: {:?}", config.diagnostics));
            continue;
        };
        if !is_same {
            continue;
        }
        for quantity in ["active_params", "matmul_flops", "vector_flops", "transcendentals", "cache_bytes"] {
            let (ours, told) = (found.named(quantity), config.named(quantity));
            if ours != told {
                wrong.push(format!("{name}: {quantity} are {ours:?}, of the config {told:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_without_one_of_its_tensors_or_with_one_more_is_refused_with_its_name() {
    for (name, case) in cases() {
        let whole = tensors(&case);
        let aside = |name: &str| case["aside"].as_array().unwrap().iter().any(|known| known == name);
        // The last of the model's: blocks of all kinds are before it.
        let Some(at) = whole.iter().rposition(|(name, ..)| name.starts_with("blk.1.") && !aside(name)) else { continue };
        let mut less = whole.clone();
        let (lost, ..) = less.remove(at);
        let outcome = opened(&header(&case, &less));
        assert!(outcome.value.is_none() && outcome.diagnostics.has_errors(), "{name} without {lost}");
        let mut more = whole.clone();
        more.push(tensor("blk.0.no_such_module.weight", &serde_json::json!([4, 4])));
        let outcome = opened(&header(&case, &more));
        let said = format!("{:?}", outcome.diagnostics);
        assert!(outcome.value.is_none() && said.contains("no_such_module"), "{name}: {said}");
    }
}

#[test]
fn keys_that_lie_are_an_answer_or_a_diagnostic() {
    // Those whose maps make lists, or ask for items of lists: the others are simpler.
    let asked = ["gemma4", "jamba", "mimo2", "nemotron_h_moe", "glm-dsa", "t5"];
    for (name, case) in cases().into_iter().filter(|(name, _)| asked.contains(&&**name)) {
        let tensors = tensors(&case);
        let mut keys: Vec<String> = case["metadata"].as_object().unwrap().keys().cloned().collect();
        keys.retain(|key| key != "general.architecture");
        for key in keys {
            for lie in [serde_json::json!(0), serde_json::json!(u32::MAX), serde_json::json!([]), serde_json::json!("x")] {
                let mut case = case.clone();
                case["metadata"][&key] = lie.clone();
                let outcome = opened(&header(&case, &tensors));
                assert!(outcome.value.is_some() || outcome.diagnostics.has_errors(), "{name}: {key} = {lie}");
            }
            let mut case = case.clone();
            case["metadata"].as_object_mut().unwrap().remove(&key);
            let outcome = opened(&header(&case, &tensors));
            assert!(outcome.value.is_some() || outcome.diagnostics.has_errors(), "{name}: without {key}");
        }
    }
}

#[test]
fn every_map_is_of_a_family() {
    let catalog = SESSION.catalog();
    let mut count = 0;
    for architecture in catalog.gguf_architectures() {
        let map = catalog.gguf_map(architecture).unwrap().unwrap_or_else(|said| panic!("{architecture}: {said:?}"));
        count += 1;
        if map.unbuilt.is_some() {
            continue;
        }
        let formula = &map.model_type.as_ref().unwrap_or_else(|| panic!("{architecture} has no model type")).text;
        // Its texts in quotes are the types: what is compared with is a number.
        let types: Vec<&str> = formula.split('\'').skip(1).step_by(2).collect();
        assert!(!types.is_empty(), "{architecture}: {formula}");
        for model_type in types {
            let config = format!("{{ \"model_type\": \"{model_type}\" }}");
            let outcome = SESSION.read_with("config.json", config, &Settings::default());
            let said = format!("{:?}", outcome.diagnostics);
            assert!(outcome.value.is_some() || !said.contains("UnknownFamily"), "{architecture}: {said}");
        }
    }
    assert!(count > 80, "{count} architectures");
}

/// The last block of such a file is a draft part's: a decoder layer like one of the model's, and what `nextn` tensors hold. llama.cpp takes the
/// embedding and the output where a file has no copies of them for it.
#[test]
fn the_draft_part_of_a_file_is_built_where_it_is_asked_for() {
    // The model's layer that it is like, its number, and whether such files may have copies.
    for (name, like, number, may_copy) in
        [("glm4moe", 2, 3, true), ("glm4moe", 2, 3, false), ("qwen35", 3, 4, false), ("qwen35moe", 3, 4, false)]
    {
        let mut case = cases().into_iter().find(|(known, _)| known == name).unwrap().1;
        case["metadata"][format!("{name}.block_count")] = serde_json::json!(number + 1);
        case["metadata"][format!("{name}.nextn_predict_layers")] = serde_json::json!(1);
        let of_model = tensors(&case);
        let hidden = case["metadata"][format!("{name}.embedding_length")].as_u64().unwrap();
        let mut all = of_model.clone();
        all.extend(of_model.iter().filter_map(|(known, dims, kind, bytes)| {
            let rest = known.strip_prefix(&format!("blk.{like}."))?;
            Some((format!("blk.{number}.{rest}"), dims.clone(), *kind, *bytes))
        }));
        let own = [
            ("enorm", vec![hidden]),
            ("hnorm", vec![hidden]),
            ("shared_head_norm", vec![hidden]),
            ("eh_proj", vec![hidden, 2 * hidden]),
        ];
        let table = vec![case["tokens"].as_u64().unwrap(), hidden];
        let copies = [("embed_tokens", table.clone()), ("shared_head_head", table)];
        for (tensor_name, shape) in own.iter().chain(copies.iter().filter(|_| may_copy)) {
            all.push(tensor(&format!("blk.{number}.nextn.{tensor_name}.weight"), &serde_json::json!(shape)));
        }
        // What PyTorch has as buffers, or a second time.
        let aside = |known: &str| {
            known.ends_with("exp_probs_b.bias") || case["aside"].as_array().unwrap().iter().any(|aside| aside == known)
        };
        let weights = |tensors: &[Tensor]| -> (u128, u128) {
            let own = tensors.iter().filter(|(known, ..)| !aside(known));
            own.fold((0, 0), |(params, all), (_, dims, _, bytes)| {
                (params + u128::from(dims.iter().product::<u64>()), all + u128::from(*bytes))
            })
        };
        let bytes = header(&case, &all);
        let contents = SESSION.contents("case.gguf", &mut Cursor::new(&bytes), None).value.unwrap();
        for (draft, tensors) in [(false, &of_model), (true, &all)] {
            let settings = Settings { draft, ..Settings::default() };
            let outcome = evaluated(SESSION.open("case.gguf", &contents, None, &settings));
            let said = format!("{:?}", outcome.diagnostics);
            assert_eq!(said.contains("multi-token prediction, which `--with-mtp` builds"), !draft, "{name}: {said}");
            let at = outcome.value.unwrap_or_else(|| panic!("{name}: {said}"));
            assert_eq!((at.params(), at.named("weight_bytes").unwrap()), weights(tensors), "{name}, {draft}, {may_copy}");
        }
    }
}
