//! From a text to an [`Expr`] over names: the tree is evalexpr's, the nodes are ours.

use std::ops::Range;
use std::sync::Arc;

use evalexpr::{Node, Operator, build_operator_tree};

use super::lex::{Lexed, MAX_DEPTH, Operand, lex};
use super::{BinaryOp, Expr, Name, UnaryOp, Value};
use crate::syntax::diag::Code;

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// In brackets: `<batch_size>` or `{batch_size}` (model files).
    Template,
    /// Bare: `batch_size` (class definitions).
    Formula,
}

/// What is wrong with an expression, as a range of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    pub code: Code,
    pub message: String,
    pub range: Range<usize>,
    pub help: Vec<String>,
}

impl ParseError {
    pub(super) fn new(code: Code, message: String, range: Range<usize>) -> Self {
        ParseError { code, message, range, help: Vec::new() }
    }

    pub(super) fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }
}

/// Parses an expression.
///
/// # Errors
/// `MalformedExpression`, `BareName`, `UnbalancedPlaceholder`, `UnknownFunction`, `WrongNumberOfArguments`, `ExpressionTooLarge`, or
/// `Overflow` for a number beyond 128 bits.
pub fn parse(text: &str, syntax: Syntax) -> Result<Expr<Name>, ParseError> {
    let lexed = lex(text, syntax)?;
    let unreadable = || ParseError::new(Code::MalformedExpression, "the expression doesn't parse".to_owned(), 0..text.len());
    // Most formulas are a name or a number, which needs no tree.
    if lexed.text.trim() == "o0" {
        return operand("o0", &lexed).map_err(|_| unreadable());
    }
    let tree = build_operator_tree(&lexed.text).map_err(|_| unreadable())?;
    lower(&tree, &lexed, 0).map_err(|failure| match failure {
        Failure::Shape => unreadable(),
        Failure::Depth => {
            let message = format!("the expression is nested deeper than {MAX_DEPTH} levels");
            ParseError::new(Code::ExpressionTooLarge, message, 0..text.len())
                .help("a chain of operators counts as deep as it is long; give its parts names, as `variables`")
        }
    })
}

enum Failure {
    /// A tree that the lexer should have excluded.
    Shape,
    Depth,
}

fn lower(node: &Node, lexed: &Lexed, depth: usize) -> Result<Expr<Name>, Failure> {
    if depth > MAX_DEPTH {
        return Err(Failure::Depth);
    }
    let binary = |op| match node.children() {
        [a, b] => Ok(Expr::Binary(op, Box::new((lower(a, lexed, depth + 1)?, lower(b, lexed, depth + 1)?)))),
        _ => Err(Failure::Shape),
    };
    let unary = |op| match node.children() {
        [a] => Ok(Expr::Unary(op, Box::new(lower(a, lexed, depth + 1)?))),
        _ => Err(Failure::Shape),
    };
    match node.operator() {
        // A pair of parentheses; it doesn't count as a level of its own.
        Operator::RootNode => match node.children() {
            [inner] => lower(inner, lexed, depth),
            _ => Err(Failure::Shape),
        },
        Operator::VariableIdentifierRead { identifier } => operand(identifier, lexed),
        Operator::FunctionIdentifier { identifier } => {
            let index: usize = identifier.get(1..).and_then(|n| n.parse().ok()).ok_or(Failure::Shape)?;
            let function = *lexed.functions.get(index).ok_or(Failure::Shape)?;
            let args = arguments(node).into_iter().map(|arg| lower(arg, lexed, depth + 1)).collect::<Result<_, _>>()?;
            Ok(Expr::Call(function, args))
        }
        Operator::Add => binary(BinaryOp::Add),
        Operator::Sub => binary(BinaryOp::Sub),
        Operator::Mul => binary(BinaryOp::Mul),
        Operator::Div => binary(BinaryOp::Div),
        Operator::Mod => binary(BinaryOp::Rem),
        Operator::Exp => binary(BinaryOp::Pow),
        Operator::Eq => binary(BinaryOp::Eq),
        Operator::Neq => binary(BinaryOp::Ne),
        Operator::Lt => binary(BinaryOp::Lt),
        Operator::Leq => binary(BinaryOp::Le),
        Operator::Gt => binary(BinaryOp::Gt),
        Operator::Geq => binary(BinaryOp::Ge),
        Operator::And => binary(BinaryOp::And),
        Operator::Or => binary(BinaryOp::Or),
        Operator::Neg => unary(UnaryOp::Neg),
        Operator::Not => unary(UnaryOp::Not),
        _ => Err(Failure::Shape),
    }
}

/// evalexpr puts a function's arguments into a tuple in parentheses, a single one into parentheses alone.
fn arguments(call: &Node) -> Vec<&Node> {
    let [parentheses] = call.children() else {
        return Vec::new();
    };
    match parentheses.children() {
        [tuple] if matches!(tuple.operator(), Operator::Tuple) => tuple.children().iter().collect(),
        [single] => vec![single],
        _ => Vec::new(),
    }
}

fn operand(identifier: &str, lexed: &Lexed) -> Result<Expr<Name>, Failure> {
    let index: usize = identifier.get(1..).and_then(|n| n.parse().ok()).ok_or(Failure::Shape)?;
    Ok(match lexed.operands.get(index).ok_or(Failure::Shape)? {
        Operand::Const(value) => Expr::Const(Value::clone(value)),
        Operand::Var(name, members) if members.is_empty() => Expr::Var(name.clone()),
        Operand::Var(name, members) => Expr::Member(Box::new(Expr::Var(name.clone())), Vec::<Arc<str>>::clone(members)),
    })
}
