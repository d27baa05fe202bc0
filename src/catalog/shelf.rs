//! Catalog files of one kind: the embedded ones, and those that lie over them.
//!
//! Each is parsed when first asked for, once. What is in a file and what its names mean is its kind's business.

use std::sync::{Arc, OnceLock};

use crate::syntax::diag::Diagnostics;
use crate::syntax::json::{self, Node};
use crate::syntax::source::{Source, SourceId};

/// A file of the embedded catalog and the names under which its entry is found; `build.rs` makes the lists.
#[derive(Debug)]
pub struct CatalogFile {
    pub path: &'static str,
    /// A class's or device's own name, a block's or family's file's.
    pub name: &'static str,
    /// A class's other names and patterns, a device's other names, a family's model types.
    pub aliases: &'static [&'static str],
    /// How many bytes of the text hold all that is computed with, where what people and tests read stands behind it.
    pub computed: Option<usize>,
    pub text: &'static str,
}

impl CatalogFile {
    /// Its text as the source of this number.
    #[must_use]
    pub fn source(&self, index: usize) -> Source {
        Source::of(SourceId::catalog(index), self.path, self.text)
    }

    /// The same without what only people and tests read: places in it are those of the whole.
    fn computed(&self, index: usize) -> Source {
        match self.computed.and_then(|end| self.text.get(..end)) {
            Some(part) => Source::of(SourceId::catalog(index), self.path, &format!("{part}\n}}")),
            None => self.source(index),
        }
    }

    /// Its file's name without folders and ending.
    fn stem(&self) -> &'static str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.strip_suffix(".json").unwrap_or(name)
    }
}

/// A file that lies over the embedded ones.
#[derive(Debug)]
pub(super) struct LaidFile {
    /// Its file's name without the ending.
    pub stem: Arc<str>,
    /// As a [`CatalogFile`] has it.
    pub name: Arc<str>,
    pub aliases: Vec<Arc<str>>,
    pub source: Source,
}

/// What an embedded file is hidden by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hiding {
    /// A file of its file name: a class has many names, and another file may take over one of them.
    ByFile,
    /// Also one with an entry of its entry's name.
    ByName,
}

/// The files of a kind, numbered: the embedded ones, then those that lie over them.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    embedded: &'static [CatalogFile],
    /// The number of the first embedded file's source.
    first: usize,
    hiding: Hiding,
    laid: Vec<LaidFile>,
    cells: Vec<OnceLock<Result<Arc<T>, Diagnostics>>>,
}

impl<T> Shelf<T> {
    pub fn new(embedded: &'static [CatalogFile], first: usize, hiding: Hiding) -> Self {
        Shelf { embedded, first, hiding, laid: Vec::new(), cells: embedded.iter().map(|_| OnceLock::new()).collect() }
    }

    /// Lays a file over the others.
    pub fn lay(&mut self, file: LaidFile) {
        self.laid.push(file);
        self.cells.push(OnceLock::new());
    }

    /// The positions of the files that lie over the embedded ones.
    pub fn laid(&self) -> std::ops::Range<usize> {
        self.embedded.len()..self.embedded.len() + self.laid.len()
    }

    /// The positions of all files that can be seen; those that lie over the others come first.
    pub fn visible(&self) -> impl Iterator<Item = usize> {
        self.laid().chain((0..self.embedded.len()).filter(|at| !self.is_hidden(*at)))
    }

    /// Whether a file stands in this one's place.
    pub fn is_hidden(&self, at: usize) -> bool {
        let Some(file) = self.embedded.get(at) else { return false };
        let by_name = |laid: &LaidFile| self.hiding == Hiding::ByName && laid.name.eq_ignore_ascii_case(file.name);
        self.laid.iter().any(|laid| *laid.stem == *file.stem() || by_name(laid))
    }

    fn laid_at(&self, at: usize) -> Option<&LaidFile> {
        self.laid.get(at.checked_sub(self.embedded.len())?)
    }

    /// The name of a file's entry.
    pub fn name(&self, at: usize) -> Option<&str> {
        self.embedded.get(at).map(|file| file.name).or_else(|| self.laid_at(at).map(|file| &*file.name))
    }

    /// Its other names.
    pub fn aliases(&self, at: usize) -> impl Iterator<Item = &str> {
        let embedded = self.embedded.get(at).into_iter().flat_map(|file| file.aliases.iter().copied());
        embedded.chain(self.laid_at(at).into_iter().flat_map(|file| file.aliases.iter().map(|alias| &**alias)))
    }

    /// All of its names.
    pub fn names(&self, at: usize) -> impl Iterator<Item = &str> {
        self.name(at).into_iter().chain(self.aliases(at))
    }

    /// The file of this name, where embedded files are sorted by it.
    pub fn named(&self, name: &str) -> Option<usize> {
        let laid = self.laid().find(|at| self.name(*at) == Some(name));
        laid.or_else(|| self.embedded.binary_search_by_key(&name, |file| file.name).ok())
    }

    /// The text of an embedded file, by its source's number.
    pub fn source(&self, index: usize) -> Option<Source> {
        self.embedded.get(index.checked_sub(self.first)?).map(|file| file.source(index))
    }

    /// What a file says, as it is written, but for what only people and tests read.
    pub fn node(&self, at: usize) -> Option<Node> {
        let embedded = self.embedded.get(at).map(|file| file.computed(self.first + at));
        let source = embedded.or_else(|| self.laid_at(at).map(|file| file.source.clone()))?;
        json::read(&source, &mut Diagnostics::default()).map(|document| document.root)
    }

    /// What a file holds, to the last word. It isn't kept.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn whole(
        &self,
        at: usize,
        parse: impl FnOnce(&Node, &str, &mut Diagnostics) -> Option<T>,
    ) -> Option<Result<Arc<T>, Diagnostics>> {
        match self.embedded.get(at) {
            Some(file) => Some(load(&file.source(self.first + at), file.stem(), parse)),
            None => Some(self.read(at, parse)?.clone()),
        }
    }

    /// What a file holds that is computed with; `parse` is given its name without the ending, too.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(
        &self,
        at: usize,
        parse: impl FnOnce(&Node, &str, &mut Diagnostics) -> Option<T>,
    ) -> Option<&Result<Arc<T>, Diagnostics>> {
        let cell = self.cells.get(at)?;
        // Asked for at every layer: the text is copied only where it is parsed.
        if let Some(known) = cell.get() {
            return Some(known);
        }
        let laid = || self.laid_at(at).map(|file| (file.source.clone(), &*file.stem));
        let embedded = self.embedded.get(at).map(|file| (file.computed(self.first + at), file.stem()));
        let (source, stem) = embedded.or_else(laid)?;
        Some(cell.get_or_init(|| load(&source, stem, parse)))
    }
}

fn load<T>(
    source: &Source,
    stem: &str,
    parse: impl FnOnce(&Node, &str, &mut Diagnostics) -> Option<T>,
) -> Result<Arc<T>, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let document = json::read(source, &mut diagnostics);
    match document.and_then(|document| parse(&document.root, stem, &mut diagnostics)) {
        Some(parsed) if !diagnostics.has_errors() => Ok(Arc::new(parsed)),
        _ => Err(diagnostics),
    }
}
