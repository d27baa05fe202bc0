//! What a checkpoint says of its weights: their dtype, and which layers are quantized to how many bits.
//!
//! A config's `torch_dtype` and `quantization_config` come in, a [`Checkpoint`] goes out. The methods are the catalog's: bits per weight with
//! scales and zero points, the keys that name what is left as it is, and what in a path says nothing.

use std::sync::Arc;

use super::module_names::{MOST_REGEXES, Named, Pattern, without};
use crate::catalog::{Catalog, Dtype, KeyFormula, Method};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics};
use crate::syntax::expr::{EvalError, Exact, Name, Value, eval, value_of};
use crate::syntax::glob;
use crate::syntax::json::{Json, Member, Node, Text};
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
    /// The key under which a config says it.
    pub key: &'static str,
    pub groups: Vec<Group>,
    /// What is said of modules by name, in order; where several mean a module the first does.
    named: Named,
    /// The group of the others.
    base: Option<u16>,
    /// Patterns of classes that are quantized besides those of which all methods quantize weights.
    also: Vec<Arc<str>>,
    /// Modules that merely hold the model: checkpoints and modules order them differently.
    containers: Arc<[Arc<str>]>,
    /// Whether a pattern names single layers of a repeat.
    pub names_layers: bool,
    /// Where no checkpoint says it but a mix of types that was asked for: which.
    pub mixed: Option<Mixed>,
}

/// A mix of types, for people.
#[derive(Debug, Clone)]
pub struct Mixed {
    /// What it is called.
    pub name: Arc<str>,
    /// Who gives weights these types.
    pub by: Arc<str>,
    /// Bytes of the tensors of the file, scales included.
    pub bytes: u128,
    /// How many elements they have.
    pub elements: u128,
}

/// Layers that are quantized alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Bits a weight, scales included.
    pub bits: Exact,
    /// Bytes of each matrix besides: a codebook.
    pub matrix_bytes: Exact,
    /// Bits of an element by weight, where the checkpoint says them so; others have `bits`.
    pub weights: Arc<[(Arc<str>, Exact)]>,
}

impl Mixed {
    /// Bits of a weight on average. `None`: the file has no weights.
    #[must_use]
    pub fn bits(&self) -> Option<Exact> {
        Exact::from_count(self.bytes.checked_mul(8)?)?.checked_div(Exact::from_count(self.elements)?)
    }
}

impl Quantization {
    /// Whether weights of layers of this class are quantized; `usual`: those of all methods are.
    #[must_use]
    pub fn concerns(&self, class: &str, usual: bool) -> bool {
        usual || self.also.iter().any(|pattern| glob::matches(pattern, class))
    }

    /// What it takes to look at a layer's path: the patterns that are tried, each for 4, a regular expression for 20.
    #[must_use]
    pub fn effort(&self) -> u64 {
        self.named.effort()
    }

    /// The group of a layer of a class that it concerns, by its path: `None` if it is left as it is.
    #[must_use]
    pub fn group(&self, path: &str) -> Option<u16> {
        let plain = without(&self.containers, path);
        self.named.first(path, &plain).unwrap_or(self.base)
    }
}

/// The keys of a config that say the dtype of its weights.
pub const DTYPE_KEYS: [&str; 2] = ["dtype", "torch_dtype"];
/// The keys that say how they are quantized; the second says it only where the catalog has a method that it tells.
pub const QUANTIZATION_KEYS: [&str; 2] = ["quantization_config", "quantization"];

/// Whether a key of a config says something of its weights: their dtype, how they are quantized, or what a method of that reads beside.
#[must_use]
pub fn says_of_weights(key: &str) -> bool {
    DTYPE_KEYS.contains(&key) || QUANTIZATION_KEYS.contains(&key) || key.ends_with("_dtype")
}

/// What of a config [`read`] looks at, each value in its place.
#[must_use]
pub fn excerpt(root: &Node) -> Node {
    let says = |member: &&Member| says_of_weights(&member.key);
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

/// An excerpt with what a file says of its weights, an object, in place of what the config says. Its places are the config's beginning.
#[must_use]
pub fn stored(excerpt: Option<Node>, said: &serde_json::Value, place: Span) -> Node {
    let place = place.part(0..1);
    let mut members = node_of(said, place).members().to_vec();
    // An inner config may say it, too: what is found first counts. A file that says a dtype has weights that aren't quantized.
    let own = excerpt.map(|node| node.members().to_vec()).unwrap_or_default();
    members.extend(own.into_iter().filter(|member| {
        let is_dtype = DTYPE_KEYS.contains(&&*member.key);
        let is_said = if is_dtype { said.get(DTYPE_KEYS[1]).is_some() } else { QUANTIZATION_KEYS.contains(&&*member.key) };
        !is_said
    }));
    Node { span: place, json: Json::Object(members) }
}

/// A value as a node, all of it at one place.
fn node_of(value: &serde_json::Value, place: Span) -> Node {
    let json = match value {
        serde_json::Value::Null => Json::Null,
        serde_json::Value::Bool(flag) => Json::Bool(*flag),
        serde_json::Value::Number(number) => Json::Number(number.to_string().into()),
        serde_json::Value::String(text) => Json::Text(Text { value: text.as_str().into(), plain: true }),
        serde_json::Value::Array(items) => Json::List(items.iter().map(|item| node_of(item, place)).collect()),
        serde_json::Value::Object(members) => {
            let member = |(key, value): (&String, &serde_json::Value)| Member {
                key: key.as_str().into(),
                key_span: place,
                value: node_of(value, place),
            };
            Json::Object(members.iter().map(member).collect())
        }
    };
    Node { span: place, json }
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
    Checkpoint {
        dtype: places.iter().find_map(|node| named(node)),
        quantization: places
            .iter()
            .find_map(|place| stated(place, catalog).map(|(key, node)| (key, *place, node)))
            .and_then(|(key, place, node)| quantization_of(key, place, node, catalog, diagnostics)),
    }
}

/// Where a config says how its weights are quantized: under the first key that a method can be told by, else under the first.
fn stated<'n>(place: &'n Node, catalog: &Catalog) -> Option<(&'static str, &'n Node)> {
    let [usual, other] = QUANTIZATION_KEYS.map(|key| {
        let node = place.get(key).filter(|node| !node.members().is_empty());
        node.map(|node| (key, node))
    });
    let told = |found: &(&'static str, &Node)| method_of(found.1, catalog).is_some();
    usual.filter(told).or(other.filter(told)).or(usual)
}

/// What a config calls its method, and where; else the method that its keys tell.
fn method_of(node: &Node, catalog: &Catalog) -> Option<(Arc<str>, Span)> {
    if let Some(method) = node.get("quant_method") {
        return Some((method.text()?.clone(), method.span));
    }
    let says = |key: &Arc<str>| node.get(key).is_some_and(|value| !matches!(value.json, Json::Null | Json::Bool(false)));
    let told = |method: &&Method| !method.told_by.is_empty() && method.told_by.iter().all(says);
    catalog.methods().iter().find(told).map(|method| (method.name.clone(), node.span.part(0..1)))
}

fn quantization_of(
    key: &'static str,
    place: &Node,
    node: &Node,
    catalog: &Catalog,
    diagnostics: &mut Diagnostics,
) -> Option<Quantization> {
    let (name, span) = method_of(node, catalog).unwrap_or_else(|| ("?".into(), node.span.part(0..1)));
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
    unread(key, node, method, diagnostics);
    let mut reader =
        Reader { method, place, node, groups: Vec::new(), named: Named::default(), names_layers: false, regexes: 0, diagnostics };
    reader.listed();
    reader.rules();
    reader.always_kept();
    reader.own();
    let base = reader.base();
    let Reader { groups, named, names_layers, diagnostics, .. } = reader;
    let mut holds = |condition: &KeyFormula| Figures { method, place, node, inner: None }.holds(condition, diagnostics);
    let also = method.also.iter().filter(|(_, condition)| holds(condition)).map(|(class, _)| class.clone()).collect();
    let containers = method.containers.clone();
    Some(Quantization { method: Spanned::new(name, span), key, groups, named, base, also, containers, names_layers, mixed: None })
}

/// Says which keys nothing reads: they may change how many bytes the weights have.
fn unread(key: &str, node: &Node, method: &Method, diagnostics: &mut Diagnostics) {
    // Where the object itself has the rules, objects in it are some.
    let is_rule = |member: &Member| {
        method.rules.iter().any(|rule| rule.is_empty()) && matches!(member.value.json, Json::Object(_) | Json::Bool(_))
    };
    let listed = |name: &str| {
        let lists = method.kept.iter().chain(&method.ignored).chain(&method.rules).chain(&method.groups);
        name == "quant_method" || lists.chain(method.variables.iter().map(|(name, _)| name)).any(|known| **known == *name)
    };
    for member in node.members().iter().filter(|member| !matches!(member.value.json, Json::Null)) {
        if !listed(&member.key) && !is_rule(member) {
            let message = format!("nothing reads `{}` of a `{key}` of the method `{}`", member.key, method.name);
            let label = "taken as if it changed no weight's bytes";
            diagnostics.push(Diagnostic::new(Code::UnreadQuantization, message).at(member.key_span, label));
        }
    }
}

/// A method's formulas over the keys of a config, those of an inner object first.
#[derive(Clone, Copy)]
struct Figures<'n> {
    method: &'n Method,
    /// The config around.
    place: &'n Node,
    node: &'n Node,
    inner: Option<&'n Node>,
}

impl Figures<'_> {
    fn value(&self, formula: &KeyFormula, depth: u16) -> Result<Value, EvalError> {
        let env = |name: &Name| {
            if let Some((_, part)) = self.method.parts.iter().find(|(part, _)| *part == name.text) {
                // A part may stand on others, a few levels deep.
                return if depth > MOST_PARTS { Err(EvalError::TooDeep) } else { self.value(part, depth + 1) };
            }
            let of = |node: &Node| node.get(&name.text).map(value_of).filter(|value| *value != Value::Null);
            let default = || self.method.variables.iter().find(|(known, _)| *known == name.text).map(|(_, value)| value.clone());
            let beside = || of(self.place).filter(|_| self.method.beside.contains(&name.text));
            let given = self.inner.and_then(of).or_else(|| of(self.node)).or_else(beside);
            given.or_else(default).ok_or_else(|| EvalError::Unknown(name.text.clone()))
        };
        eval(&formula.expr, &env, 0)
    }

    /// What one more matrix takes besides its weights' bits.
    fn matrix_bytes(&self, diagnostics: &mut Diagnostics) -> Exact {
        self.method.matrix_bytes.as_ref().and_then(|formula| self.bits(formula, diagnostics)).unwrap_or(Exact::ZERO)
    }

    /// The bits that a formula gives; `None`: it says null, or has no value, which is said.
    fn bits(&self, formula: &KeyFormula, diagnostics: &mut Diagnostics) -> Option<Exact> {
        let error = match self.value(formula, 0) {
            Ok(Value::Null) => return None,
            Ok(value) => match value.as_number().filter(|bits| *bits > Exact::ZERO) {
                Some(bits) => return Some(bits),
                None => format!("{value} is no number of bits"),
            },
            Err(error) => error.to_string(),
        };
        let message = format!("the number of bits can't be had: {error}, in `{}`", formula.text);
        let place = self.inner.unwrap_or(self.node).span.part(0..1);
        diagnostics.push(Diagnostic::new(Code::UnknownQuantization, message).at(place, "counted as if it weren't quantized"));
        None
    }

    fn holds(&self, condition: &KeyFormula, diagnostics: &mut Diagnostics) -> bool {
        match self.value(condition, 0).map(|value| value.as_bool()) {
            Ok(Some(holds)) => holds,
            _ => {
                let message = format!("`{}` is neither true nor false", condition.text);
                let place = self.node.span.part(0..1);
                diagnostics.push(Diagnostic::new(Code::UnknownQuantization, message).at(place, "taken for false"));
                false
            }
        }
    }
}

/// How deep parts of formulas may stand on each other.
const MOST_PARTS: u16 = 8;

/// Reads what a config says of modules, in the order in which it counts.
struct Reader<'n, 'd> {
    method: &'n Method,
    place: &'n Node,
    node: &'n Node,
    groups: Vec<Group>,
    named: Named,
    names_layers: bool,
    regexes: usize,
    diagnostics: &'d mut Diagnostics,
}

impl<'n> Reader<'n, '_> {
    fn figures(&self, inner: Option<&'n Node>) -> Figures<'n> {
        Figures { method: self.method, place: self.place, node: self.node, inner }
    }

    /// The group of so many bits; those that are there already are not made again.
    fn group(&mut self, bits: Exact) -> Option<u16> {
        self.group_of(bits, [].into())
    }

    /// The same with bits of single weights.
    fn group_of(&mut self, bits: Exact, weights: Arc<[(Arc<str>, Exact)]>) -> Option<u16> {
        let group = Group { bits, matrix_bytes: self.figures(None).matrix_bytes(self.diagnostics), weights };
        let at = self.groups.iter().position(|known| *known == group).unwrap_or_else(|| {
            self.groups.push(group);
            self.groups.len() - 1
        });
        u16::try_from(at).ok()
    }

    fn name(&mut self, text: &str, is_regular: bool, place: Span, group: Option<u16>) {
        let is_regex = is_regular || text.starts_with("re:");
        self.regexes += usize::from(is_regex);
        if is_regex && self.regexes > MOST_REGEXES {
            if self.regexes == MOST_REGEXES + 1 {
                let message = format!("a config names layers by more than {MOST_REGEXES} regular expressions");
                self.diagnostics.push(Diagnostic::new(Code::ModelTooLarge, message).at(place, "too many from here on"));
            }
            return;
        }
        self.names_layers |= is_regex || text.bytes().any(|b| b.is_ascii_digit());
        if let Some(pattern) = Pattern::new(text, is_regular, &self.method.containers, place, self.diagnostics) {
            self.named.add(pattern, group);
        }
    }

    /// Modules that the config leaves as they are.
    fn listed(&mut self) {
        for list in self.method.kept.iter().filter_map(|key| self.node.get(key)) {
            let Json::List(items) = &list.json else { continue };
            for item in items {
                if let Some(text) = item.text() {
                    self.name(text, false, item.span, None);
                }
            }
        }
    }

    /// Modules that the method leaves as they are.
    fn always_kept(&mut self) {
        let place = self.node.span.part(0..1);
        for name in &self.method.always_kept {
            self.name(name, false, place, None);
        }
        for (name, condition) in &self.method.kept_if {
            if self.figures(None).holds(condition, self.diagnostics) {
                self.name(name, false, place, None);
            }
        }
    }

    /// Modules with figures of their own. `-:` before a name leaves what it means as it is, `+:` is the same as nothing; so are `false` and
    /// `true` in the place of figures.
    fn rules(&mut self) {
        let (method, node) = (self.method, self.node);
        for rules in method.rules.iter().filter_map(|key| if key.is_empty() { Some(node) } else { node.get(key) }) {
            // Objects have no order everywhere: a whole path counts before what many have in common.
            let (common, whole): (Vec<_>, Vec<_>) =
                rules.members().iter().partition(|member| method.by_weight && member.key.starts_with('.'));
            for member in whole.into_iter().chain(common) {
                let is_rule = matches!(member.value.json, Json::Object(_) | Json::Bool(_));
                let is_key = method.rules.iter().any(|key| key.is_empty()) && !member.key.contains('.') && {
                    method.variables.iter().map(|(name, _)| name).chain(&method.ignored).any(|known| *known == member.key)
                };
                if !is_rule || is_key {
                    continue;
                }
                let left = member.key.strip_prefix("-:");
                let text = left.or_else(|| member.key.strip_prefix("+:")).unwrap_or(&member.key);
                if method.by_weight {
                    let group = self.by_weight(&member.value);
                    self.name(text, method.rules_are_regular, member.key_span, group);
                    continue;
                }
                let bits = match &member.value.json {
                    _ if left.is_some() => None,
                    Json::Bool(false) => None,
                    _ => self.figures(Some(&member.value)).bits(&method.bits, self.diagnostics),
                };
                let group = bits.and_then(|bits| self.group(bits));
                self.name(text, method.rules_are_regular, member.key_span, group);
            }
        }
    }

    /// The group of a module whose weights each say their bits: a number, or a division of two. The largest of them is what is read of it most.
    fn by_weight(&mut self, node: &Node) -> Option<u16> {
        let mut weights = Vec::new();
        for member in node.members() {
            let bits = match &member.value.json {
                Json::Number(text) => Exact::parse(text),
                Json::Text(text) => {
                    let parts = text.value.split_once('/');
                    parts.and_then(|(n, d)| Exact::parse(n.trim())?.checked_div(Exact::parse(d.trim())?))
                }
                _ => None,
            };
            match bits.filter(|bits| *bits > Exact::ZERO) {
                Some(bits) => weights.push((member.key.clone(), bits)),
                None => {
                    let message = format!("`{}` is stored in no number of bits that can be", member.key);
                    let label = "expected a number, or two with a `/` between them";
                    self.diagnostics.push(Diagnostic::new(Code::UnknownQuantization, message).at(member.value.span, label));
                }
            }
        }
        let first = weights.first().map(|(_, bits)| *bits)?;
        self.group_of(first, weights.into())
    }

    fn own(&mut self) {
        for (name, formula) in &self.method.own_bits {
            if let Some(bits) = self.figures(None).bits(formula, self.diagnostics) {
                let group = self.group(bits);
                self.name(name, false, self.node.span.part(0..1), group);
            }
        }
    }

    /// The groups that a config lists, or the one that it is: that of all linear layers comes back.
    fn base(&mut self) -> Option<u16> {
        let method = self.method;
        let listed = method.groups.as_ref().and_then(|key| self.node.get(key)).map(Node::members).filter(|list| !list.is_empty());
        let Some(listed) = listed else {
            let bits = self.figures(None).bits(&method.bits, self.diagnostics)?;
            return self.group(bits);
        };
        let mut base = None;
        for member in listed {
            let Some(bits) = self.figures(Some(&member.value)).bits(&method.bits, self.diagnostics) else { continue };
            let group = self.group(bits);
            let targets = member.value.get("targets");
            let names: Vec<(&Arc<str>, Span)> = match targets.map(|node| &node.json) {
                Some(Json::List(items)) => items.iter().filter_map(|item| Some((item.text()?, item.span))).collect(),
                _ => Vec::new(),
            };
            if names.is_empty() || names.iter().any(|(name, _)| method.all_linear.contains(name)) {
                base = base.or(group);
                continue;
            }
            for (name, place) in names {
                self.name(name, false, place, group);
            }
        }
        base
    }
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
