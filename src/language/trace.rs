//! What the instances of a repeat read of what may differ between them (docs/decisions/0016).
//!
//! `flat` says which entries these are and when an instance begins and ends, `values` which entry is read. Whether two instances look the same
//! is for `flat` to say.

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
    /// The entry, and its value.
    pub reads: Vec<(usize, Binding)>,
    /// Something in it has no value.
    pub broken: bool,
    /// How many of the repeat's own variables are being evaluated: what these read isn't read by the instance.
    within: usize,
}

/// The traces of the instances that are being made, the outermost repeat's first.
#[derive(Debug, Default)]
pub struct Traces(Vec<Trace>);

impl Traces {
    /// From here on what is read of these entries is noted, until [`Traces::end`].
    pub fn begin<'s, 'm: 's, T: 's>(&mut self, entries: impl Iterator<Item = &'s Entry<'m, T>>) {
        self.0.push(Trace::default());
        self.more(0, entries);
    }

    /// The same of further entries, which are numbered from `first` on.
    pub fn more<'s, 'm: 's, T: 's>(&mut self, first: usize, entries: impl Iterator<Item = &'s Entry<'m, T>>) {
        let Some(level) = self.0.len().checked_sub(1) else { return };
        for (at, entry) in entries.enumerate() {
            entry.traced.set(Some(Traced { level, entry: first + at }));
        }
    }

    /// What was read since.
    pub fn end(&mut self) -> Trace {
        self.0.pop().unwrap_or_default()
    }

    /// An entry is read: what it reads itself isn't read by the instance.
    pub(super) fn enter(&mut self, traced: Traced) {
        if let Some(trace) = self.0.get_mut(traced.level) {
            trace.within += 1;
        }
    }

    /// It has its value.
    pub(super) fn leave(&mut self, traced: Traced, value: &Result<Binding, EvalError>) {
        let Some(trace) = self.0.get_mut(traced.level) else { return };
        trace.within = trace.within.saturating_sub(1);
        if trace.within > 0 || trace.reads.iter().any(|(known, _)| *known == traced.entry) {
            return;
        }
        match value {
            Ok(binding) => trace.reads.push((traced.entry, binding.clone())),
            Err(_) => trace.broken = true,
        }
    }
}
