//! Texts of `print(model)` as models: what is read, what a family makes of it, what stands as it is, what is refused.

use std::path::Path;

use layerspec::diagnostics::{Code, Diagnostics};
use layerspec::{Evaluation, Execution, Model, Outcome, Session, Settings, Workload};

use crate::support::{SESSION, codes};

fn printed(text: &str) -> Outcome<Model> {
    SESSION.printed("printed.txt", text, &Settings::default())
}

fn partly(text: &str) -> Outcome<Model> {
    SESSION.printed("printed.txt", text, &Settings { partial: true, ..Settings::default() })
}

fn evaluated(model: Outcome<Model>) -> Outcome<Evaluation> {
    model.and_then(|model| model.lowered(&Execution::default())).and_then(|lowered| lowered.at(&Workload::prefill(1, 16)))
}

fn params(text: &str) -> u128 {
    let outcome = evaluated(printed(text));
    assert!(!outcome.diagnostics.has_errors(), "{:#?}", outcome.diagnostics);
    outcome.value.unwrap().params()
}

fn said(diagnostics: &Diagnostics) -> String {
    diagnostics.iter().map(|diagnostic| format!("{}\n", diagnostic.message)).collect()
}

fn family(text: &str) -> Option<String> {
    let outcome = printed(text);
    assert!(!outcome.diagnostics.has_errors(), "{:#?}", outcome.diagnostics);
    outcome.value.unwrap().family().map(str::to_owned)
}

/// A small Llama: 1,000 tokens of 64, 2 layers, 4 heads of 16 of which 2 are of keys. `norm`: what is said of one.
fn llama(norm: &str) -> String {
    format!(
        "LlamaForCausalLM(
  (model): LlamaModel(
    (embed_tokens): Embedding(1000, 64)
    (layers): ModuleList(
      (0-1): 2 x LlamaDecoderLayer(
        (self_attn): LlamaAttention(
          (q_proj): Linear(in_features=64, out_features=64, bias=False)
          (k_proj): Linear(in_features=64, out_features=32, bias=False)
          (v_proj): Linear(in_features=64, out_features=32, bias=False)
          (o_proj): Linear(in_features=64, out_features=64, bias=False)
        )
        (mlp): LlamaMLP(
          (gate_proj): Linear(in_features=64, out_features=128, bias=False)
          (up_proj): Linear(in_features=64, out_features=128, bias=False)
          (down_proj): Linear(in_features=128, out_features=64, bias=False)
          (act_fn): SiLU()
        )
        (input_layernorm): LlamaRMSNorm({norm})
        (post_attention_layernorm): LlamaRMSNorm({norm})
      )
    )
    (norm): LlamaRMSNorm({norm})
    (rotary_emb): LlamaRotaryEmbedding()
  )
  (lm_head): Linear(in_features=64, out_features=1000, bias=False)
)
"
    )
}

/// Its weights: embeddings and head, then those of a layer.
const LLAMA: u128 = 2 * 64_000 + 64 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64);

#[test]
fn a_known_class_is_its_family_with_the_layers_between_modules() {
    for norm in ["(64,), eps=1e-05", ""] {
        let text = llama(norm);
        let outcome = evaluated(printed(&text));
        let at = outcome.value.as_ref().unwrap_or_else(|| panic!("{:#?}", outcome.diagnostics));
        assert_eq!(at.params(), LLAMA, "{norm}");
        assert_eq!(family(&text).as_deref(), Some("llama"));
        // Attention itself is no module.
        assert!(at.rows().any(|row| row.class_name().contains("attention")), "{norm}");
        assert_eq!(codes(&outcome.diagnostics), [Code::CheckpointRemark]);
        assert!(said(&outcome.diagnostics).contains("`num_attention_heads`"), "{}", said(&outcome.diagnostics));
    }
}

/// Texts that PyTorch printed of small models, with what it counted: names and ways of printing of several versions, `unknown-*` of roots that
/// no family knows (tests/reference/README.md says how they were made).
#[test]
fn texts_of_several_versions_have_the_parameters_that_pytorch_counts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/prints");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let counted: u128 = text.split_once(": ").unwrap().1.split_once(" parameters").unwrap().0.parse().unwrap();
        let outcome = printed(&text);
        assert!(!outcome.diagnostics.has_errors(), "{name}: {:#?}", outcome.diagnostics);
        assert_eq!(
            outcome.value.as_ref().unwrap().family().is_none(),
            name.starts_with("unknown-"),
            "{name}: {}",
            said(&outcome.diagnostics)
        );
        assert_eq!(evaluated(outcome).value.unwrap().params(), counted, "{name}");
        read += 1;
    }
    assert!(read >= 18, "{read}");
}

#[test]
fn what_is_assumed_of_parts_and_of_shared_tensors_is_said() {
    let text = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/reference/prints/{name}.txt"));
        std::fs::read_to_string(path).unwrap()
    };
    // Heads of both parts, though the sizes of one leave no room for the other's.
    let siglip = said(&printed(&text("siglip-has-no-class-token")).diagnostics);
    for key in ["`text_config.num_attention_heads`", "`vision_config.num_attention_heads`"] {
        assert!(siglip.contains(key), "{siglip}");
    }
    let writer = said(&printed(&text("vit-writes-with-gpt2")).diagnostics);
    assert!(writer.contains("`encoder.image_size` 224"), "{writer}");
    // lm_head of GPT-2: 120 x 64.
    assert!(writer.contains("`decoder.lm_head.weight` is shared with another layer"), "{writer}");
    assert!(writer.contains(&format!("{} parameters more", 120 * 64)), "{writer}");
    // TrOCR has a larger one, as the model of its sizes says; of an inner config only what isn't said is shown.
    let trocr = said(&printed(&text("trocr-base-4.46.3")).diagnostics);
    assert!(trocr.contains("`encoder.image_size` 384") && !trocr.contains("`encoder.hidden_size`"), "{trocr}");
    // Of T5 all three tables are the one that is shared.
    let t5 = said(&printed(&text("t5-tied")).diagnostics);
    assert!(t5.contains(&format!("{} parameters more if they have", 3 * 120 * 64)), "{t5}");
    // Llama's head has its own unless it is said.
    let outcome = printed(&llama(""));
    assert!(said(&outcome.diagnostics).contains("`tie_word_embeddings` false"), "{}", said(&outcome.diagnostics));
    let tied = SESSION.printed("printed.txt", llama(""), &Settings::default().set("tie_word_embeddings", true));
    assert_eq!(evaluated(tied).value.unwrap().params(), LLAMA - 64_000);
}

#[test]
fn what_stands_around_a_text_doesnt_matter() {
    let text = llama("");
    let flat: String = text.lines().map(|line| format!("{}\n", line.trim())).collect();
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let quoted: String = text.lines().map(|line| format!("> {line}\n")).collect();
    let numbered: String = text.lines().enumerate().map(|(at, line)| format!("{:>3} | {line}\n", at + 1)).collect();
    let labelled: String = text.lines().map(|line| format!("[rank0]: {line}\n")).collect();
    let coloured = format!("\u{1b}[1mLoading...\u{1b}[0m\n\u{1b}[32m{text}\u{1b}[0m");
    let session = format!("2026-12-01 INFO loading (this may take a while)\n>>> print(model)\n{text}>>> \n");
    let notebook = format!("Out[3]: {text}");
    let fenced = format!("This is the model:\n\n```\n{text}```\n\nIt has (a few): layers (see above).\n");
    let page = format!("<pre><code>{}</code></pre>", text.replace('\'', "&#39;").replace("1e-05", "1e&#45;05"));
    let windows = text.replace('\n', "\r\n");
    let logged: String = text.lines().map(|line| format!("2026-12-01 10:11:12,345 INFO root: {line}\n")).collect();
    let escaped = text.replace('_', "\\_");
    let stored: String = text.lines().map(|line| format!("    \"{line}\\n\",\n")).collect();
    let string = format!("\"text/plain\": \"{}\"", text.replace('\n', "\\n"));
    let assigned = format!("model = {text}");
    for text in [
        flat, one_line, quoted, numbered, labelled, coloured, session, notebook, fenced, page, windows, assigned, logged,
        escaped, stored, string,
    ] {
        assert_eq!(params(&text), LLAMA, "{text}");
        assert_eq!(family(&text).as_deref(), Some("llama"), "{text}");
    }
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert!(Session::is_print(&utf16));
    assert_eq!(evaluated(SESSION.printed("utf16.txt", utf16, &Settings::default())).value.unwrap().params(), LLAMA);
}

#[test]
fn wrappers_are_taken_off() {
    let text = llama("");
    let inside = |outer: &str, name: &str| format!("{outer}(\n  ({name}): {text})\n");
    for (outer, name) in [
        ("DataParallel", "module"),
        ("DistributedDataParallel", "module"),
        ("FullyShardedDataParallel", "_fsdp_wrapped_module"),
        ("OptimizedModule", "_orig_mod"),
        ("LlamaGPTQForCausalLM", "model"),
    ] {
        let wrapped = inside(outer, name);
        assert_eq!(params(&wrapped), LLAMA, "{outer}");
        assert_eq!(family(&wrapped).as_deref(), Some("llama"), "{outer}");
        assert!(said(&printed(&wrapped).diagnostics).contains(outer));
    }
    // Inside of every layer, too.
    let layer = "(0-1): 2 x FullyShardedDataParallel((_fsdp_wrapped_module): CheckpointWrapper((_checkpoint_wrapped_module): LlamaDecoderLayer(";
    let sharded = text
        .replace("(0-1): 2 x LlamaDecoderLayer(", layer)
        .replace("      )\n    )\n    (norm)", "      )))\n    )\n    (norm)");
    assert_eq!(params(&sharded), LLAMA);
    assert_eq!(family(&sharded).as_deref(), Some("llama"));
}

#[test]
fn an_adapter_is_counted_apart() {
    let plain = "(q_proj): Linear(in_features=64, out_features=64, bias=False)";
    let adapted = "(q_proj): lora.Linear(
            (base_layer): Linear(in_features=64, out_features=64, bias=False)
            (lora_dropout): ModuleDict((default): Dropout(p=0.05, inplace=False))
            (lora_A): ModuleDict((default): Linear(in_features=64, out_features=8, bias=False))
            (lora_B): ModuleDict((default): Linear(in_features=8, out_features=64, bias=False))
            (lora_embedding_A): ParameterDict()
            (lora_embedding_B): ParameterDict()
          )";
    let early = "(q_proj): Linear(
            in_features=64, out_features=64, bias=False
            (lora_dropout): ModuleDict((default): Dropout(p=0.05, inplace=False))
            (lora_A): ModuleDict((default): Linear(in_features=64, out_features=8, bias=False))
            (lora_B): ModuleDict((default): Linear(in_features=8, out_features=64, bias=False))
          )";
    for adapted in [adapted, early] {
        let text = llama("").replace(plain, adapted);
        let wrapped = format!("PeftModelForCausalLM(\n (base_model): LoraModel(\n (model): {text} ) )");
        assert_eq!(params(&wrapped), LLAMA);
        let outcome = printed(&wrapped);
        assert!(said(&outcome.diagnostics).contains(&format!("{} parameters", 2 * 2 * 64 * 8)), "{}", said(&outcome.diagnostics));
    }
    // PEFT prints what isn't there, too.
    let tokens = "(embed_tokens): TrainableTokensWrapper(
      (original_module): None
      (token_adapter): TrainableTokensLayer((base_layer): Embedding(1000, 64))
    )";
    assert_eq!(params(&llama("").replace("(embed_tokens): Embedding(1000, 64)", tokens)), LLAMA);
    let embedding = "(embed_tokens): lora.Embedding(
      (base_layer): Embedding(1000, 64)
      (lora_A): ModuleDict()
      (lora_embedding_A): ParameterDict(  (default): Parameter containing: [torch.cuda.FloatTensor of size 4x1000 (cuda:0)])
      (lora_embedding_B): ParameterDict(  (default): Parameter containing: [torch.FloatTensor of size 64x4])
    )";
    let text = llama("").replace("(embed_tokens): Embedding(1000, 64)", embedding);
    assert_eq!(params(&text), LLAMA);
    assert!(said(&printed(&text).diagnostics).contains("4256 parameters"), "{}", said(&printed(&text).diagnostics));
}

#[test]
fn quantized_layers_are_those_that_they_stand_for() {
    let text = llama("").replace(": Linear(in_features=64, out_features=128", ": Linear4bit(in_features=64, out_features=128");
    let at = evaluated(printed(&text)).value.unwrap();
    assert_eq!(at.params(), LLAMA);
    assert!(at.named("weight_bytes").unwrap() < 2 * LLAMA);
}

#[test]
fn a_famous_name_of_another_model_is_no_family() {
    let text = "Qwen3Model(
  (tok_emb): Embedding(1000, 64)
  (trf_blocks): ModuleList((0-1): 2 x TransformerBlock((ff): FeedForward((fc1): Linear(in_features=64, out_features=64, bias=False))))
  (out_head): Linear(in_features=64, out_features=1000, bias=False)
)";
    assert_eq!(family(text), None);
    assert_eq!(params(text), 2 * 64_000 + 2 * 64 * 64);
    assert!(said(&printed(text).diagnostics).contains("isn't taken as a `Qwen3Model`"));
}

#[test]
fn an_unknown_model_stands_as_it_is_printed() {
    // AlexNet of torchvision.
    let text = "AlexNet(
  (features): Sequential(
    (0): Conv2d(3, 64, kernel_size=(11, 11), stride=(4, 4), padding=(2, 2))
    (1): ReLU(inplace=True)
    (2): MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)
    (3): Conv2d(64, 192, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))
    (4): ReLU(inplace=True)
    (5): MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)
    (6): Conv2d(192, 384, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (7): ReLU(inplace=True)
    (8): Conv2d(384, 256, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (9): ReLU(inplace=True)
    (10): Conv2d(256, 256, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (11): ReLU(inplace=True)
    (12): MaxPool2d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)
  )
  (avgpool): AdaptiveAvgPool2d(output_size=(6, 6))
  (classifier): Sequential(
    (0): Dropout(p=0.5, inplace=False)
    (1): Linear(in_features=9216, out_features=4096, bias=True)
    (2): ReLU(inplace=True)
    (3): Dropout(p=0.5, inplace=False)
    (4): Linear(in_features=4096, out_features=4096, bias=True)
    (5): ReLU(inplace=True)
    (6): Linear(in_features=4096, out_features=1000, bias=True)
  )
)";
    let at = evaluated(printed(text)).value.unwrap();
    // torchvision's own: 61,100,840 parameters and 0.71 GFLOPs (multiply-adds) of an image of 224 x 224.
    assert_eq!(at.params(), 61_100_840);
    let macs = at.matmul_flops() / 2;
    assert_eq!(macs / 10_000_000, 71, "{macs}");
}

#[test]
fn a_residual_net_reads_what_fits() {
    let text = "ResNet(
  (conv1): Conv2d(3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False)
  (bn1): BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
  (relu): ReLU(inplace=True)
  (maxpool): MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)
  (layer1): Sequential(
    (0): BasicBlock(
      (conv1): Conv2d(64, 128, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False)
      (bn1): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
      (relu): ReLU(inplace=True)
      (conv2): Conv2d(128, 128, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
      (bn2): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
      (downsample): Sequential(
        (0): Conv2d(64, 128, kernel_size=(1, 1), stride=(2, 2), bias=False)
        (1): BatchNorm2d(128, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
      )
    )
  )
  (avgpool): AdaptiveAvgPool2d(output_size=(1, 1))
  (fc): Linear(in_features=128, out_features=10, bias=True)
)";
    let at = evaluated(printed(text)).value.unwrap();
    let convolutions = 3 * 64 * 49 + 64 * 128 * 9 + 128 * 128 * 9 + 64 * 128;
    assert_eq!(at.params(), convolutions + 2 * (64 + 3 * 128) + 1290);
    // 112 x 112, then 28 x 28; the shortcut's is of the block's input.
    let products = 3 * 64 * 49 * 112 * 112 + (64 * 128 * 9 + 128 * 128 * 9 + 64 * 128) * 28 * 28 + 1280;
    assert_eq!(at.matmul_flops(), 2 * products);
    let wide = Settings::default().set("image_size", 448u64);
    let wide = evaluated(SESSION.printed("resnet.txt", text, &wide)).value.unwrap();
    assert_eq!(wide.matmul_flops(), 2 * (4 * (products - 1280) + 1280));
}

#[test]
fn an_attention_of_torch_has_weights_that_arent_printed() {
    let text = "TransformerEncoder(
  (layers): ModuleList(
    (0-5): 6 x TransformerEncoderLayer(
      (self_attn): MultiheadAttention(
        (out_proj): NonDynamicallyQuantizableLinear(in_features=512, out_features=512, bias=True)
      )
      (linear1): Linear(in_features=512, out_features=2048, bias=True)
      (dropout): Dropout(p=0.1, inplace=False)
      (linear2): Linear(in_features=2048, out_features=512, bias=True)
      (norm1): LayerNorm((512,), eps=1e-05, elementwise_affine=True)
      (norm2): LayerNorm((512,), eps=1e-05, elementwise_affine=True)
      (dropout1): Dropout(p=0.1, inplace=False)
      (dropout2): Dropout(p=0.1, inplace=False)
    )
  )
)";
    // sum(p.numel()) of torch.nn.TransformerEncoderLayer(512, 8) is 3,152,384.
    assert_eq!(params(text), 6 * 3_152_384);
}

#[test]
fn layers_of_torch_have_the_parameters_that_it_counts() {
    // sum(p.numel()) of torch 2.15.0, and what FlopCounterMode counts on the CPU of 16 rows where it sees the product.
    let layers: [(&str, u128, Option<u128>); 8] = [
        ("LSTM(7, 11, num_layers=2, batch_first=True, dropout=0.5, bidirectional=True)", 4840, None),
        ("LSTM(7, 11, proj_size=5, batch_first=True)", 671, Some(16 * 1166)),
        ("GRU(7, 11, num_layers=3, batch_first=True)", 2244, Some(16 * 4092)),
        ("RNN(7, 11, bias=False)", 198, Some(16 * 396)),
        ("LSTMCell(7, 11)", 880, Some(16 * 1584)),
        ("PReLU(num_parameters=7)", 7, Some(0)),
        ("LogSoftmax(dim=1)", 0, Some(0)),
        ("Swish()", 0, Some(0)),
    ];
    let before = 3 * 7 + 7;
    for (layer, counted, products) in layers {
        let text =
            format!("Net(\n (a): Embedding(9, 3)\n (b): Linear(in_features=3, out_features=7, bias=True)\n (c): {layer}\n)");
        let at = evaluated(printed(&text)).value.unwrap();
        assert_eq!(at.params(), 27 + before + counted, "{layer}");
        if let Some(products) = products {
            assert_eq!(at.matmul_flops(), 2 * 16 * 21 + products, "{layer}");
        }
    }
    // Between grids: 8 x 12 x 12 becomes 2 x 24 x 24, then 2 x 48 x 48. sum(p.numel()): 224 + 16 + 0 + 0 + 152.
    let text = "Net(
      (a): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
      (n): InstanceNorm2d(8, eps=1e-05, momentum=0.1, affine=True, track_running_stats=False)
      (p): PixelShuffle(upscale_factor=2)
      (u): Upsample(scale_factor=2.0, mode='bilinear')
      (c): Conv2d(2, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    )";
    let settings = Settings::default().set("image_size", 12u64);
    let at = evaluated(SESSION.printed("net.txt", text, &settings)).value.unwrap();
    assert_eq!(at.params(), 224 + 16 + 152);
    assert_eq!(at.matmul_flops(), 2 * (12 * 12 * 27 * 8 + 48 * 48 * 18 * 8));
}

#[test]
fn lists_with_numbers_that_begin_later_and_lone_layers() {
    let text = "Net(
  (layers): ModuleList(
    (0): Linear(in_features=8, out_features=4, bias=True)
    (1-3): 3 x Linear(in_features=4, out_features=4, bias=False)
    (4-5): 2 x Linear(in_features=4, out_features=2, bias=False)
  )
)";
    assert_eq!(params(text), 36 + 3 * 16 + 2 * 8);
    assert_eq!(params("Linear(in_features=3, out_features=2, bias=True)\n"), 8);
    assert_eq!(params("Net((fc): Linear(in_features=3, out_features=2, bias=True))"), 8);
}

#[test]
fn what_isnt_known_is_named_at_once_or_left_out() {
    let text = "Net(
  (a): Linear(in_features=8, out_features=4, bias=True)
  (layers): ModuleList((0-2): 3 x Block((odd): MySecretLayer(width=3), (norm): RMSNorm()))
  (b): QuantLinear()
)";
    let outcome = printed(text);
    assert_eq!(codes(&outcome.diagnostics), [Code::UnmappedCheckpoint]);
    let message = said(&outcome.diagnostics);
    for name in ["3 `MySecretLayer`", "3 `RMSNorm`", "`QuantLinear`"] {
        assert!(message.contains(name), "{message}");
    }
    let outcome = evaluated(partly(text));
    let at = outcome.value.as_ref().unwrap_or_else(|| panic!("{:#?}", outcome.diagnostics));
    assert_eq!(at.params(), 36);
    assert!(codes(&outcome.diagnostics).contains(&Code::PartialModel));
}

#[test]
fn a_text_that_is_cut_is_no_model() {
    let whole = llama("");
    let dots = whole.replace("        (mlp): LlamaMLP(", "        ...\n        (mlp): LlamaMLP(");
    assert_eq!(codes(&printed(&dots).diagnostics), [Code::MalformedCheckpoint]);
    assert!(evaluated(partly(&dots)).value.is_some());
    // Without its last parentheses it is whole all the same.
    assert_eq!(params(whole.trim_end().trim_end_matches([')', '\n', ' '])), LLAMA);
    // Every beginning is a model, or refused: never a panic, never another's totals.
    for (end, _) in whole.char_indices().step_by(61) {
        let outcome = printed(&whole[..end]);
        assert!(outcome.value.is_none() || said(&outcome.diagnostics).contains("guessed"), "{end}");
        let _ = evaluated(partly(&whole[..end]));
    }
}

#[test]
fn tables_of_other_programs_are_refused_by_name() {
    let keras =
        "Model: \"sequential\"\n____\n Layer (type)    Output Shape    Param #\n====\n dense (Dense)   (None, 64)   640\n";
    assert!(Session::is_print(keras.as_bytes()));
    let outcome = printed(keras);
    assert_eq!(codes(&outcome.diagnostics), [Code::MalformedCheckpoint]);
    assert!(said(&outcome.diagnostics).contains("Keras"));
    for other in ["", "hello", "{ \"layers\": [] }", "[1, 2]", "f(x) = (a): b", "import torch\nprint(model)\n"] {
        assert!(!Session::is_print(other.as_bytes()), "{other}");
    }
}

#[test]
fn hostile_texts_take_no_longer_than_others() {
    let deep = "A((b): ".repeat(100_000);
    let wide = format!("A({})", "(b): C()".repeat(300_000));
    let huge = "A((layers): ModuleList((0-18446744073709551614): 18446744073709551615 x Linear(in_features=1, out_features=1, bias=True)))";
    let long = format!("A((0-{0}): {1} x Linear(in_features=1, out_features=1, bias=False))", u64::MAX - 1, u64::MAX);
    let wrong = "A((0-3): 5 x Linear(in_features=1, out_features=1, bias=False))".to_owned();
    let big = "A((b): Linear(in_features=99999999999999999999, out_features=340282366920938463463374607431768211455, bias=True))"
        .to_owned();
    let open = format!("A((b): C({}", "(".repeat(200_000));
    let quoted = format!("A((b): C('{}", "x'(".repeat(100_000));
    let lists = format!("A((b): C({}))", "[".repeat(4_000) + &"]".repeat(4_000));
    let blanks = format!("A({}(b):{}C())", " ".repeat(200_000), "\n".repeat(200_000));
    let names = format!("A(({}): C())", "x".repeat(100_000));
    let conv =
        "A((b): Conv2d(0, 0, kernel_size=(0, 0), stride=(0, 0)), (c): Conv2d(3, 4, kernel_size=(9999, 9999), stride=(0, 0)))"
            .to_owned();
    let braces =
        "A((<x>): Linear(in_features=1, out_features=1, bias=False) ({y}): Linear(in_features=1, out_features=1, bias=False))"
            .to_owned();
    let roots = "A((b): C())\n".repeat(20_000);
    for text in [deep, wide, huge.to_owned(), long, wrong, big, open, quoted, lists, blanks, names, conv, braces, roots] {
        let _ = Session::is_print(text.as_bytes());
        let _ = evaluated(printed(&text));
        let _ = evaluated(partly(&text));
    }
}

#[test]
fn an_import_is_a_model_with_the_same_totals() {
    let unknown = "Net(\n (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))\n (1): GroupNorm(4, 8, eps=1e-05, affine=True)\n (2): SiLU()\n (3): Conv2d(8, 8, kernel_size=(3, 3), stride=(2, 2))\n)";
    for text in [llama(""), llama("(64,), eps=1e-05"), unknown.to_owned()] {
        let outcome = printed(&text);
        let model = outcome.value.as_ref().unwrap_or_else(|| panic!("{:#?}", outcome.diagnostics));
        let imported = model.import(Some("it")).value.unwrap();
        let again = evaluated(SESSION.read("imported.json", imported.to_string()));
        let at = again.value.as_ref().unwrap_or_else(|| panic!("{:#?}\n{imported}", again.diagnostics));
        let first = evaluated(printed(&text)).value.unwrap();
        assert_eq!((at.params(), at.matmul_flops()), (first.params(), first.matmul_flops()));
        assert_eq!(at.name(), Some("it"));
    }
}

#[test]
fn a_model_file_may_be_partial() {
    let text = r#"{ "layers": [
      { "name": "a", "class": "Linear", "parameters": { "in_features": 4, "out_features": 4, "bias": false } },
      { "name": "odd", "class": "MySecretLayer" },
      { "name": "b", "class": "Linear", "parameters": { "in_features": 4 } },
      { "name": "c", "class": "Linear", "inputs": ["odd"], "parameters": { "in_features": 4, "out_features": 2, "bias": false } } ] }"#;
    assert!(SESSION.read("model.json", text).into_result().is_err());
    let settings = Settings { partial: true, ..Settings::default() };
    let outcome = evaluated(SESSION.read_with("model.json", text, &settings));
    let at = outcome.value.as_ref().unwrap_or_else(|| panic!("{:#?}", outcome.diagnostics));
    assert_eq!(at.params(), 16 + 8);
    assert_eq!(codes(&outcome.diagnostics), [Code::PartialModel]);
    assert!(said(&outcome.diagnostics).contains("MySecretLayer"));
}
