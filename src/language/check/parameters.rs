//! A basic layer's class and parameters, as far as they can be checked without values.

use std::sync::Arc;

use crate::catalog::{Class, Classes, Parameter, ParameterKind, check_parameter};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::expr::{EvalError, Name, Syntax, Value, eval};
use crate::syntax::source::Span;
use crate::syntax::spec::{Datum, Layer, UNREAD, syntax_error};

/// Parameters that every class takes: they replace the workload's value for one layer.
pub const COMMON_PARAMETERS: &[&str] = &["dtype_bytes", "weight_dtype_bytes", "kv_dtype_bytes", "index_dtype_bytes"];

/// Checks a layer whose class is written out, and gives that; one with placeholders is checked when they have values.
/// `in_scope` knows the names that the layer could use.
pub(super) fn check_layer(
    layer: &Layer,
    classes: &Classes,
    in_scope: &dyn Fn(&str) -> bool,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Class>> {
    let field = layer.class.as_ref()?;
    let name = field.pieces.literal()?;
    let found = classes.find(name);
    match &found {
        Some(class) => check_parameters(layer, class, in_scope, diagnostics),
        None if classes.is_faulty(name) => {}
        None => {
            let suggest = !diagnostics.crowded();
            diagnostics.push(unknown_class(name, field.span, classes, suggest));
        }
    }
    found
}

/// A class that has no definition.
#[must_use]
pub fn unknown_class(name: &str, span: Span, classes: &Classes, suggest: bool) -> Diagnostic {
    let inner = span.inside();
    let near = if suggest { classes.nearest(name) } else { None };
    let diagnostic = Diagnostic::new(Code::UnknownClass, format!("unknown class `{name}`"))
        .at(span, "no definition, so no costs")
        .did_you_mean(inner, near);
    diagnostic.help("`layerspec list classes` shows the catalog's; a file may define its own under `classes`")
}

/// Parameters that the class doesn't have, lacks, or wants of another kind.
pub fn check_parameters(layer: &Layer, class: &Arc<Class>, in_scope: &dyn Fn(&str) -> bool, diagnostics: &mut Diagnostics) {
    for given in &layer.parameters {
        let name = &*given.name.value;
        match class.parameters.iter().find(|p| &*p.name == name) {
            Some(parameter) => diagnostics.extend(mistyped(parameter, &given.value.datum, given.value.span, class, in_scope)),
            None if COMMON_PARAMETERS.contains(&name) || name == UNREAD => {}
            None => diagnostics.push(unknown(name, given.name.span, class)),
        }
    }
    let given = |name: &str| layer.parameters.iter().any(|given| *given.name.value == *name);
    // A misspelt one is not missing too.
    let names = || class.parameters.iter().map(|p| &*p.name);
    let unknown = layer.parameters.iter().map(|given| &*given.name.value).filter(|name| !names().any(|n| n == *name));
    let meant: Vec<&str> = unknown.filter_map(|name| nearest(name, names())).collect();
    let missing: Vec<&Parameter> = class
        .parameters
        .iter()
        .filter(|parameter| parameter.default.is_none() && !given(&parameter.name) && !meant.contains(&&*parameter.name))
        .collect();
    if !missing.is_empty() && !given(UNREAD) {
        diagnostics.push(missing_parameters(&missing, layer, class));
    }
}

fn unknown(name: &str, span: Span, class: &Class) -> Diagnostic {
    let names = || class.parameters.iter().map(|p| &*p.name);
    let inner = span.inside();
    let near = nearest(name, names());
    let diagnostic = Diagnostic::new(Code::UnknownParameter, format!("`{}` has no parameter `{name}`", class.name))
        .at(span, "not a parameter of this class")
        .did_you_mean(inner, near);
    if near.is_some() {
        return diagnostic;
    }
    diagnostic.help(format!("its parameters are {}", names().collect::<Vec<_>>().join(", ")))
}

fn missing_parameters(missing: &[&Parameter], layer: &Layer, class: &Class) -> Diagnostic {
    let place = layer.class.as_ref().map_or(layer.span, |field| field.span);
    let names: Vec<String> = missing.iter().map(|parameter| format!("`{}`", parameter.name)).collect();
    let names = names.join(", ");
    let message = match missing.len() {
        1 => format!("the parameter {names} is missing"),
        _ => format!("the parameters {names} are missing"),
    };
    let diagnostic = Diagnostic::new(Code::MissingParameter, message).at(place, format!("this class needs {names}"));
    let diagnostic = missing
        .iter()
        .fold(diagnostic, |d, parameter| d.help(format!("`{}` ({}): {}", parameter.name, parameter.kind.word(), parameter.doc)));
    diagnostic.note(format!("`layerspec explain {}` lists its parameters", class.name))
}

/// A constant of the wrong kind. Expressions are checked when they have values.
#[must_use]
pub fn mistyped(
    parameter: &Parameter,
    datum: &Datum,
    span: Span,
    class: &Class,
    in_scope: &dyn Fn(&str) -> bool,
) -> Option<Diagnostic> {
    let value = match datum {
        Datum::Null => Value::Null,
        Datum::Bool(b) => Value::Bool(*b),
        Datum::Number(n) => Value::Number(*n),
        Datum::Text(text) => Value::Text(text.clone()),
        // Their items may be expressions.
        Datum::List(_) => Value::List([].into()),
        Datum::Object(_) => Value::Object([].into()),
        Datum::Template(_) | Datum::Invalid => return None,
    };
    if check_parameter(parameter, &value).is_some() {
        return None;
    }
    let bare = match datum {
        Datum::Text(text) if parameter.kind != ParameterKind::Text => text_like_an_expression(text, span, in_scope),
        _ => None,
    };
    Some(bare.unwrap_or_else(|| wrong_kind(parameter, &value, class).at(span, expected(parameter))))
}

/// Text where a number belongs is mostly an expression whose names lack their brackets, or a number in quotes.
#[must_use]
pub fn text_like_an_expression(text: &str, span: Span, in_scope: &dyn Fn(&str) -> bool) -> Option<Diagnostic> {
    let plain = span.range().len() == text.len() + 2;
    match crate::syntax::expr::parse(text, Syntax::Template) {
        Err(error) if matches!(error.code, Code::BareName | Code::UnbalancedPlaceholder) => {
            let word = text.get(error.range.clone())?.trim_end_matches(['>', '}']);
            if !in_scope(word) {
                return None;
            }
            Some(syntax_error(error, span, plain))
        }
        Err(_) => None,
        Ok(expr) => {
            let nothing = |name: &Name| Err(EvalError::Unknown(name.text.clone()));
            let Ok(value @ Value::Number(_)) = eval(&expr, &nothing, 0) else {
                return None;
            };
            let message = format!("a number is needed, found the text '{text}'");
            let diagnostic = Diagnostic::new(Code::TypeMismatch, message).at(span, "a text, because it stands in quotes");
            Some(diagnostic.help(format!("write the number: {value}")))
        }
    }
}

/// What a parameter takes, in words.
#[must_use]
pub fn expected(parameter: &Parameter) -> String {
    let mut words = parameter.kind.expected().to_owned();
    if !parameter.values.is_empty() {
        let values: Vec<String> = parameter.values.iter().map(|v| format!("\"{v}\"")).collect();
        words = format!("one of {}", values.join(", "));
    }
    if parameter.nullable {
        words.push_str(", or null");
    }
    format!("expected {words}")
}

/// A value that the parameter doesn't take; the place is the caller's to say.
#[must_use]
pub fn wrong_kind(parameter: &Parameter, value: &Value, class: &Class) -> Diagnostic {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::List(items) if items.is_empty() => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        value => value.to_string(),
    };
    let message = format!("`{}` is a {}, found {found}", parameter.name, parameter.kind.word());
    Diagnostic::new(Code::ParameterType, message).help(format!("`{}` of `{}`: {}", parameter.name, class.name, parameter.doc))
}
