//! Scopes: which names a place sees, and what they stand for.
//!
//! `check` and `flatten` walk the same scopes with another state per name: its kind there, its value here. A scope is made for every
//! composite that brings names; lookup goes outward.

use std::cell::{Cell, OnceCell};

use std::sync::OnceLock;

use crate::language::trace::Traced;
use crate::quantity::workload::{LENGTHS, WorkloadVar};
use crate::syntax::expr::{Syntax, Value, parse};
use crate::syntax::source::{SourceId, Span};
use crate::syntax::spec::{Attr, Datum, Model, Template, Variable};

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
    /// A value given from outside (a config, `--set`): data, never a template.
    Value(Value),
    /// What the file itself brings (`<prefix>`): seen in blocks too.
    Builtin(Value),
    /// What the name means in the scope around: a block's binding.
    Around,
    /// An inner config, bound to its family: an object of that family's final values.
    Nested(&'m Model),
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
    /// Its number in the trace of a repeat's instance, if it is one of those that may differ from instance to instance.
    pub traced: Cell<Option<Traced>>,
    /// Its value follows from traced ones, and was first asked for by a layer's argument.
    pub of_argument: Cell<bool>,
}

impl<'m, T> Entry<'m, T> {
    #[must_use]
    pub fn new(name: &'m str, span: Option<Span>, definition: Definition<'m>) -> Self {
        Entry {
            name,
            span,
            definition,
            state: OnceCell::new(),
            busy: Cell::new(false),
            used: Cell::new(false),
            traced: Cell::new(None),
            of_argument: Cell::new(false),
        }
    }

    /// Whether a block of the catalog sees it from inside.
    fn crosses(&self) -> bool {
        matches!(self.definition, Definition::Index(_) | Definition::Workload(_) | Definition::Builtin(_))
            || LENGTHS.contains(&self.name)
    }
}

/// Some names, and the scope around them.
#[derive(Debug)]
pub struct Scope<'m, 'p, T> {
    pub parent: Option<&'p Scope<'m, 'p, T>>,
    pub entries: Vec<Entry<'m, T>>,
    sorted: bool,
    /// Of the names around, only indices, the workload's and the file's own are seen from here.
    boundary: bool,
    /// Whether some length of the workload means another one here.
    pub rebinds: bool,
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
        let own = |e: &Entry<'m, T>| LENGTHS.contains(&e.name) && !matches!(e.definition, Definition::Workload(_));
        let rebinds = parent.is_some_and(|parent| parent.rebinds) || entries.iter().any(own);
        Scope { parent, entries, sorted, boundary: false, rebinds }
    }

    /// A scope from which the names around are not seen: that of a block or a family.
    #[must_use]
    pub fn boundary(parent: &'p Scope<'m, 'p, T>, entries: Vec<Entry<'m, T>>) -> Self {
        Scope { boundary: true, ..Scope::new(Some(parent), entries) }
    }

    /// A scope of a layer's or a block's variables.
    #[must_use]
    pub fn of_variables(parent: &'p Scope<'m, 'p, T>, variables: &'m [Variable]) -> Self {
        let entry = |v: &'m Variable| Entry::new(&v.name.value, Some(v.name.span), Definition::Attr(&v.value));
        let mut entries: Vec<Entry<'m, T>> = variables.iter().map(entry).collect();
        let says = |name: &str| variables.iter().any(|v| &*v.name.value == name);
        if (says("seq_len") || says("past_len")) && !says("kv_len") {
            entries.push(Entry::new("kv_len", None, Definition::Attr(keys())));
        }
        Scope::new(Some(parent), entries)
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
        self.outward().find_map(|(scope, crossed)| {
            let entry = scope.own(name).filter(|entry| !crossed || entry.crosses())?;
            Some((scope, entry))
        })
    }

    /// This scope and those around, innermost first; with each, whether a boundary lies between.
    pub fn outward(&self) -> impl Iterator<Item = (&Scope<'m, 'p, T>, bool)> {
        let mut next = Some((self, false));
        std::iter::from_fn(move || {
            let (scope, crossed) = next?;
            next = scope.parent.map(|parent| (parent, crossed || scope.boundary));
            Some((scope, crossed))
        })
    }

    /// The entry that a name means inside the definition of `own`, an entry of this scope: its own name means the one outside.
    #[must_use]
    pub fn find_from(&self, name: &str, own: &str) -> Option<(&Scope<'m, 'p, T>, &Entry<'m, T>)> {
        if name == own { self.around(name) } else { self.find(name) }
    }

    /// What a name means outside of this scope, as its own definition and a block's binding see it.
    #[must_use]
    pub fn around(&self, name: &str) -> Option<(&Scope<'m, 'p, T>, &Entry<'m, T>)> {
        self.parent?.find(name)
    }

    /// All names in scope, innermost first.
    pub fn names(&self) -> Vec<&'m str> {
        let seen = |(scope, crossed): (&Scope<'m, 'p, T>, bool)| {
            scope.entries.iter().filter(move |e| !crossed || e.crosses()).map(|e| e.name).collect::<Vec<_>>()
        };
        self.outward().flat_map(seen).collect()
    }
}

/// How many keys there are where a composite has lengths of its own: as in the workload, those cached and the new ones.
fn keys() -> &'static Attr {
    static KEYS: OnceLock<Attr> = OnceLock::new();
    KEYS.get_or_init(|| {
        let text = "<past_len> + <seq_len>";
        let datum = match parse(text, Syntax::Template) {
            Ok(expr) => Datum::Template(Template { text: text.into(), plain: true, expr: expr.into() }),
            Err(_) => Datum::Invalid,
        };
        Attr { span: Span::new(SourceId::COMMAND_LINE, 0..0), datum }
    })
}
