//! Real configs from the wild against what PyTorch and transformers make of them (`../shared/reference/census.jsonl`): every parameter's
//! path and shape, the totals, the FLOPs of prefill and decode. Where `../shared` isn't there, it is left out, and says so.

use serde_json::Value as Json;

use crate::support::{SESSION, root};

#[test]
fn real_configs_equal_pytorchs_to_the_last_digit() {
    let shared = root("../shared");
    let Ok(rows) = std::fs::read_to_string(shared.join("reference/census.jsonl")) else {
        println!("left out: {} isn't there", shared.display());
        return;
    };
    let (mut equal, mut wrong) = (0, Vec::new());
    for row in rows.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()).filter(|row| !row["error"].is_string()) {
        let file = row["file"].as_str().unwrap();
        let bytes = std::fs::read(shared.join("configs").join(file)).unwrap();
        match crate::comparison::differences(&SESSION.read(file, bytes), &row) {
            differences if differences.is_empty() => equal += 1,
            differences => wrong.push(format!("{file}: {}", differences.join("; "))),
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), equal + wrong.len(), wrong.join("\n"));
    assert!(equal > 100, "{equal}");
}
