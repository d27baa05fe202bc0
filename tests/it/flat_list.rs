//! The flat list, whole: substituted parameters, what flows, and the same as a model file.

use std::collections::{BTreeSet, HashMap};

use layerspec::analyses::Producer;
use layerspec::reports::{FORMATS, Options};
use layerspec::{Evaluation, Maker, Quantity, Read, Workload};
use serde_json::{Value as Json, json};

use crate::support::{SESSION, evaluate, model_file, workload};

fn render(at: &Evaluation, format: &str) -> String {
    let options = Options { expand: true, exact: true, ..Options::default() };
    let format = FORMATS.iter().find(|known| known.name == format).unwrap();
    let mut out = Vec::new();
    (format.render)(at, &options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn rows(at: &Evaluation) -> Vec<Json> {
    render(at, "jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An encoder and a decoder, experts, sliding windows, images, a state, layers called again: each kind of data flow.
const MODELS: &[&str] = &[
    "llama-2-7b-hf",
    "gemma-3-270m",
    "whisper-small",
    "mixtral-8x7b-v0.1",
    "qwen3-vl-2b-instruct",
    "mamba-130m-hf",
    "albert-base-v2",
    "t5-base",
    "gpt-oss-20b",
    "swin-tiny-patch4-window7-224",
];

/// What a layer reads is what an earlier one gives, or what the model is called with: shape for shape.
#[test]
fn a_program_can_rebuild_the_data_flow() {
    for name in MODELS {
        for asked in [json!({ "batch_size": 2, "seq_len": 48 }), json!({ "phase": "decode", "past_len": 40 })] {
            let at = evaluate(&SESSION, name, model_file(name), &workload(&asked)).into_result().unwrap();
            let mut given: HashMap<(String, Option<String>), Json> = HashMap::new();
            let mut edges = 0;
            for row in rows(&at) {
                let path = row["path"].as_str().unwrap().to_owned();
                for input in row["inputs"].as_array().unwrap().iter().filter(|input| !input["shape"].is_null()) {
                    let sources: Vec<&str> = match &input["from"] {
                        Json::Null => continue,
                        Json::Array(paths) => paths.iter().map(|path| path.as_str().unwrap()).collect(),
                        path => vec![path.as_str().unwrap()],
                    };
                    for source in sources {
                        let output = input["output"].as_str().map(str::to_owned);
                        let looks = given
                            .get(&(source.to_owned(), output))
                            .unwrap_or_else(|| panic!("{name}: {path} reads {source} before it ran"));
                        assert_eq!(
                            (&looks["shape"], &looks["dtype"]),
                            (&input["shape"], &input["dtype"]),
                            "{name}: {path} reads {source}"
                        );
                        edges += 1;
                    }
                }
                let outputs = row["outputs"].as_array().unwrap();
                for output in outputs {
                    given.insert((path.clone(), output["name"].as_str().map(str::to_owned)), output.clone());
                }
                // By itself the path is the first output.
                let own = row["weights"].as_array().unwrap().first().filter(|_| row["kind"] == "parameter");
                if let Some(first) = outputs.first().or(own) {
                    assert!(given.insert((path.clone(), None), first.clone()).is_none(), "{name}: {path} stands there twice");
                }
            }
            assert!(edges > 20, "{name}: {edges}");
        }
    }
}

/// By hand, from `LlamaDecoderLayer` (transformers 5.24): a prompt of 3 tokens.
#[test]
fn a_row_says_all_of_its_layer() {
    let asked = workload(&json!({ "batch_size": 1, "seq_len": 3, "weight_dtype": "fp16" }));
    let at = evaluate(&SESSION, "llama", model_file("llama-2-7b-hf"), &asked).into_result().unwrap();
    let rows = rows(&at);
    let row = |path: &str| rows.iter().find(|row| row["path"] == path).unwrap();
    let down = row("model.layers.7.mlp.down_proj");
    assert_eq!(down["parameters"], json!({ "in_features": 11008, "out_features": 4096, "bias": false }));
    let read = json!([{ "name": "input", "from": "model.layers.7.mlp.gated", "shape": [1, 3, 11008], "dtype": "bf16" }]);
    let gated = down["inputs"][0]["from"].clone();
    assert_eq!(
        (down["inputs"][0]["shape"].clone(), down["inputs"][0]["dtype"].clone()),
        (read[0]["shape"].clone(), read[0]["dtype"].clone())
    );
    assert!(gated.as_str().unwrap().starts_with("model.layers.7.mlp."), "{gated}");
    assert_eq!(down["outputs"], json!([{ "name": "output", "shape": [1, 3, 4096], "dtype": "bf16" }]));
    assert_eq!(
        down["weights"],
        json!([{ "name": "weight", "shape": [4096, 11008], "dtype": "fp16", "bytes": 4096 * 11008 * 2 }])
    );
    // Layers chain; the first reads the embedding, that the token ids.
    let residual = |layer: u64| row(&format!("model.layers.{layer}.attention_residual"))["inputs"].clone();
    assert_eq!(residual(0)[0]["from"], "model.embed_tokens");
    assert_eq!(residual(31)[0]["from"], "model.layers.30.mlp_residual");
    let ids = json!([{ "name": "input", "model_input": "input_ids", "shape": [1, 3], "dtype": "int64" }]);
    assert_eq!(row("model.embed_tokens")["inputs"], ids);
}

/// CSV has the same, lists and objects as JSON in a cell.
#[test]
fn the_columns_of_csv_are_the_keys_of_json() {
    let asked = workload(&json!({ "batch_size": 2, "seq_len": 48 }));
    let at = evaluate(&SESSION, "gemma", model_file("gemma-3-270m"), &asked).into_result().unwrap();
    let text = render(&at, "csv");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let columns = reader.headers().unwrap().clone();
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let rows = rows(&at);
    assert_eq!(records.len(), rows.len());
    for (record, row) in records.iter().zip(&rows) {
        for (column, cell) in columns.iter().zip(record) {
            match column {
                "parameters" | "inputs" | "outputs" | "weights" => {
                    assert_eq!(serde_json::from_str::<Json>(cell).unwrap(), row[column]);
                }
                "params" | "matmul_flops" => assert_eq!(cell, row[column].to_string()),
                _ => {}
            }
        }
    }
}

/// By layer, in the order of execution, whose values it reads: the positions of their makers in that order, none of a model's input. Of a
/// parallel repeat the last.
fn makers(at: &Evaluation) -> Vec<Vec<Option<usize>>> {
    let (mut order, mut all) = (HashMap::new(), Vec::new());
    let visited = at.visit_layers::<std::convert::Infallible>(&mut |layer| {
        let maker = |read: &Read| match read.last().map(|feed| &feed.from) {
            Some(Maker::Layer { path, .. }) => order.get(&**path).copied(),
            Some(Maker::Input(_)) | None => None,
        };
        all.push(layer.reads.iter().map(maker).collect());
        order.insert(layer.instance.path.clone(), order.len());
        // A tensor that a composite owns goes by another path in the flat list.
        let own = layer.instance.path.rsplit_once('.').filter(|_| layer.instance.row.kind() == "parameter");
        if let Some((path, weight)) = own {
            order.insert(path.to_owned() + "/" + weight, order.len() - 1);
        }
        Ok(())
    });
    visited.unwrap();
    all
}

/// The data flow as it is drawn is the data flow as it is listed: each layer reads from the rows from which an edge leads to it.
#[test]
fn the_graph_has_the_edges_of_the_list() {
    for name in MODELS {
        let at = evaluate(&SESSION, name, model_file(name), &(Workload::default(), Default::default())).into_result().unwrap();
        let mut listed = BTreeSet::new();
        let visited = at.visit_layers::<std::convert::Infallible>(&mut |layer| {
            for feed in layer.reads.iter().flat_map(|read| read.iter()) {
                let from = match &feed.from {
                    Maker::Layer { row, .. } => Some(*row),
                    Maker::Input(_) => None,
                };
                listed.insert((from, layer.instance.row.id()));
            }
            Ok(())
        });
        visited.unwrap();
        let graph = at.lowered().graph().unwrap();
        let drawn = graph.edges.iter().map(|edge| match edge.from {
            Producer::Layer(row) => (Some(row), edge.to),
            Producer::Input(_) => (None, edge.to),
        });
        assert_eq!(listed, drawn.collect::<BTreeSet<_>>(), "{name}");
    }
}

/// Of every quantity that no composite decides (how long values live, what calls of a composite save), at three workloads.
#[test]
fn the_flat_list_as_a_model_file_costs_the_same() {
    let asked = [
        json!({ "batch_size": 2, "seq_len": 48 }),
        json!({ "phase": "decode", "past_len": 40 }),
        json!({ "phase": "train", "seq_len": 32 }),
    ];
    for name in MODELS {
        let at = evaluate(&SESSION, name, model_file(name), &(Workload::default(), Default::default())).into_result().unwrap();
        let mut file = SESSION.read(name, model_file(name)).into_result().unwrap().heading(None);
        file.extend(at.flat_list().unwrap());
        let layers = file["layers"].as_array().unwrap();
        assert_eq!(layers.len() as u128, at.layers(), "{name}");
        assert!(layers.iter().all(|layer| layer.get("repeat").is_none() && layer.get("use").is_none()), "{name}");
        let file = Json::Object(file).to_string();
        for asked in &asked {
            let at = |text: &[u8]| evaluate(&SESSION, name, text, &workload(asked)).into_result();
            let (Ok(first), flat) = (at(&model_file(name)), at(file.as_bytes())) else { continue };
            let flat = flat.unwrap();
            assert_eq!(first.totals(), flat.totals(), "{name}: {asked}");
            let paths = |at: &Evaluation| at.instances().map(|instance| instance.path.replace('.', "/")).collect::<Vec<_>>();
            let own = |at: &Evaluation| at.rows().filter(|row| row.kind() == "parameter").count() > 0;
            assert!(own(&first) || paths(&first) == paths(&flat), "{name}: {asked}");
            if *name != "albert-base-v2" {
                assert_eq!(first.saved_bytes(), flat.saved_bytes(), "{name}: {asked}");
            }
            assert_eq!(first.total(Quantity::Params), flat.params());
            // There no repeat stands between a name and what it means.
            assert_eq!(makers(&first), makers(&flat), "{name}: {asked}");
        }
    }
}

/// A model as such owns no tensor; a group that is spliced into it may. Found by `fuzz/fuzz_targets/structure.rs`.
#[test]
fn tensors_of_a_group_are_written_out() {
    let text = r#"{ "layers": [
        { "weights": { "pos": [4, 8] }, "sub_layers": [{ "name": "a", "class": "torch.nn.SiLU", "parameters": { "features": 8 } }] },
        { "name": "b", "class": "torch.nn.SiLU", "inputs": ["a"], "parameters": { "features": 8 } } ] }"#;
    let usual = (Workload::default(), Default::default());
    let at = |text: &str| evaluate(&SESSION, "m.json", text, &usual).into_result().unwrap();
    let first = at(text);
    assert_eq!(first.params(), 32);
    for written in [first.lowered().explicit().unwrap(), first.flat_list().unwrap()] {
        let text = Json::Object(written).to_string();
        assert_eq!((at(&text).params(), at(&text).layers()), (32, 3), "{text}");
    }
}
