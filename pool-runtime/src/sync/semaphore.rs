//! `Semaphore` and `BoundedSemaphore`: so many permits, of which each process's stand beside its name (`permits`).

use std::fmt;
use std::time::Duration;

use super::ground::Object;
use super::held::Patience;
use super::permits::{self, Permits};
use super::travels;
use crate::error::Error;
use crate::shm::handle::{Handle, Kind, Mark};
use crate::sys::fork;

/// Processes whose permits are remembered.
const N_ACCOUNTS: usize = 250;
const SIZE: usize = 8 * permits::words(N_ACCOUNTS);

/// So many permits, for threads of any process.
///
/// The permits that a process had when it died are free again.
///
/// ```
/// let semaphore = pool_runtime::Semaphore::new(2)?;
/// let first = semaphore.acquire()?;
/// let second = semaphore.acquire()?;
/// assert!(semaphore.try_acquire()?.is_none());
/// drop(first);
/// assert!(semaphore.try_acquire()?.is_some());
/// // Acquired here, released there.
/// second.forget();
/// semaphore.release()?;
/// # Ok::<(), pool_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct Semaphore {
    handle: Handle,
}

/// A [`Semaphore`] that never has more permits than it began with: one [`release`](Self::release) too many is an error.
///
/// ```
/// let semaphore = pool_runtime::BoundedSemaphore::new(1)?;
/// assert_eq!(semaphore.release().unwrap_err().kind(), pool_runtime::ErrorKind::InvalidInput);
/// # Ok::<(), pool_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct BoundedSemaphore {
    handle: Handle,
}

macro_rules! semaphore {
    ($type:ident, $bound:expr) => {
        impl $type {
            /// Makes a semaphore with `permits`.
            ///
            /// # Errors
            /// Kind `Io` or `Full` when shared memory has run out.
            pub fn new(permits: usize) -> Result<Self, Error> {
                let handle = Handle::make(Mark::plain(Kind::$type), (SIZE, 8), None, |_| ())?;
                let bound: fn(usize) -> u64 = $bound;
                state(&handle).begin(permits as u64, bound(permits));
                Ok(Self { handle })
            }

            /// Takes a permit, waiting as long as it takes.
            ///
            /// # Errors
            /// Kind `Disconnected` in a child of a plain `fork`.
            pub fn acquire(&self) -> Result<Permit, Error> {
                let permit = acquire(&self.handle, Patience::Forever)?;
                Ok(permit.unwrap_or_else(|| unreachable!("waiting for ever has no end")))
            }

            /// Takes a permit if there is one; `None` if there is not.
            ///
            /// # Errors
            /// As for [`acquire`](Self::acquire).
            pub fn try_acquire(&self) -> Result<Option<Permit>, Error> {
                acquire(&self.handle, Patience::None)
            }

            /// Takes a permit if there is one within `limit`; `None` if there is not.
            ///
            /// # Errors
            /// As for [`acquire`](Self::acquire).
            pub fn acquire_timeout(&self, limit: Duration) -> Result<Option<Permit>, Error> {
                acquire(&self.handle, Patience::of(limit))
            }

            /// Adds a permit: one that was forgotten, maybe in another process.
            ///
            /// # Errors
            /// Kind `InvalidInput` when there would be too many, `Disconnected` in a child of a plain `fork`.
            pub fn release(&self) -> Result<(), Error> {
                state(&self.handle).release()
            }

            /// How many permits are free now.
            pub fn available(&self) -> usize {
                state(&self.handle).available() as usize
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({} free)"), self.available())
            }
        }

        travels!($type, $type);
    };
}

semaphore!(Semaphore, |_| u64::MAX >> 1);
semaphore!(BoundedSemaphore, |permits| permits as u64);

/// One of a semaphore's permits. Dropping it gives it back; any thread may.
#[derive(Debug)]
#[must_use = "the permit is given back when it is dropped"]
pub struct Permit {
    handle: Handle,
    /// How many permits become free when it is dropped: one, or none.
    frees: u64,
}

impl Permit {
    /// Keeps the permit away from the semaphore, until somebody calls `release`. It is no process's any more.
    pub fn forget(mut self) {
        self.frees = 0;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !fork::is_copy() {
            state(&self.handle).leave(self.frees);
        }
    }
}

fn state(handle: &Handle) -> Permits<Object<'_>> {
    Permits(Object::of(handle))
}

/// A permit, if there is one in time.
fn acquire(handle: &Handle, patience: Patience) -> Result<Option<Permit>, Error> {
    let got = state(handle).acquire(patience)?;
    Ok(got.then(|| Permit { handle: handle.clone(), frees: 1 }))
}
