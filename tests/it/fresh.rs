//! What is generated is fresh, what is shown is true: the schema, docs/errors.md, the transcripts in the README and the docs.
//! `UPDATE=1 cargo test --test it fresh` writes the generated files and the transcripts anew: read what changed.

use std::path::{Path, PathBuf};
use std::process::Command;

use layerspec::reports::{OUTPUT_FORMATS, errors_page, families_page, model_schema, output_page, roles_page};

use crate::support::{SESSION, evaluate, root};

fn fresh(path: &str, expected: &str) {
    let file = root(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, expected).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "{path} is stale: UPDATE=1 cargo test --test it fresh");
}

fn schema() -> serde_json::Value {
    model_schema(SESSION.catalog())
}

#[test]
fn the_schema_is_fresh() {
    fresh("schema/model.schema.json", &format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap()));
}

#[test]
fn the_errors_page_is_fresh() {
    fresh("docs/errors.md", &errors_page());
}

#[test]
fn the_page_of_outputs_is_fresh() {
    fresh("docs/output.md", &output_page());
    for format in OUTPUT_FORMATS {
        let schema = serde_json::to_string_pretty(&format.schema(false)).unwrap();
        fresh(&format!("schema/{}.schema.json", format.name), &format!("{schema}\n"));
    }
}

/// What each command writes is what its schema says, and has no key that isn't documented.
#[test]
fn outputs_are_as_their_schemas_say() {
    let folder = tempfile::tempdir().unwrap();
    let saved = |name: &str, more: &str| {
        let file = folder.path().join(name).display().to_string();
        let arguments = format!("compile gpt2 --format json -o {file} {more}");
        assert!(Command::new(env!("CARGO_BIN_EXE_layerspec")).args(arguments.split_whitespace()).status().unwrap().success());
        file
    };
    let (old, new) = (saved("old.json", ""), saved("new.json", "--set n_inner=3000"));
    let header = folder.path().join("header.json");
    let tensor = r#"{ "dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12] }"#;
    std::fs::write(&header, format!(r#"{{ "__metadata__": {{ "format": "pt" }}, "a.weight": {tensor} }}"#)).unwrap();
    let outputs = [
        ("tensors", "tensors gpt2".to_owned()),
        ("tensors", format!("tensors {} --metadata", header.display())),
        ("compile", "compile gpt2".to_owned()),
        ("compile", "compile mixtral-8x7b-v0.1 --phase train --convention palm --kv-dtype int8".to_owned()),
        ("compile", "compile whisper-small --phase decode".to_owned()),
        ("compile", "compile gpt-oss-20b --by layer".to_owned()),
        ("compile", "compile falcon-h1-0.5b-base --by class --convention torch".to_owned()),
        ("compile", "compile llama-3.2-11b-vision --by depth --phase train".to_owned()),
        ("memory", "memory gpt2".to_owned()),
        ("memory", "memory llama-2-7b-hf --device h100-sxm --count 2".to_owned()),
        ("memory", "memory llama-3.2-1b --phase train --checkpointing full --device 24GB".to_owned()),
        ("varied", "memory llama-3.2-1b --vary dtype=bf16,int4".to_owned()),
        ("varied", "memory llama-3.2-1b --vary batch=1,1000000 --vary phase=prefill,train --device 24GB".to_owned()),
        ("compile", "compile deepseek-v3 --runtime vllm --phase decode".to_owned()),
        ("list", "list runtimes".to_owned()),
        ("found", "memory llama-2-7b-hf --find 131.1MB".to_owned()),
        ("found", "memory gpt2 --find 1MB".to_owned()),
        ("summary", "summary resnet-50".to_owned()),
        ("summary", "summary deepseek-v3".to_owned()),
        ("compare", "compare gpt2 distilgpt2 llama-3.2-1b".to_owned()),
        ("changes", format!("compare {old} {new}")),
        ("changes", format!("compare {old} {old}")),
        ("reconcile", "reconcile bert-base-uncased --phase train".to_owned()),
        ("formula", "formula gemma-3-4b-it".to_owned()),
        ("formula", "formula resnet-50 --phase train --quantity flops,params".to_owned()),
        ("solve", "solve llama-2-7b-hf --for hidden_size --params 7e9".to_owned()),
        ("solve", "solve llama-2-7b-hf --for seq --params 7e9".to_owned()),
        ("serving", "serving llama-3.1-8b --device rtx-4090 --context 8k".to_owned()),
        ("serving", "serving qwen3-next-80b-a3b --device h100-sxm --tp 4 --context 32k --concurrency 8".to_owned()),
        ("serving", "serving gpt-oss-20b --runtime llama.cpp --device 12GB --context 8k --offload exps=cpu".to_owned()),
        ("serving", "serving bert-base-uncased --device t4".to_owned()),
        ("list", "list dtypes".to_owned()),
        ("list", "list hardware".to_owned()),
    ];
    for (name, arguments) in &outputs {
        let format = OUTPUT_FORMATS.iter().find(|format| format.name == *name).unwrap();
        let validator = jsonschema::validator_for(&format.schema(true)).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_layerspec"))
            .args(arguments.split_whitespace())
            .args(["--format", "json"])
            .output()
            .unwrap();
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&json).take(5).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{arguments}: {}", errors.join("\n").chars().take(2000).collect::<String>());
    }
    // Each is tried.
    assert!(OUTPUT_FORMATS.iter().all(|format| outputs.iter().any(|(name, _)| *name == format.name)));
}

#[test]
fn the_page_of_roles_is_fresh() {
    fresh("docs/roles.md", &roles_page());
}

#[test]
fn the_table_of_families_is_fresh() {
    fresh("docs/families-table.md", &families_page(SESSION.catalog()));
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "json"));
    files.sort();
    files
}

fn parse(path: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_schema_accepts_every_model() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let files = json_files(&root("models"));
    assert!(files.len() >= 6);
    for path in files {
        let model = parse(&path);
        let errors: Vec<String> = validator.iter_errors(&model).map(|e| format!("{} at {}", e, e.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
    }
}

#[test]
fn the_schema_rejects_errors_of_shape() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let linear = |parameters: &str| {
        format!(r#"{{ "layers": [ {{ "name": "l", "class": "torch.nn.modules.linear.Linear", "parameters": {parameters} }} ] }}"#)
    };
    let good = [
        linear(r#"{ "in_features": 1, "out_features": "<h>" }"#),
        linear(r#"{ "in_features": 1, "out_features": 2, "dtype_bytes": 2 }"#),
        r#"{ "layers": [ { "name": "l", "class": "my.own.Class", "parameters": { "x": 1 } } ] }"#.to_owned(),
        r#"{ "layers": [ { "name": "l", "class": "x.SomeRMSNorm", "parameters": { "normalized_shape": [4] } } ] }"#.to_owned(),
        r#"{ "layers": [ { "name": "c", "class": "torch.nn.Linear", "sub_layers": [] } ] }"#.to_owned(),
    ];
    for text in good {
        let value = serde_json::from_str(&text).unwrap();
        assert!(
            validator.is_valid(&value),
            "{text}: {:?}",
            validator.iter_errors(&value).map(|e| e.to_string()).collect::<Vec<_>>()
        );
    }
    let bad = [
        // Unknown key.
        r#"{ "layers": [ { "name": "l", "class": "a", "sublayers": [] } ] }"#.to_owned(),
        // Missing keys.
        r#"{ "name": "m" }"#.to_owned(),
        r#"{ "layers": [ { "name": "l" } ] }"#.to_owned(),
        // Wrong types.
        r#"{ "layers": {} }"#.to_owned(),
        r#"{ "layers": [ { "name": "l", "sub_layers": [], "hold": 3 } ] }"#.to_owned(),
        r#"{ "layers": [ { "name": "l", "sub_layers": [], "repeat": "many" } ] }"#.to_owned(),
        // Keys that exclude each other.
        r#"{ "layers": [ { "name": "l", "sub_layers": [], "use": "b" } ] }"#.to_owned(),
        r#"{ "layers": [ { "name": "l", "sub_layers": [], "parameters": {} } ] }"#.to_owned(),
        // Parameters: missing, unknown, of another kind.
        linear(r#"{ "in_features": 1 }"#),
        linear(r#"{ "in_features": 1, "out_features": 2, "out_feature": 2 }"#),
        linear(r#"{ "in_features": 1, "out_features": -2 }"#),
        linear(r#"{ "in_features": 1, "out_features": "many" }"#),
        linear(r#"{ "in_features": 1, "out_features": 2, "bias": "no" }"#),
        r#"{ "layers": [ { "name": "l", "class": "torch.nn.Linear" } ] }"#.to_owned(),
        r#"{ "layers": [ { "name": "l", "class": "x.SomeRMSNorm", "parameters": { "shape": 4 } } ] }"#.to_owned(),
    ];
    for text in bad {
        let value = serde_json::from_str(&text).unwrap();
        assert!(!validator.is_valid(&value), "{text}");
    }
}

/// Runs each `$ layerspec ...` of a ```console block as it stands and compares what it prints, up to a line `...` if there is one; with `UPDATE` in the environment, writes it.
fn transcripts(path: &str) -> usize {
    let text = std::fs::read_to_string(root(path)).unwrap();
    let mut updated = text.clone();
    let mut checked = 0;
    for block in text.split("```console\n").skip(1) {
        let block = block.split("\n```").next().unwrap();
        for part in block.split("$ ").skip(1) {
            let (command, expected) = part.split_once('\n').unwrap_or((part, ""));
            let Some(arguments) = command.strip_prefix("layerspec ") else { continue };
            let output = Command::new(env!("CARGO_BIN_EXE_layerspec"))
                .args(arguments.split_whitespace())
                .current_dir(root(""))
                .env("COLUMNS", "80")
                .output()
                .unwrap();
            let found = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            // Of a long answer the beginning may be shown.
            let found = match expected.trim_end().strip_suffix("\n...") {
                Some(shown) => found.lines().take(shown.lines().count()).chain(["..."]).collect::<Vec<_>>().join("\n"),
                None => found,
            };
            if std::env::var_os("UPDATE").is_some() {
                let of = |printed: &str| format!("$ {command}\n{}", printed.trim_end()).trim_end().to_owned();
                updated = updated.replacen(&of(expected), &of(&found), 1);
            } else {
                assert_eq!(found.trim_end(), expected.trim_end(), "{path}: {command}");
            }
            checked += 1;
        }
    }
    if updated != text {
        std::fs::write(root(path), updated).unwrap();
    }
    checked
}

#[test]
fn transcripts_show_what_the_program_prints() {
    assert!(transcripts("README.md") >= 3);
    let docs = std::fs::read_dir(root("docs")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages: Vec<String> = docs.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    assert!(pages.iter().map(|page| transcripts(page)).sum::<usize>() > 5);
}

#[test]
fn the_readme_begins_with_the_two_commands() {
    let readme = std::fs::read_to_string(root("README.md")).unwrap();
    let commands: Vec<&str> = readme.lines().filter(|line| line.starts_with("cargo ")).take(2).collect();
    assert_eq!(commands, ["cargo run --release -- compile models/llama-2-7b-hf.json --batch 1 --seq 2048", "cargo test"]);
}

/// Every complete model in the language reference compiles.
#[test]
fn examples_in_the_docs_compile() {
    let mut checked = 0;
    for path in ["docs/language.md", "README.md"] {
        let text = std::fs::read_to_string(root(path)).unwrap();
        for block in text.split("```json\n").skip(1) {
            let block = block.split("```").next().unwrap();
            if !block.trim_start().starts_with('{') || !block.contains("\"layers\"") {
                continue;
            }
            let outcome = evaluate(&SESSION, path, block, &Default::default());
            assert!(outcome.value.is_some(), "{:?}\n{block}", outcome.into_result().err());
            checked += 1;
        }
    }
    assert!(checked >= 1);
}
