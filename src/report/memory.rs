//! What `memory` shows: kinds with their bytes and bars, the peak and what is alive there, the cache, and whether it fits.
//!
//! A [`MemoryReport`] comes in, bytes go out in one of [`MEMORY_FORMATS`]. The same sections make the table, the Markdown and the CSV.

use std::io::{self, Write};
use std::sync::Arc;

use comfy_table::{Cell, CellAlignment, ContentArrangement};
use indexmap::IndexSet;
use serde::Serialize;

use super::sheet::sheet;
use super::title::title;
use super::units::{self, Units};
use super::{escape_csv, escape_markdown, escape_terminal};
use crate::analysis::cache::{CacheGrowth, CacheReport};
use crate::analysis::fit::{Fit, Largest};
use crate::analysis::memory::{Moment, Plan, Training};
use crate::analysis::split::Split;
use crate::analysis::summary::CountedBy;
use crate::catalog::Device;
use crate::evaluation::Evaluation;
use crate::flow::{Alive, AliveThen, Kind, TrainingStep};
use crate::quantity::Exact;
use crate::quantity::workload::Phase;
use crate::syntax::json::write;
use crate::syntax::words::{shorten, width_of, wrap};

/// All that `memory` found out.
#[derive(Debug)]
pub struct MemoryReport<'a> {
    /// The model at its workload.
    pub evaluation: &'a Evaluation,
    /// What one device has to hold.
    pub plan: Plan,
    /// What is alive at the peak, largest first.
    pub alive: Vec<Alive>,
    /// What is kept between steps.
    pub cache: CacheReport,
    /// How a training step is done.
    pub training: &'a Training,
    /// Whether it fits on devices of this kind, if one was asked about.
    pub fit: Option<(Arc<Device>, Fit)>,
    /// Decimal or binary multiples of bytes.
    pub units: Units,
    /// Columns of the terminal.
    pub width: usize,
}

/// A format of `memory`.
#[derive(Debug)]
pub struct MemoryFormat {
    /// Its name in options.
    pub name: &'static str,
    /// Writes a report in it.
    pub render: fn(&MemoryReport<'_>, &mut dyn Write) -> io::Result<()>,
}

/// All formats of `memory`.
pub const MEMORY_FORMATS: &[MemoryFormat] = &[
    MemoryFormat { name: "table", render: table },
    MemoryFormat { name: "json", render: json },
    MemoryFormat { name: "csv", render: csv },
    MemoryFormat { name: "markdown", render: markdown },
];

/// What was asked, in a line: how much it takes, and whether it fits.
fn answer(report: &MemoryReport<'_>) -> String {
    let bytes = |n: u128| units::bytes(n, report.units);
    let Some((device, fit)) = &report.fit else {
        return format!("takes {}", report.plan.total().map_or_else(|| "more than 128 bits of bytes".to_owned(), bytes));
    };
    let devices = if fit.count == 1 { device.name.to_string() } else { format!("{} x {}", fit.count, device.name) };
    let each = if fit.count == 1 { "" } else { " on each" };
    let workload = &report.evaluation.bound.workload;
    let room = match (&fit.largest_batch, workload.batch_size) {
        (Largest::AtMost(1), _) => "room for 1 sequence".to_owned(),
        (Largest::AtMost(n), _) => format!("room for {} sequences", units::exact(u128::from(*n))),
        (Largest::Unbounded, _) => "whatever the batch".to_owned(),
        (Largest::Failed { .. }, _) => "the batch is limited by the model".to_owned(),
        (Largest::Never, _) => "not even 1 sequence fits".to_owned(),
    };
    match fit.fits() {
        true => format!("fits on {devices}: {} of {}{each}, {room}", bytes(fit.needed), bytes(fit.capacity)),
        false => format!(
            "doesn't fit on {devices}: {} are needed{each}, {} of {} may be used; {room}",
            bytes(fit.needed),
            bytes(fit.room()),
            bytes(fit.capacity)
        ),
    }
}

impl Section {
    /// The same with the middle of long names left out, and without bars, where there is no room.
    fn within(mut self, width: usize) -> Self {
        const GAP: usize = 2;
        const SHORTEST: usize = 16;
        let widest = |section: &Section, at: usize| {
            let cells = section.rows.iter().filter_map(|row| row.get(at)).map(|cell| width_of(cell));
            cells.chain(section.columns.get(at).map(|(title, _)| width_of(title))).max().unwrap_or(0)
        };
        let total =
            |section: &Section| (0..section.columns.len()).map(|at| widest(section, at) + GAP).sum::<usize>().saturating_sub(GAP);
        let has_bars = self.columns.last().is_some_and(|(title, right)| title.is_empty() && !right);
        if total(&self) > width && has_bars {
            self.columns.pop();
            let columns = self.columns.len();
            self.rows.iter_mut().for_each(|row| row.truncate(columns));
        }
        let shape = self.columns.iter().position(|(title, _)| *title == "shape");
        if let Some(at) = shape.filter(|_| total(&self) > width + widest(&self, 0).saturating_sub(SHORTEST)) {
            self.columns.remove(at);
            self.rows.iter_mut().filter(|row| row.len() > at).for_each(|row| drop(row.remove(at)));
        }
        let over = total(&self).saturating_sub(width);
        if over > 0 {
            let room = widest(&self, 0).saturating_sub(over).max(SHORTEST);
            for cell in self.rows.iter_mut().filter_map(|row| row.first_mut()) {
                *cell = shorten(cell, room);
            }
        }
        self
    }
}

/// How many of the values that are alive at the peak people are shown.
const MOST_ALIVE: usize = 12;

struct Section {
    /// Titles, and whether a column stands to the right.
    columns: Vec<(&'static str, bool)>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

fn sections(report: &MemoryReport<'_>, bars: bool) -> Vec<Section> {
    let mut sections = vec![kinds(report, bars)];
    match &report.plan.step {
        Some(step) => {
            sections.push(moments(report));
            sections.extend(alive_then(report, step));
        }
        None => sections.extend(peak(report)),
    }
    sections.extend(cache(report));
    sections.extend(fit(report));
    sections
}

/// A bar of at most 30 cells: eighths of a cell show what is left.
pub(super) fn bar(part: u128, whole: u128) -> String {
    const CELLS: u128 = 30;
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = part.saturating_mul(CELLS * 8).checked_div(whole).unwrap_or(0).min(CELLS * 8);
    let full = usize::try_from(eighths / 8).unwrap_or(0);
    let rest = usize::try_from(eighths % 8).ok().and_then(|rest| EIGHTHS.get(rest)).filter(|c| **c != ' ');
    let mut out = "█".repeat(full);
    out.extend(rest);
    if out.is_empty() && part > 0 { "▏".to_owned() } else { out }
}

fn kinds(report: &MemoryReport<'_>, bars: bool) -> Section {
    let total = report.plan.total().unwrap_or(u128::MAX);
    let whole = report.fit.as_ref().map_or(total, |(_, fit)| fit.capacity);
    // Bars end with the page: what doesn't fit is the whole of them.
    let longest = whole.max(total);
    let row = |name: &str, bytes: u128, note: &str| {
        let mut cells =
            vec![name.to_owned(), units::exact(bytes), units::bytes(bytes, report.units), units::percent(bytes, whole)];
        cells.push(if bars { bar(bytes, longest) } else { note.to_owned() });
        cells
    };
    let mut rows: Vec<Vec<String>> = report.plan.items.iter().map(|item| row(item.kind, item.bytes, item.note)).collect();
    rows.push(row("total", total, ""));
    if let Some((_, fit)) = &report.fit {
        rows.push(row("reserve", fit.reserve, "kept free for what is not counted"));
        rows.push(row("left", fit.room().saturating_sub(fit.needed), ""));
    }
    let mut notes = Vec::new();
    if report.evaluation.bound.workload.phase == Phase::Train {
        notes.push(training(report));
    }
    if let Some(split) = &report.plan.split {
        notes.extend(on_each(split, report.units));
    }
    let share = if report.fit.is_some() { "of device" } else { "share" };
    let columns = vec![("memory", false), ("bytes", true), ("", true), (share, true), (if bars { "" } else { "note" }, false)];
    Section { columns, rows, notes }
}

/// What of a model is divided over devices, and what each has whole.
fn on_each(split: &Split, units: Units) -> [String; 2] {
    let short = |names: &[Arc<str>]| {
        let names: IndexSet<&str> = names.iter().map(|name| name.rsplit('.').next().unwrap_or(name)).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    };
    let weights = if split.divided.is_empty() { String::new() } else { format!("the weights of {}", short(&split.divided)) };
    let cache = match (split.cache_bytes > split.copied_cache_bytes, split.cache_copies) {
        (false, _) => None,
        (true, 1) => Some("the cache by its heads".to_owned()),
        (true, copies) => Some(format!("the cache by its heads, each of them on {copies} devices")),
    };
    let divided: Vec<String> = [weights].into_iter().filter(|text| !text.is_empty()).chain(cache).collect();
    let divided = if divided.is_empty() { "nothing".to_owned() } else { divided.join("; ") };
    let mut copied = vec!["activations".to_owned()];
    if split.copied_weight_bytes > 0 {
        copied.push(format!("{} of weights ({})", units::bytes(split.copied_weight_bytes, units), short(&split.copied)));
    }
    if split.copied_cache_bytes > 0 {
        copied.push(format!("{} of cache that has no heads to divide", units::bytes(split.copied_cache_bytes, units)));
    }
    [
        format!("on each of {} devices; divided over them: {divided}", units::exact(u128::from(split.devices))),
        format!("whole on each: {}", copied.join("; ")),
    ]
}

fn training(report: &MemoryReport<'_>) -> String {
    let options = report.training;
    let mut parts = vec![format!("optimizer {}", options.optimizer.name)];
    parts.push(if options.master_weights { "float32 master weights" } else { "no master weights" }.to_owned());
    parts.push(format!("gradients {}", options.gradients.word()));
    parts.push(format!("checkpointing {}", options.checkpointing.word()));
    if report.plan.recomputed_flops > 0 {
        parts.push(format!("{} FLOPs computed again", units::exact(report.plan.recomputed_flops)));
    }
    parts.push(format!("ZeRO stage {} over {} rank{}", options.zero, options.ranks, if options.ranks == 1 { "" } else { "s" }));
    if let Some(lora) = &options.lora {
        parts.push(format!("LoRA of rank {} on {}", lora.rank, lora.targets.join(", ")));
    }
    let gradients = units::bytes(report.plan.gradient_bytes, report.units);
    parts.push(format!("{} scalars are trained, with gradients of {gradients}", units::exact(report.plan.trained_params)));
    parts.join("; ")
}

/// The two moments of a training step.
fn moments(report: &MemoryReport<'_>) -> Section {
    let row = |moment: &Moment| {
        let bytes = moment.total().unwrap_or(u128::MAX);
        vec![format!("{} pass, at {}", moment.pass, moment.path), units::exact(bytes), units::bytes(bytes, report.units)]
    };
    let moments = &report.plan.moments;
    let worst = moments.iter().max_by_key(|moment| moment.total()).map(|moment| moment.pass);
    let words = |pass: &&str| format!("the table above is of the {pass} pass, which has more");
    let columns = vec![("most in the", false), ("bytes", true), ("", true)];
    Section { columns, rows: moments.iter().map(row).collect(), notes: worst.iter().map(words).collect() }
}

/// What is alive at the peak of a backward pass.
fn alive_then(report: &MemoryReport<'_>, step: &TrainingStep) -> Option<Section> {
    let most = step.backward.as_ref()?;
    let row = |name: String, bytes: u128| vec![name, units::exact(bytes), units::bytes(bytes, report.units)];
    let doing = if most.again { "while it is computed again" } else { "while its backward pass runs" };
    let mut rows = vec![row(format!("{} ({doing})", step.backward_path), most.workspace)];
    rows.extend(step.alive.iter().take(MOST_ALIVE).map(|alive| row(named(report, alive), alive.bytes)));
    let more = step.alive.get(MOST_ALIVE..).unwrap_or_default();
    if !more.is_empty() {
        let bytes = more.iter().fold(0u128, |sum, alive| sum.saturating_add(alive.bytes));
        rows.push(row(format!("{} more", units::exact(more.len() as u128)), bytes));
    }
    rows.push(row("total".to_owned(), most.parts.total()));
    let columns = vec![("alive at the backward pass's peak", false), ("bytes", true), ("", true)];
    Some(Section { columns, rows, notes: Vec::new() })
}

/// A layer, and what of it is alive.
fn named(report: &MemoryReport<'_>, alive: &AliveThen) -> String {
    let path = alive.row.and_then(|row| report.evaluation.flat.row(row)).map_or("loss", |info| &info.path);
    format!("{path} ({})", kind_of(alive.kind))
}

fn kind_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Saved => "saved",
        Kind::Gradient => "gradient",
        Kind::Passing => "passing",
    }
}

fn peak(report: &MemoryReport<'_>) -> Option<Section> {
    let flow = &report.evaluation.flow;
    let peak = flow.peak.as_ref()?;
    let mut rows = vec![vec![
        format!("{} (while it runs)", peak.path),
        String::new(),
        "1".to_owned(),
        units::exact(peak.workspace),
        units::bytes(peak.workspace, report.units),
    ]];
    for alive in report.alive.iter().take(MOST_ALIVE) {
        let path = report.evaluation.flat.row(alive.row).map_or("?", |info| &info.path);
        let bytes = alive.bytes.saturating_mul(alive.count);
        let name = match &*alive.output {
            "" => format!("{path} (earlier steps)"),
            "output" => path.to_owned(),
            output => format!("{path} {output}"),
        };
        let shape = alive.shape.as_deref().map(units::shape).unwrap_or_default();
        rows.push(vec![name, shape, units::exact(alive.count), units::exact(bytes), units::bytes(bytes, report.units)]);
    }
    let more = report.alive.iter().skip(MOST_ALIVE);
    let rest = more.clone().fold(0u128, |sum, alive| sum.saturating_add(alive.bytes.saturating_mul(alive.count)));
    if rest > 0 {
        let count = units::exact(more.count() as u128);
        rows.push(vec![
            format!("{count} more"),
            String::new(),
            String::new(),
            units::exact(rest),
            units::bytes(rest, report.units),
        ]);
    }
    rows.push(vec![
        "total".to_owned(),
        String::new(),
        String::new(),
        units::exact(peak.bytes),
        units::bytes(peak.bytes, report.units),
    ]);
    let notes = vec![format!("the forward pass is at its peak at {}", peak.path)];
    let columns = vec![("alive at the peak", false), ("shape", false), ("x", true), ("bytes", true), ("", true)];
    Some(Section { columns, rows, notes })
}

fn cache(report: &MemoryReport<'_>) -> Option<Section> {
    let cache = &report.cache;
    if cache.at.iter().all(|(_, bytes)| *bytes == 0) {
        return None;
    }
    let rows = cache
        .at
        .iter()
        .map(|(length, bytes)| vec![units::exact(u128::from(*length)), units::exact(*bytes), units::bytes(*bytes, report.units)]);
    let layers = cache.attention.iter().fold(0u128, |sum, kind| sum.saturating_add(kind.layers));
    let mut notes: Vec<String> = Vec::new();
    for kind in &cache.attention {
        let reach =
            kind.window.map_or_else(|| "all tokens".to_owned(), |window| format!("a window of {} tokens", units::exact(window)));
        notes.push(format!(
            "{} in {} of {layers} layers: {} query and {} key/value heads, over {reach}",
            kind.name(),
            kind.layers,
            kind.num_heads,
            kind.num_kv_heads
        ));
    }
    notes.extend(cache.ends.as_ref().map(|why| format!("longer ones have no answer: {why}")));
    notes.extend(cache.growth.map(|growth| {
        let constant = match growth.constant_bytes {
            0 => String::new(),
            bytes => format!(" and {} bytes whatever its length", units::exact(bytes)),
        };
        per_token(&growth, &format!(" of a sequence{constant}"))
    }));
    if cache.bytes > 0 && cache.mha_bytes > 0 {
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let ratio = cache.mha_bytes as f64 / cache.bytes as f64;
        notes.push(format!(
            "{} bytes after this step: {} times smaller than with as many key/value heads as query heads and no window ({})",
            units::exact(cache.bytes),
            units::ratio(ratio),
            units::exact(cache.mha_bytes)
        ));
    }
    Some(Section { columns: vec![("cache at tokens", true), ("bytes", true), ("", true)], rows: rows.collect(), notes })
}

/// `131,072 bytes a token`, more, and what the first tokens take where that is not the same.
pub(super) fn per_token(growth: &CacheGrowth, more: &str) -> String {
    let first = match Exact::from_count(growth.at_first) {
        Some(first) if first != growth.bytes_per_token => format!(" ({} before windows are full)", units::exact(growth.at_first)),
        _ => String::new(),
    };
    format!("{} bytes a token{more}{first}", units::about(growth.bytes_per_token))
}

fn fit(report: &MemoryReport<'_>) -> Option<Section> {
    let (device, fit) = report.fit.as_ref()?;
    let workload = &report.evaluation.bound.workload;
    let most = |largest: &Largest| match largest {
        Largest::Never => "none".to_owned(),
        Largest::AtMost(n) => units::exact(u128::from(*n)),
        Largest::Failed { fit: 0, .. } => "no answer".to_owned(),
        Largest::Failed { fit, .. } => format!("{}, the model's end", units::exact(u128::from(*fit))),
        Largest::Unbounded => "no limit".to_owned(),
    };
    let context = workload.seq_len.saturating_add(workload.past_len);
    let of_tokens = CountedBy::of(report.evaluation) == CountedBy::Token;
    let at = if of_tokens { format!(" at {} tokens", units::exact(u128::from(context))) } else { String::new() };
    let largest = format!("largest batch{at}");
    let mut rows = vec![
        vec!["fits".to_owned(), if fit.fits() { "yes" } else { "no" }.to_owned()],
        vec!["left on each".to_owned(), left(fit)],
        vec![largest, most(&fit.largest_batch)],
    ];
    if of_tokens {
        rows.push(vec![format!("longest context at batch {}", workload.batch_size), most(&fit.longest_context)]);
    }
    let capacity = units::bytes(fit.capacity, report.units);
    let mut notes = vec![format!(
        "{} x {} of {capacity} each, {} of it in reserve for the allocator, kernels and the context",
        fit.count,
        device.name,
        units::bytes(fit.reserve, report.units)
    )];
    if fit.count > 1 && workload.phase == Phase::Train {
        notes.push("every rank runs the whole batch given; ZeRO splits what its stage says".to_owned());
    }
    if of_tokens
        && let (Some((positions, _)), Some(longest)) = (report.evaluation.flat.positions, fit.longest_context.number())
        && longest > positions
    {
        notes.push(format!("the model itself has {} positions", units::exact(u128::from(positions))));
    }
    for (name, largest) in [("batch", &fit.largest_batch), ("context", &fit.longest_context)] {
        if let Some(why) = largest.why() {
            notes.push(format!("no larger {name}: {}", why.message));
        }
    }
    if !device.verified {
        notes.push(format!("unverified: the figures of {} were not re-read from its vendor", device.name));
    }
    Some(Section { columns: vec![("fit", false), ("", true)], rows, notes })
}

/// What is left of a device's room, negative where it doesn't fit.
fn left(fit: &Fit) -> String {
    match fit.room().checked_sub(fit.needed) {
        Some(left) => units::exact(left),
        None => format!("-{}", units::exact(fit.needed.saturating_sub(fit.room()))),
    }
}

fn table(report: &MemoryReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    for line in wrap(&title(report.evaluation), report.width).iter().chain(&wrap(&answer(report), report.width)) {
        writeln!(out, "{line}")?;
    }
    for section in sections(report, true) {
        let section = section.within(report.width);
        let mut table = sheet(ContentArrangement::Disabled);
        let cell = |text: &str, right: bool| {
            Cell::new(escape_terminal(text)).set_alignment(if right { CellAlignment::Right } else { CellAlignment::Left })
        };
        table.set_header(section.columns.iter().map(|(title, right)| cell(title, *right)));
        for row in &section.rows {
            table.add_row(row.iter().zip(&section.columns).map(|(text, (_, right))| cell(text, *right)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        writeln!(out)?;
        for line in table.lines() {
            writeln!(out, "{}", line.trim_end())?;
        }
        for line in section.notes.iter().flat_map(|note| wrap(&escape_terminal(note), report.width)) {
            writeln!(out, "{line}")?;
        }
    }
    writeln!(out)?;
    wrap(&conventions(report.evaluation), report.width).iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn conventions(evaluation: &Evaluation) -> String {
    let workload = &evaluation.bound.workload;
    if let Some(runtime) = evaluation.runtime() {
        return format!(
            "What {} runs, {} backend: values live until they were read. Its allocator, its workspaces and what it keeps free are not in it: `layerspec serving` has them.",
            escape_terminal(&runtime.name),
            workload.backend.word()
        );
    }
    format!(
        "Eager PyTorch, {} kernel, cache {}, {} backend; storages as they are, no allocator rounding. docs/memory.md has the rules. What an engine needs and how many requests it serves says `layerspec serving`.",
        workload.kernel.word(),
        workload.cache.word(),
        workload.backend.word()
    )
}

fn markdown(report: &MemoryReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "**{}**\n\n{}", escape_markdown(&title(report.evaluation)), escape_markdown(&answer(report)))?;
    for section in sections(report, false) {
        let titles: Vec<&str> = section.columns.iter().map(|(title, _)| *title).collect();
        let rules: Vec<&str> = section.columns.iter().map(|(_, right)| if *right { "---:" } else { "---" }).collect();
        writeln!(out, "\n| {} |\n| {} |", titles.join(" | "), rules.join(" | "))?;
        for row in &section.rows {
            let cells: Vec<String> = row.iter().map(|text| escape_markdown(text)).collect();
            writeln!(out, "| {} |", cells.join(" | "))?;
        }
        for note in &section.notes {
            writeln!(out, "\n{}", escape_markdown(note))?;
        }
    }
    writeln!(out, "\n{}", conventions(report.evaluation))
}

/// A section, a name and a number a line.
fn csv(report: &MemoryReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = ::csv::Writer::from_writer(out);
    writer.write_record(["section", "name", "count", "bytes"])?;
    let mut line = |section: &str, name: &str, count: String, bytes: u128| {
        writer.write_record([section, &escape_csv(name), &count, &bytes.to_string()])
    };
    for item in &report.plan.items {
        line("memory", item.kind, String::new(), item.bytes)?;
    }
    line("memory", "total", String::new(), report.plan.total().unwrap_or(u128::MAX))?;
    for moment in &report.plan.moments {
        line(moment.pass, &moment.path, String::new(), moment.total().unwrap_or(u128::MAX))?;
    }
    for alive in report.plan.step.iter().flat_map(|step| &step.alive) {
        line("alive", &named(report, alive), String::new(), alive.bytes)?;
    }
    if let Some(peak) = report.evaluation.flow.peak.as_ref().filter(|_| report.plan.step.is_none()) {
        line("peak", &peak.path, "1".to_owned(), peak.workspace)?;
        for alive in &report.alive {
            let path = report.evaluation.flat.row(alive.row).map_or("?", |info| &info.path);
            line("alive", &format!("{path} {}", alive.output), alive.count.to_string(), alive.bytes.saturating_mul(alive.count))?;
        }
    }
    for row in &report.cache.rows {
        line("cache", &row.path, row.layers.to_string(), row.bytes)?;
    }
    for (length, bytes) in &report.cache.at {
        line("cache_at", &length.to_string(), String::new(), *bytes)?;
    }
    if let Some((device, fit)) = &report.fit {
        line("device", &device.name, fit.count.to_string(), fit.capacity)?;
        line("reserve", &device.name, String::new(), fit.reserve)?;
        for (name, most) in [("largest_batch", &fit.largest_batch), ("longest_context", &fit.longest_context)] {
            let number = match most {
                Largest::Unbounded => "unlimited".to_owned(),
                Largest::Never => "0".to_owned(),
                Largest::AtMost(_) | Largest::Failed { .. } => most.number().map_or_else(String::new, |n| n.to_string()),
            };
            line(name, &device.name, number, fit.needed)?;
        }
    }
    writer.flush()
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    partial: &'a [Arc<str>],
    phase: &'static str,
    batch_size: u64,
    seq_len: u64,
    past_len: u64,
    conventions: Conventions,
    memory: Vec<NamedBytes<'a>>,
    total_bytes: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<SplitJson<'a>>,
    training: Option<TrainingJson<'a>>,
    peak: Option<PeakJson<'a>>,
    cache: CacheJson<'a>,
    fit: Option<FitJson<'a>>,
}

#[derive(Serialize)]
struct Conventions {
    kernel: &'static str,
    cache: &'static str,
    backend: &'static str,
}

#[derive(Serialize)]
struct NamedBytes<'a> {
    kind: &'a str,
    bytes: u128,
}

#[derive(Serialize)]
struct TrainingJson<'a> {
    optimizer: &'a str,
    master_weights: bool,
    checkpointing: &'static str,
    recomputed_flops: u128,
    gradients: &'static str,
    moments: Vec<MomentJson<'a>>,
    /// What is alive at the backward pass's peak, what runs aside.
    alive: Vec<AliveThenJson<'a>>,
    zero: u8,
    ranks: u64,
    lora_rank: Option<u64>,
    lora_targets: &'a [String],
    trained_params: u128,
    gradient_bytes: u128,
    saved_bytes: u128,
}

#[derive(Serialize)]
struct MomentJson<'a> {
    pass: &'a str,
    path: &'a str,
    total_bytes: Option<u128>,
    memory: Vec<NamedBytes<'a>>,
}

#[derive(Serialize)]
struct AliveThenJson<'a> {
    path: &'a str,
    what: &'static str,
    bytes: u128,
}

/// On one of several devices.
#[derive(Serialize)]
struct SplitJson<'a> {
    devices: u64,
    copied_weight_bytes: u128,
    copied_cache_bytes: u128,
    cache_copies: u64,
    divided: &'a [Arc<str>],
    copied: &'a [Arc<str>],
}

#[derive(Serialize)]
struct PeakJson<'a> {
    bytes: u128,
    activation_bytes: u128,
    cache_bytes: u128,
    path: &'a str,
    workspace: u128,
    alive: Vec<AliveJson<'a>>,
}

#[derive(Serialize)]
struct AliveJson<'a> {
    path: &'a str,
    output: &'a str,
    shape: Option<&'a [u128]>,
    count: u128,
    bytes: u128,
    persistent: bool,
}

#[derive(Serialize)]
struct CacheJson<'a> {
    bytes: u128,
    /// Of the steady state, where windows are full.
    bytes_per_token: Option<serde_json::Value>,
    bytes_per_token_at_first: Option<u128>,
    constant_bytes: Option<u128>,
    mha_bytes: u128,
    attention: Vec<AttentionJson>,
    layers: Vec<CacheLayer<'a>>,
    at: Vec<CacheAt>,
}

#[derive(Serialize)]
struct AttentionJson {
    kind: String,
    layers: u128,
    num_heads: u128,
    num_kv_heads: u128,
    window: Option<u128>,
}

#[derive(Serialize)]
struct CacheLayer<'a> {
    path: &'a str,
    layers: u128,
    bytes: u128,
}

#[derive(Serialize)]
struct CacheAt {
    tokens: u64,
    bytes: u128,
}

#[derive(Serialize)]
struct FitJson<'a> {
    device: &'a str,
    verified: bool,
    count: u64,
    capacity_bytes: u128,
    reserve_bytes: u128,
    needed_bytes: u128,
    fits: bool,
    /// Null: not even one, or no limit.
    largest_batch: Option<u64>,
    largest_batch_ended_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    largest_batch_why: Option<&'a str>,
    longest_context: Option<u64>,
    longest_context_ended_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_context_why: Option<&'a str>,
}

fn moment_json(moment: &Moment) -> MomentJson<'_> {
    let memory = moment.items.iter().map(|item| NamedBytes { kind: item.kind, bytes: item.bytes }).collect();
    MomentJson { pass: moment.pass, path: &moment.path, total_bytes: moment.total(), memory }
}

fn json(report: &MemoryReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let compiled = report.evaluation;
    let workload = &compiled.bound.workload;
    let path = |row| compiled.flat.row(row).map_or("?", |info| &*info.path);
    let cache = &report.cache;
    let options = report.training;
    let document = Document {
        format: "layerspec.memory/1",
        model: compiled.flat.name.as_deref(),
        partial: &compiled.checked.model.partial,
        phase: workload.phase.word(),
        batch_size: workload.batch_size,
        seq_len: workload.seq_len,
        past_len: workload.past_len,
        conventions: Conventions {
            kernel: workload.kernel.word(),
            cache: workload.cache.word(),
            backend: workload.backend.word(),
        },
        memory: report.plan.items.iter().map(|item| NamedBytes { kind: item.kind, bytes: item.bytes }).collect(),
        total_bytes: report.plan.total(),
        split: report.plan.split.as_ref().map(|split| SplitJson {
            devices: split.devices,
            copied_weight_bytes: split.copied_weight_bytes,
            copied_cache_bytes: split.copied_cache_bytes,
            cache_copies: split.cache_copies,
            divided: &split.divided,
            copied: &split.copied,
        }),
        training: (workload.phase == Phase::Train).then(|| TrainingJson {
            optimizer: &options.optimizer.name,
            master_weights: options.master_weights,
            checkpointing: options.checkpointing.word(),
            recomputed_flops: report.plan.recomputed_flops,
            gradients: options.gradients.word(),
            moments: report.plan.moments.iter().map(moment_json).collect(),
            alive: report
                .plan
                .step
                .iter()
                .flat_map(|step| &step.alive)
                .map(|alive| AliveThenJson {
                    path: alive.row.map_or("loss", path),
                    what: kind_of(alive.kind),
                    bytes: alive.bytes,
                })
                .collect(),
            zero: options.zero,
            ranks: options.ranks,
            lora_rank: options.lora.as_ref().map(|lora| lora.rank),
            lora_targets: options.lora.as_ref().map_or(&[], |lora| &lora.targets),
            trained_params: report.plan.trained_params,
            gradient_bytes: report.plan.gradient_bytes,
            saved_bytes: compiled.flow.saved_bytes,
        }),
        peak: compiled.flow.peak.as_ref().map(|peak| PeakJson {
            bytes: peak.bytes,
            activation_bytes: peak.activation_bytes(),
            cache_bytes: peak.cache_bytes,
            path: &peak.path,
            workspace: peak.workspace,
            alive: report
                .alive
                .iter()
                .map(|alive| AliveJson {
                    path: path(alive.row),
                    output: &alive.output,
                    shape: alive.shape.as_deref(),
                    count: alive.count,
                    bytes: alive.bytes,
                    persistent: alive.persistent,
                })
                .collect(),
        }),
        cache: CacheJson {
            bytes: cache.bytes,
            bytes_per_token: cache.growth.map(|growth| units::number(growth.bytes_per_token)),
            bytes_per_token_at_first: cache.growth.map(|growth| growth.at_first),
            constant_bytes: cache.growth.map(|growth| growth.constant_bytes),
            mha_bytes: cache.mha_bytes,
            attention: cache
                .attention
                .iter()
                .map(|kind| AttentionJson {
                    kind: kind.name(),
                    layers: kind.layers,
                    num_heads: kind.num_heads,
                    num_kv_heads: kind.num_kv_heads,
                    window: kind.window,
                })
                .collect(),
            layers: cache.rows.iter().map(|row| CacheLayer { path: &row.path, layers: row.layers, bytes: row.bytes }).collect(),
            at: cache.at.iter().map(|(tokens, bytes)| CacheAt { tokens: *tokens, bytes: *bytes }).collect(),
        },
        fit: report.fit.as_ref().map(|(device, fit)| FitJson {
            device: &device.name,
            verified: device.verified,
            count: fit.count,
            capacity_bytes: fit.capacity,
            reserve_bytes: fit.reserve,
            needed_bytes: fit.needed,
            fits: fit.fits(),
            largest_batch: fit.largest_batch.number(),
            largest_batch_ended_by: fit.largest_batch.ended_by(),
            largest_batch_why: fit.largest_batch.why().map(|why| &*why.message),
            longest_context: fit.longest_context.number(),
            longest_context_ended_by: fit.longest_context.ended_by(),
            longest_context_why: fit.longest_context.why().map(|why| &*why.message),
        }),
    };
    write::write_pretty(out, &document)?;
    writeln!(out)
}
