//! Queues: what the server keeps, and the proxies.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::session::Call;
use super::stored::{Answer, Stored};
use super::table::{Class, no_method};
use super::wire::{self, Args};
use crate::error::{Error, ErrorKind};

const PUT: u32 = 0;
const GET: u32 = 1;
const LEN: u32 = 2;
const CLOSE: u32 = 3;
const TASK_DONE: u32 = 4;
const JOIN: u32 = 5;

/// What the server keeps of a queue.
pub(crate) struct Line {
    /// The most elements.
    most: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    elements: VecDeque<Stored>,
    /// Elements that were put and not yet reported done.
    unfinished: u64,
    closed: bool,
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the queue is closed")
}

fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| until <= Instant::now())
}

impl Line {
    /// # Errors
    /// Kind `InvalidInput` for no room at all.
    pub(crate) fn new(args: &mut Args<'_>) -> Result<Self, Error> {
        let most = args.u64()?;
        if most == 0 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "a queue needs room for at least one element",
            ));
        }
        Ok(Self { most, state: Mutex::default(), changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, call: &Call<'_>, value: Stored, until: Option<Instant>) -> Result<(), Error> {
        let mut state = self.state();
        while state.elements.len() as u64 >= self.most && !state.closed {
            if is_over(until) {
                return Err(Error::new(
                    ErrorKind::Full,
                    format!("the queue has {} elements", self.most),
                ));
            }
            (state, _) = call.sleep(state, &self.changed, until)?;
        }
        if state.closed {
            return Err(closed());
        }
        state.elements.push_back(value);
        state.unfinished += 1;
        self.changed.notify_all();
        Ok(())
    }

    fn get(&self, call: &Call<'_>, until: Option<Instant>) -> Result<Stored, Error> {
        let mut state = self.state();
        loop {
            if let Some(value) = state.elements.pop_front() {
                self.changed.notify_all();
                return Ok(value);
            }
            if state.closed {
                return Err(closed());
            }
            if is_over(until) {
                return Err(Error::new(ErrorKind::Empty, "the queue has no element"));
            }
            (state, _) = call.sleep(state, &self.changed, until)?;
        }
    }

    fn task_done(&self) -> Result<(), Error> {
        let mut state = self.state();
        let left = state.unfinished.checked_sub(1);
        state.unfinished = left.ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, "`task_done` was called once too often")
        })?;
        self.changed.notify_all();
        Ok(())
    }

    fn join(&self, call: &Call<'_>, until: Option<Instant>) -> Result<(), Error> {
        let mut state = self.state();
        while state.unfinished > 0 {
            if is_over(until) {
                return Err(Error::new(
                    ErrorKind::TimedOut,
                    format!("{} elements are not done", state.unfinished),
                ));
            }
            (state, _) = call.sleep(state, &self.changed, until)?;
        }
        Ok(())
    }
}

impl Class for Line {
    fn call(
        &self,
        method: u32,
        args: &mut Args<'_>,
        call: &Call<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        match method {
            PUT => {
                let until = args.limit()?;
                self.put(call, Stored::new(args.blob()?, call)?, until)?;
            }
            GET => {
                let value = self.get(call, args.limit()?)?;
                answer.stored(&value);
            }
            LEN => answer.count(self.state().elements.len()),
            CLOSE => {
                self.state().closed = true;
                self.changed.notify_all();
            }
            TASK_DONE => self.task_done()?,
            JOIN => self.join(call, args.limit()?)?,
            other => return Err(no_method(other)),
        }
        Ok(())
    }
}

super::proxy! {
    /// A queue in the server of a [`Manager`](crate::Manager), from many to many.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// let m = Manager::start()?;
    /// let q = m.bounded_queue::<u32>(1)?;
    /// q.put(1)?;
    /// assert_eq!(q.try_put(2).unwrap_err().kind(), ErrorKind::Full);
    /// assert_eq!(q.get()?, 1);
    /// assert_eq!(q.try_get().unwrap_err().kind(), ErrorKind::Empty);
    /// q.task_done()?;
    /// q.join()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub struct Queue<T>;
}

impl<T: Serialize + DeserializeOwned> Queue<T> {
    /// Adds an element at the end, and waits for room if there is none.
    ///
    /// # Errors
    /// Kind `Closed` after [`close`](Self::close), `Encode` when the element does not travel, `Disconnected` when the server
    /// is gone.
    pub fn put(&self, value: T) -> Result<(), Error> {
        self.put_for(&value, None)
    }

    /// Adds an element if there is room.
    ///
    /// # Errors
    /// As for [`put`](Self::put), and kind `Full`.
    #[expect(clippy::needless_pass_by_value, reason = "what is put is given away")]
    pub fn try_put(&self, value: T) -> Result<(), Error> {
        self.put_for(&value, Some(Duration::ZERO))
    }

    /// As [`put`](Self::put), for at most `limit`.
    ///
    /// # Errors
    /// As for [`put`](Self::put), and kind `Full`.
    #[expect(clippy::needless_pass_by_value, reason = "what is put is given away")]
    pub fn put_timeout(&self, value: T, limit: Duration) -> Result<(), Error> {
        self.put_for(&value, Some(limit))
    }

    fn put_for(&self, value: &T, limit: Option<Duration>) -> Result<(), Error> {
        self.handle.call(PUT, |request| {
            wire::put_limit(request.bytes, limit);
            request.value(value)
        })
    }

    /// Takes the first element, and waits for one if there is none.
    ///
    /// # Errors
    /// Kind `Closed` when the queue is closed and empty, `Decode` when the element was put there as another type,
    /// `Disconnected` when the server is gone.
    pub fn get(&self) -> Result<T, Error> {
        self.get_for(None)
    }

    /// Takes the first element if there is one.
    ///
    /// # Errors
    /// As for [`get`](Self::get), and kind `Empty`.
    pub fn try_get(&self) -> Result<T, Error> {
        self.get_for(Some(Duration::ZERO))
    }

    /// As [`get`](Self::get), for at most `limit`.
    ///
    /// # Errors
    /// As for [`get`](Self::get), and kind `Empty`.
    pub fn get_timeout(&self, limit: Duration) -> Result<T, Error> {
        self.get_for(Some(limit))
    }

    fn get_for(&self, limit: Option<Duration>) -> Result<T, Error> {
        self.handle.call(GET, |request| {
            wire::put_limit(request.bytes, limit);
            Ok(())
        })
    }

    /// How many elements there are.
    ///
    /// # Errors
    /// Kind `Disconnected` when the server is gone; the same for the others.
    pub fn len(&self) -> Result<usize, Error> {
        self.handle.ask(LEN)
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// See [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// Ends the queue: nothing more is put, and what is there is still got.
    ///
    /// # Errors
    /// See [`len`](Self::len).
    pub fn close(&self) -> Result<(), Error> {
        self.handle.ask(CLOSE)
    }

    /// Reports one element that was got as done.
    ///
    /// # Errors
    /// Kind `InvalidInput` when all are, and see [`len`](Self::len).
    pub fn task_done(&self) -> Result<(), Error> {
        self.handle.ask(TASK_DONE)
    }

    /// Waits until every element that was put has been reported done.
    ///
    /// # Errors
    /// See [`len`](Self::len).
    pub fn join(&self) -> Result<(), Error> {
        self.join_for(None)
    }

    /// As [`join`](Self::join), at most for `limit`.
    ///
    /// # Errors
    /// Kind `TimedOut`, and see [`len`](Self::len).
    pub fn join_timeout(&self, limit: Duration) -> Result<(), Error> {
        self.join_for(Some(limit))
    }

    fn join_for(&self, limit: Option<Duration>) -> Result<(), Error> {
        self.handle.call(JOIN, |request| {
            wire::put_limit(request.bytes, limit);
            Ok(())
        })
    }
}
