//! What is asked of a model: what each word of a workload sets, what is wrong with a value, what is filled in.

use std::sync::Arc;

use layerspec::diagnostics::Code;
use layerspec::{After, Attention, Backend, Cache, Evaluation, Execution, Kernel, Logits, Outcome, Phase, Value, Workload};
use serde_json::{Value as Json, json};

use crate::support::{SESSION, codes, evaluate, workload};

/// One layer that is asked for every word: bytes as the class sees them.
const SEEN: &str = r#"{
    "classes": { "x.Sees": { "kind": "module", "doc": "a test", "source": "here",
        "flops": { "matmul": "batch_size * 1000 + seq_len * 100 + past_len * 10 + logit_len", "vector": "kv_len", "transcendental": 0 },
        "backward": { "matmul": 0, "vector": 0, "transcendental": 0 }, "saves": [],
        "reads": { "weights": "weight_dtype_bytes", "activations": "dtype_bytes", "cache": "kv_dtype_bytes" },
        "writes": { "activations": "index_dtype_bytes", "cache": "if(training, 1, 0)" } } },
    "layers": [ { "name": "own", "class": "x.Sees" } ] }"#;

fn try_at(text: &str, asked: &(Workload, Execution)) -> Outcome<Evaluation> {
    evaluate(&SESSION, "model.json", text, asked)
}

fn seen(asked: &Json) -> Evaluation {
    try_at(SEEN, &workload(asked)).into_result().unwrap()
}

fn bytes(at: &Evaluation) -> [u128; 4] {
    ["activations_read", "weights_read", "cache_read", "activations_written"].map(|name| at.totals().named(name).unwrap())
}

#[test]
fn every_word_sets_what_it_says() {
    let at = seen(
        &json!({ "phase": "decode", "batch_size": 2, "seq_len": 3, "past_len": 4, "logit_len": 1, "dtype": "fp32", "weight_dtype": "fp64", "after": "prompt",
        "kv_dtype": "fp8_e4m3", "attention": "masked", "kernel": "math", "cache": "on", "backend": "cuda", "logits": "last" }),
    );
    let found = at.workload();
    assert_eq!((found.phase, found.attention, found.logits), (Phase::Decode, Attention::Masked, Logits::Last));
    assert_eq!((found.kernel, found.cache, found.backend, found.after), (Kernel::Math, Cache::On, Backend::Cuda, After::Prompt));
    assert_eq!((at.matmul_flops(), at.totals().named("vector_flops")), (2000 + 300 + 40 + 1, Some(7)));
    assert_eq!(bytes(&at), [4, 8, 1, 8]);
    assert!(found.defaulted.is_empty(), "{:?}", found.defaulted);
    let off = workload(&json!({ "cache": "off" })).1;
    assert_eq!((off.cache, off.kernel, off.backend), (Cache::Off, Kernel::Flash, Backend::Cpu));
}

#[test]
fn a_workload_of_each_phase_has_its_lengths() {
    let of = |workload: &Workload| {
        let at = try_at(SEEN, &(workload.clone(), Execution::default())).into_result().unwrap();
        let found = at.workload();
        assert!(!found.defaulted.iter().any(|name| name != "dtype" && name != "past_len"), "{:?}", found.defaulted);
        (found.phase, found.batch_size, found.seq_len, found.past_len)
    };
    assert_eq!(of(&Workload::prefill(3, 7)), (Phase::Prefill, 3, 7, 0));
    assert_eq!(of(&Workload::decode(3, 7)), (Phase::Decode, 3, 1, 7));
    assert_eq!(of(&Workload::train(3, 7)), (Phase::Train, 3, 7, 0));
}

/// Weights and what is cached are of the activations' dtype unless something else is said; sizes that are set win over dtypes.
#[test]
fn sizes_follow_dtypes_unless_they_are_set() {
    assert_eq!(bytes(&seen(&json!({ "seq_len": 3 }))), [2, 2, 2, 8]);
    assert_eq!(bytes(&seen(&json!({ "seq_len": 3, "dtype": "fp32" }))), [4, 4, 4, 8]);
    assert_eq!(bytes(&seen(&json!({ "seq_len": 3, "weight_dtype": "fp64" }))), [2, 8, 2, 8]);
    assert_eq!(bytes(&seen(&json!({ "seq_len": 3, "dtype": "fp32", "dtype_bytes": 3, "index_dtype_bytes": 4 }))), [3, 4, 4, 4]);
    // A model's own defaults give way to a dtype that is asked for, each to its own or to that of the activations.
    let with = |asked: &Json| {
        let text = SEEN.replacen(
            '{',
            r#"{ "workload": { "dtype_bytes": 5, "weight_dtype_bytes": 6, "kv_dtype_bytes": 7, "index_dtype_bytes": 3 },"#,
            1,
        );
        bytes(&try_at(&text, &workload(asked)).into_result().unwrap())
    };
    assert_eq!(with(&json!({ "seq_len": 3 })), [5, 6, 7, 3]);
    assert_eq!(with(&json!({ "seq_len": 3, "weight_dtype": "fp64" })), [5, 8, 7, 3]);
    assert_eq!(with(&json!({ "seq_len": 3, "kv_dtype": "int8" })), [5, 6, 1, 3]);
    assert_eq!(with(&json!({ "seq_len": 3, "dtype": "fp32" }))[..3], [4, 4, 4]);
}

#[test]
fn what_nobody_says_is_filled_in() {
    let at = seen(&json!({}));
    let found = at.workload();
    assert_eq!(
        (found.phase, found.batch_size, found.seq_len, found.past_len, found.logit_len),
        (Phase::Prefill, 1, 2048, 0, 2048)
    );
    assert_eq!(found.defaulted, ["phase", "batch_size", "seq_len", "past_len", "dtype"]);
    let with = |more: &str, asked: &Json| {
        let text = SEEN.replacen('{', &format!("{{ {more},"), 1);
        let at = try_at(&text, &workload(asked)).into_result().unwrap();
        let found = at.workload();
        (found.batch_size, found.seq_len, found.past_len, found.logit_len)
    };
    let own = r#""workload": { "batch_size": 3, "seq_len": 20, "logit_len": 2 }"#;
    assert_eq!(with(own, &json!({})), (3, 20, 0, 2));
    assert_eq!(with(own, &json!({ "seq_len": 9 })), (3, 9, 0, 2));
    // What is asked for wins over the model: logits of all positions, or of the last.
    assert_eq!(with(own, &json!({ "logits": "all" })), (3, 20, 0, 20));
    assert_eq!(with(own, &json!({ "logits": "last" })), (3, 20, 0, 1));
    // A model's length is that of a prompt: when decoding, the token is its last.
    let own = r#""workload": { "seq_len": 20 }"#;
    assert_eq!(with(own, &json!({ "phase": "decode" })), (1, 1, 19, 1));
    assert_eq!(with(own, &json!({ "phase": "decode", "seq_len": 4 })), (1, 4, 16, 4));
    assert_eq!(with(own, &json!({ "phase": "decode", "past_len": 7 })), (1, 1, 7, 1));
    // Nothing is kept in training.
    assert_eq!(seen(&json!({ "phase": "train" })).workload().cache, Cache::Off);
    assert_eq!(seen(&json!({ "phase": "train" })).totals().named("cache_written"), Some(1));
}

/// Without what is said of choices that the model doesn't read.
fn read(mut said: Vec<Code>) -> Vec<Code> {
    said.retain(|code| *code != Code::WithoutEffect);
    said
}

/// What nothing in a model reads has no effect, and that is said; what something reads isn't.
#[test]
fn what_has_no_effect_is_said() {
    let layers = r#"{ "inputs": { "image": { "shape": ["<batch_size>", 3, 8, 8], "dtype": "activation" } }, "layers": [ { "name": "conv", "class": "torch.nn.Conv2d",
        "parameters": { "in_channels": 3, "out_channels": 4, "kernel_size": [3, 3], "size": [8, 8], "batch_size": "<batch_size>" } } ] }"#;
    let said = |text: &str, asked: &Json| {
        let outcome = try_at(text, &workload(asked));
        assert!(outcome.value.is_some(), "{:?}", outcome.diagnostics);
        outcome.diagnostics.iter().map(|said| said.message.split('`').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(said(layers, &json!({ "batch_size": 2, "dtype": "fp16" })), [""; 0]);
    let all = json!({ "phase": "decode", "seq_len": 1, "past_len": 3, "logits": "last", "kv_dtype": "fp8", "attention": "masked", "kernel": "eager",
        "backend": "cuda", "after": "prompt", "weight_dtype": "int8" });
    let names = [
        "seq_len",
        "past_len",
        "phase decode",
        "logits last",
        "kv_dtype",
        "attention masked",
        "after prompt",
        "kernel",
        "backend",
        "weight_dtype",
    ];
    assert_eq!(said(layers, &all), names);
    assert_eq!(said(layers, &json!({ "cache": "off", "weight_dtype": "fp32" })), ["cache off"]);
    // A language model reads all of it, but what is cached only where something is.
    let llama = &String::from_utf8(crate::support::model_file("gemma-3-270m")).unwrap();
    assert_eq!(said(llama, &all), [""; 0]);
    assert_eq!(said(llama, &json!({ "after": "prompt", "seq_len": 8 })), ["after prompt"]);
}

/// A word that makes no sense is named, with what would.
#[test]
fn a_value_that_makes_no_sense_is_told_from_one_that_does() {
    let wrong =
        |name: &str, value: Value| Workload::from_pairs(&[(name.into(), value)], SESSION.catalog()).map(drop).unwrap_err();
    let expected = [
        ("phase", "one of prefill, decode, train"),
        ("attention", "one of dense, masked"),
        ("kernel", "one of flash, eager, math"),
        ("logits", "one of all, last"),
        ("cache", "one of on, off"),
        ("backend", "one of cpu, cuda"),
        ("dtype", "a dtype"),
        ("weight_dtype", "a dtype"),
        ("kv_dtype", "a dtype"),
        ("batch_size", "a non-negative integer"),
        ("seq_len", "a non-negative integer"),
        ("past_len", "a non-negative integer"),
    ];
    for (name, wanted) in expected {
        assert_eq!(wrong(name, Value::text("nonsense")), (Arc::from(name), wanted.to_owned()));
    }
    let with = |name: &str, value: Value| {
        let asked = Workload { settings: vec![(name.into(), value)], ..Workload::prefill(1, 8) };
        read(codes(&try_at(SEEN, &(asked, Execution::default())).diagnostics))
    };
    let half = || Value::from(layerspec::Exact::ratio(1, 2).unwrap());
    for (name, value) in [
        ("kv_len", Value::count(8u64)),
        ("training", Value::Bool(true)),
        ("batch_size", half()),
        ("past_len", Value::text("3")),
        ("logit_len", half()),
        ("dtype_bytes", Value::count(0u64)),
        ("kv_dtype_bytes", Value::text("2")),
        ("weight_dtype_bytes", Value::Null),
    ] {
        assert_eq!(with(name, value).first(), Some(&Code::InvalidWorkload), "{name}");
    }
    // Half a byte a weight is a size.
    assert_eq!(with("weight_dtype_bytes", half()), []);
    assert_eq!(with("logit_len", Value::count(8u64)), []);
    // Logits of more positions than there are.
    assert_eq!(with("logit_len", Value::count(9u64)), [Code::InvalidWorkload]);
    let empty = |batch: u64, seq: u64| codes(&try_at(SEEN, &(Workload::prefill(batch, seq), Execution::default())).diagnostics);
    assert_eq!((empty(0, 1), empty(1, 0), empty(1, 1)), (vec![Code::InvalidWorkload], vec![Code::InvalidWorkload], vec![]));
    // Cached tokens need a cache, but in training nobody reads them.
    let without = |asked: Workload| {
        read(codes(&try_at(SEEN, &(asked, Execution { cache: Cache::Off, ..Execution::default() })).diagnostics))
    };
    assert_eq!(without(Workload::decode(1, 3)), [Code::InvalidWorkload]);
    assert_eq!(without(Workload::decode(1, 0)), []);
}

/// A model's own variables may be made of others, in any order, up to 128 behind each other, and in no circle.
#[test]
fn variables_of_a_workload_may_stand_behind_each_other() {
    let class = r#""classes": { "x.Sees": { "kind": "module", "doc": "a test", "source": "here", "parameters": { "n": { "kind": "count", "doc": "n" } },
        "flops": { "matmul": "n", "vector": 0, "transcendental": 0 } } }, "layers": [ { "name": "own", "class": "x.Sees", "parameters": { "n": "<v0>" } } ]"#;
    let chain = |links: usize| {
        let mut own: Vec<String> = (0..links).map(|at| format!(r#""v{at}": "<v{}> + 1""#, at + 1)).collect();
        own.push(format!(r#""v{links}": "<seq_len>""#));
        let text = format!(r#"{{ "workload": {{ {} }}, {class} }}"#, own.join(", "));
        let outcome = try_at(&text, &(Workload::prefill(1, 5), Execution::default()));
        (outcome.value.map(|at| at.matmul_flops()), codes(&outcome.diagnostics))
    };
    assert_eq!(chain(1), (Some(6), vec![]));
    assert_eq!(chain(100), (Some(105), vec![]));
    assert_eq!(chain(128), (Some(133), vec![]));
    let (value, said) = chain(129);
    assert!(value.is_none() && said.contains(&Code::EvaluationTooDeep), "{said:?}");
}

/// A value of at most a million values, itself and those in it, is looked at.
#[test]
fn a_variable_of_a_workload_has_its_limit() {
    let text = r#"{ "workload": { "mine": [1] }, "classes": { "x.Sees": { "kind": "module", "doc": "a test", "source": "here",
        "parameters": { "n": { "kind": "count", "doc": "n" } }, "flops": { "matmul": "n", "vector": 0, "transcendental": 0 } } },
        "layers": [ { "name": "own", "class": "x.Sees", "parameters": { "n": "len(<mine>)" } } ] }"#;
    let with = |length: usize| {
        let list = Value::List(std::iter::repeat_n(Value::Null, length).collect());
        let asked = Workload { settings: vec![("mine".into(), list)], ..Workload::prefill(1, 5) };
        let outcome = try_at(text, &(asked, Execution::default()));
        (outcome.value.map(|at| at.matmul_flops()), read(codes(&outcome.diagnostics)))
    };
    assert_eq!(with(999_999), (Some(999_999), vec![]));
    assert_eq!(with(1_000_000), (None, vec![Code::ExpressionTooLarge]));
}
