//! The atomics of the board. `tests/model.rs` compiles the board's algorithms over others in their place, which switch threads
//! and die at any step.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, fence};
