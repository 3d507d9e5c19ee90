//! A process as its parent sees it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::child::RETURNED;
use super::start::ProcessBuilder;
use crate::codec::{Codec, In, Level, SERDE};
use crate::error::{Error, ErrorKind};
use crate::job::Baggage;
use crate::shm::sweep;
use crate::supervisor::{self, Ward};
use crate::sys::process::{Child, Ending};
use crate::sys::socket::Socket;
use crate::sys::watch;
use crate::task::Call;
use crate::waiting::{Bell, sealed::Watch};
use crate::wire;

/// A child process that runs one function.
///
/// Its result, its panic or its death comes out of [`join`](Self::join). Dropping it kills and reaps the process, so one that
/// is to come to its end must be joined. It dies with its parent, also when that is killed.
///
/// A process that ends by itself leaves with code 0 after a result, 101 after a panic, whose text goes to stderr too. It is
/// started afresh, and sees nothing of its parent's memory; `SIGTERM` and `SIGINT` end it.
///
/// ```standalone_crate
/// use pool_runtime::prelude::*;
///
/// #[pool_task]
/// fn add(a: i64, b: i64) -> i64 { a + b }
///
/// # fn main() -> Result<(), pool_runtime::Error> {
/// let process = Process::spawn(task!(add(2, 3)))?;
/// assert_eq!(process.join()?, 5);
/// assert_eq!(process.exit_code(), Some(0));
/// # Ok(())
/// # }
/// ```
pub struct Process<R> {
    life: Arc<Life>,
    call: Call<R>,
    outcome: Mutex<Outcome>,
}

/// What became of the result.
enum Outcome {
    /// Nobody has asked, or the process runs.
    Unread,
    Given,
    Failed(Error),
}

impl<R> Process<R> {
    /// Starts a process that runs `call`. It is named after its place in the tree, `Process-1:2` for the second child of the
    /// first; [`builder`](Process::builder) gives it another name.
    ///
    /// # Errors
    /// Kind `Spawn` when it cannot be started, and what an argument said when it was encoded.
    pub fn spawn(call: Call<R>) -> Result<Self, Error> {
        ProcessBuilder::default().spawn(call)
    }

    pub(super) fn new(life: Arc<Life>, call: Call<R>) -> Self {
        Self { life, call, outcome: Mutex::new(Outcome::Unread) }
    }

    /// Waits until it has ended, and gives the function's result: once, and an error as often as it is asked for.
    ///
    /// # Errors
    /// Kind `Panicked` when the function panicked; `WorkerDied` when the process ended before it returned, with
    /// [`signal`](Error::signal) or [`exit_code`](Error::exit_code); `InvalidInput` when the result was given before, or in another process than
    /// the one that started it.
    pub fn join(&self) -> Result<R, Error> {
        self.life.wait(None)?;
        self.outcome()
    }

    /// As [`join`](Self::join), but no longer than `timeout`; the process goes on.
    ///
    /// # Errors
    /// Kind `TimedOut` when it has not ended yet, and else as for [`join`](Self::join).
    pub fn join_timeout(&self, timeout: Duration) -> Result<R, Error> {
        if self.life.wait(Some(timeout))? {
            return self.outcome();
        }
        let error = Error::new(ErrorKind::TimedOut, "the process has not ended yet");
        Err(self.blame(error))
    }

    fn outcome(&self) -> Result<R, Error> {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match &*outcome {
            Outcome::Given => {
                Err(self.blame(Error::new(ErrorKind::InvalidInput, "the result was given before")))
            }
            Outcome::Failed(error) => Err(error.clone()),
            Outcome::Unread => {
                let result = self.read();
                *outcome = match &result {
                    Ok(_) => Outcome::Given,
                    Err(error) => Outcome::Failed(error.clone()),
                };
                result
            }
        }
    }

    /// Reads what the child said before it ended.
    fn read(&self) -> Result<R, Error> {
        let result = self.read_said();
        // What it held is nobody's now, and what it sent has been taken.
        sweep::child_ended(self.pid());
        result
    }

    fn read_said(&self) -> Result<R, Error> {
        // It has ended, so what it said is there; but a child of its own may still hold its end of the socket.
        let said = wire::receive(&self.life.socket, Some(Instant::now()), |note, bytes| {
            Ok(if note == RETURNED { self.call.decode(bytes) } else { Err(failure(bytes)) })
        });
        said.unwrap_or_else(|error| match error.kind() {
            ErrorKind::Disconnected | ErrorKind::TimedOut => Err(self.life.death()),
            _ => Err(error),
        })
        .map_err(|error| self.blame(error))
    }

    fn blame(&self, error: Error) -> Error {
        let error = error.with_pid(self.pid());
        self.call.task().map_or(error.clone(), |task| error.with_task(task.name))
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&self) -> bool {
        self.life.ending().is_none()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.life.child.pid()
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.life.name
    }

    /// The code it left with, `-n` when signal `n` ended it, as in Python; `None` while it is alive. It is -1 also when somebody
    /// else has reaped it, so that nobody knows; the error of [`join`](Self::join) then has neither code nor signal.
    pub fn exit_code(&self) -> Option<i32> {
        self.life.exit_code()
    }

    /// Asks it to end, by `SIGTERM`; one that has ended takes no notice.
    ///
    /// # Errors
    /// Kind `InvalidInput` in another process than the one that started it.
    pub fn terminate(&self) -> Result<(), Error> {
        self.life.signal(Child::terminate)
    }

    /// Ends it, by `SIGKILL`; one that has ended takes no notice.
    ///
    /// # Errors
    /// Kind `InvalidInput` in another process than the one that started it.
    pub fn kill(&self) -> Result<(), Error> {
        self.life.signal(Child::kill)
    }

    /// The same process without its result, as [`active_children`](crate::active_children) gives it.
    pub fn handle(&self) -> super::ProcessHandle {
        super::ProcessHandle::child(Arc::clone(&self.life))
    }
}

/// The error that a child sent.
fn failure(bytes: &[u8]) -> Error {
    <Level<SERDE> as Codec<Error>>::decode(&mut In::new(bytes)).unwrap_or_else(|error| error)
}

impl<R> Drop for Process<R> {
    fn drop(&mut self) {
        self.life.end();
        // Nobody can ask for its result any more, whoever has a handle: what it held is nobody's.
        sweep::child_ended(self.pid());
    }
}

impl<R> Watch for Process<R> {
    fn watch(&self, bell: &Arc<Bell>, number: usize) {
        self.life.watch(bell, number);
    }

    fn unwatch(&self, bell: &Arc<Bell>) {
        self.life.state().bells.retain(|(other, _)| !Arc::ptr_eq(other, bell));
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.life).addr()
    }
}

impl<R> fmt::Debug for Process<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("name", &self.name())
            .field("pid", &self.pid())
            .field("exit_code", &self.exit_code())
            .finish_non_exhaustive()
    }
}

/// A child and how it ended.
#[derive(Debug)]
pub(crate) struct Life {
    /// The process that started it: a copy of this in a child of a plain `fork` is nobody's.
    pub(super) creator: u32,
    pub(super) name: String,
    pub(super) child: Child,
    pub(super) socket: Socket,
    pub(super) state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    ending: Option<Ending>,
    bells: Vec<(Arc<Bell>, usize)>,
    /// What its arguments name, until it has ended: what it never opened then is nobody's.
    baggage: Baggage,
    /// Its number with the supervisor.
    pub(super) ward: u32,
}

impl Life {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_creator(&self) -> Result<(), Error> {
        if self.creator == std::process::id() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidInput, "only the process that started it can do that"))
    }

    /// Waits for its end, at most for `limit`; whether it has ended.
    pub(super) fn wait(&self, limit: Option<Duration>) -> Result<bool, Error> {
        self.check_creator()?;
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        while self.ending().is_none() {
            if !watch::readable(&self.child, end) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn signal(&self, signal: fn(&Child)) -> Result<(), Error> {
        self.check_creator()?;
        signal(&self.child);
        Ok(())
    }

    /// Kills and reaps it, unless it has ended.
    fn end(&self) {
        if self.check_creator().is_ok() && self.ending().is_none() {
            self.child.kill();
            self.settle(|child| Some(child.reap()));
        }
    }

    /// How it ended, if it has; it is reaped then.
    pub(super) fn ending(&self) -> Option<Ending> {
        if self.creator != std::process::id() {
            return watch::readable(&self.child, Some(Instant::now())).then_some(Ending::Lost);
        }
        self.settle(Child::try_reap)
    }

    pub(super) fn exit_code(&self) -> Option<i32> {
        self.ending().map(|ending| match ending {
            Ending::Exited(code) => code,
            Ending::Signalled(signal) => -signal,
            Ending::Lost => -1,
        })
    }

    fn settle(&self, reap: impl FnOnce(&Child) -> Option<Ending>) -> Option<Ending> {
        let mut state = self.state();
        if state.ending.is_some() {
            return state.ending;
        }
        let ending = reap(&self.child)?;
        state.ending = Some(ending);
        let (bells, ward) = (std::mem::take(&mut state.bells), state.ward);
        let baggage = std::mem::take(&mut state.baggage);
        drop(state);
        drop(baggage);
        if let Ok(supervisor) = supervisor::get() {
            supervisor.unwatch(&self.child);
            supervisor.release(ward);
        }
        super::family::forget(ward);
        bells.iter().for_each(|(bell, number)| bell.ring(*number));
        Some(ending)
    }

    /// Keeps alive what its arguments name, as long as it may open them.
    pub(super) fn keep(&self, baggage: Baggage) {
        let mut state = self.state();
        if state.ending.is_none() {
            state.baggage = baggage;
        }
    }

    fn watch(&self, bell: &Arc<Bell>, number: usize) {
        let mut state = self.state();
        if state.ending.is_some() {
            drop(state);
            bell.ring(number);
        } else {
            state.bells.push((Arc::clone(bell), number));
        }
    }

    /// The error of a process that ended without a word.
    fn death(&self) -> Error {
        let error = Error::new(ErrorKind::WorkerDied, "");
        match self.ending() {
            Some(Ending::Exited(code)) => error.with_exit_code(code),
            Some(Ending::Signalled(signal)) => error.with_signal(signal),
            Some(Ending::Lost) | None => error,
        }
    }
}

impl Ward for Life {
    fn ready(&self, _token: u32) {
        self.ending();
    }

    fn tick(self: Arc<Self>, _now: Instant) -> Option<Duration> {
        None
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.end();
        // One that became no `Process`, since its end could not be watched, has nobody else to do that.
        sweep::child_ended(self.child.pid());
    }
}
