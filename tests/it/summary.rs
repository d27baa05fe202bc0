//! The page on a model: what its modelling code says of positions, norms, biases and experts, and what one more token takes.

use layerspec::analyses::Summary;
use layerspec::{Evaluation, Execution, Value, Workload};
use serde_json::{Value as Json, json};

use crate::support::{SESSION, evaluate};

fn at(config: &Json, workload: &Workload) -> Evaluation {
    evaluate(&SESSION, "config.json", config.to_string(), &(workload.clone(), Execution::default())).into_result().unwrap()
}

fn page(config: &Json) -> Summary {
    at(config, &Workload::prefill(1, 16)).summary()
}

fn llama() -> Json {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 64, "tie_word_embeddings": true,
    })
}

fn gpt2() -> Json {
    json!({ "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 48, "n_layer": 2, "n_head": 4, "vocab_size": 50, "n_positions": 64 })
}

fn words(page: &Summary) -> Vec<&'static str> {
    page.positions.iter().map(|role| role.word()).collect()
}

/// How a token knows where it stands, as the papers of these families have it.
#[test]
fn positions_come_in_as_published() {
    assert_eq!(words(&page(&llama())), ["rotary positions"]);
    // A table of 64 learned vectors.
    assert_eq!(words(&page(&gpt2())), ["position embedding"]);
    let bloom = json!({ "model_type": "bloom", "architectures": ["BloomForCausalLM"], "hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 50 });
    assert_eq!(words(&page(&bloom)), ["alibi positions"]);
    let t5 = json!({ "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2,
        "num_decoder_layers": 2, "num_heads": 4, "vocab_size": 50 });
    assert_eq!(words(&page(&t5)), ["relative positions"]);
}

/// GPT-2's blocks have two LayerNorms, and one ends the stack; Llama's have two RMSNorms. GPT-2's Conv1D layers all have a bias, and the
/// head has none; of Llama's layers none has one, of Qwen2's the three projections.
#[test]
fn norms_and_biases_are_those_of_the_modelling_code() {
    let norms = |page: &Summary| -> Vec<(String, u128)> {
        page.norms.iter().map(|(class, count)| (class.rsplit('.').next().unwrap().to_owned(), *count)).collect()
    };
    let first = page(&gpt2());
    assert_eq!(norms(&first), [("LayerNorm".to_owned(), 2 * 2 + 1)]);
    assert_eq!(first.biases, ["c_attn", "c_proj", "c_fc"]);
    assert!(!first.gated && first.tied && first.experts.is_none() && first.recurrent_layers == 0);
    assert_eq!(first.activations.iter().map(|name| &**name).collect::<Vec<_>>(), ["gelu_new"]);
    let second = page(&llama());
    assert_eq!(norms(&second), [("LlamaRMSNorm".to_owned(), 3 * 2 + 1)]);
    assert!(second.biases.is_empty() && second.gated);
    let mut qwen2 = llama();
    qwen2["model_type"] = json!("qwen2");
    qwen2["architectures"] = json!(["Qwen2ForCausalLM"]);
    qwen2["tie_word_embeddings"] = json!(false);
    let third = page(&qwen2);
    assert_eq!(third.biases, ["q_proj", "k_proj", "v_proj"]);
    assert!(!third.tied);
}

#[test]
fn sizes_are_the_configs_else_those_of_its_text_model() {
    let sizes = |page: &Summary| -> Vec<(&'static str, String)> {
        page.sizes.iter().map(|(name, value)| (*name, value.to_string())).collect()
    };
    let own = sizes(&page(&llama()));
    for (name, value) in
        [("hidden_size", "64"), ("num_key_value_heads", "2"), ("head_dim", "16"), ("max_position_embeddings", "64")]
    {
        assert!(own.contains(&(name, value.to_owned())), "{name}: {own:?}");
    }
    assert!(own.iter().all(|(name, _)| *name != "moe_intermediate_size"), "{own:?}");
    let llava = SESSION.load("llava-1.5-7b-hf").into_result().unwrap().lowered(&Execution::default()).into_result().unwrap();
    let inner = sizes(&llava.at(&Workload::prefill(1, 600)).into_result().unwrap().summary());
    // Those of Vicuna-7B, not of the vision tower.
    assert!(
        inner.contains(&("hidden_size", "4096".to_owned())) && inner.contains(&("num_hidden_layers", "32".to_owned())),
        "{inner:?}"
    );
}

/// The parameters of a token are those of the experts that it is routed to, two of eight; the router and the experts are parts of their own.
#[test]
fn experts_and_their_router_are_parts_of_their_own() {
    let mixtral = json!({ "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 8, "num_experts_per_tok": 2,
        "vocab_size": 100, "max_position_embeddings": 64 });
    let page = page(&mixtral);
    assert_eq!(page.experts, Some((8, 2)));
    assert!(page.gated && page.activations.iter().any(|name| &**name == "silu"));
    let part = |word: &str| page.components.iter().find(|part| part.role.word() == word).unwrap();
    let expert = 3 * 64 * 96u128;
    assert_eq!((part("experts").params, part("experts").active_params), (2 * 8 * expert, 2 * 2 * expert));
    assert_eq!(part("router").params, 2 * 8 * 64);
    // 16 tokens through two experts each.
    assert_eq!(part("experts").matmul_flops, 2 * 16 * 2 * 2 * expert);
    assert_eq!(page.params - page.active_params, 2 * 6 * expert);
    // The largest first.
    assert!(page.components.is_sorted_by(|a, b| a.params >= b.params));
}

#[test]
fn layers_with_a_recurrent_state_are_counted_once() {
    let mamba = json!({ "architectures": ["MambaForCausalLM"], "model_type": "mamba", "hidden_size": 32, "num_hidden_layers": 5, "vocab_size": 50 });
    let page = page(&mamba);
    // Each keeps the state of a convolution and that of a scan.
    assert_eq!(page.recurrent_layers, 5);
    assert!(page.positions.is_empty() && page.components.iter().any(|part| part.role.word() == "state space"));
    let growth = page.cache.growth.unwrap();
    assert!(growth.at_first == 0 && growth.constant_bytes > 0);
}

/// One more token after all those of the workload: a product with every weight, and scores and values of as many tokens as there are then.
#[test]
fn one_more_token_takes_what_decoding_it_does() {
    let weights = 3 * (64 * 192 + 3 * 64 * 128) + 100 * 64u128;
    let token = |kv: u128| 2 * weights + 3 * 2 * 2 * 64 * kv;
    let after = |workload: &Workload| at(&llama(), workload).summary().decode;
    // Of two sequences of 16 tokens one has its last token made again.
    assert_eq!(after(&Workload::prefill(2, 16)), Some((token(16), 15)));
    assert_eq!(after(&Workload::decode(2, 31)), Some((token(32), 31)));
    let step = at(&llama(), &Workload::decode(1, 31));
    assert_eq!(step.matmul_flops(), token(32));
    // Tokens and FLOPs of the workload itself are those of both sequences.
    let both = at(&llama(), &Workload::prefill(2, 16)).summary();
    assert_eq!((both.prefill.1, both.prefill.0), (32, at(&llama(), &Workload::prefill(2, 16)).matmul_flops()));
    // In training nothing is kept, and what keeps nothing has no next token.
    assert_eq!(after(&Workload::train(1, 16)), None);
    let bert = json!({ "model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "vocab_size": 100, "max_position_embeddings": 64 });
    assert_eq!(page(&bert).decode, None);
}

/// The logits that the prompt's workload asks for are none of the token's.
#[test]
fn one_more_token_has_its_own_logits() {
    let workload = Workload { settings: vec![("logit_len".into(), Value::count(5u64))], ..Workload::prefill(1, 16) };
    assert_eq!(at(&llama(), &workload).summary().decode, page(&llama()).decode);
    assert!(page(&llama()).decode.is_some());
}

/// Where no block says what it is, its layers do: a composite around attention is attention, but for a block that holds an activation, too.
#[test]
fn parts_follow_from_the_layers_in_them() {
    let linear = |name: &str| json!({ "name": name, "class": "Linear", "inputs": ["x"], "parameters": { "in_features": 8, "out_features": 8, "bias": false } });
    let sdpa =
        json!({ "name": "sdpa", "class": "sdpa", "inputs": ["q", "q", "q"], "parameters": { "num_heads": 1, "head_dim": 8 } });
    let act = json!({ "name": "act", "class": "torch.nn.SiLU", "inputs": ["x"], "parameters": { "features": 8 } });
    let block = |layers: Json| json!({ "name": "b", "repeat": 2, "sub_layers": layers });
    let params = |layers: Json| -> Vec<(&'static str, u128)> {
        let text = json!({ "inputs": { "c": { "shape": [1, 8, 4], "dtype": "activation" }, "x": { "shape": ["<seq_len>", 8] }, "q": { "shape": [1, 1, "<seq_len>", 8] } },
            "classes": { "x.State": { "kind": "module", "doc": "a test", "source": "here", "role": "recurrent state",
                "weights": { "weight": [5] }, "flops": { "matmul": 0, "vector": 0, "transcendental": 0 } } },
            "layers": layers });
        let mut found: Vec<_> =
            page(&text).components.iter().map(|part| (part.role.shown(), part.params)).filter(|part| part.1 > 0).collect();
        found.sort_unstable();
        found
    };
    let deep = json!({ "name": "core", "sub_layers": [sdpa] });
    // With an activation beside them they are an MLP, what the model gives is a head; of the others nothing is known.
    assert_eq!(
        params(json!([linear("before"), block(json!([linear("up"), act])), linear("after")])),
        [("MLP", 128), ("head", 64), ("other", 64)]
    );
    assert_eq!(params(json!([block(json!([linear("up")])), act])), [("MLP", 128)]);
    assert_eq!(params(json!([block(json!([linear("up")])), linear("x1"), linear("x2")])), [("head", 64), ("other", 192)]);
    // What is said of a layer, of its composite, or of its class comes first.
    let conv = json!({ "name": "conv", "class": "torch.nn.Conv1d", "inputs": ["c"],
        "parameters": { "in_channels": 8, "out_channels": 8, "kernel_size": [1], "bias": false, "size": [4], "batch_size": 1 } });
    let mut gate = linear("gate");
    gate["role"] = json!("router");
    let shared = json!({ "name": "shared", "role": "shared expert", "sub_layers": [linear("up"), act, gate] });
    assert_eq!(params(json!([block(json!([shared, act]))])), [("router", 128), ("shared expert", 128)]);
    assert_eq!(params(json!([conv, act])), [("convolution", 64)]);
    assert_eq!(params(json!([block(json!([conv, act]))])), [("convolution", 128)]);
    for (inner, attention) in [(&sdpa, 128), (&deep, 128)] {
        let layers = json!([block(json!([{ "name": "a", "sub_layers": [linear("q"), inner] }, linear("up"), act]))]);
        assert_eq!(params(layers), [("MLP", 128), ("attention", attention)]);
    }
    // Attention and an activation somewhere in it: its own layers are the block's.
    assert_eq!(params(json!([block(json!([{ "name": "a", "sub_layers": [linear("q"), deep, act] }]))])), [("MLP", 128)]);
    let state = json!({ "name": "state", "class": "x.State", "inputs": ["x"] });
    assert_eq!(
        params(json!([block(json!([{ "name": "a", "sub_layers": [linear("in"), state] }]))])),
        [("state space", 2 * (64 + 5))]
    );
    // Wherever it stands.
    assert_eq!(params(json!([state])), [("state space", 5)]);
}
