//! Expressions: text in, values out, exactly.
//!
//! `lex` and `parse` turn a text into an [`Expr`] whose variables are of some type `V`; each phase has its own: names as they are spelt,
//! then workload variables only, then slots of a class definition. `eval` computes with them over exact rationals.

mod apply;
mod domain;
mod error;
mod eval;
mod functions;
mod lex;
mod parse;
mod plain;
mod shortcut;
mod tree;
mod value;

pub use crate::quantity::Exact;
pub use apply::{apply_binary, apply_function, apply_unary, expected_millionths, member};
pub use domain::{Domain, Env, MAX_EVAL_DEPTH, Plain};
pub use error::EvalError;
pub use eval::{eval, eval_in};
pub use functions::Function;
pub use lex::{Interpolated, Piece, Placeholder, interpolate, is_name, is_reserved, looks_like_template};
pub use parse::{ParseError, Syntax, parse};
pub use tree::{BinaryOp, Expr, Name, UnaryOp};
pub use value::{MOST_VALUES, Value, json_of, value_of};
