//! A text as it comes from a terminal, a notebook or a page, without what these put around it.

use std::borrow::Cow;

/// What a line may begin with that isn't the model's: quotes of mails, comments, drawings of frames.
const MARKS: [char; 8] = ['>', '|', '#', '│', '┃', '*', '·', '\u{a0}'];

/// A text without colours, tags and what stands before its lines; lines stay where they are. `None`: it is no text.
///
/// PowerShell redirects output as UTF-16, so that is taken, too.
#[must_use]
pub fn cleaned(bytes: &[u8]) -> Option<String> {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes)?),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes)?),
        _ => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
    };
    let text = unescaped(&text);
    let is_html = ["&lt;", "&gt;", "&#", "&quot;", "<pre", "<span", "<code", "</"].iter().any(|sign| text.contains(sign));
    let mut out = String::with_capacity(text.len());
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            out.push('\n');
        }
        let line = without_colours(line.strip_suffix('\r').unwrap_or(line));
        let line = if is_html { without_tags(&line) } else { line };
        out.push_str(without_marks(&line));
    }
    Some(out)
}

/// Without what a notebook or a document writes for a line's end, an underscore, a bracket: `\\n`, `\\_`, `\\[`.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let ends = text.replace("\\n\",\n", "\n").replace("\\n", "\n");
    let mut out = String::with_capacity(ends.len());
    let mut rest = ends.as_str();
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        if !after.starts_with(['_', '[', ']', '(', ')', '*', '"', '-', '.', '#']) {
            out.push('\\');
        }
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn utf16(bytes: &[u8], read: fn([u8; 2]) -> u16) -> Option<String> {
    let units: Vec<u16> = bytes.chunks_exact(2).filter_map(|pair| Some(read(pair.try_into().ok()?))).collect();
    String::from_utf16(&units).ok()
}

/// Without the sequences that set colours: ESC [ ... a letter.
fn without_colours(line: &str) -> Cow<'_, str> {
    if !line.contains('\u{1b}') {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            // The bracket is neither a number nor a letter, so it is passed over.
            rest.by_ref().find(|c| c.is_ascii_alphabetic());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Without tags, and with the characters that a page writes otherwise.
fn without_tags(line: &str) -> Cow<'_, str> {
    if !line.contains(['<', '&']) {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let is_tag = tag.chars().nth(1).is_some_and(|c| c == '/' || c.is_ascii_alphabetic());
        match tag.find('>').filter(|_| is_tag) {
            Some(end) => rest = tag.get(end + 1..).unwrap_or_default(),
            None => {
                out.push('<');
                rest = tag.get(1..).unwrap_or_default();
                if is_tag {
                    break;
                }
            }
        }
    }
    out.push_str(rest);
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#x27;", "'"), ("&nbsp;", " "), ("&amp;", "&")];
    Cow::Owned(entities.iter().fold(out, |text, (entity, c)| if text.contains(entity) { text.replace(entity, c) } else { text }))
}

/// Without marks and numbers of lines before a parenthesis: `12 | (mlp): ...`, `> (mlp): ...`.
fn without_marks(line: &str) -> &str {
    let start = line.trim_start();
    if start.starts_with(['(', ')']) {
        return line;
    }
    if let Some(logged) = without_time(start) {
        return logged;
    }
    // `[rank0]: ` of a launcher, `[2026-12-01 10:11:12][INFO] ` of a logger; a line of a notebook's file is quoted.
    let mut start = start.trim_start_matches('"').trim_start();
    while let Some((_, rest)) =
        start.strip_prefix('[').and_then(|label| label.split_once(']')).filter(|(label, _)| label.len() < 40)
    {
        start = rest.trim_start_matches([':', ' ']);
    }
    let rest = start.trim_start_matches(|c: char| MARKS.contains(&c) || c.is_whitespace());
    let rest = if rest.starts_with(['(', ')']) {
        rest
    } else {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        number.trim_start_matches(|c: char| matches!(c, ':' | '.') || MARKS.contains(&c) || c.is_whitespace())
    };
    if rest.starts_with(['(', ')']) { rest } else { line }
}

/// The line of a logger, `2026-12-01 10:11:12,345 INFO root: (mlp): ...`, from its parenthesis on. `None`: it is none, or a class stands
/// before the parenthesis.
fn without_time(line: &str) -> Option<&str> {
    let date = line.split(' ').next().filter(|date| date.len() == 10)?;
    let is_date =
        date.bytes().enumerate().all(|(at, byte)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() });
    let (before, _) = line.split_once(['(', ')'])?;
    (is_date && before.ends_with(' ')).then(|| line.get(before.len()..)).flatten()
}

#[cfg(test)]
mod tests {
    use super::cleaned;

    #[test]
    fn what_terminals_and_pages_add_is_taken_away() {
        let clean = |text: &str| cleaned(text.as_bytes()).unwrap();
        assert_eq!(clean("\u{1b}[1;32mA(\u{1b}[0m\r\n  (b): C()\r\n)"), "A(\n  (b): C()\n)");
        assert_eq!(clean("> A(\n>   (b): C()\n> )"), "> A(\n(b): C()\n)");
        assert_eq!(clean("1 | A(\n 2 |  (b): C()\n3 | )"), "1 | A(\n(b): C()\n)");
        assert_eq!(clean("    \"A(\\n\",\n    \"  (b): C()\\n\",\n    \")\\n\""), "    \"A(\n(b): C()\n)\n\"");
        assert_eq!(clean("A(\\n  (b\\_c): C(d\\_e=\\[1\\])\\n)"), "A(\n  (b_c): C(d_e=[1])\n)");
        assert_eq!(clean("[2026-12-01 10:11][INFO] (b): C()"), "(b): C()");
        assert_eq!(clean("2026-12-01 10:11:12,345 INFO x: (b): C()"), "(b): C()");
        assert_eq!(clean("2026-12-01 10:11:12,345 INFO x: A("), "2026-12-01 10:11:12,345 INFO x: A(");
        assert_eq!(clean("<pre>A(\n (b): C(x=&#39;n&#39;)\n)</pre>"), "A(\n (b): C(x='n')\n)");
        assert_eq!(cleaned(b"\xff\xfeA\0(\0)\0").unwrap(), "A()");
        assert_eq!(cleaned(b"\xff\xff"), None);
        assert_eq!(clean(&"<a".repeat(50_000)).len(), 100_000);
    }
}
