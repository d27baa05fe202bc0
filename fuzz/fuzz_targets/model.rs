//! Any bytes as a model file: an answer, or diagnostics that can be shown.
//!
//! `cargo fuzz run model -- -dict=fuzz/model.dict -timeout=20`, with the models as a start: `fuzz/README.md`.
#![no_main]

use std::sync::{Arc, LazyLock};

use layerspec::catalog::Catalog;
use layerspec::evaluation::compile;
use layerspec::syntax::diag::{Diagnostics, Sources, render, render_json};
use layerspec::syntax::source::{Source, SourceId};
use layerspec::cost::workload::Request;
use libfuzzer_sys::fuzz_target;

static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(|| Arc::new(Catalog::new()));

struct Shown<'a>(&'a Source);

impl Sources for Shown<'_> {
    fn source(&self, id: SourceId) -> Option<Source> {
        if id == SourceId::MODEL { Some(self.0.clone()) } else { CATALOG.source(id) }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(source) = Source::load(SourceId::MODEL, "fuzz.json", bytes) else {
        return;
    };
    let mut diagnostics = Diagnostics::default();
    let compiled = compile(&source, &CATALOG, &Request::default(), &mut diagnostics);
    assert_eq!(compiled.is_none(), diagnostics.has_errors());
    for diagnostic in diagnostics.sorted().into_iter().take(20) {
        let _ = render(diagnostic, &Shown(&source), false);
        let _ = render_json(diagnostic, &Shown(&source));
    }
    if let Some(compiled) = compiled {
        assert!(compiled.flat.instances().take(1000).all(|instance| !instance.path.is_empty()));
    }
});
