//! Memory against PyTorch's own: peaks of forward passes and what training saves, to the byte (tests/reference/memory.json).

use std::collections::BTreeMap;

use layerspec::Evaluation;
use layerspec::analyses::{AttentionKind, CacheGrowth, Checkpointing, Gradients, Lora, Loss, Training, loss_saved_bytes};
use serde_json::{Value as Json, json};

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
    let plan = |options: &Training| evaluation.memory_plan(1, options).unwrap();
    let states = all["weights"] + plan(&mixed).gradient_bytes + all["master weights"] + all["optimizer"];
    assert_eq!(states, 16 * params + 4 * tensors);
    // The backward pass ends with the embedding's gradient, of 262,144,000 bytes, beside all others: the first layers' activations are gone then.
    assert_eq!((all["gradients"], all["saved activations"]), (2 * params - 262_144_000, 0));
    // What transformers' loss keeps: the log-softmax of 512 x 32,000 logits in float32, 512 targets, 12 bytes of scalars, and the loss itself.
    let after = |options: &Training| plan(options).step.unwrap().after_forward;
    assert_eq!(after(&mixed), 3_072_722_944 + 512 * 32_000 * 4 + 512 * 8 + 12 + 4);
    // Stage 3 leaves each of 64 ranks a 64th; stage 1 splits the states alone.
    let split = |zero| items(&evaluation, &Training { zero, ranks: 64, ..mixed.clone() });
    assert_eq!(split(3)["weights"], (2 * params).div_ceil(64));
    assert_eq!(split(1)["optimizer"], (8 * params + 4 * tensors).div_ceil(64));
    let stage = |zero| plan(&Training { zero, ranks: 64, ..mixed.clone() }).gradient_bytes;
    assert_eq!((stage(1), stage(2)), (2 * params, (2 * params).div_ceil(64)));
    // Full checkpointing keeps a block's input (1 x 512 x 4096 in bf16), selective also what its matrix products made.
    let of = |checkpointing| after(&Training { checkpointing, ..adamw() });
    let (full, selective, none) = (of(Checkpointing::Full), of(Checkpointing::Selective), of(Checkpointing::None));
    assert!(full > 32 * 512 * 4096 * 2 && full < none / 8 && full < selective && selective < none, "{full} {selective} {none}");
}

#[test]
fn adapters_alone_have_gradients_and_states() {
    let workload = serde_json::json!({ "phase": "train", "batch_size": 1, "seq_len": 512 });
    let evaluation = evaluated(&serde_json::json!({ "model": "llama-2-7b-hf", "workload": workload }));
    let lora = Lora { rank: 8, targets: vec!["*.q_proj".into(), "*.v_proj".into()] };
    let options = Training { lora: Some(lora), ..adamw() };
    // peft: 4,194,304 trainable parameters for rank 8 on q_proj and v_proj of Llama-2-7B.
    assert_eq!(evaluation.memory_plan(1, &options).unwrap().trained_params, 4_194_304);
    assert_eq!(evaluation.memory_plan(1, &options).unwrap().gradient_bytes, 2 * 4_194_304);
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
    assert_eq!(llama.growth, Some(CacheGrowth { bytes_per_token: count(32_768), at_first: 32_768, constant_bytes: 0 }));
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

fn count(n: u128) -> layerspec::Exact {
    layerspec::Exact::from_count(n).unwrap()
}

/// A config at a decode step.
fn decoding(config: &Json, batch: u64, past: u64, after: &str) -> Evaluation {
    let asked = json!({ "phase": "decode", "batch_size": batch, "seq_len": 1, "past_len": past, "after": after });
    evaluate(&SESSION, "config.json", config.to_string(), &workload(&asked)).into_result().unwrap()
}

/// What a cache holds from earlier steps when a step begins, counters of 8 bytes aside: what is alive of it at the peak, and what had been freed by then.
/// Tells storages, where `cache_bytes` are those of the tokens kept.
#[test]
fn decoding_is_in_its_steady_state() {
    // The storages of a DynamicCache of transformers 5.23, torch 2.15: 5 layers with a window of 64 and a full one, a key and a value of 32.
    let config = json!({ "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "hidden_size": 64, "intermediate_size": 64,
        "num_hidden_layers": 6, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 100,
        "sliding_window": 64, "sliding_window_pattern": 6, "max_position_embeddings": 8192 });
    const COUNTERS: u128 = 5 * 8;
    let storages = |past: u64, after: &str| {
        let step = decoding(&config, 1, past, after);
        let peak = step.peak().unwrap();
        (peak.path.clone(), peak.cache_bytes - COUNTERS)
    };
    // After a prompt, everything is there until the first layer's step is done.
    assert_eq!(storages(4096, "prompt"), ("model.layers.0.self_attn.cache".to_owned(), 3_145_728));
    // The last layer's old keys beside its new ones come when the others' windows have been cut, or were.
    for (past, bytes) in [(4097, 565_376), (4098, 565_504), (4099, 565_632)] {
        assert_eq!(storages(past, "steps"), ("model.layers.5.self_attn.cache".to_owned(), bytes));
    }
    let report = decoding(&config, 1, 4096, "steps").cache();
    assert_eq!(report.growth.map(|growth| (growth.bytes_per_token, growth.at_first)), Some((count(128), 6 * 128)));
}

#[test]
fn published_caches_of_long_contexts() {
    // Gemma-3-27B at 131,072 tokens: 10 full layers and 52 of 1,024 tokens, 16 heads of 128.
    let config = json!({ "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "hidden_size": 5376, "intermediate_size": 21504,
        "num_hidden_layers": 62, "num_attention_heads": 32, "num_key_value_heads": 16, "head_dim": 128, "vocab_size": 262_208,
        "sliding_window": 1024, "sliding_window_pattern": 6 });
    let gemma = decoding(&config, 1, 131_071, "steps");
    // 10.41 GiB in hundredths.
    let gib = |bytes: u128| bytes * 100 / (1 << 30);
    assert_eq!((gib(gemma.cache().bytes), gib(gemma.peak().unwrap().cache_bytes)), (1040, 1040));
    assert_eq!(gib(decoding(&config, 1, 131_071, "prompt").peak().unwrap().cache_bytes), 6199);
    let of = |model: &str, batch: u64, past: u64| {
        let asked = json!({ "phase": "decode", "batch_size": batch, "seq_len": 1, "past_len": past });
        evaluated(&json!({ "model": model, "workload": asked })).cache()
    };
    // gpt-oss-20b, 32 x 8,192: 6.093 GiB in a published log.
    assert_eq!(of("gpt-oss-20b", 32, 8191).bytes * 1000 / (1 << 30), 6093);
    // DeepSeek-V4-Flash, 912,128 tokens: 6.28 GB and about 6.9 kB a token (published pool sizes).
    let flash = of("deepseek-v4-flash", 1, 912_127);
    assert_eq!((flash.bytes / 10_000_000, flash.growth.map(|growth| growth.bytes_per_token)), (628, Some(count(6_880))));
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
        trained(text, &asked).memory_plan(1, &adamw()).unwrap().gradient_bytes
    };
    assert_eq!(gradients("fp32", "bf16"), 32 * 2);
    assert_eq!(gradients("bf16", "fp32"), 32 * 4);
    assert_eq!(gradients("fp32", "fp8_e4m3"), 32 * 4);
    assert_eq!(gradients("bf16", "fp8_e4m3"), 32 * 2);
}

/// A block that is computed again keeps what it is given, and runs again up to the last layer that saves something: GELU and both products, less
/// the last one's own result.
#[test]
fn full_checkpointing_keeps_inputs_and_one_block() {
    let text = r#"{ "layers": [
        { "name": "stem", "class": "torch.nn.Linear", "parameters": { "in_features": 4, "out_features": 4, "bias": false } },
        { "name": "layers", "repeat": 3, "sub_layers": [
        { "name": "up", "class": "torch.nn.Linear", "parameters": { "in_features": 4, "out_features": 8, "bias": false } },
        { "name": "act", "class": "torch.nn.GELU", "parameters": { "features": 8 } },
        { "name": "down", "class": "torch.nn.Linear", "parameters": { "in_features": 8, "out_features": 4, "bias": false } } ] } ] }"#;
    let at = trained(text, &serde_json::json!({ "phase": "train", "batch_size": 1, "seq_len": 2, "dtype": "bf16" }));
    let sum = |checkpointing, gradients| Training { checkpointing, gradients, loss: Some(Loss::Sum), ..adamw() };
    let plan = |checkpointing| at.memory_plan(1, &sum(checkpointing, Gradients::Dropped)).unwrap();
    let after = |checkpointing| plan(checkpointing).step.unwrap().after_forward;
    // Two tokens of bf16: a linear layer keeps its input, and so does GELU; the stem's is the caller's. The sum is 2 bytes.
    let (narrow, wide) = (2 * 4 * 2u128, 2 * 8 * 2u128);
    let block = narrow + 2 * wide;
    assert_eq!(after(Checkpointing::None), 3 * block + 2);
    assert_eq!(after(Checkpointing::Full), 3 * narrow + 2);
    // Selective keeps what `up` and `down` give besides: a block's result is the next one's input.
    assert_eq!(after(Checkpointing::Selective), 3 * (narrow + wide + narrow) + 2 - 2 * narrow);
    // The backward pass with its gradient and its loss (2 + 2 bytes): of the last block `down`, whose weight's gradient is 64 bytes and whose input's
    // is `wide`. Computed again beside the inputs of all three blocks: what `up` and `act` gave.
    let most = |checkpointing| plan(checkpointing).step.unwrap().backward.unwrap();
    assert_eq!(most(Checkpointing::None).parts.total(), 4 + 3 * block + 64 + wide);
    assert_eq!(most(Checkpointing::Full).parts.total(), 4 + 3 * narrow + 2 * wide + 64 + wide);
    let listed = |checkpointing| {
        let step = plan(checkpointing).step.unwrap();
        step.alive.iter().map(|alive| alive.bytes).sum::<u128>() + step.backward.unwrap().workspace
    };
    assert_eq!(listed(Checkpointing::Full), most(Checkpointing::Full).parts.total());
    let vector = at.rows().map(|row| row.total().named("vector_flops").unwrap()).sum::<u128>();
    let stem = at.rows().find(|row| row.path() == "stem").map(|row| row.total().named("matmul_flops").unwrap()).unwrap();
    let forward = at.matmul_flops() - stem + vector;
    assert_eq!((plan(Checkpointing::None).recomputed_flops, plan(Checkpointing::Full).recomputed_flops), (0, forward));
    // Matrix products aren't computed again, so what they give is kept.
    assert_eq!(plan(Checkpointing::Selective).recomputed_flops, vector);
}

/// A model of attention alone: the heads that each says, and what each keeps.
fn attention_of(kinds: &[[u64; 3]]) -> Evaluation {
    let layer = |at: usize, [heads, kv_heads, kept]: [u64; 3]| {
        let [q, k, kv] = ["q", "k", "kv"].map(|name| format!("{name}{at}"));
        serde_json::json!({ "name": format!("a{at}"), "sub_layers": [
            { "name": "kv", "class": "kv_cache", "inputs": [k, k], "parameters": { "num_kv_heads": kept, "head_dim": 8 } },
            { "name": "sdpa", "class": "sdpa", "inputs": [q, kv, kv], "parameters": { "num_heads": heads, "num_kv_heads": kv_heads, "head_dim": 8 } } ] })
    };
    let layers: Vec<Json> = kinds.iter().enumerate().map(|(at, kind)| layer(at, *kind)).collect();
    let mut inputs = serde_json::Map::new();
    for (at, [heads, kv_heads, kept]) in kinds.iter().enumerate() {
        let shape = |heads: &u64, len: u64| serde_json::json!({ "shape": ["<batch_size>", heads, len, 8] });
        inputs.insert(format!("q{at}"), shape(heads, 1));
        inputs.insert(format!("k{at}"), shape(kept, 1));
        inputs.insert(format!("kv{at}"), shape(kv_heads, 10));
    }
    let text = serde_json::json!({ "inputs": inputs, "layers": layers });
    let asked = serde_json::json!({ "phase": "decode", "batch_size": 3, "seq_len": 1, "past_len": 9, "kv_dtype": "fp32" });
    evaluate(&SESSION, "model.json", text.to_string(), &workload(&asked)).into_result().unwrap()
}

/// MHA, GQA, MQA as the papers name them (arXiv 1911.02150, 2305.13245); each layer is asked what it keeps itself.
#[test]
fn kinds_of_attention_have_their_names() {
    let report = attention_of(&[[4, 4, 4], [4, 2, 2], [4, 1, 1], [4, 2, 1], [4, 2, 2]]).cache();
    let kinds: Vec<(String, u128)> = report.attention.iter().map(|kind| (kind.name(), kind.layers)).collect();
    let wanted = [("MHA", 1), ("GQA 2:1", 2), ("MQA", 1), ("MLA", 1)];
    assert_eq!(kinds, wanted.map(|(name, layers)| (name.to_owned(), layers)));
    // Heads that can't be shared evenly have no name.
    let odd = AttentionKind { num_heads: 6, num_kv_heads: 4, ..report.attention[0].clone() };
    assert_eq!(odd.name(), "6:4 heads");
    // Of 2 heads' keys and values of 8 channels, those of one are kept.
    assert_eq!(report.attention.iter().find_map(|kind| kind.latent), Some(2 * 8));
    // 3 sequences of 10 tokens, keys and values of 8 channels in 4 bytes: 4 + 2 + 1 + 1 + 2 heads, and all 20 query heads.
    let head = 3 * 10 * 2 * 8 * 4;
    assert_eq!((report.bytes, report.mha_bytes), (10 * head, 20 * head));
    assert_eq!(report.rows.iter().map(|row| (row.path.as_str(), row.layers, row.bytes)).nth(1), Some(("a1.kv", 1, 2 * head)));
    // Of one sequence a token more.
    assert_eq!(report.growth.map(|growth| (growth.bytes_per_token, growth.constant_bytes)), Some((count(10 * 2 * 8 * 4), 0)));
    // At other lengths, of as many sequences as the workload has.
    assert_eq!(report.at[0], (512, 10 * 3 * 512 * 2 * 8 * 4));
}

/// A layer called twice keeps two caches and finds two from the step before: folded or written out, of 3 blocks 6.
#[test]
fn a_cache_called_twice_has_two_of_the_earlier_step() {
    let kv = |name: &str, repeat: Option<u64>| {
        let body = serde_json::json!([
            { "name": "kv", "class": "kv_cache", "inputs": ["k", "k"], "calls": 2, "parameters": { "num_kv_heads": 4, "head_dim": 8 } } ]);
        let mut layer = serde_json::json!({ "name": name, "sub_layers": body });
        if let Some(repeat) = repeat {
            layer["repeat"] = repeat.into();
        }
        layer
    };
    let at = |layers: &[Json]| {
        let text = serde_json::json!({ "inputs": { "k": { "shape": ["<batch_size>", 4, 1, 8] } }, "layers": layers }).to_string();
        let asked = serde_json::json!({ "phase": "decode", "batch_size": 1, "seq_len": 1, "past_len": 9, "kv_dtype": "fp32" });
        let at = evaluate(&SESSION, "model.json", text, &workload(&asked)).into_result().unwrap();
        (at.cache_storage(), at.named("cache_bytes").unwrap(), at.peak().unwrap().bytes)
    };
    // Keys and values of 4 heads and 8 channels in 4 bytes.
    let token = 2 * 4 * 8 * 4;
    let folded = at(&[kv("n", Some(3))]);
    assert_eq!(folded, at(&[kv("a", None), kv("b", None), kv("c", None)]));
    assert_eq!((folded.0, folded.1), (6 * 10 * token, 6 * 10 * token));
    // At the last call: five that have grown, the sixth, and the first half of what replaces it, its keys, beside the new token's in fp32.
    assert_eq!(folded.2, (5 * 10 + 9) * token + (10 + 1) * token / 2);
}

/// Lengths that a workload sets by name are those of the workload, not of the lengths that a report shows.
#[test]
fn a_cache_at_other_lengths_forgets_the_workloads() {
    let at = |settings: &[(&str, u64)]| {
        let settings = settings.iter().map(|(name, value)| ((*name).into(), layerspec::Value::count(*value))).collect();
        let asked = layerspec::Workload { settings, ..layerspec::Workload::default() };
        let asked = (asked, layerspec::Execution::default());
        evaluate(&SESSION, "llama-3.2-1b", model_file("llama-3.2-1b"), &asked).into_result().unwrap().cache()
    };
    // In training nothing is kept; what a token would take is the same.
    let asked = serde_json::json!({ "phase": "train", "batch_size": 1, "seq_len": 64 });
    let training = evaluated(&serde_json::json!({ "model": "llama-3.2-1b", "workload": asked })).cache();
    assert_eq!(
        (training.bytes, training.growth.unwrap().bytes_per_token, training.at[0]),
        (0, count(32_768), (512, 512 * 32_768))
    );
    let (plain, set) = (at(&[]), at(&[("seq_len", 100), ("past_len", 20), ("batch_size", 2), ("logit_len", 7)]));
    let growth = Some(CacheGrowth { bytes_per_token: count(32_768), at_first: 32_768, constant_bytes: 0 });
    assert_eq!((plain.growth, set.growth), (growth, growth));
    assert_eq!(set.bytes, 2 * 120 * 32_768);
    assert_eq!((plain.at[1], set.at[1]), ((1024, 1024 * 32_768), (1024, 2 * 1024 * 32_768)));
}

/// Tensor parallelism divides matrices, embeddings and the cache's heads; norms and activations are whole on each device.
#[test]
fn devices_share_weights_and_caches() {
    let asked = serde_json::json!({ "phase": "decode", "batch_size": 2, "seq_len": 1, "past_len": 15 });
    let evaluation = evaluated(&serde_json::json!({ "model": "llama-3.2-1b", "workload": asked }));
    let items =
        |devices: u64| evaluation.memory_plan(devices, &adamw()).unwrap().items.iter().map(|item| item.bytes).collect::<Vec<_>>();
    // 1,235,814,400 parameters in bf16, of them 33 norms of 2,048, and what 32 tokens keep.
    let (weights, norms, cache) = (2 * 1_235_814_400u128, 2 * 33 * 2048u128, 32 * 32_768);
    let [one, two, three, none] = [1, 2, 3, 0].map(items);
    assert_eq!((one[0], two[0]), (weights, (weights - norms) / 2 + norms));
    assert!(one[1] >= cache && two[1] == one[1] / 2 && one[2] > 0 && two[2] == one[2]);
    // 8 heads over 3 devices: one of them has 3.
    assert_eq!(three[1], one[1] * 3 / 8);
    assert_eq!(none, one);
    let plan = evaluation.memory_plan(2, &adamw()).unwrap();
    assert_eq!((plan.total(), plan.trained_params), (Some(two.iter().sum()), 0));
    let split = plan.split.unwrap();
    assert_eq!((split.copied_weight_bytes, split.copied_cache_bytes, split.cache_copies), (norms, 0, 1));
    assert!(split.copied.iter().all(|class| class.ends_with("LlamaRMSNorm")) && split.divided.len() == 2);
}

/// A key and value head is whole on a device, and a latent has no heads to divide.
#[test]
fn heads_are_whole_on_a_device() {
    let cache = |config: &Json, past: u64, devices: u64| {
        let plan = decoding(config, 1, past, "steps").memory_plan(devices, &adamw()).unwrap();
        let split = plan.split.unwrap();
        (plan.items[1].bytes, split.copied_cache_bytes, split.cache_copies)
    };
    // Qwen3-235B at 40,960 tokens: 94 layers of 4 heads of 128, so one on each of 4 devices, and on 8 each of them twice.
    let qwen = json!({ "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 4096, "head_dim": 128,
        "intermediate_size": 12288, "moe_intermediate_size": 1536, "num_attention_heads": 64, "num_key_value_heads": 4, "num_experts": 128,
        "num_experts_per_tok": 8, "num_hidden_layers": 94, "vocab_size": 151_936 });
    assert_eq!(cache(&qwen, 40_959, 4), (1_971_322_368, 0, 1));
    assert_eq!(cache(&qwen, 40_959, 8), (1_971_322_368, 0, 2));
    // On 8 the projections of keys and values make one head each, not half of one; the router and the norms are copied.
    let (embeddings, q_and_o, k_and_v) = (2 * 151_936 * 4096 / 8, 2 * 4096 * 8192 / 8, 2 * 4096 * 128);
    let (experts, router, norms) = (128 * 3 * 4096 * 1536 / 8, 128 * 4096, 2 * 4096 + 2 * 128);
    let weights = 2 * (embeddings + 94 * (q_and_o + k_and_v + experts + router + norms) + 4096);
    assert_eq!(decoding(&qwen, 1, 1, "steps").memory_plan(8, &adamw()).unwrap().items[0].bytes, weights);
    // 4 layers that keep 64 + 16 channels of 1,024 tokens in 2 bytes.
    let mla = json!({ "model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"], "hidden_size": 256, "intermediate_size": 512,
        "moe_intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 8, "n_routed_experts": 8,
        "num_experts_per_tok": 2, "n_shared_experts": 1, "first_k_dense_replace": 1, "q_lora_rank": 64, "kv_lora_rank": 64,
        "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32, "vocab_size": 1000, "n_group": 1, "topk_group": 1 });
    assert_eq!(cache(&mla, 1023, 8), (655_360, 655_360, 1));
}

/// peft gives stacked experts one A `[E r, in]` and one B `[out, E r]` for each stacked matrix: 32 experts, rank 8, matrices of 2,880 x 5,760 and
/// 2,880 x 2,880 are 3,686,400 scalars a layer of gpt-oss-20b. Their biases get none.
#[test]
fn adapters_of_stacked_experts_are_stacked() {
    let of = |targets: &[&str]| {
        let asked = json!({ "phase": "train", "batch_size": 1, "seq_len": 8 });
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        let options = Training { lora: Some(Lora { rank: 8, targets }), ..adamw() };
        let plan = evaluated(&json!({ "model": "gpt-oss-20b", "workload": asked })).memory_plan(1, &options);
        plan.map(|plan| plan.trained_params).map_err(|diagnostic| diagnostic.message)
    };
    assert_eq!(of(&["*.experts"]), Ok(24 * 3_686_400));
    // Of single layers, and one that means nothing among others.
    assert_eq!(of(&["model.layers.[0-3].mlp.experts", "model.layers.7.mlp.experts"]), Ok(5 * 3_686_400));
    assert_eq!(of(&["*.experts", "*.no_such"]), Err("no matrix belongs to the LoRA target `*.no_such`".to_owned()));
    // What has no matrix is no target: norms, and a router's vector.
    assert!(of(&["*.input_layernorm"]).is_err());
    let many: Vec<String> = (0..40).map(|at| format!("*.experts{}", "*".repeat(at))).collect();
    assert_eq!(of(&many.iter().map(String::as_str).collect::<Vec<_>>()), Err("more than 32 patterns of layers".to_owned()));
}

/// Adapters beside a matrix of 4 to 8: A of 2 x 4 and B of 8 x 2, 24 scalars. Weights grow by them, and they alone have gradients and states.
#[test]
fn adapters_are_weights_too() {
    let text = r#"{ "layers": [ { "name": "fc", "class": "torch.nn.Linear", "parameters": { "in_features": 4, "out_features": 8 } } ] }"#;
    let at = trained(text, &serde_json::json!({ "phase": "train", "seq_len": 2, "dtype": "bf16" }));
    let options = Training { lora: Some(Lora { rank: 2, targets: vec!["*fc".into()] }), master_weights: true, ..adamw() };
    let all = items(&at, &options);
    // 32 weights and 8 biases are frozen.
    let gradients = |options: &Training| at.memory_plan(1, options).unwrap().gradient_bytes;
    assert_eq!((all["weights"], gradients(&options), all["master weights"]), (2 * (40 + 24), 2 * 24, 4 * 24));
    // Two float32 moments a scalar, and a step of 4 bytes a tensor.
    assert_eq!(all["optimizer"], 2 * 4 * 24 + 2 * 4);
    let whole = items(&at, &adamw());
    assert_eq!((whole["weights"], gradients(&adamw())), (2 * 40, 2 * 40));
    assert!(!whole.contains_key("master weights"));
    // Two tokens of 8 logits: the log-softmax in float32 that is saved, the gradients of it and of its input, the loss and its gradient of 4 bytes
    // each. The input is the caller's.
    assert_eq!((whole["saved activations"], whole["passing"], whole["gradients"]), (16 * 4, 2 * 16 * 4 + 8, 0));
    // Stage 2 splits gradients, and not weights.
    let zero = items(&at, &Training { zero: 2, ranks: 3, ..adamw() });
    assert_eq!((zero["weights"], gradients(&Training { zero: 2, ranks: 3, ..adamw() })), (80, 27));
}

/// Tied weights have one gradient and one state.
#[test]
fn tied_weights_are_trained_once() {
    let text = r#"{ "layers": [
        { "name": "embed", "class": "torch.nn.Embedding", "parameters": { "num_embeddings": 10, "embedding_dim": 4 } },
        { "name": "head", "class": "torch.nn.Linear", "tied_to": "embed", "parameters": { "in_features": 4, "out_features": 10, "bias": false } } ] }"#;
    let at = trained(text, &serde_json::json!({ "phase": "train", "seq_len": 2, "dtype": "bf16" }));
    let plan = at.memory_plan(1, &adamw()).unwrap();
    assert_eq!(plan.trained_params, 40);
    assert_eq!((items(&at, &adamw())["weights"], plan.gradient_bytes), (80, 80));
    // The head's gradient waits; then the embedding's, and their sum. The loss is 2 bytes, and so is its gradient.
    let sum = Training { loss: Some(Loss::Sum), ..adamw() };
    let step = at.memory_plan(1, &sum).unwrap().step.unwrap();
    assert_eq!((step.backward.unwrap().parts.total(), &*step.backward_path), (3 * 80 + 4, "embed"));
}

/// A model at a workload that leaves no room, and one that takes no memory of a device at all.
#[test]
fn a_fit_says_what_ends_it() {
    use layerspec::analyses::{Fit, Largest};
    let fit = |needed: u128| Fit {
        count: 1,
        capacity: 100,
        reserve: 10,
        needed,
        largest_batch: Largest::Never,
        longest_context: Largest::Unbounded,
    };
    assert!(fit(90).fits() && !fit(91).fits() && fit(90).room() == 90);
    let ends = [(Largest::Never, None, "memory"), (Largest::AtMost(3), Some(3), "memory"), (Largest::Unbounded, None, "nothing")];
    for (largest, number, by) in ends {
        assert_eq!((largest.number(), largest.ended_by()), (number, by));
    }
    // GPT-2 has 1,024 positions, and a 4090 room for more.
    let device = SESSION.catalog().device("rtx-4090").unwrap().unwrap();
    let asked = serde_json::json!({ "phase": "prefill", "batch_size": 1, "seq_len": 512 });
    let evaluation = evaluated(&serde_json::json!({ "model": "llama-2-7b-hf", "workload": asked }));
    let plan = evaluation.memory_plan(1, &adamw()).unwrap();
    let answer = evaluation.fit(&plan, &device, 1, 50, &adamw());
    // 13.5 GB of weights in 12 GiB of 24.
    assert_eq!((answer.capacity, answer.reserve, answer.room()), (24 << 30, 12 << 30, 12 << 30));
    assert!(!answer.fits() && matches!((answer.largest_batch, answer.longest_context), (Largest::Never, Largest::Never)));
    // Two devices have room for half of it each.
    assert!(evaluation.fit(&evaluation.memory_plan(2, &adamw()).unwrap(), &device, 2, 50, &adamw()).fits());
}

/// A layer of GPT at the sizes of 22B, in training on CUDA with eager attention and dropout: 34 + 5 heads seq / hidden bytes a token and channel
/// (Korthikanti et al. 2022, arXiv:2205.05198, equation 1: a byte of dropout's mask, also in attention), and what the two norms keep of
/// each token beside their inputs, a mean and a deviation in float32, which the paper leaves out.
#[test]
fn dropout_on_cuda_keeps_a_byte_an_element() {
    let (hidden, heads, tokens) = (6144u128, 64u128, 2048u128);
    let linear = |name: &str, from: &str, i: u128, o: u128| json!({ "name": name, "class": "torch.nn.Linear", "inputs": [from], "parameters": { "in_features": i, "out_features": o } });
    let norm = |name: &str| json!({ "name": name, "class": "torch.nn.LayerNorm", "parameters": { "normalized_shape": hidden } });
    let dropout =
        |name: &str| json!({ "name": name, "class": "torch.nn.Dropout", "parameters": { "features": hidden, "p": 0.1 } });
    let add = |name: &str, a: &str, b: &str| json!({ "name": name, "class": "add", "inputs": [a, b], "parameters": { "features": hidden } });
    let attention = json!({
        "query": "q", "key": "k", "value": "v", "causal": false, "num_attention_heads": heads, "head_dim": hidden / heads,
        "attention_dropout": 0.1, "softmax_dtype": "activation",
    });
    let model = json!({ "layers": [
        { "name": "embed", "class": "torch.nn.Embedding", "parameters": { "num_embeddings": 8, "embedding_dim": hidden } },
        { "name": "layer", "sub_layers": [
            norm("ln_1"), linear("q", "ln_1", hidden, hidden), linear("k", "ln_1", hidden, hidden), linear("v", "ln_1", hidden, hidden),
            { "use": "blocks/attention", "variables": attention },
            linear("o", "sdpa", hidden, hidden), dropout("drop_1"), add("add_1", "drop_1", "input"), norm("ln_2"),
            linear("up", "ln_2", hidden, 4 * hidden),
            { "name": "gelu", "class": "torch.nn.GELU", "parameters": { "features": 4 * hidden } },
            linear("down", "gelu", 4 * hidden, hidden), dropout("drop_2"), add("add_2", "drop_2", "add_1"),
        ] }
    ] });
    let asked = json!({ "phase": "train", "batch_size": 1, "seq_len": tokens, "kernel": "eager", "backend": "cuda" });
    let at = evaluate(&SESSION, "gpt.json", model.to_string(), &workload(&asked)).into_result().unwrap();
    let saved: u128 = at.rows().filter(|row| row.path().starts_with("layer.")).map(|row| row.saved_bytes()).sum();
    assert_eq!(saved, 34 * tokens * hidden + 5 * heads * tokens * tokens + 2 * 8 * tokens);
}
