//! What the command line looks like.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgAction, Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};

use regex_lite::Regex;

use super::target::Target;
use crate::analysis::axis::{self, Numbers, Shard, Values};
use crate::analysis::memory::{Gradients, Lora, Training};
use crate::analysis::serving::Moved;
use crate::catalog::{Catalog, Dtype, OptionKind};
use crate::cost::workload::{RunOptions, Workload};
use crate::flow::{Checkpointing, Loss};
use crate::quantity::workload::{After, Attention, Backend, Cache, Kernel, Logits, Mla, Phase};
use crate::quantity::{TOTALS, Total, total};
use crate::report::units::Units;
use crate::report::{
    By, FORMATS, Format, FormulaFormat, MEMORY_FORMATS, MemoryFormat, OUTPUT_FORMATS, OutputFormat, PageFormat, Sort,
    TensorFormat, TensorsBy, column_keys,
};
use crate::session::{Settings, Stage};
use crate::syntax::diag::nearest;
use crate::syntax::expr::Value;

/// Compiles hierarchical descriptions of neural networks: parameters, FLOPs and memory of every basic layer, exactly as PyTorch has them.
#[derive(Debug, Parser)]
#[command(name = "layerspec", version, about, propagate_version = true, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
    /// When to use colours (NO_COLOR is honoured)
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub color: ColorChoice,
    /// How diagnostics are written: for people, or as one JSON object a line for editors
    #[arg(long, global = true, value_enum, default_value_t = MessageFormat::Human, value_name = "FORMAT")]
    pub message_format: MessageFormat,
    /// A folder like `catalog/` (classes, blocks, families, hardware, dtypes.json, ...) that lies over the built-in one
    #[arg(long, global = true, value_name = "FOLDER")]
    pub catalog: Option<PathBuf>,
    /// Say more: which keys of a config nothing used
    #[arg(long, short = 'v', global = true)]
    pub verbose: bool,
}

/// The whole command line, for completions and the man page.
#[must_use]
pub fn command() -> clap::Command {
    Args::command()
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// The flat list of basic layers with their costs, and the totals
    Compile(CompileArgs),
    /// Diagnostics only, for many files or folders
    Check(CheckArgs),
    /// The hierarchy, as print(model) shows it, repeats folded
    Tree(TreeArgs),
    /// The data flow as a drawing for Graphviz or Mermaid, repeats folded
    Graph(GraphArgs),
    /// Explain a class, a dtype, a device, a diagnostic code, or a layer of a model
    Explain(ExplainArgs),
    /// One page on a model: sizes, attention, parameters by component, cache, FLOPs, ratios
    Summary(SummaryArgs),
    /// Models side by side, and how their layers differ
    Compare(CompareArgs),
    /// FLOPs of a model as tools and papers count them, and how their counts differ, to the last FLOP
    Reconcile(ReconcileArgs),
    /// Totals as formulas in the workload's variables: for people, LaTeX, Python, JavaScript
    Formula(FormulaArgs),
    /// Quantities at every point of a grid: workloads, dtypes, conventions, variables; CSV, JSON or Parquet
    Sweep(SweepArgs),
    /// The value of one variable at which a quantity reaches a value
    Solve(SolveArgs),
    /// Every tensor of a file of weights, or of a model: name, shape, type, bytes; by layer and type
    Tensors(TensorsArgs),
    /// A model file from a Hugging Face config.json, or from a file of weights
    Import(ImportArgs),
    /// Weights, cache, activations, training: what takes how much, where the peak is, does it fit
    Memory(MemoryArgs),
    /// Does an engine serve it on these devices, for how many requests: weights, cache, what is left
    Serving(ServingArgs),
    /// List models, families, blocks, classes, dtypes, hardware, or conventions
    List(ListArgs),
    /// A stage of the pipeline, for those who work on it
    Show(ShowArgs),
    /// The JSON Schema of model files, or of an output
    Schema(SchemaArgs),
    /// Completions for a shell
    Completions(CompletionsArgs),
    /// The man page, of all or of one command
    Man(ManArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MessageFormat {
    Human,
    Json,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct OutputArgs {
    /// Write to this file instead of standard output, all or nothing
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The workload, and by which conventions it is counted.
#[derive(Debug, Default, Clone, ClapArgs)]
#[command(next_help_heading = "Workload")]
pub struct WorkloadArgs {
    /// prefill, decode or train [default: prefill]
    #[arg(long, value_enum)]
    pub phase: Option<Phase>,
    /// Sequences in a step [default: 1]
    #[arg(long, visible_alias = "batch-size", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub batch: Option<u64>,
    /// New tokens per sequence; 32k is 32,768 [default: 2048, or the model's positions if fewer; decode: 1]
    #[arg(long, visible_alias = "seq-len", value_name = "N", value_parser = parse_some_length)]
    pub seq: Option<u64>,
    /// Cached tokens per sequence [default: 0; decode: 2047]
    #[arg(long, visible_alias = "past-len", value_name = "N", value_parser = parse_length)]
    pub past: Option<u64>,
    /// Element type of activations [default: bf16]
    #[arg(long)]
    pub dtype: Option<String>,
    /// Element type of weights [default: what the checkpoint says, else that of --dtype]; one of fewer than 16 bits is that of the
    /// matrices of linear layers and experts. Or that of all weights of some layers, by path or class: '*.mlp.*=q4_k',
    /// 'model.layers.[0-5].*=int8'. Or a mix of types as llama.cpp makes it: q4_k_m, iq3_s, and with a prefix where a type has the
    /// name, too: gguf:q8_0, gguf:q4_0+imatrix
    #[arg(long, visible_alias = "quant", value_name = "[PATTERN=]DTYPE")]
    pub weight_dtype: Vec<String>,
    /// Element type of cached keys and values [default: that of --dtype]
    #[arg(long, value_name = "DTYPE")]
    pub kv_dtype: Option<String>,
    /// dense counts every query with every key, as PyTorch does; masked only the pairs that the mask keeps [default: dense]
    #[arg(long, value_enum)]
    pub attention: Option<Attention>,
    /// How attention is computed, which decides its backward pass [default: flash]
    #[arg(long, value_enum)]
    pub kernel: Option<Kernel>,
    /// Positions whose logits are computed [default: all]
    #[arg(long, value_enum)]
    pub logits: Option<Logits>,
    /// Whether keys, values and states are kept for later steps [default: on; train: off]
    #[arg(long, value_enum)]
    pub cache: Option<Cache>,
    /// Whose kernels decide what is kept for the backward pass [default: cpu, as the reference]
    #[arg(long, value_enum)]
    pub backend: Option<Backend>,
    /// What multi-head latent attention attends to: the keys and values of all heads, which every step makes of all cached latents,
    /// or the latents themselves [default: expanded]
    #[arg(long, value_enum)]
    pub mla: Option<Mla>,
    /// The engine that runs it, whose choices the options above then have: `list runtimes` shows them; vllm@0.12 means a version
    /// [default: eager, PyTorch as transformers calls it]
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub runtime: Option<Arc<str>>,
    /// How the cached tokens came there: one by one, as while decoding, or all at once, before the first step after a prompt
    /// [default: steps]
    #[arg(long, value_enum)]
    pub after: Option<After>,
    /// Give a variable of the model, structural or workload, another value
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(Arc<str>, Value)>,
    /// Take a config as one of this family, whatever its model_type
    #[arg(long, value_name = "NAME")]
    pub family: Option<Arc<str>>,
    /// Take a family's model with this head; none: the bare model, as AutoModel gives it
    #[arg(long, value_name = "NAME")]
    pub head: Option<Arc<str>>,
    /// Build the part for multi-token prediction too, which the checkpoint holds beside the model
    #[arg(long)]
    pub with_mtp: bool,
    /// Leave out layers of unknown classes or without a parameter: totals are of the rest, and say so
    #[arg(long)]
    pub partial: bool,
}

#[derive(Debug, ClapArgs)]
pub struct CompileArgs {
    /// A file, `-` for standard input, or the name of an embedded model
    pub model: String,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    #[command(flatten)]
    pub report: ReportArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Report")]
pub struct ReportArgs {
    /// What comes out
    #[arg(long, default_value = "table", value_parser = one_of(FORMATS, |format| format.name))]
    pub format: &'static Format,
    /// What a row is
    #[arg(long, value_enum, default_value_t = By::Layer)]
    pub by: By,
    /// With --by depth: how many levels of composites
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub depth: u16,
    /// A row for each instance of a repeat
    #[arg(long)]
    pub expand: bool,
    /// The largest first, where a table stands in the order of execution otherwise
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with = "expand")]
    pub sort: Option<Sort>,
    /// As many rows of a table, those with the most FLOPs or of what --sort says, and the total
    #[arg(long, value_name = "N", conflicts_with = "expand", value_parser = clap::value_parser!(u16).range(1..))]
    pub top: Option<u16>,
    /// Columns of a table, in this order
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = PossibleValuesParser::new(column_keys()))]
    pub columns: Vec<String>,
    /// Every digit
    #[arg(long)]
    pub exact: bool,
    /// si: GB = 10^9 bytes; iec: GiB = 2^30 bytes
    #[arg(long, value_enum, default_value_t = Units::Si)]
    pub units: Units,
    /// Count FLOPs as a tool or a paper does (`layerspec list conventions`)
    #[arg(long, value_name = "NAME")]
    pub convention: Option<String>,
    /// The most rows that are written
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub max_rows: u64,
}

#[derive(Debug, ClapArgs)]
pub struct CheckArgs {
    /// Files, folders, `-` for standard input, or names of embedded models
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<String>,
    /// Write the facts that hold into the files' `expect`: those that they state, and with --facts others
    #[arg(long, help_heading = "Facts")]
    pub bless: bool,
    /// Facts to state besides, at the workload that is asked for: params, matmul_flops, peak_bytes, ...
    #[arg(long, value_name = "NAME,...", requires = "bless", value_delimiter = ',', help_heading = "Facts")]
    pub facts: Vec<String>,
    #[command(flatten)]
    pub workload: WorkloadArgs,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct MemoryArgs {
    /// A file, `-` for standard input, or the name of an embedded model
    pub model: String,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// Why did it run out of memory? What is of this size (2097152000, 1.95GiB), or of the size in an error's text on standard input (`-`),
    /// and which options avoid it
    #[arg(long, value_name = "SIZE", help_heading = "Out of memory")]
    pub find: Option<String>,
    /// A device (`layerspec list hardware`), or its memory (24GB, 24GB@900GB/s): does it fit, and the largest batch and context that do
    #[arg(long, help_heading = "Device")]
    pub device: Option<String>,
    /// How many such devices
    #[arg(long, visible_alias = "num-devices", default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Device")]
    pub count: u64,
    /// Per cent of a device's memory kept free for what is not counted
    #[arg(long, default_value_t = 10, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=90), help_heading = "Device")]
    pub reserve: u32,
    /// Exit with 3 if it doesn't fit
    #[arg(long, requires = "device", help_heading = "Device")]
    pub require_fit: bool,
    /// Plans side by side, one for each value: dtype=fp32,bf16,fp8,int8,int4 (of fewer than 16 bits: of the weights), kernel, mla, runtime,
    /// checkpointing, gradients, optimizer, device, count, batch, seq, past, phase, quant, kv-dtype, logits, attention. Several are taken each with each
    #[arg(long, value_name = "OPTION=VALUE,...", conflicts_with = "find", help_heading = "Side by side")]
    pub vary: Vec<String>,
    /// Optimizer [default: adamw]. Any of these options implies `--phase train`
    #[arg(long, help_heading = "Training")]
    pub optimizer: Option<String>,
    /// Keep float32 copies of what is trained, and float32 states
    #[arg(long, help_heading = "Training")]
    pub master_weights: bool,
    /// What is computed again in the backward pass rather than kept [default: none]
    #[arg(long, value_enum, help_heading = "Training")]
    pub checkpointing: Option<Checkpointing>,
    /// How long gradients of weights stay: held until the optimizer's step, or dropped, each used as it comes [default: held]
    #[arg(long, value_enum, help_heading = "Training")]
    pub gradients: Option<Gradients>,
    /// What the backward pass starts from [default: cross-entropy for logits of tokens, else the sum of the output]
    #[arg(long, value_enum, help_heading = "Training")]
    pub loss: Option<Loss>,
    /// ZeRO or FSDP stage: 1 splits states over the data-parallel ranks, 2 gradients too, 3 weights too [default: 0]
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=3), help_heading = "Training")]
    pub zero: Option<u8>,
    /// Data-parallel ranks [default: --count]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Training")]
    pub ranks: Option<u64>,
    /// Train adapters of this rank only
    #[arg(long, value_name = "RANK", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Training")]
    pub lora_rank: Option<u64>,
    /// Classes or paths whose matrices get adapters, `*` standing for anything
    #[arg(long, value_name = "PATTERN", requires = "lora_rank", default_value = "*.q_proj,*.v_proj", help_heading = "Training")]
    pub lora_target: Vec<String>,
    /// What comes out
    #[arg(long, default_value = "table", value_parser = one_of(MEMORY_FORMATS, |format| format.name))]
    pub format: &'static MemoryFormat,
    /// kB = 1000 bytes, or KiB = 1024 bytes
    #[arg(long, value_enum, default_value_t = Units::Si)]
    pub units: Units,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
pub struct ServingArgs {
    /// A file, `-` for standard input, or the name of an embedded model
    pub model: String,
    /// A device (`layerspec list hardware`), or its memory (24GB)
    #[arg(long)]
    pub device: String,
    /// The engine; vllm@0.12 means a version [default: vllm]
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub runtime: Option<Arc<str>>,
    /// Tokens of a request at most, its answer included; 32k is 32,768 [default: the model's positions]
    #[arg(long, value_name = "N", value_parser = parse_some_length)]
    pub context: Option<u64>,
    /// Requests at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub concurrency: u64,
    /// Ranks over which layers are divided
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024), help_heading = "Devices")]
    pub tp: u64,
    /// Ranks over which the layers are dealt out
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024), help_heading = "Devices")]
    pub pp: u64,
    /// Ranks over which experts are dealt out [default: they are divided as other layers are]
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024), help_heading = "Devices")]
    pub ep: u64,
    /// Exit with 3 if it doesn't fit
    #[arg(long, help_heading = "Devices")]
    pub require_fit: bool,
    /// Element type of activations [default: bf16]
    #[arg(long)]
    pub dtype: Option<String>,
    /// Element type of weights, as in `memory`
    #[arg(long, visible_alias = "quant", value_name = "[PATTERN=]DTYPE")]
    pub weight_dtype: Vec<String>,
    /// Element type of cached keys and values [default: that of --dtype]
    #[arg(long, value_name = "DTYPE")]
    pub kv_dtype: Option<String>,
    /// Give a variable of the model another value
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(Arc<str>, Value)>,
    /// Take a config as one of this family, whatever its model_type
    #[arg(long, value_name = "NAME")]
    pub family: Option<Arc<str>>,
    /// Take a family's model with this head
    #[arg(long, value_name = "NAME")]
    pub head: Option<Arc<str>>,
    /// Build the part for multi-token prediction too
    #[arg(long)]
    pub with_mtp: bool,
    /// A log that the engine wrote as it started: what it says is taken, and set beside what is predicted
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Only the engine's command line
    #[arg(long)]
    pub emit: bool,
    /// Tensors that are left to the processor, by a regular expression over their names in a GGUF file: 'ffn_.*_exps=cpu'; =gpu: those that
    /// are not
    #[arg(long, visible_alias = "override-tensor", value_name = "REGEX=cpu|gpu", value_parser = parse_offload, help_heading = "Devices")]
    pub offload: Vec<Moved>,
    /// An option of the engine, where it has no name here: max_num_seqs=64
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub named_options: Vec<(Arc<str>, Value)>,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// What comes out
    #[arg(long, value_enum, default_value_t = PageFormat::Table)]
    pub format: PageFormat,
    /// kB = 1000 bytes, or KiB = 1024 bytes, as engines count
    #[arg(long, value_enum, default_value_t = Units::Iec)]
    pub units: Units,
    #[command(flatten)]
    pub output: OutputArgs,
}

impl ServingArgs {
    /// Options of the engine, by their names in formulas.
    #[must_use]
    pub fn options(&self) -> Vec<(Arc<str>, Value)> {
        let named = self.named_options.iter().map(|(name, value)| (name.replace('-', "_").into(), value.clone()));
        named.chain(self.engine.given.iter().cloned()).collect()
    }
}

/// The options of engines by their own names: those of the catalog's runtimes.
#[derive(Debug)]
pub struct EngineArgs {
    given: Vec<(Arc<str>, Value)>,
}

/// The options that engines have, each once, with who has it.
fn engine_options() -> Vec<(EngineWord, Vec<Arc<str>>)> {
    let mut all: Vec<(EngineWord, Vec<Arc<str>>)> = Vec::new();
    for runtime in Catalog::new().runtimes().filter_map(Result::ok) {
        for option in runtime.serving.iter().flat_map(|serving| &serving.options) {
            match all.iter_mut().find(|(known, _)| known.name == option.name) {
                Some((_, engines)) => engines.push(runtime.name.clone()),
                None => {
                    let word = EngineWord {
                        name: option.name.clone(),
                        typed: option.typed.clone(),
                        doc: option.doc.clone(),
                        kind: option.kind,
                    };
                    all.push((word, vec![runtime.name.clone()]));
                }
            }
        }
    }
    all
}

struct EngineWord {
    name: Arc<str>,
    typed: Arc<str>,
    doc: Arc<str>,
    kind: OptionKind,
}

impl ClapArgs for EngineArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        engine_options().into_iter().fold(command, |command, (word, engines)| {
            let arg = clap::Arg::new(word.name.to_string())
                .long(word.typed.trim_start_matches('-').to_owned())
                .value_name(if word.kind == OptionKind::Word { "WORD" } else { "N" })
                .help(format!("{} [{}]", word.doc, engines.join(", ")))
                .help_heading("Options of engines");
            command.arg(match word.kind {
                OptionKind::Flag => {
                    arg.value_name("true|false").num_args(0..=1).require_equals(true).default_missing_value("true")
                }
                OptionKind::Share | OptionKind::Count | OptionKind::Word => arg.num_args(1),
            })
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for EngineArgs {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Vec::new();
        for (word, _) in engine_options() {
            let Some(text) = matches.get_one::<String>(&word.name) else { continue };
            let value = match word.kind {
                OptionKind::Word => Some(Value::text(text)),
                OptionKind::Share | OptionKind::Count | OptionKind::Flag => Value::read(text),
            };
            let beyond =
                || clap::Error::raw(ErrorKind::ValueValidation, format!("`{}` is beyond what is computed with\n", word.typed));
            given.push((word.name.clone(), value.ok_or_else(beyond)?));
        }
        Ok(EngineArgs { given })
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl MemoryArgs {
    /// An option that is given and has a meaning in training alone.
    fn of_training(&self) -> Option<&'static str> {
        let given = [
            ("--optimizer", self.optimizer.is_some()),
            ("--master-weights", self.master_weights),
            ("--checkpointing", self.checkpointing.is_some()),
            ("--gradients", self.gradients.is_some()),
            ("--loss", self.loss.is_some()),
            ("--zero", self.zero.is_some()),
            ("--ranks", self.ranks.is_some()),
            ("--lora-rank", self.lora_rank.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }

    /// Gives an option another value.
    ///
    /// # Errors
    /// It isn't one that is varied, or can't have that value.
    pub fn set(&mut self, name: &str, value: &str, catalog: &Catalog) -> Result<(), String> {
        fn word<T: ValueEnum>(value: &str) -> Result<Option<T>, String> {
            T::from_str(value, true).map(Some).map_err(|_| {
                let known = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
                let known: Vec<String> = known.map(|known| known.get_name().to_owned()).collect();
                format!("`{value}` is none of {}", known.join(", "))
            })
        }
        fn least_one(value: &str) -> Result<Option<u64>, String> {
            value.parse().ok().filter(|n| *n > 0).map(Some).ok_or_else(|| format!("`{value}` is no number from 1 on"))
        }
        let own = &mut self.workload;
        match name {
            // Nobody computes in four bits: what people mean are the weights.
            "dtype" if dtype(value, catalog)?.is_quantized() => own.weight_dtype = vec![value.to_owned()],
            "dtype" => (own.dtype, own.weight_dtype) = (Some(value.to_owned()), vec![value.to_owned()]),
            "weight-dtype" | "quant" => {
                weights(value, catalog)?;
                own.weight_dtype = vec![value.to_owned()];
            }
            "kv-dtype" => own.kv_dtype = Some(dtype(value, catalog)?.name.to_string()),
            "kernel" => own.kernel = word(value)?,
            "mla" => own.mla = word(value)?,
            "backend" => own.backend = word(value)?,
            "attention" => own.attention = word(value)?,
            "logits" => own.logits = word(value)?,
            "phase" => own.phase = word(value)?,
            "runtime" => own.runtime = Some(value.into()),
            "batch" => own.batch = least_one(value)?,
            "seq" => own.seq = Some(parse_some_length(value)?),
            "past" => own.past = Some(parse_length(value)?),
            "checkpointing" => self.checkpointing = word(value)?,
            "gradients" => self.gradients = word(value)?,
            "optimizer" => self.optimizer = Some(value.to_owned()),
            "device" => self.device = Some(value.to_owned()),
            "count" => self.count = least_one(value)?.unwrap_or(1),
            _ => return Err(format!("`{name}` is no option that is varied; `memory --help` lists them")),
        }
        Ok(())
    }

    /// What the model is asked to do: options of training imply its phase, and what was implied comes back, too.
    ///
    /// # Errors
    /// A dtype of no such name; an option of training in another phase.
    pub fn workload(&self, catalog: &Catalog) -> Result<(Workload, Option<String>), clap::Error> {
        let mut workload = self.workload.workload(catalog)?;
        let Some(option) = self.of_training() else { return Ok((workload, None)) };
        match workload.phase {
            Some(Phase::Train) => Ok((workload, None)),
            Some(phase) => Err(refused::<Self>("phase", phase.word(), &format!("`{option}` is of training"))),
            None => {
                workload.phase = Some(Phase::Train);
                Ok((workload, Some(format!("`{option}` is of training, so this is `--phase train`"))))
            }
        }
    }

    /// How a training step is to be done.
    ///
    /// # Errors
    /// No optimizer of the catalog is of that name.
    pub fn training(&self, catalog: &Catalog) -> Result<Training, clap::Error> {
        let optimizer = self.optimizer.as_deref().unwrap_or("adamw");
        let optimizer = catalog.optimizer(optimizer).map_err(|near| {
            let names: Vec<&str> = catalog.optimizers().iter().map(|o| &*o.name).collect();
            let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            let why = format!("unknown optimizer; {hint}one of {}", names.join(", "));
            refused::<Self>("optimizer", optimizer, &why)
        })?;
        let lora = self
            .lora_rank
            .map(|rank| Lora { rank, targets: self.lora_target.iter().flat_map(|given| between_commas(given)).collect() });
        Ok(Training {
            optimizer,
            master_weights: self.master_weights,
            checkpointing: self.checkpointing.unwrap_or(Checkpointing::None),
            loss: self.loss,
            gradients: self.gradients.unwrap_or_default(),
            zero: self.zero.unwrap_or(0),
            ranks: self.ranks.unwrap_or(self.count),
            lora,
        })
    }
}

#[derive(Debug, ClapArgs)]
pub struct TreeArgs {
    /// A file, `-` for standard input, or the name of an embedded model
    pub model: String,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
pub struct GraphArgs {
    /// A file, `-` for standard input, or the name of an embedded model
    pub model: String,
    /// The engine that runs it, which may run several layers as one [default: eager]
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub runtime: Option<Arc<str>>,
    /// The language of the drawing
    #[arg(long, value_enum, default_value_t = GraphFormat::Dot)]
    pub format: GraphFormat,
    /// Give a variable of the model another value
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(Arc<str>, Value)>,
    /// Take a config as one of this family, whatever its model_type
    #[arg(long, value_name = "NAME")]
    pub family: Option<Arc<str>>,
    /// Take a family's model with this head; none: the bare model, as AutoModel gives it
    #[arg(long, value_name = "NAME")]
    pub head: Option<Arc<str>>,
    /// Build the part for multi-token prediction too, which the checkpoint holds beside the model
    #[arg(long)]
    pub with_mtp: bool,
    /// Leave out layers of unknown classes or without a parameter: totals are of the rest, and say so
    #[arg(long)]
    pub partial: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// For Graphviz
    Dot,
    /// For Mermaid, which Markdown pages show
    Mermaid,
}

#[derive(Debug, ClapArgs)]
pub struct ShowArgs {
    /// A file, `-` for standard input, or the name of an embedded model
    pub model: String,
    /// Which stage
    #[arg(long, value_enum, default_value_t = StageArg::Flat)]
    pub stage: StageArg,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// [`Stage`] as clap wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StageArg {
    Document,
    Spec,
    Checked,
    Flat,
    Bound,
}

impl From<StageArg> for Stage {
    fn from(stage: StageArg) -> Stage {
        match stage {
            StageArg::Document => Stage::Document,
            StageArg::Spec => Stage::Spec,
            StageArg::Checked => Stage::Checked,
            StageArg::Flat => Stage::Flat,
            StageArg::Bound => Stage::Bound,
        }
    }
}

#[derive(Debug, ClapArgs)]
#[command(mut_group("WorkloadArgs", |group| group.requires("path")))]
pub struct ExplainArgs {
    /// A class (torch.nn.Linear), a dtype (q4_k), a device (h100-sxm), a family (llama), a diagnostic code (E0304), or a model
    pub what: String,
    /// Of a model: the path of a layer (model.layers.0.mlp.up_proj), or the name of a variable (num_key_value_heads)
    pub path: Option<String>,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Of a command that prints pages on models.
#[derive(Debug, ClapArgs)]
pub struct PageArgs {
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// What comes out
    #[arg(long, value_enum, default_value_t = PageFormat::Table)]
    pub format: PageFormat,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
pub struct SummaryArgs {
    /// A file, `-` for standard input, or the name of an embedded model
    pub model: String,
    #[command(flatten)]
    pub page: PageArgs,
}

#[derive(Debug, ClapArgs)]
pub struct ReconcileArgs {
    /// A file, `-` for standard input, or the name of an embedded model
    pub model: String,
    /// Which (`layerspec list conventions`); the others are compared with the first [default: all]
    #[arg(long, alias = "convention", value_name = "NAME,...", value_delimiter = ',')]
    pub conventions: Vec<String>,
    #[command(flatten)]
    pub page: PageArgs,
}

#[derive(Debug, ClapArgs)]
pub struct FormulaArgs {
    /// A file, `-` for standard input, or the name of an embedded model
    pub model: String,
    /// Which totals: params, matmul_flops, cache_bytes, ... [default: all that are sums of layers]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = parse_quantity)]
    pub quantity: Vec<Total>,
    /// What comes out: a page for people, a LaTeX display, data, or a module with a function a quantity
    #[arg(long = "as", visible_alias = "format", value_name = "FORMAT", value_enum, default_value_t = FormulaFormat::Text)]
    pub form: FormulaFormat,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
pub struct CompareArgs {
    /// Two or more files or names of embedded models; the others are compared with the first. Behind a question mark
    /// stands what is different: 'llama-2-7b-hf?num_hidden_layers=12&kernel=eager'. Or two files that `compile --format json`
    /// wrote: what changed, exit code 3 if anything did. With --runtime vllm,ideal one model is enough
    #[arg(required = true, num_args = 1.., value_name = "MODEL")]
    pub models: Vec<String>,
    #[command(flatten)]
    pub page: PageArgs,
}

#[derive(Debug, ClapArgs)]
pub struct TensorsArgs {
    /// A GGUF or safetensors file, an index, a folder of such, or any model
    #[arg(value_name = "FILE|MODEL")]
    pub model: String,
    /// How they are put together
    #[arg(long, value_enum, default_value_t = TensorsBy::Tensor)]
    pub by: TensorsBy,
    /// A row for each tensor, where those of all blocks would be in one
    #[arg(long)]
    pub expand: bool,
    /// What else the file says
    #[arg(long)]
    pub metadata: bool,
    /// What comes out
    #[arg(long, value_enum, default_value_t = TensorFormat::Table)]
    pub format: TensorFormat,
    /// kB = 1000 bytes, or KiB = 1024 bytes
    #[arg(long, value_enum, default_value_t = Units::Si)]
    pub units: Units,
    /// Of a model: those of its part for multi-token prediction, too; of a file all are listed
    #[arg(long)]
    pub with_mtp: bool,
    /// The most tensors of a model that are listed
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub max_rows: usize,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
pub struct ImportArgs {
    /// A config.json, a file of weights, or `-` for standard input; with `--explicit` or `--flat` any model
    pub file: String,
    /// Take it as one of this family, whatever its model_type
    #[arg(long, value_name = "NAME")]
    pub family: Option<Arc<str>>,
    /// Build the part for multi-token prediction too, which the checkpoint holds beside the model
    #[arg(long)]
    pub with_mtp: bool,
    /// Leave out layers of unknown classes or without a parameter: totals are of the rest, and say so
    #[arg(long)]
    pub partial: bool,
    /// The model's name, where the config has none [default: the file's]
    #[arg(long)]
    pub name: Option<String>,
    /// Every layer written out, in place of the family's name
    #[arg(long, conflicts_with = "flat")]
    pub explicit: bool,
    /// The flat list: every basic layer by itself, without composites, repeats and variables
    #[arg(long)]
    pub flat: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
pub struct ListArgs {
    /// What; left out: what there is
    #[arg(value_enum)]
    pub what: Option<Listed>,
    /// What comes out
    #[arg(long, value_enum, default_value_t = PageFormat::Table)]
    pub format: PageFormat,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// Models that are embedded, to be called by name
    Models,
    /// Architectures whose configs are models
    Families,
    /// Parts that families and models share
    Blocks,
    /// Layer classes with their formulas
    Classes,
    /// Element types and ways to quantize
    Dtypes,
    /// Devices, with memory, bandwidth and peaks
    #[value(alias = "devices")]
    Hardware,
    /// How tools and papers count FLOPs
    Conventions,
    /// Engines, and what each makes of a model
    Runtimes,
}

#[derive(Debug, ClapArgs)]
pub struct SchemaArgs {
    /// Of what a command writes as JSON (docs/output.md); left out: of model files
    #[arg(value_parser = one_of(OUTPUT_FORMATS, |format| format.name))]
    pub of: Option<&'static OutputFormat>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
pub struct CompletionsArgs {
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
pub struct ManArgs {
    /// The command whose page it is; left out: the program's
    #[arg(value_parser = PossibleValuesParser::new(COMMANDS))]
    pub command: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What `sweep --help` says beyond its options.
const ABOUT_SWEEP: &str = "\
A list has values and ranges between commas: 512, 1..64 (both ends), 1..64:8 (steps of 8), 2048..131072:*2 (times 2).

A row is a point. Rows are nested loops, the last varies fastest: structural variables as they are given, then phase, dtype, weight_dtype, \
kv_dtype, attention, kernel, mla, logits, cache, backend, runtime, after and what --set lists besides whole numbers, then batch_size, seq_len, past_len, and the \
model's own workload variables. What is given has a column, batch_size, seq_len and past_len have one always, then come the quantities.

A structural variable (--set hidden_size=...) makes another model for each value. Points at which the model is invalid have no figures (an empty \
cell, null in JSON), and how many there were, and why, is said at the end; the exit code is 1 if no point had any.";

#[derive(Debug, ClapArgs)]
#[command(after_help = ABOUT_SWEEP)]
pub struct SweepArgs {
    /// A file, `-` for standard input, or the name of an embedded model
    pub model: String,
    #[command(flatten)]
    pub axes: AxesArgs,
    /// Which quantities, in this order [default: all of totals but peak_bytes, peak_activation_bytes and saved_bytes, which take
    /// longer]
    #[arg(long, visible_alias = "quantities", value_name = "NAME,...", value_delimiter = ',', action = ArgAction::Set, help_heading = "Rows")]
    pub quantity: Vec<String>,
    /// The most rows that are written
    #[arg(long, value_name = "N", default_value_t = 10_000_000, help_heading = "Rows")]
    pub max_rows: u64,
    /// The Ith of N parts, from 1, for jobs that share the work: its rows are next to each other, and together the parts are the whole
    #[arg(long, value_name = "I/N", value_parser = Shard::parse, help_heading = "Rows")]
    pub shard: Option<Shard>,
    /// What comes out [default: as the name of the file ends that `-o` names, else csv]
    #[arg(long, value_enum, help_heading = "Rows")]
    pub format: Option<SweepFormat>,
    #[command(flatten)]
    pub output: OutputArgs,
}

impl SweepArgs {
    /// What comes out: what was asked for, else what the file's name says.
    #[must_use]
    pub fn format(&self) -> SweepFormat {
        let ending = self.output.output.as_deref().and_then(Path::extension).and_then(|ending| ending.to_str());
        let named = |ending: &str| SweepFormat::from_str(ending, true).ok();
        self.format.or_else(|| ending.and_then(named)).unwrap_or(SweepFormat::Csv)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SweepFormat {
    /// A line of names, then a line a row
    Csv,
    /// An array of objects
    Json,
    /// A JSON object a line
    Jsonl,
    /// For DuckDB, Polars, Spark and others; goes to a file
    Parquet,
}

/// The workload, and by which conventions it is counted: lists.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Axes")]
pub struct AxesArgs {
    /// Sequences in a step: 8, or 1..64
    #[arg(long, visible_alias = "batch-size", value_name = "LIST", value_parser = from_one)]
    pub batch: Option<Numbers>,
    /// New tokens per sequence: 512,1024,2k..128k:*2
    #[arg(long, visible_alias = "seq-len", value_name = "LIST", value_parser = from_one)]
    pub seq: Option<Numbers>,
    /// Cached tokens per sequence
    #[arg(long, visible_alias = "past-len", value_name = "LIST", value_parser = from_zero)]
    pub past: Option<Numbers>,
    /// prefill, decode, train
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub phase: Vec<Phase>,
    /// Element types of activations
    #[arg(long, value_name = "DTYPE,...", value_delimiter = ',', action = ArgAction::Set)]
    pub dtype: Vec<String>,
    /// Element types of weights, or mixes of types as llama.cpp makes them: q4_k_m, gguf:q8_0; or that of the weights of some
    /// layers, by path or class: '*.mlp.*=q4_k'
    #[arg(long, visible_alias = "quant", value_name = "DTYPE,...|PATTERN=DTYPE")]
    pub weight_dtype: Vec<String>,
    /// Element types of cached keys and values
    #[arg(long, value_name = "DTYPE,...", value_delimiter = ',', action = ArgAction::Set)]
    pub kv_dtype: Vec<String>,
    /// dense, masked
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub attention: Vec<Attention>,
    /// flash, eager, math
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub kernel: Vec<Kernel>,
    /// all, last
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub logits: Vec<Logits>,
    /// on, off
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub cache: Vec<Cache>,
    /// cpu, cuda
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub backend: Vec<Backend>,
    /// expanded, absorbed
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub mla: Vec<Mla>,
    /// Engines: eager, vllm, ...
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', action = ArgAction::Set)]
    pub runtime: Vec<String>,
    /// steps, prompt
    #[arg(long, value_enum, value_delimiter = ',', action = ArgAction::Set)]
    pub after: Vec<After>,
    /// Values of a variable, structural or workload: whole numbers and ranges, JSON, or texts. What stands in brackets is one value
    #[arg(long = "set", value_name = "NAME=LIST", value_parser = setting)]
    pub settings: Vec<(Arc<str>, Values)>,
    /// Take a config as one of this family, whatever its model_type
    #[arg(long, value_name = "NAME")]
    pub family: Option<Arc<str>>,
    /// Take a family's model with this head; none: the bare model, as AutoModel gives it
    #[arg(long, value_name = "NAME")]
    pub head: Option<Arc<str>>,
    /// Build the part for multi-token prediction too, which the checkpoint holds beside the model
    #[arg(long)]
    pub with_mtp: bool,
    /// Leave out layers of unknown classes or without a parameter: totals are of the rest, and say so
    #[arg(long)]
    pub partial: bool,
}

fn from_one(text: &str) -> Result<Numbers, String> {
    Numbers::parse(text, 1, parse_length)
}

fn from_zero(text: &str) -> Result<Numbers, String> {
    Numbers::parse(text, 0, parse_length)
}

fn setting(text: &str) -> Result<(Arc<str>, Values), String> {
    axis::parse_setting(text, parse_length)
}

impl AxesArgs {
    /// How the model is taken, its variables aside.
    #[must_use]
    pub fn taken(&self) -> Settings {
        Settings {
            family: self.family.clone(),
            head: self.head.clone(),
            draft: self.with_mtp,
            partial: self.partial,
            ..Settings::default()
        }
    }

    /// What is asked of every point: dtypes of some layers.
    ///
    /// # Errors
    /// No dtype of the catalog is of that name.
    pub fn workload(&self, catalog: &Catalog) -> Result<Workload, clap::Error> {
        let mut weight_dtypes = Vec::new();
        for given in self.weight_dtype.iter().filter(|given| given.contains('=')) {
            let (pattern, name) = given.rsplit_once('=').unwrap_or_default();
            let found = dtype(name, catalog).map_err(|why| refused::<Self>("weight_dtype", given, &why))?;
            weight_dtypes.push((pattern.into(), found));
        }
        Ok(Workload { weight_dtypes, ..Workload::default() })
    }

    /// The options that are given, each with its words, in the order of the loops.
    ///
    /// # Errors
    /// No dtype of the catalog is of that name; weights' dtypes are listed twice.
    pub fn conventions(&self, catalog: &Catalog) -> Result<Vec<(Arc<str>, Values)>, clap::Error> {
        fn words<T: Copy>(list: &[T], word: fn(T) -> &'static str) -> Vec<Value> {
            list.iter().map(|choice| Value::text(word(*choice))).collect()
        }
        let dtypes = |id: &str, list: &mut dyn Iterator<Item = &str>| {
            let found = |name: &str| dtype(name, catalog).map_err(|why| refused::<Self>(id, name, &why));
            list.map(|name| Ok(Value::text(&found(name)?.name))).collect::<Result<Vec<Value>, clap::Error>>()
        };
        let mut plain = self.weight_dtype.iter().filter(|given| !given.contains('='));
        let weights = plain.next().map_or("", String::as_str);
        if let Some(second) = plain.next() {
            return Err(refused::<Self>("weight_dtype", second, &format!("`{weights}` is given already; a list has commas")));
        }
        let given = weights.split(',').filter(|_| !weights.is_empty());
        let weights = given.map(|name| match self::weights(name, catalog) {
            Ok(Weights::Dtype(dtype)) => Ok(Value::text(&dtype.name)),
            Ok(Weights::Mix(mix)) => Ok(Value::text(&mix.to_ascii_lowercase())),
            Err(why) => Err(refused::<Self>("weight_dtype", name, &why)),
        });
        let weights: Vec<Value> = weights.collect::<Result<_, _>>()?;
        let all = [
            ("phase", words(&self.phase, Phase::word)),
            ("dtype", dtypes("dtype", &mut self.dtype.iter().map(String::as_str))?),
            ("weight_dtype", weights),
            ("kv_dtype", dtypes("kv_dtype", &mut self.kv_dtype.iter().map(String::as_str))?),
            ("attention", words(&self.attention, Attention::word)),
            ("kernel", words(&self.kernel, Kernel::word)),
            ("logits", words(&self.logits, Logits::word)),
            ("cache", words(&self.cache, Cache::word)),
            ("backend", words(&self.backend, Backend::word)),
            ("mla", words(&self.mla, Mla::word)),
            ("runtime", self.runtime.iter().map(|name| Value::text(name)).collect()),
            ("after", words(&self.after, After::word)),
        ];
        let given = all.into_iter().filter(|(_, words)| !words.is_empty());
        Ok(given.map(|(name, words)| (name.into(), Values::Listed(words))).collect())
    }
}

impl SweepArgs {
    /// The quantities that are asked for.
    ///
    /// # Errors
    /// One of no such name, one twice, or one of training where no phase is.
    pub fn quantities(&self) -> Result<Vec<Total>, clap::Error> {
        let train = self.axes.phase.contains(&Phase::Train);
        if self.quantity.is_empty() {
            let all = TOTALS.iter().filter(|info| info.quantity.is_sum() && (train || !info.train_only));
            return Ok(all.map(|info| info.quantity).collect());
        }
        let mut wanted = Vec::with_capacity(self.quantity.len());
        for name in &self.quantity {
            let wrong = |why: &str| refused::<Self>("quantity", name, why);
            let info = total(name).ok_or_else(|| {
                let near = nearest(name, TOTALS.iter().map(|info| info.name));
                let names: Vec<&str> = TOTALS.iter().map(|info| info.name).collect();
                let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
                wrong(&format!("unknown quantity; {hint}one of {}", names.join(", ")))
            })?;
            if wanted.contains(&info.quantity) {
                return Err(wrong("it is given twice"));
            }
            if info.train_only && !train {
                return Err(wrong("it is of training; `--phase train` has it"));
            }
            wanted.push(info.quantity);
        }
        Ok(wanted)
    }
}

/// What `solve --help` says beyond its options.
const ABOUT_SOLVE: &str = "\
A value is a whole number: 7000000000, 7e9, 7G, 6.7G; of bytes also 16GB (10^9) and 16GiB (2^30). Values at which the model is invalid are \
skipped, and said.";

#[derive(Debug, ClapArgs)]
#[command(after_help = ABOUT_SOLVE, override_usage = "layerspec solve <MODEL> --for <NAME> --<QUANTITY> <VALUE> [OPTIONS]")]
pub struct SolveArgs {
    /// A file, `-` for standard input, or the name of an embedded model
    pub model: String,
    /// The variable whose value is looked for: a structural one (hidden_size), batch, seq, past, or the model's own of the workload
    #[arg(long = "for", value_name = "NAME")]
    pub variable: String,
    #[command(flatten)]
    pub target: Target,
    /// Only multiples of this
    #[arg(long, value_name = "K", default_value = "1", value_parser = parse_some_length, help_heading = "Where to look")]
    pub multiple_of: u64,
    /// No smaller value [default: 1; past: 0]
    #[arg(long, value_name = "N", value_parser = parse_length, help_heading = "Where to look")]
    pub min: Option<u64>,
    /// No larger value [default: 2^40]
    #[arg(long, value_name = "N", value_parser = parse_length, help_heading = "Where to look")]
    pub max: Option<u64>,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// What comes out
    #[arg(long, value_enum, default_value_t = PageFormat::Table)]
    pub format: PageFormat,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The names of the subcommands that have man pages; a test compares them with the command line.
const COMMANDS: &[&str] = &[
    "compile",
    "check",
    "tree",
    "graph",
    "explain",
    "summary",
    "compare",
    "reconcile",
    "formula",
    "sweep",
    "solve",
    "tensors",
    "import",
    "memory",
    "serving",
    "list",
    "show",
    "schema",
    "completions",
    "man",
];

/// The words of choices, as the command line has them.
macro_rules! choices {
    ($($type:ty),*) => {
        $(impl ValueEnum for $type {
            fn value_variants<'a>() -> &'a [Self] {
                Self::ALL
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(PossibleValue::new(self.word()))
            }
        })*
    };
}
choices!(
    Phase,
    Attention,
    Kernel,
    Logits,
    Cache,
    Backend,
    Mla,
    After,
    Checkpointing,
    Gradients,
    Loss,
    By,
    Units,
    PageFormat,
    Sort,
    TensorFormat,
    TensorsBy
);

impl ValueEnum for FormulaFormat {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let value = PossibleValue::new(self.word());
        Some(match self {
            FormulaFormat::Latex => value.alias("tex"),
            FormulaFormat::Python => value.alias("py"),
            FormulaFormat::JavaScript => value.alias("js"),
            FormulaFormat::Text | FormulaFormat::Json => value,
        })
    }
}

/// One of the rows of a table, by name.
fn one_of<T: Sync>(rows: &'static [T], name: fn(&T) -> &'static str) -> impl TypedValueParser<Value = &'static T> {
    let find = move |word: String| rows.iter().find(|row| name(row) == word).ok_or("not in the table");
    PossibleValuesParser::new(rows.iter().map(name)).try_map(find)
}

/// What clap says of a value that a parser refuses. Names of the catalog are looked up when that is read, which is later.
pub fn refused<A: ClapArgs>(id: &str, value: &str, why: &str) -> clap::Error {
    let mut command = A::augment_args(clap::Command::new("layerspec"));
    command.build();
    let argument = command.get_arguments().find(|arg| arg.get_id() == id).map(ToString::to_string).unwrap_or_default();
    let (invalid, literal) = (command.get_styles().get_invalid(), command.get_styles().get_literal());
    let message = format!(
        "invalid value '{invalid}{value}{invalid:#}' for '{literal}{argument}{literal:#}': {why}\n\n\
        For more information, try '{literal}--help{literal:#}'.\n"
    );
    clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(&command)
}

/// A count of tokens: `4096`, `32k` for 32 times 1,024, `1m` for 1,024 times that.
pub fn parse_length(text: &str) -> Result<u64, String> {
    let digits = |end: char| text.strip_suffix([end, end.to_ascii_uppercase()]);
    let (digits, unit) = match (digits('k'), digits('m')) {
        (Some(digits), _) => (digits, 1024),
        (_, Some(digits)) => (digits, 1024 * 1024),
        _ => (text, 1),
    };
    let number = digits.parse::<u64>().map_err(|error| error.to_string())?;
    number.checked_mul(unit).ok_or_else(|| "number too large".to_owned())
}

fn parse_some_length(text: &str) -> Result<u64, String> {
    parse_length(text).and_then(|length| if length > 0 { Ok(length) } else { Err("0 is not in 1..".to_owned()) })
}

/// Tensors, and where they are.
fn parse_offload(text: &str) -> Result<Moved, String> {
    let (pattern, place) = text.rsplit_once('=').ok_or("expected REGEX=cpu or REGEX=gpu")?;
    let on_device = match place.to_ascii_lowercase().as_str() {
        "cpu" => false,
        "gpu" | "cuda0" | "cuda" => true,
        _ => return Err(format!("`{place}` is neither `cpu` nor `gpu`")),
    };
    let pattern = Regex::new(pattern).map_err(|why| format!("`{pattern}` is no regular expression: {why}"))?;
    Ok(Moved { pattern, on_device })
}

/// A total that is a sum of layers, by its name.
fn parse_quantity(text: &str) -> Result<Total, String> {
    let sums = || TOTALS.iter().filter(|info| info.quantity.is_sum());
    if let Some(info) = sums().find(|info| info.name == text) {
        return Ok(info.quantity);
    }
    if TOTALS.iter().any(|info| info.name == text) {
        return Err("no sum of layers, so it has no formula yet; `compile` and `memory` have it at a workload".to_owned());
    }
    match nearest(text, sums().map(|info| info.name)) {
        Some(near) => Err(format!("no such quantity; did you mean `{near}`?")),
        None => Err(format!("no such quantity; there are {}", sums().map(|info| info.name).collect::<Vec<_>>().join(", "))),
    }
}

/// `NAME=VALUE`: the value is JSON where it reads as such, else a text.
pub fn parse_setting(text: &str) -> Result<(Arc<str>, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if !crate::syntax::expr::is_name(name) {
        return Err(format!("`{name}` is no variable's name"));
    }
    let value = Value::read(value).ok_or("the number is beyond what is computed with")?;
    Ok((name.into(), value))
}

/// What stands between commas, those in brackets aside: `*.q_proj,model.layers.[0,3].*` are two patterns.
fn between_commas(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0usize;
    for c in text.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (c, depth, parts.last_mut()) {
            (',', 0, _) => parts.push(String::new()),
            (_, _, Some(part)) => part.push(c),
            _ => {}
        }
    }
    parts
}

impl ReportArgs {
    /// Refuses what a format for programs doesn't have: its rows are all of them, in the order of execution.
    ///
    /// # Errors
    /// `--sort`, `--top` or `--columns` of such a format.
    pub fn of_tables(&self) -> Result<(), clap::Error> {
        let asked = self.sort.is_some() || self.top.is_some() || !self.columns.is_empty();
        let why = "`--sort`, `--top` and `--columns` are of tables; a program sorts what it reads";
        if asked && self.format.expands { Err(refused::<CompileArgs>("format", self.format.name, why)) } else { Ok(()) }
    }
}

impl WorkloadArgs {
    /// What is asked of the model, with the catalog's dtypes.
    ///
    /// # Errors
    /// No dtype of the catalog is of that name.
    pub fn workload(&self, catalog: &Catalog) -> Result<Workload, clap::Error> {
        let dtype = |id: &str, given: &Option<String>| {
            given.as_deref().map(|text| dtype(text, catalog).map_err(|why| refused::<Self>(id, text, &why))).transpose()
        };
        let (mut weight_dtype, mut weight_dtypes) = (None, Vec::new());
        for given in &self.weight_dtype {
            let (pattern, name) = given.rsplit_once('=').map_or((None, given.as_str()), |(pattern, name)| (Some(pattern), name));
            let found = weights(name, catalog).map_err(|why| refused::<Self>("weight_dtype", given, &why))?;
            match (pattern, found) {
                (Some(pattern), Weights::Dtype(dtype)) => weight_dtypes.push((pattern.into(), dtype)),
                (Some(_), Weights::Mix(_)) => {
                    return Err(refused::<Self>("weight_dtype", given, "a mix of types is of a whole model, not of some layers"));
                }
                (None, Weights::Dtype(dtype)) => weight_dtype = Some(dtype),
                // What a model is in a mix is said when it is read.
                (None, Weights::Mix(_)) => weight_dtype = None,
            }
        }
        Ok(Workload {
            phase: self.phase,
            batch_size: self.batch,
            seq_len: self.seq,
            past_len: self.past,
            dtype: dtype("dtype", &self.dtype)?,
            weight_dtype,
            weight_dtypes,
            kv_dtype: dtype("kv_dtype", &self.kv_dtype)?,
            attention: self.attention,
            logits: self.logits,
            after: self.after,
            settings: self.settings.clone(),
        })
    }

    /// What is said of how it is run.
    #[must_use]
    pub fn options(&self) -> RunOptions {
        RunOptions { kernel: self.kernel, cache: self.cache, backend: self.backend, mla: self.mla, runtime: self.runtime.clone() }
    }

    /// How the model is taken.
    #[must_use]
    pub fn settings(&self, catalog: &Catalog) -> Settings {
        let last = self.weight_dtype.iter().rev().find(|given| !given.contains('='));
        let mix = last.and_then(|name| weights(name, catalog).ok()).and_then(Weights::mix);
        Settings {
            family: self.family.clone(),
            head: self.head.clone(),
            draft: self.with_mtp,
            mix,
            variables: self.settings.clone(),
            partial: self.partial,
        }
    }
}

/// What the weights of a whole model can be said to be.
pub enum Weights {
    /// One type for all matrices.
    Dtype(Dtype),
    /// A mix of types, by its name.
    Mix(Arc<str>),
}

impl Weights {
    /// The mix, if it is one.
    #[must_use]
    pub fn mix(self) -> Option<Arc<str>> {
        if let Weights::Mix(mix) = self { Some(mix) } else { None }
    }
}

/// A dtype, else a mix of this name: a name that is both means the dtype, unless a mix's prefix stands before it.
///
/// # Errors
/// Neither is called so; what is near.
pub fn weights(name: &str, catalog: &Catalog) -> Result<Weights, String> {
    match (dtype(name, catalog), catalog.mix(name)) {
        (Ok(dtype), _) => Ok(Weights::Dtype(dtype)),
        (Err(_), Some(_)) => Ok(Weights::Mix(name.into())),
        (Err(why), None) => Err(why),
    }
}

fn dtype(name: &str, catalog: &Catalog) -> Result<Dtype, String> {
    catalog.dtype(name).map_err(|near| {
        let hint = near.map_or_else(|| "`layerspec list dtypes` shows them".to_owned(), |near| format!("did you mean `{near}`?"));
        format!("unknown dtype; {hint}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        command().debug_assert();
        let command = command();
        let commands: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(commands, COMMANDS);
    }

    #[test]
    fn settings_are_json_or_text() {
        assert_eq!(parse_setting("n=3"), Ok(("n".into(), Value::count(3))));
        assert_eq!(parse_setting("n=null"), Ok(("n".into(), Value::Null)));
        assert_eq!(parse_setting("n=<h>"), Ok(("n".into(), Value::text("<h>"))));
        assert!(parse_setting("n").is_err());
        assert!(parse_setting("a b=1").is_err());
    }
}
