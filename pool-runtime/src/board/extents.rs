//! Room for large results: each has an extent of its own, used again for the next of its size.

/// Free extents beyond this give their memory back.
const KEPT_WARM: usize = 64 << 20;

/// Which parts of the large end of the segment are in use.
#[derive(Debug)]
pub(super) struct Extents {
    /// Offset and size of those that are free, the last used last: its pages are the warmest.
    free: Vec<(usize, usize)>,
    end: usize,
    in_use: usize,
}

impl Extents {
    pub(super) fn new() -> Self {
        Self { free: Vec::new(), end: 0, in_use: 0 }
    }

    /// Bytes of those that are not free.
    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }

    /// One of at least `need` bytes, by offset and size; `None` when `limit` bytes are too few for it.
    pub(super) fn take(&mut self, need: usize, limit: usize) -> Option<(usize, usize)> {
        let len = round_up(need)?;
        let fits = |&(_, free): &(usize, usize)| free >= len && free / 2 <= len;
        let found = match self.free.iter().rposition(fits) {
            Some(index) => self.free.remove(index),
            None => self.fresh(len, limit)?,
        };
        self.in_use += found.1;
        Some(found)
    }

    fn fresh(&mut self, len: usize, limit: usize) -> Option<(usize, usize)> {
        if self.end.checked_add(len)? > limit && self.in_use == 0 {
            // Nothing is in use: everything may be laid out anew.
            self.free.clear();
            self.end = 0;
        }
        if self.end.checked_add(len)? > limit {
            return None;
        }
        self.end += len;
        Some((self.end - len, len))
    }

    /// Gives one back, and says which are to lose their memory.
    pub(super) fn give_back(&mut self, at: usize, len: usize) -> Vec<(usize, usize)> {
        self.in_use -= len;
        self.free.push((at, len));
        let mut cold = Vec::new();
        if len > KEPT_WARM {
            cold.push((at, len));
        }
        let mut warm: usize = 0;
        for &(at, len) in self.free.iter().rev().filter(|(_, len)| *len <= KEPT_WARM) {
            warm += len;
            if warm > KEPT_WARM {
                cold.push((at, len));
            }
        }
        cold
    }
}

/// Sizes that come again: at most an eighth more than what is needed, and whole pages.
fn round_up(need: usize) -> Option<usize> {
    let step = (need.checked_next_power_of_two()? / 16).max(4096);
    need.checked_next_multiple_of(step)
}
