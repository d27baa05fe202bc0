//! Expressions on their own: what stands in a model file's strings.

use std::fmt;
use std::ops::Range;

use crate::syntax::expr::{EvalError, Expr, Name, Syntax, Value, eval, parse};
use crate::syntax::stack::deep;

/// An expression of the model language, `<hidden_size> / <num_attention_heads>`, computed exactly.
///
/// ```
/// use layerspec::{Expression, Value};
///
/// let heads = Expression::parse("<hidden_size> / 128")?;
/// let value = heads.evaluate(&|name| (name == "hidden_size").then(|| Value::count(4096)))?;
/// assert_eq!(value, Value::count(32));
/// # Ok::<(), layerspec::ExpressionError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Expression(Expr<Name>);

/// Why an expression can't be read, or has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionError {
    /// What is wrong, in words.
    pub message: String,
    /// Where in the text, if it is the text that is wrong: byte offsets.
    pub range: Option<Range<usize>>,
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ExpressionError {}

impl Expression {
    /// Reads an expression whose names stand in brackets, as in model files.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        Self::read(text, Syntax::Template)
    }

    /// Reads a formula whose names are bare, as in class files.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn formula(text: &str) -> Result<Self, ExpressionError> {
        Self::read(text, Syntax::Formula)
    }

    fn read(text: &str, syntax: Syntax) -> Result<Self, ExpressionError> {
        let failed =
            |error: crate::syntax::expr::ParseError| ExpressionError { message: error.message, range: Some(error.range) };
        deep(|| parse(text, syntax)).map(Expression).map_err(failed)
    }

    /// Its value where `variable` gives those of its names.
    ///
    /// # Errors
    /// A name without a value, an operation that isn't defined, a number beyond 128 bits.
    pub fn evaluate(&self, variable: &dyn Fn(&str) -> Option<Value>) -> Result<Value, ExpressionError> {
        let env = |name: &Name| variable(&name.text).ok_or_else(|| EvalError::Unknown(name.text.clone()));
        let failed = |error: EvalError| ExpressionError { message: error.to_string(), range: None };
        deep(|| eval(&self.0, &env, 0)).map_err(failed)
    }

    /// The names that it uses, from left to right.
    #[must_use]
    pub fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.0.for_each_variable(&mut |name: &Name| names.push(&*name.text));
        names
    }

    /// The expression as one would write it, each name as `show` has it: its value, say. What stands in for a name keeps its meaning: a
    /// negative number gets parentheses where it needs them.
    ///
    /// ```
    /// use layerspec::Expression;
    ///
    /// let heads = Expression::parse("<hidden_size> / <head_dim>")?;
    /// assert_eq!(heads.render(&|name| if name == "head_dim" { "128".to_owned() } else { "4096".to_owned() }), "4096 / 128");
    /// # Ok::<(), layerspec::ExpressionError>(())
    /// ```
    #[must_use]
    pub fn render(&self, show: &dyn Fn(&str) -> String) -> String {
        deep(|| self.0.render(&|name: &Name| show(&name.text)))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&|name| format!("<{name}>")))
    }
}
