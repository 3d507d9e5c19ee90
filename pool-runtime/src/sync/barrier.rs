//! `Barrier`: a place where several wait for each other.
//!
//! Words: how many parties, the timeout of a plain `wait` (0 is none), what is under way (`PASSING`, so that one that dies in
//! the middle of letting the others go is succeeded), whether it is broken; then the list of those that wait. Who waits looks
//! whether the others still live: a death breaks the barrier.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use super::held::{Held, Patience, enter};
use super::travels;
use super::waiters::{self, BROKEN, TOLD, WAITING, Waiters};
use crate::error::{Error, ErrorKind};
use crate::shm::handle::{Handle, Kind, Mark};

const PARTIES: usize = 0;
const TIMEOUT: usize = 1;
const UNDER_WAY: usize = 2;
const IS_BROKEN: usize = 3;
const LIST: usize = 4;

/// Nothing; all that wait are being let go.
const NOTHING: u64 = 0;
const PASSING: u64 = 1;

/// Room for those that were let go and have not left when others come.
const SPARE: usize = 64;

/// A barrier for a fixed number of parties: each waits until all have come.
///
/// When a party fails (its timeout passes, it aborts, or its process dies while it waits) the barrier breaks: all that wait, and
/// all that come, get an error of kind `Broken`, until it is reset.
///
/// ```
/// let barrier = pool_runtime::Barrier::new(2)?;
/// let mut order = std::thread::scope(|scope| {
///     let other = scope.spawn(|| barrier.wait());
///     Ok::<_, pool_runtime::Error>([barrier.wait()?, other.join().expect("no panic")?])
/// })?;
/// order.sort();
/// assert_eq!(order, [0, 1]);
/// # Ok::<(), pool_runtime::Error>(())
/// ```
#[derive(Clone)]
pub struct Barrier {
    handle: Handle,
}

impl Barrier {
    /// Makes a barrier for `parties`.
    ///
    /// # Errors
    /// Kind `InvalidInput` for none, `Io` or `Full` when shared memory has run out.
    pub fn new(parties: usize) -> Result<Self, Error> {
        Self::make(parties, None)
    }

    /// Makes a barrier whose [`wait`](Self::wait) breaks it after `timeout`.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_timeout(parties: usize, timeout: Duration) -> Result<Self, Error> {
        Self::make(parties, Some(timeout))
    }

    fn make(parties: usize, timeout: Option<Duration>) -> Result<Self, Error> {
        if parties == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "a barrier needs at least one party"));
        }
        let too_many =
            || Error::new(ErrorKind::InvalidInput, format!("{parties} parties are too many"));
        let places = parties
            .checked_mul(2)
            .and_then(|places| places.checked_add(SPARE))
            .ok_or_else(too_many)?;
        let size = waiters::words(places)
            .checked_add(LIST)
            .and_then(|words| words.checked_mul(8))
            .ok_or_else(too_many)?;
        let handle = Handle::make(Mark::plain(Kind::Barrier), (size, 8), None, |_| ())?;
        handle.words()[PARTIES].store(parties as u64, Release);
        let timeout = timeout
            .map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1));
        handle.words()[TIMEOUT].store(timeout, Release);
        Ok(Self { handle })
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        &self.handle.words()[at]
    }

    fn waiters(&self) -> Waiters<'_> {
        Waiters(&self.handle.words()[LIST..])
    }

    /// Takes the barrier's own lock, and finishes what a dead one had begun.
    fn enter(&self) -> Result<Held, Error> {
        let held = enter(&self.handle)?;
        if self.word(UNDER_WAY).load(Acquire) == PASSING {
            self.pass();
        }
        if self.is_broken() {
            self.waiters().tell(usize::MAX, BROKEN);
        }
        Ok(held)
    }

    fn pass(&self) {
        self.word(UNDER_WAY).store(PASSING, Release);
        self.waiters().tell(usize::MAX, TOLD);
        self.word(UNDER_WAY).store(NOTHING, Release);
    }

    fn break_it(&self) {
        self.word(IS_BROKEN).store(1, Release);
        self.waiters().tell(usize::MAX, BROKEN);
    }

    /// Waits until all parties have come. Gives the order in which this one came, from 0: each number once.
    ///
    /// # Errors
    /// Kind `Broken` when the barrier is broken, or breaks meanwhile.
    pub fn wait(&self) -> Result<usize, Error> {
        match self.word(TIMEOUT).load(Acquire) {
            0 => self.wait_with(Patience::Forever),
            nanoseconds => self.wait_timeout(Duration::from_nanos(nanoseconds)),
        }
    }

    /// As [`wait`](Self::wait); after `limit` it breaks the barrier.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_timeout(&self, limit: Duration) -> Result<usize, Error> {
        self.wait_with(Patience::of(limit))
    }

    fn wait_with(&self, patience: Patience) -> Result<usize, Error> {
        let (order, at) = {
            let _own_lock = self.enter()?;
            if self.is_broken() {
                return Err(broken());
            }
            let order = self.waiters().count();
            if order + 1 >= self.parties() {
                return self.complete(order);
            }
            (order, self.waiters().enter(self.handle.own().word)?)
        };
        let slept = self.waiters().sleep(at, patience, || self.look_after());
        let _own_lock = self.enter()?;
        if self.waiters().state(at) == WAITING {
            self.break_it();
        }
        let told = self.waiters().leave(at);
        slept?;
        if told == TOLD { Ok(order) } else { Err(broken()) }
    }

    /// The last has come.
    fn complete(&self, order: usize) -> Result<usize, Error> {
        if self.waiters().forget_dead().waiting > 0 {
            self.break_it();
            return Err(broken());
        }
        self.pass();
        Ok(order)
    }

    fn look_after(&self) -> Result<(), Error> {
        let _own_lock = self.enter()?;
        if self.waiters().forget_dead().waiting > 0 {
            self.break_it();
        }
        Ok(())
    }

    /// Breaks the barrier: all that wait get an error, and all that come, until [`reset`](Self::reset).
    ///
    /// # Errors
    /// Kind `Disconnected` in a child of a plain `fork`.
    pub fn abort(&self) -> Result<(), Error> {
        let _own_lock = self.enter()?;
        self.break_it();
        Ok(())
    }

    /// Makes the barrier as new. Those that wait get an error of kind `Broken`.
    ///
    /// # Errors
    /// As for [`abort`](Self::abort).
    pub fn reset(&self) -> Result<(), Error> {
        let _own_lock = self.enter()?;
        self.break_it();
        self.word(IS_BROKEN).store(0, Release);
        Ok(())
    }

    /// How many must come.
    pub fn parties(&self) -> usize {
        self.word(PARTIES).load(Acquire) as usize
    }

    /// How many wait now.
    pub fn n_waiting(&self) -> usize {
        self.waiters().count()
    }

    /// Whether it is broken.
    pub fn is_broken(&self) -> bool {
        self.word(IS_BROKEN).load(Acquire) != 0
    }
}

#[cold]
fn broken() -> Error {
    Error::new(ErrorKind::Broken, "a party failed, or it was aborted or reset")
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let broken = if self.is_broken() { ", broken" } else { "" };
        write!(f, "Barrier({} of {} wait{broken})", self.n_waiting(), self.parties())
    }
}

travels!(Barrier, Barrier);
