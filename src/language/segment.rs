//! A layer's part of a path, its indices left open so that the instances of a repeat share it.

use std::fmt::Display;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPiece {
    Text(Arc<str>),
    Dot,
    /// The index of an enclosing repeat: 0 is the innermost.
    Index(u16),
}

/// Of things around a place, the innermost last, the one so many levels out: 0 is the innermost.
#[must_use]
pub fn enclosing<T>(around: &[T], level: u16) -> Option<&T> {
    around.iter().nth_back(usize::from(level))
}

/// A layer's part of the path: `self_attn`, or `layers.` and an index.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Segment {
    pub pieces: Arc<[PathPiece]>,
}

impl Segment {
    #[must_use]
    pub fn text(text: &Arc<str>) -> Self {
        Segment { pieces: Arc::new([PathPiece::Text(text.clone())]) }
    }

    /// The segment with indices filled in; `index` gives that of the repeat `k` levels out.
    pub fn write(&self, out: &mut String, index: &dyn Fn(u16, &mut String)) {
        for piece in self.pieces.iter() {
            match piece {
                PathPiece::Text(text) => out.push_str(text),
                PathPiece::Dot => out.push('.'),
                PathPiece::Index(level) => index(*level, out),
            }
        }
    }

    /// The segment with `*` for every index.
    #[must_use]
    pub fn pattern(&self) -> String {
        self.within::<u64>(&[])
    }

    /// The segment with the indices of the repeats around it, the innermost last; `*` for one that isn't said.
    #[must_use]
    pub fn within<T: Display>(&self, around: &[Option<T>]) -> String {
        let mut out = String::new();
        self.write(&mut out, &|level, out| match enclosing(around, level) {
            Some(Some(index)) => out.push_str(&index.to_string()),
            _ => out.push('*'),
        });
        out
    }

    /// The name by which values and ties find the layer: a repeated one without its index.
    #[must_use]
    pub fn lookup_name(&self) -> Option<&Arc<str>> {
        match &*self.pieces {
            [PathPiece::Text(text)] | [PathPiece::Text(text), PathPiece::Dot, PathPiece::Index(0)] => Some(text),
            _ => None,
        }
    }

    /// What stands before and after the one index in this segment's midst: `layer` and nothing for `layer<i>`. `None` without one, or
    /// with indices of repeats further out.
    #[must_use]
    pub fn affixes(&self) -> Option<(String, String)> {
        if self.lookup_name().is_some() {
            return None;
        }
        let at = self.pieces.iter().position(|piece| matches!(piece, PathPiece::Index(0)))?;
        let literal = |pieces: &[PathPiece]| {
            pieces
                .iter()
                .map(|piece| if let PathPiece::Text(text) = piece { Some(&**text) } else { None })
                .collect::<Option<String>>()
        };
        Some((literal(self.pieces.get(..at)?)?, literal(self.pieces.get(at + 1..)?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_an_index() {
        let segment = |pieces: Vec<PathPiece>| Segment { pieces: pieces.into() }.affixes();
        assert_eq!(
            segment(vec![PathPiece::Text("layer".into()), PathPiece::Index(0)]),
            Some(("layer".to_owned(), String::new()))
        );
        assert_eq!(segment(vec![PathPiece::Text("layer".into())]), None);
        assert_eq!(segment(vec![PathPiece::Index(1), PathPiece::Index(0)]), None);
    }
}
