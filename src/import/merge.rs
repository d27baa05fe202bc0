//! Several files of one model as one: shards, with or without an index.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::contents::{Contents, Held};

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
