//! How well a class's names and patterns fit the name that a layer says.

use crate::syntax::glob;

/// How well a pattern fits a name: exact is best, then the longer pattern.
pub fn fit(name: &str, pattern: &str) -> Option<usize> {
    const LONGEST: usize = 300;
    if name == pattern {
        return Some(usize::MAX);
    }
    if !pattern.contains('*') {
        return None;
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    // No class is called so; strangers' patterns, many and long, would be tried on strangers' names.
    (last.len() <= LONGEST && glob::matches(pattern, last)).then_some(pattern.len())
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn exact_before_longer_before_shorter_patterns() {
        let name = "transformers.models.gemma3.modeling_gemma3.Gemma3RMSNorm";
        assert_eq!(fit(name, name), Some(usize::MAX));
        assert!(fit(name, "Gemma*RMSNorm") > fit(name, "*RMSNorm"));
        assert_eq!(fit(name, "*LayerNorm"), None);
        assert_eq!(fit(name, "Gemma"), None);
        assert_eq!(fit("x.RMSNormGated", "*RMSNorm"), None);
    }
}
