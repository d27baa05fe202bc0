//! The floors: a folder of `src/` uses only those that stand before it in [`FLOORS`].
//!
//! A path counts wherever it stands: in a `use` with groups in groups, in expressions and types, in what a macro is given, after `super::`.
//! `lib.rs` and `main.rs` stand above all. Test modules may use anything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, Meta, UseTree};

/// From the ground up.
const FLOORS: &[&str] = &[
    "quantity",
    "syntax",
    "catalog",
    "language",
    "flat",
    "lower",
    "cost",
    "flow",
    "program",
    "evaluation",
    "analysis",
    "import",
    "emit",
    "report",
    "session",
    "cli",
    "lsp",
];

/// How many files of a floor use each other in circles: at most so many.
const CIRCLES: &[(&str, usize)] =
    &[("syntax", 11), ("language", 2), ("flat", 4), ("flow", 3), ("evaluation", 3), ("report", 8), ("session", 2)];

type Segments = Vec<String>;

/// A file and what stands in it.
struct File {
    path: String,
    module: Segments,
    /// Every path that it says, from the crate on.
    paths: BTreeSet<Segments>,
    /// What a name stands for that it imports; `*` for all of a module.
    imports: Vec<(String, Segments)>,
    defined: BTreeSet<String>,
    /// The modules that are written out in it or that it names, those of tests aside.
    modules: BTreeSet<String>,
}

impl File {
    /// `path` is the file's below `src/`.
    fn read(path: &str, text: &str) -> Self {
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut module: Segments = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        let mut reader = Reader { module: module.clone(), paths: BTreeSet::new(), imports: Vec::new() };
        reader.visit_file(&parsed);
        let modules = parsed.items.iter().filter_map(|item| match item {
            Item::Mod(item) if !is_test(&item.attrs) && !is_door(item) => Some(item.ident.to_string()),
            _ => None,
        });
        File {
            path: path.to_owned(),
            module,
            paths: reader.paths,
            imports: reader.imports,
            defined: parsed.items.iter().filter_map(name).collect(),
            modules: modules.collect(),
        }
    }

    /// The floor that it is of; `None`: it stands above all.
    fn floor(&self) -> Option<&str> {
        self.module.first().map(String::as_str)
    }
}

fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(ident.to_string())
}

/// Whether it is under `#[cfg(test)]`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

/// Whether it only hands on what is elsewhere.
fn is_door(item: &ItemMod) -> bool {
    let handed_on = |item: &Item| matches!(item, Item::Use(_));
    item.content.as_ref().is_some_and(|(_, items)| !items.is_empty() && items.iter().all(handed_on))
}

struct Reader {
    /// Where it is.
    module: Segments,
    paths: BTreeSet<Segments>,
    imports: Vec<(String, Segments)>,
}

impl Reader {
    /// A path as it is said here, from the crate on. What begins with neither is of this module, or of another crate, which is no matter.
    fn resolved(&self, said: &[String]) -> Segments {
        let (mut from, mut rest) = (self.module.clone(), said);
        if let Some(("crate" | "layerspec", after)) = rest.split_first().map(|(first, after)| (first.as_str(), after)) {
            (from, rest) = (Vec::new(), after);
        }
        while let Some((hop @ ("self" | "super"), after)) = rest.split_first().map(|(first, after)| (first.as_str(), after)) {
            if hop == "super" {
                from.pop();
            }
            rest = after;
        }
        from.extend(rest.iter().cloned());
        from
    }

    fn say(&mut self, said: &[String]) -> Segments {
        let path = self.resolved(said);
        self.paths.insert(path.clone());
        path
    }

    fn tree(&mut self, tree: &UseTree, mut before: Segments) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.tree(&path.tree, before);
            }
            UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(item, before.clone())),
            UseTree::Glob(_) => self.import("*".to_owned(), &before),
            UseTree::Name(name) => self.leaf(name.ident.to_string(), name.ident.to_string(), before),
            UseTree::Rename(rename) => self.leaf(rename.ident.to_string(), rename.rename.to_string(), before),
        }
    }

    /// `use a::{self}` is `use a`.
    fn leaf(&mut self, name: String, known_as: String, mut path: Segments) {
        let known_as = if known_as == "self" { path.last().cloned().unwrap_or_default() } else { known_as };
        if name != "self" || path.is_empty() {
            path.push(name);
        }
        self.import(known_as, &path);
    }

    fn import(&mut self, name: String, path: &[String]) {
        let path = self.say(path);
        self.imports.push((name, path));
    }

    /// The paths among tokens that nobody has parsed.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at = match token {
                TokenTree::Ident(_) => self.token_path(&tokens, at, Vec::new()),
                TokenTree::Group(group) => {
                    self.tokens(group.stream());
                    at + 1
                }
                _ => at + 1,
            };
        }
    }

    /// The path that begins at a token; gives the place behind it.
    fn token_path(&mut self, tokens: &[TokenTree], at: usize, mut before: Segments) -> usize {
        let colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
        let Some(TokenTree::Ident(ident)) = tokens.get(at) else { return at + 1 };
        before.push(ident.to_string());
        if colon(at + 1) && colon(at + 2) {
            match tokens.get(at + 3) {
                Some(TokenTree::Ident(_)) => return self.token_path(tokens, at + 3, before),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let parts: Vec<TokenTree> = group.stream().into_iter().collect();
                    let comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
                    for part in parts.split(comma) {
                        self.token_path(part, 0, before.clone());
                    }
                    return at + 4;
                }
                _ => {}
            }
        }
        self.say(&before);
        at + 1
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if is_test(&item.attrs) {
            return;
        }
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.tree(&item.tree, Vec::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let said: Segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        // `self` is a value and `pub(super)` hands on: neither uses anything.
        let hop = said.last().is_none_or(|last| matches!(last.as_str(), "self" | "super" | "crate"));
        if path.leading_colon.is_none() && !hop {
            self.say(&said);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }
}

fn height(floor: &str) -> Option<usize> {
    FLOORS.iter().position(|known| *known == floor)
}

/// Which file uses what it may not: a floor above its own, or what is no floor; and modules that are none.
fn violations(files: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    let files: Vec<File> = files.iter().map(|(path, text)| File::read(path, text)).collect();
    let wrong = |file: &File| -> Vec<String> {
        match file.floor().map(|floor| (floor, height(floor))) {
            None => file.modules.iter().filter(|module| height(module).is_none()).cloned().collect(),
            Some((floor, None)) => vec![floor.to_owned()],
            Some((_, Some(own))) => {
                let used = file.paths.iter().filter_map(|path| path.first());
                used.filter(|used| height(used).is_none_or(|used| used > own)).cloned().collect()
            }
        }
    };
    files.iter().flat_map(|file| wrong(file).into_iter().map(|used| (file.path.clone(), used))).collect()
}

/// The files of a floor that use each other in circles, by floor.
fn circles(files: &[(&str, &str)]) -> BTreeMap<String, BTreeSet<String>> {
    let files: Vec<File> = files.iter().map(|(path, text)| File::read(path, text)).collect();
    let by_module: HashMap<&[String], &File> = files.iter().map(|file| (file.module.as_slice(), file)).collect();
    let edges = |file: &File| -> Vec<&File> {
        let owners = file.paths.iter().filter_map(|path| owner(path, &by_module, 0));
        owners.filter(|other| other.path != file.path && other.floor() == file.floor()).collect()
    };
    let uses: HashMap<&str, Vec<&str>> =
        files.iter().map(|file| (file.path.as_str(), edges(file).iter().map(|other| other.path.as_str()).collect())).collect();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in &files {
        let (mut open, mut seen) = (uses[file.path.as_str()].clone(), BTreeSet::new());
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(&uses[next]);
            }
        }
        if let Some(floor) = file.floor().filter(|_| seen.contains(file.path.as_str())) {
            found.entry(floor.to_owned()).or_default().insert(file.path.clone());
        }
    }
    found
}

/// The file in which what a path names is defined, through what modules hand on.
fn owner<'f>(path: &[String], files: &HashMap<&[String], &'f File>, hops: usize) -> Option<&'f File> {
    const MOST: usize = 8;
    let (file, rest) = (0..=path.len()).rev().find_map(|end| Some((*files.get(&path[..end])?, &path[end..])))?;
    let Some(name) = rest.first().filter(|name| hops < MOST && !file.defined.contains(*name)) else { return Some(file) };
    let named = file.imports.iter().find(|(known, _)| known == name).map(|(_, target)| [target, &rest[1..]].concat());
    let globs = file.imports.iter().filter(|(known, _)| known == "*").map(|(_, target)| [target, rest].concat());
    let handed_on = |target: Segments| owner(&target, files, hops + 1);
    match named {
        Some(target) => handed_on(target),
        None => globs.filter_map(handed_on).find(|file| file.defined.contains(name)).or(Some(file)),
    }
}

/// Every file below `src/`, by its path there.
fn sources() -> Vec<(String, String)> {
    fn collect(folder: &Path, root: &Path, into: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                collect(&entry, root, into);
            } else if entry.extension().is_some_and(|end| end == "rs") {
                let path = entry.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
                into.push((path, std::fs::read_to_string(&entry).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    files.sort();
    files
}

fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect()
}

#[test]
fn a_floor_uses_only_those_below_it() {
    let files = sources();
    assert!(files.len() > 80, "{}", files.len());
    let found = violations(&borrowed(&files));
    assert!(found.is_empty(), "a file uses a floor above its own: {found:#?}");
}

#[test]
fn circles_inside_a_floor_become_no_more() {
    let files = sources();
    let known = |floor: &str| CIRCLES.iter().find(|(known, _)| *known == floor).map_or(0, |(_, most)| *most);
    let mut found = circles(&borrowed(&files));
    found.retain(|floor, files| files.len() > known(floor));
    assert!(found.is_empty(), "more files than before use each other in circles, or files that didn't: {found:#?}");
}

/// What is found in a file of `syntax`.
fn planted(text: &str) -> Vec<String> {
    violations(&[("syntax/json/read.rs", text)]).into_iter().map(|(_, used)| used).collect()
}

#[test]
fn a_planted_violation_is_found() {
    assert_eq!(planted("use crate::report::x;"), ["report"]);
    assert_eq!(planted("use crate::{quantity::Exact, syntax::{diag, expr}, cost::{self, bind::{self, Signature}}};"), ["cost"]);
    assert_eq!(planted("pub use crate::flow as f; use crate::catalog::*;"), ["catalog", "flow"]);
    assert_eq!(planted("fn f() -> usize { 1 + crate::report::units::exact(2).len() }"), ["report"]);
    assert_eq!(planted("fn f(x: &Vec<Option<crate::flat::Row>>) { let _ = x; }"), ["flat"]);
    assert_eq!(planted(r#"fn f() { println!("{}", [format!("{}", crate::report::x())].len()); }"#), ["report"]);
    assert_eq!(planted("macro_rules! m { ($x:expr) => { $crate::cost::cost($x) }; }"), ["cost"]);
    assert_eq!(planted("m! { use crate::{flow::{run, Flow}, syntax::diag, emit}; }"), ["emit", "flow"]);
    assert_eq!(planted("use super::super::super::report::x;"), ["report"]);
    assert_eq!(planted("mod inner { fn f() { super::super::super::super::cli::run(); } }"), ["cli"]);
    assert_eq!(planted("#[derive(crate::report::Show)] struct S;"), ["report"]);
    assert_eq!(planted("impl crate::analysis::Look for u8 {}"), ["analysis"]);
}

#[test]
fn what_is_no_floor_is_found() {
    assert_eq!(planted("use crate::helpers::x; use crate::Session;"), ["Session", "helpers"]);
    let found = violations(&[
        ("helpers.rs", ""),
        ("helpers2/mod.rs", ""),
        ("lib.rs", "pub mod syntax; mod more {} pub mod door { pub use crate::report::x; } #[cfg(test)] mod tests {}"),
    ]);
    let found: Vec<&str> = found.iter().map(|(_, used)| used.as_str()).collect();
    assert_eq!(found, ["helpers", "helpers2", "more"]);
}

#[test]
fn a_clean_text_is_clean() {
    let text = r#"
        //! Says what [`crate::report`] shows.
        use std::fmt::{self, Write as _};
        use crate::quantity::{Exact, workload::Phase};
        use crate::syntax::diag::{Code, Diagnostic};
        use super::{Node, super::source::Span};
        pub(in crate::syntax) fn f(x: crate::quantity::Exact) -> super::super::source::Span {
            assert_eq!(x, crate::quantity::Exact::ONE, "not crate::report::x");
            self::g::<Phase>(report::x, super::Node::get)
        }
        #[cfg(test)]
        mod tests { use crate::report::x; }
    "#;
    assert_eq!(planted(text), [""; 0]);
    assert!(
        violations(&[
            ("lib.rs", "pub mod syntax; pub mod report; pub use report::x;"),
            ("main.rs", "fn main() { layerspec::cli::run() }")
        ])
        .is_empty()
    );
    let above = [
        ("report/table.rs", "use crate::syntax::json; use super::super::cost::Tensor;"),
        ("session.rs", "use crate::report::x;"),
    ];
    assert!(violations(&above).is_empty());
}

#[test]
fn a_circle_is_found_through_what_modules_hand_on() {
    let module = ("flow/mod.rs", "mod a; mod b; pub use a::A; pub use b::*;");
    let circle = circles(&[module, ("flow/a.rs", "use super::B; pub struct A(B);"), ("flow/b.rs", "pub struct B(super::a::A);")]);
    assert_eq!(circle["flow"].iter().collect::<Vec<_>>(), ["flow/a.rs", "flow/b.rs"]);
    let line = circles(&[module, ("flow/a.rs", "use super::B; pub struct A(B);"), ("flow/b.rs", "pub struct B(u8);")]);
    assert!(line.is_empty());
}
