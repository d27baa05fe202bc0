//! The same for each of many items, on all cores where there is enough to do.

use std::num::NonZero;
use std::thread;

use super::stack::deep;

/// Fewer items aren't worth a thread.
const ENOUGH: usize = 4096;
/// More threads than this wait for memory.
const MOST_THREADS: usize = 8;

/// How many threads so many items are worth. Without threads (WebAssembly), or with one core, one.
pub fn threads(items: usize) -> usize {
    match items >= ENOUGH {
        true => thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS),
        false => 1,
    }
}

/// What `run` makes of each item, in their order; with one thread, one after the other.
pub fn map<T: Sync, R: Send>(items: &[T], run: impl Fn(&T) -> R + Sync) -> Vec<R> {
    match threads(items.len()) {
        1 => items.iter().map(run).collect(),
        _ => map_parts(items, |items, made| items.iter().zip(made).for_each(|(item, made)| *made = Some(run(item)))),
    }
}

/// What `run` makes of items, in their order, a part of them a thread: it leaves a result for each.
pub fn map_parts<T: Sync, R: Send>(items: &[T], run: impl Fn(&[T], &mut [Option<R>]) + Sync) -> Vec<R> {
    let part = items.len().div_ceil(threads(items.len())).max(1);
    // Each thread writes where its results stay: they may be many, and aren't copied.
    let mut made: Vec<Option<R>> = Vec::new();
    made.resize_with(items.len(), || None);
    let run = &run;
    thread::scope(|scope| {
        let mut parts = items.chunks(part).zip(made.chunks_mut(part));
        let first = parts.next();
        for (items, made) in parts {
            scope.spawn(move || deep(|| run(items, made)));
        }
        if let Some((items, made)) = first {
            run(items, made);
        }
    });
    // All are there; a `flatten` would copy them.
    made.into_iter().map_while(|made| made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_items_keep_their_order() {
        for count in [0, 1, ENOUGH - 1, ENOUGH, 3 * ENOUGH + 7] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(map(&items, |n| n * 2), items.iter().map(|n| n * 2).collect::<Vec<_>>());
        }
    }
}
