//! Semaphores: what the server keeps, and the proxies.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::session::Call;
use super::stored::Answer;
use super::table::{Class, no_method};
use super::wire::{self, Args};
use crate::error::{Error, ErrorKind};

const ACQUIRE: u32 = 0;
const RELEASE: u32 = 1;
/// Gives back a permit that the caller has.
const GIVE: u32 = 2;
/// A permit that the caller has is nobody's from now on.
const DISOWN: u32 = 3;

/// What the server keeps of a semaphore.
pub(crate) struct Permits {
    state: Mutex<State>,
    changed: Condvar,
    /// There are never more than so many.
    most: u64,
}

struct State {
    free: u64,
    /// How many each process has. Those that were forgotten are nobody's: who releases them may be another one.
    had: HashMap<u128, u64>,
}

impl State {
    /// One permit less of that process; `false` when it has none.
    fn take_from(&mut self, session: u128) -> bool {
        let Entry::Occupied(mut had) = self.had.entry(session) else { return false };
        *had.get_mut() -= 1;
        if *had.get() == 0 {
            had.remove();
        }
        true
    }

    /// Frees permits that somebody had. One that was released by another process meanwhile, or is out again since, does not
    /// count twice: what is free and what others have is never more than `most`.
    fn free(&mut self, count: u64, most: u64) {
        let had: u64 = self.had.values().sum();
        let room = most.saturating_sub(had).saturating_sub(self.free);
        self.free += count.min(room);
    }
}

impl Permits {
    /// # Errors
    /// Kind `Decode` for arguments that are none.
    pub(crate) fn new(args: &mut Args<'_>) -> Result<Self, Error> {
        let state = State { free: args.u64()?, had: HashMap::new() };
        Ok(Self { state: Mutex::new(state), changed: Condvar::new(), most: args.u64()? })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acquire(&self, call: &Call<'_>, until: Option<Instant>) -> Result<bool, Error> {
        let mut state = self.state();
        while state.free == 0 {
            if until.is_some_and(|until| until <= Instant::now()) {
                return Ok(false);
            }
            (state, _) = call.sleep(state, &self.changed, until)?;
        }
        call.hold()?;
        state.free -= 1;
        *state.had.entry(call.session.id).or_default() += 1;
        Ok(true)
    }

    fn release(&self) -> Result<(), Error> {
        let mut state = self.state();
        if state.free >= self.most {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("a semaphore of {} was released once too often", self.most),
            ));
        }
        state.free += 1;
        self.changed.notify_all();
        Ok(())
    }

    /// The caller has one permit less, and so many become free.
    fn leave(&self, call: &Call<'_>, frees: u64) -> Result<(), Error> {
        let mut state = self.state();
        if !state.take_from(call.session.id) {
            return Err(Error::new(ErrorKind::InvalidInput, "this process has no permit"));
        }
        state.free(frees, self.most);
        self.changed.notify_all();
        drop(state);
        call.let_go();
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
            GIVE => self.leave(call, 1),
            DISOWN => self.leave(call, 0),
            other => Err(no_method(other)),
        }
    }

    fn abandoned(&self, session: u128) {
        let mut state = self.state();
        let had = state.had.remove(&session).unwrap_or(0);
        state.free(had, self.most);
        self.changed.notify_all();
    }
}

super::proxy! {
    /// A semaphore in the server of a [`Manager`](crate::Manager), plain or bounded. A bounded one refuses to be released more
    /// often than it was acquired.
    ///
    /// The permits that a process had when it ended are free again.
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
        self.handle.link().provide()?;
        let acquired: bool = self.handle.call(ACQUIRE, |request| {
            wire::put_limit(request.bytes, limit);
            Ok(())
        })?;
        Ok(acquired.then(|| Permit { semaphore: self.clone(), last_word: GIVE }))
    }

    /// Adds a permit: one that was forgotten, maybe in another process.
    ///
    /// # Errors
    /// Kind `InvalidInput` when a bounded one has all of its permits, and `Disconnected`.
    pub fn release(&self) -> Result<(), Error> {
        self.handle.ask(RELEASE)
    }
}

/// A permit of a [`Semaphore`] of a manager, given back when it is dropped, by whatever thread, or when its process ends. It
/// keeps the semaphore alive.
#[derive(Debug)]
#[must_use = "the permit is given back at once if it is not kept"]
pub struct Permit {
    semaphore: Semaphore,
    /// What its end says to the server: that it is given back, or that it is nobody's.
    last_word: u32,
}

impl Permit {
    /// Keeps the permit out of the semaphore; somebody else, anywhere, is to release it. It is no process's any more, so it
    /// does not come back when this one ends.
    pub fn forget(mut self) {
        self.last_word = DISOWN;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // With a server that is gone the semaphore is gone too.
        let handle = &self.semaphore.handle;
        handle.link().give_back(handle.id(), self.last_word, |_| Ok(()));
    }
}
