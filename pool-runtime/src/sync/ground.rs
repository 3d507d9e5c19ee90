//! What the state of a shared object stands on: words that change under the object's own lock, and sleep on them.
//!
//! `Object` is one in shared memory. Models have grounds of their own, on which a process can die before each of its steps.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::held::{self, Held};
use super::slices::{Slice, Slices};
use crate::error::Error;
use crate::shm::handle::Handle;
use crate::shm::process;
use crate::sys::futex;

/// An object's words, and what its algorithm asks of the world.
pub(crate) trait Ground: Copy {
    /// The object's own lock, until it is dropped.
    type Held;

    /// Takes the object's own lock.
    ///
    /// # Errors
    /// As for [`held::enter`].
    fn enter(self) -> Result<Self::Held, Error>;
    /// How many words there are.
    fn size(self) -> usize;
    /// Acquire.
    fn load(self, at: usize) -> u64;
    /// Release: whoever sees a step of a dead process sees all steps before it.
    fn store(self, at: usize, value: u64);
    /// The word that names this process.
    fn me(self) -> u64;
    /// Whether the process that such a word names lives, or did a moment ago.
    fn seems_alive(self, process: u64) -> bool;
    /// Sleeps while the low half of a word is `value`.
    fn sleep(self, slices: &mut Slices, at: usize, value: u32) -> Slice;
    /// Wakes one that sleeps on a word.
    fn wake(self, at: usize);
}

/// An object in shared memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'a> {
    handle: &'a Handle,
    words: &'a [AtomicU64],
}

impl<'a> Object<'a> {
    pub(crate) fn of(handle: &'a Handle) -> Self {
        Self { handle, words: handle.words() }
    }
}

impl Ground for Object<'_> {
    type Held = Held;

    fn enter(self) -> Result<Held, Error> {
        held::enter(self.handle)
    }

    fn size(self) -> usize {
        self.words.len()
    }

    fn load(self, at: usize) -> u64 {
        self.words[at].load(Acquire)
    }

    fn store(self, at: usize, value: u64) {
        self.words[at].store(value, Release);
    }

    fn me(self) -> u64 {
        self.handle.own().word
    }

    fn seems_alive(self, process: u64) -> bool {
        process::word_seems_alive(process)
    }

    fn sleep(self, slices: &mut Slices, at: usize, value: u32) -> Slice {
        slices.sleep(futex::low_half(&self.words[at]), value)
    }

    fn wake(self, at: usize) {
        futex::wake(futex::low_half(&self.words[at]), 1);
    }
}
