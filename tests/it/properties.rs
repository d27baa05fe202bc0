//! What holds for any input: no panic, and folded figures that equal the written-out list's.
//!
//! Random models are trees that this test can render as a model file and, by itself, expand and cost.

use std::collections::HashMap;
use std::sync::Arc;

use crate::support::SESSION;
use layerspec::cost::CostReport;
use layerspec::evaluation::{Costs, costs};
use layerspec::flat::FlatModel;
use layerspec::flow;
use layerspec::flow::Flow;
use layerspec::quantity::workload::{Attention, Phase};
use layerspec::quantity::{Cost, QUANTITIES};
use layerspec::syntax::diag::Diagnostics;
use layerspec::syntax::expr::{Exact, Expr, Name, Syntax, Value, eval, interpolate, parse};
use layerspec::{Execution, Settings, Workload};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// So many cases, times `PROPTEST_CASES` / 256 for a longer search. A failing input is printed; nothing is written beside the tests.
fn cases(n: u32) -> ProptestConfig {
    let base = ProptestConfig::default();
    ProptestConfig { cases: n * base.cases / 256, failure_persistence: None, ..base }
}

/// Compiles bytes; an answer or diagnostics that can be shown, nothing else.
fn survive(bytes: &[u8]) {
    let model = SESSION.read("any.json", bytes);
    let outcome = model.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| {
        let outcome = lowered.at(&Workload::default());
        if outcome.value.is_some() {
            assert!(lowered.paths().take(1000).all(|path| !path.is_empty()));
        }
        outcome
    });
    assert_eq!(outcome.value.is_none(), outcome.diagnostics.has_errors());
    for diagnostic in outcome.diagnostics.sorted() {
        assert!(!outcome.shown(diagnostic, false).is_empty());
        assert!(!outcome.shown_json(diagnostic).is_empty());
    }
}

/// A model at a workload, whatever flows.
struct Compiled {
    flat: Arc<FlatModel>,
    report: CostReport,
    flow: Flow,
}

/// Peak, caches, what is saved in all and by the rows.
fn memory(compiled: &Compiled) -> (Option<u128>, u128, u128, u128) {
    let flow = &compiled.flow;
    let booked: u128 = flow.rows.iter().map(flow::RowFlow::saved_total).sum();
    assert_eq!(booked, flow.saved_bytes, "what is saved is the sum of the rows");
    (flow.peak.as_ref().map(|peak| peak.bytes), flow.cache_storage, flow.saved_bytes, booked)
}

fn must_compile(model: &Json, workload: &Workload) -> Compiled {
    let text = serde_json::to_string_pretty(model).unwrap();
    let settings = Settings { family: None, variables: workload.settings.clone() };
    let lowered = SESSION.read_with("random.json", &text, &settings).and_then(|model| model.lowered(&Execution::default()));
    let lowered = lowered.into_result().unwrap_or_else(|failure| panic!("{failure}\n{text}"));
    let mut diagnostics = Diagnostics::default();
    let Costs { bound, report } = costs(&lowered.flat, lowered.execution, workload, &mut diagnostics);
    // Random classes one after another don't fit together: what flows between them is another test's.
    let flow = flow::run(&lowered.flat, &bound, &report, &mut Diagnostics::default());
    assert!(!diagnostics.has_errors(), "{diagnostics:?}\n{text}");
    Compiled { flat: lowered.flat, report, flow }
}

// ---------------------------------------------------------------------------------------------------------------- any text

/// Pieces of which expressions are made, in no order.
fn expression_soup() -> impl Strategy<Value = String> {
    #[rustfmt::skip]
    let tokens = prop::sample::select(vec![
        "<h>", "{h}", "<h.a>", "h", "<", ">", "{", "}", "(", ")", ",", "+", "-", "*", "/", "%", "^", "==", "!=", "<=", ">=", "&&", "||", "!",
        "=", ";", "1", "0", "2.5", "1e9", "9223372036854775808", "'a'", "'", "\"", "null", "true", "if(", "default(", "choose(", "min(",
        "at(", "len(", "product(", "conv_out(", "floor(", " ", "\u{e9}", "\u{0}", "//", "[", "]", ".",
    ]);
    vec(tokens, 0..14).prop_map(|pieces| pieces.concat())
}

fn survive_expression(text: &str) {
    let _ = interpolate(text);
    for syntax in [Syntax::Template, Syntax::Formula] {
        match parse(text, syntax) {
            Ok(expr) => {
                let env = |name: &Name| Ok(if &*name.text == "h" { Value::count(7) } else { Value::Null });
                let _ = eval(&expr, &env, 0);
                let _ = expr.render(&|name: &Name| format!("<{}>", name.text));
            }
            Err(error) => {
                assert!(text.get(error.range.clone()).is_some(), "{text:?}: {error:?}");
                assert!(!error.message.is_empty());
            }
        }
    }
}

/// JSON made of the words that model files are made of.
fn model_soup() -> impl Strategy<Value = Json> {
    #[rustfmt::skip]
    let keys = prop::sample::select(vec![
        "name", "inline", "class", "sub_layers", "use", "repeat", "parallel", "index", "calls", "when", "variables", "parameters", "weights",
        "inputs", "output", "hold", "tied_to", "layers", "workload", "classes", "blocks", "expect", "takes", "shape", "kind", "doc", "flops",
        "matmul", "features", "in_features", "out_features", "x", "layer", "points", "params", "max_position_embeddings", "seq_len",
    ]);
    #[rustfmt::skip]
    let texts = prop::sample::select(vec![
        "a", "b", "a.0", "", "Linear", "add", "mul", "kv_cache", "LayerNorm", "input", "input_ids", "<x>", "<x> + 1", "<layer>", "<layer> % 2 == 0",
        "<seq_len> * 2", "<y> / 0", "module", "function", "features * 2", "a<layer>", "{x}", "<x", "...", "required", "activation", "count", "\u{7}",
    ]);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        (-3i64..40).prop_map(|n| json!(n)),
        Just(json!(1_000_000_000_000_u64)),
        Just(json!(0.5)),
        texts.prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::Array),
            vec((keys.clone(), inner), 0..7).prop_map(|members| members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

/// A layer that is nearly right.
fn layer_soup() -> impl Strategy<Value = Json> {
    let basic = (0u8..4, model_soup()).prop_map(|(kind, any)| match kind {
        0 => json!({ "name": "a", "class": "Linear", "parameters": { "in_features": any, "out_features": 3 } }),
        1 => json!({ "name": "b", "class": "add", "parameters": { "features": 2 }, "inputs": any }),
        2 => json!({ "name": "c", "class": "mul", "parameters": { "features": "<x>" }, "calls": any, "weights": { "w": any } }),
        _ => any,
    });
    let key =
        prop::sample::select(vec!["repeat", "when", "calls", "variables", "tied_to", "inputs", "output", "name", "index", "use"]);
    basic.prop_recursive(3, 12, 4, move |inner| {
        (vec(inner, 0..4), key.clone(), model_soup()).prop_map(|(layers, key, any)| {
            let mut layer = json!({ "name": "d", "sub_layers": layers });
            layer[key] = any;
            layer
        })
    })
}

/// A model file with a few bytes changed.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let file = prop::sample::select(layerspec::catalog::MODEL_FILES.iter().map(|f| f.text).collect::<Vec<_>>());
    // Digits only as single ones: a billion layers that use their index is a long wait, if not a wrong answer.
    let splice = prop::sample::select(vec![
        "", "\"", "{", "}", "[", "]", ",", ":", "<", ">", "null", "-", "0", "\\u0041", "(", " / 0", "'", "\u{e9}",
    ]);
    (file, vec((any::<prop::sample::Index>(), 0usize..12, splice), 1..3)).prop_map(|(text, edits)| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, cut, put) in edits {
            let at = at.index(bytes.len());
            let end = (at + cut).min(bytes.len());
            let put = if bytes[at.saturating_sub(1)..end].iter().any(u8::is_ascii_digit) && put == "0" { "" } else { put };
            bytes.splice(at..end, put.bytes());
        }
        bytes
    })
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn any_bytes_give_diagnostics_or_an_answer(bytes in vec(any::<u8>(), 0..200), text in ".{0,60}") {
        survive(&bytes);
        survive(text.as_bytes());
        survive(format!("{{\"layers\": {text}}}").as_bytes());
    }

    #[test]
    fn any_expression_gives_an_error_or_a_value(any in ".{0,60}", soup in expression_soup()) {
        survive_expression(&any);
        survive_expression(&soup);
        let layer = json!({ "name": "a", "class": "Linear", "parameters": { "in_features": soup, "out_features": 1 }, "when": any, "repeat": soup });
        survive(json!({ "variables": { "h": 3 }, "layers": [layer] }).to_string().as_bytes());
    }

    #[test]
    fn json_of_the_right_words_gives_diagnostics_or_an_answer(layers in vec(layer_soup(), 1..4), any in model_soup(), key in prop::sample::select(vec!["variables", "workload", "blocks", "classes", "expect", "inputs"])) {
        let mut model = json!({ "variables": { "x": 3 }, "layers": layers });
        model[key] = any;
        survive(model.to_string().as_bytes());
    }

    #[test]
    fn model_files_with_mistakes_give_diagnostics_or_an_answer(bytes in mutated()) {
        survive(&bytes);
    }
}

// ------------------------------------------------------------------------------------------------------------ random models

/// A size, which may depend on indices, on the workload or on the variable `grow`.
#[derive(Debug, Clone)]
enum Size {
    Const(u64),
    /// The innermost index and a constant.
    Index(u64),
    /// All indices around and a constant.
    Indices(u64),
    /// One of two, by the parity of the innermost index.
    Parity(u64, u64),
    /// A constant times the batch size.
    Batch(u64),
    Grows(u64),
}

#[derive(Debug, Clone)]
enum Class {
    Linear { inputs: Size, outputs: Size, bias: bool },
    LayerNorm { features: Size },
    Embedding { rows: Size, width: Size },
    Attention { heads: Size, head_dim: Size, window: Option<u64> },
    Cache { heads: Size, head_dim: u64 },
    Add { features: Size },
    Gelu { features: Size },
}

#[derive(Debug, Clone)]
struct Tree {
    /// `None`: a group, unless it is a leaf.
    named: bool,
    repeat: Option<u64>,
    calls: u64,
    /// Exists where the innermost index is even.
    even_only: bool,
    body: Result<Class, Vec<Tree>>,
}

fn size() -> impl Strategy<Value = Size> {
    prop_oneof![
        3 => (1u64..9).prop_map(Size::Const),
        2 => (1u64..9).prop_map(Size::Index),
        1 => (1u64..9).prop_map(Size::Indices),
        2 => (1u64..5, 1u64..5).prop_map(|(a, b)| Size::Parity(a, b)),
        1 => (1u64..5).prop_map(Size::Batch),
        2 => (1u64..9).prop_map(Size::Grows),
    ]
}

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![
        (size(), size(), any::<bool>()).prop_map(|(inputs, outputs, bias)| Class::Linear { inputs, outputs, bias }),
        size().prop_map(|features| Class::LayerNorm { features }),
        (size(), size()).prop_map(|(rows, width)| Class::Embedding { rows, width }),
        (size(), size(), prop::option::of(1u64..6)).prop_map(|(heads, head_dim, window)| Class::Attention {
            heads,
            head_dim,
            window
        }),
        (size(), 1u64..5).prop_map(|(heads, head_dim)| Class::Cache { heads, head_dim }),
        size().prop_map(|features| Class::Add { features }),
        size().prop_map(|features| Class::Gelu { features }),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    let repeat = || prop_oneof![3 => Just(None), 2 => (0u64..8).prop_map(Some)];
    let calls = || prop_oneof![3 => Just(1u64), 1 => 0u64..4];
    let even = || prop::bool::weighted(0.15);
    let leaf = (repeat(), calls(), even(), class()).prop_map(|(repeat, calls, even_only, class)| Tree {
        named: true,
        repeat,
        calls,
        even_only,
        body: Ok(class),
    });
    leaf.prop_recursive(4, 14, 4, move |inner| {
        (any::<bool>(), repeat(), calls(), even(), vec(inner, 1..4)).prop_map(|(named, repeat, calls, even_only, children)| {
            // The children of a repeated group would have their names in common.
            Tree { named: named || repeat.is_some(), repeat, calls, even_only, body: Err(children) }
        })
    })
}

/// Layers, each with a name of its own: `n3` is the fourth of the file, its index `i3`.
fn model(trees: &[Tree]) -> Json {
    let mut next = 0;
    let layers: Vec<Json> = trees.iter().map(|tree| layer(tree, &mut next, &mut Vec::new())).collect();
    json!({ "name": "random", "variables": { "grow": 0 }, "layers": layers })
}

fn layer(tree: &Tree, next: &mut usize, indices: &mut Vec<String>) -> Json {
    let id = *next;
    *next += 1;
    let mut layer = serde_json::Map::new();
    if tree.named {
        layer.insert("name".into(), json!(format!("n{id}")));
    }
    if let Some(count) = tree.repeat {
        layer.insert("repeat".into(), json!(count));
        layer.insert("index".into(), json!(format!("i{id}")));
        indices.push(format!("<i{id}>"));
    }
    if tree.calls != 1 {
        layer.insert("calls".into(), json!(tree.calls));
    }
    if let (true, Some(index)) = (tree.even_only, indices.last()) {
        layer.insert("when".into(), json!(format!("{index} % 2 == 0")));
    }
    match &tree.body {
        Ok(class) => {
            let (name, parameters) = class_json(class, indices);
            layer.insert("class".into(), json!(name));
            layer.insert("parameters".into(), parameters);
        }
        Err(children) => {
            let children: Vec<Json> = children.iter().map(|child| self::layer(child, next, indices)).collect();
            layer.insert("sub_layers".into(), json!(children));
        }
    }
    if tree.repeat.is_some() {
        indices.pop();
    }
    Json::Object(layer)
}

fn size_json(size: &Size, indices: &[String]) -> Json {
    let last = indices.last().map_or("0", String::as_str);
    match size {
        Size::Const(n) => json!(n),
        Size::Index(_) | Size::Indices(_) | Size::Parity(..) if indices.is_empty() => match size {
            Size::Index(n) | Size::Indices(n) | Size::Parity(n, _) => json!(n),
            _ => unreachable!(),
        },
        Size::Index(n) => json!(format!("{n} + {last}")),
        Size::Indices(n) => json!(format!("{n} + {}", indices.join(" + "))),
        Size::Parity(even, odd) => json!(format!("if({last} % 2 == 0, {even}, {odd})")),
        Size::Batch(n) => json!(format!("{n} * <batch_size>")),
        Size::Grows(n) => json!(format!("{n} + <grow>")),
    }
}

fn class_json(class: &Class, indices: &[String]) -> (&'static str, Json) {
    let s = |size: &Size| size_json(size, indices);
    match class {
        Class::Linear { inputs, outputs, bias } => {
            ("Linear", json!({ "in_features": s(inputs), "out_features": s(outputs), "bias": bias }))
        }
        Class::LayerNorm { features } => ("LayerNorm", json!({ "normalized_shape": s(features) })),
        Class::Embedding { rows, width } => ("Embedding", json!({ "num_embeddings": s(rows), "embedding_dim": s(width) })),
        Class::Attention { heads, head_dim, window } => {
            ("sdpa", json!({ "num_heads": s(heads), "head_dim": s(head_dim), "window": window }))
        }
        Class::Cache { heads, head_dim } => ("kv_cache", json!({ "num_kv_heads": s(heads), "head_dim": head_dim })),
        Class::Add { features } => ("add", json!({ "features": s(features) })),
        Class::Gelu { features } => ("GELU", json!({ "features": s(features) })),
    }
}

/// What a random model is asked to do.
#[derive(Debug, Clone, Copy)]
struct Work {
    phase: Phase,
    batch: u64,
    seq: u64,
    past: u64,
    masked: bool,
    grow: u64,
}

fn work() -> impl Strategy<Value = Work> {
    let phase = prop::sample::select(vec![Phase::Prefill, Phase::Decode, Phase::Train]);
    (phase, 1u64..5, 1u64..9, 0u64..9, any::<bool>(), 0u64..3).prop_map(|(phase, batch, seq, past, masked, grow)| {
        let past = if phase == Phase::Train { 0 } else { past };
        Work { phase, batch, seq, past, masked, grow }
    })
}

impl Work {
    fn request(self) -> Workload {
        Workload {
            phase: Some(self.phase),
            batch_size: Some(self.batch),
            seq_len: Some(self.seq),
            past_len: Some(self.past),
            attention: Some(if self.masked { Attention::Masked } else { Attention::Dense }),
            settings: vec![("grow".into(), Value::count(self.grow))],
            ..Workload::default()
        }
    }
}

/// A layer of the list as this test expands it.
#[derive(Debug, PartialEq)]
struct Expected {
    path: String,
    params: u128,
    /// Of all calls.
    matmul_flops: u128,
}

/// The written-out list, made without the compiler.
fn expand(trees: &[Tree], work: Work) -> Vec<Expected> {
    let mut out = Vec::new();
    let mut next = 0;
    for tree in trees {
        expand_tree(tree, &mut next, "", &[], 1, work, &mut out);
    }
    out
}

fn expand_tree(tree: &Tree, next: &mut usize, around: &str, indices: &[u64], calls: u64, work: Work, out: &mut Vec<Expected>) {
    let id = *next;
    let mut after = id;
    for index in 0..tree.repeat.unwrap_or(1).max(1) {
        *next = id + 1;
        let mut path = around.to_owned();
        if tree.named {
            path = format!("{path}{}n{id}", if path.is_empty() { "" } else { "." });
        }
        let mut indices = indices.to_vec();
        if tree.repeat.is_some() {
            path = format!("{path}.{index}");
            indices.push(index);
        }
        // Ids are given to all, those that don't exist too.
        let exists = tree.repeat != Some(0) && !(tree.even_only && indices.last().is_some_and(|i| i % 2 == 1));
        let calls = calls * tree.calls;
        let mut gone = Vec::new();
        let out = if exists { &mut *out } else { &mut gone };
        match &tree.body {
            Ok(class) => out.push(cost(class, path, &indices, calls, work)),
            Err(children) => children.iter().for_each(|child| expand_tree(child, next, &path, &indices, calls, work, out)),
        }
        after = *next;
    }
    *next = after;
}

fn cost(class: &Class, path: String, indices: &[u64], calls: u64, work: Work) -> Expected {
    let size = |size: &Size| {
        u128::from(match size {
            Size::Const(n) => *n,
            Size::Index(n) => n + indices.last().copied().unwrap_or(0),
            Size::Indices(n) => n + indices.iter().sum::<u64>(),
            Size::Parity(even, odd) => *if indices.last().is_none_or(|i| i % 2 == 0) { even } else { odd },
            Size::Batch(n) => n * work.batch,
            Size::Grows(n) => n + work.grow,
        })
    };
    let tokens = u128::from(work.batch * work.seq);
    let (params, matmul) = match class {
        Class::Linear { inputs, outputs, bias } => {
            let (i, o) = (size(inputs), size(outputs));
            (i * o + if *bias { o } else { 0 }, 2 * tokens * i * o)
        }
        Class::LayerNorm { features } => (2 * size(features), 0),
        Class::Embedding { rows, width } => (size(rows) * size(width), 0),
        Class::Attention { heads, head_dim, window } => {
            (0, 4 * u128::from(work.batch) * size(heads) * size(head_dim) * pairs(*window, work))
        }
        Class::Cache { .. } | Class::Add { .. } | Class::Gelu { .. } => (0, 0),
    };
    Expected { path, params, matmul_flops: matmul * u128::from(calls) }
}

/// Query and key pairs, counted one by one.
fn pairs(window: Option<u64>, work: Work) -> u128 {
    let window = window.unwrap_or(u64::MAX);
    // What a cache with a window still has of the past.
    let cached = work.past.min(window - 1);
    let visible = |query: u64, key: u64| !work.masked || (key <= query && query - key < window);
    let keys = || work.past - cached..work.past + work.seq;
    (work.past..work.past + work.seq).map(|query| keys().filter(|key| visible(query, *key)).count() as u128).sum()
}

fn rows_summed(compiled: &Compiled) -> Cost {
    let one = |sum: Cost, row: usize| {
        let row = &compiled.report.rows[row];
        sum.plus(&row.cost.times(1, row.calls).unwrap()).unwrap()
    };
    compiled.flat.instances().fold(Cost::default(), |sum, instance| one(sum, instance.row.0 as usize))
}

fn figures(report: &CostReport) -> (Cost, u128, u128) {
    (report.totals, report.layers, report.modules)
}

/// The child lists of a forest: the forest itself, and those of its composites, in order.
#[expect(clippy::ptr_arg, reason = "passed as a function over lists, which are vectors")]
fn lists(trees: &mut Vec<Tree>) -> usize {
    1 + trees.iter_mut().map(|tree| tree.body.as_mut().err().map_or(0, lists)).sum::<usize>()
}

fn nth_list(trees: &mut Vec<Tree>, n: &mut usize, change: &mut dyn FnMut(&mut Vec<Tree>)) {
    if *n == 0 {
        change(trees);
    }
    *n = n.wrapping_sub(1);
    trees.iter_mut().filter_map(|tree| tree.body.as_mut().err()).for_each(|children| nth_list(children, n, change));
}

/// Replaces repeats by copies, the index a variable of each.
fn written_out(layers: &[Json]) -> Vec<Json> {
    let mut out = Vec::new();
    for layer in layers {
        let mut layer = layer.as_object().unwrap().clone();
        if let Some(children) = layer.get("sub_layers") {
            let children = written_out(children.as_array().unwrap());
            layer.insert("sub_layers".into(), json!(children));
        }
        let (Some(count), Some(index)) = (layer.remove("repeat"), layer.remove("index")) else {
            out.push(Json::Object(layer));
            continue;
        };
        for i in 0..count.as_u64().unwrap() {
            let mut copy = layer.clone();
            copy.insert("name".into(), json!(format!("{}_{i}", layer["name"].as_str().unwrap())));
            copy.insert("variables".into(), json!({ index.as_str().unwrap(): i }));
            out.push(Json::Object(copy));
        }
    }
    out
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn the_list_is_what_the_test_expands_and_totals_are_its_sum(trees in vec(tree(), 1..4), work in work()) {
        let compiled = must_compile(&model(&trees), &work.request());
        let expected = expand(&trees, work);
        let found: Vec<Expected> = compiled.flat.instances().map(|instance| {
            let row = &compiled.report.rows[instance.row.0 as usize];
            let (params, matmul) = (row.cost.params().0, row.cost.matmul_flops().0 * row.calls);
            Expected { path: instance.path, params, matmul_flops: matmul }
        }).collect();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(compiled.report.totals, rows_summed(&compiled));
        prop_assert_eq!(compiled.report.layers, expected.len() as u128);
        prop_assert_eq!(compiled.report.totals.params().0, expected.iter().map(|e| e.params).sum::<u128>());
        prop_assert_eq!(compiled.report.totals.matmul_flops().0, expected.iter().map(|e| e.matmul_flops).sum::<u128>());
    }

    #[test]
    fn a_wrapper_changes_nothing(trees in vec(tree(), 1..4), work in work(), list in any::<prop::sample::Index>(), from in any::<prop::sample::Index>(), repeated in any::<bool>()) {
        let plain = must_compile(&model(&trees), &work.request());
        let mut wrapped = trees;
        let mut n = list.index(lists(&mut wrapped));
        nth_list(&mut wrapped, &mut n, &mut |children| {
            let inner = children.split_off(from.index(children.len()));
            // The innermost index would be the wrapper's.
            let uses_index = format!("{inner:?}").contains("Ind") || format!("{inner:?}").contains("Parity") || format!("{inner:?}").contains("even_only: true");
            let repeat = (repeated && !uses_index).then_some(1);
            children.push(Tree { named: repeat.is_some(), repeat, calls: 1, even_only: false, body: Err(inner) });
        });
        let wrapped = must_compile(&model(&wrapped), &work.request());
        prop_assert_eq!(figures(&plain.report), figures(&wrapped.report));
        prop_assert_eq!((plain.flow.saved_bytes, plain.flow.cache_storage), (wrapped.flow.saved_bytes, wrapped.flow.cache_storage));
    }

    #[test]
    fn repeats_written_out_by_hand_are_the_same(trees in vec(tree(), 1..4), work in work()) {
        let folded = model(&trees);
        let mut copies = folded.clone();
        copies["layers"] = json!(written_out(folded["layers"].as_array().unwrap()));
        let (folded, copies) = (must_compile(&folded, &work.request()), must_compile(&copies, &work.request()));
        prop_assert_eq!(figures(&folded.report), figures(&copies.report));
        prop_assert!(folded.flat.rows.len() <= copies.flat.rows.len());
        prop_assert_eq!(memory(&folded), memory(&copies));
    }

    #[test]
    fn more_work_costs_no_less(trees in vec(tree(), 1..4), work in work(), more in (0u64..3, 0u64..3, 0u64..3, 0u64..3)) {
        let model = model(&trees);
        let past = if work.phase == Phase::Train { 0 } else { work.past + more.2 };
        let larger = Work { batch: work.batch + more.0, seq: work.seq + more.1, past, grow: work.grow + more.3, ..work };
        let (small, large) = (must_compile(&model, &work.request()), must_compile(&model, &larger.request()));
        for info in QUANTITIES {
            let (a, b) = (small.report.totals.get(info.quantity), large.report.totals.get(info.quantity));
            prop_assert!(a <= b, "{}: {} at {:?}, {} at {:?}", info.name, a, work, b, larger);
        }
    }
}

// -------------------------------------------------------------------------------------------------------------- expressions

/// An expression that this test evaluates by itself.
#[derive(Debug, Clone)]
enum Node {
    Number(i64),
    Variable(usize),
    Neg(Box<Node>),
    Binary(&'static str, Box<Node>, Box<Node>),
    /// To a small power.
    Power(Box<Node>, u32),
    If(Box<Test>, Box<Node>, Box<Node>),
    Call(&'static str, Vec<Node>),
}

#[derive(Debug, Clone)]
enum Test {
    Compare(&'static str, Node, Node),
    Not(Box<Test>),
    Both(&'static str, Box<Test>, Box<Test>),
}

/// `a / b`, not reduced.
type Fraction = (i128, i128);

const NAMES: [&str; 3] = ["x", "y", "z"];

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![(0i64..12).prop_map(Node::Number), (0usize..3).prop_map(Node::Variable)];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let pair = || (inner.clone(), inner.clone());
        let comparison = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
        let compare = || (comparison(), inner.clone(), inner.clone()).prop_map(|(op, a, b)| Test::Compare(op, a, b));
        let test = prop_oneof![
            compare(),
            compare().prop_map(|t| Test::Not(Box::new(t))),
            (prop::sample::select(vec!["&&", "||"]), compare(), compare()).prop_map(|(op, a, b)| Test::Both(op, Box::new(a), Box::new(b))),
        ];
        prop_oneof![
            6 => (prop::sample::select(vec!["+", "-", "*", "/", "%"]), pair()).prop_map(|(op, (a, b))| Node::Binary(op, Box::new(a), Box::new(b))),
            1 => inner.clone().prop_map(|a| Node::Neg(Box::new(a))),
            2 => (inner.clone(), 0u32..4).prop_map(|(a, n)| Node::Power(Box::new(a), n)),
            1 => (test, pair()).prop_map(|(t, (a, b))| Node::If(Box::new(t), Box::new(a), Box::new(b))),
            1 => (prop::sample::select(vec!["min", "max"]), vec(inner.clone(), 1..4)).prop_map(|(f, args)| Node::Call(f, args)),
            1 => (prop::sample::select(vec!["floor", "ceil", "abs"]), inner).prop_map(|(f, arg)| Node::Call(f, vec![arg])),
        ]
    })
}

impl Node {
    /// How tightly it binds: signs less than powers, more than products.
    fn strength(&self) -> u8 {
        match self {
            Node::Binary("+" | "-", ..) => 1,
            Node::Binary(..) => 2,
            Node::Neg(_) => 3,
            Node::Power(..) => 4,
            _ => 5,
        }
    }

    fn text(&self, out: &mut String) {
        match self {
            Node::Number(n) => out.push_str(&n.to_string()),
            Node::Variable(i) => out.push_str(&format!("<{}>", NAMES[*i])),
            Node::Neg(a) => {
                out.push('-');
                a.at_least(3, out);
            }
            Node::Binary(op, a, b) => {
                a.at_least(self.strength(), out);
                out.push_str(&format!(" {op} "));
                b.at_least(self.strength() + 1, out);
            }
            Node::Power(a, n) => {
                a.at_least(5, out);
                out.push_str(&format!("^{n}"));
            }
            Node::If(test, a, b) => {
                out.push_str("if(");
                test.text(out);
                out.push_str(", ");
                a.text(out);
                out.push_str(", ");
                b.text(out);
                out.push(')');
            }
            Node::Call(name, args) => {
                out.push_str(name);
                out.push('(');
                for (i, arg) in args.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    arg.text(out);
                }
                out.push(')');
            }
        }
    }

    /// In parentheses, if it binds less tightly than this.
    fn at_least(&self, strength: u8, out: &mut String) {
        let parentheses = self.strength() < strength;
        out.push_str(if parentheses { "(" } else { "" });
        self.text(out);
        out.push_str(if parentheses { ")" } else { "" });
    }

    /// `Err` for a division by zero, and beyond 128 bits (second).
    fn value(&self, variables: &[i64; 3]) -> Result<Fraction, bool> {
        let wide = |n: Option<i128>| n.ok_or(true);
        match self {
            Node::Number(n) => Ok((i128::from(*n), 1)),
            Node::Variable(i) => Ok((i128::from(variables[*i]), 1)),
            Node::Neg(a) => a.value(variables).map(|(n, d)| (-n, d)),
            Node::Binary(op, a, b) => {
                let ((a, b), (c, d)) = (a.value(variables)?, b.value(variables)?);
                if matches!(*op, "/" | "%") && c == 0 {
                    return Err(false);
                }
                let times = |x: i128, y: i128| wide(x.checked_mul(y));
                let (n, m) = match *op {
                    "+" => (wide(times(a, d)?.checked_add(times(c, b)?))?, times(b, d)?),
                    "-" => (wide(times(a, d)?.checked_sub(times(c, b)?))?, times(b, d)?),
                    "*" => (times(a, c)?, times(b, d)?),
                    "/" => (times(a, d)?, times(b, c)?),
                    // a / b and c / d over one denominator, then Python's remainder.
                    _ => (floored_remainder(times(a, d)?, times(c, b)?), times(b, d)?),
                };
                Ok(if m < 0 { (-n, -m) } else { (n, m) })
            }
            Node::Power(a, n) => {
                let (a, b) = a.value(variables)?;
                Ok((wide(a.checked_pow(*n))?, wide(b.checked_pow(*n))?))
            }
            Node::If(test, a, b) => if test.holds(variables)? { a } else { b }.value(variables),
            Node::Call("floor", args) => args[0].value(variables).map(|(n, d)| (n.div_euclid(d), 1)),
            Node::Call("ceil", args) => args[0].value(variables).map(|(n, d)| (-(-n).div_euclid(d), 1)),
            Node::Call("abs", args) => args[0].value(variables).map(|(n, d)| (n.abs(), d)),
            Node::Call(name, args) => {
                let mut best = args[0].value(variables)?;
                for arg in &args[1..] {
                    let next = arg.value(variables)?;
                    let less = compare(next, best)?.is_lt();
                    if less == (*name == "min") {
                        best = next;
                    }
                }
                Ok(best)
            }
        }
    }
}

fn floored_remainder(a: i128, b: i128) -> i128 {
    let r = a % b;
    if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
}

fn compare((a, b): Fraction, (c, d): Fraction) -> Result<std::cmp::Ordering, bool> {
    Ok(a.checked_mul(d).ok_or(true)?.cmp(&c.checked_mul(b).ok_or(true)?))
}

impl Test {
    fn text(&self, out: &mut String) {
        match self {
            Test::Compare(op, a, b) => {
                a.at_least(1, out);
                out.push_str(&format!(" {op} "));
                b.at_least(1, out);
            }
            Test::Not(inner) => {
                out.push_str("!(");
                inner.text(out);
                out.push(')');
            }
            Test::Both(op, a, b) => {
                a.text(out);
                out.push_str(&format!(" {op} "));
                b.text(out);
            }
        }
    }

    fn holds(&self, variables: &[i64; 3]) -> Result<bool, bool> {
        match self {
            Test::Compare(op, a, b) => {
                let order = compare(a.value(variables)?, b.value(variables)?)?;
                Ok(match *op {
                    "==" => order.is_eq(),
                    "!=" => order.is_ne(),
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
            Test::Not(inner) => inner.holds(variables).map(|b| !b),
            Test::Both("&&", a, b) => Ok(a.holds(variables)? && b.holds(variables)?),
            Test::Both(_, a, b) => Ok(a.holds(variables)? || b.holds(variables)?),
        }
    }
}

fn value(expr: &Expr<Name>, variables: &[i64; 3]) -> Option<Value> {
    let known: HashMap<&str, i64> = NAMES.into_iter().zip(*variables).collect();
    let env = |name: &Name| Ok(Value::Number(Exact::integer(i128::from(known[&*name.text]))));
    eval(expr, &env, 0).ok()
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn expressions_have_the_value_that_the_test_computes(node in node(), variables in [-9i64..20, -9i64..20, -9i64..20]) {
        let mut text = String::new();
        node.text(&mut text);
        let expr = parse(&text, Syntax::Template).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let expected = match node.value(&variables) {
            Ok((n, d)) => Exact::ratio(n, d).map(Value::Number),
            Err(false) => None,
            // The test doesn't reduce its fractions, so it may leave 128 bits earlier.
            Err(true) => return Ok(()),
        };
        prop_assert_eq!(value(&expr, &variables), expected, "{} at {:?}", text, variables);
    }

    #[test]
    fn a_rendered_expression_means_the_same(node in node(), variables in [-9i64..20, -9i64..20, -9i64..20]) {
        let mut text = String::new();
        node.text(&mut text);
        let expr = parse(&text, Syntax::Template).unwrap();
        let rendered = expr.render(&|name: &Name| format!("<{}>", name.text));
        let again = parse(&rendered, Syntax::Template);
        prop_assert!(again.is_ok(), "{} rendered as {}", text, rendered);
        prop_assert_eq!(value(&again.unwrap(), &variables), value(&expr, &variables), "{} rendered as {}", text, rendered);

        // With the values put in, as `explain` shows it.
        let values: HashMap<Arc<str>, String> = NAMES.into_iter().zip(variables).map(|(n, v)| (n.into(), v.to_string())).collect();
        let shown = expr.render(&|name: &Name| values[&name.text].clone());
        let again = parse(&shown, Syntax::Template);
        prop_assert!(again.is_ok(), "{} shown as {}", text, shown);
        prop_assert_eq!(value(&again.unwrap(), &variables), value(&expr, &variables), "{} shown as {}", text, shown);
    }
}
