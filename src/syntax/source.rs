//! Source texts and places in them.
//!
//! Bytes come in, checked UTF-8 text with a name goes out. A [`Span`] is a byte range in one source; only `diag` turns it into lines and
//! columns. This module knows nothing of JSON.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde::Serialize;

use crate::syntax::diag::{Code, Diagnostic};

/// Which text a span points into: a model's, the command line's, a file's of the catalog. Models come first where diagnostics are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(u32);

/// Below are the models, above the files of the catalog.
const COMMAND_LINE: u32 = 1 << 30;

impl SourceId {
    /// The command line: options such as `--set` are shown like source.
    pub const COMMAND_LINE: SourceId = SourceId(COMMAND_LINE);

    /// The `number`th model of a session. A session that has read 2^30 of them begins again from the first.
    #[must_use]
    pub fn model(number: u32) -> Self {
        SourceId(number % COMMAND_LINE)
    }

    /// Whether it is a model's, rather than the catalog's or the command line's.
    #[must_use]
    pub fn is_model(self) -> bool {
        self.0 < COMMAND_LINE
    }

    /// The `index`th file of the catalog.
    #[must_use]
    pub fn catalog(index: usize) -> Self {
        SourceId(u32::try_from(index).map_or(u32::MAX, |i| i.saturating_add(COMMAND_LINE + 1)))
    }

    /// The index of a catalog file, if this is one.
    #[must_use]
    pub fn catalog_index(self) -> Option<usize> {
        self.0.checked_sub(COMMAND_LINE + 1).map(|index| index as usize)
    }
}

/// A half-open byte range in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Which text.
    pub source: SourceId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// A range of bytes in a source.
    #[must_use]
    pub fn new(source: SourceId, range: Range<usize>) -> Self {
        // Sources are at most MAX_BYTES long, so the conversion never saturates.
        let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { source, start: clip(range.start), end: clip(range.end) }
    }

    /// The range of bytes.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// A string's place without its quotes.
    #[must_use]
    pub fn inside(self) -> Self {
        self.part(1..self.range().len().saturating_sub(1).max(1))
    }

    /// The part `range` of this span, offsets counted from its start.
    #[must_use]
    pub fn part(self, range: Range<usize>) -> Self {
        let base = self.start as usize;
        Span::new(self.source, base + range.start..(base + range.end).min(self.end as usize))
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    pub fn new(value: T, span: Span) -> Self {
        Spanned { value, span }
    }
}

/// A text with the name under which it is shown.
#[derive(Debug, Clone)]
pub struct Source {
    /// By which spans mean it.
    pub id: SourceId,
    /// Under which it is shown.
    pub name: Arc<str>,
    /// The text, without a byte order mark.
    pub text: Arc<str>,
    /// Lines and columns on the way, found when first asked for.
    marks: Arc<OnceLock<Vec<Position>>>,
}

/// Where a byte offset lies in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Position {
    /// Where the text goes on after these bytes.
    fn after(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            match byte {
                b'\n' => self = Position { line: self.line + 1, column: 1 },
                // The second byte of a character, or a later one.
                0x80..=0xbf => {}
                _ => self.column += 1,
            }
        }
        self
    }
}

/// Where a byte offset lies in a text.
#[must_use]
pub fn position(text: &str, offset: usize) -> Position {
    Position { line: 1, column: 1 }.after(text.as_bytes().get(..offset).unwrap_or(text.as_bytes()))
}

/// Bytes from one mark to the next.
const STRIDE: usize = 1 << 12;

impl Source {
    /// A text that is known to be one.
    #[must_use]
    pub(crate) fn of(id: SourceId, name: &str, text: &str) -> Source {
        Source { id, name: name.into(), text: text.into(), marks: Arc::default() }
    }

    /// The largest file that is read: 64 MiB.
    pub const MAX_BYTES: usize = 64 << 20;

    /// Whether a file of so many bytes is read.
    ///
    /// # Errors
    /// `FileTooLarge` over [`Source::MAX_BYTES`].
    pub fn fits(name: &str, bytes: usize) -> Result<(), Box<Diagnostic>> {
        if bytes <= Self::MAX_BYTES {
            return Ok(());
        }
        let message = format!("`{name}` has {bytes} bytes, more than the {} that are read", Self::MAX_BYTES);
        Err(Diagnostic::new(Code::FileTooLarge, message).boxed())
    }

    /// Takes the bytes of a file as text.
    ///
    /// # Errors
    /// `FileTooLarge` over [`Source::MAX_BYTES`], `NotUtf8` with the offset of the first bad byte.
    pub fn load(id: SourceId, name: &str, bytes: &[u8]) -> Result<Source, Box<Diagnostic>> {
        Self::fits(name, bytes.len())?;
        let text = std::str::from_utf8(bytes).map_err(|e| {
            Diagnostic::new(
                Code::NotUtf8,
                format!("`{name}` is not UTF-8 text: byte {} doesn't belong to any character", e.valid_up_to()),
            )
            .help("a model description is a JSON text file")
            .boxed()
        })?;
        // Editors on Windows put a byte order mark first; it carries no meaning in UTF-8.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Ok(Source::of(id, name, text))
    }

    /// Where a byte offset lies: its line and column are found in the same time wherever that is, and however long the line.
    #[must_use]
    pub fn position(&self, offset: usize) -> Position {
        let bytes = self.text.as_bytes();
        let start = Position { line: 1, column: 1 };
        let marks = self.marks.get_or_init(|| {
            let next = |at: &mut Position, chunk: &[u8]| Some(std::mem::replace(at, at.after(chunk)));
            bytes.chunks(STRIDE).scan(start, next).collect()
        });
        let offset = offset.min(bytes.len());
        let at = (offset / STRIDE).min(marks.len().saturating_sub(1));
        let mark = marks.get(at).copied().unwrap_or(start);
        mark.after(bytes.get(at * STRIDE..offset).unwrap_or_default())
    }

    /// The text that a span covers, empty if it isn't of this source.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or("")
    }
}
