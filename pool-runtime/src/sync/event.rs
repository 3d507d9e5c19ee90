//! `Event`: a flag to wait for. The flag is in `flag`, and its word is the slot's bell.

use std::fmt;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::time::Duration;

use super::flag::{self, Ground};
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

/// A flag in shared memory.
struct Shared<'a>(&'a AtomicU32);

impl Ground for Shared<'_> {
    fn load(&self) -> u32 {
        self.0.load(Acquire)
    }

    fn replace(&self, old: u32, new: u32) -> bool {
        self.0.compare_exchange(old, new, AcqRel, Acquire).is_ok()
    }

    fn sleep(&self, slices: &mut Slices, word: u32) -> Slice {
        slices.sleep(self.0, word)
    }

    fn wake_all(&self) {
        futex::wake(self.0, u32::MAX);
    }
}

impl Event {
    /// Makes an event that is not set.
    ///
    /// # Errors
    /// Kind `Io` or `Full` when shared memory has run out.
    pub fn new() -> Result<Self, Error> {
        Ok(Self { handle: Handle::make(Mark::plain(Kind::Event), (0, 1), None, |_| ())? })
    }

    fn flag(&self) -> Shared<'_> {
        Shared(&self.handle.slot().bell)
    }

    /// Whether it is set now.
    pub fn is_set(&self) -> bool {
        flag::is_set(self.flag().load())
    }

    /// Sets it, and wakes everybody who waits.
    ///
    /// # Errors
    /// Kind `Disconnected` in a child of a plain `fork`.
    pub fn set(&self) -> Result<(), Error> {
        process::own()?;
        flag::set(&self.flag());
        Ok(())
    }

    /// Clears it: from now on waits wait.
    ///
    /// # Errors
    /// As for [`set`](Self::set).
    pub fn clear(&self) -> Result<(), Error> {
        process::own()?;
        flag::clear(&self.flag());
        Ok(())
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
        let flag = self.flag();
        Ok(flag::wait(&flag, flag.load(), patience))
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({})", if self.is_set() { "set" } else { "unset" })
    }
}

travels!(Event, Event);
