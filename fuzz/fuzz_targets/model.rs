//! Any bytes as a model file: an answer, or diagnostics that can be shown.
//!
//! `cargo fuzz run model -- -dict=fuzz/model.dict -timeout=20`, with the models as a start: `fuzz/README.md`.
#![no_main]

use std::sync::LazyLock;

use layerspec::{Execution, Session, Workload};
use libfuzzer_sys::fuzz_target;

static SESSION: LazyLock<Session> = LazyLock::new(Session::new);

fuzz_target!(|bytes: &[u8]| {
    let lowered = SESSION.read("fuzz.json", bytes).and_then(|model| model.lowered(&Execution::default()));
    let outcome = lowered.and_then(|lowered| lowered.at(&Workload::default()));
    assert_eq!(outcome.value.is_none(), outcome.diagnostics.has_errors());
    for diagnostic in outcome.diagnostics.sorted().into_iter().take(20) {
        let _ = outcome.shown(diagnostic, false);
        let _ = outcome.shown_json(diagnostic);
    }
    if let Some(at) = outcome.value {
        assert!(at.instances().take(1000).all(|instance| !instance.path.is_empty()));
    }
});
