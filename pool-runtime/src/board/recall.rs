//! Taking back what a worker has taken and not begun, while it is kept by one item: because that lasts, or because the
//! process has been stopped.
//!
//! The worker writes its progress and then reads how far its chunk goes; the parent shortens the chunk and then reads the
//! progress. With a full barrier between the two on both sides at least one sees the other, so both agree who runs what. The
//! worker has no such barrier, which would cost it 6 ns for each item: the parent has the kernel run one for it
//! (`sys::barrier`), when it comes to that.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::compiler_fence;

use super::layout::{Cell, Tag};
use super::remains::Remains;

/// In the number of `Cell::until`: the worker has seen that its chunk is shorter, and leaves what begins at that number.
const LEFT: u32 = 1 << 31;

impl Cell {
    /// The worker is about to note a chunk that ends there.
    pub(super) fn whole_chunk(&self, end: u32) {
        let turn = Tag::unpack(self.until.load(Relaxed)).generation.wrapping_add(1);
        self.until.store(Tag::new(turn, end).pack(), Release);
    }

    /// Whether the worker still has item `at` of its chunk, the next after those that are finished. If not, it has left it
    /// to the parent, and all that follow.
    pub(crate) fn keeps(&self, at: u32) -> bool {
        // The progress was written before, as the program goes.
        compiler_fence(SeqCst);
        loop {
            let word = self.until.load(Relaxed);
            let Tag { generation, number } = Tag::unpack(word);
            if number & LEFT != 0 {
                return false;
            }
            if at < number {
                return true;
            }
            let left = Tag::new(generation, at | LEFT).pack();
            if self.until.compare_exchange(word, left, AcqRel, Relaxed).is_ok() {
                return false;
            }
        }
    }

    /// Takes back the items behind the one that runs, `seen` being what the cell says of that, and gives the first of them
    /// and the one after the last, of which those that have been posted by now were not taken; `None` when there are none, or
    /// the worker goes on with them after all. `barrier` says whether it has ordered what the worker does.
    pub(crate) fn recall(
        &self,
        seen: &Remains,
        barrier: impl FnOnce() -> bool,
    ) -> Option<(u32, u32)> {
        let whole = self.until.load(Acquire);
        let Tag { generation: turn, number: end } = Tag::unpack(whole);
        let next = seen.progress.checked_add(1)?;
        if end != seen.chunk.1 || end & LEFT != 0 || next >= end {
            return None;
        }
        let cut = Tag::new(turn, next).pack();
        self.until.compare_exchange(whole, cut, AcqRel, Relaxed).ok()?;
        // The chunk's number is looked at last: what was read before is of that chunk.
        if barrier() && Remains::of(self) == *seen && self.until.load(Acquire) == cut {
            return Some((next, end));
        }
        // It goes on. Either it has not seen yet that its chunk is shorter, and then it is not, or it says where it ended.
        let now = Tag::unpack(self.until.compare_exchange(cut, whole, AcqRel, Acquire).err()?);
        if now.generation == turn {
            return Some((now.number & !LEFT, end));
        }
        // It has taken another chunk since, and with that it has overwritten what it said. What it ran of this one it had posted.
        Some((next, end))
    }
}
