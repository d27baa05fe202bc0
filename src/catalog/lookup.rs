//! Finds what the catalog has by name: classes, blocks, families, devices, dtypes, optimizers, ways to quantize.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use super::fit::fit;
use super::gguf::parse_gguf_map;
use super::index::{
    BLOCK_FILES, CLASS_FILES, CLASS_NAMES, CLASS_PATTERNS, CONVENTION_FILES, DEVICE_FILES, DIGEST, FAMILY_FILES, GGUF_FILES,
    MODEL_FILES, ModelFile, REFERENCE, RUNTIME_FILES,
};
use super::shelf::{Hiding, LaidFile, Shelf};
use super::table::{Entry, Table};
use super::{
    Class, ClassText, Convention, Device, Dtype, GgufMap, HubRules, Method, Mix, MixRules, Optimizer, Runtime, RuntimeId,
    StorageType, dtypes, hub, mixes, optimizers, parse_class, parse_convention, parse_device, parse_runtime, print, quantization,
    storage,
};
use super::{PrintedKey, PrintedLayer, PrintedName, PrintedWrapper};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::json::{self, Json, Node};
use crate::syntax::source::{Source, SourceId};
use crate::syntax::spec::{Block, Family, parse_block, parse_family};

/// The embedded catalog, and the files that lie over it. Files are parsed when first asked for, once.
#[derive(Debug)]
pub struct Catalog {
    classes: Shelf<Class>,
    devices: Shelf<Device>,
    blocks: Shelf<Block>,
    families: Shelf<Family>,
    conventions: Shelf<Convention>,
    runtimes: Shelf<Runtime>,
    gguf: Shelf<GgufMap>,
    dtypes: Table<Dtype>,
    optimizers: Table<Arc<Optimizer>>,
    methods: Table<Method>,
    storage_types: Table<StorageType>,
    hub: Table<HubRules>,
    mixes: Table<MixRules>,
    print_wrappers: Table<PrintedWrapper>,
    print_layers: Table<PrintedLayer>,
    print_keys: Table<PrintedKey>,
    print_names: Table<PrintedName>,
    /// The texts of the files that lie over the embedded ones.
    laid: Vec<Source>,
}

/// The sources of embedded files are numbered in this order: classes, devices, blocks, families, conventions, runtimes, maps of GGUF, lists.
const DEVICES_FROM: usize = CLASS_FILES.len();
const BLOCKS_FROM: usize = DEVICES_FROM + DEVICE_FILES.len();
const FAMILIES_FROM: usize = BLOCKS_FROM + BLOCK_FILES.len();
const CONVENTIONS_FROM: usize = FAMILIES_FROM + FAMILY_FILES.len();
const RUNTIMES_FROM: usize = CONVENTIONS_FROM + CONVENTION_FILES.len();
const GGUF_FROM: usize = RUNTIMES_FROM + RUNTIME_FILES.len();
const LISTS_FROM: usize = GGUF_FROM + GGUF_FILES.len();
const OVERLAY_FROM: usize = LISTS_FROM + Catalog::LISTS.len();

/// Families extend each other through this many steps.
const MOST_EXTENSIONS: usize = 16;

impl Default for Catalog {
    fn default() -> Self {
        Self::new()
    }
}

impl Catalog {
    /// The folders that a catalog has.
    pub const FOLDERS: [&str; 7] = ["classes", "blocks", "families", "hardware", "conventions", "runtimes", "formats/gguf"];
    /// The files that it has beside them.
    pub const LISTS: [&str; 10] = [
        "dtypes.json",
        "optimizers.json",
        "quantization.json",
        "storage_types.json",
        "formats/hub.json",
        "formats/quant-mixes.json",
        "formats/print_wrappers.json",
        "formats/print_layers.json",
        "formats/print_keys.json",
        "formats/print_names.json",
    ];

    /// The embedded catalog.
    #[must_use]
    pub fn new() -> Self {
        Catalog {
            classes: Shelf::new(CLASS_FILES, 0, Hiding::ByFile),
            devices: Shelf::new(DEVICE_FILES, DEVICES_FROM, Hiding::ByName),
            blocks: Shelf::new(BLOCK_FILES, BLOCKS_FROM, Hiding::ByFile),
            families: Shelf::new(FAMILY_FILES, FAMILIES_FROM, Hiding::ByFile),
            conventions: Shelf::new(CONVENTION_FILES, CONVENTIONS_FROM, Hiding::ByName),
            runtimes: Shelf::new(RUNTIME_FILES, RUNTIMES_FROM, Hiding::ByName),
            gguf: Shelf::new(GGUF_FILES, GGUF_FROM, Hiding::ByFile),
            dtypes: Table::new(&dtypes::FILE, LISTS_FROM),
            optimizers: Table::new(&optimizers::FILE, LISTS_FROM + 1),
            methods: Table::new(&quantization::FILE, LISTS_FROM + 2),
            storage_types: Table::new(&storage::FILE, LISTS_FROM + 3),
            hub: Table::new(&hub::FILE, LISTS_FROM + 4),
            mixes: Table::new(&mixes::FILE, LISTS_FROM + 5),
            print_wrappers: Table::new(&print::WRAPPERS, LISTS_FROM + 6),
            print_layers: Table::new(&print::LAYERS, LISTS_FROM + 7),
            print_keys: Table::new(&print::KEYS, LISTS_FROM + 8),
            print_names: Table::new(&print::NAMES, LISTS_FROM + 9),
            laid: Vec::new(),
        }
    }

    /// By which this catalog is told from others: eight digits of a digest of its files, and behind a plus of those that lie over them.
    #[must_use]
    pub fn version(&self) -> String {
        // FNV-1a, as in `build.rs`.
        let bytes = self.laid.iter().flat_map(|source| source.text.bytes().chain([0]));
        let laid = bytes.fold(DIGEST, |digest, byte| (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        match self.laid.is_empty() {
            true => format!("{:08x}", DIGEST >> 32),
            false => format!("{:08x}+{:08x}", DIGEST >> 32, laid >> 32),
        }
    }

    /// Whose figures are the truth, and in which versions: `torch` and `transformers`.
    #[must_use]
    pub fn reference(&self) -> &'static [(&'static str, &'static str)] {
        REFERENCE
    }

    /// The embedded catalog with files over it, whose entries come before those of their names. A file is a path as in the catalog
    /// (`classes/mine.json`, `hardware/x1.json`, `dtypes.json`) and its bytes.
    ///
    /// ```
    /// use layerspec::Catalog;
    ///
    /// let int3 = r#"{ "int3": { "bits": 3, "doc": "packed", "source": "a test" } }"#;
    /// let catalog = Catalog::overlaid([("dtypes.json", int3)]).unwrap();
    /// assert_eq!(catalog.dtype("INT3").unwrap().bits.to_string(), "3");
    /// ```
    ///
    /// # Errors
    /// The first mistake: a path that no catalog has, a text that is no JSON, or a device or an entry of a list that isn't as it must be.
    /// It points into the source [`Catalog::overlay_id`]. What is wrong with a class, a block or a family is said when it is asked for.
    pub fn overlaid<P: AsRef<str>, B: AsRef<[u8]>>(files: impl IntoIterator<Item = (P, B)>) -> Result<Self, Box<Diagnostic>> {
        let files = files.into_iter().map(|(path, bytes)| (path.as_ref().to_owned(), path, bytes));
        Self::overlaid_as(files)
    }

    /// [`Catalog::overlaid`] with the name before each file under which diagnostics are to show it.
    ///
    /// # Errors
    /// Those of [`Catalog::overlaid`].
    pub fn overlaid_as<P: AsRef<str>, B: AsRef<[u8]>>(
        files: impl IntoIterator<Item = (String, P, B)>,
    ) -> Result<Self, Box<Diagnostic>> {
        let mut catalog = Catalog::new();
        for (name, path, bytes) in files {
            let source = Source::load(Self::overlay_id(catalog.laid.len()), &name, bytes.as_ref())?;
            catalog.lay(path.as_ref(), source)?;
        }
        catalog.check_laid()?;
        Ok(catalog)
    }

    /// The source of the `at`th file that lies over the embedded ones.
    #[must_use]
    pub fn overlay_id(at: usize) -> SourceId {
        SourceId::catalog(OVERLAY_FROM + at)
    }

    /// Whether a source is a file that lies over the embedded ones.
    #[must_use]
    pub fn is_laid(&self, id: SourceId) -> bool {
        id.catalog_index().is_some_and(|at| at >= OVERLAY_FROM)
    }

    fn lay(&mut self, path: &str, source: Source) -> Result<(), Box<Diagnostic>> {
        let root = root(&source)?;
        if Self::LISTS.contains(&path) {
            match path {
                "formats/print_wrappers.json" => self.print_wrappers.lay(source.clone()),
                "formats/print_layers.json" => self.print_layers.lay(source.clone()),
                "formats/print_keys.json" => self.print_keys.lay(source.clone()),
                "formats/print_names.json" => self.print_names.lay(source.clone()),
                "dtypes.json" => self.dtypes.lay(source.clone()),
                "optimizers.json" => self.optimizers.lay(source.clone()),
                "quantization.json" => self.methods.lay(source.clone()),
                "storage_types.json" => self.storage_types.lay(source.clone()),
                "formats/quant-mixes.json" => self.mixes.lay(source.clone()),
                _ => self.hub.lay(source.clone()),
            }
            self.laid.push(source);
            return Ok(());
        }
        let Some((folder, file)) = path.rsplit_once('/') else { return Err(no_place(path)) };
        let stem: Arc<str> = file.strip_suffix(".json").unwrap_or(file).into();
        let laid = |name: Option<&str>, aliases: &str| LaidFile {
            name: name.and_then(|key| root.get(key)?.text().cloned()).unwrap_or_else(|| stem.clone()),
            stem: stem.clone(),
            aliases: names_at(&root, aliases),
            source: source.clone(),
        };
        match folder {
            "classes" => self.classes.lay(laid(Some("class"), "aliases")),
            "blocks" => self.blocks.lay(laid(None, "")),
            "families" => self.families.lay(laid(None, "model_types")),
            "hardware" => self.devices.lay(laid(Some("name"), "aliases")),
            "conventions" => self.conventions.lay(laid(Some("name"), "aliases")),
            "runtimes" => self.runtimes.lay(laid(Some("name"), "aliases")),
            "formats/gguf" => self.gguf.lay(laid(None, "architectures")),
            _ => return Err(no_place(path)),
        }
        self.laid.push(source);
        Ok(())
    }

    /// What nobody would be told of later: a list has no place for what is wrong with one of its entries.
    fn check_laid(&self) -> Result<(), Box<Diagnostic>> {
        fn list<T: Entry>(table: &Table<T>) -> Option<&Diagnostics> {
            table.is_laid().then(|| table.said())
        }
        let numbers = [list(&self.dtypes), list(&self.optimizers), list(&self.storage_types)];
        let printed = [list(&self.print_wrappers), list(&self.print_layers), list(&self.print_keys), list(&self.print_names)];
        let lists = numbers.into_iter().chain(printed).chain([list(&self.methods), list(&self.mixes), list(&self.hub)]).flatten();
        let devices: Vec<Diagnostics> = self.devices.laid().filter_map(|at| self.device_at(at)?.err()).collect();
        let conventions: Vec<Diagnostics> = self.conventions.laid().filter_map(|at| self.convention_at(at)?.err()).collect();
        let runtimes: Vec<Diagnostics> =
            self.runtimes.laid().filter_map(|at| self.runtime_at(RuntimeId(u16::try_from(at).ok()?))?.err()).collect();
        let mut said = lists.chain(&devices).chain(&conventions).chain(&runtimes).flat_map(|said| said.sorted());
        said.next().map_or(Ok(()), |first| Err(first.clone().boxed()))
    }

    /// The source of a catalog file, for diagnostics that point into it.
    #[must_use]
    pub fn source(&self, id: SourceId) -> Option<Source> {
        let index = id.catalog_index()?;
        let laid = || self.laid.get(index.checked_sub(OVERLAY_FROM)?).cloned();
        let shelves = || {
            let embedded = self.classes.source(index).or_else(|| self.devices.source(index));
            let models = || self.blocks.source(index).or_else(|| self.families.source(index));
            let counted = || self.conventions.source(index).or_else(|| self.runtimes.source(index));
            let counted = || counted().or_else(|| self.gguf.source(index));
            embedded.or_else(models).or_else(counted)
        };
        let lists = || {
            let numbers = self.dtypes.source(index).or_else(|| self.storage_types.source(index));
            let rules = || self.mixes.source(index).or_else(|| self.hub.source(index));
            let methods = || self.methods.source(index).or_else(rules);
            numbers.or_else(|| self.optimizers.source(index)).or_else(methods)
        };
        let printed = || {
            let layers = self.print_wrappers.source(index).or_else(|| self.print_layers.source(index));
            layers.or_else(|| self.print_keys.source(index)).or_else(|| self.print_names.source(index))
        };
        laid().or_else(shelves).or_else(lists).or_else(printed)
    }

    /// The class that a name selects: an exact name before an alias pattern, a longer pattern before a shorter one.
    ///
    /// # Errors
    /// What is wrong with the file, if it doesn't parse (a test excludes that).
    pub fn class(&self, name: &str) -> Option<Result<Arc<Class>, Diagnostics>> {
        self.class_at(self.class_index(name)?)
    }

    fn class_index(&self, name: &str) -> Option<usize> {
        let exact = || CLASS_NAMES.binary_search_by_key(&name, |(known, _)| known).ok().and_then(|at| CLASS_NAMES.get(at));
        if self.classes.laid().is_empty() {
            let (_, index) = exact().or_else(|| CLASS_PATTERNS.iter().find(|(pattern, _)| fit(name, pattern).is_some()))?;
            return Some(*index);
        }
        let over = |exact: bool| {
            let names = self.classes.laid().flat_map(|at| self.classes.names(at).map(move |known| (at, known)));
            let fits = names.filter(|(_, known)| known.contains('*') != exact);
            fits.filter_map(|(at, known)| Some((fit(name, known)?, at))).max_by_key(|(fit, at)| (*fit, Reverse(*at)))
        };
        let visible = |at: &usize| !self.classes.is_hidden(*at);
        let pattern =
            CLASS_PATTERNS.iter().filter_map(|(pattern, at)| Some((fit(name, pattern)?, *at))).find(|(_, at)| visible(at));
        let longest = || [over(false), pattern].into_iter().flatten().max_by_key(|(fit, _)| *fit).map(|(_, at)| at);
        let exact = || exact().map(|(_, at)| *at).filter(visible);
        over(true).map(|(_, at)| at).or_else(exact).or_else(longest)
    }

    /// The same with derivation and examples, which nothing is computed with.
    ///
    /// # Errors
    /// What is wrong with the file, if it doesn't parse (a test excludes that).
    pub fn whole_class(&self, name: &str) -> Option<Result<Arc<Class>, Diagnostics>> {
        self.whole_class_at(self.class_index(name)?)
    }

    fn whole_class_at(&self, at: usize) -> Option<Result<Arc<Class>, Diagnostics>> {
        self.classes.whole(at, |node, _, said| self.parsed_class(node, said))
    }

    fn parsed_class(&self, node: &Node, said: &mut Diagnostics) -> Option<Class> {
        parse_class(None, node, &|name| self.class_text(name), said)
    }

    fn class_at(&self, at: usize) -> Option<Result<Arc<Class>, Diagnostics>> {
        Some(self.classes.read(at, |node, _, said| self.parsed_class(node, said))?.clone())
    }

    /// The class that a name selects, as its file has it.
    ///
    /// # Errors
    /// The nearest name, if any is near.
    pub fn class_text(&self, name: &str) -> Result<ClassText<'static>, Option<String>> {
        let found = self
            .class_index(name)
            .and_then(|at| Some(ClassText { name: self.classes.name(at)?.into(), node: Cow::Owned(self.classes.node(at)?) }));
        found.ok_or_else(|| nearest(name, self.class_names()).map(str::to_owned))
    }

    /// All classes, or what is wrong with their files.
    pub fn classes(&self) -> impl Iterator<Item = Result<Arc<Class>, Diagnostics>> {
        self.classes.visible().filter_map(|at| self.class_at(at))
    }

    /// The same with derivations and examples.
    #[cfg(test)]
    pub fn whole_classes(&self) -> impl Iterator<Item = Result<Arc<Class>, Diagnostics>> {
        self.classes.visible().filter_map(|at| self.whole_class_at(at))
    }

    /// The names of all classes, the full ones first; patterns are no names.
    pub fn class_names(&self) -> impl Iterator<Item = &str> {
        let full = self.classes.visible().filter_map(|at| self.classes.name(at));
        full.chain(self.classes.visible().flat_map(|at| self.classes.aliases(at)).filter(|alias| !alias.contains('*')))
    }

    /// The block of this name.
    ///
    /// # Errors
    /// What is wrong with the file, if it doesn't parse.
    pub fn block(&self, name: &str) -> Option<Result<&Arc<Block>, &Diagnostics>> {
        Some(self.blocks.read(self.blocks.named(name)?, parse_block)?.as_ref())
    }

    /// The names of all blocks.
    pub fn block_names(&self) -> impl Iterator<Item = &str> {
        self.blocks.visible().filter_map(|at| self.blocks.name(at))
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
        let parse = |node: &Node, name: &str, said: &mut Diagnostics| self.extended(parse_family(node, name, said)?, chain, said);
        Some(self.families.read(self.families.named(name)?, parse)?.as_deref())
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
        self.families.visible().filter_map(|at| self.families.name(at))
    }

    /// The family of the configs with this `model_type`, by name.
    #[must_use]
    pub fn family_of(&self, model_type: &str) -> Option<&str> {
        let is_for = |at: &usize| self.families.aliases(*at).any(|known| known == model_type);
        self.families.visible().find(is_for).and_then(|at| self.families.name(at))
    }

    /// All model types that a family is there for.
    pub fn model_types(&self) -> impl Iterator<Item = &str> {
        self.families.visible().flat_map(|at| self.families.aliases(at))
    }

    /// The device of this name or alias, in any case and with any separators (`H100 SXM`).
    ///
    /// # Errors
    /// What is wrong with the file, if it doesn't parse (a test excludes that).
    pub fn device(&self, name: &str) -> Option<Result<Arc<Device>, Diagnostics>> {
        let called = |at: &usize| self.devices.names(*at).any(|known| known.eq_ignore_ascii_case(name));
        let spelt = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
        let asked = spelt(name);
        let alike = || {
            let is = |at: &usize, asked: &str| self.devices.names(*at).any(|known| spelt(known) == asked);
            let by_vendor = |at: &usize| {
                let vendor = self.device_at(*at).and_then(Result::ok).map(|device| spelt(&device.vendor))?;
                asked.strip_prefix(&vendor).filter(|rest| is(at, rest))
            };
            let mut alike = self.devices.visible().filter(|at| is(at, &asked) || by_vendor(at).is_some());
            // Of several none is meant.
            alike.next().filter(|_| alike.next().is_none())
        };
        self.device_at(self.devices.visible().find(called).or_else(alike)?)
    }

    fn device_at(&self, at: usize) -> Option<Result<Arc<Device>, Diagnostics>> {
        Some(self.devices.read(at, |node, _, said| parse_device(node, said))?.clone())
    }

    /// All devices, or what is wrong with their files.
    pub fn devices(&self) -> impl Iterator<Item = Result<Arc<Device>, Diagnostics>> {
        self.devices.visible().filter_map(|at| self.device_at(at))
    }

    /// The convention of this name or alias, in any case.
    ///
    /// # Errors
    /// There is none of that name; or what is wrong with its file, if it doesn't parse (a test excludes that).
    pub fn convention(&self, name: &str) -> Result<Arc<Convention>, Diagnostics> {
        let named = |at: &usize| self.conventions.name(*at).is_some_and(|known| known.eq_ignore_ascii_case(name));
        let called = |at: &usize| self.conventions.names(*at).any(|known| known.eq_ignore_ascii_case(name));
        // A name before what another is called besides.
        let found = self.conventions.visible().find(named).or_else(|| self.conventions.visible().find(called));
        let found = found.and_then(|at| self.convention_at(at));
        found.unwrap_or_else(|| {
            let what = (Code::UnknownConvention, "convention", "");
            Err(unknown(&self.conventions, what, name).into())
        })
    }

    fn convention_at(&self, at: usize) -> Option<Result<Arc<Convention>, Diagnostics>> {
        Some(self.conventions.read(at, |node, _, said| parse_convention(node, said))?.clone())
    }

    /// All conventions, or what is wrong with their files.
    pub fn conventions(&self) -> impl Iterator<Item = Result<Arc<Convention>, Diagnostics>> {
        self.conventions.visible().filter_map(|at| self.convention_at(at))
    }

    /// The runtime of this name or alias, in any case, and its place.
    ///
    /// # Errors
    /// There is none of that name; or what is wrong with its file, if it doesn't parse (a test excludes that).
    pub fn runtime(&self, name: &str) -> Result<(RuntimeId, Arc<Runtime>), Diagnostics> {
        let called = |at: &usize| self.runtimes.names(*at).any(|known| known.eq_ignore_ascii_case(name));
        let id = self.runtimes.visible().find(called).and_then(|at| u16::try_from(at).ok()).map(RuntimeId);
        let found = id.and_then(|id| Some(self.runtime_at(id)?.map(|runtime| (id, runtime))));
        found.unwrap_or_else(|| {
            let what = (Code::UnknownRuntime, "runtime", "; docs/runtimes.md says how to add one");
            Err(unknown(&self.runtimes, what, name).into())
        })
    }

    /// The runtime at a place.
    ///
    /// # Errors
    /// What is wrong with its file.
    #[must_use]
    pub fn runtime_at(&self, id: RuntimeId) -> Option<Result<Arc<Runtime>, Diagnostics>> {
        Some(self.runtimes.read(usize::from(id.0), |node, _, said| parse_runtime(node, said))?.clone())
    }

    /// All runtimes, or what is wrong with their files.
    pub fn runtimes(&self) -> impl Iterator<Item = Result<Arc<Runtime>, Diagnostics>> {
        self.runtimes.visible().filter_map(|at| self.runtime_at(RuntimeId(u16::try_from(at).ok()?)))
    }

    /// Help for a name that no device has: the devices whose names begin with it (`h100`), else the nearest name, if any is near.
    #[must_use]
    pub fn device_hint(&self, name: &str) -> Option<String> {
        let longer: Vec<String> = self.variants(name).into_iter().map(|known| format!("`{known}`")).collect();
        match longer.as_slice() {
            [] => nearest(name, self.devices.visible().flat_map(|at| self.devices.names(at)))
                .map(|near| format!("did you mean `{near}`?")),
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

    /// The devices that are called `name` and something more.
    fn variants(&self, name: &str) -> Vec<&str> {
        let begins = |known: &str| {
            let rest =
                known.get(name.len()..).filter(|_| known.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)));
            rest.is_some_and(|rest| rest.starts_with('-'))
        };
        self.devices.visible().filter_map(|at| self.devices.name(at)).filter(|known| begins(known)).collect()
    }

    /// All element types.
    #[must_use]
    pub fn dtypes(&self) -> &[Dtype] {
        self.dtypes.all()
    }

    /// The dtype of this name or alias, in any case.
    ///
    /// # Errors
    /// The nearest name, if any is near.
    pub fn dtype(&self, name: &str) -> Result<Dtype, Option<String>> {
        self.dtypes.find(name).cloned()
    }

    /// All optimizers.
    #[must_use]
    pub fn optimizers(&self) -> &[Arc<Optimizer>] {
        self.optimizers.all()
    }

    /// The optimizer of this name or alias, in any case.
    ///
    /// # Errors
    /// The nearest name, if any is near.
    pub fn optimizer(&self, name: &str) -> Result<Arc<Optimizer>, Option<String>> {
        self.optimizers.find(name).cloned()
    }

    /// All ways to quantize a checkpoint's weights.
    #[must_use]
    pub fn methods(&self) -> &[Method] {
        self.methods.all()
    }

    /// The way to quantize that a checkpoint calls so.
    ///
    /// # Errors
    /// The nearest name, if any is near.
    pub fn method(&self, name: &str) -> Result<&Method, Option<String>> {
        self.methods.find(name)
    }

    /// The types in which files store weights.
    #[must_use]
    pub fn storage_types(&self) -> &[StorageType] {
        self.storage_types.all()
    }

    /// The storage type of this name or alias, in any case.
    ///
    /// # Errors
    /// The nearest name, if any is near.
    pub fn storage_type(&self, name: &str) -> Result<&StorageType, Option<String>> {
        self.storage_types.find(name)
    }

    /// How files on the hub name tensors.
    #[must_use]
    pub fn hub_rules(&self) -> &[HubRules] {
        self.hub.all()
    }

    /// The rules by which programs mix types, a program each.
    #[must_use]
    pub fn mixes(&self) -> &[MixRules] {
        self.mixes.all()
    }

    /// The mix that a name asks for: `q4_k_m`, `gguf:q4_0+imatrix`. `None`: no rules have it.
    #[must_use]
    pub fn mix(&self, asked: &str) -> Option<Mix<'_>> {
        self.mixes.all().iter().find_map(|rules| rules.mix(asked))
    }

    /// What wraps modules in a text of `print(model)`; `said` has what is wrong with the list.
    #[must_use]
    pub fn print_wrappers(&self) -> &[PrintedWrapper] {
        self.print_wrappers.all()
    }

    /// Layers by their class as `print(model)` writes it.
    #[must_use]
    pub fn print_layers(&self) -> &[PrintedLayer] {
        self.print_layers.all()
    }

    /// Keys of configs, and where a text of `print(model)` says them.
    #[must_use]
    pub fn print_keys(&self) -> &[PrintedKey] {
        self.print_keys.all()
    }

    /// Paths of modules that were others in older versions.
    #[must_use]
    pub fn print_names(&self) -> &[PrintedName] {
        self.print_names.all()
    }

    /// What is wrong with the lists of what `print(model)` writes.
    pub fn print_said(&self) -> impl Iterator<Item = &Diagnostic> {
        let said = [self.print_wrappers.said(), self.print_layers.said(), self.print_keys.said(), self.print_names.said()];
        said.into_iter().flat_map(Diagnostics::iter)
    }

    /// What GGUF files of this `general.architecture` hold, with what the map extends.
    ///
    /// # Errors
    /// What is wrong with the file, or with one that it extends.
    pub fn gguf_map(&self, architecture: &str) -> Option<Result<Arc<GgufMap>, Diagnostics>> {
        let called = |at: &usize| self.gguf.aliases(*at).any(|known| known == architecture);
        let at = self.gguf.visible().find(called)?;
        self.gguf_at(at, &[])
    }

    /// `chain`: the maps that are being read right now, each extending the next.
    fn gguf_at(&self, at: usize, chain: &[Arc<str>]) -> Option<Result<Arc<GgufMap>, Diagnostics>> {
        let parse = |node: &Node, stem: &str, said: &mut Diagnostics| {
            let map = parse_gguf_map(node, said)?;
            let Some(base) = map.extends.clone() else { return Some(map) };
            let chain: Vec<Arc<str>> = chain.iter().cloned().chain([stem.into()]).collect();
            let found = self.gguf.named(&base.value).filter(|_| !chain.contains(&base.value) && chain.len() < MOST_EXTENSIONS);
            match found.and_then(|at| self.gguf_at(at, &chain)) {
                Some(Ok(found)) => Some(map.over(&found)),
                Some(Err(of_base)) => {
                    said.extend(of_base.iter().cloned());
                    None
                }
                None => {
                    let message =
                        format!("no map of GGUF files is called `{}`, or maps extend each other in a circle", base.value);
                    said.push(Diagnostic::new(Code::UnknownFamily, message).at(base.span, "no such file in `formats/gguf`"));
                    None
                }
            }
        };
        Some(self.gguf.read(at, parse)?.clone())
    }

    /// The maps whose files models of this family, or where a model is of none of this class, may be written as, each with the architecture
    /// that such a file says. One that something is wrong with is none: who reads such a file is told.
    #[must_use]
    pub fn gguf_maps_of(&self, family: Option<&str>, class: &str) -> Vec<(Arc<str>, Arc<GgufMap>)> {
        let of = |at: usize| {
            let architecture = self.gguf.aliases(at).next()?;
            let map = self.gguf_at(at, &[])?.ok()?;
            let is_for = match family {
                Some(family) => map.model_types().iter().any(|known| self.family_of(known) == Some(family)),
                None => map.classes().iter().any(|known| **known == *class),
            };
            is_for.then(|| (architecture.into(), map))
        };
        self.gguf.visible().filter_map(of).collect()
    }

    /// The values of `general.architecture` that a map is there for.
    pub fn gguf_architectures(&self) -> impl Iterator<Item = &str> {
        self.gguf.visible().flat_map(|at| self.gguf.aliases(at))
    }

    /// The embedded models.
    #[must_use]
    pub fn models(&self) -> &'static [ModelFile] {
        MODEL_FILES
    }
}

/// The value that a file holds.
fn root(source: &Source) -> Result<Node, Box<Diagnostic>> {
    let mut diagnostics = Diagnostics::default();
    json::read(source, &mut diagnostics).map(|document| document.root).ok_or_else(|| {
        let first = diagnostics.iter().next().cloned();
        first.unwrap_or_else(|| Diagnostic::new(Code::MalformedJson, format!("`{}` is no JSON", source.name))).boxed()
    })
}

/// What to say of a name that no file of a kind has. `what`: the code, what it is a name of, and how the list of those that there are ends.
fn unknown<T>(shelf: &Shelf<T>, what: (Code, &str, &str), name: &str) -> Diagnostic {
    let (code, kind, end) = what;
    let names: Vec<&str> = shelf.visible().filter_map(|at| shelf.name(at)).collect();
    let near = nearest(name, shelf.visible().flat_map(|at| shelf.names(at))).map(|near| format!("did you mean `{near}`?"));
    let diagnostic = Diagnostic::new(code, format!("unknown {kind} `{name}`"));
    near.into_iter().fold(diagnostic, Diagnostic::help).help(format!("there are {}{end}", names.join(", ")))
}

/// What to say of a path that no catalog has.
fn no_place(path: &str) -> Box<Diagnostic> {
    let diagnostic = Diagnostic::new(Code::CannotRead, format!("`{path}` is no file of a catalog"));
    let help = format!("it has the folders {}, and {}", Catalog::FOLDERS.join(", "), Catalog::LISTS.join(", "));
    diagnostic.help(help).boxed()
}

/// The texts at a key.
fn names_at(node: &Node, key: &str) -> Vec<Arc<str>> {
    match node.get(key).map(|node| &node.json) {
        // One of another kind is an object.
        Some(Json::List(items)) => items.iter().filter_map(|item| item.get("name").unwrap_or(item).text()).cloned().collect(),
        Some(Json::Text(text)) => vec![text.value.clone()],
        _ => Vec::new(),
    }
}
