//! `Lock`: one holder at a time, of all threads of all processes.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::condition::sealed::Lends;
use super::error::LockError;
use super::held::{Held, Patience, acquire, describe, outcome};
use super::travels;
use crate::error::Error;
use crate::shm::handle::{Handle, Kind, Mark};

/// A lock that goes anywhere: clone it, send it to a task, keep it in a struct; all copies are one lock.
///
/// When the process that holds it dies, the next taker is told so, once. A thread that ends without dropping its guard
/// keeps the lock while its process lives; others get `Deadlock`.
///
/// ```
/// let lock = pool_runtime::Lock::new()?;
/// let guard = lock.lock()?;
/// assert!(lock.try_lock()?.is_none());
/// drop(guard);
/// assert!(lock.try_lock()?.is_some());
/// # Ok::<(), pool_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct Lock {
    pub(crate) handle: Handle,
}

impl Lock {
    /// Makes a lock that nobody holds.
    ///
    /// # Errors
    /// Kind `Io` or `Full` when shared memory has run out.
    pub fn new() -> Result<Self, Error> {
        Ok(Self { handle: Handle::make(Mark::plain(Kind::Lock), (0, 1), None, |_| ())? })
    }

    /// Takes the lock, waiting as long as it takes.
    ///
    /// # Errors
    /// Kind `OwnerDied` when its last holder died, with the lock in the error; `Deadlock` when this thread holds it already, or
    /// a thread that ended does.
    pub fn lock(&self) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        self.take(Patience::Forever)
            .map(|guard| guard.unwrap_or_else(|| unreachable!("waiting for ever has no end")))
    }

    /// Takes the lock if it is free; `None` if it is not.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock); in the holder's own thread it is not an error, but `None`.
    pub fn try_lock(&self) -> Result<Option<LockGuard<'_>>, LockError<LockGuard<'_>>> {
        self.take(Patience::None)
    }

    /// Takes the lock if it comes free within `limit`; `None` if it does not.
    ///
    /// # Errors
    /// As for [`try_lock`](Self::try_lock).
    pub fn lock_timeout(
        &self,
        limit: Duration,
    ) -> Result<Option<LockGuard<'_>>, LockError<LockGuard<'_>>> {
        self.take(Patience::of(limit))
    }

    #[inline]
    pub(crate) fn take(
        &self,
        patience: Patience,
    ) -> Result<Option<LockGuard<'_>>, LockError<LockGuard<'_>>> {
        outcome(acquire(&self.handle, patience), || LockGuard {
            held: Held::new(&self.handle),
            _of: PhantomData,
        })
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lock(held by {})", describe(&self.handle))
    }
}

travels!(Lock, Lock);

/// A [`Lock`], held. Dropping it gives the lock back. It stays in its thread.
#[derive(Debug)]
#[must_use = "the lock is given back when the guard is dropped"]
pub struct LockGuard<'a> {
    held: Held,
    _of: PhantomData<&'a Lock>,
}

impl Lends for LockGuard<'_> {
    #[expect(private_interfaces, reason = "nobody outside can name the trait")]
    fn held(&mut self) -> &mut Held {
        &mut self.held
    }
}
