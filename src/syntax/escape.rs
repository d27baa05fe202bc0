//! Names from a file, made harmless for where they are shown.

use std::borrow::Cow;

/// Characters that would steer a terminal or turn its text around, end a line where none ends, or aren't seen at all: controls, Unicode's
/// format characters (Cf), line and paragraph separators, variation selectors and fillers.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t') || (c >= '\u{ad}' && is_unseen(c))
}

fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// A text for the terminal: control and direction characters are spelt out.
#[must_use]
pub fn escape_terminal(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A text for a CSV cell: a spreadsheet must not take it for a formula.
#[must_use]
pub fn escape_csv(text: &str) -> Cow<'_, str> {
    let text = escape_terminal(text);
    // Full-width signs are signs to some.
    let begins = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    if text.starts_with(begins) { Cow::Owned(format!("'{text}")) } else { text }
}

/// A text for a cell of a Markdown table: no mark-up, link, mention or formula in it.
#[must_use]
pub fn escape_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let text = escape_terminal(text);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            // `http://` and `www.` are links by themselves.
            ':' if rest.as_str().starts_with("//") => out.push_str("\\:"),
            '.' if out.len() >= 3 && out.get(out.len() - 3..).is_some_and(|end| end.eq_ignore_ascii_case("www")) => {
                out.push_str("\\.")
            }
            '\n' | '\r' | '\t' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '~' | '$' | '@' | '#' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

/// A text inside the quotes of a DOT label: no escape sequence, entity or end of the quotes in it.
#[must_use]
pub fn escape_dot(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in escape_terminal(text).chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
    out
}

/// A text inside the quotes of a Mermaid label. Only what is known to be harmless stays: Mermaid also looks for Markdown, HTML, comments
/// and directives in there.
#[must_use]
pub fn escape_mermaid(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in escape_terminal(text).chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            ' ' | '.' | ',' | ':' | '-' | '_' | '[' | ']' | '(' | ')' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            c => out.push_str(&format!("#{};", u32::from(c))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal_a_spreadsheet_or_a_page() {
        assert_eq!(escape_terminal("a\u{1b}[31mb\u{202e}"), "a\\u{1b}[31mb\\u{202e}");
        assert_eq!(escape_csv("=1+1"), "'=1+1");
        assert_eq!(escape_csv("a=1"), "a=1");
        assert_eq!(escape_csv("\u{ff1d}1+1"), "'\u{ff1d}1+1");
        assert_eq!(escape_markdown("~~x~~ $a$ @b http://c www.d"), "\\~\\~x\\~\\~ \\$a\\$ \\@b http\\://c www\\.d");
        for unseen in
            ['\u{61c}', '\u{2028}', '\u{2029}', '\u{ad}', '\u{180e}', '\u{fff9}', '\u{e0041}', '\u{7f}', '\u{9b}', '\u{fe0f}']
        {
            assert_eq!(escape_terminal(&unseen.to_string()), unseen.escape_unicode().to_string());
        }
        assert_eq!(escape_terminal("größe 大きさ é ✓ 😀"), "größe 大きさ é ✓ 😀");
        assert_eq!(escape_markdown("a|<b>_"), "a\\|&lt;b&gt;\\_");
        assert_eq!(escape_dot("\"]\\N\n&lt;<b>\u{1b}"), "\\\"]\\\\N &amp;lt;<b>\\\\u{1b}");
        assert_eq!(escape_mermaid("\"]`%%{<b>#lt;\n"), "#34;]#96;#37;#37;#123;#60;b#62;#35;lt#59; ");
    }
}
