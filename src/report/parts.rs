//! The text of all lines of the full flat list, made on all cores and written in order.
//!
//! What a layer reads is known while the list is walked, so each thread walks all of it; it writes only every n-th part of the lines. Nothing of
//! the text is kept but a few parts.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::mpsc::sync_channel;
use std::thread;

use super::lines::{Line, of_instance};
use crate::analysis::layers::{Layer, visit_some_layers};
use crate::evaluation::Evaluation;
use crate::syntax::parallel;

/// How many lines a part has.
const PART: usize = 256;

/// Which of the parts a thread writes: of every so many, the n-th.
#[derive(Clone, Copy)]
struct Turn {
    nth: usize,
    of: usize,
}

/// Writes every line with what flows, in the order of execution. `line` adds the text of the n-th to what stands before it.
///
/// # Errors
/// Those of `line`, and of `out`.
pub fn write_lines<L>(compiled: &Evaluation, out: &mut dyn Write, line: &L) -> io::Result<()>
where
    L: Fn(usize, &Line<'_>, &Layer<'_>, &mut Vec<u8>) -> io::Result<()> + Sync,
{
    let of = parallel::threads(usize::try_from(compiled.layers()).unwrap_or(usize::MAX));
    thread::scope(|scope| {
        let mut others = Vec::new();
        for nth in 1..of {
            // Who is ahead waits: no more than three of its parts are held.
            let (send, receive) = sync_channel::<io::Result<Vec<u8>>>(1);
            scope.spawn(move || {
                let mut hand_over = |text: &mut Vec<u8>| {
                    let next = Vec::with_capacity(text.capacity());
                    let sent = send.send(Ok(std::mem::replace(text, next)));
                    sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
                };
                if let Err(error) = parts(compiled, Turn { nth, of }, line, &mut hand_over) {
                    // Nobody to tell: the other end has an error of its own.
                    let _ = send.send(Err(error));
                }
            });
            others.push(receive);
        }
        parts(compiled, Turn { nth: 0, of }, line, &mut |text| {
            out.write_all(text)?;
            text.clear();
            // One that has no more is done.
            others.iter().filter_map(|other| other.recv().ok()).try_for_each(|text| out.write_all(&text?))
        })
    })
}

/// Makes the parts of one thread, one after the other.
fn parts<L>(compiled: &Evaluation, turn: Turn, line: &L, take: &mut dyn FnMut(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()>
where
    L: Fn(usize, &Line<'_>, &Layer<'_>, &mut Vec<u8>) -> io::Result<()>,
{
    let mut text = Vec::new();
    // The n-th of those that this thread writes.
    let mut nth = 0;
    let part = |line: u64| usize::try_from(line).unwrap_or(usize::MAX) / PART;
    visit_some_layers(compiled, &|line| part(line) % turn.of == turn.nth, &mut |layer| {
        let at = (nth / PART * turn.of + turn.nth) * PART + nth % PART;
        nth += 1;
        if let Some(made) = of_instance(&layer.instance, Cow::Borrowed(&layer.instance.path)) {
            line(at, &made, &layer, &mut text)?;
        }
        if nth % PART == 0 { take(&mut text) } else { Ok(()) }
    })?;
    if text.is_empty() { Ok(()) } else { take(&mut text) }
}
