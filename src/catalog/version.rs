//! Versions of engines, number by number.

/// Whether a version came before another; not, where one of them is none.
pub(super) fn is_before(version: &str, other: &str) -> bool {
    numbers(version).zip(numbers(other)).is_some_and(|(version, other)| version < other)
}

/// The numbers of a version: `0.10.2`, `v0.10.2`, `b6000`.
pub(super) fn numbers(version: &str) -> Option<Vec<u64>> {
    let digits = version.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    digits.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_number_by_number() {
        assert_eq!(numbers("v0.10.2"), Some(vec![0, 10, 2]));
        assert_eq!(numbers("b6000"), Some(vec![6000]));
        assert_eq!(numbers("nightly"), None);
        assert!(numbers("0.9") < numbers("0.10"));
    }
}
