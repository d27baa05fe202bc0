//! Why a layer costs what it does: each quantity's formula, with the values that it saw.
//!
//! A row's signature comes in, [`Reasons`] go out. The figures and what they are made of are `cost`'s; here is only how it's told.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalog::{Class, Formula, ShapeDef, Slot};
use crate::cost::bind::Signature;
use crate::cost::rules::{Over, Rule, Sum, rule};
use crate::cost::{Evaluated, LayerEnv, Problem, Tensor, evaluate};
use crate::quantity::workload::{BUILTINS, Phase, VARIABLES, WEIGHT_DTYPE_BYTES};
use crate::quantity::{QUANTITIES, Quantity, QuantityInfo};
use crate::syntax::expr::{Env, Exact, Value};

/// All that a layer's cost is made of.
#[derive(Debug)]
pub struct Reasons<'c> {
    /// What the layer is given.
    pub parameters: Vec<Given<'c>>,
    /// The tensors that it owns.
    pub weights: Vec<Tensor>,
    /// In the order of [`QUANTITIES`].
    pub quantities: Vec<Reason<'c>>,
}

/// A parameter and its value.
#[derive(Debug)]
pub struct Given<'c> {
    /// Its name.
    pub name: &'c str,
    /// `None`: nothing asks for it, and its default has no value here.
    pub value: Option<Value>,
    /// The default that it is; `None`: the layer says it.
    pub default: Option<&'c Formula>,
    /// Bits a weight, scales included, where a weight's bytes are those of a quantized one.
    pub quantized_bits: Option<Exact>,
}

/// Why a quantity is what it is.
#[derive(Debug)]
pub struct Reason<'c> {
    /// Which quantity.
    pub info: &'static QuantityInfo,
    /// How it comes about.
    pub because: Because<'c>,
    /// The class's variables that were asked for, innermost first.
    pub steps: Vec<Step<'c>>,
    /// What comes out.
    pub result: u128,
}

/// How a quantity comes about.
#[derive(Debug)]
pub enum Because<'c> {
    /// A formula of the class, and the same with the values put in.
    Formula {
        /// As the class has it.
        formula: &'c Formula,
        /// The same with the values put in.
        with_values: String,
    },
    /// A sum over tensors.
    Sum {
        /// Over what, in words.
        of: &'static str,
        /// The shares.
        terms: Vec<Term<'c>>,
    },
}

/// A tensor's share in a sum: its elements, times the bytes of one.
#[derive(Debug)]
pub struct Term<'c> {
    /// The tensor.
    pub name: Arc<str>,
    /// As the class has it; `None`: the layer says its shape itself.
    pub shape: Option<&'c ShapeDef>,
    /// Its shape.
    pub dims: Vec<u128>,
    /// Bytes of one element; `None`: elements are counted.
    pub bytes: Option<Exact>,
    /// Bytes besides those of its elements: codebooks.
    pub besides: u128,
}

/// A variable of the class.
#[derive(Debug)]
pub struct Step<'c> {
    /// The variable.
    pub name: &'c str,
    /// Its definition.
    pub formula: &'c Formula,
    /// The same with the values put in.
    pub with_values: String,
    /// Its value.
    pub result: String,
}

/// Finds out how a layer's cost comes about.
///
/// # Errors
/// What keeps a formula from having a value.
pub fn reasons<'c>(signature: &'c Signature, builtins: &'c [Value], phase: Phase) -> Result<Reasons<'c>, Problem> {
    let phase = signature.phase(phase);
    let Evaluated { cost, tensors, .. } = evaluate(signature, builtins, phase)?;
    let asked = Asked { signature, builtins, tensors: &tensors };
    let mut quantities = Vec::new();
    for info in QUANTITIES.iter().filter(|info| phase == Phase::Train || !info.train_only) {
        if let Some((because, steps)) = asked.because(info.quantity)? {
            quantities.push(Reason { info, because, steps, result: cost.cost().get(info.quantity) });
        }
    }
    Ok(Reasons { parameters: asked.parameters()?, quantities, weights: tensors.into() })
}

struct Asked<'c, 't> {
    signature: &'c Signature,
    builtins: &'c [Value],
    tensors: &'t [Tensor],
}

type Found<'c> = (Because<'c>, Vec<Step<'c>>);

impl<'c> Asked<'c, '_> {
    /// The class's names, of which nothing but what the layer says has been asked for.
    fn env(&self, class: &'c Class) -> LayerEnv<'c> {
        LayerEnv::new(class, self.signature, LayerEnv::builtins(self.signature, self.builtins))
    }

    fn parameters(&self) -> Result<Vec<Given<'c>>, Problem> {
        let Some(class) = &self.signature.class else { return Ok(Vec::new()) };
        let env = self.env(class);
        let given = |at: usize| self.signature.arguments.iter().any(|(position, _)| usize::from(position) == at);
        let parameters = class.parameters.iter().enumerate().map(|(at, parameter)| Given {
            name: &parameter.name,
            value: slot_at(at).and_then(|slot| env.value(&slot, 0).ok()),
            default: parameter.default.as_ref().filter(|_| !given(at)),
            quantized_bits: None,
        });
        // A layer's own `dtype_bytes` and the like.
        let overrides = self.signature.overrides.iter().filter_map(|(slot, value)| {
            let (name, _) = VARIABLES.get(usize::from(*slot))?;
            let is_quantized = usize::from(*slot) == WEIGHT_DTYPE_BYTES && self.signature.quantized.is_some();
            let bits = value.as_number().filter(|_| is_quantized).and_then(|bytes| bytes.checked_mul(Exact::integer(8)));
            Some(Given { name, value: Some(value.clone()), default: None, quantized_bits: bits })
        });
        Ok(parameters.chain(overrides).collect())
    }

    /// Why a quantity is what it is; `None`: the class has nothing to do with it, or nothing of its own to say.
    fn because(&self, quantity: Quantity) -> Result<Option<Found<'c>>, Problem> {
        let class = self.signature.class.as_deref();
        match (rule(class, quantity), class) {
            (Rule::Formula(formula, _), Some(class)) => self.formula(class, formula).map(Some),
            (Rule::Sum(Sum { over: Over::WeightElements, words }), _) => self.weights(words, false).map(Some),
            (Rule::Sum(Sum { over: Over::WeightBytes, words }), _) => self.weights(words, true).map(Some),
            (Rule::Sum(Sum { over, words }), Some(class)) => self.values(class, over, words).map(Some),
            _ => Ok(None),
        }
    }

    fn formula(&self, class: &'c Class, formula: &'c Formula) -> Result<Found<'c>, Problem> {
        let env = self.env(class);
        env.value_of(formula)?;
        let mut slots = Vec::new();
        formula.expr.for_each_variable(&mut |slot| slots.push(*slot));
        let steps = steps(class, &env, slots);
        Ok((Because::Formula { formula, with_values: env.render(formula) }, steps))
    }

    fn weights(&self, of: &'static str, bytes: bool) -> Result<Found<'c>, Problem> {
        let class = self.signature.class.as_deref().filter(|_| self.signature.weights.is_none());
        let shape = |name: &str| class?.weights.iter().find(|weight| *weight.name == *name).map(|weight| &weight.shape);
        let term = |tensor: &Tensor| Term {
            name: tensor.name.clone(),
            shape: shape(&tensor.name),
            dims: tensor.shape.clone(),
            bytes: bytes.then_some(tensor.element_bytes),
            besides: if bytes { tensor.besides() } else { 0 },
        };
        let terms: Vec<Term<'c>> = self.tensors.iter().map(term).collect();
        let Some(class) = class else { return Ok((Because::Sum { of, terms }, Vec::new())) };
        let env = self.env(class);
        let shapes: Vec<&ShapeDef> = terms.iter().filter_map(|term| term.shape).collect();
        shapes.iter().try_for_each(|shape| env.shape(shape).map(drop))?;
        let steps = steps(class, &env, slots_in(class, &shapes));
        Ok((Because::Sum { of, terms }, steps))
    }

    /// Inputs or outputs.
    fn values(&self, class: &'c Class, over: Over<'c>, of: &'static str) -> Result<Found<'c>, Problem> {
        let env = self.env(class);
        let values = env.summed(over)?;
        let shapes: Vec<&ShapeDef> = values.iter().map(|value| &value.def.shape).collect();
        let steps = steps(class, &env, slots_in(class, &shapes));
        let terms = values.into_iter().map(|value| Term {
            name: value.def.name.clone(),
            shape: Some(&value.def.shape),
            dims: value.dims,
            bytes: Some(value.element_bytes),
            besides: 0,
        });
        Ok((Because::Sum { of, terms: terms.collect() }, steps))
    }
}

fn slots_in(class: &Class, shapes: &[&ShapeDef]) -> Vec<Slot> {
    let mut slots = Vec::new();
    shapes.iter().for_each(|shape| shape_slots(class, shape, &mut slots));
    slots
}

/// The names in a shape; `...` stands for the class's `tokens`.
fn shape_slots(class: &Class, shape: &ShapeDef, slots: &mut Vec<Slot>) {
    for formula in shape.formulas() {
        formula.expr.for_each_variable(&mut |slot| slots.push(*slot));
    }
    if shape.leads() {
        slots.extend(class.tokens);
    }
}

/// The class's variables behind some names, innermost first: those that were asked for, and not those of a branch that wasn't taken.
fn steps<'c>(class: &'c Class, env: &LayerEnv<'c>, slots: Vec<Slot>) -> Vec<Step<'c>> {
    let (mut seen, mut order) = (HashSet::new(), Vec::new());
    let asked: HashSet<Slot> = slots_of(class).filter(|slot| env.is_known(*slot)).collect();
    slots.into_iter().for_each(|slot| visit(slot, class, &asked, &mut seen, &mut order));
    let step = |slot: Slot| {
        let (name, formula) = variable(class, slot)?;
        let result = env.value(&slot, 0).map_or_else(|_| "?".to_owned(), |value| value.to_string());
        Some(Step { name, formula, with_values: env.render(formula), result })
    };
    order.into_iter().filter_map(step).collect()
}

/// Depth first; as deep as the evaluation that asked for them was.
fn visit(slot: Slot, class: &Class, asked: &HashSet<Slot>, seen: &mut HashSet<Slot>, order: &mut Vec<Slot>) {
    if !asked.contains(&slot) || !seen.insert(slot) {
        return;
    }
    let mut uses = Vec::new();
    definition(class, slot).iter().for_each(|formula| formula.expr.for_each_variable(&mut |slot| uses.push(*slot)));
    uses.into_iter().for_each(|slot| visit(slot, class, asked, seen, order));
    order.push(slot);
}

/// The slot of a parameter, or after those of a variable.
fn slot_at(at: usize) -> Option<Slot> {
    u16::try_from(BUILTINS + at).ok().map(Slot)
}

fn slots_of(class: &Class) -> impl Iterator<Item = Slot> {
    (0..class.parameters.len() + class.variables.len()).filter_map(slot_at)
}

fn position(slot: Slot) -> Option<usize> {
    usize::from(slot.0).checked_sub(BUILTINS)
}

fn variable(class: &Class, slot: Slot) -> Option<(&str, &Formula)> {
    let at = position(slot)?.checked_sub(class.parameters.len())?;
    class.variables.get(at).map(|(name, formula)| (&**name, formula))
}

fn definition(class: &Class, slot: Slot) -> Option<&Formula> {
    match class.parameters.get(position(slot)?) {
        Some(parameter) => parameter.default.as_ref(),
        None => variable(class, slot).map(|(_, formula)| formula),
    }
}
