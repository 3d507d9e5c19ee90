//! `Condition`: waiting, under a lock, for what another does under the same lock. Its state is in `notices`.

use std::fmt;
use std::time::Duration;

use super::error::LockError;
use super::ground::Object;
use super::held::Patience;
use super::lock::Lock;
use super::notices::Notices;
use super::travels;
use super::waiters;
use super::word::Taken;
use crate::error::{Error, ErrorKind};
use crate::shm::handle::{Handle, Kind, Mark};

/// How many may wait for one condition.
const PLACES: usize = 500;

/// A condition that goes with a [`Lock`]: who holds the lock may wait until somebody else has changed what it guards.
///
/// The notification of a process that dies before it has the lock again goes to the next that waits. At most 500 threads, of
/// all processes together, can be in a `wait` of one condition at a time.
///
/// ```
/// use pool_runtime::{Condition, Lock, RawValue};
/// use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
///
/// let (lock, ready) = (Lock::new()?, RawValue::<AtomicU32>::new(0)?);
/// let changed = Condition::new(&lock)?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let _guard = lock.lock().expect("the lock");
///         ready.store(1, SeqCst);
///         changed.notify_one().expect("notifies");
///     });
///     let guard = changed.wait_for(lock.lock()?, || ready.load(SeqCst) == 1)?;
///     drop(guard);
///     Ok::<(), pool_runtime::Error>(())
/// })?;
/// # Ok::<(), pool_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct Condition {
    handle: Handle,
}

/// What a wait gives back: the guard, or why not.
type Waited<G> = Result<G, LockError<G>>;

impl Condition {
    /// Makes a condition that goes with `lock`.
    ///
    /// # Errors
    /// Kind `Io` or `Full` when shared memory has run out.
    pub fn new(lock: &Lock) -> Result<Self, Error> {
        let size = waiters::words(PLACES) * 8;
        Ok(Self {
            handle: Handle::make(
                Mark::plain(Kind::Condition),
                (size, 8),
                Some(&lock.handle),
                |_| (),
            )?,
        })
    }

    fn notices(&self) -> Notices<Object<'_>> {
        Notices(Object::of(&self.handle))
    }

    /// Gives the lock back, waits until it is notified, and takes the lock again.
    ///
    /// # Errors
    /// As for [`Lock::lock`]; kind `InvalidInput` when the guard is another lock's, and `Full` when 500 wait already. With these
    /// two the lock is given back.
    pub fn wait<G: Guard>(&self, guard: G) -> Waited<G> {
        self.wait_with(guard, Patience::Forever).map(|(guard, _)| guard)
    }

    /// As [`wait`](Self::wait), at most for `limit`; says whether it was notified.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_timeout<G: Guard>(
        &self,
        guard: G,
        limit: Duration,
    ) -> Result<(G, bool), LockError<G>> {
        self.wait_with(guard, Patience::of(limit))
    }

    /// Waits until `pred` holds, which is asked under the lock: at once, and after each notification.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_for<G: Guard>(&self, mut guard: G, mut pred: impl FnMut() -> bool) -> Waited<G> {
        while !pred() {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait_for`](Self::wait_for), at most for `limit`; says what `pred` said last.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_for_timeout<G: Guard>(
        &self,
        mut guard: G,
        mut pred: impl FnMut() -> bool,
        limit: Duration,
    ) -> Result<(G, bool), LockError<G>> {
        let patience = Patience::of(limit);
        loop {
            if pred() {
                return Ok((guard, true));
            }
            let notified;
            (guard, notified) = self.wait_with(guard, patience)?;
            if !notified {
                let holds = pred();
                return Ok((guard, holds));
            }
        }
    }

    fn wait_with<G: Guard>(
        &self,
        mut guard: G,
        patience: Patience,
    ) -> Result<(G, bool), LockError<G>> {
        let held = guard.held();
        if !held.guards(&self.handle) {
            let text = "the guard is not of the lock that the condition was made with";
            return Err(LockError::from_error(Error::new(ErrorKind::InvalidInput, text)));
        }
        let at = self.notices().enlist().map_err(LockError::from_error)?;
        let mut slept = Ok(());
        let taken = held.without(|| slept = self.notices().wait(at, patience));
        // Only now, however it went: the word to one that dies while it queues for the lock goes to the next.
        let told = slept.and(self.notices().leave(at));
        match taken {
            Ok(Taken::Plainly) => told.map(|told| (guard, told)).map_err(LockError::from_error),
            Ok(Taken::FromTheDead) => Err(LockError::owner_died(guard)),
            Err(refusal) => Err(LockError::from_error(refusal.into())),
        }
    }

    /// Notifies the one that has waited longest, if any waits.
    ///
    /// # Errors
    /// Kind `Disconnected` in a child of a plain `fork`.
    pub fn notify_one(&self) -> Result<(), Error> {
        self.notify(1)
    }

    /// Notifies the `n` that have waited longest, or as many as wait.
    ///
    /// # Errors
    /// As for [`notify_one`](Self::notify_one).
    pub fn notify(&self, n: usize) -> Result<(), Error> {
        self.notices().notify(n)
    }

    /// Notifies all that wait.
    ///
    /// # Errors
    /// As for [`notify_one`](Self::notify_one).
    pub fn notify_all(&self) -> Result<(), Error> {
        self.notify(usize::MAX)
    }

    /// How many wait, of those that live.
    pub fn n_waiting(&self) -> usize {
        self.notices().count()
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({} wait)", self.n_waiting())
    }
}

travels!(Condition, Condition);

/// The guards that a condition can wait with: of a [`Lock`], and of values and arrays that a lock was given to.
pub trait Guard: sealed::Lends {}

impl<G: sealed::Lends> Guard for G {}

pub(crate) mod sealed {
    use crate::sync::Held;

    /// A guard is a held lock, and what it lends.
    pub trait Lends: Sized {
        #[doc(hidden)]
        #[expect(
            private_interfaces,
            reason = "nobody outside can name this trait, let alone call it"
        )]
        fn held(&mut self) -> &mut Held;
    }
}
