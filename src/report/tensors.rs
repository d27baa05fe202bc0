//! The tensors of a file of weights, or of a model: names, shapes, types, bytes, by layer and by type.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};

use serde_json::{Map, Value as Json, json};

use super::page::{self, Section};
use super::units::{self, Units};
use super::{escape_csv, escape_terminal};
use crate::import::{Contents, Datum, Held, pattern};
use crate::quantity::workload::words;
use crate::syntax::json::write::{write, write_pretty};
use crate::syntax::words::width_of;

/// How `tensors` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorFormat {
    /// For people, as wide as the terminal.
    Table,
    /// One document for programs.
    Json,
    /// A tensor a line, as JSON.
    Jsonl,
    /// A tensor a line.
    Csv,
    /// For pages.
    Markdown,
}

words!(TensorFormat, Table = "table", Json = "json", Jsonl = "jsonl", Csv = "csv", Markdown = "markdown");

/// How tensors are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorsBy {
    /// Each by itself; in a table those of all blocks in a row.
    Tensor,
    /// By the block that they are in.
    Layer,
    /// By their type alone.
    Type,
}

words!(TensorsBy, Tensor = "tensor", Layer = "layer", Type = "type");

/// What is asked of a page of tensors.
#[derive(Debug, Clone, Copy)]
pub struct TensorOptions {
    /// What comes out.
    pub format: TensorFormat,
    /// How tensors are put together in it.
    pub by: TensorsBy,
    /// A row for each tensor, where those of all blocks would be in one.
    pub expand: bool,
    /// The file's metadata, too.
    pub metadata: bool,
    /// Decimal or binary multiples of bytes.
    pub units: Units,
    /// Columns of the terminal.
    pub width: usize,
}

/// Tensors that are put together.
#[derive(Debug, Clone, Default)]
struct Sum {
    tensors: u128,
    /// `None`: of some it isn't known.
    elements: Option<u128>,
    bytes: Option<u128>,
}

impl Sum {
    fn new() -> Self {
        Sum { tensors: 0, elements: Some(0), bytes: Some(0) }
    }

    fn add(&mut self, tensor: &Held) {
        let plus = |sum: Option<u128>, more: Option<u64>| sum?.checked_add(u128::from(more?));
        self.tensors += 1;
        self.elements = plus(self.elements, tensor.elements());
        self.bytes = plus(self.bytes, tensor.bytes);
    }

    fn of<'t>(tensors: impl IntoIterator<Item = &'t Held>) -> Self {
        let mut sum = Sum::new();
        tensors.into_iter().for_each(|tensor| sum.add(tensor));
        sum
    }

    /// Bits an element to four decimals, as llama.cpp prints them.
    fn bits(&self) -> Option<String> {
        let (elements, bytes) = (self.elements.filter(|n| *n > 0)?, self.bytes?);
        let scaled = bytes.checked_mul(8 * 10_000)?.checked_add(elements / 2)? / elements;
        Some(format!("{}.{:04}", scaled / 10_000, scaled % 10_000))
    }

    fn json(&self) -> Map<String, Json> {
        let mut out = Map::new();
        out.insert("tensors".to_owned(), json!(self.tensors));
        out.insert("elements".to_owned(), json!(self.elements));
        out.insert("bytes".to_owned(), json!(self.bytes));
        let bits = self.bits().and_then(|bits| bits.parse::<f64>().ok());
        out.insert("bits_per_element".to_owned(), json!(bits));
        out
    }

    fn cells(&self, units: Units) -> [String; 4] {
        [exact(self.elements), exact(self.bytes), human(self.bytes, units), self.bits().unwrap_or_default()]
    }
}

fn exact(n: Option<u128>) -> String {
    n.map_or_else(|| "?".to_owned(), units::exact)
}

fn human(n: Option<u128>, units: Units) -> String {
    n.map_or_else(String::new, |n| units::bytes(n, units))
}

/// Writes the tensors of a file or a model, which is called `name`.
///
/// # Errors
/// Those of `out`.
pub fn render_tensors(name: &str, contents: &Contents, options: TensorOptions, out: &mut dyn Write) -> io::Result<()> {
    match options.format {
        TensorFormat::Json => {
            write_pretty(out, &whole(name, contents, options))?;
            writeln!(out)
        }
        TensorFormat::Jsonl => contents.tensors.iter().try_for_each(|tensor| {
            write(out, &json_of(tensor))?;
            writeln!(out)
        }),
        TensorFormat::Csv => csv(contents, out),
        TensorFormat::Table | TensorFormat::Markdown => {
            let (title, sections) = page_of(name, contents, options);
            match options.format {
                TensorFormat::Markdown => page::markdown(&title, &sections, out),
                _ => page::text(&title, &sections, options.width, out),
            }
        }
    }
}

fn json_of(tensor: &Held) -> Json {
    let mut out = json!({ "name": &*tensor.name, "shape": tensor.shape, "type": &*tensor.kind, "bytes": tensor.bytes });
    if let (Some(file), Some(members)) = (&tensor.file, out.as_object_mut()) {
        members.insert("file".to_owned(), json!(&**file));
    }
    out
}

fn whole(name: &str, contents: &Contents, options: TensorOptions) -> Json {
    let sums = |sums: Vec<(String, Sum)>, key: &str| -> Vec<Json> {
        let row = |(label, sum): (String, Sum)| {
            let mut out = sum.json();
            out.insert(key.to_owned(), json!(label));
            Json::Object(out)
        };
        sums.into_iter().map(row).collect()
    };
    let mut out = json!({
        "format": "layerspec.tensors/1",
        "file": { "name": name, "format": &*contents.format, "header_bytes": contents.header_bytes, "data_bytes": contents.data_bytes,
                  "stated_bytes": contents.stated_bytes, "remarks": contents.remarks, "missing": contents.missing.iter().map(|m| &**m).collect::<Vec<_>>() },
        "tensors": contents.tensors.iter().map(json_of).collect::<Vec<_>>(),
        "types": sums(by(contents, |tensor| tensor.kind.to_string()), "type"),
        "layers": sums(by(contents, |tensor| layer(&tensor.name)), "layer"),
        "totals": Json::Object(Sum::of(&contents.tensors).json()),
    });
    if let (true, Some(members)) = (options.metadata, out.as_object_mut()) {
        let of = |datum: &crate::import::Metadatum| json!({ "key": &*datum.key, "value": datum_json(&datum.value) });
        members.insert("metadata".to_owned(), Json::Array(contents.metadata.iter().map(of).collect()));
    }
    out
}

fn datum_json(datum: &Datum) -> Json {
    match datum {
        Datum::Bool(flag) => json!(flag),
        Datum::Integer(n) => json!(n),
        Datum::Float(x) => json!(x),
        Datum::Text(text) => json!(&**text),
        Datum::List { of, len, items } => {
            json!({ "list_of": of, "length": len, "first": items.iter().map(datum_json).collect::<Vec<_>>() })
        }
    }
}

fn csv(contents: &Contents, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "name,shape,type,bytes,file")?;
    for tensor in &contents.tensors {
        let shape = tensor.shape.as_deref().map(shape).unwrap_or_default();
        let bytes = tensor.bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
        let file = tensor.file.as_deref().unwrap_or_default();
        let cells = [escape_csv(&tensor.name), shape.into(), escape_csv(&tensor.kind), bytes.into(), escape_csv(file)];
        writeln!(out, "{}", cells.join(","))?;
    }
    Ok(())
}

fn shape(shape: &[u64]) -> String {
    if shape.is_empty() { "scalar".to_owned() } else { shape.iter().map(u64::to_string).collect::<Vec<_>>().join("x") }
}

/// Sums by a label, in the order in which the labels come.
fn by(contents: &Contents, label: impl Fn(&Held) -> String) -> Vec<(String, Sum)> {
    let mut sums: Vec<(String, Sum)> = Vec::new();
    let mut at: HashMap<String, usize> = HashMap::new();
    for tensor in &contents.tensors {
        let label = label(tensor);
        let slot = *at.entry(label.clone()).or_insert_with(|| {
            sums.push((label, Sum::new()));
            sums.len() - 1
        });
        if let Some((_, sum)) = sums.get_mut(slot) {
            sum.add(tensor);
        }
    }
    sums
}

/// The block that a tensor is in: its name up to the first number, `blk.7`; else up to the last point.
fn layer(name: &str) -> String {
    let mut end = 0;
    for part in name.split('.') {
        end += part.len();
        if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            return name.get(..end).unwrap_or(name).to_owned();
        }
        end += 1;
    }
    name.rsplit_once('.').map_or(name, |(module, _)| module).to_owned()
}

/// Tensors of one name but for numbers, of one shape and type.
struct Fold<'t> {
    first: &'t Held,
    numbers: Vec<Vec<u64>>,
    sum: Sum,
}

fn folds(contents: &Contents, expand: bool) -> Vec<Fold<'_>> {
    let mut folds: Vec<Fold<'_>> = Vec::new();
    let mut at: HashMap<(String, &Option<Vec<u64>>, &str), usize> = HashMap::new();
    for tensor in &contents.tensors {
        let (pattern, numbers) = if expand { (tensor.name.to_string(), Vec::new()) } else { pattern(&tensor.name) };
        let slot = *at.entry((pattern, &tensor.shape, &tensor.kind)).or_insert_with(|| {
            folds.push(Fold { first: tensor, numbers: Vec::new(), sum: Sum::new() });
            folds.len() - 1
        });
        if let Some(fold) = folds.get_mut(slot) {
            fold.numbers.push(numbers);
            fold.sum.add(tensor);
        }
    }
    folds
}

impl Fold<'_> {
    /// `blk.[0-27].attn_q.weight`: the numbers that stand at each place.
    fn name(&self) -> String {
        let mut places =
            (0..).map(|at| self.numbers.iter().filter_map(|numbers| numbers.get(at).copied()).collect::<BTreeSet<u64>>());
        let mut left = self.numbers.first().map_or(0, Vec::len);
        let part = |part: &str| {
            let is_number = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            if !is_number || left == 0 {
                return part.to_owned();
            }
            left -= 1;
            let numbers = places.next().unwrap_or_default();
            if numbers.len() == 1 { part.to_owned() } else { format!("[{}]", ranges(&numbers)) }
        };
        self.first.name.split('.').map(part).collect::<Vec<_>>().join(".")
    }
}

/// `0-3,5,8-9`.
fn ranges(numbers: &BTreeSet<u64>) -> String {
    let mut all: Vec<(u64, u64)> = Vec::new();
    for n in numbers {
        match all.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*n) => *last = *n,
            _ => all.push((*n, *n)),
        }
    }
    let range = |(first, last): &(u64, u64)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    all.iter().map(range).collect::<Vec<_>>().join(",")
}

fn column(name: &str, right: bool) -> (String, bool) {
    (name.to_owned(), right)
}

fn page_of(name: &str, contents: &Contents, options: TensorOptions) -> (String, Vec<Section>) {
    let units = options.units;
    let total = Sum::of(&contents.tensors);
    let mut sections = Vec::new();
    if options.metadata {
        let rows = contents.metadata.iter().map(|datum| vec![datum.key.to_string(), shown(&datum.value)]).collect();
        sections.push(Section { title: String::new(), columns: vec![column("metadata", false), column("", false)], rows });
    }
    if options.by == TensorsBy::Tensor {
        let row = |fold: &Fold<'_>| {
            let shape = fold.first.shape.as_deref().map_or_else(|| "?".to_owned(), shape);
            let [elements, bytes, human, _] = fold.sum.cells(units);
            vec![fold.name(), shape, fold.first.kind.to_string(), units::exact(fold.sum.tensors), elements, bytes, human]
        };
        let mut rows: Vec<Vec<String>> = folds(contents, options.expand).iter().map(row).collect();
        let [elements, bytes, human, _] = total.cells(units);
        rows.push(vec!["total".to_owned(), String::new(), String::new(), units::exact(total.tensors), elements, bytes, human]);
        let columns = vec![
            column("tensor", false),
            column("shape", false),
            column("type", false),
            column("x", true),
            column("elements", true),
            column("bytes", true),
            column("", true),
        ];
        sections.push(narrowed(Section { title: String::new(), columns, rows }, &["elements", ""], options.width));
    }
    let summed = |what: &str, sums: Vec<(String, Sum)>| {
        let row = |(label, sum): (String, Sum)| {
            let share = total.bytes.zip(sum.bytes).map(|(all, own)| units::percent(own, all)).unwrap_or_default();
            let [elements, bytes, human, bits] = sum.cells(units);
            vec![label, units::exact(sum.tensors), elements, bytes, human, share, bits]
        };
        let mut rows: Vec<Vec<String>> = sums.into_iter().map(row).collect();
        rows.push(row(("total".to_owned(), total.clone())));
        let columns = vec![
            column(what, false),
            column("tensors", true),
            column("elements", true),
            column("bytes", true),
            column("", true),
            column("share", true),
            column("bits each", true),
        ];
        Section { title: String::new(), columns, rows }
    };
    if options.by == TensorsBy::Layer {
        sections.push(summed("layer", by(contents, |tensor| layer(&tensor.name))));
    }
    sections.push(summed("type", by(contents, |tensor| tensor.kind.to_string())));
    let mut notes: Vec<Vec<String>> = Vec::new();
    let note = |what: &str, bytes: u64| vec![what.to_owned(), units::exact(bytes.into()), units::bytes(bytes.into(), units)];
    notes.extend(contents.stated_bytes.map(|bytes| note("bytes of all tensors, as the index says", bytes)));
    notes.extend(contents.data_bytes.map(|bytes| note("data, with padding", bytes)));
    if contents.header_bytes > 0 {
        notes.push(note("header", contents.header_bytes));
    }
    sections.push(Section {
        title: String::new(),
        columns: vec![column("in the file", false), column("bytes", true), column("", true)],
        rows: notes,
    });
    (format!("{}: {}", escape_terminal(name), contents.format), sections)
}

/// A table without the columns of these titles, one after the other, until it has room: names of tensors are long.
fn narrowed(mut section: Section, less: &[&str], width: usize) -> Section {
    const GAP: usize = 2;
    let widest = |section: &Section, at: usize| {
        let title = section.columns.get(at).map_or(0, |(title, _)| width_of(title));
        section.rows.iter().filter_map(|row| row.get(at)).map(|cell| width_of(cell)).max().unwrap_or(0).max(title) + GAP
    };
    for title in less {
        let whole: usize = (0..section.columns.len()).map(|at| widest(&section, at)).sum();
        let Some(at) = section.columns.iter().position(|(known, _)| known == title).filter(|_| whole > width) else { continue };
        section.columns.remove(at);
        for row in section.rows.iter_mut().filter(|row| at < row.len()) {
            row.remove(at);
        }
    }
    section
}

/// A value of the metadata in a line.
fn shown(datum: &Datum) -> String {
    const MOST: usize = 60;
    let cut = |text: &str| match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}... ({} bytes)", text.get(..at).unwrap_or_default(), text.len()),
        None => text.to_owned(),
    };
    match datum {
        Datum::Bool(flag) => flag.to_string(),
        Datum::Integer(n) => n.to_string(),
        Datum::Float(x) => x.to_string(),
        Datum::Text(text) => cut(&text.replace('\n', " ")),
        Datum::List { of, len, items } => {
            const FEW: usize = 6;
            let first: Vec<String> = items.iter().take(FEW).map(shown).collect();
            let more = if *len > first.len() as u64 { ", ..." } else { "" };
            format!("{len} x {of}: {}", cut(&format!("{}{more}", first.join(", "))))
        }
    }
}
