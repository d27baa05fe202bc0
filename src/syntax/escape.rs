//! Names from a file, made harmless for where they are shown.

use std::borrow::Cow;

/// Characters that would steer a terminal or turn its text around.
fn is_unsafe(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
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
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { Cow::Owned(format!("'{text}")) } else { text }
}

/// A text for a cell of a Markdown table.
#[must_use]
pub fn escape_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in escape_terminal(text).chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => {
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
        assert_eq!(escape_markdown("a|<b>_"), "a\\|&lt;b&gt;\\_");
        assert_eq!(escape_dot("\"]\\N\n&lt;<b>\u{1b}"), "\\\"]\\\\N &amp;lt;<b>\\\\u{1b}");
        assert_eq!(escape_mermaid("\"]`%%{<b>#lt;\n"), "#34;]#96;#37;#37;#123;#60;b#62;#35;lt#59; ");
    }
}
