//! Many pieces of work on all cores, whose results are taken in order while others are still made: bounded memory, however many.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::stack::deep;

/// More than this wait for memory.
const MOST_THREADS: u64 = 64;

/// What is made and not yet taken.
struct Desk<R> {
    /// The next piece that nobody has begun.
    next: u64,
    /// The next that is to be taken.
    wanted: u64,
    ready: BTreeMap<u64, R>,
    /// Results that were taken: their room is used again.
    spare: Vec<R>,
    /// Nobody wants more.
    stop: bool,
}

struct Shared<R> {
    desk: Mutex<Desk<R>>,
    changed: Condvar,
}

impl<R> Shared<R> {
    fn desk(&self) -> MutexGuard<'_, Desk<R>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'d>(&self, desk: MutexGuard<'d, Desk<R>>) -> MutexGuard<'d, Desk<R>> {
        self.changed.wait(desk).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the others when a thread ends, by a panic too, so that nobody waits for what never comes.
struct Leaving<'s, R>(&'s Shared<R>);

impl<R> Drop for Leaving<'_, R> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.desk().stop = true;
        }
        self.0.changed.notify_all();
    }
}

/// Makes each of `count` pieces with `work`, which has room of its thread's own and fills a result that may have been used before, and hands them
/// to `take` in their order. As many as twice the threads are made ahead. Without threads (WebAssembly), or with one core, one after the other.
///
/// # Errors
/// The first of `take`, which ends it.
pub fn in_order<S: Default, R: Default + Send, E>(
    count: u64,
    work: impl Fn(u64, &mut S, &mut R) + Sync,
    mut take: impl FnMut(&mut R) -> Result<(), E>,
) -> Result<(), E> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = u64::try_from(cores).unwrap_or(1).min(MOST_THREADS).min(count);
    if threads <= 1 {
        let (mut room, mut result) = (S::default(), R::default());
        return (0..count).try_for_each(|piece| {
            work(piece, &mut room, &mut result);
            take(&mut result)
        });
    }
    let desk = Desk { next: 0, wanted: 0, ready: BTreeMap::new(), spare: Vec::new(), stop: false };
    let shared = Shared { desk: Mutex::new(desk), changed: Condvar::new() };
    let (shared, work) = (&shared, &work);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(move || deep(|| worker(shared, count, 2 * threads, work)));
        }
        let _leaving = Leaving(shared);
        let ended = (0..count).try_for_each(|piece| {
            let Some(mut result) = awaited(shared, piece) else { return Ok(()) };
            let taken = take(&mut result);
            shared.desk().spare.push(result);
            taken
        });
        shared.desk().stop = true;
        ended
    })
}

/// Makes pieces until there are no more, never more than `ahead` of what was taken.
fn worker<S: Default, R: Default>(shared: &Shared<R>, count: u64, ahead: u64, work: &impl Fn(u64, &mut S, &mut R)) {
    let _leaving = Leaving(shared);
    let mut room = S::default();
    loop {
        let mut desk = shared.desk();
        while !desk.stop && desk.next < count && desk.next >= desk.wanted.saturating_add(ahead) {
            desk = shared.wait(desk);
        }
        if desk.stop || desk.next >= count {
            return;
        }
        let piece = desk.next;
        desk.next += 1;
        let mut result = desk.spare.pop().unwrap_or_default();
        drop(desk);
        work(piece, &mut room, &mut result);
        shared.desk().ready.insert(piece, result);
        shared.changed.notify_all();
    }
}

/// The result of a piece, once it is there; `None`: a worker has failed, which is told where the threads end.
fn awaited<R>(shared: &Shared<R>, piece: u64) -> Option<R> {
    let mut desk = shared.desk();
    loop {
        if let Some(result) = desk.ready.remove(&piece) {
            desk.wanted = piece + 1;
            drop(desk);
            shared.changed.notify_all();
            return Some(result);
        }
        if desk.stop {
            return None;
        }
        desk = shared.wait(desk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn results_come_in_order_and_few_are_held() {
        for count in [0, 1, 2, 3, 100, 5000] {
            let (made, most, mut taken) = (AtomicU64::new(0), AtomicU64::new(0), Vec::new());
            let work = |piece: u64, room: &mut u64, out: &mut u64| {
                *room += 1;
                *out = piece * 3;
                made.fetch_add(1, Ordering::Relaxed);
            };
            let done = in_order(count, work, |result| {
                taken.push(*result);
                most.fetch_max(made.load(Ordering::Relaxed) - taken.len() as u64, Ordering::Relaxed);
                Ok::<(), ()>(())
            });
            assert_eq!((done, taken), (Ok(()), (0..count).map(|piece| piece * 3).collect()));
            assert!(most.into_inner() <= 3 * MOST_THREADS, "made ahead");
        }
    }

    #[test]
    fn whoever_takes_may_end_it() {
        let mut taken = 0;
        let ended = in_order(
            1_000_000_000,
            |piece, _: &mut (), out: &mut u64| *out = piece,
            |_| {
                taken += 1;
                if taken == 10 { Err("enough") } else { Ok(()) }
            },
        );
        assert_eq!((ended, taken), (Err("enough"), 10));
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_of_a_worker_isnt_waited_for() {
        if thread::available_parallelism().map_or(1, NonZero::get) == 1 {
            panic!("a scoped thread panicked");
        }
        let _ = in_order(100, |piece, _: &mut (), _: &mut u64| assert!(piece != 7), |_| Ok::<(), ()>(()));
    }
}
