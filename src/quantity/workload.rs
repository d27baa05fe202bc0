//! The words of a workload: the variables that every model has, the conventions, and the choices that options offer.
//!
//! Only names and their meanings are here; `cost::workload` has their values.

/// A workload variable: one of [`VARIABLES`], or after those one of the model's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkloadVar(pub u16);

/// The workload variables that every model has, and what they mean.
pub const VARIABLES: &[(&str, &str)] = &[
    ("batch_size", "sequences in a step"),
    ("seq_len", "new tokens per sequence"),
    ("past_len", "cached tokens per sequence, from earlier steps"),
    ("kv_len", "past_len + seq_len"),
    ("logit_len", "positions of each sequence whose logits are computed"),
    ("dtype_bytes", "bytes of an activation"),
    ("weight_dtype_bytes", "bytes of a weight"),
    ("kv_dtype_bytes", "bytes of a cached key or value"),
    ("index_dtype_bytes", "bytes of a token id: 8, for int64"),
    ("training", "true in the train phase"),
    ("other_weight_dtype_bytes", "bytes of a weight that is never quantized, where others of its layer are: a bias"),
];

/// Where the bytes of an activation stand among [`VARIABLES`].
pub const DTYPE_BYTES: usize = 5;
/// Where the bytes of a weight stand.
pub const WEIGHT_DTYPE_BYTES: usize = 6;
/// Where the bytes of a cached key or value stand.
pub const KV_DTYPE_BYTES: usize = 7;
/// Where the bytes of a token id stand.
pub const INDEX_DTYPE_BYTES: usize = 8;

/// Where the bytes of a weight stand that is never quantized.
pub const OTHER_WEIGHT_DTYPE_BYTES: usize = 10;

/// The lengths that a composite may rebind for all in it, such as an encoder with a length of its own.
pub const LENGTHS: &[&str] = &["batch_size", "seq_len", "past_len", "kv_len", "logit_len"];

/// Variables that follow from others, so that a model can't have a default for them.
pub const DERIVED: &[&str] = &["kv_len", "training"];

/// What a workload can state besides variables.
pub const OPTIONS: &[&str] = &[
    "phase",
    "dtype",
    "weight_dtype",
    "kv_dtype",
    "attention",
    "kernel",
    "mla",
    "logits",
    "cache",
    "backend",
    "after",
    "runtime",
];

/// How a model's file asks for the members of [`EXECUTION`]: `<execution.kernel>`.
pub const EXECUTION_NAME: &str = "execution";

/// What is known of how a model is run before it is flattened, so that `when` and other structural attributes may ask for it.
pub const EXECUTION: &[(&str, &str)] = &[
    ("kernel", "'flash', 'eager' or 'math': how attention is computed"),
    ("cache", "'on' or 'off': whether keys, values and states are kept for later steps"),
    ("backend", "'cpu' or 'cuda': whose kernels run"),
    ("mla", "'expanded' or 'absorbed': whether latent attention makes keys and values of all heads, or attends to the latents"),
    ("runtime", "the name of the engine: 'eager', ..."),
];

/// The engine that everything is of unless another is asked for.
pub const EAGER: &str = "eager";

/// The options that an engine may set, with their choices.
pub const CHOICES: &[(&str, &[&str])] = &[
    ("attention", Attention::WORDS),
    ("kernel", Kernel::WORDS),
    ("mla", Mla::WORDS),
    ("logits", Logits::WORDS),
    ("cache", Cache::WORDS),
    ("backend", Backend::WORDS),
];

/// The conventions, which class formulas see after the variables.
pub const CONVENTIONS: &[(&str, &str)] = &[
    ("attention", "'dense': every query with every key, as PyTorch counts; 'masked': only the pairs that the mask keeps"),
    ("kernel", "'flash', 'eager' or 'math': how attention is computed"),
    ("use_cache", "true where keys, values and states are kept for later steps"),
    ("backend", "'cpu' or 'cuda': whose kernels decide what is kept for the backward pass"),
    ("after", "'steps' or 'prompt': whether cached tokens came one by one, as while decoding, or all at once"),
];

/// What class formulas call the `at`th of the names that they see before their own; empty: there are not so many.
#[must_use]
pub fn builtin(at: usize) -> &'static str {
    VARIABLES.iter().chain(CONVENTIONS).nth(at).map_or("", |(name, _)| *name)
}

/// How many names class formulas see before those of their class: the variables and the conventions.
pub const BUILTINS: usize = VARIABLES.len() + CONVENTIONS.len();

/// What a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A prompt, or a part of one.
    Prefill,
    /// One more token, or a few, after cached ones.
    Decode,
    /// A forward and a backward pass.
    Train,
}

/// Which pairs of queries and keys count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// Every query with every key, as PyTorch counts.
    Dense,
    /// Only the pairs that the mask keeps, as a kernel computes that skips the rest.
    Masked,
}

/// How attention is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kernel {
    /// In tiles: scores are never stored.
    #[default]
    Flash,
    /// As the modelling code spells it out.
    Eager,
    /// PyTorch's own fallback, product by product.
    Math,
}

/// What multi-head latent attention attends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mla {
    /// The keys and values of all heads, which every step makes of all cached latents.
    #[default]
    Expanded,
    /// The latents themselves: what makes keys and values of them is applied to queries and results.
    Absorbed,
}

/// Whether keys, values and states are kept for later steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Cache {
    /// They are kept.
    #[default]
    On,
    /// They are not.
    Off,
}

/// Whose kernels: they differ in what they save for the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Backend {
    /// The CPU's kernels, as the reference ran.
    #[default]
    Cpu,
    /// CUDA's kernels.
    Cuda,
}

/// How the cached tokens came there, where that decides what holds them: eager PyTorch keeps a window of the keys as a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum After {
    /// One by one: the steady state of decoding.
    #[default]
    Steps,
    /// All at once: the step is the first after a prompt.
    Prompt,
}

/// Of which positions logits are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logits {
    /// Of all.
    All,
    /// Of the last one of each sequence.
    Last,
}

/// The words of an enumeration, as options and outputs spell them.
macro_rules! words {
    ($type:ident, $($variant:ident = $word:literal),*) => {
        impl $type {
            /// As options and outputs spell it.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $($type::$variant => $word),* }
            }

            /// The choice that a word means.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($type::$variant),)* _ => None }
            }

            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$($type::$variant),*];

            /// All words, in order.
            pub const WORDS: &'static [&'static str] = &[$($word),*];
        }
    };
}
pub(crate) use words;

words!(Phase, Prefill = "prefill", Decode = "decode", Train = "train");
words!(Attention, Dense = "dense", Masked = "masked");
words!(Kernel, Flash = "flash", Eager = "eager", Math = "math");
words!(Mla, Expanded = "expanded", Absorbed = "absorbed");
words!(Cache, On = "on", Off = "off");
words!(Backend, Cpu = "cpu", Cuda = "cuda");
words!(After, Steps = "steps", Prompt = "prompt");
words!(Logits, All = "all", Last = "last");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_stand_where_they_are_looked_for() {
        for (at, name) in [
            (DTYPE_BYTES, "dtype_bytes"),
            (WEIGHT_DTYPE_BYTES, "weight_dtype_bytes"),
            (KV_DTYPE_BYTES, "kv_dtype_bytes"),
            (INDEX_DTYPE_BYTES, "index_dtype_bytes"),
            (OTHER_WEIGHT_DTYPE_BYTES, "other_weight_dtype_bytes"),
        ] {
            assert_eq!(VARIABLES[at].0, name);
        }
    }
}
