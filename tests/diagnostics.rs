//! Model files in `tests/cases/<phase>/`, each with a snapshot of what a person sees of it: its errors, or its flat list.
//!
//! A new case is a new file; its name says the point. Reviewing a snapshot is reviewing the product.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::fmt::Write as _;
use std::path::Path;

use layerspec::catalog::Catalog;
use layerspec::compile::{Compiled, compile};
use layerspec::diag::{Diagnostics, Sources, render};
use layerspec::quantity::QUANTITIES;
use layerspec::source::{Source, SourceId};
use layerspec::workload::Request;

struct Texts<'a>(&'a Source, &'a Catalog);

impl Sources for Texts<'_> {
    fn source(&self, id: SourceId) -> Option<Source> {
        if id == SourceId::MODEL { Some(self.0.clone()) } else { self.1.source(id) }
    }
}

/// What a person sees of a file: its diagnostics, then its flat list.
fn outcome(name: &str, bytes: &[u8]) -> String {
    let source = match Source::load(SourceId::MODEL, name, bytes) {
        Ok(source) => source,
        Err(diagnostic) => {
            let nothing = Source { id: SourceId::MODEL, name: name.into(), text: "".into() };
            return render(&diagnostic, &Texts(&nothing, &Catalog::new()), false);
        }
    };
    let (catalog, mut diagnostics) = (Catalog::new(), Diagnostics::default());
    let compiled = compile(&source, &catalog, &Request::default(), &mut diagnostics);
    assert_eq!(compiled.is_none(), diagnostics.has_errors(), "{name}: an error and no result, or neither");
    let mut out: String = diagnostics.sorted().into_iter().map(|d| render(d, &Texts(&source, &catalog), false) + "\n").collect();
    compiled.iter().for_each(|compiled| flat_list(compiled, &mut out));
    out
}

fn flat_list(compiled: &Compiled<'_>, out: &mut String) {
    let rows = compiled.flat.rows.iter().zip(&compiled.report.rows);
    writeln!(out, "path repeats calls params matmul_flops").unwrap();
    for (info, cost) in rows {
        let (params, matmul) = (cost.total.params(), cost.total.matmul_flops());
        writeln!(out, "{} x{} c{} {params} {matmul}", info.path, info.repeats, cost.calls).unwrap();
    }
    writeln!(out, "layers {} modules {}", compiled.report.layers, compiled.report.modules).unwrap();
    let totals = QUANTITIES.iter().filter(|info| !info.train_only);
    totals.for_each(|info| writeln!(out, "{} {}", info.name, compiled.report.totals.get(info.quantity)).unwrap());
}

fn check_case(path: &Path) {
    let name = path.file_name().unwrap().to_string_lossy();
    let folder = path.parent().unwrap().file_name().unwrap().to_string_lossy();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_input_file(format!("tests/cases/{folder}/{name}"));
    settings.set_snapshot_path(format!("snapshots/{folder}"));
    settings.bind(|| insta::assert_snapshot!(outcome(&name, &std::fs::read(path).unwrap())));
}

macro_rules! folders {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            insta::glob!(concat!("cases/", stringify!($name), "/*.json"), check_case);
        }
    )*};
}
folders!(json, spec, expr, check, flatten, bind, cost, expect, ok);
