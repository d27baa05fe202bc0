//! What is known of a layer by its role: heads, windows, experts, at the workload.
//!
//! A row of a bound model comes in; its class says which of its names, or what made of them, is which fact. No class is known here.

use crate::catalog::{Class, Fact};
use crate::cost::LayerEnv;
use crate::cost::bind::BoundModel;
use crate::syntax::expr::Value;

/// The facts that a layer's class states.
pub(super) struct Facts<'b> {
    class: &'b Class,
    env: LayerEnv<'b>,
}

impl<'b> Facts<'b> {
    /// Those of a row; `None`: its class states none, or a value couldn't be had, which was reported.
    pub(super) fn of(bound: &'b BoundModel, row: usize) -> Option<Self> {
        let signature = bound.signatures.get(bound.rows.get(row)?.signature? as usize)?;
        let class = signature.class.as_deref().filter(|class| !class.facts.is_empty())?;
        let env = LayerEnv::new(class, signature, LayerEnv::builtins(signature, &bound.builtins));
        Some(Facts { class, env })
    }

    /// `None`: the class doesn't say.
    pub(super) fn value(&self, fact: Fact) -> Option<Value> {
        let (_, formula) = self.class.facts.iter().find(|(known, _)| *known == fact)?;
        self.env.value_of(formula).ok()
    }

    /// A fact that is a count; `None`: it is unknown, or null.
    pub(super) fn count(&self, fact: Fact) -> Option<u128> {
        self.value(fact)?.as_number()?.to_count()
    }
}
