//! Sleeping on a word of memory that several processes share.
//!
//! A futex word is only a hint: whoever wakes looks again at what it waits for. The words here are never
//! `FUTEX_PRIVATE_FLAG`: they lie in shared memory. <https://man7.org/linux/man-pages/man2/futex.2.html>
#![expect(unsafe_code, reason = "the kernel sleeps on half of a 64-bit word")]

use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use rustix::thread::futex;

/// Sleeps while `word` holds `value`, at most for `limit`; may wake for no reason.
pub(crate) fn wait(word: &AtomicU32, value: u32, limit: Option<Duration>) {
    let limit = limit.map(|limit| futex::Timespec {
        tv_sec: limit.as_secs().min(i64::MAX as u64) as i64,
        tv_nsec: limit.subsec_nanos().into(),
    });
    // Every error (the value has changed, a signal came, the time is over) means: look again.
    let _ = futex::wait(word, futex::Flags::empty(), value, limit.as_ref());
}

/// Wakes at most `count` sleepers, and says how many.
pub(crate) fn wake(word: &AtomicU32, count: u32) -> usize {
    futex::wake(word, futex::Flags::empty(), count.min(i32::MAX as u32)).unwrap_or(0)
}

/// The half of a 64-bit word that holds its low 32 bits, for the kernel to sleep on. This program itself uses only the whole word.
pub(crate) fn low_half(word: &AtomicU64) -> &AtomicU32 {
    const LOW: usize = if cfg!(target_endian = "little") { 0 } else { 1 };
    let halves = std::ptr::from_ref(word).cast::<AtomicU32>();
    // SAFETY: both halves lie within the word and are aligned; the reference is only handed to the kernel, as an address.
    unsafe { &*halves.add(LOW) }
}
