//! How large the chunks are that a worker takes where nobody asked for a size.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How many items to take at once, by what they have been seen to cost.
#[derive(Debug)]
pub(crate) struct Pace {
    job: u64,
    items: u32,
}

/// A chunk should take about this long: taking and posting one costs some 0.2 µs, so that is lost in it, and no worker waits
/// longer than this for another to finish what it has taken.
const CHUNK_TIME: Duration = Duration::from_micros(16);
/// Also of items that cost nothing.
const LARGEST_CHUNK: u32 = 1 << 14;

impl Pace {
    pub(crate) fn new() -> Self {
        Self { job: 0, items: 1 }
    }

    /// What this worker has seen; of a job that is new to it, what others have; one, until anybody has.
    pub(crate) fn items(&self, job: u64, told: &AtomicU64) -> u32 {
        if self.job == job { self.items } else { told_of(told, job) }
    }

    /// Grows to at most twice what it was: an estimate from few items is a guess.
    pub(crate) fn saw(&mut self, job: u64, count: u32, took: Duration, told: &AtomicU64) {
        let cost = (took.as_nanos() as u64 / u64::from(count.max(1))).max(1);
        let wanted = (CHUNK_TIME.as_nanos() as u64 / cost).clamp(1, LARGEST_CHUNK.into()) as u32;
        let last = self.items(job, told);
        *self = Self { job, items: wanted.min(last.saturating_mul(2)) };
        // Also by one that goes on as before: whoever told more may never correct it. But not every small step, for the line is one
        // that all workers read.
        if self.items.ilog2() != told_of(told, job).ilog2() {
            told.store((job & LOW_HALF) << 32 | u64::from(self.items), Relaxed);
        }
    }
}

/// How many items of the job a worker takes at once, as far as any has told in that word (`Head::pace`); 1 otherwise. Of several
/// jobs that run side by side it is known of one.
pub(crate) fn told_of(told: &AtomicU64, job: u64) -> u32 {
    let word = told.load(Relaxed);
    if word >> 32 == job & LOW_HALF { (word as u32).clamp(1, LARGEST_CHUNK) } else { 1 }
}

const LOW_HALF: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_new_to_a_job_begins_where_others_are() {
        let told = AtomicU64::new(0);
        let (mut first, second) = (Pace::new(), Pace::new());
        for _ in 0..5 {
            first.saw(7, 1, Duration::from_nanos(100), &told);
        }
        assert_eq!([7, 8].map(|job| second.items(job, &told)), [32, 1]);
        // A third one, which has only seen long ones, sets it right.
        let mut third = Pace { job: 7, items: 1 };
        third.saw(7, 1, Duration::from_secs(1), &told);
        assert_eq!((first.items(7, &told), second.items(7, &told)), (32, 1));
    }
}
