//! What a stranger's file may try: every input gives an answer or a diagnostic. What these tests are against would take hours, all of the
//! memory, or the stack.

use std::fmt::Write as _;

use layerspec::diagnostics::Code;

use crate::support::{SESSION, evaluate};

/// Evaluates a text; gives the codes of what is wrong, each once.
fn codes(text: &str) -> Vec<Code> {
    let outcome = evaluate(&SESSION, "m.json", text, &Default::default());
    let shown: String = outcome.diagnostics.sorted().into_iter().take(20).map(|d| outcome.shown(d, false)).collect();
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{9b}'), "{shown}");
    let mut codes = crate::support::codes(&outcome.diagnostics);
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// A model with these variables, and a layer of so many features.
fn variables(variables: impl Iterator<Item = String>, features: &str) -> String {
    let variables: Vec<String> = variables.collect();
    format!(
        r#"{{ "variables": {{ {} }}, "layers": [ {{ "name": "a", "class": "torch.nn.SiLU", "parameters": {{ "features": "{features}" }} }} ] }}"#,
        variables.join(", ")
    )
}

/// `v0`, then each made from the one before, which stands for `@`.
fn chain(length: usize, first: &str, step: &str) -> impl Iterator<Item = String> {
    let next = move |i: usize| format!(r#""v{i}": {}"#, step.replace('@', &format!("<v{}>", i - 1)));
    std::iter::once(format!(r#""v0": {first}"#)).chain((1..length).map(next))
}

fn blocks(levels: usize, uses: &str) -> String {
    let mut out = String::from(r#"{ "variables": { "b": "b" }, "blocks": { "#);
    for i in 0..levels {
        write!(out, r#""b{i}": {{ "layers": [ {} ] }}, "#, uses.replace('@', &(i + 1).to_string())).unwrap();
    }
    let layer = r#"{ "name": "a", "class": "torch.nn.SiLU", "parameters": { "features": 8 } }"#;
    write!(out, r#""b{levels}": {{ "layers": [ {layer} ] }} }}, "layers": [ {{ "name": "m", "use": "b0" }} ] }}"#).unwrap();
    out
}

fn layers(layers: impl Iterator<Item = String>) -> String {
    format!(r#"{{ "layers": [ {} ] }}"#, layers.collect::<Vec<_>>().join(","))
}

#[test]
fn blocks_that_use_each_other_twice() {
    assert_eq!(codes(&blocks(30, r#"{ "name": "x", "use": "b@" }, { "name": "y", "use": "b@" }"#)), [Code::ModelTooLarge]);
}

#[test]
fn more_layers_written_out_than_a_file_may_have() {
    let layer = r#"{"class":"torch.nn.SiLU"}"#;
    let text = layers((0..150_001).map(|_| layer.to_owned()));
    let outcome = evaluate(&SESSION, "m.json", &text, &Default::default());
    let said: Vec<String> = outcome.diagnostics.sorted().into_iter().map(|d| outcome.shown(d, false)).collect();
    assert_eq!(said.len(), 1, "{}", said.join("\n"));
    // The first layer too many, not the list.
    assert!(said[0].contains("more than 150000 layers are written out") && said[0].contains("one too many"), "{}", said[0]);
}

#[test]
fn blocks_as_deep_as_may_be() {
    assert_eq!(codes(&blocks(120, r#"{ "name": "x", "repeat": 1, "use": "<b>@" }"#)), []);
    assert_eq!(codes(&blocks(200, r#"{ "name": "x", "use": "<b>@" }"#)), [Code::LayersTooDeep]);
}

#[test]
fn variables_that_double() {
    assert_eq!(codes(&variables(chain(60, "3", r#""@ + @""#), "<v59>")), []);
    assert_eq!(codes(&variables(chain(64, "1", r#""if(@ > 0, @, @)""#), "<v63>")), []);
    for first in ["[1, 2]", r#"{ "a": 1 }"#] {
        assert_eq!(codes(&variables(chain(64, first, r#"["@", "@"]"#), "if(<v63> == <v62>, 1, 0)")), [Code::ExpressionTooLarge]);
    }
    for step in [r#""@ + @""#, r#""if(@ > 0, @, @)""#, r#"["@", "@"]"#] {
        assert_eq!(codes(&variables(chain(64, r#""<seq_len>""#, step), "<v63>")), [Code::ExpressionTooLarge]);
    }
    let own: Vec<String> = chain(64, "[1, 2]", r#"["@", "@"]"#).collect();
    let text =
        variables(std::iter::empty(), "len(<v63>)").replacen('{', &format!(r#"{{ "workload": {{ {} }}, "#, own.join(",")), 1);
    assert_eq!(codes(&text), [Code::ExpressionTooLarge]);
}

#[test]
fn a_chain_of_a_hundred_thousand_variables() {
    let forth = chain(100_000, "1", r#""@ + 1""#);
    assert_eq!(codes(&variables(forth, "<v99999>")), [Code::EvaluationTooDeep]);
    let back = (0..100_000).map(|i| format!(r#""v{i}": "<v{}> + 1""#, i + 1)).chain([r#""v100000": 1"#.to_owned()]);
    assert_eq!(codes(&variables(back, "<v0>")), [Code::EvaluationTooDeep]);
    let around = (0..100_000).map(|i| format!(r#""v{i}": "<v{}> + 1""#, (i + 1) % 100_000));
    assert_eq!(codes(&variables(around, "<v0>")), [Code::EvaluationTooDeep]);
    let around = (0..100).map(|i| format!(r#""v{i}": "<v{}> + 1""#, (i + 1) % 100));
    assert_eq!(codes(&variables(around, "<v0>")), [Code::CyclicVariables]);
}

#[test]
fn expressions_as_deep_as_may_be_behind_each_other() {
    for (open, close) in [("min(", ")"), ("-abs(", ")"), ("if(true, ", ", 0)"), ("default(null, ", ")")] {
        let step = format!(r#""{}@{}""#, open.repeat(100), close.repeat(100));
        for first in ["1", r#""<seq_len>""#] {
            let found = codes(&variables(chain(100, first, &step), "<v99>"));
            assert!(matches!(found[..], [Code::EvaluationTooDeep | Code::ExpressionTooLarge]), "{open}: {found:?}");
        }
    }
}

#[test]
fn a_class_whose_variables_stand_behind_each_other() {
    let names: Vec<String> = chain(250, r#""1""#, r#""if(true, @ + 1, 0)""#).map(|v| v.replace(['<', '>'], "")).collect();
    let class = format!(
        r#""kind": "function", "doc": "d", "source": "s", "variables": {{ {} }}, "flops": {{ "matmul": "v249", "vector": 0, "transcendental": 0 }}"#,
        names.join(", ")
    );
    let text = format!(r#"{{ "classes": {{ "c": {{ {class} }} }}, "layers": [ {{ "name": "a", "class": "c" }} ] }}"#);
    assert_eq!(codes(&text), [Code::EvaluationTooDeep]);
}

#[test]
fn repeats_beyond_all_measure() {
    let repeat = |more: &str, features: &str| {
        layers(std::iter::once(format!(
            r#"{{ "name": "a", "repeat": 1000000000000000000, {more} "class": "torch.nn.SiLU", "parameters": {{ "features": "{features}" }} }}"#
        )))
    };
    assert_eq!(codes(&repeat("", "<batch_size>")), []);
    assert_eq!(codes(&repeat(r#""when": "<layer> == 5","#, "<batch_size>")), [Code::ModelTooLarge]);
    assert_eq!(codes(&repeat(r#""when": "<layer> / 0 == 5","#, "<batch_size>")), [Code::DivisionByZero]);
    assert_eq!(codes(&repeat("", "<batch_size> + <layer> % 2")), [Code::ModelTooLarge]);
}

#[test]
fn twenty_thousand_siblings() {
    let layer = |i: usize, more: &str| {
        format!(
            r#"{{ "name": "a{i}", "class": "torch.nn.Linear", {more} "parameters": {{ "in_features": 2, "out_features": 2 }} }}"#
        )
    };
    const N: usize = 20_000;
    let with = |more: &dyn Fn(usize) -> String| layers((0..N).map(|i| layer(i, &more(i))));
    assert_eq!(codes(&with(&|_| String::new())), []);
    assert_eq!(codes(&with(&|i| format!(r#""inputs": ["b{i}"],"#))), [Code::UnknownInput]);
    assert_eq!(codes(&with(&|i| format!(r#""tied_to": "a{}","#, (i + 1) % N))), [Code::UnknownTieTarget]);
    assert_eq!(codes(&with(&|i| format!(r#""calls": "<v{i}>","#))), [Code::UnknownVariable]);
    assert_eq!(codes(&with(&|i| format!(r#""class_{i}": 3,"#))), [Code::UnknownKey]);
    assert_eq!(codes(&layers((0..N).map(|_| layer(0, "")))), [Code::DuplicateName]);
}

#[test]
fn control_characters_reach_no_terminal() {
    let layer = |name: &str| format!(r#"{{ "name": "{name}", "class": "\\u001b[2J.X" }}"#);
    let names = ["a\\u001b[31m", "b\u{9b}31m", "c\u{202e}d", "\\u0000"];
    let found = codes(&layers(names.iter().map(|name| layer(name))));
    assert_eq!(found, [Code::InvalidName, Code::UnknownClass]);
}

#[test]
fn a_text_of_a_megabyte() {
    let name = "x".repeat(1 << 20);
    let text = layers(std::iter::once(format!(r#"{{ "name": "{name}", "class": "{name}", "inputs": ["{name}"] }}"#)));
    assert_eq!(codes(&text), [Code::InvalidName, Code::UnknownClass, Code::UnknownInput]);
}

#[test]
fn more_values_than_are_read() {
    assert_eq!(codes(&format!("[{}0]", "0,".repeat(9_000_000))), [Code::FileTooLarge]);
}

/// Repeats within repeats multiply what the data flow has to run through: an answer or an error, soon.
#[test]
fn many_nested_repeats_are_no_hang() {
    let silu = r#"{ "name": "a", "class": "torch.nn.SiLU", "parameters": { "features": 8 } }"#.to_owned();
    let nested = |depth: usize, count: u64| {
        (0..depth)
            .fold(silu.clone(), |inner, at| format!(r#"{{ "name": "l{at}", "repeat": {count}, "sub_layers": [ {inner} ] }}"#))
    };
    assert_eq!(codes(&format!(r#"{{ "layers": [ {} ] }}"#, nested(8, 1000))), []);
    let most = codes(&format!(r#"{{ "layers": [ {} ] }}"#, nested(30, 5)));
    assert!(most.contains(&Code::ModelTooLarge), "{most:?}");
}

/// Each of many instances reads the one before it by its index.
#[test]
fn many_instances_read_by_index() {
    let model = r#"{ "layers": [
        { "name": "fc", "class": "torch.nn.Linear", "parameters": { "in_features": 2, "out_features": 2, "bias": false } },
        { "name": "layers", "repeat": 20000, "variables": { "before": "max(<layer> - 1, 0)" }, "sub_layers": [
          { "name": "first", "when": "<layer> == 0", "class": "torch.nn.SiLU", "parameters": { "features": 2 } },
          { "name": "next", "when": "<layer> > 0", "class": "torch.nn.SiLU", "inputs": ["layers.<before>"], "parameters": { "features": 2 } } ] } ] }"#;
    assert_eq!(codes(model), []);
}

const SILU: &str = r#""class": "torch.nn.SiLU", "parameters": { "features": 8 }"#;

/// A few thousand characters make as many millions.
#[test]
fn texts_that_grow_while_they_are_filled_in() {
    let long = "a".repeat(1000);
    for field in [r#""name": "@""#, r#""name": "x", "class": "@""#, r#""name": "x", "output": "@", "sub_layers": []"#] {
        let field = field.replace('@', &"<a>".repeat(200));
        let text = format!(r#"{{ "variables": {{ "a": "{long}" }}, "layers": [ {{ {field} }} ] }}"#);
        assert!(codes(&text).contains(&Code::ExpressionTooLarge), "{field:.40}");
    }
    // Each is short enough, all are not.
    let tied = (0..600).map(|i| format!(r#"{{ "name": "l{i}", "tied_to": "{}", {SILU} }}"#, "<a>".repeat(99)));
    let text = layers(tied).replacen('{', &format!(r#"{{ "variables": {{ "a": "{long}" }},"#), 1);
    assert!(codes(&text).contains(&Code::ExpressionTooLarge));
}

#[test]
fn tensors_of_more_dimensions_than_there_are() {
    let dims = vec!["1"; 65].join(", ");
    let weight = format!(r#"{{ "layers": [ {{ "name": "a", "weights": {{ "w": [{dims}] }}, "sub_layers": [] }} ] }}"#);
    let input = format!(r#"{{ "inputs": {{ "x": {{ "shape": [{dims}] }} }}, "layers": [ {{ "name": "a", {SILU} }} ] }}"#);
    assert_eq!(codes(&weight), [Code::ExpressionTooLarge]);
    assert!(codes(&input).contains(&Code::ExpressionTooLarge));
}

#[test]
fn more_points_than_are_computed() {
    let point = r#"{ "workload": { "seq_len": 1 }, "params": 0 }"#;
    let points = vec![point; 5000].join(", ");
    let text = format!(
        r#"{{ "layers": [ {{ "name": "l<layer>", "repeat": 300, {SILU} }}, {{ "name": "m", "repeat": 300, "index": "i", "parallel": true, "class": "torch.nn.SiLU",
            "inputs": ["input"], "parameters": {{ "features": "8 + <i>" }} }} ], "expect": {{ "points": [ {points} ] }} }}"#
    );
    assert!(codes(&text).contains(&Code::ModelTooLarge), "{:?}", codes(&text));
}

/// What these do for each layer must not look at all of them.
#[test]
fn a_hundred_thousand_layers_that_name_each_other() {
    let count = 100_000;
    let held = layers((0..count).map(|i| format!(r#"{{ "name": "a{i}", "hold": "a{}", {SILU} }}"#, (i + 1).min(count - 1))));
    assert_eq!(codes(&held), [Code::UnknownInput]);
    let nowhere = layers((0..count).map(|i| format!(r#"{{ "name": "a{i}", "hold": "zz", {SILU} }}"#)));
    assert_eq!(codes(&nowhere), [Code::UnknownInput]);
    let searched = variables([format!(r#""t": "y{}""#, "x".repeat(1_000_000))].into_iter(), "find_last(<t>, 'y', len(<t>)) + 8");
    assert_eq!(codes(&searched), []);
}
