//! Models and configs with values, keys and layers changed, moved and doubled, through everything that a model can be asked. The bytes are dice:
//! which model to begin from, and what to change of it.
use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use layerspec::analyses::{Checkpointing, Training};
use layerspec::reports::{
    By, FORMATS, MEMORY_FORMATS, MemoryReport, Options, PageFormat, Units, render_dot, render_mermaid, render_summary,
    render_tree,
};
use layerspec::{Backend, Evaluation, Execution, Kernel, Session, Workload};
use serde_json::{Map, Value};

static SESSION: LazyLock<Session> = LazyLock::new(Session::new);

/// The embedded models, and the keys that stand in any of them.
static MODELS: LazyLock<(Vec<Value>, Vec<String>)> = LazyLock::new(|| {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../models")).expect("models");
    let mut files: Vec<_> =
        folder.map(|file| file.expect("a file").path()).filter(|path| path.extension() == Some("json".as_ref())).collect();
    files.sort();
    let read = |path| serde_json::from_slice(&std::fs::read(path).expect("a model")).expect("JSON");
    let models: Vec<Value> = files.into_iter().map(read).collect();
    let mut names: Vec<String> = Vec::new();
    models.iter().for_each(|model| keys(model, &mut names));
    names.sort();
    names.dedup();
    (models, names)
});

/// What stands where something else stood.
const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "64",
    "1000000",
    "1000000000000000000",
    "9223372036854775808",
    "18446744073709551616",
    "1e30",
    "0.5",
    "1e-9",
    "1e300",
    "-0.0",
    r#""""#,
    r#""a""#,
    r#"".""#,
    r#""a.b""#,
    r#""a.0""#,
    r#""blocks.<layer>""#,
    r#""<layer>""#,
    r#""<layer""#,
    r#""<a>""#,
    r#""input""#,
    r#""*""#,
    r#""[0-3]""#,
    "\"\u{202e}\"",
    r#""1/0""#,
    r#""2 ^ 200""#,
    r#""if(true, 1, 2)""#,
    r#""find_last('aba', 'a', 3)""#,
    r#""len(<layers>)""#,
    "[]",
    "{}",
    "[1]",
    "[[]]",
    "[{}]",
    r#""float32""#,
    r#""<hidden_size>""#,
    r#""blocks.3""#,
    r#""layers.0""#,
    r#""expected_experts(8, 2, 3)""#,
    r#""<past_len> * <seq_len>""#,
    r#""<layer> % 3 == 0""#,
    r#""(<layer> + 1) * 64""#,
];
/// What is put into texts.
const PIECES: &[&str] = &["<", ">", ".", "0", "*", "(", " + 1", ",", "layer", "é", "<layer>", "_", " ", "-1"];

fn keys(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            out.push(key.clone());
            keys(value, out);
        }),
        Value::Array(items) => items.iter().for_each(|item| keys(item, out)),
        _ => {}
    }
}

/// A place in a value, deeper or less deep.
fn place<'v>(value: &'v mut Value, dice: &mut Unstructured<'_>) -> Result<&'v mut Value> {
    let parts = match value {
        Value::Object(members) => members.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    if parts == 0 || !dice.ratio(7, 8)? {
        return Ok(value);
    }
    let at = dice.choose_index(parts)?;
    match value {
        Value::Object(members) => place(members.values_mut().nth(at).expect("a member"), dice),
        Value::Array(items) => place(&mut items[at], dice),
        other => Ok(other),
    }
}

fn another(dice: &mut Unstructured<'_>) -> Result<Value> {
    Ok(serde_json::from_str(dice.choose(VALUES)?).expect("JSON"))
}

/// One change.
fn change(model: &mut Value, dice: &mut Unstructured<'_>) -> Result<()> {
    let (models, names) = &*MODELS;
    let kind = dice.int_in_range(0..=8u8)?;
    let part = match kind {
        // A part of this model, or of another.
        0 if dice.ratio(1, 3)? => place(&mut dice.choose(models)?.clone(), dice)?.clone(),
        0 => place(&mut model.clone(), dice)?.clone(),
        _ => another(dice)?,
    };
    let value = place(model, dice)?;
    match (kind, value) {
        (0 | 1, value) => *value = part,
        (2 | 3, Value::Object(members)) => {
            members.insert(dice.choose(names)?.clone(), part);
        }
        (4, Value::Object(members)) if !members.is_empty() => {
            let key = members.keys().nth(dice.choose_index(members.len())?).cloned().expect("a key");
            let value = members.remove(&key);
            if dice.arbitrary()? {
                members.insert(dice.choose(names)?.clone(), value.unwrap_or_default());
            }
        }
        (4, Value::Array(items)) if !items.is_empty() => {
            items.remove(dice.choose_index(items.len())?);
        }
        (5 | 6, Value::Array(items)) if !items.is_empty() => {
            let (from, to) = (dice.choose_index(items.len())?, dice.choose_index(items.len())?);
            if kind == 5 { items.insert(to, items[from].clone()) } else { items.swap(from, to) }
        }
        (_, Value::Array(items)) => items.push(part),
        (_, Value::String(text)) => {
            let at =
                text.char_indices().map(|(at, _)| at).nth(dice.int_in_range(0..=text.chars().count())?).unwrap_or(text.len());
            text.insert_str(at, dice.choose(PIECES)?);
        }
        (_, Value::Number(number)) => {
            if let Some(n) = number.as_i64() {
                let made =
                    [n.wrapping_add(1), n.wrapping_sub(1), n.wrapping_mul(2), n / 2, n.wrapping_neg(), n.wrapping_mul(1000)];
                *number = (*dice.choose(&made)?).into();
            }
        }
        (_, value) => *value = part,
    }
    Ok(())
}

fn asked(dice: &mut Unstructured<'_>) -> Result<(Execution, Workload)> {
    let execution = Execution {
        kernel: *dice.choose(&[Kernel::Flash, Kernel::Eager, Kernel::Math])?,
        backend: *dice.choose(&[Backend::Cpu, Backend::Cuda])?,
        ..Execution::default()
    };
    let workload = match dice.int_in_range(0..=3u8)? {
        0 => Workload::default(),
        1 => Workload::prefill(3, 100),
        2 => Workload::decode(2, 50),
        _ => Workload::train(2, 64),
    };
    Ok((execution, workload))
}

/// What can be said of a model at a workload.
fn say(at: &Evaluation, dice: &mut Unstructured<'_>) -> Result<()> {
    assert!(at.instances().take(200).all(|instance| !instance.path.is_empty()));
    let mut out = Vec::new();
    match dice.int_in_range(0..=5u8)? {
        0 => {
            let by = *dice.choose(&[By::Layer, By::Class, By::Depth])?;
            let options = Options { by, depth: 1, expand: false, exact: false, units: Units::Si, color: false, width: 100 };
            let format = dice.choose(FORMATS)?;
            if !format.expands || at.layers() < 20_000 {
                (format.render)(at, &options, &mut out).expect("a buffer");
            }
        }
        1 => {
            let mut training = Training::new(SESSION.catalog().optimizer("adamw").expect("adamw"));
            training.checkpointing = *dice.choose(&[Checkpointing::None, Checkpointing::Selective, Checkpointing::Full])?;
            if let Ok(plan) = at.memory_plan(2, &training) {
                let device = SESSION.catalog().device("h100-sxm").expect("a device").expect("no errors");
                let fit = at.fit(&plan, &device, 2, 10, &training);
                let (alive, cache) = (at.alive_at_peak(), at.cache());
                let report = MemoryReport {
                    evaluation: at,
                    plan,
                    alive,
                    cache,
                    training: &training,
                    fit: Some((device, fit)),
                    units: Units::Si,
                };
                MEMORY_FORMATS.iter().for_each(|format| (format.render)(&report, &mut out).expect("a buffer"));
            }
        }
        2 => {
            let format = *dice.choose(&[PageFormat::Table, PageFormat::Markdown, PageFormat::Json])?;
            render_summary(&at.summary(), format, 80, &mut out).expect("a buffer");
        }
        3 => render_tree(at, &mut out).expect("a buffer"),
        4 => {
            let lowered = at.lowered();
            if let Ok(graph) = lowered.graph() {
                render_dot(&lowered, &graph, &mut out).expect("a buffer");
                render_mermaid(&lowered, &graph, &mut out).expect("a buffer");
            }
            let difference = at.difference(at);
            assert!(difference.added.is_empty() && difference.removed.is_empty() && difference.changed.is_empty());
        }
        _ => {
            // What is said of any of its rows; written out, it is the same model.
            for row in at.rows().take(20) {
                let _ = at.explain(row.path()).into_result();
            }
            if let Ok(explicit) = at.lowered().explicit() {
                same(at, explicit);
            }
        }
    }
    Ok(())
}

/// A model with every layer written out costs the same, what its checkpoint says of the weights aside, which isn't part of it.
fn same(at: &Evaluation, explicit: Map<String, Value>) {
    let bf16 = SESSION.catalog().dtype("bf16").ok();
    let workload = Workload { dtype: bf16.clone(), weight_dtype: bf16, ..Workload::default() };
    let again = SESSION.read("explicit.json", Value::Object(explicit).to_string());
    let again = again.and_then(|model| model.lowered(&at.execution())).and_then(|lowered| lowered.sketch(&workload));
    let first = at.lowered().sketch(&workload);
    if let (Some(first), Some(again)) = (first.value, again.value) {
        assert_eq!(first.totals(), again.totals());
    }
}

/// One model made of these bytes, and what is said of it. Too few bytes are no model.
pub fn run(bytes: &[u8]) -> Result<()> {
    let dice = &mut Unstructured::new(bytes);
    let mut model = dice.choose(&MODELS.0)?.clone();
    for _ in 0..dice.int_in_range(1..=6u8)? {
        change(&mut model, dice)?;
    }
    let (execution, workload) = asked(dice)?;
    // To see what a finding is of: `SHOW=1 cargo fuzz run structure fuzz/artifacts/structure/...`.
    if std::env::var_os("SHOW").is_some() {
        println!("{model}\n{execution:?} {workload:?}");
    }
    let read = SESSION.read("fuzz.json", model.to_string());
    let outcome = read.and_then(|model| {
        let _ = model.import(None);
        model.lowered(&execution)
    });
    let outcome = outcome.and_then(|lowered| lowered.at(&workload));
    assert_eq!(outcome.value.is_none(), outcome.diagnostics.has_errors());
    for diagnostic in outcome.diagnostics.sorted().into_iter().take(20) {
        let _ = outcome.shown(diagnostic, false);
        let _ = outcome.shown_json(diagnostic);
    }
    outcome.value.as_ref().map_or(Ok(()), |at| say(at, dice))
}
