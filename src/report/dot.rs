//! The data flow in Graphviz's language, DOT. Ids are made here; every text from a file is a quoted, escaped label.

use std::io::{self, Write};

use super::drawing::{Drawing, Line, edge_label, id};
use super::escape_dot;
use crate::analysis::Graph;
use crate::lower::Lowered;

/// Writes a graph as DOT: modules are boxes, functional layers rounded ones, composites and repeats clusters, model inputs ellipses.
///
/// # Errors
/// Those of `out`.
pub fn render_dot(model: &Lowered, graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "digraph {{")?;
    if let Some(name) = &model.flat.name {
        writeln!(out, "  label={}\n  labelloc=t", quoted(&[name.to_string()]))?;
    }
    writeln!(out, "  node [shape=box]")?;
    for (at, input) in graph.inputs.iter().enumerate() {
        writeln!(out, "  in{at} [label={}, shape=ellipse]", quoted(&[input.to_string()]))?;
    }
    Drawing::new(&model.flat).parts(&graph.parts, 1, &mut |line, depth| {
        let pad = "  ".repeat(depth);
        match line {
            Line::Layer { row, lines, module: true } => writeln!(out, "{pad}n{row} [label={}]", quoted(&lines)),
            Line::Layer { row, lines, module: false } => writeln!(out, "{pad}n{row} [label={}, style=rounded]", quoted(&lines)),
            Line::Open { number, label } => {
                writeln!(out, "{pad}subgraph cluster_{number} {{\n{pad}  label={}", quoted(&[label]))
            }
            Line::Close => writeln!(out, "{pad}}}"),
        }
    })?;
    for edge in graph.drawn() {
        let mut attributes: Vec<String> =
            edge_label(edge).map(|label| format!("label={}", quoted(&[label]))).into_iter().collect();
        if edge.next.is_some_and(|next| next.back) {
            attributes.extend(["style=dashed".to_owned(), "constraint=false".to_owned()]);
        }
        let attributes = if attributes.is_empty() { String::new() } else { format!(" [{}]", attributes.join(", ")) };
        writeln!(out, "  {} -> n{}{attributes}", id(edge.from), edge.to.0)?;
    }
    writeln!(out, "}}")
}

/// Lines of text as one label.
fn quoted(lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| escape_dot(line)).collect();
    format!("\"{}\"", lines.join("\\n"))
}
