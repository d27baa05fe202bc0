//! Shows diagnostics to people (rustc's renderer, `annotate-snippets`) and to editors (one JSON object a line).

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};
use serde::Serialize;

use super::{Diagnostic, Label, Severity};
use crate::syntax::json::write;
use crate::syntax::source::{Position, Source, SourceId, Span};
use crate::syntax::words::wrap;

/// Finds the text of a source by its id.
pub trait Sources {
    fn source(&self, id: SourceId) -> Option<Source>;
}

/// At most this much of a line is shown on either side of a label: a minified file is one line of megabytes.
const CONTEXT: usize = 400;

/// Columns where nobody says how many there are.
const COLUMNS: usize = 140;

/// No more of a label than this is shown: a wrong value may be most of a file.
const LONGEST_LABEL: usize = 2000;

/// Labels further apart than this are shown apart: what lies between would have to be laid out only to be folded.
const FAR: u32 = 100_000;

/// Labels on one line further apart than this are shown apart: the renderer never cuts a line between them.
const NEAR: u32 = 130;

/// One diagnostic as rustc would show it, with a line break at its end.
#[must_use]
pub fn render(diagnostic: &Diagnostic, sources: &dyn Sources, color: bool) -> String {
    render_within(diagnostic, sources, color, COLUMNS)
}

/// The same where source lines are cut to so many columns.
#[must_use]
pub fn render_within(diagnostic: &Diagnostic, sources: &dyn Sources, color: bool, width: usize) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii).term_width(width);
    let windows = windows(diagnostic, sources);
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let message = escape(&diagnostic.message);
    let mut group = Group::with_title(level.primary_title(message.as_str()).id(diagnostic.code.id()));
    for window in &windows {
        let mut snippet =
            Snippet::source(window.text.as_str()).line_start(window.first_line).path(window.name.as_str()).fold(true);
        for (range, kind, text) in &window.labels {
            snippet = snippet.annotation(kind.span(range.clone()).label(text.as_str()));
        }
        group = group.element(snippet);
    }
    // ` = help: ` and the margin stand before them.
    let lines =
        |text: &String| if width < COLUMNS { wrap(&escape(text), width.saturating_sub(12)).join("\n") } else { escape(text) };
    let help: Vec<String> = diagnostic.help.iter().map(lines).collect();
    let notes: Vec<String> = diagnostic.notes.iter().map(lines).collect();
    for text in &help {
        group = group.element(Level::HELP.message(text.as_str()));
    }
    for text in &notes {
        group = group.element(Level::NOTE.message(text.as_str()));
    }
    let mut shown = format!("{}\n", renderer.render(&[group]));
    if windows.is_empty() {
        // Without a place the renderer still draws the margin of one.
        shown = shown.replacen("\n |\n", "\n", 1);
    }
    let mut after = 0;
    for window in &windows {
        after = put_column(&mut shown, after, window);
    }
    shown
}

/// The renderer counts columns from where a long line was cut; this puts the true one into the window's `name:line:column`, which stands
/// behind `after`. Gives where it stands.
fn put_column(shown: &mut String, after: usize, window: &Window) -> usize {
    let head = format!("{}:{}:", window.name, window.line);
    let Some(start) = shown.get(after..).and_then(|t| t.find(&head)).map(|at| after + at + head.len()) else {
        return after;
    };
    if let Some(place) = window.origin {
        let digits = shown.get(start..).and_then(|t| t.find(|c: char| !c.is_ascii_digit())).unwrap_or(0);
        shown.replace_range(start..start + digits, &place.column.to_string());
    }
    start
}

/// The labels of one source, with the part of its text that they need.
struct Window {
    name: String,
    text: String,
    first_line: usize,
    /// The first label's place, if its line was cut before it.
    origin: Option<Position>,
    /// The first label's line.
    line: usize,
    labels: Vec<(Range<usize>, AnnotationKind, String)>,
}

fn windows(diagnostic: &Diagnostic, sources: &dyn Sources) -> Vec<Window> {
    let primary = diagnostic.primary.iter().map(|label| (label, AnnotationKind::Primary));
    let secondary = diagnostic.secondary.iter().map(|label| (label, AnnotationKind::Context));
    let labels: Vec<(&Label, AnnotationKind)> = primary.chain(secondary).collect();
    let mut ids: Vec<SourceId> = Vec::new();
    for (label, _) in &labels {
        if !ids.contains(&label.span.source) {
            ids.push(label.span.source);
        }
    }
    let mut windows = Vec::new();
    for id in ids {
        let Some(source) = sources.source(id) else {
            continue;
        };
        let mut here: Vec<_> = labels.iter().filter(|(label, _)| label.span.source == id).collect();
        // Those far from the first get a window of their own.
        while let Some((first, _)) = here.first() {
            let near = |label: &Label| is_near(&source.text, label.span, first.span);
            let (near, far): (Vec<_>, Vec<_>) = here.iter().partition(|(label, _)| near(label));
            windows.extend(window(&source, &near));
            here = far;
        }
    }
    windows
}

/// Whether two labels can be shown in one window.
fn is_near(text: &str, a: Span, b: Span) -> bool {
    let (start, end) = (a.start.min(b.start), a.start.max(b.start));
    let between = text.get(start as usize..end as usize).unwrap_or("");
    end - start <= NEAR || end - start <= FAR && between.contains('\n')
}

fn window(source: &Source, labels: &[&(&Label, AnnotationKind)]) -> Option<Window> {
    let text = &source.text;
    let (start, end) = extent(text, labels.iter().map(|(label, _)| label.span))?;
    let line_start = text.get(..start).and_then(|t| t.rfind('\n')).map_or(0, |i| i + 1);
    let line_end = text.get(end..).and_then(|t| t.find('\n')).map_or(text.len(), |i| end + i);
    let from = line_start.max(floor_boundary(text, start.saturating_sub(CONTEXT)));
    let to = line_end.min(floor_boundary(text, end.saturating_add(CONTEXT)));
    let (first, _) = labels.first()?;
    let place = source.position(first.span.range().start);
    let first_line_start = text.get(..first.span.range().start).and_then(|t| t.rfind('\n')).map_or(0, |i| i + 1);
    Some(Window {
        name: escape(&source.name),
        first_line: source.position(from).line,
        origin: (from > first_line_start).then_some(place),
        line: place.line,
        labels: labels
            .iter()
            .map(|(label, kind)| {
                let range = whole_characters(text, label.span);
                let clip = |n: usize| n.clamp(from, to) - from;
                (clip(range.start)..clip(range.end), *kind, escape(&label.text))
            })
            .collect(),
        text: neutralise(text.get(from..to).unwrap_or("")),
    })
}

/// From the first label's start to the last one's end.
fn extent(text: &str, spans: impl Iterator<Item = Span>) -> Option<(usize, usize)> {
    let mut extent: Option<(usize, usize)> = None;
    for span in spans {
        let Range { start, end } = whole_characters(text, span);
        let end = floor_boundary(text, end.min(start + LONGEST_LABEL));
        extent = Some(extent.map_or((start, end), |(s, e)| (s.min(start), e.max(end))));
    }
    extent
}

/// A span's range, widened to whole characters: the renderer panics on parts of one.
fn whole_characters(text: &str, span: Span) -> Range<usize> {
    let start = floor_boundary(text, span.range().start);
    let mut end = span.range().end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Control characters of a stranger's file must not reach the terminal. One byte for one byte, so that spans stay right.
fn neutralise(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_ascii_control() => '?',
        // U+0080 to U+009F take two bytes, and so does this.
        c if c.is_control() => '\u{bf}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// A text for the terminal: control and bidirectional-override characters are spelt out, long texts are cut.
fn escape(text: &str) -> String {
    const LONGEST: usize = 1000;
    let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(at, _)| at);
    // A message is one line, whatever is in the names that it shows.
    let shown = text.get(..end).unwrap_or("").replace('\n', "\\n").replace('\t', "\\t");
    let mut out = neutralise(&crate::syntax::escape::escape_terminal(&shown));
    if end < text.len() {
        out.push_str("...");
    }
    out
}

#[derive(Serialize)]
struct JsonDiagnostic<'a> {
    code: &'a str,
    name: &'a str,
    severity: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary: Option<JsonLabel<'a>>,
    secondary: Vec<JsonLabel<'a>>,
    help: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<JsonFix<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct JsonLabel<'a> {
    file: String,
    byte_start: usize,
    byte_end: usize,
    start: Position,
    end: Position,
    text: &'a str,
}

#[derive(Serialize)]
struct JsonFix<'a> {
    byte_start: usize,
    byte_end: usize,
    replacement: &'a str,
}

/// One diagnostic as one line of JSON, for editors.
#[must_use]
pub fn render_json(diagnostic: &Diagnostic, sources: &dyn Sources) -> String {
    let label = |label| json_label(label, sources);
    let line = JsonDiagnostic {
        code: diagnostic.code.id(),
        name: diagnostic.code.name(),
        severity: match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        message: &diagnostic.message,
        primary: diagnostic.primary.as_ref().and_then(label),
        secondary: diagnostic.secondary.iter().filter_map(label).collect(),
        help: &diagnostic.help,
        fix: diagnostic.fix.as_ref().map(|fix| JsonFix {
            byte_start: fix.span.range().start,
            byte_end: fix.span.range().end,
            replacement: &fix.replacement,
        }),
        notes: &diagnostic.notes,
    };
    // Strings and integers always serialize.
    write::text(&line).unwrap_or_default()
}

fn json_label<'a>(label: &'a Label, sources: &dyn Sources) -> Option<JsonLabel<'a>> {
    let source = sources.source(label.span.source)?;
    let range = whole_characters(&source.text, label.span);
    Some(JsonLabel {
        file: source.name.to_string(),
        byte_start: range.start,
        byte_end: range.end,
        start: source.position(range.start),
        end: source.position(range.end),
        text: &label.text,
    })
}
