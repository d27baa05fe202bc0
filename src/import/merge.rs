//! Several files of one model as one: shards, with or without an index; and whether they are those of one model.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::contents::{Contents, Datum, Held};
use crate::syntax::diag::{Code, Diagnostic};

/// A name that says which shard of how many a file is: `model-00002-of-00004.safetensors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardName<'n> {
    /// What stands before the numbers.
    pub stem: &'n str,
    /// From 1.
    pub number: u64,
    /// How many there are.
    pub count: u64,
    /// `gguf`, `safetensors`.
    pub ending: &'n str,
}

impl<'n> ShardName<'n> {
    /// So many digits a number has.
    const DIGITS: usize = 5;

    /// Reads a file's name.
    #[must_use]
    pub fn of(name: &'n str) -> Option<Self> {
        let number = |text: &str| (text.len() == Self::DIGITS).then(|| text.parse::<u64>().ok()).flatten();
        let (whole, ending) = name.rsplit_once('.')?;
        let (first, count) = whole.rsplit_once("-of-")?;
        let (stem, own) = first.rsplit_once('-')?;
        let (own, count) = (number(own)?, number(count)?);
        (1..=count).contains(&own).then_some(ShardName { stem, number: own, count, ending })
    }

    /// The name of another shard of the same model.
    #[must_use]
    pub fn sibling(&self, number: u64) -> String {
        format!("{}-{number:05}-of-{:05}.{}", self.stem, self.count, self.ending)
    }
}

/// What a shard says of itself.
struct Split<'c> {
    file: &'c str,
    name: Option<ShardName<'c>>,
    /// From 0.
    number: u64,
    count: u64,
    /// Tensors of all of them together.
    tensors: Option<u64>,
}

fn splits(parts: &[(Arc<str>, Contents)]) -> Vec<Split<'_>> {
    let split = |contents: &Contents| {
        let number = |key: &str| match contents.get(key) {
            Some(Datum::Integer(number)) => u64::try_from(*number).ok(),
            _ => None,
        };
        // Whole files may say that they are none of none.
        let count = number("split.count").filter(|count| *count > 1)?;
        Some((number("split.no").unwrap_or(0), count, number("split.tensors.count")))
    };
    let all = parts.iter().filter_map(|part| Some((&*part.0, split(&part.1)?)));
    all.map(|(file, (number, count, tensors))| Split { file, name: ShardName::of(base(file)), number, count, tensors }).collect()
}

/// A file's name without its folder.
fn base(file: &str) -> &str {
    file.rsplit(['/', '\\']).next().unwrap_or_default()
}

/// Which shards aren't there, by their names, where files say that they are shards or are called so.
///
/// # Errors
/// The files aren't shards of one model, or not those that they say.
pub fn missing_shards(parts: &[(Arc<str>, Contents)]) -> Result<Vec<Arc<str>>, Box<Diagnostic>> {
    let wrong = |message: String| Err(Diagnostic::new(Code::MalformedCheckpoint, message).boxed());
    let splits = splits(parts);
    let Some(first) = splits.first() else { return Ok(missing_by_name(parts)) };
    let mut known: HashMap<u64, &Split<'_>> = HashMap::new();
    for split in &splits {
        let (file, number) = (split.file, split.number.saturating_add(1));
        if (split.count, split.tensors) != (first.count, first.tensors) {
            let of = |split: &Split<'_>| match split.tensors {
                Some(tensors) => format!("{} shards with {tensors} tensors", split.count),
                None => format!("{} shards", split.count),
            };
            let message =
                format!("`{file}` is one of {}, `{}` one of {}: they aren't of one model", of(split), first.file, of(first));
            return wrong(message);
        }
        if split.number >= split.count {
            return wrong(format!("`{file}` says that it is shard {number} of {}", split.count));
        }
        if split.name.as_ref().is_some_and(|name| (name.number, name.count) != (number, split.count)) {
            return wrong(format!("`{file}` says that it is shard {number} of {}, and is called otherwise", split.count));
        }
        if let Some(other) = known.insert(split.number, split) {
            return wrong(format!("`{}` and `{file}` both say that they are shard {number} of {}", other.file, split.count));
        }
    }
    let mut places: HashMap<&str, &str> = HashMap::new();
    for (file, contents) in parts {
        for tensor in &contents.tensors {
            if let Some(other) = places.insert(&tensor.name, file) {
                return wrong(format!("`{}` stands in `{other}` and in `{file}`: a tensor is in one shard", tensor.name));
            }
        }
    }
    // A file that is of no shard may stand beside them: an encoder of images.
    let of_shards = parts.iter().filter(|(file, _)| splits.iter().any(|split| *split.file == **file));
    let held = of_shards.fold(0u64, |sum, (_, contents)| sum.saturating_add(contents.tensors.len() as u64));
    let absent = (0..first.count).filter(|number| !known.contains_key(number));
    let name = |number: u64| match &first.name {
        Some(name) => name.sibling(number.saturating_add(1)),
        None => format!("shard {} of {}", number.saturating_add(1), first.count),
    };
    let absent: Vec<Arc<str>> = absent.take(MOST_MISSING).map(|number| name(number).into()).collect();
    match first.tensors {
        Some(tensors) if absent.is_empty() && held != tensors => {
            wrong(format!("{} shards hold {held} tensors, and say that they hold {tensors}", first.count))
        }
        Some(tensors) if held > tensors => wrong(format!("shards hold {held} tensors, and say that all hold {tensors}")),
        _ => Ok(absent),
    }
}

/// So many missing files are kept by their names.
const MOST_MISSING: usize = 1000;

/// Which aren't there by the names of those that are.
fn missing_by_name(parts: &[(Arc<str>, Contents)]) -> Vec<Arc<str>> {
    let there: HashSet<&str> = parts.iter().map(|(name, _)| base(name)).collect();
    let first = there.iter().min().and_then(|name| ShardName::of(name));
    let all = first.into_iter().flat_map(|first| (1..=first.count).map(move |number| first.sibling(number)));
    all.filter(|name| !there.contains(name.as_str())).take(MOST_MISSING).map(Into::into).collect()
}

/// What several files hold together, the names of those files given; the metadata is that of the first.
#[must_use]
pub fn merged(parts: Vec<(Arc<str>, Contents)>) -> Contents {
    let mut parts = parts.into_iter();
    let Some((name, first)) = parts.next() else { return Contents::default() };
    let mut out = Contents { tensors: Vec::new(), ..first.clone() };
    let mut seen: HashSet<Arc<str>> = HashSet::new();
    let mut twice: Vec<Arc<str>> = Vec::new();
    let mut add = |name: &Arc<str>, tensors: Vec<Held>, out: &mut Contents| {
        for tensor in tensors {
            if seen.insert(tensor.name.clone()) {
                out.tensors.push(Held { file: Some(name.clone()), ..tensor });
            } else {
                twice.push(tensor.name);
            }
        }
    };
    add(&name, first.tensors, &mut out);
    for (name, part) in parts {
        add(&name, part.tensors, &mut out);
        out.header_bytes = out.header_bytes.saturating_add(part.header_bytes);
        out.data_bytes = out.data_bytes.zip(part.data_bytes).and_then(|(a, b)| a.checked_add(b));
        out.remarks.extend(part.remarks.into_iter().map(|remark| format!("{name}: {remark}")));
    }
    if let [first, ..] = twice.as_slice() {
        out.remarks.push(format!("{} tensors stand in several files, of which the first counts (`{first}`)", twice.len()));
    }
    out
}

impl Contents {
    /// What an index names, with what the files say that are there. `files`: those that were found, by name.
    #[must_use]
    pub fn with_files(mut self, files: Vec<(Arc<str>, Contents)>) -> Self {
        let mut there: HashMap<Arc<str>, Held> = HashMap::new();
        let found: HashSet<Arc<str>> = files.iter().map(|(name, _)| name.clone()).collect();
        for (name, part) in files {
            self.header_bytes = self.header_bytes.saturating_add(part.header_bytes);
            self.remarks.extend(part.remarks.iter().map(|remark| format!("{name}: {remark}")));
            for tensor in part.tensors {
                there.entry(tensor.name.clone()).or_insert(Held { file: Some(name.clone()), ..tensor });
            }
        }
        let mut absent = 0usize;
        for tensor in &mut self.tensors {
            match there.remove(&tensor.name) {
                Some(held) => *tensor = held,
                None => absent += usize::from(tensor.file.as_ref().is_some_and(|file| found.contains(file))),
            }
        }
        if absent > 0 {
            self.remarks.push(format!("{absent} tensors that the index places in files that are there aren't in them"));
        }
        if !there.is_empty() {
            let first = there.keys().min().cloned().unwrap_or_default();
            self.remarks.push(format!("{} tensors of the files aren't in the index (`{first}`)", there.len()));
            let mut more: Vec<Held> = there.into_values().collect();
            more.sort_by(|a, b| a.name.cmp(&b.name));
            self.tensors.extend(more);
        }
        let mut named: Vec<Arc<str>> = self.tensors.iter().filter_map(|tensor| tensor.file.clone()).collect();
        named.sort();
        named.dedup();
        self.missing = named.into_iter().filter(|file| !found.contains(file)).collect();
        self
    }
}
