//! The flag of an event: one word, odd when it is set.
//!
//! Each change adds one, so that a waiter that sleeps through a set and a clear still knows that there was a set. Every
//! operation is one step, and a death leaves nothing half done.
//!
//! The operations are behind [`Ground`], so that a model can run every interleaving of them.

use super::held::Patience;
use super::slices::{Slice, Slices};

/// What the algorithm stands on.
pub(crate) trait Ground {
    /// Acquire.
    fn load(&self) -> u32;
    /// Acquire and release on success.
    fn replace(&self, old: u32, new: u32) -> bool;
    /// Sleeps while the word is `word`.
    fn sleep(&self, slices: &mut Slices, word: u32) -> Slice;
    fn wake_all(&self);
}

/// Whether that is the word of a flag that is set.
pub(crate) fn is_set(word: u32) -> bool {
    word & 1 == 1
}

/// Sets it, and wakes everybody who waits; also where it is set already, by one that may have died before it woke them.
pub(crate) fn set(ground: &impl Ground) {
    write(ground, |word| word | 1);
    ground.wake_all();
}

/// Clears it.
pub(crate) fn clear(ground: &impl Ground) {
    write(ground, |word| word.wrapping_add(word & 1));
}

/// Writes what comes next, also where that is the same. Else one that clears the flag and then looks for what there is to do
/// might not see what another had done before it found the flag still set, and would wait for a set that is not to come.
fn write(ground: &impl Ground, next: impl Fn(u32) -> u32) {
    loop {
        let word = ground.load();
        if ground.replace(word, next(word)) {
            return;
        }
    }
}

/// Waits until it is set, or was set for a moment since its word was `before`; whether it was in time.
pub(crate) fn wait(ground: &impl Ground, before: u32, patience: Patience) -> bool {
    let mut slices = Slices::new(patience);
    while !is_set(before) && ground.load() == before {
        if ground.sleep(&mut slices, before) == Slice::Over {
            return ground.load() != before;
        }
    }
    true
}
