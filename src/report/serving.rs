//! What `serving` found out: does it fit, for how many, and what is known how well.

use std::io::{self, Write};

use serde_json::{Map, Value as Json, json};

use super::page::{self, PageFormat, Section};
use super::units::{self, Units};
use crate::analysis::serving::{Chosen, Figure, Group, LogRow, Reach, Room, ServingPlan};
use crate::catalog::{Certainty, Device, Layout, Runtime};
use crate::syntax::escape::escape_terminal;
use crate::syntax::expr::{Exact, Value};
use crate::syntax::json::write::write_pretty;
use crate::syntax::words::wrap;

/// All that `serving` found out.
#[derive(Debug)]
pub struct ServingReport<'a> {
    /// What the model is called.
    pub model: &'a str,
    /// The engine.
    pub runtime: &'a Runtime,
    /// Its version, if one was asked for.
    pub version: Option<&'a str>,
    /// Each of the devices.
    pub device: &'a Device,
    /// What it makes of them.
    pub plan: &'a ServingPlan,
    /// What else would fit.
    pub solved: Solved<'a>,
    /// The engine's command line.
    pub command: String,
    /// Lines of its log as they would be.
    pub log: Vec<LogRow>,
    /// Whether these are of a log that was read.
    pub has_log: bool,
    /// What the first figure of it that differs rests on; `None`: none does.
    pub differs: Option<(String, String)>,
    /// What a thousand is.
    pub units: Units,
}

/// What else would fit.
#[derive(Debug)]
pub struct Solved<'a> {
    /// The longest requests of which as many find room.
    pub longest_context: Option<u64>,
    /// The fewest ranks over which layers are divided.
    pub fewest_ranks: Option<u128>,
    /// The device with the least memory.
    pub smallest_device: Option<&'a Device>,
}

/// Writes an answer.
///
/// # Errors
/// Those of `out`.
pub fn render_served(report: &ServingReport<'_>, format: PageFormat, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let (answer, sections) = (report.answer(), report.sections());
    match format {
        PageFormat::Json => {
            write_pretty(out, &report.json())?;
            return writeln!(out);
        }
        PageFormat::Table => page::text(&answer, &sections, width, out)?,
        PageFormat::Markdown => page::markdown(&answer, &sections, out)?,
    }
    writeln!(out)?;
    for note in report.notes() {
        wrap(&escape_terminal(&note), width).iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    Ok(())
}

impl ServingReport<'_> {
    fn engine(&self) -> String {
        match (self.version, &self.runtime.versions) {
            (Some(version), _) => format!("{} {version}", self.runtime.name),
            (None, Some(versions)) => format!("{} {}", self.runtime.name, versions.to),
            (None, None) => self.runtime.name.to_string(),
        }
    }

    fn bytes(&self, n: u128) -> String {
        units::bytes(n, self.units)
    }

    fn usual_room(&self) -> Option<Room> {
        self.plan.room.get(1).copied().flatten()
    }

    /// The answer in a line.
    fn answer(&self) -> String {
        let plan = self.plan;
        let place = format!("{} on {} x {} by {}", self.model, plan.ranks.devices(), self.device.name, self.engine());
        let requests = |n: &str| format!("{n} of {} tokens", units::exact(u128::from(plan.length)));
        let verdict = match (plan.fits(), plan.surely()) {
            (true, [true, _]) => "fits",
            (true, _) => "fits as usual, not at the worst",
            (false, [_, true]) => "doesn't fit as usual, only at the best",
            (false, _) => "doesn't fit",
        };
        let asked = if plan.concurrency == 1 {
            requests("1 request")
        } else {
            requests(&format!("{} requests", units::exact(u128::from(plan.concurrency))))
        };
        let left = match plan.left() {
            Ok(left) => format!("{} left", self.bytes(left)),
            Err(missing) => format!("{} missing", self.bytes(missing)),
        };
        let room = match (self.usual_room(), plan.pool.groups.is_empty()) {
            (_, true) => ", nothing is kept between steps".to_owned(),
            (Some(room), _) if room.concurrency > Exact::ZERO => {
                format!(", {} tokens of cache, {} at once", units::exact(room.tokens), requests(&fixed(room.concurrency, 2)))
            }
            _ => ", no room for a cache".to_owned(),
        };
        format!("{place}: {verdict}: {asked}, {left}{room}")
    }

    fn sections(&self) -> Vec<Section> {
        let mut sections = vec![self.memory(), self.cache(), self.room(), self.what_else(), self.options()];
        sections.push(self.log_section());
        sections.push(Section {
            title: "it starts so".to_owned(),
            columns: columns(&[("", false)]),
            rows: vec![vec![self.command.clone()]],
        });
        sections
    }

    /// What of one device is taken.
    fn memory(&self) -> Section {
        let plan = self.plan;
        let loaded = &plan.loaded;
        let mut rows = Vec::new();
        let mut row = |what: String, figure: Figure| {
            let band = match figure.low == figure.high {
                true => String::new(),
                false => format!("{} to {}", self.bytes(figure.low), self.bytes(figure.high)),
            };
            rows.push(vec![what, self.bytes(figure.usual), band, figure.certainty.word().to_owned()]);
        };
        let one = |n: u128, certainty: Certainty| Figure { low: n, usual: n, high: n, certainty };
        let certainty = if loaded.is_modelled { Certainty::Modelled } else { Certainty::Exact };
        row("weights".to_owned(), one(loaded.tensors, certainty));
        for (what, bytes) in [("filled up", loaded.padding), ("allocator's rounding", loaded.rounding)] {
            if bytes > 0 {
                row(format!("  {what}"), one(bytes, certainty));
            }
        }
        for (name, bytes) in loaded.tables.iter().filter(|(_, bytes)| *bytes > 0) {
            row(format!("  {name}"), one(*bytes, Certainty::Exact));
        }
        if let Some(placed) = plan.placed.filter(|placed| placed.copied > 0) {
            row("  of them for the head".to_owned(), one(placed.copied, certainty));
        }
        for taken in &plan.beside {
            let name = match &taken.decides {
                Some(decides) => format!("{}: {decides}", taken.name),
                None => taken.name.to_string(),
            };
            row(name, taken.figure);
        }
        let [low, usual, high] = plan.available;
        row("left for the cache".to_owned(), Figure { low, usual, high, certainty: self.certainty() });
        row("may be taken".to_owned(), one(plan.may_take, plan.device_certainty));
        row("of".to_owned(), one(plan.device_bytes, plan.device_certainty));
        if let Some(placed) = plan.placed.filter(|placed| placed.host > 0) {
            row("weights left to the processor".to_owned(), one(placed.host, certainty));
        }
        if plan.pool.of_request_on_host > 0 {
            let bytes = plan.pool.of_request_on_host.saturating_mul(u128::from(plan.concurrency));
            row("cache left to the processor".to_owned(), one(bytes, Certainty::Modelled));
        }
        Section {
            title: match plan.ranks.devices() {
                1 => format!("memory of {}", self.device.name),
                n => format!("memory of {}, the fullest of {n}", self.device.name),
            },
            columns: columns(&[("", false), ("", true), ("band", true), ("", false)]),
            rows,
        }
    }

    /// How well the cache is known: as the least known of what is taken beside it.
    fn certainty(&self) -> Certainty {
        let beside = self.plan.beside.iter().map(|taken| taken.figure.certainty);
        beside.chain([self.plan.device_certainty]).max().unwrap_or(Certainty::Exact)
    }

    fn cache(&self) -> Section {
        let plan = self.plan;
        let blocks = plan.layout == Layout::Blocks;
        let row = |group: &Group| {
            let mut row = vec![reach(&group.reach), units::exact(group.layers), units::exact(group.bytes)];
            if blocks {
                row.push(if group.block > 1 { units::exact(group.block) } else { String::new() });
                row.push(units::exact(group.groups));
            }
            row.push(units::exact(group.of_request));
            row
        };
        let shape: &[(&str, bool)] = match blocks {
            true => &[
                ("keeps", false),
                ("layers", true),
                ("bytes of a token", true),
                ("tokens a block", true),
                ("groups", true),
                ("blocks of a request", true),
            ],
            false => &[("keeps", false), ("layers", true), ("bytes of a token", true), ("cells of a request", true)],
        };
        Section {
            title: format!(
                "cache of a device: {} a request of {} tokens",
                self.bytes(plan.pool.of_request),
                units::exact(u128::from(plan.length))
            ),
            columns: columns(shape),
            rows: plan.pool.groups.iter().map(row).collect(),
        }
    }

    fn room(&self) -> Section {
        let names = ["at the worst", "as usual", "at the best"];
        let rows = names.iter().zip(self.plan.room).zip(self.plan.available).filter_map(|((name, room), available)| {
            let room = room?;
            Some(vec![(*name).to_owned(), self.bytes(available), units::exact(room.tokens), fixed(room.concurrency, 2)])
        });
        Section {
            title: "what finds room".to_owned(),
            columns: columns(&[("", false), ("cache", true), ("tokens", true), ("requests at once", true)]),
            rows: rows.collect(),
        }
    }

    fn what_else(&self) -> Section {
        let plan = self.plan;
        let of = |n: u64| if n == 1 { "1 request".to_owned() } else { format!("{} requests", units::exact(u128::from(n))) };
        let none = || "none".to_owned();
        let most = self.usual_room().and_then(|room| room.concurrency.floor()?.to_count());
        let rows = vec![
            vec![
                format!("longest context of {}", of(plan.concurrency)),
                self.solved.longest_context.map_or_else(none, |length| units::exact(u128::from(length))),
            ],
            vec![
                format!("most requests of {} tokens", units::exact(u128::from(plan.length))),
                most.map_or_else(none, units::exact),
            ],
            vec![format!("fewest ranks of {}", self.device.name), self.solved.fewest_ranks.map_or_else(none, units::exact)],
            vec![
                format!("smallest device, {} of it", plan.ranks.devices()),
                self.solved.smallest_device.map_or_else(none, |device| device.name.to_string()),
            ],
        ];
        Section { title: "what would fit, as usual".to_owned(), columns: columns(&[("", false), ("", true)]), rows }
    }

    fn options(&self) -> Section {
        let row = |chosen: &Chosen| {
            vec![chosen.typed.to_string(), shown(&chosen.value), if chosen.is_given { "given" } else { "default" }.to_owned()]
        };
        Section {
            title: format!("options of {}", self.engine()),
            columns: columns(&[("", false), ("", true), ("", false)]),
            rows: self.plan.options.iter().map(row).collect(),
        }
    }

    fn log_section(&self) -> Section {
        let has_log = self.has_log;
        let rows = self.log.iter().map(|row| {
            let differs = row.figures.iter().find(|figure| !figure.agrees);
            let predicted: Vec<String> = row.figures.iter().map(|figure| decimal(figure.predicted)).collect();
            match has_log {
                true => vec![
                    row.text.clone(),
                    predicted.join(", "),
                    differs.map_or_else(|| "agrees".to_owned(), |figure| format!("{} differs", figure.name)),
                ],
                false => vec![row.text.clone()],
            }
        });
        let (title, shape): (&str, &[(&str, bool)]) = match has_log {
            true => ("its log", &[("line", false), ("predicted", true), ("", false)]),
            false => ("its log would say, as usual", &[("", false)]),
        };
        Section { title: title.to_owned(), columns: columns(shape), rows: rows.collect() }
    }

    fn notes(&self) -> Vec<String> {
        let plan = self.plan;
        let mut notes = Vec::new();
        if let Some((name, rests_on)) = &self.differs {
            notes.push(format!("The first that differs is {name}. It rests on {rests_on}."));
        }
        if plan.pool.is_lengthened {
            let padding = plan.pool.state_padding.and_then(|part| part.checked_mul(Exact::integer(100)));
            let block = plan.pool.groups.iter().map(|group| group.block).filter(|block| *block > 1).min().unwrap_or_default();
            let padded = padding
                .map(|percent| format!(", of which {} per cent of a state are filled up", fixed(percent, 2)))
                .unwrap_or_default();
            notes.push(format!("A block has {} tokens, so that it is as large as a state{padded}.", units::exact(block)));
        }
        if plan.loaded.copied > 0 {
            notes.push(format!("{} of the weights are whole on every rank.", self.bytes(plan.loaded.copied)));
        }
        if let Some(placed) = plan.placed.filter(|placed| placed.layers_on_device < placed.layers) {
            notes.push(format!("{} of {} layers are on the device.", placed.layers_on_device, placed.layers));
        }
        for taken in &plan.beside {
            notes.push(format!("{} is {}: {}.", capital(&taken.name), taken.figure.certainty.word(), taken.doc));
        }
        if plan.device_certainty == Certainty::Assumed {
            notes.push(format!("What {} says it has is assumed: 98.5 per cent of its capacity.", self.device.name));
        }
        let words = "Exact follows from the engine's own code, modelled was held against logs, assumed is what logs show: docs/serving.md.";
        notes.push(words.to_owned());
        notes
    }

    fn json(&self) -> Json {
        let plan = self.plan;
        let figure = |figure: &Figure| json!({ "low": figure.low, "usual": figure.usual, "high": figure.high, "certainty": figure.certainty.word() });
        let room = |room: &Option<Room>| {
            room.as_ref()
                .map(|room| json!({ "blocks": room.blocks, "tokens": room.tokens, "requests": number(room.concurrency) }))
        };
        let options: Map<String, Json> = plan
            .options
            .iter()
            .map(|chosen| {
                (
                    chosen.typed.trim_start_matches('-').to_owned(),
                    json!({ "value": value(&chosen.value), "given": chosen.is_given }),
                )
            })
            .collect();
        let [low, usual, high] = plan.available;
        json!({
            "format": "layerspec.serving/1",
            "model": self.model,
            "runtime": { "name": &*self.runtime.name, "version": self.version },
            "device": { "name": &*self.device.name, "bytes": plan.device_bytes, "certainty": plan.device_certainty.word(), "count": plan.ranks.devices() },
            "ranks": { "tensor": plan.ranks.tensor, "pipeline": plan.ranks.pipeline, "expert": plan.ranks.expert },
            "context": plan.length,
            "concurrency": plan.concurrency,
            "fits": plan.fits(),
            "fits_at_the_worst": plan.surely().first(),
            "left": plan.left().ok(),
            "missing": plan.left().err(),
            "may_take": plan.may_take,
            "weights": {
                "bytes": plan.loaded.bytes, "tensors": plan.loaded.tensors, "padding": plan.loaded.padding, "rounding": plan.loaded.rounding,
                "whole_on_every_rank": plan.loaded.copied,
                "tables": plan.loaded.tables.iter().map(|(name, bytes)| (name.to_string(), json!(bytes))).collect::<Map<_, _>>(),
                "by_role": plan.loaded.by_role.iter().map(|(role, bytes)| ((*role).to_owned(), json!(bytes))).collect::<Map<_, _>>(),
            },
            "placed": plan.placed.map(|placed| json!({
                "device": placed.device, "host": placed.host, "copied": placed.copied, "layers_on_device": placed.layers_on_device, "layers": placed.layers,
                "cache_of_request_on_host": plan.pool.of_request_on_host,
            })),
            "beside": plan.beside.iter().map(|taken| json!({ "name": &*taken.name, "bytes": figure(&taken.figure), "decides": taken.decides, "rests_on": &*taken.doc })).collect::<Vec<_>>(),
            "cache": {
                "bytes": { "low": low, "usual": usual, "high": high },
                "bytes_of_request": plan.pool.of_request,
                "groups": plan.pool.groups.iter().map(|group| json!({
                    "keeps": reach(&group.reach), "layers": group.layers, "bytes_of_token": group.bytes, "block_tokens": group.block,
                    "groups": group.groups, "of_request": group.of_request,
                })).collect::<Vec<_>>(),
                "room": plan.room.each_ref().map(room).into_iter().zip(["worst", "usual", "best"]).map(|(room, name)| (name.to_owned(), json!(room))).collect::<Map<_, _>>(),
            },
            "options": options,
            "would_fit": {
                "longest_context": self.solved.longest_context,
                "fewest_ranks": self.solved.fewest_ranks,
                "smallest_device": self.solved.smallest_device.map(|device| device.name.to_string()),
            },
            "log": self.log.iter().map(|row| json!({
                "line": row.text,
                "figures": row.figures.iter().map(|figure| json!({
                    "name": figure.name, "stated": figure.stated.map(number), "predicted": number(figure.predicted), "certainty": figure.certainty.word(), "agrees": figure.agrees,
                })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "first_that_differs": self.differs.as_ref().map(|(name, rests_on)| json!({ "name": name, "rests_on": rests_on })),
            "command": self.command,
        })
    }
}

fn columns(shape: &[(&str, bool)]) -> Vec<(String, bool)> {
    shape.iter().map(|(name, right)| ((*name).to_owned(), *right)).collect()
}

fn reach(reach: &Reach) -> String {
    match reach {
        Reach::All => "all tokens".to_owned(),
        Reach::Window(tokens) => format!("a window of {}", units::exact(*tokens)),
        Reach::Chunk(tokens) => format!("a chunk of {}", units::exact(*tokens)),
        Reach::State { .. } => "a state".to_owned(),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Number(n) => decimal(*n),
        other => other.to_string(),
    }
}

fn value(value: &Value) -> Json {
    match value {
        Value::Number(n) => number(*n),
        Value::Bool(flag) => json!(flag),
        other => json!(shown(other)),
    }
}

/// A number as JSON has it: an integer where it is one, else a few digits.
fn number(n: Exact) -> Json {
    n.to_count().map_or_else(|| json!(n.to_f64()), |count| json!(count))
}

/// So many digits behind the point.
fn fixed(n: Exact, digits: usize) -> String {
    format!("{:.digits$}", n.to_f64())
}

/// An integer as it is, else with two digits.
fn decimal(n: Exact) -> String {
    n.to_count().map_or_else(|| fixed(n, 2), units::exact)
}
