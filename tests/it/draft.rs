//! Draft parts (multi-token prediction): as many parameters as published checkpoints hold, and what is said of those that aren't built.

use layerspec::diagnostics::Code;
use layerspec::{Evaluation, Execution, Model, Outcome, Settings, Workload};

use crate::support::{SESSION, codes};

fn drafting() -> Settings {
    Settings { draft: true, ..Settings::default() }
}

fn evaluated(model: Outcome<Model>, workload: &Workload) -> Outcome<Evaluation> {
    model.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(workload))
}

fn loaded(name: &str, settings: &Settings, workload: &Workload) -> Evaluation {
    let outcome = evaluated(SESSION.load_with(name, settings), workload);
    outcome.value.unwrap_or_else(|| panic!("{name}: {:?}", outcome.diagnostics))
}

/// The Hub's `safetensors.total` of each checkpoint, which counts scales of quantized weights and the routers' correction biases, too: buffers of
/// PyTorch's model.
///
/// DeepSeek-V3 by its types: BF16 3,918,786,560, F8_E4M3 680,571,043,840, F32 41,555,600. The last are 59 x 256 biases and the scales, so
/// the parameters are the first two. Its layer 61 by hand:
///
/// - attention 7168 x 1536 + 1536 + 1536 x 128 x 192 + 7168 x 576 + 512 + 512 x 128 x 256 + 128 x 128 x 7168 = 187,107,328
/// - MLP 256 x 3 x 7168 x 2048 + 3 x 7168 x 2048 + 256 x 7168 = 11,320,164,352, and two norms of 7168
/// - `enorm`, `hnorm`, `shared_head.norm` 3 x 7168, `eh_proj` 2 x 7168 x 7168 = 102,760,448
/// - `embed_tokens` and `shared_head.head` 2 x 129,280 x 7168 = 1,853,358,080
///
/// in all 13,463,426,048, and with the model's 671,026,404,352 it is 684,489,830,400.
#[test]
fn as_many_parameters_as_the_checkpoints_hold() {
    let set = |name: &str, value: u64| drafting().set(name, value);
    let deepseek_scales = 41_555_600 - 59 * 256;
    // Of each layer of DeepSeek-V3.2 the index has wq_b, 64 x 12 blocks of 128 x 128, and wk, 56.
    let index_scales = 62 * (64 * 12 + 56);
    for (name, settings, total, buffers) in [
        ("deepseek-v3", drafting(), 684_531_386_000, deepseek_scales + 59 * 256),
        ("deepseek-v3.2", drafting(), 685_396_921_376, deepseek_scales + index_scales + 59 * 256),
        ("glm-4.5", drafting(), 358_337_791_296, 90 * 160),
        // GLM-4.6 has the sizes of GLM-4.5, and no copies of the embedding and the head.
        ("glm-4.5", drafting().set("draft_shares_embedding", true), 356_785_898_816, 90 * 160),
        ("glm-4.7-flash", drafting(), 31_221_488_576, 47 * 64),
        // GLM-5.3 has the sizes of GLM-5.2.
        ("glm-5.2", drafting(), 753_329_940_480, 76 * 256),
        // GLM-5 and GLM-5.1 have an index in each layer.
        ("glm-5.2", set("index_topk_freq", 1), 753_864_139_008, 76 * 256),
        ("qwen3-next-80b-a3b", drafting(), 81_324_862_720, 0),
        ("qwen3.5-27b", drafting(), 27_781_427_952, 0),
        ("qwen3.5-35b-a3b", drafting(), 35_951_822_704, 0),
    ] {
        let at = loaded(name, &settings, &Workload::prefill(1, 16));
        assert_eq!(at.params() + buffers, total, "{name}");
    }
    // ERNIE-4.5-21B: 21.95 B on the Hub. A dense layer of attention 2 x 2560 x 2560 + 2 x 2560 x 512 and MLP 3 x 2560 x 12,288, its projection
    // 2 x 2560 x 2560, four norms of 2560; the embedding and the head are the model's.
    let more = |name: &str| {
        let params = |settings: &Settings| loaded(name, settings, &Workload::prefill(1, 16)).params();
        params(&drafting()) - params(&Settings::default())
    };
    assert_eq!(more("ernie-4.5-21b-a3b-pt"), 15_728_640 + 94_371_840 + 13_107_200 + 10_240);
    assert_eq!(more("deepseek-v3"), 13_463_426_048);
}

/// Nemotron-3.5-Lightning has the sizes of Nemotron-3-Nano and one step more, whose tensors docs/nemotron-lightning-export.md of onnxruntime/mobius (734331cf)
/// lists. Its index has 65,842,365,568 bytes: two for each parameter, but four where it is of the model's 23 routers, and the 24 correction biases in float32.
///
/// - `enorm`, `hnorm`, two norms and `final_layernorm` 5 x 2688, `eh_proj` 2688 x 5376
/// - attention 2 x 4096 x 2688 + 2 x 256 x 2688
/// - router 128 x 2688, experts 128 x 2 x 1856 x 2688, shared expert 2 x 3712 x 2688
#[test]
fn nemotron_drafts_with_layers_of_a_pattern_of_its_own() {
    let step = 5 * 2688 + 2688 * 5376 + 2 * (4096 + 256) * 2688 + 2688 * (128 + 128 * 2 * 1856 + 2 * 3712);
    let settings = drafting().set("num_nextn_predict_layers", 1);
    let at = loaded("nemotron-3-nano-30b-a3b", &settings, &Workload::prefill(1, 16));
    assert_eq!(at.params(), 31_577_937_344 + step);
    assert_eq!(2 * at.params() + 2 * 23 * 128 * 2688 + 4 * 24 * 128, 65_842_365_568);
    // Nemotron-3-Super: a latent mixture, whose step is 5.48 GiB in two bytes.
    let config = r#"{ "model_type": "nemotron_h", "hidden_size": 4096, "hybrid_override_pattern": "M", "num_key_value_heads": 2, "n_routed_experts": 512,
      "num_experts_per_tok": 22, "moe_intermediate_size": 2688, "moe_shared_expert_intermediate_size": 5376, "moe_latent_size": 1024,
      "num_nextn_predict_layers": 1, "mtp_hybrid_override_pattern": "*E" }"#;
    let latent =
        5 * 4096 + 4096 * 8192 + 2 * (4096 + 256) * 4096 + 512 * 4096 + 512 * 2 * 2688 * 1024 + 2 * 5376 * 4096 + 2 * 1024 * 4096;
    assert_eq!(more(config), latent);
}

/// How many parameters a config's model has more with its draft part.
fn more(config: &str) -> u128 {
    let params = |settings: &Settings| {
        let outcome = evaluated(SESSION.read_with("config.json", config, settings), &Workload::prefill(1, 16));
        outcome.value.unwrap_or_else(|| panic!("{:?}", outcome.diagnostics)).params()
    };
    params(&drafting()) - params(&Settings::default())
}

/// Step-3.5-Flash: the Hub's `safetensors.total` is 199,384,301,376, of which 42 x 288 are biases of routers. Its three layers slide (96 heads), are dense and have a
/// head of their own each:
///
/// - attention 2 x 4096 x 12,288 + 2 x 4096 x 1024 + 96 x 4096 and two norms of 128, MLP 3 x 4096 x 11,264
/// - five norms of 4096, `eh_proj` 8192 x 4096, `shared_head.output` 128,896 x 4096
#[test]
fn step_drafts_with_three_dense_layers_that_slide() {
    let config = |kinds: usize| {
        let kinds: Vec<&str> =
            (0..kinds).map(|n| if n < 45 && n % 4 == 0 { "full_attention" } else { "sliding_attention" }).collect();
        serde_json::json!({ "model_type": "step3p5", "architectures": ["Step3p7ForCausalLM"], "vocab_size": 128_896, "layer_types": kinds,
          "sliding_window": 512, "attention_other_setting": { "num_attention_heads": 96 }, "moe_layers_enum": (3..45).collect::<Vec<_>>(),
          "num_nextn_predict_layers": 3 })
    };
    let layer = 2 * 4096 * (12_288 + 1024) + 96 * 4096 + 2 * 128 + 3 * 4096 * 11_264 + 5 * 4096 + 8192 * 4096 + 128_896 * 4096;
    // Published lists say of the draft layers too what they are; where one ends with the model's layers they slide.
    for kinds in [48, 45] {
        let text = config(kinds).to_string();
        assert_eq!(more(&text), 3 * layer);
        let at = evaluated(SESSION.read_with("config.json", text, &drafting()), &Workload::prefill(1, 16));
        assert_eq!(codes(&at.diagnostics), [], "{:?}", at.diagnostics);
        assert_eq!(at.value.unwrap().params() + 42 * 288, 199_384_301_376);
    }
    // In Step-3.7 they are of the text half, whose embedding is further in.
    for head in ["Step3p7Model", "Step3p7ForConditionalGeneration"] {
        let outer = serde_json::json!({ "model_type": "step3p7", "architectures": [head], "text_config": config(48) });
        assert_eq!(more(&outer.to_string()), 3 * layer, "{head}");
    }
}

/// The elements of DeepSeek-V4's checkpoints, as lists of their tensors say (gogongxt/python cbff706d, scripts/models): routed experts in four bits are two an
/// element, with a scale for 32 of them; other matrices have one for 128 x 128; the three routers by hash have a table of 129,280 x 6, the others a bias.
#[test]
fn deepseek_v4_drafts_with_a_layer_of_four_streams() {
    let at = loaded("deepseek-v4-flash", &drafting(), &Workload::prefill(1, 16));
    let experts: u128 = 44 * 256 * 3 * 2048 * 4096;
    let scales = 44 * (4 * 32 + 2 * 64 * 32 + 8 * 32 + 256 * 8 + 3 * 16 * 32) + 21 * 64 * 8 + 2 * 32 * 32;
    let buffers = 41 * 256 + 3 * 129_280 * 6;
    assert_eq!(at.params() - experts / 2 + experts / 32 + scales + buffers, 158_069_433_298);
    // V4-Pro, where the model's own first layers have an attention that the draft layer has not.
    let ratios: Vec<u64> = (0..62)
        .map(|n| {
            if n == 61 {
                0
            } else if n < 2 || n % 2 == 1 {
                128
            } else {
                4
            }
        })
        .collect();
    let config = serde_json::json!({ "model_type": "deepseek_v4", "hidden_size": 7168, "index_topk": 1024, "moe_intermediate_size": 3072,
      "n_routed_experts": 384, "num_attention_heads": 128, "num_hidden_layers": 61, "o_groups": 16, "q_lora_rank": 1536, "qk_rope_head_dim": 64,
      "compress_ratios": ratios, "num_nextn_predict_layers": 1 });
    let outcome = evaluated(SESSION.read_with("config.json", config.to_string(), &drafting()), &Workload::prefill(1, 16));
    let experts: u128 = 62 * 384 * 3 * 3072 * 7168;
    let scales = 62 * (4 * 56 + 128 * 32 + 56 * 128 + 12 * 56 + 512 * 12 + 3 * 24 * 56) + 30 * 64 * 12 + 2 * 56 * 56;
    let buffers = 59 * 384 + 3 * 129_280 * 6;
    assert_eq!(outcome.value.unwrap().params() - experts / 2 + experts / 32 + scales + buffers, 861_608_274_846);
    // It reads the four streams, and has a window's cache.
    let h_proj = at.instances().find(|layer| layer.path == "mtp.0.h_proj").unwrap();
    assert_eq!(h_proj.row.cost().named("matmul_flops"), Some(2 * 16 * 4 * 4096 * 4096));
}

/// MiMo-V2-Flash: three layers of "0.33B params/block" (its README), of the shapes that MiMo-V2.5's are listed with (gogongxt/python 69107007,
/// scripts/models/mimo_v2.5.md), where queries, keys and values are one projection: `eh_proj` 4096 x 8192, `qkv_proj` 14,848 x 4096, `o_proj` 4096 x 8192, 64
/// sinks, MLP 3 x 4096 x 16,384, five norms of 4096.
#[test]
fn mimo_drafts_with_three_dense_layers_that_slide() {
    let layer = 2 * 4096 * 8192 + 14_848 * 4096 + 64 + 3 * 4096 * 16_384 + 5 * 4096;
    let params = |settings: &Settings| loaded("mimo-v2-flash", settings, &Workload::prefill(1, 16)).params();
    assert_eq!(params(&drafting()) - params(&Settings::default()), 3 * layer);
    assert_eq!(params(&drafting().set("num_nextn_predict_layers", 1)) - params(&Settings::default()), layer);
}

/// At 2,048 tokens, two FLOPs for each parameter that a token meets and each pair of positions that attention sees.
#[test]
fn the_draft_part_runs_once_over_the_same_positions() {
    let workload = Workload::prefill(1, 2048);
    let (plain, at) = (loaded("deepseek-v3", &Settings::default(), &workload), loaded("deepseek-v3", &drafting(), &workload));
    let more = |quantity: &str| at.named(quantity).unwrap() - plain.named(quantity).unwrap();
    let (projection, attention) = (102_760_448, 187_107_328 - 1536 - 512);
    let (router, experts, head) = (256 * 7168, (8 + 1) * 3 * 7168 * 2048, 129_280 * 7168);
    let pairs = 2048 * 2048 * 128 * (192 + 128);
    assert_eq!(more("matmul_flops"), 2 * (2048 * (projection + attention + router + experts + head) + pairs));
    // Its layer has a cache of its own: a latent of 512 and a rotary key of 64, two bytes each.
    assert_eq!(more("cache_bytes"), 2048 * (512 + 64) * 2);
    // It follows the head, and its rows are called as the checkpoint calls them.
    let paths: Vec<String> = at.instances().map(|layer| layer.path).collect();
    let head = paths.iter().position(|path| path == "lm_head").unwrap();
    let first = paths.iter().position(|path| path.starts_with("model.layers.61.")).unwrap();
    assert_eq!(first, head + 1);
    assert!(paths[first..].iter().all(|path| path.starts_with("model.layers.61.")));
    // Bytes of the stored types: all that isn't quantized is in two bytes, `eh_proj` and the head among them.
    let eh_proj = at.instances().find(|layer| layer.path == "model.layers.61.eh_proj").unwrap();
    let head = at.instances().find(|layer| layer.path == "model.layers.61.shared_head.head").unwrap();
    for (layer, params) in [(eh_proj, projection), (head, 129_280 * 7168)] {
        assert_eq!(layer.row.cost().named("weight_bytes"), Some(2 * params), "{}", layer.path);
    }
}

#[test]
fn every_family_with_a_draft_part_builds_it_for_its_defaults() {
    let catalog = SESSION.catalog();
    let mut built = 0;
    for name in catalog.family_names() {
        let family = catalog.family(name).unwrap().unwrap();
        if family.draft.is_none() {
            continue;
        }
        let heads = family.draft.iter().flat_map(|draft| &draft.heads).chain(family.default_head.iter().map(|head| &head.value));
        for head in heads {
            let mut config = serde_json::json!({ "model_type": family.model_types[0], "num_nextn_predict_layers": 1 });
            if !family.nested.is_empty() {
                config["text_config"] = serde_json::json!({ "num_nextn_predict_layers": 1 });
            }
            let config = config.to_string();
            let settings = Settings { head: Some(head.clone()), ..drafting() };
            let outcome = evaluated(SESSION.read_with("config.json", config, &settings), &Workload::prefill(2, 16));
            assert_eq!(codes(&outcome.diagnostics), [], "{name}, {head}: {:?}", outcome.diagnostics);
        }
        built += 1;
    }
    assert!(built >= 16, "{built}");
}

#[test]
fn what_is_imported_has_its_draft_part_and_checks_what_it_expects() {
    let config = r#"{ "model_type": "deepseek_v3", "num_nextn_predict_layers": 1 }"#;
    let model = SESSION.read_with("config.json", config, &drafting()).value.unwrap();
    let mut file = model.import(Some("drafts")).value.unwrap();
    assert_eq!(file["draft"], true);
    // A file's own figures are of what it says.
    file["expect"] = serde_json::json!({ "params": 684_489_830_400u64 });
    let outcome = evaluated(SESSION.read("model.json", file.to_string()), &Workload::prefill(1, 16));
    assert_eq!(codes(&outcome.diagnostics), [], "{:?}", outcome.diagnostics);
    // Its layers written out are the same, and so is the flat list.
    let lowered = model.lowered(&Execution::default()).value.unwrap();
    let flat = lowered.at(&Workload::prefill(1, 16)).value.unwrap().flat_list().unwrap();
    for layers in [lowered.explicit().unwrap(), flat] {
        let mut file = model.heading(Some("drafts"));
        file.extend(layers);
        let text = serde_json::to_string(&file).unwrap();
        let outcome = evaluated(SESSION.read("model.json", text), &Workload::prefill(1, 16));
        assert_eq!(codes(&outcome.diagnostics), [], "{:?}", outcome.diagnostics);
        assert_eq!(outcome.value.unwrap().params(), 684_489_830_400);
    }
    // An embedded model's are of the model without it.
    let outcome = SESSION.load_with("deepseek-v3", &drafting());
    assert_eq!(codes(&outcome.diagnostics), [Code::ExpectationsSkipped]);
}

const CONFIG: &str = r#"{ "model_type": "deepseek_v3", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
  "num_attention_heads": 2, "q_lora_rank": null, "kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
  "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "moe_intermediate_size": 32, "first_k_dense_replace": 1,
  "num_nextn_predict_layers": 1, "torch_dtype": "bfloat16" }"#;

type Tensors = Vec<(String, Vec<u64>)>;

/// A checkpoint of that config: the names are those of DeepSeek-V3's index.
fn checkpoint(with_copies: bool) -> Tensors {
    let mut out: Tensors = Vec::new();
    let mut add = |name: String, shape: &[u64]| out.push((format!("{name}.weight"), shape.to_vec()));
    add("model.embed_tokens".to_owned(), &[100, 64]);
    add("model.norm".to_owned(), &[64]);
    add("lm_head".to_owned(), &[100, 64]);
    for layer in 0..3 {
        let at = format!("model.layers.{layer}");
        add(format!("{at}.input_layernorm"), &[64]);
        add(format!("{at}.post_attention_layernorm"), &[64]);
        add(format!("{at}.self_attn.q_proj"), &[2 * 24, 64]);
        add(format!("{at}.self_attn.kv_a_proj_with_mqa"), &[24, 64]);
        add(format!("{at}.self_attn.kv_a_layernorm"), &[16]);
        add(format!("{at}.self_attn.kv_b_proj"), &[2 * 32, 16]);
        add(format!("{at}.self_attn.o_proj"), &[64, 32]);
        let experts: Vec<(String, u64)> = match layer {
            0 => vec![("mlp".to_owned(), 96)],
            _ => (0..4).map(|n| (format!("mlp.experts.{n}"), 32)).chain([("mlp.shared_experts".to_owned(), 32)]).collect(),
        };
        for (module, size) in experts {
            add(format!("{at}.{module}.gate_proj"), &[size, 64]);
            add(format!("{at}.{module}.up_proj"), &[size, 64]);
            add(format!("{at}.{module}.down_proj"), &[64, size]);
        }
        if layer > 0 {
            add(format!("{at}.mlp.gate"), &[4, 64]);
        }
    }
    for name in ["enorm", "hnorm", "shared_head.norm"] {
        add(format!("model.layers.2.{name}"), &[64]);
    }
    add("model.layers.2.eh_proj".to_owned(), &[64, 128]);
    if with_copies {
        add("model.layers.2.embed_tokens".to_owned(), &[100, 64]);
        add("model.layers.2.shared_head.head".to_owned(), &[100, 64]);
    }
    out
}

fn elements(tensors: &Tensors) -> u128 {
    tensors.iter().map(|(_, shape)| u128::from(shape.iter().product::<u64>())).sum()
}

fn opened(tensors: &Tensors, config: &str, settings: &Settings) -> Outcome<Model> {
    let mut at = 0;
    let mut header = serde_json::Map::new();
    for (name, shape) in tensors {
        let end = at + 2 * shape.iter().product::<u64>();
        header.insert(name.clone(), serde_json::json!({ "dtype": "BF16", "shape": shape, "data_offsets": [at, end] }));
        at = end;
    }
    let header = serde_json::to_vec(&header).unwrap();
    let contents = SESSION.header("model.json", &header, None, None);
    contents.and_then(|contents| SESSION.open("model", &contents, Some(("config.json", config.as_bytes())), settings))
}

#[test]
fn a_checkpoint_that_holds_one_says_so_and_with_it_nothing_is_left_over() {
    for with_copies in [true, false] {
        let tensors = checkpoint(with_copies);
        let of_model: Tensors = tensors.iter().filter(|(name, _)| !name.starts_with("model.layers.2.")).cloned().collect();
        let workload = Workload::prefill(1, 16);
        let outcome = evaluated(opened(&tensors, CONFIG, &Settings::default()), &workload);
        let [said] = outcome.diagnostics.iter().collect::<Vec<_>>()[..] else { panic!("{:?}", outcome.diagnostics) };
        let (drafted, many) = (elements(&tensors) - elements(&of_model), tensors.len() - of_model.len());
        let message = format!("multi-token prediction, which `--with-mtp` builds ({many} tensors, {drafted} elements");
        assert!(said.message.contains(&message), "{}", said.message);
        assert_eq!(outcome.value.unwrap().params(), elements(&of_model));
        let outcome = evaluated(opened(&tensors, CONFIG, &drafting()), &workload);
        assert_eq!(codes(&outcome.diagnostics), [], "{:?}", outcome.diagnostics);
        let at = outcome.value.unwrap();
        assert_eq!((at.params(), at.named("weight_bytes")), (elements(&tensors), Some(2 * elements(&tensors))));
    }
}

#[test]
fn a_checkpoint_without_the_one_that_is_asked_for_says_what_it_lacks() {
    let tensors: Tensors = checkpoint(true).into_iter().filter(|(name, _)| !name.starts_with("model.layers.2.")).collect();
    let outcome = evaluated(opened(&tensors, CONFIG, &drafting()), &Workload::prefill(1, 16));
    let said: Vec<&str> = outcome.diagnostics.iter().map(|said| &*said.message).collect();
    assert!(said.len() == 1 && said[0].contains("the file lacks `model.layers.2."), "{said:?}");
    // Of a config that says none there is nothing to build.
    let none = CONFIG.replace(r#""num_nextn_predict_layers": 1"#, r#""num_nextn_predict_layers": 0"#);
    let outcome = evaluated(opened(&tensors, &none, &drafting()), &Workload::prefill(1, 16));
    assert_eq!(codes(&outcome.diagnostics), [Code::NoDraftLayers], "{:?}", outcome.diagnostics);
}

/// llama.cpp counts the draft part's block among the layers by which it chooses types of MLPs, and so do rules here, whether it is built or not. (Types of values
/// go by how many there are in the file.)
#[test]
fn a_mix_counts_the_draft_part_among_the_layers_once() {
    let bytes = |draft: bool| -> u128 {
        let settings = Settings { mix: Some("q4_k_m".into()), draft, ..Settings::default() };
        let at = loaded("glm-4.5", &settings, &Workload::prefill(1, 16));
        let of_model = at.instances().filter(|layer| layer.path.contains(".mlp.") && !layer.path.starts_with("model.layers.92."));
        of_model.map(|layer| layer.row.cost().named("weight_bytes").unwrap()).sum()
    };
    assert_eq!(bytes(true), bytes(false));
}
