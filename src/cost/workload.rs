//! The workload: how much a model is asked to do, in which dtypes, counted by which conventions.
//!
//! Options come in ([`Request`]), values for every workload variable go out ([`Workload`]). The names here are those of DESIGN section 2;
//! a model may add its own.

use std::sync::Arc;

use crate::catalog::{Catalog, Dtype};
use crate::quantity::Exact;
use crate::quantity::workload::{Attention, Backend, Cache, Kernel, Logits, Phase, VARIABLES};
use crate::syntax::expr::Value;

/// What was asked for; what is `None` gets a default.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub phase: Option<Phase>,
    pub batch_size: Option<u64>,
    pub seq_len: Option<u64>,
    pub past_len: Option<u64>,
    pub dtype: Option<Dtype>,
    pub weight_dtype: Option<Dtype>,
    /// Other weight dtypes for the layers whose path or class a pattern means; the last that does wins.
    pub weight_dtypes: Vec<(Arc<str>, Dtype)>,
    pub kv_dtype: Option<Dtype>,
    pub attention: Option<Attention>,
    pub kernel: Option<Kernel>,
    pub logits: Option<Logits>,
    pub cache: Option<Cache>,
    pub backend: Option<Backend>,
    /// Other values for variables of the model, structural or workload.
    pub settings: Vec<(Arc<str>, Value)>,
    /// The family of a config, in place of the one that its model type means.
    pub family: Option<Arc<str>>,
}

impl Request {
    /// Reads options by name, as `expect` and the examples of classes give them: `phase`, `batch_size`, `dtype`, ... Other names are
    /// settings. Dtypes are the catalog's.
    ///
    /// # Errors
    /// The name whose value makes no sense, and what was expected.
    pub fn from_pairs(pairs: &[(Arc<str>, Value)], catalog: &Catalog) -> Result<Request, (Arc<str>, String)> {
        let mut request = Request::default();
        for (name, value) in pairs {
            request.set(name, value, catalog).map_err(|expected| (name.clone(), expected))?;
        }
        Ok(request)
    }

    fn set(&mut self, name: &Arc<str>, value: &Value, catalog: &Catalog) -> Result<(), String> {
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
            "kernel" => self.kernel = Some(Kernel::from_word(word).ok_or_else(|| one_of(Kernel::WORDS))?),
            "logits" => self.logits = Some(Logits::from_word(word).ok_or_else(|| one_of(Logits::WORDS))?),
            "cache" => self.cache = Some(Cache::from_word(word).ok_or_else(|| one_of(Cache::WORDS))?),
            "backend" => self.backend = Some(Backend::from_word(word).ok_or_else(|| one_of(Backend::WORDS))?),
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
pub struct Workload {
    pub phase: Phase,
    pub batch_size: u64,
    pub seq_len: u64,
    pub past_len: u64,
    pub logit_len: u64,
    pub dtype: Dtype,
    pub weight_dtype: Dtype,
    /// Those of some layers, by pattern.
    pub weight_dtypes: Vec<(Arc<str>, Dtype)>,
    pub kv_dtype: Dtype,
    pub attention: Attention,
    pub kernel: Kernel,
    pub logits: Logits,
    pub cache: Cache,
    pub backend: Backend,
    /// The model's own workload variables, after the built-in ones.
    pub more: Vec<(Arc<str>, Value)>,
    /// What nobody asked for, in words: "seq_len (the model's positions)".
    pub defaulted: Vec<String>,
}

/// Where a sequence length starts when nobody says one.
const DEFAULT_SEQ_LEN: u64 = 2048;

impl Workload {
    /// Fills in what was left open: phase prefill, batch 1, sequence 2048 or the model's longest context if shorter; in the decode phase
    /// one new token after one less than that.
    ///
    /// `defaults` are the model's own (`workload`), `positions` its `max_position_embeddings`.
    #[must_use]
    pub fn complete(request: &Request, defaults: &[(Arc<str>, Value)], positions: Option<u64>) -> Self {
        let mut defaulted = Vec::new();
        // Values that are no counts were refused before (`check_values`).
        let setting = |name: &str, list: &[(Arc<str>, Value)]| {
            let found = list.iter().rev().find(|(n, _)| &**n == name);
            found.and_then(|(_, value)| value.as_number()).and_then(|n| n.to_count()).and_then(|n| u64::try_from(n).ok())
        };
        let phase = request.phase.unwrap_or_else(|| {
            defaulted.push("phase".to_owned());
            Phase::Prefill
        });
        let longest = positions.map_or(DEFAULT_SEQ_LEN, |p| p.clamp(1, DEFAULT_SEQ_LEN));
        let mut pick = |name: &str, asked: Option<u64>, fallback: u64| {
            asked.or_else(|| setting(name, &request.settings)).unwrap_or_else(|| {
                defaulted.push(name.to_owned());
                setting(name, defaults).unwrap_or(fallback)
            })
        };
        let batch_size = pick("batch_size", request.batch_size, 1);
        let (seq_len, past_len) = match phase {
            Phase::Decode => {
                // A sequence length that the model states is that of a prompt, so in the decode phase it is the past.
                let prompt = setting("seq_len", defaults).unwrap_or(longest);
                let seq_len = request.seq_len.or_else(|| setting("seq_len", &request.settings)).unwrap_or(1);
                (seq_len, pick("past_len", request.past_len, prompt.saturating_sub(seq_len)))
            }
            _ => (pick("seq_len", request.seq_len, longest), pick("past_len", request.past_len, 0)),
        };
        let logits = request.logits.unwrap_or(Logits::All);
        let logit_len = setting("logit_len", &request.settings).or_else(|| match request.logits {
            None => setting("logit_len", defaults),
            Some(_) => None,
        });
        let logit_len = logit_len.unwrap_or(match logits {
            Logits::All => seq_len,
            Logits::Last => seq_len.min(1),
        });
        let dtype = request.dtype.clone().unwrap_or_else(|| {
            defaulted.push("dtype".to_owned());
            Dtype::default()
        });
        let or_dtype = |asked: &Option<Dtype>| asked.clone().unwrap_or_else(|| dtype.clone());
        Workload {
            phase,
            batch_size,
            seq_len,
            past_len,
            logit_len,
            weight_dtype: or_dtype(&request.weight_dtype),
            weight_dtypes: request.weight_dtypes.clone(),
            kv_dtype: or_dtype(&request.kv_dtype),
            dtype,
            attention: request.attention.unwrap_or(Attention::Dense),
            kernel: request.kernel.unwrap_or(Kernel::Flash),
            logits,
            // Training keeps no cache.
            cache: match phase {
                Phase::Train => Cache::Off,
                _ => request.cache.unwrap_or(Cache::On),
            },
            backend: request.backend.unwrap_or(Backend::Cpu),
            more: Vec::new(),
            defaulted,
        }
    }

    /// Cached and new tokens per sequence.
    #[must_use]
    pub fn kv_len(&self) -> u128 {
        u128::from(self.past_len) + u128::from(self.seq_len)
    }

    /// The values of [`VARIABLES`], then of [`CONVENTIONS`]. Sizes of dtypes come from `settings`, else from the dtype that `request` names,
    /// else from the model's `defaults`.
    #[must_use]
    pub fn values(&self, request: &Request, defaults: &[(Arc<str>, Value)]) -> Vec<Value> {
        let kv_len = Exact::integer(i128::from(self.past_len) + i128::from(self.seq_len));
        let mut values = vec![
            Value::count(self.batch_size),
            Value::count(self.seq_len),
            Value::count(self.past_len),
            Value::Number(kv_len),
            Value::count(self.logit_len),
            Value::Number(self.dtype.bytes()),
            Value::Number(self.weight_dtype.bytes()),
            Value::Number(self.kv_dtype.bytes()),
            Value::count(8),
            Value::Bool(self.phase == Phase::Train),
        ];
        let asked = [
            ("dtype_bytes", &request.dtype),
            ("weight_dtype_bytes", &request.weight_dtype),
            ("kv_dtype_bytes", &request.kv_dtype),
        ];
        for (value, (name, _)) in values.iter_mut().zip(VARIABLES).filter(|(_, (name, _))| name.ends_with("_bytes")) {
            let named = asked.iter().any(|(n, dtype)| n == name && dtype.is_some()) || request.dtype.is_some();
            let find = |list: &[(Arc<str>, Value)]| list.iter().rev().find(|(n, _)| **n == **name).map(|(_, v)| v.clone());
            if let Some(size) = find(&request.settings).or_else(|| if named { None } else { find(defaults) }) {
                *value = size;
            }
        }
        values.push(Value::text(self.attention.word()));
        values.push(Value::text(self.kernel.word()));
        values.push(Value::Bool(self.cache == Cache::On));
        values.push(Value::text(self.backend.word()));
        values
    }
}
