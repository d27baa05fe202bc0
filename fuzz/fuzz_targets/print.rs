//! Any text as one of `print(model)`: a model, whole or partial, or diagnostics that point into it.
//!
//! `cargo fuzz run print -- -timeout=20 -rss_limit_mb=1000`
#![no_main]

use std::sync::LazyLock;

use layerspec::{Execution, Session, Settings, Workload};
use libfuzzer_sys::fuzz_target;

static SESSION: LazyLock<Session> = LazyLock::new(Session::new);

fuzz_target!(|text: &str| {
    for partial in [false, true] {
        let model = SESSION.printed("fuzz.txt", text, &Settings { partial, ..Settings::default() });
        assert_eq!(model.value.is_none(), model.diagnostics.has_errors());
        let _ = model.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(&Workload::default()));
    }
});
