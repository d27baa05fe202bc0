//! What the evaluator computes with: exact values, or something else that stands for them.
//!
//! The evaluator knows which operation comes when and which operand isn't looked at; a [`Domain`] knows what its values are. [`Plain`] has
//! [`Value`]s, and is what a single compile runs on; a second one has polynomials over a workload's variables (`program`).

use std::fmt::{Debug, Display};
use std::sync::Arc;

use super::error::EvalError;
use super::{BinaryOp, Expr, Function, UnaryOp, Value};

/// Values, and what the operations of the expression language are over them.
pub trait Domain: Clone + Debug {
    /// What an expression has as its value.
    type Value: Clone + Debug;
    /// What a condition comes to.
    type Truth: Clone + Debug;

    /// A constant.
    fn constant(&self, value: &Value) -> Self::Value;

    /// The constant that a value is. `None`: it stands for several.
    fn plain<'v>(&self, value: &'v Self::Value) -> Option<&'v Value>;

    /// What a condition comes to; `operation` is who asks, for the error.
    ///
    /// # Errors
    /// `Type` for what is neither true nor false.
    fn truth(&self, operation: impl Display, value: &Self::Value) -> Result<Self::Truth, EvalError>;

    /// Whether a condition holds, if that is known.
    fn decided(&self, truth: &Self::Truth) -> Option<bool>;

    /// A condition as a value.
    fn of_truth(&self, truth: Self::Truth) -> Self::Value;

    /// The one of two values that an undecided condition chooses. What fails is wrong only where it is chosen.
    ///
    /// # Errors
    /// Both fail.
    fn select(
        &self,
        test: &Self::Truth,
        then: Result<Self::Value, EvalError>,
        otherwise: Result<Self::Value, EvalError>,
    ) -> Result<Self::Value, EvalError>;

    /// What is made where an undecided condition holds, or doesn't: what is found out meanwhile is known only there.
    fn within<T>(&self, _test: &Self::Truth, _holds: bool, make: impl FnOnce() -> T) -> T {
        make()
    }

    /// A value that is made once and kept for whoever asks, wherever they do.
    ///
    /// # Errors
    /// Those of `make`.
    fn kept(&self, make: impl FnOnce() -> Result<Self::Value, EvalError>) -> Result<Self::Value, EvalError> {
        make()
    }

    /// Whether a value isn't null.
    fn is_present(&self, value: &Self::Value) -> Self::Truth;

    /// Whether two values are the same.
    fn equal(&self, a: &Self::Value, b: &Self::Value) -> Self::Truth;

    /// A member of an object.
    ///
    /// # Errors
    /// As [`member`].
    fn member(&self, object: Self::Value, path: &[Arc<str>]) -> Result<Self::Value, EvalError>;

    /// # Errors
    /// As [`apply_unary`].
    fn unary(&self, op: UnaryOp, value: &Self::Value) -> Result<Self::Value, EvalError>;

    /// An operator both of whose operands are looked at.
    ///
    /// # Errors
    /// As [`apply_binary`].
    fn binary(&self, op: BinaryOp, a: &Self::Value, b: &Self::Value) -> Result<Self::Value, EvalError>;

    /// A function all of whose arguments are looked at.
    ///
    /// # Errors
    /// As [`apply_function`].
    fn call(&self, function: Function, args: &[Self::Value]) -> Result<Self::Value, EvalError>;

    /// Values in an order.
    fn list(&self, items: Vec<Self::Value>) -> Self::Value;

    /// The value of an expression by a shorter way than step by step. `None`: there is none.
    fn integer<V>(&self, _expr: &Expr<V>, _env: &dyn Env<V, Self>, _depth: u16) -> Option<i128> {
        None
    }

    /// The same of a constant, a condition, or an integer.
    fn short<V>(&self, _expr: &Expr<V>, _env: &dyn Env<V, Self>, _depth: u16) -> Option<Self::Value> {
        None
    }

    /// Whether a condition holds, by a shorter way. `None`: there is none.
    fn condition<V>(&self, _expr: &Expr<V>, _env: &dyn Env<V, Self>, _depth: u16) -> Option<bool> {
        None
    }
}

/// Exact values, each known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

/// Gives variables their values.
pub trait Env<V, D: Domain = Plain> {
    /// `depth` counts the expressions around this one: a variable with a definition of its own evaluates it with that depth.
    ///
    /// # Errors
    /// What the variable's own definition runs into.
    fn value(&self, variable: &V, depth: u16) -> Result<D::Value, EvalError>;

    /// The variable's value where it is kept: nothing is copied then. `None`: ask for the value, which also says what is wrong.
    fn look(&self, _variable: &V, _depth: u16) -> Option<&D::Value> {
        None
    }
}

impl<V, D: Domain, F: Fn(&V) -> Result<D::Value, EvalError>> Env<V, D> for F {
    fn value(&self, variable: &V, _depth: u16) -> Result<D::Value, EvalError> {
        self(variable)
    }
}

/// How deep expressions and the definitions of their variables may be nested together: bounds the stack.
pub const MAX_EVAL_DEPTH: u16 = 300;
