//! Names in expressions: in scope or not, and what they depend on.

use crate::language::resolve::Resolution;
use crate::language::scope::{Definition, Entry, Scope};
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::expr::{Name, Piece};
use crate::syntax::source::Span;
use crate::syntax::spec::{Attr, Datum, TextField, UNREAD, name_part};

/// What a value depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Known before flattening.
    Structural,
    /// Known once a workload is given.
    Workload,
}

/// What is known of a name's definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub kind: Kind,
    /// Through how many others it depends on the last.
    steps: usize,
}

/// Variables may depend on others through this many steps.
const MAX_CHAIN: usize = 128;

/// Checks names, reporting each misuse once.
pub struct Names<'d> {
    diagnostics: &'d mut Diagnostics,
    chain: Vec<String>,
    /// Which use means which definition, as far as was looked.
    pub resolution: Resolution,
}

type KindScope<'m, 'p> = Scope<'m, 'p, Found>;

impl<'d> Names<'d> {
    pub fn new(diagnostics: &'d mut Diagnostics) -> Self {
        Names { diagnostics, chain: Vec::new(), resolution: Resolution::default() }
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
        self.found(attr, scope, None);
    }

    /// An attribute that decides which layers exist: it may not depend on the workload.
    pub fn structural(&mut self, attr: &Attr, scope: &KindScope<'_, '_>, what: &str) {
        if self.found(attr, scope, None).kind == Kind::Structural {
            return;
        }
        let mut diagnostic = Diagnostic::new(Code::StructureDependsOnWorkload, format!("{what} depends on the workload"))
            .at(attr.span, "known only once a workload is given")
            .help("which layers exist is decided before; how often a layer runs may depend on the workload: `calls`");
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
        for piece in field.pieces.pieces() {
            let Piece::Name(placeholder) = piece else {
                continue;
            };
            let name = &placeholder.name;
            let span = name_part(field.span, field.plain, name);
            if self.name(name, span, scope, None).kind == Kind::Workload {
                let message = format!("`{}` depends on the workload, and this text may not", name.text);
                self.push(Diagnostic::new(Code::StructureDependsOnWorkload, message).at(span, "a workload variable"));
            }
        }
    }

    /// A workload variable on which an attribute depends, for a message: the name that it uses, and the variable behind it.
    fn workload_name(&self, attr: &Attr, scope: &KindScope<'_, '_>) -> Option<(String, Option<String>)> {
        let workload = |entry: &Entry<'_, Found>| entry.state.get().is_some_and(|found| found.kind == Kind::Workload);
        let first = |attr: &Attr, scope: &KindScope<'_, '_>, own: Option<&str>| {
            names_in(attr).into_iter().map(|(name, _)| name.text.clone()).find(|name| {
                let found = own.map_or_else(|| scope.find(name), |own| scope.find_from(name, own));
                found.is_some_and(|(_, entry)| workload(entry))
            })
        };
        let name = first(attr, scope, None)?;
        let (mut at, mut entry) = scope.find(&name)?;
        let mut behind = None;
        for _ in 0..MAX_CHAIN {
            let Definition::Attr(definition) = &entry.definition else {
                break;
            };
            let next = first(definition, at, Some(entry.name))?;
            (at, entry) = at.find_from(&next, entry.name)?;
            behind = Some(next.to_string());
        }
        Some((name.to_string(), behind))
    }

    fn found(&mut self, attr: &Attr, scope: &KindScope<'_, '_>, own: Option<&str>) -> Found {
        let mut all = Found { kind: Kind::Structural, steps: 0 };
        for (name, span) in names_in(attr) {
            let found = self.name(name, span, scope, own);
            if found.kind == Kind::Workload {
                all.kind = Kind::Workload;
            }
            all.steps = all.steps.max(found.steps);
        }
        all
    }

    fn name(&mut self, name: &Name, span: Span, scope: &KindScope<'_, '_>, own: Option<&str>) -> Found {
        let found = match own {
            Some(own) => scope.find_from(&name.text, own),
            None => scope.find(&name.text),
        };
        match found {
            Some((scope, entry)) => {
                if let Some(definition) = entry.span {
                    self.resolution.note(span, definition);
                }
                return self.entry(scope, entry);
            }
            None if own == Some(&*name.text) => {
                let diagnostic = Diagnostic::new(Code::CyclicVariables, format!("`{}` is defined by itself", name.text))
                    .at(span, "there is no variable of this name outside");
                self.push(diagnostic);
            }
            None => self.unknown(name, span, scope),
        }
        Found { kind: Kind::Structural, steps: 0 }
    }

    fn unknown(&mut self, name: &Name, span: Span, scope: &KindScope<'_, '_>) {
        if scope.find(UNREAD).is_some() {
            return;
        }
        let diagnostic = if self.diagnostics.crowded() {
            Diagnostic::new(Code::UnknownVariable, format!("unknown variable `{}`", name.text)).at(span, "not in scope")
        } else {
            unknown_variable(&name.text, span, scope)
        };
        self.push(diagnostic);
    }

    /// What is known of an entry, found once.
    fn entry(&mut self, scope: &KindScope<'_, '_>, entry: &Entry<'_, Found>) -> Found {
        if let Some(found) = entry.state.get() {
            return *found;
        }
        let constant = Found { kind: Kind::Structural, steps: 0 };
        if entry.busy.get() {
            self.cycle(entry);
            return constant;
        }
        let found = match &entry.definition {
            Definition::Index(_)
            | Definition::Value(_)
            | Definition::Builtin(_)
            | Definition::Reported
            | Definition::Nested(_) => constant,
            Definition::Around => match scope.around(entry.name) {
                Some((at, outer)) => self.entry(at, outer),
                None => constant,
            },
            Definition::Workload(_) => Found { kind: Kind::Workload, steps: 0 },
            Definition::Attr(attr) if self.chain.len() >= MAX_CHAIN => {
                self.too_deep(attr);
                constant
            }
            Definition::Attr(attr) => {
                entry.busy.set(true);
                self.chain.push(entry.name.to_owned());
                let found = self.found(attr, scope, Some(entry.name));
                self.chain.pop();
                entry.busy.set(false);
                if found.steps >= MAX_CHAIN {
                    self.too_deep(attr);
                }
                Found { steps: found.steps + 1, ..found }
            }
        };
        *entry.state.get_or_init(|| found)
    }

    /// Said of the first one only: those behind it in the chain are as deep.
    fn too_deep(&mut self, attr: &Attr) {
        if !self.diagnostics.has(Code::EvaluationTooDeep) {
            let message = format!("a variable depends on others through more than {MAX_CHAIN} steps");
            self.push(Diagnostic::new(Code::EvaluationTooDeep, message).at(attr.span, "too long a chain of variables"));
        }
    }

    fn cycle(&mut self, entry: &Entry<'_, Found>) {
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

/// A name that isn't in scope, with the nearest one that is.
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

/// The names in an attribute, each with its place: in lists and objects too.
fn names_in(attr: &Attr) -> Vec<(&Name, Span)> {
    fn collect<'a>(attr: &'a Attr, out: &mut Vec<(&'a Name, Span)>) {
        match &attr.datum {
            Datum::Template(template) => template.expr.for_each_variable(&mut |name: &Name| {
                let span = name_part(attr.span, template.plain, name);
                out.push((name, span));
            }),
            Datum::List(items) => items.iter().for_each(|item| collect(item, out)),
            Datum::Object(members) => members.iter().for_each(|(_, item)| collect(item, out)),
            _ => {}
        }
    }
    let mut out = Vec::new();
    collect(attr, &mut out);
    out
}
