//! Wrappers are taken off: what runs a model on several devices, compiles it, or adapts it. An adapter's parts are kept apart.

use std::sync::Arc;

use super::read::Module;
use crate::catalog::{Catalog, PrintedWrapper};
use crate::syntax::glob;

/// A part of an adapter.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// What is printed of it.
    pub module: Module,
    /// How often, in all ranges around it.
    pub times: u64,
}

/// A model without its wrappers.
#[derive(Debug)]
pub struct Unwrapped {
    /// The model.
    pub root: Module,
    /// The adapters' parts.
    pub adapters: Vec<Adapter>,
    /// The classes of what was taken off, in the order in which they were met.
    pub wrappers: Vec<Arc<str>>,
}

fn fits(patterns: &[Arc<str>], name: &str) -> bool {
    patterns.iter().any(|pattern| glob::matches(pattern, name))
}

fn called(wrapper: &PrintedWrapper, class: &str) -> bool {
    glob::matches(&wrapper.name, class) || fits(&wrapper.also, class)
}

/// Takes wrappers off, at any depth.
#[must_use]
pub fn unwrapped(root: Module, catalog: &Catalog) -> Unwrapped {
    let mut out = Unwrapping { rules: catalog.print_wrappers(), adapters: Vec::new(), wrappers: Vec::new() };
    let root = out.module(root, 1);
    Unwrapped { root, adapters: out.adapters, wrappers: out.wrappers }
}

struct Unwrapping<'c> {
    rules: &'c [PrintedWrapper],
    adapters: Vec<Adapter>,
    wrappers: Vec<Arc<str>>,
}

impl<'c> Unwrapping<'c> {
    fn module(&mut self, mut module: Module, times: u64) -> Module {
        let times = times.saturating_mul(module.count);
        while let Some((rule, at)) = self.wrapped(&module) {
            let own = std::mem::take(&mut module.children);
            let mut inner = None;
            for (place, child) in own.into_iter().enumerate() {
                if place == at {
                    inner = Some(child);
                } else if !fits(&rule.again, &child.key) && (rule.adapter.is_empty() || fits(&rule.adapter, &child.key)) {
                    self.adapters.push(Adapter { module: child, times });
                }
            }
            if !self.wrappers.contains(&module.class) {
                self.wrappers.push(module.class.clone());
            }
            let Some(inner) = inner else { break };
            module = Module { key: module.key, from: module.from, count: module.count, is_range: module.is_range, ..inner };
        }
        let children = std::mem::take(&mut module.children);
        for child in children {
            if self
                .rules
                .iter()
                .any(|rule| rule.inner.is_empty() && called(rule, &module.class) && fits(&rule.adapter, &child.key))
            {
                self.adapters.push(Adapter { module: child, times });
            } else {
                let child = self.module(child, times);
                module.children.push(child);
            }
        }
        module
    }

    /// The rule for a module that wraps another, and which child is meant.
    fn wrapped(&self, module: &Module) -> Option<(&'c PrintedWrapper, usize)> {
        let rules = self.rules.iter().filter(|rule| called(rule, &module.class));
        let place = |rule: &PrintedWrapper| {
            rule.inner.iter().find_map(|inner| module.children.iter().position(|child| !child.is_range && child.key == *inner))
        };
        rules.filter_map(|rule| Some((rule, place(rule)?))).next()
    }
}
