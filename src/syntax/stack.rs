//! Room for recursion: whatever thread the library runs on, its stack doesn't decide what it can take.

/// What the phases take at worst within the limits that are stated (layers 128 deep, variables through 128 steps, expressions nested 128
/// levels): some megabytes where they aren't optimised, under two where they are.
const NEEDED: usize = if cfg!(debug_assertions) { 32 << 20 } else { 3 << 20 };

/// Runs something that may go as deep as the limits allow: on this thread's stack if that has the room, else on one of its own. Where
/// stacks can't be had (WebAssembly), the one that there is has to do.
pub fn deep<T>(run: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(NEEDED, NEEDED + (1 << 20), run)
}
