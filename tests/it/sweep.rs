//! `layerspec sweep` through the real binary: which rows there are, in which order, that each is what `compile` says, and what is refused.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

pub fn layerspec(args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_layerspec"));
    command.args(args.split_whitespace()).current_dir(env!("CARGO_MANIFEST_DIR")).env("COLUMNS", "100");
    command
}

pub fn run(args: &str) -> Output {
    layerspec(args).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The rows of a sweep without errors, by the names of their columns.
fn rows(args: &str) -> Vec<BTreeMap<String, String>> {
    let output = run(&format!("sweep {args}"));
    assert_eq!(output.status.code(), Some(0), "{args}: {}", stderr(&output));
    read(&stdout(&output))
}

fn read(text: &str) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_reader(text.as_bytes()).into_deserialize().map(Result::unwrap).collect()
}

/// A column of a sweep.
fn column(args: &str, name: &str) -> Vec<String> {
    rows(args).into_iter().map(|row| row[name].clone()).collect()
}

/// What a command line does that is wrong: its exit code and what it says.
fn refused(args: &str) -> (i32, String) {
    let output = run(&format!("sweep {args}"));
    assert!(output.stdout.is_empty(), "{args}: {}", stdout(&output));
    (output.status.code().unwrap(), stderr(&output))
}

/// Hugging Face counts 6,738,415,616 parameters; a token of a sequence takes 32 layers x 2 x 32 heads x 128 channels x 2 bytes of cache in bf16.
#[test]
fn figures_are_the_known_ones() {
    let found = rows("llama-2-7b-hf --batch 1..3 --seq 512,1k..2k:*2 --quantity params,cache_bytes,matmul_flops");
    let points: Vec<[&str; 2]> = found.iter().map(|row| ["batch_size", "seq_len"].map(|name| &*row[name])).collect();
    let batches = ["1", "2", "3"].into_iter();
    assert_eq!(points, batches.flat_map(|batch| ["512", "1024", "2048"].map(|seq| [batch, seq])).collect::<Vec<_>>());
    for row in &found {
        let [batch, seq, cache]: [u64; 3] = ["batch_size", "seq_len", "cache_bytes"].map(|name| row[name].parse().unwrap());
        assert_eq!((&*row["params"], cache), ("6738415616", batch * seq * 524_288));
        assert_eq!(row.len(), 6, "no other columns");
    }
    // FlopCounterMode, batch 1, 2,048 tokens.
    assert_eq!(found[2]["matmul_flops"], "29261612187648");
}

/// Each row is what `compile` says at its point, quantity by quantity.
#[test]
fn rows_are_what_compile_says() {
    for args in [
        "llama-3.2-1b --batch 1,3 --seq 7,300 --past 0,40 --phase prefill,decode --kernel math,flash",
        "mixtral-8x7b-v0.1 --batch 2 --seq 64 --phase train --dtype bf16,fp32 --backend cpu,cuda",
        "gemma-3-270m --phase decode --seq 1,3 --after prompt,steps --kv-dtype int8,bf16 --attention dense,masked",
        "deepseek-v2-lite --phase decode,prefill,train --weight-dtype int4,bf16 --logits last,all",
        "whisper-small --seq 4,9 --phase decode --set num_mel_bins=80,128",
        "gpt2 --cache off,on --seq 5 --set n_layer=3,4 --set n_inner=100,null",
    ] {
        let all = rows(args);
        let train = args.contains("train");
        let peaks = if train { "peak_bytes,peak_activation_bytes,saved_bytes" } else { "peak_bytes,peak_activation_bytes" };
        let with_peaks = rows(&format!("{args} --quantity {peaks}"));
        assert!(all.len() >= 4 && all.len() == with_peaks.len(), "{args}");
        for (row, peaks) in all.iter().zip(&with_peaks) {
            let totals = compiled(args, row);
            for (name, figure) in row.iter().chain(peaks) {
                if let Some(expected) = totals.get(name) {
                    assert_eq!(*figure, expected.to_string(), "{args}: {name} at {row:?}");
                }
            }
            let known = row.keys().chain(peaks.keys()).filter(|name| totals.get(name).is_some()).count();
            assert!(known >= 19, "{known} at {row:?}");
            assert!(row.contains_key("bytes_moved") && !row.contains_key("saved_bytes"));
            assert_eq!(row.contains_key("backward_matmul_flops"), train);
        }
    }
}

/// The totals of a row's point, as `compile` has them.
fn compiled(args: &str, row: &BTreeMap<String, String>) -> Json {
    let mut command = layerspec(&format!("compile {} --format json --by class", args.split(' ').next().unwrap()));
    for (name, value) in row {
        let option = match &**name {
            "batch_size" | "seq_len" | "past_len" | "phase" | "dtype" | "weight_dtype" | "kv_dtype" | "attention" | "kernel"
            | "logits" | "cache" | "backend" | "after" => format!("--{}", name.replace('_', "-")),
            _ if args.contains(&format!("--set {name}=")) => {
                command.args(["--set", &format!("{name}={value}")]);
                continue;
            }
            _ => continue,
        };
        command.args([&option, value]);
    }
    let output = command.output().unwrap();
    let json: Json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{command:?}: {}", stderr(&output)));
    json["totals"].clone()
}

#[test]
fn loops_are_nested_as_the_help_says() {
    let found = rows(
        "llama-2-7b-hf --quantity params --past 0,1 --seq 2,1 --batch 1,2 --kernel math,eager --phase decode,prefill \
         --set num_hidden_layers=2,1 --set vocab_size=10,20",
    );
    let names = ["num_hidden_layers", "vocab_size", "phase", "kernel", "batch_size", "seq_len", "past_len"];
    let values = [["2", "1"], ["10", "20"], ["decode", "prefill"], ["math", "eager"], ["1", "2"], ["2", "1"], ["0", "1"]];
    assert_eq!(found.len(), 1 << names.len());
    for (at, row) in found.iter().enumerate() {
        for (place, (name, values)) in names.iter().zip(values).enumerate() {
            assert_eq!(row[*name], values[(at >> (names.len() - 1 - place)) & 1], "{name} of row {at}");
        }
    }
    let header = stdout(&run("sweep gpt2 --set n_layer=1 --dtype fp16 --batch 1 --quantity macs,params,layers"));
    assert!(header.starts_with("n_layer,dtype,batch_size,seq_len,past_len,macs,params,layers\n"), "{header}");
    // What isn't given takes its default, which in the decode phase is what the new tokens leave of a prompt.
    assert_eq!(column("llama-2-7b-hf --phase decode --seq 1,2,5 --quantity params", "past_len"), ["2047", "2046", "2043"]);
    assert_eq!(column("llama-2-7b-hf --phase decode,train --quantity params", "seq_len"), ["1", "2048"]);
}

/// One layer whose cost is read off its workload, which has variables of its own.
const OWN: &str = r#"{ "name": "own", "variables": { "params": 3, "width": 8 }, "workload": { "frames": 5, "mode": "a" },
  "classes": { "x.Sees": { "kind": "module", "doc": "d", "source": "s", "parameters": { "n": { "kind": "count", "doc": "n" } },
    "flops": { "matmul": "n * width", "vector": 0, "transcendental": 0 }, "parameters": { "n": { "kind": "count", "doc": "n" }, "width": { "kind": "count", "doc": "w" } } } },
  "layers": [ { "name": "a", "class": "x.Sees", "parameters": { "n": "<frames> * if(<mode> == 'a', 1, 100)", "width": "<width>" } } ] }"#;

fn own_model() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.json").display().to_string();
    let once = OWN.replacen(r#""parameters": { "n": { "kind": "count", "doc": "n" } },"#, "", 1);
    std::fs::write(&file, once).unwrap();
    (folder, file)
}

#[test]
fn a_models_own_variables_are_axes_of_the_workload() {
    let (_folder, file) = own_model();
    let all = rows(&format!("{file} --batch 1,2 --set width=2,3 --set mode=a,b --set frames=4..6:2 --quantity matmul_flops"));
    let cells = |row: &BTreeMap<String, String>| {
        ["width", "mode", "batch_size", "frames", "matmul_flops"].map(|name| row[name].clone()).join(" ")
    };
    let expected = [2, 3].into_iter().flat_map(|width| {
        let of_mode = move |(mode, factor)| {
            [1, 2].into_iter().flat_map(move |batch| {
                [4, 6].map(move |frames| format!("{width} {mode} {batch} {frames} {}", frames * factor * width))
            })
        };
        [("a", 1), ("b", 100)].into_iter().flat_map(of_mode)
    });
    assert_eq!(all.iter().map(cells).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    // A variable that is called as a quantity.
    let (code, said) = refused(&format!("{file} --set params=1,2"));
    assert!(code == 2 && said.contains("a variable and a quantity are called so"), "{said}");
    assert_eq!(column(&format!("{file} --set params=1,2 --quantity flops"), "params"), ["1", "2"]);
    // A model from standard input is read once, however many are made of it.
    let mut child = layerspec("sweep - --set width=1..50 --quantity matmul_flops")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::copy(&mut std::fs::File::open(&file).unwrap(), &mut child.stdin.take().unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    let flops: Vec<String> = read(&stdout(&output)).iter().map(|row| row["matmul_flops"].clone()).collect();
    assert_eq!(flops, (1..=50).map(|width| (width * 5).to_string()).collect::<Vec<_>>());
}

#[test]
fn every_format_has_the_same_rows() {
    let args = "llama-2-7b-hf --set hidden_size=4096,4097,8192 --dtype bf16,fp32 --seq 16..18 --quantity params,matmul_flops";
    let with = |format: &str| stdout(&run(&format!("sweep {args} --format {format}")));
    let of_csv = read(&with("csv"));
    let array: Vec<serde_json::Map<String, Json>> = serde_json::from_str(&with("json")).unwrap();
    let lines: Vec<serde_json::Map<String, Json>> =
        with("jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(array, lines);
    assert_eq!((of_csv.len(), array.len()), (18, 18));
    for (cells, object) in of_csv.iter().zip(&array) {
        assert_eq!(cells.len(), object.len());
        for (name, cell) in cells {
            let expected = match &object[name] {
                Json::Null => String::new(),
                Json::String(text) => text.clone(),
                number => number.to_string(),
            };
            assert_eq!(*cell, expected, "{name}");
        }
    }
    assert_eq!(array[6]["hidden_size"], 4097);
    assert_eq!((&array[6]["params"], &array[6]["batch_size"], &array[6]["seq_len"]), (&Json::Null, &Json::Null, &Json::from(16)));
    // Nothing is an empty list.
    let none = "gpt2 --batch 1,2 --quantity params --shard 3/3";
    assert_eq!(stdout(&run(&format!("sweep {none} --format json"))), "[\n]\n");
    assert_eq!(stdout(&run(&format!("sweep {none} --format jsonl"))), "");
    assert_eq!(stdout(&run(&format!("sweep {none}"))), "batch_size,seq_len,past_len,params\n");
}

/// A count beyond 2^64 is whole in every format; 10^14 sequences of 2,048 tokens have as many times the FLOPs of one.
#[test]
fn counts_beyond_64_bits_are_whole() {
    let flops = (29_261_612_187_648_u128 * 100_000_000_000_000).to_string();
    let args = "llama-2-7b-hf --batch 1,100000000000000 --seq 2048 --quantity matmul_flops";
    assert_eq!(column(args, "matmul_flops"), ["29261612187648", &flops]);
    let json = stdout(&run(&format!("sweep {args} --format jsonl")));
    assert!(json.lines().nth(1).unwrap().ends_with(&format!("\"matmul_flops\":{flops}}}")), "{json}");
}

#[cfg(feature = "parquet")]
mod of_parquet {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    use super::*;

    #[test]
    fn parquet_has_the_rows_of_csv() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.parquet");
        for (args, kinds) in [
            ("llama-2-7b-hf --set hidden_size=4096,4097 --kernel flash,math --batch 1..40 --seq 1..5", "BYTE_ARRAY INT64"),
            (
                "llama-2-7b-hf --batch 1,100000000000000 --phase train --quantity flops,params,backward_matmul_flops",
                "BYTE_ARRAY FIXED_LEN_BYTE_ARRAY INT64",
            ),
            ("gpt2 --set n_layer=2,3 --seq 1..3 --quantity params,peak_bytes", "INT64"),
        ] {
            let expected = stdout(&run(&format!("sweep {args}")));
            let written = run(&format!("sweep {args} --format parquet -o {}", file.display()));
            assert!(written.stdout.is_empty() && written.status.success(), "{}", stderr(&written));
            let reader = SerializedFileReader::new(std::fs::File::open(&file).unwrap()).unwrap();
            let schema = reader.metadata().file_metadata().schema_descr();
            let names: Vec<&str> = schema.columns().iter().map(|column| column.name()).collect();
            assert_eq!(names.join(","), expected.lines().next().unwrap());
            let mut found: Vec<String> = schema.columns().iter().map(|column| column.physical_type().to_string()).collect();
            found.sort_unstable();
            found.dedup();
            assert_eq!(found.join(" "), kinds, "{args}");
            let cell = |field: &Field| match field {
                Field::Null => String::new(),
                Field::Str(text) => text.clone(),
                // A decimal without places is shown with its point.
                field => field.to_string().trim_end_matches('.').to_owned(),
            };
            let mut lines = expected.lines().skip(1);
            for row in reader.get_row_iter(None).unwrap() {
                let found: Vec<String> = row.unwrap().get_column_iter().map(|(_, field)| cell(field)).collect();
                assert_eq!(Some(&*found.join(",")), lines.next(), "{args}");
            }
            assert_eq!(lines.next(), None);
        }
    }

    /// Parts are read together, so their columns are alike whatever figures they have.
    #[test]
    fn shards_have_the_same_columns() {
        let folder = tempfile::tempdir().unwrap();
        let schemas: Vec<String> = [1, 2]
            .into_iter()
            .map(|index| {
                let file = folder.path().join("part.parquet");
                let args = "llama-2-7b-hf --batch 1,100000000000000 --quantity flops,params";
                assert!(run(&format!("sweep {args} --shard {index}/2 --format parquet -o {}", file.display())).status.success());
                let reader = SerializedFileReader::new(std::fs::File::open(&file).unwrap()).unwrap();
                assert_eq!(reader.metadata().file_metadata().num_rows(), 1);
                format!("{:?}", reader.metadata().file_metadata().schema())
            })
            .collect();
        assert_eq!(schemas[0], schemas[1]);
    }
}

#[test]
fn shards_are_the_whole_in_parts() {
    let args = "llama-2-7b-hf --set num_hidden_layers=1..3 --kernel flash,math --batch 1..7 --seq 5,6 --quantity matmul_flops";
    let whole = stdout(&run(&format!("sweep {args}")));
    let head = whole.lines().next().unwrap();
    for of in [1, 2, 5, 84, 100] {
        let mut all = vec![head.to_owned()];
        let mut sizes = Vec::new();
        for index in 1..=of {
            let part = stdout(&run(&format!("sweep {args} --shard {index}/{of}")));
            let mut lines = part.lines();
            assert_eq!(lines.next(), Some(head));
            let rows: Vec<String> = lines.map(str::to_owned).collect();
            sizes.push(rows.len());
            all.extend(rows);
        }
        assert_eq!(all, whole.lines().collect::<Vec<_>>(), "{of} parts");
        assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
    }
    // A part of what nobody could write whole.
    let part = "llama-2-7b-hf --batch 1..18446744073709551615 --quantity params --shard 3/18446744073709551615";
    assert_eq!(column(part, "batch_size"), ["3"]);
    for shard in ["0/3", "4/3", "1", "x/y", "-1/2", "1/0"] {
        let (code, said) = refused(&format!("gpt2 --shard={shard}"));
        assert!(code == 2 && said.contains("--shard <I/N>"), "{said}");
    }
}

/// Blocks are made on all cores, and written in order: more rows than several blocks have.
#[test]
fn many_rows_keep_their_order() {
    let found = rows("docs/examples/block.json --batch 1..300 --seq 1..50 --quantity params,activation_bytes");
    assert_eq!(found.len(), 15_000);
    for (at, row) in found.iter().enumerate() {
        assert_eq!([&*row["batch_size"], &*row["seq_len"]], [(at / 50 + 1).to_string(), (at % 50 + 1).to_string()]);
        // 81,254,400 as its page in README says.
        assert_eq!(row["params"], "81254400");
    }
}

#[test]
fn points_at_which_the_model_is_invalid_dont_end_it() {
    let output = run("sweep llama-2-7b-hf --set hidden_size=4095..4097 --seq 8,9 --quantity params,layers");
    assert_eq!(output.status.code(), Some(0));
    let found: Vec<[String; 2]> =
        read(&stdout(&output)).iter().map(|row| ["hidden_size", "params"].map(|name| row[name].clone())).collect();
    let cells = |size: &str, params: &str| [[size, params].map(str::to_owned), [size, params].map(str::to_owned)];
    assert_eq!(found, [cells("4095", ""), cells("4096", "6738415616"), cells("4097", "")].concat());
    let said = stderr(&output);
    assert!(said.contains("warning[W0809]: 4 of 6 points have no figures"), "{said}");
    assert!(said.contains("hidden_size 4095, seq_len 8") && said.contains("4095 / 32 = 127.96"), "{said}");
    // Without any figure there is no result.
    let output = run("sweep llama-2-7b-hf --set hidden_size=4095,4097 --quantity params");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("error[E0402]") && stderr(&output).contains("no point has figures"), "{}", stderr(&output));
    // What only the data flow sees is seen without peaks, too: in training nothing is cached.
    for quantity in ["params", "params,peak_bytes"] {
        let found = column(&format!("llama-2-7b-hf --phase train --past 0..2 --seq 8 --quantity {quantity}"), "params");
        assert_eq!(found, ["6738415616", "", ""], "{quantity}");
    }
    // Beyond 128 bits there is no figure.
    let seq = "llama-2-7b-hf --seq 8,18446744073709551615 --batch 18446744073709551615 --quantity flops,params";
    assert_eq!(column(seq, "flops")[1], "");
    assert_ne!(column(seq, "flops")[0], "");
    // A model that is wrong is no point's fault.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.json");
    std::fs::write(&file, r#"{ "layers": [ { "name": "a", "class": "Linaer" } ] }"#).unwrap();
    let (code, said) = refused(&format!("{} --batch 1,2", file.display()));
    assert!(code == 1 && said.contains("unknown class `Linaer`"), "{said}");
    // One that states what isn't so is refused as elsewhere.
    let text = OWN.replacen(r#""parameters": { "n": { "kind": "count", "doc": "n" } },"#, "", 1);
    std::fs::write(&file, text.replacen("\"layers\"", "\"expect\": { \"params\": 1 }, \"layers\"", 1)).unwrap();
    let (code, said) = refused(&format!("{} --batch 1,2", file.display()));
    assert!(code == 3 && said.contains("expected 1 params, found 0"), "{said}");
}

/// Shapes that don't fit are a point's own: others of the grid have their figures, those that `compile` refuses have none.
#[test]
fn shapes_are_looked_at_point_by_point() {
    let text = r#"{ "workload": { "n": 4, "m": 4 },
        "inputs": { "a": { "shape": ["<batch_size>", "<n>", 8] }, "b": { "shape": ["<batch_size>", "<m>", 8] } },
        "layers": [ { "name": "s", "class": "add", "inputs": ["a", "b"], "parameters": { "features": 8, "tokens": "<batch_size> * <n>" } } ] }"#;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edge.json").display().to_string();
    std::fs::write(&file, text).unwrap();
    let output = run(&format!("sweep {file} --set n=4,5 --set m=4,5 --quantity vector_flops"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let found: Vec<String> = read(&stdout(&output)).into_iter().map(|row| row["vector_flops"].clone()).collect();
    assert_eq!(found, ["32", "", "", "40"]);
    assert!(stderr(&output).contains("2 of 4 points have no figures"), "{}", stderr(&output));
    // Of a grid that is too large for that, it is said.
    let large = run(&format!("sweep {file} --batch 1..2000 --set n=4,5 --set m=5,4 --quantity vector_flops"));
    assert!(stderr(&large).contains("only the last was looked at"), "{}", stderr(&large));
    assert_eq!(read(&stdout(&large)).len(), 8000);
}

#[test]
fn more_rows_than_wanted_are_counted_and_not_begun() {
    for (args, rows) in [
        ("--batch 1..18446744073709551615", "has 18,446,744,073,709,551,615 rows, more than 10,000,000"),
        ("--batch 1..1000000 --seq 1..1000000 --set num_hidden_layers=1..4", "has 4,000,000,000,000 rows"),
        ("--seq 1..18446744073709551615 --batch 1..18446744073709551615 --past 0..18446744073709551615", "more than 2^128"),
        ("--batch 1..4 --max-rows 3", "has 4 rows, more than 3"),
        ("--batch 1..7 --max-rows 3 --shard 1/2", "has 4 rows, more than 3"),
    ] {
        let (code, said) = refused(&format!("gpt2 {args}"));
        assert!(code == 1 && said.contains("error[E0604]") && said.contains(rows), "{said}");
    }
    assert_eq!(rows("gpt2 --batch 1..7 --max-rows 3 --shard 2/2 --quantity params").len(), 3);
}

#[test]
fn what_makes_no_sense_is_explained() {
    for (args, why) in [
        ("--batch 5..2", "`5..2` is empty: a range goes up, `2..5`"),
        ("--batch 1..8:0", "with a step of 0 it never ends"),
        ("--batch 1..8:*1", "a factor is a whole number from 2 on"),
        ("--batch 1..8:*1.5", "a factor is a whole number from 2 on"),
        ("--batch 1..", "a range has both ends"),
        ("--batch ..", "a range has both ends"),
        ("--batch 0..4", "0 is not in 1.."),
        ("--seq 1,0", "0 is not in 1.."),
        ("--batch=-1..4", "invalid digit"),
        ("--seq １..４", "invalid digit"),
        ("--seq 1,,2", "nothing stands between two commas"),
        ("--seq 99999999999999999m", "number too large"),
        ("--seq 18446744073709551616", "number too large"),
        ("--past x", "invalid digit"),
        ("--batch 1 --batch 2", "cannot be used multiple times"),
        ("--phase train --phase decode", "cannot be used multiple times"),
        ("--phase training", "[possible values: prefill, decode, train]"),
        ("--batch 1 --set batch_size=2", "`batch_size` is given twice"),
        ("--set n_layer=1 --set num_hidden_layers=2", "is given twice"),
        ("--set batch_size=0..2", "0 is not in 1.."),
        ("--set seq_len=a,b", "expected whole numbers"),
        ("--set kv_len=1,2", "it is always `past_len + seq_len`"),
        ("--set training=true", "use `--phase train`"),
        ("--set n_layer=1..", "a range has both ends"),
        ("--set n_layer", "expected NAME=VALUE,..."),
        ("--dtype bf16,bf17", "did you mean `bf16`?"),
        ("--weight-dtype int8 --weight-dtype int4", "`int8` is given already"),
        ("--weight-dtype *.mlp.*=int9", "unknown dtype"),
        ("--quantity parms", "did you mean `params`?"),
        ("--quantity params,params", "it is given twice"),
        ("--quantity saved_bytes", "`--phase train` has it"),
        ("--format xml", "[possible values: csv, json, jsonl, parquet]"),
    ] {
        let (code, said) = refused(&format!("gpt2 {args}"));
        assert!(code == 2 && said.contains(why), "{args}: {said}");
    }
    let (code, said) = refused("gpt2 --set n_layr=1,2");
    assert!(code == 1 && said.contains("error[E0703]") && said.contains("did you mean `n_layer`?"), "{said}");
    assert_eq!(refused("no-such-model").0, 1);
}

/// What has no effect is said once, not at every point; the largest point is looked at.
#[test]
fn remarks_are_made_once() {
    let said = stderr(&run("sweep resnet-50 --seq 1,2 --batch 1..9 --quantity params"));
    assert_eq!(said.matches("W0806").count(), 1, "{said}");
    let said = stderr(&run("sweep llama-2-7b-hf --seq 512..8192:*2 --quantity params"));
    assert!(said.contains("W0801") && said.contains("8192 tokens"), "{said}");
    let said = stderr(&run("sweep llama-2-7b-hf --set num_hidden_layers=1,2 --seq 512 --quantity params"));
    assert!(said.is_empty(), "{said}");
}

#[test]
fn output_is_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.csv");
    let args = format!("sweep gpt2 --batch 1..9 --quantity params -o {}", file.display());
    let output = run(&args);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 10);
    let output = run("sweep gpt2 -o /no/such/folder/rows.csv");
    assert!(output.status.code() == Some(1) && stderr(&output).contains("cannot write"), "{}", stderr(&output));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

/// Who reads the first rows and goes away has seen enough: the rest isn't computed, and nothing is said.
#[test]
fn a_closed_pipe_ends_it() {
    let mut child = layerspec("sweep gpt2 --batch 1..10000000 --quantity params,matmul_flops")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "batch_size,seq_len,past_len,params,matmul_flops");
    assert!(lines.next().unwrap().unwrap().starts_with("1,1024,0,124439808,"));
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
}

/// Its totals are of the rest, and a row by itself says so; so does a solution.
#[test]
fn what_a_partial_model_lacks_stands_in_each_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.json");
    let odd = r#"{ "name": "odd", "class": "MySecretLayer" },"#;
    let text = r#"{ "variables": { "width": 8 }, "layers": [ ODD
        { "name": "c", "class": "Linear", "parameters": { "in_features": 4, "out_features": "<width>", "bias": false } } ] }"#;
    std::fs::write(&path, text.replace("ODD", odd)).unwrap();
    let path = path.to_str().unwrap();
    let args = format!("{path} --partial --set width=2,3 --quantity params");
    let marked: Vec<(String, String)> = rows(&args).iter().map(|row| (row["partial"].clone(), row["params"].clone())).collect();
    let [(first, eight), (second, twelve)] = &marked[..] else { panic!("{marked:?}") };
    assert!(first.contains("MySecretLayer") && first == second, "{marked:?}");
    assert_eq!((eight.as_str(), twelve.as_str()), ("8", "12"));
    let lines = stdout(&run(&format!("sweep {args} --format jsonl")));
    assert!(lines.lines().all(|line| serde_json::from_str::<Json>(line).unwrap()["partial"].is_string()), "{lines}");

    let solved = stdout(&run(&format!("solve {path} --partial --for width --params 12 --format json")));
    assert!(serde_json::from_str::<Json>(&solved).unwrap()["partial"][0].as_str().unwrap().contains("MySecretLayer"), "{solved}");
    assert!(stdout(&run(&format!("solve {path} --partial --for width --params 12"))).contains("partial: without"));

    // A whole one lacks nothing, and nobody asks for a column.
    std::fs::write(path, text.replace("ODD", "")).unwrap();
    assert!(rows(&args).iter().all(|row| row["partial"].is_empty()));
    assert!(rows(&args.replace("--partial ", "")).iter().all(|row| !row.contains_key("partial")));
}
