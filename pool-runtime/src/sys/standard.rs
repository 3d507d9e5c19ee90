//! The three descriptors that programs read and write by their numbers.
#![expect(unsafe_code, reason = "looks at numbers that may stand for nothing")]

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

const STANDARD: [i32; 3] = [0, 1, 2];

/// Moves a descriptor of ours above them: where a program has closed its stdout, the next descriptor made takes that number, and
/// what is printed then would go into memory that processes share.
///
/// # Errors
/// When descriptors have run out.
pub(crate) fn above(descriptor: OwnedFd) -> Result<OwnedFd, Errno> {
    if STANDARD.contains(&descriptor.as_raw_fd()) {
        return rustix::io::fcntl_dupfd_cloexec(descriptor, STANDARD.len() as i32);
    }
    Ok(descriptor)
}

/// Makes those that are closed `/dev/null`, as std does before `main`.
pub(crate) fn fill() {
    for number in STANDARD {
        // SAFETY: the call only looks at whether the number stands for anything.
        let closed = unsafe { libc::fcntl(number, libc::F_GETFD) } < 0;
        if closed && let Ok(null) = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()) {
            // The lowest number that is free, which is this one. It stays open for as long as the process lives.
            std::mem::forget(null);
        }
    }
}
