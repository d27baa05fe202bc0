//! A basic layer's class and parameters, as far as they can be checked without values.

use std::sync::Arc;

use crate::catalog::{Class, Classes, Parameter, check_parameter};
use crate::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::expr::Value;
use crate::source::Span;
use crate::spec::{Datum, Layer};

/// Parameters that every class takes: they replace the workload's value for one layer.
pub const COMMON_PARAMETERS: &[&str] = &["dtype_bytes", "weight_dtype_bytes", "kv_dtype_bytes", "index_dtype_bytes"];

/// Checks a layer whose class is written out; one with placeholders is checked when they have values.
pub(super) fn check_layer(layer: &Layer, classes: &Classes<'_>, diagnostics: &mut Diagnostics) {
    let Some(field) = &layer.class else { return };
    let Some(name) = field.pieces.literal() else {
        return;
    };
    match classes.find(name) {
        Some(class) => check_parameters(layer, &class, diagnostics),
        None => diagnostics.push(unknown_class(name, field.span, classes)),
    }
}

/// A class that has no definition.
#[must_use]
pub fn unknown_class(name: &str, span: Span, classes: &Classes<'_>) -> Diagnostic {
    let inner = span.part(1..span.range().len().saturating_sub(1).max(1));
    let near = classes.nearest(name);
    let diagnostic = Diagnostic::new(Code::UnknownClass, format!("unknown class `{name}`"))
        .at(span, "no definition, so no costs")
        .did_you_mean(inner, near);
    diagnostic.help("`layerspec list classes` shows the catalog's; a file may define its own under `classes`")
}

/// Parameters that the class doesn't have, lacks, or wants of another kind.
pub fn check_parameters(layer: &Layer, class: &Arc<Class>, diagnostics: &mut Diagnostics) {
    for given in &layer.parameters {
        let name = &*given.name.value;
        match class.parameters.iter().find(|p| &*p.name == name) {
            Some(parameter) => diagnostics.extend(mistyped(parameter, &given.value.datum, given.value.span, class)),
            None if COMMON_PARAMETERS.contains(&name) => {}
            None => diagnostics.push(unknown(name, given.name.span, class)),
        }
    }
    for parameter in &class.parameters {
        let given = layer.parameters.iter().any(|given| given.name.value == parameter.name);
        if parameter.default.is_none() && !given {
            diagnostics.push(missing(parameter, layer, class));
        }
    }
}

fn unknown(name: &str, span: Span, class: &Class) -> Diagnostic {
    let names = || class.parameters.iter().map(|p| &*p.name);
    let inner = span.part(1..span.range().len().saturating_sub(1).max(1));
    let near = nearest(name, names());
    let diagnostic = Diagnostic::new(Code::UnknownParameter, format!("`{}` has no parameter `{name}`", class.name))
        .at(span, "not a parameter of this class")
        .did_you_mean(inner, near);
    if near.is_some() {
        return diagnostic;
    }
    diagnostic.help(format!("its parameters are {}", names().collect::<Vec<_>>().join(", ")))
}

fn missing(parameter: &Parameter, layer: &Layer, class: &Class) -> Diagnostic {
    let name = &parameter.name;
    let place = layer.class.as_ref().map_or(layer.span, |field| field.span);
    Diagnostic::new(Code::MissingParameter, format!("the parameter `{name}` is missing"))
        .at(place, format!("this class needs `{name}`"))
        .help(format!("`{name}` ({}): {}", parameter.kind.word(), parameter.doc))
        .note(format!("`layerspec explain {}` lists its parameters", class.name))
}

/// A constant of the wrong kind. Expressions are checked when they have values.
fn mistyped(parameter: &Parameter, datum: &Datum, span: Span, class: &Class) -> Option<Diagnostic> {
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
    Some(bare_name(parameter, datum, span).unwrap_or_else(|| wrong_kind(parameter, &value, class).at(span, expected(parameter))))
}

/// Text where a number belongs is mostly an expression whose names lack their brackets.
fn bare_name(parameter: &Parameter, datum: &Datum, span: Span) -> Option<Diagnostic> {
    use crate::catalog::ParameterKind::{Count, Flag, Ratio, Shape};
    let Datum::Text(text) = datum else {
        return None;
    };
    if !matches!(parameter.kind, Count | Ratio | Shape | Flag) {
        return None;
    }
    let error = crate::expr::parse(text, crate::expr::Syntax::Template).err()?;
    if error.code != Code::BareName {
        return None;
    }
    let place = span.part(error.range.start + 1..error.range.end + 1);
    let mut diagnostic = Diagnostic::new(Code::BareName, error.message).at(place, "here");
    diagnostic.help = error.help;
    Some(diagnostic)
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
    Diagnostic::new(Code::ParameterType, format!("`{}` is a {}, found {found}", parameter.name, parameter.kind.word()))
        .help(format!("`{}` of `{}`: {}", parameter.name, class.name, parameter.doc))
}
