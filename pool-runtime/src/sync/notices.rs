//! The notices of a condition: who waits for one, and to whom it was given.
//!
//! The state is a list of those that wait, under the condition's own lock, which is not the user's. A word to one that died
//! before it acted on it goes to the next. Where a death could make it one too many or one too few, it is one too many.

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

    /// Waits at a place, leaves it, and says whether it was told to.
    ///
    /// # Errors
    /// As for [`Ground::enter`].
    pub(crate) fn wait(self, at: usize, patience: Patience) -> Result<bool, Error> {
        let slept = self.waiters().sleep(at, patience, || self.pass_on());
        let _own_lock = self.0.enter()?;
        let told = self.waiters().leave(at) == TOLD;
        slept.map(|()| told)
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

    /// How many wait.
    pub(crate) fn count(self) -> usize {
        self.waiters().count()
    }
}
