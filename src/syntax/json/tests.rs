//! The tree of a damaged JSON text: whatever is done to a text, what stands before is kept, and every place is one in the text.

use std::path::Path;

use crate::syntax::diag::Diagnostics;
use crate::syntax::json::{Document, Json, Node, read, recover};
use crate::syntax::source::{Source, SourceId};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

fn source(text: &str) -> Source {
    Source::load(SourceId::model(0), "any.json", text.as_bytes()).unwrap()
}

fn strict(source: &Source) -> Option<Document> {
    read(source, &mut Diagnostics::default())
}

fn same(a: &Node, b: &Node) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

/// Every place is one in the text, and a value's is in that of what it is a part of.
fn check_places(node: &Node, text: &str) {
    assert!(text.get(node.span.range()).is_some(), "{:?} in {text:?}", node.span);
    let inside = |part: &Node| node.span.start <= part.span.start && part.span.end <= node.span.end;
    for member in node.members() {
        assert!(text.get(member.key_span.range()).is_some_and(|key| !key.is_empty()));
        assert!(inside(&member.value) && member.key_span.end <= member.value.span.start, "{member:?} in {text:?}");
    }
    let items = if let Json::List(items) = &node.json { items.as_slice() } else { &[] };
    for part in items.iter().chain(node.members().iter().map(|member| &member.value)) {
        assert!(inside(part), "{part:?} in {text:?}");
        check_places(part, text);
    }
}

/// On the way to the damage, what was said before it is still there: members and items behind which another begins.
fn check_kept(whole: &Node, found: &Node, damage: usize) {
    let before = |next: Option<u32>| next.is_some_and(|start| start as usize <= damage);
    match (&whole.json, &found.json) {
        (Json::Object(members), Json::Object(_)) => {
            for (at, member) in members.iter().enumerate() {
                let kept = found.members().iter().find(|m| m.key == member.key);
                if before(members.get(at + 1).map(|next| next.key_span.start)) {
                    let kept = kept.unwrap_or_else(|| panic!("`{}` is gone", member.key));
                    // Unless the damage made another of the same key.
                    assert!(
                        kept.key_span.start > member.key_span.start || same(&member.value, &kept.value),
                        "{member:?} {kept:?}"
                    );
                } else if let Some(kept) =
                    kept.filter(|kept| kept.key_span == member.key_span && on_the_way(&member.value, damage))
                {
                    check_kept(&member.value, &kept.value, damage);
                }
            }
        }
        (Json::List(items), Json::List(found)) => {
            for (at, item) in items.iter().enumerate() {
                if before(items.get(at + 1).map(|next| next.span.start)) {
                    assert!(same(item, &found[at]), "{item:?} {:?}", found.get(at));
                } else if on_the_way(item, damage) {
                    check_kept(item, &found[at], damage);
                }
            }
        }
        _ => panic!("{found:?} of {whole:?}"),
    }
}

/// Whether damage inside of it leaves it an object or a list.
fn on_the_way(node: &Node, damage: usize) -> bool {
    let (start, end) = (node.span.start as usize, node.span.end as usize);
    matches!(node.json, Json::Object(_) | Json::List(_)) && start < damage && damage < end
}

fn check(text: &str, whole: Option<(&Node, usize)>) {
    let source = source(text);
    let found = recover(&source);
    check_places(&found.root, &source.text);
    if let Some(document) = strict(&source) {
        assert!(same(&document.root, &found.root) && document.non_finite == found.non_finite, "{text}");
    }
    if let Some((whole, damage)) = whole.filter(|(whole, damage)| on_the_way(whole, *damage)) {
        check_kept(whole, &found.root, damage);
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i32>().prop_map(|n| json!(n)),
        (-1e9f64..1e9).prop_map(|x| json!(x)),
        "[a-z<>{}:,/ \\\\\"é\n]{0,6}".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map("[a-dé\"]{0,2}", inner, 0..5).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn written() -> impl Strategy<Value = String> {
    let root = btree_map("[a-f]{1,2}", value(), 1..5).prop_map(|members| Value::Object(members.into_iter().collect()));
    (root, any::<bool>())
        .prop_map(|(value, pretty)| if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() })
}

/// The nearest place between two characters.
fn place(text: &str, at: prop::sample::Index) -> usize {
    let mut at = at.index(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Times `PROPTEST_CASES` / 256 for a longer search.
fn cases() -> ProptestConfig {
    let base = ProptestConfig::default();
    ProptestConfig { cases: 600 * base.cases / 256, failure_persistence: None, ..base }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_well_formed_text_is_read_as_it_is(text in written()) {
        prop_assert!(strict(&source(&text)).is_some());
        check(&text, None);
    }

    #[test]
    fn what_stands_before_a_deletion_is_kept(text in written(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let (a, b) = (place(&text, from), place(&text, to));
        let (from, to) = (a.min(b), a.max(b));
        let whole = strict(&source(&text)).unwrap();
        check(&format!("{}{}", &text[..from], &text[to..]), Some((&whole.root, from)));
    }

    #[test]
    fn what_stands_before_an_insertion_is_kept(text in written(), at in any::<prop::sample::Index>(), more in "[\\[\\]{}:,\"a1/*\n\\\\ é]{1,6}") {
        let at = place(&text, at);
        let whole = strict(&source(&text)).unwrap();
        check(&format!("{}{more}{}", &text[..at], &text[at..]), Some((&whole.root, at)));
    }

    #[test]
    fn any_text_gives_a_tree(text in "([\\[\\]{}:,\"a1/*\n\\\\ é]|null|\"a\"|//|\\\\u00e9){0,60}") {
        check(&text, None);
    }
}

fn files(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

/// Models and classes, which are all well-formed; and the cases of JSON that isn't, which give something all the same.
#[test]
fn every_file_is_read_as_it_is() {
    let (mut whole, mut broken) = (0, 0);
    for text in ["models", "catalog/classes", "tests/cases/ok", "tests/cases/json"].into_iter().flat_map(files) {
        check(&text, None);
        if strict(&source(&text)).is_some() { whole += 1 } else { broken += 1 }
    }
    assert!(whole > 100 && broken > 5, "{whole} {broken}");
}
