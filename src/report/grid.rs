//! The table of a report before it is drawn: columns with a rank, rows with an indent. `table` and `markdown` draw it.

use std::io;

use super::conventions::conventions;
use super::reconcile::in_words;
use super::units;
use super::{By, Group, Line, Options, expanded, folded, groups};
use crate::analysis::convention::{Counted, Passes};
use crate::cost::workload::CompleteWorkload;
use crate::evaluation::Evaluation;
use crate::flat::RowId;
use crate::flow::alive_by_row;
use crate::language::checkpoint::Mixed;
use crate::quantity::workload::{Phase, words};
use crate::quantity::{Cost, Quantity};
use crate::syntax::stack::deep;

/// A column: its title, what `--columns` calls it, and how soon it is given up where there is no room (0: never).
#[derive(Debug, Clone)]
pub struct Column {
    pub key: &'static str,
    pub title: &'static str,
    pub rank: u8,
    pub right: bool,
}

#[derive(Debug, Clone)]
pub struct Row {
    pub kind: RowKind,
    /// How many composites it stands under.
    pub indent: usize,
    /// One a column.
    pub cells: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// A composite: a name only.
    Heading,
    Layer,
    Total,
}

/// Its rows are made when they are asked for, each time anew: a great many are never held.
pub struct Grid<'a> {
    pub columns: Vec<Column>,
    /// Which of all cells they show.
    shown: Vec<usize>,
    maker: Maker<'a>,
}

/// What is done with each row.
type Each<'e> = &'e mut dyn FnMut(Row) -> io::Result<()>;

const fn left(key: &'static str, title: &'static str, rank: u8) -> Column {
    Column { key, title, rank, right: false }
}

const fn right(key: &'static str, title: &'static str, rank: u8) -> Column {
    Column { key, title, rank, right: true }
}

/// The columns after the name, in display order.
const COLUMNS: &[Column] = &[
    left("class", "class", 4),
    right("repeats", "x", 0),
    right("calls", "calls", 3),
    right("params", "params", 0),
    right("weights", "weights", 6),
    right("flops", "FLOPs", 0),
    right("share", "share", 3),
    right("backward", "backward", 0),
    right("vector", "vector", 5),
    right("transcendentals", "transc.", 9),
    right("moved", "moved", 2),
    left("shape", "shape", 1),
    right("intensity", "FLOP/B", 4),
    right("output", "output", 8),
    right("peak", "at peak", 2),
    right("saved", "saved", 2),
    right("cache", "cache", 7),
];

/// By what rows are sorted, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// FLOPs, forward and backward.
    Flops,
    /// Learned scalars.
    Params,
    /// Bytes read and written.
    Moved,
    /// Bytes that are alive at the peak.
    Peak,
}

words!(Sort, Flops = "flops", Params = "params", Moved = "moved", Peak = "peak");

/// What `--columns` may name.
pub fn column_keys() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|column| column.key)
}

/// What a row says of itself, besides its name.
struct Facts<'a> {
    class: &'a str,
    count: u128,
    calls: u128,
    cost: &'a Cost,
    tied: bool,
    shape: Option<&'a [u128]>,
    saved: u128,
    /// Its FLOPs, forward and backward.
    flops: [Signed; 2],
    /// What of it is alive at the peak.
    at_peak: u128,
}

/// Makes the grid of a compiled model: the columns that were asked for, else those that aren't empty all the way.
pub fn grid<'a>(compiled: &'a Evaluation, options: &'a Options) -> Grid<'a> {
    let report = &compiled.report;
    let calls = report.rows().any(|row| row.calls != 1);
    let train = compiled.bound.workload.phase == Phase::Train;
    let cache = report.totals.get(Quantity::CacheBytes) > 0;
    let own = options.convention.is_none();
    let by_layer = options.by == By::Layer;
    let usual = |column: &Column| match column.key {
        "vector" | "transcendentals" | "intensity" if !own => false,
        "calls" => calls && by_layer,
        "class" | "shape" => by_layer,
        "repeats" => !options.expand || !by_layer,
        "backward" | "saved" => train,
        "cache" => cache,
        "peak" => options.sort == Some(Sort::Peak),
        _ => true,
    };
    let at = |key: &str| COLUMNS.iter().position(|column| column.key == key);
    let chosen: Vec<usize> = match options.columns.is_empty() {
        true => (0..COLUMNS.len()).filter(|at| COLUMNS.get(*at).is_some_and(usual)).collect(),
        false => options.columns.iter().filter_map(|key| at(key)).collect(),
    };
    let name = left("layer", if options.by == By::Class { "class" } else { "layer" }, 0);
    let named = |at: &usize| COLUMNS.get(*at).cloned();
    // Those that were asked for are there, whatever the terminal.
    let kept = |column: Column| if options.columns.is_empty() { column } else { Column { rank: 0, ..column } };
    // A share is of that by which rows are sorted.
    let of_sort = |column: Column| match (column.key, options.sort) {
        ("share", Some(Sort::Params)) => Column { title: "of params", ..column },
        ("share", Some(Sort::Moved)) => Column { title: "of moved", ..column },
        ("share", Some(Sort::Peak)) => Column { title: "of peak", ..column },
        ("share", Some(Sort::Flops)) => Column { title: "of FLOPs", ..column },
        _ => column,
    };
    let columns = std::iter::once(name).chain(chosen.iter().filter_map(named).map(kept).map(of_sort)).collect();
    let shown = std::iter::once(0).chain(chosen.iter().map(|at| at + 1)).collect();
    let wants_peak = options.sort == Some(Sort::Peak) || options.columns.iter().any(|key| key == "peak");
    let at_peak = match &compiled.flow.peak {
        Some(peak) if wants_peak => deep(|| alive_by_row(&compiled.flat, &compiled.bound, &compiled.report, peak)),
        _ => Vec::new(),
    };
    Grid { columns, shown, maker: Maker { compiled, options, at_peak } }
}

impl Grid<'_> {
    /// Makes every row, the totals last.
    ///
    /// # Errors
    /// The first of `each`.
    pub fn each(&self, each: Each<'_>) -> io::Result<()> {
        let Maker { compiled, options, .. } = self.maker;
        let mut chosen = |mut row: Row| {
            row.cells = self.shown.iter().filter_map(|at| row.cells.get(*at).cloned()).collect();
            each(row)
        };
        match (options.by, options.expand, options.sorted()) {
            (By::Layer, _, true) => self.maker.sorted(&mut chosen)?,
            (By::Layer, false, false) => self.maker.tree(&mut chosen)?,
            (By::Layer, true, false) => expanded(compiled).try_for_each(|line| chosen(self.maker.line(&line.path, 0, &line)))?,
            (by, ..) => self.maker.groups(by, &mut chosen)?,
        }
        let report = &compiled.report;
        let total = if compiled.checked.model.partial.is_empty() { "total" } else { "total (partial)" };
        let all = Facts {
            class: "",
            count: report.layers,
            calls: 1,
            cost: &report.totals,
            tied: false,
            shape: None,
            saved: compiled.flow.saved_bytes,
            flops: self.maker.all_flops(),
            at_peak: self.maker.at_peak.iter().sum(),
        };
        chosen(self.maker.row(RowKind::Total, total, 0, &all))
    }
}

struct Maker<'a> {
    compiled: &'a Evaluation,
    options: &'a Options,
    /// Of each row, all instances; empty where nobody asks.
    at_peak: Vec<u128>,
}

impl Maker<'_> {
    /// Folded rows under their composites, named as in the path.
    fn tree(&self, each: Each<'_>) -> io::Result<()> {
        let mut open: Vec<String> = Vec::new();
        for (info, line) in self.compiled.flat.rows.iter().zip(folded(self.compiled)) {
            let prefixes: Vec<&str> = info.prefixes().iter().filter_map(|end| info.path.get(..*end as usize)).collect();
            // A layer without a name has its composite's.
            let nameless = prefixes.last() == Some(&&*info.path);
            let under = prefixes.len() - usize::from(nameless);
            let common = open.iter().zip(&prefixes).take_while(|(a, b)| a == b).count();
            for (depth, prefix) in prefixes.iter().enumerate().take(under).skip(common) {
                let outer = depth.checked_sub(1).and_then(|at| prefixes.get(at)).copied().unwrap_or("");
                each(self.heading(relative(prefix, outer), depth))?;
            }
            open = prefixes.iter().take(under).map(|p| (*p).to_owned()).collect();
            let outer = under.checked_sub(1).and_then(|at| prefixes.get(at)).copied().unwrap_or("");
            each(self.line(relative(&info.path, outer), under, &line))?;
        }
        Ok(())
    }

    fn heading(&self, name: &str, indent: usize) -> Row {
        let mut cells = vec![super::escape_terminal(name).into_owned()];
        cells.resize(COLUMNS.len() + 1, String::new());
        Row { kind: RowKind::Heading, indent, cells }
    }

    /// Folded rows under their whole paths, the largest first, as many as were asked for.
    fn sorted(&self, each: Each<'_>) -> io::Result<()> {
        let lines: Vec<Line<'_>> = folded(self.compiled).collect();
        let key = |line: &&Line<'_>| self.sort_key(&self.facts(line));
        self.largest(lines.iter(), key).into_iter().try_for_each(|line| each(self.line(&line.path, 0, line)))
    }

    fn groups(&self, by: By, each: Each<'_>) -> io::Result<()> {
        let groups = groups(self.compiled, by, self.options.depth);
        let key = |group: &&Group| self.sort_key(&self.of_group(group));
        let largest = self.largest(groups.iter(), key);
        largest.into_iter().try_for_each(|group| each(self.row(RowKind::Layer, &group.name, 0, &self.of_group(group))))
    }

    /// The largest first, those of a size in their order; as they come, if no order was asked for.
    fn largest<T>(&self, all: impl Iterator<Item = T>, key: impl Fn(&T) -> u128) -> Vec<T> {
        let mut all: Vec<T> = all.collect();
        if self.options.sorted() {
            all.sort_by_cached_key(|item| std::cmp::Reverse(key(item)));
        }
        all.truncate(self.options.top.unwrap_or(usize::MAX));
        all
    }

    fn sort_key(&self, facts: &Facts<'_>) -> u128 {
        match self.options.sort {
            None | Some(Sort::Flops) => facts.flops.iter().fold(0, |sum, flops| sum.saturating_add(flops.positive())),
            Some(Sort::Params) => facts.cost.get(Quantity::Params),
            Some(Sort::Moved) => facts.cost.bytes_moved().map_or(u128::MAX, |bytes| bytes.0),
            Some(Sort::Peak) => facts.at_peak,
        }
    }

    fn at_peak_of(&self, row: RowId) -> u128 {
        self.at_peak.get(row.0 as usize).copied().unwrap_or(0)
    }

    fn of_group<'g>(&self, group: &'g Group) -> Facts<'g> {
        Facts {
            class: "",
            count: group.layers,
            calls: 1,
            cost: &group.cost,
            tied: false,
            shape: None,
            saved: group.saved_bytes,
            flops: self.flops(&group.cost, |counted| group.counted(counted)),
            at_peak: group.rows.iter().map(|(row, _)| self.at_peak_of(*row)).sum(),
        }
    }

    fn facts<'l>(&self, line: &'l Line<'_>) -> Facts<'l> {
        Facts {
            class: line.class,
            count: line.repeats,
            calls: line.calls,
            cost: &line.cost,
            tied: line.tied_to.is_some(),
            shape: line.output_shape,
            saved: line.saved_bytes,
            flops: self.flops(&line.cost, |counted| line.counted(counted)),
            at_peak: self.at_peak_of(line.row),
        }
    }

    fn line(&self, name: &str, indent: usize, line: &Line<'_>) -> Row {
        self.row(RowKind::Layer, name, indent, &self.facts(line))
    }

    fn row(&self, kind: RowKind, name: &str, indent: usize, facts: &Facts<'_>) -> Row {
        let cost = facts.cost;
        let count = |quantity| self.count(cost.get(quantity));
        let bytes = |n: u128| self.bytes(n);
        let of = |quantity| bytes(cost.get(quantity));
        let [forward, backward] = facts.flops;
        let (part, whole) = self.share(facts);
        let class = facts.class.rsplit('.').next().unwrap_or(facts.class);
        let params = cost.get(Quantity::Params);
        let cells = [
            super::escape_terminal(name).into_owned(),
            super::escape_terminal(class).into_owned(),
            units::exact(facts.count),
            facts.calls.to_string(),
            if facts.tied && params == 0 { "tied".to_owned() } else { self.count(params) },
            of(Quantity::WeightBytes),
            self.signed(forward),
            units::percent(part, whole),
            self.signed(backward),
            count(Quantity::VectorFlops),
            count(Quantity::Transcendentals),
            bytes(cost.bytes_moved().map_or(0, |b| b.0)),
            facts.shape.map(units::shape).unwrap_or_default(),
            cost.arithmetic_intensity().map(units::ratio).unwrap_or_default(),
            of(Quantity::ActivationBytes),
            bytes(facts.at_peak),
            bytes(facts.saved),
            of(Quantity::CacheBytes),
        ];
        Row { kind, indent, cells: cells.into() }
    }

    /// What a row has of that by which rows are sorted, else of the forward pass's FLOPs, and how much of it there is.
    fn share(&self, facts: &Facts<'_>) -> (u128, u128) {
        let totals = &self.compiled.report.totals;
        let whole = match self.options.sort {
            None => {
                let ([own, _], [all, _]) = (facts.flops, self.all_flops());
                return (own.positive(), all.positive());
            }
            Some(Sort::Flops) => self.all_flops().iter().fold(0, |sum: u128, flops| sum.saturating_add(flops.positive())),
            Some(Sort::Params) => totals.get(Quantity::Params),
            Some(Sort::Moved) => totals.bytes_moved().map_or(u128::MAX, |bytes| bytes.0),
            Some(Sort::Peak) => self.at_peak.iter().sum(),
        };
        (self.sort_key(facts), whole)
    }

    /// FLOPs forward and backward: by the convention that was asked for, else those of a cost.
    fn flops(&self, cost: &Cost, by_convention: impl FnOnce(&Counted) -> Passes) -> [Signed; 2] {
        match &self.options.convention {
            Some(counted) => {
                let Passes { forward, backward } = by_convention(counted);
                [forward, backward].map(Signed::of)
            }
            None => own_flops(cost),
        }
    }

    fn all_flops(&self) -> [Signed; 2] {
        self.flops(&self.compiled.report.totals, |counted| counted.total)
    }

    fn count(&self, n: u128) -> String {
        if self.options.exact { units::exact(n) } else { units::count(n) }
    }

    fn signed(&self, n: Signed) -> String {
        let sign = if n.negative { "-" } else { "" };
        format!("{sign}{}", self.count(n.size))
    }

    fn bytes(&self, n: u128) -> String {
        match (n, self.options.exact) {
            (0, _) => "0".to_owned(),
            (n, true) => units::exact(n),
            (n, false) => units::bytes(n, self.options.units),
        }
    }
}

/// A count of 128 bits, with a sign: a convention of one's own may count less than nothing.
#[derive(Debug, Clone, Copy)]
struct Signed {
    negative: bool,
    size: u128,
}

impl Signed {
    fn of(n: i128) -> Self {
        Signed { negative: n < 0, size: n.unsigned_abs() }
    }

    /// 0 where it is less.
    fn positive(self) -> u128 {
        if self.negative { 0 } else { self.size }
    }
}

/// Matrix products and elementwise operations, forward and backward.
fn own_flops(cost: &Cost) -> [Signed; 2] {
    // That all FLOPs together are within 128 bits was seen when the total was formed.
    let sum = |a, b| Signed { negative: false, size: cost.get(a).saturating_add(cost.get(b)) };
    [sum(Quantity::MatmulFlops, Quantity::VectorFlops), sum(Quantity::BackwardMatmulFlops, Quantity::BackwardVectorFlops)]
}

/// What a path adds to that of its composite.
fn relative<'p>(path: &'p str, outer: &str) -> &'p str {
    path.strip_prefix(outer).map_or(path, |rest| rest.trim_start_matches('.'))
}

/// The totals with every digit, and by which conventions they were counted: label and text.
pub fn summary(compiled: &Evaluation, options: &Options) -> Vec<(&'static str, String)> {
    let units = options.units;
    let counted = options.convention.as_deref();
    let (report, workload) = (&compiled.report, &compiled.bound.workload);
    let totals = &report.totals;
    let exact = |quantity| units::exact(totals.get(quantity));
    let bytes = |quantity| units::bytes(totals.get(quantity), units);
    let train = workload.phase == Phase::Train;
    let weights = compiled.mix().map_or(&*workload.weight_dtype.name, |mixed| &*mixed.name);
    let mut lines = vec![
        ("layers", format!("{}, of which {} modules", units::exact(report.layers), units::exact(report.modules))),
        ("params", format!("{} ({} in {}{})", exact(Quantity::Params), bytes(Quantity::WeightBytes), weights, others(workload))),
        ("FLOPs", counted.map_or_else(|| forward(totals), |counted| in_words(counted, |flops| flops.forward))),
    ];
    lines.extend(super::title::partial(compiled).map(|text| ("partial", super::escape_terminal(&text).into_owned())));
    let said: Vec<String> = checkpoint(compiled).into_iter().chain(namesake(compiled)).collect();
    lines.extend((!said.is_empty()).then(|| ("weights", said.join("; "))));
    if totals.get(Quantity::ActiveParams) != totals.get(Quantity::Params) {
        let text = format!(
            "{} that one token uses; weights read are those of the experts that some token is expected to be routed to",
            exact(Quantity::ActiveParams)
        );
        lines.push(("active", text));
    }
    if train {
        let text = counted.map_or_else(|| backward(totals), |counted| in_words(counted, |flops| flops.backward));
        lines.push(("backward", text));
    }
    let pass = if train { " (forward pass)" } else { "" };
    let moved = format!(
        "weights {} read; activations {} read, {} written; cache {} read, {} written{pass}",
        bytes(Quantity::WeightsRead),
        bytes(Quantity::ActivationsRead),
        bytes(Quantity::ActivationsWritten),
        bytes(Quantity::CacheRead),
        bytes(Quantity::CacheWritten),
    );
    lines.push(("moved", moved));
    if totals.get(Quantity::CacheBytes) > 0 {
        lines.push(("cache", format!("{} bytes ({}) after the step", exact(Quantity::CacheBytes), bytes(Quantity::CacheBytes))));
    }
    if let Some(peak) = &compiled.flow.peak {
        let at = super::escape_terminal(&peak.path).into_owned();
        let activations = peak.activation_bytes();
        let text =
            format!("{} bytes ({}) of activations at most, at {at}", units::exact(activations), units::bytes(activations, units));
        lines.push(("peak", text));
    }
    if train {
        let saved = compiled.flow.saved_bytes;
        lines.push(("saved", format!("{} bytes ({}) for the backward pass", units::exact(saved), units::bytes(saved, units))));
    }
    lines.push(("counted", conventions(compiled, options.convention.as_deref(), options.units)));
    let uses = compiled.flat.uses();
    let has_effect = |name: &&String| match name.as_str() {
        "seq_len" | "past_len" => uses.reads(name),
        "phase" => uses.reads("past_len") || uses.reads("training"),
        _ => true,
    };
    let defaulted: Vec<&str> = workload.defaulted.iter().filter(has_effect).map(String::as_str).collect();
    if !defaulted.is_empty() {
        lines.push(("defaults", defaulted.join(", ")));
    }
    lines
}

/// `, biases, norms and embeddings in bf16`, where those are of another dtype.
fn others(workload: &CompleteWorkload) -> String {
    let other = &workload.other_weight_dtype;
    if *other == workload.weight_dtype { String::new() } else { format!(", biases, norms and embeddings in {}", other.name) }
}

fn forward(totals: &Cost) -> String {
    let (matmul, vector) = (totals.get(Quantity::MatmulFlops), totals.get(Quantity::VectorFlops));
    format!("{} matmul ({} MACs) + {} vector", units::exact(matmul), units::count(totals.macs()), units::exact(vector))
}

fn backward(totals: &Cost) -> String {
    let (matmul, vector) = (totals.get(Quantity::BackwardMatmulFlops), totals.get(Quantity::BackwardVectorFlops));
    format!("{} matmul + {} vector", units::exact(matmul), units::exact(vector))
}

/// That a mix of types has the name of a dtype that was asked for, which means another thing.
fn namesake(compiled: &Evaluation) -> Option<String> {
    let dtype = compiled.asked.weight_dtype.as_ref()?;
    let mix = compiled.checked.classes.catalog().mix(&dtype.name)?;
    let prefix = &mix.rules.prefix;
    dtype.is_quantized().then(|| {
        format!(
            "{} is one type for all matrices; {}'s files of that name are `{prefix}:{}`",
            dtype.name, mix.rules.name, mix.kind
        )
    })
}

/// What a mix of types comes to: `4.8944 bits a weight, 4,912,898,048 bytes`.
pub(super) fn mixture(mixed: &Mixed) -> String {
    let bits = mixed.bits().map(|bits| format!("{} bits a weight, ", units::decimals(bits, 4))).unwrap_or_default();
    format!("{bits}{} bytes", units::exact(mixed.bytes))
}

/// Where the dtypes of the weights come from, if a checkpoint has a say in them.
pub(super) fn checkpoint(compiled: &Evaluation) -> Option<String> {
    let (flat, bound) = (&compiled.flat, &compiled.bound);
    let mut parts = Vec::new();
    if let Some((dtype, key)) = &flat.checkpoint.dtype {
        let from_config = bound.workload.weight_dtype == *dtype;
        parts.push(match from_config {
            true => format!("{} as the config's `{key}` says", dtype.name),
            false => format!("{}, the config's `{key}` says {}", bound.workload.weight_dtype.name, dtype.name),
        });
    }
    if let Some(quantization) = &flat.checkpoint.quantization {
        let in_effect = |row: &crate::cost::bind::BoundRow| {
            row.signature
                .and_then(|at| bound.signatures.get(at as usize))
                .is_some_and(|signature| signature.quantized.as_ref().is_some_and(|quantized| quantized.published))
        };
        let rows = flat.rows.iter().zip(bound.rows.iter()).filter(|(_, row)| in_effect(row));
        let layers: u128 = rows.map(|(info, _)| info.repeats).fold(0, u128::saturating_add);
        if let Some(mixed) = &quantization.mixed {
            let text = format!("{} as {}: {}", mixed.name, mixed.by, mixture(mixed));
            return Some(super::escape_terminal(&text).into_owned());
        }
        let bits: Vec<String> = quantization.groups.iter().map(|group| group.bits.uncut()).collect();
        parts.push(format!(
            "{} in {} layers as its `{}` says ({} bits a weight, scales included)",
            super::escape_terminal(&quantization.method.value),
            units::exact(layers),
            quantization.key,
            bits.join(" or ")
        ));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}
