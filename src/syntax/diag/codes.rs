//! The one table of diagnostic codes: `explain`, `docs/errors.md` and the coverage test read it.

use super::Severity;

/// What can be wrong, as a statement of fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The file is not well-formed JSON.
    MalformedJson,
    /// A key stands twice in one object.
    DuplicateKey,
    /// Arrays and objects are nested too deeply.
    JsonTooDeep,
    /// The file is larger than 64 MiB or has too many values.
    FileTooLarge,
    /// The file is not UTF-8 text.
    NotUtf8,
    /// A key that the language doesn't have.
    UnknownKey,
    /// A key that must be there is missing.
    MissingKey,
    /// A value of the wrong type.
    WrongType,
    /// Two keys exclude each other.
    ConflictingKeys,
    /// A name that can't be a path segment or a variable.
    InvalidName,
    /// A block that isn't defined.
    UnknownBlock,
    /// A block that uses itself.
    RecursiveBlock,
    /// A block's required variable isn't bound.
    MissingBinding,
    /// A class definition that doesn't hold together.
    InvalidClass,
    /// A role that isn't one of the vocabulary.
    UnknownRole,
    /// An expression that doesn't parse.
    MalformedExpression,
    /// A name without brackets in an expression.
    BareName,
    /// A placeholder that isn't closed, or was never opened.
    UnbalancedPlaceholder,
    /// A variable that isn't in scope.
    UnknownVariable,
    /// A function that the language doesn't have.
    UnknownFunction,
    /// A function with too few or too many arguments.
    WrongNumberOfArguments,
    /// An expression or a value that is too large.
    ExpressionTooLarge,
    /// Variables that depend on each other in a circle.
    CyclicVariables,
    /// The structure depends on the workload.
    StructureDependsOnWorkload,
    /// A division by zero.
    DivisionByZero,
    /// A count that isn't a non-negative integer.
    NotACount,
    /// A number beyond what is computed with.
    Overflow,
    /// An operation on values of the wrong kind.
    TypeMismatch,
    /// An index beyond the end of a list.
    OutOfRange,
    /// Variables that depend on too many others in a row.
    EvaluationTooDeep,
    /// A model whose figures can't be written as formulas.
    NoFormula,
    /// A layer class without a definition.
    UnknownClass,
    /// A parameter that the class needs is missing.
    MissingParameter,
    /// A parameter that the class doesn't have.
    UnknownParameter,
    /// A parameter of the wrong kind.
    ParameterType,
    /// Two layers of the same name side by side.
    DuplicateName,
    /// An input or output that names no value.
    UnknownInput,
    /// Weights tied to a layer that doesn't exist.
    UnknownTieTarget,
    /// Tied weights of different shapes.
    TiedShapesDiffer,
    /// Parameters that don't fit together.
    RequirementNotMet,
    /// A class without formulas for the backward pass.
    NoBackwardFormula,
    /// A layer is given a value of another shape or type than it takes.
    ShapeMismatch,
    /// A layer reads more or fewer values than its class takes.
    WrongNumberOfInputs,
    /// Memory of training is asked of a class that doesn't say what it saves.
    UnknownSaves,
    /// An expectation doesn't hold.
    ExpectationFailed,
    /// A model doesn't fit where it was required to.
    DoesNotFit,
    /// Layers are nested too deeply.
    LayersTooDeep,
    /// The model has too many distinct layers.
    ModelTooLarge,
    /// More rows than may be printed.
    TooManyRows,
    /// A file that can't be read.
    CannotRead,
    /// A model that is neither a file nor built in.
    UnknownModel,
    /// `--set` of a variable that the model doesn't have.
    UnknownSetting,
    /// A workload that makes no sense.
    InvalidWorkload,
    /// Nothing of that name to explain.
    UnknownSubject,
    /// A device that the catalog doesn't have.
    UnknownDevice,
    /// A config of a model type that no family is for.
    UnknownModelType,
    /// A family that the catalog doesn't have.
    UnknownFamily,
    /// A head that the family doesn't have.
    UnknownHead,
    /// A model that a file can't say layer by layer.
    CannotWriteOut,
    /// A convention that the catalog doesn't have.
    UnknownConvention,
    /// A file of weights that isn't as its format says.
    MalformedCheckpoint,
    /// A file of weights that no family's model fits.
    UnmappedCheckpoint,
    /// A draft part is asked for that the family doesn't have.
    NoDraftPart,
    /// A runtime that the catalog doesn't have.
    UnknownRuntime,
    /// A runtime that doesn't do what is asked for.
    NotOfRuntime,
    /// The workload is longer than the model's positions.
    BeyondPositions,
    /// Expectations were not checked.
    ExpectationsSkipped,
    /// An architecture that the family doesn't know.
    UnknownArchitecture,
    /// A quantization method that isn't known.
    UnknownQuantization,
    /// Something in a quantization config that nothing reads.
    UnreadQuantization,
    /// Something was asked for that has no effect.
    WithoutEffect,
    /// A key of a config that nothing reads though it changes the model.
    ForeignKey,
    /// Two keys of a config that mean the same and differ.
    TwoNames,
    /// Points of a sweep without figures.
    WithoutFigures,
    /// Something about a file of weights that a reader should know.
    CheckpointRemark,
    /// A model that isn't whole.
    PartialModel,
    /// A draft part is asked for of which there are no layers.
    NoDraftLayers,
    /// A version of a runtime of which nothing is known.
    UnknownVersion,
    /// A runtime that runs nothing of a model as one.
    NothingToMerge,
}

/// All there is to say about a code.
#[derive(Debug)]
pub struct CodeInfo {
    /// Which.
    pub code: Code,
    /// `E0304`: how tools call it.
    pub id: &'static str,
    /// How the code calls it.
    pub name: &'static str,
    /// One line: what is wrong.
    pub summary: &'static str,
    /// A short lesson.
    pub explanation: &'static str,
    /// What is wrong in an example, and the same put right.
    /// A text that is wrong so.
    pub wrong: Option<&'static str>,
    /// The same put right.
    pub right: Option<&'static str>,
}

impl Code {
    /// `E0304`, or `W...` for a warning.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.info().map_or("E0000", |info| info.id)
    }

    /// `UnknownVariable`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().map_or("", |info| info.name)
    }

    /// How bad a mistake of this kind is.
    #[must_use]
    pub fn severity(self) -> Severity {
        if self.id().starts_with('W') { Severity::Warning } else { Severity::Error }
    }

    /// The table's row (the table has the order of the enum).
    #[must_use]
    pub fn info(self) -> Option<&'static CodeInfo> {
        CODES.get(self as usize)
    }

    /// The code with this id or name, in any case.
    #[must_use]
    pub fn find(text: &str) -> Option<&'static CodeInfo> {
        CODES.iter().find(|info| info.id.eq_ignore_ascii_case(text) || info.name.eq_ignore_ascii_case(text))
    }
}

/// One row a code, in the order of [`Code`].
pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: Code::MalformedJson,
        id: "E0101",
        name: "MalformedJson",
        summary: "the file is not well-formed JSON",
        explanation: "A model description is strict JSON: double-quoted keys and texts, commas between members, no comments, no trailing commas.",
        wrong: Some(r#"{ "name": "m", "layers": [], }"#),
        right: Some(r#"{ "name": "m", "layers": [] }"#),
    },
    CodeInfo {
        code: Code::DuplicateKey,
        id: "E0102",
        name: "DuplicateKey",
        summary: "a key stands twice in one object",
        explanation: "Most JSON readers silently keep the last of two equal keys, so that half of what was written is lost. Here it is an error; remove or rename one.",
        wrong: Some(r#"{ "hidden_size": 768, "hidden_size": 1024 }"#),
        right: Some(r#"{ "hidden_size": 1024 }"#),
    },
    CodeInfo {
        code: Code::JsonTooDeep,
        id: "E0103",
        name: "JsonTooDeep",
        summary: "arrays and objects are nested too deeply",
        explanation: "JSON may be nested 128 levels deep. A model of that depth is written with `repeat` or `blocks`, not by nesting.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::FileTooLarge,
        id: "E0104",
        name: "FileTooLarge",
        summary: "the file is larger than 64 MiB or has too many values",
        explanation: "A model description is small: repeated layers are said once, with `repeat`. At most 64 MiB and 1,000,000 values are read.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::NotUtf8,
        id: "E0105",
        name: "NotUtf8",
        summary: "the file is not UTF-8 text",
        explanation: "JSON is UTF-8. Was a binary file, or one in another encoding, given instead?",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::UnknownKey,
        id: "E0201",
        name: "UnknownKey",
        summary: "a key that the language doesn't have",
        explanation: "Every object has a fixed set of keys (`docs/language.md`); what a misspelt key meant to say would otherwise be lost. Free names belong into `variables` or `parameters`.",
        wrong: Some(r#"{ "name": "h", "class": "Block", "sublayers": [] }"#),
        right: Some(r#"{ "name": "h", "class": "Block", "sub_layers": [] }"#),
    },
    CodeInfo {
        code: Code::MissingKey,
        id: "E0202",
        name: "MissingKey",
        summary: "a key that must be there is missing",
        explanation: "For example, a model has `layers`, and a basic layer (one with neither `sub_layers` nor `use`) has a `class`, from which its costs come.",
        wrong: Some(r#"{ "name": "proj", "parameters": {} }"#),
        right: Some(r#"{ "name": "proj", "class": "torch.nn.Linear", "parameters": {} }"#),
    },
    CodeInfo {
        code: Code::WrongType,
        id: "E0203",
        name: "WrongType",
        summary: "a value of the wrong type",
        explanation: "The message says what was expected and what was found.",
        wrong: Some(r#"{ "name": "h", "sub_layers": {} }"#),
        right: Some(r#"{ "name": "h", "sub_layers": [] }"#),
    },
    CodeInfo {
        code: Code::ConflictingKeys,
        id: "E0204",
        name: "ConflictingKeys",
        summary: "two keys exclude each other",
        explanation: "A layer holds its children itself (`sub_layers`), or takes them from a block (`use`), or is basic and has `parameters`: one of the three.",
        wrong: Some(r#"{ "name": "h", "use": "block", "sub_layers": [] }"#),
        right: Some(r#"{ "name": "h", "use": "block" }"#),
    },
    CodeInfo {
        code: Code::InvalidName,
        id: "E0205",
        name: "InvalidName",
        summary: "a name that can't be a path segment or a variable",
        explanation: "A layer's name is a segment of a path: not empty, without dots and control characters, at most 200 characters. A variable's name is a letter or `_`, then letters, digits and `_`, and is no word of the expression language.",
        wrong: Some(r#"{ "name": "self.attn" }"#),
        right: Some(r#"{ "name": "self_attn" }"#),
    },
    CodeInfo {
        code: Code::UnknownBlock,
        id: "E0206",
        name: "UnknownBlock",
        summary: "a block that isn't defined",
        explanation: "`use` names an entry of the file's own `blocks`.",
        wrong: Some(r#""use": "decoder_layr""#),
        right: Some(r#""use": "decoder_layer""#),
    },
    CodeInfo {
        code: Code::RecursiveBlock,
        id: "E0207",
        name: "RecursiveBlock",
        summary: "a block that uses itself",
        explanation: "A block is written out where it is used, so it can't contain itself, directly or through others. Repetition is said with `repeat`.",
        wrong: Some(r#""blocks": { "b": { "layers": [ { "name": "x", "use": "b" } ] } }"#),
        right: None,
    },
    CodeInfo {
        code: Code::MissingBinding,
        id: "E0208",
        name: "MissingBinding",
        summary: "a block's required variable isn't bound",
        explanation: r#"For each name in a block's `takes`, the value comes from the use site's `variables`, else from a variable of that name in scope there, else from the block's default. `"required"` has no default."#,
        wrong: Some(r#"{ "use": "mlp" }"#),
        right: Some(r#"{ "use": "mlp", "variables": { "width": 4096 } }"#),
    },
    CodeInfo {
        code: Code::InvalidClass,
        id: "E0209",
        name: "InvalidClass",
        summary: "a class definition that doesn't hold together",
        explanation: "A definition under `classes` follows `docs/classes.md`: its formulas may use its parameters, its `variables` and the workload, and all that it leaves out has a stated meaning.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::UnknownRole,
        id: "E0210",
        name: "UnknownRole",
        summary: "a role that the vocabulary doesn't have",
        explanation: "`role` says what a class, a block or a layer is to a reader, in one of the words of `docs/roles.md`. It changes no figure: pages that sum up a model, and what splits or joins its layers, go by it. Leave it out where none fits.",
        wrong: Some(r#""role": "atention""#),
        right: Some(r#""role": "attention""#),
    },
    CodeInfo {
        code: Code::MalformedExpression,
        id: "E0301",
        name: "MalformedExpression",
        summary: "an expression that doesn't parse",
        explanation: "Expressions have numbers, `<placeholders>`, 'texts', `+ - * / % ^`, comparisons, `&& || !`, parentheses and functions. Between two values stands an operator.",
        wrong: Some(r#""2 * (<hidden_size> + 1""#),
        right: Some(r#""2 * (<hidden_size> + 1)""#),
    },
    CodeInfo {
        code: Code::BareName,
        id: "E0302",
        name: "BareName",
        summary: "a name without brackets in an expression",
        explanation: "In a model file every name stands in brackets, so that texts and expressions can't be confused: `<hidden_size>` or `{hidden_size}`. (Formulas in class definitions are the exception: there, names are bare.)",
        wrong: Some(r#""4 * hidden_size""#),
        right: Some(r#""4 * <hidden_size>""#),
    },
    CodeInfo {
        code: Code::UnbalancedPlaceholder,
        id: "E0303",
        name: "UnbalancedPlaceholder",
        summary: "a placeholder that isn't closed, or was never opened",
        explanation: "A placeholder is a name in a pair of brackets: `<batch_size>` or `{batch_size}`, without blanks inside.",
        wrong: Some(r#""<batch_size * 2""#),
        right: Some(r#""<batch_size> * 2""#),
    },
    CodeInfo {
        code: Code::UnknownVariable,
        id: "E0304",
        name: "UnknownVariable",
        summary: "a variable that isn't in scope",
        explanation: "A variable is in scope in the layer that defines it and below: the file's `variables`, those of the enclosing layers, their repeat indices, and the workload (`batch_size`, `seq_len`, ...).",
        wrong: Some(r#""variables": { "hidden_size": 768 } ... "<hiden_size>""#),
        right: Some(r#""<hidden_size>""#),
    },
    CodeInfo {
        code: Code::UnknownFunction,
        id: "E0305",
        name: "UnknownFunction",
        summary: "a function that the language doesn't have",
        explanation: "The functions are: if, default, choose, min, max, abs, ceil, floor, at, len, contains, last, product, starts_with, is_list, is_text, conv_out. There are no loops: per-layer facts are expressions in the `variables` of what is repeated.",
        wrong: Some(r#""round(<x> / 2)""#),
        right: Some(r#""floor(<x> / 2)""#),
    },
    CodeInfo {
        code: Code::WrongNumberOfArguments,
        id: "E0306",
        name: "WrongNumberOfArguments",
        summary: "a function with too few or too many arguments",
        explanation: "For example, `if` takes three: a condition, and the values for true and for false.",
        wrong: Some(r#""if(<a> > 1, 2)""#),
        right: Some(r#""if(<a> > 1, 2, 3)""#),
    },
    CodeInfo {
        code: Code::ExpressionTooLarge,
        id: "E0307",
        name: "ExpressionTooLarge",
        summary: "an expression or a value that is too large",
        explanation: "An expression may have 4,096 characters, 512 operators and 128 levels of nesting; give its parts names, as `variables`. With the variables put in, an expression over the workload may have 2,000 parts, and a list or an object 1,000,000 values.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::CyclicVariables,
        id: "E0308",
        name: "CyclicVariables",
        summary: "variables that depend on each other in a circle",
        explanation: "Inside its own definition a name means the variable of that name *outside*; any longer way back to itself has no value.",
        wrong: Some(r#""variables": { "a": "<b> + 1", "b": "<a> - 1" }"#),
        right: Some(r#""variables": { "a": 3, "b": "<a> - 1" }"#),
    },
    CodeInfo {
        code: Code::StructureDependsOnWorkload,
        id: "E0309",
        name: "StructureDependsOnWorkload",
        summary: "the structure depends on the workload",
        explanation: "`repeat` and `when` decide which layers exist. That is known before a batch size or a sequence length is, so they may use structural variables only. How often a layer *runs* may depend on the workload: that is `calls`.",
        wrong: Some(r#""repeat": "<seq_len>""#),
        right: Some(r#""calls": "<seq_len>""#),
    },
    CodeInfo {
        code: Code::DivisionByZero,
        id: "E0401",
        name: "DivisionByZero",
        summary: "a division by zero",
        explanation: "The message shows the values that the expression saw.",
        wrong: Some(r#""<hidden_size> / <num_experts>" with num_experts = 0"#),
        right: None,
    },
    CodeInfo {
        code: Code::NotACount,
        id: "E0402",
        name: "NotACount",
        summary: "a count that isn't a non-negative integer",
        explanation: "Sizes, repeats and calls are counts. `/` is exact: 7/2 is 7/2, never 3. Where a fraction is to be cut, say so: `floor(<a> / <b>)`.",
        wrong: Some(r#""<hidden_size> / <num_attention_heads>" with 768 / 7"#),
        right: None,
    },
    CodeInfo {
        code: Code::Overflow,
        id: "E0403",
        name: "Overflow",
        summary: "a number beyond what is computed with",
        explanation: "Numbers are exact fractions of 128-bit integers; results are at most 340 undecillion (2^128 - 1). What exceeds that is an error, never a wrapped number.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::TypeMismatch,
        id: "E0404",
        name: "TypeMismatch",
        summary: "an operation on values of the wrong kind",
        explanation: "Arithmetic wants numbers, `&&` and `when` want true or false, `null` is a value of its own: `default(<x>, 0)` replaces it.",
        wrong: Some(r#""<window> + 1" with window = null"#),
        right: Some(r#""default(<window>, 0) + 1""#),
    },
    CodeInfo {
        code: Code::OutOfRange,
        id: "E0405",
        name: "OutOfRange",
        summary: "an index beyond the end of a list",
        explanation: "`at(list, i)` counts from 0.",
        wrong: Some(r#""at(<sizes>, 3)" with three sizes"#),
        right: Some(r#""at(<sizes>, 2)""#),
    },
    CodeInfo {
        code: Code::EvaluationTooDeep,
        id: "E0406",
        name: "EvaluationTooDeep",
        summary: "variables that depend on too many others in a row",
        explanation: "A variable may depend on others through 128 steps at most.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::NoFormula,
        id: "E0407",
        name: "NoFormula",
        summary: "a model whose figures can't be written as formulas",
        explanation: "The model is valid, and `compile`, `sweep`, `solve` and `memory` answer for it, point by point. A formula is exact and is made within limits: 2,000,000 products of terms while it is made, 4,000 terms, products of 12 factors, coefficients of 128 bits, 4,000 roundings, extremes and conditions, and 64 things among which a workload variable chooses or is looked for (`at` and `product` of constant numbers have no such limit). `float_product` of what a workload changes rounds as floats do, which no formula says. The message names what stands in the way. What is multiplied out often is shorter where it is rounded, or chosen, once: in a workload variable of its own that is set from outside.",
        wrong: Some(r#""calls": "floor(float_product(<seq_len>, 0.29))""#),
        right: Some(r#""calls": "floor(<seq_len> * 0.29)""#),
    },
    CodeInfo {
        code: Code::UnknownClass,
        id: "E0501",
        name: "UnknownClass",
        summary: "a layer class without a definition",
        explanation: "A basic layer's class selects its formulas; unknown is not zero, so nothing is skipped. `layerspec list classes` shows those of the catalog; a file may define its own under `classes`.",
        wrong: Some(r#""class": "torch.nn.modules.linear.Liner""#),
        right: Some(r#""class": "torch.nn.modules.linear.Linear""#),
    },
    CodeInfo {
        code: Code::MissingParameter,
        id: "E0502",
        name: "MissingParameter",
        summary: "a parameter that the class needs is missing",
        explanation: "`layerspec explain CLASS` lists a class's parameters, their units and defaults.",
        wrong: Some(r#""class": "torch.nn.Linear", "parameters": { "in_features": 768 }"#),
        right: Some(r#""parameters": { "in_features": 768, "out_features": 768 }"#),
    },
    CodeInfo {
        code: Code::UnknownParameter,
        id: "E0503",
        name: "UnknownParameter",
        summary: "a parameter that the class doesn't have",
        explanation: "`layerspec explain CLASS` lists a class's parameters.",
        wrong: Some(r#""parameters": { "in_feature": 768 }"#),
        right: Some(r#""parameters": { "in_features": 768 }"#),
    },
    CodeInfo {
        code: Code::ParameterType,
        id: "E0504",
        name: "ParameterType",
        summary: "a parameter of the wrong kind",
        explanation: "A `count` is a non-negative integer, a `ratio` a number, a `flag` true or false, a `text` a text, a `shape` a list of counts.",
        wrong: Some(r#""bias": "yes""#),
        right: Some(r#""bias": true"#),
    },
    CodeInfo {
        code: Code::DuplicateName,
        id: "E0505",
        name: "DuplicateName",
        summary: "two layers of the same name side by side",
        explanation: "Paths are unique, as in `named_modules()`. Two layers may share a name only if their `when` never holds for both.",
        wrong: Some(r#"[ { "name": "fc" }, { "name": "fc" } ]"#),
        right: Some(r#"[ { "name": "fc1" }, { "name": "fc2" } ]"#),
    },
    CodeInfo {
        code: Code::UnknownInput,
        id: "E0506",
        name: "UnknownInput",
        summary: "an input or output that names no value",
        explanation: "`inputs` names `input` (what the enclosing composite was given), an earlier layer, found beside the layer or outward, or one of the model's `inputs`; `layer.port` picks one of several outputs. `output` names a child.",
        wrong: Some(r#""inputs": ["q_prj"]"#),
        right: Some(r#""inputs": ["q_proj"]"#),
    },
    CodeInfo {
        code: Code::UnknownTieTarget,
        id: "E0507",
        name: "UnknownTieTarget",
        summary: "weights tied to a layer that doesn't exist",
        explanation: "`tied_to` is a path to a layer with weights (or to one tensor), looked up beside the layer, then outward, scope by scope.",
        wrong: Some(r#""tied_to": "model.embed_token""#),
        right: Some(r#""tied_to": "model.embed_tokens""#),
    },
    CodeInfo {
        code: Code::TiedShapesDiffer,
        id: "E0508",
        name: "TiedShapesDiffer",
        summary: "tied weights of different shapes",
        explanation: "Tied weights are one tensor under two names, so their shapes must be equal.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::RequirementNotMet,
        id: "E0509",
        name: "RequirementNotMet",
        summary: "parameters that don't fit together",
        explanation: "A class can say what must hold of its parameters, for example that query heads are a multiple of key/value heads.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::NoBackwardFormula,
        id: "E0510",
        name: "NoBackwardFormula",
        summary: "a class without formulas for the backward pass",
        explanation: "In the train phase each class needs `backward`; leaving it out doesn't mean zero.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::ShapeMismatch,
        id: "E0606",
        name: "ShapeMismatch",
        summary: "a layer is given a value of another shape or type than it takes",
        explanation: "Values flow along `inputs` (left out: from the previous sibling). Every class says which shapes it takes; `...` stands for any leading dimensions, whose product is the layer's `tokens`.",
        wrong: Some(r#"{ "name": "up", "class": "Linear", "parameters": { "in_features": 4000, ... } }  after 4096 features"#),
        right: Some(r#"{ "name": "up", "class": "Linear", "parameters": { "in_features": "<hidden_size>", ... } }"#),
    },
    CodeInfo {
        code: Code::WrongNumberOfInputs,
        id: "E0607",
        name: "WrongNumberOfInputs",
        summary: "a layer reads more or fewer values than its class takes",
        explanation: "`inputs` lists the values in the order in which the class names them. An input that only sometimes exists, such as a mask, may be left out at the end.",
        wrong: Some(r#"{ "name": "sum", "class": "add", "inputs": ["input"], ... }"#),
        right: Some(r#"{ "name": "sum", "class": "add", "inputs": ["input", "mlp"], ... }"#),
    },
    CodeInfo {
        code: Code::UnknownSaves,
        id: "E0608",
        name: "UnknownSaves",
        summary: "memory of training is asked of a class that doesn't say what it saves",
        explanation: "`saves` of a class lists what the backward pass needs kept. Unknown is not zero: without it there is no figure for training.",
        wrong: None,
        right: Some(r#""saves": ["input", { "name": "rsqrt", "shape": ["tokens"], "dtype": "float32" }]"#),
    },
    CodeInfo {
        code: Code::ExpectationFailed,
        id: "E0601",
        name: "ExpectationFailed",
        summary: "an expectation doesn't hold",
        explanation: "`expect` states facts, such as the published parameter count, that every compile checks. The exit code is 3. With a structural variable changed by `--set` they are not checked: it is another model.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::DoesNotFit,
        id: "E0609",
        name: "DoesNotFit",
        summary: "a model doesn't fit where it was required to",
        explanation: "`layerspec memory MODEL --device DEVICE --require-fit` ends with exit code 3 where the model needs more than the devices have, the reserve set aside.",
        wrong: Some("layerspec memory llama-2-7b-hf --device rtx-4090 --phase train --require-fit"),
        right: Some("layerspec memory llama-2-7b-hf --device rtx-4090 --require-fit"),
    },
    CodeInfo {
        code: Code::LayersTooDeep,
        id: "E0602",
        name: "LayersTooDeep",
        summary: "layers are nested too deeply",
        explanation: "Layers may be nested 128 levels deep, blocks included.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::ModelTooLarge,
        id: "E0603",
        name: "ModelTooLarge",
        summary: "the model has too many distinct layers",
        explanation: "Repeats cost nothing, but distinct layers do: at most 250,000 are looked at, and 150,000 may be written out in one file. A body that uses its index is distinct for every value that makes a difference.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::TooManyRows,
        id: "E0604",
        name: "TooManyRows",
        summary: "more rows than may be printed",
        explanation: "The full flat list has a row for every instance. Fold it (no `--expand`, or `--by class`), or raise `--max-rows`. A sweep has a row for every point of its grid: list fewer values, take a part of it with `--shard I/N`, or raise `--max-rows`.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::CannotRead,
        id: "E0701",
        name: "CannotRead",
        summary: "a file that can't be read",
        explanation: "The message has the system's reason.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::UnknownModel,
        id: "E0702",
        name: "UnknownModel",
        summary: "a model that is neither a file nor built in",
        explanation: "A model is a path, `-` for standard input, or a name from `layerspec list models`.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::UnknownSetting,
        id: "E0703",
        name: "UnknownSetting",
        summary: "`--set` of a variable that the model doesn't have",
        explanation: "`--set NAME=VALUE` gives a variable of the model's `variables`, or of its workload, another value.",
        wrong: Some("--set num_layers=40"),
        right: Some("--set num_hidden_layers=40"),
    },
    CodeInfo {
        code: Code::InvalidWorkload,
        id: "E0705",
        name: "InvalidWorkload",
        summary: "a workload that makes no sense",
        explanation: "Batch size and sequence length are at least 1.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::UnknownSubject,
        id: "E0706",
        name: "UnknownSubject",
        summary: "nothing of that name to explain",
        explanation: "`layerspec explain` takes a class, a dtype, a device, a diagnostic code, or a model and the path of one of its layers.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::UnknownDevice,
        id: "E0707",
        name: "UnknownDevice",
        summary: "a device that the catalog doesn't have",
        explanation: "A device is a name or an alias from `layerspec list hardware`, in any case. Where a name is short for several devices of different figures, none of them is taken.",
        wrong: Some("h100"),
        right: Some("h100-sxm"),
    },
    CodeInfo {
        code: Code::UnknownModelType,
        id: "E0708",
        name: "UnknownModelType",
        summary: "a config of a model type that no family is for",
        explanation: "A Hugging Face config.json says by its `model_type` of which family it is; `layerspec list families` shows those there are. A model that only looks different may be taken with `--family NAME`; docs/families.md says how to write a family, which is one JSON file.",
        wrong: Some(r#"{ "model_type": "lama", "hidden_size": 4096 }"#),
        right: Some(r#"{ "model_type": "llama", "hidden_size": 4096 }"#),
    },
    CodeInfo {
        code: Code::UnknownFamily,
        id: "E0709",
        name: "UnknownFamily",
        summary: "a family that the catalog doesn't have",
        explanation: "`family` and `--family` take a name from `layerspec list families`. A folder of your own families is read with `--catalog FOLDER`.",
        wrong: Some(r#"{ "family": "lama", "variables": {} }"#),
        right: Some(r#"{ "family": "llama", "variables": {} }"#),
    },
    CodeInfo {
        code: Code::UnknownHead,
        id: "E0710",
        name: "UnknownHead",
        summary: "a head that the family doesn't have",
        explanation: "A head is what an architecture adds to the bare model: `ForCausalLM` in LlamaForCausalLM. `layerspec explain FAMILY` shows a family's heads.",
        wrong: Some(r#"{ "family": "llama", "head": "ForCausal", "variables": {} }"#),
        right: Some(r#"{ "family": "llama", "head": "ForCausalLM", "variables": {} }"#),
    },
    CodeInfo {
        code: Code::CannotWriteOut,
        id: "E0711",
        name: "CannotWriteOut",
        summary: "a model that a file can't say layer by layer",
        explanation: "`import --explicit` writes a model's layers out, each with the values that it has; `--flat` writes the basic layers alone. What a layer reads is said by name; where a nearer layer has the same name, or what is read has none, there is no way to say it. As a model of its family it can be written all the same.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::UnknownConvention,
        id: "E0712",
        name: "UnknownConvention",
        summary: "a convention that the catalog doesn't have",
        explanation: "`--convention` and `--conventions` take a name from `layerspec list conventions`: how a tool or a paper counts FLOPs. `layerspec explain NAME` says what it counts; a folder of your own is read with `--catalog FOLDER`.",
        wrong: Some("--convention fvcor"),
        right: Some("--convention fvcore"),
    },
    CodeInfo {
        code: Code::MalformedCheckpoint,
        id: "E0713",
        name: "MalformedCheckpoint",
        summary: "a file of weights that isn't as its format says",
        explanation: "Of a GGUF or safetensors file the header is read: names, shapes, types and places of its tensors, and metadata. Counts and lengths that the file can't have, tensors that overlap, types of keys that the format doesn't have, and a header that ends early make it unreadable. Mostly the file was cut short, or is no such file.",
        wrong: Some(r#"{ "a": { "dtype": "F32", "shape": [2], "data_offsets": [0, 4] } }"#),
        right: Some(r#"{ "a": { "dtype": "F32", "shape": [2], "data_offsets": [0, 8] } }"#),
    },
    CodeInfo {
        code: Code::UnmappedCheckpoint,
        id: "E0714",
        name: "UnmappedCheckpoint",
        summary: "a file of weights that no family's model fits",
        explanation: "A file of weights is a model where a family of the catalog has a layer for each of its tensors, and it has each weight of the family's model in its size. Where it isn't, `layerspec tensors FILE` lists what it holds all the same: names, shapes, types, bytes, totals. What is said here is the reason: an architecture that no map is for (`catalog/formats/`), a key that isn't there, a weight that is missing or differs.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::NoDraftPart,
        id: "E0715",
        name: "NoDraftPart",
        summary: "a draft part that the family doesn't have",
        explanation: "`--with-mtp`, or `draft` in a model file, builds the layers for multi-token prediction that a checkpoint holds beside the model. What they are is a fact of a family, which says it under `draft` (docs/families.md), read from an implementation; of a family that says none it isn't known, or there is none. The draft part stands behind the default head: with another one there is nothing to draft.",
        wrong: Some(r#"{ "family": "llama", "draft": true, "variables": {} }"#),
        right: Some(r#"{ "family": "deepseek_v3", "draft": true, "variables": { "num_nextn_predict_layers": 1 } }"#),
    },
    CodeInfo {
        code: Code::UnknownRuntime,
        id: "E0716",
        name: "UnknownRuntime",
        summary: "a runtime that the catalog doesn't have",
        explanation: "`--runtime` takes a name from `layerspec list runtimes`: an engine, and behind an `@` a version of it if one is meant. `layerspec explain runtimes/NAME` says what it does to a model; docs/runtimes.md shows how to add one, and `--catalog FOLDER` reads it.",
        wrong: Some("--runtime vlm"),
        right: Some("--runtime vllm"),
    },
    CodeInfo {
        code: Code::NotOfRuntime,
        id: "E0717",
        name: "NotOfRuntime",
        summary: "a runtime that doesn't do what is asked for",
        explanation: "An engine has kernels of its own, keeps its own kind of cache, computes the logits that it needs, and may not train. An option that it doesn't have is refused, as the answer would be of no engine. Leave the option out: the engine's own choice is taken.",
        wrong: Some("--runtime vllm --kernel eager"),
        right: Some("--runtime vllm"),
    },
    CodeInfo {
        code: Code::BeyondPositions,
        id: "W0801",
        name: "BeyondPositions",
        summary: "the workload is longer than the model's positions",
        explanation: "`max_position_embeddings` says how many positions the model has; with more, PyTorch would fail (a learned position table) or extrapolate (rotary positions). The figures are computed all the same.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::ExpectationsSkipped,
        id: "W0802",
        name: "ExpectationsSkipped",
        summary: "expectations were not checked",
        explanation: "A structural variable was changed with `--set`, so what `expect` says of the published model doesn't apply.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::UnknownArchitecture,
        id: "W0803",
        name: "UnknownArchitecture",
        summary: "an architecture that the family doesn't know",
        explanation: "A config's `architectures` names the class that it was saved from. Where the family has no such head, it is compiled with the family's default head, as transformers' Auto classes would load it.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::UnknownQuantization,
        id: "W0804",
        name: "UnknownQuantization",
        summary: "a quantization method that isn't known",
        explanation: "A config's `quantization_config` says how the checkpoint's weights are stored. Of a method that `catalog/quantization.json` doesn't have the number of bits isn't known, so the weights are counted in the dtype of the rest; `--weight-dtype` says better.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::UnreadQuantization,
        id: "W0805",
        name: "UnreadQuantization",
        summary: "something in a quantization config that nothing reads",
        explanation: "The keys of a config's `quantization_config` that say how many bits a weight has, and which layers keep theirs, are data in `catalog/quantization.json`, beside those that say nothing about sizes. One that is in neither list may change the bytes of the weights: compare with the size of the published files, or say what the weights are with `--weight-dtype`.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::WithoutEffect,
        id: "W0806",
        name: "WithoutEffect",
        summary: "something was asked for that has no effect",
        explanation: "The figures are those of the model without it: no formula of any of its layers reads this variable or choice. A network of images has no positions of tokens, so a sequence length, `--logits last` or a cache mean nothing to it; an encoder keeps nothing between steps.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::ForeignKey,
        id: "W0807",
        name: "ForeignKey",
        summary: "a key of a config that nothing reads though it changes the model",
        explanation: "Most keys that a family has no variable for say nothing about a model's layers, and are passed over. Some do, such as `per_layer_config`, which gives single layers other sizes, or a window in a config whose family has none: the real library reads them wherever they stand. The families list them under `foreign`, each with what it does there. The figures are those without the key.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::TwoNames,
        id: "W0808",
        name: "TwoNames",
        summary: "two keys of a config mean the same and differ",
        explanation: "Many configs have two names for a size: the one that all families share (`num_hidden_layers`) and their own (`encoder_layers`). Where both stand in a config and differ, transformers takes the shared one, whatever their order: it is set last. The other is likely a leftover.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::WithoutFigures,
        id: "W0809",
        name: "WithoutFigures",
        summary: "points of a sweep without figures",
        explanation: "At some points of a grid the model isn't valid: a size that its heads don't divide, a sequence shorter than what it reads, a figure beyond 128 bits. Their rows stand where they belong, with empty cells (null in JSON and Parquet). The message counts them and says what is wrong at the first; `layerspec compile` with its values says where.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::CheckpointRemark,
        id: "W0810",
        name: "CheckpointRemark",
        summary: "something about a file of weights that a reader should know",
        explanation: "What the file holds and the model doesn't build (a draft part for multi-token prediction, factors of rotary positions, scales), shards that are missing, an output matrix beside embeddings as large, a file that ends before its data does, keys that stand twice. The figures are those of the model; `layerspec tensors FILE` lists all that the file holds.",
        wrong: None,
        right: None,
    },
    CodeInfo {
        code: Code::PartialModel,
        id: "W0811",
        name: "PartialModel",
        summary: "a model that isn't whole",
        explanation: "The file says under `partial` what the model has and the file lacks, or `--partial` left out layers: those of a class that nobody defines, those without a parameter that their class needs, modules of a printed model whose sizes the text doesn't say. A layer that is left out gives what it was given. All totals are of the rest, and every output says so.",
        wrong: Some(
            r#"{ "layers": [ { "name": "a", "class": "torch.nn.SiLU", "parameters": { "features": 4 } } ], "partial": ["the head"] }"#,
        ),
        right: None,
    },
    CodeInfo {
        code: Code::NoDraftLayers,
        id: "W0812",
        name: "NoDraftLayers",
        summary: "a draft part of no layers",
        explanation: "`--with-mtp` builds as many layers for multi-token prediction as the config says (`num_nextn_predict_layers`), and it says none, or nothing: the model is the same with and without. Where the checkpoint has some all the same, `--set num_nextn_predict_layers=1` says so.",
        wrong: Some(r#"{ "family": "deepseek_v3", "draft": true, "variables": { "num_nextn_predict_layers": 0 } }"#),
        right: Some(r#"{ "family": "deepseek_v3", "draft": true, "variables": { "num_nextn_predict_layers": 1 } }"#),
    },
    CodeInfo {
        code: Code::UnknownVersion,
        id: "W0813",
        name: "UnknownVersion",
        summary: "a version of a runtime for which its file wasn't written",
        explanation: "What the catalog says of an engine was read in its source, from one version to another. Of versions outside of that range it may be wrong: the figures are those of the range.",
        wrong: Some("--runtime vllm@0.2"),
        right: Some("--runtime vllm@0.12"),
    },
    CodeInfo {
        code: Code::NothingToMerge,
        id: "W0814",
        name: "NothingToMerge",
        summary: "a rule of a runtime that no layer of the model is meant by",
        explanation: "A runtime says which layers an engine runs as one, by their roles or classes and by what they read. In this model there are none for any of its rules; of a runtime of your own each such rule is said. Layers have the roles of their classes, or those that the model's file says (`role`); layers in different composites aren't put together.",
        wrong: None,
        right: None,
    },
];

#[cfg(test)]
mod tests {
    use super::CODES;

    #[test]
    fn the_table_has_the_order_of_the_enum() {
        for (index, info) in CODES.iter().enumerate() {
            assert_eq!(info.code as usize, index, "{}", info.name);
            assert_eq!(format!("{:?}", info.code), info.name);
        }
    }
}
