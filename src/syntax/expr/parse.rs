//! From a text to an [`Expr`] over names: what binds to what.

use std::iter::Peekable;
use std::ops::Range;
use std::vec::IntoIter;

use super::functions::Function;
use super::lex::{MAX_DEPTH, Token, lex};
use super::tree::{Expr, Name, SIGN};
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
    let mut parser = Parser { tokens: lex(text, syntax)?.into_iter().peekable() };
    parser.expression(0).map(|tree| tree.expr).map_err(|failure| match failure {
        Failure::Shape => ParseError::new(Code::MalformedExpression, "the expression doesn't parse".to_owned(), 0..text.len()),
        Failure::Depth => {
            let message = format!("the expression is nested deeper than {MAX_DEPTH} levels");
            ParseError::new(Code::ExpressionTooLarge, message, 0..text.len())
                .help("a chain of operators counts as deep as it is long; give its parts names, as `variables`")
        }
    })
}

enum Failure {
    /// Tokens in an order that the lexer should have excluded.
    Shape,
    Depth,
}

/// An expression, and how many levels are below its topmost; parentheses are none.
struct Tree {
    expr: Expr<Name>,
    depth: usize,
}

impl Tree {
    fn leaf(expr: Expr<Name>) -> Self {
        Tree { expr, depth: 0 }
    }

    /// Something over others, the deepest of which has so many levels below it.
    fn over(expr: Expr<Name>, deepest: usize) -> Result<Self, Failure> {
        if deepest >= MAX_DEPTH { Err(Failure::Depth) } else { Ok(Tree { expr, depth: deepest + 1 }) }
    }
}

/// Climbs precedences: operators of the same group from the left.
struct Parser {
    tokens: Peekable<IntoIter<Token>>,
}

impl Parser {
    /// What stands here, as far as operators bind at least so tightly.
    fn expression(&mut self, least: u8) -> Result<Tree, Failure> {
        let mut left = self.operand()?;
        while let Some(Token::Binary(op)) = self.tokens.peek() {
            let op = *op;
            if op.precedence() < least {
                break;
            }
            self.tokens.next();
            let right = self.expression(op.precedence() + 1)?;
            let deepest = left.depth.max(right.depth);
            left = Tree::over(Expr::Binary(op, Box::new((left.expr, right.expr))), deepest)?;
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Tree, Failure> {
        match self.tokens.next().ok_or(Failure::Shape)? {
            Token::Const(value) => Ok(Tree::leaf(Expr::Const(value))),
            Token::Var(name, members) if members.is_empty() => Ok(Tree::leaf(Expr::Var(name))),
            Token::Var(name, members) => Ok(Tree::leaf(Expr::Member(Box::new(Expr::Var(name)), members))),
            Token::Sign(op) => {
                let Tree { expr, depth } = self.expression(SIGN + 1)?;
                Tree::over(Expr::Unary(op, Box::new(expr)), depth)
            }
            Token::Open => {
                let inner = self.expression(0)?;
                self.close(inner)
            }
            Token::Call(function) => self.call(function),
            Token::Close | Token::Comma | Token::Binary(_) => Err(Failure::Shape),
        }
    }

    fn close<T>(&mut self, inner: T) -> Result<T, Failure> {
        if matches!(self.tokens.next(), Some(Token::Close)) { Ok(inner) } else { Err(Failure::Shape) }
    }

    fn call(&mut self, function: Function) -> Result<Tree, Failure> {
        let (mut args, mut deepest) = (Vec::new(), 0);
        self.tokens.next_if(|token| matches!(token, Token::Open)).ok_or(Failure::Shape)?;
        if self.tokens.next_if(|token| matches!(token, Token::Close)).is_some() {
            return Ok(Tree::leaf(Expr::Call(function, args)));
        }
        loop {
            let argument = self.expression(0)?;
            deepest = deepest.max(argument.depth);
            args.push(argument.expr);
            if self.tokens.next_if(|token| matches!(token, Token::Comma)).is_none() {
                break;
            }
        }
        let call = Tree::over(Expr::Call(function, args), deepest)?;
        self.close(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::expr::UnaryOp;

    /// An expression with all its parentheses.
    fn grouped(expr: &Expr<Name>) -> String {
        match expr {
            Expr::Var(name) => name.text.to_string(),
            Expr::Unary(UnaryOp::Neg, inner) => format!("(-{})", grouped(inner)),
            Expr::Unary(UnaryOp::Not, inner) => format!("(!{})", grouped(inner)),
            Expr::Binary(op, pair) => format!("({}{}{})", grouped(&pair.0), op.symbol(), grouped(&pair.1)),
            Expr::Call(_, args) => args.iter().map(grouped).collect::<Vec<_>>().join(","),
            other => panic!("{other:?}"),
        }
    }

    /// As in mathematics and in C, a sign between powers and products.
    #[test]
    fn what_binds_to_what() {
        for (text, wanted) in [
            ("a - b - c", "((a-b)-c)"),
            ("a / b * c % d", "(((a/b)*c)%d)"),
            ("a + b * c ^ d", "(a+(b*(c^d)))"),
            ("-a ^ b", "(-(a^b))"),
            ("-a * b", "((-a)*b)"),
            ("a ^ -b * c", "((a^(-b))*c)"),
            ("a * -b + c", "((a*(-b))+c)"),
            ("!a == b && c", "(((!a)==b)&&c)"),
            ("a || b && c == d + e", "(a||(b&&(c==(d+e))))"),
            ("a < b == c", "((a<b)==c)"),
            ("(a - (b - c)) ^ d", "((a-(b-c))^d)"),
            ("- - !a", "(-(-(!a)))"),
            ("max(a + b, (c), d) * e", "((a+b),c,d*e)"),
        ] {
            assert_eq!(grouped(&parse(text, Syntax::Formula).unwrap()), wanted, "{text}");
        }
    }
}
