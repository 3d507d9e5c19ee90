//! The floor: what the operating system gives, behind safe signatures that other systems could serve too.
//!
//! Knows nothing of this crate but its errors. Nothing above names a descriptor's number, a system call or a path.

pub(crate) mod alive;
pub(crate) mod barrier;
pub(crate) mod cpus;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod memory;
pub(crate) mod oom;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod signals;
pub(crate) mod socket;
pub(crate) mod spawn;
pub(crate) mod standard;
pub(crate) mod stream;
pub(crate) mod watch;
