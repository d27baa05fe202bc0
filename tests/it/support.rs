//! What several tests share: one session, and the way from a text to its figures.

pub mod gguf;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use layerspec::diagnostics::{Code, Diagnostics};
use layerspec::{Evaluation, Execution, Lowered, Outcome, Session, Settings, Value, Workload};
use serde_json::Value as Json;

/// One for all tests: what they look up in the catalog is parsed once.
pub static SESSION: LazyLock<Session> = LazyLock::new(Session::new);

/// A place in the repository.
pub fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file in `models/`.
pub fn model_file(name: &str) -> Vec<u8> {
    std::fs::read(root("models").join(format!("{name}.json"))).unwrap()
}

/// A text's flat list, or what is wrong with it.
pub fn lower(session: &Session, text: impl AsRef<[u8]>, settings: &Settings) -> Outcome<Lowered> {
    session.read_with("model.json", text, settings).and_then(|model| model.lowered(&Execution::default()))
}

/// A text at a workload, or what is wrong with it: an error and no result, or neither. Settings that are none of the workload's are the
/// model's, as with `--set`.
pub fn evaluate(session: &Session, name: &str, text: impl AsRef<[u8]>, asked: &(Workload, Execution)) -> Outcome<Evaluation> {
    let (workload, execution) = asked;
    let settings = Settings { variables: workload.settings.clone(), ..Settings::default() };
    let lowered = session.read_with(name, text, &settings).and_then(|model| model.lowered(execution));
    let outcome = lowered.and_then(|lowered| lowered.at(workload));
    assert_eq!(outcome.value.is_none(), outcome.diagnostics.has_errors(), "{name}: an error and no result, or neither");
    outcome
}

/// A workload as JSON: `{ "phase": "decode", "past_len": 511, "kernel": "math" }`.
pub fn workload(json: &Json) -> (Workload, Execution) {
    let pairs: Vec<(Arc<str>, Value)> =
        json.as_object().unwrap().iter().map(|(name, value)| (name.as_str().into(), Value::from_json(value).unwrap())).collect();
    Workload::from_pairs(&pairs, SESSION.catalog()).unwrap()
}

/// The codes of what was said, in the order in which it was.
pub fn codes(diagnostics: &Diagnostics) -> Vec<Code> {
    diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
}
