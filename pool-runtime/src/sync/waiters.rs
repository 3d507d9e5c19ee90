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
//! each place as it was or as it was to be. Places of the dead are freed by whoever looks.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::held::Patience;
use super::slices::{Slice, Slices};
use crate::error::{Error, ErrorKind};
use crate::shm::process;
use crate::sys::futex;

const FREE: u64 = 0;
pub(crate) const WAITING: u64 = 1;
pub(crate) const TOLD: u64 = 2;
pub(crate) const BROKEN: u64 = 3;
const STATE: u64 = u32::MAX as u64;

/// Words of a list of `places` places.
pub(crate) const fn words(places: usize) -> usize {
    2 * places
}

/// The list in an object's words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiters<'a>(pub(crate) &'a [AtomicU64]);

impl<'a> Waiters<'a> {
    fn places(self) -> impl DoubleEndedIterator<Item = (usize, &'a AtomicU64, &'a AtomicU64)> {
        self.0.chunks_exact(2).enumerate().map(|(at, words)| (at, &words[0], &words[1]))
    }

    fn place(self, at: usize) -> &'a AtomicU64 {
        &self.0[2 * at]
    }

    /// Enters the caller, and gives its place.
    ///
    /// # Errors
    /// Kind `Full` when every place is taken by somebody who lives.
    pub(crate) fn enter(self, me: u64) -> Result<usize, Error> {
        let free = |(_, state, _): &(usize, &AtomicU64, &AtomicU64)| state.load(Acquire) == FREE;
        let found = self.places().find(free).or_else(|| {
            self.forget_dead();
            self.places().find(free)
        });
        let (at, state, process) =
            found.ok_or_else(|| Error::new(ErrorKind::Full, "too many wait for one object"))?;
        let last = self.places().map(|(_, state, _)| state.load(Acquire) >> 32).max().unwrap_or(0);
        process.store(me, Release);
        state.store(WAITING | (last + 1) << 32, Release);
        Ok(at)
    }

    /// What the one at a place has been told.
    pub(crate) fn state(self, at: usize) -> u64 {
        self.place(at).load(Acquire) & STATE
    }

    /// Frees a place, and says what its holder had been told.
    pub(crate) fn leave(self, at: usize) -> u64 {
        let state = self.state(at);
        self.place(at).store(FREE, Release);
        state
    }

    /// How many wait.
    pub(crate) fn count(self) -> usize {
        self.places().filter(|(_, state, _)| state.load(Acquire) & STATE == WAITING).count()
    }

    /// Whether one that waits, or was told and has not gone, has died; its place is freed. A word to it is lost.
    pub(crate) fn forget_dead(self) -> Lost {
        let mut lost = Lost::default();
        for (_, state, process) in self.places() {
            let now = state.load(Acquire);
            if now != FREE && !process::word_seems_alive(process.load(Acquire)) {
                lost.waiting += usize::from(now & STATE == WAITING);
                lost.told += usize::from(now & STATE == TOLD);
                state.store(FREE, Release);
            }
        }
        lost
    }

    /// Tells the `n` that came first, of those that live; says how many there were.
    pub(crate) fn tell(self, n: usize, what: u64) -> usize {
        let mut waiting: Vec<_> =
            self.places().filter(|(_, state, _)| state.load(Acquire) & STATE == WAITING).collect();
        waiting.sort_by_key(|(_, state, _)| state.load(Acquire) >> 32);
        let mut told = 0;
        for (_, state, process) in waiting {
            if told == n {
                break;
            }
            if !process::word_seems_alive(process.load(Acquire)) {
                state.store(FREE, Release);
                continue;
            }
            state.store(what | state.load(Acquire) & !STATE, Release);
            futex::wake(futex::low_half(state), 1);
            told += 1;
        }
        told
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
            match slices.sleep(futex::low_half(self.place(at)), WAITING as u32) {
                Slice::Woken => {}
                Slice::Passed => on_slice()?,
                Slice::Over => break,
            }
        }
        Ok(())
    }
}

/// What the dead had with them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lost {
    pub(crate) waiting: usize,
    /// Words that nobody acted on.
    pub(crate) told: usize,
}
