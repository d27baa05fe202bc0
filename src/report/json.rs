//! The public JSON of `compile`: format `layerspec.compile/1`, integers as integers, written as it is made.

use std::io::{self, Write};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::layer::{Inputs, Outputs, Parameters, Replaced, Weights};
use super::parts::write_lines;
use super::reconcile::convention_json;
use super::{By, Group, Line, Options, groups};
use crate::analysis::changes::FORMAT;
use crate::analysis::convention::{Counted, Passes};
use crate::analysis::layers::Layer;
use crate::cost::workload::CompleteWorkload;
use crate::evaluation::Evaluation;
use crate::flow::Peak;
use crate::language::checkpoint::Mixed;
use crate::quantity::workload::{Mla, Phase};
use crate::quantity::{Cost, QUANTITIES, Total};
use crate::syntax::json::write;

pub fn render(compiled: &Evaluation, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let model = &compiled.checked.model;
    let train = compiled.bound.workload.phase == Phase::Train;
    let counted = options.convention.as_deref();
    writeln!(out, "{{\n  \"format\": {},", json(&FORMAT)?)?;
    let name = model.name.as_ref().map(|name| &*name.value);
    write!(out, "  \"model\": {{ \"name\": {}, \"source\": {} }},", json(&name)?, json(&model.source.as_deref())?)?;
    if !model.partial.is_empty() {
        write!(out, "\n  \"partial\": {},", json(&model.partial)?)?;
    }
    let catalog = compiled.checked.classes.catalog();
    let reference: serde_json::Map<String, serde_json::Value> =
        catalog.reference().iter().map(|(name, version)| ((*name).to_owned(), (*version).into())).collect();
    write!(out, "\n  \"catalog\": {},\n  \"reference\": {},", json(&catalog.version())?, json(&reference)?)?;
    write!(
        out,
        "\n  \"workload\": {},",
        json(&WorkloadJson(&compiled.bound.workload, compiled.mix(), super::grid::checkpoint(compiled)))?
    )?;
    write!(out, "\n  \"conventions\": {},", json(&ConventionsJson(compiled))?)?;
    if let Some(counted) = &options.convention {
        write!(out, "\n  \"convention\": {},", json(&convention_json(counted))?)?;
    }
    if options.by == By::Layer {
        write!(out, "\n  \"layers\": [")?;
        write_lines(compiled, out, &|at, line, layer, text| {
            text.extend_from_slice(if at == 0 { b"\n    " } else { b",\n    " });
            write::write(text, &LineJson { compiled, line, layer, train, counted })
        })?;
    } else {
        write!(out, "\n  \"groups\": [")?;
        let mut separator = "";
        for group in groups(compiled, options.by, options.depth) {
            write!(out, "{separator}\n    ")?;
            write::write(out, &GroupJson { group: &group, by: options.by, train, counted })?;
            separator = ",";
        }
    }
    write!(out, "\n  ],\n  \"totals\": {}\n}}\n", json(&TotalsJson { compiled, train, counted })?)
}

pub fn render_lines(compiled: &Evaluation, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let train = compiled.bound.workload.phase == Phase::Train;
    let counted = options.convention.as_deref();
    if options.by == By::Layer {
        write_lines(compiled, out, &|_, line, layer, text| {
            write::write(text, &LineJson { compiled, line, layer, train, counted })?;
            text.push(b'\n');
            Ok(())
        })?;
    } else {
        for group in groups(compiled, options.by, options.depth) {
            write::write(out, &GroupJson { group: &group, by: options.by, train, counted })?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn json<T: Serialize>(value: &T) -> io::Result<String> {
    write::text(value)
}

struct LineJson<'a> {
    compiled: &'a Evaluation,
    layer: &'a Layer<'a>,
    line: &'a Line<'a>,
    train: bool,
    counted: Option<&'a Counted>,
}

impl Serialize for LineJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("path", &*self.line.path)?;
        map.serialize_entry("class", self.line.class)?;
        map.serialize_entry("kind", self.line.kind)?;
        let (evaluation, layer, row) = (self.compiled, self.layer, self.layer.instance.row);
        map.serialize_entry("parameters", &Parameters(row))?;
        if !Replaced(row).is_empty() {
            map.serialize_entry("workload", &Replaced(row))?;
        }
        map.serialize_entry("inputs", &Inputs { evaluation, layer })?;
        map.serialize_entry("outputs", &Outputs { evaluation, layer })?;
        map.serialize_entry("weights", &Weights { evaluation, row })?;
        map.serialize_entry("output_shape", &self.line.output_shape)?;
        if self.line.calls != 1 {
            map.serialize_entry("calls", &self.line.calls)?;
        }
        quantities(&mut map, &self.line.cost, self.train)?;
        by_convention(&mut map, self.counted.map(|counted| self.line.counted(counted)), self.train)?;
        if self.train {
            map.serialize_entry(Total::SavedBytes.name(), &self.line.saved_bytes)?;
        }
        if let Some(tied) = self.line.tied_to {
            map.serialize_entry("tied_to", tied)?;
        }
        if let Some(info) = evaluation.flat.row(row.id()).filter(|info| info.row.merged.is_some()) {
            let of: Vec<Stood> = info.stands_for(&self.line.path).map(|(path, class)| Stood(path, class)).collect();
            map.serialize_entry("stands_for", &of)?;
        }
        map.end()
    }
}

/// A layer that another stands for: its path and its class.
struct Stood<'a>(String, &'a str);

impl Serialize for Stood<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("path", &self.0)?;
        map.serialize_entry("class", self.1)?;
        map.end()
    }
}

struct GroupJson<'a> {
    group: &'a Group,
    by: By,
    train: bool,
    counted: Option<&'a Counted>,
}

impl Serialize for GroupJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(if self.by == By::Class { "class" } else { "path" }, &self.group.name)?;
        map.serialize_entry(Total::Layers.name(), &self.group.layers)?;
        quantities(&mut map, &self.group.cost, self.train)?;
        by_convention(&mut map, self.counted.map(|counted| self.group.counted(counted)), self.train)?;
        if self.train {
            map.serialize_entry(Total::SavedBytes.name(), &self.group.saved_bytes)?;
        }
        map.end()
    }
}

fn quantities<M: SerializeMap>(map: &mut M, cost: &Cost, train: bool) -> Result<(), M::Error> {
    for info in QUANTITIES.iter().filter(|info| train || !info.train_only) {
        let count = cost.get(info.quantity);
        // Nearly all fit into 64 bits, which are written several times as fast.
        match u64::try_from(count) {
            Ok(count) => map.serialize_entry(info.name, &count)?,
            Err(_) => map.serialize_entry(info.name, &count)?,
        }
    }
    map.serialize_entry("arithmetic_intensity", &cost.arithmetic_intensity())
}

/// The keys, and CSV's columns, of FLOPs as a convention counts them.
pub(super) const BY_CONVENTION: [&str; 2] = ["convention_flops", "backward_convention_flops"];

/// FLOPs as a convention counts them; nothing where none was asked for.
fn by_convention<M: SerializeMap>(map: &mut M, flops: Option<Passes>, train: bool) -> Result<(), M::Error> {
    let Some(Passes { forward, backward }) = flops else { return Ok(()) };
    let [of_forward, of_backward] = BY_CONVENTION;
    map.serialize_entry(of_forward, &forward)?;
    if train { map.serialize_entry(of_backward, &backward) } else { Ok(()) }
}

struct TotalsJson<'a> {
    compiled: &'a Evaluation,
    train: bool,
    counted: Option<&'a Counted>,
}

impl Serialize for TotalsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = &self.compiled.report;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(Total::Layers.name(), &report.layers)?;
        map.serialize_entry(Total::Modules.name(), &report.modules)?;
        quantities(&mut map, &report.totals, self.train)?;
        by_convention(&mut map, self.counted.map(|counted| counted.total), self.train)?;
        let flow = &self.compiled.flow;
        if self.train {
            map.serialize_entry(Total::SavedBytes.name(), &flow.saved_bytes)?;
        }
        map.serialize_entry(Total::PeakActivationBytes.name(), &flow.peak.as_ref().map(Peak::activation_bytes))?;
        map.serialize_entry(Total::PeakBytes.name(), &flow.peak.as_ref().map(|peak| peak.bytes))?;
        map.serialize_entry("peak_path", &flow.peak.as_ref().map(|peak| &*peak.path))?;
        map.serialize_entry(Total::Flops.name(), &report.totals.total(Total::Flops))?;
        map.serialize_entry(Total::Macs.name(), &report.totals.macs())?;
        map.end()
    }
}

struct WorkloadJson<'a>(&'a CompleteWorkload, Option<&'a Mixed>, Option<String>);

impl Serialize for WorkloadJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let workload = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("phase", workload.phase.word())?;
        map.serialize_entry("batch_size", &workload.batch_size)?;
        map.serialize_entry("seq_len", &workload.seq_len)?;
        map.serialize_entry("past_len", &workload.past_len)?;
        map.serialize_entry("kv_len", &workload.kv_len())?;
        map.serialize_entry("logit_len", &workload.logit_len)?;
        map.serialize_entry("dtype", &*workload.dtype.name)?;
        map.serialize_entry("weight_dtype", self.1.map_or(&*workload.weight_dtype.name, |mixed| &*mixed.name))?;
        if workload.other_weight_dtype != workload.weight_dtype {
            map.serialize_entry("other_weight_dtype", &*workload.other_weight_dtype.name)?;
        }
        if let Some(source) = self.2.as_ref() {
            map.serialize_entry("weight_dtype_source", source)?;
        }
        map.serialize_entry("kv_dtype", &*workload.kv_dtype.name)?;
        for (name, value) in &workload.more {
            match value.as_number().and_then(|n| n.to_integer()) {
                Some(n) => map.serialize_entry(&**name, &n)?,
                None => map.serialize_entry(&**name, &value.to_string())?,
            }
        }
        map.serialize_entry("defaulted", &workload.defaulted)?;
        map.end()
    }
}

struct ConventionsJson<'a>(&'a Evaluation);

impl Serialize for ConventionsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let workload = &self.0.bound.workload;
        if let Some(runtime) = self.0.runtime() {
            map.serialize_entry("runtime", &*runtime.name)?;
        }
        map.serialize_entry("attention", workload.attention.word())?;
        map.serialize_entry("kernel", workload.kernel.word())?;
        if workload.mla != Mla::default() {
            map.serialize_entry("mla", workload.mla.word())?;
        }
        map.serialize_entry("logits", workload.logits.word())?;
        map.serialize_entry("cache", workload.cache.word())?;
        map.serialize_entry("backend", workload.backend.word())?;
        map.serialize_entry("flops_per_multiply_add", &2)?;
        map.end()
    }
}
