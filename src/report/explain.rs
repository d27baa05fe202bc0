//! Explanations: of a class, a dtype, a device, a diagnostic code. Every number can be asked where it comes from.

use std::fmt::Write as _;
use std::sync::Arc;

use super::units::{self, Units};
use crate::catalog::{
    Alias, Class, Convention, Device, Dim, Dtype, ElementDef, Example, Formula, Layers, Parameter, Rewritten, Role, Runtime,
    Selector, ShapeDef, ValueDef,
};
use crate::cost::rules::{Rule, rule};
use crate::quantity::Quantity;
use crate::syntax::diag::{CODES, CodeInfo};
use crate::syntax::escape::escape_terminal;
use crate::syntax::spec::KEPT_DTYPE;

/// All there is to say about a class.
#[must_use]
pub fn explain_class(class: &Class) -> String {
    let mut out = format!("{} ({})\n\n  {}\n", class.name, class.kind.word(), class.doc);
    if !class.aliases.is_empty() {
        let alias = |alias: &Alias| match alias.kind == class.kind {
            true => alias.name.to_string(),
            false => format!("{} ({})", alias.name, alias.kind.word()),
        };
        let aliases: Vec<String> = class.aliases.iter().map(alias).collect();
        let _ = writeln!(out, "  also: {}", aliases.join(", "));
    }
    if let Some(base) = &class.extends {
        let _ = writeln!(out, "  extends: {base}");
    }
    let _ = writeln!(out, "  source: {}", class.source);
    section(&mut out, "parameters", class.parameters.iter().map(parameter));
    let weights = class.weights.iter().map(|w| {
        let kept = if w.float32 { format!("stays in {KEPT_DTYPE}") } else { String::new() };
        vec![w.name.to_string(), shape(&w.shape), when(w.when.as_ref()), kept]
    });
    section(&mut out, "weights", weights);
    section(&mut out, "inputs", class.inputs.iter().map(value));
    section(&mut out, "outputs", class.outputs.iter().map(value));
    section(&mut out, "formulas", formulas(class));
    section(&mut out, "with", class.variables.iter().map(|(name, f)| vec![name.to_string(), f.text.to_string()]));
    section(&mut out, "required", class.require.iter().map(|(f, message)| vec![f.text.to_string(), message.to_string()]));
    section(&mut out, "derivation", class.derivation.iter().map(|line| vec![line.to_string()]));
    if !class.examples.is_empty() {
        out.push_str("\nexamples\n");
        class.examples.iter().for_each(|e| example(&mut out, e));
    }
    out
}

/// Lines of aligned cells under a title; nothing if there are none.
pub(super) fn section(out: &mut String, title: &str, rows: impl IntoIterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    if rows.is_empty() {
        return;
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    // What is longer stands out, and makes nothing else longer.
    const WIDEST: usize = 120;
    let lengths = |at: usize| rows.iter().filter_map(move |row| row.get(at)).map(|cell| cell.chars().count());
    let width = |at: usize| lengths(at).filter(|length| *length <= WIDEST).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let _ = writeln!(out, "\n{title}");
    for row in &rows {
        let mut line = String::from("  ");
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', 2 + width.saturating_sub(cell.chars().count())));
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

fn parameter(parameter: &Parameter) -> Vec<String> {
    let default = parameter.default.as_ref().map_or_else(|| "required".to_owned(), |formula| format!("= {}", formula.text));
    let mut doc = parameter.doc.to_string();
    if !parameter.values.is_empty() {
        let values: Vec<&str> = parameter.values.iter().map(|v| &**v).collect();
        let _ = write!(doc, " (one of {})", values.join(", "));
    }
    if parameter.implied {
        doc.push_str(" (implied by `...`)");
    }
    vec![parameter.name.to_string(), parameter.kind.word().to_owned(), default, doc]
}

pub(super) fn shape(shape: &ShapeDef) -> String {
    match shape {
        ShapeDef::List(formula) => formula.text.to_string(),
        ShapeDef::Dims(dims) => {
            let dims: Vec<&str> = dims.iter().map(|dim| if let Dim::Size(f) = dim { &*f.text } else { "..." }).collect();
            format!("[{}]", dims.join(", "))
        }
    }
}

fn when(formula: Option<&Formula>) -> String {
    formula.map_or_else(String::new, |formula| format!("when {}", formula.text))
}

fn value(value: &ValueDef) -> Vec<String> {
    let view = match value.view.as_ref().map(|f| &*f.text) {
        None | Some("false") => String::new(),
        Some("true") => "a view".to_owned(),
        Some(condition) => format!("a view when {condition}"),
    };
    vec![value.name.to_string(), shape(&value.shape), element(&value.element), view, when(value.when.as_ref())]
}

/// What a class's explanation says formulas of: the other quantities are the same sums for every class.
const STATED: [Quantity; 13] = [
    Quantity::MatmulFlops,
    Quantity::VectorFlops,
    Quantity::Transcendentals,
    Quantity::BackwardMatmulFlops,
    Quantity::BackwardVectorFlops,
    Quantity::BackwardTranscendentals,
    Quantity::WeightsRead,
    Quantity::ActivationsRead,
    Quantity::ActivationsWritten,
    Quantity::ActiveParams,
    Quantity::CacheRead,
    Quantity::CacheWritten,
    Quantity::CacheBytes,
];

fn formulas(class: &Class) -> Vec<Vec<String>> {
    let row = |quantity: Quantity| match rule(Some(class), quantity) {
        Rule::Formula(formula, _) => Some(vec![quantity.name().to_owned(), formula.text.to_string()]),
        Rule::Sum(sum) => Some(vec![quantity.name().to_owned(), format!("({})", sum.words)]),
        Rule::Unstated => Some(vec!["backward".to_owned(), "(not stated: training is an error)".to_owned()]),
        Rule::Same(_) | Rule::Nothing => None,
    };
    let mut rows: Vec<Vec<String>> = STATED.into_iter().filter_map(row).collect();
    // The backward pass is stated as a whole or not at all.
    rows.dedup();
    rows
}

fn example(out: &mut String, example: &Example) {
    let pairs = |list: &[(Arc<str>, crate::syntax::expr::Value)]| {
        list.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
    };
    let _ = writeln!(out, "  {}", example.doc);
    let workload = if example.workload.is_empty() { String::new() } else { format!(" at {}", pairs(&example.workload)) };
    let _ = writeln!(out, "    {}{workload}", pairs(&example.parameters));
    for (name, count) in &example.expect {
        let _ = writeln!(out, "    {name} = {}", units::exact(*count));
    }
    let _ = writeln!(out, "    source: {}", example.source);
}

/// All there is to say about a dtype.
#[must_use]
pub fn explain_dtype(dtype: &Dtype) -> String {
    let aliases = if dtype.aliases.is_empty() { String::new() } else { format!("\n  also: {}", dtype.aliases.join(", ")) };
    format!("{} (dtype)\n\n  {} bits an element: {}{aliases}\n  source: {}\n", dtype.name, dtype.bits, dtype.doc, dtype.source)
}

/// All there is to say about a device: its figures to the last digit and for people, and who says so.
#[must_use]
pub fn explain_device(device: &Device) -> String {
    let mut out = format!("{} ({})\n\n  {}, {}\n", device.name, device.kind, device.title, device.vendor);
    if !device.aliases.is_empty() {
        let _ = writeln!(out, "  also: {}", device.aliases.join(", "));
    }
    if !device.verified {
        out.push_str("  unverified: the figures were not all read again from the vendor's own documents\n");
    }
    section(&mut out, "figures", figures(device));
    let peaks = device.peak_flops_per_second.iter().map(|(name, peak)| {
        let unit = if name.starts_with("int") { "OP/s" } else { "FLOP/s" };
        figure(name, *peak, unit, units::rate(*peak, unit))
    });
    section(&mut out, "peak_flops_per_second (dense)", peaks);
    section(&mut out, "sources", device.sources.iter().map(|source| vec![source.to_string()]));
    section(&mut out, "note", device.note.iter().map(|note| vec![note.to_string()]));
    out
}

/// All there is to say about a convention: its terms, of which layers each is, and who says so.
#[must_use]
pub fn explain_convention(convention: &Convention) -> String {
    let plain = |text: &str| escape_terminal(text).into_owned();
    let mut out = format!("{} (convention)\n\n  {}\n", convention.name, plain(&convention.doc));
    if !convention.aliases.is_empty() {
        let _ = writeln!(out, "  also: {}", plain(&convention.aliases.join(", ")));
    }
    let _ = writeln!(out, "  a multiply-add counts as {}", convention.multiply_add);
    let _ = writeln!(out, "  source: {}\n  compared: {}\n\nterms", plain(&convention.source), plain(&convention.checked));
    for term in &convention.terms {
        let _ = writeln!(out, "  {}\n    {}\n    of {}", plain(&term.term), plain(&term.doc), plain(&selected(&term.of)));
        let when = term.when.as_ref().map(|formula| ("when", formula));
        let kind = if term.products { "products" } else { "flops" };
        let formulas =
            when.into_iter().chain([(kind, &term.forward)]).chain(term.backward.as_ref().map(|formula| ("backward", formula)));
        for (label, formula) in formulas {
            let _ = writeln!(out, "    {label}: {}", plain(&formula.text));
        }
    }
    out
}

/// All there is to say about a runtime: how it sets options, what it runs as one, what isn't followed.
#[must_use]
pub fn explain_runtime(runtime: &Runtime) -> String {
    let plain = |text: &str| escape_terminal(text).into_owned();
    let mut out = format!("{} (runtime)\n\n  {}\n", plain(&runtime.name), plain(&runtime.doc));
    if !runtime.aliases.is_empty() {
        let _ = writeln!(out, "  also: {}", plain(&runtime.aliases.join(", ")));
    }
    if let Some(versions) = &runtime.versions {
        let _ = writeln!(out, "  versions: {} to {}", plain(&versions.from), plain(&versions.to));
    }
    let trains = if runtime.trains { "" } else { "; it doesn't train models" };
    let _ = writeln!(out, "  source: {}{trains}", plain(&runtime.source));
    let options = runtime.options.iter().map(|option| {
        let phase = option.phase.map(|phase| format!("in {}", phase.word())).unwrap_or_default();
        vec![option.name.to_string(), option.values.join(" or "), phase]
    });
    section(&mut out, "options, the first of each is taken", options);
    if !runtime.rewrites.is_empty() {
        let _ = writeln!(out, "\nruns as one");
    }
    for rewrite in &runtime.rewrites {
        let name = rewrite.name.as_ref().map(|name| format!(", as {}", plain(name))).unwrap_or_default();
        let _ = writeln!(out, "  {}{name}", plain(&rewrite.class));
        let layers = match &rewrite.layers {
            Layers::Siblings(layers) => format!("two and more that read the same value, of {}", rewritten(layers)),
            Layers::Chain(layers) => layers.iter().map(rewritten).collect::<Vec<_>>().join(", then "),
            Layers::Absorbed => "a layer without matrix products, with one beside it".to_owned(),
        };
        let _ = writeln!(out, "    {}\n    {}\n    source: {}", plain(&layers), plain(&rewrite.doc), plain(&rewrite.source));
    }
    if let Some(serving) = &runtime.serving {
        let options = serving.options.iter().map(|option| {
            let default = option.defaults.iter().map(|dated| match &dated.until {
                Some(until) => format!("{} before {}", dated.value.text, until),
                None => dated.value.text.to_string(),
            });
            vec![option.typed.to_string(), plain(&option.doc), plain(&default.collect::<Vec<_>>().join(", then "))]
        });
        section(&mut out, "serves (`layerspec serving`), with these options", options);
        let beside = serving.beside.iter().map(|beside| {
            let parts = beside.largest_of.iter().map(|(_, formula)| formula.text.to_string()).collect::<Vec<_>>();
            vec![plain(&beside.name), beside.certainty.word().to_owned(), plain(&parts.join(", or "))]
        });
        section(&mut out, "takes beside weights and cache", beside);
        let _ = writeln!(out, "\n  may take: {}\n  source: {}", plain(&serving.may_take.text), plain(&serving.source));
    }
    section(&mut out, "not followed", runtime.left_alone.iter().map(|text| vec![plain(text)]));
    out
}

/// Which layers, in words.
fn rewritten(layer: &Rewritten) -> String {
    let roles = layer.roles.iter().map(|role| role.word().to_owned());
    let classes = layer.classes.iter().map(|class| format!("class {class}"));
    let names = layer.names.iter().map(|name| format!("{name} where no role is said"));
    roles.chain(classes).chain(names).collect::<Vec<_>>().join(" or ")
}

/// Of which layers a term is, in words.
fn selected(of: &Selector) -> String {
    let words = |classes: &[Arc<str>], roles: &[Role]| {
        let roles = roles.iter().map(|role| role.word().to_owned());
        roles.chain(classes.iter().map(|class| class.to_string())).collect::<Vec<_>>().join(", ")
    };
    let all = |roles: &[Role], components: &[Role]| [roles, components].concat();
    let those = words(&of.classes, &all(&of.roles, &of.components));
    let without = words(&of.except_classes, &all(&of.except_roles, &of.except_components));
    let those = if those.is_empty() { "all layers".to_owned() } else { those };
    if without.is_empty() { those } else { format!("{those} but {without}") }
}

fn figure(name: &str, n: u128, unit: &str, human: String) -> Vec<String> {
    vec![name.to_owned(), units::exact(n), unit.to_owned(), human]
}

fn figures(device: &Device) -> Vec<Vec<String>> {
    let capacity = device.memory_capacity;
    let both = format!("{} = {}", units::bytes(capacity, Units::Si), units::bytes(capacity, Units::Iec));
    let mut rows = vec![figure("memory_capacity", capacity, "bytes", both)];
    rows.extend(device.memory_reported.filter(|reported| *reported != capacity).map(|reported| {
        let human = format!("{}, as its driver says", units::bytes(reported, Units::Iec));
        figure("memory_reported", reported, "bytes", human)
    }));
    rows.extend(
        device
            .memory_bandwidth
            .map(|bandwidth| figure("memory_bandwidth", bandwidth, "bytes/s", units::bytes_per_second(bandwidth, Units::Si))),
    );
    rows.extend(device.interconnect.as_ref().map(|link| {
        let human = units::bytes_per_second(link.bytes_per_second, Units::Si);
        figure("interconnect", link.bytes_per_second, "bytes/s", format!("{human} each direction, {}", link.name))
    }));
    rows.extend(device.tdp_watts.map(|watts| figure("tdp", watts, "W", String::new())));
    rows
}

/// A diagnostic code's lesson.
#[must_use]
pub fn explain_code(info: &CodeInfo) -> String {
    let mut out = format!("{} {}: {}\n\n{}\n", info.id, info.name, info.summary, info.explanation);
    for (label, text) in [("wrong", info.wrong), ("right", info.right)] {
        if let Some(text) = text {
            let _ = writeln!(out, "\n{label}:\n    {text}");
        }
    }
    out
}

/// The page of all diagnostic codes, `docs/errors.md`.
#[must_use]
pub fn errors_page() -> String {
    let mut out = String::from(
        "# Diagnostics\n\nGenerated from `src/syntax/diag/codes.rs`; `layerspec explain CODE` shows a single one. `E` is an error, `W` a warning.\n",
    );
    for info in CODES {
        let _ = write!(
            out,
            "\n## {} {}\n\n{}{}.\n\n{}\n",
            info.id,
            info.name,
            info.summary.get(..1).unwrap_or("").to_uppercase(),
            info.summary.get(1..).unwrap_or(""),
            info.explanation
        );
        for (label, text) in [("Wrong", info.wrong), ("Right", info.right)] {
            if let Some(text) = text {
                let _ = write!(out, "\n{label}:\n\n```text\n{text}\n```\n");
            }
        }
    }
    out
}

fn element(element: &ElementDef) -> String {
    match element {
        ElementDef::Fixed(element) => element.word().to_owned(),
        ElementDef::Formula(formula) => formula.text.to_string(),
    }
}
