//! Gives structural variables their values; what depends on the workload stays an expression.

use std::sync::Arc;

use super::node::{Binding, PathPiece, Residual, Segment};
use crate::check::{attr_span, depends_on_workload, for_each_template, text_depends_on_workload, unknown_variable};
use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::expr::{
    BinaryOp, EvalError, Exact, Expr, Function, MAX_EVAL_DEPTH, Name, Piece, Value, apply_binary, apply_function, apply_unary,
    member,
};
use crate::scope::{Definition, Entry, Scope};
use crate::source::Span;
use crate::spec::{Attr, Datum, Template, TextField, unescaped_part};

type Evaluated = Result<Binding, EvalError>;
type ValueScope<'m, 'p> = Scope<'m, 'p, Evaluated>;

/// The most nodes that a residual may have: variables that double each other would grow without bound.
const MAX_RESIDUAL: usize = 2000;

/// Evaluates attributes in scopes, reporting what fails where it is written.
pub struct Values<'d> {
    diagnostics: &'d mut Diagnostics,
}

impl<'d> Values<'d> {
    pub fn new(diagnostics: &'d mut Diagnostics) -> Self {
        Values { diagnostics }
    }

    pub fn diagnostics(&mut self) -> &mut Diagnostics {
        self.diagnostics
    }

    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// An attribute's value or residual; what fails is reported.
    pub fn binding(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>) -> Option<Binding> {
        let result = self.attr(attr, scope, None, 0);
        self.settle(result, attr, scope, None).ok()
    }

    /// An attribute that can't depend on the workload.
    pub fn structural(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>, what: &str) -> Option<Value> {
        match self.binding(attr, scope)? {
            Binding::Known(value) => Some(value),
            Binding::Workload(_) => {
                self.push(depends_on_workload(what, attr.span));
                None
            }
        }
    }

    /// A text with its placeholders filled in.
    pub fn text(&mut self, field: &TextField, scope: &ValueScope<'_, '_>) -> Option<Arc<str>> {
        let mut text = String::new();
        for piece in &field.pieces.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Name(name, path) => text.push_str(&self.placeholder(field, name, path, scope)?),
            }
        }
        Some(text.into())
    }

    /// A name as a path segment: placeholders that are indices stay symbolic.
    pub fn segment(&mut self, field: &TextField, scope: &ValueScope<'_, '_>) -> Option<Segment> {
        let mut pieces: Vec<PathPiece> = Vec::with_capacity(field.pieces.pieces.len());
        for piece in &field.pieces.pieces {
            let text = match piece {
                Piece::Literal(literal) => literal.clone(),
                Piece::Name(name, path) => match index_level(&name.text, scope).filter(|_| path.is_empty()) {
                    Some(level) => {
                        pieces.push(PathPiece::Index(level));
                        continue;
                    }
                    None => self.placeholder(field, name, path, scope)?.into(),
                },
            };
            match pieces.last_mut() {
                Some(PathPiece::Text(last)) => *last = format!("{last}{text}").into(),
                _ => pieces.push(PathPiece::Text(text)),
            }
        }
        Some(Segment { pieces })
    }

    fn placeholder(&mut self, field: &TextField, name: &Name, path: &[Arc<str>], scope: &ValueScope<'_, '_>) -> Option<String> {
        let place = unescaped_part(field.span, field.plain, name.start as usize..name.end as usize);
        let Some((at, entry)) = scope.find(&name.text) else {
            self.push(unknown_variable(&name.text, place, scope));
            return None;
        };
        let value = match self.entry(at, entry, 0).ok()? {
            Binding::Known(value) => value,
            Binding::Workload(_) => {
                self.push(text_depends_on_workload(&name.text, place));
                return None;
            }
        };
        let problem = match member(value, path) {
            Ok(Value::Text(text)) => return Some(text.to_string()),
            Ok(Value::Number(n)) if n.is_integer() => return Some(n.to_string()),
            Ok(other) => format!("`<{}>` is {}: {other}", name.text, other.kind()),
            Err(error) => error.to_string(),
        };
        let diagnostic = Diagnostic::new(Code::TypeMismatch, format!("a text or an integer is filled in here; {problem}"))
            .at(field.span, "can't be part of a text");
        self.push(diagnostic);
        None
    }

    /// The value of an entry, found once. What fails is reported at its definition.
    pub fn entry(&mut self, scope: &ValueScope<'_, '_>, entry: &Entry<'_, Evaluated>, depth: u16) -> Evaluated {
        entry.used.set(true);
        if let Some(known) = entry.state.get() {
            return known.clone();
        }
        let result = match &entry.definition {
            Definition::Index(index) => Ok(Binding::Known(Value::count(*index))),
            Definition::Value(value) => Ok(Binding::Known(value.clone())),
            Definition::Workload(variable) => Ok(Binding::Workload(Residual { expr: Arc::new(Expr::Var(*variable)), size: 1 })),
            // A circle, which `check` has reported.
            Definition::Attr(_) if entry.busy.get() => return Err(EvalError::Reported),
            Definition::Attr(attr) => {
                entry.busy.set(true);
                let result = self.attr(attr, scope, Some(entry.name), depth);
                entry.busy.set(false);
                self.settle(result, attr, scope, Some(entry.name))
            }
        };
        entry.state.get_or_init(|| result).clone()
    }

    /// Reports a failure where it was written; those who asked for the value then keep silent.
    fn settle(&mut self, result: Evaluated, attr: &Attr, scope: &ValueScope<'_, '_>, own: Option<&str>) -> Evaluated {
        match result {
            Err(EvalError::Reported) => Err(EvalError::Reported),
            // `check` says the same of the same place, unless it couldn't look here: in a block that a variable chooses.
            Err(EvalError::Unknown(name)) => {
                let mut place = attr.span;
                for_each_template(attr, &mut |template| {
                    template.expr.for_each_variable(&mut |n: &Name| {
                        if *n == name {
                            place = unescaped_part(attr_span(attr, template), template.plain, n.start as usize..n.end as usize);
                        }
                    });
                });
                self.push(unknown_variable(&name.text, place, scope));
                Err(EvalError::Reported)
            }
            Err(error) => {
                let diagnostic = self.failure(&error, attr, scope, own);
                self.push(diagnostic);
                Err(EvalError::Reported)
            }
            ok => ok,
        }
    }

    fn attr(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>, own: Option<&str>, depth: u16) -> Evaluated {
        Ok(Binding::Known(match &attr.datum {
            Datum::Null => Value::Null,
            Datum::Bool(value) => Value::Bool(*value),
            Datum::Number(number) => Value::Number(*number),
            Datum::Text(text) => Value::Text(text.clone()),
            Datum::Invalid => return Err(EvalError::Reported),
            Datum::Template(template) => return self.expr(&template.expr, scope, own, depth),
            Datum::List(items) => {
                let items: Vec<Binding> =
                    items.iter().map(|item| self.attr(item, scope, own, depth)).collect::<Result<_, _>>()?;
                return list(items);
            }
            Datum::Object(members) => {
                let mut values = Vec::with_capacity(members.len());
                for (key, item) in members {
                    match self.attr(item, scope, own, depth)? {
                        Binding::Known(value) => values.push((key.clone(), value)),
                        Binding::Workload(_) => {
                            let operation = "a member of an object".into();
                            return Err(EvalError::Type {
                                operation,
                                expected: "what is known without a workload",
                                found: Value::Text(key.clone()),
                            });
                        }
                    }
                }
                Value::Object(values.into())
            }
        }))
    }

    fn expr(&mut self, expr: &Expr<Name>, scope: &ValueScope<'_, '_>, own: Option<&str>, depth: u16) -> Evaluated {
        let depth = depth + 1;
        if depth > MAX_EVAL_DEPTH {
            return Err(EvalError::TooDeep);
        }
        match expr {
            Expr::Const(value) => Ok(Binding::Known(value.clone())),
            Expr::Var(name) => {
                let found = match own {
                    Some(own) => scope.find_from(&name.text, own),
                    None => scope.find(&name.text),
                };
                let (at, entry) = found.ok_or_else(|| EvalError::Unknown(name.clone()))?;
                self.entry(at, entry, depth)
            }
            Expr::Member(object, path) => match self.expr(object, scope, own, depth)? {
                Binding::Known(value) => member(value, path).map(Binding::Known),
                Binding::Workload(residual) => residual_of(Expr::Member(Box::new((*residual.expr).clone()), path.clone())),
            },
            Expr::Unary(op, operand) => match self.expr(operand, scope, own, depth)? {
                Binding::Known(value) => apply_unary(*op, &value).map(Binding::Known),
                Binding::Workload(residual) => residual_of(Expr::Unary(*op, Box::new((*residual.expr).clone()))),
            },
            Expr::Binary(op, pair) => self.binary(*op, &pair.0, &pair.1, scope, own, depth),
            Expr::Call(function, args) => self.call(*function, args, scope, own, depth),
            Expr::List(items) => {
                let items: Vec<Binding> =
                    items.iter().map(|item| self.expr(item, scope, own, depth)).collect::<Result<_, _>>()?;
                list(items)
            }
            Expr::Fail(error) => Err(error.clone()),
        }
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        first: &Expr<Name>,
        second: &Expr<Name>,
        scope: &ValueScope<'_, '_>,
        own: Option<&str>,
        depth: u16,
    ) -> Evaluated {
        let a = self.expr(first, scope, own, depth)?;
        if let (BinaryOp::And | BinaryOp::Or, Binding::Known(Value::Bool(value))) = (op, &a) {
            if *value == (op == BinaryOp::Or) {
                return Ok(a);
            }
        }
        let b = if matches!(op, BinaryOp::And | BinaryOp::Or) && matches!(a, Binding::Workload(_)) {
            self.branch(second, scope, own, depth)
        } else {
            self.expr(second, scope, own, depth)?
        };
        match (&a, &b) {
            (Binding::Known(a), Binding::Known(b)) => apply_binary(op, a, b).map(Binding::Known),
            _ => residual_of(Expr::Binary(op, Box::new((residual(&a), residual(&b))))),
        }
    }

    /// A branch that may never be taken: what fails in it is kept until it is.
    fn branch(&mut self, expr: &Expr<Name>, scope: &ValueScope<'_, '_>, own: Option<&str>, depth: u16) -> Binding {
        match self.expr(expr, scope, own, depth) {
            Ok(binding) => binding,
            Err(error) => Binding::Workload(Residual { expr: Arc::new(Expr::Fail(error)), size: 1 }),
        }
    }

    fn call(
        &mut self,
        function: Function,
        args: &[Expr<Name>],
        scope: &ValueScope<'_, '_>,
        own: Option<&str>,
        depth: u16,
    ) -> Evaluated {
        match (function, args) {
            (Function::If, [test, then, otherwise]) => match self.expr(test, scope, own, depth)? {
                Binding::Known(Value::Bool(value)) => self.expr(if value { then } else { otherwise }, scope, own, depth),
                Binding::Known(other) => {
                    Err(EvalError::Type { operation: "`if`".into(), expected: "true or false", found: other })
                }
                test @ Binding::Workload(_) => {
                    let branches = [self.branch(then, scope, own, depth), self.branch(otherwise, scope, own, depth)];
                    let [then, otherwise] = &branches;
                    residual_of(Expr::Call(function, vec![residual(&test), residual(then), residual(otherwise)]))
                }
            },
            (Function::Default, args) => self.default(args, scope, own, depth),
            (Function::Choose, [subject, rest @ ..]) => self.choose(subject, rest, scope, own, depth),
            (function, args) => {
                let values: Vec<Binding> = args.iter().map(|arg| self.expr(arg, scope, own, depth)).collect::<Result<_, _>>()?;
                let known: Option<Vec<Value>> =
                    values.iter().map(|b| if let Binding::Known(v) = b { Some(v.clone()) } else { None }).collect();
                match known {
                    Some(values) => apply_function(function, &values).map(Binding::Known),
                    None => residual_of(Expr::Call(function, values.iter().map(residual).collect())),
                }
            }
        }
    }

    fn default(&mut self, args: &[Expr<Name>], scope: &ValueScope<'_, '_>, own: Option<&str>, depth: u16) -> Evaluated {
        let mut open: Vec<Expr<_>> = Vec::new();
        for arg in args {
            let value = if open.is_empty() { self.expr(arg, scope, own, depth)? } else { self.branch(arg, scope, own, depth) };
            match &value {
                Binding::Known(Value::Null) => {}
                Binding::Known(_) if open.is_empty() => return Ok(value),
                Binding::Known(_) => {
                    open.push(residual(&value));
                    break;
                }
                Binding::Workload(_) => open.push(residual(&value)),
            }
        }
        match open.len() {
            0 => Ok(Binding::Known(Value::Null)),
            _ => residual_of(Expr::Call(Function::Default, open)),
        }
    }

    fn choose(
        &mut self,
        subject: &Expr<Name>,
        rest: &[Expr<Name>],
        scope: &ValueScope<'_, '_>,
        own: Option<&str>,
        depth: u16,
    ) -> Evaluated {
        let subject = self.expr(subject, scope, own, depth)?;
        if let Binding::Known(subject) = &subject {
            for case in rest.chunks(2) {
                match case {
                    [key, result] => match self.expr(key, scope, own, depth)? {
                        Binding::Known(key) if key == *subject => {
                            return self.expr(result, scope, own, depth);
                        }
                        Binding::Known(_) => {}
                        Binding::Workload(_) => break,
                    },
                    [otherwise] => return self.expr(otherwise, scope, own, depth),
                    _ => {}
                }
            }
        }
        let args = rest.iter().map(|arg| residual(&self.branch(arg, scope, own, depth)));
        residual_of(Expr::Call(Function::Choose, std::iter::once(residual(&subject)).chain(args).collect()))
    }

    /// "`<a> / <b>` is 768 / 7": an expression with the values that it saw.
    fn seen(&mut self, template: &Template, scope: &ValueScope<'_, '_>, own: Option<&str>) -> Option<String> {
        let mut values: Vec<(Arc<str>, String)> = Vec::new();
        template.expr.for_each_variable(&mut |name: &Name| {
            let found = match own {
                Some(own) => scope.find_from(&name.text, own),
                None => scope.find(&name.text),
            };
            let Some((at, entry)) = found else { return };
            if let Ok(Binding::Known(value)) = self.entry(at, entry, 0) {
                values.push((name.text.clone(), value.to_string()));
            }
        });
        if values.is_empty() {
            return None;
        }
        Some(template.expr.render(&|name: &Name| {
            values.iter().find(|(n, _)| *n == name.text).map_or_else(|| format!("<{}>", name.text), |(_, value)| value.clone())
        }))
    }

    fn failure(&mut self, error: &EvalError, attr: &Attr, scope: &ValueScope<'_, '_>, own: Option<&str>) -> Diagnostic {
        let (code, label) = match error {
            EvalError::DivisionByZero => (Code::DivisionByZero, "divides by zero"),
            EvalError::Overflow => (Code::Overflow, "leaves 128 bits"),
            EvalError::Type { .. } => (Code::TypeMismatch, "here"),
            EvalError::OutOfRange { .. } => (Code::OutOfRange, "no such item"),
            EvalError::TooDeep | EvalError::Unknown(_) | EvalError::Reported => (Code::EvaluationTooDeep, "too deep"),
        };
        let seen = match &attr.datum {
            Datum::Template(template) => self.seen(template, scope, own).map(|seen| (template.text.clone(), seen)),
            _ => None,
        };
        let mut message = match (&error, &seen) {
            (EvalError::DivisionByZero, Some((text, seen))) => {
                format!("`{text}` divides by zero: it is {seen}")
            }
            (_, Some((text, seen))) => format!("{error}: `{text}` is {seen}"),
            (error, None) => error.to_string(),
        };
        if matches!(error, EvalError::TooDeep) {
            message = "variables stand behind too many others".to_owned();
        }
        let diagnostic = Diagnostic::new(code, message).at(attr.span, label);
        match error {
            EvalError::Type { found: Value::Null, .. } => diagnostic.help("`default(<x>, 0)` replaces null"),
            _ => diagnostic,
        }
    }

    /// Adds the values that an attribute's expression saw, if it is one.
    pub fn with_values(&mut self, diagnostic: Diagnostic, attr: &Attr, scope: &ValueScope<'_, '_>) -> Diagnostic {
        let Datum::Template(template) = &attr.datum else {
            return diagnostic;
        };
        match self.seen(template, scope, None) {
            Some(seen) => diagnostic.note(format!("`{}` is {seen}", template.text)),
            None => diagnostic,
        }
    }

    /// A value that isn't a count, blamed on the definition that makes it a fraction.
    pub fn not_a_count(&mut self, attr: &Attr, value: &Value, scope: &ValueScope<'_, '_>, what: &str) -> Diagnostic {
        let problem = problem(value);
        let Datum::Template(template) = &attr.datum else {
            if let Datum::Text(text) = &attr.datum {
                return text_for_a_number(text, attr.span, what);
            }
            let message = format!("{what} is a count, found {value}, {problem}");
            return Diagnostic::new(Code::NotACount, message).at(attr.span, "expected a non-negative integer");
        };
        let culprit = self.culprit(&template.expr, scope, None, 0);
        if let Some((definition, own_text, shown)) = culprit {
            let label = format!("makes {what} {value}, {problem}");
            return Diagnostic::new(Code::NotACount, format!("`{own_text}` is {shown}, not an integer"))
                .at(definition, "not an integer")
                .also(attr.span, label);
        }
        let text = &template.text;
        let seen = self.seen(template, scope, None).filter(|seen| *seen != value.to_string());
        let message = match seen {
            Some(seen) => format!("`{text}` is {seen} = {value}, {problem}"),
            None => format!("`{text}` is {value}, {problem}"),
        };
        let diagnostic = Diagnostic::new(Code::NotACount, message).at(attr.span, format!("{what} is a count"));
        match value {
            Value::Number(n) if !n.is_integer() => diagnostic.help("`/` is exact; `floor(a / b)` is integer division"),
            _ => diagnostic,
        }
    }

    /// The variable whose own definition first makes a fraction, if it isn't the expression itself.
    fn culprit(
        &mut self,
        expr: &Expr<Name>,
        scope: &ValueScope<'_, '_>,
        own: Option<&str>,
        depth: usize,
    ) -> Option<(Span, String, String)> {
        let mut names: Vec<Name> = Vec::new();
        expr.for_each_variable(&mut |name: &Name| names.push(name.clone()));
        for name in names {
            let found = match own {
                Some(own) => scope.find_from(&name.text, own),
                None => scope.find(&name.text),
            };
            let Some((at, entry)) = found else { continue };
            let Ok(Binding::Known(Value::Number(value))) = self.entry(at, entry, 0) else {
                continue;
            };
            let Definition::Attr(attr) = &entry.definition else {
                continue;
            };
            let (false, Datum::Template(template)) = (value.is_integer(), &attr.datum) else {
                continue;
            };
            if depth < 16 {
                if let Some(deeper) = self.culprit(&template.expr, at, Some(entry.name), depth + 1) {
                    return Some(deeper);
                }
            }
            let seen = self.seen(template, at, Some(entry.name));
            let shown = seen.map_or_else(|| value.to_string(), |seen| format!("{seen} = {value}"));
            return Some((attr.span, template.text.to_string(), shown));
        }
        None
    }
}

/// A text where a number or a condition belongs: mostly an expression whose names lack their brackets.
pub fn text_for_a_number(text: &str, span: Span, what: &str) -> Diagnostic {
    match crate::expr::parse(text, crate::expr::Syntax::Template) {
        Err(error) if error.code == Code::BareName => {
            let place = span.part(error.range.start + 1..error.range.end + 1);
            error.help.into_iter().fold(Diagnostic::new(Code::BareName, error.message).at(place, "here"), Diagnostic::help)
        }
        parsed => {
            let diagnostic = Diagnostic::new(Code::WrongType, format!("{what} is a text")).at(span, "a text, not an expression");
            match parsed {
                Ok(_) => diagnostic.help("without a placeholder a string is text: write the value itself, without quotes"),
                Err(_) => diagnostic,
            }
        }
    }
}

fn problem(value: &Value) -> &'static str {
    match value {
        Value::Number(n) if !n.is_integer() => "not an integer",
        Value::Number(n) if *n < Exact::ZERO => "which is negative",
        Value::Number(_) => "too large",
        Value::Null => "null, where a number is needed",
        _ => "not a number",
    }
}

/// How many repeats out the index of this name is, if it is one.
fn index_level(name: &str, scope: &ValueScope<'_, '_>) -> Option<u16> {
    let (mut level, mut at) = (0u16, Some(scope));
    while let Some(scope) = at {
        if let Some(entry) = scope.own(name) {
            return matches!(entry.definition, Definition::Index(_)).then_some(level);
        }
        let indices = scope.entries.iter().filter(|entry| matches!(entry.definition, Definition::Index(_))).count();
        level = level.saturating_add(u16::try_from(indices).unwrap_or(u16::MAX));
        at = scope.parent;
    }
    None
}

fn residual(binding: &Binding) -> Expr<crate::workload::WorkloadVar> {
    match binding {
        Binding::Known(value) => Expr::Const(value.clone()),
        Binding::Workload(residual) => (*residual.expr).clone(),
    }
}

fn residual_of(expr: Expr<crate::workload::WorkloadVar>) -> Evaluated {
    let size = expr.size();
    if size > MAX_RESIDUAL {
        return Err(EvalError::TooDeep);
    }
    Ok(Binding::Workload(Residual { expr: Arc::new(expr), size }))
}

fn list(items: Vec<Binding>) -> Evaluated {
    let known: Option<Vec<Value>> =
        items.iter().map(|b| if let Binding::Known(v) = b { Some(v.clone()) } else { None }).collect();
    match known {
        Some(values) => Ok(Binding::Known(Value::List(values.into()))),
        None => residual_of(Expr::List(items.iter().map(residual).collect())),
    }
}
