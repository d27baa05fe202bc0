//! Files of weights as models: what is read of a header, what a map makes of it, and what is said of files that aren't as they should be.

use std::io::Cursor;

use layerspec::diagnostics::Code;
use layerspec::{Contents, Evaluation, Execution, Model, Outcome, Settings, Workload};

use crate::support::gguf::{Gguf, Meta};
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
    Gguf::new(is_big_endian, &metadata, &tensors)
}

fn contents(bytes: &[u8], file_bytes: Option<u64>) -> Outcome<Contents> {
    SESSION.contents("tiny.gguf", &mut Cursor::new(bytes), file_bytes)
}

fn opened(bytes: &[u8]) -> Outcome<Model> {
    contents(bytes, None).and_then(|contents| SESSION.open("tiny.gguf", &contents, &Settings::default()))
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
    let outcome = opened(&Gguf::new(false, &metadata, &tensors));
    assert_eq!(codes(&outcome.diagnostics), [Code::UnmappedCheckpoint]);
}
