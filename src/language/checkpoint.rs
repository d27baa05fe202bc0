//! What a checkpoint says of its weights: their dtype, and which layers are quantized to how many bits.
//!
//! A config's `torch_dtype` and `quantization_config` come in, a [`Checkpoint`] goes out. The methods are the catalog's: bits per weight with
//! scales and zero points, the keys that name what is left as it is, and what in a path says nothing.

use std::sync::Arc;

use regex_lite::Regex;

use crate::catalog::{Catalog, Dtype, Method};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::{EvalError, Exact, Name, Value, eval, value_of};
use crate::syntax::glob;
use crate::syntax::json::{Json, Member, Node};
use crate::syntax::source::{Span, Spanned};

/// A checkpoint's weights.
#[derive(Debug, Clone, Default)]
pub struct Checkpoint {
    /// The dtype of the weights that aren't quantized, and the key that says so.
    pub dtype: Option<(Dtype, &'static str)>,
    pub quantization: Option<Quantization>,
}

/// How weights of linear layers and experts are quantized.
#[derive(Debug, Clone)]
pub struct Quantization {
    pub method: Spanned<Arc<str>>,
    pub groups: Vec<Group>,
    kept: Vec<Pattern>,
    /// Modules that merely hold the model: checkpoints and modules order them differently.
    containers: Arc<[Arc<str>]>,
    /// Whether a pattern names single layers of a repeat.
    pub names_layers: bool,
}

/// Layers that are quantized alike.
#[derive(Debug, Clone)]
pub struct Group {
    /// Bits a weight, scales included.
    pub bits: Exact,
    /// The layers; none: all linear ones.
    targets: Vec<Pattern>,
}

impl Quantization {
    /// The group of a layer whose class's weights can be quantized, by its path: `None` if it is left as it is.
    #[must_use]
    pub fn group(&self, path: &str) -> Option<u16> {
        let plain = without(&self.containers, path);
        if self.kept.iter().any(|pattern| pattern.means(path, &plain)) {
            return None;
        }
        let fits = |group: &Group| group.targets.is_empty() || group.targets.iter().any(|pattern| pattern.means(path, &plain));
        self.groups.iter().position(fits).and_then(|at| u16::try_from(at).ok())
    }
}

/// A module's name in a config: a beginning, an end, with `*` for anything, or a regular expression (`re:`).
#[derive(Debug, Clone)]
enum Pattern {
    Text(String),
    /// As it is written, and of what is inside such a module.
    Glob([String; 2]),
    Regex(Regex),
}

impl Pattern {
    fn new(text: &str, containers: &[Arc<str>]) -> Option<Self> {
        if let Some(regex) = text.strip_prefix("re:") {
            return Regex::new(&format!("^(?:{regex})")).ok().map(Pattern::Regex);
        }
        let plain = without(containers, text);
        let inside = format!("{plain}.*");
        Some(if plain.contains('*') { Pattern::Glob([plain, inside]) } else { Pattern::Text(plain) })
    }

    fn means(&self, path: &str, plain: &str) -> bool {
        match self {
            Pattern::Text(text) => {
                let begins = plain.strip_prefix(text.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
                // As transformers' should_convert_module has it: `fc1` means `layers.3.fc1`.
                begins || plain.ends_with(text.as_str())
            }
            Pattern::Glob(globs) => globs.iter().any(|glob| glob::matches(glob, plain)),
            Pattern::Regex(regex) => regex.is_match(path),
        }
    }
}

/// A path without the names of these modules.
fn without(containers: &[Arc<str>], path: &str) -> String {
    let says = |part: &&str| !containers.iter().any(|container| **container == **part);
    path.split('.').filter(says).collect::<Vec<_>>().join(".")
}

const DTYPE_KEYS: [&str; 2] = ["dtype", "torch_dtype"];
const QUANTIZATION_KEY: &str = "quantization_config";

/// What of a config [`read`] looks at, each value in its place.
#[must_use]
pub fn excerpt(root: &Node) -> Node {
    let says = |member: &&Member| DTYPE_KEYS.contains(&&*member.key) || &*member.key == QUANTIZATION_KEY;
    let of = |node: &Node| -> Vec<Member> { node.members().iter().filter(says).cloned().collect() };
    let members = root.members().iter().filter_map(|member| {
        if says(&member) {
            return Some(member.clone());
        }
        let inner = of(&member.value);
        let value = Node { span: member.value.span, json: Json::Object(inner) };
        (!value.members().is_empty()).then(|| Member { value, ..member.clone() })
    });
    Node { span: root.span, json: Json::Object(members.collect()) }
}

/// What a config says of its weights: at its top, else in an inner config. What is wrong goes to `diagnostics`.
#[must_use]
pub fn read(root: &Node, catalog: &Catalog, diagnostics: &mut Diagnostics) -> Checkpoint {
    let places: Vec<&Node> = std::iter::once(root).chain(root.members().iter().map(|m| &m.value)).collect();
    let named = |node: &Node| {
        DTYPE_KEYS.into_iter().find_map(|key| {
            let text = node.get(key)?.text()?;
            catalog.dtype(text.strip_prefix("torch.").unwrap_or(text)).ok().map(|dtype| (dtype, key))
        })
    };
    let quantization = places.iter().find_map(|node| node.get(QUANTIZATION_KEY)).filter(|node| !node.members().is_empty());
    Checkpoint {
        dtype: places.iter().find_map(|node| named(node)),
        quantization: quantization.and_then(|node| quantization_of(node, catalog, diagnostics)),
    }
}

fn quantization_of(node: &Node, catalog: &Catalog, diagnostics: &mut Diagnostics) -> Option<Quantization> {
    let flagged = |key: &str| matches!(node.get(key).map(|n| &n.json), Some(Json::Bool(true)));
    let (name, span): (Arc<str>, Span) = match node.get("quant_method") {
        Some(method) => (method.text()?.clone(), method.span),
        // As older versions of bitsandbytes wrote it.
        None if flagged("load_in_4bit") || flagged("load_in_8bit") => ("bitsandbytes".into(), node.span.part(0..1)),
        None => (node.get("quant_algo").map_or_else(|| "?".into(), |_| "modelopt".into()), node.span.part(0..1)),
    };
    let method = match catalog.method(&name) {
        Ok(method) => method,
        Err(near) => {
            let diagnostic = Diagnostic::new(Code::UnknownQuantization, format!("unknown quantization method `{name}`"))
                .at(span, "the weights are counted as if they weren't quantized")
                .did_you_mean(span.inside(), near.as_deref())
                .help("say what they are: `--weight-dtype q4_k`, or by path: `--weight-dtype '*.mlp.*=nf4'`");
            diagnostics.push(diagnostic);
            return None;
        }
    };
    let groups = match &method.groups {
        None => vec![group(method, node, None, diagnostics)?],
        Some(key) => {
            let found = node.get(key).map(Node::members).unwrap_or_default();
            found.iter().filter_map(|member| group(method, node, Some(&member.value), diagnostics)).collect()
        }
    };
    let listed = method.kept.iter().filter_map(|key| node.get(key)).flat_map(|node| match &node.json {
        Json::List(items) => items.iter().filter_map(Node::text).map(|text| text.to_string()).collect(),
        _ => Vec::new(),
    });
    let kept: Vec<String> = listed.chain(method.always_kept.iter().map(ToString::to_string)).collect();
    let digits = |text: &str| text.bytes().any(|b| b.is_ascii_digit());
    let by_layer = groups.iter().flat_map(|(_, names)| names).chain(&kept).any(|name| digits(name));
    let patterns = |names: &[String]| names.iter().filter_map(|name| Pattern::new(name, &method.containers)).collect();
    Some(Quantization {
        method: Spanned::new(name, span),
        groups: groups.iter().map(|(bits, names)| Group { bits: *bits, targets: patterns(names) }).collect(),
        kept: patterns(&kept),
        containers: method.containers.clone(),
        names_layers: by_layer,
    })
}

/// The bits of a group, and the names of its layers where they are not simply the linear ones.
fn group(method: &Method, node: &Node, inner: Option<&Node>, diagnostics: &mut Diagnostics) -> Option<(Exact, Vec<String>)> {
    let env = |name: &Name, _: u16| {
        let given = inner.and_then(|inner| inner.get(&name.text)).or_else(|| node.get(&name.text)).map(value_of);
        let default = || method.variables.iter().find(|(known, _)| *known == name.text).map(|(_, value)| value.clone());
        given.filter(|value| *value != Value::Null).or_else(default).ok_or_else(|| EvalError::Unknown(name.text.clone()))
    };
    let bits = match eval(&method.bits_expr, &move |name: &Name| env(name, 0), 0) {
        Ok(value) => value.as_number().filter(|bits| *bits > Exact::ZERO),
        Err(error) => {
            let message = format!("the number of bits can't be had: {error}, in `{}`", method.bits);
            let place = inner.unwrap_or(node).span.part(0..1);
            diagnostics.push(Diagnostic::new(Code::UnknownQuantization, message).at(place, "counted as if it weren't quantized"));
            None
        }
    }?;
    let targets = inner.and_then(|inner| inner.get("targets"));
    let names: Vec<String> = match targets.map(|node| &node.json) {
        Some(Json::List(items)) => items.iter().filter_map(Node::text).map(|text| text.to_string()).collect(),
        _ => Vec::new(),
    };
    let all = names.iter().any(|name| method.all_linear.iter().any(|all| **all == **name));
    Some((bits, if all { Vec::new() } else { names }))
}

#[cfg(test)]
mod tests {
    use crate::catalog::Catalog;

    #[test]
    fn methods_of_quantization_hold_together() {
        let catalog = Catalog::new();
        assert!(catalog.methods().len() >= 7);
        for method in catalog.methods() {
            assert!(!method.doc.is_empty() && !method.source.is_empty(), "{}", method.name);
        }
        for class in catalog.classes() {
            let class = class.unwrap();
            for weight in &class.quantized {
                assert!(class.weights.iter().any(|known| known.name == *weight), "{}: no weight `{weight}`", class.name);
            }
        }
    }
}
