//! FLOPs as tools and papers count them, against the tools' own figures (tests/reference/conventions.json) and the papers' formulas.

use std::sync::Arc;

use layerspec::analyses::{Counted, lines};
use layerspec::reports::{FORMATS, Options};
use layerspec::{Convention, Evaluation, Execution, Kernel, Phase, Settings, Workload};
use serde_json::Value as Json;

use crate::support::{SESSION, evaluate, workload};

fn convention(name: &str) -> Arc<Convention> {
    SESSION.catalog().convention(name).unwrap()
}

fn counted(at: &Evaluation, name: &str) -> Counted {
    at.counted(&convention(name)).unwrap()
}

fn embedded(model: &str, kernel: Kernel, workload: &Workload) -> Evaluation {
    let execution = Execution { kernel, ..Execution::default() };
    SESSION
        .load(model)
        .and_then(|model| model.lowered(&execution))
        .and_then(|lowered| lowered.at(workload))
        .into_result()
        .unwrap()
}

/// What each tool printed of Llama-2-7B at 1 x 2048.
#[test]
fn llama_2_7b_as_each_tool_counts_it() {
    let fused = embedded("llama-2-7b-hf", Kernel::Flash, &Workload::prefill(1, 2048));
    for (name, flops) in [
        ("torch", 29_261_612_187_648),
        ("fvcore", 13_531_294_466_048),
        ("deepspeed", 29_262_333_607_936),
        ("calflops", 27_063_310_352_384),
        ("ptflops", 13_532_015_886_336),
    ] {
        assert_eq!(counted(&fused, name).total.forward, flops, "{name}");
    }
    let eager = embedded("llama-2-7b-hf", Kernel::Eager, &Workload::prefill(1, 2048));
    assert_eq!(counted(&eager, "deepspeed").total.forward, 29_266_628_575_232);
}

/// A model between 2^127 and 2^128 FLOPs: its table has every digit, and conventions, whose terms have signs, refuse it.
#[test]
fn counts_that_leave_127_bits_are_exact_or_refused() {
    const VAST: &str = r#"{ "layers": [{ "name": "a", "class": "torch.nn.Linear", "repeat": 1000000000,
        "parameters": { "in_features": 120000000000000, "out_features": 120000000000000, "bias": false } }] }"#;
    let at = |asked: Workload| evaluate(&SESSION, "vast.json", VAST, &(asked, Execution::default())).into_result().unwrap();
    let torch = convention("torch");
    let refused = |at: &Evaluation| at.counted(&torch).unwrap_err().message == "what `torch` counts is beyond 2^127 - 1";
    // 2 x 9 tokens x 1.2e14^2 x 1e9.
    let forward = at(Workload::prefill(1, 9));
    let mut table = Vec::new();
    let table_of = FORMATS.iter().find(|format| format.name == "table").unwrap();
    (table_of.render)(&forward, &Options { exact: true, ..Options::default() }, &mut table).unwrap();
    let every_digit = "  259,200,000,000,000,000,000,000,000,000,000,000,000\n";
    assert_eq!(String::from_utf8(table).unwrap().matches(every_digit).count(), 2);
    assert!(refused(&forward));
    // Each pass is within 127 bits, both together aren't.
    assert!(refused(&at(Workload::train(1, 2))));
    let both = counted(&at(Workload::train(1, 1)), "torch");
    assert_eq!((both.total.forward, both.flops), (28_800 * 10i128.pow(33), 86_400 * 10i128.pow(33)));
}

/// Small models of 35 architectures. Where a tool counts otherwise than its convention says, the file says why.
#[test]
fn small_models_are_counted_as_the_tools_did() {
    let facts: Json = serde_json::from_str(include_str!("../reference/conventions.json")).unwrap();
    let (mut met, mut others) = (0, 0);
    for model in facts["models"].as_array().unwrap() {
        let name = model["name"].as_str().unwrap();
        let mut differed: Vec<&str> = Vec::new();
        for point in model["points"].as_array().unwrap() {
            let mut asked = serde_json::json!({ "cache": "off", "kernel": point["kernel"], "batch_size": point["batch_size"] });
            if let Some(length) = point.get("seq_len") {
                asked["seq_len"] = length.clone();
                model.get("lengths").into_iter().for_each(|key| asked[key.as_str().unwrap()] = length.clone());
            }
            for (key, value) in model.get("set").and_then(Json::as_object).into_iter().flatten() {
                asked[key] = value.clone();
            }
            let at = evaluate(&SESSION, name, model["config"].to_string(), &workload(&asked)).into_result().unwrap();
            for (tool, flops) in point["figures"].as_object().unwrap() {
                let found = counted(&at, tool).total.forward;
                if i128::from(flops.as_i64().unwrap()) == found {
                    met += 1;
                } else {
                    assert!(model["differ"].get(tool).is_some(), "{name}: {tool} counts {flops}, not {found}, at {asked}");
                    differed.push(tool);
                    others += 1;
                }
            }
        }
        let said = model.get("differ").and_then(Json::as_object).into_iter().flatten();
        said.for_each(|(tool, _)| assert!(differed.contains(&tool.as_str()), "{name}: {tool} differs no more"));
    }
    assert_eq!((met, others), (496, 32));
}

/// The papers' formulas, with the sizes of a model put in by hand.
#[test]
fn formulas_of_papers_are_met_to_the_last_flop() {
    let train = |model: &str, batch: u64, seq: u64| embedded(model, Kernel::Flash, &Workload::train(batch, seq));
    let both = |at: &Evaluation, name: &str| counted(at, name).total.both().unwrap();

    // PaLM: 6 N + 12 L H Q T a token.
    let (n, layers, heads, width, t) = (6_738_415_616_i128, 32, 32, 128, 1024);
    let llama = train("llama-2-7b-hf", 2, 1024);
    assert_eq!(both(&llama, "palm"), 2 * t * (6 * n + 12 * layers * heads * width * t));
    // The head of Qwen3-0.6B is the embedding: N has it once.
    let (n, layers, heads, width) = (596_049_920_i128, 28, 16, 128);
    assert_eq!(both(&train("qwen3-0.6b", 2, 1024), "palm"), 2 * t * (6 * n + 12 * layers * heads * width * t));

    // Megatron-LM: 12 B s l h^2 ((1 + groups / heads + s / 2h) + 3 / 2 * ffn / h + V / 2 l h), SwiGLU.
    let (s, l, h, ffn, v) = (1024_i128, 32, 4096, 11008, 32000);
    assert_eq!(both(&llama, "megatron"), 2 * s * (12 * l * h * h * 2 + 6 * l * h * s + 18 * l * h * ffn + 6 * h * v));

    // Narayanan et al.: 96 B s l h^2 (1 + s / 6h + V / 16 l h), four times the forward pass; the head three times.
    let (s, l, h, v) = (512_i128, 6, 768, 50257);
    let gpt = train("distilgpt2", 4, 512);
    assert_eq!(both(&gpt, "megatron-2021"), 4 * (96 * s * l * h * h + 16 * s * s * l * h + 6 * s * h * v));
}

/// Every model under every convention: rows and terms add up to the same total, and lines of several counts add up to their differences.
#[test]
fn rows_and_terms_add_up() {
    let conventions = SESSION.conventions::<&str>(&[]).unwrap();
    assert!(conventions.len() > 8 && conventions.first().unwrap().reference);
    for file in SESSION.catalog().models() {
        for (phase, kernel) in [(Phase::Prefill, Kernel::Eager), (Phase::Train, Kernel::Flash)] {
            let asked = Workload { phase: Some(phase), ..Workload::default() };
            let execution = Execution { kernel, ..Execution::default() };
            let lowered = SESSION.load(file.name).and_then(|model| model.lowered(&execution)).into_result().unwrap();
            // Some have no backward pass.
            let Ok(at) = lowered.at(&asked).into_result() else { continue };
            let counts: Vec<Counted> = conventions.iter().map(|convention| at.counted(convention).unwrap()).collect();
            for counted in &counts {
                let rows = at.rows().map(|row| counted.of(row.id(), row.repeats()));
                let all = rows.fold((0, 0), |(forward, backward), row| (forward + row.forward, backward + row.backward));
                assert_eq!(all, (counted.total.forward, counted.total.backward), "{}: {}", file.name, counted.convention.name);
            }
            let totals: Vec<i128> = counts.iter().map(|counted| counted.total.both().unwrap()).collect();
            let mut sums = vec![0; totals.len()];
            lines(&counts).iter().for_each(|line| sums.iter_mut().zip(&line.flops).for_each(|(sum, flops)| *sum += flops));
            assert_eq!(sums, totals, "{}", file.name);
            // PaLM's N is all parameters, also of what doesn't run at the workload.
            let palm = counts.iter().find(|counted| &*counted.convention.name == "palm").unwrap();
            let attention: i128 =
                palm.shares.iter().filter(|share| &*share.term == "attention").map(|share| share.flops.forward).sum();
            let tokens = u128::from(at.workload().batch_size) * u128::from(at.workload().seq_len);
            let active = at.totals().get(layerspec::Quantity::ActiveParams);
            assert_eq!(palm.total.forward - attention, i128::try_from(2 * active * tokens).unwrap(), "{}: palm", file.name);
            let own = i128::try_from(at.matmul_flops()).unwrap();
            assert_eq!(counts.first().unwrap().total.forward, own, "{}: `torch` is what rows have", file.name);
        }
    }
}

#[test]
fn attention_that_is_not_dense_is_refused() {
    let masked = Workload { attention: Some(layerspec::Attention::Masked), ..Workload::prefill(1, 64) };
    let at = embedded("llama-2-7b-hf", Kernel::Flash, &masked);
    let said = at.counted(&convention("torch")).unwrap_err();
    assert!(said.message.contains("which pairs of queries and keys count"), "{}", said.message);
}

/// A convention of one's own, right and wrong.
#[test]
fn a_convention_may_be_laid_over_the_catalog() {
    let text = |terms: &str| {
        format!(
            r#"{{ "name": "mine", "doc": "d", "source": "s", "checked": "not at all", "multiply_add": 2, "terms": [{terms}] }}"#
        )
    };
    let over = |terms: &str| layerspec::Catalog::overlaid([("conventions/mine.json", text(terms))]);
    let ok = r#"{ "term": "all", "doc": "d", "products": "matmul" }, { "term": "norms", "doc": "d", "roles": ["norm"], "flops": "vector + model_tokens" }"#;
    let session = layerspec::Session::over(over(ok).unwrap());
    let loaded = session.load_with("llama-2-7b-hf", &Settings::default().set("num_hidden_layers", 1u64));
    let lowered = loaded.and_then(|model| model.lowered(&Execution::default())).into_result().unwrap();
    let at = lowered.at(&Workload::prefill(1, 8)).into_result().unwrap();
    let mine = at.counted(&session.catalog().convention("MINE").unwrap()).unwrap();
    assert_eq!(mine.shares.len(), 2);
    let norms: u128 =
        at.rows().filter(|row| row.path().ends_with("norm")).map(|row| row.total().get(layerspec::Quantity::VectorFlops)).sum();
    let share = mine.shares.iter().find(|share| &*share.term == "norms").unwrap();
    assert_eq!(share.flops.forward, i128::try_from(norms).unwrap() + 3 * 8);

    for (terms, said) in [
        (r#"{ "term": "t", "doc": "d" }"#, "either `products` or `flops`"),
        (r#"{ "term": "t", "doc": "d", "flops": "1", "products": "2" }"#, "either `products` or `flops`"),
        (r#"{ "term": "t", "doc": "d", "flops": "matmull" }"#, "unknown name `matmull`"),
        (r#"{ "term": "t", "doc": "d", "flops": "1 +" }"#, "expected"),
        (r#"{ "term": "t", "doc": "d", "flops": 1 }"#, "a formula in a text"),
        (r#"{ "term": "t", "doc": "d", "roles": ["nrom"], "flops": "1" }"#, "unknown role `nrom`"),
        (r#"{ "term": "t", "doc": "d", "of": "all", "flops": "1" }"#, "unknown key `of`"),
    ] {
        let error = over(terms).unwrap_err();
        assert!(error.message.contains(said), "{terms}: {}", error.message);
    }
    let unknown = over(r#"{ "term": "t", "doc": "d", "classes": ["torch.nn.Liner"], "flops": "1" }"#).unwrap();
    let error = at.counted(&unknown.convention("mine").unwrap()).unwrap_err();
    assert!(error.message.contains("unknown class `torch.nn.Liner`") && error.help[0].contains("torch.nn.Linear"), "{error:?}");
    let named = layerspec::Catalog::overlaid([("conventions/mine.json", text("").replace("mine", "a,b"))]).unwrap_err();
    assert!(named.message.contains("joined by hyphens"), "{}", named.message);
    // A name before what another is called besides.
    let shadow = text(ok).replace("\"doc\": \"d\", \"source\"", "\"aliases\": [\"torch\"], \"doc\": \"d\", \"source\"");
    let shadow = layerspec::Catalog::overlaid([("conventions/mine.json", shadow)]).unwrap();
    assert_eq!(&*shadow.convention("torch").unwrap().name, "torch");
    // What only a layer can tell.
    for (formula, said) in [("1 / 2", "not an integer"), ("mask", "unknown variable `mask`"), ("1 / 0", "division by zero")] {
        let catalog =
            over(&format!(r#"{{ "term": "t", "doc": "d", "classes": ["torch.nn.Linear"], "flops": "{formula}" }}"#)).unwrap();
        let error = at.counted(&catalog.convention("mine").unwrap()).unwrap_err();
        assert!(error.message.contains(said), "{formula}: {}", error.message);
    }
    let odd = over(r#"{ "term": "t", "doc": "d", "products": "1" }"#).unwrap();
    let error = at.counted(&odd.convention("mine").unwrap()).unwrap_err();
    assert!(error.message.contains("odd count of FLOPs"), "{}", error.message);
}
