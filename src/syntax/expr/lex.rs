//! Reads an expression's characters: placeholders, numbers, texts, names, operators.
//!
//! It gives [`Token`]s that make sense one after the other: values where values belong, operators between them, every parenthesis closed,
//! every function with as many arguments as it takes. All that is refused is refused here, with its place; what binds to what is `parse`'s.

use std::sync::Arc;

use super::functions::{FUNCTIONS, Function};
use super::parse::{ParseError, Syntax};
use super::{BinaryOp, Exact, Name, UnaryOp, Value};
use crate::syntax::diag::{Code, nearest};

/// The longest expression, in bytes.
const MAX_LENGTH: usize = 4096;
/// How deep parentheses and signs may be nested.
pub(super) const MAX_DEPTH: usize = 128;
/// How many operators an expression may have: a tree is as deep as a chain of them is long.
const MAX_OPERATORS: usize = 512;

/// A part of an expression.
pub(super) enum Token {
    Const(Value),
    /// A name, and the members that are asked for.
    Var(Name, Vec<Arc<str>>),
    /// Its arguments follow, in parentheses.
    Call(Function),
    Open,
    Close,
    Comma,
    Binary(BinaryOp),
    Sign(UnaryOp),
}

/// The parts of an expression, in an order that makes sense.
pub(super) fn lex(text: &str, syntax: Syntax) -> Result<Vec<Token>, ParseError> {
    if text.len() > MAX_LENGTH {
        let message = format!("the expression has {} characters, more than {MAX_LENGTH}", text.len());
        return Err(ParseError::new(Code::ExpressionTooLarge, message, 0..text.len()));
    }
    let mut lexer =
        Lexer { text, syntax, at: 0, out: Vec::new(), open: Vec::new(), level: Level::default(), operators: 0, signs: 0 };
    lexer.run()?;
    Ok(lexer.out)
}

/// A name: a letter or `_`, then letters, digits and `_`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    name_length(text) == text.len() && !text.is_empty()
}

/// Words that can't be variables.
#[must_use]
pub fn is_reserved(text: &str) -> bool {
    matches!(text, "null" | "true" | "false")
}

/// Whether a text has a placeholder, or the beginning of one: then it is an expression.
#[must_use]
pub fn looks_like_template(text: &str) -> bool {
    text.char_indices().any(|(i, c)| matches!(c, '<' | '{') && text.get(i + 1..).is_some_and(|rest| name_length(rest) > 0))
}

fn name_length(text: &str) -> usize {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return 0;
    }
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len())
}

/// `name.member.member`: the name's length and the members.
fn dotted(text: &str) -> (usize, usize, Vec<Arc<str>>) {
    let name = name_length(text);
    let mut end = name;
    let mut members = Vec::new();
    while let Some(rest) = text.get(end..).and_then(|t| t.strip_prefix('.')) {
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if length == 0 {
            break;
        }
        members.push(rest.get(..length).unwrap_or("").into());
        end += 1 + length;
    }
    (name, end, members)
}

/// What parentheses have been opened for.
struct Open {
    start: usize,
    call: Option<Function>,
    arguments: usize,
    outer: Level,
}

/// The operator and operand state within one pair of parentheses.
#[derive(Default, Clone, Copy)]
struct Level {
    after_operand: bool,
    after_power: bool,
}

struct Lexer<'a> {
    text: &'a str,
    syntax: Syntax,
    at: usize,
    out: Vec<Token>,
    open: Vec<Open>,
    level: Level,
    operators: usize,
    signs: usize,
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), ParseError> {
        while let Some(c) = self.rest().chars().next() {
            match c {
                c if c.is_whitespace() => self.at += c.len_utf8(),
                '<' | '{' if self.syntax == Syntax::Template && self.opens_placeholder(c) => self.placeholder(c)?,
                '0'..='9' => self.number()?,
                '.' if self.rest().get(1..2).is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit())) => {
                    return Err(self.malformed("a number needs a digit before its point", self.at..self.at + 2));
                }
                '\'' => self.quoted()?,
                '"' => {
                    let error = self.malformed("double quotes don't belong into an expression", self.at..self.at + 1);
                    return Err(error.help("texts inside an expression stand in single quotes: 'full_attention'"));
                }
                '(' => self.open(None)?,
                ')' => self.close()?,
                ',' => self.comma()?,
                c if c.is_ascii_alphabetic() || c == '_' => self.word()?,
                _ => self.operator()?,
            }
        }
        if let Some(open) = self.open.last() {
            return Err(self.malformed("this parenthesis is never closed", open.start..open.start + 1));
        }
        if !self.level.after_operand {
            let end = self.text.len();
            let last = self.text.char_indices().next_back().map_or(0, |(at, _)| at);
            return Err(self.malformed("the expression ends where a value is expected", last..end));
        }
        Ok(())
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn malformed(&self, message: impl Into<String>, range: std::ops::Range<usize>) -> ParseError {
        ParseError::new(Code::MalformedExpression, message.into(), range)
    }

    /// A `<` is a comparison where a value stands before it.
    fn opens_placeholder(&self, bracket: char) -> bool {
        let inner = self.rest().get(1..).unwrap_or("");
        bracket == '{' || !self.level.after_operand && name_length(inner) > 0
    }

    fn placeholder(&mut self, bracket: char) -> Result<(), ParseError> {
        let start = self.at;
        let closing = if bracket == '<' { '>' } else { '}' };
        let inner = self.rest().get(1..).unwrap_or("");
        let (name_end, end, members) = dotted(inner);
        if name_end == 0 || !inner.get(end..).is_some_and(|t| t.starts_with(closing)) {
            return Err(unreadable_placeholder(bracket, closing, inner, end, start));
        }
        let name = inner.get(..name_end).unwrap_or("");
        let operand = Token::Var(self.name(name, start + 1), members);
        self.at = start + 1 + end + 1;
        self.operand(operand, start)
    }

    fn name(&self, text: &str, start: usize) -> Name {
        let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Name { text: text.into(), start: clip(start), end: clip(start + text.len()) }
    }

    fn operand(&mut self, operand: Token, start: usize) -> Result<(), ParseError> {
        self.expect_operand_position(start)?;
        self.out.push(operand);
        self.level.after_operand = true;
        self.signs = 0;
        Ok(())
    }

    fn expect_operand_position(&self, start: usize) -> Result<(), ParseError> {
        if self.level.after_operand {
            let end = self.text.get(start..).and_then(|t| t.chars().next()).map_or(start, |c| start + c.len_utf8());
            return Err(self.malformed("an operator is missing before this", start..end.max(self.at)));
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
        let mut end = start;
        while digit(end) {
            end += 1;
        }
        if bytes.get(end) == Some(&b'.') && digit(end + 1) {
            end += 1;
            while digit(end) {
                end += 1;
            }
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if digit(end + 1 + sign) {
                end += 1 + sign;
                while digit(end) {
                    end += 1;
                }
            }
        }
        let text = self.text.get(start..end).unwrap_or("");
        let Some(number) = Exact::parse(text) else {
            let message = format!("the number {text} is beyond what is computed with");
            return Err(ParseError::new(Code::Overflow, message, start..end));
        };
        self.at = end;
        self.operand(Token::Const(Value::Number(number)), start)
    }

    fn quoted(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        let inner = self.rest().get(1..).unwrap_or("");
        let Some(length) = inner.find('\'') else {
            return Err(self.malformed("this quote is never closed", start..start + 1));
        };
        let value = Value::text(inner.get(..length).unwrap_or(""));
        self.at = start + length + 2;
        self.operand(Token::Const(value), start)
    }

    /// A bare word: a constant, a function, or (in a formula) a name.
    fn word(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        let (name_end, end, members) = dotted(self.rest());
        let word = self.rest().get(..name_end).unwrap_or("").to_owned();
        let is_call = self.rest().get(name_end..).unwrap_or("").trim_start().starts_with('(');
        let range = start..start + name_end;
        if is_call && !is_reserved(&word) {
            let Some(info) = Function::find(&word) else {
                let names = FUNCTIONS.iter().map(|info| info.name);
                let error = ParseError::new(Code::UnknownFunction, format!("unknown function `{word}`"), range);
                return Err(match nearest(&word, names.clone()) {
                    Some(name) => error.help(format!("did you mean `{name}`?")),
                    None => error.help(format!("the functions are {}", names.collect::<Vec<_>>().join(", "))),
                });
            };
            self.expect_operand_position(start)?;
            self.out.push(Token::Call(info.function));
            self.at += name_end;
            self.at += self.rest().len() - self.rest().trim_start().len();
            return self.open(Some(info.function));
        }
        let operand = match word.as_str() {
            "null" => Token::Const(Value::Null),
            "true" => Token::Const(Value::Bool(true)),
            "false" => Token::Const(Value::Bool(false)),
            _ if self.syntax == Syntax::Formula => {
                self.at += end;
                let name = self.name(&word, start);
                return self.operand(Token::Var(name, members), start);
            }
            _ => return Err(self.bare(&word, start, name_end)),
        };
        self.at += name_end;
        self.operand(operand, start)
    }

    fn bare(&self, word: &str, start: usize, length: usize) -> ParseError {
        if self.text.get(start + length..).is_some_and(|t| t.starts_with("::")) {
            return self
                .malformed(format!("`{word}::` doesn't belong here: functions have no prefix"), start..start + length + 2);
        }
        let rest = self.text.get(start + length..).unwrap_or("");
        let after = rest.get(1..).unwrap_or("").trim_start();
        // `n>m` may be a comparison of two bare names; `n> * 2` can't.
        let ends = after.is_empty() || after.starts_with(|c: char| "+-*/%^=!&|),".contains(c));
        if rest.starts_with(['>', '}']) && ends {
            let message = format!("`{word}` has a closing bracket, but no opening one");
            return ParseError::new(Code::UnbalancedPlaceholder, message, start..start + length + 1)
                .help(format!("write `<{word}>`"));
        }
        ParseError::new(Code::BareName, format!("the name `{word}` stands without brackets"), start..start + length)
            .help(format!("write `<{word}>`; a text stands in single quotes: '{word}'"))
    }

    fn open(&mut self, call: Option<Function>) -> Result<(), ParseError> {
        self.expect_operand_position(self.at)?;
        if self.open.len() + self.signs >= MAX_DEPTH {
            let message = format!("the expression is nested deeper than {MAX_DEPTH} levels");
            return Err(ParseError::new(Code::ExpressionTooLarge, message, self.at..self.at + 1));
        }
        self.open.push(Open { start: self.at, call, arguments: 0, outer: self.level });
        self.level = Level::default();
        self.out.push(Token::Open);
        self.at += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), ParseError> {
        let range = self.at..self.at + 1;
        let Some(mut open) = self.open.pop() else {
            return Err(self.malformed("this parenthesis was never opened", range));
        };
        if self.level.after_operand {
            open.arguments += 1;
        } else if open.call.is_none() || open.arguments > 0 {
            return Err(self.malformed("a value is missing before this parenthesis", range));
        }
        if let Some(function) = open.call {
            self.check_arguments(function, &open)?;
        }
        self.level = Level { after_operand: true, after_power: open.outer.after_power };
        self.out.push(Token::Close);
        self.signs = 0;
        self.at += 1;
        Ok(())
    }

    fn check_arguments(&self, function: Function, open: &Open) -> Result<(), ParseError> {
        let Some(info) = FUNCTIONS.get(function as usize) else {
            return Ok(());
        };
        let even_choose = function == Function::Choose && open.arguments % 2 == 1;
        if open.arguments >= info.min_args && open.arguments <= info.max_args && !even_choose {
            return Ok(());
        }
        let plural = |n: usize| {
            if n == 1 { "1 argument".to_owned() } else { format!("{n} arguments") }
        };
        let wanted = match (info.min_args, info.max_args) {
            _ if even_choose => "an even number of arguments".to_owned(),
            (min, max) if min == max => plural(min),
            (min, usize::MAX) => format!("at least {}", plural(min)),
            (min, max) => format!("{min} to {}", plural(max)),
        };
        let message = format!("`{}` takes {wanted}, found {}", info.name, open.arguments);
        let start = self.text.get(..open.start).map_or(0, |t| t.trim_end().len()).saturating_sub(info.name.len());
        Err(ParseError::new(Code::WrongNumberOfArguments, message, start..self.at + 1).help(info.usage))
    }

    fn comma(&mut self) -> Result<(), ParseError> {
        let range = self.at..self.at + 1;
        match self.open.last_mut() {
            Some(open) if open.call.is_some() && self.level.after_operand => open.arguments += 1,
            Some(open) if open.call.is_some() => {
                return Err(self.malformed("a value is missing before this comma", range));
            }
            _ => {
                let error = self.malformed("a comma separates the arguments of a function, and here is none", range);
                return Err(error.help("a list is written as a JSON list: [1, 2]"));
            }
        }
        self.level = Level::default();
        self.out.push(Token::Comma);
        self.at += 1;
        Ok(())
    }

    fn operator(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        let rest = self.rest();
        for refused in ["//", "/*"] {
            if rest.starts_with(refused) {
                let error =
                    self.malformed(format!("`{refused}` isn't an operator, and expressions have no comments"), start..start + 2);
                return Err(error.help("integer division is `floor(a / b)`"));
            }
        }
        let operator = BinaryOp::ALL.into_iter().find(|op| rest.starts_with(op.symbol()));
        match operator {
            Some(op) if self.level.after_operand => self.binary(op),
            Some(BinaryOp::Sub) => self.sign(UnaryOp::Neg),
            _ if rest.starts_with('!') && !self.level.after_operand => self.sign(UnaryOp::Not),
            Some(op) => {
                let symbol = op.symbol();
                Err(self.malformed(format!("a value is expected here, found `{symbol}`"), start..start + symbol.len()))
            }
            None => Err(self.unknown_character()),
        }
    }

    fn binary(&mut self, op: BinaryOp) -> Result<(), ParseError> {
        let (start, symbol) = (self.at, op.symbol());
        if symbol == "<" && name_length(self.rest().get(1..).unwrap_or("")) > 0 {
            let (_, end, _) = dotted(self.rest().get(1..).unwrap_or(""));
            if self.rest().get(1 + end..).is_some_and(|t| t.starts_with('>')) {
                return Err(self.malformed("an operator is missing before this placeholder", start..start + end + 2));
            }
        }
        if self.rest().get(symbol.len()..).is_some_and(|t| t.starts_with('=')) && !matches!(symbol, "==" | "!=" | "<=" | ">=") {
            return Err(self.malformed("expressions don't assign", start..start + symbol.len() + 1));
        }
        if symbol == "^" && self.level.after_power {
            let error = self.malformed("`a ^ b ^ c` can be read in two ways", start..start + 1);
            return Err(error.help("use parentheses: `(a ^ b) ^ c` or `a ^ (b ^ c)`"));
        }
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            let message = format!("the expression has more than {MAX_OPERATORS} operators");
            return Err(ParseError::new(Code::ExpressionTooLarge, message, start..start + symbol.len()));
        }
        self.level = Level { after_operand: false, after_power: symbol == "^" };
        self.out.push(Token::Binary(op));
        self.at += symbol.len();
        Ok(())
    }

    fn sign(&mut self, op: UnaryOp) -> Result<(), ParseError> {
        self.signs += 1;
        self.operators += 1;
        if self.open.len() + self.signs > MAX_DEPTH || self.operators > MAX_OPERATORS {
            let message = format!("the expression is nested deeper than {MAX_DEPTH} levels");
            return Err(ParseError::new(Code::ExpressionTooLarge, message, self.at..self.at + 1));
        }
        self.out.push(Token::Sign(op));
        self.at += 1;
        Ok(())
    }

    fn unknown_character(&self) -> ParseError {
        let c = self.rest().chars().next().unwrap_or(' ');
        let range = self.at..self.at + c.len_utf8();
        match c {
            '=' => self.malformed("expressions don't assign", range).help("a comparison is `==`"),
            ';' => self.malformed("an expression is one expression", range),
            '[' | ']' => self
                .malformed("expressions have no list literals", range)
                .help("write a JSON list as a variable, and name it here"),
            '}' => ParseError::new(Code::UnbalancedPlaceholder, "a closing bracket without an opening one".to_owned(), range),
            '&' | '|' => self.malformed(format!("`{c}` isn't an operator"), range).help(format!("write `{c}{c}`")),
            c => self.malformed(format!("`{}` doesn't belong into an expression", c.escape_debug()), range),
        }
    }
}

/// What is wrong with a placeholder: `inner` follows its opening bracket, its first `end` bytes are a name.
fn unreadable_placeholder(bracket: char, closing: char, inner: &str, end: usize, start: usize) -> ParseError {
    let unbalanced =
        |message: String, length: usize| ParseError::new(Code::UnbalancedPlaceholder, message, start..start + 1 + length);
    let content = inner.find(closing).and_then(|at| inner.get(..at));
    if let Some(content) = content {
        let length = content.len() + 1;
        let (trimmed, whole) = (content.trim(), format!("{bracket}{content}{closing}"));
        if trimmed.is_empty() {
            return unbalanced(format!("the placeholder `{whole}` has no name"), length)
                .help("a placeholder is a name in brackets: `<batch_size>`");
        }
        if trimmed != content && dotted(trimmed).1 == trimmed.len() {
            return unbalanced(format!("the placeholder `{whole}` has blanks inside"), length)
                .help(format!("write `{bracket}{trimmed}{closing}`"));
        }
        if content.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-')) {
            let message = format!("`{content}` can't be a variable's name");
            return ParseError::new(Code::InvalidName, message, start + 1..start + length)
                .help("a name is a letter from a to z or `_`, then letters, digits and `_`");
        }
    }
    let found = inner.get(..end).unwrap_or("");
    let error = unbalanced(format!("the placeholder `{bracket}{found}` isn't closed"), end);
    match found {
        "" => error.help("a placeholder is a name in brackets: `<batch_size>`"),
        found => error.help(format!("write `{bracket}{found}{closing}`")),
    }
}

/// A text with placeholders to be filled in. Most have none, and then need no list.
#[derive(Debug, Clone, PartialEq)]
pub struct Interpolated(Pieces);

#[derive(Debug, Clone, PartialEq)]
enum Pieces {
    One(Piece),
    Several(Box<[Piece]>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Literal(Arc<str>),
    Name(Box<Placeholder>),
}

/// `<a.b.c>`: a variable's name, and the members that are meant of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Placeholder {
    pub name: Name,
    pub members: Vec<Arc<str>>,
}

impl Placeholder {
    /// The name, if nothing of it is meant but itself.
    #[must_use]
    pub fn plain_name(&self) -> Option<&str> {
        self.members.is_empty().then_some(&*self.name.text)
    }
}

impl Interpolated {
    /// A text as it stands.
    #[must_use]
    pub fn of_literal(text: Arc<str>) -> Self {
        Interpolated(Pieces::One(Piece::Literal(text)))
    }

    /// Text and placeholders, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        match &self.0 {
            Pieces::One(piece) => std::slice::from_ref(piece),
            Pieces::Several(pieces) => pieces,
        }
    }

    /// The whole text, if it has no placeholder.
    #[must_use]
    pub fn literal(&self) -> Option<&Arc<str>> {
        match &self.0 {
            Pieces::One(Piece::Literal(text)) => Some(text),
            _ => None,
        }
    }
}

/// Reads a text field (`name`, `class`, `use`, ...): literal text and `<placeholders>`.
///
/// # Errors
/// `UnbalancedPlaceholder`.
pub fn interpolate(text: &Arc<str>) -> Result<Interpolated, ParseError> {
    if !text.contains(['<', '{']) {
        return Ok(Interpolated::of_literal(text.clone()));
    }
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|t| t.chars().next()) {
        let inner = text.get(at + c.len_utf8()..).unwrap_or("");
        if !matches!(c, '<' | '{') || name_length(inner) == 0 {
            literal.push(c);
            at += c.len_utf8();
            continue;
        }
        let (name_end, end, members) = dotted(inner);
        let closing = if c == '<' { '>' } else { '}' };
        let name = inner.get(..name_end).unwrap_or("");
        if !inner.get(end..).is_some_and(|t| t.starts_with(closing)) {
            let message = format!("the placeholder `{c}{name}` isn't closed");
            return Err(ParseError::new(Code::UnbalancedPlaceholder, message, at..at + 1 + end)
                .help(format!("write `{c}{name}{closing}`")));
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
        }
        let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let name = Name { text: name.into(), start: clip(at + 1), end: clip(at + 1 + name_end) };
        pieces.push(Piece::Name(Box::new(Placeholder { name, members })));
        at += 1 + end + 1;
    }
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(literal.into()));
    }
    Ok(Interpolated(match <[Piece; 1]>::try_from(pieces) {
        Ok([piece]) => Pieces::One(piece),
        Err(pieces) => Pieces::Several(pieces.into()),
    }))
}
