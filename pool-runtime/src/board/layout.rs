//! The chunk board as it lies in shared memory: fixed-width atomics and nothing else, so that no value in it can be torn,
//! and no process can do more by writing to it than make another one look again.
//!
//! A **run** is a block of encoded items. The caller writes items into it and raises `avail`; workers take **chunks** off it
//! by raising `next` with one compare-and-swap. Before it swaps, a worker notes in its own cell what it is about to take, and
//! while it runs it counts what is finished: when it dies, at whatever instruction, its cell and the run's words say which
//! item it was running, which were finished, and which were never begun.

use super::atomic::{AtomicU32, AtomicU64};

/// Runs that are in use at one time. Each costs one line pair; a caller that finds none free waits for one.
pub(crate) const RUNS: usize = 1024;
/// Places in the queue of runs. Twice as many as runs, so that a place is free whenever a run is.
pub(crate) const QUEUE: usize = 2 * RUNS;
/// Workers of one pool.
pub(crate) const WORKERS: usize = 1024;

/// The control segment. Parent and workers write to it.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) head: Head,
    pub(crate) runs: [Run; RUNS],
    /// Which runs to look at, oldest first, by position modulo `QUEUE`: generation and number, packed as a `Tag`.
    pub(crate) queue: [AtomicU64; QUEUE],
    pub(crate) workers: [Cell; WORKERS],
}

/// What concerns all.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Head {
    /// Every position below holds a run without items to take. Workers raise it as they find runs used up; the parent lowers it
    /// never.
    pub(crate) first: AtomicU64,
    /// How many items workers take at once of some job: the low half of its number, and how many. Any worker writes it (`pace`). A
    /// hint.
    pub(crate) pace: AtomicU64,
    pub(crate) _pad0: [AtomicU64; 14],
    /// Positions below are filled. Only the parent writes it.
    pub(crate) filled: AtomicU64,
    /// Workers that are asleep, or about to look for the last time before they sleep.
    pub(crate) sleepers: AtomicU32,
    /// Sleeping workers wait for this to change.
    pub(crate) work: AtomicU32,
    /// Workers that look for work without sleeping.
    pub(crate) spinners: AtomicU32,
    /// Not 0: workers leave, in order, as soon as they find nothing to do.
    pub(crate) closing: AtomicU32,
    pub(crate) _pad1: [AtomicU64; 13],
    /// Threads of the parent that are asleep, or about to look for the last time before they sleep.
    pub(crate) listeners: AtomicU32,
    /// Sleeping threads of the parent wait for this to change.
    pub(crate) bell: AtomicU32,
    /// Items that have been posted while somebody slept. A hint: the items of a worker that died may be missing.
    pub(crate) done: AtomicU64,
    /// Sleeping threads of the parent want to be woken when `done` gets here, and not for every post.
    pub(crate) target: AtomicU64,
}

/// One run. Only the parent writes any word but `next`.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Run {
    /// Generation and the number of items that have been taken. Raised by compare-and-swap.
    pub(crate) next: AtomicU64,
    /// Generation and the number of items that may be taken.
    pub(crate) avail: AtomicU64,
    /// `TaskId`.
    pub(crate) task: AtomicU64,
    /// Which job, unique in the pool.
    pub(crate) job: AtomicU64,
    /// Place and length in the input segment of the items, and place of the table of their offsets.
    pub(crate) data_at: AtomicU64,
    pub(crate) data_len: AtomicU64,
    pub(crate) table_at: AtomicU64,
    /// Bytes of each item; `TABLE` when they differ.
    pub(crate) stride: AtomicU64,
    /// Place and length in the input segment of the bound arguments.
    pub(crate) bound_at: AtomicU64,
    pub(crate) bound_len: AtomicU64,
    pub(crate) bound_mask: AtomicU32,
    /// Items per chunk, exactly; 0 leaves it to the workers.
    pub(crate) chunk: AtomicU32,
}

pub(crate) const SLEEPING: u32 = 1;
pub(crate) const SPINNING: u32 = 2;

/// In `Run::stride`: the items differ in size.
pub(crate) const TABLE: u64 = u64::MAX;

/// What one worker is doing. Only that worker writes to it, but for `until`, `taken` and `room_bell`; and the parent makes it as
/// new after a death (`remains`).
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Cell {
    /// One of the `Phase` values.
    pub(crate) phase: AtomicU32,
    /// How many items of the run are finished, while `phase` is `RUNNING`: the item of this number is the one that runs.
    pub(crate) progress: AtomicU32,
    /// The run that it takes from, as a `Tag`.
    pub(crate) run: AtomicU64,
    /// The chunk: first item, and the one after the last.
    pub(crate) chunk: AtomicU64,
    /// A number of the chunk, and the item at which it ends for this worker: the parent lowers it to take back what the worker
    /// has not begun (`recall`).
    pub(crate) until: AtomicU64,
    /// Not 0: the kernel runs barriers for this worker, so its chunks can be shortened.
    pub(crate) heeds: AtomicU32,
    /// Items of the chunk below this one have been published.
    pub(crate) published: AtomicU64,
    /// Where in its segment the results lie of the items from `published` up to `progress`.
    pub(crate) results_at: AtomicU64,
    /// Not 0: what its signal handler noted.
    pub(crate) note: AtomicU32,
    /// Not 0: it waits for `taken` to rise.
    pub(crate) wants_room: AtomicU32,
    /// Which of the head's counters counts it: `SLEEPING` or `SPINNING`. What a dead worker leaves behind in a counter costs at
    /// most a wake-up in vain. So the first is set after and cleared before its counter, which then is at most one too high; and the
    /// second before and after its own, which then is at most one too low.
    pub(crate) counted: AtomicU32,
    pub(crate) _pad: [AtomicU64; 5],
    /// How many of its posts the parent has taken. Only the parent writes it.
    pub(crate) taken: AtomicU64,
    /// A worker that waits for room sleeps on it: it changes when the parent has taken something.
    pub(crate) room_bell: AtomicU32,
}

/// Values of `Cell::phase`.
pub(crate) mod phase {
    /// It has been started and has not said that it is ready.
    pub(crate) const STARTING: u32 = 0;
    /// It is between two chunks, or asleep.
    pub(crate) const IDLE: u32 = 1;
    /// It is about to take the chunk that `run` and `chunk` name; whether it got it, `Run::next` tells.
    pub(crate) const TAKING: u32 = 2;
    /// It runs the chunk.
    pub(crate) const RUNNING: u32 = 3;
    /// It has no room for results; no item runs.
    pub(crate) const BLOCKED: u32 = 4;
    /// It leaves in order, and has nothing.
    pub(crate) const LEAVING: u32 = 5;
}

/// A generation and a number in one word: what tells a word of this use of a run from one of its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) generation: u32,
    pub(crate) number: u32,
}

impl Tag {
    pub(crate) const fn new(generation: u32, number: u32) -> Self {
        Self { generation, number }
    }

    #[inline]
    pub(crate) const fn pack(self) -> u64 {
        (self.generation as u64) << 32 | self.number as u64
    }

    #[inline]
    pub(crate) const fn unpack(word: u64) -> Self {
        Self { generation: (word >> 32) as u32, number: word as u32 }
    }
}

/// The head of a worker's result segment. Only that worker writes to the segment; the parent maps it for reading.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Outbox {
    /// How many posts have been made.
    pub(crate) posted: AtomicU64,
    pub(crate) _pad: [AtomicU64; 15],
    /// By number modulo `POSTS`.
    pub(crate) posts: [Post; POSTS],
}

/// Posts that wait for the parent at one time. With 256 an item of a no-op map at chunk size 1 took 158 ns, with so many 101 (two
/// workers, medians of six runs in turns).
pub(crate) const POSTS: usize = 4096;

/// Some finished items and where their results lie.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Post {
    /// The run, as a `Tag`.
    pub(crate) run: AtomicU64,
    /// First item, and the one after the last, packed as in `Cell::chunk`.
    pub(crate) items: AtomicU64,
    pub(crate) at: AtomicU64,
    pub(crate) len: AtomicU64,
    /// `RESULTS`, or `FAILURE`: the bytes are an encoded `Error` of the one item.
    pub(crate) kind: AtomicU64,
}

pub(crate) const RESULTS: u64 = 0;
pub(crate) const FAILURE: u64 = 1;

/// First and one after last, in one word.
pub(crate) const fn pack_range(first: u32, end: u32) -> u64 {
    (end as u64) << 32 | first as u64
}

pub(crate) const fn unpack_range(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

/// Where results begin in a worker's segment.
pub(crate) const RESULTS_AT: usize = size_of::<Outbox>().next_multiple_of(4096);
