//! Memory against PyTorch's own: peaks of forward passes and what training saves, to the byte (tests/reference/memory.json).

use std::collections::BTreeMap;

use layerspec::Evaluation;
use layerspec::analyses::{Checkpointing, Lora, Training, loss_saved_bytes};
use serde_json::Value as Json;

use crate::support::{SESSION, evaluate, model_file, workload};

fn facts() -> Json {
    serde_json::from_str(include_str!("../reference/memory.json")).unwrap()
}

/// The model of a fact at its workload.
fn evaluated(fact: &Json) -> Evaluation {
    let model = fact["model"].as_str().unwrap();
    evaluate(&SESSION, model, model_file(model), &workload(&fact["workload"])).into_result().unwrap()
}

#[test]
fn peaks_equal_pytorchs() {
    let facts = facts();
    let peaks = facts["peaks"].as_array().unwrap();
    assert_eq!(peaks.len(), 115);
    for fact in peaks {
        let found = evaluated(fact);
        let found = found.peak().unwrap();
        assert_eq!(found.bytes, u128::from(fact["peak_bytes"].as_u64().unwrap()), "{fact} at {}", found.path);
    }
}

/// `model.layers.*.self_attn` for a function in it, as the reference books what no module of its own saves.
fn module_path(path: &str, is_module: bool) -> String {
    let path = if is_module { path } else { path.rsplit_once('.').map_or("", |(outer, _)| outer) };
    let starred = path.split('.').map(|part| if part.parse::<u64>().is_ok() { "*" } else { part });
    starred.collect::<Vec<_>>().join(".")
}

#[test]
fn what_training_saves_equals_pytorchs_in_total_and_per_module() {
    let facts = facts();
    let saved = facts["saved"].as_array().unwrap();
    assert_eq!(saved.len(), 26);
    for fact in saved {
        let evaluation = evaluated(fact);
        assert_eq!(evaluation.saved_bytes(), u128::from(fact["saved_bytes"].as_u64().unwrap()), "{}", fact["quantity"]);
        let mut modules: BTreeMap<String, u128> = BTreeMap::new();
        for row in evaluation.rows() {
            let concrete: String =
                row.path().split('.').map(|p| if p.starts_with('[') { "0" } else { p }).collect::<Vec<_>>().join(".");
            *modules.entry(module_path(&concrete, row.kind() == "module")).or_default() += row.saved_bytes();
        }
        modules.retain(|_, bytes| *bytes > 0);
        let wanted: BTreeMap<String, u128> = fact["by_module"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(path, row)| (path.clone(), u128::from(row[1].as_u64().unwrap())))
            .collect();
        assert_eq!(modules, wanted, "{} {}", fact["model"], fact["quantity"]);
    }
}

#[test]
fn a_loss_keeps_what_pytorchs_does() {
    let facts = facts();
    for fact in facts["saved_with_cross_entropy"].as_array().unwrap() {
        let evaluation = evaluated(fact);
        let loss = loss_saved_bytes(evaluation.output_shape().unwrap()).unwrap();
        assert_eq!(evaluation.saved_bytes() + loss, u128::from(fact["saved_bytes"].as_u64().unwrap()), "{}", fact["model"]);
    }
}

/// Every leaf module's outputs, at the concrete paths that the reference has (layers 0, 1, the last, and the first of each kind).
#[test]
fn output_shapes_equal_pytorchs() {
    let facts = facts();
    let mut checked = 0;
    for (model, fact) in facts["output_shapes"].as_object().unwrap() {
        let workload = serde_json::json!({ "batch_size": fact["batch_size"], "seq_len": fact["seq_len"] });
        let evaluation = evaluated(&serde_json::json!({ "model": model, "workload": workload }));
        for instance in evaluation.instances() {
            let Some(shapes) = fact["modules"].get(&instance.path) else { continue };
            let found: Vec<Vec<u128>> = instance.row.output_shapes().flatten().map(<[u128]>::to_vec).collect();
            let wanted: Vec<Vec<u128>> = serde_json::from_value(shapes.clone()).unwrap();
            // A rotary embedding that is called twice is listed once.
            assert_eq!(found, wanted, "{model} {}", instance.path);
            checked += 1;
        }
    }
    assert!(checked > 150, "{checked}");
}

#[test]
fn shapes_follow_the_workload() {
    let fact = serde_json::json!({ "model": "llama-2-7b-hf", "workload": { "batch_size": 1, "seq_len": 5 } });
    let evaluation = evaluated(&fact);
    let shape = |path: &str| evaluation.find(path).unwrap().output_shapes().next().unwrap().unwrap();
    assert_eq!(shape("model.embed_tokens"), [1, 5, 4096]);
    assert_eq!(shape("lm_head"), [1, 5, 32000]);
    assert_eq!(evaluation.output_shape(), Some(&[1, 5, 32000][..]));
}

/// Where the peak of Llama-2-7B is and what is alive there: three tensors of the MLP's width, four of the model's, tables, positions.
#[test]
fn the_peak_is_explained_to_the_byte() {
    let workload = serde_json::json!({ "batch_size": 1, "seq_len": 2048, "cache": "off" });
    let evaluation = evaluated(&serde_json::json!({ "model": "llama-2-7b-hf", "workload": workload }));
    let peak = evaluation.peak().unwrap();
    assert_eq!((peak.bytes, peak.path.as_str()), (203_440_128, "model.layers.1.mlp.product"));
    let alive = evaluation.alive_at_peak();
    let sum: u128 = alive.iter().map(|alive| alive.bytes * alive.count).sum();
    assert_eq!(sum + peak.workspace, peak.bytes);
    let of = |bytes: u128| alive.iter().filter(|alive| alive.bytes == bytes).map(|alive| alive.count).sum::<u128>();
    assert_eq!((of(2048 * 11008 * 2) + 1, of(2048 * 4096 * 2), of(2048 * 128 * 2), of(2048 * 8)), (3, 4, 2, 1));
}

/// A plan's items by kind.
fn items(at: &Evaluation, options: &Training) -> BTreeMap<&'static str, u128> {
    at.memory_plan(1, options).unwrap().items.iter().map(|item| (item.kind, item.bytes)).collect()
}

fn adamw() -> Training {
    Training::new(SESSION.catalog().optimizer("adamw").unwrap())
}

/// 16 bytes a parameter (bf16 weights and gradients, float32 master weights and two float32 moments), as the ZeRO paper has it
/// (arXiv 1910.02054, section 3.1), and a step of 4 bytes a tensor.
#[test]
fn a_training_step_takes_sixteen_bytes_a_parameter() {
    let workload = serde_json::json!({ "phase": "train", "batch_size": 1, "seq_len": 512 });
    let evaluation = evaluated(&serde_json::json!({ "model": "llama-2-7b-hf", "workload": workload }));
    let params = 6_738_415_616u128;
    let mixed = Training { master_weights: true, ..adamw() };
    let all = items(&evaluation, &mixed);
    let tensors = 32 * 9 + 3;
    let states = all["weights"] + all["gradients"] + all["master weights"] + all["optimizer"];
    assert_eq!(states, 16 * params + 4 * tensors);
    assert_eq!(all["saved activations"], 3_072_722_944);
    // Stage 3 leaves each of 64 ranks a 64th; stage 1 splits the states alone.
    let split = |zero| items(&evaluation, &Training { zero, ranks: 64, ..mixed.clone() });
    assert_eq!(split(3)["weights"], (2 * params).div_ceil(64));
    assert_eq!((split(1)["gradients"], split(1)["optimizer"]), (2 * params, (8 * params + 4 * tensors).div_ceil(64)));
    // Full checkpointing keeps a block's input (1 x 512 x 4096 in bf16), and one block while it is computed again.
    let full = Training { checkpointing: Checkpointing::Full, ..adamw() };
    let kept = items(&evaluation, &full)["saved activations"];
    assert!(kept > 32 * 512 * 4096 * 2 && kept < 3_072_722_944 / 8, "{kept}");
    let selective = Training { checkpointing: Checkpointing::Selective, ..adamw() };
    let some = items(&evaluation, &selective)["saved activations"];
    assert!(kept < some && some < 3_072_722_944, "{some}");
}

#[test]
fn adapters_alone_have_gradients_and_states() {
    let workload = serde_json::json!({ "phase": "train", "batch_size": 1, "seq_len": 512 });
    let evaluation = evaluated(&serde_json::json!({ "model": "llama-2-7b-hf", "workload": workload }));
    let lora = Lora { rank: 8, targets: vec!["*.q_proj".into(), "*.v_proj".into()] };
    let options = Training { lora: Some(lora), ..adamw() };
    // peft: 4,194,304 trainable parameters for rank 8 on q_proj and v_proj of Llama-2-7B.
    assert_eq!(evaluation.memory_plan(1, &options).unwrap().trained_params, 4_194_304);
    assert_eq!(items(&evaluation, &options)["gradients"], 2 * 4_194_304);
    let wrong = Lora { rank: 8, targets: vec!["*.query".into()] };
    assert!(evaluation.memory_plan(1, &Training { lora: Some(wrong), ..adamw() }).is_err());
}

#[test]
fn a_cache_says_what_makes_it() {
    let report = |model: &str| {
        let fact = serde_json::json!({ "model": model, "workload": { "phase": "decode", "seq_len": 1, "past_len": 2047 } });
        evaluated(&fact).cache()
    };
    let llama = report("llama-3.2-1b");
    assert_eq!(llama.attention.iter().map(|kind| kind.name()).collect::<Vec<_>>(), ["GQA 4:1"]);
    assert_eq!((llama.bytes, llama.mha_bytes), (67_108_864, 4 * 67_108_864));
    // 16 layers x 2 x 8 heads x 64 channels x 2 bytes.
    assert_eq!((llama.bytes_per_token, llama.constant_bytes), (32_768, 0));
    let gemma = report("gemma-3-270m");
    assert_eq!(gemma.attention.iter().map(|kind| (kind.layers, kind.window)).collect::<Vec<_>>(), [(15, Some(512)), (3, None)]);
    // A window keeps 511 tokens: beyond it only the three full layers grow.
    let at = |tokens: u64| gemma.at.iter().find(|(length, _)| *length == tokens).unwrap().1;
    assert_eq!(at(131_072) - at(65_536), 65_536 * 3 * 2 * 256 * 2);
}

#[test]
fn the_largest_that_fits_fits_and_one_more_does_not() {
    let device = SESSION.catalog().device("rtx-4090").unwrap().unwrap();
    let training = adamw();
    for phase in ["prefill", "decode", "train"] {
        let need = |batch: u64, seq: u64, past: u64| {
            let workload = serde_json::json!({ "phase": phase, "batch_size": batch, "seq_len": seq, "past_len": past });
            let evaluation = evaluated(&serde_json::json!({ "model": "qwen3-0.6b", "workload": workload }));
            items(&evaluation, &training).values().sum::<u128>()
        };
        let (seq, past) = if phase == "decode" { (1, 2047) } else { (512, 0) };
        let workload = serde_json::json!({ "phase": phase, "batch_size": 1, "seq_len": seq, "past_len": past });
        let evaluation = evaluated(&serde_json::json!({ "model": "qwen3-0.6b", "workload": workload }));
        let now = evaluation.memory_plan(1, &training).unwrap();
        let answer = evaluation.fit(&now, &device, 1, 10, &training);
        let (batch, longest) = (answer.largest_batch.number().unwrap(), answer.longest_context.number().unwrap());
        assert!(need(batch, seq, past) <= answer.room() && need(batch + 1, seq, past) > answer.room(), "{phase} {batch}");
        let at = |tokens: u64| if phase == "decode" { need(1, 1, tokens - 1) } else { need(1, tokens, 0) };
        assert!(at(longest) <= answer.room() && at(longest + 1) > answer.room(), "{phase} {longest}");
    }
}

/// A model that is written out here, in training.
fn trained(text: &str, asked: &Json) -> Evaluation {
    evaluate(&SESSION, "model.json", text, &workload(asked)).into_result().unwrap()
}

/// A gradient has its weight's dtype, as PyTorch has it, down to 16 bits; a weight of fewer has one of the activations' dtype.
#[test]
fn gradients_of_sixteen_bits_are_the_weights_own() {
    let text = r#"{ "layers": [ { "name": "fc", "class": "torch.nn.Linear",
        "parameters": { "in_features": 4, "out_features": 8, "bias": false } } ] }"#;
    let gradients = |dtype: &str, weight_dtype: &str| {
        let asked = serde_json::json!({ "phase": "train", "seq_len": 2, "dtype": dtype, "weight_dtype": weight_dtype });
        items(&trained(text, &asked), &adamw())["gradients"]
    };
    assert_eq!(gradients("fp32", "bf16"), 32 * 2);
    assert_eq!(gradients("bf16", "fp32"), 32 * 4);
    assert_eq!(gradients("fp32", "fp8_e4m3"), 32 * 4);
    assert_eq!(gradients("bf16", "fp8_e4m3"), 32 * 2);
}

/// Checkpointing a whole block keeps what each block reads, and all that the one block saves that is being computed again.
#[test]
fn full_checkpointing_keeps_inputs_and_one_block() {
    let text = r#"{ "layers": [
        { "name": "stem", "class": "torch.nn.GELU", "parameters": { "features": 4 } },
        { "name": "layers", "repeat": 3, "sub_layers": [
        { "name": "up", "class": "torch.nn.Linear", "parameters": { "in_features": 4, "out_features": 8, "bias": false } },
        { "name": "act", "class": "torch.nn.GELU", "parameters": { "features": 8 } },
        { "name": "down", "class": "torch.nn.Linear", "parameters": { "in_features": 8, "out_features": 4, "bias": false } } ] } ] }"#;
    let at = trained(text, &serde_json::json!({ "phase": "train", "batch_size": 1, "seq_len": 2, "dtype": "bf16" }));
    let plan = |checkpointing| at.memory_plan(1, &Training { checkpointing, ..adamw() }).unwrap();
    let saved = |checkpointing| plan(checkpointing).items.iter().find(|item| item.kind == "saved activations").unwrap().bytes;
    // Two tokens of bf16: a linear layer keeps its input, and so does GELU. What the stem keeps is the caller's.
    let (narrow, wide) = (2 * 4 * 2u128, 2 * 8 * 2u128);
    let block = narrow + 2 * wide;
    assert_eq!(saved(Checkpointing::None), 3 * block);
    assert_eq!(saved(Checkpointing::Full), 3 * narrow + block);
    let vector = at.rows().filter(|row| row.path() != "stem").map(|row| row.total().named("vector_flops").unwrap()).sum::<u128>();
    let forward = at.matmul_flops() + vector;
    assert_eq!((plan(Checkpointing::None).recomputed_flops, plan(Checkpointing::Full).recomputed_flops), (0, forward));
    // Matrix products aren't computed again, so what they give is kept.
    assert_eq!(plan(Checkpointing::Selective).recomputed_flops, vector);
}
