//! How often memory is asked for, and how much of it is held at once: counts don't depend on how fast a machine is, so what was gained stays.
//!
//! The bounds are a tenth above what was measured on 64-bit Linux when they were set.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails should stop")]

use allocation_counter::{AllocationInfo, measure};
use layerspec::{Session, Workload};

#[path = "../benches/support/models.rs"]
mod models;

use models::{LLAMA, distinct_rows, evaluated, lowered};

/// What is asked for between two sizes of a model, for each row that the larger has more.
fn for_each_row(run: impl Fn(u64)) -> (u64, u64) {
    const FEW: u64 = 500;
    run(FEW);
    let [few, many] = [FEW, 3 * FEW].map(|bodies| measure(|| run(bodies)));
    let rows = 4 * 2 * FEW;
    let more = |of: fn(&AllocationInfo) -> u64| of(&many).saturating_sub(of(&few)) / rows;
    (more(|info| info.count_total), more(|info| info.bytes_max))
}

#[track_caller]
fn at_most(what: &str, found: u64, most: u64) {
    assert!(found <= most, "{what}: {found}, more than {most}");
    assert!(found * 3 >= most, "{what}: {found}, far less than {most}: lower the bound, so that the gain stays");
}

#[test]
fn a_distinct_row_is_light() {
    let session = Session::new();
    let (count, bytes) = for_each_row(|bodies| drop(evaluated(&session, &distinct_rows(bodies))));
    at_most("allocations a row, text to costs", count, 16);
    at_most("bytes a row at the most", bytes, 1240);
}

#[test]
fn a_model_is_light() {
    let session = Session::new();
    let model = lowered(&session, LLAMA);
    let once = measure(|| drop(evaluated(&session, LLAMA)));
    let again = measure(|| drop(model.totals(&Workload::prefill(3, 1024))));
    at_most("allocations of Llama-2-7B, text to costs", once.count_total, 3900);
    at_most("allocations of it at another workload", again.count_total, 125);
}
