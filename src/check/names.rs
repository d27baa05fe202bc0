//! Names in expressions: in scope or not, and what they depend on.

use crate::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::expr::{Name, Piece};
use crate::scope::{Definition, Entry, Scope};
use crate::source::Span;
use crate::spec::{Attr, Datum, Template, TextField, unescaped_part};

/// What a value depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Known before flattening.
    Structural,
    /// Known once a workload is given.
    Workload,
}

/// Variables may depend on others through this many steps.
const MAX_CHAIN: usize = 128;

/// Checks names, reporting each misuse once.
pub struct Names<'d> {
    diagnostics: &'d mut Diagnostics,
    chain: Vec<String>,
}

type KindScope<'m, 'p> = Scope<'m, 'p, Kind>;

impl<'d> Names<'d> {
    pub fn new(diagnostics: &'d mut Diagnostics) -> Self {
        Names { diagnostics, chain: Vec::new() }
    }

    pub fn diagnostics(&mut self) -> &mut Diagnostics {
        self.diagnostics
    }

    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// All definitions of a scope.
    pub fn scope(&mut self, scope: &KindScope<'_, '_>) {
        for entry in &scope.entries {
            self.entry(scope, entry);
        }
    }

    /// An attribute that may depend on the workload.
    pub fn attr(&mut self, attr: &Attr, scope: &KindScope<'_, '_>) {
        self.kind(attr, scope, None);
    }

    /// An attribute that decides which layers exist: it may not depend on the workload.
    pub fn structural(&mut self, attr: &Attr, scope: &KindScope<'_, '_>, what: &str) {
        if self.kind(attr, scope, None) == Kind::Structural {
            return;
        }
        let mut diagnostic = depends_on_workload(what, attr.span);
        if let Some((name, via)) = self.workload_name(attr, scope) {
            diagnostic = diagnostic.note(match via {
                Some(via) => format!("`{via}` is a workload variable, on which `{name}` depends"),
                None => format!("`{name}` is a workload variable"),
            });
        }
        self.push(diagnostic);
    }

    /// A text whose placeholders must be structural.
    pub fn text(&mut self, field: &TextField, scope: &KindScope<'_, '_>) {
        for piece in &field.pieces.pieces {
            let Piece::Name(name, _) = piece else {
                continue;
            };
            let span = unescaped_part(field.span, field.plain, name.start as usize..name.end as usize);
            if self.name(name, span, scope, None) == Kind::Workload {
                self.push(text_depends_on_workload(&name.text, span));
            }
        }
    }

    /// A workload variable on which an attribute depends, for a message: the name that it uses, and the variable behind it.
    fn workload_name(&self, attr: &Attr, scope: &KindScope<'_, '_>) -> Option<(String, Option<String>)> {
        let mut found = None;
        for_each_template(attr, &mut |template| {
            template.expr.for_each_variable(&mut |name: &Name| {
                let Some((at, entry)) = scope.find(&name.text) else {
                    return;
                };
                if found.is_none() && entry.state.get() == Some(&Kind::Workload) {
                    found = Some((name.text.to_string(), self.root_cause(at, entry, 0)));
                }
            });
        });
        found
    }

    fn root_cause(&self, scope: &KindScope<'_, '_>, entry: &Entry<'_, Kind>, depth: usize) -> Option<String> {
        let Definition::Attr(attr) = &entry.definition else {
            return None;
        };
        let mut cause = None;
        for_each_template(attr, &mut |template| {
            template.expr.for_each_variable(&mut |name: &Name| {
                let Some((at, next)) = scope.find_from(&name.text, entry.name) else {
                    return;
                };
                if cause.is_none() && next.state.get() == Some(&Kind::Workload) && depth < MAX_CHAIN {
                    cause = self.root_cause(at, next, depth + 1).or_else(|| Some(name.text.to_string()));
                }
            });
        });
        cause
    }

    fn kind(&mut self, attr: &Attr, scope: &KindScope<'_, '_>, own: Option<&str>) -> Kind {
        let mut kind = Kind::Structural;
        for_each_template(attr, &mut |template| {
            template.expr.for_each_variable(&mut |name: &Name| {
                let span = unescaped_part(attr_span(attr, template), template.plain, name.start as usize..name.end as usize);
                if self.name(name, span, scope, own) == Kind::Workload {
                    kind = Kind::Workload;
                }
            });
        });
        kind
    }

    fn name(&mut self, name: &Name, span: Span, scope: &KindScope<'_, '_>, own: Option<&str>) -> Kind {
        let found = match own {
            Some(own) => scope.find_from(&name.text, own),
            None => scope.find(&name.text),
        };
        match found {
            Some((scope, entry)) => self.entry(scope, entry),
            None if own == Some(&*name.text) => {
                let diagnostic = Diagnostic::new(Code::CyclicVariables, format!("`{}` is defined by itself", name.text))
                    .at(span, "there is no variable of this name outside");
                self.push(diagnostic);
                Kind::Structural
            }
            None => {
                self.push(unknown_variable(&name.text, span, scope));
                Kind::Structural
            }
        }
    }

    /// The kind of an entry, found once.
    fn entry(&mut self, scope: &KindScope<'_, '_>, entry: &Entry<'_, Kind>) -> Kind {
        if let Some(kind) = entry.state.get() {
            return *kind;
        }
        if entry.busy.get() {
            self.cycle(entry);
            return Kind::Structural;
        }
        let kind = match &entry.definition {
            Definition::Index(_) | Definition::Value(_) => Kind::Structural,
            Definition::Workload(_) => Kind::Workload,
            Definition::Attr(attr) if self.chain.len() >= MAX_CHAIN => {
                let message = format!("`{}` stands behind more than {MAX_CHAIN} other variables", entry.name);
                self.push(Diagnostic::new(Code::EvaluationTooDeep, message).at(attr.span, "too long a chain"));
                Kind::Structural
            }
            Definition::Attr(attr) => {
                entry.busy.set(true);
                self.chain.push(entry.name.to_owned());
                let kind = self.kind(attr, scope, Some(entry.name));
                self.chain.pop();
                entry.busy.set(false);
                kind
            }
        };
        *entry.state.get_or_init(|| kind)
    }

    fn cycle(&mut self, entry: &Entry<'_, Kind>) {
        let Definition::Attr(attr) = &entry.definition else {
            return;
        };
        let start = self.chain.iter().rposition(|name| name == entry.name).unwrap_or(0);
        let mut steps: Vec<&str> = self.chain.iter().skip(start).map(String::as_str).collect();
        steps.push(entry.name);
        let message = format!("variables depend on each other in a circle: {}", steps.join(" -> "));
        self.push(
            Diagnostic::new(Code::CyclicVariables, message).at(attr.span, format!("`{}` comes back to itself", entry.name)),
        );
    }
}

/// A name that isn't in scope.
#[must_use]
pub fn unknown_variable<T>(name: &str, span: Span, scope: &Scope<'_, '_, T>) -> Diagnostic {
    let near = nearest(name, scope.names());
    let diagnostic = Diagnostic::new(Code::UnknownVariable, format!("unknown variable `{name}`"))
        .at(span, "not in scope")
        .did_you_mean(span, near);
    match near.and_then(|near| scope.find(near)).and_then(|(_, entry)| entry.span) {
        Some(place) => diagnostic.also(place, "a similar name is defined here"),
        None => diagnostic,
    }
}

/// An attribute that decides which layers exist, and depends on the workload.
#[must_use]
pub fn depends_on_workload(what: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code::StructureDependsOnWorkload, format!("{what} depends on the workload"))
        .at(span, "known only once a workload is given")
        .help("which layers exist is decided before; how often a layer runs may depend on the workload: `calls`")
}

/// A placeholder in a text that depends on the workload.
#[must_use]
pub fn text_depends_on_workload(name: &str, span: Span) -> Diagnostic {
    let message = format!("`{name}` depends on the workload, and this text may not");
    Diagnostic::new(Code::StructureDependsOnWorkload, message).at(span, "a workload variable")
}

/// The expressions in an attribute, those in lists and objects too.
pub fn for_each_template<'a>(attr: &'a Attr, visit: &mut dyn FnMut(&'a Template)) {
    match &attr.datum {
        Datum::Template(template) => visit(template),
        Datum::List(items) => items.iter().for_each(|item| for_each_template(item, visit)),
        Datum::Object(members) => members.iter().for_each(|(_, item)| for_each_template(item, visit)),
        _ => {}
    }
}

/// Where a template of an attribute stands: inside lists and objects, at its own item.
pub fn attr_span(attr: &Attr, template: &Template) -> Span {
    fn search(attr: &Attr, template: &Template) -> Option<Span> {
        match &attr.datum {
            Datum::Template(t) if std::ptr::eq(t, template) => Some(attr.span),
            Datum::List(items) => items.iter().find_map(|item| search(item, template)),
            Datum::Object(members) => members.iter().find_map(|(_, item)| search(item, template)),
            _ => None,
        }
    }
    search(attr, template).unwrap_or(attr.span)
}
