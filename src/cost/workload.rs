//! The workload: how much a model is asked to do, in which dtypes, counted by which conventions.
//!
//! What is asked comes in ([`Workload`]), values for every workload variable go out ([`CompleteWorkload`]). The names here are those of DESIGN section 2;
//! a model may add its own.

use std::sync::Arc;

use crate::catalog::{Catalog, Dtype, Runtime};
use crate::lower::Execution;
use crate::quantity::Exact;
use crate::quantity::workload::{After, Attention, Backend, Cache, EAGER, Kernel, Logits, Mla, Phase, VARIABLES};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::Value;

/// What was asked for; what is `None` gets a default.
#[derive(Debug, Clone, Default)]
pub struct Workload {
    /// What a step is: a prompt, one more token, a training step.
    pub phase: Option<Phase>,
    /// Sequences in a step.
    pub batch_size: Option<u64>,
    /// New tokens per sequence.
    pub seq_len: Option<u64>,
    /// Cached tokens per sequence, from earlier steps.
    pub past_len: Option<u64>,
    /// The dtype of activations.
    pub dtype: Option<Dtype>,
    /// The dtype of weights; left out: what a checkpoint says, else that of the activations. One of fewer than 16 bits is that of the matrices
    /// of linear layers and of experts, as quantizers leave biases, norms and embeddings as they are.
    pub weight_dtype: Option<Dtype>,
    /// Other weight dtypes for the layers whose path or class a pattern means; the last that does wins.
    pub weight_dtypes: Vec<(Arc<str>, Dtype)>,
    /// The dtype of cached keys and values.
    pub kv_dtype: Option<Dtype>,
    /// Which pairs of queries and keys count.
    pub attention: Option<Attention>,
    /// Of which positions logits are computed.
    pub logits: Option<Logits>,
    /// How the cached tokens came there.
    pub after: Option<After>,
    /// Other values for workload variables, the model's own ones too. A model's other variables are given when it is read.
    pub settings: Vec<(Arc<str>, Value)>,
}

impl Workload {
    /// A prompt of `seq_len` tokens for each of `batch_size` sequences.
    #[must_use]
    pub fn prefill(batch_size: u64, seq_len: u64) -> Self {
        Workload { phase: Some(Phase::Prefill), batch_size: Some(batch_size), seq_len: Some(seq_len), ..Workload::default() }
    }

    /// One more token for each of `batch_size` sequences, after `past_len` cached ones.
    #[must_use]
    pub fn decode(batch_size: u64, past_len: u64) -> Self {
        let (phase, seq_len) = (Some(Phase::Decode), Some(1));
        Workload { phase, batch_size: Some(batch_size), seq_len, past_len: Some(past_len), ..Workload::default() }
    }

    /// A training step on `batch_size` sequences of `seq_len` tokens.
    #[must_use]
    pub fn train(batch_size: u64, seq_len: u64) -> Self {
        Workload { phase: Some(Phase::Train), ..Workload::prefill(batch_size, seq_len) }
    }

    /// Reads options by name, as `expect` and the examples of classes give them: `phase`, `batch_size`, `dtype`, ... Other names are
    /// settings. Dtypes are the catalog's.
    ///
    /// # Errors
    /// The name whose value makes no sense, and what was expected.
    pub fn from_pairs(pairs: &[(Arc<str>, Value)], catalog: &Catalog) -> Result<(Workload, Execution), (Arc<str>, String)> {
        let (mut workload, options) = Workload::default().with_pairs(RunOptions::default(), pairs, catalog)?;
        let execution = options.execution(&mut workload, catalog).map_err(|why| ("runtime".into(), why.message.clone()))?;
        Ok((workload, execution.0))
    }

    /// The same over what is asked for already.
    ///
    /// # Errors
    /// The name whose value makes no sense, and what was expected.
    pub fn with_pairs(
        mut self,
        mut options: RunOptions,
        pairs: &[(Arc<str>, Value)],
        catalog: &Catalog,
    ) -> Result<(Workload, RunOptions), (Arc<str>, String)> {
        for (name, value) in pairs {
            self.set(name, value, &mut options, catalog).map_err(|expected| (name.clone(), expected))?;
        }
        Ok((self, options))
    }

    fn set(&mut self, name: &Arc<str>, value: &Value, options: &mut RunOptions, catalog: &Catalog) -> Result<(), String> {
        let word = if let Value::Text(text) = value { &**text } else { "" };
        let one_of = |words: &[&str]| format!("one of {}", words.join(", "));
        let count = || {
            let n = value.as_number().and_then(|n| n.to_count()).and_then(|n| u64::try_from(n).ok());
            n.map(Some).ok_or_else(|| "a non-negative integer".to_owned())
        };
        let dtype = || catalog.dtype(word).map(Some).map_err(|_| "a dtype".to_owned());
        match &**name {
            "phase" => self.phase = Some(Phase::from_word(word).ok_or_else(|| one_of(Phase::WORDS))?),
            "attention" => self.attention = Some(Attention::from_word(word).ok_or_else(|| one_of(Attention::WORDS))?),
            "kernel" => options.kernel = Some(Kernel::from_word(word).ok_or_else(|| one_of(Kernel::WORDS))?),
            "mla" => options.mla = Some(Mla::from_word(word).ok_or_else(|| one_of(Mla::WORDS))?),
            "runtime" => options.runtime = Some(word.into()),
            "logits" => self.logits = Some(Logits::from_word(word).ok_or_else(|| one_of(Logits::WORDS))?),
            "cache" => options.cache = Some(Cache::from_word(word).ok_or_else(|| one_of(Cache::WORDS))?),
            "backend" => options.backend = Some(Backend::from_word(word).ok_or_else(|| one_of(Backend::WORDS))?),
            "after" => self.after = Some(After::from_word(word).ok_or_else(|| one_of(After::WORDS))?),
            "batch_size" => self.batch_size = count()?,
            "seq_len" => self.seq_len = count()?,
            "past_len" => self.past_len = count()?,
            "dtype" => self.dtype = dtype()?,
            "weight_dtype" => self.weight_dtype = dtype()?,
            "kv_dtype" => self.kv_dtype = dtype()?,
            _ => self.settings.push((name.clone(), value.clone())),
        }
        Ok(())
    }
}

/// How a model is to be run, as far as somebody said; what is `None` is the runtime's own choice, else as eager PyTorch does it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// How attention is computed.
    pub kernel: Option<Kernel>,
    /// Whether keys, values and states are kept.
    pub cache: Option<Cache>,
    /// Whose kernels run.
    pub backend: Option<Backend>,
    /// What multi-head latent attention attends to.
    pub mla: Option<Mla>,
    /// The engine, and behind an `@` a version of it: `vllm@0.12`.
    pub runtime: Option<Arc<str>>,
}

impl RunOptions {
    /// What that comes to in the phase of a workload, which gets what the runtime leaves no choice of. With it comes a remark, if there is one.
    ///
    /// # Errors
    /// There is no such runtime, or it doesn't do what is asked for.
    pub fn execution(
        &self,
        workload: &mut Workload,
        catalog: &Catalog,
    ) -> Result<(Execution, Option<Diagnostic>), Box<Diagnostic>> {
        let asked = self.runtime.as_deref().unwrap_or(EAGER);
        let (name, version) = asked.split_once('@').map_or((asked, None), |(name, version)| (name, Some(version)));
        let found =
            if name == EAGER && version.is_none() { None } else { Some(catalog.runtime(name).map_err(|said| first(&said))?) };
        let phase = workload.phase.unwrap_or(Phase::Prefill);
        let runtime = found.as_ref().map(|(_, runtime)| &**runtime);
        if let Some(runtime) = runtime.filter(|runtime| phase == Phase::Train && !runtime.trains) {
            let message = format!("`{}` doesn't train models", runtime.name);
            return Err(Diagnostic::new(Code::NotOfRuntime, message).help("leave out `--runtime`, or `--phase train`").boxed());
        }
        let choice = Choice { runtime, phase };
        let execution = Execution {
            kernel: choice.of("kernel", self.kernel, Kernel::word, Kernel::from_word)?.unwrap_or_default(),
            cache: choice.of("cache", self.cache, Cache::word, Cache::from_word)?.unwrap_or_default(),
            backend: choice.of("backend", self.backend, Backend::word, Backend::from_word)?.unwrap_or_default(),
            mla: choice.of("mla", self.mla, Mla::word, Mla::from_word)?.unwrap_or_default(),
            runtime: found.as_ref().filter(|(_, runtime)| *runtime.name != *EAGER).map(|(id, _)| *id),
        };
        workload.attention = choice.of("attention", workload.attention, Attention::word, Attention::from_word)?;
        workload.logits = choice.of("logits", workload.logits, Logits::word, Logits::from_word)?;
        let remark = runtime.zip(version).and_then(|(runtime, version)| unknown_version(runtime, version));
        Ok((execution, remark))
    }
}

/// What a runtime chooses in a phase.
struct Choice<'r> {
    runtime: Option<&'r Runtime>,
    phase: Phase,
}

impl Choice<'_> {
    /// An option: as it was said, if the runtime has that, else the first that it has.
    fn of<T: Copy>(
        &self,
        name: &str,
        said: Option<T>,
        word: impl Fn(T) -> &'static str,
        from_word: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Box<Diagnostic>> {
        let Some((runtime, option)) = self.runtime.and_then(|runtime| Some((runtime, runtime.option(name, self.phase)?))) else {
            return Ok(said);
        };
        match said {
            None => Ok(option.values.first().and_then(|word| from_word(word))),
            Some(said) if option.values.iter().any(|known| **known == *word(said)) => Ok(Some(said)),
            Some(said) => {
                let message =
                    format!("`{}` doesn't run with `--{name} {}` in the {} phase", runtime.name, word(said), self.phase.word());
                let has = option.values.iter().map(|value| format!("`--{name} {value}`")).collect::<Vec<_>>().join(" or ");
                Err(Diagnostic::new(Code::NotOfRuntime, message).help(format!("it does with {has}")).boxed())
            }
        }
    }
}

/// What to say of a version for which nothing was read.
fn unknown_version(runtime: &Runtime, version: &str) -> Option<Diagnostic> {
    let said = match (&runtime.versions, runtime.knows(version)) {
        (_, Some(true)) => return None,
        (Some(versions), Some(false)) => {
            format!(
                "what is known of `{}` is of {} to {}, and {version} is none of these",
                runtime.name, versions.from, versions.to
            )
        }
        (Some(versions), None) => {
            format!("`{version}` is no version of `{}`, of which {} to {} are known", runtime.name, versions.from, versions.to)
        }
        (None, _) => format!("`{}` has no versions", runtime.name),
    };
    Some(Diagnostic::new(Code::UnknownVersion, said))
}

/// The first of several.
fn first(said: &Diagnostics) -> Box<Diagnostic> {
    let first = said.iter().next().cloned();
    first.unwrap_or_else(|| Diagnostic::new(Code::UnknownRuntime, "a runtime that can't be read")).boxed()
}

/// What a value of a built-in workload variable must be; `None` if it is so. For the model's defaults and for `--set`.
#[must_use]
pub fn value_problem(name: &str, value: &Value) -> Option<&'static str> {
    let number = value.as_number();
    match name {
        "kv_len" => Some("always `past_len + seq_len`; set those"),
        "training" => Some("what the phase says; use `--phase train`"),
        "batch_size" | "seq_len" | "past_len" | "logit_len" => {
            let count = number.and_then(|n| n.to_count()).and_then(|n| u64::try_from(n).ok());
            if count.is_some() { None } else { Some("a non-negative integer") }
        }
        _ if name.ends_with("_bytes") => {
            if number.is_some_and(|n| n > Exact::ZERO) {
                None
            } else {
                Some("a positive number of bytes")
            }
        }
        _ => None,
    }
}

/// A complete workload.
#[derive(Debug, Clone)]
pub struct CompleteWorkload {
    /// What the step is.
    pub phase: Phase,
    /// Sequences.
    pub batch_size: u64,
    /// New tokens of each.
    pub seq_len: u64,
    /// Cached tokens of each.
    pub past_len: u64,
    /// Positions of each whose logits are computed.
    pub logit_len: u64,
    /// Element type of activations.
    pub dtype: Dtype,
    /// Element type of weights.
    pub weight_dtype: Dtype,
    /// Element type of weights that quantizers leave as they are: biases, norms, embeddings.
    pub other_weight_dtype: Dtype,
    /// Those of some layers, by pattern.
    pub weight_dtypes: Vec<(Arc<str>, Dtype)>,
    /// Element type of cached keys and values.
    pub kv_dtype: Dtype,
    /// Which pairs of queries and keys count.
    pub attention: Attention,
    /// How attention is computed.
    pub kernel: Kernel,
    /// Of which positions logits are computed.
    pub logits: Logits,
    /// Whether keys, values and states are kept.
    pub cache: Cache,
    /// Whose kernels run.
    pub backend: Backend,
    /// What multi-head latent attention attends to.
    pub mla: Mla,
    /// How the cached tokens came there.
    pub after: After,
    /// The model's own workload variables, after the built-in ones.
    pub more: Vec<(Arc<str>, Value)>,
    /// What nobody asked for, in words: "seq_len (the model's positions)".
    pub defaulted: Vec<String>,
}

/// Where a sequence length starts when nobody says one.
const DEFAULT_SEQ_LEN: u64 = 2048;

impl CompleteWorkload {
    /// Fills in what was left open: phase prefill, batch 1, sequence 2048 or the model's longest context if shorter; in the decode phase
    /// one new token after one less than that.
    ///
    /// `defaults` are the model's own (`workload`), `positions` its `max_position_embeddings`, `published` the dtype of a checkpoint's weights,
    /// which is theirs unless a dtype was asked for.
    #[must_use]
    pub fn complete(
        asked: &Workload,
        execution: Execution,
        defaults: &[(Arc<str>, Value)],
        positions: Option<u64>,
        published: Option<&Dtype>,
    ) -> Self {
        let mut defaulted = Vec::new();
        // Values that are no counts were refused before (`check_values`).
        let setting = |name: &str, list: &[(Arc<str>, Value)]| {
            let found = list.iter().rev().find(|(n, _)| &**n == name);
            found.and_then(|(_, value)| value.as_number()).and_then(|n| n.to_count()).and_then(|n| u64::try_from(n).ok())
        };
        let phase = asked.phase.unwrap_or_else(|| {
            defaulted.push("phase".to_owned());
            Phase::Prefill
        });
        let longest = positions.map_or(DEFAULT_SEQ_LEN, |p| p.clamp(1, DEFAULT_SEQ_LEN));
        let mut pick = |name: &str, stated: Option<u64>, fallback: u64| {
            stated.or_else(|| setting(name, &asked.settings)).unwrap_or_else(|| {
                defaulted.push(name.to_owned());
                setting(name, defaults).unwrap_or(fallback)
            })
        };
        let batch_size = pick("batch_size", asked.batch_size, 1);
        let (seq_len, past_len) = match phase {
            Phase::Decode => {
                // A sequence length that the model states is that of a prompt, so in the decode phase it is the past.
                let prompt = setting("seq_len", defaults).unwrap_or(longest);
                let seq_len = asked.seq_len.or_else(|| setting("seq_len", &asked.settings)).unwrap_or(1);
                (seq_len, pick("past_len", asked.past_len, prompt.saturating_sub(seq_len)))
            }
            _ => (pick("seq_len", asked.seq_len, longest), pick("past_len", asked.past_len, 0)),
        };
        let logits = asked.logits.unwrap_or(Logits::All);
        let logit_len = setting("logit_len", &asked.settings).or_else(|| match asked.logits {
            None => setting("logit_len", defaults),
            Some(_) => None,
        });
        let logit_len = logit_len.unwrap_or(match logits {
            Logits::All => seq_len,
            Logits::Last => seq_len.min(1),
        });
        let dtype = asked.dtype.clone().unwrap_or_else(|| {
            defaulted.push("dtype".to_owned());
            Dtype::default()
        });
        let or_dtype = |stated: &Option<Dtype>| stated.clone().unwrap_or_else(|| dtype.clone());
        let published = published.filter(|_| asked.dtype.is_none()).unwrap_or(&dtype);
        let weight_dtype = asked.weight_dtype.as_ref().unwrap_or(published).clone();
        let other_weight_dtype = if weight_dtype.is_quantized() { published.clone() } else { weight_dtype.clone() };
        CompleteWorkload {
            phase,
            batch_size,
            seq_len,
            past_len,
            logit_len,
            weight_dtype,
            other_weight_dtype,
            weight_dtypes: asked.weight_dtypes.clone(),
            kv_dtype: or_dtype(&asked.kv_dtype),
            dtype,
            attention: asked.attention.unwrap_or(Attention::Dense),
            kernel: execution.kernel,
            logits,
            // Training keeps no cache.
            cache: match phase {
                Phase::Train => Cache::Off,
                _ => execution.cache,
            },
            backend: execution.backend,
            mla: execution.mla,
            after: asked.after.unwrap_or_default(),
            more: Vec::new(),
            defaulted,
        }
    }

    /// The value of a variable that is a whole number: of those that every model has, or of the model's own. `None`: it is none, or there is none.
    #[must_use]
    pub fn count(&self, name: &str) -> Option<u64> {
        match name {
            "batch_size" => Some(self.batch_size),
            "seq_len" => Some(self.seq_len),
            "past_len" => Some(self.past_len),
            "logit_len" => Some(self.logit_len),
            name => self.more.iter().find(|(known, _)| **known == *name)?.1.as_u64(),
        }
    }

    /// Cached and new tokens per sequence.
    #[must_use]
    pub fn kv_len(&self) -> u128 {
        u128::from(self.past_len) + u128::from(self.seq_len)
    }

    /// The values of the built-in variables, then of the conventions. Sizes of dtypes come from `settings`, else from the dtype that `asked` names,
    /// else from the model's `defaults`.
    #[must_use]
    pub fn values(&self, asked: &Workload, defaults: &[(Arc<str>, Value)]) -> Vec<Value> {
        let kv_len = Exact::integer(i128::from(self.past_len) + i128::from(self.seq_len));
        let mut values = vec![
            Value::count(self.batch_size),
            Value::count(self.seq_len),
            Value::count(self.past_len),
            Value::Number(kv_len),
            Value::count(self.logit_len),
            Value::Number(self.dtype.bytes()),
            // Of a layer that is quantized its signature says so.
            Value::Number(self.other_weight_dtype.bytes()),
            Value::Number(self.kv_dtype.bytes()),
            Value::count(8),
            Value::Bool(self.phase == Phase::Train),
            Value::Number(self.other_weight_dtype.bytes()),
        ];
        let stated =
            [("dtype_bytes", &asked.dtype), ("weight_dtype_bytes", &asked.weight_dtype), ("kv_dtype_bytes", &asked.kv_dtype)];
        for (value, (name, _)) in values.iter_mut().zip(VARIABLES).filter(|(_, (name, _))| name.ends_with("_bytes")) {
            let named = stated.iter().any(|(n, dtype)| n == name && dtype.is_some()) || asked.dtype.is_some();
            let find = |list: &[(Arc<str>, Value)]| list.iter().rev().find(|(n, _)| **n == **name).map(|(_, v)| v.clone());
            if let Some(size) = find(&asked.settings).or_else(|| if named { None } else { find(defaults) }) {
                *value = size;
            }
        }
        values.push(Value::text(self.attention.word()));
        values.push(Value::text(self.kernel.word()));
        values.push(Value::Bool(self.cache == Cache::On));
        values.push(Value::text(self.backend.word()));
        values.push(Value::text(self.after.word()));
        values
    }
}
