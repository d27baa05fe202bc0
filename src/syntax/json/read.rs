//! Strict JSON: well-formed, or the first place that isn't.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, parse_to_ast};

use super::tree::{Document, Json, MAX_DEPTH, MAX_VALUES, Member, Node, Text};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::source::{Source, SourceId, Span};

/// Reads a source as strict JSON. What is wrong goes to `diagnostics`: `MalformedJson` (the first place that is), `JsonTooDeep`, and
/// then there is no document; or `DuplicateKey` (each of them), and the last of the equal keys is kept.
pub fn read(source: &Source, diagnostics: &mut Diagnostics) -> Option<Document> {
    let control = match scan(source) {
        Ok(control) => control,
        Err(too_much) => {
            diagnostics.push(*too_much);
            return None;
        }
    };
    let collect = CollectOptions { comments: CommentCollectionStrategy::Off, tokens: false };
    match (parse_to_ast(&source.text, &collect, &STRICT), control) {
        (Ok(parsed), None) => {
            let Some(value) = parsed.value else {
                let end = source.text.len();
                let span = Span::new(source.id, end..end);
                let message = format!("`{}` is empty, expected a JSON object", source.name);
                diagnostics.push(Diagnostic::new(Code::MalformedJson, message).at(span, "nothing here"));
                return None;
            };
            let mut builder = Builder { source: source.id, diagnostics, non_finite: Vec::new(), known: HashSet::new() };
            let root = builder.node(value);
            Some(Document { root, non_finite: builder.non_finite })
        }
        (Err(error), control) => {
            let first = control.filter(|(at, _)| *at < error.range().start);
            diagnostics.push(first.map_or_else(|| malformed(source, &error), |(_, diagnostic)| diagnostic));
            None
        }
        (Ok(_), Some((_, diagnostic))) => {
            diagnostics.push(diagnostic);
            None
        }
    }
}

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: true,
    allow_extended_string_escapes: false,
};

/// What the parser would be overwhelmed by, as an error: nesting beyond the limit (brackets in texts don't count), more values than any
/// model has. What it lets pass, with its place: the first control character in a text.
fn scan(source: &Source) -> Result<Option<(usize, Diagnostic)>, Box<Diagnostic>> {
    let (mut depth, mut values, mut opened, mut escaped, mut control) = (0usize, 0usize, None, false, None);
    let at = |offset: usize| Span::new(source.id, offset..offset + 1);
    for (offset, byte) in source.text.bytes().enumerate() {
        match byte {
            0..0x20 if opened.is_some() => {
                escaped = false;
                control = control.or_else(|| Some(control_character(byte, offset, opened?, at)));
            }
            _ if escaped => escaped = false,
            b'\\' if opened.is_some() => escaped = true,
            b'"' => opened = if opened.is_some() { None } else { Some(offset) },
            _ if opened.is_some() => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    let message = format!("arrays and objects are nested deeper than {MAX_DEPTH} levels");
                    return Err(Diagnostic::new(Code::JsonTooDeep, message).at(at(offset), "one level too many").boxed());
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => {
                values += 1;
                if values > MAX_VALUES {
                    let message = format!("the file has more than {MAX_VALUES} values");
                    return Err(Diagnostic::new(Code::FileTooLarge, message).at(at(offset), "too many from here on").boxed());
                }
            }
            _ => {}
        }
    }
    Ok(control)
}

/// A control character in a text; if it ends the line, the quote that began the text is what to change.
fn control_character(byte: u8, offset: usize, opened: usize, at: impl Fn(usize) -> Span) -> (usize, Diagnostic) {
    if matches!(byte, b'\n' | b'\r') {
        let message = "malformed JSON: a text ends on the line on which it begins";
        return (opened, Diagnostic::new(Code::MalformedJson, message).at(at(opened), "this quote isn't closed on its line"));
    }
    let message = format!("malformed JSON: a text has a control character in it, U+{byte:04X}");
    let diagnostic = Diagnostic::new(Code::MalformedJson, message).at(at(offset), "not allowed as such");
    (offset, diagnostic.help(format!("write `\\u{byte:04x}`")))
}

fn malformed(source: &Source, error: &jsonc_parser::errors::ParseError) -> Diagnostic {
    const SHOWN: usize = 40;
    let range = error.range();
    let start = range.start.min(source.text.len());
    let shown: usize = source
        .text
        .get(start..range.end.min(source.text.len()))
        .into_iter()
        .flat_map(|t| t.chars().take(SHOWN))
        .map(char::len_utf8)
        .sum();
    let mut message = error.kind().to_string();
    if let Some(first) = message.get(..1) {
        message = format!("{}{}", first.to_lowercase(), message.get(1..).unwrap_or(""));
    }
    let after = |n: usize| start.checked_sub(n).and_then(|at| source.text.as_bytes().get(at));
    if after(1) == Some(&b'0') && after(0).is_some_and(u8::is_ascii_digit) && !after(2).is_some_and(u8::is_ascii_digit) {
        message = "a number has no zeros before its first digit".to_owned();
    }
    let message = message.trim_end_matches('.').to_owned();
    Diagnostic::new(Code::MalformedJson, format!("malformed JSON: {message}"))
        .at(Span::new(source.id, start..start + shown), "here")
}

struct Builder<'a> {
    source: SourceId,
    diagnostics: &'a mut Diagnostics,
    non_finite: Vec<Span>,
    /// Short texts, each once: a file has few keys and classes, and has them often.
    known: HashSet<Arc<str>>,
}

impl Builder<'_> {
    fn shared(&mut self, text: &str) -> Arc<str> {
        const SHORT: usize = 64;
        if text.len() > SHORT {
            return text.into();
        }
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.known.insert(new.clone());
        new
    }

    fn node(&mut self, value: ast::Value<'_>) -> Node {
        let span = self.span(&value);
        let json = match value {
            ast::Value::NullKeyword(_) => Json::Null,
            ast::Value::BooleanLit(lit) => Json::Bool(lit.value),
            ast::Value::NumberLit(lit) => {
                if lit.value.ends_with(['N', 'y']) {
                    self.non_finite.push(span);
                }
                Json::Number(self.shared(lit.value))
            }
            ast::Value::StringLit(lit) => Json::Text(self.text(&lit)),
            ast::Value::Array(array) => Json::List(array.elements.into_iter().map(|e| self.node(e)).collect()),
            ast::Value::Object(object) => Json::Object(self.members(object)),
        };
        Node { span, json }
    }

    fn members(&mut self, object: ast::Object<'_>) -> Vec<Member> {
        /// So few keys are compared with each other.
        const FEW: usize = 16;
        let few = object.properties.len() <= FEW;
        let mut seen: HashMap<Arc<str>, usize> = HashMap::new();
        let mut members: Vec<Member> = Vec::with_capacity(object.properties.len());
        // Where a key stands that comes again: of three the first.
        let mut firsts: HashMap<usize, Span> = HashMap::new();
        for property in object.properties {
            let key_span = self.span(&property.name);
            let key = self.shared(property.name.as_str());
            let value = self.node(property.value);
            let first = match few {
                true => members.iter().position(|member| member.key == key),
                false => seen.insert(key.clone(), members.len()),
            };
            let member = Member { key, key_span, value };
            let Some(at) = first else {
                members.push(member);
                continue;
            };
            if let Some(place) = members.get_mut(at) {
                let message = format!("the key `{}` stands twice in one object", member.key);
                let diagnostic = Diagnostic::new(Code::DuplicateKey, message).at(key_span, "again here");
                self.diagnostics.push(diagnostic.also(*firsts.entry(at).or_insert(place.key_span), "first here"));
                if !few {
                    seen.insert(member.key.clone(), at);
                }
                *place = member;
            }
        }
        members
    }

    fn text(&mut self, lit: &ast::StringLit<'_>) -> Text {
        // Every escape is longer than what it stands for, so equal lengths mean that there was none.
        let plain = lit.range.end - lit.range.start == lit.value.len() + 2;
        Text { value: self.shared(&lit.value), plain }
    }

    fn span(&self, node: &impl Ranged) -> Span {
        let range = node.range();
        Span::new(self.source, range.start..range.end)
    }
}
