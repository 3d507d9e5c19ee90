//! A lock on a shared object, held by this thread.

use std::marker::PhantomData;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::{Duration, Instant};

use super::error::LockError;
use super::word::{self, Ground, Refused, Taken};
use crate::error::{Error, ErrorKind};
use crate::shm::handle::Handle;
use crate::shm::layout::Slot;
use crate::shm::owner;
use crate::shm::process::Own;
use crate::sys::alive::Thread;
use crate::sys::{fork, futex};

/// How long to wait for a lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    Forever,
    Until(Instant),
    None,
}

impl Patience {
    /// From now on; a time too long to be reckoned with is for ever, but for what a thread's own lock gives.
    pub(crate) fn of(limit: Duration) -> Self {
        let far = Duration::from_secs(1 << 32);
        Instant::now()
            .checked_add(limit)
            .or_else(|| Instant::now().checked_add(far))
            .map_or(Self::Forever, Self::Until)
    }

    pub(crate) fn left(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::Until(end) => Some(end.saturating_duration_since(Instant::now())),
            Self::None => Some(Duration::ZERO),
        }
    }
}

/// The word of a slot, in memory that processes share.
struct Shared<'a> {
    own: &'static Own,
    slot: &'a Slot,
    patience: Patience,
}

impl Ground for Shared<'_> {
    const LOOKS: u32 = 30;

    #[inline]
    fn load(&self) -> u64 {
        self.slot.lock.load(Relaxed)
    }

    #[inline]
    fn replace(&self, old: u64, new: u64) -> bool {
        self.slot.lock.compare_exchange(old, new, Acquire, Relaxed).is_ok()
    }

    #[inline]
    fn swap(&self, new: u64) -> u64 {
        self.slot.lock.swap(new, AcqRel)
    }

    fn sleep(&self, word: u64, limit: Duration) -> bool {
        let begun = Instant::now();
        futex::wait(futex::low_half(&self.slot.lock), word as u32, Some(limit));
        begun.elapsed() < limit
    }

    fn wake_one(&self) {
        futex::wake(futex::low_half(&self.slot.lock), 1);
    }

    fn fate(&self, word: u64) -> Thread {
        owner::fate(self.own.arena, word)
    }

    fn left(&self) -> Option<Duration> {
        self.patience.left()
    }
}

/// Takes the lock that guards an object.
#[inline]
pub(crate) fn acquire(handle: &Handle, patience: Patience) -> Result<Taken, Refusal> {
    acquire_slot(handle.own(), handle.lock_slot(), patience)
}

/// One slot's own lock, held: of objects with more than one lock, which keep no guard beside them.
#[derive(Debug)]
pub(crate) struct Grip<'a> {
    handle: &'a Handle,
    slot: &'a Slot,
    _of_this_thread: PhantomData<*const ()>,
}

/// Takes the lock of `slot`, which `handle` holds. That its last holder died is no matter to the caller.
///
/// # Errors
/// Kind `TimedOut` when it did not come free, and what else [`Refusal`] says.
#[inline]
pub(crate) fn grip<'a>(
    handle: &'a Handle,
    slot: &'a Slot,
    patience: Patience,
) -> Result<Grip<'a>, Error> {
    acquire_slot(handle.own(), slot, patience)?;
    Ok(Grip { handle, slot, _of_this_thread: PhantomData })
}

impl Drop for Grip<'_> {
    #[inline]
    fn drop(&mut self) {
        if !fork::is_copy() {
            word::unlock(&Shared {
                own: self.handle.own(),
                slot: self.slot,
                patience: Patience::None,
            });
        }
    }
}

#[inline]
fn acquire_slot(own: &'static Own, slot: &Slot, patience: Patience) -> Result<Taken, Refusal> {
    if fork::is_copy() {
        return Err(Refusal::Copy);
    }
    word::lock(&Shared { own, slot, patience }, owner::me(own)).map_err(Refusal::Refused)
}

/// Takes an object's own lock, for a few steps on its state. Whoever does so puts right first what a dead one left half done.
///
/// # Errors
/// Kind `Disconnected` in a plain fork.
pub(crate) fn enter(handle: &Handle) -> Result<Held, Error> {
    acquire_slot(handle.own(), handle.slot(), Patience::Forever)?;
    Ok(Held::of(handle.own(), handle.slot()))
}

/// Why a lock was not got.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    Refused(Refused),
    /// This process is a plain fork, and no member of the tree.
    Copy,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Refused(Refused::OwnThread) => {
                Self::new(ErrorKind::Deadlock, "this thread holds the lock already")
            }
            Refusal::Refused(Refused::HolderEnded) => Self::new(
                ErrorKind::Deadlock,
                "the thread that held the lock ended without giving it back, and its process lives",
            ),
            Refusal::Refused(Refused::NotNow) => {
                Self::new(ErrorKind::TimedOut, "the lock did not come free")
            }
            Refusal::Copy => Self::new(
                ErrorKind::Disconnected,
                "in a plain fork the handles of the parent cannot be used",
            ),
        }
    }
}

/// The outcome of [`acquire`] with the guard that goes with it; `None` when it was not to be had in time.
pub(crate) fn outcome<G>(
    taken: Result<Taken, Refusal>,
    guard: impl FnOnce() -> G,
) -> Result<Option<G>, LockError<G>> {
    match taken {
        Ok(Taken::Plainly) => Ok(Some(guard())),
        Ok(Taken::FromTheDead) => Err(LockError::owner_died(guard())),
        Err(Refusal::Refused(Refused::NotNow)) => Ok(None),
        Err(refusal) => Err(LockError::from_error(refusal.into())),
    }
}

/// A lock that is held; dropping this gives it back. It is the thread's that took it, and whoever keeps it keeps the handle
/// borrowed.
#[derive(Debug)]
pub(crate) struct Held {
    own: &'static Own,
    slot: &'static Slot,
    /// `false` when it was given back and could not be taken again.
    is_held: bool,
    _of_this_thread: PhantomData<*const ()>,
}

impl Held {
    /// The lock that guards the object of `handle` was just taken by this thread.
    #[inline]
    pub(crate) fn new(handle: &Handle) -> Self {
        Self::of(handle.own(), handle.lock_slot())
    }

    #[inline]
    fn of(own: &'static Own, slot: &'static Slot) -> Self {
        Self { own, slot, is_held: true, _of_this_thread: PhantomData }
    }

    /// Whether this is the lock that guards the object of `handle`.
    pub(crate) fn guards(&self, handle: &Handle) -> bool {
        std::ptr::eq(self.slot, handle.lock_slot())
    }

    /// Gives the lock back, runs `meanwhile`, and takes it again.
    pub(crate) fn without(&mut self, meanwhile: impl FnOnce()) -> Result<Taken, Refusal> {
        self.is_held = false;
        release(self.own, self.slot);
        meanwhile();
        let taken = acquire_slot(self.own, self.slot, Patience::Forever)?;
        self.is_held = true;
        Ok(taken)
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        // A copy of the process that took it holds nothing.
        if self.is_held && !fork::is_copy() {
            release(self.own, self.slot);
        }
    }
}

#[inline]
fn release(own: &'static Own, slot: &Slot) {
    word::unlock(&Shared { own, slot, patience: Patience::None });
}

/// Who holds the lock of an object, in words.
pub(crate) fn describe(handle: &Handle) -> &'static str {
    let (own, word) = (handle.own(), handle.lock_slot().lock.load(Relaxed));
    match owner::process_of(word) {
        None => "nobody",
        Some(_) if owner::holder(word) == owner::me(own) => "this thread",
        Some(process) if process == own.index => "another thread",
        Some(_) => "another process",
    }
}

/// Whether the calling thread holds the lock of an object.
#[inline]
pub(crate) fn is_mine(handle: &Handle) -> bool {
    owner::holder(handle.lock_slot().lock.load(Relaxed)) == owner::me(handle.own())
}
