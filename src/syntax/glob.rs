//! Patterns in which `*` stands for any text: the one place that says what such a pattern means.
//!
//! A pattern and a text come in, whether they fit goes out. Which text is asked (a path, a class, its last segment) is the caller's business.

/// Whether the whole text is as the pattern says; a pattern without stars is the text itself.
///
/// Each piece between stars is taken where it stands first: if the rest fits at all, it fits behind the earliest place, so nothing is tried
/// twice and the time is linear in both lengths, whatever a stranger's pattern looks like.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let after_first = text.strip_prefix(first);
    let after_middle =
        after_first.and_then(|text| middle.split('*').try_fold(text, |text, piece| Some(text.split_once(piece)?.1)));
    after_middle.is_some_and(|text| text.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_anything() {
        assert!(matches("*.mlp.*", "model.layers.[0-31].mlp.up_proj"));
        assert!(matches("lm_head", "lm_head") && !matches("lm_head", "x.lm_head"));
        assert!(matches("*Linear", "torch.nn.Linear") && matches("*", "") && matches("**", "") && matches("", ""));
        assert!(!matches("a*a", "a") && matches("a*b*c", "a-b-b-c") && !matches("a*b", "ac") && !matches("", "a"));
        assert!(!matches("*RMSNorm", "RMSNormGated") && matches("a**b", "ab") && matches("*.mlp", "x.mlp2.mlp"));
    }

    /// What tries every place of every star takes longer than the universe has been there.
    #[test]
    fn a_hostile_pattern_takes_no_longer_than_another() {
        let (pattern, text) = ("*a".repeat(20_000) + "b", "a".repeat(60_000));
        assert!(!matches(&pattern, &text));
        assert!(matches(&"*a".repeat(20_000), &text));
    }
}
