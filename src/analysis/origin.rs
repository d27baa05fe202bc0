//! Where a variable's value comes from: what was set, what the config or the file says, the family's default, what is derived.
//!
//! A [`Checked`] model and a name come in, an [`Origin`] goes out.

use std::sync::Arc;

use crate::language::check::{Checked, Run, derived_entries, root_entries, variable_entries};
use crate::language::scope::{Entry, Scope};
use crate::language::{Binding, Values};
use crate::syntax::diag::Diagnostics;
use crate::syntax::expr::Value;
use crate::syntax::source::Span;
use crate::syntax::spec::{Datum, GivenValue, Model};

/// One place that has a say, the one that wins first.
#[derive(Debug)]
pub struct Step {
    /// `set`, `derived`, `config`, `default`.
    pub kind: &'static str,
    /// A definition or a value, as it is written.
    pub text: String,
    /// Where it stands.
    pub span: Option<Span>,
}

/// A variable: its value and how that comes about.
#[derive(Debug)]
pub struct Origin {
    /// The variable.
    pub name: String,
    /// `None`: it depends on the workload, or can't be had.
    pub value: Option<Value>,
    /// Who has a say, the one that wins first.
    pub steps: Vec<Step>,
    /// The names that a derived value is made from.
    pub from: Vec<Arc<str>>,
    /// The family whose variable it is.
    pub family: Option<Arc<str>>,
}

/// The variable of this name; `text.hidden_size` is one of an inner config. `None`: there is none.
#[must_use]
pub fn origin(checked: &Checked, name: &str) -> Option<Origin> {
    let mut path: Vec<&str> = name.split('.').collect();
    let last = path.pop()?;
    let mut ignored = Diagnostics::default();
    let [workload, variables, derived] = root_entries(&checked.model, &checked.settings, &Run::default());
    let outer = Scope::new(None, workload);
    let variables = Scope::new(Some(&outer), variables);
    let derived = Scope::new(Some(&variables), derived);
    let mut values = Values::new(&mut ignored);
    let found = inside(&checked.model, &path, &derived, &mut values, checked, last)?;
    Some(Origin { name: name.to_owned(), ..found })
}

type ValueScope<'m, 'p> = Scope<'m, 'p, Result<Binding, crate::syntax::expr::EvalError>>;

fn inside<'m>(
    model: &'m Model,
    path: &[&str],
    scope: &ValueScope<'m, '_>,
    values: &mut Values<'_>,
    checked: &Checked,
    last: &str,
) -> Option<Origin> {
    let Some((head, rest)) = path.split_first() else {
        return here(model, scope, values, checked, last);
    };
    let inner = model.nested.iter().find(|(name, _)| &*name.value == *head).map(|(_, inner)| inner)?;
    let variables = Scope::boundary(scope, variable_entries(inner, &[], &[]));
    let derived = Scope::new(Some(&variables), derived_entries(inner, &[]));
    inside(inner, rest, &derived, values, checked, last)
}

fn here(model: &Model, scope: &ValueScope<'_, '_>, values: &mut Values<'_>, checked: &Checked, name: &str) -> Option<Origin> {
    let name = model.canonical(name);
    let mut steps = Vec::new();
    let mut from = Vec::new();
    if let Some(derived) = model.derived.iter().find(|v| &*v.name.value == name) {
        steps.push(Step { kind: "derived", text: derived.value.written(), span: Some(derived.value.span) });
        if let Datum::Template(template) = &derived.value.datum {
            template.expr.for_each_variable(&mut |name| {
                if !from.contains(&name.text) {
                    from.push(name.text.clone());
                }
            });
        }
    }
    let is_root = std::ptr::eq(model, &checked.model);
    if let Some((key, value)) = checked.settings.iter().rev().find(|(key, _)| is_root && model.canonical(key) == name) {
        steps.push(Step { kind: "set", text: format!("{key} = {value}"), span: None });
    }
    if let Some(given) = model.given.iter().find(|given| &*given.name == name) {
        let text = match &given.value {
            GivenValue::Data(value) => value.to_string(),
            GivenValue::Attr(attr) => attr.written(),
        };
        let key = &given.key.value;
        let text = if **key == *name { text } else { format!("{text}, as `{key}`") };
        steps.push(Step { kind: if model.is_of_config() { "config" } else { "file" }, text, span: Some(given.span) });
    }
    if let Some(variable) = model.variables.iter().find(|v| &*v.name.value == name) {
        let kind = if model.family.is_some() { "default" } else { "variable" };
        steps.push(Step { kind, text: variable.value.written(), span: Some(variable.value.span) });
    }
    if steps.is_empty() {
        return None;
    }
    let (at, entry): (&ValueScope<'_, '_>, &Entry<'_, _>) = scope.find(name)?;
    let value = match values.entry(at, entry, 0) {
        Ok(Binding::Known(value)) => Some(value),
        _ => None,
    };
    Some(Origin { name: name.to_owned(), value, steps, from, family: model.family.as_ref().map(|family| family.value.clone()) })
}

/// The names of a model's variables, those of inner configs with their config's name before them.
#[must_use]
pub fn names(model: &Model) -> Vec<String> {
    let own = model.variables.iter().chain(&model.derived).map(|v| v.name.value.to_string());
    let inner =
        model.nested.iter().flat_map(|(name, inner)| names(inner).into_iter().map(move |n| format!("{}.{n}", name.value)));
    let mut all: Vec<String> = own.chain(inner).collect();
    all.sort_unstable();
    all.dedup();
    all
}
