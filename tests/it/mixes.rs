//! Models in llama.cpp's mixes of types, against what tools print of real files.
//!
//! The figures are of `shared/checkpoints` (quant-checks.tsv, gguf-facts.tsv), each with where it was printed; docs/mixes.md names those that
//! aren't met, and why.

use layerspec::diagnostics::Code;
use layerspec::{Contents, Datum, Evaluation, Execution, Held, Metadatum, Outcome, Settings, Workload};

use crate::support::{SESSION, codes};

/// A model in a mix; `set`: other values for its variables, as `NAME=VALUE NAME=VALUE`.
fn mixed(model: &str, set: &str, mix: &str) -> Outcome<Evaluation> {
    let settings = set
        .split_whitespace()
        .map(|pair| pair.split_once('=').unwrap())
        .fold(Settings { mix: Some(mix.into()), ..Settings::default() }, |settings, (name, value)| {
            settings.set(name, layerspec::Value::read(value).unwrap())
        });
    let model = SESSION.load_with(model, &settings);
    model.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(&Workload::prefill(1, 8)))
}

/// Bytes and elements of the file of a mix.
fn file(model: &str, set: &str, mix: &str) -> (u128, u128) {
    let outcome = mixed(model, set, mix);
    let at = outcome.value.as_ref().unwrap_or_else(|| panic!("{model} {mix}: {:?}", outcome.diagnostics));
    let mixed = at.mix().unwrap_or_else(|| panic!("{model} isn't in {mix}"));
    (mixed.bytes, mixed.elements)
}

#[expect(clippy::cast_precision_loss, reason = "figures with a few digits")]
fn ratio(n: u128, d: u128) -> f64 {
    n as f64 / d as f64
}

fn bits(model: &str, mix: &str) -> f64 {
    let (bytes, elements) = file(model, "", mix);
    ratio(bytes * 8, elements)
}

fn gib(model: &str, set: &str, mix: &str) -> f64 {
    ratio(file(model, set, mix).0, 1 << 30)
}

#[test]
fn bits_a_weight_are_those_that_llama_cpp_publishes() {
    // ggml-org/llama.cpp tools/quantize/README.md, Llama-3.1-8B.
    for (mix, published) in [
        ("gguf:iq1_s", "2.0042"),
        ("iq1_m", "2.1460"),
        ("gguf:iq2_xxs", "2.3824"),
        ("gguf:iq2_xs", "2.5882"),
        ("gguf:iq2_s", "2.7403"),
        ("iq2_m", "2.9294"),
        ("gguf:iq3_xxs", "3.2548"),
        ("iq3_xs", "3.4977"),
        ("gguf:iq3_s", "3.6606"),
        ("iq3_m", "3.7628"),
        ("gguf:iq4_xs", "4.4597"),
        ("gguf:iq4_nl", "4.6818"),
        ("q2_k_s", "2.9697"),
        ("gguf:q2_k", "3.1593"),
        ("q3_k_s", "3.6429"),
        ("q3_k_l", "4.2979"),
        ("q4_k_s", "4.6672"),
        ("q4_k_m", "4.8944"),
        ("q5_k_s", "5.5704"),
        ("q5_k_m", "5.7036"),
        ("gguf:q6_k", "6.5633"),
        ("gguf:q8_0", "8.5008"),
        ("gguf:f16", "16.0005"),
    ] {
        assert_eq!(format!("{:.4}", bits("llama-3.1-8b", mix)), published, "{mix}");
    }
}

/// A file of 16 bits of llama.cpp's architecture `llama`, as its header says it.
fn tiny_file() -> Contents {
    let metadata = [
        ("general.architecture", Datum::Text("llama".into())),
        ("llama.block_count", Datum::Integer(8)),
        ("llama.context_length", Datum::Integer(128)),
        ("llama.embedding_length", Datum::Integer(256)),
        ("llama.feed_forward_length", Datum::Integer(512)),
        ("llama.attention.head_count", Datum::Integer(4)),
        ("llama.attention.head_count_kv", Datum::Integer(2)),
    ];
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[u64]| {
        let bytes = Some(2 * shape.iter().product::<u64>());
        tensors.push(Held { name: name.into(), shape: Some(shape.to_vec()), kind: "F16".into(), bytes, file: None });
    };
    add("token_embd.weight".to_owned(), &[1000, 256]);
    add("output_norm.weight".to_owned(), &[256]);
    for block in 0..8 {
        let mut of_block = |name: &str, shape: &[u64]| add(format!("blk.{block}.{name}.weight"), shape);
        for (name, rows) in [("attn_q", 256), ("attn_k", 128), ("attn_v", 128), ("attn_output", 256)] {
            of_block(name, &[rows, 256]);
        }
        for (name, rows, columns) in [("ffn_gate", 512, 256), ("ffn_up", 512, 256), ("ffn_down", 256, 512)] {
            of_block(name, &[rows, columns]);
        }
        of_block("attn_norm", &[256]);
        of_block("ffn_norm", &[256]);
    }
    let metadata = metadata.into_iter().map(|(key, value)| Metadatum { key: key.into(), value }).collect();
    Contents { format: "GGUF v3".into(), tensors, metadata, ..Contents::default() }
}

#[test]
fn a_file_of_weights_can_be_asked_what_it_would_weigh() {
    let at = |mix: Option<&str>| {
        let settings = Settings { mix: mix.map(Into::into), ..Settings::default() };
        let model = SESSION.open("tiny.gguf", &tiny_file(), None, &settings);
        let outcome =
            model.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(&Workload::prefill(1, 8)));
        assert!(outcome.value.is_some(), "{:?}", outcome.diagnostics);
        outcome.value.unwrap().named("weight_bytes").unwrap()
    };
    let (matrix, norms) = (256 * 256, 17 * 256);
    assert_eq!(at(None), 2 * (1000 * 256 + 8 * (3 * matrix + 3 * 2 * matrix) + norms));
    // Of eight layers llama.cpp gives the first, the last and each third from the fourth on more bits: 0, 3, 6, 7.
    let (q4, q6) = (|n: u128| n / 256 * 144, |n: u128| n / 256 * 210);
    let (values, down) = (matrix / 2, 2 * matrix);
    let layers = 8 * q4(2 * matrix + values + 2 * 2 * matrix) + 4 * (q4(values + down) + q6(values + down));
    assert_eq!(at(Some("q4_k_m")), q6(1000 * 256) + layers + 4 * norms);
}

/// What 32B of Qwen 2.5 and 405B of Llama 3.1 have that the embedded models of their families don't.
const QWEN_32B: &str =
    "num_hidden_layers=64 hidden_size=5120 intermediate_size=27648 num_attention_heads=40 num_key_value_heads=8";
const QWEN_1_5B: &str = "num_hidden_layers=28 hidden_size=1536 intermediate_size=8960 num_attention_heads=12 \
                         num_key_value_heads=2 vocab_size=151936";
const QWEN3_235B: &str = "num_hidden_layers=94 hidden_size=4096 num_attention_heads=64 num_key_value_heads=4 \
                          moe_intermediate_size=1536 head_dim=128";
const QWEN3_32B: &str = "num_hidden_layers=64 hidden_size=5120 intermediate_size=25600 num_attention_heads=64";
const MAMBA_1_4B: &str = "num_hidden_layers=48 hidden_size=2048 intermediate_size=4096 time_step_rank=128";
const LLAMA_405B: &str = "num_hidden_layers=126 hidden_size=16384 intermediate_size=53248 num_attention_heads=128";

#[test]
fn files_weigh_what_was_printed_of_them() {
    for (model, set, mix, printed) in [
        // ikawrakow/ik_llama.cpp#514, #380, #389, #370, #539, #344, #258, #616 (github-data), ggml-org/llama.cpp#4406, #16894, ollama#9595.
        ("qwen3-30b-a3b", "", "q4_k_m", 17.28),
        ("qwen3-30b-a3b", "", "q5_k_m", 20.23),
        ("qwen3-30b-a3b", QWEN3_235B, "q4_k_m", 132.386),
        ("qwen3-30b-a3b", QWEN3_235B, "gguf:q6_k", 179.754),
        ("qwen3-14b", QWEN3_32B, "gguf:q4_0+imatrix", 17.413),
        ("qwen3-14b", QWEN3_32B, "q4_k_m", 18.40),
        ("glm-4-32b-0414", "", "gguf:iq4_xs+imatrix", 16.382),
        ("deepseek-v3", "", "q4_k_m", 376.65),
        ("deepseek-v3", "", "gguf:q8_0", 664.295),
        ("deepseek-v3", "", "gguf:q8_0+kv_b", 665.31),
        ("deepseek-v3", "", "gguf:f16+kv_b", 1251.99),
        ("kimi-k2-instruct", "", "gguf:q8_0+kv_b", 1016.623),
        ("mixtral-8x7b-v0.1", "", "gguf:q8_0", 46.22),
        ("mixtral-8x7b-v0.1", "", "gguf:q4_0", 24.62),
        ("llama-3.1-8b", "", "gguf:q4_0", 4.33),
        ("qwen2.5-7b-instruct", "", "gguf:q8_0", 7.54),
        ("qwen2.5-7b-instruct", "", "q4_k_m", 4.36),
        ("qwen2.5-7b-instruct", QWEN_32B, "q4_k_m", 18.48),
        ("llama-3.2-3b-instruct", "", "q4_k_m", 1.87),
        // As llama-bench prints ggml-org's files in many reports.
        ("gpt-oss-20b", "", "mxfp4_moe", 11.27),
        ("gpt-oss-120b", "", "mxfp4_moe", 59.02),
    ] {
        let ours = gib(model, set, mix);
        // Two decimals may be all that is printed.
        let tolerance = (printed * 0.001f64).max(0.005);
        assert!((ours - printed).abs() <= tolerance, "{model} {mix}: {ours:.4} GiB, printed {printed}");
    }
    // GeniePod/genie-claw#410: Qwen2.5-1.5B whose file holds output.weight, 1.78 B elements, 1.04 GiB.
    let (bytes, elements) = file("qwen2.5-7b-instruct", QWEN_1_5B, "q4_k_m");
    assert_eq!(
        (format!("{:.2}", ratio(elements, 1_000_000_000)), format!("{:.2}", ratio(bytes, 1 << 30))),
        ("1.78".into(), "1.04".into())
    );
}

/// How many tensors of a model each type has, by what `compile` says of its weights' bits.
#[test]
fn types_are_those_that_llama_cpp_counts() {
    let count = |model: &str, set: &str, mix: &str| {
        let outcome = mixed(model, set, mix);
        let at = outcome.value.as_ref().unwrap();
        let mut counts = std::collections::BTreeMap::new();
        for instance in at.instances().filter(|instance| instance.row.tied_to().is_none()) {
            for tensor in instance.row.weights() {
                *counts.entry(format!("{:.4}", tensor.element_bytes.to_f64() * 8.0)).or_insert(0u32) += 1;
            }
        }
        counts.into_iter().map(|(bits, n)| format!("{bits}:{n}")).collect::<Vec<_>>().join(" ")
    };
    // Qwen3-32B Q4_0 with an imatrix (ik_llama.cpp#539): f32:257 q4_0:441 q4_1:8 q6_K:1.
    assert_eq!(count("qwen3-14b", QWEN3_32B, "gguf:q4_0+imatrix"), "32.0000:257 4.5000:441 5.0000:8 6.5625:1");
    // GLM Z1 32B IQ4_XS (#344): f32:245 q5_K:61 q6_K:1 iq4_xs:306.
    assert_eq!(count("glm-4-32b-0414", "", "gguf:iq4_xs+imatrix"), "32.0000:245 4.2500:306 5.5000:61 6.5625:1");
    // Qwen3-30B-A3B Q4_K_M (#514): f32:241 q4_K:289 q6_K:49, where our experts hold gate and up in one.
    assert_eq!(count("qwen3-30b-a3b", "", "q4_k_m"), "32.0000:241 4.5000:241 6.5625:49");
}

#[test]
fn figures_that_others_printed_and_rules_dont_give_differ_as_docs_say() {
    let gib = |model: &str, set: &str, mix: &str| format!("{:.3}", gib(model, set, mix));
    // Mixtral's files of December 2023 had older rules: 24.62 and 14.57 GiB (ggml-org/llama.cpp#4406), as tests/it/gguf_facts.rs has them.
    assert_eq!(gib("mixtral-8x7b-v0.1", "", "q4_k_m"), "26.494");
    assert_eq!(gib("mixtral-8x7b-v0.1", "", "gguf:q2_k"), "16.122");
    // ik_llama.cpp's Q5_K_S of Llama-3-8B has 32 tensors of q4_k and 33 of q6_k, by its own rules: 5.162 GiB (ik_llama.cpp#103).
    assert_eq!(gib("llama-3.1-8b", "", "q5_k_s"), "5.207");
    // README: 4.9 GB for an 8B, 249.1 GB for 405B.
    assert_eq!(file("llama-3.1-8b", "", "q4_k_m").0, 4_912_898_048);
    assert_eq!(file("llama-3.1-70b", LLAMA_405B, "q4_k_m").0, 243_061_719_040);
    // Mamba-1.4B: 962.19 MiB (GeniePod/genie-claw#410), of a file from before August 2024, whose `ssm_x` and `ssm_dt` were left in 32 bits.
    let ours = file("mamba-130m-hf", MAMBA_1_4B, "q4_k_m").0;
    assert_eq!(ours, 817_433_216);
    let (x, dt) = (48 * 160 * 4096, 48 * 4096 * 128);
    let older = ours - x / 256 * 144 - dt / 32 * 22 + 4 * (x + dt);
    assert_eq!(format!("{:.2}", ratio(older, 1 << 20)), "962.19");
}

#[test]
fn a_draft_part_is_in_the_file_of_its_model() {
    // ggml-org/llama.cpp#23679: Qwen3.6-35B-A3B with its draft part, 35.51 B elements; images are in another file.
    let settings = Settings { mix: Some("gguf:q8_0".into()), draft: true, ..Settings::default() };
    let model = SESSION.load_with("qwen3.5-35b-a3b", &settings);
    let outcome =
        model.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(&Workload::prefill(1, 8)));
    let elements = outcome.value.as_ref().unwrap().mix().unwrap().elements;
    assert_eq!(format!("{:.2}", ratio(elements, 1_000_000_000)), "35.51");
    let said = format!("{:?}", outcome.diagnostics);
    assert!(said.contains("model.visual.") && !said.contains("mtp."), "{said}");
}

#[test]
fn rows_that_arent_whole_blocks_have_other_types() {
    // 2,880 columns are no whole blocks of 256: Q4_K is Q5_0 and Q6_K is Q8_0 there.
    let outcome = mixed("gpt-oss-20b", "", "q4_k_m");
    let at = outcome.value.as_ref().unwrap();
    let bits = |path: &str| {
        let instance = at.instances().find(|instance| instance.path == path).unwrap();
        instance.row.weights()[0].element_bytes.to_f64() * 8.0
    };
    assert_eq!(bits("model.layers.0.self_attn.q_proj"), 5.5);
    assert_eq!(bits("model.layers.0.self_attn.o_proj"), 4.5);
    assert_eq!(bits("lm_head"), 8.5);
    assert_eq!(bits("model.layers.0.mlp.router"), 32.0);
}

#[test]
fn a_tied_head_is_read_in_the_type_of_the_embedding() {
    let outcome = mixed("llama-3.2-1b", "", "q4_k_m");
    let at = outcome.value.as_ref().unwrap();
    let head = at.instances().find(|instance| instance.path == "lm_head").unwrap();
    // 6.5625 bits each of 128,256 x 2,048.
    assert_eq!(head.row.weights()[0].bytes, 128_256 * 2_048 / 256 * 210);
    assert_eq!(at.named("weight_bytes"), at.mix().map(|mixed| mixed.bytes));
}

#[test]
fn what_no_file_has_is_beside_it() {
    let outcome = mixed("gemma-3-4b-it", "", "q4_k_m");
    assert!(codes(&outcome.diagnostics).contains(&Code::CheckpointRemark), "{:?}", outcome.diagnostics);
    let at = outcome.value.as_ref().unwrap();
    let mixed = at.mix().unwrap();
    assert!(mixed.elements < at.params());
    assert!(Some(mixed.bytes) < at.named("weight_bytes"));
}

#[test]
fn a_model_that_llama_cpp_has_no_file_of_is_refused() {
    for model in ["opt-1.3b", "resnet-50", "bart-large-cnn"] {
        let outcome = mixed(model, "", "q4_k_m");
        assert_eq!(codes(&outcome.diagnostics), [Code::UnmappedCheckpoint], "{model}");
        assert!(outcome.value.is_none());
    }
    assert_eq!(codes(&mixed("llama-3.1-8b", "", "q4_k_x").diagnostics), [Code::InvalidWorkload]);
}

#[test]
fn every_kind_of_file_is_made_of_every_kind_of_model() {
    let kinds: Vec<String> = SESSION.catalog().mixes()[0].types.iter().map(|(kind, _)| format!("gguf:{kind}")).collect();
    // Of all but the first every fifth is looked at: those of one default type have their rules in common.
    let models = ["llama-3.2-1b", "mixtral-8x7b-v0.1", "deepseek-v2-lite", "gpt-oss-20b", "falcon-7b", "mamba-130m-hf"];
    for (at, model) in models.into_iter().enumerate() {
        for mix in kinds.iter().skip(at).step_by(if at == 0 { 1 } else { 5 }) {
            // A row of 48 or 71 isn't whole blocks of 32, and those types have nothing in their place: llama-quantize refuses, too.
            let outcome = mixed(model, "", mix);
            let Some(at) = outcome.value.as_ref() else {
                let said: Vec<_> = outcome.diagnostics.iter().map(|said| said.message.clone()).collect();
                assert!(said.iter().any(|said| said.contains("aren't whole blocks")), "{model} {mix}: {said:?}");
                continue;
            };
            assert_eq!(at.named("weight_bytes"), at.mix().map(|mixed| mixed.bytes), "{model} {mix}");
        }
    }
}
