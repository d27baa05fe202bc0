//! Models and configs changed in their structure, as coverage leads. What takes longer than libFuzzer's `-timeout`, or more memory than its
//! `-rss_limit_mb`, is found as a panic is.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../structure.rs"]
mod structure;

fuzz_target!(|bytes: &[u8]| {
    let _ = structure::run(bytes);
});
