//! What uses mean: found once by `check`, read by `flatten` and by whoever wants to go to a definition.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::catalog::Class;
use crate::syntax::source::{SourceId, Span};
use crate::syntax::spec::Block;

/// Whose blocks and inner configs a `use` means: the number of a model, none inside a block of the catalog.
pub type FileNumber = Option<u32>;

/// What a layer's `use` names.
#[derive(Debug, Clone)]
pub enum Target {
    /// The n-th block of the file itself.
    Local(usize),
    /// A block of the catalog.
    Catalog(Arc<Block>),
    /// The n-th inner config of the file.
    Family(usize),
}

/// Which use means which definition.
#[derive(Debug, Default)]
pub struct Resolution {
    /// By the place of a `use` and the file that it stands in: one family may stand in a model twice, with different inner configs.
    uses: HashMap<(FileNumber, Span), Target, RandomState>,
    /// By the place of a class's name.
    classes: HashMap<Span, Arc<Class>, RandomState>,
    /// A place that uses a name or a block, and the place that defines it. A block's layers may mean another thing at each use.
    definitions: HashSet<(Span, Span), RandomState>,
}

impl Resolution {
    /// What the `use` at a place means, if its name is written out.
    #[must_use]
    pub fn target(&self, file: FileNumber, place: Span) -> Option<&Target> {
        self.uses.get(&(file, place))
    }

    /// The class whose name is written out at a place.
    #[must_use]
    pub fn class(&self, place: Span) -> Option<&Arc<Class>> {
        self.classes.get(&place)
    }

    /// Where what stands at an offset of a source is defined, in the order of the sources; the innermost use that has the offset in it.
    #[must_use]
    pub fn definitions_at(&self, source: SourceId, offset: usize) -> Vec<Span> {
        let around = |span: &Span| span.source == source && span.range().contains(&offset);
        let classes = self.classes.iter().map(|(place, class)| (*place, class.span));
        let uses = self.definitions.iter().copied().chain(classes).filter(|(place, _)| around(place));
        let Some(inner) = uses.clone().map(|(place, _)| place).min_by_key(|place| (place.range().len(), *place)) else {
            return Vec::new();
        };
        let mut found: Vec<Span> = uses.filter(|(place, _)| *place == inner).map(|(_, definition)| definition).collect();
        found.sort_unstable();
        found
    }

    pub(super) fn note_use(&mut self, file: FileNumber, place: Span, target: Target, definition: Span) {
        self.uses.insert((file, place), target);
        self.note(place, definition);
    }

    pub(super) fn note_class(&mut self, place: Span, class: &Arc<Class>) {
        self.classes.insert(place, class.clone());
    }

    pub(super) fn note(&mut self, place: Span, definition: Span) {
        self.definitions.insert((place, definition));
    }
}
