//! What the drawings of the data flow have in common: labels, ids, and the order of lines.

use std::io;

use super::tree::last_segment;
use crate::analysis::{Edge, Part, Producer};
use crate::catalog::ClassKind;
use crate::flat::FlatModel;

/// A line of a drawing.
pub enum Line {
    Layer {
        row: u32,
        lines: Vec<String>,
        module: bool,
    },
    /// A cluster begins.
    Open {
        number: usize,
        label: String,
    },
    Close,
}

pub struct Drawing<'f> {
    flat: &'f FlatModel,
    clusters: usize,
}

impl<'f> Drawing<'f> {
    pub fn new(flat: &'f FlatModel) -> Self {
        Drawing { flat, clusters: 0 }
    }

    /// Calls `line` with every line and how deep it stands.
    pub fn parts(&mut self, parts: &[Part], depth: usize, line: &mut dyn FnMut(Line, usize) -> io::Result<()>) -> io::Result<()> {
        for part in parts {
            match part {
                Part::Layer { row, name } => {
                    let info = self.flat.row(*row).map(|info| &info.row);
                    let module = info.and_then(|row| row.kind).is_none_or(|kind| kind == ClassKind::Module);
                    let class = info.map_or("", |row| last_segment(&row.class_name));
                    let merged = info.and_then(|row| row.merged.as_ref()).map(|merged| format!("for {}", merged.names()));
                    let lines = [name.as_str(), class].into_iter().filter(|text| !text.is_empty()).map(str::to_owned);
                    let lines = lines.chain(merged).collect();
                    line(Line::Layer { row: row.0, lines, module }, depth)?;
                }
                Part::Cluster(cluster) => {
                    let times = if cluster.count > 1 { format!(" x{}", cluster.count) } else { String::new() };
                    let class = cluster.class.as_deref().map(|class| format!(": {}", last_segment(class))).unwrap_or_default();
                    let label = format!("{}{times}{class}", cluster.name);
                    line(Line::Open { number: self.clusters, label }, depth)?;
                    self.clusters += 1;
                    self.parts(&cluster.parts, depth + 1, line)?;
                    line(Line::Close, depth)?;
                }
            }
        }
        Ok(())
    }
}

/// `in0` or `n12`: no text from a file is ever an id.
pub fn id(producer: Producer) -> String {
    match producer {
        Producer::Input(at) => format!("in{at}"),
        Producer::Layer(row) => format!("n{}", row.0),
    }
}

/// The output that is read, and whether it is the next instance that reads it.
pub fn edge_label(edge: &Edge) -> Option<String> {
    match (&edge.next, &edge.output) {
        (None, None) => None,
        (None, Some(output)) => Some(output.to_string()),
        (Some(_), None) => Some("next".to_owned()),
        (Some(_), Some(output)) => Some(format!("next: {output}")),
    }
}
