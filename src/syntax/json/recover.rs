//! What can be read of a text that isn't well-formed JSON: an editor has half-written files before it most of the time.
//!
//! Any [`Source`] comes in, a [`Document`] goes out with every key and value that can be read, each in its exact place; a value that can't
//! is a placeholder ([`Node::is_missing`]). What is wrong is said by `read` alone. Time is linear, depth and size are
//! bounded as there: deeper nesting is a placeholder, and after as many values the text is as good as ended.

use std::collections::HashMap;
use std::sync::Arc;

use super::tree::{Document, Json, MAX_DEPTH, MAX_VALUES, Member, Node, Text};
use crate::syntax::source::{Source, SourceId, Span};

/// Reads what can be read of any text. Of a well-formed one that is all, as `read` gives it.
#[must_use]
pub fn recover(source: &Source) -> Document {
    let mut reader = Reader::new(source);
    let root = reader.root();
    Document { root, non_finite: reader.non_finite }
}

struct Reader<'s> {
    source: SourceId,
    text: &'s str,
    /// The next byte to look at: always the first of a character.
    at: usize,
    /// How many objects and lists are open.
    objects: usize,
    lists: usize,
    values: usize,
    non_finite: Vec<Span>,
}

/// Members by key: as in a well-formed text, the last of equal ones is kept, in the place of the first.
#[derive(Default)]
struct Members {
    list: Vec<Member>,
    places: HashMap<Arc<str>, usize>,
    /// How many there were, equal ones too.
    read: usize,
}

impl Members {
    fn push(&mut self, member: Member) {
        self.read += 1;
        let next = self.list.len();
        let place = *self.places.entry(member.key.clone()).or_insert(next);
        match self.list.get_mut(place) {
            Some(known) => *known = member,
            None => self.list.push(member),
        }
    }
}

impl<'s> Reader<'s> {
    fn new(source: &'s Source) -> Self {
        Reader { source: source.id, text: &source.text, at: 0, objects: 0, lists: 0, values: 0, non_finite: Vec::new() }
    }

    /// The first value, with what stands behind it too: a bracket that closes too early ends nothing.
    fn root(&mut self) -> Node {
        while let Some(byte) = self.peek() {
            let start = self.at;
            match byte {
                b'{' => return self.root_object(start, start + 1),
                b'[' => return self.root_list(start),
                b'"' if self.is_key() => return self.root_object(start, start),
                _ => match self.value() {
                    Some(node) => return node,
                    None => self.skip(),
                },
            }
        }
        self.missing(self.text.len())
    }

    fn root_object(&mut self, start: usize, inside: usize) -> Node {
        let (mut members, mut end) = (Members::default(), start);
        self.objects += 1;
        self.at = inside;
        loop {
            let before = members.read;
            self.members(&mut members);
            if end == start || members.read > before {
                end = self.at;
            }
            if self.peek().is_none() {
                return self.node(start, end, Json::Object(members.list));
            }
        }
    }

    fn root_list(&mut self, start: usize) -> Node {
        let (mut items, mut end) = (Vec::new(), start);
        self.lists += 1;
        self.at = start + 1;
        loop {
            let before = items.len();
            self.items(&mut items);
            if end == start || items.len() > before {
                end = self.at;
            }
            if self.peek().is_none() {
                return self.node(start, end, Json::List(items));
            }
        }
    }

    /// The value that begins here. `None`: none does, and nothing is passed over.
    fn value(&mut self) -> Option<Node> {
        let start = self.at;
        match self.peek()? {
            b'{' | b'[' if self.objects + self.lists >= MAX_DEPTH => {
                self.skip_nested();
                Some(self.missing(start))
            }
            b'{' => Some(self.object(1)),
            b'[' => Some(self.list()),
            b'"' => {
                let (text, span) = self.string();
                Some(self.node(span.range().start, span.range().end, Json::Text(text)))
            }
            _ => self.word(),
        }
    }

    /// An object whose members begin so many bytes from here: with its brace, or without.
    fn object(&mut self, brace: usize) -> Node {
        let (start, mut members) = (self.at, Members::default());
        self.at += brace;
        self.objects += 1;
        self.members(&mut members);
        self.objects -= 1;
        self.node(start, self.at, Json::Object(members.list))
    }

    fn list(&mut self) -> Node {
        let (start, mut items) = (self.at, Vec::new());
        self.at += 1;
        self.lists += 1;
        self.items(&mut items);
        self.lists -= 1;
        self.node(start, self.at, Json::List(items))
    }

    /// Members up to the brace that closes them, or the bracket that closes what is around them.
    fn members(&mut self, members: &mut Members) {
        while let Some(byte) = self.peek() {
            match byte {
                b'}' => {
                    self.at += 1;
                    return;
                }
                b']' if self.lists > 0 => return,
                b'"' => {
                    let (key, span) = self.string();
                    members.push(self.member(key.value, span));
                }
                // A value without a key belongs to nothing.
                b'{' | b'[' => drop(self.value()),
                _ => match self.bare_key() {
                    Some((key, span)) => members.push(self.member(key, span)),
                    None => self.skip(),
                },
            }
        }
    }

    fn member(&mut self, key: Arc<str>, key_span: Span) -> Member {
        let mut place = self.at;
        while self.peek() == Some(b':') {
            self.at += 1;
            place = self.at;
        }
        // A text before a colon is the next member's key.
        let next = self.peek() == Some(b'"') && self.is_key();
        let value = if next { None } else { self.value() };
        Member { key, key_span, value: value.unwrap_or_else(|| self.missing(place)) }
    }

    /// Items up to the bracket that closes them, or the brace that closes what is around them.
    fn items(&mut self, items: &mut Vec<Node>) {
        let mut separated = true;
        while let Some(byte) = self.peek() {
            match byte {
                b']' => {
                    self.at += 1;
                    return;
                }
                b'}' if self.objects > 0 => return,
                b',' => self.at += 1,
                // A key where no item can begin: this list wasn't closed. Where one can, it is the object that wasn't opened.
                b'"' if !separated && self.objects > 0 && self.is_key() => return,
                b'"' if self.objects + self.lists < MAX_DEPTH && self.is_key() => items.push(self.object(0)),
                _ => match self.value() {
                    Some(node) => items.push(node),
                    None => self.skip(),
                },
            }
            separated = byte == b',';
        }
    }

    /// A number or a word that JSON has; of any other `None`, and it isn't passed over.
    fn word(&mut self) -> Option<Node> {
        let (start, end) = (self.at, self.word_end());
        let word = self.text.get(start..end)?;
        let json = match word {
            "null" => Json::Null,
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            "NaN" | "-NaN" | "Infinity" | "-Infinity" => {
                self.non_finite.push(self.span(start, end));
                Json::Number(word.into())
            }
            number if is_number(number) => Json::Number(number.into()),
            _ => return None,
        };
        self.at = end;
        Some(self.node(start, end, json))
    }

    /// A word before a colon: a key that lacks its quotes.
    fn bare_key(&mut self) -> Option<(Arc<str>, Span)> {
        let (start, end) = (self.at, self.word_end());
        self.at = end;
        if end > start && self.peek() == Some(b':') {
            self.at = end;
            return Some((self.text.get(start..end)?.into(), self.span(start, end)));
        }
        self.at = start;
        None
    }

    /// A string, up to its quote or the end of its line.
    fn string(&mut self) -> (Text, Span) {
        let start = self.at;
        let (end, after) = self.string_end();
        self.at = after;
        let written = self.text.get(start + 1..end).unwrap_or_default();
        let value = decoded(written);
        (Text { plain: value == written, value: value.into() }, self.span(start, after))
    }

    /// Where the text of the string that begins here ends, and where the string does, with its quote.
    fn string_end(&self) -> (usize, usize) {
        let (inside, mut escaped) = (self.at + 1, false);
        for (offset, byte) in self.text.get(inside..).unwrap_or_default().bytes().enumerate() {
            match byte {
                b'\n' | b'\r' => return (inside + offset, inside + offset),
                b'"' if !escaped => return (inside + offset, inside + offset + 1),
                _ => escaped = byte == b'\\' && !escaped,
            }
        }
        (self.text.len(), self.text.len())
    }

    /// Whether the string that begins here stands before a colon.
    fn is_key(&mut self) -> bool {
        let start = self.at;
        self.skip_string();
        let key = self.peek() == Some(b':');
        self.at = start;
        key
    }

    /// The next byte that is neither white space nor of a comment: what is before it is passed over.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let found = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.at = self.text.len() - found.len();
            self.at += match found.get(..2) {
                Some("//") => found.find('\n').unwrap_or(found.len()),
                Some("/*") => found.find("*/").map_or(found.len(), |end| end + 2),
                _ => return found.bytes().next(),
            };
        }
    }

    /// Passes over a word, or a single character.
    fn skip(&mut self) {
        let end = self.word_end();
        let character = self.text.get(self.at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
        self.at = if end > self.at { end } else { self.at + character };
    }

    fn skip_string(&mut self) {
        self.at = self.string_end().1;
    }

    /// Passes over what is nested too deep, brackets of either kind taken for each other.
    fn skip_nested(&mut self) {
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.skip_string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.skip(),
            }
        }
    }

    fn word_end(&self) -> usize {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'+' | b'-' | b'.');
        self.at + rest.bytes().take_while(|byte| is_word(*byte)).count()
    }

    fn missing(&mut self, at: usize) -> Node {
        self.node(at, at, Json::Null)
    }

    fn node(&mut self, start: usize, end: usize, json: Json) -> Node {
        let span = self.span(start, end);
        self.values += 1;
        if self.values > MAX_VALUES {
            self.at = self.text.len();
        }
        Node { span, json }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, start..end)
    }
}

/// Whether JSON has such a number.
fn is_number(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    let exponent = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(digits) && exponent.is_none_or(digits)
}

/// What is written, with its escapes decoded; what is none stays.
fn decoded(written: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(written.len()), written);
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let (character, left) = escape(after).unwrap_or(('\\', after));
        out.push(character);
        rest = left;
    }
    out + rest
}

/// The character that stands behind a backslash, and the text after it.
fn escape(after: &str) -> Option<(char, &str)> {
    let mut chars = after.chars();
    let character = match chars.next()? {
        same @ ('"' | '\\' | '/') => same,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return code_point(chars.as_str()),
        _ => return None,
    };
    Some((character, chars.as_str()))
}

/// `0041`, or `d83d\ude00`.
fn code_point(digits: &str) -> Option<(char, &str)> {
    let (first, rest) = code_unit(digits)?;
    if let Some(character) = char::from_u32(u32::from(first)) {
        return Some((character, rest));
    }
    let (second, rest) = code_unit(rest.strip_prefix("\\u")?)?;
    let character = char::decode_utf16([first, second]).next()?.ok()?;
    Some((character, rest))
}

fn code_unit(digits: &str) -> Option<(u16, &str)> {
    let (digits, rest) = digits.split_at_checked(4)?;
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    u16::from_str_radix(digits, 16).ok().filter(|_| hex).map(|unit| (unit, rest))
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;
    use crate::syntax::diag::Diagnostics;

    fn source(text: &str) -> Source {
        Source::of(SourceId::model(0), "broken.json", text)
    }

    /// A tree on one line, `?` for what is missing.
    fn shown(node: &Node) -> String {
        let joined = |parts: Vec<String>| parts.join(" ");
        match &node.json {
            Json::Null if node.is_missing() => "?".to_owned(),
            Json::Null => "null".to_owned(),
            Json::Bool(value) => value.to_string(),
            Json::Number(text) => text.to_string(),
            Json::Text(text) => format!("'{}'", text.value),
            Json::List(items) => format!("[{}]", joined(items.iter().map(shown).collect())),
            Json::Object(members) => {
                format!("{{{}}}", joined(members.iter().map(|m| format!("{}:{}", m.key, shown(&m.value))).collect()))
            }
        }
    }

    fn recovered(text: &str) -> String {
        let mut diagnostics = Diagnostics::default();
        assert!(read(&source(text), &mut diagnostics).is_none(), "{text} is well-formed");
        shown(&recover(&source(text)).root)
    }

    #[test]
    fn missing_commas_and_colons() {
        assert_eq!(recovered(r#"{ "a": 1 "b": [1 2 "x" true] "c" 3 "d" { "e": 4 } }"#), "{a:1 b:[1 2 'x' true] c:3 d:{e:4}}");
        assert_eq!(recovered("{ \"a\" \"x\", \"b\":: 1,, \"c\": 2, }"), "{a:'x' b:1 c:2}");
    }

    #[test]
    fn missing_values() {
        assert_eq!(recovered("{ \"a\":\n  \"b\": 1, \"c\": , \"d\": }"), "{a:? b:1 c:? d:?}");
        assert_eq!(recovered("{ \"a\"\n  \"b\": 1, \"c\" }"), "{a:? b:1 c:?}");
        assert_eq!(recovered("{ \"a\": ["), "{a:[]}");
        assert_eq!(recovered("{ \"a\":"), "{a:?}");
        assert_eq!(recovered(""), "?");
    }

    #[test]
    fn a_placeholder_stands_behind_what_asks_for_it() {
        let text = "{ \"a\" :  }";
        let document = recover(&source(text));
        assert_eq!(document.root.members()[0].value.span.range(), 7..7);
        assert_eq!(document.root.members()[0].key_span.range(), 2..5);
    }

    #[test]
    fn unclosed_strings_end_with_their_line() {
        assert_eq!(recovered("{ \"a\": \"one,\n  \"b\": 2 }"), "{a:'one,' b:2}");
        assert_eq!(recovered("{ \"na\n  \"b\": 2, \"c"), "{na:? b:2 c:?}");
        assert_eq!(recovered("[ \"a\\"), "['a\\']");
    }

    #[test]
    fn unclosed_and_mismatched_brackets() {
        assert_eq!(recovered(r#"{ "a": { "b": [1, 2"#), "{a:{b:[1 2]}}");
        assert_eq!(recovered(r#"{ "a": [ { "b": 1 ], "c": 2 }"#), "{a:[{b:1}] c:2}");
        assert_eq!(recovered(r#"{ "a": [ 1, 2 }, "c": 2 }"#), "{a:[1 2] c:2}");
        assert_eq!(recovered(r#"{ "a": [ { "b": 1 } "c": 2 }"#), "{a:[{b:1}] c:2}");
        assert_eq!(recovered(r#"{ "a": [ { "b": 1 }, "b": 2 } ], "c": 3 }"#), "{a:[{b:1} {b:2}] c:3}");
        assert_eq!(recovered(r#"{ "a": 1 }, "b": 2 }"#), "{a:1 b:2}");
        assert_eq!(recovered(r#"[1] ] , 2"#), "[1 2]");
        assert_eq!(recovered(r#""a": 1, "b": 2 }"#), "{a:1 b:2}");
        assert_eq!(recovered(r#"{ "a": 1 ] , "b": 2 }"#), "{a:1 b:2}");
    }

    #[test]
    fn stray_text() {
        assert_eq!(recovered(r#"{ "a": <hidden_size>, "b": tru, "c": 01, "d": 1. , e: 5, "f": 'x', § "g": 1 ö }"#), {
            "{a:? b:? c:? d:? e:5 f:? g:1}"
        });
        assert_eq!(recovered(r#"model = { "a": [1, ?, 2] };"#), "{a:[1 2]}");
        assert_eq!(recovered(r#"{ { "x": 1 } "a": 1 }"#), "{a:1}");
    }

    #[test]
    fn trailing_commas_and_comments() {
        assert_eq!(recovered("// said\n{ \"a\": /* one */ 1, \"b\": [1,], } // more"), "{a:1 b:[1]}");
        assert_eq!(recovered("{ \"a\": 1, /* \"b\": 2 }"), "{a:1}");
    }

    #[test]
    fn escapes_are_decoded_where_they_are_some() {
        assert_eq!(recovered(r#"["\u0041\n\ud83d\ude00", "\x\ud83d", "\u00é", "\""#), "['A\n😀' '\\x\\ud83d' '\\u00é' '\"']");
    }

    #[test]
    fn of_equal_keys_the_last_is_kept() {
        assert_eq!(recovered(r#"{ "a": 1, "b": 2, "a": 3, }"#), "{a:3 b:2}");
    }

    /// None of these would end in a test's time if it weren't linear, and none may need more stack than there is.
    #[test]
    fn any_text_is_read_in_linear_time_and_bounded_depth() {
        let pieces = [
            "{", "[", "{\"a\":", "[{\"a\"", "\"", "\"a\" ", "\"a\":", "}", "]", "[}", "{]", "/*", "//", "a", "a ", "1", "\\",
            "\"\\\n", ",",
        ];
        for piece in pieces {
            let text = source(&piece.repeat(300_000));
            assert!(recover(&text).root.span.range().end <= text.text.len());
        }
    }
}
