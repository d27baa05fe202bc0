//! Counts of a model side by side, as conventions count it, and why they differ.

use std::cmp::Ordering;
use std::io::{self, Write};

use serde_json::{Map, Value as Json, json};

use super::page::{self, PageFormat, Section};
use super::title::title;
use super::units;
use crate::analysis::convention::{Counted, Line, Passes, lines};
use crate::evaluation::Evaluation;
use crate::quantity::workload::Phase;
use crate::syntax::escape::escape_terminal;
use crate::syntax::json::write::write_pretty;

/// The line of what is taken off where a multiply-add counts as 1.
const HALVED: &str = "MACs: a multiply-add as 1";

/// Columns between two others.
const GAP: usize = 2;

/// Writes counts side by side, the first of them that with which the others are compared.
///
/// # Errors
/// Those of `out`.
pub fn render_reconciled(
    evaluation: &Evaluation,
    counts: &[Counted],
    format: PageFormat,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    if format == PageFormat::Json {
        write_pretty(out, &whole_json(evaluation, counts))?;
        return writeln!(out);
    }
    let train = evaluation.bound.workload.phase == Phase::Train;
    let lines = lines(counts);
    let side_by_side = side_by_side(counts, &lines, train);
    let sections = match format == PageFormat::Table && !fits(&side_by_side, width) {
        true => one_below_another(counts, &lines, train),
        false => vec![side_by_side],
    };
    let sections: Vec<Section> = sections.into_iter().chain([reasons(counts, &lines), sources(counts)]).collect();
    let title = title(evaluation);
    if format == PageFormat::Table { page::text(&title, &sections, width, out) } else { page::markdown(&title, &sections, out) }
}

fn difference(first: i128, other: i128) -> String {
    let size = || units::exact(other.abs_diff(first));
    match other.cmp(&first) {
        Ordering::Equal => "0".to_owned(),
        Ordering::Greater => format!("+{}", size()),
        Ordering::Less => format!("-{}", size()),
    }
}

/// What a line is called; in training with its pass.
fn label(line: &Line, train: bool) -> String {
    let term = line.term.as_deref().unwrap_or(HALVED);
    match (train, line.backward) {
        (false, _) => term.to_owned(),
        (true, false) => format!("{term}, forward"),
        (true, true) => format!("{term}, backward"),
    }
}

/// Rows of figures: each line's, and the totals.
fn figures(counts: &[Counted], lines: &[Line], train: bool) -> Vec<(String, Vec<i128>)> {
    let totals = counts.iter().map(|counted| counted.flops).collect();
    lines.iter().map(|line| (label(line, train), line.flops.clone())).chain([("total".to_owned(), totals)]).collect()
}

/// One convention a column; of two, their difference beside them.
fn side_by_side(counts: &[Counted], lines: &[Line], train: bool) -> Section {
    let names = counts.iter().map(|counted| (counted.convention.name.to_string(), true));
    let two = counts.len() == 2;
    let columns =
        std::iter::once((String::new(), false)).chain(names).chain(two.then(|| ("difference".to_owned(), true))).collect();
    let row = |(label, figures): (String, Vec<i128>)| {
        let last = match figures.as_slice() {
            [first, other] if two => Some(difference(*first, *other)),
            _ => None,
        };
        std::iter::once(label).chain(figures.iter().map(|n| units::signed(*n))).chain(last).collect()
    };
    let rows = figures(counts, lines, train).into_iter().map(row).collect();
    Section { title: String::new(), columns, rows }
}

fn fits(section: &Section, width: usize) -> bool {
    let widest = |at: usize| {
        let titles = section.columns.get(at).map_or(0, |(title, _)| title.len());
        section.rows.iter().filter_map(|row| row.get(at)).map(String::len).max().unwrap_or(0).max(titles)
    };
    (0..section.columns.len()).map(|at| widest(at) + GAP).sum::<usize>() <= width
}

/// One convention a table, where they have no room beside each other.
fn one_below_another(counts: &[Counted], lines: &[Line], train: bool) -> Vec<Section> {
    let figures = figures(counts, lines, train);
    let section = |(at, counted): (usize, &Counted)| {
        let rows = figures.iter().filter_map(|(label, all)| {
            let (first, own) = (*all.first()?, *all.get(at)?);
            if (first, own) == (0, 0) {
                return None;
            }
            let beside = (at > 0).then(|| difference(first, own));
            Some([label.clone(), units::signed(own)].into_iter().chain(beside).collect())
        });
        let first = counts.first().map_or("", |counted| &counted.convention.name);
        let beside = (at > 0).then(|| (format!("beside {first}"), true));
        let columns = [(String::new(), false), ("FLOPs".to_owned(), true)].into_iter().chain(beside).collect();
        Section { title: counted.convention.name.to_string(), columns, rows: rows.collect() }
    };
    counts.iter().enumerate().map(section).collect()
}

/// What each convention does where they differ.
fn reasons(counts: &[Counted], lines: &[Line]) -> Section {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut told: Vec<Option<&str>> = Vec::new();
    let differ = |line: &&Line| line.flops.windows(2).any(|pair| matches!(pair, [a, b] if a != b));
    for line in lines.iter().filter(differ) {
        if told.contains(&line.term.as_deref()) {
            continue;
        }
        told.push(line.term.as_deref());
        for (at, counted) in counts.iter().enumerate() {
            let name = counted.convention.name.to_string();
            let doc = match &line.term {
                Some(term) => counted.convention.terms.iter().find(|own| own.term == *term).map(|own| own.doc.to_string()),
                None => Some(format!("a multiply-add counts as {}", counted.convention.multiply_add)),
            };
            let term = if at == 0 { line.term.as_deref().unwrap_or(HALVED).to_owned() } else { String::new() };
            rows.push(vec![term, name, doc.unwrap_or_else(|| "doesn't count it".to_owned())]);
        }
    }
    let columns = ["where they differ", "", ""].map(|title| (title.to_owned(), false)).into();
    Section { title: String::new(), columns, rows }
}

/// What each convention counts, and who says so.
fn sources(counts: &[Counted]) -> Section {
    let row = |counted: &Counted| {
        let convention = &counted.convention;
        vec![
            convention.name.to_string(),
            format!("{}. Source: {}. Compared: {}", convention.doc, convention.source, convention.checked),
        ]
    };
    let columns = vec![("conventions".to_owned(), false), (String::new(), false)];
    Section { title: String::new(), columns, rows: counts.iter().map(row).collect() }
}

fn whole_json(evaluation: &Evaluation, counts: &[Counted]) -> Json {
    let model = &evaluation.checked.model;
    let conventions: Vec<Json> = counts.iter().map(convention_json).collect();
    let lines: Vec<Json> = lines(counts).iter().map(|line| line_json(line, counts)).collect();
    let workload = &evaluation.bound.workload;
    let whole = json!({
        "format": "layerspec.reconcile/1",
        "model": { "name": model.name.as_ref().map(|name| &*name.value), "source": model.source.as_deref() },
        "workload": {
            "phase": workload.phase.word(), "batch_size": workload.batch_size, "seq_len": workload.seq_len, "past_len": workload.past_len,
            "kernel": workload.kernel.word(),
        },
        "conventions": conventions,
        "lines": lines,
    });
    super::title::marked(whole, &model.partial)
}

/// A convention and its count.
pub(super) fn convention_json(counted: &Counted) -> Json {
    let convention = &counted.convention;
    json!({
        "name": &*convention.name, "doc": &*convention.doc, "source": &*convention.source, "compared": &*convention.checked,
        "multiply_add": convention.multiply_add, "flops": counted.flops, "forward_flops": counted.total.forward,
        "backward_flops": counted.total.backward,
    })
}

fn line_json(line: &Line, counts: &[Counted]) -> Json {
    let names = counts.iter().map(|counted| counted.convention.name.to_string());
    let flops: Map<String, Json> = names.zip(&line.flops).map(|(name, flops)| (name, json!(flops))).collect();
    json!({ "term": line.term.as_deref().unwrap_or(HALVED), "pass": if line.backward { "backward" } else { "forward" }, "flops": flops })
}

/// What a convention counts, in a line of a table's end: the total and its terms.
pub(super) fn in_words(counted: &Counted, passes: fn(&Passes) -> i128) -> String {
    let shares = counted.shares.iter().map(|share| (&*share.term, passes(&share.flops)));
    let all = shares.chain([(HALVED, passes(&counted.halved))]).filter(|(_, flops)| *flops != 0);
    let terms: Vec<String> = all.map(|(term, flops)| format!("{} {}", escape_terminal(term), units::signed(flops))).collect();
    let terms = if terms.len() > 1 { format!(": {}", terms.join(", ")) } else { String::new() };
    format!("{}{terms}", units::signed(passes(&counted.total)))
}
