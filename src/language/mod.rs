//! What a model description means: its names resolved, its families filled in, its structural variables known.

mod binding;
pub mod check;
pub mod checkpoint;
pub mod family;
mod module_names;
mod partial;
pub mod resolve;
pub mod scope;
mod segment;
mod trace;
mod values;

pub use binding::{Argument, Binding, Residual};
pub use family::Wanted;
pub use partial::leave_out;
pub use segment::{PathPiece, Segment, enclosing};
pub use trace::{Read, Trace};
pub use values::Values;

use crate::catalog::Catalog;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::json::{Document, Node};
use crate::syntax::spec::{self, Model};

/// Whether a document has what only a model or a config has.
#[must_use]
pub fn says_that_it_is_a_model(root: &Node) -> bool {
    const SAID_BY: [&str; 8] = ["layers", "family", "variables", "blocks", "expect", "checkpoint", "model_type", "architectures"];
    own_output(root).is_none() && SAID_BY.iter().any(|key| root.get(key).is_some())
}

/// Where a document says that it is what this program wrote.
fn own_output(root: &Node) -> Option<&Node> {
    root.get("format").filter(|node| node.text().is_some_and(|format| format.starts_with("layerspec.")))
}

/// The model of a document: one that is written out, that of a family's file, or what a config's family makes of it.
pub fn model(document: &Document, catalog: &Catalog, wanted: Wanted<'_>, diagnostics: &mut Diagnostics) -> Option<Model> {
    if let Some(format) = own_output(&document.root) {
        let message = "this is an output of `layerspec`, not a model";
        let diagnostic = Diagnostic::new(Code::WrongType, message).at(format.span, "says so");
        diagnostics.push(diagnostic.help("`layerspec compare OLD.json NEW.json` compares two outputs of `compile`"));
        return None;
    }
    if wanted.family.is_some() || family::is_config(&document.root) {
        return family::of_config(&document.root, wanted, catalog, diagnostics);
    }
    if let Some(diagnostic) = document.non_finite_number() {
        diagnostics.push(diagnostic);
        return None;
    }
    family::of_file(spec::parse(document, diagnostics)?, wanted, catalog, diagnostics)
}
