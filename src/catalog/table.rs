//! Lists that are one file each: entries by name, the embedded ones and those that lie over them.
//!
//! The embedded file is parsed when first asked for, once. What an entry says is its type's business.

use std::sync::{Arc, OnceLock};

use super::CatalogFile;
use crate::syntax::diag::{Diagnostics, nearest};
use crate::syntax::json::{self, Member};
use crate::syntax::source::Source;

/// What a list has.
pub(super) trait Entry: Sized {
    /// Whether names that differ only in case are the same: people write some of them, others are a program's.
    const ANY_CASE: bool = true;

    /// Reads an entry: its key is the name. What is wrong goes to `diagnostics`.
    fn read(member: &Member, diagnostics: &mut Diagnostics) -> Option<Self>;
    fn name(&self) -> &str;
    fn aliases(&self) -> &[Arc<str>];
}

#[derive(Debug)]
pub(super) struct Table<T> {
    embedded: &'static CatalogFile,
    /// The number of the embedded file's source.
    index: usize,
    /// Those that lie over it; of two entries of a name the first one's is meant.
    laid: Vec<Source>,
    entries: OnceLock<(Vec<T>, Diagnostics)>,
}

impl<T: Entry> Table<T> {
    pub fn new(embedded: &'static CatalogFile, index: usize) -> Self {
        Table { embedded, index, laid: Vec::new(), entries: OnceLock::new() }
    }

    /// Lays a file over the embedded one.
    pub fn lay(&mut self, source: Source) {
        self.laid.push(source);
    }

    pub fn is_laid(&self) -> bool {
        !self.laid.is_empty()
    }

    /// The embedded file's text, by its source's number.
    pub fn source(&self, index: usize) -> Option<Source> {
        (index == self.index).then(|| self.embedded.source(index))
    }

    /// All entries in the order of their files; those that lie over others of their names come first.
    pub fn all(&self) -> &[T] {
        &self.read().0
    }

    /// What is wrong with the files. An entry that something is wrong with is left out.
    pub fn said(&self) -> &Diagnostics {
        &self.read().1
    }

    /// The entry of this name or alias.
    ///
    /// # Errors
    /// The nearest name, if any is near.
    pub fn find(&self, name: &str) -> Result<&T, Option<String>> {
        let called = |entry: &&T| same::<T>(entry.name(), name) || entry.aliases().iter().any(|alias| same::<T>(alias, name));
        let near = || nearest(name, self.all().iter().map(T::name)).map(str::to_owned);
        self.all().iter().find(called).ok_or_else(near)
    }

    fn read(&self) -> &(Vec<T>, Diagnostics) {
        self.entries.get_or_init(|| {
            let mut diagnostics = Diagnostics::default();
            let mut all: Vec<T> = Vec::new();
            for source in self.laid.iter().chain([&self.embedded.source(self.index)]) {
                let hidden = |entry: &T| all.iter().any(|over| same::<T>(over.name(), entry.name()));
                let seen: Vec<T> = entries(source, &mut diagnostics).into_iter().filter(|entry| !hidden(entry)).collect();
                all.extend(seen);
            }
            (all, diagnostics)
        })
    }
}

fn same<T: Entry>(a: &str, b: &str) -> bool {
    if T::ANY_CASE { a.eq_ignore_ascii_case(b) } else { a == b }
}

fn entries<T: Entry>(source: &Source, diagnostics: &mut Diagnostics) -> Vec<T> {
    let Some(document) = json::read(source, diagnostics) else { return Vec::new() };
    if !matches!(document.root.json, json::Json::Object(_)) {
        super::values::wrong(&document.root, "an object with an entry for each name", diagnostics);
    }
    document.root.members().iter().filter_map(|member| T::read(member, diagnostics)).collect()
}
