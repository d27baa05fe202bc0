//! Repeats: a body that doesn't mention its index is walked once; else its instances share a variant when nothing in them differs.

use super::flattener::{Flattener, ValueScope};
use super::node::{Node, Repeat, Row};
use crate::language::check::{Used, index_entry, taken_scope};
use crate::language::scope::Scope;
use crate::language::{Argument, Binding, Read, Segment, Trace, Values};
use crate::syntax::diag::{Code, Diagnostic};
use crate::syntax::spec::{self, Attr, Block, Layer};

impl<'m> Flattener<'m, '_> {
    pub(super) fn repeat(&mut self, layer: &'m Layer, scope: &ValueScope<'m, '_>) {
        /// What is wrong with so many instances is wrong with the rest.
        const MOST_FAULTY: usize = 1000;
        let Some(repeat) = &layer.repeat else { return };
        let around = Scope::of_variables(scope, &layer.variables);
        let Some(count) = self.repeats(repeat, &around) else {
            return self.fault_repeated(layer, &around);
        };
        let inputs = self.inputs(layer, &around);
        // What differs in it from one instance around to another isn't in arguments alone.
        self.values.traces.mix();
        let name = layer.name.as_ref().and_then(|field| field.pieces.literal()).cloned();
        self.wiring.begin_repeat(name);
        let mut faulty = 0;
        self.counts.push(count);
        self.indices.push(0);
        let named_singly = self.names_instances();
        let block = self.block_used(layer);
        let mut forms = Forms::default();
        let mut index = 0;
        while index < count {
            if let Some(here) = self.indices.last_mut() {
                *here = index;
            }
            let indexed = Scope::new(Some(scope), index_entry(layer, index).into_iter().collect());
            let inner = Scope::of_variables(&indexed, &layer.variables);
            if faulty > MOST_FAULTY || !self.visit(layer) {
                faulty += 1;
                break;
            }
            match forms.like(&mut self.values, [&indexed, &inner], block) {
                Some(Like::Same(form)) => {
                    self.wiring.instance_like(form, index);
                    index += 1;
                    continue;
                }
                Some(Like::Resized(form)) => {
                    if let Some(node) = self.resized(layer, &inner, form) {
                        self.wiring.instance(node, index, index);
                        index += 1;
                        continue;
                    }
                }
                None => {}
            }
            self.values.traces.begin(indexed.entries.iter().chain(&inner.entries));
            self.block_of = block.map(|_| (layer, indexed.entries.len() + inner.entries.len()));
            let exists = self.exists(layer, &inner);
            let node = if exists == Some(true) { self.instance(layer, &inner, inputs.clone(), true) } else { None };
            self.block_of = None;
            let trace = self.values.traces.end();
            if node.is_none() && exists != Some(false) {
                faulty += 1;
            }
            let depends = named_singly || indexed.entries.iter().any(|entry| entry.used.get());
            let last = if depends { index } else { count - 1 };
            let made = node.is_some();
            let form = node.and_then(|node| self.wiring.instance(node, index, last));
            if !named_singly && (made || exists == Some(false)) {
                forms.add(trace, form);
            }
            index = last + 1;
        }
        self.counts.pop();
        self.indices.pop();
        let variants = self.wiring.end_repeat();
        if faulty > 0 {
            return self.fault_repeated(layer, &around);
        }
        if variants.is_empty() {
            return self.absent(layer, &around);
        }
        let name = variants.first().and_then(|variant| variant.instance.as_ref()).and_then(instance_name);
        self.place(
            layer,
            Node::Repeat(Box::new(Repeat { name, count, parallel: layer.parallel, inputs, variants, hold: layer.hold.clone() })),
        );
    }

    /// The block that a layer's body is, as `check` found, and whether it is the file's own.
    fn block_used(&self, layer: &Layer) -> Option<(&'m Block, bool)> {
        let spec::Body::Use(field) = &layer.body else { return None };
        match self.checked.used_at(field.span, self.file)? {
            Used::Local(block) => Some((block, true)),
            Used::Catalog(block) => Some((block, false)),
            Used::Family(_) => None,
        }
    }

    fn fault_repeated(&mut self, layer: &'m Layer, around: &ValueScope<'m, '_>) {
        let indexed = Scope::new(Some(around), index_entry(layer, 0).into_iter().collect());
        self.fault(layer, &indexed);
    }

    fn repeats(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>) -> Option<u64> {
        let value = self.values.structural(attr, scope)?;
        let count = value.as_number().and_then(|n| n.to_count());
        let Some(count) = count else {
            let diagnostic = self.values.not_a_count(attr, &value, scope, "`repeat`");
            self.report(diagnostic);
            return None;
        };
        if let Ok(count) = u64::try_from(count) {
            return Some(count);
        }
        let message = format!("`repeat` is {count}, more than 2^64 - 1");
        self.report(Diagnostic::new(Code::Overflow, message).at(attr.span, "too many"));
        None
    }

    pub(super) fn calls(&mut self, attr: &Attr, scope: &ValueScope<'_, '_>) -> Option<Argument> {
        let argument = self.argument(attr, scope)?;
        match &argument.binding {
            Binding::Known(value) if value.as_number().and_then(|n| n.to_count()).is_none() => {
                let diagnostic = self.values.not_a_count(attr, value, scope, "`calls`");
                self.report(diagnostic);
                None
            }
            _ => Some(argument),
        }
    }
}

/// How instances looked that were made, and what they read.
#[derive(Default)]
struct Forms {
    /// What was read, and the number of the distinct instance; none: it doesn't exist.
    known: Vec<(Trace, Option<usize>)>,
    /// There are too many for looking to be worth while.
    many: bool,
}

/// What an instance looks like, by what one that was made has read.
enum Like {
    /// As it, which is the form of this number; none: neither exists.
    Same(Option<usize>),
    /// As the form of this number, but for its layers' arguments.
    Resized(usize),
}

impl Forms {
    fn add(&mut self, trace: Trace, form: Option<usize>) {
        const MOST: usize = 32;
        self.many |= self.known.len() == MOST;
        if !self.many && !trace.broken {
            self.known.push((trace, form));
        }
    }

    /// What an instance looks like in which all that another read, or all but what makes arguments, has the same values: nothing else of it
    /// can make it look different. Only what its own making would have read, too, is evaluated.
    fn like<'m>(
        &self,
        values: &mut Values<'_>,
        [indexed, inner]: [&ValueScope<'m, '_>; 2],
        block: Option<(&'m Block, bool)>,
    ) -> Option<Like> {
        if self.known.is_empty() {
            return None;
        }
        let taken = block.map(|(block, local)| (taken_scope(block, local, inner), block));
        let block = taken.as_ref().map(|(taken, block)| Scope::of_variables(taken, &block.variables));
        let scopes = [Some(indexed), Some(inner), block.as_ref()];
        let mut value = |entry: usize| {
            let mut places = scopes.into_iter().flatten().flat_map(|scope| scope.entries.iter().map(move |entry| (scope, entry)));
            let (scope, entry) = places.nth(entry)?;
            values.entry(scope, entry, 0).ok()
        };
        let mut alike: Vec<&(Trace, Option<usize>)> = if self.many { Vec::new() } else { self.known.iter().collect() };
        for at in 0.. {
            let Some((trace, form)) = alike.first() else { break };
            let Some(Read { entry, .. }) = trace.reads.get(at) else { return Some(Like::Same(*form)) };
            let here = value(*entry)?;
            alike.retain(|(trace, _)| trace.reads.get(at).is_some_and(|read| (read.entry, &read.value) == (*entry, &here)));
        }
        let mut is_as = |read: &Read| read.is_argument || value(read.entry).as_ref() == Some(&read.value);
        let mut open = self.known.iter().filter(|(trace, _)| trace.has_open_arguments());
        open.find(|(trace, _)| trace.reads.iter().all(&mut is_as)).and_then(|(_, form)| form.map(Like::Resized))
    }
}

/// A repeated layer's name, its index symbolic.
fn instance_name(node: &Node<Box<Row>>) -> Option<Segment> {
    match node {
        Node::Layer(row) => row.segment.clone(),
        Node::Composite(composite) => composite.segment.clone(),
        Node::Repeat(_) => None,
    }
}
