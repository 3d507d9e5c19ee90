//! `Event`: a flag to wait for.
//!
//! One word, the slot's bell: odd when the event is set. Each change adds one, so that a waiter that sleeps through a set and
//! a clear still knows that there was a set. Every operation is one step, and a death leaves nothing half done.

use std::fmt;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::time::Duration;

use super::held::Patience;
use super::slices::{Slice, Slices};
use super::travels;
use crate::error::Error;
use crate::shm::handle::{Handle, Kind, Mark};
use crate::shm::process;
use crate::sys::futex;

/// A flag that threads of any process set, clear and wait for.
///
/// ```
/// let event = pool_runtime::Event::new()?;
/// assert!(!event.is_set());
/// event.set()?;
/// event.wait()?;
/// event.clear()?;
/// assert!(!event.wait_timeout(std::time::Duration::from_millis(1))?);
/// # Ok::<(), pool_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct Event {
    handle: Handle,
}

impl Event {
    /// Makes an event that is not set.
    ///
    /// # Errors
    /// Kind `Io` or `Full` when shared memory has run out.
    pub fn new() -> Result<Self, Error> {
        Ok(Self { handle: Handle::make(Mark::plain(Kind::Event), (0, 1), None, |_| ())? })
    }

    fn word(&self) -> &AtomicU32 {
        &self.handle.slot().bell
    }

    /// Whether it is set now.
    pub fn is_set(&self) -> bool {
        is_set(self.word().load(Acquire))
    }

    /// Sets it, and wakes everybody who waits.
    ///
    /// # Errors
    /// Kind `Disconnected` in a child of a plain `fork`.
    pub fn set(&self) -> Result<(), Error> {
        process::own()?;
        self.change(false);
        futex::wake(self.word(), u32::MAX);
        Ok(())
    }

    /// Clears it: from now on waits wait.
    ///
    /// # Errors
    /// As for [`set`](Self::set).
    pub fn clear(&self) -> Result<(), Error> {
        process::own()?;
        self.change(true);
        Ok(())
    }

    /// Goes on to the other state, if it is in this one.
    fn change(&self, from: bool) {
        let next = |word: u32| (is_set(word) == from).then(|| word.wrapping_add(1));
        let _ = self.word().fetch_update(AcqRel, Acquire, next);
    }

    /// Waits until it is set, or was set for a moment since.
    ///
    /// # Errors
    /// As for [`set`](Self::set).
    pub fn wait(&self) -> Result<(), Error> {
        self.wait_with(Patience::Forever).map(drop)
    }

    /// As [`wait`](Self::wait), at most for `limit`; whether it was set.
    ///
    /// # Errors
    /// As for [`set`](Self::set).
    pub fn wait_timeout(&self, limit: Duration) -> Result<bool, Error> {
        self.wait_with(Patience::of(limit))
    }

    fn wait_with(&self, patience: Patience) -> Result<bool, Error> {
        process::own()?;
        let before = self.word().load(Acquire);
        let mut slices = Slices::new(patience);
        while !is_set(before) && self.word().load(Acquire) == before {
            if slices.sleep(self.word(), before) == Slice::Over {
                return Ok(self.word().load(Acquire) != before);
            }
        }
        Ok(true)
    }
}

/// Whether that is the word of an event that is set.
fn is_set(word: u32) -> bool {
    word & 1 == 1
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({})", if self.is_set() { "set" } else { "unset" })
    }
}

travels!(Event, Event);
