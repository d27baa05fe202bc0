//! The library as its users have it: many models in one session, from any thread, each with its own diagnostics.

use layerspec::diagnostics::{Code, Diagnostic};
use layerspec::{
    Catalog, Cost, Evaluation, Execution, Failure, Lowered, Model, Outcome, Phase, Session, Settings, Value, Workload,
};

use serde_json::json;

use crate::support::{SESSION, codes, evaluate, lower};

fn asked(seq_len: u64) -> (Workload, Execution) {
    (Workload::prefill(1, seq_len), Execution::default())
}

#[test]
fn what_comes_out_goes_to_any_thread_and_borrows_nothing() {
    fn free<T: Send + Sync + 'static>() {}
    free::<Session>();
    free::<Model>();
    free::<Lowered>();
    free::<Evaluation>();
    free::<Outcome<Evaluation>>();
    free::<Failure>();
    free::<Settings>();
}

/// The parameters are those that PyTorch counts (tests/reference/).
#[test]
fn threads_share_a_session() {
    let models = [("distilgpt2", 81_912_576), ("llama-2-7b-hf", 6_738_415_616), ("qwen3-0.6b", 596_049_920)];
    let session = Session::new();
    let flops = |at: &Evaluation| (at.params(), at.matmul_flops(), at.peak().map(|peak| peak.bytes));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .flat_map(|_| models)
            .map(|(name, params)| {
                let session = &session;
                scope.spawn(move || {
                    let model = session.load(name).into_result().unwrap();
                    let lowered = model.lowered(&Execution::default()).into_result().unwrap();
                    let at = |seq_len| lowered.at(&Workload::prefill(1, seq_len)).into_result().unwrap();
                    assert_eq!(at(64).params(), params, "{name}");
                    (name, flops(&at(64)), flops(&at(128)))
                })
            })
            .collect();
        for thread in threads {
            let (name, short, long) = thread.join().unwrap();
            let alone = Session::new().load(name).and_then(|model| model.lowered(&Execution::default())).into_result().unwrap();
            let at = |seq_len| flops(&alone.at(&Workload::prefill(1, seq_len)).into_result().unwrap());
            assert_eq!((short, long), (at(64), at(128)), "{name}");
        }
    });
}

/// A model is evaluated where it wasn't made, and outlives its session.
#[test]
fn a_model_outlives_its_session_and_its_thread() {
    let lowered = std::thread::spawn(|| Session::new().load("distilgpt2").and_then(|model| model.lowered(&Execution::default())));
    let lowered = lowered.join().unwrap().into_result().unwrap();
    let threads = [1, 2, 3].map(|batch| {
        let lowered = lowered.clone();
        std::thread::spawn(move || lowered.at(&Workload::prefill(batch, 16)).into_result().unwrap().matmul_flops())
    });
    let [one, two, three] = threads.map(|thread| thread.join().unwrap());
    assert_eq!((two, three), (2 * one, 3 * one));
}

#[test]
fn diagnostics_of_two_models_point_into_their_own_texts() {
    let layer = |class: &str| format!(r#"{{ "layers": [ {{ "name": "up", "class": "{class}" }} ] }}"#);
    // The second begins lower, so that a place in one is none in the other.
    let first = SESSION.read("first.json", layer("Linaer"));
    let second = SESSION.read("second.json", format!("\n\n{}", layer("Conv9d")));
    let (first, second) = (first.into_result().unwrap_err(), second.into_result().unwrap_err());
    for (failure, place, class) in [(&first, "first.json:1:40", "Linaer"), (&second, "second.json:3:40", "Conv9d")] {
        let shown = failure.to_string();
        assert!(shown.contains(&format!("unknown class `{class}`")) && shown.contains(place), "{shown}");
        assert!(shown.contains(&format!(r#""class": "{class}""#)), "{shown}");
        assert_eq!(shown, format!("{failure:?}").trim_start_matches('\n'));
    }
    let sources =
        [&first, &second].map(|failure| failure.diagnostics.iter().next().unwrap().primary.as_ref().unwrap().span.source);
    assert_ne!(sources[0], sources[1]);
}

/// 120 composites in each other, and 120 calls: as deep as may be, far deeper than 256 KiB of stack are good for.
#[test]
fn a_small_thread_goes_as_deep_as_any() {
    const DEEP: usize = 120;
    let size = format!("{}<h>{}", "min(".repeat(DEEP), ")".repeat(DEEP));
    let leaf = format!(
        r#"{{ "name": "up", "class": "torch.nn.Linear", "parameters": {{ "in_features": 4, "out_features": "{size}", "bias": false }} }}"#
    );
    // JSON nests two levels a layer, and 128 in all: what is deeper stands in blocks.
    let block = |at: usize| match at {
        DEEP => format!(r#""b{at}": {{ "layers": [ {leaf} ] }}"#),
        _ => format!(r#""b{at}": {{ "layers": [ {{ "name": "l", "use": "b{}" }} ] }}"#, at + 1),
    };
    let blocks: Vec<String> = (0..=DEEP).map(block).collect();
    let text = format!(
        r#"{{ "variables": {{ "h": 8 }}, "blocks": {{ {} }}, "layers": [ {{ "name": "m", "use": "b0" }} ] }}"#,
        blocks.join(", ")
    );
    let run = move || {
        let at = evaluate(&SESSION, "deep.json", text, &asked(2)).into_result().unwrap();
        let path = at.instances().next().unwrap().path;
        assert_eq!(path, format!("m.{}up", "l.".repeat(DEEP)));
        assert!(at.find(&path).is_some() && at.explain(&path).value.is_some());
        assert_eq!(at.lowered().graph().unwrap().edges.len(), 1);
        assert!(at.lowered().explicit().is_ok());
        assert_eq!(at.summary().params, 32);
        at.matmul_flops()
    };
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap();
    assert_eq!(thread.join().unwrap(), 2 * 2 * 4 * 8);
}

#[test]
fn a_catalog_is_laid_over_the_embedded_one() {
    let block = r#"{ "doc": "two layers", "takes": { "width": "required" }, "layers": [
        { "name": "up", "class": "Linear", "parameters": { "in_features": "<width>", "out_features": "4 * <width>", "bias": false } },
        { "name": "down", "class": "Linear", "parameters": { "in_features": "4 * <width>", "out_features": "<width>", "bias": false } } ] }"#;
    let family = r#"{ "model_types": ["tiny"], "prefix": "tiny.Tiny", "source": "a test", "variables": { "width": 8 },
        "layers": [ { "name": "mlp", "use": "blocks/two" } ] }"#;
    let files = [("blocks/two.json", block.as_bytes()), ("families/tiny.json", family.as_bytes())];
    let session = Session::over(Catalog::overlaid(files).unwrap());
    let model = session.read("config.json", r#"{ "model_type": "tiny", "width": 16 }"#).into_result().unwrap();
    assert_eq!((model.family(), model.families()), (Some("tiny"), vec!["tiny"]));
    let at = model.lowered(&Execution::default()).into_result().unwrap().at(&Workload::prefill(1, 4)).into_result().unwrap();
    assert_eq!(at.params(), 2 * 4 * 16 * 16);
    // What is below is still there.
    assert!(session.load("distilgpt2").into_result().is_ok());
    // A session without them doesn't know the family.
    assert!(SESSION.read("config.json", r#"{ "model_type": "tiny" }"#).into_result().is_err());
    // What is wrong in such a file is shown there.
    let broken =
        [("blocks/two.json", block.as_bytes()), ("families/tiny.json", r#"{ "model_types": ["tiny"], "layer": 3 }"#.as_bytes())];
    let session = Session::over(Catalog::overlaid(broken).unwrap());
    let failure = session.read("config.json", r#"{ "model_type": "tiny" }"#).into_result().unwrap_err();
    assert!(failure.to_string().contains("families/tiny.json:1:"), "{failure}");
    assert!(Catalog::overlaid([("nowhere/tiny.json", family.as_bytes())]).is_err());
    assert!(Catalog::overlaid([("families/tiny.json", "{".as_bytes())]).is_err());
}

/// A step says again what its model had said of it; what came from elsewhere isn't lost for that.
#[test]
fn what_was_said_stays() {
    let remark = || Diagnostic::new(Code::BeyondPositions, "a remark");
    let text = r#"{ "variables": { "n": 1 }, "layers": [ { "name": "a", "class": "torch.nn.SiLU", "parameters": { "features": "<x>" } },
        { "name": "b", "repeat": "<n> / 2", "class": "torch.nn.SiLU", "parameters": { "features": 3 } },
        { "name": "c", "class": "torch.nn.SiLU", "parameters": { "features": "1 / (<seq_len> - 5)" } } ] }"#;
    // Each step finds one thing more, and what was found before comes first, once.
    let read = SESSION.read("model.json", text);
    assert_eq!(codes(&read.diagnostics), [Code::UnknownVariable]);
    let lowered = read.and_then(|model| model.lowered(&Execution::default()));
    assert_eq!(codes(&lowered.diagnostics), [Code::UnknownVariable, Code::NotACount]);
    let at = lowered.and_then(|lowered| lowered.at(&Workload::prefill(1, 5)));
    assert_eq!(codes(&at.diagnostics), [Code::UnknownVariable, Code::NotACount, Code::DivisionByZero]);
    assert!(at.value.is_none());
    // What another says in between stays as well, and a value that isn't there leads nowhere.
    let outcome = SESSION.load("distilgpt2").saying(remark()).and_then(|model| model.lowered(&Execution::default()));
    assert!(outcome.value.is_some());
    assert_eq!(codes(&outcome.diagnostics), [Code::BeyondPositions]);
    let nothing = SESSION.load("no-such-model").saying(remark()).and_then(|_: Model| -> Outcome<Lowered> { unreachable!() });
    assert_eq!(codes(&nothing.diagnostics), [Code::UnknownModel, Code::BeyondPositions]);
    // A step that fails keeps the text that earlier places point into.
    let lost = lower(&SESSION, text, &Settings::default()).and_then(|_| SESSION.load("no-such-model"));
    let shown = lost.into_result().unwrap_err().to_string();
    assert!(shown.contains("model.json:1:") && shown.contains("no-such-model"), "{shown}");
}

/// A value that nothing would read is an error, not passed over.
#[test]
fn a_workload_sets_its_own_variables_only() {
    let lowered = SESSION.load("gpt2").into_result().unwrap().lowered(&Execution::default()).into_result().unwrap();
    let with =
        |name: &str, value: u64| Workload { settings: vec![(name.into(), Value::count(value))], ..Workload::prefill(1, 8) };
    assert!(lowered.at(&with("logit_len", 1)).value.is_some());
    let outcome = lowered.at(&with("num_hidden_layers", 3));
    assert_eq!(codes(&outcome.diagnostics), [Code::UnknownSetting]);
    assert!(outcome.value.is_none());
}

/// The decode phase is one token after as many as make 2,048 with it, or the model's positions if those are fewer.
#[test]
fn a_decode_step_that_nobody_describes_fills_the_context() {
    let step = |model: &str| {
        let lowered = SESSION.load(model).into_result().unwrap().lowered(&Execution::default()).into_result().unwrap();
        let at = lowered.at(&Workload { phase: Some(Phase::Decode), ..Workload::default() }).into_result().unwrap();
        (at.workload().seq_len, at.workload().past_len, at.workload().kv_len())
    };
    assert_eq!(step("llama-2-7b-hf"), (1, 2047, 2048));
    assert_eq!(step("gpt2"), (1, 1023, 1024));
}

/// Rows sum to the totals for every quantity that folds by a sum, instances too: every model, every phase.
#[test]
fn rows_and_instances_sum_to_the_totals() {
    for file in SESSION.catalog().models() {
        let model = SESSION.load(file.name).into_result().unwrap().lowered(&Execution::default()).into_result().unwrap();
        for phase in [Phase::Prefill, Phase::Decode, Phase::Train] {
            let workload = Workload { phase: Some(phase), ..Workload::default() };
            let Ok(at) = model.at(&workload).into_result() else { continue };
            let rows = at.rows().try_fold(Cost::ZERO, |sum, row| sum.plus(&row.total())).unwrap();
            let instances = at.instances().try_fold(Cost::ZERO, |sum, instance| sum.plus(&instance.total()?)).unwrap();
            assert_eq!((&rows, &instances), (at.totals(), at.totals()), "{} {phase:?}", file.name);
            let saved: u128 = at.instances().map(|instance| instance.saved_bytes()).sum();
            let of_rows: u128 = at.rows().map(|row| row.saved_bytes()).sum();
            assert_eq!((saved, of_rows), (at.saved_bytes(), at.saved_bytes()), "{} {phase:?}", file.name);
        }
    }
}

/// A layer that is called three times, a composite that is, and three layers keep the same and take the same room: 3 x 2 positions x 4
/// features x 2 bytes in training; in prefill the input of the call that runs, and its output.
#[test]
fn what_is_called_often_is_as_if_written_out() {
    let layer =
        |name: &str, calls: u64| json!({ "name": name, "class": "ReLU", "parameters": { "features": 4 }, "calls": calls });
    let forms = [
        json!({ "layers": [layer("a", 3)] }),
        json!({ "layers": [{ "name": "g", "calls": 3, "sub_layers": [layer("a", 1)] }] }),
        json!({ "layers": [layer("a", 1), layer("b", 1), layer("c", 1)] }),
    ];
    for form in &forms {
        let at = |phase| {
            let workload = Workload { phase: Some(phase), seq_len: Some(2), ..Workload::default() };
            evaluate(&SESSION, "model.json", form.to_string(), &(workload, Execution::default())).into_result().unwrap()
        };
        let (train, prefill) = (at(Phase::Train), at(Phase::Prefill));
        let instances: u128 = train.instances().map(|instance| instance.saved_bytes()).sum();
        assert_eq!((train.saved_bytes(), instances, train.peak().unwrap().bytes), (48, 48, 48), "{form}");
        assert_eq!(prefill.peak().unwrap().bytes, 32, "{form}");
    }
}

/// Against mpmath 1.3 with 600 bits (2026-11-30; of 200,000 random arguments none differed): small, near E tokens, and as large as may be.
#[test]
fn expected_experts_is_right_to_its_last_digit() {
    let expected = |experts: u64, top_k: u64, tokens: u64| {
        let formula = format!("1000000 * expected_experts({experts}, {top_k}, {tokens})");
        let value = layerspec::Expression::formula(&formula).unwrap().evaluate(&|_| None).unwrap();
        value.as_number().and_then(|n| n.to_count())
    };
    for (experts, top_k, tokens, millionths) in [
        (8, 2, 1, 2_000_000),
        (8, 2, 7, 6_932_129),
        (256, 8, 2048, 256_000_000),
        (65_536, 1, 65_536, 41_426_836_884),
        (1_000_003, 17, 54_321, 602_860_086_350),
        (1 << 20, 1, 3000, 2_995_713_982),
        ((1 << 31) - 1, 1, 5_000_000_000, 1_938_188_466_849_023),
        (1 << 32, 3, 1_000_000_000, 2_158_930_794_292_552),
        (1 << 32, 1, 2_147_495_993, 1_689_945_436_274_801),
        (1 << 32, 1, 1 << 32, 2_714_937_127_481_839),
    ] {
        assert_eq!(expected(experts, top_k, tokens), Some(millionths), "{experts}, {top_k}, {tokens}");
    }
}
