//! Conditions: what the server keeps, and the proxies.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::lock::{LockGuard, Mutual, Taken};
use super::session::{Call, Session};
use super::stored::Answer;
use super::table::{Class, Object, no_method};
use super::thread;
use super::wire::{self, Args};
use crate::error::{Error, ErrorKind};
use crate::sync::LockError;

const WAIT: u32 = 0;
const NOTIFY: u32 = 1;
const IS_FOR: u32 = 2;

/// What the server keeps of a condition: its lock, and who waits, the longest first.
pub(crate) struct Meeting {
    lock: Arc<Object>,
    waiting: Mutex<VecDeque<Arc<AtomicBool>>>,
    changed: Condvar,
}

impl Meeting {
    /// # Errors
    /// Kind `NotFound` when the client does not hold the lock it names, `InvalidInput` when it is none.
    pub(crate) fn new(args: &mut Args<'_>, session: &Session) -> Result<Self, Error> {
        let lock = session.find(args.u64()?)?;
        if lock.class().as_lock().is_none() {
            return Err(Error::new(ErrorKind::InvalidInput, "a condition needs a lock"));
        }
        Ok(Self { lock, waiting: Mutex::default(), changed: Condvar::new() })
    }

    fn lock(&self) -> Result<&Mutual, Error> {
        self.lock.class().as_lock().ok_or_else(|| no_method(WAIT))
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Arc<AtomicBool>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the lock back, waits, and takes it again. Says whether it was notified, and how the lock was got.
    fn wait(
        &self,
        call: &Call<'_>,
        thread: u64,
        until: Option<Instant>,
    ) -> Result<(bool, Taken), Error> {
        let on_lock = call.on(&self.lock);
        let ticket = Arc::new(AtomicBool::new(false));
        // On the list before the lock is free: who takes it next and notifies finds this one there.
        self.waiting().push_back(ticket.clone());
        let depth =
            self.lock()?.give_all(&on_lock, thread).inspect_err(|_| self.forget(&ticket))?;
        let notified =
            self.await_notice(call, &ticket, until).inspect_err(|_| self.forget(&ticket))?;
        let taken = self.lock()?.take_back(&on_lock, thread, depth);
        Ok((notified, taken.inspect_err(|_| self.forget(&ticket))?))
    }

    fn await_notice(
        &self,
        call: &Call<'_>,
        ticket: &Arc<AtomicBool>,
        until: Option<Instant>,
    ) -> Result<bool, Error> {
        let mut waiting = self.waiting();
        loop {
            if ticket.load(Ordering::Relaxed) {
                return Ok(true);
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                waiting.retain(|other| !Arc::ptr_eq(other, ticket));
                return Ok(false);
            }
            (waiting, _) = call.sleep(waiting, &self.changed, until)?;
        }
    }

    /// A waiter is gone. If it had been notified already, that goes to the next.
    fn forget(&self, ticket: &Arc<AtomicBool>) {
        self.waiting().retain(|other| !Arc::ptr_eq(other, ticket));
        if ticket.load(Ordering::Relaxed) {
            self.notify(1);
        }
    }

    fn notify(&self, count: usize) {
        let mut waiting = self.waiting();
        let count = count.min(waiting.len());
        waiting.drain(..count).for_each(|ticket| ticket.store(true, Ordering::Relaxed));
        self.changed.notify_all();
    }
}

impl Class for Meeting {
    fn call(
        &self,
        method: u32,
        args: &mut Args<'_>,
        call: &Call<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        match method {
            WAIT => {
                let thread = args.u64()?;
                let outcome = self.wait(call, thread, args.limit()?)?;
                answer.put(&outcome)
            }
            NOTIFY => {
                self.notify(args.usize()?);
                Ok(())
            }
            IS_FOR => {
                answer.flag(self.lock.id == args.u64()?);
                Ok(())
            }
            other => Err(no_method(other)),
        }
    }
}

type Waited<'a> = Result<(LockGuard<'a>, bool), LockError<LockGuard<'a>>>;

super::proxy! {
    /// Something to wait for under a lock, in the server of a [`Manager`](crate::Manager).
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// let m = Manager::start()?;
    /// let lock = m.lock()?;
    /// let (full, jobs) = (m.condition(&lock)?, m.list::<u32>()?);
    /// let producer = {
    ///     let (lock, full, jobs) = (lock.clone(), full.clone(), jobs.clone());
    ///     std::thread::spawn(move || {
    ///         let _guard = lock.lock()?;
    ///         jobs.push(7)?;
    ///         full.notify_one()
    ///     })
    /// };
    /// let guard = full.wait_for(lock.lock()?, || Ok(!jobs.is_empty()?))?;
    /// assert_eq!(jobs.pop()?, Some(7));
    /// drop(guard);
    /// producer.join().unwrap()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub struct Condition;
}

impl Condition {
    /// Gives the lock back, waits for a notification, and takes the lock again.
    ///
    /// # Errors
    /// Kind `OwnerDied`, with the lock, when a process died with it meanwhile; `InvalidInput` for the guard of another lock;
    /// `Disconnected` when the server is gone.
    pub fn wait<'a>(
        &self,
        guard: LockGuard<'a>,
    ) -> Result<LockGuard<'a>, LockError<LockGuard<'a>>> {
        self.wait_at_most(guard, None).map(|(guard, _)| guard)
    }

    /// As [`wait`](Self::wait), at most for `limit`; says whether it was notified. To get the lock back may take longer.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_timeout<'a>(&self, guard: LockGuard<'a>, limit: Duration) -> Waited<'a> {
        self.wait_at_most(guard, Some(limit))
    }

    /// Waits until `done` says so, which is asked with the lock, now and after each notification.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait), and what `done` fails with.
    pub fn wait_for<'a, R: IntoVerdict>(
        &self,
        mut guard: LockGuard<'a>,
        mut done: impl FnMut() -> R,
    ) -> Result<LockGuard<'a>, LockError<LockGuard<'a>>> {
        while !done().into_verdict().map_err(LockError::from_error)? {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    fn wait_at_most<'a>(&self, guard: LockGuard<'a>, limit: Option<Duration>) -> Waited<'a> {
        let outcome = self.is_for(&guard).and_then(|()| {
            self.handle.call::<(bool, Taken)>(WAIT, |request| {
                request.u64(thread::number());
                wire::put_limit(request.bytes, limit);
                Ok(())
            })
        });
        match outcome.map_err(LockError::from_error)? {
            (_, Taken::AfterDeath) => Err(LockError::owner_died(guard)),
            (notified, _) => Ok((guard, notified)),
        }
    }

    fn is_for(&self, guard: &LockGuard<'_>) -> Result<(), Error> {
        let same_server = self.handle.link().server() == guard.handle.link().server();
        let same = same_server
            && self.handle.call(IS_FOR, |request| {
                request.u64(guard.handle.id());
                Ok(())
            })?;
        if same {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::InvalidInput, "the guard of another lock"))
        }
    }

    /// Wakes one that waits.
    ///
    /// # Errors
    /// Kind `Disconnected` when the server is gone; the same for the others.
    pub fn notify_one(&self) -> Result<(), Error> {
        self.notify(1)
    }

    /// Wakes up to `count` that wait, those that have waited longest.
    ///
    /// # Errors
    /// See [`notify_one`](Self::notify_one).
    pub fn notify(&self, count: usize) -> Result<(), Error> {
        self.handle.call(NOTIFY, |request| {
            request.u64(count as u64);
            Ok(())
        })
    }

    /// Wakes all that wait.
    ///
    /// # Errors
    /// See [`notify_one`](Self::notify_one).
    pub fn notify_all(&self) -> Result<(), Error> {
        self.notify(usize::MAX)
    }
}

/// What a condition's question may answer: whether it holds, or why nobody knows.
pub trait IntoVerdict {
    /// As a result.
    ///
    /// # Errors
    /// What the question failed with.
    fn into_verdict(self) -> Result<bool, Error>;
}

impl IntoVerdict for bool {
    fn into_verdict(self) -> Result<bool, Error> {
        Ok(self)
    }
}

impl IntoVerdict for Result<bool, Error> {
    fn into_verdict(self) -> Result<bool, Error> {
        self
    }
}
