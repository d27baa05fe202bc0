//! Strict JSON with a place for every key and value.
//!
//! A [`Source`] comes in, a [`Document`] goes out: well-formed, no key twice, numbers as they were written. What the keys mean is `spec`'s
//! business.

use std::collections::HashMap;
use std::sync::Arc;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, parse_to_ast};

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::source::{Source, SourceId, Span};

/// How deep arrays and objects may be nested.
pub const MAX_DEPTH: usize = 128;

/// A well-formed JSON text.
#[derive(Debug, Clone)]
pub struct Document {
    pub root: Node,
}

/// A JSON value and its place.
#[derive(Debug, Clone)]
pub struct Node {
    pub span: Span,
    pub json: Json,
}

#[derive(Debug, Clone)]
pub enum Json {
    Null,
    Bool(bool),
    /// As written: no digit is lost.
    Number(Arc<str>),
    Text(Text),
    List(Vec<Node>),
    Object(Vec<Member>),
}

/// A string, decoded.
#[derive(Debug, Clone)]
pub struct Text {
    pub value: Arc<str>,
    /// Whether the decoded text is, byte for byte, what stands between the quotes: then offsets in it are offsets in the source.
    pub plain: bool,
}

#[derive(Debug, Clone)]
pub struct Member {
    pub key: Arc<str>,
    pub key_span: Span,
    pub value: Node,
}

impl Json {
    /// "a number", "an object", ...: for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::Text(_) => "a text",
            Json::List(_) => "a list",
            Json::Object(_) => "an object",
        }
    }
}

/// Reads a source as strict JSON.
///
/// # Errors
/// `MalformedJson` (the first place that is wrong), `DuplicateKey` (each of them), `JsonTooDeep`.
pub fn read(source: &Source) -> Result<Document, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    if let Some(offset) = too_deep(&source.text) {
        let span = Span::new(source.id, offset..offset + 1);
        let message = format!("arrays and objects are nested deeper than {MAX_DEPTH} levels");
        diagnostics.push(Diagnostic::new(Code::JsonTooDeep, message).at(span, "one level too many"));
        return Err(diagnostics);
    }
    let collect = CollectOptions { comments: CommentCollectionStrategy::Off, tokens: false };
    match parse_to_ast(&source.text, &collect, &STRICT) {
        Ok(parsed) => {
            let Some(value) = parsed.value else {
                let end = source.text.len();
                let span = Span::new(source.id, end..end);
                let message = format!("`{}` is empty, expected a JSON object", source.name);
                diagnostics.push(Diagnostic::new(Code::MalformedJson, message).at(span, "nothing here"));
                return Err(diagnostics);
            };
            let root = Builder { source: source.id, diagnostics: &mut diagnostics }.node(value);
            if diagnostics.is_empty() { Ok(Document { root }) } else { Err(diagnostics) }
        }
        Err(error) => {
            diagnostics.push(malformed(source, &error));
            Err(diagnostics)
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
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The offset of the first bracket beyond the depth limit. Brackets in strings don't count.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(offset);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
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
    let message = message.trim_end_matches('.').to_owned();
    Diagnostic::new(Code::MalformedJson, format!("malformed JSON: {message}"))
        .at(Span::new(source.id, start..start + shown), "here")
}

struct Builder<'a> {
    source: SourceId,
    diagnostics: &'a mut Diagnostics,
}

impl Builder<'_> {
    fn node(&mut self, value: ast::Value<'_>) -> Node {
        let span = self.span(&value);
        let json = match value {
            ast::Value::NullKeyword(_) => Json::Null,
            ast::Value::BooleanLit(lit) => Json::Bool(lit.value),
            ast::Value::NumberLit(lit) => Json::Number(lit.value.into()),
            ast::Value::StringLit(lit) => Json::Text(text(&lit)),
            ast::Value::Array(array) => Json::List(array.elements.into_iter().map(|e| self.node(e)).collect()),
            ast::Value::Object(object) => Json::Object(self.members(object)),
        };
        Node { span, json }
    }

    fn members(&mut self, object: ast::Object<'_>) -> Vec<Member> {
        let mut seen: HashMap<Arc<str>, Span> = HashMap::with_capacity(object.properties.len());
        let mut members = Vec::with_capacity(object.properties.len());
        for property in object.properties {
            let key_span = self.span(&property.name);
            let key: Arc<str> = property.name.as_str().into();
            if let Some(first) = seen.insert(key.clone(), key_span) {
                let diagnostic = Diagnostic::new(Code::DuplicateKey, format!("the key `{key}` stands twice in one object"))
                    .at(key_span, "again here")
                    .also(first, "first here");
                self.diagnostics.push(diagnostic);
            }
            let value = self.node(property.value);
            members.push(Member { key, key_span, value });
        }
        members
    }

    fn span(&self, node: &impl Ranged) -> Span {
        let range = node.range();
        Span::new(self.source, range.start..range.end)
    }
}

fn text(lit: &ast::StringLit<'_>) -> Text {
    // Every escape is longer than what it stands for, so equal lengths mean that there was none.
    let plain = lit.range.end - lit.range.start == lit.value.len() + 2;
    Text { value: lit.value.as_ref().into(), plain }
}
