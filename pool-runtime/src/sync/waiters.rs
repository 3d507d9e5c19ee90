//! A list of those that wait, in shared memory: who they are, in which order they came, and what they have been told.
//!
//! Two words per place. The first says what became of the one that waits there, and its low half is what it sleeps on:
//!
//! | bits 0–31 | bits 32–63 | |
//! |---|---|---|
//! | `FREE` 0 | 0 | nobody's |
//! | `WAITING` 1 | when it came, counted up | it waits |
//! | `TOLD` 2 | the same | it may go |
//! | `BROKEN` 3 | the same | it must go, with an error |
//!
//! The second says which process it is of. Every change is one store, made under the object's own lock, so a death leaves
//! each place as it was or as it was to be. Places of the dead are freed by whoever looks, after what follows from their death.

use super::ground::Ground;
use super::held::Patience;
use super::slices::{Slice, Slices};
use crate::error::{Error, ErrorKind};

const FREE: u64 = 0;
pub(crate) const WAITING: u64 = 1;
pub(crate) const TOLD: u64 = 2;
pub(crate) const BROKEN: u64 = 3;
const STATE: u64 = u32::MAX as u64;

/// Words of a list of `places` places.
pub(crate) const fn words(places: usize) -> usize {
    2 * places
}

/// The list in an object's words, from one of them to the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiters<G> {
    pub(crate) ground: G,
    pub(crate) from: usize,
}

impl<G: Ground> Waiters<G> {
    fn places(self) -> std::ops::Range<usize> {
        0..(self.ground.size() - self.from) / 2
    }

    fn place(self, at: usize) -> u64 {
        self.ground.load(self.from + 2 * at)
    }

    fn set(self, at: usize, place: u64) {
        self.ground.store(self.from + 2 * at, place);
    }

    fn is_of_the_dead(self, at: usize) -> bool {
        !self.ground.seems_alive(self.ground.load(self.from + 2 * at + 1))
    }

    /// Enters the caller, and gives its place. If there is none, those of the dead are [forgotten](Self::forget_dead) first.
    ///
    /// # Errors
    /// Kind `Full` when every place is taken by somebody who lives.
    pub(crate) fn enter(self, heir: impl FnMut(u64)) -> Result<usize, Error> {
        let free = |&at: &usize| self.place(at) == FREE;
        let found = self.places().find(free).or_else(|| {
            self.forget_dead(heir);
            self.places().find(free)
        });
        let at =
            found.ok_or_else(|| Error::new(ErrorKind::Full, "too many wait for one object"))?;
        let last = self.places().map(|at| self.place(at) >> 32).max().unwrap_or(0);
        self.ground.store(self.from + 2 * at + 1, self.ground.me());
        self.set(at, WAITING | (last + 1) << 32);
        Ok(at)
    }

    /// What the one at a place has been told.
    pub(crate) fn state(self, at: usize) -> u64 {
        self.place(at) & STATE
    }

    /// Frees a place, and says what its holder had been told.
    pub(crate) fn leave(self, at: usize) -> u64 {
        let state = self.state(at);
        self.set(at, FREE);
        state
    }

    /// How many wait.
    pub(crate) fn count(self) -> usize {
        self.places().filter(|&at| self.state(at) == WAITING).count()
    }

    /// Whether one of those that have a place has died. Without the object's own lock it is a hint.
    pub(crate) fn has_dead(self) -> bool {
        self.places().any(|at| self.place(at) != FREE && self.is_of_the_dead(at))
    }

    /// Frees the places of those that died while they waited, or were told and had not gone. `heir` hears of each what it had
    /// been told, and before its place is free: if the caller dies in between, the next one hears it again.
    pub(crate) fn forget_dead(self, mut heir: impl FnMut(u64)) {
        for at in self.places() {
            if self.place(at) != FREE && self.is_of_the_dead(at) {
                heir(self.state(at));
                self.set(at, FREE);
            }
        }
    }

    /// Tells the `n` that came first, of those that live.
    pub(crate) fn tell(self, n: usize, what: u64) {
        let mut waiting: Vec<_> = self.places().filter(|&at| self.state(at) == WAITING).collect();
        waiting.sort_by_key(|&at| self.place(at) >> 32);
        let mut told = 0;
        for at in waiting {
            if told == n {
                break;
            }
            if self.is_of_the_dead(at) {
                self.set(at, FREE);
                continue;
            }
            self.set(at, what | self.place(at) & !STATE);
            self.ground.wake(self.from + 2 * at);
            told += 1;
        }
    }

    /// Sleeps until the one at `at` is told something; `on_slice` is run now and then, to look after the dead.
    pub(crate) fn sleep(
        self,
        at: usize,
        patience: Patience,
        mut on_slice: impl FnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut slices = Slices::new(patience);
        while self.state(at) == WAITING {
            match self.ground.sleep(&mut slices, self.from + 2 * at, WAITING as u32) {
                Slice::Woken => {}
                Slice::Passed => on_slice()?,
                Slice::Over => break,
            }
        }
        Ok(())
    }
}
