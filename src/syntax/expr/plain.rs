//! Exact values as a domain.

use std::fmt::Display;
use std::sync::Arc;

use super::apply::{apply_binary, apply_function, apply_unary, condition, member};
use super::domain::{Domain, Env, Plain};
use super::error::EvalError;
use super::shortcut::{eval_condition, eval_integer, eval_short};
use super::{BinaryOp, Expr, Function, UnaryOp, Value};

impl Domain for Plain {
    type Value = Value;
    type Truth = bool;

    #[inline]
    fn constant(&self, value: &Value) -> Value {
        value.clone()
    }

    #[inline]
    fn plain<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        Some(value)
    }

    #[inline]
    fn truth(&self, operation: impl Display, value: &Value) -> Result<bool, EvalError> {
        condition(operation, value)
    }

    #[inline]
    fn decided(&self, truth: &bool) -> Option<bool> {
        Some(*truth)
    }

    #[inline]
    fn of_truth(&self, truth: bool) -> Value {
        Value::Bool(truth)
    }

    #[inline]
    fn select(
        &self,
        test: &bool,
        then: Result<Value, EvalError>,
        otherwise: Result<Value, EvalError>,
    ) -> Result<Value, EvalError> {
        if *test { then } else { otherwise }
    }

    #[inline]
    fn is_present(&self, value: &Value) -> bool {
        *value != Value::Null
    }

    #[inline]
    fn equal(&self, a: &Value, b: &Value) -> bool {
        a == b
    }

    #[inline]
    fn member(&self, object: Value, path: &[Arc<str>]) -> Result<Value, EvalError> {
        member(object, path)
    }

    #[inline]
    fn unary(&self, op: UnaryOp, value: &Value) -> Result<Value, EvalError> {
        apply_unary(op, value)
    }

    #[inline]
    fn binary(&self, op: BinaryOp, a: &Value, b: &Value) -> Result<Value, EvalError> {
        apply_binary(op, a, b)
    }

    #[inline]
    fn call(&self, function: Function, args: &[Value]) -> Result<Value, EvalError> {
        apply_function(function, args)
    }

    #[inline]
    fn list(&self, items: Vec<Value>) -> Value {
        Value::List(items.into())
    }

    #[inline]
    fn integer<V>(&self, expr: &Expr<V>, env: &dyn Env<V>, depth: u16) -> Option<i128> {
        eval_integer(expr, env, depth)
    }

    #[inline]
    fn short<V>(&self, expr: &Expr<V>, env: &dyn Env<V>, depth: u16) -> Option<Value> {
        eval_short(expr, env, depth)
    }

    #[inline]
    fn condition<V>(&self, expr: &Expr<V>, env: &dyn Env<V>, depth: u16) -> Option<bool> {
        eval_condition(expr, env, depth)
    }
}
