//! Semaphores and events: what the server keeps, and the proxies.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::session::Call;
use super::stored::Answer;
use super::table::{Class, no_method};
use super::wire::{self, Args};
use crate::error::{Error, ErrorKind};

const ACQUIRE: u32 = 0;
const RELEASE: u32 = 1;

/// What the server keeps of a semaphore.
pub(crate) struct Permits {
    free: Mutex<u64>,
    changed: Condvar,
    /// There are never more than so many.
    most: u64,
}

impl Permits {
    /// # Errors
    /// Kind `Decode` for arguments that are none.
    pub(crate) fn new(args: &mut Args<'_>) -> Result<Self, Error> {
        Ok(Self { free: Mutex::new(args.u64()?), changed: Condvar::new(), most: args.u64()? })
    }

    fn free(&self) -> MutexGuard<'_, u64> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acquire(&self, call: &Call<'_>, until: Option<Instant>) -> Result<bool, Error> {
        let mut free = self.free();
        while *free == 0 {
            if until.is_some_and(|until| until <= Instant::now()) {
                return Ok(false);
            }
            (free, _) = call.sleep(free, &self.changed, until)?;
        }
        *free -= 1;
        Ok(true)
    }

    fn release(&self) -> Result<(), Error> {
        let mut free = self.free();
        if *free >= self.most {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("a semaphore of {} was released once too often", self.most),
            ));
        }
        *free += 1;
        self.changed.notify_all();
        Ok(())
    }
}

impl Class for Permits {
    fn call(
        &self,
        method: u32,
        args: &mut Args<'_>,
        call: &Call<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        match method {
            ACQUIRE => {
                let acquired = self.acquire(call, args.limit()?)?;
                answer.flag(acquired);
                Ok(())
            }
            RELEASE => self.release(),
            other => Err(no_method(other)),
        }
    }
}

super::proxy! {
    /// A semaphore in the server of a [`Manager`](crate::Manager), plain or bounded. A bounded one refuses to be released more
    /// often than it was acquired.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// let m = Manager::start()?;
    /// let two = m.semaphore(2)?;
    /// let (_a, _b) = (two.acquire()?, two.acquire()?);
    /// assert!(two.try_acquire()?.is_none());
    /// two.release()?;
    /// assert!(two.try_acquire()?.is_some());
    /// assert_eq!(m.bounded_semaphore(1)?.release().unwrap_err().kind(), ErrorKind::InvalidInput);
    /// # Ok::<(), Error>(())
    /// ```
    pub struct Semaphore;
}

impl Semaphore {
    /// Waits for a permit and takes it; dropping it gives it back.
    ///
    /// # Errors
    /// Kind `Disconnected` when the server is gone; the same for the others.
    pub fn acquire(&self) -> Result<Permit, Error> {
        let permit = self.take(None)?;
        permit.ok_or_else(|| Error::new(ErrorKind::TimedOut, "the server did not wait"))
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    /// See [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Result<Option<Permit>, Error> {
        self.take(Some(Duration::ZERO))
    }

    /// As [`acquire`](Self::acquire), for at most `limit`.
    ///
    /// # Errors
    /// See [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, limit: Duration) -> Result<Option<Permit>, Error> {
        self.take(Some(limit))
    }

    fn take(&self, limit: Option<Duration>) -> Result<Option<Permit>, Error> {
        let acquired: bool = self.handle.call(ACQUIRE, |request| {
            wire::put_limit(request.bytes, limit);
            Ok(())
        })?;
        Ok(acquired.then(|| Permit { semaphore: Some(self.clone()) }))
    }

    /// Adds a permit.
    ///
    /// # Errors
    /// Kind `InvalidInput` when a bounded one has all of its permits, and `Disconnected`.
    pub fn release(&self) -> Result<(), Error> {
        self.handle.ask(RELEASE)
    }
}

/// A permit of a [`Semaphore`] of a manager, given back when it is dropped, by whatever thread. It keeps the semaphore alive.
#[derive(Debug)]
#[must_use = "the permit is given back at once if it is not kept"]
pub struct Permit {
    /// Where it is given back to; nowhere once it is forgotten.
    semaphore: Option<Semaphore>,
}

impl Permit {
    /// Keeps the permit out of the semaphore; somebody else, anywhere, is to release it.
    pub fn forget(mut self) {
        self.semaphore = None;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(semaphore) = &self.semaphore {
            // With a server that is gone the semaphore is gone too.
            let _ = semaphore.release();
        }
    }
}

const SET: u32 = 0;
const CLEAR: u32 = 1;
const IS_SET: u32 = 2;
const WAIT: u32 = 3;

/// What the server keeps of an event.
#[derive(Default)]
pub(crate) struct Flag {
    state: Mutex<Happened>,
    changed: Condvar,
}

#[derive(Default)]
struct Happened {
    now: bool,
    /// How often it has: whoever waited then goes on, also when it was cleared before it woke.
    times: u64,
}

impl Flag {
    fn state(&self) -> MutexGuard<'_, Happened> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self) {
        let mut state = self.state();
        state.now = true;
        state.times += 1;
        self.changed.notify_all();
    }

    fn wait(&self, call: &Call<'_>, until: Option<Instant>) -> Result<bool, Error> {
        let mut state = self.state();
        let before = state.times;
        while !state.now && state.times == before {
            if until.is_some_and(|until| until <= Instant::now()) {
                return Ok(false);
            }
            (state, _) = call.sleep(state, &self.changed, until)?;
        }
        Ok(true)
    }
}

impl Class for Flag {
    fn call(
        &self,
        method: u32,
        args: &mut Args<'_>,
        call: &Call<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        match method {
            SET => self.set(),
            CLEAR => self.state().now = false,
            IS_SET => answer.flag(self.state().now),
            WAIT => {
                let set = self.wait(call, args.limit()?)?;
                answer.flag(set);
            }
            other => return Err(no_method(other)),
        }
        Ok(())
    }
}

super::proxy! {
    /// Something that happens once, or is cleared to happen again, in the server of a [`Manager`](crate::Manager).
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    /// use std::time::Duration;
    ///
    /// let m = Manager::start()?;
    /// let ready = m.event()?;
    /// assert!(!ready.wait_timeout(Duration::from_millis(1))?);
    /// ready.set()?;
    /// ready.wait()?;
    /// assert!(ready.is_set()?);
    /// # Ok::<(), Error>(())
    /// ```
    pub struct Event;
}

impl Event {
    /// Makes it happen: all that wait go on.
    ///
    /// # Errors
    /// Kind `Disconnected` when the server is gone; the same for the others.
    pub fn set(&self) -> Result<(), Error> {
        self.handle.ask(SET)
    }

    /// Makes it something that has not happened.
    ///
    /// # Errors
    /// See [`set`](Self::set).
    pub fn clear(&self) -> Result<(), Error> {
        self.handle.ask(CLEAR)
    }

    /// Whether it has happened.
    ///
    /// # Errors
    /// See [`set`](Self::set).
    pub fn is_set(&self) -> Result<bool, Error> {
        self.handle.ask(IS_SET)
    }

    /// Waits until it has happened.
    ///
    /// # Errors
    /// See [`set`](Self::set).
    pub fn wait(&self) -> Result<(), Error> {
        self.wait_for(None).map(drop)
    }

    /// Waits until it has happened, at most for `limit`; says whether it has.
    ///
    /// # Errors
    /// See [`set`](Self::set).
    pub fn wait_timeout(&self, limit: Duration) -> Result<bool, Error> {
        self.wait_for(Some(limit))
    }

    fn wait_for(&self, limit: Option<Duration>) -> Result<bool, Error> {
        self.handle.call(WAIT, |request| {
            wire::put_limit(request.bytes, limit);
            Ok(())
        })
    }
}
