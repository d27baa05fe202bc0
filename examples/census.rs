//! For authors of families: compares configs with what PyTorch makes of them.
//!
//!     census [--catalog FOLDER] [--only TEXT] [CONFIGS ROWS]
//!
//! CONFIGS is a folder of config.json files, ROWS what `../shared/reference/census.py` wrote of it (left out: those of `../shared`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a tool for tests, which may panic"
)]

#[path = "../tests/it/comparison.rs"]
mod comparison;

use std::path::{Path, PathBuf};

use layerspec::{Catalog, Session};
use serde_json::Value as Json;

/// The embedded catalog under the files of a folder.
fn over(folder: &Path) -> Session {
    let mut files = Vec::new();
    for inner in Catalog::FOLDERS {
        let Ok(entries) = folder.join(inner).read_dir() else { continue };
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "json")).collect();
        paths.sort();
        let named = |path: &PathBuf| format!("{inner}/{}", path.file_name().unwrap().display());
        files.extend(paths.iter().map(|path| (named(path), std::fs::read(path).unwrap())));
    }
    for list in Catalog::LISTS.iter().filter(|list| folder.join(list).exists()) {
        files.push(((*list).to_owned(), std::fs::read(folder.join(list)).unwrap()));
    }
    Session::over(Catalog::overlaid(files).unwrap_or_else(|said| panic!("{}: {said:?}", folder.display())))
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (mut folder, mut only, mut rest) = (None, String::new(), Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--catalog" => folder = args.next(),
            "--only" => only = args.next().unwrap_or_default(),
            _ => rest.push(arg),
        }
    }
    let session = folder.map_or_else(Session::new, |folder| over(Path::new(&folder)));
    let (configs, rows) = match rest.as_slice() {
        [configs, rows] => (PathBuf::from(configs), PathBuf::from(rows)),
        _ => ("/work/shared/configs".into(), "/work/shared/reference/census.jsonl".into()),
    };
    let (mut equal, mut differ) = (0, 0);
    for line in std::fs::read_to_string(rows).unwrap().lines() {
        let row: Json = serde_json::from_str(line).unwrap();
        let file = row["file"].as_str().unwrap();
        let model_type = row["model_type"].as_str().unwrap_or_default();
        if row["error"].is_string() || !(file.contains(&only) || model_type == only) {
            continue;
        }
        let path = if configs.is_dir() { configs.join(file) } else { configs.clone() };
        let model = session.read(file, std::fs::read(path).unwrap());
        let differences = comparison::differences(&model, &row);
        if differences.is_empty() {
            equal += 1;
            println!("equal   {model_type:24} {file}");
        } else {
            differ += 1;
            println!("DIFFERS {model_type:24} {file}  ({})", row["class"].as_str().unwrap_or_default());
            differences.iter().for_each(|difference| println!("          {difference}"));
        }
    }
    println!("{equal} equal, {differ} differ");
}
