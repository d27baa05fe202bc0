//! The page of `summary`, and several of them side by side: `compare`.

use std::io::{self, Write};

use serde_json::{Value as Json, json};

use super::escape_terminal;
use super::memory::{bar, per_token};
use super::page::{self, PageFormat, Section};
use super::units::{self, Units};
use crate::analysis::compare::Difference;
use crate::analysis::summary::{Component, CountedBy, Summary};
use crate::catalog::Role;
use crate::syntax::expr::{Value, json_of};
use crate::syntax::json::write;

/// What the table of components takes beside two columns with every digit of the parameters.
const BESIDE_DIGITS: usize = 39;

/// Element types under which weights are shown, with their bits.
const WEIGHTS: &[(&str, u128)] = &[("fp32", 32), ("bf16", 16), ("int8", 8), ("int4", 4)];

/// A fact: what it is called, and its text.
type Fact = (&'static str, String);

fn facts(summary: &Summary) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    let last = |class: &str| class.rsplit('.').next().unwrap_or(class).to_owned();
    if let Some(class) = &summary.class {
        let family = summary.family.as_ref().map_or_else(String::new, |family| format!(", family {family}"));
        facts.push(("type", format!("{}{family}", last(class))));
    }
    if !summary.partial.is_empty() {
        facts.push(("partial", format!("without {}", summary.partial.join(", "))));
    }
    facts.extend(summary.sizes.iter().map(|(name, value)| (*name, value_text(value))));
    facts.push(("attention", attention(summary)));
    facts.push(("norm", list(summary.norms.iter().map(|(class, count)| format!("{} x{count}", last(class))))));
    facts.push(("mlp", mlp(summary)));
    let positions = positions(summary);
    facts.push(("positions", if positions.is_empty() { "none stated".to_owned() } else { positions.join(", ") }));
    facts.push(("tied embeddings", if summary.tied { "yes" } else { "no" }.to_owned()));
    facts.push(("biases", biases(&summary.biases)));
    if let Some((experts, chosen)) = summary.experts {
        facts.push(("experts", format!("{chosen} of {experts} a token")));
    }
    facts.push(("params", units::exact(summary.params)));
    if summary.active_params != summary.params {
        let share = units::percent(summary.active_params, summary.params);
        facts.push(("active params", format!("{} ({share}): those that one token uses", units::exact(summary.active_params))));
    }
    for (dtype, bits) in WEIGHTS {
        let bytes = summary.params.saturating_mul(*bits).div_ceil(8);
        facts.push((weights_label(dtype), format!("{} ({})", units::bytes(bytes, Units::Si), units::exact(bytes))));
    }
    if let Some(mixed) = &summary.mixed {
        let text = format!("{} in {}, {}", units::bytes(mixed.bytes, Units::Si), mixed.name, super::grid::mixture(mixed));
        facts.push(("weights", text));
    }
    let cache = &summary.cache;
    if let Some(growth) = cache.growth.filter(|growth| growth.at_first > 0 || growth.constant_bytes > 0) {
        let constant = match growth.constant_bytes {
            0 => String::new(),
            bytes => format!(", and {} whatever the length", units::bytes(bytes, Units::Si)),
        };
        facts.push(("cache", per_token(&growth, &constant)));
    }
    let (flops, tokens) = summary.prefill;
    if let Some(each) = flops.checked_div(tokens) {
        let (label, of) = match summary.counted_by {
            CountedBy::Token => ("FLOPs a token", format!("{} tokens at once", units::exact(tokens))),
            CountedBy::Image => ("FLOPs an image", format!("{} at once", units::exact(tokens))),
            CountedBy::Input => ("FLOPs an input", format!("{} at once", units::exact(tokens))),
        };
        facts.push((label, format!("{} (matmul, {of})", units::exact(each))));
    }
    // What a token costs follows from the weights that it runs through; a convolution runs over an image many times.
    if let Some(each) = flops.checked_div(tokens).filter(|_| summary.counted_by == CountedBy::Token) {
        let simple = summary.active_params.saturating_mul(2);
        facts.push(("against 2N", format!("{} times 2 x active params", quotient(each, simple))));
    }
    if let Some((flops, past)) = summary.decode {
        facts.push(("FLOPs of one more", format!("{} (matmul, after {} tokens)", units::exact(flops), units::exact(past))));
    }
    if let Some(bytes) = summary.peak_bytes {
        facts.push(("peak", format!("{} ({}) of activations and cache", units::bytes(bytes, Units::Si), units::exact(bytes))));
    }
    facts.extend(ratios(summary));
    facts
}

fn weights_label(dtype: &str) -> &'static str {
    match dtype {
        "fp32" => "weights in fp32",
        "bf16" => "weights in bf16",
        "int8" => "weights in int8",
        _ => "weights in int4",
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Number(n) => n.to_count().map_or_else(|| value.to_string(), units::exact),
        Value::Text(text) => text.to_string(),
        other => other.to_string(),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

fn biases(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.iter().take(SHOWN).cloned().chain((more > 0).then(|| format!("{more} more")));
    list(shown)
}

/// How positions come in, in words.
fn positions(summary: &Summary) -> Vec<&'static str> {
    let word = |role: &Role| if *role == Role::PositionEmbedding { "learned" } else { role.shown() };
    summary.positions.iter().map(word).collect()
}

fn attention(summary: &Summary) -> String {
    let kinds = summary.cache.attention.iter().map(|kind| {
        let reach = match (kind.window, kind.chunk) {
            (Some(window), _) => format!("sliding, {} tokens", units::exact(window)),
            (_, Some(chunk)) => format!("chunks of {} tokens", units::exact(chunk)),
            _ => "full".to_owned(),
        };
        let latent = kind.latent.map_or_else(String::new, |n| format!(", a latent of {n} is cached"));
        format!(
            "{} ({} query, {} key/value heads), {reach}{latent}, in {} layers",
            kind.name(),
            kind.num_heads,
            kind.num_kv_heads,
            kind.layers
        )
    });
    let recurrent = (summary.recurrent_layers > 0).then(|| format!("a recurrent state in {} layers", summary.recurrent_layers));
    let parts: Vec<String> = kinds.chain(recurrent).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join("; ") }
}

fn mlp(summary: &Summary) -> String {
    let gated = if summary.gated { "gated" } else { "not gated" };
    let activation = summary.activations.iter().map(|a| a.to_string()).collect::<Vec<_>>().join(", ");
    let count = |name: &str| {
        let (_, value) = summary.sizes.iter().find(|(known, _)| *known == name)?;
        value.as_number()?.to_count()
    };
    let expansion = count("intermediate_size").zip(count("hidden_size"));
    let expansion = expansion.map_or_else(String::new, |(wide, narrow)| format!(", {} times as wide", quotient(wide, narrow)));
    if activation.is_empty() { "none stated".to_owned() } else { format!("{gated}, {activation}{expansion}") }
}

/// A quotient to two places.
fn quotient(a: u128, b: u128) -> String {
    match a.saturating_mul(100).checked_add(b / 2).and_then(|n| n.checked_div(b)) {
        Some(hundredths) => format!("{}.{:02}", hundredths / 100, hundredths % 100),
        None => "-".to_owned(),
    }
}

fn ratios(summary: &Summary) -> Vec<Fact> {
    let count = |name: &str| {
        let (_, value) = summary.sizes.iter().find(|(known, _)| *known == name)?;
        value.as_number()?.to_count()
    };
    let mut out = Vec::new();
    if let Some((width, depth)) = count("hidden_size").zip(count("num_hidden_layers")) {
        out.push(("width to depth", quotient(width, depth)));
    }
    let flops = |roles: &[Role]| -> u128 {
        summary.components.iter().filter(|c| roles.contains(&c.role)).map(|c| c.matmul_flops).fold(0, u128::saturating_add)
    };
    let (attention, mlp) =
        (flops(&[Role::Attention]), flops(&[Role::Mlp, Role::SharedExpert, Role::Moe, Role::Experts, Role::Router]));
    if attention > 0 && mlp > 0 {
        out.push(("attention to MLP FLOPs", quotient(attention, mlp)));
    }
    out
}

/// In a narrow terminal figures are rounded, and there are no bars.
fn components(list: &[Component], total: u128, bars: bool, narrow: bool) -> Section {
    let params = |n: u128| if narrow { units::count(n) } else { units::exact(n) };
    let right = |name: &str| (name.to_owned(), true);
    let left = |name: &str| (name.to_owned(), false);
    let mut columns = vec![left("component"), right("params"), right("of all"), right("active"), right("matmul FLOPs")];
    if bars {
        columns.push(left(""));
    }
    let rows = list.iter().map(|c| {
        let mut row = vec![
            c.role.shown().to_owned(),
            params(c.params),
            units::percent(c.params, total),
            params(c.active_params),
            units::count(c.matmul_flops),
        ];
        if bars {
            row.push(bar(c.params, total));
        }
        row
    });
    Section { title: String::new(), columns, rows: rows.collect() }
}

fn name_of(summary: &Summary) -> String {
    let partial = if summary.partial.is_empty() { "" } else { " (partial)" };
    format!("{}{partial}", summary.name.as_deref().unwrap_or("model"))
}

fn fact_section(facts: Vec<Fact>) -> Section {
    let rows = facts.into_iter().map(|(label, text)| vec![label.to_owned(), text]).collect();
    Section { title: String::new(), columns: vec![(String::new(), false), (String::new(), false)], rows }
}

/// Writes the page of one model.
///
/// # Errors
/// Those of `out`.
pub fn render_summary(summary: &Summary, format: PageFormat, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let sections = |bars, narrow| [fact_section(facts(summary)), components(&summary.components, summary.params, bars, narrow)];
    match format {
        PageFormat::Json => pretty(&summary_json(summary), out),
        PageFormat::Markdown => page::markdown(&name_of(summary), &sections(false, false), out),
        PageFormat::Table => {
            let digits = units::exact(summary.params).len();
            let longest = summary.components.iter().map(|c| bar(c.params, summary.params).chars().count()).max().unwrap_or(0);
            let room = width.saturating_sub(BESIDE_DIGITS + 2 * digits);
            let narrow = width < BESIDE_DIGITS + 2 * digits;
            page::text(&name_of(summary), &sections(room >= longest, narrow), width, out)
        }
    }
}

fn pretty(json: &Json, out: &mut dyn Write) -> io::Result<()> {
    write::write_pretty(out, json)?;
    writeln!(out)
}

fn summary_json(summary: &Summary) -> Json {
    let kinds: Vec<Json> = summary
        .cache
        .attention
        .iter()
        .map(|kind| {
            json!({
                "kind": kind.name(), "layers": kind.layers, "num_heads": kind.num_heads,
                "num_kv_heads": kind.num_kv_heads, "window": kind.window, "chunk": kind.chunk,
                "latent": kind.latent,
            })
        })
        .collect();
    let components: Vec<Json> = summary
        .components
        .iter()
        .map(|c| {
            json!({
                "component": c.role.shown(), "params": c.params, "active_params": c.active_params,
                "matmul_flops": c.matmul_flops,
            })
        })
        .collect();
    let sizes: serde_json::Map<String, Json> =
        summary.sizes.iter().map(|(name, value)| ((*name).to_owned(), json_of(value))).collect();
    let page = json!({
        "format": "layerspec.summary/1",
        "name": summary.name.as_deref(), "class": summary.class.as_deref(), "family": summary.family.as_deref(),
        "source": summary.source.as_deref(), "sizes": sizes, "attention": kinds, "recurrent_layers": summary.recurrent_layers,
        "norms": summary.norms.iter().map(|(class, n)| json!({ "class": &**class, "count": n })).collect::<Vec<_>>(),
        "mlp": { "gated": summary.gated, "activations": summary.activations.iter().map(|a| a.to_string()).collect::<Vec<_>>() },
        "positions": positions(summary), "tied": summary.tied, "biases": summary.biases,
        "experts": summary.experts.map(|(all, chosen)| json!({ "num_experts": all, "top_k": chosen })),
        "params": summary.params, "active_params": summary.active_params, "components": components,
        "cache_bytes_per_token": summary.cache.growth.map(|growth| units::number(growth.bytes_per_token)),
        "cache_bytes_per_token_at_first": summary.cache.growth.map(|growth| growth.at_first),
        "cache_constant_bytes": summary.cache.growth.map(|growth| growth.constant_bytes),
        "counted_by": summary.counted_by.word(), "peak_bytes": summary.peak_bytes,
        "prefill": { "matmul_flops": summary.prefill.0, "tokens": summary.prefill.1 },
        "decode": summary.decode.map(|(flops, past)| json!({ "matmul_flops": flops, "past_len": past })),
    });
    super::title::marked(page, &summary.partial)
}

/// Writes several models side by side, and how each differs from the first.
///
/// # Errors
/// Those of `out`.
pub fn render_compare(
    summaries: &[Summary],
    differences: &[Difference],
    format: PageFormat,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    if format == PageFormat::Json {
        let models: Vec<Json> = summaries.iter().map(summary_json).collect();
        let differences: Vec<Json> = differences.iter().map(difference_json).collect();
        return pretty(&json!({ "format": "layerspec.compare/1", "models": models, "differences": differences }), out);
    }
    let mut sections = vec![side_by_side(summaries), components_side_by_side(summaries)];
    let first = summaries.first().map(name_of).unwrap_or_default();
    for (summary, difference) in summaries.iter().skip(1).zip(differences) {
        sections.push(structure(&first, &name_of(summary), difference));
    }
    let title = summaries.iter().map(name_of).collect::<Vec<_>>().join(" / ");
    if format == PageFormat::Table { page::text(&title, &sections, width, out) } else { page::markdown(&title, &sections, out) }
}

fn columns(summaries: &[Summary], first: &str, right: bool) -> Vec<(String, bool)> {
    let names = summaries.iter().map(|summary| (name_of(summary), right));
    std::iter::once((first.to_owned(), false)).chain(names).collect()
}

/// The facts of all, those that differ marked.
fn side_by_side(summaries: &[Summary]) -> Section {
    let all: Vec<Vec<Fact>> = summaries.iter().map(facts).collect();
    let mut labels: Vec<&'static str> = Vec::new();
    for (label, _) in all.iter().flatten() {
        if !labels.contains(label) {
            labels.push(label);
        }
    }
    let rows = labels.into_iter().map(|label| {
        let of =
            |facts: &Vec<Fact>| facts.iter().find(|(l, _)| *l == label).map_or_else(|| "-".to_owned(), |(_, text)| text.clone());
        let texts: Vec<String> = all.iter().map(of).collect();
        let differ = texts.windows(2).any(|pair| matches!(pair, [a, b] if a != b));
        let label = if differ { format!("* {label}") } else { format!("  {label}") };
        std::iter::once(label).chain(texts).collect()
    });
    Section { title: String::new(), columns: columns(summaries, "* differs", false), rows: rows.collect() }
}

fn components_side_by_side(summaries: &[Summary]) -> Section {
    let mut roles: Vec<Role> = Vec::new();
    for component in summaries.iter().flat_map(|summary| &summary.components) {
        if !roles.contains(&component.role) {
            roles.push(component.role);
        }
    }
    let rows = roles.into_iter().map(|role| {
        let of = |summary: &Summary| {
            let found = summary.components.iter().find(|c| c.role == role);
            found.map_or_else(
                || "-".to_owned(),
                |c| {
                    if c.params == 0 {
                        "tied".to_owned()
                    } else {
                        format!("{} ({})", units::count(c.params), units::percent(c.params, summary.params))
                    }
                },
            )
        };
        std::iter::once(role.shown().to_owned()).chain(summaries.iter().map(of)).collect()
    });
    Section { title: String::new(), columns: columns(summaries, "params of", true), rows: rows.collect() }
}

/// How many paths a person is shown of each kind.
const MOST: usize = 60;

fn structure(first: &str, second: &str, difference: &Difference) -> Section {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut singles = |mark: &str, list: &[crate::analysis::compare::Single]| {
        for single in list.iter().take(MOST) {
            let class = single.class.rsplit('.').next().unwrap_or_default();
            let text = format!("{class} x{}, {} params", single.instances, units::exact(single.params));
            rows.push(vec![format!("{mark} {}", single.path), text]);
            if let Some((names, why)) = &single.stands_for {
                rows.push(vec![String::new(), format!("for {names}: {why}")]);
            }
        }
        if list.len() > MOST {
            rows.push(vec![format!("{mark} ... and {} more", list.len() - MOST), String::new()]);
        }
    };
    singles("-", &difference.removed);
    singles("+", &difference.added);
    for changed in difference.changed.iter().take(MOST) {
        let facts: Vec<String> = changed.facts.iter().map(|(name, a, b)| format!("{name} {a} -> {b}")).collect();
        rows.push(vec![format!("~ {}", changed.path), facts.join("; ")]);
    }
    if difference.changed.len() > MOST {
        rows.push(vec![format!("~ ... and {} more", difference.changed.len() - MOST), String::new()]);
    }
    if rows.is_empty() {
        rows.push(vec!["  the flat lists are the same".to_owned(), String::new()]);
    }
    let title = format!(
        "from {} to {}: {} removed (-), {} added (+), {} changed (~), {} the same",
        escape_terminal(first),
        escape_terminal(second),
        difference.removed.len(),
        difference.added.len(),
        difference.changed.len(),
        difference.equal
    );
    Section { title, columns: vec![(String::new(), false), (String::new(), false)], rows }
}

fn difference_json(difference: &Difference) -> Json {
    let singles = |list: &[crate::analysis::compare::Single]| -> Vec<Json> {
        let single = |s: &crate::analysis::compare::Single| {
            let mut said = json!({ "path": s.path, "class": &*s.class, "layers": s.instances, "params": s.params });
            if let (Some((names, why)), Some(said)) = (&s.stands_for, said.as_object_mut()) {
                said.insert("stands_for".to_owned(), json!(names.split(", ").collect::<Vec<_>>()));
                said.insert("why".to_owned(), json!(&**why));
            }
            said
        };
        list.iter().map(single).collect()
    };
    let changed: Vec<Json> = difference
        .changed
        .iter()
        .map(|changed| {
            let facts: Vec<Json> =
                changed.facts.iter().map(|(name, a, b)| json!({ "what": &**name, "from": a, "to": b })).collect();
            json!({ "path": changed.path, "changes": facts })
        })
        .collect();
    json!({ "removed": singles(&difference.removed), "added": singles(&difference.added), "changed": changed, "same": difference.equal })
}
