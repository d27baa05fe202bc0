//! Small models of many families against PyTorch's own figures (tests/reference/small.json): parameters, FLOPs, peaks, what training saves,
//! caches. The configs say only what differs from their class's defaults.

use serde_json::Value as Json;

use crate::support::{SESSION, evaluate, workload};

#[test]
fn small_models_of_many_families_are_pytorchs_to_the_byte() {
    let facts: Json = serde_json::from_str(include_str!("../reference/small.json")).unwrap();
    let mut figures = 0;
    for model in facts["models"].as_array().unwrap() {
        let (name, text) = (model["name"].as_str().unwrap(), model["config"].to_string());
        for point in model["points"].as_array().unwrap() {
            let at = evaluate(&SESSION, name, &text, &workload(&point["workload"])).into_result().unwrap();
            let totals = at.totals();
            let found = |quantity: &str| match quantity {
                "peak_bytes" => at.peak().unwrap().bytes,
                "saved_bytes" => at.saved_bytes(),
                named => totals.named(named).unwrap(),
            };
            let said = point.as_object().unwrap().iter().filter(|(key, _)| *key != "workload");
            let said = said.chain(model.as_object().unwrap().get_key_value("params"));
            for (quantity, wanted) in said {
                assert_eq!(found(quantity), u128::from(wanted.as_u64().unwrap()), "{name}: {quantity} at {}", point["workload"]);
                figures += 1;
            }
        }
    }
    assert!(figures > 1000, "{figures}");
}
