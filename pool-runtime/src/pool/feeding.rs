//! Callers that are inside of their input, which may keep them waiting for as long as it likes.
//!
//! A caller takes several items from a fast input before it publishes them. Should the input stop in between, those items
//! would wait with it, and an input that waits for *them* would wait for ever. So while callers are inside of their inputs the
//! supervisor looks now and then, and publishes for them what they have written.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use super::Engine;

/// The time between two looks, which doubles while there is nothing to see.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const DOUBLINGS: u32 = 6;

/// How many callers there are, and whether the supervisor looks after them.
#[derive(Debug, Default)]
pub(crate) struct Feeding {
    inside: AtomicUsize,
    watched: AtomicBool,
    /// Looks in a row at which there was nothing to see.
    idle: AtomicU32,
}

/// A caller is inside of its input until this is dropped.
pub(crate) struct Inside<'a>(&'a Feeding);

impl Feeding {
    pub(crate) fn enter(&self, engine: &Engine) -> Inside<'_> {
        self.inside.fetch_add(1, Ordering::SeqCst);
        // Once per look, and not once per item.
        if !self.watched.swap(true, Ordering::SeqCst) {
            engine.nudge();
        }
        Inside(self)
    }

    /// One look; `publish` says how many items there were to publish. Gives how long until the next, `None` when nobody is inside.
    pub(crate) fn look(&self, publish: impl FnOnce() -> u32) -> Option<Duration> {
        if !self.watched.load(Ordering::SeqCst) {
            return None;
        }
        self.watched.store(false, Ordering::SeqCst);
        if self.inside.load(Ordering::SeqCst) == 0 {
            self.idle.store(0, Ordering::Relaxed);
            return None;
        }
        self.watched.store(true, Ordering::SeqCst);
        let idle =
            if publish() > 0 { 0 } else { (self.idle.load(Ordering::Relaxed) + 1).min(DOUBLINGS) };
        self.idle.store(idle, Ordering::Relaxed);
        Some(FIRST_LOOK * 2_u32.pow(idle))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}
