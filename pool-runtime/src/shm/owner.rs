//! Who holds a lock: the lock word, which names a thread of a process of the tree.
//!
//! | bits | |
//! |---|---|
//! | 0–29 | the holder's thread id; 0 when nobody holds the lock |
//! | 31 | `WAITERS`: somebody may be asleep on the low half of the word |
//! | 32–43 | the holder's process, as the number of its entry |
//! | 44–61 | when the holder's thread began, in clock ticks, as much as fits: a later thread of the same id is another |
//! | 62 | `DIED`: nobody holds the lock, and the process that did last died while it held it |

use std::cell::Cell;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, SeqCst};

use super::arena::Arena;
use super::process::{self, Own, State};
use crate::sys::alive::{self, Thread};
use crate::sys::futex;

pub(crate) const WAITERS: u64 = 1 << 31;
pub(crate) const DIED: u64 = 1 << 62;
const TID: u64 = (1 << 30) - 1;
const ENTRY_AT: u32 = 32;
const ENTRY: u64 = 0xfff;
const BEGAN_AT: u32 = 44;
const BEGAN: u64 = (1 << 18) - 1;

thread_local! {
    static ME: Cell<u64> = const { Cell::new(0) };
}

/// The calling thread as the holder of a lock.
#[inline]
pub(crate) fn me(own: &Own) -> u64 {
    // A thread that has no more thread-locals has no destructor of this one either: the cell needs none.
    let known = ME.with(Cell::get);
    if known != 0 { known } else { introduce(own) }
}

#[cold]
fn introduce(own: &Own) -> u64 {
    let (tid, began) = alive::this_thread();
    let word = u64::from(tid) & TID | (own.index as u64) << ENTRY_AT | (began & BEGAN) << BEGAN_AT;
    ME.with(|me| me.set(word));
    word
}

/// The word without the mark of those that wait.
pub(crate) fn holder(word: u64) -> u64 {
    word & !WAITERS
}

/// The process that holds the lock.
pub(crate) fn process_of(word: u64) -> Option<usize> {
    (word & TID != 0).then_some((word >> ENTRY_AT & ENTRY) as usize)
}

/// What became of the holder that a word names.
pub(crate) fn fate(arena: &Arena, word: u64) -> Thread {
    let Some(process) = process_of(word) else { return Thread::Lives };
    match process::state(arena.entry(process).state.load(Acquire)) {
        State::Here(identity) => {
            identity.thread((word & TID) as u32, word >> BEGAN_AT & BEGAN, BEGAN)
        }
        // Its process was found dead; whoever sweeps it writes the word anew.
        State::SweptBy(_) | State::Free => Thread::ProcessEnded,
    }
}

/// Frees a lock that a dead process held, for the next one to be told.
pub(crate) fn bequeath(word: &AtomicU64, process: usize) {
    let free = |now: u64| (process_of(now) == Some(process)).then_some(DIED | now & WAITERS);
    // Not once only: somebody may just be marking the word to wait.
    if word.fetch_update(SeqCst, SeqCst, free).is_ok() {
        futex::wake(futex::low_half(word), 1);
    }
}
