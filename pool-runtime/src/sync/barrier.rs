//! `Barrier`: a place where several wait for each other. Its state is in `parties`.

use std::fmt;
use std::time::Duration;

use super::ground::Object;
use super::held::Patience;
use super::parties::{self, Parties};
use super::travels;
use crate::error::{Error, ErrorKind};
use crate::shm::handle::{Handle, Kind, Mark};

/// Room for those that were let go and have not left when others come. Where it is not enough, those wait for a place.
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
        let size = size(parties).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, format!("{parties} parties are too many"))
        })?;
        let handle = Handle::make(Mark::plain(Kind::Barrier), (size, 8), None, |_| ())?;
        let timeout = timeout
            .map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1));
        let barrier = Self { handle };
        barrier.state().begin(parties as u64, timeout);
        Ok(barrier)
    }

    fn state(&self) -> Parties<Object<'_>> {
        Parties(Object::of(&self.handle))
    }

    /// Waits until all parties have come. Gives the order in which this one came, from 0: each number once.
    ///
    /// # Errors
    /// Kind `Broken` when the barrier is broken, or breaks meanwhile.
    pub fn wait(&self) -> Result<usize, Error> {
        match self.state().timeout() {
            0 => self.state().wait(Patience::Forever),
            nanoseconds => self.wait_timeout(Duration::from_nanos(nanoseconds)),
        }
    }

    /// As [`wait`](Self::wait); after `limit` it breaks the barrier.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_timeout(&self, limit: Duration) -> Result<usize, Error> {
        self.state().wait(Patience::of(limit))
    }

    /// Breaks the barrier: all that wait get an error, and all that come, until [`reset`](Self::reset).
    ///
    /// # Errors
    /// Kind `Disconnected` in a child of a plain `fork`.
    pub fn abort(&self) -> Result<(), Error> {
        self.state().abort()
    }

    /// Makes the barrier as new. Those that wait get an error of kind `Broken`.
    ///
    /// # Errors
    /// As for [`abort`](Self::abort).
    pub fn reset(&self) -> Result<(), Error> {
        self.state().reset()
    }

    /// How many must come.
    pub fn parties(&self) -> usize {
        self.state().parties()
    }

    /// How many wait now. One that died while it waited does not: it has broken the barrier.
    pub fn n_waiting(&self) -> usize {
        self.state().count()
    }

    /// Whether it is broken, be it by the death of one that waited.
    pub fn is_broken(&self) -> bool {
        self.state().is_broken()
    }
}

/// Bytes of a barrier for so many; `None` when there are too many to be counted.
fn size(parties: usize) -> Option<usize> {
    let places = parties.checked_mul(2)?.checked_add(SPARE)?;
    (places < usize::MAX / 32).then(|| 8 * parties::words(places))
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let broken = if self.is_broken() { ", broken" } else { "" };
        write!(f, "Barrier({} of {} wait{broken})", self.n_waiting(), self.parties())
    }
}

travels!(Barrier, Barrier);
