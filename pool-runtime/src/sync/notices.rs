//! The notices of a condition: who waits for one, and to whom it was given.
//!
//! The state is a list of those that wait, under the condition's own lock, which is not the user's. A word to one that died
//! before it acted on it goes to the next: so one that was told keeps its place until it has the user's lock again. Where a
//! death could make it one too many or one too few, it is one too many.

use super::ground::Ground;
use super::held::Patience;
use super::waiters::{TOLD, Waiters};
use crate::error::Error;

/// The state of a condition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notices<G>(pub(crate) G);

impl<G: Ground> Notices<G> {
    fn waiters(self) -> Waiters<G> {
        Waiters { ground: self.0, from: 0 }
    }

    /// Enters the caller among those that wait, and gives its place.
    ///
    /// # Errors
    /// Kind `Full` when too many wait, and as for [`Ground::enter`].
    pub(crate) fn enlist(self) -> Result<usize, Error> {
        let _own_lock = self.0.enter()?;
        self.waiters().enter(|told| self.inherit(told))
    }

    /// Waits at a place until it is told to go, or the time is over.
    ///
    /// # Errors
    /// As for [`Ground::enter`].
    pub(crate) fn wait(self, at: usize, patience: Patience) -> Result<(), Error> {
        self.waiters().sleep(at, patience, || self.pass_on())
    }

    /// Leaves a place, and says whether it was told to, be it after its time was over. From here on no other hears the word: the
    /// caller has the user's lock again.
    ///
    /// # Errors
    /// As for [`Ground::enter`].
    pub(crate) fn leave(self, at: usize) -> Result<bool, Error> {
        let _own_lock = self.0.enter()?;
        Ok(self.waiters().leave(at) == TOLD)
    }

    /// Hands on what was said to those that died before they heard it.
    ///
    /// # Errors
    /// As for [`Ground::enter`].
    pub(crate) fn pass_on(self) -> Result<(), Error> {
        let _own_lock = self.0.enter()?;
        self.waiters().forget_dead(|told| self.inherit(told));
        Ok(())
    }

    /// What one that died had been told, the next one is told.
    fn inherit(self, told: u64) {
        if told == TOLD {
            self.waiters().tell(1, TOLD);
        }
    }

    /// Notifies the `n` that have waited longest, or as many as wait.
    ///
    /// # Errors
    /// As for [`Ground::enter`].
    pub(crate) fn notify(self, n: usize) -> Result<(), Error> {
        let _own_lock = self.0.enter()?;
        self.waiters().tell(n, TOLD);
        Ok(())
    }

    /// How many wait. What was said to those that died is handed on first.
    pub(crate) fn count(self) -> usize {
        if self.waiters().has_dead() {
            // What keeps this process from it keeps nobody who waits from it.
            let _ = self.pass_on();
        }
        self.waiters().count()
    }
}
