//! `SharedBuffer`: plain memory that is lent to tasks in disjoint parts.
#![expect(unsafe_code, reason = "owns shared memory as a slice")]

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;

use super::bytes_of;
use super::part::{self, Part, PartMut};
use crate::error::Error;
use crate::shm::handle::{Handle, Kind, Mark};

/// A slice in shared memory, owned here. It is no handle: it lends its parts, for the length of one call, to tasks that read
/// or write them in place, without a copy either way.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn fill(part: &mut [f64], with: f64) {
///     part.fill(with);
/// }
/// #[pool_task]
/// fn sum(part: &[f64]) -> f64 {
///     part.iter().sum()
/// }
///
/// let pool = Pool::builder().workers(2).in_process().build()?;
/// let mut buffer = SharedBuffer::<f64>::zeroed(1000)?;
/// par_map!(fill(_, 2.0), buffer.split_mut(8); pool = &pool)?;
/// let sums = par_map!(sum, buffer.split(4); pool = &pool)?;
/// assert_eq!(sums.iter().sum::<f64>(), 2000.0);
/// assert_eq!(buffer[999], 2.0);
/// # Ok::<(), pool_runtime::Error>(())
/// ```
pub struct SharedBuffer<T> {
    handle: Handle,
    len: usize,
    _holds: PhantomData<T>,
}

impl<T: Pod> SharedBuffer<T> {
    /// Makes a buffer of `len` values whose bytes are zero.
    ///
    /// # Errors
    /// Kind `Io` or `Full` when shared memory has run out, `InvalidInput` for more than can ever be had.
    pub fn zeroed(len: usize) -> Result<Self, Error> {
        part::install();
        let layout = (bytes_of::<T>(len)?, align_of::<T>());
        Ok(Self {
            handle: Handle::make(Mark::plain(Kind::Buffer), layout, None, |_| ())?,
            len,
            _holds: PhantomData,
        })
    }

    /// Makes a buffer that begins as a copy of `values`.
    ///
    /// # Errors
    /// As for [`zeroed`](Self::zeroed).
    pub fn from_slice(values: &[T]) -> Result<Self, Error> {
        let mut buffer = Self::zeroed(values.len())?;
        buffer.copy_from_slice(values);
        Ok(buffer)
    }

    /// Lends it in `parts` parts of about the same length, to be read.
    ///
    /// # Panics
    /// When `parts` is 0.
    pub fn split(&self, parts: usize) -> Vec<Part<'_, T>> {
        ranges(self.len, parts)
            .map(|(at, len)| Part::new(&self.handle, &self[at..at + len], at))
            .collect()
    }

    /// Lends it in `parts` parts of about the same length, each to be written.
    ///
    /// # Panics
    /// When `parts` is 0.
    pub fn split_mut(&mut self, parts: usize) -> Vec<PartMut<'_, T>> {
        let ranges = ranges(self.len, parts);
        self.cut(ranges)
    }

    /// Lends it in parts of `len` values, the last maybe shorter, to be read.
    ///
    /// # Panics
    /// When `len` is 0.
    pub fn chunks(&self, len: usize) -> Vec<Part<'_, T>> {
        pieces(self.len, len)
            .map(|(at, len)| Part::new(&self.handle, &self[at..at + len], at))
            .collect()
    }

    /// Lends it in parts of `len` values, the last maybe shorter, each to be written.
    ///
    /// # Panics
    /// When `len` is 0.
    pub fn chunks_mut(&mut self, len: usize) -> Vec<PartMut<'_, T>> {
        let pieces = pieces(self.len, len);
        self.cut(pieces)
    }

    /// Cuts it at ranges that lie side by side from its beginning on.
    fn cut(&mut self, ranges: impl Iterator<Item = (usize, usize)>) -> Vec<PartMut<'_, T>> {
        let (handle, mut rest) = self.parts();
        let mut parts = Vec::new();
        for (at, len) in ranges {
            let (part, behind) = std::mem::take(&mut rest).split_at_mut(len);
            rest = behind;
            parts.push(PartMut::new(handle, part, at));
        }
        parts
    }

    fn parts(&mut self) -> (&Handle, &mut [T]) {
        let first = self.handle.block().cast().as_ptr();
        // SAFETY: the slot has room for `len` values, which are `Pod`; it is this buffer's alone, but for parts, which borrow it.
        (&self.handle, unsafe { std::slice::from_raw_parts_mut(first, self.len) })
    }
}

/// Where `parts` parts of about the same length begin, and how long they are.
fn ranges(len: usize, parts: usize) -> impl Iterator<Item = (usize, usize)> {
    assert!(parts > 0, "a buffer cannot be split into no parts");
    let (each, longer) = (len / parts, len % parts);
    (0..parts).map(move |part| (part * each + part.min(longer), each + usize::from(part < longer)))
}

fn pieces(len: usize, piece: usize) -> impl Iterator<Item = (usize, usize)> {
    assert!(piece > 0, "a buffer cannot be split into parts without length");
    (0..len).step_by(piece).map(move |at| (at, piece.min(len - at)))
}

impl<T: Pod> Deref for SharedBuffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the slot has room for `len` values, which are `Pod`; nobody writes them while this is borrowed: parts that can
        // be written borrow the buffer exclusively.
        unsafe { std::slice::from_raw_parts(self.handle.block().cast().as_ptr(), self.len) }
    }
}

impl<T: Pod> DerefMut for SharedBuffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.parts().1
    }
}

/// So that a `&SharedBuffer<T>` can be given for a `&[T]` of any task: its values are copied into the call, as a slice's are.
impl<T: Pod> AsRef<[T]> for SharedBuffer<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> fmt::Debug for SharedBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBuffer({} values)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_side_by_side_and_cover_everything() {
        for (len, parts) in [(0, 3), (1, 3), (10, 3), (12, 4), (1000, 7)] {
            let mut next = 0;
            for (at, len) in ranges(len, parts) {
                assert_eq!(at, next);
                next += len;
            }
            assert_eq!(next, len);
        }
        assert_eq!(pieces(10, 4).collect::<Vec<_>>(), [(0, 4), (4, 4), (8, 2)]);
    }
}
