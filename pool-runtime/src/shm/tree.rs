//! The one segment that a whole tree of processes shares: made before the first child, inherited by every descendant.
//! All handles point into it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use crate::error::Error;
use crate::sys::memory;

/// Sparse: what is not touched costs nothing.
pub(crate) const LEN: usize = 64 << 30;

static ARENA: OnceLock<OwnedFd> = OnceLock::new();

/// The segment of this tree. The first call in a root process makes it.
///
/// # Errors
/// Kind `Io` when it cannot be made.
pub(crate) fn arena() -> Result<BorrowedFd<'static>, Error> {
    if ARENA.get().is_none() {
        let made = memory::create("pool-arena", LEN)?;
        // Of two threads that come here at once, one keeps its own.
        let _ = ARENA.set(made);
    }
    ARENA.get().map(AsFd::as_fd).ok_or_else(|| Error::os("making the arena", "it was not kept"))
}

/// Takes over the segment that the parent handed down.
pub(crate) fn adopt(arena: OwnedFd) {
    let _ = ARENA.set(arena);
}
