//! What a model states of itself, made true: only the numbers change, and what is new is put beside its like. The rest of the text stays as its
//! author wrote it.

use std::ops::Range;

use serde_json::Value as Json;

use crate::syntax::json::{Json as Syntax, Member, Node};

/// A change of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub range: Range<usize>,
    pub text: String,
}

/// A text with changes made; those that overlap others aren't.
#[must_use]
pub fn edited(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let (mut out, mut from) = (String::with_capacity(text.len()), 0);
    for edit in edits {
        let Some(before) = text.get(from..edit.range.start) else { continue };
        out.push_str(before);
        out.push_str(&edit.text);
        from = edit.range.end;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

/// New facts: of the model as such, and at one workload.
#[derive(Debug, Default)]
pub struct Facts {
    pub anywhere: Vec<(&'static str, u128)>,
    pub point: Option<PointFacts>,
}

/// Facts at a workload.
#[derive(Debug)]
pub struct PointFacts {
    /// As a point says it.
    pub workload: Vec<(String, Json)>,
    /// The position of the point that says the same already.
    pub known: Option<usize>,
    pub facts: Vec<(&'static str, u128)>,
}

/// What is to be written. (`serde_json` has no integers beyond 64 bits.)
enum Written {
    /// A number or a word, as JSON.
    Plain(String),
    Object(Vec<(String, Written)>),
    List(Vec<Written>),
}

impl Written {
    fn of(facts: Vec<(&'static str, u128)>) -> Vec<(String, Written)> {
        facts.into_iter().map(|(name, value)| (name.to_owned(), Written::Plain(value.to_string()))).collect()
    }

    fn point(workload: Vec<(String, Json)>, facts: Vec<(&'static str, u128)>) -> Self {
        let workload = workload.into_iter().map(|(name, value)| (name, Written::Plain(value.to_string()))).collect();
        let workload = ("workload".to_owned(), Written::Object(workload));
        Written::Object(std::iter::once(workload).chain(Written::of(facts)).collect())
    }

    /// Objects and lists of objects on lines of their own where what is around them is, else on one line as people write it.
    fn shown(&self, indent: Option<&str>) -> String {
        let inner = indent.map(|indent| format!("{indent}{}", if indent.contains('\t') { "\t" } else { "  " }));
        let lines = |open: char, items: Vec<String>, close: char| match (&inner, indent) {
            (Some(inner), Some(indent)) => {
                format!("{open}\n{inner}{}\n{indent}{close}", items.join(&format!(",\n{inner}")))
            }
            _ if open == '{' => format!("{open} {} {close}", items.join(", ")),
            _ => format!("{open}{}{close}", items.join(", ")),
        };
        match self {
            Written::Plain(text) => text.clone(),
            Written::Object(members) => {
                let members =
                    members.iter().map(|(key, value)| format!("{}: {}", Json::from(&**key), value.shown(inner.as_deref())));
                lines('{', members.collect(), '}')
            }
            // A point is a line.
            Written::List(items) => lines('[', items.iter().map(|item| item.shown(None)).collect(), ']'),
        }
    }
}

/// The changes that put new facts into `expect`, which is made where it isn't.
#[must_use]
pub fn insert(text: &str, root: &Node, facts: Facts) -> Vec<Edit> {
    let Facts { anywhere, point } = facts;
    let mut members = Written::of(anywhere);
    let points = |point: PointFacts| ("points".to_owned(), Written::List(vec![Written::point(point.workload, point.facts)]));
    let Some(expect) = root.get("expect").filter(|expect| matches!(expect.json, Syntax::Object(_))) else {
        members.extend(point.map(points));
        let new = vec![("expect".to_owned(), Written::Object(members))].into_iter();
        return new
            .filter(|(_, expect)| !matches!(expect, Written::Object(members) if members.is_empty()))
            .filter_map(|expect| append(text, root, &[expect]))
            .collect();
    };
    let mut edits = Vec::new();
    match (point, expect.get("points")) {
        (None, _) => {}
        (Some(point), None) => members.push(points(point)),
        (Some(point), Some(list)) => match point.known.and_then(|at| list.items().get(at)) {
            Some(known) => edits.extend(append(text, known, &Written::of(point.facts))),
            None => edits.extend(item(text, list, &Written::point(point.workload, point.facts))),
        },
    }
    edits.extend(append(text, expect, &members));
    edits
}

/// Members behind the last one of an object, on lines of their own where that has one.
fn append(text: &str, object: &Node, members: &[(String, Written)]) -> Option<Edit> {
    if members.is_empty() {
        return None;
    }
    let last = object.members().last().map(|Member { key_span, value, .. }| (key_span.range().start, value.span.range().end));
    put(text, object, last, &|indent| {
        let written = |(key, value): &(String, Written)| format!("{}: {}", Json::from(&**key), value.shown(indent));
        let between = indent.map_or_else(|| ", ".to_owned(), |indent| format!(",\n{indent}"));
        members.iter().map(written).collect::<Vec<_>>().join(&between)
    })
}

/// An item behind the last one of a list.
fn item(text: &str, list: &Node, value: &Written) -> Option<Edit> {
    let last = list.items().last().map(|item| (item.span.range().start, item.span.range().end));
    put(text, list, last, &|_| value.shown(None))
}

fn put(text: &str, around: &Node, last: Option<(usize, usize)>, written: &dyn Fn(Option<&str>) -> String) -> Option<Edit> {
    let Some((start, end)) = last else {
        // Nothing is in it yet.
        let range = around.span.range();
        let inside = range.start + 1..range.end.checked_sub(1)?;
        return Some(Edit { range: inside, text: format!(" {} ", written(None)) });
    };
    let line = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
    let indent = text.get(line..start).filter(|before| before.trim().is_empty() && line > 0);
    let lead = indent.map_or_else(|| ", ".to_owned(), |indent| format!(",\n{indent}"));
    Some(Edit { range: end..end, text: format!("{lead}{}", written(indent)) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::syntax::diag::Diagnostics;
    use crate::syntax::json;
    use crate::syntax::source::{Source, SourceId};

    type Named = Vec<(&'static str, u128)>;

    fn with(text: &str, anywhere: Named, point: Option<(Option<usize>, Named)>) -> String {
        let source = Source::load(SourceId::model(0), "m.json", text.as_bytes()).unwrap();
        let document = json::read(&source, &mut Diagnostics::default()).unwrap();
        let workload = vec![("seq_len".to_owned(), json!(4))];
        let point = point.map(|(known, facts)| PointFacts { workload, known, facts });
        edited(text, insert(text, &document.root, Facts { anywhere, point }))
    }

    #[test]
    fn what_is_new_stands_beside_its_like() {
        assert_eq!(with("{}", vec![("params", 3)], None), r#"{ "expect": { "params": 3 } }"#);
        assert_eq!(with(r#"{ "layers": [] }"#, vec![("params", 3)], None), r#"{ "layers": [], "expect": { "params": 3 } }"#);
        assert_eq!(with(r#"{ "expect": {} }"#, vec![("params", 3)], None), r#"{ "expect": { "params": 3 } }"#);
        let text = "{\n\t\"layers\": [],\n\t\"expect\": {\n\t\t\"params\": 1\n\t}\n}\n";
        let wanted =
            "{\n\t\"layers\": [],\n\t\"expect\": {\n\t\t\"params\": 1,\n\t\t\"modules\": 2,\n\t\t\"layers\": 3\n\t}\n}\n";
        assert_eq!(with(text, vec![("modules", 2), ("layers", 3)], None), wanted);
        assert_eq!(with(text, Vec::new(), None), text);
        // Beyond 64 bits.
        assert_eq!(with("{}", vec![("params", 1 << 70)], None), format!(r#"{{ "expect": {{ "params": {} }} }}"#, 1u128 << 70));
    }

    #[test]
    fn facts_at_a_workload_stand_in_its_point() {
        let point = |known| Some((known, vec![("flops", 9)]));
        let text = "{\n  \"layers\": []\n}";
        let wanted = "{\n  \"layers\": [],\n  \"expect\": {\n    \"points\": [\n      { \"workload\": { \"seq_len\": 4 }, \"flops\": 9 }\n    ]\n  }\n}";
        assert_eq!(with(text, Vec::new(), point(None)), wanted);
        let one = r#"{ "expect": { "points": [ { "workload": { "seq_len": 4 }, "macs": 1 } ] } }"#;
        let wanted = r#"{ "expect": { "points": [ { "workload": { "seq_len": 4 }, "macs": 1, "flops": 9 } ] } }"#;
        assert_eq!(with(one, Vec::new(), point(Some(0))), wanted);
        let wanted = r#"{ "expect": { "points": [ { "workload": { "seq_len": 4 }, "macs": 1 }, { "workload": { "seq_len": 4 }, "flops": 9 } ] } }"#;
        assert_eq!(with(one, Vec::new(), point(None)), wanted);
    }

    #[test]
    fn changes_keep_what_they_dont_touch() {
        let edits = vec![Edit { range: 4..5, text: "X".to_owned() }, Edit { range: 1..2, text: "é".to_owned() }];
        assert_eq!(edited("abcdef", edits), "aécdXf");
    }
}
