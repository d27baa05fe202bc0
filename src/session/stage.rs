//! Any stage of the pipeline as Rust has it, for those who work on it.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::layout::Layout;
use super::{Outcome, Session, Settings};
use crate::cost::bind::bind;
use crate::cost::workload::Workload;
use crate::language;
use crate::language::check::check;
use crate::lower::{Execution, flattened};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::json;
use crate::syntax::source::Source;
use crate::syntax::stack::deep;

/// The types that the phases make, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Well-formed JSON, every key and value with its place.
    Document,
    /// The description as it is written, or what a family makes of a config.
    Spec,
    /// Names resolved.
    Checked,
    /// The flat list, folded.
    Flat,
    /// No expression left.
    Bound,
}

/// What a stage made, as text when it is displayed: a large one is never held as a whole.
pub struct Shown(Box<dyn fmt::Debug + Send + Sync>);

impl Shown {
    fn new(made: impl fmt::Debug + Send + Sync + 'static) -> Self {
        Shown(Box::new(made))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        deep(|| {
            let mut layout = Layout::new(f);
            write!(layout, "{:?}", self.0)?;
            layout.finish()
        })
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Session {
    /// A stage of a model as text. It is shown even if something is wrong, as far as it could be made.
    #[must_use]
    pub fn stage(
        &self,
        name: &str,
        text: impl AsRef<[u8]>,
        settings: &Settings,
        (execution, workload): (&Execution, &Workload),
        stage: Stage,
    ) -> Outcome<Shown> {
        let source = match self.source(name, text.as_ref()) {
            Ok(source) => source,
            Err(diagnostic) => return self.failed(*diagnostic),
        };
        if settings.mix.is_some() {
            let message = "stages are shown of a model as it is, not in a mix of types";
            return self.failed(Diagnostic::new(Code::InvalidWorkload, message).help("leave out the mix in `--weight-dtype`"));
        }
        let mut diagnostics = Diagnostics::default();
        let value = deep(|| self.stage_of(&source, settings, (execution, workload), stage, &mut diagnostics));
        Outcome { value, diagnostics, source: Some(source), catalog: self.catalog.clone() }
    }

    fn stage_of(
        &self,
        source: &Source,
        settings: &Settings,
        (execution, workload): (&Execution, &Workload),
        stage: Stage,
        diagnostics: &mut Diagnostics,
    ) -> Option<Shown> {
        let document = json::read(source, diagnostics)?;
        if stage == Stage::Document {
            return Some(Shown::new(document));
        }
        let model = language::model(&document, &self.catalog, settings.wanted(), diagnostics)?;
        if stage == Stage::Spec {
            return Some(Shown::new(model));
        }
        let checked = check(model, &self.catalog, settings.variables.clone(), diagnostics);
        if stage == Stage::Checked {
            return Some(Shown::new(checked));
        }
        let flat = flattened(&checked, *execution, &Arc::default(), diagnostics);
        if stage == Stage::Flat {
            return Some(Shown::new(flat));
        }
        Some(Shown::new(bind(&flat, *execution, workload, diagnostics)))
    }
}
