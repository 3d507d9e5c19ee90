//! Who a thread is to a server, and what it would leave behind if it ended now.

use std::cell::{Cell, RefCell};
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

use super::handle::Handle;
use super::link::Link;
use super::lock;

/// The locks that a thread of this process has.
struct Thread {
    locks: Vec<(Weak<Link>, u64)>,
}

thread_local! {
    static THREAD: RefCell<Thread> = const { RefCell::new(Thread { locks: Vec::new() }) };
    /// 0 until it is asked for. Nothing is dropped of it, so it is there until the thread's very end.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

impl Drop for Thread {
    /// Guards that were forgotten: nobody will ever give these locks back, and who waits for them must be told.
    fn drop(&mut self) {
        for (link, id) in &self.locks {
            if let Some(link) = link.upgrade() {
                lock::lost(&link, *id, number());
            }
        }
    }
}

/// The number of this thread, which no other thread of this process has.
pub(crate) fn number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    if NUMBER.get() == 0 {
        NUMBER.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
    }
    NUMBER.get()
}

/// This thread has taken a lock.
pub(crate) fn took(handle: &Handle) {
    let lock = (std::sync::Arc::downgrade(handle.link()), handle.id());
    let _ = THREAD.try_with(|thread| thread.borrow_mut().locks.push(lock));
}

/// This thread gives a lock back.
pub(crate) fn gives_back(handle: &Handle) {
    let _ = THREAD.try_with(|thread| {
        let locks = &mut thread.borrow_mut().locks;
        let found = locks.iter().rposition(|(link, id)| {
            *id == handle.id() && std::ptr::eq(link.as_ptr(), std::sync::Arc::as_ptr(handle.link()))
        });
        found.map(|at| locks.swap_remove(at));
    });
}
