//! Model files in `tests/cases/<phase>/`, each with a snapshot of what a person sees of it: its errors, or its flat list.
//!
//! A new case is a new file; its name says the point. Reviewing a snapshot is reviewing the product.

use std::fmt::Write as _;
use std::path::Path;

use layerspec::diagnostics::{CODES, Code};
use layerspec::{Evaluation, QUANTITIES};

use crate::support::{SESSION, evaluate, root};

/// What a person sees of a file: its diagnostics, then its flat list.
fn outcome(name: &str, bytes: &[u8]) -> String {
    let outcome = evaluate(&SESSION, name, bytes, &Default::default());
    let mut out: String = outcome.diagnostics.sorted().into_iter().map(|d| outcome.shown(d, false) + "\n").collect();
    outcome.value.iter().for_each(|at| flat_list(at, &mut out));
    out
}

fn flat_list(at: &Evaluation, out: &mut String) {
    writeln!(out, "path repeats calls params matmul_flops").unwrap();
    for row in at.rows() {
        writeln!(out, "{} x{} c{} {} {}", row.path(), row.repeats(), row.calls(), row.params(), row.matmul_flops()).unwrap();
    }
    writeln!(out, "layers {} modules {}", at.layers(), at.modules()).unwrap();
    let totals = QUANTITIES.iter().filter(|info| !info.train_only);
    totals.for_each(|info| writeln!(out, "{} {}", info.name, at.total(info.quantity)).unwrap());
}

fn check_case(path: &Path) {
    let name = path.file_name().unwrap().to_string_lossy();
    let folder = path.parent().unwrap().file_name().unwrap().to_string_lossy();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_input_file(format!("tests/cases/{folder}/{name}"));
    settings.set_snapshot_path(format!("../snapshots/{folder}"));
    settings.set_snapshot_suffix(&*name);
    settings.bind(|| insta::assert_snapshot!("check_case", outcome(&name, &std::fs::read(path).unwrap())));
}

/// All cases of a folder, so that one run shows every snapshot that differs. (insta's own `glob!` keeps its failures in one place for
/// all threads, and books them to whichever test looks first.)
fn check_folder(folder: &str) {
    let folder = root("tests/cases").join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    let failed: Vec<_> = paths.iter().filter(|path| std::panic::catch_unwind(|| check_case(path)).is_err()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

macro_rules! folders {
    ($($name:ident),*) => {
        const FOLDERS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                check_folder(stringify!($name));
            }
        )*
    };
}
folders!(json, spec, expr, check, flatten, bind, cost, shape, expect, family, ok);

#[test]
fn every_folder_is_looked_at() {
    let cases = root("tests/cases");
    for entry in std::fs::read_dir(cases).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(FOLDERS.contains(&name.as_str()), "{name}");
    }
}

/// Inputs whose point is their size are made here rather than kept as files.
fn made() -> Vec<(Code, Vec<u8>)> {
    let silu = r#"{ "name": "a", "class": "torch.nn.SiLU", "parameters": { "features": "<layer>" } }"#;
    let nested = format!("{}{}", "[".repeat(129), "]".repeat(129));
    // 200 blocks, each of which uses the next: deeper than any JSON can nest.
    let block = |at: usize| format!(r#""b{at}": {{ "layers": [ {{ "name": "x", "use": "b{}" }} ] }}"#, at + 1);
    let blocks: Vec<String> = (0..200).map(block).collect();
    let chain = format!(
        r#"{{ "blocks": {{ {}, "b200": {{ "layers": [] }} }}, "layers": [ {{ "name": "a", "use": "b0" }} ] }}"#,
        blocks.join(", ")
    );
    let many = format!(r#"{{ "layers": [ {{ "name": "layers", "repeat": 1000000000000, "sub_layers": [ {silu} ] }} ] }}"#);
    vec![
        (Code::FileTooLarge, vec![b' '; (64 << 20) + 1]),
        (Code::NotUtf8, b"{ \"name\": \"\xff\" }".to_vec()),
        (Code::JsonTooDeep, nested.into_bytes()),
        (Code::LayersTooDeep, chain.into_bytes()),
        (Code::ModelTooLarge, many.into_bytes()),
    ]
}

#[test]
fn inputs_beyond_a_limit_are_refused() {
    for (code, bytes) in made() {
        let shown = outcome("made.json", &bytes);
        assert!(shown.contains(&format!("[{}]", code.id())), "{code:?}: {shown}");
        assert_eq!(shown.matches("error[").count(), 1, "{code:?}: {shown}");
    }
}

/// Every code that a model file can cause has a case; those of the command line are in tests/it/cli.rs, those of files of weights in
/// tests/it/checkpoints.rs, those of engines in tests/it/runtimes.rs.
#[test]
fn every_code_has_a_case() {
    let mut seen = String::new();
    for folder in FOLDERS {
        let snapshots = root("tests/snapshots").join(folder);
        for entry in std::fs::read_dir(snapshots).unwrap() {
            seen += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
        }
    }
    let made: Vec<Code> = made().into_iter().map(|(code, _)| code).collect();
    let cli = std::fs::read_to_string(root("tests/it/cli.rs")).unwrap();
    let checkpoints = ["tests/it/checkpoints.rs", "tests/it/runtimes.rs"];
    let checkpoints = checkpoints.map(|path| std::fs::read_to_string(root(path)).unwrap()).concat();
    for info in CODES {
        let shown =
            seen.contains(&format!("[{}]", info.id)) || made.contains(&info.code) || cli.contains(&format!("\"{}\"", info.id));
        let shown = shown || checkpoints.contains(&format!("Code::{}]", info.name));
        assert!(shown, "{} {} has no case", info.id, info.name);
    }
}
