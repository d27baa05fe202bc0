use std::borrow::Cow;
pub fn escape_terminal(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}
