//! Finds classes, blocks, families and devices by name.

use std::sync::{Arc, OnceLock};

use super::overlay::{Kind, OverlayFile};
use super::{
    BLOCK_FILES, CLASS_FILES, CLASS_NAMES, CLASS_PATTERNS, Class, ClassFile, DEVICE_FILES, Device, DeviceFile, FAMILY_FILES,
    MODEL_FILES, ModelFile, parse_class, parse_device,
};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::glob;
use crate::syntax::json::{self, Node};
use crate::syntax::source::{Source, SourceId};
use crate::syntax::spec::{Block, Family, parse_block, parse_family};

/// What a file holds, or what is wrong with it; made when first asked for, once.
type Once<T> = OnceLock<Result<Arc<T>, Diagnostics>>;

/// The embedded catalog, and the folder that lies over it. Files are parsed when first asked for, once.
#[derive(Debug)]
pub struct Catalog {
    /// The embedded files', then the folder's.
    classes: Vec<Once<Class>>,
    devices: Vec<Once<Device>>,
    blocks: Vec<Once<Block>>,
    families: Vec<Once<Family>>,
    overlay: Vec<OverlayFile>,
}

/// The sources of embedded files are numbered in this order: classes, devices, blocks, families.
const DEVICES_FROM: usize = CLASS_FILES.len();
const BLOCKS_FROM: usize = DEVICES_FROM + DEVICE_FILES.len();
const FAMILIES_FROM: usize = BLOCKS_FROM + BLOCK_FILES.len();
const OVERLAY_FROM: usize = FAMILIES_FROM + FAMILY_FILES.len();

/// Families extend each other through this many steps.
const MOST_EXTENSIONS: usize = 16;

impl Default for Catalog {
    fn default() -> Self {
        Self::new()
    }
}

impl Catalog {
    #[must_use]
    pub fn new() -> Self {
        Self::under(Vec::new())
    }

    /// The embedded catalog under a folder's files, each loaded with its [`Catalog::overlay_id`].
    #[must_use]
    pub fn under(overlay: Vec<OverlayFile>) -> Self {
        fn cells<T>(embedded: usize, overlay: &[OverlayFile]) -> Vec<Once<T>> {
            (0..embedded + overlay.len()).map(|_| OnceLock::new()).collect()
        }
        Catalog {
            classes: cells(CLASS_FILES.len(), &overlay),
            devices: cells(DEVICE_FILES.len(), &[]),
            blocks: cells(BLOCK_FILES.len(), &overlay),
            families: cells(FAMILY_FILES.len(), &overlay),
            overlay,
        }
    }

    /// The source of the `at`th file that lies over the embedded ones.
    #[must_use]
    pub fn overlay_id(at: usize) -> SourceId {
        SourceId::catalog(OVERLAY_FROM + at)
    }

    /// The source of a catalog file, for diagnostics that point into it.
    #[must_use]
    pub fn source(&self, id: SourceId) -> Option<Source> {
        let index = id.catalog_index()?;
        if let Some(file) = index.checked_sub(OVERLAY_FROM) {
            return self.overlay.get(file).map(|file| file.source.clone());
        }
        let device = || DEVICE_FILES.get(index.checked_sub(DEVICES_FROM)?).map(|file| (file.path, file.text));
        let block = || BLOCK_FILES.get(index.checked_sub(BLOCKS_FROM)?).map(|file| (file.path, file.text));
        let family = || FAMILY_FILES.get(index.checked_sub(FAMILIES_FROM)?).map(|file| (file.path, file.text));
        let class = CLASS_FILES.get(index).map(|file| (file.path, file.text));
        let (path, text) = class.or_else(device).or_else(block).or_else(family)?;
        Some(Source { id, name: path.into(), text: text.into() })
    }

    /// The files of a kind that lie over the embedded ones, each with its position among all of them.
    fn over(&self, kind: Kind) -> impl Iterator<Item = (usize, &OverlayFile)> {
        self.overlay.iter().enumerate().filter(move |(_, file)| file.kind == kind)
    }

    /// Whether a file lies over this embedded one.
    fn hidden(&self, path: &str) -> bool {
        self.overlay.iter().any(|file| file.replaces(path))
    }

    /// The class that a name selects: an exact name before an alias pattern, a longer pattern before a shorter one.
    ///
    /// # Errors
    /// What is wrong with the file, if it doesn't parse (a test excludes that).
    pub fn class(&self, name: &str) -> Option<Result<Arc<Class>, Diagnostics>> {
        self.class_at(self.class_index(name)?)
    }

    fn class_index(&self, name: &str) -> Option<usize> {
        let visible = |index: &usize| CLASS_FILES.get(*index).is_some_and(|file| !self.hidden(file.path));
        let exact = || CLASS_NAMES.binary_search_by_key(&name, |(known, _)| known).ok().and_then(|at| CLASS_NAMES.get(at));
        if self.overlay.is_empty() {
            let (_, index) = exact().or_else(|| CLASS_PATTERNS.iter().find(|(pattern, _)| fit(name, pattern).is_some()))?;
            return Some(*index);
        }
        let over = |exact: bool| {
            let fits = self.over(Kind::Class).flat_map(|(at, file)| file.keys.iter().map(move |key| (at, key)));
            fits.filter(move |(_, key)| key.contains('*') != exact)
                .filter_map(|(at, key)| Some((fit(name, key)?, CLASS_FILES.len() + at)))
                .max_by_key(|(fit, at)| (*fit, std::cmp::Reverse(*at)))
        };
        let pattern =
            CLASS_PATTERNS.iter().filter_map(|(pattern, at)| Some((fit(name, pattern)?, *at))).find(|(_, at)| visible(at));
        let longest = || [over(false), pattern].into_iter().flatten().max_by_key(|(fit, _)| *fit).map(|(_, at)| at);
        let exact = || exact().map(|(_, at)| *at).filter(visible);
        over(true).map(|(_, at)| at).or_else(exact).or_else(longest)
    }

    /// The class of the `index`th file.
    pub fn class_at(&self, index: usize) -> Option<Result<Arc<Class>, Diagnostics>> {
        let cell = self.classes.get(index)?;
        let file = CLASS_FILES.get(index).map(|file| (file.path, file.text));
        Some(self.read(cell, file, index, CLASS_FILES.len(), 0, |node, _, said| parse_class(None, node, said))?.clone())
    }

    /// Reads the `index`th file of a kind, of which so many are embedded, their sources numbered from `first`.
    fn read<'s, T>(
        &'s self,
        cell: &'s Once<T>,
        embedded: Option<(&str, &'static str)>,
        index: usize,
        count: usize,
        first: usize,
        parse: impl FnOnce(&Node, &str, &mut Diagnostics) -> Option<T>,
    ) -> Option<&'s Result<Arc<T>, Diagnostics>> {
        // Asked for at every layer: the text is copied only where it is parsed.
        if let Some(known) = cell.get() {
            return Some(known);
        }
        let source = match embedded {
            Some((path, text)) => Source { id: SourceId::catalog(first + index), name: path.into(), text: text.into() },
            None => self.overlay.get(index.checked_sub(count)?)?.source.clone(),
        };
        Some(cell.get_or_init(|| load(&source, parse)))
    }

    /// The block of this name.
    ///
    /// # Errors
    /// What is wrong with the file, if it doesn't parse.
    pub fn block(&self, name: &str) -> Option<Result<&Block, &Diagnostics>> {
        let over = self.over(Kind::Block).find(|(_, file)| &*file.name == name).map(|(at, _)| BLOCK_FILES.len() + at);
        let index = over.or_else(|| BLOCK_FILES.binary_search_by_key(&name, |file| file.name).ok())?;
        let file = BLOCK_FILES.get(index).map(|file| (file.path, file.text));
        let parse = |node: &Node, name: &str, said: &mut Diagnostics| parse_block(node, name, said);
        Some(self.read(self.blocks.get(index)?, file, index, BLOCK_FILES.len(), BLOCKS_FROM, parse)?.as_deref())
    }

    /// The names of all blocks.
    pub fn block_names(&self) -> impl Iterator<Item = &str> {
        BLOCK_FILES.iter().map(|file| file.name).chain(self.over(Kind::Block).map(|(_, file)| &*file.name))
    }

    /// The family of this name, with what it extends.
    ///
    /// # Errors
    /// What is wrong with the file, or with one that it extends.
    pub fn family(&self, name: &str) -> Option<Result<&Family, &Diagnostics>> {
        self.family_through(name, &[])
    }

    /// `chain`: the families that are being read right now, each extending the next.
    fn family_through(&self, name: &str, chain: &[Arc<str>]) -> Option<Result<&Family, &Diagnostics>> {
        let over = self.over(Kind::Family).find(|(_, file)| &*file.name == name).map(|(at, _)| FAMILY_FILES.len() + at);
        let index = over.or_else(|| FAMILY_FILES.binary_search_by_key(&name, |file| file.name).ok())?;
        let file = FAMILY_FILES.get(index).map(|file| (file.path, file.text));
        let parse = |node: &Node, name: &str, said: &mut Diagnostics| self.extended(parse_family(node, name, said)?, chain, said);
        Some(self.read(self.families.get(index)?, file, index, FAMILY_FILES.len(), FAMILIES_FROM, parse)?.as_deref())
    }

    /// A family on top of the one that it extends.
    fn extended(&self, family: Family, chain: &[Arc<str>], diagnostics: &mut Diagnostics) -> Option<Family> {
        let Some(base) = family.extends.clone() else { return Some(family) };
        let chain: Vec<Arc<str>> = chain.iter().cloned().chain([family.name.clone()]).collect();
        if chain.contains(&base.value) || chain.len() > MOST_EXTENSIONS {
            let message = format!("families extend each other in a circle: {} -> {}", chain.join(" -> "), base.value);
            diagnostics.push(Diagnostic::new(Code::UnknownFamily, message).at(base.span, "comes back here"));
            return None;
        }
        match self.family_through(&base.value, &chain) {
            Some(Ok(found)) => Some(family.over(found)),
            Some(Err(said)) => {
                diagnostics.extend(said.iter().cloned());
                None
            }
            None => {
                let near = nearest(&base.value, self.family_names());
                let diagnostic = Diagnostic::new(Code::UnknownFamily, format!("unknown family `{}`", base.value));
                let diagnostic = diagnostic.at(base.span, "no such file in `families`").did_you_mean(base.span.inside(), near);
                diagnostics.push(diagnostic);
                None
            }
        }
    }

    /// The names of all families.
    pub fn family_names(&self) -> impl Iterator<Item = &str> {
        FAMILY_FILES.iter().map(|file| file.name).chain(self.over(Kind::Family).map(|(_, file)| &*file.name))
    }

    /// The family of the configs with this `model_type`, by name.
    #[must_use]
    pub fn family_of(&self, model_type: &str) -> Option<&str> {
        let over = self.over(Kind::Family).find(|(_, file)| file.keys.iter().any(|key| &**key == model_type));
        let embedded =
            || FAMILY_FILES.iter().filter(|file| !self.hidden(file.path)).find(|file| file.model_types.contains(&model_type));
        over.map(|(_, file)| &*file.name).or_else(|| embedded().map(|file| file.name))
    }

    /// All model types that a family is there for.
    pub fn model_types(&self) -> impl Iterator<Item = &str> {
        let over = self.over(Kind::Family).flat_map(|(_, file)| file.keys.iter().map(|key| &**key));
        FAMILY_FILES.iter().flat_map(|file| file.model_types.iter().copied()).chain(over)
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
        let parse = |node: &Node, _: &str, said: &mut Diagnostics| parse_device(node, said);
        Some(self.read(cell, Some((file.path, file.text)), index, DEVICE_FILES.len(), DEVICES_FROM, parse)?.clone())
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

/// Parses a catalog file; `parse` is given its name without the ending, too.
fn load<T>(source: &Source, parse: impl FnOnce(&Node, &str, &mut Diagnostics) -> Option<T>) -> Result<Arc<T>, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let document = json::read(source, &mut diagnostics);
    let name = source.name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = name.strip_suffix(".json").unwrap_or(name);
    match document.and_then(|document| parse(&document.root, name, &mut diagnostics)) {
        Some(parsed) if !diagnostics.has_errors() => Ok(Arc::new(parsed)),
        _ => Err(diagnostics),
    }
}

/// How well a pattern fits a name: exact is best, then the longer pattern.
pub(super) fn fit(name: &str, pattern: &str) -> Option<usize> {
    const LONGEST: usize = 300;
    if name == pattern {
        return Some(usize::MAX);
    }
    if !pattern.contains('*') {
        return None;
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    // No class is called so; strangers' patterns, many and long, would be tried on strangers' names.
    (last.len() <= LONGEST && glob::matches(pattern, last)).then_some(pattern.len())
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
