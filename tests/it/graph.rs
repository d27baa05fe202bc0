//! The data flow: which layer reads whose value, and its drawings.

use std::fmt::Write as _;

use layerspec::analyses::{Edge, Graph, Producer, TooManyEdges};
use layerspec::reports::{render_dot, render_mermaid};
use layerspec::{Lowered, Settings, Value};

use crate::support::{SESSION, lower, root};

fn lowered(text: &str, settings: &Settings) -> Lowered {
    lower(&SESSION, text, settings).into_result().unwrap()
}

fn case(name: &str) -> String {
    std::fs::read_to_string(root("tests/cases/ok").join(format!("{name}.json"))).unwrap()
}

fn drawings(text: &str) -> [String; 2] {
    drawn(&lowered(text, &Settings::default()))
}

fn drawn(model: &Lowered) -> [String; 2] {
    let graph = model.graph().unwrap();
    let (mut dot, mut mermaid) = (Vec::new(), Vec::new());
    render_dot(model, &graph, &mut dot).unwrap();
    render_mermaid(model, &graph, &mut mermaid).unwrap();
    [dot, mermaid].map(|bytes| String::from_utf8(bytes).unwrap())
}

/// `a -> b`, with the paths of the rows.
fn edges(text: &str) -> Vec<String> {
    let model = lowered(text, &Settings::default());
    let graph = model.graph().unwrap();
    graph.edges.iter().map(|edge| shown(&model, &graph, edge)).collect()
}

fn shown(model: &Lowered, graph: &Graph, edge: &Edge) -> String {
    let mut out = match edge.from {
        Producer::Layer(row) => model.row(row).unwrap().path().to_owned(),
        Producer::Input(at) => graph.inputs[at as usize].to_string(),
    };
    edge.output.iter().for_each(|output| write!(out, "#{output}").unwrap());
    let arrow = match edge.next {
        None => "->",
        Some(next) if next.back => "=>>",
        Some(_) => "=>",
    };
    write!(out, " {arrow} {}", model.row(edge.to).unwrap().path()).unwrap();
    out
}

#[test]
fn drawings_of_small_models() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("../snapshots/graph");
    settings.bind(|| {
        for name in ["chained-and-parallel", "groups-and-inline", "nested-repeats", "own-weights", "reading-an-earlier-instance"]
        {
            let [dot, mermaid] = drawings(&case(name));
            insta::assert_snapshot!(format!("{name}.dot"), dot);
            insta::assert_snapshot!(format!("{name}.mermaid"), mermaid);
        }
    });
}

fn linear(more: &str) -> String {
    format!(r#"{{ {more}, "class": "torch.nn.Linear", "parameters": {{ "in_features": 4, "out_features": 4 }} }}"#)
}

#[test]
fn values_come_through_composites_from_the_layers_that_make_them() {
    let [a, b, last] = ["a", "b", "last"].map(|name| linear(&format!(r#""name": "{name}""#)));
    let side = linear(r#""name": "side", "inputs": ["input"]"#);
    let reader =
        r#"{ "name": "reader", "class": "add", "inputs": ["outer", "outer.inner.b", "token"], "parameters": { "features": 4 } }"#;
    let text = format!(
        r#"{{ "inputs": {{ "x": {{ "shape": [4] }}, "token": {{ "shape": [4] }} }}, "layers": [
          {{ "name": "outer", "inputs": ["x"], "output": "inner", "sub_layers": [
            {{ "name": "inner", "output": "a", "sub_layers": [ {a}, {b} ] }}, {{ "name": "nothing", "sub_layers": [] }}, {side} ] }},
          {reader}, {last} ] }}"#
    );
    let expected = [
        "x -> outer.inner.a",
        "outer.inner.a -> outer.inner.b",
        "x -> outer.side",
        "outer.inner.a -> reader",
        "outer.inner.b -> reader",
        "token -> reader",
        "reader -> last",
    ];
    assert_eq!(edges(&text), expected);
}

#[test]
fn an_instance_reads_the_one_before_it() {
    // Layers 0, 2, 4 and 1, 3 alternate; each adds what it is given to what it makes.
    let fc = r#"{ "name": "fc", "class": "torch.nn.Linear", "parameters": { "in_features": 4, "out_features": 4, "bias": "<layer> % 2 == 0" } }"#;
    let sum = r#"{ "name": "sum", "class": "add", "inputs": ["input", "fc"], "parameters": { "features": 4 } }"#;
    let head = linear(r#""name": "head""#);
    let text = format!(r#"{{ "layers": [ {{ "name": "l", "repeat": 5, "sub_layers": [ {fc}, {sum} ] }}, {head} ] }}"#);
    let expected = [
        "input_ids -> l.[0-4:2].fc",
        "l.[1,3].sum =>> l.[0-4:2].fc",
        "input_ids -> l.[0-4:2].sum",
        "l.[1,3].sum =>> l.[0-4:2].sum",
        "l.[0-4:2].fc -> l.[0-4:2].sum",
        "l.[0-4:2].sum => l.[1,3].fc",
        "l.[0-4:2].sum => l.[1,3].sum",
        "l.[1,3].fc -> l.[1,3].sum",
        // Five instances: the last is an even one.
        "l.[0-4:2].sum -> head",
    ];
    assert_eq!(edges(&text), expected);
    // Drawn, the step back is one edge.
    let [dot, mermaid] = drawings(&text);
    assert_eq!(dot.matches("style=dashed").count(), 1, "{dot}");
    assert_eq!(mermaid.matches("-.->").count(), 1, "{mermaid}");
}

/// What runs once isn't followed by itself.
#[test]
fn a_single_instance_has_no_next() {
    let text = |repeat: u32| {
        format!(r#"{{ "layers": [ {{ "name": "l", "repeat": {repeat}, "sub_layers": [ {} ] }} ] }}"#, linear(r#""name": "fc""#))
    };
    assert_eq!(edges(&text(1)), ["input_ids -> l.0.fc"]);
    assert_eq!(edges(&text(2)), ["input_ids -> l.[0-1].fc", "l.[0-1].fc =>> l.[0-1].fc"]);
}

#[test]
fn a_great_many_edges_are_an_error() {
    // 2,000 layers, each of which reads 2,000 heads that all differ.
    let head = r#"{ "name": "heads", "repeat": 2000, "parallel": true, "class": "torch.nn.Linear", "parameters": { "in_features": 4, "out_features": "<layer>" } }"#;
    let readers: Vec<String> = (0..2000).map(|at| linear(&format!(r#""name": "r{at}", "inputs": ["heads"]"#))).collect();
    let text = format!(r#"{{ "layers": [ {head}, {} ] }}"#, readers.join(", "));
    assert_eq!(lowered(&text, &Settings::default()).graph().unwrap_err(), TooManyEdges);
    // A long chain of what gives back its input is no problem.
    let passing: Vec<String> = (0..20_000).map(|at| format!(r#"{{ "name": "p{at}", "sub_layers": [] }}"#)).collect();
    let end = linear(r#""name": "end""#);
    let text = format!(r#"{{ "layers": [ {}, {{ "name": "l", "repeat": 9, "sub_layers": [] }}, {end} ] }}"#, passing.join(", "));
    assert_eq!(edges(&text), ["input_ids -> end"]);
}

#[test]
fn names_from_a_file_stay_labels() {
    // A value that comes from a setting is data, brackets and all.
    let hostile = Value::text(r#"a"]; n9 -> n8 %%{init: x}%% <b>`&quot;\N"#);
    let class = r#"x.end\nsubgraph [\u001b[31m\u202e]"#;
    let fc = linear(r#""name": "<hostile>""#);
    let text = format!(
        r#"{{ "name": "m\"\n}}\u001b", "variables": {{ "hostile": "" }},
          "layers": [ {{ "name": "end", "class": "{class}", "repeat": 2, "sub_layers": [ {fc} ] }} ] }}"#
    );
    let [dot, mermaid] = drawn(&lowered(&text, &Settings::default().set("hostile", hostile)));
    for drawing in [&dot, &mermaid] {
        assert!(!drawing.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{drawing}");
    }
    let expected = [
        "digraph {",
        r#"  label="m\" }\\u{1b}""#,
        "  labelloc=t",
        "  node [shape=box]",
        r#"  in0 [label="input_ids", shape=ellipse]"#,
        "  subgraph cluster_0 {",
        r#"    label="end.[0-1] x2: end subgraph [\\u{1b}[31m\\u{202e}]""#,
        r#"    n0 [label="a\"]; n9 -> n8 %%{init: x}%% <b>`&amp;quot;\\N\nLinear"]"#,
        "  }",
        "  in0 -> n0",
        r#"  n0 -> n0 [label="next", style=dashed, constraint=false]"#,
        "}",
    ];
    assert_eq!(dot.lines().collect::<Vec<_>>(), expected);
    let expected = [
        "flowchart TD",
        r#"  in0(["input_ids"])"#,
        r#"  subgraph c0["end.[0-1] x2: end subgraph [#92;u#123;1b#125;[31m#92;u#123;202e#125;]"]"#,
        r#"    n0["a#34;]#59; n9 -#62; n8 #37;#37;#123;init: x#125;#37;#37; #60;b#62;#96;#38;quot#59;#92;N<br/>Linear"]"#,
        "  end",
        "  in0 --> n0",
        r#"  n0 -.->|"next"| n0"#,
    ];
    assert_eq!(mermaid.lines().collect::<Vec<_>>(), expected);
}
