//! Whether a value is what an input takes, and which shape comes out: patterns against shapes.

use std::sync::Arc;

use crate::cost::ports::Pattern;

/// The leading dimensions of a value that fits, if the pattern leaves them open.
pub type Leading = Vec<u128>;

pub fn elements(shape: &[u128]) -> Option<u128> {
    shape.iter().try_fold(1u128, |product, dim| product.checked_mul(*dim))
}

/// What stands for `...` in a shape. `regroup` lets dimensions merge or part where the number of elements is the same, as views do.
pub fn fit(pattern: Pattern<'_>, shape: &[u128], regroup: bool) -> Option<Leading> {
    let Some(at) = pattern.leading else {
        let same = pattern.dims == shape || (regroup && elements(pattern.dims) == elements(shape));
        return same.then(Vec::new);
    };
    let (before, after) = pattern.dims.split_at_checked(at)?;
    let rest = shape.strip_prefix(before)?;
    if let Some(leading) = rest.strip_suffix(after) {
        return Some(leading.to_vec());
    }
    // [.., heads, head_dim] for [..., heads * head_dim].
    let wanted = elements(after)?;
    let merges = |from: &usize| rest.get(*from..).and_then(elements) == Some(wanted);
    let from = (0..rest.len()).rev().find(merges).filter(|_| regroup)?;
    rest.get(..from).map(<[u128]>::to_vec)
}

/// Whether leading dimensions stretch to others: aligned at the end, equal or 1.
pub fn stretches(small: &[u128], large: &[u128]) -> bool {
    small.len() <= large.len() && small.iter().rev().zip(large.iter().rev()).all(|(a, b)| a == b || *a == 1)
}

/// A pattern with its leading dimensions filled in.
pub fn fill(pattern: Pattern<'_>, leading: &[u128]) -> Arc<[u128]> {
    let Some((before, after)) = pattern.leading.and_then(|at| pattern.dims.split_at_checked(at)) else {
        return Arc::from(pattern.dims);
    };
    before.iter().chain(leading).chain(after).copied().collect()
}

/// `[1, 2048, 4096]`.
pub fn shown(shape: &[u128]) -> String {
    let dims: Vec<String> = shape.iter().map(u128::to_string).collect();
    format!("[{}]", dims.join(", "))
}

/// `[..., 4096]`.
pub fn shown_pattern(pattern: Pattern<'_>) -> String {
    let mut dims: Vec<String> = pattern.dims.iter().map(u128::to_string).collect();
    if let Some(at) = pattern.leading {
        dims.insert(at.min(dims.len()), "...".to_owned());
    }
    format!("[{}]", dims.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(leading: Option<usize>, dims: &[u128]) -> Pattern<'_> {
        Pattern { leading, dims }
    }

    #[test]
    fn leading_dimensions_are_what_the_pattern_leaves_open() {
        assert_eq!(fit(pattern(Some(0), &[4096]), &[1, 5, 4096], false), Some(vec![1, 5]));
        assert_eq!(fit(pattern(Some(0), &[4000]), &[1, 5, 4096], false), None);
        assert_eq!(fit(pattern(Some(0), &[4096]), &[1, 5, 32, 128], false), None);
        assert_eq!(fit(pattern(Some(0), &[4096]), &[1, 5, 32, 128], true), Some(vec![1, 5]));
        assert_eq!(fit(pattern(None, &[1, 32, 5, 128]), &[1, 5, 4096], true), Some(vec![]));
        assert_eq!(fit(pattern(None, &[1, 32, 5, 128]), &[1, 5, 4096], false), None);
        assert_eq!(fit(pattern(Some(0), &[]), &[2, 3], false), Some(vec![2, 3]));
    }

    #[test]
    fn ones_stretch() {
        assert!(stretches(&[1, 5], &[2, 5]) && stretches(&[5], &[2, 5]) && !stretches(&[3, 5], &[2, 5]));
    }
}
