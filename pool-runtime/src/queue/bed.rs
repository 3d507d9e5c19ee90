//! How a queue's users wait: they look for a while, then sleep.
//!
//! Who sleeps announces itself and looks once more; who has something for it looks for announcements after that something can
//! be seen. A sleeper that is killed leaves its announcement, so the one who wakes sets them right: each that a wake-up finds
//! nobody for is forgotten. Nobody relies on a wake-up alone: every sleep ends by itself.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::fence;
use std::time::{Duration, Instant};

use crate::shm::ring::Bed;
use crate::sync::Patience;
use crate::sys::futex;

/// The longest sleep: what a wake-up that went to somebody who was killed costs the others.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
/// How long to look before sleeping: about what a sleep and a wake-up cost, measured at 25 µs each way.
const LOOKING: Duration = Duration::from_micros(50);

thread_local! {
    /// Spells of looking in vain since the last that was not; each makes the next one half as long.
    static IN_VAIN: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

impl Bed {
    /// Waits until `ready`; `false` when the time is over before.
    pub(crate) fn wait(&self, patience: Patience, ready: impl Fn() -> bool) -> bool {
        if matches!(patience, Patience::None) {
            return ready();
        }
        loop {
            if look(&ready) {
                return true;
            }
            let left = patience.left().unwrap_or(LONGEST_SLEEP);
            if left.is_zero() {
                return ready();
            }
            self.sleep(left.min(LONGEST_SLEEP), &ready);
        }
    }

    fn sleep(&self, limit: Duration, ready: &impl Fn() -> bool) {
        let seen = self.word.load(Acquire);
        self.sleepers.fetch_add(1, Relaxed);
        // With the one in `wake`: either this side sees what there is, or the other one sees the announcement.
        fence(SeqCst);
        if !ready() {
            futex::wait(&self.word, seen, Some(limit));
        }
    }

    /// Wakes one sleeper, if there is any. What it waits for must have been stored before.
    #[inline]
    pub(crate) fn wake_one(&self) {
        fence(SeqCst);
        let sleepers = self.sleepers.load(Relaxed);
        if sleepers > 0 {
            self.ring(sleepers);
        }
    }

    #[cold]
    fn ring(&self, sleepers: u32) {
        self.word.fetch_add(1, Release);
        if futex::wake(&self.word, 1) == 0 {
            // They are dead, or awake by now, or see that the word has changed.
            let _ = self.sleepers.compare_exchange(sleepers, 0, Relaxed, Relaxed);
        } else {
            let _ =
                self.sleepers.fetch_update(Relaxed, Relaxed, |sleepers| sleepers.checked_sub(1));
        }
    }

    /// Wakes all sleepers.
    pub(crate) fn wake_all(&self) {
        fence(SeqCst);
        self.word.fetch_add(1, Release);
        futex::wake(&self.word, u32::MAX);
    }
}

/// Looks for a while.
fn look(ready: &impl Fn() -> bool) -> bool {
    if ready() {
        return true;
    }
    let limit = LOOKING / (1 << IN_VAIN.get().min(6));
    let start = Instant::now();
    while start.elapsed() < limit {
        for _ in 0..16 {
            if ready() {
                IN_VAIN.set(0);
                return true;
            }
            std::hint::spin_loop();
        }
    }
    IN_VAIN.set(IN_VAIN.get().saturating_add(1));
    false
}
