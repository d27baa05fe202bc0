//! Finds classes and devices by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{
    CLASS_FILES, CLASS_NAMES, CLASS_PATTERNS, Class, ClassFile, DEVICE_FILES, Device, DeviceFile, MODEL_FILES, ModelFile,
    parse_class, parse_device,
};
use crate::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::json::{self, Node};
use crate::source::{Source, SourceId};

/// The embedded catalog. Classes and devices are parsed when first asked for, once.
#[derive(Debug)]
pub struct Catalog {
    classes: Vec<OnceLock<Result<Arc<Class>, Diagnostics>>>,
    devices: Vec<OnceLock<Result<Arc<Device>, Diagnostics>>>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new()
    }
}

impl Catalog {
    #[must_use]
    pub fn new() -> Self {
        Catalog {
            classes: CLASS_FILES.iter().map(|_| OnceLock::new()).collect(),
            devices: DEVICE_FILES.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// The source of a catalog file, for diagnostics that point into it.
    #[must_use]
    pub fn source(&self, id: SourceId) -> Option<Source> {
        let index = id.catalog_index()?;
        let device = || DEVICE_FILES.get(index.checked_sub(CLASS_FILES.len())?).map(|file| (file.path, file.text));
        let (path, text) = CLASS_FILES.get(index).map(|file| (file.path, file.text)).or_else(device)?;
        Some(Source { id, name: path.into(), text: text.into() })
    }

    /// The class that a name selects: an exact name before an alias pattern, a longer pattern before a shorter one.
    ///
    /// # Errors
    /// What is wrong with the file, if it doesn't parse (a test excludes that).
    pub fn class(&self, name: &str) -> Option<Result<Arc<Class>, Diagnostics>> {
        let exact = CLASS_NAMES.binary_search_by_key(&name, |(known, _)| known).ok().and_then(|at| CLASS_NAMES.get(at));
        let (_, index) = exact.or_else(|| CLASS_PATTERNS.iter().find(|(pattern, _)| fit(name, pattern).is_some()))?;
        self.class_at(*index)
    }

    /// The class of the `index`th file.
    pub fn class_at(&self, index: usize) -> Option<Result<Arc<Class>, Diagnostics>> {
        let (file, cell) = (CLASS_FILES.get(index)?, self.classes.get(index)?);
        Some(cell.get_or_init(|| load(file.path, file.text, index, |node, said| parse_class(None, node, said))).clone())
    }

    /// The device of this name or alias, in any case.
    ///
    /// # Errors
    /// What is wrong with the file, if it doesn't parse (a test excludes that).
    pub fn device(&self, name: &str) -> Option<Result<Arc<Device>, Diagnostics>> {
        let called = |file: &DeviceFile| names(file).any(|known| known.eq_ignore_ascii_case(name));
        self.device_at(DEVICE_FILES.iter().position(called)?)
    }

    /// The device of the `index`th file.
    pub fn device_at(&self, index: usize) -> Option<Result<Arc<Device>, Diagnostics>> {
        let (file, cell) = (DEVICE_FILES.get(index)?, self.devices.get(index)?);
        // Devices come after the classes in the numbering of sources.
        Some(cell.get_or_init(|| load(file.path, file.text, CLASS_FILES.len() + index, parse_device)).clone())
    }

    #[must_use]
    pub fn device_files(&self) -> &'static [DeviceFile] {
        DEVICE_FILES
    }

    /// Help for a name that no device has: the devices whose names begin with it (`h100`), else the nearest name, if any is near.
    #[must_use]
    pub fn device_hint(&self, name: &str) -> Option<String> {
        let longer: Vec<String> = variants(name).into_iter().map(|known| format!("`{known}`")).collect();
        match longer.as_slice() {
            [] => nearest(name, DEVICE_FILES.iter().flat_map(names)).map(|near| format!("did you mean `{near}`?")),
            [one] => Some(format!("did you mean {one}?")),
            several => Some(format!("there are several of that name: {}", several.join(", "))),
        }
    }

    /// What to say of a name that no device has.
    #[must_use]
    pub fn unknown_device(&self, name: &str) -> Diagnostic {
        let diagnostic = Diagnostic::new(Code::UnknownDevice, format!("unknown device `{name}`"));
        let hint = self.device_hint(name).into_iter().fold(diagnostic, Diagnostic::help);
        hint.help("`layerspec list hardware` shows the devices")
    }

    #[must_use]
    pub fn class_files(&self) -> &'static [ClassFile] {
        CLASS_FILES
    }

    #[must_use]
    pub fn models(&self) -> &'static [ModelFile] {
        MODEL_FILES
    }
}

/// The names under which a device is found.
fn names(file: &DeviceFile) -> impl Iterator<Item = &'static str> {
    std::iter::once(file.name).chain(file.aliases.iter().copied())
}

/// The devices that are called `name` and something more.
fn variants(name: &str) -> Vec<&'static str> {
    let begins = |known: &str| {
        let rest =
            known.get(name.len()..).filter(|_| known.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)));
        rest.is_some_and(|rest| rest.starts_with('-'))
    };
    DEVICE_FILES.iter().map(|file| file.name).filter(|known| begins(known)).collect()
}

/// Parses the catalog's `index`th file.
fn load<T>(
    path: &str,
    text: &str,
    index: usize,
    parse: impl FnOnce(&Node, &mut Diagnostics) -> Option<T>,
) -> Result<Arc<T>, Diagnostics> {
    let source = Source { id: SourceId::catalog(index), name: path.into(), text: text.into() };
    let mut diagnostics = Diagnostics::default();
    let document = json::read(&source, &mut diagnostics);
    match document.and_then(|document| parse(&document.root, &mut diagnostics)) {
        Some(parsed) if !diagnostics.has_errors() => Ok(Arc::new(parsed)),
        _ => Err(diagnostics),
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

/// How well a pattern fits a name: exact is best, then the longer pattern.
fn fit(name: &str, pattern: &str) -> Option<usize> {
    if name == pattern {
        return Some(usize::MAX);
    }
    if !pattern.contains('*') {
        return None;
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    // No class is called so; a stranger's pattern with many stars would be tried at every place of it.
    if last.len() > 300 {
        return None;
    }
    let mut rest = last;
    let mut pieces = pattern.split('*').peekable();
    if let Some(first) = pieces.next() {
        rest = rest.strip_prefix(first)?;
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece).then_some(pattern.len());
        }
        let at = rest.find(piece)?;
        rest = rest.get(at + piece.len()..)?;
    }
    None
}

/// The classes that a model can use: its own, then the catalog's.
pub struct Classes<'c> {
    catalog: &'c Catalog,
    own: Vec<Arc<Class>>,
    /// Names of definitions that something is wrong with, which was reported.
    faulty: Vec<Arc<str>>,
    /// Positions in `own` by exact name.
    exact: HashMap<Arc<str>, usize>,
    /// What names were found to select: a model has few classes and many layers.
    known: Mutex<HashMap<Arc<str>, Found>>,
}

/// What a class name selects.
#[derive(Debug, Clone)]
enum Found {
    Class(Arc<Class>),
    Faulty,
    Nothing,
}

impl std::fmt::Debug for Classes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.own.iter().map(|class| &class.name)).finish()
    }
}

impl<'c> Classes<'c> {
    #[must_use]
    pub fn new(catalog: &'c Catalog, own: Vec<Arc<Class>>, faulty: Vec<Arc<str>>) -> Self {
        let names = own.iter().enumerate().flat_map(|(at, class)| {
            let aliases = class.aliases.iter().filter(|alias| !alias.contains('*'));
            std::iter::once(&class.name).chain(aliases).map(move |name| (name.clone(), at))
        });
        // The first of two wins.
        let mut exact = HashMap::new();
        names.for_each(|(name, at)| {
            exact.entry(name).or_insert(at);
        });
        Classes { catalog, exact, own, faulty, known: Mutex::default() }
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
        let patterned = || best(name, self.own.iter().map(|c| c.aliases.iter().map(|a| &**a)));
        let own = self.exact.get(name).copied().or_else(patterned).and_then(|index| self.own.get(index)).cloned();
        let found = own.or_else(|| self.catalog.class(name)?.ok());
        found.map_or(Found::Nothing, Found::Class)
    }

    /// The known class name nearest to an unknown one, by its last segment.
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let own = self.own.iter().map(|c| &*c.name).chain(self.faulty.iter().map(|name| &**name));
        let full = own.chain(CLASS_FILES.iter().map(|f| f.class));
        let alias = CLASS_FILES.iter().flat_map(|f| f.aliases.iter().copied()).filter(|a| !a.contains('*'));
        let names: Vec<&str> = full.chain(alias).collect();
        let last = |text: &str| text.rsplit('.').next().unwrap_or("").to_owned();
        nearest(name, names.iter().copied()).or_else(|| {
            let lasts: Vec<String> = names.iter().map(|n| last(n)).collect();
            let found = nearest(&last(name), lasts.iter().map(String::as_str))?;
            let index = lasts.iter().position(|l| l == found)?;
            names.get(index).copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn exact_before_longer_before_shorter_patterns() {
        let name = "transformers.models.gemma3.modeling_gemma3.Gemma3RMSNorm";
        assert_eq!(fit(name, name), Some(usize::MAX));
        assert!(fit(name, "Gemma*RMSNorm") > fit(name, "*RMSNorm"));
        assert_eq!(fit(name, "*LayerNorm"), None);
        assert_eq!(fit(name, "Gemma"), None);
        assert_eq!(fit("x.RMSNormGated", "*RMSNorm"), None);
    }
}
