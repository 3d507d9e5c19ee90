//! What the sides of a ring know, in shared memory: atomic words, each written by one side.
#![expect(unsafe_code, reason = "looks at shared memory as atomic words")]

use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};

use super::FIRST_CAPACITY;

/// The first words of the object. Each side writes on lines of its own.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Header {
    /// The most items, and bytes outside of the ring.
    pub(crate) most_items: AtomicU64,
    pub(crate) most_outside: AtomicU64,
    /// The ring's bytes: a power of two. Written under both locks.
    pub(super) capacity: AtomicU64,
    pub(crate) closed: AtomicU32,
    pub(super) puts: Side,
    pub(super) gets: Side,
    pub(crate) items: Bed,
    pub(crate) room: Bed,
    pub(crate) idle: Bed,
    /// Items that somebody has done with.
    pub(crate) done: AtomicU64,
}

/// What one side knows. Written under its lock.
#[repr(C, align(128))]
#[derive(Debug)]
pub(super) struct Side {
    /// Items that have gone through, ever. Its parity says which halves hold.
    pub(super) count: AtomicU64,
    /// Where the next item begins.
    at: [AtomicU64; 2],
    /// Bytes outside of the ring that have gone through, ever.
    outside: [AtomicU64; 2],
    /// What was last seen of the other side.
    pub(super) seen: [AtomicU64; 3],
}

/// Where threads sleep. See `queue::bed`.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) sleepers: AtomicU32,
    pub(crate) word: AtomicU32,
}

/// One side's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) count: u64,
    pub(super) at: u64,
    pub(super) outside: u64,
}

impl Side {
    /// The state, for the holder of the side's lock.
    #[inline]
    pub(super) fn own(&self) -> Place {
        let count = self.count.load(Relaxed);
        let half = (count & 1) as usize;
        Place { count, at: self.at[half].load(Relaxed), outside: self.outside[half].load(Relaxed) }
    }

    /// The state, for the other side: one that held at some moment.
    #[inline]
    pub(super) fn look(&self) -> Place {
        loop {
            let count = self.count.load(Acquire);
            let half = (count & 1) as usize;
            let place = Place {
                count,
                at: self.at[half].load(Relaxed),
                outside: self.outside[half].load(Relaxed),
            };
            // With the fence in `commit`: a half that was overwritten meanwhile comes with a count that has changed.
            fence(Acquire);
            if self.count.load(Relaxed) == count {
                return place;
            }
        }
    }

    #[inline]
    pub(super) fn commit(&self, next: Place) {
        let half = (next.count & 1) as usize;
        fence(Release);
        self.at[half].store(next.at, Relaxed);
        self.outside[half].store(next.outside, Relaxed);
        // Release: whoever sees the count sees the item, or that its bytes were copied.
        self.count.store(next.count, Release);
    }

    #[inline]
    pub(super) fn seen(&self) -> Place {
        let [count, at, outside] = self.seen.each_ref().map(|word| word.load(Relaxed));
        Place { count, at, outside }
    }

    #[inline]
    pub(super) fn remember(&self, other: Place) {
        for (word, value) in self.seen.iter().zip([other.count, other.at, other.outside]) {
            word.store(value, Relaxed);
        }
    }
}

impl Header {
    /// Writes the header of a new ring into its object.
    pub(crate) fn found(block: NonNull<u8>, most_items: u64, most_outside: u64) {
        // SAFETY: the block is as large and as aligned as a header, which is atomics only, and it lives longer than this.
        let header = unsafe { block.cast::<Self>().as_ref() };
        header.most_items.store(most_items, Relaxed);
        header.most_outside.store(most_outside, Relaxed);
        header.capacity.store(FIRST_CAPACITY as u64, Relaxed);
    }
}
