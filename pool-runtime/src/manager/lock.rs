//! Locks: what the server keeps, and the proxies. `value` and `condition` are built on it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::handle::{Handle, Request};
use super::link::Link;
use super::session::Call;
use super::stored::Answer;
use super::table::{Class, no_method};
use super::thread;
use super::wire::{self, Args};
use crate::error::{Error, ErrorKind};
use crate::sync::LockError;

pub(crate) const LOCK: u32 = 100;
pub(crate) const UNLOCK: u32 = 101;
const LOST: u32 = 102;

/// What came of trying to take a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Taken {
    Yes,
    /// Yes, and the process that had it died.
    AfterDeath,
    /// Not in time.
    No,
}

/// Whether the thread that has it may take it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Again {
    Deadlocks,
    Counts,
}

/// How long to wait for a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// As long as there is hope.
    Hope,
    Until(Instant),
}

/// What the server keeps of a lock.
pub(crate) struct Mutual {
    state: Mutex<State>,
    changed: Condvar,
    again: Again,
}

#[derive(Default)]
struct State {
    /// The process and its thread.
    owner: Option<(u128, u64)>,
    depth: u64,
    /// The last owner's process died with it.
    died: bool,
    /// The owner's thread has ended, and its process has not.
    lost: bool,
}

impl Mutual {
    pub(crate) fn new(again: Again) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), again }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the lock for a thread of the caller.
    ///
    /// # Errors
    /// Kind `Deadlock` when it would wait for ever, `Disconnected` when the caller has ended.
    pub(crate) fn take(
        &self,
        call: &Call<'_>,
        thread: u64,
        patience: Patience,
    ) -> Result<Taken, Error> {
        let me = (call.session.id, thread);
        let mut state = self.state();
        loop {
            match state.owner {
                None => {
                    call.hold()?;
                    (state.owner, state.depth) = (Some(me), 1);
                    return Ok(if std::mem::take(&mut state.died) {
                        Taken::AfterDeath
                    } else {
                        Taken::Yes
                    });
                }
                Some(owner) if owner == me && self.again == Again::Counts => {
                    state.depth += 1;
                    return Ok(Taken::Yes);
                }
                Some(_) if state.lost => {
                    return Err(deadlock("the thread that has the lock has ended"));
                }
                Some(owner) if owner == me && matches!(patience, Patience::Hope) => {
                    return Err(deadlock("this thread has the lock already"));
                }
                Some(_) => {}
            }
            let until = match patience {
                Patience::Hope => None,
                Patience::Until(until) if until <= Instant::now() => return Ok(Taken::No),
                Patience::Until(until) => Some(until),
            };
            (state, _) = call.sleep(state, &self.changed, until)?;
        }
    }

    /// Gives the lock back, once.
    ///
    /// # Errors
    /// Kind `InvalidInput` when another thread has it, or nobody.
    pub(crate) fn give(&self, call: &Call<'_>, thread: u64) -> Result<(), Error> {
        let mut state = self.owned(call, thread)?;
        state.depth -= 1;
        if state.depth == 0 {
            self.free(&mut state);
            drop(state);
            call.let_go();
        }
        Ok(())
    }

    /// Gives the lock back as often as it was taken, and says how often that was.
    ///
    /// # Errors
    /// As for [`give`](Self::give).
    pub(crate) fn give_all(&self, call: &Call<'_>, thread: u64) -> Result<u64, Error> {
        let mut state = self.owned(call, thread)?;
        let depth = state.depth;
        self.free(&mut state);
        drop(state);
        call.let_go();
        Ok(depth)
    }

    /// Takes it back, as often as it was given.
    ///
    /// # Errors
    /// As for [`take`](Self::take).
    pub(crate) fn take_back(
        &self,
        call: &Call<'_>,
        thread: u64,
        depth: u64,
    ) -> Result<Taken, Error> {
        let taken = self.take(call, thread, Patience::Hope)?;
        self.state().depth = depth;
        Ok(taken)
    }

    fn owned(&self, call: &Call<'_>, thread: u64) -> Result<MutexGuard<'_, State>, Error> {
        let state = self.state();
        if state.owner == Some((call.session.id, thread)) {
            Ok(state)
        } else {
            Err(Error::new(ErrorKind::InvalidInput, "this thread does not have the lock"))
        }
    }

    fn free(&self, state: &mut State) {
        (state.owner, state.depth, state.lost) = (None, 0, false);
        self.changed.notify_all();
    }

    fn lose(&self, call: &Call<'_>, thread: u64) {
        let mut state = self.state();
        if state.owner == Some((call.session.id, thread)) {
            state.lost = true;
            self.changed.notify_all();
        }
    }

    /// The process has ended: what it had is free, and the next to take it is told.
    pub(crate) fn bereave(&self, session: u128) {
        let mut state = self.state();
        if state.owner.is_some_and(|(owner, _)| owner == session) {
            state.died = true;
            self.free(&mut state);
        }
    }

    /// The methods that everything with a lock has.
    ///
    /// # Errors
    /// As for the methods.
    pub(crate) fn method(
        &self,
        method: u32,
        args: &mut Args<'_>,
        call: &Call<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        let thread = args.u64()?;
        match method {
            LOCK => {
                let patience = args.limit()?.map_or(Patience::Hope, Patience::Until);
                answer.put(&self.take(call, thread, patience)?)
            }
            UNLOCK => self.give(call, thread),
            LOST => {
                self.lose(call, thread);
                Ok(())
            }
            other => Err(no_method(other)),
        }
    }
}

impl Class for Mutual {
    fn call(
        &self,
        method: u32,
        args: &mut Args<'_>,
        call: &Call<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        self.method(method, args, call, answer)
    }

    fn abandoned(&self, session: u128) {
        self.bereave(session);
    }

    fn as_lock(&self) -> Option<&Mutual> {
        Some(self)
    }
}

fn deadlock(reason: &str) -> Error {
    Error::new(ErrorKind::Deadlock, reason)
}

/// Tells the server that a thread has ended which had a lock.
pub(crate) fn lost(link: &Arc<Link>, id: u64, thread: u64) {
    let arguments = |request: &mut Request<'_>| {
        request.u64(thread);
        Ok(())
    };
    // A server that is gone needs not to know.
    link.give_back(id, LOST, arguments);
}

/// The client's half of [`LOCK`].
///
/// # Errors
/// As for [`Mutual::take`].
pub(crate) fn take(handle: &Handle, limit: Option<Duration>) -> Result<Taken, Error> {
    handle.link().provide()?;
    let taken = handle.call(LOCK, |request| {
        request.u64(thread::number());
        wire::put_limit(request.bytes, limit);
        Ok(())
    })?;
    if taken != Taken::No {
        thread::took(handle);
    }
    Ok(taken)
}

/// The client's half of [`UNLOCK`]. With a server that is gone the lock is gone too.
pub(crate) fn give(handle: &Handle) {
    thread::gives_back(handle);
    handle.link().give_back(handle.id(), UNLOCK, |request| {
        request.u64(thread::number());
        Ok(())
    });
}

/// Makes a guard of what came of taking a lock.
pub(crate) fn guarded<G>(
    taken: Taken,
    guard: impl FnOnce() -> G,
) -> Result<Option<G>, LockError<G>> {
    match taken {
        Taken::Yes => Ok(Some(guard())),
        Taken::AfterDeath => Err(LockError::owner_died(guard())),
        Taken::No => Ok(None),
    }
}

/// What an untimed wait never gives.
pub(crate) fn untimed<G>(guard: Option<G>) -> Result<G, LockError<G>> {
    guard.ok_or_else(|| {
        LockError::from_error(Error::new(ErrorKind::TimedOut, "the server did not wait"))
    })
}

macro_rules! lock {
    ($(#[$attribute:meta])* $name:ident, $(#[$guard_attribute:meta])* $guard:ident) => {
        super::proxy! {
            $(#[$attribute])*
            pub struct $name;
        }

        impl $name {
            /// Waits for the lock and takes it; dropping the guard gives it back.
            ///
            /// # Errors
            /// Kind `OwnerDied`, with the lock, when the process that had it died; `Deadlock` when the wait would never end;
            /// `Disconnected` when the server is gone.
            pub fn lock(&self) -> Result<$guard<'_>, LockError<$guard<'_>>> {
                self.take(None).and_then(untimed)
            }

            /// Takes the lock if nobody has it.
            ///
            /// # Errors
            /// Kind `OwnerDied`, with the lock; `Deadlock` when the thread that has it has ended; `Disconnected`.
            pub fn try_lock(&self) -> Result<Option<$guard<'_>>, LockError<$guard<'_>>> {
                self.take(Some(Duration::ZERO))
            }

            /// As [`lock`](Self::lock), for at most `limit`.
            ///
            /// # Errors
            /// As for [`try_lock`](Self::try_lock).
            pub fn lock_timeout(&self, limit: Duration) -> Result<Option<$guard<'_>>, LockError<$guard<'_>>> {
                self.take(Some(limit))
            }

            fn take(&self, limit: Option<Duration>) -> Result<Option<$guard<'_>>, LockError<$guard<'_>>> {
                let taken = take(&self.handle, limit).map_err(LockError::from_error)?;
                guarded(taken, || $guard { handle: &self.handle, thread: PhantomData })
            }
        }

        $(#[$guard_attribute])*
        #[must_use = "the lock is given back at once if the guard is not kept"]
        pub struct $guard<'a> {
            pub(crate) handle: &'a Handle,
            /// The lock is the thread's, so the guard stays in it.
            thread: PhantomData<*const ()>,
        }

        impl Drop for $guard<'_> {
            fn drop(&mut self) {
                give(self.handle);
            }
        }

        impl fmt::Debug for $guard<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($guard), "({:?})"), self.handle)
            }
        }
    };
}

lock! {
    /// A lock in the server of a [`Manager`](crate::Manager): as [`Lock`](crate::Lock), but reachable from other machines.
    ///
    /// When the process that has it ends, the next to take it is told so, once.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// let m = Manager::start()?;
    /// let lock = m.lock()?;
    /// let guard = lock.lock()?;
    /// assert!(lock.try_lock()?.is_none());
    /// assert_eq!(lock.lock().unwrap_err().kind(), ErrorKind::Deadlock);
    /// drop(guard);
    /// assert!(lock.try_lock()?.is_some());
    /// # Ok::<(), Error>(())
    /// ```
    Lock,
    /// Has a [`Lock`] of a manager.
    LockGuard
}

lock! {
    /// A lock that the thread that has it can take again, in the server of a [`Manager`](crate::Manager): as
    /// [`RLock`](crate::RLock), but reachable from other machines.
    ///
    /// ```
    /// use pool_runtime::prelude::*;
    ///
    /// let m = Manager::start()?;
    /// let lock = m.rlock()?;
    /// let _outer = lock.lock()?;
    /// let _inner = lock.lock()?;
    /// # Ok::<(), Error>(())
    /// ```
    RLock,
    /// Has an [`RLock`] of a manager.
    RLockGuard
}
