//! Waiting in slices: no sleep is so long that a lost wake-up or a death goes unseen.

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use super::held::Patience;
use crate::sys::futex;

/// The first slice, and the longest.
const FIRST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(32);

/// The slices of one wait.
#[derive(Debug)]
pub(crate) struct Slices {
    patience: Patience,
    next: Duration,
}

/// How a slice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slice {
    /// Somebody woke us, or the word had changed already, or nothing at all.
    Woken,
    /// Its time passed: look whether those that are relied on still live.
    Passed,
    /// All the time there was has passed.
    Over,
}

impl Slices {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, next: FIRST }
    }

    /// What is left of the wait; `None` for ever.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.patience.left()
    }

    /// Sleeps while `word` is `value`.
    pub(crate) fn sleep(&mut self, word: &AtomicU32, value: u32) -> Slice {
        let left = self.left();
        if left.is_some_and(|left| left.is_zero()) {
            return Slice::Over;
        }
        let slice = left.map_or(self.next, |left| left.min(self.next));
        let begun = Instant::now();
        futex::wait(word, value, Some(slice));
        if begun.elapsed() < slice {
            return Slice::Woken;
        }
        self.next = (self.next * 2).min(LONGEST);
        Slice::Passed
    }
}
