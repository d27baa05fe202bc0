//! Lays out what `{:?}` writes, as it comes: what fits on a line stays on one, the rest is broken at its brackets and commas.
//!
//! `{:#?}` gives every value a line of its own and hands it through an adapter a level: of a large model that makes a gigabyte, slowly.

use std::fmt::{self, Write};
use std::sync::LazyLock;

/// Columns of a line, where it can be broken.
const WIDTH: usize = 120;
/// What a level is indented by.
const STEP: &str = "  ";
/// Bytes that are worth a write.
const ENOUGH: usize = 16_384;

/// Writes on lines what it is given. Whether something fits is known once it has ended, so at most about a line is held back.
pub(super) struct Layout<'w> {
    out: &'w mut dyn Write,
    /// The item that has come so far, on a line that begins with `depth` steps of blanks.
    held: String,
    /// Where in it brackets are open.
    open: Vec<usize>,
    /// How many brackets around it are broken.
    depth: usize,
    /// Whether there is a line before.
    begun: bool,
    quote: Option<u8>,
    escaped: bool,
    /// Lines that are done, not yet written: each write passes through several adapters.
    done: String,
}

impl<'w> Layout<'w> {
    pub fn new(out: &'w mut dyn Write) -> Self {
        Layout {
            out,
            held: String::new(),
            open: Vec::new(),
            depth: 0,
            begun: false,
            quote: None,
            escaped: false,
            done: String::new(),
        }
    }

    /// Writes what is held back still.
    pub fn finish(mut self) -> fmt::Result {
        self.line("")?;
        self.out.write_str(&self.done)
    }

    /// The item that is held, and what stands behind it, on a line of its own.
    fn line(&mut self, behind: &str) -> fmt::Result {
        let item = self.held.trim();
        if !item.is_empty() {
            if self.begun {
                self.done.push('\n');
            }
            self.begun = true;
            for _ in 0..self.depth {
                self.done.push_str(STEP);
            }
            self.done.push_str(item);
            self.done.push_str(behind);
            if self.done.len() >= ENOUGH {
                self.out.write_str(&self.done)?;
                self.done.clear();
            }
        }
        self.held.clear();
        self.open.clear();
        Ok(())
    }

    /// Breaks the line behind the outermost bracket that is open in it.
    fn break_line(&mut self) -> fmt::Result {
        let Some(first) = self.open.first().copied() else { return Ok(()) };
        let rest = self.held.split_off(first + 1);
        self.line("")?;
        self.depth += 1;
        // A bracket is never quoted.
        (self.quote, self.escaped) = (None, false);
        self.write_str(&rest)
    }

    /// What a byte outside of quotes means, which stands at the end of what is held.
    fn mark(&mut self, byte: u8) -> fmt::Result {
        match byte {
            b'{' | b'[' | b'(' => self.open.push(self.held.len() - 1),
            b'}' | b']' | b')' if self.open.pop().is_none() => {
                self.held.pop();
                self.line(",")?;
                self.depth = self.depth.saturating_sub(1);
                self.held.push(char::from(byte));
            }
            b',' if self.open.is_empty() => {
                self.held.pop();
                self.line(",")?;
            }
            b'"' | b'\'' => self.quote = Some(byte),
            _ => {}
        }
        Ok(())
    }

    fn special(&mut self, byte: u8) -> fmt::Result {
        self.held.push(char::from(byte));
        match self.quote {
            _ if self.escaped => self.escaped = false,
            Some(_) if byte == b'\\' => self.escaped = true,
            Some(quote) if byte == quote => self.quote = None,
            Some(_) => {}
            None => self.mark(byte)?,
        }
        Ok(())
    }
}

/// Whether a byte means something to the layout; looked up, as each byte of hundreds of megabytes is asked.
static SPECIAL: LazyLock<[bool; 256]> =
    LazyLock::new(|| std::array::from_fn(|at| u8::try_from(at).is_ok_and(|byte| br#"{}[](),"'\"#.contains(&byte))));

impl Write for Layout<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let special = &*SPECIAL;
        let is_special = |byte: u8| special.get(usize::from(byte)).is_some_and(|special| *special);
        let mut rest = text;
        while let Some(at) = rest.bytes().position(is_special) {
            let (plain, behind) = rest.split_at(at);
            self.plain(plain);
            if let Some(byte) = behind.bytes().next() {
                self.special(byte)?;
            }
            rest = behind.get(1..).unwrap_or_default();
            if STEP.len() * self.depth + self.held.len() > WIDTH && !self.open.is_empty() {
                self.break_line()?;
            }
        }
        self.plain(rest);
        Ok(())
    }
}

impl Layout<'_> {
    fn plain(&mut self, text: &str) {
        if !text.is_empty() {
            self.escaped = false;
            self.held.push_str(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(value: &impl fmt::Debug) -> String {
        let mut out = String::new();
        let mut layout = Layout::new(&mut out);
        write!(layout, "{value:?}").unwrap();
        layout.finish().unwrap();
        out
    }

    #[test]
    fn what_fits_stays_on_a_line() {
        assert_eq!(laid_out(&(1, Some("a, { b"), [0; 3])), "(1, Some(\"a, { b\"), [0, 0, 0])");
        assert_eq!(laid_out(&Vec::<u8>::new()), "[]");
    }

    #[test]
    fn what_does_not_is_broken_from_outside() {
        let long = "x".repeat(60);
        let found = laid_out(&vec![Some((long.clone(), ')', "\\\"")), None, Some((long.clone(), '\'', ""))]);
        let expected = format!("[\n  Some((\"{long}\", ')', \"\\\\\\\"\")),\n  None,\n  Some((\"{long}\", '\\'', \"\")),\n]");
        assert_eq!(found, expected);
        let deeper = laid_out(&[(vec![long.clone(), long.clone()], 7)]);
        assert_eq!(deeper, format!("[\n  (\n    [\n      \"{long}\",\n      \"{long}\",\n    ],\n    7,\n  ),\n]"));
    }

    /// The same as `{:?}` says, but for blanks and commas before closing brackets.
    #[test]
    fn nothing_is_lost() {
        let value: Vec<(usize, String, Option<Vec<char>>)> =
            (0..40).map(|n| (n, "'\"{,".repeat(n % 7), (n % 3 == 0).then(|| ['[', ','].repeat(n % 5)))).collect();
        let bare = |text: &str| text.replace([' ', '\n'], "").replace(",]", "]").replace(",)", ")");
        assert_eq!(bare(&laid_out(&value)), bare(&format!("{value:?}")));
    }
}
