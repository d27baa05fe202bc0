//! The nearest of several names to a misspelt one.

/// The candidate most like `name`, if any is like it at all. Ties go to the one that comes first.
///
/// Damerau-Levenshtein distance at most a third of the name's length, or one name a word of the other (`LlamaRMSNorm`, `RMSNorm`).
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A stranger's file may hold a name of megabytes; nothing is near to that.
    if name.is_empty() || name.len() > 200 {
        return None;
    }
    let lower = name.to_lowercase();
    let length = name.chars().count();
    // Any two names of one letter are one edit apart, and nothing alike.
    let limit = if length == 1 { 0 } else { (length / 3).max(1) };
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        // Their lengths alone keep most apart, which is quick to see.
        let widest = if name.is_ascii() && candidate.is_ascii() { limit } else { limit.saturating_mul(4) };
        if candidate.len() > 200 || candidate.len().abs_diff(name.len()) > widest && !alike_at_the_end(name, candidate) {
            continue;
        }
        let other = candidate.to_lowercase();
        let mut distance = strsim::damerau_levenshtein(&lower, &other);
        if alike_at_the_end(&lower, &other) {
            distance = distance.min(limit);
        }
        if distance <= limit && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// One is the other's last word.
fn alike_at_the_end(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    short.len() >= 4 && long.get(long.len() - short.len()..).is_some_and(|end| end.eq_ignore_ascii_case(short))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_misspellings_and_refuses_strangers() {
        let names = ["hidden_size", "num_hidden_layers", "vocab_size"];
        assert_eq!(nearest("hiden_size", names), Some("hidden_size"));
        assert_eq!(nearest("Vocab_Size", names), Some("vocab_size"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest("m", ["n"]), None);
        assert_eq!(nearest("fc", ["fc1"]), Some("fc1"));
        assert_eq!(nearest("LlamaRMSNorm", ["RMSNorm"]), Some("RMSNorm"));
    }
}
