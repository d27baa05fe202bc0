//! Files of weights as models: what is read of a header, what a map makes of it, and what is said of files that aren't as they should be.

use std::io::Cursor;

use layerspec::diagnostics::Code;
use layerspec::{Contents, Evaluation, Execution, Held, Model, Outcome, Settings, Workload};

use crate::support::gguf::{Gguf, Meta, Tensor};
use crate::support::{SESSION, codes};

/// A small model of llama.cpp's architecture `llama`: q4_K but for norms, and v, which is q6_K.
fn tiny(is_big_endian: bool) -> Vec<u8> {
    let metadata = [
        ("general.architecture", Meta::Text("llama".to_owned())),
        ("general.name", Meta::Text("Tiny".to_owned())),
        ("llama.block_count", Meta::Count(2)),
        ("llama.context_length", Meta::Count(128)),
        ("llama.embedding_length", Meta::Count(256)),
        ("llama.feed_forward_length", Meta::List(vec![Meta::Count(512), Meta::Count(512)])),
        ("llama.attention.head_count", Meta::Count(4)),
        ("llama.attention.head_count_kv", Meta::Count(2)),
        ("tokenizer.ggml.tokens", Meta::Texts(1000)),
    ];
    let (q4, q6, f32) = (12u32, 14u32, 0u32);
    let bytes = |kind: u32, dims: &[u64]| {
        let elements: u64 = dims.iter().product();
        match kind {
            12 => elements / 256 * 144,
            14 => elements / 256 * 210,
            _ => elements * 4,
        }
    };
    let mut tensors = Vec::new();
    let mut add = |name: String, dims: &[u64], kind: u32| tensors.push((name, dims.to_vec(), kind, bytes(kind, dims)));
    add("token_embd.weight".to_owned(), &[256, 1000], q4);
    for block in 0..2 {
        add(format!("blk.{block}.attn_norm.weight"), &[256], f32);
        add(format!("blk.{block}.attn_q.weight"), &[256, 256], q4);
        add(format!("blk.{block}.attn_k.weight"), &[256, 128], q4);
        add(format!("blk.{block}.attn_v.weight"), &[256, 128], q6);
        add(format!("blk.{block}.attn_output.weight"), &[256, 256], q4);
        add(format!("blk.{block}.ffn_norm.weight"), &[256], f32);
        add(format!("blk.{block}.ffn_gate.weight"), &[256, 512], q4);
        add(format!("blk.{block}.ffn_up.weight"), &[256, 512], q4);
        add(format!("blk.{block}.ffn_down.weight"), &[512, 256], q4);
    }
    add("output_norm.weight".to_owned(), &[256], f32);
    add("rope_freqs.weight".to_owned(), &[32], f32);
    Gguf::written(is_big_endian, &metadata, &tensors)
}

fn contents(bytes: &[u8], file_bytes: Option<u64>) -> Outcome<Contents> {
    SESSION.contents("tiny.gguf", &mut Cursor::new(bytes), file_bytes)
}

fn opened(bytes: &[u8]) -> Outcome<Model> {
    contents(bytes, None).and_then(|contents| SESSION.open("tiny.gguf", &contents, None, &Settings::default()))
}

fn evaluated(model: Outcome<Model>) -> Outcome<Evaluation> {
    model.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(&Workload::prefill(1, 16)))
}

#[test]
fn a_gguf_file_is_a_model_with_the_bytes_that_it_has() {
    for is_big_endian in [false, true] {
        let outcome = evaluated(opened(&tiny(is_big_endian)));
        let at = outcome.value.as_ref().unwrap_or_else(|| panic!("{:?}", outcome.diagnostics));
        let matrices = 256_000 + 2 * (2 * 65_536 + 2 * 32_768 + 3 * 131_072);
        assert_eq!(at.params(), matrices + 5 * 256);
        let q6 = 2 * 32_768;
        let bytes = (matrices - q6) / 256 * 144 + q6 / 256 * 210 + 5 * 256 * 4;
        assert_eq!(at.named("weight_bytes"), Some(bytes), "{is_big_endian}");
        // The rotary factors are no layer's.
        assert_eq!(codes(&outcome.diagnostics), [Code::CheckpointRemark], "{:?}", outcome.diagnostics);
    }
}

/// [`tiny`] in three shards, as llama-gguf-split writes them: metadata and the embedding; a block; the rest. `change`: what another writes.
fn shards(change: impl Fn(usize, &mut Vec<(&'static str, Meta)>, &mut Vec<Tensor>)) -> Vec<(String, Outcome<Contents>)> {
    let whole = contents(&tiny(false), None).into_result().unwrap();
    let dims = |held: &Held| held.shape.as_ref().unwrap().iter().rev().copied().collect::<Vec<u64>>();
    let kind = |held: &Held| match held.kind.to_ascii_lowercase().as_str() {
        "q4_k" => 12,
        "q6_k" => 14,
        _ => 0,
    };
    let mut tensors = vec![Vec::new(); 3];
    for held in &whole.tensors {
        let at =
            [("token_embd", 0), ("blk.0", 1)].iter().find(|(start, _)| held.name.starts_with(start)).map_or(2, |(_, at)| *at);
        tensors[at].push((held.name.to_string(), dims(held), kind(held), held.bytes.unwrap()));
    }
    let count = u32::try_from(whole.tensors.len()).unwrap();
    let part = |(at, mut tensors): (usize, Vec<Tensor>)| {
        let mut metadata = Vec::new();
        if at == 0 {
            metadata.extend([
                ("general.architecture", Meta::Text("llama".to_owned())),
                ("llama.block_count", Meta::Count(2)),
                ("llama.embedding_length", Meta::Count(256)),
                ("llama.feed_forward_length", Meta::Count(512)),
                ("llama.attention.head_count", Meta::Count(4)),
                ("llama.attention.head_count_kv", Meta::Count(2)),
            ]);
        }
        metadata.push(("split.no", Meta::Count(u32::try_from(at).unwrap())));
        metadata.push(("split.count", Meta::Count(3)));
        metadata.push(("split.tensors.count", Meta::Count(count)));
        change(at, &mut metadata, &mut tensors);
        let name = format!("tiny-{:05}-of-00003.gguf", at + 1);
        let bytes = Gguf::written(false, &metadata, &tensors);
        (name.clone(), SESSION.contents(&name, &mut Cursor::new(bytes), None))
    };
    tensors.into_iter().enumerate().map(part).collect()
}

#[test]
fn shards_of_a_gguf_file_are_the_file() {
    let whole = evaluated(opened(&tiny(false))).into_result().unwrap();
    let outcome = SESSION.together(shards(|_, _, _| {}));
    assert_eq!(codes(&outcome.diagnostics), [], "{:?}", outcome.diagnostics);
    let opened = outcome.and_then(|contents| SESSION.open("tiny", &contents, None, &Settings::default()));
    let at = evaluated(opened).into_result().unwrap();
    assert_eq!((at.params(), at.named("weight_bytes")), (whole.params(), whole.named("weight_bytes")));
}

#[test]
fn shards_that_are_missing_are_named() {
    for lost in 0..3 {
        let mut parts = shards(|_, _, _| {});
        let (name, _) = parts.remove(lost);
        let outcome = SESSION.together(parts);
        assert_eq!(codes(&outcome.diagnostics), [Code::CheckpointRemark]);
        let contents = outcome.value.unwrap();
        assert_eq!(contents.missing.iter().map(|name| &**name).collect::<Vec<_>>(), [name.as_str()]);
        let opened = SESSION.open("tiny", &contents, None, &Settings::default());
        assert_eq!(codes(&opened.diagnostics), [Code::UnmappedCheckpoint]);
    }
}

#[test]
fn shards_that_contradict_each_other_are_refused() {
    let set = |metadata: &mut Vec<(&'static str, Meta)>, key: &str, value: u32| {
        metadata.iter_mut().filter(|(known, _)| *known == key).for_each(|(_, datum)| *datum = Meta::Count(value));
    };
    let said = |parts: Vec<(String, Outcome<Contents>)>, what: &str| {
        let outcome = SESSION.together(parts);
        assert!(outcome.value.is_none(), "{what}");
        let found: Vec<_> = outcome.diagnostics.iter().map(|said| (said.code, said.message.clone())).collect();
        assert!(
            matches!(found.as_slice(), [(Code::MalformedCheckpoint, message)] if message.contains(what)),
            "{what}: {found:?}"
        );
    };
    // One shard that says another number than it should.
    let odd = |shard: usize, key: &'static str, number: u32| {
        shards(|at, metadata, _| {
            if at == shard {
                set(metadata, key, number)
            }
        })
    };
    said(odd(1, "split.count", 4), "they aren't of one model");
    said(odd(2, "split.tensors.count", 7), "they aren't of one model");
    said(odd(1, "split.no", 3), "says that it is shard 4 of 3");
    said(odd(1, "split.no", 2), "is called otherwise");
    said(shards(|_, metadata, _| set(metadata, "split.tensors.count", 99)), "say that they hold 99");
    let mut renamed = shards(|at, metadata, _| {
        if at == 1 {
            set(metadata, "split.no", 2)
        }
    });
    renamed.iter_mut().for_each(|(name, _)| *name = name.replace("-of-", "_of_"));
    said(renamed, "both say that they are shard 3 of 3");
    let again = |at: usize, _: &mut Vec<(&'static str, Meta)>, tensors: &mut Vec<Tensor>| {
        if at == 2 {
            tensors[0].0 = "token_embd.weight".to_owned();
        }
    };
    said(shards(again), "a tensor is in one shard");
}

#[test]
fn a_gguf_file_that_is_cut_or_lies_is_refused() {
    let whole = tiny(false);
    for end in 0..whole.len() {
        let part = &whole[..end];
        let outcome = contents(part, Some(end as u64));
        assert!(outcome.value.is_none() && outcome.diagnostics.has_errors(), "{end}");
        let outcome = contents(part, None);
        assert!(outcome.value.is_none() && outcome.diagnostics.has_errors(), "{end}, of unknown length");
    }
    // Each byte of the counts and of the first keys at its greatest: an answer or a diagnostic, soon.
    for at in 4..400 {
        let mut bytes = whole.clone();
        bytes[at] = 0xff;
        let _ = evaluated(opened(&bytes));
    }
    assert_eq!(codes(&contents(b"GGUF\x03\0\0\0", None).diagnostics), [Code::MalformedCheckpoint]);
}

#[test]
fn what_no_family_fits_is_said_with_the_reason() {
    let metadata = [("general.architecture", Meta::Text("llama2".to_owned()))];
    let tensors = [("a.weight".to_owned(), vec![4u64], 0u32, 16u64)];
    let outcome = opened(&Gguf::written(false, &metadata, &tensors));
    assert_eq!(codes(&outcome.diagnostics), [Code::UnmappedCheckpoint]);
}

/// A header of safetensors as JSON: names, types, shapes, the data without holes.
fn header(tensors: &[(String, &str, Vec<u64>)]) -> Vec<u8> {
    let mut at = 0u64;
    let mut out = serde_json::Map::new();
    for (name, dtype, shape) in tensors {
        let each = match *dtype {
            "F32" | "I32" => 4,
            "U8" => 1,
            _ => 2,
        };
        let end = at + shape.iter().product::<u64>() * each;
        out.insert(name.clone(), serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [at, end] }));
        at = end;
    }
    serde_json::to_vec(&out).unwrap()
}

const CONFIG: &str = r#"{ "model_type": "mixtral", "vocab_size": 1000, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2, "max_position_embeddings": 128,
  "torch_dtype": "float32" }"#;

/// Mixtral's names on the hub: a tensor for each matrix of each expert.
fn mixtral(dtype: &'static str) -> Vec<(String, &'static str, Vec<u64>)> {
    let mut out = vec![("model.embed_tokens.weight".to_owned(), dtype, vec![1000, 256])];
    let mut add = |name: String, shape: &[u64]| out.push((name, dtype, shape.to_vec()));
    for layer in 0..2 {
        let at = format!("model.layers.{layer}");
        add(format!("{at}.input_layernorm.weight"), &[256]);
        add(format!("{at}.post_attention_layernorm.weight"), &[256]);
        for (name, rows) in [("q", 256), ("k", 128), ("v", 128), ("o", 256)] {
            add(format!("{at}.self_attn.{name}_proj.weight"), &[rows, 256]);
        }
        add(format!("{at}.block_sparse_moe.gate.weight"), &[4, 256]);
        for expert in 0..4 {
            let at = format!("{at}.block_sparse_moe.experts.{expert}");
            add(format!("{at}.w1.weight"), &[512, 256]);
            add(format!("{at}.w2.weight"), &[256, 512]);
            add(format!("{at}.w3.weight"), &[512, 256]);
        }
    }
    add("model.norm.weight".to_owned(), &[256]);
    add("lm_head.weight".to_owned(), &[1000, 256]);
    out
}

fn opened_with(text: &[u8], config: Option<&str>) -> Outcome<Model> {
    let config = config.map(|config| ("config.json", config.as_bytes()));
    SESSION
        .header("model.json", text, None, None)
        .and_then(|contents| SESSION.open("model", &contents, config, &Settings::default()))
}

#[test]
fn tensors_of_single_experts_are_those_of_the_module_that_has_all() {
    let tensors = mixtral("BF16");
    let elements: u128 = tensors.iter().map(|(_, _, shape)| u128::from(shape.iter().product::<u64>())).sum();
    let outcome = evaluated(opened_with(&header(&tensors), Some(CONFIG)));
    assert_eq!(codes(&outcome.diagnostics), [], "{:?}", outcome.diagnostics);
    let at = outcome.value.unwrap();
    // The file's dtype, not the config's.
    assert_eq!((at.params(), at.named("weight_bytes")), (elements, Some(2 * elements)));
    // What is missing, or of another size, is said, and the config's model stays.
    for change in [
        |tensors: &mut Vec<(String, &str, Vec<u64>)>| drop(tensors.remove(10)),
        |tensors: &mut Vec<(String, &str, Vec<u64>)>| tensors[10].2[0] += 1,
        |tensors: &mut Vec<(String, &str, Vec<u64>)>| tensors.push(("model.extra.weight".to_owned(), "BF16", vec![3])),
    ] {
        let mut tensors = mixtral("BF16");
        change(&mut tensors);
        let outcome = evaluated(opened_with(&header(&tensors), Some(CONFIG)));
        assert_eq!(codes(&outcome.diagnostics), [Code::CheckpointRemark], "{:?}", outcome.diagnostics);
        assert_eq!(outcome.value.unwrap().named("weight_bytes"), Some(4 * elements));
    }
}

#[test]
fn packed_values_and_their_scales_are_the_bytes_of_a_weight() {
    // GPTQ, 4 bits in groups of 128: qweight [in / 8, out], qzeros [groups, out / 8], scales [groups, out], g_idx [in].
    let mut tensors: Vec<(String, &str, Vec<u64>)> = Vec::new();
    for (name, dtype, shape) in mixtral("F16") {
        match name.strip_suffix(".weight").filter(|name| name.contains("_proj") || name.contains(".experts.")) {
            Some(module) => {
                let (rows, cols) = (shape[0], shape[1]);
                tensors.push((format!("{module}.qweight"), "I32", vec![cols / 8, rows]));
                tensors.push((format!("{module}.qzeros"), "I32", vec![cols / 128, rows / 8]));
                tensors.push((format!("{module}.scales"), "F16", vec![cols / 128, rows]));
                tensors.push((format!("{module}.g_idx"), "I32", vec![cols]));
            }
            None => tensors.push((name, dtype, shape)),
        }
    }
    let bytes: u64 =
        tensors.iter().map(|(_, dtype, shape)| shape.iter().product::<u64>() * if *dtype == "I32" { 4 } else { 2 }).sum();
    let outcome = evaluated(opened_with(&header(&tensors), Some(CONFIG)));
    assert_eq!(codes(&outcome.diagnostics), [], "{:?}", outcome.diagnostics);
    assert_eq!(outcome.value.unwrap().named("weight_bytes"), Some(u128::from(bytes)));
}

#[test]
fn without_a_config_the_family_is_found_by_names_and_shapes() {
    let tensors = mixtral("BF16");
    let outcome = opened_with(&header(&tensors), None);
    assert_eq!(codes(&outcome.diagnostics), [Code::CheckpointRemark; 2], "{:?}", outcome.diagnostics);
    let model = outcome.value.clone().unwrap();
    assert_eq!(model.family(), Some("mixtral"));
    // A query of 256 is four heads of 64, or eight of 32.
    let said: Vec<&str> = outcome.diagnostics.iter().map(|said| &*said.message).collect();
    assert!(said.iter().any(|said| said.starts_with("guessed, as the shapes don't say it: ")), "{said:?}");
    let elements: u128 = tensors.iter().map(|(_, _, shape)| u128::from(shape.iter().product::<u64>())).sum();
    assert_eq!(evaluated(outcome).value.unwrap().params(), elements);
    // Names alone don't say sizes.
    let index = r#"{ "metadata": { "total_size": 8 }, "weight_map": { "model.embed_tokens.weight": "a.safetensors" } }"#;
    assert_eq!(codes(&opened_with(index.as_bytes(), None).diagnostics), [Code::UnmappedCheckpoint]);
}

/// Names without parts say nothing of layers, so no family is asked.
#[test]
fn tensors_of_no_modules_are_no_model() {
    for name in ["", "weight", "embeddings"] {
        let opened = opened_with(&header(&[(name.to_owned(), "F32", vec![4, 4])]), None);
        assert_eq!(codes(&opened.diagnostics), [Code::UnmappedCheckpoint]);
        assert!(opened.diagnostics.first_error().unwrap().message.contains("of no modules"), "{:?}", opened.diagnostics);
    }
}

#[test]
fn without_a_config_what_transformers_saves_is_found() {
    let facts: serde_json::Value = serde_json::from_str(include_str!("../reference/hub.json")).unwrap();
    for model in facts["models"].as_array().unwrap() {
        let (name, params) = (&model["name"], u128::from(model["params"].as_u64().unwrap()));
        let dims = |shape: &serde_json::Value| shape.as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap()).collect();
        let tensors = model["tensors"].as_object().unwrap().iter();
        let tensors: Vec<_> = tensors.map(|(name, shape)| (name.clone(), "BF16", dims(shape))).collect();
        // To try all families takes seconds where the compiler doesn't optimize: of one model it is done.
        let family = model["family"].as_str().unwrap();
        let settings = Settings { family: (family != "falcon").then(|| family.into()), ..Settings::default() };
        let contents = SESSION.header("header.json", &header(&tensors), None, None);
        let outcome = contents.and_then(|contents| SESSION.open("header.json", &contents, None, &settings));
        let opened = outcome.value.as_ref().unwrap_or_else(|| panic!("{name}: {:#?}", outcome.diagnostics));
        assert_eq!(opened.family(), Some(family), "{name}");
        assert_eq!(evaluated(outcome).value.unwrap().params(), params, "{name}");
    }
}

#[test]
fn a_header_that_lies_is_refused() {
    for (text, what) in [
        (
            r#"{ "a": { "dtype": "F32", "shape": [2], "data_offsets": [0, 4] } }"#,
            "takes 8 bytes by its type and shape, and 4 by its offsets",
        ),
        (r#"{ "a": { "dtype": "F32", "shape": [2], "data_offsets": [8, 0] } }"#, "no place in the file"),
        (r#"{ "a": { "dtype": "F32", "shape": [-2], "data_offsets": [0, 8] } }"#, "no shape that can be"),
        (r#"{ "a": { "dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 8] } }"#, "no shape that can be"),
        (
            r#"{ "a": { "dtype": "U8", "shape": [8], "data_offsets": [0, 8] }, "b": { "dtype": "U8", "shape": [8], "data_offsets": [4, 12] } }"#,
            "before the one before it ends",
        ),
    ] {
        let outcome = SESSION.header("model.json", text.as_bytes(), None, None);
        assert_eq!(codes(&outcome.diagnostics), [Code::MalformedCheckpoint], "{text}");
        assert!(outcome.diagnostics.iter().any(|said| said.message.contains(what)), "{text}: {:?}", outcome.diagnostics);
    }
    // A length that the file doesn't have, and one that is cut.
    let whole: Vec<u8> = 40u64.to_le_bytes().into_iter().chain(*b"{}").collect();
    assert!(contents(&whole, Some(10)).diagnostics.has_errors() && contents(&whole, None).diagnostics.has_errors());
}

#[test]
fn what_gguf_dump_prints_is_the_file() {
    let mut text = "* Dumping 9 key/value pair(s)\n      1: UINT32     |        1 | GGUF.version = 3\n".to_owned();
    for (kind, count, said) in [
        ("STRING", 1, "general.architecture = 'llama'"),
        ("UINT32", 1, "llama.block_count = 1"),
        ("UINT32", 1, "llama.context_length = 128"),
        ("UINT32", 1, "llama.embedding_length = 256"),
        ("[UINT32]", 1, "llama.feed_forward_length = [512]"),
        ("UINT32", 1, "llama.attention.head_count = 4"),
        ("UINT32", 1, "llama.attention.head_count_kv = 2"),
        ("[STRING]", 1000, "tokenizer.ggml.tokens = ['<pad>', '<eos>', '|', ...]"),
    ] {
        text += &format!("      2: {kind:10} | {count:8} | {said}\n");
    }
    text += "* Dumping 11 tensor(s)\n";
    for (name, dims, kind) in [
        ("token_embd", [256, 1000], "Q4_K"),
        ("blk.0.attn_norm", [256, 1], "F32"),
        ("blk.0.attn_q", [256, 256], "Q4_K"),
        ("blk.0.attn_k", [256, 128], "Q4_K"),
        ("blk.0.attn_v", [256, 128], "Q6_K"),
        ("blk.0.attn_output", [256, 256], "Q4_K"),
        ("blk.0.ffn_norm", [256, 1], "F32"),
        ("blk.0.ffn_gate", [256, 512], "Q4_K"),
        ("blk.0.ffn_up", [256, 512], "Q4_K"),
        ("blk.0.ffn_down", [512, 256], "Q4_K"),
        ("output_norm", [256, 1], "F32"),
    ] {
        text += &format!(
            "      3: {:10} | {:5}, {:5},     1,     1 | {kind:7} | {name}.weight\n",
            dims[0] * dims[1],
            dims[0],
            dims[1]
        );
    }
    let outcome = evaluated(opened_with(text.as_bytes(), None));
    assert_eq!(codes(&outcome.diagnostics), [], "{:?}", outcome.diagnostics);
    let at = outcome.value.unwrap();
    let (q4, q6, norms) = (256_000 + 2 * 65_536 + 32_768 + 3 * 131_072, 32_768, 3 * 256);
    assert_eq!(at.params(), q4 + q6 + norms);
    assert_eq!(at.named("weight_bytes"), Some(q4 / 256 * 144 + q6 / 256 * 210 + norms * 4));
}
