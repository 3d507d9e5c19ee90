//! `Semaphore` and `BoundedSemaphore`: so many permits, of which each process's stand beside its name.
//!
//! Words: how many permits are free, the bound, whether anybody sleeps; the journal; then the accounts, a process and how
//! many permits it has. The free permits and an account change together: what they are to be is written into the journal
//! first, and whoever takes the semaphore's own lock next finishes what a dead one had begun.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use super::held::{Held, Patience, enter};
use super::slices::{Slice, Slices};
use super::travels;
use crate::error::{Error, ErrorKind};
use crate::shm::handle::{Handle, Kind, Mark};
use crate::shm::process;
use crate::sys::{fork, futex};

const AVAILABLE: usize = 0;
const BOUND: usize = 1;
/// Not 0: somebody may be asleep on the bell.
const SLEEPERS: usize = 2;
/// The journal: 1 while it holds; what is to be available; the account, its process and its permits.
const HOLDS: usize = 3;
const NEW_AVAILABLE: usize = 4;
const ACCOUNT: usize = 5;
const NEW_PROCESS: usize = 6;
const NEW_PERMITS: usize = 7;
const ACCOUNTS: usize = 8;
/// Processes whose permits are remembered. Those of others are lost when they die.
const N_ACCOUNTS: usize = 250;
const NO_ACCOUNT: u64 = u64::MAX;
const SIZE: usize = 8 * (ACCOUNTS + 2 * N_ACCOUNTS);

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
                handle.words()[AVAILABLE].store(permits as u64, Release);
                handle.words()[BOUND].store(bound(permits), Release);
                Ok(Self { handle })
            }

            /// Takes a permit, waiting as long as it takes.
            ///
            /// # Errors
            /// Kind `Disconnected` in a child of a plain `fork`.
            pub fn acquire(&self) -> Result<Permit, Error> {
                let permit = Shared(&self.handle).acquire(Patience::Forever)?;
                Ok(permit.unwrap_or_else(|| unreachable!("waiting for ever has no end")))
            }

            /// Takes a permit if there is one; `None` if there is not.
            ///
            /// # Errors
            /// As for [`acquire`](Self::acquire).
            pub fn try_acquire(&self) -> Result<Option<Permit>, Error> {
                Shared(&self.handle).acquire(Patience::None)
            }

            /// Takes a permit if there is one within `limit`; `None` if there is not.
            ///
            /// # Errors
            /// As for [`acquire`](Self::acquire).
            pub fn acquire_timeout(&self, limit: Duration) -> Result<Option<Permit>, Error> {
                Shared(&self.handle).acquire(Patience::of(limit))
            }

            /// Adds a permit: one that was forgotten, maybe in another process.
            ///
            /// # Errors
            /// Kind `InvalidInput` when there would be too many, `Disconnected` in a child of a plain `fork`.
            pub fn release(&self) -> Result<(), Error> {
                Shared(&self.handle).release()
            }

            /// How many permits are free now.
            pub fn available(&self) -> usize {
                self.handle.words()[AVAILABLE].load(Acquire) as usize
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
            Shared(&self.handle).leave(self.frees);
        }
    }
}

/// What both kinds are.
#[derive(Clone, Copy)]
struct Shared<'a>(&'a Handle);

impl Shared<'_> {
    fn word(&self, at: usize) -> &AtomicU64 {
        &self.0.words()[at]
    }

    fn account(&self, at: usize) -> (&AtomicU64, &AtomicU64) {
        (self.word(ACCOUNTS + 2 * at), self.word(ACCOUNTS + 2 * at + 1))
    }

    /// Takes the semaphore's own lock, and finishes what a dead one had begun.
    fn enter(&self) -> Result<Held, Error> {
        let held = enter(self.0)?;
        if self.word(HOLDS).load(Acquire) != 0 {
            self.apply();
        }
        Ok(held)
    }

    /// Both at once: `available` permits are free, and account `at` is `process`'s, with `permits`.
    fn change(&self, available: u64, at: u64, process: u64, permits: u64) {
        self.word(NEW_AVAILABLE).store(available, Relaxed);
        self.word(ACCOUNT).store(at, Relaxed);
        self.word(NEW_PROCESS).store(process, Relaxed);
        self.word(NEW_PERMITS).store(permits, Relaxed);
        self.word(HOLDS).store(1, Release);
        self.apply();
    }

    fn apply(&self) {
        let at = self.word(ACCOUNT).load(Relaxed);
        if at < N_ACCOUNTS as u64 {
            let (process, permits) = self.account(at as usize);
            process.store(self.word(NEW_PROCESS).load(Relaxed), Relaxed);
            permits.store(self.word(NEW_PERMITS).load(Relaxed), Relaxed);
        }
        self.word(AVAILABLE).store(self.word(NEW_AVAILABLE).load(Relaxed), Release);
        self.word(HOLDS).store(0, Release);
    }

    fn acquire(&self, patience: Patience) -> Result<Option<Permit>, Error> {
        let (mut slices, mut slept) = (Slices::new(patience), false);
        let bell = &self.0.slot().bell;
        loop {
            let seen = bell.load(Acquire);
            let got = {
                let _own_lock = self.enter()?;
                let got = self.try_take();
                // One that was woken leaves others asleep, as far as it knows.
                if !got || slept {
                    self.word(SLEEPERS).store(1, Release);
                }
                got
            };
            if got {
                return Ok(Some(Permit { handle: self.0.clone(), frees: 1 }));
            }
            slept = true;
            match slices.sleep(bell, seen) {
                Slice::Over if !self.take_from_dead()? => return Ok(None),
                Slice::Passed => drop(self.take_from_dead()?),
                _ => {}
            }
        }
    }

    fn try_take(&self) -> bool {
        let available = self.word(AVAILABLE).load(Acquire);
        if available == 0 {
            return false;
        }
        let me = self.0.own().word;
        let mine = |&at: &usize| self.account(at).0.load(Relaxed) == me;
        let used = |&at: &usize| self.account(at).0.load(Relaxed) != 0;
        let empty = |&at: &usize| self.account(at).1.load(Relaxed) == 0;
        let at =
            (0..N_ACCOUNTS).take_while(used).find(mine).or_else(|| (0..N_ACCOUNTS).find(empty));
        let permits = at.map_or(0, |at| self.account(at).1.load(Relaxed));
        self.change(available - 1, at.map_or(NO_ACCOUNT, |at| at as u64), me, permits + 1);
        true
    }

    /// Frees the permits of processes that died; whether there were any. Their accounts stay, empty, for others.
    fn take_from_dead(&self) -> Result<bool, Error> {
        let _own_lock = self.enter()?;
        let mut found = false;
        for at in 0..N_ACCOUNTS {
            let (process, permits) = self.account(at);
            let (process, permits) = (process.load(Relaxed), permits.load(Relaxed));
            if process == 0 {
                break;
            }
            if permits > 0 && !process::word_seems_alive(process) {
                let bound = self.word(BOUND).load(Acquire);
                let available = (self.word(AVAILABLE).load(Acquire) + permits).min(bound);
                self.change(available, at as u64, process, 0);
                found = true;
            }
        }
        if found {
            self.ring();
        }
        Ok(found)
    }

    /// A permit of this process ends; `free` of it becomes free.
    fn leave(&self, free: u64) {
        let Ok(_own_lock) = self.enter() else { return };
        let me = self.0.own().word;
        let at = (0..N_ACCOUNTS).find(|&at| self.account(at).0.load(Relaxed) == me);
        let permits = at.map_or(0, |at| self.account(at).1.load(Relaxed));
        // A permit that was released by hand before does not count twice.
        let bound = self.word(BOUND).load(Acquire);
        let available = (self.word(AVAILABLE).load(Acquire) + free).min(bound);
        self.change(
            available,
            at.map_or(NO_ACCOUNT, |at| at as u64),
            me,
            permits.saturating_sub(1),
        );
        if free > 0 {
            self.ring();
        }
    }

    fn release(&self) -> Result<(), Error> {
        let _own_lock = self.enter()?;
        let available = self.word(AVAILABLE).load(Acquire);
        if available >= self.word(BOUND).load(Acquire) {
            return Err(Error::new(ErrorKind::InvalidInput, "the semaphore is released too often"));
        }
        self.change(available + 1, NO_ACCOUNT, 0, 0);
        self.ring();
        Ok(())
    }

    fn ring(&self) {
        let bell = &self.0.slot().bell;
        bell.fetch_add(1, Release);
        if self.word(SLEEPERS).swap(0, Relaxed) != 0 {
            futex::wake(bell, 1);
        }
    }
}
