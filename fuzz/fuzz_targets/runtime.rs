//! Any text as the file of a runtime: refused at a place in it, or lowering by it changes no parameter and no shape.
//!
//! `cargo fuzz run runtime -- -timeout=20 -rss_limit_mb=1000`
#![no_main]

use layerspec::{Catalog, Execution, Quantity, RunOptions, Session, Workload};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(catalog) = Catalog::overlaid([("runtimes/fuzz.json", text)]) else { return };
    let session = Session::over(catalog);
    let Some(Ok(runtime)) = session.catalog().runtimes().last() else { return };
    let model = session.load("llama-3.2-1b").into_result().unwrap();
    let plain = model.lowered(&Execution::default()).and_then(|lowered| lowered.at(&Workload::prefill(1, 8))).value.unwrap();
    let options = RunOptions { runtime: Some(runtime.name.clone()), ..RunOptions::default() };
    let mut workload = Workload::prefill(1, 8);
    let Ok((execution, _)) = options.execution(&mut workload, session.catalog()) else { return };
    let lowered = model.lowered(&execution).and_then(|lowered| lowered.at(&workload)).into_result().unwrap();
    assert_eq!(plain.totals().get(Quantity::Params), lowered.totals().get(Quantity::Params));
});
