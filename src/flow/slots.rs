//! Things that come and go, known by their places: a place that is free is taken again.

/// No storage that counts: a model input, a parameter, something that never ran.
pub(super) const NONE: u32 = u32::MAX;

/// Things by place.
#[derive(Debug)]
pub(super) struct Slots<T> {
    cells: Vec<T>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { cells: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Puts something in a place, which comes back.
    pub(super) fn put(&mut self, thing: T) -> u32 {
        if let Some(at) = self.free.pop() {
            if let Some(cell) = self.cells.get_mut(at as usize) {
                *cell = thing;
            }
            return at;
        }
        self.cells.push(thing);
        u32::try_from(self.cells.len() - 1).unwrap_or(NONE)
    }

    /// What is in a place, or was when that became free.
    pub(super) fn get(&self, at: u32) -> Option<&T> {
        self.cells.get(at as usize)
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.cells.get_mut(at as usize)
    }

    /// A place that may be taken again.
    pub(super) fn free(&mut self, at: u32) {
        self.free.push(at);
    }

    /// All that is there, and what was in places that are free.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.cells.iter()
    }
}
