//! Barriers: what the server keeps, and the proxies.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::session::Call;
use super::stored::Answer;
use super::table::{Class, no_method};
use super::wire::{self, Args};
use crate::error::{Error, ErrorKind};

const WAIT: u32 = 0;
const ABORT: u32 = 1;
const RESET: u32 = 2;
const PARTIES: u32 = 3;
const N_WAITING: u32 = 4;
const IS_BROKEN: u32 = 5;

/// How a round ended, for those that waited in it.
const OPEN: u8 = 0;
const PASSED: u8 = 1;
const BROKEN: u8 = 2;

/// What the server keeps of a barrier.
pub(crate) struct Gate {
    parties: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    n_waiting: usize,
    broken: bool,
    round: Arc<AtomicU8>,
}

impl State {
    /// Ends the round, and begins another.
    fn end_round(&mut self, how: u8) {
        self.round.store(how, Ordering::Relaxed);
        self.round = Arc::default();
        self.n_waiting = 0;
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Broken, "somebody gave up waiting, or was told to")
}

impl Gate {
    /// # Errors
    /// Kind `InvalidInput` for none.
    pub(crate) fn new(args: &mut Args<'_>) -> Result<Self, Error> {
        let parties = args.usize()?;
        if parties == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "a barrier needs at least one party"));
        }
        Ok(Self { parties, state: Mutex::default(), changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, call: &Call<'_>, until: Option<Instant>) -> Result<usize, Error> {
        let mut state = self.state();
        if state.broken {
            return Err(broken());
        }
        let place = state.n_waiting;
        if place + 1 == self.parties {
            state.end_round(PASSED);
            self.changed.notify_all();
            return Ok(place);
        }
        // If the caller dies while it waits, the others would wait for ever.
        call.hold()?;
        state.n_waiting += 1;
        let done = self.await_end(state, call, until);
        call.let_go();
        done.map(|()| place)
    }

    fn await_end<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        call: &Call<'_>,
        until: Option<Instant>,
    ) -> Result<(), Error> {
        let round = state.round.clone();
        loop {
            match round.load(Ordering::Relaxed) {
                PASSED => return Ok(()),
                BROKEN => return Err(broken()),
                _ => {}
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                state.broken = true;
                state.end_round(BROKEN);
                self.changed.notify_all();
                return Err(Error::new(ErrorKind::TimedOut, "not all parties came to the barrier"));
            }
            (state, _) = call.sleep(state, &self.changed, until)?;
        }
    }

    fn abort(&self) {
        let mut state = self.state();
        state.broken = true;
        state.end_round(BROKEN);
        self.changed.notify_all();
    }

    fn reset(&self) {
        let mut state = self.state();
        state.broken = false;
        // Whoever waits now waits for nothing.
        state.end_round(BROKEN);
        self.changed.notify_all();
    }
}

const _: () = assert!(OPEN == 0, "a new round is open");

impl Class for Gate {
    fn call(
        &self,
        method: u32,
        args: &mut Args<'_>,
        call: &Call<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        match method {
            WAIT => {
                let place = self.wait(call, args.limit()?)?;
                answer.count(place);
            }
            ABORT => self.abort(),
            RESET => self.reset(),
            PARTIES => answer.count(self.parties),
            N_WAITING => answer.count(self.state().n_waiting),
            IS_BROKEN => answer.flag(self.state().broken),
            other => return Err(no_method(other)),
        }
        Ok(())
    }

    fn abandoned(&self, _session: u128) {
        self.abort();
    }
}

super::proxy! {
    /// Where a number of parties wait for each other, in the server of a [`Manager`](crate::Manager).
    ///
    /// A party whose process dies while it waits breaks the barrier.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// let m = Manager::start()?;
    /// let barrier = m.barrier(2)?;
    /// let other = barrier.clone();
    /// let there = std::thread::spawn(move || other.wait());
    /// let place = barrier.wait()?;
    /// assert_eq!(place + there.join().unwrap()?, 1);
    /// # Ok::<(), Error>(())
    /// ```
    pub struct Barrier;
}

impl Barrier {
    /// Waits until as many parties wait as the barrier is for; gives each another number, from 0.
    ///
    /// # Errors
    /// Kind `Broken` when it is broken, or is while this waits; `Disconnected` when the server is gone.
    pub fn wait(&self) -> Result<usize, Error> {
        self.wait_for(None)
    }

    /// As [`wait`](Self::wait), at most for `limit`; then the barrier is broken.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait), and kind `TimedOut`.
    pub fn wait_timeout(&self, limit: Duration) -> Result<usize, Error> {
        self.wait_for(Some(limit))
    }

    fn wait_for(&self, limit: Option<Duration>) -> Result<usize, Error> {
        self.handle.call(WAIT, |request| {
            wire::put_limit(request.bytes, limit);
            Ok(())
        })
    }

    /// Breaks the barrier.
    ///
    /// # Errors
    /// Kind `Disconnected` when the server is gone; the same for the others.
    pub fn abort(&self) -> Result<(), Error> {
        self.handle.ask(ABORT)
    }

    /// Makes it as new. Whoever waits now is told that it is broken.
    ///
    /// # Errors
    /// See [`abort`](Self::abort).
    pub fn reset(&self) -> Result<(), Error> {
        self.handle.ask(RESET)
    }

    /// How many parties it is for.
    ///
    /// # Errors
    /// See [`abort`](Self::abort).
    pub fn parties(&self) -> Result<usize, Error> {
        self.handle.ask(PARTIES)
    }

    /// How many wait now.
    ///
    /// # Errors
    /// See [`abort`](Self::abort).
    pub fn n_waiting(&self) -> Result<usize, Error> {
        self.handle.ask(N_WAITING)
    }

    /// Whether it is broken.
    ///
    /// # Errors
    /// See [`abort`](Self::abort).
    pub fn is_broken(&self) -> Result<bool, Error> {
        self.handle.ask(IS_BROKEN)
    }
}
