//! The permits of a semaphore: how many are free, and how many each process has.
//!
//! Words: how many permits are free, the bound, whether anybody sleeps, the bell they sleep on; the journal; then the accounts,
//! a process and how many permits it has. The free permits and an account change together: what they are to be is written into
//! the journal first, and whoever takes the semaphore's own lock next finishes what a dead one had begun.

use super::ground::Ground;
use super::held::Patience;
use super::slices::{Slice, Slices};
use crate::error::{Error, ErrorKind};

const AVAILABLE: usize = 0;
const BOUND: usize = 1;
/// Not 0: somebody may be asleep on the bell.
const SLEEPERS: usize = 2;
/// Counts up when permits become free.
const BELL: usize = 3;
/// The journal: 1 while it holds; what is to be available; the account, its process and its permits.
const HOLDS: usize = 4;
const NEW_AVAILABLE: usize = 5;
const ACCOUNT: usize = 6;
const NEW_PROCESS: usize = 7;
const NEW_PERMITS: usize = 8;
const ACCOUNTS: usize = 9;
const NO_ACCOUNT: usize = usize::MAX;

/// Words of a semaphore that remembers the permits of so many processes. Those of others are lost when they die.
pub(crate) const fn words(accounts: usize) -> usize {
    ACCOUNTS + 2 * accounts
}

/// The state of a semaphore.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permits<G>(pub(crate) G);

impl<G: Ground> Permits<G> {
    /// What a new semaphore begins with.
    pub(crate) fn begin(self, permits: u64, bound: u64) {
        self.0.store(AVAILABLE, permits);
        self.0.store(BOUND, bound);
    }

    pub(crate) fn available(self) -> u64 {
        self.0.load(AVAILABLE)
    }

    fn accounts(self) -> std::ops::Range<usize> {
        0..(self.0.size() - ACCOUNTS) / 2
    }

    /// The process of an account. Accounts are given out from the first on, and none becomes nobody's again: 0 ends them.
    fn process(self, at: usize) -> u64 {
        self.0.load(ACCOUNTS + 2 * at)
    }

    fn permits(self, at: usize) -> u64 {
        self.0.load(ACCOUNTS + 2 * at + 1)
    }

    /// Takes the semaphore's own lock, and finishes what a dead one had begun.
    fn enter(self) -> Result<G::Held, Error> {
        let held = self.0.enter()?;
        if self.0.load(HOLDS) != 0 {
            self.apply();
        }
        Ok(held)
    }

    /// Both at once: `available` permits are free, and account `at` is `process`'s, with `permits`.
    fn change(self, available: u64, at: usize, process: u64, permits: u64) {
        self.0.store(NEW_AVAILABLE, available);
        self.0.store(ACCOUNT, at as u64);
        self.0.store(NEW_PROCESS, process);
        self.0.store(NEW_PERMITS, permits);
        self.0.store(HOLDS, 1);
        self.apply();
    }

    fn apply(self) {
        let at = self.0.load(ACCOUNT) as usize;
        if self.accounts().contains(&at) {
            self.0.store(ACCOUNTS + 2 * at, self.0.load(NEW_PROCESS));
            self.0.store(ACCOUNTS + 2 * at + 1, self.0.load(NEW_PERMITS));
        }
        self.0.store(AVAILABLE, self.0.load(NEW_AVAILABLE));
        self.0.store(HOLDS, 0);
    }

    /// Takes a permit for this process; whether there was one in time.
    ///
    /// # Errors
    /// As for [`Ground::enter`].
    pub(crate) fn acquire(self, patience: Patience) -> Result<bool, Error> {
        let (mut slices, mut slept) = (Slices::new(patience), false);
        loop {
            let seen = self.0.load(BELL);
            let got = {
                let _own_lock = self.enter()?;
                let got = self.try_take();
                if !got || slept {
                    self.leave_word(got);
                }
                got
            };
            if got {
                return Ok(true);
            }
            slept = true;
            match self.0.sleep(&mut slices, BELL, seen as u32) {
                Slice::Over if !self.take_from_dead()? => return Ok(false),
                Slice::Passed => drop(self.take_from_dead()?),
                _ => {}
            }
        }
    }

    /// One that goes to sleep says so. One that was woken leaves others asleep, as far as it knows, and wakes the next one if
    /// there is a permit: who gave that back meanwhile had found nobody's word.
    fn leave_word(self, got: bool) {
        self.0.store(SLEEPERS, 1);
        if got && self.available() > 0 {
            self.ring();
        }
    }

    fn try_take(self) -> bool {
        let available = self.available();
        if available == 0 {
            return false;
        }
        let me = self.0.me();
        let at = self.account_of(me).or_else(|| self.accounts().find(|&at| self.permits(at) == 0));
        let permits = at.map_or(0, |at| self.permits(at));
        self.change(available - 1, at.unwrap_or(NO_ACCOUNT), me, permits + 1);
        true
    }

    fn account_of(self, process: u64) -> Option<usize> {
        let used = |&at: &usize| self.process(at) != 0;
        self.accounts().take_while(used).find(|&at| self.process(at) == process)
    }

    /// Frees the permits of processes that died; whether there were any. Their accounts stay, empty, for others.
    fn take_from_dead(self) -> Result<bool, Error> {
        let _own_lock = self.enter()?;
        let mut found = false;
        for at in self.accounts() {
            let (process, permits) = (self.process(at), self.permits(at));
            if process == 0 {
                break;
            }
            if permits > 0 && !self.0.seems_alive(process) {
                self.change(self.with(permits, at, 0), at, process, 0);
                found = true;
            }
        }
        if found {
            self.ring();
        }
        Ok(found)
    }

    /// How many are free with so many more, once account `at` has only `left`. A permit that was released by hand before, or is
    /// out again since, does not count twice: what is free and what others have is never more than the bound.
    fn with(self, more: u64, at: usize, left: u64) -> u64 {
        let used = self.accounts().take_while(|&other| self.process(other) != 0);
        let had: u64 = used.map(|other| if other == at { left } else { self.permits(other) }).sum();
        let available = self.available();
        let room = self.0.load(BOUND).saturating_sub(had).saturating_sub(available);
        available + more.min(room)
    }

    /// A permit of this process ends; `free` of it becomes free.
    pub(crate) fn leave(self, free: u64) {
        let Ok(_own_lock) = self.enter() else { return };
        let me = self.0.me();
        let at = self.account_of(me).unwrap_or(NO_ACCOUNT);
        let left = if at == NO_ACCOUNT { 0 } else { self.permits(at).saturating_sub(1) };
        self.change(self.with(free, at, left), at, me, left);
        if free > 0 {
            self.ring();
        }
    }

    /// Adds a permit.
    ///
    /// # Errors
    /// Kind `InvalidInput` when there would be too many, and as for [`Ground::enter`].
    pub(crate) fn release(self) -> Result<(), Error> {
        let _own_lock = self.enter()?;
        if self.available() >= self.0.load(BOUND) {
            return Err(Error::new(ErrorKind::InvalidInput, "the semaphore is released too often"));
        }
        self.change(self.available() + 1, NO_ACCOUNT, 0, 0);
        self.ring();
        Ok(())
    }

    fn ring(self) {
        self.0.store(BELL, self.0.load(BELL) + 1);
        if self.0.load(SLEEPERS) != 0 {
            self.0.store(SLEEPERS, 0);
            self.0.wake(BELL);
        }
    }
}
