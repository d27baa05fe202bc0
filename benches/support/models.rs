//! What benches measure and `tests/allocations.rs` counts: the same models, so that their figures are of the same thing.

use layerspec::{Evaluation, Execution, Lowered, Session, Workload};
use serde_json::json;

pub const LLAMA: &str = include_str!("../../models/llama-2-7b-hf.json");

pub fn lowered(session: &Session, text: &str) -> Lowered {
    let model = session.read("model.json", text).into_result().unwrap();
    model.lowered(&Execution::default()).into_result().unwrap()
}

pub fn evaluated(session: &Session, text: &str) -> Evaluation {
    lowered(session, text).at(&Workload::default()).into_result().unwrap()
}

/// So many bodies of four layers, each of another size.
pub fn distinct_rows(bodies: u64) -> String {
    let linear = |name: &str, i: &str, o: &str| json!({ "name": name, "class": "torch.nn.modules.linear.Linear", "parameters": { "in_features": i, "out_features": o, "bias": false } });
    let model = json!({
        "variables": { "hidden_size": 512 },
        "layers": [{
            "name": "layers", "repeat": bodies, "variables": { "width": "4 * <hidden_size> + <layer>" },
            "sub_layers": [
                linear("gate", "<hidden_size>", "<width>"),
                { "name": "act", "class": "torch.nn.modules.activation.GELU", "parameters": { "features": "<width>" } },
                { "name": "norm", "class": "torch.nn.modules.normalization.LayerNorm", "parameters": { "normalized_shape": "<width>" } },
                linear("down", "<width>", "<hidden_size>"),
            ]
        }]
    });
    model.to_string()
}
