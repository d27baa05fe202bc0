//! docs/roles.md: the vocabulary of `catalog/roles.json`, as Markdown.

use std::fmt::Write as _;

use super::escape_markdown;
use crate::catalog::{Fact, Role};

/// The page of roles and facts.
#[must_use]
pub fn roles_page() -> String {
    let mut out = String::from(
        "# Roles\n\nGenerated from `catalog/roles.json`, the one place where they are defined (`UPDATE=1 cargo test --test it fresh`).\n\n\
         A role says what a layer or a block is to a reader. It changes no figure: `summary` and `compare` count and name parts by it. \
         A class says it (`role`, [classes.md](classes.md)), a block says it of the composite that a `use` of it makes, and a layer may say it \
         itself, which wins ([language.md](language.md)). Where nothing says that a composite is attention or a state-space layer, the \
         roles of its layers do.\n\n| role | what it is | facts |\n|---|---|---|\n",
    );
    for role in Role::ALL {
        let facts: Vec<String> = role.facts().iter().map(|fact| format!("`{}`", fact.word())).collect();
        let table =
            role.table().map_or_else(String::new, |table| format!(". An alias `{table}.NAME` of a class is its short name"));
        let _ = writeln!(out, "| `{}` | {}{table} | {} |", role.word(), escape_markdown(role.doc()), facts.join(", "));
    }
    out.push_str(
        "\n## Facts\n\nWhat may be known of a layer by its role. A class states those that it has under `facts`, each as a formula over its \
         parameters and variables: `\"facts\": { \"query_heads\": \"num_heads\", \"gated\": true }`.\n\n| fact | what it is |\n|---|---|\n",
    );
    for fact in Fact::ALL {
        let _ = writeln!(out, "| `{}` | {} |", fact.word(), escape_markdown(fact.doc()));
    }
    out
}
