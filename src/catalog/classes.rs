//! The classes that a model can use: its own definitions, then the catalog's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Class;
use super::fit::fit;
use super::lookup::Catalog;
use crate::syntax::diag::{Diagnostic, Diagnostics, nearest};

/// The classes that a model can use: its own, then the catalog's.
pub struct Classes {
    catalog: Arc<Catalog>,
    own: Vec<Arc<Class>>,
    /// Names of definitions that something is wrong with, which was reported.
    faulty: Vec<Arc<str>>,
    /// Positions in `own` by exact name.
    exact: HashMap<Arc<str>, usize>,
    /// What names were found to select: a model has few classes and many layers.
    known: Mutex<HashMap<Arc<str>, Found>>,
    /// What is wrong with files of the catalog that were asked for.
    broken: Mutex<Vec<Diagnostics>>,
}

/// What a class name selects.
#[derive(Debug, Clone)]
enum Found {
    Class(Arc<Class>),
    Faulty,
    Nothing,
}

impl std::fmt::Debug for Classes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.own.iter().map(|class| &class.name)).finish()
    }
}

impl Classes {
    /// The catalog behind them.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Those that the model defines itself.
    #[must_use]
    pub fn own(&self) -> &[Arc<Class>] {
        &self.own
    }

    #[must_use]
    pub fn new(catalog: Arc<Catalog>, own: Vec<Arc<Class>>, faulty: Vec<Arc<str>>) -> Self {
        let names = own.iter().enumerate().flat_map(|(at, class)| {
            let aliases = class.aliases.iter().map(|alias| &alias.name).filter(|name| !name.contains('*'));
            std::iter::once(&class.name).chain(aliases).map(move |name| (name.clone(), at))
        });
        // The first of two wins.
        let mut exact = HashMap::new();
        names.for_each(|(name, at)| {
            exact.entry(name).or_insert(at);
        });
        Classes { catalog, exact, own, faulty, known: Mutex::default(), broken: Mutex::default() }
    }

    /// Whether the file defines this class, but something is wrong with the definition.
    #[must_use]
    pub fn is_faulty(&self, name: &str) -> bool {
        matches!(self.look_up(name), Found::Faulty)
    }

    /// The class of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Class>> {
        match self.look_up(name) {
            Found::Class(class) => Some(class),
            Found::Faulty | Found::Nothing => None,
        }
    }

    fn look_up(&self, name: &str) -> Found {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(name) {
            return found.clone();
        }
        let found = self.select(name);
        known.insert(name.into(), found.clone());
        found
    }

    fn select(&self, name: &str) -> Found {
        if self.faulty.iter().any(|pattern| fit(name, pattern).is_some()) {
            return Found::Faulty;
        }
        let patterned = || best(name, self.own.iter().map(|c| c.aliases.iter().map(|a| &*a.name)));
        let own = self.exact.get(name).copied().or_else(patterned).and_then(|index| self.own.get(index)).cloned();
        match own.map(Ok).or_else(|| self.catalog.class(name)) {
            Some(Ok(class)) => Found::Class(class),
            Some(Err(said)) => {
                self.broken.lock().unwrap_or_else(PoisonError::into_inner).push(said);
                Found::Faulty
            }
            None => Found::Nothing,
        }
    }

    /// What is wrong with the files of the catalog that were asked for.
    pub fn said(&self) -> Vec<Diagnostic> {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.iter().flat_map(|said| said.iter().cloned()).collect()
    }

    /// The known class name nearest to an unknown one, by its last segment.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let own = self.own.iter().map(|c| &*c.name).chain(self.faulty.iter().map(|name| &**name));
        let names: Vec<&str> = own.chain(self.catalog.class_names()).collect();
        let last = |text: &str| text.rsplit('.').next().unwrap_or("").to_owned();
        nearest(name, names.iter().copied()).or_else(|| {
            let lasts: Vec<String> = names.iter().map(|n| last(n)).collect();
            let found = nearest(&last(name), lasts.iter().map(String::as_str))?;
            let index = lasts.iter().position(|l| l == found)?;
            names.get(index).copied()
        })
    }
}

/// The candidate that a class name selects: how well a name fits decides, then who comes first.
fn best<'n, N: Iterator<Item = &'n str>>(name: &str, candidates: impl Iterator<Item = N>) -> Option<usize> {
    let mut best: Option<(usize, usize)> = None;
    for (index, names) in candidates.enumerate() {
        for pattern in names {
            let Some(fit) = fit(name, pattern) else {
                continue;
            };
            if best.is_none_or(|(b, _)| fit > b) {
                best = Some((fit, index));
            }
        }
    }
    best.map(|(_, index)| index)
}
