//! Whether this process is a plain `fork` of the one that set up its shared memory.
//!
//! Such a copy has the memory of its parent and none of its standing: what it drops is its parent's, not its own.
#![expect(unsafe_code, reason = "asks to be told of forks")]

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

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
    let kept = || KEPT.iter().enumerate().map(|(at, word)| (at, word.load(Relaxed)));
    if kept().all(|(_, word)| word == 0) {
        return;
    }
    // SAFETY: the calls are allowed in a child of `fork`, and the numbers that they change are of descriptors that only this library
    // uses. What they mean now is as harmless to close as what they meant before.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        for (at, word) in kept().filter(|_| null >= 0) {
            for bit in (0..64).filter(|bit| word >> bit & 1 == 1) {
                libc::dup3(null, (at * 64 + bit) as i32, libc::O_CLOEXEC);
            }
        }
        libc::close(null);
    }
}

/// The numbers of descriptors whose end tells a peer that this process has ended, a bit for each. A plain fork would hold them open,
/// so in it they become `/dev/null`. Beyond 65536 of them it does hold them.
static KEPT: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];

/// The copies of this process, made by plain forks, will not have `descriptor`.
pub(crate) fn keep_from_copies(descriptor: BorrowedFd<'_>) {
    watch();
    with_bit(descriptor, |word, bit| word.fetch_or(bit, Relaxed));
}

/// Takes that back, before the descriptor is closed.
pub(crate) fn let_copies_have(descriptor: BorrowedFd<'_>) {
    with_bit(descriptor, |word, bit| word.fetch_and(!bit, Relaxed));
}

fn with_bit(descriptor: BorrowedFd<'_>, change: impl FnOnce(&AtomicU64, u64) -> u64) {
    let number = descriptor.as_raw_fd().cast_unsigned() as usize;
    if let Some(word) = KEPT.get(number / 64) {
        change(word, 1 << (number % 64));
    }
}

/// Copies leave when they come [back](leave_if_copied).
static LEAVE: AtomicBool = AtomicBool::new(false);

/// This process is a child of ours, which runs functions of the user's: what a copy of it does behind them is not the copy's to do.
pub(crate) fn watch_and_leave() {
    watch();
    LEAVE.store(true, Relaxed);
}

/// Ends a copy of a child of ours that comes back from the user's function as the child itself does: its work, its results and its
/// parent are not the copy's. In any other process it does nothing. It stands behind each item: to ask the host, by a pointer, was
/// seven instructions of some 77, and this is three.
#[inline]
pub(crate) fn leave_if_copied() {
    if is_copy() {
        came_back();
    }
}

#[cold]
fn came_back() {
    if LEAVE.load(Relaxed) {
        // SAFETY: `_exit` takes any code and does not return. At once, for exit handlers and what standard output still holds are
        // the original's, too.
        unsafe { libc::_exit(0) }
    }
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
