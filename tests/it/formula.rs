//! `layerspec formula`: what it prints is what the model is, in each language that is at hand.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use layerspec::programs::Program;
use layerspec::{Execution, Lowered, Phase, Workload};

use crate::program::{Random, at_point, base, compare as compare_with_interpreter, model};
use crate::support::SESSION;

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

/// Models of everything that a workload may change: what it divides and is divided by, powers, items of lists, sizes of weights, whether there are any.
/// Each with how many of the random points at least have figures.
const CHANGED: &[(&str, usize, &str)] = &[
    (
        "quotients",
        40,
        r#"{ "workload": { "chunk": 3, "n": 4 }, "variables": { "hidden": 720 }, "layers": [
            { "name": "a", "class": "torch.nn.SiLU", "calls": "floor(<seq_len> / <chunk>) + ceil(<seq_len> / <batch_size>)",
              "parameters": { "features": "<hidden> / <batch_size>" } },
            { "name": "b", "class": "torch.nn.SiLU", "calls": "if(<n> > 0, ceil(max(<seq_len> / <n>, <chunk> / 2)), 5)",
              "parameters": { "features": "<hidden> / <batch_size>" } },
            { "name": "c", "class": "torch.nn.SiLU", "calls": "if(<n> > 0, if(<seq_len> / <n> > 2, 2, 3), 4) + <seq_len> % <chunk>",
              "parameters": { "features": "<hidden> / <batch_size>" } } ] }"#,
    ),
    (
        "lists and powers",
        40,
        r#"{ "workload": { "v": 1, "k": 3, "n": 4, "ratio": "<n> / (<k> + 1)" },
            "variables": { "steps": [1, 2, 4, 9], "halves": [1.5, 2.5, 4], "kinds": ["full", "half", "none"] }, "layers": [
            { "name": "a", "class": "torch.nn.SiLU", "parameters": { "features": 1 },
              "calls": "at(<steps>, <v>) + 2 ^ <k> + ceil(3 ^ (<k> - <n>)) + isqrt(<n> * <seq_len>) + ceil(<ratio>)" },
            { "name": "b", "class": "torch.nn.SiLU", "calls": "if(at(<kinds>, <v>) == 'half', 3, 1)", "parameters": { "features": 1 } },
            { "name": "c", "class": "torch.nn.SiLU", "parameters": { "features": 1 },
              "calls": "product(<steps>, <v>) + if(contains(<steps>, <n>), find_last(<steps>, <n>, 4), 7)" },
            { "name": "d", "class": "torch.nn.SiLU", "parameters": { "features": 1 },
              "calls": "ceil(10 * at(<halves>, <v>)) + ceil(expected_experts(<k> + 1, min(<k>, 2), <seq_len> - 1))" } ] }"#,
    ),
    (
        "weights",
        60,
        r#"{ "workload": { "n": 4, "m": 2 }, "layers": [
            { "name": "a", "class": "torch.nn.Linear", "parameters": { "in_features": "<n> + 1", "out_features": "6 * <m>", "bias": "<n> > <m>" } },
            { "name": "b", "class": "torch.nn.Linear", "parameters": { "in_features": "6 * <m>", "out_features": "<n> + 1", "bias": false } },
            { "name": "c", "class": "torch.nn.Linear", "parameters": { "in_features": "<n> + 1", "out_features": "6 * <m>", "bias": true },
              "tied_to": "a" } ] }"#,
    ),
];

/// A model of the user's own.
fn own(name: &str, text: &str) -> Lowered {
    let read = SESSION.read(name, text).and_then(|model| model.lowered(&Execution::default()));
    read.into_result().unwrap_or_else(|said| panic!("{name}: {said:?}"))
}

/// What a workload divides, picks and raises is formulas as well: the interpreter's figures, and refusals where it refuses, in every language.
#[test]
fn whatever_a_workload_changes_has_a_formula() {
    let folder = tempfile::tempdir().unwrap();
    for (name, least, text) in CHANGED {
        let lowered = own(name, text);
        let base = base(Phase::Prefill);
        let (same, _) = compare_with_interpreter(name, &lowered, &base, 200, &mut Random(5));
        assert!(same > least / 4, "{name}: {same} of 200 random points have figures");
        let program = lowered.program(&base).unwrap();
        let (mut room, mut out, mut random) = (program.room(), Vec::new(), Random(9));
        let mut lines: Vec<String> = Vec::new();
        let mut points: Vec<Vec<u64>> = Vec::new();
        let mut answered = 0;
        for _ in 0..200 {
            let small = |name: &str, random: &mut Random| if name == "past_len" { 0 } else { random.below(13) };
            let point: Vec<u64> = program.variables().iter().map(|variable| small(&variable.name, &mut random)).collect();
            let is_right = program.at(&point, &mut room, &mut out);
            let totals = lowered.totals(&at_point(&base, &program, &point)).into_result();
            assert_eq!(is_right, totals.is_ok(), "{name} at {point:?}");
            answered += usize::from(is_right);
            for (at, total) in program.outputs().enumerate().filter(|(_, total)| SHOWN.contains(&total.name())) {
                let known =
                    totals.as_ref().map_or_else(|_| "refused".to_owned(), |totals| totals.total(total).unwrap().to_string());
                if is_right {
                    assert_eq!(out[at].to_string(), known, "{name} at {point:?}: {}", total.name());
                }
                lines.push(format!("{} {point:?} {known}", total.name()));
            }
            points.push(point);
        }
        assert!(answered >= *least, "{name}: {answered} of 200 small points have figures");
        let file = folder.path().join("m.json").display().to_string();
        std::fs::write(&file, text).unwrap();
        let module = |language: &str| {
            String::from_utf8(layerspec(&["formula", &file, "--as", language, "--quantity", &SHOWN.join(",")])).unwrap()
        };
        let names: Vec<&str> =
            program.outputs().map(layerspec::programs::Total::name).filter(|name| SHOWN.contains(name)).collect();
        let python = format!(
            "{}\nfor point in {points:?}:\n    for name in {names:?}:\n        try:\n            print(name, point, globals()[name](*point))\n        except ValueError:\n            print(name, point, 'refused')\n",
            module("python")
        );
        let javascript = format!(
            "{}\nconst all = {{ {} }};\nfor (const point of {points:?}) for (const name of {names:?}) {{\n  let found;\n  try {{ found = all[name](...point); }} catch (error) {{ if (!(error instanceof RangeError)) throw error; found = 'refused'; }}\n  console.log(`${{name}} [${{point.join(\", \")}}] ${{found}}`);\n}}\n",
            module("javascript"),
            names.join(", ")
        );
        for (program, arguments, script) in [("python3", &["-"][..], python), ("node", &["--input-type=module", "-"], javascript)]
        {
            let Some(printed) = run(program, arguments, &script) else { continue };
            let printed: Vec<&str> = printed.lines().collect();
            assert_eq!(printed.len(), lines.len(), "{name} in {program}");
            for (found, expected) in printed.iter().zip(&lines) {
                assert_eq!(found, expected, "{name} in {program}");
            }
        }
        // People and papers have it, too.
        for form in ["text", "latex", "json"] {
            assert!(!layerspec(&["formula", &file, "--as", form]).is_empty(), "{name} as {form}");
        }
    }
}

/// The quantities of which something changes in [`CHANGED`].
const SHOWN: [&str; 5] = ["matmul_flops", "vector_flops", "params", "weight_bytes", "activations_written"];

/// How people read it: rounding and divisibility in words.
#[test]
fn quotients_and_items_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.json").display().to_string();
    std::fs::write(&file, CHANGED[0].2).unwrap();
    let page = String::from_utf8(layerspec(&["formula", &file, "--quantity", "vector_flops"])).unwrap();
    for expected in ["⌊720/B⌋", "⌊S/chunk⌋", "⌈S/B⌉", "B divides 720", "chunk ≥ 1"] {
        assert!(page.contains(expected), "{expected} in {page}");
    }
    std::fs::write(&file, CHANGED[1].2).unwrap();
    let page = String::from_utf8(layerspec(&["formula", &file, "--quantity", "vector_flops"])).unwrap();
    for expected in ["item(v; 1, 2, 4, 9)", "2^k", "v < "] {
        assert!(page.contains(expected), "{expected} in {page}");
    }
}

/// What has no formula says what stands in the way, and whatever asks of the model is answered all the same.
#[test]
fn what_has_no_formula_is_said() {
    let float = r#""calls": "floor(float_product(<n>, 0.29))""#;
    // Each doubles the terms; no two are alike.
    let sum =
        (1..=11).map(|n| format!("if(<n> > {n} * <m> - <seq_len>, <n> + {n}, <m> * {n} + 1)")).collect::<Vec<_>>().join(" * ");
    let large = format!(r#""calls": "{sum}""#);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.json").display().to_string();
    for (calls, why) in
        [(float, "`float_product` of what a workload changes"), (large.as_str(), "beyond what formulas are made of")]
    {
        let text = format!(
            r#"{{ "workload": {{ "n": 400, "m": 3 }}, "layers": [ {{ "name": "a", "class": "torch.nn.SiLU", {calls}, "parameters": {{ "features": 4 }} }} ] }}"#
        );
        std::fs::write(&file, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_layerspec")).args(["formula", &file]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("error[E0407]: this model has no formulas") && said.contains(why), "{said}");
        let one = layerspec_total(&file, "vector_flops");
        let swept = String::from_utf8(layerspec(&["sweep", &file, "--set", "n=400,401", "--format", "csv"])).unwrap();
        assert!(swept.lines().nth(1).unwrap().contains(&one), "{one} in {swept}");
        layerspec(&["solve", &file, "--for", "batch", "--vector-flops", "1e12"]);
        layerspec(&["memory", &file, "--device", "h100-sxm"]);
    }
}
