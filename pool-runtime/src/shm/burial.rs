//! The end of objects that kept others alive: queues by their items, ends of pipes by messages that nobody will receive.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering::Acquire;

use super::arena::Arena;
use super::handle::Kind;
use super::{ring, transit};

thread_local! {
    /// Slots that were kept alive by what is gone. Each thread gives back by itself what it has freed, so that this has been done when
    /// its `drop` returns. Not dropped, and so there for what other destructors of the thread let go of; it is empty then.
    static FREED: Cell<ManuallyDrop<Vec<usize>>> = const { Cell::new(ManuallyDrop::new(Vec::new())) };
}

/// The next slot that something kept alive which is gone.
pub(crate) fn next_freed() -> Option<usize> {
    let mut freed = FREED.take();
    let next = freed.pop();
    if freed.is_empty() {
        drop(ManuallyDrop::into_inner(freed));
    } else {
        FREED.set(freed);
    }
    next
}

/// Strikes out the records of what an object kept alive that is being given back. Whoever calls it calls [`next_freed`] until there is
/// none, once no lock is held.
pub(crate) fn bury(arena: &Arena, slot: usize) {
    const QUEUE: u64 = Kind::Queue as u64;
    const PIPE_END: u64 = Kind::PipeEnd as u64;
    let mut freed = FREED.take();
    match arena.slot(slot).kind.load(Acquire) & 0xff {
        QUEUE => ring::left_in(arena, slot, |record| freed.extend(transit::strike(arena, record))),
        PIPE_END => freed.extend(transit::strike_unread(arena, slot)),
        _ => {}
    }
    FREED.set(freed);
}
