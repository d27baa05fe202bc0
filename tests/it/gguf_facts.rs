//! What llama.cpp and ik_llama.cpp printed of real files: tensors, elements, GiB and bits a weight, of headers with the same tensors in the same
//! types, to each digit.
//!
//! The figures are of logs in ikawrakow/ik_llama.cpp (github-data), each with its number there. Which tensor has which type follows from the counts
//! of types and the printed size, or from the recipe beside the log; docs/mixes.md names the logs that can't be told so.

use std::io::Cursor;

use layerspec::{Execution, Settings, Workload};

use crate::support::SESSION;
use crate::support::gguf::{Gguf, Meta, Tensor};

/// A tensor: its block, its name without that and `.weight`, its dimensions with rows first.
type Named = (Option<u64>, String, Vec<u64>);

/// The keys and tensors of a file that doesn't say types yet.
struct File {
    architecture: &'static str,
    keys: Vec<(&'static str, u64)>,
    tensors: Vec<Named>,
    /// The type of what chooses experts.
    router: &'static str,
}

impl File {
    fn new(architecture: &'static str, keys: &[(&'static str, u64)], vocabulary: u64, hidden: u64) -> Self {
        let mut file = File { architecture, keys: keys.to_vec(), tensors: Vec::new(), router: "F32" };
        file.keys.push(("embedding_length", hidden));
        file.add(None, "token_embd", &[vocabulary, hidden]);
        file.add(None, "output_norm", &[hidden]);
        file
    }

    fn add(&mut self, block: impl Into<Option<u64>>, name: &str, dims: &[u64]) {
        self.tensors.push((block.into(), name.to_owned(), dims.to_vec()));
    }

    /// In types: `rule` says them of matrices, by name and block.
    fn typed(&self, rule: &dyn Fn(&str, u64) -> &'static str) -> Vec<u8> {
        let tensors = self.tensors.iter().map(|(block, name, dims)| {
            let kind = match name.as_str() {
                _ if dims.len() < 2 => "F32",
                "ffn_gate_inp" => self.router,
                name => rule(name, block.unwrap_or(0)),
            };
            let kind = SESSION.catalog().storage_type(kind).unwrap_or_else(|_| panic!("no type {kind}"));
            let end = if name == "exp_probs_b" { "bias" } else { "weight" };
            let name = block.map_or_else(|| format!("{name}.{end}"), |block| format!("blk.{block}.{name}.{end}"));
            let bytes = kind.tensor_bytes(dims).unwrap_or_else(|| panic!("{name} in {}", kind.name));
            let dims = dims.iter().rev().copied().collect();
            (name, dims, kind.ggml.unwrap(), bytes)
        });
        let tensors: Vec<Tensor> = tensors.collect();
        let keys: Vec<(String, u64)> =
            self.keys.iter().map(|(key, value)| (format!("{}.{key}", self.architecture), *value)).collect();
        let mut metadata = vec![("general.architecture", Meta::Text(self.architecture.into()))];
        metadata.extend(keys.iter().map(|(key, value)| (key.as_str(), Meta::Count(u32::try_from(*value).unwrap()))));
        Gguf::written(false, &metadata, &tensors)
    }
}

/// How a file of DeepSeek's keeps keys and values: whole, as converters of 2024 wrote it, or whole and in two parts, as ik_llama.cpp's did.
#[derive(PartialEq)]
enum Latent {
    Whole,
    Both,
}

fn deepseek(latent: &Latent, experts: u64, heads: u64, vocabulary: u64, dense: u64) -> File {
    let (hidden, wide, narrow) = (7168, 18_432, 2048);
    let keys = [
        ("block_count", 61),
        ("context_length", 163_840),
        ("feed_forward_length", wide),
        ("attention.head_count", heads),
        ("attention.head_count_kv", heads),
        ("attention.key_length", 192),
        ("attention.value_length", 128),
        ("attention.q_lora_rank", 1536),
        ("attention.kv_lora_rank", 512),
        ("rope.dimension_count", 64),
        ("leading_dense_block_count", dense),
        ("expert_count", experts),
        ("expert_used_count", 8),
        ("expert_shared_count", 1),
        ("expert_feed_forward_length", narrow),
        ("expert_gating_func", 2),
    ];
    let mut file = File::new("deepseek2", &keys, vocabulary, hidden);
    file.add(None, "output", &[vocabulary, hidden]);
    for block in 0..61 {
        let mut add = |name: &str, dims: &[u64]| file.add(block, name, dims);
        for (name, dim) in [("attn_norm", hidden), ("ffn_norm", hidden), ("attn_q_a_norm", 1536), ("attn_kv_a_norm", 512)] {
            add(name, &[dim]);
        }
        add("attn_q_a", &[1536, hidden]);
        add("attn_q_b", &[heads * 192, 1536]);
        add("attn_kv_a_mqa", &[576, hidden]);
        add("attn_kv_b", &[heads * 256, 512]);
        add("attn_output", &[hidden, heads * 128]);
        if *latent == Latent::Both {
            add("attn_k_b", &[heads * 512, 128]);
            add("attn_v_b", &[heads * 128, 512]);
        }
        if block < dense {
            feed_forward(&mut add, "", None, hidden, wide);
        } else {
            add("ffn_gate_inp", &[experts, hidden]);
            add("exp_probs_b", &[experts]);
            feed_forward(&mut add, "_exps", Some(experts), hidden, narrow);
            feed_forward(&mut add, "_shexp", None, hidden, narrow);
        }
    }
    file
}

/// Gate, up and down; of a stack `experts` of each.
fn feed_forward(add: &mut dyn FnMut(&str, &[u64]), end: &str, experts: Option<u64>, hidden: u64, wide: u64) {
    for (name, rows, columns) in [("ffn_gate", wide, hidden), ("ffn_up", wide, hidden), ("ffn_down", hidden, wide)] {
        let dims: Vec<u64> = experts.into_iter().chain([rows, columns]).collect();
        add(&format!("{name}{end}"), &dims);
    }
}

/// A decoder with attention of groups of 128-wide heads.
struct Decoder {
    architecture: &'static str,
    blocks: u64,
    hidden: u64,
    heads: u64,
    kv_heads: u64,
    wide: u64,
    vocabulary: u64,
    experts: Option<(u64, u64)>,
    head_norms: bool,
    /// Further norms of the size of the stream.
    norms: &'static [&'static str],
    output: bool,
    /// Whether gate and up are one tensor.
    joined: bool,
}

impl Decoder {
    fn file(&self) -> File {
        let Decoder { hidden, heads, kv_heads, wide, .. } = *self;
        let mut keys = vec![
            ("block_count", self.blocks),
            ("context_length", 32_768),
            ("feed_forward_length", wide),
            ("attention.head_count", heads),
            ("attention.head_count_kv", kv_heads),
            ("attention.key_length", 128),
            ("attention.value_length", 128),
        ];
        if let Some((experts, wide)) = self.experts {
            keys.extend([("expert_count", experts), ("expert_used_count", 8), ("expert_feed_forward_length", wide)]);
        }
        let mut file = File::new(self.architecture, &keys, self.vocabulary, hidden);
        if self.output {
            file.add(None, "output", &[self.vocabulary, hidden]);
        }
        for block in 0..self.blocks {
            let mut add = |name: &str, dims: &[u64]| file.add(block, name, dims);
            for name in ["attn_norm", "ffn_norm"].iter().chain(self.norms) {
                add(name, &[hidden]);
            }
            if self.head_norms {
                add("attn_q_norm", &[128]);
                add("attn_k_norm", &[128]);
            }
            for (name, rows, columns) in [
                ("attn_q", heads * 128, hidden),
                ("attn_k", kv_heads * 128, hidden),
                ("attn_v", kv_heads * 128, hidden),
                ("attn_output", hidden, heads * 128),
            ] {
                add(name, &[rows, columns]);
            }
            match self.experts {
                Some((experts, wide)) => {
                    add("ffn_gate_inp", &[experts, hidden]);
                    feed_forward(&mut add, "_exps", Some(experts), hidden, wide);
                }
                None if self.joined => {
                    add("ffn_up", &[2 * wide, hidden]);
                    add("ffn_down", &[hidden, wide]);
                }
                None => feed_forward(&mut add, "", None, hidden, wide),
            }
        }
        file
    }
}

const QWEN3_235B: Decoder = Decoder {
    architecture: "qwen3moe",
    blocks: 94,
    hidden: 4096,
    heads: 64,
    kv_heads: 4,
    wide: 12_288,
    vocabulary: 151_936,
    experts: Some((128, 1536)),
    head_norms: true,
    norms: &[],
    output: true,
    joined: false,
};
const QWEN3_30B: Decoder = Decoder { blocks: 48, hidden: 2048, heads: 32, wide: 6144, experts: Some((128, 768)), ..QWEN3_235B };
const QWEN3_32B: Decoder =
    Decoder { architecture: "qwen3", blocks: 64, hidden: 5120, kv_heads: 8, wide: 25_600, experts: None, ..QWEN3_235B };
const GLM_Z1_32B: Decoder = Decoder {
    architecture: "glm4",
    blocks: 61,
    hidden: 6144,
    heads: 48,
    kv_heads: 2,
    wide: 23_040,
    vocabulary: 151_552,
    head_norms: false,
    norms: &["post_attention_norm", "post_ffw_norm"],
    joined: true,
    ..QWEN3_32B
};
const LLAMA_3_8B: Decoder = Decoder {
    architecture: "llama",
    blocks: 32,
    hidden: 4096,
    heads: 32,
    wide: 14_336,
    vocabulary: 128_256,
    head_norms: false,
    ..QWEN3_32B
};
const GEMMA_3_27B: Decoder = Decoder {
    architecture: "gemma3",
    blocks: 62,
    hidden: 5376,
    heads: 32,
    kv_heads: 16,
    wide: 21_504,
    vocabulary: 262_208,
    head_norms: true,
    output: false,
    joined: false,
    ..GLM_Z1_32B
};

/// llama-quantize's `use_more_bits`.
fn more_bits(block: u64, blocks: u64) -> bool {
    block < blocks / 8 || block >= 7 * blocks / 8 || (block - blocks / 8) % 3 == 2
}

/// A file's tensors, and its elements, GiB and bits a weight with as many digits as are printed: `672.050 B`, `1251.990`, `16.003`.
type Printed = (usize, &'static str, &'static str, &'static str);

fn holds(what: &str, file: &File, rule: &dyn Fn(&str, u64) -> &'static str, printed: Printed) {
    let bytes = file.typed(rule);
    let contents = SESSION.contents("fact.gguf", &mut Cursor::new(bytes), None).value.unwrap();
    let elements: u64 = contents.tensors.iter().map(|held| held.shape.iter().flatten().product::<u64>()).sum();
    let bytes: u64 = contents.tensors.iter().map(|held| held.bytes.unwrap()).sum();
    let (count, in_words, gib, bits) = printed;
    let digits = |text: &str| text.split_once('.').unwrap().1.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = in_words.split_once(' ').unwrap();
    let scale = if unit == "T" { 1e12 } else { 1e9 };
    let told = [elements, bytes, bytes * 8].map(|n| n.to_string().parse::<f64>().unwrap());
    let ours = (
        contents.tensors.len(),
        format!("{:.*} {unit}", digits(number), told[0] / scale),
        format!("{:.*}", digits(gib), told[1] / f64::from(1u32 << 30)),
        format!("{:.*}", digits(bits), told[2] / told[0]),
    );
    assert_eq!(ours, (count, in_words.to_owned(), gib.to_owned(), bits.to_owned()), "{what}");
    // And the file is a model: all but what says the same again, buffers and rotary factors.
    let model = SESSION.open("fact.gguf", &contents, None, &Settings::default());
    let at =
        model.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(&Workload::prefill(1, 8)));
    let at = at.value.unwrap_or_else(|| panic!("{what} is no model"));
    let beside = ["attn_k_b", "attn_v_b", "exp_probs_b", "rope_freqs"];
    let own = contents.tensors.iter().filter(|held| !beside.iter().any(|name| held.name.contains(name)));
    let (params, bytes) = own.fold((0u128, 0u128), |(params, bytes), held| {
        (params + u128::from(held.shape.iter().flatten().product::<u64>()), bytes + u128::from(held.bytes.unwrap()))
    });
    assert_eq!((at.params(), at.named("weight_bytes")), (params, Some(bytes)), "{what}");
}

/// Experts in two types, gates and the way up in the first, all else in a third.
fn experts(gate: &'static str, down: &'static str, rest: &'static str) -> impl Fn(&str, u64) -> &'static str {
    move |name, _| match name {
        "ffn_gate_exps" | "ffn_up_exps" => gate,
        "ffn_down_exps" => down,
        _ => rest,
    }
}

#[test]
fn files_of_deepseek_are_what_was_printed_of_them() {
    let whole = deepseek(&Latent::Whole, 256, 128, 129_280, 3);
    let both = deepseek(&Latent::Both, 256, 128, 129_280, 3);
    let (b672, b671) = ("672.050 B", "671.026 B");
    holds("R1, #242", &both, &|_, _| "F16", (1147, b672, "1251.990", "16.003"));
    holds("R1, #258", &whole, &|_, _| "Q8_0", (1025, b671, "664.295", "8.504"));
    holds("V3-0324, #286", &both, &|_, _| "Q8_0", (1147, "672.05 B", "665.31", "8.50"));
    for (what, gate, down, gib, bits) in [
        ("V3-0324, #258", "IQ4_K_R4", "IQ5_K_R4", "386.183", "4.936"),
        ("R1-0528, #258 and #437", "IQ4_KS_R4", "IQ5_KS_R4", "367.774", "4.701"),
        ("R1-0528, #258", "Q4_K_R4", "Q6_K_R4", "413.144", "5.281"),
        ("R1-0528, #437", "IQ3_K_R4", "IQ4_KS_R4", "300.938", "3.847"),
    ] {
        holds(what, &both, &experts(gate, down, "Q8_0"), (1147, b672, gib, bits));
    }
    // `q6_K:58` where the rules of today have another, of keys and values together.
    for (q4, q6) in [("Q4_K", "Q6_K"), ("Q4_K_R4", "Q6_K_R4")] {
        let rule = move |name: &str, block: u64| match name {
            "output" => q6,
            "ffn_down" | "ffn_down_exps" | "ffn_down_shexp" if more_bits(block, 61) => q6,
            "token_embd" => "Q4_K",
            _ => q4,
        };
        holds("R1, #389 and #287", &whole, &rule, (1025, b671, "376.650", "4.822"));
    }
    let rule = |name: &str, _: u64| match name {
        "output" => "Q6_K",
        "token_embd" | "attn_q_a" | "attn_q_b" | "attn_kv_a_mqa" | "attn_kv_b" | "attn_k_b" => "Q8_0",
        _ => "IQ4_KSS",
    };
    holds("R1, #239", &both, &rule, (1147, b672, "317.185", "4.054"));
    let rule = |name: &str, _: u64| match name {
        "output" => "Q6_K",
        "token_embd" => "IQ4_K",
        "attn_k_b" => "Q5_0",
        "attn_output" => "Q5_K",
        _ => "IQ4_K_R4",
    };
    holds("R1, #287", &both, &rule, (1147, b672, "353.526", "4.519"));
    let rule = |name: &str, _: u64| match name {
        "output" => "Q6_K",
        "attn_k_b" => "IQ4_NL",
        "attn_output" | "ffn_down" | "ffn_down_exps" | "ffn_down_shexp" => "Q3_K",
        _ => "Q2_K",
    };
    holds("R1, #235", &both, &rule, (1147, b672, "227.689", "2.910"));
    let rule = |name: &str, _: u64| match name {
        "attn_k_b" => "Q5_0",
        "ffn_gate_exps" | "ffn_up_exps" => "IQ2_K_R4",
        "ffn_down_exps" => "IQ3_K_R4",
        "ffn_gate_shexp" | "ffn_up_shexp" => "IQ4_KS",
        _ => "IQ5_KS",
    };
    holds("R1-0528, #538", &both, &rule, (1147, b672, "219.019", "2.799"));
    let rule = |name: &str, _: u64| match name {
        "attn_k_b" => "Q4_0",
        "ffn_gate_exps" | "ffn_up_exps" => "IQ1_S_R4",
        "ffn_down_exps" => "IQ1_M_R4",
        _ => "IQ4_KS",
    };
    holds("R1-0528, #492", &both, &rule, (1147, b672, "130.203", "1.664"));
    let rule = |name: &str, block: u64| match name {
        "token_embd" => "IQ6_K",
        "attn_k_b" => "Q6_0_R4",
        "ffn_gate_exps" | "ffn_up_exps" => {
            if block < 20 {
                "IQ4_K_R4"
            } else {
                "IQ3_K_R4"
            }
        }
        "ffn_down_exps" if block >= 20 => "IQ4_K_R4",
        _ => "IQ5_K_R4",
    };
    holds("V3-0324, #296", &both, &rule, (1147, b672, "324.011", "4.141"));
    let kimi = deepseek(&Latent::Both, 384, 64, 163_840, 1);
    holds("Kimi-K2, #616", &kimi, &|_, _| "Q8_0", (1157, "1.027 T", "1016.623", "8.504"));
}

#[test]
fn files_of_other_models_are_what_was_printed_of_them() {
    let big = QWEN3_235B.file();
    holds("Qwen3-235B, #370", &big, &|_, _| "Q6_K", (1131, "235.094 B", "179.754", "6.568"));
    let rule = |name: &str, _: u64| if matches!(name, "ffn_down_exps" | "token_embd" | "output") { "Q8_0" } else { "IQ6_K" };
    holds("Qwen3-235B, #357", &big, &rule, (1131, "235.094 B", "198.259", "7.244"));
    let rule = |name: &str, _: u64| match name {
        "token_embd" | "output" => "Q8_0",
        "ffn_gate_exps" | "ffn_up_exps" => "IQ3_K",
        "ffn_down_exps" => "IQ4_K",
        _ => "IQ6_K",
    };
    holds("Qwen3-235B, #437 and #629", &big, &rule, (1131, "235.094 B", "106.830", "3.903"));
    let medium = |most: &'static str, blocks: u64| {
        move |name: &str, block: u64| match name {
            "output" => "Q6_K",
            "attn_v" | "ffn_down_exps" if more_bits(block, blocks) => "Q6_K",
            _ => most,
        }
    };
    holds("Qwen3-235B, #389 and #530", &big, &medium("Q4_K", 94), (1131, "235.094 B", "132.386", "4.837"));
    let small = QWEN3_30B.file();
    holds("Qwen3-30B, #514", &small, &medium("Q4_K", 48), (579, "30.53 B", "17.28", "4.86"));
    holds("Qwen3-30B, #380", &small, &medium("Q5_K", 48), (579, "30.53 B", "20.23", "5.69"));
    let rule = |name: &str, block: u64| match name {
        "token_embd" | "output" => "Q8_0",
        "attn_q" | "attn_k" | "attn_v" | "attn_output" if block == 0 => "Q8_0",
        "ffn_gate_exps" | "ffn_up_exps" => "IQ4_K",
        "ffn_down_exps" => "IQ5_K",
        _ => "IQ6_K",
    };
    holds("Qwen3-30B, #370", &small, &rule, (579, "30.532 B", "17.679", "4.974"));
    let first_down = |blocks: u64, out: &'static str| {
        move |name: &str, block: u64| match name {
            name if name == out => "Q6_K",
            "ffn_down" if block < blocks / 8 => "Q4_1",
            _ => "Q4_0",
        }
    };
    holds("Qwen3-32B, #539", &QWEN3_32B.file(), &first_down(64, "output"), (707, "32.762 B", "17.413", "4.566"));
    holds("Gemma-3-27B, #539", &GEMMA_3_27B.file(), &first_down(62, "token_embd"), (808, "27.009 B", "14.539", "4.624"));
    let rule = |name: &str, _: u64| if name == "token_embd" { "Q6_K" } else { "IQ4_XS" };
    holds("Gemma-3-27B, #539", &GEMMA_3_27B.file(), &rule, (808, "27.009 B", "13.747", "4.372"));
    let rule = |name: &str, _: u64| match name {
        "output" => "Q6_K",
        "attn_v" => "Q5_K",
        _ => "IQ4_XS",
    };
    holds("GLM-Z1-32B, #344", &GLM_Z1_32B.file(), &rule, (613, "32.57 B", "16.38", "4.32"));
    // Printed of the file that llama-quantize made, below the types of the one that it read: `bf16:368`.
    let rumination = Decoder { architecture: "chatglm", kv_heads: 8, ..GLM_Z1_32B }.file();
    holds("GLM-Z1-Rumination, #333", &rumination, &|_, _| "IQ4_K", (613, "33.142 B", "17.367", "4.501"));
}

#[test]
fn files_of_older_rules_are_what_was_printed_of_them() {
    // ik_llama.cpp#562 and #103: Llama 3.1 with its rotary factors; ik_llama.cpp's own Q5_K_S has values in six bits where the vocabulary is large.
    let mut llama = LLAMA_3_8B.file();
    llama.add(None, "rope_freqs", &[64]);
    let rule = |name: &str, _: u64| if name == "output" { "Q6_K" } else { "Q4_0" };
    holds("Llama-3.1-8B, #562", &llama, &rule, (292, "8.03 B", "4.33", "4.64"));
    let rule = |name: &str, _: u64| match name {
        "output" | "attn_v" => "Q6_K",
        "attn_q" => "Q4_K",
        _ => "Q5_K",
    };
    holds("Llama-3.1-8B, #103", &llama, &rule, (292, "8.030 B", "5.162", "5.521"));
    // ggml-org/llama.cpp#4406, Mixtral in December 2023: each expert in tensors of its own, whose names no rule of `ffn_down.weight` meant, and what
    // chooses them in 16 bits.
    let mut mixtral = File::new("llama", &[], 32_000, 4096);
    mixtral.router = "F16";
    mixtral.keys.extend([("block_count", 32), ("context_length", 32_768), ("feed_forward_length", 14_336), ("expert_count", 8)]);
    mixtral.keys.extend([("attention.head_count", 32), ("attention.head_count_kv", 8), ("expert_used_count", 2)]);
    mixtral.add(None, "output", &[32_000, 4096]);
    for block in 0..32 {
        let mut add = |name: &str, dims: &[u64]| mixtral.add(block, name, dims);
        for name in ["attn_norm", "ffn_norm"] {
            add(name, &[4096]);
        }
        for (name, rows) in [("attn_q", 4096), ("attn_k", 1024), ("attn_v", 1024), ("attn_output", 4096), ("ffn_gate_inp", 8)] {
            add(name, &[rows, 4096]);
        }
        for expert in 0..8 {
            feed_forward(&mut add, &format!(".{expert}"), None, 4096, 14_336);
        }
    }
    for (most, output, gib, bits) in [
        ("Q2_K", "Q3_K", "14.57", "2.68"),
        ("Q3_K", "Q4_K", "18.96", "3.49"),
        ("Q4_0", "Q4_0", "24.62", "4.53"),
        ("Q4_K", "Q4_K", "24.62", "4.53"),
        ("Q5_0", "Q5_0", "30.02", "5.52"),
        ("Q5_K", "Q5_K", "30.02", "5.52"),
        ("Q6_K", "Q6_K", "35.74", "6.57"),
        ("Q8_0", "Q8_0", "46.22", "8.50"),
    ] {
        let rule = move |name: &str, _: u64| match name {
            "output" => {
                if most == "Q8_0" {
                    most
                } else {
                    "Q6_K"
                }
            }
            "attn_k" | "attn_v" => "Q8_0",
            "attn_output" => output,
            _ => most,
        };
        holds(&format!("Mixtral of 2023 in {most}"), &mixtral, &rule, (995, "46.70 B", gib, bits));
    }
}
