//! Any bytes as a GGUF file: contents, and perhaps a model, or diagnostics.
//!
//! `cargo fuzz run gguf -- -timeout=20 -rss_limit_mb=1000`
#![no_main]

use std::io::Cursor;
use std::sync::LazyLock;

use layerspec::{Execution, Session, Settings, Workload};
use libfuzzer_sys::fuzz_target;

static SESSION: LazyLock<Session> = LazyLock::new(Session::new);

fuzz_target!(|bytes: &[u8]| {
    let whole: Vec<u8> = b"GGUF".iter().chain(bytes).copied().collect();
    let contents = SESSION.contents("fuzz.gguf", &mut Cursor::new(&whole), Some(whole.len() as u64));
    assert_eq!(contents.value.is_none(), contents.diagnostics.has_errors());
    let model = contents.and_then(|contents| SESSION.open("fuzz.gguf", &contents, None, &Settings::default()));
    let _ = model.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(&Workload::default()));
});
