//! A result that is there later.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};
use crate::pool::JobHandle;
use crate::unwind;
use crate::waiting::{Bell, sealed::Watch};

/// The result of work that goes on by itself. Dropping it changes nothing: the work goes on.
///
/// It is also a future, by [`IntoFuture`], under any executor.
///
/// ```
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn square(x: u64) -> u64 { x * x }
///
/// # fn main() -> Result<(), pool_runtime::Error> {
/// let squares = par_map_async!(square, 0..4)?;
/// assert_eq!(squares.get()?, [0, 1, 4, 9]);
/// # Ok(())
/// # }
/// ```
pub struct AsyncResult<T> {
    shared: Arc<Shared<T>>,
    job: JobHandle,
}

/// Where the result is put, and where those who wait for it stand.
pub(crate) struct Shared<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

struct State<T> {
    slot: Slot<T>,
    waker: Option<Waker>,
    bells: Vec<(Arc<Bell>, usize)>,
}

enum Slot<T> {
    Pending,
    /// It is there as bytes. Whoever asks for it first has them read, by code that is the user's.
    Sealed(Opener<T>),
    /// Somebody has them read.
    Opening,
    Ready(Result<T, Error>),
    /// The value was given away.
    Given,
}

type Opener<T> = Box<dyn FnOnce() -> Result<T, Error> + Send>;

impl<T> Shared<T> {
    pub(crate) fn new() -> Arc<Self> {
        let state = State { slot: Slot::Pending, waker: None, bells: Vec::new() };
        Arc::new(Self { state: Mutex::new(state), ready: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a sealed result read, without the lock. Waits no longer than until `end` for another who has it read.
    fn opened<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<T>>,
        end: Option<Instant>,
    ) -> MutexGuard<'a, State<T>> {
        match std::mem::replace(&mut state.slot, Slot::Opening) {
            Slot::Sealed(open) => {
                drop(state);
                let result =
                    unwind::catch(open).unwrap_or_else(|panic| Err(Error::panicked(panic)));
                state = self.lock();
                state.slot = Slot::Ready(result);
                self.ready.notify_all();
                state
            }
            Slot::Opening => {
                let opening = |state: &mut State<T>| matches!(state.slot, Slot::Opening);
                let left =
                    end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
                let waited = self.ready.wait_timeout_while(state, left, opening);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            other => {
                state.slot = other;
                state
            }
        }
    }

    /// Puts the result, and wakes all who wait. Wakers and bells are called without the lock: they may ask for it.
    fn put(&self, slot: Slot<T>) {
        let mut state = self.lock();
        state.slot = slot;
        let (waker, bells) = (state.waker.take(), std::mem::take(&mut state.bells));
        self.ready.notify_all();
        drop(state);
        bells.iter().for_each(|(bell, number)| bell.ring(*number));
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> State<T> {
    fn is_ready(&self) -> bool {
        !matches!(self.slot, Slot::Pending)
    }

    /// Gives the value once, an error as often as it is asked for.
    fn take(&mut self) -> Option<Result<T, Error>> {
        match std::mem::replace(&mut self.slot, Slot::Given) {
            unread @ (Slot::Pending | Slot::Sealed(_) | Slot::Opening) => {
                self.slot = unread;
                None
            }
            Slot::Ready(Err(error)) => {
                self.slot = Slot::Ready(Err(error.clone()));
                Some(Err(error))
            }
            Slot::Ready(Ok(value)) => Some(Ok(value)),
            Slot::Given => {
                Some(Err(Error::new(ErrorKind::InvalidInput, "the value was taken before")))
            }
        }
    }
}

impl<T> AsyncResult<T> {
    pub(crate) fn new(shared: Arc<Shared<T>>, job: JobHandle) -> Self {
        Self { shared, job }
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// What the work failed with; kind `InvalidInput` when [`get_timeout`](Self::get_timeout) gave the value before.
    pub fn get(self) -> Result<T, Error> {
        let mut state = self.shared.lock();
        loop {
            state = self.shared.opened(state, None);
            if let Some(result) = state.take() {
                return result;
            }
            state = self.shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for the result, but no longer than `timeout`. It gives the value once.
    ///
    /// # Errors
    /// Kind `TimedOut` when it is not there yet, and else as for [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, Error> {
        let end = Instant::now().checked_add(timeout);
        let result = self.shared.opened(self.wait_until(timeout), end).take();
        result
            .unwrap_or_else(|| Err(Error::new(ErrorKind::TimedOut, "the result is not there yet")))
    }

    /// Waits until the work has ended, in whatever way.
    pub fn wait(&self) {
        let state = self.shared.lock();
        let ready = self.shared.ready.wait_while(state, |state| !state.is_ready());
        drop(ready.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until the work has ended, but no longer than `timeout`; whether it has.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(timeout).is_ready()
    }

    fn wait_until(&self, timeout: Duration) -> MutexGuard<'_, State<T>> {
        let mut state = self.shared.lock();
        // A timeout beyond what the clock can count is no limit.
        let end = Instant::now().checked_add(timeout);
        while !state.is_ready() {
            let left =
                end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            state = self
                .shared
                .ready
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state
    }

    /// Whether the work has ended, in whatever way.
    pub fn is_ready(&self) -> bool {
        self.shared.lock().is_ready()
    }

    /// Whether the work has ended with a value. To know that of a value that takes a `Deserialize` it is read here.
    pub fn is_successful(&self) -> bool {
        let state = self.shared.opened(self.shared.lock(), None);
        matches!(state.slot, Slot::Ready(Ok(_)) | Slot::Given)
    }

    /// Ends the work, also what runs. The result becomes an error of kind `Cancelled`, unless it is there already.
    pub fn cancel(&self) {
        self.job.cancel();
    }
}

impl<T> Watch for AsyncResult<T> {
    fn watch(&self, bell: &Arc<Bell>, number: usize) {
        let mut state = self.shared.lock();
        if state.is_ready() {
            drop(state);
            bell.ring(number);
        } else {
            state.bells.push((Arc::clone(bell), number));
        }
    }

    fn unwatch(&self, bell: &Arc<Bell>) {
        self.shared.lock().bells.retain(|(other, _)| !Arc::ptr_eq(other, bell));
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }
}

impl<T> IntoFuture for AsyncResult<T> {
    type Output = Result<T, Error>;
    type IntoFuture = ResultFuture<T>;

    fn into_future(self) -> ResultFuture<T> {
        ResultFuture(self)
    }
}

/// An [`AsyncResult`] as a future.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct ResultFuture<T>(AsyncResult<T>);

impl<T> Future for ResultFuture<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloned and dropped without the lock: a waker's code is the executor's, and may ask for it.
        let waker = context.waker().clone();
        let mut state = self.0.shared.opened(self.0.shared.lock(), None);
        if let Some(result) = state.take() {
            return Poll::Ready(result);
        }
        // The last waker counts: the future may have moved to another task since.
        let former = state.waker.replace(waker);
        drop(state);
        drop(former);
        Poll::Pending
    }
}

impl<T> fmt::Debug for AsyncResult<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncResult").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("ready", &self.lock().is_ready()).finish_non_exhaustive()
    }
}

type Callback<T> = Box<dyn FnOnce(T) + Send>;

/// What is to be called with the result.
pub(crate) struct Callbacks<T> {
    pub(crate) done: Option<Callback<T>>,
    pub(crate) failed: Option<Callback<Error>>,
}

impl<T> Callbacks<T> {
    pub(crate) fn any(&self) -> bool {
        self.done.is_some() || self.failed.is_some()
    }
}

impl<T> Default for Callbacks<T> {
    fn default() -> Self {
        Self { done: None, failed: None }
    }
}

/// Where a job that runs without its caller puts its result.
pub(crate) struct Completion<T> {
    pub(crate) shared: Arc<Shared<T>>,
    pub(crate) callbacks: Callbacks<T>,
    /// Makes a second value of the same meaning: the callback is given one, and `get` the other.
    pub(crate) copy: fn(&T) -> Result<T, Error>,
}

impl<T> Completion<T> {
    /// Calls the callback, then makes the result known: whoever sees it knows that the callback has been called.
    pub(crate) fn complete(self, result: Result<T, Error>) {
        let Callbacks { done, failed } = self.callbacks;
        let kept = match (result, done) {
            (Ok(value), Some(done)) => {
                let kept = unwind::catch(|| (self.copy)(&value))
                    .unwrap_or_else(|panic| Err(Error::panicked(panic)));
                guarded(|| done(value));
                kept
            }
            (Ok(value), None) => Ok(value),
            (Err(error), _) => {
                if let Some(failed) = failed {
                    guarded(|| failed(error.clone()));
                }
                Err(error)
            }
        };
        self.shared.put(Slot::Ready(kept));
    }

    /// As [`complete`](Self::complete), of a result that is still to be read: here if there is a callback to be given it, else where it
    /// is asked for.
    pub(crate) fn complete_later(self, open: Opener<T>) {
        if self.callbacks.any() {
            self.complete(unwind::catch(open).unwrap_or_else(|panic| Err(Error::panicked(panic))));
        } else {
            self.shared.put(Slot::Sealed(open));
        }
    }
}

/// A callback that panics harms nobody but itself.
fn guarded(callback: impl FnOnce()) {
    if let Err(panic) = unwind::catch(callback) {
        eprintln!("a callback of a pool panicked: {}", Error::panicked(panic));
    }
}

impl<T> fmt::Debug for Completion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("shared", &self.shared).finish_non_exhaustive()
    }
}
