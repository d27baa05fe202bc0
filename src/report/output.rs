//! What programs read: the keys of every JSON output, each with its type and meaning. docs/output.md and the schemas come from these tables, and
//! tests hold the outputs against them.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use crate::quantity::{Fold, QUANTITIES, TOTALS, Total, TotalInfo, Unit};

/// A key of an output: where it stands (`layers[].inputs[].name`, `*` for any key, `fit!` of an object that may be null), its type, what it is.
type Field = (&'static str, &'static str, &'static str);

/// A JSON output.
#[derive(Debug)]
pub struct OutputFormat {
    /// What `schema` calls it.
    pub name: &'static str,
    /// The text at its key `format`.
    pub format: &'static str,
    /// What writes it.
    pub command: &'static str,
    fields: &'static [Field],
}

/// All JSON outputs. A key that ends in `?` may be missing; a type that ends in `?` may be null.
pub const OUTPUT_FORMATS: &[OutputFormat] = &[
    OutputFormat { name: "compile", format: "layerspec.compile/1", command: "compile --format json", fields: COMPILE },
    OutputFormat { name: "memory", format: "layerspec.memory/1", command: "memory --format json", fields: MEMORY },
    OutputFormat {
        name: "varied",
        format: "layerspec.varied/1",
        command: "memory --vary OPTION=... --format json",
        fields: VARIED,
    },
    OutputFormat { name: "found", format: "layerspec.found/1", command: "memory --find SIZE --format json", fields: FOUND },
    OutputFormat { name: "summary", format: "layerspec.summary/1", command: "summary --format json", fields: SUMMARY },
    OutputFormat { name: "compare", format: "layerspec.compare/1", command: "compare A B --format json", fields: COMPARE },
    OutputFormat {
        name: "changes",
        format: "layerspec.changes/1",
        command: "compare OLD.json NEW.json --format json",
        fields: CHANGES,
    },
    OutputFormat { name: "reconcile", format: "layerspec.reconcile/1", command: "reconcile --format json", fields: RECONCILE },
    OutputFormat { name: "formula", format: "layerspec.formula/1", command: "formula --as json", fields: FORMULA },
    OutputFormat {
        name: "solve",
        format: "layerspec.solve/1",
        command: "solve MODEL --for NAME --params N --format json",
        fields: SOLVE,
    },
    OutputFormat {
        name: "serving",
        format: "layerspec.serving/1",
        command: "serving MODEL --device DEVICE --format json",
        fields: SERVING,
    },
    OutputFormat { name: "tensors", format: "layerspec.tensors/1", command: "tensors FILE --format json", fields: TENSORS },
    OutputFormat { name: "list", format: "layerspec.list/1", command: "list WHAT --format json", fields: LIST },
];

const COMPILE: &[Field] = &[
    ("format", "text", "which format, and its version: keys are added to a version, never taken away"),
    ("model.name", "text?", "the model's name"),
    ("model.source", "text?", "where its figures come from"),
    ("partial?[]", "text", "what the model has and its description lacks: totals are of the rest"),
    ("catalog", "text", "by which one catalog is told from another"),
    ("reference.*", "text", "whose figures are the truth, with the version: torch, transformers"),
    ("workload.phase", "text", "prefill, decode or train"),
    ("workload.batch_size", "count", "sequences in a step"),
    ("workload.seq_len", "count", "new tokens per sequence"),
    ("workload.past_len", "count", "cached tokens per sequence"),
    ("workload.kv_len", "count", "past_len + seq_len"),
    ("workload.logit_len", "count", "positions of each sequence whose logits are computed"),
    ("workload.dtype", "text", "of activations"),
    ("workload.weight_dtype", "text", "of weights"),
    ("workload.other_weight_dtype?", "text", "of biases, norms and embeddings, where it is another"),
    ("workload.weight_dtype_source?", "text", "what a checkpoint says of its weights"),
    ("workload.kv_dtype", "text", "of cached keys and values"),
    ("workload.defaulted[]", "text", "what wasn't asked for, and took its default"),
    ("workload.*", "any", "the model's own variables"),
    ("conventions.runtime?", "text", "the engine that runs it, where that isn't eager PyTorch"),
    ("conventions.attention", "text", "dense or masked"),
    ("conventions.kernel", "text", "flash, eager or math"),
    ("conventions.mla?", "text", "absorbed, where latent attention is over the latents"),
    ("conventions.logits", "text", "all or last"),
    ("conventions.cache", "text", "on or off"),
    ("conventions.backend", "text", "cpu or cuda"),
    ("conventions.flops_per_multiply_add", "count", "2"),
    ("convention?.name", "text", "with --convention: whose count"),
    ("convention?.doc", "text", "what it counts"),
    ("convention?.source", "text", "where that is written down"),
    ("convention?.compared", "text", "on what it was compared with the tool"),
    ("convention?.multiply_add", "count", "what a multiply-add counts as: 2 or 1"),
    ("convention?.flops", "integer", "all of it"),
    ("convention?.forward_flops", "integer", "of the forward pass"),
    ("convention?.backward_flops", "integer", "of the backward pass"),
    ("layers?[].path", "text", "where it stands: model.layers.7.mlp.up_proj"),
    ("layers?[].class", "text", "its class, in full"),
    ("layers?[].kind", "text", "module, function, or parameter for a tensor that a composite owns"),
    ("layers?[].parameters.*", "any", "what the layer gives its class, filled in"),
    ("layers?[].workload?.*", "any", "values of the workload that it has of its own"),
    ("layers?[].inputs[].name?", "text", "as its class calls it"),
    ("layers?[].inputs[].from?", "any", "the path of the layer whose value it reads; of a parallel repeat a list"),
    ("layers?[].inputs[].model_input?", "text", "the tensor that the model is called with"),
    ("layers?[].inputs[].output?", "any", "which of that layer's outputs, if it has several"),
    ("layers?[].inputs[].shape", "any", "its shape"),
    ("layers?[].inputs[].dtype", "text?", "its element type; null: nothing is there"),
    ("layers?[].outputs[].name", "text", "as its class calls it"),
    ("layers?[].outputs[].shape", "any", "its shape"),
    ("layers?[].outputs[].dtype", "text?", "its element type"),
    ("layers?[].outputs[].view?", "flag", "whether it shares its input's storage"),
    ("layers?[].weights[].name", "text", "as its class calls it"),
    ("layers?[].weights[].shape[]", "count", "its shape"),
    ("layers?[].weights[].dtype", "text?", "its element type; null: it is quantized to no type of the workload's"),
    ("layers?[].weights[].bits?", "number", "then: bits an element, scales included"),
    ("layers?[].weights[].bytes", "count", "all of it"),
    ("layers?[].output_shape", "any", "the shape of its first output that has one"),
    ("layers?[].calls?", "count", "how often it runs in a pass, where that isn't once"),
    ("layers?[].@", "rows", ""),
    ("layers?[].arithmetic_intensity", "number?", "FLOPs a byte moved"),
    ("layers?[].convention_flops?", "integer", "with --convention: its count of the forward pass"),
    ("layers?[].backward_convention_flops?", "integer", "the same of the backward pass, in training"),
    ("layers?[].saved_bytes?", "count", "kept for the backward pass, in training"),
    ("layers?[].tied_to?", "text", "the layer whose weights it shares"),
    ("layers?[].stands_for?[].path", "text", "a layer that the engine runs as one with others: where it stood"),
    ("layers?[].stands_for?[].class", "text", "its class, in full"),
    ("groups?[].class?", "text", "with --by class: which"),
    ("groups?[].path?", "text", "with --by depth: where"),
    ("groups?[].layers", "count", "basic layers in it"),
    ("groups?[].@", "rows", ""),
    ("groups?[].arithmetic_intensity", "number?", "FLOPs a byte moved"),
    ("groups?[].convention_flops?", "integer", "as of a layer"),
    ("groups?[].backward_convention_flops?", "integer", "as of a layer"),
    ("groups?[].saved_bytes?", "count", "as of a layer"),
    ("totals.@", "totals", ""),
    ("totals.arithmetic_intensity", "number?", "FLOPs a byte moved"),
    ("totals.convention_flops?", "integer", "the sum of the layers'"),
    ("totals.backward_convention_flops?", "integer", "the sum of the layers'"),
    ("totals.peak_path", "text?", "the layer that runs when most is alive"),
];

const TENSORS: &[Field] = &[
    ("format", "text", "which format, and its version"),
    ("file.name", "text", "the file, or the model's name"),
    ("file.format", "text", "GGUF v3, safetensors, index, model"),
    ("file.header_bytes", "count", "what was read of it"),
    ("file.data_bytes", "count?", "of the tensors in the file, padding included"),
    ("file.stated_bytes", "count?", "of the tensors, as an index says"),
    ("file.remarks[]", "text", "what is odd about it"),
    ("file.missing[]", "text", "files that aren't there: an index names them, or others say that they are shards of the model"),
    ("tensors[].name", "text", "as the file has it"),
    ("tensors[].shape", "any", "its dimensions, rows first; null: the file doesn't say"),
    ("tensors[].type", "text", "of its elements, as the format calls it"),
    ("tensors[].bytes", "count?", "scales of blocks included"),
    ("tensors[].file?", "text", "the file that it is in, where there are several"),
    ("types[].type", "text", "tensors by type: which"),
    ("types[].tensors", "count", "of it"),
    ("types[].elements", "count?", "of all of them"),
    ("types[].bytes", "count?", "of all of them"),
    ("types[].bits_per_element", "number?", "scales included, to four decimals"),
    ("layers[].layer", "text", "tensors by block: which"),
    ("layers[].tensors", "count", "in it"),
    ("layers[].elements", "count?", "of all of them"),
    ("layers[].bytes", "count?", "of all of them"),
    ("layers[].bits_per_element", "number?", "scales included, to four decimals"),
    ("totals.tensors", "count", "of all"),
    ("totals.elements", "count?", "of all"),
    ("totals.bytes", "count?", "of all"),
    ("totals.bits_per_element", "number?", "scales included, to four decimals"),
    ("metadata?[].key", "text", "with --metadata: a key of the file"),
    ("metadata?[].value", "any", "what it says; of a list the type, the length and the first items"),
];

const MEMORY: &[Field] = &[
    ("format", "text", "which format, and its version"),
    ("model", "text?", "the model's name"),
    ("partial?[]", "text", "what the model has and its description lacks: totals are of the rest"),
    ("phase", "text", "prefill, decode or train"),
    ("batch_size", "count", "sequences in a step"),
    ("seq_len", "count", "new tokens per sequence"),
    ("past_len", "count", "cached tokens per sequence"),
    ("conventions.*", "text", "kernel, cache, backend"),
    ("memory[].kind", "text", "weights, cache, activations, gradients, ..."),
    ("memory[].bytes", "count", "of one device"),
    ("total_bytes", "count?", "their sum"),
    ("split?", "any", "of several devices: what is divided, what each has whole"),
    ("training", "any", "how a training step is done; null: it is inference"),
    ("peak", "any", "when most is alive, and what"),
    ("cache", "any", "what is kept between steps, at which length how much"),
    ("fit!.device", "text", "with --device: its name"),
    ("fit!.verified", "flag", "whether its figures were read from its vendor's documents"),
    ("fit!.count", "count", "how many there are"),
    ("fit!.capacity_bytes", "count", "of one"),
    ("fit!.reserve_bytes", "count", "of one, kept free"),
    ("fit!.needed_bytes", "count", "on each"),
    ("fit!.fits", "flag", "whether that finds room"),
    ("fit!.largest_batch", "count?", "at this context; null: there is no largest one"),
    ("fit!.largest_batch_ended_by", "text", "memory, the model, or nothing"),
    ("fit!.longest_context", "count?", "at this batch"),
    ("fit!.longest_context_ended_by", "text", "memory, the model, or nothing"),
];

const VARIED: &[Field] = &[
    ("format", "text", "which format, and its version"),
    ("plans[].options.*", "text", "what was varied, and this plan's value"),
    ("plans[].title", "text", "the model and its workload"),
    ("plans[].items.*", "count", "what a device has to hold, by kind: weights, cache, activations, ..."),
    ("plans[].bytes", "count?", "all of it; null beyond 128 bits"),
    ("plans[].cache_bytes", "count", "the cache after the step"),
    ("plans[].fit?.device", "text", "with --device: which"),
    ("plans[].fit?.count", "count", "how many of them"),
    ("plans[].fit?.fits", "flag", "whether what is needed finds room"),
    ("plans[].fit?.needed", "count", "bytes that one device has to hold"),
    ("plans[].fit?.room", "count", "bytes of one device that may be used"),
    ("plans[].fit?.largest_batch", "count?", "the largest batch that fits; null: nothing limits it"),
];

const FOUND: &[Field] = &[
    ("format", "text", "which format, and its version"),
    ("size.text", "text", "as it was asked for"),
    ("size.from", "count", "the fewest bytes that it may mean"),
    ("size.to", "count", "the most"),
    ("found[].what", "text", "what is of that size: an output, a weight, a sum"),
    ("found[].path", "text", "where"),
    ("found[].name", "text", "which value of it"),
    ("found[].shape", "any", "its shape"),
    ("found[].count", "count", "how many there are"),
    ("found[].bytes", "count", "of one"),
    ("avoided_by[].option", "text", "an option that makes it smaller"),
    ("avoided_by[].bytes", "count?", "the largest then; null: there is none"),
];

const SUMMARY: &[Field] = &[
    ("format", "text", "which format, and its version"),
    ("name", "text?", "the model's name"),
    ("partial?[]", "text", "what the model has and its description lacks: totals are of the rest"),
    ("class", "text?", "its class"),
    ("family", "text?", "its family"),
    ("source", "text?", "where its figures come from"),
    ("sizes.*", "any", "hidden_size, num_hidden_layers, ... as config.json spells them"),
    ("attention[]", "any", "each kind, with heads, windows and how many layers have it"),
    ("recurrent_layers", "count", "layers with a state instead"),
    ("norms[].class", "text", "of its norms"),
    ("norms[].count", "count", "how many"),
    ("mlp.gated", "flag", "whether its MLPs are gated"),
    ("mlp.activations[]", "text", "in its MLPs"),
    ("positions[]", "text", "how positions come in"),
    ("tied", "flag", "whether the head is the embedding"),
    ("biases[]", "text", "layers with biases"),
    ("experts", "any", "num_experts and top_k; null: there are none"),
    ("params", "count", "learned scalars"),
    ("active_params", "count", "those that a token uses"),
    ("components[].component", "text", "attention, MLP, embedding, ..."),
    ("components[].params", "count", "its learned scalars"),
    ("components[].active_params", "count", "those that a token uses"),
    ("components[].matmul_flops", "count", "at the prefill's tokens"),
    ("cache_bytes_per_token", "number?", "of a sequence, in the long run"),
    ("cache_bytes_per_token_at_first", "count?", "before windows are full"),
    ("cache_constant_bytes", "count?", "whatever the length"),
    ("counted_by", "text", "token, image or input"),
    ("peak_bytes", "count?", "activations and cache: the most that is alive at once"),
    ("prefill.matmul_flops", "count", "of all tokens"),
    ("prefill.tokens", "count", "how many"),
    ("decode", "any", "matmul_flops of one more token after past_len; null: it can't decode"),
];

const COMPARE: &[Field] = &[
    ("format", "text", "which format, and its version"),
    ("models[]", "any", "each as in summary"),
    ("differences[].added[]", "any", "layers of the second alone"),
    ("differences[].removed[]", "any", "layers of the first alone"),
    ("differences[].changed[].path", "text", "a layer of both that differs"),
    ("differences[].changed[].changes[].what", "text", "what of it"),
    ("differences[].changed[].changes[].from", "text", "the first's"),
    ("differences[].changed[].changes[].to", "text", "the second's"),
    ("differences[].same", "count", "paths that don't differ"),
];

const CHANGES: &[Field] = &[
    ("format", "text", "which format, and its version"),
    ("changed", "flag", "whether anything did"),
    ("changes[].place", "text", "a layer's path, or totals"),
    ("changes[].layers", "count", "how many layers have this change"),
    ("changes[].change", "text", "added, removed, order, figures or value"),
    ("changes[].class?", "text", "of a layer that is added or removed"),
    ("changes[].names?[]", "text", "the figures that are others"),
    ("changes[].name?", "text", "of a value: which"),
    ("changes[].from?", "any", "the old one; null: there was none"),
    ("changes[].to?", "any", "the new one; null: there is none"),
];

const FORMULA: &[Field] = &[
    ("format", "text", "which format, and its version"),
    ("partial?[]", "text", "what the model has and its description lacks: totals are of the rest"),
    ("model.name", "text?", "the model's name"),
    ("model.source", "text?", "where its figures come from"),
    ("workload.phase", "text", "prefill, decode or train"),
    ("workload.batch_size", "count", "sequences in a step"),
    ("workload.seq_len", "count", "new tokens per sequence"),
    ("workload.past_len", "count", "cached tokens per sequence"),
    ("workload.dtype", "text", "of activations"),
    ("workload.weight_dtype", "text", "of weights"),
    ("workload.kv_dtype", "text", "of cached keys and values"),
    ("workload.attention", "text", "dense or masked"),
    ("workload.kernel", "text", "flash, eager or math"),
    ("workload.logits", "text", "all or last"),
    ("parts[].part", "text?", "which part of all workloads, where conditions on the lengths would crowd a formula"),
    ("parts[].fixed.*", "count", "variables that have one value in the part"),
    ("parts[].variables[].name", "text", "a variable of the workload"),
    ("parts[].variables[].least", "count", "the least value for which the formulas are right"),
    ("parts[].variables[].value", "count?", "at the workload that was asked for; null: it isn't in the part"),
    ("parts[].formulas[].quantity", "text", "which total"),
    ("parts[].formulas[].unit", "text", "what it counts"),
    ("parts[].formulas[].value", "any", "at the workload that was asked for; null: it isn't in the part"),
    ("parts[].formulas[].formula", "text", "as people read it: B batch_size, S seq_len, P past_len"),
    ("parts[].formulas[].expression", "text", "as Python reads it, times the divisor; every digit is right in integers"),
    ("parts[].formulas[].divisor", "count", "by which the expression is to be divided; it is a multiple"),
    ("parts[].formulas[].terms[].formula", "text", "terms that read as one"),
    ("parts[].formulas[].terms[].value", "any", "at the workload that was asked for"),
    ("parts[].formulas[].terms[].layers[]", "text", "the paths that it comes from, the largest share first"),
    ("parts[].conditions[]", "text", "the formulas are right where each is 1 (a Python expression)"),
];

const RECONCILE: &[Field] = &[
    ("format", "text", "which format, and its version"),
    ("partial?[]", "text", "what the model has and its description lacks: totals are of the rest"),
    ("model.name", "text?", "the model's name"),
    ("model.source", "text?", "where its figures come from"),
    ("workload.phase", "text", "prefill, decode or train"),
    ("workload.batch_size", "count", "sequences in a step"),
    ("workload.seq_len", "count", "new tokens per sequence"),
    ("workload.past_len", "count", "cached tokens per sequence"),
    ("workload.kernel", "text", "flash, eager or math"),
    ("conventions[].name", "text", "whose count; the others are compared with the first"),
    ("conventions[].doc", "text", "what it counts"),
    ("conventions[].source", "text", "where that is written down"),
    ("conventions[].compared", "text", "on what it was compared with the tool"),
    ("conventions[].multiply_add", "count", "what a multiply-add counts as: 2 or 1"),
    ("conventions[].flops", "integer", "all of it"),
    ("conventions[].forward_flops", "integer", "of the forward pass"),
    ("conventions[].backward_flops", "integer", "of the backward pass"),
    ("lines[].term", "text", "what is counted"),
    ("lines[].pass", "text", "forward or backward"),
    ("lines[].flops.*", "integer", "by each convention; a column's lines add up to its total"),
];

const SOLVE: &[Field] = &[
    ("format", "text", "which format, and its version"),
    ("partial?[]", "text", "what the model has and its description lacks: figures are of the rest"),
    ("model", "text?", "the model's name"),
    ("variable", "text", "whose value was looked for"),
    ("quantity", "text", "what was to reach the target"),
    ("target", "count", "the figure that was asked for"),
    ("least", "count", "no smaller value was tried"),
    ("most", "count", "no larger one"),
    ("multiple_of", "count", "only multiples of this were"),
    ("below!.value", "count", "the last value below the target, or the nearest to it; null: none that was tried is below"),
    ("below!.figure", "count", "the quantity there"),
    ("below!.percent", "number", "by how much that differs from the target"),
    ("reached!.value", "count", "the first value at or above the target; null: none that was tried reaches it"),
    ("reached!.figure", "count?", "the quantity there; null: it is beyond 128 bits"),
    ("reached!.percent", "number?", "by how much that differs from the target"),
    ("adjacent", "flag", "whether it is known that no valid value lies between the two"),
    ("trend", "text", "constant, rising, falling or both: the quantity as the value grows, as far as it was read"),
    ("tried", "count", "values at which the quantity was read"),
    ("invalid", "count", "values at which the model isn't valid, which were skipped"),
    ("first_invalid!.value", "count", "the first of those that was tried"),
    ("first_invalid!.message", "text", "what is wrong there"),
];

const SERVING: &[Field] = &[
    ("format", "text", "which format, and its version"),
    ("model", "text", "what the model is called"),
    ("runtime.name", "text", "the engine"),
    ("runtime.version", "text?", "its version; null: the newest that is known"),
    ("device.name", "text", "each of the devices"),
    ("device.bytes", "count", "bytes that it says it has"),
    ("device.certainty", "text", "exact: read off one; assumed: a part of what its vendor says"),
    ("device.count", "count", "how many there are"),
    ("ranks.tensor", "count", "over how many layers are divided"),
    ("ranks.pipeline", "count", "over how many the layers are dealt out"),
    ("ranks.expert", "count", "over how many experts are"),
    ("context", "count", "tokens of a request at most"),
    ("concurrency", "count", "requests at once that were asked for"),
    ("fits", "flag", "whether they find room, as usual"),
    ("fits_at_the_worst", "flag", "whether they do if most is taken beside"),
    ("left", "count?", "bytes of a device that are left then; null: none"),
    ("missing", "count?", "bytes that are missing; null: none"),
    ("may_take", "count", "bytes of a device that the engine may take"),
    ("weights.bytes", "count", "on the fullest rank, with what follows"),
    ("weights.tensors", "count", "of the tensors themselves"),
    ("weights.padding", "count", "of rows and columns by which they are filled up"),
    ("weights.rounding", "count", "of the allocator"),
    ("weights.whole_on_every_rank", "count", "of the tensors that each of several ranks has whole"),
    ("weights.tables.*", "count", "what is loaded beside them, by name"),
    ("weights.by_role.*", "count", "by the role of their layers"),
    ("placed!.device", "count", "bytes of tensors on the device; null: the engine has them all there"),
    ("placed!.host", "count", "bytes left to the processor"),
    ("placed!.copied", "count", "bytes of these that are on the device as well"),
    ("placed!.layers_on_device", "count", "layers on the device"),
    ("placed!.layers", "count", "all layers"),
    ("placed!.cache_of_request_on_host", "count", "bytes of a request's cache that are left to the processor"),
    ("beside[].name", "text", "what is taken beside weights and cache"),
    ("beside[].bytes.low", "count", "the least that was seen"),
    ("beside[].bytes.usual", "count", "as it usually is"),
    ("beside[].bytes.high", "count", "the most that was seen"),
    ("beside[].bytes.certainty", "text", "exact, modelled or assumed"),
    ("beside[].decides", "text?", "what of it is the largest; null: it is one thing"),
    ("beside[].rests_on", "text", "what the figures rest on"),
    ("cache.bytes.low", "count", "for the cache, at the worst"),
    ("cache.bytes.usual", "count", "as usual"),
    ("cache.bytes.high", "count", "at the best"),
    ("cache.bytes_of_request", "count", "of a request of the longest length"),
    ("cache.groups[].keeps", "text", "of which tokens layers of a kind keep keys and values, or that they keep a state"),
    ("cache.groups[].layers", "count", "how many layers, on the fullest stage"),
    ("cache.groups[].bytes_of_token", "count", "of a token in one of them, or of a state"),
    ("cache.groups[].block_tokens", "count", "tokens of a block"),
    ("cache.groups[].groups", "count", "in how many groups of equal size they are"),
    ("cache.groups[].of_request", "count", "blocks or cells of a request of the longest length, in one group"),
    ("cache.room.worst!.blocks", "count", "blocks of all groups, if most is taken beside; null: nothing is kept"),
    ("cache.room.worst!.tokens", "count", "tokens, as the engine's log reports them"),
    ("cache.room.worst!.requests", "number", "requests of the longest length at once"),
    ("cache.room.usual!.blocks", "count", "blocks of all groups, as usual; null: nothing is kept"),
    ("cache.room.usual!.tokens", "count", "tokens, as the engine's log reports them"),
    ("cache.room.usual!.requests", "number", "requests of the longest length at once"),
    ("cache.room.best!.blocks", "count", "blocks of all groups, if least is; null: nothing is kept"),
    ("cache.room.best!.tokens", "count", "tokens, as the engine's log reports them"),
    ("cache.room.best!.requests", "number", "requests of the longest length at once"),
    ("options.*", "any", "the engine's options, as they are typed: `value`, and whether it was `given`"),
    ("would_fit.longest_context", "count?", "the longest requests of which as many find room; null: none"),
    ("would_fit.fewest_ranks", "count?", "the fewest ranks over which layers are divided; null: not with 1,024"),
    ("would_fit.smallest_device", "text?", "the device with the least memory; null: none"),
    ("log[].line", "text", "a line of the engine's log, as it is or would be"),
    ("log[].figures[].name", "text", "what a figure in it is"),
    ("log[].figures[].stated", "number?", "as the log has it, in its unit; null: none was read"),
    ("log[].figures[].predicted", "number", "as it is predicted"),
    ("log[].figures[].certainty", "text", "exact, modelled or assumed"),
    ("log[].figures[].agrees", "flag", "whether both are the same as far as was printed, or the log's is within the band"),
    ("first_that_differs!.name", "text", "the first figure of a log that differs; null: none does, or none was read"),
    ("first_that_differs!.rests_on", "text", "what the prediction rests on"),
    ("command", "text", "the engine's command line"),
];

const LIST: &[Field] = &[
    ("format", "text", "which format, and its version"),
    ("*", "any", "under the name of what is listed: an object for each entry"),
];

/// A key with what stands below it.
#[derive(Default)]
struct Node {
    optional: bool,
    kind: &'static str,
    doc: String,
    list: bool,
    nullable: bool,
    children: Vec<(String, Node)>,
}

impl Node {
    fn insert(&mut self, path: &str, kind: &'static str, doc: &str) {
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        let list = head.ends_with("[]");
        let head = head.trim_end_matches("[]");
        let (head, nullable) = head.strip_suffix('!').map_or((head, false), |head| (head, true));
        let (name, optional) = head.strip_suffix('?').map_or((head, false), |name| (name, true));
        let at = self.children.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.children.push((name.to_owned(), Node::default()));
            self.children.len() - 1
        });
        let Some((_, child)) = self.children.get_mut(at) else { return };
        (child.optional, child.list, child.nullable) = (optional, list, nullable);
        match rest {
            "" => (child.kind, child.doc) = (kind, doc.to_owned()),
            rest => child.insert(rest, kind, doc),
        }
    }

    fn schema(&self, strict: bool) -> Json {
        let own = if self.children.is_empty() { scalar(self.kind) } else { self.object(strict) };
        let own = if self.nullable { json!({ "anyOf": [own, { "type": "null" }] }) } else { own };
        let mut schema = if self.list { json!({ "type": "array", "items": own }) } else { own };
        if let (Some(object), false) = (schema.as_object_mut(), self.doc.is_empty()) {
            object.insert("description".to_owned(), json!(self.doc));
        }
        schema
    }

    fn object(&self, strict: bool) -> Json {
        let named = || self.children.iter().filter(|(name, _)| name != "*");
        let properties: Map<String, Json> = named().map(|(name, child)| (name.clone(), child.schema(strict))).collect();
        let required: Vec<&str> = named().filter(|(_, child)| !child.optional).map(|(name, _)| name.as_str()).collect();
        let others = self.children.iter().find(|(name, _)| name == "*").map(|(_, child)| child.schema(strict));
        let others = others.unwrap_or(if strict { json!(false) } else { json!(true) });
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": others })
    }
}

fn scalar(kind: &str) -> Json {
    let (kind, nullable) = kind.strip_suffix('?').map_or((kind, false), |kind| (kind, true));
    let word = match kind {
        "text" => "string",
        "flag" => "boolean",
        "count" | "integer" => "integer",
        "number" => "number",
        _ => return json!({}),
    };
    let mut schema = if nullable { json!({ "type": [word, "null"] }) } else { json!({ "type": word }) };
    if let (Some(object), "count") = (schema.as_object_mut(), kind) {
        object.insert("minimum".to_owned(), json!(0));
    }
    schema
}

/// Whether an output has it: what is moved is said in its parts.
fn is_written(info: &TotalInfo) -> bool {
    !matches!(info.quantity, Total::BytesMoved)
}

/// The quantities of a row or of totals, in the order of the output.
fn quantities(kind: &str) -> Vec<(String, String)> {
    let unit = |unit: Unit, doc: &str| format!("{doc}; {}", unit_word(unit));
    let train = |train_only: bool| if train_only { "?" } else { "" };
    match kind {
        "rows" => QUANTITIES
            .iter()
            .map(|info| (format!("{}{}", info.name, train(info.train_only)), unit(info.unit, info.doc)))
            .collect(),
        _ => TOTALS
            .iter()
            .filter(|info| is_written(info))
            .map(|info| (format!("{}{}", info.name, train(info.train_only)), unit(info.unit, info.doc)))
            .collect(),
    }
}

fn unit_word(unit: Unit) -> &'static str {
    match unit {
        Unit::Layers => "layers",
        Unit::Scalars => "scalars",
        Unit::Flops => "FLOPs",
        Unit::Macs => "multiply-adds",
        Unit::Evaluations => "evaluations",
        Unit::Bytes => "bytes",
    }
}

impl OutputFormat {
    /// Every key with its type and meaning; quantities are filled in.
    fn all(&self) -> Vec<(String, &'static str, String)> {
        let mut all = Vec::new();
        for (path, kind, doc) in self.fields {
            match path.strip_suffix('@') {
                Some(before) => {
                    let of = quantities(kind).into_iter();
                    // A peak is null where nothing flows.
                    let kind_of = |name: &str| if name.starts_with("peak") { "count?" } else { "count" };
                    all.extend(of.map(|(name, doc)| (format!("{before}{name}"), kind_of(&name), doc)));
                }
                None => all.push(((*path).to_owned(), *kind, (*doc).to_owned())),
            }
        }
        all
    }

    /// Its JSON Schema, draft 2020-12. `strict`: with no keys but those that are documented.
    #[must_use]
    pub fn schema(&self, strict: bool) -> Json {
        let mut root = Node::default();
        self.all().iter().for_each(|(path, kind, doc)| root.insert(path, kind, doc));
        let mut schema = root.object(strict);
        if let Some(object) = schema.as_object_mut() {
            let id = format!("https://layerspec.dev/schema/{}.schema.json", self.name);
            object.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
            object.insert("$id".to_owned(), json!(id));
            object.insert("title".to_owned(), json!(self.format));
            object.insert("description".to_owned(), json!(format!("What `layerspec {}` writes.", self.command)));
            if let Some(format) = object.get_mut("properties").and_then(|properties| properties.get_mut("format")) {
                *format = json!({ "const": self.format });
            }
        }
        schema
    }
}

/// The page of what programs read, `docs/output.md`.
#[must_use]
pub fn output_page() -> String {
    let mut out = String::from(
        "# Outputs for programs\n\nGenerated from the table of quantities and that of keys (`src/report/output.rs`); `layerspec schema NAME` prints the JSON Schema of one. Counts are \
         integers, however large: beyond 2^53 a reader that takes them for floats loses digits. A format only gains keys. `?` behind a key: it may be missing; `!`: it may be null; `?` behind a type: null.\n\n\
         `--format jsonl` is the rows of `layers` (or `groups`), an object a line. `--format csv` has a row's quantities, `arithmetic_intensity` and (in training) `saved_bytes` as columns, behind `path,class,kind,calls` and before \
         `tied_to,output_shape,parameters,inputs,outputs,weights`, of which the last four are JSON in a cell; grouped, behind `class,layers` or `path,layers` alone. `sweep` writes rows of its own: sweep.md.\n\n## Quantities\n\nOne layer's become those of all its instances as the last column says.\n\n\
         | name | unit | what it is | in | of several |\n|---|---|---|---|---|\n",
    );
    for TotalInfo { name, unit, doc, fold, train_only, quantity, .. } in TOTALS.iter().filter(|info| is_written(info)) {
        let of = if matches!(quantity, Total::Of(_) | Total::SavedBytes) { "rows, totals" } else { "totals" };
        let train = if *train_only { " (in training)" } else { "" };
        let _ = writeln!(out, "| `{name}` | {} | {doc}{train} | {of} | {} |", unit_word(*unit), fold_words(*fold));
    }
    for format in OUTPUT_FORMATS {
        let _ = write!(
            out,
            "\n## {}\n\n`layerspec {}`, `layerspec schema {}`.\n\n| key | type | meaning |\n|---|---|---|\n",
            format.format, format.command, format.name
        );
        for (path, kind, doc) in &format.fields.iter().map(page_row).collect::<Vec<_>>() {
            let _ = writeln!(out, "| `{path}` | {kind} | {doc} |");
        }
    }
    out
}

fn page_row((path, kind, doc): &Field) -> (String, String, String) {
    match path.strip_suffix(".@") {
        Some(before) => {
            (format!("{before}.NAME"), "count".to_owned(), "each of the quantities above that stand there".to_owned())
        }
        None => ((*path).to_owned(), (*kind).to_owned(), (*doc).to_owned()),
    }
}

fn fold_words(fold: Fold) -> &'static str {
    match fold {
        Fold::Module => "times the instances, however often they run",
        Fold::Run => "times the instances and the runs",
        Fold::Peak => "the most at any moment",
    }
}
