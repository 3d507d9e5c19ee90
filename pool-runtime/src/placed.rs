//! Plain results on their way into their `Vec`: each block is copied once, from where the worker wrote it to where it stays,
//! in whatever order blocks come.
#![expect(unsafe_code, reason = "fills memory that holds no values yet")]

use std::fmt;
use std::mem::MaybeUninit;

use bytemuck::Pod;

use crate::bits::Bits;
use crate::payload::Payload;
use crate::sys::memory::expect_filling;

/// Values at some positions; the others hold nothing yet. Writing zeros there first would cost a third of a map of a million
/// numbers.
pub struct Placed<T> {
    /// Its length is 0 until all is there; what is written lies in its spare capacity.
    values: Vec<T>,
    /// Positions that hold a value, and how many those are.
    written: Bits,
    count: usize,
    /// None from here on does.
    end: usize,
}

impl<T> Default for Placed<T> {
    fn default() -> Self {
        Self { values: Vec::new(), written: Bits::default(), count: 0, end: 0 }
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
        // SAFETY: the first `end` positions, whether they hold values or not, lie within the old capacity; the new one is larger,
        // and the two do not overlap. Nobody takes them for values before they are seen to be written.
        unsafe {
            let old = self.values.as_ptr().cast::<MaybeUninit<T>>();
            let new = larger.as_mut_ptr().cast::<MaybeUninit<T>>();
            std::ptr::copy_nonoverlapping(old, new, self.end);
        }
        self.values = larger;
    }

    /// Copies `count` values from the beginning of `payload` to the positions from `first` on; `false`, and nothing is written,
    /// when the payload is of another size, or one of the positions has its value.
    #[must_use]
    pub(crate) fn put(&mut self, first: usize, count: usize, payload: &Payload<'_>) -> bool {
        let Some(end) = first.checked_add(count) else { return false };
        if count.checked_mul(size_of::<T>()) != Some(payload.len()) {
            return false;
        }
        self.expect(end);
        if !self.written.set(first, end) {
            return false;
        }
        (self.count, self.end) = (self.count + count, self.end.max(end));
        // SAFETY: `first..end` lies within the capacity, and any bytes are a `T: Pod`.
        unsafe { payload.copy_all(self.values.as_mut_ptr().add(first).cast()) };
        true
    }

    /// The values, if they are exactly the first `count`.
    pub(crate) fn finish(mut self, count: usize) -> Option<Vec<T>> {
        if self.count != count || self.end != count {
            return None;
        }
        // SAFETY: each position was counted once when it was written, and as many are counted as there are below `end`: all of them.
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
        f.debug_struct("Placed").field("count", &self.count).finish_non_exhaustive()
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
    fn a_value_stays() {
        let mut placed = Placed::<u32>::default();
        assert!(placed.put(0, 2, &Payload::from(bytes(&[1, 2]))));
        assert!(!placed.put(1, 2, &Payload::from(bytes(&[3, 4]))));
        assert_eq!(placed.finish(2), Some(vec![1, 2]));
    }

    #[test]
    fn sizes_must_agree() {
        let mut placed = Placed::<u32>::default();
        assert!(!placed.put(0, 2, &Payload::from(bytes(&[1]))));
        assert_eq!(placed.finish(0), Some(vec![]));
    }
}
