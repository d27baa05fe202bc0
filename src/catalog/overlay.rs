//! A folder of catalog files that come before the embedded ones of their names.
//!
//! Texts come in (`cli` reads them), an [`Overlay`] goes out that knows which file defines what.

use std::sync::Arc;

use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::json::{self, Node};
use crate::syntax::source::{Source, SourceId};

/// What a file of the catalog holds, by the folder that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Class,
    Block,
    Family,
}

impl Kind {
    /// The folder of such files.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Kind::Class => "classes",
            Kind::Block => "blocks",
            Kind::Family => "families",
        }
    }

    pub const ALL: [Kind; 3] = [Kind::Class, Kind::Block, Kind::Family];
}

/// A file that lies over the embedded catalog.
#[derive(Debug)]
pub struct OverlayFile {
    pub kind: Kind,
    /// The file's name without `.json`.
    pub name: Arc<str>,
    /// A class's names and patterns, a family's model types.
    pub keys: Vec<Arc<str>>,
    pub source: Source,
}

impl OverlayFile {
    /// The embedded file that this one stands in place of has this path.
    #[must_use]
    pub fn replaces(&self, path: &str) -> bool {
        path.strip_prefix("catalog/")
            .and_then(|path| path.strip_prefix(self.kind.folder()))
            .and_then(|name| name.strip_prefix('/'))
            == Some(&format!("{}.json", self.name))
    }

    /// Reads the text of a file whose folder says what it holds.
    ///
    /// # Errors
    /// A folder that says nothing, what keeps it from being text.
    pub fn at(path: &str, bytes: &[u8], id: SourceId) -> Result<Self, Box<Diagnostic>> {
        let mut parts = path.rsplit(['/', '\\']);
        let (file, folder) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.folder() == folder) else {
            let message = format!("`{path}` is in none of `classes`, `blocks` and `families`");
            return Err(Diagnostic::new(Code::CannotRead, message).boxed());
        };
        Self::load(kind, file.strip_suffix(".json").unwrap_or(file), path, bytes, id)
    }

    /// Reads a file's text; `id` is to be its own.
    ///
    /// # Errors
    /// What keeps it from being text.
    pub fn load(kind: Kind, name: &str, path: &str, bytes: &[u8], id: SourceId) -> Result<Self, Box<Diagnostic>> {
        let source = Source::load(id, path, bytes)?;
        let mut diagnostics = crate::syntax::diag::Diagnostics::default();
        let Some(document) = json::read(&source, &mut diagnostics) else {
            let first = diagnostics.iter().next().cloned();
            return Err(first.unwrap_or_else(|| Diagnostic::new(Code::MalformedJson, format!("`{path}` is no JSON"))).boxed());
        };
        let texts = |key: &str| -> Vec<Arc<str>> {
            match document.root.get(key).map(|node| &node.json) {
                Some(json::Json::List(items)) => items.iter().filter_map(Node::text).cloned().collect(),
                Some(json::Json::Text(text)) => vec![text.value.clone()],
                _ => Vec::new(),
            }
        };
        let keys = match kind {
            Kind::Class => texts("class").into_iter().chain(texts("aliases")).collect(),
            Kind::Block => Vec::new(),
            Kind::Family => texts("model_types"),
        };
        Ok(OverlayFile { kind, name: name.into(), keys, source })
    }
}
