//! Events: what the server keeps, and the proxies.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::session::Call;
use super::stored::Answer;
use super::table::{Class, no_method};
use super::wire::{self, Args};
use crate::error::Error;

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
