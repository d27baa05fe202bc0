//! Families: every file holds together, a config and its import mean the same, scopes keep out what they must, checkpoints decide bytes.

use layerspec::diagnostics::Code;
use layerspec::{Catalog, Evaluation, Execution, Model, Outcome, Session, Settings, Workload};
use serde_json::{Value as Json, json};

use crate::support::{SESSION, codes, evaluate, workload};

fn try_evaluate(session: &Session, model: &Json, workload: &Workload) -> Outcome<Evaluation> {
    evaluate(session, "config.json", model.to_string(), &(workload.clone(), Execution::default()))
}

fn evaluated(model: &Json, workload: &Workload) -> Evaluation {
    try_evaluate(&SESSION, model, workload).into_result().unwrap()
}

fn read(model: &Json) -> Model {
    SESSION.read("config.json", model.to_string()).into_result().unwrap()
}

fn at(seq_len: u64) -> Workload {
    Workload::prefill(1, seq_len)
}

fn small() -> Json {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 64, "tie_word_embeddings": true,
    })
}

fn total(at: &Evaluation, name: &str) -> u128 {
    at.totals().named(name).unwrap()
}

fn peak_bytes(at: &Evaluation) -> Option<u128> {
    at.peak().map(|peak| peak.bytes)
}

/// What the project itself ships covers every family that configs can be of, with a real published model or through one that uses it.
#[test]
fn every_family_is_checked_by_a_model() {
    let catalog = SESSION.catalog();
    let mut covered: Vec<String> = Vec::new();
    for model in catalog.models() {
        let json: Json = serde_json::from_str(model.text).unwrap();
        let Some(family) = json["family"].as_str() else { continue };
        assert!(json["expect"]["params"].is_u64(), "{} states no parameter count", model.name);
        assert!(json["source"].as_str().is_some_and(|source| !source.is_empty()), "{} has no source", model.name);
        let short = Workload { seq_len: Some(8), ..Workload::default() };
        let small = without_expect(&json);
        evaluated(&small, &short);
        covered.extend(read(&small).families().into_iter().map(str::to_owned));
        covered.push(family.to_owned());
    }
    let is_base = |name: &str| catalog.family(name).is_some_and(|family| family.is_ok_and(|family| family.is_base()));
    let uncovered = catalog.family_names().filter(|name| !covered.iter().any(|known| known == name));
    let names: Vec<&str> = uncovered.filter(|name| !is_base(name)).collect();
    assert!(names.len() <= MOST_UNCOVERED, "no model is of the families {names:?}");
}

/// Towers and halves of models whose published ones would be checked through the same family under another name.
const MOST_UNCOVERED: usize = 12;

fn without_expect(json: &Json) -> Json {
    let mut json = json.clone();
    json.as_object_mut().unwrap().remove("expect");
    json
}

#[test]
fn an_import_means_what_the_config_did() {
    let mut config = small();
    config["torch_dtype"] = json!("float16");
    config["num_key_value_heads"] = Json::Null;
    config["unknown_key"] = json!([1, 2.5, "<hidden_size>"]);
    for architecture in ["LlamaForCausalLM", "LlamaModel", "LlamaForSequenceClassification"] {
        config["architectures"] = json!([architecture]);
        let first = evaluated(&config, &at(16));
        let imported = read(&config).import(Some("imported")).into_result().unwrap();
        let second = evaluated(&imported, &at(16));
        assert_eq!(first.totals(), second.totals(), "{architecture}");
        assert_eq!(peak_bytes(&first), peak_bytes(&second));
        assert_eq!(imported["head"].as_str(), architecture.strip_prefix("Llama").filter(|head| *head != "ForCausalLM"));
        assert_eq!(&*second.workload().weight_dtype.name, "fp16");
    }
}

/// Every layer written out: the same costs, the same peak, the same saved bytes.
#[test]
fn a_model_written_out_means_the_same() {
    let gemma = json!({ "model_type": "gemma3_text", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 7, "num_attention_heads": 4,
        "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 100, "sliding_window": 4, "max_position_embeddings": 64 });
    let bert = json!({ "model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "vocab_size": 100, "max_position_embeddings": 64 });
    let mixtral = json!({ "model_type": "mixtral", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 100, "max_position_embeddings": 64 });
    for config in [small(), gemma, bert, mixtral] {
        let written = Json::Object(evaluated(&config, &at(8)).lowered().explicit().unwrap());
        for workload in [at(8), Workload::train(1, 8)] {
            let (first, second) = (evaluated(&config, &workload), evaluated(&written, &workload));
            assert_eq!(first.totals(), second.totals(), "{config}");
            assert_eq!(first.saved_bytes(), second.saved_bytes(), "{config}");
            assert_eq!(peak_bytes(&first), peak_bytes(&second), "{config}");
            assert_eq!((first.layers(), first.modules()), (second.layers(), second.modules()));
        }
    }
}

/// Text in a config is data: in angle brackets too.
#[test]
fn values_of_a_config_are_never_templates() {
    let mut config = small();
    config["intermediate_size"] = json!("2 * <hidden_size>");
    assert_eq!(codes(&try_evaluate(&SESSION, &config, &at(16)).diagnostics), [Code::ParameterType]);
    // In a model file of a family the same text is an expression.
    let file = json!({ "family": "llama", "variables": { "hidden_size": 64, "intermediate_size": "2 * <hidden_size>", "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 64, "tie_word_embeddings": true } });
    assert_eq!(total(&evaluated(&file, &at(16)), "params"), total(&evaluated(&small(), &at(16)), "params"));
}

#[test]
fn a_setting_replaces_what_the_config_says() {
    let with = |model: &Json, name: &str, value: u64| {
        let settings = Settings::default().set(name, value);
        let lowered = crate::support::lower(&SESSION, model.to_string(), &settings).into_result().unwrap();
        lowered.at(&at(16)).into_result().unwrap()
    };
    let deeper = with(&small(), "num_hidden_layers", 5);
    let mut config = small();
    config["num_hidden_layers"] = json!(5);
    assert_eq!(deeper.totals(), evaluated(&config, &at(16)).totals());
    // By its alias, as well.
    let gpt2 = json!({ "model_type": "gpt2", "n_embd": 48, "n_layer": 2, "n_head": 4, "vocab_size": 50, "n_positions": 64 });
    let by_alias = with(&gpt2, "num_hidden_layers", 3);
    let by_name = with(&gpt2, "n_layer", 3);
    assert_eq!(by_alias.totals(), by_name.totals());
}

#[test]
fn a_variable_tells_where_it_comes_from() {
    let gpt2 = json!({ "model_type": "gpt2", "hidden_size": 48, "n_layer": 2, "n_head": 4, "vocab_size": 50, "n_positions": 64 });
    let model = read(&gpt2);
    let kinds = |name: &str| {
        let origin = model.origin(name).unwrap();
        (origin.value.unwrap().to_string(), origin.steps.iter().map(|step| step.kind).collect::<Vec<_>>())
    };
    // The variable's own name and its alias are the same; whichever the family takes as the name, the value is the config's.
    let (value, steps) = kinds("hidden_size");
    assert_eq!((value.as_str(), steps.contains(&"config"), steps.contains(&"default")), ("48", true, true));
    assert_eq!(kinds("n_embd").0, "48");
    assert!(model.origin("no_such_thing").is_none());
    // What is set is said of what it sets alone, and wins.
    let settings = Settings::default().set("n_layer", 5u64);
    let set = SESSION.read_with("config.json", gpt2.to_string(), &settings).into_result().unwrap();
    let steps = |name: &str| set.origin(name).unwrap().steps.iter().map(|step| step.kind).collect::<Vec<_>>();
    assert_eq!(steps("n_layer"), ["set", "config", "default"]);
    assert_eq!(steps("n_head"), ["config", "default"]);
    assert_eq!(set.origin("n_layer").unwrap().value.unwrap().to_string(), "5");
    // A derived variable names what it is made from, each once.
    let llama = read(&small());
    let head_dim = llama.origin("head_dim").unwrap();
    assert_eq!(head_dim.steps[0].kind, "derived");
    assert!(
        head_dim.from.iter().any(|name| &**name == "hidden_size")
            && head_dim.from.iter().any(|name| &**name == "num_attention_heads")
    );
    assert!((1..head_dim.from.len()).all(|at| !head_dim.from[..at].contains(&head_dim.from[at])));
    assert_eq!(head_dim.family.as_deref(), Some("llama"));
}

/// A config of configs: each has variables of its own, and the inner text model's checkpoint is that of all.
#[test]
fn a_config_in_a_config_has_its_own_variables_and_says_the_dtype() {
    let config = json!({ "model_type": "llava", "architectures": ["LlavaForConditionalGeneration"], "image_token_index": 32000,
        "text_config": { "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
            "vocab_size": 100, "torch_dtype": "float32", "quantization_config": { "quant_method": "gptq", "bits": 4, "group_size": 32 } },
        "vision_config": { "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 2, "image_size": 28, "patch_size": 14, "projection_dim": 16 } });
    let model = read(&config);
    let names = model.variables();
    for name in ["text.hidden_size", "vision.patch_size", "text.head_dim"] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    assert!(names.is_sorted());
    assert_eq!(model.origin("text.hidden_size").unwrap().value.unwrap().to_string(), "64");
    assert_eq!(model.origin("vision.hidden_size").unwrap().value.unwrap().to_string(), "32");
    let found = evaluated(&config, &at(8));
    assert_eq!(&*found.workload().weight_dtype.name, "fp32");
    // gptq: 4 bits, and for each group of 32 a scale of 16 bits and a zero point of 4; float32 what is no linear layer.
    let up = found.rows().find(|row| row.path().ends_with("mlp.up_proj")).unwrap();
    assert_eq!(up.cost().named("weight_bytes"), Some(64 * 128 * (4 * 32 + 16 + 4) / 32 / 8));
    let head = found.rows().find(|row| row.path().ends_with("lm_head")).unwrap();
    assert_eq!(head.cost().named("weight_bytes"), Some(4 * 64 * 100));
    // An import says the same.
    let imported = model.import(None).into_result().unwrap();
    assert_eq!(imported["checkpoint"]["quantization_config"]["bits"], 4);
    assert_eq!(evaluated(&imported, &at(8)).totals(), found.totals());
}

/// A session over these files, each under its folder and name.
fn overlaid(files: &[(&str, Json)]) -> Session {
    Session::over(Catalog::overlaid(files.iter().map(|(name, json)| (format!("{name}.json"), json.to_string()))).unwrap())
}

fn tiny_family(layers: &Json) -> Json {
    json!({ "model_types": ["tiny"], "prefix": "tiny.Tiny", "source": "a test", "variables": { "width": 8, "stray": 3 }, "layers": layers })
}

fn linear(name: &str, width: &str) -> Json {
    json!({ "name": name, "class": "Linear", "parameters": { "in_features": 8, "out_features": width, "bias": false } })
}

#[test]
fn a_block_of_the_catalog_sees_what_it_takes_and_nothing_else() {
    let uses = json!([{ "name": "part", "use": "blocks/mine" }]);
    let block = |width: &str| json!({ "doc": "a test", "takes": { "width": "required", "twice": "2 * <width>" }, "layers": [linear("fc", width)] });
    let params_with = |width: &str| {
        let session = overlaid(&[("blocks/mine", block(width)), ("families/tiny", tiny_family(&uses))]);
        let outcome = try_evaluate(&session, &json!({ "model_type": "tiny", "width": 4 }), &at(4));
        (outcome.value.map(|at| total(&at, "params")), codes(&outcome.diagnostics))
    };
    assert_eq!(params_with("<width>"), (Some(32), vec![]));
    assert_eq!(params_with("<twice>"), (Some(64), vec![]));
    assert_eq!(params_with("<stray>"), (None, vec![Code::UnknownVariable]));
}

#[test]
fn a_key_that_a_family_does_not_declare_does_not_exist() {
    let session = overlaid(&[("families/tiny", tiny_family(&json!([linear("fc", "<undeclared>")])))]);
    let outcome = try_evaluate(&session, &json!({ "model_type": "tiny", "undeclared": 4 }), &at(4));
    assert!(outcome.value.is_none() && outcome.diagnostics.has(Code::UnknownVariable));
}

#[test]
fn families_that_extend_each_other_are_an_error() {
    let family = |base: &str| json!({ "model_types": [base], "prefix": "x.X", "source": "a test", "extends": base });
    let session = overlaid(&[("families/a", family("b")), ("families/b", family("a"))]);
    let outcome = try_evaluate(&session, &json!({ "model_type": "b", "width": 4 }), &at(4));
    assert!(outcome.value.is_none() && outcome.diagnostics.has(Code::UnknownFamily));
}

/// A stack of another length rebinds the workload's for all in it.
#[test]
fn lengths_are_rebound() {
    let layers = json!([
        { "name": "encoder", "variables": { "seq_len": 5, "past_len": 0 }, "inputs": ["pixels"], "sub_layers": [linear("fc", "<width>")] },
        { "name": "decoder", "inputs": ["tokens"], "sub_layers": [linear("fc", "<width>")] },
    ]);
    let mut family = tiny_family(&layers);
    family["inputs"] =
        json!({ "pixels": { "shape": ["<batch_size>", 5, 8] }, "tokens": { "shape": ["<batch_size>", "<seq_len>", 8] } });
    let session = overlaid(&[("families/tiny", family)]);
    let evaluation = try_evaluate(&session, &json!({ "model_type": "tiny" }), &at(7)).into_result().unwrap();
    assert_eq!(total(&evaluation, "matmul_flops"), 2 * 8 * 8 * (5 + 7));
}

/// What is cached is part of what is read: where one of them is another, the sum is, too.
#[test]
fn a_rebound_past_rebinds_what_is_read() {
    let text = r#"{
        "classes": { "x.Reads": { "kind": "module", "doc": "a test", "source": "here",
            "flops": { "matmul": "kv_len", "vector": "past_len", "transcendental": 0 } } },
        "layers": [
            { "name": "around", "class": "x.Reads" },
            { "name": "inside", "variables": { "past_len": 2 }, "sub_layers": [ { "name": "own", "class": "x.Reads" } ] } ] }"#;
    let asked = workload(&json!({ "phase": "decode", "batch_size": 1, "seq_len": 3, "past_len": 7 }));
    let at = evaluate(&SESSION, "model.json", text, &asked).into_result().unwrap();
    let cost = |path: &str| at.find(path).unwrap().cost();
    let figures = |path: &str| (cost(path).named("matmul_flops").unwrap(), cost(path).named("vector_flops").unwrap());
    assert_eq!((figures("around"), figures("inside.own")), ((10, 7), (5, 2)));
}

/// Three numbers kept apart: all experts, those that a token uses, and those that a step of so many tokens is expected to read.
#[test]
fn experts_are_counted_in_three_ways() {
    let config = json!({ "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 100, "max_position_embeddings": 64 });
    let one = evaluated(&config, &at(1));
    let many = evaluated(&config, &at(3));
    let expert = 3 * 64 * 96u128;
    let resident = total(&one, "params");
    assert_eq!(total(&one, "active_params"), resident - 2 * (8 - 2) * expert);
    let experts = |at: &Evaluation| at.rows().find(|row| row.path().ends_with("mlp.experts")).unwrap().cost();
    // One token reads its two experts; three tokens 8 (1 - (6/8)^3) = 4.625 of them, at two bytes a weight.
    assert_eq!(experts(&one).named("weights_read"), Some(2 * expert * 2));
    assert_eq!(experts(&many).named("weights_read"), Some(expert * 2 * 4625 / 1000));
    // FLOPs are those of the routed tokens: gate, up and down for two experts a token.
    assert_eq!(experts(&many).named("matmul_flops"), Some(2 * 3 * 2 * expert));
}

/// A layer of the small model has 64 x (64 + 32 + 32 + 64) weights in attention and 3 x 64 x 128 in its MLP, and 128 in norms; embedding and
/// the last norm have 100 x 64 and 64.
#[test]
fn a_checkpoint_decides_the_bytes_of_weights() {
    let (attention, mlp, rest) = (64 * 192u128, 3 * 64 * 128u128, 3 * 128 + 100 * 64 + 64u128);
    let bytes = |quantization: Json, workload: &Workload| {
        let mut config = small();
        config["torch_dtype"] = json!("bfloat16");
        config["quantization_config"] = quantization;
        total(&evaluated(&config, workload), "weight_bytes")
    };
    let linear = 3 * (attention + mlp);
    let fp8 = json!({ "quant_method": "fp8", "weight_block_size": [128, 128] });
    // An fp32 scale for each block of 128 x 128, rounded up for each of the 21 matrices: 4096 / 4096 bytes and so on.
    let scaled = |elements: u128| (elements * (8 * 16384 + 32)).div_ceil(8 * 16384);
    let matrices = [64 * 64, 64 * 32, 64 * 32, 64 * 64, 64 * 128, 64 * 128, 64 * 128].map(scaled);
    assert_eq!(bytes(fp8.clone(), &at(4)), 3 * matrices.iter().sum::<u128>() + 2 * rest);
    let gptq = json!({ "quant_method": "gptq", "bits": 4, "group_size": 32 });
    assert_eq!(bytes(gptq, &at(4)), linear * (4 * 32 + 16 + 4) / 32 / 8 + 2 * rest);
    let nf4 = json!({ "load_in_4bit": true, "bnb_4bit_quant_type": "nf4" });
    assert_eq!(bytes(nf4, &at(4)), linear * 9 / 16 + 2 * rest);
    // Left as they are: the attention of all layers, or the MLP of the second alone.
    let kept = |names: Json| json!({ "quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": false, "modules_to_not_convert": names });
    let awq = |elements: u128| elements * (4 * 64 + 16) / 64 / 8;
    assert_eq!(bytes(kept(json!(["model.layers.*.self_attn"])), &at(4)), awq(3 * mlp) + 2 * (3 * attention + rest));
    assert_eq!(bytes(kept(json!(["model.layers.1.mlp"])), &at(4)), awq(3 * attention + 2 * mlp) + 2 * (mlp + rest));
    // A bare name means the end of a path, of whatever layer.
    let down = 64 * 128u128;
    assert_eq!(bytes(kept(json!(["down_proj"])), &at(4)), awq(linear - 3 * down) + 2 * (3 * down + rest));
    let groups = json!({ "quant_method": "compressed-tensors", "ignore": ["re:.*mlp.*"], "config_groups": { "group_0": { "targets": ["Linear"],
        "weights": { "num_bits": 8, "type": "int", "strategy": "channel", "group_size": null } } } });
    assert_eq!(bytes(groups, &at(4)), 3 * attention + 2 * (3 * mlp + rest));
    // What is asked for wins.
    let (asked, _) = workload(&json!({ "phase": "prefill", "batch_size": 1, "seq_len": 4, "weight_dtype": "fp32" }));
    assert_eq!(bytes(fp8, &asked), 4 * (linear + rest));
}

/// What each method stores, by its own documentation; a method that isn't known is said, and its weights are counted as they would be without.
#[test]
fn methods_of_quantization_have_their_bits() {
    let up = |quantization: Json| {
        let mut config = small();
        config["torch_dtype"] = json!("bfloat16");
        config["quantization_config"] = quantization;
        let outcome = try_evaluate(&SESSION, &config, &at(4));
        let said = codes(&outcome.diagnostics);
        let row = outcome.value.unwrap();
        (row.rows().find(|row| row.path().ends_with("mlp.up_proj")).unwrap().cost().named("weight_bytes").unwrap(), said)
    };
    let weights = 64 * 128u128;
    let known = |quantization: Json| {
        let (bytes, said) = up(quantization);
        assert_eq!(said, []);
        bytes
    };
    // arXiv 2305.14314: a float32 constant for 64 weights; quantized itself 8 / 64 + 32 / (64 * 256) bits, which is 0.127.
    assert_eq!(known(json!({ "quant_method": "bitsandbytes", "load_in_4bit": true })), weights * 9 / 16);
    let double = json!({ "quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_use_double_quant": true });
    assert_eq!(known(double), (weights * 4 + weights / 8 + weights * 32 / (64 * 256)) / 8);
    assert_eq!(known(json!({ "load_in_8bit": true })), weights);
    // OCP MX 1.0: 4 bits and 8 for a block of 32.
    assert_eq!(known(json!({ "quant_method": "mxfp4" })), weights * 17 / 32);
    // A group's own figures win over those beside it, and its targets say which layers are its.
    let group = |targets: Json, bits: u32, size: u32| json!({ "targets": targets, "weights": { "num_bits": bits, "type": "int", "strategy": "group", "group_size": size } });
    let groups = json!({ "quant_method": "compressed-tensors", "config_groups": {
        "group_0": group(json!(["re:.*self_attn.*"]), 8, 64), "group_1": group(json!(["re:.*mlp.*"]), 4, 32) } });
    assert_eq!(known(groups), weights * (4 * 32 + 16) / 32 / 8);
    let elsewhere = json!({ "quant_method": "compressed-tensors", "config_groups": { "group_0": group(json!(["re:.*self_attn.*"]), 8, 64) } });
    assert_eq!(known(elsewhere), 2 * weights);
    // NVFP4: an 8-bit scale for 16 weights. Its files name an algorithm, and no method.
    let nvfp4 = json!({ "quant_algo": "NVFP4", "config_groups": { "group_0": { "targets": ["Linear"], "weights": { "num_bits": 4, "type": "float", "group_size": 16 } } } });
    assert_eq!(known(nvfp4), weights * (4 * 16 + 8) / 16 / 8);
    for unknown in [
        json!({ "bits": 4 }),
        json!({ "quant_method": "magic", "bits": 4 }),
        json!({ "load_in_4bit": false, "load_in_8bit": false }),
    ] {
        assert_eq!(up(unknown), (2 * weights, vec![Code::UnknownQuantization]));
    }
    // As the others write it, with all that their files have.
    assert_eq!(
        known(json!({ "quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": true })),
        weights * (4 * 128 + 20) / 128 / 8
    );
    let own = json!({ "quant_method": "auto-round", "bits": 4, "group_size": 128, "extra_config": { "model.layers.0.mlp.up_proj": { "bits": 16 } } });
    assert_eq!(known(own), 2 * weights);
    assert_eq!(known(json!({ "quant_method": "exl2", "bits": 4.65, "head_bits": 6 })), (weights * 465).div_ceil(800));
    let hqq = json!({ "quant_method": "hqq", "quant_config": { "weight_quant_params": { "nbits": 4, "group_size": 64 } } });
    assert_eq!(known(hqq), weights * (4 * 64 + 32) / 64 / 8);
    let singly = json!({ "quant_method": "hqq", "quant_config": { "mlp.up_proj": { "weight_quant_params": { "nbits": 2, "group_size": 16 } } } });
    assert_eq!(known(singly), weights * 4 / 8);
    for kind in
        [json!("int4_weight_only"), json!({ "default": { "_type": "Int4WeightOnlyConfig", "_data": { "group_size": 128 } } })]
    {
        assert_eq!(known(json!({ "quant_method": "torchao", "quant_type": kind })), weights * (4 * 128 + 32) / 128 / 8);
    }
    let int8 = json!({ "quant_method": "torchao", "quant_type": { "default": { "_type": "Int8WeightOnlyConfig" } } });
    assert_eq!(known(int8), weights);
    let quark = json!({ "quant_method": "quark", "global_quant_config": { "weight": { "dtype": "fp4", "group_size": 32 } }, "exclude": ["lm_head"],
        "layer_quant_config": { "*.up_proj": { "weight": { "dtype": "fp8_e4m3" } } } });
    assert_eq!(known(quark), weights);
    // 16 bits for 8 weights, and a codebook of 65,536 x 8 in fp16 a matrix.
    let aqlm = json!({ "quant_method": "aqlm", "in_group_size": 8, "out_group_size": 1, "num_codebooks": 1, "nbits_per_codebook": 16,
        "linear_weights_not_to_quantize": ["lm_head.weight"] });
    assert_eq!(known(aqlm), weights * 2 / 8 + 65_536 * 8 * 2);
    let named = json!({ "quant_method": "modelopt", "quant_algo": "MIXED_PRECISION",
        "quantized_layers": { "model.layers.0.mlp.up_proj": { "quant_algo": "MXFP8" } } });
    assert_eq!(known(named), weights * 33 / 32);
    // What GPTQ's rules leave as it is, and what they change.
    let gptq = |rule: &str, figures: Json| {
        let mut config = json!({ "quant_method": "gptq", "bits": 4, "group_size": 32, "dynamic": {} });
        config["dynamic"][rule] = figures;
        known(config)
    };
    assert_eq!(gptq("-:.*up_proj", json!({})), 2 * weights);
    assert_eq!(gptq("+:.*up_proj", json!({ "bits": 8 })), weights * (8 * 32 + 24) / 32 / 8);
    assert_eq!(gptq(".*down_proj", json!({ "bits": 8 })), weights * (4 * 32 + 20) / 32 / 8);
    // A key that nothing reads, and a pattern that isn't understood.
    for odd in [
        json!({ "quant_method": "gptq", "bits": 4, "group_size": 32, "sparsity": 0.5 }),
        json!({ "quant_method": "gptq", "bits": 4, "group_size": 32, "dynamic": { "-:.*(?!up)_proj": {} } }),
    ] {
        assert_eq!(up(odd), (weights * (4 * 32 + 20) / 32 / 8, vec![Code::UnreadQuantization]));
    }
    // Bits that can't be had.
    let (bytes, said) = up(json!({ "quant_method": "gptq", "bits": "four" }));
    assert_eq!((bytes, said), (2 * weights, vec![Code::UnknownQuantization]));
}

/// Names of layers are looked up; patterns are tried one by one, within limits.
#[test]
fn names_in_a_quantization_config_have_limits() {
    let said = |layers: u64, quantization: Json| {
        let mut config = small();
        config["num_hidden_layers"] = json!(layers);
        config["quantization_config"] = quantization;
        codes(&try_evaluate(&SESSION, &config, &at(4)).diagnostics)
    };
    let listed = |count: usize, name: &str| -> Vec<String> { (0..count).map(|at| name.replace('#', &at.to_string())).collect() };
    let kept = |names: Vec<String>| json!({ "quant_method": "fp8", "modules_to_not_convert": names });
    assert_eq!(said(50, kept(listed(50_000, "model.layers.#.mlp.up_proj"))), []);
    assert_eq!(said(50, kept(listed(1_000, "*.#.up_proj"))), []);
    assert_eq!(said(500, kept(listed(1_000, "*.#.up_proj"))), [Code::ModelTooLarge]);
    assert_eq!(said(2, kept(listed(2_001, "re:.*#x"))), [Code::ModelTooLarge]);
    assert_eq!(said(2, kept(vec!["re:((a{100}){100}){100}".to_owned()])), [Code::UnreadQuantization]);
}

/// MLX quantizes embeddings and heads, too, and writes it under a key of its own; GPTQ a head on request.
#[test]
fn embeddings_and_heads_are_quantized_where_a_config_says_so() {
    let bytes = |key: &str, quantization: Json| {
        let mut config = json!({ "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 256, "torch_dtype": "float16" });
        config[key] = quantization;
        let at = evaluate(&SESSION, "config.json", config.to_string(), &(at(4), Execution::default())).into_result().unwrap();
        at.totals().named("weight_bytes").unwrap()
    };
    // Of a matrix of n: 4 bits, and 16 for a scale and as many for a bias of each group of 64; norms are 5 x 64.
    let (vocabulary, layers, norms) = (256 * 64u128, 2 * (4 * 64 * 64 + 3 * 64 * 128u128), 2 * 5 * 64);
    let affine = |n: u128| n * (4 * 64 + 32) / 64 / 8;
    let mlx = json!({ "group_size": 64, "bits": 4 });
    assert_eq!(affine(2 * vocabulary + layers) + norms, 65_152);
    assert_eq!(bytes("quantization", mlx.clone()), 65_152);
    assert_eq!(bytes("quantization_config", mlx), 65_152);
    // A module of its own bits, one that is left, microscaling floats.
    let own = json!({ "group_size": 64, "bits": 4, "lm_head": { "group_size": 64, "bits": 8 }, "model.embed_tokens": false });
    assert_eq!(bytes("quantization", own), 2 * vocabulary + vocabulary * (8 * 64 + 32) / 64 / 8 + affine(layers) + norms);
    let mxfp4 = json!({ "group_size": 32, "bits": 4, "mode": "mxfp4" });
    assert_eq!(bytes("quantization", mxfp4), (2 * vocabulary + layers) * 17 / 32 + norms);
    let gptq = |lm_head: bool| json!({ "quant_method": "gptq", "bits": 4, "group_size": 64, "lm_head": lm_head });
    let grouped = |n: u128| n * (4 * 64 + 20) / 64 / 8;
    assert_eq!(bytes("quantization_config", gptq(false)), 4 * vocabulary + grouped(layers) + norms);
    assert_eq!(bytes("quantization_config", gptq(true)), 2 * vocabulary + grouped(vocabulary + layers) + norms);
    let exl2 = json!({ "quant_method": "exl2", "bits": 3, "head_bits": 6 });
    assert_eq!(bytes("quantization_config", exl2), 2 * vocabulary + vocabulary * 6 / 8 + layers * 3 / 8 + norms);
    let all = json!({ "quant_method": "torchao", "quant_type": "int8_weight_only", "include_input_output_embeddings": true });
    assert_eq!(bytes("quantization_config", all), 2 * vocabulary + layers + norms);
}

/// A pattern means layers by the paths that people see, concrete ones too; a repeat is split where it means some of its instances.
#[test]
fn patterns_mean_single_layers() {
    let dtype = |name: &str| SESSION.catalog().dtype(name).unwrap();
    let rows = |patterns: &[(&str, &str)]| {
        let weight_dtypes = patterns.iter().map(|(pattern, name)| ((*pattern).into(), dtype(name))).collect();
        let mut config = small();
        config["num_hidden_layers"] = json!(6);
        let outcome = try_evaluate(&SESSION, &config, &Workload { weight_dtypes, ..at(4) });
        let said = codes(&outcome.diagnostics);
        let at = outcome.value.ok_or(said)?;
        let down = at.rows().filter(|row| row.path().ends_with("mlp.down_proj"));
        Ok::<_, Vec<Code>>(down.map(|row| (row.path().to_owned(), row.cost().named("weight_bytes").unwrap())).collect::<Vec<_>>())
    };
    let one = |path: &str, bytes: u128| (path.to_owned(), bytes);
    let (int8, bf16) = (64 * 128u128, 2 * 64 * 128u128);
    assert_eq!(rows(&[]), Ok(vec![one("model.layers.[0-5].mlp.down_proj", bf16)]));
    assert_eq!(rows(&[("*.down_proj", "int8")]), Ok(vec![one("model.layers.[0-5].mlp.down_proj", int8)]));
    assert_eq!(rows(&[("model.layers.[0-5].mlp.down_proj", "int8")]), Ok(vec![one("model.layers.[0-5].mlp.down_proj", int8)]));
    let first = vec![one("model.layers.0.mlp.down_proj", int8), one("model.layers.[1-5].mlp.down_proj", bf16)];
    assert_eq!(rows(&[("model.layers.0.mlp.down_proj", "int8")]), Ok(first));
    let some = vec![one("model.layers.[0-1,3-5].mlp.down_proj", bf16), one("model.layers.2.mlp.down_proj", int8)];
    assert_eq!(rows(&[("model.layers.[2].*", "int8")]), Ok(some));
    let even = vec![one("model.layers.[0-4:2].mlp.down_proj", int8), one("model.layers.[1-5:2].mlp.down_proj", bf16)];
    assert_eq!(rows(&[("model.layers.[0-4:2].*", "int8")]), Ok(even));
    assert_eq!(rows(&[("model.layers.6.*", "int8")]), Err(vec![Code::InvalidWorkload]));
}

#[test]
fn a_pattern_explains_each_distinct_layer_that_it_means() {
    let at = evaluate(&SESSION, "config.json", small().to_string(), &(at(4), Execution::default())).into_result().unwrap();
    let text = at.explain("*.down_proj").into_result().unwrap();
    assert!(text.starts_with("model.layers.0.mlp.down_proj\n") && text.matches("source:").count() == 1, "{text}");
    let text = at.explain("model.layers.[1].self_attn.*").into_result().unwrap();
    assert!(
        text.starts_with("model.layers.1.self_attn.q_proj\n") && text.contains("\nmodel.layers.1.self_attn.o_proj\n"),
        "{text}"
    );
    assert!(at.explain("*.nothing").into_result().is_err());
    let all = at.explain("*").into_result().unwrap();
    assert!(all.contains("\n... and ") && all.matches("\nparams").count() <= 12, "{all}");
}

/// What a layer says of its own weights stays, whatever the checkpoint does to the others, or a pattern.
#[test]
fn a_layers_own_bytes_of_a_weight_stay() {
    let layer = |name: &str, more: Json| {
        let mut layer =
            json!({ "name": name, "class": "Linear", "parameters": { "in_features": 32, "out_features": 32, "bias": false } });
        more.as_object().unwrap().iter().for_each(|(key, value)| layer["parameters"][key] = value.clone());
        layer
    };
    let text = json!({ "checkpoint": { "quantization_config": { "quant_method": "gptq", "bits": 4, "group_size": 32 } }, "layers": [
        layer("own", json!({ "weight_dtype_bytes": 4 })), layer("other", json!({ "dtype_bytes": 4 })), layer("plain", json!({})) ] });
    let bytes = |patterns: &[(&str, &str)]| {
        let dtype = |name: &str| SESSION.catalog().dtype(name).unwrap();
        let weight_dtypes = patterns.iter().map(|(pattern, name)| ((*pattern).into(), dtype(name))).collect();
        let outcome = try_evaluate(&SESSION, &text, &Workload { weight_dtypes, ..at(4) });
        let said = codes(&outcome.diagnostics);
        outcome.value.map(|at| at.rows().map(|row| row.cost().named("weight_bytes").unwrap()).collect::<Vec<_>>()).ok_or(said)
    };
    // 4 bits, and for each group of 32 a scale of 16 bits and a zero point of 4.
    let quantized = 32 * 32 * (4 * 32 + 16 + 4) / 32 / 8;
    assert_eq!(bytes(&[]), Ok(vec![4096, quantized, quantized]));
    assert_eq!(bytes(&[("*", "fp8_e4m3")]), Ok(vec![4096, 1024, 1024]));
    // The last that means a layer wins.
    assert_eq!(bytes(&[("*", "fp8_e4m3"), ("pl*", "bf16")]), Ok(vec![4096, 1024, 2048]));
    assert_eq!(bytes(&[("pl*", "bf16"), ("nothing", "bf16")]), Err(vec![Code::InvalidWorkload]));
}

/// What one of two models leaves to its class is called the default; what tells them apart is named once, and alike layers aren't.
#[test]
fn a_comparison_names_what_only_one_says() {
    let model = |first: Json, second: &str, last: &str| {
        let text = json!({ "layers": [
            { "name": "a", "class": "Linear", "parameters": first }, { "name": "b", "class": second, "parameters": { "features": 4 } },
            { "name": "blocks", "repeat": if last == "x" { 2 } else { 3 }, "sub_layers": [{ "name": "act", "class": "torch.nn.SiLU", "parameters": { "features": 4 } }] },
            { "name": last, "class": "torch.nn.SiLU", "parameters": { "features": 4 } } ] });
        evaluated(&text, &at(4))
    };
    let first = model(json!({ "in_features": 4, "out_features": 4, "bias": false }), "torch.nn.SiLU", "x");
    let second = model(json!({ "in_features": 4, "out_features": 4 }), "torch.nn.GELU", "y");
    let facts = |difference: &layerspec::analyses::Difference| {
        let owned = |(name, ours, theirs): &(std::sync::Arc<str>, String, String)| format!("{name}: {ours} -> {theirs}");
        difference
            .changed
            .iter()
            .map(|c| (c.path.clone(), c.facts.iter().map(owned).collect()))
            .collect::<Vec<(String, Vec<String>)>>()
    };
    let there = first.difference(&second);
    let wanted = |list: &[(&str, Vec<&str>)]| -> Vec<(String, Vec<String>)> {
        list.iter().map(|(path, facts)| ((*path).to_owned(), facts.iter().map(|fact| (*fact).to_owned()).collect())).collect()
    };
    assert_eq!(
        facts(&there),
        wanted(&[
            ("a", vec!["bias: false -> (default)"]),
            ("b", vec!["class: SiLU -> GELU"]),
            ("blocks.*.act", vec!["layers: 2 -> 3"])
        ])
    );
    let back = second.difference(&first);
    assert_eq!(
        facts(&back),
        wanted(&[
            ("a", vec!["bias: (default) -> false"]),
            ("b", vec!["class: GELU -> SiLU"]),
            ("blocks.*.act", vec!["layers: 3 -> 2"])
        ])
    );
    let names = |list: &[layerspec::analyses::Single]| {
        list.iter().map(|one| (one.path.clone(), one.instances, one.params)).collect::<Vec<_>>()
    };
    assert_eq!((names(&there.added), names(&there.removed)), (vec![("y".to_owned(), 1, 0)], vec![("x".to_owned(), 1, 0)]));
    assert_eq!((there.equal, first.difference(&first).equal), (0, 4));
}

/// What is wrong with a method of a catalog is said in its file, each thing of it.
#[test]
fn a_method_of_a_catalog_says_what_it_must() {
    // The code of what is wrong, and what it is said of.
    let wrong = |method: Json| {
        let text = json!({ "mine": method }).to_string();
        let diagnostic = Catalog::overlaid([("quantization.json", &text)]).err()?;
        let place = diagnostic.primary.as_ref().map(|label| text[label.span.range()].to_owned());
        Some((diagnostic.code, place.unwrap_or_default()))
    };
    let with = |key: &str, value: Json| {
        let mut method = json!({ "doc": "a test", "source": "here", "bits": "<n>", "variables": { "n": 8 } });
        method[key] = value;
        wrong(method)
    };
    assert_eq!(with("doc", json!("another")), None);
    let faults = [
        ("bits", json!(8), Code::WrongType, "8"),
        ("bits", json!("<n"), Code::UnbalancedPlaceholder, "<n"),
        ("variables", json!([8]), Code::WrongType, "[8]"),
        ("kept", json!("all"), Code::WrongType, "\"all\""),
        ("doc", json!(1), Code::WrongType, "1"),
        ("nothing", json!(1), Code::UnknownKey, "\"nothing\""),
    ];
    for (key, value, code, place) in faults {
        assert_eq!(with(key, value), Some((code, place.to_owned())), "{key}");
    }
    assert_eq!(wrong(json!({ "doc": "a test", "source": "here" })).unwrap().0, Code::MissingKey);
    // One that is whole is used.
    let method = json!({ "doc": "a test", "source": "here", "bits": "<n>", "variables": { "n": 8 }, "kept": ["keep"] });
    let session = overlaid(&[("quantization", json!({ "mine": method }))]);
    let bytes = |quantization: Json| {
        let mut config = small();
        config["quantization_config"] = quantization;
        total(&try_evaluate(&session, &config, &at(4)).into_result().unwrap(), "weight_bytes")
    };
    let (linear, up) = (3 * (64 * 192 + 3 * 64 * 128u128), 3 * 64 * 128u128);
    let rest = 2 * (3 * 128 + 100 * 64 + 64u128);
    assert_eq!(bytes(json!({ "quant_method": "mine" })), linear + rest);
    assert_eq!(bytes(json!({ "quant_method": "mine", "n": 4, "keep": ["up_proj"] })), (linear - up) / 2 + 2 * up + rest);
}

#[test]
fn a_summary_adds_up_and_a_comparison_names_what_changed() {
    let first = evaluated(&small(), &at(16));
    let page = first.summary();
    assert_eq!(page.components.iter().map(|c| c.params).sum::<u128>(), page.params);
    assert_eq!(page.components.iter().map(|c| c.matmul_flops).sum::<u128>(), total(&first, "matmul_flops"));
    assert!(page.gated && page.tied && page.activations.iter().any(|a| &**a == "silu"));
    assert_eq!(page.cache.attention[0].name(), "GQA 2:1");
    let of = |name: &str| page.components.iter().find(|c| c.role.shown() == name).unwrap().params;
    assert_eq!((of("attention"), of("MLP"), of("embedding")), (3 * 64 * 192, 3 * 3 * 64 * 128, 6400));
    let mut other = small();
    other["intermediate_size"] = json!(256);
    other["attention_bias"] = json!(true);
    let changes = first.difference(&evaluated(&other, &at(16)));
    assert!(changes.added.is_empty() && changes.removed.is_empty());
    let up = changes.changed.iter().find(|c| c.path == "model.layers.*.mlp.up_proj").unwrap();
    assert_eq!(up.facts, [("out_features".into(), "128".to_owned(), "256".to_owned())]);
    assert!(changes.changed.iter().any(|c| c.path.ends_with("q_proj") && c.facts[0].0.as_ref() == "bias"));
    assert_eq!(first.difference(&first).changed, []);
}
