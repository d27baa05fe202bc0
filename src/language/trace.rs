//! What the instances of a repeat read of what may differ between them (docs/decisions/0016, 0026).
//!
//! `flat` says which entries these are, when an instance begins and ends and what is read for layers' arguments alone, `values` which entry is
//! read. Whether two instances look the same is for `flat` to say.

use super::Binding;
use super::scope::Entry;
use crate::syntax::expr::EvalError;

/// Which entry of which repeat it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traced {
    /// How many repeats are traced around.
    pub level: usize,
    /// The entry among those of the repeat.
    pub entry: usize,
}

/// What was read of a repeat's own variables and its index while an instance of it was made, in order. How the instance looks depends on
/// nothing else of it: another instance in which all of this has the same values looks the same.
#[derive(Debug, Default)]
pub struct Trace {
    pub reads: Vec<Read>,
    /// Something in it has no value.
    pub broken: bool,
    /// What was read for arguments alone can't be told from the rest.
    mixed: bool,
    /// How many of the repeat's own variables are being evaluated: what these read isn't read by the instance.
    within: usize,
}

/// An entry that was read.
#[derive(Debug)]
pub struct Read {
    /// Its number.
    pub entry: usize,
    pub value: Binding,
    /// For layers' arguments alone: whatever it is, the instance has the same layers, wired in the same way.
    pub is_argument: bool,
}

impl Trace {
    /// Whether an instance in which all but arguments has the same values differs in these alone.
    #[must_use]
    pub fn has_open_arguments(&self) -> bool {
        !self.mixed && !self.broken && self.reads.iter().any(|read| read.is_argument)
    }
}

/// The traces of the instances that are being made, the outermost repeat's first.
#[derive(Debug, Default)]
pub struct Traces {
    open: Vec<Trace>,
    /// Whether what is read now makes a layer's arguments.
    in_arguments: bool,
    /// How many reads there were, those of the same entry again too.
    reads: u64,
}

impl Traces {
    /// From here on what is read of these entries is noted, until [`Traces::end`].
    pub fn begin<'s, 'm: 's, T: 's>(&mut self, entries: impl Iterator<Item = &'s Entry<'m, T>>) {
        self.open.push(Trace::default());
        self.more(0, entries);
    }

    /// The same of further entries, which are numbered from `first` on.
    pub fn more<'s, 'm: 's, T: 's>(&mut self, first: usize, entries: impl Iterator<Item = &'s Entry<'m, T>>) {
        let Some(level) = self.open.len().checked_sub(1) else { return };
        for (at, entry) in entries.enumerate() {
            entry.traced.set(Some(Traced { level, entry: first + at }));
        }
    }

    /// What was read since.
    pub fn end(&mut self) -> Trace {
        self.open.pop().unwrap_or_default()
    }

    /// An entry is read: what it reads itself isn't read by the instance.
    pub(super) fn enter(&mut self, traced: Traced) {
        if let Some(trace) = self.open.get_mut(traced.level) {
            trace.within += 1;
        }
    }

    /// It has its value.
    pub(super) fn leave(&mut self, traced: Traced, value: &Result<Binding, EvalError>) {
        let Some(trace) = self.open.get_mut(traced.level) else { return };
        trace.within = trace.within.saturating_sub(1);
        self.reads += 1;
        if trace.within > 0 {
            return;
        }
        if let Some(known) = trace.reads.iter_mut().find(|read| read.entry == traced.entry) {
            known.is_argument &= self.in_arguments;
            return;
        }
        match value {
            Ok(value) => trace.reads.push(Read { entry: traced.entry, value: value.clone(), is_argument: self.in_arguments }),
            Err(_) => trace.broken = true,
        }
    }

    /// What is read from here on makes a layer's arguments, or no longer does.
    pub fn arguments(&mut self, begin: bool) {
        self.in_arguments = begin;
    }

    /// An instance has something in it that is never made of another's.
    pub fn mix(&mut self) {
        self.open.iter_mut().for_each(|trace| trace.mixed = true);
    }

    /// How many reads there were.
    pub(super) fn count(&self) -> u64 {
        self.reads
    }

    /// A value is had for the first time since there were so many reads: whether it is an argument's, and follows from what was traced.
    pub(super) fn made_for_argument(&self, before: u64) -> bool {
        self.in_arguments && self.reads > before
    }

    /// A value is read again that was had for an argument first. What it was made of isn't read again, so for anything else it is as if that had
    /// been read.
    pub(super) fn again(&mut self) {
        self.reads += 1;
        if !self.in_arguments {
            self.mix();
        }
    }
}
