//! The parties of a barrier: who waits for the others, and whether it is broken.
//!
//! Words: how many parties, the timeout of a plain `wait` (0 is none), what is under way (`PASSING`, so that one that dies in
//! the middle of letting the others go is succeeded), whether it is broken, how many have left their places; then the list of
//! those that wait, or were let go and have not left. Who waits or asks looks whether the others still live: a death breaks the
//! barrier. Who finds no place sleeps until one is left.

use super::ground::Ground;
use super::held::Patience;
use super::slices::{Slice, Slices};
use super::waiters::{self, BROKEN, TOLD, WAITING, Waiters};
use crate::error::{Error, ErrorKind};

const PARTIES: usize = 0;
const TIMEOUT: usize = 1;
const UNDER_WAY: usize = 2;
const IS_BROKEN: usize = 3;
/// Counts up with each place that is left.
const LEFT: usize = 4;
const LIST: usize = 5;

/// Nothing; all that wait are being let go.
const NOTHING: u64 = 0;
const PASSING: u64 = 1;

/// Words of a barrier with room for so many that wait, or were let go and have not left.
pub(crate) const fn words(places: usize) -> usize {
    LIST + waiters::words(places)
}

/// The state of a barrier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parties<G>(pub(crate) G);

impl<G: Ground> Parties<G> {
    /// What a new barrier begins with.
    pub(crate) fn begin(self, parties: u64, timeout: u64) {
        self.0.store(PARTIES, parties);
        self.0.store(TIMEOUT, timeout);
    }

    fn waiters(self) -> Waiters<G> {
        Waiters { ground: self.0, from: LIST }
    }

    /// Takes the barrier's own lock, and finishes what a dead one had begun.
    fn enter(self) -> Result<G::Held, Error> {
        let held = self.0.enter()?;
        if self.0.load(UNDER_WAY) == PASSING {
            self.pass();
        }
        if self.was_broken() {
            self.waiters().tell(usize::MAX, BROKEN);
        }
        Ok(held)
    }

    fn pass(self) {
        self.0.store(UNDER_WAY, PASSING);
        self.waiters().tell(usize::MAX, TOLD);
        self.0.store(UNDER_WAY, NOTHING);
    }

    fn break_it(self) {
        self.0.store(IS_BROKEN, 1);
        self.waiters().tell(usize::MAX, BROKEN);
    }

    /// One that died while it waited breaks the barrier; one that had been let go does not.
    fn inherit(self, told: u64) {
        if told == WAITING {
            self.break_it();
        }
    }

    /// Waits until all parties have come, and gives the order in which this one came.
    ///
    /// # Errors
    /// Kind `Broken` when the barrier is broken, or breaks meanwhile; and as for [`Ground::enter`].
    pub(crate) fn wait(self, patience: Patience) -> Result<usize, Error> {
        let (order, place) = self.come(patience)?;
        let Some(at) = place else { return Ok(order) };
        let slept = self.waiters().sleep(at, patience, || self.look_after());
        let told = self.leave(at)?;
        slept?;
        if told == TOLD { Ok(order) } else { Err(broken()) }
    }

    /// Comes, and gives the order in which it did, and its place; none when it was the last. Where there is no place, those that
    /// were let go will leave theirs.
    fn come(self, patience: Patience) -> Result<(usize, Option<usize>), Error> {
        let (mut slices, mut slept) = (Slices::new(patience), false);
        loop {
            let left = {
                let _own_lock = self.enter()?;
                let came = self.try_come();
                // One that was woken may not be the only one who can come now.
                if slept && !matches!(came, Ok(None)) {
                    self.0.wake(LEFT);
                }
                match came? {
                    Some(came) => return Ok(came),
                    None => self.0.load(LEFT),
                }
            };
            slept = true;
            if self.0.sleep(&mut slices, LEFT, left as u32) == Slice::Over {
                self.abort()?;
            }
        }
    }

    /// Comes, as [`come`](Self::come) does, if it is the last or there is a place.
    fn try_come(self) -> Result<Option<(usize, Option<usize>)>, Error> {
        if self.was_broken() {
            return Err(broken());
        }
        let order = self.waiters().count();
        if order + 1 >= self.parties() {
            return self.complete(order).map(|order| Some((order, None)));
        }
        match self.waiters().enter(|told| self.inherit(told)) {
            Ok(at) => Ok(Some((order, Some(at)))),
            Err(error) if error.kind() == ErrorKind::Full => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Leaves a place, and says what was told to its holder. One that was told nothing gives up, which breaks the barrier.
    fn leave(self, at: usize) -> Result<u64, Error> {
        let _own_lock = self.enter()?;
        if self.waiters().state(at) == WAITING {
            self.break_it();
        }
        let told = self.waiters().leave(at);
        self.0.store(LEFT, self.0.load(LEFT) + 1);
        self.0.wake(LEFT);
        Ok(told)
    }

    /// The last has come.
    fn complete(self, order: usize) -> Result<usize, Error> {
        self.waiters().forget_dead(|told| self.inherit(told));
        if self.was_broken() {
            return Err(broken());
        }
        self.pass();
        Ok(order)
    }

    fn look_after(self) -> Result<(), Error> {
        let _own_lock = self.enter()?;
        self.waiters().forget_dead(|told| self.inherit(told));
        Ok(())
    }

    /// Breaks the barrier, until it is reset.
    ///
    /// # Errors
    /// As for [`Ground::enter`].
    pub(crate) fn abort(self) -> Result<(), Error> {
        let _own_lock = self.enter()?;
        self.break_it();
        Ok(())
    }

    /// Breaks the barrier for those that wait, and makes it as new for those that come.
    ///
    /// # Errors
    /// As for [`Ground::enter`].
    pub(crate) fn reset(self) -> Result<(), Error> {
        let _own_lock = self.enter()?;
        self.break_it();
        self.0.store(IS_BROKEN, 0);
        Ok(())
    }

    pub(crate) fn parties(self) -> usize {
        self.0.load(PARTIES) as usize
    }

    /// The timeout of a plain wait, in nanoseconds; 0 is none.
    pub(crate) fn timeout(self) -> u64 {
        self.0.load(TIMEOUT)
    }

    /// How many wait now.
    pub(crate) fn count(self) -> usize {
        self.look();
        self.waiters().count()
    }

    pub(crate) fn is_broken(self) -> bool {
        self.look();
        self.was_broken()
    }

    /// Where one has died that waited, the barrier breaks now and not when another comes.
    fn look(self) {
        if self.waiters().has_dead() {
            // What keeps this process from it keeps nobody who waits from it.
            let _ = self.look_after();
        }
    }

    /// Whether it was broken when somebody looked last.
    fn was_broken(self) -> bool {
        self.0.load(IS_BROKEN) != 0
    }
}

#[cold]
fn broken() -> Error {
    Error::new(ErrorKind::Broken, "a party failed, or it was aborted or reset")
}
