//! Formulas for people: the page of `formula`, and the same in LaTeX.

use std::io::{self, Write};

use indexmap::IndexSet;

use super::super::page::{self, Section};
use super::super::title::{rests_on, title};
use super::super::units::{self, Units};
use crate::analysis::formula::{Formula, Formulas, Term};
use crate::evaluation::Evaluation;
use crate::program::{Atom, AtomId, Poly, Style, Writer};
use crate::quantity::{Exact, Unit};
use crate::syntax::words::{few, fit, width_of};

/// How many layers of a term are named.
const NAMED: usize = 3;

/// Longer conditions of validity are counted.
const SHORT: usize = 100;

pub(super) fn text(evaluation: &Evaluation, pages: &[Formulas], width: usize, out: &mut dyn Write) -> io::Result<()> {
    let head = format!("{}\n{}", title(evaluation), legend(evaluation, pages));
    let mut constants = Section {
        title: "at every workload".to_owned(),
        columns: vec![(String::new(), false), (String::new(), true)],
        rows: Vec::new(),
    };
    let mut sections = Vec::new();
    // The parts of a quantity stand together.
    for total in pages.first().iter().flat_map(|page| &page.order) {
        for page in pages {
            let Some(formula) = page.formulas.iter().find(|formula| formula.info.quantity == *total) else { continue };
            if page.part.is_none() && formula.form.as_constant().is_some() {
                constants.rows.push(vec![total.name().to_owned(), page.writer(Style::Text).poly(&formula.form)]);
            } else {
                sections.push(of_formula(evaluation, page, formula));
            }
        }
    }
    sections.insert(0, constants);
    sections.push(explained(pages));
    sections.push(conditions(pages));
    write!(out, "{}", fit(&head, width))?;
    // The head stands already.
    let mut body = Vec::new();
    page::text("", &sections, width, &mut body)?;
    let body = String::from_utf8_lossy(&body);
    out.write_all(body.strip_prefix('\n').unwrap_or(&body).as_bytes())?;
    let [_, conventions] = rests_on(evaluation);
    write!(out, "\n{}", fit(&conventions, width))
}

/// Which values the letters have that stand in a formula.
fn legend(evaluation: &Evaluation, pages: &[Formulas]) -> String {
    let workload = evaluation.workload();
    let lengths = [("batch_size", workload.batch_size), ("seq_len", workload.seq_len), ("past_len", workload.past_len)];
    let is_used = |name: &str| pages.iter().any(|page| page.uses(name) || page.fixed.iter().any(|(fixed, _)| **fixed == *name));
    let letters = lengths.into_iter().filter(|(name, _)| is_used(name)).filter_map(|(name, value)| {
        let letter = pages.first()?.writer(Style::Text).name(name);
        let is = if letter == name { letter } else { format!("{letter} = {name}") };
        Some(format!("{is} = {}", units::exact(u128::from(value))))
    });
    letters.collect::<Vec<_>>().join(", ")
}

/// The part of all workloads that a page is of.
fn part(page: &Formulas, style: Style) -> Option<String> {
    let writer = page.writer(style);
    let fixed = page.fixed.iter().map(|(name, value)| format!("{} = {}", writer.name(name), units::exact(u128::from(*value))));
    let sign = if style == Style::Latex { "\\ge" } else { "≥" };
    let least = page.symbolic.variables.iter().filter(|variable| match &*variable.name {
        "seq_len" => variable.least > 1,
        _ => variable.name.ends_with("_len") && variable.least > 0,
    });
    let least = least.map(|variable| format!("{} {sign} {}", writer.name(&variable.name), variable.least));
    let all: Vec<String> = fixed.chain(least).collect();
    page.part.map(|name| format!("{name} ({})", all.join(", ")))
}

fn of_formula(evaluation: &Evaluation, page: &Formulas, formula: &Formula) -> Section {
    let writer = page.writer(Style::Text);
    let shown = |value: Option<Exact>| value.map_or_else(String::new, |value| figure(value, formula.info.unit));
    let value = formula.value.map_or_else(String::new, |value| format!(" = {}", figure(value, formula.info.unit)));
    let part = part(page, Style::Text).map_or_else(String::new, |part| format!(", {part}"));
    let title = format!("{}{part} = {}{value}", formula.info.name, writer.poly(&formula.form));
    let whole = formula.value.and_then(|value| value.to_count()).unwrap_or(0);
    let share = |term: &Term| {
        let part = term.value.and_then(Exact::checked_abs).and_then(|value| value.to_count()).unwrap_or(0);
        let sign = if term.value.is_some_and(|value| value < Exact::ZERO) { "-" } else { "" };
        let share = units::percent(part, whole);
        if share.is_empty() { share } else { format!("  {:>6}", format!("{sign}{share}")) }
    };
    // One term alone is its formula.
    if formula.terms.len() < 2 {
        let rows = formula.terms.iter().map(|term| vec![layers(evaluation, term)]).collect();
        return Section { title, columns: vec![(String::new(), false)], rows };
    }
    let row = |term: &Term| {
        let figures = format!("{}{}", shown(term.value), share(term));
        [Some(writer.term(&term.group)), page.point.is_some().then_some(figures), Some(layers(evaluation, term))]
    };
    let rows = formula.terms.iter().map(|term| row(term).into_iter().flatten().collect()).collect();
    let columns = [Some(false), page.point.is_some().then_some(true), Some(false)];
    let columns = columns.into_iter().flatten().map(|right| (String::new(), right)).collect();
    Section { title, columns, rows }
}

fn figure(value: Exact, unit: Unit) -> String {
    let sign = if value < Exact::ZERO { "-" } else { "" };
    let size = value.checked_abs().and_then(Exact::floor).and_then(|n| n.to_count()).unwrap_or_default();
    match unit {
        Unit::Bytes => format!("{sign}{}", units::bytes(size, Units::Si)),
        _ => format!("{sign}{}", units::count(size)),
    }
}

/// Where a term comes from: the last parts of the paths of its rows.
fn layers(evaluation: &Evaluation, term: &Term) -> String {
    let rows = term.rows.iter().filter_map(|row| evaluation.flat.rows.get(*row));
    let names: IndexSet<&str> = rows.map(|row| row.path.rsplit_once("].").map_or(&*row.path, |(_, rest)| rest)).collect();
    few(names.iter(), NAMED)
}

/// What the atoms are, and where each takes another branch.
fn explained(pages: &[Formulas]) -> Section {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut add = |row: Vec<String>| {
        if !rows.contains(&row) {
            rows.push(row);
        }
    };
    for page in pages {
        let writer = page.writer(Style::Text);
        let [hold, fail] = page.conditions();
        for id in page.atoms() {
            if fail.contains(&id) {
                let denied = writer.denied(id);
                let condition = denied.trim_start_matches('[').trim_end_matches(']');
                add(vec![denied.clone(), format!("1 where {condition}, else 0")]);
            }
            if hold.contains(&id) || !fail.contains(&id) {
                add(vec![writer.atom(id), meaning(page, &writer, id)]);
            }
        }
    }
    Section { title: "where".to_owned(), columns: vec![(String::new(), false), (String::new(), false)], rows }
}

fn meaning(page: &Formulas, writer: &Writer<'_>, id: AtomId) -> String {
    let form = |poly: &Poly| writer.poly(poly);
    match page.symbolic.atoms.atom(id) {
        Some(Atom::Min(a, b)) => {
            let (less, more) = if a.as_constant().is_some() { (b, a) } else { (a, b) };
            format!("{} up to {}, then {}", form(less), form(more), form(more))
        }
        Some(Atom::AtLeast(inner, threshold)) => {
            format!("1 from {} = {threshold} on, else 0", form(inner), threshold = units::signed(*threshold))
        }
        Some(Atom::Equals(inner, value)) => format!("1 where {} is {}, else 0", form(inner), units::signed(*value)),
        Some(Atom::Floor(inner, by)) => {
            let is_ceil = writer.atom(id).starts_with('⌈');
            let inner = if is_ceil { inner.without_constant() } else { inner.clone() };
            let direction = if is_ceil { "up" } else { "down" };
            let experts = inner.atoms().iter().any(|atom| matches!(page.symbolic.atoms.atom(*atom), Some(Atom::Experts(..))));
            if experts {
                return format!("rounded {direction}");
            }
            format!("rounded {direction}: a step every {} of {}", units::signed(*by), form(&inner))
        }
        Some(Atom::Experts(experts, chosen, tokens)) => format!(
            "how many of {} experts some of {} tokens are routed to, {} each, under uniform routing: E·(1 - (1 - k/E)^tokens), to a millionth",
            form(experts),
            form(tokens),
            form(chosen)
        ),
        Some(Atom::Quotient(a, b)) => match writer.rounded_up(a, b) {
            Some(a) => format!("rounded up: {} over {}", form(&a), form(b)),
            None => format!("rounded down: {} over {}", form(a), form(b)),
        },
        Some(Atom::Power(base, exponent)) => format!("{} to the power of {}", form(base), form(exponent)),
        Some(Atom::Item(_, at)) => format!("item {} of these, counted from 0", form(at)),
        Some(Atom::Isqrt(inner)) => format!("the greatest integer whose square is at most {}", form(inner)),
        Some(Atom::Variable(_)) | None => String::new(),
    }
}

/// Under which conditions formulas are right; what is long is counted.
fn conditions(pages: &[Formulas]) -> Section {
    let (mut rows, mut long): (Vec<Vec<String>>, usize) = (Vec::new(), 0);
    for page in pages {
        let writer = page.writer(Style::Text);
        for guard in &page.symbolic.guards {
            match writer.condition_of(guard).filter(|text| width_of(text) <= SHORT) {
                Some(text) if rows.iter().any(|row| row.first() == Some(&text)) => {}
                Some(text) => rows.push(vec![text]),
                None => long += 1,
            }
        }
    }
    match (long, rows.is_empty()) {
        (0, _) => {}
        (_, true) => rows.push(vec![format!("{long}, too long to be read here: `--as json` has them")]),
        (_, false) => rows.push(vec![format!("and {long} more, too long to be read here: `--as json` has them")]),
    }
    let title = "right where each of these holds; elsewhere `compile` says what is wrong".to_owned();
    Section { title, columns: vec![(String::new(), false)], rows }
}

pub(super) fn latex(evaluation: &Evaluation, pages: &[Formulas], out: &mut dyn Write) -> io::Result<()> {
    let [of, conventions] = rests_on(evaluation);
    writeln!(out, "% {of}\n% {conventions}\n% needs amsmath")?;
    writeln!(out, "\\begin{{align*}}")?;
    for total in pages.first().iter().flat_map(|page| &page.order) {
        for page in pages {
            let Some(formula) = page.formulas.iter().find(|formula| formula.info.quantity == *total) else { continue };
            let name = formula.info.name.replace('_', "\\_");
            let part = part(page, Style::Latex).and_then(|part| Some(part.split_once(" (")?.1.trim_end_matches(')').to_owned()));
            let part = part.map_or_else(String::new, |part| format!(" && ({part})"));
            writeln!(out, "\\text{{{name}}} &= {}{part} \\\\", page.writer(Style::Latex).poly(&formula.form))?;
        }
    }
    let mut last = Vec::new();
    let Some(first) = pages.first() else { return Ok(()) };
    let letters = ["batch_size", "seq_len", "past_len"]
        .into_iter()
        .filter(|name| pages.iter().any(|page| page.uses(name) || page.fixed.iter().any(|(fixed, _)| **fixed == **name)));
    last.extend(
        letters.map(|name| format!("{} = \\text{{{}}}", first.writer(Style::Latex).name(name), name.replace('_', "\\_"))),
    );
    let has = |wanted: fn(&Atom) -> bool| {
        pages.iter().any(|page| page.atoms().iter().any(|id| page.symbolic.atoms.atom(*id).is_some_and(wanted)))
    };
    if has(|atom| matches!(atom, Atom::AtLeast(..) | Atom::Equals(..))) {
        last.push("[c] = 1 \\text{ where } c \\text{ holds, else } 0".to_owned());
    }
    if has(|atom| matches!(atom, Atom::Experts(..))) {
        last.push("\\operatorname{experts}(E, k, t) = E \\left(1 - (1 - k/E)^t\\right)".to_owned());
    }
    if has(|atom| matches!(atom, Atom::Item(..))) {
        last.push("\\operatorname{item}(i;\\ x_0, x_1, \\dots) = x_i".to_owned());
    }
    if !last.is_empty() {
        writeln!(out, "&\\text{{with }} {}", last.join(",\\quad "))?;
    }
    writeln!(out, "\\end{{align*}}")
}
