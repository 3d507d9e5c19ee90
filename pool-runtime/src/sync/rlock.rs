//! `RLock`: a lock that its holder may take again.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::error::LockError;
use super::held::{Held, Patience, acquire, describe, is_mine, outcome};
use super::travels;
use crate::error::{Error, ErrorKind};
use crate::shm::handle::{Handle, Kind, Mark};
use crate::sys::fork;

/// As [`Lock`](crate::Lock), but re-entrant: the thread that holds it may take it again, and gives it back when its last
/// guard is dropped.
///
/// ```
/// let lock = pool_runtime::RLock::new()?;
/// let outer = lock.lock()?;
/// let inner = lock.lock()?;
/// drop(outer);
/// assert_eq!(lock.depth(), 1);
/// drop(inner);
/// assert_eq!(lock.depth(), 0);
/// # Ok::<(), pool_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct RLock {
    handle: Handle,
}

impl RLock {
    /// Makes a lock that nobody holds.
    ///
    /// # Errors
    /// Kind `Io` or `Full` when shared memory has run out.
    pub fn new() -> Result<Self, Error> {
        Ok(Self { handle: Handle::make(Mark::plain(Kind::RLock), (0, 1), None, |_| ())? })
    }

    /// Takes the lock, waiting as long as it takes; at once when this thread holds it.
    ///
    /// # Errors
    /// Kind `OwnerDied` when its last holder died, with the lock in the error; `Deadlock` when a thread that ended holds it.
    pub fn lock(&self) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
        self.take(Patience::Forever)
            .map(|guard| guard.unwrap_or_else(|| unreachable!("waiting for ever has no end")))
    }

    /// Takes the lock if it is free, or this thread's; `None` if it is not.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<Option<RLockGuard<'_>>, LockError<RLockGuard<'_>>> {
        self.take(Patience::None)
    }

    /// Takes the lock if it comes free within `limit`; `None` if it does not.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    pub fn lock_timeout(
        &self,
        limit: Duration,
    ) -> Result<Option<RLockGuard<'_>>, LockError<RLockGuard<'_>>> {
        self.take(Patience::of(limit))
    }

    /// How often this thread holds it; 0 when it does not.
    pub fn depth(&self) -> usize {
        if is_mine(&self.handle) { self.handle.slot().depth.load(Relaxed) as usize } else { 0 }
    }

    fn take(
        &self,
        patience: Patience,
    ) -> Result<Option<RLockGuard<'_>>, LockError<RLockGuard<'_>>> {
        let guard =
            || RLockGuard { handle: &self.handle, _of_this_thread: std::marker::PhantomData };
        if !fork::is_copy() && is_mine(&self.handle) {
            // Only the holder writes the depth, and that is this thread.
            let depth = self.handle.slot().depth.load(Relaxed);
            let deeper = depth
                .checked_add(1)
                .ok_or_else(|| Error::new(ErrorKind::Full, "the lock is taken too often"));
            self.handle.slot().depth.store(deeper.map_err(LockError::from_error)?, Relaxed);
            return Ok(Some(guard()));
        }
        outcome(acquire(&self.handle, patience), || {
            self.handle.slot().depth.store(1, Relaxed);
            guard()
        })
    }
}

impl fmt::Debug for RLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "RLock(held by {}, {} times)",
            describe(&self.handle),
            self.handle.slot().depth.load(Relaxed)
        )
    }
}

travels!(RLock, RLock);

/// An [`RLock`], held once. When the last of a thread's guards is dropped, the lock is given back. It stays in its thread.
#[derive(Debug)]
#[must_use = "the lock is given back when the guard is dropped"]
pub struct RLockGuard<'a> {
    handle: &'a Handle,
    _of_this_thread: std::marker::PhantomData<*const ()>,
}

impl Drop for RLockGuard<'_> {
    fn drop(&mut self) {
        if fork::is_copy() {
            return;
        }
        let depth = &self.handle.slot().depth;
        let left = depth.load(Relaxed).saturating_sub(1);
        depth.store(left, Relaxed);
        if left == 0 {
            drop(Held::new(self.handle));
        }
    }
}
