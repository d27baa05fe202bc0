//! What holds of the embedded models, as only the phases' own types show it.

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
