//! Patterns that mean layers, by path or class.
use super::model::RowInfo;

/// Whether a pattern means a layer, by its path or its class.
#[must_use]
pub fn matches_layer(pattern: &str, info: &RowInfo) -> bool {
    let class = &info.row.class_name;
    let last = class.rsplit('.').next().unwrap_or(class);
    [info.path.as_str(), class, last].into_iter().any(|text| matches_pattern(pattern, text))
}

/// `*` stands for any text.
#[must_use]
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        assert!(matches_pattern("*.mlp.*", "model.layers.[0-31].mlp.up_proj"));
        assert!(matches_pattern("lm_head", "lm_head") && !matches_pattern("lm_head", "x.lm_head"));
        assert!(matches_pattern("*Linear", "torch.nn.Linear") && matches_pattern("*", ""));
        assert!(!matches_pattern("a*a", "a") && matches_pattern("a*b*c", "a-b-b-c") && !matches_pattern("a*b", "ac"));
    }
}
