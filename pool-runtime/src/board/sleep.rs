//! How each side waits for the other: announces itself, looks once more, then sleeps.
//!
//! The fences make it impossible that a sleeper misses what was published before it announced itself *and* the publisher
//! misses the announcement: one of the two comes first in the total order of sequentially consistent fences.

use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::time::{Duration, Instant};

use super::atomic::{AtomicU32, fence};
use super::layout::{Cell, Control, Head};
use crate::sys::futex;

/// A worker counts so many posted items at a time: the count is a line that all workers write to. One at a time took a
/// no-op map at chunk size 1 from 107 to 112 ns an item, with two workers that write to it.
const COUNTED_AT_ONCE: u64 = 32;
/// While more than this are still to come: as many as 66 workers can have kept to themselves. Of more workers a wake-up may come
/// later than it could, when one has kept as many as it may, or finds nothing to take.
const FAR: u64 = 64 * COUNTED_AT_ONCE;

/// A place to sleep: how many sleep there, and the word that changes when they should look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bed<'a> {
    pub(crate) sleepers: &'a AtomicU32,
    pub(crate) word: &'a AtomicU32,
}

impl Head {
    /// Where workers wait for work.
    pub(crate) fn worker_bed(&self) -> Bed<'_> {
        Bed { sleepers: &self.sleepers, word: &self.work }
    }

    /// Where threads of the parent wait for results.
    pub(crate) fn parent_bed(&self) -> Bed<'_> {
        Bed { sleepers: &self.listeners, word: &self.bell }
    }
}

impl Head {
    /// Wakes `count` workers, less those that look for work anyway; each wakes another one while there is work left
    /// (`Worker::pass_on`). A worker that gives up looking looks once more after it has said so, and the fences let it see what was
    /// published before it was counted here.
    #[inline]
    pub(crate) fn published(&self, count: u32) {
        fence(SeqCst);
        let wanted = count.saturating_sub(self.spinning());
        if wanted > 0 && self.sleepers.load(Relaxed) > 0 {
            self.worker_bed().ring(wanted);
        }
    }

    /// A worker looks for work without sleeping; gives how many do.
    pub(crate) fn start_spinning(&self) -> u32 {
        self.spinners.fetch_add(1, Relaxed);
        self.spinning()
    }

    /// A worker does so no longer. What it looks at from now on it must look at once more before it sleeps.
    pub(crate) fn stop_spinning(&self) {
        self.spinners.fetch_sub(1, Relaxed);
    }

    /// What dead workers have left behind in the count is below 0.
    fn spinning(&self) -> u32 {
        self.spinners.load(Relaxed).cast_signed().max(0).cast_unsigned()
    }

    /// A worker has posted `count` items, and has not counted as many as `uncounted` says. Wakes the parent's threads if that
    /// is as many as they wait for, or if one failed. While nobody sleeps nothing is counted, and while what they wait for is far
    /// off, not each.
    #[inline]
    pub(crate) fn posted(&self, uncounted: &mut u64, count: u64, failed: bool) {
        fence(SeqCst);
        if self.listeners.load(Relaxed) == 0 {
            *uncounted = 0;
            return;
        }
        *uncounted += count;
        let done = self.done.load(Relaxed) + *uncounted;
        let left = self.target.load(Relaxed).saturating_sub(done);
        if failed || *uncounted >= COUNTED_AT_ONCE || left <= FAR {
            self.count(uncounted, failed);
        }
    }

    /// Counts what the worker has not counted yet: before it waits, leaves, or turns to another job, or somebody might wait for
    /// that.
    #[inline]
    pub(crate) fn count_rest(&self, uncounted: &mut u64) {
        if *uncounted > 0 {
            self.count(uncounted, false);
        }
    }

    fn count(&self, uncounted: &mut u64, failed: bool) {
        let count = std::mem::take(uncounted);
        let done = self.done.fetch_add(count, Relaxed) + count;
        if failed || done >= self.target.load(Relaxed) {
            // All wake, and set it again if they sleep again. Who sets it between here and the ring has seen the bell before that,
            // and does not sleep.
            self.target.store(u64::MAX, Relaxed);
            self.parent_bed().ring(u32::MAX);
        }
    }

    /// Sleeps until `want` more items have been posted, or one failed, or a worker ended, or waits for room; at most for `limit`.
    pub(crate) fn await_posts(&self, want: u64, limit: Duration, ready: impl FnOnce() -> bool) {
        let target = self.done.load(Relaxed).saturating_add(want);
        self.parent_bed().sleep(
            Some(limit),
            || {
                self.target.fetch_min(target, SeqCst);
                fence(SeqCst);
                ready() || self.done.load(Relaxed) >= target
            },
            || (),
        );
        // The target stays: it may by now be another sleeper's. Too low a one costs a wake-up in vain.
    }
}

impl Cell {
    /// Where this worker waits for the parent to take results.
    pub(crate) fn room_bed(&self) -> Bed<'_> {
        Bed { sleepers: &self.wants_room, word: &self.room_bell }
    }
}

impl Bed<'_> {
    /// Sleeps until woken, at most for `limit`, unless `ready` says that there is no reason to. It may return for no reason.
    /// `up` is called before it is counted among the sleepers no longer.
    pub(crate) fn sleep(
        &self,
        limit: Option<Duration>,
        ready: impl FnOnce() -> bool,
        up: impl FnOnce(),
    ) {
        let seen = self.word.load(Acquire);
        self.sleepers.fetch_add(1, Relaxed);
        fence(SeqCst);
        if !ready() {
            futex::wait(self.word, seen, limit);
        }
        up();
        self.sleepers.fetch_sub(1, Relaxed);
    }

    /// Wakes up to `count` sleepers, if there are any. What they look for must have been stored before.
    #[inline]
    pub(crate) fn wake(&self, count: u32) {
        fence(SeqCst);
        if self.sleepers.load(Relaxed) > 0 {
            self.ring(count);
        }
    }

    #[cold]
    fn ring(&self, count: u32) {
        self.word.fetch_add(1, Relaxed);
        futex::wake(self.word, count);
    }
}

/// How long to look before sleeping. A sleeping process on another core takes about 25 µs to wake, whatever it sleeps on, so
/// looking for as long as that costs at most twice what the best choice would have. It pays only where a core is free to do
/// it: each spell in vain halves the next, each success doubles it.
#[derive(Debug)]
pub(crate) struct Patience {
    now: Duration,
}

const LONGEST: Duration = Duration::from_micros(50);
const SHORTEST: Duration = Duration::from_micros(1);

impl Patience {
    pub(crate) fn new() -> Self {
        Self { now: LONGEST }
    }

    /// Looks until `ready`, or until patience is over; says which.
    pub(crate) fn look(&mut self, mut ready: impl FnMut() -> bool) -> bool {
        let start = Instant::now();
        loop {
            for _ in 0..32 {
                if ready() {
                    self.now = (self.now * 2).min(LONGEST);
                    return true;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() >= self.now {
                self.now = (self.now / 2).max(SHORTEST);
                return false;
            }
        }
    }
}

/// Whether a worker would not have to wait: there is work, or the pool closes.
pub(crate) fn worth_waking(control: &Control) -> bool {
    super::claim::has_work(control) || control.head.closing.load(Acquire) != 0
}
