//! The keys of a class file and of the objects in it, each with what it means.

use crate::catalog::values::key;
use crate::syntax::spec::{Key, KeyKind};

/// The keys of a class.
pub(super) const CLASS_KEYS: &[Key] = &[
    key("class", KeyKind::Text, false, "the full name (in a model file: the key)"),
    key("aliases", KeyKind::Text, false, "other names, and patterns over the last segment; one of another kind is an object"),
    key("extends", KeyKind::Text, false, "another class, from which it starts"),
    key("kind", KeyKind::Text, true, "module (PyTorch lists it in named_modules()) or function"),
    key("role", KeyKind::Role, false, "what its layers are to a reader: norm, attention, experts, ... (docs/roles.md)"),
    key("facts", KeyKind::Variables, false, "what is known of them by that role: heads, experts, ..., each a formula"),
    key("doc", KeyKind::Text, true, "what it computes"),
    key("source", KeyKind::Text, true, "where that is written down"),
    key("parameters", KeyKind::Variables, false, "what a layer of this class says"),
    key("variables", KeyKind::Variables, false, "names for parts of formulas"),
    key("require", KeyKind::Variables, false, "what must hold of the parameters, each with its message"),
    key("weights", KeyKind::Weights, false, "the tensors that it owns"),
    key("quantized", KeyKind::Texts, false, "those of its weights that methods for linear layers quantize"),
    key("parallel", KeyKind::Variables, false, "what of it a split over devices divides; left out: nothing, each has all of it"),
    key("active_params", KeyKind::Count, false, "how many of their elements a token uses, where that isn't all"),
    key("inputs", KeyKind::Variables, false, "the values that it reads"),
    key("output", KeyKind::Variables, false, "the value that it gives"),
    key("outputs", KeyKind::Variables, false, "the values that it gives, if there are several"),
    key("flops", KeyKind::Variables, true, "forward: matmul, vector, transcendental"),
    key("backward", KeyKind::Variables, false, "the same for the backward pass"),
    key("reads", KeyKind::Variables, false, "bytes read: weights, activations, cache"),
    key("writes", KeyKind::Variables, false, "bytes written: activations, cache"),
    key("cache", KeyKind::Count, false, "bytes that stay between steps"),
    key("past", KeyKind::Count, false, "bytes of the cache's storage before the step, which this layer frees"),
    key("workspace", KeyKind::Count, false, "the most bytes held at once while it runs, outputs included, inputs not"),
    key("training_workspace", KeyKind::Count, false, "the same where it keeps what it saves; left out: `workspace`"),
    key(
        "cached",
        KeyKind::Count,
        false,
        "bytes that selective checkpointing keeps of the products inside; left out or 0: its outputs, if it has products",
    ),
    key(
        "cached_workspace",
        KeyKind::Count,
        false,
        "the most bytes that it adds when it is computed again with these; left out: nothing",
    ),
    key(
        "backward_first",
        KeyKind::Count,
        false,
        "bytes that its backward pass makes before it first asks for what was saved; left out: none",
    ),
    key(
        "backward_workspace",
        KeyKind::Count,
        false,
        "the most bytes that its backward pass adds at once, gradients of inputs and weights included; left out: just these",
    ),
    key(
        "backward_later",
        KeyKind::Count,
        false,
        "the same once it has let go of the gradients that it was given: these, and the gradients of weights, left out",
    ),
    key(
        "backward_held",
        KeyKind::Count,
        false,
        "as `backward_later`, with those gradients of weights that exist by then; left out: all of them",
    ),
    key("saves", KeyKind::Variables, false, "what the backward pass needs kept: names of inputs and outputs, and tensors"),
    key("derivation", KeyKind::Text, false, "how the formulas come about"),
    key("examples", KeyKind::Text, false, "worked examples, checked exactly"),
];

/// The keys of an alias that isn't of the class's kind.
pub(super) const ALIAS_KEYS: &[Key] = &[
    key("name", KeyKind::Text, true, "the name or pattern"),
    key("kind", KeyKind::Text, false, "module or function; left out: the class's"),
    key("role", KeyKind::Role, false, "what its layers are to a reader; left out: the class's"),
];

/// The keys of a parameter.
pub(super) const PARAMETER_KEYS: &[Key] = &[
    key("kind", KeyKind::Text, true, "count, ratio, flag, text or shape"),
    key("doc", KeyKind::Text, true, "what it is, with its unit"),
    key("default", KeyKind::Count, false, "a formula; left out: the parameter is required"),
    key("values", KeyKind::Text, false, "the texts allowed"),
    key("dims", KeyKind::Count, false, "of a shape: the dimensions that one number stands for, where people are shown them"),
];

/// The keys of a weight of a class.
pub(super) const CLASS_WEIGHT_KEYS: &[Key] = &[
    key("shape", KeyKind::Shape, true, "its shape"),
    key("when", KeyKind::Condition, false, "whether it exists"),
    key("dtype", KeyKind::Text, false, "`float32`: it stays so in a checkpoint of another dtype"),
    key("trained", KeyKind::Condition, false, "whether training changes it; left out: it does"),
];

/// The keys of a value: an input, an output, or what `saves` keeps.
pub(super) const VALUE_KEYS: &[Key] = &[
    key("shape", KeyKind::Shape, false, "its shape"),
    key("name", KeyKind::Text, false, "of a tensor in `saves`: what it is"),
    key("value", KeyKind::Text, false, "in `saves`: the input or output that is kept"),
    key(
        "early",
        KeyKind::Flag,
        false,
        "in `saves`, of an input: whether the backward pass lets go of it before the moments of `backward_later`, if nothing else keeps its storage",
    ),
    key("dtype", KeyKind::Text, false, "activation, cache, index, float32 or bool, or a formula that gives one of them"),
    key("broadcast", KeyKind::Flag, false, "of an input: dimensions of size 1 stretch to those of the first input"),
    key("optional", KeyKind::Flag, false, "of an input: whether it may be left out though it would exist"),
    key("persistent", KeyKind::Condition, false, "of an output: whether it stays when the model has returned, as a cache does"),
    key("hold", KeyKind::Count, false, "of an output: how many enclosing composites hold it until they return"),
    key("view", KeyKind::Condition, false, "whether it shares its input's storage"),
    key(
        "gradient",
        KeyKind::Text,
        false,
        "of an input: own, a tensor (left out); output, the output's passed on; none. Of an output: none",
    ),
    key("when", KeyKind::Condition, false, "whether it exists"),
];

/// The keys of `parallel`: ways to split a model.
pub(super) const PARALLEL_KEYS: &[Key] =
    &[key("tensor", KeyKind::Texts, true, "the counts among its parameters of which each rank has a part, at least 1")];

/// The keys of `flops` and of `backward`.
pub(super) const FLOP_KEYS: &[Key] = &[
    key("matmul", KeyKind::Count, true, "2 m n k a matrix product"),
    key("vector", KeyKind::Count, true, "1 an elementwise operation"),
    key("transcendental", KeyKind::Count, true, "1 an exp, sqrt, ..."),
];

/// The keys of `reads`.
pub(super) const READ_KEYS: &[Key] = &[
    key("weights", KeyKind::Count, false, "bytes of weights"),
    key("activations", KeyKind::Count, false, "bytes of inputs"),
    key("cache", KeyKind::Count, false, "bytes of cache"),
];

/// The keys of `writes`.
pub(super) const WRITE_KEYS: &[Key] =
    &[key("activations", KeyKind::Count, false, "bytes of outputs"), key("cache", KeyKind::Count, false, "bytes of cache")];

/// The keys of an example.
pub(super) const EXAMPLE_KEYS: &[Key] = &[
    key("doc", KeyKind::Text, false, "what it is an example of"),
    key("parameters", KeyKind::Variables, true, "the parameters"),
    key("workload", KeyKind::Workload, false, "the workload"),
    key("expect", KeyKind::Variables, true, "what must come out"),
    key("source", KeyKind::Text, true, "who says so"),
];
