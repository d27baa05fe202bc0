//! The explanation of one layer: what it is, what it was given, and how each of its figures comes about.

use std::fmt::Write as _;

use super::explain::{section, shape};
use super::{escape_terminal, units};
use crate::analysis::{Because, Given, Reason, Reasons, Term};
use crate::cost::workload::CompleteWorkload;
use crate::evaluation::Row;
use crate::flat::{Child, RowInfo};
use crate::syntax::expr::{Exact, Value};

/// All there is to say about the layer at `path`, which is an instance of `row`.
#[must_use]
pub fn explain_layer(path: &str, row: Row<'_>, reasons: &Reasons<'_>) -> String {
    let (info, cost) = (row.info, row.cost);
    let mut out = format!("{path}\n\n  {} ({})\n", info.row.class_name, info.row.kind_word());
    if let Some(class) = &info.row.class {
        if class.0.name != info.row.class_name {
            let _ = writeln!(out, "  defined as {}", class.0.name);
        }
        let _ = writeln!(out, "  {}\n  source: {}", class.0.doc, class.0.source);
    }
    if let Some(merged) = &info.row.merged {
        let _ = writeln!(out, "  stands for, in {}:", merged.runtime);
        for (path, class) in info.stands_for(path) {
            let _ = writeln!(out, "    {path}  {class}");
        }
    }
    let _ = writeln!(out, "  occurs: {}", occurrence(info, cost.calls));
    let _ = writeln!(out, "  workload: {}", workload(&row.bound().workload));
    section(&mut out, "parameters", reasons.parameters.iter().map(parameter));
    let weights = reasons.weights.iter().map(|weight| {
        let tied = info.row.tied.iter().find(|tied| tied.weight.as_ref().is_none_or(|name| *name == weight.name));
        let tied = tied.map(|tied| format!("tied to {}, where it counts", tied.path)).unwrap_or_default();
        vec![weight.name.to_string(), dims(&weight.shape), format!("{} params", units::exact(weight.elements)), tied]
    });
    section(&mut out, "weights", weights);
    for reason in &reasons.quantities {
        quantity(&mut out, reason);
        let (here, all) = (cost.cost.get(reason.info.quantity), cost.of(reason.info.quantity));
        if here != reason.result {
            let _ = writeln!(out, "  counted here, without what is tied: {}", units::exact(here));
        }
        if all != here {
            let _ = writeln!(out, "  all of them: {}", units::exact(all));
        }
    }
    escape_terminal(&out).into_owned()
}

fn occurrence(info: &RowInfo, calls: u128) -> String {
    let times = match info.repeats {
        1 => "once".to_owned(),
        repeats => format!("{} times, as {}", units::exact(repeats), info.path),
    };
    if calls == 1 { times } else { format!("{times}; each runs {} times in a pass", units::exact(calls)) }
}

fn workload(workload: &CompleteWorkload) -> String {
    let mut parts = vec![
        workload.phase.word().to_owned(),
        format!("batch_size {}", workload.batch_size),
        format!("seq_len {}", workload.seq_len),
        format!("past_len {}", workload.past_len),
        format!("dtype {}", workload.dtype.name),
        format!("weight_dtype {}", workload.weight_dtype.name),
        format!("kv_dtype {}", workload.kv_dtype.name),
        format!("attention {}", workload.attention.word()),
        format!("kernel {}", workload.kernel.word()),
    ];
    parts.extend(workload.more.iter().map(|(name, value)| format!("{name} {value}")));
    parts.join(", ")
}

fn parameter(given: &Given<'_>) -> Vec<String> {
    let value = given.value.as_ref().map_or_else(|| "?".to_owned(), Value::uncut);
    let origin = match (given.quantized_bits, given.default) {
        (Some(bits), _) => format!("quantized: {} bits a weight, scales included", bits.uncut()),
        (None, Some(formula)) => format!("default: {}", formula.text),
        (None, None) => "given".to_owned(),
    };
    vec![given.name.to_owned(), value, origin]
}

fn quantity(out: &mut String, reason: &Reason<'_>) {
    let _ = writeln!(out, "\n{}", reason.info.name);
    for step in &reason.steps {
        let _ = writeln!(out, "  {}", chain(&[step.name, &step.formula.text, &step.with_values, &step.result], " = "));
    }
    let (formula, with_values) = match &reason.because {
        Because::Formula { formula, with_values } => (formula.text.to_string(), with_values.clone()),
        Because::Sum { of, terms } if terms.is_empty() => (format!("{of}: none"), String::new()),
        Because::Sum { of, terms } => (format!("{of}: {}", join(terms, ", ", named)), join(terms, " + ", product)),
    };
    let result = units::exact(reason.result);
    // A number alone is said once, in the way that is read best.
    let digits = reason.result.to_string();
    let lines: Vec<&str> = [&*formula, &*with_values].into_iter().filter(|text| !text.is_empty() && *text != digits).collect();
    let _ = writeln!(out, "  {}", chain(&[&lines[..], &[&result]].concat(), "\n  = "));
}

/// Texts one after the other, each only where it differs from the one before.
fn chain(texts: &[&str], separator: &str) -> String {
    let mut texts = texts.to_vec();
    texts.dedup();
    texts.join(separator)
}

fn join(terms: &[Term<'_>], separator: &str, show: fn(&Term<'_>) -> String) -> String {
    terms.iter().map(show).collect::<Vec<_>>().join(separator)
}

fn named(term: &Term<'_>) -> String {
    format!("{} {}", term.name, term.shape.map_or_else(|| dims(&term.dims), shape))
}

/// The elements of a tensor, times the bytes of one.
fn product(term: &Term<'_>) -> String {
    let mut factors: Vec<String> = term.dims.iter().map(u128::to_string).collect();
    factors.extend(term.bytes.map(Exact::uncut));
    let product = if factors.is_empty() { "1".to_owned() } else { factors.join(" * ") };
    if term.besides == 0 { product } else { format!("{product} + {}", term.besides) }
}

fn dims(shape: &[u128]) -> String {
    let dims: Vec<String> = shape.iter().map(u128::to_string).collect();
    format!("[{}]", dims.join(", "))
}

/// What is below the path of a composite.
#[must_use]
pub fn explain_composite(path: &str, class: Option<&str>, children: &[Child]) -> String {
    /// More than anybody reads.
    const MOST: usize = 100;
    let mut out = format!("{path}\n");
    class.iter().for_each(|class| out.push_str(&format!("\n  {class}\n")));
    let shown = children.iter().take(MOST).map(|child| vec![format!("{path}.{}", child.name), child.class.clone()]);
    section(&mut out, "layers", shown);
    if children.len() > MOST {
        let _ = writeln!(out, "  ... and {} more", children.len() - MOST);
    }
    escape_terminal(&out).into_owned()
}
