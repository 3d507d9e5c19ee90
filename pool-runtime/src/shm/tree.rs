//! The one segment that a whole tree of processes shares: made before the first child, inherited by every descendant.
//! All handles point into it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::arena::Arena;
use super::layout::LEN;
use super::process;
use crate::error::Error;
use crate::sys::{fork, memory};

static FILE: OnceLock<OwnedFd> = OnceLock::new();
static ARENA: OnceLock<Arena> = OnceLock::new();

/// The segment of this tree, to be handed to a child. The first call in a root process makes it.
///
/// # Errors
/// Kind `Io` when it cannot be made.
pub(crate) fn arena() -> Result<BorrowedFd<'static>, Error> {
    // A parent is known before its children are: they name it.
    process::own()?;
    file()
}

/// The segment as memory. It stays mapped as long as the process lives: what lies in it is never unmapped under anybody.
///
/// # Errors
/// Kind `Io` when it cannot be made or mapped.
pub(crate) fn map() -> Result<&'static Arena, Error> {
    static MAKING: Mutex<()> = Mutex::new(());
    if let Some(arena) = ARENA.get() {
        return Ok(arena);
    }
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if ARENA.get().is_none() {
        fork::watch();
        let arena = Arena::new(file()?)?;
        let _ = ARENA.set(arena);
    }
    ARENA.get().ok_or_else(|| Error::os("mapping the arena", "it was not kept"))
}

fn file() -> Result<BorrowedFd<'static>, Error> {
    if FILE.get().is_none() {
        let made = memory::create("pool-arena", LEN)?;
        Arena::found(made.as_fd())?;
        // Of two threads that come here at once, one keeps its own.
        let _ = FILE.set(made);
    }
    FILE.get().map(AsFd::as_fd).ok_or_else(|| Error::os("making the arena", "it was not kept"))
}

/// Takes over the segment that the parent handed down.
pub(crate) fn adopt(arena: OwnedFd) {
    let _ = FILE.set(arena);
}
