//! What is wrong with a class is said at the smallest place that has to change; what is implied is there.

use super::*;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::json;
use crate::syntax::source::{Source, SourceId};

/// A class with these members before those that it needs, and what is said of it.
fn read(members: &str) -> (Option<Class>, Vec<Diagnostic>) {
    let text = format!(
        r#"{{ {members}, "class": "my.Class", "kind": "function", "doc": "d", "source": "s", "flops": {{ "matmul": 0, "vector": 0, "transcendental": 0 }} }}"#
    );
    let mut said = Diagnostics::default();
    let source = Source::load(SourceId::catalog(0), "class.json", text.as_bytes()).unwrap();
    let root = json::read(&source, &mut said).unwrap().root;
    let class = parse_class(None, &root, &|_| Err(None), &mut said);
    (class, said.sorted().into_iter().cloned().collect())
}

/// No key takes what it has no meaning for in silence.
#[test]
fn a_value_of_a_wrong_type_is_an_error_at_its_place() {
    let value = |key: &str| format!(r#""output": {{ "shape": [1], "{key}": @ }}"#);
    let input = |key: &str| format!(r#""inputs": {{ "input": {{ "shape": [1], "{key}": @ }} }}"#);
    let parameter = |key: &str| format!(r#""parameters": {{ "p": {{ "kind": "text", "doc": "d", "{key}": @ }} }}"#);
    let example = |key: &str| format!(r#""examples": [ {{ "source": "s", "expect": {{}}, "parameters": {{}}, "{key}": @ }} ]"#);
    let cases: [(String, &[&str]); 30] = [
        (input("broadcast"), &["1", "\"true\"", "null", "[]"]),
        (input("optional"), &["0", "\"yes\"", "{}"]),
        (value("hold"), &["true", "-1", "1.5", "70000", "\"1\"", "null"]),
        (value("view"), &["1", "null", "{}", "\"'a'\""]),
        (value("persistent"), &["0", "null", "[true]"]),
        (value("when"), &["1", "null", "{}"]),
        (value("dtype"), &["4", "true", "null"]),
        (r#""output": { "shape": @ }"#.to_owned(), &["{}"]),
        (r#""weights": { "w": { "shape": [1], "when": @ } }"#.to_owned(), &["1", "null", "\"'a'\""]),
        (r#""weights": @"#.to_owned(), &["[]", "1"]),
        (r#""saves": [ { "name": "t", "shape": [1], "when": @ } ]"#.to_owned(), &["1", "null"]),
        (r#""saves": [ { "value": @ } ]"#.to_owned(), &["1", "null"]),
        (r#""saves": @"#.to_owned(), &["\"output\"", "{}"]),
        (r#""aliases": @"#.to_owned(), &["\"C\"", "{}", "null"]),
        (r#""aliases": [ @ ]"#.to_owned(), &["1", "null", "[]"]),
        (r#""aliases": [ { "name": "a", "kind": @ } ]"#.to_owned(), &["1", "null"]),
        (r#""quantized": @"#.to_owned(), &["\"weight\"", "true"]),
        (r#""parallel": @"#.to_owned(), &["[]", "1"]),
        (r#""parallel": { "tensor": @ }"#.to_owned(), &["\"p\"", "1"]),
        (r#""derivation": @"#.to_owned(), &["\"a line\"", "1"]),
        (r#""role": @"#.to_owned(), &["1", "null"]),
        (r#""facts": @"#.to_owned(), &["[]", "1"]),
        (r#""require": { "true": @ }"#.to_owned(), &["1", "null"]),
        (r#""variables": @"#.to_owned(), &["[]", "1"]),
        (r#""cache": @"#.to_owned(), &["{}"]),
        (r#""reads": @"#.to_owned(), &["1", "\"weights\""]),
        (r#""backward": @"#.to_owned(), &["0", "null"]),
        (parameter("values"), &["\"a\"", "1"]),
        (r#""parameters": { "p": { "kind": "text", "doc": "d", "default": @ } }"#.to_owned(), &["{}"]),
        (example("workload"), &["[]", "1"]),
    ];
    for (members, values) in cases {
        for value in values {
            let (before, after) = members.split_once('@').unwrap();
            let (_, said) = read(&format!("{before}{value}{after}"));
            let found: Vec<_> = said.iter().map(|d| (d.code, d.primary.as_ref().map(|label| label.span.range()))).collect();
            let start = 2 + before.len();
            assert_eq!(found, [(Code::WrongType, Some(start..start + value.len()))], "{members} {value}: {said:#?}");
        }
    }
}

/// What has a meaning isn't refused.
#[test]
fn conditions_flags_and_holds_are_read() {
    let (class, said) = read(
        r#""parameters": { "p": { "kind": "flag", "doc": "d", "default": true } },
           "inputs": { "a": [1], "b": { "shape": [1], "broadcast": true, "optional": true, "when": "p" } },
           "output": { "shape": [1], "view": "!p", "persistent": false, "hold": 2 }"#,
    );
    assert!(said.is_empty(), "{said:#?}");
    let class = class.unwrap();
    let (input, output) = (&class.inputs[1], &class.outputs[0]);
    assert_eq!((input.broadcast, input.optional, output.hold), (true, true, 2));
    assert!(input.when.is_some() && output.view.is_some() && output.persistent.is_some());
}

#[test]
fn one_output_or_several() {
    let (_, said) = read(r#""output": [1], "outputs": { "a": [1] }"#);
    let places: Vec<_> = said.iter().map(|d| (d.code, d.primary.as_ref().map(|label| label.span.range()))).collect();
    assert_eq!(places, [(Code::ConflictingKeys, Some(17..26))], "{said:#?}");
}

/// A module and a function that compute the same are one class: the name says which it is.
#[test]
fn an_alias_may_be_of_another_kind() {
    let (class, said) = read(
        r#""aliases": [ "a.b.MyModule", "ACT2FN.mine", "*Mine", { "name": "mine", "kind": "module" }, { "name": "*OfMine", "role": "activation" },
                       { "name": "x.y.mine", "kind": "module" } ]"#,
    );
    assert!(said.is_empty(), "{said:#?}");
    let class = class.unwrap();
    let (module, function) = (ClassKind::Module, ClassKind::Function);
    let activation = crate::catalog::Role::from_word("activation");
    for (name, called) in [
        ("my.Class", (function, None)),
        ("a.b.MyModule", (function, None)),
        ("mine", (module, None)),
        ("p.q.SomeMine", (function, None)),
        ("p.q.SomeOfMine", (function, activation)),
        ("what leads here in no way", (function, None)),
    ] {
        assert_eq!(class.called(name), called, "{name}");
    }
    assert_eq!(class.full_name("ACT2FN.mine").map(|name| &**name), Some("a.b.MyModule"));
    assert_eq!(class.full_name("x.y.mine").map(|name| &**name), Some("mine"));
    assert_eq!(class.full_name("my.Class"), None);
}

/// What a split divides are counts among the parameters.
#[test]
fn a_split_divides_counts() {
    let parameters = r#""parameters": { "a": { "kind": "flag", "doc": "d" }, "heads": { "kind": "count", "doc": "d" } }"#;
    let (class, said) = read(&format!(r#"{parameters}, "parallel": {{ "tensor": ["heads"] }}"#));
    assert_eq!((class.unwrap().divided, said.is_empty()), (vec![1], true));
    for (name, hint) in [("haeds", "did you mean `heads`?"), ("a", "")] {
        let (_, said) = read(&format!(r#"{parameters}, "parallel": {{ "tensor": ["{name}"] }}"#));
        let said: Vec<_> = said.iter().map(|d| (d.code, d.primary.as_ref().map_or("", |label| &label.text))).collect();
        assert_eq!(said, [(Code::InvalidClass, hint)], "{name}");
    }
}

#[test]
fn an_alias_has_the_keys_that_it_needs() {
    let cases = [
        (r#""aliases": [ { "kind": "module" } ]"#, Code::MissingKey),
        (r#""aliases": [ { "name": 1, "kind": "module" } ]"#, Code::WrongType),
        (r#""aliases": [ { "name": "a", "kind": "modul" } ]"#, Code::InvalidClass),
        (r#""aliases": [ { "name": "a", "role": "nrom" } ]"#, Code::UnknownRole),
        (r#""aliases": [ { "name": "a", "knid": "module" } ]"#, Code::UnknownKey),
    ];
    for (members, code) in cases {
        let (_, said) = read(members);
        assert_eq!(said.iter().map(|d| d.code).collect::<Vec<_>>(), [code], "{members}: {said:#?}");
    }
}
