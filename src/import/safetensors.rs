//! safetensors: the header of a file, and the index of several.
//!
//! Source of the layout: safetensors 0.7 README: eight bytes with the header's length, the header as JSON, the data without holes.

use std::sync::Arc;

use super::contents::{Contents, Datum, Held, Metadatum};
use crate::catalog::Catalog;
use crate::quantity::product;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::json::{Json, Node};
use crate::syntax::source::Span;

/// The key of what isn't a tensor.
const METADATA: &str = "__metadata__";

/// Whether a JSON text is the header of such a file: each member but the metadata says a type, a shape and offsets.
#[must_use]
pub fn is_header(root: &Node) -> bool {
    let mut tensors = root.members().iter().filter(|member| &*member.key != METADATA).peekable();
    tensors.peek().is_some()
        && tensors.all(|member| ["dtype", "shape", "data_offsets"].iter().all(|key| member.value.get(key).is_some()))
}

fn wrong(message: impl Into<String>, at: Span, label: &str) -> Diagnostic {
    Diagnostic::new(Code::MalformedCheckpoint, message).at(at, label)
}

/// Whole numbers of 64 bits in a list.
fn counts(node: &Node) -> Option<Vec<u64>> {
    let Json::List(items) = &node.json else { return None };
    let count = |item: &Node| if let Json::Number(text) = &item.json { text.parse::<u64>().ok() } else { None };
    items.iter().map(count).collect()
}

/// What a header says. `header_bytes`: of the header and its length; `file_bytes`: of the whole file, if it is known.
pub fn read_header(
    root: &Node,
    header_bytes: u64,
    file_bytes: Option<u64>,
    catalog: &Catalog,
    diagnostics: &mut Diagnostics,
) -> Option<Contents> {
    let mut contents = Contents { format: "safetensors".into(), header_bytes, ..Contents::default() };
    let mut places: Vec<(u64, u64, Span)> = Vec::new();
    let before = diagnostics.errors();
    for member in root.members() {
        if &*member.key == METADATA {
            contents.metadata.extend(member.value.members().iter().map(|datum| Metadatum {
                key: datum.key.clone(),
                value: Datum::Text(datum.value.text().cloned().unwrap_or_default()),
            }));
            continue;
        }
        let name = &member.key;
        let node = &member.value;
        let parts = (node.get("dtype").and_then(Node::text), node.get("shape"), node.get("data_offsets"));
        let (Some(dtype), Some(shape_node), Some(offsets_node)) = parts else {
            let message = format!("the tensor `{name}` doesn't say its `dtype`, `shape` and `data_offsets`");
            diagnostics.push(wrong(message, node.span.part(0..1), "this tensor"));
            continue;
        };
        let (shape, offsets) = (counts(shape_node), counts(offsets_node));
        let elements = shape.as_ref().and_then(product);
        let (Some(shape), Some(_)) = (shape, elements) else {
            diagnostics.push(wrong(
                format!("`{name}` has no shape that can be"),
                shape_node.span,
                "not a list of sizes below 2^64",
            ));
            continue;
        };
        let Some((begin, end)) = offsets.as_deref().and_then(|offsets| match offsets {
            [begin, end] if begin <= end => Some((*begin, *end)),
            _ => None,
        }) else {
            diagnostics.push(wrong(format!("`{name}` has no place in the file"), offsets_node.span, "not two offsets in order"));
            continue;
        };
        let known = catalog.storage_type(dtype).ok();
        if let Some(bytes) = known.and_then(|known| packed_bytes(known, &shape)).filter(|bytes| *bytes != end - begin) {
            let message = format!("`{name}` takes {bytes} bytes by its type and shape, and {} by its offsets", end - begin);
            diagnostics.push(wrong(message, offsets_node.span, "says otherwise").also(shape_node.span, "so many elements"));
            continue;
        }
        places.push((begin, end, member.key_span));
        let kind = known.map_or_else(|| dtype.clone(), |known| known.name.clone());
        contents.tensors.push(Held { name: name.clone(), shape: Some(shape), kind, bytes: Some(end - begin), file: None });
    }
    places.sort_by_key(|(begin, end, _)| (*begin, *end));
    let mut at = 0u64;
    for (begin, end, span) in &places {
        if *begin < at {
            diagnostics.push(wrong(
                format!("this tensor begins at byte {begin}, before the one before it ends"),
                *span,
                "overlaps it",
            ));
            break;
        }
        if *begin > at {
            contents.remarks.push(format!("{} bytes of the data are no tensor's", begin - at));
        }
        at = *end;
    }
    contents.data_bytes = Some(at);
    if let Some(bytes) = file_bytes {
        let end = header_bytes.saturating_add(at);
        if bytes < end {
            contents.remarks.push(format!("the file has {bytes} of the {end} bytes that its header speaks of"));
        }
    }
    (diagnostics.errors() == before).then_some(contents)
}

/// Bytes of a tensor whose elements are packed without regard to rows.
fn packed_bytes(known: &crate::catalog::StorageType, shape: &[u64]) -> Option<u64> {
    let elements = product(shape)?;
    elements.checked_mul(known.bytes).filter(|_| elements.is_multiple_of(known.block)).map(|bytes| bytes / known.block)
}

/// What an index says: names and files, no shapes.
pub fn read_index(root: &Node, header_bytes: u64, diagnostics: &mut Diagnostics) -> Option<Contents> {
    let map = root.get("weight_map")?;
    if !matches!(map.json, Json::Object(_)) {
        diagnostics.push(wrong("the `weight_map` of an index says in which file each tensor is", map.span, "expected an object"));
        return None;
    }
    let mut contents = Contents { format: "index".into(), header_bytes, ..Contents::default() };
    for member in map.members() {
        let file: Option<Arc<str>> = member.value.text().cloned();
        if file.is_none() {
            diagnostics.push(wrong(format!("`{}` is in no file", member.key), member.value.span, "expected the name of a file"));
        }
        contents.tensors.push(Held { name: member.key.clone(), shape: None, kind: "?".into(), bytes: None, file });
    }
    let total = root.get("metadata").and_then(|metadata| metadata.get("total_size"));
    let total = total.and_then(|node| match &node.json {
        // Some write it as a float.
        Json::Number(text) => text.parse::<u64>().ok().or_else(|| text.strip_suffix(".0")?.parse().ok()),
        _ => None,
    });
    contents.stated_bytes = total.filter(|total| *total > 0);
    for member in root.get("metadata").map(Node::members).unwrap_or_default() {
        let value = match &member.value.json {
            Json::Number(text) => Datum::Text(text.clone()),
            Json::Text(text) => Datum::Text(text.value.clone()),
            Json::Bool(flag) => Datum::Bool(*flag),
            _ => continue,
        };
        contents.metadata.push(Metadatum { key: member.key.clone(), value });
    }
    (!diagnostics.has_errors()).then_some(contents)
}
