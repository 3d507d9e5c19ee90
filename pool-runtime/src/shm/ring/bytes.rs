//! The bytes of a ring: copied in and out, never lent.
#![expect(unsafe_code, reason = "copies bytes in and out of shared memory")]

use std::ptr::NonNull;

use super::HEAD;

/// The ring's bytes; every access is checked against their length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes {
    pub(super) base: NonNull<u8>,
    pub(super) len: usize,
}

impl Bytes {
    #[inline]
    fn at(self, at: usize, len: usize) -> Option<NonNull<u8>> {
        let inside = at <= self.len && len <= self.len - at;
        // SAFETY: just checked to lie within.
        inside.then(|| unsafe { self.base.add(at) })
    }

    #[inline]
    pub(super) fn write(self, at: usize, bytes: &[u8]) -> Option<()> {
        let to = self.at(at, bytes.len())?;
        // SAFETY: the room lies within the ring, and the lock's holder is the only one who touches it; `bytes` is ours.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) };
        Some(())
    }

    #[inline]
    pub(super) fn read(self, at: usize, len: usize, into: &mut Vec<u8>) -> Option<()> {
        let from = self.at(at, len)?;
        into.clear();
        into.reserve(len);
        // SAFETY: the bytes lie within the ring, and the vector has just made room for as many.
        unsafe {
            std::ptr::copy_nonoverlapping(from.as_ptr(), into.as_mut_ptr(), len);
            into.set_len(len);
        }
        Some(())
    }

    #[inline]
    pub(super) fn write_words(self, at: usize, words: [u64; 2]) -> Option<()> {
        let to = self.at(at, HEAD)?.cast::<[u64; 2]>();
        // SAFETY: as in `write`.
        unsafe { to.write_unaligned(words) };
        Some(())
    }

    #[inline]
    pub(super) fn read_words(self, at: usize) -> Option<[u64; 2]> {
        let from = self.at(at, HEAD)?.cast::<[u64; 2]>();
        // SAFETY: as in `read`.
        Some(unsafe { from.read_unaligned() })
    }

    pub(super) fn copy(self, from: usize, to: usize, len: usize) {
        if let (Some(from), Some(to)) = (self.at(from, len), self.at(to, len)) {
            // SAFETY: both ranges lie within the ring, and the caller holds both locks.
            unsafe { std::ptr::copy(from.as_ptr(), to.as_ptr(), len) };
        }
    }
}
