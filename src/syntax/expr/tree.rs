//! What an expression is: a tree over variables of some type.

use std::sync::Arc;

use super::error::EvalError;
use super::functions::Function;
use super::value::Value;

/// An expression over variables of type `V`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Expr<V> {
    Const(Value),
    Var(V),
    /// `<a.b.c>`: members of an object.
    Member(Box<Expr<V>>, Vec<Arc<str>>),
    Unary(UnaryOp, Box<Expr<V>>),
    Binary(BinaryOp, Box<(Expr<V>, Expr<V>)>),
    Call(Function, Vec<Expr<V>>),
    /// A JSON list with expressions in it; the parser makes none.
    List(Vec<Expr<V>>),
    /// What was wrong was said already, or is said only if this branch is taken.
    Fail(EvalError),
}

/// A name as it is spelt, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    pub text: Arc<str>,
    /// Byte offsets of the name itself, without brackets and members.
    pub start: u32,
    pub end: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    Neg,
    Not,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Pow,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
}

impl BinaryOp {
    /// A symbol before those that it begins with.
    pub(super) const ALL: [BinaryOp; 14] = [
        BinaryOp::Eq,
        BinaryOp::Ne,
        BinaryOp::Le,
        BinaryOp::Ge,
        BinaryOp::And,
        BinaryOp::Or,
        BinaryOp::Lt,
        BinaryOp::Gt,
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Rem,
        BinaryOp::Pow,
    ];

    /// Whether what it gives is true or false.
    pub(super) fn is_condition(self) -> bool {
        matches!(
            self,
            BinaryOp::Or
                | BinaryOp::And
                | BinaryOp::Eq
                | BinaryOp::Ne
                | BinaryOp::Lt
                | BinaryOp::Le
                | BinaryOp::Gt
                | BinaryOp::Ge
        )
    }

    /// How tightly it binds.
    pub(super) fn precedence(self) -> u8 {
        match self {
            BinaryOp::Or => 1,
            BinaryOp::And => 2,
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => 3,
            BinaryOp::Add | BinaryOp::Sub => 4,
            BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem => 5,
            BinaryOp::Pow => 7,
        }
    }

    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Rem => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::And => "&&",
            BinaryOp::Or => "||",
        }
    }
}

/// How tightly a sign binds: less than a power, more than a product.
pub(super) const SIGN: u8 = 6;

/// A value's text as an operand: a negative number is a sign and a number.
fn bound(text: String, around: u8) -> String {
    if SIGN < around && text.starts_with('-') { format!("({text})") } else { text }
}

impl<V> Expr<V> {
    /// The expression as one would write it, with variables as `show` gives them: their names, or their values.
    #[must_use]
    pub fn render(&self, show: &dyn Fn(&V) -> String) -> String {
        self.render_in(0, show)
    }

    fn render_in(&self, around: u8, show: &dyn Fn(&V) -> String) -> String {
        match self {
            Expr::Const(value) => bound(value.to_string(), around),
            Expr::Var(variable) => bound(show(variable), around),
            Expr::Member(object, path) => {
                let members: String = path.iter().map(|key| format!(".{key}")).collect();
                format!("{}{members}", object.render_in(u8::MAX, show))
            }
            Expr::Unary(op, operand) => {
                let sign = if *op == UnaryOp::Neg { '-' } else { '!' };
                let text = format!("{sign}{}", operand.render_in(SIGN, show));
                if SIGN < around { format!("({text})") } else { text }
            }
            Expr::Binary(op, pair) => {
                let own = op.precedence();
                // The right operand of the same precedence needs parentheses: a - (b - c). Of a power both do: it has no side.
                let left = if *op == BinaryOp::Pow { own + 1 } else { own };
                let text = format!("{} {} {}", pair.0.render_in(left, show), op.symbol(), pair.1.render_in(own + 1, show));
                if own < around { format!("({text})") } else { text }
            }
            Expr::Call(function, args) => {
                let args: Vec<String> = args.iter().map(|arg| arg.render_in(0, show)).collect();
                format!("{}({})", function.name(), args.join(", "))
            }
            Expr::List(items) => {
                let items: Vec<String> = items.iter().map(|item| item.render_in(0, show)).collect();
                format!("[{}]", items.join(", "))
            }
            Expr::Fail(_) => "?".to_owned(),
        }
    }

    /// How many nodes the expression has.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Expr::Const(_) | Expr::Var(_) | Expr::Fail(_) => 1,
            Expr::Member(e, _) | Expr::Unary(_, e) => 1 + e.size(),
            Expr::Binary(_, pair) => 1 + pair.0.size() + pair.1.size(),
            Expr::Call(_, args) | Expr::List(args) => 1 + args.iter().map(Expr::size).sum::<usize>(),
        }
    }

    /// Calls `visit` with every variable, from left to right.
    pub fn for_each_variable<'a>(&'a self, visit: &mut dyn FnMut(&'a V)) {
        match self {
            Expr::Const(_) | Expr::Fail(_) => {}
            Expr::Var(v) => visit(v),
            Expr::Member(e, _) | Expr::Unary(_, e) => e.for_each_variable(visit),
            Expr::Binary(_, pair) => {
                pair.0.for_each_variable(visit);
                pair.1.for_each_variable(visit);
            }
            Expr::Call(_, args) | Expr::List(args) => args.iter().for_each(|e| e.for_each_variable(visit)),
        }
    }

    /// The same expression over other variables.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_map<W, E>(&self, f: &mut dyn FnMut(&V) -> Result<W, E>) -> Result<Expr<W>, E> {
        Ok(match self {
            Expr::Const(v) => Expr::Const(v.clone()),
            Expr::Var(v) => Expr::Var(f(v)?),
            Expr::Member(e, path) => Expr::Member(Box::new(e.try_map(f)?), path.clone()),
            Expr::Unary(op, e) => Expr::Unary(*op, Box::new(e.try_map(f)?)),
            Expr::Binary(op, pair) => Expr::Binary(*op, Box::new((pair.0.try_map(f)?, pair.1.try_map(f)?))),
            Expr::Call(function, args) => Expr::Call(*function, args.iter().map(|e| e.try_map(f)).collect::<Result<_, E>>()?),
            Expr::List(items) => Expr::List(items.iter().map(|e| e.try_map(f)).collect::<Result<_, E>>()?),
            Expr::Fail(error) => Expr::Fail(error.clone()),
        })
    }
}
