//! How large the chunks are that a worker takes where nobody asked for a size.

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

    /// One, until a cost is known.
    pub(crate) fn items(&self, job: u64) -> u32 {
        if self.job == job { self.items } else { 1 }
    }

    /// Grows to at most twice what it was: an estimate from few items is a guess.
    pub(crate) fn saw(&mut self, job: u64, count: u32, took: Duration) {
        let cost = (took.as_nanos() as u64 / u64::from(count.max(1))).max(1);
        let wanted = (CHUNK_TIME.as_nanos() as u64 / cost).clamp(1, LARGEST_CHUNK.into()) as u32;
        let last = if self.job == job { self.items } else { 1 };
        *self = Self { job, items: wanted.min(last.saturating_mul(2)) };
    }
}
