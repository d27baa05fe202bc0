//! Instances of a repeat that differ in numbers alone (docs/decisions/0026): each is what it is where it is written out for itself.

use layerspec::reports::{FORMATS, Options};
use serde_json::{Value as Json, json};

use crate::support::{SESSION, evaluate, workload};

fn linear(name: &str, from: &str, to: &str) -> Json {
    json!({ "name": name, "class": "Linear", "parameters": { "in_features": from, "out_features": to, "bias": false } })
}

/// Every line of the full flat list, or what is wrong.
fn lines(model: &Json) -> Result<String, String> {
    let outcome = evaluate(&SESSION, "model.json", model.to_string(), &workload(&json!({ "batch_size": 2, "seq_len": 6 })));
    let at = outcome
        .into_result()
        .map_err(|failure| failure.diagnostics.iter().map(|said| format!("{}\n", said.message)).collect::<String>())?;
    let lines = FORMATS.iter().find(|known| known.name == "jsonl").unwrap();
    let mut out = Vec::new();
    (lines.render)(&at, &Options { expand: true, exact: true, ..Options::default() }, &mut out).unwrap();
    Ok(String::from_utf8(out).unwrap())
}

/// A model whose body is repeated, and the same with each instance written out: its index is a variable of the model.
fn both(variables: &Json, blocks: &Json, body: &Json, repeats: usize) -> [Json; 2] {
    let mut repeated = body.clone();
    repeated["repeat"] = repeats.into();
    repeated["name"] = "layers".into();
    let instance = |at: usize| {
        let mut one: Json = serde_json::from_str(&body.to_string().replace("<layer>", &format!("<i{at}>"))).unwrap();
        one["name"] = format!("layers.{at}").into();
        one
    };
    let mut variables = variables.clone();
    (0..repeats).for_each(|at| variables[format!("i{at}")] = at.into());
    [vec![repeated], (0..repeats).map(instance).collect()]
        .map(|layers| json!({ "variables": variables, "blocks": blocks, "layers": layers }))
}

#[test]
fn each_instance_is_as_it_is_written_out() {
    let ends = |first: Json, last: Json| json!({ "variables": { "w": "8 + <layer>" }, "sub_layers": [first, last] });
    let (first, last) = (linear("up", "<h>", "<w>"), linear("down", "<w>", "<h>"));
    let inside = |more: Json| {
        let mut layers = vec![linear("up", "<h>", "<v>")];
        layers.push(more);
        layers.push(linear("down", "<v>", "<h>"));
        json!({ "sub_layers": [{ "name": "inner", "variables": { "v": "8 + <layer>" }, "sub_layers": layers }] })
    };
    let gelu = json!({ "name": "act", "class": "GELU", "parameters": { "features": "<v>" } });
    let with = |layer: &Json, key: &str, value: Json| {
        let mut layer = layer.clone();
        layer[key] = value;
        layer
    };
    let block = json!({ "mlp": {
        "takes": { "h": "required", "w": 8 },
        "variables": { "deep": "<w> > 10" },
        "layers": [first, { "name": "mid", "when": "<deep>", "use": "middle" }, last],
    }, "middle": { "takes": { "w": "required" }, "layers": [linear("same", "<w>", "<w>")] } });
    let none = json!({});
    for (what, blocks, body) in [
        ("numbers alone", &none, ends(first.clone(), last.clone())),
        (
            "one of two forms each",
            &none,
            ends(with(&first, "when", "<layer> % 3 != 1".into()), with(&last, "when", "<layer> % 3 != 1".into())),
        ),
        ("a number is first an argument, then decides what exists", &none, inside(with(&gelu, "when", "<v> > 10".into()))),
        ("a number is an argument and in a name", &none, inside(with(&gelu, "name", "act<v>".into()))),
        ("a number is an argument and says how often", &none, inside(with(&gelu, "calls", "<v>".into()))),
        ("a number is an argument and a weight's size", &none, inside(with(&gelu, "weights", json!({ "own": ["<v>"] })))),
        ("a composite owns a tensor", &none, with(&ends(first.clone(), last.clone()), "weights", json!({ "own": [3] }))),
        (
            "a repeat inside",
            &none,
            inside(json!({ "name": "more", "repeat": 2, "class": "GELU", "parameters": { "features": "<v>" } })),
        ),
        ("a group inside", &none, inside(json!({ "sub_layers": [gelu.clone()] }))),
        (
            "a workload's length is another one",
            &none,
            json!({ "sub_layers": [
            { "name": "inner", "variables": { "logit_len": "1 + <layer>" }, "sub_layers": [linear("up", "<h>", "8 + <layer>"), linear("down", "8 + <layer>", "<h>")] }] }),
        ),
        ("a block", &block, json!({ "use": "mlp", "variables": { "w": "8 + <layer>" } })),
        (
            "a block in a composite",
            &block,
            json!({ "sub_layers": [{ "name": "in", "use": "mlp", "variables": { "w": "8 + <layer>" } }] }),
        ),
    ] {
        let [repeated, written] = both(&json!({ "h": 4 }), blocks, &body, 7);
        let (repeated, written) = (lines(&repeated), lines(&written));
        assert!(written.is_ok(), "{what}: {written:?}");
        assert_eq!(repeated, written, "{what}");
    }
}

/// What is wrong with the third instance is said of it.
#[test]
fn a_wrong_number_is_reported() {
    let body = json!({ "variables": { "w": "if(<layer> == 2, 1 / 2, 8 + <layer>)" }, "sub_layers": [linear("up", "4", "<w>"), linear("down", "<w>", "4")] });
    let [repeated, _] = both(&json!({}), &json!({}), &body, 5);
    let said = lines(&repeated).unwrap_err();
    assert!(said.contains("1/2") || said.contains("0.5") || said.contains("1 / 2"), "{said}");
}
