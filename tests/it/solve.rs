//! `layerspec solve` through the real binary: the two values are right, and every other answer says what it is.

use serde_json::Value as Json;

use crate::sweep::{run, stderr, stdout};

fn solved(args: &str) -> Json {
    let output = run(&format!("solve {args} --format json"));
    assert_eq!(output.status.code(), Some(0), "{args}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The value below and the one that reaches the target.
fn values(json: &Json) -> [Option<u64>; 2] {
    ["below", "reached"].map(|side| json[side]["value"].as_u64())
}

/// The page's text on one line.
fn page(args: &str) -> String {
    let output = run(&format!("solve {args}"));
    assert_eq!(output.status.code(), Some(0), "{args}: {}", stderr(&output));
    stdout(&output).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What `compile` says of a quantity.
fn compiled(args: &str, quantity: &str) -> u64 {
    let output = run(&format!("compile {args} --format json --by class"));
    let json: Json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{args}: {}", stderr(&output)));
    json["totals"][quantity].as_u64().unwrap()
}

/// Llama-2 with h = 128 k: 32 layers of 4 h^2 + 3 h 11,008 + 2 h, the embedding and the head with 32,000 h each, and h of the last norm.
fn llama_params(h: u64) -> u64 {
    32 * (4 * h * h + 3 * h * 11_008 + 2 * h) + 2 * 32_000 * h + h
}

#[test]
fn a_structural_variable_is_found_in_steps() {
    assert_eq!(llama_params(4096), 6_738_415_616);
    let found = solved("llama-2-7b-hf --for hidden_size --params 7e9 --multiple-of 128");
    assert_eq!(values(&found), [Some(4096), Some(4224)]);
    assert_eq!(found["below"]["figure"], 6_738_415_616_u64);
    assert_eq!(found["reached"]["figure"], llama_params(4224));
    assert_eq!((&found["adjacent"], &found["trend"], &found["invalid"]), (&true.into(), &"rising".into(), &0.into()));
    // -3.74 % and +0.26 %.
    let percent = |side: &str| (found[side]["percent"].as_f64().unwrap() * 100.0).round();
    assert_eq!((percent("below"), percent("reached")), (-374.0, 26.0));
    // Layers, from a model whose layers differ.
    let layers = solved("deepseek-v3 --for num_hidden_layers --params 1e12");
    let [Some(below), Some(reached)] = values(&layers) else { panic!("{layers}") };
    assert_eq!(reached, below + 1);
    for (side, value) in [("below", below), ("reached", reached)] {
        let params = compiled(&format!("deepseek-v3 --set num_hidden_layers={value}"), "params");
        assert_eq!(layers[side]["figure"], params);
        assert_eq!(params >= 1_000_000_000_000, side == "reached");
    }
    // A config's own key, and an intermediate size that any number is.
    assert_eq!(solved("gpt2 --for n_layer --params 124439808")["reached"]["value"], 12);
}

/// Heads take sizes that they divide, and channels come in pairs: multiples of 64 alone. The others are passed over, and that is said.
#[test]
fn invalid_values_are_skipped_and_said() {
    let found = solved("llama-2-7b-hf --for hidden_size --params 7e9");
    assert_eq!(values(&found), [Some(4160), Some(4224)]);
    assert_eq!(found["adjacent"], true);
    assert!(found["invalid"].as_u64().unwrap() >= 63, "all between them were tried");
    assert!(found["first_invalid"]["message"].as_str().unwrap().contains("doesn't hold"), "{found}");
    let text = page("llama-2-7b-hf --for hidden_size --params 7e9");
    assert!(text.contains("values at which the model is invalid were skipped; the first that was tried, 4,1"), "{text}");
    assert!(text.contains("params reaches 7,000,000,000 at hidden_size 4,224; 4,160 is the last below"), "{text}");
    assert!(text.contains("6,877,782,080") && text.contains("+0.26%"), "{text}");
    // None is valid where it is looked.
    let output = run("solve llama-2-7b-hf --for hidden_size --params 7e9 --min 4097 --max 4150");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no value that was tried") && output.stdout.is_empty(), "{}", stderr(&output));
    // A hole that is too wide to look through: 4,096 heads of an even size each take multiples of 8,192.
    let heads = "llama-2-7b-hf --for hidden_size --params 3e10 --set num_attention_heads=4096 --set num_key_value_heads=4096";
    let wide = solved(heads);
    assert_eq!((values(&wide), &wide["adjacent"]), ([Some(8192), Some(16_384)], &false.into()));
    assert!(page(heads).contains("whether a valid value lies between them isn't known"), "{}", page(heads));
    assert_eq!(solved(&format!("{heads} --multiple-of 8192"))["adjacent"], true);
}

#[test]
fn a_workloads_variable_is_found() {
    // 524,288 bytes a token: 16 GiB are 32,768 of them.
    for name in ["seq", "seq_len"] {
        let found = solved(&format!("llama-2-7b-hf --for {name} --cache-bytes 16GiB"));
        assert_eq!((values(&found), &found["variable"]), ([Some(32_767), Some(32_768)], &"seq_len".into()));
        assert_eq!(found["reached"]["figure"], 17_179_869_184_u64);
    }
    assert_eq!(values(&solved("llama-2-7b-hf --for seq --cache-bytes 17179869185")), [Some(32_768), Some(32_769)]);
    assert_eq!(values(&solved("llama-2-7b-hf --for past --phase decode --cache-bytes 524288")), [None, Some(0)]);
    assert_eq!(values(&solved("llama-2-7b-hf --for past --phase decode --cache-bytes 524289")), [Some(0), Some(1)]);
    // A peak, which no formula is read off.
    let found = solved("llama-2-7b-hf --for batch --peak-bytes 24GB --seq 4096");
    let [Some(below), Some(reached)] = values(&found) else { panic!("{found}") };
    assert_eq!(reached, below + 1);
    for (side, batch) in [("below", below), ("reached", reached)] {
        let peak = compiled(&format!("llama-2-7b-hf --seq 4096 --batch {batch}"), "peak_bytes");
        assert_eq!((&found[side]["figure"], peak >= 24_000_000_000), (&peak.into(), side == "reached"));
    }
    // What is kept for the backward pass.
    let found = solved("gpt2 --for batch --phase train --saved-bytes 8GiB --seq 512 --multiple-of 4");
    let saved = found["reached"]["figure"].as_u64().unwrap();
    let batch = found["reached"]["value"].as_u64().unwrap();
    assert_eq!(compiled(&format!("gpt2 --phase train --seq 512 --batch {batch}"), "saved_bytes"), saved);
    assert!(batch.is_multiple_of(4) && found["below"]["value"] == batch - 4);
}

#[test]
fn every_quantity_can_be_a_target() {
    for (option, figure) in [
        ("--layers", "551"),
        ("--modules", "324"),
        ("--params", "6738415616"),
        ("--active_params", "6738415616"),
        ("--weight-bytes", "13476831232"),
        ("--cache-bytes", "1073741824"),
        ("--matmul-flops", "29261612187648"),
        ("--macs", "14630806093824"),
    ] {
        let found = solved(&format!("llama-2-7b-hf --for num_hidden_layers {option} {figure}"));
        assert_eq!(values(&found), [Some(31), Some(32)], "{option}");
        assert_eq!(found["reached"]["figure"].to_string(), figure);
    }
    for option in ["--flops 1e15", "--bytes-moved 1TB", "--vector-flops 1T", "--transcendentals 1G", "--weights-read 100GB"] {
        let found = solved(&format!("llama-2-7b-hf --for num_hidden_layers {option}"));
        let [Some(below), Some(reached)] = values(&found) else { panic!("{found}") };
        assert_eq!((below + 1, &found["adjacent"]), (reached, &true.into()), "{option}");
    }
}

#[test]
fn what_isnt_reached_is_said() {
    let text = page("llama-2-7b-hf --for seq --params 7e9");
    assert!(text.contains("params doesn't depend on seq_len: it is 6,738,415,616 at all"), "{text}");
    assert_eq!(solved("llama-2-7b-hf --for seq --params 7e9")["trend"], "constant");
    let text = page("llama-2-7b-hf --for batch --flops 1e18 --max 64");
    assert!(text.contains("no batch_size that was tried reaches") && text.contains("64"), "{text}");
    let text = page("llama-2-7b-hf --for num_hidden_layers --params 1");
    assert!(text.contains("no num_hidden_layers that was tried is below 1: the least is 464,531,456 params, at 1"), "{text}");
    // A window bounds the cache: 4,096 tokens of 131,072 bytes in Mistral-7B-v0.1.
    let text = page("mistral-7b-v0.1 --for past --phase decode --cache-bytes 1TB");
    assert!(text.contains("no past_len that was tried reaches"), "{text}");
}

/// Patches four times as large are sixteen times as few.
#[test]
fn a_quantity_may_fall() {
    let found = solved("gpt2 --for n_head --transcendentals 1e9 --multiple-of 1");
    assert!(found["below"].is_object() || found["reached"].is_object(), "{found}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("falls.json");
    let layer = r#"{ "name": "a", "class": "torch.nn.SiLU", "parameters": { "features": "floor(1000000 / <n>)" } }"#;
    std::fs::write(&file, format!(r#"{{ "name": "falls", "variables": {{ "n": 7 }}, "layers": [ {layer} ] }}"#)).unwrap();
    let asked = format!("{} --for n --activation-bytes 2kB --batch 1 --seq 1", file.display());
    let found = solved(&asked);
    // 2 bytes each: 1,000 features up to n = 1000.
    assert_eq!((values(&found), &found["trend"]), ([Some(1001), Some(1000)], &"falling".into()));
    assert!(page(&asked).contains("activation_bytes falls below 2,000 at n 1,001; 1,000 is the last at or above it"));
}

#[test]
fn what_makes_no_sense_is_explained() {
    for (args, code, why) in [
        ("--for hiden_size --params 7e9", 1, "did you mean `hidden_size`?"),
        ("--for banana --params 7e9", 1, "its variables are hidden_size"),
        ("--for kv_len --params 7e9", 2, "it is always `past_len + seq_len`"),
        ("--for training --params 7e9", 2, "use `--phase train`"),
        ("--for batch --batch 3 --params 7e9", 2, "`--batch` gives it a value"),
        ("--for hidden_size --set hidden_size=4096 --params 7e9", 2, "`--set` gives it a value"),
        ("--for seq_len --seq 3 --params 7e9", 2, "`--seq` gives it a value"),
        ("--for batch", 2, "`--params 7e9`"),
        ("--params 7e9", 2, "--for <NAME>"),
        ("--for batch --params 1 --flops 2", 2, "cannot be used with"),
        ("--for batch --params 7B", 2, "a B is a byte"),
        ("--for batch --params 0", 2, "0 is not in 1.."),
        ("--for batch --params 1.5", 2, "no whole number"),
        ("--for batch --params=-1", 2, "expected a number"),
        ("--for batch --flops 1e40", 2, "number too large"),
        ("--for batch --params 7e9 --multiple-of 0", 2, "0 is not in 1.."),
        ("--for batch --params 7e9 --min 5 --max 4", 2, "less than the smallest value, 5"),
        ("--for batch --params 7e9 --min 65 --max 127 --multiple-of 64", 2, "no multiple of 64"),
        ("--for batch --saved-bytes 1GB", 2, "`--phase train` has it"),
        ("--for batch --parms 7e9", 2, "unexpected argument '--parms'"),
    ] {
        let output = run(&format!("solve llama-2-7b-hf {args}"));
        assert!(output.status.code() == Some(code) && stderr(&output).contains(why), "{args}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    assert_eq!(run("solve no-such-model --for batch --params 1").status.code(), Some(1));
    // A value that is far beyond what is computed with has an answer, too.
    let most = "--flops 340282366920938463463374607431768211455 --max 18446744073709551615";
    assert!(page(&format!("llama-2-7b-hf --for batch {most}")).contains("no batch_size that was tried reaches"));
}

#[test]
fn pages_are_tables_markdown_and_files() {
    let text = stdout(&run("solve llama-2-7b-hf --for hidden_size --params 7e9 --multiple-of 128 --format markdown"));
    assert!(text.contains("| last below | 4,096 | 6,738,415,616 | 6.738 G | -3.74% |"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answer.json");
    let args = format!("solve gpt2 --for n_layer --params 1e9 --format json -o {}", file.display());
    let output = run(&args);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", stderr(&output));
    let json: Json = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(json["format"], "layerspec.solve/1");
}
