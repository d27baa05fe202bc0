//! What a layer or a block is to a reader, and what may be known of it: one vocabulary, that of `catalog/roles.json`.
//!
//! `build.rs` makes [`Role`] and [`Fact`] from that file. Here is how a word becomes one of them, and what to say of a word that doesn't;
//! nothing here knows a class.

use std::sync::Arc;

use super::values::text;
use crate::syntax::diag::{Code, Diagnostic, Diagnostics, nearest};
use crate::syntax::json::Node;
use crate::syntax::source::{Span, Spanned};

include!(concat!(env!("OUT_DIR"), "/roles.rs"));

/// All there is to say about a role.
struct RoleInfo {
    word: &'static str,
    shown: &'static str,
    doc: &'static str,
    facts: &'static [Fact],
    table: Option<&'static str>,
}

/// All there is to say about a fact.
struct FactInfo {
    word: &'static str,
    doc: &'static str,
}

impl Role {
    /// As class, block and model files spell it.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.info().word
    }

    /// As pages show it, where space is short.
    #[must_use]
    pub fn shown(self) -> &'static str {
        self.info().shown
    }

    /// What a layer or a block of this role is to a reader.
    #[must_use]
    pub fn doc(self) -> &'static str {
        self.info().doc
    }

    /// What may be known of a layer of this role.
    #[must_use]
    pub fn facts(self) -> &'static [Fact] {
        self.info().facts
    }

    /// The table in which classes of this role have short names: `ACT2FN` of an alias `ACT2FN.silu`.
    #[must_use]
    pub fn table(self) -> Option<&'static str> {
        self.info().table
    }

    /// The role that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.word() == word)
    }

    /// The role that a file says; `None`: there is no such role, which goes to `diagnostics`.
    pub fn read(said: &Spanned<Arc<str>>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let role = Self::from_word(&said.value);
        if role.is_none() {
            diagnostics.push(unknown_role(&said.value, said.span));
        }
        role
    }
}

impl Fact {
    /// As class files spell it.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.info().word
    }

    /// What it is, with its unit.
    #[must_use]
    pub fn doc(self) -> &'static str {
        self.info().doc
    }

    /// The fact that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fact| fact.word() == word)
    }
}

fn unknown_role(word: &str, span: Span) -> Diagnostic {
    let words = || Role::ALL.iter().map(|role| role.word());
    Diagnostic::new(Code::UnknownRole, format!("unknown role `{word}`"))
        .at(span, "not a role of the catalog")
        .did_you_mean(span.inside(), nearest(word, words()))
        .note(format!("the roles are {}", words().collect::<Vec<_>>().join(", ")))
}

/// The role that a text says; `None`: there is no such role, or it is no text, which goes to `diagnostics`.
pub(super) fn role(node: &Node, diagnostics: &mut Diagnostics) -> Option<Role> {
    Role::read(&Spanned { value: text(node, diagnostics)?, span: node.span }, diagnostics)
}
