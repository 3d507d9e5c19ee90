//! The end of objects that kept others alive: queues by their items, ends of pipes by messages that nobody will receive.

use std::sync::atomic::Ordering::Acquire;
use std::sync::{Mutex, PoisonError};

use super::arena::Arena;
use super::handle::Kind;
use super::{ring, transit};

/// Slots that were kept alive by what is gone.
static FREED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// The next slot that something kept alive which is gone.
pub(crate) fn next_freed() -> Option<usize> {
    FREED.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

/// Strikes out the records of what an object kept alive that is being given back.
pub(crate) fn bury(arena: &Arena, slot: usize) {
    const QUEUE: u64 = Kind::Queue as u64;
    const PIPE_END: u64 = Kind::PipeEnd as u64;
    let mut freed = FREED.lock().unwrap_or_else(PoisonError::into_inner);
    match arena.slot(slot).kind.load(Acquire) & 0xff {
        QUEUE => ring::left_in(arena, slot, |record| freed.extend(transit::strike(arena, record))),
        PIPE_END => freed.extend(transit::strike_unread(arena, slot)),
        _ => {}
    }
}
