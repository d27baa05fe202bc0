//! Reads formulas: texts whose names become slots, and constants that need no text.

use std::sync::Arc;

use super::reader::Reader;
use super::tokens::{TOKENS, TOKENS_HELP};
use crate::catalog::class::formula::{Formula, Slot};
use crate::syntax::diag::{Code, Diagnostic, nearest};
use crate::syntax::expr::{self, EvalError, Exact, Expr, Name, Syntax, Value};
use crate::syntax::json::{Json, Member, Node};
use crate::syntax::source::Span;
use crate::syntax::spec::{Fields, name_part, syntax_error};

impl Reader<'_> {
    pub(super) fn part(&mut self, fields: Option<&Fields<'_>>, name: &str) -> Option<Formula> {
        fields.and_then(|f| f.get(name)).and_then(|n| self.formula(n, None))
    }

    pub(super) fn formula(&mut self, node: &Node, outside: Option<&str>) -> Option<Formula> {
        let constant = |value: Value| Some(Formula { span: node.span, text: value.to_string().into(), expr: Expr::Const(value) });
        match &node.json {
            Json::Null => constant(Value::Null),
            Json::Bool(value) => constant(Value::Bool(*value)),
            Json::Number(text) => match Exact::parse(text) {
                Some(number) => constant(Value::Number(number)),
                None => {
                    self.invalid(node.span, format!("the number {text} is beyond what is computed with"), "beyond 128 bits");
                    None
                }
            },
            Json::Text(text) => self.formula_text(&text.value, text.plain, node.span, outside),
            Json::List(items) => {
                let formulas: Vec<Formula> = items.iter().filter_map(|item| self.formula(item, outside)).collect();
                let values = formulas.into_iter().map(|f| if let Expr::Const(v) = f.expr { Some(v) } else { None });
                match values.collect::<Option<Vec<Value>>>() {
                    Some(values) if values.len() == items.len() => constant(Value::List(values.into())),
                    _ => {
                        self.wrong(node, "a formula, or a list of constants");
                        None
                    }
                }
            }
            Json::Object(_) => {
                self.wrong(node, "a formula");
                None
            }
        }
    }

    /// A formula that is true or false: a constant shows at once that it isn't.
    pub(super) fn condition(&mut self, node: &Node) -> Option<Formula> {
        let formula = self.formula(node, None)?;
        if matches!(&formula.expr, Expr::Const(value) if !matches!(value, Value::Bool(_))) {
            self.wrong(node, "true, false or a formula");
            return None;
        }
        Some(formula)
    }

    pub(super) fn formula_text(&mut self, text: &Arc<str>, plain: bool, span: Span, outside: Option<&str>) -> Option<Formula> {
        let parsed = match expr::parse(text, Syntax::Formula) {
            Ok(parsed) => parsed,
            Err(error) => {
                let diagnostic = syntax_error(error, span, plain);
                // In a model's expressions they stand in brackets.
                let bracketed = text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(name, _)| name);
                let help = bracketed
                    .filter(|name| expr::is_name(name))
                    .map(|name| format!("names are bare in a class's formulas: `{name}`"));
                self.diagnostics.push(help.into_iter().fold(diagnostic, Diagnostic::help));
                return None;
            }
        };
        let names = &self.names;
        let mut unknown: Vec<Name> = Vec::new();
        let resolved: Result<Expr<Slot>, EvalError> = parsed.try_map(&mut |name: &Name| {
            Ok(names.slot(&name.text, outside).unwrap_or_else(|| {
                unknown.push(name.clone());
                Slot(u16::MAX)
            }))
        });
        for name in &unknown {
            let span = name_part(span, plain, name);
            let near = nearest(&name.text, self.names.all());
            let diagnostic = Diagnostic::new(Code::UnknownVariable, format!("unknown name `{}` in a formula", name.text))
                .at(span, "neither a parameter, nor a variable of the class, nor of the workload")
                .did_you_mean(span, near);
            let diagnostic = if &*name.text == TOKENS { diagnostic.help(TOKENS_HELP) } else { diagnostic };
            self.diagnostics.push(diagnostic);
        }
        if !unknown.is_empty() {
            return None;
        }
        Some(Formula { span, text: text.clone(), expr: resolved.ok()? })
    }

    pub(super) fn requirement(&mut self, member: &Member) -> Option<(Formula, Arc<str>)> {
        let message = self.text(&member.value)?;
        Some((self.formula_text(&member.key, false, member.key_span, None)?, message))
    }
}
