//! How a queue's users wait: they look for a while, then sleep.
//!
//! Who sleeps announces itself and looks once more; who has something for it looks for announcements after that something can
//! be seen. A sleeper that is killed leaves its announcement, so the one who wakes sets them right: each that a wake-up finds
//! nobody for is forgotten. Nobody relies on a wake-up alone: every sleep ends by itself.

use std::cell::Cell;
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
/// The shortest and the longest pause between two looks.
const LEAST_PAUSE: Duration = Duration::from_nanos(100);
const MOST_PAUSE: Duration = Duration::from_nanos(1000);

thread_local! {
    /// Spells of looking in vain since the last that was not; each makes the next one half as long.
    static IN_VAIN: Cell<u32> = const { Cell::new(0) };
    /// Between two looks of the next wait.
    static PAUSE: Cell<Duration> = const { Cell::new(LEAST_PAUSE) };
}

impl Bed {
    /// Waits until something is `ready`, which says how much; `false` when the time is over before.
    #[inline]
    pub(crate) fn wait(&self, patience: Patience, ready: impl Fn() -> u64) -> bool {
        if matches!(patience, Patience::None) {
            return ready() > 0;
        }
        loop {
            if look(&ready) {
                return true;
            }
            let left = patience.left().unwrap_or(LONGEST_SLEEP);
            if left.is_zero() {
                return ready() > 0;
            }
            self.sleep(left.min(LONGEST_SLEEP), &ready);
        }
    }

    fn sleep(&self, limit: Duration, ready: &impl Fn() -> u64) {
        let seen = self.word.load(Acquire);
        self.sleepers.fetch_add(1, Relaxed);
        // With the one in `wake`: either this side sees what there is, or the other one sees the announcement.
        fence(SeqCst);
        if ready() == 0 {
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
///
/// Each look takes the line from the one who writes it, so there are pauses between them. Where several things have come, those of
/// the next wait are longer, and more are taken together; where one came alone, as a call and its answer do, shorter.
fn look(ready: &impl Fn() -> u64) -> bool {
    let limit = LOOKING / (1 << IN_VAIN.get().min(6));
    let (start, pause) = (Instant::now(), PAUSE.get());
    let mut now = Duration::ZERO;
    while now < limit {
        let next = now + pause;
        while now < next {
            (0..4).for_each(|_| std::hint::spin_loop());
            now = start.elapsed();
        }
        let found = ready();
        if found > 0 {
            IN_VAIN.set(0);
            let next = if found > 1 { pause * 2 } else { pause / 2 };
            PAUSE.set(next.clamp(LEAST_PAUSE, MOST_PAUSE));
            return true;
        }
    }
    IN_VAIN.set(IN_VAIN.get().saturating_add(1));
    false
}
