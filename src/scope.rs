//! Scopes: which names a place sees, and what they stand for.
//!
//! `check` and `flatten` walk the same scopes with another state per name: its kind there, its value here. A scope is made for every
//! composite that brings names; lookup goes outward.

use std::cell::{Cell, OnceCell};

use crate::expr::Value;
use crate::source::Span;
use crate::spec::{Attr, Variable};
use crate::workload::WorkloadVar;

/// What a name stands for.
#[derive(Debug)]
pub enum Definition<'m> {
    /// An attribute of the file, evaluated in the scope that defines it.
    Attr(&'m Attr),
    /// The index of a repeat's instance.
    Index(u64),
    Workload(WorkloadVar),
    /// Something without a value, which was reported.
    Reported,
    /// A value given from outside (`--set`): data, never a template.
    Value(Value),
}

/// A name in a scope.
#[derive(Debug)]
pub struct Entry<'m, T> {
    pub name: &'m str,
    pub span: Option<Span>,
    pub definition: Definition<'m>,
    pub state: OnceCell<T>,
    /// It is being looked at right now: coming back to it is a circle.
    pub busy: Cell<bool>,
    /// Whether anything has asked for it.
    pub used: Cell<bool>,
}

impl<'m, T> Entry<'m, T> {
    #[must_use]
    pub fn new(name: &'m str, span: Option<Span>, definition: Definition<'m>) -> Self {
        Entry { name, span, definition, state: OnceCell::new(), busy: Cell::new(false), used: Cell::new(false) }
    }
}

/// Some names, and the scope around them.
#[derive(Debug)]
pub struct Scope<'m, 'p, T> {
    pub parent: Option<&'p Scope<'m, 'p, T>>,
    pub entries: Vec<Entry<'m, T>>,
    sorted: bool,
}

/// From this many names on a scope is kept sorted.
const MANY: usize = 16;

impl<'m, 'p, T> Scope<'m, 'p, T> {
    #[must_use]
    pub fn new(parent: Option<&'p Scope<'m, 'p, T>>, mut entries: Vec<Entry<'m, T>>) -> Self {
        let sorted = entries.len() >= MANY;
        if sorted {
            entries.sort_by(|a, b| a.name.cmp(b.name));
        }
        Scope { parent, entries, sorted }
    }

    /// A scope of a layer's or a block's variables.
    #[must_use]
    pub fn of_variables(parent: &'p Scope<'m, 'p, T>, variables: &'m [Variable]) -> Self {
        let entry = |v: &'m Variable| Entry::new(&v.name.value, Some(v.name.span), Definition::Attr(&v.value));
        Scope::new(Some(parent), variables.iter().map(entry).collect())
    }

    /// The entry of this scope alone.
    #[must_use]
    pub fn own(&self, name: &str) -> Option<&Entry<'m, T>> {
        if self.sorted {
            let at = self.entries.binary_search_by(|e| e.name.cmp(name)).ok()?;
            return self.entries.get(at);
        }
        self.entries.iter().find(|e| e.name == name)
    }

    /// The innermost entry of a name, and the scope that has it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(&Scope<'m, 'p, T>, &Entry<'m, T>)> {
        let mut scope = self;
        loop {
            if let Some(entry) = scope.own(name) {
                return Some((scope, entry));
            }
            scope = scope.parent?;
        }
    }

    /// The entry that a name means inside the definition of `own`, an entry of this scope: its own name means the one outside.
    #[must_use]
    pub fn find_from(&self, name: &str, own: &str) -> Option<(&Scope<'m, 'p, T>, &Entry<'m, T>)> {
        if name == own { self.parent?.find(name) } else { self.find(name) }
    }

    /// All names in scope, innermost first.
    pub fn names(&self) -> Vec<&'m str> {
        let mut names = Vec::new();
        let mut scope = Some(self);
        while let Some(s) = scope {
            names.extend(s.entries.iter().map(|e| e.name));
            scope = s.parent;
        }
        names
    }
}
