//! The data flow as a Mermaid flowchart, which Markdown pages show. Ids are made here; every text from a file is a quoted, escaped label.

use std::io::{self, Write};

use super::drawing::{Drawing, Line, edge_label, id};
use super::escape_mermaid;
use crate::analysis::Graph;
use crate::lower::Lowered;

/// Writes a graph as Mermaid: modules are boxes, functional layers rounded ones, composites and repeats subgraphs, model inputs stadiums.
///
/// # Errors
/// Those of `out`.
pub fn render_mermaid(model: &Lowered, graph: &Graph, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "flowchart TD")?;
    for (at, input) in graph.inputs.iter().enumerate() {
        writeln!(out, "  in{at}([{}])", quoted(&[input.to_string()]))?;
    }
    Drawing::new(&model.flat).parts(&graph.parts, 1, &mut |line, depth| {
        let pad = "  ".repeat(depth);
        match line {
            Line::Layer { row, lines, module: true } => writeln!(out, "{pad}n{row}[{}]", quoted(&lines)),
            Line::Layer { row, lines, module: false } => writeln!(out, "{pad}n{row}({})", quoted(&lines)),
            Line::Open { number, label } => writeln!(out, "{pad}subgraph c{number}[{}]", quoted(&[label])),
            Line::Close => writeln!(out, "{pad}end"),
        }
    })?;
    for edge in graph.drawn() {
        let arrow = if edge.next.is_some_and(|next| next.back) { "-.->" } else { "-->" };
        let label = edge_label(edge).map(|label| format!("|{}|", quoted(&[label]))).unwrap_or_default();
        writeln!(out, "  {} {arrow}{label} n{}", id(edge.from), edge.to.0)?;
    }
    Ok(())
}

/// Lines of text as one label.
fn quoted(lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| escape_mermaid(line)).collect();
    format!("\"{}\"", lines.join("<br/>"))
}
