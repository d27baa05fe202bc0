//! Any text as the header of a safetensors file, an index, or what `gguf-dump` printed.
//!
//! `cargo fuzz run header -- -timeout=20 -rss_limit_mb=1000`
#![no_main]

use std::sync::LazyLock;

use layerspec::{Session, Settings};
use libfuzzer_sys::fuzz_target;

static SESSION: LazyLock<Session> = LazyLock::new(Session::new);

fuzz_target!(|bytes: &[u8]| {
    let contents = SESSION.header("fuzz.json", bytes, None, None);
    let _ = contents.and_then(|contents| SESSION.open("fuzz.json", &contents, None, &Settings::default()));
});
