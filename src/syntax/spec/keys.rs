//! The keys of each kind of object: the parser, the JSON Schema and the language reference's test read these tables.

/// A key, what may stand there, and what it means.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub required: bool,
    pub kind: KeyKind,
    pub doc: &'static str,
}

/// What may stand at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A text, nothing interpolated.
    Text,
    /// A text in which placeholders are filled in.
    Template,
    /// A word of `catalog/roles.json`.
    Role,
    Flag,
    /// true, false, or the name of a later sibling.
    Hold,
    /// A count or an expression.
    Count,
    /// true, false, or an expression.
    Condition,
    /// A list of counts or expressions.
    Shape,
    /// Any values by name.
    Variables,
    Parameters,
    Weights,
    Inputs,
    ModelInputs,
    Layers,
    Blocks,
    Classes,
    Tie,
    Takes,
    Expect,
    Aliases,
    Require,
    Nested,
    Heads,
    Draft,
    Texts,
    Points,
    Workload,
    WeightTies,
}

const fn key(name: &'static str, kind: KeyKind, doc: &'static str) -> Key {
    Key { name, required: false, kind, doc }
}

const fn required(name: &'static str, kind: KeyKind, doc: &'static str) -> Key {
    Key { name, required: true, kind, doc }
}

pub const MODEL_KEYS: &[Key] = &[
    key("$schema", KeyKind::Text, "where editors find the JSON Schema; not read otherwise"),
    key("name", KeyKind::Text, "the model's name, as in outputs"),
    key("class", KeyKind::Text, "the class of the whole model; `tree` shows it"),
    key("source", KeyKind::Text, "where the figures come from: a URL"),
    key("doc", KeyKind::Text, "a remark for readers"),
    key("family", KeyKind::Text, "the family whose layers these are (catalog/families); only `variables` differ"),
    key("head", KeyKind::Text, "with `family`: which of its heads; left out: its default"),
    key(
        "draft",
        KeyKind::Flag,
        "with `family`: whether its draft part (multi-token prediction) is built, as `--with-mtp` builds it",
    ),
    key(
        "variables",
        KeyKind::Variables,
        "named values and expressions, in scope everywhere in the file; with `family`, values for its variables",
    ),
    key("workload", KeyKind::Workload, "defaults for workload variables (batch_size, seq_len, ...), and further ones"),
    key(
        "inputs",
        KeyKind::ModelInputs,
        "the tensors that the model is called with; left out: input_ids, [<batch_size>, <seq_len>], int64",
    ),
    key("classes", KeyKind::Classes, "class definitions for this file alone, by class name (docs/classes.md)"),
    key("blocks", KeyKind::Blocks, "layers to be used in several places, by name"),
    key("layers", KeyKind::Layers, "the layers, in the order of execution; needed unless there is a `family`"),
    key(
        "checkpoint",
        KeyKind::Parameters,
        "what a published checkpoint says of its weights: `dtype`, `quantization_config`, as in its config.json",
    ),
    key("expect", KeyKind::Expect, "facts that every compile checks, such as the published parameter count"),
    key("partial", KeyKind::Texts, "what the model has and the file lacks, in words: totals are of the rest, and say so"),
];

pub const LAYER_KEYS: &[Key] = &[
    key("name", KeyKind::Template, "path segment, unique beside its siblings; a composite without one is a group"),
    key("inline", KeyKind::Flag, "of a composite: its name is for values only and adds no path segment"),
    key("class", KeyKind::Template, "the class; of a basic layer it selects the formulas"),
    key(
        "role",
        KeyKind::Role,
        "what it is to a reader (docs/roles.md): query projection, shared expert, head, ...; left out: what its class or block says",
    ),
    key("doc", KeyKind::Text, "a remark for readers"),
    key("sub_layers", KeyKind::Layers, "the layers of a composite, in the order of execution"),
    key("use", KeyKind::Template, "the block whose layers these are, in place of sub_layers"),
    key("repeat", KeyKind::Count, "how many modules: `layers` becomes `layers.0`, `layers.1`, ...; no workload variables"),
    key("parallel", KeyKind::Flag, "with repeat: all instances read the same input, instead of one the other's output"),
    key("index", KeyKind::Text, "with repeat: the name of the index variable (`layer` if left out)"),
    key("calls", KeyKind::Count, "how often it runs in one pass (1 if left out); FLOPs and traffic multiply, parameters don't"),
    key("when", KeyKind::Condition, "whether the layer exists; no workload variables"),
    key("variables", KeyKind::Variables, "more variables, in scope here and below; with `use`, what is bound to the block"),
    key("parameters", KeyKind::Parameters, "of a basic layer: what its class asks for"),
    key("weights", KeyKind::Weights, "tensors that the layer owns itself; of a basic layer they replace the class's"),
    key(
        "inputs",
        KeyKind::Inputs,
        "the values it reads: `input`, or names of earlier layers; left out: the previous layer's output",
    ),
    key("output", KeyKind::Template, "of a composite: the child whose value it returns; left out: the last one's"),
    key(
        "hold",
        KeyKind::Hold,
        "its output lives until the enclosing composite returns (true), or until the later sibling of this name (the first of several that exists) has run",
    ),
    key("no_grad", KeyKind::Flag, "it runs without gradients in training: no backward pass, nothing saved, in all of it"),
    key("tied_to", KeyKind::Tie, "the layer whose weights these are"),
];

pub const BLOCK_KEYS: &[Key] = &[
    key("doc", KeyKind::Text, "what it is"),
    key("role", KeyKind::Role, "what a composite of these layers is to a reader (docs/roles.md): attention, mlp, ..."),
    key("takes", KeyKind::Takes, "names it expects: a default for each, or \"required\""),
    key("variables", KeyKind::Variables, "variables of its own"),
    key("reads", KeyKind::Texts, "values of layers around that it reads, such as `rotary_emb.cos`"),
    required("layers", KeyKind::Layers, "its layers"),
];

pub const FAMILY_KEYS: &[Key] = &[
    key("$schema", KeyKind::Text, "where editors find the JSON Schema; not read otherwise"),
    key("model_types", KeyKind::Texts, "the `model_type` of the configs that are of this family"),
    key(
        "prefix",
        KeyKind::Text,
        "the stem of its class names; its last segment and a head's key are an architecture's name; left out: a base, which others extend",
    ),
    key("class", KeyKind::Template, "the bare model's class; left out: `<prefix>Model`"),
    required("source", KeyKind::Text, "the file and version that it was read from"),
    key("doc", KeyKind::Text, "a remark for readers: quirks, keys that the real modules ignore"),
    key("extends", KeyKind::Text, "another family, from which it starts"),
    key("aliases", KeyKind::Aliases, "keys of configs that mean a variable"),
    key(
        "variables",
        KeyKind::Variables,
        "the defaults of the config class, which a config's keys replace; \"required\": there is none",
    ),
    key("derived", KeyKind::Variables, "what follows from them; in its own definition a name means the config's value"),
    key("require", KeyKind::Require, "conditions on a config, each with what to say if it doesn't hold"),
    key("foreign", KeyKind::Aliases, "keys of configs that it doesn't read though they change the model, each with what they do"),
    key("workload", KeyKind::Workload, "workload variables of its own, with their defaults"),
    key("inputs", KeyKind::ModelInputs, "the tensors that the model is called with"),
    key("nested", KeyKind::Nested, "inner configs, each bound to its family"),
    key("blocks", KeyKind::Blocks, "layers to be used in several places, by name"),
    key("layers", KeyKind::Layers, "the layers of the bare model, in the order of execution"),
    key("heads", KeyKind::Heads, "what an architecture adds to the bare model, by the end of its name"),
    key("default_head", KeyKind::Text, "the head where a config names no architecture; left out: `Model`"),
    key("draft", KeyKind::Draft, "the part for multi-token prediction that its checkpoints hold, built where it is asked for"),
];

pub const HEAD_KEYS: &[Key] = &[
    key("base", KeyKind::Text, "the name under which the bare model goes; left out: its layers stand beside the head's"),
    key("variables", KeyKind::Variables, "other values for some of the family's `derived`"),
    key("layers", KeyKind::Layers, "the layers after the bare model's"),
];

pub const DRAFT_KEYS: &[Key] = &[
    required("count", KeyKind::Text, "an expression for how many such layers a config says: `<num_nextn_predict_layers>`"),
    required("layers", KeyKind::Layers, "its layers, which run after those of the head"),
    key("heads", KeyKind::Texts, "the heads behind which it may stand; left out: the default one"),
    key(
        "otherwise",
        KeyKind::Variables,
        "other values of variables, tried where a file of weights doesn't hold all that these layers have",
    ),
];

pub const NESTED_KEYS: &[Key] = &[
    required("family", KeyKind::Template, "its family, or its config's model type: `<text_config.model_type>`"),
    required("config", KeyKind::Text, "an expression for the inner config: `<text_config>`"),
    key("head", KeyKind::Template, "which head; left out: the bare model"),
    key("draft", KeyKind::Flag, "the draft part of that family in place of its layers; there where one is built"),
];

pub const WEIGHT_KEYS: &[Key] = &[
    required("shape", KeyKind::Shape, "the tensor's shape"),
    key("when", KeyKind::Condition, "whether it exists"),
    key("dtype", KeyKind::Text, "`float32`: it stays so in a checkpoint of another dtype"),
];

/// The one dtype that a weight may say of itself.
pub const KEPT_DTYPE: &str = "float32";

pub const TIE_KEYS: &[Key] = &[
    key("layer", KeyKind::Template, "the path of the layer whose weights these are"),
    key("weights", KeyKind::WeightTies, "single weights, each with the path of the other"),
    key("when", KeyKind::Condition, "whether they are tied"),
];

pub const INPUT_KEYS: &[Key] = &[
    required("shape", KeyKind::Shape, "the tensor's shape"),
    key("dtype", KeyKind::Text, "its dtype: activation, index (or int64), float32 or bool; left out: activation"),
];

/// Besides the facts that no workload changes: params, layers, modules.
pub const EXPECT_KEYS: &[Key] = &[key("points", KeyKind::Points, "facts at stated workloads")];

/// Besides the quantities of the totals.
pub const POINT_KEYS: &[Key] = &[required("workload", KeyKind::Workload, "the workload at which the facts hold")];
