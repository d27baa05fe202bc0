//! `print(model)`, read by its parentheses: pages lose indentation, notebooks put prompts before it, people cut it.
//!
//! A text goes in, a tree of modules comes out. What their names and classes mean isn't known here.

use std::ops::Range;
use std::sync::Arc;

use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::expr::{Exact, Value};
use crate::syntax::source::{Source, Span};

/// Modules in modules; layers of a model may be as deep, and a wrapper around each.
const MOST_NESTED: usize = 120;
/// Modules of a text, ranges counted once.
const MOST_MODULES: usize = 200_000;
/// Bytes of a module's name, and of its class's.
const MOST_NAME: usize = 200;
/// Arguments of a layer.
const MOST_ARGS: usize = 64;
/// Bytes of its arguments.
const MOST_ARGS_TEXT: usize = 1 << 12;
/// Lists in lists of an argument.
const MOST_LISTS: usize = 4;

/// A module as it is printed, with those in it.
#[derive(Debug, Clone)]
pub struct Module {
    /// Its name in the module around it; of a range without the numbers, so empty.
    pub key: Arc<str>,
    /// The first number of a range.
    pub from: u64,
    /// How many there are.
    pub count: u64,
    /// Whether its key is a range: `(0-31): 32 x`.
    pub is_range: bool,
    /// Its class, as it is printed: `Linear`, `lora.Linear`.
    pub class: Arc<str>,
    /// What is said of it: `in_features=4096`, `(4096,)`.
    pub args: Vec<Arg>,
    /// The modules in it.
    pub children: Vec<Module>,
    /// Where its name and class stand in the text.
    pub at: Range<usize>,
}

/// What is said of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Arg {
    /// Its name; `None`: it stands by its place.
    pub name: Option<Arc<str>>,
    /// What it is.
    pub value: Value,
}

/// What a text holds.
#[derive(Debug)]
pub struct Text {
    /// The first model.
    pub root: Module,
    /// How many others there are.
    pub more: usize,
    /// Where something is left out, or the text ends before the model does.
    pub cuts: Vec<usize>,
}

impl Module {
    /// An argument by its name, or by its place (`a0`).
    #[must_use]
    pub fn arg(&self, name: &str) -> Option<&Value> {
        let named = self.args.iter().find(|arg| arg.name.as_deref() == Some(name));
        let placed = || {
            let at: usize = name.strip_prefix('a')?.parse().ok()?;
            self.args.iter().filter(|arg| arg.name.is_none()).nth(at)
        };
        named.or_else(placed).map(|arg| &arg.value)
    }

    /// Its last name, that of a dotted class.
    #[must_use]
    pub fn short_class(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or_default()
    }
}

/// What stands at a parenthesis that opens a module in another.
struct Item<'t> {
    key: &'t str,
    /// `32 x`, of a range.
    count: Option<u64>,
    /// What comes after: a class and its parenthesis, or something else.
    what: What<'t>,
}

enum What<'t> {
    /// A class, and where the text behind its parenthesis begins.
    Class(&'t str, usize),
    /// `Parameter containing: [...]`: what is in the brackets, and where the text behind it begins.
    Parameter(&'t str, usize),
    /// Dots in place of a module: where the text behind them begins.
    Left(usize),
    /// `None`: no module, and where the text behind it begins.
    Nothing(usize),
}

fn is_class(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
}

fn rest(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default()
}

/// Where the text goes on behind blanks and line ends.
fn past_blanks(text: &str, at: usize) -> usize {
    let rest = rest(text, at);
    at + (rest.len() - rest.trim_start().len())
}

/// `(name): Class(`, `(0-31): 32 x Class(`, `(default): Parameter containing: [...]`.
fn item(text: &str, at: usize) -> Option<Item<'_>> {
    let inside = rest(text, at).strip_prefix('(')?;
    let end = inside.bytes().take(MOST_NAME + 1).position(|byte| matches!(byte, b'(' | b')' | b'\n'))?;
    let key = inside.get(..end).map(str::trim).filter(|key| !key.is_empty())?;
    let after = inside.get(end..)?.strip_prefix("):")?;
    let mut here = past_blanks(text, text.len() - after.len());
    // A name alone is no module: what follows may stand in the next line all the same.
    let count = rest(text, here).bytes().take(20).position(|byte| !byte.is_ascii_digit()).filter(|digits| *digits > 0);
    let count = count.and_then(|digits| {
        let number: u64 = text.get(here..here + digits)?.parse().ok()?;
        let after = rest(text, here + digits).trim_start_matches(' ').strip_prefix(['x', '×'])?;
        after.starts_with(' ').then_some((number, text.len() - after.len()))
    });
    if let Some((_, behind)) = count {
        here = past_blanks(text, behind);
    }
    let count = count.map(|(number, _)| number);
    let ahead = rest(text, here);
    if let Some(what) = ahead.strip_prefix("Parameter containing:") {
        let start = text.len() - what.len();
        let end = what.bytes().take(MOST_ARGS_TEXT).position(|byte| matches!(byte, b']' | b'\n'))?;
        return Some(Item { key, count, what: What::Parameter(what.get(..end)?, start + end + 1) });
    }
    if let Some(dots) = ["...", "…"].iter().find(|dots| ahead.starts_with(**dots)) {
        return Some(Item { key, count, what: What::Left(here + dots.len()) });
    }
    let end = ahead.bytes().take(MOST_NAME).position(|byte| !is_class(byte))?;
    if ahead.get(..end) == Some("None") {
        return Some(Item { key, count, what: What::Nothing(here + end) });
    }
    let class = ahead.get(..end).filter(|class| !class.is_empty() && !class.starts_with(|c: char| c.is_ascii_digit()))?;
    ahead.get(end..)?.starts_with('(').then_some(Item { key, count, what: What::Class(class, here + end + 1) })
}

/// Where a model begins, at or behind a place: its class, and where the text behind its parenthesis begins.
fn root(text: &str, from: usize) -> Option<(Range<usize>, usize)> {
    let bytes = text.as_bytes();
    let class_before = |open: usize| {
        let start = bytes.get(..open)?.iter().rev().take(MOST_NAME).take_while(|byte| is_class(**byte)).count();
        let class = text.get(open - start..open)?;
        let is_one = class.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        is_one.then_some(open - start..open)
    };
    let opens = bytes.iter().enumerate().skip(from).filter(|(_, byte)| **byte == b'(').map(|(at, _)| at);
    for open in opens {
        let Some(class) = class_before(open) else { continue };
        let inside = past_line_of_args(text, open + 1);
        if item(text, inside).is_some() {
            return Some((class, open + 1));
        }
    }
    None
}

/// What a class may say of itself before the modules in it: a line of arguments, as PEFT had them in 2023.
fn past_line_of_args(text: &str, at: usize) -> usize {
    let first = past_blanks(text, at);
    if rest(text, first).starts_with('(') {
        return first;
    }
    // Only behind the end of the line: an argument in a call is none.
    let is_new_line = text.get(at..first).is_some_and(|blanks| blanks.contains('\n'));
    let line = rest(text, first).bytes().take(MOST_ARGS_TEXT).position(|byte| matches!(byte, b'\n' | b')' | b'('));
    match line {
        Some(end) if is_new_line => past_blanks(text, first + end),
        _ => first,
    }
}

/// A layer alone: `Linear(in_features=4, out_features=2, bias=True)` and nothing else.
fn lone(text: &str) -> Option<(Range<usize>, usize)> {
    let start = past_blanks(text, 0);
    let end = rest(text, start).bytes().take(MOST_NAME).position(|byte| !is_class(byte))?;
    let class = text.get(start..start + end).filter(|class| class.starts_with(|c: char| c.is_ascii_uppercase()))?;
    let inside = rest(text, start + class.len()).strip_prefix('(')?;
    let line = inside.trim_end().strip_suffix(')')?;
    (line.len() <= MOST_ARGS_TEXT && !line.contains('\n')).then_some((start..start + end, start + end + 1))
}

/// Whether a text has what `print(model)` writes.
#[must_use]
pub fn is_print(text: &str) -> bool {
    root(text, 0).or_else(|| lone(text)).is_some()
}

/// The program whose table of layers this is, where it is one.
#[must_use]
pub fn table_of(text: &str) -> Option<&'static str> {
    const SAMPLE: usize = 1 << 14;
    let start = text.char_indices().take_while(|(at, _)| *at < SAMPLE).last().and_then(|(at, _)| text.get(..=at)).unwrap_or(text);
    let has = |words: &[&str]| words.iter().all(|word| start.contains(word));
    let tables: [(&[&str], &str); 4] = [
        (&["Layer (type:depth-idx)"], "torchinfo"),
        (&["Layer (type)", "Output Shape", "Param #", "Input size (MB)"], "torchsummary"),
        (&["Layer (type)", "Output Shape", "Param #"], "Keras"),
        (&["| Name ", "| Type ", "| Params"], "Lightning"),
    ];
    tables.iter().find(|(words, _)| has(words)).map(|(_, program)| *program)
}

/// A module whose parenthesis is open.
struct Open {
    module: Module,
    /// Where its arguments stand.
    args: Vec<Range<usize>>,
}

/// Reads the first model of a text.
///
/// # Errors
/// There is none, or it is nested more deeply, or holds more modules, than is taken; a range that isn't as long as it says.
pub fn read_print(source: &Source) -> Result<Text, Box<Diagnostic>> {
    let text = &*source.text;
    let Some((class, inside)) = root(text, 0).or_else(|| lone(text)) else {
        let message = format!("`{}` holds no `print(model)`: nothing like `(name): Class(...)` in a `Class(...)`", source.name);
        return Err(Diagnostic::new(Code::MalformedCheckpoint, message).boxed());
    };
    let mut reader = Reader { source, modules: 0, cuts: Vec::new(), stack: Vec::new() };
    let name = text.get(class.clone()).unwrap_or_default();
    reader.open("", None, name, class)?;
    let (root, end) = reader.run(inside)?;
    let cuts = reader.cuts;
    let mut more = 0usize;
    let mut behind = end;
    // Others of a text are counted, not read.
    while let Some((_, inside)) = self::root(text, behind).filter(|_| more < 100) {
        more += 1;
        behind = past(text, inside);
    }
    Ok(Text { root, more, cuts })
}

/// Behind the parenthesis that closes what is open here.
fn past(text: &str, from: usize) -> usize {
    let mut depth = 1usize;
    for (at, byte) in text.bytes().enumerate().skip(from) {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

struct Reader<'s> {
    source: &'s Source,
    modules: usize,
    cuts: Vec<usize>,
    stack: Vec<Open>,
}

impl Reader<'_> {
    fn wrong(&self, at: Range<usize>, message: impl Into<String>, label: &str) -> Box<Diagnostic> {
        let span = Span::new(self.source.id, at);
        Diagnostic::new(Code::MalformedCheckpoint, message).at(span, label).boxed()
    }

    fn open(&mut self, key: &str, count: Option<u64>, class: &str, at: Range<usize>) -> Result<(), Box<Diagnostic>> {
        let module = self.module(key, count, class, at)?;
        if self.stack.len() >= MOST_NESTED {
            return Err(self.wrong(
                module.at,
                format!("modules are nested more than {MOST_NESTED} deep"),
                "this one is too deep",
            ));
        }
        self.stack.push(Open { module, args: Vec::new() });
        Ok(())
    }

    fn module(&mut self, key: &str, count: Option<u64>, class: &str, at: Range<usize>) -> Result<Module, Box<Diagnostic>> {
        self.modules += 1;
        if self.modules > MOST_MODULES {
            return Err(self.wrong(at, format!("the text has more than {MOST_MODULES} modules"), "the first of too many"));
        }
        let range = key.split_once('-').and_then(|(from, to)| Some((from.parse::<u64>().ok()?, to.parse::<u64>().ok()?)));
        let (from, count, is_range) = match (range, count) {
            (Some((from, to)), count) => {
                let length = to.checked_sub(from).and_then(|less| less.checked_add(1));
                let Some(length) = length.filter(|length| count.is_none_or(|count| count == *length)) else {
                    return Err(self.wrong(at, format!("the range `{key}` isn't as long as it says"), "counted here"));
                };
                (from, length, true)
            }
            (None, Some(count)) if count > 1 => {
                return Err(self.wrong(at, format!("`{key}` is one place, and holds {count}"), "counted here"));
            }
            (None, _) => (0, 1, false),
        };
        let key = if is_range { "".into() } else { key.into() };
        Ok(Module { key, from, count, is_range, class: class.into(), args: Vec::new(), children: Vec::new(), at })
    }

    /// Reads until the first module is closed, or the text ends: the module, and where that is.
    fn run(&mut self, inside: usize) -> Result<(Module, usize), Box<Diagnostic>> {
        let text = &*self.source.text;
        let mut at = inside;
        loop {
            at = past_blanks(text, at);
            let ahead = rest(text, at);
            let Some(first) = ahead.chars().next() else {
                self.cuts.push(text.trim_end().len());
                let mut last = None;
                while !self.stack.is_empty() {
                    last = self.close();
                }
                return last.map(|module| (module, at)).ok_or_else(|| self.wrong(0..0, "the text is empty", "here"));
            };
            if first == ')' {
                at += 1;
                if let Some(module) = self.close() {
                    return Ok((module, at));
                }
                continue;
            }
            if let Some(item) = item(text, at) {
                at = self.item(&item, at)?;
                continue;
            }
            if let Some(length) = dots(ahead) {
                self.cuts.push(at);
                at += length;
                continue;
            }
            let end = args_end(text, at);
            if let Some(open) = self.stack.last_mut() {
                open.args.push(at..end);
            }
            at = end;
        }
    }

    fn item(&mut self, item: &Item<'_>, at: usize) -> Result<usize, Box<Diagnostic>> {
        match item.what {
            What::Class(class, inside) => {
                self.open(item.key, item.count, class, at..inside - 1)?;
                Ok(inside)
            }
            What::Parameter(what, behind) => {
                let mut module = self.module(item.key, item.count, "Parameter", at..behind.min(self.source.text.len()))?;
                module.args = sizes(what).into_iter().collect();
                if let Some(open) = self.stack.last_mut() {
                    open.module.children.push(module);
                }
                Ok(behind)
            }
            What::Left(behind) => {
                self.cuts.push(at);
                Ok(behind)
            }
            What::Nothing(behind) => Ok(behind),
        }
    }

    /// Closes the innermost module; the outermost is given back.
    fn close(&mut self) -> Option<Module> {
        let Open { mut module, args } = self.stack.pop()?;
        let mut left = MOST_ARGS_TEXT;
        for range in args {
            let Some(line) = self.source.text.get(range).filter(|line| line.len() <= left) else { continue };
            left -= line.len();
            let room = MOST_ARGS - module.args.len();
            module.args.extend(split(line, ',').into_iter().map(str::trim).filter(|text| !text.is_empty()).map(arg).take(room));
        }
        match self.stack.last_mut() {
            Some(outer) => {
                outer.module.children.push(module);
                None
            }
            None => Some(module),
        }
    }
}

/// `...`, `…`, `[...]`, `(...)` in place of modules: how long that is.
fn dots(ahead: &str) -> Option<usize> {
    const WRITTEN: [&str; 5] = ["[...]", "(...)", "<...>", "...", "…"];
    let dots = WRITTEN.iter().find(|dots| ahead.starts_with(**dots))?;
    // Prompts of Python begin lines with dots, too; a module stands behind them.
    Some(dots.len())
}

/// Where arguments end: at the end of the line, at the parenthesis that closes the module, or where a module begins.
fn args_end(text: &str, from: usize) -> usize {
    let mut depth = 0usize;
    let mut quoted: Option<u8> = None;
    for (at, byte) in text.bytes().enumerate().skip(from) {
        match (quoted, byte) {
            // A line ends a text that nobody closed.
            (_, b'\n') if depth == 0 || quoted.is_some() => return at,
            (Some(quote), byte) if quote == byte => quoted = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quoted = Some(byte),
            (None, b'(' | b'[' | b'{') => {
                if byte == b'(' && at > from && item(text, at).is_some() {
                    return at;
                }
                depth += 1;
            }
            (None, b')' | b']' | b'}') => {
                if depth == 0 && byte == b')' {
                    return at;
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
    }
    text.len()
}

/// Splits at a sign outside of brackets and quotes.
fn split(text: &str, sign: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut quoted, mut start) = (0i32, None, 0usize);
    for (at, c) in text.char_indices() {
        match (quoted, c) {
            (Some(quote), c) if quote == c => quoted = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quoted = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth -= 1,
            (None, c) if c == sign && depth <= 0 => {
                parts.extend(text.get(start..at));
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

fn arg(text: &str) -> Arg {
    if let Some((name, value)) = text.split_once('=') {
        let name = name.trim();
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Arg { name: Some(name.into()), value: value_of(value.trim(), MOST_LISTS) };
        }
    }
    Arg { name: None, value: value_of(text, MOST_LISTS) }
}

/// A value as Python writes it.
fn value_of(text: &str, deep: usize) -> Value {
    match text {
        "True" => return Value::Bool(true),
        "False" => return Value::Bool(false),
        "None" => return Value::Null,
        _ => {}
    }
    if text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.') {
        let number = if text.starts_with('.') { format!("0{text}") } else { text.replace('_', "") };
        if let Some(number) = Exact::parse(&number) {
            return Value::Number(number);
        }
    }
    let text = text.strip_prefix("torch.Size(").and_then(|text| text.strip_suffix(')')).unwrap_or(text);
    let inside = |open: char, close: char| text.strip_prefix(open)?.strip_suffix(close);
    if let Some(items) = inside('(', ')').or_else(|| inside('[', ']')).filter(|_| deep > 0) {
        let items = split(items, ',').into_iter().map(str::trim).filter(|item| !item.is_empty());
        return Value::List(items.take(MOST_ARGS).map(|item| value_of(item, deep - 1)).collect());
    }
    let plain = inside('\'', '\'').or_else(|| inside('"', '"')).unwrap_or(text);
    Value::text(plain)
}

/// The sizes of a parameter: `[torch.FloatTensor of size 64x32027]`, `[torch.cuda.FloatTensor of size 8x4 (cuda:0)]`.
fn sizes(what: &str) -> Option<Arg> {
    let (_, size) = what.split_once("of size ")?;
    let size = size.trim().split(|c: char| !(c.is_ascii_digit() || c == 'x')).next()?;
    let dims: Option<Vec<Value>> = size.split('x').map(|dim| dim.parse().ok().map(Value::count)).collect();
    Some(Arg { name: Some("shape".into()), value: Value::List(dims?.into()) })
}
