//! `layerspec formula`: what it prints is what the model is, in each language that is at hand.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use layerspec::programs::Program;
use layerspec::{Phase, Workload};

use crate::program::{Random, base, model};

/// Models whose formulas have everything that formulas can have: experts, windows, ceilings, conditions, images, squares.
const MODELS: &[(&str, Phase)] = &[
    ("llama-2-7b-hf", Phase::Prefill),
    ("llama-2-7b-hf", Phase::Train),
    ("deepseek-v3", Phase::Decode),
    ("gemma-3-4b-it", Phase::Prefill),
    ("falcon-h1-0.5b-base", Phase::Decode),
    ("resnet-50", Phase::Prefill),
    ("deepseek-v4-flash", Phase::Prefill),
    ("whisper-small", Phase::Train),
    ("qwen2.5-omni-7b", Phase::Prefill),
];

fn layerspec(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_layerspec")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn word(phase: Phase) -> &'static str {
    phase.word()
}

/// Points at which the program has an answer, some of whose digits are beyond 2^53, and those answers by quantity.
fn points(program: &Program, phase: Phase) -> Vec<(Vec<u64>, BTreeMap<&'static str, u128>)> {
    let mut random = Random(7);
    let (mut room, mut out, mut found) = (program.room(), Vec::new(), Vec::new());
    for _ in 0..400 {
        let value = |name: &str, random: &mut Random| match name {
            "batch_size" => 1 + random.below(300),
            "past_len" if phase == Phase::Train || random.below(2) == 0 => 0,
            "seq_len" if phase == Phase::Decode => 1,
            "seq_len" | "past_len" => 1 + random.length(),
            name if name.contains("image") || name.ends_with("size") => 28 * (1 + random.below(40)),
            _ => random.below(4),
        };
        let point: Vec<u64> = program.variables().iter().map(|variable| value(&variable.name, &mut random)).collect();
        if program.at(&point, &mut room, &mut out) {
            let figures = program.outputs().map(layerspec::programs::Total::name).zip(out.iter().copied()).collect();
            found.push((point, figures));
        }
        if found.len() == 25 {
            break;
        }
    }
    assert!(found.len() > 3);
    found
}

/// What an interpreter prints when it is given a text; `None`: it isn't at hand.
fn run(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    let child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        eprintln!("`{program}` is not at hand: what needs it is left out");
        return None;
    };
    // A shim that stands for nothing reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Compares the lines that a language printed with the program's answers.
fn compare(name: &str, printed: &str, points: &[(Vec<u64>, BTreeMap<&'static str, u128>)]) {
    let expected: Vec<String> = points
        .iter()
        .flat_map(|(point, figures)| figures.iter().map(move |(quantity, n)| format!("{quantity} {point:?} {n}")))
        .collect();
    let found: Vec<&str> = printed.lines().collect();
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn python_modules_give_what_the_program_does() {
    let mut beyond = false;
    for (name, phase) in MODELS {
        let program = model(name).program(&base(*phase)).unwrap();
        let points = points(&program, *phase);
        let module = String::from_utf8(layerspec(&["formula", name, "--phase", word(*phase), "--as", "python"])).unwrap();
        let mut script = module + "\nfor point, names in [\n";
        for (point, figures) in &points {
            script += &format!("    ({point:?}, {:?}),\n", figures.keys().collect::<Vec<_>>());
        }
        script += "]:\n    for name in names:\n        print(name, point, globals()[name](*point))\n";
        let Some(printed) = run("python3", &["-"], &script) else { return };
        compare(name, &printed, &points);
        beyond |= points.iter().any(|(_, figures)| figures.values().any(|n| *n > 1 << 53 && n % 2 == 1));
    }
    assert!(beyond, "no figure that a double couldn't have");
}

#[test]
fn javascript_modules_give_what_the_program_does() {
    for (name, phase) in MODELS {
        let program = model(name).program(&base(*phase)).unwrap();
        let points = points(&program, *phase);
        let module = String::from_utf8(layerspec(&["formula", name, "--phase", word(*phase), "--as", "javascript"])).unwrap();
        let names: Vec<&str> = points[0].1.keys().copied().collect();
        let mut script = format!("{module}\nconst all = {{ {} }};\nfor (const [point, names] of [\n", names.join(", "));
        for (point, figures) in &points {
            script += &format!("  [{point:?}, {:?}],\n", figures.keys().collect::<Vec<_>>());
        }
        script += "]) for (const name of names) console.log(`${name} [${point.join(\", \")}] ${all[name](...point)}`);\n";
        let Some(printed) = run("node", &["--input-type=module", "-"], &script) else { return };
        compare(name, &printed, &points);
    }
}

/// A module refuses what the model refuses, takes its variables by name, and takes other libraries' integers for what they are.
#[test]
fn python_modules_refuse_what_the_model_refuses() {
    let module = String::from_utf8(layerspec(&["formula", "resnet-50", "--as", "python", "--quantity", "matmul_flops"])).unwrap();
    let script = module
        + r#"
class Int64:
    """Wraps around as numpy's do."""
    def __init__(self, n): self.n = n
    def __index__(self): return self.n
    def __mul__(self, other): return Int64((self.n * int(other)) % 2**64)
    def __lt__(self, other): return self.n < other

print(matmul_flops(seq_len=1, past_len=0, batch_size=1))
print(matmul_flops(Int64(1), 1, 0, Int64(1 << 40)))
print(matmul_flops(1, 1, 0, 1 << 40))
for wrong in [(0, 1, 0, 224), (1, 1, 0, 0), (1.5, 1, 0, 224)]:
    try:
        print(matmul_flops(*wrong))
    except (ValueError, TypeError) as error:
        print(error)
"#;
    let Some(printed) = run("python3", &["-"], &script) else { return };
    let at_224 = model("resnet-50").totals(&Workload::prefill(1, 1)).into_result().unwrap().matmul_flops().0;
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], at_224.to_string());
    assert!(lines[1] == lines[2] && lines[1].len() > 20, "{printed}");
    assert!(lines[3].contains("batch_size is at least 1") && lines[4].contains("`layerspec compile` says why"), "{printed}");
    assert!(lines[5].contains("float"), "{printed}");
}

/// The terms of each formula add up to its value, which is the total; and shares are told from what they are shares of.
#[test]
fn terms_add_up_to_the_totals() {
    for (name, phase) in MODELS {
        let arguments = ["formula", name, "--phase", word(*phase), "--as", "json"];
        let json: serde_json::Value = serde_json::from_slice(&layerspec(&arguments)).unwrap();
        let totals = model(name).totals(&base(*phase)).into_result().unwrap();
        let mut seen = 0;
        for part in json["parts"].as_array().unwrap() {
            for formula in part["formulas"].as_array().unwrap() {
                let Some(value) = formula["value"].as_number() else { continue };
                let quantity = formula["quantity"].as_str().unwrap();
                let value: i128 = value.to_string().parse().unwrap();
                let terms = formula["terms"].as_array().unwrap();
                let terms: f64 = terms.iter().map(|term| term["value"].as_f64().unwrap()).sum();
                #[expect(clippy::cast_precision_loss, reason = "a sum of doubles")]
                let off = (terms - value as f64).abs() / (value as f64).max(1.0);
                assert!(off < 1e-9, "{name} {quantity}: {terms} and {value}");
                if let Some(total) = totals.named(quantity) {
                    assert_eq!(u128::try_from(value), Ok(total), "{name} {quantity}");
                    seen += 1;
                }
            }
        }
        assert!(seen >= 16, "{name}: {seen}");
    }
}

/// No line of a page is wider than the terminal, but for a word that can't be broken.
#[test]
fn pages_fit_their_terminal() {
    for (name, phase) in MODELS {
        for width in [60, 80, 120, 200] {
            let output = Command::new(env!("CARGO_BIN_EXE_layerspec"))
                .args(["formula", name, "--phase", word(*phase)])
                .env("COLUMNS", width.to_string())
                .output()
                .unwrap();
            for line in String::from_utf8(output.stdout).unwrap().lines() {
                let longest = line.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
                assert!(line.chars().count() <= width.max(longest + 6), "{name} at {width}: {line}");
            }
        }
    }
}

/// Whatever a model calls its variables: words of a language, letters that stand for lengths.
#[test]
fn names_of_variables_are_spared() {
    let text = r#"{ "workload": { "lambda": 4, "min": 3, "B": 2, "delete": 5, "int": 7 }, "layers": [
        { "name": "a", "class": "torch.nn.SiLU", "parameters": { "features": "min(<lambda>, <batch_size>) + <min> * <B> + <delete> + <int>" } } ] }"#;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.json");
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let page = String::from_utf8(layerspec(&["formula", &file, "--quantity", "vector_flops"])).unwrap();
    assert!(page.contains("\nbatch_size = 1, S = seq_len = 2,048\n") && page.contains("min(batch_size, lambda)"), "{page}");
    let python = String::from_utf8(layerspec(&["formula", &file, "--as", "python", "--quantity", "vector_flops"])).unwrap();
    let javascript =
        String::from_utf8(layerspec(&["formula", &file, "--as", "javascript", "--quantity", "vector_flops"])).unwrap();
    let expected = layerspec_total(&file, "vector_flops");
    if let Some(printed) = run("python3", &["-"], &(python + "\nprint(vector_flops(1, 2048, 0))\n")) {
        assert_eq!(printed.trim(), expected);
    }
    if let Some(printed) =
        run("node", &["--input-type=module", "-"], &(javascript + "\nconsole.log(String(vector_flops(1, 2048, 0)));\n"))
    {
        assert_eq!(printed.trim(), expected);
    }
}

/// Rounded numbers may be negative, so a condition that doesn't hold isn't one of equality; and a variable may be called as another is spared.
#[test]
fn conditions_on_what_may_be_negative_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.json").display().to_string();
    for (at, x) in [
        "if(floor(min(<n> - 4, <m>) / 2) < 1, <n>, <m>)",
        "abs((<n> - <m>) / 2)",
        "0 - floor(min(<n> - <m>, <m> - <n>) / 2)",
        "if(<n> - <m> >= 1, <n>, <m>) + <class> * <class_>",
    ]
    .iter()
    .enumerate()
    {
        let text = format!(
            r#"{{ "workload": {{ "n": 4, "m": 10, "class": 2, "class_": 3 }}, "layers": [ {{ "name": "a", "class": "torch.nn.Identity",
            "calls": "{x}", "parameters": {{ "features": 1 }} }}, {{ "name": "b", "class": "torch.nn.SiLU", "calls": "{x}", "parameters": {{ "features": 1, "tokens": 1 }}, "inputs": [] }} ] }}"#
        );
        std::fs::write(&file, text.replace(r#", "inputs": []"#, "")).unwrap();
        let python =
            String::from_utf8(layerspec(&["formula", &file, "--as", "python", "--quantity", "vector_flops", "--seq", "1"]))
                .unwrap();
        let mut script = python;
        let mut expected = Vec::new();
        for (n, m) in [(4u64, 10u64), (1, 1), (9, 3), (0, 6), (12, 12)] {
            let sets = [format!("n={n}"), format!("m={m}")];
            let json: serde_json::Value = serde_json::from_slice(&layerspec(&[
                "compile", &file, "--seq", "1", "--format", "json", "--set", &sets[0], "--set", &sets[1],
            ]))
            .unwrap();
            expected.push(json["totals"]["vector_flops"].to_string());
            script += &format!("\nprint(vector_flops(1, 1, 0, {n}, {m}))\n");
        }
        let Some(printed) = run("python3", &["-"], &script) else { return };
        assert_eq!(printed.lines().collect::<Vec<_>>(), expected, "{at}: {x}");
    }
}

fn layerspec_total(file: &str, quantity: &str) -> String {
    let json: serde_json::Value = serde_json::from_slice(&layerspec(&["compile", file, "--format", "json"])).unwrap();
    json["totals"][quantity].to_string()
}

/// A model whose weights depend on the workload has no formula, and says so.
#[test]
fn what_has_no_formula_is_said() {
    let text = r#"{ "workload": { "n": 4 }, "layers": [ { "name": "a", "class": "torch.nn.Linear", "parameters": { "in_features": 4, "out_features": "<n>" } } ] }"#;
    let mut child = Command::new(env!("CARGO_BIN_EXE_layerspec"))
        .args(["formula", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no formula") && said.contains("`weight` depends on the workload"), "{said}");
}
