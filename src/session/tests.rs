//! What holds of flattened models, as only the phases' own types show it.

use super::Session;
use crate::analysis::Edge;
use crate::lower::Execution;

/// Every layer of the embedded models reads as many values as its class has inputs.
#[test]
fn embedded_models_flow() {
    let session = Session::new();
    for file in session.catalog().models() {
        let model = session.load(file.name).and_then(|model| model.lowered(&Execution::default())).into_result().unwrap();
        let graph = model.graph().unwrap();
        for (at, info) in model.flat.rows.iter().enumerate() {
            let Some(class) = &info.row.class else { continue };
            let first = |edge: &&Edge| edge.to.0 as usize == at && edge.next.is_none();
            // What an instance of a repeat reads of the one before it is an edge of its own kind.
            let is_index = |part: &str| part.starts_with('[') || part.bytes().all(|b| b.is_ascii_digit());
            let (reads, after) = (graph.edges.iter().filter(first).count(), info.path.split('.').any(is_index));
            // A rotary embedding only asks how long the sequence is.
            // A value that is read twice is one edge.
            let mut wanted = info.row.inputs.clone();
            wanted.sort_by_key(|input| format!("{input:?}"));
            wanted.dedup();
            if !class.0.inputs.is_empty()
                && class.0.inputs.iter().all(|input| input.when.is_none())
                && !(after && reads < wanted.len())
            {
                assert_eq!(reads, wanted.len(), "{}: {}", file.name, info.path);
            }
        }
    }
}

/// Of a composite what the layer says, else its block; of a basic layer what it says, else its class.
#[test]
fn a_layer_says_its_role_before_its_block_and_its_class() {
    let text = r#"{
      "blocks": { "ffn": { "role": "mlp", "layers": [
        { "name": "up", "class": "torch.nn.Linear", "role": "up projection", "parameters": { "in_features": 8, "out_features": 8 } },
        { "name": "act", "class": "torch.nn.ReLU", "parameters": { "features": 8 } },
        { "name": "down", "class": "torch.nn.Linear", "parameters": { "in_features": 8, "out_features": 8 } },
        { "name": "sum", "class": "add", "role": "head", "inputs": ["input", "down"], "parameters": { "features": 8 } } ] } },
      "inputs": { "x": { "shape": ["<batch_size>", "<seq_len>", 8] } },
      "layers": [ { "name": "mlp", "use": "ffn", "inputs": ["x"] }, { "name": "shared", "use": "ffn", "role": "shared expert" }, { "name": "plain", "sub_layers": [
        { "name": "act", "class": "torch.nn.ReLU", "parameters": { "features": 8 } } ] } ]
    }"#;
    let lowered = Session::new().read("model", text).and_then(|model| model.lowered(&Execution::default()));
    let compiled = lowered.into_result().unwrap();
    let rows: Vec<Option<crate::catalog::Role>> = compiled.flat.rows.iter().take(4).map(|info| info.row.role).collect();
    assert_eq!(
        rows,
        [
            Some(crate::catalog::Role::UpProjection),
            Some(crate::catalog::Role::Activation),
            None,
            Some(crate::catalog::Role::Head)
        ]
    );
    let composites = compiled
        .flat
        .body
        .iter()
        .map(|node| if let crate::flat::Node::Composite(composite) = node { composite.role } else { None });
    assert_eq!(composites.collect::<Vec<_>>(), [Some(crate::catalog::Role::Mlp), Some(crate::catalog::Role::SharedExpert), None]);
}
