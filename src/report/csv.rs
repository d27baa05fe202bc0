//! The full flat list as CSV, with the columns of the JSON rows.

use std::io::{self, Write};

use super::json::BY_CONVENTION;
use super::layer::{Inputs, Outputs, Parameters, Weights};
use super::lines::wired;
use super::{By, Options, escape_csv, groups, units};
use crate::analysis::convention::Passes;
use crate::evaluation::Evaluation;
use crate::quantity::workload::Phase;
use crate::quantity::{Cost, QUANTITIES, QuantityInfo, Total};
use crate::syntax::json::write;

pub fn render(compiled: &Evaluation, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let train = compiled.bound.workload.phase == Phase::Train;
    let columns: Vec<&QuantityInfo> = QUANTITIES.iter().filter(|info| train || !info.train_only).collect();
    let mut writer = ::csv::Writer::from_writer(out);
    let counted = options.convention.as_deref();
    let by_convention = BY_CONVENTION.iter().take(counted.map_or(0, |_| if train { 2 } else { 1 })).copied();
    let names = columns.iter().map(|info| info.name).chain(["arithmetic_intensity"]).chain(by_convention);
    let saved = train.then_some(Total::SavedBytes.name());
    if options.by == By::Layer {
        const LAST: [&str; 6] = ["tied_to", "output_shape", "parameters", "inputs", "outputs", "weights"];
        writer.write_record(["path", "class", "kind", "calls"].into_iter().chain(names).chain(saved).chain(LAST))?;
        wired(compiled, &mut |line, layer| {
            let head = [
                escape_csv(&line.path).into_owned(),
                escape_csv(line.class).into_owned(),
                line.kind.to_owned(),
                line.calls.to_string(),
            ];
            let tied = escape_csv(line.tied_to.unwrap_or("")).into_owned();
            let shape = line.output_shape.map(units::shape).unwrap_or_default();
            let row = layer.instance.row;
            // Lists and objects stand as JSON in a cell.
            let flows = [
                write::text(&Parameters(row))?,
                write::text(&Inputs { evaluation: compiled, layer })?,
                write::text(&Outputs { evaluation: compiled, layer })?,
                write::text(&Weights { evaluation: compiled, row })?,
            ];
            writer.write_record(
                head.into_iter()
                    .chain(cells(&columns, &line.cost))
                    .chain(flops(counted.map(|counted| line.counted(counted)), train))
                    .chain(train.then(|| line.saved_bytes.to_string()))
                    .chain([tied, shape])
                    .chain(flows),
            )?;
            io::Result::Ok(())
        })?;
    } else {
        let key = if options.by == By::Class { "class" } else { "path" };
        writer.write_record([key, Total::Layers.name()].into_iter().chain(names).chain(saved))?;
        for group in groups(compiled, options.by, options.depth) {
            let head = [escape_csv(&group.name).into_owned(), group.layers.to_string()];
            let saved = train.then(|| group.saved_bytes.to_string());
            let flops = flops(counted.map(|counted| group.counted(counted)), train);
            writer.write_record(head.into_iter().chain(cells(&columns, &group.cost)).chain(flops).chain(saved))?;
        }
    }
    writer.flush()
}

/// FLOPs as a convention counts them, if one was asked for.
fn flops(by_convention: Option<Passes>, train: bool) -> impl Iterator<Item = String> {
    let passes = by_convention.into_iter().flat_map(|passes| [passes.forward, passes.backward]);
    passes.take(if train { 2 } else { 1 }).map(|flops| flops.to_string())
}

fn cells<'a>(columns: &'a [&QuantityInfo], cost: &'a Cost) -> impl Iterator<Item = String> + 'a {
    let intensity = cost.arithmetic_intensity().map(|x| x.to_string()).unwrap_or_default();
    columns.iter().map(|info| cost.get(info.quantity).to_string()).chain([intensity])
}
