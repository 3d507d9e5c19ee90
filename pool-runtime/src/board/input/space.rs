//! Which parts of the input segment are in use.

use super::ASK_FIRST;

/// Which parts are free.
#[derive(Debug)]
pub(super) struct Space {
    /// Offset and length, by offset; no two touch. The last reaches to the end, and most of it has never been used.
    free: Vec<(usize, usize)>,
    /// Offset and length of blocks that were freed, as they were; the last freed last.
    recent: Vec<(usize, usize)>,
    /// Bytes that are not free.
    in_use: usize,
}

impl Space {
    pub(super) fn new(len: usize) -> Self {
        Self { free: vec![(0, len)], recent: Vec::new(), in_use: 0 }
    }

    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }

    /// Gives the offset, and whether a block of that length was there before.
    pub(super) fn take(&mut self, len: usize) -> Option<(usize, bool)> {
        let same = self.recent.iter().rposition(|&(_, recent)| recent == len);
        let (at, again) = match same {
            Some(index) => (self.recent.remove(index).0, true),
            None => (self.take_free(len)?, false),
        };
        self.in_use += len;
        Some((at, again))
    }

    /// A large block goes where blocks have been before it goes where none was: their memory cannot be given back to the system. A
    /// small one is not worth the large blocks that it would break up.
    fn take_free(&mut self, len: usize) -> Option<usize> {
        let fits = |space: &Self| space.free.iter().position(|&(_, free)| free >= len);
        let mut found = fits(self);
        let in_unused = found.is_some_and(|index| index + 1 == self.free.len());
        if found.is_none() || in_unused && len >= ASK_FIRST {
            for (at, len) in std::mem::take(&mut self.recent) {
                self.insert_free(at, len);
            }
            found = fits(self);
        }
        let index = found?;
        let (at, free) = &mut self.free[index];
        let taken = *at;
        (*at, *free) = (*at + len, *free - len);
        if *free == 0 {
            self.free.remove(index);
        }
        Some(taken)
    }

    pub(super) fn give_back(&mut self, at: usize, len: usize) {
        self.in_use -= len;
        self.recent.push((at, len));
    }

    /// Of a block that could not be had.
    pub(super) fn never_used(&mut self, at: usize, len: usize) {
        self.in_use -= len;
        self.insert_free(at, len);
    }

    fn insert_free(&mut self, at: usize, len: usize) {
        let index = self.free.partition_point(|&(other, _)| other < at);
        self.free.insert(index, (at, len));
        self.join_with_next(index);
        if index > 0 {
            self.join_with_next(index - 1);
        }
    }

    fn join_with_next(&mut self, index: usize) {
        if let (Some(&(at, len)), Some(&(next, next_len))) =
            (self.free.get(index), self.free.get(index + 1))
            && at + len == next
        {
            self.free[index].1 = len + next_len;
            self.free.remove(index + 1);
        }
    }
}
