//! Makes the index of the embedded data: which file defines which classes, so that a run parses only those that it uses.
//! Makes Rust's `Role` and `Fact` from `catalog/roles.json`, where that vocabulary is defined.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let mut out = String::new();
    classes(&root, &mut out)?;
    named(&root, &mut out, "hardware", "DEVICE_FILES", "The device files")?;
    named(&root, &mut out, "conventions", "CONVENTION_FILES", "The files of conventions")?;
    named(&root, &mut out, "runtimes", "RUNTIME_FILES", "The files of runtimes")?;
    blocks(&root, &mut out)?;
    gguf(&root, &mut out)?;
    families(&root, &mut out)?;
    models(&root, &mut out)?;
    version(&root, &mut out)?;
    let target = PathBuf::from(env::var("OUT_DIR")?).join("catalog_index.rs");
    fs::write(target, out)?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("roles.rs"), roles(&root)?)?;
    for folder in ["catalog", "models"] {
        println!("cargo::rerun-if-changed={folder}");
    }
    Ok(())
}

/// The JSON files of a folder, by name: the order must not depend on the file system.
fn json_files(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "json") {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            files.push((stem, path));
        }
    }
    files.sort();
    Ok(files)
}

/// The name that a file gives at `key`, and its `aliases`.
fn names_in(path: &Path, key: &str) -> Result<(String, Vec<String>), Box<dyn std::error::Error>> {
    let text = fs::read_to_string(path)?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let name = json.get(key).and_then(|c| c.as_str()).ok_or_else(|| format!("{}: no `{key}`", path.display()))?;
    let aliases = json.get("aliases").and_then(|a| a.as_array()).into_iter().flatten();
    // One of another kind is an object.
    let named = aliases.filter_map(|alias| alias.get("name").unwrap_or(alias).as_str());
    Ok((name.to_owned(), named.map(str::to_owned).collect()))
}

/// A file of the index.
fn entry(
    out: &mut String,
    shown: &str,
    name: &str,
    aliases: &[String],
    computed: Option<usize>,
    path: &Path,
) -> std::fmt::Result {
    let text = path.display().to_string();
    writeln!(
        out,
        "    CatalogFile {{ path: {shown:?}, name: {name:?}, aliases: &{aliases:?}, computed: {computed:?}, text: include_str!({text:?}) }},"
    )
}

fn classes(root: &Path, out: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let mut names: Vec<(String, usize)> = Vec::new();
    writeln!(out, "/// The class files, by name.\npub const CLASS_FILES: &[CatalogFile] = &[")?;
    for (index, (stem, path)) in json_files(&root.join("catalog/classes"))?.into_iter().enumerate() {
        let (class, aliases) = names_in(&path, "class")?;
        names.extend(std::iter::once(&class).chain(&aliases).map(|name| (name.clone(), index)));
        let shown = format!("catalog/classes/{stem}.json");
        let computed = computed(&fs::read_to_string(&path)?);
        entry(out, &shown, &class, &aliases, computed, &path)?;
    }
    writeln!(out, "];")?;
    names.sort();
    writeln!(
        out,
        "/// All names and patterns with their files, sorted by name.\npub const CLASS_NAMES: &[(&str, usize)] = &{names:?};"
    )?;
    // A longer pattern wins, then the file that comes first.
    let mut patterns: Vec<&(String, usize)> = names.iter().filter(|(name, _)| name.contains('*')).collect();
    patterns.sort_by_key(|(pattern, index)| (std::cmp::Reverse(pattern.len()), *index));
    writeln!(
        out,
        "/// The patterns alone, the one that wins first.\npub const CLASS_PATTERNS: &[(&str, usize)] = &{patterns:?};"
    )?;
    Ok(())
}

/// How long the part of a class file is that is computed with, where what people and tests read stands behind it.
fn computed(text: &str) -> Option<usize> {
    const READ: [&str; 2] = ["\n  \"derivation\":", "\n  \"examples\":"];
    let from = READ.iter().filter_map(|key| text.find(key)).min()?;
    let (before, behind) = text.split_at(from);
    let keys = behind.matches("\n  \"").count();
    let read = READ.iter().filter(|key| behind.contains(*key)).count();
    (keys == read).then(|| before.trim_end_matches(',').len())
}

/// Files whose entries have a `name` and `aliases`.
fn named(root: &Path, out: &mut String, folder: &str, list: &str, doc: &str) -> Result<(), Box<dyn std::error::Error>> {
    writeln!(out, "/// {doc}, by name.\npub const {list}: &[CatalogFile] = &[")?;
    for (stem, path) in json_files(&root.join("catalog").join(folder))? {
        let (name, aliases) = names_in(&path, "name")?;
        let shown = format!("catalog/{folder}/{stem}.json");
        entry(out, &shown, &name, &aliases, None, &path)?;
    }
    writeln!(out, "];")?;
    Ok(())
}

fn blocks(root: &Path, out: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    writeln!(out, "/// The block files, by name.\npub const BLOCK_FILES: &[CatalogFile] = &[")?;
    for (stem, path) in json_files(&root.join("catalog/blocks"))? {
        let shown = format!("catalog/blocks/{stem}.json");
        entry(out, &shown, &stem, &[], None, &path)?;
    }
    writeln!(out, "];")?;
    Ok(())
}

/// Maps of GGUF files, with the architectures that each is for.
fn gguf(root: &Path, out: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    writeln!(out, "/// The maps of GGUF files, by name.\npub const GGUF_FILES: &[CatalogFile] = &[")?;
    for (stem, path) in json_files(&root.join("catalog/formats/gguf"))? {
        let shown = format!("catalog/formats/gguf/{stem}.json");
        entry(out, &shown, &stem, &texts_in(&path, "architectures")?, None, &path)?;
    }
    writeln!(out, "];")?;
    Ok(())
}

/// The texts that a file lists at `key`.
fn texts_in(path: &Path, key: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let text = fs::read_to_string(path)?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let texts = json.get(key).and_then(|texts| texts.as_array()).into_iter().flatten();
    Ok(texts.filter_map(|text| text.as_str()).map(str::to_owned).collect())
}

fn families(root: &Path, out: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    writeln!(out, "/// The family files, by name.\npub const FAMILY_FILES: &[CatalogFile] = &[")?;
    for (stem, path) in json_files(&root.join("catalog/families"))? {
        let shown = format!("catalog/families/{stem}.json");
        entry(out, &shown, &stem, &texts_in(&path, "model_types")?, None, &path)?;
    }
    writeln!(out, "];")?;
    Ok(())
}

fn models(root: &Path, out: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    writeln!(out, "/// The model files, by name.\npub const MODEL_FILES: &[ModelFile] = &[")?;
    for (stem, path) in json_files(&root.join("models"))? {
        let shown = format!("models/{stem}.json");
        writeln!(
            out,
            "    ModelFile {{ name: {stem:?}, path: {shown:?}, text: include_str!({:?}) }},",
            path.display().to_string()
        )?;
    }
    writeln!(out, "];")?;
    Ok(())
}

/// What the catalog's figures are compared with, and by which one catalog is told from another.
fn version(root: &Path, out: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let path = root.join("catalog/reference.json");
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    let reference: Vec<(&str, &str)> =
        json.as_object().into_iter().flatten().filter_map(|(name, version)| Some((name.as_str(), version.as_str()?))).collect();
    writeln!(
        out,
        "/// What figures are compared with, and its version.\npub const REFERENCE: &[(&str, &str)] = &{reference:?};"
    )?;
    let mut files = Vec::new();
    const FOLDERS: [&str; 9] = [
        "catalog",
        "catalog/classes",
        "catalog/blocks",
        "catalog/families",
        "catalog/hardware",
        "catalog/conventions",
        "catalog/runtimes",
        "catalog/formats",
        "catalog/formats/gguf",
    ];
    for folder in FOLDERS {
        files.extend(json_files(&root.join(folder))?.into_iter().map(|(stem, path)| (format!("{folder}/{stem}"), path)));
    }
    // FNV-1a. A check-out may have other ends of lines.
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    for (name, path) in files {
        let text = fs::read_to_string(path)?;
        for byte in name.bytes().chain([0]).chain(text.bytes().filter(|byte| *byte != b'\r')).chain([0]) {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    writeln!(out, "/// Of all files and their names.\npub const DIGEST: u64 = {digest:#x};")?;
    Ok(())
}

/// The enumerations of roles and of facts, with their words.
fn roles(root: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let path = root.join("catalog/roles.json");
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path)?).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut out = String::new();
    let list = |key: &str| json.get(key).and_then(|l| l.as_array()).ok_or_else(|| format!("catalog/roles.json: no `{key}`"));
    let (facts, roles) = (list("facts")?, list("roles")?);
    enumeration(&mut out, "Fact", "What may be known of a layer by its role.", "fact", facts, |fact| {
        Ok(format!("&FactInfo {{ word: {:?}, doc: {:?} }}", text(fact, "fact")?, text(fact, "doc")?))
    })?;
    enumeration(&mut out, "Role", "What a layer or a block is to a reader.", "role", roles, |role| {
        let facts = role.get("facts").and_then(|f| f.as_array()).into_iter().flatten().filter_map(|fact| fact.as_str());
        let facts: Vec<String> = facts.map(|fact| format!("Fact::{}", variant(fact))).collect();
        let (word, doc, table) = (text(role, "role")?, text(role, "doc")?, text(role, "table").ok());
        let (shown, facts) = (text(role, "shown").unwrap_or(word), facts.join(", "));
        Ok(format!("&RoleInfo {{ word: {word:?}, shown: {shown:?}, doc: {doc:?}, facts: &[{facts}], table: {table:?} }}"))
    })?;
    Ok(out)
}

fn text<'j>(json: &'j serde_json::Value, key: &str) -> Result<&'j str, String> {
    json.get(key).and_then(|text| text.as_str()).ok_or_else(|| format!("catalog/roles.json: no `{key}` in {json}"))
}

/// `gate-up projection` as Rust spells it: `GateUpProjection`.
fn variant(word: &str) -> String {
    let mut parts: Vec<String> = word.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_owned).collect();
    parts.iter_mut().filter_map(|part| part.get_mut(..1)).for_each(str::make_ascii_uppercase);
    parts.concat()
}

/// An enumeration of the words at `key`; `info` writes what is known of each.
fn enumeration(
    out: &mut String,
    name: &str,
    doc: &str,
    key: &str,
    entries: &[serde_json::Value],
    info: impl Fn(&serde_json::Value) -> Result<String, String>,
) -> Result<(), Box<dyn std::error::Error>> {
    let (mut variants, mut all, mut arms) = (String::new(), Vec::new(), Vec::new());
    for entry in entries {
        let variant = variant(text(entry, key)?);
        writeln!(variants, "    /// {}\n    {variant},", text(entry, "doc")?)?;
        arms.push(format!("Self::{variant} => {}", info(entry)?));
        all.push(format!("Self::{variant}"));
    }
    writeln!(out, "/// {doc}\n#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]\npub enum {name} {{\n{variants}}}")?;
    writeln!(out, "impl {name} {{\n    /// In the order of `catalog/roles.json`.")?;
    writeln!(out, "    pub const ALL: &'static [Self] = &[{}];", all.join(", "))?;
    writeln!(out, "    fn info(self) -> &'static {name}Info {{\n        match self {{ {} }}\n    }}\n}}", arms.join(", "))?;
    Ok(())
}
