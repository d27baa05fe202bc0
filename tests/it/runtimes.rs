//! What engines make of models.

use std::collections::HashSet;

use layerspec::diagnostics::{Code, Diagnostic};
use layerspec::{Catalog, Evaluation, Execution, Kernel, Lowered, Phase, Quantity, RunOptions, Session, Workload};

use crate::support::SESSION;

/// The engine of docs/runtimes.md.
const TINY: &str = include_str!("../../docs/examples/engine/runtimes/tiny.json");

fn asked(runtime: &str, workload: &Workload) -> (Workload, Execution) {
    let options = RunOptions { runtime: Some(runtime.into()), ..RunOptions::default() };
    let mut workload = workload.clone();
    let (execution, remark) = options.execution(&mut workload, SESSION.catalog()).unwrap();
    assert!(remark.is_none());
    (workload, execution)
}

fn lowered(model: &layerspec::Model, execution: Execution) -> Lowered {
    model.lowered(&execution).into_result().unwrap_or_else(|failure| panic!("{failure}"))
}

fn at(lowered: &Lowered, workload: &Workload) -> Evaluation {
    try_at(lowered, workload).unwrap_or_else(|failure| panic!("{failure}"))
}

fn try_at(lowered: &Lowered, workload: &Workload) -> Result<Evaluation, String> {
    lowered.sketch(workload).into_result().map_err(|failure| failure.to_string())
}

fn moved(at: &Evaluation) -> u128 {
    use Quantity::{ActivationsRead, ActivationsWritten, CacheRead, CacheWritten, WeightsRead};
    [WeightsRead, ActivationsRead, ActivationsWritten, CacheRead, CacheWritten]
        .map(|quantity| at.totals().get(quantity))
        .iter()
        .sum()
}

/// Parameters and their bytes never change, FLOPs are those of the same mathematics run eagerly, no shape is another, and nobody moves less than `ideal`.
#[test]
fn what_runs_as_one_is_what_it_stands_for() {
    let mut wrong = Vec::new();
    for file in SESSION.catalog().models() {
        let model = SESSION.load(file.name).into_result().unwrap();
        for workload in [Workload::prefill(2, 96), Workload::decode(3, 130)] {
            let mut least = None;
            for runtime in ["ideal", "vllm", "llama.cpp"] {
                let (workload, execution) = asked(runtime, &workload);
                let own = match try_at(&lowered(&model, execution), &workload) {
                    Ok(own) => own,
                    Err(why) => {
                        wrong.push(format!("{} {runtime}: {why}", file.name));
                        continue;
                    }
                };
                let eager = at(&lowered(&model, Execution { runtime: None, ..execution }), &workload);
                let plain = at(&lowered(&model, Execution::default()), &workload);
                let place = || format!("{} {} {}", file.name, runtime, own.workload().phase.word());
                for quantity in [Quantity::Params, Quantity::WeightBytes, Quantity::ActiveParams] {
                    let (a, b) = (own.totals().get(quantity), plain.totals().get(quantity));
                    if a != b {
                        wrong.push(format!("{}: {} {a}, eager {b}", place(), quantity.name()));
                    }
                }
                for quantity in [
                    Quantity::MatmulFlops,
                    Quantity::VectorFlops,
                    Quantity::Transcendentals,
                    Quantity::CacheBytes,
                    Quantity::WeightsRead,
                    Quantity::CacheRead,
                ] {
                    let (a, b) = (own.totals().get(quantity), eager.totals().get(quantity));
                    if a != b {
                        wrong.push(format!("{}: {} {a}, eager {b}", place(), quantity.name()));
                    }
                }
                let bytes = moved(&own);
                match least {
                    None => least = Some(bytes),
                    Some(least) if least > bytes => wrong.push(format!("{}: moves {bytes}, ideal {least}", place())),
                    Some(_) => {}
                }
                if bytes > moved(&eager) {
                    wrong.push(format!("{}: moves {bytes}, eager {}", place(), moved(&eager)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// DeepSeek-V3 at 32 x 4,096. Of the rest all products but the up-projection of the latents, which eager runs over the whole cache; attention of 128
/// heads over latents of 576 and 512; the up-projection applied to queries and results.
#[test]
fn deepseek_v3_decodes_over_latents() {
    let model = SESSION.load("deepseek-v3").into_result().unwrap();
    let workload = Workload::decode(32, 4095);
    let eager = at(&lowered(&model, Execution::default()), &workload);
    assert_eq!(eager.totals().get(Quantity::MatmulFlops), 271_214_295_646_208);
    let (workload, execution) = asked("vllm", &workload);
    let own = at(&lowered(&model, execution), &workload);
    let (layers, rows, heads) = (61u128, 32u128, 128u128);
    let attention = layers * rows * heads * 4096 * 2 * (576 + 512);
    let absorbed = layers * rows * heads * 2 * (128 * 512 + 512 * 128);
    let up = layers * rows * 4096 * 2 * 512 * heads * (128 + 128);
    let over_heads = layers * rows * heads * 4096 * 2 * (192 + 128);
    let rest = 271_214_295_646_208 - up - over_heads;
    assert_eq!((attention, absorbed, rest), (2_226_940_542_976, 65_498_251_264, 2_278_475_956_224));
    assert_eq!(own.totals().get(Quantity::MatmulFlops), 4_570_914_750_464);
    assert_eq!(own.totals().get(Quantity::MatmulFlops), attention + absorbed + rest);
    assert_eq!(own.workload().phase, Phase::Decode);
}

fn refused(options: &RunOptions, phase: Phase) -> Box<Diagnostic> {
    let mut workload = Workload { phase: Some(phase), ..Workload::default() };
    options.execution(&mut workload, SESSION.catalog()).unwrap_err()
}

fn named(runtime: &str) -> RunOptions {
    RunOptions { runtime: Some(runtime.into()), ..RunOptions::default() }
}

#[test]
fn what_an_engine_does_not_do_is_refused() {
    let unknown = refused(&named("vlm"), Phase::Prefill);
    assert_eq!([unknown.code], [Code::UnknownRuntime]);
    assert!(unknown.help.iter().any(|help| help.contains("did you mean `vllm`")), "{unknown:?}");
    let eager = refused(&RunOptions { kernel: Some(Kernel::Eager), ..named("vllm") }, Phase::Decode);
    assert_eq!([eager.code], [Code::NotOfRuntime]);
    assert!(eager.message.contains("`--kernel eager` in the decode phase"), "{}", eager.message);
    assert_eq!([refused(&named("llama.cpp"), Phase::Train).code], [Code::NotOfRuntime]);
}

#[test]
fn a_version_of_which_nothing_is_known_is_said() {
    let said = |asked: &str| {
        let (_, remark) = named(asked).execution(&mut Workload::default(), SESSION.catalog()).unwrap();
        remark.map(|remark| remark.code)
    };
    for known in ["vllm", "vllm@0.10", "vllm@0.11.2", "vllm@0.30.9", "llama.cpp@b6500", "VLLM@v0.12", "eager"] {
        assert_eq!(said(known), None, "{known}");
    }
    for other in ["vllm@0.9.9", "vllm@0.31", "vllm@1.0", "vllm@nightly", "llama.cpp@b5999", "ideal@2"] {
        assert_eq!([said(other).unwrap()], [Code::UnknownVersion], "{other}");
    }
}

/// Of the catalog's own rules it is said if none is followed, of others of each.
#[test]
fn rules_that_mean_nothing_are_said() {
    let silu = r#"{ "layers": [ { "name": "a", "class": "torch.nn.SiLU", "parameters": { "features": 4 } } ] }"#;
    let said = |session: &Session, runtime: &str, text: &str| {
        let options = named(runtime);
        let (execution, _) = options.execution(&mut Workload::default(), session.catalog()).unwrap();
        let lowered = session.read("model.json", text).and_then(|model| model.lowered(&execution));
        let all: Vec<Diagnostic> = lowered.diagnostics.iter().cloned().collect();
        all
    };
    let own = said(&SESSION, "vllm", silu);
    assert_eq!(own.iter().map(|said| said.code).collect::<Vec<_>>(), [Code::NothingToMerge]);
    let session = Session::over(Catalog::overlaid([("runtimes/tiny.json", TINY)]).unwrap());
    let mlp = r#"{ "layers": [
        { "name": "gate", "class": "torch.nn.SiLU", "parameters": { "features": 4 } },
        { "name": "product", "class": "mul", "inputs": ["gate", "input"], "parameters": { "features": 4 } },
        { "name": "after", "class": "torch.nn.SiLU", "parameters": { "features": 4 } } ] }"#;
    let idle = said(&session, "tiny", mlp);
    assert_eq!(idle.iter().map(|said| said.code).collect::<Vec<_>>(), [Code::NothingToMerge]);
    assert!(idle[0].message.contains("TinyGateUp") && idle[0].primary.is_some(), "{idle:?}");
}

/// docs/runtimes.md: a file alone adds an engine.
#[test]
fn the_engine_of_the_page_runs() {
    let session = Session::over(Catalog::overlaid([("runtimes/tiny.json", TINY)]).unwrap());
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/runtimes.md")).unwrap();
    assert!(page.replace("\r\n", "\n").contains(TINY.replace("\r\n", "\n").trim_end()), "the page and its file differ");
    let model = session.load("llama-3.1-8b").into_result().unwrap();
    let mut workload = Workload::prefill(1, 512);
    let (execution, _) = named("tiny@1.2").execution(&mut workload, session.catalog()).unwrap();
    let lowered = model.lowered(&execution).into_result().unwrap();
    let rows: Vec<(&str, &str)> = lowered.rows().map(|row| (row.path(), row.class_name())).collect();
    assert!(rows.contains(&("model.layers.[0-31].mlp.gate_up", "TinyGateUp")), "{rows:?}");
    assert!(rows.contains(&("model.layers.[0-31].mlp.act_fn+product", "TinySwiGLU")), "{rows:?}");
    let eager = model.lowered(&Execution::default()).into_result().unwrap();
    let (own, eager) = (at(&lowered, &workload), at(&eager, &workload));
    // Gate and up read 512 x 4,096 once, and SiLU of 512 x 14,336 is neither written nor read; bf16, 32 layers.
    let saved = 32 * 2 * (512 * 4096 + 2 * 512 * 14336);
    assert_eq!(moved(&eager) - moved(&own), saved);
    assert_eq!(eager.totals().get(Quantity::MatmulFlops), own.totals().get(Quantity::MatmulFlops));
}

/// No rule of the catalog is there for nothing.
#[test]
fn every_rule_is_followed_by_some_model() {
    let mut followed: HashSet<(String, String)> = HashSet::new();
    let models = ["llama-3.1-8b", "deepseek-v3", "gemma-3-270m", "qwen3-0.6b"];
    let runtimes: Vec<_> = SESSION.catalog().runtimes().map(Result::unwrap).collect();
    for (model, runtime) in models.iter().flat_map(|model| runtimes.iter().map(move |runtime| (model, runtime))) {
        let (_, execution) = asked(&runtime.name, &Workload::prefill(1, 8));
        let lowered = lowered(&SESSION.load(model).into_result().unwrap(), execution);
        followed.extend(lowered.rows().map(|row| (runtime.name.to_string(), row.class_name().to_owned())));
    }
    for runtime in &runtimes {
        for rewrite in &runtime.rewrites {
            assert!(
                followed.contains(&(runtime.name.to_string(), rewrite.class.to_string())),
                "{}: {}",
                runtime.name,
                rewrite.class
            );
        }
    }
}

#[test]
fn files_of_runtimes_are_checked() {
    let wrong = |from: &str, to: &str| {
        let text = TINY.replacen(from, to, 1);
        assert_ne!(text, TINY);
        Catalog::overlaid([("runtimes/tiny.json", text.as_str())]).unwrap_err()
    };
    for (from, to, code) in [
        (r#""kernel": ["flash"]"#, r#""kernels": ["flash"]"#, Code::UnknownKey),
        (r#""kernel": ["flash"]"#, r#""kernel": ["quick"]"#, Code::WrongType),
        (r#""kernel": ["flash"]"#, r#""kernel": []"#, Code::WrongType),
        (r#""mla": { "decode""#, r#""mla": { "decoding""#, Code::UnknownKey),
        (r#""chain": [["activation"], ["gate product"]]"#, r#""chain": [["activation"]]"#, Code::WrongType),
        (r#""chain": [["activation"], ["gate product"]]"#, r#""chain": [["activations"], ["gate product"]]"#, Code::UnknownRole),
        (r#""chain": [["activation"], ["gate product"]]"#, r#""absorbed": false"#, Code::MissingKey),
        (r#""versions""#, r#""version""#, Code::UnknownKey),
    ] {
        let said = wrong(from, to);
        assert_eq!(said.code, code, "{to}: {said:?}");
        assert!(said.primary.is_some(), "{to}: {said:?}");
    }
}

/// What an engine runs as one says of itself what it stands for, wherever it is shown.
#[test]
fn a_layer_says_what_it_stands_for() {
    let (workload, execution) = asked("vllm", &Workload::prefill(1, 8));
    let lowered = lowered(&SESSION.load("llama-3.1-8b").into_result().unwrap(), execution);
    let own = at(&lowered, &workload);
    let page = own.explain("model.layers.3.self_attn.qkv_proj").into_result().unwrap();
    for member in ["q_proj", "k_proj", "v_proj"] {
        assert!(page.contains(&format!("model.layers.3.self_attn.{member}  torch.nn.modules.linear.Linear")), "{page}");
    }
    assert!(page.contains("2 * q_proj.tokens * q_proj.in_features * q_proj.out_features"), "{page}");
}

/// What decides which layers there are may ask how the model is run; a model's list is made anew for each way that it asks for.
#[test]
fn models_ask_how_they_are_run() {
    let text = r#"{ "layers": [
        { "name": "scores", "when": "<execution.kernel> == 'eager'", "class": "torch.nn.SiLU", "parameters": { "features": 4 } },
        { "name": "fused", "when": "<execution.kernel> != 'eager'", "class": "torch.nn.ReLU", "parameters": { "features": 4 } },
        { "name": "<execution.runtime>_<execution.cache>_<execution.mla>", "class": "torch.nn.ReLU", "parameters": { "features": 4 } } ] }"#;
    let model = SESSION.read("model.json", text).into_result().unwrap();
    let paths = |kernel| {
        let execution = Execution { kernel, ..Execution::default() };
        lowered(&model, execution).paths().collect::<Vec<String>>()
    };
    for _ in 0..2 {
        assert_eq!(paths(Kernel::Flash), ["fused", "eager_on_expanded"]);
        assert_eq!(paths(Kernel::Eager), ["scores", "eager_on_expanded"]);
    }
    // A name of the file's own goes before.
    let own = text.replacen(
        '{',
        r#"{ "variables": { "execution": { "kernel": "eager", "runtime": "mine", "cache": "a", "mla": "b" } },"#,
        1,
    );
    let model = SESSION.read("model.json", own).into_result().unwrap();
    assert_eq!(lowered(&model, Execution::default()).paths().collect::<Vec<String>>(), ["scores", "mine_a_b"]);
    let missing = text.replace("execution.cache", "execution.cash");
    let said = SESSION.read("model.json", missing).and_then(|model| model.lowered(&Execution::default()));
    assert!(said.diagnostics.has_errors());
}

/// Facts of a model are eager PyTorch's: none are written of an engine.
#[test]
fn no_facts_are_stated_of_an_engine() {
    let text = r#"{ "layers": [ { "name": "up", "class": "torch.nn.Linear", "parameters": { "in_features": 4, "out_features": 8 } } ] }"#;
    let model = SESSION.read("tiny.json", text).into_result().unwrap();
    let (workload, execution) = asked("vllm", &Workload::prefill(1, 8));
    let blessed = lowered(&model, execution).blessed(&["modules"], &workload);
    assert!(blessed.value.is_none(), "{:?}", blessed.value.map(|blessed| blessed.text));
    assert!(blessed.diagnostics.iter().any(|said| said.message.contains("not of what vllm makes of it")));
}
