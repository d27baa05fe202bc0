//! The same for each of many items, on all cores where there is enough to do.

use std::num::NonZero;
use std::thread;

use super::stack::deep;

/// Fewer items aren't worth a thread.
const ENOUGH: usize = 4096;
/// More threads than this wait for memory.
const MOST_THREADS: usize = 8;

/// What `run` makes of each item, in their order. Without threads (WebAssembly), or with one core, one after the other.
pub fn map<T: Sync, R: Send>(items: &[T], run: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = match items.len() >= ENOUGH {
        true => thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS),
        false => 1,
    };
    if threads == 1 {
        return items.iter().map(run).collect();
    }
    let part = items.len().div_ceil(threads);
    let run = &run;
    thread::scope(|scope| {
        let (first, rest) = items.split_at(part.min(items.len()));
        let rest: Vec<_> =
            rest.chunks(part).map(|chunk| scope.spawn(move || deep(|| chunk.iter().map(run).collect::<Vec<R>>()))).collect();
        let mut made: Vec<R> = Vec::with_capacity(items.len());
        made.extend(first.iter().map(run));
        for thread in rest {
            match thread.join() {
                Ok(part) => made.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        made
    })
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
