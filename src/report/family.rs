//! Explains a family: which configs are of it, what they may say, and what follows; and a block: what it takes, and its layers.

use std::fmt::Write as _;

use super::explain::section;
use crate::syntax::spec::{Block, Body, Family, Layer, Variable};

/// All there is to say about a family.
#[must_use]
pub fn explain_family(family: &Family) -> String {
    let mut out = format!("{} (family)\n\n", family.name);
    if let Some(doc) = &family.doc {
        let _ = writeln!(out, "  {doc}");
    }
    let types: Vec<&str> = family.model_types.iter().map(|t| &**t).collect();
    let _ = match (family.is_base(), types.is_empty()) {
        (true, _) => writeln!(out, "  a base: others extend it, no config is of it"),
        (false, true) => writeln!(out, "  model types: none: used by others"),
        (false, false) => writeln!(out, "  model types: {}", types.join(", ")),
    };
    if let Some(prefix) = &family.prefix {
        let _ = writeln!(out, "  classes: {prefix}...");
    }
    if let Some(base) = &family.extends {
        let _ = writeln!(out, "  extends: {}", base.value);
    }
    let _ = writeln!(out, "  source: {}", family.source);
    section(&mut out, "variables, which a config's keys replace", family.variables.iter().map(row));
    section(&mut out, "also called", family.aliases.iter().map(|(key, name)| vec![key.value.to_string(), format!("= {name}")]));
    section(&mut out, "derived", family.derived.iter().map(row));
    section(&mut out, "required", family.require.iter().map(|r| vec![r.condition.written(), r.message.to_string()]));
    section(&mut out, "workload variables of its own", family.workload.iter().map(row));
    let nested = family.nested.iter().map(|n| vec![n.name.value.to_string(), n.family.text.to_string(), n.config.written()]);
    section(&mut out, "inner configs", nested);
    let default = family.default_head.as_ref().map(|head| &*head.value);
    let heads = family.heads.iter().map(|head| {
        let mark = if default == Some(&*head.name.value) { "(default)" } else { "" };
        let base = head.base.as_ref().map_or_else(String::new, |base| format!("over `{}`", base.value));
        vec![format!("{}{}", family.stem(), head.name.value), base, mark.to_owned()]
    });
    section(&mut out, "heads", heads);
    let draft =
        family.draft.iter().map(|draft| vec![format!("{} layers", draft.count.written()), "--with-mtp builds them".to_owned()]);
    section(&mut out, "draft part (multi-token prediction)", draft);
    out
}

/// All there is to say about a block: what it takes from where it is used, what it computes of that, and its layers as they are written.
#[must_use]
pub fn explain_block(block: &Block) -> String {
    let mut out = format!("blocks/{} (block)\n\n", block.name.value);
    if let Some(doc) = &block.doc {
        let _ = writeln!(out, "  {doc}");
    }
    if let Some(role) = &block.role {
        let _ = writeln!(out, "  role: {}", role.value);
    }
    if !block.reads.is_empty() {
        let reads: Vec<&str> = block.reads.iter().map(|name| &*name.value).collect();
        let _ = writeln!(out, "  reads values of layers around: {}", reads.join(", "));
    }
    let takes = block.takes.iter().map(|take| {
        let default = take.default.as_ref().map_or_else(|| "required".to_owned(), |value| format!("= {}", value.written()));
        vec![take.name.value.to_string(), default]
    });
    section(&mut out, "takes", takes);
    section(&mut out, "variables", block.variables.iter().map(row));
    let mut layers = Vec::new();
    lines(&block.layers, 0, &mut layers);
    section(&mut out, "layers", layers);
    out
}

fn lines(layers: &[Layer], depth: usize, out: &mut Vec<Vec<String>>) {
    for layer in layers {
        let name = layer.name.as_ref().map_or("(group)", |name| &*name.text);
        let what = match (&layer.body, &layer.class) {
            (Body::Use(block), _) => format!("use {}", block.text),
            (_, Some(class)) => class.text.to_string(),
            _ => String::new(),
        };
        let when = layer.when.as_ref().map_or_else(String::new, |when| format!("when {}", when.written()));
        out.push(vec![format!("{}{name}", "  ".repeat(depth)), what, when]);
        if let Body::Composite(layers) = &layer.body {
            lines(layers, depth + 1, out);
        }
    }
}

fn row(variable: &Variable) -> Vec<String> {
    vec![variable.name.value.to_string(), format!("= {}", variable.value.written())]
}
