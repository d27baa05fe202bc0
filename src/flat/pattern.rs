//! Patterns that mean layers, by path or class.

use super::RowInfo;
use crate::syntax::glob;

/// Whether a pattern means a layer, by its path or its class.
#[must_use]
pub fn matches_layer(pattern: &str, info: &RowInfo) -> bool {
    let class = &info.row.class_name;
    let last = class.rsplit('.').next().unwrap_or(class);
    [&*info.path, class, last].into_iter().any(|text| glob::matches(pattern, text))
}
