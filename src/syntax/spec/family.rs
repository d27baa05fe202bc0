//! A family as its file has it: a model into which a config's keys are poured.

use std::sync::Arc;

use super::{Attr, Block, Layer, ModelInput, TextField, Variable};
use crate::syntax::source::{Span, Spanned};

/// What stands in place of a default where there is none.
pub const REQUIRED: &str = "required";

/// A family, with what it takes over from the one that it extends.
#[derive(Debug, Clone)]
pub struct Family {
    pub span: Span,
    pub name: Arc<str>,
    pub model_types: Vec<Arc<str>>,
    /// The stem of its class names; `None`: it is a base that others extend, and no model is of it.
    pub prefix: Option<Arc<str>>,
    pub class: Option<TextField>,
    pub source: Arc<str>,
    pub doc: Option<Arc<str>>,
    pub extends: Option<Spanned<Arc<str>>>,
    /// A config's key, and the variable that it means.
    pub aliases: Vec<(Spanned<Arc<str>>, Arc<str>)>,
    pub variables: Vec<Variable>,
    pub derived: Vec<Variable>,
    pub require: Vec<Require>,
    /// A config's key that nothing here reads though it changes the model, and what it does.
    pub foreign: Vec<(Spanned<Arc<str>>, Arc<str>)>,
    pub workload: Vec<Variable>,
    pub inputs: Vec<ModelInput>,
    pub nested: Vec<Nested>,
    pub blocks: Vec<Block>,
    pub layers: Vec<Layer>,
    pub heads: Vec<Head>,
    pub default_head: Option<Spanned<Arc<str>>>,
    /// Never its base's: checkpoints of another model may have none.
    pub draft: Option<Draft>,
}

/// A condition on a config.
#[derive(Debug, Clone)]
pub struct Require {
    pub condition: Attr,
    pub message: Arc<str>,
}

/// An inner config and its family.
#[derive(Debug, Clone)]
pub struct Nested {
    pub name: Spanned<Arc<str>>,
    pub family: TextField,
    pub config: Attr,
    pub head: Option<TextField>,
    /// The family's draft part, not its layers: there where one is built.
    pub is_draft: bool,
}

/// The part for multi-token prediction: what checkpoints hold beside the model, and engines draft tokens with.
#[derive(Debug, Clone)]
pub struct Draft {
    /// How many such layers a config says.
    pub count: Attr,
    pub layers: Vec<Layer>,
    /// The heads behind which it may stand; none: the default one.
    pub heads: Vec<Arc<str>>,
    /// Other values of variables, for files of weights that don't hold all of it.
    pub otherwise: Vec<Variable>,
}

/// What an architecture adds to the bare model.
#[derive(Debug, Clone)]
pub struct Head {
    pub name: Spanned<Arc<str>>,
    /// The name under which the bare model goes.
    pub base: Option<Spanned<Arc<str>>>,
    pub variables: Vec<Variable>,
    pub layers: Vec<Layer>,
}

impl Family {
    /// The variable that a key of a config is another name of.
    #[must_use]
    pub fn aliased(&self, key: &str) -> Option<&Arc<str>> {
        self.aliases.iter().find(|(alias, _)| *alias.value == *key).map(|(_, name)| name)
    }

    /// This family on top of the one that it extends: what is named merges name by name, the rest is replaced where it is said.
    #[must_use]
    pub fn over(self, base: &Family) -> Family {
        Family {
            aliases: merged(&base.aliases, self.aliases, |(key, _)| &key.value),
            variables: merged(&base.variables, self.variables, |v| &v.name.value),
            derived: merged(&base.derived, self.derived, |v| &v.name.value),
            require: merged(&base.require, self.require, |r| &r.message),
            foreign: merged(&base.foreign, self.foreign, |(key, _)| &key.value),
            workload: merged(&base.workload, self.workload, |v| &v.name.value),
            nested: merged(&base.nested, self.nested, |n| &n.name.value),
            blocks: merged(&base.blocks, self.blocks, |b| &b.name.value),
            heads: merged(&base.heads, self.heads, |h| &h.name.value),
            inputs: if self.inputs.is_empty() { base.inputs.clone() } else { self.inputs },
            layers: if self.layers.is_empty() { base.layers.clone() } else { self.layers },
            default_head: self.default_head.or_else(|| base.default_head.clone()),
            ..self
        }
    }

    /// Whether it is there for others to extend, and no model can be of it.
    #[must_use]
    pub fn is_base(&self) -> bool {
        self.prefix.is_none()
    }

    /// The stem of its class names.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// The last segment of its prefix: what its architectures' names begin with.
    #[must_use]
    pub fn stem(&self) -> &str {
        self.prefix().rsplit('.').next().unwrap_or_default()
    }
}

/// The base's entries, each replaced by the own one of its name, then the own ones that are new.
fn merged<T: Clone>(base: &[T], own: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
    let mut out = base.to_vec();
    for entry in own {
        match out.iter_mut().find(|known| name(known) == name(&entry)) {
            Some(known) => *known = entry,
            None => out.push(entry),
        }
    }
    out
}
