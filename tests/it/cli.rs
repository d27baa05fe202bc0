//! The command line through the real binary: exit codes, streams, files, pipes.

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

fn layerspec(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_layerspec"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("NO_COLOR").env("COLUMNS", "100");
    command
}

fn run(args: &[&str]) -> Output {
    layerspec(args).output().unwrap()
}

fn run_with_stdin(args: &[&str], input: &str) -> Output {
    let mut child = layerspec(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const TINY: &str = r#"{ "name": "tiny", "variables": { "h": 8 },
  "layers": [ { "name": "up", "class": "torch.nn.Linear", "parameters": { "in_features": "<h>", "out_features": "4 * <h>" } } ] }"#;

#[test]
fn compile_prints_a_plain_table_when_piped() {
    let output = run(&["compile", "models/llama-2-7b-hf.json", "--batch", "1", "--seq", "2048"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("6,738,415,616") && text.contains("29,261,612,187,648"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour in a pipe");
    assert!(stderr(&output).is_empty());
    assert!(text.lines().all(|line| line.chars().count() <= 100), "fits into the width");
}

#[test]
fn tables_fit_eighty_columns_and_use_more() {
    for model in ["llama-2-7b-hf", "distilgpt2", "llama-3.2-1b", "gemma-3-270m", "phi-4-mini-instruct", "qwen3-0.6b"] {
        let widest = |columns: &str| {
            let output = layerspec(&["compile", model]).env("COLUMNS", columns).output().unwrap();
            stdout(&output).lines().map(|line| line.chars().count()).max().unwrap()
        };
        assert!(widest("80") <= 80, "{model}");
        assert!(widest("160") > 100, "{model}: more columns where there is room");
    }
}

#[test]
fn colour_on_request_only() {
    let colored = |args: &[&str], no_color: Option<&str>| {
        let mut command = layerspec(args);
        no_color.map(|value| command.env("NO_COLOR", value));
        let output = command.output().unwrap();
        (stdout(&output).contains('\u{1b}'), stderr(&output).contains('\u{1b}'))
    };
    assert_eq!(colored(&["compile", "distilgpt2", "--color", "always"], None), (true, false));
    assert_eq!(colored(&["compile", "distilgpt2", "--color", "never"], None), (false, false));
    assert_eq!(colored(&["compile", "nothing.json", "--color", "always"], None), (false, true));
}

#[test]
fn models_come_from_files_names_and_standard_input() {
    let by_name = run(&["compile", "distilgpt2", "--format", "json"]);
    let by_hub_name = run(&["compile", "distilbert/distilgpt2", "--format", "json"]);
    let by_path = run(&["compile", "models/distilgpt2.json", "--format", "json"]);
    assert_eq!(by_name.stdout, by_path.stdout);
    assert_eq!(by_name.stdout, by_hub_name.stdout);
    let piped = run_with_stdin(&["compile", "-", "--format", "csv"], TINY);
    assert_eq!(piped.status.code(), Some(0), "{}", stderr(&piped));
    assert!(stdout(&piped).contains("up,torch.nn.Linear,module,1,288,"), "{}", stdout(&piped));
    // Who asks several things of a model reads it once.
    for args in [&["memory", "-", "--vary", "batch=1,2"][..], &["compare", "-", "--runtime", "eager,vllm"]] {
        let piped = run_with_stdin(args, TINY);
        assert_eq!(piped.status.code(), Some(0), "{args:?}: {}", stderr(&piped));
    }
}

#[test]
fn json_is_the_public_format() {
    let output = run(&["compile", "llama-2-7b-hf", "--batch", "1", "--seq", "2048", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["format"], "layerspec.compile/1");
    assert_eq!(json["model"]["name"], "meta-llama/Llama-2-7b-hf");
    let layers = json["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 551);
    assert_eq!(layers.iter().filter(|layer| layer["kind"] == "module").count(), 324);
    assert_eq!(json["totals"]["layers"], 551);
    assert_eq!(json["totals"]["modules"], 324);
    assert_eq!(json["totals"]["params"], 6_738_415_616_u64);
    assert_eq!(json["totals"]["matmul_flops"], 29_261_612_187_648_u64);
    assert_eq!(json["totals"]["macs"], 29_261_612_187_648_u64 / 2);
    for quantity in ["params", "matmul_flops", "vector_flops", "weights_read", "activation_bytes", "cache_bytes"] {
        let sum: u64 = layers.iter().map(|layer| layer[quantity].as_u64().unwrap()).sum();
        assert_eq!(json["totals"][quantity], sum, "{quantity}: the total is the fold of the rows");
    }
    assert!(layers[0].get("backward_matmul_flops").is_none(), "backward quantities in the train phase only");
    let train = run(&["compile", "llama-2-7b-hf", "--phase", "train", "--seq", "512", "--kernel", "math", "--format", "json"]);
    let train: serde_json::Value = serde_json::from_slice(&train.stdout).unwrap();
    let total = train["totals"]["matmul_flops"].as_u64().unwrap() + train["totals"]["backward_matmul_flops"].as_u64().unwrap();
    assert_eq!(total, 20_709_258_559_488);
}

#[test]
fn every_format_has_the_same_rows() {
    let rows = |format: &str| {
        let output = run(&["compile", "qwen3-0.6b", "--format", format]);
        stdout(&output)
    };
    assert_eq!(rows("jsonl").lines().count(), 595);
    assert_eq!(rows("csv").lines().count(), 596);
    let mut reader = csv::Reader::from_reader(std::io::Cursor::new(rows("csv")));
    let params: u64 = reader.records().map(|record| record.unwrap()[4].parse::<u64>().unwrap()).sum();
    assert_eq!(params, 596_049_920);
    let by_class = run(&["compile", "qwen3-0.6b", "--format", "csv", "--by", "class"]);
    let mut reader = csv::Reader::from_reader(&by_class.stdout[..]);
    let params: u64 = reader.records().map(|record| record.unwrap()[2].parse::<u64>().unwrap()).sum();
    assert_eq!(params, 596_049_920);
    assert!(rows("markdown").contains("| layer | class |"));
}

#[test]
fn exit_codes() {
    assert_eq!(run(&["compile", "distilgpt2"]).status.code(), Some(0));
    assert_eq!(run_with_stdin(&["compile", "-"], "{").status.code(), Some(1));
    assert_eq!(run(&["compile", "no-such-model"]).status.code(), Some(1));
    assert_eq!(run(&["compile"]).status.code(), Some(2));
    assert_eq!(run(&["compile", "distilgpt2", "--phase", "sideways"]).status.code(), Some(2));
    assert_eq!(run(&["compile", "distilgpt2", "--dtype", "fp17"]).status.code(), Some(2));
    assert_eq!(run(&["compile", "distilgpt2", "--batch", "0"]).status.code(), Some(2));
    let unexpected = TINY.replacen("\"layers\"", "\"expect\": { \"params\": 1 }, \"layers\"", 1);
    let output = run_with_stdin(&["compile", "-"], &unexpected);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("expected 1 params, found 288 (+287)"), "{}", stderr(&output));
    assert!(stdout(&output).is_empty());
}

#[test]
fn the_command_line_explains_its_own_errors() {
    for (args, code) in [
        (&["compile", "no-such-model"][..], "E0702"),
        (&["compile", "no/such/file.json"], "E0701"),
        (&["compile", "distilgpt2", "--set", "n_layers=3"], "E0703"),
        (&["compile", "distilgpt2", "--set", "seq_len=0"], "E0705"),
        (&["compile", "distilgpt2", "--max-rows", "10", "--format", "json"], "E0604"),
        (&["explain", "nothing-of-that-name"], "E0706"),
        (&["compile", "distilgpt2", "--seq", "2048"], "W0801"),
        (&["compile", "distilgpt2", "--set", "num_hidden_layers=3"], "W0802"),
        (&["compile", "resnet-50", "--seq", "8"], "W0806"),
        (&["sweep", "gpt2", "--set", "n_embd=768,769", "--quantity", "params"], "W0809"),
    ] {
        let output = run(args);
        assert!(stderr(&output).contains(code), "{args:?}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(i32::from(code.starts_with('E'))), "{args:?}");
    }
    let text = TINY.replace(r#""up","#, r#""up", "calls": "floor(float_product(<seq_len>, 0.29))","#);
    let (unformed, code) = (run_with_stdin(&["formula", "-"], &text), "E0407");
    assert!(stderr(&unformed).contains(code), "{}", stderr(&unformed));
    let near = run(&["compile", "distilgpt2", "--dtype", "bf17"]);
    assert!(stderr(&near).contains("did you mean `bf16`?"), "{}", stderr(&near));
}

/// No command takes a device yet, so the lookup is asked what such a command will say.
#[test]
fn an_unknown_device_is_explained() {
    let catalog = crate::support::SESSION.catalog();
    for (name, help) in [
        ("h100-sxn", "did you mean `h100-sxm`?"),
        ("H100", "there are several of that name: `h100-nvl`, `h100-pcie`, `h100-sxm`"),
        ("abacus", "`layerspec list hardware` shows the devices"),
    ] {
        assert!(catalog.device(name).is_none());
        let diagnostic = catalog.unknown_device(name);
        assert_eq!(diagnostic.code.id(), "E0707");
        assert_eq!(diagnostic.message, format!("unknown device `{name}`"));
        assert_eq!(diagnostic.help.first().map(String::as_str), Some(help));
    }
    let several = run(&["explain", "h100"]);
    assert!(stderr(&several).contains("`h100-nvl`, `h100-pcie`, `h100-sxm`"), "{}", stderr(&several));
    let near = run(&["explain", "h100-sxn"]);
    assert!(stderr(&near).contains("did you mean `h100-sxm`?"), "{}", stderr(&near));
}

/// What people type first.
#[test]
fn a_model_alone_is_summarised_and_a_folder_is_its_config() {
    assert_eq!(stdout(&run(&["gpt2"])), stdout(&run(&["summary", "gpt2"])));
    assert_eq!(stdout(&run(&["--color", "never", "gpt2"])), stdout(&run(&["summary", "gpt2"])));
    assert!(stderr(&run(&["complie", "gpt2"])).contains("unrecognized subcommand 'complie'"));
    for unknown in ["llama-9b", "https://huggingface.co/a/b/blob/main/config.json"] {
        assert!(stderr(&run(&[unknown])).contains("is neither a file nor an embedded model"), "{unknown}");
    }
    let config = std::fs::read_to_string("docs/examples/config.json").unwrap();
    assert!(stdout(&run_with_stdin(&["-"], &config)).contains("Qwen3ForCausalLM"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Mine-8B");
    std::fs::create_dir(&path).unwrap();
    let none = run(&["compile", path.to_str().unwrap()]);
    assert!(none.status.code() == Some(1) && stderr(&none).contains("a folder without a `config.json`"), "{}", stderr(&none));
    std::fs::copy("docs/examples/config.json", path.join("config.json")).unwrap();
    std::fs::copy("docs/examples/config.json", path.join("small.json")).unwrap();
    // A config has no name: it has its folder's, or its file's.
    for (asked, name) in [(path.clone(), "Mine-8B:"), (path.join("config.json"), "Mine-8B:"), (path.join("small.json"), "small:")]
    {
        let output = run(&["compile", asked.to_str().unwrap(), "--seq", "2k"]);
        assert!(stdout(&output).starts_with(name), "{}", stdout(&output));
        assert!(stdout(&output).contains("2,048 tokens"));
    }
    for (length, why) in [("32kk", "invalid digit"), ("0", "0 is not in 1.."), ("99999999999999999m", "number too large")] {
        let output = run(&["compile", "gpt2", "--seq", length]);
        assert!(output.status.code() == Some(2) && stderr(&output).contains(why), "{}", stderr(&output));
    }
}

#[test]
fn tables_are_sorted_and_cut_as_asked() {
    let first = |args: &[&str]| {
        let table = stdout(&run(&[&["compile", "llama-3.1-8b"], args].concat()));
        table.lines().skip(2).take(3).map(str::to_owned).collect::<Vec<_>>()
    };
    let by_params = first(&["--sort", "params", "--top", "1"]);
    assert!(by_params[1].starts_with("model.layers.[0-31].mlp.gate_proj"), "{by_params:?}");
    assert!(by_params[2].starts_with("total"), "{by_params:?}");
    let at_peak = first(&["--sort", "peak", "--columns", "peak,share,class"]);
    assert_eq!(at_peak[0].split_whitespace().collect::<Vec<_>>(), ["layer", "at", "peak", "of", "peak", "class"]);
    assert!(at_peak[1].starts_with("lm_head"), "{at_peak:?}");
    assert!(first(&["--top", "2", "--by", "class"])[1].starts_with("torch.nn.modules.linear.Linear"));
    let json = run(&["compile", "gpt2", "--top", "2", "--format", "csv"]);
    assert!(json.status.code() == Some(2) && stderr(&json).contains("are of tables"), "{}", stderr(&json));
}

/// The answer stands first: whether it fits, and with how much room.
#[test]
fn memory_answers_in_its_second_line() {
    let second = |args: &[&str]| stdout(&run(&[&["memory", "llama-3.1-8b"], args].concat())).lines().nth(1).unwrap().to_owned();
    assert_eq!(second(&[]), "takes 16.87 GB");
    assert_eq!(second(&["--seq", "8k", "--device", "24GB"]), "fits on 24GB: 19.30 GB of 24.00 GB, room for 1 sequence");
    assert!(
        second(&["--device", "16 GB@300GB/s", "--quant", "int8", "--num-devices", "2"]).starts_with("fits on 2 x 16GB@300GB/s: ")
    );
    assert!(
        second(&["--device", "8GB"]).starts_with("doesn't fit on 8GB: 16.87 GB are needed, 7.200 GB of 8.000 GB may be used")
    );
}

/// Errors whose places are all in the catalog point at what the user wrote, too; and one mistake is one error.
#[test]
fn errors_in_the_catalog_point_at_the_users_file() {
    let of_family = run_with_stdin(&["check", "-"], r#"{ "family": "llama", "variables": { "hidden_act": "nope" } }"#);
    let said = stderr(&of_family);
    assert!(said.contains("--> <stdin>:1:13") || said.contains("::: <stdin>:1:13"), "{said}");
    let unknown = r#"{ "layers": [ { "name": "g", "class": "GELU", "parameters": { "features": 4, "approximates": "tanh", "zot": [1] } } ] }"#;
    let said = stderr(&run_with_stdin(&["check", "-"], unknown));
    assert_eq!(said.matches("error[").count(), 2, "{said}");
    let output = stdout(&run(&["list", "dtypes", "--format", "json"]));
    assert!(stderr(&run_with_stdin(&["check", "-"], &output)).contains("an output of `layerspec`, not a model"));
    for (device, name) in
        [("GeForce RTX 4090", "rtx-4090"), ("NVIDIA L4", "l4"), ("Apple M2 Ultra", "m2-ultra"), ("tpu v3-8", "tpu-v3-8")]
    {
        assert!(stdout(&run(&["explain", device])).starts_with(name), "{device}");
    }
    // Figures are whole however narrow.
    let narrow = layerspec(&["compare", "gpt2", "qwen3-0.6b", "llama-2-7b-hf"]).env("COLUMNS", "60").output().unwrap();
    assert!(stdout(&narrow).contains("6,738,415,616"), "{}", stdout(&narrow));
}

#[test]
fn examples_of_a_models_own_classes_are_checked() {
    let model = |flops: u32| {
        format!(
            r#"{{ "classes": {{ "Mine": {{ "kind": "module", "doc": "d", "source": "s", "parameters": {{ "n": {{ "kind": "count", "doc": "x" }} }},
            "inputs": {{ "input": ["...", "n"] }}, "output": ["...", "n"], "flops": {{ "matmul": "2 * n", "vector": 0, "transcendental": 0 }},
            "examples": [ {{ "parameters": {{ "n": 4 }}, "expect": {{ "matmul_flops": {flops} }}, "source": "by hand" }} ] }} }},
            "layers": [ {{ "name": "a", "class": "Mine", "parameters": {{ "n": 4 }} }} ] }}"#
        )
    };
    assert_eq!(run_with_stdin(&["check", "-"], &model(8)).status.code(), Some(0));
    let wrong = run_with_stdin(&["check", "-"], &model(9));
    assert_eq!(wrong.status.code(), Some(3));
    assert!(stderr(&wrong).contains("example 0 of `Mine`: matmul_flops is 8, expected 9"), "{}", stderr(&wrong));
    let bracketed = run_with_stdin(&["check", "-"], &model(8).replace("2 * n", "2 * <n>"));
    assert!(stderr(&bracketed).contains("names are bare in a class's formulas: `n`"), "{}", stderr(&bracketed));
    let in_block = run_with_stdin(&["check", "-"], r#"{ "layers": [ { "name": "a", "use": "blocks/gqa_attention" } ] }"#);
    assert!(
        stderr(&in_block).contains("^^^^^^ not in scope") && stderr(&in_block).contains("---- used here"),
        "{}",
        stderr(&in_block)
    );
}

/// An inner config is read with its file: a value that came later would stand beside figures that aren't its.
#[test]
fn an_inner_config_is_not_set() {
    for setting in ["text_config={\"num_hidden_layers\":2}", "vision_config=3"] {
        let output = run(&["compile", "gemma-3-4b-it", "--set", setting]);
        let said = stderr(&output);
        assert!(output.status.code() == Some(1) && said.contains("E0703") && said.contains("a config of its own"), "{said}");
    }
}

/// What the catalog wrote and this file gave a wrong shape, a wrong tie or a wrong parameter: the place to mend is the `use`.
#[test]
fn an_error_in_a_block_of_the_catalog_points_at_its_use() {
    let variables = r#""hidden_size": 64, "intermediate_size": 128, "hidden_act": "silu", "vocab_size": 96, "tie_word_embeddings": true, "embedding": "nowhere""#;
    let first = r#"{ "name": "fc", "class": "torch.nn.Linear", "parameters": { "in_features": 64, "out_features": 32 } }"#;
    let uses = [
        ("E0606", r#"{ "name": "mlp", "use": "blocks/glu_mlp" }"#),
        // Without a name its layers are put among those around it.
        ("E0606", r#"{ "name": "m", "sub_layers": [{ "use": "blocks/glu_mlp" }] }"#),
        ("E0606", r#"{ "name": "m", "repeat": 3, "sub_layers": [{ "name": "n", "use": "blocks/glu_mlp" }] }"#),
        ("E0507", r#"{ "use": "blocks/lm_head" }"#),
    ];
    for (code, used) in uses {
        let model = format!(r#"{{ "variables": {{ {variables} }}, "layers": [ {first}, {used} ] }}"#);
        let said = stderr(&run_with_stdin(&["compile", "-"], &model));
        assert!(said.contains(code) && said.contains("---- used here"), "{used}: {said}");
    }
}

#[test]
fn counts_of_others_are_shown_beside_our_own() {
    let output = run(&["reconcile", "llama-2-7b-hf", "--seq", "2048", "--conventions", "torch,fvcore"]);
    let text = stdout(&output);
    for line in [
        "  attention                        2,199,023,255,552                    0   -2,199,023,255,552",
        "  total                           29,261,612,187,648   13,531,294,466,048  -15,730,317,721,600",
    ] {
        assert!(text.contains(line), "{text}");
    }
    // Where there is no room beside each other, they stand one below another, and figures stay whole.
    let narrow = layerspec(&["reconcile", "llama-2-7b-hf", "--seq", "2048"]).env("COLUMNS", "60").output().unwrap();
    let narrow = stdout(&narrow);
    assert!(narrow.lines().skip(1).all(|line| line.chars().count() <= 60), "{narrow}");
    assert!(narrow.contains("29,261,612,187,648") && narrow.contains("-15,730,317,721,600"), "{narrow}");

    let json = stdout(&run(&[
        "compile",
        "llama-2-7b-hf",
        "--seq",
        "2048",
        "--phase",
        "train",
        "--convention",
        "palm",
        "--format",
        "json",
    ]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["convention"]["name"], "palm");
    let sum = |key: &str| json["layers"].as_array().unwrap().iter().map(|layer| layer[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("convention_flops"), json["totals"]["convention_flops"].as_u64().unwrap());
    assert_eq!(sum("backward_convention_flops"), 2 * sum("convention_flops"));
    let csv = stdout(&run(&["compile", "gpt2", "--convention", "deepspeed", "--format", "csv", "--by", "class"]));
    assert!(
        csv.starts_with("class,layers,") && csv.lines().next().unwrap().ends_with(",arithmetic_intensity,convention_flops"),
        "{csv}"
    );
    let table = stdout(&run(&["compile", "llama-2-7b-hf", "--seq", "2048", "--convention", "fvcore"]));
    assert!(table.contains("FLOPs     13,531,294,466,048: ") && !table.contains("vector"), "{table}");

    let (code, unknown) = ("E0712", run(&["compile", "gpt2", "--convention", "fvcor", "--message-format", "json"]));
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains(code) && stderr(&unknown).contains("did you mean `fvcore`?"), "{}", stderr(&unknown));
    let masked = run(&["reconcile", "gpt2", "--attention", "masked"]);
    assert!(masked.status.code() == Some(1) && stderr(&masked).contains("leave `--attention masked` out"), "{}", stderr(&masked));
    assert!(stdout(&run(&["explain", "FlopCounterMode"])).starts_with("torch (convention)"));
    assert_eq!(stdout(&run(&["list", "conventions"])).lines().filter(|line| line.starts_with("megatron")).count(), 2);
}

#[test]
fn devices_are_listed_and_explained() {
    let list = run(&["list", "hardware"]);
    assert_eq!(list.status.code(), Some(0), "{}", stderr(&list));
    let text = stdout(&list);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "fits into the width");
    let line = |name: &str| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("h100-sxm"), "h100-sxm 85.90 GB 3.350 TB/s 989.4 TFLOP/s unverified");
    assert_eq!(line("trainium2"), "trainium2 103.1 GB 2.900 TB/s 667.0 TFLOP/s");
    assert_eq!(line("v100-sxm-32gb"), "v100-sxm-32gb 34.36 GB 900.0 GB/s unverified");
    let explained = run(&["explain", "h100-sxm"]);
    assert_eq!(explained.status.code(), Some(0), "{}", stderr(&explained));
    insta::assert_snapshot!("explain-h100-sxm", stdout(&explained));
    assert_eq!(stdout(&run(&["explain", "H100-SXM5"])), stdout(&explained), "by another name, in another case");
    assert!(!stdout(&run(&["explain", "trainium2"])).contains("unverified"));
}

#[test]
fn settings_reach_structure_and_workload() {
    let params = |args: &[&str]| {
        let output = run(&[&["compile", "llama-2-7b-hf", "--format", "json"], args].concat());
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        json["totals"]["params"].as_u64().unwrap()
    };
    // 202,383,360 parameters a layer, as PyTorch says of `model.layers.0`.
    assert_eq!(params(&["--set", "num_hidden_layers=33"]), 6_738_415_616 + 202_383_360);
    let output = run(&["compile", "llama-2-7b-hf", "--format", "json", "--set", "batch_size=3"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["workload"]["batch_size"], 3);
}

#[test]
fn dtypes_change_bytes_and_nothing_else() {
    let totals = |args: &[&str]| {
        let output = run(&[&["compile", "llama-3.2-1b", "--format", "json"], args].concat());
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        json["totals"].clone()
    };
    let (bf16, q4, fp8) = (totals(&[]), totals(&["--weight-dtype", "q4_k"]), totals(&["--kv-dtype", "fp8"]));
    assert_eq!(bf16["weight_bytes"], 2 * 1_235_814_400_u64);
    // Matrices of linear layers: not the embedding of 128,256 x 2,048, nor 33 norms. A pattern means all that it names.
    let others = 128_256 * 2048 + 33 * 2048;
    assert_eq!(q4["weight_bytes"], (1_235_814_400_u64 - others) * 9 / 16 + 2 * others);
    assert_eq!(totals(&["--weight-dtype", "*=q4_k"])["weight_bytes"], 1_235_814_400_u64 * 9 / 16);
    assert_eq!(fp8["cache_bytes"].as_u64().unwrap() * 2, bf16["cache_bytes"].as_u64().unwrap());
    for quantity in ["params", "matmul_flops", "activation_bytes"] {
        assert_eq!(bf16[quantity], q4[quantity]);
        assert_eq!(bf16[quantity], fp8[quantity]);
    }
}

#[test]
fn output_files_are_whole_or_absent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.json");
    let path = file.to_str().unwrap();
    assert_eq!(run(&["compile", "distilgpt2", "--format", "json", "-o", path]).status.code(), Some(0));
    let first = std::fs::read(&file).unwrap();
    serde_json::from_slice::<serde_json::Value>(&first).unwrap();
    let wrong = run_with_stdin(&["compile", "-", "-o", path], "{");
    assert_eq!(wrong.status.code(), Some(1));
    assert_eq!(std::fs::read(&file).unwrap(), first, "a failed run leaves the file as it was");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "and nothing beside it");
    let nowhere = run(&["compile", "distilgpt2", "-o", "/no/such/folder/out.json"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(stderr(&nowhere).contains("cannot write"), "{}", stderr(&nowhere));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = layerspec(&["compile", "llama-2-7b-hf", "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0u8; 16];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut first).unwrap();
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).is_empty(), "{}", stderr(&output));
}

#[test]
fn check_takes_files_and_folders() {
    let output = run(&["check", "models"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let models = std::fs::read_dir("models").unwrap().count();
    assert!(stderr(&output).contains(&format!("{models} files checked, 0 with errors")), "{}", stderr(&output));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("good.json"), TINY).unwrap();
    std::fs::write(folder.path().join("bad.json"), "{ \"layers\": 1 }").unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), "{ \"version\": \"1.0\", \"model\": {} }").unwrap();
    let output = run(&["check", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("2 files checked, 1 with errors"), "{}", stderr(&output));
    assert!(stderr(&output).contains("tokenizer.json: no model, left out"), "{}", stderr(&output));
}

#[test]
fn messages_for_editors_are_json() {
    let text = TINY.replace("\"<h>\"", "\"<hh>\"");
    let output = run_with_stdin(&["check", "-", "--message-format", "json"], &text);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<serde_json::Value> = stderr(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1);
    let diagnostic = &lines[0];
    assert_eq!(diagnostic["code"], "E0304");
    assert_eq!(diagnostic["primary"]["start"]["line"], 2);
    let offset = |key: &str| usize::try_from(diagnostic["primary"][key].as_u64().unwrap()).unwrap();
    let range = offset("byte_start")..offset("byte_end");
    assert_eq!(&text[range], "hh");
    assert_eq!(diagnostic["fix"]["replacement"], "h");
}

#[test]
fn names_from_a_file_are_escaped() {
    let hostile = r#"{ "name": "a\u001b[31m|<b>", "layers": [ { "name": "=cmd", "class": "torch.nn.Linear", "parameters": { "in_features": 1, "out_features": 1 } } ] }"#;
    for format in ["table", "json", "csv", "markdown"] {
        let output = run_with_stdin(&["compile", "-", "--format", format], hostile);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(!stdout(&output).contains('\u{1b}'), "{format}");
    }
    let csv = stdout(&run_with_stdin(&["compile", "-", "--format", "csv"], hostile));
    assert!(csv.contains("\n'=cmd,"), "{csv}");
    let tree = stdout(&run_with_stdin(&["tree", "-"], hostile));
    assert!(!tree.contains('\u{1b}'), "{tree}");
}

#[test]
fn a_layer_is_explained_with_its_values() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("../snapshots/explain");
    let explain = |arguments: &str| run(&[&["explain", "llama-2-7b-hf"], &*arguments.split(' ').collect::<Vec<_>>()].concat());
    settings.bind(|| {
        for (name, arguments) in [
            ("sdpa", "model.layers.3.self_attn.sdpa --batch 1 --seq 2048"),
            ("q_proj", "model.layers.31.self_attn.q_proj --batch 2 --seq 512 --weight-dtype q4_k --phase train"),
            ("composite", "model.layers.3"),
        ] {
            let output = explain(arguments);
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            insta::assert_snapshot!(name, stdout(&output));
        }
    });
    for (path, help) in [
        ("model.layers.3.self_atn.sdpa", "did you mean `model.layers.3.self_attn.sdpa`?"),
        ("model.layers.32.mlp", "`model.layers` has the instances [0-31]"),
        ("model.layers.3.mlp.up_proj.weight", "`model.layers.3.mlp.up_proj` is a basic layer: nothing is below it"),
        ("colour", "the model has model, logit_positions, lm_head"),
    ] {
        let output = explain(path);
        assert_eq!(output.status.code(), Some(1), "{path}");
        assert!(output.stdout.is_empty() && stderr(&output).contains("E0706"), "{path}");
        assert!(stderr(&output).contains(help), "{path}: {}", stderr(&output));
    }
    // A workload without a path to a layer would be of no effect.
    assert_eq!(run(&["explain", "add", "--batch", "2"]).status.code(), Some(2));
    let tied = stdout(&run(&["explain", "llama-3.2-1b", "lm_head"]));
    assert!(tied.contains("tied to model.embed_tokens, where it counts"), "{tied}");
    assert!(tied.contains("  = 262,668,288\n  counted here, without what is tied: 0\n"), "{tied}");
    let own = TINY.replace("\"<h>\",", "\"<h>\", \"dtype_bytes\": 4,");
    let own = stdout(&run_with_stdin(&["explain", "-", "up", "--seq", "3"], &own));
    assert!(own.contains("dtype_bytes   4     given") && own.contains("\n  = 3 * 8 * 4\n"), "{own}");
    let parameter = stdout(&run(&["explain", "tests/cases/ok/own-weights.json", "vit.cls_token"]));
    assert!(parameter.contains("the weights' elements: cls_token [1, 1, 4]\n  = 1 * 1 * 4\n  = 4\n"), "{parameter}");
}

#[test]
fn graphs_are_drawn_in_two_languages() {
    let dot = stdout(&run(&["graph", "llama-2-7b-hf"]));
    for line in [
        "label=\"layers.[0-31] x32: LlamaDecoderLayer\"",
        "  n3 -> n8 [label=\"cos\"]",
        "  n20 -> n4 [label=\"next\", style=dashed, constraint=false]",
        "  n20 -> n21\n",
    ] {
        assert!(dot.contains(line), "{line}: {dot}");
    }
    // What the 24 distinct layers read, and the step from one layer to the next.
    assert_eq!(dot.matches(" -> ").count(), 35 + 1);
    let mermaid = stdout(&run(&["graph", "llama-2-7b-hf", "--format", "mermaid"]));
    assert!(mermaid.starts_with("flowchart TD\n") && mermaid.contains("n20 -.->|\"next\"| n4"), "{mermaid}");
    let three = stdout(&run(&["graph", "llama-2-7b-hf", "--set", "num_hidden_layers=3"]));
    assert!(three.contains("layers.[0-2] x3"), "{three}");
    assert_eq!(run(&["graph", "no-such-model"]).status.code(), Some(1));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("graph.dot");
    assert_eq!(run(&["graph", "llama-2-7b-hf", "-o", file.to_str().unwrap()]).status.code(), Some(0));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), dot);
}

#[test]
fn the_other_commands_answer() {
    let tree = stdout(&run(&["tree", "llama-2-7b-hf"]));
    assert!(tree.contains("(0-31): 32 x LlamaDecoderLayer("), "{tree}");
    assert!(tree.contains("(q_proj): Linear(in_features=4096, out_features=4096, bias=False)"), "{tree}");
    assert!(tree.contains("[sdpa]: scaled_dot_product_attention("), "{tree}");
    for (stage, word) in
        [("document", "Document"), ("spec", "Model"), ("checked", "Checked"), ("flat", "FlatModel"), ("bound", "BoundModel")]
    {
        assert!(stdout(&run(&["show", "distilgpt2", "--stage", stage])).starts_with(word), "{stage}");
    }
    assert!(stdout(&run(&["explain", "torch.nn.Linear"])).contains("2 * tokens * in_features * out_features"));
    assert!(stdout(&run(&["explain", "UnknownVariable"])).starts_with("E0304"));
    assert!(stdout(&run(&["explain", "mxfp4"])).contains("4.25 bits"));
    assert!(stdout(&run(&["list", "models"])).contains("llama-2-7b-hf"));
    assert!(stdout(&run(&["list", "dtypes"])).contains("q6_k"));
    assert!(stdout(&run(&["list", "classes"])).contains("scaled_dot_product_attention"));
    assert!(stdout(&run(&["completions", "bash"])).contains("layerspec"));
    assert!(stdout(&run(&["man"])).contains(".TH layerspec"));
    assert!(stdout(&run(&["man", "compile"])).contains("\\-\\-weight\\-dtype"));
}

#[test]
fn memory_says_what_takes_how_much_and_whether_it_fits() {
    let table = stdout(&run(&["memory", "llama-2-7b-hf", "--cache", "off", "--device", "rtx-4090"]));
    for text in ["203,440,128", "model.layers.1.mlp.product", "fits", "yes", "kept free"] {
        let text = if text == "kept free" { "in reserve" } else { text };
        assert!(table.contains(text), "{text}: {table}");
    }
    let kept = stdout(&run(&["memory", "llama-2-7b-hf"]));
    assert!(kept.contains("MHA in 32 of 32 layers") && !table.contains("MHA in"), "{kept}");
    let json: serde_json::Value = serde_json::from_str(&stdout(&run(&["memory", "llama-2-7b-hf", "--format", "json"]))).unwrap();
    assert_eq!(json["format"], "layerspec.memory/1");
    assert_eq!(json["memory"][0]["bytes"], 13_476_831_232u64);
    assert_eq!(json["peak"]["bytes"], 1_277_181_952u64);
    let sum: u64 = json["memory"].as_array().unwrap().iter().map(|item| item["bytes"].as_u64().unwrap()).sum();
    assert_eq!(json["total_bytes"], sum);
    let csv = stdout(&run(&["memory", "llama-2-7b-hf", "--format", "csv"]));
    assert!(csv.starts_with("section,name,count,bytes\nmemory,weights,,13476831232\n"), "{csv}");
    let markdown = stdout(&run(&["memory", "llama-2-7b-hf", "--format", "markdown"]));
    assert!(markdown.contains("| weights | 13,476,831,232 | 13.48 GB |"), "{markdown}");
}

#[test]
fn a_fit_that_is_required_and_fails_exits_with_3() {
    let train = ["memory", "llama-2-7b-hf", "--phase", "train", "--seq", "512", "--device", "rtx-4090"];
    assert_eq!(run(&train).status.code(), Some(0));
    let required = run(&[&train[..], &["--require-fit"]].concat());
    assert_eq!(required.status.code(), Some(3));
    assert!(stderr(&required).contains(&format!("error[{}]", "E0609")), "{}", stderr(&required));
    let table = stdout(&required);
    let batch = table.lines().find(|line| line.starts_with("largest batch at 512 tokens")).unwrap();
    assert!(batch.ends_with(" none"), "{table}");
    let small = ["memory", "qwen3-0.6b", "--device", "rtx-4090", "--require-fit"];
    assert_eq!(run(&small).status.code(), Some(0));
}

#[test]
fn memory_refuses_what_makes_no_sense() {
    for (arguments, code, text) in [
        (&["--device", "h101-sxm"][..], 1, "h100-sxm"),
        (&["--device", "h100-sxm", "--count", "0"], 2, "--count"),
        (&["--require-fit"], 2, "--device"),
        (&["--phase", "train", "--optimizer", "adm"], 2, "did you mean `adam`?"),
        (&["--weight-dtype", "*.mpl.*=q4_k"], 1, "`*.mpl.*`"),
        (&["--weight-dtype", "*.mlp.*=q4"], 2, "unknown dtype"),
        (&["--phase", "train", "--lora-rank", "8", "--lora-target", "*.query"], 1, "`*.query`"),
        (&["--cache", "off", "--past", "7"], 1, "without a cache"),
        (&["--set", "num_attention_heads=-1"], 1, "error"),
    ] {
        let output = run(&[&["memory", "llama-2-7b-hf"][..], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(text), "{arguments:?}: {}", stderr(&output));
    }
    let window = run(&["memory", "gemma-3-270m", "--set", "sliding_window=-4"]);
    assert_eq!(window.status.code(), Some(1), "{}", stderr(&window));
}

#[test]
fn some_layers_may_have_another_weight_dtype() {
    let weights = |arguments: &[&str]| {
        let output = stdout(&run(&[&["memory", "llama-2-7b-hf", "--format", "json"][..], arguments].concat()));
        serde_json::from_str::<serde_json::Value>(&output).unwrap()["memory"][0]["bytes"].as_u64().unwrap()
    };
    // 4.5 bits in place of 16 for three matrices of 4096 x 11008 in each of 32 layers.
    let mlp = 32 * 3 * 4096 * 11008u64;
    assert_eq!(weights(&["--weight-dtype", "*.mlp.*=q4_k"]), 13_476_831_232 - mlp * 2 + mlp * 9 / 16);
    assert_eq!(weights(&["--weight-dtype", "Linear=fp8", "--weight-dtype", "lm_head=bf16"]), {
        let linear = 6_738_415_616 - 2 * 131_072_000 - 65 * 4096u64;
        13_476_831_232 - linear
    });
}

/// A config is taken as a model by every command, from a file or standard input.
const CONFIG: &str = r#"{ "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
  "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100, "max_position_embeddings": 64, "rope_theta": 10000.0,
  "torch_dtype": "float16", "text": "<hidden_size>" }"#;

#[test]
fn a_config_is_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.json");
    std::fs::write(&path, CONFIG).unwrap();
    let path = path.to_str().unwrap();
    for command in ["compile", "check", "tree", "graph", "memory", "summary"] {
        let output = run(&[command, path]);
        assert_eq!(output.status.code(), Some(0), "{command}: {}", stderr(&output));
        assert!(stderr(&output).is_empty(), "{command}: {}", stderr(&output));
    }
    let verbose = run(&["check", path, "--verbose"]);
    assert!(stderr(&verbose).contains("nothing used: rope_theta, text"), "{}", stderr(&verbose));
    let output = run(&["compile", path, "--seq", "8"]);
    assert!(stdout(&output).contains("fp16 as the config's `torch_dtype` says"), "{}", stdout(&output));
    let variable = run(&["explain", path, "num_key_value_heads"]);
    assert!(stdout(&variable).starts_with("num_key_value_heads = 4\n"), "{}", stdout(&variable));
    assert!(stdout(&variable).contains("catalog/families/decoder.json:"), "{}", stdout(&variable));
}

#[test]
fn import_writes_a_model_that_compiles() {
    let folder = tempfile::tempdir().unwrap();
    let (config, model) = (folder.path().join("tiny.json"), folder.path().join("model.json"));
    std::fs::write(&config, CONFIG).unwrap();
    let (config, model) = (config.to_str().unwrap(), model.to_str().unwrap());
    let totals = |path: &str| {
        let output = run(&["compile", path, "--seq", "16", "--format", "json"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        (json["model"]["name"].clone(), json["totals"].clone())
    };
    let (_, wanted) = totals(config);
    for explicit in [&[][..], &["--explicit"]] {
        let output = run(&[&["import", config, "-o", model], explicit].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(totals(model), ("tiny".into(), wanted.clone()), "{explicit:?}");
        let again = run(&["import", model]);
        assert_eq!(again.status.code(), Some(1), "a model file is no config");
    }
    let omni = folder.path().join("omni.json");
    std::fs::write(&omni, r#"{ "model_type": "qwen2_5_omni" }"#).unwrap();
    let unsaid = run(&["import", "--explicit", omni.to_str().unwrap()]);
    assert_eq!(unsaid.status.code(), Some(1));
    assert!(stderr(&unsaid).contains(&format!("error[{}]", "E0711")), "{}", stderr(&unsaid));
}

#[test]
fn a_folder_of_families_lies_over_the_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let families = folder.path().join("families");
    std::fs::create_dir(&families).unwrap();
    std::fs::write(
        families.join("tiny.json"),
        r#"{ "model_types": ["tiny"], "prefix": "tiny.Tiny", "source": "a test", "extends": "llama", "variables": { "hidden_size": 32 } }"#,
    )
    .unwrap();
    let config = folder.path().join("config.json");
    std::fs::write(&config, CONFIG.replace("\"llama\"", "\"tiny\"").replace("LlamaFor", "TinyFor")).unwrap();
    let config = config.to_str().unwrap();
    assert_eq!(run(&["check", config]).status.code(), Some(1));
    let with = run(&["check", config, "--catalog", folder.path().to_str().unwrap()]);
    assert_eq!(with.status.code(), Some(0), "{}", stderr(&with));
    let as_llama = run(&["check", config, "--family", "llama"]);
    assert_eq!(as_llama.status.code(), Some(0), "{}", stderr(&as_llama));
    let nowhere = run(&["check", config, "--catalog", "no/such/folder"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(stderr(&nowhere).contains("cannot read `no/such/folder`"), "{}", stderr(&nowhere));
}

#[test]
fn a_folder_brings_a_device_a_dtype_an_optimizer_and_a_method() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "mine/hardware/x1.json",
        r#"{ "name": "x1", "title": "X1", "vendor": "X", "kind": "GPU", "memory_capacity": 8000000000, "memory_bandwidth": 3000000000,
            "peak_flops_per_second": { "bf16": 5000000000 }, "sources": ["a page"], "verified": true }"#,
    );
    write("mine/dtypes.json", r#"{ "int3": { "bits": 3, "aliases": ["i3"], "doc": "packed", "source": "a test" } }"#);
    write(
        "mine/optimizers.json",
        r#"{ "lion": { "state_bytes": "n * state_dtype_bytes", "doc": "one moment", "source": "a test" } }"#,
    );
    write(
        "mine/quantization.json",
        r#"{ "thirds": { "bits": "<bits>", "variables": { "bits": 3 }, "containers": ["model"], "kept": ["left"], "always_kept": ["lm_head"],
            "doc": "packed", "source": "a test" } }"#,
    );
    write(
        "config.json",
        &CONFIG.replacen('{', r#"{ "quantization_config": { "quant_method": "thirds", "left": ["layers.0"] },"#, 1),
    );
    let mine = folder.path().join("mine").to_str().unwrap().to_owned();
    let with = |args: &[&str]| run(&[&["--catalog", &mine], args].concat());
    for (what, name) in [("hardware", "x1"), ("dtypes", "int3")] {
        let listed = with(&["list", what]);
        assert_eq!(stdout(&listed).lines().filter(|line| line.split(' ').next() == Some(name)).count(), 1, "{}", stdout(&listed));
        let explained = with(&["explain", name]);
        assert_eq!(explained.status.code(), Some(0), "{}", stderr(&explained));
        assert_eq!(run(&["explain", name]).status.code(), Some(1));
    }
    let memory = ["memory", "gpt2", "--phase", "train", "--device", "x1", "--optimizer", "lion", "--dtype", "i3"];
    let memory = with(&memory);
    assert_eq!(memory.status.code(), Some(0), "{}", stderr(&memory));
    assert!(stdout(&memory).contains("lion") && stdout(&memory).contains("int3"), "{}", stdout(&memory));
    let config = folder.path().join("config.json");
    let compiled = with(&["compile", config.to_str().unwrap()]);
    assert_eq!(compiled.status.code(), Some(0), "{}", stderr(&compiled));
    assert!(stdout(&compiled).contains("thirds in"), "{}", stdout(&compiled));
    // Names are looked up when the catalog is known; one that isn't there is said as clap says it.
    let unknown = with(&["compile", "gpt2", "--weight-dtype", "*.mlp.*=int33"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert_eq!(
        stderr(&unknown),
        "error: invalid value '*.mlp.*=int33' for '--weight-dtype <[PATTERN=]DTYPE>': unknown dtype; did you mean `int3`?\n\n\
        For more information, try '--help'.\n"
    );
    write("mine/dtypes.json", "{\n  \"int3\": { \"bits\": -3, \"doc\": \"packed\", \"source\": \"a test\" }\n}");
    let wrong = with(&["list", "dtypes"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains(&format!("{mine}/dtypes.json:2:")), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("expected a positive number, found -3"), "{}", stderr(&wrong));
}

#[test]
fn summaries_and_comparisons_in_every_format() {
    for format in ["table", "json", "markdown"] {
        let page = run(&["summary", "qwen3-0.6b", "--format", format]);
        assert_eq!(page.status.code(), Some(0), "{}", stderr(&page));
        let both = run(&["compare", "llama-3.2-1b", "qwen3-0.6b", "--format", format]);
        assert_eq!(both.status.code(), Some(0), "{}", stderr(&both));
        if format == "json" {
            let page: serde_json::Value = serde_json::from_str(&stdout(&page)).unwrap();
            let sum: u64 = page["components"].as_array().unwrap().iter().map(|c| c["params"].as_u64().unwrap()).sum();
            assert_eq!((page["params"].as_u64(), sum), (Some(596_049_920), 596_049_920));
            let both: serde_json::Value = serde_json::from_str(&stdout(&both)).unwrap();
            let added = both["differences"][0]["added"].as_array().unwrap();
            assert!(added.iter().any(|layer| layer["path"] == "model.layers.*.self_attn.q_norm"), "{added:?}");
        }
    }
    let table = stdout(&run(&["summary", "qwen3-0.6b"]));
    insta::assert_snapshot!("summary-qwen3-0.6b", table);
    assert_eq!(run(&["compare", "llama-3.2-1b"]).status.code(), Some(2));
}

/// Options of training imply the phase, and say so; in another phase they are refused. Where no cache is kept, no table of it is shown.
#[test]
fn options_of_training_imply_it() {
    for option in [
        &["--checkpointing", "full"][..],
        &["--optimizer", "sgd"],
        &["--zero", "1"],
        &["--lora-rank", "8"],
        &["--master-weights"],
    ] {
        let plain = layerspec(&["memory", "llama-3.2-1b", "--phase", "train"]).args(option).output().unwrap();
        let implied = layerspec(&["memory", "llama-3.2-1b"]).args(option).output().unwrap();
        assert_eq!(plain.stdout, implied.stdout, "{option:?}");
        let said = String::from_utf8(implied.stderr).unwrap();
        assert!(said.contains(&format!("`{}` is of training, so this is `--phase train`", option[0])), "{said}");
        assert!(plain.stderr.is_empty());
        assert!(!String::from_utf8(plain.stdout).unwrap().contains("cache at tokens"), "{option:?}");
        let refused = layerspec(&["memory", "llama-3.2-1b", "--phase", "decode"]).args(option).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{option:?}");
    }
    let without = layerspec(&["memory", "llama-3.2-1b", "--cache", "off"]).output().unwrap();
    assert!(!String::from_utf8(without.stdout).unwrap().contains("cache at tokens"));
}

/// Every error of one long line has its place.
#[test]
fn places_in_a_long_line_are_found() {
    let layers: Vec<String> = (0..20_000).map(|i| format!(r#"{{"name":"é{i}","clas":"SiLU"}}"#)).collect();
    let text = format!(r#"{{"layers":[{}]}}"#, layers.join(","));
    let found = run_with_stdin(&["check", "-", "--message-format", "json"], &text);
    let said = String::from_utf8(found.stderr).unwrap();
    let last = said.lines().rfind(|line| line.contains("unknown key")).unwrap();
    let diagnostic: serde_json::Value = serde_json::from_str(last).unwrap();
    let start = &diagnostic["primary"]["start"];
    let place = text.rfind(r#""clas""#).unwrap();
    let column = text[..place].chars().count() + 1;
    assert_eq!((start["line"].as_u64(), start["column"].as_u64()), (Some(1), u64::try_from(column).ok()), "{last}");
}

#[test]
fn json_has_nothing_that_steers_a_terminal() {
    let model = "{ \"name\": \"a\u{9b}31m\u{7f}\u{202e}\u{2028}\u{e0041}\", \"layers\": [ { \"name\": \"x\u{61c}\", \"class\": \"SiLU\", \"parameters\": { \"features\": 8 } } ] }";
    for args in [
        &["compile", "-", "--format", "json"][..],
        &["compile", "-", "--format", "csv"],
        &["memory", "-", "--format", "json"],
        &["summary", "-", "--format", "json"],
    ] {
        let shown = String::from_utf8(run_with_stdin(args, model).stdout).unwrap();
        let steers = |c: char| (c.is_control() && c != '\n') || ['\u{202e}', '\u{2028}', '\u{e0041}', '\u{61c}'].contains(&c);
        assert!(!shown.is_empty() && !shown.chars().any(steers), "{args:?}: {shown:?}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&run_with_stdin(&["compile", "-", "--format", "json"], model).stdout).unwrap();
    assert_eq!(json["model"]["name"], "a\u{9b}31m\u{7f}\u{202e}\u{2028}\u{e0041}");
}

/// Beyond what a width in a format may be.
#[test]
fn explanations_of_very_long_values() {
    let long = "x".repeat(70_000);
    let model = format!(
        r#"{{ "variables": {{ "t": "{long}" }}, "layers": [ {{ "name": "a", "class": "SiLU", "parameters": {{ "features": 8 }} }} ] }}"#
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.json");
    std::fs::write(&file, model).unwrap();
    let found = run(&["explain", file.to_str().unwrap(), "t"]);
    assert!(found.status.success() && stdout(&found).contains(&long));
}

/// Nobody writes into a pipe that stands in a folder: it isn't waited for.
#[cfg(unix)]
#[test]
fn a_pipe_in_a_folder_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("mkfifo").arg(folder.path().join("p.json")).status().unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("z.json")).unwrap();
    std::os::unix::fs::symlink("loop.json", folder.path().join("loop.json")).unwrap();
    let found = run(&["check", folder.path().to_str().unwrap()]);
    let said = String::from_utf8(found.stderr).unwrap();
    assert!(said.contains("p.json` is no file") && said.contains("z.json` is no file") && said.contains("loop.json"), "{said}");
    assert!(said.contains("3 files checked, 3 with errors"), "{said}");
    std::fs::create_dir(folder.path().join("classes")).unwrap();
    std::fs::rename(folder.path().join("p.json"), folder.path().join("classes/p.json")).unwrap();
    let found = run(&["list", "classes", "--catalog", folder.path().to_str().unwrap()]);
    assert!(String::from_utf8(found.stderr).unwrap().contains("is no file"));
}

/// A link is followed, one too that leads to where nothing is yet; a signal leaves nothing beside it.
#[cfg(unix)]
#[test]
fn output_goes_where_a_link_leads() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("link.json"), folder.path().join("target.json"));
    std::os::unix::fs::symlink("target.json", &link).unwrap();
    let found = run(&["compile", "llama-2-7b-hf", "--format", "json", "-o", link.to_str().unwrap()]);
    assert!(found.status.success());
    assert!(link.symlink_metadata().unwrap().is_symlink() && target.metadata().unwrap().len() > 1000);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn bless_writes_the_facts_that_hold() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.json");
    let path = file.to_str().unwrap();
    // A linear layer of 8 to 32 features has 8 * 32 weights and 32 biases; 4 tokens take 2 * 4 * 8 * 32 FLOPs.
    let text =
        |facts: &str| TINY.trim_end().trim_end_matches('}').trim_end().to_owned() + &format!(",\n  \"expect\": {facts} }}\n");
    let write = |facts: &str| std::fs::write(&file, text(facts)).unwrap();
    let read = || std::fs::read_to_string(&file).unwrap();
    write("{ \"params\": 1, \"points\": [ { \"workload\": { \"seq_len\": 4 }, \"matmul_flops\": 2 } ] }");
    assert_eq!(run(&["check", path]).status.code(), Some(3));
    let blessed = run(&["check", "--bless", path]);
    assert_eq!((blessed.status.code(), stdout(&blessed)), (Some(0), String::new()));
    assert!(
        stderr(&blessed).contains("params 1 -> 288") && stderr(&blessed).contains("matmul_flops 2 -> 2048"),
        "{}",
        stderr(&blessed)
    );
    let holds = "{ \"params\": 288, \"points\": [ { \"workload\": { \"seq_len\": 4 }, \"matmul_flops\": 2048 } ] }";
    assert_eq!(read(), text(holds));
    assert_eq!(run(&["check", path]).status.code(), Some(0));
    // Once more nothing changes, and the file isn't written.
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    assert!(stderr(&run(&["check", "--bless", path])).contains("all of its 2 facts hold"));
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), before);
    // Named ones are put beside their like: the workload is that of the point, whatever it leaves to defaults.
    let named = run(&[
        "check",
        "--bless",
        "--facts",
        "layers,activations_read,params",
        "--phase",
        "prefill",
        "--batch",
        "1",
        "--seq",
        "4",
        path,
    ]);
    assert_eq!(named.status.code(), Some(0), "{}", stderr(&named));
    let holds = "{ \"params\": 288, \"points\": [ { \"workload\": { \"seq_len\": 4 }, \"matmul_flops\": 2048, \"activations_read\": 64 } ], \"layers\": 1 }";
    assert_eq!(read(), text(holds));
    // What can't be: a name that is no fact, a model that isn't the file's, a file that states nothing, something that is no file.
    let refused = |args: &[&str], what: &str| {
        let output = run(args);
        assert_eq!((output.status.code(), stderr(&output).contains(what)), (Some(1), true), "{}", stderr(&output));
        assert_eq!(read(), text(holds));
    };
    refused(&["check", "--bless", "--facts", "parms", path], "did you mean `params`?");
    refused(&["check", "--bless", "--set", "h=9", path], "changed by `--set`");
    refused(&["check", "--bless", "llama-2-7b-hf"], "is no file");
    std::fs::write(folder.path().join("none.json"), TINY).unwrap();
    refused(&["check", "--bless", folder.path().join("none.json").to_str().unwrap()], "states no facts");
    // In a folder those that state nothing are left alone.
    assert_eq!(run(&["check", "--bless", folder.path().to_str().unwrap()]).status.code(), Some(0));
    assert_eq!(std::fs::read_to_string(folder.path().join("none.json")).unwrap(), TINY);
}

#[test]
fn outputs_are_compared_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let keep = |name: &str, args: &[&str]| {
        let file = path(name);
        let args: Vec<&str> =
            ["compile", "gpt2", "--format", "json", "-o", &file].into_iter().chain(args.iter().copied()).collect();
        assert!(run(&args).status.success());
    };
    keep("old", &[]);
    keep("same", &[]);
    keep("fewer", &["--set", "n_layer=11"]);
    keep("wider", &["--set", "n_inner=3000"]);
    keep("longer", &["--batch", "2"]);
    let compared = |name: &str| {
        let output = run(&["compare", &path("old"), &path(name)]);
        (output.status.code(), stdout(&output))
    };
    let (code, text) = compared("same");
    assert_eq!((code, text.ends_with("nothing changed\n")), (Some(0), true), "{text}");
    let (code, text) = compared("fewer");
    assert_eq!(code, Some(3));
    for words in
        ["- transformer.h.11.mlp.c_fc", "removed: Conv1D", "layers ", "params 124,439,808 -> 117,351,936 (-7,087,872, -5.7%)"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let (code, text) = compared("wider");
    let change = text.lines().find(|line| line.contains("transformer.h.[0-11].mlp.c_fc (12)")).unwrap_or_default();
    assert_eq!((code, change.contains("3,072 -> 3,000 (-72, -2.3%)")), (Some(3), true), "{text}");
    // At another workload the figures are others: said once.
    let (code, text) = compared("longer");
    assert_eq!((code, text.matches("other figures").count()), (Some(3), 1), "{text}");
    assert!(text.contains("batch_size 1 -> 2 (+1, +100.0%)"), "{text}");
    let json = run(&["compare", &path("old"), &path("wider"), "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json["format"].as_str(), json["changed"].as_bool()), (Some("layerspec.changes/1"), Some(true)));
    assert!(json["changes"].as_array().unwrap().iter().any(|change| change["place"] == "totals" && change["name"] == "params"));
    // An output isn't compared with a model, nor with two.
    for others in [vec!["gpt2".to_owned()], vec![path("same"), path("wider")]] {
        let args = ["compare".to_owned(), path("old")].into_iter().chain(others).collect::<Vec<_>>();
        let output = run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(output.status.code() == Some(1) && stderr(&output).contains("is compared with one other"), "{}", stderr(&output));
    }
    // A half-written file is no output, and no model.
    let half = std::fs::read_to_string(path("old")).unwrap();
    std::fs::write(path("half.json"), &half[..half.len() / 2]).unwrap();
    assert_eq!(run(&["compare", &path("old"), &path("half.json")]).status.code(), Some(1));
}

/// Pythia-1.4b has 1,414,647,808 parameters (its model card); its head alone has 50,304 x 2,048, as nothing is tied.
#[test]
fn a_model_may_be_taken_without_its_head() {
    let params = |args: &[&str]| {
        let output = run(&[&["compile", "pythia-1.4b", "--format", "json", "--by", "class"], args].concat());
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (json["totals"]["params"].as_u64().unwrap(), stderr(&output).contains("with `--head` it is another model"))
    };
    assert_eq!(params(&[]), (1_414_647_808, false));
    assert_eq!(params(&["--head", "none"]), (1_414_647_808 - 50_304 * 2_048, true));
    assert_eq!(params(&["--head", "GPTNeoXModel"]).0, params(&["--head", "none"]).0);
    assert_eq!(params(&["--head", "ForCausalLM"]).0, 1_414_647_808);
    let unknown = run(&["compile", "pythia-1.4b", "--head", "ForCausalML"]);
    assert!(stderr(&unknown).contains("did you mean `ForCausalLM`?") && unknown.status.code() == Some(1), "{}", stderr(&unknown));
    let written_out = run(&["compile", "distilgpt2", "--head", "none"]);
    assert!(stderr(&written_out).contains("the model is of no family"), "{}", stderr(&written_out));
}

#[test]
fn variants_of_a_model_are_compared() {
    let compared = |models: &[&str]| {
        let output = run(&[&["compare", "--format", "json"], models].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let models = json["models"].as_array().unwrap().clone();
        (models.iter().map(|m| m["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), models)
    };
    let (names, models) = compared(&["gpt2", "gpt2?n_layer=6", "gpt2?head=none&seq=16"]);
    assert_eq!(names, ["openai-community/gpt2", "gpt2?n_layer=6", "gpt2?head=none&seq=16"]);
    // Six of twelve blocks less: each has 12 h^2 + 13 h parameters, h = 768.
    assert_eq!(models[0]["params"].as_u64().unwrap() - models[1]["params"].as_u64().unwrap(), 6 * (12 * 768 * 768 + 13 * 768));
    // Options are those of the command line, and their values are checked as there.
    for (variant, why) in [
        ("gpt2?kernel=fast", "one of flash, eager, math"),
        ("gpt2?n_layer", "expected NAME=VALUE"),
        ("gpt2?batch=x", "a non-negative integer"),
    ] {
        let output = run(&["compare", "gpt2", variant]);
        assert!(output.status.code() == Some(2) && stderr(&output).contains(why), "{variant}: {}", stderr(&output));
    }
    // A variable that the model doesn't have is said as with `--set`.
    assert!(stderr(&run(&["compare", "gpt2", "gpt2?n_layers=6"])).contains("n_layer"));
}

/// The logits of 8 sequences of 4,096 tokens, 32,000 each, in bf16: 2,097,152,000 bytes, which CUDA's allocator calls 1.95 GiB.
#[test]
fn what_did_not_fit_is_found_by_its_size() {
    let model = ["memory", "llama-2-7b-hf", "--batch", "8", "--seq", "4096", "--find"];
    let found = stdout(&run(&[&model[..], &["2097152000"]].concat()));
    assert!(found.contains("lm_head output") && found.contains("--logits last") && found.contains("8x4096x32000"), "{found}");
    let error = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.95 GiB. GPU 0 has a total capacity of 79.10 GiB";
    let rest = |text: &str| text.split_once('\n').unwrap().1.to_owned();
    assert_eq!(rest(&stdout(&run_with_stdin(&[&model[..], &["-"]].concat(), error))), rest(&found));
    // The scores of eager attention, which the flash kernel doesn't store: 32 heads of 4,096 x 4,096 in bf16.
    let scores = ["memory", "llama-2-7b-hf", "--seq", "4096", "--kernel", "eager", "--find", "1.00GiB", "--format", "json"];
    let json: serde_json::Value = serde_json::from_slice(&run(&scores).stdout).unwrap();
    assert_eq!(json["found"][0]["bytes"], 32 * 4096 * 4096 * 2);
    let flash = json["avoided_by"].as_array().unwrap().iter().find(|remedy| remedy["option"] == "--kernel flash").unwrap();
    assert!(flash["bytes"].is_null());
    // A sum is found as well: all weights in float16.
    let sum = stdout(&run(&["memory", "llama-2-7b-hf", "--find", "13476831232"]));
    assert!(sum.contains("all weights"), "{sum}");
    assert!(
        stdout(&run(&["memory", "llama-2-7b-hf", "--find", "7"])).starts_with("nothing in the model is of 7 at this workload")
    );
    assert_eq!(run(&["memory", "llama-2-7b-hf", "--find", "lots"]).status.code(), Some(1));
}

/// Plans side by side: Llama-3.2-1B at 1 x 8,192 with SGD, 29.46 GB and 15.75 GB as measured on fake tensors (issue 17, torch 2.15).
#[test]
fn memory_puts_plans_side_by_side() {
    let train = ["memory", "llama-3.2-1b", "--phase", "train", "--seq", "8192", "--optimizer", "sgd", "--format", "json"];
    let output = run(&[&train[..], &["--vary", "checkpointing=none,full"]].concat());
    let page: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let plans = page["plans"].as_array().unwrap();
    let of =
        |at: usize| (plans[at]["options"]["checkpointing"].as_str().unwrap(), plans[at]["bytes"].as_u64().unwrap() / 10_000_000);
    assert_eq!((of(0), of(1)), (("none", 2946), ("full", 1575)), "{page}");

    // Weights of fewer than 16 bits are the matrices'; each option with each.
    let output = run(&[
        "memory",
        "llama-3.1-8b",
        "--device",
        "rtx-4090",
        "--vary",
        "dtype=fp32,int4",
        "--vary",
        "batch=1,2",
        "--format",
        "json",
    ]);
    let page: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let plans = page["plans"].as_array().unwrap();
    let weights: Vec<u64> = plans.iter().map(|plan| plan["items"]["weights"].as_u64().unwrap()).collect();
    let fits: Vec<bool> = plans.iter().map(|plan| plan["fit"]["fits"].as_bool().unwrap()).collect();
    assert_eq!((weights[0], weights[1], fits.as_slice()), (32_121_044_992, 32_121_044_992, &[false, false, true, true][..]));
    assert!(weights[2] == weights[3] && weights[2] < 32_121_044_992 / 4, "{weights:?}");
    let text =
        stdout(&layerspec(&["memory", "llama-3.1-8b", "--vary", "kernel=flash,eager"]).env("COLUMNS", "60").output().unwrap());
    assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");

    for (vary, why) in [
        ("kernel=flash,nope", "`nope` is none of flash, eager, math"),
        ("kernel", "expected OPTION=VALUE"),
        ("kernel=", "there is no value"),
        ("colour=red", "no option that is varied"),
        ("batch=0", "no number from 1 on"),
        ("dtype=fp33", "fp32"),
    ] {
        let output = run(&["memory", "llama-3.1-8b", "--vary", vary]);
        assert_eq!(output.status.code(), Some(2), "{vary}");
        assert!(stderr(&output).contains(why), "{vary}: {}", stderr(&output));
    }
}

#[test]
fn engines_are_compared() {
    let output = run(&["compare", "llama-3.1-8b", "--runtime", "eager,vllm", "--seq", "64"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for part in
        ["llama-3.1-8b (eager)", "llama-3.1-8b (vllm)", "+ model.layers.*.self_attn.qkv_proj", "for q_proj, k_proj, v_proj"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let alone = run(&["compare", "llama-3.1-8b"]);
    assert_eq!(alone.status.code(), Some(2));
    assert!(stderr(&alone).contains("nothing to compare it with"), "{}", stderr(&alone));
    let output = run(&["compile", "llama-3.1-8b", "--runtime", "vllm", "--phase", "train"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("doesn't train models"), "{}", stderr(&output));
    // A layer of the JSON says what it stands for.
    let output = run(&["compile", "llama-3.2-1b", "--runtime", "vllm", "--seq", "8", "--format", "json"]);
    let page: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(page["conventions"]["runtime"], "vllm");
    let merged =
        page["layers"].as_array().unwrap().iter().find(|layer| layer["path"] == "model.layers.15.self_attn.qkv_proj").unwrap();
    assert_eq!(merged["stands_for"][1]["path"], "model.layers.15.self_attn.k_proj");
    assert_eq!(merged["stands_for"][1]["class"], "torch.nn.modules.linear.Linear");
}
