//! A JSON value with a place for every key and value; numbers and texts as they were written.

use std::sync::Arc;

use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::source::Span;

/// How deep arrays and objects may be nested.
pub const MAX_DEPTH: usize = 128;

/// How many members and items a file may have: a tree of values takes some fifty times the memory of its text.
pub(super) const MAX_VALUES: usize = 1_000_000;

/// A JSON text.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its outermost value.
    pub root: Node,
    /// Numbers that JSON doesn't have and Python writes all the same (`NaN`, `Infinity`): an error but in configs.
    pub non_finite: Vec<Span>,
}

/// A JSON value and its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub json: Json,
}

/// A JSON value.
#[derive(Debug, Clone)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// As written: no digit is lost.
    Number(Arc<str>),
    /// A string.
    Text(Text),
    /// An array.
    List(Vec<Node>),
    /// An object, its members in the order of the text.
    Object(Vec<Member>),
}

/// A string, decoded.
#[derive(Debug, Clone)]
pub struct Text {
    /// The decoded text.
    pub value: Arc<str>,
    /// Whether the decoded text is, byte for byte, what stands between the quotes: then offsets in it are offsets in the source.
    pub plain: bool,
}

/// A key of an object and its value.
#[derive(Debug, Clone)]
pub struct Member {
    /// The key, decoded.
    pub key: Arc<str>,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Document {
    /// What keeps a text from being strict JSON, if something does.
    #[must_use]
    pub fn non_finite_number(&self) -> Option<Diagnostic> {
        let message = "malformed JSON: NaN and Infinity are no numbers of JSON";
        self.non_finite.first().map(|span| Diagnostic::new(Code::MalformedJson, message).at(*span, "here"))
    }
}

impl Node {
    /// The value of a member, if this is an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.members().iter().find(|member| &*member.key == key).map(|member| &member.value)
    }

    /// The members of an object, none of anything else.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        if let Json::Object(members) = &self.json { members } else { &[] }
    }

    /// The items of a list, none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        if let Json::List(items) = &self.json { items } else { &[] }
    }

    /// Whether this stands for a value that couldn't be read, which only `recover` makes: a null that takes no room.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.span.range().is_empty()
    }

    /// The text that this is, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&Arc<str>> {
        if let Json::Text(text) = &self.json { Some(&text.value) } else { None }
    }
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
