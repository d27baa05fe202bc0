//! What a layer says of itself in a model file: its class, parameters and tensors. Structural values are numbers, what depends on the workload
//! stays an expression.

use serde_json::{Map, Value as Json, json};

use crate::flat::{FlatModel, OwnWeight, Row};
use crate::language::check::Checked;
use crate::language::{Argument, Binding};
use crate::quantity::workload::{LENGTHS, VARIABLES, WorkloadVar};
use crate::syntax::expr::{BinaryOp, Exact, Expr, Value, json_of};
use crate::syntax::spec::KEPT_DTYPE;

/// What can't be said in a model file, in words.
pub(super) type Unsaid = String;

/// Where a layer has lengths of its own, the workload's are called so.
const WORKLOAD: &str = "workload_";

/// Writes the terms of one model.
pub(super) struct Terms<'a> {
    checked: &'a Checked,
    /// Whether some layer has lengths of its own.
    outer: bool,
}

impl<'a> Terms<'a> {
    pub(super) fn new(checked: &'a Checked) -> Self {
        Terms { checked, outer: false }
    }

    /// What a model says besides its layers, once these are written.
    pub(super) fn head(&self, flat: &FlatModel) -> Map<String, Json> {
        let mut out = Map::new();
        if let Some(class) = &flat.class {
            out.insert("class".to_owned(), json!(&**class));
        }
        let mut variables = Map::new();
        if self.outer {
            variables.extend(LENGTHS.iter().map(|name| (format!("{WORKLOAD}{name}"), json!(format!("<{name}>")))));
        }
        if let Some((positions, _)) = flat.positions {
            variables.insert("max_position_embeddings".to_owned(), json!(positions));
        }
        if !variables.is_empty() {
            out.insert("variables".to_owned(), Json::Object(variables));
        }
        if !flat.workload.is_empty() {
            let defaults =
                flat.workload.iter().map(|(name, argument)| (name.to_string(), self.argument(argument, false, &mut Map::new())));
            out.insert("workload".to_owned(), Json::Object(defaults.collect()));
        }
        if let Some(inputs) = &flat.inputs {
            let tensor = |input: &crate::flat::InputTensor| {
                let shape: Option<Vec<Json>> =
                    input.shape.as_ref().map(|dims| dims.iter().map(|dim| self.argument(dim, false, &mut Map::new())).collect());
                (input.name.to_string(), json!({ "shape": shape, "dtype": &*input.dtype }))
            };
            out.insert("inputs".to_owned(), Json::Object(inputs.iter().map(tensor).collect()));
        }
        out
    }

    /// A basic layer that is called so often and reads these values: what is said of it by the row alone.
    pub(super) fn layer(&mut self, row: &Row, calls: &[&Argument], inputs: &[String], layer: &mut Map<String, Json>) {
        layer.insert("class".to_owned(), json!(&*row.class_name));
        let builtin = |slot: u16| VARIABLES.get(usize::from(slot)).map(|(name, _)| *name);
        let rebinds = row.overrides.iter().any(|(slot, _)| builtin(*slot).is_some_and(|name| LENGTHS.contains(&name)));
        self.outer |= rebinds;
        let (mut parameters, mut lengths) = (Map::new(), Map::new());
        for (at, argument) in row.arguments.iter() {
            if let Some(parameter) = row.class.as_ref().and_then(|class| class.0.parameters.get(usize::from(*at))) {
                parameters.insert(parameter.name.to_string(), self.argument(argument, rebinds, layer));
            }
        }
        for (slot, argument) in &row.overrides {
            let Some(name) = builtin(*slot) else { continue };
            let target = if LENGTHS.contains(&name) { &mut lengths } else { &mut parameters };
            target.insert(name.to_owned(), self.argument(argument, rebinds, layer));
        }
        if !lengths.is_empty() {
            match layer.get_mut("variables").and_then(Json::as_object_mut) {
                Some(variables) => variables.extend(lengths),
                None => {
                    layer.insert("variables".to_owned(), Json::Object(lengths));
                }
            }
        }
        if let Some(calls) = self.calls(calls, rebinds, layer) {
            layer.insert("calls".to_owned(), calls);
        }
        insert_inputs(layer, inputs);
        if !parameters.is_empty() {
            layer.insert("parameters".to_owned(), Json::Object(parameters));
        }
        if let Some(weights) = &row.weights {
            let weights = weights.iter().map(|weight| (weight.name.to_string(), weight_json(weight)));
            layer.insert("weights".to_owned(), Json::Object(weights.collect()));
        }
        if row.no_grad {
            layer.insert("no_grad".to_owned(), json!(true));
        }
    }

    /// The product of several counts, `None` of none.
    pub(super) fn calls(&self, calls: &[&Argument], rebinds: bool, layer: &mut Map<String, Json>) -> Option<Json> {
        let mut counts: Vec<Json> = calls.iter().map(|count| self.argument(count, rebinds, layer)).collect();
        if counts.len() < 2 {
            return counts.pop();
        }
        let product = counts.iter().map(Json::as_u64).try_fold(1u64, |product, count| product.checked_mul(count?));
        let factor = |count: &Json| count.as_str().map_or_else(|| count.to_string(), |text| format!("({text})"));
        Some(product.map_or_else(|| json!(counts.iter().map(factor).collect::<Vec<_>>().join(" * ")), |product| json!(product)))
    }

    /// A value or an expression; in a layer with lengths of its own the workload's go by other names. Lists in expressions become
    /// variables of the layer.
    pub(super) fn argument(&self, argument: &Argument, rebinds: bool, layer: &mut Map<String, Json>) -> Json {
        match &argument.binding {
            Binding::Known(value) => json_of(value),
            Binding::Workload(residual) => self.expression(&residual.expr, rebinds, layer),
        }
    }

    fn expression(&self, expr: &Expr<WorkloadVar>, rebinds: bool, layer: &mut Map<String, Json>) -> Json {
        match expr {
            Expr::List(items) => Json::Array(items.iter().map(|item| self.expression(item, rebinds, layer)).collect()),
            Expr::Const(value) => json_of(value),
            _ => json!(self.named(expr, rebinds, layer).render(&|name: &String| format!("<{name}>"))),
        }
    }

    /// An expression over names, its fractions quotients (their decimals needn't end).
    fn named(&self, expr: &Expr<WorkloadVar>, rebinds: bool, layer: &mut Map<String, Json>) -> Expr<String> {
        match expr {
            Expr::Const(Value::Number(n)) if !n.is_integer() => quotient(*n),
            Expr::Const(Value::List(_)) | Expr::List(_) => {
                let list = self.expression(expr, rebinds, layer);
                let variables = layer.entry("variables").or_insert_with(|| json!({}));
                let name = format!("_list_{}", variables.as_object().map_or(0, Map::len));
                if let Some(variables) = variables.as_object_mut() {
                    variables.insert(name.clone(), list);
                }
                Expr::Var(name)
            }
            Expr::Const(value) => Expr::Const(value.clone()),
            Expr::Var(variable) => {
                let name = self.checked.workload_name(*variable);
                Expr::Var(if rebinds && LENGTHS.contains(&name) { format!("{WORKLOAD}{name}") } else { name.to_owned() })
            }
            // A branch that is never taken.
            Expr::Fail(_) => Expr::Const(Value::Null),
            Expr::Member(object, path) => Expr::Member(Box::new(self.named(object, rebinds, layer)), path.clone()),
            Expr::Unary(op, operand) => Expr::Unary(*op, Box::new(self.named(operand, rebinds, layer))),
            Expr::Binary(op, pair) => {
                Expr::Binary(*op, Box::new((self.named(&pair.0, rebinds, layer), self.named(&pair.1, rebinds, layer))))
            }
            Expr::Call(function, args) => Expr::Call(*function, args.iter().map(|arg| self.named(arg, rebinds, layer)).collect()),
        }
    }
}

fn quotient(n: Exact) -> Expr<String> {
    let (above, below) = n.parts();
    let constant = |n: i128| Expr::Const(Value::Number(Exact::integer(n)));
    Expr::Binary(BinaryOp::Div, Box::new((constant(above), constant(below))))
}

/// A weight's shape, and its dtype where it says one.
pub(super) fn weight_json(weight: &OwnWeight) -> Json {
    if weight.float32 { json!({ "shape": weight.shape, "dtype": KEPT_DTYPE }) } else { json!(weight.shape) }
}

/// A layer reads the previous sibling unless it says otherwise; it always says so here.
pub(super) fn insert_inputs(layer: &mut Map<String, Json>, inputs: &[String]) {
    layer.insert("inputs".to_owned(), json!(inputs));
}
