//! A process of one's own: one function, run to its end in a child.
//!
//! Beside the pool, on the same floor: `start` begins a process, `child` is its life, `family` says who is whose.

mod child;
mod family;
mod handle;
mod start;

pub(crate) use child::{fail, main};
pub use family::{ProcessHandle, active_children, current_process, parent_process};
pub use handle::Process;
pub use start::ProcessBuilder;
