//! The nearest of several names to a misspelt one.

/// The candidate most like `name`, if any is like it at all. Ties go to the one that comes first.
///
/// Damerau-Levenshtein distance at most a third of the name's length, or one name a part of the other (`LlamaRMSNorm`, `RMSNorm`).
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A stranger's file may hold a name of megabytes; nothing is near to that.
    if name.is_empty() || name.len() > 200 {
        return None;
    }
    let lower = name.to_lowercase();
    let limit = (name.chars().count() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate.len() > 200 {
            continue;
        }
        let other = candidate.to_lowercase();
        let mut distance = strsim::damerau_levenshtein(&lower, &other);
        let contained = other.len() >= 4 && lower.len() >= 4 && (lower.ends_with(&other) || other.contains(&lower));
        if contained {
            distance = distance.min(limit);
        }
        if distance <= limit && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
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
    }
}
