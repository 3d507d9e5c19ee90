//! `Semaphore` and `BoundedSemaphore`: so many permits, of which each process's stand beside its name (`permits`).

use std::fmt;
use std::time::Duration;

use super::ground::Object;
use super::held::Patience;
use super::permits::{self, Permits};
use super::travels;
use crate::error::{Error, ErrorKind};
use crate::shm::handle::{Handle, Kind, Mark};
use crate::sys::fork;

/// Processes whose permits are remembered: the largest pool's workers, and others. They fill five pages.
const N_ACCOUNTS: usize = 1275;
/// Where addresses are limited, so many must do: they fill the largest block that every process maps.
const FEW_ACCOUNTS: usize = 250;

/// So many permits, for threads of any process.
///
/// The permits that a process had when it died are free again. That is so for 1275 processes that have permits at one time,
/// or 250 where the address space is very limited (`ulimit -v`); permits of others are lost with them.
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
/// What becomes of the permits of a process that dies is said there.
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
                let handle = make(Mark::plain(Kind::$type))?;
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

// So high that it is never reached, but by one that began there: nobody's permit is one too many.
semaphore!(Semaphore, |permits| (permits as u64).max(u64::MAX >> 1));
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

/// An object with room for the accounts.
fn make(mark: Mark) -> Result<Handle, Error> {
    let make = |accounts| Handle::make(mark, (8 * permits::words(accounts), 8), None, |_| ());
    match make(N_ACCOUNTS) {
        Err(error) if matches!(error.kind(), ErrorKind::Full | ErrorKind::InvalidInput) => {
            make(FEW_ACCOUNTS)
        }
        made => made,
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
