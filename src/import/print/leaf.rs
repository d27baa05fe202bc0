//! What a printed layer is: the rule for its class, its parameters by what is printed and by what flows to it.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::flow::{Demand, Flow, Rows};
use super::read::Module;
use crate::catalog::{Catalog, Class, ClassKind, KeyFormula, KeyValue, PrintedLayer, Takes};
use crate::import::reconcile::elements_of;
use crate::quantity::product;
use crate::syntax::expr::{EvalError, Name, Value, eval, json_of};
use crate::syntax::glob;

/// Why nothing is known of a layer.
pub type Unsaid = String;

/// What is known of a layer before anything flows to it.
pub struct Known<'c> {
    rule: Option<&'c PrintedLayer>,
    class: Arc<str>,
    /// Whether it may have weights.
    pub has_weights: bool,
    /// The class's parameters, those of them that have no default, and those that what flows says.
    named: Vec<Arc<str>>,
    wanted: Vec<Arc<str>>,
    of_flow: Vec<Arc<str>>,
    /// What it needs.
    pub demand: Demand,
}

/// The parameters that what flows says, in classes for which there is no rule.
const OF_FLOW: [&str; 2] = ["features", "tokens"];

/// The rule for a class as it is printed.
pub fn rule<'c>(class: &str, catalog: &'c Catalog) -> Option<&'c PrintedLayer> {
    let rules = catalog.print_layers();
    let exact = |rule: &&PrintedLayer| *rule.name == *class || rule.also.iter().any(|name| **name == *class);
    let fits = |rule: &&PrintedLayer| glob::matches(&rule.name, class) || rule.also.iter().any(|name| glob::matches(name, class));
    rules.iter().find(exact).or_else(|| rules.iter().find(fits))
}

/// Values that expressions of a rule see.
struct Env<'m> {
    module: &'m Module,
    flow: Option<&'m Flow>,
    /// At which dimension lists are looked at, and what comes in there.
    dimension: Option<(usize, u64)>,
}

impl Env<'_> {
    fn get(&self, name: &str) -> Value {
        let count = |n: Option<u64>| n.map_or(Value::Null, Value::count);
        if let Some(value) = self.module.arg(name) {
            return match (value, self.dimension) {
                (Value::List(items), Some((at, _))) => items.get(at).or(items.last()).cloned().unwrap_or(Value::Null),
                _ => value.clone(),
            };
        }
        match (name, self.flow) {
            ("class", _) => Value::Text(self.module.class.clone()),
            ("in", _) => count(self.dimension.map(|(_, size)| size)),
            ("features", Some(flow)) => count(flow.features()),
            ("all_features", Some(flow)) => count(flow.all_features()),
            ("channels", Some(Flow::Grid(channels, _))) => Value::count(*channels),
            ("size", Some(Flow::Grid(_, sizes))) => Value::List(sizes.iter().map(|size| Value::count(*size)).collect()),
            ("spatial", Some(Flow::Grid(_, sizes))) => count(product(sizes)),
            ("spatial", Some(_)) => Value::count(1),
            _ => self.child(name),
        }
    }

    /// What is said of a module in it.
    fn child(&self, name: &str) -> Value {
        let child = self.module.children.iter().find(|child| *child.key == *name);
        child.map_or(Value::Null, |child| {
            let named = child.args.iter().filter_map(|arg| Some((arg.name.clone()?, arg.value.clone())));
            Value::Object(named.collect())
        })
    }

    fn eval(&self, formula: &KeyFormula) -> Result<Value, EvalError> {
        eval(&formula.expr, &|name: &Name| Ok(self.get(&name.text)), 0)
    }

    fn count(&self, formula: &KeyFormula) -> Option<u64> {
        self.eval(formula).ok()?.as_u64()
    }
}

/// What is known of a layer by its class and what is printed. `Ok(None)`: it is nothing that counts.
///
/// # Errors
/// No class is known for it, or the text doesn't say its sizes.
pub fn known<'c>(module: &Module, catalog: &'c Catalog) -> Result<Option<Known<'c>>, Unsaid> {
    let rule = rule(&module.class, catalog);
    if rule.is_some_and(|rule| rule.is_nothing) {
        return Ok(None);
    }
    let known = |class: &str| catalog.class(class).and_then(Result::ok);
    let name = rule.and_then(|rule| rule.class.clone()).unwrap_or_else(|| module.class.clone());
    // Functions have names like those of a user's classes.
    let kind = |class: &Class| class.aliases.iter().find(|alias| *alias.name == *name).map_or(class.kind, |alias| alias.kind);
    let Some(class) = known(&name).filter(|class| kind(class) == ClassKind::Module) else {
        return Err("its class isn't known".to_owned());
    };
    let of_flow = |parameter: &&&str| class.parameters.iter().any(|known| *known.name == ***parameter);
    let demand = match rule {
        None => Demand::Any,
        Some(rule) => demand(rule, module)?,
    };
    Ok(Some(Known {
        rule,
        has_weights: !class.weights.is_empty(),
        class: name,
        named: class.parameters.iter().map(|p| p.name.clone()).collect(),
        wanted: class.parameters.iter().filter(|p| p.default.is_none()).map(|p| p.name.clone()).collect(),
        of_flow: OF_FLOW.iter().filter(of_flow).map(|name| (*name).into()).collect(),
        demand,
    }))
}

/// What a layer of a rule needs.
///
/// # Errors
/// The text doesn't say it.
pub fn demand(rule: &PrintedLayer, module: &Module) -> Result<Demand, Unsaid> {
    let env = Env { module, flow: None, dimension: None };
    let size = || rule.size.as_ref().and_then(|size| env.count(size)).filter(|size| *size > 0);
    let unsaid = || "the text doesn't say its size".to_owned();
    match rule.takes {
        Takes::Any => Ok(Demand::Any),
        Takes::Ids => size().map(|_| Demand::Ids).ok_or_else(unsaid),
        Takes::Rows => size().map(Demand::Rows).ok_or_else(unsaid),
        Takes::Grid(dims) => {
            // A pooling takes as many channels as come.
            let is_of_flow = rule.size.as_ref().is_none_or(|size| &*size.text == "<channels>");
            let channels = size();
            if channels.is_none() && !is_of_flow {
                return Err(unsaid());
            }
            Ok(Demand::Grid(channels, dims))
        }
    }
}

/// A layer as a model file has it: class and parameters, and what it gives.
pub struct Layer {
    /// What it takes in place of a grid: its channels, each a line.
    pub lines: Option<Flow>,
    pub class: Arc<str>,
    pub parameters: Map<String, Json>,
    pub gives: Flow,
}

/// The layer of a rule that isn't a module of its own.
///
/// # Errors
/// The text doesn't say its sizes.
pub fn added(rule: &PrintedLayer, module: &Module, flow: &Flow) -> Result<Layer, Unsaid> {
    let env = Env { module, flow: Some(flow), dimension: None };
    let parameters = of_rule(rule, &env)?;
    let class = rule.class.clone().unwrap_or_else(|| module.class.clone());
    Ok(Layer { lines: None, class, parameters: with_tokens(parameters, rule, flow), gives: gives(rule, &env, flow)? })
}

impl Known<'_> {
    /// What a config says of weights that are stored as this layer's are.
    pub fn quantization(&self) -> Option<Json> {
        self.rule?.quantization.as_ref().map(json_of)
    }

    /// The layer, once it is known what flows to it.
    ///
    /// # Errors
    /// A parameter that neither the text nor what flows says.
    pub fn layer(&self, module: &Module, flow: &Flow) -> Result<Layer, Unsaid> {
        let env = Env { module, flow: Some(flow), dimension: None };
        let (parameters, gives) = match self.rule.filter(|rule| !rule.parameters.is_empty()) {
            Some(rule) => (with_tokens(of_rule(rule, &env)?, rule, flow), gives(rule, &env, flow)?),
            None => (self.of_class(module, flow), flow.clone()),
        };
        let missing: Vec<String> =
            self.wanted.iter().filter(|name| !parameters.contains_key(&***name)).map(|name| format!("`{name}`")).collect();
        if !missing.is_empty() {
            return Err(format!("the text doesn't say its {}", missing.join(", ")));
        }
        let lines = match flow {
            Flow::Grid(channels, sizes) if self.rule.is_some_and(|rule| rule.is_of_lines) && sizes.len() > 1 => {
                Some(Flow::Grid(*channels, vec![elements_of(sizes)]))
            }
            _ => None,
        };
        Ok(Layer { lines, class: self.class.clone(), parameters, gives })
    }

    /// Parameters that are printed by their names, and those that what flows says.
    fn of_class(&self, module: &Module, flow: &Flow) -> Map<String, Json> {
        let printed = self.named.iter().filter_map(|name| Some((name.to_string(), json_of(module.arg(name)?))));
        let mut parameters: Map<String, Json> = printed.filter(|(_, value)| !value.is_null()).collect();
        if self.of_flow.iter().any(|name| &**name == "features")
            && let Some(features) = flow.features()
        {
            parameters.insert("features".to_owned(), json!(features));
            parameters.insert("tokens".to_owned(), json!(flow.tokens()));
        }
        parameters
    }
}

fn of_rule(rule: &PrintedLayer, env: &Env<'_>) -> Result<Map<String, Json>, Unsaid> {
    let mut parameters = Map::new();
    for (name, value) in &rule.parameters {
        let value = match value {
            KeyValue::Data(value) => json_of(value),
            // Those of the workload are the model's.
            KeyValue::Formula(formula) if matches!(&*formula.text, "<tokens>" | "<indices>") => {
                json!(env.flow.map(Flow::tokens).unwrap_or_default())
            }
            KeyValue::Formula(formula) => match env.eval(formula) {
                Ok(value) => json_of(&value),
                Err(error) => return Err(format!("the text doesn't say its `{name}`: {error}")),
            },
        };
        if !value.is_null() {
            parameters.insert(name.to_string(), value);
        }
    }
    Ok(parameters)
}

/// Rows that aren't the workload's are said.
fn with_tokens(mut parameters: Map<String, Json>, rule: &PrintedLayer, flow: &Flow) -> Map<String, Json> {
    let is_of_samples = matches!(flow, Flow::Rows(Rows::PerSample(_), _));
    if rule.takes == Takes::Rows && is_of_samples && !parameters.contains_key("batch_size") {
        parameters.insert("tokens".to_owned(), json!(flow.tokens()));
    }
    parameters
}

fn gives(rule: &PrintedLayer, env: &Env<'_>, flow: &Flow) -> Result<Flow, Unsaid> {
    let unsaid = || "the text doesn't say what it gives".to_owned();
    let size = match &rule.gives {
        Some(gives) => Some(env.count(gives).filter(|size| *size > 0).ok_or_else(unsaid)?),
        None => None,
    };
    if rule.is_flat {
        let all = flow.all_features().or_else(|| flow.features()).ok_or_else(unsaid)?;
        return Ok(Flow::Rows(Rows::PerSample(1), all));
    }
    Ok(match (flow, size) {
        (Flow::Grid(channels, sizes), size) => {
            let out = |(at, size): (usize, &u64)| match &rule.out {
                None => Ok(*size),
                Some(out) => {
                    let value = Env { dimension: Some((at, *size)), ..*env }.eval(out).map_err(|error| error.to_string())?;
                    value.as_u64().filter(|n| *n > 0).ok_or_else(|| "its window is larger than what it takes".to_owned())
                }
            };
            let sizes: Result<Vec<u64>, Unsaid> = sizes.iter().enumerate().map(out).collect();
            Flow::Grid(size.unwrap_or(*channels), sizes?)
        }
        (Flow::Rows(rows, _), Some(size)) => Flow::Rows(*rows, size),
        (Flow::Ids, Some(size)) => Flow::Rows(Rows::Tokens, size),
        (flow, None) => flow.clone(),
    })
}
