//! Plain results on their way into their `Vec`: each block is copied once, from where the worker wrote it to where it stays,
//! in whatever order blocks come.
#![expect(unsafe_code, reason = "fills memory that holds no values yet")]

use std::fmt;

use bytemuck::Pod;

use crate::payload::Payload;
use crate::sys::memory::expect_filling;

/// Values at some positions; the others hold nothing yet. Writing zeros there first would cost a third of a map of a million
/// numbers.
pub struct Placed<T> {
    /// Its length is 0 until all is there; what is written lies in its spare capacity.
    values: Vec<T>,
    /// Positions that hold a value: ranges in order, of which no two touch.
    written: Vec<(usize, usize)>,
}

impl<T> Default for Placed<T> {
    fn default() -> Self {
        Self { values: Vec::new(), written: Vec::new() }
    }
}

impl<T: Pod> Placed<T> {
    /// Makes room for `count` values.
    pub(crate) fn expect(&mut self, count: usize) {
        if count > self.values.capacity() {
            self.grow(count);
        }
    }

    #[cold]
    fn grow(&mut self, count: usize) {
        let mut larger: Vec<T> = Vec::with_capacity(count.max(self.values.capacity() * 2));
        let spare = larger.spare_capacity_mut();
        expect_filling(spare.as_mut_ptr().cast(), size_of_val(spare));
        for &(from, to) in &self.written {
            // SAFETY: the range was written, so it lies within the old capacity, and the new one is larger; the two do not overlap.
            unsafe {
                let old = self.values.as_ptr().add(from);
                std::ptr::copy_nonoverlapping(old, larger.as_mut_ptr().add(from), to - from);
            }
        }
        self.values = larger;
    }

    /// Copies `count` values from the beginning of `payload` to the positions from `first` on; `false`, and nothing is written,
    /// when the payload is of another size.
    #[must_use]
    pub(crate) fn put(&mut self, first: usize, count: usize, payload: &Payload<'_>) -> bool {
        let Some(end) = first.checked_add(count) else { return false };
        if count.checked_mul(size_of::<T>()) != Some(payload.len()) {
            return false;
        }
        self.expect(end);
        // SAFETY: `first..end` lies within the capacity, and any bytes are a `T: Pod`.
        unsafe { payload.copy_all(self.values.as_mut_ptr().add(first).cast()) };
        self.note(first, end);
        true
    }

    /// Notes that a range is written. Blocks come nearly in order, so its place is found from the end.
    fn note(&mut self, from: usize, to: usize) {
        let mut at = self.written.len();
        while at > 0 && self.written[at - 1].0 > from {
            at -= 1;
        }
        match at.checked_sub(1).and_then(|before| self.written.get_mut(before)) {
            Some(before) if before.1 >= from => {
                before.1 = before.1.max(to);
                at -= 1;
            }
            _ => self.written.insert(at, (from, to)),
        }
        while let (Some(&here), Some(&next)) = (self.written.get(at), self.written.get(at + 1))
            && here.1 >= next.0
        {
            self.written[at].1 = here.1.max(next.1);
            self.written.remove(at + 1);
        }
    }

    /// The values, if they are exactly the first `count`.
    pub(crate) fn finish(mut self, count: usize) -> Option<Vec<T>> {
        let whole = match *self.written {
            [] => count == 0,
            [(0, end)] => end == count,
            _ => false,
        };
        if !whole {
            return None;
        }
        // SAFETY: the first `count` positions, and no more, were just seen to be written.
        unsafe { self.values.set_len(count) };
        // A map of many gives back what it asked for beyond; of a few, the few are not copied for it.
        if self.values.capacity() > 2 * count {
            self.values.shrink_to_fit();
        }
        Some(self.values)
    }
}

impl<T> fmt::Debug for Placed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placed").field("written", &self.written).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[u32]) -> &[u8] {
        bytemuck::cast_slice(values)
    }

    #[test]
    fn blocks_in_any_order() {
        let mut placed = Placed::<u32>::default();
        for (first, values) in [(4, &[4_u32, 5][..]), (0, &[0, 1]), (6, &[6]), (2, &[2, 3])] {
            assert!(placed.put(first, values.len(), &Payload::from(bytes(values))));
        }
        assert_eq!(placed.finish(7), Some(vec![0, 1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn a_gap_is_not_a_value() {
        let mut placed = Placed::<u32>::default();
        assert!(placed.put(1, 1, &Payload::from(bytes(&[1]))));
        assert_eq!(placed.finish(2), None);
    }

    #[test]
    fn sizes_must_agree() {
        let mut placed = Placed::<u32>::default();
        assert!(!placed.put(0, 2, &Payload::from(bytes(&[1]))));
        assert_eq!(placed.finish(0), Some(vec![]));
    }
}
