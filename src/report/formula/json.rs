//! Formulas as data.

use std::io::{self, Write};

use serde_json::{Map, Value as Json, json};

use super::super::units;
use crate::analysis::formula::{Formula, Formulas, Term};
use crate::evaluation::Evaluation;
use crate::program::Style;
use crate::syntax::json::write::write_pretty;

pub(super) fn json(evaluation: &Evaluation, pages: &[Formulas], out: &mut dyn Write) -> io::Result<()> {
    let workload = evaluation.workload();
    let parts: Vec<Json> = pages.iter().map(|page| part(evaluation, page)).collect();
    let whole = json!({
        "format": "layerspec.formula/1",
        "model": { "name": evaluation.name(), "source": evaluation.flat.source.as_deref() },
        "workload": {
            "phase": workload.phase.word(), "batch_size": workload.batch_size, "seq_len": workload.seq_len, "past_len": workload.past_len,
            "dtype": &*workload.dtype.name, "weight_dtype": &*workload.weight_dtype.name, "kv_dtype": &*workload.kv_dtype.name,
            "attention": workload.attention.word(), "kernel": workload.kernel.word(), "logits": workload.logits.word(),
        },
        "parts": parts,
    });
    write_pretty(out, &crate::report::title::marked(whole, &evaluation.checked.model.partial))?;
    writeln!(out)
}

fn part(evaluation: &Evaluation, page: &Formulas) -> Json {
    let code = page.writer(Style::Python);
    let guards: Vec<String> = page.guards.iter().map(|(guard, _)| code.poly(guard)).collect();
    let fixed: Map<String, Json> = page.fixed.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
    let variables: Vec<Json> = page
        .symbolic
        .variables
        .iter()
        .enumerate()
        .map(|(at, variable)| {
            let value = page.point.as_ref().and_then(|point| point.get(at));
            json!({ "name": &*variable.name, "least": variable.least, "value": value })
        })
        .collect();
    let formulas: Vec<Json> = page.formulas.iter().map(|formula| of_formula(evaluation, page, formula)).collect();
    json!({ "part": page.part, "fixed": fixed, "variables": variables, "formulas": formulas, "conditions": guards })
}

fn of_formula(evaluation: &Evaluation, page: &Formulas, formula: &Formula) -> Json {
    let (text, code) = (page.writer(Style::Text), page.writer(Style::Python));
    let (numerator, denominator) = &formula.whole;
    let term = |term: &Term| {
        let paths: Vec<&str> = term.rows.iter().filter_map(|row| Some(&*evaluation.flat.rows.get(*row)?.path)).collect();
        json!({ "formula": text.term(&term.group), "value": term.value.map(units::number), "layers": paths })
    };
    json!({
        "quantity": formula.info.name,
        "unit": formula.info.unit.word(),
        "value": formula.value.map(units::number),
        "formula": text.poly(&formula.form),
        "expression": code.poly(numerator),
        "divisor": denominator,
        "terms": formula.terms.iter().map(term).collect::<Vec<_>>(),
    })
}
