//! Folded figures equal the written-out list's, whatever the model.
//!
//! Random models are trees that this test can render as a model file and, by itself, expand and cost.

use std::sync::{Arc, LazyLock};

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{Evaluation, costs};
use crate::catalog::Catalog;
use crate::cost::workload::Workload;
use crate::flow;
use crate::language;
use crate::language::check::check;
use crate::lower::{Execution, lower};
use crate::quantity::workload::{Attention, Phase};
use crate::quantity::{Cost, QUANTITIES};
use crate::syntax::diag::{Diagnostics, Sources, render};
use crate::syntax::expr::Value;
use crate::syntax::json;
use crate::syntax::source::{Source, SourceId};

static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(|| Arc::new(Catalog::new()));

/// So many cases, times `PROPTEST_CASES` / 256 for a longer search. A failing input is printed; nothing is written beside the tests.
fn cases(n: u32) -> ProptestConfig {
    let base = ProptestConfig::default();
    ProptestConfig { cases: n * base.cases / 256, failure_persistence: None, ..base }
}

struct Shown<'a>(&'a Source);

impl Sources for Shown<'_> {
    fn source(&self, id: SourceId) -> Option<Source> {
        if id.is_model() { Some(self.0.clone()) } else { CATALOG.source(id) }
    }
}

fn must_evaluate(model: &Json, asked: &Workload) -> Evaluation {
    let text = serde_json::to_string_pretty(model).unwrap();
    let source = Source::load(SourceId::model(0), "random.json", text.as_bytes()).unwrap();
    let mut diagnostics = Diagnostics::default();
    // Random classes one after another don't fit together: what flows between them is another test's.
    let evaluation = evaluated(&source, asked, &mut diagnostics).filter(|_| !diagnostics.has_errors());
    let shown: String = diagnostics.sorted().into_iter().map(|d| render(d, &Shown(&source), false)).collect();
    evaluation.unwrap_or_else(|| panic!("{shown}\n{text}"))
}

fn evaluated(source: &Source, asked: &Workload, diagnostics: &mut Diagnostics) -> Option<Evaluation> {
    let document = json::read(source, diagnostics)?;
    let model = language::model(&document, &CATALOG, language::Wanted::default(), diagnostics)?;
    let checked = Arc::new(check(model, &CATALOG, asked.settings.clone(), diagnostics));
    let lowered = lower(source.clone(), &checked, Execution::default(), Diagnostics::default());
    diagnostics.extend(lowered.said.iter().cloned());
    let costs = costs(&lowered.flat, lowered.execution, asked, diagnostics);
    let flow = flow::run(&lowered.flat, &costs.bound, &costs.report, &mut Diagnostics::default());
    let (bound, report) = (costs.bound, costs.report);
    let super::Lowered { source, checked, flat, execution, said } = lowered;
    Some(Evaluation { source, checked, flat, execution, said, asked: asked.clone(), bound, report, flow })
}

/// Peak, caches, what is saved in all and by the rows.
fn memory(at: &Evaluation) -> (Option<u128>, u128, u128, u128) {
    let booked: u128 = at.rows().map(|row| row.saved_bytes()).sum();
    assert_eq!(booked, at.saved_bytes(), "what is saved is the sum of the rows");
    (at.peak().map(|peak| peak.bytes), at.cache_storage(), at.saved_bytes(), booked)
}

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
    fn asked(self) -> Workload {
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

fn instances_summed(at: &Evaluation) -> Cost {
    at.instances().fold(Cost::default(), |sum, instance| sum.plus(&instance.total().unwrap()).unwrap())
}

fn figures(at: &Evaluation) -> (Cost, u128, u128) {
    (*at.totals(), at.layers(), at.modules())
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
        let at = must_evaluate(&model(&trees), &work.asked());
        let expected = expand(&trees, work);
        let found: Vec<Expected> = at.instances().map(|instance| {
            let (params, matmul) = (instance.row.cost().params().0, instance.row.cost().matmul_flops().0 * instance.row.calls());
            Expected { path: instance.path, params, matmul_flops: matmul }
        }).collect();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(*at.totals(), instances_summed(&at));
        prop_assert_eq!(at.layers(), expected.len() as u128);
        prop_assert_eq!(at.params(), expected.iter().map(|e| e.params).sum::<u128>());
        prop_assert_eq!(at.matmul_flops(), expected.iter().map(|e| e.matmul_flops).sum::<u128>());
    }

    #[test]
    fn a_wrapper_changes_nothing(trees in vec(tree(), 1..4), work in work(), list in any::<prop::sample::Index>(), from in any::<prop::sample::Index>(), repeated in any::<bool>()) {
        let plain = must_evaluate(&model(&trees), &work.asked());
        let mut wrapped = trees;
        let mut n = list.index(lists(&mut wrapped));
        nth_list(&mut wrapped, &mut n, &mut |children| {
            let inner = children.split_off(from.index(children.len()));
            // The innermost index would be the wrapper's.
            let uses_index = format!("{inner:?}").contains("Ind") || format!("{inner:?}").contains("Parity") || format!("{inner:?}").contains("even_only: true");
            let repeat = (repeated && !uses_index).then_some(1);
            children.push(Tree { named: repeat.is_some(), repeat, calls: 1, even_only: false, body: Err(inner) });
        });
        let wrapped = must_evaluate(&model(&wrapped), &work.asked());
        prop_assert_eq!(figures(&plain), figures(&wrapped));
        prop_assert_eq!((plain.saved_bytes(), plain.cache_storage()), (wrapped.saved_bytes(), wrapped.cache_storage()));
    }

    #[test]
    fn repeats_written_out_by_hand_are_the_same(trees in vec(tree(), 1..4), work in work()) {
        let folded = model(&trees);
        let mut copies = folded.clone();
        copies["layers"] = json!(written_out(folded["layers"].as_array().unwrap()));
        let (folded, copies) = (must_evaluate(&folded, &work.asked()), must_evaluate(&copies, &work.asked()));
        prop_assert_eq!(figures(&folded), figures(&copies));
        prop_assert!(folded.rows().count() <= copies.rows().count());
        prop_assert_eq!(memory(&folded), memory(&copies));
    }

    #[test]
    fn more_work_costs_no_less(trees in vec(tree(), 1..4), work in work(), more in (0u64..3, 0u64..3, 0u64..3, 0u64..3)) {
        let model = model(&trees);
        let past = if work.phase == Phase::Train { 0 } else { work.past + more.2 };
        let larger = Work { batch: work.batch + more.0, seq: work.seq + more.1, past, grow: work.grow + more.3, ..work };
        let (small, large) = (must_evaluate(&model, &work.asked()), must_evaluate(&model, &larger.asked()));
        for info in QUANTITIES {
            let (a, b) = (small.total(info.quantity), large.total(info.quantity));
            prop_assert!(a <= b, "{}: {} at {:?}, {} at {:?}", info.name, a, work, b, larger);
        }
    }
}
