//! Whether this process is a plain `fork` of the one that set up its shared memory.
//!
//! Such a copy has the memory of its parent and none of its standing: what it drops is its parent's, not its own.
#![expect(unsafe_code, reason = "asks to be told of forks")]

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How many plain forks lie between this process and the one that first called [`watch`].
static FORKS: AtomicU32 = AtomicU32::new(0);

/// From now on forks are noticed.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler changes one word, which is allowed in a child of `fork` whatever the parent's threads were doing.
        unsafe { pthread_atfork(None, None, Some(note)) };
    });
}

type Handler = Option<extern "C" fn()>;

unsafe extern "C" {
    /// <https://man7.org/linux/man-pages/man3/pthread_atfork.3.html>
    fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> std::ffi::c_int;
}

extern "C" fn note() {
    FORKS.fetch_add(1, Relaxed);
}

/// Whether this is a copy of the process that called [`watch`].
#[inline]
pub(crate) fn is_copy() -> bool {
    FORKS.load(Relaxed) > 0
}

/// Tells this process from its copies, as its id does, without asking the kernel: that was measured at 60 ns, several times per
/// call of a task.
#[inline]
pub(crate) fn generation() -> u32 {
    watch();
    FORKS.load(Relaxed)
}
