//! Gives structural variables their values; what depends on the workload stays an expression.

use std::sync::Arc;

use crate::language::check::{derived_entries, text_like_an_expression, unknown_variable, variable_entries};
use crate::language::scope::{Definition, Entry, Scope};
use crate::language::trace::Traces;
use crate::language::{Binding, PathPiece, Residual, Segment};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, Label};
use crate::syntax::expr::{
    BinaryOp, EvalError, Exact, Expr, Function, MAX_EVAL_DEPTH, MOST_VALUES, Name, Piece, Placeholder, Value, apply_binary,
    apply_function, apply_unary, member,
};
use crate::syntax::source::Span;
use crate::syntax::spec::{Attr, Datum, Model, Template, TextField, name_part};

type Evaluated = Result<Binding, EvalError>;
type ValueScope<'m, 'p> = Scope<'m, 'p, Evaluated>;

/// The most nodes that a residual may have: variables that double each other would grow without bound.
const MAX_RESIDUAL: usize = 2000;

/// Evaluates attributes in scopes, reporting what fails where it is written.
pub struct Values<'d> {
    diagnostics: &'d mut Diagnostics,
    /// How many items of lists and objects were looked at: variables that double each other make lists that no walk comes to the end of.
    looked: u64,
    /// How many bytes of text were made by filling in placeholders.
    filled: usize,
    /// What the instances that are being made read.
    pub traces: Traces,
}

/// The most items of lists and objects that are looked at in all.
const MOST_ITEMS: u64 = 100_000_000;
/// The most bytes of a text whose placeholders are filled in, and of all such texts of a model.
const MOST_TEXT: usize = 100_000;
const MOST_TEXTS: usize = 50_000_000;
const LIST_TOO_LARGE: EvalError = EvalError::TooLarge("a list or an object has more than 1000000 values");
const LISTS_TOO_LARGE: EvalError = EvalError::TooLarge("lists and objects have more items than are looked through");
const EXPRESSION_TOO_LARGE: EvalError =
    EvalError::TooLarge("the expression has more than 2000 parts once its variables are put in");

impl<'d> Values<'d> {
    pub fn new(diagnostics: &'d mut Diagnostics) -> Self {
        Values { diagnostics, looked: 0, filled: 0, traces: Traces::default() }
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

    /// Whether a condition holds, or can't be evaluated; nothing is reported.
    pub fn quietly(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>) -> bool {
        !matches!(self.attr(attr, scope, None, 0), Ok(Binding::Known(Value::Bool(false))))
    }

    /// An attribute that can't depend on the workload. `check` has reported it if it does, unless it stands in a block that a variable
    /// chooses.
    pub fn structural(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>) -> Option<Value> {
        match self.binding(attr, scope)? {
            Binding::Known(value) => Some(value),
            Binding::Workload(_) => {
                self.push(
                    Diagnostic::new(Code::StructureDependsOnWorkload, "which layers exist depends on the workload here")
                        .at(attr.span, "known only once a workload is given"),
                );
                None
            }
        }
    }

    /// A text with its placeholders filled in.
    pub fn text(&mut self, field: &TextField, scope: &ValueScope<'_, '_>) -> Option<Arc<str>> {
        let mut text = String::new();
        for piece in field.pieces.pieces() {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Name(placeholder) => {
                    let filled = self.placeholder(field, placeholder, scope)?;
                    self.fills(field, text.len().saturating_add(filled.len()), filled.len())?;
                    text.push_str(&filled);
                }
            }
        }
        Some(text.into())
    }

    /// Counts what is filled into a text of so many bytes. `None`: that is too much, which is reported.
    fn fills(&mut self, field: &TextField, length: usize, more: usize) -> Option<()> {
        let before = self.filled;
        self.filled = self.filled.saturating_add(more);
        let message = match (length > MOST_TEXT, self.filled > MOST_TEXTS) {
            (false, false) => return Some(()),
            (true, _) => format!("the text has more than {MOST_TEXT} bytes once its placeholders are filled in"),
            // Said once.
            (_, true) if before > MOST_TEXTS => return None,
            _ => format!("the model's texts have more than {MOST_TEXTS} bytes once their placeholders are filled in"),
        };
        self.push(Diagnostic::new(Code::ExpressionTooLarge, message).at(field.span, "too long"));
        None
    }

    /// A name as a path segment: placeholders that are indices stay symbolic.
    pub fn segment(&mut self, field: &TextField, scope: &ValueScope<'_, '_>) -> Option<Segment> {
        if let Some(text) = field.pieces.literal() {
            return Some(Segment::text(text));
        }
        let mut pieces: Vec<PathPiece> = Vec::with_capacity(field.pieces.pieces().len());
        for piece in field.pieces.pieces() {
            let text = match piece {
                Piece::Literal(literal) => literal.clone(),
                Piece::Name(placeholder) => match placeholder.plain_name().and_then(|name| index_level(name, scope)) {
                    Some(level) => {
                        pieces.push(PathPiece::Index(level));
                        continue;
                    }
                    None => {
                        let filled = self.placeholder(field, placeholder, scope)?;
                        let before = if let Some(PathPiece::Text(last)) = pieces.last() { last.len() } else { 0 };
                        self.fills(field, before.saturating_add(filled.len()), filled.len())?;
                        filled
                    }
                },
            };
            match pieces.last_mut() {
                Some(PathPiece::Text(last)) => *last = format!("{last}{text}").into(),
                _ => pieces.push(PathPiece::Text(text)),
            }
        }
        // The place in a list of modules: `blocks.<layer>`.
        if let [PathPiece::Text(list), PathPiece::Index(level)] = &*pieces
            && let Some(list) = list.strip_suffix('.')
        {
            pieces = vec![PathPiece::Text(list.into()), PathPiece::Dot, PathPiece::Index(*level)];
        }
        Some(Segment { pieces: pieces.into() })
    }

    fn placeholder(&mut self, field: &TextField, placeholder: &Placeholder, scope: &ValueScope<'_, '_>) -> Option<Arc<str>> {
        let Placeholder { name, members: path } = placeholder;
        let span = name_part(field.span, field.plain, name);
        let Some((at, entry)) = scope.find(&name.text) else {
            self.push(unknown_variable(&name.text, span, scope));
            return None;
        };
        let (binding, path) = match &entry.definition {
            Definition::Nested(model) if !path.is_empty() => (self.nested(model, path, at, 0), &[][..]),
            _ => (self.entry(at, entry, 0), &path[..]),
        };
        let value = match binding.ok()? {
            Binding::Known(value) => value,
            Binding::Workload(_) => {
                let message = format!("`{}` depends on the workload, and this text may not", name.text);
                self.push(Diagnostic::new(Code::StructureDependsOnWorkload, message).at(span, "a workload variable"));
                return None;
            }
        };
        let shown = format!("{}{}", name.text, path.iter().map(|key| format!(".{key}")).collect::<String>());
        let problem = match member(value, path) {
            Ok(Value::Text(text)) => return Some(text),
            Ok(Value::Number(n)) if n.is_integer() => return Some(n.to_string().into()),
            Ok(Value::Null) => format!("`<{shown}>` is null; only a text or an integer can be filled into a text"),
            Ok(other) => {
                format!("`<{shown}>` is {}: {other}; only a text or an integer can be filled into a text", other.kind())
            }
            Err(error) => error.to_string(),
        };
        let diagnostic = Diagnostic::new(Code::TypeMismatch, problem).at(span, "can't be part of a text");
        self.push(diagnostic);
        None
    }

    /// The value of an entry, found once. What fails is reported at its definition.
    ///
    /// # Errors
    /// `Reported`: it was said.
    pub fn entry(&mut self, scope: &ValueScope<'_, '_>, entry: &Entry<'_, Evaluated>, depth: u16) -> Evaluated {
        entry.used.set(true);
        let Some(traced) = entry.traced.get() else { return self.value(scope, entry, depth) };
        self.traces.enter(traced);
        let value = self.value(scope, entry, depth);
        self.traces.leave(traced, &value);
        value
    }

    fn value(&mut self, scope: &ValueScope<'_, '_>, entry: &Entry<'_, Evaluated>, depth: u16) -> Evaluated {
        if let Some(known) = entry.state.get() {
            if entry.of_argument.get() {
                self.traces.again();
            }
            return known.clone();
        }
        let reads = self.traces.count();
        let result = match &entry.definition {
            Definition::Index(index) => Ok(Binding::Known(Value::count(*index))),
            Definition::Value(value) | Definition::Builtin(value) => Ok(Binding::Known(value.clone())),
            Definition::Reported => Err(EvalError::Reported),
            Definition::Around => match scope.around(entry.name) {
                Some((at, outer)) => self.entry(at, outer, depth + 1),
                None => Err(EvalError::Reported),
            },
            // As a whole it is the config as it is; its members are the family's.
            Definition::Nested(model) => Ok(Binding::Known(document(model))),
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
        // One that is traced is noted however often it is read.
        entry.of_argument.set(entry.traced.get().is_none() && self.traces.made_for_argument(reads));
        entry.state.get_or_init(|| result).clone()
    }

    /// Reports a failure where it was written; those who asked for the value then keep silent.
    fn settle(&mut self, result: Evaluated, attr: &Attr, scope: &ValueScope<'_, '_>, own: Option<&str>) -> Evaluated {
        match result {
            Err(EvalError::Reported) => Err(EvalError::Reported),
            Err(EvalError::Unknown(name)) if self.diagnostics.said(Code::UnknownVariable, place_of(attr, &name)) => {
                Err(EvalError::Reported)
            }
            // It is one chain, wherever along it the limit is met.
            Err(EvalError::TooDeep) if self.diagnostics.has(Code::EvaluationTooDeep) => Err(EvalError::Reported),
            Err(error) => {
                let diagnostic = self.failure(&error, attr, scope, own);
                let diagnostic = self.blamed_in(diagnostic, attr, scope, own);
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
                return self.list(&items);
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
                let object = Value::Object(values.into());
                self.look_through(&object)?;
                object
            }
        }))
    }

    /// The final value of a variable of an inner config's family; what follows are members of it.
    fn nested(&mut self, model: &Model, path: &[Arc<str>], scope: &ValueScope<'_, '_>, depth: u16) -> Evaluated {
        if depth >= MAX_EVAL_DEPTH {
            return Err(EvalError::TooDeep);
        }
        let Some((name, rest)) = path.split_first() else { return Err(EvalError::Reported) };
        let variables = Scope::boundary(scope, variable_entries(model, &[], &[]));
        let derived = Scope::new(Some(&variables), derived_entries(model, &[]));
        // What others call so may have another name in this family.
        let name = if derived.own(name).or_else(|| variables.own(name)).is_some() { &**name } else { model.canonical(name) };
        let Some((at, entry)) = derived.own(name).map(|e| (&derived, e)).or_else(|| Some((&variables, variables.own(name)?)))
        else {
            return Err(EvalError::Unknown(name.into()));
        };
        if let (Definition::Nested(inner), [_, ..]) = (&entry.definition, rest) {
            return self.nested(inner, rest, at, depth + 1);
        }
        match self.entry(at, entry, depth)? {
            Binding::Known(value) => member(value, rest).map(Binding::Known),
            binding if rest.is_empty() => Ok(binding),
            Binding::Workload(residual) => residual_of(Expr::Member(Box::new((*residual.expr).clone()), rest.to_vec())),
        }
    }

    fn list(&mut self, items: &[Binding]) -> Evaluated {
        let list = list(items)?;
        if let Binding::Known(list) = &list {
            self.look_through(list)?;
        }
        Ok(list)
    }

    /// Charges for a walk through a value.
    fn look_through(&mut self, value: &Value) -> Result<(), EvalError> {
        if !matches!(value, Value::List(_) | Value::Object(_)) {
            return Ok(());
        }
        let size = value.size(MOST_VALUES + 1);
        self.looked = self.looked.saturating_add(size);
        match () {
            () if size > MOST_VALUES => Err(LIST_TOO_LARGE),
            () if self.looked > MOST_ITEMS => Err(LISTS_TOO_LARGE),
            () => Ok(()),
        }
    }

    /// Charges for a search in an object or a text; an item of a list is found at once.
    fn look_at(&mut self, value: &Value) -> Result<(), EvalError> {
        let items = match value {
            Value::Object(members) => members.len(),
            Value::Text(text) => text.len() / 16,
            _ => 0,
        };
        self.looked = self.looked.saturating_add(items as u64);
        if self.looked > MOST_ITEMS { Err(LISTS_TOO_LARGE) } else { Ok(()) }
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
                // `check` has reported it, unless it stands in a block that a variable chooses.
                let (at, entry) = found.ok_or_else(|| EvalError::Unknown(name.text.clone()))?;
                self.entry(at, entry, depth)
            }
            Expr::Member(object, path) if let Some((at, model)) = nested(object, scope, own) => {
                self.nested(model, path, at, depth)
            }
            Expr::Member(object, path) => match self.expr(object, scope, own, depth)? {
                Binding::Known(value) => {
                    self.look_at(&value)?;
                    member(value, path).map(Binding::Known)
                }
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
                self.list(&items)
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
        if let (BinaryOp::And | BinaryOp::Or, Binding::Known(Value::Bool(value))) = (op, &a)
            && *value == (op == BinaryOp::Or)
        {
            return Ok(a);
        }
        let b = if matches!(op, BinaryOp::And | BinaryOp::Or) && matches!(a, Binding::Workload(_)) {
            self.branch(second, scope, own, depth)
        } else {
            self.expr(second, scope, own, depth)?
        };
        match (&a, &b) {
            (Binding::Known(a), Binding::Known(b)) => {
                self.look_through(a)?;
                self.look_at(a)?;
                apply_binary(op, a, b).map(Binding::Known)
            }
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
                    Some(values) => {
                        // Only these walk through what they are given; the rest take one item or a length.
                        let walks = matches!(function, Function::Contains | Function::Product | Function::FindLast);
                        for value in &values {
                            if walks {
                                self.look_through(value)?;
                            }
                            self.look_at(value)?;
                        }
                        apply_function(function, &values).map(Binding::Known)
                    }
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

    /// "`<a> / <b>` is 768 / 7": an expression with the values that it saw. What it didn't look at is not evaluated for the message's sake.
    fn seen(&self, template: &Template, scope: &ValueScope<'_, '_>, own: Option<&str>) -> Option<String> {
        let mut any = false;
        let filled = self.filled(&template.expr, scope, own, &mut any);
        any.then(|| filled.render(&|name: &Name| format!("<{}>", name.text)))
    }

    /// An expression in which the names that have values are these values; `any`: whether there are some.
    fn filled(&self, expr: &Expr<Name>, scope: &ValueScope<'_, '_>, own: Option<&str>, any: &mut bool) -> Expr<Name> {
        match expr {
            Expr::Const(_) | Expr::Fail(_) => expr.clone(),
            Expr::Var(name) => {
                let found = own.map_or_else(|| scope.find(&name.text), |own| scope.find_from(&name.text, own));
                match found.and_then(|(_, entry)| entry.state.get()) {
                    Some(Ok(Binding::Known(value))) => {
                        *any = true;
                        Expr::Const(value.clone())
                    }
                    _ => expr.clone(),
                }
            }
            Expr::Member(object, path) => match self.filled(object, scope, own, any) {
                Expr::Const(value) => match member(value.clone(), path) {
                    Ok(value) => Expr::Const(value),
                    Err(_) => Expr::Member(Box::new(Expr::Const(value)), path.clone()),
                },
                object => Expr::Member(Box::new(object), path.clone()),
            },
            Expr::Unary(op, operand) => Expr::Unary(*op, Box::new(self.filled(operand, scope, own, any))),
            Expr::Binary(op, pair) => {
                let first = self.filled(&pair.0, scope, own, any);
                Expr::Binary(*op, Box::new((first, self.filled(&pair.1, scope, own, any))))
            }
            Expr::Call(function, args) => {
                Expr::Call(*function, args.iter().map(|arg| self.filled(arg, scope, own, any)).collect())
            }
            Expr::List(items) => Expr::List(items.iter().map(|item| self.filled(item, scope, own, any)).collect()),
        }
    }

    fn failure(&self, error: &EvalError, attr: &Attr, scope: &ValueScope<'_, '_>, own: Option<&str>) -> Diagnostic {
        let label = match error {
            EvalError::DivisionByZero => "divides by zero",
            EvalError::Overflow => "leaves 128 bits",
            EvalError::Type { .. } => "here",
            EvalError::OutOfRange { .. } => "no such item",
            EvalError::Unknown(name) => return unknown_variable(name, place_of(attr, name), scope),
            EvalError::TooLarge(_) => "too large",
            EvalError::TooDeep | EvalError::Reported => "too deep",
        };
        let seen = match &attr.datum {
            Datum::Template(template) => {
                let seen = self.seen(template, scope, own).unwrap_or_else(|| template.text.to_string());
                Some((template.text.clone(), seen))
            }
            _ => None,
        };
        let message = match (error, seen) {
            (EvalError::TooDeep, _) => "variables stand behind too many others".to_owned(),
            (EvalError::TooLarge(what), _) => (*what).to_owned(),
            (EvalError::DivisionByZero, Some((text, seen))) if *text == *seen => format!("`{text}` divides by zero"),
            (EvalError::DivisionByZero, Some((text, seen))) => format!("`{text}` divides by zero: it is {seen}"),
            (error, Some((text, seen))) if *text == *seen => format!("{error}, in `{text}`"),
            (error, Some((text, seen))) => format!("{error}: `{text}` is {seen}"),
            (error, None) => error.to_string(),
        };
        let diagnostic = Diagnostic::new(error.code(), message).at(attr.span, label);
        match error {
            EvalError::Type { found: Value::Null, .. } => diagnostic.help("`default(<x>, 0)` replaces null"),
            _ => diagnostic,
        }
    }

    /// Points a diagnostic about a family's expression to what the config says: that is what there is to change.
    pub fn blamed(&self, diagnostic: Diagnostic, attr: &Attr, scope: &ValueScope<'_, '_>) -> Diagnostic {
        self.blamed_in(diagnostic, attr, scope, None)
    }

    fn blamed_in(&self, mut diagnostic: Diagnostic, attr: &Attr, scope: &ValueScope<'_, '_>, own: Option<&str>) -> Diagnostic {
        let in_catalog = |label: &Label| label.span.source.catalog_index().is_some();
        if !diagnostic.primary.as_ref().is_some_and(in_catalog) {
            return diagnostic;
        }
        let mut found: Vec<(String, Span, Value)> = Vec::new();
        given_behind(attr, scope, own, 0, &mut found);
        let mut given = found.into_iter().map(|(name, span, value)| Label { span, text: format!("`{name}` is {value}") });
        if let Some(first) = given.next() {
            diagnostic.secondary.extend(diagnostic.primary.replace(first));
            diagnostic.secondary.extend(given);
        }
        diagnostic
    }

    /// Adds the values that an attribute's expression saw, if it is one.
    pub fn with_values(&self, diagnostic: Diagnostic, attr: &Attr, scope: &ValueScope<'_, '_>) -> Diagnostic {
        let Datum::Template(template) = &attr.datum else {
            return diagnostic;
        };
        match self.seen(template, scope, None) {
            Some(seen) => diagnostic.note(format!("`{}` is {seen}", template.text)),
            None => diagnostic,
        }
    }

    /// A value that isn't a count, blamed on the definition that makes it a fraction.
    pub fn not_a_count(&self, attr: &Attr, value: &Value, scope: &ValueScope<'_, '_>, what: &str) -> Diagnostic {
        self.blamed(self.plainly_not_a_count(attr, value, scope, what), attr, scope)
    }

    fn plainly_not_a_count(&self, attr: &Attr, value: &Value, scope: &ValueScope<'_, '_>, what: &str) -> Diagnostic {
        if let Some(diagnostic) = self.text_for_a_number(attr, value, scope, what) {
            return diagnostic;
        }
        let problem = problem(value);
        let Datum::Template(template) = &attr.datum else {
            let message = format!("{what} is a count, found {value}{problem}");
            return Diagnostic::new(Code::NotACount, message).at(attr.span, "expected a non-negative integer");
        };
        let culprit = self.culprit(&template.expr, scope, None, 0);
        if let Some((definition, own_text, shown)) = culprit {
            let label = format!("makes {what} {value}");
            return Diagnostic::new(Code::NotACount, format!("`{own_text}` is {shown}, not an integer"))
                .at(definition, "not an integer")
                .also(attr.span, label);
        }
        let text = &template.text;
        let seen = self.seen(template, scope, None).filter(|seen| *seen != value.to_string());
        let message = match seen {
            Some(seen) => format!("`{text}` is {seen} = {value}{problem}"),
            None => format!("`{text}` is {value}{problem}"),
        };
        let diagnostic = Diagnostic::new(Code::NotACount, message).at(attr.span, format!("{what} is a count"));
        match value {
            Value::Number(n) if !n.is_integer() => diagnostic.help("`/` is exact; `floor(a / b)` is integer division"),
            _ => diagnostic,
        }
    }

    /// A text where a number belongs: mostly an expression whose names lack their brackets, here or where a variable is defined.
    pub fn text_for_a_number(&self, attr: &Attr, value: &Value, scope: &ValueScope<'_, '_>, what: &str) -> Option<Diagnostic> {
        let Value::Text(text) = value else {
            return None;
        };
        let span = match &attr.datum {
            Datum::Text(_) => attr.span,
            Datum::Template(template) => text_definition(&template.expr, scope, None, 0)?,
            _ => return None,
        };
        let diagnostic = text_like_an_expression(text, span, &|name| scope.find(name).is_some())?;
        Some(if span == attr.span { diagnostic } else { diagnostic.also(attr.span, format!("{what} needs its value")) })
    }

    /// The variable whose own definition first makes a fraction, if it isn't the expression itself.
    fn culprit(
        &self,
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
            let Some((mut at, mut entry)) = found else { continue };
            // What a block takes is what its use means by the name.
            while let Definition::Around = entry.definition {
                let Some(next) = at.around(entry.name) else { break };
                (at, entry) = next;
            }
            let Some(Ok(Binding::Known(Value::Number(value)))) = entry.state.get() else {
                continue;
            };
            let Definition::Attr(attr) = &entry.definition else {
                continue;
            };
            let (false, Datum::Template(template)) = (value.is_integer(), &attr.datum) else {
                continue;
            };
            if depth < 16
                && let Some(deeper) = self.culprit(&template.expr, at, Some(entry.name), depth + 1)
            {
                return Some(deeper);
            }
            let seen = self.seen(template, at, Some(entry.name));
            let shown = seen.map_or_else(|| value.to_string(), |seen| format!("{seen} = {value}"));
            return Some((attr.span, template.text.to_string(), shown));
        }
        None
    }
}

/// What a config says of the names in an attribute, through the definitions between: name, place, value.
fn given_behind(attr: &Attr, scope: &ValueScope<'_, '_>, own: Option<&str>, depth: usize, out: &mut Vec<(String, Span, Value)>) {
    const MOST: usize = 4;
    const DEEPEST: usize = 8;
    let Datum::Template(template) = &attr.datum else { return };
    let mut names: Vec<Name> = Vec::new();
    template.expr.for_each_variable(&mut |name: &Name| names.push(name.clone()));
    for name in names {
        let found = own.map_or_else(|| scope.find(&name.text), |own| scope.find_from(&name.text, own));
        let Some((mut at, mut entry)) = found else { continue };
        while let Definition::Around = entry.definition {
            let Some(next) = at.around(entry.name) else { break };
            (at, entry) = next;
        }
        match (&entry.definition, entry.span) {
            (Definition::Value(value), Some(span))
                if span.source.is_model() && out.len() < MOST && out.iter().all(|(_, known, _)| *known != span) =>
            {
                out.push((entry.name.to_owned(), span, value.clone()));
            }
            (Definition::Attr(attr), _) if depth < DEEPEST => given_behind(attr, at, Some(entry.name), depth + 1, out),
            _ => {}
        }
    }
}

/// The place of the text that an expression of one name stands for.
fn text_definition(expr: &Expr<Name>, scope: &ValueScope<'_, '_>, own: Option<&str>, depth: usize) -> Option<Span> {
    let Expr::Var(name) = expr else {
        return None;
    };
    let (at, entry) = own.map_or_else(|| scope.find(&name.text), |own| scope.find_from(&name.text, own))?;
    let Definition::Attr(attr) = &entry.definition else {
        return None;
    };
    match &attr.datum {
        Datum::Text(_) => Some(attr.span),
        Datum::Template(template) if depth < 16 => text_definition(&template.expr, at, Some(entry.name), depth + 1),
        _ => None,
    }
}

/// The first place of a name in an attribute.
fn place_of(attr: &Attr, name: &str) -> Span {
    fn search(attr: &Attr, name: &str) -> Option<Span> {
        match &attr.datum {
            Datum::Template(template) => {
                let mut found = None;
                template.expr.for_each_variable(&mut |n: &Name| {
                    if found.is_none() && *n.text == *name {
                        found = Some(name_part(attr.span, template.plain, n));
                    }
                });
                found
            }
            Datum::List(items) => items.iter().find_map(|item| search(item, name)),
            Datum::Object(members) => members.iter().find_map(|(_, item)| search(item, name)),
            _ => None,
        }
    }
    search(attr, name).unwrap_or(attr.span)
}

fn problem(value: &Value) -> &'static str {
    match value {
        Value::Number(n) if !n.is_integer() => ", not an integer",
        Value::Number(n) if *n < Exact::ZERO => ", which is negative",
        Value::Number(_) => ", too large",
        Value::Null => "",
        _ => ", not a number",
    }
}

/// The inner config that an expression names, and the scope that has it.
fn nested<'s, 'm, 'p>(
    expr: &Expr<Name>,
    scope: &'s ValueScope<'m, 'p>,
    own: Option<&str>,
) -> Option<(&'s ValueScope<'m, 'p>, &'m Model)> {
    let Expr::Var(name) = expr else { return None };
    let (at, entry) = own.map_or_else(|| scope.find(&name.text), |own| scope.find_from(&name.text, own))?;
    if let Definition::Nested(model) = entry.definition { Some((at, model)) } else { None }
}

/// The config from which a family's model was made.
fn document(model: &Model) -> Value {
    model.builtins.iter().find(|(name, _)| *name == "config").map_or(Value::Null, |(_, value)| value.clone())
}

/// How many repeats out the index of this name is, if it is one.
fn index_level(name: &str, scope: &ValueScope<'_, '_>) -> Option<u16> {
    let mut level = 0u16;
    for (scope, crossed) in scope.outward() {
        match scope.own(name).map(|entry| &entry.definition) {
            Some(Definition::Index(_)) => return Some(level),
            Some(_) if !crossed => return None,
            _ => {}
        }
        let indices = scope.entries.iter().filter(|entry| matches!(entry.definition, Definition::Index(_))).count();
        level = level.saturating_add(u16::try_from(indices).unwrap_or(u16::MAX));
    }
    None
}

fn residual(binding: &Binding) -> Expr<crate::quantity::workload::WorkloadVar> {
    match binding {
        Binding::Known(value) => Expr::Const(value.clone()),
        Binding::Workload(residual) => (*residual.expr).clone(),
    }
}

fn residual_of(expr: Expr<crate::quantity::workload::WorkloadVar>) -> Evaluated {
    let size = expr.size();
    if size > MAX_RESIDUAL {
        return Err(EXPRESSION_TOO_LARGE);
    }
    Ok(Binding::Workload(Residual { expr: Arc::new(expr), size }))
}

fn list(items: &[Binding]) -> Evaluated {
    let known: Option<Vec<Value>> =
        items.iter().map(|b| if let Binding::Known(v) = b { Some(v.clone()) } else { None }).collect();
    match known {
        Some(values) => Ok(Binding::Known(Value::List(values.into()))),
        None => residual_of(Expr::List(items.iter().map(residual).collect())),
    }
}
