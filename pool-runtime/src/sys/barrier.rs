//! Barriers that one process has the kernel run in others, so that those need none of their own where they are in a hurry.
//! <https://man7.org/linux/man-pages/man2/membarrier.2.html>

use rustix::thread::{MembarrierCommand, membarrier};

/// Lets others run barriers in this process; `false` when the kernel cannot.
pub(crate) fn accept() -> bool {
    membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// Has every thread of every process that accepts it pass a full barrier between the call and its return; `false` when the
/// kernel cannot.
pub(crate) fn run_everywhere() -> bool {
    membarrier(MembarrierCommand::GlobalExpedited).is_ok()
}
